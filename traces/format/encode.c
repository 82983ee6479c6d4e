/*
 * encode.c - events to the bytes of a block: see codec.h; FORMAT.md describes every byte.
 *
 * Measured on the Android traces (bytes per event at the same zstd level): operations,
 * sizes and ranks in separate columns 0.44, one byte per operation plus varints 0.40,
 * this one 0.35. General-purpose compressors find repeats of whole call patterns, and
 * those are shortest when one event is one or two adjacent bytes.
 */
#include "traces/format/codec.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc/base/debug.h"
#include "traces/format/encode_put.h"

/* Runs of lanes and tasks end with the block, because the decoder begins them anew. Last times,
 * tasks and named tasks go on: those differences are what makes a block small. */
static void block_begin(struct rh_encoder *encoder)
{
	for (int s = 0; s < RH_SECTIONS; s++)
		encoder->section[s].at = encoder->section[s].base;
	encoder->events = encoder->lane_run = encoder->task_run = 0;
}

_Static_assert(RH_EV_COUNT <= 32, "with_arg has a bit for each kind");

/* Every section gets room for the worst block at once (26 bytes an event of operations: 1.6 MiB),
 * so that putting an event never has to look whether there is room. */
bool rh_encoder_open(struct rh_encoder *encoder, unsigned columns)
{
	*encoder = (struct rh_encoder){ .columns = columns };
	for (int kind = 0; kind < RH_EV_COUNT && columns & RH_COL_ARG; kind++)
		if (strchr(rh_event_rows[kind].fields, 'R'))
			encoder->with_arg |= 1u << kind;
	for (int s = 0; s < RH_SECTIONS; s++) {
		if (!has_section(columns, s))
			continue;
		encoder->section[s].base =
			malloc((size_t)section_worst[s] * RH_BLOCK_EVENTS + SECTION_SLACK);
		if (!encoder->section[s].base) {
			rh_encoder_close(encoder);
			return false;
		}
	}
	block_begin(encoder);
	return true;
}

void rh_encoder_close(struct rh_encoder *encoder)
{
	for (int s = 0; s < RH_SECTIONS; s++)
		free(encoder->section[s].base);
	free(encoder->tasks.task);
	memset(encoder, 0, sizeof(*encoder));
}

/* The form of what is rare: the kind, then the fields that its row in event.h lists, in that order.
 * A new kind of event needs no code here. */
static __attribute__((noinline)) uint8_t *put_general(struct rh_encoder *encoder, uint8_t *at,
						      const struct rh_event *event, uint64_t rank)
{
	*at++ = OP_GENERAL;
	*at++ = event->kind;
	for (const char *f = rh_event_rows[event->kind].fields; *f; f++) {
		/* An object is named by its rank, how many living ones are younger: the number is
		 * small for what dies young, and ids of objects would grow with the trace. */
		if (*f == 'O' || *f == 'U') {
			at = rh_varint_put(at, rank);
		} else if (*f == 'T') {
			/* A spawned task has the next number, so nothing is stored. */
			if (event->kind != RH_EV_SPAWN)
				at = rh_varint_put(at, zigzag(event->id - encoder->task_named));
			encoder->task_named = event->id;
		} else if (*f == 'N') {
			/* + 1 wraps RH_NONE to 0: absent costs one byte. */
			at = rh_varint_put(at, event->id + 1);
		} else if (*f == 'S') {
			at = rh_varint_put(at, event->size + 1);
		} else if (*f == 'A') {
			*at++ = event->align_log2;
		} else if (*f == 'F') {
			at = rh_varint_put(at, event->flags);
		}
	}
	return at;
}

/* Of a birth or a death, in the order of how often they come. */
static inline uint8_t *put_usual_op(struct rh_encoder *encoder, uint8_t *at,
				    const struct rh_event *event, uint64_t rank)
{
	if (event->kind == RH_EV_FREE)
		return put_free(at, event->flags & RH_EVF_SIZED ? event->size : RH_NONE, rank);
	if (event->flags < 256 && event->align_log2 == WORD_ALIGN_LOG2) /* half of a Go trace */
		return put_alloc_flags(at, OP_ALLOC_WORDS, event->flags, event->size);
	if (event->flags >= 256 || event->align_log2)
		return put_general(encoder, at, event, rank);
	return event->flags ? put_alloc_flags(at, OP_ALLOC_FLAGS, event->flags, event->size)
			    : put_alloc(at, event->size);
}

static inline void put_op(struct rh_encoder *encoder, const struct rh_event *event, uint64_t rank)
{
	uint8_t *at = encoder->section[OPS].at;

	if (event->kind == RH_EV_FREE || event->kind == RH_EV_ALLOC) {
		at = put_usual_op(encoder, at, event, rank);
	} else if (event->kind == RH_EV_RESIZE && !event->flags) {
		at = put_resize(at, rank, event->size);
	} else if (event->kind == RH_EV_USABLE) {
		at = put_usable(at, rank);
	} else {
		at = put_general(encoder, at, event, rank);
	}
	encoder->section[OPS].at = at;
}

/* The task of an event is nearly always that of the lane's last event: a count of events that kept
 * it, then the difference. */
static __attribute__((noinline)) bool put_new_task(struct rh_encoder *encoder,
						   const struct rh_event *event)
{
	uint8_t *at = encoder->section[TASKS].at;
	uint32_t *last;

	rh_debug_assert(event->lane < RH_TRACE_LANES_MAX); /* as get_task() asks */
	if (!tasks_reach(&encoder->tasks, event->lane))
		return false;
	last = &encoder->tasks.task[event->lane];
	if (*last == event->task) {
		encoder->task_run++;
		return true;
	}
	/* + 1 in 32 bits makes "no task" 0; the difference is then taken in 64. */
	at = rh_varint_put(at, encoder->task_run);
	at = rh_varint_put(at,
			   zigzag((uint64_t)(uint32_t)(event->task + 1) - (uint32_t)(*last + 1)));
	encoder->task_run = 0;
	*last = event->task;
	encoder->section[TASKS].at = at;
	return true;
}

static inline bool put_task(struct rh_encoder *encoder, const struct rh_event *event)
{
	if (event->lane >= encoder->tasks.cap || encoder->tasks.task[event->lane] != event->task)
		return put_new_task(encoder, event);
	encoder->task_run++;
	return true;
}

/* Only memory for the last task of a lane can be missing: all sections have their room. */
bool rh_encode(struct rh_encoder *encoder, const struct rh_event *event, uint64_t rank)
{
	put_op(encoder, event, rank);
	put_lane(encoder, event->lane, 1);
	if (encoder->columns & RH_COL_TIME)
		encoder->section[TIMES].at =
			put_time(encoder->section[TIMES].at, event->time_ns, &encoder->time_last);
	if (encoder->columns & RH_COL_TASK && !put_task(encoder, event))
		return false;
	if (encoder->columns & RH_COL_SITE)
		encoder->section[SITES].at = rh_varint_put(encoder->section[SITES].at, event->site);
	if (encoder->with_arg >> event->kind & 1)
		encoder->section[ARGS].at =
			rh_varint_put(encoder->section[ARGS].at, event->arg + 1);
	rh_debug_assert(sections_fit(encoder));
	return true;
}

static void put_lanes(struct rh_encoder *encoder, const struct rh_event *events, size_t count)
{
	size_t from = 0;

	assert(count <= RH_BLOCK_EVENTS);
	/* Events of one lane at a time: its run grows by all of them. */
	for (size_t i = 1; i <= count; i++) {
		if (i < count && events[i].lane == events[from].lane)
			continue;
		put_lane(encoder, events[from].lane, (uint32_t)(i - from));
		from = i;
	}
	assert(count == 0 || encoder->lane == events[count - 1].lane);
}

static bool put_tasks(struct rh_encoder *encoder, const struct rh_event *events, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (!put_task(encoder, &events[i]))
			return false;
	return true;
}

static void put_times(struct rh_encoder *encoder, const struct rh_event *events, size_t count)
{
	uint8_t *at = encoder->section[TIMES].at;
	uint64_t last = encoder->time_last;

	for (size_t i = 0; i < count; i++)
		at = put_time(at, events[i].time_ns, &last);
	encoder->time_last = last;
	encoder->section[TIMES].at = at;
}

static void put_sites(struct rh_encoder *encoder, const struct rh_event *events, size_t count)
{
	uint8_t *at = encoder->section[SITES].at;

	for (size_t i = 0; i < count; i++)
		at = rh_varint_put(at, events[i].site);
	encoder->section[SITES].at = at;
}

static void put_args(struct rh_encoder *encoder, const struct rh_event *events, size_t count)
{
	uint8_t *at = encoder->section[ARGS].at;

	for (size_t i = 0; i < count; i++)
		if (encoder->with_arg >> events[i].kind & 1)
			at = rh_varint_put(at, events[i].arg + 1);
	encoder->section[ARGS].at = at;
}

/* Section by section: in loops of a few instructions each, half of what events one by one take. */
bool rh_encode_usual(struct rh_encoder *encoder, const struct rh_event *events,
		     const uint64_t *ranks, size_t count)
{
	uint8_t *at = encoder->section[OPS].at;

	assert(encoder->events + count <= RH_BLOCK_EVENTS);
	for (size_t i = 0; i < count; i++)
		at = put_usual_op(encoder, at, &events[i], ranks[i]);
	encoder->section[OPS].at = at;
	put_lanes(encoder, events, count);
	if (encoder->columns & RH_COL_TIME)
		put_times(encoder, events, count);
	if (encoder->columns & RH_COL_TASK && !put_tasks(encoder, events, count))
		return false;
	if (encoder->columns & RH_COL_SITE)
		put_sites(encoder, events, count);
	if (encoder->with_arg)
		put_args(encoder, events, count);
	rh_debug_assert(sections_fit(encoder));
	return true;
}

/* Sections one behind another and not interleaved: like stands by like, which is what
 * zstd finds repeats in. */
size_t rh_encoder_take(struct rh_encoder *encoder, uint8_t *raw)
{
	uint8_t *at = raw;

	assert(encoder->events <= RH_BLOCK_EVENTS);
	end_lane_run(encoder);
	if (encoder->columns & RH_COL_TASK)
		encoder->section[TASKS].at =
			rh_varint_put(encoder->section[TASKS].at, encoder->task_run);
	for (int s = 0; s < RH_SECTIONS; s++)
		if (has_section(encoder->columns, s))
			at = rh_varint_put(
				at, (uint64_t)(encoder->section[s].at - encoder->section[s].base));
	for (int s = 0; s < RH_SECTIONS; s++) {
		size_t bytes = (size_t)(encoder->section[s].at - encoder->section[s].base);

		assert(bytes == 0 || has_section(encoder->columns, s));
		if (bytes)
			memcpy(at, encoder->section[s].base, bytes);
		at += bytes;
	}
	assert((size_t)(at - raw) <= RH_BLOCK_BYTES_MAX);
	block_begin(encoder);
	return (size_t)(at - raw);
}
