/*
 * test_probe_locks.c - contention: backends that share a lock on purpose or never do, pthread
 * mutexes counted from outside, and time blocked by a backend's own sleep.
 */
#include "harness/test/probe_support.h"

/* The row of a class in probes.locks. */
static const struct rh_lock_found *class_of(const struct rh_trial *trial, const char *name)
{
	const struct rh_locks_found *locks = FOUND(trial, locks);

	for (size_t i = 0; i < locks->classes_count; i++)
		if (strcmp(locks->classes[i].name, name) == 0)
			return &locks->classes[i];
	fail_msg("no class %s", name);
	return NULL;
}

enum { MIXED_OPS = 10 }; /* of make_mixed, per lane and round; one less in the first */

static void a_shared_lock_contends(void **state)
{
	struct rh_run_config config = config_of(plugin("locking", ":lock=shared"));
	struct rh_result result;
	const struct rh_trial *trial;
	const struct rh_lock_found *row;

	(void)state;
	run_probes(&config, &result, "locks", 2, 500);
	trial = trial_of(&result, config.backends);
	row = class_of(trial, "test_shared");
	assert_int_equal(row->acquired, 2 * (500 * MIXED_OPS - 1));
	assert_true(row->contended > 0);
	assert_true(row->owner_switches > 0);
	assert_true(row->wait_ns > 0 && row->wait_share > 0);
	/* a wait cannot be longer than the lanes were there */
	assert_true(row->wait_share <= 1);
	assert_non_null(rh_result_metric(&result, (struct rh_metric_place){ 0, 0, 2, 1 },
					 "locks.wait_share"));
	assert_string_equal(row->source, "own");
	done(&config, &result);
}

static void lane_locks_do_not(void **state)
{
	struct rh_run_config config = config_of(plugin("locking", ":lock=lane"));
	struct rh_result result;
	const struct rh_lock_found *row;

	(void)state;
	run_probes(&config, &result, "locks", 2, 500);
	row = class_of(trial_of(&result, config.backends), "test_lane");
	assert_int_equal(row->acquired, 2 * (500 * MIXED_OPS - 1));
	assert_int_equal(row->contended, 0);
	assert_int_equal(row->owner_switches, 0);
	assert_true(row->wait_ns == 0);
	assert_int_equal(row->instances, 2);
	done(&config, &result);
}

/* The control: the same lock, not shared. */
static void one_lane_never_contends(void **state)
{
	struct rh_run_config config = config_of(plugin("locking", ":lock=shared"));
	struct rh_result result;
	const struct rh_lock_found *row;

	(void)state;
	make_mixed(2, 200);
	config.probes = "locks";
	config.lanes = "1";
	run(&config, &result);
	row = class_of(trial_of(&result, config.backends), "test_shared");
	assert_int_equal(row->contended, 0);
	/* 62 sleeps of 100 us with the lock held, one hold in 64 timed: those very ones */
	assert_true(row->hold_mean_ns >= 100000);
	done(&config, &result);
}

/* A backend that itself sleeps 3 x 60 ms is blocked for as long; a lane that sleeps for another
 * lane's order is not. */
static void own_sleeps_are_blocked_time(void **state)
{
	struct rh_run_config config = config_of(plugin("locking", ":lock=lane:nap=4000"));
	struct rh_result result;
	const struct rh_locks_found *locks;

	(void)state;
	run_probes(&config, &result, "locks", 1, 1300); /* 12999 operations */
	locks = FOUND(trial_of(&result, config.backends), locks);
	/* On a loaded machine the run delay is read a little outside the span, so that some of the
	 * sleep counts as delay: the two together hold all of it. */
	assert_true(locks->blocked_share > 0);
	assert_true(locks->blocked_share * locks->span_ns + (double)locks->run_delay_ns >= 179e6);
	assert_true(locks->switches_voluntary >= 3);
	locks = FOUND(trial_of(&result, "null"), locks);
	assert_true(locks->blocked_share <= 1);
	done(&config, &result);
}

/* Whether the probe says that it lacks something. What is derived may be absent, too, and leaves
 * the exit status alone. */
static bool lacks(const struct rh_result *result)
{
	for (size_t i = 0; i < result->absent_count; i++)
		if (strncmp(result->absent[i].metric, "locks.", strlen("locks.")) == 0)
			return true;
	return false;
}

/* Every backend has a row for its threads; figures that the kernel does not provide have a sentence
 * instead. */
static void every_backend_has_a_row(void **state)
{
	struct rh_run_config config = config_of("null,libc,bump");
	struct rh_result result;

	(void)state;
	run_probes(&config, &result, "locks", 2, 300);
	for (uint32_t b = 0; b < 3; b++) {
		const struct rh_metric *futex = rh_result_metric(
			&result, (struct rh_metric_place){ 0, b, 2, 1 }, "locks.futex_per_event");

		assert_non_null(rh_result_metric(&result, (struct rh_metric_place){ 0, b, 2, 1 },
						 "locks.switches_voluntary_per_event"));
		assert_true(futex || is_absent(&result, "locks.futex_per_event"));
	}
	assert_int_equal(result.exit, lacks(&result) ? RH_PARTIAL : RH_OK);
	done(&config, &result);
}

static void mutexes_are_counted_from_outside(void **state)
{
	struct rh_run_config config = config_of(plugin("locking", ":lock=pthread"));
	struct rh_result result;
	const struct rh_mutex_found *mutex;

	(void)state;
	run_probes(&config, &result, "mutex", 2, 500);
#ifdef RH_SANITIZE
	assert_true(is_absent(&result, "mutex"));
#else
	mutex = FOUND(trial_of(&result, config.backends), mutex);
	assert_int_equal(mutex->acquired, 2 * (500 * MIXED_OPS - 1));
	assert_true(mutex->contended > 0);
	assert_true(mutex->wait_ns > 0);
	mutex = FOUND(trial_of(&result, "null"), mutex);
	assert_int_equal(mutex->acquired, 0);
	assert_int_equal(mutex->futex_waits, 0);
#endif
	(void)mutex;
	done(&config, &result);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_shared_lock_contends),
		cmocka_unit_test(lane_locks_do_not),
		cmocka_unit_test(one_lane_never_contends),
		cmocka_unit_test(own_sleeps_are_blocked_time),
		cmocka_unit_test(every_backend_has_a_row),
		cmocka_unit_test(mutexes_are_counted_from_outside),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
