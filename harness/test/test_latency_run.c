/*
 * test_latency_run.c - latency over the run: stretches add up to what was recorded, a long run is
 * cut into no more than 64 of them, buckets lie where their edges say, sizes sum lanes.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "harness/probe/latency_run.h"

static struct rh_latency_lane *make_lanes(size_t count)
{
	struct rh_latency_lane *lanes = aligned_alloc(4096, count * sizeof(*lanes));

	assert_non_null(lanes);
	memset(lanes, 0, count * sizeof(*lanes));
	return lanes;
}

static double sum_of(const struct rh_latency_run *found, size_t column)
{
	double sum = 0;

	for (size_t i = 0; i < found->counts[column].list_count; i++)
		sum += (double)found->counts[column].list[i].count;
	return sum;
}

static void stretches_hold_what_was_new(void **state)
{
	struct rh_latency_lane *lanes = make_lanes(2);
	struct rh_latency_rec *run = rh_latency_run_open();
	struct rh_pool *pool = rh_pool_open();
	const struct rh_latency_run *found;

	(void)state;
	rh_hist_add(&lanes[0].cell[RH_LAT_ALLOC][0], 100);
	rh_hist_add(&lanes[1].cell[RH_LAT_FREE][3], 100);
	rh_latency_run_add(run, lanes, 2, 10);
	rh_hist_add(&lanes[1].cell[RH_LAT_FREE][3], 5000);
	rh_latency_run_add(run, lanes, 2, 20);
	found = rh_latency_run_found(pool, run, 0.5);
	assert_non_null(found);
	assert_int_equal(found->events_count, 2);
	assert_true(sum_of(found, 0) == 2);
	assert_true(sum_of(found, 1) == 1);
	/* 100 ticks are 50 ns: the first bucket, as nothing was quicker */
	assert_true(found->counts[0].list[0].edge == 0);
	assert_true(found->edges_ns[0] <= 50);
	assert_true(found->edges_ns[1] > 50);
	/* 5000 ticks are in the last */
	assert_true(found->counts[1].list[0].edge == (double)(found->edges_ns_count - 2));
	rh_latency_run_close(run);
	rh_pool_close(pool);
	free(lanes);
}

static void a_long_run_has_64_stretches_at_most(void **state)
{
	enum { SEGMENTS = 1000 };
	struct rh_latency_lane *lanes = make_lanes(1);
	struct rh_latency_rec *run = rh_latency_run_open();
	double events = 0, samples = 0;
	struct rh_pool *pool = rh_pool_open();
	const struct rh_latency_run *found;
	size_t columns;

	(void)state;
	for (int i = 0; i < SEGMENTS; i++) {
		rh_hist_add(&lanes[0].cell[RH_LAT_ALLOC][1], 40 + (uint64_t)i);
		rh_latency_run_add(run, lanes, 1, 3);
	}
	found = rh_latency_run_found(pool, run, 1);
	columns = found->events_count;
	assert_in_range(columns, 33, 64);
	for (size_t c = 0; c < columns; c++) {
		double here = found->events[c];

		assert_true(c + 1 == columns || here == 3 * 16);
		events += here;
		samples += sum_of(found, c);
	}
	assert_true(events == 3 * SEGMENTS && samples == SEGMENTS);
	rh_latency_run_close(run);
	rh_pool_close(pool);
	free(lanes);
}

static void one_stretch_or_no_sample_is_no_run(void **state)
{
	struct rh_latency_lane *lanes = make_lanes(1);
	struct rh_latency_rec *run = rh_latency_run_open();
	struct rh_pool *pool = rh_pool_open();

	(void)state;
	rh_latency_run_add(run, lanes, 1, 5);
	rh_latency_run_add(run, lanes, 1, 5);
	assert_null(rh_latency_run_found(pool, run, 1));
	rh_latency_run_close(run);
	run = rh_latency_run_open();
	rh_hist_add(&lanes[0].cell[RH_LAT_ALLOC][1], 40);
	rh_latency_run_add(run, lanes, 1, 5);
	assert_null(rh_latency_run_found(pool, run, 1));
	rh_latency_run_close(run);
	rh_pool_close(pool);
	free(lanes);
}

static void sizes_sum_lanes(void **state)
{
	struct rh_latency_lane *lanes = make_lanes(2);
	struct rh_pool *pool = rh_pool_open();
	const struct rh_latency_sizes *found;

	(void)state;
	rh_hist_add(&lanes[0].cell[RH_LAT_FREE][2], 10);
	rh_hist_add(&lanes[1].cell[RH_LAT_FREE][2], 30);
	rh_hist_add(&lanes[1].cell[RH_LAT_FREE][RH_LAT_OCTAVES - 1], 7);
	found = rh_latency_sizes(pool, lanes, 2, 2);
	assert_int_equal(found->kind_count, 2);
	assert_string_equal(found->kind[0], "free");
	assert_true(found->size_to[0] == 32);
	assert_true(found->n[0] == 2);
	assert_true(found->mean_ns[0] == 40);
	assert_true(found->p99_ns[0] == 60);
	assert_true(isnan(found->size_to[1]));
	rh_pool_close(pool);
	free(lanes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stretches_hold_what_was_new),
		cmocka_unit_test(a_long_run_has_64_stretches_at_most),
		cmocka_unit_test(one_stretch_or_no_sample_is_no_run),
		cmocka_unit_test(sizes_sum_lanes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
