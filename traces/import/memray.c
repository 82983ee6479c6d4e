/*
 * memray.c - captures of memray, the memory profiler for Python (`memray run`), of its versions
 * 1.5 to 1.20: their files have the numbers 9 to 13. Packed by LZ4, as they are by default, or not.
 *
 * A head - "memray\0", an int32 with the number, then what the process was - and records up to a
 * TRAILER. Numbers are varints; differences to the last of their kind are zigzag varints. Of the
 * records, by the first byte:
 *
 *	up to 11: the kind in the low four bits, 4 more above
 *	1 allocation: allocator in the 4, address difference, size where it has one
 *	2 the same with a native stack: address difference, size, stack difference
 *
 *	from 12 on: 1ppppaaa allocation, 001ppppc birth or death of a Python object
 *	pppp: one of the last 15 addresses, newest first; 15: a new one, difference of eighths
 *	aaa: the allocator; 0: a byte follows. Then stack difference (native), size
 *
 * The rest (frames, names, maps of images, resident memory) is passed over; resident memory is
 * sampled with the time, every 10 ms or so, and gives calls behind it theirs. A context switch has
 * the thread. realloc is a free and an allocation: it stays so here. mmap and munmap are the
 * program's own, of memory and files alike. Where Python's allocator was traced, its blocks are
 * allocations, too; they lie in memory that it got by mmap, so nothing is counted twice.
 *
 * A file of a process that was killed ends in zero bytes instead of the trailer: what stands before
 * them is kept. `memray run --aggregate` writes sums, which is no recording of calls.
 */
#include "traces/import/bytes.h"
#include "traces/import/lines.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "traces/import/scan.h"

#define MAGIC "memray"

enum { OLDEST = 9, WITH_FORMAT = 10, WITH_TRACED = 11, PACKED = 12, WITH_PATHS = 13 };
enum {
	MAGIC_BYTES = sizeof(MAGIC),
	RECENT = 15,
	STATS_BYTES = 32,
	PYTHON_BYTES = 4,
	PID_BYTES = 4
};
static const uint64_t NS_PER_MS = 1000000;

/* Kinds of the old form, and of the new one what has none of the three highest bits. */
enum kind {
	OTHER,
	ALLOCATION,
	ALLOCATION_NATIVE,
	FRAME_INDEX,
	FRAME_PUSH,
	NATIVE_FRAME,
	MAPS,
	IMAGE,
	SEGMENT,
	FRAME_POP,
	THREAD_NAME,
	RESIDENT,
	CONTEXT_SWITCH,
	CODE_OBJECT = 14,
	NEW_TRAILER = 1,
	NEW_RESIDENT = 2,
};

/* As new files number them. */
enum allocator {
	PY_FREE = 1,
	PY_MALLOC,
	PY_CALLOC,
	PY_REALLOC,
	FREE,
	MALLOC,
	REALLOC,
	CALLOC,
	POSIX_MEMALIGN,
	ALIGNED_ALLOC,
	MEMALIGN,
	VALLOC,
	PVALLOC,
	MMAP,
	MUNMAP,
	ALLOCATORS
};

struct log {
	struct rh_bytes bytes;
	struct rh_build *build;
	struct rh_log_clock clock;
	uint64_t records, thread, time_ns, address, recent[RECENT];
	uint32_t version;
	bool native, has_thread, has_calls, trailer;
	const char *drop;	    /* what the record is counted under; NULL: an event */
	enum rh_bytes_result ended; /* RH_BYTES_OK as long as there is more */
	const char *wrong;	    /* with RH_BYTES_BAD */
	struct rh_err *err;
};

/* ---- bytes ---- */

/* Once one fails, all do: so records are read first and looked at then. */
static bool get(struct log *log, void *to, size_t bytes)
{
	unsigned char *at = to;

	for (size_t i = 0; i < bytes && log->ended == RH_BYTES_OK; i++)
		log->ended = rh_bytes_next(&log->bytes, &at[i], log->err);
	return log->ended == RH_BYTES_OK;
}

static uint64_t get_varint(struct log *log)
{
	uint64_t value = 0;
	unsigned count;

	if (log->ended == RH_BYTES_OK)
		log->ended = rh_bytes_varint(&log->bytes, &value, &count, log->err);
	if (log->ended == RH_BYTES_BAD && !log->wrong)
		log->wrong = "a number is too long";
	return value;
}

static void skip_varints(struct log *log, int count)
{
	while (count-- > 0)
		get_varint(log);
}

static void skip_bytes(struct log *log, uint64_t bytes)
{
	unsigned char ignored;

	while (bytes-- > 0 && get(log, &ignored, 1))
		;
}

/* How many bytes it has without its NUL. */
static uint64_t skip_string(struct log *log)
{
	unsigned char byte = 1;
	uint64_t bytes = 0;

	while (get(log, &byte, 1) && byte)
		bytes++;
	return bytes;
}

static uint64_t add_difference(struct log *log, uint64_t to)
{
	uint64_t zigzag = get_varint(log);

	return to + ((zigzag >> 1) ^ (~(zigzag & 1) + 1));
}

static void refuse(struct log *log, const char *why)
{
	log->ended = RH_BYTES_BAD;
	log->wrong = why;
}

/* ---- calls ---- */

static bool is_free(unsigned allocator)
{
	return allocator == FREE || allocator == PY_FREE;
}

static int put_map(struct log *log, bool is_map, uint64_t bytes)
{
	const struct rh_event event = {
		.kind = is_map ? RH_EV_MAP : RH_EV_UNMAP,
		.id = RH_MAP_ANONYMOUS,
		.size = bytes,
		.time_ns = log->time_ns,
		.old = RH_NONE,
		.arg = RH_NONE,
		.task = RH_TASK_NONE,
		.site = RH_SITE_NONE,
	};

	return rh_build_other(log->build, log->thread, &event, log->err);
}

static int put_call(struct log *log, unsigned allocator, uint64_t address, uint64_t bytes)
{
	struct rh_build_block block = { .address = address, .size = bytes };
	const char *why;

	if (log->ended != RH_BYTES_OK)
		return 0;
	if (!allocator || allocator >= ALLOCATORS)
		return refuse(log, "an allocator is none of 1 to 15"), 0;
	if (!log->has_thread)
		return refuse(log, "no thread was named before the first call"), 0;
	if (!scan_size_fits(address, bytes, &why))
		return refuse(log, why), 0;
	log->has_calls = true;
	if (allocator == MMAP || allocator == MUNMAP)
		return put_map(log, allocator == MMAP, bytes);
	if (is_free(allocator))
		return rh_build_free(log->build, log->thread, address, RH_NONE, log->err);
	if (allocator == CALLOC || allocator == PY_CALLOC)
		block.flags = RH_EVF_ZEROED;
	if (allocator == VALLOC || allocator == PVALLOC)
		block.align_log2 = 12;
	return rh_build_alloc(log->build, log->thread, &block, log->err);
}

static void take_new_address(struct log *log, uint64_t address)
{
	memmove(log->recent + 1, log->recent, sizeof(log->recent) - sizeof(*log->recent));
	log->recent[0] = address;
}

static uint64_t get_address(struct log *log, unsigned which)
{
	if (which < RECENT)
		return log->recent[which];
	log->address = add_difference(log, log->address);
	take_new_address(log, log->address << 3);
	return log->recent[0];
}

static int put_packed_call(struct log *log, unsigned token)
{
	uint64_t address = get_address(log, token >> 3 & 15), bytes = 0;
	unsigned char allocator = token & 7;

	if (!allocator)
		get(log, &allocator, 1);
	if (log->native && !is_free(allocator))
		skip_varints(log, 1);
	if (!is_free(allocator))
		bytes = get_varint(log);
	return put_call(log, allocator, address, bytes);
}

/* The birth or death of a Python object, which lies in a block. */
static void skip_object(struct log *log, unsigned token)
{
	get_address(log, token >> 1 & 15);
	if (log->native && token & 1)
		skip_varints(log, 1);
	log->drop = "drop.object_record";
}

static int put_plain_call(struct log *log, unsigned number, bool native)
{
	static const unsigned char allocators[] = {
		0,	MALLOC,	 FREE, CALLOC, REALLOC,	  POSIX_MEMALIGN, ALIGNED_ALLOC, MEMALIGN,
		VALLOC, PVALLOC, MMAP, MUNMAP, PY_MALLOC, PY_CALLOC,	  PY_REALLOC,	 PY_FREE,
	};
	unsigned allocator = allocators[number];
	uint64_t bytes = 0;

	log->address = add_difference(log, log->address);
	if (native || !is_free(allocator))
		bytes = get_varint(log);
	if (native)
		skip_varints(log, 1);
	return put_call(log, allocator, log->address, is_free(allocator) ? 0 : bytes);
}

/* ---- other records ---- */

static void take_time(struct log *log)
{
	uint64_t ms;

	get_varint(log);
	ms = get_varint(log);
	if (log->ended == RH_BYTES_OK && ms < UINT64_MAX / 4 / NS_PER_MS) {
		log->time_ns = rh_log_clock_at(&log->clock, ms * NS_PER_MS);
		rh_build_stamp(log->build, log->time_ns, RH_TASK_NONE, RH_SITE_NONE);
	}
	log->drop = "drop.resident_record";
}

static void take_thread(struct log *log)
{
	log->has_thread |= get(log, &log->thread, sizeof(log->thread));
	log->drop = "drop.switch_record";
}

/* Names, frames and images, which are alike in both forms. */
static void skip_record(struct log *log, unsigned kind)
{
	switch (kind) {
	case NATIVE_FRAME:
		skip_varints(log, 2);
		break;
	case MAPS:
		break;
	case IMAGE:
		skip_string(log);
		skip_varints(log, 1);
		skip_bytes(log, sizeof(uint64_t));
		break;
	case SEGMENT:
		skip_bytes(log, sizeof(uint64_t));
		skip_varints(log, 1);
		break;
	case THREAD_NAME:
		skip_string(log);
		break;
	case CODE_OBJECT:
		skip_varints(log, 1);
		skip_string(log);
		skip_string(log);
		skip_varints(log, 1);
		skip_bytes(log, get_varint(log));
		break;
	default:
		refuse(log, "a record is of no known kind");
		return;
	}
	log->drop = "drop.other_record";
}

static int read_packed(struct log *log, unsigned token)
{
	if (token & 0x80)
		return put_packed_call(log, token);
	if (token & 0x40) {
		skip_varints(log, 2);
		log->drop = "drop.frame_record";
	} else if (token & 0x20) {
		skip_object(log, token);
	} else if (token & 0x10) {
		log->drop = "drop.frame_record";
	} else if (token == NEW_TRAILER) {
		log->trailer = true;
		log->drop = "drop.header_record";
	} else if (token == NEW_RESIDENT) {
		take_time(log);
	} else if (token == CONTEXT_SWITCH) {
		take_thread(log);
	} else {
		skip_record(log, token);
	}
	return 0;
}

static int read_plain(struct log *log, unsigned token)
{
	unsigned kind = token & 15, more = token >> 4;

	switch (kind) {
	case OTHER:
		if (more == NEW_TRAILER)
			return read_packed(log, more);
		refuse(log, "a record is of no known kind");
		return 0;
	case ALLOCATION:
	case ALLOCATION_NATIVE:
		return put_plain_call(log, more, kind == ALLOCATION_NATIVE);
	case FRAME_INDEX:
		skip_varints(log, 1);
		skip_string(log);
		skip_string(log);
		skip_varints(log, 1);
		log->drop = "drop.frame_record";
		return 0;
	case FRAME_PUSH:
	case FRAME_POP:
		skip_varints(log, kind == FRAME_PUSH);
		log->drop = "drop.frame_record";
		return 0;
	case RESIDENT:
		take_time(log);
		return 0;
	case CONTEXT_SWITCH:
		take_thread(log);
		return 0;
	default:
		skip_record(log, kind == CODE_OBJECT ? 15 : kind);
		return 0;
	}
}

/* ---- all of it ---- */

static int check_version(struct log *log)
{
	char magic[MAGIC_BYTES];

	if (!get(log, magic, sizeof(magic)) || memcmp(magic, MAGIC, sizeof(magic)) != 0 ||
	    !get(log, &log->version, sizeof(log->version)))
		return rh_fail(log->err, RH_BAD_DATA, "%s: it does not begin as memray's files do",
			       rh_input_path(log->bytes.input));
	if (log->version >= OLDEST && log->version <= WITH_PATHS)
		return 0;
	return rh_fail(
		log->err, RH_BAD_DATA,
		"%s: memray's files are known with the numbers 9 to 13 (memray 1.5 to 1.20), "
		"and this has %" PRIu32,
		rh_input_path(log->bytes.input), log->version);
}

/* The command into a note. */
static int take_command(struct log *log, struct rh_trace_out *out)
{
	char command[1024];
	size_t used = 0;
	char c = 1;

	while (get(log, &c, 1) && c)
		if (used + 1 < sizeof(command))
			command[used++] = c;
	command[used] = '\0';
	return rh_trace_add_note(out, "program", command, log->err);
}

static int read_head(struct log *log, struct rh_trace_out *out)
{
	unsigned char native = 0, format = 0;

	if (check_version(log) < 0)
		return -1;
	skip_bytes(log, log->version >= PACKED ? PYTHON_BYTES : 0);
	get(log, &native, 1);
	if (log->version >= WITH_FORMAT)
		get(log, &format, 1);
	skip_bytes(log, STATS_BYTES);
	if (take_command(log, out) < 0)
		return -1;
	skip_bytes(log, PID_BYTES + 2 * sizeof(uint64_t) + 1 + (log->version >= WITH_TRACED) +
				(log->version >= PACKED));
	if (log->version >= WITH_PATHS) {
		skip_string(log);
		for (int list = 0; list < 2; list++)
			while (skip_string(log) && log->ended == RH_BYTES_OK)
				;
	}
	log->native = native;
	if (log->ended == RH_BYTES_OK && format)
		return rh_fail(log->err, RH_BAD_DATA,
			       "%s was written by memray run --aggregate: sums, not calls; record "
			       "without it",
			       rh_input_path(log->bytes.input));
	if (log->ended == RH_BYTES_END)
		return rh_fail(log->err, RH_BAD_DATA, "%s: it is cut off in its head",
			       rh_input_path(log->bytes.input));
	return log->ended == RH_BYTES_OK ? 0 : -1;
}

static int read_record(struct log *log, unsigned token)
{
	int result;

	log->drop = NULL;
	log->records++;
	result = log->version >= PACKED ? read_packed(log, token) : read_plain(log, token);
	if (log->ended == RH_BYTES_OK && log->drop)
		rh_build_count(log->build, log->drop, 1);
	if (log->ended == RH_BYTES_END)
		rh_build_count(log->build, "drop.cut_record", 1);
	return result;
}

static int read_records(struct log *log)
{
	unsigned char token;

	while (get(log, &token, 1)) {
		if (!token)
			continue;
		if (log->trailer)
			refuse(log, "something follows the last record");
		else if (read_record(log, token) < 0)
			return -1;
	}
	if (log->ended == RH_BYTES_BAD)
		return rh_fail(log->err, RH_BAD_DATA, "%s: record %" PRIu64 ": %s",
			       rh_input_path(log->bytes.input), log->records, log->wrong);
	return log->ended == RH_BYTES_FAIL ? -1 : 0;
}

static int add_notes(struct log *log, struct rh_trace_out *out)
{
	char text[120];

	if (!log->trailer) {
		snprintf(text, sizeof(text),
			 "after record %" PRIu64
			 ": there is no last one, as memray writes it at its end",
			 log->records);
		if (rh_trace_add_note(out, "import.truncated", text, log->err) < 0)
			return -1;
	}
	if (rh_trace_add_count(out, "memray.version", log->version, log->err) < 0 ||
	    rh_log_clock_finish(&log->clock, "ms", log->build, out, log->err) < 0)
		return -1;
	return rh_trace_add_count(out, "import.records", log->records, log->err);
}

static int import_memray(struct rh_input *input, const void *opts, struct rh_build *build,
			 struct rh_trace_out *out, struct rh_err *err)
{
	struct log log = { .bytes.input = input,
			   .build = build,
			   .clock = RH_LOG_CLOCK,
			   .time_ns = RH_NONE,
			   .err = err };

	(void)opts;
	rh_build_stamp(build, RH_NONE, RH_TASK_NONE, RH_SITE_NONE);
	if (read_head(&log, out) < 0 || read_records(&log) < 0)
		return -1;
	if (!log.has_calls)
		return rh_fail(err, RH_BAD_DATA, "%s: it has no allocation", rh_input_path(input));
	return add_notes(&log, out);
}

static unsigned likeness(const char *bytes, size_t count)
{
	return count >= MAGIC_BYTES && memcmp(bytes, MAGIC, MAGIC_BYTES) == 0 ? 100 : 0;
}

const struct rh_importer rh_import_memray = {
	.name = "memray",
	.summary = "captures of memray (Python), of 1.5 to 1.20, packed by LZ4 or not",
	.looks_like = "binary: memray, a number, then calls, frames and threads as they came",
	.columns = RH_COL_TIME,
	.likeness = likeness,
	.run = import_memray,
};
