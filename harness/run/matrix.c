/*
 * matrix.c - several traces at a glance: settings down, backends across, time and peak memory
 * relative to the baseline; with several passes those of the first and of the later ones.
 *
 * A star, on a terminal also a colour, marks what the intervals allow to be called a difference:
 * the interval of the ratio excludes 1. Ratios are of the trials of a repetition, as in reports
 * (rh_view_ratio): a ratio of medians differs from that in the last digit. The null
 * floor that runs along has no column; a control that was asked for (bump, decorators) has one,
 * dimmed.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "alloc/base/cells.h"
#include "alloc/base/os.h"
#include "alloc/base/printable.h"
#include "harness/probe/probe.h"
#include "harness/run/run.h"

static const double level_least = 0.9;

/* A ratio to the baseline, as paired. */
static enum rh_tone ratio_tone(const struct rh_result *result, const struct rh_trial *like,
			       uint32_t backend, const char *metric)
{
	const struct rh_metric *m = rh_metric_like(result, like, backend, metric);

	if (!m || m->level < level_least)
		return RH_TONE_NONE;
	return m->hi < 1 ? RH_TONE_BETTER : m->lo > 1 ? RH_TONE_WORSE : RH_TONE_NONE;
}

static bool all_positive(const struct rh_metric *m)
{
	for (size_t i = 0; i < m->values_count; i++)
		if (!(m->values[i] > 0))
			return false;
	return m->values_count > 0;
}

/* Equal counts are equal repetitions: a list that lost a trial is shorter. */
bool rh_result_ratio(const struct rh_result *result, const struct rh_trial *like, uint32_t backend,
		     const char *metric, struct rh_estimate *out)
{
	const struct rh_metric *m = rh_metric_like(result, like, backend, metric);
	const struct rh_metric *base = rh_metric_like(result, like, result->baseline, metric);

	if (!m || !base || !all_positive(m) || !all_positive(base))
		return false;
	*out = m->values_count == base->values_count
		       ? rh_estimate_paired(m->values, base->values, m->values_count)
		       : rh_estimate_apart(m->values, m->values_count, base->values,
					   base->values_count);
	return true;
}

static enum rh_tone bytes_tone(const struct rh_result *result, const struct rh_trial *like,
			       uint32_t backend, const char *metric)
{
	struct rh_estimate e;

	if (!rh_result_ratio(result, like, backend, metric, &e) || e.level < level_least)
		return RH_TONE_NONE;
	return e.hi < 1 ? RH_TONE_BETTER : e.lo > 1 ? RH_TONE_WORSE : RH_TONE_NONE;
}

enum rh_tone rh_time_tone(const struct rh_result *result, const struct rh_trial *like,
			  uint32_t backend)
{
	return ratio_tone(result, like, backend, "time.ratio");
}

enum rh_tone rh_memory_tone(const struct rh_result *result, const struct rh_trial *like,
			    uint32_t backend)
{
	return bytes_tone(result, like, backend, "memory.rss_peak_bytes");
}

/* One of the matrices. */
struct facet {
	const char *title, *metric;
	bool ratio; /* of the metric itself, else to the baseline's */
};

static enum rh_tone fill_cell(const struct rh_result *result, const struct rh_trial *like,
			      uint32_t backend, const struct facet *facet, char *cell)
{
	const struct rh_metric *m = rh_metric_like(result, like, backend, facet->metric);
	enum rh_tone tone = facet->ratio ? ratio_tone(result, like, backend, facet->metric)
					 : bytes_tone(result, like, backend, facet->metric);
	struct rh_estimate e = { .ratio = NAN };

	if (facet->ratio && m)
		e.ratio = m->median;
	else if (!facet->ratio)
		rh_result_ratio(result, like, backend, facet->metric, &e);
	if (isfinite(e.ratio))
		snprintf(cell, RH_CELL, "%.2f%s", e.ratio, tone == RH_TONE_NONE ? " " : "*");
	else
		snprintf(cell, RH_CELL, "- ");
	return tone;
}

size_t rh_result_places(const struct rh_result *result, const struct rh_trial **places)
{
	size_t count = 0;

	for (size_t t = 0; t < result->trial_count; t++) {
		const struct rh_trial *trial = &result->trials[t];
		bool seen = false;

		for (size_t p = 0; p < count; p++)
			seen |= places[p]->program == trial->program &&
				places[p]->copies == trial->copies;
		if (!seen)
			places[count++] = trial;
	}
	return count;
}

static bool has_column(const struct rh_run_backend *backend)
{
	return !backend->floor && backend->status != RH_STATUS_ABSENT;
}

static void name_row(const struct rh_result *result, const struct rh_trial *place, char *cell)
{
	char copies[24] = "";

	if (place->copies > 1)
		snprintf(copies, sizeof(copies), " x %u copies", place->copies);
	snprintf(cell, RH_CELL, "%.40s, %u lane%s%s",
		 rh_base_name(result->traces[place->trace].path), place->lanes,
		 place->lanes == 1 ? "" : "s", copies);
}

struct matrix {
	const struct rh_result *result;
	const struct rh_trial **places;
	size_t count;
};

static void print_one(const struct matrix *matrix, const struct facet *facet, FILE *to,
		      bool markdown)
{
	const struct rh_result *result = matrix->result;
	size_t columns = 1, c = 1;
	char(*cells)[RH_CELL];
	unsigned char *tones;

	for (uint32_t b = 0; b < result->backend_count; b++)
		columns += has_column(&result->backends[b]);
	cells = calloc((matrix->count + 1) * columns, RH_CELL);
	tones = calloc(matrix->count + 1, columns);
	if (cells)
		snprintf(cells[0], RH_CELL, "%s", facet->title);
	for (size_t p = 0; cells && p < matrix->count; p++)
		name_row(result, matrix->places[p], cells[(p + 1) * columns]);
	for (uint32_t b = 0; cells && tones && b < result->backend_count; b++) {
		if (!has_column(&result->backends[b]))
			continue;
		snprintf(cells[c], RH_CELL, "%.*s ", RH_CELL - 2, result->backends[b].text);
		for (size_t p = 1; p <= matrix->count; p++)
			tones[p * columns + c] = (unsigned char)fill_cell(
				result, matrix->places[p - 1], b, facet, cells[p * columns + c]);
		c++;
	}
	if (cells && tones)
		rh_print_cells(to, &(struct rh_cells){ .cell = cells,
						       .tone = tones,
						       .rows = matrix->count + 1,
						       .columns = (int)columns,
						       .left = RH_LEFT_FIRST,
						       .markdown = markdown });
	fputc('\n', to);
	free(cells);
	free(tones);
}

/* A matrix of something not measured would be all dashes: memory without its probe, later passes
 * where there is only one. */
static bool was_measured(const struct matrix *matrix, const char *metric)
{
	for (size_t p = 0; p < matrix->count; p++)
		for (uint32_t b = 0; b < matrix->result->backend_count; b++)
			if (rh_metric_like(matrix->result, matrix->places[p], b, metric))
				return true;
	return false;
}

void rh_result_print_matrix(const struct rh_result *result, const struct rh_trial **places,
			    size_t count, FILE *to, bool markdown)
{
	const struct matrix matrix = { result, places, count };
	bool later = was_measured(&matrix, "steady.ratio");
	const struct facet facets[] = {
		{ later ? "time, first pass" : "time", "time.ratio", true },
		{ "time, later passes", "steady.ratio", true },
		{ later ? "peak memory, first pass" : "peak memory", "memory.rss_peak_bytes",
		  false },
		{ "peak memory, later passes", "steady.rss_peak_bytes", false },
	};

	for (size_t f = 0; f < sizeof(facets) / sizeof(facets[0]); f++)
		if (f == 0 || was_measured(&matrix, facets[f].metric))
			print_one(&matrix, &facets[f], to, markdown);
	rh_print(to,
		 "Relative to %s, below 1 is better. *: a difference that the intervals show.\n",
		 result->backends[result->baseline].text);
}
