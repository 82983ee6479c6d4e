/*
 * large.c - blocks of more than 32 KiB: a span each.
 *
 * ceil(size / 8192) pages, class 0, base = block. Known-zero pages are not cleared.
 * Since 1.16 those under 16 pages come through the page cache without a lock; with
 * gc=explicit those under 64 pages also go back without one, through the stash. There,
 * zeroed blocks of 64 KiB and more get their zeroes from the system, unlike in Go.
 */
#include <string.h>

#include "alloc/heap/tiered/block.h"
#include "alloc/heap/tiered/collect.h"
#include "alloc/heap/tiered/mheap.h"
#include "alloc/heap/tiered/poison.h"

/* Clearing less costs less than the system call and the page faults after it. */
enum { RELEASE_MIN = 65536 };

/* Explicit frees: rather than cleared, the pages are given back, and come as zero when they
 * are touched. Who asks for a large zeroed table often uses little of it (cc1plus: 0.9 MB
 * of 4.6 at the peak were zeroes nobody had asked for). */
static void zero(struct rh_heap *heap, struct mspan *span, size_t size)
{
	if (heap->gc == TIER_GC_EXPLICIT && !heap->profile->madv_free && size >= RELEASE_MIN)
		rh_pages_release(heap, span->base, rh_span_bytes(span));
	else
		memset((void *)span->base, 0, size);
}

void *rh_large_alloc(struct rh_lane *lane, size_t size, const struct place *place, uint32_t flags)
{
	size_t page_count = (size >> TIER_PAGE_SHIFT) + (size % TIER_PAGE != 0);
	size_t align_pages = place->align >> TIER_PAGE_SHIFT;
	struct mspan *span;

	if (!page_count)
		page_count = 1;
	if (page_count > TIER_WINDOW_PAGES || align_pages > TIER_WINDOW_PAGES)
		return NULL;
	if (lane->heap->gc != TIER_GC_EXPLICIT) {
		rh_sweep_credit(lane, page_count << TIER_PAGE_SHIFT, page_count);
		rh_sweep_reclaim(lane, page_count);
	}
	span = rh_span_alloc_aligned(lane, page_count, align_pages, place->spc);
	if (!span)
		return NULL;
	span->alloc_bits[0] = 1;
	span->alloc_count = 1;
	span->freeindex = 1;
	rh_unpoison((void *)span->base, size);
	if (flags & RH_ALLOC_ZEROED && span->needzero)
		zero(lane->heap, span, size);
	tier_add(&lane->n.large_allocs, 1);
	tier_add(&lane->n.large_bytes, rh_span_bytes(span));
	if (lane->heap->gc != TIER_GC_EXPLICIT)
		rh_large_published(lane, span);
	return (void *)span->base;
}
