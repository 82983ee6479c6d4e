/*
 * test_lock.c - exclusion, statistics, contention and ranks of our lock.
 *
 * RH_DEBUG is set here for the inline halves, so that ranks are tested in every build;
 * the struct is the same either way.
 */
#ifndef RH_DEBUG
#define RH_DEBUG 1
#endif
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include "alloc/base/lock.h"

static const struct rh_lock_class low = { "low", 10, 0 };
static const struct rh_lock_class high = { "high", 20, 0 };
static const struct rh_lock_class many = { "many", 30, RH_LOCK_SAME_RANK_OK };

static void counts_uncontended(void **state)
{
	struct rh_lock lock;
	struct rh_lock_stats stats;

	(void)state;
	rh_lock_init(&lock, &low, 7);
	assert_false(rh_lock_held(&lock));
	for (int i = 0; i < 640; i++) {
		rh_lock(&lock);
		assert_true(rh_lock_held(&lock));
		rh_unlock(&lock);
	}
	assert_true(rh_trylock(&lock));
	assert_false(rh_trylock(&lock));
	rh_unlock(&lock);
	rh_lock_read(&lock, &stats);
	assert_string_equal(stats.name, "low");
	assert_int_equal(stats.instance, 7);
	assert_int_equal(stats.rank, 10);
	assert_int_equal(stats.acquired, 641);
	assert_int_equal(stats.contended, 0);
	assert_int_equal(stats.owner_switches, 0);
	assert_int_equal(stats.hold_samples, 10);
	assert_true(stats.hold_ticks >= stats.hold_ticks_max && stats.wait_ticks == 0);
}

static struct rh_lock shared;
static uint64_t counter; /* guarded by shared */
static _Atomic int started;

static void *hammer(void *arg)
{
	(void)arg;
	atomic_fetch_add(&started, 1);
	while (atomic_load(&started) < 2)
		sched_yield();
	for (int i = 0; i < 20000; i++) {
		rh_lock(&shared);
		counter++;
		rh_unlock(&shared);
	}
	return NULL;
}

static void *wait_once(void *arg)
{
	(void)arg;
	rh_lock(&shared);
	rh_unlock(&shared);
	return NULL;
}

static uint64_t sum_of_waits(const struct rh_lock_stats *stats)
{
	uint64_t sum = 0;

	for (int i = 0; i < RH_LOCK_WAIT_BUCKETS; i++)
		sum += stats->wait_log2[i];
	return sum;
}

static void excludes_and_counts_contention(void **state)
{
	pthread_t thread[2];
	struct rh_lock_stats stats;

	(void)state;
	rh_lock_init(&shared, &low, 0);
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, hammer, NULL), 0);
	for (int i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
	assert_int_equal(counter, 40000);
	rh_lock_read(&shared, &stats);
	assert_int_equal(stats.acquired, 40000);
	assert_true(stats.owner_switches >= 1);
	assert_int_equal(sum_of_waits(&stats), stats.contended);
	assert_true(stats.hold_samples == 40000 / 64);
}

/* Held until the other is asleep on the futex, or about to be: contention for certain, whatever
 * the machine does meanwhile. */
static void a_sleeping_waiter_is_woken_and_counted(void **state)
{
	pthread_t thread;
	struct rh_lock_stats stats;

	(void)state;
	rh_lock_init(&shared, &low, 0);
	rh_lock(&shared);
	assert_int_equal(pthread_create(&thread, NULL, wait_once, NULL), 0);
	while (!atomic_load(&shared.sleepers))
		sched_yield();
	rh_unlock(&shared);
	pthread_join(thread, NULL);
	rh_lock_read(&shared, &stats);
	assert_int_equal(stats.acquired, 2);
	assert_int_equal(stats.contended, 1);
	assert_int_equal(stats.owner_switches, 1);
	assert_true(stats.wait_ticks > 0 && stats.wait_ticks == stats.wait_ticks_max);
	assert_int_equal(sum_of_waits(&stats), 1);
	assert_int_equal(stats.wait_log2[0], 0);
}

enum { SLEEPERS = 6, TURNS = 2000, HOLD_SPINS = 4000 };

/* Holds for longer than anybody spins, at times, so that others sleep. Few yields: beside many
 * programs of a higher priority each takes 50 ms. */
static void *hold_long(void *arg)
{
	(void)arg;
	for (int i = 0; i < TURNS; i++) {
		rh_lock(&shared);
		counter++;
		for (volatile int spin = 0; i % 16 == 0 && spin < HOLD_SPINS; spin++)
			;
		if (i % 256 == 0)
			sched_yield();
		rh_unlock(&shared);
	}
	return NULL;
}

/* True when nobody slept for ever and no turn was lost. The lock is held until all are asleep or
 * about to be: where threads start slowly, each could be done before the next one comes. */
static bool many_sleep(void)
{
	pthread_t thread[SLEEPERS];
	struct rh_lock_stats stats;

	rh_lock_init(&shared, &low, 0);
	counter = 0;
	rh_lock(&shared);
	for (int i = 0; i < SLEEPERS; i++)
		if (pthread_create(&thread[i], NULL, hold_long, NULL) != 0)
			return false;
	while (atomic_load(&shared.sleepers) < SLEEPERS)
		sched_yield();
	rh_unlock(&shared);
	for (int i = 0; i < SLEEPERS; i++)
		pthread_join(thread[i], NULL);
	rh_lock_read(&shared, &stats);
	return counter == SLEEPERS * TURNS && stats.acquired == counter + 1 &&
	       stats.contended >= SLEEPERS && atomic_load(&shared.sleepers) == 0;
}

static void every_sleeper_is_woken(void **state)
{
	bool asymmetric;
	int status;
	pid_t child;

	(void)state;
	assert_true(many_sleep());
	child = fork();
	if (child == 0)
		_exit(many_sleep() ? 0 : 1);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	/* as on a system without membarrier */
	asymmetric = atomic_exchange(&rh_lock_asymmetric, false);
	assert_true(many_sleep());
	atomic_store(&rh_lock_asymmetric, asymmetric);
}

static const struct rh_lock *taken_wrong, *held_wrong;

static void note_violation(const struct rh_lock *taken, const struct rh_lock *held)
{
	taken_wrong = taken;
	held_wrong = held;
}

static bool violates(struct rh_lock *first, struct rh_lock *second)
{
	taken_wrong = held_wrong = NULL;
	rh_lock(first);
	rh_lock(second);
	rh_unlock(first); /* not in reverse order: allowed */
	rh_unlock(second);
	assert_true(!taken_wrong || (taken_wrong == second && held_wrong == first));
	return taken_wrong != NULL;
}

static void ranks_rise(void **state)
{
	void (*saved)(const struct rh_lock *, const struct rh_lock *) = rh_lock_rank_violation;
	struct rh_lock a, a2, b, m1, m2;

	(void)state;
	rh_lock_rank_violation = note_violation;
	rh_lock_init(&a, &low, 0);
	rh_lock_init(&a2, &low, 1);
	rh_lock_init(&b, &high, 0);
	rh_lock_init(&m1, &many, 1);
	rh_lock_init(&m2, &many, 2);
	assert_false(violates(&a, &b));
	assert_true(violates(&b, &a));
	assert_true(violates(&a, &a2));
	assert_false(violates(&m1, &m2));
	assert_true(violates(&m2, &m1));
	assert_false(violates(&a, &m1));
	taken_wrong = NULL;
	rh_lock(&b);
	assert_true(rh_trylock(&a));
	assert_null(taken_wrong);
	assert_true(rh_lock_held(&a) && rh_lock_held(&b));
	rh_unlock(&b);
	assert_true(rh_lock_held(&a) && !rh_lock_held(&b));
	rh_unlock(&a);
	rh_lock_rank_violation = saved;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counts_uncontended),
		cmocka_unit_test(excludes_and_counts_contention),
		cmocka_unit_test(a_sleeping_waiter_is_woken_and_counted),
		cmocka_unit_test(every_sleeper_is_woken),
		cmocka_unit_test(ranks_rise),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
