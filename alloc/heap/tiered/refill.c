/*
 * refill.c - an empty bin: the next slots of the lane's span, the next span (gc=explicit).
 *
 * Step 2 of the story in explicit.c. What of a heap is growth goes through here: slots are linked
 * in runs, 4 instructions each, and a span of a page is made of the lane's page cache in 80.
 * What is short in memory comes first: slots that were freed before those that nothing touched.
 */
#include <assert.h>

#include "alloc/base/debug.h"
#include "alloc/heap/tiered/bins.h"
#include "alloc/heap/tiered/explicit.h"
#include "alloc/heap/tiered/mheap.h"
#include "alloc/heap/tiered/stash.h"

/* A heap whose bins are not at their largest is small; what it parks of larger blocks is looked at
 * before it grows. */
enum { PARK_BYTES = 1024 };

/* A class that has filled this many spans gets them by the system's page: what is touched too early
 * is a sixteenth of what the class has, and a heap that grows asks a quarter as often (250
 * bytes a block: 77 instructions an event, 104 without). */
enum { MANY_FULL = 4, MANY_BYTES = 4096, MANY_MAX = 63, PARTIAL_MAX = 64 };
_Static_assert(MANY_MAX < 64, "a run in one word");

static struct mspan *from_central(struct rh_lane *lane, unsigned spc)
{
	struct mcentral *central = &lane->heap->central[spc];
	struct mspan *span;

	if (!atomic_load_explicit(&lane->heap->central_has[spc], memory_order_relaxed))
		return NULL;
	rh_lock_central(lane->heap, spc);
	span = central->nonempty.first;
	if (span) {
		rh_debug_assert(!atomic_load(&span->owner) && span->alloc_count < span->elem_count);
		rh_list_remove(span);
		atomic_store_explicit(&span->owner, lane, memory_order_relaxed);
		rh_note_nonempty(lane->heap, central);
	}
	rh_unlock(&central->lock);
	if (span)
		tier_add(&lane->n.from_central, 1);
	return span;
}

/* Half of the lane's half-empty spans of a class, oldest first, to mcentral. */
static void surrender(struct rh_lane *lane, unsigned spc)
{
	struct mcentral *central = rh_lock_central(lane->heap, spc);
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
	rh_note_nonempty(lane->heap, central);
	rh_unlock(&central->lock);
}

static inline void grow_batch(struct rh_lane *lane, unsigned spc)
{
	uint32_t bytes = lane->heap->classes.of[spc].elem_bytes, batch;
	struct bin *bin = &lane->bin[spc];

	if (rh_class_spans(lane, spc)->full.count < MANY_FULL || bin->batch == MANY_MAX ||
	    (bin->batch + 1) * bytes > MANY_BYTES)
		return;
	rh_bin_raise(lane, bin, bytes);
	batch = MANY_BYTES / bytes;
	batch = batch > MANY_MAX ? MANY_MAX : batch;
	batch = batch > bin->limit ? bin->limit : batch;
	if (bin->batch < batch)
		bin->batch = (uint8_t)batch;
}

/* A page of the lane's page cache as a span, or a stashed one: most of what rh_span_alloc does for
 * any span, in a sixth of the instructions, for a heap that grows by small blocks asks for little
 * else. NULL = neither is there. */
static inline struct mspan *page_span(struct rh_lane *lane, unsigned spc)
{
	const struct tier_class *class = &lane->heap->classes.of[spc];
	struct page_cache *cache = &lane->pcache;
	struct mspan *span = lane->stash[1];
	unsigned at, maps;
	uint64_t bit;

	rh_debug_assert(spc > 1 && class->elem_count > 0);
	if (class->page_count != 1)
		return NULL;
	if (span) {
		if (span->bit_words < class->bit_words)
			return NULL;
		rh_stash_remove(lane, span);
		span->needzero = 1;
		tier_add(&lane->n.stash_hits, 1);
	} else {
		if (!cache->free || !lane->span_cache_count)
			return NULL;
		span = lane->span_cache[lane->span_cache_count - 1];
		if (span->bit_words < class->bit_words && !rh_span_bits(lane, span, spc))
			return NULL;
		lane->span_cache_count--;
		at = (unsigned)__builtin_ctzll(cache->free);
		bit = cache->free & -cache->free;
		span->base =
			lane->heap->window + ((uintptr_t)(cache->page + at) << TIER_PAGE_SHIFT);
		span->page_count = 1;
		span->needzero = !((cache->fresh | (lane->released_zero ? cache->scav : 0)) & bit);
		if (cache->scav & bit)
			tier_add(&lane->d_released, -(int64_t)TIER_PAGE);
		cache->free &= ~bit;
		cache->scav &= ~bit;
		tier_add(&lane->n.pcache_hits, 1);
	}
	tier_add(&lane->d_in_use, TIER_PAGE);
	maps = (2u + TIER_DEBUG) * span->bit_words;
	for (unsigned i = 0; i < maps; i++)
		span->alloc_bits[i] = 0;
	span->spc = (uint8_t)spc;
	span->freeindex = span->alloc_count = span->touched = 0;
	span->alloc_cache = ~(uint64_t)0;
	span->elem_bytes = class->elem_bytes;
	span->elem_count = class->elem_count;
	span->div_mul = class->div_mul;
	span->remote_next = NULL;
	atomic_store_explicit(&span->dead_count, 0, memory_order_relaxed);
	at = (unsigned)rh_page_index(lane->heap, span->base);
	tier_store(&lane->heap->spans[at], span);
	lane->heap->bin_map[at] = rh_bin_offset(spc);
	rh_span_set_state(span, SPAN_IN_USE);
	return span;
}

static struct mspan *new_span(struct rh_lane *lane, unsigned spc)
{
	struct mspan *span = page_span(lane, spc);

	if (!span)
		span = rh_span_alloc(lane, lane->heap->classes.of[spc].page_count, spc);
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
	rh_collect_class(lane, spc);
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

static bool idle(const struct rh_lane *lane, unsigned spc)
{
	const struct mspan *span = lane->alloc[spc];

	return span->alloc_count == 0 && span != &lane->heap->dummy;
}

/* What a bin holds goes back to the spans, and the span that is allocated from, if it is empty, to
 * the stash. */
static void let_go(struct rh_lane *lane, unsigned spc)
{
	struct bin *bin = &lane->bin[spc];
	struct mspan *span = lane->alloc[spc];
	uint32_t count = rh_bin_length(bin);
	void *list = bin->head;

	rh_debug_assert(spc > 1 && spc < TIER_SPC_MAX);
	bin->head = NULL;
	bin->room = bin->limit;
	rh_release_list(lane, spc, list, count);
	if (!idle(lane, spc))
		return;
	lane->alloc[spc] = &lane->heap->dummy;
	rh_stash_put(lane, span);
}

void rh_explicit_let_go(struct rh_lane *lane)
{
	rh_explicit_collect(lane);
	for (unsigned spc = 2; spc < TIER_SPC_MAX; spc++)
		let_go(lane, spc);
}

/* Last resort before "exhausted": what this lane parks in bins and with other lanes'
 * frees may hold whole spans. */
static struct mspan *squeeze(struct rh_lane *lane, unsigned spc)
{
	rh_explicit_let_go(lane);
	return refill(lane, spc);
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
	     spc > 1 && of[spc].elem_bytes > PARK_BYTES; spc -= 2)
		let_go(lane, spc);
}

/* How many slots from `index` on are free one after another; cache: 1 = free, bit 0 = index. */
static inline unsigned run_of(uint64_t cache, unsigned most)
{
	unsigned run = ~cache ? (unsigned)__builtin_ctzll(~cache) : 64;

	return run < most ? run : most;
}

/* Links `count` slots of `step` bytes, one after another, behind *link; returns where the next one
 * is to be linked. */
static inline void **link_run(void **link, char *block, unsigned count, size_t step)
{
	*link = block;
	for (; count > 2; count -= 2) {
		char *next = block + step;

		if (RH_POISON) {
			rh_unpoison(block, sizeof(void *));
			rh_unpoison(next, sizeof(void *));
		}
		*(void **)block = next;
		block = next + step;
		*(void **)next = block;
	}
	if (RH_POISON)
		rh_unpoison(block, sizeof(void *));
	if (count == 1)
		return (void **)block;
	*(void **)block = block + step;
	if (RH_POISON)
		rh_unpoison(block + step, sizeof(void *));
	return (void **)(block + step);
}

/* The next free slots of the span, lowest first: the first is the block, up to a batch of others go
 * into its empty bin. They touch no more than a quarter of a page where none was used yet. NULL =
 * the span has none from freeindex on. */
static void *fill_bin(struct bin *bin, struct mspan *span, size_t header)
{
	uint64_t cache = span->alloc_cache;
	unsigned index = span->freeindex, end = span->elem_count, all = bin->batch + 1u, left = all;
	size_t step = span->elem_bytes;
	uint64_t *word = &span->alloc_bits[index / 64];
	void *first = NULL, **link = &first;

	rh_debug_assert(!bin->head && bin->room == bin->limit && all <= 64);
	if (index >= end)
		return NULL;
	while (left) {
		unsigned skip, run;

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
		*word |= (((uint64_t)2 << (run - 1)) - 1) << index % 64;
		link = link_run(link, (char *)span->base + index * step + header, run, step);
		cache = cache >> (run - 1) >> 1; /* it may be all 64 */
		index += run;
		left -= run;
	}
	if (index > end)
		index = end;
	if (index % 64 == 0)
		cache = index < end ? ~span->alloc_bits[index / 64] : 0;
	span->alloc_cache = cache;
	span->freeindex = (uint16_t)index;
	if (left == all)
		return NULL;
	*link = NULL;
	bin->head = *(void **)first;
	span->alloc_count += (uint16_t)(all - left);
	bin->room -= (int32_t)(all - left - 1);
	rh_debug_assert(bin->room >= 0 && span->alloc_count <= span->elem_count);
	return first;
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

/* One slot alone, for a block that is to be zero, of a bin that has some, or of a class that takes
 * one at a time. */
static void *one_slot(struct mspan *span, size_t header, bool *known_zero)
{
	char *p = rh_span_next(span);

	if (known_zero)
		*known_zero = !span->needzero;
	return p ? p + header : NULL;
}

void *rh_explicit_alloc(struct rh_lane *lane, unsigned spc, bool *known_zero)
{
	struct mspan *span = lane->alloc[spc];
	struct bin *bin = &lane->bin[spc];
	size_t header = lane->heap->classes.of[spc].header_bytes;
	bool alone = known_zero || bin->head || !bin->batch;
	void *p;

	prefer_touched(span, bin->batch);
	p = alone ? one_slot(span, header, known_zero) : fill_bin(bin, span, header);
	if (tier_unlikely(!p)) {
		span = refill(lane, spc);
		if (!span)
			span = squeeze(lane, spc);
		if (!span)
			return NULL;
		p = alone || bin->head ? one_slot(span, header, known_zero)
				       : fill_bin(bin, span, header);
		assert(p);
	}
	tier_add(&bin->allocs, 1);
	tier_add(&bin->misses, 1);
	return p;
}
