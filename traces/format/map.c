/*
 * map.c - see map.h.
 */
#include "traces/format/map.h"

#include <assert.h>
#include <string.h>

#include "alloc/base/debug.h"
#include "traces/format/huge_alloc.h"

/* A power of two: buckets are found by a mask. */
enum { CAP_FIRST = 16 };

/* Seven tags and a count (`passed`) fill the first word of a bucket: one compare looks at all
 * seven. */
#define LOW_BITS  0x0001010101010101ull /* of the seven bytes */
#define HIGH_BITS (LOW_BITS << 7)

/* Where a key is looked for: its first bucket and the byte of its hash. */
struct way {
	size_t home;
	uint64_t tag;
};

static inline struct way way_of(const struct rh_map *map, uint64_t key)
{
	/* The top seven bits; the home is made of lower ones, so keys of one bucket
	 * differ in their tags. */
	return (struct way){ rh_map_home(map, key), 0x80 | rh_map_hash(key) >> 57 };
}

/* The high bit of every byte that is the tag, and maybe of one right above such a byte. */
static inline uint64_t maybe(const struct rh_map_bucket *bucket, uint64_t tag)
{
	uint64_t other = bucket->tags ^ LOW_BITS * tag;

	/* The borrow of a zero byte can reach the byte above: hence the compare of
	 * the whole key. */
	return (other - LOW_BITS) & ~other & HIGH_BITS;
}

/* A tag has its high bit set, so that 0 is "empty" and a bucket of zeros needs no making. */
static inline uint64_t empty(const struct rh_map_bucket *bucket)
{
	return ~bucket->tags & HIGH_BITS;
}

static inline unsigned slot_of(uint64_t bits)
{
	rh_debug_assert(bits != 0);
	return (unsigned)__builtin_ctzll(bits) / 8;
}

/* The slot of a key in its bucket, RH_MAP_BUCKET: not there. */
static inline unsigned find_in(const struct rh_map_bucket *bucket, uint64_t key, uint64_t tag)
{
	for (uint64_t bits = maybe(bucket, tag); bits; bits &= bits - 1)
		if (bucket->entry[slot_of(bits)].key == key && rh_map_taken(bucket, slot_of(bits)))
			return slot_of(bits);
	return RH_MAP_BUCKET;
}

/* The entry of a key or NULL; *at is its bucket. */
static inline struct rh_map_entry *find(const struct rh_map *map, uint64_t key, struct way way,
					size_t *at)
{
	rh_debug_assert(map->cap && (map->cap & (map->cap - 1)) == 0);
	for (size_t b = way.home;; b = (b + 1) & (map->cap - 1)) {
		struct rh_map_bucket *bucket = &map->buckets[b];
		unsigned slot = find_in(bucket, key, way.tag);

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
static inline void insert(struct rh_map *map, uint64_t key, uint64_t value, struct way way)
{
	struct rh_map_bucket *bucket = &map->buckets[way.home];
	unsigned slot;

	/* Counts itself in each bucket that it passes; a removal walks the same way
	 * and counts it out. */
	for (size_t b = way.home; !empty(bucket); bucket = &map->buckets[b]) {
		bucket->passed++;
		b = (b + 1) & (map->cap - 1);
	}
	slot = slot_of(empty(bucket));
	bucket->tags |= way.tag << (8 * slot);
	bucket->entry[slot] = (struct rh_map_entry){ key, value };
}

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
				insert(&bigger, from->key, from->value, way_of(&bigger, from->key));
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
	entry = find(map, key, way_of(map, key), &at);
	return entry ? entry->value : RH_MAP_NONE;
}

bool rh_map_add(struct rh_map *map, uint64_t key, uint64_t value)
{
	struct way way = way_of(map, key);
	size_t at;

	rh_debug_assert(has_room(map, 1) && value != RH_MAP_NONE);
	if (find(map, key, way, &at))
		return false;
	insert(map, key, value, way);
	map->count++;
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
		find(map, key, way_of(map, key), &at)->value = value;
	return true;
}

uint64_t rh_map_remove(struct rh_map *map, uint64_t key)
{
	struct rh_map_entry *entry;
	struct way way;
	uint64_t value;
	size_t at;

	if (!map->cap)
		return RH_MAP_NONE;
	way = way_of(map, key);
	entry = find(map, key, way, &at);
	if (!entry)
		return RH_MAP_NONE;
	assert(map->count > 0);
	value = entry->value;
	/* The tag alone: the key may stay, because a look compares it only where the
	 * tag says that the slot is taken. */
	map->buckets[at].tags &= ~(0xffull << (8 * (entry - map->buckets[at].entry)));
	map->count--;
	for (size_t b = way.home; b != at; b = (b + 1) & (map->cap - 1)) {
		rh_debug_assert(map->buckets[b].passed > 0);
		map->buckets[b].passed--;
	}
	rh_debug_assert(rh_map_get(map, key) == RH_MAP_NONE); /* no second one behind it */
	return value;
}
