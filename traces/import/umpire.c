/*
 * umpire.c - replay logs of Umpire, LLNL's memory manager (UMPIRE_REPLAY=On), one JSON object a
 *line. Up to version 5 an allocation has two lines, one before and one with the result; since 6
 *one:
 *
 *	{ "kind":"replay", "uid":27494, "timestamp":1558388052595943793, "event": "allocate",
 *"payload": { "allocator_ref": "0x108a8730", "size": 134 }, "result": { "memory_ptr":
 *"0x200040000010" } }
 *
 *	{"category":"operation","name":"allocate","numeric_args":{"size":134},"string_args":
 *	{"allocator_ref":"0x10","pointer":"0x20"},"tags":{"replay":"true"},"timestamp":167000000}
 *
 * These are what the program asked of its pools, not what the pools asked of the system; all are
 * taken, whichever pool or memory (host, device) they are of. The lines are written by printf in
 *one order of keys, and nothing but numbers and addresses is wanted of them: they are scanned, not
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

/* What stands behind `"key":`, with or without quotes around it; "(nil)" is 0. */
static bool find_value(const char *line, const char *end, const char *key, uint64_t *value)
{
	const char *at = memmem(line, (size_t)(end - line), key, strlen(key));

	if (!at)
		return false;
	at += strlen(key);
	scan_blanks(&at);
	if (!scan_char(&at, ':'))
		return false;
	scan_blanks(&at);
	scan_char(&at, '"');
	*value = 0;
	if (scan_text(&at, "(nil)") || scan_address(&at, value) || scan_decimal(&at, value))
		return *at != '\0' && strchr("\", }", *at) != NULL;
	return false;
}

/* Behind the bracket that closes the object at `at`; NULL when it is not whole. */
static const char *object_end(const char *at)
{
	unsigned depth = 0;

	for (; *at; at++) {
		if (*at == '"') {
			at = strchr(at + 1, '"');
			if (!at)
				return NULL;
		}
		depth += *at == '{';
		depth -= *at == '}';
		if (depth == 0)
			return at + 1;
	}
	return NULL;
}

static bool has_event(const char *line, const char *end, const char *quoted)
{
	const char *at = memmem(line, (size_t)(end - line), quoted, strlen(quoted));

	while (at && at > line && at[-1] == ' ')
		at--;
	return at && at > line && at[-1] == ':';
}

static const char *scan_record(const char **at, void *record)
{
	struct line *line = record;
	const char *text = *at, *end = *text == '{' ? object_end(text) : NULL;

	*line = (struct line){ .time_ns = RH_NONE };
	if (!end)
		return "it is not one whole object";
	if (has_event(text, end, "\"allocate\"") || has_event(text, end, "\"named_allocate\""))
		line->kind = ALLOC;
	else if (has_event(text, end, "\"deallocate\""))
		line->kind = FREE;
	else
		return "its event is neither allocate nor deallocate";
	if (!find_value(text, end, "\"timestamp\"", &line->time_ns))
		return "it has no timestamp";
	find_value(text, end, "\"uid\"", &line->process);
	if (line->kind == ALLOC && !find_value(text, end, "\"size\"", &line->size))
		return "it has no size";
	if (!find_value(text, end, "\"memory_ptr\"", &line->pointer) &&
	    !find_value(text, end, "\"pointer\"", &line->pointer)) {
		if (line->kind == FREE || memmem(text, (size_t)(end - text), "\"result\"", 8))
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

static int run(struct rh_input *input, const void *opts, struct rh_build *build,
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
	.run = run,
};
