/*
 * wire.h - the bytes of a Go execution trace (1.23 and later): generations of batches.
 *
 * A generation is read whole before it is understood, because its tables of types come
 * after the events that use them. What is kept of it: the batches of timed events of each
 * thread in file order, and the tables of the allocation experiment. Strings, call stacks
 * and CPU samples are checked for their frame and passed over: no allocation event refers
 * to them.
 *
 * Memory: one generation, at most GO_GENERATION_MAX. Thread rule: one thread.
 */
#ifndef RH_GO_WIRE_H
#define RH_GO_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "traces/import/import.h"

#define GO_GENERATION_MAX ((size_t)1 << 30)
#define GO_NO_THREAD	  UINT64_MAX

enum { GO_ARGS_MAX = 4, GO_BATCH_MAX = 65536, GO_BUFFER = 256 << 10 };

/* Event numbers that mean something to us; wire.c has the argument counts of all. */
enum go_kind {
	GO_PROC_START = 10,
	GO_PROC_STOP,
	GO_PROC_STEAL,
	GO_PROC_STATUS,
	GO_CREATE = 14,
	GO_CREATE_SYSCALL,
	GO_START,
	GO_DESTROY,
	GO_DESTROY_SYSCALL,
	GO_STOP,
	GO_BLOCK,
	GO_UNBLOCK,
	GO_SYSCALL_BEGIN,
	GO_SYSCALL_END,
	GO_SYSCALL_END_BLOCKED,
	GO_STATUS,
	GO_STW_BEGIN = 26,
	GO_STW_END,
	GO_GC_ACTIVE = 28,
	GO_GC_BEGIN,
	GO_GC_END,
	GO_SWEEP_END = 33,
	GO_HEAP_ALLOC = 37,
	GO_HEAP_GOAL = 38,
	GO_SWITCH = 45,
	GO_SWITCH_DESTROY,
	GO_CREATE_BLOCKED,
	GO_STATUS_STACK,
	GO_SPAN = 128,
	GO_SPAN_ALLOC,
	GO_SPAN_FREE,
	GO_OBJECT,
	GO_OBJECT_ALLOC,
	GO_OBJECT_FREE,
	GO_STACK,
	GO_STACK_ALLOC,
	GO_STACK_FREE,
};

struct go_event {
	uint8_t kind;
	uint8_t seen;		    /* tiny.c: what it has been found to be, 0 = nothing yet */
	uint64_t time;		    /* trace clock units */
	uint64_t args[GO_ARGS_MAX]; /* without dt; those past the kind's own are 0 */
};

struct go_batch {
	uint64_t thread, time;
	size_t at; /* in data */
	uint32_t bytes;
	bool table; /* of the allocation experiment, not timed events */
};

struct go_generation {
	uint64_t number;
	uint8_t *data;
	size_t bytes, cap;
	struct go_batch *batches;
	size_t batch_count, batch_cap;
	uint64_t time_first; /* smallest time a batch starts at; RH_NONE = no batch */
};

struct go_wire {
	struct rh_input *input;
	unsigned version;	   /* 23, 25, 26: what the header says */
	double ns_per_unit;	   /* 0 until the trace has given it */
	uint64_t offset;	   /* bytes taken so far */
	uint64_t batches, skipped; /* all; strings, call stacks and samples */
	bool ended;
	char truncated[160]; /* what is missing; "" = whole */
	struct {
		uint8_t type, experiment;
		uint64_t number, thread, time, bytes;
	} head;
	bool have_head; /* `head` begins the next generation */
	size_t at, end;
	uint8_t buffer[GO_BUFFER];
};

/* Reads and judges the 16 bytes that begin the file; old traces are refused with what to
 * do instead. */
int rh_go_wire_open(struct go_wire *wire, struct rh_input *input, struct rh_err *err);

/* The next generation: 1, 0 at the end of the file, -1 on error. A file that is cut off
 * gives the whole batches of its last generation and says so in wire->truncated. */
int rh_go_wire_next(struct go_wire *wire, struct go_generation *generation, struct rh_err *err);
void rh_go_generation_close(struct go_generation *generation);

/* The rest of a batch. */
struct go_cursor {
	const uint8_t *at, *end;
	uint64_t time; /* of the event before; runs on */
};

/* Decodes events to the end of the batch, at most `cap`: how many. Fewer, and not all of the batch:
 * the number of the next one is unknown to the version, or it does not end within the batch. */
size_t rh_go_events_next(const struct go_wire *wire, struct go_cursor *cursor,
			 struct go_event *events, size_t cap);

/* Goes past the event at *at without its values, which costs a fifth. False: it is none. */
bool rh_go_event_skip(const struct go_wire *wire, const uint8_t **at, const uint8_t *end);

/* The groups of seven bits of a number of up to eight bytes, moved together in three steps. */
static inline uint64_t go_join(uint64_t word)
{
	word = (word & 0x007f007f007f007f) | (word & 0x7f007f007f007f00) >> 1;
	word = (word & 0x00003fff00003fff) | (word & 0x3fff00003fff0000) >> 2;
	return (word & 0x000000000fffffff) | (word & 0x0fffffff00000000) >> 4;
}

/* Byte by byte: up to 10, near the end of a batch. */
static inline bool go_varint_slow(const uint8_t **at, const uint8_t *end, uint64_t *value)
{
	const uint8_t *p = *at;
	uint64_t v = 0;

	for (unsigned shift = 0; shift < 70 && p < end; shift += 7) {
		uint8_t byte = *p++;

		if (shift == 63 && byte > 1)
			return false;
		v |= (uint64_t)(byte & 0x7f) << shift;
		if (byte < 0x80) {
			*value = v;
			*at = p;
			return true;
		}
	}
	return false;
}

/* A varint that may be padded, up to 10 bytes; false when it is longer or cut. Addresses take three
 * to five bytes, for which one load and no loop is half the work. */
static inline bool go_varint(const uint8_t **at, const uint8_t *end, uint64_t *value)
{
	if (*at < end && **at < 0x80) {
		*value = *(*at)++;
		return true;
	}
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	uint64_t word, last;

	if (end - *at >= 8) {
		memcpy(&word, *at, sizeof(word));
		last = ~word & 0x8080808080808080;
		if (last) {
			*value = go_join(word & (last ^ (last - 1)));
			*at += __builtin_ctzll(last) / 8 + 1;
			return true;
		}
	}
#endif
	return go_varint_slow(at, end, value);
}

#endif
