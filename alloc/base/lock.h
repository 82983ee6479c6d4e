/*
 * lock.h - the one lock of our backends: a futex mutex that knows its name, its
 * rank and its own history.
 *
 * The word and the statistics of the uncontended path share one padded cache line and
 * only the holder writes them, so such an acquire costs one compare-and-swap, one
 * increment and one compare of the owner, and its release a plain store and a load: no
 * second locked instruction, the thread that wants to sleep pays for the order of those two
 * (lock.c). Both ends are inline (goal: <= 2 ns over a bare mutex). Wait time is taken on
 * the contended path only; hold time on one acquisition in 64.
 *
 * Ranks order the locks: with RH_DEBUG a thread that takes a lock whose rank is
 * not above every rank it holds aborts, naming both. Same class, rising instance
 * number is allowed when the class says so (RH_LOCK_SAME_RANK_OK). rh_trylock cannot
 * deadlock and is not checked.
 *
 * Thread rule: any; a lock may go only after every rh_unlock has returned. Statistics are
 * read with rh_lock_read while others work: each number is whole, the set need not be from
 * one instant.
 */
#ifndef RH_LOCK_H
#define RH_LOCK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "alloc/base/debug.h"
#include "alloc/base/lock_stats.h"
#include "alloc/base/os.h"

/* A class of locks: static storage, shared by all its instances. */
struct rh_lock_class {
	const char *name; /* "mheap", "mcentral", "stackpool" */
	int rank;	  /* acquire in rising order */
	unsigned flags;
};
#define RH_LOCK_SAME_RANK_OK 1u

/* Numbers are atomic so that rh_lock_read may look at any time; the holder alone writes
 * them, with relaxed loads and stores, which are plain moves. */
struct rh_lock {
	_Atomic uint32_t word; /* 0 free, 1 held */
	uint32_t owner_last;   /* small id of the last holder's thread */
	uint32_t instance;
	uint8_t hold_sampled;	   /* this hold is timed: unlock has work to do */
	_Atomic uint8_t waking;	   /* a sleeper was woken and has not looked yet */
	_Atomic uint16_t sleepers; /* threads asleep, or about to be: unlock has to wake */
	const struct rh_lock_class *class;
	_Atomic uint64_t acquired;
	_Atomic uint64_t owner_switches;
	uint64_t hold_since; /* ticks */
	_Atomic uint64_t hold_ticks, hold_samples;
	/* second line on: written on the contended path only, but for the last two */
	_Atomic uint64_t contended, wait_ticks, wait_ticks_max;
	_Atomic uint32_t wait_log2[RH_LOCK_WAIT_BUCKETS];
	_Atomic uint64_t hold_ticks_max;
	_Atomic uint32_t hold_log2[RH_LOCK_WAIT_BUCKETS]; /* of sampled holds */
} __attribute__((aligned(RH_CACHE_LINE)));
_Static_assert(offsetof(struct rh_lock, contended) == RH_CACHE_LINE,
	       "an uncontended acquire touches one line");

enum { RH_LOCK_HOLD_SAMPLE = 64 }; /* one hold in so many is timed: every one costs 22 ns */
_Static_assert((RH_LOCK_HOLD_SAMPLE & (RH_LOCK_HOLD_SAMPLE - 1)) == 0, "a mask, not a division");

void rh_lock_init(struct rh_lock *lock, const struct rh_lock_class *class, uint32_t instance);

/* The parts out of line; not for callers. */
void rh_lock_wait(struct rh_lock *lock);
void rh_lock_wake(struct rh_lock *lock);
void rh_lock_new_owner(struct rh_lock *lock);
void rh_lock_hold_begin(struct rh_lock *lock);
void rh_lock_hold_end(struct rh_lock *lock);
void rh_lock_rank_check(const struct rh_lock *lock);
void rh_lock_rank_push(const struct rh_lock *lock);
void rh_lock_rank_pop(const struct rh_lock *lock);
bool rh_lock_rank_holds(const struct rh_lock *lock);
extern _Atomic bool rh_lock_asymmetric; /* set by the first rh_lock_init, then constant */
extern _Thread_local uint32_t rh_lock_thread __attribute__((tls_model("initial-exec")));

static inline void rh_lock_acquired(struct rh_lock *lock)
{
	uint64_t count = atomic_load_explicit(&lock->acquired, memory_order_relaxed) + 1;

	rh_debug_assert(atomic_load_explicit(&lock->word, memory_order_relaxed));
	atomic_store_explicit(&lock->acquired, count, memory_order_relaxed);
	if (lock->owner_last != rh_lock_thread)
		rh_lock_new_owner(lock);
	if (count % RH_LOCK_HOLD_SAMPLE == 0)
		rh_lock_hold_begin(lock);
#ifdef RH_DEBUG
	rh_lock_rank_push(lock);
#endif
}

static inline bool rh_trylock(struct rh_lock *lock)
{
	uint32_t free_word = 0;

	if (!atomic_compare_exchange_strong_explicit(&lock->word, &free_word, 1,
						     memory_order_acquire, memory_order_relaxed))
		return false;
	rh_lock_acquired(lock);
	return true;
}

static inline void rh_lock(struct rh_lock *lock)
{
	uint32_t free_word = 0;

#ifdef RH_DEBUG
	rh_lock_rank_check(lock);
#endif
	if (!atomic_compare_exchange_strong_explicit(&lock->word, &free_word, 1,
						     memory_order_acquire, memory_order_relaxed))
		rh_lock_wait(lock);
	rh_lock_acquired(lock);
}

static inline void rh_unlock(struct rh_lock *lock)
{
	rh_debug_assert(atomic_load_explicit(&lock->word, memory_order_relaxed));
#ifdef RH_DEBUG
	rh_lock_rank_pop(lock);
#endif
	if (lock->hold_sampled)
		rh_lock_hold_end(lock);
	if (atomic_load_explicit(&rh_lock_asymmetric, memory_order_relaxed))
		atomic_store_explicit(&lock->word, 0, memory_order_release);
	else
		atomic_exchange(&lock->word, 0);
	atomic_signal_fence(memory_order_seq_cst);
	if (atomic_load_explicit(&lock->sleepers, memory_order_seq_cst))
		rh_lock_wake(lock);
}

/* True when the calling thread holds it; exact with RH_DEBUG, else "somebody holds it".
 * For assertions. */
static inline bool rh_lock_held(const struct rh_lock *lock)
{
#ifdef RH_DEBUG
	return rh_lock_rank_holds(lock);
#else
	return atomic_load_explicit(&lock->word, memory_order_relaxed) != 0;
#endif
}

void rh_lock_read(const struct rh_lock *lock, struct rh_lock_stats *out);

/* What a rank violation does; tests replace it. Default: print both names, abort. */
extern void (*rh_lock_rank_violation)(const struct rh_lock *taken, const struct rh_lock *held);

#endif
