/*
 * map.c - see map.h.
 */
#include "traces/format/map_find.h"

#include <assert.h>
#include <string.h>

#include "alloc/base/debug.h"
#include "traces/format/huge_alloc.h"

/* A power of two: buckets are found by a mask. */
enum { CAP_FIRST = 16 };

/* Twice the buckets, all keys put anew: there are no tombstones that a copy could keep. */
static __attribute__((noinline)) bool grow(struct rh_map *map)
{
	struct rh_map bigger = { .cap = map->cap ? map->cap * 2 : CAP_FIRST, .count = map->count };

	if (bigger.cap > SIZE_MAX / sizeof(*bigger.buckets))
		return false;
	/* Zeroed, which is empty; with huge pages, for every look-up is a random
	 * access. */
	bigger.buckets = rh_huge_alloc(bigger.cap * sizeof(*bigger.buckets));
	if (!bigger.buckets)
		return false;
	assert(bigger.count < bigger.cap * RH_MAP_BUCKET); /* a look ends where there is room */
	for (size_t b = 0; b < map->cap; b++) {
		for (unsigned i = 0; i < RH_MAP_BUCKET; i++) {
			const struct rh_map_entry *from = &map->buckets[b].entry[i];

			if (rh_map_taken(&map->buckets[b], i))
				map_insert(&bigger, from->key, from->value,
					   map_way(&bigger, from->key));
		}
	}
	rh_huge_free(map->buckets, map->cap * sizeof(*map->buckets));
	*map = bigger;
	return true;
}

void rh_map_close(struct rh_map *map)
{
	rh_huge_free(map->buckets, map->cap * sizeof(*map->buckets));
	memset(map, 0, sizeof(*map));
}

/* Keeps its room: callers empty a map as often as they fill it. */
void rh_map_empty(struct rh_map *map)
{
	if (map->cap)
		memset(map->buckets, 0, map->cap * sizeof(*map->buckets));
	map->count = 0;
}

/* Three quarters full at most, so that there is always an empty slot for a look to end at. */
static inline bool has_room(const struct rh_map *map, size_t more)
{
	return map->count + more <= map->cap * RH_MAP_BUCKET / 4 * 3;
}

/* Room for a batch at once, so that each addition in it needs no test. */
bool rh_map_reserve(struct rh_map *map, size_t more)
{
	while (!has_room(map, more))
		if (!grow(map))
			return false;
	return true;
}

uint64_t rh_map_get(const struct rh_map *map, uint64_t key)
{
	const struct rh_map_entry *entry;
	size_t at;

	if (!map->cap)
		return RH_MAP_NONE;
	entry = map_find(map, key, map_way(map, key), &at);
	return entry ? entry->value : RH_MAP_NONE;
}

bool rh_map_add(struct rh_map *map, uint64_t key, uint64_t value)
{
	rh_debug_assert(has_room(map, 1));
	if (!map_add(map, key, value))
		return false;
	rh_debug_assert(rh_map_get(map, key) == value);
	return true;
}

/* For maps whose keys come again (threads): two look-ups where rh_map_add does with
 * one. */
bool rh_map_put(struct rh_map *map, uint64_t key, uint64_t value)
{
	size_t at;

	rh_debug_assert(value != RH_MAP_NONE);
	if (!rh_map_reserve(map, 1))
		return false;
	if (!rh_map_add(map, key, value))
		map_find(map, key, map_way(map, key), &at)->value = value;
	return true;
}

uint64_t rh_map_remove(struct rh_map *map, uint64_t key)
{
	uint64_t value = map->cap ? map_remove(map, key) : RH_MAP_NONE;

	rh_debug_assert(rh_map_get(map, key) == RH_MAP_NONE); /* no second one behind it */
	assert(map->count < map->cap * RH_MAP_BUCKET || !map->cap);
	return value;
}
