/*
 * svg_pack.h - the same picture in fewer bytes.
 *
 * rh_svg_pack reads a dressed SVG (rh_svg_dress) as a tree and writes it flat: what groups hand
 * down stands at what is drawn, once for all that look alike (a class of the figure's own
 * style), with short paths, and without ids and symbols that nothing names. What it cannot read it
 * copies as it is. Ownership: strings live in the pool. Thread rule: one thread.
 */
#ifndef RH_SVG_PACK_H
#define RH_SVG_PACK_H

#include <stdbool.h>
#include <stdio.h>

#include "harness/result/pool.h"

void rh_svg_pack(const char *svg, FILE *to);

/* A path's `d`, or a polygon's `points`, which becomes a path that closes itself. "" = it draws
 * nothing. A path of other commands than M, L and z comes back as it is, such a polygon as NULL. */
const char *rh_svg_path(struct rh_pool *pool, const char *d, bool polygon);

/* Every number of an attribute's value with at most `digits` decimals and no zeros for nothing. */
const char *rh_svg_numbers(struct rh_pool *pool, const char *value, int digits);

#endif
