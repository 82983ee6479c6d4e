/*
 * lanes.h - which replay lane carries which lane of the trace.
 *
 * As recorded: a lane of the trace gets the lowest free replay lane and returns it when it
 * stops; so there are as many replay lanes as trace lanes were alive at once. Folded onto N:
 * the busiest trace lane first, each onto the replay lane with the fewest events so far (a
 * prescan has counted them).
 *
 * Thread rule: one thread. Errors: RH_BAD_DATA for more lanes than can be replayed,
 * RH_OS.
 */
#ifndef RH_COMPILE_LANES_H
#define RH_COMPILE_LANES_H

#include <stdbool.h>
#include <stdint.h>

#include "alloc/base/err.h"

/* A lane shares a word with a slot and a position (compile.c), which leaves 12 bits. */
enum { RH_COMPILE_LANES_MAX = 4096 };
/* A trace numbers lanes densely; a number above this means damage. */
enum { RH_COMPILE_TRACE_LANES_MAX = 1 << 24 };
#define RH_LANE_NONE UINT32_MAX

struct rh_lanes {
	uint32_t *carrier;  /* by trace lane: its replay lane, RH_LANE_NONE = not running */
	uint32_t *assigned; /* by trace lane, when folded onto more than one; else NULL */
	uint32_t assigned_count;
	uint32_t recorded;    /* highest trace lane seen + 1 */
	uint32_t cap;	      /* of carrier */
	bool *busy;	      /* by replay lane, as recorded */
	uint32_t lowest_free; /* replay lanes below it are busy */
	uint32_t count;	      /* replay lanes */
	bool folded;
};

/* As recorded (onto 0), or folded; then lane_events[0..lanes_recorded) holds the weights of the
 * lanes, not needed for folding onto one. */
int rh_lanes_open(struct rh_lanes *lanes, uint32_t onto, const uint64_t *lane_events,
		  uint32_t lanes_recorded, struct rh_err *err);
void rh_lanes_close(struct rh_lanes *lanes);

/* A trace lane that is not running begins: carrier then holds its replay lane; may raise count. */
int rh_lanes_start(struct rh_lanes *lanes, uint32_t trace_lane, struct rh_err *err);
void rh_lanes_stop(struct rh_lanes *lanes, uint32_t trace_lane);

/* RH_LANE_NONE when it is not running. */
static inline uint32_t rh_lanes_carrier(const struct rh_lanes *lanes, uint32_t trace_lane)
{
	return trace_lane < lanes->cap ? lanes->carrier[trace_lane] : RH_LANE_NONE;
}

#endif
