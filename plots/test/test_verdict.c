/*
 * test_verdict.c - where a difference is said to come from: named when most of it lies in one kind
 * of operation whatever trial is left out, said to be spread when it is, and not said at
 * all from too few trials, from none, or when one trial decides.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "plots/report/report.h"

/* One kind in one octave: what an operation takes on either side. */
struct cell {
	const char *kind;
	int size_to;
	double base, cand;
};

/* Trials of both backends in turn. */
static void put_trial(FILE *to, int number, const struct cell *cells, size_t count, double times)
{
	int backend = number % 2, rep = number / 2;
	static const char *const columns[] = { "kind", "size_to", "n", "mean_ns" };

	fprintf(to,
		"{\"trace\":0,\"backend\":%d,\"lanes\":1,\"copies\":1,\"rep\":%d,"
		"\"status\":\"ok\",\"wall_ns\":%d,\"probes\":{\"latency\":{\"sizes\":{",
		backend, rep, 1000 + rep);
	for (int c = 0; c < 4; c++) {
		fprintf(to, "%s\"%s\":[", c ? "," : "", columns[c]);
		for (size_t i = 0; i < count; i++) {
			fputs(i ? "," : "", to);
			if (c == 0)
				fprintf(to, "\"%s\"", cells[i].kind);
			else
				fprintf(to, "%.0f",
					c == 1	  ? cells[i].size_to
					: c == 2  ? 1000
					: backend ? cells[i].cand * times
						  : cells[i].base);
		}
		fputc(']', to);
	}
	fputs("}}}}", to);
}

/* A result of so many trials a side; in the odd one the candidate takes `times` as long. */
static const char *cause(const struct cell *cells, size_t count, int trials, double times,
			 bool faster)
{
	static char text[256];
	char path[] = "/tmp/reheap-verdict-XXXXXX";
	char *paths[] = { path };
	struct rh_err err = { 0 };
	struct rh_view view;
	FILE *to = fdopen(mkstemp(path), "w");

	assert_non_null(to);
	fputs("{\"schema\":\"reheap.result/1\",\"config\":{\"baseline\":\"libc\"},\"host\":{},"
	      "\"traces\":[{\"name\":\"t\"}],\"backends\":[{\"spec\":\"libc\",\"status\":\"ok\"},"
	      "{\"spec\":\"jemalloc\",\"status\":\"ok\"}],\"trials\":[",
	      to);
	for (int t = 0; t < 2 * trials; t++) {
		fputs(t ? "," : "", to);
		put_trial(to, t, cells, count, t == 1 ? times : 1);
	}
	fputs("],\"metrics\":[", to);
	for (int b = 0; b < 2; b++)
		fprintf(to,
			"%s{\"trace\":0,\"backend\":%d,\"lanes\":1,\"copies\":1,\"name\":"
			"\"time.ns_per_event\",\"unit\":\"ns\",\"source\":\"own\",\"better\":"
			"\"lower\",\"n\":1,\"median\":%d,\"values\":[%d]}",
			b ? "," : "", b, 20 - 10 * b, 20 - 10 * b);
	fputs("]}", to);
	fclose(to);
	if (rh_view_open(&view, paths, 1, NULL, &err) < 0)
		fail_msg("%s", err.text);
	snprintf(text, sizeof(text), "%s", rh_verdict_cause(&view, 0, 1, faster));
	rh_view_close(&view);
	unlink(path);
	return text;
}

static void the_kind_that_holds_most_is_named(void **state)
{
	static const struct cell cells[] = {
		{ "alloc", 32, 20, 18 },
		{ "free_remote", 32, 90, 20 },
		{ "free", 1048576, 30, 10 },
	};

	(void)state;
	assert_string_equal(cause(cells, 3, 5, 1, true),
			    "; most of it in frees from other threads "
			    "(76 % of what timed operations differ by)");
	/* the other way round the words are the same, but a verdict must agree with the sum */
	assert_string_equal(cause(cells, 3, 5, 1, false), "");
}

static void sizes_are_named_too(void **state)
{
	static const struct cell cells[] = {
		{ "alloc", 1048576, 500, 100 },
		{ "free", 1048576, 500, 100 },
		{ "alloc", 16, 20, 19 },
		{ "resize", 1048576, 500, 100 },
	};

	(void)state;
	assert_non_null(strstr(cause(cells, 4, 5, 1, true), "most of it in blocks above 32 KiB"));
}

static void what_is_spread_is_said_to_be(void **state)
{
	static const struct cell cells[] = {
		{ "alloc", 32, 20, 10 },
		{ "free", 1024, 20, 10 },
		{ "resize", 131072, 20, 10 },
	};

	(void)state;
	assert_non_null(strstr(cause(cells, 3, 5, 1, true), "spread"));
}

static void few_trials_and_single_ones_say_nothing(void **state)
{
	static const struct cell cells[] = { { "alloc", 32, 20, 10 }, { "free", 32, 20, 19 } };

	(void)state;
	assert_string_equal(cause(cells, 2, 2, 1, true), "");
	assert_string_equal(cause(cells, 0, 5, 1, true), "");
	/* one trial of five that was preempted does not change what the others say */
	assert_non_null(strstr(cause(cells, 2, 5, 1000, true), "most of it in"));
}

static void put_metric(FILE *to, int trace, int backend, const char *name, double median)
{
	fprintf(to,
		"%s{\"trace\":%d,\"backend\":%d,\"lanes\":1,\"copies\":1,\"name\":\"%s\",\"n\":1,"
		"\"median\":%g,\"values\":[%g]}",
		trace || backend || name[0] == 'm' ? "," : "", trace, backend, name, median,
		median);
}

/* A result that the test writes, in a file of its own. */
static FILE *open_document(char path[64])
{
	FILE *to;

	snprintf(path, 64, "/tmp/reheap-test-verdict.XXXXXX");
	to = fdopen(mkstemp(path), "w");
	assert_non_null(to);
	return to;
}

/* What is said of it over all traces; the file goes. To be freed. */
static char *overall_of(FILE *document, char *path)
{
	char *paths[] = { path }, *text = NULL;
	struct rh_err err = { 0 };
	struct rh_view view;
	size_t bytes = 0;
	FILE *to;

	fclose(document);
	if (rh_view_open(&view, paths, 1, NULL, &err) < 0)
		fail_msg("%s", err.text);
	to = open_memstream(&text, &bytes);
	rh_verdict_overall(&view, to);
	fclose(to);
	rh_view_close(&view);
	unlink(path);
	return text;
}

/* Time halves; memory is 1, 2 and 4 times the baseline: 2 times in the geometric mean. */
static void means_are_over_all_traces(void **state)
{
	char path[64], *text;
	FILE *to = open_document(path);

	(void)state;
	fputs("{\"schema\":\"reheap.result/1\",\"config\":{\"baseline\":\"libc\"},"
	      "\"traces\":[{},{},{}],"
	      "\"backends\":[{\"spec\":\"libc\"},{\"spec\":\"other\",\"deployable\":true},"
	      "{\"spec\":\"model\"}],\"trials\":[],\"metrics\":[",
	      to);
	for (int t = 0; t < 3; t++) {
		put_metric(to, t, 0, "time.ns_per_event", 20);
		put_metric(to, t, 1, "time.ns_per_event", 10);
		put_metric(to, t, 2, "time.ns_per_event", 5);
		put_metric(to, t, 0, "memory.rss_peak_bytes", 1000);
		put_metric(to, t, 1, "memory.rss_peak_bytes", 1000 << t);
	}
	fputs("]}", to);
	text = overall_of(to, path);
	/* The model is faster, but nobody can choose it: it comes second, and is marked. One trial
	 * each shows nothing, and that comes before the mean. */
	assert_ptr_equal(strstr(text,
				"No setting distinguishes other from libc in time; as a mean, "
				"other takes 0.50 × the time of libc over 3 traces ("),
			 text);
	assert_non_null(strstr(text, "model (cannot be put under a program) takes 0.25"));
	assert_non_null(strstr(text, "with 100 % more peak memory"));
	free(text);
}

/* Halved on three settings of a, the same on b, an eighth on c: as traces 0.40 (as settings it
 * would be 0.44), and 0.71 without c. */
static void one_trace_has_one_voice(void **state)
{
	static const struct {
		int trace, lanes;
		double other;
	} rows[] = { { 0, 1, 10 }, { 0, 2, 10 }, { 0, 4, 10 }, { 1, 1, 20 }, { 2, 1, 2.5 } };
	char path[64], *text;
	FILE *to = open_document(path);

	(void)state;
	fputs("{\"schema\":\"reheap.result/1\",\"config\":{\"baseline\":\"libc\"},\"traces\":["
	      "{\"name\":\"a\"},{\"name\":\"b\"},{\"name\":\"c\"}],\"backends\":[{\"spec\":"
	      "\"libc\"},{\"spec\":\"other\",\"deployable\":true}],\"trials\":[],\"metrics\":[",
	      to);
	for (size_t i = 0; i < 2 * sizeof(rows) / sizeof(rows[0]); i++)
		fprintf(to,
			"%s{\"trace\":%d,\"backend\":%d,\"lanes\":%d,\"copies\":1,\"name\":"
			"\"time.ns_per_event\",\"n\":1,\"median\":%g,\"values\":[%g]}",
			i ? "," : "", rows[i / 2].trace, (int)(i % 2), rows[i / 2].lanes,
			i % 2 ? rows[i / 2].other : 20, i % 2 ? rows[i / 2].other : 20);
	fputs("]}", to);
	text = overall_of(to, path);
	assert_non_null(strstr(text,
			       "other takes 0.40 × the time of libc over 3 traces, each "
			       "counted once (geometric mean; 0.71 without c, the farthest)"));
	free(text);
}

/* One panel of allocations: b is slow at 64 bytes, a nowhere; another panel is not asked. */
static void slow_sizes_are_named(void **state)
{
	struct rh_figure_point a[] = { { .x = 8, .y = 50 }, { .x = 64, .y = 60 } };
	struct rh_figure_point b[] = { { .x = 8, .y = 55 }, { .x = 64, .y = 1500 } };
	struct rh_figure_point c[] = { { .x = 8, .y = 9e9 } };
	struct rh_series series[] = { { .label = "a", .points = a, .point_count = 2 },
				      { .label = "b", .points = b, .point_count = 2 },
				      { .panel = 1, .label = "c", .points = c, .point_count = 1 } };
	struct rh_panel panels[] = { { .name = "allocations, t" }, { .name = "frees, t" } };
	struct rh_figure figure = { .name = "latency-sizes",
				    .panels = panels,
				    .series = series,
				    .panel_count = 2,
				    .series_count = 3 };
	const struct rh_figures figures = { .list = &figure, .count = 1 };
	char *text = NULL;
	size_t bytes = 0;
	FILE *to = open_memstream(&text, &bytes);

	(void)state;
	rh_verdict_sizes(&figures, to);
	b[1].y = 61;
	rh_verdict_sizes(&figures, to);
	figure.absent_why = "not measured";
	rh_verdict_sizes(&figures, to);
	fclose(to);
	assert_string_equal(text,
			    "Slow sizes (99th percentile of allocations, t): b at sizes up to 64 "
			    "bytes (1,500 ns, 25.0 × a)\n"
			    "Slow sizes (99th percentile of allocations, t): none takes twice "
			    "the time of the best\n");
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(slow_sizes_are_named),
		cmocka_unit_test(means_are_over_all_traces),
		cmocka_unit_test(one_trace_has_one_voice),
		cmocka_unit_test(the_kind_that_holds_most_is_named),
		cmocka_unit_test(sizes_are_named_too),
		cmocka_unit_test(what_is_spread_is_said_to_be),
		cmocka_unit_test(few_trials_and_single_ones_say_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
