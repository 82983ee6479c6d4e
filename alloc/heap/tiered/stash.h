/*
 * stash.h - empty spans that a lane keeps for itself (gc=explicit).
 *
 * A program that frees and asks again would otherwise take the heap's lock for every span, so
 * a freed span goes to the stash of the lane that freed it, by its length: exact below 16 pages,
 * then in bins, eight to a power of two, with a bit for each bin that has some. Small spans are
 * taken from there at their exact length.
 *
 * What large blocks leave are runs: joined to the runs before and behind them that are in the
 * same stash, and cut to the length that the next large block asks for. Both are a few
 * instructions, for the map of pages finds a run by its first page and by its last one:
 *
 *	spans[]	| run A .. A | block | run B .. B |	the block is freed: spans[first - 1] is A,
 *						spans[last + 1] is B
 *
 * Entries of the map for other pages may be old. A run says of itself where it lies, and is
 * ours by its owner, so an old entry does no harm. Lengths of large blocks come in steps, so that
 * what one leaves fits the next.
 *
 * When the stash has more than its bound the shorter spans go back. When it lacks a run of a
 * length that it has the pages for, all of it goes back in one locked visit, and all runs that are
 * in memory then come from the page heap (mheap.c), so that no run lies here beside one that lies
 * there, and neither serves.
 *
 * Inside this folder only. Everything by the lane's owner, without a lock.
 */
#ifndef RH_TIERED_STASH_H
#define RH_TIERED_STASH_H

#include "alloc/heap/tiered/heap.h"

/* Steps between two powers of two, in the lengths of large blocks. */
enum { LARGE_STEP = 8, LARGE_STEP_LOG = 3 };

/* Sets how many pages the lane may keep, by what is in use and how many lanes there are. */
void rh_stash_bound(struct rh_lane *lane, uint64_t in_use, unsigned lanes);
/* Pages that a page cache takes at once. */
unsigned rh_page_cache_max(const struct rh_heap *heap);

/* Whether large blocks come from the stash first. */
static inline bool rh_keeps_large(const struct rh_heap *heap)
{
	return heap->gc == TIER_GC_EXPLICIT && heap->profile->radix && !heap->knobs.limit;
}

/* The length of a large block where they do, from the pages it needs: in eight steps between two
 * powers of two, so that what one leaves serves the next: 200 to 600 KiB are 14 lengths and not
 * 50. What is added is address space where it was never touched. */
static inline size_t rh_large_page_count(size_t page_count)
{
	enum { EXACT_FROM = 256 }; /* 2 MiB */
	unsigned shift;

	if (page_count >= EXACT_FROM)
		return page_count;
	shift = 63 - LARGE_STEP_LOG - (unsigned)__builtin_clzll((page_count - 1) | LARGE_STEP);
	return (((page_count - 1) >> shift) + 1) << shift;
}

static inline unsigned rh_stash_bin(size_t page_count)
{
	unsigned shift = 63 - LARGE_STEP_LOG - (unsigned)__builtin_clzll(page_count | LARGE_STEP);

	rh_debug_assert(page_count < STASH_LENGTHS);
	return LARGE_STEP * shift + (unsigned)(page_count >> shift);
}

/* Keeps pages as a small span; there is a struct for it in the span cache. */
void rh_stash_pages(struct rh_lane *lane, uintptr_t page, size_t page_count);
/* Keeps every page of the page cache as a span of its own. */
void rh_stash_page_cache(struct rh_lane *lane);

/* Keeps pages as a run; there is a struct for it in the span cache. */
void rh_stash_run(struct rh_lane *lane, uintptr_t page, size_t page_count);
/* A run of that length, for a large block: its base and length are set. NULL = there is none. */
struct mspan *rh_stash_take(struct rh_lane *lane, size_t page_count);
/* Puts such a run back. */
void rh_stash_give(struct rh_lane *lane, struct mspan *span);
/* Of pages that were found for a large block, *page is the first: where they lie behind a run, the
 * block begins with that. Returns its length, so many pages are not needed at the end; or 0. */
size_t rh_stash_lower(struct rh_lane *lane, uint32_t *page, size_t page_count);
/* Adds pages to a large span from the run behind it, if there is one and it is long enough. */
bool rh_stash_extend(struct rh_lane *lane, struct mspan *span, size_t more);
/* A span that has so many pages or a few more, not cut. NULL = there is none. */
struct mspan *rh_stash_take_near(struct rh_lane *lane, size_t page_count, size_t slack);
/* Takes in the runs of the page heap that are in memory. Heap lock held. */
void rh_stash_gather(struct rh_heap *heap, struct rh_lane *lane);
/* Whether all of the stash may go back for a block of so many pages. */
bool rh_stash_may_trim(struct rh_lane *lane, size_t page_count);
/* NULL, or what is wrong with the lane's stash. */
const char *rh_stash_check(const struct rh_lane *lane);

/* Of the spans of at least page_count pages one of the shortest; NULL = none. */
static inline struct mspan *rh_stash_find(const struct rh_lane *lane, size_t page_count)
{
	struct mspan *span;
	uint64_t bins;
	unsigned bin;

	if (page_count >= STASH_LENGTHS)
		return NULL;
	bin = rh_stash_bin(page_count);
	span = lane->stash[bin++];
	if (span && span->page_count >= page_count)
		return span;
	bins = lane->stash_bins[bin / 64] >> bin % 64 << bin % 64;
	if (bins)
		return lane->stash[bin / 64 * 64 + (unsigned)__builtin_ctzll(bins)];
	bins = lane->stash_bins[STASH_WORDS - 1];
	return bin < 64 && bins ? lane->stash[64 + (unsigned)__builtin_ctzll(bins)] : NULL;
}

/* One of the longest; NULL = the stash is empty. */
static inline struct mspan *rh_stash_longest(const struct rh_lane *lane)
{
	for (unsigned word = STASH_WORDS; word-- > 0;) {
		uint64_t bins = lane->stash_bins[word];

		if (bins)
			return lane->stash[word * 64 + 63 - (unsigned)__builtin_clzll(bins)];
	}
	return NULL;
}

/* Out of its bin; what it counted for is the caller's. */
static inline void rh_stash_unlink(struct rh_lane *lane, struct mspan *span)
{
	struct mspan *next = span->next, *prev = span->prev;
	unsigned bin;

	span->next = NULL;
	if (next)
		next->prev = prev;
	if (prev) {
		prev->next = next;
		span->prev = NULL;
		return;
	}
	bin = rh_stash_bin(span->page_count);
	lane->stash[bin] = next;
	if (!next)
		lane->stash_bins[bin / 64] &= ~((uint64_t)1 << bin % 64);
}

static inline void rh_stash_link(struct rh_lane *lane, struct mspan *span)
{
	unsigned bin = rh_stash_bin(span->page_count);
	struct mspan *first = lane->stash[bin];

	rh_debug_assert(rh_span_state(span) == SPAN_DEAD && !span->list && !span->prev);
	span->next = first;
	if (first)
		first->prev = span;
	lane->stash[bin] = span;
	lane->stash_bins[bin / 64] |= (uint64_t)1 << bin % 64;
}

static inline bool rh_stash_is_run(const struct mspan *span)
{
	return atomic_load_explicit(&span->owner, memory_order_relaxed) != NULL;
}

static inline void rh_stash_remove(struct rh_lane *lane, struct mspan *span)
{
	lane->stash_pages -= span->page_count;
	if (!rh_stash_is_run(span))
		lane->stash_small -= span->page_count;
	rh_stash_unlink(lane, span);
}

/* Of what is no run. */
static inline void rh_stash_push(struct rh_lane *lane, struct mspan *span)
{
	lane->stash_pages += span->page_count;
	lane->stash_small += span->page_count;
	rh_stash_link(lane, span);
}

#endif
