/*
 * pair.c - one pair: two live workers that take turns on the same stretch of the
 * same trace.
 *
 *	1  baseline and candidate are started in an order that is tossed for; with one lane
 *	   both are pinned to one CPU, chosen anew for each pair
 *	2  pass after pass over the trace, until the pair has its blocks (of a trace of which one
 *	   pass has enough of them, that one): blocks of two turns, A B B A or B A A B by another
 *	   toss for every two of them (the side in the middle is 0.8 % faster: it had the caches
 *	   last). The one whose turn it is not sleeps
 *	3  a turn is: whatever comes before (untimed), the lead (untimed), a barrier, one
 *	   unit (timed). Both sides execute every op of every pass in order
 *	4  a pass ends as a program that goes on would end it: what lives, lives on, and each
 *	   object dies in the next pass where its successor is born
 *	   (harness/worker/passes.c). The heap is never drained to nothing in between, which
 *	   would favour whoever hoards what was freed. What the allocator keeps it keeps:
 *	   passes after the first measure a heap that is in use, on both sides alike. Which side
 *	   ends its pass last is tossed for: it has the caches when the next one begins. Where
 *	   that was always the candidate, the first block of a pass saw it 0.9 % faster
 *	5  single operations are timed in passes of their own (latency.c). Where one pass of turns
 * is enough, every other pair begins with these, so that its turns meet a heap that has been
 * through the trace: what is slow only then, or only at first, is in half of the pairs
 *
 * After every turn the counts are checked: all words executed, nothing failed; between passes,
 * the live objects are those of the trace. The time of a side that did less than requested is not
 * comparable, and the gate reports that instead of a pass.
 */
#include <math.h>
#include <sched.h>
#include <stdlib.h>

#include "ci/gate/live.h"
#include "ci/gate/plan.h"
#include "alloc/base/random.h"
#include "harness/result/result.h"

enum {
	LEAD_MAX = 4,	      /* units */
	LEAD_TURNS = 8,	      /* turns needed to judge a lead ... */
	LEAD_TURNS_MOST = 32, /* ... and enough, in the middle of a pass */
	RSS_READINGS = 16,    /* of the first pass, one of each side takes 0.1 ms and more ... */
	RSS_EVERY = 4,	      /* ... blocks between two at least */
};
#define UNIT_NS	      1000000.0	 /* timed part of a turn, up to 8 lanes ... */
#define UNIT_NS_MAX   20000000.0 /* ... and more for more: barriers cost more, too */
#define UNIT_NS_LEAST 100000.0	 /* below it the switch of sides is what is measured */
#define LEAD_GOOD     0.01
#define SOLO_NS_LONG  100000000.0 /* a pass of this length is good for itself */

struct pair {
	struct rh_gate_bench *bench;
	struct rh_gate_scenario *scenario;
	uint32_t number, pass, blocks;
	bool baseline_first; /* in the last block */
	struct rh_gate_live side[2];
	size_t first_block; /* of those that are kept */
	double *log_ratio;  /* calibration of the lead: first against last quarter */
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

/* Of two blocks one has each order: the first by toss. */
static bool toss(struct pair *pair)
{
	pair->baseline_first =
		pair->blocks++ % 2 ? !pair->baseline_first : rh_random(&pair->bench->random) & 1;
	return pair->baseline_first;
}

/* Two units, four turns. */
static int run_block(struct pair *pair, const size_t unit[2], struct rh_err *err)
{
	bool baseline_first = toss(pair);
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

/* Whether the lead is long enough, as far as it was measured. The blocks made meanwhile are
 * dropped. */
static void judge_calibration(struct pair *pair)
{
	struct rh_gate_bench *bench = pair->bench;
	double median;

	rh_stat_sort(pair->log_ratio, pair->log_ratio_count);
	median = rh_stat_median(pair->log_ratio, pair->log_ratio_count);
	pair->log_ratio_count = 0;
	pair->scenario->block_count = pair->first_block;
	if (median > LEAD_GOOD && bench->lead < LEAD_MAX &&
	    bench->units->count >= 2 * (bench->lead + 2)) {
		bench->lead++;
		return;
	}
	bench->calibrated = true;
	pair->scenario->lead = bench->lead;
	for (int s = 0; s < 2; s++) {
		pair->side[s].wall_ns = 0;
		pair->side[s].events = pair->side[s].faults = pair->side[s].switches = 0;
	}
}

/* The turns that a pass has room for, at this lead. */
static size_t blocks_of_a_pass(const struct rh_gate_bench *bench)
{
	return bench->units->count / (2 * (bench->lead + 1));
}

/* Blocks of one pass; a single turn that is left over is not run. Memory is read in the first
 * pass and at the end of each: a heap that grows from pass to pass leaks. Passes and pairs begin at
 * different units, so that all are timed in the end. */
static int run_pass(struct pair *pair, struct rh_err *err)
{
	struct rh_gate_bench *bench = pair->bench;
	size_t at = rh_gate_phase(pair->number, pair->pass, bench->lead);
	size_t every = blocks_of_a_pass(bench) / RSS_READINGS, blocks = 0;

	every = every > RSS_EVERY ? every : RSS_EVERY;
	for (; at + bench->lead + 1 < bench->units->count; blocks++) {
		size_t step = bench->lead + 1, unit[2] = { at, at + step };

		if (run_block(pair, unit, err) < 0)
			return -1;
		at += 2 * step;
		if (!bench->calibrated && pair->log_ratio_count >= LEAD_TURNS_MOST)
			judge_calibration(pair);
		if (pair->pass == 0 && blocks % every == 0)
			rh_gate_live_memory_both(bench, pair->side);
	}
	pair->pass++;
	return rh_gate_live_run_out(bench, pair->side, err);
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

		/* the second pass is like those that follow: the heap has grown. Of a long one that
		 * is so for most of the first */
		if (solo_pass(pair, s, solo, &total[s], err) < 0 ||
		    (total[s] * bench->clock->ns_per_tick < SOLO_NS_LONG &&
		     solo_pass(pair, s, solo, &total[s], err) < 0))
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

/* The lead grows until the first quarter of a turn is as fast as the last. With several lanes it is
 * not judged. */
static int calibrate(struct pair *pair, struct rh_err *err)
{
	uint64_t since = rh_now_ns();

	pair->first_block = pair->scenario->block_count; /* of a gate that was cut and goes on */
	if (cut_units(pair, err) < 0)
		return -1;
	pair->bench->lead = 1;
	if (pair->bench->program->head->lanes > 1)
		judge_calibration(pair);
	while (!pair->bench->calibrated) {
		if (run_pass(pair, err) < 0)
			return -1;
		if (!pair->bench->calibrated &&
		    (pair->log_ratio_count == 0 || pair->log_ratio_count >= LEAD_TURNS))
			judge_calibration(pair);
	}
	rh_gate_spend(pair->bench, RH_GATE_CALIBRATING, since);
	return 0;
}

/* ---- the pair ---- */

/* Once through the trace without turns. */
static int go_through(struct pair *pair, struct rh_gate_pair_row *row, struct rh_err *err)
{
	struct rh_gate_bench *bench = pair->bench;

	if (bench->latency)
		return rh_gate_latency(bench, pair->side, row, err);
	for (int s = 0; s < 2; s++)
		rh_gate_live_again(&pair->side[s]);
	return rh_gate_live_run_out(bench, pair->side, err);
}

static int turns(struct pair *pair, struct rh_gate_pair_row *row, struct rh_err *err)
{
	struct rh_gate_scenario *scenario = pair->scenario;
	size_t first = scenario->block_count, wanted = pair->bench->config->blocks;
	bool one_is_enough = blocks_of_a_pass(pair->bench) >= wanted;
	uint64_t since = rh_now_ns();
	double part[2];

	if (pair->pass)
		first = pair->first_block; /* the last pass of the calibration has some */
	while (scenario->block_count - first < wanted || pair->pass < (one_is_enough ? 1u : 2u))
		if (run_pass(pair, err) < 0)
			return -1;
	scenario->passes += pair->pass;
	rh_gate_worst_part(scenario->blocks + first, scenario->block_count - first,
			   pair->bench->units->count, part);
	for (int s = 0; s < 2; s++)
		row->value[s][RH_GATE_PART] = part[s];
	rh_gate_spend(pair->bench, RH_GATE_TURNS, since);
	return 0;
}

static int live(struct pair *pair, struct rh_gate_pair_row *row, struct rh_err *err)
{
	struct rh_gate_bench *bench = pair->bench;
	bool odd;

	if (!bench->calibrated && calibrate(pair, err) < 0)
		return -1;
	odd = pair->number % 2 && blocks_of_a_pass(bench) >= bench->config->blocks;
	if (odd && go_through(pair, row, err) < 0)
		return -1;
	if (turns(pair, row, err) < 0)
		return -1;
	/* twice through at least: a heap may be slow, or grow, only then */
	if (!odd && (bench->latency || pair->pass == 1) && go_through(pair, row, err) < 0)
		return -1;
	return pair->number == 0 && !bench->config->no_verify
		       ? rh_gate_verify_late(bench, pair->side, err)
		       : 0;
}

int rh_gate_pair(struct rh_gate_bench *bench, struct rh_gate_scenario *scenario, struct rh_err *err)
{
	struct pair pair = { .bench = bench,
			     .scenario = scenario,
			     .number = (uint32_t)scenario->pair_count };
	struct rh_gate_pair_row row = { 0 };
	cpu_set_t kept;
	int result;

	rh_gate_row_clear(&row, RH_GATE_LATENCY);
	rh_gate_live_pin(bench, &row, &kept, &bench->random);
	result = rh_gate_live_start_both(bench, pair.side, err);
	sched_setaffinity(0, sizeof(kept), &kept);
	if (result == 0)
		result = live(&pair, &row, err);
	if (result == 0)
		result = rh_gate_live_close_both(bench, pair.side, err);
	if (result == 0)
		rh_gate_live_keep(scenario, pair.side, &row);
	for (int s = 0; s < 2; s++)
		rh_gate_live_end(&pair.side[s]);
	free(pair.log_ratio);
	return result < 0 ? -1 : 0;
}
