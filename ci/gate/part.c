/*
 * part.c - the part of the trace, or of a process's life, that became slower most.
 *
 * The median of all blocks is blind to what less than half of them see: a candidate that is 40 %
 * slower while the heap grows, a fifth of the trace, has the median of the baseline. So blocks of a
 * pair are grouped, by eighth of the trace and by eighth of the turns (what is slow in its second
 * pass only is in one or two of them), and each group has its median. The largest
 * of eight or more medians is above zero for identical code, too; therefore the largest is held
 * against the smallest: the part that became slower most for the candidate, and for the baseline.
 * For identical code one is as likely to be the larger one as the other, as the sign test over
 * pairs (judge.c) asks for. Measured with glibc on both sides, twelve programs beside a load: their
 * ratio is beyond 1.15 in 2 of 119 pairs, and in 7 of 82 at a load of 18.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "ci/gate/live.h"
#include "harness/result/stat.h"

enum { EIGHTHS = 8, GROUPS = 2 * EIGHTHS, BLOCKS_LEAST = 4 };

/* Of blocks in group g, the median; NAN when they are few. */
static double median_of(const struct rh_gate_block *blocks, size_t count, size_t units,
			unsigned group, double *room)
{
	size_t n = 0;

	for (size_t i = 0; i < count; i++) {
		size_t of_trace = blocks[i].unit * (size_t)EIGHTHS / units;
		size_t of_turns = i * EIGHTHS / count;

		if ((group < EIGHTHS ? of_trace == group : of_turns == group - EIGHTHS) &&
		    isfinite(blocks[i].d[RH_GATE_WALL]))
			room[n++] = blocks[i].d[RH_GATE_WALL];
	}
	if (n < BLOCKS_LEAST)
		return NAN;
	rh_stat_sort(room, n);
	return rh_stat_median(room, n);
}

void rh_gate_worst_part(const struct rh_gate_block *blocks, size_t count, size_t units,
			double out[2])
{
	double *room = calloc(count + 1, sizeof(*room)), most[2] = { 0, 0 };

	for (unsigned g = 0; g < GROUPS && room && units; g++) {
		double median = median_of(blocks, count, units, g, room);

		if (!isfinite(median))
			continue;
		most[0] = fmax(most[0], -median);
		most[1] = fmax(most[1], median);
	}
	free(room);
	for (int s = 0; s < 2; s++)
		out[s] = exp(most[s]);
}

/* Median over pairs of a group's medians; NAN when no pair has enough blocks in it. */
static double over_pairs(const struct rh_gate_scenario *scenario, unsigned group, double *room,
			 double *medians)
{
	const struct rh_gate_block *blocks = scenario->blocks;
	size_t n = 0, to;

	for (size_t from = 0; from < scenario->block_count; from = to) {
		for (to = from + 1;
		     to < scenario->block_count && blocks[to].pair == blocks[from].pair; to++)
			;
		medians[n] = median_of(blocks + from, to - from, scenario->units, group, room);
		n += (size_t)isfinite(medians[n]);
	}
	if (n == 0)
		return NAN;
	rh_stat_sort(medians, n);
	return rh_stat_median(medians, n);
}

bool rh_gate_slowest_part(const struct rh_gate_scenario *scenario, double *change, char *name,
			  size_t bytes)
{
	double *room = calloc(scenario->block_count + 1, sizeof(*room));
	double *medians = calloc(scenario->block_count + 1, sizeof(*medians));
	bool found = false;

	for (unsigned g = 0; g < GROUPS && room && medians && scenario->units; g++) {
		double median = over_pairs(scenario, g, room, medians);

		if (!isfinite(median) || (found && median <= *change))
			continue;
		*change = median;
		snprintf(name, bytes, "eighth %u of %s", g % EIGHTHS + 1,
			 g < EIGHTHS ? "the trace" : "the turns of a process");
		found = true;
	}
	free(room);
	free(medians);
	return found;
}
