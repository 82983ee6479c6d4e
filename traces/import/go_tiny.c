/*
 * go_tiny.c - sizes of tiny objects without a type, from who shares a block with whom.
 *
 * A P fills a block of 16 bytes with objects under 16 bytes, one behind the other, until one
 * does not fit; then it takes the next block, and keeps whichever of the two has more room.
 * The recorder tells the block of every object and which half of it, but no size of strings
 * and the like. Sizes that fill the same blocks are as good as the real ones: a block lives
 * until its last part dies, so who shares decides on how many there are.
 *
 * So each P's block and how full it is are followed, and an object of unknown size gets one
 * that makes the next object of the same thread go where it went: what is left of the block
 * if that is another block, else up to where the next one begins.
 *
 * The next object is looked for in what is left of the thread's batch, a few dozen events.
 */
#include "traces/import/go.h"
#include "traces/import/go_size.h"

enum { BLOCK = 16, HALF = 8, EVENTS_AHEAD = 48 };

struct next { bool known, same_block, is_current; unsigned half; uint64_t size; };

static unsigned align_up(unsigned offset, uint64_t size)
{
	unsigned align = size % 8 == 0 ? 8 : size % 4 == 0 ? 4 : size % 2 == 0 ? 2 : 1;

	return (offset + align - 1) & ~(align - 1);
}

static struct next look(struct go_import *import, const struct go_thread *thread, uint64_t block,
			uint64_t current)
{
	const uint8_t *at = thread->at;
	uint64_t time = thread->time;
	struct next next = { 0 };
	struct go_event event;

	for (int i = 0; i < EVENTS_AHEAD && at < thread->end; i++) {
		const struct go_type *type;
		const struct go_span *span;
		uint64_t address;

		if (!rh_go_event_next(&import->wire, &at, thread->end, &time, &event) ||
		    event.kind == GO_PROC_STOP)
			break;
		if (event.kind == GO_SPAN_ALLOC && event.args[2] == 5 << 1)
			return (struct next){ .known = true };
		if (event.kind != GO_OBJECT_ALLOC)
			continue;
		address = import->types.heap_min + 8 * event.args[0];
		span = rh_go_span_at(&import->heap, address);
		if (!span || !span->blocks)
			continue;
		type = rh_go_type_of(&import->types, event.args[1]);
		address -= span->base;
		next.known = true;
		next.half = (unsigned)(address % BLOCK / HALF);
		next.same_block = span->base + address / BLOCK * BLOCK == block;
		next.is_current = span->base + address / BLOCK * BLOCK == current;
		next.size = type && type->size < BLOCK ? type->size : 0;
		break;
	}
	return next;
}

/* Up to where the next object of the block may begin. */
static unsigned end_before(const struct next *next, unsigned from)
{
	unsigned room = next->size ? (unsigned)next->size : 1;
	unsigned end = next->half ? BLOCK - room : HALF - 1;

	if (next->half && from < HALF && end >= HALF)
		return HALF;
	return end > from ? end : from + 1;
}

uint64_t rh_go_tiny_size(struct go_import *import, const struct go_thread *thread, uint64_t block,
			 unsigned half)
{
	const struct go_actor *p = thread->p == GO_NONE ? NULL : &import->order.ps.of[thread->p];
	struct next next;
	unsigned from;

	if (!p)
		return HALF;
	next = look(import, thread, block, p->tiny);
	if (p->tiny == block) {
		from = p->tiny_offset > half * HALF ? p->tiny_offset : half * HALF;
		if (from >= BLOCK)
			return 1;
		if (!next.known)
			return from < HALF ? HALF - from : BLOCK - from;
		return next.same_block ? end_before(&next, from) - from : BLOCK - from;
	}
	if (!next.known)
		return HALF;
	if (next.same_block)
		return end_before(&next, 0);
	return p->tiny && !next.is_current && p->tiny_offset < BLOCK ? BLOCK - 1 : BLOCK;
}

void rh_go_tiny_note(struct go_import *import, const struct go_thread *thread, uint64_t block,
		     unsigned half, uint64_t size, bool shared)
{
	struct go_actor *p = thread->p == GO_NONE ? NULL : &import->order.ps.of[thread->p];
	unsigned from;

	if (!p || size >= BLOCK)
		return;
	if (p->tiny == block) {
		from = align_up(p->tiny_offset, size);
		p->tiny_offset = (uint8_t)(from + size < BLOCK ? from + size : BLOCK);
	} else if (shared || !p->tiny || size < p->tiny_offset) {
		p->tiny = block;
		p->tiny_offset = (uint8_t)(shared ? half * HALF + size : size);
	}
}
