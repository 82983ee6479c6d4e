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
#include "alloc/base/random.h"
#include "ci/gate/slow.h"

enum { BLOCKS = 40, PAIRS = 24, PAIRS_MOST = 64 };

static double values[PAIRS_MOST * BLOCKS];
static uint32_t pair_of[PAIRS_MOST * BLOCKS];

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
 * so the interval is from the 46th to the 75th value. Every value is there three times. The layouts
 * of three pairs that agree may still differ by 0.5 % each, at the same alpha. */
static void interval_is_the_exact_one(void **state)
{
	const double zero[3] = { 0 };
	struct rh_gate_look look = look_at(&rule, 3, zero, 0.001);
	double layout = 0.005 / sqrt(3) * 2.5758; /* of the normal distribution */

	(void)state;
	assert_int_equal(look.blocks, 120);
	assert_int_equal(look.pairs, 3);
	assert_float_equal(look.median, 0, 1e-12);
	assert_float_equal(look.lo, -hypot((19.5 - 15) * 0.001, layout), 1e-6);
	assert_float_equal(look.hi, hypot((24 - 19.5) * 0.001, layout), 1e-6);
	assert_int_equal(look.verdict, RH_GATE_PASS);
	assert_false(look.more);
	assert_false(look.by_pairs);
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
		at_margin[p] = rh_gate_margin(rule.threshold) + (p % 2 ? 0.004 : -0.004);
	look = look_at(&rule, PAIRS - 1, at_margin, 0.001);
	assert_true(look.more);
	look = look_at(&rule, PAIRS, at_margin, 0.001);
	assert_int_equal(look.verdict, RH_GATE_INCONCLUSIVE);
	assert_false(look.more);
}

/* Sixteen pairs, of which four are not slower at all: the lower end is above the margin. */
static void a_layout_in_four_is_no_regression(void **state)
{
	double odd[16];
	struct rh_gate_look look;

	(void)state;
	for (int p = 0; p < 16; p++)
		odd[p] = p % 4 == 3 ? 0.012 : 0.05;
	look = look_at(&rule, 16, odd, 0.0002);
	assert_true(look.by_pairs);
	assert_true(look.lo > look.margin);
	assert_int_equal(look.pairs_above, 12);
	assert_true(look.layout);
	assert_int_equal(look.verdict, RH_GATE_INCONCLUSIVE);
	odd[3] = 0.05;
	assert_int_equal(look_at(&rule, 16, odd, 0.0002).verdict, RH_GATE_FAIL);
}

/* A margin that is small beside the noise: 24 pairs around 1.2 % that differ by 2 % may all be of
 * identical code, and do not fail at a limit of 0.5 %; with differences of 0.8 % they do. */
static void identity_is_excluded_before_a_failure(void **state)
{
	struct rh_gate_rule small = rule;
	double centre[PAIRS];
	struct rh_gate_look look;

	(void)state;
	small.threshold = 0.005;
	for (int p = 0; p < PAIRS; p++)
		centre[p] = 0.013 + (p - PAIRS / 2 + 0.5) * 0.0028;
	look = look_at(&small, PAIRS, centre, 0.0001);
	assert_true(look.lo > look.margin);
	assert_true(look.maybe_same);
	assert_int_equal(look.verdict, RH_GATE_INCONCLUSIVE);
	for (int p = 0; p < PAIRS; p++)
		centre[p] = 0.013 + (p - PAIRS / 2 + 0.5) * 0.0012;
	look = look_at(&small, PAIRS, centre, 0.0001);
	assert_false(look.maybe_same);
	assert_int_equal(look.verdict, RH_GATE_FAIL);
}

/* Pairs far apart, blocks close together: 3 x 40 blocks are 3 facts. */
static void clustered_noise_is_judged_by_pairs(void **state)
{
	double far[9] = { 0.04, 0.08, 0.05, 0.09, 0.06, 0.10, 0.05, 0.07, 0.08 };
	struct rh_gate_look look = look_at(&rule, 3, far, 0.0001);

	(void)state;
	assert_true(look.by_pairs);
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

/* Six pairs that lie 1 % apart: no interval of ranks has six values at 0.005, Student's is +- 1.7
 * %. What has no interval of ranks passes, it does not fail; and none is infinite from two pairs
 * on.
 */
static void few_pairs_pass_by_their_mean(void **state)
{
	double near[6] = { -0.010, 0.011, -0.009, 0.012, -0.011, 0.008 };
	struct rh_gate_look look = look_at(&rule, 6, near, 0.0001);

	(void)state;
	assert_true(look.by_pairs && look.too_few);
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
	return ((double)(rh_random(random) >> 11) + 0.5) * 0x1p-53;
}

static double normal(uint64_t *random)
{
	return sqrt(-2 * log(uniform(random))) * cos(2 * M_PI * uniform(random));
}

/* The noise of a machine: blocks around their pair's median, as multiples of their scale (absolute
 * values, 1/64, 3/64 ... of them below), and what pairs of the same code differ by. Measured with
 * glibc on both sides, twelve recorded programs: `tails[0]` in one run of them beside a load and
 * `tails[1]` in another, with which the constants of decide.c were not chosen. */
struct noise {
	int tails;
	double block, pair; /* scale of a block, standard deviation of a pair */
};
static const double tails[2][32] = {
	{ 0.0,	0.03, 0.05, 0.09, 0.12, 0.15, 0.19, 0.23, 0.28, 0.32, 0.37,
	  0.43, 0.48, 0.55, 0.61, 0.66, 0.69, 0.74, 0.82, 0.92, 1.02, 1.15,
	  1.3,	1.49, 1.82, 2.3,  3.09, 4.43, 7.15, 10.9, 16.3, 27.1 },
	{ 0.01, 0.03, 0.05, 0.08, 0.12, 0.15, 0.19, 0.23, 0.28, 0.32, 0.37,
	  0.41, 0.47, 0.53, 0.6,  0.66, 0.69, 0.75, 0.8,  0.89, 1.02, 1.12,
	  1.26, 1.47, 1.62, 1.94, 2.33, 2.98, 3.98, 5.56, 10.1, 20.1 },
};

/* git on a quiet machine: three pairs differ by 0.41 % from the next three, and so do these */
static const struct noise quiet = { 1, 0.020, 0.006 };
/* ... and beside a load */
static const struct noise busy = { 1, 0.038, 0.010 };

static double drawn(const struct noise *noise, uint64_t *random)
{
	double at = uniform(random) * 32;
	unsigned low = (unsigned)at, high = low < 31 ? low + 1 : 31;
	double value = tails[noise->tails][low] +
		       (at - low) * (tails[noise->tails][high] - tails[noise->tails][low]);

	return noise->block * (rh_random(random) & 1 ? value : -value);
}

struct tally {
	unsigned verdicts[5];
	double pairs;
};

static enum rh_gate_verdict one_gate(const struct noise *noise, double effect, uint64_t *random,
				     struct tally *tally)
{
	static const struct rh_gate_rule by = { .threshold = 0.05,
						.alpha = 0.005,
						.tests = 1,
						.pairs_min = 3,
						.pairs_max = PAIRS_MOST };
	struct rh_gate_look look = { .more = true };

	for (unsigned p = 0; p < PAIRS_MOST && look.more; p++) {
		/* one process in twenty is far off */
		double wide = uniform(random) < 0.05 ? 3 : 1;
		double layout = effect + noise->pair * wide * normal(random);

		for (int b = 0; b < BLOCKS; b++) {
			pair_of[p * BLOCKS + b] = p;
			values[p * BLOCKS + b] = layout + drawn(noise, random);
		}
		rh_gate_decide(&by, values, pair_of, (p + 1) * BLOCKS, &look);
	}
	tally->pairs += look.pairs;
	return look.verdict;
}

static struct tally simulate(const struct noise *noise, double more, unsigned gates)
{
	uint64_t random = noise->tails ? 20261130 : 20260101;
	struct tally tally = { .pairs = 0 };

	for (unsigned g = 0; g < gates; g++)
		tally.verdicts[one_gate(noise, log1p(more), &random, &tally)]++;
	tally.pairs /= gates;
	return tally;
}

/* A pair takes 0.4 s on a quiet machine, a gate 5 s at most. */
static void identical_code_does_not_fail(void **state)
{
	const struct noise *const both[2] = { &quiet, &busy };

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct tally tally = simulate(both[i], 0, 1000);

		assert_int_equal(tally.verdicts[RH_GATE_FAIL], 0);
		assert_true(tally.verdicts[RH_GATE_PASS] >= 995);
		assert_true(tally.pairs < 6);
	}
}

static void the_threshold_is_found(void **state)
{
	const struct noise *const both[2] = { &quiet, &busy };

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct tally tally = simulate(both[i], 0.05, 500);

		assert_int_equal(tally.verdicts[RH_GATE_PASS], 0);
		assert_true(tally.verdicts[RH_GATE_FAIL] >= 498);
	}
}

/* 3 % lie a fifth above the margin, 2 % a fifth below. */
static void beside_the_margin_it_takes_more_pairs(void **state)
{
	struct tally tally = simulate(&quiet, 0.03, 400);

	(void)state;
	assert_true(tally.verdicts[RH_GATE_FAIL] >= 390);
	assert_true(tally.verdicts[RH_GATE_PASS] <= 2);
	assert_true(tally.pairs < 16);
	tally = simulate(&busy, 0.03, 150);
	assert_true(tally.verdicts[RH_GATE_FAIL] >= 135);
	assert_true(tally.verdicts[RH_GATE_PASS] <= 3);
	tally = simulate(&quiet, 0.02, 300);
	assert_true(tally.verdicts[RH_GATE_PASS] >= 285);
	assert_true(tally.verdicts[RH_GATE_FAIL] <= 3);
}

static void one_percent_hardly_fails(void **state)
{
	struct tally tally = simulate(&busy, 0.01, 500);

	(void)state;
	assert_true(tally.verdicts[RH_GATE_FAIL] <= 1);
}

/* Twelve pairs at 1 %, of which the slopes are 3.5 .. 4.6 by 0.1: the centre is 4.05, and
 * Wilcoxon's table has 13 for 0.025. Of means of two slopes, 1, 1, 2, 2, 3, 3, 4 ...
 * are 3.5, 3.55, 3.6, so the 14th of the 78 is 3.8. */
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
	assert_float_equal(slow.lo, exp(3.8 * log(1.05) / 4.05), 1e-12);
	assert_float_equal(slow.hi, exp(4.3 * log(1.05) / 4.05), 1e-12);
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
		cmocka_unit_test(a_layout_in_four_is_no_regression),
		cmocka_unit_test(identity_is_excluded_before_a_failure),
		cmocka_unit_test(clustered_noise_is_judged_by_pairs),
		cmocka_unit_test(few_pairs_pass_by_their_mean),
		cmocka_unit_test(chances_of_signs_are_exact),
		cmocka_unit_test(nothing_measured_is_no_pass),
		cmocka_unit_test(disturbance_is_compared_exactly),
		cmocka_unit_test(stored_intervals_add_in_squares),
		cmocka_unit_test(the_share_for_a_time_is_exact),
		cmocka_unit_test(identical_code_does_not_fail),
		cmocka_unit_test(the_threshold_is_found),
		cmocka_unit_test(beside_the_margin_it_takes_more_pairs),
		cmocka_unit_test(one_percent_hardly_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
