/*
 * pages_scavenge.c - which free pages of the bitmap chunks go back to the system.
 *
 * A free page is in memory when neither `taken` nor `scav` has its bit. Runs of them are found
 * from the top, for allocation fills from the bottom, and only those long enough to be worth a
 * system call, where the caller pays for it. `scav_search` remembers above which chunk there is
 * nothing, so that a heap that gives back often does not walk all of its chunks each time.
 */
#include "alloc/base/debug.h"
#include "alloc/heap/tiered/heap.h"

#include <assert.h>

/* A word at a time; large blocks ask this of thousands of pages. */
bool rh_pages_resident(const struct page_heap *pages, uint32_t page, size_t page_count)
{
	while (page_count) {
		unsigned bit = page & 63;
		unsigned count = page_count < 64 - bit ? (unsigned)page_count : 64 - bit;
		uint64_t given = rh_chunk_at(pages, page >> 9)->scav[(page & 511) >> 6] >> bit;

		if (given && (unsigned)__builtin_ctzll(given) < count)
			return false;
		page += count;
		page_count -= count;
	}
	return true;
}

/* How many pages from there on are free and in memory, up to page_max. */
static size_t run_at(const struct rh_heap *heap, uint32_t page, size_t page_max)
{
	const struct page_heap *pages = &heap->pages;
	size_t count = 0;

	rh_debug_assert(rh_lock_held(&heap->lock));
	while (count < page_max) {
		uint32_t at = page + (uint32_t)count, word = (at & 511) >> 6;
		const struct page_chunk *chunk = rh_chunk_at(pages, at >> 9);
		uint64_t busy;

		/* a summary of 0: never grown, or full */
		if (at >> 9 >= pages->chunk_end || !pages->summary[TIER_LEVELS - 1][at >> 9])
			break;
		busy = (chunk->taken[word] | chunk->scav[word]) >> (at & 63);
		if (busy) {
			count += (unsigned)__builtin_ctzll(busy);
			break;
		}
		count += 64 - (at & 63);
	}
	return count < page_max ? count : page_max;
}

size_t rh_pages_next_run(const struct rh_heap *heap, uint32_t *page, size_t page_min,
			 size_t page_max)
{
	const struct page_heap *pages = &heap->pages;
	uint32_t at = *page;

	while (at >> 9 < pages->chunk_end) {
		const struct page_chunk *chunk = rh_chunk_at(pages, at >> 9);
		uint32_t word = (at & 511) >> 6;
		uint64_t idle;
		size_t count;

		if (!pages->summary[TIER_LEVELS - 1][at >> 9]) {
			at = ((at >> 9) + 1) << 9;
			continue;
		}
		idle = ~(chunk->taken[word] | chunk->scav[word]) >> (at & 63);
		if (!idle) {
			at = (at | 63) + 1;
			continue;
		}
		at += (uint32_t)__builtin_ctzll(idle);
		count = run_at(heap, at, page_max);
		if (count >= page_min) {
			*page = at;
			return count;
		}
		at += (uint32_t)count;
	}
	return 0;
}

/* Where the system's pages are larger than ours, of each of its pages: all busy when one is.
 * madvise takes whole pages of the system: half of one would take the other half's data along. */
static uint64_t whole_groups(uint64_t busy, unsigned group)
{
	uint64_t mask = group < 64 ? ((uint64_t)1 << group) - 1 : ~(uint64_t)0;

	for (unsigned at = 0; at < 64; at += group)
		busy |= busy >> at & mask ? mask << at : 0;
	return busy;
}

/* One past the highest page below `below` that is not busy (flip: all ones), or that is (flip: 0);
 * 0: there is none. A word at a time: page by page this was a sixth of the instructions of a heap
 * of many large blocks. */
static unsigned last_of(const struct page_chunk *chunk, uint64_t flip, unsigned below)
{
	unsigned group = (unsigned)(rh_page_bytes() / TIER_PAGE);

	rh_debug_assert(below <= TIER_CHUNK_PAGES && (flip == 0 || !~flip));
	while (below) {
		unsigned word = (below - 1) >> 6, bits = ((below - 1) & 63) + 1;
		uint64_t busy = chunk->taken[word] | chunk->scav[word], hit;

		if (group > 1)
			busy = whole_groups(busy, group);
		hit = (busy ^ flip) << (64 - bits);
		if (hit)
			return below - (unsigned)__builtin_clzll(hit);
		below -= bits;
	}
	return 0;
}

/* Highest run of at least page_min free resident pages in a chunk, cut to page_max from its top: as
 * allocation fills from the bottom, what lies high is the least likely to be needed next. */
static unsigned resident_run(const struct page_chunk *chunk, unsigned page_min, size_t page_max,
			     unsigned *length)
{
	unsigned group = (unsigned)(rh_page_bytes() / TIER_PAGE), end = TIER_CHUNK_PAGES, from;

	rh_debug_assert(page_min && page_min <= page_max);
	*length = 0;
	for (; (end = last_of(chunk, ~(uint64_t)0, end)); end = from) {
		from = last_of(chunk, 0, end);
		if (end - from < page_min)
			continue;
		/* Cut at a page of the system, or the call would do nothing for the last of it. */
		if (group > 1)
			page_max = (page_max + group - 1) / group * group;
		*length = end - from < page_max ? end - from : (unsigned)page_max;
		return end - *length;
	}
	return 0;
}

struct resident {
	uint32_t page, length;
};

/* The highest free resident run of at least page_min pages, at most page_max of it. */
static bool next_resident(struct page_heap *pages, unsigned page_min, size_t page_max,
			  struct resident *run)
{
	for (uint32_t c = pages->scav_search + 1; c-- > 0;) {
		unsigned length, at;

		if (!pages->summary[TIER_LEVELS - 1][c])
			continue;
		at = resident_run(rh_chunk_at(pages, c), page_min, page_max, &length);
		if (!length)
			continue;
		if (page_min == 1) /* else there may be short ones above */
			pages->scav_search = c;
		*run = (struct resident){ (c << 9) + at, length };
		return true;
	}
	if (page_min == 1)
		pages->scav_search = 0;
	return false;
}

/* Free pages are released ones from now on, which summaries do not show. */
static void mark_released(struct page_heap *pages, struct resident run)
{
	while (run.length) {
		unsigned bit = run.page & 63;
		unsigned count = run.length < 64 - bit ? run.length : 64 - bit;

		rh_chunk_at(pages, run.page >> 9)->scav[(run.page & 511) >> 6] |=
			(count == 64 ? ~(uint64_t)0 : ((uint64_t)1 << count) - 1) << bit;
		run.page += count;
		run.length -= count;
	}
}

/* While the lock is dropped nobody else can take these pages. */
static void take_run(struct rh_heap *heap, struct resident run)
{
	size_t scav = 0;
	bool taken = rh_pages_take_at(heap, run.page, run.length, &scav);

	assert(taken && scav == 0);
	(void)taken;
}

/* Several runs with the lock dropped once; with one lane there is nobody to drop it for. Runs of
 * fewer than page_min pages stay: a heap that grows would give them back one by one, and take each
 * again next (of ten traces: more calls in seven, and 1.5 % more memory at the peak). */
size_t rh_pages_scavenge(struct rh_heap *heap, unsigned page_min, size_t page_max)
{
	/* Sixteen system calls at once: the lock is dropped once for all of them, and
	 * the list stays on the stack. */
	enum { RUNS = 16 };
	struct page_heap *pages = &heap->pages;
	struct resident run[RUNS];
	bool alone = heap->lane_count <= 1;
	unsigned count = 0;
	size_t total = 0;

	rh_debug_assert(rh_lock_held(&heap->lock));
	for (; count < RUNS && total < page_max; total += run[count++].length) {
		size_t left = page_max - total;

		if (!next_resident(pages, page_min < left ? page_min : (unsigned)left, left,
				   &run[count]))
			break;
		if (alone)
			mark_released(pages, run[count]);
		else
			/* Taken out for the time of the calls: another lane could be
			 * handed the pages, and would lose what it writes. */
			take_run(heap, run[count]);
	}
	if (!alone) {
		pages->nobodys += total;
		rh_unlock(&heap->lock);
	}
	for (unsigned i = 0; i < count; i++)
		rh_pages_release(heap, heap->window + ((uintptr_t)run[i].page << TIER_PAGE_SHIFT),
				 (size_t)run[i].length << TIER_PAGE_SHIFT);
	if (!alone) {
		rh_lock(&heap->lock);
		pages->nobodys -= total;
	}
	for (unsigned i = 0; i < count; i++) {
		if (!alone)
			rh_pages_take_back(heap, run[i].page, run[i].length);
		rh_count_released(heap, run[i].length);
	}
	return total;
}
