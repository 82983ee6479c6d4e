/*
 * locks.h - the data shared by the two halves of the contention probe (RH_AREA_LOCKS).
 *
 * Rows: one per lock that can be seen, filled by the worker on RH_CTL_LOCKS: locks of our
 * own backends (alloc/base/lock.h), and those that jemalloc reports through mallctl. Meters:
 * per lane, the kernel's counts for its thread inside segments. Both are cumulative; the driver
 * clears meters before the first segment and subtracts the rows it read then.
 *
 * Thread rule: rows: the coordinator during the command; meters: the lane during a
 * segment; the driver at any other time.
 */
#ifndef RH_LOCKS_H
#define RH_LOCKS_H

#include "alloc/base/lock.h"
#include "alloc/base/tracepoint.h"

enum {
	RH_LOCK_ROWS_MAX = 2048,
	RH_LOCK_NAME_BYTES = 40,
	RH_METER_WHY_BYTES = RH_TRACEPOINT_WHY_BYTES
};

enum rh_lock_source { RH_LOCK_OWN, RH_LOCK_MALLCTL };
enum rh_mallctl { RH_MALLCTL_NONE, RH_MALLCTL_READ, RH_MALLCTL_NO_STATS };

struct rh_lock_row {
	char name[RH_LOCK_NAME_BYTES];
	uint32_t instance;
	uint32_t source; /* enum rh_lock_source */
	uint64_t acquired, contended, owner_switches;
	uint64_t wait, wait_max;	       /* ticks; ns for mallctl */
	uint64_t hold, hold_samples, hold_max; /* ticks; own only */
	uint32_t wait_log2[RH_LOCK_WAIT_BUCKETS], hold_log2[RH_LOCK_WAIT_BUCKETS];
};

struct rh_lane_meters {
	uint64_t span_ticks, cpu_ns; /* start to end of the lane's segments */
	uint64_t run_delay_ns;	     /* runnable, but on no CPU; RH_NONE = unknown */
	/* asleep because of the replay itself: for another lane in recorded order, or for recorded
	 * times; and the CPU time and run delay within that */
	uint64_t slept_ticks, slept_cpu_ns, slept_delay_ns;
	uint64_t switches_voluntary, switches_involuntary;
	uint64_t futex_calls;	   /* all, by tracepoint ... */
	uint64_t futex_replay;	   /* ... and those of the replay itself among them */
	uint64_t kernel_contended; /* kernel locks that had to be waited for (mmap_lock ...) */
	uint64_t sleeps_replay;	   /* of the replay itself: for order and for recorded times */
	uint64_t pad[4];
};
_Static_assert(sizeof(struct rh_lane_meters) % (2 * RH_CACHE_LINE) == 0, "lanes share no line");

struct rh_lock_area {
	uint64_t rows, dropped;		    /* in row[]; that did not fit */
	uint32_t mallctl;		    /* enum rh_mallctl */
	char futex_why[RH_METER_WHY_BYTES]; /* "" = counted; else why not */
	char kernel_why[RH_METER_WHY_BYTES];
	struct rh_lock_row row[RH_LOCK_ROWS_MAX];
	_Alignas(2 * RH_CACHE_LINE) struct rh_lane_meters lane[];
};

#endif
