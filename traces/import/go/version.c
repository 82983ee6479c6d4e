/*
 * version.c - which Go wrote a trace, as far as the trace shows it.
 *
 * The format's number tells 1.25 and 1.26. 1.23 and 1.24 write the same number, and differ in
 * what their recorders see: 1.23 misses tiny objects inside a block and some stacks. They are
 * told apart, the strongest first, by
 *
 *	the size of runtime.m or runtime.g, in the table of types (types.c);
 *	an odd half of a tiny block: only 1.24 records it;
 *	where that structure would lie in the heap when recording began.
 *
 * Tables come at the end of a generation, so that a trace which is cut off in its first one has
 * none. A runtime.m has 1,784 bytes in 1.23 and 1,832 in 1.24 on 64-bit Linux, and a header of 8:
 * slots of 1,792 or of 2,048 bytes with pointers. Every program has some before it can record, so
 * a snapshot with only one of the two classes says which. Where nothing decides, it is open:
 * nothing is taken from the trace for what only 1.23 could not see.
 */
#include "traces/import/go/go.h"

#include <inttypes.h>
#include <stdio.h>

/* The runtime's words of spans: class, then without pointers, then in use. */
enum { KIND_BLOCKS = (2 << 1 | 1) << 1, KIND_1792 = 37 << 2, KIND_2048 = 38 << 2 };
enum { ONLY_BLOCKS = 1, MIXED = 2 }; /* what was seen at a page where a span begins */

enum { PROFILE_123 = 1 }; /* place in the names */

const char *const rh_go_profile_names[] = {
	"auto", "1.23", "1.24", "1.25", "1.25-greenteagc", "1.26", "1.26-nogreenteagc", NULL
};

/* ---- the first generation, looked through ---- */

struct look {
	struct rh_map pages; /* first pages of spans of shared blocks */
	bool spans_known;    /* the second round */
};

static int look_at_span(struct look *look, const struct go_event *event, struct rh_err *err)
{
	bool blocks = event->args[2] == KIND_BLOCKS;
	uint64_t known = rh_map_get(&look->pages, event->args[0]);

	if (!blocks && known == RH_MAP_NONE)
		return 0;
	if (!blocks)
		known = MIXED;
	else if (known == RH_MAP_NONE)
		known = ONLY_BLOCKS;
	return rh_map_put(&look->pages, event->args[0], known) ? 0 : rh_go_no_memory(err);
}

static int look_at(struct go_import *import, struct look *look, const struct go_event *event,
		   struct rh_err *err)
{
	switch (event->kind) {
	case GO_STATUS:
	case GO_STATUS_STACK:
		import->tasks.alive_at_start += look->spans_known;
		break;
	case GO_SPAN:
		import->signs.in_1792 |= event->args[2] == KIND_1792;
		import->signs.in_2048 |= event->args[2] == KIND_2048;
		return look_at_span(look, event, err);
	case GO_SPAN_ALLOC:
		return look_at_span(look, event, err);
	case GO_OBJECT_ALLOC:
		/* Objects are recorded in units of 8 bytes: an odd one is the second half. Pages
		 * that held other spans too may have had an object of 8 bytes there. */
		if (look->spans_known && event->args[0] % 2 &&
		    rh_map_get(&look->pages, event->args[0] / (RH_GO_PAGE / 8)) == ONLY_BLOCKS)
			import->signs.halves++;
		break;
	case GO_STACK:
		import->signs.whole = true; /* comes behind all spans of the snapshot */
		break;
	}
	return 0;
}

/* Goroutines alive at the start: all that later formats leave open. */
static void count_alive(struct go_import *import)
{
	const struct go_generation *generation = &import->generation;

	for (size_t i = 0; i < generation->batch_count; i++) {
		const struct go_batch *batch = &generation->batches[i];
		const uint8_t *at = generation->data + batch->at, *end = at + batch->bytes;

		while (!batch->table && at < end) {
			unsigned kind = *at;

			if (!rh_go_event_skip(&import->wire, &at, end))
				break;
			import->tasks.alive_at_start +=
				kind == GO_STATUS || kind == GO_STATUS_STACK;
		}
	}
}

int rh_go_look_through(struct go_import *import, struct rh_err *err)
{
	const struct go_generation *generation = &import->generation;
	struct look look = { .spans_known = false };
	int result = 0;

	if (import->wire.version > 23) {
		count_alive(import);
		return 0;
	}
	/* Other threads record the spans, before or after: two rounds find them all. */
	for (size_t i = 0; i < 2 * generation->batch_count && result == 0; i++) {
		const struct go_batch *batch = &generation->batches[i % generation->batch_count];
		const uint8_t *at = generation->data + batch->at;
		struct go_cursor cursor = { at, at + batch->bytes, batch->time };
		struct go_event event;

		look.spans_known = i >= generation->batch_count;
		while (!batch->table && result == 0 &&
		       rh_go_events_next(&import->wire, &cursor, &event, 1))
			result = look_at(import, &look, &event, err);
	}
	rh_map_close(&look.pages);
	return result;
}

/* ---- the verdict ---- */

/* 23 or 24 by what was found, 0 = open. Only for format 23. */
static unsigned minor_of(const struct go_import *import)
{
	const struct go_signs *signs = &import->signs;

	if (import->types.minor)
		return import->types.minor;
	if (signs->halves)
		return 24;
	if (signs->whole && signs->in_1792 != signs->in_2048)
		return signs->in_1792 ? 23 : 24;
	return 0;
}

void rh_go_judge_parts(struct go_import *import)
{
	bool misses = import->opts.profile ? import->opts.profile == PROFILE_123
					   : import->wire.version == 23 && minor_of(import) == 23;

	import->heap.parts_seen = !misses;
}

static const char *why_minor(const struct go_import *import, char *why, size_t bytes)
{
	const struct go_signs *signs = &import->signs;
	unsigned minor = minor_of(import);

	if (import->types.minor)
		snprintf(why, bytes, "by the size of its %s", import->types.minor_by);
	else if (signs->halves)
		snprintf(why, bytes,
			 "second halves of tiny blocks are recorded, %" PRIu64 " at its beginning",
			 signs->halves);
	else if (minor)
		snprintf(why, bytes,
			 "no type to tell, but its heap begins with slots of %s bytes for "
			 "runtime.m, and none of %s",
			 minor == 23 ? "1,792" : "2,048", minor == 23 ? "2,048" : "1,792");
	else
		snprintf(why, bytes,
			 "open, 1.23 or 1.24: no type to tell, no second half of a tiny block%s",
			 signs->whole ? ", slots for either runtime.m"
				      : ", and the heap it began with is not whole");
	return minor == 23 ? "1.23" : "1.24";
}

bool rh_go_profile_open(const struct go_import *import)
{
	return !import->opts.profile && import->wire.version < 25 && !minor_of(import);
}

/* Past the marks there are as many objects as this in the slot before, or more. */
enum { MARKS_ODD = 2 };

/* Objects where marks would lie say that there are none, for full spans have as many there as in
 * the last slot before; none though that slot was used often says that there are. A few come of
 * damage. */
const char *rh_go_profile_of(const struct go_import *import, char *why, size_t bytes)
{
	const struct go_heap *heap = &import->heap;
	unsigned version = import->wire.version;
	bool past = heap->marks_past > heap->marks_edge / MARKS_ODD;
	bool marks = past ? false : heap->marks_edge ? true : version >= 26;

	if (import->opts.profile) {
		snprintf(why, bytes, "given by the option profile");
		return rh_go_profile_names[import->opts.profile];
	}
	if (version < 25)
		return why_minor(import, why, bytes);
	if (past)
		snprintf(why, bytes,
			 "%" PRIu64 " objects lie where inline marks (Green Tea) would be",
			 heap->marks_past);
	else if (heap->marks_edge)
		snprintf(why, bytes,
			 "%s lies where inline marks (Green Tea) are, %" PRIu64 " lie just before",
			 heap->marks_past ? "hardly an object" : "no object", heap->marks_edge);
	else
		snprintf(why, bytes, "by the format alone: no one-page span was full");
	if (version >= 26)
		return marks ? "1.26" : "1.26-nogreenteagc";
	return marks ? "1.25-greenteagc" : "1.25";
}
