/*
 * latency.h - the data shared by the two halves of the latency probe: the worker's lanes write
 * it, the driver reads it when they rest. It lies in the control block's mapping
 * (RH_AREA_LATENCY), one struct rh_latency_lane per seat.
 *
 * A sample is one operation between fenced reads of the clock, less the cost of an empty pair.
 * Gaps from a geometric distribution decide which operations are sampled, so that no period of
 * the trace can hide from the sampling or dominate it.
 *
 * Cells: kind x size octave (up to 8 bytes, 16, 32 ... 1 MiB, more). A free is remote when
 * the block was made on another lane of the replay.
 *
 * Outliers are found by batches of RH_BATCH_OPS operations and more: a batch that took more
 * than 8 x the running median per operation, without waits for other lanes, is kept together
 * with the kernel's counts for the thread meanwhile. That costs one getrusage (330 ns) a batch,
 * outside every timed operation.
 *
 * Thread rule: the lane while a segment runs, then the driver.
 */
#ifndef RH_LATENCY_H
#define RH_LATENCY_H

#include "harness/control/hist.h"

/* K(ID, name in results, words for people): the one list of kinds of operation. */
#define RH_LATENCY_KINDS(K)                                     \
	K(ALLOC, alloc, "allocations")                          \
	K(ZALLOC, zalloc, "zeroed allocations")                 \
	K(ALIGNED, aligned, "aligned allocations")              \
	K(RESIZE, resize, "resizes")                            \
	K(FREE, free, "frees")                                  \
	K(FREE_REMOTE, free_remote, "frees from other threads") \
	K(SPAWN, spawn, "spawns of tasks")                      \
	K(EXIT, exit, "ends of tasks")                          \
	K(GROW, grow, "growth of stacks")                       \
	K(CALL, call, "calls")

enum rh_latency_kind {
#define RH_LAT_ID(id, name, words) RH_LAT_##id,
	RH_LATENCY_KINDS(RH_LAT_ID)
#undef RH_LAT_ID
		RH_LAT_KINDS
};

enum {
	RH_LAT_OCTAVES = 19,
	RH_BATCH_OPS = 256,
	RH_OUTLIER_TIMES = 8,
	RH_OUTLIERS_MAX = 32,
	RH_LATENCY_SEATS_MAX = 256, /* 0.8 MB a lane */
};

struct rh_outlier {
	uint64_t at_ticks;   /* rh_ticks() at its end */
	uint64_t ticks, ops; /* the batch */
	uint64_t op;	     /* word index on the lane where it ended */
	uint64_t faults_minor, faults_major, switches_voluntary, switches_involuntary;
	uint64_t run_delay_ns; /* RH_NONE where the kernel does not say */
};

struct rh_latency_lane {
	uint64_t samples, migrated;	/* recorded; dropped because the thread changed CPU */
	uint64_t pair_first, pair_last; /* median empty pair, ticks: first and last segment ... */
	uint64_t pair_min, pair_max;	/* ... and the range over all of them */
	uint64_t batches, outliers;
	uint64_t outlier_ticks;		     /* time in outliers */
	uint64_t with_faults, with_switches; /* outliers that had a fault / a switch */
	uint64_t kept;
	struct rh_outlier outlier[RH_OUTLIERS_MAX]; /* the longest */
	_Alignas(4096) struct rh_hist cell[RH_LAT_KINDS][RH_LAT_OCTAVES];
};

/* The driver's sums of a trial: all lanes and octaves together. */
struct rh_latency_sum {
	struct rh_hist_sum all, kind[RH_LAT_KINDS];
	struct rh_hist_sum response; /* --pace open: from when it was due */
};

struct rh_result;
struct rh_trial;
/* Sums all trials of a backend at the setting of `like`; false when there are none. */
int rh_latency_pool(const struct rh_result *result, const struct rh_trial *like, uint32_t backend,
		    struct rh_latency_sum *into);

/* 0: up to 8 bytes, 1: up to 16 ... 17: up to 1 MiB, 18: more. */
static inline unsigned rh_latency_octave(uint64_t size)
{
	unsigned log2 = size <= 8 ? 0 : 64 - (unsigned)__builtin_clzll(size - 1) - 3;

	return log2 < RH_LAT_OCTAVES ? log2 : RH_LAT_OCTAVES - 1;
}

#endif
