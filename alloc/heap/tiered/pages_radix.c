/*
 * pages_radix.c - bitmap chunks under a tree of summaries: first fit by address.
 *
 * Every 4 MiB chunk has a bitmap (1 = taken). Above it five levels of summaries (summary.h)
 * say for 4 MiB, 32 MiB, 256 MiB, 2 GiB and 16 GiB how many pages are free at the start,
 * at most in a row, and at the end.
 *
 * An allocation of n pages
 *  1. looks into the chunk of `search` (nothing below it is free), else
 *  2. walks the tree from the left: an entry whose start completes the run of the
 *     entries before it is the answer, one whose max is enough is descended into;
 *  3. marks the pages, and rewrites the chunk's summary; those above when they are asked next.
 * The result is always the lowest address that fits. Freed neighbours need no joining.
 */
#include <assert.h>
#include <string.h>

#include "alloc/base/debug.h"
#include "alloc/heap/tiered/heap.h"
#include "alloc/heap/tiered/summary.h"

static const unsigned level_shift[TIER_LEVELS] = { 21, 18, 15, 12, 9 };
_Static_assert(TIER_CHUNK_PAGES == 1 << 9, "page >> 9 is its chunk");

/* What happened to a range: MIXED where only some of its pages changed. */
enum change { FREED, TAKEN, MIXED };

/* The levels above chunks that changed, which are written before the tree is walked next: most runs
 * are found in the chunk of `search`, and five levels for each page that a small heap takes were a
 * twentieth of its instructions. */
static void settle(struct page_heap *pages)
{
	uint32_t low = pages->stale_low, high = pages->stale_high;
	bool changed = low <= high;

	rh_debug_assert(!changed || high < TIER_WINDOW_CHUNKS);
	for (int level = TIER_LEVELS - 2; level >= 0 && changed; level--) {
		low >>= 3;
		high >>= 3;
		changed = false;
		for (uint32_t i = low; i <= high; i++) {
			uint64_t sum = rh_sum_merge(&pages->summary[level + 1][i * 8],
						    1u << level_shift[level + 1]);

			changed |= pages->summary[level][i] != sum;
			pages->summary[level][i] = sum;
		}
	}
	pages->stale_low = 1;
	pages->stale_high = 0;
}

/* Chunks that lie far from those that changed before would make the stale range long. */
static void note_stale(struct page_heap *pages, uint32_t low, uint32_t high)
{
	enum { FAR = 64 };

	if (pages->stale_low > pages->stale_high) {
		pages->stale_low = low;
		pages->stale_high = high;
		return;
	}
	if (low + FAR < pages->stale_low || high > pages->stale_high + FAR) {
		settle(pages);
		pages->stale_low = low;
		pages->stale_high = high;
	}
	pages->stale_low = low < pages->stale_low ? low : pages->stale_low;
	pages->stale_high = high > pages->stale_high ? high : pages->stale_high;
}

/* Rewrites the summaries of the chunks of a range of pages, all of which were freed or taken. */
static void update(struct page_heap *pages, uint32_t page, size_t page_count, enum change change)
{
	uint32_t low = page >> 9, high = (uint32_t)((page + page_count - 1) >> 9);
	bool changed = false;

	rh_debug_assert(page_count > 0 && page + page_count <= TIER_WINDOW_PAGES);
	for (uint32_t c = low; c <= high; c++) {
		uint64_t was = pages->summary[TIER_LEVELS - 1][c], sum;
		const struct page_chunk *chunk = rh_chunk_at(pages, c);

		if (change == MIXED) {
			sum = rh_sum_chunk(chunk);
		} else {
			uint32_t from = c == low ? page & 511 : 0;
			uint32_t to = c == high ? ((page + (uint32_t)page_count - 1) & 511) + 1
						: TIER_CHUNK_PAGES;

			sum = rh_sum_changed(chunk, was, from, to, change == FREED);
			assert(!TIER_DEBUG || sum == rh_sum_chunk(chunk));
		}
		changed |= was != sum;
		pages->summary[TIER_LEVELS - 1][c] = sum;
	}
	if (changed)
		note_stale(pages, low, high);
}

static uint64_t mask_of(unsigned from, unsigned count)
{
	rh_debug_assert(count > 0 && from + count <= 64);
	return (count == 64 ? ~(uint64_t)0 : ((uint64_t)1 << count) - 1) << from;
}

/* Marks a range taken; returns how many of its pages were scavenged. The summaries are to be
 * updated. */
static size_t mark_taken(struct page_heap *pages, uint32_t page, size_t page_count)
{
	size_t scav = 0, left = page_count;

	for (uint32_t at = page; left;) {
		struct page_chunk *chunk = rh_chunk_at(pages, at >> 9);
		unsigned word = (at & 511) >> 6, bit = at & 63;
		unsigned count = left < 64 - bit ? (unsigned)left : 64 - bit;
		uint64_t mask = mask_of(bit, count);

		assert(!(chunk->taken[word] & mask));
		scav += (size_t)__builtin_popcountll(chunk->scav[word] & mask);
		chunk->taken[word] |= mask;
		chunk->scav[word] &= ~mask;
		at += count;
		left -= count;
	}
	return scav;
}

static size_t take_run(struct page_heap *pages, uint32_t page, size_t page_count)
{
	size_t scav = mark_taken(pages, page, page_count);

	update(pages, page, page_count, TAKEN);
	return scav;
}

/* Marks a range free, as scavenged or not. The summaries are to be updated. */
static void mark_free(struct page_heap *pages, uint32_t page, size_t page_count, bool scavenged)
{
	size_t left = page_count;

	for (uint32_t at = page; left;) {
		struct page_chunk *chunk = rh_chunk_at(pages, at >> 9);
		unsigned word = (at & 511) >> 6, bit = at & 63;
		unsigned count = left < 64 - bit ? (unsigned)left : 64 - bit;
		uint64_t mask = mask_of(bit, count);

		assert((chunk->taken[word] & mask) == mask);
		chunk->taken[word] &= ~mask;
		if (scavenged)
			chunk->scav[word] |= mask;
		at += count;
		left -= count;
	}
	if (page < pages->search)
		pages->search = page;
	if (!scavenged && (page + page_count - 1) >> 9 > pages->scav_search)
		pages->scav_search = (uint32_t)((page + page_count - 1) >> 9);
}

static void give(struct page_heap *pages, uint32_t page, size_t page_count, bool scavenged)
{
	mark_free(pages, page, page_count, scavenged);
	update(pages, page, page_count, FREED);
}

/* Lowest run of page_count free pages in a chunk, from the word of `from` on; 512 = none. */
static unsigned search_chunk(const struct page_chunk *chunk, size_t page_count, unsigned from)
{
	unsigned run = 0;

	for (unsigned w = from / 64; w < TIER_CHUNK_WORDS; w++) {
		uint64_t taken = chunk->taken[w], free = ~taken;

		if (!taken) {
			run += 64;
			if (run >= page_count)
				return w * 64 + 64 - run;
			continue;
		}
		if (run + (unsigned)__builtin_ctzll(taken) >= page_count)
			return w * 64 - run;
		if (page_count < 64) {
			uint64_t fits = free;

			for (unsigned have = 1; have < page_count;) {
				unsigned by = have < page_count - have
						      ? have
						      : (unsigned)page_count - have;

				fits &= fits >> by;
				have += by;
			}
			if (fits)
				return w * 64 + (unsigned)__builtin_ctzll(fits);
		}
		run = (unsigned)__builtin_clzll(taken);
	}
	return TIER_CHUNK_PAGES;
}

/* The narrowest stretch known to hold the first free page. */
struct first_free {
	uint32_t low, high;
};

static void narrow(struct first_free *first, uint32_t low, uint32_t page_count)
{
	if (low >= first->low && low + page_count - 1 <= first->high) {
		first->low = low;
		first->high = low + page_count - 1;
	}
}

/* One level below *entry: TIER_NO_PAGE and *entry = where to descend into (or none), else the page.
 */
static uint32_t find_level(const struct page_heap *pages, unsigned level, uint32_t *entry,
			   size_t page_count, struct first_free *first)
{
	unsigned shift = level_shift[level], entries = level ? 8 : TIER_WINDOW_PAGES >> 21;
	uint32_t base = level ? *entry * 8 : 0, at = pages->search >> shift;
	uint32_t i = at >= base && at < base + entries ? at : base;
	uint32_t run = 0, run_page = 0;

	*entry = TIER_NO_PAGE;
	for (; i < base + entries; i++) {
		uint64_t sum = pages->summary[level][i];
		struct sum_runs free = rh_sum_runs(sum);

		if (!sum) {
			run = 0;
			continue;
		}
		narrow(first, i << shift, 1u << shift);
		if (run + free.start >= page_count)
			return run ? run_page : i << shift;
		if (free.max >= page_count) {
			*entry = i;
			return TIER_NO_PAGE;
		}
		if (run == 0 || free.start < 1u << shift) {
			run = free.end;
			run_page = ((i + 1) << shift) - free.end;
		} else {
			run += 1u << shift;
		}
	}
	return TIER_NO_PAGE;
}

static uint32_t find(struct page_heap *pages, size_t page_count, struct first_free *first)
{
	uint32_t entry = 0, page = TIER_NO_PAGE;

	settle(pages);
	*first = (struct first_free){ 0, TIER_WINDOW_PAGES - 1 };
	for (unsigned level = 0; level < TIER_LEVELS; level++) {
		page = find_level(pages, level, &entry, page_count, first);
		if (page != TIER_NO_PAGE || entry == TIER_NO_PAGE)
			return page;
	}
	page = search_chunk(rh_chunk_at(pages, entry), page_count, 0);
	assert(page < TIER_CHUNK_PAGES);
	page += entry << 9;
	if (page_count == 1)
		narrow(first, page, 1);
	return page;
}

int rh_pages_open_level(struct rh_heap *heap, unsigned level)
{
	size_t entries = (size_t)TIER_WINDOW_PAGES >> level_shift[level];

	heap->pages.summary[level] = rh_persistent_alloc(&heap->persistent, entries * 8, 8);
	heap->pages.search = TIER_WINDOW_PAGES;
	heap->pages.stale_low = 1;
	return heap->pages.summary[level] ? 0 : -1;
}

uint32_t rh_pages_alloc_where(struct rh_heap *heap, size_t page_count, bool resident,
			      size_t *scav_pages)
{
	struct page_heap *pages = &heap->pages;
	struct first_free first = { 0, 0 };
	uint32_t chunk = pages->search >> 9, from = pages->search & 511, page;

	rh_debug_assert(rh_lock_held(&heap->lock) && page_count > 0);
	if (chunk >= pages->chunk_end || page_count > TIER_WINDOW_PAGES)
		return TIER_NO_PAGE;
	page = TIER_NO_PAGE;
	if (TIER_CHUNK_PAGES - from >= page_count &&
	    rh_sum_runs(pages->summary[TIER_LEVELS - 1][chunk]).max >= page_count) {
		unsigned at = search_chunk(rh_chunk_at(pages, chunk), page_count, from);

		if (at < TIER_CHUNK_PAGES)
			page = (chunk << 9) + at;
	}
	if (page == TIER_NO_PAGE)
		page = find(pages, page_count, &first);
	if (page == TIER_NO_PAGE && page_count == 1)
		pages->search = TIER_WINDOW_PAGES;
	if (page == TIER_NO_PAGE || (resident && !rh_pages_resident(pages, page, page_count)))
		return TIER_NO_PAGE;
	rh_debug_assert(page + page_count <= (size_t)pages->chunk_end * TIER_CHUNK_PAGES);
	*scav_pages = take_run(pages, page, page_count);
	if (page_count == 1 && page > pages->search)
		pages->search = page;
	if (first.low > pages->search)
		pages->search = first.low;
	return page;
}

bool rh_pages_take_at(struct rh_heap *heap, uint32_t page, size_t page_count, size_t *scav_pages)
{
	struct page_heap *pages = &heap->pages;

	rh_debug_assert(rh_lock_held(&heap->lock));
	if (page + page_count > (size_t)pages->chunk_end * TIER_CHUNK_PAGES)
		return false;
	for (uint32_t at = page, end = page + (uint32_t)page_count; at < end;) {
		unsigned count = 64 - (at & 63) < end - at ? 64 - (at & 63) : end - at;

		/* a summary of 0: never grown, or full */
		if (!pages->summary[TIER_LEVELS - 1][at >> 9] ||
		    rh_chunk_at(pages, at >> 9)->taken[(at & 511) >> 6] & mask_of(at & 63, count))
			return false;
		at += count;
	}
	*scav_pages = take_run(pages, page, page_count);
	return true;
}

void rh_pages_free(struct rh_heap *heap, uint32_t page, size_t page_count)
{
	rh_debug_assert(rh_lock_held(&heap->lock));
	give(&heap->pages, page, page_count, false);
}

/* The summary of a chunk is written when a range lies in another: see rh_pages_free_next. */
static void stale_next(struct page_heap *pages, uint32_t page, size_t page_count, uint32_t *stale)
{
	if (*stale != TIER_NO_PAGE && *stale >> 9 != page >> 9)
		update(pages, *stale, 1, MIXED);
	*stale = page;
	if (page >> 9 == (page + page_count - 1) >> 9)
		return;
	update(pages, page, page_count, MIXED);
	*stale = TIER_NO_PAGE;
}

void rh_pages_free_next(struct rh_heap *heap, uint32_t page, size_t page_count, uint32_t *stale)
{
	rh_debug_assert(rh_lock_held(&heap->lock));
	mark_free(&heap->pages, page, page_count, false);
	stale_next(&heap->pages, page, page_count, stale);
}

void rh_pages_take_next(struct rh_heap *heap, uint32_t page, size_t page_count, uint32_t *stale)
{
	size_t scav;

	rh_debug_assert(rh_lock_held(&heap->lock));
	scav = mark_taken(&heap->pages, page, page_count);
	assert(scav == 0);
	(void)scav;
	stale_next(&heap->pages, page, page_count, stale);
}

void rh_pages_next_end(struct rh_heap *heap, uint32_t stale)
{
	if (stale != TIER_NO_PAGE)
		update(&heap->pages, stale, 1, MIXED);
}

void rh_pages_take_back(struct rh_heap *heap, uint32_t page, size_t page_count)
{
	rh_debug_assert(rh_lock_held(&heap->lock));
	give(&heap->pages, page, page_count, true);
}

bool rh_pages_grow(struct rh_heap *heap, uint32_t page, size_t page_count)
{
	struct page_heap *pages = &heap->pages;
	uint32_t end = (uint32_t)((page + page_count) >> 9);

	assert(page % TIER_CHUNK_PAGES == 0 && page_count % TIER_CHUNK_PAGES == 0);
	for (uint32_t c = page >> 9; c < end; c++)
		memset(rh_chunk_at(pages, c)->scav, 0xff, sizeof(rh_chunk_at(pages, c)->scav));
	update(pages, page, page_count, MIXED);
	if (end > pages->chunk_end)
		tier_store(&pages->chunk_end, end);
	if (page < pages->search)
		pages->search = page;
	return true;
}

/* The lowest `count` of the bits that are set. */
static uint64_t lowest_bits(uint64_t bits, unsigned count)
{
	uint64_t rest = bits;

	for (; rest && count; count--)
		rest &= rest - 1;
	return bits & ~rest;
}

/* Takes the free pages of the 64-page block at or above `search`, page_max of them at most. */
void rh_pages_fill_cache(struct rh_heap *heap, struct page_cache *cache, unsigned page_max)
{
	struct page_heap *pages = &heap->pages;
	struct first_free first;
	uint32_t chunk = pages->search >> 9, page = TIER_NO_PAGE, end;
	struct page_chunk *at;
	unsigned word;

	rh_debug_assert(rh_lock_held(&heap->lock) && page_max > 0);
	memset(cache, 0, sizeof(*cache));
	if (chunk >= pages->chunk_end)
		return;
	if (pages->summary[TIER_LEVELS - 1][chunk]) {
		unsigned i = search_chunk(rh_chunk_at(pages, chunk), 1, pages->search & 511);

		if (i < TIER_CHUNK_PAGES)
			page = (chunk << 9) + i;
	}
	if (page == TIER_NO_PAGE)
		page = find(pages, 1, &first);
	if (page == TIER_NO_PAGE) {
		pages->search = TIER_WINDOW_PAGES;
		return;
	}
	at = rh_chunk_at(pages, page >> 9);
	word = (page & 511) >> 6;
	cache->page = page & ~63u;
	cache->free = lowest_bits(~at->taken[word], page_max);
	cache->scav = at->scav[word] & cache->free;
	end = cache->page + 64 - (uint32_t)__builtin_clzll(cache->free);
	cache->fresh = rh_arena_fresh_block(heap, cache->page, end);
	at->taken[word] |= cache->free;
	at->scav[word] &= ~cache->free;
	update(pages, cache->page, 64, MIXED);
	pages->search = end - 1;
}

void rh_pages_flush_cache(struct rh_heap *heap, struct page_cache *cache)
{
	struct page_heap *pages = &heap->pages;
	struct page_chunk *chunk = rh_chunk_at(pages, cache->page >> 9);
	unsigned word = (cache->page & 511) >> 6;

	rh_debug_assert(rh_lock_held(&heap->lock));
	if (!cache->free)
		return;
	assert((chunk->taken[word] & cache->free) == cache->free);
	chunk->taken[word] &= ~cache->free;
	chunk->scav[word] |= cache->scav & cache->free;
	update(pages, cache->page, 64, MIXED);
	if (cache->page < pages->search)
		pages->search = cache->page;
	if (cache->page >> 9 > pages->scav_search)
		pages->scav_search = cache->page >> 9;
	memset(cache, 0, sizeof(*cache));
}

const char *rh_pages_check(struct rh_heap *heap, uint64_t *free_pages)
{
	struct page_heap *pages = &heap->pages;

	*free_pages = 0;
	settle(pages);
	for (uint32_t c = 0; c < pages->chunk_end; c++) {
		const struct page_chunk *chunk = rh_chunk_at(pages, c);
		uint64_t sum = pages->summary[TIER_LEVELS - 1][c];

		for (unsigned w = 0; w < TIER_CHUNK_WORDS; w++) {
			if (chunk->taken[w] & chunk->scav[w])
				return "a taken page is marked as released";
			if (sum) /* 0: never grown, or full */
				*free_pages += (unsigned)__builtin_popcountll(~chunk->taken[w]);
		}
		if (sum && sum != rh_sum_chunk(chunk))
			return "a leaf summary differs from its bitmap";
		if (sum && c < pages->search >> 9)
			return "there is a free page below the search address";
	}
	for (unsigned level = 0; level < TIER_LEVELS - 1; level++) {
		for (uint32_t i = 0; i < (uint32_t)TIER_WINDOW_PAGES >> level_shift[level]; i++)
			if (pages->summary[level][i] !=
			    rh_sum_merge(&pages->summary[level + 1][i * 8],
					 1u << level_shift[level + 1]))
				return "an inner summary differs from its children";
	}
	return NULL;
}
