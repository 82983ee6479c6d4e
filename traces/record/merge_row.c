/*
 * merge_row.c - the fast way through the merge, see merge.h.
 *
 * Nearly all records are one-word mallocs and frees, and the next record of the same ring is the
 * next in order until a stamp of another ring comes before its own. Between two stamps they are a
 * row, which is copied as it lies in the buffer. Everything else (other records, the end of the
 * buffer, the last call of a thread) is left to merge.c.
 */
#include "traces/record/merger.h"

/* Stamps from there on belong to another stream's turn, or are not due. */
static uint64_t turn_ends(const struct rh_merge *merge)
{
	const struct rh_merged *s = &merge->streams[merge->heap[0]];
	uint64_t ends = merge->until;

	for (uint32_t i = 1; i < 3 && i < merge->heap_count; i++) {
		const struct rh_merged *other = &merge->streams[merge->heap[i]];
		uint64_t from = other->next.stamp + (s->ring < other->ring);

		ends = from < ends ? from : ends;
	}
	return ends;
}

static inline bool is_of_row(uint64_t word)
{
	return RH_ROW_ALL >> (word >> 60) & 1;
}

/* Where the reading of a stream is: at a word that is a call, and what holds for it. */
struct place {
	uint32_t at, site;
	uint64_t stamp;
};

/* Goes on to the stream's next call; false: the buffer has none, or it is of another kind. */
static inline bool go_on(const struct rh_merged *s, struct place *place)
{
	for (; place->at < s->have; place->at++) {
		uint64_t word = s->buffer[place->at], value = word & ((1ull << 60) - 1);

		if (word >> 60 == RH_REC_SITE)
			place->site = (uint32_t)word;
		else if (word >> 60 == RH_REC_STAMP)
			place->stamp = place->stamp < value ? value : place->stamp;
		else
			return is_of_row(word);
	}
	return false;
}

/* The two ends of a realloc stay together: where the row ends between them, it ends before. */
static uint32_t before_realloc(const uint64_t *words, uint32_t count)
{
	uint32_t begin = count;

	while (begin && words[begin - 1] >> 60 == RH_REC_SITE)
		begin--;
	return begin && words[begin - 1] >> 60 == RH_REC_RE_BEGIN ? begin - 1 : count;
}

/* Without its last call. */
static uint32_t without_last(const uint64_t *words, uint32_t count)
{
	while (count && words[count - 1] >> 60 == RH_REC_SITE)
		count--;
	return count ? before_realloc(words, count - 1) : 0;
}

static uint32_t last_site(const uint64_t *words, uint32_t count, uint32_t site)
{
	while (count--)
		if (words[count] >> 60 == RH_REC_SITE)
			return (uint32_t)words[count];
	return site;
}

/* Copies the row that begins there, and goes on to the call after it; the number of words, 0: none
 * that is certain not to be its thread's last. */
static uint32_t copy_row(const struct rh_merged *s, struct place *place, uint64_t *to,
			 uint32_t most)
{
	uint32_t left = s->have - place->at, count = 0, sites = 0;
	const uint64_t *from = s->buffer + place->at;
	struct place next = *place;

	most = most < left ? most : left;
	for (; count < most && is_of_row(from[count]); count++) {
		to[count] = from[count];
		sites += to[count] >> 60 == RH_REC_SITE;
	}
	count = before_realloc(to, count);
	next.at += count;
	next.site = sites ? last_site(to, count, place->site) : place->site;
	if (!go_on(s, &next)) {
		count = without_last(to, count);
		next = (struct place){ place->at + count, last_site(to, count, place->site),
				       place->stamp };
	}
	*place = next;
	return count;
}

/* The rows of the first stream until another has its turn. */
static void take_stream(struct rh_merge *merge, struct rh_merge_rows *rows)
{
	struct rh_merged *s = &merge->streams[merge->heap[0]];
	struct place place = { s->at - 1, s->next.site, s->next.stamp };
	uint64_t ends = turn_ends(merge);
	uint32_t count = 1;

	while (count && place.stamp < ends && rows->word_count < RH_ROWS_WORDS) {
		struct rh_merge_row *row = &rows->row[rows->count];

		row->stamp = place.stamp;
		row->stream = merge->heap[0];
		row->thread = s->thread;
		row->tid = s->tid;
		row->site = place.site;
		count = copy_row(s, &place, rows->words + rows->word_count,
				 RH_ROWS_WORDS - (uint32_t)rows->word_count);
		row->words = count;
		rows->word_count += count;
		rows->count += count != 0;
	}
	s->at = place.at;
	s->site = place.site;
	s->stamp = place.stamp;
}

int rh_merge_rows(struct rh_merge *merge, struct rh_merge_rows *rows, struct rh_err *err)
{
	size_t before;

	rows->count = rows->word_count = 0;
	while (merge->heap_count && rows->word_count < RH_ROWS_WORDS) {
		struct rh_merged *s = &merge->streams[merge->heap[0]];
		uint32_t at = s->at;

		if (!s->next_is_word)
			return 0;
		before = rows->count;
		take_stream(merge, rows);
		if (rows->count == before) { /* its next call is still that */
			s->at = at;
			return 0;
		}
		if (rh_merge_step(merge, err) < 0)
			return -1;
	}
	return 0;
}
