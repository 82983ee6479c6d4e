/*
 * tiered.c - Go's heap in C: the backend's entries, and the story of a block.
 *
 * The tiers, each in its file:
 *
 *	lane (a P)	bins		freed blocks, reused first	explicit.c
 *			tiny block	16 bytes shared by small ones	tiny.c
 *			alloc[class]	a span per class		mcache.c, mspan.c
 *			page cache	64 pages			mheap.c
 *	mcentral	spans of a class no lane holds			mcentral.c
 *	mheap		spans, span structs, one lock			mheap.c
 *	page heap	free pages, by address or by length		pages_radix.c, pages_lists.c
 *	arenas		address space, from the system and back		arena.c, scavenge.c
 *	collector	what is dead, when it is noticed			gc.c, sweep.c
 *
 * alloc(size), gc=explicit, 14 instructions:
 *  1. size -> bin, one table load (up to 1 KiB by 8, up to 32 KiB by 128; serves.c).
 *  2. Pop the bin. Done.
 *  3. Bin empty: a slot of the lane's span, else the next span (explicit.c).
 *  4. Larger than 32 KiB: pages of its own (large.c).
 * alloc_as(size, alignment up to 8, with or without pointers), as Go programs ask: the same by
 * tables of its own, 29. Zeroed for malloc's callers: as alloc, and cleared.
 * free(p), 14: page of p -> bin, one load; push; over the limit: give half back
 * (explicit.c). The size that the caller gives is not needed.
 * No step up to here takes a lock, and most of what follows does not either.
 *
 * What is given back to the system (scavenge.c): a page goes back only when the work done since
 * has paid for it. What was used at the peak lately stays. Memory grows past its highest mark
 * only after free pages elsewhere went back; trim gives back all that is free.
 *
 * gc=oracle and gc=recorded keep every bin empty and the map of bins zero, so the same
 * two fast paths fall through to the slow ones at once: free marks a slot dead, and
 * cycles sweep (gc.c says when).
 *
 * Go has no free and gives every block its type. How this heap fits malloc: block.c.
 * Tiny blocks are made in the collected modes only: with explicit frees a 16-byte slot
 * would stay as long as its longest-lived part, for nothing.
 */
#include <assert.h>
#include <string.h>

#include "alloc/base/debug.h"
#include "alloc/heap/tiered/block.h"
#include "alloc/heap/tiered/collect.h"
#include "alloc/heap/tiered/explicit.h"
#include "alloc/heap/tiered/lane.h"
#include "alloc/heap/tiered/mheap.h"
#include "alloc/heap/tiered/poison.h"
#include "alloc/heap/tiered/serves.h"
#include "alloc/registry.h"

_Static_assert((int)RH_STACK_PAGE == (int)TIER_PAGE, "pages for stacks are ours");
_Static_assert(sizeof(struct tier_knobs) <= RH_KNOBS_BYTES_MAX, "a spec holds them");

static const char *const gc_names[] = { "explicit", "oracle", "recorded", NULL };

static const char *const scavenge_names[] = { "paced", "eager", "off", NULL };
static const char *const thp_names[] = { "off", "on", "auto", NULL };
static const char *const flush_names[] = { "cycle", "lane", NULL };

static const char *nearest_profile(const char *text)
{
	return rh_goversion_nearest(text, false);
}

static const struct rh_opt tiered_knobs[] = {
	{ "profile", 0, RH_OPT_NAME, offsetof(struct tier_knobs, profile), TIER_PROFILE_DEFAULT,
	  .names = rh_tier_profile_names, .nearest = nearest_profile, .arg = "VERSION",
	  .help = "which Go it behaves like (reheap list profiles)" },
	{ "gc", 0, RH_OPT_NAME, offsetof(struct tier_knobs, gc), "explicit", .names = gc_names,
	  .arg = "MODE", .help = "when freed slots come back" },
	{ "gogc", 0, RH_OPT_UINT, offsetof(struct tier_knobs, gogc), "100", .min = 1, .max = 100000,
	  .off = true, .arg = "PERCENT|off", .help = "growth that starts a cycle" },
	{ "scavenge", 0, RH_OPT_NAME, offsetof(struct tier_knobs, scavenge), "paced",
	  .names = scavenge_names, .arg = "POLICY",
	  .help = "give free pages back: as work pays for it, at once, or never" },
	{ "thp", 0, RH_OPT_NAME, offsetof(struct tier_knobs, thp), "auto", .names = thp_names,
	  .arg = "off|on|auto", .help = "ask for huge pages: never, for all, or above 16 MiB" },
	{ "limit", 0, RH_OPT_SIZE, offsetof(struct tier_knobs, limit), "0", .arg = "BYTES",
	  .help = "most memory it may hold; soft as GOMEMLIMIT with gc=oracle, 0 for none" },
	{ "roots", 0, RH_OPT_SIZE, offsetof(struct tier_knobs, roots), "0", .arg = "BYTES",
	  .help = "globals that a cycle scans; goals count them" },
	{ "stacks", 0, RH_OPT_SHARE, offsetof(struct tier_knobs, stacks), "0", .max = 1,
	  .arg = "SHARE", .help = "of the stacks' bytes that a cycle scans; goals count them" },
	{ "marking", 0, RH_OPT_SHARE, offsetof(struct tier_knobs, marking), "0", .max = 100,
	  .arg = "SHARE", .help = "gc=oracle: bytes allocated while one byte is marked" },
	{ "flush", 0, RH_OPT_NAME, offsetof(struct tier_knobs, flush), "cycle",
	  .names = flush_names, .arg = "cycle|lane",
	  .help = "gc=recorded: lanes' caches go back as a cycle ends, or each on its own" },
	{ .name = NULL }
};

/* ---- alloc ---- */

static inline void *bin_pop(struct rh_lane *lane, struct bin *bin, size_t size)
{
	void *p = bin->head;

	rh_debug_assert(p && bin > lane->bin);
	if (RH_POISON)
		rh_unpoison(p, size < sizeof(void *) ? sizeof(void *) : size);
	bin->head = *(void **)p;
	bin->room++;
	bin->allocs++;
	if (TIER_DEBUG)
		rh_live_begin(lane, p);
	return p;
}

static inline struct bin *bin_at(struct rh_lane *lane, uint16_t offset)
{
	return (struct bin *)((char *)lane + offset);
}

static inline struct bin *bin_of(struct rh_lane *lane, const struct bin_table *table, size_t size)
{
	if (tier_likely(size <= 1024))
		return bin_at(lane, table->of8[(size + 7) >> 3]);
	if (size <= TIER_SMALL_MAX)
		return bin_at(lane, table->of128[(size - 1024 + 127) >> 7]);
	return &lane->bin[0];
}

/* Whether it pays to ask if a block is known to be zero: only where the bin would take one more
 * at most, for clearing a short block costs less than going round the bin. */
static inline bool ask_zero(const struct bin *bin, uint32_t flags)
{
	return flags & RH_ALLOC_ZEROED && bin->batch <= 1;
}

/* A block whose bin is in no table. Apart from alloc_slow, which has nothing to save then. */
static __attribute__((noinline)) void *alloc_by_rule(struct rh_lane *lane, size_t size,
						     size_t align, uint32_t flags)
{
	bool known_zero = false;
	struct place place;
	struct bin *bin;
	unsigned server;
	void *p;

	if (lane->heap->gc != TIER_GC_EXPLICIT)
		return rh_collected_alloc(lane, size, align, flags);
	place = rh_place(lane->heap, size, align, flags);
	if (tier_unlikely(!place.plain && align <= 8 && !lane->go_filled))
		rh_serves_go(lane);
	if (place.spc < 2) {
		p = rh_large_alloc(lane, size, &place, flags);
		if (p && TIER_DEBUG)
			rh_live_begin(lane, p);
		return p;
	}
	if (place.plain || align > 8) { /* zeroed, on the edge of two classes, or aligned */
		server = rh_serves(lane, place.spc);
		if (lane->heap->classes.of[server].elem_bytes % place.align == 0)
			place.spc = server;
	}
	bin = &lane->bin[place.spc];
	if (bin->head) {
		p = bin_pop(lane, bin, size);
	} else {
		p = rh_explicit_alloc(lane, place.spc, ask_zero(bin, flags) ? &known_zero : NULL);
		if (!p)
			return NULL;
		if (TIER_DEBUG)
			rh_live_begin(lane, p);
		if (RH_POISON)
			rh_unpoison(p, size);
	}
	if (flags & RH_ALLOC_ZEROED && !known_zero)
		memset(p, 0, size);
	return p;
}

/* A block of the bin for the size rounded up to the alignment, if that one has it, as blocks of
 * most classes then do: a third of the instructions. NULL = it has not. */
static inline void *pop_aligned(struct rh_lane *lane, size_t size, size_t align)
{
	struct bin *bin = bin_of(lane, &lane->plain, (size + align - 1) & -align);

	rh_debug_assert(align > 8 && align <= TIER_PAGE && size <= TIER_SMALL_MAX);
	if (!bin->head || (uintptr_t)bin->head & (align - 1))
		return NULL;
	return bin_pop(lane, bin, size);
}

static __attribute__((noinline)) void *alloc_of_no_bin(struct rh_lane *lane, size_t size,
						       size_t align, uint32_t flags)
{
	void *p;

	if (size <= TIER_SMALL_MAX || align || flags) {
		p = align > 8 && align <= TIER_PAGE && size <= TIER_SMALL_MAX && !flags
			    ? pop_aligned(lane, size, align)
			    : NULL;
		return p ? p : alloc_by_rule(lane, size, align, flags);
	}
	p = rh_large_again(lane, size);
	if (!p)
		return alloc_by_rule(lane, size, 0, 0);
	if (TIER_DEBUG)
		rh_live_begin(lane, p);
	return p;
}

/* Of malloc's caller: another class that served the size, and may have handed it over by now. */
static inline unsigned own_class(struct rh_lane *lane, unsigned spc, size_t size)
{
	rh_debug_assert(spc && bin_of(lane, &lane->plain, size) == &lane->bin[spc]);
	if (lane->served[spc / 2] && rh_class_spans(lane, spc)->full.count > 1)
		return rh_serves(lane, 2 * rh_class_of(&lane->heap->classes, size) + 1);
	return spc;
}

static __attribute__((noinline)) void *alloc_slow(struct rh_lane *lane, size_t size, size_t align,
						  uint32_t flags, struct bin *bin)
{
	unsigned spc = (unsigned)(bin - lane->bin);
	void *p;

	if (!spc)
		return alloc_of_no_bin(lane, size, align, flags);
	if (!align && !flags)
		spc = own_class(lane, spc, size);
	p = rh_explicit_alloc(lane, spc, NULL);
	if (p && TIER_DEBUG)
		rh_live_begin(lane, p);
	if (p && RH_POISON)
		rh_unpoison(p, size);
	return p;
}

static void *tiered_alloc(struct rh_lane *lane, size_t size)
{
	struct bin *bin = bin_of(lane, &lane->plain, size);

	if (tier_unlikely(!bin->head))
		return alloc_slow(lane, size, 0, 0, bin);
	return bin_pop(lane, bin, size);
}

/* For calloc's callers: the bin is empty, or there is none for the size. */
static __attribute__((noinline)) void *alloc_zeroed_slow(struct rh_lane *lane, size_t size,
							 struct bin *bin)
{
	unsigned spc = (unsigned)(bin - lane->bin);
	bool known_zero = false;
	void *p;

	if (!spc)
		return alloc_by_rule(lane, size, 0, RH_ALLOC_ZEROED);
	spc = own_class(lane, spc, size);
	p = rh_explicit_alloc(lane, spc, ask_zero(bin, RH_ALLOC_ZEROED) ? &known_zero : NULL);
	if (!p)
		return NULL;
	if (TIER_DEBUG)
		rh_live_begin(lane, p);
	if (RH_POISON)
		rh_unpoison(p, size);
	rh_debug_assert(!known_zero || !size || !*(const char *)p);
	return known_zero ? p : memset(p, 0, size);
}

static inline void *alloc_zeroed(struct rh_lane *lane, size_t size)
{
	struct bin *bin = bin_of(lane, &lane->plain, size);

	if (tier_unlikely(!bin->head))
		return alloc_zeroed_slow(lane, size, bin);
	return memset(bin_pop(lane, bin, size), 0, size);
}

/* Blocks of a Go program, which asks for an alignment of 2 to 8 or says that there are no
 * pointers in them, have tables of their own. */
static void *tiered_alloc_as(struct rh_lane *lane, size_t size, size_t align, uint32_t flags)
{
	unsigned noscan = flags / RH_ALLOC_NOSCAN % 2;
	struct bin *bin = &lane->bin[0];

	/* By which call the program got a block, realloc(NULL, size) or new, is nothing to us. */
	flags &= RH_ALLOC_ZEROED | RH_ALLOC_NOSCAN;
	if (align <= 1 && flags <= RH_ALLOC_ZEROED)
		return flags ? alloc_zeroed(lane, size) : tiered_alloc(lane, size);
	if (tier_likely(align <= 8 && align + 2 * noscan > 1 && !(flags & RH_ALLOC_ZEROED)))
		bin = bin_of(lane, &lane->go[noscan], size);
	if (tier_unlikely(!bin->head))
		return alloc_slow(lane, size, align, flags, bin);
	return bin_pop(lane, bin, size);
}

/* ---- free ---- */

/* Blocks that are not on the map of bins: large ones, and all of the collected modes. */
static __attribute__((noinline)) void free_slow(struct rh_lane *lane, void *p, size_t size)
{
	struct mspan *span;

	if (lane->heap->gc != TIER_GC_EXPLICIT) {
		rh_collected_free(lane, p, size);
		return;
	}
	if (TIER_DEBUG)
		rh_live_end(lane, p);
	span = rh_span_of(lane->heap, p);
	tier_add(&lane->n.large_frees, 1);
	rh_stash_put(lane, span);
}

static void tiered_free(struct rh_lane *lane, void *p, size_t size)
{
	size_t twice = (uintptr_t)p >> TIER_PAGE_SHIFT << 1;
	uint16_t offset = *(const uint16_t *)(lane->bin_map + twice);
	struct bin *bin = bin_at(lane, offset);

	if (tier_unlikely(!offset)) {
		free_slow(lane, p, size);
		return;
	}
	if (TIER_DEBUG)
		rh_live_end(lane, p);
	rh_debug_assert(rh_span_of(lane->heap, p)->spc == bin - lane->bin);
	if (RH_POISON)
		rh_unpoison(p, sizeof(void *));
	*(void **)p = bin->head;
	bin->head = p;
	if (RH_POISON)
		rh_poison_slot(lane, bin, p);
	if (tier_unlikely(--bin->room < 0))
		rh_explicit_overflow(lane, bin);
}

/* ---- resize ---- */

static size_t tiered_usable(struct rh_lane *lane, const void *p, size_t size)
{
	const struct mspan *span = rh_span_of(lane->heap, p);
	size_t elem = rh_span_elem(span);

	if (lane->heap->gc != TIER_GC_EXPLICIT)
		return size;
	return span->elem_bytes ? elem - lane->heap->classes.of[span->spc].header_bytes : elem;
}

static void *move(struct rh_lane *lane, void *p, size_t size_old, size_t size_new, size_t room)
{
	void *moved = tiered_alloc(lane, room);

	if (!moved && room > size_new)
		moved = tiered_alloc(lane, size_new);
	if (!moved)
		return NULL;
	rh_debug_assert(moved != p);
	memcpy(moved, p, size_old < size_new ? size_old : size_new);
	tiered_free(lane, p, size_old);
	return moved;
}

/* Of what the user may not touch of a block. */
static void *resized(struct rh_lane *lane, void *p, size_t size)
{
	size_t usable = RH_POISON ? tiered_usable(lane, p, size) : 0;

	if (RH_POISON && size < usable)
		rh_poison((char *)p + size, usable - size);
	rh_unpoison(p, size);
	return p;
}

/* A block with pages of its own: stays also where it can change its length. */
static __attribute__((noinline)) void *resize_large(struct rh_lane *lane, void *p, size_t size_old,
						    size_t size_new)
{
	struct mspan *span = rh_span_of(lane->heap, p);
	size_t usable = rh_span_bytes(span);
	void *moved;

	assert(usable >= size_old && !span->elem_bytes);
	if (size_new <= usable && size_new >= usable / 2)
		return resized(lane, p, size_new);
	if (rh_large_resize(lane, p, size_new))
		return p;
	if (size_new < usable)
		return move(lane, p, size_old, size_new, size_new);
	moved = move(lane, p, size_old, size_new, rh_large_room(lane, span, size_new));
	if (moved && size_new > TIER_SMALL_MAX)
		rh_span_of(lane->heap, moved)->grown = 1;
	return moved ? resized(lane, moved, size_new) : NULL;
}

/* Frees that take effect at once: a block stays where it is while the new size fits and uses at
 * least half of the slot. */
static void *resize_explicit(struct rh_lane *lane, void *p, size_t size_old, size_t size_new)
{
	size_t twice = (uintptr_t)p >> TIER_PAGE_SHIFT << 1;
	unsigned spc = *(const uint16_t *)(lane->bin_map + twice) / sizeof(struct bin);
	const struct tier_class *class = &lane->heap->classes.of[spc];
	size_t usable = class->elem_bytes - class->header_bytes;
	void *moved;

	if (tier_unlikely(!spc))
		return resize_large(lane, p, size_old, size_new);
	assert(usable >= size_old);
	if (size_new <= usable && size_new >= usable / 2)
		return resized(lane, p, size_new);
	moved = move(lane, p, size_old, size_new, size_new);
	if (!moved)
		return NULL;
	if (tier_unlikely(size_new > TIER_SMALL_MAX)) {
		rh_span_of(lane->heap, moved)->grown = 1;
		return resized(lane, moved, size_new);
	}
	return moved;
}

/* Go has no such thing: the collected modes always make a new block. */
static void *tiered_resize(struct rh_lane *lane, void *p, size_t size_old, size_t size_new)
{
	if (lane->heap->gc == TIER_GC_EXPLICIT)
		return resize_explicit(lane, p, size_old, size_new);
	return move(lane, p, size_old, size_new, size_new);
}

/* ---- pages for stacks ---- */

static void *tiered_stack_pages(struct rh_lane *lane, size_t page_count)
{
	bool collected = lane->heap->gc != TIER_GC_EXPLICIT;
	struct mspan *span;

	if (!page_count || page_count > TIER_WINDOW_PAGES)
		return NULL;
	/* A cycle may look at the page cache of any lane that is outside. */
	if (collected)
		rh_gc_enter_holding(lane);
	span = rh_span_alloc_manual(lane, page_count);
	if (collected)
		rh_gc_leave(lane);
	return span ? (void *)span->base : NULL;
}

static void tiered_stack_pages_free(struct rh_lane *lane, void *p, size_t page_count)
{
	struct mspan *span = rh_span_of(lane->heap, p);

	assert(span && rh_span_state(span) == SPAN_MANUAL && span->page_count == page_count);
	(void)page_count;
	rh_span_free(lane, span);
}

static uint32_t tiered_class_of(struct rh_heap *heap, const void *p)
{
	const struct mspan *span = rh_span_of(heap, p);

	return span ? span->spc : RH_CLASS_UNKNOWN;
}

/* ---- collections the trace asks for ---- */

static void tiered_gc_begin(struct rh_lane *lane)
{
	/* A recorded cycle acts when marking ends: what it found then dies. But before it may
	 * begin, the last one has been swept. */
	if (lane->heap->gc == TIER_GC_RECORDED)
		rh_gc_sweep_rest(lane);
}

static void tiered_gc_end(struct rh_lane *lane)
{
	if (lane->heap->gc == TIER_GC_RECORDED)
		rh_gc_cycle(lane);
}

static void tiered_collect(struct rh_lane *lane, uint64_t marked_bytes)
{
	if (lane->heap->gc == TIER_GC_EXPLICIT)
		return;
	rh_gc_cycle(lane);
	if (marked_bytes != UINT64_MAX)
		rh_gc_pace_from(lane->heap, marked_bytes);
}

/* ---- idle ---- */

static void tiered_trim(struct rh_lane *lane)
{
	if (lane->heap->gc == TIER_GC_EXPLICIT)
		rh_explicit_let_go(lane);
	rh_lane_trim_pages(lane);
}

const struct rh_backend rh_backend_tiered = {
	.abi = RH_BACKEND_ABI,
	.caps = RH_CAP_GC,
	.name = "tiered",
	.summary = "Go's heap in C: mcache, mcentral, page cache, page heap, arenas",
	.knobs = tiered_knobs,
	.knobs_bytes = sizeof(struct tier_knobs),
	.open = rh_tiered_open,
	.close = rh_tiered_close,
	.lane_open = rh_tiered_lane_open,
	.lane_close = rh_tiered_lane_close,
	.alloc = tiered_alloc,
	.alloc_as = tiered_alloc_as,
	.free = tiered_free,
	.resize = tiered_resize,
	.usable = tiered_usable,
	.gc_begin = tiered_gc_begin,
	.gc_end = tiered_gc_end,
	.stats = rh_tiered_stats,
	.locks = rh_tiered_locks,
	.stack_pages = tiered_stack_pages,
	.stack_pages_free = tiered_stack_pages_free,
	.class_of = tiered_class_of,
	.lane_flush = rh_gc_flush_lane,
	.trim = tiered_trim,
	.sweep_to = rh_gc_sweep_to,
	.prefer = rh_gc_prefer,
	.collect = tiered_collect,
};
