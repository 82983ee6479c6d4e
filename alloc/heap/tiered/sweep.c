/*
 * sweep.c - turns marks into free slots, span by span, when somebody needs them.
 *
 * sweepgen of the heap (sg) rises by two each cycle. A span's own says which state it is in:
 *	sg - 2	unswept			sg	swept, in mcentral
 *	sg - 1	being swept		sg + 3	swept, in a lane's cache
 *	sg + 1	in a cache since before this cycle (flushed as soon as it is noticed)
 * Whoever moves sg-2 to sg-1 sweeps. Sweeping makes the marks the taken bits, so the
 * slots in between are free; a span without marks goes back to the page heap unless
 * the sweeper keeps it.
 *
 * Sweeping is done by an allocation that wants the span (mcentral.c); an allocation that owes
 * pages in proportion to what it takes, so that sweeping ends before the next cycle
 * (credit); an allocation that needs new pages, which first looks for whole dead spans
 * (reclaim); the next cycle, for what is left. There is no background sweeper.
 *
 * gc=recorded: marks are not computed, the trace's frees since the cycle are what the
 * sweeper found. So a span is swept when it is wanted, with the frees known by then,
 * and no sweep is done ahead for credit. Frees that come before the end of the cycle are
 * what it marked dead: whole dead spans of those are reclaimed like any other.
 */
#include <assert.h>
#include <sched.h>
#include <string.h>

#include "alloc/base/debug.h"
#include "alloc/heap/tiered/collect.h"
#include "alloc/heap/tiered/mheap.h"

bool rh_sweep_acquire(struct rh_heap *heap, struct mspan *span)
{
	uint32_t unswept = atomic_load(&heap->sweepgen) - 2;

	/* Loaded first: most spans that are looked at are swept already, and an
	 * exchange that fails still takes the cache line. */
	return atomic_load(&span->sweepgen) == unswept &&
	       atomic_compare_exchange_strong(&span->sweepgen, &unswept, unswept + 1);
}

/* New taken bits of one word; what dies leaves the dead bits. */
static unsigned sweep_word(const struct rh_heap *heap, struct mspan *span, unsigned w)
{
	_Atomic uint64_t *dead = &rh_span_dead_bits(span)[w];
	uint64_t *mark = &rh_span_mark_bits(span)[w];
	uint64_t taken = span->alloc_bits[w];
	uint64_t live = taken & (heap->gc == TIER_GC_RECORDED ? ~atomic_load(dead) : *mark);
	uint64_t freed = taken & ~live;

	span->alloc_bits[w] = live;
	/* For the next cycle; nobody marks between cycles. */
	tier_store(mark, 0);
	if (freed)
		atomic_fetch_and(dead, ~freed);
	return (unsigned)__builtin_popcountll(freed);
}

bool rh_sweep_span(struct rh_lane *lane, struct mspan *span, bool preserve)
{
	struct rh_heap *heap = lane->heap;
	unsigned freed = 0;

	assert(atomic_load(&span->sweepgen) == atomic_load(&heap->sweepgen) - 1);
	for (unsigned w = 0; w < (span->elem_count + 63u) / 64; w++)
		freed += sweep_word(heap, span, w);
	rh_debug_assert(freed <= span->elem_count);
	atomic_fetch_sub(&span->dead_count, freed);
	tier_store(&span->alloc_count, (uint16_t)(span->alloc_count - freed));
	if (freed && heap->gc == TIER_GC_ORACLE)
		atomic_fetch_sub(&heap->pacer.unswept, (uint64_t)freed * rh_span_elem(span));
	/* From the start: freed slots lie anywhere. This is the only place where a
	 * collected span begins again. */
	span->freeindex = 0;
	span->alloc_cache = ~span->alloc_bits[0];
	if (freed)
		span->needzero = 1;
	/* Whether or not it was freed: the debt of allocations is in pages looked at. */
	atomic_fetch_add(&heap->pacer.pages_swept, span->page_count);
	tier_add(&lane->n.swept, 1);
	tier_add(&lane->n.swept_slots, freed);
	/* The caller wants the span itself, so it is neither filed nor freed, empty
	 * or not. */
	if (preserve) {
		atomic_store(&span->sweepgen, atomic_load(&heap->sweepgen));
		return false;
	}
	if (span->alloc_count) {
		rh_central_file(lane, span);
		return false;
	}
	rh_central_forget(heap, span);
	/* busy[] of old heaps is under the heap lock, and rh_span_free below takes
	 * the same one. */
	if (!span->elem_bytes && span->list) {
		rh_lock(&heap->lock);
		rh_list_remove(span);
		rh_unlock(&heap->lock);
	}
	atomic_store(&span->sweepgen, atomic_load(&heap->sweepgen));
	tier_add(&lane->n.swept_free, 1);
	rh_span_free(lane, span);
	return true;
}

/* ---- one at a time ---- */

/* The next span to sweep, acquired. Order: class by class, full before partial, first in
 * first out; before 1.15 in the order span structs were made. */
static struct mspan *next_unswept(struct rh_lane *lane)
{
	struct rh_heap *heap = lane->heap;
	unsigned unswept = 1 - atomic_load(&heap->sweepgen) / 2 % 2;
	struct mspan *span;
	uint32_t at;

	if (heap->profile->span_sets) {
		while ((at = atomic_load(&heap->sweep_next)) < 2 * TIER_SPC_MAX) {
			struct mcentral *central = &heap->central[at / 2];
			struct span_set *set = at % 2 ? &central->sets->partial[unswept]
						      : &central->sets->full[unswept];

			while ((span = rh_set_pop(heap, set))) {
				if (rh_sweep_acquire(heap, span))
					return span;
			}
			/* Of several lanes that found the set empty one moves on; the
			 * others read the new place. */
			atomic_compare_exchange_strong(&heap->sweep_next, &at, at + 1);
		}
		return NULL;
	}
	while ((at = atomic_fetch_add(&heap->sweep_next, 1)) < atomic_load(&heap->all_span_count)) {
		span = rh_nth_span(heap, at);
		if (rh_span_state(span) == SPAN_IN_USE && rh_sweep_acquire(heap, span))
			return span;
	}
	return NULL;
}

size_t rh_sweep_one(struct rh_lane *lane)
{
	struct rh_heap *heap = lane->heap;
	struct mspan *span;
	size_t pages;

	if (atomic_load(&heap->sweep_done))
		return SIZE_MAX;
	span = next_unswept(lane);
	if (!span) {
		atomic_store(&heap->sweep_done, 1);
		return SIZE_MAX;
	}
	pages = span->page_count;
	/* Read before: a span that was freed may have another length by now. */
	return rh_sweep_span(lane, span, false) ? pages : 0;
}

static bool holds_garbage(struct mspan *span)
{
	for (unsigned w = 0; w < (span->elem_count + 63u) / 64; w++)
		if (span->alloc_bits[w] & atomic_load(&rh_span_dead_bits(span)[w]))
			return true;
	return false;
}

/* One that is swept stays in the set of the unswept: whoever pops it passes over it. */
void rh_sweep_before(struct rh_lane *lane, const struct mspan *until)
{
	struct rh_heap *heap = lane->heap;
	unsigned unswept = 1 - atomic_load(&heap->sweepgen) / 2 % 2;
	uint32_t at = atomic_load(&heap->sweep_next);

	for (; heap->profile->span_sets && at < 2 * TIER_SPC_MAX; at++) {
		const struct mcentral *central = &heap->central[at / 2];
		struct mspan *span = NULL;

		for (uint32_t i = 0;
		     rh_set_at(&(at % 2 ? central->sets->partial : central->sets->full)[unswept], i,
			       &span);
		     i++) {
			if (span == until)
				return;
			if (span && !holds_garbage(span) && rh_sweep_acquire(heap, span))
				rh_sweep_span(lane, span, false);
		}
	}
}

void rh_sweep_finish(struct rh_lane *lane)
{
	struct rh_heap *heap = lane->heap;
	uint32_t count = atomic_load(&heap->all_span_count);

	while (rh_sweep_one(lane) != SIZE_MAX)
		;
	rh_debug_assert(atomic_load(&heap->sweep_done));
	/* What found no room in a set. */
	for (uint32_t i = 0; i < count; i++) {
		struct mspan *span = rh_nth_span(heap, i);

		if (rh_span_state(span) == SPAN_IN_USE && rh_sweep_acquire(heap, span))
			rh_sweep_span(lane, span, false);
	}
}

/* ---- proportional ---- */

void rh_sweep_credit(struct rh_lane *lane, size_t bytes, size_t own_pages)
{
	struct rh_heap *heap = lane->heap;
	struct pacer *pacer = &heap->pacer;

	if (heap->gc != TIER_GC_ORACLE)
		return;
	while (!atomic_load(&heap->sweep_done) && pacer->sweep_pages_per_byte > 0) {
		uint64_t live = atomic_load(&pacer->heap_live);
		double since = live + bytes > pacer->sweep_live_basis
				       ? (double)(live + bytes - pacer->sweep_live_basis)
				       : 0;
		/* All lanes pay into one account: whoever allocates next makes up for
		 * a lane that was late. */
		double owed = pacer->sweep_pages_per_byte * since - (double)own_pages;
		uint64_t swept = atomic_load(&pacer->pages_swept) - pacer->pages_swept_basis;

		/* Read again each time round, since other lanes sweep as well. */
		if ((double)swept >= owed || rh_sweep_one(lane) == SIZE_MAX)
			return;
		tier_add(&lane->n.credit_sweeps, 1);
	}
}

/* ---- reclaim ---- */

static bool unmarked(const struct mspan *span)
{
	for (unsigned w = 0; w < (span->elem_count + 63u) / 64; w++) {
		if (tier_load(&rh_span_mark_bits(span)[w]))
			return false;
	}
	return true;
}

/* Sweeps a span found under the heap lock, which is dropped meanwhile. */
static size_t reclaim_span(struct rh_lane *lane, struct mspan *span)
{
	struct rh_heap *heap = lane->heap;
	size_t pages = span->page_count;

	rh_debug_assert(rh_lock_held(&heap->lock));
	rh_unlock(&heap->lock);
	pages = rh_sweep_span(lane, span, false) ? pages : 0;
	rh_lock(&heap->lock);
	return pages;
}

/* The whole dead spans that begin in one chunk of 512 pages. Heap lock held. page_in_use has
 * the first page of each heap span, so 512 pages are eight words to look at (1.12:
 * mheap.reclaimChunk). */
static size_t reclaim_chunk(struct rh_lane *lane, uint32_t chunk)
{
	struct rh_heap *heap = lane->heap;
	size_t pages = 0;

	rh_debug_assert(rh_lock_held(&heap->lock));
	for (unsigned w = 0; w < TIER_CHUNK_WORDS; w++) {
		uint32_t base = chunk * TIER_CHUNK_PAGES + w * 64;
		uint64_t bits = atomic_load(&heap->arenas.page_in_use[base / 64]);

		/* bits is a copy: the lock is dropped for each span that is swept,
		 * and what appears meanwhile is of this cycle. */
		for (; bits; bits &= bits - 1) {
			uint32_t page = base + (uint32_t)__builtin_ctzll(bits);
			struct mspan *span = tier_load(&heap->spans[page]);

			if (span && rh_span_state(span) == SPAN_IN_USE &&
			    /* Unswept before unmarked: the marks of a swept span are
			     * cleared and would say that it is dead. */
			    atomic_load(&span->sweepgen) == atomic_load(&heap->sweepgen) - 2 &&
			    unmarked(span) && rh_sweep_acquire(heap, span))
				pages += reclaim_span(lane, span);
		}
	}
	return pages;
}

static size_t reclaim_list(struct rh_lane *lane, struct span_list *list, size_t want)
{
	struct rh_heap *heap = lane->heap;
	size_t pages = 0;
	bool found = true;

	rh_debug_assert(rh_lock_held(&heap->lock));
	/* From the front again after each: the list changed while the lock was
	 * dropped. */
	while (pages < want && found) {
		found = false;
		for (struct mspan *span = list->first; span && !found; span = span->next) {
			if (!rh_sweep_acquire(heap, span))
				continue;
			found = true;
			pages += reclaim_span(lane, span);
		}
	}
	return pages;
}

/* Before 1.12: large spans at least as long as wanted, then shorter ones, then anything. */
static void reclaim_busy(struct rh_lane *lane, size_t want)
{
	struct rh_heap *heap = lane->heap;
	size_t pages = 0, got;

	rh_lock(&heap->lock);
	/* Longer ones first: one of these is enough. */
	for (size_t i = want; i < 128 && pages < want; i++)
		pages += reclaim_list(lane, &heap->busy[i], want - pages);
	if (pages < want)
		pages += reclaim_list(lane, &heap->busy_large, want - pages);
	for (size_t i = 1; i < want && i < 128 && pages < want; i++)
		pages += reclaim_list(lane, &heap->busy[i], want - pages);
	rh_unlock(&heap->lock);
	tier_add(&lane->n.reclaimed_pages, pages);
	while (pages < want && (got = rh_sweep_one(lane)) != SIZE_MAX)
		pages += got;
}

void rh_sweep_reclaim(struct rh_lane *lane, size_t page_count)
{
	struct rh_heap *heap = lane->heap;
	struct pacer *pacer = &heap->pacer;
	size_t got = 0;

	if (heap->gc == TIER_GC_EXPLICIT || atomic_load(&heap->sweep_done) || rh_gc_by_lane(heap))
		return;
	if (!heap->profile->reclaim_bitmap) {
		reclaim_busy(lane, page_count);
		return;
	}
	while (got < page_count) {
		uint64_t credit = atomic_load(&pacer->reclaim_credit), chunk;
		uint64_t use = credit < page_count - got ? credit : page_count - got;

		/* What another lane found beyond its need, so that two lanes do not
		 * both search for one span each. */
		if (credit) {
			if (atomic_compare_exchange_weak(&pacer->reclaim_credit, &credit,
							 credit - use))
				got += use;
			continue;
		}
		chunk = atomic_fetch_add(&pacer->reclaim_index, 1);
		/* Each chunk is searched once a cycle. After that the heap grows. */
		if (chunk >= tier_load(&heap->pages.chunk_end))
			return;
		rh_lock(&heap->lock);
		use = reclaim_chunk(lane, (uint32_t)chunk);
		rh_unlock(&heap->lock);
		tier_add(&lane->n.reclaimed_pages, use);
		got += use;
	}
	atomic_fetch_add(&pacer->reclaim_credit, got - page_count);
}
