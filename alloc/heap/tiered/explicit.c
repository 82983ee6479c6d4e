/*
 * explicit.c - frees that take effect at once, without a collector.
 *
 * Life of a block:
 *  1. alloc pops the lane's bin of its class (tiered.c, inline).
 *  2. The bin is empty: the next slots of the lane's current span of the class, by
 *     alloc_cache; one is the block, up to 1 KiB of others go into the bin. The span
 *     is used up: it starts over when slots of it were freed meanwhile, else it is put
 *     aside as full, and the next current span is
 *	own span with free slots	(no lock)
 *	own span others freed into	(central lock of the class)
 *	span nobody owns		(central lock of the class)
 *	new span			(mheap.c)
 *  3. free pushes the block on the bin of the *freeing* lane, whoever allocated it.
 *  4. The bin is over its limit: its older half goes back to the spans, or some of the youngest
 *     where the program only frees. Own spans:
 *     clear the bit, no lock. Spans of other lanes: the bits go to dead_bits under the
 *     central lock, and the span is put on its owner's remote list, which the owner
 *     takes in at its next refill. Spans nobody owns: clear the bit under that lock.
 *  5. A span whose last slot came back goes to the stash and from there to the page
 *     heap (mheap.c).
 *
 * Ownership is what keeps locks away: a lane that works alone takes one lock per 64
 * pages. In Go a span belongs to mcentral once it is full, and sweeping finds it
 * again; without sweeping, somebody has to learn of it, and the owner is the cheapest to reach. A
 * lane that owns many half-empty spans of a class gives half to mcentral, for others to use.
 */
#include "alloc/heap/tiered/explicit.h"

#include <assert.h>

#include "alloc/base/debug.h"
#include "alloc/heap/tiered/bins.h"
#include "alloc/heap/tiered/collect.h"
#include "alloc/heap/tiered/mheap.h"
#include "alloc/heap/tiered/poison.h"

struct mcentral *rh_lock_central(struct rh_heap *heap, unsigned spc)
{
	struct mcentral *central = &heap->central[spc];

	if (!atomic_load_explicit(&central->ready, memory_order_acquire))
		rh_central_ready(heap, spc);
	rh_debug_assert(spc > 1 && spc < TIER_SPC_MAX);
	assert(atomic_load_explicit(&central->ready, memory_order_relaxed));
	rh_lock(&central->lock);
	return central;
}

static void *link_of(void *block)
{
	rh_unpoison(block, sizeof(void *));
	return *(void **)block;
}

/* ---- giving back ---- */

/* A span that was full has a slot free now, or its last one came back. */
static __attribute__((noinline)) void not_full(struct rh_lane *lane, struct mspan *span)
{
	rh_debug_assert(atomic_load(&span->owner) == lane && span != lane->alloc[span->spc]);
	rh_list_remove(span);
	if (!span->alloc_count)
		rh_stash_put(lane, span);
	else
		rh_list_push_front(&rh_class_spans(lane, span->spc)->partial, span);
}

/* Central lock held. True when the span became empty and is nobody's: the caller gives
 * its pages back once the lock is gone. */
static bool release_foreign(struct mcentral *central, struct mspan *span, unsigned index)
{
	struct rh_lane *owner = atomic_load_explicit(&span->owner, memory_order_relaxed);
	uint64_t bit = (uint64_t)1 << index % 64;

	rh_debug_assert(rh_lock_held(&central->lock) && index < span->elem_count);
	if (!owner) {
		span->alloc_bits[index / 64] &= ~bit;
		if (span->alloc_count-- == span->elem_count) {
			rh_list_remove(span);
			rh_list_push_front(&central->nonempty, span);
		}
		if (span->alloc_count)
			return false;
		rh_list_remove(span);
		return true;
	}
	atomic_fetch_or_explicit(&rh_span_dead_bits(span)[index / 64], bit, memory_order_relaxed);
	if (atomic_fetch_add_explicit(&span->dead_count, 1, memory_order_relaxed) == 0) {
		span->remote_next =
			atomic_load_explicit(&owner->remote[span->spc], memory_order_relaxed);
		atomic_store_explicit(&owner->remote[span->spc], span, memory_order_relaxed);
	}
	return false;
}

/* Gives a chain of blocks to spans of other lanes or of nobody. */
static void release_chain(struct rh_lane *lane, unsigned spc, void *chain)
{
	struct mcentral *central = rh_lock_central(lane->heap, spc);
	struct span_list emptied = { 0 };
	struct mspan *span;

	while (chain) {
		void *next = link_of(chain);

		span = rh_span_of(lane->heap, chain);
		rh_debug_assert(span && span->spc == spc);
		if (release_foreign(central, span, rh_span_index(span, chain)))
			rh_list_push_back(&emptied, span);
		rh_poison(chain, sizeof(void *));
		tier_add(&lane->n.frees_remote, 1);
		chain = next;
	}
	rh_note_nonempty(lane->heap, central);
	rh_unlock(&central->lock);
	while ((span = emptied.first)) {
		rh_list_remove(span);
		rh_stash_put(lane, span);
	}
}

/* 27 instructions a block, and one cache line of its span. */
void *rh_release_list(struct rh_lane *lane, unsigned spc, void *list, uint32_t count)
{
	/* as the map of bins, by the address */
	const char *spans =
		(const char *)((uintptr_t)lane->heap->spans -
			       (lane->heap->window >> TIER_PAGE_SHIFT) * sizeof(void *));
	const struct mspan *current = lane->alloc[spc];
	uint32_t foreign_count = 0;
	void *foreign = NULL;

	for (uint32_t left = count; left; left--) {
		void *block = list;
		struct mspan *span = *(
			struct mspan *const *)(spans + ((uintptr_t)block >> TIER_PAGE_SHIFT << 3));
		unsigned index, taken;

		list = link_of(block);
		rh_debug_assert(span == rh_span_of(lane->heap, block) && span->spc == spc);
		if (tier_unlikely(atomic_load_explicit(&span->owner, memory_order_relaxed) !=
				  lane)) {
			*(void **)block = foreign;
			foreign = block;
			foreign_count++;
			continue;
		}
		rh_poison(block, sizeof(void *));
		index = rh_span_index(span, block);
		rh_debug_assert(index < span->elem_count);
		rh_debug_assert(span->alloc_bits[index / 64] >> index % 64 & 1); /* freed once */
		span->alloc_bits[index / 64] ^= (uint64_t)1 << index % 64;
		taken = span->alloc_count--;
		if (tier_unlikely(taken == 1 || taken == span->elem_count) && span != current)
			not_full(lane, span);
	}
	tier_add(&lane->n.frees_local, count - foreign_count);
	if (foreign)
		release_chain(lane, spc, foreign);
	return list;
}

/* Of a bin that overflows while the program only frees, so many go back. */
enum { YOUNGEST = 16 };

/* Nothing was taken since the bin overflowed last: the program gives up what a phase of it made.
 * Then a few of the youngest go back, which are in the first cache of the CPU still, and the older
 * ones stay, for none of either is wanted soon (40,000 blocks of 24 to 400 bytes that come and go:
 * 0.58 misses of that cache an event where half a bin of the oldest took 1.16, 17 ns for 21). */
static bool only_frees(struct bin *bin)
{
	uint8_t before = bin->flushed;

	bin->flushed = (uint8_t)bin->allocs;
	return before == bin->flushed;
}

void rh_explicit_overflow(struct rh_lane *lane, struct bin *bin)
{
	unsigned spc = (unsigned)(bin - lane->bin);
	uint32_t bytes = lane->heap->classes.of[spc].elem_bytes;
	uint32_t keep = bin->limit / 2, more = bin->limit + 1u - keep;
	void *last = bin->head, *rest;

	rh_debug_assert(bin->room < 0 && keep > 0);
	if (rh_bin_raise(lane, bin, bytes))
		return;
	tier_add(&lane->n.bin_flushes, 1);
	if (only_frees(bin)) {
		more = more < YOUNGEST ? more : YOUNGEST;
		bin->room += (int32_t)more;
		bin->head = rh_release_list(lane, spc, bin->head, more);
		return;
	}
	bin->room = bin->limit - (int32_t)keep;
	for (uint32_t i = 1; i < keep; i++)
		last = link_of(last);
	rest = link_of(last);
	*(void **)last = NULL;
	rh_release_list(lane, spc, rest, more);
}

/* ---- taking in what others freed ---- */

/* Central lock held. */
static void merge_dead(struct mspan *span)
{
	for (unsigned w = 0; w < (span->elem_count + 63u) / 64; w++) {
		uint64_t dead = atomic_exchange_explicit(&rh_span_dead_bits(span)[w], 0,
							 memory_order_relaxed);

		rh_debug_assert((dead & ~span->alloc_bits[w]) == 0); /* what dies was taken */
		span->alloc_bits[w] &= ~dead;
		span->alloc_count -= (uint16_t)__builtin_popcountll(dead);
	}
	atomic_store_explicit(&span->dead_count, 0, memory_order_relaxed);
}

void rh_collect_remote(struct rh_lane *lane, unsigned spc)
{
	struct span_list emptied = { 0 };
	struct mspan *span, *next;
	struct mcentral *central;

	central = rh_lock_central(lane->heap, spc);
	span = atomic_load_explicit(&lane->remote[spc], memory_order_relaxed);
	atomic_store_explicit(&lane->remote[spc], NULL, memory_order_relaxed);
	for (; span; span = next) {
		next = span->remote_next;
		span->remote_next = NULL;
		merge_dead(span);
		if (span == lane->alloc[spc])
			continue;
		rh_list_remove(span);
		rh_list_push_front(
			span->alloc_count ? &rh_class_spans(lane, spc)->partial : &emptied, span);
	}
	rh_unlock(&central->lock);
	while ((span = emptied.first)) {
		rh_list_remove(span);
		rh_stash_put(lane, span);
	}
}

void rh_explicit_collect(struct rh_lane *lane)
{
	for (unsigned spc = 2; spc < TIER_SPC_MAX; spc++)
		rh_collect_class(lane, spc);
}

/* ---- closing a lane ---- */

static void give_up(struct mcentral *central, struct mspan *span, struct span_list *emptied)
{
	rh_debug_assert(rh_lock_held(&central->lock));
	atomic_store_explicit(&span->owner, NULL, memory_order_relaxed);
	if (span->alloc_count == 0)
		rh_list_push_back(emptied, span);
	else if (span->alloc_count == span->elem_count)
		rh_list_push_back(&central->empty, span);
	else
		rh_list_push_back(&central->nonempty, span);
}

static void drain_class(struct rh_lane *lane, unsigned spc, struct span_list *emptied)
{
	struct mcentral *central = rh_lock_central(lane->heap, spc);
	struct span_list *lists[2] = { &rh_class_spans(lane, spc)->partial,
				       &rh_class_spans(lane, spc)->full };
	struct mspan *span;

	span = atomic_load_explicit(&lane->remote[spc], memory_order_relaxed);
	atomic_store_explicit(&lane->remote[spc], NULL, memory_order_relaxed);
	for (struct mspan *next; span; span = next) {
		next = span->remote_next;
		span->remote_next = NULL;
		merge_dead(span);
	}
	for (unsigned i = 0; i < 2; i++) {
		while ((span = lists[i]->first)) {
			rh_list_remove(span);
			give_up(central, span, emptied);
		}
	}
	if (lane->alloc[spc] != &lane->heap->dummy)
		give_up(central, lane->alloc[spc], emptied);
	lane->alloc[spc] = &lane->heap->dummy;
	rh_debug_assert(!rh_class_spans(lane, spc)->partial.count &&
			!rh_class_spans(lane, spc)->full.count);
	rh_note_nonempty(lane->heap, central);
	rh_unlock(&central->lock);
}

void rh_explicit_drain(struct rh_lane *lane)
{
	struct span_list emptied = { 0 };
	struct mspan *span;

	for (unsigned spc = 2; spc < TIER_SPC_MAX; spc++) {
		struct bin *bin = &lane->bin[spc];
		uint32_t count = rh_bin_length(bin);
		void *list = bin->head;

		if (!lane->heap->classes.of[spc].elem_bytes)
			continue;
		bin->head = NULL;
		bin->room = bin->limit;
		if (count)
			rh_release_list(lane, spc, list, count);
		if (lane->alloc[spc] != &lane->heap->dummy ||
		    rh_class_spans(lane, spc)->partial.first ||
		    rh_class_spans(lane, spc)->full.first)
			drain_class(lane, spc, &emptied);
	}
	while ((span = emptied.first)) {
		rh_list_remove(span);
		rh_stash_put(lane, span);
	}
}
