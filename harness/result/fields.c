/*
 * fields.c - the tables of fields.h, and the checks of a whole document that they cannot express.
 */
#include "harness/result/fields.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* One table each; SELF names the structure whose members it describes. */
#define SELF struct rh_tool
RH_RECORD_TABLE(tool, RH_FIELDS_TOOL)
#undef SELF
#define SELF struct rh_clock_used
RH_RECORD_TABLE(clock_used, RH_FIELDS_CLOCK_USED)
#undef SELF
#define SELF struct rh_host_used
RH_RECORD_TABLE(host_used, RH_FIELDS_HOST_USED)
#undef SELF
#define SELF struct rh_config_used
RH_RECORD_TABLE(config_used, RH_FIELDS_CONFIG_USED)
#undef SELF
#define SELF struct rh_program_used
RH_RECORD_TABLE(program_used, RH_FIELDS_PROGRAM_USED)
#undef SELF
#define SELF struct rh_trace_used
RH_RECORD_TABLE(trace_used, RH_FIELDS_TRACE_USED)
#undef SELF
#define SELF struct rh_identity
RH_RECORD_TABLE(identity, RH_FIELDS_IDENTITY)
#undef SELF
#define SELF struct rh_backend_used
RH_RECORD_TABLE(backend_used, RH_FIELDS_BACKEND_USED)
#undef SELF
#define SELF struct rh_died
RH_RECORD_TABLE(died, RH_FIELDS_DIED)
#undef SELF
#define SELF struct rh_waits
RH_RECORD_TABLE(waits, RH_FIELDS_WAITS)
#undef SELF
#define SELF struct rh_memory
RH_RECORD_TABLE(memory, RH_FIELDS_MEMORY)
#undef SELF
#define SELF struct rh_segments
RH_RECORD_TABLE(segments, RH_FIELDS_SEGMENTS)
#undef SELF
#define SELF struct rh_passes
RH_RECORD_TABLE(passes, RH_FIELDS_PASSES)
#undef SELF
#define SELF struct rh_stat
RH_RECORD_TABLE(stat, RH_FIELDS_STAT)
#undef SELF
#define SELF struct rh_quantile
RH_RECORD_TABLE(quantile, RH_FIELDS_QUANTILE)
#undef SELF
#define SELF struct rh_latency_of
RH_RECORD_TABLE(latency_of, RH_FIELDS_LATENCY_OF)
#undef SELF
#define SELF struct rh_latency_cells
RH_RECORD_TABLE(latency_cells, RH_FIELDS_LATENCY_CELLS)
#undef SELF
#define SELF struct rh_latency_sizes
RH_RECORD_TABLE(latency_sizes, RH_FIELDS_LATENCY_SIZES)
#undef SELF
#define SELF struct rh_latency_run
RH_RECORD_TABLE(latency_run, RH_FIELDS_LATENCY_RUN)
#undef SELF
#define SELF struct rh_long_batch
RH_RECORD_TABLE(long_batch, RH_FIELDS_LONG_BATCH)
#undef SELF
#define SELF struct rh_outliers
RH_RECORD_TABLE(outliers, RH_FIELDS_OUTLIERS)
#undef SELF
#define SELF struct rh_latency_found
RH_RECORD_TABLE(latency_found, RH_FIELDS_LATENCY_FOUND)
#undef SELF
#define SELF struct rh_lock_found
RH_RECORD_TABLE(lock_found, RH_FIELDS_LOCK_FOUND)
#undef SELF
#define SELF struct rh_locks_found
RH_RECORD_TABLE(locks_found, RH_FIELDS_LOCKS_FOUND)
#undef SELF
#define SELF struct rh_mutex_found
RH_RECORD_TABLE(mutex_found, RH_FIELDS_MUTEX_FOUND)
#undef SELF
#define SELF struct rh_pace_found
RH_RECORD_TABLE(pace_found, RH_FIELDS_PACE_FOUND)
#undef SELF
#define SELF struct rh_counted
RH_RECORD_TABLE(counted, RH_FIELDS_COUNTED)
#undef SELF
#define SELF struct rh_counters_found
RH_RECORD_TABLE(counters_found, RH_FIELDS_COUNTERS_FOUND)
#undef SELF
#define SELF struct rh_function_cost
RH_RECORD_TABLE(function_cost, RH_FIELDS_FUNCTION_COST)
#undef SELF
#define SELF struct rh_callgrind_found
RH_RECORD_TABLE(callgrind_found, RH_FIELDS_CALLGRIND_FOUND)
#undef SELF
#define SELF struct rh_blocks_found
RH_RECORD_TABLE(blocks_found, RH_FIELDS_BLOCKS_FOUND)
#undef SELF
#define SELF struct rh_stacks_found
RH_RECORD_TABLE(stacks_found, RH_FIELDS_STACKS_FOUND)
#undef SELF
#define SELF struct rh_found
RH_RECORD_TABLE(found, RH_FIELDS_FOUND)
#undef SELF
#define SELF struct rh_trial_done
RH_RECORD_TABLE(trial_done, RH_FIELDS_TRIAL_DONE)
#undef SELF
#define SELF struct rh_metric
RH_RECORD_TABLE(metric, RH_FIELDS_METRIC)
#undef SELF
#define SELF struct rh_absent_metric
RH_RECORD_TABLE(absent_metric, RH_FIELDS_ABSENT_METRIC)
#undef SELF
#define SELF struct rh_truth_change
RH_RECORD_TABLE(truth_change, RH_FIELDS_TRUTH_CHANGE)
#undef SELF
#define SELF struct rh_truth_seen
RH_RECORD_TABLE(truth_seen, RH_FIELDS_TRUTH_SEEN)
#undef SELF
#define SELF struct rh_validation
RH_RECORD_TABLE(validation, RH_FIELDS_VALIDATION)
#undef SELF
#define SELF struct rh_document
RH_RECORD_TABLE(document, RH_FIELDS_DOCUMENT)
#undef SELF

const struct rh_metric_row rh_metric_rows[] = {
#define ROW(name, unit, source, better, what) { name, unit, source, better, what },
	RH_METRICS(ROW)
#undef ROW
		{ NULL, NULL, NULL, NULL, NULL }
};

const struct rh_metric_row *rh_metric_find(const char *name)
{
	for (const struct rh_metric_row *row = rh_metric_rows; row->name; row++) {
		size_t bytes = strlen(row->name);

		if (row->name[bytes - 1] == '*' ? strncmp(name, row->name, bytes - 1) == 0
						: strcmp(name, row->name) == 0)
			return row;
	}
	return NULL;
}

static int check_validation(const struct rh_document *document, const char *path,
			    struct rh_err *err)
{
	const struct rh_validation *v = document->validation;

	for (size_t i = 0; i < v->changes_count; i++)
		if (v->changes[i].backend >= document->backends_count)
			return rh_fail(err, RH_BAD_DATA,
				       "%s: validation.changes[%zu] names a backend that the "
				       "document does not have",
				       path, i);
	for (size_t i = 0; i < v->seen_count; i++)
		if (v->seen[i].backend >= document->backends_count)
			return rh_fail(err, RH_BAD_DATA,
				       "%s: validation.seen[%zu] names a backend that the "
				       "document does not have",
				       path, i);
	return 0;
}

int rh_document_check(const struct rh_document *document, const char *path, struct rh_err *err)
{
	for (size_t i = 0; i < document->metrics_count; i++) {
		const struct rh_metric *metric = &document->metrics[i];

		if (metric->trace >= document->traces_count ||
		    metric->backend >= document->backends_count)
			return rh_fail(err, RH_BAD_DATA,
				       "%s: metrics[%zu] names a trace or backend that the "
				       "document does not have",
				       path, i);
		if (!isfinite(metric->median))
			return rh_fail(err, RH_BAD_DATA, "%s: metrics[%zu] has no median", path, i);
	}
	for (size_t i = 0; i < document->trials_count; i++)
		if (document->trials[i].trace >= document->traces_count ||
		    document->trials[i].backend >= document->backends_count)
			return rh_fail(err, RH_BAD_DATA,
				       "%s: trials[%zu] names a trace or backend that the "
				       "document does not have",
				       path, i);
	return document->validation ? check_validation(document, path, err) : 0;
}

#define FIGURE_MAX 1e18

/* What is measured is not below 0; a difference may be, and a share of one. */
static bool may_be_negative(const char *name)
{
	static const char *const differences[] = { "program.", "apart.", "locks.",
						   "stacks.",  "waits.", "pace." };

	for (size_t i = 0; i < sizeof(differences) / sizeof(differences[0]); i++)
		if (strncmp(name, differences[i], strlen(differences[i])) == 0)
			return true;
	return strstr(name, "_net") || !rh_metric_find(name);
}

static int check_metric(const struct rh_metric *metric, const char *path, size_t index,
			struct rh_err *err)
{
	const double *ends[] = { &metric->median, &metric->lo, &metric->hi, &metric->min,
				 &metric->max };

	/* No measurement is so large, and what is drawn of it would be no figure. */
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
		if (fabs(*ends[i]) > FIGURE_MAX)
			return rh_fail(err, RH_BAD_DATA, "%s: metrics[%zu]: %s cannot be %g", path,
				       index, metric->name, *ends[i]);
	for (size_t i = 0; i < metric->values_count; i++)
		if (fabs(metric->values[i]) > FIGURE_MAX)
			return rh_fail(err, RH_BAD_DATA,
				       "%s: metrics[%zu].values[%zu]: no %s is %g", path, index, i,
				       metric->name, metric->values[i]);
	if (metric->median < 0 && !may_be_negative(metric->name))
		return rh_fail(err, RH_BAD_DATA, "%s: metrics[%zu].median: %s cannot be %g", path,
			       index, metric->name, metric->median);
	if (metric->lo > metric->hi || metric->min > metric->max)
		return rh_fail(err, RH_BAD_DATA,
			       "%s: metrics[%zu]: the lower end of %s lies above the upper one",
			       path, index, metric->name);
	return 0;
}

static int by_key(const void *a, const void *b)
{
	const struct rh_metric *x = *(const struct rh_metric *const *)a;
	const struct rh_metric *y = *(const struct rh_metric *const *)b;

#define DIFFER(field)             \
	if (x->field != y->field) \
		return x->field < y->field ? -1 : 1;
	DIFFER(trace)
	DIFFER(backend)
	DIFFER(lanes)
	DIFFER(copies)
#undef DIFFER
	return strcmp(x->name, y->name);
}

/* Whoever pairs metrics of two documents takes one of a kind. */
static int check_once(const struct rh_document *document, const char *path, struct rh_err *err)
{
	size_t count = document->metrics_count, i = 1;
	const struct rh_metric **sorted = calloc(count + 1, sizeof(struct rh_metric *));

	if (!sorted)
		return rh_fail(err, RH_OS, "%s: no memory to read it", path);
	for (size_t m = 0; m < count; m++)
		sorted[m] = &document->metrics[m];
	qsort(sorted, count, sizeof(struct rh_metric *), by_key);
	while (i < count && by_key(&sorted[i - 1], &sorted[i]) != 0)
		i++;
	if (i < count)
		rh_fail(err, RH_BAD_DATA, "%s: metrics[%zu] and metrics[%zu] are of the same %s",
			path, (size_t)(sorted[i - 1] - document->metrics),
			(size_t)(sorted[i] - document->metrics), sorted[i]->name);
	free(sorted);
	return i < count ? -1 : 0;
}

int rh_document_read(struct rh_document *document, const char *path, struct rh_pool *pool,
		     struct rh_err *err)
{
	if (rh_record_read(&rh_document_type, document,
			   &(struct rh_record_source){ .path = path, .schema = RH_RESULT_SCHEMA },
			   pool, err) < 0)
		return -1;
	for (size_t i = 0; i < document->metrics_count; i++)
		if (check_metric(&document->metrics[i], path, i, err) < 0)
			return -1;
	if (check_once(document, path, err) < 0)
		return -1;
	return rh_document_check(document, path, err);
}
