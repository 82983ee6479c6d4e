/*
 * bytehound.c - what `bytehound export-replay` makes of bytehound's recordings.
 *
 * Numbers of 8 bytes, in the byte order of the machine: how many slots, how many operations, then
 * four numbers for each:
 *
 *	KIND SLOT MICROSECONDS SIZE		1 alloc, 2 free (SIZE is 0), 3 realloc
 *
 * A slot is the name of a block and is used again once that is free; a realloc keeps it. Threads,
 * alignment and zeroing are not in it: one lane. What bytehound writes by itself (.dat) is packed
 * its own way and changes with its versions; `bytehound export-replay` reads it.
 *
 * The count of operations is that of the whole recording: where it is larger than the file has
 * records, the file was cut off.
 */
#include "traces/import/lines.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "traces/import/scan.h"

enum { THREAD = 0, HEAD_NUMBERS = 2, RECORD_NUMBERS = 4, NUMBER_BYTES = 8 };
enum kind { ALLOC = 1, FREE, REALLOC };
static const uint64_t NS_PER_US = 1000;

struct replay {
	struct rh_input *input;
	struct rh_build *build;
	struct rh_log_clock clock;
	uint64_t slots, promised, records;
};

/* So many numbers: 1, 0 at the end, -1. *part: bytes of them that are there at the end. */
static int read_numbers(struct rh_input *input, uint64_t *numbers, size_t count, size_t *part,
			struct rh_err *err)
{
	size_t have = 0, bytes = count * NUMBER_BYTES;

	while (have < bytes) {
		ssize_t got =
			rh_input_read(input, (unsigned char *)numbers + have, bytes - have, err);

		if (got < 0)
			return -1;
		if (got == 0)
			break;
		have += (size_t)got;
	}
	*part = have == bytes ? 0 : have;
	return have == bytes;
}

static int malformed(const struct replay *replay, const char *what, struct rh_err *err)
{
	return rh_fail(err, RH_BAD_DATA, "%s: operation %" PRIu64 ": %s",
		       rh_input_path(replay->input), replay->records, what);
}

static int put_record(struct replay *replay, const uint64_t *number, struct rh_err *err)
{
	uint64_t kind = number[0], name = number[1] + 1; /* address 0 is no block */
	uint64_t size = number[3];
	const char *why;

	if (number[1] >= replay->slots)
		return malformed(replay, "its slot is beyond those of the head", err);
	if (kind != FREE && !scan_size_fits(1, size, &why))
		return malformed(replay, why, err);
	if (number[2] <= UINT64_MAX / NS_PER_US)
		rh_build_stamp(replay->build,
			       rh_log_clock_at(&replay->clock, number[2] * NS_PER_US), RH_TASK_NONE,
			       RH_SITE_NONE);
	switch (kind) {
	case ALLOC:
		return rh_build_alloc(replay->build, THREAD,
				      RH_BLOCK(.address = name, .size = size), err);
	case FREE:
		return rh_build_free(replay->build, THREAD, name, RH_NONE, err);
	case REALLOC:
		return rh_build_realloc(replay->build, THREAD, name,
					RH_BLOCK(.address = name, .size = size), err);
	default:
		return malformed(replay, "it is none of 1 (alloc), 2 (free), 3 (realloc)", err);
	}
}

/* All before the cut is kept. */
static int note_cut(struct replay *replay, size_t part, struct rh_trace_out *out,
		    struct rh_err *err)
{
	char text[120];

	if (part) {
		rh_build_count(replay->build, "drop.cut_record", 1);
		replay->records++;
	}
	snprintf(text, sizeof(text), "after %" PRIu64 " of %" PRIu64 " operations",
		 replay->records - (part > 0), replay->promised);
	return rh_trace_add_note(out, "import.truncated", text, err);
}

static int read_records(struct replay *replay, struct rh_trace_out *out, struct rh_err *err)
{
	uint64_t number[RECORD_NUMBERS];
	size_t part = 0;
	int got;

	while ((got = read_numbers(replay->input, number, RECORD_NUMBERS, &part, err)) > 0) {
		if (put_record(replay, number, err) < 0)
			return -1;
		replay->records++;
	}
	if (got < 0)
		return -1;
	if ((part || replay->records < replay->promised) && note_cut(replay, part, out, err) < 0)
		return -1;
	return rh_log_clock_finish(&replay->clock, "us", replay->build, out, err);
}

static int import_bytehound(struct rh_input *input, const void *opts, struct rh_build *build,
			    struct rh_trace_out *out, struct rh_err *err)
{
	struct replay replay = { .input = input, .build = build, .clock = RH_LOG_CLOCK };
	uint64_t head[HEAD_NUMBERS];
	size_t part;
	int got = read_numbers(input, head, HEAD_NUMBERS, &part, err);

	(void)opts;
	rh_build_stamp(build, RH_NONE, RH_TASK_NONE, RH_SITE_NONE);
	if (got < 0)
		return -1;
	if (!got)
		return rh_fail(err, RH_BAD_DATA,
			       "%s: it is shorter than the two numbers of its head",
			       rh_input_path(input));
	replay.slots = head[0];
	replay.promised = head[1];
	if (read_records(&replay, out, err) < 0)
		return -1;
	if (replay.records == 0)
		return rh_fail(err, RH_BAD_DATA, "%s: it has no operation", rh_input_path(input));
	return rh_trace_add_count(out, "import.records", replay.records, err);
}

/* The first operations: slots within the head's, each begun before it ends, times in order. */
static unsigned likeness(const char *bytes, size_t count)
{
	uint64_t head[HEAD_NUMBERS], number[RECORD_NUMBERS], time = 0;
	size_t at = sizeof(head);
	unsigned found = 0;

	if (count < sizeof(head) + sizeof(number))
		return 0;
	memcpy(head, bytes, sizeof(head));
	for (; found < 64 && at + sizeof(number) <= count; at += sizeof(number), found++) {
		memcpy(number, bytes + at, sizeof(number));
		if (number[0] < ALLOC || number[0] > REALLOC || number[1] >= head[0] ||
		    head[1] == 0 || head[0] > head[1] || number[2] < time ||
		    (found == 0 && number[0] != ALLOC) || (number[0] == FREE && number[3]))
			return 0;
		time = number[2];
	}
	return 90;
}

const struct rh_importer rh_import_bytehound = {
	.name = "bytehound",
	.summary = "what bytehound export-replay makes of bytehound's recordings",
	.looks_like = "binary: SLOTS, OPERATIONS, { 1 alloc | 2 free | 3 realloc, SLOT, us, SIZE }",
	.columns = RH_COL_TIME,
	.likeness = likeness,
	.run = import_bytehound,
};
