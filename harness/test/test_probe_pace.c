/*
 * test_probe_pace.c - recorded time on real workers: nothing starts before it is due, lateness
 * is measured, and copies share one clock.
 */
#include "harness/test/probe_support.h"

/* Allocations `gap_ns` apart, on one lane. */
static void make_paced(unsigned count, uint64_t gap_ns)
{
	struct maker m;

	make_open(&m, RH_COL_TIME);
	for (unsigned i = 0; i < count; i++)
		make_put(&m,
			 EVENT(.kind = RH_EV_ALLOC, .id = i, .size = 64, .time_ns = i * gap_ns));
	make_close(&m);
}

/* Nothing starts before it is due, so the run cannot be shorter than the recording / speed. */
static void recorded_time_is_kept(void **state)
{
	static const struct {
		enum rh_ctl_pace pace;
		double speed;
	} ways[] = {
		{ RH_PACE_OPEN, 1 },
		{ RH_PACE_THINK, 1 },
		{ RH_PACE_OPEN, 4 },
	};

	(void)state;
	make_paced(101, 500000); /* 50 ms */
	for (size_t i = 0; i < 3; i++) {
		struct rh_run_config config = config_of("libc");
		struct rh_result result;
		const struct rh_trial *trial;

		config.replay.pace = ways[i].pace;
		config.replay.speed = ways[i].speed;
		run(&config, &result);
		all_ok(&result);
		trial = trial_of(&result, "libc");
		assert_true((double)trial->wall_ns >= 50e6 / ways[i].speed * 0.999);
		assert_int_equal(FOUND(trial, pace)->n, 100);
		/* a lane that the kernel held up for the whole run is late instead */
		assert_true(FOUND(trial, pace)->waited_ns > 0 ||
			    FOUND(trial, pace)->lag_max_ns > 0);
		done(&config, &result);
	}
}

/* 200 operations due within 0.2 ms that take 200 us each: the last is 40 ms late. */
static void a_backlog_is_told(void **state)
{
	struct rh_run_config config = config_of("slow:spin=200us:libc");
	struct rh_result result;
	const struct rh_trial *trial;
	const struct rh_pace_found *pace;
	const struct rh_latency_of *response;

	(void)state;
	make_paced(200, 1000);
	config.probes = "latency";
	config.replay.sample = 1;
	config.replay.pace = RH_PACE_OPEN;
	run(&config, &result);
	all_ok(&result);
	trial = trial_of(&result, config.backends);
	pace = FOUND(trial, pace);
	assert_true(pace->could_not_keep_pace);
	assert_true(pace->lag_max_ns >= 199 * 199e3 - 0.2e6);
	response = FOUND(trial, latency)->response;
	assert_true(response->max_ns >= 199 * 199e3);
	/* the service time itself does not grow with the queue before it */
	assert_true(FOUND(trial, latency)->all->mean_ns < response->mean_ns);
	assert_true(result.warning_count > 0);
	done(&config, &result);
}

static void pace_needs_times(void **state)
{
	struct rh_run_config config = config_of("libc");
	struct rh_result result;
	struct rh_err err = { 0 };

	(void)state;
	make_mixed(1, 20);
	config.replay.pace = RH_PACE_OPEN;
	assert_int_equal(try_run(&config, &result, &err), -1);
	assert_int_equal(err.code, RH_USAGE);
	assert_has(err.text, "recorded times");
	done(&config, &result);
}

/* Copies are shifted by half the recording: both keep the one clock of the run. */
static void shifted_copies_keep_time(void **state)
{
	struct rh_run_config config = config_of("libc");
	struct rh_result result;
	const struct rh_trial *trial;

	(void)state;
	make_paced(1000, 50000);
	config.replay.pace = RH_PACE_OPEN;
	config.copies = "2";
	run(&config, &result);
	all_ok(&result);
	trial = trial_of(&result, "libc");
	assert_int_equal(trial->events, 2 * result.programs[0].program.head->events);
	/* no op of either copy was lost, and both had to wait */
	assert_true(FOUND(trial, pace)->n >= 1900);
	done(&config, &result);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(recorded_time_is_kept),
		cmocka_unit_test(a_backlog_is_told),
		cmocka_unit_test(pace_needs_times),
		cmocka_unit_test(shifted_copies_keep_time),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
