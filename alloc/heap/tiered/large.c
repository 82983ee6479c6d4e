/*
 * large.c - blocks of more than 32 KiB: a span each.
 *
 * ceil(size / 8192) pages, class 0, base = block. Known-zero pages are not cleared.
 * Since 1.16 those under 16 pages come through the page cache without a lock; with
 * gc=explicit those under 32 MiB come and go without one, through the runs of the stash, in
 * lengths of eight steps between powers of two (stash.h): malloc's callers by rh_large_again, which
 * is most of them, in 170 instructions with the cut. There, zeroed blocks of 64 KiB and more get
 * their zeroes from the system, unlike in Go.
 *
 * Growth by realloc, gc=explicit: where the pages behind a block are free it gets longer where it
 * is, also past the end of what was mapped so far. Else it moves, and one that grew before moves
 * to a place a quarter larger than it asks for, so that a block that grows by a line at a time is
 * copied once per quarter and not once per page (which took 16 times as long as in the peers, and
 * now takes as long).
 * The slack is address space until it is written, where the pages are new. A block that becomes
 * much shorter gives its last pages back and stays.
 */
#include <assert.h>
#include <string.h>

#include "alloc/base/debug.h"
#include "alloc/heap/tiered/block.h"
#include "alloc/heap/tiered/collect.h"
#include "alloc/heap/tiered/mheap.h"
#include "alloc/heap/tiered/page_map.h"
#include "alloc/heap/tiered/poison.h"
#include "alloc/heap/tiered/stash.h"

/* Clearing less costs less than the system call and the page faults after it. */
enum { RELEASE_MIN = 65536 };

/* Slack of a block that grows again: a quarter, as peers take (tcmalloc a quarter, jemalloc's
 * classes a fifth). */
enum { GROWTH_SHARE = 4 };

/* Explicit frees: rather than cleared, the pages are given back, and come as zero when they
 * are touched. A program that asks for a large zeroed table often uses little of it (cc1plus: 0.9
 * MB of 4.6 at the peak were zeroes nobody had asked for). But it costs ten times what clearing
 * does where all of it is used again (a git blame: 1540 ns an event, 240 cleared), so it is paid
 * for from what the scavenger may spend. */
static void zero(struct rh_lane *lane, struct mspan *span, size_t size)
{
	struct rh_heap *heap = lane->heap;

	assert(size <= rh_span_bytes(span));
	if (heap->gc == TIER_GC_EXPLICIT && !heap->profile->madv_free && size >= RELEASE_MIN &&
	    rh_scavenge_pays_for(lane, span->page_count))
		rh_pages_release(heap, span->base, rh_span_bytes(span));
	else
		memset((void *)span->base, 0, size);
}

void *rh_large_alloc(struct rh_lane *lane, size_t size, const struct place *place, uint32_t flags)
{
	size_t page_count = (size >> TIER_PAGE_SHIFT) + (size % TIER_PAGE != 0);
	size_t align_pages = place->align >> TIER_PAGE_SHIFT;
	struct mspan *span;

	/* Size 0 with an alignment of its own: a block that can be freed. */
	if (!page_count)
		page_count = 1;
	/* Before the two are added: the sum could wrap. */
	if (page_count > TIER_WINDOW_PAGES || align_pages > TIER_WINDOW_PAGES)
		return NULL;
	if (lane->heap->gc != TIER_GC_EXPLICIT) {
		rh_sweep_credit(lane, page_count << TIER_PAGE_SHIFT, page_count);
		rh_sweep_reclaim(lane, page_count);
	}
	span = rh_span_alloc_aligned(lane, page_count, align_pages, place->spc);
	if (!span)
		return NULL;
	rh_debug_assert(rh_span_bytes(span) >= size && span->base % place->align == 0);
	/* One slot, taken: sweeping and checking need no case for large spans. */
	span->alloc_bits[0] = 1;
	span->alloc_count = 1;
	span->freeindex = 1;
	span->grown = 0;
	rh_unpoison((void *)span->base, size);
	if (flags & RH_ALLOC_ZEROED && span->needzero)
		zero(lane, span, size);
	tier_add(&lane->n.large_allocs, 1);
	tier_add(&lane->n.large_bytes, rh_span_bytes(span));
	if (lane->heap->gc != TIER_GC_EXPLICIT)
		rh_large_published(lane, span);
	return (void *)span->base;
}

/* Whether the struct was a large block's before and no other's since: then all that
 * rh_span_init and rh_large_alloc would write is there. */
static inline bool was_large(const struct mspan *span)
{
	return !span->elem_bytes && span->elem_count == 1 && span->alloc_count == 1 && !TIER_DEBUG;
}

void *rh_large_again(struct rh_lane *lane, size_t size)
{
	size_t bytes;
	struct mspan *span;

	if (!lane->keeps_large || size >= (size_t)STASH_LENGTHS << TIER_PAGE_SHIFT)
		return NULL;
	span = rh_stash_take(lane, rh_large_page_count((size + TIER_PAGE - 1) >> TIER_PAGE_SHIFT));
	if (!span)
		return NULL;
	if (tier_unlikely(!was_large(span))) {
		if (!rh_span_bits(lane, span, 1)) {
			rh_stash_give(lane, span);
			return NULL;
		}
		rh_span_init(lane->heap, span, 1);
		span->alloc_bits[0] = 1;
		span->alloc_count = 1;
		span->freeindex = 1;
		rh_map_pages(lane->heap, span);
	}
	span->needzero = 1;
	span->grown = 0;
	rh_span_set_state(span, SPAN_IN_USE);
	bytes = rh_span_bytes(span);
	tier_add(&lane->d_in_use, (int64_t)bytes);
	tier_add(&lane->n.stash_hits, 1);
	tier_add(&lane->n.large_allocs, 1);
	tier_add(&lane->n.large_bytes, bytes);
	rh_unpoison((void *)span->base, size);
	return (void *)span->base;
}

bool rh_large_resize(struct rh_lane *lane, void *p, size_t size)
{
	struct mspan *span = rh_span_of(lane->heap, p);
	size_t page_count = (size >> TIER_PAGE_SHIFT) + (size % TIER_PAGE != 0);

	assert(span->elem_bytes == 0 && span->base == (uintptr_t)p);
	/* What has become small moves into a class; its pages are worth more than the
	 * copy. */
	if (size <= TIER_SMALL_MAX || size >= TIER_WINDOW)
		return false;
	if (page_count < span->page_count)
		return rh_span_shorten(lane, span, page_count);
	if (!rh_span_extend(lane, span, page_count))
		return false;
	span->grown = 1;
	rh_unpoison(p, size);
	assert(rh_span_bytes(span) >= size);
	return true;
}

size_t rh_large_room(struct rh_lane *lane, const struct mspan *span, size_t size)
{
	size_t slack = size / GROWTH_SHARE;

	rh_debug_assert(size > 0);
	/* The first growth gets no slack: a block that has grown before is the likelier one to
	 * grow again. Nor does one that grows by a quarter and more at once, whose next step
	 * no slack would hold. */
	if (span->elem_bytes || !span->grown || size >= TIER_WINDOW / 2 ||
	    size / (GROWTH_SHARE + 1) >= rh_span_bytes(span) / GROWTH_SHARE)
		return size;
	tier_add(&lane->n.slack_bytes, slack);
	return size + slack;
}
