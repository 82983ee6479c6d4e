/*
 * ranges.c - see ranges.h: libc's search tree, in which ranges that overlap are equal.
 */
#include "traces/record/ranges.h"

#include <assert.h>
#include <search.h>
#include <stdlib.h>

#include "traces/format/event.h"

static int compare(const void *one, const void *two)
{
	const struct rh_range *a = one, *b = two;

	return a->high <= b->low ? -1 : a->low >= b->high ? 1 : 0;
}

static bool insert(struct rh_ranges *ranges, uint64_t low, uint64_t high, uint32_t how)
{
	struct rh_range *range;

	if (low >= high)
		return true;
	range = malloc(sizeof *range);
	if (!range)
		return false;
	*range = (struct rh_range){ low, high, how };
	if (!tsearch(range, &ranges->root, compare)) {
		free(range);
		return false;
	}
	return true;
}

bool rh_ranges_add(struct rh_ranges *ranges, uint64_t low, uint64_t bytes, uint32_t how)
{
	if (low + bytes < low)
		return true; /* such a range is impossible */
	if (how != RH_MAP_FILE)
		ranges->memory += bytes;
	if (ranges->memory > ranges->memory_peak)
		ranges->memory_peak = ranges->memory;
	return insert(ranges, low, low + bytes, how);
}

int rh_ranges_cut(struct rh_ranges *ranges, uint64_t low, uint64_t bytes, struct rh_range *piece)
{
	struct rh_range probe = { low, low + bytes, 0 }, was, *range;
	void *found = probe.low < probe.high ? tfind(&probe, &ranges->root, compare) : NULL;

	if (!found)
		return 0;
	range = *(struct rh_range **)found;
	was = *range;
	assert(was.low < probe.high && was.high > probe.low);
	tdelete(range, &ranges->root, compare);
	free(range);
	*piece = was;
	if (piece->low < probe.low)
		piece->low = probe.low;
	if (piece->high > probe.high)
		piece->high = probe.high;
	if (was.how != RH_MAP_FILE) {
		assert(ranges->memory >= piece->high - piece->low);
		ranges->memory -= piece->high - piece->low;
	}
	return insert(ranges, was.low, piece->low, was.how) &&
			       insert(ranges, piece->high, was.high, was.how)
		       ? 1
		       : -1;
}

void rh_ranges_close(struct rh_ranges *ranges)
{
	tdestroy(ranges->root, free);
	ranges->root = NULL;
}
