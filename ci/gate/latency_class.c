/*
 * latency_class.c - classes of sizes that became slower (latency.h).
 *
 * A percentile of a kind is blind to a class that is less of it than what lies beyond: where one
 * allocation in 200 is above 64 KiB, ten times the time for these is beyond alloc.p99, and 2 % of
 * the whole. So each class is looked at alone, and the one that changed most stands for the pair.
 * Its median says that all of it is slower, its 90th percentile that a part is.
 *
 * Both sides time the same operations (live.c gives them one seed), so that a class is the same
 * blocks on both and a few of them are enough.
 */
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "ci/gate/gate.h"
#include "ci/gate/latency.h"

enum { SAMPLES_LEAST = 40, SAMPLES_LEAST_P90 = 400 };
#define SHARE_LEAST 0.001 /* of the time of all operations */
#define SLACK_TICKS 1.0	  /* a clock step; what little on little is, the judge says */

int rh_gate_latency_group(unsigned kind)
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

double rh_gate_latency_quantile(const struct rh_hist_sum *sum, double q)
{
	double rank = q * (double)sum->count, seen = 0;

	for (unsigned i = 0; i + 1 < RH_HIST_BUCKETS; i++) {
		double here = (double)sum->bucket[i], low = (double)rh_hist_low(i);

		if (here > 0 && seen + here >= rank)
			return low + (rank - seen) / here * ((double)rh_hist_low(i + 1) - low);
		seen += here;
	}
	return (double)sum->max;
}

/* Octave o of a kind, all lanes together, is added to sum. */
static void add_octave(const struct rh_latency_lane *lanes, uint32_t count, int group, unsigned o,
		       struct rh_hist_sum *sum)
{
	for (uint32_t l = 0; l < count; l++)
		for (unsigned k = 0; k < RH_LAT_KINDS; k++)
			if (rh_gate_latency_group(k) == group && lanes[l].cell[k][o].count)
				rh_hist_merge(sum, &lanes[l].cell[k][o]);
}

static double all_ticks(const struct rh_latency_lane *lanes, uint32_t count)
{
	double sum = 0;

	for (uint32_t l = 0; l < count; l++)
		for (unsigned k = 0; k < RH_LAT_KINDS; k++)
			for (unsigned o = 0; o < RH_LAT_OCTAVES; o++)
				sum += (double)lanes[l].cell[k][o].sum;
	return sum;
}

/* The worst so far. */
struct worst {
	double ticks[2];
	double least; /* more ticks than that, of all its operations, are something */
	bool some;
};

static void look(struct worst *worst, const struct rh_hist_sum sum[2], double q)
{
	double a = rh_gate_latency_quantile(&sum[0], q), b = rh_gate_latency_quantile(&sum[1], q);
	bool nothing = (b - a) * (1 - q) * (double)sum[1].count < worst->least;

	if (nothing)
		b = a;
	if (!worst->some ||
	    (b + SLACK_TICKS) / (a + SLACK_TICKS) >
		    (worst->ticks[1] + SLACK_TICKS) / (worst->ticks[0] + SLACK_TICKS)) {
		worst->ticks[0] = a;
		worst->ticks[1] = b;
	}
	worst->some = true;
}

/* From the largest sizes down: an octave with few operations goes with the next. */
static void look_at_kind(const struct rh_latency_lane *const side[2], uint32_t lanes, int group,
			 struct worst *worst)
{
	struct rh_hist_sum sum[2];

	memset(sum, 0, sizeof(sum));
	for (unsigned o = RH_LAT_OCTAVES; o-- > 0;) {
		uint64_t least;

		for (int s = 0; s < 2; s++)
			add_octave(side[s], lanes, group, o, &sum[s]);
		least = sum[0].count < sum[1].count ? sum[0].count : sum[1].count;
		if (least < SAMPLES_LEAST)
			continue;
		look(worst, sum, 0.5);
		if (least >= SAMPLES_LEAST_P90)
			look(worst, sum, 0.9);
		memset(sum, 0, sizeof(sum));
	}
}

bool rh_gate_latency_class(const struct rh_latency_lane *const side[2], uint32_t lanes,
			   double ticks[2])
{
	struct worst worst = { .ticks = { NAN, NAN },
			       .least = SHARE_LEAST * all_ticks(side[0], lanes) };

	for (int k = 0; k < RH_GATE_KINDS; k++)
		look_at_kind(side, lanes, k, &worst);
	memcpy(ticks, worst.ticks, sizeof(worst.ticks));
	return worst.some;
}
