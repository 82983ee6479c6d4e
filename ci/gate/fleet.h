/*
 * fleet.h - a policy over a matrix: one verdict for each family of traces, one error for all of it.
 *
 * A family is judged for each backend, class of machines and metric: the repetitions of all its
 * cells, each a backend beside the baseline on one machine. It fails when more than half of them
 * lie above half the limit, by an exact sign test; it passes when the same test says that the
 * median lies below the limit; else it is inconclusive, with how many more repetitions it needs.
 *
 * Correction: each of m families may err at alpha / m (alpha 0.01), so that a matrix without a
 * regression fails at most once in a hundred times, whatever the noise is like. Cells of a family
 * that failed are tested within its share (Holm), which keeps the total: an error is either that of
 * a family without a regression or of a cell in one that has one, and each is counted once.
 *
 * Simulated counts are exact and need no test: a family fails when its largest cell is above the
 * limit.
 *
 * Ownership: the caller's pool. Thread rule: one thread. Errors: those of the store.
 */
#ifndef RH_GATE_FLEET_H
#define RH_GATE_FLEET_H

#include <stdio.h>

#include "ci/gate/gate.h"
#include "harness/matrix/store.h"

#define RH_FLEET_ALPHA 0.01

struct rh_fleet_limit {
	double share; /* 0.05 = 5 % */
	double slack; /* medians that differ by less are the same (bytes); 0 = none */
	bool exact;   /* counted, not timed */
};

struct rh_fleet_family {
	const char *family, *label, *machine, *metric;
	struct rh_fleet_limit limit;
	size_t need;			   /* repetitions with which it could fail, at least */
	size_t cells, pairs, above, below; /* pairs above half the limit, below the limit */
	double ratio;			   /* median of the pairs; exact: of the largest cell */
	double p_slow, p_fine; /* that chance does so where the median is at the bound */
	enum rh_gate_verdict verdict;
	const struct rh_effect_row **culprits; /* cells that failed within it */
	size_t culprit_count;
	const struct rh_effect_row **rows; /* its cells */
};

/* Families of the rows of one metric, added to the list; planted cells are left out. */
struct rh_fleet_families {
	struct rh_fleet_family *list;
	size_t count;
	struct rh_pool *pool; /* where they live */
};
void rh_fleet_collect(const struct rh_effects *effects, struct rh_fleet_limit limit,
		      struct rh_fleet_families *families);
/* Verdicts of all that was collected, at alpha together. */
void rh_fleet_decide(const struct rh_fleet_families *families, double alpha);

/* The matrix in DIR by the metrics, limits and `inconclusive` of the configuration; prints a line
 * for each family that does not pass, a sum, and the line that scripts read. */
int rh_fleet_gate(const char *dir, const struct rh_gate_config *config, FILE *to,
		  enum rh_exit *code, struct rh_err *err);

#endif
