/*
 * encode_put.h - the parts of an event as bytes of their sections: for encode.c, and for the loop
 * over a row of calls (write_row.c).
 *
 * Private to these. Thread rule: one thread. Errors: none: every section has its room.
 */
#ifndef RH_ENCODE_PUT_H
#define RH_ENCODE_PUT_H

#include "alloc/base/debug.h"
#include "traces/format/codec_layout.h"

/* Three forms by size: below 100 bytes one byte, below 6244 two. Only the rest pays for a varint.
 */
static inline uint8_t *put_alloc(uint8_t *at, uint64_t size)
{
	if (size < SIZE_ONE) {
		*at++ = (uint8_t)(OP_ALLOC + size);
	} else if (size < SIZE_TWO) {
		*at++ = (uint8_t)(OP_ALLOC_TWO + ((size - SIZE_ONE) >> 8));
		*at++ = (uint8_t)(size - SIZE_ONE);
	} else {
		*at++ = OP_ALLOC_BIG;
		at = rh_varint_put(at, size - SIZE_TWO);
	}
	return at;
}

static inline uint8_t *put_alloc_flags(uint8_t *at, unsigned op, unsigned flags, uint64_t size)
{
	rh_debug_assert(flags <= UINT8_MAX && (flags > 0 || op == OP_ALLOC_WORDS));
	*at++ = (uint8_t)op;
	*at++ = (uint8_t)flags;
	return rh_varint_put(at, size);
}

/* A death names its object by the rank: most are young, and take one byte.
 * given: the size that the free was given, or RH_NONE. */
static inline uint8_t *put_free(uint8_t *at, uint64_t given, uint64_t rank)
{
	rh_debug_assert(given == RH_NONE || given <= RH_TRACE_SIZE_MAX);
	if (given != RH_NONE) {
		*at++ = OP_FREE_SIZED;
		at = rh_varint_put(at, rank);
		at = rh_varint_put(at, given + 1);
	} else if (rank < RANK_YOUNG) {
		*at++ = (uint8_t)(OP_FREE + rank);
	} else {
		*at++ = OP_FREE_OLD;
		at = rh_varint_put(at, rank - RANK_YOUNG);
	}
	return at;
}

/* A realloc by one operation: its old block by its rank, the new one by its size. */
static inline uint8_t *put_resize(uint8_t *at, uint64_t rank, uint64_t size)
{
	*at++ = OP_RESIZE;
	at = rh_varint_put(at, rank);
	return rh_varint_put(at, size);
}

/* A question about a block, which lives on. */
static inline uint8_t *put_usable(uint8_t *at, uint64_t rank)
{
	*at++ = OP_USABLE;
	return rh_varint_put(at, rank);
}

/* Lanes come in runs (a thread allocates several times before another does), so a run is one pair
 * of varints and an event inside it costs nothing. */
static inline void end_lane_run(struct rh_encoder *encoder)
{
	uint8_t *at = encoder->section[LANES].at;

	if (encoder->lane_run) {
		rh_debug_assert(encoder->lane_run <= RH_BLOCK_EVENTS); /* as get_lane_run() asks */
		at = rh_varint_put(at, encoder->lane);
		at = rh_varint_put(at, encoder->lane_run);
		encoder->lane_run = 0;
	}
	encoder->section[LANES].at = at;
}

/* One section for all lanes, against the last time of any: events come in the order
 * of time, and differences within a lane would be larger. */
static inline uint8_t *put_time(uint8_t *at, uint64_t time_ns, uint64_t *last)
{
	if (time_ns == *last) { /* as of calls that share a stamp */
		*at++ = 1;
		return at;
	}
	if (time_ns == RH_NONE) {
		*at++ = 0;
		return at;
	}
	/* Signed: the lanes of a trace have clocks that may be some microseconds
	 * apart. */
	at = rh_varint_put(at, zigzag(time_ns - *last) + 1);
	*last = time_ns;
	return at;
}

/* `count` events of a lane, all of one run: a row of calls costs what one event does. */
static inline void put_lane(struct rh_encoder *encoder, uint32_t lane, uint32_t count)
{
	if (lane != encoder->lane)
		end_lane_run(encoder);
	encoder->lane = lane;
	encoder->lane_run += count;
	encoder->events += count;
}

/* No section is longer than its buffer allows for so many events. */
static inline bool sections_fit(const struct rh_encoder *encoder)
{
	for (int s = 0; s < RH_SECTIONS; s++)
		if ((size_t)(encoder->section[s].at - encoder->section[s].base) >
		    (size_t)section_worst[s] * encoder->events + SECTION_SLACK)
			return false;
	return true;
}

#endif
