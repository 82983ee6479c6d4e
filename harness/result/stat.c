/*
 * stat.c - order statistics.
 *
 * Binomial sums go through logarithms term by term: exact to about 1e-15 relative for
 * small n and without underflow for any n (2^-n leaves double at n = 1075).
 */
#include "harness/result/stat.h"

#include "harness/result/pool.h"

#include <assert.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "alloc/base/debug.h"

/* A NaN compares neither smaller nor larger: with plain < and >, qsort could leave numbers around
 * it unsorted. */
static int compare(const void *a, const void *b)
{
	const double *x = a, *y = b;

	if (isnan(*x) || isnan(*y))
		return isnan(*x) - isnan(*y);
	return (*x > *y) - (*x < *y);
}

static bool is_sorted(const double *values, size_t n)
{
	for (size_t i = 1; i < n; i++)
		if (!(values[i - 1] <= values[i]))
			return false;
	return true;
}

size_t rh_stat_sort(double *values, size_t n)
{
	/* qsort wants a pointer even for nothing. */
	if (n)
		qsort(values, n, sizeof(*values), compare);
	while (n && isnan(values[n - 1]))
		n--;
	rh_debug_assert(is_sorted(values, n));
	return n;
}

double rh_stat_median(const double *sorted, size_t n)
{
	rh_debug_assert(is_sorted(sorted, n));
	if (n == 0)
		return NAN;
	return n % 2 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
}

double rh_stat_sign_tail(size_t n, size_t k)
{
	double log_term = -(double)n * M_LN2, sum = 0;

	for (size_t i = 0; i < k && i <= n; i++) {
		sum += exp(log_term);
		log_term += log((double)(n - i) / (double)(i + 1));
	}
	return sum < 1 ? sum : 1;
}

size_t rh_stat_sign_rank(size_t n, double tail)
{
	double log_term = -(double)n * M_LN2, sum = 0;
	size_t k = 0;

	while (k < n / 2) {
		sum += exp(log_term);
		/* Equality counts as met: 2^-3 against 0.125. */
		if (sum > tail * (1 + 1e-12))
			break;
		log_term += log((double)(n - k) / (double)(k + 1));
		k++;
	}
	/* the result agrees with the sum */
	assert(k <= n / 2 && (k == 0 || rh_stat_sign_tail(n, k) <= tail * (1 + 1e-9)));
	return k;
}

/* chance[w]: probability that the ranks with a positive sign, of 1 .. n by fair coins, sum up to w.
 * The caller frees it; NULL = no memory. */
static double *rank_chances(size_t n)
{
	size_t most = n * (n + 1) / 2;
	double *chance = rh_scratch(most + 1, sizeof(*chance));

	assert(n <= RH_STAT_RANKS_MOST);
	if (!chance)
		return NULL;
	memset(chance, 0, (most + 1) * sizeof(*chance));
	chance[0] = 1;
	for (size_t rank = 1, end = 1; rank <= n; rank++) {
		end += rank;
		for (size_t w = end; w-- > 0;)
			chance[w] = (chance[w] + (w >= rank ? chance[w - rank] : 0)) / 2;
	}
	return chance;
}

size_t rh_stat_signed_rank(size_t n, double tail)
{
	size_t most = n * (n + 1) / 2, k = 0;
	double *chance = rank_chances(n), sum = 0;

	if (!chance)
		return 0;
	while (k < most / 2 && (sum += chance[k]) <= tail * (1 + 1e-12))
		k++;
	free(chance);
	return k;
}

double rh_stat_signed_tail(size_t n, size_t k)
{
	double *chance = rank_chances(n), sum = 0;

	for (size_t w = 0; chance && w < k && w <= n * (n + 1) / 2; w++)
		sum += chance[w];
	free(chance);
	return sum < 1 ? sum : 1;
}

size_t rh_stat_pair_means(const double *values, size_t n, double *means)
{
	size_t count = 0;

	for (size_t i = 0; i < n; i++)
		for (size_t j = i; j < n; j++)
			means[count++] = (values[i] + values[j]) / 2;
	return rh_stat_sort(means, count);
}

/* The share beyond t = sqrt(n) tan(angle): with that substitution the density is a power of a
 * cosine, and Simpson's rule with this many parts is exact to 1e-10. */
static double student_tail(size_t freedom, double angle)
{
	enum { PARTS = 256 };
	double n = (double)freedom, width = (M_PI_2 - angle) / PARTS, sum = 0;
	double scale = exp(lgamma((n + 1) / 2) - lgamma(n / 2)) / sqrt(M_PI);

	assert(freedom > 0 && angle >= 0 && angle <= M_PI_2);
	for (int i = 0; i <= PARTS; i++) {
		double here = pow(cos(fmin(angle + i * width, M_PI_2)), n - 1);

		sum += here * (i == 0 || i == PARTS ? 1 : i % 2 ? 4 : 2);
	}
	return scale * sum * width / 3;
}

double rh_stat_student(size_t freedom, double tail)
{
	double low = 0, high = M_PI_2;

	assert(freedom > 0 && tail > 0 && tail <= 0.5);
	for (int i = 0; i < 60; i++) {
		double middle = (low + high) / 2;

		if (student_tail(freedom, middle) > tail)
			low = middle;
		else
			high = middle;
	}
	assert(student_tail(freedom, high) <= tail);
	return sqrt((double)freedom) * tan(high);
}

double rh_stat_normal(double tail)
{
	double low = 0, high = 40;

	assert(tail > 0 && tail <= 0.5);
	for (int i = 0; i < 60; i++) {
		double middle = (low + high) / 2;

		if (erfc(middle * M_SQRT1_2) / 2 > tail)
			low = middle;
		else
			high = middle;
	}
	return high;
}

struct rh_interval rh_stat_interval(const double *values, size_t n, double confidence)
{
	struct rh_interval out = { NAN, NAN, NAN, 0, NAN, NAN, n };
	double *sorted = n ? rh_scratch(n, sizeof(*sorted)) : NULL;
	size_t k;

	if (!sorted)
		return out;
	memcpy(sorted, values, n * sizeof(*sorted));
	out.n = n = rh_stat_sort(sorted, n);
	if (n == 0) {
		free(sorted);
		return out;
	}
	k = rh_stat_sign_rank(n, (1 - confidence) / 2);
	if (k == 0)
		k = 1;
	out.median = rh_stat_median(sorted, n);
	out.lo = sorted[k - 1];
	out.hi = sorted[n - k];
	out.min = sorted[0];
	out.max = sorted[n - 1];
	out.level = n == 1 ? 0 : 1 - 2 * rh_stat_sign_tail(n, k);
	assert(!(out.min > out.lo) && !(out.lo > out.median) && !(out.median > out.hi) &&
	       !(out.hi > out.max));
	free(sorted);
	return out;
}

struct rh_interval rh_stat_centre(const double *values, size_t n, double confidence)
{
	struct rh_interval out = rh_stat_interval(values, n, confidence);
	size_t used = out.n, pairs, k, kept = 0;
	double *means;

	k = used <= RH_STAT_RANKS_MOST ? rh_stat_signed_rank(used, (1 - confidence) / 2) : 0;
	means = k ? rh_scratch(used + used * (used + 1) / 2, sizeof(*means)) : NULL;
	if (!means)
		return out; /* too few, or too many: that of signs */
	for (size_t i = 0; i < n; i++)
		if (!isnan(values[i]))
			means[kept++] = values[i];
	assert(kept == used);
	pairs = rh_stat_pair_means(means, used, means + used);
	out.median = rh_stat_median(means + used, pairs);
	out.lo = means[used + k - 1];
	out.hi = means[used + pairs - k];
	out.level = 1 - 2 * rh_stat_signed_tail(used, k);
	assert(!(out.min > out.lo) && !(out.lo > out.median) && !(out.median > out.hi) &&
	       !(out.hi > out.max) && out.level >= confidence - 1e-9);
	free(means);
	return out;
}
