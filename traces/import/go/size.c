/*
 * size.c - see size.h.
 */
#include "traces/import/go/size.h"

enum { BLOCK = 16, TINY_USUAL = 8, SMALL_MAX = RH_GO_SMALL_MAX - RH_GO_HEADER };

/* Sizes that a slot can have held: more than `above`, at most `most`. */
struct range {
	uint64_t above, most;
};

static struct range range_of(const struct go_heap *heap, const struct go_span *span)
{
	const struct go_class *class = &heap->classes[span->kind >> 2];
	bool noscan = span->kind >> 1 & 1;
	uint64_t bytes = (uint64_t)span->pages * RH_GO_PAGE;
	uint64_t header = !noscan && span->elem > RH_GO_HEADER_MIN ? RH_GO_HEADER : 0;
	struct range range;

	if (!span->elem) {
		range = (struct range){ bytes - RH_GO_PAGE, bytes };
		if (range.above < SMALL_MAX)
			range.above = SMALL_MAX;
		return range;
	}
	range = (struct range){ class->prev > header ? class->prev - header : 0,
				span->elem - header };
	/* 513 is the first size with a header, and with it more than the class of 512. */
	if (header && range.above < RH_GO_HEADER_MIN)
		range.above = RH_GO_HEADER_MIN;
	if (range.most > SMALL_MAX)
		range.most = SMALL_MAX;
	return range;
}

static uint64_t unknown(const struct range *range, int policy)
{
	switch (policy) {
	case GO_SIZES_MIDDLE:
		return range->above + (range->most - range->above + 1) / 2;
	case GO_SIZES_SMALLEST:
		return range->above + 1;
	}
	return range->most;
}

/* A slot of the 16-byte class without pointers. Before 1.24 only the object that takes a new block
 * is recorded, which then stands for the whole block. */
static struct go_guess in_block(const struct go_heap *heap, const struct go_type *type, bool exists)
{
	if (exists || (!heap->parts_seen && (!type || type->size < BLOCK)))
		return (struct go_guess){ BLOCK, GO_BLOCK_SIZE, true };
	if (!type || type->size == 0)
		return (struct go_guess){ TINY_USUAL, GO_UNKNOWN_SIZE, true };
	if (type->size < BLOCK)
		return (struct go_guess){ type->size, type->size > BLOCK / 2 ? GO_EXACT : GO_ARRAY,
					  true };
	return (struct go_guess){ BLOCK, type->size == BLOCK ? GO_EXACT : GO_UNKNOWN_SIZE, false };
}

struct go_guess rh_go_size_of(const struct go_heap *heap, const struct go_span *span,
			      const struct go_type *type, int policy, bool exists)
{
	struct range range = range_of(heap, span);
	uint64_t whole;

	if (span->blocks)
		return in_block(heap, type, exists);
	if (type && type->size > range.above && type->size <= range.most)
		return (struct go_guess){ type->size, GO_EXACT, false };
	if (type && type->size && type->size <= range.above) {
		whole = range.most / type->size * type->size;
		if (whole > range.above)
			return (struct go_guess){ whole, GO_ARRAY, false };
	}
	return (struct go_guess){ unknown(&range, policy), GO_UNKNOWN_SIZE, false };
}

unsigned rh_go_kind_of(const struct go_heap *heap, uint64_t size, bool noscan)
{
	uint64_t look = size + (!noscan && size > RH_GO_HEADER_MIN ? RH_GO_HEADER : 0);

	if (size > SMALL_MAX)
		return (unsigned)noscan << 1;
	if (noscan && size < BLOCK)
		look = BLOCK;
	return (unsigned)heap->class_at[(look + 7) / 8] << 2 | (unsigned)noscan << 1;
}
