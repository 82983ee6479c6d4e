/*
 * decode.c - the bytes of a block to events: see codec.h; FORMAT.md describes every byte.
 *
 * Bytes come from files that nobody vouches for: every read is bounded by its section, every value
 * by what the order can hold, and the first thing that cannot be is damage, with a reason.
 */
#include "traces/format/codec.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc/base/debug.h"
#include "traces/format/codec_layout.h"

/* Allocates nothing: the table of tasks is made when a trace has that column. */
void rh_decoder_open(struct rh_decoder *decoder, unsigned columns)
{
	*decoder = (struct rh_decoder){ .columns = columns };
	assert(!decoder->tasks.task && !decoder->events_left);
}

void rh_decoder_close(struct rh_decoder *decoder)
{
	free(decoder->tasks.task);
	memset(decoder, 0, sizeof(*decoder));
}

/* How many events keep the task of their lane before one changes it. */
static bool next_task_run(struct rh_decoder *decoder)
{
	return rh_varint_get(&decoder->section[TASKS], &decoder->task_run);
}

/* Cuts the raw bytes into sections. Lengths come from the file: each is bounded by what is left,
 * and together they must use up all of it, or two readers could see two different blocks. */
bool rh_decoder_block(struct rh_decoder *decoder, const uint8_t *raw, size_t bytes, uint32_t events)
{
	struct rh_cursor head = { raw, raw + bytes };
	uint64_t length[RH_SECTIONS] = { 0 };

	assert(events <= RH_BLOCK_EVENTS && decoder->events_left == 0); /* the one before is done */
	for (int s = 0; s < RH_SECTIONS; s++)
		if (has_section(decoder->columns, s) && !rh_varint_get(&head, &length[s]))
			return false;
	for (int s = 0; s < RH_SECTIONS; s++) {
		/* Compared with what is left: the sum of two lengths from the file
		 * could wrap. */
		if (length[s] > (uint64_t)(head.end - head.at))
			return false;
		decoder->section[s] = (struct rh_cursor){ head.at, head.at + length[s] };
		head.at += length[s];
	}
	decoder->events_left = events;
	/* Runs end with the block, as the encoder ends them. */
	decoder->lane_run = 0;
	return head.at == head.end && (!(decoder->columns & RH_COL_TASK) || next_task_run(decoder));
}

/* A block whose sections are not used up exactly was not written by us: its events may be wrong
 * though each of them could be read. */
bool rh_decoder_drained(const struct rh_decoder *decoder)
{
	assert(decoder->events_left == 0);
	for (int s = 0; s < RH_SECTIONS; s++)
		if (decoder->section[s].at != decoder->section[s].end)
			return false;
	return decoder->lane_run == 0 && decoder->task_run == 0;
}

/* Bounded here, in one place: no reader of a section looks past its end. */
static bool get_byte(struct rh_cursor *cursor, uint8_t *byte)
{
	if (cursor->at == cursor->end)
		return false;
	*byte = *cursor->at++;
	return true;
}

/* The fields of the row of event.h, in the order in which put_general() wrote them. */
static bool get_general(struct rh_decoder *decoder, struct rh_event *event, uint64_t *rank)
{
	struct rh_cursor *ops = &decoder->section[OPS];
	uint64_t value;

	/* Before the kind is used as an index. */
	if (!get_byte(ops, &event->kind) || event->kind >= RH_EV_COUNT)
		return false;
	/* Of frees: what they had before they could be sized. Nobody writes them so. */
	for (const char *f = event->kind == RH_EV_FREE ? "O" : rh_event_rows[event->kind].fields;
	     *f; f++) {
		if (*f == 'O' || *f == 'U') {
			if (!rh_varint_get(ops, rank))
				return false;
		} else if (*f == 'T') {
			/* A spawn's number is implied; rh_decode notes it once it is known. */
			if (event->kind == RH_EV_SPAWN)
				continue;
			if (!rh_varint_get(ops, &value))
				return false;
			/* Wraps for damaged bytes, and order.c refuses a task that
			 * was never spawned. */
			decoder->task_named += unzigzag(value);
			event->id = decoder->task_named;
		} else if (*f == 'N') {
			if (!rh_varint_get(ops, &event->id))
				return false;
			/* 0 becomes RH_NONE: absent. */
			event->id--;
		} else if (*f == 'S') {
			if (!rh_varint_get(ops, &event->size))
				return false;
			event->size--;
		} else if (*f == 'A') {
			if (!get_byte(ops, &event->align_log2))
				return false;
		} else if (*f == 'F') {
			/* Flags that are unknown are refused by order.c; here only
			 * what the field cannot hold. */
			if (!rh_varint_get(ops, &value) || value > UINT16_MAX)
				return false;
			event->flags = (uint16_t)value;
		}
	}
	return true;
}

/* Eight bits: a flag above that makes the writer choose the general form. */
static bool get_alloc_flags(struct rh_cursor *ops, struct rh_event *event)
{
	uint8_t flags;

	event->kind = RH_EV_ALLOC;
	if (!get_byte(ops, &flags) || !rh_varint_get(ops, &event->size))
		return false;
	event->flags = flags;
	return true;
}

/* A size that is absent has a form without it (OP_FREE): here it is damage, or the same event would
 * have two encodings and text and binary would not be the same thing twice. */
static bool get_free_sized(struct rh_cursor *ops, struct rh_event *event, uint64_t *rank)
{
	event->kind = RH_EV_FREE;
	event->flags = RH_EVF_SIZED;
	if (!rh_varint_get(ops, rank) || !rh_varint_get(ops, &event->size))
		return false;
	event->size--;
	return event->size != RH_NONE;
}

/* Whatever get_op() does not find among the one-byte forms. */
static bool get_rare(struct rh_decoder *decoder, uint8_t op, struct rh_event *event, uint64_t *rank)
{
	struct rh_cursor *ops = &decoder->section[OPS];

	switch (op) {
	case OP_FREE_OLD:
		event->kind = RH_EV_FREE;
		/* The addition below must not wrap a huge rank round to a young one. */
		if (!rh_varint_get(ops, rank) || *rank > UINT64_MAX - RANK_YOUNG)
			return false;
		*rank += RANK_YOUNG;
		return true;
	case OP_GENERAL:
		return get_general(decoder, event, rank);
	case OP_RESIZE:
		event->kind = RH_EV_RESIZE;
		return rh_varint_get(ops, rank) && rh_varint_get(ops, &event->size);
	case OP_ALLOC_FLAGS:
		return get_alloc_flags(ops, event);
	case OP_USABLE:
		event->kind = RH_EV_USABLE;
		return rh_varint_get(ops, rank);
	case OP_ALLOC_WORDS:
		event->align_log2 = WORD_ALIGN_LOG2;
		return get_alloc_flags(ops, event);
	case OP_FREE_SIZED:
		return get_free_sized(ops, event, rank);
	case OP_ALLOC_BIG:
		event->kind = RH_EV_ALLOC;
		if (!rh_varint_get(ops, &event->size) || event->size > UINT64_MAX - SIZE_TWO)
			return false;
		event->size += SIZE_TWO;
		return true;
	}
	return false;
}

/* The forms of one and two bytes are here, inline in the loop over events; the rest is behind a
 * call. */
static inline bool get_op(struct rh_decoder *decoder, struct rh_event *event, uint64_t *rank)
{
	struct rh_cursor *ops = &decoder->section[OPS];
	uint8_t op, low;

	if (!get_byte(ops, &op))
		return false;
	/* In the order of how often they come: frees of the young, small allocs,
	 * middle ones. */
	if (op < RANK_YOUNG) {
		event->kind = RH_EV_FREE;
		*rank = op;
	} else if (op >= OP_ALLOC && op < OP_ALLOC_TWO) {
		event->kind = RH_EV_ALLOC;
		event->size = op - (unsigned)OP_ALLOC;
	} else if (op >= OP_ALLOC_TWO && op < OP_ALLOC_BIG) {
		event->kind = RH_EV_ALLOC;
		if (!get_byte(ops, &low))
			return false;
		event->size = SIZE_ONE + ((op - (unsigned)OP_ALLOC_TWO) << 8 | low);
	} else {
		return get_rare(decoder, op, event, rank);
	}
	return true;
}

/* run == 0 would never advance; a run longer than a block belongs to no block of ours. */
static bool get_lane_run(struct rh_decoder *decoder)
{
	struct rh_cursor *lanes = &decoder->section[LANES];
	uint64_t lane, run;

	if (!rh_varint_get(lanes, &lane) || !rh_varint_get(lanes, &run) || lane > UINT32_MAX ||
	    run == 0 || run > RH_BLOCK_EVENTS)
		return false;
	decoder->lane = (uint32_t)lane;
	decoder->lane_run = (uint32_t)run;
	return true;
}

/* Lane numbers are not checked against the lanes that have started until the order sees them, so
 * the table of last tasks is bounded here: a lane of 2^32 would ask for 16 GiB. */
static bool get_task(struct rh_decoder *decoder, struct rh_event *event)
{
	uint64_t value;
	uint32_t *last;

	if (event->lane >= RH_TRACE_LANES_MAX)
		return false;
	if (!tasks_reach(&decoder->tasks, event->lane)) {
		decoder->no_memory = true;
		return false;
	}
	last = &decoder->tasks.task[event->lane];
	if (decoder->task_run) {
		decoder->task_run--;
	} else {
		if (!rh_varint_get(&decoder->section[TASKS], &value))
			return false;
		value = (uint32_t)(*last + 1) + unzigzag(value);
		if (value > UINT32_MAX)
			return false;
		*last = (uint32_t)value - 1;
		if (!next_task_run(decoder))
			return false;
	}
	event->task = *last;
	return true;
}

/* 0 is "no time", so deltas are stored + 1. They wrap on purpose: clocks of two lanes may be out of
 * step. */
static bool get_time(struct rh_decoder *decoder, struct rh_event *event)
{
	uint64_t value;

	if (!rh_varint_get(&decoder->section[TIMES], &value))
		return false;
	if (value) {
		decoder->time_last += unzigzag(value - 1);
		event->time_ns = decoder->time_last;
	}
	return true;
}

/* The columns that this trace has, in the order of their sections. */
static bool get_columns(struct rh_decoder *decoder, struct rh_event *event)
{
	uint64_t value;

	if (decoder->columns & RH_COL_TIME && !get_time(decoder, event))
		return false;
	if (decoder->columns & RH_COL_TASK && !get_task(decoder, event))
		return false;
	if (decoder->columns & RH_COL_SITE) {
		if (!rh_varint_get(&decoder->section[SITES], &value) || value > UINT32_MAX)
			return false;
		event->site = (uint32_t)value;
	}
	/* Kinds without an argument store none: frees would pay a byte each. */
	if (decoder->columns & RH_COL_ARG && strchr(rh_event_rows[event->kind].fields, 'R')) {
		if (!rh_varint_get(&decoder->section[ARGS], &value))
			return false;
		event->arg = value - 1;
	}
	return true;
}

/* One event but for the ids that its rank stands for; false: its bytes make none. */
static inline bool decode_one(struct rh_decoder *decoder, struct rh_event *event, uint64_t *rank)
{
	static const struct rh_event absent = {
		.time_ns = RH_NONE,
		.id = RH_NONE,
		.old = RH_NONE,
		.arg = RH_NONE,
		.task = RH_TASK_NONE,
		.site = RH_SITE_NONE,
	};

	*event = absent;
	if ((!decoder->lane_run && !get_lane_run(decoder)) || !get_op(decoder, event, rank))
		return false;
	decoder->lane_run--;
	event->lane = decoder->lane;
	if (decoder->columns && !get_columns(decoder, event))
		return false;
	decoder->events_left--;
	return true;
}

/* Memory that ran out is not the fault of the file, and must not be reported as damage. */
static void say_damaged(const struct rh_decoder *decoder, struct rh_order *order)
{
	order->no_memory = decoder->no_memory;
	snprintf(order->why, sizeof(order->why), "%s",
		 order->no_memory ? "memory for lanes ran out" : "its bytes make no event");
}

/* Bytes first, ids after: rh_order_get() turns the ranks of a whole batch into ids at once, because
 * it can prefetch what the next ones need. Only a spawn ends a batch early, as later events are
 * stored relative to the number that it is given. */
size_t rh_decode(struct rh_decoder *decoder, struct rh_order *order, struct rh_event *events,
		 size_t cap, bool *refused)
{
	uint64_t ranks[RH_ORDER_BATCH] = { 0 };
	size_t count = 0, good;
	bool damaged = false;

	/* 32: ranks and places fit on the stack, and what was prefetched for one object is still in
	 * the cache when it is read. */
	if (cap > RH_ORDER_BATCH)
		cap = RH_ORDER_BATCH;
	while (count < cap && decoder->events_left && !damaged) {
		damaged = !decode_one(decoder, &events[count], &ranks[count]);
		count += !damaged;
		/* Later operations count from the number that a spawn is given. */
		if (!damaged && events[count - 1].kind == RH_EV_SPAWN)
			break;
	}
	good = rh_order_get(order, events, ranks, count);
	assert(good <= count && count <= cap);
	*refused = good < count || damaged;
	if (good < count)
		return good;
	if (damaged)
		say_damaged(decoder, order);
	else if (count && events[count - 1].kind == RH_EV_SPAWN)
		decoder->task_named = events[count - 1].id;
	return good;
}
