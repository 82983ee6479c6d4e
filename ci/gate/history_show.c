/*
 * history_show.c - a history for a person: the ten changes that matter first, then a line for each
 * metric; or every series, metric by metric.
 *
 * A change is a step (history_changes.c) if there is one, else the difference between the first
 * and the last value, which proves nothing by itself and is marked so. Steps come first; within
 * them, and then among all others, the metrics that people choose by (time, peak memory, tail
 * latency, instructions) come before the rest, and larger changes before smaller ones. Controls
 * (null, bump) cannot be chosen and come last.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "alloc/base/cells.h"
#include "alloc/base/printable.h"
#include "harness/result/result.h"
#include "ci/gate/history_parts.h"

enum { TOP = 10, COLUMNS = 7, METRIC_COLUMNS = 5 };
#define STEP 0.05

static const char *const chosen_by[] = { "time.ratio",
					 "gate.wall",
					 "memory.rss_peak_bytes",
					 "latency.p99",
					 "counters.instructions_per_event",
					 "counters.ir_per_event",
					 "counts.instructions" };

struct story {
	const struct rh_history_series *series;
	double before, after;
	size_t at; /* index of the first value after a step; 0 = there is none */
};

static bool is_chosen_by(const char *metric)
{
	for (size_t i = 0; i < sizeof(chosen_by) / sizeof(chosen_by[0]); i++)
		if (strcmp(chosen_by[i], metric) == 0)
			return true;
	return false;
}

static bool is_control(const char *backend)
{
	return strcmp(backend, "null") == 0 || strcmp(backend, "bump") == 0;
}

static double size_of(const struct story *story)
{
	double ratio = story->after / story->before;

	return isfinite(ratio) && ratio > 0 ? fabs(log(ratio)) : 0;
}

static int by_weight(const void *a, const void *b)
{
	const struct story *x = a, *y = b;
	int class = is_control(x->series->backend) - is_control(y->series->backend);

	if (!class)
		class = (y->at > 0) - (x->at > 0);
	if (!class)
		class = is_chosen_by(y->series->metric) - is_chosen_by(x->series->metric);
	return class ? class : (size_of(x) < size_of(y)) - (size_of(x) > size_of(y));
}

/* The steps of each series, or its way. */
static struct story *stories_of(const struct rh_history_list *list, size_t *count, size_t *steps)
{
	struct story *stories = NULL;

	*count = *steps = 0;
	for (size_t s = 0; s < list->count; s++) {
		const struct rh_history_series *series = &list->series[s];
		struct rh_change changes[RH_CHANGES_MAX];
		size_t found = rh_changes_find(series->values, series->count, changes);

		*steps += found;
		for (size_t i = 0; i < found; i++)
			*(struct story *)rh_grow(&stories, count, sizeof(*stories)) =
				(struct story){ series, changes[i].before, changes[i].after,
						changes[i].at };
		if (!found)
			*(struct story *)rh_grow(&stories, count, sizeof(*stories)) =
				(struct story){ series, series->values[0],
						series->values[series->count - 1], 0 };
	}
	if (*count)
		qsort(stories, *count, sizeof(*stories), by_weight);
	return stories;
}

static void change_text(char *text, size_t bytes, double before, double after)
{
	if (before != 0)
		snprintf(text, bytes, "%+.1f %%", 100 * (after / before - 1));
	else
		snprintf(text, bytes, "-");
}

static void add_story(const struct story *story, char (*cell)[RH_CELL])
{
	const struct rh_history_series *series = story->series;

	snprintf(cell[0], RH_CELL, "%.60s", series->metric);
	snprintf(cell[1], RH_CELL, "%.60s", series->backend);
	snprintf(cell[2], RH_CELL, "%.36s, %u lane%s%s", series->trace, series->lanes,
		 series->lanes == 1 ? "" : "s", series->copies > 1 ? ", copies" : "");
	snprintf(cell[3], RH_CELL, "%.4g", story->before);
	snprintf(cell[4], RH_CELL, "%.4g", story->after);
	change_text(cell[5], RH_CELL, story->before, story->after);
	if (story->at)
		snprintf(cell[6], RH_CELL, "step at value %zu of %zu, %s", story->at + 1,
			 series->count, series->dates[story->at]);
	else
		snprintf(cell[6], RH_CELL, "%zu value%s, no step", series->count,
			 series->count == 1 ? "" : "s");
}

static void print_stories(const struct story *stories, size_t count, FILE *to)
{
	static const char *const heads[COLUMNS] = { "metric", "backend", "trace", "before",
						    "after",  "change",	 "how" };
	char(*cell)[RH_CELL] = calloc((count + 1) * COLUMNS, RH_CELL);

	for (int c = 0; cell && c < COLUMNS; c++)
		snprintf(cell[c], RH_CELL, "%s", heads[c]);
	for (size_t i = 0; cell && i < count; i++)
		add_story(&stories[i], cell + (i + 1) * COLUMNS);
	if (cell)
		rh_print_cells(to, &(struct rh_cells){ .cell = cell,
						       .rows = count + 1,
						       .columns = COLUMNS,
						       .left = 7ull | 1ull << 6 });
	free(cell);
}

/* ---- a line for each metric ---- */

static size_t steps_of(const struct story *stories, size_t count, const char *metric)
{
	size_t steps = 0;

	for (size_t i = 0; i < count; i++)
		steps += stories[i].at > 0 && strcmp(stories[i].series->metric, metric) == 0;
	return steps;
}

/* Of the series first to end, which have one metric. False, and no line, where nothing stepped and
 * the mean did not move. */
static bool add_metric(const struct rh_history_list *list, size_t first, size_t end, size_t steps,
		       char (*cell)[RH_CELL])
{
	size_t most = 0, ways = 0;
	double sum = 0, mean;

	for (size_t i = first; i < end; i++) {
		const struct rh_history_series *of = &list->series[i];
		double way = of->values[of->count - 1] / of->values[0];

		most = of->count > most ? of->count : most;
		if (way > 0 && isfinite(way)) {
			sum += log(way);
			ways++;
		}
	}
	mean = ways ? exp(sum / (double)ways) : 1;
	if (!steps && fabs(mean - 1) < STEP)
		return false;
	snprintf(cell[0], RH_CELL, "%.63s", list->series[first].metric);
	snprintf(cell[1], RH_CELL, "%zu", end - first);
	snprintf(cell[2], RH_CELL, "%zu", most);
	snprintf(cell[3], RH_CELL, "%zu", steps);
	snprintf(cell[4], RH_CELL, "%.3f", mean);
	return true;
}

static void print_metrics(const struct rh_history_list *list, const struct story *stories,
			  size_t count, FILE *to)
{
	static const char *const heads[METRIC_COLUMNS] = { "metric", "series", "values", "steps",
							   "last / first" };
	char(*cell)[RH_CELL] = calloc((list->count + 1) * METRIC_COLUMNS, RH_CELL);
	size_t rows = 1, calm = 0;

	for (int c = 0; cell && c < METRIC_COLUMNS; c++)
		snprintf(cell[c], RH_CELL, "%s", heads[c]);
	for (size_t first = 0, end; cell && first < list->count; first = end) {
		const char *metric = list->series[first].metric;

		for (end = first;
		     end < list->count && strcmp(list->series[end].metric, metric) == 0;)
			end++;
		if (add_metric(list, first, end, steps_of(stories, count, metric),
			       cell + rows * METRIC_COLUMNS))
			rows++;
		else
			calm++;
	}
	if (rows > 1)
		rh_print_cells(to, &(struct rh_cells){ .cell = cell,
						       .rows = rows,
						       .columns = METRIC_COLUMNS,
						       .left = RH_LEFT_FIRST });
	if (calm)
		rh_print(to, "%zu metric%s: no step, and within %.0f %% on the mean.\n", calm,
			 calm == 1 ? "" : "s", 100 * STEP);
	free(cell);
}

/* ---- every series ---- */

static void print_series(const struct rh_history_series *series, FILE *to)
{
	const double *values = series->values;
	struct rh_change changes[RH_CHANGES_MAX];
	size_t count = series->count, found = rh_changes_find(values, count, changes);

	rh_print(to,
		 "  %s, %u lane%s x %u, %s\n    %zu value%s, first %.4g, last %.4g (%+.1f %%)\n",
		 series->trace, series->lanes, series->lanes == 1 ? "" : "s", series->copies,
		 series->backend, count, count == 1 ? "" : "s", values[0], values[count - 1],
		 values[0] != 0 ? 100 * (values[count - 1] / values[0] - 1) : 0.0);
	for (size_t i = 0; i < found; i++)
		rh_print(to, "    step at value %zu, %s: %.4g -> %.4g (%+.1f %%)\n",
			 changes[i].at + 1, series->dates[changes[i].at], changes[i].before,
			 changes[i].after, 100 * (changes[i].after / changes[i].before - 1));
}

static void print_all(const struct rh_history_list *list, FILE *to)
{
	for (size_t i = 0; i < list->count; i++) {
		const struct rh_history_series *series = &list->series[i];

		if (i && strcmp(series->metric, list->series[i - 1].metric) != 0)
			fputc('\n', to);
		if (i == 0 || strcmp(series->metric, list->series[i - 1].metric) != 0)
			rh_print(to, "%s [%s]\n", series->metric, series->unit);
		print_series(series, to);
	}
}

static void print_summary(const struct rh_history_list *list, FILE *to)
{
	size_t count, steps, shown;
	struct story *stories = stories_of(list, &count, &steps);

	shown = count < TOP ? count : TOP;
	rh_print(to,
		 "%zu series, %zu step%s (5 %% or more, p < 0.001, five values on each side); what "
		 "changed most, %zu of %zu:\n\n",
		 list->count, steps, steps == 1 ? "" : "s", shown, count);
	print_stories(stories, shown, to);
	fputc('\n', to);
	print_metrics(list, stories, count, to);
	fputs("\nEvery series: --all; less of them: --metric, --trace, --backend.\n", to);
	free(stories);
}

int rh_history_show(struct rh_history *history, const struct rh_history_pick *pick, bool all,
		    FILE *to, struct rh_err *err)
{
	struct rh_history_list list;
	int result = rh_history_read(history, pick, &list, err);

	if (result == 0 && list.count == 0)
		fputs("nothing is kept that fits\n", to);
	else if (result == 0 && all)
		print_all(&list, to);
	else if (result == 0)
		print_summary(&list, to);
	rh_history_list_free(&list);
	return result;
}
