/*
 * map.c - see map.h.
 */
#include "traces/map.h"

#include <string.h>

#include "traces/large.h"

enum { CAP_FIRST = 16 };

/* Bit i: slot i holds the key. All four are looked at: a loop that stops mispredicts. */
static inline unsigned holds(const struct rh_map_bucket *bucket, uint64_t key)
{
	unsigned slots = 0;

	for (unsigned i = 0; i < RH_MAP_BUCKET; i++)
		slots |= (unsigned)(bucket->key[i] == key && bucket->taken[i]) << i;
	return slots;
}

static inline unsigned empty_slots(const struct rh_map_bucket *bucket)
{
	unsigned slots = 0;

	for (unsigned i = 0; i < RH_MAP_BUCKET; i++)
		slots |= (unsigned)!bucket->taken[i] << i;
	return slots;
}

/* The slot of a key: true; or the empty slot where it would go: false. */
static inline bool find(const struct rh_map *map, uint64_t key, size_t *at, unsigned *slot)
{
	size_t b = rh_map_home(map, key);

	for (;; b = (b + 1) & (map->cap - 1)) {
		const struct rh_map_bucket *bucket = &map->buckets[b];
		unsigned slots = holds(bucket, key);
		bool found = slots != 0;

		if (!found)
			slots = empty_slots(bucket);
		if (slots) {
			*at = b;
			*slot = (unsigned)__builtin_ctz(slots);
			return found;
		}
	}
}

static bool grow(struct rh_map *map)
{
	struct rh_map bigger = { .cap = map->cap ? map->cap * 2 : CAP_FIRST, .count = map->count };
	unsigned slot;
	size_t at;

	if (bigger.cap > SIZE_MAX / sizeof(*bigger.buckets))
		return false;
	bigger.buckets = rh_large(bigger.cap * sizeof(*bigger.buckets));
	if (!bigger.buckets)
		return false;
	for (size_t b = 0; b < map->cap; b++) {
		for (unsigned i = 0; i < RH_MAP_BUCKET; i++) {
			const struct rh_map_bucket *from = &map->buckets[b];

			if (!from->taken[i])
				continue;
			find(&bigger, from->key[i], &at, &slot);
			bigger.buckets[at].key[slot] = from->key[i];
			bigger.buckets[at].taken[slot] = from->taken[i];
		}
	}
	rh_large_free(map->buckets, map->cap * sizeof(*map->buckets));
	*map = bigger;
	return true;
}

void rh_map_close(struct rh_map *map)
{
	rh_large_free(map->buckets, map->cap * sizeof(*map->buckets));
	memset(map, 0, sizeof(*map));
}

uint64_t rh_map_get(const struct rh_map *map, uint64_t key)
{
	unsigned slot;
	size_t at;

	if (!map->cap || !find(map, key, &at, &slot))
		return RH_MAP_NONE;
	return ~map->buckets[at].taken[slot];
}

bool rh_map_put(struct rh_map *map, uint64_t key, uint64_t value)
{
	unsigned slot;
	size_t at;

	if (map->count >= map->cap * (RH_MAP_BUCKET - 1) && !grow(map))
		return false;
	map->count += !find(map, key, &at, &slot);
	map->buckets[at].key[slot] = key;
	map->buckets[at].taken[slot] = ~value;
	return true;
}

/* A full bucket lost a key: one behind it whose way led through here comes back, and so on. */
static void pull_back(struct rh_map *map, size_t hole, unsigned slot)
{
	size_t mask = map->cap - 1;
	bool full = true;

	for (size_t b = (hole + 1) & mask; full; b = (b + 1) & mask) {
		struct rh_map_bucket *bucket = &map->buckets[b];

		full = !empty_slots(bucket);
		for (unsigned i = 0; i < RH_MAP_BUCKET; i++) {
			size_t home = rh_map_home(map, bucket->key[i]);

			if (!bucket->taken[i] || ((b - home) & mask) < ((b - hole) & mask))
				continue;
			map->buckets[hole].key[slot] = bucket->key[i];
			map->buckets[hole].taken[slot] = bucket->taken[i];
			bucket->taken[i] = 0;
			hole = b;
			slot = i;
			break;
		}
	}
}

uint64_t rh_map_remove(struct rh_map *map, uint64_t key)
{
	unsigned slot;
	uint64_t value;
	bool full;
	size_t at;

	if (!map->cap || !find(map, key, &at, &slot))
		return RH_MAP_NONE;
	value = ~map->buckets[at].taken[slot];
	full = !empty_slots(&map->buckets[at]);
	map->buckets[at].taken[slot] = 0;
	map->count--;
	if (full)
		pull_back(map, at, slot);
	return value;
}
