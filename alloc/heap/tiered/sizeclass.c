/*
 * sizeclass.c - makes the size classes.
 *
 * The rule walks sizes upwards in steps that grow with the size (an eighth of the
 * power of two below), gives each the smallest span whose tail wastes at most an
 * eighth, and merges a size into the next when both would fit the same number of
 * times into the same span. Newer profiles then widen a class to the 128-byte
 * boundary that its object count leaves room for. The result is 66 classes, or 67
 * where the 24-byte step exists.
 */
#include "alloc/heap/tiered/sizeclass.h"

#include <string.h>

struct raw_class { uint32_t size, span; };

static uint32_t step_of(uint32_t size, uint32_t step, const struct tier_profile *profile)
{
	uint32_t fine_from = profile->class24 ? 32 : 16;

	if (size & (size - 1))
		return step;
	if (size >= 2048)
		return 256;
	if (size >= 128)
		return size / 8;
	return size >= fine_from ? 16 : step;
}

static unsigned make_raw(struct raw_class *raw, const struct tier_profile *profile)
{
	unsigned count = 1;
	uint32_t step = 8;

	raw[0] = (struct raw_class){ 0, 0 };
	for (uint32_t size = 8; size <= TIER_SMALL_MAX; size += step) {
		uint32_t span = TIER_PAGE;
		struct raw_class *last = &raw[count - 1];

		step = step_of(size, step, profile);
		while (span % size > span / 8)
			span += TIER_PAGE;
		if (count > 1 && last->span == span && span / size == span / last->size)
			last->size = size;
		else
			raw[count++] = (struct raw_class){ size, span };
	}
	if (profile->widened) {
		for (unsigned i = 1; i < count; i++) {
			uint32_t room = raw[i].span / (raw[i].span / raw[i].size) & ~127u;

			if (room > raw[i].size)
				raw[i].size = room;
		}
	}
	return count;
}

/* Bytes at the end of a span that hold bitmaps instead of objects. */
static uint32_t reserved(const struct raw_class *raw, int noscan,
			 const struct tier_profile *profile)
{
	uint32_t bytes = 0;

	if (profile->header && !noscan && raw->size <= TIER_HEADER_MIN)
		bytes += raw->span / 64;
	if (profile->inline_marks && raw->span == TIER_PAGE && raw->size >= 16 &&
	    raw->size <= TIER_HEADER_MIN)
		bytes += 128;
	return bytes;
}

static void fill(struct tier_class *out, const struct raw_class *raw, int noscan,
		 const struct tier_profile *profile)
{
	out->elem_bytes = raw->size;
	out->page_count = (uint16_t)(raw->span >> TIER_PAGE_SHIFT);
	out->elem_count = (uint16_t)((raw->span - reserved(raw, noscan, profile)) / raw->size);
	out->div_mul = UINT32_MAX / raw->size + 1;
	out->header_bytes = profile->header && !noscan && raw->size > TIER_HEADER_MIN ?
			    TIER_HEADER : 0;
	out->bit_words = (uint16_t)((out->elem_count + 63) / 64);
}

void rh_classes_make(struct tier_classes *classes, const struct tier_profile *profile)
{
	struct raw_class raw[TIER_CLASS_MAX + 1];
	unsigned class = 1;

	memset(classes, 0, sizeof(*classes));
	classes->class_count = make_raw(raw, profile);
	classes->size_max = profile->header ? TIER_SMALL_MAX - TIER_HEADER : TIER_SMALL_MAX;
	for (unsigned i = 1; i < classes->class_count; i++) {
		fill(&classes->of[2 * i], &raw[i], 0, profile);
		fill(&classes->of[2 * i + 1], &raw[i], 1, profile);
	}
	for (unsigned i = 0; i < TIER_CLASS8_COUNT; i++) {
		while (raw[class].size < i * 8)
			class++;
		classes->class8[i] = (uint8_t)class;
	}
	for (unsigned i = 0; i < TIER_CLASS128_COUNT; i++) {
		while (raw[class].size < 1024 + i * 128)
			class++;
		classes->class128[i] = (uint8_t)class;
	}
}
