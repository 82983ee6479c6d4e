/*
 * figures_tasks.c - figures about tasks: what each costs against how many there are, and the
 * hot split. Both are read from the segments of the trial of median time, one point each.
 *
 *	tasks-memory	bytes for each living task (resident where it was measured, else what the
 *			stack backend reserves) against tasks alive
 *	tasks-time	ns for each spawn against the same; both of replays in which 100 tasks
 *			and more live
 *	hot-split	ns per call against the depth of the caller. Of replays in which few
 *			tasks do nothing but call and return at several depths.
 */
#include "plots/figure/figures_parts.h"

#include <math.h>

enum { TASKS_LEAST = 100, SPLIT_TASKS_MOST = 64, SCENES_MAX = 4 };

/* Segments of one trial; a column that an older document lacks is not whole. */
static double at(const double *column, size_t count, size_t index)
{
	return index < count ? column[index] : NAN;
}
#define AT(c, key, index) at((c)->key, (c)->key##_count, index)

static double most_of(const double *column, size_t count)
{
	double value = 0;

	for (size_t i = 0; i < count; i++)
		value = fmax(value, column[i]);
	return value;
}
#define MOST(c, key) most_of((c)->key, (c)->key##_count)

/* NULL without segments that say how many tasks live. */
static const struct rh_segments *columns_of(const struct rh_view *view, size_t scene, size_t style)
{
	const struct rh_trial_done *trial = rh_view_trial(view, scene, style);

	return trial && trial->segments && trial->segments->live_tasks_count ? trial->segments
									     : NULL;
}

typedef void add_fn(const struct rh_segments *c, struct rh_series *series);

static void add_bytes(const struct rh_segments *c, struct rh_series *series)
{
	for (size_t i = 0; i < c->live_tasks_count; i++) {
		double bytes = c->rss_bytes ? AT(c, rss_bytes, i) : AT(c, stack_reserved_bytes, i);

		if (c->live_tasks[i] >= TASKS_LEAST && bytes > 0)
			rh_series_point(series, c->live_tasks[i], bytes / c->live_tasks[i]);
	}
}

static void add_times(const struct rh_segments *c, struct rh_series *series)
{
	for (size_t i = 0; i < c->live_tasks_count; i++)
		if (c->live_tasks[i] >= TASKS_LEAST && AT(c, spawns, i) > 0)
			rh_series_point(series, c->live_tasks[i],
					AT(c, wall_ns, i) / AT(c, spawns, i));
}

/* Each call has its return, so two events make a call. */
static void add_calls(const struct rh_segments *c, struct rh_series *series)
{
	for (size_t i = 0; i < c->live_tasks_count; i++)
		if (AT(c, calls, i) > 0 && c->live_tasks[i] > 0)
			rh_series_point(series, AT(c, stack_bytes, i) / c->live_tasks[i],
					2 * AT(c, wall_ns, i) / AT(c, events, i));
}

/* One panel: every backend with stacks, as its segments say. */
static void add_panel(const struct rh_view *view, struct rh_figure *figure, size_t scene,
		      const char *name, add_fn *add)
{
	size_t first = figure->series_count;

	for (size_t b = 0; b < view->style_count && figure->series_count - first < RH_SERIES_MAX;
	     b++) {
		const struct rh_segments *c = columns_of(view, scene, b);
		struct rh_series *series;

		if (view->styles[b].control || !c || !c->stack_reserved_bytes)
			continue;
		series = rh_figure_series(figure, figure->panel_count, (int)b,
					  view->styles[b].label, c->live_tasks_count);
		add(c, series);
		if (series->point_count == 0)
			figure->series_count--;
	}
	if (figure->series_count > first)
		figure->panels[figure->panel_count++].name = name;
}

/* A trial that shows what the scene is; NULL when none has stacks. */
static const struct rh_segments *scene_columns(const struct rh_view *view, size_t scene)
{
	for (size_t b = 0; b < view->style_count; b++) {
		const struct rh_segments *c = columns_of(view, scene, b);

		if (c && c->stack_reserved_bytes)
			return c;
	}
	return NULL;
}

static void build_tasks(const struct rh_view *view, struct rh_figures *figures, bool time)
{
	const char *name = time ? "tasks-time" : "tasks-memory";
	struct rh_figure *figure =
		rh_figure_start(figures, name, RH_LANES, SCENES_MAX, SCENES_MAX * RH_SERIES_MAX);

	figure->title = time ? "Time for each task (lower is better)"
			     : "Bytes for each task (lower is better)";
	figure->x_text = "tasks alive";
	figure->y_text = time ? "ns a spawn" : "bytes a task";
	for (size_t s = 0; s < view->scene_count && figure->panel_count < SCENES_MAX; s++) {
		const struct rh_segments *c = scene_columns(view, s);
		const char *label = view->scenes[s].label;

		if (!c || MOST(c, live_tasks) < TASKS_LEAST)
			continue;
		if (!time && !c->rss_bytes)
			label = rh_pool_printf(view->pool, "%s (reserved)", label);
		add_panel(view, figure, s, label, time ? add_times : add_bytes);
	}
	figure->note = "one point a segment of the trial of median time";
	figure->caption = time ? "All of the replay's time for each spawn, by how many tasks live"
			       : "Resident bytes for each living task (where they were not "
				 "measured: what the stacks reserve), by how many live";
	if (figure->panel_count == 0)
		figure->absent_why = "no replay has 100 living tasks on a backend with stacks";
}

static void build_split(const struct rh_view *view, struct rh_figures *figures)
{
	struct rh_figure *figure = rh_figure_start(figures, "hot-split", RH_LANES, SCENES_MAX,
						   SCENES_MAX * RH_SERIES_MAX);

	figure->title = "Hot split: time of a call by depth (lower is better)";
	figure->x_text = "bytes of stack under the caller";
	figure->y_text = "ns a call and its return";
	for (size_t s = 0; s < view->scene_count && figure->panel_count < SCENES_MAX; s++) {
		const struct rh_segments *c = scene_columns(view, s);

		if (!c || MOST(c, live_tasks) > SPLIT_TASKS_MOST || c->live_tasks_count < 8 ||
		    MOST(c, calls) < 0.4 * MOST(c, events) ||
		    MOST(c, stack_bytes) < 4 * AT(c, stack_bytes, 0))
			continue;
		add_panel(view, figure, s, view->scenes[s].label, add_calls);
	}
	figure->note = "one point a segment of the trial of median time; the replay loop included";
	figure->caption = "Where a segment of a stack ends, each call takes a new one and each "
			  "return gives it back; stacks in one piece grow once";
	if (figure->panel_count == 0)
		figure->absent_why = "no replay of a few tasks that call and return at many depths "
				     "(reheap gen hotsplit)";
}

void rh_build_tasks(const struct rh_view *view, struct rh_figures *figures, int which)
{
	(void)which;
	build_tasks(view, figures, false);
	build_tasks(view, figures, true);
	build_split(view, figures);
}
