/*
 * ltrace.c - what `ltrace -e malloc+calloc+realloc+free+memalign+posix_memalign` prints.
 *
 *	prog->malloc(100)                    = 0x55d0c6a2a2a0
 *	[pid 7] libz.so.1->free(0x55d0..)    = <void>		with -f: a thread or process
 *	7 1700000000.123456 prog->realloc(0x55d0.., 300) = 0x55d0..	with -f -ttt -o FILE
 *	[pid 7] malloc@libc.so.6(64 <unfinished ...>		with -x
 *	[pid 7] <... malloc resumed> )       = 0x55d0..
 *
 * Before a call may stand the pid, the time (-ttt; -tt, -t: of the day; -r: since the line before),
 * the place of the call (-i) and blanks by depth (-n); behind it how long it took (-T). Functions
 * that ltrace has no prototype of are printed with more arguments than they have.
 *
 * A call that is interrupted by another thread's, or that makes calls itself, has two lines; its
 * time and place are those of the second, and the calls between of the same thread are part of it
 * (drop.nested). NULL is NULL, 0, nil or (nil). Threads and forked processes look alike: each pid
 * is a lane. What ltrace says of signals and ends, and what the program prints, is foreign.
 */
#include "traces/import/lines.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "traces/import/scan.h"

enum {
	PENDING_MAX = 256,
	NESTED_MAX = 4, /* more inside one call, and its second line was lost */
	/* Seconds of a year: -ttt counts from 1970, -t and -r print fewer. */
	SECONDS_SMALL = 31536000,
};

enum call {
	MALLOC,
	FREE,
	CALLOC,
	REALLOC,
	MEMALIGN,
	POSIX_MEMALIGN,
	ALIGNED_ALLOC,
	VALLOC,
	REALLOCARRAY,
	NEW,
	NEW_ARRAY,
	DELETE,
	DELETE_ARRAY,
	DELETE_SIZED,
	DELETE_ARRAY_SIZED,
	CALLS
};

static const struct {
	const char *word;
	size_t bytes;
	unsigned arguments;
} calls[CALLS] = {
	[MALLOC] = { "malloc", 6, 1 },
	[FREE] = { "free", 4, 1 },
	[CALLOC] = { "calloc", 6, 2 },
	[REALLOC] = { "realloc", 7, 2 },
	[MEMALIGN] = { "memalign", 8, 2 },
	[POSIX_MEMALIGN] = { "posix_memalign", 14, 3 },
	[ALIGNED_ALLOC] = { "aligned_alloc", 13, 2 },
	[VALLOC] = { "valloc", 6, 1 },
	[REALLOCARRAY] = { "reallocarray", 12, 3 },
	[NEW] = { "_Znwm", 5, 1 },
	[NEW_ARRAY] = { "_Znam", 5, 1 },
	[DELETE] = { "_ZdlPv", 6, 1 },
	[DELETE_ARRAY] = { "_ZdaPv", 6, 1 },
	[DELETE_SIZED] = { "_ZdlPvm", 7, 1 },
	[DELETE_ARRAY_SIZED] = { "_ZdaPvm", 7, 1 },
};

enum part { WHOLE, BEGINS, ENDS };

struct line {
	enum part part;
	enum call call;
	bool since_last; /* time_ns is from the line before */
	uint64_t thread, time_ns, argument[3], result;
};

/* A call of a thread that is not over, and those that it made. */
struct pending {
	struct line line;
	enum call inside[NESTED_MAX]; /* that are not over either */
	unsigned depth, nested;
};

struct log {
	struct rh_build *build;
	struct rh_log_clock clock;
	uint64_t since_first; /* the sum of times since the line before */
	struct pending pending[PENDING_MAX];
	unsigned pending_count;
	uint64_t unfinished; /* calls that were given up */
};

static bool scan_number(const char **at, uint64_t *value)
{
	*value = 0;
	if (scan_text(at, "(nil)") || scan_text(at, "nil") || scan_text(at, "NULL"))
		return true;
	return scan_address(at, value) || scan_decimal(at, value);
}

/* "1700000000.123456 ", "  0.000071 ", "14:46:09.731671 " or "14:46:09 " */
static void scan_time(const char **at, struct line *line)
{
	const char *p = *at, *fraction;
	uint64_t seconds, next, part = 0;
	unsigned colons = 0;

	if (!scan_decimal(&p, &seconds) || seconds > UINT64_MAX / 4000000000u)
		return;
	for (; colons < 2 && scan_char(&p, ':'); colons++) {
		if (!scan_decimal(&p, &next) || next > 60)
			return;
		seconds = seconds * 60 + next;
	}
	if (*p == '.') {
		fraction = ++p;
		if (!scan_decimal(&p, &part) || p - fraction > 9)
			return;
		for (long digits = p - fraction; digits < 9; digits++)
			part *= 10;
	} else if (colons != 2) {
		return;
	}
	if (*p != ' ')
		return;
	line->time_ns = seconds * 1000000000u + part;
	line->since_last = colons == 0 && seconds < SECONDS_SMALL;
	scan_blanks(&p);
	*at = p;
}

/* "[pid 7] ", or "7 " where the log went to a file. */
static bool scan_thread(const char **at, uint64_t *thread)
{
	const char *p = *at;

	if (scan_text(&p, "[pid ")) {
		if (!scan_decimal(&p, thread) || !scan_text(&p, "] "))
			return false;
	} else if (!scan_decimal(&p, thread) || !scan_char(&p, ' ')) {
		*thread = 0;
		return true;
	}
	scan_blanks(&p);
	*at = p;
	return true;
}

/* "[0x401136] " */
static void scan_place(const char **at)
{
	const char *p = *at;
	uint64_t place;

	if (scan_char(&p, '[') && scan_address(&p, &place) && scan_text(&p, "] "))
		*at = p;
	scan_blanks(at);
}

/* Of the family, by its length first: CALLS when it is none. */
static enum call call_of(const char *name, size_t bytes)
{
	for (int i = 0; i < CALLS; i++)
		if (calls[i].bytes == bytes && memcmp(name, calls[i].word, bytes) == 0)
			return (enum call)i;
	return CALLS;
}

/* The name up to a bracket or blank, with what may stand around it: "lib->", "__libc_", "@lib". */
static bool scan_name(const char **at, enum call *call)
{
	const char *name = *at, *end = name, *stop = NULL;
	bool has_arrow = false;

	for (; *end && *end != '(' && *end != ' '; end++) {
		if (!has_arrow && end[0] == '-' && end[1] == '>') {
			has_arrow = true;
			name = end + 2;
		}
		if (!stop && end > name && *end == '@')
			stop = end;
	}
	scan_text(&name, "__libc_");
	if (!stop || stop < name)
		stop = end;
	assert(name <= stop && stop <= end);
	*call = call_of(name, (size_t)(stop - name));
	*at = end;
	return *call != CALLS;
}

static bool is_free(enum call call)
{
	return call == FREE || call >= DELETE;
}

/* " <0.000071>" behind a call: how long it took. */
static void scan_duration(const char **at)
{
	const char *p = *at;
	uint64_t part;

	if (scan_text(&p, " <") && scan_decimal(&p, &part) && scan_char(&p, '.') &&
	    scan_decimal(&p, &part) && scan_char(&p, '>'))
		*at = p;
}

static bool scan_result(const char **at, struct line *line)
{
	uint64_t ignored;

	scan_blanks(at);
	if (!scan_text(at, "= "))
		return false;
	if (is_free(line->call) ? !scan_text(at, "<void>") && !scan_number(at, &ignored)
				: !scan_number(at, &line->result))
		return false;
	scan_duration(at);
	return true;
}

/* ", 24, 0x5639131caed0": what stood in the registers of further arguments. */
static void scan_more(const char **at)
{
	uint64_t ignored;

	for (const char *p = *at; scan_text(&p, ", "); *at = p) {
		if (scan_text(&p, "..."))
			continue;
		scan_char(&p, '-');
		if (!scan_number(&p, &ignored))
			return;
	}
}

/* "(10, 20) = 0x.." or "(10, 20 <unfinished ...>" */
static const char *scan_call(const char **at, struct line *line)
{
	if (!scan_name(at, &line->call) || !scan_char(at, '('))
		return "the call is none of malloc, free, calloc, realloc, memalign";
	for (unsigned i = 0; i < calls[line->call].arguments; i++)
		if ((i && !scan_text(at, ", ")) || !scan_number(at, &line->argument[i]))
			return "an argument is missing";
	scan_more(at);
	/* "no return": another thread ended meanwhile; what it returned follows all the same. */
	if (scan_text(at, " <unfinished ...>") || scan_text(at, " <no return ...>")) {
		line->part = BEGINS;
		return NULL;
	}
	return scan_char(at, ')') && scan_result(at, line) ? NULL : "the result is missing";
}

static const char *scan_record(const char **at, void *record)
{
	struct line *line = record;

	*line = (struct line){ .time_ns = RH_NONE };
	if (!scan_thread(at, &line->thread))
		return "the pid is not whole";
	scan_blanks(at);
	scan_time(at, line);
	scan_place(at);
	if (!scan_text(at, "<... "))
		return scan_call(at, line);
	line->part = ENDS;
	if (!scan_name(at, &line->call) || !scan_text(at, " resumed>"))
		return "what is resumed is none of malloc, free, calloc, realloc, memalign";
	scan_blanks(at);
	scan_more(at);
	if (!scan_char(at, ')') || !scan_result(at, line))
		return "the result is missing";
	return NULL;
}

static int put_aligned(struct log *log, const struct line *line, struct rh_err *err)
{
	bool has_align = line->call != VALLOC;
	unsigned align = has_align ? scan_align_log2(line->argument[0]) : 12;

	return rh_build_alloc(log->build, line->thread,
			      RH_BLOCK(.address = line->result, .size = line->argument[has_align],
				       .align_log2 = align),
			      err);
}

static int put_call(struct log *log, const struct line *line, const char **why, struct rh_err *err)
{
	struct rh_build *build = log->build;
	bool is_array = line->call == REALLOCARRAY, has_old = line->call == REALLOC || is_array;
	bool is_aligned = line->call == MEMALIGN || line->call == ALIGNED_ALLOC;
	uint64_t size = line->argument[has_old || is_aligned];
	unsigned flags = line->call == CALLOC				? RH_EVF_ZEROED
			 : line->call == NEW || line->call == NEW_ARRAY ? RH_EVF_NEW
									: 0;

	if (is_free(line->call))
		return rh_build_free(build, line->thread, line->argument[0], RH_NONE, err);
	/* Its block goes into a variable, which ltrace does not show. */
	if (line->call == POSIX_MEMALIGN) {
		rh_build_count(build, "drop.posix_memalign", 1);
		return 0;
	}
	if ((line->call == CALLOC || is_array) &&
	    !scan_product(line->argument[is_array], line->argument[is_array + 1], &size)) {
		rh_build_count(build, "drop.failed", 1);
		return 0;
	}
	if (!scan_size_fits(line->result, size, why))
		return RH_LINE_TORN;
	if (has_old)
		return rh_build_realloc(build, line->thread, line->argument[0],
					RH_BLOCK(.address = line->result, .size = size), err);
	if (is_aligned || line->call == VALLOC)
		return put_aligned(log, line, err);
	return rh_build_alloc(build, line->thread,
			      RH_BLOCK(.address = line->result, .size = size, .flags = flags), err);
}

/* ---- calls of two lines ---- */

static struct pending *find_pending(struct log *log, uint64_t thread)
{
	for (unsigned i = 0; i < log->pending_count; i++)
		if (log->pending[i].line.thread == thread)
			return &log->pending[i];
	return NULL;
}

static int put_begin(struct log *log, const struct line *line, const char **why)
{
	struct pending *pending = find_pending(log, line->thread);

	if (pending && pending->nested++ < NESTED_MAX) {
		pending->inside[pending->depth++] = line->call;
		rh_build_count(log->build, "drop.nested", 1);
		return 0;
	}
	if (!pending && log->pending_count == PENDING_MAX) {
		*why = "more than 256 calls are not over";
		return RH_LINE_TORN;
	}
	/* The line of a call that is given up was counted when it came. */
	log->unfinished += pending != NULL;
	if (!pending)
		pending = &log->pending[log->pending_count++];
	*pending = (struct pending){ .line = *line };
	rh_build_count(log->build, "drop.first_half", 1);
	return 0;
}

static int put_end(struct log *log, struct line *line, const char **why, struct rh_err *err)
{
	struct pending *pending = find_pending(log, line->thread);

	for (unsigned i = pending ? pending->depth : 0; i > 0; i--)
		if (pending->inside[i - 1] == line->call) {
			pending->depth = i - 1;
			rh_build_count(log->build, "drop.nested", 1);
			return 0;
		}
	if (!pending || pending->line.call != line->call) {
		*why = "the call that is resumed has not begun";
		return RH_LINE_TORN;
	}
	memcpy(line->argument, pending->line.argument, sizeof(line->argument));
	*pending = log->pending[--log->pending_count];
	return put_call(log, line, why, err);
}

static int put_whole(struct log *log, const struct line *line, const char **why, struct rh_err *err)
{
	struct pending *pending = find_pending(log, line->thread);

	if (pending && pending->nested++ < NESTED_MAX) {
		rh_build_count(log->build, "drop.nested", 1);
		return 0;
	}
	log->unfinished += pending != NULL;
	if (pending)
		*pending = log->pending[--log->pending_count];
	return put_call(log, line, why, err);
}

static int put_record(void *ctx, const void *record, const char **why, struct rh_err *err)
{
	struct log *log = ctx;
	struct line line = *(const struct line *)record;

	if (line.time_ns != RH_NONE) {
		if (line.since_last)
			line.time_ns = log->since_first += line.time_ns;
		rh_build_stamp(log->build, rh_log_clock_at(&log->clock, line.time_ns), RH_TASK_NONE,
			       RH_SITE_NONE);
	}
	if (line.part == BEGINS)
		return put_begin(log, &line, why);
	return line.part == ENDS ? put_end(log, &line, why, err) : put_whole(log, &line, why, err);
}

/* A call of another function: "g_malloc(64) = 0x55d0", "<... puts resumed> ) = 7". */
static bool is_remark(const char *line)
{
	struct line head;
	bool resumed;

	if (!scan_thread(&line, &head.thread))
		return false;
	scan_blanks(&line);
	scan_time(&line, &head);
	scan_place(&line);
	resumed = scan_text(&line, "<... ");
	return !scan_name(&line, &head.call) && (resumed ? *line == ' ' : *line == '(');
}

static const char *const marks[] = {
	"alloc(", "free(", "memalign(", "alloc resumed>", "free resumed>", "memalign resumed>",
	"_Zn",	  "_Zd",   NULL
};

static const struct rh_line_form form = {
	.what = "an ltrace line such as 'prog->malloc(100) = 0x55d0c6a2a2a0'",
	.marks = marks,
	.is_remark = is_remark,
	.starts = "[abcdefghijklmnopqrstuvwxyz<_",
	.words = true,
	.record_bytes = sizeof(struct line),
	.scan = scan_record,
	.put = put_record,
};

static unsigned likeness(const char *bytes, size_t count)
{
	return rh_lines_likeness(&form, bytes, count) * 9 / 10;
}

static int columns_of(struct rh_input *input, const void *opts, unsigned *columns,
		      struct rh_err *err)
{
	(void)opts;
	return rh_lines_columns(&form, input, offsetof(struct line, time_ns), columns, err);
}

static int import_ltrace(struct rh_input *input, const void *opts, struct rh_build *build,
			 struct rh_trace_out *out, struct rh_err *err)
{
	struct log *log = calloc(1, sizeof(*log));
	int result;

	(void)opts;
	if (!log)
		return rh_fail(err, RH_OS, "no memory to read %s", rh_input_path(input));
	log->build = build;
	log->clock = RH_LOG_CLOCK;
	rh_build_stamp(build, RH_NONE, RH_TASK_NONE, RH_SITE_NONE);
	result = rh_lines_read(&(struct rh_lines){ &form, input, build, out, log }, err);
	if (result == 0)
		result = rh_lines_note_unfinished(log->unfinished + log->pending_count, out, err);
	if (result == 0)
		result = rh_log_clock_finish(&log->clock, "us", build, out, err);
	free(log);
	return result;
}

const struct rh_importer rh_import_ltrace = {
	.name = "ltrace",
	.summary = "output of ltrace -f -e malloc+calloc+realloc+free+memalign",
	.looks_like = "[pid 7] prog->malloc(100) = 0x55d0c6a2a2a0",
	.columns = RH_COL_TIME,
	.likeness = likeness,
	.columns_of = columns_of,
	.run = import_ltrace,
};
