/*
 * before.h - blocks that were born before recording began.
 *
 * If the recorder attached to a running process, a block that dies without a recorded birth was
 * there before. That is different from damage, which is a second death of a recorded block.
 * Distinguishing them needs the addresses of all births: as many as the heap has places, not
 * as there are calls. For a program recorded from its start none of this is needed.
 *
 * Thread rule: one thread. Errors: false where memory ran out.
 */
#ifndef RH_RECORD_BEFORE_H
#define RH_RECORD_BEFORE_H

#include <stdbool.h>
#include <stdint.h>

#include "traces/format/map.h"

struct rh_before {
	bool late; /* the recorder attached late; else no block is from before */
	struct rh_map seen;
};

/* Is the block that lives at that address from before? */
static inline bool rh_before(const struct rh_before *before, uint64_t address)
{
	return before->late && address && rh_map_get(&before->seen, address) == RH_MAP_NONE;
}

/* A block was born there, or the block from before has died. */
static inline bool rh_before_see(struct rh_before *before, uint64_t address)
{
	return !rh_before(before, address) || rh_map_put(&before->seen, address, 1);
}

#endif
