/*
 * meters.c - run delay from schedstat, futex calls and contended kernel locks by tracepoint.
 *
 * Each tracepoint is a counter on the lane's own thread, opened by the thread itself, read
 * with one read(2) (0.7 us). perf_event_open needs the number of the tracepoint from tracefs,
 * which most systems mount for root only: the result carries a sentence about what is missing.
 * Counting costs 0.3 us per futex call, and an allocator that does not block makes none.
 */
#include <assert.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "harness/control/locks.h"
#include "harness/worker/worker.h"

static struct rh_lock_area *area_of(struct worker *worker)
{
	return rh_ctl_area(worker->ctl, RH_AREA_LOCKS);
}

uint64_t rh_run_delay(int fd)
{
	char text[96], *at = text;
	ssize_t length = fd < 0 ? -1 : pread(fd, text, sizeof(text) - 1, 0);

	if (length <= 0)
		return RH_NONE;
	text[length] = '\0';
	strtoull(at, &at, 10);
	return strtoull(at, NULL, 10);
}

static uint64_t read_counter(int fd)
{
	uint64_t value;

	return fd >= 0 && read(fd, &value, sizeof(value)) == sizeof(value) ? value : 0;
}

/* ---- tracepoints ---- */

static int open_counter(uint64_t id)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_TRACEPOINT, .size = sizeof(attr), .config = id, .sample_period = 0
	};

	return (int)syscall(SYS_perf_event_open, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
}

static uint64_t tracepoint_id(const char *name, char *why)
{
	static const char *const roots[] = { "/sys/kernel/tracing", "/sys/kernel/debug/tracing" };
	char path[128], text[32];
	int error = 0;

	for (size_t i = 0; i < sizeof(roots) / sizeof(roots[0]); i++) {
		ssize_t length;
		int fd;

		snprintf(path, sizeof(path), "%s/events/%s/id", roots[i], name);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0) {
			error = errno == EACCES || !error ? errno : error;
			continue;
		}
		length = read(fd, text, sizeof(text) - 1);
		close(fd);
		if (length > 0) {
			text[length] = '\0';
			return strtoull(text, NULL, 10);
		}
	}
	snprintf(why, RH_METER_WHY_BYTES, "tracepoint %s: %s", name,
		 error == EACCES
			 ? "tracefs may be read by root only"
			 : "tracefs is not mounted (mount -t tracefs nodev /sys/kernel/tracing)");
	return 0;
}

/* 0 = cannot be counted; proven by opening one. */
static uint64_t find_tracepoint(const char *name, char *why)
{
	uint64_t id = tracepoint_id(name, why);
	int fd;

	if (!id)
		return 0;
	fd = open_counter(id);
	if (fd < 0) {
		snprintf(why, RH_METER_WHY_BYTES, "tracepoint %s: perf_event_open: %s", name,
			 strerror(errno));
		return 0;
	}
	close(fd);
	return id;
}

/* The library of the mutex probe, when it was preloaded. */
static void find_mutexes(struct worker *worker)
{
	void *symbol = rh_ctl_area(worker->ctl, RH_AREA_MUTEX)
			       ? dlsym(RTLD_DEFAULT, "rh_mutex_attach")
			       : NULL;

	memcpy(&worker->mutex_attach, &symbol, sizeof(symbol));
	worker->ctl->mutex_seen = symbol != NULL;
}

static void attach_mutexes(struct lane *lane, bool on)
{
	extern const char __executable_start[], etext[];
	struct worker *worker = lane->worker;
	struct rh_mutex_lane *areas = rh_ctl_area(worker->ctl, RH_AREA_MUTEX);

	assert(lane->number < worker->ctl->seats); /* the area has a row for each seat */
	if (worker->mutex_attach)
		worker->mutex_attach(on ? &areas[lane->number] : NULL, rh_clock_is_counter,
				     __executable_start, etext);
}

void rh_meters_find(struct worker *worker)
{
	struct rh_lock_area *area = area_of(worker);

	find_mutexes(worker);
	if (!area)
		return;
	worker->futex_id = find_tracepoint("syscalls/sys_enter_futex", area->futex_why);
	worker->kernel_id = find_tracepoint("lock/contention_begin", area->kernel_why);
}

/* ---- a lane ---- */

void rh_meters_open(struct lane *lane)
{
	struct worker *worker = lane->worker;
	struct meters *m = &lane->meters;

	m->futex = m->kernel = -1;
	m->schedstat = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
	if (!area_of(worker))
		return;
	if (worker->futex_id)
		m->futex = open_counter(worker->futex_id);
	if (worker->kernel_id)
		m->kernel = open_counter(worker->kernel_id);
}

void rh_meters_close(struct lane *lane)
{
	const struct meters *m = &lane->meters;

	if (m->schedstat >= 0)
		close(m->schedstat);
	if (m->futex >= 0)
		close(m->futex);
	if (m->kernel >= 0)
		close(m->kernel);
}

void rh_meters_sleep(struct lane *lane, struct nap *nap)
{
	if (!area_of(lane->worker))
		return;
	nap->cpu_ns = rh_thread_cpu_ns();
	nap->delay_ns = rh_run_delay(lane->meters.schedstat);
	nap->ticks = rh_ticks();
}

void rh_meters_awake(struct lane *lane, const struct nap *nap)
{
	struct meters *m = &lane->meters;
	uint64_t delay;

	if (!area_of(lane->worker))
		return;
	m->slept_ticks += rh_ticks() - nap->ticks;
	delay = rh_run_delay(m->schedstat);
	m->slept_delay_ns +=
		delay == RH_NONE || nap->delay_ns == RH_NONE ? 0 : delay - nap->delay_ns;
	m->slept_cpu_ns += rh_thread_cpu_ns() - nap->cpu_ns;
	m->sleeps_replay++;
}

void rh_meters_begin(struct lane *lane)
{
	struct meters *m = &lane->meters;

	attach_mutexes(lane, true);
	if (!area_of(lane->worker))
		return;
	m->futex_replay = m->sleeps_replay = 0;
	m->slept_ticks = m->slept_cpu_ns = m->slept_delay_ns = 0;
	m->futex_calls = read_counter(m->futex);
	m->kernel_contended = read_counter(m->kernel);
	m->run_delay_ns = rh_run_delay(m->schedstat);
}

void rh_meters_end(struct lane *lane)
{
	struct rh_lock_area *area = area_of(lane->worker);
	const struct rh_ctl_seat *seat = lane->seat;
	struct meters *m = &lane->meters;
	struct rh_lane_meters *sum;
	uint64_t delay;

	attach_mutexes(lane, false);
	if (!area)
		return;
	delay = rh_run_delay(m->schedstat);
	sum = &area->lane[lane->number];
	sum->span_ticks += seat->end_ticks - seat->start_ticks;
	sum->cpu_ns += seat->cpu_ns;
	sum->run_delay_ns =
		delay == RH_NONE || sum->run_delay_ns == RH_NONE || m->run_delay_ns == RH_NONE
			? RH_NONE
			: sum->run_delay_ns + delay - m->run_delay_ns;
	sum->slept_ticks += m->slept_ticks;
	sum->slept_cpu_ns += m->slept_cpu_ns;
	sum->slept_delay_ns += m->slept_delay_ns;
	sum->switches_voluntary += seat->switches_voluntary;
	sum->switches_involuntary += seat->switches_involuntary;
	sum->futex_calls += read_counter(m->futex) - m->futex_calls;
	sum->futex_replay += m->futex_replay;
	sum->sleeps_replay += m->sleeps_replay;
	sum->kernel_contended += read_counter(m->kernel) - m->kernel_contended;
}
