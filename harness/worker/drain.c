/*
 * drain.c - frees all live blocks, to separate the memory that the allocator keeps from the
 * memory that the program held, and so that a wrapped copy starts empty.
 *
 * The loop keeps no list of what lives (that would be a store per event and a wider
 * table); the program knows it. So we walk the ops of the copy once more, without
 * running them, in an order that respects the waits: each lane as far as it gets, then
 * the next. That yields for every slot the size last asked for and the lane that made
 * it; then every lane frees its own, as the thread that ends would. About 0.5 ns per
 * event, outside every timed region, in memory that is unmapped before RSS is read again.
 *
 * For passes (passes.c) the same walk notes where each block was born.
 *
 * worker->live[slot]:	size in the low 47 bits, whether operator new made it, lane + 1 in the
 *			high 16; 0 = not live
 */
#include <assert.h>
#include <string.h>

#include "alloc/base/debug.h"
#include "harness/worker/ops.h"
#include "harness/worker/worker.h"

enum { SIZE_BITS = 47, LANE_AT = 48 };
#define MADE_BY_NEW (1ull << SIZE_BITS)
_Static_assert(RH_CTL_SEATS_MAX < 1 << (64 - LANE_AT), "lane + 1 fits its bits");

static uint64_t live_entry(uint32_t lane, uint64_t size)
{
	const uint64_t most = (1ull << SIZE_BITS) - 1;

	return (uint64_t)(lane + 1) << LANE_AT | (size < most ? size : most);
}

static void walk_misc(struct worker *worker, uint32_t lane, const struct rh_op *op)
{
	if (RH_OP_SLOT(op->what) == RH_MISC_FREE_BIG)
		worker->live[op_word(op, 1)] = 0;
	else if (RH_OP_SLOT(op->what) == RH_MISC_RESIZE_BIG ||
		 RH_OP_SLOT(op->what) == RH_MISC_RESIZE_ASKED)
		worker->live[op_word(op, 1)] = live_entry(lane, op_word(op, 2));
}

static void note_birth(uint64_t *births, uint32_t slot, uint32_t lane, ptrdiff_t word)
{
	if (births)
		births[slot] = rh_birth_of(lane, (uint64_t)word);
}

/* Follows a lane until it ends or has to wait; returns where it stands. */
static const struct rh_op *walk_lane(struct worker *worker, uint32_t *published, uint32_t lane,
				     const struct rh_op *op, const struct rh_op *end)
{
	const struct rh_op *first = rh_program_ops(&worker->program, lane);
	uint64_t *live = worker->live;

	for (; op != end; op += op_words(op)) {
		uint32_t slot = RH_OP_SLOT(op->what);

		switch (RH_OP_KIND(op->what)) {
		case RH_OP_FREE:
		case RH_OP_FREE_SIZED:
			live[slot] = 0;
			break;
		case RH_OP_ALLOC:
		case RH_OP_NOSCAN:
		case RH_OP_ZALLOC:
			note_birth(worker->births, slot, lane, op - first);
			live[slot] = live_entry(lane, op->size);
			break;
		case RH_OP_RESIZE:
			live[slot] = live_entry(lane, op->size);
			break;
		case RH_OP_ALLOC_AS:
			note_birth(worker->births, slot, lane, op - first);
			live[slot] = live_entry(lane, op_word(op, 1)) |
				     (op->size & RH_ALLOC_NEW ? MADE_BY_NEW : 0);
			break;
		case RH_OP_SPAWN:
			note_birth(worker->task_births, slot, lane, op - first);
			break;
		case RH_OP_EXIT:
			if (worker->task_births)
				worker->task_births[slot] = 0;
			break;
		case RH_OP_WAIT:
			if (published[slot] < op->size)
				return op;
			break;
		case RH_OP_PUBLISH:
			assert(op->size == published[lane] + 1);
			published[lane] = op->size;
			break;
		case RH_OP_MISC:
			walk_misc(worker, lane, op);
			break;
		}
	}
	return op;
}

/* All lanes from one barrier (grain) to the next. */
static void walk_grain(struct worker *worker, uint32_t *published, uint64_t grain,
		       const struct rh_op **at)
{
	const uint64_t *end = worker->program.grain_table + (grain + 1) * worker->lanes;
	uint32_t open = worker->lanes;

	for (uint32_t l = 0; l < worker->lanes; l++)
		at[l] = rh_program_ops(&worker->program, l) + end[(ptrdiff_t)l - worker->lanes];
	while (open > 0) {
		bool moved = false;

		open = 0;
		for (uint32_t l = 0; l < worker->lanes; l++) {
			const struct rh_op *stop = rh_program_ops(&worker->program, l) + end[l];
			const struct rh_op *was = at[l];

			at[l] = walk_lane(worker, published, l, was, stop);
			moved |= at[l] != was;
			open += at[l] != stop;
		}
		if (open && !moved)
			rh_give_up(worker, NULL, RH_BUG,
				   "the program waits for itself in grain %llu",
				   (unsigned long long)grain);
	}
}

/* Slots without a block (their allocation failed) are still counted as live: the count is compared
 * with the program's. */
static void count_live(struct worker *worker, uint64_t *objects, uint64_t *bytes)
{
	uint32_t slots = worker->program.head->slots;

	*objects = *bytes = 0;
	for (uint32_t s = 0; s < slots; s++) {
		if (!worker->live[s])
			continue;
		(*objects)++;
		*bytes += worker->live[s] & ((1ull << SIZE_BITS) - 1);
	}
}

static size_t live_bytes(const struct worker *worker)
{
	return ((size_t)worker->program.head->slots + 1) * sizeof(uint64_t);
}

void rh_alive_find(struct worker *worker, const struct copy *copy, uint64_t *objects,
		   uint64_t *bytes)
{
	size_t walk_bytes = worker->lanes * (sizeof(void *) + sizeof(uint32_t));
	const struct rh_op **at = rh_map(walk_bytes);
	uint32_t *published = at ? (uint32_t *)(at + worker->lanes) : NULL;

	assert(!worker->live && copy->grain <= worker->program.head->grains);
	worker->live = rh_map(live_bytes(worker));
	if (!worker->live || !at)
		rh_give_up(worker, NULL, RH_OS, "no memory to find the live objects (%zu bytes)",
			   live_bytes(worker));
	for (uint64_t grain = 0; grain < copy->grain; grain++)
		walk_grain(worker, published, grain, at);
	count_live(worker, objects, bytes);
	rh_unmap(at, walk_bytes);
}

void rh_alive_drop(struct worker *worker)
{
	assert(worker->live);
	rh_unmap(worker->live, live_bytes(worker));
	worker->live = NULL;
}

const struct lane *rh_alive_lane(const struct worker *worker, const struct copy *copy,
				 uint32_t slot)
{
	uint64_t lane = worker->live[slot] >> LANE_AT;

	assert(lane <= worker->lanes);
	return lane ? &copy->lanes[lane - 1] : NULL;
}

uint64_t rh_alive_size(const struct worker *worker, uint32_t slot)
{
	return worker->live[slot] & ((1ull << SIZE_BITS) - 1);
}

/* The copy then stands at its start, as initially except for memory that the allocator keeps. */
void rh_drain_copy(struct worker *worker, struct copy *copy, uint64_t *objects, uint64_t *bytes)
{
	assert(copy->lanes[0].copy == copy);
	rh_alive_find(worker, copy, objects, bytes);
	rh_seats_do(worker, JOB_DRAIN, copy->lanes, worker->lanes);
	rh_alive_drop(worker);
	for (uint32_t l = 0; l < worker->lanes; l++)
		atomic_store(&copy->progress[l].published, 0);
	copy->grain = 0;
}

static void exit_tasks(struct lane *lane)
{
	uint32_t tasks = lane->worker->program.head->task_slots;

	for (uint32_t t = lane->index; t < tasks; t += lane->worker->lanes) {
		if (lane->worker->ctl->replay.verify)
			rh_verify_task(lane, t);
		if (lane->tasks[t])
			lane->stack_ops->exit(lane->stack, lane->tasks[t]);
		lane->tasks[t] = NULL;
	}
}

void rh_end_block(struct lane *lane, void *p, size_t size, bool by_delete)
{
	if (by_delete && lane->heap_ops->caps & RH_CAP_PROCESS)
		lane->heap_ops->free_sized(lane->heap, p, RH_DELETE);
	else
		lane->free(lane->heap, p, size);
}

void rh_drain_lane(struct lane *lane)
{
	struct worker *worker = lane->worker;
	uint32_t slots = worker->program.head->slots;
	bool verify = worker->ctl->replay.verify;

	rh_passes_drain(lane);
	for (uint32_t s = 0; s < slots; s++) {
		uint64_t live = worker->live[s], size = live & ((1ull << SIZE_BITS) - 1);

		rh_debug_assert(live >> LANE_AT <= worker->lanes);
		if (live >> LANE_AT != lane->index + 1u || !lane->slots[s])
			continue;
		if (verify)
			rh_verify_dies(lane, s, lane->slots[s], size);
		rh_end_block(lane, lane->slots[s], size, live & MADE_BY_NEW);
		lane->slots[s] = NULL;
	}
	exit_tasks(lane);
}
