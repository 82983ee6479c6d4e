/*
 * slow.c - see the header.
 *
 *	1  a first step of few pairs at S = the target says roughly how much time S takes
 *	2  steps of more pairs at the S that all doses so far point to; only steps whose own
 *	   median lies within 1.5 x the target count: near the target a line through
 *	   zero is good enough
 *	3  enough when the 95 % interval of the ratio at the chosen S is within +- 0.5 %, or within
 *	   a quarter of the target's distance from the margin, if that is less: 3 % at a limit of
 *	   5 % lie 0.5 % above it, and a plant of 2.7 % would measure something else
 *
 * A tail (rh_gate_find_late) is easier: the percentile is the wait and a free, as soon as that is
 * more than it was. Steps look for the wait, and a last one of more pairs measures; a tail that is
 * then off by more than half of what was wanted is none.
 *
 * The number of pairs of a step is fixed, not sequential: a rule that stops when the
 * difference looks large would find it larger than it is.
 */
#include "ci/gate/slow.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc/base/progress.h"
#include "harness/result/result.h"

enum { STEPS_MAX = 13, PAIRS_FIRST = 6, PAIRS_STEP = 16, NEAR_STEPS = 2 };
_Static_assert(PAIRS_FIRST + (STEPS_MAX - 1) * PAIRS_STEP <= RH_STAT_RANKS_MOST,
	       "doses have ranks");
#define NEAR	    1.5
#define HALF_GOOD   0.005
#define HALF_BEST   0.001
#define OF_DISTANCE 0.25
#define SHARE_LEAST 0.0005
#define SHARE_MOST  10.0
#define TAIL	    0.025

struct search {
	struct rh_gate_dose *doses;
	size_t count, used; /* doses before `used` are of steps near the target */
	unsigned near;
};

bool rh_gate_slow_of(const struct rh_gate_dose *doses, size_t count, double target,
		     struct rh_gate_slow *slow)
{
	double *slopes = calloc(count + count * (count + 1) / 2 + 1, sizeof(*slopes)), median;
	double *means = slopes + count;
	size_t rank, most;

	for (size_t i = 0; slopes && i < count; i++)
		slopes[i] = doses[i].log_ratio / doses[i].share;
	if (!slopes || count == 0) {
		free(slopes);
		return false;
	}
	most = rh_stat_pair_means(slopes, count, means);
	median = rh_stat_median(means, most);
	rank = rh_stat_signed_rank(count, TAIL);
	slow->pairs = count;
	slow->share = log1p(target) / median;
	slow->ratio = exp(median * slow->share);
	slow->lo = rank ? exp(means[rank - 1] * slow->share) : 0;
	slow->hi = rank ? exp(means[most - rank] * slow->share) : INFINITY;
	free(slopes);
	return median > 0;
}

/* How exactly a target has to be met. */
static double good_enough(const struct rh_gate *gate, double target)
{
	double margin = rh_gate_margin(gate->config.metric_threshold[RH_GATE_WALL]);
	double part = OF_DISTANCE * fabs(log1p(target) - margin);

	return fmax(fmin(part, HALF_GOOD), HALF_BEST);
}

/* The median of one pair of one scenario; NAN when all its blocks were dropped. */
static double pair_median(const struct rh_gate_scenario *row, uint32_t pair, double *room)
{
	size_t n = 0;

	for (size_t i = 0; i < row->block_count; i++)
		if (row->blocks[i].pair == pair && !row->blocks[i].dropped &&
		    isfinite(row->blocks[i].d[RH_GATE_WALL]))
			room[n++] = row->blocks[i].d[RH_GATE_WALL];
	rh_stat_sort(room, n);
	return rh_stat_median(room, n);
}

static int take_doses(struct search *search, const struct rh_gate *gate, double share,
		      struct rh_err *err)
{
	search->count = search->used;
	for (size_t s = 0; s < gate->scenario_count; s++) {
		const struct rh_gate_scenario *row = &gate->scenarios[s];
		double *room = calloc(row->block_count + 1, sizeof(*room));

		for (uint32_t p = 0; room && p < row->pair_count; p++) {
			double median = pair_median(row, p, room);

			if (isfinite(median))
				*(struct rh_gate_dose *)rh_grow(&search->doses, &search->count,
								sizeof(*search->doses)) =
					(struct rh_gate_dose){ share, median };
		}
		free(room);
		if (row->broken)
			return rh_fail(err,
				       row->verdict == RH_GATE_INCONCLUSIVE ? RH_INCONCLUSIVE
									    : RH_INVALID,
				       "the slow-down cannot be calibrated: %s", row->why);
	}
	return 0;
}

/* slow:0% against slow:KNOB, so many pairs; the gate is the caller's to free, also when it failed.
 */
struct step {
	const char *backend, *knob; /* what is slowed down, and how */
	uint64_t number, pairs;
};

static int run_step(struct rh_gate *one, const struct rh_gate *gate, const struct step *step,
		    struct rh_err *err)
{
	char baseline[600], candidate[600];
	int result;

	*one = (struct rh_gate){ .config = gate->config, .host = gate->host, .clock = gate->clock };
	snprintf(baseline, sizeof(baseline), "slow:0%%:%s", step->backend);
	snprintf(candidate, sizeof(candidate), "slow:%s:%s", step->knob, step->backend);
	one->config.baseline = baseline;
	one->config.candidate = candidate;
	one->config.seed += 0x10000 + step->number;
	one->config.tier = RH_TIER_WALL;
	one->config.resume = NULL;
	for (int m = RH_GATE_LATENCY; m < RH_GATE_METRICS; m++)
		one->config.metric_gates[m] &=
			strncmp(step->knob, "late=", 5) == 0; /* a tail is looked for */
	one->config.no_verify |= step->number > 0;
	one->config.pairs_min = one->config.pairs_max = step->pairs;
	result = rh_gate_prepare(one, err) < 0 ? -1 : rh_gate_run(one, err);
	one->config.baseline = one->config.candidate = NULL;
	return result;
}

/* Step n at a share; its doses are behind `used`. */
static int take_step(struct search *search, const struct rh_gate *gate, struct step step,
		     double share, struct rh_err *err)
{
	struct rh_gate one;
	char knob[32];
	int result;

	snprintf(knob, sizeof(knob), "lag=%.4g%%", 100 * share);
	step.knob = knob;
	step.pairs = step.number ? PAIRS_STEP : PAIRS_FIRST;
	result = run_step(&one, gate, &step, err);
	if (result == 0)
		result = take_doses(search, &one, share, err);
	rh_gate_free(&one);
	return result;
}

/* Where to look next; the doses of a step near the target are kept. */
static double next_share(struct search *search, double share, double target,
			 struct rh_gate_slow *slow)
{
	struct rh_gate_slow last = { .share = 0 };
	double times;

	if (!rh_gate_slow_of(search->doses + search->used, search->count - search->used, target,
			     &last))
		times = 2;
	else
		times = last.share / share;
	if (times > NEAR || times < 1 / NEAR)
		return share * fmin(fmax(times, 0.1), 4);
	search->used = search->count;
	search->near++;
	rh_gate_slow_of(search->doses, search->used, target, slow);
	return slow->share;
}

int rh_gate_find_slow(const struct rh_gate *gate, const char *backend, double target,
		      struct rh_gate_slow *slow, struct rh_err *err)
{
	struct search search = { .near = 0 };
	uint64_t since = rh_now_ns();
	double share = target, good = good_enough(gate, target);
	int result = 0;

	*slow = (struct rh_gate_slow){ .share = 0 };
	for (uint64_t n = 0; n < STEPS_MAX && result == 0; n++) {
		rh_progress("calibrating the slow-down of %s: step %u, %.2f ns an operation",
			    backend, (unsigned)n + 1, RH_GATE_LAG_NS * share);
		result = take_step(&search, gate, (struct step){ .backend = backend, .number = n },
				   share, err);
		if (result < 0)
			break;
		share = fmin(fmax(next_share(&search, share, target, slow), SHARE_LEAST),
			     SHARE_MOST);
		if (search.near >= NEAR_STEPS && slow->hi - slow->ratio < good &&
		    slow->ratio - slow->lo < good)
			break;
	}
	if (result == 0 && !(slow->share > SHARE_LEAST && slow->share < SHARE_MOST))
		result = rh_fail(err, RH_INVALID,
				 "no wait makes %s %.1f %% slower here: name a share of more "
				 "operations with --slow-by",
				 backend, 100 * target);
	slow->seconds = (double)(rh_now_ns() - since) / 1e9;
	free(search.doses);
	return result;
}

/* ---- a tail ---- */

enum { PAIRS_LOOK = 12, PAIRS_TAIL = 24, FIRST_WAIT_NS = 300, TAIL_STEPS = 8 };
#define TAIL_NEAR 0.02

struct tail { /* free.p99 in ns: the mean over pairs, and that times the ratio */
	double baseline, candidate;
};

/* Means, not medians: a percentile is a few steps of the clock, and a median is one of them. The
 * ratio is the mean of the pairs' own: the baseline's percentile goes from 40 to 80 ns, and the
 * ratio of two means would be another. */
static int read_tail(const struct rh_gate *one, struct tail *tail, struct rh_gate_slow *slow,
		     struct rh_err *err)
{
	const struct rh_gate_scenario *row = &one->scenarios[0];
	double sum = 0, logs = 0, squares = 0, n = 0, error;

	for (size_t p = 0; p < row->pair_count; p++) {
		double a = row->pairs[p].value[0][RH_GATE_FREE_P99];
		double b = row->pairs[p].value[1][RH_GATE_FREE_P99];

		if (!isfinite(a) || !isfinite(b))
			continue;
		sum += a;
		logs += log(b / a);
		squares += log(b / a) * log(b / a);
		n++;
	}
	if (row->broken)
		return rh_fail(err, RH_INVALID, "the tail cannot be calibrated: %s", row->why);
	if (n < 2)
		return rh_fail(err, RH_INVALID, "%s has too few frees for their 99th percentile",
			       row->trace);
	error = sqrt(fmax(squares - logs * logs / n, 0) / (n - 1) / n);
	slow->pairs = (size_t)n;
	slow->ratio = exp(logs / n);
	*tail = (struct tail){ sum / n, sum / n * slow->ratio };
	slow->lo = exp(logs / n - 2 * error);
	slow->hi = exp(logs / n + 2 * error);
	return 0;
}

/* The line from what was seen to what is wanted; below the old percentile there is none. */
static double next_wait(double wait, double target, const struct tail *tail)
{
	double wanted = (1 + target) * tail->baseline;

	if (tail->candidate < (1 + target / 4) * tail->baseline)
		return 1.3 * wait;
	return fmax(wait + wanted - tail->candidate, wait / 4);
}

int rh_gate_find_late(const struct rh_gate *gate, const char *backend, double target,
		      struct rh_gate_slow *slow, struct rh_err *err)
{
	uint64_t since = rh_now_ns();
	double wait = FIRST_WAIT_NS;
	struct tail tail = { 0 };
	bool last = false;
	int result = 0;

	*slow = (struct rh_gate_slow){ .share = 0 };
	for (uint64_t n = 0; result == 0; n++) {
		struct rh_gate one;
		char knob[32];

		rh_progress("calibrating the tail of %s: step %u, %.0f ns", backend,
			    (unsigned)n + 1, wait);
		slow->late_ns = fmax(round(wait), 1);
		snprintf(knob, sizeof(knob), "late=%.0fns", slow->late_ns);
		result = run_step(
			&one, gate,
			&(struct step){ backend, knob, n, last ? PAIRS_TAIL : PAIRS_LOOK }, err);
		if (result == 0)
			result = read_tail(&one, &tail, slow, err);
		rh_gate_free(&one);
		if (last || result < 0)
			break;
		last = n + 2 >= TAIL_STEPS ||
		       fabs(log(tail.candidate / tail.baseline / (1 + target))) < TAIL_NEAR;
		wait = next_wait(wait, target, &tail);
	}
	if (result == 0 && fabs(slow->ratio - 1 - target) > target / 2)
		result = rh_fail(
			err, RH_INVALID,
			"the tail cannot be calibrated: with %.0f ns more the 99th percentile "
			"of frees of %s is %.1f %% more, and %.1f %% were wanted",
			slow->late_ns, backend, 100 * (slow->ratio - 1), 100 * target);
	slow->seconds = (double)(rh_now_ns() - since) / 1e9;
	return result;
}

/* ---- memory ---- */

/* Median of rss of a side, and the range of the ratio, by the pairs of a step. */
static double read_memory(const struct rh_gate *one, struct rh_gate_slow *slow)
{
	const struct rh_gate_scenario *row = &one->scenarios[0];
	double values[PAIRS_FIRST];
	size_t n = 0;

	slow->lo = INFINITY;
	slow->hi = 0;
	for (size_t p = 0; p < row->pair_count && n < PAIRS_FIRST; p++) {
		double a = row->pairs[p].value[0][RH_GATE_RSS];
		double b = row->pairs[p].value[1][RH_GATE_RSS];

		if (!(a > 0) || !isfinite(b))
			continue;
		values[n++] = a;
		slow->lo = fmin(slow->lo, b / a);
		slow->hi = fmax(slow->hi, b / a);
	}
	slow->pairs = n;
	rh_stat_sort(values, n);
	return rh_stat_median(values, n);
}

int rh_gate_find_hold(const struct rh_gate *gate, const char *backend, double target,
		      struct rh_gate_slow *slow, struct rh_err *err)
{
	uint64_t since = rh_now_ns();
	int result = 0;

	*slow = (struct rh_gate_slow){ .share = 0 };
	for (uint64_t n = 0; n < 2 && result == 0; n++) {
		struct rh_gate one;
		char knob[32];
		double bytes;

		snprintf(knob, sizeof(knob), "hold=%.0f", slow->hold_bytes);
		result = run_step(&one, gate, &(struct step){ backend, knob, n, PAIRS_FIRST }, err);
		bytes = result == 0 ? read_memory(&one, slow) : NAN;
		if (result == 0 && !(bytes > 0))
			result = rh_fail(err, RH_INVALID, "memory cannot be calibrated: %s",
					 one.scenarios[0].why);
		if (n == 0)
			slow->hold_bytes = round(target * bytes);
		slow->ratio = 1 + slow->hold_bytes / bytes;
		rh_gate_free(&one);
	}
	slow->seconds = (double)(rh_now_ns() - since) / 1e9;
	return result;
}
