/*
 * test_text.c - the text form: every kind comes back, text and binary are the same thing
 * twice, and a bad line is named by file and number with what is wrong in it.
 */
#include "traces/edit/export.h"
#include "traces/test/test_support.h"
#include "traces/format/text.h"

enum { COUNT = 3000 };

static struct rh_event *make_events(unsigned columns, uint64_t seed)
{
	struct rh_event *events = malloc(COUNT * sizeof(*events));
	struct maker maker;

	assert_non_null(events);
	maker_open(&maker, columns, seed);
	for (size_t i = 0; i < COUNT; i++)
		maker_event(&maker, i < 3 * RH_EV_COUNT ? (int)(i % RH_EV_COUNT) : -1, &events[i]);
	maker_close(&maker);
	return events;
}

static void copy(const char *from, const char *to, const char *format)
{
	struct rh_trace *trace;
	struct rh_err err = { 0 };

	expect_ok(rh_trace_open(&trace, from, &err), &err);
	expect_ok(rh_exporter_of(format)->run(trace, to, &err), &err);
	assert_null(rh_trace_truncated(trace));
	rh_trace_close(trace);
}

static void assert_same_file(const char *a, const char *b)
{
	size_t a_bytes, b_bytes;
	char *a_data = load_trace(a, &a_bytes), *b_data = load_trace(b, &b_bytes);

	assert_int_equal(a_bytes, b_bytes);
	assert_memory_equal(a_data, b_data, a_bytes);
	free(a_data);
	free(b_data);
}

static void test_round_trip(void **state)
{
	(void)state;
	for (unsigned columns = 0; columns < 16; columns++) {
		struct rh_event *events = make_events(columns, columns + 100);
		const char *path = scratch_path("round.txt");

		write_events(path, RH_FORM_TEXT, columns, events, COUNT);
		expect_file(path, columns, events, COUNT);
		free(events);
	}
}

/* binary -> text -> binary -> text: the texts are equal, and so are the binaries once
 * names stand where a copy puts them. */
static void test_identity(void **state)
{
	(void)state;
	for (unsigned columns = 0; columns < 16; columns += 5) {
		struct rh_event *events = make_events(columns, columns + 200);

		write_events(scratch_path("0.rht"), RH_FORM_BINARY, columns, events, COUNT);
		copy(scratch_path("0.rht"), scratch_path("1.txt"), "text");
		copy(scratch_path("1.txt"), scratch_path("1.rht"), "binary");
		copy(scratch_path("1.rht"), scratch_path("2.txt"), "text");
		copy(scratch_path("2.txt"), scratch_path("2.rht"), "binary");
		assert_same_file(scratch_path("1.txt"), scratch_path("2.txt"));
		assert_same_file(scratch_path("1.rht"), scratch_path("2.rht"));
		expect_file(scratch_path("2.rht"), columns, events, COUNT);
		expect_file(scratch_path("2.txt"), columns, events, COUNT);
		free(events);
	}
}

static int read_text(const char *text, struct rh_event *events, int cap, struct rh_err *err)
{
	const char *path = scratch_path("hand.txt");
	struct rh_trace *trace;
	int count, more;

	store_trace(path, text, strlen(text));
	if (rh_trace_open(&trace, path, err) < 0)
		return -1;
	count = rh_trace_next(trace, events, (size_t)cap, err);
	more = count < 0 ? -1 : rh_trace_next(trace, events, 1, err);
	if (more == 0 && rh_trace_truncated(trace))
		more = rh_fail(err, RH_PARTIAL, "%s", rh_trace_truncated(trace));
	rh_trace_close(trace);
	return more < 0 ? -1 : count;
}

static void test_by_hand(void **state)
{
	struct rh_event events[8];
	struct rh_err err = { 0 };
	int count = read_text("# a comment\n\nreheap-trace 1 columns=arg\r\n"
			      "  note a=b = c\r\nlane_start lane=0\n"
			      "alloc\tlane=0   size=64 align=32 flags=noscan,zeroed\n"
			      "free arg=7 id=0 lane=0\n# more\n"
			      "alloc lane=0 size=9 flags=realloc\nend\n\n",
			      events, 8, &err);

	(void)state;
	expect_ok(count, &err);
	assert_int_equal(count, 4);
	assert_int_equal(events[3].flags, RH_EVF_REALLOC);
	assert_int_equal(events[1].id, 0);
	assert_int_equal(events[1].align_log2, 5);
	assert_int_equal(events[1].flags, RH_EVF_ZEROED | RH_EVF_NOSCAN);
	assert_int_equal(events[2].arg, 7);
	assert_int_equal(events[2].time_ns, RH_NONE);
}

static void expect_says(const char *text, const char *says)
{
	struct rh_event events[8];
	struct rh_err err = { 0 };

	assert_int_equal(read_text(text, events, 8, &err), -1);
	if (!strstr(err.text, says))
		fail_msg("'%s' does not say '%s'", err.text, says);
	assert_non_null(strstr(err.text, "hand.txt"));
}

#define HEAD "reheap-trace 1\nlane_start lane=0\n"

static void test_bad_lines(void **state)
{
	(void)state;
	expect_says("hello\n", "hand.txt:1: it is not a trace");
	expect_says("reheap-trace 9\n", "version 9");
	expect_says("reheap-trace 1 columns=weight\n", "columns that are unknown");
	expect_says(HEAD "malloc lane=0 size=3\nend\n", "hand.txt:3: there is no event 'malloc'");
	expect_says(HEAD "alloc lane=0 size\nend\n", "hand.txt:3: this is not KEY=VALUE: 'size'");
	expect_says(HEAD "alloc lane=0 weight=3\nend\n", "hand.txt:3: there is no key 'weight'");
	expect_says(HEAD "alloc lane=0 old=3\nend\n", "has no 'old'");
	expect_says(HEAD "alloc lane=0 time=3\nend\n", "has no 'time'");
	expect_says(HEAD "alloc lane=0 size=1 size=2\nend\n", "it says twice 'size'");
	expect_says(HEAD "alloc lane=0\nend\n", "it lacks 'size'");
	expect_says(HEAD "alloc size=3\nend\n", "it lacks 'lane'");
	expect_says(HEAD "alloc lane=0 size=-3\nend\n", "'-3' is no value for size");
	expect_says(HEAD "alloc lane=0 size=99999999999999999999\nend\n", "is no value for size");
	expect_says(HEAD "alloc lane=0 size=18446744073709551615\nend\n", "is no value for size");
	expect_says(HEAD "alloc lane=0 size=9223372036854775808\nend\n", "beyond any address");
	expect_says(HEAD "alloc lane=0 size=8 align=3\nend\n", "(a power of two)");
	expect_says(HEAD "alloc lane=0 size=8 flags=big\nend\n", "there is no flag 'big'");
	expect_says(HEAD "alloc lane=4294967296 size=8\nend\n", "is no value for lane");
	expect_says(HEAD "alloc lane=1 size=8\nend\n", "lane 1 has not started");
	expect_says(HEAD "alloc lane=0 id=4 size=8\nend\n", "4 came where 0 is next");
	expect_says(HEAD "free lane=0 id=4\nend\n", "object 4 was never born");
	expect_says(HEAD "note x\nend\n", "note KEY=VALUE");
	expect_says(HEAD "note =x\nend\n", "the key of a note");
	expect_says(HEAD "note a=\\x\nend\n", "backslash");
	expect_says(HEAD "site 0=x\nend\n", "site 0");
	expect_says(HEAD "site x=x\nend\n", "no site number");
	expect_says(HEAD "end events=7\n", "number of events");
	expect_says(HEAD "end of it\n", "'end events=N'");
	expect_says(HEAD "end\nlane_stop lane=0\n", "follows after the end");
	expect_says(HEAD "end\nlane_stop", "follows after the end");
}

static void test_cut_off(void **state)
{
	(void)state;
	expect_says(HEAD, "cut off at line 3, its line 'end' is missing: the 1 events");
	expect_says(HEAD "alloc lane=0 si", "cut off at line 3");
	expect_says("reheap-trace 1", "it is not a trace");
}

static void test_long_line(void **state)
{
	size_t bytes = 1 << 20;
	char *text = malloc(bytes);

	(void)state;
	memset(text, 'x', bytes);
	memcpy(text, HEAD, strlen(HEAD));
	text[bytes - 1] = '\0';
	expect_says(text, "hand.txt:3: the line is too long");
	free(text);
}

/* The longest note and name there may be, all of it escaped; one more byte is refused. */
static void test_long_names(void **state)
{
	struct rh_trace_make make = { .path = scratch_path("long.txt"), .form = RH_FORM_TEXT };
	struct rh_trace_out *out;
	struct rh_trace *trace;
	struct rh_err err = { 0 };
	static char text[65537];

	(void)state;
	memset(text, '\n', 65536);
	expect_ok(rh_trace_create(&out, &make, &err), &err);
	assert_int_equal(rh_trace_add_note(out, "k", text, &err), -1);
	assert_int_equal(rh_trace_add_site(out, 1, text, &err), -1);
	assert_int_equal(rh_trace_add_note(out, "two words", "v", &err), -1);
	text[65535] = '\0';
	expect_ok(rh_trace_add_note(out, "k", text, &err), &err);
	expect_ok(rh_trace_add_note(out, "again", "1", &err), &err);
	expect_ok(rh_trace_add_note(out, "again", "2", &err), &err);
	expect_ok(rh_trace_add_site(out, 9, text, &err), &err);
	expect_ok(rh_trace_finish(out, NULL, &err), &err);
	expect_ok(rh_trace_open(&trace, make.path, &err), &err);
	assert_string_equal(rh_trace_note_of(trace, "k"), text);
	assert_string_equal(rh_trace_note_of(trace, "again"), "2");
	assert_string_equal(rh_trace_site(trace, 9), text);
	assert_null(rh_trace_note(trace, 2));
	rh_trace_close(trace);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip), cmocka_unit_test(test_identity),
		cmocka_unit_test(test_by_hand),	   cmocka_unit_test(test_bad_lines),
		cmocka_unit_test(test_cut_off),	   cmocka_unit_test(test_long_line),
		cmocka_unit_test(test_long_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
