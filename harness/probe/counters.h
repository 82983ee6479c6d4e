/*
 * counters.h - events that the CPU and the kernel count for a thread.
 *
 * A source knows how to count: PAPI (counters_papi.c), the kernel's perf events
 * (counters_perf.c), or what a test makes up. Everything happens in the driver, which attaches
 * to the threads of a worker from outside: PAPI allocates, and would do so from the heap
 * under test.
 *
 * A machine may list events that it cannot count (a virtual machine without a PMU still lists
 * every preset), so every event is tried: rh_counters_prove opens each event on a thread that
 * does a known amount of work, reads it, and compares the count with the least and the most
 * that this work can cause. Each counter has a chain of events, by the family of the CPU; the
 * first plausible one is used, and its name is part of the result, because vendors mean
 * different things by "miss".
 *
 * Ownership: start makes a set, stop ends it. Thread rule: main thread. Errors: RH_ABSENT.
 */
#ifndef RH_COUNTERS_H
#define RH_COUNTERS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "alloc/base/err.h"

enum rh_counter {
	RH_COUNT_INSTRUCTIONS,
	RH_COUNT_CYCLES,
	RH_COUNT_L1D_MISSES,
	RH_COUNT_L2_MISSES,
	RH_COUNT_LLC_MISSES,
	RH_COUNT_DTLB_MISSES,
	RH_COUNT_BRANCH_MISSES,
	RH_COUNT_HARDWARE, /* those above need a PMU */
	RH_COUNT_PAGE_FAULTS = RH_COUNT_HARDWARE,
	RH_COUNT_CONTEXT_SWITCHES,
	RH_COUNT_MIGRATIONS,
	RH_COUNT_TASK_CLOCK,
	RH_COUNTERS
};
extern const char *const rh_counter_names[RH_COUNTERS]; /* "l1d_misses" */

enum rh_cpu_family { RH_CPU_INTEL, RH_CPU_AMD, RH_CPU_ARM, RH_CPU_OTHER };
enum rh_cpu_family rh_cpu_family(void);

enum {
	RH_COUNT_SET_MAX = 8, /* events of a set ... */
	RH_COUNT_HW_MAX = 4,  /* ... and of these on the PMU: all CPUs have that many */
	RH_COUNT_CHAIN_MAX = 4,
	RH_COUNT_WHY_BYTES = 300,
};

struct rh_counter_set; /* each source defines its own */

struct rh_counter_source {
	const char *name;
	/* Initialises; may be called again. */
	int (*open)(struct rh_err *err);
	/* Names to try for a counter, best first; ends with NULL. */
	const char *const *(*chain)(enum rh_counter counter, enum rh_cpu_family family);
	/* Starts counting a thread (of any process). All events or none. */
	int (*start)(struct rh_counter_set **set, const char *const *events, unsigned count,
		     pid_t thread, struct rh_err *err);
	/* Ends and frees the set, also on error; the thread may have ended. values may be NULL. */
	int (*stop)(struct rh_counter_set *set, uint64_t *values, struct rh_err *err);
};

extern const struct rh_counter_source rh_counters_papi, rh_counters_perf;

struct rh_counter_proof {
	const char *event; /* the event that counts it, as the source names it; NULL = none */
	uint64_t value;	   /* that it counted for the known work */
	char why[RH_COUNT_WHY_BYTES]; /* nothing counts it: what each candidate said */
};

/* Tries everything; about 20 ms per event that opens. */
void rh_counters_prove(const struct rh_counter_source *source,
		       struct rh_counter_proof proof[RH_COUNTERS]);
/* The same, tried once per process. */
const struct rh_counter_proof *rh_counters_proven(const struct rh_counter_source *source);

/* The least and the most that the known work can cause. */
void rh_counter_bounds(enum rh_counter counter, uint64_t *least, uint64_t *most);

/* Whether the kernel shows a PMU at all; NULL, or a sentence. A hint beside an error. */
const char *rh_counters_no_pmu(void);

/* What perf_event_open's errno means at this perf_event_paranoid (-9 = not known). */
void rh_counters_perf_why(int code, int paranoid, char *text, size_t text_bytes);

#endif
