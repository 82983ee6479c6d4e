/*
 * compare.c - pairs the metrics of documents and checks that pairing them means something.
 *
 * Two results were measured at different times, so their values are not paired and the
 * interval is the Mann-Whitney one. It knows the noise within each run and nothing of what
 * changed between them (another neighbour on the machine, another clock speed); that is
 * said with every comparison, and it is why the ratio to a baseline measured in the same
 * run, time.ratio, is the row to trust.
 *
 * Manifests that differ in what decides the numbers (trace, CPU, lanes, touch, pace,
 * verify) break the comparison; kernels, libcs and tool versions are remarked on.
 */
#include "harness/tell/compare.h"

#include <math.h>
#include <string.h>

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
	const char *dot = strchr(path, '.');
	char *first = rh_pool_printf(view->pool, "%.*s", (int)(dot - path), path);
	const json_t *value = json_object_get(json_object_get(doc->root, first), dot + 1);

	if (json_is_string(value))
		return json_string_value(value);
	if (json_is_number(value))
		return rh_pool_printf(view->pool, "%.10g", json_number_value(value));
	if (json_is_boolean(value))
		return json_is_true(value) ? "yes" : "no";
	return NULL;
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
static void check_identities(const struct rh_view *view, size_t d, struct rh_compare *out)
{
	json_t *x, *y;
	size_t i, j;

	json_array_foreach(json_object_get(view->docs[0].root, "backends"), i, x) {
		json_array_foreach(json_object_get(view->docs[d].root, "backends"), j, y) {
			const char *spec = rh_json_text(x, "spec");
			const char *id = rh_json_text(json_object_get(x, "identity"),
						      "malloc_build_id");
			const char *other = rh_json_text(json_object_get(y, "identity"),
							 "malloc_build_id");

			if (!spec || !id || !other || strcmp(id, other) == 0 ||
			    !rh_json_text(y, "spec") || strcmp(spec, rh_json_text(y, "spec")) != 0)
				continue;
			remark(view, out, false,
			       rh_pool_printf(view->pool, "%s is another build: %.12s and %.12s",
					      spec, id, other));
		}
	}
}

/* The metric of document d that asks the same question as m. */
static const struct rh_metric *partner(const struct rh_view *view, size_t d,
				       const struct rh_metric *m)
{
	const struct rh_doc *doc = &view->docs[d];

	for (size_t i = doc->metric_first; i < doc->metric_first + doc->metric_count; i++) {
		const struct rh_metric *other = &view->metrics[i];

		if (other->brand == m->brand && strcmp(other->name, m->name) == 0 &&
		    same_setting(&view->scenes[other->scene], &view->scenes[m->scene]))
			return other;
	}
	return NULL;
}

static bool positive(const struct rh_metric *m)
{
	for (size_t i = 0; i < m->value_count; i++)
		if (!(m->values[i] > 0))
			return false;
	return m->value_count > 0;
}

static void add_row(struct rh_compare *out, size_t d, const struct rh_metric *a,
		    const struct rh_metric *b)
{
	struct rh_compare_row *row = &out->rows[out->row_count++];

	*row = (struct rh_compare_row){ .a = a, .b = b, .doc = d, .verdict = RH_CANNOT_TELL,
					.has_direction = strcmp(a->better, "none") != 0 };
	row->change = (struct rh_estimate){ NAN, NAN, NAN, 0, 0, false };
	if (positive(a) && positive(b))
		row->change = rh_estimate_apart(b->values, b->value_count, a->values,
						a->value_count);
	else if (a->median == b->median)
		row->change = (struct rh_estimate){ 1, 1, 1, 1, a->n, false };
	row->verdict = rh_verdict(&row->change, strcmp(a->better, "higher") != 0);
}

void rh_compare_build(const struct rh_view *view, struct rh_compare *out)
{
	const struct rh_doc *first = &view->docs[0];

	*out = (struct rh_compare){ 0 };
	out->rows = rh_pool_alloc(view->pool, first->metric_count * view->doc_count,
				  sizeof(*out->rows));
	out->remarks = rh_pool_alloc(view->pool, REMARKS_MAX, sizeof(*out->remarks));
	for (size_t d = 1; d < view->doc_count; d++) {
		size_t before = out->row_count;

		check_manifest(view, d, out);
		check_traces(view, d, out);
		check_identities(view, d, out);
		for (size_t i = 0; i < first->metric_count; i++) {
			const struct rh_metric *a = &view->metrics[first->metric_first + i];
			const struct rh_metric *b = partner(view, d, a);

			if (b)
				add_row(out, d, a, b);
			else
				out->only_a++;
		}
		out->only_b += view->docs[d].metric_count - (out->row_count - before);
	}
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
