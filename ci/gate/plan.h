/*
 * plan.h - where a trace is cut for turns.
 *
 * The grains of a program are grouped into units of about equal length that do not cross
 * an epoch. A turn is: some units untimed (the lead), then one unit timed. Which units are
 * timed changes from pass to pass, so that all of the trace is timed in lead + 1 passes;
 * both sides of a gate get the same turns. Every op of every pass runs on both sides.
 *
 *	lead 1, phase 0:  [T]  L [T]  L [T]	phase 1:  L [T]  L [T]  L
 *
 * Ownership: rh_gate_units_free. Thread rule: none shared. Errors: none; memory: malloc.
 */
#ifndef RH_GATE_PLAN_H
#define RH_GATE_PLAN_H

#include <stddef.h>
#include <stdint.h>

struct rh_gate_units {
	uint64_t *first; /* grain where a unit starts; first[count] is the end */
	size_t count;
};

/* Units of about `want` grains (at least 1) in grains 0 .. grains - 1. */
void rh_gate_units_cut(struct rh_gate_units *units, uint64_t grains, uint64_t epoch_grains,
		       uint64_t want);
void rh_gate_units_free(struct rh_gate_units *units);

/* The timed unit of turn `turn` in a pass of that phase (0 .. lead); SIZE_MAX = no more. */
size_t rh_gate_unit_of(const struct rh_gate_units *units, size_t lead, size_t phase, size_t turn);

#endif
