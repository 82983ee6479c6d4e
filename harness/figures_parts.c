/*
 * figures_parts.c - what the figure builders share.
 */
#include "harness/figures_parts.h"

#include <math.h>
#include <string.h>

/* A figure's own growing lists: counted generously, allocated once. */
struct rh_figure *rh_figure_start(const struct rh_view *view, struct rh_figures *figures,
				  const char *name, enum rh_layout layout, size_t panels_max,
				  size_t series_max)
{
	struct rh_figure *figure = &figures->list[figures->count++];

	*figure = (struct rh_figure){ .name = name, .layout = layout, .scale = 1 };
	figure->panels = rh_pool_alloc(view->pool, panels_max, sizeof(*figure->panels));
	figure->series = rh_pool_alloc(view->pool, series_max, sizeof(*figure->series));
	return figure;
}

struct rh_series *rh_figure_series(const struct rh_view *view, struct rh_figure *figure,
				   size_t panel, int brand, const char *label, size_t points)
{
	struct rh_series *series = &figure->series[figure->series_count++];

	*series = (struct rh_series){ .panel = panel, .brand = brand, .label = label };
	series->points = rh_pool_alloc(view->pool, points, sizeof(*series->points));
	return series;
}

void rh_series_point(struct rh_series *series, double x, double y)
{
	series->points[series->point_count++] = (struct rh_point){
		.x = x, .x_lo = NAN, .x_hi = NAN, .y = y, .y_lo = NAN, .y_hi = NAN };
}

/* ---- the footer: n, and what the whiskers are ---- */

void rh_span_widen(struct rh_span *span, const struct rh_metric *metric)
{
	if (span->n_min == 0 || metric->n < span->n_min)
		span->n_min = metric->n;
	if (metric->n > span->n_max)
		span->n_max = metric->n;
	if (metric->level > 0 && (span->level_min == 0 || metric->level < span->level_min))
		span->level_min = metric->level;
}

const char *rh_span_note(const struct rh_view *view, const struct rh_span *span)
{
	char n[32];

	if (span->n_min == span->n_max)
		snprintf(n, sizeof(n), "%u", span->n_min);
	else
		snprintf(n, sizeof(n), "%u to %u", span->n_min, span->n_max);
	if (span->n_max <= 1 || span->level_min == 0)
		return rh_pool_printf(view->pool, "n = %s trial%s a point: no interval", n,
				      span->n_max == 1 ? "" : "s");
	return rh_pool_printf(view->pool, "median of n = %s trials; whiskers: sign-test interval "
			      "of the median, %.1f %%", n, 100 * span->level_min);
}

const char *rh_figure_caption(const struct rh_view *view, size_t scenes_drawn, const char *what)
{
	const char *more = "";

	if (scenes_drawn < view->scene_count)
		more = rh_pool_printf(view->pool, " The first %zu of %zu settings are drawn; the "
				      "tables have all.", scenes_drawn, view->scene_count);
	return rh_pool_printf(view->pool, "%s%s%s.%s", what,
			      view->scene_count == 1 ? " on " : "",
			      view->scene_count == 1 ? view->scenes[0].label : "", more);
}

const char *rh_figure_why(const struct rh_view *view, const char *metric, const char *otherwise)
{
	size_t bytes = strlen(metric), at;
	json_t *row;

	for (size_t d = 0; d < view->doc_count; d++) {
		json_array_foreach(json_object_get(view->docs[d].root, "absent"), at, row) {
			const char *name = rh_json_text(row, "metric"),
				   *why = rh_json_text(row, "why");

			if (name && why && strncmp(name, metric, bytes) == 0 &&
			    (name[bytes] == '\0' || name[bytes] == '.'))
				return why;
		}
	}
	return otherwise;
}
