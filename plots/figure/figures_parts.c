/*
 * figures_parts.c - code shared by the figure builders.
 */
#include "plots/figure/figures_parts.h"

#include "harness/result/estimate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A figure's own growing lists: counted generously, allocated once. */
struct rh_figure *rh_figure_start(struct rh_figures *figures, const char *name,
				  enum rh_layout layout, size_t panels_max, size_t series_max)
{
	struct rh_figure *figure = &figures->list[figures->count++];

	*figure = (struct rh_figure){
		.pool = figures->pool, .name = name, .layout = layout, .scale = 1
	};
	figure->panels = rh_pool_alloc(figure->pool, panels_max, sizeof(*figure->panels));
	figure->series = rh_pool_alloc(figure->pool, series_max, sizeof(*figure->series));
	return figure;
}

struct rh_series *rh_figure_series(struct rh_figure *figure, size_t panel, int style,
				   const char *label, size_t points)
{
	struct rh_series *series = &figure->series[figure->series_count++];

	*series = (struct rh_series){ .panel = panel, .style = style, .label = label };
	series->points = rh_pool_alloc(figure->pool, points, sizeof(*series->points));
	return series;
}

void rh_series_point(struct rh_series *series, double x, double y)
{
	series->points[series->point_count++] = (struct rh_figure_point){
		.x = x, .x_lo = NAN, .x_hi = NAN, .y = y, .y_lo = NAN, .y_hi = NAN
	};
}

int rh_series_dash(const struct rh_backend_style *style, const struct rh_series *series)
{
	return (style->dash - 1 + series->variant) % 5 + 1;
}

/* Filled marks are gnuplot's 5, 7, 9, 11, 13 and 15. */
int rh_series_mark(const struct rh_backend_style *style, const struct rh_series *series)
{
	return ((style->mark - 5) / 2 + series->variant) % 6 * 2 + 5;
}

int rh_by_point_x(const void *a, const void *b)
{
	const struct rh_figure_point *x = a, *y = b;

	return (x->x > y->x) - (x->x < y->x);
}

bool rh_same_trace(const struct rh_scene *a, const struct rh_scene *b)
{
	return a->doc == b->doc && a->trace == b->trace;
}

bool rh_first_of_trace(const struct rh_view *view, size_t scene)
{
	for (size_t s = 0; s < scene; s++)
		if (rh_same_trace(&view->scenes[s], &view->scenes[scene]))
			return false;
	return true;
}

double rh_trace_log_ratio(const struct rh_view *view, size_t first, size_t style,
			  const char *metric)
{
	struct rh_estimate e;
	double sum = 0;
	size_t count = 0;

	for (size_t s = first; s < view->scene_count; s++) {
		if (!rh_same_trace(&view->scenes[first], &view->scenes[s]) ||
		    !rh_view_ratio(view, s, style, metric, &e))
			continue;
		sum += log(e.ratio);
		count++;
	}
	return count ? sum / (double)count : NAN;
}

const char *rh_crowd_note(const struct rh_view *view, size_t most)
{
	size_t count = 0;

	for (size_t b = 0; b < view->style_count; b++)
		count += !view->styles[b].control;
	return count > most ? rh_pool_printf(view->pool,
					     "the first %zu of %zu backends; the tables have all",
					     most, count)
			    : NULL;
}

unsigned rh_scene_width(const struct rh_scene *scene)
{
	return scene->lanes * scene->copies;
}

double rh_view_cpus(const struct rh_view *view)
{
	const struct rh_host_used *host = view->doc_count ? view->docs[0].file.host : NULL;

	return host && host->cpus_allowed != UINT32_MAX ? host->cpus_allowed : NAN;
}

const char *rh_touch_note(const struct rh_view *view)
{
	bool first = false;

	for (size_t d = 0; d < view->doc_count && !first; d++) {
		const struct rh_config_used *config = view->docs[d].file.config;
		const char *touch = config ? config->touch : NULL;

		first = touch && (strcmp(touch, "first") == 0 || strcmp(touch, "none") == 0);
	}
	return first ? "the replay touches only the first bytes of a block (--touch): RSS may be "
		       "less than bytes in use"
		     : NULL;
}

/* ---- the footer: n, and what the whiskers are ---- */

void rh_span_widen(struct rh_trial_span *span, const struct rh_view_metric *metric)
{
	if (span->n_min == 0 || metric->n < span->n_min)
		span->n_min = metric->n;
	if (metric->n > span->n_max)
		span->n_max = metric->n;
	if (metric->level > 0 && (span->level_min == 0 || metric->level < span->level_min))
		span->level_min = metric->level;
}

const char *rh_span_note(const struct rh_view *view, const struct rh_trial_span *span)
{
	char n[32];

	if (span->n_min == span->n_max)
		snprintf(n, sizeof(n), "%u", span->n_min);
	else
		snprintf(n, sizeof(n), "%u to %u", span->n_min, span->n_max);
	if (span->n_max <= 1 || span->level_min == 0)
		return rh_pool_printf(view->pool, "n = %s trial%s a point: no interval", n,
				      span->n_max == 1 ? "" : "s");
	return rh_pool_printf(view->pool,
			      "median of n = %s trials; whiskers: sign-test interval "
			      "of the median, %.1f %%",
			      n, 100 * span->level_min);
}

const char *rh_figure_caption(const struct rh_view *view, size_t scenes_drawn, const char *what)
{
	const char *more = "";

	if (scenes_drawn < view->scene_count)
		more = rh_pool_printf(view->pool,
				      " The first %zu of %zu settings are drawn; the "
				      "tables have all.",
				      scenes_drawn, view->scene_count);
	return rh_pool_printf(view->pool, "%s%s%s.%s", what, view->scene_count == 1 ? " on " : "",
			      view->scene_count == 1 ? view->scenes[0].label : "", more);
}

const char *rh_figure_why(const struct rh_view *view, const char *metric, const char *otherwise)
{
	size_t bytes = strlen(metric);

	for (size_t d = 0; d < view->doc_count; d++) {
		const struct rh_document *file = &view->docs[d].file;

		for (size_t i = 0; i < file->absent_count; i++) {
			const char *name = file->absent[i].metric;

			if (name && file->absent[i].why && strncmp(name, metric, bytes) == 0 &&
			    (name[bytes] == '\0' || name[bytes] == '.'))
				return file->absent[i].why;
		}
	}
	return otherwise;
}

/* ---- rows ---- */

static int by_x(const void *a, const void *b)
{
	const struct rh_series *x = a, *y = b;

	return (x->points[0].x > y->points[0].x) - (x->points[0].x < y->points[0].x);
}

static int by_x_down(const void *a, const void *b)
{
	return by_x(b, a);
}

static const char *row_text(const struct rh_view *view, const struct rh_view_metric *metric,
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

/* In the panel that is being filled. */
static void add_row(const struct rh_view *view, struct rh_figure *figure,
		    const struct rh_view_metric *metric, double unit, struct rh_trial_span *span)
{
	const struct rh_backend_style *style = &view->styles[metric->style];
	struct rh_series *series =
		rh_figure_series(figure, figure->panel_count, (int)metric->style, style->label, 1);

	series->points[0] = (struct rh_figure_point){
		.x = metric->median / unit,
		.x_lo = metric->n > 1 ? metric->lo / unit : NAN,
		.x_hi = metric->n > 1 ? metric->hi / unit : NAN,
		.y = 0,
		.y_lo = NAN,
		.y_hi = NAN,
		.n = metric->n,
		.text = row_text(view, metric, unit * figure->scale),
	};
	series->point_count = 1;
	rh_span_widen(span, metric);
}

/* The row of a style in the first panel; after all of them when it has none there. */
static size_t first_row_of(const struct rh_figure *figure, int style)
{
	size_t row = 0;

	while (row < figure->panels[0].rows && figure->series[row].style != style)
		row++;
	return row;
}

/* Sorted by the first panel's rows, stable: the eye finds a backend at the same place in each. */
static void order_as_first(struct rh_figure *figure, size_t first)
{
	for (size_t i = first + 1; i < figure->series_count; i++)
		for (size_t j = i; j > first; j--) {
			struct rh_series *a = &figure->series[j - 1], *b = a + 1, swap = *a;

			if (first_row_of(figure, a->style) <= first_row_of(figure, b->style))
				break;
			*a = *b;
			*b = swap;
		}
}

void rh_figure_rows(const struct rh_view *view, struct rh_figure *figure, size_t scene,
		    const struct rh_rows *rows, struct rh_trial_span *span)
{
	size_t first = figure->series_count, panel = figure->panel_count;

	if (panel == RH_PANELS_MAX)
		return;
	for (size_t b = 0; b < view->style_count; b++) {
		const struct rh_view_metric *metric = rh_view_metric(view, scene, b, rows->metric);

		if (metric && !(rows->no_controls && view->styles[b].control))
			add_row(view, figure, metric, rows->unit > 0 ? rows->unit : 1, span);
	}
	if (figure->series_count == first)
		return;
	qsort(figure->series + first, figure->series_count - first, sizeof(*figure->series),
	      rows->most_first ? by_x_down : by_x);
	if (panel > 0)
		order_as_first(figure, first);
	for (size_t i = first; i < figure->series_count; i++)
		figure->series[i].points[0].y = (double)(i - first);
	figure->panels[panel].name = rows->panel_name;
	figure->panels[panel].of = rows->of;
	figure->panels[panel].rows = figure->series_count - first;
	figure->panel_count++;
}

double rh_most_of_contestants(const struct rh_view *view, size_t scene, const char *metric)
{
	double most = -1;

	for (size_t b = 0; b < view->style_count; b++) {
		const struct rh_view_metric *m =
			view->styles[b].control ? NULL : rh_view_metric(view, scene, b, metric);

		if (m)
			most = fmax(most, m->median);
	}
	return most;
}
