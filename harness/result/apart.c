/*
 * apart.c - see apart.h. Each part is bounded by the remainder of the time that contains it, so
 * that no part is negative and all parts add up to the whole.
 */
#include "harness/result/apart.h"

#include <assert.h>
#include <math.h>

#include "traces/format/event.h"

static double bounded(double ns, double most)
{
	return fmax(0, fmin(ns, most));
}

/* CPU time that was not spent spinning for another lane. */
static double working_ns(const struct rh_trial *trial)
{
	const struct rh_trial_pass *pass = &trial->passes[0];
	double spun = (double)pass->blocked_ns - (double)pass->slept_ns;

	return bounded((double)trial->cpu_ns - fmax(0, spun), (double)trial->cpu_ns);
}

struct rh_apart rh_apart_of(const struct rh_result *result, const struct rh_trial *trial,
			    const struct rh_trial *floor)
{
	const struct rh_trial_pass *pass = trial->pass_count ? &trial->passes[0] : NULL;
	double whole = (double)trial->wall_ns * trial->lanes * trial->copies, left = whole;
	struct rh_apart a = { NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN };
	double work;

	if (!pass || !(whole > 0))
		return a;
	work = bounded(working_ns(trial), whole);
	left -= work;
	a.faults =
		bounded((double)(pass->faults_minor + pass->faults_major) * result->fault_ns, work);
	a.kernel = bounded((double)pass->kernel_ns - a.faults, work - a.faults);
	a.user = work - a.faults - a.kernel;
	a.loop = floor && floor->pass_count ? bounded(working_ns(floor), a.user) : 0;
	a.user -= a.loop;
	left -= a.waits = bounded((double)pass->blocked_ns, left);
	left -= a.idle = bounded((double)pass->idle_ns, left);
	/* a delay inside a wait is in that */
	a.delay = pass->run_delay_ns == RH_NONE ? 0 : bounded((double)pass->run_delay_ns, left);
	a.rest = left - a.delay;
#define SHARE(part)      \
	a.part /= whole; \
	assert(a.part >= 0 && a.part <= 1);
	RH_APART_PARTS(SHARE)
#undef SHARE
	return a;
}
