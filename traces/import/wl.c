/*
 * wl.c - workloads of glibc's malloc simulator (.wl), which trace2wl makes of a recording.
 *
 * Bytes: a code, then numbers of seven bits a byte, the highest first; the top bit says that more
 * follows. The main part allocates tables and names where each thread's part begins:
 *
 *	 8 POINTERS n	 9 SYNCS n	10 THREADS n	11 START offset	  1 DONE
 *
 *	 2 MALLOC p size	 3 CALLOC p size	 4 REALLOC new old size	  5 FREE p
 *	12 MEMALIGN p align size	13 VALLOC p size	14 PVALLOC p size
 *	 6 WRITE s: sync s is reached	 7 READ s: wait for it	0 NOP
 *
 * p names a place in the table of pointers, one address of the recording each; 0 is NULL, a call
 * that failed. Each thread's part is in its own order, and only syncs bind them: so parts are
 * played side by side, some calls of each in turn, and one that waits is passed over until its
 * sync was written. That is one legal order of those that there were; the note import.order says
 * so.
 *
 * A part may lie anywhere, so the file is held in memory as it is (1 to 2 bytes an event). Nothing
 * is allocated by counts that it names.
 */
#include "traces/import/import.h"

#include <stdlib.h>
#include <string.h>

#include "alloc/base/grow.h"
#include "traces/format/huge_alloc.h"
#include "traces/import/lines.h"

enum code {
	NOP,
	DONE,
	MALLOC,
	CALLOC,
	REALLOC,
	FREE,
	SYNC_W,
	SYNC_R,
	POINTERS,
	SYNCS,
	THREADS,
	START,
	MEMALIGN,
	VALLOC,
	PVALLOC,
	CODES
};

enum { TURN_CALLS = 64, PAGE_LOG2 = 12, FIRST_BYTES = 1 << 20, NUMBERS_MAX = 3 };

static const unsigned char numbers[CODES] = {
	[MALLOC] = 2,	[CALLOC] = 2,	[REALLOC] = 3, [FREE] = 1,    [SYNC_W] = 1,
	[SYNC_R] = 1,	[POINTERS] = 1, [SYNCS] = 1,   [THREADS] = 1, [START] = 1,
	[MEMALIGN] = 3, [VALLOC] = 2,	[PVALLOC] = 2,
};

struct op {
	enum code code;
	uint64_t number[NUMBERS_MAX];
};

struct part {
	size_t at;
	bool done;
};

struct file {
	unsigned char *bytes;
	size_t count, cap;
	struct part *parts;
	size_t part_count, part_cap;
	unsigned char *reached; /* by sync, a bit each */
	uint64_t syncs;
	uint64_t records;
	const struct rh_input *input;
	struct rh_build *build;
};

static int read_file(struct file *file, struct rh_input *input, struct rh_err *err)
{
	ssize_t got;

	do {
		if (file->count == file->cap) {
			size_t cap = file->cap ? file->cap * 2 : FIRST_BYTES;
			unsigned char *more = NULL;

			if (cap <= rh_huge_limit_machine())
				more = realloc(file->bytes, cap);
			if (!more)
				return rh_fail(
					err, RH_OS,
					"%s: a workload is held in memory, and more than %zu "
					"MiB are not to be had; --limit-memory SIZE raises it",
					rh_input_path(input), file->cap >> 20);
			file->bytes = more;
			file->cap = cap;
		}
		got = rh_input_read(input, file->bytes + file->count, file->cap - file->count, err);
		if (got > 0)
			file->count += (size_t)got;
	} while (got > 0);
	return got < 0 ? -1 : 0;
}

static bool read_number(const struct file *file, size_t *at, uint64_t *value)
{
	uint64_t v = 0;

	while (*at < file->count) {
		unsigned byte = file->bytes[(*at)++];

		if (v >> 57)
			return false;
		v = v << 7 | (byte & 0x7f);
		if (!(byte & 0x80)) {
			*value = v;
			return true;
		}
	}
	return false;
}

/* The operation at *at, which goes behind it. */
static int read_op(struct file *file, size_t *at, struct op *op, struct rh_err *err)
{
	size_t start = *at;

	if (start >= file->count)
		return rh_fail(err, RH_BAD_DATA, "%s is cut off: a part of it ends without its end",
			       rh_input_path(file->input));
	if (file->bytes[start] >= CODES)
		return rh_fail(err, RH_BAD_DATA, "%s: byte %zu: %u is no code of a workload",
			       rh_input_path(file->input), start, file->bytes[start]);
	*op = (struct op){ .code = (enum code)file->bytes[(*at)++] };
	for (unsigned i = 0; i < numbers[op->code]; i++)
		if (!read_number(file, at, &op->number[i]))
			return rh_fail(err, RH_BAD_DATA,
				       "%s: byte %zu: a number is cut off or too large",
				       rh_input_path(file->input), start);
	file->records++;
	return 0;
}

static int add_part(struct file *file, uint64_t offset, struct rh_err *err)
{
	if (offset >= file->count)
		return rh_fail(err, RH_BAD_DATA,
			       "%s is cut off: a thread begins at byte %llu, behind its end",
			       rh_input_path(file->input), (unsigned long long)offset);
	if (!rh_reserve(&file->parts, &file->part_cap, file->part_count + 1, sizeof(*file->parts)))
		return rh_fail(err, RH_OS, "no memory for %zu threads", file->part_count);
	file->parts[file->part_count++] = (struct part){ .at = (size_t)offset };
	return 0;
}

static int read_main(struct file *file, struct rh_err *err)
{
	size_t at = 0;
	struct op op;

	do {
		if (read_op(file, &at, &op, err) < 0)
			return -1;
		if (op.code == SYNCS)
			file->syncs = op.number[0];
		if (op.code == START && add_part(file, op.number[0], err) < 0)
			return -1;
		if (op.code != NOP && op.code != DONE && (op.code < POINTERS || op.code > START))
			return rh_fail(err, RH_BAD_DATA,
				       "%s: a call stands before its threads begin",
				       rh_input_path(file->input));
	} while (op.code != DONE);
	rh_build_count(file->build, "drop.header_record", file->records);
	/* Each has two operations of two bytes and more. */
	if (file->part_count == 0 || file->syncs > file->count)
		return rh_fail(err, RH_BAD_DATA, "%s: it names %zu threads and %llu syncs",
			       rh_input_path(file->input), file->part_count,
			       (unsigned long long)file->syncs);
	file->reached = calloc(file->syncs / 8 + 1, 1);
	return file->reached ? 0 : rh_fail(err, RH_OS, "no memory for the syncs of the workload");
}

static int put_op(struct file *file, uint64_t thread, const struct op *op, struct rh_err *err)
{
	struct rh_build *build = file->build;
	const uint64_t *n = op->number;

	switch (op->code) {
	case MALLOC:
		return rh_build_alloc(build, thread, RH_BLOCK(.address = n[0], .size = n[1]), err);
	case CALLOC:
		return rh_build_alloc(
			build, thread,
			RH_BLOCK(.address = n[0], .size = n[1], .flags = RH_EVF_ZEROED), err);
	case REALLOC:
		return rh_build_realloc(build, thread, n[1],
					RH_BLOCK(.address = n[0], .size = n[2]), err);
	case FREE:
		return rh_build_free(build, thread, n[0], RH_NONE, err);
	case MEMALIGN:
		return rh_build_alloc(
			build, thread,
			RH_BLOCK(.address = n[0], .size = n[2],
				 .align_log2 = (n[1] && !(n[1] & (n[1] - 1))
							? (unsigned)__builtin_ctzll(n[1])
							: 0)),
			err);
	case VALLOC:
	case PVALLOC:
		return rh_build_alloc(
			build, thread,
			RH_BLOCK(.address = n[0], .size = n[1], .align_log2 = PAGE_LOG2), err);
	case NOP:
	case DONE:
		rh_build_count(build, "drop.end_record", 1);
		return 0;
	default:
		return rh_fail(err, RH_BAD_DATA, "%s: code %d stands in a thread",
			       rh_input_path(file->input), op->code);
	}
}

/* A sync: 1 when the thread may go on, 0 when it has to wait. */
static int pass_sync(struct file *file, const struct op *op, struct rh_err *err)
{
	uint64_t sync = op->number[0];

	if (sync > file->syncs)
		return rh_fail(err, RH_BAD_DATA, "%s: sync %llu of %llu",
			       rh_input_path(file->input), (unsigned long long)sync,
			       (unsigned long long)file->syncs);
	if (op->code == SYNC_R && !(file->reached[sync / 8] >> sync % 8 & 1))
		return 0;
	if (op->code == SYNC_W)
		file->reached[sync / 8] |= (unsigned char)(1u << sync % 8);
	rh_build_count(file->build, "drop.sync_record", 1);
	return 1;
}

/* A turn of one thread: how many operations it did, -1 on error. */
static int play(struct file *file, size_t thread, struct rh_err *err)
{
	struct part *part = &file->parts[thread];
	int did = 0;

	while (!part->done && did < TURN_CALLS) {
		size_t at = part->at;
		struct op op;
		int passed;

		if (read_op(file, &at, &op, err) < 0)
			return -1;
		if (op.code == SYNC_W || op.code == SYNC_R) {
			passed = pass_sync(file, &op, err);
			if (passed < 0)
				return -1;
			if (passed == 0) {
				file->records--;
				return did;
			}
		} else if (put_op(file, thread, &op, err) < 0) {
			return -1;
		}
		part->done = op.code == DONE;
		part->at = at;
		did++;
	}
	return did;
}

static int play_all(struct file *file, struct rh_err *err)
{
	size_t left;
	uint64_t did;

	do {
		did = left = 0;
		for (size_t i = 0; i < file->part_count; i++) {
			int turn = play(file, i, err);

			if (turn < 0)
				return -1;
			did += (uint64_t)turn;
			left += !file->parts[i].done;
		}
	} while (left && did);
	if (left)
		return rh_fail(err, RH_BAD_DATA,
			       "%s: %zu threads wait for syncs that nobody writes",
			       rh_input_path(file->input), left);
	return 0;
}

static unsigned likeness(const char *bytes, size_t count)
{
	static const enum code begins[] = { POINTERS, SYNCS, THREADS, START };
	const struct file file = { .bytes = (unsigned char *)(uintptr_t)bytes, .count = count };
	uint64_t number;
	size_t at = 0;

	for (size_t i = 0; i < sizeof(begins) / sizeof(*begins); i++)
		if (at >= count || (unsigned char)bytes[at++] != begins[i] ||
		    !read_number(&file, &at, &number))
			return 0;
	return 90;
}

static int import_wl(struct rh_input *input, const void *opts, struct rh_build *build,
		     struct rh_trace_out *out, struct rh_err *err)
{
	struct file file = { .input = input, .build = build };
	int result;

	(void)opts;
	rh_build_stamp(build, RH_NONE, RH_TASK_NONE, RH_SITE_NONE);
	result = read_file(&file, input, err);
	if (result == 0)
		result = read_main(&file, err);
	if (result == 0)
		result = play_all(&file, err);
	if (result == 0)
		result = rh_trace_add_count(out, "import.records", file.records, err);
	if (result == 0 && file.part_count > 1)
		result =
			rh_trace_add_note(out, "import.order",
					  "threads are bound by syncs alone: their order is one of "
					  "those that can have been",
					  err);
	free(file.bytes);
	free(file.parts);
	free(file.reached);
	return result;
}

const struct rh_importer rh_import_wl = {
	.name = "wl",
	.summary = "workloads (.wl) of glibc's malloc simulator, as trace2wl makes them",
	.looks_like = "binary: 8 POINTERS, 9 SYNCS, 10 THREADS, 11 START ...",
	.likeness = likeness,
	.run = import_wl,
};
