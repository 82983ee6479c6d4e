/*
 * figures_lines.c - figures with a function each: memory over the run, throughput against
 * lanes, memory against time. At most seven series share a panel; further ones get another
 * figure (runs) or stay in the tables (the others).
 */
#include "harness/result/estimate.h"
#include "plots/figure/figures_parts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { RUN_FIGURES_MAX = 6, RUN_POINTS_MAX = 600 };

/* ---- memory over the run ---- */

/* A line through at most RUN_POINTS_MAX of the segments, the largest of each stretch. What is
 * to be compared with (style -1) becomes an area, whose steps are spelled out. */
static void add_steps(struct rh_series *series, const struct rh_segments *segments,
		      const double *values, const double *under)
{
	size_t count = segments->events_count, stretch = 1 + count / RUN_POINTS_MAX;
	double at = 0;

	for (size_t i = 0; i < count; i += stretch) {
		double most = NAN, from = at;

		for (size_t j = i; j < count && j < i + stretch; j++) {
			double value = values[j];

			if (under)
				value = under[j] > 0 ? value / under[j] : NAN;
			if (isfinite(value) && !(value < most))
				most = value;
			at += segments->events[j];
		}
		if (!isfinite(most))
			continue;
		/* A reading stands for the stretch before it, the first one too. */
		if (series->style < 0 || series->point_count == 0)
			rh_series_point(series, from, most);
		rh_series_point(series, at, most);
	}
}

static bool add_run(const struct rh_view *view, struct rh_figure *figure, size_t scene,
		    size_t style)
{
	const struct rh_trial_done *trial = rh_view_trial(view, scene, style);
	const struct rh_segments *segments = trial ? trial->segments : NULL;
	size_t count = segments ? segments->events_count : 0;
	const char *label = view->styles[style].label;

	if (count < 2 || segments->rss_bytes_count != count || segments->live_bytes_count != count)
		return false;
	if (figure->series_count == 0)
		add_steps(rh_figure_series(figure, 0, -1, "in use by the program", 2 * count),
			  segments, segments->live_bytes, NULL);
	add_steps(rh_figure_series(figure, 0, (int)style, label, count + 1), segments,
		  segments->rss_bytes, NULL);
	add_steps(rh_figure_series(figure, 1, (int)style, label, count + 1), segments,
		  segments->rss_bytes, segments->live_bytes);
	return true;
}

/* More than seven lines cannot be distinguished: another figure takes the next seven. */
static void build_run_part(const struct rh_view *view, struct rh_figures *figures, size_t scene,
			   size_t *style)
{
	struct rh_figure *figure;
	size_t drawn = 0, number = figures->count;
	const char *name = rh_pool_printf(view->pool, "memory-run-%zu", number);

	figure = rh_figure_start(figures, name, RH_RUN, 2, 2 * RH_SERIES_MAX + 1);
	figure->title = "Memory over the run (lower is better)";
	figure->x_text = "events replayed";
	figure->y_text = "MiB";
	figure->y2_text = "RSS / in use";
	figure->scale = 1048576;
	figure->panel_count = 2;
	figure->panels[0].name = figure->panels[1].name = view->scenes[scene].label;
	for (; *style < view->style_count && drawn < RH_SERIES_MAX; ++*style) {
		/* Heaps that never return memory would flatten every other line. */
		if (!view->styles[*style].control)
			drawn += add_run(view, figure, scene, *style);
	}
	figure->note =
		"lines: RSS of the heap, trial of median time; filled: bytes the program holds";
	figure->caption = rh_pool_printf(view->pool,
					 "Memory over the run of %s, and how much of it "
					 "each backend needs for a byte in use; below 1 where the "
					 "replay touches only part of a block (--touch)",
					 view->scenes[scene].label);
	figure->note_more = rh_touch_note(view);
	if (drawn == 0)
		figures->count--;
}

void rh_build_runs(const struct rh_view *view, struct rh_figures *figures, int which)
{
	size_t before = figures->count;

	(void)which;
	for (size_t s = 0; s < view->scene_count; s++)
		for (size_t b = 0;
		     b < view->style_count && figures->count - before < RUN_FIGURES_MAX;)
			build_run_part(view, figures, s, &b);
	for (size_t i = before; i < figures->count; i++)
		figures->list[i].name = rh_pool_printf(
			view->pool, i == before ? "memory-run" : "memory-run-%zu", i - before + 1);
	if (figures->count == before) {
		struct rh_figure *figure = rh_figure_start(figures, "memory-run", RH_RUN, 1, 1);

		figure->title = "Memory over the run";
		figure->absent_why = "no trial has memory by segment (rss_bytes, live_bytes)";
	}
}

/* ---- throughput against lanes ---- */

/* Events per second of one style at every width of the trace of scene `first`. */
static void add_scaling(const struct rh_view *view, struct rh_figure *figure, size_t first,
			size_t style, struct rh_trial_span *span)
{
	struct rh_series *series = rh_figure_series(figure, figure->panel_count, (int)style,
						    view->styles[style].label, view->scene_count);

	for (size_t s = first; s < view->scene_count; s++) {
		const struct rh_view_metric *metric;

		if (!rh_same_trace(&view->scenes[s], &view->scenes[first]))
			continue;
		metric = rh_view_metric(view, s, style, "time.ns_per_event");
		if (!metric || !(metric->median > 0))
			continue;
		series->points[series->point_count++] = (struct rh_figure_point){
			.x = rh_scene_width(&view->scenes[s]),
			.x_lo = NAN,
			.x_hi = NAN,
			.y = 1e9 / metric->median,
			.y_lo = 1e9 / metric->hi,
			.y_hi = 1e9 / metric->lo,
			.n = metric->n,
		};
		rh_span_widen(span, metric);
	}
	qsort(series->points, series->point_count, sizeof(*series->points), rh_by_point_x);
	if (series->point_count < 2)
		figure->series_count--;
}

static void add_ideal(struct rh_figure *figure, size_t first)
{
	double one = 0, widest = 0;
	struct rh_series *ideal;

	for (size_t i = first; i < figure->series_count; i++) {
		const struct rh_series *series = &figure->series[i];

		one = fmax(one, series->points[0].y / series->points[0].x);
		widest = fmax(widest, series->points[series->point_count - 1].x);
	}
	ideal = rh_figure_series(figure, figure->panel_count, -1, "linear scaling", 2);
	rh_series_point(ideal, 0, 0);
	rh_series_point(ideal, widest, one * widest);
}

void rh_build_lanes(const struct rh_view *view, struct rh_figures *figures, int which)
{
	struct rh_figure *figure = rh_figure_start(figures, "lanes", RH_LANES, RH_PANELS_MAX,
						   RH_PANELS_MAX * (RH_SERIES_MAX + 2));
	struct rh_trial_span span = { 0 };

	(void)which;
	figure->title = "Throughput against lanes (higher is better)";
	figure->x_text = "lanes (threads of the replay)";
	figure->y_text = "events per second";
	for (size_t s = 0; s < view->scene_count && figure->panel_count < RH_PANELS_MAX; s++) {
		size_t first = figure->series_count;

		if (!rh_first_of_trace(view, s))
			continue;
		for (size_t b = 0;
		     b < view->style_count && figure->series_count - first < RH_SERIES_MAX; b++)
			if (!view->styles[b].control)
				add_scaling(view, figure, s, b, &span);
		if (figure->series_count == first)
			continue;
		add_ideal(figure, first);
		figure->panels[figure->panel_count++].name = view->scenes[s].trace_name;
	}
	figure->cpus = rh_view_cpus(view);
	figure->note = rh_span_note(view, &span);
	figure->note_more = rh_crowd_note(view, RH_SERIES_MAX);
	figure->caption = "Events replayed per second by number of lanes; the dashed line is what "
			  "linear scaling of the best single lane would give, the dotted one the "
			  "number of CPUs";
	if (figure->panel_count == 0)
		figure->absent_why = "only one number of lanes was replayed (--lanes 1,2,4)";
}

/* ---- memory against time ---- */

static void add_pareto(const struct rh_view *view, struct rh_figure *figure, size_t scene,
		       struct rh_trial_span *span)
{
	size_t first = figure->series_count;

	for (size_t b = 0; b < view->style_count && figure->series_count - first < RH_POINTS_MAX;
	     b++) {
		const struct rh_view_metric *time =
			rh_view_metric(view, scene, b, "time.ns_per_event");
		const struct rh_view_metric *peak =
			rh_view_metric(view, scene, b, "memory.rss_peak_bytes");
		struct rh_series *series;

		if (!time || !peak || view->styles[b].control)
			continue;
		series = rh_figure_series(figure, figure->panel_count, (int)b,
					  view->styles[b].label, 1);
		series->points[series->point_count++] = (struct rh_figure_point){
			.x = time->median,
			.x_lo = time->lo,
			.x_hi = time->hi,
			.y = peak->median,
			.y_lo = peak->lo,
			.y_hi = peak->hi,
			.n = time->n,
		};
		rh_span_widen(span, time);
	}
	if (figure->series_count > first)
		figure->panels[figure->panel_count++].name = view->scenes[scene].label;
}

void rh_build_pareto(const struct rh_view *view, struct rh_figures *figures, int which)
{
	struct rh_figure *figure = rh_figure_start(figures, "time-memory", RH_SCATTER,
						   RH_PANELS_MAX, RH_PANELS_MAX * RH_POINTS_MAX);
	struct rh_trial_span span = { 0 };
	size_t drawn = 0;

	(void)which;
	figure->title = "Memory against time (down and left is better)";
	figure->x_text = "ns per event";
	figure->y_text = "peak RSS, MiB";
	figure->scale = 1048576;
	for (size_t s = 0; s < view->scene_count && figure->panel_count < RH_PANELS_MAX / 2; s++) {
		add_pareto(view, figure, s, &span);
		drawn++;
	}
	figure->note = rh_span_note(view, &span);
	figure->note_more = rh_touch_note(view);
	if (!figure->note_more)
		figure->note_more = rh_crowd_note(view, RH_POINTS_MAX);
	figure->caption = rh_figure_caption(view, drawn, "What speed costs in memory");
	if (figure->panel_count == 0)
		figure->absent_why =
			"no backend has both time.ns_per_event and memory.rss_peak_bytes";
}

/* ---- all traces together ---- */

/* Geometric mean of a metric's ratios to the baseline over all traces, each counted once whatever
 * its lanes; NaN unless every trace that the baseline has knows the backend, so that points stand
 * for the same work. */
static double mean_over_traces(const struct rh_view *view, size_t style, const char *metric,
			       size_t *traces)
{
	double sum = 0;

	*traces = 0;
	for (size_t s = 0; s < view->scene_count; s++) {
		if (!rh_first_of_trace(view, s) ||
		    !isfinite(rh_trace_log_ratio(view, s, (size_t)view->baseline, metric)))
			continue;
		sum += rh_trace_log_ratio(view, s, style, metric);
		++*traces;
	}
	return *traces ? exp(sum / (double)*traces) : NAN;
}

static void add_mean(const struct rh_view *view, struct rh_figure *figure, size_t style,
		     size_t *traces)
{
	double time = mean_over_traces(view, style, "time.ns_per_event", traces);
	double memory = mean_over_traces(view, style, "memory.rss_peak_bytes", traces);
	struct rh_series *series;

	if (view->styles[style].control || !isfinite(time) || !isfinite(memory) ||
	    figure->series_count == RH_POINTS_MAX)
		return;
	series = rh_figure_series(figure, 0, (int)style, view->styles[style].label, 1);
	series->points[series->point_count++] = (struct rh_figure_point){ .x = time,
									  .x_lo = time,
									  .x_hi = time,
									  .y = memory,
									  .y_lo = memory,
									  .y_hi = memory,
									  .n = 1 };
	figure->panel_count = 1;
}

void rh_build_tradeoff(const struct rh_view *view, struct rh_figures *figures, int which)
{
	struct rh_figure *figure = rh_figure_start(figures, "trade", RH_SCATTER, 1, RH_POINTS_MAX);
	size_t traces = 0;

	(void)which;
	figure->title = "Time and memory over all traces (down and left is better)";
	figure->x_text = "time relative to the baseline";
	figure->y_text = "peak memory, relative";
	for (size_t b = 0; b < view->style_count && view->scene_count > 1 && view->baseline >= 0;
	     b++) {
		size_t known;

		add_mean(view, figure, b, &known);
		traces = known > traces ? known : traces;
	}
	figure->panels[0].name = "";
	figure->note = rh_pool_printf(
		view->pool,
		"geometric means over %zu trace%s, each counted once; the baseline is at 1, 1",
		traces, traces == 1 ? "" : "s");
	figure->note_more = rh_crowd_note(view, RH_POINTS_MAX);
	figure->caption = "What speed costs in memory, over everything that was replayed.";
	if (figure->panel_count == 0)
		figure->absent_why = "one trace only, or no baseline: see time-memory";
}
