/*
 * probe_mutex.c - pthread mutexes and futex calls of any allocator, by a preloaded library
 * (shim/mutex.c). It has its own pass, because each counted lock costs a few ns more.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "alloc/base/install_paths.h"
#include "harness/control/mutex.h"
#include "harness/probe/probe.h"

static const char *absent_why(const struct rh_run_config *config, char *text, size_t text_bytes)
{
	char path[4096];
	struct rh_err err = { 0 };

	(void)config;
#ifdef RH_SANITIZE
	snprintf(text, text_bytes,
		 "this build carries a sanitizer (%s), before which nothing can "
		 "be preloaded",
		 RH_SANITIZE);
	(void)path;
	(void)err;
	return text;
#else
	if (rh_install_path("libreheap-mutex.so", path, sizeof(path), &err) == 0)
		return NULL;
	snprintf(text, text_bytes, "%.290s", err.text);
	return text;
#endif
}

static int prepare(struct rh_probe_run *run, struct rh_err *err)
{
	size_t seats = (size_t)run->program->program.head->lanes * run->trial->copies;

	rh_probe_area(run, RH_AREA_MUTEX, seats * sizeof(struct rh_mutex_lane));
	return rh_install_path("libreheap-mutex.so", run->start->preload_first,
			       sizeof(run->start->preload_first), err);
}

static int start_mutex(struct rh_probe_run *run, struct rh_err *err)
{
	struct rh_mutex_lane *lanes = rh_probe_area_of(run->worker, RH_AREA_MUTEX);

	if (!run->worker->ctl->mutex_seen)
		return rh_fail(err, RH_ABSENT,
			       "the library that counts mutexes was not loaded "
			       "into the worker");
	memset(lanes, 0, run->worker->ctl->seats * sizeof(*lanes));
	return 0;
}

static struct rh_mutex_lane add_lanes(const struct rh_mutex_lane *lanes, uint32_t seats)
{
	struct rh_mutex_lane sum = { 0 };

	for (uint32_t s = 0; s < seats; s++) {
		sum.acquired += lanes[s].acquired;
		sum.contended += lanes[s].contended;
		sum.refused += lanes[s].refused;
		sum.wait_ticks += lanes[s].wait_ticks;
		if (lanes[s].wait_ticks_max > sum.wait_ticks_max)
			sum.wait_ticks_max = lanes[s].wait_ticks_max;
		sum.futex_waits += lanes[s].futex_waits;
		sum.futex_wakes += lanes[s].futex_wakes;
		for (int i = 0; i < RH_MUTEX_BUCKETS; i++)
			sum.wait_log2[i] += lanes[s].wait_log2[i];
	}
	return sum;
}

static void fill_waits(const struct rh_probe_run *run, const struct rh_mutex_lane *sum,
		       struct rh_mutex_found *to)
{
	to->waits = rh_pool_alloc(rh_probe_pool(run), RH_MUTEX_BUCKETS, sizeof(*to->waits));
	for (int i = 0; i < RH_MUTEX_BUCKETS; i++)
		if (sum->wait_log2[i])
			to->waits[to->waits_count++] =
				(struct rh_bucket){ rh_probe_ns(run, ldexp(1, i + 1)),
						    sum->wait_log2[i] };
}

static int end(struct rh_probe_run *run, struct rh_err *err)
{
	const struct rh_mutex_lane *lanes = rh_probe_area_of(run->worker, RH_AREA_MUTEX);
	struct rh_mutex_lane sum = add_lanes(lanes, run->worker->ctl->seats);
	double events = (double)run->life->events;
	double lane_wall = (double)run->life->wall_ns * run->life->lanes * run->life->copies;
	double wait_ns = rh_probe_ns(run, (double)sum.wait_ticks);
	struct rh_mutex_found *found;

	(void)err;
	rh_probe_reading(run, "mutex.ns_per_event", (double)run->life->wall_ns / events);
	rh_probe_reading(run, "mutex.acquired_per_event", (double)sum.acquired / events);
	rh_probe_reading(run, "mutex.contended_share",
			 sum.acquired ? (double)sum.contended / (double)sum.acquired : NAN);
	rh_probe_reading(run, "mutex.wait_share", wait_ns / lane_wall);
	rh_probe_reading(run, "mutex.futex_per_event",
			 (double)(sum.futex_waits + sum.futex_wakes) / events);
	found = run->trial->found.mutex = rh_pool_alloc(rh_probe_pool(run), 1, sizeof(*found));
	*found = (struct rh_mutex_found){
		.source = "own",
		.acquired = sum.acquired,
		.contended = sum.contended,
		.refused = sum.refused,
		.wait_ns = wait_ns,
		.wait_max_ns = rh_probe_ns(run, (double)sum.wait_ticks_max),
		.futex_waits = sum.futex_waits,
		.futex_wakes = sum.futex_wakes,
		.wall_ns = run->life->wall_ns,
		.events = run->life->events,
	};
	fill_waits(run, &sum, found);
	return 0;
}

static const struct rh_headline headlines[] = {
	{ "mutex.acquired_per_event", "mutexes, taken per event" },
	{ NULL, NULL },
};

const struct rh_probe rh_probe_mutex = {
	.name = "mutex",
	.summary = "pthread mutexes, spin locks and futex calls of any allocator, by a preloaded "
		   "library",
	.headlines = headlines,
	.source = "own",
	.own_pass = true,
	.absent_why = absent_why,
	.prepare = prepare,
	.start = start_mutex,
	.end = end,
};
