/*
 * figures_apart.c - where the time went: a panel for each part of lane time (harness/result's
 * apart.*) that is anything, a row for each backend. Of as many settings as there is room for.
 */
#include "plots/figure/figures_parts.h"

#define SHOWN_FROM 0.005 /* a part below it everywhere has no panel */

static const struct part {
	const char *metric, *title;
} parts[] = {
	{ "apart.user", "in the allocator" },	   { "apart.faults", "page faults" },
	{ "apart.kernel", "kernel, the rest" },	   { "apart.waits", "waits for other lanes" },
	{ "apart.delay", "ready, without a CPU" }, { "apart.idle", "lane had ended before others" },
	{ "apart.loop", "replay loop" },	   { "apart.rest", "of no known kind" },
};

void rh_build_apart(const struct rh_view *view, struct rh_figures *figures, int which)
{
	struct rh_figure *figure = rh_figure_start(figures, "time-apart", RH_ROWS, RH_PANELS_MAX,
						   RH_PANELS_MAX * view->style_count);
	struct rh_trial_span span = { 0 };
	size_t drawn = 0;

	(void)which;
	figure->title = "Where the time went";
	figure->x_text = "share of lane time, %";
	figure->scale = 0.01;
	for (size_t s = 0; s < view->scene_count; s++) {
		size_t before = figure->panel_count;

		for (size_t p = 0; p < sizeof(parts) / sizeof(parts[0]); p++)
			if (figure->panel_count < RH_PANELS_MAX &&
			    rh_most_of_contestants(view, s, parts[p].metric) >= SHOWN_FROM)
				rh_figure_rows(view, figure, s,
					       &(struct rh_rows){ .metric = parts[p].metric,
								  .panel_name = rh_pool_printf(
									  view->pool, "%s, %s",
									  parts[p].title,
									  view->scenes[s].label),
								  .of = view->scenes[s].label,
								  .no_controls = true },
					       &span);
		drawn += figure->panel_count > before;
	}
	figure->note = rh_span_note(view, &span);
	figure->note_more = "the parts of one trial are 100 % together; below 0.5 % everywhere: "
			    "not shown";
	figure->caption = rh_figure_caption(view, drawn, "What lanes did with their time");
	if (figure->panel_count == 0)
		figure->absent_why = "no result has its time taken apart (apart.*)";
}
