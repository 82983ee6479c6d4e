/*
 * thread.c - stacks as threads have them: mapped whole, of one size, with a guard page.
 *
 *	map ->	guard: no access	an overflow ends here
 *		stack			8 MiB, of which what is used is resident
 *		struct task		the thread's own block, at the top as in glibc
 *
 * spawn: a mapping without access, then access to all but the guard, as the C library
 * does it; or a mapping of a thread that ended. Those are kept up to `cache` bytes (glibc:
 * 40 MiB), the oldest go first. One lock guards the lists, as there. What a thread costs
 * the kernel beside its stack (clone, scheduling) is not part of this.
 *
 * A call that does not fit is refused; the real one would be a signal.
 */
#include <assert.h>
#include <sys/mman.h>

#include "alloc/registry.h"
#include "alloc/stack/frames.h"
#include "alloc/stack/tally.h"

enum { SPAWNS, EXITS, MAPS, UNMAPS, CACHE_HITS, RESERVED, REFUSED, OVERFLOWS };
_Static_assert((int)OVERFLOWS < (int)RH_TALLY_MAX, "every row has its count");

static const struct rh_tally_row rows[] = { { "thread.spawn", "count" },
					    { "thread.exit", "count" },
					    { "thread.maps", "count" },
					    { "thread.unmaps", "count" },
					    { "thread.cache_hits", "count" },
					    { "stacks.reserved", "bytes" },
					    { "thread.refused", "count" },
					    { "thread.overflows", "count" },
					    { NULL, NULL } };

static const struct rh_lock_class list_class = { "stack_cache_lock", 150, 0 };

struct thread_knobs {
	uint64_t size, guard, cache;
};

/* Within the mapping, at its top, as glibc keeps struct pthread: a thread costs one
 * mapping and no block of the heap. */
struct task {
	struct rh_frames frames;
	struct task *next, *prev;
	char *map;
	size_t map_bytes;
	size_t stack_bytes;
} __attribute__((aligned(RH_CACHE_LINE)));

struct task_list {
	struct task *first, *last;
};

struct rh_stacks {
	struct thread_knobs knobs;
	/* One, as glibc's stack_cache_lock: threads that start and end at once wait
	 * for each other here, too. */
	struct rh_lock lock;
	/* used is only for close: tasks that a trace never ends have mappings too. */
	struct task_list used, kept;
	/* Bytes and not a count, as glibc limits its cache: 40 MiB are five stacks of
	 * 8 MiB. */
	uint64_t kept_bytes;
	struct rh_tally tally;
};

struct rh_stack_lane {
	struct rh_stacks *stacks;
	struct rh_tally_lane tally;
};

static const struct rh_opt thread_knobs[] = {
	/* As pthread_attr has them by default: the size of ulimit -s on most systems,
	 * one page of guard, and the limit of glibc's cache. */
	{ "size", 0, RH_OPT_SIZE, offsetof(struct thread_knobs, size), "8M", .min = 16384,
	  .max = 1ull << 40, .arg = "BYTES", .help = "stack of a thread" },
	{ "guard", 0, RH_OPT_SIZE, offsetof(struct thread_knobs, guard), "4K", .max = 1 << 30,
	  .arg = "BYTES", .help = "inaccessible below it, 0 for none" },
	{ "cache", 0, RH_OPT_SIZE, offsetof(struct thread_knobs, cache), "40M", .arg = "BYTES",
	  .help = "stacks of ended threads kept, 0 for none" },
	{ .name = NULL }
};

/* First in, last out: the stack that was used last has the most resident pages. */
static void push(struct task_list *list, struct task *task)
{
	rh_debug_assert(!list->first == !list->last);
	task->prev = NULL;
	task->next = list->first;
	*(list->first ? &list->first->prev : &list->last) = task;
	list->first = task;
}

static void take_task(struct task_list *list, struct task *task)
{
	rh_debug_assert(task->prev ? task->prev->next == task : list->first == task);
	rh_debug_assert(task->next ? task->next->prev == task : list->last == task);
	*(task->prev ? &task->prev->next : &list->first) = task->next;
	*(task->next ? &task->next->prev : &list->last) = task->prev;
}

/* ---- open and close ---- */

static int thread_open(struct rh_stacks **out, const void *knobs, const struct rh_backend *ops,
		       struct rh_heap *heap, struct rh_err *err)
{
	struct rh_stacks *stacks = rh_map(sizeof(*stacks));

	(void)ops;
	(void)heap;
	if (!stacks)
		return rh_fail(err, RH_OS, "thread: no memory to open");
	memcpy(&stacks->knobs, knobs, sizeof(stacks->knobs));
	rh_lock_init(&stacks->lock, &list_class, 0);
	rh_tally_init(&stacks->tally);
	*out = stacks;
	return 0;
}

/* The task lies in its own mapping, so it is taken out before that goes. */
static void unmap_all(struct task_list *list)
{
	struct task *task;

	while ((task = list->first)) {
		take_task(list, task);
		munmap(task->map, task->map_bytes);
	}
}

static void thread_close(struct rh_stacks *stacks)
{
	unmap_all(&stacks->used);
	unmap_all(&stacks->kept);
	rh_unmap(stacks, sizeof(*stacks));
}

static int thread_lane_open(struct rh_stacks *stacks, struct rh_lane *heap_lane,
			    struct rh_stack_lane **out, struct rh_err *err)
{
	struct rh_stack_lane *lane = rh_map(sizeof(*lane));

	(void)heap_lane;
	if (!lane)
		return rh_fail(err, RH_OS, "thread: no memory for a lane");
	lane->stacks = stacks;
	rh_tally_join(&stacks->tally, &lane->tally);
	*out = lane;
	return 0;
}

static void thread_lane_close(struct rh_stack_lane *lane)
{
	rh_tally_leave(&lane->stacks->tally, &lane->tally);
	rh_unmap(lane, sizeof(*lane));
}

/* ---- spawn and exit ---- */

/* The exact size only, though glibc also takes a larger one: a stack of 8 MiB under a
 * thread of 64 KiB would make RESERVED say what no thread asked for. */
static struct task *take_kept(struct rh_stack_lane *lane, size_t stack_bytes)
{
	struct rh_stacks *stacks = lane->stacks;
	struct task *task;

	rh_lock(&stacks->lock);
	for (task = stacks->kept.first; task && task->stack_bytes != stack_bytes;)
		task = task->next;
	if (task) {
		assert(stacks->kept_bytes >= task->map_bytes);
		take_task(&stacks->kept, task);
		stacks->kept_bytes -= task->map_bytes;
		push(&stacks->used, task);
	}
	rh_unlock(&stacks->lock);
	if (task)
		rh_tally_count(&lane->tally, CACHE_HITS, 1);
	return task;
}

static struct task *map_task(struct rh_stack_lane *lane, size_t stack_bytes)
{
	struct rh_stacks *stacks = lane->stacks;
	size_t guard = rh_page_up(stacks->knobs.guard), bytes = guard + stack_bytes;
	struct task *task;
	/* Without access first, so that there is no moment at which the guard could
	 * be written to. */
	char *map = mmap(NULL, bytes, PROT_NONE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);

	if (map == MAP_FAILED)
		return NULL;
	if (mprotect(map + guard, stack_bytes, PROT_READ | PROT_WRITE) < 0) {
		munmap(map, bytes);
		return NULL;
	}
	task = (struct task *)(map + bytes) - 1;
	task->map = map;
	task->map_bytes = bytes;
	task->stack_bytes = stack_bytes;
	task->frames.hi = (uintptr_t)task;
	/* A frame may go down to the guard page: the check allows 128 bytes below this. */
	task->frames.guard = (uintptr_t)map + guard + RH_STACK_SMALL;
	assert((uintptr_t)task % RH_CACHE_LINE == 0 && task->frames.guard < task->frames.hi);
	rh_lock(&stacks->lock);
	push(&stacks->used, task);
	rh_unlock(&stacks->lock);
	rh_tally_count(&lane->tally, MAPS, 1);
	rh_tally_count(&lane->tally, RESERVED, bytes);
	return task;
}

static void *thread_spawn(struct rh_stack_lane *lane, size_t stack_bytes)
{
	size_t bytes = rh_page_up(stack_bytes ? stack_bytes : lane->stacks->knobs.size);
	struct task *task;

	if (bytes < 4 * rh_page_bytes())
		bytes = 4 * rh_page_bytes(); /* PTHREAD_STACK_MIN */
	task = take_kept(lane, bytes);
	if (!task)
		task = map_task(lane, bytes);
	if (!task) {
		rh_tally_count(&lane->tally, REFUSED, 1);
		return NULL;
	}
	rh_frames_start(&task->frames, 0);
	rh_tally_count(&lane->tally, SPAWNS, 1);
	return task;
}

static void unmap_task(struct rh_stack_lane *lane, struct task *task)
{
	rh_tally_count(&lane->tally, UNMAPS, 1);
	rh_tally_count(&lane->tally, RESERVED, -(uint64_t)task->map_bytes);
	munmap(task->map, task->map_bytes);
}

static void thread_exit(struct rh_stack_lane *lane, void *handle)
{
	struct rh_stacks *stacks = lane->stacks;
	struct task *task = handle, *victim;

	rh_tally_count(&lane->tally, EXITS, 1);
	rh_lock(&stacks->lock);
	take_task(&stacks->used, task);
	/* Kept first and then trimmed from the other end, as glibc does: with cache=0
	 * the stack goes at once. */
	push(&stacks->kept, task);
	stacks->kept_bytes += task->map_bytes;
	while (stacks->kept_bytes > stacks->knobs.cache) {
		victim = stacks->kept.last;
		assert(victim && stacks->kept_bytes >= victim->map_bytes);
		take_task(&stacks->kept, victim);
		stacks->kept_bytes -= victim->map_bytes;
		rh_unlock(&stacks->lock);
		unmap_task(lane, victim);
		rh_lock(&stacks->lock);
	}
	rh_unlock(&stacks->lock);
}

/* ---- calls ---- */

static int thread_call(struct rh_stack_lane *lane, void *handle, size_t frame_bytes)
{
	struct task *task = handle;
	size_t bytes = rh_frame_bytes(frame_bytes);

	/* The first half keeps sp - bytes from wrapping in the second. */
	if (bytes > task->stack_bytes || !rh_frames_fit(&task->frames, bytes)) {
		rh_tally_count(&lane->tally, OVERFLOWS, 1);
		return -1;
	}
	rh_frames_push(&task->frames, bytes);
	return 0;
}

static void thread_ret(struct rh_stack_lane *lane, void *handle, size_t frame_bytes)
{
	struct task *task = handle;

	(void)lane;
	(void)frame_bytes;
	rh_frames_pop(&task->frames);
}

/* The stack has all the size it will ever have; what is used becomes resident. */
static int thread_grow(struct rh_stack_lane *lane, void *handle, size_t stack_bytes,
		       size_t used_bytes)
{
	struct task *task = handle;

	(void)stack_bytes;
	rh_frames_fill(&task->frames, used_bytes);
	if (used_bytes <= task->stack_bytes)
		return 0;
	rh_tally_count(&lane->tally, OVERFLOWS, 1);
	return -1;
}

static int thread_verify(struct rh_stack_lane *lane, void *handle, struct rh_err *err)
{
	const struct task *task = handle;

	return rh_frames_verify(&task->frames, (uintptr_t)task->map + lane->stacks->knobs.guard,
				&task->frames, err);
}

static void thread_stats(struct rh_stacks *stacks, rh_stat_fn *emit, void *ctx)
{
	emit(ctx, "stacks.tasks", "count",
	     rh_tally_sum(&stacks->tally, SPAWNS) - rh_tally_sum(&stacks->tally, EXITS));
	rh_tally_emit(&stacks->tally, rows, emit, ctx);
}

static void thread_locks(struct rh_stacks *stacks, rh_lock_fn *emit, void *ctx)
{
	struct rh_lock_stats stats;

	rh_lock_read(&stacks->lock, &stats);
	emit(ctx, &stats);
}

const struct rh_stack_backend rh_stack_backend_thread = {
	.abi = RH_BACKEND_ABI,
	.caps = RH_CAP_FIXED_STACKS,
	.name = "thread",
	.summary = "mapped stacks of one size with a guard page, as threads have them",
	.knobs = thread_knobs,
	.knobs_bytes = sizeof(struct thread_knobs),
	.open = thread_open,
	.close = thread_close,
	.lane_open = thread_lane_open,
	.lane_close = thread_lane_close,
	.spawn = thread_spawn,
	.exit = thread_exit,
	.call = thread_call,
	.ret = thread_ret,
	.grow = thread_grow,
	.verify = thread_verify,
	.stats = thread_stats,
	.locks = thread_locks,
};
