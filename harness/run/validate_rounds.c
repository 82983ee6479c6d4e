/*
 * validate_rounds.c - how many rounds a validation has.
 *
 * The first rounds are as many as asked for. If some change of CPU time cannot be judged then,
 * because one side scatters too much, the number of all rounds is fixed from how much it scatters,
 * and not looked at again: an interval at which one stops as soon as it suits is none (two stages,
 * after Stein 1945). The number comes from the scatter and the size of what was observed, not from
 * how near the prediction is.
 *
 * Half an interval of 6 rounds is 1.23 standard deviations of a round (it is their range); of n
 * rounds by signed ranks it is some 2.15 / sqrt(n): 0.66 at 12, 0.55 at 16, 0.43 at 24. So a cell
 * whose half is to be `near` needs (2.15 half / 1.23 near)^2 = 0.51 * 6 (half / near)^2 rounds
 * after 6, and after n of more 0.9 n (half / near)^2.
 */
#include <assert.h>
#include <math.h>

#include "harness/run/validate.h"

enum { FIRST_LEAST = 6, MOST = 48 };
#define SHARE_OF_FIRST 0.51
#define SHARE_OF_MORE  0.9
#define NEAR_SHARE     0.3333 /* of the observed change, as the verdict has it */
#define HOPE	       2      /* a cell that needs more than so many times what fits gets none */

uint64_t rh_validate_rounds_most(const struct rh_validate_config *config)
{
	bool may = config->budget_ns > 0 && config->reps >= FIRST_LEAST;

	return may && config->reps < MOST ? MOST : config->reps;
}

/* The rounds at which the change of CPU time under one backend can be judged, after the first
 * `rounds`; 0 = it can be. */
static double rounds_needed(const struct rh_truth *cpu, double rounds)
{
	double near = fmax(cpu->slack, NEAR_SHARE * fabs(cpu->observed.median));
	double half =
		fmax(cpu->observed.hi - cpu->observed.lo, cpu->predicted.hi - cpu->predicted.lo) /
		2;
	bool scatter = cpu->cause == RH_TRUTH_PROGRAM || cpu->cause == RH_TRUTH_REPLAY ||
		       cpu->cause == RH_TRUTH_BOTH;

	if (cpu->verdict != RH_TRUTH_CANNOT_TELL || !scatter || !(near > 0))
		return 0;
	assert(half > near);
	return (rounds > FIRST_LEAST ? SHARE_OF_MORE : SHARE_OF_FIRST) * rounds * (half / near) *
	       (half / near);
}

/* Of all rounds, as many as the hardest cell that can be reached needs. */
static uint64_t rounds_wanted(const struct rh_validate *out, uint64_t fit)
{
	double wanted = (double)out->rounds;

	for (size_t b = 0; b < out->row_count; b++) {
		double needed = b == out->base ? 0
					       : rounds_needed(&out->rows[b].truth[RH_VALIDATE_CPU],
							       (double)out->rounds);

		if (needed <= HOPE * (double)fit)
			wanted = fmax(wanted, ceil(needed));
	}
	return wanted > (double)fit ? fit : (uint64_t)wanted;
}

bool rh_validate_more(const struct rh_validate_config *config, struct rh_validate *out,
		      uint64_t round_ns, uint64_t left_ns)
{
	uint64_t most = rh_validate_rounds_most(config);
	uint64_t fit = out->rounds + (round_ns ? left_ns / round_ns : 0);
	struct rh_err ignored;

	if (out->rounds >= most)
		return false;
	if (!out->rounds_wanted) { /* once */
		out->rounds_wanted = out->rounds;
		if (rh_validate_judge(config, out, &ignored) == 0)
			out->rounds_wanted = rounds_wanted(out, fit < most ? fit : most);
	}
	return out->rounds < out->rounds_wanted;
}
