/*
 * segments.c - see segments.h. It uses the picture of cut.c with its window always open; a new
 * segment renumbers the picture and writes it again.
 */
#include "traces/edit/segments.h"

#include <stdlib.h>
#include <string.h>

#include "alloc/base/grow.h"
#include "traces/edit/cut_take.h"

struct site {
	uint32_t number;
	char *name;
};

struct rh_segments {
	struct rh_cutter cutter;
	uint64_t number, time_last;
	struct site *sites;
	size_t site_count, site_room;
};

static const struct rh_cut everything = {
	.events = { 0, UINT64_MAX },
	.time_ns = { 0, UINT64_MAX },
};

int rh_segments_open(struct rh_segments **result, struct rh_err *err)
{
	struct rh_segments *segments = calloc(1, sizeof *segments);

	*result = segments;
	if (!segments)
		return rh_cut_no_memory(NULL, err);
	segments->time_last = RH_NONE;
	segments->cutter = (struct rh_cutter){
		.cut = &everything,
		.time_base = RH_NONE,
		.open = true,
		.objects = rh_live_open(sizeof(struct rh_cut_object)),
		.tasks = rh_live_open(sizeof(struct rh_cut_task)),
	};
	if (!segments->cutter.objects || !segments->cutter.tasks)
		return rh_cut_no_memory(&segments->cutter, err);
	return 0;
}

/* Nothing has a number in the trace that begins. */
static void number_anew(struct rh_cutter *c)
{
	for (size_t i = 0; i < c->lane_count; i++)
		c->lanes[i].number = UINT32_MAX;
	rh_map_empty(&c->ended);
	c->lanes_out = 0;
	c->births = c->spawns = c->bytes_before = 0;
	memset(c->counts, 0, sizeof c->counts);
}

int rh_segments_begin(struct rh_segments *segments, struct rh_trace_out *out, struct rh_err *err)
{
	struct rh_cutter *c = &segments->cutter;

	c->out = out;
	segments->number++;
	number_anew(c);
	c->time_base = segments->time_last;
	for (size_t i = 0; i < segments->site_count; i++)
		if (rh_trace_add_site(out, segments->sites[i].number, segments->sites[i].name,
				      err) < 0)
			return -1;
	return rh_cut_open_window(c, err);
}

int rh_segments_put(void *data, const struct rh_event *events, size_t count, struct rh_err *err)
{
	struct rh_segments *segments = data;

	for (size_t i = 0; i < count; i++) {
		struct rh_event event = events[i];

		if (event.time_ns != RH_NONE)
			segments->time_last = event.time_ns;
		if (segments->cutter.time_base == RH_NONE)
			segments->cutter.time_base = event.time_ns == RH_NONE ? RH_NONE : 0;
		if (rh_cut_take(&segments->cutter, &event, err) < 0)
			return -1;
	}
	return 0;
}

int rh_segments_site(struct rh_segments *segments, uint32_t site, const char *name,
		     struct rh_err *err)
{
	if (!rh_reserve(&segments->sites, &segments->site_room, segments->site_count + 1,
			sizeof *segments->sites))
		return rh_cut_no_memory(&segments->cutter, err);
	segments->sites[segments->site_count].number = site;
	segments->sites[segments->site_count].name = strdup(name);
	if (!segments->sites[segments->site_count].name)
		return rh_cut_no_memory(&segments->cutter, err);
	segments->site_count++;
	return rh_trace_add_site(segments->cutter.out, site, name, err);
}

int rh_segments_notes(struct rh_segments *segments, struct rh_err *err)
{
	const struct rh_cutter *c = &segments->cutter;
	const struct {
		const char *key;
		uint64_t value;
		bool always;
	} rows[] = {
		{ "segment", segments->number, true },
		{ "segment.start_ns", c->time_base, c->time_base != RH_NONE },
		{ "segment.carried_objects", c->counts[RH_CUT_OBJECTS_BEFORE], true },
		{ "segment.carried_bytes", c->bytes_before, true },
		{ "segment.carried_tasks", c->counts[RH_CUT_TASKS_BEFORE], false },
		{ "cut.joins_left_out", c->counts[RH_CUT_JOINS_LEFT_OUT], false },
	};

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
		if ((rows[i].always || (rows[i].value && rows[i].value != RH_NONE)) &&
		    rh_trace_add_count(c->out, rows[i].key, rows[i].value, err) < 0)
			return -1;
	return 0;
}

uint64_t rh_segments_number(const struct rh_segments *segments)
{
	return segments->number;
}

uint64_t rh_segments_age_ns(const struct rh_segments *segments)
{
	uint64_t base = segments->cutter.time_base;

	return base == RH_NONE || segments->time_last == RH_NONE || segments->time_last < base
		       ? 0
		       : segments->time_last - base;
}

void rh_segments_skip(struct rh_segments *segments, uint64_t number)
{
	segments->number = number;
}

void rh_segments_close(struct rh_segments *segments)
{
	if (!segments)
		return;
	for (size_t i = 0; i < segments->site_count; i++)
		free(segments->sites[i].name);
	free(segments->sites);
	rh_live_close(segments->cutter.objects);
	rh_live_close(segments->cutter.tasks);
	rh_map_close(&segments->cutter.ended);
	free(segments->cutter.lanes);
	free(segments);
}
