/*
 * test_import_go.c - the importers of Go traces.
 *
 * Real traces of Go 1.23 to 1.26 must give the totals that Go's own reader counts in them
 * (`go tool trace -d=parsed`, where it reads the file to its end). What real traces hold
 * too rarely is written byte by byte in test_import_go_bytes.c.
 */
#include "traces/test/import_support.h"

/* ---- real traces, beside the repository or where REHEAP_SHARED says ---- */

struct fixture {
	const char *name;
	const char *format, *profile;
	uint64_t snapshot, allocs, spans, span_allocs, span_frees;
	uint64_t stacks, stack_allocs, stack_frees;
	uint64_t cycles, generations, status_again;
};

static const struct fixture fixtures[] = {
	{ "mini1.23.1", "1.23", "1.23", 182, 2579, 43, 304, 266, 5, 60, 49, 4, 11, 0 },
	{ "mini1.24.2", "1.23", "1.24", 209, 2943, 49, 346, 322, 5, 59, 50, 4, 10, 0 },
	{ "mini1.25.2", "1.25", "1.25", 230, 3046, 41, 318, 284, 5, 65, 54, 4, 11, 0 },
	{ "mini1.26.1", "1.26", "1.26", 259, 3021, 52, 318, 274, 5, 61, 52, 4, 10, 0 },
	/* Go's reader stops in the middle of this one; a P's status comes before its start. */
	{ "mini1.26.3", "1.26", "1.26", 262, 3095, 60, 336, 291, 5, 66, 57, 4, 11, 2 },
};

static const char *shared(const char *name)
{
	static char path[4096];
	const char *folder = getenv("REHEAP_SHARED");

	snprintf(path, sizeof(path), "%s/data/go/%s", folder ? folder : "../shared", name);
	if (access(path, R_OK) != 0) {
		print_message("# SKIP %s is not here (REHEAP_SHARED names its folder)\n", path);
		skip();
	}
	return path;
}

/* Counts of REF events by the name of their series. */
static struct {
	char name[64];
	uint64_t count;
} series[64];
static size_t series_count;

static uint64_t series_of(const char *name)
{
	for (size_t i = 0; i < series_count; i++)
		if (strcmp(series[i].name, name) == 0)
			return series[i].count;
	return 0;
}

static void count_series(void)
{
	static uint64_t counts[64];
	struct rh_event batch[64];
	struct rh_trace *trace;
	long got;

	memset(counts, 0, sizeof(counts));
	series_count = 0;
	expect_ok(rh_trace_open(&trace, ik.path, &ik.err), &ik.err);
	while ((got = rh_trace_next(trace, batch, 64, &ik.err)) > 0)
		for (long i = 0; i < got; i++)
			if (batch[i].kind == RH_EV_REF && batch[i].id < 64)
				counts[batch[i].id]++;
	assert_int_equal(got, 0);
	for (uint32_t i = 0; i < 64; i++) {
		const char *name = counts[i] ? rh_trace_site(trace, i) : NULL;

		if (!counts[i])
			continue;
		assert_non_null(name);
		snprintf(series[series_count].name, sizeof(series[0].name), "%s", name);
		series[series_count++].count = counts[i];
	}
	rh_trace_close(trace);
}

/* A stack that grows is in use to the guard, 928 bytes from its end. */
static void check_growth(void)
{
	struct rh_event batch[64];
	struct rh_trace *trace;
	uint64_t grown = 0;
	long got;

	expect_ok(rh_trace_open(&trace, ik.path, &ik.err), &ik.err);
	while ((got = rh_trace_next(trace, batch, 64, &ik.err)) > 0)
		for (long i = 0; i < got; i++) {
			uint64_t old = batch[i].arg + 928;

			if (batch[i].kind != RH_EV_GROW)
				continue;
			assert_true(old >= 2048 && (old & (old - 1)) == 0 && old < batch[i].size);
			grown++;
		}
	assert_int_equal(got, 0);
	assert_in_range(grown, 1, 1000);
	assert_int_equal(ik_note("estimate.stack_bytes_used"), grown);
	rh_trace_close(trace);
}

static void check_text_note(const char *key, const char *value)
{
	struct rh_trace *trace;

	expect_ok(rh_trace_open(&trace, ik.path, &ik.err), &ik.err);
	assert_string_equal(rh_trace_note_of(trace, key), value);
	rh_trace_close(trace);
}

/* Nothing repaired, nothing dropped but what only the scheduler cares about. */
static void no_anomaly(void)
{
	struct rh_trace *trace;
	const struct rh_note *note;

	expect_ok(rh_trace_open(&trace, ik.path, &ik.err), &ik.err);
	for (size_t i = 0; (note = rh_trace_note(trace, i)); i++) {
		if (strncmp(note->key, "repair.", 7) == 0)
			fail_msg("%s = %s", note->key, note->value);
		if (strncmp(note->key, "drop.", 5) == 0 &&
		    strcmp(note->key, "drop.scheduling") != 0 &&
		    strcmp(note->key, "drop.cycle_known") != 0)
			fail_msg("%s = %s", note->key, note->value);
	}
	rh_trace_close(trace);
}

static void check_fixture(const struct fixture *row, const char *word)
{
	char name[64];

	snprintf(name, sizeof(name), "%s.trace.gz", row->name);
	ik_import_as("go", shared(name), RH_FORM_BINARY, word);
	ik_adds_up("go");
	no_anomaly();
	count_series();
	check_growth();
	assert_int_equal(ik.totals.by_kind[RH_EV_ALLOC], row->snapshot + row->allocs);
	assert_int_equal(ik_note("go.objects"), row->snapshot + row->allocs);
	assert_int_equal(series_of("go.span"), row->spans);
	assert_int_equal(series_of("go.span_alloc"), row->span_allocs);
	assert_int_equal(series_of("go.span_free"), row->span_frees);
	assert_int_equal(series_of("go.stack"), row->stacks);
	assert_int_equal(series_of("go.stack_alloc"), row->stack_allocs);
	assert_int_equal(series_of("go.stack_free"), row->stack_frees);
	assert_int_equal(ik.totals.by_kind[RH_EV_GC_BEGIN], row->cycles);
	assert_int_equal(ik.totals.by_kind[RH_EV_GC_END], row->cycles);
	assert_int_equal(ik_note("go.generations"), row->generations);
	assert_int_equal(ik_note("go.status_again"), row->status_again);
	assert_int_equal(ik_note("go.class_differs"), 0);
	check_text_note("go.trace_format", row->format);
	check_text_note("go.profile", row->profile);
}

static void real_traces_have_the_totals_go_counts(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(fixtures) / sizeof(fixtures[0]); i++)
		check_fixture(&fixtures[i], NULL);
}

/* Twelve goroutines a trace, made and ended; lanes by whatever is asked for. */
static void lanes_are_what_was_asked_for(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(fixtures) / sizeof(fixtures[0]); i++) {
		uint64_t lanes;

		check_fixture(&fixtures[i], "lanes=p");
		lanes = ik.totals.lanes;
		assert_in_range(lanes, 1, 4);
		assert_int_equal(ik.totals.by_kind[RH_EV_EXIT], 12);
		assert_in_range(ik.totals.by_kind[RH_EV_SPAWN], 17, 40);
		check_fixture(&fixtures[i], "lanes=thread");
		assert_in_range(ik.totals.lanes, 2, 12);
		check_fixture(&fixtures[i], "lanes=goroutine");
		assert_true(ik.totals.lanes > lanes);
	}
}

/* The options for sizes nobody recorded change those sizes and no class. */
static void policies_order_the_sizes(void **state)
{
	uint64_t slot, middle, smallest;

	(void)state;
	check_fixture(&fixtures[3], "sizes=slot");
	slot = ik.totals.live_bytes_peak;
	check_fixture(&fixtures[3], "sizes=middle");
	middle = ik.totals.live_bytes_peak;
	check_fixture(&fixtures[3], "sizes=smallest");
	smallest = ik.totals.live_bytes_peak;
	assert_true(slot > middle && middle > smallest);
}

static void old_traces_say_what_to_do(void **state)
{
	(void)state;
	ik_import_as("go", shared("mini1.22.2.trace.gz"), RH_FORM_BINARY, NULL);
	assert_int_equal(ik.rc, -1);
	assert_int_equal(ik.err.code, RH_BAD_DATA);
	assert_non_null(strstr(ik.err.text, "traceallocfree=1"));
	assert_non_null(strstr(ik.err.text, "allocfreetrace=1"));
}

static void the_old_log_gives_every_object(void **state)
{
	(void)state;
	ik_import_as("go-allocfree", shared("allocfreetrace-go1.19.txt.gz"), RH_FORM_BINARY, NULL);
	ik_adds_up("go-allocfree");
	assert_int_equal(ik.totals.by_kind[RH_EV_ALLOC], 96);
	assert_int_equal(ik.totals.by_kind[RH_EV_FREE] + ik_note("drop.free_unknown"), 71);
	assert_int_equal(ik.totals.by_kind[RH_EV_GC_BEGIN], 2);
	assert_int_equal(ik.totals.by_kind[RH_EV_GC_END], 2);
	assert_int_equal(ik_note("repair.alloc_live"), 0);
}

/* ---- the old log, line by line ---- */

static void log_takes_the_size_that_was_asked_for(void **state)
{
	static const char log[] = "hello from the program\n"
				  "tracealloc(0xc000010000, 0x30, main.node)\n"
				  "goroutine 7 [running]:\n"
				  "runtime.mallocgc(0x21, 0x45f400, 0x1)\n"
				  "\t/go/malloc.go:1131 +0x7b1\n"
				  "\n"
				  "tracealloc(0xc000020000, 0x40)\n"
				  "goroutine 7 [running]:\n"
				  "runtime.mallocgc(0x38?, 0x0?, 0x0)\n"
				  "\n"
				  "tracefree(0xc000010000, 0x30)\n"
				  "goroutine 2 [running]:\n"
				  "\n";

	(void)state;
	ik_import("go-allocfree", "log.txt", log, sizeof(log) - 1);
	ik_adds_up("go-allocfree");
	assert_int_equal(ik.totals.by_kind[RH_EV_ALLOC], 2);
	assert_int_equal(ik.totals.by_kind[RH_EV_FREE], 1);
	assert_int_equal(ik.totals.live_bytes_peak, 0x21 + 0x40);
	assert_int_equal(ik.totals.live_bytes_end, 0x40);
	assert_int_equal(ik_note("estimate.size_unknown"), 1);
	assert_int_equal(ik_note("drop.other_line"), 1);
	ik_import("go-allocfree", "log.txt", "hello\n", 6);
	assert_int_equal(ik.rc, -1);
	assert_non_null(strstr(ik.err.text, "allocfreetrace=1"));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(real_traces_have_the_totals_go_counts),
		cmocka_unit_test(lanes_are_what_was_asked_for),
		cmocka_unit_test(policies_order_the_sizes),
		cmocka_unit_test(old_traces_say_what_to_do),
		cmocka_unit_test(the_old_log_gives_every_object),
		cmocka_unit_test(log_takes_the_size_that_was_asked_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
