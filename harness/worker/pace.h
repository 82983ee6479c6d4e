/*
 * pace.h - the clock of a lane's program, for replays that keep recorded times.
 *
 * Thread rule: the lane's thread; the coordinator between segments.
 */
#ifndef RH_WORKER_PACE_H
#define RH_WORKER_PACE_H

#include <stdint.h>

#include "harness/control/pace.h"

struct lane;
struct worker;
struct rh_op;

struct pace {
	uint32_t how; /* enum rh_ctl_pace; RH_PACE_NONE while prerolling */
	struct rh_pace_lane *area;
	double ticks_per_ns;   /* of recorded time: speed is in it */
	uint64_t recorded_ns;  /* how far the lane's program has come */
	int64_t origin;	       /* open: ticks at which recorded time 0 is due */
	uint64_t due;	       /* open: when the op in hand was to start; 0 = unknown */
	uint64_t waited_ticks; /* in this segment */
};

/* Once: which lanes keep time. */
void rh_pace_open(struct worker *worker);
/* The coordinator, before and after the lanes run a segment, and when a copy starts over. */
void rh_pace_preroll(struct worker *worker);
void rh_pace_segment(struct worker *worker);
void rh_pace_segment_done(struct worker *worker);
void rh_pace_wrap(struct worker *worker, uint32_t copy);
/* The lane, once the barrier is open. */
void rh_pace_begin(struct lane *lane);
/* Ticks from which the segment counts for this lane. */
uint64_t rh_pace_start(const struct lane *lane);
/* A PACE op: gap_ns of recorded time have passed since the one before. */
void rh_pace_op(struct lane *lane, uint32_t gap_ns);
/* A sampled operation ended. */
void rh_pace_response(struct lane *lane, uint64_t end_ticks);

#endif
