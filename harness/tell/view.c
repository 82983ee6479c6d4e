/*
 * view.c - from result files to one flat view.
 *
 * In order: load each file and check its shape; collect brands by spec; make a scene of
 * every (document, trace, lanes, copies) that has a metric; flatten the metrics; name the
 * scenes with just the words that tell them apart. Nothing is believed: an index is
 * checked against its array, a number must be finite, and the place is named otherwise.
 */
#include "harness/tell/view.h"

#include <errno.h>
#include <math.h>
#include <obstack.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/run/estimate.h"

static void *chunk_alloc(size_t bytes)
{
	void *chunk = malloc(bytes);

	if (!chunk) {
		fputs("reheap: out of memory while reading results\n", stderr);
		exit(RH_OS);
	}
	return chunk;
}
#define obstack_chunk_alloc chunk_alloc
#define obstack_chunk_free free

struct rh_pool {
	struct obstack stack;
};

void *rh_pool_alloc(struct rh_pool *pool, size_t count, size_t bytes)
{
	size_t total;
	void *p;

	if (__builtin_mul_overflow(count, bytes, &total) || total > (size_t)1 << 40) {
		fputs("reheap: out of memory while reading results\n", stderr);
		exit(RH_OS);
	}
	p = obstack_alloc(&pool->stack, total ? total : 1);
	return memset(p, 0, total);
}

char *rh_pool_printf(struct rh_pool *pool, const char *fmt, ...)
{
	va_list ap;
	int bytes;
	char *text;

	va_start(ap, fmt);
	bytes = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	text = rh_pool_alloc(pool, (size_t)bytes + 1, 1);
	va_start(ap, fmt);
	vsnprintf(text, (size_t)bytes + 1, fmt, ap);
	va_end(ap);
	return text;
}

const char *rh_json_text(const json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key));
}

double rh_json_number(const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);

	return json_is_number(value) ? json_number_value(value) : NAN;
}

/* ---- loading ---- */

static int need_array(const struct rh_doc *doc, const char *key, struct rh_err *err)
{
	if (json_is_array(json_object_get(doc->root, key)))
		return 0;
	return rh_fail(err, RH_BAD_DATA, "%s: '%s' is not an array: not a whole result", doc->path,
		       key);
}

static const char *name_of_path(struct rh_pool *pool, const char *path)
{
	const char *slash = strrchr(path, '/');
	char *name = rh_pool_printf(pool, "%s", slash ? slash + 1 : path);
	size_t length = strlen(name);

	if (length > 5 && strcmp(name + length - 5, ".json") == 0)
		name[length - 5] = '\0';
	return name;
}

static int load_doc(struct rh_view *view, struct rh_doc *doc, const char *path, struct rh_err *err)
{
	static const char *const arrays[] = { "traces", "backends", "trials", "metrics" };
	json_error_t why;
	const char *schema;
	FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");

	doc->path = path;
	doc->name = strcmp(path, "-") == 0 ? "stdin" : name_of_path(view->pool, path);
	if (!file)
		return rh_fail(err, RH_NO_INPUT, "%s cannot be opened: %s", path,
			       strerrordesc_np(errno));
	doc->root = json_loadf(file, JSON_REJECT_DUPLICATES, &why);
	if (ferror(file) && file != stdin)
		rh_fail(err, RH_NO_INPUT, "%s cannot be read: is it a directory?", path);
	else if (!doc->root)
		rh_fail(err, RH_BAD_DATA, "%s:%d: not JSON: %s", path, why.line, why.text);
	if (file != stdin)
		fclose(file);
	if (!doc->root)
		return -1;
	schema = rh_json_text(doc->root, "schema");
	if (!schema || strcmp(schema, "reheap.result/1") != 0)
		return rh_fail(err, RH_BAD_DATA,
			       "%s is not a result of this version: schema is %s%.40s%s, not "
			       "'reheap.result/1'", path, schema ? "'" : "", schema ? schema :
			       "absent", schema ? "'" : "");
	for (size_t i = 0; i < sizeof(arrays) / sizeof(arrays[0]); i++)
		if (need_array(doc, arrays[i], err) < 0)
			return -1;
	return 0;
}

/* ---- brands ---- */

static int find_brand(const struct rh_view *view, const char *spec)
{
	for (size_t i = 0; spec && i < view->brand_count; i++)
		if (strcmp(view->brands[i].spec, spec) == 0)
			return (int)i;
	return -1;
}

/* At most RH_LABEL_MAX characters (not bytes) of spec, the middle left out. */
static const char *short_label(struct rh_pool *pool, const char *spec)
{
	size_t chars = 0, head_end = 0, tail_start = 0, at_char = 0;
	const size_t head = RH_LABEL_MAX / 2, tail = RH_LABEL_MAX - RH_LABEL_MAX / 2 - 1;

	for (size_t i = 0; spec[i]; i++)
		chars += ((unsigned char)spec[i] & 0xc0) != 0x80;
	if (chars <= RH_LABEL_MAX)
		return spec;
	for (size_t i = 0; spec[i]; i++) {
		if (((unsigned char)spec[i] & 0xc0) == 0x80)
			continue;
		if (at_char == head)
			head_end = i;
		if (at_char == chars - tail)
			tail_start = i;
		at_char++;
	}
	return rh_pool_printf(pool, "%.*s…%s", (int)head_end, spec, spec + tail_start);
}

static int earlier_variants(const struct rh_view *view, const char *spec)
{
	const char *name, *other;
	size_t bytes, other_bytes;
	int count = 0;

	rh_brand_heap(spec, &name, &bytes);
	for (size_t i = 0; i < view->brand_count; i++) {
		rh_brand_heap(view->brands[i].spec, &other, &other_bytes);
		count += bytes == other_bytes && memcmp(name, other, bytes) == 0;
	}
	return count;
}

static int collect_brands(struct rh_view *view, struct rh_err *err)
{
	size_t total = 0, at;
	json_t *row;

	for (size_t d = 0; d < view->doc_count; d++)
		total += json_array_size(json_object_get(view->docs[d].root, "backends"));
	view->brands = rh_pool_alloc(view->pool, total, sizeof(*view->brands));
	for (size_t d = 0; d < view->doc_count; d++) {
		json_array_foreach(json_object_get(view->docs[d].root, "backends"), at, row) {
			struct rh_brand *brand = &view->brands[view->brand_count];

			brand->spec = rh_json_text(row, "spec");
			if (!brand->spec)
				return rh_fail(err, RH_BAD_DATA, "%s: backends[%zu] has no spec",
					       view->docs[d].path, at);
			if (find_brand(view, brand->spec) >= 0)
				continue;
			brand->label = short_label(view->pool, brand->spec);
			rh_brand_style(brand, earlier_variants(view, brand->spec));
			view->brand_count++;
		}
	}
	return 0;
}

/* ---- scenes and metrics ---- */

static size_t scene_of(struct rh_view *view, const struct rh_scene *like)
{
	struct rh_scene *scene = &view->scenes[view->scene_count];

	for (size_t i = 0; i < view->scene_count; i++)
		if (view->scenes[i].doc == like->doc && view->scenes[i].trace == like->trace &&
		    view->scenes[i].lanes == like->lanes && view->scenes[i].copies == like->copies)
			return i;
	*scene = *like;
	return view->scene_count++;
}

/* An index of a row into one of the document's arrays, or -1. */
static long index_in(const struct rh_doc *doc, const json_t *row, const char *key,
		     const char *array)
{
	const json_t *value = json_object_get(row, key);
	json_int_t at = json_is_integer(value) ? json_integer_value(value) : -1;

	return at >= 0 && (size_t)at < json_array_size(json_object_get(doc->root, array)) ?
	       (long)at : -1;
}

static unsigned count_of(const json_t *row, const char *key)
{
	double value = rh_json_number(row, key);

	return value >= 1 && value <= 1e6 ? (unsigned)value : 1;
}

static void copy_values(struct rh_view *view, struct rh_metric *metric, const json_t *values)
{
	size_t count = json_array_size(values);
	double *copy = rh_pool_alloc(view->pool, count, sizeof(*copy));

	for (size_t i = 0; i < count; i++) {
		const json_t *value = json_array_get(values, i);

		if (json_is_number(value) && isfinite(json_number_value(value)))
			copy[metric->value_count++] = json_number_value(value);
	}
	metric->values = copy;
}

static int read_metric(struct rh_view *view, size_t d, size_t at, const json_t *row,
		       struct rh_err *err)
{
	const struct rh_doc *doc = &view->docs[d];
	struct rh_metric *metric = &view->metrics[view->metric_count];
	long trace = index_in(doc, row, "trace", "traces");
	long backend = index_in(doc, row, "backend", "backends");
	struct rh_scene scene = { .doc = d, .trace = (size_t)trace };
	const json_t *backends = json_object_get(doc->root, "backends");

	*metric = (struct rh_metric){
		.name = rh_json_text(row, "name"), .unit = rh_json_text(row, "unit"),
		.source = rh_json_text(row, "source"), .better = rh_json_text(row, "better"),
		.median = rh_json_number(row, "median"), .lo = rh_json_number(row, "lo"),
		.hi = rh_json_number(row, "hi"), .level = rh_json_number(row, "level"),
		.min = rh_json_number(row, "min"), .max = rh_json_number(row, "max"),
		.n = count_of(row, "n"),
	};
	if (trace < 0 || backend < 0)
		return rh_fail(err, RH_BAD_DATA, "%s: metrics[%zu] names a trace or backend that "
			       "the document does not have", doc->path, at);
	if (!metric->name || !isfinite(metric->median))
		return rh_fail(err, RH_BAD_DATA, "%s: metrics[%zu] has no name or no median",
			       doc->path, at);
	scene.lanes = count_of(row, "lanes");
	scene.copies = count_of(row, "copies");
	metric->scene = scene_of(view, &scene);
	metric->brand = (size_t)find_brand(view, rh_json_text(json_array_get(backends,
						(size_t)backend), "spec"));
	if (!metric->unit)
		metric->unit = "";
	if (!metric->source)
		metric->source = "own";
	if (!metric->better)
		metric->better = "none";
	copy_values(view, metric, json_object_get(row, "values"));
	view->metric_count++;
	return 0;
}

static int collect_metrics(struct rh_view *view, struct rh_err *err)
{
	size_t total = 0, at;
	json_t *row;

	for (size_t d = 0; d < view->doc_count; d++)
		total += json_array_size(json_object_get(view->docs[d].root, "metrics"));
	view->metrics = rh_pool_alloc(view->pool, total, sizeof(*view->metrics));
	view->scenes = rh_pool_alloc(view->pool, total, sizeof(*view->scenes));
	for (size_t d = 0; d < view->doc_count; d++) {
		const json_t *config = json_object_get(view->docs[d].root, "config");

		view->docs[d].baseline = find_brand(view, rh_json_text(config, "baseline"));
		view->docs[d].metric_first = view->metric_count;
		json_array_foreach(json_object_get(view->docs[d].root, "metrics"), at, row)
			if (read_metric(view, d, at, row, err) < 0)
				return -1;
		view->docs[d].metric_count = view->metric_count - view->docs[d].metric_first;
	}
	return 0;
}

/* ---- names of scenes ---- */

/* The trace's name or file name, without .rht. */
static const char *trace_name(struct rh_view *view, const json_t *trace)
{
	const char *name = rh_json_text(trace, "name");
	const char *path = rh_json_text(trace, "path");
	char *own, *dot;

	if (!name || !name[0])
		name = name_of_path(view->pool, path ? path : "trace");
	own = rh_pool_printf(view->pool, "%s", name);
	dot = strrchr(own, '.');
	if (dot && dot != own && strcmp(dot, ".rht") == 0)
		*dot = '\0';
	return own;
}

static bool same_question(const struct rh_scene *a, const struct rh_scene *b)
{
	return strcmp(a->trace_name, b->trace_name) == 0 && a->lanes == b->lanes &&
	       a->copies == b->copies;
}

static const char *plural(unsigned count)
{
	return count == 1 ? "" : "s";
}

static void name_scenes(struct rh_view *view)
{
	for (size_t i = 0; i < view->scene_count; i++) {
		struct rh_scene *scene = &view->scenes[i];
		const json_t *traces = json_object_get(view->docs[scene->doc].root, "traces");
		const json_t *trace = json_array_get(traces, scene->trace);

		scene->trace_name = trace_name(view, trace);
		scene->trace_sha256 = rh_json_text(trace, "sha256");
		if (!scene->trace_sha256)
			scene->trace_sha256 = "";
	}
	for (size_t i = 0; i < view->scene_count; i++) {
		struct rh_scene *scene = &view->scenes[i];
		const char *doc = "";
		char copies[40] = "";

		for (size_t j = 0; j < view->scene_count; j++)
			if (j != i && same_question(scene, &view->scenes[j]))
				doc = view->docs[scene->doc].name;
		if (scene->copies > 1)
			snprintf(copies, sizeof(copies), ", %u copies", scene->copies);
		scene->label = rh_pool_printf(view->pool, "%s, %u lane%s%s%s%s", scene->trace_name,
					      scene->lanes, plural(scene->lanes), copies,
					      doc[0] ? " in " : "", doc);
	}
}

int rh_view_open(struct rh_view *view, char *const *paths, size_t path_count, const char *baseline,
		 struct rh_err *err)
{
	struct rh_pool *pool = chunk_alloc(sizeof(*pool));

	obstack_init(&pool->stack);
	*view = (struct rh_view){ .pool = pool, .baseline = -1 };
	view->docs = rh_pool_alloc(pool, path_count, sizeof(*view->docs));
	for (size_t i = 0; i < path_count; i++) {
		view->doc_count++;
		if (load_doc(view, &view->docs[i], paths[i], err) < 0)
			goto fail;
	}
	if (collect_brands(view, err) < 0 || collect_metrics(view, err) < 0)
		goto fail;
	name_scenes(view);
	view->baseline = path_count ? view->docs[0].baseline : -1;
	if (baseline && baseline[0]) {
		view->baseline = find_brand(view, baseline);
		if (view->baseline < 0) {
			rh_fail(err, RH_USAGE, "--baseline: no result has a backend '%s'",
				baseline);
			goto fail;
		}
	}
	return 0;
fail:
	rh_view_close(view);
	return -1;
}

void rh_view_close(struct rh_view *view)
{
	if (!view->pool)
		return;
	for (size_t i = 0; i < view->doc_count; i++)
		json_decref(view->docs[i].root);
	obstack_free(&view->pool->stack, NULL);
	free(view->pool);
	*view = (struct rh_view){ .baseline = -1 };
}

/* ---- questions ---- */

const struct rh_metric *rh_view_metric(const struct rh_view *view, size_t scene, size_t brand,
				       const char *name)
{
	const struct rh_doc *doc = &view->docs[view->scenes[scene].doc];

	for (size_t i = doc->metric_first; i < doc->metric_first + doc->metric_count; i++) {
		const struct rh_metric *metric = &view->metrics[i];

		if (metric->scene == scene && metric->brand == brand &&
		    strcmp(metric->name, name) == 0)
			return metric;
	}
	return NULL;
}

static bool all_positive(const struct rh_metric *metric)
{
	for (size_t i = 0; i < metric->value_count; i++)
		if (!(metric->values[i] > 0))
			return false;
	return metric->value_count > 0;
}

bool rh_view_ratio(const struct rh_view *view, size_t scene, size_t brand, const char *name,
		   struct rh_estimate *out)
{
	const struct rh_metric *a = rh_view_metric(view, scene, brand, name), *b;

	if (view->baseline < 0 || !a)
		return false;
	b = rh_view_metric(view, scene, (size_t)view->baseline, name);
	if (!b || !all_positive(a) || !all_positive(b))
		return false;
	/* Equal counts are equal reps: a rep that lost a trial is a shorter list. */
	if (a->value_count == b->value_count)
		*out = rh_estimate_paired(a->values, b->values, a->value_count);
	else
		*out = rh_estimate_apart(a->values, a->value_count, b->values, b->value_count);
	return true;
}

static int compare_walls(const void *a, const void *b)
{
	double x = rh_json_number(*(const json_t *const *)a, "wall_ns");
	double y = rh_json_number(*(const json_t *const *)b, "wall_ns");

	return (x > y) - (x < y);
}

static bool trial_is(const json_t *trial, const struct rh_scene *scene, const char *spec,
		     const json_t *backends)
{
	double backend = rh_json_number(trial, "backend");
	const char *status = rh_json_text(trial, "status");
	const char *own;

	if (!(backend >= 0) || !status || strcmp(status, "ok") != 0 ||
	    rh_json_number(trial, "trace") != (double)scene->trace ||
	    count_of(trial, "lanes") != scene->lanes || count_of(trial, "copies") != scene->copies)
		return false;
	own = rh_json_text(json_array_get(backends, (size_t)backend), "spec");
	return own && strcmp(own, spec) == 0;
}

size_t rh_view_trials(const struct rh_view *view, size_t scene_at, size_t brand,
		      const json_t ***list)
{
	const struct rh_scene *scene = &view->scenes[scene_at];
	const json_t *root = view->docs[scene->doc].root;
	const json_t *backends = json_object_get(root, "backends");
	json_t *trials = json_object_get(root, "trials"), *trial;
	size_t count = 0, at;

	json_array_foreach(trials, at, trial)
		count += trial_is(trial, scene, view->brands[brand].spec, backends);
	*list = rh_pool_alloc(view->pool, count, sizeof(**list));
	count = 0;
	json_array_foreach(trials, at, trial)
		if (trial_is(trial, scene, view->brands[brand].spec, backends))
			(*list)[count++] = trial;
	return count;
}

const json_t *rh_view_trial(const struct rh_view *view, size_t scene, size_t brand)
{
	const json_t **found;
	size_t count = rh_view_trials(view, scene, brand, &found);

	if (count == 0)
		return NULL;
	qsort(found, count, sizeof(*found), compare_walls);
	return found[(count - 1) / 2];
}
