/*
 * malloc_bench.c - traces of ClaytonKnittel/malloc-bench (.trace, gzip): one protocol buffer.
 *
 *	repeated field 1: an operation, a message with one of
 *		1 malloc { 1 result id, 2 size, 3 alignment }
 *		2 free { 1 id, 2 size, 3 alignment }
 *		3 realloc { 1 result id, 2 id, 3 size }
 *		4 calloc { 1 result id, 2 count, 3 size }
 *	field 2: most allocations alive at once
 *
 * All numbers are varints; an id that is missing is NULL. An id is used again when its block is
 * free. One thread. Read by hand: this is all of the format that such a file has, and a message is
 * under 70 bytes. Unknown fields of numbers are passed over, other ones are an error.
 */
#include "traces/import/bytes.h"

#include <string.h>

#include "traces/import/scan.h"

enum { THREAD = 0, MESSAGE_MAX = 96, FIELDS = 4 };
enum { KEY_OP = 1 << 3 | 2, KEY_MOST = 2 << 3 }; /* field number and wire type */
enum op { MALLOC = 1, FREE, REALLOC, CALLOC };

struct message {
	unsigned char bytes[MESSAGE_MAX];
	size_t at, count;
};

struct log {
	struct rh_bytes bytes;
	struct rh_build *build;
	uint64_t records;
	bool cut; /* the file ended within a record */
};

static int malformed(const struct log *log, const char *what, struct rh_err *err)
{
	return rh_fail(err, RH_BAD_DATA, "%s: record %llu: %s", rh_input_path(log->bytes.input),
		       (unsigned long long)log->records, what);
}

/* A byte of the file: 1, 0 at the end, -1. */
static int next_byte(struct log *log, unsigned char *byte, struct rh_err *err)
{
	enum rh_bytes_result result = rh_bytes_next(&log->bytes, byte, err);

	return result == RH_BYTES_FAIL ? -1 : result == RH_BYTES_OK;
}

/* 1, 0 when the file ends, within it or before, -1. */
static int next_varint(struct log *log, uint64_t *value, struct rh_err *err)
{
	unsigned count;

	switch (rh_bytes_varint(&log->bytes, value, &count, err)) {
	case RH_BYTES_OK:
		return 1;
	case RH_BYTES_END:
		log->cut |= count > 0;
		return 0;
	case RH_BYTES_BAD:
		return malformed(log, "a number is too long", err);
	default:
		return -1;
	}
}

static bool varint_in(struct message *message, uint64_t *value)
{
	*value = 0;
	for (int i = 0; i < RH_BYTES_VARINT_MAX && message->at < message->count; i++) {
		unsigned char byte = message->bytes[message->at++];

		*value |= (uint64_t)(byte & 0x7f) << (7 * i);
		if (!(byte & 0x80))
			return true;
	}
	return false;
}

/* Numbers of a message by field; false when it is none of numbers alone. */
static bool read_fields(struct message *message, uint64_t *field, unsigned *seen)
{
	uint64_t key, value;

	while (message->at < message->count) {
		if (!varint_in(message, &key) || (key & 7) != 0 || !varint_in(message, &value))
			return false;
		if (key >> 3 < FIELDS) {
			field[key >> 3] = value;
			*seen |= 1u << (key >> 3);
		}
	}
	return true;
}

/* Address 0 means no block, so ids count from 1. */
static uint64_t name_of(uint64_t id, bool seen)
{
	return seen ? id + 1 : 0;
}

static int put_op(struct log *log, uint64_t op, const uint64_t *field, unsigned seen,
		  struct rh_err *err)
{
	struct rh_build *build = log->build;
	uint64_t result = name_of(field[1], seen & 2), size = field[2];

	switch (op) {
	case MALLOC:
		return rh_build_alloc(build, THREAD,
				      RH_BLOCK(.address = result, .size = size,
					       .align_log2 = scan_align_log2(field[3])),
				      err);
	case FREE:
		if (seen & 4)
			return rh_build_free_sized(
				build, THREAD, &(struct rh_build_sized){ result, size, RH_NONE },
				err);
		return rh_build_free(build, THREAD, result, RH_NONE, err);
	case REALLOC:
		return rh_build_realloc(build, THREAD, name_of(field[2], seen & 4),
					RH_BLOCK(.address = result, .size = field[3]), err);
	case CALLOC:
		if (!scan_product(field[2], field[3], &size))
			result = 0;
		return rh_build_alloc(
			build, THREAD,
			RH_BLOCK(.address = result, .size = size, .flags = RH_EVF_ZEROED), err);
	default:
		return malformed(log, "it is none of malloc, free, realloc, calloc", err);
	}
}

/* 1, 0 when the file ends in it, -1. */
static int read_op(struct log *log, struct rh_err *err)
{
	struct message outer = { .count = 0 }, inner = { .count = 0 };
	uint64_t bytes, key, inside, field[FIELDS] = { 0 };
	unsigned seen = 0;
	int got = next_varint(log, &bytes, err);

	if (got <= 0)
		return got;
	if (bytes > MESSAGE_MAX)
		return malformed(log, "an operation has more than 96 bytes", err);
	while (outer.count < bytes) {
		got = next_byte(log, &outer.bytes[outer.count], err);
		if (got <= 0)
			return got;
		outer.count++;
	}
	if (!varint_in(&outer, &key) || (key & 7) != 2 || !varint_in(&outer, &inside) ||
	    inside != outer.count - outer.at)
		return malformed(log, "an operation is not one message", err);
	inner.count = inside;
	memcpy(inner.bytes, outer.bytes + outer.at, inside);
	if (!read_fields(&inner, field, &seen))
		return malformed(log, "a field is no number", err);
	for (int i = 1; i < FIELDS; i++)
		if (field[i] >> 62)
			return malformed(log, "a number is too large", err);
	return put_op(log, key >> 3, field, seen, err) < 0 ? -1 : 1;
}

/* The record behind its key: 1, 0 when the file ends in it, -1. */
static int read_record(struct log *log, uint64_t key, struct rh_err *err)
{
	uint64_t ignored;

	if (key == KEY_OP)
		return read_op(log, err);
	if ((key & 7) != 0)
		return malformed(log, "the file is no trace of malloc-bench", err);
	rh_build_count(log->build, "drop.header_record", 1);
	return next_varint(log, &ignored, err);
}

static int read_all(struct log *log, struct rh_err *err)
{
	uint64_t key;
	int got;

	while ((got = next_varint(log, &key, err)) > 0) {
		log->records++;
		got = read_record(log, key, err);
		if (got < 0)
			return -1;
		if (got == 0) {
			log->cut = true;
			/* A head that was cut is counted already. */
			log->records += key != KEY_OP;
			return 0;
		}
	}
	log->records += got == 0 && log->cut;
	return got;
}

/* The first operations, each a message in a message with the lengths that fit. */
static unsigned likeness(const char *text, size_t count)
{
	const unsigned char *bytes = (const unsigned char *)text;
	size_t at = 0;
	unsigned found = 0;

	while (found < 8 && at + 4 <= count && bytes[at] == KEY_OP) {
		unsigned length = bytes[at + 1], inner = bytes[at + 2];

		if (length < 2 || length > MESSAGE_MAX || (inner & 7) != 2 || inner >> 3 < MALLOC ||
		    inner >> 3 > CALLOC || bytes[at + 3] != length - 2)
			return 0;
		at += 2 + length;
		found++;
	}
	return found ? 90 : 0;
}

static int import_malloc_bench(struct rh_input *input, const void *opts, struct rh_build *build,
			       struct rh_trace_out *out, struct rh_err *err)
{
	struct log log = { .bytes.input = input, .build = build };

	(void)opts;
	rh_build_stamp(build, RH_NONE, RH_TASK_NONE, RH_SITE_NONE);
	if (read_all(&log, err) < 0)
		return -1;
	if (log.records == 0)
		return malformed(&log, "there is none", err);
	if (log.cut) {
		rh_build_count(build, "drop.cut_record", 1);
		if (rh_trace_add_note(out, "import.truncated",
				      "the last record is cut off and left out", err) < 0)
			return -1;
	}
	return rh_trace_add_count(out, "import.records", log.records, err);
}

const struct rh_importer rh_import_malloc_bench = {
	.name = "malloc-bench",
	.summary = "traces of ClaytonKnittel/malloc-bench: one protocol buffer, gzip",
	.looks_like = "binary: repeated { malloc { id, size } | free { id } | realloc | calloc }",
	.likeness = likeness,
	.run = import_malloc_bench,
};
