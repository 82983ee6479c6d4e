/*
 * mcache.c - the path of a block in the collected modes.
 *
 *  1. rh_gc_enter: the world may be stopped between operations, never inside one.
 *  2. Tiny (tiny.c), or the next slot of the lane's span of the class: counting zeros
 *     of alloc_cache, no lock.
 *  3. The span is used up: it goes to mcentral, which gives another (mcentral.c). The
 *     bytes that the new span can still hand out count as live from now on, which is
 *     what the pacer looks at: it over-estimates until the next cycle.
 *  4. After leaving, when a span was taken: is it time for a cycle (gc.c)?
 *
 * free only marks: the slot's bit in dead_bits. It is reused after a cycle has seen
 * the mark and the span has been swept.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc/base/debug.h"
#include "alloc/heap/tiered/collect.h"
#include "alloc/heap/tiered/mheap.h"
#include "alloc/heap/tiered/poison.h"

/* What a span in a cache counts as live, though it is not taken yet, or only since. */
static uint64_t room_when_cached(const struct mspan *span)
{
	assert(span->alloc_count_cached <= span->elem_count);
	return rh_span_bytes(span) - (uint64_t)span->alloc_count_cached * span->elem_bytes;
}

static struct mspan *refill(struct rh_lane *lane, unsigned spc)
{
	struct rh_heap *heap = lane->heap;
	struct mspan *span = lane->alloc[spc];

	tier_add(&lane->n.refills, 1);
	if (span != &heap->dummy) {
		atomic_fetch_sub(&heap->pacer.cached, room_when_cached(span));
		rh_central_uncache_span(lane, span, false);
	}
	lane->alloc[spc] = &heap->dummy;
	span = rh_central_cache_span(lane, spc);
	if (!span)
		return NULL;
	rh_debug_assert(span->spc == spc && span->alloc_count < span->elem_count);
	/* In a cache: the next cycle makes it sg + 1, which says that it must be
	 * flushed before anybody allocates from it. */
	atomic_store(&span->sweepgen, atomic_load(&heap->sweepgen) + 3);
	span->alloc_count_cached = span->alloc_count;
	atomic_fetch_add(&heap->pacer.heap_live, room_when_cached(span));
	atomic_fetch_add(&heap->pacer.cached, room_when_cached(span));
	lane->alloc[spc] = span;
	return span;
}

void *rh_mcache_slot(struct rh_lane *lane, unsigned spc, bool *refilled)
{
	void *p = rh_span_next(lane->alloc[spc]);

	if (!p) {
		struct mspan *span = refill(lane, spc);

		/* Only then can the trigger have been reached, since live bytes are
		 * counted by the span: the poll costs the fast path nothing. */
		*refilled = true;
		tier_add(&lane->bin[spc].misses, 1);
		if (!span)
			return NULL;
		p = rh_span_next(span);
		assert(p);
	}
	tier_add(&lane->bin[spc].allocs, 1);
	return p;
}

static void give_back(struct rh_lane *lane, unsigned spc, bool stale)
{
	struct rh_heap *heap = lane->heap;
	struct mspan *span = lane->alloc[spc];

	if (span == &heap->dummy)
		return;
	rh_debug_assert(span->spc == spc);
	/* What was counted in advance and not handed out. After a cycle the
	 * count was made anew from marks and holds none of it. */
	if (!stale)
		atomic_fetch_sub(&heap->pacer.heap_live,
				 (uint64_t)(span->elem_count - span->alloc_count) *
					 span->elem_bytes);
	atomic_fetch_sub(&heap->pacer.cached, room_when_cached(span));
	lane->alloc[spc] = &heap->dummy;
	rh_central_uncache_span(lane, span, stale);
}

void rh_mcache_flush(struct rh_lane *lane, bool stale)
{
	rh_tiny_drop(lane);
	for (unsigned spc = 2; spc < TIER_SPC_MAX; spc++)
		give_back(lane, spc, stale);
}

void rh_mcache_let_go(struct rh_lane *lane, unsigned spc)
{
	give_back(lane, spc, false);
}

static void *alloc_small(struct rh_lane *lane, size_t size, unsigned spc, uint32_t flags,
			 bool *refilled)
{
	struct mspan *span;
	void *slot = rh_mcache_slot(lane, spc, refilled), *p;

	if (!slot)
		return NULL;
	span = lane->alloc[spc];
	if (rh_tiny_span(span))
		atomic_store_explicit(&span->tiny_live[rh_span_index(span, slot)], 1,
				      memory_order_relaxed);
	/* The header's word stays ours: it is never written here, for there are no
	 * types, but it costs its bytes. */
	p = (char *)slot + lane->heap->classes.of[spc].header_bytes;
	rh_unpoison(p, size);
	if (flags & RH_ALLOC_ZEROED && span->needzero)
		memset(p, 0, size);
	return p;
}

static void *alloc_once(struct rh_lane *lane, size_t size, const struct place *place,
			uint32_t flags, bool *refilled)
{
	void *p;

	rh_gc_enter(lane);
	if (place->tiny) {
		p = rh_tiny_alloc(lane, size, refilled);
	} else if (place->spc > 1) {
		p = alloc_small(lane, size, place->spc, flags, refilled);
	} else {
		*refilled = true;
		p = rh_large_alloc(lane, size, place, flags);
	}
	if (p && TIER_DEBUG)
		rh_live_begin(lane, p);
	rh_gc_leave(lane);
	return p;
}

void *rh_collected_alloc(struct rh_lane *lane, size_t size, size_t align, uint32_t flags)
{
	struct place place = rh_place(lane->heap, size, align, flags);
	bool refilled = false;
	void *p = alloc_once(lane, size, &place, flags, &refilled);

	if (!p) {
		/* Exhausted: the dead may hold what is needed. Twice: with marking > 0 the
		 * first may only end a cycle that had begun, whose dead are those of its
		 * beginning. */
		rh_gc_cycle(lane);
		rh_gc_cycle(lane);
		return alloc_once(lane, size, &place, flags, &refilled);
	}
	if (refilled)
		rh_gc_poll(lane);
	return p;
}

/* The dead bit is the last word on the slot: from then on another lane may sweep the span, free
 * it and set it up anew. So all that is read of the span is read before, and counted before. */
void rh_slot_died(struct rh_lane *lane, struct mspan *span, unsigned index)
{
	struct rh_heap *heap = lane->heap;
	uint64_t bit = (uint64_t)1 << index % 64, old;
	uint32_t dead = atomic_fetch_add(&span->dead_count, 1) + 1;

	/* A recorded free is what the sweeper found: with the last live slot gone, the span is
	 * swept and freed here. Nothing is allocated from an unswept span, so that its count
	 * stands still. Cached or swept spans wait for the next cycle, and so does a slot whose
	 * bit another lane has counted and not yet set. */
	bool last = heap->gc == TIER_GC_RECORDED &&
		    atomic_load(&span->sweepgen) == atomic_load(&heap->sweepgen) - 2 &&
		    dead == tier_load(&span->alloc_count);

	rh_debug_assert(index < span->elem_count);
	if (rh_tiny_span(span))
		rh_poison((void *)(span->base + index * 16u), 16);
	old = atomic_fetch_or(&rh_span_dead_bits(span)[index / 64], bit);
	assert(!(old & bit));
	(void)old;
	if (last && rh_sweep_acquire(heap, span))
		rh_sweep_span(lane, span, false);
}

static void tiny_free(struct rh_lane *lane, struct mspan *span, unsigned index)
{
	/* Parts of one slot may be freed on several lanes; the one that takes the
	 * last part marks the slot. */
	uint8_t parts = atomic_fetch_sub_explicit(&span->tiny_live[index], 1, memory_order_acq_rel);

	if (TIER_DEBUG && parts == 0) {
		fprintf(stderr,
			"reheap: tiered: free of a part of slot %u of span %p: all of its "
			"parts are free already; class 2 (16 bytes)\n",
			index, (void *)span->base);
		abort();
	}
	if (parts == 1)
		rh_slot_died(lane, span, index);
}

void rh_collected_free(struct rh_lane *lane, void *p, size_t size)
{
	struct mspan *span = rh_span_of(lane->heap, p);
	unsigned index;

	rh_gc_enter(lane);
	if (TIER_DEBUG)
		rh_live_end(lane, p);
	/* A large span is one slot. */
	index = span->elem_bytes ? rh_span_index(span, p) : 0;
	tier_add(&lane->class_frees[span->spc], 1);
	if (!span->elem_bytes)
		tier_add(&lane->n.large_frees, 1);
	if (rh_tiny_span(span)) {
		if (RH_POISON && size)
			rh_poison(p, size);
		tiny_free(lane, span, index);
	} else {
		rh_poison(p, rh_span_elem(span) - lane->heap->classes.of[span->spc].header_bytes);
		rh_slot_died(lane, span, index);
	}
	rh_gc_leave(lane);
}
