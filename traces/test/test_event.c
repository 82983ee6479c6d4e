/*
 * test_event.c - the table of kinds is whole and its words lead back to it.
 */
#include "traces/test/test_support.h"

static void test_rows(void **state)
{
	(void)state;
	for (int kind = 0; kind < RH_EV_COUNT; kind++) {
		const struct rh_event_row *row = &rh_event_rows[kind];

		assert_non_null(row->word);
		assert_int_equal(strspn(row->fields, "IOTNSAFRU"), strlen(row->fields));
		assert_true(strlen(row->meaning) > 0);
		assert_int_equal(rh_kind_of(row->word), kind);
	}
	assert_int_equal(rh_kind_of("malloc"), -1);
	assert_int_equal(rh_kind_of(""), -1);
}

/* Numbers of kinds are file format: a row that moved would change every trace there is. */
static void test_numbers(void **state)
{
	(void)state;
	assert_int_equal(RH_EV_ALLOC, 0);
	assert_int_equal(RH_EV_FREE, 1);
	assert_int_equal(RH_EV_RESIZE, 2);
	assert_int_equal(RH_EV_LANE_START, 3);
	assert_int_equal(RH_EV_SPAWN, 5);
	assert_int_equal(RH_EV_GC_BEGIN, 12);
	assert_int_equal(RH_EV_REF, 15);
	assert_int_equal(RH_EV_USABLE, 16);
	assert_int_equal(RH_EV_GAP, 17);
	assert_int_equal(RH_EV_MAP, 18);
	assert_int_equal(RH_EV_UNMAP, 19);
	assert_int_equal(RH_EV_FREE_NULL, 20);
	assert_int_equal(RH_MAP_UNKNOWN, 4);
}

static void expect_refused(struct rh_order *order, struct rh_event event, const char *why)
{
	uint64_t rank;

	assert_false(rh_order_put(order, &event, &rank));
	assert_non_null(strstr(order->why, why));
}

static void test_order_refuses(void **state)
{
	struct rh_event alloc = { .kind = RH_EV_ALLOC, .size = 8, .time_ns = RH_NONE };
	struct rh_event start = { .kind = RH_EV_LANE_START };
	struct rh_event spawn = { .kind = RH_EV_SPAWN, .id = 1 };
	struct rh_event exits = { .kind = RH_EV_EXIT, .id = 1 };
	struct rh_order order;
	uint64_t rank;

	(void)state;
	assert_true(rh_order_open(&order, RH_COL_TIME | RH_COL_TASK));
	expect_refused(&order, alloc, "lane 0 has not started");
	expect_refused(&order, (struct rh_event){ .kind = RH_EV_LANE_START, .lane = 1 }, "gaps");
	expect_refused(&order, (struct rh_event){ .kind = RH_EV_COUNT }, "kind 21 is unknown");
	assert_true(rh_order_put(&order, &start, &rank));
	expect_refused(&order, start, "has started before");
	assert_true(rh_order_put(&order, &alloc, &rank));
	expect_refused(&order, alloc, "order of birth");
	alloc.id = 1;
	alloc.size = 1ull << 63;
	expect_refused(&order, alloc, "beyond any address space");
	alloc.size = RH_NONE;
	expect_refused(&order, alloc, "beyond any address space");
	alloc.size = 1;
	alloc.align_log2 = 60;
	expect_refused(&order, alloc, "alignment");
	alloc.align_log2 = 0;
	alloc.flags = 1u << 9;
	expect_refused(&order, alloc, "flags");
	alloc.flags = 0;
	alloc.time_ns = 1ull << 63;
	expect_refused(&order, alloc, "time");
	alloc.time_ns = 0;
	alloc.task = 9;
	expect_refused(&order, alloc, "task 9 has not been spawned");
	expect_refused(&order, (struct rh_event){ .kind = RH_EV_FREE, .id = 7 }, "never born");
	assert_true(rh_order_put(&order, &(struct rh_event){ .kind = RH_EV_FREE }, &rank));
	expect_refused(&order, (struct rh_event){ .kind = RH_EV_FREE }, "dead already");
	expect_refused(&order, exits, "not been spawned");
	expect_refused(&order, (struct rh_event){ .kind = RH_EV_EXIT }, "cannot exit");
	assert_true(rh_order_put(&order, &spawn, &rank));
	assert_true(rh_order_put(&order, &exits, &rank));
	expect_refused(&order, exits, "exited before");
	assert_true(rh_order_put(&order, &(struct rh_event){ .kind = RH_EV_JOIN, .id = 1 }, &rank));
	assert_true(rh_order_put(&order, &(struct rh_event){ .kind = RH_EV_LANE_STOP }, &rank));
	expect_refused(&order, (struct rh_event){ .kind = RH_EV_GC_END }, "has stopped");
	rh_order_close(&order);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_order_refuses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
