/*
 * map.c - see map.h.
 */
#include "traces/map.h"

#include <stdlib.h>
#include <string.h>

static size_t home(const struct rh_map *map, uint64_t key)
{
	/* Addresses differ in the middle bits; the multiply brings them to the top, the
	 * second shift keeps clusters of one page apart. */
	uint64_t h = key * 0x9E3779B97F4A7C15ull;

	return (size_t)(h ^ h >> 32) & (map->cap - 1);
}

static size_t find(const struct rh_map *map, uint64_t key)
{
	size_t i = home(map, key);

	while (map->slots[i].value != RH_MAP_NONE && map->slots[i].key != key)
		i = (i + 1) & (map->cap - 1);
	return i;
}

static bool grow(struct rh_map *map)
{
	struct rh_map bigger = { .cap = map->cap ? map->cap * 2 : 64, .count = map->count };

	bigger.slots = malloc(bigger.cap * sizeof(*bigger.slots));
	if (!bigger.slots)
		return false;
	memset(bigger.slots, 0xff, bigger.cap * sizeof(*bigger.slots));
	for (size_t i = 0; i < map->cap; i++)
		if (map->slots[i].value != RH_MAP_NONE)
			bigger.slots[find(&bigger, map->slots[i].key)] = map->slots[i];
	free(map->slots);
	*map = bigger;
	return true;
}

void rh_map_close(struct rh_map *map)
{
	free(map->slots);
	memset(map, 0, sizeof(*map));
}

uint64_t rh_map_get(const struct rh_map *map, uint64_t key)
{
	return map->cap ? map->slots[find(map, key)].value : RH_MAP_NONE;
}

bool rh_map_put(struct rh_map *map, uint64_t key, uint64_t value)
{
	size_t i;

	if (map->count >= map->cap / 2 && !grow(map))
		return false;
	i = find(map, key);
	map->count += map->slots[i].value == RH_MAP_NONE;
	map->slots[i] = (struct rh_map_slot){ key, value };
	return true;
}

uint64_t rh_map_remove(struct rh_map *map, uint64_t key)
{
	size_t mask = map->cap - 1, hole, i;
	uint64_t value;

	if (!map->cap)
		return RH_MAP_NONE;
	hole = find(map, key);
	value = map->slots[hole].value;
	if (value == RH_MAP_NONE)
		return value;
	for (i = (hole + 1) & mask; map->slots[i].value != RH_MAP_NONE; i = (i + 1) & mask) {
		/* Fills the hole unless the key's home lies cyclically in (hole, i]. */
		if (((i - home(map, map->slots[i].key)) & mask) >= ((i - hole) & mask)) {
			map->slots[hole] = map->slots[i];
			hole = i;
		}
	}
	map->slots[hole].value = RH_MAP_NONE;
	map->count--;
	return value;
}
