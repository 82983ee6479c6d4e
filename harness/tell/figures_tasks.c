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
#include "harness/tell/figures_parts.h"

#include <math.h>

enum { TASKS_LEAST = 100, SPLIT_TASKS_MOST = 64, SCENES_MAX = 4 };

/* Segments of one trial, as columns. */
struct columns {
	const json_t *tasks, *stack, *spawns, *calls, *events, *wall, *rss, *reserved;
	size_t count;
};

static double at(const json_t *column, size_t index)
{
	const json_t *value = json_array_get(column, index);

	return json_is_number(value) ? json_number_value(value) : NAN;
}

static double most(const json_t *column)
{
	double value = 0;

	for (size_t i = 0; i < json_array_size(column); i++)
		value = fmax(value, at(column, i));
	return value;
}

static bool read_columns(const struct rh_view *view, size_t scene, size_t brand,
			 struct columns *c)
{
	const json_t *segments = json_object_get(rh_view_trial(view, scene, brand), "segments");

	*c = (struct columns){
		.tasks = json_object_get(segments, "live_tasks"),
		.stack = json_object_get(segments, "stack_bytes"),
		.spawns = json_object_get(segments, "spawns"),
		.calls = json_object_get(segments, "calls"),
		.events = json_object_get(segments, "events"),
		.wall = json_object_get(segments, "wall_ns"),
		.rss = json_object_get(segments, "rss_bytes"),
		.reserved = json_object_get(segments, "stack_reserved_bytes"),
		.count = json_array_size(json_object_get(segments, "live_tasks")),
	};
	return c->count > 0;
}

typedef void add_fn(const struct columns *c, struct rh_series *series);

static void add_bytes(const struct columns *c, struct rh_series *series)
{
	const json_t *bytes = c->rss ? c->rss : c->reserved;

	for (size_t i = 0; i < c->count; i++)
		if (at(c->tasks, i) >= TASKS_LEAST && at(bytes, i) > 0)
			rh_series_point(series, at(c->tasks, i), at(bytes, i) / at(c->tasks, i));
}

static void add_times(const struct columns *c, struct rh_series *series)
{
	for (size_t i = 0; i < c->count; i++)
		if (at(c->tasks, i) >= TASKS_LEAST && at(c->spawns, i) > 0)
			rh_series_point(series, at(c->tasks, i), at(c->wall, i) / at(c->spawns, i));
}

/* Each call has its return, so two events make a call. */
static void add_calls(const struct columns *c, struct rh_series *series)
{
	for (size_t i = 0; i < c->count; i++)
		if (at(c->calls, i) > 0 && at(c->tasks, i) > 0)
			rh_series_point(series, at(c->stack, i) / at(c->tasks, i),
					2 * at(c->wall, i) / at(c->events, i));
}

/* One panel: every backend with stacks, as its segments say. */
static void add_panel(const struct rh_view *view, struct rh_figure *figure, size_t scene,
		      const char *name, add_fn *add)
{
	size_t first = figure->series_count;

	for (size_t b = 0; b < view->brand_count &&
			   figure->series_count - first < RH_SERIES_MAX; b++) {
		struct rh_series *series;
		struct columns c;

		if (view->brands[b].control || !read_columns(view, scene, b, &c) || !c.reserved)
			continue;
		series = rh_figure_series(view, figure, figure->panel_count, (int)b,
					  view->brands[b].label, c.count);
		add(&c, series);
		if (series->point_count == 0)
			figure->series_count--;
	}
	if (figure->series_count > first)
		figure->panels[figure->panel_count++].name = name;
}

/* A trial that shows what the scene is; NULL columns when none has stacks. */
static bool scene_columns(const struct rh_view *view, size_t scene, struct columns *c)
{
	for (size_t b = 0; b < view->brand_count; b++)
		if (read_columns(view, scene, b, c) && c->reserved)
			return true;
	return false;
}

static void build_tasks(const struct rh_view *view, struct rh_figures *figures, bool time)
{
	const char *name = time ? "tasks-time" : "tasks-memory";
	struct rh_figure *figure = rh_figure_start(view, figures, name, RH_LANES, SCENES_MAX,
						   SCENES_MAX * RH_SERIES_MAX);

	figure->title = time ? "Time for each task (lower is better)" :
			       "Bytes for each task (lower is better)";
	figure->x_text = "tasks alive";
	figure->y_text = time ? "ns a spawn" : "bytes a task";
	for (size_t s = 0; s < view->scene_count && figure->panel_count < SCENES_MAX; s++) {
		const char *label = view->scenes[s].label;
		struct columns c;

		if (!scene_columns(view, s, &c) || most(c.tasks) < TASKS_LEAST)
			continue;
		if (!time && !c.rss)
			label = rh_pool_printf(view->pool, "%s (reserved)", label);
		add_panel(view, figure, s, label, time ? add_times : add_bytes);
	}
	figure->note = "one point a segment of the trial of median time";
	figure->caption = time ? "All of the replay's time for each spawn, by how many tasks live" :
				 "Resident bytes for each living task (where they were not "
				 "measured: what the stacks reserve), by how many live";
	if (figure->panel_count == 0)
		figure->absent_why = "no replay has 100 living tasks on a backend with stacks";
}

static void build_split(const struct rh_view *view, struct rh_figures *figures)
{
	struct rh_figure *figure = rh_figure_start(view, figures, "hot-split", RH_LANES,
						   SCENES_MAX, SCENES_MAX * RH_SERIES_MAX);

	figure->title = "Hot split: time of a call by depth (lower is better)";
	figure->x_text = "bytes of stack under the caller";
	figure->y_text = "ns a call and its return";
	for (size_t s = 0; s < view->scene_count && figure->panel_count < SCENES_MAX; s++) {
		struct columns c;

		if (!scene_columns(view, s, &c) || most(c.tasks) > SPLIT_TASKS_MOST ||
		    c.count < 8 || most(c.calls) < 0.4 * most(c.events) ||
		    most(c.stack) < 4 * at(c.stack, 0))
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

void rh_build_tasks(const struct rh_view *view, struct rh_figures *figures)
{
	build_tasks(view, figures, false);
	build_tasks(view, figures, true);
	build_split(view, figures);
}
