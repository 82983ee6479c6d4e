/*
 * deaths.c - when objects die in a replay: see fidelity.c for what a trace says of it.
 *
 * A reader one cycle ahead finds who was dead when cycle k began: whom the trace frees between the
 * end of k and the end of k + 1. When they died is not recorded:
 *	late	as cycle k ends
 *	early	at once after cycle k - 1, or at birth
 *	spread	who lived when k - 1 began: one after the other on the way to k, by allocations,
 *		in an order without meaning; who was born since: at birth, as most do
 * With spread the bytes that live go straight from what k - 1 found to what k found.
 *
 * The trace ends before all is swept that the last cycle found dead. How much that was is known,
 * for the collector marked so many bytes; which objects, is not: by chance as many as live too
 * many. After the last cycle nobody knows; then all that is born dies at once, and what lives
 * stays as much.
 */
#include <stdlib.h>

#include "alloc/base/grow.h"
#include "harness/fidelity/state.h"

static const char memory_for[] = "the objects that die";

static int put_off(struct deaths *deaths, uint64_t id, struct rh_err *err)
{
	struct death_slice *slice = &deaths->slices[rh_map_hash(id) % DEATH_SLICES];

	if (!rh_reserve(&slice->ids, &slice->cap, slice->count + 1, sizeof(*slice->ids)))
		return rh_no_memory(err, memory_for);
	slice->ids[slice->count++] = id;
	return 0;
}

static void bury_slice(struct replay *replay, uint32_t lane)
{
	struct death_slice *slice = &replay->deaths.slices[replay->deaths.next++];

	for (size_t i = 0; i < slice->count; i++)
		rh_fidelity_bury(replay, slice->ids[i], lane);
	slice->count = 0;
}

/* By the object's number: the same in each replay. */
static bool by_chance(const struct replay *replay, uint64_t id)
{
	return (rh_map_hash(id ^ 0x5bd1e995) >> 32) < replay->deaths.unseen;
}

bool rh_deaths_at_birth(struct replay *replay, uint64_t id)
{
	if (replay->doomed.count && rh_map_remove(&replay->doomed, id) != RH_MAP_NONE)
		return true;
	return replay->opts->deaths == FIDELITY_SPREAD &&
	       (replay->deaths.tail || by_chance(replay, id));
}

static int put_off_by_chance(struct replay *replay, struct rh_err *err)
{
	const struct rh_map *ids = &replay->ids;

	for (size_t b = 0; b < ids->cap; b++)
		for (unsigned e = 0; e < RH_MAP_BUCKET; e++)
			if (rh_map_taken(&ids->buckets[b], e) &&
			    by_chance(replay, ids->buckets[b].entry[e].key) &&
			    put_off(&replay->deaths, ids->buckets[b].entry[e].key, err) < 0)
				return -1;
	return 0;
}

/* The end of the trace was read, and the last cycle had marked less than lives. */
static int find_unseen(struct replay *replay, struct rh_err *err)
{
	struct deaths *deaths = &replay->deaths;
	const struct death_stretch *now = &deaths->now;
	double each = now->births ? (double)now->bytes / (double)now->births : 0;
	double live = (double)replay->replayed_live - (double)deaths->put_off + (double)now->bytes -
		      each * (double)deaths->not_born;
	double marked = (double)now->marked;

	if (replay->opts->deaths != FIDELITY_SPREAD || !deaths->open || deaths->over)
		return 0;
	if (replay->opts->alone)
		marked -= (double)rh_recorder_bytes(&replay->recorder);
	if (now->marked && live > marked && marked > 0)
		deaths->unseen = (uint64_t)((live - marked) / live * 4294967296.0);
	return put_off_by_chance(replay, err);
}

/* What the heap will count for it. */
static uint64_t bytes_of(const struct replay *replay, const struct rh_event *event)
{
	bool noscan = event->flags & RH_EVF_NOSCAN;
	struct object object = { .size = event->size };

	object.kind[0] = rh_fidelity_kind(replay, event->size, noscan);
	return rh_fidelity_live(replay, &object, 0);
}

void rh_deaths_due(struct replay *replay, uint32_t lane)
{
	struct deaths *deaths = &replay->deaths;

	deaths->born++;
	while (deaths->next < DEATH_SLICES &&
	       deaths->born * DEATH_SLICES >= deaths->now.births * (deaths->next + 1))
		bury_slice(replay, lane);
}

/* What the trace frees ahead, in its order of deaths. */
static int found_dead(struct replay *replay, uint64_t id, uint32_t lane, struct rh_err *err)
{
	uint64_t index = rh_map_get(&replay->ids, id);
	void *p;

	if (index == RH_MAP_NONE && replay->opts->deaths != FIDELITY_LATE) {
		replay->deaths.not_born++;
		return rh_map_put(&replay->doomed, id, 1) ? 0 : rh_no_memory(err, memory_for);
	}
	if (replay->opts->deaths == FIDELITY_SPREAD && replay->deaths.open) {
		replay->deaths.put_off += rh_fidelity_live(replay, &replay->objects[index], 1);
		return put_off(&replay->deaths, id, err);
	}
	p = rh_fidelity_bury(replay, id, lane);
	if (replay->opts->deaths == FIDELITY_LATE && p &&
	    !rh_map_put(&replay->dead, id, (uintptr_t)p))
		return rh_no_memory(err, memory_for);
	return 0;
}

static int read_event(struct replay *replay, const struct rh_event *event, uint32_t lane,
		      struct rh_err *err)
{
	struct deaths *deaths = &replay->deaths;

	switch (event->kind) {
	case RH_EV_FREE:
		return found_dead(replay, event->id, lane, err);
	case RH_EV_ALLOC:
		deaths->ahead.births++;
		deaths->ahead.bytes += bytes_of(replay, event);
		break;
	case RH_EV_REF:
		if (event->id < sizeof(replay->series) &&
		    replay->series[event->id] == SERIES_HEAP_LIVE)
			deaths->heap_live = event->arg;
		break;
	case RH_EV_GC_END:
		deaths->ahead.marked = deaths->heap_live;
		break;
	}
	return 0;
}

/* What was to die by now, and a new stretch. */
static void begin_stretch(struct replay *replay, uint32_t lane)
{
	struct deaths *deaths = &replay->deaths;

	while (deaths->open && deaths->next < DEATH_SLICES)
		bury_slice(replay, lane);
	deaths->tail = deaths->over;
	deaths->next = 0;
	deaths->born = deaths->put_off = deaths->not_born = 0;
	deaths->now = deaths->ahead;
	deaths->ahead = (struct death_stretch){ 0 };
}

int rh_deaths_read(struct replay *replay, uint32_t lane, struct rh_err *err)
{
	struct ahead *ahead = &replay->ahead;
	const struct rh_event *event;

	begin_stretch(replay, lane);
	do {
		if (ahead->at == ahead->count) {
			ahead->count = rh_trace_next(ahead->trace, ahead->batch, AHEAD_BATCH, err);
			ahead->at = 0;
			if (ahead->count < 0 || (!ahead->count && find_unseen(replay, err) < 0))
				return -1;
			if (!ahead->count) {
				replay->deaths.over = true;
				return 0;
			}
		}
		event = &ahead->batch[ahead->at++];
		if (read_event(replay, event, lane, err) < 0)
			return -1;
	} while (event->kind != RH_EV_GC_END);
	return 0;
}
