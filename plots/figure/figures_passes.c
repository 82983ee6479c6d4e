/*
 * figures_passes.c - time per event by pass: how a fresh heap becomes a used one.
 *
 * A point is the median over the trials of a backend that made so many passes, the bar their range.
 * Passes beyond PASSES_DRAWN are left out: a backend that has not settled by then shows a trend,
 * which is in the table of the run.
 */
#include <math.h>
#include <stdlib.h>

#include "harness/result/stat.h"
#include "plots/figure/figures_parts.h"

enum { PASSES_DRAWN = 24 };

/* ns per event of pass p in every trial that has it; returns how many. */
static size_t values_of(const struct rh_trial_done *const *trials, size_t count, size_t p,
			double *values)
{
	size_t found = 0;

	for (size_t t = 0; t < count; t++) {
		const struct rh_passes *passes = trials[t]->passes;

		if (passes && p < passes->wall_ns_count && p < passes->events_count &&
		    passes->events[p] > 0)
			values[found++] = passes->wall_ns[p] / passes->events[p];
	}
	rh_stat_sort(values, found);
	return found;
}

static void add_style(const struct rh_view *view, struct rh_figure *figure, size_t scene,
		      size_t style)
{
	const struct rh_trial_done **trials;
	size_t count = rh_view_trials(view, scene, style, &trials), found;
	double *values = rh_pool_alloc(view->pool, count + 1, sizeof(*values));
	struct rh_series *series = rh_figure_series(figure, figure->panel_count, (int)style,
						    view->styles[style].label, PASSES_DRAWN);

	for (size_t p = 0; p < PASSES_DRAWN; p++) {
		found = values_of(trials, count, p, values);
		if (!found)
			break;
		series->points[series->point_count++] =
			(struct rh_figure_point){ .x = (double)p + 1,
						  .x_lo = NAN,
						  .x_hi = NAN,
						  .y = rh_stat_median(values, found),
						  .y_lo = values[0],
						  .y_hi = values[found - 1],
						  .n = (unsigned)found };
	}
	if (series->point_count < 2)
		figure->series_count--;
}

void rh_build_passes(const struct rh_view *view, struct rh_figures *figures, int which)
{
	struct rh_figure *figure = rh_figure_start(figures, "passes", RH_LANES, RH_PANELS_MAX,
						   RH_PANELS_MAX * RH_SERIES_MAX);

	(void)which;
	figure->title = "Time per event by pass (lower is better)";
	figure->x_text = "pass over the trace; the first one meets a fresh heap";
	figure->y_text = "ns per event";
	figure->cpus = NAN;
	for (size_t s = 0; s < view->scene_count && figure->panel_count < RH_PANELS_MAX; s++) {
		size_t first = figure->series_count;

		for (size_t b = 0;
		     b < view->style_count && figure->series_count - first < RH_SERIES_MAX; b++)
			if (!view->styles[b].control)
				add_style(view, figure, s, b);
		if (figure->series_count > first)
			figure->panels[figure->panel_count++].name = view->scenes[s].label;
	}
	figure->note = "points: median over trials; bars: their range";
	figure->caption =
		"Cold and steady: the first pass meets a fresh heap, later ones a used one, "
		"with what lived at the end of the pass before still there";
	if (figure->panel_count == 0)
		figure->absent_why = "each trial made one pass (--passes N, --for TIME)";
}
