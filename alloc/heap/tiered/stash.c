/*
 * stash.c - how much a lane keeps for itself, and runs that are joined and cut (stash.h).
 */
#include "alloc/heap/tiered/stash.h"

#include <string.h>

#include "alloc/base/debug.h"
#include "alloc/heap/tiered/mheap.h"
#include "alloc/heap/tiered/poison.h"

/* A lane keeps no more than its share: what lies in its stash serves no other lane. It takes no
 * memory that this lane would need elsewhere, for it goes back before pages that are not in
 * memory are used. Small spans, which are not joined, are up to an eighth of what is in use. Runs
 * are a half of it, or, of a lane that is alone, as many as there are: where 48 blocks of 33 KB to
 * 1 MB come and go, 25 MiB were needed with a half, 22 so. */
void rh_stash_bound(struct rh_lane *lane, uint64_t in_use, unsigned lanes)
{
	enum { SMALL_SHARE = 8, SMALL_MAX = 1024, RUNS_SHARE = 2 };
	uint64_t used = in_use >> TIER_PAGE_SHIFT, small = used / SMALL_SHARE;
	uint64_t all = TIER_WINDOW_PAGES, least = STASH_PAGES_ALL / (lanes ? lanes : 1);

	if (least < STASH_PAGES_MIN)
		least = STASH_PAGES_MIN;
	if (lanes > 1)
		all = (used / RUNS_SHARE < STASH_PAGES_MAX ? used / RUNS_SHARE : STASH_PAGES_MAX) /
		      lanes;
	small = small > SMALL_MAX ? SMALL_MAX : small;
	if (lane->heap->scavenger.policy == TIER_SCAVENGE_EAGER)
		all = small; /* which wants to see what is free */
	lane->stash_small_max = (uint32_t)(small < least ? least : small);
	lane->stash_pages_max = (uint32_t)(all < least ? least : all);
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

/* ---- small spans ---- */

static struct mspan *with_pages(struct rh_lane *lane, uintptr_t page, size_t page_count)
{
	struct mspan *span = lane->span_cache[--lane->span_cache_count];

	span->base = lane->heap->window + (page << TIER_PAGE_SHIFT);
	span->page_count = (uint32_t)page_count;
	return span;
}

void rh_stash_pages(struct rh_lane *lane, uintptr_t page, size_t page_count)
{
	struct mspan *span = with_pages(lane, page, page_count);

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

struct mspan *rh_stash_take_near(struct rh_lane *lane, size_t page_count, size_t slack)
{
	struct mspan *span = rh_stash_find(lane, page_count);

	if (!span || span->page_count - page_count > slack)
		return NULL;
	rh_stash_remove(lane, span);
	rh_debug_assert(span->page_count >= page_count);
	atomic_store_explicit(&span->owner, NULL, memory_order_relaxed);
	return span;
}

/* ---- runs ---- */

/* The run of this stash that the map of pages has there, or NULL. It is asked for its state first:
 * whoever stashes a span writes the owner before. */
static inline struct mspan *run_at(const struct rh_lane *lane, size_t page)
{
	struct mspan *span = page < TIER_WINDOW_PAGES ? tier_load(&lane->heap->spans[page]) : NULL;

	if (!span || rh_span_state(span) != SPAN_DEAD ||
	    atomic_load_explicit(&span->owner, memory_order_relaxed) != lane)
		return NULL;
	return span;
}

/* Takes a run out, whose pages become part of another. */
static inline void join(struct rh_lane *lane, struct mspan *run)
{
	rh_debug_assert(rh_span_state(run) == SPAN_DEAD);
	rh_debug_assert(lane->span_cache_count < SPAN_CACHE_MAX);
	rh_stash_unlink(lane, run);
	atomic_store_explicit(&run->owner, NULL, memory_order_relaxed);
	lane->span_cache[lane->span_cache_count++] = run;
	tier_add(&lane->n.stash_joins, 1);
}

/* Puts a dead span that is in no list where it belongs. The pages are counted by the caller. */
static inline void place_run(struct rh_lane *lane, struct mspan *span)
{
	struct mspan **at = &lane->heap->spans[rh_page_index(lane->heap, span->base)];

	rh_debug_assert(span->page_count > 0 && span->page_count < STASH_LENGTHS);
	tier_store(at, span);
	tier_store(at + span->page_count - 1, span);
	atomic_store_explicit(&span->owner, lane, memory_order_relaxed);
	rh_span_set_state(span, SPAN_DEAD);
	rh_stash_link(lane, span);
}

static __attribute__((noinline)) void halve_span_cache(struct rh_lane *lane)
{
	rh_lock(&lane->heap->lock);
	rh_span_cache_halve(lane->heap, lane);
	rh_unlock(&lane->heap->lock);
}

/* Inline in rh_stash_put, where most runs come from. */
static inline __attribute__((always_inline)) void give(struct rh_lane *lane, struct mspan *span)
{
	size_t first = rh_page_index(lane->heap, span->base);
	uint32_t page_count = span->page_count;
	struct mspan *run;

	lane->stash_pages += page_count;
	if (tier_unlikely(lane->span_cache_count + 2 > SPAN_CACHE_MAX))
		halve_span_cache(lane);
	run = run_at(lane, first + page_count);
	if (run && run->base == span->base + rh_span_bytes(span) &&
	    run->page_count + page_count < STASH_LENGTHS) {
		join(lane, run);
		page_count += run->page_count;
	}
	run = run_at(lane, first - 1);
	if (run && run->base + rh_span_bytes(run) == span->base &&
	    run->page_count + page_count < STASH_LENGTHS) {
		join(lane, run);
		span->base = run->base;
		page_count += run->page_count;
	}
	span->page_count = page_count;
	span->spc = 1;
	place_run(lane, span);
}

void rh_stash_give(struct rh_lane *lane, struct mspan *span)
{
	give(lane, span);
}

void rh_stash_run(struct rh_lane *lane, uintptr_t page, size_t page_count)
{
	rh_stash_give(lane, with_pages(lane, page, page_count));
}

/* The lowest of the runs that are long enough, or of the first LOOKS of them: a hundred
 * instructions more than one of the shortest, and longer runs stay free above. */
static __attribute__((noinline)) struct mspan *lowest(const struct rh_lane *lane, size_t page_count)
{
	enum { LOOKS = 64 };
	unsigned looks = LOOKS, first = rh_stash_bin(page_count), bin;
	struct mspan *best = NULL;

	for (unsigned word = first / 64; word < STASH_WORDS; word++) {
		uint64_t bins = lane->stash_bins[word];

		if (word == first / 64)
			bins &= ~(uint64_t)0 << first % 64;
		for (; bins && looks; bins &= bins - 1) {
			struct mspan *span;

			bin = word * 64 + (unsigned)__builtin_ctzll(bins);
			for (span = lane->stash[bin]; span && looks; span = span->next, looks--) {
				if (span->page_count >= page_count &&
				    (!best || span->base < best->base))
					best = span;
			}
		}
	}
	return best;
}

struct mspan *rh_stash_take(struct rh_lane *lane, size_t page_count)
{
	struct mspan *span = rh_stash_find(lane, page_count), *rest;

	if (span && lane->by_address)
		span = lowest(lane, page_count);
	if (!span)
		return NULL;
	if (tier_unlikely(span->page_count > page_count && !lane->span_cache_count))
		return NULL;
	if (tier_unlikely(!rh_stash_is_run(span)))
		lane->stash_small -= span->page_count;
	if (span->page_count > page_count) {
		rest = lane->span_cache[--lane->span_cache_count];
		rest->base = span->base + (page_count << TIER_PAGE_SHIFT);
		rest->page_count = span->page_count - (uint32_t)page_count;
		rest->spc = 1;
		rh_stash_unlink(lane, span);
		span->page_count = (uint32_t)page_count;
		place_run(lane, rest);
		tier_add(&lane->n.stash_cuts, 1);
	} else {
		rh_stash_unlink(lane, span);
	}
	rh_debug_assert(span->page_count == page_count && lane->stash_pages >= page_count);
	lane->stash_pages -= (uint32_t)page_count;
	atomic_store_explicit(&span->owner, NULL, memory_order_relaxed);
	return span;
}

/* The run is cut off the stash; what the block does not need of the pages it had goes back. */
size_t rh_stash_lower(struct rh_lane *lane, uint32_t *page, size_t page_count)
{
	struct mspan *run = *page ? run_at(lane, *page - 1) : NULL;
	size_t lower;

	if (!run || rh_page_index(lane->heap, run->base) + run->page_count != *page ||
	    lane->span_cache_count == SPAN_CACHE_MAX || run->page_count >= page_count)
		return 0;
	lower = run->page_count;
	rh_debug_assert(lower <= *page && lane->stash_pages >= lower);
	lane->stash_pages -= run->page_count;
	join(lane, run);
	*page -= (uint32_t)lower;
	return lower;
}

bool rh_stash_extend(struct rh_lane *lane, struct mspan *span, size_t more)
{
	struct rh_heap *heap = lane->heap;
	size_t next = rh_page_index(heap, span->base) + span->page_count;
	struct mspan *run = lane->keeps_large ? run_at(lane, next) : NULL;

	if (!run || run->base != span->base + rh_span_bytes(span) || run->page_count < more ||
	    lane->span_cache_count == SPAN_CACHE_MAX)
		return false;
	rh_debug_assert(more > 0 && lane->stash_pages >= more);
	lane->stash_pages -= (uint32_t)more;
	if (run->page_count == more) {
		join(lane, run);
	} else {
		rh_stash_unlink(lane, run);
		run->base += more << TIER_PAGE_SHIFT;
		run->page_count -= (uint32_t)more;
		place_run(lane, run);
	}
	for (size_t i = 0; i < more && TIER_DEBUG; i++)
		tier_store(&heap->spans[next + i], span);
	span->page_count += (uint32_t)more;
	tier_add(&lane->d_in_use, (int64_t)(more << TIER_PAGE_SHIFT));
	return true;
}

/* ---- runs and the page heap ---- */

/* All that is in memory in runs that a large block could use goes into the stash: runs that lie
 * here beside others that lie there would not be joined. */
void rh_stash_gather(struct rh_heap *heap, struct rh_lane *lane)
{
	enum { LEAST = 5, VISITS = 64 };
	uint32_t at = heap->pages.search, stale = TIER_NO_PAGE;
	size_t count;

	rh_debug_assert(rh_lock_held(&heap->lock));
	for (int i = 0; i < VISITS && lane->stash_pages < lane->stash_pages_max; i++) {
		if (lane->span_cache_count + 2 > SPAN_CACHE_MAX)
			rh_span_cache_halve(heap, lane);
		count = lane->stash_pages_max - lane->stash_pages;
		count = rh_pages_next_run(heap, &at, LEAST,
					  count < STASH_LENGTHS ? count : STASH_LENGTHS - 1);
		if (!count || !rh_span_cache_refill(heap, lane))
			break;
		rh_pages_take_next(heap, at, count, &stale);
		rh_stash_run(lane, at, count);
		at += (uint32_t)count;
	}
	rh_pages_next_end(heap, stale);
}

/* Whether as much was freed since the stash went back last as makes up for that: a heap that grows
 * would do so at each block. */
bool rh_stash_may_trim(struct rh_lane *lane, size_t page_count)
{
	uint64_t puts = tier_load(&lane->n.stash_puts);

	if (lane->stash_pages < page_count / 4 ||
	    puts - lane->trimmed_puts < 16 + lane->stash_pages / 16)
		return false;
	lane->trimmed_puts = puts;
	return true;
}

/* ---- what comes in, and when it goes back ---- */

static inline bool too_much(const struct rh_lane *lane)
{
	return lane->stash_pages > lane->stash_pages_max ||
	       lane->stash_small > lane->stash_small_max;
}

/* What serves from here alone must not hide that a heap has shrunk for good. */
static __attribute__((noinline)) void look(struct rh_lane *lane)
{
	struct rh_heap *heap = lane->heap;
	uint64_t seen = (uint64_t)lane->unseen_pages << TIER_PAGE_SHIFT;
	size_t due;

	lane->unseen_pages = 0;
	rh_lock(&heap->lock);
	rh_heap_fold(heap, lane);
	due = rh_scavenge_due(heap);
	if (too_much(lane)) {
		size_t small = lane->stash_small > lane->stash_small_max / 2
				       ? lane->stash_small - lane->stash_small_max / 2
				       : 0;
		size_t all = lane->stash_pages > lane->stash_pages_max ? lane->stash_pages_max / 2
								       : lane->stash_pages - small;

		rh_stash_trim_to(heap, lane, all, false);
		tier_add(&lane->n.stash_trims, 1);
	} else if (due && lane->stash_pages) {
		rh_stash_trim_to(heap, lane, lane->stash_pages > due ? lane->stash_pages - due : 0,
				 true);
		tier_add(&lane->n.stash_trims, 1);
	}
	rh_scavenge_freed(heap, lane, seen);
	rh_unlock(&heap->lock);
}

void rh_stash_put(struct rh_lane *lane, struct mspan *span)
{
	struct rh_heap *heap = lane->heap;
	uint32_t pages = span->page_count;

	rh_debug_assert(rh_span_state(span) == SPAN_IN_USE && !span->list);
	if (pages >= STASH_LENGTHS || pages > lane->stash_pages_max || heap->knobs.limit) {
		rh_span_free(lane, span);
		return;
	}
	rh_poison((void *)span->base, rh_span_bytes(span));
	tier_add(&lane->d_in_use, -(int64_t)rh_span_bytes(span));
	tier_add(&lane->n.stash_puts, 1);
	if (span->spc < 2 && lane->keeps_large) {
		give(lane, span);
	} else {
		if (span->spc > 1)
			memset(heap->bin_map + rh_page_index(heap, span->base), 0,
			       pages * sizeof(*heap->bin_map));
		atomic_store_explicit(&span->owner, NULL, memory_order_relaxed);
		rh_span_set_state(span, SPAN_DEAD);
		rh_stash_push(lane, span);
	}
	lane->unseen_pages += pages;
	if (too_much(lane) || lane->unseen_pages >= STASH_LOOK_PAGES)
		look(lane);
}

const char *rh_stash_check(const struct rh_lane *lane)
{
	uint64_t pages = 0;

	for (unsigned bin = 0; bin < STASH_BINS; bin++) {
		const struct mspan *before = NULL;

		if ((lane->stash[bin] != NULL) != (lane->stash_bins[bin / 64] >> bin % 64 & 1))
			return "a bin of the stash and its bit differ";
		for (const struct mspan *span = lane->stash[bin]; span; span = span->next) {
			size_t first = rh_page_index(lane->heap, span->base);

			if (rh_span_state(span) != SPAN_DEAD || span->prev != before ||
			    rh_stash_bin(span->page_count) != bin)
				return "a span of the stash is not where it should be";
			if (lane->heap->spans[first] != span ||
			    (atomic_load(&span->owner) == lane &&
			     lane->heap->spans[first + span->page_count - 1] != span))
				return "the map of pages does not know a span of the stash";
			pages += span->page_count;
			before = span;
		}
	}
	return pages == lane->stash_pages ? NULL : "the stash's pages and its count differ";
}
