/*
 * merge_plain.c - the fast path through the merge, see merge.h.
 *
 * Nearly all records are one-word mallocs and frees, and the next record of the same ring is
 * the next in order until a stamp of another ring comes before its own: typically a hundred
 * records, and nearly all in programs with one busy thread. These go from the buffer to the
 * caller's array in a loop of some 20 instructions per call. Everything else (other records,
 * the end of the buffer, the last call of a thread) is left to merge.c.
 */
#include "traces/record/merger.h"

enum {
	PLAIN = 1 << RH_REC_FREE | 1 << RH_REC_ALLOC | 1 << RH_REC_CALLOC | 1 << RH_REC_USABLE |
		1 << RH_REC_RE_BEGIN | 1 << RH_REC_RE_BORN | 1 << RH_REC_NEW,
};

/* A record of one word whose call needs nothing else; addresses are never 0. */
static inline bool is_plain(uint64_t word)
{
	return PLAIN >> (word >> 60) & 1 && word << (64 - RH_REC_ADDRESS_BITS);
}

static inline void plain_of(struct rh_plain *plain, uint64_t word, const struct rh_merged *s)
{
	plain->stamp = s->stamp;
	plain->site = s->site;
	plain->address = rh_rec_short_address(word);
	plain->size = rh_rec_short_size(word);
	plain->kind = (uint32_t)(word >> 60);
}

/* The stream's decoded call as a plain one. */
static bool next_plain(const struct rh_merged *s, struct rh_plain *plain)
{
	const struct rh_call *call = &s->next;

	*plain = (struct rh_plain){
		.stamp = call->stamp,
		.address = call->address,
		.size = call->kind == RH_REC_FREE ? call->sized ? call->given + 1 : 0 : call->size,
		.site = call->site,
		.kind = call->kind == RH_REC_ALLOC ? call->how : call->kind,
	};
	return call->kind < RH_REC_LONG && PLAIN >> call->kind & 1 && call->address &&
	       !call->align_log2 && !call->resident;
}

static void next_is(struct rh_merged *s, const struct rh_plain *plain)
{
	struct rh_rec rec = { .address = plain->address,
			      .tail = plain->size,
			      .kind = (uint8_t)plain->kind };

	rh_merge_decode(s, &rec);
	s->next.stamp = plain->stamp;
	s->next.site = plain->site;
}

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

/* After a realloc's beginning, its end: the words up to and including it; 0: something else
 * follows. */
static inline uint32_t end_realloc(const struct rh_merged *s, struct rh_plain *plain)
{
	uint32_t at = s->at, site = plain->site;
	uint64_t word;

	while (at < s->have && s->buffer[at] >> 60 == RH_REC_SITE)
		site = (uint32_t)s->buffer[at++];
	word = at < s->have ? s->buffer[at] : 0;
	if (word >> 60 != RH_REC_RE_END || !(word << (64 - RH_REC_ADDRESS_BITS)))
		return 0;
	plain->site = site;
	plain->old = plain->address;
	plain->address = rh_rec_short_address(word);
	plain->size = rh_rec_short_size(word);
	plain->kind = RH_REC_RE_END;
	return at + 1 - s->at;
}

/* Skips STAMP and SITE records; returns where they end. */
static inline uint32_t skip_state(const struct rh_merged *s, uint32_t at, uint64_t *stamp,
				  uint32_t *site)
{
	for (; at < s->have; at++) {
		uint64_t word = s->buffer[at], value = word & ((1ull << 60) - 1);

		if (word >> 60 == RH_REC_SITE)
			*site = (uint32_t)word;
		else if (word >> 60 == RH_REC_STAMP)
			*stamp = *stamp < value ? value : *stamp;
		else
			break;
	}
	return at;
}

/* Plain words in a row, up to the begin of a realloc: they share stamp and site. */
static inline size_t take_row(struct rh_merged *s, struct rh_plain *calls, size_t most)
{
	const uint64_t *words = s->buffer + s->at;
	size_t count = 0;

	if (most > s->have - s->at)
		most = s->have - s->at;
	while (count < most && is_plain(words[count])) {
		plain_of(&calls[count], words[count], s);
		if (calls[count++].kind == RH_REC_RE_BEGIN)
			break;
	}
	s->at += (uint32_t)count;
	return count;
}

/*
 * Takes the stream's calls that are followed by another plain call, so that none is its
 * thread's last. That last one waits in calls[count] and becomes the stream's next again at the
 * end.
 */
static size_t take_plain(struct rh_merged *s, uint64_t ends, struct rh_plain *calls, size_t most)
{
	size_t count = 0;

	if (!next_plain(s, &calls[0]))
		return 0;
	while (count + 1 < most && calls[count].stamp < ends) {
		struct rh_plain *call = &calls[count];
		uint64_t begun = call->address, size = call->size;
		uint32_t at = s->at, site, words = 0;
		uint64_t stamp = s->stamp;
		size_t row =
			call->kind == RH_REC_RE_BEGIN ? 0 : take_row(s, call + 1, most - count - 1);

		if (row) {
			count += row;
			continue;
		}
		if (call->kind == RH_REC_RE_BEGIN) {
			words = end_realloc(s, call);
			if (!words)
				break;
		}
		site = words ? call->site : s->site;
		at = skip_state(s, at + words, &stamp, &site);
		if (at == s->have || !is_plain(s->buffer[at])) {
			if (words) {
				call->kind = RH_REC_RE_BEGIN;
				call->address = begun;
				call->size = size;
			}
			break;
		}
		s->stamp = stamp;
		s->site = site;
		s->at = at + 1;
		plain_of(&calls[++count], s->buffer[at], s);
	}
	if (count)
		next_is(s, &calls[count]);
	return count;
}

size_t rh_merge_plain(struct rh_merge *merge, struct rh_plain *calls, size_t most)
{
	size_t count = 0, got = 1;

	while (merge->heap_count && got && count + 1 < most) {
		uint32_t index = merge->heap[0];

		got = take_plain(&merge->streams[index], turn_ends(merge), calls + count,
				 most - count);
		for (size_t i = 0; i < got; i++)
			calls[count + i].stream = index;
		count += got;
		rh_merge_sift(merge);
	}
	return count;
}

void rh_merge_who(const struct rh_merge *merge, uint32_t stream, uint32_t *thread, uint32_t *tid)
{
	*thread = merge->streams[stream].thread;
	*tid = merge->streams[stream].tid;
}
