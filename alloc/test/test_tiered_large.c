/*
 * test_tiered_large.c - blocks of pages that change their length: how often a block that grows by
 * realloc is copied, that it keeps its contents, where it ends when nothing may follow it, and
 * that what is cut off comes back to others. And blocks of pages that come and go: where the next
 * one is laid.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "alloc/heap/tiered/lane.h"
#include "alloc/registry.h"
#include "alloc/test/figure_support.h"

static const struct rh_backend *ops = &rh_backend_tiered;
static struct rh_heap *heap;
static struct rh_lane *lane;

static void open_heap(int profile, int gc)
{
	struct tier_knobs knobs = { .profile = profile, .gc = gc, .gogc = 100 };

	assert_int_equal(ops->open(&heap, &knobs, NULL, NULL), 0);
	assert_int_equal(ops->lane_open(heap, &lane, NULL), 0);
}

static void close_heap(void)
{
	const char *wrong = rh_tiered_check(heap);

	if (wrong)
		fail_msg("%s", wrong);
	ops->lane_close(lane);
	ops->close(heap);
}

static uint64_t figure(const char *name)
{
	return figure_of(ops, heap, name);
}

/* The first profile whose page heap can say of any page whether it is free. */
#define RADIX rh_tier_profile_of("1.14")
enum { LINE = 400, MOST = 8 << 20 };

static void fill(unsigned char *p, size_t from, size_t to, unsigned tag)
{
	for (size_t at = from; at < to; at += 64)
		p[at] = (unsigned char)(at / 64 * 7 + tag);
}

static void same(const unsigned char *p, size_t to, unsigned tag)
{
	for (size_t at = 0; at < to; at += 64)
		assert_int_equal(p[at], (unsigned char)(at / 64 * 7 + tag));
}

/* Grows `count` buffers in turn, a line at a time; returns how often one of them moved. */
static unsigned grow(unsigned count, size_t most)
{
	unsigned char *text[4] = { NULL };
	size_t length = 40000;
	unsigned moves = 0;

	for (unsigned i = 0; i < count; i++) {
		text[i] = ops->alloc(lane, length);
		fill(text[i], 0, length, i);
	}
	for (; length + LINE < most; length += LINE) {
		size_t filled = (length + 63) & ~(size_t)63;

		for (unsigned i = 0; i < count; i++) {
			unsigned char *moved = ops->resize(lane, text[i], length, length + LINE);

			assert_non_null(moved);
			moves += moved != text[i];
			text[i] = moved;
			fill(moved, filled, length + LINE, i);
		}
	}
	for (unsigned i = 0; i < count; i++) {
		same(text[i], length, i);
		ops->free(lane, text[i], length);
	}
	return moves;
}

static void a_growing_block_is_seldom_copied(void **state)
{
	(void)state;
	for (int profile = RADIX; profile < TIER_PROFILE_COUNT; profile++) {
		open_heap(profile, TIER_GC_EXPLICIT);
		/* nothing stands behind it: a few moves while it is small, none after */
		assert_true(grow(1, MOST) <= 4);
		/* four in each other's way: by a quarter each time, 40 KB to 8 MB is 24 times */
		assert_true(grow(4, MOST) <= 4 * 26);
		close_heap();
	}
	/* a collector's heap makes a new block each time */
	open_heap(rh_tier_profile_of(TIER_PROFILE_DEFAULT), TIER_GC_RECORDED);
	assert_int_equal(grow(1, 200000), (200000 - 40000 - 1) / LINE);
	close_heap();
}

static void a_block_grows_past_what_is_mapped(void **state)
{
	unsigned char *p;

	(void)state;
	for (int profile = RADIX; profile < TIER_PROFILE_COUNT; profile++) {
		uint64_t sys;

		open_heap(profile, TIER_GC_EXPLICIT);
		p = ops->alloc(lane, 1 << 20);
		fill(p, 0, 1 << 20, 1);
		sys = figure("HeapSys");
		assert_ptr_equal(ops->resize(lane, p, 1 << 20, 10 << 20), p);
		assert_true(figure("HeapSys") >= sys + (4 << 20));
		fill(p, 1 << 20, 10 << 20, 1);
		same(p, 10 << 20, 1);
		/* more than is left of the reservation moves */
		p = ops->resize(lane, p, 10 << 20, 66 << 20);
		assert_non_null(p);
		same(p, 10 << 20, 1);
		ops->free(lane, p, 66 << 20);
		close_heap();
	}
}

static void what_is_cut_off_comes_back(void **state)
{
	enum { LONG = 4 << 20, SHORT = 100000 };

	(void)state;
	for (int profile = RADIX; profile < TIER_PROFILE_COUNT; profile++) {
		unsigned char *p, *q;
		uint64_t in_use;

		open_heap(profile, TIER_GC_EXPLICIT);
		p = ops->alloc(lane, LONG);
		fill(p, 0, LONG, 3);
		in_use = figure("HeapInuse");
		assert_ptr_equal(ops->resize(lane, p, LONG, SHORT), p);
		same(p, SHORT, 3);
		assert_int_equal(figure("HeapInuse"), in_use - LONG + 13 * 8192);
		/* the next block lies in what was cut off */
		q = ops->alloc(lane, LONG / 2);
		assert_true(q > p && q < p + LONG);
		fill(q, 0, LONG / 2, 4);
		same(p, SHORT, 3);
		/* to a small block it moves */
		p = ops->resize(lane, p, SHORT, 100);
		same(p, 100, 3);
		ops->free(lane, p, 100);
		ops->free(lane, q, LONG / 2);
		close_heap();
	}
}

/* One buffer of 200 to 600 KB comes and goes beside small blocks: it is laid into what the last one
 * left, so that memory is no more than both together and some slack, and hardly any of them asks
 * the page heap. */
static void a_buffer_takes_the_place_of_the_last(void **state)
{
	enum { ROUNDS = 4000, SMALL = 3000, FIRST = 200 };

	(void)state;
	for (int profile = RADIX; profile < TIER_PROFILE_COUNT; profile++) {
		static void *small[SMALL];
		uint64_t kept, asked = 0;

		open_heap(profile, TIER_GC_EXPLICIT);
		for (size_t i = 0; i < SMALL; i++)
			small[i] = ops->alloc(lane, 16 + i * 37 % 285);
		for (size_t i = 0; i < ROUNDS; i++) {
			size_t bytes = 200000 + i * 7919 % 400000;

			if (i == FIRST)
				asked = figure("mheap.span_allocs");
			ops->free(lane, ops->alloc(lane, bytes), bytes);
		}
		kept = figure("HeapInuse") + figure("HeapIdle") - figure("HeapReleased");
		asked = figure("mheap.span_allocs") - asked;
		assert_in_range(kept, SMALL * 150, 2 * (SMALL * 160 + 600000));
		assert_in_range(asked, 0, (ROUNDS - FIRST) * 2 / 3);
		for (size_t i = 0; i < SMALL; i++)
			ops->free(lane, small[i], 0);
		close_heap();
	}
}

/* Buffers of many sizes, two of each and one after another: what the bins keep of the last sizes is
 * used before the heap grows (1.0 MiB before). */
static void a_small_heap_uses_what_it_parks(void **state)
{
	uint64_t kept;

	(void)state;
	for (int profile = RADIX; profile < TIER_PROFILE_COUNT; profile++) {
		open_heap(profile, TIER_GC_EXPLICIT);
		for (size_t bytes = 1100; bytes < 32768; bytes += 900) {
			void *p = ops->alloc(lane, bytes), *q = ops->alloc(lane, bytes);

			fill(p, 0, bytes, 1);
			fill(q, 0, bytes, 2);
			same(p, bytes, 1);
			ops->free(lane, p, bytes);
			ops->free(lane, q, bytes);
		}
		kept = figure("HeapInuse") + figure("HeapIdle") - figure("HeapReleased");
		assert_in_range(kept, 32768, 320 << 10);
		close_heap();
	}
}

/* Blocks of many lengths above 32 KiB, replaced at random: what one leaves serves the next. */
static void lengths_come_in_steps(void **state)
{
	enum { ROUNDS = 20000, LIVE = 300 };
	static void *block[LIVE];
	static size_t bytes[LIVE];
	uint64_t seed = 1;

	(void)state;
	open_heap(rh_tier_profile_of(TIER_PROFILE_DEFAULT), TIER_GC_EXPLICIT);
	for (size_t i = 0; i < ROUNDS; i++) {
		size_t at;

		seed = seed * 6364136223846793005u + 1442695040888963407u;
		at = (seed >> 33) % LIVE;
		if (block[at])
			ops->free(lane, block[at], bytes[at]);
		bytes[at] = 33000 + (seed >> 40) % 170000;
		block[at] = ops->alloc(lane, bytes[at]);
		memset(block[at], 1, 64);
	}
	assert_true(figure("stash.hits") > ROUNDS / 2);
	for (size_t i = 0; i < LIVE; i++)
		ops->free(lane, block[i], bytes[i]);
	close_heap();
}

/* Buffers that double in turn until each is freed at 2 MiB, a quarter as much live at most times:
 * one that cannot double in memory that is there moves to where it can (2.1 times as much as was
 * live at the peak, before). */
static void buffers_that_double_use_what_there_is(void **state)
{
	enum { BUFFERS = 64, ROUNDS = 30000, END = 2 << 20 };
	static unsigned char *buffer[BUFFERS];
	static size_t bytes[BUFFERS];
	uint64_t seed = 1, live = 0, most = 0;

	(void)state;
	open_heap(rh_tier_profile_of(TIER_PROFILE_DEFAULT), TIER_GC_EXPLICIT);
	for (size_t i = 0; i < ROUNDS; i++) {
		size_t at, next;

		seed = seed * 6364136223846793005u + 1442695040888963407u;
		at = (seed >> 33) % BUFFERS;
		next = bytes[at] ? 2 * bytes[at] : 16 + (seed >> 40) % 49;
		live += next - bytes[at];
		most = live > most ? live : most;
		if (!bytes[at]) {
			buffer[at] = ops->alloc(lane, next);
			buffer[at][0] = (unsigned char)at;
		} else {
			buffer[at] = ops->resize(lane, buffer[at], bytes[at], next);
			assert_int_equal(buffer[at][0], at);
		}
		bytes[at] = next;
		if (next <= END / 2)
			continue;
		ops->free(lane, buffer[at], next);
		live -= next;
		bytes[at] = 0;
	}
	/* The system takes whole pages back: of each buffer's place, a part of one may stay. */
	assert_in_range(figure("HeapInuse") + figure("HeapIdle") - figure("HeapReleased"), live,
			most + most / 2 + BUFFERS * (uint64_t)sysconf(_SC_PAGESIZE));
	for (size_t i = 0; i < BUFFERS; i++) {
		if (bytes[i])
			ops->free(lane, buffer[i], bytes[i]);
	}
	close_heap();
}

/* Six blocks of five pages, one behind the other. */
enum { FIVE = 5 * 8192, SIX = 6 };

static void six_blocks(char **block)
{
	for (int i = 0; i < SIX; i++) {
		block[i] = ops->alloc(lane, FIVE);
		memset(block[i], i, FIVE);
		assert_true(!i || block[i] == block[i - 1] + FIVE);
	}
}

/* In whatever order three neighbours are freed, what they leave is one place of fifteen pages, and
 * it is cut again; the page heap is asked for nothing. */
static void what_blocks_leave_is_joined_and_cut(void **state)
{
	static const int order[][3] = { { 1, 2, 3 }, { 1, 3, 2 }, { 2, 1, 3 },
					{ 2, 3, 1 }, { 3, 1, 2 }, { 3, 2, 1 } };

	(void)state;
	for (size_t i = 0; i < sizeof(order) / sizeof(*order); i++) {
		char *block[SIX], *p;
		uint64_t asked;

		open_heap(rh_tier_profile_of(TIER_PROFILE_DEFAULT), TIER_GC_EXPLICIT);
		six_blocks(block);
		asked = figure("mheap.span_allocs");
		for (int k = 0; k < 3; k++)
			ops->free(lane, block[order[i][k]], FIVE);
		assert_int_equal(figure("stash.joins"), 2);
		assert_int_equal(figure("stash.pages"), 15);
		p = ops->alloc(lane, 3 * FIVE);
		assert_ptr_equal(p, block[1]);
		memset(p, 9, 3 * FIVE);
		for (int k = 0; k < SIX; k += k ? 1 : 4)
			assert_int_equal(block[k][0] | block[k][FIVE - 1], k);
		ops->free(lane, p, 3 * FIVE);
		p = ops->alloc(lane, FIVE);
		assert_ptr_equal(p, block[1]);
		assert_int_equal(figure("stash.pages"), 10);
		assert_int_equal(figure("stash.cuts"), 1);
		assert_ptr_equal(ops->alloc(lane, 2 * FIVE), block[2]);
		assert_int_equal(figure("mheap.span_allocs"), asked);
		close_heap();
	}
}

/* What another lane freed between two places is not joined to them. */
static void places_of_two_lanes_stay_apart(void **state)
{
	struct rh_lane *other;
	char *block[SIX], *p;

	(void)state;
	open_heap(rh_tier_profile_of(TIER_PROFILE_DEFAULT), TIER_GC_EXPLICIT);
	assert_int_equal(ops->lane_open(heap, &other, NULL), 0);
	/* a lane keeps nothing before it has seen the heap */
	ops->free(other, ops->alloc(other, FIVE), FIVE);
	six_blocks(block);
	ops->free(lane, block[1], FIVE);
	ops->free(other, block[2], FIVE);
	ops->free(lane, block[3], FIVE);
	assert_int_equal(figure("stash.joins"), 0);
	p = ops->alloc(lane, 2 * FIVE);
	assert_true(p + 2 * FIVE <= block[1] || p >= block[4]);
	assert_ptr_equal(ops->alloc(other, FIVE), block[2]);
	assert_null(rh_tiered_check(heap));
	ops->lane_close(other);
	close_heap();
}

/* A block grows into the place behind it, as far as it needs, and the page heap is not asked. */
static void a_block_grows_into_what_the_next_left(void **state)
{
	char *block[SIX];
	uint64_t in_use;

	(void)state;
	open_heap(rh_tier_profile_of(TIER_PROFILE_DEFAULT), TIER_GC_EXPLICIT);
	six_blocks(block);
	ops->free(lane, block[2], FIVE);
	in_use = figure("HeapInuse");
	assert_ptr_equal(ops->resize(lane, block[1], FIVE, FIVE + 2 * 8192), block[1]);
	memset(block[1] + FIVE, 1, 2 * 8192);
	assert_int_equal(figure("stash.pages"), 3);
	assert_int_equal(figure("HeapInuse"), in_use + 2 * 8192);
	assert_ptr_equal(ops->resize(lane, block[1], FIVE + 2 * 8192, 2 * FIVE), block[1]);
	assert_int_equal(figure("stash.pages"), 0);
	assert_int_equal(figure("large.extended"), 2);
	for (int k = 0; k < SIX; k += k == 1 ? 2 : 1)
		assert_int_equal(block[k][0] | block[k][FIVE - 1], k);
	ops->free(lane, block[1], 2 * FIVE);
	assert_int_equal(figure("stash.pages"), 10);
	close_heap();
}

/* calloc takes the block that free left last, as malloc does, and it is zero: of every size up to
 * where blocks are large and some beyond, and when there is nothing yet to take. */
static void a_zeroed_block_is_the_last_one_freed(void **state)
{
	(void)state;
	open_heap(rh_tier_profile_of(TIER_PROFILE_DEFAULT), TIER_GC_EXPLICIT);
	for (size_t bytes = 0; bytes < 40000; bytes += 1 + bytes / 7) {
		unsigned char *fresh = ops->alloc_as(lane, bytes, 0, RH_ALLOC_ZEROED), *p, *q;

		for (size_t at = 0; at < bytes; at++)
			assert_int_equal(fresh[at], 0);
		p = ops->alloc(lane, bytes);
		memset(p, 255, bytes);
		ops->free(lane, p, bytes);
		q = ops->alloc_as(lane, bytes, 0, RH_ALLOC_ZEROED);
		assert_ptr_equal(q, p);
		for (size_t at = 0; at < bytes; at++)
			assert_int_equal(q[at], 0);
		memset(q, 255, bytes);
		memset(fresh, 255, bytes);
	}
	close_heap();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_growing_block_is_seldom_copied),
		cmocka_unit_test(a_block_grows_past_what_is_mapped),
		cmocka_unit_test(what_is_cut_off_comes_back),
		cmocka_unit_test(a_buffer_takes_the_place_of_the_last),
		cmocka_unit_test(lengths_come_in_steps),
		cmocka_unit_test(a_small_heap_uses_what_it_parks),
		cmocka_unit_test(buffers_that_double_use_what_there_is),
		cmocka_unit_test(what_blocks_leave_is_joined_and_cut),
		cmocka_unit_test(places_of_two_lanes_stay_apart),
		cmocka_unit_test(a_block_grows_into_what_the_next_left),
		cmocka_unit_test(a_zeroed_block_is_the_last_one_freed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
