/*
 * verdict_cause.c - where a difference comes from, if the latency probe has run: the kind of
 * operation, or the sizes, with most of it.
 *
 * For each kind and size octave: the median over trials of the mean time of a sample, on both
 * sides; their difference times the number of occurrences is this cell's contribution. The cost
 * of the clock is the same on both sides and cancels out. A part (a kind, a range of sizes) is
 * named if it holds more than half of the sum, with all trials and with any one of them left
 * out: means follow single outliers, and one preempted operation weighs as much as a thousand
 * others. With fewer than TRIALS_MIN trials nothing is said.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/result/latency_kinds.h"
#include "harness/result/stat.h"
#include "plots/report/report.h"

enum {
	KINDS = RH_LAT_KINDS,
	OCTAVES = RH_LAT_OCTAVES,
	CELLS = KINDS * OCTAVES,
	TRIALS_MIN = 3,
	TRIALS_MAX = 64,
	SIZE_PARTS = 3,
	PARTS = KINDS + SIZE_PARTS
};

static const struct {
	int octaves; /* up to, not included: 8 << octave is its upper end */
	const char *words;
} sizes[SIZE_PARTS] = {
	{ 5, "blocks of up to 128 bytes" },
	{ 13, "blocks of 129 bytes to 32 KiB" },
	{ OCTAVES, "blocks above 32 KiB" },
};

/* Means and counts of every cell by trial; NaN where a trial has none. */
struct side {
	double mean[CELLS][TRIALS_MAX], n[CELLS][TRIALS_MAX];
	size_t trials;
};

static int cell_of(const char *kind, double size_to)
{
	unsigned octave = rh_latency_octave_of(size_to);

	for (int k = 0; kind && octave < OCTAVES && k < KINDS; k++)
		if (strcmp(rh_latency_names[k], kind) == 0)
			return k * OCTAVES + (int)octave;
	return -1;
}

static void read_trial(struct side *side, const struct rh_latency_sizes *table)
{
	size_t at = side->trials;

	for (int c = 0; c < CELLS; c++)
		side->mean[c][at] = side->n[c][at] = NAN;
	for (size_t row = 0; row < table->kind_count && row < table->size_to_count &&
			     row < table->mean_ns_count && row < table->n_count;
	     row++) {
		int c = cell_of(table->kind[row], table->size_to[row]);

		if (c < 0)
			continue;
		side->mean[c][at] = table->mean_ns[row];
		side->n[c][at] = table->n[row];
	}
	side->trials++;
}

static bool read_side(const struct rh_view *view, size_t scene, size_t style, struct side *side)
{
	const struct rh_trial_done **list;
	size_t count = rh_view_trials(view, scene, style, &list);

	for (size_t i = 0; i < count && side->trials < TRIALS_MAX; i++) {
		const struct rh_found *found = list[i]->probes;

		if (found && found->latency && found->latency->sizes)
			read_trial(side, found->latency->sizes);
	}
	return side->trials >= TRIALS_MIN;
}

/* Without trial number `out`; NaN when fewer than half have the cell. */
static double median_without(const double *values, size_t trials, size_t out)
{
	double list[TRIALS_MAX];
	size_t count = 0;

	for (size_t t = 0; t < trials; t++)
		if (t != out && isfinite(values[t]))
			list[count++] = values[t];
	if (2 * count < trials)
		return NAN;
	rh_stat_sort(list, count);
	return rh_stat_median(list, count);
}

/* What each part contributes to base - candidate; returns the sum. */
static double contributions(const struct side *base, const struct side *cand, size_t out,
			    double *parts)
{
	double sum = 0;

	memset(parts, 0, PARTS * sizeof(*parts));
	for (int c = 0; c < CELLS; c++) {
		double was = median_without(base->mean[c], base->trials, out);
		double is = median_without(cand->mean[c], cand->trials, out);
		double times = (median_without(base->n[c], base->trials, out) +
				median_without(cand->n[c], cand->trials, out)) /
			       2;
		double gain = (was - is) * times;
		int size = 0;

		if (!isfinite(gain))
			continue;
		while (c % OCTAVES >= sizes[size].octaves)
			size++;
		parts[c / OCTAVES] += gain;
		parts[KINDS + size] += gain;
		sum += gain;
	}
	return sum;
}

/* The share each part has of the difference, of all trials (`whole`, the last round) and the
 * smallest over all ways to leave one out; false when the sum ever has another sign than
 * the verdict. */
static bool least_shares(const struct side *base, const struct side *cand, bool faster,
			 double *whole, double *least)
{
	size_t trials = base->trials > cand->trials ? base->trials : cand->trials;
	double parts[PARTS];

	for (size_t out = 0; out <= trials; out++) {
		double sum = contributions(base, cand, out, parts);

		if (!(faster ? sum > 0 : sum < 0))
			return false;
		for (int p = 0; p < PARTS; p++) {
			whole[p] = parts[p] / sum;
			least[p] = out == 0 ? whole[p] : fmin(least[p], whole[p]);
		}
	}
	return true;
}

const char *rh_verdict_cause(const struct rh_view *view, size_t scene, size_t style, bool faster)
{
	struct side *base = rh_pool_alloc(view->pool, 2, sizeof(*base)), *cand = base + 1;
	double whole[PARTS], least[PARTS];
	int most = 0;
	double largest = 0;

	if (view->baseline < 0 || !read_side(view, scene, (size_t)view->baseline, base) ||
	    !read_side(view, scene, style, cand) || !least_shares(base, cand, faster, whole, least))
		return "";
	for (int p = 0; p < PARTS; p++) {
		/* sizes only where no kind will do: most blocks are small, whatever is slow */
		if (p == KINDS && least[most] > 0.5)
			break;
		largest = fmax(largest, whole[p]);
		if (least[p] > least[most])
			most = p;
	}
	if (largest <= 0.5)
		return "; the difference is spread over kinds of operations and sizes";
	if (least[most] <= 0.5)
		return ""; /* a trial more or less would say otherwise */
	return rh_pool_printf(view->pool,
			      "; most of it in %s (%.0f %% of what timed operations "
			      "differ by)",
			      most < KINDS ? rh_latency_words[most] : sizes[most - KINDS].words,
			      fmin(100, 100 * whole[most]));
}
