/*
 * clocks.c - joining and keeping rows.
 */
#include "harness/compile/clocks.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { STRIDE_FIRST = 16, DEPTH_MAX = 256 };

/* All kept rows together; 132 lanes (systemui) then keep the last 256 each in 18 MiB. */
#define PAST_BYTES_MAX (64u << 20)

static void drop_past(struct rh_clocks *clocks)
{
	for (uint32_t lane = 0; lane < clocks->stride && clocks->past; lane++) {
		free(clocks->past[lane].rows);
		free(clocks->past[lane].since);
		clocks->past[lane] = (struct rh_clock_past){ 0 };
	}
}

void rh_clocks_close(struct rh_clocks *clocks)
{
	drop_past(clocks);
	free(clocks->rows);
	free(clocks->since);
	free(clocks->dirty);
	free(clocks->past);
	*clocks = (struct rh_clocks){ 0 };
}

static int widen(struct rh_clocks *clocks, uint32_t stride, struct rh_err *err)
{
	struct rh_clocks wide = { .lanes = clocks->lanes, .stride = stride };
	uint64_t depth = PAST_BYTES_MAX / (4ull * stride * stride);

	assert(stride > clocks->stride);
	wide.depth = depth > DEPTH_MAX ? DEPTH_MAX : (uint32_t)depth;
	wide.rows = calloc((size_t)stride * stride, sizeof(*wide.rows));
	wide.since = calloc(stride, sizeof(*wide.since));
	wide.dirty = calloc(stride, sizeof(*wide.dirty));
	wide.past = calloc(stride, sizeof(*wide.past));
	if (!wide.rows || !wide.since || !wide.dirty || !wide.past) {
		rh_clocks_close(&wide);
		return rh_fail(err, RH_OS, "no memory for the clocks of %u lanes", stride);
	}
	for (uint32_t lane = 0; lane < clocks->lanes; lane++) {
		memcpy(wide.rows + (size_t)lane * stride,
		       clocks->rows + (size_t)lane * clocks->stride,
		       clocks->stride * sizeof(*wide.rows));
		wide.since[lane] = clocks->since[lane];
		wide.dirty[lane] = clocks->dirty[lane];
	}
	rh_clocks_close(clocks); /* kept rows go as well: that only loses knowledge */
	*clocks = wide;
	return 0;
}

int rh_clocks_lanes(struct rh_clocks *clocks, uint32_t lanes, struct rh_err *err)
{
	uint32_t stride = clocks->stride ? clocks->stride : STRIDE_FIRST;

	while (stride < lanes)
		stride *= 2;
	if (stride != clocks->stride && widen(clocks, stride, err) < 0)
		return -1;
	if (lanes > clocks->lanes)
		clocks->lanes = lanes;
	assert(clocks->lanes <= clocks->stride);
	return 0;
}

void rh_clocks_barrier(struct rh_clocks *clocks)
{
	for (uint32_t lane = 0; lane < clocks->lanes; lane++) {
		if (!clocks->dirty[lane])
			continue;
		assert(clocks->past[lane].count <= clocks->depth);
		memset(clocks->rows + (size_t)lane * clocks->stride, 0,
		       clocks->stride * sizeof(*clocks->rows));
		clocks->since[lane] = 0;
		clocks->dirty[lane] = false;
		clocks->past[lane].first = clocks->past[lane].count = 0;
	}
}

/* The row that lane had at position; NULL when it is not kept any more. */
static const uint32_t *row_at(const struct rh_clocks *clocks, uint32_t lane, uint32_t position)
{
	const struct rh_clock_past *past = &clocks->past[lane];
	uint32_t low = 0, high = past->count;

	assert(lane < clocks->lanes && past->count <= clocks->depth);
	if (clocks->since[lane] <= position)
		return clocks->rows + (size_t)lane * clocks->stride;
	while (low < high) { /* find the first row that holds from after position */
		uint32_t middle = (low + high) / 2;

		if (past->since[(past->first + middle) % clocks->depth] <= position)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == 0)
		return NULL;
	return past->rows + (size_t)((past->first + low - 1) % clocks->depth) * clocks->stride;
}

static int keep_row(struct rh_clocks *clocks, uint32_t lane, struct rh_err *err)
{
	struct rh_clock_past *past = &clocks->past[lane];
	uint32_t place;

	if (clocks->depth == 0)
		return 0;
	if (!past->rows) {
		past->rows = malloc((size_t)clocks->depth * clocks->stride * sizeof(*past->rows));
		past->since = malloc(clocks->depth * sizeof(*past->since));
		if (!past->rows || !past->since)
			return rh_fail(err, RH_OS, "no memory for the clocks of lane %u", lane);
	}
	/* row_at() searches by position: rows are kept in the order in which they held */
	assert(past->count == 0 ||
	       past->since[(past->first + past->count - 1) % clocks->depth] <= clocks->since[lane]);
	place = (past->first + past->count) % clocks->depth;
	if (past->count == clocks->depth)
		past->first = (past->first + 1) % clocks->depth;
	else
		past->count++;
	memcpy(past->rows + (size_t)place * clocks->stride,
	       clocks->rows + (size_t)lane * clocks->stride, clocks->stride * sizeof(*past->rows));
	past->since[place] = clocks->since[lane];
	return 0;
}

int rh_clocks_wait(struct rh_clocks *clocks, const struct rh_clock_wait *wait, struct rh_err *err)
{
	uint32_t lane = wait->lane, source = wait->source, position = wait->position;
	uint32_t *row = clocks->rows + (size_t)lane * clocks->stride;
	const uint32_t *news;

	assert(lane != source && lane < clocks->lanes && source < clocks->lanes);
	assert(wait->at >= clocks->since[lane]); /* positions of a lane only rise within an epoch */
	if (keep_row(clocks, lane, err) < 0)
		return -1;
	news = row_at(clocks, source, position);
	for (uint32_t i = 0; news && i < clocks->lanes; i++)
		row[i] = row[i] < news[i] ? news[i] : row[i];
	if (row[source] < position)
		row[source] = position;
	clocks->since[lane] = wait->at;
	clocks->dirty[lane] = true;
	assert(rh_clocks_knows(clocks, lane, source, position));
	return 0;
}
