/*
 * repair_row.c - the fast way through the builder, see repair.h: nothing waits, and what a call
 * names lives, or does not, as it should.
 *
 *	1. name: one look-up a call; addresses become ids, as far as all is in order;
 *	2. the calls so far go straight into the block (write_row.c), or as events to whoever gets
 *	   them instead.
 *
 * In two loops, because with millions of living objects each look is a cache miss: those of all
 * words are begun before the first is used. Many rows at once, because where threads hand blocks
 * to each other a row is one call. All else is repair.c's.
 */
#include <assert.h>

#include "alloc/base/debug.h"
#include "traces/format/builder.h"
#include "traces/format/writer.h"

enum { PAIR_MOST = 4 }; /* words from the one end of a realloc to the other: sites between */

/* What a look for the address will read, two lines to be prefetched; NULL: nothing. */
static inline const char *blocks_ahead(const struct rh_blocks *blocks, uint64_t address)
{
	uint64_t number = address >> BLOCKS_PAGE_LOG2;
	const struct blocks_seen *seen = &blocks->seen[number % BLOCKS_SEEN];
	size_t at = address >> BLOCKS_PLACE_LOG2 & (BLOCKS_PAGE_IDS - 1);

	return seen->number == number + 1 ? (const char *)(seen->ids + at)
					  : rh_map_place(&blocks->far, address);
}

/* Of the hash table both lines of a bucket: the tags are in the first, and half of the entries in
 * the second. */
static void look_ahead(const struct rh_build *build, const struct rh_row *row, size_t words)
{
	for (size_t i = 0; words; row++)
		for (i = 0; i < row->count; i++, words--) {
			const char *place =
				blocks_ahead(&build->objects, rh_row_address(row->words[i]));

			__builtin_prefetch(place);
			__builtin_prefetch(place + RH_MAP_LINE);
		}
}

/* A row is not torn between the two, so the end is in the same one. The word that ends the realloc
 * begun at `from`; 0: it is not near. */
static inline size_t end_of_realloc(const struct rh_row *row, size_t from)
{
	size_t i = from + 1;

	while (i < row->count && i < from + PAIR_MOST && row->words[i] >> 60 == RH_ROW_SITE)
		i++;
	return i < row->count && row->words[i] >> 60 == RH_ROW_RE_END &&
			       rh_row_address(row->words[i])
		       ? i
		       : 0;
}

/* Both ends of a realloc, which may leave the block where it is: the id of what died; RH_MAP_NONE:
 * not in order, and nothing is changed.
 */
static inline uint64_t name_realloc(struct rh_blocks *blocks, uint64_t old, uint64_t made,
				    uint64_t births)
{
	uint64_t id;

	/* Looked at first, because the removal below could not be undone. */
	if (made != old && blocks_get(blocks, made) != RH_MAP_NONE)
		return RH_MAP_NONE;
	/* An unknown old block leaves the map untouched: repair.c makes an alloc of it. */
	id = blocks_remove(blocks, old);
	if (id != RH_MAP_NONE)
		blocks_add(blocks, made, births);
	return id;
}

/* Gives the calls of a row's front their ids, and says how many words that were. */
static inline size_t name(struct rh_build *build, const struct rh_row *row, size_t count,
			  uint64_t *ids)
{
	struct rh_blocks *blocks = &build->objects;
	uint64_t births = build->births;
	size_t i, end;

	for (i = 0; i < count; i++) {
		uint64_t word = row->words[i], address = rh_row_address(word);

		ids[i] = RH_MAP_NONE;
		switch (word >> 60) {
		case RH_ROW_FREE:
			ids[i] = address ? blocks_remove(blocks, address) : 0;
			if (ids[i] == RH_MAP_NONE)
				goto out;
			break;
		case RH_ROW_ALLOC:
		case RH_ROW_CALLOC:
		case RH_ROW_RE_BORN:
		case RH_ROW_NEW:
			/* Adds only where the address is free, so one look-up tests and inserts. */
			if (!address || !blocks_add(blocks, address, births))
				goto out;
			births++;
			break;
		case RH_ROW_RE_BEGIN:
			end = end_of_realloc(row, i);
			if (!address || !end)
				goto out;
			ids[i] = name_realloc(blocks, address, rh_row_address(row->words[end]),
					      births);
			if (ids[i] == RH_MAP_NONE)
				goto out;
			births++;
			while (i < end)
				ids[++i] = RH_MAP_NONE;
			break;
		case RH_ROW_USABLE:
			ids[i] = address ? blocks_get(blocks, address) : RH_MAP_NONE;
			if (ids[i] == RH_MAP_NONE)
				goto out;
			break;
		case RH_ROW_SITE:
			break;
		default:
			goto out;
		}
	}
out:
	build->births = births;
	return i;
}

/* ---- events instead ---- */

/* The kind and the flags of an event, by the kind of its word. */
static const struct shape {
	uint8_t kind;
	uint16_t flags;
} shapes[RH_ROW_KINDS] = {
	[RH_ROW_FREE] = { RH_EV_FREE, 0 },
	[RH_ROW_ALLOC] = { RH_EV_ALLOC, 0 },
	[RH_ROW_CALLOC] = { RH_EV_ALLOC, RH_EVF_ZEROED },
	[RH_ROW_RE_END] = { RH_EV_RESIZE, 0 },
	[RH_ROW_USABLE] = { RH_EV_USABLE, 0 },
	[RH_ROW_RE_BORN] = { RH_EV_ALLOC, RH_EVF_REALLOC },
	[RH_ROW_NEW] = { RH_EV_ALLOC, RH_EVF_NEW },
};

static struct rh_event event_of(const struct rh_row *row, uint64_t word)
{
	const struct shape *shape = &shapes[word >> 60];

	return (struct rh_event){
		.time_ns = row->time_ns,
		.id = RH_NONE,
		.old = RH_NONE,
		.size = rh_row_size(word),
		.arg = RH_NONE,
		.lane = row->lane,
		.task = RH_TASK_NONE,
		.site = shape->kind == RH_EV_USABLE ? RH_SITE_NONE : row->site,
		.kind = shape->kind,
		.flags = shape->flags,
	};
}

/* What a death or a question says besides: what it names, and the size that a free was given, which
 * the word holds plus one. */
static void set_named(struct rh_event *event, uint64_t word, uint64_t id)
{
	event->id = id;
	if (event->kind == RH_EV_USABLE)
		event->size = 0;
	if (event->kind != RH_EV_FREE)
		return;
	if (!rh_row_address(word)) {
		event->kind = RH_EV_FREE_NULL;
		event->id = RH_NONE;
		event->size = 0;
		event->site = RH_SITE_NONE;
	} else if (event->size) {
		event->size--;
		event->flags = RH_EVF_SIZED;
	}
}

/* Where rows cannot go straight into a block: the number of the next birth in them, and of what
 * the realloc under way ends. */
struct numbers {
	uint64_t born, dies;
};

/* How many words, and how many births in them. */
struct words {
	size_t count, births;
};

static int put_event(struct rh_build *build, struct rh_row *row, uint64_t id,
		     struct numbers *numbers, struct rh_err *err)
{
	uint64_t word = *row->words;
	struct rh_event event = event_of(row, word);

	if (word >> 60 == RH_ROW_SITE) {
		row->site = (uint32_t)word;
		return 0;
	}
	if (word >> 60 == RH_ROW_RE_BEGIN) {
		numbers->dies = id;
		return 0;
	}
	if (event.kind == RH_EV_FREE || event.kind == RH_EV_USABLE)
		set_named(&event, word, id);
	else
		event.id = numbers->born++;
	event.old = event.kind == RH_EV_RESIZE ? numbers->dies : RH_NONE;
	rh_debug_assert(build->batched < RH_BUILD_BATCH);
	build->batch[build->batched] = event;
	return ++build->batched >= build->batch_full ? rh_build_send(build, err) : 0;
}

/* All that were named; those that are born are the last of all births. */
static int put_events(struct rh_build *build, struct rh_row *rows, const uint64_t *ids,
		      struct words named, struct rh_err *err)
{
	struct numbers numbers = { .born = build->births - named.births };

	assert(named.births <= named.count && named.births <= build->births);
	for (size_t i = 0; i < named.count; i++) {
		while (!rows->count)
			rows++;
		if (put_event(build, rows, ids[i], &numbers, err) < 0)
			return -1;
		rows->words++;
		rows->count--;
	}
	return 0;
}

/* ---- */

/* Names so many words of the rows, or fewer: up to the first that is not in order. A realloc whose
 * begin is within `most` is named whole, so it may be some words more; rows that do not fit into
 * the block are for others. */
static size_t name_rows(struct rh_build *build, const struct rh_row *rows, size_t most, bool block,
			uint64_t *ids)
{
	size_t named = 0, got, want;

	for (; named < most; rows++) {
		want = rows->count < most - named ? rows->count : most - named;
		if (block && want && !rh_trace_row_fits(build->out, rows))
			break;
		got = name(build, rows, want, ids + named);
		named += got;
		if (got < want)
			break;
	}
	return named;
}

/* Takes from rows that have so many words: how many, 0 if it ended before the last that it wanted.
 */
static int take(struct rh_build *build, struct rh_row *rows, size_t words, struct rh_err *err)
{
	uint64_t ids[RH_ROWS_WORDS + PAIR_MOST], born = build->births;
	size_t room = build->put ? 0 : rh_trace_rows_room(build->out, born);
	size_t most = room && room < words ? room : words, named;

	/* Room for all of them before the first: what follows cannot fail. Without memory repair.c
	 * runs into the same and reports it. */
	if (build->waiting || !rh_blocks_reserve(&build->objects, words) ||
	    (room && !rh_trace_rows_reserve(build->out, words + PAIR_MOST)))
		return 0;
	if (rh_blocks_count(&build->objects) > RH_ROWS_NEAR)
		look_ahead(build, rows, words);
	named = name_rows(build, rows, most, room != 0, ids);
	assert(named <= words && named <= most + PAIR_MOST);
	assert(build->births - born <= named);
	if (named && (room ? rh_trace_put_rows(build->out, rows, ids, named, err)
			   : put_events(build, rows, ids,
					(struct words){ named, build->births - born }, err)) < 0)
		return -1;
	return named >= most ? (int)named : 0;
}

int rh_build_rows(struct rh_build *build, struct rh_row *rows, size_t count, struct rh_err *err)
{
	size_t words = 0, done = 0;
	int got = 1;

	/* Those that came before go out before. */
	if (!build->put && build->batched && rh_build_send(build, err) < 0)
		return -1;
	for (size_t i = 0; i < count; i++)
		words += rows[i].count;
	assert(words <= RH_ROWS_WORDS && count <= RH_ROWS_WORDS);
	while (words && got) {
		got = take(build, rows + done, words, err);
		if (got < 0)
			return -1;
		words -= (size_t)got;
		build->calls += (uint64_t)got;
		while (done < count && !rows[done].count)
			done++;
	}
	while (done < count && !rows[done].count)
		done++;
	assert(done <= count && (done == count || rows[done].count));
	return (int)done;
}
