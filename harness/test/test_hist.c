/*
 * test_hist.c - histograms, the sampler and .hgrm against answers known beforehand.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "harness/probe/hgrm.h"
#include "harness/control/hist.h"
#include "harness/control/latency.h"
#include "harness/control/sampler.h"

static struct rh_hist hist, other;
static struct rh_hist_sum sum;

static void clear(void)
{
	memset(&hist, 0, sizeof(hist));
	memset(&other, 0, sizeof(other));
	memset(&sum, 0, sizeof(sum));
}

/* Every bucket begins where the one before ends, and each value lands in its own. */
static void buckets_tile_the_numbers(void **state)
{
	(void)state;
	for (unsigned i = 0; i + 1 < RH_HIST_BUCKETS; i++) {
		assert_true(rh_hist_low(i) <= rh_hist_high(i));
		assert_true(rh_hist_high(i) + 1 == rh_hist_low(i + 1));
		assert_int_equal(rh_hist_index(rh_hist_low(i)), i);
		assert_int_equal(rh_hist_index(rh_hist_high(i)), i);
		/* 1/32 of its value wide at most */
		assert_true((rh_hist_high(i) - rh_hist_low(i)) * 32 <= rh_hist_low(i));
	}
	assert_int_equal(rh_hist_index(0), 0);
	assert_int_equal(rh_hist_index(31), 31);
	assert_int_equal(rh_hist_index(UINT64_MAX), RH_HIST_BUCKETS - 1);
	assert_int_equal(rh_hist_index((1ull << RH_HIST_TOP_BITS) - 1), RH_HIST_BUCKETS - 1);
}

/* Below 32 every value has its bucket: quantiles are the exact order statistics. */
static void small_values_are_exact(void **state)
{
	(void)state;
	clear();
	for (unsigned v = 1; v <= 20; v++)
		rh_hist_add(&hist, v);
	rh_hist_merge(&sum, &hist);
	assert_int_equal(rh_hist_quantile(&sum, .5), 10);
	assert_int_equal(rh_hist_quantile(&sum, .9), 18);
	assert_int_equal(rh_hist_quantile(&sum, .95), 19);
	assert_int_equal(rh_hist_quantile(&sum, 1), 20);
	assert_int_equal(rh_hist_quantile(&sum, 0), 1);
	assert_int_equal(sum.max, 20);
	assert_true(sum.sum == 210);
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* Values over nine powers of ten: each quantile is the true one or at most 1/32 above it. */
static void large_values_keep_the_bound(void **state)
{
	static const double q[] = { .001, .1, .5, .9, .99, .999, .9999, 1 };
	enum { N = 20000 };
	uint64_t *values = calloc(N, sizeof(*values)), x = 88172645463325252ull;

	(void)state;
	clear();
	for (int i = 0; i < N; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		values[i] = (x >> 20) >> (x % 41);
		if (values[i] >> RH_HIST_TOP_BITS)
			values[i] >>= 10;
		rh_hist_add(&hist, values[i]);
	}
	qsort(values, N, sizeof(*values), by_value);
	rh_hist_merge(&sum, &hist);
	assert_int_equal(sum.overflow, 0);
	for (size_t i = 0; i < sizeof(q) / sizeof(q[0]); i++) {
		uint64_t exact = values[(size_t)ceil(q[i] * N - 1e-9) - 1];
		uint64_t got = rh_hist_quantile(&sum, q[i]);

		assert_true(got >= exact && got - exact <= exact / 32);
	}
	free(values);
}

static void merging_is_adding(void **state)
{
	struct rh_hist_sum parts = { 0 };

	(void)state;
	clear();
	for (uint64_t v = 0; v < 5000; v++) {
		rh_hist_add(&hist, v * v);
		rh_hist_add(v % 3 ? &other : &hist, v * 7);
	}
	rh_hist_merge(&sum, &hist);
	rh_hist_merge(&sum, &other);
	rh_hist_merge(&parts, &other);
	rh_hist_merge(&parts, &hist);
	assert_memory_equal(&sum, &parts, sizeof(sum));
	assert_int_equal(sum.count, 10000);
	memset(&parts, 0, sizeof(parts));
	rh_hist_merge_sum(&parts, &sum);
	rh_hist_merge_sum(&parts, &sum);
	assert_int_equal(parts.count, 20000);
	assert_int_equal(rh_hist_quantile(&parts, .75), rh_hist_quantile(&sum, .75));
}

static void long_and_many_do_not_wrap(void **state)
{
	(void)state;
	clear();
	rh_hist_add(&hist, 1ull << 40);
	rh_hist_add(&hist, 5);
	hist.bucket[5] = UINT32_MAX;
	rh_hist_add(&hist, 5);
	assert_true(hist.bucket[5] == UINT32_MAX);
	rh_hist_merge(&sum, &hist);
	assert_int_equal(sum.overflow, 1);
	assert_true(sum.max == 1ull << 40);
	assert_true(rh_hist_at_rank(&sum, UINT64_MAX) == 1ull << 40);
	memset(&sum, 0, sizeof(sum));
	assert_int_equal(rh_hist_quantile(&sum, .5), 0);
}

/* n = 1000 values 1..1000 in buckets: ranks n q -/+ 1.96 sqrt(n q (1 - q)). */
static void intervals_are_binomial_ranks(void **state)
{
	uint64_t lo, hi;

	(void)state;
	clear();
	for (unsigned v = 0; v < 1000; v++)
		rh_hist_add(&hist, v % 20);
	rh_hist_merge(&sum, &hist);
	/* ranks 469 and 532 of values 0..19, 50 of each */
	assert_int_equal(rh_hist_interval(&sum, .5, &lo, &hi), 1);
	assert_int_equal(lo, (469 - 1) / 50);
	assert_int_equal(hi, (532 - 1) / 50);
	assert_int_equal(rh_hist_interval(&sum, .99, &lo, &hi), 1); /* just ten beyond */
	assert_int_equal(rh_hist_interval(&sum, .999, &lo, &hi), 0);
}

static void octaves_are_of_sizes(void **state)
{
	static const struct {
		uint64_t size;
		unsigned octave;
	} known[] = {
		{ 0, 0 },
		{ 1, 0 },
		{ 8, 0 },
		{ 9, 1 },
		{ 16, 1 },
		{ 17, 2 },
		{ 32, 2 },
		{ 1024, 7 },
		{ 1025, 8 },
		{ 1 << 20, 17 },
		{ (1 << 20) + 1, 18 },
		{ UINT64_MAX, 18 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		assert_int_equal(rh_latency_octave(known[i].size), known[i].octave);
}

/* A fixed seed, so the verdict is the same every time: gaps follow P(g) = p (1 - p)^(g - 1), by
 * chi-square over 64 gaps (df 63: 103 is the 99.9 % point). */
static void gaps_are_geometric(void **state)
{
	enum { N = 200000, CELLS = 64 };
	struct rh_sampler sampler;
	uint64_t seen[CELLS + 1] = { 0 };
	double chi = 0, mean = 0, p = 1. / 32, left = 1;

	(void)state;
	rh_sampler_open(&sampler, 32, 1);
	for (int i = 0; i < N; i++) {
		uint64_t gap = rh_sampler_gap(&sampler);

		assert_true(gap >= 1);
		seen[gap <= CELLS ? gap - 1 : CELLS]++;
		mean += (double)gap / N;
	}
	assert_true(fabs(mean - 32) < 5 * 32 / sqrt(N));
	for (int i = 0; i <= CELLS; i++) {
		double want = N * (i < CELLS ? left * p : left);

		chi += (seen[i] - want) * (seen[i] - want) / want;
		left *= 1 - p;
	}
	assert_true(chi < 104);
}

static void every_is_every(void **state)
{
	struct rh_sampler sampler, same;

	(void)state;
	rh_sampler_open(&sampler, 1, 99);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(rh_sampler_gap(&sampler), 1);
	rh_sampler_open(&sampler, 32, 5);
	rh_sampler_open(&same, 32, 5);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(rh_sampler_gap(&sampler), rh_sampler_gap(&same));
	rh_sampler_open(&same, 32, 6);
	for (int i = 0; i < 1000; i++)
		if (rh_sampler_gap(&sampler) != rh_sampler_gap(&same))
			return;
	fail_msg("two seeds give one stream");
}

/* A table of the format, computed by hand: 2 x 10 ticks, 1 x 20, 1 x 30, half a ns each. */
static void hgrm_is_the_format(void **state)
{
	static const char want[] = "       Value     Percentile TotalCount 1/(1-Percentile)\n\n"
				   "       5.000 0.500000000000          2           2.00\n"
				   "      10.000 0.750000000000          3           4.00\n"
				   "      15.000 1.000000000000          4\n"
				   "#[Mean    =        8.750, StdDeviation   =        4.146]\n"
				   "#[Max     =       15.000, Total count    =            4]\n"
				   "#[Buckets =           31, SubBuckets     =           32]\n";
	char *text = NULL;
	size_t bytes = 0;
	FILE *to;

	(void)state;
	clear();
	rh_hist_add(&hist, 10);
	rh_hist_add(&hist, 10);
	rh_hist_add(&hist, 20);
	rh_hist_add(&hist, 30);
	rh_hist_merge(&sum, &hist);
	to = open_memstream(&text, &bytes);
	rh_hgrm_print(&sum, 0.5, to);
	fclose(to);
	assert_string_equal(text, want);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(buckets_tile_the_numbers),
		cmocka_unit_test(small_values_are_exact),
		cmocka_unit_test(large_values_keep_the_bound),
		cmocka_unit_test(merging_is_adding),
		cmocka_unit_test(long_and_many_do_not_wrap),
		cmocka_unit_test(intervals_are_binomial_ranks),
		cmocka_unit_test(octaves_are_of_sizes),
		cmocka_unit_test(gaps_are_geometric),
		cmocka_unit_test(every_is_every),
		cmocka_unit_test(hgrm_is_the_format),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
