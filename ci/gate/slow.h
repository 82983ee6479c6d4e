/*
 * slow.h - how long must operations wait, that a given share of more time is taken, here?
 *
 * The decorator slow:lag=S% waits S ns for each operation, on the mean, and does nothing else: no
 * block is made, so that the heap below stays as it is. What that is in time depends on the
 * allocator, the trace and the machine, and a gate that finds lag=5% has not yet shown that it
 * finds 5 %. The self-test therefore measures first. (slow:S%, S more operations, is no measure of
 * a gate: with extra blocks a program may well be faster, see alloc/heap/slow.c.)
 *
 * Thread rule: main thread. Memory: malloc, freed before return.
 */
#ifndef RH_GATE_SLOW_H
#define RH_GATE_SLOW_H

#include "ci/gate/gate.h"

/* The metric of a tail. */
enum { RH_GATE_FREE_P99 = RH_GATE_LATENCY + RH_GATE_OF_FREE * RH_GATE_QUANTILES + 1 };

struct rh_gate_slow {
	double share;	      /* of 100 ns an operation, or of more operations when those are
			       * given; 0: a tail of frees or memory instead */
	double late_ns;	      /* one free in fifty takes so much longer */
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

/* What a lag's share is of (alloc/heap/slow.c). */
#define RH_GATE_LAG_NS 100.0

/* Measures with pairs of slow:0% and slow:lag=S% of the backend, whatever gate->config gates, until
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
