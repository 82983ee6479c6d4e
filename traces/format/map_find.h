/*
 * map_find.h - how a key is found in a map (map.h): for map.c, and for the loop over a row of calls
 * (repair_row.c), where a call for each key would take as long as the search.
 *
 * Private to these. Thread rule: one thread. Errors: none.
 */
#ifndef RH_MAP_FIND_H
#define RH_MAP_FIND_H

#include <assert.h>

#include "alloc/base/debug.h"
#include "traces/format/map.h"

/* Seven tags and a count (`passed`) fill the first word of a bucket: one compare looks at all
 * seven. */
#define MAP_LOW_BITS  0x0001010101010101ull /* of the seven bytes */
#define MAP_HIGH_BITS (MAP_LOW_BITS << 7)

/* Where a key is looked for: its first bucket and the byte of its hash. */
struct map_way {
	size_t home;
	uint64_t tag;
};

static inline struct map_way map_way(const struct rh_map *map, uint64_t key)
{
	/* The top seven bits; the home is made of lower ones, so keys of one bucket
	 * differ in their tags. */
	return (struct map_way){ rh_map_home(map, key), 0x80 | rh_map_hash(key) >> 57 };
}

/* The high bit of every byte that is the tag, and maybe of one right above such a byte. */
static inline uint64_t map_maybe(const struct rh_map_bucket *bucket, uint64_t tag)
{
	uint64_t other = bucket->tags ^ MAP_LOW_BITS * tag;

	/* The borrow of a zero byte can reach the byte above: hence the compare of
	 * the whole key. (SSE2's compare of bytes saves 5 of 400 instructions a call.) */
	return (other - MAP_LOW_BITS) & ~other & MAP_HIGH_BITS;
}

/* A tag has its high bit set, so that 0 is "empty" and a bucket of zeros needs no making. */
static inline uint64_t map_empty_slots(const struct rh_map_bucket *bucket)
{
	return ~bucket->tags & MAP_HIGH_BITS;
}

static inline unsigned map_slot_of(uint64_t bits)
{
	rh_debug_assert(bits != 0);
	return (unsigned)__builtin_ctzll(bits) / 8;
}

/* The slot of a key in its bucket, RH_MAP_BUCKET: not there. */
static inline unsigned map_find_in(const struct rh_map_bucket *bucket, uint64_t key, uint64_t tag)
{
	for (uint64_t bits = map_maybe(bucket, tag); bits; bits &= bits - 1) {
		unsigned slot = map_slot_of(bits);

		if (bucket->entry[slot].key == key && rh_map_taken(bucket, slot))
			return slot;
	}
	return RH_MAP_BUCKET;
}

/* The entry of a key or NULL; *at is its bucket. */
static inline struct rh_map_entry *map_find(const struct rh_map *map, uint64_t key,
					    struct map_way way, size_t *at)
{
	rh_debug_assert(map->cap && (map->cap & (map->cap - 1)) == 0);
	for (size_t b = way.home;; b = (b + 1) & (map->cap - 1)) {
		struct rh_map_bucket *bucket = &map->buckets[b];
		unsigned slot = map_find_in(bucket, key, way.tag);

		if (slot < RH_MAP_BUCKET) {
			*at = b;
			return &bucket->entry[slot];
		}
		/* No key was ever pushed past this bucket, so it is not further on either. */
		if (!bucket->passed)
			return NULL;
	}
}

/* A key that is not there, where there is room for one. */
static inline void map_insert(struct rh_map *map, uint64_t key, uint64_t value, struct map_way way)
{
	struct rh_map_bucket *bucket = &map->buckets[way.home];
	unsigned slot;

	/* Counts itself in each bucket that it passes; a removal walks the same way
	 * and counts it out. */
	for (size_t b = way.home; !map_empty_slots(bucket); bucket = &map->buckets[b]) {
		bucket->passed++;
		b = (b + 1) & (map->cap - 1);
	}
	slot = map_slot_of(map_empty_slots(bucket));
	bucket->tags |= way.tag << (8 * slot);
	bucket->entry[slot] = (struct rh_map_entry){ key, value };
}

/* An addition to a map that has room; false: the key is there already. Nearly always its bucket has
 * no such tag and was never passed, which is one compare and one test. */
static inline bool map_add(struct rh_map *map, uint64_t key, uint64_t value)
{
	struct map_way way = map_way(map, key);
	size_t at;

	rh_debug_assert(value != RH_MAP_NONE);
	if (map_find(map, key, way, &at))
		return false;
	map_insert(map, key, value, way);
	map->count++;
	return true;
}

/* A removal from a map that has buckets: the value or RH_MAP_NONE. */
static inline uint64_t map_remove(struct rh_map *map, uint64_t key)
{
	struct map_way way = map_way(map, key);
	struct rh_map_entry *entry;
	uint64_t value;
	size_t at;

	entry = map_find(map, key, way, &at);
	if (!entry)
		return RH_MAP_NONE;
	rh_debug_assert(map->count > 0);
	value = entry->value;
	/* The tag alone: the key may stay, because a look compares it only where the
	 * tag says that the slot is taken. */
	map->buckets[at].tags &= ~(0xffull << (8 * (entry - map->buckets[at].entry)));
	map->count--;
	for (size_t b = way.home; b != at; b = (b + 1) & (map->cap - 1)) {
		rh_debug_assert(map->buckets[b].passed > 0);
		map->buckets[b].passed--;
	}
	return value;
}

#endif
