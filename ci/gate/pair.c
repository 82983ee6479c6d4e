/*
 * pair.c - one pair: two live workers that take turns on the same stretch of the
 * same trace.
 *
 *	1  baseline and candidate are started in an order that is tossed for; with one lane
 *	   both are pinned to one CPU, chosen anew for each pair
 *	2  pass after pass over the trace, until the pair has its blocks: blocks of two turns,
 *	   A B B A or B A A B by another toss. The one whose turn it is not sleeps
 *	3  a turn is: whatever comes before (untimed), the lead (untimed), a barrier, one
 *	   unit (timed). Both sides execute every op of every pass in order
 *	4  a pass ends as a program that goes on would end it: what lives, lives on, and each
 *	   object dies in the next pass where its successor is born
 *	   (harness/worker/passes.c). The heap is never drained to nothing in between, which
 *	   would favour whoever hoards what was freed. What the allocator keeps it keeps:
 *	   passes after the first measure a heap that is in use, on both sides alike
 *
 * After every turn the counts are checked: all words executed, nothing failed; from pass
 * to pass: what was live is what the trace says. A side that did less than it was
 * asked has no time worth comparing, and the gate says so instead of passing it.
 */
#include <math.h>
#include <sched.h>
#include <stdlib.h>

#include "ci/gate/live.h"
#include "ci/gate/plan.h"
#include "ci/gate/random.h"
#include "harness/result/result.h"

enum {
	LEAD_MAX = 4,	/* units */
	LEAD_TURNS = 8, /* turns needed to judge a lead */
	RSS_EVERY = 4,	/* turns of the first pass between two readings */
};
#define UNIT_NS	      1000000.0	 /* timed part of a turn, up to 8 lanes ... */
#define UNIT_NS_MAX   20000000.0 /* ... and more for more: barriers cost more, too */
#define UNIT_NS_LEAST 100000.0	 /* below it the switch of sides is what is measured */
#define LEAD_GOOD     0.01

struct pair {
	struct rh_gate_bench *bench;
	struct rh_gate_scenario *scenario;
	uint32_t number, pass;
	struct rh_gate_live side[2];
	double *log_ratio; /* calibration of the lead: first against last quarter */
	size_t log_ratio_count;
};

/* The first against the last quarter of a turn's batches, each against the same work when
 * nobody else ran in between: above 1 the lead was too short. */
static void judge_lead(struct pair *pair, const struct rh_gate_live *side, uint64_t first)
{
	const struct rh_ctl_seat *seat = &side->worker.ctl->seat[0];
	const double *solo = pair->bench->solo_ticks +
			     (side == &pair->side[1]) * pair->bench->program->head->grains + first;
	uint32_t quarter = seat->batch_count / 4;
	double sum[2] = { 0 }, want[2] = { 0 };

	if (seat->batch_grains != 1 || quarter == 0 || pair->bench->program->head->lanes > 1)
		return;
	for (uint32_t i = 0; i < quarter; i++) {
		uint32_t j = seat->batch_count - 1 - i;

		sum[0] += seat->batch_ticks[i];
		want[0] += solo[i];
		sum[1] += seat->batch_ticks[j];
		want[1] += solo[j];
	}
	if (want[0] > 0 && want[1] > 0 && sum[0] > 0 && sum[1] > 0)
		*(double *)rh_grow(&pair->log_ratio, &pair->log_ratio_count, sizeof(double)) =
			log(sum[0] / want[0]) - log(sum[1] / want[1]);
}

/* Side `which` has the baton. */
static int take_turn(struct pair *pair, int which, size_t unit, struct rh_gate_turn *turn,
		     struct rh_err *err)
{
	struct rh_gate_bench *bench = pair->bench;
	struct rh_gate_live *side = &pair->side[which];
	const uint64_t *cut = bench->units->first;
	const struct rh_program_head *head = bench->program->head;
	uint64_t first = cut[unit], count = cut[unit + 1] - first;
	uint64_t lead_first = cut[unit > bench->lead ? unit - bench->lead : 0];
	uint64_t epoch = first ? (first - 1) / head->epoch_grains * head->epoch_grains : 0;

	if (lead_first < epoch)
		lead_first = epoch;
	if (side->grain > first)
		rh_gate_live_again(side);
	if (lead_first < side->grain)
		lead_first = side->grain;
	if (rh_gate_live_run_up(side, lead_first, err) < 0 ||
	    rh_gate_live_run(side,
			     &(struct rh_gate_stretch){ .first = first,
							.count = count,
							.lead = first - lead_first,
							.timed = true },
			     err) < 0)
		return rh_gate_live_name(which, -1, err);
	for (uint64_t g = first; g < first + count; g++)
		side->events += bench->program->grain_facts[g].events;
	rh_gate_live_turn(bench, side, turn);
	return 0;
}

/* ---- passes ---- */

/* Two units, four turns. */
static int run_block(struct pair *pair, const size_t unit[2], struct rh_err *err)
{
	bool baseline_first = rh_gate_random(&pair->bench->random) & 1;
	struct rh_gate_block block = { .pair = pair->number,
				       .pass = pair->pass,
				       .unit = (uint32_t)unit[0],
				       .baseline_first = baseline_first };
	struct rh_gate_turn turn[2][2]; /* side, unit */

	for (int i = 0; i < 4; i++) {
		int second = i >= 2, which = (i == 1 || i == 2) == baseline_first;

		if (take_turn(pair, which, unit[second], &turn[which][second], err) < 0)
			return -1;
		if (!pair->bench->calibrated)
			judge_lead(pair, &pair->side[which],
				   pair->bench->units->first[unit[second]]);
	}
	rh_gate_block_of(turn, &block);
	*(struct rh_gate_block *)rh_grow(&pair->scenario->blocks, &pair->scenario->block_count,
					 sizeof(block)) = block;
	return 0;
}

/* Blocks of one pass; a single turn that is left over is not run. Memory is read in the first
 * pass and at the end of each: a heap that grows from pass to pass leaks. */
static int run_pass(struct pair *pair, struct rh_err *err)
{
	struct rh_gate_bench *bench = pair->bench;
	size_t phase = pair->pass % (bench->lead + 1);
	uint64_t end_grain = bench->program->head->grains;

	for (size_t t = 0;; t += 2) {
		size_t unit[2] = { rh_gate_unit_of(bench->units, bench->lead, phase, t),
				   rh_gate_unit_of(bench->units, bench->lead, phase, t + 1) };

		if (unit[1] == SIZE_MAX)
			break;
		if (run_block(pair, unit, err) < 0)
			return -1;
		for (int s = 0; s < 2 && pair->pass == 0 && t / 2 % RSS_EVERY == 0; s++)
			rh_gate_live_memory(&pair->side[s]);
	}
	for (int s = 0; s < 2; s++) {
		if (rh_gate_live_run_up(&pair->side[s], end_grain, err) < 0)
			return rh_gate_live_name(s, -1, err);
		rh_gate_live_memory(&pair->side[s]);
	}
	pair->pass++;
	return 0;
}

/* ---- calibration, by the first pair ---- */

/* A pass of one side alone; ticks of every grain (on lane 0) to solo, of all to wall_ticks. */
static int solo_pass(struct pair *pair, int which, double *solo, double *wall_ticks,
		     struct rh_err *err)
{
	struct rh_gate_bench *bench = pair->bench;
	struct rh_gate_live *side = &pair->side[which];
	const struct rh_program_head *head = bench->program->head;

	*wall_ticks = 0;
	rh_gate_live_again(side);
	while (side->grain < head->grains) {
		struct rh_gate_turn turn;
		uint64_t first = side->grain, grain = first;
		uint64_t count = rh_ctl_stretch(1, head->grains, head->epoch_grains, first,
						RH_CTL_BATCHES_MAX);
		const struct rh_ctl_seat *seat = &side->worker.ctl->seat[0];

		if (rh_gate_live_run(side,
				     &(struct rh_gate_stretch){
					     .first = first, .count = count, .timed = true },
				     err) < 0)
			return rh_gate_live_name(which, -1, err);
		for (uint32_t b = 0; b < seat->batch_count; b++, grain++)
			solo[grain] = seat->batch_ticks[b];
		rh_gate_live_turn(bench, side, &turn);
		*wall_ticks += turn.wall;
	}
	return 0;
}

static int cut_units(struct pair *pair, struct rh_err *err)
{
	struct rh_gate_bench *bench = pair->bench;
	const struct rh_program_head *head = bench->program->head;
	double total[2] = { 0 }, slower, want_ns;

	bench->solo_ticks = calloc(2 * head->grains + 1, sizeof(double));
	if (!bench->solo_ticks)
		return rh_fail(err, RH_OS, "no memory for %u grains", head->grains);
	for (int s = 0; s < 2; s++) {
		double *solo = bench->solo_ticks + (size_t)s * head->grains;

		/* the second pass is like those that follow: the heap has grown */
		if (solo_pass(pair, s, solo, &total[s], err) < 0 ||
		    solo_pass(pair, s, solo, &total[s], err) < 0)
			return -1;
	}
	slower = (total[0] > total[1] ? total[0] : total[1]) * bench->clock->ns_per_tick;
	want_ns = UNIT_NS * (head->lanes > 8 ? head->lanes / 8.0 : 1);
	if (want_ns > UNIT_NS_MAX)
		want_ns = UNIT_NS_MAX;
	if (slower < want_ns * 4)
		want_ns = slower / 4;
	pair->scenario->unit_ns = want_ns;
	if (want_ns < UNIT_NS_LEAST || head->grains < 8)
		return rh_fail(err, RH_INCONCLUSIVE,
			       "the trace is too short to decide: its %llu events replay in %.2f "
			       "ms, and a gate needs at least %.1f ms",
			       (unsigned long long)head->events, slower / 1e6,
			       4 * UNIT_NS_LEAST / 1e6);
	rh_gate_units_cut(bench->units, head->grains, head->epoch_grains,
			  (uint64_t)(head->grains * want_ns / slower));
	pair->scenario->units = bench->units->count;
	return 0;
}

/* The lead grows until the first quarter of a turn is as fast as the last. The blocks made
 * meanwhile are not kept. */
static int calibrate(struct pair *pair, struct rh_err *err)
{
	struct rh_gate_bench *bench = pair->bench;
	size_t kept = pair->scenario->block_count; /* of a gate that was cut and goes on */
	double median;

	if (cut_units(pair, err) < 0)
		return -1;
	for (bench->lead = 1;; bench->lead++) {
		pair->log_ratio_count = 0;
		do {
			if (run_pass(pair, err) < 0)
				return -1;
		} while (pair->log_ratio_count && pair->log_ratio_count < LEAD_TURNS);
		pair->scenario->block_count = kept;
		rh_stat_sort(pair->log_ratio, pair->log_ratio_count);
		median = rh_stat_median(pair->log_ratio, pair->log_ratio_count);
		if (!(median > LEAD_GOOD) || bench->lead == LEAD_MAX ||
		    bench->units->count < 2 * (bench->lead + 2))
			break;
	}
	bench->calibrated = true;
	pair->scenario->lead = bench->lead;
	for (int s = 0; s < 2; s++) {
		pair->side[s].wall_ns = 0;
		pair->side[s].events = pair->side[s].faults = pair->side[s].switches = 0;
	}
	pair->pass = 0;
	return 0;
}

/* ---- the pair ---- */

static int live(struct pair *pair, struct rh_err *err)
{
	struct rh_gate_scenario *scenario = pair->scenario;
	size_t first, wanted = pair->bench->config->blocks;

	if (!pair->bench->calibrated && calibrate(pair, err) < 0)
		return -1;
	first = scenario->block_count;
	while (scenario->block_count - first < wanted || pair->pass <= pair->bench->lead)
		if (run_pass(pair, err) < 0)
			return -1;
	scenario->passes += pair->pass;
	return 0;
}

int rh_gate_pair(struct rh_gate_bench *bench, struct rh_gate_scenario *scenario, struct rh_err *err)
{
	struct pair pair = { .bench = bench,
			     .scenario = scenario,
			     .number = (uint32_t)scenario->pair_count };
	struct rh_gate_pair_row row = { 0 };
	int first = rh_gate_random(&bench->random) & 1, result;
	cpu_set_t kept;

	for (int s = 0; s < 2; s++)
		pair.side[s].worker.said_fd = pair.side[s].memory.fd = -1;
	rh_gate_row_clear(&row, RH_GATE_LATENCY);
	rh_gate_live_pin(bench, &row, &kept, &bench->random);
	result = rh_gate_live_start(bench, &pair.side[first], first, false, err);
	if (result == 0)
		result = rh_gate_live_start(bench, &pair.side[!first], !first, false, err);
	sched_setaffinity(0, sizeof(kept), &kept);
	if (result == 0)
		result = live(&pair, err);
	first = rh_gate_random(&bench->random) &
		1; /* the second may wait for what the first leaves */
	for (int i = 0; i < 2 && result == 0; i++) {
		int which = i ? !first : first;

		result = rh_gate_live_close(bench, &pair.side[which], which, err);
	}
	if (result == 0)
		rh_gate_live_keep(scenario, pair.side, &row);
	for (int s = 0; s < 2; s++)
		rh_gate_live_end(&pair.side[s]);
	free(pair.log_ratio);
	return result < 0 ? -1
			  : rh_gate_latency(bench, &scenario->pairs[scenario->pair_count - 1], err);
}
