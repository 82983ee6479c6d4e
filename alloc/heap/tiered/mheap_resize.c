/*
 * mheap_resize.c - large spans that become longer or shorter where they are.
 *
 * Only with the bitmap chunks, which can say of any page whether it is free; the older lists know
 * free runs by their ends. What a span gets from behind it may be a run of the lane's own stash,
 * and then no lock is taken, or be parked in its page cache, or not be mapped yet: the next piece
 * of the arena is.
 */
#include "alloc/base/debug.h"
#include "alloc/heap/tiered/mheap.h"

#include <assert.h>

#include "alloc/heap/tiered/poison.h"
#include "alloc/heap/tiered/stash.h"

/* Takes the pages from `next` on, mapping more of the arena where it ends among them. */
static bool take_behind(struct rh_heap *heap, uint32_t next, size_t more, size_t *scav)
{
	size_t mapped = rh_page_index(heap, heap->arenas.at);

	rh_debug_assert(rh_lock_held(&heap->lock));
	if (rh_pages_take_at(heap, next, more, scav))
		return true;
	/* Past the end of what is mapped, and the reservation has room for it. */
	if (mapped < next || mapped >= next + more ||
	    ((next + more - mapped) << TIER_PAGE_SHIFT) > heap->arenas.end - heap->arenas.at)
		return false;
	return rh_arenas_grow(heap, next + more - mapped) &&
	       rh_pages_take_at(heap, next, more, scav);
}

/* Whether the page begins a span that a lane keeps in its stash. */
static bool stashed_at(const struct rh_heap *heap, uint32_t page)
{
	const struct mspan *span = page < TIER_WINDOW_PAGES ? tier_load(&heap->spans[page]) : NULL;

	return span && rh_span_state(span) == SPAN_DEAD;
}

/* Whether a block that grows by so many pages from `next` on should move: they are not in memory,
 * while the lane keeps much that is, and a run of it holds the block. With blocks that grow where
 * they are the heap would only ever grow: 64 buffers that double, 28 MiB live, were 64 MiB at the
 * peak and are 40. From then on the lane's runs are used from below, which leaves longer ones. */
static bool moves_instead(const struct rh_heap *heap, const struct rh_lane *lane, uint32_t next,
			  size_t page_count, size_t more)
{
	enum { SLACK_SHARE = 4 };
	uint64_t used = heap->in_use_bytes >> TIER_PAGE_SHIFT;

	rh_debug_assert(rh_lock_held(&heap->lock));
	return lane->keeps_large && lane->stash_pages > used / 3 &&
	       rh_stash_find(lane, page_count + page_count / SLACK_SHARE) &&
	       !rh_pages_resident(&heap->pages, next, more);
}

bool rh_span_extend(struct rh_lane *lane, struct mspan *span, size_t page_count)
{
	struct rh_heap *heap = lane->heap;
	size_t more = page_count - span->page_count, scav;
	uint32_t next = (uint32_t)rh_page_index(heap, span->base) + span->page_count;
	bool ok;

	assert(page_count > span->page_count && span->spc < 2);
	/* Lists have no way to take given pages out of a free span. */
	if (!heap->profile->radix || next + more > TIER_WINDOW_PAGES)
		return false;
	if (rh_stash_extend(lane, span, more)) {
		tier_add(&lane->n.extended, 1);
		return true;
	}
	rh_lock(&heap->lock);
	rh_heap_fold(heap, lane);
	/* the pages behind it may be parked in our own page cache */
	if (next - lane->pcache.page < 64)
		rh_pages_flush_cache(heap, &lane->pcache);
	if (moves_instead(heap, lane, next, page_count, more)) {
		lane->by_address = true;
		rh_unlock(&heap->lock);
		return false;
	}
	/* The stash goes back only when the very next page is in one; it may be
	 * another lane's, and then the second try fails. */
	ok = rh_limit_admits(heap, more) && (take_behind(heap, next, more, &scav) ||
					     (stashed_at(heap, next) && rh_stash_trim(heap, lane) &&
					      take_behind(heap, next, more, &scav)));
	if (ok) {
		/* Only to note them as used: a block that grows keeps its needzero. */
		rh_arena_fresh(heap, next, more);
		heap->in_use_bytes += more << TIER_PAGE_SHIFT;
		heap->released_bytes -= scav << TIER_PAGE_SHIFT;
		span->page_count = (uint32_t)page_count;
		for (size_t i = 0; i < more && TIER_DEBUG; i++)
			tier_store(&heap->spans[next + i], span);
		if (scav)
			rh_scavenge_before_growth(heap, lane, 0);
	}
	rh_unlock(&heap->lock);
	tier_add(&lane->n.extended, ok);
	return ok;
}

bool rh_span_shorten(struct rh_lane *lane, struct mspan *span, size_t page_count)
{
	struct rh_heap *heap = lane->heap;
	size_t less = span->page_count - page_count, bytes = less << TIER_PAGE_SHIFT;
	uint32_t from = (uint32_t)(rh_page_index(heap, span->base) + page_count);

	assert(page_count && page_count < span->page_count && span->spc < 2);
	if (!heap->profile->radix)
		return false;
	rh_poison((char *)span->base + (page_count << TIER_PAGE_SHIFT), bytes);
	rh_lock(&heap->lock);
	rh_heap_fold(heap, lane);
	for (size_t i = 0; i < less && TIER_DEBUG; i++)
		tier_store(&heap->spans[from + i], NULL);
	span->page_count = (uint32_t)page_count;
	assert(heap->in_use_bytes >= bytes || heap->lane_count > 1);
	heap->in_use_bytes -= bytes;
	rh_pages_free(heap, from, less);
	rh_scavenge_freed(heap, lane, bytes);
	rh_unlock(&heap->lock);
	tier_add(&lane->n.shortened, 1);
	return true;
}
