/*
 * explicit.h - gc=explicit: freed slots are reusable at once.
 * Inside this folder only; the story is in explicit.c.
 */
#ifndef RH_TIERED_EXPLICIT_H
#define RH_TIERED_EXPLICIT_H

#include "alloc/base/debug.h"
#include "alloc/heap/tiered/heap.h"
#include "alloc/heap/tiered/poison.h"

/* A block of span class spc when its bin is empty. `known_zero`, if not NULL, is set
 * when the block was never used, and then the bin stays empty. NULL = exhausted. */
void *rh_explicit_alloc(struct rh_lane *lane, unsigned spc, bool *known_zero);
/* The bin is over its limit: gives the older half back to the spans. */
void rh_explicit_overflow(struct rh_lane *lane, struct bin *bin);
/* Poisons a block that was just put on the bin, its link too. */
static inline void rh_poison_slot(const struct rh_lane *lane, const struct bin *bin, void *p)
{
	const struct tier_class *class = &lane->heap->classes.of[bin - lane->bin];

	rh_debug_assert(bin > lane->bin && bin < lane->bin + TIER_SPC_MAX);
	rh_poison(p, class->elem_bytes - class->header_bytes);
}
/* Gives the first `count` blocks of a list, which are of one class, back to their spans. Returns
 * the rest of it. */
void *rh_release_list(struct rh_lane *lane, unsigned spc, void *list, uint32_t count);
/* The spans of a class that nobody owns, locked. */
struct mcentral *rh_lock_central(struct rh_heap *heap, unsigned spc);
/* Written when it changes only: classes share its cache line. Central lock held. */
static inline void rh_note_nonempty(struct rh_heap *heap, struct mcentral *central)
{
	_Atomic uint8_t *has = &heap->central_has[central - heap->central];
	uint8_t now = central->nonempty.count > 0;

	rh_debug_assert(rh_lock_held(&central->lock));
	if (atomic_load_explicit(has, memory_order_relaxed) != now)
		atomic_store_explicit(has, now, memory_order_relaxed);
}
/* Takes in what other lanes freed into this lane's spans of a class. */
void rh_collect_remote(struct rh_lane *lane, unsigned spc);
static inline void rh_collect_class(struct rh_lane *lane, unsigned spc)
{
	if (tier_unlikely(atomic_load_explicit(&lane->remote[spc], memory_order_relaxed) != NULL))
		rh_collect_remote(lane, spc);
}
/* The same of all classes. */
void rh_explicit_collect(struct rh_lane *lane);
/* Gives all bins and spans up (lane closes). */
void rh_explicit_drain(struct rh_lane *lane);

/* Gives what is in the bins back to the spans, and empty spans to the stash. */
void rh_explicit_let_go(struct rh_lane *lane);

/* Whether a small heap has blocks of more than 1 KiB in this lane's bins, or an empty span that is
 * allocated from. */
bool rh_explicit_parks(const struct rh_lane *lane);
/* Gives them to the stash, before memory grows: they would be as much again in a heap of some
 * hundred KiB with buffers of many sizes. */
void rh_explicit_unpark(struct rh_lane *lane);
#endif
