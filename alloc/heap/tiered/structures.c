/*
 * structures.c - the lists of the heap and how long they are, under the names that the runtime
 * gave them: free[] and freelarge of the page heap (or its treaps), busy[] and busylarge of large
 * objects, nonempty and empty of mcentral (or its span sets).
 *
 * Only what is not empty is reported.
 */
#include <stdio.h>

#include "alloc/base/debug.h"
#include "alloc/heap/tiered/collect.h"
#include "alloc/heap/tiered/mheap.h"

enum { EXACT = 128 };

static uint64_t tree_size(const struct mspan *tree)
{
	return tree ? 1 + tree_size(tree->next) + tree_size(tree->prev) : 0;
}

static void report_count(rh_stat_fn *emit, void *ctx, const char *name, uint64_t value)
{
	/* 127 lengths times two, and two lists for each of 136 classes: zeros would
	 * bury the rest. */
	if (value)
		emit(ctx, name, "count", value);
}

static void free_spans(const struct rh_heap *heap, rh_stat_fn *emit, void *ctx)
{
	char name[48];

	for (unsigned pages = 1; pages < EXACT; pages++) {
		snprintf(name, sizeof(name), "mheap.free[%u]", pages);
		report_count(emit, ctx, name, heap->pages.free[pages].count);
	}
	/* One name for list and treap, as the runtime kept it when the structure
	 * changed in 1.9. */
	report_count(emit, ctx, "mheap.freelarge",
		     heap->pages.freelarge->count + tree_size(heap->pages.treap));
	report_count(emit, ctx, "mheap.scav", tree_size(heap->pages.scav));
}

/* Before 1.12 sweeping large objects went by lists of spans in use, by their pages. */
static void busy_spans(const struct rh_heap *heap, rh_stat_fn *emit, void *ctx)
{
	uint32_t count = atomic_load(&heap->all_span_count);
	uint64_t busy[EXACT] = { 0 }, large = 0;
	char name[48];

	/* Counted by walking, because gc=explicit keeps no such lists: the figure is
	 * comparable in all modes. */
	for (uint32_t i = 0; i < count; i++) {
		const struct mspan *span = rh_nth_span(heap, i);

		if (rh_span_state(span) != SPAN_IN_USE || span->spc > 1)
			continue;
		if (span->page_count < EXACT)
			busy[span->page_count]++;
		else
			large++;
	}
	for (unsigned pages = 1; pages < EXACT; pages++) {
		snprintf(name, sizeof(name), "mheap.busy[%u]", pages);
		report_count(emit, ctx, name, busy[pages]);
	}
	report_count(emit, ctx, "mheap.busylarge", large);
}

static void central_lists(const struct rh_heap *heap, rh_stat_fn *emit, void *ctx)
{
	char name[64], class[28];

	for (unsigned spc = 2; spc < TIER_SPC_MAX; spc++) {
		const struct mcentral *central = &heap->central[spc];
		/* Before 1.9 a class holds both kinds. */
		const char *kind = !heap->profile->noscan_split ? ""
				   : spc & 1			? ".noscan"
								: ".scan";

		/* As in the statistics of classes: a bare number looks like Go's index of a class,
		 * a bare index like bytes. */
		snprintf(class, sizeof(class), "class%02u.%u%s", spc >> 1,
			 heap->classes.of[spc].elem_bytes, kind);
		snprintf(name, sizeof(name), "mcentral[%s].nonempty", class);
		report_count(emit, ctx, name, central->nonempty.count);
		snprintf(name, sizeof(name), "mcentral[%s].empty", class);
		report_count(emit, ctx, name, central->empty.count);
	}
}

void rh_tiered_structures(const struct rh_heap *heap, rh_stat_fn *emit, void *ctx)
{
	rh_debug_assert(rh_lock_held(&heap->lock));
	if (!heap->profile->radix)
		free_spans(heap, emit, ctx);
	if (!heap->profile->reclaim_bitmap)
		busy_spans(heap, emit, ctx);
	central_lists(heap, emit, ctx);
}
