/*
 * test_failing.c - the two decorators that do harm on purpose: failing and slow do exactly
 * as much of it as they say.
 */
#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#include "alloc/base/clock.h"
#include "alloc/test/spec_support.h"

struct wanted {
	const char *name;
	uint64_t value;
};

static void take_stat(void *ctx, const char *name, const char *unit, uint64_t value)
{
	struct wanted *wanted = ctx;

	(void)unit;
	if (strcmp(name, wanted->name) == 0)
		wanted->value = value;
}

static uint64_t stat_of(const char *name)
{
	struct wanted wanted = { name, UINT64_MAX };

	ops->stats(heap, take_stat, &wanted);
	return wanted.value;
}

static void every_nth_and_after(void **state)
{
	void *p;

	(void)state;
	open_spec("failing:3:bump");
	for (int i = 1; i <= 30; i++) {
		p = ops->alloc(lane, 8);
		assert_int_equal(p == NULL, i % 3 == 0);
	}
	assert_int_equal(stat_of("failing.failed"), 10);
	close_spec();
	open_spec("failing:after=4:bump");
	p = ops->alloc(lane, 8);
	assert_non_null(ops->alloc_as(lane, 8, 64, 0));
	assert_non_null(ops->resize(lane, p, 8, 9));
	assert_non_null(ops->alloc(lane, 8));
	assert_null(ops->alloc(lane, 8));
	assert_null(ops->resize(lane, p, 8, 9));
	close_spec();
}

static void limits_bytes(void **state)
{
	void *p, *q;

	(void)state;
	open_spec("failing:bytes=1000:bump");
	p = ops->alloc(lane, 600);
	assert_non_null(p);
	assert_null(ops->alloc(lane, 401));
	q = ops->alloc(lane, 400);
	assert_non_null(q);
	assert_null(ops->resize(lane, q, 400, 401));
	q = ops->resize(lane, q, 400, 100);
	assert_non_null(q);
	assert_null(ops->alloc(lane, 301));
	ops->free(lane, p, 600);
	assert_non_null(ops->alloc(lane, 900));
	assert_null(ops->alloc(lane, 1));
	assert_null(ops->alloc(lane, SIZE_MAX));
	close_spec();
}

static _Atomic uint64_t asked;
static _Atomic bool enough;

/* Until the test has seen enough: both lanes are at it at once, however the machine schedules. */
static void *ask_too_much(void *arg)
{
	struct rh_lane *mine = arg;

	while (!enough) {
		if (ops->alloc(mine, SIZE_MAX - 100))
			return mine;
		asked++;
	}
	return NULL;
}

/* What one lane asks for in vain does not count against another, not even for a moment. */
static void refusals_are_not_seen(void **state)
{
	struct rh_err err = { 0 };
	struct rh_lane *other;
	pthread_t thread;
	uint64_t turns;
	void *got;

	(void)state;
	open_spec("failing:bytes=1000:libc");
	assert_int_equal(ops->lane_open(heap, &other, &err), 0);
	assert_int_equal(pthread_create(&thread, NULL, ask_too_much, other), 0);
	for (turns = 0; turns < 100000 || asked < 100000; turns++) {
		void *p = ops->alloc(lane, 600);

		assert_non_null(p);
		assert_null(ops->alloc(lane, 401));
		ops->free(lane, p, 600);
	}
	enough = true;
	assert_int_equal(pthread_join(thread, &got), 0);
	assert_null(got);
	assert_int_equal(stat_of("failing.failed"), turns + asked);
	ops->lane_close(other);
	close_spec();
}

static uint64_t failures_of(const char *text)
{
	uint64_t pattern = 0;

	open_spec(text);
	for (int i = 0; i < 2000; i++)
		pattern = pattern * 3 + (ops->alloc(lane, 8) == NULL);
	assert_true(stat_of("failing.failed") > 100 && stat_of("failing.failed") < 300);
	close_spec();
	return pattern;
}

static void share_is_seeded(void **state)
{
	(void)state;
	assert_true(failures_of("failing:share=10%:bump") ==
		    failures_of("failing:share=10%:seed=1:bump"));
	assert_true(failures_of("failing:share=10%:bump") !=
		    failures_of("failing:share=10%:seed=2:bump"));
}

static uint64_t extra_pairs(const char *text, int operations)
{
	struct rh_lane *first;
	uint64_t pairs;

	open_spec(text);
	for (int i = 0; i < operations / 2; i++)
		ops->free(lane, ops->alloc(lane, 40), 40);
	first = lane;
	ops->lane_close(first);
	pairs = stat_of("slow.extra_pairs");
	ops->close(heap);
	return pairs;
}

/* S more operations in pairs: one pair in each run of 2 / S operations, give or take the
 * run that is not over. */
static void slow_does_its_share(void **state)
{
	static const struct {
		const char *text;
		uint64_t pairs;
	} rows[] = {
		{ "slow:0%:libc", 0 },		 { "slow:libc", 0 },
		{ "slow:1%:libc", 100 },	 { "slow:5%:libc", 500 },
		{ "slow:share=0.5:libc", 5000 }, { "slow:100%:libc", 10000 },
		{ "slow:300%:libc", 30000 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint64_t pairs = extra_pairs(rows[i].text, 20000);

		assert_in_range(pairs, rows[i].pairs ? rows[i].pairs - 2 : 0, rows[i].pairs + 2);
	}
}

static void spin_takes_time(void **state)
{
	uint64_t since;

	(void)state;
	open_spec("slow:spin=1ms:libc");
	since = rh_now_ns();
	for (int i = 0; i < 5; i++)
		ops->free(lane, ops->alloc(lane, 40), 40);
	assert_true(rh_now_ns() - since >= 9900000);
	close_spec();
}

/* One free in fifty: of 10,000 pairs about 200, each of which takes 20 us by steps that were timed,
 * and surely half of that. */
static void late_frees_are_some(void **state)
{
	struct rh_err err;
	uint64_t late, since = rh_now_ns();

	(void)state;
	open_spec("slow:late=20us:libc");
	for (int i = 0; i < 10000; i++)
		ops->free(lane, ops->alloc(lane, 40), 40);
	ops->lane_close(lane);
	late = stat_of("slow.late_frees");
	assert_in_range(late, 150, 250);
	assert_true(rh_now_ns() - since >= late * 10000);
	assert_int_equal(stat_of("slow.extra_pairs"), 0);
	assert_int_equal(ops->lane_open(heap, &lane, &err), 0);
	close_spec();
}

/* 2 us an operation, on the mean: of 20,000 about 156 wait 256 us. */
static void a_lag_is_time_and_no_block(void **state)
{
	struct rh_err err;
	uint64_t since = rh_now_ns();

	(void)state;
	open_spec("slow:lag=2000%:libc");
	for (int i = 0; i < 10000; i++)
		ops->free(lane, ops->alloc(lane, 40), 40);
	assert_true(rh_now_ns() - since >= 20000 * 2000 * 0.75);
	ops->lane_close(lane);
	assert_int_equal(stat_of("slow.extra_pairs"), 0);
	assert_int_equal(ops->lane_open(heap, &lane, &err), 0);
	close_spec();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_nth_and_after),
		cmocka_unit_test(limits_bytes),
		cmocka_unit_test(refusals_are_not_seen),
		cmocka_unit_test(share_is_seeded),
		cmocka_unit_test(slow_does_its_share),
		cmocka_unit_test(spin_takes_time),
		cmocka_unit_test(late_frees_are_some),
		cmocka_unit_test(a_lag_is_time_and_no_block),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
