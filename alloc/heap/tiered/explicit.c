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
 *  4. The bin is over its limit: its older half goes back to the spans. Own spans:
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

/* A heap whose bins are not at their largest is small; what it parks of larger blocks is looked at
 * before it grows. */
enum { PARK_BYTES = 1024 };

/* A class that has filled this many spans gets them by the system's page: what is touched too early
 * is a sixteenth of what the class has, and a heap that grows asks a quarter as often (250
 * bytes a block: 77 instructions an event, 104 without). */
enum { MANY_FULL = 4, MANY_BYTES = 4096, MANY_MAX = 63, PARTIAL_MAX = 64 };
_Static_assert(MANY_MAX < 64, "a run in one word");

static struct mcentral *lock_central(struct rh_heap *heap, unsigned spc)
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

static void release_own(struct rh_lane *lane, struct mspan *span, unsigned index)
{
	unsigned taken = span->alloc_count;

	rh_debug_assert(atomic_load(&span->owner) == lane && index < span->elem_count);
	rh_debug_assert(span->alloc_bits[index / 64] >> index % 64 & 1); /* freed once */
	span->alloc_bits[index / 64] &= ~((uint64_t)1 << index % 64);
	span->alloc_count = (uint16_t)(taken - 1);
	if (span == lane->alloc[span->spc])
		return;
	if (taken == 1) {
		rh_list_remove(span);
		rh_stash_put(lane, span);
	} else if (taken == span->elem_count) {
		rh_debug_assert(span->list == &rh_class_spans(lane, span->spc)->full);
		rh_list_remove(span);
		rh_list_push_front(&rh_class_spans(lane, span->spc)->partial, span);
	}
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

/* Written when it changes only: classes share its cache line. */
static void note_nonempty(struct rh_heap *heap, struct mcentral *central)
{
	_Atomic uint8_t *has = &heap->central_has[central - heap->central];
	uint8_t now = central->nonempty.count > 0;

	rh_debug_assert(rh_lock_held(&central->lock));
	if (atomic_load_explicit(has, memory_order_relaxed) != now)
		atomic_store_explicit(has, now, memory_order_relaxed);
}

/* Gives a chain of blocks to spans of other lanes or of nobody. */
static void release_chain(struct rh_lane *lane, unsigned spc, void *chain)
{
	struct mcentral *central = lock_central(lane->heap, spc);
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
	note_nonempty(lane->heap, central);
	rh_unlock(&central->lock);
	while ((span = emptied.first)) {
		rh_list_remove(span);
		rh_stash_put(lane, span);
	}
}

/* Gives a list of count blocks back to their spans. */
static void release_list(struct rh_lane *lane, unsigned spc, void *list)
{
	void *foreign = NULL;
	uint64_t local = 0;

	while (list) {
		void *next = link_of(list);
		struct mspan *span = rh_span_of(lane->heap, list);

		rh_debug_assert(span && span->spc == spc);
		if (atomic_load_explicit(&span->owner, memory_order_relaxed) == lane) {
			rh_poison(list, sizeof(void *));
			release_own(lane, span, rh_span_index(span, list));
			local++;
		} else {
			*(void **)list = foreign;
			foreign = list;
		}
		list = next;
	}
	tier_add(&lane->n.frees_local, local);
	if (foreign)
		release_chain(lane, spc, foreign);
}

void rh_explicit_overflow(struct rh_lane *lane, struct bin *bin)
{
	unsigned spc = (unsigned)(bin - lane->bin);
	uint32_t bytes = lane->heap->classes.of[spc].elem_bytes;
	int32_t keep = bin->limit / 2;
	void *last = bin->head, *rest;

	rh_debug_assert(bin->room < 0 && keep > 0);
	if (rh_bin_raise(lane, bin, bytes))
		return;
	for (int32_t i = 1; i < keep; i++)
		last = link_of(last);
	rest = link_of(last);
	*(void **)last = NULL;
	bin->room = bin->limit - keep;
	tier_add(&lane->n.bin_flushes, 1);
	release_list(lane, spc, rest);
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

static void collect_class(struct rh_lane *lane, unsigned spc)
{
	struct span_list emptied = { 0 };
	struct mspan *span, *next;
	struct mcentral *central;

	if (!atomic_load_explicit(&lane->remote[spc], memory_order_relaxed))
		return;
	central = lock_central(lane->heap, spc);
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
		collect_class(lane, spc);
}

/* ---- refilling ---- */

static struct mspan *from_central(struct rh_lane *lane, unsigned spc)
{
	struct mcentral *central = &lane->heap->central[spc];
	struct mspan *span;

	if (!atomic_load_explicit(&lane->heap->central_has[spc], memory_order_relaxed))
		return NULL;
	lock_central(lane->heap, spc);
	span = central->nonempty.first;
	if (span) {
		rh_debug_assert(!atomic_load(&span->owner) && span->alloc_count < span->elem_count);
		rh_list_remove(span);
		atomic_store_explicit(&span->owner, lane, memory_order_relaxed);
		note_nonempty(lane->heap, central);
	}
	rh_unlock(&central->lock);
	if (span)
		tier_add(&lane->n.from_central, 1);
	return span;
}

/* Half of the lane's half-empty spans of a class, oldest first, to mcentral. */
static void surrender(struct rh_lane *lane, unsigned spc)
{
	struct mcentral *central = lock_central(lane->heap, spc);
	struct span_list *list = &rh_class_spans(lane, spc)->partial;

	while (list->count > PARTIAL_MAX / 2) {
		struct mspan *span = list->last;

		rh_list_remove(span);
		/* What others freed is on the remote list: such a span stays. */
		if (atomic_load_explicit(&span->dead_count, memory_order_relaxed)) {
			rh_list_push_front(list, span);
			break;
		}
		atomic_store_explicit(&span->owner, NULL, memory_order_relaxed);
		rh_list_push_back(&central->nonempty, span);
		tier_add(&lane->n.surrenders, 1);
	}
	note_nonempty(lane->heap, central);
	rh_unlock(&central->lock);
}

static void grow_batch(struct rh_lane *lane, unsigned spc)
{
	uint32_t bytes = lane->heap->classes.of[spc].elem_bytes, batch = MANY_BYTES / bytes;
	struct bin *bin = &lane->bin[spc];

	if (rh_class_spans(lane, spc)->full.count < MANY_FULL)
		return;
	rh_bin_raise(lane, bin, bytes);
	batch = batch > MANY_MAX ? MANY_MAX : batch;
	batch = batch > bin->limit ? bin->limit : batch;
	if (bin->batch < batch)
		bin->batch = (uint16_t)batch;
}

static struct mspan *new_span(struct rh_lane *lane, unsigned spc)
{
	struct mspan *span = rh_span_alloc(lane, lane->heap->classes.of[spc].page_count, spc);

	if (!span)
		return NULL;
	rh_debug_assert(span->alloc_count == 0 && span->spc == spc);
	atomic_store_explicit(&span->owner, lane, memory_order_relaxed);
	tier_add(&lane->n.from_pages, 1);
	grow_batch(lane, spc);
	return span;
}

/* The next current span of a class; the old one is used up. */
static struct mspan *refill(struct rh_lane *lane, unsigned spc)
{
	struct mspan *old = lane->alloc[spc], *span;

	rh_debug_assert(old->spc == spc || old == &lane->heap->dummy);
	collect_class(lane, spc);
	tier_add(&lane->n.refills, 1);
	if (old->alloc_count < old->elem_count) {
		rh_span_rewind(old);
		tier_add(&lane->n.rewinds, 1);
		return old;
	}
	span = rh_class_spans(lane, spc)->partial.first;
	if (span) {
		rh_debug_assert(atomic_load(&span->owner) == lane &&
				span->alloc_count < span->elem_count);
		rh_list_remove(span);
		tier_add(&lane->n.from_partial, 1);
		if (rh_class_spans(lane, spc)->partial.count > PARTIAL_MAX)
			surrender(lane, spc);
	} else {
		span = from_central(lane, spc);
	}
	if (span)
		rh_span_rewind(span);
	else
		span = new_span(lane, spc);
	if (!span)
		return NULL;
	if (old != &lane->heap->dummy)
		rh_list_push_back(&rh_class_spans(lane, spc)->full, old);
	lane->alloc[spc] = span;
	return span;
}

/* Last resort before "exhausted": what this lane parks in bins and with other lanes'
 * frees may hold whole spans. */
static struct mspan *squeeze(struct rh_lane *lane, unsigned spc)
{
	rh_explicit_collect(lane);
	for (unsigned i = 2; i < TIER_SPC_MAX; i++) {
		struct bin *bin = &lane->bin[i];
		void *list = bin->head;

		bin->head = NULL;
		bin->room = bin->limit;
		release_list(lane, i, list);
	}
	return refill(lane, spc);
}

static bool idle(const struct rh_lane *lane, unsigned spc)
{
	const struct mspan *span = lane->alloc[spc];

	return span->alloc_count == 0 && span != &lane->heap->dummy;
}

bool rh_explicit_parks(const struct rh_lane *lane)
{
	const struct tier_class *of = lane->heap->classes.of;

	if (lane->heap->gc != TIER_GC_EXPLICIT || !lane->heap->profile->radix ||
	    lane->bin_bytes >= BIN_BYTES)
		return false;
	for (unsigned spc = 2 * lane->heap->classes.class_count - 1;
	     spc > 1 && of[spc].elem_bytes > PARK_BYTES; spc -= 2) {
		if (lane->bin[spc].head || idle(lane, spc))
			return true;
	}
	return false;
}

void rh_explicit_unpark(struct rh_lane *lane)
{
	const struct tier_class *of = lane->heap->classes.of;

	for (unsigned spc = 2 * lane->heap->classes.class_count - 1;
	     spc > 1 && of[spc].elem_bytes > PARK_BYTES; spc -= 2) {
		struct bin *bin = &lane->bin[spc];
		struct mspan *span = lane->alloc[spc];
		void *list = bin->head;

		bin->head = NULL;
		bin->room = bin->limit;
		release_list(lane, spc, list);
		if (idle(lane, spc)) {
			lane->alloc[spc] = &lane->heap->dummy;
			rh_stash_put(lane, span);
		}
	}
}

/* How many slots from `index` on are free one after another; cache: 1 = free, bit 0 = index. */
static unsigned run_of(uint64_t cache, unsigned most)
{
	unsigned run = ~cache ? (unsigned)__builtin_ctzll(~cache) : 64;

	return run < most ? run : most;
}

/* Puts the next free slots of the span into its empty bin, lowest first, and no more than touch a
 * quarter of a page where none was used yet. */
static void fill_bin(struct bin *bin, struct mspan *span, size_t header)
{
	uint64_t cache = span->alloc_cache;
	unsigned index = span->freeindex, end = span->elem_count, left = bin->batch;
	void **link = &bin->head;
	uint64_t *word = &span->alloc_bits[index / 64];

	rh_debug_assert(!bin->head && bin->room == bin->limit);
	if (index >= end)
		return;
	while (left) {
		unsigned skip, run;
		char *block;

		if (!cache) {
			index = (unsigned)(++word - span->alloc_bits) * 64;
			if (index >= end)
				break;
			cache = ~*word;
			continue;
		}
		skip = (unsigned)__builtin_ctzll(cache);
		index += skip;
		if (index >= end)
			break;
		cache >>= skip;
		run = run_of(cache, left < end - index ? left : end - index);
		*word |= (((uint64_t)1 << run) - 1) << index % 64;
		block = (char *)span->base + (size_t)index * span->elem_bytes + header;
		for (unsigned i = 0; i < run; i++, block += span->elem_bytes) {
			if (RH_POISON)
				rh_unpoison(block, sizeof(void *));
			*link = block;
			link = (void **)block;
		}
		cache >>= run;
		index += run;
		left -= run;
	}
	*link = NULL;
	if (left == bin->batch)
		return;
	if (index > end)
		index = end;
	if (index % 64 == 0)
		cache = index < end ? ~span->alloc_bits[index / 64] : 0;
	span->alloc_cache = cache;
	span->freeindex = (uint16_t)index;
	span->alloc_count += (uint16_t)(bin->batch - left);
	bin->room -= (int32_t)(bin->batch - left);
	rh_debug_assert(bin->room >= 0 && span->alloc_count <= span->elem_count);
}

/* Slots that were freed below come before those that nothing has touched yet, once they fill a
 * batch. */
static inline void prefer_touched(struct mspan *span, unsigned batch)
{
	unsigned at = span->freeindex;

	if (at < span->touched || at == span->elem_count)
		return;
	span->touched = (uint16_t)at;
	if (at > span->alloc_count + batch)
		rh_span_rewind(span);
}

void *rh_explicit_alloc(struct rh_lane *lane, unsigned spc, bool *known_zero)
{
	struct mspan *span = lane->alloc[spc];
	struct bin *bin = &lane->bin[spc];
	size_t header = lane->heap->classes.of[spc].header_bytes;
	void *p;

	prefer_touched(span, bin->batch);
	p = rh_span_next(span);
	if (!p) {
		span = refill(lane, spc);
		if (!span)
			span = squeeze(lane, spc);
		if (!span)
			return NULL;
		p = rh_span_next(span);
		assert(p);
	}
	if (known_zero)
		*known_zero = !span->needzero;
	else if (!bin->head)
		fill_bin(bin, span, header);
	tier_add(&bin->allocs, 1);
	tier_add(&bin->misses, 1);
	return (char *)p + header;
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
	struct mcentral *central = lock_central(lane->heap, spc);
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
	note_nonempty(lane->heap, central);
	rh_unlock(&central->lock);
}

void rh_explicit_drain(struct rh_lane *lane)
{
	struct span_list emptied = { 0 };
	struct mspan *span;

	for (unsigned spc = 2; spc < TIER_SPC_MAX; spc++) {
		struct bin *bin = &lane->bin[spc];
		void *list = bin->head;

		if (!lane->heap->classes.of[spc].elem_bytes)
			continue;
		bin->head = NULL;
		bin->room = bin->limit;
		if (list)
			release_list(lane, spc, list);
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
