/*
 * stats.c - what the tiers counted, in the words of Go's MemStats where it has one.
 *
 * Numbers are whole at any time; a set of them is of one instant when no lane is inside
 * an operation, which is when probes read. What the fast path does not count is derived
 * from the spans: frees = allocations - blocks that live.
 */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "alloc/base/debug.h"
#include "alloc/heap/tiered/collect.h"
#include "alloc/heap/tiered/lane.h"
#include "alloc/heap/tiered/mheap.h"

struct heap_totals rh_heap_totals(struct rh_heap *heap)
{
	struct heap_totals totals = {
		heap->in_use_bytes,
		heap->stack_bytes,
		heap->released_bytes,
		heap->arenas.grown_bytes,
	};

	rh_debug_assert(rh_lock_held(&heap->lock));
	for (struct rh_lane *lane = heap->lanes; lane; lane = lane->next) {
		/* What a lane has not folded in yet. A negative difference wraps in
		 * one lane and comes right in the sum. */
		totals.in_use += (uint64_t)tier_load(&lane->d_in_use);
		totals.stack += (uint64_t)tier_load(&lane->d_stack);
		totals.released += (uint64_t)tier_load(&lane->d_released);
	}
	return totals;
}

struct sums {
	struct lane_counters n;
	/* By class in one structure of some 8 KiB on the stack: nothing here may
	 * allocate, for the heap is under test. */
	uint64_t allocs[TIER_SPC_MAX], misses[TIER_SPC_MAX], binned[TIER_SPC_MAX];
	uint64_t spans[TIER_SPC_MAX], taken[TIER_SPC_MAX], slots[TIER_SPC_MAX];
	uint64_t dead[TIER_SPC_MAX], pages[TIER_SPC_MAX];
	uint64_t pcache_pages, stash_pages, span_cache;
};

static void add_lane(struct sums *sums, const struct rh_lane *lane)
{
#define X(field, name, unit) sums->n.field += tier_load(&lane->n.field);
	TIER_LANE_COUNTERS(X)
#undef X
	for (unsigned spc = 0; spc < TIER_SPC_MAX; spc++) {
		const struct bin *bin = &lane->bin[spc];

		sums->allocs[spc] += tier_load(&bin->allocs);
		sums->misses[spc] += tier_load(&bin->misses);
		/* Blocks in a bin are taken in their span's bitmap, though nobody
		 * holds them. */
		sums->binned[spc] += (uint64_t)(bin->limit - bin->room);
	}
	sums->pcache_pages += (uint64_t)__builtin_popcountll(lane->pcache.free);
	sums->stash_pages += lane->stash_pages;
	sums->span_cache += lane->span_cache_count;
}

static void add_span(struct sums *sums, const struct mspan *span)
{
	unsigned spc = span->spc;

	/* Structs stay after their span has gone, with the numbers of then; spans of
	 * stacks are counted apart. */
	if (rh_span_state(span) != SPAN_IN_USE)
		return;
	sums->spans[spc]++;
	sums->pages[spc] += span->page_count;
	sums->taken[spc] += span->alloc_count;
	sums->slots[spc] += span->elem_count;
	sums->dead[spc] += atomic_load_explicit(&span->dead_count, memory_order_relaxed);
}

/* Heap lock held. */
static void sum_up(struct rh_heap *heap, struct sums *sums)
{
	uint32_t count = atomic_load_explicit(&heap->all_span_count, memory_order_acquire);

	rh_debug_assert(rh_lock_held(&heap->lock));
	memset(sums, 0, sizeof(*sums));
	/* Lanes that closed; a lane moves its counts here under the same lock, so
	 * none is counted twice or missed. */
	sums->n = heap->retired;
	memcpy(sums->allocs, heap->retired_allocs, sizeof(sums->allocs));
	memcpy(sums->misses, heap->retired_misses, sizeof(sums->misses));
	for (struct rh_lane *lane = heap->lanes; lane; lane = lane->next)
		add_lane(sums, lane);
	for (uint32_t i = 0; i < count; i++)
		add_span(sums, rh_nth_span(heap, i));
}

struct sink {
	rh_stat_fn *emit;
	void *ctx;
};

static void out(const struct sink *sink, const char *name, const char *unit, uint64_t value)
{
	sink->emit(sink->ctx, name, unit, value);
}

/* Pages of the grown arenas that are in memory. Asked of the kernel: a page is resident from
 * the first touch on, which no tier sees. What is reserved and not grown answers 0. */
static uint64_t resident_bytes(const struct rh_heap *heap)
{
	unsigned char in_core[4096];
	size_t page = rh_page_bytes(), step = sizeof(in_core) * page;
	uint64_t pages = 0;

	/* With pages of 64 KiB the buffer would reach past the arena, into what may
	 * not be mapped. */
	if (step > TIER_ARENA)
		step = TIER_ARENA;
	for (size_t i = 0; i < TIER_WINDOW_ARENAS; i++) {
		uintptr_t start = heap->window + i * TIER_ARENA;

		if (!heap->arenas.owned[i])
			continue;
		for (size_t at = 0; at < TIER_ARENA; at += step) {
			if (mincore((void *)(start + at), step, in_core) < 0)
				continue;
			for (size_t j = 0; j < step / page; j++)
				pages += in_core[j] & 1;
		}
	}
	return pages * page;
}

static void emit_objects(struct rh_heap *heap, const struct sums *sums, const struct sink *sink)
{
	uint64_t allocs = sums->n.tiny_allocs + sums->n.large_allocs, misses = 0;
	uint64_t objects = 0, tail = 0, free_slots = 0;

	for (unsigned spc = 0; spc < TIER_SPC_MAX; spc++) {
		const struct tier_class *class = &heap->classes.of[spc];

		allocs += sums->allocs[spc];
		misses += sums->misses[spc];
		objects += sums->taken[spc] - sums->binned[spc];
		/* Freed by another lane and not yet taken in. In collected modes the
		 * dead count as objects until they are swept, as in Go's HeapObjects. */
		if (heap->gc == TIER_GC_EXPLICIT)
			objects -= sums->dead[spc];
		/* Large spans have as many pages as they need: neither a tail nor
		 * free slots. */
		if (spc < 2)
			continue;
		tail += sums->pages[spc] * TIER_PAGE - sums->slots[spc] * class->elem_bytes;
		free_slots += (sums->slots[spc] - sums->taken[spc] + sums->binned[spc]) *
			      class->elem_bytes;
	}
	out(sink, "Mallocs", "count", allocs);
	out(sink, "Frees", "count", allocs - objects);
	out(sink, "HeapObjects", "count", objects);
	out(sink, "mcache.hits", "count",
	    allocs - misses - sums->n.tiny_allocs - sums->n.large_allocs);
	out(sink, "mcache.misses", "count", misses);
	out(sink, "waste.span_tails", "bytes", tail);
	out(sink, "waste.free_slots", "bytes", free_slots);
}

static void emit_memory(struct rh_heap *heap, const struct sink *sink)
{
	struct heap_totals totals = rh_heap_totals(heap);

	out(sink, "HeapSys", "bytes", totals.mapped - totals.stack);
	out(sink, "HeapInuse", "bytes", totals.in_use);
	/* Holds what was released, too, as in MemStats: HeapIdle - HeapReleased could
	 * still be released. */
	out(sink, "HeapIdle", "bytes", totals.mapped - totals.stack - totals.in_use);
	out(sink, "HeapReleased", "bytes", totals.released);
	out(sink, "StackInuse", "bytes", totals.stack);
	out(sink, "MSpanInuse", "bytes", heap->span_alloc.in_use_bytes);
	out(sink, "MSpanSys", "bytes", heap->span_alloc.chunk_bytes);
	out(sink, "MCacheInuse", "bytes", heap->lane_alloc.in_use_bytes);
	out(sink, "MCacheSys", "bytes", heap->lane_alloc.chunk_bytes);
	out(sink, "metadata.mapped", "bytes",
	    heap->persistent.mapped_bytes + heap->structs.mapped_bytes + rh_heap_area_bytes());
	out(sink, "arenas.reserved", "bytes", heap->arenas.reserved_bytes);
	out(sink, "arenas.resident", "bytes", resident_bytes(heap));
	out(sink, "mheap.grows", "count", heap->grows);
	out(sink, "mheap.refused", "count", heap->refused);
	out(sink, "scavenger.released", "bytes", heap->scavenger.released_total);
	out(sink, "scavenger.releases", "count", heap->scavenger.releases);
	out(sink, "lanes.opened", "count", heap->lanes_opened);
	out(sink, "lanes.peak", "count", heap->lane_count_max);
	if (heap->gc == TIER_GC_EXPLICIT)
		return;
	out(sink, "NumGC", "count", heap->pacer.cycles);
	out(sink, "NextGC", "bytes", heap->pacer.goal);
	out(sink, "gc.limited", "count", heap->pacer.limiter.limited);
	out(sink, "gc.trigger", "bytes", heap->pacer.trigger);
	out(sink, "gc.marked", "bytes", heap->pacer.heap_marked);
	out(sink, "gc.marked_total", "bytes", heap->pacer.marked_total);
	out(sink, "gc.goal_total", "bytes", heap->pacer.goal_total);
	out(sink, "gc.live_peak", "bytes", heap->pacer.live_peak);
	out(sink, "gc.heap_live", "bytes", atomic_load(&heap->pacer.heap_live));
}

/* Per span class that was ever used: class number, size and scan or noscan in the name. */
static void emit_classes(struct rh_heap *heap, const struct sums *sums, const struct sink *sink)
{
	char name[64];

	for (unsigned spc = 0; spc < TIER_SPC_MAX; spc++) {
		const char *kind = spc & 1 ? "noscan" : "scan";
		unsigned bytes = heap->classes.of[spc].elem_bytes;

		if (!sums->spans[spc] && !sums->allocs[spc])
			continue;
		snprintf(name, sizeof(name), "class%02u.%u.%s.spans", spc >> 1, bytes, kind);
		out(sink, name, "count", sums->spans[spc]);
		snprintf(name, sizeof(name), "class%02u.%u.%s.allocs", spc >> 1, bytes, kind);
		/* Large blocks have no bin that counts: what lives stands here, and
		 * large.allocs has the rest. */
		out(sink, name, "count", spc < 2 ? sums->taken[spc] : sums->allocs[spc]);
		if (spc < 2)
			continue;
		snprintf(name, sizeof(name), "class%02u.%u.%s.waste", spc >> 1, bytes, kind);
		out(sink, name, "bytes",
		    sums->pages[spc] * TIER_PAGE - (sums->taken[spc] - sums->binned[spc]) * bytes);
	}
}

void rh_tiered_stats(struct rh_heap *heap, rh_stat_fn *emit, void *ctx)
{
	struct sink sink = { emit, ctx };
	uint64_t spans = 0;
	struct sums sums;

	rh_lock(&heap->lock);
	sum_up(heap, &sums);
	emit_memory(heap, &sink);
	rh_tiered_structures(heap, emit, ctx);
	rh_unlock(&heap->lock);
	emit_objects(heap, &sums, &sink);
	for (unsigned spc = 0; spc < TIER_SPC_MAX; spc++)
		spans += sums.spans[spc];
	out(&sink, "spans.in_use", "count", spans);
	out(&sink, "spans.large", "count", sums.spans[0] + sums.spans[1]);
	out(&sink, "pcache.pages", "count", sums.pcache_pages);
	out(&sink, "stash.pages", "count", sums.stash_pages);
	out(&sink, "mspancache.structs", "count", sums.span_cache);
#define X(field, name, unit) out(&sink, name, unit, sums.n.field);
	TIER_LANE_COUNTERS(X)
#undef X
	emit_classes(heap, &sums, &sink);
}

static void emit_lock(const struct rh_lock *lock, rh_lock_fn *emit, void *ctx)
{
	struct rh_lock_stats stats;

	rh_lock_read(lock, &stats);
	emit(ctx, &stats);
}

void rh_tiered_locks(struct rh_heap *heap, rh_lock_fn *emit, void *ctx)
{
	emit_lock(&heap->lock, emit, ctx);
	emit_lock(&heap->gc_lock, emit, ctx);
	emit_lock(&heap->bits_lock, emit, ctx);
	emit_lock(&heap->persistent.lock, emit, ctx);
	emit_lock(&heap->set_pool_lock, emit, ctx);
	for (unsigned spc = 2; spc < TIER_SPC_MAX; spc++) {
		struct mcentral *central = &heap->central[spc];

		/* Locks that were never made or taken would be hundreds of rows of
		 * zeros. */
		if (central->lock.acquired)
			emit_lock(&central->lock, emit, ctx);
		for (unsigned i = 0; central->sets && i < 2; i++) {
			if (central->sets->partial[i].spine_lock.acquired)
				emit_lock(&central->sets->partial[i].spine_lock, emit, ctx);
			if (central->sets->full[i].spine_lock.acquired)
				emit_lock(&central->sets->full[i].spine_lock, emit, ctx);
		}
	}
}
