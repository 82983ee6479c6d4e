/*
 * tiny.c - blocks under 16 bytes without pointers share a 16-byte slot.
 *
 *	| 5 bytes |...| 4 bytes | free 4 |	offset rounded up to the alignment that
 *	0         5   8        12       16	the size implies (8, 4, 2 or 1)
 *
 * A block that fits behind the lane's current one costs an addition. Otherwise a new
 * slot of the 16-byte noscan class is taken, and becomes the current one if it has more
 * room left. A slot is dead when all its parts are: tiny_live counts them, plus one for
 * the lane that still hands out parts of it. Every block of that class is counted this
 * way, so that a free needs not know how the block came about.
 */
#include "alloc/base/debug.h"
#include "alloc/heap/tiered/collect.h"
#include "alloc/heap/tiered/poison.h"

enum { TINY_BLOCK = 16 };

/* Go's rule (mallocgc): a type of such a size needs no more. */
static unsigned align_up(unsigned offset, size_t size)
{
	unsigned align = size % 8 == 0 ? 8 : size % 4 == 0 ? 4 : size % 2 == 0 ? 2 : 1;

	return (offset + align - 1) & ~(align - 1);
}

/* The count lies in the span and not in the slot: another lane may free a part while
 * this one writes into the next. */
static _Atomic uint8_t *parts_of(struct rh_lane *lane, uintptr_t slot, struct mspan **span,
				 unsigned *index)
{
	*span = rh_span_of(lane->heap, (void *)slot);
	*index = rh_span_index(*span, (void *)slot);
	rh_debug_assert(rh_tiny_span(*span));
	return &(*span)->tiny_live[*index];
}

void rh_tiny_drop(struct rh_lane *lane)
{
	struct mspan *span;
	unsigned index;

	if (lane->tiny) {
		_Atomic uint8_t *parts = parts_of(lane, lane->tiny, &span, &index);

		if (atomic_fetch_sub_explicit(parts, 1, memory_order_acq_rel) == 1)
			rh_slot_died(lane, span, index);
	}
	lane->tiny = 0;
	lane->tiny_offset = 0;
}

void *rh_tiny_alloc(struct rh_lane *lane, size_t size, bool *refilled)
{
	unsigned offset = align_up(lane->tiny_offset, size), index;
	struct mspan *span;
	uintptr_t slot;

	rh_debug_assert(size > 0 && size < TINY_BLOCK);
	if (lane->tiny && offset + size <= TINY_BLOCK) {
		slot = lane->tiny;
		atomic_fetch_add_explicit(parts_of(lane, slot, &span, &index), 1,
					  memory_order_relaxed);
		lane->tiny_offset = offset + (unsigned)size;
		tier_add(&lane->n.tiny_allocs, 1);
		rh_unpoison((void *)(slot + offset), size);
		return (void *)(slot + offset);
	}
	/* Entry 2 of the table for steps of 8 bytes is the class of 16. */
	slot = (uintptr_t)rh_mcache_slot(lane, lane->heap->classes.class8[2] << 1 | 1, refilled);
	if (!slot)
		return NULL;
	atomic_store_explicit(parts_of(lane, slot, &span, &index), 1, memory_order_relaxed);
	rh_unpoison((void *)slot, TINY_BLOCK);
	/* Cleared once for all parts, as Go does: a part is handed out without a look
	 * at its bytes. */
	((uint64_t *)slot)[0] = ((uint64_t *)slot)[1] = 0;
	/* The slot with more room left is kept; the other one has no more parts to
	 * hand out. */
	if (size < lane->tiny_offset || !lane->tiny) {
		rh_tiny_drop(lane);
		atomic_fetch_add_explicit(parts_of(lane, slot, &span, &index), 1,
					  memory_order_relaxed);
		lane->tiny = slot;
		lane->tiny_offset = (unsigned)size;
	}
	rh_debug_assert(lane->tiny_offset <= TINY_BLOCK);
	return (void *)slot;
}
