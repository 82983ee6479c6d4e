/*
 * view.h - one or more results, read and flattened for all reporting code.
 *
 * A result is a document (harness/result/fields.h). rh_view_open reads several and merges them:
 * backends with one spec become one style (colour and mark), each (document, trace, lanes, copies)
 * becomes a scene, and metrics point to both by index. plot, report and compare read views and
 * nothing else.
 *
 * Ownership: everything lives in the view's pool until rh_view_close. Thread rule: one thread.
 * Errors: RH_NO_INPUT (cannot be read), RH_BAD_DATA (not a result, or a damaged one), with the
 * file and the place.
 */
#ifndef RH_VIEW_H
#define RH_VIEW_H

#include <stdbool.h>
#include <stddef.h>

#include "alloc/base/err.h"
#include "harness/result/fields.h"
#include "harness/result/pool.h"
#include "plots/figure/backend_style.h"

struct rh_doc {
	const char *path;
	const char *name; /* file name without folder and .json */
	struct rh_document file;
	size_t metric_first, metric_count; /* its part of the view's metrics */
	int baseline;			   /* style that its time.ratio refers to, -1 none */
};

struct rh_scene {
	size_t doc, trace; /* index of the document, and of the trace in it */
	unsigned lanes, copies;
	const char *trace_name, *trace_sha256;
	const char *label; /* unique: "systemui, 2 lanes" */
};

/* A metric of a document at its place in the view. */
struct rh_view_metric {
	size_t scene, style;
	const char *name, *unit, *source, *better;
	unsigned n;
	double median, lo, hi, level, min, max; /* lo, hi, level NaN when absent */
	const double *values;
	size_t value_count;
};

struct rh_view {
	struct rh_pool *pool;
	struct rh_doc *docs;
	struct rh_backend_style *styles;
	struct rh_scene *scenes;
	struct rh_view_metric *metrics;
	size_t doc_count, style_count, scene_count, metric_count;
	int baseline; /* style everything is compared with; -1 = none */
};

/* baseline NULL = what the first document says. */
int rh_view_open(struct rh_view *view, char *const *paths, size_t path_count, const char *baseline,
		 struct rh_err *err);
void rh_view_close(struct rh_view *view);

/* The metric of that name, or NULL. */
const struct rh_view_metric *rh_view_metric(const struct rh_view *view, size_t scene, size_t style,
					    const char *name);

/* Metric `name` of a style over that of the baseline, rep by rep where the reps match: what
 * the documents carry as time.ratio when the baseline is theirs, computed otherwise.
 * False when one of the two has no such metric. */
struct rh_estimate;
bool rh_view_ratio(const struct rh_view *view, size_t scene, size_t style, const char *name,
		   struct rh_estimate *out);

/* The ok trials of (scene, style), in the document's order; the list lives in the pool. */
size_t rh_view_trials(const struct rh_view *view, size_t scene, size_t style,
		      const struct rh_trial_done ***list);

/* The trial of (scene, style) whose wall time is the median of its ok trials; NULL. */
const struct rh_trial_done *rh_view_trial(const struct rh_view *view, size_t scene, size_t style);

#endif
