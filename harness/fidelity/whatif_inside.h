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

/*
 * What a limit counts besides spans of objects and the stacks of goroutines, as
 * runtime/metrics shows it in six programs (1.26; parser, workers, recursion, waves of slices,
 * tests of go/types and encoding/json), to within 0.35 MiB in each: the profile's buckets 1.4 MiB,
 * bitmaps of pages and arenas 0.7, others 0.8; for each class of spans that the program used 22
 * KiB, the four sets of an mcentral and their blocks (mspanset.go; 60 classes in workers, 126 in
 * go/types); and the spans of threads' stacks and of marking's queues, which the trace shows.
 */
#define FIXED_BYTES ((uint64_t)2940 << 10)
#define CLASS_BYTES ((uint64_t)22 << 10)

/* Below this goal over marked an error of 1 MiB in what the limit counts doubles the collections.
 */
#define TIGHT 1.33

static inline uint64_t own_structures(const struct rh_whatif *whatif)
{
	return FIXED_BYTES + CLASS_BYTES * whatif->classes + (uint64_t)whatif->others;
}

#endif
