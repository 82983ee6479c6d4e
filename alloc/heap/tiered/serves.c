/*
 * serves.c - which bin a size of malloc's callers goes to.
 *
 * Go's medium classes are made for heaps with many blocks of each size: that of 6784 bytes has
 * seven to a span of 48 KiB. A program that uses twenty such classes for a few blocks each keeps
 * a megabyte of free slots for them (git: 2.5 of its 7.4 MB). So in a new lane a class with long
 * spans of several slots is served by the next larger one that has short ones, or one slot a
 * span; it gets its own spans once that one fills many. Small classes each take a page for their
 * first block: there powers of two serve all others until they have filled two spans.
 * Go's callers get Go's classes at once.
 *
 * The tables of a lane give the bin of a size without looking at a class: offsets of bins in the
 * lane, 0 where one entry's sizes are of several classes, or of none.
 */
#include "alloc/heap/tiered/serves.h"

#include "alloc/heap/tiered/block.h"

/* Spans of up to 3 pages are short; 32 full pages are many. Up to a KiB, where a span is a page,
 * two are (38 small programs, peak to the best peer's: 1.19; with one, or four, 1.21). */
enum { SMALL = 1024, SHORT_PAGES = 3, MANY_PAGES = 32, MANY_SMALL = 2 };

/* Up to a KiB powers of two, and 24, which malloc's callers never get, for it is not aligned to 16;
 * above it the middle between two of them as well, and what has a span
 * for each block, where only what is touched costs memory. */
static bool serves_itself(const struct tier_class *class)
{
	uint32_t bytes = class->elem_bytes, odd = bytes >> __builtin_ctz(bytes);

	if (bytes <= SMALL)
		return bytes > 8 && (odd == 1 || bytes % 16);
	return (odd <= 3 && class->page_count <= SHORT_PAGES) || class->elem_count == 1;
}

/* The bin of sizes low..high; bin 0, which is always empty, where the slow way has to decide. */
static uint16_t bin_offset(const struct rh_heap *heap, size_t low, size_t high, size_t align,
			   uint32_t flags)
{
	unsigned spc = rh_place(heap, high, align, flags).spc;

	if (spc < 2 || heap->gc != TIER_GC_EXPLICIT || rh_place(heap, low, align, flags).spc != spc)
		spc = 0;
	return rh_bin_offset(spc);
}

static void fill_table(const struct rh_heap *heap, struct bin_table *table, size_t align,
		       uint32_t flags)
{
	for (size_t i = 0; i < TIER_CLASS8_COUNT; i++)
		table->of8[i] = bin_offset(heap, i ? i * 8 - 7 : 0, i * 8, align, flags);
	for (size_t high = 1024, i = 0; i < TIER_CLASS128_COUNT; i++, high += 128)
		table->of128[i] = bin_offset(heap, i ? high - 127 : high, high, align, flags);
}

/* Entries of `class` give the bin of the one that serves it. */
static void point(struct rh_lane *lane, unsigned class, unsigned server)
{
	uint16_t from = rh_bin_offset(2 * lane->serves[class] + 1);
	uint16_t to = rh_bin_offset(2 * server + 1);
	size_t low = lane->heap->classes.of[2 * class - 1].elem_bytes;
	size_t high = lane->heap->classes.of[2 * class + 1].elem_bytes;

	assert(high <= TIER_SMALL_MAX);
	lane->served[lane->serves[class]] -= lane->serves[class] != class;
	lane->served[server] += server != class;
	for (size_t i = low ? low / 8 + 1 : 0; i <= high / 8 && high <= SMALL; i++) {
		if (lane->plain.of8[i] == from)
			lane->plain.of8[i] = to;
	}
	for (size_t i = (low - 1024) / 128 + 1; i <= (high - 1024) / 128 && high > SMALL; i++) {
		if (lane->plain.of128[i] == from)
			lane->plain.of128[i] = to;
	}
	lane->serves[class] = (uint8_t)server;
}

void rh_serves_init(const struct rh_heap *heap, struct rh_lane *lane)
{
	unsigned server = heap->classes.class_count - 1;

	fill_table(heap, &lane->plain, 0, 0);
	for (unsigned class = server; class > 0; class --) {
		lane->serves[class] = (uint8_t) class;
		if (serves_itself(&heap->classes.of[2 * class + 1]))
			server = class;
		else if (heap->gc == TIER_GC_EXPLICIT)
			point(lane, class, server);
	}
}

void rh_serves_go(struct rh_lane *lane)
{
	fill_table(lane->heap, &lane->go[0], 8, 0);
	fill_table(lane->heap, &lane->go[1], 8, RH_ALLOC_NOSCAN);
	lane->go_filled = true;
}

unsigned rh_serves(struct rh_lane *lane, unsigned spc)
{
	unsigned class = spc / 2, server = 2u * lane->serves[class] + 1;
	const struct tier_class *by = &lane->heap->classes.of[server];

	if (server == spc)
		return spc;
	if (rh_class_spans(lane, server)->full.count * by->page_count <
	    (by->elem_bytes <= SMALL ? MANY_SMALL : MANY_PAGES))
		return server;
	point(lane, class, class);
	return spc;
}
