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

/* In heaps of more than 6 MiB bins grow again, for 24 KiB are one or two blocks of 8 to 32 KiB,
 * which then go to their spans and back at every second call (3000 blocks of 1 to 32 KiB replaced
 * at random, 50 MB: 161 instructions an event with 24 KiB, 102 with a 512th of what is in use, 76
 * so; the peak is the same), by the lanes there are. */
enum { BIN_SHARE_LARGE = 256 };

/* Slots that go into an empty bin at once: few enough to stay in memory that the block
 * itself touches or will touch soon. */
enum { BATCH_BYTES = 1024, BATCH_MAX = 31 };
_Static_assert(BIN_MAX <= UINT16_MAX, "limits are kept in 16 bits");

static unsigned limit_of(uint32_t block_bytes, uint32_t bin_bytes)
{
	uint32_t limit = block_bytes ? bin_bytes / block_bytes : 0;

	return limit < BIN_MIN ? BIN_MIN : limit > BIN_MAX ? BIN_MAX : limit;
}

uint32_t rh_bin_bytes(uint64_t in_use, unsigned lanes)
{
	uint64_t bytes = in_use / BIN_SHARE, large = in_use / BIN_SHARE_LARGE;

	if (lanes > 1)
		large /= lanes;
	if (large > BIN_BYTES)
		return large > BIN_BYTES_MAX ? BIN_BYTES_MAX : (uint32_t)large;
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
