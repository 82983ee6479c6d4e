/*
 * figures_truth.c - predicted against observed (reheap validate): a point for each backend and
 * validated program, a cross for the two intervals, and the diagonal on which every point would
 * lie if replay predicted everything.
 */
#include <math.h>
#include <string.h>

#include "plots/figure/figures_parts.h"

static const struct truth_figure {
	const char *what, *name, *title, *x_text, *y_text, *why;
	double unit; /* values are divided by it */
} truth_figures[] = {
	{ "cpu", "truth-cpu", "Change of CPU time: predicted against observed",
	  "observed, ms against the baseline", "predicted, ms", "CPU time", 1e-3 },
	{ "rss", "truth-memory", "Change of peak memory: predicted against observed",
	  "observed, MiB against the baseline", "predicted, MiB", "peak memory", 1048576 },
	{ "instructions", "truth-instructions",
	  "Change of instructions: predicted against observed",
	  "observed, million against the baseline", "predicted, million", "instructions", 1e6 },
	{ "allocator", "truth-allocator",
	  "Change of time in the allocator's code: predicted against observed",
	  "observed, ms against the baseline", "predicted, ms", "user time in the allocator's code",
	  1e-3 },
	{ "asleep", "truth-asleep", "Change of time asleep: predicted against observed",
	  "observed, ms against the baseline, all threads", "predicted, ms", "time asleep", 1e-3 },
	{ "switches", "truth-switches", "Change of context switches: predicted against observed",
	  "observed, thousand against the baseline", "predicted, thousand", "voluntary switches",
	  1e3 },
};

static void add_point(struct rh_series *series, const struct rh_truth_change *change, double unit)
{
	series->points[series->point_count++] = (struct rh_figure_point){
		.x = change->observed / unit,
		.x_lo = change->observed_lo / unit,
		.x_hi = change->observed_hi / unit,
		.y = change->predicted / unit,
		.y_lo = change->predicted_lo / unit,
		.y_hi = change->predicted_hi / unit,
		.n = 1,
	};
}

static bool is_change_of(const struct rh_view *view, const struct rh_document *file,
			 const struct rh_truth_change *change, size_t style, const char *what)
{
	return strcmp(change->what, what) == 0 && isfinite(change->observed) &&
	       isfinite(change->predicted) &&
	       strcmp(file->backends[change->backend].spec, view->styles[style].spec) == 0;
}

/* All programs under one backend. */
static void add_style(const struct rh_view *view, struct rh_figure *figure, size_t style,
		      const struct truth_figure *row)
{
	struct rh_series *series;
	size_t most = 0;

	for (size_t d = 0; d < view->doc_count; d++)
		most += view->docs[d].file.validation ? view->docs[d].file.validation->changes_count
						      : 0;
	series = rh_figure_series(figure, 0, (int)style, view->styles[style].label, most + 1);
	for (size_t d = 0; d < view->doc_count; d++) {
		const struct rh_document *file = &view->docs[d].file;
		const struct rh_validation *v = file->validation;

		for (size_t i = 0; v && i < v->changes_count; i++)
			if (is_change_of(view, file, &v->changes[i], style, row->what))
				add_point(series, &v->changes[i], row->unit);
	}
	if (series->point_count == 0)
		figure->series_count--;
}

void rh_build_truth(const struct rh_view *view, struct rh_figures *figures, int which)
{
	const struct truth_figure *row = &truth_figures[which];
	struct rh_figure *figure =
		rh_figure_start(figures, row->name, RH_SCATTER, 1, RH_SERIES_MAX);
	size_t programs = 0;

	figure->title = row->title;
	figure->x_text = row->x_text;
	figure->y_text = row->y_text;
	figure->diagonal = true;
	for (size_t b = 0; b < view->style_count && figure->series_count < RH_SERIES_MAX; b++)
		if (!view->styles[b].control)
			add_style(view, figure, b, row);
	for (size_t d = 0; d < view->doc_count; d++)
		programs += view->docs[d].file.validation != NULL;
	if (figure->series_count) {
		figure->panels[0].name = "";
		figure->panel_count = 1;
	}
	figure->note = rh_pool_printf(view->pool,
				      "%zu program%s; crosses: intervals of the change; on "
				      "the dashed line predicted is observed",
				      programs, programs == 1 ? "" : "s");
	figure->caption = rh_pool_printf(
		view->pool, "What replay predicted of %s, against what the program itself did",
		row->why);
	if (figure->panel_count == 0)
		figure->absent_why = rh_pool_printf(
			view->pool,
			"no result holds observed changes of %s (reheap validate%s -o)%s", row->why,
			which == 2 ? " --instructions" : "",
			which > 3 ? ": for programs with threads" : "");
}
