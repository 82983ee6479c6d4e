/*
 * live_map.c - a shadow of the address space, made where blocks are.
 *
 *	address   [ 63..48 zero | top 14 bits | middle 14 bits | granule 16 bits | 4 bits ]
 *	top[16384] -> middle[16384] -> region of 1 MiB: lock, claimed bits, entries
 *
 * A region has one bit per granule of 16 bytes ("claimed") and one word per granule
 * that is filled where a block starts. Both tables are mapped whole and touched in
 * part, so the price is 8 bytes per block plus a page here and there. Regions appear by
 * compare-and-swap and stay until close; lookups take no lock above the region's.
 *
 * Entry word: size << 8 | front_log2 << 2 | state. A freed block keeps its word, so that
 * a second free can be distinguished from a wild one until a new block starts there.
 */
#include "alloc/heap/live_map.h"

#include <assert.h>

enum {
	GRANULE_LOG2 = 4,
	REGION_LOG2 = 20,
	/* Split evenly: a table of 2^14 pointers is 128 KiB, of which only the pages
	 * in use are touched. */
	MIDDLE_BITS = 14,
	TOP_BITS = 14,
	GRANULES = 1 << (REGION_LOG2 - GRANULE_LOG2),
	ENTRY_LIVE = 1,
	ENTRY_FREED = 2,
	ENTRY_STATE = 3,
	/* Above every other rank: a caller may hold locks of its own, and the map
	 * takes none beside this. */
	LOCK_RANK = 900,
};
_Static_assert(REGION_LOG2 + MIDDLE_BITS + TOP_BITS == 48, "all of user space has a place");

/* 8 KiB of bits and 512 KiB of entries, of which the pages that blocks start in are
 * touched. */
struct region {
	struct rh_lock lock;
	uint64_t claimed[GRANULES / 64];
	uint64_t entry[GRANULES];
};

struct middle {
	_Atomic(struct region *) region[1 << MIDDLE_BITS];
};

struct rh_live_map {
	_Atomic(struct middle *) top[1 << TOP_BITS];
};

static const struct rh_lock_class region_class = { "checked.region", LOCK_RANK, 0 };

/* Zeroed pages are an empty map. */
struct rh_live_map *rh_live_map_open(void)
{
	return rh_map(sizeof(struct rh_live_map));
}

void rh_live_map_close(struct rh_live_map *map)
{
	for (int i = 0; i < 1 << TOP_BITS; i++) {
		struct middle *middle = map->top[i];

		for (int j = 0; middle && j < 1 << MIDDLE_BITS; j++)
			rh_unmap(middle->region[j], sizeof(struct region));
		rh_unmap(middle, sizeof(struct middle));
	}
	rh_unmap(map, sizeof(*map));
}

static struct middle *middle_of(struct rh_live_map *map, uintptr_t p, bool make)
{
	_Atomic(struct middle *) *slot;
	struct middle *seen, *mine;

	/* User space ends below 2^48 here (five levels of page tables give more only on request):
	 * what lies above is no block. */
	if (p >> (REGION_LOG2 + MIDDLE_BITS + TOP_BITS))
		return NULL;
	slot = &map->top[p >> (REGION_LOG2 + MIDDLE_BITS)];
	seen = atomic_load_explicit(slot, memory_order_acquire);
	if (seen || !make)
		return seen;
	mine = rh_map(sizeof(*mine));
	/* The loser of the race unmaps its own and uses the winner's, which the
	 * failed exchange has put into seen. */
	if (!mine || atomic_compare_exchange_strong(slot, &seen, mine))
		return mine;
	rh_unmap(mine, sizeof(*mine));
	return seen;
}

static struct region *region_of(struct rh_live_map *map, uintptr_t p, bool make)
{
	struct middle *middle = middle_of(map, p, make);
	_Atomic(struct region *) *slot;
	struct region *seen, *mine;

	if (!middle)
		return NULL;
	slot = &middle->region[(p >> REGION_LOG2) & ((1 << MIDDLE_BITS) - 1)];
	seen = atomic_load_explicit(slot, memory_order_acquire);
	if (seen || !make)
		return seen;
	mine = rh_map(sizeof(*mine));
	if (!mine)
		return NULL;
	/* Before it is visible: the exchange publishes it with its lock. */
	rh_lock_init(&mine->lock, &region_class, (uint32_t)(p >> REGION_LOG2));
	if (atomic_compare_exchange_strong(slot, &seen, mine))
		return mine;
	rh_unmap(mine, sizeof(*mine));
	return seen;
}

static size_t granule_of(uintptr_t p)
{
	return (p >> GRANULE_LOG2) & (GRANULES - 1);
}

/* The bits of granules first..last (inclusive, one region) in word number `word`. Whole words
 * at a time: a block of 1 MiB is 1,024 words, where bit by bit it would be 65,536 steps under
 * the lock. */
static uint64_t mask_of(size_t first, size_t last, size_t word)
{
	uint64_t mask = UINT64_MAX;

	assert(first <= last && word >= first / 64 && word <= last / 64);
	if (word == first / 64)
		mask &= UINT64_MAX << (first % 64);
	if (word == last / 64)
		mask &= UINT64_MAX >> (63 - last % 64);
	return mask;
}

/* Two passes, so that a claim that fails changes nothing. The lock makes the pair one
 * step: of two blocks that overlap one claim fails. */
static bool region_claim(struct region *region, size_t first, size_t last)
{
	bool free_all = true;

	assert(last < GRANULES);
	rh_lock(&region->lock);
	for (size_t word = first / 64; word <= last / 64 && free_all; word++)
		free_all = !(region->claimed[word] & mask_of(first, last, word));
	for (size_t word = first / 64; word <= last / 64 && free_all; word++)
		region->claimed[word] |= mask_of(first, last, word);
	rh_unlock(&region->lock);
	return free_all;
}

static void region_release(struct region *region, size_t first, size_t last)
{
	rh_lock(&region->lock);
	for (size_t word = first / 64; word <= last / 64; word++) {
		uint64_t mask = mask_of(first, last, word);

		assert((region->claimed[word] & mask) == mask); /* given back as it was claimed */
		region->claimed[word] &= ~mask;
	}
	rh_unlock(&region->lock);
}

/* Last byte of [at, end) that is in the region of at. */
static uintptr_t last_in_region(uintptr_t at, uintptr_t end)
{
	assert(at < end);
	uintptr_t region_last = at | ((1u << REGION_LOG2) - 1);

	return region_last < end - 1 ? region_last : end - 1;
}

/* One region after another and never two locks at once, so no order among regions is
 * needed. A claim that fails in a later region gives back those before it. */
enum rh_live_answer rh_live_map_claim(struct rh_live_map *map, uintptr_t base, size_t bytes)
{
	uintptr_t end = base + bytes, last;

	for (uintptr_t at = base; at < end; at = last + 1) {
		struct region *region = region_of(map, at, true);
		bool mine;

		last = last_in_region(at, end);
		mine = region && region_claim(region, granule_of(at), granule_of(last));
		if (mine)
			continue;
		rh_live_map_release(map, base, at - base);
		return region ? RH_LIVE_OVERLAP : RH_LIVE_NO_MEMORY;
	}
	return RH_LIVE_OK;
}

/* In a sound program every region exists; after a violation that a test ignores, one may
 * be missing. */
void rh_live_map_release(struct rh_live_map *map, uintptr_t base, size_t bytes)
{
	uintptr_t end = base + bytes, last;

	for (uintptr_t at = base; at < end; at = last + 1) {
		struct region *region = region_of(map, at, false);

		last = last_in_region(at, end);
		if (region)
			region_release(region, granule_of(at), granule_of(last));
	}
}

enum rh_live_answer rh_live_map_enter(struct rh_live_map *map, uintptr_t p,
				      const struct rh_live_block *block)
{
	struct region *region = region_of(map, p, true);

	if (!region)
		return RH_LIVE_NO_MEMORY;
	rh_lock(&region->lock);
	/* What the entry word has room for; checked.c refuses sizes from 2^55 on. */
	assert(block->size < 1ull << 56 && block->front_log2 < 64);
	assert(region->claimed[granule_of(p) / 64] >> (granule_of(p) % 64) & 1);
	region->entry[granule_of(p)] = block->size << 8 | block->front_log2 << 2 | ENTRY_LIVE;
	rh_unlock(&region->lock);
	return RH_LIVE_OK;
}

static void unpack(uint64_t entry, struct rh_live_block *block)
{
	block->size = entry >> 8;
	block->front_log2 = (unsigned)(entry >> 2) & 63;
}

enum rh_live_answer rh_live_map_take(struct rh_live_map *map, uintptr_t p,
				     struct rh_live_block *block)
{
	struct region *region = region_of(map, p, false);
	size_t granule = granule_of(p);
	enum rh_live_answer answer = RH_LIVE_UNKNOWN;
	uint64_t entry;
	bool claimed;

	if (!region)
		return RH_LIVE_UNKNOWN;
	rh_lock(&region->lock);
	entry = region->entry[granule];
	claimed = region->claimed[granule / 64] >> (granule % 64) & 1;
	/* No block starts there, so its word would be that of a neighbour. */
	if (p % (1 << GRANULE_LOG2) != 0) {
		answer = claimed ? RH_LIVE_INSIDE : RH_LIVE_UNKNOWN;
	} else if ((entry & ENTRY_STATE) == ENTRY_LIVE) {
		unpack(entry, block);
		/* Under the lock: of two threads that free the same block exactly one
		 * gets OK. */
		region->entry[granule] = (entry & ~(uint64_t)ENTRY_STATE) | ENTRY_FREED;
		answer = RH_LIVE_OK;
	} else if ((entry & ENTRY_STATE) == ENTRY_FREED) {
		/* Claimed again means that another block lies over the old start: not
		 * a second free of this one. */
		answer = claimed ? RH_LIVE_INSIDE : RH_LIVE_WAS_FREED;
	} else if (claimed) {
		answer = RH_LIVE_INSIDE;
	}
	rh_unlock(&region->lock);
	return answer;
}

/* Calls fn(region, address of the region) for all of them. In the order of addresses; regions
 * that appear meanwhile may be missed, which is why the heap must be quiet. */
static void each_region(struct rh_live_map *map,
			void (*fn)(void *ctx, struct region *region, uintptr_t base), void *ctx)
{
	for (uintptr_t i = 0; i < 1 << TOP_BITS; i++) {
		struct middle *middle = atomic_load(&map->top[i]);

		for (uintptr_t j = 0; middle && j < 1 << MIDDLE_BITS; j++) {
			struct region *region = atomic_load(&middle->region[j]);

			if (region)
				fn(ctx, region, (i << MIDDLE_BITS | j) << REGION_LOG2);
		}
	}
}

struct each {
	void (*fn)(void *ctx, uintptr_t p, const struct rh_live_block *block);
	void *ctx;
};

static void each_block(void *ctx, struct region *region, uintptr_t base)
{
	struct each *each = ctx;
	struct rh_live_block block;

	for (size_t i = 0; i < GRANULES; i++) {
		if (i % 64 == 0 && region->claimed[i / 64] == 0) {
			i += 63; /* leaves the entries of unused pages untouched */
			continue;
		}
		if ((region->entry[i] & ENTRY_STATE) != ENTRY_LIVE)
			continue;
		unpack(region->entry[i], &block);
		each->fn(each->ctx, base + (i << GRANULE_LOG2), &block);
	}
}

void rh_live_map_each(struct rh_live_map *map,
		      void (*fn)(void *ctx, uintptr_t p, const struct rh_live_block *block),
		      void *ctx)
{
	struct each each = { fn, ctx };

	each_region(map, each_block, &each);
}

struct each_lock {
	void (*emit)(void *ctx, const struct rh_lock_stats *lock);
	void *ctx;
};

static void emit_lock(void *ctx, struct region *region, uintptr_t base)
{
	struct each_lock *each = ctx;
	struct rh_lock_stats stats;

	(void)base;
	rh_lock_read(&region->lock, &stats);
	each->emit(each->ctx, &stats);
}

void rh_live_map_locks(struct rh_live_map *map,
		       void (*emit)(void *ctx, const struct rh_lock_stats *lock), void *ctx)
{
	struct each_lock each = { emit, ctx };

	each_region(map, emit_lock, &each);
}
