/*
 * stash.c - how much a lane keeps for itself, and in which lengths (stash.h).
 */
#include "alloc/heap/tiered/stash.h"

#include <string.h>

#include "alloc/base/debug.h"
#include "alloc/heap/tiered/mheap.h"
#include "alloc/heap/tiered/poison.h"

/* A lane keeps no more than its share: what lies in its stash serves no other lane. It takes no
 * memory that this lane would need elsewhere, for it goes back before pages that are not in
 * memory are used. */
uint32_t rh_stash_bound(uint64_t in_use, unsigned lanes)
{
	uint64_t pages = in_use / STASH_SHARE >> TIER_PAGE_SHIFT;
	uint32_t least = STASH_PAGES_ALL / (lanes ? lanes : 1);

	if (least < STASH_PAGES_MIN)
		least = STASH_PAGES_MIN;
	return pages < least ? least : pages > STASH_PAGES_MAX ? STASH_PAGES_MAX : (uint32_t)pages;
}

/* Go's page cache takes 64 pages at once. With explicit frees a large block cannot have what lies
 * there, so in a small heap it is a share (a heap of 0.5 MB with a buffer of 0.6 at most: 2.7 MB at
 * the peak with 64 pages, 1.5 so). */
unsigned rh_page_cache_max(const struct rh_heap *heap)
{
	enum { LEAST = 8, MOST = 64, SHARE = 32 };
	uint64_t pages = heap->in_use_bytes / SHARE >> TIER_PAGE_SHIFT;

	if (heap->gc != TIER_GC_EXPLICIT)
		return MOST;
	return pages < LEAST ? LEAST : pages > MOST ? MOST : (unsigned)pages;
}

/* Eight steps between two powers of two, so that what one leaves serves the next: 200 to 600 KiB
 * are 14 lengths and not 50. What is added is address space where it was never touched. */
size_t rh_large_page_count(size_t page_count)
{
	unsigned bits;
	size_t step;

	if (page_count <= 2 * LARGE_STEP || page_count >= STASH_SIZES)
		return page_count;
	bits = 63 - (unsigned)__builtin_clzll(page_count - 1);
	step = ((size_t)1 << bits) / LARGE_STEP;
	return (page_count + step - 1) & ~(step - 1);
}

void rh_stash_pages(struct rh_lane *lane, uintptr_t page, size_t page_count)
{
	struct mspan *span = lane->span_cache[--lane->span_cache_count];

	span->base = lane->heap->window + (page << TIER_PAGE_SHIFT);
	span->page_count = (uint32_t)page_count;
	tier_store(&lane->heap->spans[page], span);
	rh_stash_push(lane, span);
}

void rh_stash_page_cache(struct rh_lane *lane)
{
	struct page_cache *cache = &lane->pcache;
	uint64_t released = (uint64_t)__builtin_popcountll(cache->scav & cache->free);

	for (; cache->free; cache->free &= cache->free - 1)
		rh_stash_pages(lane, cache->page + (unsigned)__builtin_ctzll(cache->free), 1);
	tier_add(&lane->d_released, -(int64_t)(released << TIER_PAGE_SHIFT));
}

void rh_stash_put(struct rh_lane *lane, struct mspan *span)
{
	struct rh_heap *heap = lane->heap;
	uint32_t pages = span->page_count;
	uint64_t seen;

	rh_debug_assert(rh_span_state(span) == SPAN_IN_USE && !span->list);
	if (pages >= STASH_SIZES || heap->knobs.limit) {
		rh_span_free(lane, span);
		return;
	}
	rh_poison((void *)span->base, rh_span_bytes(span));
	if (span->spc > 1)
		memset(heap->bin_map + rh_page_index(heap, span->base), 0,
		       pages * sizeof(*heap->bin_map));
	rh_span_set_state(span, SPAN_DEAD);
	rh_stash_push(lane, span);
	tier_add(&lane->d_in_use, -(int64_t)rh_span_bytes(span));
	tier_add(&lane->n.stash_puts, 1);
	lane->unseen_pages += pages;
	if (lane->stash_pages <= lane->stash_pages_max && lane->unseen_pages < STASH_LOOK_PAGES)
		return;
	/* What serves from here alone must not hide that a heap has shrunk for good. */
	seen = (uint64_t)lane->unseen_pages << TIER_PAGE_SHIFT;
	lane->unseen_pages = 0;
	rh_lock(&heap->lock);
	rh_heap_fold(heap, lane);
	if (lane->stash_pages > lane->stash_pages_max || rh_scavenge_due(heap)) {
		rh_stash_trim(heap, lane);
		tier_add(&lane->n.stash_trims, 1);
	}
	rh_scavenge_freed(heap, lane, seen);
	rh_unlock(&heap->lock);
}
