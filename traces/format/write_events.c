/*
 * write_events.c - events into the writer. Births and deaths in a row, which nearly all events are,
 * go by the batch: all are checked (order.c), then all are encoded (encode.c). All else goes one by
 * one.
 */
#include <assert.h>

#include "traces/format/writer.h"

enum { BATCH = 128 };

/* Starts every lane up to the one that is used before it was started. */
static int start_lanes(struct rh_trace_out *out, const struct rh_event *user, struct rh_err *err)
{
	while (out->order.totals.lanes <= user->lane) {
		struct rh_event start = {
			.time_ns = user->time_ns,
			.id = RH_NONE,
			.old = RH_NONE,
			.arg = RH_NONE,
			.lane = (uint32_t)out->order.totals.lanes,
			.task = RH_TASK_NONE,
			.kind = RH_EV_LANE_START,
		};

		if (rh_trace_put_one(out, &start, err) < 0)
			return -1;
	}
	assert(out->order.totals.lanes == user->lane + 1ull);
	return 0;
}

/* The objects of the first events; of later ones order.c does it. */
static void look_ahead(const struct rh_trace_out *out, const struct rh_event *events, size_t count)
{
	for (size_t i = 0; i < RH_WRITE_AHEAD && i < count; i++)
		rh_order_soon(&out->order, &events[i], false);
	for (size_t i = 0; i < RH_WRITE_AHEAD / 2 && i < count; i++)
		rh_order_soon(&out->order, &events[i], true);
}

/* Births and deaths up to the end of the block under construction: how many, or -1. */
static ssize_t put_usual(struct rh_trace_out *out, const struct rh_event *events, size_t count,
			 struct rh_err *err)
{
	uint64_t ranks[BATCH];
	size_t room = RH_BLOCK_EVENTS - out->encoder.events;
	size_t most = room < BATCH ? room : BATCH;
	size_t done;

	assert(room > 0); /* a full block goes out at once */
	done = rh_order_put_usual(&out->order, events, ranks, most < count ? most : count, count);
	assert(done <= count && done <= BATCH);
	if (!done)
		return 0;
	return rh_trace_encoded(out, rh_encode_usual(&out->encoder, events, ranks, done), err) < 0
		       ? -1
		       : (ssize_t)done;
}

static int put_other(struct rh_trace_out *out, struct rh_event event, struct rh_err *err)
{
	if (event.lane >= out->order.totals.lanes && event.kind != RH_EV_LANE_START &&
	    start_lanes(out, &event, err) < 0)
		return -1;
	return rh_trace_put_one(out, &event, err);
}

int rh_trace_put(struct rh_trace_out *out, const struct rh_event *events, size_t count,
		 struct rh_err *err)
{
	size_t done = 0;

	if (out->failed)
		return rh_trace_failed(out, err);
	if (rh_live_count(out->order.objects) > RH_WRITE_NEAR)
		look_ahead(out, events, count);
	while (done < count) {
		ssize_t usual = 0;

		if (out->form == RH_FORM_BINARY)
			usual = put_usual(out, events + done, count - done, err);
		if (usual < 0)
			return -1;
		done += (size_t)usual;
		if (usual == 0 && put_other(out, events[done++], err) < 0)
			return -1;
	}
	return 0;
}
