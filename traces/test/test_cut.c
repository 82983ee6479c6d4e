/*
 * test_cut.c - parts of traces: each must be what cut.h promises, on small traces to the
 * event and on random ones by properties (legal, closed, the same objects alive).
 */
#include "traces/edit/cut.h"
#include "traces/test/import_support.h"

static struct rh_err err;
static struct rh_trace_totals totals;

static const struct rh_cut whole = {
	.events = { 0, UINT64_MAX },
	.time_ns = { 0, UINT64_MAX },
	.words = "all",
};

/* Two lanes, a task, an object born before and freed after every window. */
static const char source[] = "reheap-trace 1 columns=time,task,site,arg\n"
			     "note program=x\n"
			     "note drop.free_null=3\n"
			     "lane_start lane=0 arg=77 time=0\n"
			     "alloc lane=0 id=0 size=100 time=10 site=1\n"
			     "spawn lane=0 id=1 size=8192 time=20\n"
			     "lane_start lane=1 arg=78 time=30 task=1\n"
			     "call lane=1 id=1 size=64 time=40 task=1\n"
			     "alloc lane=1 id=1 size=200 align=64 flags=zeroed time=50 task=1\n"
			     "grow lane=1 id=1 size=16384 arg=5000 time=60 task=1\n"
			     "gc_begin lane=0 id=1 time=70\n"
			     "resize lane=0 id=2 old=1 size=300 time=80\n"
			     "gc_end lane=0 id=1 time=90\n"
			     "alloc lane=1 id=3 size=400 time=100 task=1 site=2\n"
			     "return lane=1 id=1 size=64 time=110 task=1\n"
			     "free lane=0 id=3 time=120\n"
			     "free lane=1 id=0 arg=4096 time=130 task=1\n"
			     "exit lane=1 id=1 time=140 task=1\n"
			     "lane_stop lane=1 time=150\n"
			     "join lane=0 id=1 time=160\n"
			     "free lane=0 id=2 time=170\n"
			     "site 1=one\n"
			     "site 2=two\n"
			     "end\n";

/* Cuts `text` and gives the result's events in text; the binary is cut to the same. */
static const char *cut_text(const char *text, const struct rh_cut *cut)
{
	static char in[128], out[128];
	struct rh_trace_make make = { .path = out, .form = RH_FORM_TEXT };
	struct rh_cut whole_of = *cut;
	bool truncated = true;

	whole_of.truncated = &truncated;
	snprintf(in, sizeof(in), "%s", scratch_path("source.txt"));
	snprintf(out, sizeof(out), "%s", scratch_path("cut.txt"));
	store_trace(in, text, strlen(text));
	expect_ok(rh_cut(in, &whole_of, &make, &totals, &err), &err);
	assert_false(truncated);
	return out;
}

static uint64_t count_of(const char *path, const char *key)
{
	struct rh_trace *trace;
	struct rh_event batch[256];
	uint64_t number = 0;
	const char *value;

	expect_ok(rh_trace_open(&trace, path, &err), &err);
	while (rh_trace_next(trace, batch, 256, &err) > 0)
		;
	value = rh_trace_note_of(trace, key);
	if (value)
		expect_ok(rh_parse_uint(value, &number, &err), &err);
	rh_trace_close(trace);
	return number;
}

static void test_whole(void **state)
{
	const char *out = cut_text(source, &whole);
	size_t bytes;
	char *text, *events;

	(void)state;
	text = strdup(source);
	/* Everything but the head, the notes and the sites comes back as it was. */
	events = strstr(text, "lane_start");
	*strstr(events, "site 1=one") = '\0';
	char *made = load_trace(out, &bytes);

	assert_non_null(strstr(made, events));
	assert_non_null(strstr(made, "note cut=all of "));
	assert_non_null(strstr(made, "note program=x\n"));
	assert_non_null(strstr(made, "site 1=one\n"));
	assert_non_null(strstr(made, "site 2=two\n"));
	free(made);
	free(text);
}

static void test_window(void **state)
{
	struct rh_cut cut = whole;
	const char *out;

	(void)state;
	cut.events = (struct rh_cut_span){ 8, 14 };
	out = cut_text(source, &cut);
	ik_expect_lines(out, "lane_start lane=0 arg=77 time=0\n"
			     "lane_start lane=1 arg=78 time=0\n"
			     "spawn lane=0 id=1 size=16384 time=0\n"
			     "alloc lane=0 id=0 size=100 time=0 site=1\n"
			     "alloc lane=1 id=1 size=200 align=64 flags=zeroed time=0\n"
			     "resize lane=0 id=2 old=1 size=300 time=0\n"
			     "alloc lane=1 id=3 size=400 time=20 task=1 site=2\n"
			     "free lane=0 id=3 time=40\n"
			     "free lane=1 id=0 arg=4096 time=50 task=1\n"
			     "site 1=one\n"
			     "site 2=two\n");
	assert_int_equal(count_of(out, "cut.objects_before"), 2);
	assert_int_equal(count_of(out, "cut.tasks_before"), 1);
	assert_int_equal(count_of(out, "cut.returns_left_out"), 1);
	assert_int_equal(count_of(out, "cut.gc_ends_left_out"), 1);
	assert_int_equal(count_of(out, "drop.free_null"), 3);
	assert_int_equal(totals.live_objects_end, 1);
}

static void test_drain(void **state)
{
	struct rh_cut cut = whole;
	const char *out;

	(void)state;
	cut.events = (struct rh_cut_span){ 0, 11 };
	cut.drain = true;
	out = cut_text(source, &cut);
	assert_int_equal(totals.live_objects_end, 0);
	assert_int_equal(totals.by_kind[RH_EV_FREE], 3);
	assert_int_equal(count_of(out, "cut.drained"), 3);
	/* and the stop of a lane that ended waits for the frees it has to make */
	cut.events.to = 17;
	out = cut_text(source, &cut);
	assert_int_equal(totals.by_kind[RH_EV_LANE_STOP], 1);
	assert_int_equal(totals.live_objects_end, 0);
}

static void test_time(void **state)
{
	struct rh_cut cut = whole;
	static const char no_time[] = "reheap-trace 1\nlane_start lane=0\nend\n";
	const char *in;
	struct rh_trace_make make = { .form = RH_FORM_TEXT };

	(void)state;
	cut.time_ns = (struct rh_cut_span){ 95, 125 };
	cut_text(source, &cut);
	/* 2 lanes, 1 task, 2 objects; then alloc, return (left out), free */
	assert_int_equal(totals.events, 7);
	assert_int_equal(totals.time_ns_last, 20);
	in = scratch_path("plain.txt");
	make.path = scratch_path("out.txt");
	store_trace(in, no_time, sizeof(no_time) - 1);
	assert_int_equal(rh_cut(in, &cut, &make, NULL, &err), -1);
	assert_int_equal(err.code, RH_BAD_DATA);
	assert_non_null(strstr(err.text, "has no times"));
}

static void test_lanes(void **state)
{
	const struct rh_cut_span one = { 1, 2 };
	struct rh_cut cut = whole;
	const char *out;

	(void)state;
	cut.lanes = &one;
	cut.lane_spans = 1;
	out = cut_text(source, &cut);
	ik_expect_lines(out, "lane_start lane=0 arg=78 time=30\n"
			     "spawn lane=0 id=1 size=8192 time=30\n"
			     "call lane=0 id=1 size=64 time=40 task=1\n"
			     "alloc lane=0 id=0 size=200 align=64 flags=zeroed time=50 task=1\n"
			     "grow lane=0 id=1 size=16384 arg=5000 time=60 task=1\n"
			     "resize lane=0 id=1 old=0 size=300 time=80\n"
			     "alloc lane=0 id=2 size=400 time=100 task=1 site=2\n"
			     "return lane=0 id=1 size=64 time=110 task=1\n"
			     "free lane=0 id=2 time=120\n"
			     "exit lane=0 id=1 time=140 task=1\n"
			     "free lane=0 id=1 time=170\n"
			     "lane_stop lane=0 time=170\n"
			     "site 1=one\n"
			     "site 2=two\n");
	assert_int_equal(count_of(out, "cut.frees_moved"), 3);
	assert_int_equal(count_of(out, "cut.frees_left_out"), 1);
}

static void test_refused(void **state)
{
	struct rh_cut cut = whole;
	struct rh_trace_make make = { .form = RH_FORM_TEXT };
	const char *in = scratch_path("source.txt");

	(void)state;
	make.path = scratch_path("none.txt");
	store_trace(in, source, sizeof(source) - 1);
	cut.events.from = 1000;
	assert_int_equal(rh_cut(in, &cut, &make, NULL, &err), -1);
	assert_int_equal(err.code, RH_BAD_DATA);
	assert_non_null(strstr(err.text, "ends before the window"));
	assert_int_equal(access(make.path, F_OK), -1);
	cut = whole;
	cut.lanes = &(struct rh_cut_span){ 99, 100 };
	cut.lane_spans = 1;
	assert_int_equal(rh_cut(in, &cut, &make, NULL, &err), -1);
	assert_int_equal(err.code, RH_BAD_DATA);
	assert_non_null(strstr(err.text, "none of the lanes"));
	assert_int_equal(access(make.path, F_OK), -1);
	assert_int_equal(rh_cut(scratch_path("missing"), &whole, &make, NULL, &err), -1);
	assert_int_equal(err.code, RH_NO_INPUT);
}

/* A source that is cut off gives what it has, and says so. */
static void test_truncated(void **state)
{
	const char *in = scratch_path("short.txt");
	struct rh_trace_make make = { .path = scratch_path("out.txt"), .form = RH_FORM_TEXT };
	struct rh_cut cut = whole;
	bool truncated = false;

	(void)state;
	cut.truncated = &truncated;
	store_trace(in, source, (size_t)(strstr(source, "exit lane=1") - source));
	expect_ok(rh_cut(in, &cut, &make, &totals, &err), &err);
	assert_true(truncated);
	assert_int_equal(totals.live_objects_end, 1);
}

/* Random traces of every kind of event, random windows: the writer checks that the result
 * is legal; here, that it is closed. */
static void test_random(void **state)
{
	enum { EVENTS = 4000 };
	struct rh_event *events = malloc(EVENTS * sizeof(*events));
	char in[128], out[128];
	struct rh_trace_make make = { .path = out };
	struct maker maker, dice = { .random = 99 };

	(void)state;
	assert_non_null(events);
	snprintf(in, sizeof(in), "%s", scratch_path("in.rht"));
	snprintf(out, sizeof(out), "%s", scratch_path("out.rht"));
	for (unsigned round = 0; round < 60; round++) {
		struct rh_cut cut = whole;
		const struct rh_cut_span some = { maker_below(&dice, 50),
						  50 + maker_below(&dice, 50) };
		struct rh_trace_totals prefix;

		maker_open(&maker, round % 16, round + 1);
		for (size_t i = 0; i < EVENTS; i++)
			maker_event(&maker, -1, &events[i]);
		maker_close(&maker);
		write_events(in, RH_FORM_BINARY, round % 16, events, EVENTS);
		cut.events.from = maker_below(&dice, EVENTS);
		cut.events.to = cut.events.from + 1 + maker_below(&dice, EVENTS);
		expect_ok(rh_cut(in, &cut, &make, &totals, &err), &err);
		/* What lives at the window's end lives at the end of the result. */
		cut.events.from = 0;
		expect_ok(rh_cut(in, &cut, &make, &prefix, &err), &err);
		assert_int_equal(prefix.live_objects_end, totals.live_objects_end);
		assert_int_equal(prefix.live_bytes_end, totals.live_bytes_end);
		cut.drain = true;
		expect_ok(rh_cut(in, &cut, &make, &totals, &err), &err);
		assert_int_equal(totals.live_objects_end, 0);
		cut.drain = false;
		cut.lanes = &some;
		cut.lane_spans = 1;
		if (rh_cut(in, &cut, &make, &totals, &err) == 0)
			assert_true(totals.live_objects_end <= prefix.live_objects_end);
		else if (prefix.lanes > some.from) /* there are such lanes */
			fail_msg("%s", err.text);
	}
	free(events);
}

/* The parts of systemui, by lanes and by windows. */
static void test_systemui(void **state)
{
	const char *zip = ik_shared("android/systemui.zip");
	const struct rh_cut_span low = { 0, 200 }, high = { 200, 100000 };
	struct rh_trace_make make = { 0 };
	struct rh_cut cut = whole;
	char in[128];
	uint64_t births;

	(void)state;
	if (!zip)
		skip();
	ik_import_as("android", zip, RH_FORM_BINARY, NULL);
	expect_ok(ik.rc, &ik.err);
	snprintf(in, sizeof(in), "%s", ik.path);
	make.path = scratch_path("part.rht");
	cut.events = (struct rh_cut_span){ 300000, UINT64_MAX };
	expect_ok(rh_cut(in, &cut, &make, &totals, &err), &err);
	assert_int_equal(totals.live_objects_end, 53645);
	assert_int_equal(totals.live_objects_peak, 60097);
	assert_int_equal(totals.live_bytes_peak, 10441709);
	/* Every birth belongs to one of the two halves of the lanes. */
	cut = whole;
	cut.lane_spans = 1;
	cut.lanes = &low;
	expect_ok(rh_cut(in, &cut, &make, &totals, &err), &err);
	assert_int_equal(totals.lanes, 200);
	births = totals.objects;
	cut.lanes = &high;
	expect_ok(rh_cut(in, &cut, &make, &totals, &err), &err);
	assert_int_equal(totals.lanes, 193);
	assert_true(births + totals.objects >= 421234);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole),	  cmocka_unit_test(test_window),
		cmocka_unit_test(test_drain),	  cmocka_unit_test(test_time),
		cmocka_unit_test(test_lanes),	  cmocka_unit_test(test_refused),
		cmocka_unit_test(test_truncated), cmocka_unit_test(test_random),
		cmocka_unit_test(test_systemui),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
