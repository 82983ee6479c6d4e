/*
 * test_passes.c - several passes in one worker: objects alive at the end of one live on and die
 * in the next where their successor is born. Facts, no times.
 */
#include "harness/test/worker_support.h"

static const struct rh_grain *end_of(const struct rh_result *result)
{
	const struct rh_program *program = &result->programs[0].program;

	return &program->grain_facts[program->head->grains - 1];
}

/* Every pass does all of the work, and carries the objects that live at the trace's end. */
static void passes_of(uint32_t lanes, unsigned rounds, const char *backends, const char *copies,
		      bool verify)
{
	struct rh_run_config config = config_of(backends);
	struct rh_result result;

	make_mixed(lanes, rounds);
	config.passes = 3;
	config.copies = copies;
	config.replay.verify = verify;
	config.segment_events = 3000;
	run(&config, &result);
	all_ok(&result);
	for (size_t t = 0; t < result.trial_count; t++) {
		const struct rh_trial *trial = &result.trials[t];
		const struct rh_grain *end = end_of(&result);

		assert_int_equal(trial->pass_count, 3);
		for (size_t p = 0; p < 3; p++) {
			assert_int_equal(trial->passes[p].events,
					 result.programs[0].program.head->events * trial->copies);
			assert_int_equal(trial->passes[p].waits, trial->passes[0].waits);
		}
		for (size_t p = 1; p < 3; p++) {
			assert_int_equal(trial->passes[p].carried_objects,
					 end->live_objects * trial->copies);
			assert_int_equal(trial->passes[p].carried_bytes,
					 end->live_bytes * trial->copies);
		}
		if (trial->copies == 1) {
			assert_int_equal(trial->passes[1].live_end, end->live_bytes);
			assert_int_equal(trial->passes[2].live_end, end->live_bytes);
			assert_true(trial->passes[1].live_peak >= end->live_bytes);
		}
	}
	done(&config, &result);
}

static void what_lives_is_carried_over(void **state)
{
	(void)state;
	passes_of(1, 2000, "null,libc,bump,checked:libc", "1", false);
	passes_of(3, 700, "null,libc", "1", false);
}

static void contents_survive_the_seam(void **state)
{
	(void)state;
	passes_of(1, 1000, "libc", "1", true);
	passes_of(4, 300, "libc", "1", true);
	passes_of(2, 500, "libc", "3", true);
}

/* The figures of a trial are those of its first pass, with one pass or several. */
static void the_first_pass_is_the_trial(void **state)
{
	struct rh_run_config config = config_of("libc");
	struct rh_result one, three;

	(void)state;
	make_mixed(2, 1500);
	run(&config, &one);
	config.passes = 3;
	rh_run_config_free(&config);
	config.lane_list = config.copy_list = NULL;
	config.lane_count = config.copy_count = 0;
	run(&config, &three);
	assert_int_equal(one.trials[0].events, three.trials[0].events);
	assert_int_equal(one.trials[0].waits, three.trials[0].waits);
	assert_int_equal(one.trials[0].segment_count, three.trials[0].segment_count);
	assert_int_equal(one.trials[0].pass_count, 1);
	assert_null(rh_result_metric(&one, (struct rh_metric_place){ 0, 0, 2, 1 },
				     "steady.ns_per_event"));
	assert_non_null(rh_result_metric(&three, (struct rh_metric_place){ 0, 0, 2, 1 },
					 "steady.ns_per_event"));
	rh_result_free(&one);
	done(&config, &three);
}

/* The known answer: N blocks that live to the end, then blocks that come and go. A heap that never
 * reuses has all of it once more after each pass; one that does has it once. At no segment of the
 * second pass does more live than in the first plus what was not reborn yet. */
static void nothing_is_drained(void **state)
{
	enum { BLOCKS = 500, BYTES = 32 << 10, PASSES = 3 };
	struct rh_run_config config = config_of("bump,libc,null");
	struct rh_result result;
	const struct rh_trial_pass *pass;
	const double whole = (double)BLOCKS * BYTES;
	uint64_t start;
	struct maker m;

	(void)state;
	skip_sanitized();
	make_open(&m, 0);
	for (int i = 0; i < BLOCKS; i++)
		alloc_of(&m, 0, BYTES);
	make_close(&m);
	config.replay.touch = RH_TOUCH_FULL;
	config.passes = PASSES;
	run(&config, &result);
	all_ok(&result);
	start = trial_of(&result, "bump")->anon_start;
	pass = trial_of(&result, "bump")->passes;
	for (int p = 0; p < PASSES; p++)
		assert_true((double)(pass[p].anon_end - start) > 0.99 * whole * (p + 1));
	pass = trial_of(&result, "libc")->passes;
	assert_true((double)(pass[2].anon_end - start) < 1.1 * whole);
	assert_int_equal(pass[1].live_peak, BLOCKS * BYTES);
	assert_true(pass[0].faults_minor > BLOCKS * 7);
	assert_true(pass[2].faults_minor < BLOCKS * 2);
	done(&config, &result);
}

static void passes_go_on_for_a_time(void **state)
{
	struct rh_run_config config = config_of("libc");
	struct rh_result result;

	(void)state;
	make_mixed(1, 200);
	config.for_ns = 1;
	run(&config, &result);
	all_ok(&result);
	assert_int_equal(trial_of(&result, "libc")->pass_count, 2);
	rh_result_free(&result);
	rh_run_config_free(&config);
	config.lane_list = config.copy_list = NULL;
	config.lane_count = config.copy_count = 0;
	config.for_ns = 2000000000; /* a pass takes some us; a loaded machine has 0.1 s for two */
	run(&config, &result);
	all_ok(&result);
	assert_true(trial_of(&result, "libc")->pass_count > 2);
	done(&config, &result);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_lives_is_carried_over),
		cmocka_unit_test(contents_survive_the_seam),
		cmocka_unit_test(the_first_pass_is_the_trial),
		cmocka_unit_test(nothing_is_drained),
		cmocka_unit_test(passes_go_on_for_a_time),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
