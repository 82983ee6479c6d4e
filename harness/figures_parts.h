/*
 * figures_parts.h - what the figure builders share: starting a figure, adding series and points,
 * and the footer's account of n and intervals. Private to figures*.c. Thread rule: one thread.
 */
#ifndef RH_FIGURES_PARTS_H
#define RH_FIGURES_PARTS_H

#include "harness/figure.h"

/* n and level over everything a figure shows. */
struct rh_span {
	unsigned n_min, n_max;
	double level_min;
};

/* A new figure with room for so many panels and series. */
struct rh_figure *rh_figure_start(const struct rh_view *view, struct rh_figures *figures,
				  const char *name, enum rh_layout layout, size_t panels_max,
				  size_t series_max);
struct rh_series *rh_figure_series(const struct rh_view *view, struct rh_figure *figure,
				   size_t panel, int brand, const char *label, size_t points_max);
void rh_series_point(struct rh_series *series, double x, double y);
void rh_span_widen(struct rh_span *span, const struct rh_metric *metric);
/* "median of n = 5 trials; whiskers: ..." */
const char *rh_span_note(const struct rh_view *view, const struct rh_span *span);
/* `what`, where (when there is one scene only), and how many scenes are not drawn. */
const char *rh_figure_caption(const struct rh_view *view, size_t scenes_drawn, const char *what);

/* Why a metric is absent, as a document says it ("counters" matches counters.*), else `otherwise`.
 */
const char *rh_figure_why(const struct rh_view *view, const char *metric, const char *otherwise);

void rh_build_runs(const struct rh_view *view, struct rh_figures *figures);
void rh_build_lanes(const struct rh_view *view, struct rh_figures *figures);
void rh_build_pareto(const struct rh_view *view, struct rh_figures *figures);
void rh_build_tasks(const struct rh_view *view, struct rh_figures *figures);
void rh_build_latency(const struct rh_view *view, struct rh_figures *figures);

#endif
