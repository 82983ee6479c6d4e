/*
 * page_map.h - what the maps say of a page: its span, and the bin of its blocks.
 * Inside this folder only. Called by the owner of the span.
 */
#ifndef RH_TIERED_PAGE_MAP_H
#define RH_TIERED_PAGE_MAP_H

#include <string.h>

#include "alloc/heap/tiered/heap.h"

/* Of a large block nobody asks for more than its first page, but checks for bad frees and the old
 * page heaps, which look at neighbours (a buffer of 256 KiB that comes and goes: 60 of 309
 * instructions an event). */
static inline size_t rh_pages_to_map(const struct rh_heap *heap, const struct mspan *span)
{
	return !TIER_DEBUG && span->spc < 2 && heap->gc == TIER_GC_EXPLICIT && heap->profile->radix
		       ? 1
		       : span->page_count;
}

static inline void rh_map_pages(struct rh_heap *heap, struct mspan *span)
{
	size_t first = rh_page_index(heap, span->base), count = rh_pages_to_map(heap, span);

	rh_debug_assert(first + span->page_count <= TIER_WINDOW_PAGES);
	for (size_t i = 0; i < count; i++)
		tier_store(&heap->spans[first + i], span);
	if (heap->gc == TIER_GC_EXPLICIT && span->spc > 1 && rh_span_state(span) == SPAN_IN_USE) {
		for (size_t i = 0; i < span->page_count; i++)
			heap->bin_map[first + i] = rh_bin_offset(span->spc);
	}
	if (heap->gc != TIER_GC_EXPLICIT && rh_span_state(span) == SPAN_IN_USE)
		atomic_fetch_or(&heap->arenas.page_in_use[first / 64], (uint64_t)1 << first % 64);
}

static inline void rh_unmap_pages(struct rh_heap *heap, struct mspan *span)
{
	size_t first = rh_page_index(heap, span->base), count = rh_pages_to_map(heap, span);

	if (heap->gc == TIER_GC_EXPLICIT)
		memset(heap->bin_map + first, 0, count * sizeof(*heap->bin_map));
	else
		atomic_fetch_and(&heap->arenas.page_in_use[first / 64],
				 ~((uint64_t)1 << first % 64));
	/* The owner of what lies before or behind may look at an entry (stash.c). */
	for (size_t i = 0; i < count; i++)
		tier_store(&heap->spans[first + i], NULL);
}

#endif
