/*
 * test_stat.c - order statistics against values worked out by hand (binomial sums).
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness/result/stat.h"

#define NEAR(a, b) assert_true(fabs((a) - (b)) < 1e-12)

static void medians(void **state)
{
	double odd[] = { 9, 1, 5 }, even[] = { 4, 1, 3, 2 };

	(void)state;
	rh_stat_sort(odd, 3);
	rh_stat_sort(even, 4);
	NEAR(rh_stat_median(odd, 3), 5);
	NEAR(rh_stat_median(even, 4), 2.5);
	assert_true(isnan(rh_stat_median(odd, 0)));
}

/* Unmeasured values sort after the numbers and change no statistic. */
static void not_a_number(void **state)
{
	double values[] = { NAN, 3, NAN, 1, 2, -INFINITY, NAN }, none[] = { NAN, NAN };
	struct rh_interval interval;

	(void)state;
	interval = rh_stat_interval(values, 7, 0.95);
	assert_int_equal(interval.n, 4);
	NEAR(interval.median, 1.5);
	NEAR(interval.hi, 3);
	assert_int_equal(rh_stat_sort(values, 7), 4);
	assert_true(isinf(values[0]) && values[1] == 1 && values[3] == 3 && isnan(values[4]) &&
		    isnan(values[6]));
	assert_int_equal(rh_stat_sort(none, 2), 0);
	interval = rh_stat_interval(none, 2, 0.95);
	assert_int_equal(interval.n, 0);
	assert_true(isnan(interval.median));
}

/* P(fewer than k heads of n): 1/32, 6/32; 11/1024; (1 + 20 + 190 + 1140 + 4845 + 15504) / 2^20. */
static void tails(void **state)
{
	(void)state;
	NEAR(rh_stat_sign_tail(5, 0), 0);
	NEAR(rh_stat_sign_tail(5, 1), 1.0 / 32);
	NEAR(rh_stat_sign_tail(5, 2), 6.0 / 32);
	NEAR(rh_stat_sign_tail(5, 6), 1);
	NEAR(rh_stat_sign_tail(10, 2), 11.0 / 1024);
	NEAR(rh_stat_sign_tail(20, 6), 21700.0 / 1048576);
	/* 2^-2000 is no double; the tail at the centre is just below a half. */
	assert_true(fabs(rh_stat_sign_tail(2001, 1001) - 0.5) < 1e-9);
}

/* The classic table of sign-test ranks at 95 % (two-sided, so 2.5 % a tail). */
static void ranks(void **state)
{
	static const struct {
		size_t n, k;
	} table[] = {
		{ 1, 0 },  { 5, 0 },  { 6, 1 },	 { 8, 1 },   { 9, 2 },	 { 11, 2 },  { 12, 3 },
		{ 15, 4 }, { 20, 6 }, { 25, 8 }, { 30, 10 }, { 40, 14 }, { 50, 18 }, { 100, 40 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		assert_int_equal(rh_stat_sign_rank(table[i].n, 0.025), table[i].k);
	/* 8 of 8 beyond the margin: 2^-8 = 0.0039 is within 0.005. A tail met exactly counts. */
	assert_int_equal(rh_stat_sign_rank(8, 0.005), 1);
	assert_int_equal(rh_stat_sign_rank(7, 0.005), 0);
	assert_int_equal(rh_stat_sign_rank(3, 0.125), 1);
}

/* Student's table, one-sided. */
static void student(void **state)
{
	static const struct {
		size_t freedom;
		double tail, t;
	} table[] = {
		{ 1, 0.005, 63.6567 }, { 2, 0.005, 9.92484 }, { 4, 0.005, 4.60409 },
		{ 5, 0.025, 2.57058 }, { 9, 0.005, 3.24984 }, { 9, 0.0005, 4.78091 },
		{ 30, 0.05, 1.69726 }, { 3, 0.5, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		assert_true(fabs(rh_stat_student(table[i].freedom, table[i].tail) - table[i].t) <
			    1e-4 * (1 + table[i].t));
}

static void intervals(void **state)
{
	static const double five[] = { 30, 10, 50, 20, 40 };
	static const double ten[] = { 10, 9, 8, 7, 6, 5, 4, 3, 2, 1 };
	struct rh_interval x = rh_stat_interval(five, 5, 0.95);

	(void)state;
	NEAR(x.median, 30);
	NEAR(x.lo, 10);
	NEAR(x.hi, 50);
	NEAR(x.level, 0.9375);
	assert_int_equal(x.n, 5);
	x = rh_stat_interval(ten, 10, 0.95);
	NEAR(x.median, 5.5);
	NEAR(x.lo, 2);
	NEAR(x.hi, 9);
	NEAR(x.level, 1 - 22.0 / 1024);
	NEAR(x.min, 1);
	NEAR(x.max, 10);
	x = rh_stat_interval(ten, 1, 0.95);
	NEAR(x.lo, 10);
	NEAR(x.hi, 10);
	NEAR(x.level, 0);
	x = rh_stat_interval(ten, 0, 0.95);
	assert_true(isnan(x.median));
	assert_int_equal(x.n, 0);
}

static void normal(void **state)
{
	(void)state;
	assert_true(fabs(rh_stat_normal(0.005) - 2.5758293035) < 1e-9);
	assert_true(fabs(rh_stat_normal(1e-6) - 4.7534243088) < 1e-9);
	assert_true(fabs(rh_stat_normal(0.5)) < 1e-9);
}

/* Wilcoxon's table: the sum of ranks that is significant at 2.5 % and at 0.5 % a side, and one. */
static void signed_ranks(void **state)
{
	static const struct {
		size_t n, k, strict;
	} table[] = {
		{ 1, 0, 0 },	{ 5, 0, 0 },	{ 6, 1, 0 },	  { 7, 3, 0 },	  { 8, 4, 1 },
		{ 9, 6, 2 },	{ 10, 9, 4 },	{ 12, 14, 8 },	  { 15, 26, 16 }, { 16, 30, 20 },
		{ 20, 53, 38 }, { 25, 90, 69 }, { 30, 138, 110 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		assert_int_equal(rh_stat_signed_rank(table[i].n, 0.025), table[i].k);
		assert_int_equal(rh_stat_signed_rank(table[i].n, 0.005), table[i].strict);
	}
	assert_int_equal(rh_stat_signed_rank(3, 0.125), 1); /* a tail met exactly counts */
	/* the normal approximation, where it is good: 20100 / 2 - 1.96 x 820.5 = 8442 */
	assert_in_range(rh_stat_signed_rank(RH_STAT_RANKS_MOST, 0.025), 8438, 8446);
}

static void means_of_pairs(void **state)
{
	const double values[] = { 4, 1, 3 };
	double means[6];

	(void)state;
	assert_int_equal(rh_stat_pair_means(values, 3, means), 6);
	for (int i = 0; i < 6; i++)
		NEAR(means[i], ((const double[]){ 1, 2, 2.5, 3, 3.5, 4 })[i]);
}

/* Seven values: the third smallest and largest of 28 means of two; with six the range, as by signs;
 * with five that, at the level it reaches. A value that is not there does not count. */
static void centres(void **state)
{
	const double values[] = { 3, NAN, 1, 2, 100, 4, 5, 6 };
	struct rh_interval seven = rh_stat_centre(values, 8, 0.95);
	struct rh_interval six = rh_stat_centre(values, 7, 0.95);
	struct rh_interval five = rh_stat_centre(values, 6, 0.95);

	(void)state;
	assert_int_equal(seven.n, 7);
	NEAR(seven.median, 4);
	NEAR(seven.lo, 2);
	NEAR(seven.hi, 52.5);
	NEAR(seven.level, 1 - 2 * 3 / 128.0); /* rank sums of 0, 1 and 2, one way each */
	NEAR(rh_stat_signed_tail(7, 3), 3 / 128.0);
	NEAR(six.lo, 1);
	NEAR(six.hi, 100);
	NEAR(six.level, 1 - 2 / 64.0);
	NEAR(five.lo, 1);
	NEAR(five.hi, 100);
	NEAR(five.level, 1 - 2 / 32.0);
	assert_int_equal(rh_stat_centre(values, 0, 0.95).n, 0);
}

/* Six fair coins a round: of 4096 patterns of signs around 0 the interval of 12 leaves it out in as
 * many as its level says. */
static void centres_hold_what_they_say(void **state)
{
	double values[12];
	unsigned out = 0;
	struct rh_interval x = { .level = 0 };

	(void)state;
	for (unsigned signs = 0; signs < 4096; signs++) {
		for (int i = 0; i < 12; i++) /* no two sums of ranks tie with zero by chance */
			values[i] = (signs >> i & 1 ? 1 : -1) * (1 + i + 1e-3 * i * i);
		x = rh_stat_centre(values, 12, 0.95);
		out += x.lo > 0 || x.hi < 0;
	}
	NEAR(out / 4096.0, 1 - x.level);
	assert_true(x.level >= 0.95);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(medians),
		cmocka_unit_test(not_a_number),
		cmocka_unit_test(tails),
		cmocka_unit_test(ranks),
		cmocka_unit_test(student),
		cmocka_unit_test(intervals),
		cmocka_unit_test(normal),
		cmocka_unit_test(signed_ranks),
		cmocka_unit_test(means_of_pairs),
		cmocka_unit_test(centres),
		cmocka_unit_test(centres_hold_what_they_say),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
