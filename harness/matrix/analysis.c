/*
 * analysis.c - pools effects by class of machines, finds outliers, compares matrices (analysis.h).
 *
 * Within a class the cells are the sample: the interval of their mean is Student's, with quantiles
 * from a short table (two-sided 95 %). A class of one cell has the cell's own interval. Over
 * classes the blocks are the sample in the same way if there are three or more; for two the
 * interval is that of independent means. Weights by precision would let the class with most cells
 * dominate.
 */
#include "harness/matrix/analysis.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/result/stat.h"

/* ---- means ---- */

/* Student's t, two-sided 95 %, by degrees of freedom. */
static double student(size_t df)
{
	static const double t[] = { 0,	   12.706, 4.303, 3.182, 2.776, 2.571, 2.447,
				    2.365, 2.306,  2.262, 2.228, 2.201, 2.179, 2.160,
				    2.145, 2.131,  2.120, 2.110, 2.101, 2.093, 2.086 };

	if (df < sizeof(t) / sizeof(t[0]))
		return t[df];
	return df < 30 ? 2.07 : df < 60 ? 2.02 : 1.97;
}

static double mean_of(const double *values, size_t n)
{
	double sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += values[i];
	return sum / (double)n;
}

/* Half the width of the interval of the mean; n of 2 or more. */
static double half_of(const double *values, size_t n, double mean)
{
	double sum = 0;

	assert(n >= 2);
	for (size_t i = 0; i < n; i++)
		sum += (values[i] - mean) * (values[i] - mean);
	return student(n - 1) * sqrt(sum / (double)(n - 1) / (double)n);
}

/* ---- blocks ---- */

static void fill_block(const struct rh_effect_row *const *rows, size_t count, struct rh_block *b,
		       double *logs)
{
	const struct rh_effect_row *only = NULL;
	double half;

	b->cells = 0;
	for (size_t i = 0; i < count; i++)
		if (strcmp(rows[i]->machine, b->machine) == 0) {
			only = rows[i];
			logs[b->cells++] = log(rows[i]->effect.ratio);
		}
	assert(b->cells > 0);
	b->log_mean = mean_of(logs, b->cells);
	if (b->cells == 1) {
		b->log_lo = log(only->effect.lo);
		b->log_hi = log(only->effect.hi);
		return;
	}
	half = half_of(logs, b->cells, b->log_mean);
	b->log_lo = b->log_mean - half;
	b->log_hi = b->log_mean + half;
}

static bool has_block(const struct rh_pooled *p, const char *machine)
{
	for (size_t i = 0; i < p->block_count; i++)
		if (strcmp(p->blocks[i].machine, machine) == 0)
			return true;
	return false;
}

/* One interval lies above 0 and another below it. */
static void look_for_contradiction(struct rh_pooled *p)
{
	for (size_t i = 0; i < p->block_count; i++)
		for (size_t j = 0; j < p->block_count; j++)
			if (p->blocks[i].log_hi < 0 && p->blocks[j].log_lo > 0) {
				p->refused = true;
				p->against[0] = i;
				p->against[1] = j;
				return;
			}
}

static void pool_means(struct rh_pooled *p, double *logs)
{
	double mean, half = 0, square = 0;

	for (size_t i = 0; i < p->block_count; i++) {
		double width = (p->blocks[i].log_hi - p->blocks[i].log_lo) / 2;

		logs[i] = p->blocks[i].log_mean;
		square += width * width;
	}
	mean = mean_of(logs, p->block_count);
	half = p->block_count >= 3 ? half_of(logs, p->block_count, mean)
				   : sqrt(square) / (double)p->block_count;
	p->ratio = exp(mean);
	p->lo = exp(mean - half);
	p->hi = exp(mean + half);
	if (p->block_count == 1) {
		p->lo = exp(p->blocks[0].log_lo);
		p->hi = exp(p->blocks[0].log_hi);
	}
}

void rh_pool_blocks(const struct rh_effect_row *const *rows, size_t count, struct rh_pooled *pooled,
		    struct rh_pool *pool)
{
	double *logs = rh_scratch(count + 1, sizeof(*logs));

	assert(count > 0);
	*pooled = (struct rh_pooled){ .ratio = NAN, .lo = NAN, .hi = NAN, .cells = count };
	for (size_t i = 0; i < count; i++) {
		struct rh_block *b;

		if (has_block(pooled, rows[i]->machine))
			continue;
		b = rh_pool_grow(pool, &pooled->blocks, &pooled->block_count, sizeof(*b));
		b->machine = rows[i]->machine;
		fill_block(rows, count, b, logs);
	}
	pooled->least = INFINITY;
	pooled->most = 0;
	for (size_t i = 0; i < pooled->block_count; i++) {
		pooled->least = fmin(pooled->least, exp(pooled->blocks[i].log_mean));
		pooled->most = fmax(pooled->most, exp(pooled->blocks[i].log_mean));
	}
	look_for_contradiction(pooled);
	if (!pooled->refused)
		pool_means(pooled, logs);
	free(logs);
}

enum rh_verdict rh_pooled_verdict(const struct rh_pooled *pooled, bool lower_is_better)
{
	const struct rh_estimate e = { pooled->ratio, pooled->lo,    pooled->hi,
				       0.95,	      pooled->cells, true };

	return pooled->refused ? RH_CANNOT_TELL : rh_verdict(&e, lower_is_better);
}

/* ---- grid ---- */

static size_t index_of(const char **names, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(names[i], name) == 0)
			return i;
	return count;
}

static void note_name(const char ***names, size_t *count, const char *name, struct rh_pool *pool)
{
	if (index_of(*names, *count, name) == *count)
		*(const char **)rh_pool_grow(pool, names, count, sizeof(**names)) = name;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The grid position of each row, looked up once: comparing texts in a grid of 500 families would
 * take minutes. */
struct places {
	const struct rh_effect_row *rows;
	size_t count;
	size_t *family, *label;
};

static void pool_place(const struct places *at, size_t family, size_t label, struct rh_pooled *to,
		       struct rh_pool *pool)
{
	const struct rh_effect_row **list = rh_scratch(at->count + 1, sizeof(*list));
	size_t n = 0;

	for (size_t i = 0; i < at->count; i++)
		if (at->label[i] == label && (family == SIZE_MAX || at->family[i] == family))
			list[n++] = &at->rows[i];
	if (n)
		rh_pool_blocks(list, n, to, pool);
	free(list);
}

void rh_grid_make(const struct rh_effect_row *rows, size_t count, struct rh_grid *grid,
		  struct rh_pool *pool)
{
	struct places at = { .rows = rows,
			     .count = count,
			     .family = rh_pool_alloc(pool, count + 1, sizeof(size_t)),
			     .label = rh_pool_alloc(pool, count + 1, sizeof(size_t)) };

	*grid = (struct rh_grid){ 0 };
	for (size_t i = 0; i < count; i++) {
		note_name(&grid->families, &grid->family_count, rows[i].family, pool);
		note_name(&grid->labels, &grid->label_count, rows[i].label, pool);
	}
	if (grid->family_count)
		qsort(grid->families, grid->family_count, sizeof(*grid->families), by_text);
	for (size_t i = 0; i < count; i++) {
		at.family[i] = index_of(grid->families, grid->family_count, rows[i].family);
		at.label[i] = index_of(grid->labels, grid->label_count, rows[i].label);
	}
	grid->cells = rh_pool_alloc(pool, grid->family_count * grid->label_count + 1,
				    sizeof(*grid->cells));
	grid->all = rh_pool_alloc(pool, grid->label_count + 1, sizeof(*grid->all));
	for (size_t l = 0; l < grid->label_count; l++) {
		pool_place(&at, SIZE_MAX, l, &grid->all[l], pool);
		for (size_t f = 0; f < grid->family_count; f++)
			pool_place(&at, f, l, &grid->cells[f * grid->label_count + l], pool);
	}
}

/* ---- outliers ---- */

static int by_group(const void *a, const void *b)
{
	const struct rh_effect_row *x = *(const struct rh_effect_row *const *)a;
	const struct rh_effect_row *y = *(const struct rh_effect_row *const *)b;
	int order = strcmp(x->label, y->label);

	return order ? order : strcmp(x->family, y->family);
}

static int by_times(const void *a, const void *b)
{
	double x = ((const struct rh_far_cell *)a)->times,
	       y = ((const struct rh_far_cell *)b)->times;

	return (x < y) - (x > y);
}

enum { OUTLIER_CELLS_MIN = 5, OUTLIER_TIMES = 5 };
/* A group whose cells agree to the last digit has no typical distance. */
#define DISTANCE_MIN 0.01
#define OUTLIER_MIN  0.05

static void judge_group(const struct rh_effect_row **rows, size_t count, struct rh_far_cell **list,
			size_t *found, struct rh_pool *pool)
{
	double *logs = rh_scratch(count, sizeof(*logs)), *off = rh_scratch(count, sizeof(*off));
	double median, usual;

	for (size_t i = 0; i < count; i++)
		logs[i] = log(rows[i]->effect.ratio);
	rh_stat_sort(logs, count);
	median = rh_stat_median(logs, count);
	for (size_t i = 0; i < count; i++)
		off[i] = fabs(log(rows[i]->effect.ratio) - median);
	rh_stat_sort(off, count);
	usual = fmax(1.4826 * rh_stat_median(off, count), DISTANCE_MIN);
	for (size_t i = 0; i < count; i++) {
		const struct rh_estimate *e = &rows[i]->effect;
		double distance = fabs(log(e->ratio) - median);

		if (distance < OUTLIER_MIN || distance < OUTLIER_TIMES * usual ||
		    (log(e->lo) <= median && log(e->hi) >= median))
			continue;
		*(struct rh_far_cell *)rh_pool_grow(pool, list, found, sizeof(**list)) =
			(struct rh_far_cell){ rows[i], exp(median), distance / usual };
	}
	free(logs);
	free(off);
}

size_t rh_outliers(const struct rh_effect_row *rows, size_t count, struct rh_far_cell **list,
		   size_t most, struct rh_pool *pool)
{
	const struct rh_effect_row **sorted = rh_scratch(count + 1, sizeof(*sorted));
	size_t found = 0, n = 0;

	*list = NULL;
	for (size_t i = 0; i < count; i++)
		if (!rows[i].aa && rows[i].effect.ratio > 0)
			sorted[n++] = &rows[i];
	qsort(sorted, n, sizeof(*sorted), by_group);
	for (size_t first = 0, end; first < n; first = end) {
		for (end = first + 1; end < n && by_group(&sorted[first], &sorted[end]) == 0; end++)
			;
		if (end - first >= OUTLIER_CELLS_MIN)
			judge_group(sorted + first, end - first, list, &found, pool);
	}
	free(sorted);
	if (found)
		qsort(*list, found, sizeof(**list), by_times);
	return found < most ? found : most;
}

/* ---- since an earlier matrix ---- */

/* Whether both ask the same question. Backends are compared by name, because they may have been
 * rebuilt. */
static int by_question(const void *a, const void *b)
{
	const struct rh_effect_row *x = *(const struct rh_effect_row *const *)a;
	const struct rh_effect_row *y = *(const struct rh_effect_row *const *)b;
	const char *texts[][2] = { { x->sha256, y->sha256 }, { x->label, y->label },
				   { x->kind, y->kind },     { x->machine, y->machine },
				   { x->lanes, y->lanes },   { x->copies, y->copies },
				   { x->probes, y->probes }, { x->metric, y->metric } };

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		int order = strcmp(texts[i][0], texts[i][1]);

		if (order)
			return order;
	}
	return 0;
}

static int by_change(const void *a, const void *b)
{
	const struct rh_since *x = a, *y = b;
	double one = fabs(log(x->change)), two = fabs(log(y->change));

	if (x->claims != y->claims)
		return y->claims - x->claims;
	return (one < two) - (one > two);
}

size_t rh_since(const struct rh_effects *before, const struct rh_effects *after,
		struct rh_since **list, struct rh_pool *pool)
{
	const struct rh_effect_row **sorted = rh_scratch(before->count + 1, sizeof(*sorted));
	size_t found = 0;

	*list = NULL;
	for (size_t i = 0; i < before->count; i++)
		sorted[i] = &before->rows[i];
	qsort(sorted, before->count, sizeof(*sorted), by_question);
	for (size_t i = 0; i < after->count; i++) {
		const struct rh_effect_row *row = &after->rows[i], **same;
		struct rh_since *since;

		same = bsearch(&row, sorted, before->count, sizeof(*sorted), by_question);
		if (!same)
			continue;
		since = rh_pool_grow(pool, list, &found, sizeof(*since));
		*since = (struct rh_since){ .before = *same,
					    .after = row,
					    .change = row->effect.ratio / (*same)->effect.ratio };
		since->claims = fabs(log(since->change)) >= log(1.02) &&
				(row->effect.lo > (*same)->effect.hi ||
				 row->effect.hi < (*same)->effect.lo);
	}
	free(sorted);
	if (found)
		qsort(*list, found, sizeof(**list), by_change);
	return found;
}
