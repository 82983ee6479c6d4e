/*
 * figures.c - the list of figures, and how each is filled from a view.
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
#include "plots/figure/figures_parts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BUILT_MAX = 48, FIGURES_MAX = BUILT_MAX * (RH_PANELS_MAX / 2) };
enum { TIME_RATIO, NS_PER_EVENT, MEMORY_PEAK, LOCK_WAIT };

static const struct row_figure {
	const char *name, *metric, *title, *x_text, *why;
	double scale, reference;
	bool no_controls; /* null and bump cannot be chosen, and would stretch the axis */
} row_figures[] = {
	[TIME_RATIO] = { "time-ratio", "time.ratio",
			 "Time relative to the baseline (lower is better)",
			 "time / baseline's time, paired within repetitions",
			 "no result has a baseline to relate times to", 1, 1, true },
	[NS_PER_EVENT] = { "ns-per-event", "time.ns_per_event", "Time per event (lower is better)",
			   "ns per event, replay loop included", "no result has time.ns_per_event",
			   1, 0, true },
	[MEMORY_PEAK] = { "memory-peak", "memory.rss_peak_bytes", "Peak memory (lower is better)",
			  "peak RSS of the heap, MiB", "no result has memory.rss_peak_bytes",
			  1048576, 0, true },
	[LOCK_WAIT] = { "lock-wait", "locks.wait_share",
			"Time spent waiting for locks (lower is better)", "share of lane time, %",
			"the lock probe has not run (--probes locks)", 0.01, 0, true },
};

/* ---- row figures ---- */

/* A missing row is left out, not drawn at 0. */
static const char *unseen_note(const struct rh_view *view)
{
	size_t unseen = 0, seen;

	for (size_t b = 0; b < view->style_count; b++) {
		seen = 0;
		for (size_t s = 0; s < view->scene_count; s++)
			seen += rh_view_metric(view, s, b, "locks.wait_share") != NULL;
		unseen += !seen && !view->styles[b].control;
	}
	return unseen ? rh_pool_printf(
				view->pool,
				"%zu allocator%s not here: locks that do not count themselves "
				"cannot be seen from outside (see contention)",
				unseen, unseen == 1 ? " is" : "s are")
		      : NULL;
}

/* Nobody waited here: six panels of zeros say less than none. */
static bool still(const struct rh_view *view, size_t scene)
{
	double most = rh_most_of_contestants(view, scene, "locks.wait_share");

	return most >= 0 && most < RH_WAIT_SHOWN_FROM;
}

static void build_rows(const struct rh_view *view, struct rh_figures *figures, int which)
{
	const struct row_figure *row = &row_figures[which];
	size_t series_max = RH_PANELS_MAX * view->style_count;
	struct rh_figure *figure =
		rh_figure_start(figures, row->name, RH_ROWS, RH_PANELS_MAX, series_max);
	struct rh_trial_span span = { 0 };
	size_t drawn = 0, quiet = 0;

	figure->title = row->title;
	figure->x_text = row->x_text;
	figure->scale = row->scale;
	figure->reference = row->reference;
	for (size_t s = 0; s < view->scene_count; s++) {
		if (which == LOCK_WAIT && still(view, s)) {
			quiet++;
			continue;
		}
		if (figure->panel_count < RH_PANELS_MAX)
			drawn++;
		rh_figure_rows(view, figure, s,
			       &(struct rh_rows){ .metric = row->metric,
						  .panel_name = view->scenes[s].label,
						  .no_controls = row->no_controls },
			       &span);
	}
	figure->note = rh_span_note(view, &span);
	if (which == MEMORY_PEAK)
		figure->note_more = rh_touch_note(view);
	if (which == LOCK_WAIT)
		figure->note_more = unseen_note(view);
	figure->caption = rh_figure_caption(
		view, drawn,
		row->reference > 0 && view->baseline >= 0
			? rh_pool_printf(view->pool, "Time relative to %s",
					 view->styles[view->baseline].spec)
			: rh_pool_printf(view->pool, "%.*s", (int)strcspn(row->title, "(") - 1,
					 row->title));
	if (figure->panel_count == 0)
		figure->absent_why =
			quiet ? "no lane waited 0.01 % of its time for a lock that counts itself"
			      : rh_figure_why(view, row->metric, row->why);
}

/* ---- counters: a panel for each ---- */

static bool ends(const char *text, const char *with)
{
	size_t length = strlen(text), bytes = strlen(with);

	return length > bytes && strcmp(text + length - bytes, with) == 0;
}

/* Misses of caches and TLBs have one figure; work done (instructions, cycles, references) and
 * branch mispredictions have another. */
static bool is_counter(const char *name, bool misses)
{
	return strncmp(name, "counters.", 9) == 0 && ends(name, "_per_event") &&
	       (ends(name, "_misses_per_event") && !strstr(name, "branch")) == misses;
}

static const char *counter_panel(const struct rh_view *view, const struct rh_view_metric *metric,
				 bool rare)
{
	const char *source = strcmp(metric->source, "hw") == 0	  ? "hardware"
			     : strcmp(metric->source, "sim") == 0 ? "simulated by callgrind"
			     : strcmp(metric->source, "sw") == 0  ? "kernel"
								  : "own count";
	char *what = rh_pool_printf(view->pool, "%.*s", (int)(strlen(metric->name) - 19),
				    metric->name + 9);

	static const char *const names[][2] = {
		{ "ir", "instructions" },
		{ "d1_misses", "L1 data misses" },
		{ "i1_misses", "L1 instruction misses" },
		{ "ll_misses", "last-level misses" },
		{ "l1d_misses", "L1 data misses" },
		{ "l2_misses", "L2 misses" },
		{ "llc_misses", "last-level misses" },
		{ "dtlb_misses", "data TLB misses" },
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(what, names[i][0]) == 0)
			what = rh_pool_text(view->pool, names[i][1]);
	for (char *at = what; *at; at++)
		if (*at == '_')
			*at = ' ';
	return rh_pool_printf(
		view->pool, "%s per %s (%s), %s", strcmp(what, "ir") == 0 ? "instructions" : what,
		rare ? "million events" : "event", source, view->scenes[metric->scene].label);
}

#define RARE 0.01 /* below it counts are given per million events */

static void add_counters(const struct rh_view *view, struct rh_figure *figure, bool misses)
{
	struct rh_trial_span span = { 0 };
	size_t zero = 0;

	for (size_t i = 0; i < view->metric_count; i++) {
		const struct rh_view_metric *metric = &view->metrics[i];
		bool seen = false;
		double most;

		if (!is_counter(metric->name, misses))
			continue;
		for (size_t j = 0; j < i && !seen; j++)
			seen = view->metrics[j].scene == metric->scene &&
			       strcmp(view->metrics[j].name, metric->name) == 0;
		if (seen)
			continue;
		most = rh_most_of_contestants(view, metric->scene, metric->name);
		zero += most == 0;
		if (most > 0)
			rh_figure_rows(view, figure, metric->scene,
				       &(struct rh_rows){ .metric = metric->name,
							  .panel_name = counter_panel(view, metric,
										      most < RARE),
							  .unit = most < RARE ? 1e-6 : 1,
							  .no_controls = true },
				       &span);
	}
	if (zero)
		figure->note_more =
			rh_pool_printf(view->pool, "left out: %zu counter%s that read 0 everywhere",
				       zero, zero == 1 ? "" : "s");
	figure->note = rh_span_note(view, &span);
}

/* TLBs are named where they were counted. */
static const char *miss_title(const struct rh_view *view)
{
	for (size_t i = 0; i < view->metric_count; i++)
		if (is_counter(view->metrics[i].name, true) && strstr(view->metrics[i].name, "tlb"))
			return "Cache and TLB misses (lower is better)";
	return "Cache misses (lower is better)";
}

static void build_counters(const struct rh_view *view, struct rh_figures *figures, int misses)
{
	struct rh_figure *figure =
		rh_figure_start(figures, misses ? "cache-misses" : "instructions", RH_ROWS,
				RH_PANELS_MAX, RH_PANELS_MAX * view->style_count);

	figure->title =
		misses ? miss_title(view) : "Instructions and what they do (lower is better)";
	figure->x_text = "";
	figure->own_x = true;
	add_counters(view, figure, misses != 0);
	figure->caption = misses ? "What the caches missed while the trace was replayed"
				 : "What the CPU had to do for the trace, replay loop included";
	if (figure->panel_count == 0)
		figure->absent_why = rh_figure_why(view, "counters",
						   "the counter probe has not "
						   "run (--probes counters)");
}

/* Every figure, in the order of the page. `which` is for builders that make several. */
static const struct builder {
	void (*build)(const struct rh_view *view, struct rh_figures *figures, int which);
	int which;
} builders[] = {
	{ build_rows, TIME_RATIO }, { build_rows, NS_PER_EVENT }, { rh_build_passes, 0 },
	{ rh_build_tradeoff, 0 },   { rh_build_pareto, 0 },	  { build_rows, MEMORY_PEAK },
	{ rh_build_runs, 0 },	    { rh_build_lanes, 0 },	  { rh_build_tasks, 0 },
	{ rh_build_latency, 0 },    { build_counters, true },	  { build_counters, false },
	{ build_rows, LOCK_WAIT },  { rh_build_contention, 0 },	  { rh_build_lock_classes, 0 },
	{ rh_build_tiers, 0 },	    { rh_build_truth, 0 },	  { rh_build_truth, 1 },
	{ rh_build_truth, 2 },	    { rh_build_truth, 3 },	  { rh_build_truth, 4 },
	{ rh_build_truth, 5 },	    { rh_build_apart, 0 },
};

enum { NOTE_CHARS = 80 }; /* of 11 px in a column of 460 */

/* Breaks a sentence of a footer at spaces. */
static void wrap_note(const struct rh_view *view, struct rh_figure *figure, const char *text)
{
	while (text && *text && figure->note_count < RH_NOTE_LINES_MAX) {
		size_t length = strlen(text), cut = length;

		if (length > NOTE_CHARS)
			for (cut = NOTE_CHARS; cut > 0 && text[cut] != ' '; cut--)
				;
		cut = cut ? cut : length;
		figure->note_lines[figure->note_count++] =
			rh_pool_printf(view->pool, "%.*s", (int)cut, text);
		text += cut + (text[cut] == ' ');
	}
}

static void finish_figure(const struct rh_view *view, struct rh_figure *figure)
{
	wrap_note(view, figure, figure->note);
	wrap_note(view, figure, figure->note_more);
	rh_figure_layout(figure);
	if (figure->log && (figure->layout == RH_ROWS || figure->layout == RH_SCATTER))
		figure->x_text = rh_pool_printf(view->pool, "%s (logarithmic)", figure->x_text);
}

const char *rh_panel_shows(const struct rh_panel *panel)
{
	return panel->of ? panel->of : panel->name;
}

/* How many panels from `first` on make one figure: those that belong together stay together. */
static size_t panels_of_part(const struct rh_figure *figure, size_t first)
{
	size_t end = first, next;

	for (; end < figure->panel_count; end = next) {
		next = end + 1;
		while (next < figure->panel_count &&
		       strcmp(rh_panel_shows(&figure->panels[next]),
			      rh_panel_shows(&figure->panels[end])) == 0)
			next++;
		if (end > first && next - first > RH_PANELS_OF_ONE)
			break;
	}
	return end - first;
}

/* The panels from `first` on as a figure of their own. */
static void add_part(const struct rh_view *view, const struct rh_figure *whole, size_t first,
		     size_t panels, struct rh_figures *figures)
{
	struct rh_figure *part = &figures->list[figures->count++];
	size_t before = 0, count = 0;

	*part = *whole;
	part->panels += first;
	part->panel_count = panels;
	part->series = rh_pool_alloc(view->pool, whole->series_count, sizeof(*part->series));
	for (size_t s = 0; s < whole->series_count; s++)
		if (whole->series[s].panel >= first && whole->series[s].panel < first + panels) {
			part->series[count] = whole->series[s];
			part->series[count++].panel -= first;
		}
	part->series_count = count;
	for (size_t i = 0; i + 1 < figures->count; i++)
		before += strcmp(figures->list[i].title, whole->title) == 0;
	if (first)
		part->name = rh_pool_printf(view->pool, "%s-%zu", whole->name, before + 1);
}

/* A figure of many panels is a strip too long for a screen or a page: it becomes several, each with
 * its key and its axis. */
static void add_parts(const struct rh_view *view, const struct rh_figure *whole,
		      struct rh_figures *figures)
{
	bool one = whole->absent_why || whole->layout == RH_RUN || whole->layout == RH_HEAT ||
		   whole->panel_count <= RH_PANELS_OF_ONE;

	if (one)
		figures->list[figures->count++] = *whole;
	for (size_t first = 0; !one && first < whole->panel_count;) {
		size_t panels = panels_of_part(whole, first);

		add_part(view, whole, first, panels, figures);
		first += panels;
	}
}

void rh_figures_build(const struct rh_view *view, struct rh_figures *figures)
{
	struct rh_figures built = { .pool = view->pool,
				    .list = rh_pool_alloc(view->pool, BUILT_MAX,
							  sizeof(struct rh_figure)) };

	*figures = (struct rh_figures){ .list = rh_pool_alloc(view->pool, FIGURES_MAX,
							      sizeof(struct rh_figure)) };
	for (size_t b = 0; b < sizeof(builders) / sizeof(builders[0]); b++)
		builders[b].build(view, &built, builders[b].which);
	for (size_t i = 0; i < built.count; i++)
		add_parts(view, &built.list[i], figures);
	for (size_t i = 0; i < figures->count; i++)
		if (!figures->list[i].absent_why)
			finish_figure(view, &figures->list[i]);
}
