/*
 * compare_parts.h - shared by the printers of a comparison. Private to compare_*.c. Thread
 * rule: one thread. Errors: those of the stream.
 */
#ifndef RH_COMPARE_PARTS_H
#define RH_COMPARE_PARTS_H

#include "plots/report/compare.h"

/* "3.58 MiB", "45.5 ns" */
void rh_compare_value(char *text, size_t bytes, const struct rh_view_metric *m);
/* "0.851 [0.840, 0.862]", "-" */
void rh_compare_change(char *text, size_t bytes, const struct rh_estimate *e);
/* compare_table.c */
/* The pairs metric by metric, those with the changes that matter most first; in each metric what
 * changed most. `rows` has room for compare->row_count. */
void rh_compare_order(const struct rh_compare *compare, const struct rh_compare_row **rows);
void rh_compare_table(const struct rh_view *view, const struct rh_compare *compare, bool all,
		      FILE *to);

#endif
