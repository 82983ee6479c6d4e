/*
 * pair_sequential.c - a pair whose processes run one after the other.
 *
 * Two heaps side by side need twice the memory of the trace. Where that is more than half of
 * the machine's, the driver falls back to fresh processes one after the other, A B B A or B A A
 * B by toss, each replaying all of the trace once: a segment is a whole pass, and a pair gives
 * one block. Drift of the machine within four passes does not cancel as it does within four
 * turns of a millisecond, so that times are held against a threshold of
 * 15 % at least (single processes of the same code differ by more than that on a busy VM,
 * and the sign test needs at least eight pairs).
 *
 * Unlike in pair.c, the timing includes starting with an untouched heap.
 */
#include <math.h>
#include <stdlib.h>

#include "ci/gate/live.h"
#include "alloc/base/random.h"
#include "harness/result/result.h"

#define PASS_NS_LEAST 400000.0 /* as in pair.c: four turns of 0.1 ms */

struct parts { /* of a pass: batches of each stretch */
	double *median, *p99;
	size_t medians, p99s;
};

static void add_part(struct parts *parts, const struct rh_gate_turn *part,
		     struct rh_gate_turn *whole)
{
	whole->wall += part->wall;
	whole->cpu += part->cpu;
	whole->late = fmax(whole->late, part->late);
	if (isfinite(part->median))
		*(double *)rh_grow(&parts->median, &parts->medians, sizeof(double)) = part->median;
	if (isfinite(part->p99))
		*(double *)rh_grow(&parts->p99, &parts->p99s, sizeof(double)) = part->p99;
}

/* A stretch of many grains is timed in batches of several: the median of their medians. */
static void end_parts(struct parts *parts, struct rh_gate_turn *whole)
{
	rh_stat_sort(parts->median, parts->medians);
	rh_stat_sort(parts->p99, parts->p99s);
	whole->median = rh_stat_median(parts->median, parts->medians);
	whole->p99 = rh_stat_median(parts->p99, parts->p99s);
	free(parts->median);
	free(parts->p99);
}

/* All of the trace, epoch by epoch, and the drain. */
static int replay(struct rh_gate_bench *bench, struct rh_gate_live *side, struct parts *parts,
		  struct rh_gate_turn *whole, struct rh_err *err)
{
	const struct rh_program_head *head = bench->program->head;

	while (side->grain < head->grains) {
		struct rh_gate_turn part;
		uint64_t first = side->grain;
		uint64_t count = rh_ctl_stretch(1, head->grains, head->epoch_grains, first,
						head->grains - first);

		if (rh_gate_live_run(side,
				     &(struct rh_gate_stretch){
					     .first = first, .count = count, .timed = true },
				     err) < 0)
			return -1;
		for (uint64_t g = first; g < first + count; g++)
			side->events += bench->program->grain_facts[g].events;
		rh_gate_live_turn(bench, side, &part);
		add_part(parts, &part, whole);
		rh_gate_live_memory(side);
	}
	return rh_gate_live_drain(side, err);
}

/* One process from start to end; what it saw is added to `sum`. */
static int life(struct rh_gate_bench *bench, int which, struct rh_gate_turn *whole,
		struct rh_gate_live *sum, struct rh_err *err)
{
	struct rh_gate_live side = { .memory = { .fd = -1 } };
	struct parts parts = { .median = NULL };
	int result;

	*whole = (struct rh_gate_turn){ 0 };
	side.worker.said_fd = -1;
	result = rh_gate_live_start(bench, &side, which, false, err);
	if (result == 0)
		result = rh_gate_live_name(which, replay(bench, &side, &parts, whole, err), err);
	if (result == 0)
		result = rh_gate_live_close(bench, &side, which, err);
	end_parts(&parts, whole);
	if (sum->events == 0 || side.startup_ns < sum->startup_ns)
		sum->startup_ns = side.startup_ns;
	if (sum->events == 0 || side.exit_ns < sum->exit_ns)
		sum->exit_ns = side.exit_ns;
	sum->cpu_ns += side.cpu_ns;
	sum->others_cpu_ns += side.others_cpu_ns;
	sum->life_ns += side.life_ns;
	if (side.image_bytes > sum->image_bytes)
		sum->image_bytes = side.image_bytes;
	if (sum->events == 0 || side.rss_start < sum->rss_start)
		sum->rss_start = side.rss_start;
	if (side.rss_peak > sum->rss_peak)
		sum->rss_peak = side.rss_peak;
	sum->files = side.files > sum->files ? side.files : sum->files;
	sum->threads = side.threads > sum->threads ? side.threads : sum->threads;
	sum->maps = side.maps > sum->maps ? side.maps : sum->maps;
	sum->moved_bytes += side.moved_bytes;
	sum->children += side.children;
	sum->changed |= side.changed;
	sum->faults += side.faults;
	sum->switches += side.switches;
	sum->events += side.events;
	sum->wall_ns += side.wall_ns;
	rh_gate_live_end(&side);
	return result;
}

static int check_length(struct rh_gate_bench *bench, struct rh_gate_scenario *scenario,
			const struct rh_gate_live sum[2], struct rh_err *err)
{
	double slower = fmax(sum[0].wall_ns, sum[1].wall_ns) / 2;

	scenario->unit_ns = slower;
	scenario->units = 1;
	if (slower >= PASS_NS_LEAST)
		return 0;
	return rh_fail(err, RH_INCONCLUSIVE,
		       "the trace is too short to decide: its %llu events "
		       "replay in %.2f ms, and a gate needs at least %.1f ms",
		       (unsigned long long)bench->program->head->events, slower / 1e6,
		       PASS_NS_LEAST / 1e6);
}

int rh_gate_pair_apart(struct rh_gate_bench *bench, struct rh_gate_scenario *scenario,
		       struct rh_err *err)
{
	bool baseline_first = rh_random(&bench->random) & 1;
	struct rh_gate_block block = { .pair = (uint32_t)scenario->pair_count,
				       .baseline_first = baseline_first };
	struct rh_gate_live sum[2] = { { .grain = 0 } };
	struct rh_gate_pair_row row = { 0 };
	struct rh_gate_turn turn[2][2];
	cpu_set_t kept;
	int result = 0;

	rh_gate_row_clear(&row, RH_GATE_LATENCY); /* drift would not cancel */
	rh_gate_live_pin(bench, &row, &kept, &bench->random);
	for (int i = 0; i < 4 && result == 0; i++) {
		int second = i >= 2, which = (i == 1 || i == 2) == baseline_first;

		result = life(bench, which, &turn[which][second], &sum[which], err);
	}
	sched_setaffinity(0, sizeof(kept), &kept);
	if (result < 0 || check_length(bench, scenario, sum, err) < 0)
		return -1;
	rh_gate_block_of(turn, &block);
	*(struct rh_gate_block *)rh_grow(&scenario->blocks, &scenario->block_count, sizeof(block)) =
		block;
	rh_gate_live_keep(scenario, sum, &row);
	scenario->passes += 2;
	return 0;
}
