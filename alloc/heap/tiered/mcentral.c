/*
 * mcentral.c - spans of a class that no lane holds, in the collected modes.
 *
 * Since 1.15 every class has four sets: spans with free slots and full ones, each
 * swept and unswept; the pair of indices swaps when sweepgen moves. A lane that needs
 * a span takes a swept partial one, else sweeps partial ones and then full ones until
 * one has room - 101 tries in all - else gets new pages. A set is a FIFO without locks:
 *
 *	head_tail	head << 32 | tail: next to pop, next to push
 *	spine[b]	block b holds spans 512 b .. 512 b + 511
 * push moves tail, pop moves head, both by compare-and-swap; pop then waits for the slot
 * to be written. A lock is taken once per 512 pushes, for a new block.
 * The last popper of a block gives it back.
 *
 * Before 1.15: one lock and two lists per class. nonempty has a free slot (or an
 * unswept object); empty is full or cached, with the cached and swept ones at its back.
 * A long run of full unswept spans is swept one by one in the path of an allocation,
 * which is what the sets later bounded.
 *
 * gc=explicit uses lock, nonempty and empty for spans without an owner (explicit.c).
 */
#include "alloc/base/debug.h"
#include "alloc/heap/tiered/collect.h"
#include "alloc/heap/tiered/mheap.h"

/* Go counts a budget of 100 down to and including 0, over both sets together
 * (cacheSpan). */
enum { SWEEP_TRIES = 101 };

static const struct rh_lock_class central_lock_class = { "mcentral", TIER_RANK_CENTRAL, 0 };
static const struct rh_lock_class spine_lock_class = { "spanSetSpine", TIER_RANK_SPINE, 0 };
/* Above the spine's: a push that needs a block takes it while it holds the spine. */
static const struct rh_lock_class pool_lock_class = { "spanSetPool", TIER_RANK_SPINE + 1, 0 };

static int init_sets(struct rh_heap *heap, unsigned spc)
{
	struct span_sets *sets =
		rh_persistent_alloc(&heap->persistent, sizeof(*sets), RH_CACHE_LINE);

	if (!sets)
		return -1;
	for (unsigned i = 0; i < 2; i++) {
		rh_lock_init(&sets->partial[i].spine_lock, &spine_lock_class, spc);
		rh_lock_init(&sets->full[i].spine_lock, &spine_lock_class, spc);
	}
	heap->central[spc].sets = sets;
	return 0;
}

int rh_central_init(struct rh_heap *heap)
{
	bool sets = heap->gc != TIER_GC_EXPLICIT && heap->profile->span_sets;

	rh_lock_init(&heap->set_pool_lock, &pool_lock_class, 0);
	/* In the collected modes all at once: lanes then reach for them without a
	 * look at `ready`. */
	for (unsigned spc = 0; spc < TIER_SPC_MAX && heap->gc != TIER_GC_EXPLICIT; spc++) {
		rh_central_ready(heap, spc);
		if (sets && init_sets(heap, spc) < 0)
			return -1;
	}
	return 0;
}

/* 136 locks are 60 KiB, a tenth of a small heap, and with explicit frees most of them are
 * never taken: the first lane that needs one makes it. */
void rh_central_ready(struct rh_heap *heap, unsigned spc)
{
	struct mcentral *central = &heap->central[spc];

	rh_lock(&heap->set_pool_lock);
	/* Again under the lock: two lanes may have found it missing. Release, so that
	 * whoever sees ready sees the lock made. */
	if (!atomic_load_explicit(&central->ready, memory_order_relaxed)) {
		rh_lock_init(&central->lock, &central_lock_class, spc);
		atomic_store_explicit(&central->ready, true, memory_order_release);
	}
	rh_unlock(&heap->set_pool_lock);
}

/* ---- span sets ---- */

static struct span_set_block *take_block(struct rh_heap *heap)
{
	struct span_set_block *block;

	rh_lock(&heap->set_pool_lock);
	block = heap->set_pool;
	if (block)
		heap->set_pool = block->next;
	rh_unlock(&heap->set_pool_lock);
	if (!block)
		block = rh_persistent_alloc(&heap->persistent, sizeof(*block), RH_CACHE_LINE);
	return block;
}

static void give_block(struct rh_heap *heap, struct span_set_block *block)
{
	atomic_store(&block->popped, 0);
	rh_lock(&heap->set_pool_lock);
	block->next = heap->set_pool;
	heap->set_pool = block;
	rh_unlock(&heap->set_pool_lock);
}

/* The block with this number, made if need be; NULL = exhausted. */
static struct span_set_block *set_block(struct rh_heap *heap, struct span_set *set, uint32_t b)
{
	struct span_set_block *block = NULL;

	if (b < atomic_load(&set->spine_len))
		return atomic_load(&set->spine[b]);
	rh_lock(&set->spine_lock);
	if (!set->spine)
		set->spine = rh_persistent_alloc(&heap->persistent,
						 SET_SPINE_BLOCKS * sizeof(*set->spine), 64);
	/* A fixed spine of 4,096 blocks is 2 million spans, 16 GiB of the smallest;
	 * Go doubles it instead, which needs old copies to stay valid. */
	while (set->spine && b < SET_SPINE_BLOCKS && b >= atomic_load(&set->spine_len)) {
		block = take_block(heap);
		if (!block)
			break;
		atomic_store(&set->spine[atomic_load(&set->spine_len)], block);
		/* The length after the entry: whoever reads the length without the
		 * lock finds the block. */
		atomic_fetch_add(&set->spine_len, 1);
	}
	if (b < atomic_load(&set->spine_len))
		block = atomic_load(&set->spine[b]);
	rh_unlock(&set->spine_lock);
	return block;
}

/* Without memory for a block the span is in no set: the end of the cycle's sweep, which
 * walks all spans, files it again. */
void rh_set_push(struct rh_heap *heap, struct span_set *set, struct mspan *span)
{
	uint64_t head_tail = atomic_load(&set->head_tail);
	struct span_set_block *block;

	do {
		block = set_block(heap, set, (uint32_t)head_tail / SET_BLOCK_SPANS);
		if (!block)
			return;
	} while (!atomic_compare_exchange_weak(&set->head_tail, &head_tail, head_tail + 1));
	/* Nobody gives the block back before this slot is popped. But the load above may be
	 * of an older tail whose block is gone: read it again by the tail that was won. */
	block = atomic_load(&set->spine[(uint32_t)head_tail / SET_BLOCK_SPANS]);
	atomic_store(&block->spans[(uint32_t)head_tail % SET_BLOCK_SPANS], span);
}

struct mspan *rh_set_pop(struct rh_heap *heap, struct span_set *set)
{
	uint64_t head_tail = atomic_load(&set->head_tail);
	struct span_set_block *block;
	struct mspan *span;
	uint32_t head;

	do {
		head = (uint32_t)(head_tail >> 32);
		if (head >= (uint32_t)head_tail ||
		    head / SET_BLOCK_SPANS >= atomic_load(&set->spine_len))
			return NULL;
	} while (!atomic_compare_exchange_weak(&set->head_tail, &head_tail,
					       head_tail + ((uint64_t)1 << 32)));
	block = atomic_load(&set->spine[head / SET_BLOCK_SPANS]);
	/* The pusher has moved the tail and not yet stored, two instructions later.
	 * Go waits here, too. */
	while (!(span = atomic_load(&block->spans[head % SET_BLOCK_SPANS])))
		;
	/* A block in the pool has empty slots throughout; this is what a later popper
	 * waits by. */
	atomic_store(&block->spans[head % SET_BLOCK_SPANS], NULL);
	if (atomic_fetch_add(&block->popped, 1) + 1 == SET_BLOCK_SPANS) {
		atomic_store(&set->spine[head / SET_BLOCK_SPANS], NULL);
		give_block(heap, block);
	}
	return span;
}

/* For replays of recorded cycles, whose lanes take turns: nothing here is safe beside
 * a push or a pop. */
static struct mspan *_Atomic *set_place(const struct span_set *set, uint32_t at)
{
	struct span_set_block *block = atomic_load(&set->spine[at / SET_BLOCK_SPANS]);

	return &block->spans[at % SET_BLOCK_SPANS];
}

bool rh_set_at(const struct span_set *set, uint32_t at, struct mspan **span)
{
	uint64_t head_tail = atomic_load(&set->head_tail);

	at += (uint32_t)(head_tail >> 32);
	if (at >= (uint32_t)head_tail)
		return false;
	*span = atomic_load(set_place(set, at));
	return true;
}

int rh_set_advance(struct span_set *set, const struct mspan *span)
{
	uint64_t head_tail = atomic_load(&set->head_tail);
	uint32_t head = (uint32_t)(head_tail >> 32), tail = (uint32_t)head_tail, at = head;
	struct mspan *found;

	while (at < tail && atomic_load(set_place(set, at)) != span)
		at++;
	if (at == tail || at == head)
		return 0;
	found = atomic_load(set_place(set, at));
	/* Moved up by one each, so the order of the others stays. */
	for (; at > head; at--)
		atomic_store(set_place(set, at), atomic_load(set_place(set, at - 1)));
	atomic_store(set_place(set, head), found);
	return 1;
}

/* The world is stopped and the set is empty. */
void rh_set_reset(struct rh_heap *heap, struct span_set *set)
{
	uint32_t len = atomic_load(&set->spine_len);

	rh_debug_assert((uint32_t)(atomic_load(&set->head_tail) >> 32) ==
			(uint32_t)atomic_load(&set->head_tail));
	for (uint32_t b = 0; b < len; b++) {
		struct span_set_block *block = atomic_load(&set->spine[b]);

		if (block) {
			atomic_store(&set->spine[b], NULL);
			give_block(heap, block);
		}
	}
	atomic_store(&set->spine_len, 0);
	atomic_store(&set->head_tail, 0);
}

/* ---- which set ---- */

static unsigned swept_index(const struct rh_heap *heap)
{
	/* sweepgen rises by two each cycle, so the pairs swap roles without being
	 * moved. */
	return atomic_load(&heap->sweepgen) / 2 % 2;
}

static void file_swept(struct rh_heap *heap, struct mspan *span)
{
	struct mcentral *central = &heap->central[span->spc];
	unsigned swept = swept_index(heap);
	bool full = span->alloc_count == span->elem_count;

	rh_debug_assert(atomic_load(&span->sweepgen) == atomic_load(&heap->sweepgen));
	rh_set_push(heap, (full ? central->sets->full : central->sets->partial) + swept, span);
}

/* ---- since 1.15 ---- */

static struct mspan *sweep_for_span(struct rh_lane *lane, struct mcentral *central)
{
	struct rh_heap *heap = lane->heap;
	unsigned swept = swept_index(heap), unswept = 1 - swept;
	int tries = SWEEP_TRIES;
	struct mspan *span;

	/* Each of these has room, so the first that is ours ends the search; one that
	 * somebody else sweeps counts as a try. */
	while (tries-- > 0 && (span = rh_set_pop(heap, &central->sets->partial[unswept]))) {
		if (!rh_sweep_acquire(heap, span))
			continue;
		rh_sweep_span(lane, span, true);
		return span;
	}
	while (tries-- > 0 && (span = rh_set_pop(heap, &central->sets->full[unswept]))) {
		if (!rh_sweep_acquire(heap, span))
			continue;
		rh_sweep_span(lane, span, true);
		if (span->alloc_count < span->elem_count)
			return span;
		/* Still full: no later allocation looks at it again in this cycle. */
		rh_set_push(heap, &central->sets->full[swept], span);
	}
	return NULL;
}

static struct mspan *from_sets(struct rh_lane *lane, unsigned spc)
{
	struct rh_heap *heap = lane->heap;
	struct mcentral *central = &heap->central[spc];
	struct mspan *span = rh_set_pop(heap, &central->sets->partial[swept_index(heap)]);

	if (span)
		tier_add(&lane->n.from_central, 1);
	if (span || atomic_load(&heap->sweep_done))
		return span;
	span = sweep_for_span(lane, central);
	if (span)
		tier_add(&lane->n.from_sweep, 1);
	return span;
}

int rh_central_prefer(struct rh_lane *lane, struct mspan *span)
{
	struct rh_heap *heap = lane->heap;
	struct span_set *swept = &heap->central[span->spc].sets->partial[swept_index(heap)];

	if (!heap->profile->span_sets)
		return 0;
	if (rh_sweep_acquire(heap, span)) {
		rh_sweep_span(lane, span, true);
		rh_set_push(heap,
			    span->alloc_count < span->elem_count
				    ? swept
				    : &heap->central[span->spc].sets->full[swept_index(heap)],
			    span);
	}
	return rh_set_advance(swept, span);
}

/* ---- before 1.15 ---- */

/* Cached and swept spans stand at the back of `empty`: a search from the front ends
 * at the first of them. */
static void move_to_back(struct mcentral *central, struct mspan *span)
{
	rh_debug_assert(rh_lock_held(&central->lock) && span->list);
	rh_list_remove(span);
	rh_list_push_back(&central->empty, span);
}

static bool being_swept(const struct rh_heap *heap, const struct mspan *span)
{
	return atomic_load(&span->sweepgen) == atomic_load(&heap->sweepgen) - 1;
}

/* Central lock held; dropped when a span is found that must be swept. */
static struct mspan *from_nonempty(struct rh_lane *lane, struct mcentral *central)
{
	struct rh_heap *heap = lane->heap;

	rh_debug_assert(rh_lock_held(&central->lock));
	for (struct mspan *span = central->nonempty.first; span; span = span->next) {
		if (rh_sweep_acquire(heap, span)) {
			move_to_back(central, span);
			rh_unlock(&central->lock);
			rh_sweep_span(lane, span, true);
			tier_add(&lane->n.from_sweep, 1);
			return span;
		}
		/* Another lane has it and will file it; waiting would take longer
		 * than the next span. */
		if (being_swept(heap, span))
			continue;
		move_to_back(central, span);
		rh_unlock(&central->lock);
		tier_add(&lane->n.from_central, 1);
		return span;
	}
	return NULL;
}

/* Sweeps one unswept span of the empty list. The lock is dropped and *again is set when
 * the lists must be looked at again. */
static struct mspan *from_empty(struct rh_lane *lane, struct mcentral *central, bool *again)
{
	struct rh_heap *heap = lane->heap;

	rh_debug_assert(rh_lock_held(&central->lock));
	for (struct mspan *span = central->empty.first; span; span = span->next) {
		if (rh_sweep_acquire(heap, span)) {
			move_to_back(central, span);
			rh_unlock(&central->lock);
			rh_sweep_span(lane, span, true);
			if (span->alloc_count < span->elem_count) {
				tier_add(&lane->n.from_sweep, 1);
				return span;
			}
			rh_lock(&central->lock);
			*again = true;
			return NULL;
		}
		if (!being_swept(heap, span))
			return NULL; /* the rest is swept or cached */
	}
	return NULL;
}

static struct mspan *from_lists(struct rh_lane *lane, unsigned spc)
{
	struct mcentral *central = &lane->heap->central[spc];
	struct mspan *span;
	bool again;

	rh_lock(&central->lock);
	do {
		again = false;
		span = from_nonempty(lane, central);
		if (!span)
			span = from_empty(lane, central, &again);
		if (span)
			return span;
	} while (again);
	rh_unlock(&central->lock);
	return NULL;
}

/* ---- both ---- */

static struct mspan *grow(struct rh_lane *lane, unsigned spc)
{
	struct rh_heap *heap = lane->heap;
	size_t page_count = heap->classes.of[spc].page_count;
	struct mspan *span;

	/* Before the heap grows: pages that the last cycle found dead come first. */
	rh_sweep_reclaim(lane, page_count);
	span = rh_span_alloc(lane, page_count, spc);
	if (!span)
		return NULL;
	tier_add(&lane->n.from_pages, 1);
	if (!heap->profile->span_sets) {
		rh_lock(&heap->central[spc].lock);
		rh_list_push_back(&heap->central[spc].empty, span);
		rh_unlock(&heap->central[spc].lock);
	}
	return span;
}

struct mspan *rh_central_cache_span(struct rh_lane *lane, unsigned spc)
{
	struct rh_heap *heap = lane->heap;
	struct mspan *span;

	rh_sweep_credit(lane, (size_t)heap->classes.of[spc].page_count << TIER_PAGE_SHIFT, 0);
	span = heap->profile->span_sets ? from_sets(lane, spc) : from_lists(lane, spc);
	return span ? span : grow(lane, spc);
}

void rh_central_uncache_span(struct rh_lane *lane, struct mspan *span, bool stale)
{
	struct rh_heap *heap = lane->heap;
	struct mcentral *central = &heap->central[span->spc];
	uint32_t sweepgen = atomic_load(&heap->sweepgen);

	rh_debug_assert(span->spc > 1 && span->elem_bytes);
	/* sweepgen + 1: cached since before the cycle. Nobody else may sweep it in
	 * this state, so a plain store acquires it. */
	if (stale) {
		atomic_store(&span->sweepgen, sweepgen - 1);
		rh_sweep_span(lane, span, false);
		return;
	}
	if (heap->profile->span_sets) {
		atomic_store(&span->sweepgen, sweepgen);
		file_swept(heap, span);
		return;
	}
	rh_lock(&central->lock);
	atomic_store(&span->sweepgen, sweepgen);
	if (span->alloc_count < span->elem_count) {
		rh_list_remove(span);
		rh_list_push_front(&central->nonempty, span);
	}
	rh_unlock(&central->lock);
}

/* With lists sweepgen comes last, under the lock: it is the signal that the span may
 * be taken (mcentral.freeSpan of Go before 1.15). */
void rh_central_file(struct rh_lane *lane, struct mspan *span)
{
	struct rh_heap *heap = lane->heap;
	struct mcentral *central = &heap->central[span->spc];
	uint32_t sweepgen = atomic_load(&heap->sweepgen);

	if (heap->profile->span_sets) {
		atomic_store(&span->sweepgen, sweepgen);
		file_swept(heap, span);
		return;
	}
	rh_lock(&central->lock);
	if (span->alloc_count < span->elem_count && span->list != &central->nonempty) {
		rh_list_remove(span);
		rh_list_push_front(&central->nonempty, span);
	}
	atomic_store(&span->sweepgen, sweepgen);
	rh_unlock(&central->lock);
}

void rh_central_forget(struct rh_heap *heap, struct mspan *span)
{
	struct mcentral *central = &heap->central[span->spc];

	/* A set has no removal: a span that has gone stays there until it is popped
	 * and passed over. */
	if (heap->profile->span_sets || !span->elem_bytes)
		return;
	rh_lock(&central->lock);
	rh_list_remove(span);
	rh_unlock(&central->lock);
}

void rh_large_published(struct rh_lane *lane, struct mspan *span)
{
	struct rh_heap *heap = lane->heap;

	rh_debug_assert(!span->elem_bytes && span->alloc_count == 1);
	/* Whole pages, as Go counts large blocks; small ones count when their span is
	 * taken. */
	atomic_fetch_add(&heap->pacer.heap_live, rh_span_bytes(span));
	if (heap->profile->span_sets) {
		file_swept(heap, span);
	} else if (!heap->profile->reclaim_bitmap) {
		rh_lock(&heap->lock);
		rh_list_push_back(span->page_count < 128 ? &heap->busy[span->page_count]
							 : &heap->busy_large,
				  span);
		rh_unlock(&heap->lock);
	}
}
