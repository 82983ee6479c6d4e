/*
 * truth.c - the verdict on a prediction.
 */
#include "harness/result/truth.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

#include "harness/result/estimate.h"

#define NEAR_SHARE 0.3333 /* of the observed change */
static const double confidence = 0.95;

const char *const rh_truth_names[] = { "predicted", "off", "cannot tell", NULL };
_Static_assert(sizeof(rh_truth_names) / sizeof(rh_truth_names[0]) == RH_TRUTH_VERDICTS + 1,
	       "a name for each");

struct rh_interval rh_truth_change(const double *a, const double *b, size_t count, double shift)
{
	double *change = calloc(count + 1, sizeof(*change));
	struct rh_interval interval;
	size_t kept = 0;

	for (size_t i = 0; change && i < count; i++)
		if (isfinite(a[i] - b[i]))
			change[kept++] = a[i] - b[i] - shift;
	interval = rh_stat_centre(change, kept, confidence);
	assert(interval.n == kept);
	free(change);
	return interval;
}

static enum rh_truth_cause cause_of(const struct rh_truth *truth, double near)
{
	const struct rh_interval *p = &truth->predicted, *o = &truth->observed;
	bool program, replay;

	if (p->n == 0 || o->n == 0)
		return RH_TRUTH_ABSENT;
	assert(near >= 0);
	assert(truth->slack <= near);
	program = (o->hi - o->lo) / 2 > near;
	replay = (p->hi - p->lo) / 2 > near;
	if (p->level < RH_LEVEL_MIN || o->level < RH_LEVEL_MIN)
		return RH_TRUTH_ROUNDS;
	if (program && replay)
		return RH_TRUTH_BOTH;
	return program ? RH_TRUTH_PROGRAM : replay ? RH_TRUTH_REPLAY : RH_TRUTH_LIMIT;
}

void rh_truth_judge(struct rh_truth *truth)
{
	const struct rh_interval *p = &truth->predicted, *o = &truth->observed;
	double near = fabs(o->median) * NEAR_SHARE;

	assert(truth->slack >= 0);
	assert(!(p->lo > p->hi) && !(o->lo > o->hi));
	if (near < truth->slack)
		near = truth->slack;
	truth->off = p->median - o->median;
	truth->cause = cause_of(truth, near);
	if (truth->cause == RH_TRUTH_ABSENT || truth->cause == RH_TRUTH_ROUNDS)
		truth->verdict = RH_TRUTH_CANNOT_TELL;
	else if (truth->cause == RH_TRUTH_LIMIT && fabs(truth->off) <= near)
		truth->verdict = RH_TRUTH_PREDICTED;
	else if (p->lo > o->hi + near || p->hi < o->lo - near)
		truth->verdict = RH_TRUTH_OFF;
	else
		truth->verdict = RH_TRUTH_CANNOT_TELL;
	if (truth->verdict != RH_TRUTH_CANNOT_TELL)
		truth->cause = RH_TRUTH_CLEAR;
}
