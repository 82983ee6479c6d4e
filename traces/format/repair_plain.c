/*
 * repair_plain.c - the fast way through the builder, see repair.h: nothing waits, and what a
 * call names lives, or does not, as it should. That is one look-up a call; the calls then go on
 * to the writer as they are. All else is repair.c's.
 */
#include <assert.h>

#include "alloc/base/debug.h"
#include "traces/format/builder.h"

/* What the call does to the living objects, and their ids in the place of addresses, where that is
 * all in order; else nothing. */
static inline bool live_on(struct rh_build *build, struct rh_call_event *call)
{
	struct rh_map *objects = &build->objects;
	uint64_t id;

	rh_debug_assert(call->id != 0 && call->lane < build->lane_count);
	switch (call->kind) {
	case RH_EV_ALLOC:
		/* Adds only where the address is free, so one look-up tests and
		 * inserts. */
		if (!rh_map_add(objects, call->id, build->births))
			return false;
		call->id = build->births++;
		return true;
	case RH_EV_FREE:
		id = rh_map_remove(objects, call->id);
		break;
	case RH_EV_USABLE:
		id = rh_map_get(objects, call->id);
		break;
	default:
		assert(call->kind == RH_EV_RESIZE);
		/* Looked at first, because the removal below could not be undone. */
		if (call->id != call->old && rh_map_get(objects, call->id) != RH_MAP_NONE)
			return false;
		id = rh_map_remove(objects, call->old);
		/* An unknown old block leaves the map untouched: repair.c makes an
		 * alloc of it. */
		if (id == RH_MAP_NONE || !rh_map_add(objects, call->id, build->births))
			return false;
		call->old = id;
		call->id = build->births++;
		return true;
	}
	if (id == RH_MAP_NONE)
		return false;
	call->id = id;
	return true;
}

/* Where events do not go to a writer. */
static int put_events(struct rh_build *build, const struct rh_call_event *calls, size_t count,
		      struct rh_err *err)
{
	for (size_t i = 0; i < count; i++) {
		rh_debug_assert(build->batched < RH_BUILD_BATCH);
		rh_call_event_whole(&calls[i], &build->batch[build->batched]);
		if (++build->batched >= build->batch_full && rh_build_send(build, err) < 0)
			return -1;
	}
	return 0;
}

size_t rh_build_plain(struct rh_build *build, struct rh_call_event *calls, size_t count,
		      struct rh_err *err)
{
	size_t taken = 0;

	/* Room for all of them before the first: rh_map_add then cannot fail. Without
	 * memory repair.c runs into the same and reports it. */
	if (build->waiting || !rh_map_reserve(&build->objects, count))
		return 0;
	while (taken < count && live_on(build, &calls[taken]))
		taken++;
	assert(taken <= count);
	build->calls += taken;
	if (build->put)
		return put_events(build, calls, taken, err) < 0 ? count + 1 : taken;
	/* Those that came before go out before. */
	if ((build->batched && rh_build_send(build, err) < 0) ||
	    rh_trace_put_calls(build->out, calls, taken, err) < 0)
		return count + 1;
	return taken;
}
