/*
 * compare.h - results side by side: which numbers of B differ from those of A, and whether the
 * intervals support it.
 *
 * The first document of the view is A; every other is compared with it. A row pairs the same
 * metric of the same backend on the same trace, lanes and copies. Thread rule: one thread.
 */
#ifndef RH_COMPARE_H
#define RH_COMPARE_H

#include <stdio.h>

#include "harness/result/estimate.h"
#include "plots/figure/view.h"

/* ---- the document of --format json ---- */

#define RH_FIELDS_COMPARED(F)                                          \
	F(TEXT, _, trace, EVER, "", "trace")                           \
	F(U32, _, lanes, EVER, "", "lanes")                            \
	F(U32, _, copies, EVER, "", "copies")                          \
	F(TEXT, _, backend, EVER, "", "backend")                       \
	F(TEXT, _, metric, EVER, "", "metric")                         \
	F(TEXT, _, unit, EVER, "", "its unit")                         \
	F(TEXT, _, with, EVER, "", "file of `after`")                  \
	F(REAL, _, before, NULL, "", "median of the first result")     \
	F(REAL, _, after, NULL, "", "median of the other")             \
	F(REAL, _, ratio, NULL, "", "after / before")                  \
	F(REAL, _, lo, NULL, "", "its interval")                       \
	F(REAL, _, hi, NULL, "", "its interval")                       \
	F(REAL, _, level, NULL, "", "confidence the interval reaches") \
	F(TEXT, _, verdict, EVER, "", "in a word")

#define RH_FIELDS_COMPARISON(F)                                                      \
	F(TEXT, _, schema, NEED, "", "`reheap.compare/1`")                           \
	F(BOOL, _, comparable, EVER, "", "nothing that decides the numbers differs") \
	F(TEXTS, _, remarks, EVER, "", "what a reader must know")                    \
	F(LIST, compared, rows, EVER, "", "pairs of metrics")

RH_RECORD(compared, RH_FIELDS_COMPARED)
RH_RECORD(comparison, RH_FIELDS_COMPARISON)

struct rh_compare_row {
	const struct rh_view_metric *a, *b;
	size_t doc;		   /* of b */
	struct rh_estimate change; /* b / a */
	enum rh_verdict verdict;   /* RH_BETTER: b is better */
	bool has_direction;	   /* the metric says which way is better */
};

struct rh_compare {
	struct rh_compare_row *rows;
	size_t row_count;
	const char **remarks; /* sentences that a reader must know */
	size_t remark_count;
	size_t breaks;		    /* remarks that make comparing wrong */
	size_t only_a, only_b;	    /* metrics without a partner */
	const char *before, *after; /* names of the two sides */
};

/* Which pairs are made. A pattern without * is a part of a name; NULL = all. */
struct rh_compare_pick {
	const char *trace, *backend, *metric;
	const char *between[2]; /* two backends of one result, instead of two results */
};

enum rh_compare_form { RH_COMPARE_TABLE, RH_COMPARE_MD, RH_COMPARE_JSON };

/* Fills `out` from the view's pool. Error: RH_USAGE, a backend of `between` is not in the result.
 */
int rh_compare_build(const struct rh_view *view, const struct rh_compare_pick *pick,
		     struct rh_compare *out, struct rh_err *err);
/* all: the table has every pair, else the changes that matter most and a line for each metric. */
void rh_compare_print(const struct rh_view *view, const struct rh_compare *compare,
		      enum rh_compare_form form, bool all, FILE *to);

/* "faster", "slower", "same", "cannot tell", or "less" and "more" where it is not about time. */
const char *rh_compare_word(const struct rh_compare_row *row);

#endif
