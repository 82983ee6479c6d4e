/*
 * latency_run.c - latency over the run and by size (latency_run.h).
 *
 * Lanes count from the start of the worker's life; a stretch is the growth of the sum of all
 * cells. An empty cell costs one read, so the cost of a segment edge depends on the sizes in
 * use: some 40 pages a lane, about 50 us.
 */
#include "harness/probe/latency_run.h"

#include "harness/result/latency_kinds.h"

#include <stdlib.h>
#include <string.h>

struct rh_latency_rec {
	uint64_t before[RH_LATENCY_COARSE];
	uint64_t counts[RH_LATENCY_COLUMNS][RH_LATENCY_COARSE];
	uint64_t events[RH_LATENCY_COLUMNS];
	size_t columns;
	unsigned stride, pending; /* segments a column, and those in the last one so far */
};

struct rh_latency_rec *rh_latency_run_open(void)
{
	struct rh_latency_rec *run = calloc(1, sizeof(*run));

	if (run)
		run->stride = 1;
	return run;
}

void rh_latency_run_close(struct rh_latency_rec *run)
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
static void halve(struct rh_latency_rec *run)
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

void rh_latency_run_add(struct rh_latency_rec *run, const struct rh_latency_lane *lanes,
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

static struct rh_bucket_row column_of(struct rh_pool *pool, const uint64_t *counts, size_t first,
				      size_t last)
{
	struct rh_bucket_row row = { NULL, 0 };

	for (size_t b = first; b <= last; b++)
		if (counts[b])
			*(struct rh_bucket *)rh_pool_grow(pool, &row.list, &row.list_count,
							  sizeof(*row.list)) =
				(struct rh_bucket){ (double)(b - first), counts[b] };
	return row;
}

struct rh_latency_run *rh_latency_run_found(struct rh_pool *pool, const struct rh_latency_rec *rec,
					    double ns_per_tick)
{
	size_t first = 0, last = RH_LATENCY_COARSE;
	struct rh_latency_run *to;

	while (first < RH_LATENCY_COARSE && rec->before[first] == 0)
		first++;
	while (last > first && rec->before[last - 1] == 0)
		last--;
	if (rec->columns < 2 || first == last)
		return NULL;
	to = rh_pool_alloc(pool, 1, sizeof(*to));
	to->first_bucket = first;
	to->events_count = to->counts_count = rec->columns;
	to->events = rh_pool_alloc(pool, rec->columns, sizeof(*to->events));
	to->counts = rh_pool_alloc(pool, rec->columns, sizeof(*to->counts));
	to->edges_ns_count = last - first + 1;
	to->edges_ns = rh_pool_alloc(pool, to->edges_ns_count, sizeof(*to->edges_ns));
	for (size_t b = first; b <= last; b++)
		to->edges_ns[b - first] = ns_per_tick * (double)rh_hist_low((unsigned)b * 8);
	for (size_t c = 0; c < rec->columns; c++) {
		to->events[c] = (double)rec->events[c];
		to->counts[c] = column_of(pool, rec->counts[c], first, last - 1);
	}
	return to;
}

/* ---- by size ---- */

struct rh_latency_sizes *rh_latency_sizes(struct rh_pool *pool, const struct rh_latency_lane *lanes,
					  uint32_t seats, double ns_per_tick)
{
	struct rh_latency_sizes *to = rh_pool_alloc(pool, 1, sizeof(*to));

#define ADD(key, value)                                                                           \
	(*(__typeof__(to->key))rh_pool_grow(pool, &to->key, &to->key##_count, sizeof(*to->key)) = \
		 (value))
	for (int i = 0; i < RH_LAT_KINDS * RH_LAT_OCTAVES; i++) {
		int kind = i / RH_LAT_OCTAVES, octave = i % RH_LAT_OCTAVES;
		struct rh_hist_sum sum = { 0 };

		for (uint32_t s = 0; s < seats; s++)
			if (lanes[s].cell[kind][octave].count)
				rh_hist_merge(&sum, &lanes[s].cell[kind][octave]);
		if (!sum.count)
			continue;
		ADD(kind, rh_latency_names[kind]);
		ADD(size_to, rh_latency_size_to((unsigned)octave));
		ADD(n, (double)sum.count);
		ADD(mean_ns, ns_per_tick * sum.sum / (double)sum.count);
		ADD(p50_ns, ns_per_tick * (double)rh_hist_quantile(&sum, .5));
		ADD(p99_ns, ns_per_tick * (double)rh_hist_quantile(&sum, .99));
	}
#undef ADD
	return to;
}
