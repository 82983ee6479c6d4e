/*
 * analysis.h - analysis of many cells: effects pooled over cells and machines, outliers, changes
 * since an earlier matrix.
 *
 * The machine is a block: the two sides of a comparison ran on one node in one cell, so that an
 * effect never mixes machines. Effects are first gathered for each class of machines; the pooled
 * effect is the mean of the classes, each counted once however many cells it had, and its spread
 * is the range over classes. Where two classes contradict each other (one interval below 1, one
 * above) there is no pooled effect, and the output says so.
 *
 * Ownership: the caller's pool. Thread rule: pure functions but for the pool.
 */
#ifndef RH_MATRIX_ANALYSIS_H
#define RH_MATRIX_ANALYSIS_H

#include "harness/matrix/store.h"

struct rh_block { /* of one class of machines */
	const char *machine;
	size_t cells;
	double log_mean;       /* mean of ln ratio */
	double log_lo, log_hi; /* its 95 % interval (Student), or that of the only cell */
};

struct rh_pooled {
	struct rh_block *blocks;
	size_t block_count, cells;
	bool refused; /* classes contradict each other: blocks[against[0]], [1] */
	size_t against[2];
	double ratio, lo, hi; /* geometric; interval: blocks counted once. NaN when refused */
	double least, most;   /* ratio of the blocks: the spread over machines */
};

/* Pools the rows of one question (one backend, one metric); at least one row. */
void rh_pool_blocks(const struct rh_effect_row *const *rows, size_t count, struct rh_pooled *pooled,
		    struct rh_pool *pool);
/* Whether it claims a difference: RH_BETTER and so on; RH_CANNOT_TELL when refused. */
enum rh_verdict rh_pooled_verdict(const struct rh_pooled *pooled, bool lower_is_better);

/* A table: families (NULL = all of them) by backends. */
struct rh_grid {
	const char **families, **labels;
	size_t family_count, label_count;
	struct rh_pooled *cells; /* family * label_count + label; block_count 0 = nothing there */
	struct rh_pooled *all;	 /* by label, over all families */
};
void rh_grid_make(const struct rh_effect_row *rows, size_t count, struct rh_grid *grid,
		  struct rh_pool *pool);

/* Cells far from the others of their backend: more than 5 x the usual distance, by 5 % or more,
 * and beyond their own interval. Farthest first; at most `most`. */
struct rh_far_cell {
	const struct rh_effect_row *row;
	double usual; /* median ratio of the backend's cells in its family */
	double times; /* distance / usual distance */
};
size_t rh_outliers(const struct rh_effect_row *rows, size_t count, struct rh_far_cell **list,
		   size_t most, struct rh_pool *pool);

/* Cells of two matrices that ask the same question (trace, label, kind, class, settings). */
struct rh_since {
	const struct rh_effect_row *before, *after;
	double change; /* ratio after / ratio before */
	bool claims;   /* the intervals do not meet, and it is 2 % or more */
};
size_t rh_since(const struct rh_effects *before, const struct rh_effects *after,
		struct rh_since **list, struct rh_pool *pool);

#endif
