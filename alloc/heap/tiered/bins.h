/*
 * bins.h - how much a lane keeps in its bins of freed blocks (gc=explicit).
 *
 * Bytes are those of the blocks. Inside this folder only; everything by the lane's owner, without a
 * lock. The bins themselves are filled and emptied in explicit.c and tiered.c.
 */
#ifndef RH_TIERED_BINS_H
#define RH_TIERED_BINS_H

#include "alloc/heap/tiered/heap.h"

/* A bin holds at most 24 KiB, at least 2 blocks, at most 512: with 40 classes in use that
 * bounds what a lane can park at about 1 MiB (in heaps of more than 6 MiB up to 256 KiB, which
 * is a sixth of what is in use with 40 classes; bins.c), and half a bin is still enough to
 * make a flush cheap per block (systemui, instructions per event and peak MB: 8 KiB 50.0 and 9.31,
 * 16 KiB 48.1 and 9.38, 24 KiB 47.4 and 9.32, 32 KiB 47.6 and 9.41). */
enum {
	BIN_BYTES = 24576,
	BIN_BYTES_MAX = 262144,
	BIN_BYTES_MIN = 2048,
	BIN_MIN = 2,
	BIN_MAX = 512
};

static inline uint32_t rh_bin_length(const struct bin *bin)
{
	return (uint32_t)(bin->limit - bin->room);
}

/* What a bin may hold in a heap that has so much in use and so many lanes. */
uint32_t rh_bin_bytes(uint64_t in_use, unsigned lanes);
/* Sets up the limits of a new lane, whose bins are empty. */
void rh_bins_init(struct rh_lane *lane);
void rh_bin_set_limit(const struct rh_lane *lane, struct bin *bin, uint32_t bytes);

/* To what the heap allows by now. False: the bin, of blocks of `bytes`, has it; that is known here,
 * for most bins that overflow have it. */
static inline bool rh_bin_raise(const struct rh_lane *lane, struct bin *bin, uint32_t bytes)
{
	if (bin->limit >= BIN_MAX || (bin->limit + 1) * bytes > lane->bin_bytes)
		return false;
	rh_bin_set_limit(lane, bin, bytes);
	return true;
}

#endif
