/*
 * pools.c - Go's stacks in C: the backend's entries, and the story of a task.
 *
 * The tiers, each in its file:
 *
 *	lane (a P)	dead tasks, with their stacks	task.c
 *			stackcache[order]		cache.c
 *	stackpool	spans of 2, 4, 8, 16 KiB stacks	pool.c
 *	stackLarge	32 KiB and more			large.c
 *	pages		of the paired heap, or ours	pages.c
 *	copystack	growth and shrinking		copy.c, ../frames.c
 *	cycles		which stacks shrink, what is freed	stop_the_world.c
 *
 * spawn, 24 instructions and two lines (of the task, of its stack) on the common path:
 *  1. Pop the lane's list of dead tasks. Its stack has the size new ones have: write the
 *     first frame. Done.
 *  2. List empty: up to 32 from the global list, else a new task (task.c).
 *  3. No stack, or one of another size: from the lane's cache, else the pool, else pages.
 * exit, 14 instructions and the task's line: push it on the list, stack and all.
 * call: a frame that fits is written, 5 to 7 stores; one that does not makes the stack
 * grow first.
 *
 * No step up to here takes a lock or an atomic read-modify-write on a hit.
 */
#include "alloc/stack/pools/pools.h"

#include <assert.h>

#include "alloc/base/debug.h"
#include "alloc/base/goversions.h"

#include "alloc/registry.h"

_Static_assert(sizeof(struct pool_knobs) <= RH_KNOBS_BYTES_MAX, "a spec holds them");

static const char *const flush_names[] = { "cycle", "lane", "apart", NULL };

static const char *nearest_profile(const char *text)
{
	return rh_goversion_nearest(text, false);
}

static const struct rh_opt pool_knobs[] = {
	{ "profile", 0, RH_OPT_NAME, offsetof(struct pool_knobs, profile), "1.17",
	  .names = rh_pool_profile_names, .nearest = nearest_profile, .arg = "VERSION",
	  .help = "which Go it behaves like (reheap list profiles)" },
	{ "max", 0, RH_OPT_SIZE, offsetof(struct pool_knobs, max), "1000000000", .min = 16384,
	  .max = 1ull << 40, .arg = "BYTES", .help = "largest stack; beyond it is an overflow" },
	{ "shrink", 0, RH_OPT_FLAG, offsetof(struct pool_knobs, shrink), "on", .arg = "on|off",
	  .help = "cycles shrink stacks that use less than a quarter" },
	{ "reuse", 0, RH_OPT_FLAG, offsetof(struct pool_knobs, reuse), "on", .arg = "on|off",
	  .help = "tasks that end keep their stacks for new ones" },
	{ "threads", 0, RH_OPT_FLAG, offsetof(struct pool_knobs, threads), "on", .arg = "on|off",
	  .help = "a lane has a scheduler's and a signal stack of its own" },
	{ "flush", 0, RH_OPT_NAME, offsetof(struct pool_knobs, flush), "cycle",
	  .names = flush_names, .arg = "cycle|lane|apart",
	  .help = "lanes' caches go back as a cycle ends, or lane by lane as the trace says; "
		  "apart: so does what no stack uses" },
	{ .name = NULL }
};

/* Go's malg(32 * 1024) for signals on Linux: a large stack, so it takes pages of its
 * own. */
enum { GSIGNAL_BYTES = 32768 };

/* ---- open and close ---- */

static void init_locks(struct rh_stacks *stacks)
{
	rh_lock_init(&stacks->world, &rh_stop_the_world_class, 0);
	rh_lock_init(&stacks->gfree_lock, &rh_gfree_class, 0);
	rh_lock_init(&stacks->tasks_lock, &rh_alltasks_class, 0);
	for (unsigned order = 0; order < STACK_ORDERS; order++)
		rh_lock_init(&stacks->pool[order].lock, &rh_stackpool_class, order);
	rh_lock_init(&stacks->large_lock, &rh_stacklarge_class, 0);
	rh_lock_init(&stacks->pages.lock, &rh_stackpages_class, 0);
}

static int pools_open(struct rh_stacks **out, const void *knobs_given,
		      const struct rh_backend *heap_ops, struct rh_heap *heap, struct rh_err *err)
{
	const struct pool_knobs *knobs = knobs_given;
	struct rh_stacks *stacks = rh_map(sizeof(*stacks));

	if (!stacks)
		return rh_fail(err, RH_OS, "pools: no memory to open");
	stacks->profile = &rh_pool_profiles[knobs->profile];
	stacks->guard_bytes = stacks->profile->guard_bytes;
	assert(stacks->profile->orders <= STACK_ORDERS);
	assert(stacks->guard_bytes < STACK_LEAST); /* the least stack has room above it */
	/* Until the first cycle has seen stacks to average. */
	stacks->start_bytes = STACK_LEAST;
	stacks->max_bytes = knobs->max;
	stacks->shrink_on = knobs->shrink;
	stacks->reuse = knobs->reuse;
	stacks->threads = knobs->threads;
	stacks->flush_by_lane = knobs->flush != POOL_FLUSH_CYCLE;
	stacks->trim_apart = knobs->flush == POOL_FLUSH_APART;
	stacks->heap_ops = heap_ops;
	stacks->heap = heap;
	init_locks(stacks);
	rh_stop_the_world_init(stacks);
	*out = stacks;
	return 0;
}

static void pools_close(struct rh_stacks *stacks)
{
	struct task_chunk *chunk, *next;

	assert(!stacks->lanes);
	rh_pages_close(stacks);
	for (chunk = stacks->chunks; chunk; chunk = next) {
		next = chunk->next;
		rh_unmap(chunk, TASK_CHUNK_BYTES);
	}
	rh_unmap(stacks, sizeof(*stacks));
}

/* What the thread of a lane has itself: a scheduler's and a signal stack. */
static bool thread_stacks(struct rh_stack_lane *lane)
{
	if (!lane->stacks->threads)
		return true;
	lane->g0 = rh_stack_alloc(lane, lane->stacks->profile->g0_bytes);
	lane->gsignal = lane->g0 ? rh_stack_alloc(lane, GSIGNAL_BYTES) : NULL;
	return lane->gsignal != NULL;
}

/* World lock held. */
static void lane_release(struct rh_stack_lane *lane)
{
	struct rh_stacks *stacks = lane->stacks;

	rh_debug_assert(rh_lock_held(&stacks->world));
	if (lane->g0)
		rh_stack_free(lane, lane->g0, lane->stacks->profile->g0_bytes);
	if (lane->gsignal)
		rh_stack_free(lane, lane->gsignal, GSIGNAL_BYTES);
	/* Tasks first, since they may drop stacks into the cache; then the cache,
	 * which gives pages back; then the structs of those pages. */
	rh_tasks_purge(lane);
	rh_cache_flush(lane, lane);
	rh_pages_lane_close(lane);
	rh_stack_counters_add(&stacks->retired, &lane->n);
	rh_stack_sizes_add(&stacks->retired_sizes, &lane->sizes);
	/* With flush=lane the trim after a cycle was this lane's to do; the next
	 * cycle's end does it. */
	if (stacks->ender == lane)
		stacks->ender = NULL;
	stacks->retired_in_use += lane->d_in_use;
	rh_unmap(lane, sizeof(*lane));
}

static int pools_lane_open(struct rh_stacks *stacks, struct rh_lane *heap_lane,
			   struct rh_stack_lane **out, struct rh_err *err)
{
	struct rh_stack_lane *lane = rh_map(sizeof(*lane));

	if (!lane)
		return rh_fail(err, RH_OS, "pools: no memory for a lane");
	lane->stacks = stacks;
	lane->gfree = &rh_no_task;
	lane->gfree_room = GFREE_KEEP;
	atomic_store(&lane->start_room, rh_stop_the_world_room(stacks));
	lane->heap_lane = heap_lane;
	rh_lock(&stacks->world);
	if (!thread_stacks(lane)) {
		lane_release(lane);
		rh_unlock(&stacks->world);
		return rh_fail(err, RH_OS, "pools: no memory for the stacks of a lane");
	}
	lane->next = stacks->lanes;
	if (lane->next)
		lane->next->prev = lane;
	stacks->lanes = lane;
	rh_unlock(&stacks->world);
	*out = lane;
	return 0;
}

static void pools_lane_close(struct rh_stack_lane *lane)
{
	struct rh_stacks *stacks = lane->stacks;

	rh_lock(&stacks->world);
	*(lane->prev ? &lane->prev->next : &stacks->lanes) = lane->next;
	if (lane->next)
		lane->next->prev = lane->prev;
	lane_release(lane);
	rh_unlock(&stacks->world);
}

/* ---- spawn and exit ----
 *
 * Both say that they work and compare the room of a stack with that of new ones. That
 * one comparison fails for a task without a stack, for one of another size, for an empty
 * list (rh_no_task) and while the world is stopped. The tail calls keep the fast paths
 * free of a frame.
 */

static __attribute__((noinline)) void *spawn_slow(struct rh_stack_lane *lane, size_t asked)
{
	struct rh_stacks *stacks = lane->stacks;
	struct task *task = NULL;
	size_t bytes;

	stack_enter(lane);
	bytes = stacks->start_bytes;
	/* Powers of two from the start size, as malg rounds. */
	while (bytes < asked && bytes < stacks->max_bytes)
		bytes *= 2;
	if (bytes >= asked && bytes <= stacks->max_bytes)
		task = rh_task_take(lane, bytes, asked > stacks->start_bytes);
	if (task) {
		lane->n.spawns++;
		rh_frames_start(&task->frames, TASK_ALIVE);
	} else {
		stack_add(&lane->n.refused, 1);
	}
	stack_leave(lane);
	return task;
}

/* Acquire pairs with the store that starts the world: a lane that sees its room again
 * sees what the cycle did to the stacks. */
static inline bool as_new(const struct rh_stack_lane *lane, const struct task *task)
{
	return task_room(task) == atomic_load_explicit(&lane->start_room, memory_order_acquire);
}

static void *pools_spawn(struct rh_stack_lane *lane, size_t stack_bytes)
{
	struct task *task;

	stack_claim(lane);
	task = lane->gfree;
	/* A recorded first size of 2 KiB is what every Go program says, so it takes
	 * the fast path. */
	if (stack_unlikely(stack_bytes > STACK_LEAST || !as_new(lane, task)))
		return spawn_slow(lane, stack_bytes);
	rh_debug_assert(task->frames.tag == TASK_DEAD);
	lane->gfree = task->next;
	lane->gfree_room++;
	lane->n.spawns++;
	rh_frames_start(&task->frames, TASK_ALIVE);
	stack_leave(lane);
	return task;
}

static __attribute__((noinline)) void exit_slow(struct rh_stack_lane *lane, struct task *task)
{
	lane->gfree_room += lane->gfree_room < 0; /* what found no room */
	stack_enter(lane);
	rh_task_put(lane, task);
	stack_leave(lane);
}

static void pools_exit(struct rh_stack_lane *lane, void *handle)
{
	struct task *task = handle;

	stack_claim(lane);
	rh_debug_assert(task->frames.tag == TASK_ALIVE);
	/* The room is taken down by the comparison itself, and exit_slow gives it
	 * back: one branch for both. */
	if (stack_unlikely(!as_new(lane, task) || --lane->gfree_room < 0)) {
		exit_slow(lane, task);
		return;
	}
	task->frames.tag = TASK_DEAD;
	task->next = lane->gfree;
	lane->gfree = task;
	stack_leave(lane);
}

/* ---- calls ---- */

static int pools_call(struct rh_stack_lane *lane, void *handle, size_t frame_bytes)
{
	struct task *task = handle;
	size_t bytes = rh_frame_bytes(frame_bytes);
	int result = 0;

	rh_debug_assert(task->frames.tag == TASK_ALIVE);
	stack_enter(lane);
	if (stack_unlikely(!rh_frames_fit(&task->frames, bytes)))
		result = rh_task_grow(lane, task, bytes);
	if (stack_likely(result == 0))
		rh_frames_push(&task->frames, bytes);
	stack_leave(lane);
	return result;
}

static void pools_ret(struct rh_stack_lane *lane, void *handle, size_t frame_bytes)
{
	struct task *task = handle;

	(void)frame_bytes; /* the frame itself says where it ends */
	rh_debug_assert(task->frames.tag == TASK_ALIVE);
	stack_enter(lane);
	/* A recording that begins in the middle of a program returns from frames it
	 * never saw called. */
	if (stack_unlikely(!rh_frames_pop(&task->frames)))
		stack_add(&lane->n.unmatched, 1);
	stack_leave(lane);
}

/* ---- what the trace says of a stack's size ---- */

/* The size of this backend that a recorded size stands for. 0: beyond the maximum. */
static size_t size_named(const struct rh_stacks *stacks, size_t stack_bytes)
{
	size_t bytes = STACK_LEAST;

	while (bytes < stack_bytes && bytes <= stacks->max_bytes)
		bytes *= 2;
	return bytes <= stacks->max_bytes ? bytes : 0;
}

static int pools_grow(struct rh_stack_lane *lane, void *handle, size_t stack_bytes,
		      size_t used_bytes)
{
	struct task *task = handle;
	size_t bytes = size_named(lane->stacks, stack_bytes);
	int result = 0;

	rh_debug_assert(task->frames.tag == TASK_ALIVE);
	stack_enter(lane);
	/* Before the resize: the recorded copy moved these bytes, so ours must. */
	rh_frames_fill(&task->frames, used_bytes);
	if (!bytes) {
		stack_add(&lane->n.overflows, 1);
		result = -1;
	} else if (bytes > task_stack_bytes(lane->stacks, task)) {
		/* To the recorded size at once, and not by doubling: one copy was
		 * recorded. */
		result = rh_task_resize(lane, task, bytes);
		stack_add(&lane->n.grows, result == 0);
	}
	stack_leave(lane);
	return result;
}

/* Less than a quarter was in use: other frames have returned meanwhile, unseen by the trace. */
static int pools_shrink(struct rh_stack_lane *lane, void *handle, size_t stack_bytes)
{
	struct task *task = handle;
	size_t bytes = size_named(lane->stacks, stack_bytes);
	int result = 0;

	rh_debug_assert(task->frames.tag == TASK_ALIVE);
	stack_enter(lane);
	if (bytes && bytes < task_stack_bytes(lane->stacks, task)) {
		/* The recorded runtime halved because little was in use, so as much
		 * is popped here. */
		while (!rh_task_may_halve(lane->stacks, task, 2 * bytes) &&
		       rh_frames_pop(&task->frames))
			continue;
		result = rh_task_resize(lane, task, bytes);
		stack_add(&lane->n.shrinks, result == 0);
	}
	stack_leave(lane);
	return result;
}

static int pools_verify(struct rh_stack_lane *lane, void *handle, struct rh_err *err)
{
	const struct task *task = handle;
	int result;

	stack_enter(lane);
	if (task->frames.tag == TASK_ALIVE)
		result = rh_frames_verify(&task->frames,
					  task->frames.hi - task_stack_bytes(lane->stacks, task),
					  &task->frames, err);
	else
		result = rh_fail(err, RH_FAILED, "pools: a task that has exited is used");
	stack_leave(lane);
	return result;
}

const struct rh_stack_backend rh_stack_backend_pools = {
	.abi = RH_BACKEND_ABI,
	.caps = RH_CAP_GC,
	.name = "pools",
	.summary = "Go's stacks in C: 2 KiB from pools, grown by copying, shrunk at cycles",
	.knobs = pool_knobs,
	.knobs_bytes = sizeof(struct pool_knobs),
	.open = pools_open,
	.close = pools_close,
	.lane_open = pools_lane_open,
	.lane_close = pools_lane_close,
	.spawn = pools_spawn,
	.exit = pools_exit,
	.call = pools_call,
	.ret = pools_ret,
	.grow = pools_grow,
	.shrink = pools_shrink,
	.gc_begin = rh_stop_the_world_gc_begin,
	.gc_end = rh_stop_the_world_gc_end,
	.verify = pools_verify,
	.stats = rh_pools_stats,
	.locks = rh_pools_locks,
	.lane_flush = rh_stop_the_world_flush,
	.lane_caches = rh_cache_switch,
};
