/*
 * bins.c - how much a lane keeps in its bins (bins.h).
 *
 * A bin's limit follows the heap: small heaps have small bins, and a bin that overflows first gets
 * what the heap allows by now.
 */
#include "alloc/heap/tiered/bins.h"

#include <assert.h>

/* In small heaps less: forty bins of 24 KiB hold on to spans of which nothing lives (bash: 0.54
 * MB where glibc has 0.23, 0.45 so, and 0.38 with 2 KiB at least rather than 6, at the same
 * instructions). */
enum { BIN_SHARE = 64 };

/* Slots that go into an empty bin at once: few enough to stay in memory that the block
 * itself touches or will touch soon. */
enum { BATCH_BYTES = 1024, BATCH_MAX = 31 };
_Static_assert(BIN_MAX <= UINT16_MAX, "limits are kept in 16 bits");

static unsigned limit_of(uint32_t block_bytes, uint32_t bin_bytes)
{
	uint32_t limit = block_bytes ? bin_bytes / block_bytes : 0;

	return limit < BIN_MIN ? BIN_MIN : limit > BIN_MAX ? BIN_MAX : limit;
}

uint32_t rh_bin_bytes(uint64_t in_use)
{
	uint64_t bytes = in_use / BIN_SHARE;

	return bytes < BIN_BYTES_MIN ? BIN_BYTES_MIN
	       : bytes > BIN_BYTES   ? BIN_BYTES
				     : (uint32_t)bytes;
}

void rh_bins_init(struct rh_lane *lane)
{
	lane->bin_bytes = BIN_BYTES_MIN;
	for (unsigned spc = 2; spc < TIER_SPC_MAX; spc++) {
		uint32_t bytes = lane->heap->classes.of[spc].elem_bytes;
		unsigned limit = limit_of(bytes, lane->bin_bytes);

		lane->bin[spc].limit = (uint16_t)limit;
		lane->bin[spc].room = (int32_t)limit;
		unsigned batch = bytes ? BATCH_BYTES / bytes : 0;

		lane->bin[spc].batch = (uint8_t)(batch < BATCH_MAX ? batch : BATCH_MAX);
		assert(lane->bin[spc].batch <= limit); /* filling an empty bin never overflows it */
	}
}

void rh_bin_set_limit(const struct rh_lane *lane, struct bin *bin, uint32_t bytes)
{
	unsigned limit = limit_of(bytes, lane->bin_bytes);

	bin->room += (int32_t)limit - bin->limit;
	bin->limit = (uint16_t)limit;
}
