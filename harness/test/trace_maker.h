/*
 * trace_maker.h - small traces written event by event, in a file `trace_path` that the test
 * program names once. For inclusion into one test program; everything is static.
 *
 * make_open() begins the file, the verbs below append to it, make_close() ends it. What an
 * event does not say is unknown (RH_NONE), so verbs name only what the test is about.
 */
#ifndef RH_TRACE_MAKER_H
#define RH_TRACE_MAKER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "traces/format/trace.h"

#pragma GCC diagnostic ignored "-Wunused-function"
/* Unknown first, then what the event says: later initialisers win, which is meant. */
#pragma GCC diagnostic ignored "-Woverride-init"
#define EVENT(...)                                \
	((struct rh_event){ .time_ns = RH_NONE,   \
			    .id = RH_NONE,        \
			    .old = RH_NONE,       \
			    .arg = RH_NONE,       \
			    .task = RH_TASK_NONE, \
			    __VA_ARGS__ })

static char trace_path[64];

/* `objects` is the id of the next object. */
struct maker {
	struct rh_trace_out *out;
	uint64_t objects, tasks, events;
};

static void make_open(struct maker *m, unsigned columns)
{
	struct rh_trace_make make = { .path = trace_path,
				      .form = RH_FORM_BINARY,
				      .columns = columns };
	struct rh_err err = { 0 };

	*m = (struct maker){ 0 };
	if (rh_trace_create(&m->out, &make, &err) < 0)
		fail_msg("%s", err.text);
}

static void make_put(struct maker *m, struct rh_event event)
{
	struct rh_err err = { 0 };

	m->events++;
	if (rh_trace_put(m->out, &event, 1, &err) < 0)
		fail_msg("%s", err.text);
}

static void make_close(struct maker *m)
{
	struct rh_trace_totals totals;
	struct rh_err err = { 0 };

	if (rh_trace_finish(m->out, &totals, &err) < 0)
		fail_msg("%s", err.text);
	assert_true(totals.events >= m->events); /* lanes that were not started are */
}

static void lane_start(struct maker *m, uint32_t lane)
{
	make_put(m, EVENT(.kind = RH_EV_LANE_START, .lane = lane));
}

/* A trace whose lanes are all there from the start. */
static void open_lanes(struct maker *m, uint32_t lanes)
{
	make_open(m, 0);
	for (uint32_t lane = 0; lane < lanes; lane++)
		lane_start(m, lane);
}

static void lane_stop(struct maker *m, uint32_t lane)
{
	make_put(m, EVENT(.kind = RH_EV_LANE_STOP, .lane = lane));
}

static uint64_t alloc_as(struct maker *m, uint32_t lane, uint64_t size, uint8_t align_log2,
			 uint16_t flags)
{
	make_put(m, EVENT(.kind = RH_EV_ALLOC, .lane = lane, .id = m->objects, .size = size,
			  .align_log2 = align_log2, .flags = flags));
	return m->objects++;
}

static uint64_t alloc_of(struct maker *m, uint32_t lane, uint64_t size)
{
	return alloc_as(m, lane, size, 0, 0);
}

static void free_of(struct maker *m, uint32_t lane, uint64_t id)
{
	make_put(m, EVENT(.kind = RH_EV_FREE, .lane = lane, .id = id));
}

static uint64_t resize_of(struct maker *m, uint32_t lane, uint64_t old, uint64_t size)
{
	make_put(m, EVENT(.kind = RH_EV_RESIZE, .lane = lane, .id = m->objects, .old = old,
			  .size = size));
	return m->objects++;
}

#endif
