/*
 * wire.c - see wire.h.
 *
 *	file:  "go 1.NN trace" 0 0 0 | batch | batch ...
 *	batch: 1 generation thread time size data      timed events, strings, stacks, ...
 *	       49 experiment generation ... data       tables of an experiment
 *	       52                                      end of generation (1.26 on)
 *
 * Before 1.26 a generation ends where the next begins or the file does, so such a file that
 * is cut between two batches looks like a whole one.
 */
#include "traces/import/go/wire.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc/base/grow.h"

enum {
	BATCH_EVENTS = 1,
	BATCH_STACKS = 2,
	BATCH_STRINGS = 4,
	BATCH_SAMPLES = 6,
	BATCH_FREQUENCY = 8,
	BATCH_EXPERIMENT = 49,
	BATCH_SYNC = 50,
	SYNC_CLOCK = 51,
	BATCH_END = 52,
	EXPERIMENT_ALLOC_FREE = 1,
	VARINT_MAX = 10,
	HEAD_WORD = 5, /* "go 1." */
};

/* How many varints follow an event's number, the time difference included; 0 = no event. */
static const uint8_t varints[256] = {
	[9] = 3,
	3,
	1,
	4,
	3,
	4,
	2,
	3,
	1,
	1,
	3,
	3,
	4,
	3,
	1,
	1,
	4,
	3,
	1,
	2,
	3,
	2,
	2,
	2,
	3,
	2,
	2,
	1,
	2,
	2,
	2,
	5,
	3,
	4,
	4,
	5,
	3,
	3,
	4,
	5,
	[GO_SPAN] = 4,
	4,
	2,
	3,
	3,
	2,
	3,
	3,
	2,
};

/* The largest ordinary event number of a version: nothing else may come in its files. */
static unsigned kind_max(unsigned version)
{
	return version <= 22 ? 44 : GO_STATUS_STACK;
}

static int bad(const struct go_wire *wire, struct rh_err *err, const char *what)
{
	return rh_fail(err, RH_BAD_DATA, "%s: byte %llu: %s", rh_input_path(wire->input),
		       (unsigned long long)wire->offset, what);
}

/* At least `bytes` in the buffer, or what there is before the end of the file. */
static int fill(struct go_wire *wire, size_t bytes, struct rh_err *err)
{
	memmove(wire->buffer, wire->buffer + wire->at, wire->end - wire->at);
	wire->end -= wire->at;
	wire->at = 0;
	while (wire->end < bytes) {
		ssize_t got = rh_input_read(wire->input, wire->buffer + wire->end,
					    sizeof(wire->buffer) - wire->end, err);

		if (got < 0)
			return -1;
		if (got == 0)
			return 0;
		wire->end += (size_t)got;
	}
	return 0;
}

static inline int need(struct go_wire *wire, size_t bytes, struct rh_err *err)
{
	return wire->end - wire->at >= bytes ? 0 : fill(wire, bytes, err);
}

static void take_bytes(struct go_wire *wire, size_t bytes)
{
	wire->at += bytes;
	wire->offset += bytes;
}

/* ---- the head of the file ---- */

static int refuse_old(const struct go_wire *wire, unsigned version, struct rh_err *err)
{
	if (version > 22)
		return rh_fail(err, RH_BAD_DATA,
			       "%s: is a trace of format 1.%u, which is not "
			       "known here (1.23, 1.25 and 1.26 are)",
			       rh_input_path(wire->input), version);
	return rh_fail(err, RH_BAD_DATA,
		       "%s: is a trace of Go 1.%u, which records no allocations: run the program "
		       "built by Go 1.23 or later with GODEBUG=traceallocfree=1, or set "
		       "GODEBUG=allocfreetrace=1 (up to Go 1.22) and import what it prints as "
		       "go-allocfree",
		       rh_input_path(wire->input), version);
}

int rh_go_wire_open(struct go_wire *wire, struct rh_input *input, struct rh_err *err)
{
	static const char tail[] = " trace\0\0";
	const char *head = (const char *)wire->buffer;
	unsigned version;

	memset(wire, 0, offsetof(struct go_wire, buffer));
	wire->input = input;
	if (need(wire, 16, err) < 0)
		return -1;
	if (wire->end < 16 || memcmp(head, "go 1.", 5) != 0 || head[5] < '0' || head[5] > '9' ||
	    head[6] < '0' || head[6] > '9' || memcmp(head + 7, tail, 9) != 0)
		return bad(wire, err,
			   "not a Go execution trace, which begins with 'go 1.NN "
			   "trace'");
	version = (unsigned)(head[5] - '0') * 10 + (unsigned)(head[6] - '0');
	if (version != 23 && version != 25 && version != 26)
		return refuse_old(wire, version, err);
	wire->version = version;
	take_bytes(wire, 16);
	return 0;
}

/* ---- batches ---- */

/* No batch begins here. After whole ones the trace ends here, as if it were cut: Go's writer itself
 * loses the heads of batches (1.24 to 1.26 in a program that made 12,000 goroutines). */
static int no_head(struct go_wire *wire, struct rh_err *err, const char *what)
{
	if (wire->batches == 0)
		return bad(wire, err, what);
	snprintf(wire->truncated, sizeof(wire->truncated),
		 "damaged at byte %llu: %s; from there on nothing is read",
		 (unsigned long long)wire->offset, what);
	return 0;
}

/* 1, 0 at the end of the file, -1 when the bytes do not fit. A head that the end of the
 * file cuts counts as the end, with truncated set. */
static int read_head(struct go_wire *wire, struct rh_err *err)
{
	const uint8_t *at, *end;
	bool whole;

	if (need(wire, 2 + 4 * VARINT_MAX, err) < 0)
		return -1;
	at = wire->buffer + wire->at;
	end = wire->buffer + wire->end;
	if (at == end)
		return 0;
	wire->head.type = *at++;
	wire->head.experiment = 0;
	if (wire->head.type == BATCH_END && wire->version >= 26) {
		take_bytes(wire, 1);
		return 1;
	}
	if (end - at >= HEAD_WORD && memcmp(at - 1, "go 1.", HEAD_WORD) == 0)
		return no_head(wire, err, "another trace begins here (two files in one)");
	if (wire->head.type != BATCH_EVENTS && wire->head.type != BATCH_EXPERIMENT)
		return no_head(wire, err, "a batch should begin here and does not");
	if (wire->head.type == BATCH_EXPERIMENT && at < end)
		wire->head.experiment = *at++;
	whole = go_varint(&at, end, &wire->head.number) &&
		go_varint(&at, end, &wire->head.thread) && go_varint(&at, end, &wire->head.time) &&
		go_varint(&at, end, &wire->head.bytes);
	if (!whole && end - at >= VARINT_MAX)
		return no_head(wire, err, "a number is longer than ten bytes");
	if (!whole) {
		snprintf(wire->truncated, sizeof(wire->truncated),
			 "cut off in the head of a batch at byte %llu: its first %zu bytes are "
			 "dropped",
			 (unsigned long long)wire->offset, wire->end - wire->at);
		return 0;
	}
	if (wire->head.bytes > GO_BATCH_MAX)
		return no_head(wire, err, "a batch is longer than 65536 bytes");
	take_bytes(wire, (size_t)(at - (wire->buffer + wire->at)));
	return 1;
}

static void set_frequency(struct go_wire *wire, uint64_t per_second)
{
	if (per_second)
		wire->ns_per_unit = 1e9 / (double)per_second;
}

/* A sync batch: clock snapshots, among which the frequency. */
static void read_sync(struct go_wire *wire, const uint8_t *at, const uint8_t *end)
{
	uint64_t value = 0;

	for (at++; at < end;) {
		uint8_t type = *at++;
		unsigned count = type == SYNC_CLOCK ? 4 : 1;

		if (type != BATCH_FREQUENCY && type != SYNC_CLOCK)
			return;
		while (count-- > 0)
			if (!go_varint(&at, end, &value))
				return;
		if (type == BATCH_FREQUENCY)
			set_frequency(wire, value);
	}
}

/* Whether a batch is kept. What it says of the clock is taken here. */
static bool keeps(struct go_wire *wire, const uint8_t *data, size_t bytes)
{
	const uint8_t *at = data + 1, *end = data + bytes;
	uint64_t value;

	if (bytes == 0)
		return false;
	if (wire->head.type == BATCH_EXPERIMENT)
		return wire->head.experiment == EXPERIMENT_ALLOC_FREE;
	switch (data[0]) {
	case BATCH_STACKS:
	case BATCH_STRINGS:
	case BATCH_SAMPLES:
		return false;
	case BATCH_FREQUENCY:
		if (go_varint(&at, end, &value))
			set_frequency(wire, value);
		return false;
	case BATCH_SYNC:
		read_sync(wire, data, end);
		return false;
	}
	return true;
}

static bool room(struct go_generation *generation, size_t bytes)
{
	while (generation->cap - generation->bytes < bytes) {
		size_t cap = generation->cap ? generation->cap * 2 : 1 << 20;
		void *data = realloc(generation->data, cap);

		if (!data)
			return false;
		generation->data = data;
		generation->cap = cap;
	}
	if (!rh_reserve(&generation->batches, &generation->batch_cap, generation->batch_count + 1,
			sizeof(*generation->batches)))
		return false;
	return true;
}

static int keep(struct go_wire *wire, struct go_generation *generation, const uint8_t *data,
		size_t bytes, struct rh_err *err)
{
	if (generation->bytes + generation->batch_count * sizeof(*generation->batches) + bytes >
	    GO_GENERATION_MAX)
		return bad(wire, err,
			   "a generation holds more than 1 GiB of events; record with "
			   "GODEBUG=traceadvanceperiod=200000000 for shorter ones");
	if (!room(generation, bytes))
		return rh_fail(err, RH_OS, "%s: memory for one generation of events ran out",
			       rh_input_path(wire->input));
	memcpy(generation->data + generation->bytes, data, bytes);
	generation->batches[generation->batch_count++] = (struct go_batch){
		.thread = wire->head.thread,
		.time = wire->head.time,
		.at = generation->bytes,
		.bytes = (uint32_t)bytes,
		.table = wire->head.type == BATCH_EXPERIMENT,
	};
	generation->bytes += bytes;
	if (wire->head.time < generation->time_first)
		generation->time_first = wire->head.time;
	return 0;
}

/* The data of the batch whose head was read: 1, 0 when the file ends in it, -1. */
static int read_data(struct go_wire *wire, struct go_generation *generation, struct rh_err *err)
{
	size_t bytes = (size_t)wire->head.bytes;
	const uint8_t *data;

	if (need(wire, bytes, err) < 0)
		return -1;
	if (wire->end - wire->at < bytes) {
		snprintf(wire->truncated, sizeof(wire->truncated),
			 "cut off in a batch of generation %llu at byte %llu: its first %zu of "
			 "%zu bytes are dropped",
			 (unsigned long long)wire->head.number,
			 (unsigned long long)(wire->offset + wire->end - wire->at),
			 wire->end - wire->at, bytes);
		return 0;
	}
	data = wire->buffer + wire->at;
	wire->batches++;
	if (!keeps(wire, data, bytes))
		wire->skipped++;
	else if (keep(wire, generation, data, bytes, err) < 0)
		return -1;
	take_bytes(wire, bytes);
	return 1;
}

static int missing_end(struct go_wire *wire, const struct go_generation *generation)
{
	if (!wire->truncated[0] && wire->version >= 26)
		snprintf(wire->truncated, sizeof(wire->truncated),
			 "cut off between two batches of generation %llu, which has no end",
			 (unsigned long long)generation->number);
	wire->ended = true;
	return 1;
}

int rh_go_wire_next(struct go_wire *wire, struct go_generation *generation, struct rh_err *err)
{
	bool begun = false;
	int got;

	generation->bytes = generation->batch_count = 0;
	generation->time_first = RH_NONE;
	while (!wire->ended) {
		if (!wire->have_head) {
			got = read_head(wire, err);
			if (got < 0)
				return -1;
			if (got == 0)
				return begun ? missing_end(wire, generation) : 0;
		}
		wire->have_head = false;
		if (wire->head.type == BATCH_END) {
			if (begun)
				return 1;
			continue;
		}
		if (begun && wire->head.number != generation->number) {
			wire->have_head = true;
			return 1;
		}
		generation->number = wire->head.number;
		begun = true;
		got = read_data(wire, generation, err);
		if (got < 0)
			return -1;
		if (got == 0)
			return missing_end(wire, generation);
	}
	return 0;
}

void rh_go_generation_close(struct go_generation *generation)
{
	free(generation->data);
	free(generation->batches);
	memset(generation, 0, sizeof(*generation));
}

/* ---- events ---- */

/* Whether the number is one of an event of this version. */
static inline bool is_known(const struct go_wire *wire, uint8_t kind)
{
	return (kind <= kind_max(wire->version) || kind >= GO_SPAN) && varints[kind];
}

bool rh_go_event_skip(const struct go_wire *wire, const uint8_t **at, const uint8_t *end)
{
	const uint8_t *p = *at;
	unsigned left = varints[*p];

	if (!is_known(wire, *p++))
		return false;
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	/* The last byte of each number has no top bit: eight at once. */
	while (left && end - p >= 8) {
		uint64_t word, last, found = 0;

		memcpy(&word, p, sizeof(word));
		for (last = ~word & 0x8080808080808080; left && last; last &= last - 1) {
			found = last;
			left--;
		}
		p += left ? 8 : __builtin_ctzll(found) / 8 + 1;
	}
#endif
	for (; left; p++) {
		if (p == end)
			return false;
		left -= *p < 0x80;
	}
	*at = p;
	return true;
}

static inline bool decode(const struct go_wire *wire, struct go_cursor *cursor,
			  struct go_event *event)
{
	const uint8_t *p = cursor->at, *end = cursor->end;
	unsigned count = varints[*p];
	uint64_t dt;

	if (!is_known(wire, *p))
		return false;
	event->kind = *p++;
	event->seen = 0;
	if (!go_varint(&p, end, &dt))
		return false;
	memset(event->args, 0, sizeof(event->args));
	for (uint64_t *arg = event->args, *last = arg + count - 1; arg < last; arg++)
		if (!go_varint(&p, end, arg))
			return false;
	cursor->time += dt;
	event->time = cursor->time;
	cursor->at = p;
	return true;
}

size_t rh_go_events_next(const struct go_wire *wire, struct go_cursor *cursor,
			 struct go_event *events, size_t cap)
{
	size_t count = 0;

	while (count < cap && cursor->at < cursor->end && decode(wire, cursor, &events[count]))
		count++;
	return count;
}
