/*
 * lanes.c - handing out replay lanes.
 */
#include "harness/compile/lanes.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct load {
	uint64_t events;
	uint32_t lane;
};

static int busiest_first(const void *a, const void *b)
{
	const struct load *x = a, *y = b;

	if (x->events != y->events)
		return x->events < y->events ? 1 : -1;
	return x->lane < y->lane ? -1 : x->lane > y->lane;
}

/* Longest first onto the least loaded: never worse than 4/3 of the best split. */
static int fold(struct rh_lanes *lanes, const uint64_t *lane_events, struct rh_err *err)
{
	uint32_t recorded = lanes->assigned_count;
	struct load *loads = calloc(recorded + 1, sizeof(*loads));
	uint64_t *sums = calloc(lanes->count, sizeof(*sums));

	if (!loads || !sums) {
		free(loads);
		free(sums);
		return rh_fail(err, RH_OS, "no memory to fold %u lanes", recorded);
	}
	assert(lanes->count > 0);
	for (uint32_t i = 0; i < recorded; i++)
		loads[i] = (struct load){ lane_events[i], i };
	qsort(loads, recorded, sizeof(*loads), busiest_first);
	for (uint32_t i = 0; i < recorded; i++) {
		uint32_t least = 0;

		for (uint32_t lane = 1; lane < lanes->count; lane++)
			if (sums[lane] < sums[least])
				least = lane;
		sums[least] += loads[i].events;
		lanes->assigned[loads[i].lane] = least;
	}
	free(loads);
	free(sums);
	return 0;
}

int rh_lanes_open(struct rh_lanes *lanes, uint32_t onto, const uint64_t *lane_events,
		  uint32_t lanes_recorded, struct rh_err *err)
{
	*lanes = (struct rh_lanes){ .folded = onto > 0, .count = onto };
	if (onto > RH_COMPILE_LANES_MAX)
		return rh_fail(err, RH_USAGE, "%u lanes are more than can be replayed (%d)", onto,
			       RH_COMPILE_LANES_MAX);
	lanes->busy = calloc(RH_COMPILE_LANES_MAX, sizeof(*lanes->busy));
	if (!lanes->busy)
		return rh_fail(err, RH_OS, "no memory for lanes");
	if (onto <= 1)
		return 0;
	if (lanes_recorded < onto) /* a replay lane without events would only idle */
		lanes->count = lanes_recorded ? lanes_recorded : 1;
	lanes->assigned_count = lanes_recorded;
	lanes->assigned = calloc(lanes_recorded + 1u, sizeof(*lanes->assigned));
	if (!lanes->assigned)
		return rh_fail(err, RH_OS, "no memory for %u lanes", lanes_recorded);
	return fold(lanes, lane_events, err);
}

void rh_lanes_close(struct rh_lanes *lanes)
{
	free(lanes->carrier);
	free(lanes->assigned);
	free(lanes->busy);
	*lanes = (struct rh_lanes){ 0 };
}

static int room_for(struct rh_lanes *lanes, uint32_t trace_lane, struct rh_err *err)
{
	uint32_t cap = trace_lane + trace_lane / 2 + 16;
	uint32_t *carrier;

	if (trace_lane >= RH_COMPILE_TRACE_LANES_MAX)
		return rh_fail(err, RH_BAD_DATA,
			       "lane %u is beyond %d, the highest a trace may name", trace_lane,
			       RH_COMPILE_TRACE_LANES_MAX - 1);
	assert(cap > lanes->cap);
	carrier = reallocarray(lanes->carrier, cap, sizeof(*carrier));
	if (!carrier)
		return rh_fail(err, RH_OS, "no memory for %u lanes", cap);
	memset(carrier + lanes->cap, 0xff, (cap - lanes->cap) * sizeof(*carrier));
	lanes->carrier = carrier;
	lanes->cap = cap;
	return 0;
}

static int lowest_free(struct rh_lanes *lanes, uint32_t *lane, struct rh_err *err)
{
	while (lanes->lowest_free < RH_COMPILE_LANES_MAX && lanes->busy[lanes->lowest_free])
		lanes->lowest_free++;
	*lane = lanes->lowest_free;
	if (*lane == RH_COMPILE_LANES_MAX)
		return rh_fail(err, RH_BAD_DATA,
			       "more than %d lanes are alive at once; fold them "
			       "with --lanes N",
			       RH_COMPILE_LANES_MAX);
	assert(!lanes->busy[*lane]);
	lanes->busy[*lane] = true;
	if (*lane >= lanes->count)
		lanes->count = *lane + 1;
	return 0;
}

int rh_lanes_start(struct rh_lanes *lanes, uint32_t trace_lane, struct rh_err *err)
{
	uint32_t lane = 0;

	if (trace_lane >= lanes->cap && room_for(lanes, trace_lane, err) < 0)
		return -1;
	assert(lanes->carrier[trace_lane] == RH_LANE_NONE);
	if (trace_lane >= lanes->recorded)
		lanes->recorded = trace_lane + 1;
	if (!lanes->folded) {
		if (lowest_free(lanes, &lane, err) < 0)
			return -1;
	} else if (lanes->assigned) {
		/* Beyond the prescan only when the file grew meanwhile. */
		lane = trace_lane < lanes->assigned_count ? lanes->assigned[trace_lane] : 0;
	}
	assert(lane < lanes->count);
	lanes->carrier[trace_lane] = lane;
	return 0;
}

void rh_lanes_stop(struct rh_lanes *lanes, uint32_t trace_lane)
{
	uint32_t lane = lanes->carrier[trace_lane];

	assert(lane != RH_LANE_NONE && (lanes->folded || lanes->busy[lane]));
	lanes->carrier[trace_lane] = RH_LANE_NONE;
	if (lanes->folded)
		return;
	lanes->busy[lane] = false;
	if (lane < lanes->lowest_free)
		lanes->lowest_free = lane;
}
