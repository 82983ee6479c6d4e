/*
 * ltrace.c - what `ltrace -e malloc+calloc+realloc+free+memalign+posix_memalign` prints.
 *
 *	prog->malloc(100)                    = 0x55d0c6a2a2a0
 *	[pid 7] libz.so.1->free(0x55d0..)    = <void>		with -f: a thread or process
 *	1700000000.123456 realloc(0x55d0.., 300) = 0x55d0..	with -ttt: times
 *	[pid 7] malloc(64 <unfinished ...>
 *	[pid 7] <... malloc resumed> )       = 0x55d0..
 *
 * A call that is interrupted by another thread's has two lines; its time and place are those of
 * the second. NULL is 0, nil or (nil). Threads and forked processes look alike in such a log: each
 * pid is a lane. What ltrace says of signals and ends, and what the program prints, is foreign.
 */
#include "traces/import/lines.h"

#include <assert.h>
#include <string.h>

#include "traces/import/scan.h"

enum { PENDING_MAX = 256 };

enum call { MALLOC, FREE, CALLOC, REALLOC, MEMALIGN, POSIX_MEMALIGN, CALLS };

static const struct {
	const char *word;
	size_t bytes;
	unsigned arguments;
} calls[CALLS] = {
	[MALLOC] = { "malloc", 6, 1 },	   [FREE] = { "free", 4, 1 },
	[CALLOC] = { "calloc", 6, 2 },	   [REALLOC] = { "realloc", 7, 2 },
	[MEMALIGN] = { "memalign", 8, 2 }, [POSIX_MEMALIGN] = { "posix_memalign", 14, 3 },
};

enum part { WHOLE, BEGINS, ENDS };

struct line {
	enum part part;
	enum call call;
	uint64_t thread, time_ns, argument[3], result;
};

struct log {
	struct rh_build *build;
	struct rh_log_clock clock;
	struct line pending[PENDING_MAX]; /* of threads in a call */
	unsigned pending_count;
};

static bool scan_number(const char **at, uint64_t *value)
{
	*value = 0;
	if (scan_text(at, "(nil)") || scan_text(at, "nil"))
		return true;
	return scan_address(at, value) || scan_decimal(at, value);
}

/* "1700000000.123456 " */
static void scan_time(const char **at, uint64_t *ns)
{
	const char *p = *at, *fraction;
	uint64_t seconds, part;

	if (!scan_decimal(&p, &seconds) || seconds > UINT64_MAX / 4000000000u ||
	    !scan_char(&p, '.'))
		return;
	fraction = p;
	if (!scan_decimal(&p, &part) || p - fraction > 9 || *p != ' ')
		return;
	for (long digits = p - fraction; digits < 9; digits++)
		part *= 10;
	*ns = seconds * 1000000000u + part;
	scan_blanks(&p);
	*at = p;
}

/* Of the family, by its length first: CALLS when it is none. */
static enum call call_of(const char *name, size_t bytes)
{
	for (int i = 0; i < CALLS; i++)
		if (calls[i].bytes == bytes && memcmp(name, calls[i].word, bytes) == 0)
			return (enum call)i;
	return CALLS;
}

/* The name up to a bracket or blank, with what may stand before it: "lib->", "__libc_". */
static bool scan_name(const char **at, enum call *call)
{
	const char *name = *at, *end = name;
	bool has_arrow = false;

	for (; *end && *end != '(' && *end != ' '; end++)
		if (!has_arrow && end[0] == '-' && end[1] == '>') {
			has_arrow = true;
			name = end + 2;
		}
	scan_text(&name, "__libc_");
	assert(name <= end);
	*call = call_of(name, (size_t)(end - name));
	*at = end;
	return *call != CALLS;
}

static bool scan_result(const char **at, struct line *line)
{
	scan_blanks(at);
	if (!scan_text(at, "= "))
		return false;
	return line->call == FREE ? scan_text(at, "<void>") : scan_number(at, &line->result);
}

/* "(10, 20) = 0x.." or "(10, 20 <unfinished ...>" */
static const char *scan_call(const char **at, struct line *line)
{
	if (!scan_name(at, &line->call) || !scan_char(at, '('))
		return "the call is none of malloc, free, calloc, realloc, memalign";
	for (unsigned i = 0; i < calls[line->call].arguments; i++)
		if ((i && !scan_text(at, ", ")) || !scan_number(at, &line->argument[i]))
			return "an argument is missing";
	if (scan_text(at, " <unfinished ...>")) {
		line->part = BEGINS;
		return NULL;
	}
	scan_text(at, ", ...");
	return scan_char(at, ')') && scan_result(at, line) ? NULL : "the result is missing";
}

static const char *scan_record(const char **at, void *record)
{
	struct line *line = record;

	*line = (struct line){ .time_ns = RH_NONE };
	if (scan_text(at, "[pid ")) {
		if (!scan_decimal(at, &line->thread) || !scan_text(at, "] "))
			return "the pid is not whole";
	}
	scan_time(at, &line->time_ns);
	if (!scan_text(at, "<... "))
		return scan_call(at, line);
	line->part = ENDS;
	if (!scan_name(at, &line->call) || !scan_text(at, " resumed>"))
		return "what is resumed is none of malloc, free, calloc, realloc, memalign";
	scan_blanks(at);
	scan_text(at, ", ...");
	if (!scan_char(at, ')') || !scan_result(at, line))
		return "the result is missing";
	return NULL;
}

static int put_call(struct log *log, const struct line *line, const char **why, struct rh_err *err)
{
	struct rh_build *build = log->build;
	uint64_t size = line->argument[line->call == REALLOC || line->call == MEMALIGN];
	unsigned align = 0, flags = line->call == CALLOC ? RH_EVF_ZEROED : 0;

	if (line->call == FREE)
		return rh_build_free(build, line->thread, line->argument[0], RH_NONE, err);
	/* Its block goes into a variable, which ltrace does not show. */
	if (line->call == POSIX_MEMALIGN) {
		rh_build_count(build, "drop.posix_memalign", 1);
		return 0;
	}
	if (line->call == CALLOC && !scan_product(line->argument[0], line->argument[1], &size)) {
		rh_build_count(build, "drop.failed", 1);
		return 0;
	}
	if (!scan_size_fits(line->result, size, why))
		return RH_LINE_TORN;
	if (line->call == REALLOC)
		return rh_build_realloc(build, line->thread, line->argument[0],
					RH_BLOCK(.address = line->result, .size = size), err);
	if (line->call == MEMALIGN)
		align = scan_align_log2(line->argument[0]);
	return rh_build_alloc(build, line->thread,
			      RH_BLOCK(.address = line->result, .size = size, .align_log2 = align,
				       .flags = flags),
			      err);
}

/* The call of a thread that is not over, taken out of the list; NULL when there is none. */
static bool take_pending(struct log *log, struct line *line)
{
	for (unsigned i = 0; i < log->pending_count; i++) {
		struct line *pending = &log->pending[i];

		if (pending->thread != line->thread || pending->call != line->call)
			continue;
		memcpy(line->argument, pending->argument, sizeof(line->argument));
		*pending = log->pending[--log->pending_count];
		return true;
	}
	return false;
}

static int put_record(void *ctx, const void *record, const char **why, struct rh_err *err)
{
	struct log *log = ctx;
	struct line line = *(const struct line *)record;

	if (line.time_ns != RH_NONE)
		rh_build_stamp(log->build, rh_log_clock_at(&log->clock, line.time_ns), RH_TASK_NONE,
			       RH_SITE_NONE);
	if (line.part == BEGINS) {
		if (log->pending_count == PENDING_MAX) {
			*why = "more than 256 calls are not over";
			return RH_LINE_TORN;
		}
		log->pending[log->pending_count++] = line;
		rh_build_count(log->build, "drop.first_half", 1);
		return 0;
	}
	if (line.part == ENDS && !take_pending(log, &line)) {
		*why = "the call that is resumed has not begun";
		return RH_LINE_TORN;
	}
	return put_call(log, &line, why, err);
}

static const char *const marks[] = { "alloc(", "free(", "memalign(", "resumed>", NULL };

static const struct rh_line_form form = {
	.what = "an ltrace line such as 'prog->malloc(100) = 0x55d0c6a2a2a0'",
	.marks = marks,
	.starts = "[abcdefghijklmnopqrstuvwxyz<_",
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
	struct log log = { .build = build, .clock = RH_LOG_CLOCK };

	(void)opts;
	rh_build_stamp(build, RH_NONE, RH_TASK_NONE, RH_SITE_NONE);
	if (rh_lines_read(&(struct rh_lines){ &form, input, build, out, &log }, err) < 0)
		return -1;
	return rh_log_clock_finish(&log.clock, "us", build, out, err);
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
