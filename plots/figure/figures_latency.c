/*
 * figures_latency.c - latency of single operations: by percentile, by kind, by size, and over
 * the run. The percentiles are metrics; sizes and the run come from trials[].probes.latency,
 * with the trials of a backend put together (RESULT.md: `sizes`, `run`).
 */
#include "harness/result/latency_kinds.h"
#include "plots/figure/figures_parts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/result/stat.h"

enum { RUN_BUCKETS_MAX = 124, RUN_COLUMNS_MAX = 64 };

struct tick {
	double at;
	const char *name;
};
static const struct tick percentiles[] = {
	{ 2, "50 %" },	   { 10, "90 %" },     { 100, "99 %" },
	{ 1e3, "99.9 %" }, { 1e4, "99.99 %" }, { 1e5, "99.999 %" },
};
static const struct tick sizes[] = {
	{ 8, "8" },	  { 64, "64" },	      { 512, "512" },	   { 4096, "4K" },
	{ 32768, "32K" }, { 262144, "256K" }, { 2097152, "> 1M" },
};

/* The kinds that have a panel. */
static const enum rh_latency_kind kinds[] = { RH_LAT_ALLOC, RH_LAT_FREE, RH_LAT_FREE_REMOTE,
					      RH_LAT_RESIZE, RH_LAT_SPAWN };
enum { KINDS = sizeof(kinds) / sizeof(kinds[0]) };

static void add_ticks(struct rh_figure *figure, const struct tick *ticks, size_t count)
{
	for (size_t i = 0; i < count && i < RH_TICKS_MAX; i++) {
		figure->ticks[i] = ticks[i].at;
		figure->tick_names[i] = ticks[i].name;
	}
	figure->tick_count = count;
}

/* Three steps of the clock: below that, values are mostly rounding. */
static double floor_of(const struct rh_view *view)
{
	const struct rh_host_used *host = view->doc_count ? view->docs[0].file.host : NULL;
	double step = host && host->clock ? host->clock->granularity_ns : 0;

	return step > 0 ? 3 * step : 0;
}

/* ---- latency by percentile ---- */

/* With prefix "latency." the name latency.p99_9 is 1 / (1 - 0.999) = 1000; 0 when the name is no
 * percentile of that prefix. */
static double nines_of(const char *name, const char *prefix)
{
	size_t skip = strlen(prefix);
	double percent, part = 0.1;
	char *end;

	if (strncmp(name, prefix, skip) != 0 || name[skip] != 'p' || name[skip + 1] < '0' ||
	    name[skip + 1] > '9')
		return 0;
	percent = (double)strtoul(name + skip + 1, &end, 10);
	if (*end == '_')
		for (end++; *end >= '0' && *end <= '9'; end++, part /= 10)
			percent += part * (*end - '0');
	return *end == '\0' && percent >= 50 && percent < 100 ? 100 / (100 - percent) : 0;
}

struct latency_panel {
	size_t scene;
	const char *prefix; /* of its metrics: "latency." or "latency.KIND." */
	const char *name;
};

/* A panel of percentiles; nothing when no backend has two. */
static void add_latency(const struct rh_view *view, struct rh_figure *figure,
			const struct latency_panel *panel, struct rh_trial_span *span)
{
	size_t first = figure->series_count;

	for (size_t b = 0; b < view->style_count && figure->series_count - first < RH_SERIES_MAX;
	     b++) {
		struct rh_series *series;

		if (view->styles[b].control)
			continue;
		series = rh_figure_series(figure, figure->panel_count, (int)b,
					  view->styles[b].label, view->metric_count);
		for (size_t i = 0; i < view->metric_count; i++) {
			const struct rh_view_metric *metric = &view->metrics[i];
			double nines = nines_of(metric->name, panel->prefix);

			if (nines > 0 && metric->scene == panel->scene && metric->style == b) {
				rh_series_point(series, nines, metric->median);
				rh_span_widen(span, metric);
			}
		}
		qsort(series->points, series->point_count, sizeof(*series->points), rh_by_point_x);
		if (series->point_count < 2)
			figure->series_count--;
	}
	if (figure->series_count > first) {
		figure->panels[figure->panel_count].of = view->scenes[panel->scene].label;
		figure->panels[figure->panel_count++].name = panel->name;
	}
}

static struct rh_figure *start_latency(const struct rh_view *view, struct rh_figures *figures,
				       const char *name, const char *title)
{
	struct rh_figure *figure = rh_figure_start(figures, name, RH_PERCENTILE, RH_PANELS_MAX,
						   RH_PANELS_MAX * (RH_SERIES_MAX + 1));

	figure->title = title;
	figure->x_text = "percentile of operations";
	figure->y_text = "ns";
	figure->floor_ns = floor_of(view);
	add_ticks(figure, percentiles, sizeof(percentiles) / sizeof(percentiles[0]));
	return figure;
}

static void end_latency(const struct rh_view *view, struct rh_figure *figure,
			const struct rh_trial_span *span, const char *why)
{
	figure->note = "";
	if (span->n_max)
		figure->note = rh_pool_printf(view->pool,
					      "median over n = %u trials; grey: three "
					      "steps of the clock and less",
					      span->n_max);
	figure->note_more = rh_crowd_note(view, RH_SERIES_MAX);
	if (figure->panel_count == 0)
		figure->absent_why = rh_figure_why(view, "latency", why);
}

static void build_percentiles(const struct rh_view *view, struct rh_figures *figures)
{
	struct rh_figure *figure =
		start_latency(view, figures, "latency", "Latency by percentile (lower is better)");
	struct rh_trial_span span = { 0 };

	for (size_t s = 0; s < view->scene_count && figure->panel_count < RH_PANELS_MAX / 2; s++)
		add_latency(view, figure,
			    &(struct latency_panel){ s, "latency.", view->scenes[s].label }, &span);
	figure->caption = "Latency of single operations by percentile";
	end_latency(view, figure, &span, "the latency probe has not run (--probes latency)");

	figure = start_latency(view, figures, "latency-kinds",
			       "Latency by kind of operation (lower is better)");
	span = (struct rh_trial_span){ 0 };
	for (size_t s = 0; s < view->scene_count; s++)
		for (size_t k = 0; k < KINDS && figure->panel_count < RH_PANELS_MAX; k++)
			add_latency(
				view, figure,
				&(struct latency_panel){ s,
							 rh_pool_printf(view->pool, "latency.%s.",
									rh_latency_names[kinds[k]]),
							 rh_pool_printf(view->pool, "%s, %s",
									rh_latency_words[kinds[k]],
									view->scenes[s].label) },
				&span);
	figure->caption = "Latency by kind of operation: where the tail comes from";
	end_latency(view, figure, &span, "no result has latency by kind of operation");
}

/* ---- by size ---- */

/* Median over the trials of a style's p99 in one octave, and how many trials there are. */
struct octave {
	double values[64];
	size_t count;
};

/* A p99 needs a hundred samples: cells with fewer are left out. */
static void add_trial_sizes(const struct rh_latency_sizes *table, const char *kind,
			    struct octave *octaves)
{
	enum { SAMPLES_MIN = 100 };

	for (size_t i = 0; i < table->kind_count && i < table->size_to_count &&
			   i < table->n_count && i < table->p99_ns_count;
	     i++) {
		unsigned o = rh_latency_octave_of(table->size_to[i]);

		if (o == RH_LAT_OCTAVES || !(table->n[i] >= SAMPLES_MIN) || !table->kind[i] ||
		    strcmp(table->kind[i], kind) != 0 || octaves[o].count == 64)
			continue;
		octaves[o].values[octaves[o].count++] = table->p99_ns[i];
	}
}

static const struct rh_latency_found *latency_of(const struct rh_trial_done *trial)
{
	return trial->probes ? trial->probes->latency : NULL;
}

static size_t add_sizes(const struct rh_view *view, struct rh_figure *figure, size_t scene,
			size_t style, const char *kind)
{
	struct octave *octaves = rh_pool_alloc(view->pool, RH_LAT_OCTAVES, sizeof(*octaves));
	struct rh_series *series;
	const struct rh_trial_done **list;
	size_t trials = rh_view_trials(view, scene, style, &list);

	for (size_t i = 0; i < trials; i++) {
		const struct rh_latency_found *probe = latency_of(list[i]);

		if (probe && probe->sizes)
			add_trial_sizes(probe->sizes, kind, octaves);
	}
	series = rh_figure_series(figure, figure->panel_count, (int)style,
				  view->styles[style].label, RH_LAT_OCTAVES);
	for (int o = 0; o < RH_LAT_OCTAVES; o++) {
		rh_stat_sort(octaves[o].values, octaves[o].count);
		/* an octave that only some trials filled does not represent all of them */
		if (octaves[o].count && 2 * octaves[o].count >= trials)
			rh_series_point(
				series, 8 * exp2(o),
				fmax(octaves[o].values[octaves[o].count / 2], figure->floor_ns));
	}
	if (series->point_count < 2)
		figure->series_count--;
	return trials;
}

static void build_sizes(const struct rh_view *view, struct rh_figures *figures)
{
	struct rh_figure *figure =
		rh_figure_start(figures, "latency-sizes", RH_PERCENTILE, RH_PANELS_MAX,
				RH_PANELS_MAX * (RH_SERIES_MAX + 1));
	size_t trials = 0;

	figure->title = "99th percentile of latency by size (lower is better)";
	figure->x_text = "size of the block, up to so many bytes";
	figure->y_text = "p99, ns";
	figure->floor_ns = floor_of(view);
	add_ticks(figure, sizes, sizeof(sizes) / sizeof(sizes[0]));
	for (size_t s = 0; s < view->scene_count; s++) {
		for (size_t k = 0; k < KINDS && figure->panel_count < RH_PANELS_MAX; k++) {
			size_t first = figure->series_count;

			for (size_t b = 0;
			     b < view->style_count && figure->series_count - first < RH_SERIES_MAX;
			     b++)
				if (!view->styles[b].control)
					trials = add_sizes(view, figure, s, b,
							   rh_latency_names[kinds[k]]);
			if (figure->series_count == first)
				continue;
			figure->panels[figure->panel_count].of = view->scenes[s].label;
			figure->panels[figure->panel_count++].name =
				rh_pool_printf(view->pool, "%s, %s", rh_latency_words[kinds[k]],
					       view->scenes[s].label);
		}
	}
	figure->note = rh_pool_printf(view->pool,
				      "median over n = %zu trials of the p99 of 100 "
				      "samples or more; grey: three steps of the clock",
				      trials);
	figure->caption = "Latency by size of the block: which sizes are served slowly; a size "
			  "with fewer than 100 samples in a trial has no point";
	if (figure->panel_count == 0)
		figure->absent_why = rh_figure_why(view, "latency",
						   "no result has latency by size "
						   "with 100 samples (--probes latency)");
}

/* ---- over the run ---- */

struct heat {
	double edge_ns[RUN_BUCKETS_MAX + 1];
	double counts[RUN_COLUMNS_MAX][RUN_BUCKETS_MAX];
	double events[RUN_COLUMNS_MAX];
	size_t columns, first, last; /* of the buckets: last not included */
};

static void add_heat_column(struct heat *heat, size_t c, const struct rh_bucket_row *column,
			    size_t first, size_t buckets)
{
	for (size_t i = 0; i < column->list_count; i++) {
		double b = column->list[i].edge;

		if (b >= 0 && b < (double)buckets)
			heat->counts[c][first + (size_t)b] += (double)column->list[i].count;
	}
}

/* Adds one trial; false when it has other stretches than those before it. */
static bool add_heat(struct heat *heat, const struct rh_latency_run *run)
{
	size_t columns = run->events_count, buckets = run->edges_ns_count;
	size_t first = (size_t)run->first_bucket;

	if (columns < 2 || columns > RUN_COLUMNS_MAX || buckets < 2 || first > RUN_BUCKETS_MAX ||
	    first + buckets > RUN_BUCKETS_MAX + 1 || run->counts_count != columns ||
	    (heat->columns && heat->columns != columns))
		return false;
	buckets--;
	heat->first = heat->columns && heat->first < first ? heat->first : first;
	heat->last = heat->last > first + buckets ? heat->last : first + buckets;
	heat->columns = columns;
	for (size_t b = 0; b <= buckets; b++)
		heat->edge_ns[first + b] = run->edges_ns[b];
	for (size_t c = 0; c < columns; c++) {
		heat->events[c] = run->events[c];
		add_heat_column(heat, c, &run->counts[c], first, buckets);
	}
	return true;
}

/* The document has four buckets an octave; a box is two of them. */
static void pair_buckets(struct heat *heat)
{
	size_t first = heat->first / 2, last = (heat->last + 1) / 2;

	for (size_t b = first; b < last; b++) {
		size_t high = 2 * b + 2 < heat->last ? 2 * b + 2 : heat->last;

		heat->edge_ns[b] = heat->edge_ns[2 * b > heat->first ? 2 * b : heat->first];
		for (size_t c = 0; c < heat->columns; c++)
			heat->counts[c][b] =
				heat->counts[c][2 * b] +
				(2 * b + 1 < RUN_BUCKETS_MAX ? heat->counts[c][2 * b + 1] : 0);
		heat->edge_ns[b + 1] = heat->edge_ns[high];
	}
	heat->first = first;
	heat->last = last;
}

/* 6: three in ten operations of the stretch or more; each level below is a third of that. */
static unsigned level_of(double share)
{
	double least = 0.3;

	for (unsigned level = RH_HEAT_LEVELS; level > 1; level--, least /= 3)
		if (share >= least)
			return level;
	return share > 0 ? 1 : 0;
}

/* Neighbours in time with one level become one box: a tenth of the file. */
static void draw_heat(const struct heat *heat, double floor_ns, struct rh_series *series)
{
	double total[RUN_COLUMNS_MAX] = { 0 };

	for (size_t c = 0; c < heat->columns; c++)
		for (size_t b = heat->first; b < heat->last; b++)
			total[c] += heat->counts[c][b];
	for (size_t b = heat->first; b < heat->last; b++) {
		struct rh_figure_point *open = NULL;
		double at = 0;

		for (size_t c = 0; c < heat->columns; c++) {
			unsigned level = level_of(total[c] > 0 ? heat->counts[c][b] / total[c] : 0);
			double next = at + heat->events[c];

			if (level == 0 || heat->edge_ns[b] < floor_ns / 4) {
				open = NULL;
			} else if (open && open->n == level) {
				open->x_hi = next;
			} else {
				open = &series->points[series->point_count++];
				*open = (struct rh_figure_point){ .x = at,
								  .x_lo = at,
								  .x_hi = next,
								  .y = sqrt(heat->edge_ns[b] *
									    heat->edge_ns[b + 1]),
								  .y_lo = heat->edge_ns[b],
								  .y_hi = heat->edge_ns[b + 1],
								  .n = level };
			}
			at = next;
		}
	}
}

static unsigned add_heat_panel(const struct rh_view *view, struct rh_figure *figure, size_t scene,
			       size_t style)
{
	struct heat *heat = rh_pool_alloc(view->pool, 1, sizeof(*heat));
	struct rh_series *series;
	const struct rh_trial_done **list;
	size_t count = rh_view_trials(view, scene, style, &list);
	unsigned trials = 0;

	for (size_t i = 0; i < count; i++) {
		const struct rh_latency_found *probe = latency_of(list[i]);

		trials += probe && probe->run && add_heat(heat, probe->run);
	}
	if (trials == 0)
		return 0;
	series = rh_figure_series(figure, figure->panel_count, (int)style,
				  view->styles[style].label, heat->columns * RUN_BUCKETS_MAX);
	pair_buckets(heat);
	draw_heat(heat, figure->floor_ns, series);
	figure->panels[figure->panel_count++].name = view->styles[style].label;
	return trials;
}

/* One setting: more would be more panels than a page can hold. */
static void build_heat(const struct rh_view *view, struct rh_figures *figures)
{
	struct rh_figure *figure =
		rh_figure_start(figures, "latency-run", RH_HEAT, RH_PANELS_MAX, RH_PANELS_MAX);
	unsigned trials = 0;

	figure->title = "Latency over the run (lower is better)";
	figure->x_text = "events replayed";
	figure->y_text = "ns";
	figure->floor_ns = floor_of(view);
	for (size_t s = 0; s < view->scene_count && figure->panel_count == 0; s++) {
		for (size_t b = 0; b < view->style_count && figure->panel_count < RH_SERIES_MAX;
		     b++)
			if (!view->styles[b].control) {
				unsigned n = add_heat_panel(view, figure, s, b);

				trials = n > trials ? n : trials;
			}
		figure->caption = rh_pool_printf(view->pool,
						 "Latency of operations over the run "
						 "of %s, a panel for each backend: the darker, the "
						 "more operations of that stretch took that long",
						 view->scenes[s].label);
	}
	figure->note = rh_pool_printf(view->pool,
				      "%u trials together; darkest: 30 %% or more of a "
				      "stretch, each shade below a third of it",
				      trials);
	figure->note_more = "grey: below three steps of the clock, where values are mostly "
			    "rounding";
	if (figure->panel_count == 0)
		figure->absent_why = rh_figure_why(view, "latency",
						   "no result has latency over "
						   "the run (--probes latency, two segments or "
						   "more)");
}

void rh_build_latency(const struct rh_view *view, struct rh_figures *figures, int which)
{
	(void)which;
	build_percentiles(view, figures);
	build_sizes(view, figures);
	build_heat(view, figures);
}
