/*
 * object.h - the compiler's record of a living object, in the two words of its rh_id.
 *
 *	a	size, and three flags above it
 *	b	slot | lane | position: where in the program the object was born, or asked about,
 *		last. An edge starts there, so the three must be found without a second look-up.
 *
 * The widths of b are RH_LANE_BITS and RH_POSITION_BITS (harness/compile/state.h); the slot
 * takes the rest. Pure arithmetic: nothing is owned, any thread may call.
 */
#ifndef RH_COMPILE_OBJECT_H
#define RH_COMPILE_OBJECT_H

#include "alloc/base/debug.h"
#include "harness/compile/state.h"

/* In rh_id.a, above the size: it has a non-default alignment; its place is that of a question in
 * this epoch, although it was born before; it was made by operator new, so that delete ends it. */
#define RH_OBJECT_ALIGNED (1ull << 63)
#define RH_OBJECT_ASKED	  (1ull << 62)
#define RH_OBJECT_NEW	  (1ull << 61)

/* Replay makes it by operator new, which throws where it finds no memory, and nobody there could
 * catch that: blocks that may not be had are malloc's, and so are those with other attributes. */
static inline bool rh_object_new(const struct rh_event *event)
{
	return event->flags & RH_EVF_NEW && !(event->flags & RH_EVF_ZEROED) && !event->align_log2 &&
	       event->size < RH_NEW_BYTES_MAX;
}

static inline uint64_t rh_object_size(const struct rh_id *object)
{
	return object->a & (RH_OBJECT_NEW - 1);
}

static inline uint64_t rh_object_at(uint32_t slot, uint32_t lane, uint32_t position)
{
	rh_debug_assert(slot <= RH_SLOTS_MAX && lane < 1u << RH_LANE_BITS &&
			position < 1u << RH_POSITION_BITS);
	return (uint64_t)slot << (RH_LANE_BITS + RH_POSITION_BITS) |
	       (uint64_t)lane << RH_POSITION_BITS | position;
}

static inline uint32_t rh_object_slot(uint64_t at)
{
	return (uint32_t)(at >> (RH_LANE_BITS + RH_POSITION_BITS));
}

static inline uint32_t rh_object_lane(uint64_t at)
{
	return (uint32_t)(at >> RH_POSITION_BITS) & ((1u << RH_LANE_BITS) - 1);
}

static inline uint32_t rh_object_position(uint64_t at)
{
	return (uint32_t)at & ((1u << RH_POSITION_BITS) - 1);
}

#endif
