/*
 * verdict_worth.c - the report's first sentence: what another heap would be worth to the
 * program (harness/result/worth.h), for each trace that records its program's CPU time.
 */
#include "harness/result/worth.h"
#include "plots/report/report.h"

static void say_scene(const struct rh_view *view, size_t scene, const char *trace, FILE *to)
{
	const struct rh_view_metric *heap =
		rh_view_metric(view, scene, (size_t)view->baseline, "program.heap_share");
	struct rh_worth worth = { .trace = trace, .base = view->styles[view->baseline].spec };

	if (!heap)
		return;
	worth.heap = heap->median;
	worth.rows = rh_pool_alloc(view->pool, view->style_count, sizeof(*worth.rows));
	for (size_t b = 0; b < view->style_count; b++) {
		const struct rh_view_metric *m =
			rh_view_metric(view, scene, b, "program.saved_share");

		if (m && view->styles[b].deployable && !view->styles[b].control)
			worth.rows[worth.count++] =
				(struct rh_worth_row){ view->styles[b].spec, m->median, m->lo,
						       m->hi, m->level };
	}
	rh_worth_print(&worth, to);
}

static bool first_of_trace(const struct rh_view *view, size_t scene)
{
	for (size_t s = 0; s < scene; s++)
		if (view->scenes[s].doc == view->scenes[scene].doc &&
		    view->scenes[s].trace == view->scenes[scene].trace)
			return false;
	return true;
}

void rh_verdict_worth(const struct rh_view *view, FILE *to)
{
	size_t traces = 0;

	for (size_t s = 0; s < view->scene_count; s++)
		traces += first_of_trace(view, s);
	for (size_t s = 0; view->baseline >= 0 && s < view->scene_count; s++)
		/* shares saved are against the document's own baseline */
		if (first_of_trace(view, s) &&
		    view->docs[view->scenes[s].doc].baseline == view->baseline)
			say_scene(view, s, traces > 1 ? view->scenes[s].trace_name : NULL, to);
}
