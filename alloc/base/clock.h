/*
 * clock.h - the cheapest honest clock.
 *
 * On x86-64 with an invariant TSC a tick is one TSC cycle (rdtsc: about 11 ns on
 * a VM, steps of 10 ns); on arm64 it is cntvct_el0; else CLOCK_MONOTONIC in ns.
 * Which one it is, why, and how fine it steps is a fact that every result carries.
 *
 * rh_ticks()       plain read: batch and segment edges.
 * rh_ticks_begin() / rh_ticks_end()   fenced pair around one operation
 *                  (lfence;rdtsc;lfence ... rdtscp;lfence); subtract pair_cost.
 * Never CPUID: it costs 4.3 us in a VM.
 *
 * Thread rule: calibrate once before threads start (rh_clock_calibrate), then
 * read only.
 */
#ifndef RH_CLOCK_H
#define RH_CLOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "alloc/base/err.h"

enum rh_clock_source { RH_CLOCK_TSC, RH_CLOCK_CNTVCT, RH_CLOCK_MONOTONIC };

struct rh_clock {
	enum rh_clock_source source;
	const char *name; /* "tsc", "cntvct", "monotonic" */
	const char *why;  /* why not the better one; NULL when it is */
	double ns_per_tick;
	double drift_ppm;	    /* disagreement of the two calibration windows */
	uint64_t granularity_ticks; /* smallest non-zero step seen */
	uint64_t pair_cost_ticks;   /* median of an empty fenced pair */
};

/* Calibrates against CLOCK_MONOTONIC_RAW over two windows of window_ns (0 = 50 ms);
 * falls back to CLOCK_MONOTONIC when they disagree by more than 50 ppm, when the
 * TSC is not invariant (/proc/cpuinfo constant_tsc + nonstop_tsc) or when
 * REHEAP_CLOCK=monotonic is set. Never fails: some clock always works. */
void rh_clock_calibrate(struct rh_clock *clock, uint64_t window_ns);

/* The clock in use by rh_ticks*(); set by calibrate (TSC assumed on x86-64 before). */
extern bool rh_clock_is_counter;

static inline uint64_t rh_ticks_monotonic(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

#if defined(__x86_64__)
static inline uint64_t rh_counter(void)
{
	return __builtin_ia32_rdtsc();
}

static inline uint64_t rh_counter_begin(void)
{
	uint64_t t;

	__asm__ volatile("lfence" ::: "memory");
	t = __builtin_ia32_rdtsc();
	__asm__ volatile("lfence" ::: "memory");
	return t;
}

static inline uint64_t rh_counter_end(uint32_t *cpu)
{
	uint64_t t = __builtin_ia32_rdtscp(cpu);

	__asm__ volatile("lfence" ::: "memory");
	return t;
}
#elif defined(__aarch64__)
static inline uint64_t rh_counter(void)
{
	uint64_t t;

	__asm__ volatile("mrs %0, cntvct_el0" : "=r"(t));
	return t;
}

static inline uint64_t rh_counter_begin(void)
{
	__asm__ volatile("isb" ::: "memory");
	return rh_counter();
}

static inline uint64_t rh_counter_end(uint32_t *cpu)
{
	uint64_t t;

	__asm__ volatile("isb" ::: "memory");
	t = rh_counter();
	*cpu = 0;
	return t;
}
#else
static inline uint64_t rh_counter(void)
{
	return rh_ticks_monotonic();
}
static inline uint64_t rh_counter_begin(void)
{
	return rh_ticks_monotonic();
}
static inline uint64_t rh_counter_end(uint32_t *cpu)
{
	*cpu = 0;
	return rh_ticks_monotonic();
}
#endif

static inline uint64_t rh_ticks(void)
{
	return rh_clock_is_counter ? rh_counter() : rh_ticks_monotonic();
}

static inline uint64_t rh_ticks_begin(void)
{
	return rh_clock_is_counter ? rh_counter_begin() : rh_ticks_monotonic();
}

/* *cpu gets the CPU/node word (0 where the clock has none): differs from the word
 * of an earlier read when the thread moved between sockets or cores. */
static inline uint64_t rh_ticks_end(uint32_t *cpu)
{
	if (rh_clock_is_counter)
		return rh_counter_end(cpu);
	*cpu = 0;
	return rh_ticks_monotonic();
}

#endif
