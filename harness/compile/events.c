/*
 * events.c - one event: its edges, its ops, its facts.
 *
 * Path of an event: find the replay lane of its trace lane (a new one gets a TURN);
 * put the time that passed (PACE); put a WAIT for every edge that the clocks do not
 * imply; put the op; note the position on the lane for later edges.
 *
 * The edges, all of them:
 *	birth of an object	-> its free or resize, or a question about it
 *	question		-> the next one about the object, its free or resize
 *	op on a task		-> next op on it
 *	spawn of a task		-> first event of the task
 *	last event and op of a task -> join of it
 * Program order enforces edges within a lane, the barrier between epochs those from an earlier
 * epoch.
 */
#include <assert.h>
#include <stdlib.h>

#include "alloc/backend.h"
#include "alloc/base/debug.h"
#include "alloc/base/grow.h"
#include "harness/compile/object.h"
#include "harness/compile/state.h"

/* The largest alignment a backend must serve is 2 MiB; 2^47 is all of user space. */
enum { ALIGN_LOG2_MAX = 47 };

int rh_compile_lanes(struct rh_compiling *c, uint32_t lanes, struct rh_err *err)
{
	uint64_t *paced;

	if (lanes <= c->lane_room)
		return 0;
	paced = reallocarray(c->paced_ns, lanes, sizeof(*paced));
	if (!paced)
		return rh_fail(err, RH_OS, "no memory for %u lanes", lanes);
	memset(paced + c->lane_room, 0, (lanes - c->lane_room) * sizeof(*paced));
	c->paced_ns = paced;
	if (rh_out_lanes(&c->out, lanes, err) < 0 || rh_clocks_lanes(&c->clocks, lanes, err) < 0 ||
	    rh_slots_lanes(&c->slots, lanes, err) < 0 ||
	    rh_slots_lanes(&c->task_slots, lanes, err) < 0)
		return -1;
	c->lane_room = lanes;
	assert(c->out.lane_count >= lanes && c->clocks.lanes >= lanes && c->slots.lanes >= lanes);
	return 0;
}

static void forget_questions(struct rh_compiling *c)
{
	for (size_t i = 0; i < c->asked_count; i++) {
		struct rh_id *object = rh_ids_find(&c->objects, c->asked[i]);

		if (object)
			object->a &= ~RH_OBJECT_ASKED;
	}
	c->asked_count = 0;
}

int rh_compile_barrier(struct rh_compiling *c, struct rh_err *err)
{
	assert(c->out.cut_count == 0); /* the epoch has been spooled */
	forget_questions(c);
	rh_clocks_barrier(&c->clocks);
	rh_tasks_barrier(&c->tasks);
	c->epoch++;
	c->epoch_object = c->objects.next;
	return rh_slots_barrier(&c->slots, err) < 0 || rh_slots_barrier(&c->task_slots, err) < 0
		       ? -1
		       : 0;
}

static int bad(const struct rh_compiling *c, const char *what, uint64_t id, struct rh_err *err)
{
	return rh_fail(err, RH_BAD_DATA, "event %llu: %s %llu", (unsigned long long)c->events, what,
		       (unsigned long long)id);
}

/* The one place where an edge becomes a WAIT. */
static int order_slow(struct rh_compiling *c, uint32_t lane, uint32_t source, uint32_t position,
		      struct rh_err *err)
{
	if (rh_clocks_knows(&c->clocks, lane, source, position))
		return 0;
	if (rh_out_wait(&c->out, lane, source, position, err) < 0)
		return -1;
	return rh_clocks_wait(&c->clocks,
			      &(struct rh_clock_wait){ .lane = lane,
						       .at = c->out.lanes[lane].count,
						       .source = source,
						       .position = position },
			      err);
}

static inline int order_object(struct rh_compiling *c, uint32_t lane, uint64_t id,
			       const struct rh_id *object, struct rh_err *err)
{
	uint32_t source = rh_object_lane(object->b);

	if (source == lane)
		return 0;
	rh_debug_assert(source < c->lanes.count);
	c->edges_all++;
	if (id < c->epoch_object && !(object->a & RH_OBJECT_ASKED))
		return 0;
	return order_slow(c, lane, source, rh_object_position(object->b), err);
}

static int order_point(struct rh_compiling *c, uint32_t lane, const struct rh_point *point,
		       struct rh_err *err)
{
	if (point->epoch == 0 || point->lane == lane)
		return 0;
	c->edges_all++;
	if (point->epoch != c->epoch)
		return 0;
	return order_slow(c, lane, point->lane, point->position, err);
}

static struct rh_point here(const struct rh_compiling *c, uint32_t lane)
{
	return (struct rh_point){ c->epoch, lane, c->out.lanes[lane].count };
}

/* ---- objects ---- */

static void fact_birth(struct rh_compiling *c, uint64_t size)
{
	struct rh_grain *grain = &c->grain;

	grain->bytes_allocated += size;
	grain->live_bytes += size;
	grain->live_objects++;
	c->touch_live += size <= c->touch_bound ? size : 0;
	if (grain->live_bytes > c->live_bytes_peak)
		c->live_bytes_peak = grain->live_bytes;
	if (grain->live_objects > c->live_objects_peak)
		c->live_objects_peak = grain->live_objects;
	if (size > c->size_max)
		c->size_max = size;
}

static void fact_death(struct rh_compiling *c, uint64_t size)
{
	assert(c->grain.live_objects > 0 && c->grain.live_bytes >= size);
	c->grain.live_bytes -= size;
	c->touch_live -= size <= c->touch_bound ? size : 0;
	c->grain.live_objects--;
}

/* Touches only as much of a large block as the program can have had resident. */
static uint64_t bounded(struct rh_compiling *c, uint64_t size, uint64_t bytes)
{
	if (size < RH_TOUCH_LARGE_BYTES ||
	    (size <= c->touch_bound && c->touch_live <= c->touch_bound))
		return bytes;
	c->untouched++;
	c->untouched_bytes += bytes;
	return 0;
}

/* An object whose ops have been put out. */
struct birth {
	uint32_t slot, lane;
	uint64_t size_old; /* before a resize; 0 = it is new */
	uint64_t size;
};

/* The new part of a block: all of it that was touched, or what a resize added. */
static int put_touch(struct rh_compiling *c, struct rh_out_lane *to, const struct birth *birth,
		     struct rh_err *err)
{
	uint64_t size = birth->size, size_old = birth->size_old;
	bool large = size >= RH_TOUCH_LARGE_BYTES;
	uint64_t bytes = RH_NONE;

	if (c->touch && rh_touch_next(c->touch, &bytes, err) < 0)
		return -1;
	if (!c->touch && !large)
		return 0;
	if (bytes > size)
		bytes = bounded(c, size, size);
	if (bytes <= size_old)
		return 0;
	if (large) {
		rh_out_op(to, RH_OP_MISC, RH_MISC_TOUCH, 3);
		rh_out_word(to, birth->slot);
		rh_out_word(to, size_old);
		rh_out_word(to, bytes);
	} else {
		rh_out_op(to, RH_OP_TOUCH, birth->slot, (uint32_t)bytes);
	}
	return 0;
}

/* The object's place in the table, filled in after the ops are out. */
static int bear(struct rh_compiling *c, const struct rh_event *event, const struct birth *birth,
		struct rh_err *err)
{
	uint32_t slot = birth->slot, lane = birth->lane;
	struct rh_out_lane *to = &c->out.lanes[lane];
	struct rh_id *born;

	if (event->id != c->objects.next)
		return bad(c, "objects are numbered as they are born, and this is not the next:",
			   event->id, err);
	born = rh_ids_add(&c->objects, err);
	if (!born)
		return -1;
	fact_birth(c, birth->size);
	if (put_touch(c, to, birth, err) < 0)
		return -1;
	*born = (struct rh_id){ .a = birth->size | (event->align_log2 ? RH_OBJECT_ALIGNED : 0) |
				     (rh_object_new(event) ? RH_OBJECT_NEW : 0),
				.b = rh_object_at(slot, lane, to->count) };
	rh_debug_assert(rh_object_slot(born->b) == slot && rh_object_lane(born->b) == lane &&
			rh_object_position(born->b) == to->count);
	return 0;
}

static void put_alloc(struct rh_out_lane *to, const struct rh_event *event, uint32_t slot,
		      uint64_t size)
{
	static const uint8_t kinds[] = { RH_OP_ALLOC, RH_OP_ZALLOC, RH_OP_NOSCAN, RH_OP_ALLOC_AS };
	uint32_t flags = (event->flags & RH_EVF_ZEROED ? RH_ALLOC_ZEROED : 0) |
			 (event->flags & RH_EVF_NOSCAN ? RH_ALLOC_NOSCAN : 0) |
			 (event->flags & RH_EVF_REALLOC ? RH_ALLOC_REALLOC : 0) |
			 (rh_object_new(event) ? RH_ALLOC_NEW : 0);
	uint32_t kind = flags < sizeof(kinds) ? kinds[flags] : RH_OP_ALLOC_AS;

	_Static_assert(RH_ALLOC_ZEROED == 1 && RH_ALLOC_NOSCAN == 2, "kinds[] goes by flags");
	if (kind != RH_OP_ALLOC_AS && event->align_log2 == 0 && size <= UINT32_MAX) {
		rh_out_op(to, kind, slot, (uint32_t)size);
		return;
	}
	rh_out_op(to, RH_OP_ALLOC_AS, slot, flags | (uint32_t)event->align_log2 << 8);
	rh_out_word(to, size);
}

static int do_alloc(struct rh_compiling *c, const struct rh_event *event, uint32_t lane,
		    struct rh_err *err)
{
	uint64_t size = event->size == RH_NONE ? 0 : event->size;
	uint32_t slot;

	if (event->align_log2 > ALIGN_LOG2_MAX)
		return bad(c, "an alignment beyond 2^47: log2 is", event->align_log2, err);
	if (rh_slots_take(&c->slots, lane, &slot, err) < 0)
		return -1;
	put_alloc(&c->out.lanes[lane], event, slot, size);
	return bear(c, event, &(struct birth){ slot, lane, 0, size }, err);
}

static int do_free(struct rh_compiling *c, const struct rh_event *event, uint32_t lane,
		   struct rh_err *err)
{
	const struct rh_id *found = rh_ids_find(&c->objects, event->id);
	struct rh_out_lane *to;
	struct rh_id object;
	uint64_t size;
	uint32_t slot;
	bool sized, deleted;

	if (!found)
		return bad(c, "frees an object that does not live:", event->id, err);
	object = *found;
	slot = rh_object_slot(object.b);
	assert(slot < c->slots.used);
	if (order_object(c, lane, event->id, &object, err) < 0)
		return -1;
	rh_ids_remove(&c->objects, event->id);
	size = rh_object_size(&object);
	fact_death(c, size);
	to = &c->out.lanes[lane];
	/* With the requested size, whether or not the program passed it: another allocator may have
	 * no class in which both sizes fit. */
	sized = event->flags & RH_EVF_SIZED && !(object.a & RH_OBJECT_ALIGNED);
	deleted = (!sized || !size) && object.a & RH_OBJECT_NEW;
	if ((sized || deleted) && size < RH_FREE_DELETE) {
		rh_out_op(to, RH_OP_FREE_SIZED, slot,
			  (uint32_t)size | (deleted ? RH_FREE_DELETE : 0));
	} else if (size <= UINT32_MAX) {
		rh_out_op(to, RH_OP_FREE, slot, (uint32_t)size);
	} else {
		rh_out_op(to, RH_OP_MISC, RH_MISC_FREE_BIG, 2);
		rh_out_word(to, slot);
		rh_out_word(to, size);
	}
	return rh_slots_give(&c->slots, lane, slot, err);
}

/* The new object keeps the slot of the old one. */
static int do_resize(struct rh_compiling *c, const struct rh_event *event, uint32_t lane,
		     struct rh_err *err)
{
	const struct rh_id *found = rh_ids_find(&c->objects, event->old);
	uint64_t size = event->size == RH_NONE ? 0 : event->size;
	struct rh_out_lane *to;
	struct rh_id old;
	uint32_t slot;
	bool asked;

	if (!found)
		return bad(c, "resizes an object that does not live:", event->old, err);
	old = *found;
	slot = rh_object_slot(old.b);
	assert(slot < c->slots.used);
	if (order_object(c, lane, event->old, &old, err) < 0)
		return -1;
	rh_ids_remove(&c->objects, event->old);
	fact_death(c, rh_object_size(&old));
	to = &c->out.lanes[lane];
	asked = to->asked_events == to->events && to->asked_slot == slot &&
		size > rh_object_size(&old);
	if (size <= UINT32_MAX && !asked) {
		rh_out_op(to, RH_OP_RESIZE, slot, (uint32_t)size);
	} else {
		rh_out_op(to, RH_OP_MISC, asked ? RH_MISC_RESIZE_ASKED : RH_MISC_RESIZE_BIG, 3);
		rh_out_word(to, slot);
		rh_out_word(to, size);
	}
	rh_out_word(to, rh_object_size(&old));
	return bear(c, event, &(struct birth){ slot, lane, rh_object_size(&old), size }, err);
}

/* From now on the object's place is in this epoch. */
static int note_question(struct rh_compiling *c, uint64_t id, struct rh_id *object,
			 struct rh_err *err)
{
	if (id >= c->epoch_object || object->a & RH_OBJECT_ASKED)
		return 0;
	if (!rh_reserve(&c->asked, &c->asked_room, c->asked_count + 1, sizeof(*c->asked)))
		return rh_no_memory(err, "questions");
	c->asked[c->asked_count++] = id;
	object->a |= RH_OBJECT_ASKED;
	return 0;
}

static int do_usable(struct rh_compiling *c, const struct rh_event *event, uint32_t lane,
		     struct rh_err *err)
{
	struct rh_id *object = rh_ids_find(&c->objects, event->id);
	struct rh_out_lane *to;
	uint32_t slot;

	if (!object)
		return bad(c, "asks about an object that does not live:", event->id, err);
	if (order_object(c, lane, event->id, object, err) < 0)
		return -1;
	slot = rh_object_slot(object->b);
	assert(slot < c->slots.used);
	to = &c->out.lanes[lane];
	rh_out_op(to, RH_OP_MISC, RH_MISC_USABLE, 2);
	rh_out_word(to, slot);
	rh_out_word(to, rh_object_size(object));
	to->asked_events = to->events + 1; /* this one among them */
	to->asked_slot = slot;
	object->b = rh_object_at(slot, lane, to->count);
	return note_question(c, event->id, object, err);
}

/* ---- tasks ---- */

static uint32_t clamp32(uint64_t value)
{
	return value == RH_NONE ? 0 : value > UINT32_MAX ? UINT32_MAX : (uint32_t)value;
}

static int do_spawn(struct rh_compiling *c, const struct rh_event *event, uint32_t lane,
		    struct rh_err *err)
{
	struct rh_task *task;

	if (event->id != c->tasks.ids.next)
		return bad(c, "tasks are numbered as they are spawned, and this is not the next:",
			   event->id, err);
	task = rh_tasks_spawn(&c->tasks, err);
	if (!task || rh_slots_take(&c->task_slots, lane, &task->slot, err) < 0)
		return -1;
	assert(task->slot < c->task_slots.used);
	rh_out_op(&c->out.lanes[lane], RH_OP_SPAWN, task->slot, clamp32(event->size));
	task->op = here(c, lane);
	c->grain.live_tasks++;
	c->grain.spawns++;
	c->task_count++;
	return 0;
}

static int do_join(struct rh_compiling *c, const struct rh_event *event, uint32_t lane,
		   struct rh_err *err)
{
	const struct rh_task *task = rh_tasks_find(&c->tasks, event->id);

	if (!task)
		return 0; /* ended before the last barrier */
	if (order_point(c, lane, &task->event, err) < 0)
		return -1;
	return order_point(c, lane, &task->op, err);
}

static void enter_frame(struct rh_compiling *c, struct rh_task *task, uint64_t bytes)
{
	task->stack_bytes += bytes;
	c->grain.stack_bytes += bytes;
	c->grain.calls++;
}

static void leave_frames(struct rh_compiling *c, struct rh_task *task, uint64_t bytes)
{
	if (bytes > task->stack_bytes)
		bytes = task->stack_bytes;
	assert(c->grain.stack_bytes >= bytes);
	task->stack_bytes -= bytes;
	c->grain.stack_bytes -= bytes;
}

static int put_task_op(struct rh_compiling *c, const struct rh_event *event, struct rh_task *task,
		       uint32_t lane, struct rh_err *err)
{
	struct rh_out_lane *to = &c->out.lanes[lane];

	switch (event->kind) {
	case RH_EV_CALL:
		rh_out_op(to, RH_OP_CALL, task->slot, clamp32(event->size));
		enter_frame(c, task, clamp32(event->size));
		return 0;
	case RH_EV_RETURN:
		rh_out_op(to, RH_OP_RETURN, task->slot, clamp32(event->size));
		leave_frames(c, task, clamp32(event->size));
		return 0;
	case RH_EV_EXIT:
		rh_out_op(to, RH_OP_EXIT, task->slot, 0);
		leave_frames(c, task, task->stack_bytes);
		assert(c->grain.live_tasks > 0);
		c->grain.live_tasks--;
		if (rh_slots_give(&c->task_slots, lane, task->slot, err) < 0)
			return -1;
		return rh_tasks_exit(&c->tasks, event->id, task, err);
	default:
		c->stacks_grow |= event->kind == RH_EV_GROW;
		rh_out_op(to, RH_OP_MISC, event->kind == RH_EV_GROW ? RH_MISC_GROW : RH_MISC_SHRINK,
			  3);
		rh_out_word(to, task->slot);
		rh_out_word(to, event->size == RH_NONE ? 0 : event->size);
		rh_out_word(to, event->arg);
		return 0;
	}
}

static int do_task_op(struct rh_compiling *c, const struct rh_event *event, uint32_t lane,
		      struct rh_err *err)
{
	struct rh_task *task = rh_tasks_find(&c->tasks, event->id);

	if (!task || !task->alive)
		return bad(c, "names a task that is not alive:", event->id, err);
	if (order_point(c, lane, &task->op, err) < 0 || put_task_op(c, event, task, lane, err) < 0)
		return -1;
	task->op = here(c, lane);
	return 0;
}

/* ---- all ---- */

static void put_words(struct rh_out_lane *to, enum rh_misc what, uint64_t word)
{
	rh_out_op(to, RH_OP_MISC, what, 1);
	rh_out_word(to, word);
}

static int start_lane(struct rh_compiling *c, uint32_t trace_lane, struct rh_err *err)
{
	uint32_t lane;

	if (rh_lanes_start(&c->lanes, trace_lane, err) < 0 ||
	    rh_compile_lanes(c, c->lanes.count, err) < 0)
		return -1;
	lane = c->lanes.carrier[trace_lane];
	assert(lane < c->lane_room);
	if (rh_out_begin(&c->out, lane, err) < 0)
		return -1;
	put_words(&c->out.lanes[lane], RH_MISC_TURN, trace_lane);
	c->out.lanes[lane].turns++;
	return 0;
}

/* Recorded time that has passed on the lane; later ops make up for what four cannot hold (17 s). */
static void put_pace(struct rh_compiling *c, uint32_t lane, uint64_t time_ns)
{
	for (int i = 0; i < RH_EVENT_PACES_MAX && c->paced_ns[lane] < time_ns; i++) {
		uint32_t gap = clamp32(time_ns - c->paced_ns[lane]);

		rh_out_op(&c->out.lanes[lane], RH_OP_PACE, 0, gap);
		c->paced_ns[lane] += gap;
	}
}

static int do_kind(struct rh_compiling *c, const struct rh_event *event, uint32_t lane,
		   struct rh_err *err)
{
	switch (event->kind) {
	case RH_EV_ALLOC:
		return do_alloc(c, event, lane, err);
	case RH_EV_FREE:
		return do_free(c, event, lane, err);
	case RH_EV_RESIZE:
		return do_resize(c, event, lane, err);
	case RH_EV_USABLE:
		return do_usable(c, event, lane, err);
	case RH_EV_SPAWN:
		return do_spawn(c, event, lane, err);
	case RH_EV_JOIN:
		return do_join(c, event, lane, err);
	case RH_EV_CALL:
	case RH_EV_RETURN:
	case RH_EV_EXIT:
	case RH_EV_GROW:
	case RH_EV_SHRINK:
		return do_task_op(c, event, lane, err);
	case RH_EV_GC_BEGIN:
		put_words(&c->out.lanes[lane], RH_MISC_GC_BEGIN, event->id);
		return 0;
	case RH_EV_GC_END:
		put_words(&c->out.lanes[lane], RH_MISC_GC_END, event->id);
		return 0;
	case RH_EV_FREE_NULL:
		put_words(&c->out.lanes[lane], RH_MISC_FREE_NULL, 0);
		return 0;
	default:
		return 0; /* lane_start, lane_stop, mark, ref, gap, map, unmap have no op */
	}
}

/* A task's first event follows its spawn. */
static int before_task(struct rh_compiling *c, const struct rh_task *task, uint32_t lane,
		       struct rh_err *err)
{
	return task && task->event.epoch == 0 ? order_point(c, lane, &task->op, err) : 0;
}

static bool has_op(unsigned kind)
{
	return kind != RH_EV_LANE_START && kind != RH_EV_LANE_STOP && kind != RH_EV_JOIN &&
	       kind != RH_EV_MARK && kind != RH_EV_REF && kind != RH_EV_GAP && kind != RH_EV_MAP &&
	       kind != RH_EV_UNMAP;
}

static int do_with_task(struct rh_compiling *c, const struct rh_event *event, uint32_t lane,
			struct rh_err *err)
{
	struct rh_task *task = rh_tasks_find(&c->tasks, event->task);

	if (before_task(c, task, lane, err) < 0 || do_kind(c, event, lane, err) < 0)
		return -1;
	task = rh_tasks_find(&c->tasks, event->task); /* a spawn moves records */
	if (task)
		task->event = here(c, lane);
	return 0;
}

int rh_compile_event(struct rh_compiling *c, const struct rh_event *event, struct rh_err *err)
{
	uint32_t lane = rh_lanes_carrier(&c->lanes, event->lane);

	if (lane == RH_LANE_NONE) {
		if (start_lane(c, event->lane, err) < 0)
			return -1;
		lane = c->lanes.carrier[event->lane];
	}
	if (rh_out_begin(&c->out, lane, err) < 0)
		return -1;
	if (c->times && event->time_ns != RH_NONE && has_op(event->kind))
		put_pace(c, lane, event->time_ns);
	if (event->task == RH_TASK_NONE ? do_kind(c, event, lane, err) < 0
					: do_with_task(c, event, lane, err) < 0)
		return -1;
	c->out.lanes[lane].events++;
	c->events++;
	c->grain.events++;
	if (event->time_ns != RH_NONE) {
		c->grain.time_ns = event->time_ns;
		c->time_ns_last = c->time_ns_last == RH_NONE || event->time_ns > c->time_ns_last
					  ? event->time_ns
					  : c->time_ns_last;
	}
	if (event->kind == RH_EV_LANE_STOP)
		rh_lanes_stop(&c->lanes, event->lane);
	return 0;
}
