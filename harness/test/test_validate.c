/*
 * test_validate.c - predicted next to observed, from trials and rounds with known answers: the
 * changes, a program that behaves differently in two runs, and the part of the result.
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

#include "harness/run/validate.h"
#include "harness/test/schema_check.h"
#include "traces/format/event.h"

enum { BASE, MINE, FLOOR, BACKENDS, ROUNDS = 6, EVENTS = 1000 };

static char *words[] = { (char *)"./job", (char *)"<x>", NULL };

static void add_trial(struct rh_result *result, uint32_t b, uint32_t rep)
{
	static const uint64_t cpu_ms[BACKENDS] = { 100, 80, 10 },
			      kernel_ms[BACKENDS] = { 40, 35, 0 };
	struct rh_trial *trial = rh_grow(&result->trials, &result->trial_count, sizeof(*trial));
	struct rh_trial_pass *pass = rh_grow(&trial->passes, &trial->pass_count, sizeof(*pass));

	*pass = (struct rh_trial_pass){ .kernel_ns = kernel_ms[b] * 1000000,
					.faults_minor = b == MINE ? 500 : 2000 };
	trial->backend = b;
	trial->lanes = trial->copies = 1;
	trial->rep = rep;
	trial->events = EVENTS;
	trial->cpu_ns = (cpu_ms[b] + rep) * 1000000;
	trial->anon_start = (uint64_t)(10 + 5 * (b == MINE)) << 20;
	/* in the allocator's own code: 40 ms, under mine 25 */
	*(struct rh_reading *)rh_grow(&trial->readings, &trial->reading_count,
				      sizeof(struct rh_reading)) =
		(struct rh_reading){ "code.allocator_ns_per_event",
				     (b == BASE ? 40e6 : 25e6) / EVENTS };
	if (rep == 0)
		*(struct rh_reading *)rh_grow(&trial->readings, &trial->reading_count,
					      sizeof(struct rh_reading)) =
			(struct rh_reading){ "counters.ir_per_event", b == FLOOR  ? 10
								      : b == BASE ? 110
										  : 90 };
}

static double *filled(double value, double step)
{
	double *list = calloc(ROUNDS, sizeof(*list));

	for (int i = 0; i < ROUNDS; i++)
		list[i] = value + step * i;
	return list;
}

static void add_row(struct rh_validate *v, bool mine)
{
	struct rh_validate_row *row = rh_grow(&v->rows, &v->row_count, sizeof(*row));

	row->name = mine ? "mine" : "libc";
	row->user = filled(mine ? 0.215 : 0.23, 0.01);
	row->system = filled(mine ? 0.045 : 0.05, 0);
	row->wall = filled(1, 0);
	row->rss = filled((mine ? 36.0 : 30.0) * (1 << 20), 0);
	row->faults = filled(mine ? 3000 : 4500, 0);
	row->inside = filled(mine ? 0.024 : 0.04, 0);
	row->outside = filled(0.19, 0.01);
	row->others = filled(0, 0);
	row->load_cpu = filled(mine ? 0.003 : 0.001, 0);
	row->load_rss = filled((mine ? 2.0 : 1.0) * (1 << 20), 0);
	row->count = (struct rh_validate_count){ mine ? 980500 : 1000000, mine ? 90000 : 110000 };
	row->load_count = (struct rh_validate_count){ mine ? 1500 : 1000, 0 };
}

static void make(struct rh_validate *v, uint64_t again)
{
	struct rh_run_backend *row;

	*v = (struct rh_validate){ .rounds = ROUNDS,
				   .events = EVENTS,
				   .events_again = again,
				   .nondeterministic = again != EVENTS,
				   .calls_mean = (EVENTS + (double)again) / 2 };
	v->again = (struct rh_validate_count){ 1000000, 110000 };
	v->result.floor = FLOOR;
	v->result.touch = "full";
	v->result.pace = "none";
	v->result.probes = "time";
	v->result.clock.name = "tsc";
	for (uint32_t b = 0; b < BACKENDS; b++) {
		row = rh_grow(&v->result.backends, &v->result.backend_count, sizeof(*row));
		row->text = strdup(b == BASE ? "libc" : b == MINE ? "mine" : "null");
		row->spec = calloc(1, sizeof(*row->spec));
		for (uint32_t rep = 0; rep < ROUNDS; rep++)
			add_trial(&v->result, b, rep);
	}
	add_row(v, false);
	add_row(v, true);
	for (size_t r = 0; r < v->row_count; r++)
		for (int i = 0; i < ROUNDS; i++)
			v->rows[r].inside[i] *= v->calls_mean / EVENTS;
}

static void compared(struct rh_validate *v, uint64_t again)
{
	const struct rh_validate_config config = { .argv = words,
						   .reps = ROUNDS,
						   .instructions = true };
	struct rh_err err = { 0 };

	make(v, again);
	assert_int_equal(rh_validate_compare(&config, v, &err), 0);
}

static void end(struct rh_validate *v)
{
	/* The document's lists are the rows': both are freed here, once. */
	rh_validate_free(v);
}

#define NEAR(a, b) assert_true(fabs((a) - (b)) < 1e-9 * (1 + fabs((double)(b))))

static void changes_are_right(void **state)
{
	static const struct {
		enum rh_validate_field field;
		double predicted, observed;
		enum rh_truth_verdict verdict;
	} rows[] = {
		{ RH_VALIDATE_CPU, -0.02, -0.022, RH_TRUTH_PREDICTED },
		{ RH_VALIDATE_USER, -0.015, -0.015, RH_TRUTH_PREDICTED },
		{ RH_VALIDATE_KERNEL, -0.005, -0.005, RH_TRUTH_PREDICTED },
		{ RH_VALIDATE_CODE, -0.015, -0.016, RH_TRUTH_PREDICTED },
		{ RH_VALIDATE_RSS, 5 << 20, 5 << 20, RH_TRUTH_PREDICTED },
		{ RH_VALIDATE_FAULTS, -1500, -1500, RH_TRUTH_PREDICTED },
		{ RH_VALIDATE_INSTRUCTIONS, -20000, -20000, RH_TRUTH_PREDICTED },
	};
	struct rh_validate v;

	(void)state;
	compared(&v, EVENTS);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct rh_truth *truth = &v.rows[MINE].truth[rows[i].field];

		NEAR(truth->predicted.median, rows[i].predicted);
		NEAR(truth->observed.median, rows[i].observed);
		assert_int_equal(truth->verdict, rows[i].verdict);
	}
	NEAR(v.heap_s, 0.09);
	NEAR(v.cpu_s, 0.305);
	/* 5 % of the heap's own 100 instructions an event */
	NEAR(v.rows[MINE].truth[RH_VALIDATE_INSTRUCTIONS].slack, 5000);
	end(&v);
}

/* 1000 calls were replayed, the mean of both recordings is 1500: half as much again is predicted,
 * but of the peak. */
static void rates_are_scaled(void **state)
{
	struct rh_validate v;

	(void)state;
	compared(&v, 2 * EVENTS);
	NEAR(v.rows[MINE].truth[RH_VALIDATE_CPU].predicted.median, -0.03);
	NEAR(v.rows[MINE].truth[RH_VALIDATE_INSTRUCTIONS].predicted.median, -30000);
	NEAR(v.rows[MINE].truth[RH_VALIDATE_RSS].predicted.median, 5 << 20);
	NEAR(v.rows[MINE].truth[RH_VALIDATE_CPU].observed.median, -0.022);
	assert_true(v.result.validation->nondeterministic);
	end(&v);
}

/* The program itself takes 200 ms more under mine, in user time; then one round of it 700 ms less.
 */
static void reasons_stand_beside_verdicts(void **state)
{
	const struct rh_validate_config config = { .argv = words,
						   .reps = ROUNDS,
						   .instructions = true };
	const struct rh_truth_change *kept;
	struct rh_err err = { 0 };
	struct rh_validate v;

	(void)state;
	make(&v, EVENTS);
	for (int i = 0; i < ROUNDS; i++)
		v.rows[MINE].user[i] += 0.2;
	assert_int_equal(rh_validate_compare(&config, &v, &err), 0);
	assert_int_equal(v.rows[MINE].truth[RH_VALIDATE_CPU].verdict, RH_TRUTH_OFF);
	assert_string_equal(
		v.rows[MINE].why[RH_VALIDATE_CPU],
		"in the program's own loads (the heap's instructions are as predicted)");
	assert_string_equal(v.rows[MINE].why[RH_VALIDATE_RSS], "");
	kept = v.result.validation->changes;
	assert_string_equal(kept[0].why, v.rows[MINE].why[RH_VALIDATE_CPU]);
	NEAR(rh_validate_share(&v), 0.09 / 0.304);
	v.rows[MINE].user[0] -= 0.7;
	assert_int_equal(rh_validate_compare(&config, &v, &err), 0);
	assert_int_equal(v.rows[MINE].truth[RH_VALIDATE_CPU].verdict, RH_TRUTH_CANNOT_TELL);
	assert_string_equal(v.rows[MINE].why[RH_VALIDATE_CPU], "the program scatters by 350.0 ms");
	end(&v);
}

/* The samples show where the 200 ms are: then the whole has no verdict, and the figure stands
 * there. With twice as much in the program as is off, they are no explanation. */
static void what_the_program_does_is_no_error(void **state)
{
	const struct rh_validate_config config = { .argv = words, .reps = ROUNDS };
	const struct rh_truth *cpu;
	struct rh_err err = { 0 };
	struct rh_validate v;

	(void)state;
	make(&v, EVENTS);
	for (int i = 0; i < ROUNDS; i++) {
		v.rows[MINE].user[i] += 0.2;
		v.rows[MINE].outside[i] += 0.2;
	}
	assert_int_equal(rh_validate_compare(&config, &v, &err), 0);
	cpu = &v.rows[MINE].truth[RH_VALIDATE_CPU];
	assert_int_equal(cpu->verdict, RH_TRUTH_CANNOT_TELL);
	assert_int_equal(cpu->cause, RH_TRUTH_ELSEWHERE);
	assert_string_equal(v.rows[MINE].why[RH_VALIDATE_CPU],
			    "+200.0 [+200.0, +200.0] ms lie in the program's own code, which no "
			    "replay runs");
	assert_int_equal(v.rows[MINE].truth[RH_VALIDATE_CODE].verdict, RH_TRUTH_PREDICTED);
	assert_int_equal(v.result.validation->seen[MINE].outside_s_count, ROUNDS);
	for (int i = 0; i < ROUNDS; i++)
		v.rows[MINE].outside[i] += 0.2;
	assert_int_equal(rh_validate_compare(&config, &v, &err), 0);
	assert_int_equal(cpu->verdict, RH_TRUTH_OFF);
	/* Not sampled: no figure, and the verdict is as it was without. */
	for (int i = 0; i < ROUNDS; i++)
		v.rows[BASE].outside[i] = v.rows[BASE].inside[i] = NAN;
	assert_int_equal(rh_validate_compare(&config, &v, &err), 0);
	assert_int_equal(cpu->verdict, RH_TRUTH_OFF);
	assert_int_equal(v.rows[MINE].truth[RH_VALIDATE_CODE].verdict, RH_TRUTH_CANNOT_TELL);
	assert_int_equal(v.result.validation->seen[BASE].inside_s_count, 0);
	end(&v);
}

/* By samples, the baseline's calls take so long in the program in each round. */
static void compare_with_inside(struct rh_validate *v, double seconds)
{
	const struct rh_validate_config config = { .argv = words, .reps = ROUNDS };
	struct rh_err err = { 0 };

	for (int i = 0; i < ROUNDS; i++)
		v->rows[BASE].inside[i] = seconds;
	assert_int_equal(rh_validate_compare(&config, v, &err), 0);
}

/* In the program the allocator's code takes 2.25 times what it takes in the replay: 90 ms for 40.
 * What mine saves there is 15 ms by the replay, so half as much again, by the root; the rest stays.
 * Too few samples scale nothing.
 */
static void calls_in_the_program_are_colder(void **state)
{
	struct rh_validate v;

	(void)state;
	make(&v, EVENTS);
	compare_with_inside(&v, 0.09);
	NEAR(v.ratio, 2.25);
	NEAR(v.scale, 1.5);
	NEAR(v.result.validation->calls_ratio, 2.25);
	NEAR(v.result.validation->calls_scale, 1.5);
	NEAR(v.rows[MINE].truth[RH_VALIDATE_CODE].predicted.median, -0.0225);
	NEAR(v.rows[MINE].truth[RH_VALIDATE_USER].predicted.median, -0.0225);
	NEAR(v.rows[MINE].truth[RH_VALIDATE_CPU].predicted.median, -0.0275);
	NEAR(v.rows[MINE].truth[RH_VALIDATE_KERNEL].predicted.median, -0.005);
	NEAR(v.heap_s, 0.09); /* that of the replay */
	compare_with_inside(&v, 0.009);
	NEAR(v.scale, 1);
	NEAR(v.rows[MINE].truth[RH_VALIDATE_CPU].predicted.median, -0.02);
	end(&v);
}

/* In the program the baseline's calls take 30 ms where the replay takes 40: mine, 25 by the replay,
 * saves 5 and not 15. With several threads the 40 may be what they wait for each other, under mine
 * as well: then both are scaled by the root. */
static void a_faster_baseline_is_its_own(void **state)
{
	struct rh_validate v;

	(void)state;
	make(&v, EVENTS);
	compare_with_inside(&v, 0.03);
	NEAR(v.ratio, 0.75);
	NEAR(v.result.validation->calls_scale, 1);
	NEAR(v.result.validation->calls_scale_base, 0.75);
	NEAR(v.rows[MINE].truth[RH_VALIDATE_CODE].predicted.median, -0.005);
	NEAR(v.rows[MINE].truth[RH_VALIDATE_USER].predicted.median, -0.005);
	NEAR(v.rows[MINE].truth[RH_VALIDATE_CPU].predicted.median, -0.01);
	NEAR(v.rows[MINE].truth[RH_VALIDATE_KERNEL].predicted.median, -0.005);
	NEAR(v.heap_s, 0.09); /* that of the replay */
	v.threads = 2;
	compare_with_inside(&v, 0.03);
	NEAR(v.result.validation->calls_scale, sqrt(0.75));
	NEAR(v.result.validation->calls_scale_base, sqrt(0.75));
	NEAR(v.rows[MINE].truth[RH_VALIDATE_CODE].predicted.median, -0.015 * sqrt(0.75));
	end(&v);
}

/* The program under mine: 20 ms less on the mean, six rounds of it within +-50 ms. A third of that
 * is 6.7 ms, and 2 % of the program 6.1: 50 / 6.7 squared, times 3.06, are 172 rounds, which are 48
 * at most and never will do; +-10 ms are 7 rounds, +-20 ms 28. Time for fewer is used if it is half
 * of that, or more; and what was fixed once stays.
 */
static void rounds_follow_the_scatter(void **state)
{
	static const struct {
		double half;
		uint64_t left, wanted;
	} rows[] = { { 0, 1000, 6 }, { 10, 1000, 7 }, { 20, 1000, 28 }, { 50, 1000, 6 },
		     { 20, 30, 28 }, { 20, 9, 15 },   { 20, 5, 6 },	{ 10, 0, 6 } };
	struct rh_validate_config config = { .argv = words, .reps = ROUNDS, .budget_ns = 1 };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct rh_validate v;

		make(&v, EVENTS);
		for (int r = 0; r < ROUNDS; r++) /* symmetric, the range is 2 x half */
			v.rows[MINE].user[r] = v.rows[BASE].user[r] - 0.013 +
					       (r - 2.5) / 2.5 * 1e-3 * rows[i].half;
		assert_int_equal(rh_validate_more(&config, &v, 1, rows[i].left),
				 rows[i].wanted > 6);
		assert_int_equal(v.rounds_wanted, rows[i].wanted);
		while (v.rounds < v.rounds_wanted) {
			assert_true(rh_validate_more(&config, &v, 1, 0));
			v.rounds++;
		}
		assert_false(rh_validate_more(&config, &v, 1, 1000));
		v.rounds = ROUNDS;
		end(&v);
	}
	assert_int_equal(rh_validate_rounds_most(&config), 48);
	config.budget_ns = 0;
	assert_int_equal(rh_validate_rounds_most(&config), ROUNDS);
	config = (struct rh_validate_config){ .reps = 1, .budget_ns = 1 };
	assert_int_equal(rh_validate_rounds_most(&config), 1); /* a quick look stays one */
}

/* One paced trial of a backend: asleep is the span without CPU time and waits for a CPU. */
static void add_paced(struct rh_result *result, uint32_t b, uint32_t rep)
{
	struct rh_trial *trial = rh_grow(&result->trials, &result->trial_count, sizeof(*trial));
	struct rh_locks_found *found = rh_pool_alloc(rh_result_pool(result), 1, sizeof(*found));

	*found = (struct rh_locks_found){ .span_ns = 3e9,
					  .cpu_ns = 1e9,
					  .run_delay_ns = b == MINE ? 0.5e9 : 1.5e9,
					  .switches_voluntary = b == MINE ? 7000 : 1000,
					  .futex_calls = UINT64_MAX };
	trial->backend = b;
	trial->rep = rep;
	trial->found.locks = found;
}

/* Mine sleeps a second more, 6000 times, by the replay; 1.2 s and 5900 times in the program. */
static void contention_is_compared(void **state)
{
	const struct rh_validate_config config = { .argv = words, .reps = ROUNDS };
	const struct rh_truth *asleep, *switches;
	const struct rh_validation *kept;
	struct rh_err err = { 0 };
	struct rh_validate v;

	(void)state;
	make(&v, EVENTS);
	v.threads = 2;
	v.paced = true;
	snprintf(v.futex_why, sizeof(v.futex_why), "no tracefs");
	for (uint32_t b = BASE; b <= MINE; b++) {
		v.rows[b].asleep = filled(b == MINE ? 2.2 : 1, 0);
		v.rows[b].threads = filled(4, 0);
		v.rows[b].switches = filled(b == MINE ? 7900 : 2000, 0);
		v.rows[b].futex = filled(NAN, 0);
		for (uint32_t rep = 0; rep < ROUNDS; rep++)
			add_paced(&v.contended, b, rep);
	}
	assert_int_equal(rh_validate_compare(&config, &v, &err), 0);
	asleep = &v.rows[MINE].truth[RH_VALIDATE_ASLEEP];
	NEAR(asleep->predicted.median, 1);
	NEAR(asleep->observed.median, 1.2);
	NEAR(asleep->slack, 0.08); /* 2 % of 4 s */
	assert_int_equal(asleep->verdict, RH_TRUTH_PREDICTED);
	switches = &v.rows[MINE].truth[RH_VALIDATE_SWITCHES];
	NEAR(switches->predicted.median, 6000);
	NEAR(switches->observed.median, 5900);
	NEAR(switches->slack, 200); /* 10 % of 2000 */
	assert_int_equal(v.rows[MINE].truth[RH_VALIDATE_FUTEX].verdict, RH_TRUTH_CANNOT_TELL);
	kept = v.result.validation;
	assert_string_equal(kept->futex_why, "no tracefs");
	assert_int_equal(kept->seen[MINE].asleep_s_count, ROUNDS);
	assert_int_equal(kept->seen[MINE].futex_calls_count, 0);
	/* Far less in the program: the threads do not meet where the replay's do. */
	for (int i = 0; i < ROUNDS; i++)
		v.rows[MINE].asleep[i] = 1;
	assert_int_equal(rh_validate_compare(&config, &v, &err), 0);
	assert_int_equal(asleep->verdict, RH_TRUTH_OFF);
	assert_string_equal(v.rows[MINE].why[RH_VALIDATE_ASLEEP],
			    "the program's threads meet elsewhere than the replay's");
	end(&v);
}

static void the_result_has_it(void **state)
{
	struct rh_pool *pool = rh_pool_open();
	const struct rh_validation *kept;
	struct rh_validation read;
	struct rh_validate v;
	struct rh_err err = { 0 };
	char *text;

	(void)state;
	compared(&v, EVENTS);
	kept = v.result.validation;
	/* without contention: it has one thread */
	assert_int_equal(kept->changes_count, RH_VALIDATE_FIELDS - 3);
	assert_int_equal(kept->seen_count, 2);
	text = rh_record_print(&rh_validation_type, kept, RH_JSON_COMPACT);
	check_against_schema(text, &rh_validation_type);
	assert_int_equal(rh_record_read(&rh_validation_type, &read,
					&(struct rh_record_source){ .path = "text",
								    .text = text,
								    .text_bytes = strlen(text) },
					pool, &err),
			 0);
	assert_string_equal(read.argv[1], "<x>");
	assert_string_equal(read.changes[0].what, "cpu");
	assert_string_equal(read.changes[0].verdict, "predicted");
	assert_int_equal(read.changes[0].backend, MINE);
	NEAR(read.changes[0].observed, -0.022);
	assert_int_equal(read.seen[MINE].user_s_count, ROUNDS);
	assert_true(read.seen[MINE].instructions == 980500);
	free(text);
	rh_pool_close(pool);
	end(&v);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(changes_are_right),
		cmocka_unit_test(rates_are_scaled),
		cmocka_unit_test(reasons_stand_beside_verdicts),
		cmocka_unit_test(what_the_program_does_is_no_error),
		cmocka_unit_test(calls_in_the_program_are_colder),
		cmocka_unit_test(a_faster_baseline_is_its_own),
		cmocka_unit_test(rounds_follow_the_scatter),
		cmocka_unit_test(contention_is_compared),
		cmocka_unit_test(the_result_has_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
