/*
 * arena.c - address space: 64 MiB arenas, grown in 4 MiB steps.
 *
 *	reserved	mmap PROT_NONE, one arena at a time, at the address after the
 *			last one (from 0xc000000000 on, else wherever the system likes)
 *	grown		mmap PROT_READ|PROT_WRITE over it; no memory behind it yet
 *	touched		the kernel puts pages there on first use
 *
 * All arenas lie in one 64 GiB window around the first, so that maps of pages are flat
 * arrays. Small reservations rather than one of 512 GiB: instruction counters refuse
 * to map tens of GiB, and a heap that shares its process with others should not.
 *
 * thp=on asks for huge pages, thp=auto from 16 MiB of heap on, with explicit frees: a page of 2 MiB
 * costs one fault and not 512, and one entry of the TLB, but is in memory whole, and a small heap
 * would be twice or four times as large for it. It is asked for once an arena, and what is grown of
 * it keeps that. A system that gives none is no error. What is given back splits them again.
 *
 * Older profiles grow by less: at least 1 MiB in multiples of 64 KiB before 1.11.
 */
#include <assert.h>
#include <string.h>
#include <sys/mman.h>

#include "alloc/base/debug.h"
#include "alloc/heap/tiered/heap.h"
#include "alloc/heap/tiered/poison.h"

/* Where Go's heaps begin on 64 bits (0x00c0...): addresses there are easy to
 * recognise in a dump, and hardly anything else is mapped. Then a TiB further each, so
 * that several heaps of one process find a place. */
#define FIRST_HINT ((uintptr_t)0xc000000000)
#define HINT_STEP  ((uintptr_t)0x10000000000)
enum { HINTS = 16 };

/* 1.26 draws the first page at random; replays must repeat, so the draw is fixed. */
enum { RANDOM_BASE_PAGES = 171 };

/* A hint, not MAP_FIXED: that would replace what is mapped there. */
static void *reserve_at(uintptr_t hint, size_t bytes)
{
	void *p = mmap((void *)hint, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
		       -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

/* One arena wherever the system has room, aligned by cutting a double one. */
static uintptr_t reserve_anywhere(void)
{
	uintptr_t raw = (uintptr_t)reserve_at(0, 2 * TIER_ARENA), start;

	if (!raw)
		return 0;
	start = (raw + TIER_ARENA - 1) & ~(TIER_ARENA - 1);
	if (start > raw)
		munmap((void *)raw, start - raw);
	munmap((void *)(start + TIER_ARENA), raw + TIER_ARENA - start);
	assert(start % TIER_ARENA == 0 && start + TIER_ARENA <= raw + 2 * TIER_ARENA);
	return start;
}

/* The arena at exactly this address, or 0. */
static uintptr_t reserve_exactly(uintptr_t hint)
{
	void *p = reserve_at(hint, TIER_ARENA);

	/* Kernels may move a hint; what came instead is of no use. */
	if (!p || (uintptr_t)p == hint)
		return (uintptr_t)p;
	munmap(p, TIER_ARENA);
	return 0;
}

static bool in_window(const struct rh_heap *heap, uintptr_t start)
{
	return start >= heap->window && start - heap->window < TIER_WINDOW;
}

static void own(struct rh_heap *heap, uintptr_t start)
{
	uint32_t chunk = (uint32_t)((start - heap->window) / TIER_CHUNK_BYTES);

	assert(in_window(heap, start) && start % TIER_ARENA == 0);
	assert(!heap->arenas.owned[(start - heap->window) / TIER_ARENA]);
	/* reclaim begins its walk there and not at the window's first chunk. */
	if (!heap->arenas.reserved_bytes || chunk < heap->arenas.first_chunk)
		heap->arenas.first_chunk = chunk;
	heap->arenas.owned[(start - heap->window) / TIER_ARENA] = 1;
	heap->arenas.reserved_bytes += TIER_ARENA;
	heap->arenas.next = start + TIER_ARENA;
}

/* Another arena in the window: after the last one, else any that the system offers,
 * else the first free one from below. */
static uintptr_t reserve_next(struct rh_heap *heap)
{
	uintptr_t start = 0;

	rh_debug_assert(rh_lock_held(&heap->lock));
	/* Adjacent arenas make runs longer than 64 MiB possible. */
	if (in_window(heap, heap->arenas.next))
		start = reserve_exactly(heap->arenas.next);
	if (!start) {
		start = reserve_anywhere();
		if (start && !in_window(heap, start)) {
			munmap((void *)start, TIER_ARENA);
			start = 0;
		} else if (!start) {
			return 0;
		}
	}
	for (size_t i = 0; !start && i < TIER_WINDOW_ARENAS; i++) {
		if (!heap->arenas.owned[i])
			start = reserve_exactly(heap->window + i * TIER_ARENA);
	}
	if (start)
		own(heap, start);
	return start;
}

int rh_arenas_open(struct rh_heap *heap)
{
	struct arenas *arenas = &heap->arenas;
	uintptr_t start = 0, hinted;

	assert(arenas->owned && arenas->zero_from && arenas->page_in_use);
	for (unsigned i = 0; !start && i < HINTS; i++)
		start = reserve_exactly(FIRST_HINT + i * HINT_STEP);
	hinted = start;
	if (!start)
		start = reserve_anywhere();
	if (!start)
		return -1;
	/* Where we chose the place, arenas follow upwards: the window begins here, and so do
	 * the parts of its maps that are in use. Else the system may fill downwards: leave
	 * half of the window below. */
	heap->window = hinted ? start : start > TIER_WINDOW / 2 ? start - TIER_WINDOW / 2 : 0;
	own(heap, start);
	arenas->at = start;
	arenas->end = start + TIER_ARENA;
	return 0;
}

void rh_arenas_close(struct rh_heap *heap)
{
	if (!heap->arenas.owned)
		return;
	for (size_t i = 0; i < TIER_WINDOW_ARENAS; i++) {
		uintptr_t start = heap->window + i * TIER_ARENA;

		if (!heap->arenas.owned[i])
			continue;
		/* Another heap, or the program, may get these addresses next. */
		rh_unpoison((void *)start, TIER_ARENA);
		munmap((void *)start, TIER_ARENA);
	}
}

/* What this profile asks the system for when it needs that many pages. */
static size_t grow_ask(const struct rh_heap *heap, size_t page_count)
{
	size_t bytes = page_count << TIER_PAGE_SHIFT;

	if (heap->profile->radix)
		return (bytes + TIER_CHUNK_BYTES - 1) & ~(size_t)(TIER_CHUNK_BYTES - 1);
	if (heap->profile->whole_arenas)
		return (bytes + TIER_ARENA - 1) & ~((size_t)TIER_ARENA - 1);
	bytes = (bytes + 65535) & ~(size_t)65535;
	return bytes < (1u << 20) ? 1u << 20 : bytes;
}

/* Pages of 2 MiB: half a step of growth, and heaps of which a hole of that size is little. */
static bool wants_huge(const struct rh_heap *heap)
{
	enum { AUTO_FROM = 16 << 20 };

	return heap->knobs.thp == TIER_THP_ON ||
	       (heap->knobs.thp == TIER_THP_AUTO && heap->gc == TIER_GC_EXPLICIT &&
		!heap->knobs.limit && heap->arenas.grown_bytes >= AUTO_FROM);
}

/* Makes a part of the reservation ours to write. */
static bool open_up(struct rh_heap *heap, uintptr_t start, size_t bytes)
{
	struct arenas *arenas = &heap->arenas;
	bool asked = start >= arenas->huge_from && start < arenas->huge_end;

	/* Asked of each arena: where the system chose its place, the next may lie below. */
	if (!asked && wants_huge(heap)) {
		(void)madvise((void *)start, arenas->end - start, MADV_HUGEPAGE);
		arenas->huge_from = start;
		arenas->huge_end = arenas->end;
		asked = true;
	}
	/* A new mapping would forget it. */
	if (asked)
		return mprotect((void *)start, bytes, PROT_READ | PROT_WRITE) == 0;
	/* As Go's sysMap does. MAP_NORESERVE is given again, or strict overcommit
	 * would count all that is grown and not only what is touched. */
	return mmap((void *)start, bytes, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0) != MAP_FAILED;
}

static bool commit(struct rh_heap *heap, uintptr_t start, size_t bytes)
{
	uint32_t page;

	rh_debug_assert(rh_lock_held(&heap->lock));
	assert(start % TIER_PAGE == 0 && start - heap->window + bytes <= TIER_WINDOW);
	if (!open_up(heap, start, bytes))
		return false;
	rh_poison((void *)start, bytes);
	page = (uint32_t)rh_page_index(heap, start);
	if (!(heap->profile->radix ? rh_pages_grow : rh_lists_grow)(heap, page,
								    bytes >> TIER_PAGE_SHIFT))
		return false;
	heap->arenas.grown_bytes += bytes;
	/* New pages have no memory behind them yet: they are released from the start. */
	heap->released_bytes += bytes;
	heap->grows++;
	return true;
}

/* Gives the rest of the current reservation to the page heap: the next arena does
 * not follow it. */
static bool use_up_rest(struct rh_heap *heap)
{
	struct arenas *arenas = &heap->arenas;
	size_t rest = arenas->end - arenas->at;

	assert(arenas->at <= arenas->end);
	if (rest && !commit(heap, arenas->at, rest))
		return false;
	arenas->at = arenas->end;
	return true;
}

/* The pages that 1.26 skips at its random base: taken for good, counted as released. */
static bool skip_random_base(struct rh_heap *heap, size_t *bytes)
{
	if (heap->arenas.any_grown || !heap->profile->random_base)
		return false;
	/* A chunk more, so that what was asked for still fits behind what is skipped. */
	*bytes += TIER_CHUNK_BYTES;
	return true;
}

bool rh_arenas_grow(struct rh_heap *heap, size_t page_count)
{
	struct arenas *arenas = &heap->arenas;
	size_t bytes = grow_ask(heap, page_count), scav;
	bool skip;

	rh_debug_assert(rh_lock_held(&heap->lock));
	if (page_count > TIER_WINDOW_PAGES)
		return false;
	skip = skip_random_base(heap, &bytes);
	/* Several arenas for a block of more than 64 MiB, which must lie in a row. */
	while (arenas->end - arenas->at < bytes) {
		uintptr_t start = reserve_next(heap);

		if (!start)
			return false;
		if (start != arenas->end) {
			if (!use_up_rest(heap))
				return false;
			arenas->at = start;
		}
		arenas->end = start + TIER_ARENA;
	}
	assert(arenas->end - arenas->at >= bytes);
	if (!commit(heap, arenas->at, bytes))
		return false;
	arenas->at += bytes;
	arenas->any_grown = true;
	if (!skip)
		return true;
	heap->pages.nobodys += RANDOM_BASE_PAGES;
	return rh_pages_alloc(heap, RANDOM_BASE_PAGES, &scav) != TIER_NO_PAGE;
}

bool rh_arena_fresh(struct rh_heap *heap, uint32_t page, size_t page_count)
{
	bool fresh = true;

	rh_debug_assert(page + page_count <= TIER_WINDOW_PAGES);
	while (page_count) {
		uint32_t first = page % TIER_ARENA_PAGES;
		size_t room = TIER_ARENA_PAGES - first;
		uint32_t last = first + (uint32_t)(page_count < room ? page_count : room);
		/* One number for each arena is enough, because first fit hands pages
		 * out from below: what lies above was never used. */
		uint16_t *from = &heap->arenas.zero_from[page / TIER_ARENA_PAGES];

		if (*from > first)
			fresh = false;
		if (*from < last)
			*from = (uint16_t)last;
		page += last - first;
		page_count -= last - first;
	}
	return fresh;
}

uint64_t rh_arena_fresh_block(struct rh_heap *heap, uint32_t page, uint32_t end)
{
	uint32_t first = page % TIER_ARENA_PAGES;
	uint16_t *from = &heap->arenas.zero_from[page / TIER_ARENA_PAGES];
	uint32_t used = *from <= first ? 0 : *from - first;

	rh_debug_assert(page % 64 == 0 && used <= TIER_ARENA_PAGES && end - page <= 64);
	if (*from < first + (end - page))
		*from = (uint16_t)(first + (end - page));
	return used >= 64 ? 0 : ~(uint64_t)0 << used;
}

/* What a sanitized build poisoned as freed is ours to write. */
static void zero(uintptr_t base, size_t bytes)
{
	rh_unpoison((void *)base, bytes);
	memset((void *)base, 0, bytes);
}

void rh_pages_release(struct rh_heap *heap, uintptr_t base, size_t bytes)
{
	uintptr_t first;
	size_t whole = rh_page_within(base, bytes, &first);
	int advice = heap->profile->madv_free ? MADV_FREE : MADV_DONTNEED;

	rh_debug_assert(base % TIER_PAGE == 0 && bytes % TIER_PAGE == 0);
	/* Refused for locked memory (mlockall); all is counted on to read as zero, what shares a
	 * larger page of the system with others too. */
	if (!whole || madvise((void *)first, whole, advice))
		first = base + bytes, whole = 0;
	/* MADV_FREE promises no zeros, and nothing counts on them in these profiles. */
	if (heap->profile->madv_free)
		return;
	zero(base, first - base);
	zero(first + whole, base + bytes - first - whole);
}

void rh_count_released(struct rh_heap *heap, size_t page_count)
{
	rh_debug_assert(rh_lock_held(&heap->lock));
	heap->released_bytes += (uint64_t)page_count << TIER_PAGE_SHIFT;
	heap->scavenger.released_total += (uint64_t)page_count << TIER_PAGE_SHIFT;
	heap->scavenger.releases++;
}
