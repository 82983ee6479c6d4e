/*
 * block.c - which class serves a request; which blocks the user holds (debug).
 *
 * Alignment decides whose rules hold. A request without one comes from a program that
 * called malloc: it gets 16 bytes (8 below 16) and is laid out as noscan, for nothing
 * is known about its contents. A request for 2 to 8 bytes, or a noscan one without any,
 * comes from a Go program: its class is exactly Go's, it may be scan, and noscan ones
 * under 16 bytes are tiny. Larger alignments take the first class whose slots all have
 * it (a span starts on a page), else whole pages.
 */
#include "alloc/heap/tiered/block.h"

#include <stdio.h>
#include <stdlib.h>

#include "alloc/base/debug.h"

struct place rh_place(const struct rh_heap *heap, size_t size, size_t align, uint32_t flags)
{
	const struct tier_classes *classes = &heap->classes;
	bool asked = align > 1, noscan = flags & RH_ALLOC_NOSCAN;
	bool go = asked ? align <= 8 : noscan;
	struct place place = { .align = asked ? align : go || size < 16 ? 8 : 16 };
	/* Before 1.9 one span class for both; the odd one is used, so class numbers
	 * mean the same in every version. */
	unsigned odd = !heap->profile->noscan_split || !go || noscan;
	size_t look = size;
	unsigned class;

	place.plain = !go && place.align <= 16;
	/* Go aligns a tiny block by its size (8, 4 or 2); a request for more would be
	 * broken by packing it. */
	place.tiny = go && noscan && size > 0 && size < 16 && (!asked || (size & -size) >= align);
	if (!odd && heap->profile->header && size > TIER_HEADER_MIN)
		look += TIER_HEADER;
	place.spc = odd;
	if (size > classes->size_max || place.align > TIER_PAGE)
		return place;
	class = rh_class_of(classes, look);
	/* A span begins on a page, so a slot size that is a multiple of the alignment
	 * aligns every slot. At most the next few classes: each power of two is one. */
	while (class < classes->class_count && classes->of[2 * class + 1].elem_bytes % place.align)
		class ++;
	if (class < classes->class_count)
		place.spc = 2 * class + odd;
	rh_debug_assert(place.spc < 2 || classes->of[place.spc].elem_bytes >=
						 size + classes->of[place.spc].header_bytes);
	return place;
}

#ifdef RH_DEBUG
static _Noreturn void bad_free(const struct rh_heap *heap, const struct mspan *span, const void *p,
			       const char *what)
{
	if (span)
		fprintf(stderr,
			"reheap: tiered: free of %p: %s; span %p, %u pages, class %u "
			"(%zu bytes), %s\n",
			p, what, (void *)span->base, span->page_count, span->spc >> 1,
			rh_span_elem(span),
			rh_span_state(span) == SPAN_IN_USE ? "in use" : "not in use");
	else
		fprintf(stderr,
			"reheap: tiered: free of %p: %s; no span there, the heap is at "
			"%p\n",
			p, what, (void *)heap->window);
	abort();
}

static _Atomic uint64_t *live_word(const struct rh_heap *heap, const struct mspan *span,
				   const void *p, uint64_t *bit)
{
	uint64_t *bits = rh_span_live_bits(span, heap->gc == TIER_GC_EXPLICIT);
	unsigned index = span->elem_bytes ? rh_span_index(span, p) : 0;

	*bit = (uint64_t)1 << index % 64;
	return (_Atomic uint64_t *)&bits[index / 64];
}

/* Tiny blocks share a slot: the count of parts is their shadow (tiny.c). */
static bool shared(const struct rh_heap *heap, const struct mspan *span)
{
	return heap->gc != TIER_GC_EXPLICIT && span->elem_bytes == 16 && span->spc & 1;
}

void rh_live_begin(struct rh_lane *lane, const void *p)
{
	const struct rh_heap *heap = lane->heap;
	struct mspan *span = rh_span_of(heap, p);
	uint64_t bit;

	if (shared(heap, span))
		return;
	_Atomic uint64_t *word = live_word(heap, span, p, &bit);

	/* Atomic because two lanes may take slots that share a word. The bit alone
	 * decides, so no order is needed. */
	if (atomic_fetch_or_explicit(word, bit, memory_order_relaxed) & bit)
		bad_free(heap, span, p, "the heap handed it out twice");
}

void rh_live_end(struct rh_lane *lane, const void *p)
{
	struct rh_heap *heap = lane->heap;
	struct mspan *span = rh_span_of(heap, p);
	size_t offset, header;
	uint64_t bit;
	_Atomic uint64_t *word;

	if (!span || rh_span_state(span) != SPAN_IN_USE)
		bad_free(heap, span, p, "not a block of this heap, or freed already");
	header = span->elem_bytes ? heap->classes.of[span->spc].header_bytes : 0;
	offset = (uintptr_t)p - span->base;
	if (shared(heap, span))
		return;
	if (span->elem_bytes ? offset % span->elem_bytes != header : offset != 0)
		bad_free(heap, span, p, "it points into a block");
	if (span->elem_bytes && rh_span_index(span, p) >= span->elem_count)
		bad_free(heap, span, p, "it points past the last block");
	word = live_word(heap, span, p, &bit);
	if (!(atomic_fetch_and_explicit(word, ~bit, memory_order_relaxed) & bit))
		bad_free(heap, span, p, "it is free already");
}
#else
void rh_live_begin(struct rh_lane *lane, const void *p)
{
	(void)lane;
	(void)p;
}

void rh_live_end(struct rh_lane *lane, const void *p)
{
	(void)lane;
	(void)p;
}
#endif
