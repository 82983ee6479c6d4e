/*
 * live.c - see live.h for the shape.
 *
 * Invariants: a bit is set exactly for a living object; chunk[c] and group[g] are the
 * population counts of their ranges; ids rise with positions; positions from top on
 * have no bits set.
 */
#include "traces/live.h"

#include <stdlib.h>
#include <string.h>

enum {
	WORD_BITS = 64,
	CHUNK_WORDS = 64,		/* 4096 positions: the count fits 16 bits */
	GROUP_CHUNKS = 64,		/* 262144 positions */
	CHUNK_BITS = WORD_BITS * CHUNK_WORDS,
	GROUP_BITS = CHUNK_BITS * GROUP_CHUNKS,
	CAPACITY_FIRST = CHUNK_BITS,	/* small: its bitmap stays in the L1 cache */
};

struct rh_live {
	uint64_t *words;
	uint16_t *chunks;
	uint32_t *groups;
	uint64_t *old_ids;
	unsigned char *payload;
	size_t payload_bytes;
	uint64_t old_count, first_new;
	uint64_t top, capacity;
	uint64_t count, births;
};

static bool grow(void **array, size_t count_old, size_t count, size_t item_bytes)
{
	void *p;

	if (item_bytes == 0)
		return true;
	p = count > SIZE_MAX / item_bytes ? NULL : realloc(*array, count * item_bytes);
	if (!p)
		return false;
	memset((char *)p + count_old * item_bytes, 0, (count - count_old) * item_bytes);
	*array = p;
	return true;
}

static bool set_capacity(struct rh_live *live, uint64_t capacity)
{
	uint64_t old = live->capacity;
	uint64_t groups_old = (old + GROUP_BITS - 1) / GROUP_BITS;
	uint64_t groups = (capacity + GROUP_BITS - 1) / GROUP_BITS;
	void *words = live->words, *chunks = live->chunks, *group = live->groups;
	void *ids = live->old_ids, *payload = live->payload;
	bool ok = grow(&words, old / WORD_BITS, capacity / WORD_BITS, sizeof(uint64_t)) &&
		  grow(&chunks, old / CHUNK_BITS, capacity / CHUNK_BITS, sizeof(uint16_t)) &&
		  grow(&group, groups_old, groups, sizeof(uint32_t)) &&
		  grow(&ids, old, capacity, sizeof(uint64_t)) &&
		  grow(&payload, old, capacity, live->payload_bytes);

	/* What moved has moved, also when a later one failed: the old size still holds. */
	live->words = words;
	live->chunks = chunks;
	live->groups = group;
	live->old_ids = ids;
	live->payload = payload;
	if (ok)
		live->capacity = capacity;
	return ok;
}

struct rh_live *rh_live_open(size_t payload_bytes)
{
	struct rh_live *live = calloc(1, sizeof(*live));

	if (!live)
		return NULL;
	live->payload_bytes = payload_bytes;
	if (!set_capacity(live, CAPACITY_FIRST)) {
		rh_live_close(live);
		return NULL;
	}
	return live;
}

void rh_live_close(struct rh_live *live)
{
	if (!live)
		return;
	free(live->words);
	free(live->chunks);
	free(live->groups);
	free(live->old_ids);
	free(live->payload);
	free(live);
}

uint64_t rh_live_count(const struct rh_live *live)
{
	return live->count;
}

uint64_t rh_live_births(const struct rh_live *live)
{
	return live->births;
}

static uint64_t id_at(const struct rh_live *live, uint64_t position)
{
	return position < live->old_count ? live->old_ids[position] :
					    live->first_new + (position - live->old_count);
}

static void set_bit(struct rh_live *live, uint64_t position)
{
	live->words[position / WORD_BITS] |= 1ull << (position % WORD_BITS);
	live->chunks[position / CHUNK_BITS]++;
	live->groups[position / GROUP_BITS]++;
}

/* Moves the living to the positions 0..count-1, oldest first. */
static void compact(struct rh_live *live)
{
	uint64_t to = 0, words = live->top / WORD_BITS;

	for (uint64_t w = 0; w < words; w++) {
		for (uint64_t bits = live->words[w]; bits; bits &= bits - 1) {
			uint64_t from = w * WORD_BITS + (unsigned)__builtin_ctzll(bits);
			uint64_t id = id_at(live, from);

			if (to != from && live->payload_bytes)
				memcpy(rh_live_payload(live, to), rh_live_payload(live, from),
				       live->payload_bytes);
			/* id_at(from) is read before: `to` never passes `from`. */
			live->old_ids[to++] = id;
		}
		live->words[w] = 0;
	}
	memset(live->chunks, 0, live->capacity / CHUNK_BITS * sizeof(*live->chunks));
	memset(live->groups, 0, (live->capacity + GROUP_BITS - 1) / GROUP_BITS *
					sizeof(*live->groups));
	live->old_count = live->top = to;
	live->first_new = live->births;
	for (uint64_t position = 0; position < to; position++)
		set_bit(live, position);
}

/* Cold: once per capacity/2 births at most. */
static __attribute__((noinline)) bool make_room(struct rh_live *live)
{
	if (live->count <= live->capacity / 2) {
		compact(live);
		return true;
	}
	return live->capacity <= UINT64_MAX / 64 && set_capacity(live, live->capacity * 2);
}

bool rh_live_birth(struct rh_live *live, uint64_t *position)
{
	if (live->top == live->capacity && !make_room(live))
		return false;
	*position = live->top++;
	set_bit(live, *position);
	live->count++;
	live->births++;
	return true;
}

static bool is_set(const struct rh_live *live, uint64_t position)
{
	return live->words[position / WORD_BITS] >> (position % WORD_BITS) & 1;
}

static bool find_old(const struct rh_live *live, uint64_t id, uint64_t *position)
{
	uint64_t low = 0, high = live->old_count;

	while (low < high) {
		uint64_t middle = low + (high - low) / 2;

		if (live->old_ids[middle] < id)
			low = middle + 1;
		else
			high = middle;
	}
	*position = low;
	return low < live->old_count && live->old_ids[low] == id;
}

bool rh_live_find(const struct rh_live *live, uint64_t id, uint64_t *position)
{
	if (id >= live->births)
		return false;
	if (id >= live->first_new)
		*position = live->old_count + (id - live->first_new);
	else if (!find_old(live, id, position))
		return false;
	return is_set(live, *position);
}

uint64_t rh_live_rank(const struct rh_live *live, uint64_t position)
{
	uint64_t w = position / WORD_BITS, c = w / CHUNK_WORDS, g = c / GROUP_CHUNKS;
	uint64_t w_last = (live->top - 1) / WORD_BITS, c_last = w_last / CHUNK_WORDS;
	uint64_t g_last = c_last / GROUP_CHUNKS;
	uint64_t w_end = c == c_last ? w_last : c * CHUNK_WORDS + CHUNK_WORDS - 1;
	uint64_t c_end = g == g_last ? c_last : g * GROUP_CHUNKS + GROUP_CHUNKS - 1;
	uint64_t rank;

	rank = (unsigned)__builtin_popcountll(live->words[w] >> (position % WORD_BITS)) - 1;
	while (w++ < w_end)
		rank += (unsigned)__builtin_popcountll(live->words[w]);
	while (c++ < c_end)
		rank += live->chunks[c];
	while (g++ < g_last)
		rank += live->groups[g];
	return rank;
}

/* Bit number of the set bit that has `rank` set bits above it. */
static unsigned select_in_word(uint64_t word, unsigned rank)
{
	unsigned low = 0, above;

	for (unsigned half = 32; half >= 8; half /= 2) {
		above = (unsigned)__builtin_popcountll(word >> (low + half) &
						       ((1ull << half) - 1));
		if (rank < above)
			low += half;
		else
			rank -= above;
	}
	word = word >> low & 0xff;
	for (;;) {
		unsigned high = 63u - (unsigned)__builtin_clzll(word);

		if (rank-- == 0)
			return low + high;
		word &= ~(1ull << high);
	}
}

bool rh_live_select(const struct rh_live *live, uint64_t rank, uint64_t *position, uint64_t *id)
{
	uint64_t g, c, w, c_last, w_last, bits;

	if (rank >= live->count)
		return false;
	w_last = (live->top - 1) / WORD_BITS;
	c_last = w_last / CHUNK_WORDS;
	for (g = c_last / GROUP_CHUNKS; rank >= live->groups[g]; g--)
		rank -= live->groups[g];
	c = g * GROUP_CHUNKS + GROUP_CHUNKS - 1;
	for (c = c < c_last ? c : c_last; rank >= live->chunks[c]; c--)
		rank -= live->chunks[c];
	w = c * CHUNK_WORDS + CHUNK_WORDS - 1;
	w = w < w_last ? w : w_last;
	while (rank >= (bits = (unsigned)__builtin_popcountll(live->words[w]))) {
		rank -= bits;
		w--;
	}
	*position = w * WORD_BITS + select_in_word(live->words[w], (unsigned)rank);
	*id = id_at(live, *position);
	return true;
}

void *rh_live_payload(const struct rh_live *live, uint64_t position)
{
	return live->payload + position * live->payload_bytes;
}

void rh_live_death(struct rh_live *live, uint64_t position)
{
	live->words[position / WORD_BITS] &= ~(1ull << (position % WORD_BITS));
	live->chunks[position / CHUNK_BITS]--;
	live->groups[position / GROUP_BITS]--;
	live->count--;
}
