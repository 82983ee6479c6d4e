/*
 * test_probe_memory.c - where blocks lie and what is resident: lines shared by two lanes on a
 * backend whose packing is known, and figures without the harness's own pages.
 */
#include "harness/test/probe_support.h"

/* Lane 0 and lane 1 in strict turns, by blocks that the other frees: each round takes four
 * steps of 16 bytes, of which the first and the third stay. */
static void make_turns(unsigned rounds)
{
	struct maker m;

	make_open(&m, 0);
	for (unsigned i = 0; i < rounds; i++) {
		uint64_t baton;

		alloc_of(&m, 0, 16);
		baton = alloc_of(&m, 0, 16);
		free_of(&m, 1, baton);
		alloc_of(&m, 1, 16);
		baton = alloc_of(&m, 1, 16);
		free_of(&m, 0, baton);
	}
	make_close(&m);
}

static void two_lanes_in_a_line_are_seen(void **state)
{
	struct rh_run_config config;
	struct rh_result result;
	char backends[9000];
	const struct rh_blocks_found *blocks;

	(void)state;
	make_turns(2000);
	snprintf(backends, sizeof(backends), "%s,%s", plugin("packing", ":round=4"),
		 plugin("packing", ":from=lane"));
	config = config_of(backends);
	config.probes = "blocks";
	run(&config, &result);
	all_ok(&result);
	assert_true(median(&result, 0, "memory.false_sharing") == 1.0);
	assert_true(median(&result, 1, "memory.false_sharing") == 0.0);
	assert_true(median(&result, 0, "memory.internal_waste") == 0.25);
	blocks = FOUND(trial_of(&result, result.backends[0].text), blocks);
	assert_int_equal((int)blocks->objects[blocks->objects_count - 1], 4000);
	assert_int_equal((int)blocks->lines[blocks->lines_count - 1], 2000);
	/* It gave exactly what was asked for, or does not report it: that is not a waste of 0. */
	assert_has(why_absent(&result, "blocks"), "does not report");
	done(&config, &result);
}

/* No figure includes the harness's own pages: the null floor, which has only those, shows 0. */
static void the_null_run_shows_nothing(void **state)
{
	struct rh_run_config config = config_of("null,libc");
	struct rh_result result;

	(void)state;
#ifdef RH_SANITIZE
	print_message("# SKIP shadow memory is in every figure\n");
	skip();
#endif
	make_mixed(2, 500);
	run(&config, &result);
	all_ok(&result);
	assert_true(median(&result, 0, "memory.rss_start_bytes") == 0);
	assert_true(median(&result, 0, "memory.rss_peak_bytes") <= 64 << 10);
	assert_true(median(&result, 0, "memory.reserved_peak_bytes") <= 64 << 10);
	assert_true(median(&result, 1, "memory.rss_peak_bytes") > 64 << 10);
	assert_true(median(&result, 1, "memory.reserved_peak_bytes") >=
		    median(&result, 1, "memory.rss_peak_bytes"));
	assert_true(median(&result, 1, "memory.retained_share") <= 1.0);
	assert_true(trial_of(&result, "libc")->segments[0].pss_bytes > 0);
	done(&config, &result);
}

/* 200 blocks of 256 KiB, of each 16 KiB were resident when it died: that much is touched. */
static void recorded_residency_is_touched(void **state)
{
	enum { BLOCKS = 200, SIZE = 256 << 10, RESIDENT = 16 << 10 };
	struct rh_run_config config = config_of("bump");
	const struct rh_metric *rss;
	struct rh_result result;
	struct maker m;

	(void)state;
	skip_sanitized();
	make_open(&m, RH_COL_ARG);
	for (unsigned i = 0; i < BLOCKS; i++)
		alloc_of(&m, 0, SIZE);
	for (unsigned i = 0; i < BLOCKS; i++)
		make_put(&m, EVENT(.kind = RH_EV_FREE, .id = i, .arg = RESIDENT));
	make_close(&m);
	config.replay.touch = RH_TOUCH_RECORDED;
	run(&config, &result);
	all_ok(&result);
	rss = rh_result_metric(&result, (struct rh_metric_place){ 0, 0, 1, 1 },
			       "memory.rss_peak_bytes");
	assert_non_null(rss);
	assert_true(rss->median >= (double)BLOCKS * RESIDENT);
	assert_true(rss->median < 2.0 * BLOCKS * RESIDENT);
	done(&config, &result);
}

/* Blocks of unknown residency must count in full: memory is never reported for blocks that were not
 * written. */
static void unknown_residency_is_all(void **state)
{
	enum { BLOCKS = 4000, SIZE = 8 << 10 };
	struct rh_run_config config = config_of("bump");
	const struct rh_metric *rss;
	struct rh_result result;
	struct maker m;
	bool said = false;

	(void)state;
	skip_sanitized();
	make_open(&m, 0);
	for (unsigned i = 0; i < BLOCKS; i++)
		alloc_of(&m, 0, SIZE);
	make_close(&m);
	config.replay.touch = RH_TOUCH_RECORDED;
	run(&config, &result);
	all_ok(&result);
	rss = rh_result_metric(&result, (struct rh_metric_place){ 0, 0, 1, 1 },
			       "memory.rss_peak_bytes");
	assert_non_null(rss);
	assert_true(rss->median >= (double)BLOCKS * SIZE);
	assert_string_equal(result.touch, "full");
	for (size_t i = 0; i < result.warning_count; i++)
		said |= strstr(result.warnings[i], "does not say how much") != NULL;
	assert_true(said);
	done(&config, &result);
}

/* Blocks of 40 MiB, which glibc unmaps again before memory is read: the peak includes them. */
static void a_peak_between_two_looks_is_seen(void **state)
{
	enum { BLOCKS = 3, SIZE = 40 << 20 };
	struct rh_run_config config = config_of("libc");
	const struct rh_trial *trial;
	struct rh_result result;
	struct maker m;

	(void)state;
	skip_sanitized();
	make_open(&m, 0);
	for (unsigned i = 0; i < BLOCKS; i++) {
		alloc_of(&m, 0, SIZE);
		make_put(&m, EVENT(.kind = RH_EV_FREE, .id = i));
	}
	make_close(&m);
	config.replay.touch = RH_TOUCH_FULL;
	run(&config, &result);
	all_ok(&result);
	trial = trial_of(&result, "libc");
	assert_true(trial->segments[trial->segment_count - 1].anon_bytes <
		    trial->anon_start + SIZE / 2);
	assert_true(median(&result, 0, "memory.rss_peak_bytes") > SIZE - (1 << 20));
	assert_true(median(&result, 0, "memory.rss_peak_bytes") < 2.0 * SIZE);
	done(&config, &result);
}

/* A short program that frees all its blocks: a single segment, with nothing live at its end, would
 * show what a heap keeps and not what it needs. */
static void a_short_program_is_looked_at_where_it_is_fullest(void **state)
{
	enum { BLOCKS = 2048, SIZE = 200 };
	struct rh_run_config config = config_of("libc");
	const struct rh_trial *trial;
	struct rh_result result;
	struct maker m;

	(void)state;
	skip_sanitized();
	make_open(&m, 0);
	for (unsigned i = 0; i < BLOCKS; i++)
		alloc_of(&m, 0, SIZE);
	for (unsigned i = BLOCKS; i-- > 0;)
		make_put(&m, EVENT(.kind = RH_EV_FREE, .id = i));
	make_close(&m);
	config.replay.touch = RH_TOUCH_FULL;
	run(&config, &result);
	all_ok(&result);
	trial = trial_of(&result, "libc");
	assert_int_equal(trial->segment_count, 2);
	assert_in_range(trial->segments[0].live_bytes, (BLOCKS - 512) * SIZE, BLOCKS * SIZE);
	assert_in_range(trial->segments[0].anon_bytes - trial->anon_start, BLOCKS * SIZE * 3 / 4,
			BLOCKS * SIZE * 2);
	assert_true(median(&result, 0, "memory.rss_peak_bytes") > BLOCKS * SIZE * 3 / 4);
	done(&config, &result);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_peak_between_two_looks_is_seen),
		cmocka_unit_test(a_short_program_is_looked_at_where_it_is_fullest),
		cmocka_unit_test(two_lanes_in_a_line_are_seen),
		cmocka_unit_test(the_null_run_shows_nothing),
		cmocka_unit_test(recorded_residency_is_touched),
		cmocka_unit_test(unknown_residency_is_all),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
