/*
 * android.c - the text of Android's memory_replay and of bionic's allocation recorder.
 *
 * One call a line, in the order in which the recorder reserved its entries:
 *
 *	TID: malloc PTR SIZE            TID: realloc NEW OLD SIZE   (OLD 0x0 = malloc)
 *	TID: calloc PTR COUNT SIZE      TID: free PTR               (PTR 0x0 is legal)
 *	TID: memalign PTR ALIGN SIZE    TID: thread_done 0x0
 *
 * and after that up to three integers: START END in ns (thread_done: END alone), then, in
 * recent versions, the resident bytes of the block that free or realloc gave up. So:
 * no integer = nothing known, two = the times, three = times and residency; one = END for
 * thread_done and residency for free and realloc. START 0 means "not taken".
 *
 * Times: a free is stamped by its START and everything else by its END, because memory
 * is owned from the end of malloc to the start of free. They are counted from the first.
 *
 * Lines that are torn or mixed with other text: lines.h.
 */
#include "traces/import/lines.h"

#include <string.h>

#include "traces/import/scan.h"

enum call { CALL_MALLOC, CALL_CALLOC, CALL_REALLOC, CALL_MEMALIGN, CALL_FREE, CALL_THREAD_DONE };

/* Words by call: how many numbers follow the pointer. */
static const struct {
	const char *word;
	unsigned numbers;
} calls[] = {
	[CALL_MALLOC] = { "malloc ", 1 },   [CALL_CALLOC] = { "calloc ", 2 },
	[CALL_REALLOC] = { "realloc ", 2 }, [CALL_MEMALIGN] = { "memalign ", 2 },
	[CALL_FREE] = { "free ", 0 },	    [CALL_THREAD_DONE] = { "thread_done ", 0 },
};

struct line {
	uint64_t thread, pointer;
	uint64_t number[2]; /* size; count and size; old pointer and size; ... */
	uint64_t extra[3];  /* times and residency */
	unsigned extras;
	enum call call;
};

struct android {
	struct rh_build *build;
	struct rh_log_clock clock;
};

static bool scan_call(const char **at, enum call *call)
{
	/* The first letters decide; only malloc and memalign share one. */
	switch (**at) {
	case 'm':
		*call = (*at)[1] == 'a' ? CALL_MALLOC : CALL_MEMALIGN;
		break;
	case 'f':
		*call = CALL_FREE;
		break;
	case 'r':
		*call = CALL_REALLOC;
		break;
	case 'c':
		*call = CALL_CALLOC;
		break;
	default:
		*call = CALL_THREAD_DONE;
	}
	return scan_text(at, calls[*call].word);
}

/* realloc's first number is an address, the others are decimal. */
static bool scan_numbers(const char **at, struct line *line)
{
	for (unsigned i = 0; i < calls[line->call].numbers; i++) {
		bool is_address = line->call == CALL_REALLOC && i == 0;

		if (!scan_char(at, ' '))
			return false;
		if (is_address ? !scan_address(at, &line->number[i])
			       : !scan_decimal(at, &line->number[i]))
			return false;
	}
	return true;
}

static const char *scan_record(const char **at, void *record)
{
	struct line *line = record;
	const char *next;

	line->extras = 0;
	if (!scan_decimal(at, &line->thread) || !scan_char(at, ':'))
		return "it does not begin with a thread id and a colon";
	scan_blanks(at);
	if (!scan_call(at, &line->call))
		return "the call is none of malloc, calloc, realloc, memalign, free, thread_done";
	if (!scan_address(at, &line->pointer))
		return "a pointer such as 0xb4827400 is missing after the call";
	if (!scan_numbers(at, line))
		return "a number is missing or too large";
	for (next = *at; line->extras < 3 && scan_char(&next, ' '); *at = next)
		if (!scan_decimal(&next, &line->extra[line->extras++])) {
			line->extras--;
			break;
		}
	return NULL;
}

static uint64_t residency(const struct line *line)
{
	if (line->call != CALL_FREE && line->call != CALL_REALLOC)
		return RH_NONE;
	if (line->extras == 1)
		return line->extra[0];
	return line->extras == 3 ? line->extra[2] : RH_NONE;
}

static uint64_t stamp(struct android *android, const struct line *line)
{
	uint64_t time;

	if (line->call == CALL_THREAD_DONE)
		time = line->extras ? line->extra[line->extras > 1] : 0;
	else if (line->extras >= 2)
		time = line->extra[line->call == CALL_FREE ? 0 : 1];
	else
		time = 0;
	return time ? rh_log_clock_at(&android->clock, time) : RH_NONE;
}

static int put_record(void *ctx, const void *record, const char **why, struct rh_err *err)
{
	struct android *android = ctx;
	const struct line *line = record;
	struct rh_build *build = android->build;
	uint64_t bytes = line->number[calls[line->call].numbers > 1];

	if (line->call == CALL_CALLOC && !scan_product(line->number[0], line->number[1], &bytes))
		return rh_build_count(build, "drop.failed", 1), 0;
	if (!scan_size_fits(line->pointer, calls[line->call].numbers ? bytes : 0, why))
		return RH_LINE_TORN;
	rh_build_stamp(build, stamp(android, line), RH_TASK_NONE, RH_SITE_NONE);
	switch (line->call) {
	case CALL_MALLOC:
		return rh_build_alloc(build, line->thread,
				      RH_BLOCK(.address = line->pointer, .size = bytes), err);
	case CALL_CALLOC:
		return rh_build_alloc(
			build, line->thread,
			RH_BLOCK(.address = line->pointer, .size = bytes, .flags = RH_EVF_ZEROED),
			err);
	case CALL_MEMALIGN:
		return rh_build_alloc(build, line->thread,
				      RH_BLOCK(.address = line->pointer, .size = bytes,
					       .align_log2 = scan_align_log2(line->number[0])),
				      err);
	case CALL_REALLOC:
		return rh_build_realloc(build, line->thread, line->number[0],
					RH_BLOCK(.address = line->pointer, .size = bytes), err);
	case CALL_FREE:
		return rh_build_free(build, line->thread, line->pointer, residency(line), err);
	case CALL_THREAD_DONE:
		return rh_build_thread_end(build, line->thread, err);
	}
	return 0;
}

static const char *const marks[] = { "alloc", "memalign", "free", "thread_done", "0x", NULL };

static const struct rh_line_form form = {
	.what = "an android trace line",
	.marks = marks,
	.starts = "0123456789",
	.record_bytes = sizeof(struct line),
	.scan = scan_record,
	.put = put_record,
};

static unsigned likeness(const char *bytes, size_t count)
{
	return rh_lines_likeness(&form, bytes, count);
}

/* The first record shows whether times and residency were recorded. */
static int columns_of(struct rh_input *input, const void *opts, unsigned *columns,
		      struct rh_err *err)
{
	const char *bytes;
	struct line line;
	ssize_t have = rh_input_peek(input, &bytes, err);

	(void)opts;
	if (have < 0)
		return -1;
	*columns = 0;
	if (rh_lines_first(&form, bytes, (size_t)have, &line) && line.extras)
		*columns = RH_COL_TIME | RH_COL_ARG;
	return 0;
}

static int import_android(struct rh_input *input, const void *opts, struct rh_build *build,
			  struct rh_trace_out *out, struct rh_err *err)
{
	struct android android = { .build = build, .clock = RH_LOG_CLOCK };

	(void)opts;
	if (rh_lines_read(&(struct rh_lines){ &form, input, build, out, &android }, err) < 0)
		return -1;
	return rh_log_clock_finish(&android.clock, "ns", build, out, err);
}

const struct rh_importer rh_import_android = {
	.name = "android",
	.summary = "Android memory_replay text, also as the .zip it is published in",
	.looks_like = "202: realloc 0xb4827400 0xb4837058 1024",
	.columns = RH_COL_TIME | RH_COL_ARG,
	.likeness = likeness,
	.columns_of = columns_of,
	.run = import_android,
};
