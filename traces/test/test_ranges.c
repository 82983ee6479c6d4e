/*
 * test_ranges.c - ranges of addresses against an array with a word for each page.
 */
#include "traces/test/test_support.h"

#include "traces/record/ranges.h"
#include "traces/format/event.h"

enum { PAGES = 64, ROUNDS = 20000 };

static uint32_t page[PAGES]; /* how + 1; 0 = nothing */

static void take_out(struct rh_ranges *ranges, uint64_t low, uint64_t bytes)
{
	struct rh_range piece;
	int got;

	while ((got = rh_ranges_cut(ranges, low, bytes, &piece)) > 0) {
		assert_true(piece.low >= low && piece.high <= low + bytes);
		assert_true(piece.low < piece.high);
		for (uint64_t i = piece.low; i < piece.high; i++) {
			assert_int_equal(page[i], piece.how + 1);
			page[i] = 0;
		}
	}
	assert_int_equal(got, 0);
	for (uint64_t i = low; i < low + bytes; i++)
		assert_int_equal(page[i], 0);
}

static void test_against_pages(void **state)
{
	struct rh_ranges ranges = { 0 };
	uint64_t random = 1, most = 0;

	(void)state;
	for (int round = 0; round < ROUNDS; round++) {
		uint64_t low, bytes, memory = 0;
		uint32_t how;

		random = random * 6364136223846793005u + 1442695040888963407u;
		low = (random >> 33) % PAGES;
		bytes = (random >> 40) % (PAGES - low + 1);
		how = (random >> 50) % 4;
		take_out(&ranges, low, bytes);
		if (random >> 60 & 1) {
			assert_true(rh_ranges_add(&ranges, low, bytes, how));
			for (uint64_t i = low; i < low + bytes; i++)
				page[i] = how + 1;
		}
		for (int i = 0; i < PAGES; i++)
			memory += page[i] && page[i] != RH_MAP_FILE + 1;
		most = memory > most ? memory : most;
		assert_int_equal(ranges.memory, memory);
		assert_int_equal(ranges.memory_peak, most);
	}
	rh_ranges_close(&ranges);
}

static void test_ends_of_the_world(void **state)
{
	struct rh_ranges ranges = { 0 };
	struct rh_range piece;

	(void)state;
	assert_true(rh_ranges_add(&ranges, UINT64_MAX - 10, 100, 0));
	assert_int_equal(ranges.memory, 0);
	assert_int_equal(rh_ranges_cut(&ranges, 0, UINT64_MAX, &piece), 0);
	assert_true(rh_ranges_add(&ranges, 100, 0, 0));
	assert_int_equal(rh_ranges_cut(&ranges, 0, UINT64_MAX, &piece), 0);
	assert_true(rh_ranges_add(&ranges, 100, 10, RH_MAP_BRK));
	assert_int_equal(rh_ranges_cut(&ranges, 104, 2, &piece), 1);
	assert_int_equal(piece.low, 104);
	assert_int_equal(piece.high, 106);
	assert_int_equal(ranges.memory, 8);
	rh_ranges_close(&ranges);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_against_pages),
		cmocka_unit_test(test_ends_of_the_world),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
