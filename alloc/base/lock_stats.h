/*
 * lock_stats.h - what was counted of one lock: rh_lock_read (alloc/base/lock.h) fills it, backends
 * hand it out. Apart from the lock itself, so that a backend outside this tree, in C or C++, needs
 * no more than this.
 *
 * Thread rule: a copy, its reader's own. Times are ns. Errors: none.
 */
#ifndef RH_LOCK_STATS_H
#define RH_LOCK_STATS_H

#include <stdint.h>

enum { RH_LOCK_WAIT_BUCKETS = 32 }; /* log2 of a wait or hold in ticks */

/* A copy of the statistics in plain numbers. */
struct rh_lock_stats {
	const char *name;
	uint32_t instance;
	int rank;
	uint64_t acquired, contended, owner_switches;
	uint64_t wait_ticks, wait_ticks_max;
	uint64_t hold_ticks, hold_samples, hold_ticks_max;
	uint32_t wait_log2[RH_LOCK_WAIT_BUCKETS], hold_log2[RH_LOCK_WAIT_BUCKETS];
};

#endif
