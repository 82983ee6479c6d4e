/*
 * view.c - from result files to one flat view.
 *
 * In order: load each file and check its shape; collect styles by spec; make a scene of
 * every (document, trace, lanes, copies) that has a metric; flatten the metrics; name the
 * scenes with just the words in which they differ. Everything is checked: an index against its
 * array, a number for being finite; errors name the place.
 */
#include "plots/figure/view.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc/base/os.h"
#include "harness/result/estimate.h"

/* ---- loading ---- */

static const char *name_of_path(struct rh_pool *pool, const char *path)
{
	char *name = rh_pool_printf(pool, "%s", rh_base_name(path));
	size_t length = strlen(name);

	if (length > 5 && strcmp(name + length - 5, ".json") == 0)
		name[length - 5] = '\0';
	return name;
}

static int load_doc(struct rh_view *view, struct rh_doc *doc, const char *path, struct rh_err *err)
{
	doc->path = path;
	doc->name = strcmp(path, "-") == 0 ? "stdin" : name_of_path(view->pool, path);
	return rh_document_read(&doc->file, path, view->pool, err);
}

/* ---- styles ---- */

static int find_style(const struct rh_view *view, const char *spec)
{
	for (size_t i = 0; spec && i < view->style_count; i++)
		if (strcmp(view->styles[i].spec, spec) == 0)
			return (int)i;
	return -1;
}

/* Only the distinguishing part of a setting: jemalloc@MALLOC_CONF=narenas:1 is jemalloc@narenas:1,
 * mimalloc@MIMALLOC_PURGE_DELAY=0 is mimalloc@PURGE_DELAY=0. */
static const char *short_setting(struct rh_pool *pool, const char *spec)
{
	static const char *const said[] = { "MALLOC_CONF=", "GLIBC_TUNABLES=glibc.malloc.",
					    "MIMALLOC_", "TCMALLOC_" };
	const char *at = strchr(spec, '@');

	for (size_t i = 0; at && i < sizeof(said) / sizeof(said[0]); i++)
		if (strncmp(at + 1, said[i], strlen(said[i])) == 0)
			return rh_pool_printf(pool, "%.*s%s", (int)(at + 1 - spec), spec,
					      at + 1 + strlen(said[i]));
	return spec;
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
	if (short_setting(pool, spec) != spec)
		return short_label(pool, short_setting(pool, spec));
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

/* A heap without knobs is 0 wherever it stands, so that it looks the same in every figure; its
 * variants count from 1, or from 0 where there is none without. */
static int variant_of(const struct rh_view *view, const struct rh_backend_style *style)
{
	int count = 0;
	bool plain = false;

	for (size_t i = 0; i < view->style_count; i++) {
		const struct rh_backend_style *other = &view->styles[i];

		if (strcmp(other->heap, style->heap) != 0)
			continue;
		plain |= strcmp(other->spec, other->heap) == 0;
		count += other < style && strcmp(other->spec, other->heap) != 0;
	}
	return strcmp(style->spec, style->heap) == 0 ? 0 : count + plain;
}

static void add_style(struct rh_view *view, const struct rh_backend_used *row)
{
	struct rh_backend_style *style = &view->styles[view->style_count];

	if (find_style(view, row->spec) >= 0)
		return;
	*style = (struct rh_backend_style){
		.spec = row->spec,
		.heap = row->heap && row->heap[0] ? row->heap : row->spec,
		.control = row->control,
		.deployable = row->deployable,
		.label = short_label(view->pool, row->spec),
	};
	view->style_count++;
}

static void collect_styles(struct rh_view *view)
{
	size_t total = 0;

	for (size_t d = 0; d < view->doc_count; d++)
		total += view->docs[d].file.backends_count;
	view->styles = rh_pool_alloc(view->pool, total, sizeof(*view->styles));
	for (size_t d = 0; d < view->doc_count; d++)
		for (size_t b = 0; b < view->docs[d].file.backends_count; b++)
			add_style(view, &view->docs[d].file.backends[b]);
	for (size_t i = 0; i < view->style_count; i++)
		rh_backend_style_set(&view->styles[i], variant_of(view, &view->styles[i]));
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

/* Lanes and copies that an older document does not name are one. */
static unsigned count_of(uint32_t value)
{
	return value >= 1 && value <= 1000000 ? value : 1;
}

static void copy_values(struct rh_view *view, struct rh_view_metric *metric,
			const struct rh_metric *row)
{
	double *copy = rh_pool_alloc(view->pool, row->values_count, sizeof(*copy));

	for (size_t i = 0; i < row->values_count; i++)
		if (isfinite(row->values[i]))
			copy[metric->value_count++] = row->values[i];
	metric->values = copy;
}

static void add_metric(struct rh_view *view, size_t d, const struct rh_metric *row)
{
	const struct rh_document *file = &view->docs[d].file;
	struct rh_view_metric *metric = &view->metrics[view->metric_count++];
	const struct rh_scene scene = { .doc = d,
					.trace = row->trace,
					.lanes = count_of(row->lanes),
					.copies = count_of(row->copies) };

	*metric = (struct rh_view_metric){
		.scene = scene_of(view, &scene),
		.style = (size_t)find_style(view, file->backends[row->backend].spec),
		.name = row->name,
		.unit = row->unit ? row->unit : "",
		.source = row->source ? row->source : "own",
		.better = row->better ? row->better : "none",
		.n = count_of(row->n),
		.median = row->median,
		.lo = row->lo,
		.hi = row->hi,
		.level = row->level,
		.min = row->min,
		.max = row->max,
	};
	copy_values(view, metric, row);
}

static void collect_metrics(struct rh_view *view)
{
	size_t total = 0;

	for (size_t d = 0; d < view->doc_count; d++)
		total += view->docs[d].file.metrics_count;
	view->metrics = rh_pool_alloc(view->pool, total, sizeof(*view->metrics));
	view->scenes = rh_pool_alloc(view->pool, total, sizeof(*view->scenes));
	for (size_t d = 0; d < view->doc_count; d++) {
		const struct rh_document *file = &view->docs[d].file;

		view->docs[d].baseline =
			find_style(view, file->config ? file->config->baseline : NULL);
		view->docs[d].metric_first = view->metric_count;
		for (size_t m = 0; m < file->metrics_count; m++)
			add_metric(view, d, &file->metrics[m]);
		view->docs[d].metric_count = file->metrics_count;
	}
}

/* ---- names of scenes ---- */

/* The trace's name or file name, without .rht. */
static const char *trace_name(struct rh_view *view, const struct rh_trace_used *trace)
{
	const char *name = trace->name, *path = trace->path;
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
		const struct rh_trace_used *trace =
			&view->docs[scene->doc].file.traces[scene->trace];

		scene->trace_name = trace_name(view, trace);
		scene->trace_sha256 = trace->sha256;
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
	struct rh_pool *pool = rh_pool_open();

	*view = (struct rh_view){ .pool = pool, .baseline = -1 };
	view->docs = rh_pool_alloc(pool, path_count, sizeof(*view->docs));
	for (size_t i = 0; i < path_count; i++) {
		view->doc_count++;
		if (load_doc(view, &view->docs[i], paths[i], err) < 0)
			goto fail;
	}
	collect_styles(view);
	collect_metrics(view);
	name_scenes(view);
	view->baseline = path_count ? view->docs[0].baseline : -1;
	if (baseline && baseline[0]) {
		view->baseline = find_style(view, baseline);
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
	rh_pool_close(view->pool);
	*view = (struct rh_view){ .baseline = -1 };
}

/* ---- questions ---- */

const struct rh_view_metric *rh_view_metric(const struct rh_view *view, size_t scene, size_t style,
					    const char *name)
{
	const struct rh_doc *doc = &view->docs[view->scenes[scene].doc];

	for (size_t i = doc->metric_first; i < doc->metric_first + doc->metric_count; i++) {
		const struct rh_view_metric *metric = &view->metrics[i];

		if (metric->scene == scene && metric->style == style &&
		    strcmp(metric->name, name) == 0)
			return metric;
	}
	return NULL;
}

static bool all_positive(const struct rh_view_metric *metric)
{
	for (size_t i = 0; i < metric->value_count; i++)
		if (!(metric->values[i] > 0))
			return false;
	return metric->value_count > 0;
}

bool rh_view_ratio(const struct rh_view *view, size_t scene, size_t style, const char *name,
		   struct rh_estimate *out)
{
	const struct rh_view_metric *a = rh_view_metric(view, scene, style, name), *b;

	if (view->baseline < 0 || !a)
		return false;
	b = rh_view_metric(view, scene, (size_t)view->baseline, name);
	if (!b || !all_positive(a) || !all_positive(b))
		return false;
	/* Equal counts mean equal reps: a list that lost a trial is shorter. */
	if (a->value_count == b->value_count)
		*out = rh_estimate_paired(a->values, b->values, a->value_count);
	else
		*out = rh_estimate_apart(a->values, a->value_count, b->values, b->value_count);
	return true;
}

static int compare_walls(const void *a, const void *b)
{
	uint64_t x = (*(const struct rh_trial_done *const *)a)->wall_ns;
	uint64_t y = (*(const struct rh_trial_done *const *)b)->wall_ns;

	return (x > y) - (x < y);
}

static bool trial_is(const struct rh_trial_done *trial, const struct rh_scene *scene,
		     const char *spec, const struct rh_document *file)
{
	return trial->status && strcmp(trial->status, "ok") == 0 && trial->trace == scene->trace &&
	       count_of(trial->lanes) == scene->lanes && count_of(trial->copies) == scene->copies &&
	       strcmp(file->backends[trial->backend].spec, spec) == 0;
}

size_t rh_view_trials(const struct rh_view *view, size_t scene_at, size_t style,
		      const struct rh_trial_done ***list)
{
	const struct rh_scene *scene = &view->scenes[scene_at];
	const struct rh_document *file = &view->docs[scene->doc].file;
	size_t count = 0;

	*list = NULL;
	for (size_t i = 0; i < file->trials_count; i++)
		if (trial_is(&file->trials[i], scene, view->styles[style].spec, file))
			*(const struct rh_trial_done **)rh_pool_grow(
				view->pool, list, &count, sizeof(**list)) = &file->trials[i];
	return count;
}

const struct rh_trial_done *rh_view_trial(const struct rh_view *view, size_t scene, size_t style)
{
	const struct rh_trial_done **found;
	size_t count = rh_view_trials(view, scene, style, &found);

	if (count == 0)
		return NULL;
	qsort(found, count, sizeof(*found), compare_walls);
	return found[(count - 1) / 2];
}
