/*
 * cut_take.c - how an event changes the picture, and what is written of it (see cut.h for the
 * rules). Every function first updates the picture; if the window is open and the lane is
 * chosen, the event is then written under its new numbers.
 */
#include "traces/edit/cut_take.h"

#include <stdlib.h>

#include "alloc/base/grow.h"

int rh_cut_no_memory(const struct rh_cutter *c, struct rh_err *err)
{
	return rh_huge_fail(c && c->objects ? rh_live_count(c->objects) : 0, err);
}

struct rh_event rh_cut_blank(enum rh_kind kind, uint32_t lane, uint64_t time_ns)
{
	return (struct rh_event){
		.kind = (uint8_t)kind,
		.lane = lane,
		.time_ns = time_ns,
		.id = RH_NONE,
		.old = RH_NONE,
		.size = RH_NONE,
		.arg = RH_NONE,
		.task = RH_TASK_NONE,
	};
}

/* ---- lanes ---- */

static bool is_chosen(const struct rh_cut *cut, uint32_t lane)
{
	if (!cut->lanes)
		return true;
	for (size_t i = 0; i < cut->lane_spans; i++)
		if (lane >= cut->lanes[i].from && lane < cut->lanes[i].to)
			return true;
	return false;
}

static bool see_lane(struct rh_cutter *c, uint32_t lane)
{
	if (!rh_reserve(&c->lanes, &c->lanes_cap, (size_t)lane + 1, sizeof(*c->lanes)))
		return false;
	while (c->lane_count <= lane) {
		c->lanes[c->lane_count] = (struct rh_cut_lane){
			.source_thread = RH_NONE,
			.number = UINT32_MAX,
			.chosen = is_chosen(c->cut, (uint32_t)c->lane_count),
		};
		c->lane_count++;
	}
	return true;
}

/* ---- out ---- */

static uint64_t shifted(const struct rh_cutter *c, uint64_t time_ns)
{
	if (time_ns == RH_NONE || c->time_base == RH_NONE)
		return time_ns;
	return time_ns > c->time_base ? time_ns - c->time_base : 0;
}

int rh_cut_put(struct rh_cutter *c, const struct rh_event *event, struct rh_err *err)
{
	struct rh_cut_lane *lane = &c->lanes[event->lane];
	struct rh_event copy = *event;

	if (lane->number == UINT32_MAX) {
		struct rh_event start =
			rh_cut_blank(RH_EV_LANE_START, c->lanes_out, shifted(c, event->time_ns));

		lane->number = c->lanes_out++;
		start.arg = lane->source_thread;
		/* A lane start in the source carries more than its place. */
		if (event->kind == RH_EV_LANE_START) {
			start.task = event->task;
			start.site = event->site;
		}
		if (rh_trace_put(c->out, &start, 1, err) < 0)
			return -1;
	}
	if (event->kind == RH_EV_LANE_START)
		return 0;
	copy.lane = lane->number;
	copy.time_ns = shifted(c, event->time_ns);
	return rh_trace_put(c->out, &copy, 1, err);
}

/* ---- tasks ---- */

static struct rh_cut_task *task_of(const struct rh_cutter *c, uint64_t number)
{
	uint64_t position;

	if (number == 0 || !rh_live_find(c->tasks, number - 1, &position))
		return NULL;
	return rh_live_payload(c->tasks, position);
}

int rh_cut_spawn(struct rh_cutter *c, struct rh_cut_task *task, uint32_t lane, uint64_t time_ns,
		 struct rh_err *err)
{
	struct rh_event event = rh_cut_blank(RH_EV_SPAWN, lane, time_ns);

	task->number = event.id = ++c->spawns;
	task->lane = lane;
	event.size = task->stack_bytes;
	return rh_cut_put(c, &event, err);
}

/* The result's number of a living task (0 for 0); if it has none yet, `lane` spawns it. */
static int adopt(struct rh_cutter *c, uint64_t number, const struct rh_event *event,
		 uint64_t *known, struct rh_err *err)
{
	struct rh_cut_task *task = task_of(c, number);

	*known = number == 0 ? 0 : RH_NONE;
	if (!task)
		return 0;
	if (task->number == RH_NONE) {
		c->counts[RH_CUT_TASKS_ADOPTED]++;
		if (rh_cut_spawn(c, task, event->lane, event->time_ns, err) < 0)
			return -1;
	}
	*known = task->number;
	return 0;
}

/* Puts the result's number of the task that acts into the event. */
static int name_task(struct rh_cutter *c, struct rh_event *event, struct rh_err *err)
{
	uint64_t known;

	if (event->task == RH_TASK_NONE)
		return 0;
	if (adopt(c, event->task, event, &known, err) < 0)
		return -1;
	event->task = known == RH_NONE ? RH_TASK_NONE : (uint32_t)known;
	return 0;
}

static int put_named(struct rh_cutter *c, struct rh_event *event, struct rh_err *err)
{
	return name_task(c, event, err) < 0 ? -1 : rh_cut_put(c, event, err);
}

static int take_spawn(struct rh_cutter *c, struct rh_event *event, struct rh_err *err)
{
	struct rh_cut_task *task;
	uint64_t position;

	if (!rh_live_birth(c->tasks, &position))
		return rh_cut_no_memory(c, err);
	task = rh_live_payload(c->tasks, position);
	*task = (struct rh_cut_task){ .number = RH_NONE,
				      .stack_bytes = event->size,
				      .lane = event->lane };
	if (!c->open || !c->lanes[event->lane].chosen)
		return 0;
	if (name_task(c, event, err) < 0)
		return -1;
	task->number = event->id = ++c->spawns;
	return rh_cut_put(c, event, err);
}

static int take_exit(struct rh_cutter *c, struct rh_event *event, struct rh_err *err)
{
	uint64_t position, number = event->id;
	struct rh_cut_task *task;
	int result = 0;

	if (number == 0 || !rh_live_find(c->tasks, number - 1, &position))
		return 0;
	task = rh_live_payload(c->tasks, position);
	if (c->open && task->number != RH_NONE) {
		if (!rh_map_put(&c->ended, number, task->number))
			return rh_cut_no_memory(c, err);
		event->id = task->number;
		if (!c->lanes[event->lane].chosen)
			event->lane = task->lane;
		result = put_named(c, event, err);
	}
	rh_live_death(c->tasks, position);
	return result;
}

static int take_join(struct rh_cutter *c, struct rh_event *event, struct rh_err *err)
{
	struct rh_cut_task *task = task_of(c, event->id);
	uint64_t number;

	if (!c->open || !c->lanes[event->lane].chosen)
		return 0;
	number = task ? task->number : rh_map_remove(&c->ended, event->id);
	if (number == RH_NONE) {
		c->counts[RH_CUT_JOINS_LEFT_OUT]++;
		return 0;
	}
	event->id = number;
	return put_named(c, event, err);
}

/* grow, shrink, call, return. */
static int take_stack(struct rh_cutter *c, struct rh_event *event, struct rh_err *err)
{
	struct rh_cut_task *task = task_of(c, event->id);
	uint64_t *frames = task ? &task->frames : &c->main_frames;
	uint64_t number;

	if (task && (event->kind == RH_EV_GROW || event->kind == RH_EV_SHRINK))
		task->stack_bytes = event->size;
	if (!c->open || !c->lanes[event->lane].chosen)
		return 0;
	if (event->kind == RH_EV_RETURN && *frames == 0) {
		c->counts[RH_CUT_RETURNS_LEFT_OUT]++;
		return 0;
	}
	*frames += event->kind == RH_EV_CALL;
	*frames -= event->kind == RH_EV_RETURN;
	if (adopt(c, event->id, event, &number, err) < 0)
		return -1;
	event->id = number;
	return put_named(c, event, err);
}

/* ---- objects ---- */

/* The object an event ends, taken from the picture. */
static bool take_dying(struct rh_cutter *c, uint64_t id, struct rh_cut_object *object)
{
	uint64_t position;

	if (!rh_live_find(c->objects, id, &position))
		return false;
	*object = *(struct rh_cut_object *)rh_live_payload(c->objects, position);
	rh_live_death(c->objects, position);
	return true;
}

static int bear(struct rh_cutter *c, const struct rh_event *event, uint32_t lane, uint64_t number,
		struct rh_err *err)
{
	uint64_t position;

	if (!rh_live_birth(c->objects, &position))
		return rh_cut_no_memory(c, err);
	*(struct rh_cut_object *)rh_live_payload(c->objects, position) = (struct rh_cut_object){
		.number = number,
		.size = event->size,
		.lane = lane,
		.site = event->site,
		.flags = event->flags,
		.align_log2 = event->align_log2,
	};
	return 0;
}

static int take_alloc(struct rh_cutter *c, struct rh_event *event, struct rh_err *err)
{
	bool shows = c->open && c->lanes[event->lane].chosen;

	if (bear(c, event, event->lane, shows ? c->births : RH_NONE, err) < 0)
		return -1;
	if (!shows)
		return 0;
	event->id = c->births++;
	return put_named(c, event, err);
}

static int take_free(struct rh_cutter *c, struct rh_event *event, struct rh_err *err)
{
	bool chosen = c->lanes[event->lane].chosen;
	struct rh_cut_object object;

	if (!take_dying(c, event->id, &object) || !c->open)
		return 0;
	if (object.number == RH_NONE) {
		c->counts[RH_CUT_FREES_LEFT_OUT] += chosen;
		return 0;
	}
	event->id = object.number;
	if (!chosen) {
		event->lane = object.lane;
		event->task = RH_TASK_NONE;
		c->counts[RH_CUT_FREES_MOVED]++;
	}
	return put_named(c, event, err);
}

static int take_resize(struct rh_cutter *c, struct rh_event *event, struct rh_err *err)
{
	bool chosen = c->lanes[event->lane].chosen, shows;
	struct rh_cut_object object;

	if (!take_dying(c, event->old, &object))
		return 0;
	if (!chosen && c->lanes[object.lane].chosen) {
		event->lane = object.lane;
		event->task = RH_TASK_NONE;
		c->counts[RH_CUT_FREES_MOVED] += c->open;
	}
	shows = c->open && c->lanes[event->lane].chosen;
	if (bear(c, event, event->lane, shows ? c->births : RH_NONE, err) < 0)
		return -1;
	if (!shows)
		return 0;
	event->id = c->births++;
	event->old = object.number;
	if (object.number == RH_NONE) {
		event->kind = RH_EV_ALLOC;
		event->arg = RH_NONE;
		c->counts[RH_CUT_RESIZES_AS_ALLOCS]++;
	}
	return put_named(c, event, err);
}

/* A question by an omitted lane or about an omitted object is dropped. */
static int take_question(struct rh_cutter *c, struct rh_event *event, struct rh_err *err)
{
	const struct rh_cut_object *object;
	uint64_t position;

	if (!c->open || !c->lanes[event->lane].chosen ||
	    !rh_live_find(c->objects, event->id, &position))
		return 0;
	object = rh_live_payload(c->objects, position);
	if (object->number == RH_NONE)
		return 0;
	event->id = object->number;
	return put_named(c, event, err);
}

/* ---- everything else ---- */

static int take_lane(struct rh_cutter *c, struct rh_event *event, struct rh_err *err)
{
	struct rh_cut_lane *lane = &c->lanes[event->lane];

	if (event->kind == RH_EV_LANE_START)
		lane->source_thread = event->arg;
	else
		lane->stopped = true;
	if (!c->open || !lane->chosen)
		return 0;
	if (event->kind == RH_EV_LANE_STOP && c->hold_stops)
		return 0;
	return put_named(c, event, err);
}

static int take_other(struct rh_cutter *c, struct rh_event *event, struct rh_err *err)
{
	if (!c->open || !c->lanes[event->lane].chosen)
		return 0;
	if (event->kind == RH_EV_GC_END && c->gc_depth == 0) {
		c->counts[RH_CUT_GC_ENDS_LEFT_OUT]++;
		return 0;
	}
	c->gc_depth += event->kind == RH_EV_GC_BEGIN;
	c->gc_depth -= event->kind == RH_EV_GC_END;
	return put_named(c, event, err);
}

int rh_cut_take(struct rh_cutter *c, struct rh_event *event, struct rh_err *err)
{
	if (!see_lane(c, event->lane))
		return rh_cut_no_memory(c, err);
	switch ((enum rh_kind)event->kind) {
	case RH_EV_ALLOC:
		return take_alloc(c, event, err);
	case RH_EV_FREE:
		return take_free(c, event, err);
	case RH_EV_RESIZE:
		return take_resize(c, event, err);
	case RH_EV_USABLE:
		return take_question(c, event, err);
	case RH_EV_LANE_START:
	case RH_EV_LANE_STOP:
		return take_lane(c, event, err);
	case RH_EV_SPAWN:
		return take_spawn(c, event, err);
	case RH_EV_EXIT:
		return take_exit(c, event, err);
	case RH_EV_JOIN:
		return take_join(c, event, err);
	case RH_EV_GROW:
	case RH_EV_SHRINK:
	case RH_EV_CALL:
	case RH_EV_RETURN:
		return take_stack(c, event, err);
	default:
		return take_other(c, event, err);
	}
}
