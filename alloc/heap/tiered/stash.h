/*
 * stash.h - empty spans that a lane keeps for itself (gc=explicit).
 *
 * A program that frees and asks again would otherwise take the heap's lock for every span, so
 * a freed span goes to the stash of the lane that freed it, by its length. Small spans are
 * taken from there at their exact length. Large blocks take one up to an eighth longer, and their
 * lengths come in steps, so that what one leaves serves the next with its pages in memory and in
 * the CPU's caches. When the stash has more than its bound, or lacks a run of a length that it
 * has the pages for, all of it goes back in one locked visit and coalesces (mheap.c).
 *
 * Inside this folder only. Everything by the lane's owner, without a lock.
 */
#ifndef RH_TIERED_STASH_H
#define RH_TIERED_STASH_H

#include "alloc/heap/tiered/heap.h"

/* Steps between two powers of two, in the lengths of large blocks. */
enum { LARGE_STEP = 8 };

/* Pages that a lane may keep. */
uint32_t rh_stash_bound(uint64_t in_use, unsigned lanes);
/* Pages that a page cache takes at once. */
unsigned rh_page_cache_max(const struct rh_heap *heap);

/* Whether large blocks come from the stash first. */
static inline bool rh_keeps_large(const struct rh_heap *heap)
{
	return heap->gc == TIER_GC_EXPLICIT && heap->profile->radix && !heap->knobs.limit;
}

/* The length of a large block where they do, from the pages it needs. */
size_t rh_large_page_count(size_t page_count);

/* Keeps pages as a span; there is a struct for it in the span cache. */
void rh_stash_pages(struct rh_lane *lane, uintptr_t page, size_t page_count);
/* Keeps every page of the page cache as a span of its own. */
void rh_stash_page_cache(struct rh_lane *lane);

/* The shortest length from page_count on that the stash has; STASH_SIZES = none. */
static inline unsigned rh_stashed_from(const struct rh_lane *lane, size_t page_count)
{
	unsigned word = (unsigned)page_count / 64;
	uint64_t lengths;

	if (page_count >= STASH_SIZES)
		return STASH_SIZES;
	lengths = lane->stash_lengths[word] >> page_count % 64 << page_count % 64;
	while (!lengths && ++word < STASH_WORDS)
		lengths = lane->stash_lengths[word];
	return lengths ? word * 64 + (unsigned)__builtin_ctzll(lengths) : STASH_SIZES;
}

static inline struct mspan *rh_stash_pop(struct rh_lane *lane, size_t page_count)
{
	struct mspan *span = lane->stash[page_count];

	rh_debug_assert(span->page_count == page_count);
	lane->stash[page_count] = span->next;
	if (!span->next)
		lane->stash_lengths[page_count / 64] &= ~((uint64_t)1 << page_count % 64);
	lane->stash_pages -= (uint32_t)page_count;
	span->next = NULL;
	return span;
}

static inline void rh_stash_push(struct rh_lane *lane, struct mspan *span)
{
	size_t page_count = span->page_count;

	rh_debug_assert(page_count < STASH_SIZES && rh_span_state(span) == SPAN_DEAD);
	span->next = lane->stash[page_count];
	lane->stash[page_count] = span;
	lane->stash_lengths[page_count / 64] |= (uint64_t)1 << page_count % 64;
	lane->stash_pages += (uint32_t)page_count;
}

#endif
