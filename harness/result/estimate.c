/*
 * estimate.c - sign-test intervals of paired ratios, Mann-Whitney intervals of unpaired ones.
 *
 * Exact distributions are computed, not looked up: binomial(n, 1/2) in stat.c, and here the
 * number of orderings by the recurrence of Mann and Whitney. With 50 values a side that table
 * has 50 x 2501 entries of 8 bytes, 1 MB, filled in about 3 ms.
 */
#include "harness/result/estimate.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/result/pool.h"
#include "harness/result/stat.h"

enum { EXACT_MAX = 50 };

static struct rh_estimate estimate_median(const double *values, size_t count)
{
	struct rh_interval i = rh_stat_interval(values, count, 0.95);

	return (struct rh_estimate){ i.median, i.lo, i.hi, count ? i.level : 0, count, true };
}

struct rh_estimate rh_estimate_paired(const double *a, const double *b, size_t count)
{
	struct rh_estimate e = { NAN, NAN, NAN, 0, 0, true };
	double *ratios;

	if (count == 0)
		return e;
	ratios = rh_scratch(count, sizeof(*ratios));
	for (size_t i = 0; i < count; i++)
		ratios[i] = a[i] / b[i];
	e = estimate_median(ratios, count);
	assert(!(e.lo > e.ratio) && !(e.ratio > e.hi));
	free(ratios);
	return e;
}

/* counts[u] = orderings of m values among n whose Mann-Whitney statistic is u, as a share of
 * all; u runs 0..m*n. Row by row: f(m, n, u) = (n f(m, n-1, u) + m f(m-1, n, u-n)) / (m + n). */
static double *mann_whitney(size_t m, size_t n)
{
	size_t width = m * n + 1;
	double *table = rh_scratch((m + 1) * width, sizeof(*table));

	for (size_t i = 0; i <= m; i++)
		table[i * width] = 1; /* n = 0: only u = 0 */
	for (size_t j = 1; j <= n; j++) {
		for (size_t i = 1; i <= m; i++) {
			for (size_t u = i * j + 1; u-- > 0;) {
				double below = u <= i * (j - 1) ? table[i * width + u] : 0;
				double above = u >= j ? table[(i - 1) * width + u - j] : 0;

				table[i * width + u] =
					((double)j * below + (double)i * above) / (double)(i + j);
			}
		}
	}
	assert(table[m * width] > 0 && table[m * width] <= 0.5); /* 1 / C(m + n, m) */
	memmove(table, table + m * width, width * sizeof(*table));
	return table;
}

/* How many of the m*n ratios to drop at each end, and the confidence of the rest. */
static size_t apart_skip(size_t m, size_t n, double *level)
{
	double tail = 0, *share;
	size_t skip = 0;

	if (m > EXACT_MAX || n > EXACT_MAX) {
		double mean = (double)m * (double)n / 2;
		double sd = sqrt((double)m * (double)n * (double)(m + n + 1) / 12);

		*level = 0.95;
		return mean > 1.96 * sd ? (size_t)(mean - 1.96 * sd) : 0;
	}
	share = mann_whitney(m, n);
	tail = share[0];
	while (skip + 1 < (m * n + 1) / 2 && tail + share[skip + 1] <= 0.025)
		tail += share[++skip];
	*level = 1 - 2 * tail;
	assert(*level >= 0 && *level < 1 && 2 * skip < m * n);
	free(share);
	return skip;
}

struct rh_estimate rh_estimate_apart(const double *a, size_t a_count, const double *b,
				     size_t b_count)
{
	struct rh_estimate e = { NAN, NAN, NAN, 0, a_count < b_count ? a_count : b_count, false };
	size_t count = a_count * b_count, skip;
	double *ratios;

	if (count == 0)
		return e;
	ratios = rh_scratch(count, sizeof(*ratios));
	for (size_t i = 0; i < a_count; i++)
		for (size_t j = 0; j < b_count; j++)
			ratios[i * b_count + j] = a[i] / b[j];
	rh_stat_sort(ratios, count);
	skip = apart_skip(a_count, b_count, &e.level);
	e.ratio = rh_stat_median(ratios, count);
	e.lo = ratios[skip];
	e.hi = ratios[count - 1 - skip];
	assert(!(e.lo > e.ratio) && !(e.ratio > e.hi));
	free(ratios);
	return e;
}

enum rh_verdict rh_verdict(const struct rh_estimate *e, bool lower_is_better)
{
	assert(!(e->lo > e->hi));
	if (!(e->level >= RH_LEVEL_MIN) || !isfinite(e->lo) || !isfinite(e->hi))
		return RH_CANNOT_TELL;
	if (e->lo >= 1 - RH_SAME_SHARE && e->hi <= 1 + RH_SAME_SHARE)
		return RH_SAME;
	if (e->hi < 1)
		return lower_is_better ? RH_BETTER : RH_WORSE;
	if (e->lo > 1)
		return lower_is_better ? RH_WORSE : RH_BETTER;
	return RH_CANNOT_TELL;
}
