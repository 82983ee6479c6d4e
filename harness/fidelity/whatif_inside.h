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

/* Bytes that the cycle before the trace begins had marked. (whatif_model.c) */
uint64_t rh_whatif_marked_before(const struct rh_whatif *whatif, bool traced);

/* At or below it a goal does not show what it was computed from. */
static inline uint64_t least_goal(uint64_t gogc)
{
	return gogc == WHATIF_OFF ? 0 : RH_GO_HEAP_LEAST * gogc / 100;
}

/* What a limit counts besides spans and stacks, as runtime.MemStats shows it in three programs of
 * the corpus: 4.1 MiB of the runtime's own structures (the profile's buckets 1.4, the collector's
 * 1.9, others 0.8), and what marking keeps for its queues, none up to 5 MiB and then a sixth of
 * the bytes it marks (0, 0.6 and 1.5 MiB of 6, 9 and 13). */
#define OVERHEAD_BYTES (((uint64_t)41 << 20) / 10)
#define QUEUED_FROM    ((uint64_t)5 << 20)
#define QUEUED_SHARE   6

/* Below this goal over marked an error of 1 MiB in what the limit counts doubles the collections.
 */
#define TIGHT 1.33

static inline uint64_t own_structures(uint64_t marked)
{
	return OVERHEAD_BYTES + (marked > QUEUED_FROM ? (marked - QUEUED_FROM) / QUEUED_SHARE : 0);
}

#endif
