/*
 * slots.h - assigns places of the pointer table to objects.
 *
 * A slot may be reused only where the order of replay guarantees that its last owner
 * is gone: on the lane that freed it (program order; last in, first out, so the
 * slot is warm), or on any lane after the next barrier of all lanes. At a barrier the
 * free slots of all lanes go into one pool; a lane that runs out takes the free slots of the
 * lowest cache line of the pool (8 pointers), and fresh ones after that, so that the table
 * stays small and lanes seldom share one of its lines.
 *
 * Thread rule: one thread. Errors: RH_OS without memory, RH_BAD_DATA past the limit of
 * slots.
 */
#ifndef RH_COMPILE_SLOTS_H
#define RH_COMPILE_SLOTS_H

#include <stdint.h>

#include "alloc/base/debug.h"
#include "alloc/base/err.h"

struct rh_slot_list {
	uint32_t *slots;
	uint32_t count, cap;
};

struct rh_slots {
	struct rh_slot_list *lists; /* by lane */
	uint32_t lanes;
	uint32_t used;	     /* slots ever handed out: the size of the table */
	uint8_t *pool;	     /* one bit per slot, a byte per line of 8 */
	uint32_t pool_lines; /* bytes of pool */
	uint32_t pool_next;  /* lines below are empty */
};

void rh_slots_close(struct rh_slots *slots);
/* Makes room for that many lanes. A zeroed struct is an empty one. */
int rh_slots_lanes(struct rh_slots *slots, uint32_t lanes, struct rh_err *err);
/* All lanes meet: any free slot may be used by any lane. */
int rh_slots_barrier(struct rh_slots *slots, struct rh_err *err);

int rh_slots_refill(struct rh_slots *slots, uint32_t lane, struct rh_err *err);
int rh_slots_room(struct rh_slot_list *list, struct rh_err *err);

static inline int rh_slots_take(struct rh_slots *slots, uint32_t lane, uint32_t *slot,
				struct rh_err *err)
{
	struct rh_slot_list *list = &slots->lists[lane];

	if (list->count == 0 && rh_slots_refill(slots, lane, err) < 0)
		return -1;
	*slot = list->slots[--list->count];
	rh_debug_assert(*slot < slots->used);
	return 0;
}

static inline int rh_slots_give(struct rh_slots *slots, uint32_t lane, uint32_t slot,
				struct rh_err *err)
{
	struct rh_slot_list *list = &slots->lists[lane];

	rh_debug_assert(slot < slots->used);
	if (list->count == list->cap && rh_slots_room(list, err) < 0)
		return -1;
	list->slots[list->count++] = slot;
	return 0;
}

#endif
