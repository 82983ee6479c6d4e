/*
 * mtrace.c - both formats known as glibc's mtrace, distinguished by the first bytes.
 *
 * Binary: the 64-byte records of the tracer for whole-system workloads, in the byte order
 * of the machine, one per call in the order of a shared counter:
 *
 *	 0 int32 thread     4 uint32 type in the low 8 bits, above it allocator paths
 *	 8 pointer in      16 pointer out    24 size    32 size2    40 size3    48 padding
 *
 *	1 malloc  2 calloc (size is the product)  3 free(in)  4 realloc(in -> out)
 *	5 memalign (size2 = alignment)  6 valloc  7 pvalloc  8 posix_memalign (in = error,
 *	size2 = alignment)  255 the first record (in 0x1234, size = bytes of a pointer)
 *	0 the unused tail of the file
 *
 * Text: what mtrace(3) writes to the file MALLOC_TRACE names:
 *
 *	= Start			+ ADDR SIZE  malloc	< ADDR		realloc, old
 *	@ WHERE + ADDR SIZE	- ADDR       free	> ADDR SIZE	realloc, new
 *	= End			! ADDR SIZE  realloc failed
 *
 * Lines that are torn or mixed, as when a program forks: lines.h. WHERE (a call site) is left out
 * with the word "@" that leads it. One thread.
 */
#include "traces/import/lines.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "traces/import/scan.h"

enum {
	RECORD_BYTES = 64,
	POINTER_BYTES = 8,
	MAGIC_IN = 0x1234,
	VALLOC_ALIGN_LOG2 = 12,
	TEXT_THREAD = 0,
};

enum type {
	UNUSED,
	MALLOC,
	CALLOC,
	FREE,
	REALLOC,
	MEMALIGN,
	VALLOC,
	PVALLOC,
	POSIX_MEMALIGN,
	MAGIC = 255,
};

struct record {
	uint64_t in, out, size, size2;
	int32_t thread;
	uint32_t type;
};

/* ---- binary ---- */

static struct record decode(const unsigned char *bytes)
{
	struct record record;

	memcpy(&record.thread, bytes, 4);
	memcpy(&record.type, bytes + 4, 4);
	memcpy(&record.in, bytes + 8, 8);
	memcpy(&record.out, bytes + 16, 8);
	memcpy(&record.size, bytes + 24, 8);
	memcpy(&record.size2, bytes + 32, 8);
	record.type &= 0xff;
	return record;
}

/* A whole record: 1, 0 at the end, -1. Of a part of one at the end, *part says how much. */
static int next_record(struct rh_input *input, unsigned char *bytes, size_t *part,
		       struct rh_err *err)
{
	size_t have = 0;

	while (have < RECORD_BYTES) {
		ssize_t got = rh_input_read(input, bytes + have, RECORD_BYTES - have, err);

		if (got < 0)
			return -1;
		if (got == 0)
			break;
		have += (size_t)got;
	}
	*part = have == RECORD_BYTES ? 0 : have;
	return have == RECORD_BYTES;
}

/* The last record was not written to its end: all before it is kept. */
static int note_part(struct rh_build *build, struct rh_trace_out *out, uint64_t number, size_t part,
		     struct rh_err *err)
{
	char text[120];

	rh_build_count(build, "drop.cut_record", 1);
	snprintf(text, sizeof(text),
		 "record %" PRIu64 ", the last, has %zu of %d bytes and is left out", number, part,
		 RECORD_BYTES);
	return rh_trace_add_note(out, "import.truncated", text, err);
}

static int put_record(struct rh_build *build, const struct record *record, struct rh_err *err)
{
	uint64_t thread = (uint32_t)record->thread;

	switch ((enum type)record->type) {
	case MALLOC:
		return rh_build_alloc(build, thread,
				      RH_BLOCK(.address = record->out, .size = record->size), err);
	case CALLOC:
		return rh_build_alloc(build, thread,
				      RH_BLOCK(.address = record->out, .size = record->size,
					       .flags = RH_EVF_ZEROED),
				      err);
	case FREE:
		return rh_build_free(build, thread, record->in, RH_NONE, err);
	case REALLOC:
		return rh_build_realloc(build, thread, record->in,
					RH_BLOCK(.address = record->out, .size = record->size),
					err);
	case VALLOC:
	case PVALLOC:
		return rh_build_alloc(build, thread,
				      RH_BLOCK(.address = record->out, .size = record->size,
					       .align_log2 = VALLOC_ALIGN_LOG2),
				      err);
	case POSIX_MEMALIGN:
		if (record->in != 0) {
			rh_build_count(build, "drop.failed", 1);
			return 0;
		}
		/* fall through */
	case MEMALIGN:
		return rh_build_alloc(build, thread,
				      RH_BLOCK(.address = record->out, .size = record->size,
					       .align_log2 = scan_align_log2(record->size2)),
				      err);
	case UNUSED:
		rh_build_count(build, "drop.unused_record", 1);
		return 0;
	case MAGIC:
		rh_build_count(build, "drop.header_record", 1);
		return 0;
	}
	return 1;
}

static int run_binary(struct rh_input *input, struct rh_build *build, struct rh_trace_out *out,
		      struct rh_err *err)
{
	unsigned char bytes[RECORD_BYTES];
	uint64_t number = 0;
	size_t part = 0;
	int got;

	while ((got = next_record(input, bytes, &part, err)) > 0) {
		struct record record = decode(bytes);
		int result;

		if (number == 0 && record.size != POINTER_BYTES)
			return rh_fail(err, RH_BAD_DATA,
				       "%s: its pointers have %llu bytes; only 8 can be read",
				       rh_input_path(input), (unsigned long long)record.size);
		result = put_record(build, &record, err);
		if (result < 0)
			return rh_err_prefix(err, "%s: record %llu", rh_input_path(input),
					     (unsigned long long)number);
		if (result > 0)
			return rh_fail(err, RH_BAD_DATA, "%s: record %llu has the unknown type %u",
				       rh_input_path(input), (unsigned long long)number,
				       record.type);
		number++;
	}
	if (got < 0 || (part && note_part(build, out, number, part, err) < 0))
		return -1;
	return rh_trace_add_count(out, "import.records", number + (part > 0), err);
}

/* ---- text ---- */

/* Past "@ WHERE ": the next sign between blanks. A path may have blanks and such a sign too:
 * it is the next one behind the bracket of the address, where there is one. False when
 * another "@ " comes first, as in a line that was torn. */
static bool skip_where(const char **at)
{
	const char *p = *at, *bracket;

	if (*p != '@')
		return true;
	bracket = strstr(p, "] ");
	if (bracket)
		p = bracket;
	for (; *p; p++) {
		if (p > *at && p[0] == '@' && p[1] == ' ')
			return false;
		if (p[0] == ' ' && p[1] && strchr("+-<>!", p[1]) && p[2] == ' ') {
			*at = p + 1;
			return true;
		}
	}
	return false;
}

struct line {
	char sign;
	uint64_t pointer, size;
};

static bool scan_header(const char **at)
{
	return scan_text(at, "= Start") || scan_text(at, "= End");
}

static const char *scan_text_record(const char **at, void *record)
{
	struct line *line = record;

	*line = (struct line){ .sign = **at };
	if (line->sign == '=')
		return scan_header(at) ? NULL : "it is neither '= Start' nor '= End'";
	if (!skip_where(at))
		return "there is no call behind its place";
	line->sign = **at;
	if (!line->sign || !strchr("+-<>!", line->sign) || (*at)[1] != ' ')
		return "it begins with none of @ + - < > ! =";
	(*at)++;
	scan_blanks(at);
	if (!scan_address(at, &line->pointer) && !scan_text(at, "(nil)"))
		return "an address is missing";
	if (line->sign == '-' || line->sign == '<')
		return NULL;
	scan_blanks(at);
	if (!scan_address(at, &line->size) && !scan_decimal(at, &line->size))
		return "a size is missing";
	return NULL;
}

struct text {
	struct rh_build *build;
	uint64_t old; /* of a realloc whose second line is due; 0 = none */
};

/* The second line of a realloc. Two processes may write one log: then lines of the other
 * stand between the halves, and where both halves are lost it is an allocation. */
static int put_resize(struct text *text, const struct line *line, const char **why,
		      struct rh_err *err)
{
	uint64_t old = text->old;

	if (!old) {
		*why = "the first half of that realloc ('< ADDRESS') is missing";
		return RH_LINE_TORN;
	}
	text->old = 0;
	return rh_build_realloc(text->build, TEXT_THREAD, old,
				RH_BLOCK(.address = line->pointer, .size = line->size), err);
}

static int put_text_record(void *ctx, const void *record, const char **why, struct rh_err *err)
{
	struct text *text = ctx;
	const struct line *line = record;

	if (!scan_size_fits(line->sign == '!' ? 0 : line->pointer, line->size, why))
		return RH_LINE_TORN;
	switch (line->sign) {
	case '=':
		rh_build_count(text->build, "drop.header_line", 1);
		return 0;
	case '+':
		return rh_build_alloc(text->build, TEXT_THREAD,
				      RH_BLOCK(.address = line->pointer, .size = line->size), err);
	case '-':
		return rh_build_free(text->build, TEXT_THREAD, line->pointer, RH_NONE, err);
	case '<':
		if (text->old) {
			*why = "the second half of the realloc before it is missing";
			return RH_LINE_TORN;
		}
		text->old = line->pointer;
		rh_build_count(text->build, "drop.realloc_first_half", 1);
		return 0;
	case '>':
		return put_resize(text, line, why, err);
	default: /* '!' */
		text->old = 0;
		rh_build_count(text->build, "drop.failed", 1);
		return 0;
	}
}

static bool is_last(void *ctx, const void *record)
{
	(void)ctx;
	return ((const struct line *)record)->sign == '=';
}

static const char *const marks[] = { "@ ", "0x", NULL };

static const struct rh_line_form text_form = {
	.what = "an mtrace line",
	.marks = marks,
	.starts = "@+-<>!=",
	.record_bytes = sizeof(struct line),
	.scan = scan_text_record,
	.put = put_text_record,
	.is_last = is_last,
};

static bool is_binary(const char *bytes, size_t count)
{
	struct record first;

	if (count < RECORD_BYTES)
		return false;
	first = decode((const unsigned char *)bytes);
	return first.type == MAGIC && first.in == MAGIC_IN;
}

static unsigned likeness(const char *bytes, size_t count)
{
	return is_binary(bytes, count) ? 100 : rh_lines_likeness(&text_form, bytes, count);
}

static int import_mtrace(struct rh_input *input, const void *opts, struct rh_build *build,
			 struct rh_trace_out *out, struct rh_err *err)
{
	const char *bytes;
	ssize_t have = rh_input_peek(input, &bytes, err);
	struct text text = { .build = build };

	(void)opts;
	if (have < 0)
		return -1;
	rh_build_stamp(build, RH_NONE, RH_TASK_NONE, RH_SITE_NONE);
	if (is_binary(bytes, (size_t)have))
		return run_binary(input, build, out, err);
	return rh_lines_read(&(struct rh_lines){ &text_form, input, build, out, &text }, err);
}

const struct rh_importer rh_import_mtrace = {
	.name = "mtrace",
	.summary = "glibc: text of mtrace(3), or 64-byte records of the workload tracer",
	.looks_like = "@ ./t:[0x1149] + 0x5581e0 0x64",
	.likeness = likeness,
	.run = import_mtrace,
};
