/*
 * hist.h - a log-linear histogram of durations in ticks.
 *
 * Below 32 every value has a bucket; above, every power of two is cut into 32, so that
 * a bucket is at most 1/32 of its value wide (its middle is off by at most 1.6 %):
 *
 *	value < 32		index = value
 *	2^e <= value < 2^(e+1)	index = (e - 4) * 32 + (value >> (e - 5)) - 32
 *
 * 992 buckets reach to 2^35 ticks (14 s at 2.4 GHz); longer values are counted in the last one
 * and as overflow, and max keeps the largest exactly. One histogram is one page. Recording is a
 * count of leading zeros, a shift and an increment; no atomics: there is one writer, and
 * readers wait until it rests. Merging is adding, so that histograms of lanes, trials and kinds
 * may be summed in any order.
 *
 * A bucket saturates at 2^32 - 1 (which takes a trial of minutes in one kind of operation);
 * merged buckets have 64 bits and do not saturate.
 *
 * Thread rule: one writer each; struct rh_hist_sum: one thread. Errors: none.
 */
#ifndef RH_HIST_H
#define RH_HIST_H

#include <stddef.h>
#include <stdint.h>

enum { RH_HIST_BITS = 5, RH_HIST_BUCKETS = 992, RH_HIST_TOP_BITS = 35 };

struct rh_hist {
	uint64_t count, sum, max, overflow;
	uint64_t pad[12]; /* the counters have their line and its neighbour to themselves */
	uint32_t bucket[RH_HIST_BUCKETS];
};
_Static_assert(sizeof(struct rh_hist) == 4096, "one page each");

static inline unsigned rh_hist_index(uint64_t value)
{
	unsigned top;

	if (value < 1u << RH_HIST_BITS)
		return (unsigned)value;
	top = 63 - (unsigned)__builtin_clzll(value);
	if (top >= RH_HIST_TOP_BITS)
		return RH_HIST_BUCKETS - 1;
	return ((top - RH_HIST_BITS + 1) << RH_HIST_BITS) +
	       (unsigned)(value >> (top - RH_HIST_BITS)) - (1u << RH_HIST_BITS);
}

static inline void rh_hist_add(struct rh_hist *hist, uint64_t value)
{
	uint32_t *bucket = &hist->bucket[rh_hist_index(value)];

	*bucket += *bucket != UINT32_MAX;
	hist->count++;
	hist->sum += value;
	if (value > hist->max)
		hist->max = value;
	hist->overflow += value >> RH_HIST_TOP_BITS != 0;
}

/* ---- hist.c: after the run, in the driver ---- */

struct rh_hist_sum {
	uint64_t count, max, overflow;
	double sum;
	uint64_t bucket[RH_HIST_BUCKETS];
};

void rh_hist_merge(struct rh_hist_sum *into, const struct rh_hist *from);
void rh_hist_merge_sum(struct rh_hist_sum *into, const struct rh_hist_sum *from);

/* Smallest and largest value of a bucket. */
uint64_t rh_hist_low(unsigned index);
uint64_t rh_hist_high(unsigned index);

/* The value at rank ceil(q * count): the upper edge of its bucket, but never above max.
 * 0 for an empty histogram. */
uint64_t rh_hist_quantile(const struct rh_hist_sum *hist, double q);
/* By rank, from 1; clamped to 1..count. */
uint64_t rh_hist_at_rank(const struct rh_hist_sum *hist, uint64_t rank);

/*
 * Ranks that hold the true quantile with about 95 %: n q -/+ 1.96 sqrt(n q (1 - q)), as
 * values. False when the sample is too small for it: fewer than ten values beyond q.
 */
int rh_hist_interval(const struct rh_hist_sum *hist, double q, uint64_t *lo, uint64_t *hi);

#endif
