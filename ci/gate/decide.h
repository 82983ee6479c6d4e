/*
 * decide.h - the gate's arithmetic: from log ratios to a verdict. Pure functions.
 *
 * A block is one log ratio, ln(candidate / baseline), of work done in turns by two live
 * processes; a pair is those two processes. The interval of the centre of all blocks is held
 * against the margin m = ln(1 + tau/2):
 *
 *	lower end above m   FAIL	the slow-down is more than half of the threshold, surely
 *	upper end below m   PASS
 *	neither		    one more pair, and INCONCLUSIVE when there may be no more
 *
 * 0 and tau are both half the threshold away from m, so that both errors are rare; therefore
 *   the margin is not the threshold itself.
 *
 * The interval is one of three:
 *
 *	of blocks	under 16 pairs that agree: the exact sign-test interval of the median of all
 *			blocks, at alpha, wider by what the memory layouts of so few pairs may add
 *			(0.5 % a pair at least, in squares)
 *	of few pairs	under 16 that differ by more than blocks can explain (sd > m/3): blocks are
 *			not independent. The exact signed-rank interval of the pairs' medians, at
 *			alpha; a FAIL from 8 pairs on. A PASS may also rest on Student's interval of
 *			their mean, which needs five or six pairs
 *	of many pairs	from 16 on: the same at six times alpha
 *
 * From 11 pairs on a FAIL by pairs must also exclude, at a tenth of alpha, that both sides are the
 * same. So the last interval may be narrow, for changes that lie beside the margin, 3 % at a
 * threshold of 5 %: there alpha bounds the error of calling 2.5 % more than 2.5 %, which harms
 * nobody; what must be rare is an alarm on identical code.
 *
 * Guard: FAIL also requires more than 3/4 of the pairs' own medians above m/2 (one process with an
 * unlucky layout is not a regression).
 *
 * Thread rule: none shared. Memory: malloc inside, freed before return. Errors: none.
 */
#ifndef RH_GATE_DECIDE_H
#define RH_GATE_DECIDE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum rh_gate_verdict {
	RH_GATE_PASS,
	RH_GATE_FAIL,
	RH_GATE_INCONCLUSIVE,
	RH_GATE_NO_BASELINE,
	RH_GATE_INVALID
};

struct rh_gate_rule {
	double threshold; /* tau: 0.05 = 5 % */
	double alpha;	  /* of each look, each side: 0.005 */
	unsigned tests;	  /* 1 or more comparisons may FAIL: alpha is divided by it (Bonferroni) */
	unsigned pairs_min, pairs_max;
};

/* The result of one look at the data. Logarithms of ratios. */
struct rh_gate_look {
	enum rh_gate_verdict verdict;
	bool more;	       /* INCONCLUSIVE, and another pair may change that */
	double median, lo, hi; /* at the alpha of the interval; infinite when n is too small */
	double margin;
	size_t blocks;
	unsigned pairs;
	unsigned pairs_above;	      /* of which the own median is above m/2; paired: beyond m */
	double within_sd, between_sd; /* of a block in its pair; of pairs beyond that */
	bool by_pairs;		      /* lo and hi are of the pairs' medians */
	bool too_few;	 /* for an interval of ranks: lo is Student's, and no FAIL rests on it */
	bool maybe_same; /* of many pairs: identity is not excluded */
	bool layout;	 /* the guard kept it from failing */
};

/* From so many pairs on the interval is that of many pairs. */
enum { RH_GATE_PAIRS_MANY = 16 };

double rh_gate_margin(double threshold);

/* blocks[i] belongs to pair pair_of[i]; pairs are numbered from 0 in ascending order. */
void rh_gate_decide(const struct rh_gate_rule *rule, const double *blocks, const uint32_t *pair_of,
		    size_t count, struct rh_gate_look *look);

/* The same when blocks are candidate / reference and the baseline is a stored ln(baseline /
 * reference) with an interval of +- half: medians are subtracted, variances added. */
void rh_gate_decide_stored(const struct rh_gate_rule *rule, double median, double half,
			   struct rh_gate_look *look);

/* A sign test over pairs that are beyond a margin or not: FAIL when so few pairs within it have a
 * probability of at most 0.01 (or all are beyond and no more pairs are allowed), PASS when so few
 * beyond it have one of at most pass_tail. */
enum rh_gate_verdict rh_gate_decide_signs(double pass_tail, size_t over, size_t count, size_t most);
/* The exact probability of that over all looks when a pair is beyond with probability p; looks
 * begin at `least` pairs and end at `most`. */
struct rh_gate_chance {
	double fail, pass;
};
struct rh_gate_chance rh_gate_chance_of_signs(double p, double pass_tail, size_t least,
					      size_t most);

/* Were the two sides disturbed equally often? of `disturbed` turns `candidates` were the
 * candidate's. False when the imbalance has a probability of 0.01 or less: then the
 * candidate itself is the cause and its turns must not be dropped. */
bool rh_gate_evenly_disturbed(size_t candidates, size_t disturbed);

const char *rh_gate_verdict_name(enum rh_gate_verdict verdict);

#endif
