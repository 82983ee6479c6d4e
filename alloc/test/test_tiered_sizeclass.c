/*
 * test_tiered_sizeclass.c - the generated classes against the published numbers, for
 * every profile; the way from a size to a class; the division by multiplication.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "alloc/backend.h"
#include "alloc/heap/tiered/block.h"
#include "alloc/heap/tiered/heap.h"
#include "alloc/heap/tiered/lane.h"
#include "alloc/heap/tiered/serves.h"
#include "alloc/heap/tiered/sizeclass.h"
#include "alloc/registry.h"

/* Published: size, pages, objects up to 1.21, scan objects 1.22 to 1.25, scan and noscan
 * objects of 1.26. */
struct published {
	uint32_t size, pages, objects, scan22, scan26, noscan26;
};

static const struct published published[] = {
	{ 8, 1, 1024, 1008, 1008, 1024 }, { 16, 1, 512, 504, 496, 504 },
	{ 24, 1, 341, 336, 330, 336 },	  { 32, 1, 256, 252, 248, 252 },
	{ 48, 1, 170, 168, 165, 168 },	  { 64, 1, 128, 126, 124, 126 },
	{ 80, 1, 102, 100, 99, 100 },	  { 96, 1, 85, 84, 82, 84 },
	{ 112, 1, 73, 72, 70, 72 },	  { 128, 1, 64, 63, 62, 63 },
	{ 144, 1, 56, 56, 55, 56 },	  { 160, 1, 51, 50, 49, 50 },
	{ 176, 1, 46, 45, 45, 45 },	  { 192, 1, 42, 42, 41, 42 },
	{ 208, 1, 39, 38, 38, 38 },	  { 224, 1, 36, 36, 35, 36 },
	{ 240, 1, 34, 33, 33, 33 },	  { 256, 1, 32, 31, 31, 31 },
	{ 288, 1, 28, 28, 27, 28 },	  { 320, 1, 25, 25, 24, 25 },
	{ 352, 1, 23, 22, 22, 22 },	  { 384, 1, 21, 21, 20, 21 },
	{ 416, 1, 19, 19, 19, 19 },	  { 448, 1, 18, 18, 17, 18 },
	{ 480, 1, 17, 16, 16, 16 },	  { 512, 1, 16, 15, 15, 15 },
	{ 576, 1, 14, 14, 14, 14 },	  { 640, 1, 12, 12, 12, 12 },
	{ 704, 1, 11, 11, 11, 11 },	  { 768, 1, 10, 10, 10, 10 },
	{ 896, 1, 9, 9, 9, 9 },		  { 1024, 1, 8, 8, 8, 8 },
	{ 1152, 1, 7, 7, 7, 7 },	  { 1280, 1, 6, 6, 6, 6 },
	{ 1408, 2, 11, 11, 11, 11 },	  { 1536, 1, 5, 5, 5, 5 },
	{ 1792, 2, 9, 9, 9, 9 },	  { 2048, 1, 4, 4, 4, 4 },
	{ 2304, 2, 7, 7, 7, 7 },	  { 2688, 1, 3, 3, 3, 3 },
	{ 3072, 3, 8, 8, 8, 8 },	  { 3200, 2, 5, 5, 5, 5 },
	{ 3456, 3, 7, 7, 7, 7 },	  { 4096, 1, 2, 2, 2, 2 },
	{ 4864, 3, 5, 5, 5, 5 },	  { 5376, 2, 3, 3, 3, 3 },
	{ 6144, 3, 4, 4, 4, 4 },	  { 6528, 4, 5, 5, 5, 5 },
	{ 6784, 5, 6, 6, 6, 6 },	  { 6912, 6, 7, 7, 7, 7 },
	{ 8192, 1, 1, 1, 1, 1 },	  { 9472, 7, 6, 6, 6, 6 },
	{ 9728, 6, 5, 5, 5, 5 },	  { 10240, 5, 4, 4, 4, 4 },
	{ 10880, 4, 3, 3, 3, 3 },	  { 12288, 3, 2, 2, 2, 2 },
	{ 13568, 5, 3, 3, 3, 3 },	  { 14336, 7, 4, 4, 4, 4 },
	{ 16384, 2, 1, 1, 1, 1 },	  { 18432, 9, 4, 4, 4, 4 },
	{ 19072, 7, 3, 3, 3, 3 },	  { 20480, 5, 2, 2, 2, 2 },
	{ 21760, 8, 3, 3, 3, 3 },	  { 24576, 3, 1, 1, 1, 1 },
	{ 27264, 10, 3, 3, 3, 3 },	  { 28672, 7, 2, 2, 2, 2 },
	{ 32768, 4, 1, 1, 1, 1 },
};
enum { CLASSES = sizeof(published) / sizeof(published[0]) };

static void make(struct tier_classes *classes, int profile)
{
	memset(classes, 0xff, sizeof(*classes));
	rh_classes_make(classes, &rh_tier_profiles[profile]);
}

static void check_class(const struct tier_class *class, const struct published *row,
			uint32_t objects)
{
	assert_int_equal(class->elem_bytes, row->size);
	assert_int_equal(class->page_count, row->pages);
	assert_int_equal(class->elem_count, objects);
}

static void newest_tables_are_the_published_ones(void **state)
{
	struct tier_classes classes;

	(void)state;
	for (int profile = rh_tier_profile_of("1.16"); profile < TIER_PROFILE_COUNT; profile++) {
		const struct rh_goheap *p = &rh_tier_profiles[profile];

		make(&classes, profile);
		assert_int_equal(classes.class_count, CLASSES + 1);
		for (unsigned i = 0; i < CLASSES; i++) {
			const struct published *row = &published[i];

			check_class(&classes.of[2 * i + 2], row,
				    p->inline_marks ? row->scan26
				    : p->header	    ? row->scan22
						    : row->objects);
			check_class(&classes.of[2 * i + 3], row,
				    p->inline_marks ? row->noscan26 : row->objects);
		}
	}
}

static void older_tables_lack_the_24_byte_class(void **state)
{
	struct tier_classes classes;

	(void)state;
	for (int profile = rh_tier_profile_of("1.8"); profile < rh_tier_profile_of("1.16");
	     profile++) {
		unsigned class = 1;

		make(&classes, profile);
		assert_int_equal(classes.class_count, CLASSES);
		for (unsigned i = 0; i < CLASSES; i++) {
			if (published[i].size == 24)
				continue;
			check_class(&classes.of[2 * class + 1], &published[i],
				    published[i].objects);
			class ++;
		}
		assert_int_equal(class, CLASSES);
	}
}

/* Without widening these 18 sizes replace the wide ones. */
static void unwidened_sizes_are_the_older_ones(void **state)
{
	static const uint32_t narrow[][2] = {
		{ 1664, 1792 },	  { 2560, 2688 },   { 2816, 3072 },   { 3072, 3200 },
		{ 3328, 3456 },	  { 4608, 4864 },   { 6400, 6528 },   { 6656, 6784 },
		{ 8448, 9472 },	  { 8704, 9728 },   { 9472, 10240 },  { 10496, 10880 },
		{ 14080, 14336 }, { 16640, 18432 }, { 17664, 19072 }, { 21248, 21760 },
		{ 24832, 27264 }, { 28416, 28672 },
	};
	struct rh_goheap old = rh_tier_profiles[rh_tier_profile_of("1.8")];
	struct tier_classes narrowed, wide;
	unsigned differ = 0;

	(void)state;
	old.widened = false;
	rh_classes_make(&narrowed, &old);
	make(&wide, rh_tier_profile_of("1.8"));
	assert_int_equal(narrowed.class_count, wide.class_count);
	for (unsigned i = 1; i < wide.class_count; i++) {
		if (narrowed.of[2 * i + 1].elem_bytes == wide.of[2 * i + 1].elem_bytes)
			continue;
		assert_true(differ < 18);
		assert_int_equal(narrowed.of[2 * i + 1].elem_bytes, narrow[differ][0]);
		assert_int_equal(wide.of[2 * i + 1].elem_bytes, narrow[differ][1]);
		differ++;
	}
	assert_int_equal(differ, 18);
}

static void every_size_gets_the_smallest_class_that_holds_it(void **state)
{
	struct tier_classes classes;

	(void)state;
	for (int profile = 0; profile < TIER_PROFILE_COUNT; profile++) {
		unsigned class = 1;

		make(&classes, profile);
		for (uint32_t size = 1; size <= TIER_SMALL_MAX; size++) {
			while (classes.of[2 * class + 1].elem_bytes < size)
				class ++;
			assert_int_equal(rh_class_of(&classes, size), class);
		}
		assert_int_equal(rh_class_of(&classes, 0), 1);
		assert_int_equal(classes.size_max,
				 rh_tier_profiles[profile].header ? 32760 : 32768);
	}
}

static void every_offset_finds_its_slot(void **state)
{
	struct tier_classes classes;

	(void)state;
	make(&classes, rh_tier_profile_of(TIER_PROFILE_DEFAULT));
	for (unsigned spc = 2; spc < 2 * classes.class_count; spc++) {
		const struct tier_class *class = &classes.of[spc];
		struct mspan span = { .base = 1u << 20,
				      .div_mul = class->div_mul,
				      .elem_bytes = class->elem_bytes };
		uint32_t bytes = (uint32_t) class->page_count << TIER_PAGE_SHIFT;

		for (uint32_t at = 0; at < bytes; at++)
			assert_int_equal(rh_span_index(&span, (void *)(span.base + at)),
					 at / class->elem_bytes);
	}
}

static struct place place_of(struct rh_heap *heap, const char *version, size_t size, size_t align,
			     uint32_t flags)
{
	int profile = rh_tier_profile_of(version);

	heap->profile = &rh_tier_profiles[profile];
	make(&heap->classes, profile);
	return rh_place(heap, size, align, flags);
}

static void requests_go_where_their_alignment_and_kind_say(void **state)
{
	static struct rh_heap heap;
	struct place place;

	(void)state;
	/* malloc: 16-byte alignment, laid out as noscan, never tiny */
	place = place_of(&heap, "1.17", 24, 0, 0);
	assert_int_equal(heap.classes.of[place.spc].elem_bytes, 32);
	assert_int_equal(place.spc & 1, 1);
	assert_false(place.tiny);
	/* Go: the class of the size, scan or not */
	place = place_of(&heap, "1.17", 24, 8, 0);
	assert_int_equal(place.spc, 3 << 1);
	place = place_of(&heap, "1.17", 24, 8, RH_ALLOC_NOSCAN);
	assert_int_equal(place.spc, 3 << 1 | 1);
	place = place_of(&heap, "1.17", 10, 0, RH_ALLOC_NOSCAN);
	assert_true(place.tiny);
	assert_int_equal(place.spc, 5);
	place = place_of(&heap, "1.17", 10, 8, RH_ALLOC_NOSCAN);
	assert_false(place.tiny);
	/* 1.8 has no scan classes */
	place = place_of(&heap, "1.8", 100, 8, 0);
	assert_int_equal(place.spc & 1, 1);
	/* headers of 1.22: 513 bytes and 8 more are class 576, 1024 and 8 are 1152 */
	place = place_of(&heap, "1.22", 512, 8, 0);
	assert_int_equal(heap.classes.of[place.spc].elem_bytes, 512);
	place = place_of(&heap, "1.22", 1024, 8, 0);
	assert_int_equal(heap.classes.of[place.spc].elem_bytes, 1152);
	assert_int_equal(heap.classes.of[place.spc].header_bytes, 8);
	place = place_of(&heap, "1.22", 1024, 8, RH_ALLOC_NOSCAN);
	assert_int_equal(heap.classes.of[place.spc].elem_bytes, 1024);
	place = place_of(&heap, "1.22", 32761, 8, RH_ALLOC_NOSCAN);
	assert_int_equal(place.spc, 1);
	place = place_of(&heap, "1.17", 32768, 8, RH_ALLOC_NOSCAN);
	assert_int_equal(heap.classes.of[place.spc].elem_bytes, 32768);
	/* every alignment up to a page has a class whose slots have it */
	for (size_t align = 16; align <= 8192; align *= 2) {
		place = place_of(&heap, "1.17", 40, align, 0);
		assert_int_equal(heap.classes.of[place.spc].elem_bytes % align, 0);
	}
	place = place_of(&heap, "1.17", 40, 16384, 0);
	assert_int_equal(place.spc, 1);
}

/* The span class of a table's bin for a size; 0 = the slow path decides. */
static unsigned class_in_table(const struct bin_table *table, size_t size)
{
	uint16_t offset =
		size <= 1024 ? table->of8[(size + 7) / 8] : table->of128[(size - 1024 + 127) / 128];

	return (unsigned)((offset - rh_bin_offset(0)) / sizeof(struct bin));
}

/* How many sizes the table answers, none of them wrongly. */
static unsigned answers(const struct rh_lane *lane, const struct bin_table *table, size_t align,
			uint32_t flags)
{
	const struct rh_heap *heap = lane->heap;
	unsigned count = 0;

	for (size_t size = 0; size <= TIER_SMALL_MAX; size++) {
		struct place place = rh_place(heap, size, align, flags);
		unsigned spc = class_in_table(table, size);

		if (place.plain && place.spc > 1)
			place.spc = 2u * lane->serves[place.spc / 2] + 1;
		count += spc != 0;
		if (spc && spc != place.spc)
			fail_msg("%s: %zu bytes to bin %u", heap->profile->name, size, spc);
	}
	return count;
}

static void tables_of_bins_say_what_the_rule_says(void **state)
{
	enum { ALL = TIER_SMALL_MAX + 1 };
	struct rh_heap *heap;
	struct rh_lane *lane;
	struct rh_err err;

	(void)state;
	for (int profile = 0; profile < TIER_PROFILE_COUNT; profile++) {
		struct tier_knobs knobs = { .profile = profile, .gogc = 100 };
		bool header = rh_tier_profiles[profile].header;
		const struct bin_table *scan, *noscan;

		assert_int_equal(rh_tiered_open(&heap, &knobs, NULL, &err), 0);
		assert_int_equal(rh_tiered_lane_open(heap, &lane, &err), 0);
		rh_serves_go(lane);
		scan = &lane->go[0];
		noscan = &lane->go[1];
		assert_in_range(answers(lane, &lane->plain, 0, 0), ALL - 128, ALL);
		assert_in_range(answers(lane, &lane->plain, 1, 0), ALL - 128, ALL);
		assert_in_range(answers(lane, scan, 8, 0), header ? 28000 : ALL, ALL);
		assert_in_range(answers(lane, scan, 2, 0), header ? 28000 : ALL, ALL);
		assert_in_range(answers(lane, noscan, 8, RH_ALLOC_NOSCAN), ALL - 128, ALL);
		assert_in_range(answers(lane, noscan, 0, RH_ALLOC_NOSCAN), ALL - 128, ALL);
		rh_tiered_lane_close(lane);
		rh_tiered_close(heap);
	}
}

/* Twenty medium sizes, two blocks of each, and then many of one. */
static void a_size_in_demand_gets_its_own_class(void **state)
{
	enum { SIZE = 6784, MANY = 200 };
	struct tier_knobs knobs = { .profile = rh_tier_profile_of("1.17"), .gogc = 100 };
	unsigned own, server;
	void *few[2], *many[MANY];
	struct rh_heap *heap;
	struct rh_lane *lane;
	struct rh_err err;

	(void)state;
	assert_int_equal(rh_tiered_open(&heap, &knobs, NULL, &err), 0);
	assert_int_equal(rh_tiered_lane_open(heap, &lane, &err), 0);
	own = rh_place(heap, SIZE, 0, 0).spc;
	server = class_in_table(&lane->plain, SIZE);
	assert_int_equal(heap->classes.of[own].elem_bytes, SIZE);
	assert_int_equal(heap->classes.of[server].elem_bytes, 8192);
	/* Go's callers have it from the start; their tables are made when the first of them asks.
	 */
	assert_int_equal(class_in_table(&lane->go[1], SIZE), 0);
	assert_int_equal(
		rh_span_of(heap, rh_backend_tiered.alloc_as(lane, SIZE, 8, RH_ALLOC_NOSCAN))->spc,
		own);
	assert_int_equal(class_in_table(&lane->go[1], SIZE), own);
	for (unsigned i = 0; i < 2; i++) {
		few[i] = rh_backend_tiered.alloc(lane, SIZE);
		assert_int_equal(rh_span_of(heap, few[i])->spc, server);
	}
	for (unsigned i = 0; i < MANY; i++)
		many[i] = rh_backend_tiered.alloc(lane, SIZE);
	assert_int_equal(class_in_table(&lane->plain, SIZE), own);
	assert_int_equal(rh_span_of(heap, many[MANY - 1])->spc, own);
	/* Its neighbour is asked for by nobody and stays where it is. */
	assert_int_equal(class_in_table(&lane->plain, 6528), server);
	for (unsigned i = 0; i < MANY; i++)
		rh_backend_tiered.free(lane, many[i], SIZE);
	for (unsigned i = 0; i < 2; i++)
		rh_backend_tiered.free(lane, few[i], SIZE);
	rh_tiered_lane_close(lane);
	rh_tiered_close(heap);
}

/* Small sizes share a page with their neighbours until they fill it. */
static void small_sizes_share_their_first_page(void **state)
{
	enum { BLOCKS = 72 }; /* 32 of 256 bytes to a span, and two of them */
	static const size_t sizes[] = { 200, 224, 240, 256 };
	struct tier_knobs knobs = { .profile = rh_tier_profile_of("1.17"), .gogc = 100 };
	void *first[4], *many[BLOCKS];
	struct rh_heap *heap;
	struct rh_lane *lane;
	struct rh_err err;

	(void)state;
	assert_int_equal(rh_tiered_open(&heap, &knobs, NULL, &err), 0);
	assert_int_equal(rh_tiered_lane_open(heap, &lane, &err), 0);
	for (int i = 0; i < 4; i++) {
		first[i] = rh_backend_tiered.alloc(lane, sizes[i]);
		assert_ptr_equal(rh_span_of(heap, first[i]), rh_span_of(heap, first[0]));
	}
	for (int i = 0; i < BLOCKS; i++)
		many[i] = rh_backend_tiered.alloc(lane, 240);
	assert_int_equal(rh_span_of(heap, many[0])->elem_bytes, 256);
	assert_int_equal(rh_span_of(heap, many[BLOCKS - 1])->elem_bytes, 240);
	assert_int_equal(heap->classes.of[class_in_table(&lane->plain, 224)].elem_bytes, 256);
	assert_null(rh_tiered_check(heap));
	for (int i = 0; i < BLOCKS; i++)
		rh_backend_tiered.free(lane, many[i], 240);
	for (int i = 0; i < 4; i++)
		rh_backend_tiered.free(lane, first[i], sizes[i]);
	rh_tiered_lane_close(lane);
	rh_tiered_close(heap);
}

/* 24 bytes have a class of their own that is not aligned to 16: however many there are, they are
 * served by that of 32. */
static void a_class_in_demand_is_still_aligned(void **state)
{
	enum { BLOCKS = 3000 };
	struct tier_knobs knobs = { .profile = rh_tier_profile_of("1.17"), .gogc = 100 };
	static void *block[BLOCKS];
	struct rh_heap *heap;
	struct rh_lane *lane;
	struct rh_err err;

	(void)state;
	assert_int_equal(rh_tiered_open(&heap, &knobs, NULL, &err), 0);
	assert_int_equal(rh_tiered_lane_open(heap, &lane, &err), 0);
	for (size_t size = 16; size <= 2048; size += 7) {
		for (int i = 0; i < BLOCKS; i++) {
			block[i] = rh_backend_tiered.alloc(lane, size);
			assert_int_equal((uintptr_t)block[i] % 16, 0);
		}
		for (int i = 0; i < BLOCKS; i++)
			rh_backend_tiered.free(lane, block[i], size);
	}
	rh_tiered_lane_close(lane);
	rh_tiered_close(heap);
}

/* A block that is to be aligned takes the last one freed of its size, rounded up, if that one is;
 * and none that is not. */
static void aligned_blocks_use_the_bins_of_their_size(void **state)
{
	struct tier_knobs knobs = { .profile = rh_tier_profile_of(TIER_PROFILE_DEFAULT),
				    .gogc = 100 };
	const struct rh_backend *ops = &rh_backend_tiered;
	struct rh_heap *heap;
	struct rh_lane *lane;
	struct rh_err err;

	(void)state;
	assert_int_equal(rh_tiered_open(&heap, &knobs, NULL, &err), 0);
	assert_int_equal(rh_tiered_lane_open(heap, &lane, &err), 0);
	for (size_t align = 16; align <= TIER_PAGE; align *= 2) {
		for (size_t size = 1; size <= TIER_SMALL_MAX; size = size * 5 / 4 + 1) {
			size_t up = (size + align - 1) & -align;
			char *first = ops->alloc_as(lane, size, align, 0), *next;

			assert_int_equal((uintptr_t)first % align, 0);
			ops->free(lane, first, size);
			next = ops->alloc_as(lane, up <= 1024 ? up : size, align, 0);
			assert_int_equal((uintptr_t)next % align, 0);
			if (up <= 1024)
				assert_ptr_equal(next, first);
			ops->free(lane, next, size);
		}
	}
	assert_null(rh_tiered_check(heap));
	rh_tiered_lane_close(lane);
	rh_tiered_close(heap);
}

/* A small heap parks little in its bins; one that grew, what it did before. */
static void bins_grow_with_the_heap(void **state)
{
	enum { SIZE = 128, SMALL = 300, LARGE = 40000, BYTES_MIN = 2048, BYTES_MAX = 24576 };
	struct tier_knobs knobs = { .profile = rh_tier_profile_of("1.17"), .gogc = 100 };
	static void *block[LARGE];
	struct rh_heap *heap;
	struct rh_lane *lane;
	struct rh_err err;
	struct bin *bin;

	(void)state;
	assert_int_equal(rh_tiered_open(&heap, &knobs, NULL, &err), 0);
	assert_int_equal(rh_tiered_lane_open(heap, &lane, &err), 0);
	bin = &lane->bin[rh_place(heap, SIZE, 0, 0).spc];
	for (int count = SMALL; count <= LARGE; count += LARGE - SMALL) {
		uint32_t most = count == SMALL ? BYTES_MIN : BYTES_MAX;

		for (int i = 0; i < count; i++)
			block[i] = rh_backend_tiered.alloc(lane, SIZE);
		for (int i = 0; i < count; i++)
			rh_backend_tiered.free(lane, block[i], SIZE);
		assert_int_equal(bin->limit, most / SIZE);
		/* who only frees gives back sixteen at once, and the older ones stay */
		assert_in_range(bin->room, 0, 16);
	}
	assert_null(rh_tiered_check(heap));
	rh_tiered_lane_close(lane);
	rh_tiered_close(heap);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bins_grow_with_the_heap),
		cmocka_unit_test(a_class_in_demand_is_still_aligned),
		cmocka_unit_test(aligned_blocks_use_the_bins_of_their_size),
		cmocka_unit_test(small_sizes_share_their_first_page),
		cmocka_unit_test(a_size_in_demand_gets_its_own_class),
		cmocka_unit_test(newest_tables_are_the_published_ones),
		cmocka_unit_test(older_tables_lack_the_24_byte_class),
		cmocka_unit_test(unwidened_sizes_are_the_older_ones),
		cmocka_unit_test(every_size_gets_the_smallest_class_that_holds_it),
		cmocka_unit_test(every_offset_finds_its_slot),
		cmocka_unit_test(requests_go_where_their_alignment_and_kind_say),
		cmocka_unit_test(tables_of_bins_say_what_the_rule_says),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
