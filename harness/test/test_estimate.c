/*
 * test_estimate.c - intervals against exact tables, coverage by simulation with a fixed seed,
 * and the words they allow.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness/result/estimate.h"

static void paired_of_five_reaches_fifteen_sixteenths(void **state)
{
	const double a[] = { 10, 11, 12, 13, 14 }, b[] = { 10, 10, 10, 10, 10 };
	struct rh_estimate e = rh_estimate_paired(a, b, 5);

	(void)state;
	assert_true(fabs(e.ratio - 1.2) < 1e-12);
	assert_true(fabs(e.lo - 1.0) < 1e-12 && fabs(e.hi - 1.4) < 1e-12);
	assert_true(fabs(e.level - 0.9375) < 1e-12);
	assert_true(e.paired);
	assert_int_equal(e.n, 5);
}

/* Two-sided levels of the Mann-Whitney interval from its exact distribution: with m = n = 5 two
 * differences may go at each end, P(U <= 2) = 4 / 252; with 4, none: P(U <= 0) = 1 / 70. */
static void apart_matches_the_exact_table(void **state)
{
	const double a[] = { 2, 4, 8, 16, 32 }, b[] = { 1, 1, 1, 1, 1 };
	struct rh_estimate e = rh_estimate_apart(a, 5, b, 5);

	(void)state;
	assert_true(fabs(e.level - (1 - 8.0 / 252)) < 1e-12);
	assert_true(e.ratio == 8 && e.lo == 2 && e.hi == 32);
	e = rh_estimate_apart(a, 4, b, 4);
	assert_true(fabs(e.level - (1 - 2.0 / 70)) < 1e-12);
	e = rh_estimate_apart(a, 3, b, 3);
	assert_true(fabs(e.level - 0.9) < 1e-12);
	assert_true(e.lo == 2 && e.hi == 8);
	e = rh_estimate_apart(a, 1, b, 1);
	assert_true(e.level < RH_LEVEL_MIN);
}

static uint64_t seed = 1;

static double uniform(void)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (double)(seed >> 11) / 9007199254740992.0;
}

/* Long tails to one side, as timings have. */
static double noisy(void)
{
	double u = uniform();

	return 100 * (1 + 0.1 * u + (uniform() < 0.1 ? uniform() : 0));
}

static void intervals_cover_what_they_say(void **state)
{
	enum { ROUNDS = 4000, N = 7 };
	size_t apart = 0, paired = 0;
	double level_apart = 0, level_paired = 0;

	(void)state;
	for (int round = 0; round < ROUNDS; round++) {
		double a[N], b[N];
		struct rh_estimate e;

		for (int i = 0; i < N; i++) {
			a[i] = noisy();
			b[i] = noisy();
		}
		e = rh_estimate_apart(a, N, b, N);
		apart += e.lo <= 1 && 1 <= e.hi;
		level_apart = e.level;
		e = rh_estimate_paired(a, b, N);
		paired += e.lo <= 1 && 1 <= e.hi;
		level_paired = e.level;
	}
	/* Four standard errors of a share near 0.96 in 4000 rounds are 1.2 %. */
	assert_true((double)apart / ROUNDS > level_apart - 0.012);
	assert_true((double)paired / ROUNDS > level_paired - 0.012);
	assert_true(level_apart >= 0.95 && level_paired >= 0.95);
}

static void large_samples_use_the_normal_tail(void **state)
{
	double a[80], b[80];
	struct rh_estimate e;

	(void)state;
	for (int i = 0; i < 80; i++) {
		a[i] = 2 * noisy();
		b[i] = noisy();
	}
	e = rh_estimate_apart(a, 80, b, 80);
	assert_true(e.lo < 2 && 2 < e.hi);
	assert_true(e.hi / e.lo < 1.1);
	assert_true(e.level == 0.95);
}

static void nothing_gives_no_estimate(void **state)
{
	struct rh_estimate e = rh_estimate_paired(NULL, NULL, 0);

	(void)state;
	assert_true(isnan(e.ratio));
	assert_int_equal(rh_verdict(&e, true), RH_CANNOT_TELL);
	e = rh_estimate_apart(NULL, 0, NULL, 0);
	assert_true(isnan(e.ratio));
}

static void words(void **state)
{
	static const struct {
		double lo, hi, level;
		bool lower;
		enum rh_verdict verdict;
	} rows[] = {
		{ 0.7, 0.8, 0.95, true, RH_BETTER },
		{ 0.7, 0.8, 0.95, false, RH_WORSE },
		{ 1.1, 1.2, 0.95, true, RH_WORSE },
		{ 1.1, 1.2, 0.95, false, RH_BETTER },
		{ 0.99, 1.01, 0.95, true, RH_SAME },
		{ 0.985, 0.995, 0.95, true, RH_SAME },
		{ 0.9, 1.1, 0.95, true, RH_CANNOT_TELL },
		{ 0.95, 1.0, 0.95, true, RH_CANNOT_TELL },
		{ 0.7, 0.8, 0.875, true, RH_CANNOT_TELL },
		{ 0.7, 0.8, 0.9375, true, RH_BETTER },
		{ NAN, 0.8, 0.95, true, RH_CANNOT_TELL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct rh_estimate e = { 1, rows[i].lo, rows[i].hi, rows[i].level, 5, true };

		assert_int_equal(rh_verdict(&e, rows[i].lower), rows[i].verdict);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(paired_of_five_reaches_fifteen_sixteenths),
		cmocka_unit_test(apart_matches_the_exact_table),
		cmocka_unit_test(intervals_cover_what_they_say),
		cmocka_unit_test(large_samples_use_the_normal_tail),
		cmocka_unit_test(nothing_gives_no_estimate),
		cmocka_unit_test(words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
