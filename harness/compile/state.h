/*
 * state.h - the state that one compilation carries from event to event; shared by compile.c
 * (files, options, cuts) and events.c (one event at a time).
 */
#ifndef RH_COMPILE_STATE_H
#define RH_COMPILE_STATE_H

#include "harness/compile/clocks.h"
#include "harness/compile/lanes.h"
#include "harness/compile/out.h"
#include "harness/compile/slots.h"
#include "harness/compile/tasks.h"
#include "harness/compile/touch.h"
#include "traces/format/event.h"

/* Where an object is, in one word: slot 28 bits | lane 12 | position 24. */
enum { RH_POSITION_BITS = 24, RH_LANE_BITS = 12, RH_EPOCH_EVENTS_MAX = 1 << 20 };
_Static_assert((uint64_t)RH_EPOCH_EVENTS_MAX *RH_EVENT_WORDS_MAX <= 1u << RH_POSITION_BITS,
	       "an epoch of one lane fits a position");
_Static_assert(RH_COMPILE_LANES_MAX <= 1 << RH_LANE_BITS, "a lane fits its bits");

struct rh_compiling {
	struct rh_out out;
	struct rh_lanes lanes;
	struct rh_ids objects; /* a = size and flags (events.c), b = where (slot, lane,
				  position of birth, or of the last question) */
	uint64_t *asked;       /* objects of earlier epochs, asked about in this one */
	size_t asked_count, asked_room;
	struct rh_slots slots, task_slots;
	struct rh_tasks tasks;
	struct rh_clocks clocks;
	struct rh_touch *touch; /* NULL unless TOUCH ops are wanted */
	uint64_t touch_bound;	/* bytes that may be touched at a time ... */
	uint64_t touch_live;	/* ... live bytes of the blocks that fit this bound singly */
	uint64_t untouched, untouched_bytes;
	uint64_t *paced_ns; /* by replay lane: recorded time its PACE ops add up to */
	uint32_t lane_room; /* replay lanes that all of the above have room for */
	bool times, stacks_grow;

	uint32_t epoch;	       /* from 1 */
	uint64_t epoch_object; /* objects from this one on were born in this epoch */
	uint64_t events, edges_all, task_count;
	struct rh_grain grain; /* the facts so far */
	uint64_t live_bytes_peak, live_objects_peak, size_max, time_ns_last;
};

/* Compiles one event. Errors: RH_BAD_DATA (with the event's number), RH_OS. */
int rh_compile_event(struct rh_compiling *c, const struct rh_event *event, struct rh_err *err);

/* Everything that grows with the number of replay lanes. */
int rh_compile_lanes(struct rh_compiling *c, uint32_t lanes, struct rh_err *err);

/* All lanes meet. */
int rh_compile_barrier(struct rh_compiling *c, struct rh_err *err);

#endif
