/*
 * overview.h - the page of a matrix: thousands of cells on one screen, each a link away.
 *
 * A heat map of families of traces by backends for time, peak memory and instructions; which
 * backends nothing beats in both time and memory (Pareto); what changed since an earlier matrix;
 * outlier cells, each with its own report; missing cells; and how often the A/A cells were
 * wrong. Machines are blocks: where classes contradict each other there is no number.
 *
 * Thread rule: one thread. Errors: those of the store and of rh_outfile.
 */
#ifndef RH_OVERVIEW_H
#define RH_OVERVIEW_H

#include "harness/matrix/analysis.h"
#include "plots/figure/figure.h"

struct rh_overview {
	struct rh_store *store, *since; /* since: an earlier matrix, NULL = none */
	const char *dir, *since_dir;	/* their folders, for people */
	/* Makes the report of one result in DIR; called for a few cells. */
	int (*report)(const char *result, const char *dir, struct rh_err *err);
};

/* Writes DIR/report.html, DIR/matrix.csv and DIR/outlier/NAME/report.html. */
int rh_overview_write(const struct rh_overview *overview, const struct rh_draw *draw,
		      struct rh_err *err);

/* The same in a few lines of text: the deciding metrics, best backend first. */
int rh_overview_print(const struct rh_overview *overview, FILE *to, struct rh_err *err);
/* What changed since the earlier one, largest first. */
int rh_overview_print_since(const struct rh_overview *overview, FILE *to, struct rh_err *err);

#endif
