/*
 * whatif_inside.h - what the reading of a trace (whatif.c) and the model on it (whatif_model.c)
 * both need. Internal to this folder.
 */
#ifndef RH_WHATIF_INSIDE_H
#define RH_WHATIF_INSIDE_H

#include "alloc/base/gopacer.h"
#include "harness/fidelity/whatif.h"

/* Bytes live as the cycle began, among those it marked. */
static inline double reachable_then(const struct rh_whatif_cycle *cycle)
{
	double black = (double)(cycle->at_end - cycle->at_begin);

	return (double)cycle->marked > black ? (double)cycle->marked - black : 0;
}

/* At or below it a goal does not show what it was computed from. */
static inline uint64_t least_goal(uint64_t gogc)
{
	return gogc == WHATIF_OFF ? 0 : RH_GO_HEAP_LEAST * gogc / 100;
}

#endif
