/*
 * codec.h - events to the bytes of one block and back (FORMAT.md, "Events").
 *
 * A block holds up to RH_BLOCK_EVENTS events in six sections: operations, lanes, and
 * time, task, site and arg where the trace has the column. Operations are one byte for
 * a young free or a small alloc; everything else spends a few more.
 *
 * Thread rule: one thread per object. Memory: malloc; a decoder points into the block
 * it was given. The encoder trusts its events (rh_order has passed them); the decoder
 * trusts nothing.
 */
#ifndef RH_CODEC_H
#define RH_CODEC_H

#include "traces/format/order.h"

enum {
	RH_BLOCK_EVENTS = 1 << 16,
	RH_BLOCK_BYTES_MAX = 8 << 20, /* raw; the worst 65536 events take 5.5 MiB */
	RH_SECTIONS = 6,
};

/* Last task of every lane: tasks are stored where they differ from it. */
struct rh_lane_tasks {
	uint32_t *task;
	size_t cap;
};

struct rh_section {
	uint8_t *base, *at;
};

struct rh_encoder {
	struct rh_section section[RH_SECTIONS];
	unsigned columns;
	uint32_t with_arg; /* a bit for each kind that has one, if the column is there */
	uint32_t events;
	uint32_t lane, lane_run, task_run;
	uint64_t time_last, task_named;
	struct rh_lane_tasks tasks;
};

bool rh_encoder_open(struct rh_encoder *encoder, unsigned columns);
void rh_encoder_close(struct rh_encoder *encoder);
/* Appends one event; false when memory ran out. Never more than RH_BLOCK_EVENTS a block. */
bool rh_encode(struct rh_encoder *encoder, const struct rh_event *event, uint64_t rank);
/* The same for events in a row that rh_order_put_usual has put: ALLOC and FREE. */
bool rh_encode_usual(struct rh_encoder *encoder, const struct rh_event *events,
		     const uint64_t *ranks, size_t count);
/* Ends the block: its bytes into raw (RH_BLOCK_BYTES_MAX), its size; starts the next one. */
size_t rh_encoder_take(struct rh_encoder *encoder, uint8_t *raw);

struct rh_cursor {
	const uint8_t *at, *end;
};

struct rh_decoder {
	struct rh_cursor section[RH_SECTIONS];
	unsigned columns;
	uint32_t events_left;
	uint32_t lane, lane_run;
	uint64_t task_run;
	uint64_t time_last, task_named;
	struct rh_lane_tasks tasks;
	bool no_memory;
};

void rh_decoder_open(struct rh_decoder *decoder, unsigned columns);
void rh_decoder_close(struct rh_decoder *decoder);
/* Starts a block of `events` events; false when its sections do not fit its size. */
bool rh_decoder_block(struct rh_decoder *decoder, const uint8_t *raw, size_t bytes,
		      uint32_t events);
/* Decodes events of the block, at most cap, and passes them through order: how many are good.
 * *refused: the one behind them is not, and the reason is in order->why. */
size_t rh_decode(struct rh_decoder *decoder, struct rh_order *order, struct rh_event *events,
		 size_t cap, bool *refused);
/* At the end of a block: whether every section was used up. */
bool rh_decoder_drained(const struct rh_decoder *decoder);

/* LEB128, at most 10 bytes. put returns the byte after; get false when it runs over. */
static inline uint8_t *rh_varint_put(uint8_t *at, uint64_t value)
{
	/* Differences of times and ranks mostly take two. */
	if (value >= 0x80 && value < 0x4000) {
		at[0] = (uint8_t)(value | 0x80);
		at[1] = (uint8_t)(value >> 7);
		return at + 2;
	}
	while (value >= 0x80) {
		*at++ = (uint8_t)(value | 0x80);
		value >>= 7;
	}
	*at++ = (uint8_t)value;
	return at;
}

static inline bool rh_varint_get(struct rh_cursor *cursor, uint64_t *value)
{
	uint64_t v = 0;

	for (unsigned shift = 0; shift < 70 && cursor->at < cursor->end; shift += 7) {
		uint8_t byte = *cursor->at++;

		if (shift == 63 && byte > 1)
			return false;
		v |= (uint64_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80)) {
			*value = v;
			return true;
		}
	}
	return false;
}

#endif
