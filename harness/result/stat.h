/*
 * stat.h - the few statistics every verdict rests on: order statistics, exact.
 *
 * A median and the sign-test interval around it: the k-th smallest to the k-th largest
 * value, where k is as large as the wanted confidence allows. It holds for any distribution of
 * independent values, and needs no seed and no table. Thread rule: none shared. Errors: none; n
 * = 0 gives NaN.
 */
#ifndef RH_STAT_H
#define RH_STAT_H

#include <stddef.h>

struct rh_interval {
	double median, lo, hi;
	double level; /* confidence reached; 0 for one value */
	double min, max;
	size_t n;
};

/* Sorts values in place: numbers in ascending order, then NaNs. Returns the count of numbers:
 * statistics use only those, because a NaN means "not measured".
 */
size_t rh_stat_sort(double *values, size_t n);
double rh_stat_median(const double *sorted, size_t n);

/* The largest k (from 1) with sum over i < k of C(n, i) / 2^n <= tail, so that the k-th smallest of
 * n is below the true median except with that probability. 0 = n is too small. */
size_t rh_stat_sign_rank(size_t n, double tail);

/* That sum: the probability that fewer than k of n fair coins show heads. */
double rh_stat_sign_tail(size_t n, size_t k);

/* The same of the signed-rank test, for values that lie evenly around their centre: the largest k,
 * of the n(n+1)/2 means of two values (of one with itself, too) in ascending order, so that the
 * k-th is below the centre except with probability `tail`. 0 = n is too small. n is at most
 * RH_STAT_RANKS_MOST. The interval is as narrow as Student's, and holds for any tails. */
enum { RH_STAT_RANKS_MOST = 200 };
size_t rh_stat_signed_rank(size_t n, double tail);
/* The probability that fewer than k of those means are below the centre. */
double rh_stat_signed_tail(size_t n, size_t k);
/* Those means, sorted, to `means`, which has room for n(n+1)/2. Their median estimates the centre.
 */
size_t rh_stat_pair_means(const double *values, size_t n, double *means);

/* The t that Student's distribution of so many degrees of freedom (1 or more) exceeds with
 * probability `tail` (0 .. 0.5). */
double rh_stat_student(size_t freedom, double tail);

/* The same of the normal distribution, in standard deviations. */
double rh_stat_normal(double tail);

/* Median of values (in any order; not changed) and its interval at `confidence` (0.95) or, when n
 * is too small for that, the widest possible (min..max) with the level it reaches. NaNs are left
 * out and not counted in n. */
struct rh_interval rh_stat_interval(const double *values, size_t n, double confidence);

/* Centre of values that lie evenly around it, as differences of two runs in random order do, and
 * its interval: the median of the means of two, and their signed ranks. For 7 to RH_STAT_RANKS_MOST
 * values it is that of signed ranks, which is narrower than that of signs (8 normal values: +-0.87
 * standard deviations for 1.39; 12: 0.66 for 0.79; 16: 0.55 for 0.76) and where tails are heavy not
 * wider; for others it is rh_stat_interval's. */
struct rh_interval rh_stat_centre(const double *values, size_t n, double confidence);

#endif
