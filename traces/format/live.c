/*
 * live.c - see live.h for the shape.
 *
 * Invariants: a bit is set exactly for a living object; counts[k][i] is the number of
 * bits set in the i-th stretch of LIVE_LEAF_BITS * LIVE_FAN^k positions; ids rise with positions;
 * positions from top on have no bits set.
 *
 * Costs, by design. A rank reads at most 8 words and one line of counts per level (four
 * levels for 2 * 10^6 living). An id below first_new is looked up through starts[], which
 * cuts the ids into stretches of about two living; the items found there are the ones
 * needed next, so a death costs two cache misses, and rh_live_soon() takes them ahead.
 */
#include "traces/format/live_table.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "alloc/base/debug.h"
#include "traces/format/huge_alloc.h"

enum { CAPACITY_FIRST = 4096 };	  /* small: its bitmap stays in the L1 cache */
#define CAPACITY_MAX (1ull << 32) /* starts[] are 32 bits; LIVE_LEVELS_MAX would reach 2^33 */

#define SET	     ~0u
#define ALL	     ~0ull
const uint32_t rh_live_behind[2 * LIVE_FAN] = {
	[LIVE_FAN] = SET, SET, SET, SET, SET, SET, SET, SET, SET, SET, SET, SET, SET, SET, SET, SET,
};
const uint64_t rh_live_behind_word[2 * LIVE_LEAF_WORDS] = {
	[LIVE_LEAF_WORDS] = ALL, ALL, ALL, ALL, ALL, ALL, ALL, ALL,
};
#undef SET
#undef ALL

/* ---- tables ---- */

/* Each level is rounded up to whole lines of LIVE_FAN counts: a rank then reads full lines and
 * needs no test for the last one. */
static size_t counts_bytes(const struct live_table *table, unsigned level)
{
	uint64_t span = (uint64_t)LIVE_LEAF_BITS << (LIVE_FAN_LOG2 * level);
	uint64_t count = (table->capacity + span - 1) / span;

	assert(level < LIVE_LEVELS_MAX);
	return (size_t)((count + LIVE_FAN - 1) / LIVE_FAN * LIVE_FAN) * sizeof(uint32_t);
}

static size_t words_bytes(const struct live_table *table)
{
	return (size_t)(table->capacity / LIVE_WORD_BITS) * sizeof(uint64_t);
}

static size_t items_bytes(const struct live_table *table)
{
	return (size_t)table->capacity * table->item_bytes;
}

/* One for every two positions and two more: the entry behind the last stretch, and rounding. */
static size_t starts_bytes(const struct live_table *table)
{
	return (size_t)(table->capacity / LIVE_STRETCH + 2) * sizeof(uint32_t);
}

/* Tables are large and short-lived: huge_alloc maps them, so that what is given up goes back to the
 * system instead of staying in malloc's lists. */
static void table_close(struct live_table *table)
{
	for (unsigned level = 0; level < table->levels; level++)
		rh_huge_free(table->counts[level], counts_bytes(table, level));
	rh_huge_free(table->words, words_bytes(table));
	rh_huge_free(table->items, items_bytes(table));
	rh_huge_free(table->starts, starts_bytes(table));
	memset(table, 0, sizeof(*table));
}

/* One level more while the top one would be longer than a line. */
static bool table_open(struct live_table *table, uint64_t capacity, size_t item_bytes)
{
	bool ok;

	*table = (struct live_table){ .capacity = capacity, .item_bytes = item_bytes, .levels = 1 };
	if (capacity > CAPACITY_MAX || capacity > SIZE_MAX / item_bytes)
		return false;
	assert(capacity % LIVE_LEAF_BITS == 0);
	while (counts_bytes(table, table->levels - 1) > LIVE_FAN * sizeof(uint32_t))
		table->levels++;
	assert(table->levels <= LIVE_LEVELS_MAX);
	table->words = rh_huge_alloc(words_bytes(table));
	table->items = rh_huge_alloc(items_bytes(table));
	table->starts = rh_huge_alloc(starts_bytes(table));
	ok = table->words && table->items && table->starts;
	for (unsigned level = 0; level < table->levels; level++) {
		table->counts[level] = rh_huge_alloc(counts_bytes(table, level));
		ok = ok && table->counts[level];
	}
	if (!ok)
		table_close(table);
	return ok;
}

/* Sets the bits of positions 0 .. count-1 and of no others. Counts are written anew from the
 * number alone, because after a move the set has no gaps. */
static void fill_bits(struct live_table *table, uint64_t count)
{
	uint64_t whole = count / LIVE_WORD_BITS;

	assert(count <= table->capacity);
	memset(table->words, 0, words_bytes(table));
	/* After a move the living are the first `count` positions, without a gap. */
	memset(table->words, 0xff, whole * sizeof(uint64_t));
	if (count % LIVE_WORD_BITS)
		table->words[whole] = (1ull << (count % LIVE_WORD_BITS)) - 1;
	for (unsigned level = 0; level < table->levels; level++) {
		uint64_t span = (uint64_t)LIVE_LEAF_BITS << (LIVE_FAN_LOG2 * level);
		uint64_t i = 0;

		memset(table->counts[level], 0, counts_bytes(table, level));
		for (uint64_t at = 0; at < count; at += span)
			table->counts[level][i++] =
				(uint32_t)(count - at < span ? count - at : span);
	}
}

/* ---- life ---- */

struct rh_live *rh_live_open(size_t payload_bytes)
{
	struct rh_live *live = calloc(1, sizeof(*live));

	if (!live)
		return NULL;
	if (!table_open(&live->at, CAPACITY_FIRST,
			sizeof(uint64_t) + (payload_bytes + 7) / 8 * 8)) {
		free(live);
		return NULL;
	}
#if defined(__x86_64__)
	live->has_popcnt = __builtin_cpu_supports("popcnt");
	live->has_avx2 = live->has_popcnt && __builtin_cpu_supports("avx2");
#endif
	return live;
}

void rh_live_close(struct rh_live *live)
{
	if (!live)
		return;
	table_close(&live->at);
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

/* Moves the living to the positions 0..count-1 of `to`, which may be where they are. */
static void move_living(const struct rh_live *live, struct live_table *to)
{
	uint64_t next = 0, words = (live->top + LIVE_WORD_BITS - 1) / LIVE_WORD_BITS;
	size_t bytes = live->at.item_bytes;

	for (uint64_t w = 0; w < words; w++) {
		for (uint64_t bits = live->at.words[w]; bits; bits &= bits - 1, next++) {
			uint64_t from = w * LIVE_WORD_BITS + (unsigned)__builtin_ctzll(bits);
			char *place = live_item_at(to, next), *item = live_item_at(&live->at, from);

			/* Never over one that is still to move: next <= from. */
			if (place == item)
				continue;
			/* The usual item, an id and a size: two moves instead of a
			 * call. */
			if (bytes == 2 * sizeof(uint64_t))
				memcpy(place, item, 2 * sizeof(uint64_t));
			else
				memcpy(place, item, bytes);
		}
	}
	assert(next == live->count);
}

/* The stretches of ids: as few ids each as keep the table within its room. */
static void index_ids(struct rh_live *live)
{
	uint64_t room = live->old_count / LIVE_STRETCH + 1, stretch = 0;
	uint32_t *starts = live->at.starts;

	live->shift = 0;
	/* Powers of two, so that a look-up is a shift. Old
	 * objects are sparse among the ids, so a stretch may cover millions. */
	while (live->first_new >> live->shift >= room)
		live->shift++;
	for (uint64_t position = 0; position < live->old_count; position++) {
		uint64_t last = live_id_at(&live->at, position) >> live->shift;

		while (stretch <= last)
			starts[stretch++] = (uint32_t)position;
	}
	/* One entry past the last, since every look reads its
	 * own and the next. */
	while (stretch <= (live->first_new >> live->shift) + 1)
		starts[stretch++] = (uint32_t)live->old_count;
	assert(stretch <= live->at.capacity / LIVE_STRETCH + 2);
}

/* The invariants at the top, of all that lives. Linear, so it runs after a compaction only,
 * whose cost is linear too. */
static bool is_whole(const struct rh_live *live)
{
	uint64_t bits = 0, counted = 0;

	for (uint64_t p = 0; p < live->at.capacity; p++) {
		bits += live_is_alive(live, p);
		if (live_is_alive(live, p) &&
		    (p >= live->top || (p > 0 && p < live->old_count &&
					live_id_at(&live->at, p - 1) >= live_id_at(&live->at, p))))
			return false;
	}
	for (uint64_t i = 0; i < live->at.capacity / LIVE_LEAF_BITS; i++)
		counted += live->at.counts[0][i];
	return bits == live->count && counted == live->count;
}

static void compacted(struct rh_live *live)
{
	fill_bits(&live->at, live->count);
	live->old_count = live->top = live->count;
	live->first_new = live->births;
	index_ids(live);
	rh_debug_assert(is_whole(live));
}

/* Cold: half the positions are free after it, so it takes a step or two per birth. */
static __attribute__((noinline)) bool make_room(struct rh_live *live)
{
	struct live_table bigger;

	/* In place while at least half is free after it: then the next one is as many
	 * births away as this one costs steps. */
	if (live->count <= live->at.capacity / 2) {
		move_living(live, &live->at);
		compacted(live);
		return true;
	}
	if (!table_open(&bigger,
			(live->count * 2 + LIVE_LEAF_BITS - 1) / LIVE_LEAF_BITS * LIVE_LEAF_BITS,
			live->at.item_bytes))
		return false;
	move_living(live, &bigger);
	table_close(&live->at);
	live->at = bigger;
	compacted(live);
	assert(live->at.capacity - live->top >= live->at.capacity / 2);
	return true;
}

bool rh_live_reserve(struct rh_live *live, uint64_t births)
{
	while (live->at.capacity - live->top < births)
		if (!make_room(live))
			return false;
	return true;
}

static inline bool bear(struct rh_live *live, uint64_t *position)
{
	if (live->top == live->at.capacity && !make_room(live))
		return false;
	*position = live->top++;
	rh_debug_assert(!live_is_alive(live, *position));
	live->at.words[*position / LIVE_WORD_BITS] |= 1ull << (*position % LIVE_WORD_BITS);
	live_count_by(&live->at, *position, 1);
	*(uint64_t *)live_item_at(&live->at, *position) = live->births;
	live->count++;
	live->births++;
	return true;
}

bool rh_live_birth(struct rh_live *live, uint64_t *position)
{
	return bear(live, position);
}

bool rh_live_bear(struct rh_live *live, uint64_t payload)
{
	uint64_t position;

	rh_debug_assert(live->at.item_bytes == 2 * sizeof(uint64_t));
	if (!bear(live, &position))
		return false;
	((uint64_t *)live_item_at(&live->at, position))[1] = payload;
	return true;
}

/* The item stays where it is: batches read it after the death (rh_live_take). */
void rh_live_death(struct rh_live *live, uint64_t position)
{
	rh_debug_assert(position < live->top && live_is_alive(live, position));
	live->at.words[position / LIVE_WORD_BITS] &= ~(1ull << (position % LIVE_WORD_BITS));
	/* Wraps to a subtraction: one function for both. */
	live_count_by(&live->at, position, (uint32_t)-1);
	live->count--;
}

void *rh_live_payload(const struct rh_live *live, uint64_t position)
{
	rh_debug_assert(position < live->top);
	return live_item_at(&live->at, position) + sizeof(uint64_t);
}

/* ---- ids ---- */

bool rh_live_find(const struct rh_live *live, uint64_t id, uint64_t *position)
{
	if (id >= live->births)
		return false;
	if (id >= live->first_new) {
		*position = live->old_count + (id - live->first_new);
	} else {
		*position = live_find_old(live, id, live->at.item_bytes);
		/* live_find_old gives the first that is not below: an id that died before
		 * the last move is not there. */
		if (*position >= live->old_count || live_id_at(&live->at, *position) != id)
			return false;
	}
	return live_is_alive(live, *position);
}

void rh_live_soon(const struct rh_live *live, uint64_t id, bool very)
{
	const struct live_table *at = &live->at;
	const uint32_t *start;

	if (id >= live->births)
		return;
	if (id >= live->first_new) {
		if (!very)
			__builtin_prefetch(
				live_item_at(at, live->old_count + (id - live->first_new)));
		return;
	}
	start = &at->starts[id >> live->shift];
	if (!very) {
		__builtin_prefetch(start);
		return;
	}
	/* Both ends: a stretch of two items may lie across two lines. */
	__builtin_prefetch(live_item_at(at, start[0]));
	__builtin_prefetch(live_item_at(at, start[1]));
}

/* ---- ranks ---- */

/*
 * Both are inlined into functions for CPUs that count bits with one instruction, which the
 * baseline of x86-64 does not have, and add vectors, and one for all others.
 */

/* Bit number of the set bit that has `rank` set bits above it. */
static inline __attribute__((always_inline)) unsigned select_in_word(uint64_t word, unsigned rank)
{
	unsigned low = 0, above;

	/* From the top, because ranks count from the youngest: halves of 32, 16 and 8
	 * bits, then bit by bit within a byte. */
	for (unsigned half = 32; half >= 8; half /= 2) {
		above = (unsigned)__builtin_popcountll(word >> (low + half) & ((1ull << half) - 1));
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

/* The position with `rank` living above it; rank < count. */
static inline __attribute__((always_inline)) uint64_t select_of(const struct rh_live *live,
								uint64_t rank)
{
	const struct live_table *at = &live->at;
	unsigned level = 0, bits;
	uint64_t i = (live->top - 1) / LIVE_LEAF_BITS;

	rh_debug_assert(rank < live->count);
	/* Up from the youngest stretch until the rank lies within one, then down again. */
	for (;;) {
		uint64_t first = i & ~(uint64_t)(LIVE_FAN - 1);

		while (i > first && rank >= at->counts[level][i])
			rank -= at->counts[level][i--];
		if (i > first || rank < at->counts[level][i] || level + 1 == at->levels)
			break;
		rank -= at->counts[level][i];
		i = (i >> LIVE_FAN_LOG2) - 1;
		level++;
	}
	while (level > 0) {
		level--;
		i = i << LIVE_FAN_LOG2 | (LIVE_FAN - 1);
		while (rank >= at->counts[level][i])
			rank -= at->counts[level][i--];
	}
	i = i * LIVE_LEAF_WORDS + LIVE_LEAF_WORDS - 1;
	/* At most eight words, one cache line: the count of the leaf says that the
	 * bit is among them. */
	while (rank >= (bits = (unsigned)__builtin_popcountll(at->words[i]))) {
		rank -= bits;
		i--;
	}
	return i * LIVE_WORD_BITS + select_in_word(at->words[i], (unsigned)rank);
}

#if defined(__x86_64__)
static __attribute__((target("popcnt"))) uint64_t rank_popcnt(const struct rh_live *live,
							      uint64_t position)
{
	return live_rank_of(live, position, false);
}

static __attribute__((target("avx2,popcnt"))) uint64_t rank_avx2(const struct rh_live *live,
								 uint64_t position)
{
	return live_rank_of(live, position, true);
}

static __attribute__((target("popcnt"))) uint64_t select_popcnt(const struct rh_live *live,
								uint64_t rank)
{
	return select_of(live, rank);
}
#else
#define rank_popcnt(live, position) live_rank_of(live, position, false)
#define rank_avx2		    rank_popcnt
#define select_popcnt		    select_of
#endif

/* A branch and not a pointer to a function: it always goes the same way, which a CPU learns at
 * once. */
uint64_t rh_live_rank(const struct rh_live *live, uint64_t position)
{
	uint64_t rank = live->has_avx2	   ? rank_avx2(live, position)
			: live->has_popcnt ? rank_popcnt(live, position)
					   : live_rank_of(live, position, false);

	rh_debug_assert(select_of(live, rank) == position);
	return rank;
}

/* flatten: look-up, rank and death are one function for the compiler, since every
 * free of a trace that is written comes here. */
__attribute__((flatten)) void *rh_live_finish(struct rh_live *live, uint64_t id, uint64_t *rank)
{
	uint64_t position;

	if (!rh_live_find(live, id, &position))
		return NULL;
	*rank = rh_live_rank(live, position);
	rh_live_death(live, position);
	return rh_live_payload(live, position);
}

static inline bool select_position(const struct rh_live *live, uint64_t rank, uint64_t *position)
{
	if (rank >= live->count)
		return false;
	*position = live->has_popcnt ? select_popcnt(live, rank) : select_of(live, rank);
	return true;
}

bool rh_live_take(struct rh_live *live, uint64_t rank, uint64_t *position)
{
	if (!select_position(live, rank, position))
		return false;
	/* Read only when the whole batch has been found: by then it has come. */
	__builtin_prefetch(live_item_at(&live->at, *position));
	rh_live_death(live, *position);
	return true;
}

uint64_t rh_live_id(const struct rh_live *live, uint64_t position)
{
	rh_debug_assert(position < live->top);
	return live_id_at(&live->at, position);
}

/* For questions about a block that lives on: nothing ends, so it is no rh_live_take. */
bool rh_live_select(const struct rh_live *live, uint64_t rank, uint64_t *position, uint64_t *id)
{
	if (!select_position(live, rank, position))
		return false;
	*id = live_id_at(&live->at, *position);
	return true;
}
