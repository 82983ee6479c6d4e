/*
 * pages.h - the page heap: which pages of the window are free, and where new ones
 * come from.
 *
 * Two page heaps stand behind the same four calls: bitmap chunks with a radix tree
 * of summaries, first fit by address (pages_radix.c), and the older lists of free
 * spans by length with a list or treap of large ones, best fit (pages_lists.c).
 * arena.c reserves and grows the address space below both.
 *
 * Pages are numbered from the start of the window. A free page is either resident
 * ("free") or given back to the system ("scavenged", reads as zero); alloc says how
 * many of the pages it took were scavenged, free may pass that on.
 *
 * Thread rule: everything here under the heap lock, but rh_pages_release.
 */
#ifndef RH_TIERED_PAGES_H
#define RH_TIERED_PAGES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "alloc/heap/tiered/sizeclass.h"

#define TIER_ARENA  ((uintptr_t)64 << 20)
#define TIER_WINDOW ((uintptr_t)64 << 30)
enum {
	TIER_ARENA_PAGES = 8192,
	TIER_CHUNK_PAGES = 512,
	TIER_CHUNK_BYTES = TIER_CHUNK_PAGES * TIER_PAGE,
	TIER_CHUNK_WORDS = TIER_CHUNK_PAGES / 64,
	TIER_WINDOW_PAGES = 1 << 23,
	TIER_WINDOW_CHUNKS = TIER_WINDOW_PAGES / TIER_CHUNK_PAGES,
	TIER_WINDOW_ARENAS = 1024,
	TIER_LEVELS = 5,
};
#define TIER_NO_PAGE UINT32_MAX
_Static_assert(TIER_WINDOW_CHUNKS *TIER_CHUNK_PAGES == TIER_WINDOW_PAGES, "whole chunks");
_Static_assert(TIER_WINDOW_ARENAS *TIER_ARENA == TIER_WINDOW, "whole arenas");
_Static_assert(TIER_ARENA_PAGES *(uintptr_t)TIER_PAGE == TIER_ARENA, "an arena by its pages");
_Static_assert(TIER_ARENA_PAGES % TIER_CHUNK_PAGES == 0, "no chunk lies in two arenas");

struct rh_heap;
struct mspan;
struct span_list;
struct page_cache;

/* Bitmap of a 4 MiB chunk. A chunk that was never grown has an all-zero summary, so
 * nobody looks at its bits. */
struct page_chunk {
	uint64_t taken[TIER_CHUNK_WORDS];
	uint64_t scav[TIER_CHUNK_WORDS];
};

struct page_heap {
	/* radix */
	struct page_chunk *chunks;	/* TIER_WINDOW_CHUNKS, downwards: rh_chunk_at */
	uint64_t *summary[TIER_LEVELS]; /* [0] covers 16 GiB an entry, [4] a chunk */
	uint32_t stale_low, stale_high; /* chunks that changed, above which summaries are old */
	uint32_t search;		/* no free page below this one */
	uint32_t scav_search;		/* no chunk with resident free pages above */
	uint32_t chunk_end;		/* first chunk above all grown ones */
	/* lists: spans of `page_count` free pages */
	struct span_list *free;	     /* [1..127] by length */
	struct span_list *freelarge; /* 128 pages and more (<= 1.8) */
	struct mspan *treap;	     /* the same as a treap (1.9) */
	struct mspan *scav;	     /* spans wholly given back, beside treap (1.12) */
	/* both: pages out of the free ones that no span or lane has */
	uint64_t nobodys;
};

static inline struct page_chunk *rh_chunk_at(const struct page_heap *pages, uint32_t chunk)
{
	return pages->chunks - 1 - chunk;
}

struct arenas {
	uintptr_t at, end;	       /* reserved, not yet grown into */
	uintptr_t huge_from, huge_end; /* between these huge pages were asked for, last */
	uintptr_t next;		       /* where the next arena is hoped for */
	uint64_t reserved_bytes, grown_bytes;
	uint16_t *zero_from;	       /* per arena: first page never handed out */
	_Atomic uint64_t *page_in_use; /* bit of the first page of each heap span;
					* collected modes, for reclaim */
	uint8_t *owned;		       /* per arena: reserved by us */
	bool any_grown;
	uint32_t first_chunk; /* of the lowest arena */
};

/* ---- arena.c ---- */

/* Reserves the first arena and with it places the window. -1 = the system refuses. */
int rh_arenas_open(struct rh_heap *heap);
void rh_arenas_close(struct rh_heap *heap);
/* Makes at least page_count more pages exist, scavenged and free. False = exhausted. */
bool rh_arenas_grow(struct rh_heap *heap, size_t page_count);
/* Notes that pages are handed out; true when none of them ever was before, which
 * makes them known zero. */
bool rh_arena_fresh(struct rh_heap *heap, uint32_t page, size_t page_count);
/* The same for a block of 64 pages, bit by bit; of those before `end` some are handed out. */
uint64_t rh_arena_fresh_block(struct rh_heap *heap, uint32_t page, uint32_t end);
/* Gives pages back to the system. */
void rh_pages_release(struct rh_heap *heap, uintptr_t base, size_t bytes);
/* Books what was given back. */
void rh_count_released(struct rh_heap *heap, size_t page_count);

/* ---- pages_radix.c and pages_lists.c ---- */

/* Makes the table of a level. */
int rh_pages_open_level(struct rh_heap *heap, unsigned level);
/* With `resident`: only where the lowest run is wholly in memory. */
uint32_t rh_pages_alloc_where(struct rh_heap *heap, size_t page_count, bool resident,
			      size_t *scav_pages);
static inline uint32_t rh_pages_alloc(struct rh_heap *heap, size_t page_count, size_t *scav_pages)
{
	return rh_pages_alloc_where(heap, page_count, false, scav_pages);
}
void rh_pages_free(struct rh_heap *heap, uint32_t page, size_t page_count);
/* Undoes an alloc that found released pages only. */
void rh_pages_take_back(struct rh_heap *heap, uint32_t page, size_t page_count);
/* Frees many ranges one after another at a lower price, or takes many that are free and in memory:
 * *stale, TIER_NO_PAGE before the first, stands for a chunk whose summaries are yet to be written,
 * which rh_pages_next_end does. In between only rh_pages_next_run may be asked, of pages that the
 * last range does not have. */
void rh_pages_free_next(struct rh_heap *heap, uint32_t page, size_t page_count, uint32_t *stale);
void rh_pages_take_next(struct rh_heap *heap, uint32_t page, size_t page_count, uint32_t *stale);
void rh_pages_next_end(struct rh_heap *heap, uint32_t stale);
/* Takes exactly these pages if all of them are free. */
bool rh_pages_take_at(struct rh_heap *heap, uint32_t page, size_t page_count, size_t *scav_pages);
/* New pages, free and scavenged. */
bool rh_pages_grow(struct rh_heap *heap, uint32_t page, size_t page_count);
/* Whether none of these pages was given back. */
bool rh_pages_resident(const struct page_heap *pages, uint32_t page, size_t page_count);
/* The next run, at or above *page, of page_min pages and more that are free and in memory. Returns
 * its length, or page_max if it is longer; 0 = there is none. */
size_t rh_pages_next_run(const struct rh_heap *heap, uint32_t *page, size_t page_min,
			 size_t page_max);
/* Releases free resident pages, runs of page_min and more, highest address first, about page_max of
 * them, and returns how many; 0 = there are none. Drops the heap lock around the system
 * calls while there are other lanes. */
size_t rh_pages_scavenge(struct rh_heap *heap, unsigned page_min, size_t page_max);

/* The lists keep a span struct per free run, so spans go in and come out. */
int rh_lists_open(struct rh_heap *heap);
/* *scav_pages counts the whole run that was cut, for using any of it uses all again; *released
 * says whether all of that run was, and so the pages read as zero. */
struct mspan *rh_lists_alloc(struct rh_heap *heap, size_t page_count, size_t *scav_pages,
			     bool *released);
void rh_lists_free(struct rh_heap *heap, struct mspan *span, size_t scav_pages);
bool rh_lists_grow(struct rh_heap *heap, uint32_t page, size_t page_count);
size_t rh_lists_scavenge(struct rh_heap *heap, size_t page_max);
const char *rh_lists_check(struct rh_heap *heap, uint64_t *free_pages);

/* Page caches: radix only. */
void rh_pages_fill_cache(struct rh_heap *heap, struct page_cache *cache, unsigned page_max);
void rh_pages_flush_cache(struct rh_heap *heap, struct page_cache *cache);

/* Debug: the whole structure. NULL or what is wrong. *free_pages: how many are free. */
const char *rh_pages_check(struct rh_heap *heap, uint64_t *free_pages);

#endif
