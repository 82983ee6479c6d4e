/*
 * lock.h - the one lock of our backends: a futex mutex that knows its name, its
 * rank and its own history.
 *
 * The word and the statistics share one padded cache line and only the holder
 * writes the statistics, so an uncontended acquire costs a compare-and-swap and a
 * plain increment (goal: <= 2 ns over the bare lock). Wait time is taken on the
 * contended path only; hold time on one acquisition in 64.
 *
 * Ranks order the locks: with RH_DEBUG a thread that takes a lock whose rank is
 * not above every rank it holds aborts, naming both. Same class, rising instance
 * number is allowed when the class says so (RH_LOCK_SAME_RANK_OK).
 *
 * Thread rule: any. Statistics are read with rh_lock_read while others work: each
 * number is whole, the set need not be from one instant.
 */
#ifndef RH_LOCK_H
#define RH_LOCK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "alloc/base/os.h"

/* A class of locks: static storage, shared by all its instances. */
struct rh_lock_class {
	const char *name;	/* "mheap", "mcentral", "stackpool" */
	int rank;		/* acquire in rising order */
	unsigned flags;
};
#define RH_LOCK_SAME_RANK_OK 1u

enum { RH_LOCK_WAIT_BUCKETS = 32 };	/* log2 of the wait in ticks */

struct rh_lock {
	_Atomic uint32_t word;		/* 0 free, 1 held, 2 held with waiters */
	uint32_t owner_last;		/* small id of the last holder's thread */
	uint32_t instance;
	uint32_t pad;
	const struct rh_lock_class *class;
	uint64_t acquired;
	uint64_t contended;
	uint64_t owner_switches;
	uint64_t hold_since;		/* ticks; 0 when this hold is not sampled */
	uint64_t hold_ticks, hold_samples;
	/* second line: written on the contended path only */
	uint64_t wait_ticks, wait_ticks_max;
	uint64_t hold_ticks_max;
	uint32_t wait_log2[RH_LOCK_WAIT_BUCKETS];
} __attribute__((aligned(RH_CACHE_LINE)));

void rh_lock_init(struct rh_lock *lock, const struct rh_lock_class *class, uint32_t instance);
void rh_lock(struct rh_lock *lock);
bool rh_trylock(struct rh_lock *lock);
void rh_unlock(struct rh_lock *lock);

/* True when the calling thread holds it; exact with RH_DEBUG, else "somebody holds it".
 * For assertions. */
bool rh_lock_held(const struct rh_lock *lock);

/* A copy of the statistics in plain numbers. */
struct rh_lock_stats {
	const char *name;
	uint32_t instance;
	int rank;
	uint64_t acquired, contended, owner_switches;
	uint64_t wait_ticks, wait_ticks_max;
	uint64_t hold_ticks, hold_samples, hold_ticks_max;
	uint32_t wait_log2[RH_LOCK_WAIT_BUCKETS];
};
void rh_lock_read(const struct rh_lock *lock, struct rh_lock_stats *out);

/* What a rank violation does; tests replace it. Default: print both names, abort. */
extern void (*rh_lock_rank_violation)(const struct rh_lock *taken, const struct rh_lock *held);

#endif
