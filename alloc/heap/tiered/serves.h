/*
 * serves.h - which classes stand in for others.
 * Inside this folder only. Thread rule: the lane's own.
 */
#ifndef RH_TIERED_SERVES_H
#define RH_TIERED_SERVES_H

#include "alloc/heap/tiered/heap.h"

/* A new lane's, and the tables of bins made from them. */
void rh_serves_init(const struct rh_heap *heap, struct rh_lane *lane);
/* Makes the tables for Go's callers, who are few: a page of the lane that others do without. */
void rh_serves_go(struct rh_lane *lane);
/* The span class for a block that malloc's caller asked for, whose own is `spc`, when its bin is
 * empty. May change what it says for later ones. */
unsigned rh_serves(struct rh_lane *lane, unsigned spc);

#endif
