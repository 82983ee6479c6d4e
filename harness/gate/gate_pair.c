/*
 * gate_pair.c - one pair: two live workers that take turns on the same stretch of the
 * same trace.
 *
 *	1  baseline and candidate are started in an order that is tossed for; with one lane
 *	   both are pinned to one CPU, chosen anew for each pair
 *	2  pass after pass over the trace, until the pair has its blocks: blocks of two turns,
 *	   A B B A or B A A B by another toss. The one whose turn it is not sleeps
 *	3  a turn is: whatever comes before (untimed), the lead (untimed), a barrier, one
 *	   unit (timed). Both sides execute every op of every pass in order
 *	4  after a pass each side frees what lives (drain, untimed, as part of its first turn
 *	   of the next pass), so that a pass begins with nothing live and no object is ever
 *	   freed in another pass than its own. What the allocator keeps it keeps: passes
 *	   after the first measure a heap that is warm, on both sides alike
 *
 * After every turn the counts are checked: all words executed, nothing failed; after
 * every drain: what was live is what the trace says. A side that did less than it was
 * asked has no time worth comparing, and the gate says so instead of passing it.
 */
#include <errno.h>
#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/gate/gate.h"
#include "harness/gate/gate_plan.h"
#include "harness/gate/gate_random.h"
#include "harness/probe/probe_memory.h"
#include "harness/run/result.h"
#include "traces/event.h"

enum {
	LEAD_MAX = 4,			/* units */
	LEAD_TURNS = 8,			/* turns needed to judge a lead */
	RSS_EVERY = 4,			/* turns of the first pass between two readings */
	VERIFY_EVENTS = 4000000,
};
#define UNIT_NS 1000000.0		/* timed part of a turn, up to 8 lanes ... */
#define UNIT_NS_MAX 20000000.0		/* ... and more for more: barriers cost more, too */
#define UNIT_NS_LEAST 100000.0		/* below it the switch of sides is what is measured */
#define LEAD_GOOD 0.01

struct turn {
	double wall, cpu, median, p99;	/* ticks; cpu ns */
	double late;
};

struct side {
	struct rh_worker worker;
	struct rh_memory_probe memory;
	uint64_t grain;			/* where it stands */
	uint64_t timeout_ns;
	uint64_t rss_start, rss_peak;
	uint64_t faults, switches, events;
	double wall_ns;
};

struct pair {
	struct rh_gate_bench *bench;
	struct rh_gate_scenario *scenario;
	uint32_t number, pass;
	struct side side[2];
	double *log_ratio;		/* calibration of the lead: first against last quarter */
	size_t log_ratio_count;
};

static const char *const side_names[] = { "baseline", "candidate" };

/* ---- life ---- */

static void pin(const struct rh_gate_bench *bench, struct rh_gate_pair_row *row, cpu_set_t *kept,
		uint64_t *random)
{
	unsigned wanted, seen = 0;
	cpu_set_t one;

	row->cpu = UINT32_MAX;
	sched_getaffinity(0, sizeof(*kept), kept);
	if (bench->program->head->lanes > 1)
		return;
	wanted = (unsigned)(rh_gate_random(random) % (unsigned)CPU_COUNT(kept));
	CPU_ZERO(&one);
	for (unsigned cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, kept) || seen++ != wanted)
			continue;
		CPU_SET(cpu, &one);
		row->cpu = cpu;
	}
	sched_setaffinity(0, sizeof(one), &one);
}

/* Every command has the whole time limit, however long the pass. */
static void set_deadline(struct side *side)
{
	side->worker.deadline_ns = rh_now_ns() + side->timeout_ns;
}

static int name_side(int which, int result, struct rh_err *err)
{
	if (result < 0 && !rh_interrupted)
		rh_err_prefix(err, "%s", side_names[which]);
	return result;
}

static int start(struct rh_gate_bench *bench, struct side *side, int which, bool verify,
		 struct rh_err *err)
{
	struct rh_gate_side *identity = &bench->side[which];
	struct rh_worker_start how = {
		.spec = identity->spec, .program = bench->program, .clock = bench->clock,
		.copies = 1, .touch = bench->config->touch, .turn_over = !bench->folded,
		.verify = verify, .deadline_ns = rh_now_ns() + bench->config->timeout_ns,
	};
	const struct rh_ctl *ctl;

	side->timeout_ns = bench->config->timeout_ns;
	side->worker.said_fd = side->memory.fd = -1;
	if (rh_worker_start(&side->worker, &how, err) < 0 ||
	    rh_worker_command(&side->worker, RH_CTL_OPEN, err) < 0)
		return name_side(which, -1, err);
	ctl = side->worker.ctl;
	snprintf(identity->malloc_path, sizeof(identity->malloc_path), "%s", ctl->malloc_path);
	snprintf(identity->malloc_build_id, sizeof(identity->malloc_build_id), "%s",
		 ctl->malloc_build_id);
	snprintf(identity->heap_path, sizeof(identity->heap_path), "%s", ctl->heap_path);
	snprintf(identity->heap_build_id, sizeof(identity->heap_build_id), "%s",
		 ctl->heap_build_id);
	rh_memory_open(&side->memory, side->worker.pid);
	side->rss_start = rh_memory_read(&side->memory);
	return 0;
}

static void end(struct side *side)
{
	rh_memory_close(&side->memory);
	rh_worker_end(&side->worker);
}

/* ---- a turn ---- */

/* What the trace says must hold after a command. */
static int check_turn(const struct side *side, struct rh_err *err)
{
	const struct rh_program *program = side->worker.program;

	for (uint32_t s = 0; s < side->worker.ctl->seats; s++) {
		const struct rh_ctl_seat *seat = &side->worker.ctl->seat[s];
		struct rh_worker_place place;

		if (!seat->alloc_failed)
			continue;
		rh_worker_place_of(program, s, seat->first_failed_op, &place);
		return rh_fail(err, RH_INVALID,
			       "%llu allocations failed, the first at %s: it did less work than "
			       "the trace asks for", (unsigned long long)seat->alloc_failed,
			       place.text);
	}
	return 0;
}

/* `lead` grains before `first` untimed, then `count` grains. */
static int run(struct side *side, uint64_t first, uint64_t count, uint64_t lead, bool timed,
	       struct rh_err *err)
{
	struct rh_ctl *ctl = side->worker.ctl;
	const struct rh_program_head *head = side->worker.program->head;
	uint64_t words = 0, done = 0;

	set_deadline(side);
	ctl->lead = lead;
	ctl->batches = timed;
	if (rh_worker_run(&side->worker, first, count, err) < 0 || check_turn(side, err) < 0)
		return -1;
	for (uint32_t l = 0; l < head->lanes; l++) {
		const uint64_t *table = side->worker.program->grain_table;

		words += table[(first + count) * head->lanes + l] -
			 table[(first - lead) * head->lanes + l];
		done += ctl->seat[l].op_words;
		side->faults += ctl->seat[l].faults_minor;
		side->switches += ctl->seat[l].switches_involuntary;
	}
	side->grain = first + count;
	if (words == done)
		return 0;
	return rh_fail(err, RH_INVALID, "%llu op words were executed where the trace has %llu",
		       (unsigned long long)done, (unsigned long long)words);
}

/* On to a grain, epoch by epoch. */
static int run_up(struct side *side, uint64_t to, struct rh_err *err)
{
	const struct rh_program_head *head = side->worker.program->head;

	while (side->grain < to) {
		uint64_t count = rh_ctl_stretch(1, head->grains, head->epoch_grains, side->grain,
						to - side->grain);

		if (run(side, side->grain, count, 0, false, err) < 0)
			return -1;
	}
	return 0;
}

static int drain(struct side *side, struct rh_err *err)
{
	const struct rh_program *program = side->worker.program;
	const struct rh_ctl *ctl = side->worker.ctl;
	const struct rh_grain *last = &program->grain_facts[program->head->grains - 1];

	set_deadline(side);
	if (rh_worker_command(&side->worker, RH_CTL_DRAIN, err) < 0)
		return -1;
	side->grain = 0;
	if (ctl->drained_objects == last->live_objects && ctl->drained_bytes == last->live_bytes)
		return 0;
	return rh_fail(err, RH_INVALID,
		       "the drain found %llu objects of %llu bytes where the trace has %llu of "
		       "%llu", (unsigned long long)ctl->drained_objects,
		       (unsigned long long)ctl->drained_bytes,
		       (unsigned long long)last->live_objects,
		       (unsigned long long)last->live_bytes);
}

/* Median and 99th percentile of the batches of all lanes. */
static void read_batches(const struct rh_ctl *ctl, struct turn *turn)
{
	size_t count = 0, at = 0;
	double *all;

	for (uint32_t s = 0; s < ctl->seats; s++)
		count += ctl->seat[s].batch_count;
	all = calloc(count + 1, sizeof(*all));
	for (uint32_t s = 0; all && s < ctl->seats; s++)
		for (uint32_t b = 0; b < ctl->seat[s].batch_count; b++)
			all[at++] = ctl->seat[s].batch_ticks[b] + 1.0;
	rh_stat_sort(all, at);
	turn->median = rh_stat_median(all, at);
	turn->p99 = at ? all[(at * 99 + 99) / 100 - 1] : NAN;
	free(all);
}

static void read_turn(const struct rh_gate_bench *bench, struct side *side, struct turn *turn)
{
	const struct rh_ctl *ctl = side->worker.ctl;
	uint64_t first = UINT64_MAX, last = 0;
	double lanes_ns = 0, away_ns;

	*turn = (struct turn){ 0 };
	for (uint32_t s = 0; s < ctl->seats; s++) {
		const struct rh_ctl_seat *seat = &ctl->seat[s];

		if (seat->start_ticks < first)
			first = seat->start_ticks;
		if (seat->end_ticks > last)
			last = seat->end_ticks;
		turn->cpu += (double)seat->cpu_ns;
		lanes_ns += (double)(seat->end_ticks - seat->start_ticks - seat->blocked_ticks) *
			    bench->clock->ns_per_tick;
	}
	turn->wall = (double)(last - first);
	side->wall_ns += turn->wall * bench->clock->ns_per_tick;
	/* Where a lane waits for another it may sleep or spin; neither is being late. */
	away_ns = lanes_ns - turn->cpu;
	turn->late = lanes_ns > 0 && away_ns > 0 ? away_ns / lanes_ns : 0;
	read_batches(ctl, turn);
}

/* The first against the last quarter of a turn's batches, each against the same work when
 * nobody else ran in between: above 1 the lead was too short. */
static void judge_lead(struct pair *pair, const struct side *side, uint64_t first)
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
static int take_turn(struct pair *pair, int which, size_t unit, struct turn *turn,
		     struct rh_err *err)
{
	struct rh_gate_bench *bench = pair->bench;
	struct side *side = &pair->side[which];
	const uint64_t *cut = bench->units->first;
	const struct rh_program_head *head = bench->program->head;
	uint64_t first = cut[unit], count = cut[unit + 1] - first;
	uint64_t lead_first = cut[unit > bench->lead ? unit - bench->lead : 0];
	uint64_t epoch = first ? (first - 1) / head->epoch_grains * head->epoch_grains : 0;

	if (lead_first < epoch)
		lead_first = epoch;
	if (side->grain > first && drain(side, err) < 0)
		return name_side(which, -1, err);
	if (lead_first < side->grain)
		lead_first = side->grain;
	if (run_up(side, lead_first, err) < 0 ||
	    run(side, first, count, first - lead_first, true, err) < 0)
		return name_side(which, -1, err);
	for (uint64_t g = first; g < first + count; g++)
		side->events += bench->program->grain_facts[g].events;
	read_turn(bench, side, turn);
	return 0;
}

/* ---- passes ---- */

static void read_memory(struct side *side)
{
	uint64_t now = rh_memory_read(&side->memory);

	if (now != RH_NONE && now > side->rss_peak)
		side->rss_peak = now;
}

static double log_ratio(double baseline, double candidate)
{
	return log(candidate > 0 ? candidate : 1) - log(baseline > 0 ? baseline : 1);
}

/* Two units, four turns. */
static int run_block(struct pair *pair, const size_t unit[2], struct rh_err *err)
{
	bool baseline_first = rh_gate_random(&pair->bench->random) & 1;
	struct rh_gate_block block = { .pair = pair->number, .pass = pair->pass,
				       .unit = (uint32_t)unit[0],
				       .baseline_first = baseline_first };
	struct turn turn[2][2];		/* side, unit */

	for (int i = 0; i < 4; i++) {
		int second = i >= 2, which = (i == 1 || i == 2) == baseline_first;

		if (take_turn(pair, which, unit[second], &turn[which][second], err) < 0)
			return -1;
		if (turn[which][second].late > block.late[which])
			block.late[which] = turn[which][second].late;
		if (!pair->bench->calibrated)
			judge_lead(pair, &pair->side[which],
				   pair->bench->units->first[unit[second]]);
	}
	for (int u = 0; u < 2; u++) {
		const struct turn *a = &turn[0][u], *b = &turn[1][u];

		block.d[RH_GATE_WALL] += log_ratio(a->wall, b->wall) / 2;
		block.d[RH_GATE_CPU] += log_ratio(a->cpu, b->cpu) / 2;
		block.d[RH_GATE_MEDIAN] += log_ratio(a->median, b->median) / 2;
		block.d[RH_GATE_P99] += log_ratio(a->p99, b->p99) / 2;
	}
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

	for (size_t t = 0; ; t += 2) {
		size_t unit[2] = { rh_gate_unit_of(bench->units, bench->lead, phase, t),
				   rh_gate_unit_of(bench->units, bench->lead, phase, t + 1) };

		if (unit[1] == SIZE_MAX)
			break;
		if (run_block(pair, unit, err) < 0)
			return -1;
		for (int s = 0; s < 2 && pair->pass == 0 && t / 2 % RSS_EVERY == 0; s++)
			read_memory(&pair->side[s]);
	}
	for (int s = 0; s < 2; s++) {
		if (run_up(&pair->side[s], end_grain, err) < 0)
			return name_side(s, -1, err);
		read_memory(&pair->side[s]);
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
	struct side *side = &pair->side[which];
	const struct rh_program_head *head = bench->program->head;

	*wall_ticks = 0;
	if (side->grain && drain(side, err) < 0)
		return name_side(which, -1, err);
	while (side->grain < head->grains) {
		struct turn turn;
		uint64_t first = side->grain, grain = first;
		uint64_t count = rh_ctl_stretch(1, head->grains, head->epoch_grains, first,
						RH_CTL_BATCHES_MAX);
		const struct rh_ctl_seat *seat = &side->worker.ctl->seat[0];

		if (run(side, first, count, 0, true, err) < 0)
			return name_side(which, -1, err);
		for (uint32_t b = 0; b < seat->batch_count; b++, grain++)
			solo[grain] = seat->batch_ticks[b];
		read_turn(bench, side, &turn);
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
	double median;

	if (cut_units(pair, err) < 0)
		return -1;
	for (bench->lead = 1; ; bench->lead++) {
		pair->log_ratio_count = 0;
		do {
			if (run_pass(pair, err) < 0)
				return -1;
		} while (pair->log_ratio_count && pair->log_ratio_count < LEAD_TURNS);
		pair->scenario->block_count = 0;
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

static void keep_row(struct pair *pair, struct rh_gate_pair_row *row)
{
	uint64_t base = pair->side[0].rss_start < pair->side[1].rss_start ?
			pair->side[0].rss_start : pair->side[1].rss_start;

	for (int s = 0; s < 2; s++) {
		const struct side *side = &pair->side[s];

		row->value[s][RH_GATE_RSS] = side->rss_peak > base ? (double)(side->rss_peak - base)
								   : 0;
		row->value[s][RH_GATE_FAULTS] = (double)side->faults;
		row->ns_per_event[s] = side->events ? side->wall_ns / (double)side->events : 0;
		row->switches[s] = side->switches;
	}
	*(struct rh_gate_pair_row *)rh_grow(&pair->scenario->pairs, &pair->scenario->pair_count,
					    sizeof(*row)) = *row;
}

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

int rh_gate_pair(struct rh_gate_bench *bench, struct rh_gate_scenario *scenario,
		 struct rh_err *err)
{
	struct pair pair = { .bench = bench, .scenario = scenario,
			     .number = (uint32_t)scenario->pair_count };
	struct rh_gate_pair_row row = { 0 };
	int first = rh_gate_random(&bench->random) & 1, result;
	cpu_set_t kept;

	for (int s = 0; s < 2; s++)
		pair.side[s].worker.said_fd = pair.side[s].memory.fd = -1;
	pin(bench, &row, &kept, &bench->random);
	result = start(bench, &pair.side[first], first, false, err);
	if (result == 0)
		result = start(bench, &pair.side[!first], !first, false, err);
	sched_setaffinity(0, sizeof(kept), &kept);
	if (result == 0)
		result = live(&pair, err);
	if (result == 0)
		keep_row(&pair, &row);
	for (int s = 0; s < 2; s++)
		end(&pair.side[s]);
	free(pair.log_ratio);
	return result;
}

int rh_gate_verify(struct rh_gate_bench *bench, int which, struct rh_err *err)
{
	const struct rh_program *program = bench->program;
	struct side side = { .memory = { .fd = -1 } };
	uint64_t grain = 0, events = 0;
	int result;

	side.worker.said_fd = -1;
	while (grain < program->head->grains && events < VERIFY_EVENTS)
		events += program->grain_facts[grain++].events;
	result = start(bench, &side, which, true, err);
	if (result == 0) {
		result = name_side(which, run_up(&side, grain, err), err);
	}
	if (result == 0 && grain == program->head->grains)
		result = name_side(which, drain(&side, err), err);
	end(&side);
	return result;
}
