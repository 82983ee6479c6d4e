/*
 * compare.c - pairs the metrics of documents and checks that the pairing is meaningful.
 *
 * Two results were measured at different times, so their values are not paired and the
 * interval is the Mann-Whitney one. It covers the noise within each run but nothing that
 * changed between them (other load on the machine, another clock speed); every comparison says
 * so, and it is why the ratio to a baseline measured in the same run, time.ratio, is the row to
 * trust.
 *
 * Two backends of one result ran next to each other: equal numbers of trials are paired.
 *
 * Manifests that differ in something that decides the numbers (trace, CPU, lanes, touch, pace,
 * verify) break the comparison; differing kernels, libcs and tool versions give a remark.
 */
#include "plots/report/compare.h"

#include <fnmatch.h>
#include <math.h>
#include <string.h>

#include "alloc/base/suggest.h"

enum { REMARKS_MAX = 64 };

static void remark(const struct rh_view *view, struct rh_compare *out, bool breaks,
		   const char *text)
{
	(void)view;
	if (out->remark_count < REMARKS_MAX)
		out->remarks[out->remark_count++] = text;
	out->breaks += breaks;
}

/* The value at "host.cpu_model" as text; NULL when there is none. */
static const char *text_at(const struct rh_view *view, const struct rh_doc *doc, const char *path)
{
	const struct rh_document *file = &doc->file;
	const char *key = strchr(path, '.') + 1;

	if (strncmp(path, "host.", 5) == 0)
		return rh_record_text(&rh_host_used_type, file->host, key, view->pool);
	if (strncmp(path, "config.", 7) == 0)
		return rh_record_text(&rh_config_used_type, file->config, key, view->pool);
	return rh_record_text(&rh_tool_type, file->tool, key, view->pool);
}

static void check_manifest(const struct rh_view *view, size_t d, struct rh_compare *out)
{
	static const struct {
		const char *path, *what;
		bool breaks;
	} facts[] = {
		{ "host.cpu_model", "the CPU", true },
		{ "host.cpus_allowed", "the number of CPUs allowed", true },
		{ "config.touch", "--touch", true },
		{ "config.pace", "--pace", true },
		{ "config.verify", "--verify", true },
		{ "host.name", "the host", false },
		{ "host.kernel", "the kernel", false },
		{ "host.libc", "libc", false },
		{ "host.thp", "transparent huge pages", false },
		{ "host.governor", "the frequency governor", false },
		{ "tool.version", "the version of reheap", false },
	};
	const struct rh_doc *a = &view->docs[0], *b = &view->docs[d];

	for (size_t i = 0; i < sizeof(facts) / sizeof(facts[0]); i++) {
		const char *x = text_at(view, a, facts[i].path);
		const char *y = text_at(view, b, facts[i].path);

		if ((!x && !y) || (x && y && strcmp(x, y) == 0))
			continue;
		remark(view, out, facts[i].breaks,
		       rh_pool_printf(view->pool, "%s differs: '%s' in %s, '%s' in %s",
				      facts[i].what, x ? x : "not known", a->name,
				      y ? y : "not known", b->name));
	}
}

static bool same_setting(const struct rh_scene *a, const struct rh_scene *b)
{
	return strcmp(a->trace_name, b->trace_name) == 0 && a->lanes == b->lanes &&
	       a->copies == b->copies;
}

static void check_traces(const struct rh_view *view, size_t d, struct rh_compare *out)
{
	for (size_t i = 0; i < view->scene_count; i++) {
		const struct rh_scene *a = &view->scenes[i];

		for (size_t j = 0; a->doc == 0 && j < view->scene_count; j++) {
			const struct rh_scene *b = &view->scenes[j];

			if (b->doc == d && same_setting(a, b) &&
			    strcmp(a->trace_sha256, b->trace_sha256) != 0)
				remark(view, out, true,
				       rh_pool_printf(view->pool,
						      "the trace %s is not the same file: "
						      "sha256 %.12s and %.12s",
						      a->trace_name, a->trace_sha256,
						      b->trace_sha256));
		}
	}
}

/* The allocator behind a name may have been replaced between two runs. */
static void check_identity(const struct rh_view *view, const struct rh_backend_used *a,
			   const struct rh_backend_used *b, struct rh_compare *out)
{
	const char *x = a->identity ? a->identity->malloc_build_id : NULL;
	const char *y = b->identity ? b->identity->malloc_build_id : NULL;

	if (x && y && strcmp(x, y) != 0 && strcmp(a->spec, b->spec) == 0)
		remark(view, out, false,
		       rh_pool_printf(view->pool, "%s is another build: %.12s and %.12s", a->spec,
				      x, y));
}

static void check_identities(const struct rh_view *view, size_t d, struct rh_compare *out)
{
	const struct rh_document *a = &view->docs[0].file, *b = &view->docs[d].file;

	for (size_t i = 0; i < a->backends_count; i++)
		for (size_t j = 0; j < b->backends_count; j++)
			check_identity(view, &a->backends[i], &b->backends[j], out);
}

/* The metric of document d that asks the same question as m. */
static const struct rh_view_metric *partner(const struct rh_view *view, size_t d,
					    const struct rh_view_metric *m)
{
	const struct rh_doc *doc = &view->docs[d];

	for (size_t i = doc->metric_first; i < doc->metric_first + doc->metric_count; i++) {
		const struct rh_view_metric *other = &view->metrics[i];

		if (other->style == m->style && strcmp(other->name, m->name) == 0 &&
		    same_setting(&view->scenes[other->scene], &view->scenes[m->scene]))
			return other;
	}
	return NULL;
}

static bool positive(const struct rh_view_metric *m)
{
	for (size_t i = 0; i < m->value_count; i++)
		if (!(m->values[i] > 0))
			return false;
	return m->value_count > 0;
}

static void add_row(struct rh_compare *out, size_t d, const struct rh_view_metric *a,
		    const struct rh_view_metric *b)
{
	struct rh_compare_row *row = &out->rows[out->row_count++];

	*row = (struct rh_compare_row){ .a = a,
					.b = b,
					.doc = d,
					.verdict = RH_CANNOT_TELL,
					.has_direction = strcmp(a->better, "none") != 0 };
	row->change = (struct rh_estimate){ NAN, NAN, NAN, 0, 0, false };
	if (positive(a) && positive(b))
		row->change = a->scene == b->scene && a->value_count == b->value_count
				      ? rh_estimate_paired(b->values, a->values, a->value_count)
				      : rh_estimate_apart(b->values, b->value_count, a->values,
							  a->value_count);
	else if (a->median == b->median)
		row->change = (struct rh_estimate){ 1, 1, 1, 1, a->n, false };
	row->verdict = rh_verdict(&row->change, strcmp(a->better, "higher") != 0);
}

static bool matches(const char *pattern, const char *name)
{
	if (!pattern)
		return true;
	return strchr(pattern, '*') ? fnmatch(pattern, name, 0) == 0
				    : strstr(name, pattern) != NULL;
}

static bool is_picked(const struct rh_view *view, const struct rh_compare_pick *pick,
		      const struct rh_view_metric *m)
{
	return matches(pick->metric, m->name) &&
	       matches(pick->backend, view->styles[m->style].spec) &&
	       matches(pick->trace, view->scenes[m->scene].trace_name);
}

/* A filter that nothing in the results meets is a slip of the pen, and no difference of results. */
static int check_pick(const struct rh_view *view, const struct rh_compare_pick *pick,
		      struct rh_err *err)
{
	bool metric = false, backend = false, trace = false;
	const char *named = pick->backend ? pick->backend : "";
	const char *about = pick->trace ? pick->trace : "";
	struct rh_suggestion styles = rh_suggestion_for(named, strlen(named));
	struct rh_suggestion traces = rh_suggestion_for(about, strlen(about));
	char text[512];

	for (size_t i = 0; i < view->metric_count; i++)
		metric |= matches(pick->metric, view->metrics[i].name);
	for (size_t b = 0; b < view->style_count; b++) {
		backend |= matches(pick->backend, view->styles[b].spec);
		rh_suggest_consider(&styles, view->styles[b].spec);
	}
	for (size_t s = 0; s < view->scene_count; s++) {
		bool again = false;

		trace |= matches(pick->trace, view->scenes[s].trace_name);
		for (size_t before = 0; before < s; before++)
			again |= strcmp(view->scenes[before].trace_name,
					view->scenes[s].trace_name) == 0;
		if (!again)
			rh_suggest_consider(&traces, view->scenes[s].trace_name);
	}
	if (!metric && view->metric_count)
		return rh_fail(err, RH_NO_BASELINE,
			       "--metric: nothing that was measured has '%s' in its name (reheap "
			       "list metrics)",
			       pick->metric);
	rh_suggest_write(backend ? &traces : &styles, text, sizeof(text));
	if (!backend && view->style_count)
		return rh_fail(err, RH_NO_BASELINE, "--backend: none is called '%s'; %s",
			       pick->backend, text);
	if (!trace && view->scene_count)
		return rh_fail(err, RH_NO_BASELINE, "--trace: none is called '%s'; %s", pick->trace,
			       text);
	return 0;
}

/* Each metric of the first result with its partner in document d. */
static void pair_results(const struct rh_view *view, const struct rh_compare_pick *pick, size_t d,
			 struct rh_compare *out)
{
	const struct rh_doc *first = &view->docs[0], *other = &view->docs[d];
	size_t before = out->row_count, of_other = 0;

	for (size_t i = 0; i < first->metric_count; i++) {
		const struct rh_view_metric *a = &view->metrics[first->metric_first + i];
		const struct rh_view_metric *b = partner(view, d, a);

		if (!is_picked(view, pick, a))
			continue;
		if (b)
			add_row(out, d, a, b);
		else
			out->only_a++;
	}
	for (size_t i = 0; i < other->metric_count; i++)
		of_other += is_picked(view, pick, &view->metrics[other->metric_first + i]);
	out->only_b += of_other - (out->row_count - before);
}

static int style_called(const struct rh_view *view, const char *name, struct rh_err *err)
{
	struct rh_suggestion near = rh_suggestion_for(name, strlen(name));
	char text[512];

	for (size_t b = 0; b < view->style_count; b++) {
		if (strcmp(view->styles[b].spec, name) == 0)
			return (int)b;
		rh_suggest_consider(&near, view->styles[b].spec);
	}
	rh_suggest_write(&near, text, sizeof(text));
	return rh_fail(err, RH_USAGE, "--between: %s has no backend called '%s'; %s",
		       view->docs[0].name, name, text);
}

/* Two backends of every result, with the trials of a repetition side by side. */
static int pair_backends(const struct rh_view *view, const struct rh_compare_pick *pick,
			 struct rh_compare *out, struct rh_err *err)
{
	int one = style_called(view, pick->between[0], err);
	int two = one < 0 ? -1 : style_called(view, pick->between[1], err);

	if (two < 0)
		return -1;
	for (size_t i = 0; i < view->metric_count; i++) {
		const struct rh_view_metric *a = &view->metrics[i], *b;

		if ((int)a->style != one || !matches(pick->metric, a->name) ||
		    !matches(pick->trace, view->scenes[a->scene].trace_name))
			continue;
		b = rh_view_metric(view, a->scene, (size_t)two, a->name);
		if (b)
			add_row(out, 0, a, b);
		else
			out->only_a++;
	}
	out->before = view->styles[one].label;
	out->after = view->styles[two].label;
	return 0;
}

int rh_compare_build(const struct rh_view *view, const struct rh_compare_pick *pick,
		     struct rh_compare *out, struct rh_err *err)
{
	static const struct rh_compare_pick everything;

	pick = pick ? pick : &everything;
	*out = (struct rh_compare){ 0 };
	if (check_pick(view, pick, err) < 0)
		return -1;
	out->rows =
		rh_pool_alloc(view->pool, view->metric_count * view->doc_count, sizeof(*out->rows));
	out->remarks = rh_pool_alloc(view->pool, REMARKS_MAX, sizeof(*out->remarks));
	if (pick->between[0])
		return pair_backends(view, pick, out, err);
	out->before = view->docs[0].name;
	out->after = view->doc_count == 2 ? view->docs[1].name : "the others";
	for (size_t d = 1; d < view->doc_count; d++) {
		check_manifest(view, d, out);
		check_traces(view, d, out);
		check_identities(view, d, out);
		pair_results(view, pick, d, out);
	}
	return 0;
}

const char *rh_compare_word(const struct rh_compare_row *row)
{
	bool time = strncmp(row->a->name, "time.", 5) == 0;

	switch (row->verdict) {
	case RH_SAME:
		return "same";
	case RH_CANNOT_TELL:
		return "cannot tell";
	case RH_BETTER:
	case RH_WORSE:
		if (!row->has_direction)
			return row->change.ratio > 1 ? "more" : "less";
		if (time)
			return row->verdict == RH_BETTER ? "faster" : "slower";
		return row->verdict == RH_BETTER ? "better" : "worse";
	}
	return "cannot tell";
}
