/*
 * gosizes.c - the rule of the size classes.
 *
 * It walks sizes upwards in steps that grow with the size (an eighth of the power of two
 * below), gives each the smallest span whose tail wastes at most an eighth, and merges a
 * size into the next when both would fit the same number of times into the same span.
 * Since 1.8 a class is then widened to the 128-byte boundary that its object count leaves
 * room for. The result is 66 classes, or 67 where the 24-byte step exists.
 */
#include "alloc/base/gosizes.h"

#include <assert.h>

static uint32_t step_of(uint32_t size, uint32_t step, const struct rh_gorules *rules)
{
	uint32_t fine_from = rules->class24 ? 32 : 16;

	/* Steps change only at powers of two, as in mksizeclasses.go. */
	if (size & (size - 1))
		return step;
	if (size >= 2048)
		return 256;
	if (size >= 128)
		return size / 8;
	return size >= fine_from ? 16 : step;
}

unsigned rh_gosizes_make(struct rh_gosize table[RH_GO_CLASSES_MAX], const struct rh_gorules *rules)
{
	unsigned count = 1;
	uint32_t step = 8;

	table[0] = (struct rh_gosize){ 0, 0 };
	for (uint32_t size = 8; size <= RH_GO_SMALL_MAX; size += step) {
		uint32_t span = RH_GO_PAGE;
		struct rh_gosize *last = &table[count - 1];

		step = step_of(size, step, rules);
		/* The rule of an eighth bounds what a span's tail can waste to 12.5
		 * %. */
		while (span % size > span / 8)
			span += RH_GO_PAGE;
		if (count > 1 && last->span_bytes == span && span / size == span / last->bytes)
			last->bytes = size;
		else
			table[count++] = (struct rh_gosize){ size, span };
	}
	assert(count <= RH_GO_CLASSES_MAX && table[count - 1].bytes == RH_GO_SMALL_MAX);
	/* After the merge, since it changes no count: a slot grows into room that the
	 * span has anyway. */
	for (unsigned i = 1; rules->widened && i < count; i++) {
		uint32_t span = table[i].span_bytes;
		uint32_t room = span / (span / table[i].bytes) & ~127u;

		if (room > table[i].bytes)
			table[i].bytes = room;
	}
	return count;
}

unsigned rh_gosize_slots(const struct rh_gosize *size, bool noscan, const struct rh_gorules *rules)
{
	uint32_t reserved = 0;

	/* Since 1.22 small spans with pointers keep their bitmap, one bit for each
	 * word, at the end of the span. */
	if (rules->header && !noscan && size->bytes <= RH_GO_HEADER_MIN)
		reserved += size->span_bytes / 64;
	if (rules->inline_marks && size->span_bytes == RH_GO_PAGE && size->bytes >= 16 &&
	    size->bytes <= RH_GO_HEADER_MIN)
		reserved += 128;
	assert(size->bytes > 0 && reserved + size->bytes <= size->span_bytes);
	return (size->span_bytes - reserved) / size->bytes;
}
