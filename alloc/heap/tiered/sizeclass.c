/*
 * sizeclass.c - the size classes of a profile: Go's rule (alloc/base/gosizes.c), dressed
 * with what the allocator looks up in its fast paths.
 */
#include "alloc/heap/tiered/sizeclass.h"

#include <assert.h>
#include <string.h>

#include "alloc/base/gosizes.h"

_Static_assert((int)TIER_CLASS_MAX == (int)RH_GO_CLASSES_MAX &&
		       (int)TIER_SMALL_MAX == (int)RH_GO_SMALL_MAX &&
		       (int)TIER_PAGE == (int)RH_GO_PAGE && (int)TIER_HEADER == (int)RH_GO_HEADER &&
		       (int)TIER_HEADER_MIN == (int)RH_GO_HEADER_MIN,
	       "one rule, written once");

static void fill(struct tier_class *out, const struct rh_gosize *size, int noscan,
		 const struct rh_gorules *rules)
{
	out->elem_bytes = size->bytes;
	out->page_count = (uint16_t)(size->span_bytes >> TIER_PAGE_SHIFT);
	out->elem_count = (uint16_t)rh_gosize_slots(size, noscan, rules);
	/* 2^32 / size rounded up: a free finds its slot by a multiplication and a
	 * shift, where a division would cost several times as much. */
	out->div_mul = UINT32_MAX / size->bytes + 1;
	out->header_bytes =
		/* Since 1.22 scan blocks of more than 512 bytes begin with a word
		 * that names their type. */
		rules->header && !noscan && size->bytes > TIER_HEADER_MIN ? TIER_HEADER : 0;
	out->bit_words = (uint16_t)((out->elem_count + 63) / 64);
	assert((size_t)out->elem_count * out->elem_bytes <= size->span_bytes);
	/* the multiplication that stands for a division is exact up to the last slot */
	assert(((uint64_t)(out->elem_count - 1) * out->elem_bytes * out->div_mul) >> 32 ==
	       out->elem_count - 1u);
}

void rh_classes_make(struct tier_classes *classes, const struct rh_goheap *profile)
{
	const struct rh_gorules rules = {
		profile->widened,
		profile->class24,
		profile->header,
		profile->inline_marks,
	};
	struct rh_gosize sizes[RH_GO_CLASSES_MAX];
	unsigned class = 1;

	memset(classes, 0, sizeof(*classes));
	classes->class_count = rh_gosizes_make(sizes, &rules);
	/* 32,760 since 1.22: the header must fit the largest class. */
	classes->size_max = profile->header ? TIER_SMALL_MAX - TIER_HEADER : TIER_SMALL_MAX;
	for (unsigned i = 1; i < classes->class_count; i++) {
		/* Scan and noscan of one class may differ in slots: heap bitmaps are
		 * in spans with pointers only. */
		fill(&classes->of[2 * i], &sizes[i], 0, &rules);
		fill(&classes->of[2 * i + 1], &sizes[i], 1, &rules);
	}
	/* Go's two tables: steps of 8 bytes up to 1 KiB and of 128 above, where no
	 * two classes are closer. Both together are less than 400 bytes. */
	for (unsigned i = 0; i < TIER_CLASS8_COUNT; i++) {
		while (sizes[class].bytes < i * 8)
			class ++;
		assert(class < classes->class_count);
		classes->class8[i] = (uint8_t) class;
	}
	for (unsigned i = 0; i < TIER_CLASS128_COUNT; i++) {
		while (sizes[class].bytes < 1024 + i * 128)
			class ++;
		assert(class < classes->class_count);
		classes->class128[i] = (uint8_t) class;
	}
}
