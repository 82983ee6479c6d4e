/*
 * collect.h - gc=oracle and gc=recorded: frees mark, cycles sweep.
 * Inside this folder only; stories in gc.c, sweep.c, mcentral.c, mcache.c, tiny.c.
 */
#ifndef RH_TIERED_COLLECT_H
#define RH_TIERED_COLLECT_H

#include "alloc/heap/tiered/block.h"
#include "alloc/heap/tiered/heap.h"

/* ---- mcache.c: the path of a block ---- */

void *rh_collected_alloc(struct rh_lane *lane, size_t size, size_t align, uint32_t flags);
void rh_collected_free(struct rh_lane *lane, void *p, size_t size);
/* A slot died: marks it; the span's next sweep frees it. */
void rh_slot_died(struct rh_lane *lane, struct mspan *span, unsigned index);
/* A slot of span class spc from the lane's span, refilled if need be. *refilled says
 * that the pacer is to be asked. */
void *rh_mcache_slot(struct rh_lane *lane, unsigned spc, bool *refilled);
/* Gives every cached span back. `stale` = sweepgen has moved since they were taken. */
void rh_mcache_flush(struct rh_lane *lane, bool stale);
/* The one of a class, taken since the last cycle. */
void rh_mcache_let_go(struct rh_lane *lane, unsigned spc);

/* ---- tiny.c ---- */

void *rh_tiny_alloc(struct rh_lane *lane, size_t size, bool *refilled);
/* Forgets the block that small ones are taken from. */
void rh_tiny_drop(struct rh_lane *lane);
/* True for spans whose slots may be shared by tiny blocks. */
static inline bool rh_tiny_span(const struct mspan *span)
{
	return span->elem_bytes == 16 && span->spc & 1;
}

/* ---- mcentral.c ---- */

/* -1 = exhausted. */
int rh_central_init(struct rh_heap *heap);
/* Makes the lock of a class if nobody did. */
void rh_central_ready(struct rh_heap *heap, unsigned spc);
/* A span with a free slot for the lane's cache; NULL = exhausted. */
struct mspan *rh_central_cache_span(struct rh_lane *lane, unsigned spc);
/* Takes a span back from a lane's cache. */
void rh_central_uncache_span(struct rh_lane *lane, struct mspan *span, bool stale);
/* A span with room becomes the next of its class to be given out; 1 = it was not. */
int rh_central_prefer(struct rh_lane *lane, struct mspan *span);
/* Files a span that was just swept and keeps live slots. */
void rh_central_file(struct rh_lane *lane, struct mspan *span);
/* A swept span without live slots leaves its lists, before its pages are freed. */
void rh_central_forget(struct rh_heap *heap, struct mspan *span);
/* A large span in use becomes known to the sweepers. */
void rh_large_published(struct rh_lane *lane, struct mspan *span);
void rh_set_push(struct rh_heap *heap, struct span_set *set, struct mspan *span);
/* The set's spans in order, for a caller that has it alone: from at 0 on; NULL = taken out;
 * false = past the end. */
bool rh_set_at(const struct span_set *set, uint32_t at, struct mspan **span);
/* To the front, by a caller that has the set alone; 1 = it was there and not in front. */
int rh_set_advance(struct span_set *set, const struct mspan *span);
struct mspan *rh_set_pop(struct rh_heap *heap, struct span_set *set);
void rh_set_reset(struct rh_heap *heap, struct span_set *set);

/* ---- sweep.c ---- */

/* True when the caller now owns the sweep of this span. */
bool rh_sweep_acquire(struct rh_heap *heap, struct mspan *span);
/* Sweeps an acquired span. preserve: it stays with the caller. Else it is filed or
 * freed. Returns true when it went back to the page heap. */
bool rh_sweep_span(struct rh_lane *lane, struct mspan *span, bool preserve);
/* Sweeps one span; SIZE_MAX = nothing left, else pages that came free. */
size_t rh_sweep_one(struct rh_lane *lane);
/* Proportional sweep: what taking `bytes` owes, less own_pages which the caller is about
 * to reclaim. */
void rh_sweep_credit(struct rh_lane *lane, size_t bytes, size_t own_pages);
/* Sweeps whole dead spans until page_count pages came free or there are no more. */
void rh_sweep_reclaim(struct rh_lane *lane, size_t page_count);
/* Sweeps what comes before a span and holds no garbage. Nobody else sweeps meanwhile. */
void rh_sweep_before(struct rh_lane *lane, const struct mspan *span);
/* Sweeps all that is left. The world is stopped. */
void rh_sweep_finish(struct rh_lane *lane);

/* ---- gc.c ---- */

void rh_gc_open(struct rh_heap *heap);
/* The caller takes the steps of a cycle one by one: gc=recorded:flush=lane. */
static inline bool rh_gc_by_lane(const struct rh_heap *heap)
{
	return heap->gc == TIER_GC_RECORDED && heap->knobs.flush == TIER_FLUSH_LANE &&
	       heap->profile->lazy_flush;
}

/* Brackets every operation of a lane in collected modes; the world stops between. */
void rh_gc_enter(struct rh_lane *lane);
/* The same for a caller that holds a lock of stacks: above "gc" in rank, and never taken by a
 * cycle. */
void rh_gc_enter_holding(struct rh_lane *lane);
void rh_gc_leave(struct rh_lane *lane);
/* Starts a cycle if the pacer says so. Outside enter/leave. */
void rh_gc_poll(struct rh_lane *lane);
/* A whole cycle now. Outside enter/leave. */
void rh_gc_cycle(struct rh_lane *lane);
/* The pacer goes on as if the last cycle had marked so many bytes. */
void rh_gc_pace_from(struct rh_heap *heap, uint64_t marked);
/* What the last cycle left to sweep, as the next one begins. Outside enter/leave. */
void rh_gc_sweep_rest(struct rh_lane *lane);
/* The steps of a recorded cycle, see backend.h. Outside enter/leave. */
void rh_gc_flush_lane(struct rh_lane *lane);
void rh_gc_sweep_to(struct rh_lane *lane, const void *p, int before);
int rh_gc_prefer(struct rh_lane *lane, const void *p);

#endif
