/*
 * figures_inside.c - inside a backend: where its lanes' time went, which of its locks were
 * waited for, which of its tiers served requests.
 *
 * Contention comes from metrics and covers every backend, because the kernel sees them all. Classes
 * of locks come from trials[].probes.locks.classes and tiers from trials[].stats: only backends
 * that report them have them.
 */
#include "plots/figure/figures_parts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/result/stat.h"

/* ---- contention: where the time of lanes went ---- */

static const struct {
	const char *metric, *words;
	double unit;
	bool most_first;
} shares[] = {
	{ "time.cpu_share", "at work: CPU time, % of lane time (higher is better)", 0.01, true },
	{ "locks.blocked_share", "blocked in the kernel, % of lane time (lower is better)", 0.01,
	  false },
	{ "locks.run_delay_share", "ready, waiting for a CPU, % of lane time (lower is better)",
	  0.01, false },
	{ "locks.switches_voluntary_per_event",
	  "voluntary switches per 1000 events (lower is better)", 0.001, false },
};
enum { SHARES = sizeof(shares) / sizeof(shares[0]) };

static bool some_scene_is_wide(const struct rh_view *view)
{
	for (size_t s = 0; s < view->scene_count; s++)
		if (rh_scene_width(&view->scenes[s]) > 1)
			return true;
	return false;
}

static bool has_lock_probe(const struct rh_view *view, size_t scene)
{
	for (size_t i = 0; i < view->metric_count; i++)
		if (view->metrics[i].scene == scene &&
		    strcmp(view->metrics[i].name, "locks.run_delay_share") == 0)
			return true;
	return false;
}

void rh_build_contention(const struct rh_view *view, struct rh_figures *figures, int which)
{
	struct rh_figure *figure = rh_figure_start(figures, "contention", RH_ROWS, RH_PANELS_MAX,
						   RH_PANELS_MAX * view->style_count);
	bool wide = some_scene_is_wide(view);
	struct rh_trial_span span = { 0 };
	size_t drawn = 0;

	(void)which;
	figure->title = "Where the time of lanes went";
	figure->x_text = "";
	figure->own_x = true;
	for (size_t s = 0; s < view->scene_count; s++) {
		if ((wide && rh_scene_width(&view->scenes[s]) < 2) || !has_lock_probe(view, s) ||
		    figure->panel_count + SHARES > RH_PANELS_MAX)
			continue;
		for (size_t i = 0; i < SHARES; i++)
			rh_figure_rows(view, figure, s,
				       &(struct rh_rows){
					       .metric = shares[i].metric,
					       .unit = shares[i].unit,
					       .panel_name = rh_pool_printf(view->pool, "%s; %s",
									    shares[i].words,
									    view->scenes[s].label),
					       .of = view->scenes[s].label,
					       .no_controls = true,
					       .most_first = shares[i].most_first,
				       },
				       &span);
		drawn++;
	}
	figure->note = rh_span_note(view, &span);
	figure->note_more = "the rest of lane time: waiting for another lane, in the order of the "
			    "recording";
	figure->caption = rh_figure_caption(view, drawn,
					    "What lanes did instead of working, "
					    "as the kernel saw it");
	if (figure->panel_count == 0)
		figure->absent_why = rh_figure_why(view, "locks",
						   "the lock probe has not run "
						   "(--probes locks)");
}

/* ---- wait share by class of lock, against lanes ---- */

enum { CLASSES_MAX = 5, CLASS_NAMES_MAX = 64, TRIALS_MAX = 64 };

struct class
{
	const char *name;
	double most;
	int variant; /* its rank: which dash it is drawn with */
};

static double class_share(const struct rh_trial_done *trial, const char *name)
{
	const struct rh_locks_found *locks = trial->probes ? trial->probes->locks : NULL;

	for (size_t i = 0; locks && i < locks->classes_count; i++)
		if (locks->classes[i].name && strcmp(locks->classes[i].name, name) == 0)
			return locks->classes[i].wait_share;
	return NAN;
}

/* The median over trials, and how many there are. */
static double median_share(const struct rh_view *view, size_t scene, size_t style, const char *name,
			   unsigned *n)
{
	double values[TRIALS_MAX];
	const struct rh_trial_done **list;
	size_t trials = rh_view_trials(view, scene, style, &list), count = 0;

	for (size_t i = 0; i < trials && count < TRIALS_MAX; i++) {
		double share = class_share(list[i], name);

		if (isfinite(share))
			values[count++] = share;
	}
	*n = (unsigned)count;
	rh_stat_sort(values, count);
	return count ? values[count / 2] : NAN;
}

static int by_most(const void *a, const void *b)
{
	double x = ((const struct class *)a)->most, y = ((const struct class *)b)->most;

	return (y > x) - (y < x);
}

struct classes {
	struct class list[CLASS_NAMES_MAX];
	size_t count;
};

static void add_class_name(const struct rh_view *view, size_t scene, size_t style, const char *name,
			   struct classes *classes)
{
	unsigned n;
	double share = median_share(view, scene, style, name, &n);
	struct class *class = classes->list;

	while (class < classes->list + classes->count && strcmp(class->name, name) != 0)
		class ++;
	if (!(share >= RH_WAIT_SHOWN_FROM) || class == classes->list + CLASS_NAMES_MAX)
		return;
	if (class == classes->list + classes->count) {
		*class = (struct class){ .name = name };
		classes->count++;
	}
	class->most = fmax(class->most, share);
}

/* Classes that were waited for at some width for long enough to show, the longest first. */
static void find_classes(const struct rh_view *view, size_t first, size_t style,
			 struct classes *classes)
{
	classes->count = 0;
	for (size_t s = first; s < view->scene_count; s++) {
		const struct rh_locks_found *locks;
		const struct rh_trial_done **list;

		if (!rh_same_trace(&view->scenes[s], &view->scenes[first]) ||
		    !rh_view_trials(view, s, style, &list))
			continue;
		locks = list[0]->probes ? list[0]->probes->locks : NULL;
		for (size_t i = 0; locks && i < locks->classes_count; i++)
			if (locks->classes[i].name)
				add_class_name(view, s, style, locks->classes[i].name, classes);
	}
	qsort(classes->list, classes->count, sizeof(*classes->list), by_most);
	for (size_t c = 0; c < classes->count; c++)
		classes->list[c].variant = (int)c;
	if (classes->count > CLASSES_MAX)
		classes->count = CLASSES_MAX;
}

static void add_class(const struct rh_view *view, struct rh_figure *figure, size_t first,
		      size_t style, const struct class *class)
{
	struct rh_series *series = rh_figure_series(figure, figure->panel_count, (int)style,
						    class->name, view->scene_count);

	series->variant = class->variant;
	for (size_t s = first; s < view->scene_count; s++) {
		double share;
		unsigned n;

		if (!rh_same_trace(&view->scenes[s], &view->scenes[first]))
			continue;
		share = median_share(view, s, style, class->name, &n);
		if (!isfinite(share))
			continue;
		rh_series_point(series, rh_scene_width(&view->scenes[s]), 100 * share);
		series->points[series->point_count - 1].n = n;
	}
	qsort(series->points, series->point_count, sizeof(*series->points), rh_by_point_x);
	if (series->point_count < 2)
		figure->series_count--;
}

static void add_lock_panel(const struct rh_view *view, struct rh_figure *figure, size_t first,
			   size_t style)
{
	size_t before = figure->series_count;
	struct classes classes;

	find_classes(view, first, style, &classes);
	for (size_t c = 0; c < classes.count; c++)
		add_class(view, figure, first, style, &classes.list[c]);
	if (figure->series_count > before)
		figure->panels[figure->panel_count++].name =
			rh_pool_printf(view->pool, "%s, %s", view->styles[style].label,
				       view->scenes[first].trace_name);
}

void rh_build_lock_classes(const struct rh_view *view, struct rh_figures *figures, int which)
{
	struct rh_figure *figure = rh_figure_start(figures, "lock-classes", RH_LANES, RH_PANELS_MAX,
						   RH_PANELS_MAX * CLASSES_MAX);

	(void)which;
	figure->title = "Waiting for locks, by class (lower is better)";
	figure->x_text = "lanes (threads of the replay)";
	figure->y_text = "% of lane time";
	figure->percent = true;
	for (size_t s = 0; s < view->scene_count; s++)
		for (size_t b = 0; rh_first_of_trace(view, s) && b < view->style_count &&
				   figure->panel_count < RH_PANELS_MAX;
		     b++)
			if (!view->styles[b].control)
				add_lock_panel(view, figure, s, b);
	figure->cpus = rh_view_cpus(view);
	figure->note = "medians over trials; dotted: the number of CPUs; waits of jemalloc are "
		       "those it slept for";
	figure->caption = "Share of lane time that was spent waiting for a lock, by its class; a "
			  "panel for each backend that reports its locks and had to wait";
	if (figure->panel_count == 0)
		figure->absent_why = rh_figure_why(
			view, "locks.classes",
			"no backend that reports its locks "
			"waited 0.01 % for one at two numbers of lanes (--probes locks "
			"--lanes 1,2,4)");
}

/* ---- which tier served ---- */

static const struct {
	const char *label;
	const char *stats[2]; /* their sum */
} tiers[] = {
	{ "tiny block", { "tiny.allocs" } },
	{ "lane's span", { "mcache.hits" } },
	{ "lane's other span", { "mcache.refills_same_span", "mcache.refills_own_partial" } },
	{ "central list", { "mcentral.refills", "mcentral.refills_by_sweep" } },
	{ "lane's empty spans", { "stash.hits" } },
	{ "lane's page cache", { "pcache.hits" } },
	{ "page heap", { "mheap.span_allocs" } },
	{ "operating system", { "mheap.grows" } },
};
enum { TIERS = sizeof(tiers) / sizeof(tiers[0]) };

static double stat_of(const struct rh_trial_done *trial, const char *name)
{
	for (size_t i = 0; trial && i < trial->stats_count; i++)
		if (trial->stats[i].name && strcmp(trial->stats[i].name, name) == 0)
			return (double)trial->stats[i].value;
	return NAN;
}

static void add_tier(const struct rh_view *view, struct rh_figure *figure,
		     const struct rh_trial_done *trial, size_t style, size_t tier)
{
	double allocs = stat_of(trial, "Mallocs"), count = 0;
	struct rh_series *series =
		rh_figure_series(figure, figure->panel_count, (int)style, tiers[tier].label, 1);
	char per[24];

	for (int i = 0; i < 2 && tiers[tier].stats[i]; i++) {
		double value = stat_of(trial, tiers[tier].stats[i]);

		count += isfinite(value) ? value : 0;
	}
	rh_format_number(per, sizeof(per), 1000 * count / allocs);
	rh_series_point(series, count > 0 ? 1000 * count / allocs : NAN, (double)tier);
	series->points[0].n = 1;
	series->points[0].text =
		count > 0 ? rh_pool_printf(view->pool, "%s  (%.0f)", per, count) : "none";
}

static void add_tiers(const struct rh_view *view, struct rh_figure *figure, size_t scene,
		      size_t style)
{
	const struct rh_trial_done *trial = rh_view_trial(view, scene, style);

	if (!(stat_of(trial, "Mallocs") > 0) || !isfinite(stat_of(trial, "mcache.hits")) ||
	    figure->panel_count == RH_PANELS_MAX)
		return;
	for (size_t t = 0; t < TIERS; t++)
		add_tier(view, figure, trial, style, t);
	figure->panels[figure->panel_count].rows = TIERS;
	figure->panels[figure->panel_count++].name = rh_pool_printf(
		view->pool, "%s, %s", view->styles[style].label, view->scenes[scene].label);
}

void rh_build_tiers(const struct rh_view *view, struct rh_figures *figures, int which)
{
	struct rh_figure *figure =
		rh_figure_start(figures, "tiers", RH_ROWS, RH_PANELS_MAX, RH_PANELS_MAX * TIERS);

	(void)which;
	figure->title = "Which tier served (further down is slower)";
	figure->x_text = "requests served per 1000 allocations";
	for (size_t s = 0; s < view->scene_count; s++)
		for (size_t b = 0; b < view->style_count; b++)
			if (!view->styles[b].control)
				add_tiers(view, figure, s, b);
	figure->note = "the trial of median time; in brackets: the count";
	figure->note_more = "first two rows: objects; below: spans of objects and large objects; "
			    "last: growths of the heap";
	figure->caption = "How often each tier of the tiered heap could serve a request: what one "
			  "cannot serve goes to the next below";
	if (figure->panel_count == 0)
		figure->absent_why = "no trial has statistics of a tiered heap (--backend tiered "
				     "--stats)";
}
