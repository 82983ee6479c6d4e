/*
 * test_worth.c - what a heap is worth to its program, against trials and notes with known
 * answers: the shares, the sentence, and the reasons when there is none.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "harness/result/result.h"
#include "harness/result/worth.h"
#include "traces/format/event.h"

enum { BASE, FLOOR, FAST, SLOW, NOISY, MODEL, BACKENDS };
enum { REPS = 6, COPIES = 2 };

static const char *const names[BACKENDS] = { "libc", "null", "fast", "slow", "noisy", "model" };

/* CPU time of both copies, us. The floor is 20; waits on the CPU are 10 more in each. */
static const uint64_t cpu_us[BACKENDS][REPS] = {
	[BASE] = { 200, 202, 204, 206, 208, 210 },  [FLOOR] = { 20, 20, 20, 20, 20, 20 },
	[FAST] = { 160, 162, 164, 166, 168, 170 },  [SLOW] = { 220, 232, 224, 226, 228, 230 },
	[NOISY] = { 190, 212, 200, 210, 200, 212 }, [MODEL] = { 100, 100, 100, 100, 100, 100 },
};

static void note(struct rh_run_trace *trace, const char *name, const char *value)
{
	*(struct rh_pair *)rh_grow(&trace->notes, &trace->note_count, sizeof(struct rh_pair)) =
		(struct rh_pair){ strdup(name), strdup(value) };
}

static void add_trial(struct rh_result *result, uint32_t b, uint32_t rep)
{
	struct rh_trial *trial = rh_grow(&result->trials, &result->trial_count, sizeof(*trial));
	struct rh_trial_pass *pass = NULL;

	*trial = (struct rh_trial){ .backend = b,
				    .lanes = 1,
				    .copies = COPIES,
				    .rep = rep,
				    .events = 1000,
				    .wall_ns = 1000,
				    .cpu_ns = (cpu_us[b][rep] + 10) * 1000,
				    .anon_start = RH_NONE,
				    .anon_drained = RH_NONE,
				    .anon_rested = RH_NONE,
				    .pss_start = RH_NONE,
				    .mapped_start = RH_NONE };
	pass = rh_grow(&trial->passes, &trial->pass_count, sizeof(*pass));
	*pass = (struct rh_trial_pass){ .blocked_ns = 15000, .slept_ns = 5000 };
}

static void make(struct rh_result *result)
{
	static struct rh_program_head head = { .events = 500, .lanes = 1, .grains = 1 };
	struct rh_run_program *program;

	*result = (struct rh_result){ .reps = REPS,
				      .touch = "full",
				      .pace = "none",
				      .probes = "time",
				      .baseline = BASE,
				      .floor = FLOOR };
	result->clock.name = "tsc";
	for (int b = 0; b < BACKENDS; b++) {
		struct rh_run_backend *row =
			rh_grow(&result->backends, &result->backend_count, sizeof(*row));

		row->text = strdup(names[b]);
		row->spec = calloc(1, sizeof(*row->spec));
		row->floor = row->control = b == FLOOR;
		row->deployable = b != FLOOR && b != MODEL;
	}
	((struct rh_run_trace *)rh_grow(&result->traces, &result->trace_count,
					sizeof(struct rh_run_trace)))
		->path = "some/where.rht";
	program = rh_grow(&result->programs, &result->program_count, sizeof(*program));
	program->lanes = 1;
	program->program = (struct rh_program){ .fd = -1, .head = &head };
	for (uint32_t rep = 0; rep < REPS; rep++)
		for (uint32_t b = 0; b < BACKENDS; b++)
			add_trial(result, b, rep);
}

/* 1 ms and 2.5 us for the recording of 1000 calls. */
static void make_noted(struct rh_result *result)
{
	make(result);
	note(&result->traces[0], "cpu_user_ns", "902500");
	note(&result->traces[0], "cpu_kernel_ns", "100000");
	note(&result->traces[0], "recorded_calls", "1000");
}

static void end(struct rh_result *result)
{
	result->programs[0].program = (struct rh_program){ .fd = -1 };
	rh_result_free(result);
}

static const struct rh_metric *metric(const struct rh_result *result, uint32_t b, const char *name)
{
	return rh_result_metric(result, (struct rh_metric_place){ 0, b, 1, COPIES }, name);
}

static const char *why(const struct rh_result *result)
{
	for (size_t i = 0; i < result->absent_count; i++)
		if (strcmp(result->absent[i].metric, "program.saved_share") == 0)
			return result->absent[i].why;
	return NULL;
}

#define NEAR(a, b) assert_true(fabs((a) - (b)) < 1e-9)

static void shares_are_right(void **state)
{
	struct rh_result result;
	const struct rh_metric *m;

	(void)state;
	make_noted(&result);
	rh_result_measure(&result);
	m = metric(&result, BASE, "program.heap_share");
	assert_non_null(m);
	NEAR(m->lo, (200 - 20) / 2.0 / 1000);
	NEAR(m->median, (205 - 20) / 2.0 / 1000);
	m = metric(&result, FAST, "program.saved_share");
	assert_non_null(m);
	NEAR(m->lo, 0.02);
	NEAR(m->hi, 0.02);
	m = metric(&result, SLOW, "program.saved_share");
	NEAR(m->lo, -0.015);
	NEAR(m->hi, -0.01);
	assert_null(metric(&result, BASE, "program.saved_share"));
	assert_null(metric(&result, FLOOR, "program.saved_share"));
	assert_null(metric(&result, FLOOR, "program.heap_share"));
	assert_null(why(&result));
	end(&result);
}

static char *printed(struct rh_result *result)
{
	char *text = NULL;
	size_t bytes;
	FILE *to = open_memstream(&text, &bytes);

	rh_result_print_table(result, to, &(struct rh_telling){ .verbose = false });
	fclose(to);
	return text;
}

static void the_sentence_leads(void **state)
{
	static const char wanted[] =
		"The heap is about 9 % of this program's CPU time (libc); fast would save about "
		"2.0 % [2.0, 2.0] of the whole; slow would cost about 1.0 % [1.0, 1.5] more; "
		"nothing is shown for noisy. Not known: what another heap would do to the other "
		"91 %, the program's own loads\n";
	struct rh_result result;
	char *text;

	(void)state;
	make_noted(&result);
	rh_result_measure(&result);
	text = printed(&result);
	assert_memory_equal(text, wanted, strlen(wanted));
	free(text);
	end(&result);
}

static void it_is_absent_with_a_reason(void **state)
{
	struct rh_result result;
	char *text;

	(void)state;
	make(&result);
	rh_result_measure(&result);
	assert_null(metric(&result, BASE, "program.heap_share"));
	assert_non_null(why(&result));
	assert_non_null(strstr(why(&result), "where.rht: the trace does not say"));
	text = printed(&result);
	assert_null(strstr(text, "this program's CPU time"));
	assert_non_null(strstr(text, "program.saved_share not measured: where.rht"));
	free(text);
	end(&result);

	make_noted(&result);
	note(&result.traces[0], "cut", "events 1 to 10");
	rh_result_measure(&result);
	assert_null(metric(&result, FAST, "program.saved_share"));
	assert_non_null(strstr(why(&result), "part of a trace"));
	end(&result);

	make_noted(&result);
	result.pace = "think";
	rh_result_measure(&result);
	assert_null(metric(&result, FAST, "program.saved_share"));
	assert_non_null(strstr(why(&result), "--pace"));
	end(&result);

	make_noted(&result);
	result.touch = "none";
	rh_result_measure(&result);
	assert_null(metric(&result, FAST, "program.saved_share"));
	assert_non_null(strstr(why(&result), "--touch none"));
	end(&result);
}

/* Notes are text from a file: a note that is not a number is ignored. */
static void notes_are_not_believed(void **state)
{
	static const char *const bad[] = { "", "x", "12 ", "-5", "nan", "1e999", "0" };
	struct rh_run_trace trace = { .path = "t" };
	struct rh_pair rows[] = { { "cpu_user_ns", NULL }, { "cpu_kernel_ns", "0" } };

	(void)state;
	trace.notes = rows;
	trace.note_count = 2;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		rows[0].value = bad[i];
		assert_true(isnan(rh_program_cpu_ns(&trace)));
	}
	rows[0].value = "12";
	NEAR(rh_program_cpu_ns(&trace), 12);
}

/* Few repetitions show nothing, and a replay longer than the program says nothing about it. */
static void little_is_claimed(void **state)
{
	struct rh_worth_row rows[] = { { "fast", 0.02, 0.01, 0.03, 0.5 } };
	struct rh_worth worth = { .base = "libc", .heap = 0.06, .rows = rows, .count = 1 };
	char *text = NULL;
	size_t bytes;
	FILE *to = open_memstream(&text, &bytes);

	(void)state;
	rh_worth_print(&worth, to);
	worth.heap = 0.004;
	rows[0].level = 0.97;
	rh_worth_print(&worth, to);
	worth.heap = 1.5;
	worth.trace = "t.rht";
	rh_worth_print(&worth, to);
	fclose(to);
	assert_non_null(strstr(text, "about 6 % of"));
	assert_non_null(strstr(
		text, "; nothing is shown for fast. Not known: what another heap would do to the "
		      "other 94 %"));
	assert_non_null(strstr(text, "about 0.4 % of this program's CPU time (libc): too little"));
	assert_non_null(strstr(text, "the other 100 %, the program's own loads"));
	assert_non_null(strstr(text, "\nt.rht: the heap takes 1.5 times"));
	assert_null(strstr(text, "save"));
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(shares_are_right),
		cmocka_unit_test(the_sentence_leads),
		cmocka_unit_test(it_is_absent_with_a_reason),
		cmocka_unit_test(notes_are_not_believed),
		cmocka_unit_test(little_is_claimed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
