/*
 * test_history.c - what is kept over time, and change points with known answers.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "alloc/base/random.h"
#include "ci/gate/history.h"

static char path[] = "/tmp/reheap-history-test-XXXXXX";
static char document[64];

static const char gate[] =
	"{\"schema\":\"reheap.gate/1\",\"started\":\"%s\",\"tool\":\"reheap 1\","
	"\"verdict\":\"pass\","
	"\"host\":{\"cpu\":\"x\"},\"rule\":{},\"candidate\":{\"label\":\"it's \\\"new\\\"\"},"
	"\"scenarios\":[{"
	"\"trace\":\"a.rht\",\"sha256\":\"00\",\"lanes\":1,\"metrics\":[{\"name\":\"wall\","
	"\"ratio\":%.3f}],\"counts\":[{\"name\":\"instructions\",\"unit\":\"Ir/event\","
	"\"candidate\":90.5}]}]}";

static void write_document(const char *when, double ratio)
{
	FILE *file = fopen(document, "w");

	assert_non_null(file);
	fprintf(file, gate, when, ratio);
	fclose(file);
}

static void a_document_is_kept_once(void **state)
{
	struct rh_history *history;
	struct rh_err err = { 0 };
	const struct rh_history_pick all = { 0 }, none = { .metric = "nothing" };
	char *text = NULL;
	size_t rows, bytes;
	FILE *to;

	(void)state;
	assert_int_equal(rh_history_open(&history, path, true, &err), 0);
	write_document("2026-01-01T00:00:00Z", 1.01);
	assert_int_equal(rh_history_add(history, document, &rows, &err), 1);
	assert_int_equal(rows, 2);
	assert_int_equal(rh_history_add(history, document, &rows, &err), 0);
	assert_int_equal(rows, 0);
	write_document("2026-01-02T00:00:00Z", 1.02);
	assert_int_equal(rh_history_add(history, document, &rows, &err), 1);
	assert_int_equal(rows, 2);
	to = open_memstream(&text, &bytes);
	assert_int_equal(rh_history_show(history, &all, true, to, &err), 0);
	fclose(to);
	assert_non_null(strstr(text, "gate.wall [ratio]\n  a.rht, 1 lane x 1, it's \"new\""));
	assert_non_null(strstr(text, "2 values, first 1.01, last 1.02 (+1.0 %)"));
	free(text);
	to = open_memstream(&text, &bytes);
	assert_int_equal(rh_history_export(history, &none, true, to, &err), 0);
	fclose(to);
	assert_string_equal(text, "[]\n");
	free(text);
	to = open_memstream(&text, &bytes);
	assert_int_equal(rh_history_export(history, &all, false, to, &err), 0);
	fclose(to);
	assert_non_null(strstr(text, "\"it's \"\"new\"\"\",gate.wall,ratio,1.01,"));
	free(text);
	rh_history_close(history);
}

static char *shown(struct rh_history *history, const char *metric)
{
	const struct rh_history_pick pick = { .metric = metric };
	struct rh_err err = { 0 };
	char *text = NULL;
	size_t bytes;
	FILE *to = open_memstream(&text, &bytes);

	assert_int_equal(rh_history_show(history, &pick, false, to, &err), 0);
	fclose(to);
	return text;
}

/* Twenty documents: the wall time steps up at the eleventh, instructions never. */
static void what_stepped_stands_first(void **state)
{
	struct rh_history *history;
	struct rh_err err = { 0 };
	char *text, *step, *still;
	size_t rows;

	(void)state;
	unlink(path);
	assert_int_equal(rh_history_open(&history, path, true, &err), 0);
	for (int i = 0; i < 20; i++) {
		char when[32];

		snprintf(when, sizeof(when), "2026-02-%02dT00:00:00Z", i + 1);
		write_document(when, (i < 10 ? 1.0 : 1.2) + i % 3 * 0.001);
		assert_int_equal(rh_history_add(history, document, &rows, &err), 1);
	}
	text = shown(history, NULL);
	assert_non_null(strstr(text, "2 series, 1 step "));
	step = strstr(text, "step at value 11 of 20, 2026-02-11");
	still = strstr(text, "20 values, no step");
	assert_non_null(step);
	assert_non_null(still);
	assert_true(step < still);
	assert_non_null(strstr(text, "last / first"));
	assert_non_null(strstr(text, "1 metric: no step"));
	free(text);
	text = shown(history, "instruct");
	assert_null(strstr(text, "gate.wall"));
	assert_non_null(strstr(text, "counts.instructions"));
	free(text);
	text = shown(history, "gate*");
	assert_null(strstr(text, "counts.instructions"));
	free(text);
	text = shown(history, "wall*");
	assert_string_equal(text, "nothing is kept that fits\n");
	free(text);
	rh_history_close(history);
}

static void wrong_documents_leave_nothing(void **state)
{
	static const char *const wrong[] = {
		"",
		"{",
		"{}",
		"[1]",
		"{\"schema\":\"other\"}",
		"{\"schema\":\"reheap.result/1\"}",
		/* What no run and no gate can have measured. */
		"{\"schema\":\"reheap.gate/1\",\"rule\":{},\"verdict\":\"pass\",\"scenarios\":["
		"{\"lanes\":-1,\"metrics\":[{\"name\":\"wall\",\"ratio\":1}]}]}",
		"{\"schema\":\"reheap.gate/1\",\"rule\":{},\"verdict\":\"pass\",\"scenarios\":["
		"{\"lanes\":1,\"metrics\":[{\"name\":\"wall\",\"ratio\":-1}]}]}",
		"{\"schema\":\"reheap.result/1\",\"traces\":[{}],\"backends\":[{}],\"trials\":[],"
		"\"metrics\":[{\"name\":\"time.ns_per_event\",\"median\":-1}]}",
		"{\"schema\":\"reheap.result/1\",\"exit\":-1,\"traces\":[{}],\"backends\":[{}],"
		"\"trials\":[],\"metrics\":[{\"name\":\"time.ns_per_event\",\"median\":1}]}",
	};
	struct rh_history *history;
	struct rh_err err = { 0 };
	size_t rows;

	(void)state;
	assert_int_equal(rh_history_open(&history, path, true, &err), 0);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		FILE *file = fopen(document, "w");

		assert_non_null(file);
		fputs(wrong[i], file);
		fclose(file);
		assert_int_equal(rh_history_add(history, document, &rows, &err), -1);
		assert_int_equal(err.code, RH_BAD_DATA);
		assert_int_equal(rows, 0);
	}
	assert_int_equal(rh_history_add(history, "/nowhere/at.json", &rows, &err), -1);
	assert_int_equal(err.code, RH_NO_INPUT);
	rh_history_close(history);
	assert_int_equal(rh_history_open(&history, "/nowhere/at.sqlite", false, &err), -1);
	assert_int_equal(err.code, RH_NO_INPUT);
	assert_null(history);
}

static void a_step_is_found_where_it_is(void **state)
{
	struct rh_change changes[RH_CHANGES_MAX];
	double values[40];
	uint64_t random = 7;

	(void)state;
	for (int i = 0; i < 40; i++)
		values[i] = (i < 25 ? 100 : 112) + (double)(rh_random(&random) % 100) / 50;
	assert_int_equal(rh_changes_find(values, 40, changes), 1);
	assert_int_equal(changes[0].at, 25);
	assert_true(changes[0].p < 0.001);
	assert_float_equal(changes[0].after / changes[0].before, 1.12, 0.01);
}

static void two_steps_come_in_order(void **state)
{
	struct rh_change changes[RH_CHANGES_MAX];
	double values[60];
	uint64_t random = 3;

	(void)state;
	for (int i = 0; i < 60; i++)
		values[i] = (i < 20   ? 1.0
			     : i < 40 ? 1.3
				      : 1.1) +
			    (double)(rh_random(&random) % 100) / 5000;
	assert_int_equal(rh_changes_find(values, 60, changes), 2);
	assert_int_equal(changes[0].at, 20);
	assert_int_equal(changes[1].at, 40);
}

static void noise_outliers_and_small_steps_are_none(void **state)
{
	struct rh_change changes[RH_CHANGES_MAX];
	double values[50];

	(void)state;
	for (uint64_t seed = 1; seed <= 10; seed++) {
		uint64_t random = seed;

		for (int i = 0; i < 50; i++)
			values[i] = 100 + (double)(rh_random(&random) % 1000) / 50;
		values[20] = 500;
		assert_int_equal(rh_changes_find(values, 50, changes), 0);
	}
	for (int i = 0; i < 50; i++)
		values[i] = i < 25 ? 100 : 103;
	assert_int_equal(rh_changes_find(values, 50, changes), 0);
	assert_int_equal(rh_changes_find(values, 3, changes), 0);
	assert_int_equal(rh_changes_find(values, 0, changes), 0);
}

static int make_files(void **state)
{
	int fd = mkstemp(path);

	(void)state;
	if (fd < 0)
		return -1;
	close(fd);
	unlink(path);
	snprintf(document, sizeof(document), "%s.json", path);
	return 0;
}

static int remove_files(void **state)
{
	(void)state;
	unlink(path);
	return unlink(document);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_document_is_kept_once),
		cmocka_unit_test(what_stepped_stands_first),
		cmocka_unit_test(wrong_documents_leave_nothing),
		cmocka_unit_test(a_step_is_found_where_it_is),
		cmocka_unit_test(two_steps_come_in_order),
		cmocka_unit_test(noise_outliers_and_small_steps_are_none),
	};

	return cmocka_run_group_tests(tests, make_files, remove_files);
}
