/*
 * summary.h - summaries of the radix page heap.
 *
 *	63   62..42   41..21   20..0
 *	all | end   | max    | start		all = 16 GiB, the longest range, are free
 *
 * Inside this folder only, under the heap lock.
 */
#ifndef RH_TIERED_SUMMARY_H
#define RH_TIERED_SUMMARY_H

#include "alloc/heap/tiered/pages.h"

#define SUM_FIELD    ((1u << 21) - 1) /* 21 bits of pages in a field */
#define SUM_ALL_FREE ((uint64_t)1 << 63)

struct sum_runs {
	uint32_t start, max, end;
};

static inline struct sum_runs rh_sum_runs(uint64_t sum)
{
	if (sum & SUM_ALL_FREE)
		return (struct sum_runs){ SUM_FIELD + 1, SUM_FIELD + 1, SUM_FIELD + 1 };
	return (struct sum_runs){ sum & SUM_FIELD, sum >> 21 & SUM_FIELD, sum >> 42 & SUM_FIELD };
}

uint64_t rh_sum_chunk(const struct page_chunk *chunk);
/* The same after pages low..high-1 of it were all freed, or all taken, from what it was before. */
uint64_t rh_sum_changed(const struct page_chunk *chunk, uint64_t was, uint32_t low, uint32_t high,
			bool freed);
/* Of eight ranges of child_pages each, one after another. */
uint64_t rh_sum_merge(const uint64_t *sums, uint32_t child_pages);

#endif
