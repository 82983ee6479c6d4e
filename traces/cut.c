/*
 * cut.c - see cut.h. The path of an event: before the window it only moves the picture of
 * what lives (watch_*); at the window's first event the picture is put down (open_window);
 * inside, every event goes through the same picture and then out under its new numbers;
 * at the end what is still open is closed (close_window).
 *
 * The picture: rh_live sets of objects and tasks, whose payloads say under which number
 * the result knows them (RH_NONE: not at all), and an array of lanes.
 *
 * Stops of lanes wait for the end when frees may be moved to a lane (choice of lanes,
 * drain): the lane may have stopped by then.
 */
#include "traces/cut.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "traces/live.h"
#include "traces/map.h"

struct object {
	uint64_t number, size;
	uint32_t lane, site;
	uint16_t flags;
	uint8_t align_log2;
};

struct task {
	uint64_t number, stack_bytes;
	uint64_t frames;	/* entered inside the window */
	uint32_t lane;
};

struct lane {
	uint64_t source_thread;
	uint32_t number;	/* in the result; UINT32_MAX = not there */
	bool chosen, stopped;
};

enum count {
	OBJECTS_BEFORE, TASKS_BEFORE, TASKS_ADOPTED, FREES_MOVED, FREES_LEFT_OUT,
	RESIZES_AS_ALLOCS, RETURNS_LEFT_OUT, JOINS_LEFT_OUT, GC_ENDS_LEFT_OUT, DRAINED, COUNTS
};

static const char *const count_keys[COUNTS] = {
	"cut.objects_before", "cut.tasks_before", "cut.tasks_adopted", "cut.frees_moved",
	"cut.frees_left_out", "cut.resizes_as_allocs", "cut.returns_left_out",
	"cut.joins_left_out", "cut.gc_ends_left_out", "cut.drained",
};

struct cutter {
	const struct rh_cut *cut;
	struct rh_trace_out *out;
	struct rh_live *objects, *tasks;
	struct rh_map ended;		/* task -> number, for joins */
	struct lane *lanes;
	size_t lane_count, lanes_cap;
	uint32_t lanes_out;
	uint64_t births, spawns;	/* numbers given in the result */
	uint64_t time_base;		/* RH_NONE until a time is known */
	uint64_t main_frames, gc_depth;
	uint32_t site_max;
	bool open, hold_stops;
	uint64_t counts[COUNTS];
};

static int no_memory(struct rh_err *err)
{
	return rh_fail(err, RH_OS, "memory for the living objects of the trace ran out");
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

static bool see_lane(struct cutter *c, uint32_t lane)
{
	if (lane >= c->lanes_cap) {
		size_t cap = c->lanes_cap ? c->lanes_cap : 64;
		struct lane *lanes;

		while (cap <= lane)
			cap *= 2;
		lanes = reallocarray(c->lanes, cap, sizeof(*lanes));
		if (!lanes)
			return false;
		c->lanes = lanes;
		c->lanes_cap = cap;
	}
	while (c->lane_count <= lane) {
		c->lanes[c->lane_count] = (struct lane){
			.source_thread = RH_NONE, .number = UINT32_MAX,
			.chosen = is_chosen(c->cut, (uint32_t)c->lane_count),
		};
		c->lane_count++;
	}
	return true;
}

/* ---- out ---- */

static uint64_t shifted(const struct cutter *c, uint64_t time_ns)
{
	if (time_ns == RH_NONE || c->time_base == RH_NONE)
		return time_ns;
	return time_ns > c->time_base ? time_ns - c->time_base : 0;
}

static struct rh_event blank(enum rh_kind kind, uint32_t lane, uint64_t time_ns)
{
	return (struct rh_event){
		.kind = (uint8_t)kind, .lane = lane, .time_ns = time_ns, .id = RH_NONE,
		.old = RH_NONE, .size = RH_NONE, .arg = RH_NONE, .task = RH_TASK_NONE,
	};
}

/* Writes an event whose lane is the source's and whose other numbers are the result's. */
static int put(struct cutter *c, const struct rh_event *event, struct rh_err *err)
{
	struct lane *lane = &c->lanes[event->lane];
	struct rh_event copy = *event;

	if (lane->number == UINT32_MAX) {
		struct rh_event start = blank(RH_EV_LANE_START, c->lanes_out,
					      shifted(c, event->time_ns));

		lane->number = c->lanes_out++;
		start.arg = lane->source_thread;
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

static struct task *task_of(const struct cutter *c, uint64_t number)
{
	uint64_t position;

	if (number == 0 || !rh_live_find(c->tasks, number - 1, &position))
		return NULL;
	return rh_live_payload(c->tasks, position);
}

static int spawn(struct cutter *c, struct task *task, uint32_t lane, uint64_t time_ns,
		 struct rh_err *err)
{
	struct rh_event event = blank(RH_EV_SPAWN, lane, time_ns);

	task->number = event.id = ++c->spawns;
	task->lane = lane;
	event.size = task->stack_bytes;
	return put(c, &event, err);
}

/* The result's number of a living task (0 of 0); one not known yet is spawned by `lane`. */
static int adopt(struct cutter *c, uint64_t number, const struct rh_event *event,
		 uint64_t *known, struct rh_err *err)
{
	struct task *task = task_of(c, number);

	*known = number == 0 ? 0 : RH_NONE;
	if (!task)
		return 0;
	if (task->number == RH_NONE) {
		c->counts[TASKS_ADOPTED]++;
		if (spawn(c, task, event->lane, event->time_ns, err) < 0)
			return -1;
	}
	*known = task->number;
	return 0;
}

/* Puts the result's number of the task that acts into the event. */
static int name_task(struct cutter *c, struct rh_event *event, struct rh_err *err)
{
	uint64_t known;

	if (event->task == RH_TASK_NONE)
		return 0;
	if (adopt(c, event->task, event, &known, err) < 0)
		return -1;
	event->task = known == RH_NONE ? RH_TASK_NONE : (uint32_t)known;
	return 0;
}

static int take_spawn(struct cutter *c, struct rh_event *event, struct rh_err *err)
{
	struct task *task;
	uint64_t position;

	if (!rh_live_birth(c->tasks, &position))
		return no_memory(err);
	task = rh_live_payload(c->tasks, position);
	*task = (struct task){ .number = RH_NONE, .stack_bytes = event->size,
			       .lane = event->lane };
	if (!c->open || !c->lanes[event->lane].chosen)
		return 0;
	if (name_task(c, event, err) < 0)
		return -1;
	/* name_task may not move payloads: it bears no task. */
	task->number = event->id = ++c->spawns;
	return put(c, event, err);
}

static int take_exit(struct cutter *c, struct rh_event *event, struct rh_err *err)
{
	uint64_t position, number = event->id;
	struct task *task;
	int result = 0;

	if (number == 0 || !rh_live_find(c->tasks, number - 1, &position))
		return 0;
	task = rh_live_payload(c->tasks, position);
	if (c->open && task->number != RH_NONE) {
		if (!rh_map_put(&c->ended, number, task->number))
			return no_memory(err);
		event->id = task->number;
		if (!c->lanes[event->lane].chosen)
			event->lane = task->lane;
		result = name_task(c, event, err) < 0 ? -1 : put(c, event, err);
	}
	rh_live_death(c->tasks, position);
	return result;
}

static int take_join(struct cutter *c, struct rh_event *event, struct rh_err *err)
{
	struct task *task = task_of(c, event->id);
	uint64_t number;

	if (!c->open || !c->lanes[event->lane].chosen)
		return 0;
	number = task ? task->number : rh_map_remove(&c->ended, event->id);
	if (number == RH_NONE) {
		c->counts[JOINS_LEFT_OUT]++;
		return 0;
	}
	event->id = number;
	return name_task(c, event, err) < 0 ? -1 : put(c, event, err);
}

/* grow, shrink, call, return. */
static int take_stack(struct cutter *c, struct rh_event *event, struct rh_err *err)
{
	struct task *task = task_of(c, event->id);
	uint64_t *frames = task ? &task->frames : &c->main_frames;
	uint64_t number;

	if (task && (event->kind == RH_EV_GROW || event->kind == RH_EV_SHRINK))
		task->stack_bytes = event->size;
	if (!c->open || !c->lanes[event->lane].chosen)
		return 0;
	if (event->kind == RH_EV_RETURN && *frames == 0) {
		c->counts[RETURNS_LEFT_OUT]++;
		return 0;
	}
	*frames += event->kind == RH_EV_CALL;
	*frames -= event->kind == RH_EV_RETURN;
	if (adopt(c, event->id, event, &number, err) < 0)
		return -1;
	event->id = number;
	return name_task(c, event, err) < 0 ? -1 : put(c, event, err);
}

/* ---- objects ---- */

/* The object an event ends, taken from the picture. */
static bool take_dying(struct cutter *c, uint64_t id, struct object *object)
{
	uint64_t position;

	if (!rh_live_find(c->objects, id, &position))
		return false;
	*object = *(struct object *)rh_live_payload(c->objects, position);
	rh_live_death(c->objects, position);
	return true;
}

static int bear(struct cutter *c, const struct rh_event *event, uint32_t lane, uint64_t number,
		struct rh_err *err)
{
	uint64_t position;

	if (!rh_live_birth(c->objects, &position))
		return no_memory(err);
	*(struct object *)rh_live_payload(c->objects, position) = (struct object){
		.number = number, .size = event->size, .lane = lane, .site = event->site,
		.flags = event->flags, .align_log2 = event->align_log2,
	};
	return 0;
}

static int take_alloc(struct cutter *c, struct rh_event *event, struct rh_err *err)
{
	bool shows = c->open && c->lanes[event->lane].chosen;

	if (bear(c, event, event->lane, shows ? c->births : RH_NONE, err) < 0)
		return -1;
	if (!shows)
		return 0;
	event->id = c->births++;
	return name_task(c, event, err) < 0 ? -1 : put(c, event, err);
}

static int take_free(struct cutter *c, struct rh_event *event, struct rh_err *err)
{
	bool chosen = c->lanes[event->lane].chosen;
	struct object object;

	if (!take_dying(c, event->id, &object) || !c->open)
		return 0;
	if (object.number == RH_NONE) {
		c->counts[FREES_LEFT_OUT] += chosen;
		return 0;
	}
	event->id = object.number;
	if (!chosen) {
		event->lane = object.lane;
		event->task = RH_TASK_NONE;
		c->counts[FREES_MOVED]++;
	}
	return name_task(c, event, err) < 0 ? -1 : put(c, event, err);
}

static int take_resize(struct cutter *c, struct rh_event *event, struct rh_err *err)
{
	bool chosen = c->lanes[event->lane].chosen, shows;
	struct object object;

	if (!take_dying(c, event->old, &object))
		return 0;
	if (!chosen && c->lanes[object.lane].chosen) {
		event->lane = object.lane;
		event->task = RH_TASK_NONE;
		c->counts[FREES_MOVED] += c->open;
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
		c->counts[RESIZES_AS_ALLOCS]++;
	}
	return name_task(c, event, err) < 0 ? -1 : put(c, event, err);
}

/* ---- everything else ---- */

static int take_lane(struct cutter *c, struct rh_event *event, struct rh_err *err)
{
	struct lane *lane = &c->lanes[event->lane];

	if (event->kind == RH_EV_LANE_START)
		lane->source_thread = event->arg;
	else
		lane->stopped = true;
	if (!c->open || !lane->chosen)
		return 0;
	if (event->kind == RH_EV_LANE_STOP && c->hold_stops)
		return 0;
	return name_task(c, event, err) < 0 ? -1 : put(c, event, err);
}

static int take_other(struct cutter *c, struct rh_event *event, struct rh_err *err)
{
	if (event->kind == RH_EV_MARK || event->kind == RH_EV_REF)
		c->site_max = event->id > c->site_max && event->id <= UINT32_MAX ?
				      (uint32_t)event->id : c->site_max;
	if (!c->open || !c->lanes[event->lane].chosen)
		return 0;
	if (event->kind == RH_EV_GC_END && c->gc_depth == 0) {
		c->counts[GC_ENDS_LEFT_OUT]++;
		return 0;
	}
	c->gc_depth += event->kind == RH_EV_GC_BEGIN;
	c->gc_depth -= event->kind == RH_EV_GC_END;
	return name_task(c, event, err) < 0 ? -1 : put(c, event, err);
}

static int take(struct cutter *c, struct rh_event *event, struct rh_err *err)
{
	if (!see_lane(c, event->lane))
		return no_memory(err);
	if (event->site > c->site_max)
		c->site_max = event->site;
	switch ((enum rh_kind)event->kind) {
	case RH_EV_ALLOC:
		return take_alloc(c, event, err);
	case RH_EV_FREE:
		return take_free(c, event, err);
	case RH_EV_RESIZE:
		return take_resize(c, event, err);
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

/* ---- the window's ends ---- */

static int put_object(struct cutter *c, struct object *object, struct rh_err *err)
{
	struct rh_event event = blank(RH_EV_ALLOC, object->lane, c->time_base);

	if (!c->lanes[object->lane].chosen)
		return 0;
	event.id = object->number = c->births++;
	event.size = object->size;
	event.site = object->site;
	event.flags = object->flags;
	event.align_log2 = object->align_log2;
	c->counts[OBJECTS_BEFORE]++;
	return put(c, &event, err);
}

/* Lanes that run, then tasks, then objects, each in the order of the source; then lanes
 * that had stopped but own objects stop again. */
static int open_window(struct cutter *c, struct rh_err *err)
{
	uint64_t position, id;

	c->open = true;
	for (uint32_t i = 0; i < c->lane_count; i++) {
		struct rh_event start = blank(RH_EV_LANE_START, i, c->time_base);

		if (c->lanes[i].chosen && !c->lanes[i].stopped && put(c, &start, err) < 0)
			return -1;
	}
	for (uint64_t rank = rh_live_count(c->tasks); rank-- > 0;) {
		struct task *task;

		rh_live_select(c->tasks, rank, &position, &id);
		task = rh_live_payload(c->tasks, position);
		if (!c->lanes[task->lane].chosen || c->lanes[task->lane].stopped)
			continue;
		c->counts[TASKS_BEFORE]++;
		if (spawn(c, task, task->lane, c->time_base, err) < 0)
			return -1;
	}
	for (uint64_t rank = rh_live_count(c->objects); rank-- > 0;) {
		rh_live_select(c->objects, rank, &position, &id);
		if (put_object(c, rh_live_payload(c->objects, position), err) < 0)
			return -1;
	}
	for (uint32_t i = 0; i < c->lane_count; i++) {
		struct rh_event stop = blank(RH_EV_LANE_STOP, i, c->time_base);

		if (c->lanes[i].stopped && c->lanes[i].number != UINT32_MAX && !c->hold_stops &&
		    put(c, &stop, err) < 0)
			return -1;
	}
	return 0;
}

static int close_window(struct cutter *c, uint64_t time_ns, struct rh_err *err)
{
	uint64_t position, id;

	while (c->cut->drain && rh_live_select(c->objects, 0, &position, &id)) {
		struct object *object = rh_live_payload(c->objects, position);
		struct rh_event event = blank(RH_EV_FREE, object->lane, time_ns);

		event.id = object->number;
		rh_live_death(c->objects, position);
		if (event.id == RH_NONE)
			continue;
		c->counts[DRAINED]++;
		if (put(c, &event, err) < 0)
			return -1;
	}
	for (uint32_t i = 0; i < c->lane_count; i++) {
		struct rh_event stop = blank(RH_EV_LANE_STOP, i, time_ns);

		if (c->hold_stops && c->lanes[i].stopped && c->lanes[i].number != UINT32_MAX &&
		    put(c, &stop, err) < 0)
			return -1;
	}
	return 0;
}

static int add_notes(struct cutter *c, struct rh_trace *trace, const char *path,
		     struct rh_err *err)
{
	const struct rh_note *note;
	char words[4600];

	for (size_t i = 0; (note = rh_trace_note(trace, i)); i++)
		if (rh_trace_add_note(c->out, note->key, note->value, err) < 0)
			return -1;
	snprintf(words, sizeof(words), "%s of %s", c->cut->words, path);
	if (rh_trace_add_note(c->out, "cut", words, err) < 0)
		return -1;
	for (int i = 0; i < COUNTS; i++)
		if (c->counts[i] &&
		    rh_trace_add_count(c->out, count_keys[i], c->counts[i], err) < 0)
			return -1;
	for (uint32_t site = 1; site <= c->site_max && site; site++) {
		const char *name = rh_trace_site(trace, site);

		if (name && rh_trace_add_site(c->out, site, name, err) < 0)
			return -1;
	}
	return 0;
}

/* Where an event stands: -1 before the window, 0 in it, 1 behind it. */
static int side(const struct cutter *c, const struct rh_event *event, uint64_t number)
{
	const struct rh_cut *cut = c->cut;

	if (number >= cut->events.to)
		return 1;
	if (event->time_ns != RH_NONE && event->time_ns >= cut->time_ns.to)
		return 1;
	if (c->open)
		return 0;
	if (number < cut->events.from)
		return -1;
	if (cut->time_ns.from && (event->time_ns == RH_NONE || event->time_ns < cut->time_ns.from))
		return -1;
	return 0;
}

/* Reads the source: events into the window, and what is behind it for its notes and names
 * only. */
static int read_events(struct cutter *c, struct rh_trace *trace, struct rh_err *err)
{
	struct rh_event *batch = reallocarray(NULL, RH_TRACE_BATCH, sizeof(*batch));
	struct rh_trace_totals totals;
	uint64_t number = 0, time_last = RH_NONE;
	bool behind = false, has_names;
	int got = 0;

	if (!batch)
		return no_memory(err);
	rh_trace_totals(trace, &totals, &has_names);
	while (!(behind && has_names) &&
	       (got = rh_trace_next(trace, batch, RH_TRACE_BATCH, err)) > 0) {
		for (int i = 0; i < got && !behind; i++, number++) {
			int where = side(c, &batch[i], number);

			if (batch[i].time_ns != RH_NONE && where <= 0)
				time_last = batch[i].time_ns;
			behind = where > 0;
			if (where == 0 && !c->open) {
				c->time_base = batch[i].time_ns;
				if (open_window(c, err) < 0)
					goto fail;
			}
			if (!behind && take(c, &batch[i], err) < 0)
				goto fail;
		}
	}
	free(batch);
	if (got < 0)
		return -1;
	return close_window(c, time_last, err);
fail:
	free(batch);
	return -1;
}

static int cut_open_trace(struct rh_trace *trace, const char *path, struct cutter *c,
			  const struct rh_trace_make *make, struct rh_trace_totals *totals,
			  struct rh_err *err)
{
	struct rh_trace_make with_columns = *make;
	bool by_time = c->cut->time_ns.from != 0 || c->cut->time_ns.to != UINT64_MAX;

	with_columns.columns = rh_trace_columns(trace);
	if (by_time && !(with_columns.columns & RH_COL_TIME))
		return rh_fail(err, RH_BAD_DATA, "%s has no times; cut it with --events", path);
	if (rh_trace_create(&c->out, &with_columns, err) < 0)
		return -1;
	if (read_events(c, trace, err) < 0)
		return -1;
	if (!c->open)
		return rh_fail(err, RH_BAD_DATA, "%s ends before the window of %s begins", path,
			       c->cut->words);
	if (add_notes(c, trace, path, err) < 0)
		return -1;
	struct rh_trace_out *out = c->out;

	c->out = NULL;
	return rh_trace_finish(out, totals, err);
}

int rh_cut(const char *path, const struct rh_cut *cut, const struct rh_trace_make *make,
	   struct rh_trace_totals *totals, bool *truncated, struct rh_err *err)
{
	struct cutter c = {
		.cut = cut, .time_base = RH_NONE,
		.hold_stops = cut->lanes != NULL || cut->drain,
	};
	struct rh_trace *trace;
	int result = -1;

	if (rh_trace_open(&trace, path, err) < 0)
		return -1;
	c.objects = rh_live_open(sizeof(struct object));
	c.tasks = rh_live_open(sizeof(struct task));
	if (c.objects && c.tasks)
		result = cut_open_trace(trace, path, &c, make, totals, err);
	else
		no_memory(err);
	if (truncated)
		*truncated = rh_trace_truncated(trace) != NULL;
	rh_trace_abandon(c.out);
	rh_live_close(c.objects);
	rh_live_close(c.tasks);
	rh_map_close(&c.ended);
	free(c.lanes);
	rh_trace_close(trace);
	return result;
}
