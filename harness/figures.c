/*
 * figures.c - which figures there are, and how each is filled from a view.
 *
 * Row figures (one point and interval a backend) come from a table: metric, title, axis.
 * The others have a function each in figures_lines.c. A figure asks the metrics by name; a probe
 * that adds its names there gets its picture without a line here:
 *
 *	time.ratio, time.ns_per_event, memory.rss_peak_bytes	row figures
 *	counters.WHAT_per_event					a panel each of cache-misses
 *	locks.wait_share, locks.blocked_share			lock-wait, blocked
 *	latency.pNN, latency.KIND.pNN_N (ns)			latency by percentile: p50, p99_9
 */
#include "harness/figures_parts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { FIGURES_MAX = 24 };

static const struct row_figure {
	const char *name, *metric, *title, *x_text, *why;
	double scale, reference;
	bool no_controls;	/* null's memory is nobody's choice */
} row_figures[] = {
	{"time-ratio", "time.ratio", "Time relative to the baseline (lower is better)",
	 "time / baseline's time, paired within repetitions",
	 "no result has a baseline to relate times to", 1, 1, false},
	{"ns-per-event", "time.ns_per_event", "Time per event (lower is better)",
	 "ns per event, replay loop included", "no result has time.ns_per_event", 1, 0, false},
	{"memory-peak", "memory.rss_peak_bytes", "Peak memory (lower is better)",
	 "peak RSS of the heap, MiB", "no result has memory.rss_peak_bytes", 1048576, 0, true},
	{"lock-wait", "locks.wait_share", "Time spent waiting for locks (lower is better)",
	 "share of lane time, %", "the lock probe has not run (--probes locks)", 0.01, 0, true},
	{"blocked", "locks.blocked_share",
	 "Time lanes spent blocked in the kernel (lower is better)", "share of lane time, %",
	 "the lock probe has not run (--probes locks)", 0.01, 0, true},
};

/* ---- row figures ---- */

static int by_x(const void *a, const void *b)
{
	const struct rh_series *x = a, *y = b;

	return (x->points[0].x > y->points[0].x) - (x->points[0].x < y->points[0].x);
}

static const char *row_text(const struct rh_view *view, const struct rh_metric *metric,
			    double scale)
{
	char median[24], lo[24], hi[24];

	rh_format_number(median, sizeof(median), metric->median / scale);
	if (!isfinite(metric->lo) || !isfinite(metric->hi) || metric->n < 2)
		return rh_pool_printf(view->pool, "%s", median);
	rh_format_number(lo, sizeof(lo), metric->lo / scale);
	rh_format_number(hi, sizeof(hi), metric->hi / scale);
	return rh_pool_printf(view->pool, "%s [%s, %s]", median, lo, hi);
}

static void add_row(const struct rh_view *view, struct rh_figure *figure, size_t panel,
		    const struct rh_metric *metric, struct rh_span *span)
{
	const struct rh_brand *brand = &view->brands[metric->brand];
	struct rh_series *series = rh_figure_series(view, figure, panel, (int)metric->brand,
						    brand->label, 1);

	series->points[0] = (struct rh_point){
		.x = metric->median,
		.x_lo = metric->n > 1 ? metric->lo : NAN,
		.x_hi = metric->n > 1 ? metric->hi : NAN,
		.y = 0,
		.y_lo = NAN,
		.y_hi = NAN,
		.n = metric->n,
		.text = row_text(view, metric, figure->scale),
	};
	series->point_count = 1;
	rh_span_widen(span, metric);
}

/* One panel of rows: every backend that has the metric in this scene, best first. */
static void add_rows(const struct rh_view *view, struct rh_figure *figure, size_t scene,
		     const char *metric_name, const char *panel_name, bool no_controls,
		     struct rh_span *span)
{
	size_t first = figure->series_count, panel = figure->panel_count;

	if (panel == RH_PANELS_MAX)
		return;
	for (size_t b = 0; b < view->brand_count; b++) {
		const struct rh_metric *metric = rh_view_metric(view, scene, b, metric_name);

		if (metric && !(no_controls && view->brands[b].control))
			add_row(view, figure, panel, metric, span);
	}
	if (figure->series_count == first)
		return;
	qsort(figure->series + first, figure->series_count - first, sizeof(*figure->series), by_x);
	for (size_t i = first; i < figure->series_count; i++)
		figure->series[i].points[0].y = (double)(i - first);
	figure->panels[panel].name = panel_name;
	figure->panels[panel].rows = figure->series_count - first;
	figure->panel_count++;
}

static void build_rows(const struct rh_view *view, struct rh_figures *figures,
		       const struct row_figure *row)
{
	size_t series_max = RH_PANELS_MAX * view->brand_count;
	struct rh_figure *figure = rh_figure_start(view, figures, row->name, RH_ROWS, RH_PANELS_MAX,
						   series_max);
	struct rh_span span = { 0 };
	size_t drawn = 0;

	figure->title = row->title;
	figure->x_text = row->x_text;
	figure->scale = row->scale;
	figure->reference = row->reference;
	for (size_t s = 0; s < view->scene_count; s++) {
		if (figure->panel_count < RH_PANELS_MAX)
			drawn++;
		add_rows(view, figure, s, row->metric, view->scenes[s].label, row->no_controls,
			 &span);
	}
	figure->note = rh_span_note(view, &span);
	figure->caption = rh_figure_caption(view, drawn, row->reference > 0 && view->baseline >= 0 ?
				     rh_pool_printf(view->pool, "Time relative to %s",
						    view->brands[view->baseline].spec) :
				     rh_pool_printf(view->pool, "%.*s",
						    (int)strcspn(row->title, "(") - 1, row->title));
	if (figure->panel_count == 0)
		figure->absent_why = rh_figure_why(view, row->metric, row->why);
}

/* ---- counters: a panel for each counter ---- */

static bool is_counter(const char *name)
{
	size_t length = strlen(name);

	return strncmp(name, "counters.", 9) == 0 && length > 18 &&
	       strcmp(name + length - 10, "_per_event") == 0;
}

static const char *counter_panel(const struct rh_view *view, const struct rh_metric *metric)
{
	const char *source = strcmp(metric->source, "hw") == 0 ? "hardware" :
			     strcmp(metric->source, "sim") == 0 ? "simulated by callgrind" :
			     strcmp(metric->source, "sw") == 0 ? "kernel" : "own count";
	char *what = rh_pool_printf(view->pool, "%.*s", (int)(strlen(metric->name) - 19),
				    metric->name + 9);

	for (char *at = what; *at; at++)
		if (*at == '_')
			*at = ' ';
	return rh_pool_printf(view->pool, "%s (%s), %s", what, source,
			      view->scenes[metric->scene].label);
}

static void build_counters(const struct rh_view *view, struct rh_figures *figures)
{
	struct rh_figure *figure =
		rh_figure_start(view, figures, "cache-misses", RH_ROWS, RH_PANELS_MAX,
				RH_PANELS_MAX * view->brand_count);
	struct rh_span span = { 0 };

	figure->title = "Cache and TLB misses per event (lower is better)";
	figure->x_text = "per event";
	for (size_t i = 0; i < view->metric_count; i++) {
		const struct rh_metric *metric = &view->metrics[i];
		bool seen = false;

		if (!is_counter(metric->name))
			continue;
		for (size_t j = 0; j < i && !seen; j++)
			seen = view->metrics[j].scene == metric->scene &&
			       strcmp(view->metrics[j].name, metric->name) == 0;
		if (!seen)
			add_rows(view, figure, metric->scene, metric->name,
				 counter_panel(view, metric), false, &span);
	}
	figure->note = rh_span_note(view, &span);
	figure->caption = "What the caches missed, per event of the trace";
	if (figure->panel_count == 0)
		figure->absent_why = rh_figure_why(view, "counters", "the counter probe has not "
						   "run (--probes counters)");
}

void rh_figures_build(const struct rh_view *view, struct rh_figures *figures)
{
	*figures = (struct rh_figures){
		.list = rh_pool_alloc(view->pool, FIGURES_MAX, sizeof(struct rh_figure)) };
	build_rows(view, figures, &row_figures[0]);
	build_rows(view, figures, &row_figures[1]);
	rh_build_pareto(view, figures);
	build_rows(view, figures, &row_figures[2]);
	rh_build_runs(view, figures);
	rh_build_lanes(view, figures);
	rh_build_tasks(view, figures);
	rh_build_latency(view, figures);
	build_counters(view, figures);
	build_rows(view, figures, &row_figures[3]);
	build_rows(view, figures, &row_figures[4]);
	for (size_t i = 0; i < figures->count; i++)
		if (!figures->list[i].absent_why)
			rh_figure_layout(&figures->list[i]);
}
