/*
 * live_table.h - the tables behind live.h, and the steps that each event takes through them: for
 * live.c, and for the loop over a row of calls (write_row.c), which takes them in place.
 *
 * Private to these. Thread rule: one thread. Errors: none.
 */
#ifndef RH_LIVE_TABLE_H
#define RH_LIVE_TABLE_H

#include "alloc/base/debug.h"
#include "traces/format/live.h"

enum {
	LIVE_WORD_BITS = 64,
	LIVE_LEAF_WORDS = 8, /* one cache line */
	LIVE_LEAF_BITS = LIVE_WORD_BITS * LIVE_LEAF_WORDS,
	LIVE_FAN_LOG2 = 4, /* 16 counts: one cache line */
	LIVE_FAN = 1 << LIVE_FAN_LOG2,
	LIVE_LEVELS_MAX = 6,
	LIVE_STRETCH = 2, /* living per entry of starts[], on average */
};

/* One generation: what is laid out anew when the bitmap is full. */
struct live_table {
	uint64_t capacity; /* positions, a multiple of LIVE_LEAF_BITS */
	size_t item_bytes;
	unsigned levels;
	uint64_t *words;
	uint32_t *counts[LIVE_LEVELS_MAX];
	char *items;	  /* id, then the payload */
	uint32_t *starts; /* room for capacity / LIVE_STRETCH + 2 */
};

struct rh_live {
	struct live_table at;
	/* Positions from old_count on hold ids without a gap, so those need no table:
	 * the id says the position. */
	uint64_t old_count, first_new;
	unsigned shift; /* starts[id >> shift] = first position from there on */
	uint64_t top;
	uint64_t count, births;
	bool has_popcnt, has_avx2;
};

/* The usual item, of a payload of one word: the size of the object. Four lie in a line of the
 * cache, so that the search among an old object's neighbours mostly stays in one. */
struct live_item {
	uint64_t id, payload;
};

static inline char *live_item_at(const struct live_table *table, uint64_t position)
{
	rh_debug_assert(position <= table->capacity);
	return table->items + position * table->item_bytes;
}

static inline uint64_t live_id_at(const struct live_table *table, uint64_t position)
{
	return *(const uint64_t *)live_item_at(table, position);
}

/* One counter for each level, in lines that the next event mostly touches again: the
 * youngest are at the end. */
static inline void live_count_by(struct live_table *table, uint64_t position, uint32_t by)
{
	uint64_t i = position / LIVE_LEAF_BITS;

	table->counts[0][i] += by;
	for (unsigned level = 1; level < table->levels; level++)
		table->counts[level][i >>= LIVE_FAN_LOG2] += by;
}

static inline bool live_is_alive(const struct rh_live *live, uint64_t position)
{
	return live->at.words[position / LIVE_WORD_BITS] >> (position % LIVE_WORD_BITS) & 1;
}

/* First position whose id is not below `id`, within the stretch of `id`. */
static inline __attribute__((always_inline)) uint64_t live_find_old(const struct rh_live *live,
								    uint64_t id, size_t item_bytes)
{
	const char *items = live->at.items;
	uint64_t stretch = id >> live->shift;
	uint64_t low = live->at.starts[stretch], end = live->at.starts[stretch + 1];

	rh_debug_assert(id < live->first_new && low <= end && end <= live->old_count);
	/* Ages that cluster make long stretches; most are walked at once. */
	while (end - low > 4 * LIVE_STRETCH) {
		uint64_t middle = low + (end - low) / 2;

		if (*(const uint64_t *)(const void *)(items + middle * item_bytes) < id)
			low = middle + 1;
		else
			end = middle;
	}
	while (low < end && *(const uint64_t *)(const void *)(items + low * item_bytes) < id)
		low++;
	return low;
}

/* The rest of a line of counts, or of a leaf of words, behind one of its members: 0 up to it, all
 * bits set behind it. */
extern const uint32_t rh_live_behind[2 * LIVE_FAN];
extern const uint64_t rh_live_behind_word[2 * LIVE_LEAF_WORDS];

typedef uint32_t live_counts __attribute__((vector_size(32), aligned(4), may_alias));

/* How many live in a leaf behind one of its words: all eight are in one cache line. No loop: where
 * it ended could not be predicted, which costs more than the words that do not count. */
static inline __attribute__((always_inline)) uint64_t live_rest_of_leaf(const uint64_t *words,
									uint64_t w)
{
	const uint64_t *leaf = words + (w & ~(uint64_t)(LIVE_LEAF_WORDS - 1));
	const uint64_t *mask =
		rh_live_behind_word + LIVE_LEAF_WORDS - 1 - (w & (LIVE_LEAF_WORDS - 1));
	unsigned bits = 0;

#define LIVE_WORD(k) bits += (unsigned)__builtin_popcountll(leaf[k] & mask[k])
	LIVE_WORD(1);
	LIVE_WORD(2);
	LIVE_WORD(3);
	LIVE_WORD(4);
	LIVE_WORD(5);
	LIVE_WORD(6);
	LIVE_WORD(7);
#undef LIVE_WORD
	_Static_assert(LIVE_LEAF_WORDS == 8, "the words from 1 on");
	return bits;
}

/*
 * How many live above a position that lives. At each level only the rest of the own line of 16
 * counts; what lies beyond is in one count of the level above. Nothing lives above the top, so
 * a line may be read to its end. `vectors`: the CPU has AVX2, and the function around this is
 * compiled for it: 18 instructions a line instead of 34.
 */
static inline __attribute__((always_inline)) uint64_t live_rank_of(const struct rh_live *live,
								   uint64_t position, bool vectors)
{
	const struct live_table *at = &live->at;
	uint64_t w = position / LIVE_WORD_BITS, w_last = (live->top - 1) / LIVE_WORD_BITS;
	uint64_t i = w / LIVE_LEAF_WORDS, last = w_last / LIVE_LEAF_WORDS;
	live_counts sum = { 0 };
	uint64_t rank;

	rh_debug_assert(position < live->top);
	/* The position's own bit is counted and taken off again: a shift by one more could be one
	 * by 64. */
	rank = (unsigned)__builtin_popcountll(at->words[w] >> (position % LIVE_WORD_BITS)) - 1;
	/* Programs free young things: nearly half of all deaths end here. */
	if (w == w_last)
		return rank;
	rank += live_rest_of_leaf(at->words, w);
	if (i == last)
		return rank;
	for (unsigned level = 0; i < last; level++) {
		const uint32_t *line = at->counts[level] + (i & ~(uint64_t)(LIVE_FAN - 1));
		uint64_t own = i & (LIVE_FAN - 1);
		const uint32_t *mask = rh_live_behind + LIVE_FAN - 1 - own;

		if (vectors) {
			sum += *(const live_counts *)line & *(const live_counts *)mask;
			sum += *(const live_counts *)(line + 8) & *(const live_counts *)(mask + 8);
		} else {
			while (own < LIVE_FAN - 1)
				rank += line[++own];
		}
		i >>= LIVE_FAN_LOG2;
		last >>= LIVE_FAN_LOG2;
	}
	for (unsigned k = 0; vectors && k < 8; k++)
		rank += sum[k];
	return rank;
}

#endif
