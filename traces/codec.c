/*
 * codec.c - see codec.h; every byte is told in FORMAT.md.
 *
 * Measured on the Android traces (bytes per event at the same zstd level): operations,
 * sizes and ranks in separate columns 0.44, one byte per operation plus varints 0.40,
 * this one 0.35. General-purpose compressors find repeats of whole call patterns, and
 * those are shortest when one event is one or two adjacent bytes.
 */
#include "traces/codec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* First byte of an operation. */
enum op {
	OP_FREE = 0,		/* + rank, 0..111 */
	OP_FREE_OLD = 112,	/* varint rank - 112 */
	OP_GENERAL = 113,	/* kind, then the fields of its row */
	OP_RESIZE = 114,	/* varint rank, varint size; no flags */
	OP_ALLOC_FLAGS = 115,	/* byte flags, varint size; no alignment */
	OP_ALLOC = 128,		/* + size, 0..99 */
	OP_ALLOC_TWO = 228,	/* + high byte of size - 100; low byte follows */
	OP_ALLOC_BIG = 252,	/* varint size - 6244 */
	RANK_YOUNG = OP_FREE_OLD,
	SIZE_ONE = OP_ALLOC_TWO - OP_ALLOC,
	SIZE_TWO = SIZE_ONE + (OP_ALLOC_BIG - OP_ALLOC_TWO) * 256,
};

enum section { OPS, LANES, TIMES, TASKS, SITES, ARGS };

/* Worst bytes per event. OPS: 2 + rank 10 + size 10 + align 1 + flags 3. */
static const unsigned section_worst[RH_SECTIONS] = { 26, 10, 10, 10, 5, 10 };
static const unsigned section_column[RH_SECTIONS] = {
	0, 0, RH_COL_TIME, RH_COL_TASK, RH_COL_SITE, RH_COL_ARG,
};
/* Beside the events: last runs and the section lengths. */
enum { SECTION_SLACK = 64 };
_Static_assert((26 + 10 + 10 + 10 + 5 + 10) * RH_BLOCK_EVENTS + 7 * SECTION_SLACK <
	       RH_BLOCK_BYTES_MAX, "the worst block fits");

static uint64_t zigzag(uint64_t delta)
{
	return delta << 1 ^ (0 - (delta >> 63));
}

static uint64_t unzigzag(uint64_t value)
{
	return value >> 1 ^ (0 - (value & 1));
}

static bool has_section(unsigned columns, int section)
{
	return !section_column[section] || columns & section_column[section];
}

static bool tasks_reach(struct rh_lane_tasks *tasks, uint32_t lane)
{
	size_t cap = tasks->cap;
	void *p;

	if (lane < cap)
		return true;
	while (cap <= lane)
		cap = cap ? cap * 2 : 64;
	p = realloc(tasks->task, cap * sizeof(*tasks->task));
	if (!p)
		return false;
	tasks->task = p;
	memset(tasks->task + tasks->cap, 0xff, (cap - tasks->cap) * sizeof(*tasks->task));
	tasks->cap = cap;
	return true;
}

/* ---- encoding ---- */

static void block_begin(struct rh_encoder *encoder)
{
	for (int s = 0; s < RH_SECTIONS; s++)
		encoder->section[s].at = encoder->section[s].base;
	encoder->events = encoder->lane_run = encoder->task_run = 0;
}

bool rh_encoder_open(struct rh_encoder *encoder, unsigned columns)
{
	*encoder = (struct rh_encoder){ .columns = columns };
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

static inline uint8_t *put_alloc(uint8_t *at, uint64_t size)
{
	if (size < SIZE_ONE) {
		*at++ = (uint8_t)(OP_ALLOC + size);
	} else if (size < SIZE_TWO) {
		*at++ = (uint8_t)(OP_ALLOC_TWO + ((size - SIZE_ONE) >> 8));
		*at++ = (uint8_t)(size - SIZE_ONE);
	} else {
		*at++ = OP_ALLOC_BIG;
		at = rh_varint_put(at, size - SIZE_TWO);
	}
	return at;
}

static uint8_t *put_general(struct rh_encoder *encoder, uint8_t *at, const struct rh_event *event,
			    uint64_t rank)
{
	*at++ = OP_GENERAL;
	*at++ = event->kind;
	for (const char *f = rh_event_rows[event->kind].fields; *f; f++) {
		if (*f == 'O') {
			at = rh_varint_put(at, rank);
		} else if (*f == 'T') {
			if (event->kind != RH_EV_SPAWN)
				at = rh_varint_put(at, zigzag(event->id - encoder->task_named));
			encoder->task_named = event->id;
		} else if (*f == 'N') {
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

static void put_op(struct rh_encoder *encoder, const struct rh_event *event, uint64_t rank)
{
	uint8_t *at = encoder->section[OPS].at;

	if (event->kind == RH_EV_FREE) {
		if (rank < RANK_YOUNG) {
			*at++ = (uint8_t)(OP_FREE + rank);
		} else {
			*at++ = OP_FREE_OLD;
			at = rh_varint_put(at, rank - RANK_YOUNG);
		}
	} else if (event->kind == RH_EV_ALLOC && !event->align_log2 && !event->flags) {
		at = put_alloc(at, event->size);
	} else if (event->kind == RH_EV_ALLOC && !event->align_log2 && event->flags < 256) {
		*at++ = OP_ALLOC_FLAGS;
		*at++ = (uint8_t)event->flags;
		at = rh_varint_put(at, event->size);
	} else if (event->kind == RH_EV_RESIZE && !event->flags) {
		*at++ = OP_RESIZE;
		at = rh_varint_put(at, rank);
		at = rh_varint_put(at, event->size);
	} else {
		at = put_general(encoder, at, event, rank);
	}
	encoder->section[OPS].at = at;
}

static void end_lane_run(struct rh_encoder *encoder)
{
	uint8_t *at = encoder->section[LANES].at;

	if (encoder->lane_run) {
		at = rh_varint_put(at, encoder->lane);
		at = rh_varint_put(at, encoder->lane_run);
		encoder->lane_run = 0;
	}
	encoder->section[LANES].at = at;
}

static bool put_task(struct rh_encoder *encoder, const struct rh_event *event)
{
	uint8_t *at = encoder->section[TASKS].at;
	uint32_t *last;

	if (!tasks_reach(&encoder->tasks, event->lane))
		return false;
	last = &encoder->tasks.task[event->lane];
	if (*last == event->task) {
		encoder->task_run++;
		return true;
	}
	/* + 1 in 32 bits makes "no task" 0; the difference is then taken in 64. */
	at = rh_varint_put(at, encoder->task_run);
	at = rh_varint_put(at, zigzag((uint64_t)(uint32_t)(event->task + 1) -
				      (uint32_t)(*last + 1)));
	encoder->task_run = 0;
	*last = event->task;
	encoder->section[TASKS].at = at;
	return true;
}

static void put_time(struct rh_encoder *encoder, uint64_t time_ns)
{
	struct rh_section *times = &encoder->section[TIMES];

	if (time_ns == RH_NONE) {
		*times->at++ = 0;
		return;
	}
	times->at = rh_varint_put(times->at, zigzag(time_ns - encoder->time_last) + 1);
	encoder->time_last = time_ns;
}

bool rh_encode(struct rh_encoder *encoder, const struct rh_event *event, uint64_t rank)
{
	put_op(encoder, event, rank);
	if (event->lane != encoder->lane)
		end_lane_run(encoder);
	encoder->lane = event->lane;
	encoder->lane_run++;
	encoder->events++;
	if (encoder->columns & RH_COL_TIME)
		put_time(encoder, event->time_ns);
	if (encoder->columns & RH_COL_TASK && !put_task(encoder, event))
		return false;
	if (encoder->columns & RH_COL_SITE)
		encoder->section[SITES].at = rh_varint_put(encoder->section[SITES].at, event->site);
	if (encoder->columns & RH_COL_ARG && strchr(rh_event_rows[event->kind].fields, 'R'))
		encoder->section[ARGS].at = rh_varint_put(encoder->section[ARGS].at,
							  event->arg + 1);
	return true;
}

size_t rh_encoder_take(struct rh_encoder *encoder, uint8_t *raw)
{
	uint8_t *at = raw;

	end_lane_run(encoder);
	if (encoder->columns & RH_COL_TASK)
		encoder->section[TASKS].at = rh_varint_put(encoder->section[TASKS].at,
							   encoder->task_run);
	for (int s = 0; s < RH_SECTIONS; s++)
		if (has_section(encoder->columns, s))
			at = rh_varint_put(at, (uint64_t)(encoder->section[s].at -
							  encoder->section[s].base));
	for (int s = 0; s < RH_SECTIONS; s++) {
		size_t bytes = (size_t)(encoder->section[s].at - encoder->section[s].base);

		if (bytes)
			memcpy(at, encoder->section[s].base, bytes);
		at += bytes;
	}
	block_begin(encoder);
	return (size_t)(at - raw);
}

/* ---- decoding ---- */

void rh_decoder_open(struct rh_decoder *decoder, unsigned columns)
{
	*decoder = (struct rh_decoder){ .columns = columns };
}

void rh_decoder_close(struct rh_decoder *decoder)
{
	free(decoder->tasks.task);
	memset(decoder, 0, sizeof(*decoder));
}

static bool next_task_run(struct rh_decoder *decoder)
{
	return rh_varint_get(&decoder->section[TASKS], &decoder->task_run);
}

bool rh_decoder_block(struct rh_decoder *decoder, const uint8_t *raw, size_t bytes, uint32_t events)
{
	struct rh_cursor head = { raw, raw + bytes };
	uint64_t length[RH_SECTIONS] = { 0 };

	for (int s = 0; s < RH_SECTIONS; s++)
		if (has_section(decoder->columns, s) && !rh_varint_get(&head, &length[s]))
			return false;
	for (int s = 0; s < RH_SECTIONS; s++) {
		if (length[s] > (uint64_t)(head.end - head.at))
			return false;
		decoder->section[s] = (struct rh_cursor){ head.at, head.at + length[s] };
		head.at += length[s];
	}
	decoder->events_left = events;
	decoder->lane_run = 0;
	return head.at == head.end &&
	       (!(decoder->columns & RH_COL_TASK) || next_task_run(decoder));
}

bool rh_decoder_drained(const struct rh_decoder *decoder)
{
	for (int s = 0; s < RH_SECTIONS; s++)
		if (decoder->section[s].at != decoder->section[s].end)
			return false;
	return decoder->lane_run == 0 && decoder->task_run == 0;
}

static bool get_byte(struct rh_cursor *cursor, uint8_t *byte)
{
	if (cursor->at == cursor->end)
		return false;
	*byte = *cursor->at++;
	return true;
}

static bool get_general(struct rh_decoder *decoder, struct rh_event *event, uint64_t *rank)
{
	struct rh_cursor *ops = &decoder->section[OPS];
	uint64_t value;

	if (!get_byte(ops, &event->kind) || event->kind >= RH_EV_COUNT)
		return false;
	for (const char *f = rh_event_rows[event->kind].fields; *f; f++) {
		if (*f == 'O') {
			if (!rh_varint_get(ops, rank))
				return false;
		} else if (*f == 'T') {
			/* A spawn's number is implied; rh_decode notes it once it is known. */
			if (event->kind == RH_EV_SPAWN)
				continue;
			if (!rh_varint_get(ops, &value))
				return false;
			decoder->task_named += unzigzag(value);
			event->id = decoder->task_named;
		} else if (*f == 'N') {
			if (!rh_varint_get(ops, &event->id))
				return false;
			event->id--;
		} else if (*f == 'S') {
			if (!rh_varint_get(ops, &event->size))
				return false;
			event->size--;
		} else if (*f == 'A') {
			if (!get_byte(ops, &event->align_log2))
				return false;
		} else if (*f == 'F') {
			if (!rh_varint_get(ops, &value) || value > UINT16_MAX)
				return false;
			event->flags = (uint16_t)value;
		}
	}
	return true;
}

static bool get_alloc_flags(struct rh_cursor *ops, struct rh_event *event)
{
	uint8_t flags;

	event->kind = RH_EV_ALLOC;
	if (!get_byte(ops, &flags) || !rh_varint_get(ops, &event->size))
		return false;
	event->flags = flags;
	return true;
}

static bool get_rare(struct rh_decoder *decoder, uint8_t op, struct rh_event *event,
		     uint64_t *rank)
{
	struct rh_cursor *ops = &decoder->section[OPS];

	switch (op) {
	case OP_FREE_OLD:
		event->kind = RH_EV_FREE;
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
	case OP_ALLOC_BIG:
		event->kind = RH_EV_ALLOC;
		if (!rh_varint_get(ops, &event->size) || event->size > UINT64_MAX - SIZE_TWO)
			return false;
		event->size += SIZE_TWO;
		return true;
	}
	return false;
}

static inline bool get_op(struct rh_decoder *decoder, struct rh_event *event, uint64_t *rank)
{
	struct rh_cursor *ops = &decoder->section[OPS];
	uint8_t op, low;

	if (!get_byte(ops, &op))
		return false;
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
		.time_ns = RH_NONE, .id = RH_NONE, .old = RH_NONE, .arg = RH_NONE,
		.task = RH_TASK_NONE, .site = RH_SITE_NONE,
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

static void say_damaged(const struct rh_decoder *decoder, struct rh_order *order)
{
	order->no_memory = decoder->no_memory;
	snprintf(order->why, sizeof(order->why), "%s",
		 order->no_memory ? "memory for lanes ran out" : "its bytes make no event");
}

size_t rh_decode(struct rh_decoder *decoder, struct rh_order *order, struct rh_event *events,
		 size_t cap, bool *refused)
{
	uint64_t ranks[RH_ORDER_BATCH] = { 0 };
	size_t count = 0, good;
	bool damaged = false;

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
	*refused = good < count || damaged;
	if (good < count)
		return good;
	if (damaged)
		say_damaged(decoder, order);
	else if (count && events[count - 1].kind == RH_EV_SPAWN)
		decoder->task_named = events[count - 1].id;
	return good;
}
