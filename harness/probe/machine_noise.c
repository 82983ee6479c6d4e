/*
 * machine_noise.c - checks the machine before the run, and stolen time over the whole run.
 *
 * Load averages describe the last minute and include us, so --quiet-check sleeps for a second
 * and looks at what the CPUs did meanwhile. Thresholds: 5 % of the CPUs busy with other work is
 * half a core in ten; 1 % stolen is as large as the differences that users look for.
 */
#include "harness/probe/machine_noise.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static const double busy_most = 0.05, stolen_most = 0.01;

bool rh_cpu_times_read(const char *path, struct rh_cpu_times *times)
{
	unsigned long long user, nice, sys, idle, iowait, irq, softirq, steal;
	char line[512];

	*times = (struct rh_cpu_times){ 0 };
	if (!rh_read_line(path, line, sizeof(line)) ||
	    sscanf(line, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &user, &nice, &sys, &idle,
		   &iowait, &irq, &softirq, &steal) != 8)
		return false;
	times->busy = user + nice + sys + irq + softirq;
	times->stolen = steal;
	times->all = times->busy + steal + idle + iowait;
	return true;
}

static double share(uint64_t before, uint64_t after, uint64_t all)
{
	return all && after > before ? (double)(after - before) / (double)all : 0;
}

static bool reads(const char *path, const char *word)
{
	char line[64];

	return rh_read_line(path, line, sizeof(line)) && strcmp(line, word) == 0;
}

void rh_machine_noise_judge(struct rh_result *result, const struct rh_cpu_times *before,
			    const struct rh_cpu_times *after)
{
	uint64_t all = after->all - before->all;
	double busy = share(before->busy, after->busy, all);
	double stolen = share(before->stolen, after->stolen, all);

	if (busy > busy_most)
		rh_result_warn(result,
			       "not quiet: others used %.0f %% of the CPUs in the second "
			       "before the run",
			       busy * 100);
	if (stolen > stolen_most)
		rh_result_warn(result,
			       "not quiet: the hypervisor took %.1f %% of the CPUs in the "
			       "second before the run",
			       stolen * 100);
}

void rh_machine_noise_check(struct rh_result *result)
{
	struct rh_cpu_times before, after;
	struct timespec second = { 1, 0 };

	if (rh_cpu_times_read("/proc/stat", &before)) {
		nanosleep(&second, NULL);
		if (rh_cpu_times_read("/proc/stat", &after))
			rh_machine_noise_judge(result, &before, &after);
	}
	if (reads("/sys/devices/system/cpu/intel_pstate/no_turbo", "0") ||
	    reads("/sys/devices/system/cpu/cpufreq/boost", "1"))
		rh_result_warn(result, "not quiet: turbo is on, clocks go with heat and with "
				       "neighbours");
	if (reads("/sys/devices/system/cpu/smt/active", "1"))
		rh_result_warn(result, "not quiet: two threads share each core (SMT)");
	if (!result->host.governor[0])
		rh_result_warn(result, "the governor of the CPU clocks cannot be read here: clocks "
				       "may change unseen");
}

void rh_machine_noise_steal(struct rh_result *result, const struct rh_cpu_times *before,
			    const struct rh_cpu_times *after)
{
	double stolen = share(before->stolen, after->stolen, after->all - before->all);

	if (stolen > stolen_most)
		rh_result_warn(result, "the hypervisor took %.1f %% of the CPUs during the run",
			       stolen * 100);
}
