/*
 * map.h - 64-bit keys to 64-bit values: addresses to objects, thread names to lanes.
 *
 * Buckets of seven, two cache lines each, at most three quarters full. The first word of a
 * bucket has a byte of every key's hash, so a look compares seven keys at once and then, as a
 * rule, one key in full. A key lies in the first bucket from its home on that had room; each
 * bucket counts the keys that found it full and went past it, and a look ends where that is
 * none. So nothing is moved and there are no tombstones: a table that churns for ever stays as
 * fast as a new one. An addition or a removal is some 30 instructions.
 *
 *	tags | passed | key, value | key, value | key, value
 *	key, value | key, value | key, value | key, value
 *
 * Memory: 24 to 49 bytes for each of the most keys at once, 1.5 x that while it
 * doubles. Thread rule: one thread.
 */
#ifndef RH_MAP_H
#define RH_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "alloc/base/debug.h"

#define RH_MAP_NONE UINT64_MAX /* no value; cannot be stored */

enum { RH_MAP_BUCKET = 7, RH_MAP_LINE = 64 };

struct rh_map_entry {
	uint64_t key, value;
};

struct rh_map_bucket {
	uint64_t tags;	 /* a byte for each entry: 0 = empty, else 0x80 | 7 bits of the hash */
	uint64_t passed; /* keys that lie behind it and would lie here or before */
	struct rh_map_entry entry[RH_MAP_BUCKET];
};
_Static_assert(sizeof(struct rh_map_bucket) == 2 * RH_MAP_LINE, "two lines");

/* A zeroed struct is an empty map. */
struct rh_map {
	struct rh_map_bucket *buckets;
	size_t count, cap; /* keys; buckets: 0 or a power of two */
};

void rh_map_close(struct rh_map *map);
/* Forgets all keys; the memory stays. */
void rh_map_empty(struct rh_map *map);
/* Value or RH_MAP_NONE. */
uint64_t rh_map_get(const struct rh_map *map, uint64_t key);
/* Adds or replaces; false when memory ran out. */
bool rh_map_put(struct rh_map *map, uint64_t key, uint64_t value);
/* The value removed or RH_MAP_NONE. */
uint64_t rh_map_remove(struct rh_map *map, uint64_t key);
/* Adds a key that may be there: then false, and nothing is changed. Room was made before. */
bool rh_map_add(struct rh_map *map, uint64_t key, uint64_t value);
/* So many keys can be added; false when memory ran out. */
bool rh_map_reserve(struct rh_map *map, size_t more);

static inline uint64_t rh_map_hash(uint64_t key)
{
	/* Addresses differ in the middle bits; the multiply brings them to the top. */
	return key * 0x9E3779B97F4A7C15ull;
}

/* The shift keeps clusters of one page apart. */
static inline size_t rh_map_home(const struct rh_map *map, uint64_t key)
{
	uint64_t h = rh_map_hash(key);

	rh_debug_assert(map->cap > 0);
	return (size_t)(h ^ h >> 32) & (map->cap - 1);
}

/* Where the look for a key begins, two lines to be prefetched; NULL while the map is empty. (No
 * function that prefetches: gcc takes one that does nothing else for one without effect.) */
static inline const char *rh_map_place(const struct rh_map *map, uint64_t key)
{
	return map->cap ? (const char *)&map->buckets[rh_map_home(map, key)] : NULL;
}

static inline bool rh_map_taken(const struct rh_map_bucket *bucket, unsigned slot)
{
	return bucket->tags >> (8 * slot) & 0x80;
}

#endif
