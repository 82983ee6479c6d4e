/*
 * latency_run.c - latency over the run and by size (latency_run.h).
 *
 * Lanes count from the start of the worker's life; a stretch is what the sum of all cells has
 * grown by. A cell that nothing was put into costs one read, so a segment edge costs as much
 * as the sizes in use: some 40 pages a lane, about 50 us.
 */
#include "harness/probe/latency_run.h"

#include <stdlib.h>
#include <string.h>

struct rh_latency_run {
	uint64_t before[RH_LATENCY_COARSE];
	uint64_t counts[RH_LATENCY_COLUMNS][RH_LATENCY_COARSE];
	uint64_t events[RH_LATENCY_COLUMNS];
	size_t columns;
	unsigned stride, pending;	/* segments a column, and those in the last one so far */
};

struct rh_latency_run *rh_latency_run_open(void)
{
	struct rh_latency_run *run = calloc(1, sizeof(*run));

	if (run)
		run->stride = 1;
	return run;
}

void rh_latency_run_close(struct rh_latency_run *run)
{
	free(run);
}

static void sum_cells(uint64_t *coarse, const struct rh_latency_lane *lanes, uint32_t seats)
{
	for (uint32_t s = 0; s < seats; s++)
		for (int c = 0; c < RH_LAT_KINDS * RH_LAT_OCTAVES; c++) {
			const struct rh_hist *cell = &lanes[s].cell[0][0] + c;

			for (unsigned b = 0; cell->count && b < RH_HIST_BUCKETS; b++)
				coarse[b / 8] += cell->bucket[b];
		}
}

/* Pairs of columns become one. */
static void halve(struct rh_latency_run *run)
{
	for (size_t c = 0; c < RH_LATENCY_COLUMNS / 2; c++) {
		run->events[c] = run->events[2 * c] + run->events[2 * c + 1];
		for (size_t b = 0; b < RH_LATENCY_COARSE; b++)
			run->counts[c][b] = run->counts[2 * c][b] + run->counts[2 * c + 1][b];
	}
	run->columns = RH_LATENCY_COLUMNS / 2;
	memset(run->events + run->columns, 0, run->columns * sizeof(run->events[0]));
	memset(run->counts + run->columns, 0, run->columns * sizeof(run->counts[0]));
	run->stride *= 2;
}

void rh_latency_run_add(struct rh_latency_run *run, const struct rh_latency_lane *lanes,
			uint32_t seats, uint64_t events)
{
	uint64_t now[RH_LATENCY_COARSE] = { 0 };
	size_t at;

	if (run->pending == 0) {
		if (run->columns == RH_LATENCY_COLUMNS)
			halve(run);
		run->columns++;
	}
	at = run->columns - 1;
	sum_cells(now, lanes, seats);
	for (size_t b = 0; b < RH_LATENCY_COARSE; b++)
		run->counts[at][b] += now[b] - run->before[b];
	memcpy(run->before, now, sizeof(now));
	run->events[at] += events;
	run->pending = (run->pending + 1) % run->stride;
}

static json_t *integer(uint64_t value)
{
	return json_integer((json_int_t)value);
}

static json_t *column_json(const uint64_t *counts, size_t first, size_t last)
{
	json_t *column = json_array();

	for (size_t b = first; b <= last; b++)
		if (counts[b])
			json_array_append_new(column, json_pack("[o, o]", integer(b - first),
								integer(counts[b])));
	return column;
}

json_t *rh_latency_run_json(const struct rh_latency_run *run, double ns_per_tick)
{
	size_t first = 0, last = RH_LATENCY_COARSE;
	json_t *events, *edges, *counts;

	while (first < RH_LATENCY_COARSE && run->before[first] == 0)
		first++;
	while (last > first && run->before[last - 1] == 0)
		last--;
	if (run->columns < 2 || first == last)
		return NULL;
	events = json_array();
	edges = json_array();
	counts = json_array();
	for (size_t b = first; b <= last; b++)
		json_array_append_new(edges, json_real(ns_per_tick *
						       (double)rh_hist_low((unsigned)b * 8)));
	for (size_t c = 0; c < run->columns; c++) {
		json_array_append_new(events, integer(run->events[c]));
		json_array_append_new(counts, column_json(run->counts[c], first, last - 1));
	}
	return json_pack("{s:o, s:o, s:o, s:o}", "events", events, "first_bucket",
			 integer(first), "edges_ns", edges, "counts", counts);
}

/* ---- by size ---- */

json_t *rh_latency_sizes_json(const struct rh_latency_lane *lanes, uint32_t seats,
			      double ns_per_tick)
{
	static const char *const names[] = { "kind", "size_to", "n", "mean_ns", "p50_ns",
					     "p99_ns" };
	json_t *object = json_object(), *column[6];

	for (int c = 0; c < 6; c++)
		json_object_set_new(object, names[c], column[c] = json_array());
	for (int i = 0; i < RH_LAT_KINDS * RH_LAT_OCTAVES; i++) {
		int kind = i / RH_LAT_OCTAVES, octave = i % RH_LAT_OCTAVES;
		struct rh_hist_sum sum = { 0 };

		for (uint32_t s = 0; s < seats; s++)
			if (lanes[s].cell[kind][octave].count)
				rh_hist_merge(&sum, &lanes[s].cell[kind][octave]);
		if (!sum.count)
			continue;
		json_array_append_new(column[0], json_string(rh_latency_names[kind]));
		json_array_append_new(column[1], octave == RH_LAT_OCTAVES - 1 ? json_null() :
						 integer(8ull << octave));
		json_array_append_new(column[2], integer(sum.count));
		json_array_append_new(column[3], json_real(ns_per_tick * sum.sum /
							   (double)sum.count));
		json_array_append_new(column[4], json_real(ns_per_tick *
			(double)rh_hist_quantile(&sum, .5)));
		json_array_append_new(column[5], json_real(ns_per_tick *
			(double)rh_hist_quantile(&sum, .99)));
	}
	return object;
}
