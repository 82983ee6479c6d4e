/*
 * figures_parts.h - shared by the figure builders: starting a figure, adding series and points,
 * and the footer's account of n and intervals. Private to figures*.c. Thread rule: one thread.
 */
#ifndef RH_FIGURES_PARTS_H
#define RH_FIGURES_PARTS_H

#include "plots/figure/figure.h"

/* n and level over everything a figure shows. */
struct rh_trial_span {
	unsigned n_min, n_max;
	double level_min;
};

/* A new figure with room for so many panels and series. */
struct rh_figure *rh_figure_start(struct rh_figures *figures, const char *name,
				  enum rh_layout layout, size_t panels_max, size_t series_max);
struct rh_series *rh_figure_series(struct rh_figure *figure, size_t panel, int style,
				   const char *label, size_t points_max);
void rh_series_point(struct rh_series *series, double x, double y);
void rh_span_widen(struct rh_trial_span *span, const struct rh_view_metric *metric);
/* "median of n = 5 trials; whiskers: ..." */
const char *rh_span_note(const struct rh_view *view, const struct rh_trial_span *span);
/* `what`, where (when there is one scene only), and how many scenes are not drawn. */
const char *rh_figure_caption(const struct rh_view *view, size_t scenes_drawn, const char *what);

/* One panel of rows: every backend that has the metric in this scene, best first. */
struct rh_rows {
	const char *metric, *panel_name, *of;
	double unit;		      /* values are divided by it; 0 = 1 */
	bool no_controls, most_first; /* most_first: more is better */
};
void rh_figure_rows(const struct rh_view *view, struct rh_figure *figure, size_t scene,
		    const struct rh_rows *rows, struct rh_trial_span *span);

/* The largest median of a metric among what one may choose in a scene; -1 when nothing has it. */
double rh_most_of_contestants(const struct rh_view *view, size_t scene, const char *metric);

/* A share of time below it is noise: what never reaches it is not drawn. */
#define RH_WAIT_SHOWN_FROM 0.0001

/* Compares points by x, for qsort. */
int rh_by_point_x(const void *a, const void *b);
bool rh_same_trace(const struct rh_scene *a, const struct rh_scene *b);
/* Mean of the logarithms of a trace's ratios to the baseline, of its settings that have one; NaN
 * without. `first`: the first scene of the trace. Settings of one trace are one opinion. */
double rh_trace_log_ratio(const struct rh_view *view, size_t first, size_t style,
			  const char *metric);
/* "the first 7 of 9 backends ...": what a figure of `most` has no place for; NULL = all fit. */
const char *rh_crowd_note(const struct rh_view *view, size_t most);
bool rh_first_of_trace(const struct rh_view *view, size_t scene);
/* The ways of one trace to be replayed are its copies where copies vary, its lanes otherwise. */
unsigned rh_scene_width(const struct rh_scene *scene);
/* CPUs the first document's run could use; NaN = not known. */
double rh_view_cpus(const struct rh_view *view);

/* A remark on memory figures when blocks are not touched in full; NULL = none. */
const char *rh_touch_note(const struct rh_view *view);

/* Why a metric is absent, as a document says it ("counters" matches counters.*), else `otherwise`.
 */
const char *rh_figure_why(const struct rh_view *view, const char *metric, const char *otherwise);

void rh_build_runs(const struct rh_view *view, struct rh_figures *figures, int which);
void rh_build_lanes(const struct rh_view *view, struct rh_figures *figures, int which);
void rh_build_passes(const struct rh_view *view, struct rh_figures *figures, int which);
void rh_build_tradeoff(const struct rh_view *view, struct rh_figures *figures, int which);
void rh_build_pareto(const struct rh_view *view, struct rh_figures *figures, int which);
void rh_build_tasks(const struct rh_view *view, struct rh_figures *figures, int which);
void rh_build_contention(const struct rh_view *view, struct rh_figures *figures, int which);
void rh_build_lock_classes(const struct rh_view *view, struct rh_figures *figures, int which);
void rh_build_tiers(const struct rh_view *view, struct rh_figures *figures, int which);
void rh_build_truth(const struct rh_view *view, struct rh_figures *figures, int which);
void rh_build_apart(const struct rh_view *view, struct rh_figures *figures, int which);
void rh_build_latency(const struct rh_view *view, struct rh_figures *figures, int which);

#endif
