/*
 * write_row.c - the fast way through the writer: a row of calls (row.h) whose objects have been
 * found (repair_row.c) becomes bytes of the block under construction.
 *
 * A row shares its lane and its time, and what can be refused has been looked at before: so what
 * is left of order.c, live.c and encode.c for each call is some 60 instructions, taken in place on
 * a copy of their state. All else goes by rh_trace_put.
 */
#include <assert.h>
#include <string.h>

#include "alloc/base/debug.h"
#include "traces/format/encode_put.h"
#include "traces/format/live_table.h"
#include "traces/format/map.h"
#include "traces/format/writer.h"

/* What the loop changes: written back when it is over. The encoder is used as it is: lanes and
 * times are put once a row. */
struct state {
	struct rh_encoder *encoder;
	struct rh_live live;
	uint8_t *ops, *sites; /* sites: NULL without that column */
	uint64_t bytes, bytes_peak, objects_peak, size_max;
	uint64_t time_last; /* the largest; RH_NONE: none yet */
	uint64_t rank;	    /* of what the realloc ends */
	uint32_t events;
	uint32_t count[RH_ROW_KINDS], nulls;
};

/* A word has 16 bits of size, and a batch 64 words: 4 MiB. So many bytes may live that a row more
 * cannot make the sum wrap. */
#define ROW_BYTES_SAFE (uint64_t)(INT64_MAX / 2)

#define INLINE	       static inline __attribute__((always_inline))

/* A birth at the top of the bitmap, for which there is room: the next number, and the totals. */
INLINE void born(struct state *s, uint64_t size)
{
	uint64_t position = s->live.top++;
	struct live_item *item = (struct live_item *)(void *)s->live.at.items + position;

	rh_debug_assert(position < s->live.at.capacity && !live_is_alive(&s->live, position));
	s->live.at.words[position / LIVE_WORD_BITS] |= 1ull << (position % LIVE_WORD_BITS);
	live_count_by(&s->live.at, position, 1);
	item->id = s->live.births++;
	item->payload = size;
	s->live.count++;
	s->bytes += size;
	s->bytes_peak = s->bytes > s->bytes_peak ? s->bytes : s->bytes_peak;
	s->objects_peak = s->live.count > s->objects_peak ? s->live.count : s->objects_peak;
	s->size_max = size > s->size_max ? size : s->size_max;
}

/* Where a living object is: the young ones by their number, the others by a search. */
INLINE uint64_t position_of(const struct state *s, uint64_t id)
{
	uint64_t position = id >= s->live.first_new
				    ? s->live.old_count + (id - s->live.first_new)
				    : live_find_old(&s->live, id, sizeof(struct live_item));

	rh_debug_assert(live_is_alive(&s->live, position) &&
			live_id_at(&s->live.at, position) == id);
	return position;
}

/* A death: its rank among the living as they were before it. */
INLINE uint64_t died(struct state *s, uint64_t id, bool vectors)
{
	uint64_t position = position_of(s, id);
	uint64_t rank = live_rank_of(&s->live, position, vectors);
	const struct live_item *item = (struct live_item *)(void *)s->live.at.items + position;

	s->live.at.words[position / LIVE_WORD_BITS] &= ~(1ull << (position % LIVE_WORD_BITS));
	live_count_by(&s->live.at, position, (uint32_t)-1);
	s->live.count--;
	rh_debug_assert(s->bytes >= item->payload);
	s->bytes -= item->payload;
	return rank;
}

/* Flags of the event of a birth. */
static const uint16_t flags_of[RH_ROW_KINDS] = {
	[RH_ROW_CALLOC] = RH_EVF_ZEROED,
	[RH_ROW_RE_BORN] = RH_EVF_REALLOC,
	[RH_ROW_NEW] = RH_EVF_NEW,
};

/* The site of an event, where there are sites. */
INLINE void put_site(struct state *s, uint32_t site)
{
	if (s->sites)
		s->sites = rh_varint_put(s->sites, site);
}

/* All but the two most frequent calls. Out of the way of those: with all in one switch the loop
 * took some ten instructions more for each call of perl. */
INLINE void put_rare(struct state *s, struct rh_row *row, uint64_t word, uint64_t id, bool vectors)
{
	unsigned kind = (unsigned)(word >> 60);
	uint64_t size = rh_row_size(word);

	switch (kind) {
	case RH_ROW_SITE:
		row->site = (uint32_t)word;
		s->events--;
		break;
	case RH_ROW_RE_BEGIN: /* the death before the birth, as in order.c */
		s->rank = died(s, id, vectors);
		s->events--;
		break;
	case RH_ROW_RE_END:
		born(s, size);
		s->ops = put_resize(s->ops, s->rank, size);
		put_site(s, row->site);
		break;
	case RH_ROW_USABLE:
		s->ops = put_usable(s->ops, live_rank_of(&s->live, position_of(s, id), vectors));
		put_site(s, RH_SITE_NONE);
		break;
	case RH_ROW_FREE: /* of NULL: a kind without fields */
		s->nulls++;
		*s->ops++ = OP_GENERAL;
		*s->ops++ = RH_EV_FREE_NULL;
		put_site(s, RH_SITE_NONE);
		break;
	default:
		rh_debug_assert(flags_of[kind]);
		born(s, size);
		s->ops = put_alloc_flags(s->ops, OP_ALLOC_FLAGS, flags_of[kind], size);
		put_site(s, row->site);
	}
}

/* Words of one row. Nine of ten are a malloc or a free: two compares, which a CPU predicts better
 * than the jump of a switch. */
INLINE void put_words(struct state *s, struct rh_row *row, const uint64_t *ids, size_t count,
		      bool vectors)
{
	s->events += (uint32_t)count; /* less the words that are none */
	for (size_t i = 0; i < count; i++) {
		uint64_t word = row->words[i], size = rh_row_size(word);
		unsigned kind = (unsigned)(word >> 60);

		s->count[kind]++;
		if (kind == RH_ROW_ALLOC) {
			born(s, size);
			s->ops = put_alloc(s->ops, size);
			put_site(s, row->site);
		} else if (kind == RH_ROW_FREE && rh_row_address(word)) {
			s->ops = put_free(s->ops, size ? size - 1 : RH_NONE,
					  died(s, ids[i], vectors));
			put_site(s, row->site);
		} else {
			put_rare(s, row, word, ids[i], vectors);
		}
	}
}

/* The lane and the time of a row: all but its first event have no time of their own. */
INLINE void put_shared(struct state *s, const struct rh_row *row, uint32_t events)
{
	struct rh_encoder *encoder = s->encoder;
	struct rh_section *times = &encoder->section[TIMES];

	if (!events)
		return;
	put_lane(encoder, row->lane, events);
	if (!(encoder->columns & RH_COL_TIME))
		return;
	times->at = put_time(times->at, row->time_ns, &encoder->time_last);
	/* Here, because a row of which nothing is taken may leave no event at all. */
	if (row->time_ns != RH_NONE && (s->time_last == RH_NONE || s->time_last < row->time_ns))
		s->time_last = row->time_ns;
	if (events == 1)
		return;
	memset(times->at, row->time_ns != RH_NONE, events - 1);
	times->at += events - 1;
}

/* Words from the fronts of rows. Each row is moved on, so that its rest, where a block is full, is
 * the front for the next block. */
INLINE void put_rows(struct state *s, struct rh_row *rows, const uint64_t *ids, size_t words,
		     bool vectors)
{
	for (; words; rows++) {
		size_t take = rows->count < words ? rows->count : words;
		uint32_t before = s->events;

		put_words(s, rows, ids, take, vectors);
		rh_debug_assert(s->events >= before && s->events - before <= take);
		put_shared(s, rows, s->events - before);
		rows->words += take;
		rows->count -= take;
		ids += take;
		words -= take;
	}
}

#if defined(__x86_64__)
static __attribute__((target("avx2,bmi2,popcnt"), noinline)) void
put_rows_avx2(struct state *s, struct rh_row *rows, const uint64_t *ids, size_t words)
{
	assert(s->live.has_avx2);
	put_rows(s, rows, ids, words, true);
}
#endif

/* For CPUs without those, and other machines. */
static __attribute__((noinline)) void put_rows_any(struct state *s, struct rh_row *rows,
						   const uint64_t *ids, size_t words)
{
	put_rows(s, rows, ids, words, false);
}

/* The loop counts by the kinds of words; the totals are by the kinds of events. What lives is what
 * the loop left. */
static void add_totals(struct rh_trace_totals *totals, const struct state *s)
{
	const uint32_t *count = s->count;
	uint64_t births = (uint64_t)count[RH_ROW_ALLOC] + count[RH_ROW_CALLOC] +
			  count[RH_ROW_RE_BORN] + count[RH_ROW_NEW];

	assert(s->nulls <= count[RH_ROW_FREE] && s->bytes <= s->bytes_peak);
	totals->by_kind[RH_EV_ALLOC] += births;
	totals->by_kind[RH_EV_FREE] += count[RH_ROW_FREE] - s->nulls;
	totals->by_kind[RH_EV_FREE_NULL] += s->nulls;
	totals->by_kind[RH_EV_RESIZE] += count[RH_ROW_RE_END];
	totals->by_kind[RH_EV_USABLE] += count[RH_ROW_USABLE];
	totals->objects += births + count[RH_ROW_RE_END];
	totals->events += s->events;
	totals->time_ns_last = s->time_last;
	totals->live_bytes_end = s->bytes;
	totals->live_bytes_peak = s->bytes_peak;
	totals->live_objects_end = s->live.count;
	totals->live_objects_peak = s->objects_peak;
	totals->size_max = s->size_max;
	assert(totals->objects == s->live.births);
}

/* What can be refused of calls is looked at here, once for all rows: the form of the trace, its
 * columns, and sizes whose sum could wrap. (The size of a word itself has 16 bits at most.) */
size_t rh_trace_rows_room(struct rh_trace_out *out, uint64_t births)
{
	const struct rh_order *order = &out->order;

	if (out->form != RH_FORM_BINARY || out->failed ||
	    order->columns & ~(unsigned)(RH_COL_TIME | RH_COL_SITE) ||
	    births != order->totals.objects || order->totals.live_bytes_end > ROW_BYTES_SAFE)
		return 0;
	rh_debug_assert(out->encoder.events < RH_BLOCK_EVENTS);
	return RH_BLOCK_EVENTS - out->encoder.events;
}

/* And once for each: a lane that runs, and a time in range. */
bool rh_trace_row_fits(const struct rh_trace_out *out, const struct rh_row *row)
{
	const struct rh_order *order = &out->order;

	return row->lane < order->totals.lanes && order->lanes[row->lane] &&
	       (row->time_ns <= RH_TRACE_TIME_MAX || row->time_ns == RH_NONE);
}

/* Positions do not move after this, so that what the first loop found is still there in the
 * second. */
bool rh_trace_rows_reserve(struct rh_trace_out *out, size_t births)
{
	return rh_live_reserve(out->order.objects, births);
}

/* The items of what dies, and for what is old first the place that says where they are. */
static void look_ahead(const struct rh_live *live, const uint64_t *ids, size_t count)
{
	bool old = false;

	for (size_t i = 0; i < count; i++) {
		if (ids[i] == RH_MAP_NONE)
			continue;
		if (ids[i] < live->first_new) {
			old = true;
			__builtin_prefetch(&live->at.starts[ids[i] >> live->shift]);
		} else {
			__builtin_prefetch(live_item_at(
				&live->at, live->old_count + (ids[i] - live->first_new)));
		}
	}
	for (size_t i = 0; i < count && old; i++)
		if (ids[i] < live->first_new)
			rh_live_soon(live, ids[i], true);
}

int rh_trace_put_rows(struct rh_trace_out *out, struct rh_row *rows, const uint64_t *ids,
		      size_t words, struct rh_err *err)
{
	struct rh_encoder *encoder = &out->encoder;
	struct rh_trace_totals *totals = &out->order.totals;
	struct state s = {
		.encoder = encoder,
		.live = *out->order.objects,
		.ops = encoder->section[OPS].at,
		.sites = out->order.columns & RH_COL_SITE ? encoder->section[SITES].at : NULL,
		.bytes = totals->live_bytes_end,
		.bytes_peak = totals->live_bytes_peak,
		.objects_peak = totals->live_objects_peak,
		.size_max = totals->size_max,
		.time_last = totals->time_ns_last,
	};

	assert(s.live.at.capacity - s.live.top >= words); /* reserved: nothing below can fail */
	assert(s.live.at.item_bytes == sizeof(struct live_item));
	if (s.live.count > RH_ROWS_NEAR)
		look_ahead(&s.live, ids, words);
#if defined(__x86_64__)
	if (s.live.has_avx2)
		put_rows_avx2(&s, rows, ids, words);
	else
#endif
		put_rows_any(&s, rows, ids, words);
	add_totals(totals, &s);
	*out->order.objects = s.live;
	encoder->section[OPS].at = s.ops;
	if (s.sites)
		encoder->section[SITES].at = s.sites;
	rh_debug_assert(sections_fit(encoder) && encoder->events <= RH_BLOCK_EVENTS);
	return encoder->events == RH_BLOCK_EVENTS ? rh_trace_flush_events(out, err) : 0;
}
