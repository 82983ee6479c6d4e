/*
 * clock_io.h - what calibration asks of the world, so that a test can be the world.
 *
 * rh_clock_calibrate() calls rh_clock_measure() with the real one. Internal to
 * alloc/base and its tests. Thread rule: as calibrate. Errors: none, some clock works.
 */
#ifndef RH_CLOCK_IO_H
#define RH_CLOCK_IO_H

#include "alloc/base/clock.h"

struct rh_clock_io {
	void *ctx;
	uint64_t (*counter)(void *ctx);
	uint64_t (*raw_ns)(void *ctx); /* CLOCK_MONOTONIC_RAW */
	void (*sleep)(void *ctx, uint64_t ns);
	const char *cpuinfo;	 /* path of /proc/cpuinfo; NULL: the counter is invariant */
	const char *clocksource; /* path of the kernel's current_clocksource */
	const char *wanted;	 /* value of REHEAP_CLOCK or NULL */
};

/* Decides source, name, why, ns_per_tick and drift_ppm. */
void rh_clock_measure(const struct rh_clock_io *io, uint64_t window_ns, struct rh_clock *clock);

#endif
