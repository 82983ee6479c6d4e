/*
 * segmented.c - Go's stacks up to 1.2: a chain of segments, and the hot split it died of.
 *
 *	segment ->	+-----------+
 *			| stktop    | the caller's stack pointers, sizes
 *			| arguments | copied from the caller's frame
 *			| frames    |
 *			| free      |
 *			+-----------+
 *
 * call, frame does not fit (morestack): a new segment for the frame, its arguments and
 * some extra; arguments are copied; the callee returns to lessstack.
 * return of the first frame of a segment (lessstack): results are copied back, the
 * segment is freed at once. So a loop that calls across the edge of a segment pays for a
 * segment each time round: the hot split.
 *
 * Where segments come from: ring.c.
 *
 * Profiles: 1.1 (4 KiB), 1.2 (8 KiB), and 1.3, which has the segments of 1.2 but moves
 * a stack that is too small to one of twice the size, a block of the heap. 1.3 took the
 * lower half of an idle stack's pages back; a block has no half to give, so here it keeps
 * its size until its task exits.
 *
 * Tasks that exit keep a first segment and are used again: 64 a lane, then half go to a list.
 */
#include "alloc/stack/segmented/segmented.h"

#include "alloc/base/debug.h"
#include "alloc/base/goversions.h"

static const struct segmented_profile profiles[] = {
#define X(version, differs, stacks) { stacks },
	GO_SEGMENTED(X)
#undef X
};
static const char *const profile_names[] = {
#define X(version, differs, stacks) version,
	GO_SEGMENTED(X)
#undef X
		NULL
};

#define ROW_NAME(index, name, unit) { name, unit },
static const struct rh_tally_row rows[] = { SEGMENTED_ROWS(ROW_NAME){ NULL, NULL } };
static const struct rh_lock_class cache_class = { "stackcachemu", 140, 0 };
static const struct rh_lock_class dead_class = { "gfree", 50, 0 };

struct segmented_knobs {
	int profile;
	uint64_t max;
};

static const char *nearest_profile(const char *text)
{
	return rh_goversion_nearest(text, true);
}

static const struct rh_opt segmented_knobs[] = {
	{ "profile", 0, RH_OPT_NAME, offsetof(struct segmented_knobs, profile), "1.2",
	  .names = profile_names, .nearest = nearest_profile, .arg = "VERSION",
	  .help = "which Go it behaves like (reheap list profiles)" },
	{ "max", 0, RH_OPT_SIZE, offsetof(struct segmented_knobs, max), "1000000000", .min = 65536,
	  .max = 1ull << 40, .arg = "BYTES",
	  .help = "all segments of a task; beyond it is an overflow" },
	{ .name = NULL }
};

/* The arguments lie between the stktop and the first frame, so frames begin below
 * them and results can be copied back from hi. */
static void use_segment(struct task *task, struct stktop *top, size_t args_bytes)
{
	task->top = top;
	task->frames.hi = (uintptr_t)top - args_bytes;
	task->frames.guard = top->base + GUARD_BYTES;
	rh_debug_assert(task->frames.guard < task->frames.hi);
}

/* ---- open and close ---- */

static int segmented_open(struct rh_stacks **out, const void *knobs_given,
			  const struct rh_backend *ops, struct rh_heap *heap, struct rh_err *err)
{
	const struct segmented_knobs *knobs = knobs_given;
	struct rh_stacks *stacks;

	(void)heap;
	if (ops->caps & RH_CAP_NO_MEMORY)
		return rh_fail(err, RH_USAGE,
			       "segments of heap %s cannot hold frames: it "
			       "hands out no memory; name another heap or another stack "
			       "backend",
			       ops->name);
	stacks = rh_map(sizeof(*stacks));
	if (!stacks)
		return rh_fail(err, RH_OS, "segmented: no memory to open");
	stacks->profile = &profiles[knobs->profile];
	/* Go's Stktop differs by version; ours must fit where the profile puts it, or
	 * it would lie over the arguments. */
	assert(stacks->profile->top_bytes >= sizeof(struct stktop));
	stacks->ops = ops;
	stacks->max = knobs->max;
	rh_lock_init(&stacks->cache_lock, &cache_class, 0);
	rh_lock_init(&stacks->dead_lock, &dead_class, 0);
	rh_tally_init(&stacks->tally);
	*out = stacks;
	return 0;
}

static void segmented_close(struct rh_stacks *stacks)
{
	struct block *block, *next;

	for (block = stacks->blocks; block; block = next) {
		next = block->next;
		rh_unmap(block, block->bytes);
	}
	rh_unmap(stacks, sizeof(*stacks));
}

static int segmented_lane_open(struct rh_stacks *stacks, struct rh_lane *heap_lane,
			       struct rh_stack_lane **out, struct rh_err *err)
{
	struct rh_stack_lane *lane = rh_map(sizeof(*lane));

	if (!lane)
		return rh_fail(err, RH_OS, "segmented: no memory for a lane");
	lane->stacks = stacks;
	lane->heap = heap_lane;
	rh_tally_join(&stacks->tally, &lane->tally);
	*out = lane;
	return 0;
}

/* Half of them, not all: a task that ends and one that starts in turn would take the
 * lock each time (gfput in proc.c). */
static void give_dead(struct rh_stack_lane *lane, uint32_t keep)
{
	struct rh_stacks *stacks = lane->stacks;

	rh_debug_assert(keep < DEAD_MAX && lane->dead_count <= DEAD_MAX);
	rh_lock(&stacks->dead_lock);
	for (; lane->dead_count > keep; lane->dead_count--) {
		struct task *task = lane->dead;

		lane->dead = task->next;
		task->next = stacks->dead;
		stacks->dead = task;
	}
	rh_unlock(&stacks->dead_lock);
}

/* What is left in the ring, less than a batch, stays with nobody until close. */
static void segmented_lane_close(struct rh_stack_lane *lane)
{
	give_dead(lane, 0);
	rh_debug_assert(!lane->dead && !lane->dead_count);
	while (lane->ring_count >= BATCH)
		rh_ring_release(lane);
	rh_tally_leave(&lane->stacks->tally, &lane->tally);
	rh_unmap(lane, sizeof(*lane));
}

/* ---- spawn and exit ---- */

static void take_dead(struct rh_stack_lane *lane)
{
	struct rh_stacks *stacks = lane->stacks;

	rh_debug_assert(!lane->dead && !lane->dead_count);
	rh_lock(&stacks->dead_lock);
	/* Half a list at once, for the same reason. */
	while (stacks->dead && lane->dead_count < DEAD_MAX / 2) {
		struct task *task = stacks->dead;

		stacks->dead = task->next;
		task->next = lane->dead;
		lane->dead = task;
		lane->dead_count++;
	}
	rh_unlock(&stacks->dead_lock);
}

/* From memory of our own and not of the heap: what is compared are segments, and
 * tasks are the same in every version. */
static struct task *new_task(struct rh_stack_lane *lane)
{
	if (lane->fresh == lane->fresh_end) {
		struct task *tasks;

		rh_lock(&lane->stacks->cache_lock);
		tasks = rh_segmented_map(lane->stacks, BLOCK_BYTES);
		rh_unlock(&lane->stacks->cache_lock);
		if (!tasks)
			return NULL;
		lane->fresh = tasks;
		/* Cut from blocks and never freed: Go keeps every G it ever made,
		 * too. */
		lane->fresh_end = tasks + (BLOCK_BYTES - sizeof(struct block)) / sizeof(*tasks);
	}
	rh_debug_assert(lane->fresh < lane->fresh_end);
	return lane->fresh++;
}

static struct task *take_task(struct rh_stack_lane *lane)
{
	struct task *task;

	if (!lane->dead)
		take_dead(lane);
	task = lane->dead;
	if (!task)
		return new_task(lane);
	lane->dead = task->next;
	lane->dead_count--;
	return task;
}

/* In front: the task that ended last, and its segment, are the warmest. */
static void put_task(struct rh_stack_lane *lane, struct task *task)
{
	rh_debug_assert(lane->dead_count < DEAD_MAX);
	task->next = lane->dead;
	lane->dead = task;
	if (++lane->dead_count >= DEAD_MAX)
		give_dead(lane, DEAD_KEEP);
}

static void *segmented_spawn(struct rh_stack_lane *lane, size_t stack_bytes)
{
	const struct segmented_profile *profile = lane->stacks->profile;
	size_t bytes = profile->fixed_bytes;
	struct task *task = NULL;

	if (stack_bytes > bytes)
		bytes = (stack_bytes + profile->top_bytes + 15) & ~(size_t)15;
	if (bytes <= lane->stacks->max)
		task = take_task(lane);
	if (!task)
		goto refused;
	/* A dead task keeps its first segment, which has the fixed size; a task that
	 * wants another gives it back first. */
	if (task->top && task->top->bytes != bytes) {
		rh_segment_give(lane, task->top);
		task->top = NULL;
	}
	if (!task->top)
		task->top = rh_segment_take(lane, bytes);
	if (!task->top) {
		put_task(lane, task);
		return NULL;
	}
	rh_debug_assert(!task->top->previous && task->top->bytes == bytes);
	use_segment(task, task->top, 0);
	task->bytes = bytes;
	rh_frames_start(&task->frames, 0);
	rh_tally_count(&lane->tally, SPAWNS, 1);
	return task;
refused:
	rh_tally_count(&lane->tally, REFUSED, 1);
	return NULL;
}

static void segmented_exit(struct rh_stack_lane *lane, void *handle)
{
	struct task *task = handle;

	rh_debug_assert(task->top);
	rh_tally_count(&lane->tally, EXITS, 1);
	/* A task may end in the middle of its calls (Goexit); all segments but the
	 * first go. */
	while (task->top->previous) {
		struct stktop *top = task->top;

		task->top = top->previous;
		rh_segment_give(lane, top);
	}
	/* As gfput does: a first segment of an odd size fits no other task. */
	if (task->top->bytes != lane->stacks->profile->fixed_bytes) {
		rh_segment_give(lane, task->top);
		task->top = NULL;
	}
	put_task(lane, task);
}

/* ---- calls ---- */

static int overflow(struct rh_stack_lane *lane)
{
	rh_tally_count(&lane->tally, OVERFLOWS, 1);
	return -1;
}

/* A segment for the frame, with the arguments at its top. */
static int morestack(struct rh_stack_lane *lane, struct task *task, size_t frame_bytes)
{
	const struct segmented_profile *profile = lane->stacks->profile;
	/* The first frame is only 16 bytes: more would be read past the end of the
	 * segment. */
	size_t args = rh_frames_used(&task->frames) < ARGS_BYTES ? RESULTS_BYTES : ARGS_BYTES;
	size_t bytes = frame_bytes + args + profile->extra_bytes;
	struct stktop *top;

	if (bytes < profile->fixed_bytes)
		bytes = profile->fixed_bytes;
	if (task->bytes + bytes > lane->stacks->max)
		return overflow(lane);
	top = rh_segment_take(lane, bytes);
	if (!top)
		return -1;
	/* The whole state of the segment before, so that lessstack is one copy, as Go
	 * keeps gobuf in Stktop. */
	top->saved = task->frames;
	top->previous = task->top;
	memcpy((char *)top - args, (const char *)task->frames.sp, args);
	use_segment(task, top, args);
	rh_frames_start(&task->frames, 0);
	rh_debug_assert(rh_frames_fit(&task->frames, frame_bytes));
	task->bytes += bytes;
	rh_tally_count(&lane->tally, MORESTACKS, 1);
	rh_tally_count(&lane->tally, ARGS_COPIED, args);
	return 0;
}

/* The results go back to where the caller put the arguments. At once, as Go did: this is the
 * hot split. Keeping the segment for the next call is what later schemes tried. */
static void lessstack(struct rh_stack_lane *lane, struct task *task)
{
	struct stktop *top = task->top;
	uintptr_t args = task->frames.hi;

	rh_debug_assert(top->previous && task->bytes > top->bytes);
	task->frames = top->saved;
	memcpy((char *)task->frames.sp, (const char *)args, RESULTS_BYTES);
	task->top = top->previous;
	task->bytes -= top->bytes;
	rh_segment_give(lane, top);
	rh_tally_count(&lane->tally, LESSSTACKS, 1);
}

/* 1.3: the whole stack moves to a larger segment. */
static int copystack(struct rh_stack_lane *lane, struct task *task, size_t frame_bytes)
{
	struct rh_frames_cost cost = { 0 };
	size_t bytes = 2 * task->bytes, used = rh_frames_used(&task->frames);
	struct stktop *old = task->top, *top;

	while (bytes <= lane->stacks->max &&
	       bytes - used < frame_bytes + GUARD_BYTES + lane->stacks->profile->top_bytes)
		bytes *= 2;
	if (bytes > lane->stacks->max)
		return overflow(lane);
	top = rh_segment_take(lane, bytes);
	if (!top)
		return -1;
	/* A stack that copies is one segment, so there is no chain to move. */
	rh_frames_move(&task->frames, (uintptr_t)top, &cost);
	use_segment(task, top, 0);
	rh_segment_give(lane, old);
	task->bytes = bytes;
	rh_tally_count(&lane->tally, COPIED_BYTES, cost.bytes);
	rh_tally_count(&lane->tally, COPIED_POINTERS, cost.pointers);
	return 0;
}

static int segmented_call(struct rh_stack_lane *lane, void *handle, size_t frame_bytes)
{
	struct task *task = handle;
	size_t bytes = rh_frame_bytes(frame_bytes);

	if (!rh_frames_fit(&task->frames, bytes)) {
		if (bytes > lane->stacks->max)
			return overflow(lane);
		/* Go switches to the thread's own stack for this; the switch is not
		 * modelled. */
		if ((lane->stacks->profile->copies ? copystack : morestack)(lane, task, bytes) < 0)
			return -1;
	}
	rh_frames_push(&task->frames, bytes);
	return 0;
}

static void segmented_ret(struct rh_stack_lane *lane, void *handle, size_t frame_bytes)
{
	struct task *task = handle;

	(void)frame_bytes;
	rh_frames_pop(&task->frames);
	/* depth counts within the segment, so 0 means that its first frame has
	 * returned to lessstack. */
	if (task->frames.depth == 0 && task->top->previous)
		lessstack(lane, task);
}

/* Nothing grows but by calls: what the trace says is in use is called. */
static int segmented_grow(struct rh_stack_lane *lane, void *handle, size_t stack_bytes,
			  size_t used_bytes)
{
	enum { FRAME_BYTES = 256 };
	struct task *task = handle;

	(void)stack_bytes;
	if (used_bytes > lane->stacks->max)
		return overflow(lane);
	/* Full segments count whole, the top one by what is in use. */
	while (task->bytes - task->top->bytes + rh_frames_used(&task->frames) + FRAME_BYTES <=
	       used_bytes)
		if (segmented_call(lane, task, FRAME_BYTES) < 0)
			return -1;
	return 0;
}

/* Stacks are halved when less than a quarter is in use: frames have returned, unseen by the
 * trace. */
static int segmented_shrink(struct rh_stack_lane *lane, void *handle, size_t stack_bytes)
{
	struct task *task = handle;

	while (task->frames.depth > 0 &&
	       task->bytes - task->top->bytes + rh_frames_used(&task->frames) > stack_bytes / 2)
		segmented_ret(lane, task, 0);
	return 0;
}

static int segmented_verify(struct rh_stack_lane *lane, void *handle, struct rh_err *err)
{
	const struct task *task = handle;
	const struct stktop *top = task->top;
	size_t bytes = top->bytes;

	(void)lane;
	if (rh_frames_verify(&task->frames, top->base, &task->frames, err) < 0)
		return -1;
	/* saved.self is the task: frames were pushed through it, whichever segment
	 * they lie in. */
	for (; top->previous; top = top->previous) {
		if (rh_frames_verify(&top->saved, top->previous->base, &task->frames, err) < 0)
			return -1;
		bytes += top->previous->bytes;
	}
	if (bytes == task->bytes)
		return 0;
	return rh_fail(err, RH_FAILED, "segmented: a task's segments have %zu bytes, not %zu",
		       bytes, task->bytes);
}

static void segmented_stats(struct rh_stacks *stacks, rh_stat_fn *emit, void *ctx)
{
	emit(ctx, "stacks.tasks", "count",
	     rh_tally_sum(&stacks->tally, SPAWNS) - rh_tally_sum(&stacks->tally, EXITS));
	rh_tally_emit(&stacks->tally, rows, emit, ctx);
}

static void segmented_locks(struct rh_stacks *stacks, rh_lock_fn *emit, void *ctx)
{
	struct rh_lock_stats stats;

	rh_lock_read(&stacks->cache_lock, &stats);
	emit(ctx, &stats);
	rh_lock_read(&stacks->dead_lock, &stats);
	emit(ctx, &stats);
}

const struct rh_stack_backend rh_stack_backend_segmented = {
	.abi = RH_BACKEND_ABI,
	.name = "segmented",
	.summary = "Go's stacks up to 1.2: a new segment on overflow, freed on return",
	.knobs = segmented_knobs,
	.knobs_bytes = sizeof(struct segmented_knobs),
	.open = segmented_open,
	.close = segmented_close,
	.lane_open = segmented_lane_open,
	.lane_close = segmented_lane_close,
	.spawn = segmented_spawn,
	.exit = segmented_exit,
	.call = segmented_call,
	.ret = segmented_ret,
	.grow = segmented_grow,
	.shrink = segmented_shrink,
	.verify = segmented_verify,
	.stats = segmented_stats,
	.locks = segmented_locks,
};
