/*
 * span_cache.c - span structs that a lane keeps, so that it makes a span without the heap's lock.
 *
 * They come from fixalloc under that lock, 64 at once. Spans that are joined leave theirs here,
 * spans that are cut take one; a cache that is full gives half of it back.
 */
#include <assert.h>

#include "alloc/base/debug.h"
#include "alloc/heap/tiered/mheap.h"

/* Fills the lane's cache of span structs to half when it is under a quarter, the lowest to be taken
 * first: a small heap takes a few of them, and touches no page of the others. Heap lock held. */
bool rh_span_cache_refill(struct rh_heap *heap, struct rh_lane *lane)
{
	uint32_t from = lane->span_cache_count, to;

	rh_debug_assert(rh_lock_held(&heap->lock));
	if (from >= SPAN_CACHE_MAX / 4)
		return true;
	while (lane->span_cache_count < SPAN_CACHE_MAX / 2) {
		struct mspan *span = rh_fixalloc(&heap->span_alloc);

		if (!span)
			break;
		rh_debug_assert(rh_span_state(span) == SPAN_DEAD);
		lane->span_cache[lane->span_cache_count++] = span;
	}
	for (to = from ? 0 : lane->span_cache_count; from + 1 < to; from++) {
		struct mspan *span = lane->span_cache[from];

		lane->span_cache[from] = lane->span_cache[--to];
		lane->span_cache[to] = span;
	}
	return lane->span_cache_count > 0;
}

void rh_span_cache_halve(struct rh_heap *heap, struct rh_lane *lane)
{
	rh_debug_assert(rh_lock_held(&heap->lock));
	while (lane->span_cache_count > SPAN_CACHE_MAX / 2)
		rh_fixalloc_free(&heap->span_alloc, lane->span_cache[--lane->span_cache_count]);
}

/* Heap lock held, or a lane with room in its cache. */
void rh_span_drop(struct rh_heap *heap, struct rh_lane *lane, struct mspan *span)
{
	atomic_store_explicit(&span->owner, NULL, memory_order_relaxed);
	rh_span_set_state(span, SPAN_DEAD);
	if (lane && lane->span_cache_count < SPAN_CACHE_MAX)
		lane->span_cache[lane->span_cache_count++] = span;
	else
		rh_fixalloc_free(&heap->span_alloc, span);
}
