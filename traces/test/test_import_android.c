/*
 * test_import_android.c - known lines to known events; every bad line to its message; and
 * the two published traces, of which every line must be accounted for.
 */
#include "traces/test/import_support.h"

static void test_calls(void **state)
{
	(void)state;
	ik_expect("android",
		  "202: malloc 0xb4827400 1024\n"
		  "202: calloc 0x1000 3 5\r\n"
		  "7: memalign 0x2000 64 100\n"
		  "7: realloc 0xb4827400 0xb4827400 2048\n"
		  "202: realloc 0x3000 0x0 10\n"
		  "202: free 0x0\n"
		  "7: free 0x1000\n"
		  "7: thread_done 0x0\n"
		  "7: free 0x2000\n",
		  "lane_start lane=0\n"
		  "alloc lane=0 id=0 size=1024\n"
		  "alloc lane=0 id=1 size=15 flags=zeroed\n"
		  "lane_start lane=1\n"
		  "alloc lane=1 id=2 size=100 align=64\n"
		  "resize lane=1 id=3 old=0 size=2048\n"
		  "alloc lane=0 id=4 size=10 flags=realloc\n"
		  "free_null lane=0\n"
		  "free lane=1 id=1\n"
		  "lane_stop lane=1\n"
		  "lane_start lane=2\n"
		  "free lane=2 id=2\n");
	assert_int_equal(ik_note("import.lines"), 9);
	assert_int_equal(ik.totals.lanes, 3);
}

/* Nothing, two times, times and residency, residency alone; the clock starts at 0. */
static void test_stamps(void **state)
{
	(void)state;
	ik_expect("android",
		  "1: malloc 0x10 8 1000 1010\n"
		  "1: malloc 0x20 8 0 0\n"
		  "1: realloc 0x30 0x10 16 1020 1030 4096\n"
		  "1: free 0x20 1040 1050 100\n"
		  "1: free 0x30 7\n"
		  "1: thread_done 0x0 1060\n",
		  "lane_start lane=0 arg=1 time=0\n"
		  "alloc lane=0 id=0 size=8 time=0\n"
		  "alloc lane=0 id=1 size=8\n"
		  "resize lane=0 id=2 old=0 size=16 time=20\n"
		  "free lane=0 id=1 arg=100 time=30\n"
		  "free lane=0 id=2 arg=7\n"
		  "lane_stop lane=0 time=50\n");
}

static void test_clock_back(void **state)
{
	(void)state;
	ik_expect("android",
		  "1: malloc 0x10 8 100 200\n"
		  "2: malloc 0x20 8 100 150\n"
		  "1: free 0x10 260 270\n",
		  "lane_start lane=0 arg=1 time=0\n"
		  "alloc lane=0 id=0 size=8 time=0\n"
		  "lane_start lane=1 arg=2 time=0\n"
		  "alloc lane=1 id=1 size=8 time=0\n"
		  "free lane=0 id=0 time=60\n");
	assert_int_equal(ik_note("repair.clock_back"), 1);
}

static void test_drops(void **state)
{
	(void)state;
	ik_import_text("android", "1: malloc 0x0 9223372036854775808\n"
				  "1: calloc 0x0 18446744073709551615 2\n"
				  "1: free 0x99\n"
				  "\n"
				  "1: malloc 0x10 8\n"
				  "1: free 0x10\n"
				  "1: free 0x10\n");
	expect_ok(ik.rc, &ik.err);
	assert_int_equal(ik_note("drop.failed"), 2);
	assert_int_equal(ik_note("drop.free_unknown"), 2);
	assert_int_equal(ik_note("drop.blank_line"), 1);
	assert_int_equal(ik.totals.by_kind[RH_EV_ALLOC], 1);
	assert_int_equal(ik.totals.by_kind[RH_EV_FREE], 1);
}

/* The recorder reserves its line before the call: the address comes before its free. */
static void test_inversion(void **state)
{
	(void)state;
	ik_expect("android",
		  "1: malloc 0x10 8\n"
		  "2: malloc 0x10 16\n"
		  "1: free 0x10\n"
		  "2: free 0x10\n",
		  "lane_start lane=0\n"
		  "alloc lane=0 id=0 size=8\n"
		  "lane_start lane=1\n"
		  "free lane=0 id=0\n"
		  "alloc lane=1 id=1 size=16\n"
		  "free lane=1 id=1\n");
	assert_int_equal(ik_note("repair.inversion"), 1);
}

static void test_refused(void **state)
{
	static const struct {
		const char *text, *part;
	} bad[] = {
		{ "hello\n", ":1: not an android trace line: it does not begin" },
		{ "1: malloc 0x10 8\nx: free 0x10\n2: free 0x\n", ":2: not an android" },
		{ "1: mallok 0x10 8\n", "the call is none of" },
		{ "1 malloc 0x10 8\n", "it does not begin" },
		{ "1: malloc 10 8\n", "a pointer such as" },
		{ "1: malloc 0x10\n", "a number is missing" },
		{ "1: malloc 0x10 18446744073709551616\n", "too large" },
		{ "1: malloc 0x11112222333344445 8\n", "a pointer such as" },
		{ "1: malloc 0x10 -8\n", "a number is missing" },
		{ "1: realloc 0x10 5 8\n", "a number is missing" },
		{ "1: free 0x10 1 2 3 4\n", "something after the record" },
		{ "1: malloc 0x10 8x\n", "something after the record" },
		{ "1: malloc 0x10 9223372036854775808\n",
		  ":1: not an android trace line: no object" },
		{ "99999999999999999999: free 0x10\n", "it does not begin" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		ik_refuse("android", bad[i].text, bad[i].part);
}

/* A line that is no text is quoted without its control characters. */
static void test_binary(void **state)
{
	static const char bytes[] = "\x1b[2J\x07\xff\x01\0tail\n";

	(void)state;
	ik_import("android", "input.bin", bytes, sizeof(bytes) - 1);
	assert_int_equal(ik.err.code, RH_BAD_DATA);
	assert_non_null(strstr(ik.err.text, "input.bin:1: a zero byte"));
	ik_import("android", "input.bin", "\x1b[2J\x07\xff\x01x\n", 9);
	assert_int_equal(ik.err.code, RH_BAD_DATA);
	assert_non_null(strstr(ik.err.text, "?[2J?"));
	assert_null(strpbrk(ik.err.text, "\x1b\x07\x01"));
}

/* What was at the output's path before a failed import is still there. */
static void test_untouched(void **state)
{
	const char *in = scratch_path("bad.txt"), *out = scratch_path("kept.rht");
	struct rh_trace_make make = { .path = out };
	struct rh_import_job job = { .importer = rh_importer_of("android", &ik.err),
				     .path = in,
				     .make = &make,
				     .max_damage = 0 };
	struct rh_err err = { 0 };
	size_t bytes;
	char *kept;

	(void)state;
	store_trace(in, "1: malloc 0x10 8\n1: malloc 0x\n", 30);
	store_trace(out, "as it was", 9);
	assert_int_equal(rh_import(&job, NULL, &err), -1);
	kept = load_trace(out, &bytes);
	assert_string_equal(kept, "as it was");
	free(kept);
}

struct published {
	const char *name;
	uint64_t lines, allocs, frees, resizes, stops, null_frees, lanes, live, live_bytes;
};

/* Every line is an event; the lane_starts are ours. */
static void check_published(const struct published *p)
{
	const char *path = ik_shared(p->name);
	const struct rh_trace_totals *totals = &ik.totals;

	if (!path)
		skip();
	ik_import_as("android", path, RH_FORM_BINARY, NULL);
	ik_adds_up("android");
	assert_int_equal(totals->by_kind[RH_EV_ALLOC], p->allocs);
	assert_int_equal(totals->by_kind[RH_EV_FREE], p->frees);
	assert_int_equal(totals->by_kind[RH_EV_RESIZE], p->resizes);
	assert_int_equal(totals->by_kind[RH_EV_LANE_STOP], p->stops);
	assert_int_equal(totals->by_kind[RH_EV_LANE_START], p->lanes);
	assert_int_equal(totals->lanes, p->lanes);
	assert_int_equal(totals->live_objects_peak, p->live);
	assert_int_equal(totals->live_bytes_peak, p->live_bytes);
	assert_int_equal(totals->by_kind[RH_EV_FREE_NULL], p->null_frees);
	assert_int_equal(ik_note("import.lines"), p->lines);
	assert_int_equal(ik_note("drop.free_unknown"), 0);
	assert_int_equal(ik_note("repair.alloc_live"), 0);
	assert_int_equal(totals->events - p->lanes, p->lines);
}

static void test_systemui(void **state)
{
	/* 383154 malloc + 7847 calloc + 1066 memalign + 10623 realloc of NULL = 402690 */
	static const struct published systemui = {
		"android/systemui.zip",
		786454,
		402690,
		349045,
		18544,
		357,
		15818,
		393,
		60097,
		10441709,
	};

	(void)state;
	check_published(&systemui);
}

static void test_surfaceflinger(void **state)
{
	static const struct published surfaceflinger = {
		"android/surfaceflinger.zip",
		2455240,
		1195292,
		1191725,
		65708,
		1,
		2514,
		15,
		3833,
		2063697,
	};

	(void)state;
	check_published(&surfaceflinger);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_calls),	   cmocka_unit_test(test_stamps),
		cmocka_unit_test(test_clock_back), cmocka_unit_test(test_drops),
		cmocka_unit_test(test_inversion),  cmocka_unit_test(test_refused),
		cmocka_unit_test(test_binary),	   cmocka_unit_test(test_untouched),
		cmocka_unit_test(test_systemui),   cmocka_unit_test(test_surfaceflinger),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
