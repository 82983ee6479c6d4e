/*
 * latency.c - the latency pass of a pair: how long single operations take, by kind.
 *
 * Times of turns are blind to single operations: one free in fifty that takes ten times as long
 * leaves the mean where it was. So when a latency metric gates, each pair has two more processes,
 * which replay with the timed loop (fenced clock readings around one operation in SAMPLE), in turns
 * of the same stretch, in an order that is tossed for. A first pass warms the heap and is not
 * kept, of a long trace its first half.
 * Each pair gives the percentiles of both sides, and their ratio is judged over pairs (judge.c).
 *
 * These processes need no others beside them: when wall time and memory are decided, pairs of them
 * alone go on (rh_gate_latency_pair), which take a third of the time.
 *
 * A percentile with fewer than ten samples beyond it on either side is none (NaN): it is not
 * judged.
 */
#include <math.h>
#include <string.h>

#include "ci/gate/live.h"
#include "ci/gate/random.h"
#include "harness/control/hist.h"
#include "harness/control/latency.h"
#include "harness/result/result.h"

enum { STRETCH = 16, PASSES_MAX = 4 };
#define EVENTS_ENOUGH 400000u

static const double quantiles[RH_GATE_QUANTILES] = { .5, .99, .999 };

/* Which of the gate's kinds an operation belongs to; -1: none. */
static int group_of(unsigned kind)
{
	switch (kind) {
	case RH_LAT_ALLOC:
	case RH_LAT_ZALLOC:
	case RH_LAT_ALIGNED:
		return RH_GATE_OF_ALLOC;
	case RH_LAT_FREE:
		return RH_GATE_OF_FREE;
	case RH_LAT_FREE_REMOTE:
		return RH_GATE_OF_REMOTE;
	case RH_LAT_RESIZE:
		return RH_GATE_OF_RESIZE;
	default:
		return -1;
	}
}

static struct rh_latency_lane *lanes_of(const struct rh_gate_live *side)
{
	struct rh_ctl *ctl = side->worker.ctl;

	return (struct rh_latency_lane *)((char *)ctl + ctl->area_offset[RH_AREA_LATENCY]);
}

/* What was timed so far was warming up. */
static void forget(const struct rh_gate_bench *bench, const struct rh_gate_live side[2])
{
	for (int s = 0; s < 2; s++)
		memset(lanes_of(&side[s]), 0,
		       bench->program->head->lanes * sizeof(struct rh_latency_lane));
}

/* Both sides to the end of the trace, stretch by stretch; what comes before grain `from` is
 * forgotten. */
static int pass(struct rh_gate_bench *bench, struct rh_gate_live side[2], uint64_t from,
		struct rh_err *err)
{
	const struct rh_program_head *head = bench->program->head;

	for (int s = 0; s < 2; s++)
		rh_gate_live_again(&side[s]);
	while (side[0].grain < head->grains) {
		uint64_t first = side[0].grain;
		uint64_t count =
			rh_ctl_stretch(1, head->grains, head->epoch_grains, first, STRETCH);
		int start = rh_gate_random(&bench->random) & 1;

		if (from && first >= from) {
			forget(bench, side);
			from = 0;
		}
		for (int i = 0; i < 2; i++) {
			int which = i ? !start : start;

			if (rh_gate_live_run(
				    &side[which],
				    &(struct rh_gate_stretch){ .first = first, .count = count },
				    err) < 0)
				return rh_gate_live_name(which, -1, err);
		}
	}
	return 0;
}

static int replay(struct rh_gate_bench *bench, struct rh_gate_live side[2], struct rh_err *err)
{
	uint64_t events = bench->program->head->events, kept = 0;

	/* a long trace has warmed its heap by the middle, and its other half is enough */
	if (events >= 2 * EVENTS_ENOUGH)
		return pass(bench, side, bench->program->head->grains / 2, err);
	if (pass(bench, side, 0, err) < 0)
		return -1;
	forget(bench, side);
	for (int p = 0; p < PASSES_MAX && (p == 0 || kept < EVENTS_ENOUGH); p++, kept += events)
		if (pass(bench, side, 0, err) < 0)
			return -1;
	return 0;
}

static void read_side(const struct rh_gate_bench *bench, const struct rh_gate_live *side,
		      double value[RH_GATE_METRICS])
{
	const struct rh_latency_lane *lanes = lanes_of(side);
	struct rh_hist_sum sum[RH_GATE_KINDS];
	uint64_t lo, hi;

	memset(sum, 0, sizeof(sum));
	for (uint32_t l = 0; l < bench->program->head->lanes; l++)
		for (unsigned k = 0; k < RH_LAT_KINDS; k++)
			for (unsigned o = 0; o < RH_LAT_OCTAVES && group_of(k) >= 0; o++)
				if (lanes[l].cell[k][o].count)
					rh_hist_merge(&sum[group_of(k)], &lanes[l].cell[k][o]);
	for (int k = 0; k < RH_GATE_KINDS; k++)
		for (int q = 0; q < RH_GATE_QUANTILES; q++)
			value[RH_GATE_LATENCY + k * RH_GATE_QUANTILES + q] =
				rh_hist_interval(&sum[k], quantiles[q], &lo, &hi)
					? (double)rh_hist_quantile(&sum[k], quantiles[q]) *
						  bench->clock->ns_per_tick
					: NAN;
}

bool rh_gate_wants_latency(const struct rh_gate_config *config)
{
	for (int m = RH_GATE_LATENCY; m < RH_GATE_METRICS; m++)
		if (config->metric_gates[m])
			return true;
	return false;
}

void rh_gate_row_clear(struct rh_gate_pair_row *row, int first_metric)
{
	for (int m = first_metric; m < RH_GATE_METRICS; m++)
		row->value[0][m] = row->value[1][m] = NAN;
}

int rh_gate_latency_pair(struct rh_gate_bench *bench, struct rh_gate_scenario *scenario,
			 struct rh_err *err)
{
	struct rh_gate_pair_row row = { .cpu = UINT32_MAX, .ns_per_event = { NAN, NAN } };

	rh_gate_row_clear(&row, 0);
	if (rh_gate_latency(bench, &row, err) < 0)
		return -1;
	*(struct rh_gate_pair_row *)rh_grow(&scenario->pairs, &scenario->pair_count, sizeof(row)) =
		row;
	return 0;
}

int rh_gate_latency(struct rh_gate_bench *bench, struct rh_gate_pair_row *row, struct rh_err *err)
{
	struct rh_gate_live side[2] = { { .timed = true }, { .timed = true } };
	int first = rh_gate_random(&bench->random) & 1, result;

	rh_gate_row_clear(row, RH_GATE_LATENCY);
	if (!rh_gate_wants_latency(bench->config))
		return 0;
	for (int s = 0; s < 2; s++)
		side[s].worker.said_fd = side[s].memory.fd = -1;
	result = rh_gate_live_start(bench, &side[first], first, false, err);
	if (result == 0)
		result = rh_gate_live_start(bench, &side[!first], !first, false, err);
	if (result == 0)
		result = replay(bench, side, err);
	for (int s = 0; s < 2 && result == 0; s++)
		read_side(bench, &side[s], row->value[s]);
	for (int s = 0; s < 2 && result == 0; s++)
		result = rh_gate_live_close(bench, &side[s], s, err);
	for (int s = 0; s < 2; s++)
		rh_gate_live_end(&side[s]);
	return result;
}
