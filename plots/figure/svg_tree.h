/*
 * svg_tree.h - an SVG text as a tree, and back. Private to svg_*.c.
 *
 * Ownership: everything lives in the pool. Thread rule: one thread. Errors: rh_svg_read gives NULL
 * for what is not as gnuplot writes it.
 */
#ifndef RH_SVG_TREE_H
#define RH_SVG_TREE_H

#include <stdbool.h>
#include <stdio.h>

#include "harness/result/pool.h"

struct rh_svg_attr {
	const char *name, *value; /* as they stand there, escaped; value NULL = taken away */
};

struct rh_svg_node {
	const char *name; /* NULL = text */
	const char *text;
	struct rh_svg_attr *attrs;
	struct rh_svg_node **kids;
	size_t attr_count, kid_count;
};

struct rh_svg_node *rh_svg_read(struct rh_pool *pool, const char *svg);

bool rh_svg_is(const struct rh_svg_node *node, const char *name);
/* A shape, a word or a symbol: not a group, nor what only describes. */
bool rh_svg_draws(const struct rh_svg_node *node);
/* An attribute's value; NULL = it has none. */
const char *rh_svg_get(const struct rh_svg_node *node, const char *name);
void rh_svg_set(struct rh_pool *pool, struct rh_svg_node *node, const char *name,
		const char *value);

void rh_svg_put(const struct rh_svg_node *node, FILE *to);
/* What stands between the tags, and the closing one. */
void rh_svg_put_inside(const struct rh_svg_node *node, FILE *to);
void rh_svg_put_attr(const char *name, const char *value, FILE *to);

#endif
