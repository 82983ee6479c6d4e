/*
 * plan.h - where a trace is cut for turns.
 *
 * The grains of a program are grouped into units of about equal length that do not cross
 * an epoch. A turn is: some units untimed (the lead), then one unit timed. Which units are
 * timed changes from pass to pass and from pair to pair, so that all of the trace is timed in
 * the end; both sides of a gate get the same turns. Every op of every pass runs on both sides.
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

/* The first timed unit of a pass (0 .. lead). Pairs that differ in what comes before (even and odd
 * ones, pair.c) begin at all of them. */
size_t rh_gate_phase(size_t pair, size_t pass, size_t lead);

#endif
