/*
 * whatif.h - what another GOGC or GOMEMLIMIT would do to a recorded Go program.
 *
 * From the trace come the bytes allocated, and at each collection the bytes that were live,
 * the goal, where it started and what was allocated while it marked. The pacer's own rules
 * then run on the same allocations with other settings. How well they meet the recorded
 * setting is part of the answer.
 *
 * The setting of the recorded run is what the caller says, else what its environment said (notes
 * go.gogc and go.memlimit, which record-go writes) unless the goals speak against it, else what
 * the goals say, else GOGC=100 and no limit.
 *
 * The recorder keeps 2.25 MiB on the heap (recorder.h). A setting is asked for the program
 * alone, without them, or as it was traced.
 *
 * Assumptions: the program allocates the same, whatever its collector does; reachable bytes,
 * stacks and the bytes allocated per byte marked are interpolated linearly between two recorded
 * collections.
 *
 * Thread rule: one thread. Memory: O(collections).
 */
#ifndef RH_WHATIF_H
#define RH_WHATIF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "alloc/base/err.h"

#define WHATIF_OFF UINT64_MAX /* of GOGC: no collection by growth; of the limit: none */

/* One recorded collection. "At" is bytes allocated since the trace began. */
struct rh_whatif_cycle {
	uint64_t at_begin, at_end;
	uint64_t live_begin, live_end; /* as the runtime counts, before the garbage is taken off */
	uint64_t marked;	       /* live afterwards; what was allocated meanwhile is in it */
	uint64_t goal;		       /* for the next */
	uint64_t begin_ns, end_ns;
	uint64_t stacks; /* StackInuse as it begins */
	bool asked_for;	 /* not started by growth: by runtime.GC or the two-minute timer */
	/* deduced: what the goal counts besides the heap; per byte to mark, the bytes before the
	 * goal at which it began and those allocated while it marked; and the heap as it ended
	 * over its goal, if that was further above than it should be */
	double roots, runway, black, over;
};

struct rh_whatif {
	char profile[32];
	char unsuited[256]; /* what its importer says the trace is not suited for; "" = nothing
			     */
	struct rh_whatif_cycle *cycles;
	uint32_t count, cap;
	uint64_t allocated;		 /* in all */
	uint64_t live_start, goal_start; /* 0 = the trace does not say */
	uint64_t live_end, peak;
	uint64_t stack_bytes; /* StackInuse at its peak */
	double slack;	      /* bytes of spans beyond what is live, per byte of that */
	double others;	      /* bytes of spans without objects or these stacks, mean */
	uint64_t unseen;      /* bytes that count as live and are in no span; 0 = none */
	uint32_t classes;     /* of spans that were used, pointers and none apart */
	uint64_t recorder;    /* bytes of the recorder's own blocks, all the time; 0 = none seen */
	/* deduced */
	uint64_t gogc;	       /* of the recorded run, percent; WHATIF_OFF = off */
	uint64_t limit;	       /* of the recorded run; WHATIF_OFF = none, or not known */
	const char *gogc_from; /* the source: rh_whatif_from_* */
	const char *limit_from;
	uint32_t goals, goals_odd; /* above the minimum; of these, unexplained by GOGC and limit */
	uint32_t goals_set; /* that changed without a collection: the program set GOGC or a limit */
	double roots, black; /* means over the collections */
	double mark_second;  /* bytes that all Ps mark in a second */
};

extern const char rh_whatif_given[], rh_whatif_environment[], rh_whatif_goals[],
	rh_whatif_assumed[];

struct rh_whatif_setting {
	uint64_t gogc, limit; /* WHATIF_OFF; limit in bytes */
	bool traced;	      /* with the recorder's blocks, else the program alone */
};

struct rh_whatif_outcome {
	uint64_t cycles, peak, marked;
	uint64_t peak_ended; /* as a collection ended, as gctrace prints; 0 = there is none */
	bool replayed;	     /* by rh_whatif_replay */
	double goal_mean;    /* of the goals after each cycle */
	bool over_limit;     /* more is reachable than the limit allows */
	bool tight;	     /* the limit leaves less than a third of the marked to grow in */
	bool limited;	     /* collecting takes half of the CPU, and is held there */
};

/* Reads a trace that `reheap import go` made. given: of the recorded run, 0 = see above. */
int rh_whatif_read(struct rh_whatif *whatif, const char *path,
		   const struct rh_whatif_setting *given, struct rh_err *err);
void rh_whatif_close(struct rh_whatif *whatif);
struct rh_whatif_outcome rh_whatif_ask(const struct rh_whatif *whatif,
				       const struct rh_whatif_setting *setting);
/*
 * The same by a replay of all objects on tiered/pools, whose pacer then decides; closer, and takes
 * as long as one run of `reheap fidelity`. -1 when the trace cannot be replayed so (without a
 * snapshot, with other lanes than Ps).
 */
int rh_whatif_replay(const struct rh_whatif *whatif, const char *path,
		     const struct rh_whatif_setting *setting, struct rh_whatif_outcome *outcome,
		     struct rh_err *err);
/* The knobs of tiered (gc=oracle) with which it is this program under that setting; false: they
 * take more than `bytes`, and text is "". */
bool rh_whatif_knobs(const struct rh_whatif *whatif, const struct rh_whatif_setting *setting,
		     char *text, size_t bytes);

#endif
