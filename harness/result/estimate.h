/*
 * estimate.h - ratios with intervals, and the words they allow.
 *
 * Medians and order statistics only: timing noise has long tails on one side, and a handful of
 * trials cannot establish a distribution. Thread rule: pure functions.
 */
#ifndef RH_ESTIMATE_H
#define RH_ESTIMATE_H

#include <stdbool.h>
#include <stddef.h>

struct rh_estimate {
	double ratio, lo, hi; /* lo..hi covers the true ratio with confidence `level` */
	double level;
	size_t n; /* pairs, or the smaller of two samples */
	bool paired;
};

enum rh_verdict { RH_BETTER, RH_SAME, RH_WORSE, RH_CANNOT_TELL };

/* Differences below this share are called "same" when the whole interval lies inside. */
#define RH_SAME_SHARE 0.02
/* Intervals of lower confidence support no verdict. Five pairs reach 0.9375, four 0.875. */
#define RH_LEVEL_MIN 0.90

/* a[i] / b[i] were measured side by side: the median ratio and its sign-test interval (stat.h),
 * with the confidence reached in `level` if n is too small for 95 %. */
struct rh_estimate rh_estimate_paired(const double *a, const double *b, size_t count);

/* Two independent samples: Hodges-Lehmann ratio with the exact Mann-Whitney interval (up to 50
 * values a side; beyond, its normal approximation). All values > 0. */
struct rh_estimate rh_estimate_apart(const double *a, size_t a_count, const double *b,
				     size_t b_count);

/* The verdict that the interval of a ratio allows, when lower (or higher) is better. */
enum rh_verdict rh_verdict(const struct rh_estimate *estimate, bool lower_is_better);

#endif
