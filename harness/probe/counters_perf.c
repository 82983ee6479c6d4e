/*
 * counters_perf.c - counters by perf_event_open, without any library.
 *
 * Every event has its own descriptor instead of a group: a set is small enough for any PMU, and
 * the two times that the kernel reports show whether counters were shared; a set that did not
 * count all the time is an error, not an estimate.
 *
 * Hardware events count in user mode only, which every user may do at the default setting
 * (perf_event_paranoid 2). Switches and migrations happen in the kernel and need 1 or less, or
 * the privilege.
 */
#include <errno.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "harness/probe/counters.h"
#include "harness/launch/host.h"

struct rh_counter_set {
	unsigned count;
	int fd[RH_COUNT_SET_MAX];
};

#define CACHE(cache, op, result)                                                                  \
	((uint64_t)(PERF_COUNT_HW_CACHE_##cache) | (uint64_t)(PERF_COUNT_HW_CACHE_OP_##op) << 8 | \
	 (uint64_t)(PERF_COUNT_HW_CACHE_RESULT_##result) << 16)

/* Raw events: umask and event from the vendors' manuals. */
static const struct event {
	const char *name;
	uint32_t type;
	uint64_t config;
	bool kernel; /* happens in the kernel */
} events[] = {
	{ "instructions", PERF_TYPE_HARDWARE, PERF_COUNT_HW_INSTRUCTIONS, false },
	{ "cycles", PERF_TYPE_HARDWARE, PERF_COUNT_HW_CPU_CYCLES, false },
	{ "branch-misses", PERF_TYPE_HARDWARE, PERF_COUNT_HW_BRANCH_MISSES, false },
	{ "cache-misses", PERF_TYPE_HARDWARE, PERF_COUNT_HW_CACHE_MISSES, false },
	{ "L1-dcache-load-misses", PERF_TYPE_HW_CACHE, CACHE(L1D, READ, MISS), false },
	{ "LLC-load-misses", PERF_TYPE_HW_CACHE, CACHE(LL, READ, MISS), false },
	{ "dTLB-load-misses", PERF_TYPE_HW_CACHE, CACHE(DTLB, READ, MISS), false },
	{ "L2_RQSTS.MISS(r3f24)", PERF_TYPE_RAW, 0x3f24, false },
	{ "L2_CACHE_REQ_STAT.LS_RD_BLK_C(r0864)", PERF_TYPE_RAW, 0x0864, false },
	{ "L1D_CACHE_REFILL(r03)", PERF_TYPE_RAW, 0x03, false },
	{ "L2D_CACHE_REFILL(r17)", PERF_TYPE_RAW, 0x17, false },
	{ "LL_CACHE_MISS_RD(r37)", PERF_TYPE_RAW, 0x37, false },
	{ "L2D_TLB_REFILL(r2d)", PERF_TYPE_RAW, 0x2d, false },
	{ "page-faults", PERF_TYPE_SOFTWARE, PERF_COUNT_SW_PAGE_FAULTS, false },
	{ "context-switches", PERF_TYPE_SOFTWARE, PERF_COUNT_SW_CONTEXT_SWITCHES, true },
	{ "cpu-migrations", PERF_TYPE_SOFTWARE, PERF_COUNT_SW_CPU_MIGRATIONS, true },
	{ "task-clock", PERF_TYPE_SOFTWARE, PERF_COUNT_SW_TASK_CLOCK, false },
};

static const char *const *chain(enum rh_counter counter, enum rh_cpu_family family)
{
	static const char *const any[RH_COUNTERS][RH_COUNT_CHAIN_MAX] = {
		[RH_COUNT_INSTRUCTIONS] = { "instructions" },
		[RH_COUNT_CYCLES] = { "cycles" },
		[RH_COUNT_L1D_MISSES] = { "L1-dcache-load-misses" },
		[RH_COUNT_LLC_MISSES] = { "LLC-load-misses", "cache-misses" },
		[RH_COUNT_DTLB_MISSES] = { "dTLB-load-misses" },
		[RH_COUNT_BRANCH_MISSES] = { "branch-misses" },
		[RH_COUNT_PAGE_FAULTS] = { "page-faults" },
		[RH_COUNT_CONTEXT_SWITCHES] = { "context-switches" },
		[RH_COUNT_MIGRATIONS] = { "cpu-migrations" },
		[RH_COUNT_TASK_CLOCK] = { "task-clock" },
	};
	static const char *const own[][RH_COUNTERS][RH_COUNT_CHAIN_MAX] = {
		[RH_CPU_INTEL] = { [RH_COUNT_L2_MISSES] = { "L2_RQSTS.MISS(r3f24)" } },
		[RH_CPU_AMD] = {
			[RH_COUNT_L2_MISSES] = { "L2_CACHE_REQ_STAT.LS_RD_BLK_C(r0864)" },
			[RH_COUNT_LLC_MISSES] = { "cache-misses" },
		},
		[RH_CPU_ARM] = {
			[RH_COUNT_L1D_MISSES] = { "L1D_CACHE_REFILL(r03)" },
			[RH_COUNT_L2_MISSES] = { "L2D_CACHE_REFILL(r17)" },
			[RH_COUNT_LLC_MISSES] = { "LL_CACHE_MISS_RD(r37)" },
			[RH_COUNT_DTLB_MISSES] = { "L2D_TLB_REFILL(r2d)" },
		},
		[RH_CPU_OTHER] = { { NULL } },
	};

	return own[family][counter][0] ? own[family][counter] : any[counter];
}

static int ready(struct rh_err *err)
{
	if (access("/proc/sys/kernel/perf_event_paranoid", F_OK) < 0)
		return rh_fail(err, RH_ABSENT, "this kernel has no perf events");
	return 0;
}

static int paranoid_level(void)
{
	char text[16], *end;
	long level;

	rh_read_line("/proc/sys/kernel/perf_event_paranoid", text, sizeof(text));
	level = strtol(text, &end, 10);
	return end == text ? -9 : (int)level;
}

void rh_counters_perf_why(int code, int paranoid, char *text, size_t text_bytes)
{
	char level[60] = "";

	if (paranoid != -9)
		snprintf(level, sizeof(level), " (perf_event_paranoid is %d)", paranoid);
	if ((code == EACCES || code == EPERM) && paranoid > 2)
		snprintf(text, text_bytes,
			 "not permitted%s: sysctl kernel.perf_event_paranoid=1, "
			 "or CAP_PERFMON",
			 level);
	else if (code == EACCES || code == EPERM)
		snprintf(text, text_bytes,
			 "not permitted%s: it needs 1 or less, CAP_PERFMON, or "
			 "a container that allows perf_event_open",
			 level);
	else if (code == ENOENT || code == ENODEV || code == EOPNOTSUPP)
		snprintf(text, text_bytes, "this machine does not have it");
	else if (code == ENOSYS)
		snprintf(text, text_bytes, "perf_event_open is blocked or not in this kernel");
	else if (code == ESRCH)
		snprintf(text, text_bytes, "the thread has ended");
	else
		snprintf(text, text_bytes, "%s", strerror(code));
}

static int open_event(const char *name, pid_t thread, struct rh_err *err)
{
	struct perf_event_attr attr = {
		.size = sizeof(attr),
		.exclude_hv = 1,
		.read_format = PERF_FORMAT_TOTAL_TIME_ENABLED | PERF_FORMAT_TOTAL_TIME_RUNNING,
	};
	const struct event *event = events;
	char why[RH_COUNT_WHY_BYTES];
	int fd, code;

	while (strcmp(event->name, name) != 0)
		event++;
	attr.type = event->type;
	attr.config = event->config;
	attr.exclude_kernel = !event->kernel;
	fd = (int)syscall(SYS_perf_event_open, &attr, thread, -1, -1, PERF_FLAG_FD_CLOEXEC);
	if (fd >= 0)
		return fd;
	code = errno;
	rh_counters_perf_why(code, paranoid_level(), why, sizeof(why));
	return rh_fail(err, RH_ABSENT, "%s", why);
}

static int start_perf(struct rh_counter_set **out, const char *const *names, unsigned count,
		      pid_t thread, struct rh_err *err)
{
	struct rh_counter_set *set = calloc(1, sizeof(*set));

	if (!set || count > RH_COUNT_SET_MAX) {
		free(set);
		return rh_fail(err, RH_OS, "no room for %u counters", count);
	}
	for (; set->count < count; set->count++) {
		set->fd[set->count] = open_event(names[set->count], thread, err);
		if (set->fd[set->count] < 0) {
			while (set->count-- > 0)
				close(set->fd[set->count]);
			free(set);
			return -1;
		}
	}
	*out = set;
	return 0;
}

/* { value, ns enabled, ns on a counter } */
static int read_event(int fd, uint64_t *value, struct rh_err *err)
{
	uint64_t got[3];

	if (read(fd, got, sizeof(got)) != sizeof(got))
		return rh_fail(err, RH_ABSENT, "it opens but cannot be read");
	if (got[2] < got[1])
		return rh_fail(err, RH_ABSENT,
			       "the counters were shared with somebody: it counted "
			       "%.0f %% of the time",
			       100.0 * (double)got[2] / (double)got[1]);
	*value = got[0];
	return 0;
}

static int stop(struct rh_counter_set *set, uint64_t *values, struct rh_err *err)
{
	int result = 0;

	for (unsigned i = 0; i < set->count; i++)
		ioctl(set->fd[i], PERF_EVENT_IOC_DISABLE, 0);
	for (unsigned i = 0; i < set->count; i++) {
		if (values && result == 0)
			result = read_event(set->fd[i], &values[i], err);
		close(set->fd[i]);
	}
	free(set);
	return result;
}

const struct rh_counter_source rh_counters_perf = {
	.name = "perf",
	.open = ready,
	.chain = chain,
	.start = start_perf,
	.stop = stop,
};
