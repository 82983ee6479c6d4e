/*
 * mtrace.c - both formats that go by the name of glibc's mtrace, told apart by the start.
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
 * WHERE (a call site) is left out with the word "@" that leads it. One thread.
 */
#include "traces/import.h"

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
	UNUSED, MALLOC, CALLOC, FREE, REALLOC, MEMALIGN, VALLOC, PVALLOC, POSIX_MEMALIGN,
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

/* A whole record: 1, 0 at the end, -1; a part of one is an error. */
static int next_record(struct rh_input *input, unsigned char *bytes, uint64_t number,
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
	if (have == 0 || have == RECORD_BYTES)
		return have > 0;
	return rh_fail(err, RH_BAD_DATA, "%s: record %llu is cut off after %zu of %d bytes",
		       rh_input_path(input), (unsigned long long)number, have, RECORD_BYTES);
}

static int put_record(struct rh_build *build, const struct record *record, struct rh_err *err)
{
	uint64_t thread = (uint32_t)record->thread;

	switch ((enum type)record->type) {
	case MALLOC:
		return rh_build_alloc(build, thread, record->out, record->size, 0, 0, err);
	case CALLOC:
		return rh_build_alloc(build, thread, record->out, record->size, 0, RH_EVF_ZEROED,
				      err);
	case FREE:
		return rh_build_free(build, thread, record->in, RH_NONE, err);
	case REALLOC:
		return rh_build_realloc(build, thread, record->in, record->out, record->size, 0,
					err);
	case VALLOC:
	case PVALLOC:
		return rh_build_alloc(build, thread, record->out, record->size, VALLOC_ALIGN_LOG2,
				      0, err);
	case POSIX_MEMALIGN:
		if (record->in != 0) {
			rh_build_count(build, "drop.failed", 1);
			return 0;
		}
		/* fall through */
	case MEMALIGN:
		return rh_build_alloc(build, thread, record->out, record->size,
				      scan_align_log2(record->size2), 0, err);
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
	int got;

	while ((got = next_record(input, bytes, number, err)) > 0) {
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
	if (got < 0)
		return -1;
	return rh_trace_add_count(out, "import.records", number, err);
}

/* ---- text ---- */

/* Past "@ WHERE ", where WHERE has no blank (a path may: then the last word that is a
 * sign between blanks counts). */
static const char *skip_where(const char *text)
{
	const char *sign = NULL;

	if (text[0] != '@')
		return text;
	for (const char *p = text; *p; p++)
		if (p[0] == ' ' && p[1] && strchr("+-<>!", p[1]) && p[2] == ' ')
			sign = p + 1;
	return sign;
}

struct text {
	struct rh_input *input;
	struct rh_build *build;
	uint64_t old;		/* of a realloc whose second line is due; 0 = none */
};

/* 0, -1 with err, 1 for a line that is none of ours. */
static int put_text(struct text *text, const char *line, struct rh_err *err)
{
	const char *at = skip_where(line);
	uint64_t pointer, size = 0, old = text->old;
	char sign;

	if (!at || !*at || at[1] != ' ')
		return 1;
	sign = *at++;
	scan_blanks(&at);
	if (sign == '=' && (scan_text(&at, "Start") || scan_text(&at, "End"))) {
		rh_build_count(text->build, "drop.header_line", 1);
		return 0;
	}
	if (!scan_address(&at, &pointer)) {
		if (!scan_text(&at, "(nil)"))
			return 1;
		pointer = 0;
	}
	scan_blanks(&at);
	if (sign != '-' && sign != '<' && !scan_address(&at, &size) && !scan_decimal(&at, &size))
		return 1;
	if (!scan_end(&at) || (sign == '>') != (old != 0))
		return 1;
	text->old = 0;
	switch (sign) {
	case '+':
		return rh_build_alloc(text->build, TEXT_THREAD, pointer, size, 0, 0, err);
	case '-':
		return rh_build_free(text->build, TEXT_THREAD, pointer, RH_NONE, err);
	case '<':
		text->old = pointer;
		rh_build_count(text->build, "drop.realloc_first_half", 1);
		return 0;
	case '>':
		return rh_build_realloc(text->build, TEXT_THREAD, old, pointer, size, 0, err);
	case '!':
		rh_build_count(text->build, "drop.failed", 1);
		return 0;
	}
	return 1;
}

static int run_text(struct rh_input *input, struct rh_build *build, struct rh_err *err)
{
	struct text text = { input, build, 0 };
	char *line;
	ssize_t length;

	while ((length = rh_input_line(input, &line, err)) >= 0) {
		int result = put_text(&text, line, err);

		if (result < 0)
			return -1;
		if (result > 0)
			return rh_fail(err, RH_BAD_DATA, "%s:%llu: not an mtrace line: '%.60s'",
				       rh_input_path(input),
				       (unsigned long long)rh_input_line_number(input), line);
	}
	return length == RH_INPUT_END ? 0 : -1;
}

static int run(struct rh_input *input, const void *opts, struct rh_build *build,
	       struct rh_trace_out *out, struct rh_err *err)
{
	const char *bytes;
	ssize_t have = rh_input_peek(input, &bytes, err);

	(void)opts;
	if (have < 0)
		return -1;
	rh_build_stamp(build, RH_NONE, RH_TASK_NONE, RH_SITE_NONE);
	if (have >= RECORD_BYTES) {
		struct record first = decode((const unsigned char *)bytes);

		if (first.type == MAGIC && first.in == MAGIC_IN)
			return run_binary(input, build, out, err);
	}
	if (have > 0 && !strchr("=@+-<", bytes[0]))
		return rh_fail(err, RH_BAD_DATA,
			       "%s: neither an mtrace text ('= Start') nor records that begin with "
			       "the magic one",
			       rh_input_path(input));
	return run_text(input, build, err);
}

const struct rh_importer rh_import_mtrace = {
	.name = "mtrace",
	.summary = "glibc: text of mtrace(3), or 64-byte records of the workload tracer",
	.looks_like = "@ ./t:[0x1149] + 0x5581e0 0x64",
	.run = run,
};
