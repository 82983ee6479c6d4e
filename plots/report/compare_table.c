/*
 * compare_table.c - a comparison as a table: the largest changes, then a line for each metric
 * that has a change; or every pair, metric by metric.
 *
 * The metrics that people choose by come first: time relative to the baseline, peak memory, the
 * 99th percentile of latency, instructions. Within those, and then among all others, the
 * largest change that the intervals show comes first.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "alloc/base/cells.h"
#include "alloc/base/printable.h"
#include "plots/figure/figure.h"
#include "plots/report/compare_parts.h"

enum { TOP = 10, COLUMNS = 7, METRIC_COLUMNS = 7 };

static const char *const chosen_by[] = { "time.ratio", "memory.rss_peak_bytes", "latency.p99",
					 "counters.instructions_per_event",
					 "counters.ir_per_event" };

static bool is_chosen_by(const char *metric)
{
	for (size_t i = 0; i < sizeof(chosen_by) / sizeof(chosen_by[0]); i++)
		if (strcmp(chosen_by[i], metric) == 0)
			return true;
	return false;
}

static bool is_change(const struct rh_compare_row *row)
{
	return (row->verdict == RH_BETTER || row->verdict == RH_WORSE) && row->has_direction;
}

static double size_of(const struct rh_compare_row *row)
{
	return isfinite(row->change.ratio) && row->change.ratio > 0 ? fabs(log(row->change.ratio))
								    : 0;
}

static int by_weight(const void *a, const void *b)
{
	const struct rh_compare_row *x = *(const struct rh_compare_row *const *)a;
	const struct rh_compare_row *y = *(const struct rh_compare_row *const *)b;
	int class = is_chosen_by(y->a->name) - is_chosen_by(x->a->name);

	return class ? class : (size_of(x) < size_of(y)) - (size_of(x) > size_of(y));
}

/* Changes that the intervals show come first; otherwise the size of a change means little. Pairs of
 * one weight keep the order of the results. */
static int by_order(const void *a, const void *b)
{
	const struct rh_compare_row *x = *(const struct rh_compare_row *const *)a;
	const struct rh_compare_row *y = *(const struct rh_compare_row *const *)b;
	int class = is_change(y) - is_change(x);

	class = class ? class : by_weight(a, b);
	return class ? class : (x > y) - (x < y);
}

static enum rh_tone tone_of(const struct rh_compare_row *row)
{
	if (!is_change(row))
		return RH_TONE_NONE;
	return row->verdict == RH_BETTER ? RH_TONE_BETTER : RH_TONE_WORSE;
}

/* ---- rows ---- */

struct table {
	char (*cell)[RH_CELL];
	unsigned char *tone;
	size_t rows;
};

static bool table_start(struct table *table, size_t rows, const char *const *heads, int columns)
{
	table->cell = calloc((rows + 1) * (size_t)columns, RH_CELL);
	table->tone = calloc(rows + 1, (size_t)columns);
	table->rows = 1;
	for (int c = 0; table->cell && c < columns; c++)
		snprintf(table->cell[c], RH_CELL, "%s", heads[c]);
	return table->cell && table->tone;
}

static void table_end(struct table *table, int columns, unsigned long long left, FILE *to)
{
	if (table->cell && table->tone && table->rows > 1)
		rh_print_cells(to, &(struct rh_cells){ .cell = table->cell,
						       .tone = table->tone,
						       .rows = table->rows,
						       .columns = columns,
						       .left = left });
	free(table->cell);
	free(table->tone);
}

static void place_text(const struct rh_view *view, const struct rh_compare_row *row, char *cell)
{
	const struct rh_scene *scene = &view->scenes[row->a->scene];
	char copies[24] = "";

	if (scene->copies > 1)
		snprintf(copies, sizeof(copies), ", %u copies", scene->copies);
	snprintf(cell, RH_CELL, "%.40s, %u lane%s%s", scene->trace_name, scene->lanes,
		 scene->lanes == 1 ? "" : "s", copies);
}

static void add_pair(const struct rh_view *view, const struct rh_compare_row *row,
		     struct table *table)
{
	char(*cell)[RH_CELL] = table->cell + table->rows * COLUMNS;

	snprintf(cell[0], RH_CELL, "%.63s", row->a->name);
	snprintf(cell[1], RH_CELL, "%.40s", view->styles[row->b->style].label);
	place_text(view, row, cell[2]);
	rh_compare_value(cell[3], RH_CELL, row->a);
	rh_compare_value(cell[4], RH_CELL, row->b);
	rh_compare_change(cell[5], RH_CELL, &row->change);
	snprintf(cell[6], RH_CELL, "%s", rh_compare_word(row));
	table->tone[table->rows * COLUMNS + 5] = (unsigned char)tone_of(row);
	table->tone[table->rows * COLUMNS + 6] = (unsigned char)tone_of(row);
	table->rows++;
}

static void print_pairs(const struct rh_view *view, const struct rh_compare_row *const *rows,
			size_t count, FILE *to)
{
	static const char *const heads[COLUMNS] = { "metric", "backend", "trace",  "before",
						    "after",  "ratio",	 "verdict" };
	struct table table;

	if (table_start(&table, count, heads, COLUMNS))
		for (size_t i = 0; i < count; i++)
			add_pair(view, rows[i], &table);
	table_end(&table, COLUMNS, 7ull | 1ull << 6, to);
}

/* ---- a line for each metric ---- */

static bool is_first_of_metric(const struct rh_compare *compare, size_t row)
{
	for (size_t i = 0; i < row; i++)
		if (strcmp(compare->rows[i].a->name, compare->rows[row].a->name) == 0)
			return false;
	return true;
}

/* What is asked first has an answer, "cannot tell" too. */
static bool is_headline(const char *name)
{
	return strcmp(name, "time.ns_per_event") == 0 || strcmp(name, "memory.rss_peak_bytes") == 0;
}

/* Without a change that the intervals show only a headline has a line. */
static bool add_metric(const struct rh_compare *compare, const char *name, struct table *table)
{
	char(*cell)[RH_CELL] = table->cell + table->rows * METRIC_COLUMNS;
	size_t better = 0, worse = 0, same = 0, unclear = 0, n = 0;
	double sum = 0;

	for (size_t i = 0; i < compare->row_count; i++) {
		const struct rh_compare_row *row = &compare->rows[i];

		if (strcmp(row->a->name, name) != 0)
			continue;
		better += is_change(row) && row->verdict == RH_BETTER;
		worse += is_change(row) && row->verdict == RH_WORSE;
		same += row->verdict == RH_SAME;
		unclear += row->verdict == RH_CANNOT_TELL;
		if (row->change.ratio > 0 && isfinite(row->change.ratio)) {
			sum += log(row->change.ratio);
			n++;
		}
	}
	if (better + worse == 0 && !is_headline(name))
		return false;
	snprintf(cell[0], RH_CELL, "%.63s", name);
	snprintf(cell[1], RH_CELL, "%zu", better + worse + same + unclear);
	snprintf(cell[2], RH_CELL, "%zu", better);
	snprintf(cell[3], RH_CELL, "%zu", worse);
	snprintf(cell[4], RH_CELL, "%zu", same);
	snprintf(cell[5], RH_CELL, "%zu", unclear);
	snprintf(cell[6], RH_CELL, n ? "%.3f" : "-", n ? exp(sum / (double)n) : 0.0);
	table->tone[table->rows * METRIC_COLUMNS + 2] = better ? RH_TONE_BETTER : RH_TONE_NONE;
	table->tone[table->rows * METRIC_COLUMNS + 3] = worse ? RH_TONE_WORSE : RH_TONE_NONE;
	table->rows++;
	return true;
}

static void print_metrics(const struct rh_compare *compare, FILE *to)
{
	static const char *const heads[METRIC_COLUMNS] = { "metric",	"pairs", "better",
							   "worse",	"same",	 "cannot tell",
							   "mean ratio" };
	struct table table;
	size_t calm = 0;

	if (table_start(&table, compare->row_count, heads, METRIC_COLUMNS))
		for (size_t i = 0; i < compare->row_count; i++)
			if (is_first_of_metric(compare, i))
				calm += !add_metric(compare, compare->rows[i].a->name, &table);
	table_end(&table, METRIC_COLUMNS, RH_LEFT_FIRST, to);
	if (calm)
		rh_print(to, "%zu more metric%s: same, or the intervals cannot tell.\n", calm,
			 calm == 1 ? "" : "s");
}

/* ---- both ---- */

static void print_changes(const struct rh_view *view, const struct rh_compare *compare,
			  const struct rh_compare_row **rows, FILE *to)
{
	size_t count = 0;

	for (size_t i = 0; i < compare->row_count; i++)
		if (is_change(&compare->rows[i]))
			rows[count++] = &compare->rows[i];
	qsort(rows, count, sizeof(rows[0]), by_weight);
	if (count == 0) {
		rh_print(to, "Nothing changed that the intervals show, in %zu pairs.\n\n",
			 compare->row_count);
		return;
	}
	rh_print(to, "What changed most, %zu of %zu changes in %zu pairs:\n\n",
		 count < TOP ? count : TOP, count, compare->row_count);
	print_pairs(view, rows, count < TOP ? count : TOP, to);
	fputc('\n', to);
}

/* ---- all pairs, grouped ---- */

/* The heaviest pair of a metric: by it its group is placed. */
static const struct rh_compare_row *heaviest(const struct rh_compare *compare, const char *metric)
{
	const struct rh_compare_row *most = NULL;

	for (size_t i = 0; i < compare->row_count; i++) {
		const struct rh_compare_row *row = &compare->rows[i];

		if (strcmp(row->a->name, metric) == 0 && (!most || by_order(&row, &most) < 0))
			most = row;
	}
	return most;
}

void rh_compare_order(const struct rh_compare *compare, const struct rh_compare_row **rows)
{
	const struct rh_compare_row **heads = rh_scratch(compare->row_count + 1, sizeof(heads[0]));
	size_t metrics = 0, count = 0;

	for (size_t i = 0; i < compare->row_count; i++)
		if (is_first_of_metric(compare, i))
			heads[metrics++] = heaviest(compare, compare->rows[i].a->name);
	qsort(heads, metrics, sizeof(heads[0]), by_order);
	for (size_t m = 0; m < metrics; m++) {
		size_t first = count;

		for (size_t i = 0; i < compare->row_count; i++)
			if (strcmp(compare->rows[i].a->name, heads[m]->a->name) == 0)
				rows[count++] = &compare->rows[i];
		qsort(rows + first, count - first, sizeof(rows[0]), by_order);
	}
	free(heads);
}

void rh_compare_table(const struct rh_view *view, const struct rh_compare *compare, bool all,
		      FILE *to)
{
	const struct rh_compare_row **rows = calloc(compare->row_count + 1, sizeof(rows[0]));

	if (!rows)
		return;
	rh_print(to, "before: %s, after: %s\n\n", compare->before, compare->after);
	if (!all) {
		print_changes(view, compare, rows, to);
		print_metrics(compare, to);
		fputs("\nEvery pair: --all; less of them: --metric, --trace, --backend.\n", to);
	} else {
		rh_compare_order(compare, rows);
		print_pairs(view, rows, compare->row_count, to);
	}
	free(rows);
}
