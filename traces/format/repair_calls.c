/*
 * repair_calls.c - single calls into the builder, see repair.h. Nearly all find nothing that waits,
 * and what they name lives, or does not, as it should: one look-up, and the event is made where it
 * goes out. All else is repair.c's.
 */
#include <assert.h>

#include "alloc/base/debug.h"
#include "traces/format/builder.h"
#include "traces/format/order.h"

void rh_build_batches(struct rh_build *build)
{
	build->batch_full = RH_BUILD_BATCH;
}

/* Where the next event goes out. */
static inline struct rh_event *next_event(struct rh_build *build, unsigned kind, uint32_t lane)
{
	struct rh_event *event = &build->batch[build->batched];

	rh_debug_assert(build->batched < RH_BUILD_BATCH && !build->waiting);
	*event = rh_build_stamped(build, kind, lane);
	return event;
}

/* The call of next_event is done. */
static inline int sent(struct rh_build *build, struct rh_err *err)
{
	build->calls++;
	return ++build->batched >= build->batch_full ? rh_build_send(build, err) : 0;
}

static inline void set_block(struct rh_build *build, struct rh_event *event,
			     const struct rh_build_block *block)
{
	event->size = block->size;
	/* What no address space holds is a number that was torn: the block itself is there. */
	if (block->align_log2 > RH_TRACE_ALIGN_LOG2_MAX)
		rh_build_count(build, "repair.alignment", 1);
	else
		event->align_log2 = (uint8_t)block->align_log2;
	event->flags = (uint16_t)block->flags;
}

/* Nothing waits and the address is free, as nearly always: one look-up, and the event is made where
 * it goes out. Else as any other call. */
int rh_build_alloc(struct rh_build *build, uint64_t thread, const struct rh_build_block *block,
		   struct rh_err *err)
{
	struct rh_build_waiting call;
	struct rh_event *event;
	uint32_t lane;

	if (rh_build_lane_of(build, thread, &lane, err) < 0)
		return -1;
	if (!block->address) {
		rh_build_count(build, "drop.failed", 1);
		return 0;
	}
	if (!build->waiting && rh_blocks_reserve(&build->objects, 1) &&
	    blocks_add(&build->objects, block->address, build->births)) {
		event = next_event(build, RH_EV_ALLOC, lane);
		event->id = build->births++;
		set_block(build, event, block);
		return sent(build, err);
	}
	call = (struct rh_build_waiting){ .what = RH_CALL_ALLOC, .born = block->address };
	call.event = rh_build_stamped(build, RH_EV_ALLOC, lane);
	set_block(build, &call.event, block);
	return rh_build_repair(build, &call, err);
}

static inline void set_details(struct rh_event *event, const struct rh_event *details)
{
	event->arg = details->arg;
	event->size = details->size;
	event->flags = details->flags;
}

static inline int free_as(struct rh_build *build, uint64_t thread, uint64_t address,
			  const struct rh_event *details, struct rh_err *err)
{
	uint64_t id = RH_MAP_NONE;
	struct rh_build_waiting call;
	struct rh_event *event;
	uint32_t lane;

	if (rh_build_lane_of(build, thread, &lane, err) < 0)
		return -1;
	if (!address) {
		call = (struct rh_build_waiting){ .what = RH_CALL_OTHER };
		call.event = rh_build_stamped(build, RH_EV_FREE_NULL, lane);
		return rh_build_repair(build, &call, err);
	}
	if (!build->waiting)
		id = blocks_remove(&build->objects, address);
	if (id != RH_MAP_NONE) {
		event = next_event(build, RH_EV_FREE, lane);
		event->id = id;
		set_details(event, details);
		return sent(build, err);
	}
	call = (struct rh_build_waiting){ .what = RH_CALL_FREE, .dies = address };
	call.event = rh_build_stamped(build, RH_EV_FREE, lane);
	set_details(&call.event, details);
	return rh_build_repair(build, &call, err);
}

int rh_build_free(struct rh_build *build, uint64_t thread, uint64_t address, uint64_t resident,
		  struct rh_err *err)
{
	return free_as(build, thread, address, &(struct rh_event){ .arg = resident }, err);
}

int rh_build_free_sized(struct rh_build *build, uint64_t thread, const struct rh_build_sized *block,
			struct rh_err *err)
{
	return free_as(build, thread, block->address,
		       &(struct rh_event){
			       .arg = block->resident, .size = block->size, .flags = RH_EVF_SIZED },
		       err);
}

int rh_build_usable(struct rh_build *build, uint64_t thread, uint64_t address, struct rh_err *err)
{
	struct rh_build_waiting call = { .what = RH_CALL_ASKS, .dies = address };
	uint32_t lane;

	if (rh_build_lane_of(build, thread, &lane, err) < 0)
		return -1;
	call.event = rh_build_stamped(build, RH_EV_USABLE, lane);
	call.event.site = RH_SITE_NONE;
	return rh_build_repair(build, &call, err);
}

int rh_build_realloc(struct rh_build *build, uint64_t thread, uint64_t old,
		     const struct rh_build_block *block, struct rh_err *err)
{
	struct rh_build_waiting call = { .what = RH_CALL_RESIZE,
					 .dies = old,
					 .born = block->address };
	uint32_t lane;

	/* Also when it failed. The builder's own callers name blocks by addresses, so that 0 is
	 * NULL. */
	if (!old)
		return rh_build_alloc(build, thread,
				      RH_BLOCK(.address = block->address, .size = block->size,
					       .flags = block->flags | RH_EVF_REALLOC),
				      err);
	/* realloc(p, 0) that returned NULL has freed p (glibc); with another result
	 * it is a block of size 0. */
	if (!block->address && !block->size)
		return rh_build_free(build, thread, old, RH_NONE, err);
	if (rh_build_lane_of(build, thread, &lane, err) < 0)
		return -1;
	if (!block->address) {
		rh_build_count(build, "drop.failed", 1);
		return 0;
	}
	call.event = rh_build_stamped(build, RH_EV_RESIZE, lane);
	call.event.size = block->size;
	call.event.flags = (uint16_t)block->flags;
	return rh_build_repair(build, &call, err);
}

/* Out of line: what is set to zero here is more than the rest of rh_build_other does. */
static __attribute__((noinline)) int wait_behind(struct rh_build *build, uint32_t lane,
						 const struct rh_event *event, struct rh_err *err)
{
	struct rh_build_waiting call = { .what = RH_CALL_OTHER, .event = *event };

	call.event.lane = lane;
	return rh_build_repair(build, &call, err);
}

/* Spawns, cycles, marks: no address, so only the program order of the lane can hold
 * them back. */
int rh_build_other(struct rh_build *build, uint64_t thread, const struct rh_event *event,
		   struct rh_err *err)
{
	uint32_t lane = build->lane_last;

	if ((!build->lane_known || build->lane_thread != thread) &&
	    rh_build_lane_of(build, thread, &lane, err) < 0)
		return -1;
	if (build->waiting)
		return wait_behind(build, lane, event, err);
	/* It waits for nobody but its lane: straight out, copied once. */
	rh_debug_assert(build->batched < RH_BUILD_BATCH);
	build->batch[build->batched] = *event;
	build->batch[build->batched].lane = lane;
	return sent(build, err);
}

/* The stop waits behind what its lane still has in the window: a lane is silent once
 * it has stopped. */
int rh_build_thread_end(struct rh_build *build, uint64_t thread, struct rh_err *err)
{
	struct rh_build_waiting call = { .what = RH_CALL_OTHER };
	uint32_t lane;

	/* A thread that did nothing else still was a lane. */
	if (rh_build_lane_of(build, thread, &lane, err) < 0)
		return -1;
	/* Systems give numbers of threads out again: a later thread of this number is
	 * another lane. */
	rh_map_remove(&build->lanes, thread);
	build->lane_known = false;
	call.event = rh_build_stamped(build, RH_EV_LANE_STOP, lane);
	return rh_build_repair(build, &call, err);
}

bool rh_build_lane_known(struct rh_build *build, uint64_t thread, uint32_t *lane)
{
	uint64_t known;

	if (!build->lane_known || build->lane_thread != thread) {
		known = rh_map_get(&build->lanes, thread);
		if (known == RH_MAP_NONE)
			return false;
		build->lane_last = (uint32_t)known;
		build->lane_thread = thread;
		build->lane_known = true;
	}
	*lane = build->lane_last;
	assert(*lane < build->lane_count);
	return true;
}

int rh_build_lane(struct rh_build *build, uint64_t thread, uint32_t *lane, struct rh_err *err)
{
	return rh_build_lane_of(build, thread, lane, err);
}
