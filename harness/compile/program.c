/*
 * program.c - maps a program and checks everything in it.
 *
 * The hot loop checks nothing, so everything it relies on is checked here, once, in
 * one linear scan of each lane (a few ns an op): offsets and counts lie within the file,
 * every op is whole and of a known kind, slots and tasks and lanes exist, publishes count up,
 * no lane waits for a count that is never published, and cuts fall between ops.
 *
 * The pages of large programs are released as the scan proceeds: they stay in the page cache,
 * but not resident in the process.
 */
#include "harness/compile/program.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "alloc/base/os.h"

/* Bytes scanned at a time; a larger program is not kept resident by the scan. */
#define WINDOW_BYTES (64ull << 20)

struct scan {
	const struct rh_program *program;
	uint32_t lane;
	uint64_t at, words; /* in words of the lane */
	uint64_t cut;	    /* next row of the grain table */
	uint32_t published, waits, turns;
};

static int damaged(struct rh_err *err, const char *what)
{
	return rh_fail(err, RH_BAD_DATA, "the compiled program is damaged: %s; compile it again",
		       what);
}

static int damaged_op(const struct scan *scan, const char *what, struct rh_err *err)
{
	return rh_fail(err, RH_BAD_DATA,
		       "the compiled program is damaged: lane %u, word %llu: %s; compile it again",
		       scan->lane, (unsigned long long)scan->at, what);
}

/* count things of `each` bytes at offset lie inside the file, 8-byte aligned. */
static bool inside(const struct rh_program_head *head, uint64_t offset, uint64_t count,
		   uint64_t each)
{
	return offset % 8 == 0 && offset >= sizeof(*head) && offset <= head->bytes &&
	       count <= (head->bytes - offset) / each;
}

static int check_head(const struct rh_program_head *head, uint64_t bytes, struct rh_err *err)
{
	if (bytes < sizeof(*head) || head->magic != RH_PROGRAM_MAGIC)
		return rh_fail(err, RH_BAD_DATA, "this is not a compiled program");
	if (head->version != RH_PROGRAM_VERSION)
		return rh_fail(err, RH_BAD_DATA,
			       "the compiled program has version %u, and this "
			       "reheap reads %d; compile it again",
			       head->version, RH_PROGRAM_VERSION);
	if (head->bytes != bytes)
		return damaged(err, "its length is not the one it names");
	if (head->lanes == 0 || head->grains == 0 || head->epoch_grains == 0)
		return damaged(err, "it has no lanes or no grains");
	if (head->slots > RH_SLOTS_MAX || head->task_slots > RH_SLOTS_MAX)
		return damaged(err, "it has more slots than an op can name");
	if (memchr(head->trace_path, 0, sizeof(head->trace_path)) == NULL ||
	    memchr(head->trace_sha256, 0, sizeof(head->trace_sha256)) == NULL)
		return damaged(err, "a text in its head does not end");
	if (!inside(head, head->lane_table, head->lanes, sizeof(struct rh_program_lane)) ||
	    !inside(head, head->grain_facts, head->grains, sizeof(struct rh_grain)) ||
	    !inside(head, head->grain_table, (uint64_t)head->lanes * (head->grains + 1ull),
		    sizeof(uint64_t)))
		return damaged(err, "a table lies outside the file");
	return 0;
}

/* Words that follow the op, or -1 for an invalid op. */
static int check_misc(const struct scan *scan, const struct rh_op *op, struct rh_err *err)
{
	static const uint8_t words[] = {
		[RH_MISC_FREE_BIG] = 2,	    [RH_MISC_RESIZE_BIG] = 3, [RH_MISC_GROW] = 3,
		[RH_MISC_SHRINK] = 3,	    [RH_MISC_GC_BEGIN] = 1,   [RH_MISC_GC_END] = 1,
		[RH_MISC_TURN] = 1,	    [RH_MISC_USABLE] = 2,     [RH_MISC_TOUCH] = 3,
		[RH_MISC_RESIZE_ASKED] = 3, [RH_MISC_FREE_NULL] = 1
	};
	const struct rh_program_head *head = scan->program->head;
	uint32_t kind = RH_OP_SLOT(op->what), limit = 0;
	uint64_t first;

	if (kind >= sizeof(words) || op->size != words[kind])
		return damaged_op(scan, "a rare op of unknown kind or length", err);
	if (scan->words - scan->at - 1 < op->size)
		return damaged_op(scan, "an op that goes on past the end of the lane", err);
	if (kind == RH_MISC_FREE_BIG || kind == RH_MISC_RESIZE_BIG || kind == RH_MISC_USABLE ||
	    kind == RH_MISC_TOUCH || kind == RH_MISC_RESIZE_ASKED)
		limit = head->slots;
	else if (kind == RH_MISC_GROW || kind == RH_MISC_SHRINK)
		limit = head->task_slots;
	memcpy(&first, op + 1, sizeof(first));
	if (limit ? first >= limit : kind <= RH_MISC_SHRINK)
		return damaged_op(scan, "a slot that does not exist", err);
	return (int)op->size;
}

static int check_sync(struct scan *scan, const struct rh_op *op, struct rh_err *err)
{
	uint32_t other = RH_OP_SLOT(op->what);

	if (RH_OP_KIND(op->what) == RH_OP_PUBLISH) {
		if (op->size != ++scan->published)
			return damaged_op(scan, "publishes do not count up", err);
		return 0;
	}
	scan->waits++;
	if (other >= scan->program->head->lanes || other == scan->lane)
		return damaged_op(scan, "it waits for a lane that is not another one", err);
	if (op->size == 0 || op->size > scan->program->lanes[other].publishes)
		return damaged_op(scan, "it waits for what is never published", err);
	return 0;
}

static int check_alloc_as(const struct scan *scan, const struct rh_op *op, struct rh_err *err)
{
	if (op->size >> 16 || (op->size & 0xff) > 15 || op->size >> 8 > 63)
		return damaged_op(scan, "flags or alignment that do not exist", err);
	return 1;
}

/* Extra words of the op at op, or -1. */
static int check_op(struct scan *scan, const struct rh_op *op, struct rh_err *err)
{
	const struct rh_program_head *head = scan->program->head;
	uint32_t slot = RH_OP_SLOT(op->what);

	switch (RH_OP_KIND(op->what)) {
	case RH_OP_FREE:
	case RH_OP_FREE_SIZED:
	case RH_OP_ALLOC:
	case RH_OP_NOSCAN:
	case RH_OP_ZALLOC:
	case RH_OP_TOUCH:
		return slot < head->slots ? 0 : damaged_op(scan, "a slot that does not exist", err);
	case RH_OP_RESIZE:
	case RH_OP_ALLOC_AS:
		if (slot >= head->slots)
			return damaged_op(scan, "a slot that does not exist", err);
		if (scan->words - scan->at < 2)
			return damaged_op(scan, "an op that goes on past the end of the lane", err);
		return RH_OP_KIND(op->what) == RH_OP_RESIZE ? 1 : check_alloc_as(scan, op, err);
	case RH_OP_CALL:
	case RH_OP_RETURN:
	case RH_OP_SPAWN:
	case RH_OP_EXIT:
		return slot < head->task_slots
			       ? 0
			       : damaged_op(scan, "a task that does not exist", err);
	case RH_OP_WAIT:
	case RH_OP_PUBLISH:
		return check_sync(scan, op, err);
	case RH_OP_PACE:
		return 0;
	case RH_OP_MISC:
		scan->turns += slot == RH_MISC_TURN;
		return check_misc(scan, op, err);
	default:
		return damaged_op(scan, "an op of unknown kind", err);
	}
}

static uint64_t cut_at(const struct scan *scan, uint64_t grain)
{
	return scan->program->grain_table[grain * scan->program->head->lanes + scan->lane];
}

/* Scans ops that begin before `until`. Cuts must fall on beginnings of ops. */
static int scan_until(struct scan *scan, const struct rh_op *ops, uint64_t until,
		      struct rh_err *err)
{
	uint64_t grains = scan->program->head->grains;
	uint64_t next = scan->cut <= grains ? cut_at(scan, scan->cut) : UINT64_MAX;

	while (scan->at < until) {
		int extra;

		while (scan->at >= next) {
			if (scan->at > next)
				return damaged_op(scan, "a grain begins inside an op", err);
			next = ++scan->cut <= grains ? cut_at(scan, scan->cut) : UINT64_MAX;
		}
		extra = check_op(scan, &ops[scan->at], err);
		if (extra < 0)
			return -1;
		scan->at += 1 + (uint64_t)extra;
	}
	assert(scan->at <= scan->words); /* check_op() lets no op reach past the end */
	return 0;
}

/* The rest of the column, after the last op. */
static int check_ends(struct scan *scan, struct rh_err *err)
{
	const struct rh_program_lane *lane = &scan->program->lanes[scan->lane];

	while (scan->cut <= scan->program->head->grains) {
		if (cut_at(scan, scan->cut) != scan->words)
			return damaged_op(scan, "a grain begins outside the lane", err);
		scan->cut++;
	}
	if (cut_at(scan, scan->program->head->grains) != scan->words || cut_at(scan, 0) != 0)
		return damaged_op(scan, "its grains do not cover it", err);
	if (scan->published != lane->publishes || scan->waits != lane->waits ||
	    scan->turns != lane->turns)
		return damaged_op(scan, "its counts are not those of its ops", err);
	return 0;
}

static int check_lane(const struct rh_program *program, uint32_t lane, struct rh_err *err)
{
	const struct rh_op *ops = rh_program_ops(program, lane);
	struct scan scan = { .program = program,
			     .lane = lane,
			     .words = program->lanes[lane].op_words };
	bool large = program->head->bytes > WINDOW_BYTES;

	while (scan.at < scan.words) {
		uint64_t until = scan.at + WINDOW_BYTES / sizeof(*ops);
		uint64_t from = program->lanes[lane].ops_offset + scan.at * sizeof(*ops);

		if (scan_until(&scan, ops, until < scan.words ? until : scan.words, err) < 0)
			return -1;
		from &= ~(uint64_t)(rh_page_bytes() - 1);
		if (large)
			madvise((void *)(program->base + from),
				WINDOW_BYTES < program->head->bytes - from
					? WINDOW_BYTES
					: program->head->bytes - from,
				MADV_DONTNEED);
	}
	return check_ends(&scan, err);
}

static int check_program(const struct rh_program *program, struct rh_err *err)
{
	const struct rh_program_head *head = program->head;

	for (uint32_t i = 0; i < head->lanes; i++)
		if (!inside(head, program->lanes[i].ops_offset, program->lanes[i].op_words,
			    sizeof(struct rh_op)))
			return damaged(err, "the ops of a lane lie outside the file");
	for (uint32_t i = 0; i < head->lanes; i++)
		if (check_lane(program, i, err) < 0)
			return -1;
	return 0;
}

int rh_program_map(struct rh_program *program, int fd, struct rh_err *err)
{
	struct stat st;
	void *base;

	*program = (struct rh_program){ .fd = fd };
	if (fstat(fd, &st) < 0) {
		rh_fail_errno(err, RH_IO, "the compiled program cannot be read");
		goto fail;
	}
	if ((uint64_t)st.st_size < sizeof(struct rh_program_head)) {
		rh_fail(err, RH_BAD_DATA, "this is not a compiled program");
		goto fail;
	}
	base = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	if (base == MAP_FAILED) {
		rh_fail_errno(err, RH_OS, "the compiled program of %lld bytes cannot be mapped",
			      (long long)st.st_size);
		goto fail;
	}
	program->base = base;
	program->head = base;
	if (check_head(program->head, (uint64_t)st.st_size, err) == 0) {
		program->lanes = (const void *)(program->base + program->head->lane_table);
		program->grain_table = (const void *)(program->base + program->head->grain_table);
		program->grain_facts = (const void *)(program->base + program->head->grain_facts);
		if (check_program(program, err) == 0)
			return 0;
	}
	munmap(base, (size_t)st.st_size);
fail:
	close(fd);
	*program = (struct rh_program){ .fd = -1 };
	return -1;
}

void rh_program_unmap(struct rh_program *program)
{
	if (program->base)
		munmap((void *)program->base, program->head->bytes);
	if (program->fd >= 0 && program->base)
		close(program->fd);
	*program = (struct rh_program){ .fd = -1 };
}
