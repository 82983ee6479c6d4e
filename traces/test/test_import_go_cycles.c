/*
 * test_import_go_cycles.c - small Go traces made byte by byte: which version wrote them, and
 * events around a collection that are recorded in another order than they happened.
 */
#include "traces/test/go_maker.h"

/* 1.23 and 1.24 share a format: the size of the runtime's own types shows which. */
static void the_runtimes_types_tell_the_version(void **state)
{
	static const struct {
		const char *type, *profile;
		uint64_t size;
	} of[] = { { "runtime.m", "1.23", 1784 },
		   { "runtime.m", "1.24", 1832 },
		   { "runtime.g", "1.23", 432 },
		   { "runtime.g", "1.24", 440 } };

	(void)state;
	for (size_t i = 0; i < sizeof(of) / sizeof(of[0]); i++) {
		gm_open(23);
		gm_info(1);
		gm_type(1, 3, of[i].size, of[i].type);
		gm_begin(1, 7, 100);
		gm_runs(7, 0, 1);
		gm_event(GO_SPAN_ALLOC, 3, 0, 1, GM_KIND_64);
		gm_event(GO_OBJECT_ALLOC, 2, gm_slot(0, 0), 0);
		gm_end();
		imported();
		assert_true(has_note("go.profile", of[i].profile));
		assert_true(has_note("go.profile_why", of[i].type));
	}
}

enum { NOTHING_MORE, HALF, HALF_OF_MIXED, IN_1792, IN_2048, IN_BOTH, IN_1792_NOT_WHOLE };

/* A trace of format 23 whose types come last, as they do, and its bytes before them. */
static size_t make_format_23(int sign, uint64_t bytes_of_m)
{
	size_t before;

	gm_open(23);
	gm_info(1);
	gm_begin(1, 7, 100);
	gm_runs(7, 0, 1);
	if (sign == IN_1792 || sign == IN_BOTH || sign == IN_1792_NOT_WHOLE)
		gm_event(GO_SPAN, 3, 8, 2, 37 << 2);
	if (sign == IN_2048 || sign == IN_BOTH)
		gm_event(GO_SPAN, 3, 16, 1, 38 << 2);
	if (sign != IN_1792_NOT_WHOLE)
		gm_event(GO_STACK, 2, 64, 11);
	gm_event(GO_SPAN_ALLOC, 3, 0, 1, GM_KIND_64);
	gm_event(GO_OBJECT_ALLOC, 2, gm_slot(0, 0), 0);
	if (sign == HALF || sign == HALF_OF_MIXED) {
		gm_event(GO_SPAN_ALLOC, 3, 1, 1, GM_KIND_TINY);
		gm_event(GO_OBJECT_ALLOC, 2, GM_HEAP_PAGE, 0);
	}
	if (sign == HALF_OF_MIXED) {
		gm_event(GO_OBJECT_FREE, 1, GM_HEAP_PAGE);
		gm_event(GO_SPAN_FREE, 1, 1);
		gm_event(GO_SPAN_ALLOC, 3, 1, 1, (1 << 1 | 1) << 1);
	}
	if (sign == HALF || sign == HALF_OF_MIXED)
		gm_event(GO_OBJECT_ALLOC, 2, GM_HEAP_PAGE + 1, 0);
	gm_end();
	before = gm.bytes;
	gm_type(1, 3, bytes_of_m, "runtime.m");
	return before;
}

/* Cut off before its types, a trace of either version says what is left to say, and is taken for
 * 1.23, of which much cannot be compared, only where something shows it. */
static void a_cut_off_table_leaves_the_version_open(void **state)
{
	static const struct {
		int sign;
		const char *profile, *why;
	} of[] = { { NOTHING_MORE, "1.24", "open, 1.23 or 1.24" },
		   { HALF, "1.24", "second halves of tiny blocks are recorded, 1" },
		   { HALF_OF_MIXED, "1.24", "open, 1.23 or 1.24" },
		   { IN_1792, "1.23", "slots of 1,792 bytes for runtime.m, and none of 2,048" },
		   { IN_2048, "1.24", "slots of 2,048 bytes for runtime.m, and none of 1,792" },
		   { IN_BOTH, "1.24", "slots for either runtime.m" },
		   { IN_1792_NOT_WHOLE, "1.24", "the heap it began with is not whole" } };

	(void)state;
	for (size_t i = 0; i < sizeof(of) / sizeof(of[0]); i++) {
		uint64_t bytes_of_m = strcmp(of[i].profile, "1.23") == 0 ? 1784 : 1832;
		size_t before = make_format_23(of[i].sign, bytes_of_m);

		imported();
		assert_true(has_note("go.profile", of[i].profile));
		assert_true(has_note("go.profile_why", "by the size of its runtime.m"));
		assert_false(has_note("go.profile_open", ""));
		gm.bytes = before + 3;
		imported();
		assert_true(has_note("import.truncated", ""));
		assert_true(has_note("go.profile", of[i].profile));
		assert_true(has_note("go.profile_why", of[i].why));
		assert_int_equal(has_note("go.profile_open", "1.23 or 1.24"),
				 strncmp(of[i].why, "second", 6) != 0 &&
					 strncmp(of[i].why, "slots of", 8) != 0);
		assert_int_equal(has_note("import.unseen", "tiny objects"), bytes_of_m == 1784);
	}
}

/* Places of the series `name` among all events, at most 8. */
static int places_of(const char *name, int *places, uint32_t *lanes)
{
	static struct rh_event events[256];
	struct rh_trace *trace;
	int count, found = 0;

	expect_ok(rh_trace_open(&trace, ik.path, &ik.err), &ik.err);
	count = rh_trace_next(trace, events, 256, &ik.err);
	for (int i = 0; i < count && found < 8; i++) {
		const char *site = events[i].kind == RH_EV_REF
					   ? rh_trace_site(trace, (uint32_t)events[i].id)
					   : NULL;

		if (!site || strcmp(site, name) != 0)
			continue;
		places[found] = i;
		lanes[found++] = events[i].lane;
	}
	rh_trace_close(trace);
	return found;
}

/* Thread 7 begins and ends a cycle. The end of each stop is recorded late, after the other P runs.
 */
static void the_world_goes_on_before_it_is_told(void **state)
{
	int marks[8], flushes[8], frees[8];
	uint32_t lanes[8], none[8];

	(void)state;
	gm_open_with_object();
	gm_event(GO_GC_BEGIN, 2, 1, 0);
	gm_event(GO_STW_BEGIN, 2, 0, 0);
	gm_end();
	gm_begin(1, 8, 200);
	gm_event(GO_PROC_STATUS, 2, 1, 2);
	gm_event(GO_PROC_START, 2, 1, 1);
	gm_event(GO_STACK_ALLOC, 2, 64, 12);
	gm_event(GO_PROC_STOP, 0);
	gm_end();
	gm_begin(1, 7, 300);
	gm_event(GO_STW_END, 0);
	gm_event(GO_STW_BEGIN, 2, 0, 0);
	gm_event(GO_GC_END, 1, 2);
	gm_event(GO_OBJECT_FREE, 1, gm_slot(0, 0));
	gm_event(GO_SPAN_FREE, 1, 0);
	gm_end();
	gm_begin(1, 8, 400);
	gm_event(GO_PROC_START, 2, 1, 2);
	gm_end();
	gm_begin(1, 7, 500);
	gm_event(GO_STW_END, 0);
	gm_end();
	gm_end_generation();
	imported();
	assert_int_equal(places_of("go.marks", marks, none), 1);
	assert_int_equal(places_of("go.stack_alloc", frees, none), 1);
	assert_true(marks[0] < frees[0]);
	assert_int_equal(places_of("go.span_free", frees, none), 1);
	assert_int_equal(places_of("go.flushed", flushes, lanes), 2);
	assert_true(flushes[0] < frees[0] && frees[0] < flushes[1]);
	assert_int_equal(lanes[0], 0);
	assert_int_equal(lanes[1], 1);
}

/* The thread that ended a cycle is kept from its CPU as it starts the world. Stacks are made and
 * freed meanwhile; it frees the empty spans when it goes on, and not when its P is flushed. */
static void empty_stack_spans_go_when_the_thread_goes_on(void **state)
{
	int flushes[8], stacks[8], trims[8];
	uint32_t none[8], lanes[8];

	(void)state;
	gm_open_with_object();
	gm_event(GO_GC_BEGIN, 2, 1, 0);
	gm_event(GO_STW_BEGIN, 2, 0, 0);
	gm_event(GO_STW_END, 0);
	gm_event(GO_STW_BEGIN, 2, 0, 0);
	gm_event(GO_GC_END, 1, 2);
	gm_end();
	gm_begin(1, 8, 200);
	gm_event(GO_PROC_STATUS, 2, 1, 2);
	gm_event(GO_PROC_START, 2, 1, 1);
	gm_event(GO_STACK_ALLOC, 2, 64, 12);
	gm_end();
	gm_begin(1, 7, 300);
	gm_event(GO_STW_END, 0);
	gm_event(GO_OBJECT_FREE, 1, gm_slot(0, 0));
	gm_event(GO_SPAN_FREE, 1, 0);
	gm_end();
	gm_end_generation();
	imported();
	assert_int_equal(places_of("go.flushed", flushes, lanes), 1);
	assert_int_equal(places_of("go.stack_alloc", stacks, none), 1);
	assert_int_equal(places_of("go.trimmed", trims, lanes), 1);
	assert_true(flushes[0] < stacks[0] && stacks[0] < trims[0]);
	assert_int_equal(lanes[0], 0);
}

/* With more Ps than CPUs a P that was about to start does so after the stop was requested: while
 * others still run, none marks. */
static void a_late_start_is_not_the_world_going_on(void **state)
{
	int marks[8], stacks[8];
	uint32_t none[8];

	(void)state;
	gm_open_with_object();
	gm_event(GO_GC_BEGIN, 2, 1, 0);
	gm_event(GO_STW_BEGIN, 2, 0, 0);
	gm_end();
	gm_begin(1, 9, 50);
	gm_event(GO_PROC_STATUS, 2, 2, 1);
	gm_end();
	gm_begin(1, 8, 200);
	gm_event(GO_PROC_STATUS, 2, 1, 2);
	gm_event(GO_PROC_START, 2, 1, 1);
	gm_event(GO_PROC_STOP, 0);
	gm_end();
	gm_begin(1, 9, 250);
	gm_event(GO_STACK_ALLOC, 2, 64, 12);
	gm_event(GO_PROC_STOP, 0);
	gm_end();
	gm_begin(1, 8, 270);
	gm_event(GO_PROC_START, 2, 1, 2);
	gm_end();
	gm_begin(1, 7, 300);
	gm_event(GO_STW_END, 0);
	gm_end();
	gm_end_generation();
	imported();
	assert_int_equal(places_of("go.marks", marks, none), 1);
	assert_int_equal(places_of("go.stack_alloc", stacks, none), 1);
	assert_true(stacks[0] < marks[0]);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_runtimes_types_tell_the_version),
		cmocka_unit_test(a_cut_off_table_leaves_the_version_open),
		cmocka_unit_test(the_world_goes_on_before_it_is_told),
		cmocka_unit_test(empty_stack_spans_go_when_the_thread_goes_on),
		cmocka_unit_test(a_late_start_is_not_the_world_going_on),
	};

	gm_limit((size_t)1 << 30);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
