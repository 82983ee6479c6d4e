/*
 * sizeclass.h - from a size to a size class, and what a span of that class holds.
 *
 * The tables are made at start by the published rule (sizeclass.c), not written
 * down; tests compare them with the published numbers. One table per heap, because
 * profiles differ. Thread rule: constant once made.
 */
#ifndef RH_TIERED_SIZECLASS_H
#define RH_TIERED_SIZECLASS_H

#include <stddef.h>
#include <stdint.h>

#include "alloc/base/debug.h"
#include "alloc/heap/tiered/profile.h"

enum {
	TIER_PAGE_SHIFT = 13,
	TIER_PAGE = 1 << TIER_PAGE_SHIFT,
	TIER_SMALL_MAX = 32768,
	TIER_CLASS_MAX = 68, /* 67 classes and class 0, which is large */
	TIER_SPC_MAX = 2 * TIER_CLASS_MAX,
	TIER_CLASS8_COUNT = 1024 / 8 + 1,
	TIER_CLASS128_COUNT = (TIER_SMALL_MAX - 1024) / 128 + 1,
	TIER_HEADER = 8,       /* bytes before a scan block > 512 (1.22) */
	TIER_HEADER_MIN = 512, /* blocks above this size carry one */
};
_Static_assert((TIER_SMALL_MAX - 1024) % 128 == 0,
	       "the last entry of class128 is the largest size");

/* What a span class is made of. A span class is class << 1 | noscan; profiles without
 * the noscan split use the odd ones only. */
struct tier_class {
	uint32_t elem_bytes; /* 0 for class 0 */
	uint16_t page_count;
	uint16_t elem_count;   /* after the reservations of newer profiles */
	uint32_t div_mul;      /* (offset * div_mul) >> 32 is the index */
	uint16_t header_bytes; /* user pointer - slot */
	uint16_t bit_words;    /* 64-bit words of one bitmap */
};

struct tier_classes {
	unsigned class_count; /* 67 or 68 with class 0 */
	uint32_t size_max;    /* largest small request */
	struct tier_class of[TIER_SPC_MAX];
	uint8_t class8[TIER_CLASS8_COUNT];     /* by ceil(size / 8), up to 1024 */
	uint8_t class128[TIER_CLASS128_COUNT]; /* by ceil((size - 1024) / 128) */
};

void rh_classes_make(struct tier_classes *classes, const struct rh_goheap *profile);

/* The class of a size <= TIER_SMALL_MAX; size 0 counts as 1. */
static inline unsigned rh_class_of(const struct tier_classes *classes, size_t size)
{
	rh_debug_assert(size <= TIER_SMALL_MAX);
	if (size <= 1024 - 8)
		return classes->class8[(size + 7) >> 3];
	return size <= 1024 ? classes->class128[0] : classes->class128[(size - 1024 + 127) >> 7];
}

#endif
