/*
 * mheap.c - spans out of pages.
 *
 * A request for n pages goes, until one answers, to
 *  1. the lane's stash of empty spans of that length (gc=explicit, stash.h)	no lock
 *  2. the lane's page cache, when n < 16				no lock
 *  3. under mheap.lock: the same cache refilled, the page heap, new pages
 *     from the system (arena.c)						one lock
 *     (gc=explicit: a few more spans of that length go into the stash)
 * and brings a span struct from the lane's span cache, refilled by 64 under the lock. With
 * explicit frees large blocks pass 2 by, and in 3 pages that are in memory come before others,
 * even if the stash has to go back for it.
 *
 * Bytes: HeapSys + StackInuse = grown; each byte of it is in use by a heap span, by a stack,
 * released to the system, or free, as pages in a page cache or a stash are. A lane books its
 * changes in d_* and folds them in when it holds the lock.
 *
 * A small heap uses what it has before it grows: the lane's bins of larger blocks and its empty
 * spans go to the page heap first (rh_explicit_unpark), as its stash does.
 */
#include "alloc/heap/tiered/mheap.h"

#include <assert.h>
#include <string.h>

#include "alloc/base/debug.h"
#include "alloc/heap/tiered/bins.h"
#include "alloc/heap/tiered/explicit.h"
#include "alloc/heap/tiered/page_map.h"
#include "alloc/heap/tiered/poison.h"
#include "alloc/heap/tiered/stash.h"

const struct rh_lock_class rh_mheap_lock_class = { "mheap", TIER_RANK_HEAP, 0 };

void rh_heap_fold(struct rh_heap *heap, struct rh_lane *lane)
{
	rh_debug_assert(rh_lock_held(&heap->lock));
	heap->in_use_bytes += (uint64_t)lane->d_in_use;
	heap->stack_bytes += (uint64_t)lane->d_stack;
	heap->released_bytes += (uint64_t)lane->d_released;
	rh_stash_bound(lane, heap->in_use_bytes, heap->lane_count);
	lane->bin_bytes = rh_bin_bytes(heap->in_use_bytes, heap->lane_count);
	tier_store(&lane->d_in_use, 0);
	tier_store(&lane->d_stack, 0);
	tier_store(&lane->d_released, 0);
}

/* ---- pages ---- */

struct found {
	struct mspan *span;
	uint32_t page;
	size_t scav_pages;
	bool released;	/* from the page heap, and every page was given back before */
	bool zero;	/* every page is known to read as zero */
	unsigned spare; /* as many more runs of the same length follow */
	bool large;	/* for a large block, by the rules of its own: see large_page_count */
	bool unparked;	/* the lane has given up what it could */
};

static uint64_t run_mask(size_t page_count)
{
	rh_debug_assert(page_count < 64);
	return ((uint64_t)1 << page_count) - 1;
}

/* Pages given back read as zero; Go knows it since 1.26, malloc's callers always may. */
bool rh_released_is_zero(const struct rh_heap *heap)
{
	return heap->profile->zero_scavenged ||
	       (heap->gc == TIER_GC_EXPLICIT && !heap->profile->madv_free);
}

/* Lowest run of page_count bits in the cache; does not cross its word. */
static bool from_page_cache(struct rh_lane *lane, size_t page_count, struct found *found)
{
	struct page_cache *cache = &lane->pcache;
	uint64_t fits = cache->free, mask;
	unsigned at;

	rh_debug_assert(page_count && page_count < PCACHE_SPAN_PAGES);
	for (size_t have = 1; have < page_count; have++)
		fits &= cache->free >> have;
	if (!fits)
		return false;
	at = (unsigned)__builtin_ctzll(fits);
	mask = run_mask(page_count) << at;
	found->page = cache->page + at;
	found->scav_pages = (size_t)__builtin_popcountll(cache->scav & mask);
	found->zero = (cache->fresh & mask) == mask ||
		      (lane->released_zero && found->scav_pages == page_count);
	rh_debug_assert((cache->free & mask) == mask && mask);
	cache->free &= ~mask;
	cache->scav &= ~mask;
	return true;
}

static bool pages_once(struct rh_heap *heap, size_t page_count, struct found *found)
{
	rh_debug_assert(rh_lock_held(&heap->lock));
	if (heap->profile->radix) {
		found->page = rh_pages_alloc(heap, page_count, &found->scav_pages);
		found->released = found->scav_pages == page_count;
		return found->page != TIER_NO_PAGE;
	}
	found->span = rh_lists_alloc(heap, page_count, &found->scav_pages, &found->released);
	if (found->span)
		found->page = (uint32_t)rh_page_index(heap, found->span->base);
	return found->span != NULL;
}

/* For many: see rh_pages_free_next. */
static void free_next(struct rh_heap *heap, struct rh_lane *lane, struct mspan *span,
		      uint32_t *stale)
{
	rh_debug_assert(rh_lock_held(&heap->lock));
	rh_poison((void *)span->base, rh_span_bytes(span));
	rh_unmap_pages(heap, span);
	if (!heap->profile->radix) {
		rh_lists_free(heap, span, 0);
		return;
	}
	rh_pages_free_next(heap, (uint32_t)rh_page_index(heap, span->base), span->page_count,
			   stale);
	rh_span_drop(heap, lane, span);
}

uint64_t rh_stash_trim_to(struct rh_heap *heap, struct rh_lane *lane, size_t pages_left,
			  bool longest)
{
	uint32_t had = lane->stash_pages, stale = TIER_NO_PAGE;
	struct mspan *span;

	rh_debug_assert(rh_lock_held(&heap->lock));
	while (lane->stash_pages > pages_left &&
	       (span = longest ? rh_stash_longest(lane) : rh_stash_find(lane, 1))) {
		rh_stash_remove(lane, span);
		free_next(heap, lane, span, &stale);
	}
	rh_pages_next_end(heap, stale);
	return (uint64_t)(had - lane->stash_pages) << TIER_PAGE_SHIFT;
}

/* Everything the lane holds in its stash goes back. */
uint64_t rh_stash_trim(struct rh_heap *heap, struct rh_lane *lane)
{
	uint64_t bytes = rh_stash_trim_to(heap, lane, 0, false);

	rh_debug_assert(lane->stash_pages == 0);
	return bytes;
}

/* Up to 15 pages as above; but before any that are not in memory, those that the lane keeps.
 * Larger runs, which are large blocks mostly, keep less of the stash than they cost: parts
 * of them are often never touched, so they may as well lie where nothing was. */
static bool pages_resident_first(struct rh_lane *lane, size_t page_count, struct found *found)
{
	struct rh_heap *heap = lane->heap;

	if (!pages_once(heap, page_count, found))
		return false;
	if (page_count >= PCACHE_SPAN_PAGES || !found->released || !lane->stash_pages ||
	    !heap->profile->radix)
		return true;
	rh_pages_take_back(heap, found->page, page_count);
	rh_stash_trim(heap, lane);
	return pages_once(heap, page_count, found);
}

/* A large block: of pages in memory if there is a run of them, in the page heap, or in what it and
 * the stash are together. */
static bool large_resident_first(struct rh_lane *lane, size_t page_count, struct found *found)
{
	struct rh_heap *heap = lane->heap;
	bool trim = false;
	size_t lower;

	rh_debug_assert(rh_lock_held(&heap->lock));
	found->page = rh_pages_alloc_where(heap, page_count, true, &found->scav_pages);
	if (found->page == TIER_NO_PAGE) {
		trim = rh_stash_may_trim(lane, page_count);
		if (trim)
			rh_stash_trim(heap, lane);
		if (!pages_once(heap, page_count, found))
			return false;
		lower = found->released ? rh_stash_lower(lane, &found->page, page_count) : 0;
		if (lower) {
			rh_pages_take_back(heap, found->page + (uint32_t)page_count, lower);
			found->scav_pages -= lower;
			found->released = false;
		}
	}
	if (trim || !found->scav_pages)
		rh_stash_gather(heap, lane);
	return true;
}

/* Pages from the page heap; when there are none, what the lane holds back, then new
 * ones. Heap lock held. */
static bool pages_locked(struct rh_heap *heap, struct rh_lane *lane, size_t page_count,
			 struct found *found)
{
	if (found->large ? large_resident_first(lane, page_count, found)
			 : pages_resident_first(lane, page_count, found))
		return true;
	if (lane->stash_pages >= page_count) {
		rh_stash_trim(heap, lane);
		if (pages_once(heap, page_count, found))
			return true;
	}
	if (rh_arenas_grow(heap, page_count) && pages_once(heap, page_count, found))
		return true;
	rh_stash_trim(heap, lane);
	if (heap->profile->radix)
		rh_pages_flush_cache(heap, &lane->pcache);
	return pages_once(heap, page_count, found);
}

static void stash_spares(struct rh_lane *lane, size_t page_count, const struct found *found)
{
	for (unsigned i = 1; i <= found->spare; i++)
		rh_stash_pages(lane, found->page + i * page_count, page_count);
}

/* What follows the run that was found, when it is free: first fit for one run and not for all of
 * them, or they would be laid where nothing was yet while runs of one length lie free below. */
static void take_spares(struct rh_lane *lane, size_t page_count, unsigned spares,
			struct found *found)
{
	size_t more = spares * page_count, scav;
	uint32_t next = found->page + (uint32_t)page_count;

	rh_debug_assert(rh_lock_held(&lane->heap->lock));
	if (lane->span_cache_count <= spares || next + more > TIER_WINDOW_PAGES ||
	    !rh_pages_take_at(lane->heap, next, more, &scav))
		return;
	found->spare = spares;
	found->scav_pages += scav;
	found->released = found->scav_pages == page_count + more;
}

/* A span of up to 15 pages that the page cache had no run for: several at once, for the
 * next will not fit either. Only from pages that are there. Heap lock held. */
static bool several_locked(struct rh_lane *lane, size_t page_count, struct found *found)
{
	enum { SPARES = 3 };
	struct rh_heap *heap = lane->heap;

	rh_debug_assert(rh_lock_held(&heap->lock));
	if (heap->gc != TIER_GC_EXPLICIT || !heap->profile->radix || heap->knobs.limit ||
	    page_count >= PCACHE_SPAN_PAGES || found->large || !rh_span_cache_refill(heap, lane))
		return false;
	/* Not while single pages of the last time are left: a program of spans of 2 to 8 pages
	 * would put every page there is into the stash, one by one. */
	if (lane->pcache.free && !lane->stash[1] &&
	    lane->span_cache_count > (unsigned)__builtin_popcountll(lane->pcache.free)) {
		rh_stash_page_cache(lane);
		rh_span_cache_refill(heap, lane);
		rh_pages_fill_cache(heap, &lane->pcache, rh_page_cache_max(heap));
		tier_add(&lane->n.pcache_refills, 1);
		if (from_page_cache(lane, page_count, found))
			return true;
	}
	if (!pages_resident_first(lane, page_count, found))
		return false;
	take_spares(lane, page_count, SPARES, found);
	return true;
}

/* Each time that the heap has grown by a sixteenth: at every span it would cost a small heap 1 % of
 * its instructions. Heap lock held. */
static bool unparks(struct rh_heap *heap, struct rh_lane *lane)
{
	uint64_t in_memory = heap->arenas.grown_bytes - heap->released_bytes;

	rh_debug_assert(rh_lock_held(&heap->lock));
	if (in_memory < lane->unpark_from)
		return false;
	lane->unpark_from = in_memory + in_memory / 16 + TIER_PAGE;
	return rh_explicit_parks(lane);
}

static bool find_locked(struct rh_lane *lane, size_t page_count, struct found *found);

/* Nothing in memory was free: once more, with what the lane parks. */
static bool find_unparked(struct rh_lane *lane, size_t page_count, struct found *found)
{
	*found = (struct found){ .page = TIER_NO_PAGE, .large = found->large, .unparked = true };
	rh_explicit_unpark(lane);
	return find_locked(lane, page_count, found);
}

/* The locked part of a request: whatever `found` still lacks. */
static bool find_locked(struct rh_lane *lane, size_t page_count, struct found *found)
{
	struct rh_heap *heap = lane->heap;
	uint64_t grown;
	size_t all;
	bool ok = true;

	rh_lock(&heap->lock);
	grown = heap->arenas.grown_bytes;
	rh_heap_fold(heap, lane);
	if (found->page == TIER_NO_PAGE) {
		tier_add(&lane->n.heap_allocs, 1);
		ok = several_locked(lane, page_count, found) ||
		     (rh_limit_admits(heap, page_count) &&
		      pages_locked(heap, lane, page_count, found));
		all = page_count * (1 + found->spare);
		if (ok && found->released && !found->unparked && unparks(heap, lane)) {
			rh_pages_take_back(heap, found->page, all);
			rh_unlock(&heap->lock);
			return find_unparked(lane, page_count, found);
		}
		if (ok && !found->zero)
			found->zero = rh_arena_fresh(heap, found->page, all) ||
				      (rh_released_is_zero(heap) && found->released);
	}
	if (ok && !found->span) {
		ok = rh_span_cache_refill(heap, lane);
		if (ok) {
			found->span = lane->span_cache[--lane->span_cache_count];
		} else {
			heap->released_bytes -= (uint64_t)found->scav_pages << TIER_PAGE_SHIFT;
			rh_pages_free(heap, found->page, page_count);
		}
	}
	heap->refused += !ok;
	if (ok && found->scav_pages)
		rh_scavenge_before_growth(heap, lane, found->scav_pages);
	if (heap->arenas.grown_bytes > grown)
		rh_scavenge_freed(heap, lane, heap->arenas.grown_bytes - grown);
	rh_unlock(&heap->lock);
	return ok;
}

static void refill_page_cache(struct rh_lane *lane)
{
	struct rh_heap *heap = lane->heap;

	rh_lock(&heap->lock);
	rh_heap_fold(heap, lane);
	rh_pages_fill_cache(heap, &lane->pcache, rh_page_cache_max(heap));
	/* None of them in memory: first what the lane keeps. */
	if (lane->pcache.scav == lane->pcache.free && unparks(heap, lane)) {
		rh_pages_flush_cache(heap, &lane->pcache);
		rh_unlock(&heap->lock);
		rh_explicit_unpark(lane);
		rh_lock(&heap->lock);
		rh_heap_fold(heap, lane);
		rh_pages_fill_cache(heap, &lane->pcache, rh_page_cache_max(heap));
	}
	if (lane->stash_pages && lane->pcache.scav == lane->pcache.free) {
		rh_pages_flush_cache(heap, &lane->pcache);
		rh_stash_trim(heap, lane);
		rh_pages_fill_cache(heap, &lane->pcache, rh_page_cache_max(heap));
	}
	rh_span_cache_refill(heap, lane);
	rh_unlock(&heap->lock);
	tier_add(&lane->n.pcache_refills, 1);
}

/* Steps 2 and 3 of the story. */
static bool find_pages(struct rh_lane *lane, size_t page_count, unsigned spc, struct found *found)
{
	struct rh_heap *heap = lane->heap;
	bool lock_large = spc < 2 && !heap->profile->large_pcache;

	*found = (struct found){ .page = TIER_NO_PAGE, .large = spc < 2 && rh_keeps_large(heap) };
	if (heap->profile->pcache && page_count < PCACHE_SPAN_PAGES && !heap->knobs.limit &&
	    !found->large) {
		if (!lane->pcache.free)
			refill_page_cache(lane);
		if (from_page_cache(lane, page_count, found)) {
			tier_add(&lane->n.pcache_hits, 1);
			if (lane->span_cache_count && !lock_large)
				found->span = lane->span_cache[--lane->span_cache_count];
		} else {
			tier_add(&lane->n.pcache_misses, 1);
		}
	}
	return (found->page != TIER_NO_PAGE && found->span) || find_locked(lane, page_count, found);
}

/* ---- spans ---- */

/* Turns found pages into a span of class spc. */
static struct mspan *set_up(struct rh_lane *lane, size_t page_count, unsigned spc,
			    const struct found *found)
{
	struct rh_heap *heap = lane->heap;
	struct mspan *span = found->span;

	rh_debug_assert(found->page + page_count <= TIER_WINDOW_PAGES);
	span->base = heap->window + ((uintptr_t)found->page << TIER_PAGE_SHIFT);
	span->page_count = (uint32_t)page_count;
	span->needzero = !found->zero;
	atomic_store_explicit(&span->owner, NULL, memory_order_relaxed);
	tier_add(&lane->d_released, -(int64_t)(found->scav_pages << TIER_PAGE_SHIFT));
	tier_add(&lane->d_in_use, (int64_t)(page_count << TIER_PAGE_SHIFT));
	if (!rh_span_bits(lane, span, spc)) {
		rh_span_set_state(span, SPAN_IN_USE);
		span->spc = (uint8_t)spc;
		rh_span_free(lane, span);
		return NULL;
	}
	rh_span_init(heap, span, spc);
	rh_map_pages(heap, span);
	rh_debug_assert(rh_span_of(heap, (const void *)span->base) == span);
	return span;
}

static struct mspan *from_stash(struct rh_lane *lane, size_t page_count, unsigned spc)
{
	bool run = spc < 2 && lane->keeps_large;
	struct mspan *span;

	if (!lane->stash_pages)
		return NULL;
	span = run ? rh_stash_take(lane, page_count)
		   : rh_stash_take_near(lane, page_count, spc < 2 ? page_count / LARGE_STEP : 0);
	if (!span)
		return NULL;
	if (!rh_span_bits(lane, span, spc)) {
		if (run)
			rh_stash_give(lane, span);
		else
			rh_stash_push(lane, span);
		return NULL;
	}
	span->needzero = 1;
	rh_span_init(lane->heap, span, spc);
	rh_map_pages(lane->heap, span);
	tier_add(&lane->d_in_use, (int64_t)rh_span_bytes(span));
	tier_add(&lane->n.stash_hits, 1);
	return span;
}

struct mspan *rh_span_alloc(struct rh_lane *lane, size_t page_count, unsigned spc)
{
	struct mspan *span;
	struct found found;

	if (spc < 2 && rh_keeps_large(lane->heap))
		page_count = rh_large_page_count(page_count);
	span = from_stash(lane, page_count, spc);
	if (span)
		return span;
	if (!find_pages(lane, page_count, spc, &found))
		return NULL;
	stash_spares(lane, page_count, &found);
	return set_up(lane, page_count, spc, &found);
}

/* Returns the pages before or after the aligned part. Heap lock held. */
static void cut(struct rh_heap *heap, uint32_t page, size_t page_count)
{
	struct mspan *span;

	rh_debug_assert(rh_lock_held(&heap->lock));
	if (!page_count)
		return;
	if (heap->profile->radix) {
		rh_pages_free(heap, page, page_count);
		return;
	}
	span = rh_fixalloc(&heap->span_alloc);
	if (!span) {
		/* no struct to keep them by: a few pages that nobody has until close */
		heap->pages.nobodys += page_count;
		return;
	}
	span->base = heap->window + ((uintptr_t)page << TIER_PAGE_SHIFT);
	span->page_count = (uint32_t)page_count;
	rh_lists_free(heap, span, 0);
}

struct mspan *rh_span_alloc_aligned(struct rh_lane *lane, size_t page_count, size_t align_pages,
				    unsigned spc)
{
	struct rh_heap *heap = lane->heap;
	size_t all = page_count + align_pages - 1;
	struct found found = { .page = TIER_NO_PAGE };
	uintptr_t address;
	size_t head, tail;

	if (align_pages <= 1)
		return rh_span_alloc(lane, page_count, spc);
	if (!find_locked(lane, all, &found))
		return NULL;
	stash_spares(lane, all, &found);
	address = heap->window + ((uintptr_t)found.page << TIER_PAGE_SHIFT);
	head = -(address >> TIER_PAGE_SHIFT) & (align_pages - 1);
	tail = all - head - page_count;
	assert(head + page_count <= all && tail < align_pages);
	rh_lock(&heap->lock);
	cut(heap, found.page, head);
	cut(heap, found.page + (uint32_t)(head + page_count), tail);
	rh_unlock(&heap->lock);
	found.page += (uint32_t)head;
	return set_up(lane, page_count, spc, &found);
}

struct mspan *rh_span_alloc_manual(struct rh_lane *lane, size_t page_count)
{
	int64_t bytes = (int64_t)(page_count << TIER_PAGE_SHIFT);
	struct mspan *span;
	struct found found;

	if (!find_pages(lane, page_count, TIER_SPC_MAX, &found))
		return NULL;
	stash_spares(lane, page_count, &found);
	span = found.span;
	span->base = lane->heap->window + ((uintptr_t)found.page << TIER_PAGE_SHIFT);
	span->page_count = (uint32_t)page_count;
	span->spc = 0;
	rh_span_set_state(span, SPAN_MANUAL);
	rh_map_pages(lane->heap, span);
	tier_add(&lane->d_released, -(int64_t)(found.scav_pages << TIER_PAGE_SHIFT));
	tier_add(&lane->d_stack, bytes);
	rh_unpoison((void *)span->base, (size_t)bytes);
	return span;
}

void rh_span_free(struct rh_lane *lane, struct mspan *span)
{
	struct rh_heap *heap = lane->heap;
	int64_t bytes = (int64_t)rh_span_bytes(span);
	uint32_t stale = TIER_NO_PAGE;

	rh_debug_assert(rh_span_state(span) == SPAN_MANUAL || rh_span_state(span) == SPAN_IN_USE);
	rh_lock(&heap->lock);
	tier_add(rh_span_state(span) == SPAN_MANUAL ? &lane->d_stack : &lane->d_in_use, -bytes);
	tier_add(&lane->n.heap_frees, 1);
	rh_heap_fold(heap, lane);
	free_next(heap, lane, span, &stale);
	rh_pages_next_end(heap, stale);
	rh_scavenge_freed(heap, lane, (uint64_t)bytes);
	rh_unlock(&heap->lock);
}

/* All pages that the lane keeps for itself. Heap lock held. */
static void give_pages(struct rh_heap *heap, struct rh_lane *lane)
{
	rh_debug_assert(rh_lock_held(&heap->lock));
	rh_heap_fold(heap, lane);
	rh_stash_trim(heap, lane);
	if (heap->profile->radix)
		rh_pages_flush_cache(heap, &lane->pcache);
}

void rh_lane_trim_pages(struct rh_lane *lane)
{
	struct rh_heap *heap = lane->heap;

	rh_lock(&heap->lock);
	give_pages(heap, lane);
	rh_scavenge_all(heap);
	rh_unlock(&heap->lock);
}

void rh_lane_drain_pages(struct rh_lane *lane)
{
	struct rh_heap *heap = lane->heap;

	rh_lock(&heap->lock);
	give_pages(heap, lane);
	while (lane->span_cache_count)
		rh_fixalloc_free(&heap->span_alloc, lane->span_cache[--lane->span_cache_count]);
	rh_scavenge_freed(heap, lane, 0);
	rh_unlock(&heap->lock);
}
