/*
 * test_warnings.c - the warnings before the figures of a run: each by a planted cause, and none
 * without it; and cells that are no figures.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "alloc/base/cells.h"
#include "harness/run/run.h"

enum { EVENTS = 1000 };

static struct rh_program_head head;

/* A trial on one of two idle CPUs. */
static void make(struct rh_result *result, struct rh_run_config *config)
{
	struct rh_run_trace *trace;
	struct rh_run_program *program;
	struct rh_trial *trial;

	*result = (struct rh_result){ .reps = 6, .pace = "none" };
	*config = (struct rh_run_config){ .reps = 6, .replay.touch = RH_TOUCH_FULL };
	result->host.cpus_allowed = 2;
	trace = rh_grow(&result->traces, &result->trace_count, sizeof(*trace));
	*trace = (struct rh_run_trace){ .path = "job.rht", .lanes_recorded = 2 };
	program = rh_grow(&result->programs, &result->program_count, sizeof(*program));
	*program = (struct rh_run_program){ .lanes = 1, .program = { .fd = -1, .head = &head } };
	trial = rh_grow(&result->trials, &result->trial_count, sizeof(*trial));
	*trial = (struct rh_trial){ .lanes = 1, .copies = 1, .events = EVENTS };
}

static bool warned(struct rh_result *result, const struct rh_run_config *config, const char *words)
{
	bool found = false;

	rh_run_warn(config, result);
	for (size_t i = 0; i < result->warning_count; i++)
		found |= strstr(result->warnings[i], words) != NULL;
	result->programs[0].program = (struct rh_program){ .fd = -1 };
	rh_result_free(result);
	return found;
}

static void waits(void **state)
{
	struct rh_run_config config;
	struct rh_result result;

	(void)state;
	make(&result, &config);
	result.trials[0].blocked = EVENTS / 10;
	assert_false(warned(&result, &config, "had to wait"));
	make(&result, &config);
	result.trials[0].blocked = EVENTS / 10 + 10;
	assert_true(warned(&result, &config, "job.rht: 11 % of the events had to wait"));
}

static void foreign_heap(void **state)
{
	struct rh_run_config config;
	struct rh_result result;

	(void)state;
	make(&result, &config);
	assert_false(warned(&result, &config, "is not complete"));
	make(&result, &config);
	snprintf(result.programs[0].stats.incomplete, sizeof(result.programs[0].stats.incomplete),
		 "Java objects live in the JVM's own heap");
	assert_true(warned(&result, &config, "job.rht is not complete: Java objects"));
}

static void load(void **state)
{
	struct rh_run_config config;
	struct rh_result result;

	(void)state;
	make(&result, &config);
	result.host.load1 = 1;
	assert_false(warned(&result, &config, "is busy"));
	make(&result, &config);
	result.host.load1 = 1.5;
	assert_true(warned(&result, &config, "the machine is busy (load 1.5 on 2 CPUs)"));
}

static void one_cpu(void **state)
{
	struct rh_run_config config;
	struct rh_result result;

	(void)state;
	make(&result, &config);
	result.trials[0].lanes = 2;
	assert_false(warned(&result, &config, "cannot be seen here"));
	make(&result, &config);
	result.trials[0].lanes = 2;
	result.host.cpus_allowed = 1;
	assert_true(warned(&result, &config, "2 lanes on 1 CPUs"));
}

static void add_note(struct rh_result *result, const char *value)
{
	struct rh_run_trace *trace = &result->traces[0];
	struct rh_pair *row = rh_grow(&trace->notes, &trace->note_count, sizeof(*row));

	*row = (struct rh_pair){ strdup("allocator"), strdup(value) };
}

static void recorded_on(void **state)
{
	struct rh_run_config config;
	struct rh_result result;

	(void)state;
	make(&result, &config);
	add_note(&result, "libc.so.6");
	assert_false(warned(&result, &config, "recorded on"));
	make(&result, &config);
	add_note(&result, "libjemalloc.so.2");
	assert_true(warned(&result, &config, "recorded on libjemalloc.so.2, not on libc"));
}

/* A time below the floor is none; what may be nothing is told by its upper end. */
static void net_times_are_never_negative(void **state)
{
	static const struct {
		struct rh_metric metric;
		const char *cell;
	} rows[] = {
		{ { .n = 6, .median = 12.34, .lo = 10, .hi = 15 }, "12.3" },
		{ { .n = 6, .median = 2, .lo = -1, .hi = 4.5 }, "< 4.5" },
		{ { .n = 6, .median = -2, .lo = -6, .hi = 1 }, "< 1.0" },
		{ { .n = 6, .median = -2, .lo = -6, .hi = -1 }, "noise" },
		{ { .n = 1, .median = -2, .lo = -2, .hi = -2 }, "noise" },
	};
	char cell[RH_CELL];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		rh_net_cell(cell, &rows[i].metric);
		assert_string_equal(cell, rows[i].cell);
	}
	rh_net_cell(cell, NULL);
	assert_string_equal(cell, "-");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(net_times_are_never_negative),
		cmocka_unit_test(waits),
		cmocka_unit_test(foreign_heap),
		cmocka_unit_test(load),
		cmocka_unit_test(one_cpu),
		cmocka_unit_test(recorded_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
