/*
 * test_compile.c - small traces whose edges, slots and facts can be counted by hand, compiled
 * and checked by an independent judge (check_program.h); and the errors of compiling.
 */
#include "alloc/base/interrupt.h"
#include "harness/test/compile_support.h"

/* ---- edges that can be counted by hand ---- */

static void frees_in_order_wait_each(void **state)
{
	struct rh_compile_stats stats;
	struct maker m;

	(void)state;
	open_lanes(&m, 2);
	for (int i = 0; i < 3; i++)
		alloc_of(&m, 0, 16);
	for (uint64_t i = 0; i < 3; i++)
		free_of(&m, 1, i);
	make_close(&m);
	stats = judge(NULL);
	assert_int_equal(stats.edges_all, 3);
	assert_int_equal(stats.waits, 3);
	assert_int_equal(stats.publishes, 3);
	stats = judge_lanes(1);
	assert_int_equal(stats.edges_all, 0);
	assert_int_equal(stats.waits, 0);
	assert_int_equal(stats.lanes, 1);
}

static void frees_backwards_wait_once(void **state)
{
	struct rh_compile_stats stats;
	struct maker m;

	(void)state;
	open_lanes(&m, 2);
	for (int i = 0; i < 3; i++)
		alloc_of(&m, 0, 16);
	for (uint64_t i = 3; i-- > 0;)
		free_of(&m, 1, i);
	make_close(&m);
	stats = judge(NULL);
	assert_int_equal(stats.edges_all, 3);
	assert_int_equal(stats.waits, 1);
	assert_int_equal(stats.publishes, 1);
}

/* Two lanes wait for the same event: it is published once. */
static void one_publish_serves_all(void **state)
{
	struct rh_compile_stats stats;
	struct maker m;

	(void)state;
	open_lanes(&m, 3);
	alloc_of(&m, 0, 16);
	alloc_of(&m, 0, 16);
	free_of(&m, 1, 1);
	free_of(&m, 2, 1 - 1);
	alloc_of(&m, 0, 16);
	resize_of(&m, 1, 2, 32);
	free_of(&m, 2, 3);
	make_close(&m);
	stats = judge(NULL);
	/* 1 and 0 at different places of lane 0, then 2, then lane 1's resize. */
	assert_int_equal(stats.waits, 4);
	assert_int_equal(stats.publishes, 4);
}

/* Knowledge that came through a third lane. */
static void third_lane_tells(void **state)
{
	struct rh_compile_stats stats;
	uint64_t a, b, c;
	struct maker m;

	(void)state;
	open_lanes(&m, 3);
	a = alloc_of(&m, 0, 16);
	b = alloc_of(&m, 0, 16);
	free_of(&m, 1, b); /* waits for lane 0 */
	c = alloc_of(&m, 1, 16);
	free_of(&m, 2, c); /* waits for lane 1 ... */
	free_of(&m, 2, a); /* ... which knew of lane 0 */
	make_close(&m);
	stats = judge(NULL);
	assert_int_equal(stats.edges_all, 3);
	assert_int_equal(stats.waits, 2);
}

/* The third lane learnt it only after the event that was waited for. */
static void third_lane_learns_later(void **state)
{
	struct rh_compile_stats stats;
	uint64_t a, b, c;
	struct maker m;

	(void)state;
	open_lanes(&m, 3);
	a = alloc_of(&m, 0, 16);
	b = alloc_of(&m, 0, 16);
	c = alloc_of(&m, 1, 16);
	free_of(&m, 1, b);
	free_of(&m, 2, c);
	free_of(&m, 2, a);
	make_close(&m);
	stats = judge(NULL);
	assert_int_equal(stats.edges_all, 3);
	assert_int_equal(stats.waits, 3);
}

static void barriers_replace_edges(void **state)
{
	struct rh_compile_options options = { .grain_events = 4, .epoch_events = 4 };
	struct rh_compile_stats stats;
	struct maker m;

	(void)state;
	open_lanes(&m, 2);
	alloc_of(&m, 0, 16);
	alloc_of(&m, 0, 16);
	free_of(&m, 1, 0);
	free_of(&m, 1, 1);
	make_close(&m);
	stats = judge(&options);
	assert_int_equal(stats.edges_all, 2);
	assert_int_equal(stats.waits, 0);
}

static void tasks_are_ordered(void **state)
{
	struct rh_compile_stats stats;
	struct maker m;

	(void)state;
	make_open(&m, RH_COL_TASK | RH_COL_ARG);
	lane_start(&m, 0);
	lane_start(&m, 1);
	make_put(&m, EVENT(.kind = RH_EV_SPAWN, .id = 1, .size = 2048, .task = 0));
	/* its first event waits for the spawn, later ones do not */
	make_put(&m, EVENT(.kind = RH_EV_ALLOC, .lane = 1, .id = 0, .size = 8, .task = 1));
	make_put(&m, EVENT(.kind = RH_EV_ALLOC, .lane = 1, .id = 1, .size = 8, .task = 1));
	make_put(&m, EVENT(.kind = RH_EV_CALL, .lane = 1, .id = 1, .size = 64, .task = 1));
	/* moves to lane 0: the op before on lane 1 is waited for */
	make_put(&m,
		 EVENT(.kind = RH_EV_GROW, .lane = 0, .id = 1, .size = 4096, .arg = 64, .task = 1));
	make_put(&m, EVENT(.kind = RH_EV_RETURN, .lane = 0, .id = 1, .size = 64, .task = 1));
	make_put(&m, EVENT(.kind = RH_EV_EXIT, .lane = 0, .id = 1, .task = 1));
	/* joined on lane 1: waits for the exit */
	make_put(&m, EVENT(.kind = RH_EV_JOIN, .lane = 1, .id = 1, .task = 0));
	make_put(&m, EVENT(.kind = RH_EV_SPAWN, .lane = 1, .id = 2, .size = 2048, .task = 0));
	make_close(&m);
	stats = judge(NULL);
	assert_int_equal(stats.waits, 3);
	assert_int_equal(stats.task_slots, 16); /* a line of 8 for each lane */
	stats = judge_lanes(1);
	assert_int_equal(stats.waits, 0);
}

static void stopped_lanes_give_way(void **state)
{
	struct rh_compile_stats stats;
	struct maker m;

	(void)state;
	open_lanes(&m, 1);
	for (uint32_t i = 1; i <= 100; i++) {
		lane_start(&m, i);
		free_of(&m, 0, alloc_of(&m, i, 100));
		lane_stop(&m, i);
	}
	make_close(&m);
	stats = judge(NULL);
	assert_int_equal(stats.lanes_recorded, 101);
	assert_int_equal(stats.lanes, 2);
	assert_int_equal(stats.waits, 100);
	stats = judge_lanes(7);
	assert_int_equal(stats.lanes, 7);
	stats = judge_lanes(1000);
	assert_int_equal(stats.lanes, 101); /* none that would only idle */
}

static void handed_over_slots_come_back(void **state)
{
	struct rh_compile_options options = { .grain_events = 256, .epoch_events = 1024 };
	struct rh_compile_stats stats;
	struct maker m;

	(void)state;
	open_lanes(&m, 2);
	for (int i = 0; i < 20000; i++)
		free_of(&m, 1, alloc_of(&m, 0, 64));
	make_close(&m);
	stats = judge(&options);
	/* An epoch bears 512; without handing back it would be 20,000. */
	assert_in_range(stats.slots, 512, 2 * 512 + 16);
	stats = judge_lanes(1);
	assert_int_equal(stats.slots, 8);
}

/* More ids than the young window, few of them alive: the old half of the table works. */
static void long_lived_objects_are_found(void **state)
{
	uint64_t old[64];
	struct maker m;

	(void)state;
	open_lanes(&m, 1);
	for (uint64_t i = 0; i < 64; i++) {
		old[i] = alloc_of(&m, 0, 1000 + i);
		for (int k = 0; k < 3000; k++)
			free_of(&m, 0, alloc_of(&m, 0, 8));
	}
	for (uint64_t i = 0; i < 64; i += 2)
		free_of(&m, 0, old[i]);
	for (uint64_t i = 1; i < 64; i += 2)
		free_of(&m, 0, resize_of(&m, 0, old[i], 5));
	make_close(&m);
	assert_int_equal(judge(NULL).slots, 72);
}

/* So many live long that the window widens, with some in the hash already. */
static void many_long_lived_objects_are_found(void **state)
{
	enum { MANY = 200000 };
	struct maker m;

	(void)state;
	open_lanes(&m, 2);
	for (uint64_t i = 0; i < MANY; i++)
		alloc_of(&m, 0, i % 500);
	for (uint64_t i = 0; i < MANY; i++) /* a permutation: 7919 is prime */
		free_of(&m, i & 1, i * 7919 % MANY);
	make_close(&m);
	assert_int_equal(judge_lanes(1).slots, MANY);
	judge(NULL);
}

/* ---- what rides along ---- */

static const struct rh_op *find_op(const struct rh_program *program, uint32_t lane, unsigned kind,
				   int nth)
{
	const struct rh_op *op = rh_program_ops(program, lane);

	for (uint64_t at = 0; at < program->lanes[lane].op_words; at += check_words(&op[at]))
		if (RH_OP_KIND(op[at].what) == kind && nth-- == 0)
			return &op[at];
	return NULL;
}

static void touch_comes_from_residency(void **state)
{
	struct rh_compile_options options = { .touch = true };
	const struct rh_op *large;
	struct rh_program program;
	struct rh_err err = { 0 };
	struct maker m;

	(void)state;
	make_open(&m, RH_COL_ARG);
	lane_start(&m, 0);
	alloc_of(&m, 0, 100000);
	alloc_of(&m, 0, 100);
	alloc_of(&m, 0, 100);
	make_put(&m, EVENT(.kind = RH_EV_FREE, .id = 1, .arg = 4096)); /* more than it has */
	make_put(&m, EVENT(.kind = RH_EV_FREE, .id = 2));	       /* unknown */
	make_put(&m, EVENT(.kind = RH_EV_FREE, .id = 0, .arg = 8192));
	make_close(&m);
	CHECK(rh_compile(trace_path, &options, &program, NULL, &err) == 0, "%s", err.text);
	assert_int_equal(program.head->touched, 1);
	/* the large one in words of its own: slot, from, to */
	large = find_op(&program, 0, RH_OP_MISC, 1); /* after the TURN */
	assert_int_equal(large->what, RH_OP_WHAT(RH_OP_MISC, RH_MISC_TOUCH));
	assert_int_equal(check_word(large, 0),
			 RH_OP_SLOT(find_op(&program, 0, RH_OP_ALLOC, 0)->what));
	assert_int_equal(check_word(large, 1), 0);
	assert_int_equal(check_word(large, 2), 8192);
	assert_int_equal(find_op(&program, 0, RH_OP_TOUCH, 0)->size, 100);
	assert_int_equal(find_op(&program, 0, RH_OP_TOUCH, 1)->size, 100); /* unknown: all of it */
	assert_null(find_op(&program, 0, RH_OP_TOUCH, 2));
	rh_program_unmap(&program);
	/* known of two deaths in three: too few for touch_known */
	options = (struct rh_compile_options){ .touch_known = true };
	CHECK(rh_compile(trace_path, &options, &program, NULL, &err) == 0, "%s", err.text);
	assert_int_equal(program.head->touched, 0);
	assert_int_equal(check_word(find_op(&program, 0, RH_OP_MISC, 1), 2), 100000);
	rh_program_unmap(&program);
}

/* Large blocks: the part that a resize adds is new, and no more is touched than the program ever
 * had resident. */
static void large_blocks_are_touched_within_bounds(void **state)
{
	static const uint64_t touched[][2] = { { 0, 1 << 20 }, { 1 << 20, 3 << 20 }, { 0, 65536 } };
	struct rh_compile_stats stats;
	struct rh_program program;
	struct rh_err err = { 0 };
	const struct rh_op *op;
	struct maker m;

	(void)state;
	make_open(&m, 0);
	CHECK(rh_trace_add_note(m.out, "peak_rss_bytes", "4194304", &err) == 0, "%s", err.text);
	lane_start(&m, 0);
	alloc_of(&m, 0, 1 << 20);
	make_put(&m, EVENT(.kind = RH_EV_RESIZE, .old = 0, .id = 1, .size = 3 << 20));
	make_put(&m, EVENT(.kind = RH_EV_RESIZE, .old = 1, .id = 2, .size = 2 << 20));
	make_put(&m, EVENT(.kind = RH_EV_ALLOC, .id = 3, .size = 8ull << 30)); /* never */
	make_put(&m, EVENT(.kind = RH_EV_ALLOC, .id = 4, .size = 65535));      /* by the loop */
	make_put(&m, EVENT(.kind = RH_EV_ALLOC, .id = 5, .size = 65536));
	make_put(&m, EVENT(.kind = RH_EV_ALLOC, .id = 6, .size = 3 << 20)); /* not beside id 2 */
	make_close(&m);
	CHECK(rh_compile(trace_path, NULL, &program, &stats, &err) == 0, "%s", err.text);
	for (int i = 0; i < 3; i++) {
		op = find_op(&program, 0, RH_OP_MISC, i + 1); /* 0 is the TURN */
		assert_int_equal(op->what, RH_OP_WHAT(RH_OP_MISC, RH_MISC_TOUCH));
		assert_int_equal(check_word(op, 1), touched[i][0]);
		assert_int_equal(check_word(op, 2), touched[i][1]);
	}
	assert_null(find_op(&program, 0, RH_OP_MISC, 4));
	assert_int_equal(stats.untouched, 2);
	assert_int_equal(stats.untouched_bytes, (8ull << 30) + (3 << 20));
	assert_true(stats.touch_noted);
	rh_program_unmap(&program);
}

static void pace_adds_up_to_recorded_time(void **state)
{
	struct rh_compile_options options = { .times = true };
	struct rh_program program;
	struct rh_err err = { 0 };
	uint64_t sum = 0;
	struct maker m;

	(void)state;
	make_open(&m, RH_COL_TIME);
	make_put(&m, EVENT(.kind = RH_EV_LANE_START, .time_ns = 5));
	make_put(&m, EVENT(.kind = RH_EV_ALLOC, .id = 0, .size = 1, .time_ns = 100));
	make_put(&m, EVENT(.kind = RH_EV_ALLOC, .id = 1, .size = 1, .time_ns = 100));
	make_put(&m, EVENT(.kind = RH_EV_FREE, .id = 0, .time_ns = 9000000000));
	make_close(&m);
	CHECK(rh_compile(trace_path, &options, &program, NULL, &err) == 0, "%s", err.text);
	assert_int_equal(program.head->paced, 1);
	assert_int_equal(find_op(&program, 0, RH_OP_PACE, 0)->size, 100);
	for (int i = 0; find_op(&program, 0, RH_OP_PACE, i); i++)
		sum += find_op(&program, 0, RH_OP_PACE, i)->size;
	assert_int_equal(sum, 9000000000);
	assert_int_equal(program.head->time_ns_last, 9000000000);
	rh_program_unmap(&program);
}

static void facts_of_grains(void **state)
{
	struct rh_compile_options options = { .grain_events = 3, .epoch_events = 6 };
	struct rh_program program;
	struct rh_err err = { 0 };
	struct maker m;

	(void)state;
	open_lanes(&m, 1);
	alloc_of(&m, 0, 10);
	alloc_of(&m, 0, 20);
	free_of(&m, 0, 0);
	alloc_of(&m, 0, 5);
	free_of(&m, 0, 1);
	free_of(&m, 0, 2);
	make_close(&m);
	CHECK(rh_compile(trace_path, &options, &program, NULL, &err) == 0, "%s", err.text);
	assert_int_equal(program.head->grains, 3);
	assert_int_equal(program.head->epoch_grains, 2);
	assert_int_equal(program.grain_facts[0].live_bytes, 30);
	assert_int_equal(program.grain_facts[0].bytes_allocated, 30);
	assert_int_equal(program.grain_facts[1].live_bytes, 5);
	assert_int_equal(program.grain_facts[1].live_objects, 1);
	assert_int_equal(program.grain_facts[1].bytes_allocated, 5);
	assert_int_equal(program.grain_facts[2].events, 1);
	assert_int_equal(program.grain_facts[2].live_bytes, 0);
	assert_int_equal(program.head->live_bytes_peak, 30);
	assert_int_equal(program.head->live_objects_peak, 2);
	assert_int_equal(program.head->size_max, 20);
	assert_true(program.head->time_ns_last == RH_NONE);
	rh_program_unmap(&program);
}

/* ---- errors ---- */

static void says_what_is_wrong(void **state)
{
	struct rh_compile_options many = { .lanes = 5000 };
	struct rh_compile_options nowhere = { .work_dir = "/no/such/dir" };
	struct rh_compile_options long_epoch = { .epoch_events = UINT32_MAX };
	struct rh_compile_options two = { .lanes = 2 };
	struct maker m;

	(void)state;
	assert_int_equal(fails("/no/such/trace.rht", NULL, "/no/such/trace.rht"), RH_NO_INPUT);
	make_open(&m, 0);
	make_close(&m);
	assert_int_equal(fails(trace_path, NULL, trace_path), RH_BAD_DATA);
	make_open(&m, 0);
	for (uint32_t lane = 0; lane < 4; lane++)
		alloc_of(&m, lane, 16);
	make_close(&m);
	assert_int_equal(fails(trace_path, &many, "5000"), RH_USAGE);
	assert_int_equal(fails(trace_path, &nowhere, "/no/such/dir"), RH_CANT_CREATE);
	assert_int_equal(fails(trace_path, &long_epoch, "epoch"), RH_USAGE);
	assert_int_equal(fails("-", &two, "standard input"), RH_USAGE);
}

static void too_many_lanes_at_once(void **state)
{
	struct maker m;

	(void)state;
	open_lanes(&m, 5000);
	alloc_of(&m, 4999, 1);
	make_close(&m);
	assert_int_equal(fails(trace_path, NULL, "--lanes"), RH_BAD_DATA);
	assert_int_equal(judge_lanes(64).lanes, 64);
}

/* A signal ends a compilation at the next batch, also during the prescan before it. */
static void test_interrupted(void **state)
{
	struct rh_compile_options options = { .lanes = 0 };
	struct rh_program program;
	struct rh_err err;
	struct maker m;

	(void)state;
	make_open(&m, 0);
	lane_start(&m, 0);
	lane_start(&m, 1);
	alloc_of(&m, 0, 64);
	make_close(&m);
	rh_interrupted = SIGTERM;
	for (options.lanes = 0; options.lanes < 2; options.lanes++) {
		assert_int_equal(rh_compile(trace_path, &options, &program, NULL, &err), -1);
		assert_int_equal(err.code, RH_FAILED);
		assert_non_null(strstr(err.text, "interrupted (Terminated)"));
	}
	rh_interrupted = 0;
	CHECK(rh_compile(trace_path, NULL, &program, NULL, &err) == 0, "%s", err.text);
	rh_program_unmap(&program);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frees_in_order_wait_each),
		cmocka_unit_test(frees_backwards_wait_once),
		cmocka_unit_test(one_publish_serves_all),
		cmocka_unit_test(third_lane_tells),
		cmocka_unit_test(third_lane_learns_later),
		cmocka_unit_test(barriers_replace_edges),
		cmocka_unit_test(tasks_are_ordered),
		cmocka_unit_test(stopped_lanes_give_way),
		cmocka_unit_test(handed_over_slots_come_back),
		cmocka_unit_test(long_lived_objects_are_found),
		cmocka_unit_test(many_long_lived_objects_are_found),
		cmocka_unit_test(touch_comes_from_residency),
		cmocka_unit_test(large_blocks_are_touched_within_bounds),
		cmocka_unit_test(pace_adds_up_to_recorded_time),
		cmocka_unit_test(facts_of_grains),
		cmocka_unit_test(says_what_is_wrong),
		cmocka_unit_test(too_many_lanes_at_once),
		cmocka_unit_test(test_interrupted),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
