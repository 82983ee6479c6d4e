/*
 * deaths.c - when objects die in a replay: see fidelity.c for what a trace says of it.
 *
 * A reader ahead finds who was dead when cycle k + 1 began: whom the trace frees between the end of
 * k + 1 and the end of k + 2. When they died on the way from cycle k is not recorded:
 *	late	as cycle k + 1 ends
 *	early	as cycle k ends, or at birth
 *	spread	who lived when k began: one after the other, by allocations, in an order without
 *		meaning; who was born since: at birth, as most do. Of these are also the objects
 *		that were born while k marked, which no cycle finds dead however soon they are.
 * With spread the bytes that are reached go straight from what k found to what k + 1 found. It has
 * to know of an object at its birth, in which stretch it dies: so that reader is two cycles ahead,
 * the one of early one, and the one of late none.
 *
 * The trace ends before all is swept that the last cycle found dead. How much that was is known,
 * for the collector marked so many bytes; which objects, is not: by chance as many as live too
 * many. After the last cycle nobody knows; then all that is born dies at once, and what lives
 * stays as much.
 */
#include <assert.h>
#include <stdlib.h>

#include "alloc/base/grow.h"
#include "harness/fidelity/state.h"

static const char memory_for[] = "the objects that die";

static bool is_spread(const struct replay *replay)
{
	return replay->opts->deaths == FIDELITY_SPREAD;
}

/* ---- who dies on the way ---- */

/* A living object, in a stretch to come or in what is left of this one. */
static int put_off(struct replay *replay, uint64_t id, uint64_t stretch, struct rh_err *err)
{
	struct death_way *way = &replay->deaths.ways[stretch % 2];
	struct death_slice *slice = &way->slices[rh_map_hash(id) % DEATH_SLICES];
	uint64_t index = rh_map_get(&replay->ids, id);

	if (!rh_reserve(&slice->ids, &slice->cap, slice->count + 1, sizeof(*slice->ids)))
		return rh_no_memory(err, memory_for);
	slice->ids[slice->count++] = id;
	if (index != RH_MAP_NONE)
		way->bytes += rh_fidelity_live(replay, &replay->objects[index], 1);
	return 0;
}

static void bury_slice(struct replay *replay, uint32_t lane)
{
	struct deaths *deaths = &replay->deaths;
	struct death_slice *slice = &deaths->ways[deaths->ended % 2].slices[deaths->next++];

	for (size_t i = 0; i < slice->count; i++)
		rh_fidelity_bury(replay, slice->ids[i], lane);
	slice->count = 0;
}

void rh_deaths_due(struct replay *replay, uint32_t lane)
{
	struct deaths *deaths = &replay->deaths;

	deaths->born++;
	while (deaths->next < DEATH_SLICES &&
	       deaths->born * DEATH_SLICES >= deaths->of[0].before * (deaths->next + 1))
		bury_slice(replay, lane);
}

/* ---- whom the trace does not see die ---- */

/* By the object's number: the same in each replay. */
static bool by_chance(const struct replay *replay, uint64_t id)
{
	const struct deaths *deaths = &replay->deaths;

	return deaths->over && deaths->ended + 1 == deaths->read &&
	       (rh_map_hash(id ^ 0x5bd1e995) >> 32) < deaths->unseen;
}

static int put_off_by_chance(struct replay *replay, struct rh_err *err)
{
	const struct rh_map *ids = &replay->ids;

	for (size_t b = 0; b < ids->cap; b++)
		for (unsigned e = 0; e < RH_MAP_BUCKET; e++)
			if (rh_map_taken(&ids->buckets[b], e) &&
			    by_chance(replay, ids->buckets[b].entry[e].key) &&
			    put_off(replay, ids->buckets[b].entry[e].key, replay->deaths.ended,
				    err) < 0)
				return -1;
	return 0;
}

/* All was read. What would live as the last cycle ends, against what that marked. */
static void find_unseen(struct replay *replay)
{
	struct deaths *deaths = &replay->deaths;
	double births = 0, bytes = 0, live, marked = (double)deaths->marked;

	for (uint64_t i = 0; deaths->ended + i < deaths->read; i++) {
		births += (double)deaths->of[i].births;
		bytes += (double)deaths->of[i].bytes;
	}
	live = (double)replay->replayed_live + bytes -
	       (double)(deaths->ways[0].bytes + deaths->ways[1].bytes);
	if (births > 0)
		live -= (double)replay->doomed.count * bytes / births;
	if (replay->opts->alone)
		marked -= (double)rh_recorder_bytes(&replay->recorder);
	if (marked > 0 && live > marked)
		deaths->unseen = (uint64_t)((live - marked) / live * 4294967296.0);
}

/* ---- births ---- */

int rh_deaths_at_birth(struct replay *replay, uint64_t id, struct rh_err *err)
{
	const struct deaths *deaths = &replay->deaths;
	uint64_t stretch = replay->doomed.count ? rh_map_remove(&replay->doomed, id) : RH_MAP_NONE;

	if (stretch == RH_MAP_NONE)
		return is_spread(replay) && deaths->over &&
		       (deaths->ended >= deaths->read || by_chance(replay, id));
	if (!is_spread(replay) || stretch <= deaths->ended + deaths->begun)
		return 1;
	return put_off(replay, id, stretch, err);
}

/* What the heap will count for it. */
static uint64_t bytes_of(const struct replay *replay, const struct rh_event *event)
{
	bool noscan = event->flags & RH_EVF_NOSCAN;
	struct object object = { .size = event->size };

	object.kind[0] = rh_fidelity_kind(replay, event->size, noscan);
	return rh_fidelity_live(replay, &object, 0);
}

/* ---- the reader ahead ---- */

/* Somebody who dies in a stretch; in the one before the first he was dead already. */
static int found_dead(struct replay *replay, uint64_t id, uint32_t lane, struct rh_err *err)
{
	uint64_t read = replay->deaths.read;
	void *p;

	if (rh_map_get(&replay->ids, id) == RH_MAP_NONE) {
		if (replay->opts->deaths == FIDELITY_LATE)
			return 0;
		return rh_map_put(&replay->doomed, id, read ? read - 1 : 0)
			       ? 0
			       : rh_no_memory(err, memory_for);
	}
	if (is_spread(replay) && read)
		return put_off(replay, id, read - 1, err);
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
	/* The stretch that is read. */
	struct death_stretch *stretch = &deaths->of[deaths->read - deaths->ended];

	assert(deaths->read >= deaths->ended && deaths->read - deaths->ended < DEATHS_AHEAD);
	switch (event->kind) {
	case RH_EV_FREE:
		return found_dead(replay, event->id, lane, err);
	case RH_EV_ALLOC:
		stretch->births++;
		stretch->before += !deaths->begun_ahead;
		stretch->bytes += bytes_of(replay, event);
		break;
	case RH_EV_REF:
		if (event->id < sizeof(replay->series) &&
		    replay->series[event->id] == SERIES_HEAP_LIVE)
			deaths->heap_live = event->arg;
		break;
	case RH_EV_GC_BEGIN:
		deaths->begun_ahead = true;
		break;
	case RH_EV_GC_END:
		deaths->marked = deaths->heap_live;
		deaths->begun_ahead = false;
		deaths->read++;
		break;
	}
	return 0;
}

/* To the end of one cycle more, or of the trace. */
static int read_on(struct replay *replay, uint32_t lane, struct rh_err *err)
{
	struct ahead *ahead = &replay->ahead;
	struct deaths *deaths = &replay->deaths;
	const struct rh_event *event;

	while (!deaths->over) {
		if (ahead->at == ahead->count) {
			ahead->count = rh_trace_next(ahead->trace, ahead->batch, AHEAD_BATCH, err);
			ahead->at = 0;
			if (ahead->count < 0)
				return -1;
			deaths->over = ahead->count == 0;
			if (deaths->over)
				break;
		}
		event = &ahead->batch[ahead->at++];
		if (read_event(replay, event, lane, err) < 0)
			return -1;
		if (event->kind == RH_EV_GC_END)
			return 0;
	}
	return 0;
}

/* A stretch begins, and the reader is as far ahead of it as it has to be. */
static int begin_stretch(struct replay *replay, uint32_t lane, struct rh_err *err)
{
	static const uint64_t ahead_of[] = { 1, 2, DEATHS_AHEAD };
	struct deaths *deaths = &replay->deaths;
	bool over = deaths->over;

	deaths->next = 0;
	deaths->born = 0;
	deaths->begun = false;
	while (!deaths->over && deaths->read < deaths->ended + ahead_of[replay->opts->deaths])
		if (read_on(replay, lane, err) < 0)
			return -1;
	if (!is_spread(replay))
		return 0;
	if (deaths->over && !over)
		find_unseen(replay);
	return put_off_by_chance(replay, err);
}

int rh_deaths_open(struct replay *replay, uint32_t lane, struct rh_err *err)
{
	return begin_stretch(replay, lane, err);
}

int rh_deaths_cycle_ended(struct replay *replay, uint32_t lane, struct rh_err *err)
{
	struct deaths *deaths = &replay->deaths;

	/* A trace that has no snapshot opened no reader. */
	if (!deaths->over && deaths->read == deaths->ended && begin_stretch(replay, lane, err) < 0)
		return -1;
	while (is_spread(replay) && deaths->next < DEATH_SLICES)
		bury_slice(replay, lane);
	deaths->ways[deaths->ended % 2].bytes = 0;
	for (int i = 0; i + 1 < DEATHS_AHEAD; i++)
		deaths->of[i] = deaths->of[i + 1];
	deaths->of[DEATHS_AHEAD - 1] = (struct death_stretch){ 0 };
	deaths->ended++;
	return begin_stretch(replay, lane, err);
}
