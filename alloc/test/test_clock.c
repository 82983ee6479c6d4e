/*
 * test_clock.c - which clock is chosen and why, against a world that is made up, and the
 * real one for what must hold anywhere.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "alloc/base/clock_io.h"

/* A world whose counter runs at `rate` ticks per ns and changes at every sleep. */
struct world {
	double ns, ticks;
	double rate, rate_step;
	int steps_left; /* sleeps after which the rate stays */
	char cpuinfo[64], clocksource[64];
};

static uint64_t world_counter(void *ctx)
{
	struct world *w = ctx;

	w->ns += 10;
	w->ticks += 10 * w->rate;
	return (uint64_t)w->ticks;
}

static uint64_t world_ns(void *ctx)
{
	struct world *w = ctx;

	w->ns += 10;
	w->ticks += 10 * w->rate;
	return (uint64_t)w->ns;
}

static void world_sleep(void *ctx, uint64_t ns)
{
	struct world *w = ctx;

	if (w->steps_left-- > 0)
		w->rate += w->rate_step;
	w->ns += (double)ns;
	w->ticks += (double)ns * w->rate;
}

static void put_file(char *path, const char *text)
{
	FILE *file;

	snprintf(path, 64,
		 "/tmp/reheap-test-clock-XX"
		 "XX"
		 "XX");
	file = fdopen(mkstemp(path), "w");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

/* Where there is a counter that may be trusted: x86. */
__attribute__((unused)) static void measure_in(struct world *w, const char *flags,
					       const char *source, const char *wanted,
					       struct rh_clock *clock)
{
	struct rh_clock_io io = { w,	      world_counter,  world_ns, world_sleep,
				  w->cpuinfo, w->clocksource, wanted };

	w->ns = w->ticks = 1e9;
	put_file(w->cpuinfo, flags);
	put_file(w->clocksource, source);
	rh_clock_measure(&io, 0, clock);
	unlink(w->cpuinfo);
	unlink(w->clocksource);
}

#define GOOD_FLAGS "processor\t: 0\nflags\t\t: fpu constant_tsc sse nonstop_tsc\nbugs\t:\n"

#if defined(__x86_64__)
static void trusts_a_steady_counter(void **state)
{
	struct world w = { .rate = 2.5 };
	struct rh_clock clock;

	(void)state;
	measure_in(&w, GOOD_FLAGS, "tsc\n", NULL, &clock);
	assert_string_equal(clock.name, "tsc");
	assert_null(clock.why);
	assert_true(clock.ns_per_tick > 0.39999 && clock.ns_per_tick < 0.40001);
	assert_true(clock.drift_ppm < 1);
	measure_in(&w, GOOD_FLAGS, "kvm-clock\n", "tsc", &clock);
	assert_string_equal(clock.name, "tsc");
}

static void tries_again_after_a_bad_window(void **state)
{
	struct world w = { .rate = 2.0, .rate_step = 0.01, .steps_left = 2 };
	struct rh_clock clock;

	(void)state;
	measure_in(&w, GOOD_FLAGS, "tsc\n", NULL, &clock);
	assert_string_equal(clock.name, "tsc");
	assert_true(clock.ns_per_tick > 0.49504 && clock.ns_per_tick < 0.49506);
}

static void gives_reasons(void **state)
{
	static const struct {
		const char *flags, *source, *wanted, *why;
		double step;
	} rows[] = {
		{ GOOD_FLAGS, "tsc\n", "monotonic", "REHEAP_CLOCK=monotonic is set", 0 },
		{ "x\nflags : nonstop_tsc constant_tsc_x\n", "tsc\n", NULL, "no constant_tsc", 0 },
		{ "x\nflags : constant_tsc\nnonstop_tsc\n", "tsc\n", NULL, "no nonstop_tsc", 0 },
		{ "x\n", "tsc\n", NULL, "lists no flags", 0 },
		{ "", "tsc\n", NULL, "lists no flags", 0 },
		{ GOOD_FLAGS, "hpet\n", NULL, "does not use the TSC", 0 },
		{ GOOD_FLAGS, "tsc\n", NULL, "more than 50 ppm", 0.001 },
		{ GOOD_FLAGS, "tsc\n", NULL, "does not move forward", -1.5 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct world w = { .rate = 1.4, .rate_step = rows[i].step, .steps_left = 99 };
		struct rh_clock clock;

		measure_in(&w, rows[i].flags, rows[i].source, rows[i].wanted, &clock);
		assert_int_equal(clock.source, RH_CLOCK_MONOTONIC);
		assert_string_equal(clock.name, "monotonic");
		assert_true(clock.ns_per_tick == 1);
		assert_non_null(strstr(clock.why, rows[i].why));
	}
}
#endif

static void runs_on_this_machine(void **state)
{
	struct rh_clock clock;
	uint64_t a, b;
	uint32_t cpu = 1;

	(void)state;
	setenv("REHEAP_CLOCK", "monotonic", 1);
	rh_clock_calibrate(&clock, 1000000);
	assert_string_equal(clock.name, "monotonic");
	assert_false(rh_clock_is_counter);
	a = rh_ticks_begin();
	b = rh_ticks_end(&cpu);
	assert_true(b >= a);
	assert_int_equal(cpu, 0);
	unsetenv("REHEAP_CLOCK");
	rh_clock_calibrate(&clock, 0);
	printf("clock %s (%s): %.6f ns/tick, drift %.2f ppm, step %llu, pair %llu ticks\n",
	       clock.name, clock.why ? clock.why : "best here", clock.ns_per_tick, clock.drift_ppm,
	       (unsigned long long)clock.granularity_ticks,
	       (unsigned long long)clock.pair_cost_ticks);
	assert_true(clock.ns_per_tick > 0 && clock.granularity_ticks > 0);
	assert_int_equal(rh_clock_is_counter, clock.source != RH_CLOCK_MONOTONIC);
	assert_int_equal(clock.why == NULL, rh_clock_is_counter);
	a = rh_ticks();
	usleep(2000);
	b = rh_ticks();
	assert_true((double)(b - a) * clock.ns_per_tick >= 1.99e6);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#if defined(__x86_64__)
		cmocka_unit_test(trusts_a_steady_counter),
		cmocka_unit_test(tries_again_after_a_bad_window),
		cmocka_unit_test(gives_reasons),
#endif
		cmocka_unit_test(runs_on_this_machine),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
