/*
 * mspan.c - a run of pages that holds slots of one size.
 *
 *	base                                                base + pages
 *	| slot 0 | slot 1 | ...            | slot n-1 | tail |
 *	           ^ freeindex
 *	alloc_bits	bit i: slot i is taken
 *	alloc_cache	inverse of the 64 bits around freeindex, shifted so that
 *			bit 0 stands for slot freeindex
 *
 * Slots are handed out in rising order of address by counting zeros of alloc_cache; a
 * slot freed below freeindex comes back only when the span starts over (rewind or
 * sweep). alloc_bits is exact here at any time, where Go leaves the bits of slots
 * below freeindex to be implied: the same answer, and frees can be explicit.
 *
 * Bitmaps of up to 64 slots lie in the span struct. Longer ones come from a pool of
 * power-of-two sizes and stay with the struct when it is reused for a class that fits.
 */
#include <string.h>

#include "alloc/base/debug.h"
#include "alloc/heap/tiered/mheap.h"

/* A lane carves bitmaps from 4 KiB at a time, so that it takes the lock of the pool once
 * for sixteen of the longest. */
enum { LANE_BITS_BYTES = 4096 };

static void bits_give(struct rh_heap *heap, void *p, unsigned log)
{
	rh_debug_assert(rh_lock_held(&heap->bits_lock));
	*(void **)p = heap->bits_free[log];
	heap->bits_free[log] = p;
}

/* What is left of the lane's piece, as powers of two. Pool lock held. */
static void give_rest(struct rh_lane *lane)
{
	/* Highest power of two first: a rest of 24 bytes becomes 16 and 8, and
	 * nothing is lost. */
	while (lane->bits_end - lane->bits_at >= 8) {
		unsigned log = 63 - (unsigned)__builtin_clzll((lane->bits_end - lane->bits_at) / 8);

		bits_give(lane->heap, (void *)lane->bits_at, log);
		lane->bits_at += 8u << log;
	}
}

static void *bits_locked(struct rh_lane *lane, unsigned log)
{
	struct rh_heap *heap = lane->heap;
	void *p = heap->bits_free[log];
	uintptr_t piece;

	rh_debug_assert(rh_lock_held(&heap->bits_lock));
	if (p) {
		heap->bits_free[log] = *(void **)p;
		return p;
	}
	piece = (uintptr_t)rh_persistent_alloc(&heap->persistent, LANE_BITS_BYTES, 8);
	if (!piece)
		return NULL;
	give_rest(lane);
	lane->bits_at = piece + (8u << log);
	lane->bits_end = piece + LANE_BITS_BYTES;
	return (void *)piece;
}

static void *bits_take(struct rh_lane *lane, unsigned log)
{
	void *p = (void *)lane->bits_at;

	tier_add(&lane->n.bitmap_bytes, 8u << log);
	if (lane->bits_end - lane->bits_at >= 8u << log) {
		lane->bits_at += 8u << log;
		return p;
	}
	rh_lock(&lane->heap->bits_lock);
	p = bits_locked(lane, log);
	rh_unlock(&lane->heap->bits_lock);
	return p;
}

void rh_lane_drain_bits(struct rh_lane *lane)
{
	rh_lock(&lane->heap->bits_lock);
	give_rest(lane);
	rh_unlock(&lane->heap->bits_lock);
}

static unsigned log2_up(unsigned words)
{
	unsigned log = 0;

	while (1u << log < words)
		log++;
	return log;
}

/* How many bitmaps a span carries: taken and dead; marks; the debug shadow. */
static unsigned bitmap_count(const struct rh_heap *heap)
{
	return 2 + (heap->gc != TIER_GC_EXPLICIT) + TIER_DEBUG;
}

static bool tiny_class(const struct rh_heap *heap, unsigned spc)
{
	return heap->gc != TIER_GC_EXPLICIT && heap->classes.of[spc].elem_bytes == 16 && spc & 1;
}

static bool resize_bits(struct rh_lane *lane, struct mspan *span, unsigned words)
{
	struct rh_heap *heap = lane->heap;
	unsigned maps = bitmap_count(heap), log = log2_up(words * maps);
	uint64_t *bits = span->inline_bits;

	if (words * maps <= SPAN_INLINE_WORDS) {
		words = SPAN_INLINE_WORDS / maps;
	} else {
		if (span->bit_words * maps > SPAN_INLINE_WORDS) {
			rh_lock(&heap->bits_lock);
			bits_give(heap, span->alloc_bits, log2_up(span->bit_words * maps));
			rh_unlock(&heap->bits_lock);
		}
		/* Until there is memory it has none, so a failure leaves no pointer
		 * to bits that were given back. */
		span->bit_words = 0;
		bits = bits_take(lane, log);
		if (!bits)
			return false;
		/* All of the power of two is used: the next class of this struct may
		 * need a word more. */
		words = (1u << log) / maps;
	}
	span->bit_words = (uint16_t)words;
	span->alloc_bits = bits;
	return true;
}

bool rh_span_bits(struct rh_lane *lane, struct mspan *span, unsigned spc)
{
	struct rh_heap *heap = lane->heap;
	unsigned words = spc > 1 ? heap->classes.of[spc].bit_words : 1;
	unsigned slots = heap->classes.of[spc].elem_count;

	if (span->bit_words < words && !resize_bits(lane, span, words))
		return false;
	if (!tiny_class(heap, spc) || span->tiny_bytes >= slots)
		return true;
	span->tiny_live = bits_take(lane, log2_up((slots + 7) / 8));
	span->tiny_bytes = span->tiny_live ? (uint16_t)slots : 0;
	return span->tiny_live != NULL;
}

void rh_span_init(struct rh_heap *heap, struct mspan *span, unsigned spc)
{
	const struct tier_class *class = &heap->classes.of[spc];

	span->spc = (uint8_t)spc;
	span->freeindex = 0;
	span->alloc_count = span->alloc_count_cached = 0;
	span->alloc_cache = ~(uint64_t)0;
	span->elem_bytes = spc > 1 ? class->elem_bytes : 0;
	span->elem_count = spc > 1 ? class->elem_count : 1;
	span->div_mul = spc > 1 ? class->div_mul : 0;
	rh_debug_assert(span->elem_count <= 64u * span->bit_words);
	span->remote_next = NULL;
	atomic_store_explicit(&span->dead_count, 0, memory_order_relaxed);
	/* Bits of the span that had this struct before. */
	memset(span->alloc_bits, 0, bitmap_count(heap) * span->bit_words * 8u);
	if (tiny_class(heap, spc))
		memset((void *)span->tiny_live, 0, span->tiny_bytes);
	atomic_store_explicit(&span->sweepgen, atomic_load(&heap->sweepgen), memory_order_relaxed);
	/* Last: sweepers walk all structs and believe those that are in use. */
	rh_span_set_state(span, SPAN_IN_USE);
}

/* The first taken slot count that alloc_cache cannot reach: moves on to the next word. */
static bool reload(struct mspan *span)
{
	unsigned at = span->freeindex;

	while (!span->alloc_cache) {
		at = (at + 64) & ~63u;
		if (at >= span->elem_count) {
			span->freeindex = span->elem_count;
			return false;
		}
		span->alloc_cache = ~span->alloc_bits[at / 64];
	}
	span->freeindex = (uint16_t)at;
	return true;
}

void *rh_span_next(struct mspan *span)
{
	unsigned index, bit;

	/* The test of the end comes first: past it the bits belong to no slot. */
	if (span->freeindex >= span->elem_count || !reload(span))
		return NULL;
	bit = (unsigned)__builtin_ctzll(span->alloc_cache);
	index = span->freeindex + bit;
	/* Bits behind the last slot are 0 in alloc_bits and look free. */
	if (index >= span->elem_count) {
		span->freeindex = span->elem_count;
		return NULL;
	}
	rh_debug_assert(!(span->alloc_bits[index / 64] >> index % 64 & 1)); /* handed out once */
	span->alloc_bits[index / 64] |= (uint64_t)1 << index % 64;
	span->alloc_cache = bit == 63 ? 0 : span->alloc_cache >> (bit + 1);
	span->freeindex = (uint16_t)(index + 1);
	/* bit 0 of the cache must stand for freeindex, so at a word's end the next
	 * one is loaded now. */
	if (span->freeindex % 64 == 0 && span->freeindex < span->elem_count)
		span->alloc_cache = ~span->alloc_bits[span->freeindex / 64];
	tier_store(&span->alloc_count, (uint16_t)(span->alloc_count + 1)); /* slots die elsewhere */
	rh_debug_assert(span->alloc_count <= span->elem_count);
	return (void *)(span->base + index * rh_span_elem(span));
}

void rh_span_rewind(struct mspan *span)
{
	span->freeindex = 0;
	span->alloc_cache = ~span->alloc_bits[0];
	/* Slots that were used before. */
	span->needzero = 1;
}

const char *rh_span_check(const struct rh_heap *heap, const struct mspan *span)
{
	unsigned taken = 0;

	if (rh_span_state(span) != SPAN_IN_USE)
		return "it is on a list of spans in use but is not in use";
	if (heap->spans[rh_page_index(heap, span->base)] != span)
		return "its first page belongs to another span";
	for (unsigned w = 0; w < (span->elem_count + 63u) / 64; w++)
		taken += (unsigned)__builtin_popcountll(span->alloc_bits[w]);
	if (taken != span->alloc_count)
		return "its bits and its count of taken slots differ";
	if (span->freeindex > span->elem_count)
		return "freeindex is past its end";
	return NULL;
}
