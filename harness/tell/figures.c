/*
 * figures.c - which figures there are, and how each is filled from a view.
 *
 * Row figures (one point and interval a backend) come from a table: metric, title, axis.
 * The others have a function each in figures_lines.c. A figure asks the metrics by name; a probe
 * that adds its names there gets its picture without a line here:
 *
 *	time.ratio, time.ns_per_event, memory.rss_peak_bytes	row figures
 *	counters.WHAT_per_event					a panel each of cache-misses, or of
 *								instructions (what is no miss)
 *	locks.wait_share					lock-wait
 *	latency.pNN, latency.KIND.pNN_N (ns)			latency by percentile: p50, p99_9
 *
 * What lies in trials (sizes, the run, classes of locks, tiers) is read by its builder.
 */
#include "harness/tell/figures_parts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { FIGURES_MAX = 32 };

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
};

/* ---- row figures ---- */

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
		rh_figure_rows(view, figure, s, &(struct rh_rows){
			.metric = row->metric, .panel_name = view->scenes[s].label,
			.no_controls = row->no_controls }, &span);
	}
	figure->note = rh_span_note(view, &span);
	if (strcmp(row->metric, "memory.rss_peak_bytes") == 0)
		figure->note_more = rh_touch_note(view);
	figure->caption = rh_figure_caption(view, drawn, row->reference > 0 && view->baseline >= 0 ?
				     rh_pool_printf(view->pool, "Time relative to %s",
						    view->brands[view->baseline].spec) :
				     rh_pool_printf(view->pool, "%.*s",
						    (int)strcspn(row->title, "(") - 1, row->title));
	if (figure->panel_count == 0)
		figure->absent_why = rh_figure_why(view, row->metric, row->why);
}

/* ---- counters: a panel for each ---- */

static bool ends(const char *text, const char *with)
{
	size_t length = strlen(text), bytes = strlen(with);

	return length > bytes && strcmp(text + length - bytes, with) == 0;
}

/* What caches and TLBs missed has a figure; what was done (instructions, cycles, references) and
 * what the branch predictor missed has another. */
static bool is_counter(const char *name, bool misses)
{
	return strncmp(name, "counters.", 9) == 0 && ends(name, "_per_event") &&
	       (ends(name, "_misses_per_event") && !strstr(name, "branch")) == misses;
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
	return rh_pool_printf(view->pool, "%s (%s), %s", strcmp(what, "ir") == 0 ?
			      "instructions" : what, source, view->scenes[metric->scene].label);
}

static void add_counters(const struct rh_view *view, struct rh_figure *figure, bool misses)
{
	struct rh_span span = { 0 };

	for (size_t i = 0; i < view->metric_count; i++) {
		const struct rh_metric *metric = &view->metrics[i];
		bool seen = false;

		if (!is_counter(metric->name, misses))
			continue;
		for (size_t j = 0; j < i && !seen; j++)
			seen = view->metrics[j].scene == metric->scene &&
			       strcmp(view->metrics[j].name, metric->name) == 0;
		if (!seen)
			rh_figure_rows(view, figure, metric->scene, &(struct rh_rows){
				.metric = metric->name,
				.panel_name = counter_panel(view, metric) }, &span);
	}
	figure->note = rh_span_note(view, &span);
}

static void build_counters(const struct rh_view *view, struct rh_figures *figures, bool misses)
{
	struct rh_figure *figure =
		rh_figure_start(view, figures, misses ? "cache-misses" : "instructions", RH_ROWS,
				RH_PANELS_MAX, RH_PANELS_MAX * view->brand_count);

	figure->title = misses ? "Cache and TLB misses per event (lower is better)" :
				 "Instructions and what they do per event (lower is better)";
	figure->x_text = "per event";
	figure->own_x = true;
	add_counters(view, figure, misses);
	figure->caption = misses ? "What the caches missed, per event of the trace" :
				   "What the CPU had to do for an event of the trace, replay loop "
				   "included (row null)";
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
	build_counters(view, figures, true);
	build_counters(view, figures, false);
	build_rows(view, figures, &row_figures[3]);
	rh_build_contention(view, figures);
	rh_build_lock_classes(view, figures);
	rh_build_tiers(view, figures);
	for (size_t i = 0; i < figures->count; i++)
		if (!figures->list[i].absent_why)
			rh_figure_layout(&figures->list[i]);
}
