/*
 * slow.h - how many more operations cost a given share of more time on this machine?
 *
 * The decorator `slow:S:X` does S more *operations*. Their cost in *time* depends on the
 * allocator, the trace and the machine (on one VM 2 % more operations took 6 to 8 % more time
 * around glibc: the extra blocks are cold), so that a gate that finds slow:5% has not yet shown
 * that it finds 5 %. The self-test therefore measures first.
 *
 * Thread rule: main thread. Memory: malloc, freed before return.
 */
#ifndef RH_GATE_SLOW_H
#define RH_GATE_SLOW_H

#include "ci/gate/gate.h"

/* The metric of a tail. */
enum { RH_GATE_FREE_P99 = RH_GATE_LATENCY + RH_GATE_OF_FREE * RH_GATE_QUANTILES + 1 };

struct rh_gate_slow {
	double share;	      /* of more operations; 0: a tail of frees or memory instead */
	double late_ns;	      /* one free in fifty takes this */
	double hold_bytes;    /* this much is held */
	double ratio, lo, hi; /* of time (free.p99, rss), against slow:0%; 95 % interval,
			       * of a tail the mean and two of its errors, of memory the range */
	size_t pairs;	      /* it rests on */
	double seconds;
};

/* One measured pair: ln(time ratio) at a share. */
struct rh_gate_dose {
	double share, log_ratio;
};

/* The share at which time is `target` more, by the median of log_ratio / share over all doses
 * and its exact sign-test interval; false when the median says that more work is no slower.
 * Fills share, ratio, lo, hi and pairs. */
bool rh_gate_slow_of(const struct rh_gate_dose *doses, size_t count, double target,
		     struct rh_gate_slow *slow);

/* Measures with pairs of slow:0% and slow:S% of the backend, whatever gate->config gates, until
 * the interval of the ratio is within +- 0.5 % or eight steps are over. Errors: RH_INVALID
 * when there is no such share; those of rh_gate_prepare and rh_gate_run. */
int rh_gate_find_slow(const struct rh_gate *gate, const char *backend, double target,
		      struct rh_gate_slow *slow, struct rh_err *err);

/* The same for a tail: at which late=TIME is free.p99 `target` more? Steps of few pairs look, one
 * of many measures. RH_INVALID when the trace has too few frees for a percentile. */
int rh_gate_find_late(const struct rh_gate *gate, const char *backend, double target,
		      struct rh_gate_slow *slow, struct rh_err *err);

/* The same for memory: hold=BYTES is `target` of what the gate says a side needs. */
int rh_gate_find_hold(const struct rh_gate *gate, const char *backend, double target,
		      struct rh_gate_slow *slow, struct rh_err *err);

#endif
