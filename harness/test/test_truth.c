/*
 * test_truth.c - when a prediction holds, when it is off, and when there is no verdict.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>

#include "harness/result/truth.h"

static struct rh_interval around(double median, double half, double level)
{
	return (struct rh_interval){
		.median = median, .lo = median - half, .hi = median + half, .level = level, .n = 6
	};
}

static void verdicts(void **state)
{
	static const struct {
		double predicted, p_half, observed, o_half, slack, level;
		enum rh_truth_verdict verdict;
		enum rh_truth_cause cause;
	} rows[] = {
		{ -100, 5, -90, 5, 1, 0.97, RH_TRUTH_PREDICTED, RH_TRUTH_CLEAR },
		{ -100, 5, -76, 5, 1, 0.97, RH_TRUTH_PREDICTED,
		  RH_TRUTH_CLEAR },					     /* within a third */
		{ -100, 5, -50, 5, 1, 0.97, RH_TRUTH_OFF, RH_TRUTH_CLEAR },  /* beyond it */
		{ +100, 5, -100, 5, 1, 0.97, RH_TRUTH_OFF, RH_TRUTH_CLEAR }, /* the wrong sign */
		{ +1, 0.5, -1, 0.5, 5, 0.97, RH_TRUTH_PREDICTED,
		  RH_TRUTH_CLEAR }, /* of no interest */
		{ -100, 5, -90, 80, 1, 0.97, RH_TRUTH_CANNOT_TELL,
		  RH_TRUTH_PROGRAM }, /* it scatters */
		{ -100, 60, -60, 5, 1, 0.97, RH_TRUTH_CANNOT_TELL, RH_TRUTH_REPLAY },
		{ -100, 5, -90, 5, 1, 0.75, RH_TRUTH_CANNOT_TELL, RH_TRUTH_ROUNDS },
		{ -100, 60, -90, 5, 1, 0.97, RH_TRUTH_CANNOT_TELL,
		  RH_TRUTH_REPLAY }, /* right by chance */
		{ -100, 60, -90, 80, 1, 0.97, RH_TRUTH_CANNOT_TELL, RH_TRUTH_BOTH },
		{ -100, 20, -70, 20, 1, 0.97, RH_TRUTH_CANNOT_TELL, RH_TRUTH_LIMIT },
		{ -500, 5, 0, 80, 1, 0.97, RH_TRUTH_OFF,
		  RH_TRUTH_CLEAR }, /* far outside all scatter */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct rh_truth truth = {
			.predicted = around(rows[i].predicted, rows[i].p_half, rows[i].level),
			.observed = around(rows[i].observed, rows[i].o_half, rows[i].level),
			.slack = rows[i].slack,
		};

		rh_truth_judge(&truth);
		if (truth.verdict != rows[i].verdict)
			fail_msg("row %zu: %s", i, rh_truth_names[truth.verdict]);
		assert_int_equal(truth.cause, rows[i].cause);
		assert_true(truth.off == rows[i].predicted - rows[i].observed);
	}
}

/* A drift of the machine that both sides of a round share is not in the change. */
static void changes_are_paired(void **state)
{
	static const double a[] = { 11, 101, 1001, 21, 31, 41, NAN };
	static const double b[] = { 5, 95, 995, 15, 25, 35, 1 };
	struct rh_interval change = rh_truth_change(a, b, 7, 1);

	(void)state;
	assert_int_equal(change.n, 6);
	assert_true(change.median == 5 && change.lo == 5 && change.hi == 5);
	assert_true(change.level > 0.95);
	assert_int_equal(rh_truth_change(a, b, 0, 0).n, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(verdicts),
		cmocka_unit_test(changes_are_paired),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
