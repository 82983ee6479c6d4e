/*
 * map.h - 64-bit keys to 64-bit values: addresses to objects, thread names to lanes.
 *
 * Open addressing with linear probing, at most half full; a removal shifts its run back,
 * so there are no tombstones and a table that churns for ever stays as fast as a new one.
 * Memory: malloc, O(most keys at once). Thread rule: one thread.
 */
#ifndef RH_MAP_H
#define RH_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RH_MAP_NONE UINT64_MAX	/* no value: marks an empty slot, cannot be stored */

struct rh_map_slot { uint64_t key, value; };

/* A zeroed struct is an empty map. */
struct rh_map {
	struct rh_map_slot *slots;
	size_t count, cap;		/* cap is 0 or a power of two */
};

void rh_map_close(struct rh_map *map);
/* Value or RH_MAP_NONE. */
uint64_t rh_map_get(const struct rh_map *map, uint64_t key);
/* Adds or replaces; false when memory ran out. */
bool rh_map_put(struct rh_map *map, uint64_t key, uint64_t value);
/* The value removed or RH_MAP_NONE. */
uint64_t rh_map_remove(struct rh_map *map, uint64_t key);

#endif
