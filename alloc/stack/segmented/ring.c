/*
 * ring.c - where segments come from.
 *
 * Segments of the fixed size come from a ring of 32 a lane; empty, it takes 16 from a
 * global list, else 16 new ones from the system; full, it gives 16. They are never given
 * back. Segments of other sizes are blocks of the paired heap. Before the ring, in 1.0, a
 * thread kept all it ever had on a list of its own, and no other could have them.
 */
#include "alloc/base/debug.h"
#include "alloc/stack/segmented/segmented.h"

/* ---- memory from the system ---- */

/* Cache lock held. The first 16 bytes of a block are ours. A list of our own and no lists of
 * the heap: segments outlive the lane that mapped them, and close has to find them all. */
void *rh_segmented_map(struct rh_stacks *stacks, size_t bytes)
{
	struct block *block = rh_map(bytes);

	rh_debug_assert(rh_lock_held(&stacks->cache_lock) && bytes > sizeof(*block));
	if (!block)
		return NULL;
	block->next = stacks->blocks;
	block->bytes = bytes;
	stacks->blocks = block;
	return block + 1;
}

/* A page before the segments holds the link of the block, so they stay aligned. Sixteen at
 * once, for the same reason as batches: one lock and one mapping for sixteen. */
static bool map_batch(struct rh_stack_lane *lane)
{
	size_t each = lane->stacks->profile->fixed_bytes;
	char *block = rh_segmented_map(lane->stacks, RH_PAGE + BATCH * each);

	rh_debug_assert(lane->ring_count + BATCH <= RING);
	if (!block)
		return false;
	block += RH_PAGE - sizeof(struct block);
	for (int i = 0; i < BATCH; i++)
		lane->ring[lane->ring_count++] = block + i * each;
	rh_tally_count(&lane->tally, FROM_SYSTEM, BATCH * each);
	return true;
}

/* ---- fixed segments ---- */

static bool ring_refill(struct rh_stack_lane *lane)
{
	struct rh_stacks *stacks = lane->stacks;
	struct batch *batch;
	bool done = true;

	rh_debug_assert(lane->ring_count == 0);
	rh_tally_count(&lane->tally, REFILLS, 1);
	rh_lock(&stacks->cache_lock);
	/* 1.0 knows no list that threads share. */
	batch = stacks->profile->unbounded ? NULL : stacks->batches;
	if (batch)
		stacks->batches = batch->next;
	else
		done = map_batch(lane);
	rh_unlock(&stacks->cache_lock);
	if (!batch)
		return done;
	for (int i = 0; i < BATCH - 1; i++)
		lane->ring[lane->ring_count++] = batch->others[i];
	lane->ring[lane->ring_count++] = batch;
	return true;
}

/* Sixteen at once: a lane that frees and takes in turn pays for the lock once in
 * sixteen segments (stackcacherelease of Go 1.1). */
void rh_ring_release(struct rh_stack_lane *lane)
{
	struct rh_stacks *stacks = lane->stacks;
	struct batch *batch = lane->ring[--lane->ring_count];

	rh_debug_assert(lane->ring_count >= BATCH - 1);
	for (int i = 0; i < BATCH - 1; i++)
		batch->others[i] = lane->ring[--lane->ring_count];
	rh_lock(&stacks->cache_lock);
	batch->next = stacks->batches;
	stacks->batches = batch;
	rh_unlock(&stacks->cache_lock);
}

/* ---- segments of any size ---- */

static void *segment_memory(struct rh_stack_lane *lane, size_t bytes)
{
	if (bytes != lane->stacks->profile->fixed_bytes) {
		rh_tally_count(&lane->tally, FROM_HEAP, 1);
		return lane->stacks->ops->alloc(lane->heap, bytes);
	}
	/* Only 1.0 fills this list. */
	if (lane->kept) {
		struct batch *segment = lane->kept;

		rh_tally_count(&lane->tally, RING_HITS, 1);
		lane->kept = segment->next;
		return segment;
	}
	if (lane->ring_count)
		rh_tally_count(&lane->tally, RING_HITS, 1);
	else if (!ring_refill(lane))
		return NULL;
	return lane->ring[--lane->ring_count];
}

/* The stktop stands at the high end, where the first frame begins below it: a new
 * segment touches one page. */
struct stktop *rh_segment_take(struct rh_stack_lane *lane, size_t bytes)
{
	void *memory = segment_memory(lane, bytes);
	struct stktop *top;

	if (!memory) {
		rh_tally_count(&lane->tally, REFUSED, 1);
		return NULL;
	}
	rh_tally_count(&lane->tally, RESERVED, bytes);
	top = (struct stktop *)((char *)memory + bytes - lane->stacks->profile->top_bytes);
	top->base = (uintptr_t)memory;
	top->bytes = bytes;
	top->previous = NULL;
	return top;
}

void rh_segment_give(struct rh_stack_lane *lane, struct stktop *top)
{
	size_t bytes = top->bytes;
	void *memory = (void *)top->base;

	rh_tally_count(&lane->tally, RESERVED, -(uint64_t)bytes);
	if (bytes != lane->stacks->profile->fixed_bytes) {
		lane->stacks->ops->free(lane->heap, memory, bytes);
		return;
	}
	if (lane->stacks->profile->unbounded) {
		struct batch *segment = memory;

		segment->next = lane->kept;
		lane->kept = segment;
		return;
	}
	if (lane->ring_count == RING)
		rh_ring_release(lane);
	rh_debug_assert(lane->ring_count < RING);
	lane->ring[lane->ring_count++] = memory;
}
