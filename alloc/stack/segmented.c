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
 * Segments of the fixed size come from a ring of 32 a lane; empty, it takes 16 from a
 * global list, else 16 new ones from the system; full, it gives 16. They are never given
 * back. Segments of other sizes are blocks of the paired heap.
 *
 * Profiles: 1.1 (4 KiB), 1.2 (8 KiB), and 1.3, which has the segments of 1.2 but moves
 * a stack that is too small to one of twice the size, a block of the heap. 1.3 took the
 * lower half of an idle stack's pages back; a block has no half to give, so here it keeps
 * its size until its task exits.
 *
 * Tasks that exit keep a first segment of the fixed size and are used again: 64 a lane,
 * then half go to a global list.
 */
#include "alloc/registry.h"
#include "alloc/stack/frames.h"
#include "alloc/stack/tally.h"

struct profile {
	uint32_t fixed_bytes, extra_bytes, top_bytes;
	bool copies;
};

static const struct profile profiles[] = {
	{ .fixed_bytes = 4096, .extra_bytes = 1024, .top_bytes = 80 },
	{ .fixed_bytes = 8192, .extra_bytes = 2048, .top_bytes = 96 },
	{ .fixed_bytes = 8192, .extra_bytes = 2048, .top_bytes = 96, .copies = true },
};
static const char *const profile_names[] = { "1.1", "1.2", "1.3", NULL };

enum { GUARD_BYTES = 256, RING = 32, BATCH = 16, DEAD_MAX = 64, DEAD_KEEP = 31,
       ARGS_BYTES = 32, RESULTS_BYTES = 16, BLOCK_BYTES = 65536 };

enum { SPAWNS, EXITS, MORESTACKS, LESSSTACKS, RING_HITS, REFILLS, FROM_SYSTEM, FROM_HEAP,
       ARGS_COPIED, COPIED_BYTES, COPIED_POINTERS, RESERVED, REFUSED, OVERFLOWS };

static const struct rh_tally_row rows[] = {
	{ "segmented.spawn", "count" }, { "segmented.exit", "count" },
	{ "segmented.morestack", "count" }, { "segmented.lessstack", "count" },
	{ "segmented.ring_hits", "count" }, { "segmented.ring_refills", "count" },
	{ "segmented.from_system", "bytes" }, { "segmented.from_heap", "count" },
	{ "segmented.arguments_copied", "bytes" }, { "segmented.copy.bytes", "bytes" },
	{ "segmented.copy.pointers_adjusted", "count" }, { "stacks.reserved", "bytes" },
	{ "segmented.refused", "count" }, { "segmented.overflows", "count" }, { NULL, NULL }
};

static const struct rh_lock_class cache_class = { "stackcachemu", 140, 0 };
static const struct rh_lock_class dead_class = { "gfree", 50, 0 };

struct segmented_knobs { int profile; uint64_t max; };

/* At the top of every segment. */
struct stktop {
	struct rh_frames saved;		/* of the segment before */
	uintptr_t base;
	size_t bytes;
	struct stktop *previous;
};
_Static_assert(sizeof(struct stktop) <= 80, "fits the least of the profiles");

struct task {
	struct rh_frames frames;
	struct stktop *top;		/* of the segment in use; NULL = has no stack */
	size_t bytes;			/* of all segments */
	struct task *next;
};

/* Memory from the system, for close. */
struct block { struct block *next; size_t bytes; };

/* 16 free segments: the first holds the addresses of the others. */
struct batch {
	struct batch *next;
	void *others[BATCH - 1];
};

struct rh_stacks {
	const struct profile *profile;
	const struct rh_backend *ops;
	uint64_t max;
	struct rh_lock cache_lock;	/* batches, blocks */
	struct batch *batches;
	struct block *blocks;
	struct rh_lock dead_lock;
	struct task *dead;
	struct rh_tally tally;
};

struct rh_stack_lane {
	struct rh_stacks *stacks;
	struct rh_lane *heap;
	struct task *dead;
	uint32_t dead_count, ring_count;
	void *ring[RING];
	struct task *fresh, *fresh_end;	/* new tasks are cut from it */
	struct rh_tally_lane tally;
};

static const struct rh_opt segmented_knobs[] = {
	{ "profile", 0, RH_OPT_NAME, offsetof(struct segmented_knobs, profile), "1.2",
	  .names = profile_names, .arg = "VERSION", .help = "which Go it behaves like" },
	{ "max", 0, RH_OPT_SIZE, offsetof(struct segmented_knobs, max), "1000000000",
	  .min = 65536, .max = 1ull << 40, .arg = "BYTES",
	  .help = "all segments of a task; beyond it is an overflow" },
	{ .name = NULL }
};

/* ---- memory from the system ---- */

/* Cache lock held. The first 16 bytes of a block are ours. */
static void *map_block(struct rh_stacks *stacks, size_t bytes)
{
	struct block *block = rh_map(bytes);

	if (!block)
		return NULL;
	block->next = stacks->blocks;
	block->bytes = bytes;
	stacks->blocks = block;
	return block + 1;
}

/* A page before the segments holds the link of the block, so they stay aligned. */
static bool map_batch(struct rh_stack_lane *lane)
{
	size_t each = lane->stacks->profile->fixed_bytes;
	char *block = map_block(lane->stacks, RH_PAGE + BATCH * each);

	if (!block)
		return false;
	block += RH_PAGE - sizeof(struct block);
	for (int i = 0; i < BATCH; i++)
		lane->ring[lane->ring_count++] = block + i * each;
	rh_tally_count(&lane->tally, FROM_SYSTEM, BATCH * each);
	return true;
}

/* ---- fixed segments ---- */

static bool ring_refill(struct rh_stack_lane *lane)
{
	struct rh_stacks *stacks = lane->stacks;
	struct batch *batch;
	bool done = true;

	rh_tally_count(&lane->tally, REFILLS, 1);
	rh_lock(&stacks->cache_lock);
	batch = stacks->batches;
	if (batch)
		stacks->batches = batch->next;
	else
		done = map_batch(lane);
	rh_unlock(&stacks->cache_lock);
	if (!batch)
		return done;
	for (int i = 0; i < BATCH - 1; i++)
		lane->ring[lane->ring_count++] = batch->others[i];
	lane->ring[lane->ring_count++] = batch;
	return true;
}

static void ring_release(struct rh_stack_lane *lane)
{
	struct rh_stacks *stacks = lane->stacks;
	struct batch *batch = lane->ring[--lane->ring_count];

	for (int i = 0; i < BATCH - 1; i++)
		batch->others[i] = lane->ring[--lane->ring_count];
	rh_lock(&stacks->cache_lock);
	batch->next = stacks->batches;
	stacks->batches = batch;
	rh_unlock(&stacks->cache_lock);
}

/* ---- segments of any size ---- */

static void *segment_memory(struct rh_stack_lane *lane, size_t bytes)
{
	if (bytes != lane->stacks->profile->fixed_bytes) {
		rh_tally_count(&lane->tally, FROM_HEAP, 1);
		return lane->stacks->ops->alloc(lane->heap, bytes);
	}
	if (lane->ring_count)
		rh_tally_count(&lane->tally, RING_HITS, 1);
	else if (!ring_refill(lane))
		return NULL;
	return lane->ring[--lane->ring_count];
}

static struct stktop *segment_take(struct rh_stack_lane *lane, size_t bytes)
{
	void *memory = segment_memory(lane, bytes);
	struct stktop *top;

	if (!memory) {
		rh_tally_count(&lane->tally, REFUSED, 1);
		return NULL;
	}
	rh_tally_count(&lane->tally, RESERVED, bytes);
	top = (struct stktop *)((char *)memory + bytes - lane->stacks->profile->top_bytes);
	top->base = (uintptr_t)memory;
	top->bytes = bytes;
	top->previous = NULL;
	return top;
}

static void segment_give(struct rh_stack_lane *lane, struct stktop *top)
{
	size_t bytes = top->bytes;
	void *memory = (void *)top->base;

	rh_tally_count(&lane->tally, RESERVED, -(uint64_t)bytes);
	if (bytes != lane->stacks->profile->fixed_bytes) {
		lane->stacks->ops->free(lane->heap, memory, bytes);
		return;
	}
	if (lane->ring_count == RING)
		ring_release(lane);
	lane->ring[lane->ring_count++] = memory;
}

static void use_segment(struct task *task, struct stktop *top, size_t args_bytes)
{
	task->top = top;
	task->frames.hi = (uintptr_t)top - args_bytes;
	task->frames.guard = top->base + GUARD_BYTES;
}

/* ---- open and close ---- */

static int segmented_open(struct rh_stacks **out, const void *knobs_given,
			  const struct rh_backend *ops, struct rh_heap *heap, struct rh_err *err)
{
	const struct segmented_knobs *knobs = knobs_given;
	struct rh_stacks *stacks;

	(void)heap;
	if (ops->caps & RH_CAP_NO_MEMORY)
		return rh_fail(err, RH_USAGE, "segments of heap %s cannot hold frames: it "
			       "hands out no memory; name another heap or another stack "
			       "backend", ops->name);
	stacks = rh_map(sizeof(*stacks));
	if (!stacks)
		return rh_fail(err, RH_OS, "segmented: no memory to open");
	stacks->profile = &profiles[knobs->profile];
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

static void give_dead(struct rh_stack_lane *lane, uint32_t keep)
{
	struct rh_stacks *stacks = lane->stacks;

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
	while (lane->ring_count >= BATCH)
		ring_release(lane);
	rh_tally_leave(&lane->stacks->tally, &lane->tally);
	rh_unmap(lane, sizeof(*lane));
}

/* ---- spawn and exit ---- */

static void take_dead(struct rh_stack_lane *lane)
{
	struct rh_stacks *stacks = lane->stacks;

	rh_lock(&stacks->dead_lock);
	while (stacks->dead && lane->dead_count < DEAD_MAX / 2) {
		struct task *task = stacks->dead;

		stacks->dead = task->next;
		task->next = lane->dead;
		lane->dead = task;
		lane->dead_count++;
	}
	rh_unlock(&stacks->dead_lock);
}

static struct task *new_task(struct rh_stack_lane *lane)
{
	if (lane->fresh == lane->fresh_end) {
		struct task *tasks;

		rh_lock(&lane->stacks->cache_lock);
		tasks = map_block(lane->stacks, BLOCK_BYTES);
		rh_unlock(&lane->stacks->cache_lock);
		if (!tasks)
			return NULL;
		lane->fresh = tasks;
		lane->fresh_end = tasks + (BLOCK_BYTES - sizeof(struct block)) / sizeof(*tasks);
	}
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

static void put_task(struct rh_stack_lane *lane, struct task *task)
{
	task->next = lane->dead;
	lane->dead = task;
	if (++lane->dead_count >= DEAD_MAX)
		give_dead(lane, DEAD_KEEP);
}

static void *segmented_spawn(struct rh_stack_lane *lane, size_t stack_bytes)
{
	const struct profile *profile = lane->stacks->profile;
	size_t bytes = profile->fixed_bytes;
	struct task *task = NULL;

	if (stack_bytes > bytes)
		bytes = (stack_bytes + profile->top_bytes + 15) & ~(size_t)15;
	if (bytes <= lane->stacks->max)
		task = take_task(lane);
	if (!task)
		goto refused;
	if (task->top && task->top->bytes != bytes) {
		segment_give(lane, task->top);
		task->top = NULL;
	}
	if (!task->top)
		task->top = segment_take(lane, bytes);
	if (!task->top) {
		put_task(lane, task);
		return NULL;
	}
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

	rh_tally_count(&lane->tally, EXITS, 1);
	while (task->top->previous) {
		struct stktop *top = task->top;

		task->top = top->previous;
		segment_give(lane, top);
	}
	if (task->top->bytes != lane->stacks->profile->fixed_bytes) {
		segment_give(lane, task->top);
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
	const struct profile *profile = lane->stacks->profile;
	size_t args = rh_frames_used(&task->frames) < ARGS_BYTES ? RESULTS_BYTES : ARGS_BYTES;
	size_t bytes = frame_bytes + args + profile->extra_bytes;
	struct stktop *top;

	if (bytes < profile->fixed_bytes)
		bytes = profile->fixed_bytes;
	if (task->bytes + bytes > lane->stacks->max)
		return overflow(lane);
	top = segment_take(lane, bytes);
	if (!top)
		return -1;
	top->saved = task->frames;
	top->previous = task->top;
	memcpy((char *)top - args, (const char *)task->frames.sp, args);
	use_segment(task, top, args);
	rh_frames_start(&task->frames, 0);
	task->bytes += bytes;
	rh_tally_count(&lane->tally, MORESTACKS, 1);
	rh_tally_count(&lane->tally, ARGS_COPIED, args);
	return 0;
}

/* The results go back to where the caller put the arguments. */
static void lessstack(struct rh_stack_lane *lane, struct task *task)
{
	struct stktop *top = task->top;
	uintptr_t args = task->frames.hi;

	task->frames = top->saved;
	memcpy((char *)task->frames.sp, (const char *)args, RESULTS_BYTES);
	task->top = top->previous;
	task->bytes -= top->bytes;
	segment_give(lane, top);
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
	top = segment_take(lane, bytes);
	if (!top)
		return -1;
	rh_frames_move(&task->frames, (uintptr_t)top, &cost);
	use_segment(task, top, 0);
	segment_give(lane, old);
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
	while (task->bytes - task->top->bytes + rh_frames_used(&task->frames) + FRAME_BYTES <=
	       used_bytes)
		if (segmented_call(lane, task, FRAME_BYTES) < 0)
			return -1;
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
	.verify = segmented_verify,
	.stats = segmented_stats,
	.locks = segmented_locks,
};
