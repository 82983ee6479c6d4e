/*
 * compare.h - results side by side: which numbers of B differ from those of A, and may one say so.
 *
 * The first document of the view is A; every other is compared with it. A row pairs the same
 * metric of the same backend on the same trace, lanes and copies. Thread rule: one thread.
 */
#ifndef RH_COMPARE_H
#define RH_COMPARE_H

#include <stdio.h>

#include "harness/run/estimate.h"
#include "harness/tell/view.h"

struct rh_compare_row {
	const struct rh_metric *a, *b;
	size_t doc;			/* of b */
	struct rh_estimate change;	/* b / a */
	enum rh_verdict verdict;	/* RH_BETTER: b is better */
	bool has_direction;		/* the metric says which way is better */
};

struct rh_compare {
	struct rh_compare_row *rows;
	size_t row_count;
	const char **remarks;		/* what a reader must know; sentences */
	size_t remark_count;
	size_t breaks;			/* remarks that make comparing wrong */
	size_t only_a, only_b;		/* metrics without a partner */
};

enum rh_compare_form { RH_COMPARE_TABLE, RH_COMPARE_MD, RH_COMPARE_JSON };

/* Fills `out` from the view's pool. */
void rh_compare_build(const struct rh_view *view, struct rh_compare *out);
void rh_compare_print(const struct rh_view *view, const struct rh_compare *compare,
		      enum rh_compare_form form, FILE *to);

/* "faster", "slower", "same", "cannot tell", or "less" and "more" where it is not about time. */
const char *rh_compare_word(const struct rh_compare_row *row);

#endif
