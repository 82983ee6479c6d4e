/*
 * test_grow.c - arrays that grow: what is in them stays, what is new is zero where that was asked,
 * and what cannot be had changes nothing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "alloc/base/grow.h"

static void doubles(void **state)
{
	uint64_t *array = NULL;
	size_t room = 0, moves = 0;

	(void)state;
	for (size_t i = 0; i < 100000; i++) {
		size_t before = room;

		assert_true(rh_reserve(&array, &room, i + 1, sizeof(*array)));
		assert_true(room > i);
		moves += room != before;
		array[i] = i * 3;
	}
	assert_int_equal(room, 131072);
	assert_int_equal(moves, 14); /* 16 << 13 */
	for (size_t i = 0; i < 100000; i++)
		assert_int_equal(array[i], i * 3);
	free(array);
}

static void new_part_is_zero(void **state)
{
	uint32_t *array = NULL, room = 0;

	(void)state;
	for (uint32_t need = 1; need < 5000; need = need * 3 + 1) {
		assert_true(rh_reserve32_zeroed(&array, &room, need, sizeof(*array)));
		for (uint32_t i = need / 3; i < need; i++) {
			assert_int_equal(array[i], 0);
			array[i] = i + 1;
		}
	}
	assert_int_equal(array[16], 17);
	free(array);
}

static void too_much_changes_nothing(void **state)
{
	uint64_t *array = NULL, *before;
	size_t room = 0;
	uint32_t room32 = 0;
	struct rh_err err = { 0 };

	(void)state;
	assert_false(rh_reserve(&array, &room, SIZE_MAX, sizeof(*array)));
	assert_true(array == NULL && room == 0);
	assert_true(rh_reserve(&array, &room, 20, sizeof(*array)));
	before = array;
	assert_false(rh_reserve(&array, &room, SIZE_MAX / 4, sizeof(*array)));
	assert_true(array == before && room == 32);
	free(array);
	array = NULL;
	assert_false(rh_reserve32(&array, &room32, (size_t)UINT32_MAX, sizeof(*array)));
	assert_true(array == NULL && room32 == 0);
	assert_int_equal(rh_no_memory(&err, "a test"), -1);
	assert_int_equal(err.code, RH_OS);
	assert_string_equal(err.text, "no memory for a test");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(doubles),
		cmocka_unit_test(new_part_is_zero),
		cmocka_unit_test(too_much_changes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
