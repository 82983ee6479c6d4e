/*
 * test_repair.c - the builder: what it drops, repairs and puts right, and that every call
 * is accounted for; and the census of check.h over a trace that was counted by hand.
 */
#include "traces/format/repair.h"
#include "traces/format/check.h"
#include "traces/test/test_support.h"

static struct rh_build *build;
static struct rh_trace_out *out;
static struct rh_err err;

static void begin(unsigned columns)
{
	struct rh_trace_make make = { .path = scratch_path("built.rht"), .columns = columns };

	expect_ok(rh_trace_create(&out, &make, &err), &err);
	expect_ok(rh_build_open(&build, out, &err), &err);
}

static struct rh_trace *finish(void)
{
	struct rh_trace *trace;

	expect_ok(rh_build_finish(build, &err), &err);
	rh_build_close(build);
	expect_ok(rh_trace_finish(out, NULL, &err), &err);
	expect_ok(rh_trace_open(&trace, scratch_path("built.rht"), &err), &err);
	return trace;
}

static void push_call(uint64_t thread, uint64_t address, uint64_t size)
{
	expect_ok(rh_build_alloc(build, thread, RH_BLOCK(.address = address, .size = size), &err),
		  &err);
}

static void give(uint64_t thread, uint64_t address)
{
	expect_ok(rh_build_free(build, thread, address, RH_NONE, &err), &err);
}

static void resize(uint64_t thread, uint64_t from, uint64_t to, uint64_t size)
{
	expect_ok(
		rh_build_realloc(build, thread, from, RH_BLOCK(.address = to, .size = size), &err),
		&err);
}

/* Events as "a0.0 f1.0": letter, lane, object; resize adds the one that ends. */
static void expect_story(struct rh_trace *trace, const char *story)
{
	static const char letters[RH_EV_COUNT] = { 'a', 'f', 'r', '(', [RH_EV_FREE_NULL] = '0' };
	struct rh_event events[512];
	char text[8192] = "";
	size_t used = 0;
	int count = rh_trace_next(trace, events, 512, &err);

	expect_ok(count, &err);
	for (int i = 0; i < count; i++) {
		const struct rh_event *event = &events[i];
		char letter = event->kind == RH_EV_LANE_STOP ? ')' : letters[event->kind];

		used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%c%u", i ? " " : "",
					 letter, event->lane);
		if (event->id != RH_NONE)
			used += (size_t)snprintf(text + used, sizeof(text) - used, ".%llu",
						 (unsigned long long)event->id);
		if (event->old != RH_NONE)
			used += (size_t)snprintf(text + used, sizeof(text) - used, "<%llu",
						 (unsigned long long)event->old);
	}
	assert_string_equal(text, story);
}

static void expect_note(struct rh_trace *trace, const char *key, const char *value)
{
	const char *found = rh_trace_note_of(trace, key);

	if (!value)
		assert_null(found);
	else
		assert_string_equal(found ? found : "(none)", value);
}

static void test_plain(void **state)
{
	struct rh_trace *trace;

	(void)state;
	begin(RH_COL_ARG);
	push_call(100, 0x1000, 8);
	push_call(200, 0x2000, 9);
	give(200, 0x1000);
	resize(100, 0x2000, 0x2000, 100);
	resize(100, 0, 0x3000, 5);
	resize(100, 0x3000, 0, 0);
	expect_ok(rh_build_thread_end(build, 100, &err), &err);
	push_call(100, 0x1000, 1);
	trace = finish();
	expect_story(trace, "(0 a0.0 (1 a1.1 f1.0 r0.2<1 a0.3 f0.3 )0 (2 a2.4");
	assert_null(rh_trace_note(trace, 0));
	rh_trace_close(trace);
}

static void test_drops(void **state)
{
	struct rh_trace *trace;

	(void)state;
	begin(0);
	give(1, 0);
	give(1, 0x5000);
	push_call(1, 0, 77);
	resize(1, 0, 0, 0);
	resize(1, 0x5000, 0, 9);
	push_call(1, 0x1000, 8);
	give(1, 0x1000);
	give(1, 0x1000);
	resize(1, 0x9000, 0x9100, 64);
	rh_build_count(build, "drop.header", 3);
	rh_build_count(build, "drop.header", 2);
	rh_build_count(build, "drop.nothing", 0);
	trace = finish();
	expect_story(trace, "(0 00 a0.0 f0.0 a0.1");
	expect_note(trace, "drop.free_unknown", "2");
	expect_note(trace, "drop.failed", "3");
	expect_note(trace, "repair.realloc_unknown", "1");
	expect_note(trace, "drop.header", "5");
	expect_note(trace, "drop.nothing", NULL);
	rh_trace_close(trace);
}

/* Thread 1 gets the address before the line of thread 2 that gave it back. */
static void test_inversion(void **state)
{
	struct rh_trace *trace;

	(void)state;
	begin(0);
	push_call(2, 0x1000, 8);
	push_call(1, 0x1000, 16);
	push_call(1, 0x2000, 24);
	give(1, 0x1000);
	push_call(3, 0x4000, 1);
	give(3, 0x2000);
	give(2, 0x1000);
	trace = finish();
	/* Lane 0 is thread 2. Lane 2's free of 0x2000 waits for lane 1's alloc of it. */
	expect_story(trace, "(0 a0.0 (1 (2 a2.1 f0.0 a1.2 a1.3 f1.2 f2.3");
	expect_note(trace, "repair.inversion", "1");
	expect_note(trace, "repair.alloc_live", NULL);
	expect_note(trace, "drop.free_unknown", NULL);
	rh_trace_close(trace);
}

/* Two swaps that hang on each other. */
static void test_inversion_chain(void **state)
{
	struct rh_trace *trace;

	(void)state;
	begin(0);
	push_call(1, 0xa0, 1);
	push_call(2, 0xb0, 2);
	push_call(3, 0xa0, 3);
	resize(2, 0xb0, 0xa0, 4);
	give(1, 0xa0);
	give(3, 0xa0);
	trace = finish();
	expect_story(trace, "(0 a0.0 (1 a1.1 (2 f0.0 a2.2 f2.2 r1.3<1");
	expect_note(trace, "repair.inversion", "2");
	rh_trace_close(trace);
}

static void test_alloc_live(void **state)
{
	struct rh_trace *trace;

	(void)state;
	begin(0);
	push_call(1, 0x1000, 8);
	push_call(2, 0x1000, 16);
	give(2, 0x1000);
	trace = finish();
	expect_story(trace, "(0 a0.0 (1 f1.0 a1.1 f1.1");
	expect_note(trace, "repair.alloc_live", "1");
	expect_note(trace, "repair.inversion", NULL);
	rh_trace_close(trace);
}

/* What is never put right is forced: by age, and when the window is full. */
static void test_window_bounds(void **state)
{
	struct rh_trace_totals totals;
	struct rh_trace *trace;

	(void)state;
	begin(0);
	push_call(1, 0x1000, 8);
	push_call(2, 0x1000, 16);
	for (uint64_t i = 0; i < 2000; i++)
		push_call(1, 0x10000 + i * 16, 1);
	trace = finish();
	rh_trace_totals(trace, &totals, NULL);
	assert_int_equal(totals.by_kind[RH_EV_ALLOC], 2002);
	assert_int_equal(totals.by_kind[RH_EV_FREE], 1);
	rh_trace_close(trace);

	begin(0);
	push_call(1, 0x1000, 8);
	for (uint64_t i = 0; i < 1000; i++)
		push_call(2, 0x1000, 16);
	trace = finish();
	rh_trace_totals(trace, &totals, NULL);
	assert_int_equal(totals.by_kind[RH_EV_ALLOC], 1001);
	assert_int_equal(totals.by_kind[RH_EV_FREE], 1000);
	expect_note(trace, "repair.alloc_live", "1000");
	rh_trace_close(trace);
}

/* A legal history on random threads, its lines moved about as racing recorders do:
 * every call must come out as an event and nothing be forced. */
static void test_swapped_lines(void **state)
{
	enum { CALLS = 20000, ADDRESSES = 50, THREADS = 4 };
	struct maker maker = { .random = 1234567 };
	bool held[ADDRESSES] = { false };
	struct rh_trace_totals totals;
	struct rh_trace *trace;
	uint64_t calls = 0;

	(void)state;
	begin(0);
	while (calls < CALLS) {
		uint64_t i = maker_below(&maker, ADDRESSES), thread = maker_below(&maker, THREADS);
		uint64_t other = (thread + 1) % THREADS;

		if (!held[i]) {
			push_call(thread, 0x1000 + i, i);
			held[i] = true;
			calls++;
		} else if (maker_below(&maker, 20)) {
			give(thread, 0x1000 + i);
			held[i] = false;
			calls++;
		} else {
			/* free by `other`, then alloc by `thread`, logged the other way round */
			push_call(thread, 0x1000 + i, i);
			give(other, 0x1000 + i);
			calls += 2;
		}
	}
	trace = finish();
	rh_trace_totals(trace, &totals, NULL);
	assert_int_equal(totals.events, calls + THREADS);
	expect_note(trace, "repair.alloc_live", NULL);
	expect_note(trace, "drop.free_unknown", NULL);
	assert_non_null(rh_trace_note_of(trace, "repair.inversion"));
	rh_trace_close(trace);
}

static void test_other(void **state)
{
	struct rh_event spawn = { .kind = RH_EV_SPAWN, .id = 1, .size = 2048, .time_ns = 5 };
	struct rh_event events[8];
	struct rh_trace *trace;
	uint32_t lane;

	(void)state;
	begin(RH_COL_TIME | RH_COL_TASK | RH_COL_SITE | RH_COL_ARG);
	expect_ok(rh_build_lane(build, 77, &lane, &err), &err);
	assert_int_equal(lane, 0);
	expect_ok(rh_build_other(build, 78, &spawn, &err), &err);
	rh_build_stamp(build, 9, 1, 4);
	push_call(77, 0x10, 3);
	expect_ok(rh_build_free(build, 77, 0x10, 4096, &err), &err);
	trace = finish();
	assert_int_equal(rh_trace_next(trace, events, 8, &err), 5);
	assert_int_equal(events[0].arg, 77);
	assert_int_equal(events[1].arg, 78);
	assert_int_equal(events[2].kind, RH_EV_SPAWN);
	assert_int_equal(events[2].lane, 1);
	assert_int_equal(events[3].time_ns, 9);
	assert_int_equal(events[3].task, 1);
	assert_int_equal(events[3].site, 4);
	assert_int_equal(events[4].arg, 4096);
	rh_trace_close(trace);
}

static void test_census(void **state)
{
	struct rh_check check;
	struct rh_trace *trace;

	(void)state;
	begin(RH_COL_TIME);
	rh_build_stamp(build, 100, RH_TASK_NONE, 0);
	push_call(1, 0x10, 0);
	expect_ok(rh_build_alloc(build, 1,
				 RH_BLOCK(.address = 0x20, .size = 64, .align_log2 = 6,
					  .flags = RH_EVF_ZEROED),
				 &err),
		  &err);
	rh_build_stamp(build, 90, RH_TASK_NONE, 0);
	push_call(2, 0x30, 63);
	rh_build_stamp(build, 1124, RH_TASK_NONE, 0);
	give(2, 0x20);
	resize(1, 0x30, 0x30, 65);
	expect_ok(rh_build_thread_end(build, 2, &err), &err);
	push_call(3, 0x40, 7);
	trace = finish();
	expect_ok(rh_check_trace(trace, &check, &err), &err);
	assert_int_equal(check.births, 5);
	assert_int_equal(check.deaths, 2);
	assert_int_equal(check.deaths_remote, 2);
	assert_int_equal(check.births_zero_size, 1);
	assert_int_equal(check.births_zeroed, 1);
	assert_int_equal(check.align[6], 1);
	assert_int_equal(check.align[0], 4);
	assert_int_equal(check.size[0], 1); /* 0 */
	assert_int_equal(check.size[3], 1); /* 7 */
	assert_int_equal(check.size[6], 1); /* 63 */
	assert_int_equal(check.size[7], 2); /* 64, 65 */
	assert_int_equal(check.size_bytes[7], 129);
	assert_int_equal(check.bytes_born, 199);
	assert_int_equal(check.life_ns[11], 2); /* 1024 and 1034 */
	/* Events: start, alloc, alloc, start, alloc, free (3 after), resize (2 after) */
	assert_int_equal(check.life_events[2], 2);
	assert_int_equal(check.time_back, 2); /* the second thread's start and alloc */
	assert_int_equal(check.lanes_stopped, 1);
	assert_int_equal(check.lanes_alive_peak, 2);
	assert_int_equal(check.lanes_alive_end, 2);
	assert_int_equal(check.lanes_busy, 3);
	assert_int_equal(check.totals.live_objects_end, 3);
	assert_int_equal(check.totals.live_bytes_end, 72);
	assert_int_equal(check.totals.live_bytes_peak, 127);
	assert_int_equal(check.totals.time_ns_last, 1124);
	rh_trace_close(trace);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain),	      cmocka_unit_test(test_drops),
		cmocka_unit_test(test_inversion),     cmocka_unit_test(test_inversion_chain),
		cmocka_unit_test(test_alloc_live),    cmocka_unit_test(test_window_bounds),
		cmocka_unit_test(test_swapped_lines), cmocka_unit_test(test_other),
		cmocka_unit_test(test_census),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
