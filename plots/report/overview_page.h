/*
 * overview_page.h - the parts of a matrix's page: overview.c gathers, overview_tables.c writes.
 * Ownership: the pool. Thread rule: one thread.
 */
#ifndef RH_OVERVIEW_PAGE_H
#define RH_OVERVIEW_PAGE_H

#include "plots/report/overview.h"

enum { RH_OVERVIEW_METRICS = 3, RH_OUTLIERS_SHOWN = 12, RH_SINCE_SHOWN = 40 };

struct rh_overview_metric {
	const char *name, *title;
	struct rh_effect_row *rows; /* planted cells too */
	size_t count;
	struct rh_grid grid; /* of the others */
	struct rh_far_cell *outliers;
	size_t outlier_count;
	struct rh_since *since;
	size_t since_count;
};

struct rh_overview_page {
	struct rh_pool *pool;
	struct rh_store_sum sum;
	struct rh_overview_metric metrics[RH_OVERVIEW_METRICS]; /* time, memory, instructions */
	size_t planted, alarms;
	double alarms_expected;
};

/* A backend over all families. */
struct rh_pareto_point {
	const char *label;
	double time, memory;
	bool front; /* none is as good in one and better in the other */
};
size_t rh_overview_pareto(const struct rh_overview_page *page, struct rh_pareto_point **points);

void rh_overview_heat(const struct rh_overview_metric *metric, FILE *to);
void rh_overview_pareto_figure(const struct rh_overview_page *page, FILE *to);
void rh_overview_since_table(const struct rh_overview_page *page, FILE *to);
void rh_overview_outlier_table(const struct rh_overview_page *page, FILE *to);

#endif
