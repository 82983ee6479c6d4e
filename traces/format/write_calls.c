/*
 * write_calls.c - the fast way through the writer: calls as recorders make them, see trace.h.
 *
 * An alloc or a free in a binary trace of times and sites has no field to clear and no rule to
 * keep but those of lanes and of what lives; lane and time are looked at where they change. It is
 * encoded as it came, without an event in between. All else goes by rh_trace_put.
 */
#include <assert.h>

#include "alloc/base/debug.h"
#include "traces/format/writer.h"

static void soon(const struct rh_order *order, const struct rh_call_event *call, bool very)
{
	if (call->kind == RH_EV_FREE || call->kind == RH_EV_USABLE)
		rh_live_soon(order->objects, call->id, very);
	else if (call->kind == RH_EV_RESIZE)
		rh_live_soon(order->objects, call->old, very);
}

/* As the i-th is put, of one further on; before the first, of all up to there. */
static void look_ahead(const struct rh_order *order, const struct rh_call_event *calls,
		       size_t count)
{
	for (size_t i = 0; i < RH_WRITE_AHEAD && i < count; i++)
		soon(order, &calls[i], false);
	for (size_t i = 0; i < RH_WRITE_AHEAD / 2 && i < count; i++)
		soon(order, &calls[i], true);
}

static void look_on(const struct rh_order *order, const struct rh_call_event *calls, size_t count,
		    size_t i)
{
	if (i + RH_WRITE_AHEAD < count)
		soon(order, &calls[i + RH_WRITE_AHEAD], false);
	if (i + RH_WRITE_AHEAD / 2 < count)
		soon(order, &calls[i + RH_WRITE_AHEAD / 2], true);
}

static int put_whole(struct rh_trace_out *out, const struct rh_call_event *call, struct rh_err *err)
{
	struct rh_event event;

	rh_call_event_whole(call, &event);
	return rh_trace_put(out, &event, 1, err);
}

static int refuse_call(struct rh_trace_out *out, const struct rh_call_event *call,
		       struct rh_err *err)
{
	struct rh_event event;

	assert(call->kind == RH_EV_ALLOC || call->kind == RH_EV_FREE);
	rh_call_event_whole(call, &event);
	return rh_trace_refuse(out, &event, err);
}

/* What calls in a row share, and was looked at for the first of them. */
struct shared {
	uint64_t time_ns;
	uint32_t lane;
	bool plain; /* this file is for them */
};

static void share(struct rh_trace_out *out, const struct rh_call_event *call, struct shared *shared)
{
	shared->time_ns = call->time_ns;
	shared->lane = call->lane;
	shared->plain = out->form == RH_FORM_BINARY && !out->failed &&
			!(out->order.columns & ~(unsigned)(RH_COL_TIME | RH_COL_SITE)) &&
			call->lane < out->order.totals.lanes && out->order.lanes[call->lane] &&
			rh_order_time(&out->order, call->time_ns);
}

static inline bool is_plain(const struct rh_call_event *call)
{
	static const uint16_t not_of[] = {
		[RH_EV_ALLOC] = (uint16_t) ~(RH_EVF_ZEROED | RH_EVF_REALLOC),
		[RH_EV_FREE] = (uint16_t)~RH_EVF_SIZED,
	};

	return call->kind <= RH_EV_FREE && !(call->flags & not_of[call->kind]) &&
	       call->size <= RH_TRACE_SIZE_MAX;
}

int rh_trace_put_calls(struct rh_trace_out *out, const struct rh_call_event *calls, size_t count,
		       struct rh_err *err)
{
	bool many = rh_live_count(out->order.objects) > RH_WRITE_NEAR;
	struct shared shared = { .time_ns = 0 };
	uint64_t rank = 0;

	if (many)
		look_ahead(&out->order, calls, count);
	for (size_t i = 0; i < count; i++) {
		const struct rh_call_event *call = &calls[i];

		if (many)
			look_on(&out->order, calls, count, i);
		if (i == 0 || call->time_ns != shared.time_ns || call->lane != shared.lane)
			share(out, call, &shared);
		if (!shared.plain || !is_plain(call)) {
			if (put_whole(out, call, err) < 0)
				return -1;
			continue;
		}
		if (!rh_order_call(&out->order, call, &rank))
			return refuse_call(out, call, err);
		rh_encode_call(&out->encoder, call, rank);
		rh_debug_assert(out->encoder.events <= RH_BLOCK_EVENTS);
		if (out->encoder.events == RH_BLOCK_EVENTS && rh_trace_flush_events(out, err) < 0)
			return -1;
	}
	return 0;
}
