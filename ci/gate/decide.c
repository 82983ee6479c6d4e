/*
 * decide.c - see the header for the rule.
 *
 * The scale of a block within its pair is 1.4826 x the median absolute deviation: single blocks
 * are off by tens of percent whenever other load interferes, and the plain standard deviation
 * would count that against the precision of the median. The variance of the median of B blocks
 * is pi/2 x s^2 / B; any further difference between pairs is due to memory layout.
 */
#include "ci/gate/decide.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/result/stat.h"

enum { CLUSTERED_PAIRS_MIN = 8 };
#define MAD_TO_SD      1.4826
#define LAYOUT_SD      0.005 /* of pairs, at least: what three of them differ by shows little */
#define LATE_TIMES     6     /* alpha, from RH_GATE_PAIRS_MANY pairs on */
#define SAME_PARTS     10    /* identity is excluded at a tenth of it ... */
#define SAME_PAIRS     11    /* ... from where so few ranks can do that: 2^-11 < 0.0005 */
#define UNEVEN_TAIL    0.005 /* of each side: 0.01 together */
#define SIGN_FAIL_TAIL 0.01

/* All that is computed once per look. */
struct sums {
	double *sorted;	 /* all blocks */
	double *medians; /* of pairs, sorted */
	double *scratch;
	size_t count;
	unsigned pairs;
	double square_w; /* mean variance of a block */
	double square_m; /* mean variance of a pair's median that blocks explain */
};

double rh_gate_margin(double threshold)
{
	return log1p(threshold / 2);
}

const char *rh_gate_verdict_name(enum rh_gate_verdict verdict)
{
	static const char *const names[] = { "pass", "fail", "inconclusive", "no-baseline",
					     "invalid" };

	return names[verdict];
}

enum rh_gate_verdict rh_gate_decide_signs(double pass_tail, size_t over, size_t count, size_t most)
{
	if (rh_stat_sign_tail(count, count - over + 1) <= SIGN_FAIL_TAIL ||
	    (count == over && count >= most))
		return RH_GATE_FAIL;
	return rh_stat_sign_tail(count, over + 1) <= pass_tail ? RH_GATE_PASS
							       : RH_GATE_INCONCLUSIVE;
}

/* alive[k]: probability that k of the pairs so far are beyond, and nothing is decided. */
struct rh_gate_chance rh_gate_chance_of_signs(double p, double pass_tail, size_t least, size_t most)
{
	struct rh_gate_chance chance = { 0, 0 };
	double *alive = calloc(most + 2, sizeof(*alive));

	if (!alive)
		return (struct rh_gate_chance){ NAN, NAN };
	alive[0] = 1;
	for (size_t n = 1; n <= most; n++) {
		for (size_t k = n; k > 0; k--)
			alive[k] = alive[k] * (1 - p) + alive[k - 1] * p;
		alive[0] *= 1 - p;
		for (size_t k = 0; k <= n && n >= least; k++) {
			enum rh_gate_verdict verdict = rh_gate_decide_signs(pass_tail, k, n, most);

			if (verdict == RH_GATE_INCONCLUSIVE)
				continue;
			*(verdict == RH_GATE_FAIL ? &chance.fail : &chance.pass) += alive[k];
			alive[k] = 0;
		}
	}
	free(alive);
	return chance;
}

bool rh_gate_evenly_disturbed(size_t candidates, size_t disturbed)
{
	size_t fewer = candidates * 2 < disturbed ? candidates : disturbed - candidates;

	return rh_stat_sign_tail(disturbed, fewer + 1) > UNEVEN_TAIL;
}

/* Median and scale of one pair's blocks; leaves them sorted in scratch. */
static void take_pair(struct sums *sums, const double *blocks, size_t n)
{
	double median, scale;

	memcpy(sums->scratch, blocks, n * sizeof(*blocks));
	rh_stat_sort(sums->scratch, n);
	median = rh_stat_median(sums->scratch, n);
	sums->medians[sums->pairs++] = median;
	for (size_t i = 0; i < n; i++)
		sums->scratch[i] = fabs(sums->scratch[i] - median);
	rh_stat_sort(sums->scratch, n);
	scale = MAD_TO_SD * rh_stat_median(sums->scratch, n);
	sums->square_w += scale * scale;
	sums->square_m += scale * scale * M_PI_2 / (double)n;
}

static void sum_up(struct sums *sums, const double *blocks, const uint32_t *pair_of, size_t count)
{
	sums->count = count;
	memcpy(sums->sorted, blocks, count * sizeof(*blocks));
	rh_stat_sort(sums->sorted, count);
	for (size_t from = 0, to; from < count; from = to) {
		for (to = from + 1; to < count && pair_of[to] == pair_of[from]; to++)
			;
		take_pair(sums, blocks + from, to - from);
	}
	rh_stat_sort(sums->medians, sums->pairs);
	sums->square_w /= sums->pairs;
	sums->square_m /= sums->pairs;
}

static double variance(const double *values, size_t n)
{
	double mean = 0, sum = 0;

	for (size_t i = 0; i < n; i++)
		mean += values[i] / (double)n;
	for (size_t i = 0; i < n; i++)
		sum += (values[i] - mean) * (values[i] - mean);
	return n > 1 ? sum / (double)(n - 1) : 0;
}

/* Pairs are few, and six of them have no interval of ranks at 0.005: Student's around their mean is
 * narrower from five to eleven pairs on, where they differ by 1 to 2 %. Medians of forty blocks
 * are close enough to normal for it, and deviations (one pair in ten far off) make it wider. A
 * PASS may rest on it, a FAIL may not. */
static void narrow_interval(const struct rh_gate_rule *rule, const double *medians, size_t n,
			    struct rh_gate_look *look)
{
	double mean = 0, error;

	if (n < 2)
		return;
	for (size_t i = 0; i < n; i++)
		mean += medians[i] / (double)n;
	error = sqrt(variance(medians, n) / (double)n);
	look->hi = fmin(look->hi, mean + rh_stat_student(n - 1, rule->alpha) * error);
	if (!isfinite(look->lo)) {
		look->lo = mean - rh_stat_student(n - 1, rule->alpha / rule->tests) * error;
		look->too_few = true;
	}
}

/* Of pairs: the signed-rank interval of their centre, which is a third narrower than that of signs
 * and as little moved by one pair that is far off. */
static void interval_of_pairs(const struct rh_gate_rule *rule, const double *medians, size_t n,
			      struct rh_gate_look *look)
{
	bool late = n >= RH_GATE_PAIRS_MANY;
	size_t used = n < RH_STAT_RANKS_MOST ? n : RH_STAT_RANKS_MOST, count, low, high, same;
	double *values = calloc(used + used * (used + 1) / 2 + 1, sizeof(*values));
	double *means = values + used;

	if (!values)
		return;
	for (size_t i = 0; i < used; i++) /* of very many, some that are evenly spaced */
		values[i] = medians[(i * n + n / 2) / used];
	count = rh_stat_pair_means(values, used, means);
	low = rh_stat_signed_rank(used,
				  late ? LATE_TIMES * rule->alpha : rule->alpha / rule->tests);
	high = rh_stat_signed_rank(used, (late ? LATE_TIMES : 1) * rule->alpha);
	same = rh_stat_signed_rank(used, rule->alpha / SAME_PARTS / rule->tests);
	look->median = rh_stat_median(means, count);
	look->lo = low ? means[low - 1] : -INFINITY;
	look->hi = high ? means[count - high] : INFINITY;
	look->maybe_same = n >= SAME_PAIRS && !(same && means[same - 1] > 0);
	free(values);
	if (!late)
		narrow_interval(rule, medians, n, look);
}

static double add_in_squares(double a, double b)
{
	return sqrt(a * a + b * b);
}

/* Of all blocks: that of signs, wider by what the layouts of so few pairs may add. */
static void interval_of_blocks(const struct rh_gate_rule *rule, const struct sums *sums,
			       struct rh_gate_look *look)
{
	const double *sorted = sums->sorted;
	size_t n = sums->count, high = rh_stat_sign_rank(n, rule->alpha);
	size_t low = rh_stat_sign_rank(n, rule->alpha / rule->tests);
	double layout = fmax(look->between_sd, LAYOUT_SD) / sqrt(sums->pairs);
	double below = layout * rh_stat_normal(rule->alpha / rule->tests);
	double above = layout * rh_stat_normal(rule->alpha);

	look->median = rh_stat_median(sorted, n);
	look->lo = low ? look->median - add_in_squares(look->median - sorted[low - 1], below)
		       : -INFINITY;
	look->hi = high ? look->median + add_in_squares(sorted[n - high] - look->median, above)
			: INFINITY;
}

/* Verdict of the interval in hand. */
static void conclude(const struct rh_gate_rule *rule, struct rh_gate_look *look)
{
	unsigned least = look->by_pairs && rule->pairs_min < CLUSTERED_PAIRS_MIN
				 ? CLUSTERED_PAIRS_MIN
				 : rule->pairs_min;

	look->verdict = RH_GATE_INCONCLUSIVE;
	if (look->pairs >= rule->pairs_min && look->hi < look->margin)
		look->verdict = RH_GATE_PASS;
	if (look->pairs >= least && look->lo > look->margin && !look->too_few &&
	    !look->maybe_same) {
		look->layout = look->pairs_above * 4 <= look->pairs * 3;
		if (!look->layout)
			look->verdict = RH_GATE_FAIL;
	}
	look->more = look->verdict == RH_GATE_INCONCLUSIVE && look->pairs < rule->pairs_max;
}

void rh_gate_decide(const struct rh_gate_rule *rule, const double *blocks, const uint32_t *pair_of,
		    size_t count, struct rh_gate_look *look)
{
	double *room = calloc(3 * count + 1, sizeof(*room)), square_b;
	struct sums sums = { .sorted = room, .medians = room + count, .scratch = room + 2 * count };

	*look = (struct rh_gate_look){ .verdict = RH_GATE_INCONCLUSIVE,
				       .more = true,
				       .median = NAN,
				       .lo = -INFINITY,
				       .hi = INFINITY,
				       .margin = rh_gate_margin(rule->threshold) };
	if (!room || count == 0) {
		free(room);
		return;
	}
	sum_up(&sums, blocks, pair_of, count);
	look->blocks = count;
	look->pairs = sums.pairs;
	look->within_sd = sqrt(sums.square_w);
	square_b = variance(sums.medians, sums.pairs) - sums.square_m;
	look->between_sd = square_b > 0 ? sqrt(square_b) : 0;
	look->by_pairs = look->between_sd > look->margin / 3 || sums.pairs >= RH_GATE_PAIRS_MANY;
	for (unsigned p = 0; p < sums.pairs; p++)
		look->pairs_above += sums.medians[p] > look->margin / 2;
	if (look->by_pairs)
		interval_of_pairs(rule, sums.medians, sums.pairs, look);
	else
		interval_of_blocks(rule, &sums, look);
	conclude(rule, look);
	free(room);
}

void rh_gate_decide_stored(const struct rh_gate_rule *rule, double median, double half,
			   struct rh_gate_look *look)
{
	double above = look->hi - look->median, below = look->median - look->lo;

	look->median -= median;
	look->hi = look->median + add_in_squares(above, half);
	look->lo = look->median - add_in_squares(below, half);
	/* The pairs were compared with the reference, so the guards do not apply. */
	look->pairs_above = look->pairs;
	look->layout = look->maybe_same = false;
	conclude(rule, look);
}
