/*
 * mheap.h - spans from the page heap, and everything that needs its lock.
 * Inside this folder only; the story is in mheap.c.
 */
#ifndef RH_TIERED_MHEAP_H
#define RH_TIERED_MHEAP_H

#include "alloc/heap/tiered/heap.h"

extern const struct rh_lock_class rh_mheap_lock_class;

/* A span of page_count pages for span class spc (0, 1 = large), set up and empty.
 * NULL = exhausted, or over the memory limit. */
struct mspan *rh_span_alloc(struct rh_lane *lane, size_t page_count, unsigned spc);
/* A large span whose base is a multiple of align pages. */
struct mspan *rh_span_alloc_aligned(struct rh_lane *lane, size_t page_count, size_t align_pages,
				    unsigned spc);
/* Makes a large span page_count pages long where it is, if what follows it is free. */
bool rh_span_extend(struct rh_lane *lane, struct mspan *span, size_t page_count);
/* Gives back what a large span holds beyond page_count pages, where it is. False = this page heap
 * cannot. */
bool rh_span_shorten(struct rh_lane *lane, struct mspan *span, size_t page_count);
/* Pages for stacks: SPAN_MANUAL, accounted as StackInuse. */
struct mspan *rh_span_alloc_manual(struct rh_lane *lane, size_t page_count);
/* Back to the page heap. lane may be NULL (no cache is used then). */
void rh_span_free(struct rh_lane *lane, struct mspan *span);

/* gc=explicit: keeps an empty span for the next request of its length, in bounds. */
void rh_stash_put(struct rh_lane *lane, struct mspan *span);
/* Gives all that the lane has stashed to the page heap. Returns its bytes. Heap lock held. */
uint64_t rh_stash_trim(struct rh_heap *heap, struct rh_lane *lane);
/* The same down to so many pages, the shortest spans first, or the longest. */
uint64_t rh_stash_trim_to(struct rh_heap *heap, struct rh_lane *lane, size_t pages_left,
			  bool longest);
/* Gives all stashed spans and the page cache back (lane closes). */
void rh_lane_drain_pages(struct rh_lane *lane);

/* Gives them back, and all that is free in the heap to the system, unless it is never to get
 * any (scavenge=off). Takes the heap lock. */
void rh_lane_trim_pages(struct rh_lane *lane);

struct heap_totals {
	uint64_t in_use, stack, released, mapped;
};
/* What the lanes and the heap count together. Heap lock held. */
struct heap_totals rh_heap_totals(struct rh_heap *heap);
/* Whether pages that went back to the system are known to read as zero. */
bool rh_released_is_zero(const struct rh_heap *heap);
/* Adds a lane's pending bytes to the heap's. Heap lock held. */
void rh_heap_fold(struct rh_heap *heap, struct rh_lane *lane);

/* ---- span_cache.c: heap lock held ---- */

/* Fills the lane's cache when there is little in it. False = there is nothing in it. */
bool rh_span_cache_refill(struct rh_heap *heap, struct rh_lane *lane);
/* The cache is full: half of it goes back. */
void rh_span_cache_halve(struct rh_heap *heap, struct rh_lane *lane);
/* A struct that stands for no span any more. The lane may be NULL. */
void rh_span_drop(struct rh_heap *heap, struct rh_lane *lane, struct mspan *span);

/* ---- scavenge.c ---- */

/* After pages came free: gives back what the policy says, on behalf of this lane. Heap lock held;
 * dropped around system calls while there are other lanes. */
void rh_scavenge_freed(struct rh_heap *heap, struct rh_lane *lane, uint64_t freed_bytes);
/* Where well more is kept in memory than the goal, how many pages could go back now; else 0. Heap
 * lock held. */
size_t rh_scavenge_due(const struct rh_heap *heap);
/* So many released pages are about to be used: where that raises the highest mark, free ones
 * elsewhere go first. Heap lock held; dropped as above. */
void rh_scavenge_before_growth(struct rh_heap *heap, struct rh_lane *lane, size_t scav_pages);
/* Whether so many pages of a block may be given back and faulted in again; if so it is paid for.
 * Takes the heap lock. */
bool rh_scavenge_pays_for(struct rh_lane *lane, size_t page_count);
/* Everything that is free goes back, whatever it costs. Heap lock held; dropped as above. */
void rh_scavenge_all(struct rh_heap *heap);
/* Goal after a cycle (collected modes). Heap lock held. */
void rh_scavenge_set_goal(struct rh_heap *heap, uint64_t in_use, uint64_t goal, uint64_t last_goal);
/* True when page_count more pages fit under the memory limit, after releasing what is
 * free if need be. Heap lock held. */
bool rh_limit_admits(struct rh_heap *heap, size_t page_count);

/* ---- mspan.c ---- */

/* Makes room for the bitmaps of a span class. False = exhausted. */
bool rh_span_bits(struct rh_lane *lane, struct mspan *span, unsigned spc);
/* Gives what the lane has carved no bitmaps from to the pool (lane closes). */
void rh_lane_drain_bits(struct rh_lane *lane);
/* Fresh state of a span of class spc (3.2 of the span's life: nothing allocated). */
void rh_span_init(struct rh_heap *heap, struct mspan *span, unsigned spc);
/* Next free slot, or NULL when the span has none at or above freeindex. */
void *rh_span_next(struct mspan *span);
/* Starts over at slot 0 with what alloc_bits says. */
void rh_span_rewind(struct mspan *span);
/* Debug: NULL, or what is wrong with the span. */
const char *rh_span_check(const struct rh_heap *heap, const struct mspan *span);

/* ---- structures.c ---- */

/* Lengths of all lists that are not empty. Heap lock held. */
void rh_tiered_structures(const struct rh_heap *heap, rh_stat_fn *emit, void *ctx);

#endif
