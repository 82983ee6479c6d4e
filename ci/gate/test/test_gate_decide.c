/*
 * test_gate_decide.c - the gate's arithmetic against exact tables, and its error rates by
 * simulation with fixed seeds. Nothing here is timed.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "ci/gate/decide.h"
#include "ci/gate/random.h"
#include "ci/gate/slow.h"

enum { BLOCKS = 40, PAIRS = 24 };

static double values[PAIRS * BLOCKS];
static uint32_t pair_of[PAIRS * BLOCKS];

static const struct rh_gate_rule rule = {
	.threshold = 0.05, .alpha = 0.005, .tests = 1, .pairs_min = 3, .pairs_max = 24
};

/* `pairs` pairs of BLOCKS blocks: centre of the pair, and -20 .. +19 steps of `step`. */
static struct rh_gate_look look_at(const struct rh_gate_rule *by, unsigned pairs,
				   const double *centre, double step)
{
	struct rh_gate_look look;
	size_t n = 0;

	for (unsigned p = 0; p < pairs; p++)
		for (int b = 0; b < BLOCKS; b++, n++) {
			pair_of[n] = p;
			values[n] = centre[p] + (b - BLOCKS / 2 + 0.5) * step;
		}
	rh_gate_decide(by, values, pair_of, n, &look);
	return look;
}

static void margin_is_half_the_threshold(void **state)
{
	(void)state;
	assert_float_equal(rh_gate_margin(0.05), log(1.025), 1e-15);
	assert_float_equal(rh_gate_margin(0.10), log(1.05), 1e-15);
}

/* 120 blocks, alpha 0.005: the largest k with sum over i < k of C(120, i) / 2^120 <= 0.005 is 46,
 * so the interval is from the 46th to the 75th value. Every value is there three times. */
static void interval_is_the_exact_one(void **state)
{
	const double zero[3] = { 0 };
	struct rh_gate_look look = look_at(&rule, 3, zero, 0.001);

	(void)state;
	assert_int_equal(look.blocks, 120);
	assert_int_equal(look.pairs, 3);
	assert_float_equal(look.median, 0, 1e-12);
	assert_float_equal(look.lo, (15 - 19.5) * 0.001, 1e-12);
	assert_float_equal(look.hi, (24 - 19.5) * 0.001, 1e-12);
	assert_int_equal(look.verdict, RH_GATE_PASS);
	assert_false(look.more);
	assert_false(look.clustered);
}

static void bonferroni_widens_the_side_that_fails(void **state)
{
	const double zero[3] = { 0 };
	struct rh_gate_rule many = rule;
	struct rh_gate_look one = look_at(&rule, 3, zero, 0.001), hundred;

	(void)state;
	many.tests = 100;
	hundred = look_at(&many, 3, zero, 0.001);
	assert_true(hundred.lo < one.lo);
	assert_float_equal(hundred.hi, one.hi, 0);
}

static void fails_above_the_margin(void **state)
{
	const double slow[3] = { 0.05, 0.05, 0.05 };
	struct rh_gate_look look = look_at(&rule, 3, slow, 0.0005);

	(void)state;
	assert_int_equal(look.verdict, RH_GATE_FAIL);
	assert_int_equal(look.pairs_above, 3);
}

static void two_pairs_are_too_few(void **state)
{
	const double slow[2] = { 0.2, 0.2 };
	struct rh_gate_look look = look_at(&rule, 2, slow, 0.0001);

	(void)state;
	assert_int_equal(look.verdict, RH_GATE_INCONCLUSIVE);
	assert_true(look.more);
}

static void ends_inconclusive_at_the_last_pair(void **state)
{
	double at_margin[PAIRS];
	struct rh_gate_look look;

	(void)state;
	for (int p = 0; p < PAIRS; p++)
		at_margin[p] = rh_gate_margin(rule.threshold);
	look = look_at(&rule, PAIRS - 1, at_margin, 0.001);
	assert_true(look.more);
	look = look_at(&rule, PAIRS, at_margin, 0.001);
	assert_int_equal(look.verdict, RH_GATE_INCONCLUSIVE);
	assert_false(look.more);
}

/* Pooled the lower end is above the margin, but one of four pairs is not slower at all. */
static void one_layout_is_no_regression(void **state)
{
	const double odd[4] = { 0.0275, 0.0275, 0.0275, 0.0120 };
	struct rh_gate_look look;
	size_t n = 0;

	(void)state;
	for (unsigned p = 0; p < 4; p++)
		for (int b = 0; b < (p == 3 ? 10 : 100); b++, n++) {
			pair_of[n] = p;
			values[n] = odd[p] + (b % 10 - 4.5) * 0.0002;
		}
	rh_gate_decide(&rule, values, pair_of, n, &look);
	assert_false(look.clustered);
	assert_true(look.lo > look.margin);
	assert_int_equal(look.pairs_above, 3);
	assert_true(look.layout);
	assert_int_equal(look.verdict, RH_GATE_INCONCLUSIVE);
}

/* Pairs far apart, blocks close together: 3 x 40 blocks are 3 facts. */
static void clustered_noise_is_judged_by_pairs(void **state)
{
	double far[9] = { 0.04, 0.08, 0.05, 0.09, 0.06, 0.10, 0.05, 0.07, 0.08 };
	struct rh_gate_look look = look_at(&rule, 3, far, 0.0001);

	(void)state;
	assert_true(look.clustered);
	assert_int_equal(look.verdict, RH_GATE_INCONCLUSIVE);
	assert_int_equal(look_at(&rule, 7, far, 0.0001).verdict, RH_GATE_INCONCLUSIVE);
	/* 8 of 8: 2^-8 = 0.0039 <= 0.005, 7 of 7 are not enough */
	look = look_at(&rule, 8, far, 0.0001);
	assert_int_equal(look.verdict, RH_GATE_FAIL);
	assert_float_equal(look.lo, 0.04, 1e-9);
	assert_true(look.hi < 0.10 && look.hi > 0.08); /* Student's is the narrower one */
	far[2] = 0.01;
	assert_int_equal(look_at(&rule, 8, far, 0.0001).verdict, RH_GATE_INCONCLUSIVE);
}

/* Six pairs that lie 1 % apart: no sign interval has six values at 0.005, Student's is +- 1.7 %.
 * What has no interval of signs passes, it does not fail; and none is infinite from two pairs on.
 */
static void few_pairs_pass_by_their_mean(void **state)
{
	double near[6] = { -0.010, 0.011, -0.009, 0.012, -0.011, 0.008 };
	struct rh_gate_look look = look_at(&rule, 6, near, 0.0001);

	(void)state;
	assert_true(look.clustered && look.too_few);
	assert_int_equal(look.verdict, RH_GATE_PASS);
	assert_true(look.hi > 0.01 && look.hi < look.margin && look.lo > -0.03);
	assert_int_equal(look_at(&rule, 3, near, 0.0001).verdict, RH_GATE_INCONCLUSIVE);
	assert_true(isfinite(look_at(&rule, 2, near, 0.0001).hi));
	for (int i = 0; i < 6; i++)
		near[i] += 0.06;
	look = look_at(&rule, 6, near, 0.0001);
	assert_true(look.lo > look.margin);
	assert_int_equal(look.verdict, RH_GATE_INCONCLUSIVE);
}

/* Three coins: none beyond passes, all three fail. Worked out by hand. */
static void chances_of_signs_are_exact(void **state)
{
	struct rh_gate_chance chance = rh_gate_chance_of_signs(0.5, 0.13, 3, 3);

	(void)state;
	assert_float_equal(chance.pass, 0.125, 1e-12);
	assert_float_equal(chance.fail, 0.125, 1e-12);
	chance = rh_gate_chance_of_signs(0.5, 0.13, 3, 4); /* 4 of 4 fail, 3 of 3 go on */
	assert_float_equal(chance.pass, 0.125, 1e-12);
	assert_float_equal(chance.fail, 0.0625, 1e-12);
	chance = rh_gate_chance_of_signs(0, 0.02, 6, 24);
	assert_float_equal(chance.pass, 1, 1e-12);
	chance = rh_gate_chance_of_signs(0.9, 0.02, 6, 24);
	assert_true(chance.fail > 0.97 && chance.pass < 0.001);
	chance = rh_gate_chance_of_signs(0.1, 0.02, 6, 24);
	assert_true(chance.fail < 1e-5 && chance.pass > 0.95);
}

static void nothing_measured_is_no_pass(void **state)
{
	struct rh_gate_look look;

	(void)state;
	rh_gate_decide(&rule, values, pair_of, 0, &look);
	assert_int_equal(look.verdict, RH_GATE_INCONCLUSIVE);
	assert_true(isinf(look.lo) && isinf(look.hi) && isnan(look.median));
}

/* Fair coins, 0.005 on each side: 8 of 8 (probability 0.0039) are uneven, 7 of 7 (0.0078) and
 * 9 or more of 10 (0.0107) are not. */
static void disturbance_is_compared_exactly(void **state)
{
	(void)state;
	assert_true(rh_gate_evenly_disturbed(0, 0));
	assert_true(rh_gate_evenly_disturbed(5, 10));
	assert_true(rh_gate_evenly_disturbed(1, 10));
	assert_true(rh_gate_evenly_disturbed(0, 7));
	assert_false(rh_gate_evenly_disturbed(0, 8));
	assert_false(rh_gate_evenly_disturbed(8, 8));
	assert_false(rh_gate_evenly_disturbed(700, 1000));
	assert_true(rh_gate_evenly_disturbed(510, 1000));
}

/* 0.03 +- 0.004 less 0.02 +- 0.003: 0.01 +- 0.005. */
static void stored_intervals_add_in_squares(void **state)
{
	struct rh_gate_look look = {
		.median = 0.03, .lo = 0.026, .hi = 0.034, .pairs = 8, .margin = rh_gate_margin(0.05)
	};

	(void)state;
	rh_gate_decide_stored(&rule, 0.02, 0.003, &look);
	assert_float_equal(look.median, 0.01, 1e-12);
	assert_float_equal(look.lo, 0.005, 1e-12);
	assert_float_equal(look.hi, 0.015, 1e-12);
	assert_int_equal(look.verdict, RH_GATE_PASS);
	look = (struct rh_gate_look){
		.median = 0.09, .lo = 0.086, .hi = 0.094, .pairs = 8, .margin = rh_gate_margin(0.05)
	};
	rh_gate_decide_stored(&rule, 0.02, 0.003, &look);
	assert_int_equal(look.verdict, RH_GATE_FAIL);
}

/* ---- error rates, as measured noise would make them ---- */

static double uniform(uint64_t *random)
{
	return ((double)(rh_gate_random(random) >> 11) + 0.5) * 0x1p-53;
}

static double normal(uint64_t *random)
{
	return sqrt(-2 * log(uniform(random))) * cos(2 * M_PI * uniform(random));
}

/* Blocks of sd 6 %, one in ten of them three times as wide, pairs of sd 0.4 %. */
static enum rh_gate_verdict one_gate(double effect, uint64_t *random)
{
	struct rh_gate_look look = { .more = true };

	for (unsigned p = 0; p < PAIRS && look.more; p++) {
		double layout = effect + 0.004 * normal(random);

		for (int b = 0; b < BLOCKS; b++) {
			double wide = uniform(random) < 0.1 ? 3 : 1;

			pair_of[p * BLOCKS + b] = p;
			values[p * BLOCKS + b] = layout + 0.06 * wide * normal(random);
		}
		rh_gate_decide(&rule, values, pair_of, (p + 1) * BLOCKS, &look);
	}
	return look.verdict;
}

static void simulate(double effect, unsigned gates, unsigned verdicts[5])
{
	uint64_t random = 20260101;

	for (int v = 0; v < 5; v++)
		verdicts[v] = 0;
	for (unsigned g = 0; g < gates; g++)
		verdicts[one_gate(effect, &random)]++;
}

static void identical_code_does_not_fail(void **state)
{
	unsigned verdicts[5];

	(void)state;
	simulate(0, 2000, verdicts);
	assert_int_equal(verdicts[RH_GATE_FAIL], 0);
	assert_true(verdicts[RH_GATE_PASS] >= 1900);
}

static void the_threshold_is_found(void **state)
{
	unsigned verdicts[5];

	(void)state;
	simulate(log(1.05), 2000, verdicts);
	assert_int_equal(verdicts[RH_GATE_PASS], 0);
	assert_true(verdicts[RH_GATE_FAIL] >= 1900);
}

static void one_percent_hardly_fails(void **state)
{
	unsigned verdicts[5];

	(void)state;
	simulate(log(1.01), 1000, verdicts);
	assert_true(verdicts[RH_GATE_FAIL] <= 2);
}

/* Twelve pairs at 1 %, of which the slopes are 3.5 .. 4.6 by 0.1: the median is 4.05, and the
 * largest k with sum over i < k of C(12, i) / 2^12 <= 0.025 is 3: from the 3rd to the 10th. */
static void the_share_for_a_time_is_exact(void **state)
{
	struct rh_gate_dose doses[12];
	struct rh_gate_slow slow = { .share = 0 };

	(void)state;
	for (int i = 0; i < 12; i++)
		doses[i] = (struct rh_gate_dose){ 0.01, 0.01 * (4.6 - 0.1 * i) };
	assert_true(rh_gate_slow_of(doses, 12, 0.05, &slow));
	assert_int_equal(slow.pairs, 12);
	assert_float_equal(slow.share, log(1.05) / 4.05, 1e-12);
	assert_float_equal(slow.ratio, 1.05, 1e-12);
	assert_float_equal(slow.lo, exp(3.7 * log(1.05) / 4.05), 1e-12);
	assert_float_equal(slow.hi, exp(4.4 * log(1.05) / 4.05), 1e-12);
	for (int i = 0; i < 12; i++)
		doses[i].log_ratio = (i - 8) * 0.001;
	assert_false(rh_gate_slow_of(doses, 12, 0.05, &slow));
	assert_false(rh_gate_slow_of(doses, 0, 0.05, &slow));
	assert_true(rh_gate_slow_of(&(struct rh_gate_dose){ 0.02, 0.04 }, 1, 0.05, &slow));
	assert_true(isinf(slow.hi) && slow.lo == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(margin_is_half_the_threshold),
		cmocka_unit_test(interval_is_the_exact_one),
		cmocka_unit_test(bonferroni_widens_the_side_that_fails),
		cmocka_unit_test(fails_above_the_margin),
		cmocka_unit_test(two_pairs_are_too_few),
		cmocka_unit_test(ends_inconclusive_at_the_last_pair),
		cmocka_unit_test(one_layout_is_no_regression),
		cmocka_unit_test(clustered_noise_is_judged_by_pairs),
		cmocka_unit_test(few_pairs_pass_by_their_mean),
		cmocka_unit_test(chances_of_signs_are_exact),
		cmocka_unit_test(nothing_measured_is_no_pass),
		cmocka_unit_test(disturbance_is_compared_exactly),
		cmocka_unit_test(stored_intervals_add_in_squares),
		cmocka_unit_test(the_share_for_a_time_is_exact),
		cmocka_unit_test(identical_code_does_not_fail),
		cmocka_unit_test(the_threshold_is_found),
		cmocka_unit_test(one_percent_hardly_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
