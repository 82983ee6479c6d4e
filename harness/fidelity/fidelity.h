/*
 * fidelity.h - does the tiered heap do what Go did? A Go trace is replayed on tiered/pools
 * with the profile of its version, and what the recorded runtime did is compared.
 *
 * The replay here is not a measurement of time. It runs in a child process, in one thread,
 * event by event in the order of the trace, through alloc/backend.h: every lane of the
 * trace is a lane of the backend, but they take turns as they did when recorded. So the
 * result is the same on every run, the state at every edge of a collection is exact, and
 * a backend that crashes ends only the child. Workers (harness/worker/) run lanes at the
 * same time and would add the chance of their interleaving to every curve.
 *
 * Thread rule: one thread. Memory: O(living objects + edges).
 */
#ifndef RH_FIDELITY_H
#define RH_FIDELITY_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "alloc/base/gosizes.h"
#include "alloc/backend.h"

enum {
	FIDELITY_EDGES_MAX = 1 << 16,
	FIDELITY_KINDS = 2 * RH_GO_CLASSES_MAX,
	FIDELITY_ORDERS = 20, /* stacks of 2 KiB << order */
};

/* What is compared at each edge. */
#define FIDELITY_CURVES(X)                                                     \
	X(HEAP, "HeapInuse", "bytes", "bytes of spans that hold objects")      \
	X(SPANS, "spans in use", "count", "spans that hold objects")           \
	X(LIVE, "live bytes", "bytes", "slots of living objects")              \
	X(STACK, "StackInuse", "bytes", "bytes of spans that hold stacks")     \
	X(PACER, "heap_live", "bytes", "what the runtime counts as allocated") \
	X(GOAL, "heap goal", "bytes", "where the next collection is to have ended")

enum fidelity_curve {
#define X(name, word, unit, meaning) FIDELITY_##name,
	FIDELITY_CURVES(X)
#undef X
		FIDELITY_CURVE_COUNT
};

/* One edge of a collection. [0] recorded, [1] replayed. */
struct rh_fidelity_edge {
	uint64_t cycle, time_ns;
	bool ends; /* the cycle ends here, else it begins */
	uint64_t curve[FIDELITY_CURVE_COUNT][2];
	uint64_t lost_stacks; /* bytes of stack spans that the recorder did not report */
	uint32_t spans[FIDELITY_KINDS][2];
	uint64_t free_slots[2]; /* bytes of slots without a living object */
};

/* Filled by the child in memory it shares with us. */
struct rh_fidelity {
	char profile[32], backend[256], format[16];
	char setting[128];  /* knobs of the heap besides, "gogc=100 roots=160000" */
	char why[128];	    /* it is this profile */
	char unseen[512];   /* what the recorder could not see, or "" */
	char cut[192];	    /* where the trace breaks off, or "" */
	char open[32];	    /* which versions it may be, where the trace does not say, or "" */
	char no_goals[192]; /* why goals cannot be compared, or "" */
	uint64_t gogc;	    /* percent, of the setting; 0 = off, or no setting */
	uint64_t events, objects, class_right, class_differs;
	uint64_t estimated; /* objects whose size the trace estimates */
	uint64_t lanes;
	uint64_t layout;	     /* slots filled to give the heap its first layout */
	uint64_t fills, fills_moved; /* spans a P went on with; not the next here by itself */
	uint64_t span_allocs[2], span_frees[2];
	uint64_t stack_allocs[FIDELITY_ORDERS][2], stack_frees[FIDELITY_ORDERS][2];
	uint64_t stacks_then[FIDELITY_ORDERS][2]; /* made and freed for the snapshot */
	uint64_t stacks_put;			  /* in another order than they were told in */
	/* Refills of a P's cache that found other stacks in the pool than those seen later: two Ps
	 * met there, and nothing says which was first; and otherwise. */
	uint64_t stacks_open, stacks_wrong;
	uint64_t stacks_made, stacks_right; /* with StackInuse as recorded right after */
	uint64_t failed;		    /* operations the backend refused */
	uint64_t cycles[2];		    /* oracle run: [1] = cycles its pacer started */
	struct rh_fidelity_sums {
		uint64_t marked, goals; /* bytes of all those cycles */
		/* heap_live: the most as a cycle ended, 0 = less than while the snapshot was
		 * made; and in the end */
		uint64_t live_peak, live_last;
		uint64_t limited; /* cycles that ended with the collector at half of the CPU */
	} sums;
	uint32_t edge_count;
	bool done;
	struct rh_err err;
	struct rh_fidelity_edge edges[FIDELITY_EDGES_MAX];
};

/* When did he die who is dead at the end of a recorded cycle. */
enum rh_fidelity_deaths {
	FIDELITY_LATE,	 /* as late as can be: when that cycle found it */
	FIDELITY_EARLY,	 /* as early as can be: just after the one before, or at birth */
	FIDELITY_SPREAD, /* between the two, one after the other; at birth if born since */
};

struct rh_fidelity_opts {
	bool oracle;			/* the heap's own pacer decides on cycles, not the trace */
	enum rh_fidelity_deaths deaths; /* with oracle */
	/* with oracle: recorded cycles that the program asked for, by number from 0; NULL: none */
	const bool *asked_for;
	uint32_t asked_for_count;
	uint64_t marked_before; /* spread: by the cycle before the trace begins */
	bool alone;		/* without the blocks of Go's recorder (recorder.h) */
	const char *profile;	/* NULL: as the trace says */
	const char *setting;	/* more knobs of the heap, "gogc=50:roots=1M"; NULL: none */
	const char *no_goals;	/* why goals cannot be compared with that; NULL: they can */
	uint64_t gogc;		/* percent, of the setting; 0 = off */
	bool no_layout;		/* snapshot objects are packed instead of where they were */
};

/* NULL with err, else to be given back by rh_fidelity_free. */
struct rh_fidelity *rh_fidelity_run(const char *path, const struct rh_fidelity_opts *opts,
				    struct rh_err *err);
void rh_fidelity_free(struct rh_fidelity *fidelity);

/* ---- report.c ---- */

struct rh_fidelity_report {
	const struct rh_fidelity *recorded;
	const struct rh_fidelity *late, *early; /* the two oracle runs, or NULL */
	double limit;				/* share by which a curve may be off */
	const char *path;			/* of the trace */
	bool all_edges;				/* print every edge of a collection */
};
/* Table and verdict: RH_OK, RH_FAILED when a curve is further off than `limit` and than one
 * span, RH_INCONCLUSIVE when the recorder did not see enough to say. */
enum rh_exit rh_fidelity_print(const struct rh_fidelity_report *report, FILE *to);
/* What plots/layout/fidelity.gp draws: a row for each edge, recorded and replayed. */
int rh_fidelity_curves(const struct rh_fidelity *fidelity, const char *path, struct rh_err *err);

#endif
