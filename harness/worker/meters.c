/*
 * meters.c - run delay from schedstat, futex calls and contended kernel locks by tracepoint.
 *
 * Each tracepoint is a counter on the lane's own thread, opened by the thread itself, read
 * with one read(2) (0.7 us); the result carries a sentence about what is missing
 * (alloc/base/tracepoint.h). Counting costs 0.3 us per futex call, and an allocator that does not
 * block makes none.
 */
#include <assert.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "alloc/base/tracepoint.h"
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
	worker->futex_id = rh_tracepoint_find("syscalls/sys_enter_futex", area->futex_why);
	worker->kernel_id = rh_tracepoint_find("lock/contention_begin", area->kernel_why);
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
		m->futex = rh_tracepoint_open(worker->futex_id, 0, false);
	if (worker->kernel_id)
		m->kernel = rh_tracepoint_open(worker->kernel_id, 0, false);
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

static uint64_t voluntary_switches(void)
{
	struct rusage use;

	return getrusage(RUSAGE_THREAD, &use) == 0 ? (uint64_t)use.ru_nvcsw : 0;
}

void rh_meters_sleep(struct lane *lane, struct nap *nap)
{
	if (!area_of(lane->worker))
		return;
	nap->cpu_ns = rh_thread_cpu_ns();
	nap->delay_ns = rh_run_delay(lane->meters.schedstat);
	nap->switches = voluntary_switches();
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
	/* A nap may end before it begins, or be interrupted: not every one is a switch. */
	m->sleeps_replay += voluntary_switches() - nap->switches;
}

void rh_meters_begin(struct lane *lane)
{
	struct meters *m = &lane->meters;

	attach_mutexes(lane, true);
	if (!area_of(lane->worker))
		return;
	m->futex_replay = m->sleeps_replay = 0;
	m->slept_ticks = m->slept_cpu_ns = m->slept_delay_ns = 0;
	m->futex_calls = rh_tracepoint_read(m->futex);
	m->kernel_contended = rh_tracepoint_read(m->kernel);
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
	sum->futex_calls += rh_tracepoint_read(m->futex) - m->futex_calls;
	sum->futex_replay += m->futex_replay;
	sum->sleeps_replay += m->sleeps_replay;
	sum->kernel_contended += rh_tracepoint_read(m->kernel) - m->kernel_contended;
}
