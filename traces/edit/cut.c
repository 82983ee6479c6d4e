/*
 * cut.c - see cut.h. The path of an event: before the window it only updates the picture of
 * living objects and tasks (cut_take.c); at the window's first event the picture is written out
 * (rh_cut_open_window); inside, every event updates the same picture and is then written under
 * its new numbers; at the end everything still open is closed (close_window).
 *
 * The picture: rh_live sets of objects and tasks, whose payloads hold their numbers in the
 * result (RH_NONE: not in it), and an array of lanes.
 *
 * Stops of lanes wait for the end when frees may be moved to a lane (choice of lanes,
 * drain): the lane may have stopped by then.
 */
#include "traces/edit/cut_take.h"

#include <stdio.h>
#include <stdlib.h>

static const char *const count_keys[RH_CUT_COUNTS] = {
	"cut.objects_before",	"cut.tasks_before",   "cut.tasks_adopted",
	"cut.frees_moved",	"cut.frees_left_out", "cut.resizes_as_allocs",
	"cut.returns_left_out", "cut.joins_left_out", "cut.gc_ends_left_out",
	"cut.drained",
};

static int put_object(struct rh_cutter *c, struct rh_cut_object *object, struct rh_err *err)
{
	struct rh_event event = rh_cut_blank(RH_EV_ALLOC, object->lane, c->time_base);

	if (!c->lanes[object->lane].chosen)
		return 0;
	event.id = object->number = c->births++;
	event.size = object->size;
	event.site = object->site;
	event.flags = object->flags;
	event.align_log2 = object->align_log2;
	c->counts[RH_CUT_OBJECTS_BEFORE]++;
	c->bytes_before += object->size;
	return rh_cut_put(c, &event, err);
}

/* Lanes that run, then tasks, then objects, each in the order of the source; then lanes
 * that had stopped but own objects stop again. */
int rh_cut_open_window(struct rh_cutter *c, struct rh_err *err)
{
	uint64_t position, id;

	c->open = true;
	for (uint32_t i = 0; i < c->lane_count; i++) {
		struct rh_event start = rh_cut_blank(RH_EV_LANE_START, i, c->time_base);

		if (c->lanes[i].chosen && !c->lanes[i].stopped && rh_cut_put(c, &start, err) < 0)
			return -1;
	}
	for (uint64_t rank = rh_live_count(c->tasks); rank-- > 0;) {
		struct rh_cut_task *task;

		rh_live_select(c->tasks, rank, &position, &id);
		task = rh_live_payload(c->tasks, position);
		if (!c->lanes[task->lane].chosen || c->lanes[task->lane].stopped)
			continue;
		c->counts[RH_CUT_TASKS_BEFORE]++;
		if (rh_cut_spawn(c, task, task->lane, c->time_base, err) < 0)
			return -1;
	}
	for (uint64_t rank = rh_live_count(c->objects); rank-- > 0;) {
		rh_live_select(c->objects, rank, &position, &id);
		if (put_object(c, rh_live_payload(c->objects, position), err) < 0)
			return -1;
	}
	for (uint32_t i = 0; i < c->lane_count; i++) {
		struct rh_event stop = rh_cut_blank(RH_EV_LANE_STOP, i, c->time_base);

		if (c->lanes[i].stopped && c->lanes[i].number != UINT32_MAX && !c->hold_stops &&
		    rh_cut_put(c, &stop, err) < 0)
			return -1;
	}
	return 0;
}

static int close_window(struct rh_cutter *c, uint64_t time_ns, struct rh_err *err)
{
	uint64_t position, id;

	while (c->cut->drain && rh_live_select(c->objects, 0, &position, &id)) {
		struct rh_cut_object *object = rh_live_payload(c->objects, position);
		struct rh_event event = rh_cut_blank(RH_EV_FREE, object->lane, time_ns);

		event.id = object->number;
		rh_live_death(c->objects, position);
		if (event.id == RH_NONE)
			continue;
		c->counts[RH_CUT_DRAINED]++;
		if (rh_cut_put(c, &event, err) < 0)
			return -1;
	}
	for (uint32_t i = 0; i < c->lane_count; i++) {
		struct rh_event stop = rh_cut_blank(RH_EV_LANE_STOP, i, time_ns);

		if (c->hold_stops && c->lanes[i].stopped && c->lanes[i].number != UINT32_MAX &&
		    rh_cut_put(c, &stop, err) < 0)
			return -1;
	}
	return 0;
}

static int add_notes(struct rh_cutter *c, struct rh_trace *trace, const char *path,
		     struct rh_err *err)
{
	const struct rh_note *note;
	const char *name;
	char words[4600];
	uint32_t site;

	for (size_t i = 0; (note = rh_trace_note(trace, i)); i++)
		if (rh_trace_add_note(c->out, note->key, note->value, err) < 0)
			return -1;
	snprintf(words, sizeof(words), "%s of %s", c->cut->words, path);
	if (rh_trace_add_note(c->out, "cut", words, err) < 0)
		return -1;
	for (int i = 0; i < RH_CUT_COUNTS; i++)
		if (c->counts[i] &&
		    rh_trace_add_count(c->out, count_keys[i], c->counts[i], err) < 0)
			return -1;
	for (size_t i = 0; (name = rh_trace_site_at(trace, i, &site)); i++)
		if (rh_trace_add_site(c->out, site, name, err) < 0)
			return -1;
	return 0;
}

/* Where an event lies: -1 before the window, 0 in it, 1 after it. */
static int side(const struct rh_cutter *c, const struct rh_event *event, uint64_t number)
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

/* Reads the source: events up to the window's end, and the rest only for its notes and names. */
static int read_events(struct rh_cutter *c, struct rh_trace *trace, struct rh_err *err)
{
	struct rh_event *batch = reallocarray(NULL, RH_TRACE_BATCH, sizeof(*batch));
	struct rh_trace_totals totals;
	uint64_t number = 0, time_last = RH_NONE;
	bool behind = false, has_names;
	int got = 0;

	if (!batch)
		return rh_cut_no_memory(c, err);
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
				if (rh_cut_open_window(c, err) < 0)
					goto fail;
			}
			if (!behind && rh_cut_take(c, &batch[i], err) < 0)
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

static bool has_chosen(const struct rh_cutter *c)
{
	bool some = !c->cut->lanes;

	for (size_t i = 0; i < c->lane_count; i++)
		some |= c->lanes[i].chosen;
	return some;
}

static int cut_open_trace(struct rh_trace *trace, struct rh_cutter *c,
			  const struct rh_trace_make *make, struct rh_trace_totals *totals,
			  struct rh_err *err)
{
	const char *path = c->path;
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
		return rh_fail(err, RH_BAD_DATA, "%s ends before the window begins (%s)", path,
			       c->cut->words);
	if (!has_chosen(c))
		return rh_fail(err, RH_BAD_DATA,
			       "%s has none of the lanes asked for up to the "
			       "window's end (%s): reheap info says how many there are",
			       path, c->cut->words);
	if (add_notes(c, trace, path, err) < 0)
		return -1;
	struct rh_trace_out *out = c->out;

	c->out = NULL;
	return rh_trace_finish(out, totals, err);
}

int rh_cut(const char *path, const struct rh_cut *cut, const struct rh_trace_make *make,
	   struct rh_trace_totals *totals, struct rh_err *err)
{
	struct rh_cutter c = {
		.cut = cut,
		.path = path,
		.time_base = RH_NONE,
		.hold_stops = cut->lanes != NULL || cut->drain,
	};
	struct rh_trace *trace;
	int result = -1;

	if (rh_trace_open(&trace, path, err) < 0)
		return -1;
	c.objects = rh_live_open(sizeof(struct rh_cut_object));
	c.tasks = rh_live_open(sizeof(struct rh_cut_task));
	if (c.objects && c.tasks)
		result = cut_open_trace(trace, &c, make, totals, err);
	else
		rh_cut_no_memory(&c, err);
	if (cut->truncated)
		*cut->truncated = rh_trace_truncated(trace) != NULL;
	rh_trace_abandon(c.out);
	rh_live_close(c.objects);
	rh_live_close(c.tasks);
	rh_map_close(&c.ended);
	free(c.lanes);
	rh_trace_close(trace);
	return result;
}
