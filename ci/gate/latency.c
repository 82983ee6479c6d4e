/*
 * latency.c - latencies of single operations, by kind.
 *
 * Times of turns are blind to single operations: one free in fifty that takes ten times as long
 * leaves the mean where it was. So when a latency metric gates, the two processes of a pair replay
 * once more with the timed loop (fenced clock readings around one operation in SAMPLE), in turns of
 * the same stretch, in an order that is tossed for. Their heap has been through the trace by then.
 * Of a long trace every other pair begins with this instead: half of it warms the heap, the other
 * half is kept, and the turns find a heap in use (pair.c).
 * Each pair gives the percentiles of both sides, and their ratio is judged over pairs (judge.c).
 *
 * When wall time and memory are decided, further pairs measure only latencies
 * (rh_gate_latency_pair); when latencies are decided first, further pairs leave them out.
 *
 * Beside percentiles of a kind stands the class of sizes that changed most (latency_class.c).
 *
 * A percentile with fewer than ten samples beyond it on either side is none (NaN): it is not
 * judged.
 */
#include <math.h>
#include <string.h>

#include "ci/gate/latency.h"
#include "ci/gate/live.h"
#include "alloc/base/random.h"
#include "harness/control/hist.h"
#include "harness/result/result.h"

enum { STRETCH = 16, PASSES_MAX = 4 };
#define EVENTS_ENOUGH 400000u

static const double quantiles[RH_GATE_QUANTILES] = { .5, .99, .999 };

static struct rh_latency_lane *lanes_of(const struct rh_gate_live *side)
{
	struct rh_ctl *ctl = side->worker.ctl;

	return (struct rh_latency_lane *)((char *)ctl + ctl->area_offset[RH_AREA_LATENCY]);
}

/* Discards the samples so far, which were warm-up. */
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
		int start = rh_random(&bench->random) & 1;

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

static int timed_passes(struct rh_gate_bench *bench, struct rh_gate_live side[2],
			struct rh_err *err)
{
	const struct rh_program_head *head = bench->program->head;
	bool cold = side[0].grain == 0, whole = head->events < 2 * EVENTS_ENOUGH;
	uint64_t kept = 0;
	int result = 0;

	if (cold && whole)
		result = rh_gate_live_run_out(bench, side, err);
	for (int s = 0; s < 2; s++)
		side[s].worker.ctl->mode = RH_MODE_TIMED;
	for (int p = 0; result == 0 && p < PASSES_MAX && (p == 0 || kept < EVENTS_ENOUGH);
	     p++, kept += head->events)
		result = pass(bench, side, cold && !whole ? head->grains / 2 : 0, err);
	for (int s = 0; s < 2 && side[s].worker.ctl; s++)
		side[s].worker.ctl->mode = RH_MODE_PLAIN;
	return result;
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
			for (unsigned o = 0; o < RH_LAT_OCTAVES && rh_gate_latency_group(k) >= 0;
			     o++)
				if (lanes[l].cell[k][o].count)
					rh_hist_merge(&sum[rh_gate_latency_group(k)],
						      &lanes[l].cell[k][o]);
	for (int k = 0; k < RH_GATE_KINDS; k++)
		for (int q = 0; q < RH_GATE_QUANTILES; q++)
			value[RH_GATE_LATENCY + k * RH_GATE_QUANTILES + q] =
				rh_hist_interval(&sum[k], quantiles[q], &lo, &hi)
					? rh_gate_latency_quantile(&sum[k], quantiles[q]) *
						  bench->clock->ns_per_tick
					: NAN;
}

static void read_class(const struct rh_gate_bench *bench, const struct rh_gate_live side[2],
		       struct rh_gate_pair_row *row)
{
	const struct rh_latency_lane *const lanes[2] = { lanes_of(&side[0]), lanes_of(&side[1]) };
	double ticks[2];

	rh_gate_latency_class(lanes, bench->program->head->lanes, ticks);
	for (int s = 0; s < 2; s++)
		row->value[s][RH_GATE_CLASS] = ticks[s] * bench->clock->ns_per_tick;
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

int rh_gate_latency(struct rh_gate_bench *bench, struct rh_gate_live side[2],
		    struct rh_gate_pair_row *row, struct rh_err *err)
{
	uint64_t since = rh_now_ns();

	if (timed_passes(bench, side, err) < 0)
		return -1;
	for (int s = 0; s < 2; s++)
		read_side(bench, &side[s], row->value[s]);
	rh_gate_live_memory_both(bench, side);
	read_class(bench, side, row);
	rh_gate_spend(bench, RH_GATE_TIMING, since);
	return 0;
}

int rh_gate_latency_pair(struct rh_gate_bench *bench, struct rh_gate_scenario *scenario,
			 struct rh_err *err)
{
	struct rh_gate_pair_row row = { .cpu = UINT32_MAX, .ns_per_event = { NAN, NAN } };
	struct rh_gate_live side[2];
	int result;

	rh_gate_row_clear(&row, 0);
	result = rh_gate_live_start_both(bench, side, err);
	if (result == 0)
		result = rh_gate_latency(bench, side, &row, err);
	if (result == 0)
		result = rh_gate_live_close_both(bench, side, err);
	for (int s = 0; s < 2; s++)
		rh_gate_live_end(&side[s]);
	if (result == 0)
		*(struct rh_gate_pair_row *)rh_grow(&scenario->pairs, &scenario->pair_count,
						    sizeof(row)) = row;
	return result;
}
