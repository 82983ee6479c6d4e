/*
 * heap.c - stacks as blocks of the paired heap.
 *
 * What a coroutine library does that has no pools: a task and a stack are two blocks; a
 * stack that is too small is a block of twice the size (or more, for a large frame), to
 * which everything in use is moved as the pools do it. So the same heap can be compared
 * with and without pools above it.
 */
#include "alloc/registry.h"

#include <assert.h>

#include "alloc/stack/frames.h"
#include "alloc/stack/tally.h"

enum {
	SPAWNS,
	EXITS,
	GROWS,
	SHRINKS,
	COPIED_BYTES,
	COPIED_FRAMES,
	COPIED_POINTERS,
	RESERVED,
	REFUSED,
	OVERFLOWS
};
_Static_assert((int)OVERFLOWS < (int)RH_TALLY_MAX, "every row has its count");

static const struct rh_tally_row rows[] = { { "heap.spawn", "count" },
					    { "heap.exit", "count" },
					    { "heap.grows", "count" },
					    { "heap.shrinks", "count" },
					    { "heap.copy.bytes", "bytes" },
					    { "heap.copy.frames", "count" },
					    { "heap.copy.pointers_adjusted", "count" },
					    { "stacks.reserved", "bytes" },
					    { "heap.refused", "count" },
					    { "heap.overflows", "count" },
					    { NULL, NULL } };

enum { GUARD_BYTES = 928 }; /* as the pools keep free: the same calls grow the same stacks */

struct heap_knobs {
	/* As Go has them (2 KiB, 1 GiB), so that heap and pools differ in where
	 * stacks come from and in nothing else. */
	uint64_t size, max;
};

struct rh_stacks {
	const struct rh_backend *ops;
	struct heap_knobs knobs;
	struct rh_tally tally;
};

struct rh_stack_lane {
	struct rh_stacks *stacks;
	struct rh_lane *heap;
	struct rh_tally_lane tally;
};

struct task {
	struct rh_frames frames;
	/* Kept beside frames.hi, which is rounded down to 16 and does not lead back
	 * to the block. */
	char *block;
	size_t bytes;
};

static const struct rh_opt heap_knobs[] = {
	{ "size", 0, RH_OPT_SIZE, offsetof(struct heap_knobs, size), "2K", .min = 2048,
	  .max = 1 << 30, .arg = "BYTES", .help = "stack of a new task" },
	{ "max", 0, RH_OPT_SIZE, offsetof(struct heap_knobs, max), "1G", .min = 2048,
	  .max = 1ull << 40, .arg = "BYTES", .help = "largest stack; beyond it is an overflow" },
	{ .name = NULL }
};

static int heap_open(struct rh_stacks **out, const void *knobs, const struct rh_backend *ops,
		     struct rh_heap *heap, struct rh_err *err)
{
	struct rh_stacks *stacks;

	(void)heap;
	/* Frames are written for real, and all blocks of null are the same 64 bytes. */
	if (ops->caps & RH_CAP_NO_MEMORY)
		return rh_fail(err, RH_USAGE,
			       "stacks of heap %s cannot hold frames: it hands out "
			       "no memory; name another heap or another stack backend",
			       ops->name);
	stacks = rh_map(sizeof(*stacks));
	if (!stacks)
		return rh_fail(err, RH_OS, "heap: no memory to open");
	stacks->ops = ops;
	/* Knobs are valid during open only. */
	memcpy(&stacks->knobs, knobs, sizeof(stacks->knobs));
	rh_tally_init(&stacks->tally);
	*out = stacks;
	return 0;
}

static void heap_close(struct rh_stacks *stacks)
{
	rh_unmap(stacks, sizeof(*stacks));
}

static int heap_lane_open(struct rh_stacks *stacks, struct rh_lane *heap_lane,
			  struct rh_stack_lane **out, struct rh_err *err)
{
	struct rh_stack_lane *lane = rh_map(sizeof(*lane));

	if (!lane)
		return rh_fail(err, RH_OS, "heap: no memory for a lane");
	lane->stacks = stacks;
	lane->heap = heap_lane;
	rh_tally_join(&stacks->tally, &lane->tally);
	*out = lane;
	return 0;
}

static void heap_lane_close(struct rh_stack_lane *lane)
{
	rh_tally_leave(&lane->stacks->tally, &lane->tally);
	rh_unmap(lane, sizeof(*lane));
}

/* Counted here and reported as NULL: a replay that runs out of memory goes on and
 * says how often. */
static void *refuse(struct rh_stack_lane *lane)
{
	rh_tally_count(&lane->tally, REFUSED, 1);
	return NULL;
}

static void *heap_spawn(struct rh_stack_lane *lane, size_t stack_bytes)
{
	const struct rh_backend *ops = lane->stacks->ops;
	size_t bytes = lane->stacks->knobs.size;
	struct task *task;

	/* A recorded size below the knob is not honoured: it would grow at the first
	 * call anyway. */
	if (stack_bytes > bytes)
		bytes = (stack_bytes + 15) & ~(size_t)15;
	if (bytes > lane->stacks->knobs.max)
		return refuse(lane);
	/* Two blocks, because the stack moves and the task must not: the program
	 * holds its address. */
	task = ops->alloc(lane->heap, sizeof(*task));
	if (!task)
		return refuse(lane);
	task->bytes = bytes;
	task->block = ops->alloc(lane->heap, bytes);
	/* Both blocks or none: a task without a stack could not be ended. */
	if (!task->block) {
		ops->free(lane->heap, task, sizeof(*task));
		return refuse(lane);
	}
	assert(task->block + bytes > (char *)task->block + GUARD_BYTES);
	task->frames.hi = ((uintptr_t)task->block + bytes) & ~(uintptr_t)15;
	task->frames.guard = (uintptr_t)task->block + GUARD_BYTES;
	rh_frames_start(&task->frames, 0);
	rh_tally_count(&lane->tally, SPAWNS, 1);
	rh_tally_count(&lane->tally, RESERVED, bytes);
	return task;
}

static void heap_exit(struct rh_stack_lane *lane, void *handle)
{
	const struct rh_backend *ops = lane->stacks->ops;
	struct task *task = handle;

	rh_tally_count(&lane->tally, EXITS, 1);
	rh_tally_count(&lane->tally, RESERVED, -(uint64_t)task->bytes);
	ops->free(lane->heap, task->block, task->bytes);
	ops->free(lane->heap, task, sizeof(*task));
}

/* The new block before the old one goes: both live for the time of the copy, as in
 * every runtime that copies stacks. */
static int move(struct rh_stack_lane *lane, struct task *task, size_t bytes)
{
	const struct rh_backend *ops = lane->stacks->ops;
	struct rh_frames_cost cost = { 0 };
	char *block = ops->alloc(lane->heap, bytes);

	if (!block) {
		refuse(lane);
		return -1;
	}
	assert(bytes > rh_frames_used(&task->frames) + RH_FRAME_HEAD);
	rh_frames_move(&task->frames, ((uintptr_t)block + bytes) & ~(uintptr_t)15, &cost);
	task->frames.guard = (uintptr_t)block + GUARD_BYTES;
	ops->free(lane->heap, task->block, task->bytes);
	/* Unsigned and smaller when it shrinks: the sum over lanes comes right all
	 * the same. */
	rh_tally_count(&lane->tally, RESERVED, bytes - task->bytes);
	rh_tally_count(&lane->tally, COPIED_BYTES, cost.bytes);
	rh_tally_count(&lane->tally, COPIED_FRAMES, cost.frames);
	rh_tally_count(&lane->tally, COPIED_POINTERS, cost.pointers);
	task->block = block;
	task->bytes = bytes;
	return 0;
}

/* To twice the size, or until `free_bytes` are free. */
static int enlarge(struct rh_stack_lane *lane, struct task *task, size_t free_bytes)
{
	size_t bytes = 2 * task->bytes, used = rh_frames_used(&task->frames);

	/* Doubling stays a power of two times the start size, so a stack returns to
	 * the same size classes. */
	while (bytes <= lane->stacks->knobs.max && bytes - used < free_bytes)
		bytes *= 2;
	/* Go ends the program here; the replay counts it and goes on without the
	 * call. */
	if (bytes > lane->stacks->knobs.max) {
		rh_tally_count(&lane->tally, OVERFLOWS, 1);
		return -1;
	}
	assert(bytes > task->bytes);
	if (move(lane, task, bytes) < 0)
		return -1;
	rh_tally_count(&lane->tally, GROWS, 1);
	return 0;
}

/* Refused calls push no frame, so a later return of theirs pops an older one; verify
 * would still find all in order. */
static int heap_call(struct rh_stack_lane *lane, void *handle, size_t frame_bytes)
{
	struct task *task = handle;
	size_t bytes = rh_frame_bytes(frame_bytes);

	if (!rh_frames_fit(&task->frames, bytes) &&
	    enlarge(lane, task, bytes + GUARD_BYTES + RH_FRAME_HEAD) < 0)
		return -1;
	rh_frames_push(&task->frames, bytes);
	return 0;
}

static void heap_ret(struct rh_stack_lane *lane, void *handle, size_t frame_bytes)
{
	struct task *task = handle;

	(void)lane;
	/* The frame itself knows its size; a trace's return may name another after
	 * calls that were refused. */
	(void)frame_bytes;
	rh_frames_pop(&task->frames);
}

static int heap_grow(struct rh_stack_lane *lane, void *handle, size_t stack_bytes,
		     size_t used_bytes)
{
	struct task *task = handle;

	/* Before it grows, so that the move copies what the recorded one did. */
	rh_frames_fill(&task->frames, used_bytes);
	if (stack_bytes <= task->bytes)
		return 0;
	return enlarge(lane, task, stack_bytes - rh_frames_used(&task->frames));
}

static int heap_shrink(struct rh_stack_lane *lane, void *handle, size_t stack_bytes)
{
	struct task *task = handle;
	size_t bytes = (stack_bytes + 15) & ~(size_t)15;

	/* Go never shrinks below its least stack; a block of less has no room for the
	 * guard and a frame. */
	if (bytes < 2048 || bytes >= task->bytes)
		return 0;
	/* Frames there is no room for have returned meanwhile, unseen by the trace. */
	while (rh_frames_used(&task->frames) + GUARD_BYTES > bytes && rh_frames_pop(&task->frames))
		continue;
	if (move(lane, task, bytes) < 0)
		return -1;
	rh_tally_count(&lane->tally, SHRINKS, 1);
	return 0;
}

static int heap_verify(struct rh_stack_lane *lane, void *handle, struct rh_err *err)
{
	const struct task *task = handle;

	(void)lane;
	return rh_frames_verify(&task->frames, (uintptr_t)task->block, &task->frames, err);
}

static void heap_stats(struct rh_stacks *stacks, rh_stat_fn *emit, void *ctx)
{
	emit(ctx, "stacks.tasks", "count",
	     rh_tally_sum(&stacks->tally, SPAWNS) - rh_tally_sum(&stacks->tally, EXITS));
	rh_tally_emit(&stacks->tally, rows, emit, ctx);
}

const struct rh_stack_backend rh_stack_backend_heap = {
	.abi = RH_BACKEND_ABI,
	.name = "heap",
	.summary = "stacks are blocks of the heap, grown by copying into larger ones",
	.knobs = heap_knobs,
	.knobs_bytes = sizeof(struct heap_knobs),
	.open = heap_open,
	.close = heap_close,
	.lane_open = heap_lane_open,
	.lane_close = heap_lane_close,
	.spawn = heap_spawn,
	.exit = heap_exit,
	.call = heap_call,
	.ret = heap_ret,
	.grow = heap_grow,
	.shrink = heap_shrink,
	.verify = heap_verify,
	.stats = heap_stats,
};
