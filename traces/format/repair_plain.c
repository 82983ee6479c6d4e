/*
 * repair_plain.c - the fast way through the builder, see repair.h: nothing waits, and what a
 * call names lives, or does not, as it should. That is one look-up a call and an event written
 * where it goes out. All else is repair.c's.
 */
#include <assert.h>

#include "alloc/base/debug.h"
#include "traces/format/builder.h"

/* What the call does to the living objects, where that is all in order; else nothing. */
static inline bool live_on(struct rh_build *build, const struct rh_build_call *call,
			   struct rh_event *event)
{
	struct rh_map *objects = &build->objects;

	switch (call->kind) {
	case RH_EV_ALLOC:
		event->id = build->births;
		/* Adds only where the address is free, so one look-up tests and
		 * inserts. The id moved on if it did. */
		build->births += rh_map_add(objects, call->address, build->births);
		return event->id != build->births;
	case RH_EV_FREE:
		event->id = rh_map_remove(objects, call->address);
		return event->id != RH_MAP_NONE;
	case RH_EV_USABLE:
		event->id = rh_map_get(objects, call->address);
		return event->id != RH_MAP_NONE;
	default:
		assert(call->kind == RH_EV_RESIZE);
		/* Looked at first, because the removal below could not be undone. */
		if (call->address != call->old && rh_map_get(objects, call->address) != RH_MAP_NONE)
			return false;
		event->old = rh_map_remove(objects, call->old);
		event->id = build->births;
		/* An unknown old block leaves the map untouched: repair.c makes an
		 * alloc of it. */
		build->births += event->old != RH_MAP_NONE &&
				 rh_map_add(objects, call->address, build->births);
		return event->id != build->births;
	}
}

size_t rh_build_plain(struct rh_build *build, uint32_t lane, const struct rh_build_call *calls,
		      size_t count, struct rh_err *err)
{
	size_t i;

	rh_debug_assert(lane < build->lane_count);
	/* Room for all of them before the first: rh_map_add then cannot fail. Without
	 * memory repair.c runs into the same and reports it. */
	if (build->waiting || !rh_map_reserve(&build->objects, count))
		return 0;
	for (i = 0; i < count; i++) {
		/* Written where it goes out: an event is 56 bytes and is not copied. */
		struct rh_event *event = &build->batch[build->batched];

		rh_debug_assert(build->batched < RH_BUILD_BATCH && calls[i].address);
		if (!live_on(build, &calls[i], event))
			return i;
		if (calls[i].kind != RH_EV_RESIZE)
			event->old = RH_NONE;
		event->time_ns = calls[i].time_ns;
		event->size = calls[i].size;
		event->arg = RH_NONE;
		event->lane = lane;
		event->task = RH_TASK_NONE;
		event->site = calls[i].site;
		event->kind = calls[i].kind;
		event->align_log2 = 0;
		event->flags = calls[i].flags;
		build->calls++;
		if (++build->batched >= build->batch_full && rh_build_send(build, err) < 0)
			return count + 1;
	}
	return i;
}
