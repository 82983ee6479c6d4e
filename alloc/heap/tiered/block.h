/*
 * block.h - from a request to a span class, and the debug shadow of live blocks.
 * Inside this folder only.
 */
#ifndef RH_TIERED_BLOCK_H
#define RH_TIERED_BLOCK_H

#include "alloc/backend.h"
#include "alloc/heap/tiered/heap.h"

/* Where a request goes. */
struct place {
	unsigned spc; /* 0, 1: large */
	size_t align; /* large: alignment in bytes, a power of two */
	bool plain;   /* of a caller of malloc, whose class another may serve */
	bool tiny;    /* noscan, under 16 bytes, needs no more than natural alignment */
};

struct place rh_place(const struct rh_heap *heap, size_t size, size_t align, uint32_t flags);

/* Large blocks (large.c). */
void *rh_large_alloc(struct rh_lane *lane, size_t size, const struct place *place, uint32_t flags);

/* For a caller of malloc: of what the lane's last large blocks left, or NULL. */
void *rh_large_again(struct rh_lane *lane, size_t size);
/* gc=explicit: makes a large block longer or shorter where it is. False = it has to move. */
bool rh_large_resize(struct rh_lane *lane, void *p, size_t size);
/* What to ask for when a block of this span moves to grow to `size` bytes. */
size_t rh_large_room(struct rh_lane *lane, const struct mspan *span, size_t size);

/* Debug builds: what the user holds. On a double or wild free these print the span and
 * its class and abort. In other builds nothing. */
void rh_live_begin(struct rh_lane *lane, const void *p);
void rh_live_end(struct rh_lane *lane, const void *p);

#endif
