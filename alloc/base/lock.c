/*
 * lock.c - the slow half of lock.h: waiting, naming owners, timing holds, ranks.
 *
 * An acquire goes: (1) inline compare-and-swap 0 -> 1, done in almost every case;
 * (2) rh_lock_wait: spin a little, because a holder of ours keeps a lock for tens of
 * nanoseconds and a sleep costs microseconds; (3) count ourselves as a sleeper, which
 * obliges every holder to wake somebody, and sleep until the word changes.
 *
 * A holder frees the word and then looks for sleepers; a sleeper counts itself and then
 * looks at the word. One of the two must see the other, which takes a full barrier on
 * either side. Releases are a million times as frequent as sleeps, so the sleeper has
 * both: membarrier(2) runs one on every processor that runs a thread of ours. After it, a
 * holder has either freed the word for all to see or will still look for sleepers. Where
 * the system has no membarrier, release is a locked exchange.
 *
 * Waits are timed from the failed compare-and-swap to ownership and written by the new
 * holder. Ranks live in a list per thread in static TLS: no allocation, no dlopen.
 */
#include "alloc/base/lock.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "alloc/base/clock.h"
#include "alloc/base/debug.h"

enum {
	SPINS = 100,   /* about 4 us of pause instructions, one futex round trip */
	HELD_MAX = 16, /* our deepest chain is far below */
};

/* 0 = not named yet. Numbered by us and not by gettid: a system call on the first
 * acquire of each thread would be seen in the latency of its first block. */
_Thread_local uint32_t rh_lock_thread;
_Atomic bool rh_lock_asymmetric;

static _Atomic uint32_t threads_named;

struct held_list {
	const struct rh_lock *lock[HELD_MAX];
	int count;
};
static _Thread_local struct held_list held;

/* Load and store instead of fetch_add: only the holder writes, so the locked
 * instruction (20 cycles) would buy nothing. Atomic, because a probe reads meanwhile. */
static void add(_Atomic uint64_t *number, uint64_t by)
{
	atomic_store_explicit(number, atomic_load_explicit(number, memory_order_relaxed) + by,
			      memory_order_relaxed);
}

static void raise_to(_Atomic uint64_t *number, uint64_t value)
{
	if (atomic_load_explicit(number, memory_order_relaxed) < value)
		atomic_store_explicit(number, value, memory_order_relaxed);
}

/* Powers of two: waits range over six orders of magnitude, and a bucket costs one
 * shift while the lock is held. */
static void count_log2(_Atomic uint32_t *buckets, uint64_t ticks)
{
	int bucket = ticks ? 63 - __builtin_clzll(ticks) : 0;

	assert(bucket >= 0 && bucket < 64);
	if (bucket >= RH_LOCK_WAIT_BUCKETS)
		bucket = RH_LOCK_WAIT_BUCKETS - 1;
	atomic_store_explicit(&buckets[bucket],
			      atomic_load_explicit(&buckets[bucket], memory_order_relaxed) + 1,
			      memory_order_relaxed);
}

static void choose_release(void)
{
	atomic_store(&rh_lock_asymmetric, rh_membarrier_ready());
}

void rh_lock_init(struct rh_lock *lock, const struct rh_lock_class *class, uint32_t instance)
{
	static pthread_once_t chosen = PTHREAD_ONCE_INIT;

	/* Before there is any lock, so that nobody sees it change. */
	pthread_once(&chosen, choose_release);
	/* No thread has the number of the first "last owner", so the first acquire names its
	 * thread and is not counted as a switch. */
	*lock = (struct rh_lock){ .owner_last = UINT32_MAX, .instance = instance, .class = class };
}

static void pause_cpu(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield" ::: "memory");
#endif
}

/* Looks before it swaps: a failed swap takes the cache line away from the holder,
 * which needs it to release. */
static bool spin(struct rh_lock *lock)
{
	for (int i = 0; i < SPINS; i++) {
		uint32_t seen = atomic_load_explicit(&lock->word, memory_order_relaxed);

		if (seen == 0 && atomic_compare_exchange_weak_explicit(&lock->word, &seen, 1,
								       memory_order_acquire,
								       memory_order_relaxed))
			return true;
		pause_cpu();
	}
	return false;
}

static void sleep_until_ours(struct rh_lock *lock)
{
	enum { MS = 1000000 };
	uint64_t timeout = UINT64_MAX;

	atomic_fetch_add(&lock->sleepers, 1);
	/* Whoever releases the lock from now on sees that there are sleepers, or has released
	 * it already. Where that fails though it was promised: look again now and then. */
	if (atomic_load(&rh_lock_asymmetric) && !rh_membarrier())
		timeout = MS;
	for (;;) {
		uint32_t free_word = 0;

		/* Before we look: a release that leaves us to one on its way must have come
		 * before this. Also when nobody was (a fork takes no sleepers along). */
		atomic_store(&lock->waking, 0);
		if (atomic_compare_exchange_strong(&lock->word, &free_word, 1))
			break;
		rh_futex_wait_private(&lock->word, 1, timeout);
	}
	atomic_fetch_sub(&lock->sleepers, 1);
}

__attribute__((noinline)) void rh_lock_wait(struct rh_lock *lock)
{
	uint64_t since = rh_ticks(), waited;

	if (!spin(lock))
		sleep_until_ours(lock);
	waited = rh_ticks() - since;
	add(&lock->contended, 1);
	add(&lock->wait_ticks, waited);
	raise_to(&lock->wait_ticks_max, waited);
	count_log2(lock->wait_log2, waited);
}

/* One sleeper at a time is on its way: without that, every release until it runs would be a
 * system call and wake another. When nobody was asleep yet, a release that came meanwhile
 * relied on us: it is made up for here. */
__attribute__((noinline)) void rh_lock_wake(struct rh_lock *lock)
{
	while (!atomic_exchange(&lock->waking, 1)) {
		if (rh_futex_wake_private(&lock->word, 1) > 0)
			return;
		atomic_store(&lock->waking, 0);
		if (atomic_load(&lock->word) || !atomic_load(&lock->sleepers))
			return;
	}
}

__attribute__((noinline)) void rh_lock_new_owner(struct rh_lock *lock)
{
	rh_debug_assert(atomic_load(&lock->word));
	if (rh_lock_thread == 0)
		rh_lock_thread =
			atomic_fetch_add_explicit(&threads_named, 1, memory_order_relaxed) + 1;
	if (lock->owner_last != UINT32_MAX && lock->owner_last != rh_lock_thread)
		add(&lock->owner_switches, 1);
	lock->owner_last = rh_lock_thread;
}

__attribute__((noinline)) void rh_lock_hold_begin(struct rh_lock *lock)
{
	rh_debug_assert(!lock->hold_sampled);
	lock->hold_sampled = 1;
	lock->hold_since = rh_ticks();
}

__attribute__((noinline)) void rh_lock_hold_end(struct rh_lock *lock)
{
	uint64_t ticks = rh_ticks() - lock->hold_since;

	rh_debug_assert(lock->hold_sampled);
	lock->hold_sampled = 0;
	add(&lock->hold_ticks, ticks);
	add(&lock->hold_samples, 1);
	raise_to(&lock->hold_ticks_max, ticks);
	count_log2(lock->hold_log2, ticks);
}

void rh_lock_read(const struct rh_lock *lock, struct rh_lock_stats *out)
{
	/* Each number is whole, the set of them is not: a sum may be one event ahead
	 * of its count while threads run. */
	*out = (struct rh_lock_stats){
		.name = lock->class->name,
		.instance = lock->instance,
		.rank = lock->class->rank,
		.acquired = atomic_load_explicit(&lock->acquired, memory_order_relaxed),
		.contended = atomic_load_explicit(&lock->contended, memory_order_relaxed),
		.owner_switches = atomic_load_explicit(&lock->owner_switches, memory_order_relaxed),
		.wait_ticks = atomic_load_explicit(&lock->wait_ticks, memory_order_relaxed),
		.wait_ticks_max = atomic_load_explicit(&lock->wait_ticks_max, memory_order_relaxed),
		.hold_ticks = atomic_load_explicit(&lock->hold_ticks, memory_order_relaxed),
		.hold_samples = atomic_load_explicit(&lock->hold_samples, memory_order_relaxed),
		.hold_ticks_max = atomic_load_explicit(&lock->hold_ticks_max, memory_order_relaxed),
	};
	for (int i = 0; i < RH_LOCK_WAIT_BUCKETS; i++) {
		out->wait_log2[i] = atomic_load_explicit(&lock->wait_log2[i], memory_order_relaxed);
		out->hold_log2[i] = atomic_load_explicit(&lock->hold_log2[i], memory_order_relaxed);
	}
}

static void abort_on_violation(const struct rh_lock *taken, const struct rh_lock *holder)
{
	fprintf(stderr, "reheap: lock %s[%u] (rank %d) taken while %s[%u] (rank %d) is held\n",
		taken->class->name, taken->instance, taken->class->rank, holder->class->name,
		holder->instance, holder->class->rank);
	abort();
}

/* A pointer, so that a test can see a violation and go on (alloc/test/test_lock.c). */
void (*rh_lock_rank_violation)(const struct rh_lock *taken,
			       const struct rh_lock *held) = abort_on_violation;

static bool in_order(const struct rh_lock *first, const struct rh_lock *next)
{
	if (next->class->rank != first->class->rank)
		return next->class->rank > first->class->rank;
	/* Locks of one class may nest in the order of their numbers: without an order
	 * two threads could take a pair crosswise. */
	return next->class == first->class && (next->class->flags & RH_LOCK_SAME_RANK_OK) &&
	       next->instance > first->instance;
}

void rh_lock_rank_check(const struct rh_lock *lock)
{
	for (int i = 0; i < held.count; i++)
		if (!in_order(held.lock[i], lock)) {
			/* The first is enough: one acquire against the order is one
			 * mistake, however many locks are held. */
			rh_lock_rank_violation(lock, held.lock[i]);
			return;
		}
}

void rh_lock_rank_push(const struct rh_lock *lock)
{
	rh_debug_assert(!rh_lock_rank_holds(lock)); /* not recursive */
	if (held.count == HELD_MAX) {
		/* An abort and not a longer list: a chain of 16 is a lock that was
		 * never released. */
		fprintf(stderr, "reheap: a thread holds more than %d locks, the last is %s\n",
			HELD_MAX, lock->class->name);
		abort();
	}
	held.lock[held.count++] = lock;
}

void rh_lock_rank_pop(const struct rh_lock *lock)
{
	/* From the last: locks mostly end in the reverse of the order they began, but
	 * need not. */
	int i = held.count - 1;

	while (i >= 0 && held.lock[i] != lock)
		i--;
	if (i < 0) {
		fprintf(stderr, "reheap: lock %s[%u] is released by a thread without it\n",
			lock->class->name, lock->instance);
		abort();
	}
	for (; i < held.count - 1; i++)
		held.lock[i] = held.lock[i + 1];
	held.count--;
}

bool rh_lock_rank_holds(const struct rh_lock *lock)
{
	for (int i = 0; i < held.count; i++)
		if (held.lock[i] == lock)
			return true;
	return false;
}
