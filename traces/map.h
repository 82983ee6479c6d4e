/*
 * map.h - 64-bit keys to 64-bit values: addresses to objects, thread names to lanes.
 *
 * Buckets of four, one cache line each, at most three quarters full. A key lies in the first
 * bucket from its home on that had room: a look ends at a bucket that is not full, and only
 * a removal from a full one looks for a key behind it to pull back. So there are no
 * tombstones, and a table that churns for ever stays as fast as a new one.
 *
 * Memory: 22 to 43 bytes for each of the most keys at once, half as much again while it
 * doubles. Thread rule: one thread.
 */
#ifndef RH_MAP_H
#define RH_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RH_MAP_NONE UINT64_MAX	/* no value: marks an empty slot, cannot be stored */

enum { RH_MAP_BUCKET = 4 };

struct rh_map_bucket {
	uint64_t key[RH_MAP_BUCKET];
	uint64_t taken[RH_MAP_BUCKET];	/* ~value; 0 = empty, as zeroed pages are */
};

/* A zeroed struct is an empty map. */
struct rh_map {
	struct rh_map_bucket *buckets;
	size_t count, cap;		/* keys; buckets: 0 or a power of two */
};

void rh_map_close(struct rh_map *map);
/* Value or RH_MAP_NONE. */
uint64_t rh_map_get(const struct rh_map *map, uint64_t key);
/* Adds or replaces; false when memory ran out. */
bool rh_map_put(struct rh_map *map, uint64_t key, uint64_t value);
/* The value removed or RH_MAP_NONE. */
uint64_t rh_map_remove(struct rh_map *map, uint64_t key);

static inline size_t rh_map_home(const struct rh_map *map, uint64_t key)
{
	/* Addresses differ in the middle bits; the multiply brings them to the top, the
	 * second shift keeps clusters of one page apart. */
	uint64_t h = key * 0x9E3779B97F4A7C15ull;

	return (size_t)(h ^ h >> 32) & (map->cap - 1);
}

/* Where the look for a key begins, to be prefetched; NULL while the map is empty. (No function
 * that prefetches: gcc takes one that does nothing else for one without effect.) */
static inline const void *rh_map_place(const struct rh_map *map, uint64_t key)
{
	return map->cap ? &map->buckets[rh_map_home(map, key)] : NULL;
}

#endif
