/*
 * hist.c - sums and quantiles of histograms (hist.h).
 */
#include "harness/control/hist.h"

#include <math.h>

static const double z95 = 1.959964;
enum { BEYOND_MIN = 10 };

void rh_hist_merge(struct rh_hist_sum *into, const struct rh_hist *from)
{
	into->count += from->count;
	into->sum += (double)from->sum;
	into->overflow += from->overflow;
	if (from->max > into->max)
		into->max = from->max;
	for (unsigned i = 0; i < RH_HIST_BUCKETS; i++)
		into->bucket[i] += from->bucket[i];
}

void rh_hist_merge_sum(struct rh_hist_sum *into, const struct rh_hist_sum *from)
{
	into->count += from->count;
	into->sum += from->sum;
	into->overflow += from->overflow;
	if (from->max > into->max)
		into->max = from->max;
	for (unsigned i = 0; i < RH_HIST_BUCKETS; i++)
		into->bucket[i] += from->bucket[i];
}

uint64_t rh_hist_low(unsigned index)
{
	unsigned row = index >> RH_HIST_BITS, column = index & ((1u << RH_HIST_BITS) - 1);

	if (row == 0)
		return index;
	return (uint64_t)((1u << RH_HIST_BITS) + column) << (row - 1);
}

uint64_t rh_hist_high(unsigned index)
{
	return index + 1 < RH_HIST_BUCKETS ? rh_hist_low(index + 1) - 1 : UINT64_MAX;
}

uint64_t rh_hist_at_rank(const struct rh_hist_sum *hist, uint64_t rank)
{
	uint64_t seen = 0;

	if (rank >= hist->count)
		return hist->max;
	for (unsigned i = 0; i < RH_HIST_BUCKETS; i++) {
		seen += hist->bucket[i];
		if (seen >= rank && seen > 0)
			return rh_hist_high(i) < hist->max ? rh_hist_high(i) : hist->max;
	}
	return hist->max;
}

uint64_t rh_hist_quantile(const struct rh_hist_sum *hist, double q)
{
	/* Rounding: a product like 0.9 * 10 may be slightly above its integer. */
	double rank = ceil(q * (double)hist->count - 1e-9);

	return rh_hist_at_rank(hist, rank < 1 ? 1 : (uint64_t)rank);
}

int rh_hist_interval(const struct rh_hist_sum *hist, double q, uint64_t *lo, uint64_t *hi)
{
	double n = (double)hist->count, half = z95 * sqrt(n * q * (1 - q));
	double below = floor(n * q - half), above = ceil(n * q + half) + 1;

	if (n * (1 - q) < BEYOND_MIN || n * q < BEYOND_MIN)
		return 0;
	*lo = rh_hist_at_rank(hist, below < 1 ? 1 : (uint64_t)below);
	*hi = rh_hist_at_rank(hist, above > n ? hist->count : (uint64_t)above);
	return 1;
}
