/*
 * test_tiered_recorded.c - the tiered heap when a trace says how a cycle went.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "alloc/heap/tiered/lane.h"
#include "alloc/registry.h"

static const struct rh_backend *ops = &rh_backend_tiered;
static struct rh_heap *heap;
static struct rh_lane *lane;

/* Of the spans that lie ready, the one that the trace names is taken up next. */
static void a_recorded_cycle_says_which_span_is_next(void **state)
{
	struct tier_knobs knobs = { .profile = rh_tier_profile_of("1.26"),
				    .gc = TIER_GC_RECORDED,
				    .gogc = 100,
				    .flush = TIER_FLUSH_LANE };
	struct rh_err err;
	char *p[24];

	(void)state;
	assert_int_equal(ops->open(&heap, &knobs, NULL, &err), 0);
	assert_int_equal(ops->lane_open(heap, &lane, &err), 0);
	for (int i = 0; i < 24; i++)
		p[i] = ops->alloc_as(lane, 1024, 8, RH_ALLOC_NOSCAN);
	ops->free(lane, p[0], 1024);
	ops->free(lane, p[8], 1024);
	ops->free(lane, p[15], 1024);
	ops->gc_end(lane);
	ops->lane_flush(lane);
	ops->sweep_to(lane, p[0], 0);
	assert_int_equal(ops->prefer(lane, p[8]), 1);
	assert_int_equal(ops->prefer(lane, p[8]), 0);
	assert_ptr_equal(ops->alloc_as(lane, 1024, 8, RH_ALLOC_NOSCAN), p[8]);
	assert_ptr_equal(ops->alloc_as(lane, 1024, 8, RH_ALLOC_NOSCAN), p[15]);
	assert_int_equal(ops->prefer(lane, p[8]), 0); /* held, not ready */
	assert_ptr_equal(ops->alloc_as(lane, 1024, 8, RH_ALLOC_NOSCAN), p[0]);
	/* What the lane holds was full where that was recorded: it changes at once, and what is
	 * left there comes next. */
	for (int i = 0; i < 5; i++)
		ops->free(lane, p[i], 1024);
	ops->free(lane, p[20], 1024);
	ops->gc_end(lane);
	ops->lane_flush(lane);
	ops->sweep_to(lane, p[0], 0);
	ops->sweep_to(lane, p[20], 0);
	assert_ptr_equal(ops->alloc_as(lane, 1024, 8, RH_ALLOC_NOSCAN), p[0]);
	assert_int_equal(ops->prefer(lane, p[16]), 0);
	assert_ptr_equal(ops->alloc_as(lane, 1024, 8, RH_ALLOC_NOSCAN), p[20]);
	assert_ptr_equal(ops->alloc_as(lane, 1024, 8, RH_ALLOC_NOSCAN), p[1]);
	ops->lane_close(lane);
	ops->close(heap);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_recorded_cycle_says_which_span_is_next),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
