/*
 * before.h - blocks that lived before the recording came.
 *
 * Where the recorder joined a process that ran, what dies without having been born in the
 * recording was there before. It is told apart from damage, which is the death of what was born
 * and has died. That needs the addresses of all births; they are as many as the heap has places,
 * not as there are calls. For a program recorded from its start all of this is no work.
 *
 * Thread rule: one thread. Errors: false where memory ran out.
 */
#ifndef RH_RECORD_BEFORE_H
#define RH_RECORD_BEFORE_H

#include <stdbool.h>
#include <stdint.h>

#include "traces/format/map.h"

struct rh_before {
	bool late; /* the recorder came late; else nothing is from before */
	struct rh_map seen;
};

/* Is what lives at that address from before? */
static inline bool rh_before(const struct rh_before *before, uint64_t address)
{
	return before->late && address && rh_map_get(&before->seen, address) == RH_MAP_NONE;
}

/* Something was born there, or what was there from before has died. */
static inline bool rh_before_see(struct rh_before *before, uint64_t address)
{
	return !rh_before(before, address) || rh_map_put(&before->seen, address, 1);
}

#endif
