/*
 * lane.c - opening and closing heaps and lanes.
 *
 * A heap is one zeroed mapping, and arenas; the maps of pages are as long as the 64 GiB window
 * and cost memory only where pages exist. A small heap of one lane touches eight pages of it:
 *
 *	heap, span structs	2	lane	3	(a page more for each 32 spans after 14)
 *	spans by page, and structs by number	1	bins by page, and bitmaps of chunks	1
 *	other tables, and the first bitmaps of spans	1
 *
 * A lane comes from fixalloc under the heap lock and goes back there: ten thousand lanes one
 * after another use the same memory.
 */
#include "alloc/heap/tiered/lane.h"

#include <assert.h>
#include <string.h>

#include "alloc/base/debug.h"
#include "alloc/heap/tiered/bins.h"
#include "alloc/heap/tiered/collect.h"
#include "alloc/heap/tiered/explicit.h"
#include "alloc/heap/tiered/mheap.h"
#include "alloc/heap/tiered/serves.h"
#include "alloc/heap/tiered/stash.h"

static const struct rh_lock_class bits_lock_class = { "gcBits", TIER_RANK_BITS, 0 };

static void record_span(void *ctx, void *object)
{
	struct rh_heap *heap = ctx;
	uint32_t count = atomic_load_explicit(&heap->all_span_count, memory_order_relaxed);

	assert(count < TIER_WINDOW_PAGES); /* a struct a page is the most there can be */
	/* The entry before the count, and released: whoever walks all spans without
	 * the lock reads only entries that are there. */
	heap->spans[-1 - (ptrdiff_t)count] = object;
	atomic_store_explicit(&heap->all_span_count, count + 1, memory_order_release);
}

/* Of the page that two tables share, what the lower one has: 128 structs, 8 chunks. */
enum { PART_OF_PAGE = 1024 };

/* Two tables of which a small heap uses the first entries only: one grows downwards from the
 * address returned and the other upwards, so that these lie in one page. */
static void *back_to_back(struct persistent *from, size_t below, size_t part, size_t above)
{
	char *base = rh_persistent_alloc(from, below + part + above, RH_CACHE_LINE);

	assert(below % RH_PAGE == 0 && part < RH_PAGE);
	return base ? base + below + part : NULL;
}

/* The tables of the page heap and of arenas, of which a small heap uses the first entries only: the
 * first bitmaps of spans and the chunks' summaries share their page. The levels above those are
 * written when the tree is walked, which a small heap does not do. */
static int open_tables(struct rh_heap *heap)
{
	struct persistent *from = &heap->persistent;
	struct arenas *arenas = &heap->arenas;
	bool radix = heap->profile->radix;

	arenas->owned = rh_persistent_alloc(from, TIER_WINDOW_ARENAS, RH_PAGE);
	arenas->zero_from = rh_persistent_alloc(from, TIER_WINDOW_ARENAS * sizeof(uint16_t), 8);
	heap->bits_first = (uintptr_t)rh_persistent_alloc(from, TIER_BITS_FIRST, 8);
	for (unsigned level = TIER_LEVELS; level-- > 0 && radix;) {
		if (rh_pages_open_level(heap, level) < 0)
			return -1;
	}
	arenas->page_in_use = rh_persistent_alloc(from, TIER_WINDOW_PAGES / 8, 8);
	if (!arenas->zero_from || !arenas->owned || !arenas->page_in_use)
		return -1;
	return radix ? 0 : rh_lists_open(heap);
}

static int open_maps(struct rh_heap *heap)
{
	struct persistent *from = &heap->persistent;
	size_t pages = TIER_WINDOW_PAGES;

	/* Spans by page upwards and span structs downwards: both tables begin on the
	 * page in the middle, and a heap of a few MiB touches no other. */
	heap->spans = back_to_back(from, pages * sizeof(*heap->spans), PART_OF_PAGE,
				   pages * sizeof(*heap->spans));
	heap->bin_map = back_to_back(from, TIER_WINDOW_CHUNKS * sizeof(struct page_chunk),
				     PART_OF_PAGE, pages * sizeof(*heap->bin_map));
	if (!heap->spans || !heap->bin_map || open_tables(heap) < 0)
		return -1;
	heap->pages.chunks = (struct page_chunk *)(void *)heap->bin_map;
	heap->span_alloc = (struct fixalloc){
		/* Under the heap lock already, so their memory needs no second one. */
		.from = &heap->structs,
		.object_bytes = sizeof(struct mspan),
		.align = RH_CACHE_LINE,
		.first = record_span,
		.ctx = heap,
	};
	heap->lane_alloc = (struct fixalloc){
		.from = &heap->structs,
		.object_bytes = sizeof(struct rh_lane),
		.align = RH_PAGE,
		/* A lane comes back with the counts of the one before otherwise; span
		 * structs keep their bitmaps on purpose (mspan.c). */
		.zero = true,
	};
	/* The first of them behind the heap's own struct. */
	return rh_fixalloc_ahead(&heap->span_alloc) ? rh_arenas_open(heap) : -1;
}

/* One mapping has it all: the heap's struct, the first span structs and lanes, and the maps of
 * pages. */
enum { STRUCTS_BYTES = 1 << 18, TABLES_MORE = 1 << 20 };

size_t rh_heap_area_bytes(void)
{
	size_t pages = TIER_WINDOW_PAGES, heap = rh_page_up(sizeof(struct rh_heap) + RH_PAGE);

	return heap + STRUCTS_BYTES + 2 * pages * sizeof(struct mspan *) +
	       pages * sizeof(uint16_t) + TIER_WINDOW_CHUNKS * sizeof(struct page_chunk) +
	       TIER_WINDOW_CHUNKS * sizeof(uint64_t) + pages / 8 + TABLES_MORE;
}

static struct rh_heap *map_heap(void)
{
	const size_t hot = offsetof(struct rh_heap, profile);
	char *area = rh_map(rh_heap_area_bytes()), *structs, *tables;
	struct rh_heap *heap;

	if (!area)
		return NULL;
	/* What a small heap uses begins on a page. */
	heap = (struct rh_heap *)(void *)(area + (-hot & (RH_PAGE - 1)));
	heap->area = area;
	assert((uintptr_t)heap % RH_CACHE_LINE == 0 && (char *)heap < area + RH_PAGE);
	structs = (char *)(heap + 1);
	tables = structs + STRUCTS_BYTES;
	rh_persistent_init(&heap->structs, true, structs, STRUCTS_BYTES);
	rh_persistent_init(&heap->persistent, false, tables,
			   (size_t)(area + rh_heap_area_bytes() - tables));
	return heap;
}

int rh_tiered_open(struct rh_heap **out, const void *knobs, const struct rh_heap_env *env,
		   struct rh_err *err)
{
	struct rh_heap *heap = map_heap();

	(void)env;
	if (!heap)
		return rh_fail_errno(err, RH_OS, "tiered: no memory for the heap's own tables");
	heap->knobs = *(const struct tier_knobs *)knobs;
	heap->profile = &rh_tier_profiles[heap->knobs.profile];
	heap->gc = (enum tier_gc)heap->knobs.gc;
	heap->scavenger.policy = (enum tier_scavenge)heap->knobs.scavenge;
	/* No goal before there was a cycle or a window to take one from. */
	heap->scavenger.goal_bytes = UINT64_MAX;
	rh_classes_make(&heap->classes, heap->profile);
	rh_lock_init(&heap->lock, &rh_mheap_lock_class, 0);
	rh_lock_init(&heap->bits_lock, &bits_lock_class, 0);
	rh_gc_open(heap);
	if (rh_central_init(heap) < 0 || open_maps(heap) < 0) {
		rh_fail(err, RH_OS,
			"tiered: the system gives no address space for a heap "
			"(64 MiB and its maps); raise the limit of address space (ulimit -v)");
		rh_tiered_close(heap);
		return -1;
	}
	heap->whole = true;
	*out = heap;
	return 0;
}

void rh_tiered_close(struct rh_heap *heap)
{
	if (!heap)
		return;
	/* A heap whose opening failed lacks the tables that the check walks. */
	if (heap->whole)
		rh_tiered_check_debug(heap);
	rh_arenas_close(heap);
	rh_persistent_close(&heap->persistent);
	rh_persistent_close(&heap->structs);
	rh_unmap(heap->area, rh_heap_area_bytes());
}

/* ---- lanes ---- */

static void init_lane(struct rh_heap *heap, struct rh_lane *lane)
{
	lane->heap = heap;
	lane->bin_map =
		/* Biased by the window's first page, so that free needs a shift and a
		 * load and no subtraction. */
		(const char *)((uintptr_t)heap->bin_map - (heap->window >> TIER_PAGE_SHIFT) * 2);
	lane->keeps_large = rh_keeps_large(heap);
	lane->released_zero = rh_released_is_zero(heap);
	rh_serves_init(heap, lane);
	/* Full and of no class: the first alloc finds it used up, and the fast path
	 * never tests for NULL. */
	for (unsigned spc = 0; spc < TIER_SPC_MAX; spc++)
		lane->alloc[spc] = &heap->dummy;
	rh_bins_init(lane);
}

int rh_tiered_lane_open(struct rh_heap *heap, struct rh_lane **out, struct rh_err *err)
{
	struct rh_lane *lane;

	rh_lock(&heap->lock);
	lane = rh_fixalloc(&heap->lane_alloc);
	if (lane && heap->bits_first) {
		lane->bits_at = heap->bits_first;
		lane->bits_end = heap->bits_first + TIER_BITS_FIRST;
		heap->bits_first = 0;
	}
	rh_unlock(&heap->lock);
	if (!lane)
		return rh_fail(err, RH_OS, "tiered: no memory for another lane");
	init_lane(heap, lane);
	/* A stopped world must not miss a lane: joining waits for it. */
	rh_lock(&heap->gc_lock);
	rh_lock(&heap->lock);
	lane->next = heap->lanes;
	if (lane->next)
		lane->next->prev = lane;
	heap->lanes = lane;
	heap->lanes_opened++;
	if (++heap->lane_count > heap->lane_count_max)
		heap->lane_count_max = heap->lane_count;
	rh_unlock(&heap->lock);
	rh_unlock(&heap->gc_lock);
	*out = lane;
	return 0;
}

/* Adds what a closing lane counted to the heap's own counters. Heap lock held. */
static void retire_counters(struct rh_heap *heap, struct rh_lane *lane)
{
	rh_debug_assert(rh_lock_held(&heap->lock));
#define X(field, name, unit) heap->retired.field += lane->n.field;
	TIER_LANE_COUNTERS(X)
#undef X
	for (unsigned spc = 0; spc < TIER_SPC_MAX; spc++) {
		heap->retired_allocs[spc] += lane->bin[spc].allocs;
		heap->retired_misses[spc] += lane->bin[spc].misses;
		heap->retired_frees[spc] += lane->class_frees[spc];
	}
}

/* Everything that the lane keeps goes back first, outside of the heap lock where that
 * is possible: a lane that closes must not hold up those that work. */
void rh_tiered_lane_close(struct rh_lane *lane)
{
	struct rh_heap *heap = lane->heap;

	if (heap->gc == TIER_GC_EXPLICIT) {
		rh_explicit_drain(lane);
	} else {
		/* Spans go to mcentral, which a stopped world must not see half done. */
		rh_gc_enter(lane);
		rh_mcache_flush(lane, false);
		rh_gc_leave(lane);
	}
	rh_lock(&heap->gc_lock);
	rh_lane_drain_bits(lane);
	rh_lane_drain_pages(lane);
	rh_debug_assert(!lane->stash_pages && !lane->span_cache_count && !lane->pcache.free);
	rh_lock(&heap->lock);
	*(lane->prev ? &lane->prev->next : &heap->lanes) = lane->next;
	if (lane->next)
		lane->next->prev = lane->prev;
	assert(heap->lane_count > 0);
	heap->lane_count--;
	retire_counters(heap, lane);
	rh_fixalloc_free(&heap->lane_alloc, lane);
	rh_unlock(&heap->lock);
	rh_unlock(&heap->gc_lock);
}
