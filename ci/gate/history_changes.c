/*
 * history_changes.c - change points of a series.
 *
 * For every split the ranks of the two sides are compared (Wilcoxon's sum, standardised);
 * the split with the largest deviation is the candidate. How large it becomes by chance alone
 * is found from 2000 random orders of the same series, which accounts for looking at every
 * split. A split with p < 0.001 and medians 5 % apart is kept, and both sides are searched
 * again. Ranks are robust against the outliers of a busy machine.
 */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "alloc/base/random.h"
#include "ci/gate/history.h"
#include "harness/result/stat.h"

enum { SIDE_MIN = 5, SHUFFLES = 2000 };
#define P_MOST	   0.001
#define STEP_LEAST 0.05

static void ranks_of(const double *values, size_t count, double *ranks)
{
	for (size_t i = 0; i < count; i++) {
		size_t less = 0, equal = 0;

		for (size_t j = 0; j < count; j++) {
			less += values[j] < values[i];
			equal += values[j] == values[i];
		}
		ranks[i] = (double)less + ((double)equal + 1) / 2;
	}
}

/* The largest standardised rank sum over all splits. */
static double best_split(const double *ranks, size_t count, size_t *at)
{
	double sum = 0, best = 0, n = (double)count;

	*at = 0;
	for (size_t i = 0; i < count; i++) {
		double k = (double)i, z;

		if (i >= SIDE_MIN && count - i >= SIDE_MIN) {
			z = fabs(sum - k * (n + 1) / 2) / sqrt(k * (n - k) * (n + 1) / 12);
			if (z > best) {
				best = z;
				*at = i;
			}
		}
		sum += ranks[i];
	}
	return best;
}

static double chance_of(double *ranks, size_t count, double found)
{
	uint64_t random = 1;
	size_t as_clear = 0, at;

	for (int s = 0; s < SHUFFLES; s++) {
		for (size_t i = count; i > 1; i--) {
			size_t j = (size_t)(rh_random(&random) % i);
			double kept = ranks[i - 1];

			ranks[i - 1] = ranks[j];
			ranks[j] = kept;
		}
		as_clear += best_split(ranks, count, &at) >= found;
	}
	return (double)(as_clear + 1) / (SHUFFLES + 1);
}

static double median_of(const double *values, size_t count, double *room)
{
	memcpy(room, values, count * sizeof(*values));
	rh_stat_sort(room, count);
	return rh_stat_median(room, count);
}

struct finder {
	const double *values;
	struct rh_change *changes; /* what was found, in order */
	size_t found;
	double *room; /* for as many values */
};

static void find(struct finder *in, size_t first, size_t count)
{
	const double *values = in->values + first;
	struct rh_change change;
	double best;
	size_t at;

	if (count < 2 * SIDE_MIN || in->found == RH_CHANGES_MAX)
		return;
	ranks_of(values, count, in->room);
	best = best_split(in->room, count, &at);
	if (at == 0)
		return;
	change = (struct rh_change){ .at = first + at, .p = chance_of(in->room, count, best) };
	change.before = median_of(values, at, in->room);
	change.after = median_of(values + at, count - at, in->room);
	if (change.p >= P_MOST ||
	    !(fabs(change.after - change.before) >= STEP_LEAST * fabs(change.before)))
		return;
	find(in, first, at);
	if (in->found < RH_CHANGES_MAX)
		in->changes[in->found++] = change;
	find(in, first + at, count - at);
}

size_t rh_changes_find(const double *values, size_t count, struct rh_change *changes)
{
	double *room = calloc(count + 1, sizeof(*room));
	struct finder in = { .values = values, .changes = changes, .room = room };

	if (room)
		find(&in, 0, count);
	free(room);
	return in.found;
}
