/*
 * join.c - from the spool of epochs to the program file.
 *
 * By now the length of every lane is known, so each has its place in the file. The
 * spool is read once from front to back; rows of cuts become the grain table, and the parts of
 * a lane are placed one after another. Copied blocks are returned to the filesystem as we go,
 * so that the disk never holds both files whole.
 */
#include <assert.h>
#include <fcntl.h>
#include <stdlib.h>

#include "alloc/base/os.h"
#include "alloc/base/interrupt.h"
#include "harness/compile/file.h"
#include "harness/compile/spool.h"

/* Holes are punched in steps of this size, to save system calls. */
#define PUNCH_BYTES (64ull << 20)

struct join {
	struct rh_out *out;
	int fd;
	uint32_t merge, lanes;
	struct rh_program_lane *table;
	uint64_t *done;	      /* words of each lane in place */
	uint64_t *row;	      /* one row of the grain table */
	uint32_t *cut, *last; /* one row of cuts; the last of the block */
	uint64_t row_at;      /* where the next row goes */
	uint64_t grain;	      /* fine grains so far */
	uint64_t read_at, punched;
};

static uint64_t page_up(uint64_t bytes)
{
	return (bytes + RH_PAGE - 1) & ~(uint64_t)(RH_PAGE - 1);
}

static void place_parts(struct join *join, struct rh_program_head *head)
{
	const struct rh_out *out = join->out;
	uint64_t at = page_up(sizeof(*head));

	head->lanes = join->lanes;
	head->grains = (uint32_t)((out->grain_count + join->merge - 1) / join->merge);
	head->lane_table = at;
	at = page_up(at + join->lanes * sizeof(*join->table));
	head->grain_table = join->row_at = at;
	at = page_up(at + (head->grains + 1ull) * join->lanes * sizeof(*join->row));
	assert(at - head->grain_table >= (head->grains + 1ull) * join->lanes * sizeof(*join->row));
	head->grain_facts = at;
	at = page_up(at + head->grains * sizeof(struct rh_grain));
	for (uint32_t i = 0; i < join->lanes; i++) {
		const struct rh_out_lane *lane = &out->lanes[i];

		join->table[i] = (struct rh_program_lane){ .ops_offset = at,
							   .op_words = lane->words_total,
							   .events = lane->events,
							   .publishes = (uint32_t)lane->published,
							   .waits = (uint32_t)lane->waits,
							   .turns = lane->turns };
		at = page_up(at + lane->words_total * sizeof(struct rh_op));
	}
	head->bytes = at;
	assert(head->bytes % RH_PAGE == 0);
}

static int spool_read(struct join *join, void *data, size_t bytes, struct rh_err *err)
{
	int done = rh_work_read(join->out->spool, data, bytes, join->read_at, err);

	join->read_at += bytes;
	assert(join->read_at <= join->out->spool_bytes);
	return done;
}

static int put_row(struct join *join, struct rh_err *err)
{
	size_t bytes = join->lanes * sizeof(*join->row);
	int done = rh_work_write(join->fd, join->row, bytes, join->row_at, err);

	join->row_at += bytes;
	return done;
}

/* Cuts of one block; join->last is what each lane has in the block. */
static int join_cuts(struct join *join, const struct rh_spool_head *block, struct rh_err *err)
{
	for (uint32_t cut = 0; cut < block->cuts; cut++) {
		if (spool_read(join, join->cut, block->lanes * sizeof(*join->cut), err) < 0)
			return -1;
		join->grain++;
		assert(join->grain <= join->out->grain_count);
		if (join->grain % join->merge == 0 || join->grain == join->out->grain_count) {
			for (uint32_t i = 0; i < join->lanes; i++)
				join->row[i] =
					join->done[i] + (i < block->lanes ? join->cut[i] : 0);
			if (put_row(join, err) < 0)
				return -1;
		}
	}
	memcpy(join->last, join->cut, block->lanes * sizeof(*join->last));
	return 0;
}

static int join_lane(struct join *join, uint32_t lane, struct rh_err *err)
{
	uint64_t left = join->last[lane] * sizeof(struct rh_op);
	uint64_t to = join->table[lane].ops_offset + join->done[lane] * sizeof(struct rh_op);

	assert(join->done[lane] + join->last[lane] <= join->table[lane].op_words);
	join->done[lane] += join->last[lane];
	while (left) {
		size_t part = left < RH_STAGE_BYTES ? left : RH_STAGE_BYTES;

		if (spool_read(join, join->out->stage, part, err) < 0 ||
		    rh_work_write(join->fd, join->out->stage, part, to, err) < 0)
			return -1;
		left -= part;
		to += part;
	}
	return 0;
}

static int join_block(struct join *join, struct rh_err *err)
{
	struct rh_spool_head block = { 0 };

	if (spool_read(join, &block, sizeof(block), err) < 0)
		return -1;
	assert(block.lanes <= join->lanes && block.cuts > 0);
	if (join_cuts(join, &block, err) < 0)
		return -1;
	for (uint32_t i = 0; i < block.lanes; i++)
		if (join_lane(join, i, err) < 0)
			return -1;
	if (join->read_at - join->punched > PUNCH_BYTES) {
		/* On a filesystem that cannot punch holes this only costs space. */
		fallocate(join->out->spool, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			  (off_t)join->punched, (off_t)(join->read_at - join->punched));
		join->punched = join->read_at;
	}
	return 0;
}

/* Merges grains: sums add up, states are those of the last. */
static int put_facts(const struct join *join, const struct rh_program_head *head,
		     struct rh_err *err)
{
	struct rh_grain *grains = join->out->grains;
	uint64_t count = join->out->grain_count;

	for (uint64_t to = 0; to < head->grains; to++) {
		uint64_t first = to * join->merge;
		struct rh_grain sum = grains[first], last;

		assert(first < count);
		for (uint64_t i = first + 1; i < first + join->merge && i < count; i++) {
			last = sum;
			sum = grains[i];
			sum.events += last.events;
			sum.bytes_allocated += last.bytes_allocated;
			sum.spawns += last.spawns;
			sum.calls += last.calls;
		}
		grains[to] = sum;
	}
	return rh_work_write(join->fd, grains, head->grains * sizeof(*grains), head->grain_facts,
			     err);
}

static int join_all(struct join *join, struct rh_program_head *head, struct rh_err *err)
{
	static const uint8_t end;

	place_parts(join, head);
	/* Writes the last byte first, so that the file has its full size even if lanes are empty.
	 */
	if (rh_work_write(join->fd, &end, 1, head->bytes - 1, err) < 0 || put_row(join, err) < 0)
		return -1;
	while (join->grain < join->out->grain_count)
		if (rh_interrupt_check(err) < 0 || join_block(join, err) < 0)
			return -1;
	assert(join->read_at == join->out->spool_bytes);
	assert(join->row_at ==
	       head->grain_table + (head->grains + 1ull) * join->lanes * sizeof(*join->row));
	for (uint32_t i = 0; i < join->lanes; i++)
		assert(join->done[i] == join->table[i].op_words);
	if (put_facts(join, head, err) < 0 ||
	    rh_work_write(join->fd, join->table, join->lanes * sizeof(*join->table),
			  head->lane_table, err) < 0)
		return -1;
	return rh_work_write(join->fd, head, sizeof(*head), 0, err);
}

int rh_out_finish(struct rh_out *out, int fd, uint32_t merge, struct rh_program_head *head,
		  struct rh_err *err)
{
	struct join join = { .out = out, .fd = fd, .merge = merge, .lanes = out->lane_count };
	int done = -1;

	assert(out->cut_count == 0 && merge > 0);
	join.table = calloc(join.lanes, sizeof(*join.table));
	join.done = calloc(join.lanes, sizeof(*join.done));
	join.row = calloc(join.lanes, sizeof(*join.row));
	join.cut = calloc(join.lanes, sizeof(*join.cut));
	join.last = calloc(join.lanes, sizeof(*join.last));
	if (!join.table || !join.done || !join.row || !join.cut || !join.last)
		rh_fail(err, RH_OS, "no memory to join %u lanes", join.lanes);
	else if (rh_out_flush(out, err) == 0)
		done = join_all(&join, head, err);
	free(join.table);
	free(join.done);
	free(join.row);
	free(join.cut);
	free(join.last);
	return done;
}
