/*
 * truth.h - predicted against observed: the change that a replay predicts when another allocator
 * is put under a program, and the change that was observed.
 *
 * Every change is a difference to the baseline in the same repetition, so both sides have an
 * interval (stat.h). A prediction holds if it is close enough: within a third of the observed
 * change, or within `slack`, below which a change is of no interest. Thread rule: pure
 * functions. Errors: none.
 */
#ifndef RH_TRUTH_H
#define RH_TRUTH_H

#include <stddef.h>

#include "harness/result/stat.h"

enum rh_truth_verdict { RH_TRUTH_PREDICTED, RH_TRUTH_OFF, RH_TRUTH_CANNOT_TELL, RH_TRUTH_VERDICTS };
extern const char *const rh_truth_names[]; /* "predicted", "off", "cannot tell" */

/* Why there is no verdict. */
enum rh_truth_cause {
	RH_TRUTH_CLEAR,
	RH_TRUTH_ABSENT,  /* one side was not measured */
	RH_TRUTH_ROUNDS,  /* too few for the level */
	RH_TRUTH_PROGRAM, /* the observations scatter too much for a verdict */
	RH_TRUTH_REPLAY,  /* the predictions do */
	RH_TRUTH_BOTH,
	RH_TRUTH_LIMIT,	    /* neither does, but the difference is close to the limit */
	RH_TRUTH_ELSEWHERE, /* the change lies where nothing was predicted */
};

struct rh_truth {
	struct rh_interval predicted, observed; /* changes against the baseline */
	double slack;
	enum rh_truth_verdict verdict;
	enum rh_truth_cause cause;
	double off; /* predicted - observed */
};

/* Fills verdict, cause and off. RH_TRUTH_PREDICTED: both intervals are narrow enough. RH_TRUTH_OFF:
 * both intervals rule out that the prediction is close enough. */
void rh_truth_judge(struct rh_truth *truth);

/* Centre and interval of a[i] - b[i] - shift. NaNs are not counted. The two were run in random
 * order within round i, so their difference lies evenly around the true one whatever their noise is
 * like, and signed ranks hold (rh_stat_centre). */
struct rh_interval rh_truth_change(const double *a, const double *b, size_t count, double shift);

#endif
