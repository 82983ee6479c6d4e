/*
 * table_apart.c - where the time of each backend went, one row each: taken from its median
 * trial, so that a row adds up to 100 %. Printed with -v.
 */
#include <stdio.h>
#include <stdlib.h>

#include "harness/probe/probe.h"
#include "harness/result/apart.h"
#include "harness/run/run.h"

enum { PARTS = 8, COLUMNS = 2 + PARTS };

static const char *const heads[COLUMNS] = {
	"lane time, %", "user",	 "loop", "faults", "kernel",
	"waits",	"delay", "idle", "rest",   "faults/1k"
};

static bool is_of(const struct rh_trial *trial, const struct rh_trial *like, uint32_t b)
{
	return trial->backend == b && trial->program == like->program &&
	       trial->copies == like->copies && trial->status == RH_STATUS_OK;
}

static int by_wall(const void *a, const void *b)
{
	uint64_t x = (*(const struct rh_trial *const *)a)->wall_ns;
	uint64_t y = (*(const struct rh_trial *const *)b)->wall_ns;

	return (x > y) - (x < y);
}

static const struct rh_trial *middle(const struct rh_result *result, const struct rh_trial *like,
				     uint32_t b)
{
	const struct rh_trial **list = calloc(result->trial_count + 1, sizeof(*list)), *found;
	size_t count = 0;

	for (size_t t = 0; list && t < result->trial_count; t++)
		if (is_of(&result->trials[t], like, b))
			list[count++] = &result->trials[t];
	if (count)
		qsort(list, count, sizeof(*list), by_wall);
	found = count ? list[(count - 1) / 2] : NULL;
	free(list);
	return found;
}

static const struct rh_trial *floor_of(const struct rh_result *result, const struct rh_trial *trial)
{
	for (size_t t = 0; t < result->trial_count; t++)
		if (result->trials[t].rep == trial->rep &&
		    is_of(&result->trials[t], trial, result->floor))
			return &result->trials[t];
	return NULL;
}

static bool fill_row(const struct rh_probe_table *table, uint32_t b, char (*cell)[RH_CELL])
{
	const struct rh_trial *trial = middle(table->result, table->like, b);
	struct rh_apart a;
	int c = 0;

	if (!trial || !trial->pass_count)
		return false;
	a = rh_apart_of(table->result, trial, floor_of(table->result, trial));
#define CELL(part) snprintf(cell[c++], RH_CELL, "%.1f", 100 * a.part);
	RH_APART_PARTS(CELL)
#undef CELL
	rh_metric_cell(cell[c], rh_table_metric(table, b, "memory.faults_per_event"), 1000, "%.1f");
	return true;
}

void rh_result_print_apart(const struct rh_result *result, const struct rh_trial *like, FILE *to,
			   bool markdown)
{
	const struct rh_probe_table table = {
		.result = result, .like = like, .heads = heads, .columns = COLUMNS, .fill = fill_row
	};

	if (rh_print_rows(&table, to, markdown))
		fprintf(to,
			"\nOf the trial with the median time: user and loop (the replay's own) on "
			"the CPU; faults at %.0f ns each, measured;\nkernel, what else it did; "
			"waits for other lanes; delay, ready without a CPU; idle, not begun or "
			"ended before other lanes;\nrest, asleep for another reason: a lock of the "
			"allocator or of the kernel. A row is 100 %%.\n\n",
			result->fault_ns);
}
