/*
 * tiny.c - sizes of tiny objects, inferred from which of them share a block.
 *
 * A P fills a block of 16 bytes with objects under 16 bytes, one behind the other, until one
 * does not fit; then it takes the next block, and keeps whichever of the two has more room.
 * The recorder gives the block of every object and which half of it, but no size for strings
 * and the like, and for a type only the size of one element: two of 8 bytes are not a tiny
 * object any more. Sizes that fill the same blocks are as good as the real ones: a block lives
 * until its last part dies, so the sharing decides how many blocks there are.
 *
 * So each P's block is followed with the sizes that go out, as a heap will do that replays
 * them. Of the sizes an object can have, it gets the first that puts it where it went and lets
 * the next LOOK_AHEAD objects of the same thread go where they went; if none does, the one
 * with which that holds for longest, then without regard to the half, and the block that the
 * recorder names is the P's from then on. Small sizes are tried first where the next object
 * shares the block, since more may; else large ones, after which any may take a new block.
 *
 * The next objects are looked for in the next 48 events of the thread (order.h).
 */
#include <string.h>

#include "alloc/base/debug.h"
#include "traces/import/go/go.h"

enum { BLOCK = 16, HALF = 8, LOOK_AHEAD = 3 };

/* Where an object went. */
struct tiny {
	uint64_t block;
	unsigned half, step; /* its size is a multiple of step */
	unsigned whose;	     /* 1 + the first of them in that block */
	bool fresh;	     /* nothing lived in the block */
};

struct state {
	uint64_t block; /* 0 = none */
	unsigned offset;
	unsigned whose; /* 0: it was there before; else 1 + who brought it, of tinies */
};

struct tinies {
	struct tiny of[1 + LOOK_AHEAD];
	unsigned count;
	bool any_half; /* only the block counts */
	/* answers of goes_well: 0 = not asked yet, else 1 more */
	uint8_t known[1 + LOOK_AHEAD][2 + LOOK_AHEAD][BLOCK + 1];
};

static unsigned align_up(unsigned offset, unsigned size)
{
	unsigned align = (size | 8) & -(size | 8); /* its lowest bit, 8 at most */

	return (offset + align - 1) & ~(align - 1);
}

/* What a heap does with `size`; false when the object then goes elsewhere than it did. */
static bool put_tiny(struct state *state, const struct tinies *tinies, unsigned at, unsigned size)
{
	const struct tiny *tiny = &tinies->of[at];
	unsigned from = align_up(state->offset, size);
	bool shares = tiny->block == state->block;

	if (size < BLOCK && state->block && from + size <= BLOCK) {
		state->offset = from + size;
		return shares && (tinies->any_half || from / HALF == tiny->half);
	}
	if (size < BLOCK && (size < state->offset || !state->block))
		*state = (struct state){ tiny->block, size, 1 + at };
	return tiny->fresh;
}

/* The sizes of an object to try, one after the other; 0 = no more. */
static unsigned next_size(const struct tinies *tinies, unsigned at, unsigned size)
{
	const struct tiny *tiny = &tinies->of[at];
	unsigned most = BLOCK / tiny->step * tiny->step;

	if (at + 1 >= tinies->count || tiny[1].block == tiny->block)
		return size + tiny->step <= most ? size + tiny->step : 0;
	/* All of a block is no tiny object: that comes last. */
	if (size == BLOCK)
		return 0;
	if (size == 0)
		return most < BLOCK ? most : most > tiny->step ? most - tiny->step : BLOCK;
	return size > tiny->step ? size - tiny->step : most == BLOCK ? BLOCK : 0;
}

/* For how many objects all goes as it went, from the one at `at` on. */
static unsigned goes_well(struct tinies *tinies, unsigned at, struct state state)
{
	struct state tried = { .offset = BLOCK + 1 };
	unsigned best = 0;
	uint8_t *known;

	if (at == tinies->count)
		return 0;
	known = &tinies->known[at][state.whose][state.offset];
	if (*known)
		return *known - 1u;
	for (unsigned size = next_size(tinies, at, 0); size && best < tinies->count - at;
	     size = next_size(tinies, at, size)) {
		struct state then = state;
		unsigned well;

		if (!put_tiny(&then, tinies, at, size) ||
		    (then.block == tried.block && then.offset == tried.offset))
			continue;
		tried = then;
		well = 1 + goes_well(tinies, at + 1, then);
		if (well > best)
			best = well;
	}
	*known = (uint8_t)(best + 1);
	return best;
}

static bool in_use(const struct go_span *span, uint64_t index)
{
	const uint64_t *chunk = span->chunk[index / GO_CHUNK];

	return chunk && chunk[index % GO_CHUNK] != RH_NONE;
}

static void add_tiny(struct tinies *tinies, const struct go_span *span, uint64_t address,
		     unsigned step)
{
	uint64_t index = (address - span->base) / BLOCK, block = span->base + index * BLOCK;
	unsigned first = 0;

	while (first < tinies->count && tinies->of[first].block != block)
		first++;
	tinies->of[tinies->count] = (struct tiny){
		.block = block,
		.half = (unsigned)(address - block) / HALF,
		.step = step,
		.whose = 1 + first,
		.fresh = first == tinies->count && !in_use(span, index),
	};
	tinies->count++;
}

/* What an event that comes is, for four objects look at it. */
enum seen { NOT_SEEN, SEEN_TINY, SEEN_OTHER, SEEN_END };

/* Of a tiny one the step is kept in an argument that it does not have. A span that is not there yet
 * may be made before its objects are: then nothing is known. */
static enum seen see(struct go_import *import, struct go_event *event)
{
	const struct go_span *span;

	if (event->kind == GO_PROC_STOP) /* the thread gives its P up */
		return SEEN_END;
	if (event->kind != GO_OBJECT_ALLOC)
		return SEEN_OTHER;
	span = rh_go_span_at(&import->heap, import->types.heap_min + 8 * event->args[0]);
	if (!span)
		return NOT_SEEN;
	if (!span->blocks)
		return SEEN_OTHER;
	event->args[2] =
		rh_go_shape_of(import, span, (struct go_object_of){ event->args[1], false })->step;
	return SEEN_TINY;
}

/* The tiny objects that the thread makes next, before it gives its P up. */
static void look_ahead(struct go_import *import, struct go_thread *thread, struct tinies *tinies)
{
	uint32_t count;
	struct go_event *event = rh_go_look(&import->order, thread, &count);

	for (const struct go_event *end = event + count; event < end; event++) {
		uint64_t address = import->types.heap_min + 8 * event->args[0];
		const struct go_span *span;

		if (event->seen == NOT_SEEN)
			event->seen = (uint8_t)see(import, event);
		if (event->seen == SEEN_END)
			return;
		if (event->seen != SEEN_TINY)
			continue;
		span = rh_go_span_at(&import->heap, address);
		if (span && span->blocks)
			add_tiny(tinies, span, address, (unsigned)event->args[2]);
		if (tinies->count > LOOK_AHEAD)
			return;
	}
}

/* The first size with which all goes well for longest, and for how long. */
static unsigned choose(struct tinies *tinies, struct state state, unsigned *most)
{
	unsigned best = 0;

	*most = 0;
	memset(tinies->known, 0, tinies->count * sizeof(tinies->known[0]));
	for (unsigned size = next_size(tinies, 0, 0); size && *most < tinies->count;
	     size = next_size(tinies, 0, size)) {
		struct state then = state;
		unsigned well =
			put_tiny(&then, tinies, 0, size) ? 1 + goes_well(tinies, 1, then) : 0;

		if (well > *most || !best) {
			*most = well;
			best = size;
		}
	}
	return best;
}

static unsigned choose_any(struct tinies *tinies, struct state state)
{
	unsigned well, better, size, other;

	tinies->any_half = false;
	size = choose(tinies, state, &well);
	if (well == tinies->count)
		return size;
	tinies->any_half = true;
	other = choose(tinies, state, &better);
	return better > well ? other : size;
}

/*
 * All that a choice depends on: how full the P's block is, and of each object its half, its step,
 * whether the block is fresh and whose it is: 0 the P's, else 1 + the first object in it. The
 * choice is a search of some 2,500 instructions, and programs make the same few again and again.
 */
static uint64_t key_of(const struct tinies *tinies, const struct state *state)
{
	uint64_t key = state->offset << 1 | (state->block != 0);

	for (unsigned i = 0; i < tinies->count; i++) {
		const struct tiny *tiny = &tinies->of[i];
		unsigned whose = state->block == tiny->block ? 0 : tiny->whose;

		key = key << 9 | whose << 6 | tiny->half << 5 | (unsigned)tiny->fresh << 4 |
		      (tiny->step - 1);
	}
	return key << 3 | tinies->count;
}

static unsigned choose_known(struct go_import *import, struct tinies *tinies, struct state state)
{
	uint64_t key = key_of(tinies, &state);
	struct go_choice *choice = &import->choices[rh_map_hash(key) >> (64 - GO_CHOICES_LOG2)];

	if (choice->key != key)
		*choice = (struct go_choice){ key, choose_any(tinies, state) };
	rh_debug_assert(choice->size == choose_any(tinies, state));
	return choice->size;
}

unsigned rh_go_tiny_size(struct go_import *import, struct go_thread *thread,
			 const struct go_span *span, uint64_t address, unsigned step)
{
	struct go_actor *p = thread->p == GO_NONE ? NULL : &import->order.ps.of[thread->p];
	struct tinies tinies; /* what of it is looked at is set where it is */
	struct state state;
	unsigned size;

	tinies.count = 0;
	add_tiny(&tinies, span, address, step);
	if (!p)
		return tinies.of[0].step > 1 ? tinies.of[0].step : HALF;
	state = (struct state){ p->tiny, p->tiny_offset, 0 };
	/* Others are in it: so it is the P's, whatever was believed. */
	if (!tinies.of[0].fresh && state.block)
		state.block = tinies.of[0].block;
	if (tinies.of[0].step <= HALF)
		look_ahead(import, thread, &tinies);
	size = choose_known(import, &tinies, state);
	tinies.any_half = true;
	put_tiny(&state, &tinies, 0, size);
	p->tiny = state.block;
	p->tiny_offset = (uint8_t)state.offset;
	return size;
}
