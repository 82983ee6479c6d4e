/*
 * verdict.c - results in words.
 *
 * Controls (null, bump, decorators) never win: they are bounds, not choices. A sentence
 * claims only what the interval allows; "cannot tell" is an answer. Speed is given as "1.31 x
 * faster", the inverse of the time ratio, with its interval inverted as well.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "plots/figure/figures_parts.h"
#include "plots/report/report.h"
#include "alloc/base/printable.h"

struct entry {
	size_t style;
	struct rh_estimate time, memory;
	enum rh_verdict verdict;
	bool has_memory;
};

static int by_ratio(const void *a, const void *b)
{
	double x = ((const struct entry *)a)->time.ratio, y = ((const struct entry *)b)->time.ratio;

	return (x > y) - (x < y);
}

static size_t entries_of(const struct rh_view *view, size_t scene, struct entry *list)
{
	size_t count = 0;

	for (size_t b = 0; b < view->style_count; b++) {
		struct entry *e = &list[count];

		if (view->styles[b].control || (int)b == view->baseline ||
		    !rh_view_ratio(view, scene, b, "time.ns_per_event", &e->time))
			continue;
		e->style = b;
		e->verdict = rh_verdict(&e->time, true);
		e->has_memory = rh_view_ratio(view, scene, b, "memory.rss_peak_bytes", &e->memory);
		count++;
	}
	qsort(list, count, sizeof(*list), by_ratio);
	return count;
}

static void say_memory(const struct entry *e, FILE *to)
{
	double change = e->has_memory ? 100 * (e->memory.ratio - 1) : NAN;

	if (!e->has_memory)
		return;
	if (fabs(change) < 2)
		fputs(", with the same peak memory", to);
	else if (change > 200)
		fprintf(to, ", with %.1f × the peak memory", e->memory.ratio);
	else
		rh_print(to, ", with %.0f %% %s peak memory", fabs(change),
			 change > 0 ? "more" : "less");
}

static void say_entry(const struct rh_view *view, size_t scene, const struct entry *e, FILE *to)
{
	const char *name = view->styles[e->style].spec;
	const char *base = view->styles[view->baseline].spec;

	switch (e->verdict) {
	case RH_BETTER:
		rh_print(to, "%s is %.2f × faster than %s [%.2f, %.2f]", name, 1 / e->time.ratio,
			 base, 1 / e->time.hi, 1 / e->time.lo);
		break;
	case RH_WORSE:
		rh_print(to, "%s is %.2f × slower than %s [%.2f, %.2f]", name, e->time.ratio, base,
			 e->time.lo, e->time.hi);
		break;
	case RH_SAME:
		rh_print(to, "%s is as fast as %s, to within %.0f %%", name, base,
			 100 * RH_SAME_SHARE);
		break;
	case RH_CANNOT_TELL:
		if (e->time.level < RH_LEVEL_MIN)
			rh_print(to,
				 "%s took %.2f × the time of %s, but %zu trial%s cannot tell "
				 "that from noise",
				 name, e->time.ratio, base, e->time.n, e->time.n == 1 ? "" : "s");
		else
			rh_print(to,
				 "%s and %s cannot be distinguished (time ratio %.2f [%.2f, %.2f])",
				 name, base, e->time.ratio, e->time.lo, e->time.hi);
		break;
	}
	say_memory(e, to);
	if (e->verdict == RH_BETTER || e->verdict == RH_WORSE)
		rh_print_text(to, rh_verdict_cause(view, scene, e->style, e->verdict == RH_BETTER));
	fputc('\n', to);
}

static void say_ties(const struct rh_view *view, const struct entry *list, size_t count, FILE *to)
{
	size_t tied = 0;

	if (count == 0 || list[0].verdict != RH_BETTER)
		return;
	for (size_t i = 1; i < count; i++) {
		if (list[i].verdict != RH_BETTER || list[i].time.lo > list[0].time.hi)
			continue;
		rh_print(to, "%s%s", tied++ ? ", " : "Its interval overlaps with that of ",
			 view->styles[list[i].style].spec);
	}
	if (tied)
		fputs(": this run cannot rank them\n", to);
}

void rh_verdict_scene(const struct rh_view *view, size_t scene, FILE *to)
{
	struct entry *list = rh_pool_alloc(view->pool, view->style_count, sizeof(*list));
	size_t count;

	if (view->baseline < 0) {
		fputs("No baseline was replayed, so there is nothing to be faster than "
		      "(--baseline names one)\n",
		      to);
		return;
	}
	count = entries_of(view, scene, list);
	if (count == 0) {
		rh_print(to, "Only %s was measured here\n", view->styles[view->baseline].spec);
		return;
	}
	if (list[0].verdict != RH_BETTER)
		rh_print(to, "No backend is shown to be faster than %s here\n",
			 view->styles[view->baseline].spec);
	for (size_t i = 0; i < count; i++) {
		say_entry(view, scene, &list[i], to);
		if (i == 0)
			say_ties(view, list, count, to);
	}
}

/* Over traces: settings of one trace (lanes, copies) are one opinion, not several. */
struct mean {
	size_t style, traces, scenes, faster, slower;
	double time, memory;
	size_t outlier;	     /* a scene of the trace that is farthest from the mean ... */
	double time_without; /* ... and the mean without it; NaN of fewer than three traces */
	bool model;	     /* not deployable, though others are */
};

static double mean_ratio(const struct rh_view *view, size_t style, const char *metric,
			 size_t *traces)
{
	double sum = 0;

	*traces = 0;
	for (size_t s = 0; s < view->scene_count; s++) {
		double one = rh_first_of_trace(view, s) ? rh_trace_log_ratio(view, s, style, metric)
							: NAN;

		if (!isfinite(one))
			continue;
		sum += one;
		++*traces;
	}
	return *traces ? exp(sum / (double)*traces) : NAN;
}

static void count_settings(const struct rh_view *view, struct mean *m)
{
	for (size_t s = 0; s < view->scene_count; s++) {
		struct rh_estimate e;
		enum rh_verdict verdict;

		if (!rh_view_ratio(view, s, m->style, "time.ns_per_event", &e))
			continue;
		verdict = rh_verdict(&e, true);
		m->scenes++;
		m->faster += verdict == RH_BETTER;
		m->slower += verdict == RH_WORSE;
	}
}

/* A single trace may dominate a mean: what is the mean without it? */
static void find_outlier(const struct rh_view *view, struct mean *m)
{
	double all = log(m->time) * (double)m->traces, far = -1;

	m->time_without = NAN;
	for (size_t s = 0; s < view->scene_count && m->traces > 2; s++) {
		double one = rh_first_of_trace(view, s)
				     ? rh_trace_log_ratio(view, s, m->style, "time.ns_per_event")
				     : NAN;

		if (!isfinite(one) || fabs(one - log(m->time)) <= far)
			continue;
		far = fabs(one - log(m->time));
		m->outlier = s;
		m->time_without = exp((all - one) / (double)(m->traces - 1));
	}
}

/* Deployable backends come first: those are the reader's choices. */
static int by_use_and_time(const void *a, const void *b)
{
	const struct mean *x = a, *y = b;

	if (x->model != y->model)
		return x->model - y->model;
	return (x->time > y->time) - (x->time < y->time);
}

static bool any_deployable(const struct rh_view *view)
{
	for (size_t b = 0; b < view->style_count; b++)
		if (view->styles[b].deployable && (int)b != view->baseline)
			return true;
	return false;
}

/* Of what the mean is; not again for a mean of the same (`said`). */
static void say_basis(const struct rh_view *view, const struct mean *m, bool said, FILE *to)
{
	const char *opens = "(";

	if (!said) {
		rh_print(to, " the time of %s over %zu %s%s (geometric mean",
			 view->styles[view->baseline].spec, m->traces > 1 ? m->traces : m->scenes,
			 m->traces > 1 ? "traces" : "settings",
			 m->traces > 1 && m->scenes > m->traces ? ", each counted once" : "");
		opens = "; ";
	}
	if (isfinite(m->time_without))
		rh_print(to, "%s%s%.2f without %s, the farthest", said ? " " : "", opens,
			 m->time_without, view->scenes[m->outlier].trace_name);
	if (!said || isfinite(m->time_without))
		fputc(')', to);
}

static void say_mean(const struct rh_view *view, const struct mean *m, bool said, FILE *to)
{
	double change = 100 * (m->memory - 1);

	/* no headline from a mean of ratios none of which is significant */
	if (m->faster + m->slower == 0)
		rh_print(to, "No setting distinguishes %s from %s in time; as a mean, ",
			 view->styles[m->style].spec, view->styles[view->baseline].spec);
	rh_print(to, "%s%s takes %.2f ×", view->styles[m->style].spec,
		 m->model ? " (cannot be put under a program)" : "", m->time);
	say_basis(view, m, said, to);
	if (isfinite(change) && fabs(change) < 2)
		fputs(", with the same peak memory", to);
	else if (isfinite(change))
		rh_print(to, ", with %.0f %% %s peak memory", fabs(change),
			 change > 0 ? "more" : "less");
	if (m->faster + m->slower > 0)
		fprintf(to, "; faster in %zu, slower in %zu", m->faster, m->slower);
	fputc('\n', to);
}

void rh_verdict_overall(const struct rh_view *view, FILE *to)
{
	struct mean *list = rh_pool_alloc(view->pool, view->style_count, sizeof(*list));
	bool choice = any_deployable(view);
	size_t count = 0;

	if (view->scene_count < 2 || view->baseline < 0)
		return;
	for (size_t b = 0; b < view->style_count; b++) {
		struct mean *m = &list[count];
		size_t ignored;

		if (view->styles[b].control || (int)b == view->baseline)
			continue;
		m->style = b;
		m->model = choice && !view->styles[b].deployable;
		m->time = mean_ratio(view, b, "time.ns_per_event", &m->traces);
		m->memory = mean_ratio(view, b, "memory.rss_peak_bytes", &ignored);
		count_settings(view, m);
		find_outlier(view, m);
		count += m->scenes > 1;
	}
	qsort(list, count, sizeof(*list), by_use_and_time);
	for (size_t i = 0; i < count; i++)
		say_mean(view, &list[i],
			 i > 0 && list[i].traces == list[0].traces &&
				 list[i].scenes == list[0].scenes,
			 to);
}
