/*
 * check.c - is every structure of a heap what it should be?
 *
 * One walk over the page heap, all spans and the totals. Tests call it between steps;
 * debug builds call it at the end of every cycle, while the world stands still, and when
 * a heap is closed, and abort when something is wrong.
 */
#include <stdio.h>
#include <stdlib.h>

#include "alloc/heap/tiered/lane.h"
#include "alloc/heap/tiered/mheap.h"
#include "alloc/heap/tiered/stash.h"

/* Free pages that lanes keep. */
static uint64_t kept_pages(const struct rh_heap *heap)
{
	uint64_t pages = 0;

	for (const struct rh_lane *lane = heap->lanes; lane; lane = lane->next)
		pages += lane->stash_pages + (unsigned)__builtin_popcountll(lane->pcache.free);
	return pages;
}

const char *rh_tiered_check(struct rh_heap *heap)
{
	uint32_t count = atomic_load_explicit(&heap->all_span_count, memory_order_acquire);
	uint64_t in_use = 0, manual = 0, pages = 0;
	struct heap_totals totals;
	const char *wrong;

	rh_lock(&heap->lock);
	/* The pages first: what follows believes their count. */
	wrong = (heap->profile->radix ? rh_pages_check : rh_lists_check)(heap, &pages);
	for (const struct rh_lane *lane = heap->lanes; lane && !wrong; lane = lane->next)
		wrong = rh_stash_check(lane);
	for (uint32_t i = 0; !wrong && i < count; i++) {
		struct mspan *span = rh_nth_span(heap, i);

		if (rh_span_state(span) == SPAN_MANUAL)
			manual += rh_span_bytes(span);
		if (rh_span_state(span) != SPAN_IN_USE)
			continue;
		in_use += rh_span_bytes(span);
		wrong = rh_span_check(heap, span);
	}
	totals = rh_heap_totals(heap);
	pages += kept_pages(heap) + heap->pages.nobodys;
	rh_unlock(&heap->lock);
	if (wrong)
		return wrong;
	if (in_use != totals.in_use || manual != totals.stack)
		return "the spans' bytes and the heap's totals differ";
	/* Each page is free, in a lane, nobody's, or part of a span. A sum that is
	 * off by one page is a double free or a leak of our own. */
	if ((pages << TIER_PAGE_SHIFT) + in_use + manual != totals.mapped)
		return "a page is lost, or is in two places";
	if (totals.released + totals.in_use + totals.stack > totals.mapped)
		return "more is in use and released than was ever grown";
	return NULL;
}

void rh_tiered_check_debug(struct rh_heap *heap)
{
	const char *wrong = TIER_DEBUG ? rh_tiered_check(heap) : NULL;

	if (!wrong)
		return;
	fprintf(stderr, "reheap: tiered heap, profile %s: %s\n", heap->profile->name, wrong);
	abort();
}
