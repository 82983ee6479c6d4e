/*
 * heap.c - spans and slots, and the objects in them.
 *
 * The recorder names addresses. An object is a slot of a span, and the span says how large
 * slots are: base + index * slot size. So the path of an allocation is
 *  1. page of the address -> span (a small direct-mapped cache before the map);
 *  2. slot: scan objects over 512 bytes are named 8 bytes behind their slot, where the
 *     header ends, but freed by the slot itself;
 *  3. the size from the type (size.c), the object into the slot, the event out.
 *
 * What may stand in a slot already: in the 16-byte class without pointers, tiny objects
 * share a slot, and its one free ends them all. Anywhere else the alloc and the free of
 * the object before were written by two threads whose clocks differ: the old object ends
 * here and the free that is still to come, before the next cycle ends, is dropped. (A free
 * of the new object cannot come before: only a cycle that begins later can find it dead.)
 *
 * The recorder of 1.23 loses a few events inside others. So a span that lies over another
 * ends it, and a span that goes takes the objects with it that nobody freed.
 *
 * Memory: O(spans + living objects): ids are kept in chunks of 32 slots made when used.
 */
#include <stdlib.h>
#include <string.h>

#include "traces/import/go/go.h"
#include "alloc/base/grow.h"

enum { KIND_BITS = 9, MAP_PAGES_MAX = 16, TINY_KIND = 5 << 1, TINY_SLOT = 16, PAGES_MAX = 1 << 30 };

/* Slots of a span whose last 128 bytes hold marks; 0 when it has as many without. */
static uint32_t slots_with_marks(const struct rh_gosize *size, bool noscan)
{
	static const struct rh_gorules with = { true, true, true, true };
	static const struct rh_gorules without = { true, true, true, false };
	uint32_t slots = rh_gosize_slots(size, noscan, &with);

	return slots == rh_gosize_slots(size, noscan, &without) ? 0 : slots;
}

void rh_go_heap_open(struct go_heap *heap)
{
	struct rh_gosize sizes[RH_GO_CLASSES_MAX];

	memset(heap, 0, sizeof(*heap));
	heap->rules = (struct rh_gorules){ true, true, true, false };
	heap->class_count = rh_gosizes_make(sizes, &heap->rules);
	for (unsigned i = 1; i < heap->class_count; i++)
		heap->classes[i] = (struct go_class){
			.elem = sizes[i].bytes,
			.prev = sizes[i - 1].bytes,
			.pages = sizes[i].span_bytes / RH_GO_PAGE,
			.slots = sizes[i].span_bytes / sizes[i].bytes,
			.div_mul = UINT32_MAX / sizes[i].bytes + 1,
			.marks_slots = { slots_with_marks(&sizes[i], false),
					 slots_with_marks(&sizes[i], true) },
		};
	for (unsigned i = 1, at = 0; i < heap->class_count; i++)
		while (at <= heap->classes[i].elem / 8)
			heap->class_at[at++] = (uint8_t)i;
	heap->part_unused = GO_NONE;
	memset(heap->cache, 0xff, sizeof(heap->cache));
}

static void free_chunks(struct go_span *span)
{
	for (size_t i = 0; i < sizeof(span->chunk) / sizeof(span->chunk[0]); i++) {
		free(span->chunk[i]);
		span->chunk[i] = NULL;
	}
}

void rh_go_heap_close(struct go_heap *heap)
{
	for (uint32_t i = 0; i < heap->span_count; i++)
		free_chunks(&heap->spans[i]);
	free(heap->spans);
	free(heap->unused);
	free(heap->parts);
	rh_map_close(&heap->pages);
	rh_map_close(&heap->swapped);
}

/* ---- spans by address ---- */

/* Pages that lead to the span. Where it is long, all we look up begins at its base. */
static uint32_t mapped_pages(const struct go_span *span)
{
	return span->pages <= MAP_PAGES_MAX ? span->pages : 1;
}

uint32_t rh_go_find_span(struct go_heap *heap, uint64_t page)
{
	uint64_t known = rh_map_get(&heap->pages, page);

	if (known == RH_MAP_NONE)
		return GO_NONE;
	heap->cache[page % GO_SPAN_CACHE].page = page;
	heap->cache[page % GO_SPAN_CACHE].span = (uint32_t)known;
	return (uint32_t)known;
}

static void unmap(struct go_heap *heap, uint64_t page)
{
	rh_map_remove(&heap->pages, page);
	if (heap->cache[page % GO_SPAN_CACHE].page == page)
		heap->cache[page % GO_SPAN_CACHE].page = UINT64_MAX;
}

/* ---- slots ---- */

static uint64_t *slot_of(struct go_span *span, uint32_t index)
{
	uint64_t **chunk = &span->chunk[index / GO_CHUNK];

	if (!*chunk) {
		*chunk = malloc(GO_CHUNK * sizeof(**chunk));
		if (!*chunk)
			return NULL;
		memset(*chunk, 0xff, GO_CHUNK * sizeof(**chunk));
	}
	return &(*chunk)[index % GO_CHUNK];
}

/* Puts an object at the front of a shared block. */
static bool add_part(struct go_heap *heap, uint64_t *slot, uint64_t id)
{
	uint32_t at = heap->part_unused;

	if (at != GO_NONE) {
		heap->part_unused = heap->parts[at].next;
	} else {
		if (!rh_reserve32(&heap->parts, &heap->part_cap, heap->part_count + 1,
				  sizeof(*heap->parts)))
			return false;
		at = heap->part_count++;
	}
	heap->parts[at] = (struct go_part){ id, *slot == RH_NONE ? GO_NONE : (uint32_t)*slot };
	*slot = at;
	return true;
}

static inline int put_free(struct go_import *import, struct go_thread *thread, uint64_t id,
			   bool extra, struct rh_err *err)
{
	struct rh_event event = rh_go_event_of(RH_EV_FREE);

	event.id = id;
	return rh_go_put(import, thread, &event, extra, err);
}

/* Where objects are. */
struct place {
	const struct go_span *span;
	uint64_t *slot;
};

/* All that shared a block; `value`: the first of them. */
static int end_block(struct go_import *import, struct go_thread *thread, uint64_t value, bool extra,
		     struct rh_err *err)
{
	struct go_heap *heap = &import->heap;

	while (value != GO_NONE) {
		struct go_part part = heap->parts[value];

		if (put_free(import, thread, part.id, extra, err) < 0)
			return -1;
		extra = true;
		heap->parts[value].next = heap->part_unused;
		heap->part_unused = (uint32_t)value;
		value = part.next;
	}
	return 0;
}

/* Ends what is in a slot; the first of its objects is the event of the input unless `extra`. */
static inline int end_slot(struct go_import *import, struct go_thread *thread, struct place at,
			   bool extra, struct rh_err *err)
{
	uint64_t value = *at.slot;

	*at.slot = RH_NONE;
	return at.span->blocks ? end_block(import, thread, value, extra, err)
			       : put_free(import, thread, value, extra, err);
}

/* ---- spans come and go ---- */

static int end_objects(struct go_import *import, struct go_thread *thread, struct go_span *span,
		       struct rh_err *err)
{
	for (uint32_t i = 0; i < span->slots; i++) {
		uint64_t *chunk = span->chunk[i / GO_CHUNK];

		if (!chunk || chunk[i % GO_CHUNK] == RH_NONE)
			continue;
		go_count(import, GO_N_REPAIR_OBJECT_ENDED);
		if (end_slot(import, thread, (struct place){ span, &chunk[i % GO_CHUNK] }, true,
			     err) < 0)
			return -1;
	}
	return 0;
}

static uint64_t span_word(const struct go_span *span)
{
	return (uint64_t)span->pages << KIND_BITS | span->kind;
}

static int end_span(struct go_import *import, struct go_thread *thread, struct go_span *span,
		    bool extra, struct rh_err *err)
{
	struct go_heap *heap = &import->heap;
	uint64_t first = span->base / RH_GO_PAGE;
	uint32_t index = (uint32_t)(span - heap->spans);

	if (end_objects(import, thread, span, err) < 0 ||
	    rh_go_put_ref(import, thread,
			  (struct go_ref){ GO_REF_SPAN_FREE, span_word(span), extra }, err) < 0)
		return -1;
	if (span->stacks && rh_go_put_ref(import, thread,
					  (struct go_ref){ GO_REF_STACK_SPAN_FREE,
							   rh_go_stack_span_word(span), true },
					  err) < 0)
		return -1;
	for (uint32_t i = 0; i < mapped_pages(span); i++)
		if (rh_map_get(&heap->pages, first + i) == index)
			unmap(heap, first + i);
	free_chunks(span);
	*span = (struct go_span){ 0 };
	if (!rh_reserve32(&heap->unused, &heap->unused_cap, heap->unused_count + 1,
			  sizeof(*heap->unused)))
		return rh_go_no_memory(err);
	heap->unused[heap->unused_count++] = index;
	return 0;
}

/* A record for one more span; GO_NONE when memory ran out. */
static uint32_t take_record(struct go_heap *heap)
{
	if (heap->unused_count)
		return heap->unused[--heap->unused_count];
	if (!rh_reserve32(&heap->spans, &heap->span_cap, heap->span_count + 1,
			  sizeof(*heap->spans)))
		return GO_NONE;
	return heap->span_count++;
}

/* Fills in the record from the event: false when no heap has such a span. */
static bool describe(const struct go_heap *heap, struct go_span *span, uint64_t pages,
		     uint64_t kind)
{
	unsigned class = (unsigned)(kind >> 2);

	if (pages == 0 || pages > PAGES_MAX || kind >= 4 * heap->class_count ||
	    (kind & 1 && kind != GO_MANUAL))
		return false;
	span->pages = (uint32_t)pages;
	span->kind = (uint16_t)kind;
	if (kind == GO_MANUAL)
		return true;
	if (class == 0) {
		span->slots = 1;
		return true;
	}
	span->elem = heap->classes[class].elem;
	span->slots = heap->classes[class].slots;
	span->div_mul = heap->classes[class].div_mul;
	span->marks_slots = heap->classes[class].marks_slots[kind >> 1 & 1];
	span->blocks = kind == TINY_KIND;
	return pages == heap->classes[class].pages;
}

/* Whatever lies where the new span comes to lie has gone unseen. */
static int make_room(struct go_import *import, struct go_thread *thread,
		     const struct go_span *fresh, struct rh_err *err)
{
	for (uint32_t i = 0; i < mapped_pages(fresh); i++) {
		struct go_span *span =
			rh_go_span_at(&import->heap, fresh->base + (uint64_t)i * RH_GO_PAGE);

		if (!span)
			continue;
		go_count(import, GO_N_REPAIR_SPAN_OVERLAP);
		if (end_span(import, thread, span, true, err) < 0)
			return -1;
	}
	return 0;
}

static int begin_span(struct go_import *import, struct go_thread *thread,
		      const struct go_event *event, struct rh_err *err)
{
	struct go_heap *heap = &import->heap;
	struct go_span fresh = {
		.base = import->types.heap_min + event->args[0] * RH_GO_PAGE,
	};
	uint32_t index;

	if (!describe(heap, &fresh, event->args[1], event->args[2])) {
		go_count(import, GO_N_DROP_SPAN_ODD);
		return 0;
	}
	if (make_room(import, thread, &fresh, err) < 0)
		return -1;
	index = take_record(heap);
	if (index == GO_NONE)
		return rh_go_no_memory(err);
	fresh.number = ++heap->numbered;
	fresh.snapshot = event->kind == GO_SPAN;
	heap->spans[index] = fresh;
	for (uint32_t i = 0; i < mapped_pages(&fresh); i++)
		if (!rh_map_put(&heap->pages, fresh.base / RH_GO_PAGE + i, index))
			return rh_go_no_memory(err);
	return rh_go_put_ref(
		import, thread,
		(struct go_ref){ event->kind == GO_SPAN ? GO_REF_SPAN : GO_REF_SPAN_ALLOC,
				 span_word(&fresh), false },
		err);
}

static int free_span(struct go_import *import, struct go_thread *thread,
		     const struct go_event *event, struct rh_err *err)
{
	uint64_t base = import->types.heap_min + event->args[0] * RH_GO_PAGE;
	struct go_span *span = rh_go_span_at(&import->heap, base);

	if (!span || span->base != base) {
		go_count(import, GO_N_DROP_SPAN_UNKNOWN);
		return 0;
	}
	return end_span(import, thread, span, false, err);
}

/* ---- objects ---- */

static __attribute__((noinline)) uint32_t drop_object(struct go_import *import, enum go_count why)
{
	go_count(import, why);
	return GO_NONE;
}

/* The slot of an address: its index, or GO_NONE with the reason counted. */
static inline uint32_t find_slot(struct go_import *import, uint64_t address, struct go_span **found)
{
	struct go_span *span = rh_go_span_at(&import->heap, address);
	uint64_t offset, index;

	*found = span;
	if (!span || span->kind == GO_MANUAL)
		return drop_object(import, GO_N_DROP_OBJECT_UNKNOWN_SPAN);
	offset = address - span->base;
	/* One object has all of a span without slots: div_mul 0 makes it the first. */
	index = offset * span->div_mul >> 32;
	if (index >= span->slots || (!span->elem && offset))
		return drop_object(import, GO_N_DROP_OBJECT_ODD);
	return (uint32_t)index;
}

/* The slot is taken by an object whose free has not come yet. */
static int slot_live(struct go_import *import, struct go_thread *thread, struct place at,
		     uint64_t address, struct rh_err *err)
{
	go_count(import, GO_N_REPAIR_SLOT_LIVE);
	if (!rh_map_put(&import->heap.swapped, address, import->heap.cycles))
		return rh_go_no_memory(err);
	return end_slot(import, thread, at, true, err);
}

/* Whether this free is the one that slot_live put first. */
static bool was_swapped(struct go_heap *heap, uint64_t address)
{
	return heap->swapped.count && rh_map_remove(&heap->swapped, address) == heap->cycles;
}

static uint64_t slot_address(const struct go_span *span, uint32_t index)
{
	return span->base + (uint64_t)index * span->elem;
}

static void fill_alloc(struct go_import *import, struct rh_event *event,
		       const struct go_shape *shape)
{
	event->size = shape->size;
	event->flags = shape->flags;
	event->align_log2 = shape->align_log2;
	event->site = shape->site;
	import->heap.objects++;
	import->heap.exact += shape->count == GO_N_COUNT;
	if (shape->count != GO_N_COUNT)
		import->counts[shape->count]++;
	import->counts[GO_N_CLASS_DIFFERS] += shape->differs;
}

/* Sizes of tiny objects are what makes them share blocks as they did. */
static void fill_tiny(struct rh_event *event, uint64_t size)
{
	event->size = size;
	if (event->size == TINY_SLOT)
		event->flags &= (uint16_t)~RH_EVF_TINY;
}

/* The P takes a slot of a span: recorded when it is another span than before. */
static int fill_span(struct go_import *import, struct go_thread *thread, const struct go_span *span,
		     struct rh_err *err)
{
	unsigned kind = span->kind >> 1;
	struct go_actor *p;

	if (thread->p == GO_NONE || kind < 2)
		return 0;
	p = &import->order.ps.of[thread->p];
	if (!p->fills && !(p->fills = calloc(GO_KINDS, sizeof(*p->fills))))
		return rh_go_no_memory(err);
	if (p->fills[kind] == span->number)
		return 0;
	p->fills[kind] = span->number;
	return rh_go_put_ref(import, thread, (struct go_ref){ GO_REF_FILLS, span->number, true },
			     err);
}

static __attribute__((noinline)) int alloc_object(struct go_import *import,
						  struct go_thread *thread,
						  const struct go_event *event, struct rh_err *err)
{
	uint64_t address = import->types.heap_min + 8 * event->args[0], *slot;
	struct rh_event out = rh_go_event_of(RH_EV_ALLOC);
	const struct go_shape *shape;
	struct go_span *span;
	uint32_t index = find_slot(import, address, &span);

	if (index == GO_NONE)
		return 0;
	slot = slot_of(span, index);
	if (!slot)
		return rh_go_no_memory(err);
	if (*slot != RH_NONE && !span->blocks &&
	    slot_live(import, thread, (struct place){ span, slot }, slot_address(span, index),
		      err) < 0)
		return -1;
	if (span->snapshot && !span->used && event->kind == GO_OBJECT_ALLOC) {
		span->used = true;
		if (rh_go_put_ref(import, thread,
				  (struct go_ref){ GO_REF_SPAN_USED, span->number, true }, err) < 0)
			return -1;
	}
	/* A block that others are in may be of the span before. */
	if (event->kind == GO_OBJECT_ALLOC && (!span->blocks || *slot == RH_NONE) &&
	    fill_span(import, thread, span, err) < 0)
		return -1;
	shape = rh_go_shape_of(import, span,
			       (struct go_object_of){ event->args[1], event->kind == GO_OBJECT });
	fill_alloc(import, &out, shape);
	if (span->blocks && import->heap.parts_seen && event->kind == GO_OBJECT_ALLOC)
		fill_tiny(&out, rh_go_tiny_size(import, thread, span, address, shape->step));
	if (span->marks_slots && index + 1 >= span->marks_slots)
		*(index < span->marks_slots ? &import->heap.marks_edge
					    : &import->heap.marks_past) += 1;
	out.id = import->births++;
	if (!span->blocks)
		*slot = out.id;
	else if (!add_part(&import->heap, slot, out.id))
		return rh_go_no_memory(err);
	return rh_go_put(import, thread, &out, false, err);
}

static __attribute__((noinline)) int free_object(struct go_import *import, struct go_thread *thread,
						 const struct go_event *event, struct rh_err *err)
{
	uint64_t address = import->types.heap_min + 8 * event->args[0];
	struct go_span *span;
	uint32_t index = find_slot(import, address, &span);
	uint64_t *chunk;

	if (index == GO_NONE)
		return 0;
	if (was_swapped(&import->heap, slot_address(span, index))) {
		go_count(import, GO_N_DROP_FREE_SWAPPED);
		return 0;
	}
	chunk = span->chunk[index / GO_CHUNK];
	if (!chunk || chunk[index % GO_CHUNK] == RH_NONE) {
		go_count(import, GO_N_DROP_FREE_UNKNOWN);
		return 0;
	}
	return end_slot(import, thread, (struct place){ span, &chunk[index % GO_CHUNK] }, false,
			err);
}

int rh_go_heap_event(struct go_import *import, struct go_thread *thread,
		     const struct go_event *event, struct rh_err *err)
{
	switch (event->kind) {
	case GO_SPAN:
	case GO_SPAN_ALLOC:
		return begin_span(import, thread, event, err);
	case GO_SPAN_FREE:
		return free_span(import, thread, event, err);
	}
	return event->kind == GO_OBJECT_FREE ? free_object(import, thread, event, err)
					     : alloc_object(import, thread, event, err);
}
