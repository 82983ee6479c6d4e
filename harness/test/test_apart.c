/*
 * test_apart.c - the parts of time, against trials whose parts are known; whatever the clocks
 * say, no part is negative and the parts add up to the whole.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "harness/result/apart.h"
#include "harness/run/run.h"
#include "traces/format/event.h"

static double sum_of(const struct rh_apart *a)
{
	double sum = 0;

#define ADD(part) sum += a->part;
	RH_APART_PARTS(ADD)
#undef ADD
	return sum;
}

#define NEAR(a, b) assert_true(fabs((a) - (b)) < 1e-9)

/* Two lanes of two copies for 1000 ns: 4000 ns in all. */
static struct rh_trial trial_of(struct rh_trial_pass *pass, uint64_t cpu_ns)
{
	return (struct rh_trial){ .lanes = 2,
				  .copies = 2,
				  .wall_ns = 1000,
				  .cpu_ns = cpu_ns,
				  .passes = pass,
				  .pass_count = 1 };
}

static void parts_are_right(void **state)
{
	/* 2000 on the CPU, 200 of them turning round for others, 600 in the kernel with 4 faults */
	struct rh_trial_pass mine = { .kernel_ns = 600,
				      .run_delay_ns = 500,
				      .faults_minor = 3,
				      .faults_major = 1,
				      .blocked_ns = 500,
				      .slept_ns = 300,
				      .idle_ns = 700 };
	struct rh_trial_pass none = { .run_delay_ns = RH_NONE };
	struct rh_trial trial = trial_of(&mine, 2000), floor = trial_of(&none, 100);
	struct rh_result result = { .fault_ns = 50 };
	struct rh_apart a = rh_apart_of(&result, &trial, &floor);

	(void)state;
	NEAR(a.faults, 200.0 / 4000);
	NEAR(a.kernel, 400.0 / 4000);
	NEAR(a.loop, 100.0 / 4000);
	NEAR(a.user, 1100.0 / 4000);
	NEAR(a.waits, 500.0 / 4000);
	NEAR(a.idle, 700.0 / 4000);
	NEAR(a.delay, 500.0 / 4000);
	NEAR(a.rest, 500.0 / 4000);
	NEAR(sum_of(&a), 1);
	a = rh_apart_of(&result, &trial, NULL);
	NEAR(a.loop, 0);
	NEAR(a.user, 1200.0 / 4000);
	a = rh_apart_of(&result, &floor, NULL);
	NEAR(a.delay, 0);
	NEAR(a.rest, 3900.0 / 4000);
}

/* Clocks that contradict each other: ticks of 10 ms in a trial of one, delays inside waits. */
static void whatever_the_clocks_say(void **state)
{
	struct rh_result result = { .fault_ns = 3000 };
	uint64_t seed = 7;

	(void)state;
	for (int i = 0; i < 20000; i++) {
		uint64_t v[8];
		struct rh_trial_pass pass;
		struct rh_trial trial;
		struct rh_apart a;

		for (int k = 0; k < 8; k++) {
			seed = seed * 6364136223846793005u + 1442695040888963407u;
			v[k] = (seed >> 33) % 3 ? (seed >> 40) % 6000 : 0;
		}
		pass = (struct rh_trial_pass){ .kernel_ns = v[0],
					       .run_delay_ns = v[1],
					       .faults_minor = v[2],
					       .blocked_ns = v[3],
					       .slept_ns = v[4],
					       .idle_ns = v[5] };
		trial = trial_of(&pass, v[6]);
		a = rh_apart_of(&result, &trial, v[7] % 2 ? &trial : NULL);
		NEAR(sum_of(&a), 1);
#define NOT_NEGATIVE(part) assert_true(a.part >= 0);
		RH_APART_PARTS(NOT_NEGATIVE)
#undef NOT_NEGATIVE
	}
}

static void without_time_there_are_none(void **state)
{
	struct rh_result result = { .fault_ns = 0 };
	struct rh_trial trial = { .lanes = 1, .copies = 1, .wall_ns = 5 };
	struct rh_apart a = rh_apart_of(&result, &trial, NULL);

	(void)state;
	assert_true(isnan(a.user) && isnan(a.rest));
}

/* A fault enters the kernel and zeroes a page: no machine does so in 20 ns. */
static void a_fault_has_a_cost(void **state)
{
	(void)state;
	assert_true(rh_fault_cost_ns() > 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parts_are_right),
		cmocka_unit_test(whatever_the_clocks_say),
		cmocka_unit_test(without_time_there_are_none),
		cmocka_unit_test(a_fault_has_a_cost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
