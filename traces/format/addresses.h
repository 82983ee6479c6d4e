/*
 * addresses.h - address -> object id, of the blocks that live: the builder's (repair.h).
 *
 * Blocks lie close to each other, and what a program frees next is mostly near what it just
 * used. So the ids lie as the blocks do: a page of 4096 ids for 64 KiB of addresses, one for
 * each 16 bytes; a page is found by the number of its addresses in a small cache. A look is some
 * 10 instructions and mostly in the first cache, where one in a hash table (map.h) is 40 and a
 * miss.
 *
 *	address:  63 ... 16 page | 15 .. 4 place in it | 3..0: 0
 *
 * An address that is no multiple of 16 (small blocks of jemalloc), and those of which there is no
 * page once there are PAGES of them, are in a hash table. A page that was not made then is never
 * made later: so each address has one place.
 *
 * Memory: 8 bytes for each 16 of the heap, as it is touched, and 64 MiB at most; a hash table
 * takes 24 to 49 for each block. Thread rule: one thread. Errors: false = memory ran out.
 */
#ifndef RH_ADDRESSES_H
#define RH_ADDRESSES_H

#include "traces/format/map_find.h"

enum {
	BLOCKS_PAGE_LOG2 = 16, /* of addresses */
	BLOCKS_PLACE_LOG2 = 4, /* alignment of malloc */
	BLOCKS_PAGE_IDS = 1 << (BLOCKS_PAGE_LOG2 - BLOCKS_PLACE_LOG2),
	BLOCKS_GROUP = 64, /* pages taken from the system at once: 2 MiB */
	BLOCKS_GROUPS = 32,
	BLOCKS_SEEN = 256, /* 16 MiB of addresses; 4 KiB, in the first cache */
};

/* A zeroed struct has none. */
struct rh_blocks {
	struct blocks_seen {
		uint64_t number; /* of the page + 1; 0 = none */
		uint64_t *ids;	 /* + 1; 0 = nothing lives there */
	} seen[BLOCKS_SEEN];
	size_t near;	     /* living ones in pages */
	struct rh_map far;   /* the others */
	struct rh_map pages; /* number -> index */
	uint64_t *group[BLOCKS_GROUPS];
	uint32_t page_count;
	bool full; /* no more pages are made */
};

void rh_blocks_close(struct rh_blocks *blocks);
/* So many can be added. */
bool rh_blocks_reserve(struct rh_blocks *blocks, size_t more);
/* A page that is not in the cache; NULL: the address is not in pages. */
uint64_t *rh_blocks_page(struct rh_blocks *blocks, uint64_t address, bool make);

static inline size_t rh_blocks_count(const struct rh_blocks *blocks)
{
	return blocks->near + blocks->far.count;
}

static inline __attribute__((always_inline)) uint64_t *blocks_place(struct rh_blocks *blocks,
								    uint64_t address, bool make)
{
	uint64_t number = address >> BLOCKS_PAGE_LOG2;
	const struct blocks_seen *seen = &blocks->seen[number % BLOCKS_SEEN];
	size_t at = address >> BLOCKS_PLACE_LOG2 & (BLOCKS_PAGE_IDS - 1);
	uint64_t *ids = seen->ids;

	if (address & ((1 << BLOCKS_PLACE_LOG2) - 1))
		return NULL;
	if (__builtin_expect(seen->number != number + 1, 0))
		ids = rh_blocks_page(blocks, address, make);
	return ids ? ids + at : NULL;
}

/* An address that is free; false: a block lives there. Room was made before. */
static inline __attribute__((always_inline)) bool blocks_add(struct rh_blocks *blocks,
							     uint64_t address, uint64_t id)
{
	uint64_t *place = blocks_place(blocks, address, true);

	rh_debug_assert(id != RH_MAP_NONE);
	if (__builtin_expect(!place, 0))
		return rh_map_add(&blocks->far, address, id);
	if (*place)
		return false;
	*place = id + 1;
	blocks->near++;
	return true;
}

/* The id removed or RH_MAP_NONE. */
static inline __attribute__((always_inline)) uint64_t blocks_remove(struct rh_blocks *blocks,
								    uint64_t address)
{
	uint64_t *place = blocks_place(blocks, address, false), id;

	if (__builtin_expect(!place, 0))
		return rh_map_remove(&blocks->far, address);
	id = *place - 1; /* 0 wraps to RH_MAP_NONE */
	blocks->near -= *place != 0;
	*place = 0;
	return id;
}

/* The id or RH_MAP_NONE. */
static inline uint64_t blocks_get(struct rh_blocks *blocks, uint64_t address)
{
	const uint64_t *place = blocks_place(blocks, address, false);

	return place ? *place - 1 : rh_map_get(&blocks->far, address);
}

_Static_assert(RH_MAP_NONE == (uint64_t)0 - 1, "an empty place reads as that");

#endif
