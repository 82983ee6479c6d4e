/*
 * size.c - how large an object was, from the slot it got and its type.
 *
 * The recorder records neither size nor count. A slot of s bytes after a class of p bytes held
 * something in (p, s], and the type of t bytes narrows that:
 *	t fits there		the size is t
 *	t is smaller		an array of as many as fit: append fills slots so
 *	no type			bytes without pointers; the option `sizes` decides
 *
 * Programs make millions of objects of a few hundred types: what follows from type and kind of
 * span is found once for both (a shape) and looked up by them.
 */
#include <string.h>

#include "traces/import/go/go.h"

enum go_why { GO_EXACT, GO_ARRAY, GO_UNKNOWN_SIZE, GO_BLOCK_SIZE };

struct go_guess {
	uint64_t size;
	enum go_why why;
	bool tiny;
};

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

static struct go_guess guess_size(const struct go_heap *heap, const struct go_span *span,
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

/* The runtime's word for the spans that serve a size. */
static unsigned kind_of(const struct go_heap *heap, uint64_t size, bool noscan)
{
	uint64_t look = size + (!noscan && size > RH_GO_HEADER_MIN ? RH_GO_HEADER : 0);

	if (size > SMALL_MAX)
		return (unsigned)noscan << 1;
	if (noscan && size < BLOCK)
		look = BLOCK;
	return (unsigned)heap->class_at[(look + 7) / 8] << 2 | (unsigned)noscan << 1;
}

static uint8_t step_of(const struct go_type *type)
{
	if (!type || !type->size)
		return 1;
	return type->size < BLOCK ? (uint8_t)type->size : BLOCK;
}

static struct go_shape make_shape(const struct go_import *import, const struct go_span *span,
				  struct go_object_of object)
{
	static const uint8_t count_of[] = {
		[GO_EXACT] = GO_N_COUNT,
		[GO_ARRAY] = GO_N_ESTIMATE_ARRAY,
		[GO_UNKNOWN_SIZE] = GO_N_ESTIMATE_UNKNOWN,
		[GO_BLOCK_SIZE] = GO_N_ESTIMATE_BLOCK,
	};
	const struct go_type *type = rh_go_type_of(&import->types, object.type_id);
	struct go_guess guess =
		guess_size(&import->heap, span, type, import->opts.sizes, object.exists);
	bool noscan = span->kind >> 1 & 1;

	return (struct go_shape){
		.size = guess.size,
		.site = type ? type->site : RH_SITE_NONE,
		.flags = (uint16_t)(RH_EVF_SCAN_KNOWN | (noscan ? RH_EVF_NOSCAN : 0) |
				    (guess.why != GO_EXACT ? RH_EVF_ESTIMATED : 0) |
				    (guess.tiny ? RH_EVF_TINY : 0)),
		/* Go aligns by the type, 8 at most; saying so makes it a Go request. */
		.align_log2 = noscan ? 0 : 3,
		.step = step_of(type),
		.count = count_of[guess.why],
		.differs = kind_of(&import->heap, guess.size, noscan) != (span->kind & ~1u),
	};
}

const struct go_shape *rh_go_shape_make(struct go_import *import, const struct go_span *span,
					struct go_object_of object, uint64_t key)
{
	struct go_shape *shape = &import->shapes[rh_map_hash(key) >> (64 - GO_SHAPES_LOG2)];

	/* What is alone in its span has a size of its own: its shape is not kept. */
	if (!span->elem)
		shape = &import->shape;
	*shape = make_shape(import, span, object);
	shape->key = key;
	shape->type_id = object.type_id;
	return shape;
}

void rh_go_shapes_forget(struct go_import *import)
{
	memset(import->shapes, 0, sizeof(import->shapes));
}
