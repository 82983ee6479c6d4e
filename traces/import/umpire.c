/*
 * umpire.c - replay logs of Umpire, the memory manager of LLNL (UMPIRE_REPLAY=On), one JSON object
 * a line. Up to version 5 an allocation has two lines, one before and one with the result; since
 * 6 one:
 *
 *	{ "kind":"replay", "uid":27494, "timestamp":1558388052595943793, "event": "allocate",
 *	  "payload": { "allocator_ref": "0x108a8730", "size": 134 },
 *	  "result": { "memory_ptr": "0x200040000010" } }
 *
 *	{"category":"operation","name":"allocate","numeric_args":{"size":134},"string_args":
 *	{"allocator_ref":"0x10","pointer":"0x20"},"tags":{"replay":"true"},"timestamp":167000000}
 *
 * These are what the program asked of its pools, not what the pools asked of the system; all are
 * taken, whichever pool or memory (host, device) they are of. The lines are written by printf in
 * one order of keys, and nothing but numbers and addresses is wanted of them: they are scanned, not
 * parsed. Threads are not named, so all is one lane.
 */
#include "traces/import/lines.h"

#include <string.h>

#include "traces/import/scan.h"

enum { THREAD = 0 };

enum kind { ALLOC, FIRST_HALF, FREE };

struct line {
	enum kind kind;
	uint64_t process, time_ns, size, pointer;
};

struct umpire_opts {
	uint64_t uid;
};

struct log {
	struct rh_build *build;
	struct rh_pids pids;
	struct rh_log_clock clock;
};

static const struct rh_opt umpire_options[] = {
	{ "uid", 0, RH_OPT_UINT, offsetof(struct umpire_opts, uid), "0", .arg = "N",
	  .help = "import this uid (version 5 and older: a process, an MPI rank); 0 = the first" },
	{ .name = NULL }
};

enum { SIZE = 1, TIMESTAMP = 2, MEMORY_PTR = 4, POINTER = 8, RESULT = 16, EVENT = 32 };

/* Numbers of an object, and which were there. */
struct scan {
	struct line *line;
	uint64_t memory_ptr, pointer;
	unsigned seen;
};

static bool is_word(const char *text, size_t bytes, const char *word)
{
	return strlen(word) == bytes && memcmp(text, word, bytes) == 0;
}

/* Where the value of a key goes, and the key's bit; NULL: it is not wanted. */
static uint64_t *place_of(struct scan *scan, const char *key, size_t bytes, unsigned *bit)
{
	switch (bytes) {
	case 3:
		*bit = 0;
		return memcmp(key, "uid", 3) == 0 ? &scan->line->process : NULL;
	case 4:
		*bit = SIZE;
		return memcmp(key, "size", 4) == 0 ? &scan->line->size : NULL;
	case 7:
		*bit = POINTER;
		return memcmp(key, "pointer", 7) == 0 ? &scan->pointer : NULL;
	case 9:
		*bit = TIMESTAMP;
		return memcmp(key, "timestamp", 9) == 0 ? &scan->line->time_ns : NULL;
	case 10:
		*bit = MEMORY_PTR;
		return memcmp(key, "memory_ptr", 10) == 0 ? &scan->memory_ptr : NULL;
	default:
		return NULL;
	}
}

/* A number, with or without quotes around it; "(nil)" is 0. What follows it, NULL when it is none.
 */
static const char *read_value(const char *at, uint64_t *value)
{
	scan_blanks(&at);
	scan_char(&at, '"');
	*value = 0;
	if (scan_address(&at, value) || scan_decimal(&at, value) || scan_text(&at, "(nil)"))
		return *at == '"' || *at == ',' || *at == ' ' || *at == '}' ? at : NULL;
	return NULL;
}

/* A string that stands where a value does. */
static void take_string(struct scan *scan, const char *text, size_t bytes)
{
	if (is_word(text, bytes, "allocate") || is_word(text, bytes, "named_allocate"))
		scan->line->kind = ALLOC;
	else if (is_word(text, bytes, "deallocate"))
		scan->line->kind = FREE;
	else
		return;
	scan->seen |= EVENT;
}

/* The string whose quote stands at `quote`, and its value when it is a key that is wanted: the last
 * character of them; NULL when the string does not end. */
static const char *take_word(struct scan *scan, const char *quote, bool is_value)
{
	const char *word = quote + 1, *end = word, *behind;
	uint64_t *place;
	unsigned bit;
	size_t bytes;

	while (*end != '"' && *end)
		end++;
	if (!*end)
		return NULL;
	bytes = (size_t)(end - word);
	if (is_value) {
		if (!(scan->seen & EVENT))
			take_string(scan, word, bytes);
		return end;
	}
	if (is_word(word, bytes, "result"))
		scan->seen |= RESULT;
	place = place_of(scan, word, bytes, &bit);
	if (!place || (bit && scan->seen & bit))
		return end;
	behind = end + 1;
	scan_blanks(&behind);
	if (!scan_char(&behind, ':'))
		return end;
	behind = read_value(behind, place);
	if (!behind)
		return end;
	scan->seen |= bit;
	return *behind == '"' ? behind : behind - 1;
}

/* The object at `at` in one pass: behind the brace that closes it; NULL when it is not whole. */
static const char *scan_object(struct scan *scan, const char *at)
{
	unsigned depth = 0;
	bool is_value = false; /* a colon was the last of its signs */

	for (; *at; at++) {
		switch (*at) {
		case '"':
			at = take_word(scan, at, is_value);
			if (!at)
				return NULL;
			is_value = false;
			break;
		case ':':
			is_value = true;
			break;
		case '{':
			depth++;
			is_value = false;
			break;
		case '}':
			if (--depth == 0)
				return at + 1;
			break;
		case ',':
			is_value = false;
			break;
		}
	}
	return NULL;
}

static const char *scan_record(const char **at, void *record)
{
	struct line *line = record;
	struct scan scan = { .line = line };
	const char *end;

	*line = (struct line){ .time_ns = RH_NONE };
	end = **at == '{' ? scan_object(&scan, *at) : NULL;
	if (!end)
		return "it is not one whole object";
	if (!(scan.seen & EVENT))
		return "its event is neither allocate nor deallocate";
	if (!(scan.seen & TIMESTAMP))
		return "it has no timestamp";
	if (line->kind == ALLOC && !(scan.seen & SIZE))
		return "it has no size";
	line->pointer = scan.seen & MEMORY_PTR ? scan.memory_ptr : scan.pointer;
	if (!(scan.seen & (MEMORY_PTR | POINTER))) {
		if (line->kind == FREE || scan.seen & RESULT)
			return "it has no pointer";
		line->kind = FIRST_HALF;
	}
	*at = end;
	return NULL;
}

static int put_record(void *ctx, const void *record, const char **why, struct rh_err *err)
{
	struct log *log = ctx;
	const struct line *line = record;

	if (line->process && !rh_pids_wants(&log->pids, log->build, line->process))
		return 0;
	if (line->kind == FIRST_HALF) {
		rh_build_count(log->build, "drop.first_half", 1);
		return 0;
	}
	if (!scan_size_fits(line->pointer, line->size, why))
		return RH_LINE_TORN;
	rh_build_stamp(log->build, rh_log_clock_at(&log->clock, line->time_ns), RH_TASK_NONE,
		       RH_SITE_NONE);
	if (line->kind == FREE)
		return rh_build_free(log->build, THREAD, line->pointer, RH_NONE, err);
	return rh_build_alloc(log->build, THREAD,
			      RH_BLOCK(.address = line->pointer, .size = line->size), err);
}

static const char *const marks[] = { "\"allocate", "\"deallocate", "\"named_allocate", NULL };

static const struct rh_line_form form = {
	.what = "a line of an Umpire replay log with an allocate or deallocate",
	.marks = marks,
	.starts = "{",
	.record_bytes = sizeof(struct line),
	.scan = scan_record,
	.put = put_record,
};

/* A log begins with its version and its pools, which are no records. */
static unsigned likeness(const char *bytes, size_t count)
{
	static const char *const signs[] = { "\"kind\":\"replay\"", "\"replay\":\"true\"" };

	for (int i = 0; i < 2; i++)
		if (memmem(bytes, count, signs[i], strlen(signs[i])) &&
		    memmem(bytes, count, "llocate\"", 8))
			return 90;
	return rh_lines_likeness(&form, bytes, count);
}

static int import_umpire(struct rh_input *input, const void *opts, struct rh_build *build,
			 struct rh_trace_out *out, struct rh_err *err)
{
	const struct umpire_opts *asked = opts;
	struct log log = { .build = build, .pids.wanted = asked->uid, .clock = RH_LOG_CLOCK };

	if (rh_lines_read(&(struct rh_lines){ &form, input, build, out, &log }, err) < 0 ||
	    rh_pids_check(&log.pids, input, err) < 0)
		return -1;
	return rh_log_clock_finish(&log.clock, "ns", build, out, err);
}

const struct rh_importer rh_import_umpire = {
	.name = "umpire",
	.summary = "replay logs of Umpire (UMPIRE_REPLAY=On): what a program asks of its pools",
	.looks_like =
		"{\"category\":\"operation\",\"name\":\"allocate\",\"numeric_args\":{\"size\":134},"
		"\"string_args\":{\"pointer\":\"0x7f10\"},\"timestamp\":1}",
	.opts = umpire_options,
	.opts_bytes = sizeof(struct umpire_opts),
	.columns = RH_COL_TIME,
	.likeness = likeness,
	.run = import_umpire,
};
