/*
 * machine_noise.h - is the machine quiet enough to measure on?
 *
 * Thread rule: main thread. Errors: none; unreadable values give no warning.
 */
#ifndef RH_MACHINE_NOISE_H
#define RH_MACHINE_NOISE_H

#include "harness/result/result.h"

/* CPU time of the whole machine so far, in clock ticks of the kernel. */
struct rh_cpu_times {
	uint64_t all, busy, stolen;
};

/* False where /proc/stat cannot be read. `path` is /proc/stat, except in tests. */
bool rh_cpu_times_read(const char *path, struct rh_cpu_times *times);

/* --quiet-check: watches for a second while doing nothing; warnings go into the result. */
void rh_machine_noise_check(struct rh_result *result);
/* Turns the counts of that second into warnings; separate for the tests. */
void rh_machine_noise_judge(struct rh_result *result, const struct rh_cpu_times *before,
			    const struct rh_cpu_times *after);
/* Time a hypervisor took during the run, when it is more than 1 %. */
void rh_machine_noise_steal(struct rh_result *result, const struct rh_cpu_times *before,
			    const struct rh_cpu_times *after);

#endif
