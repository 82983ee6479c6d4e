/*
 * task.c - tasks that died, to be used again: Go's gfget, gfput and gfpurge.
 *
 * A task that exits goes to the front of its lane's list and keeps its stack, if that has
 * the size new ones have; so exit and spawn by turns use one task and one stack again and
 * again. A lane that has 64 hands all but 31 to the global lists; one that has none takes
 * up to 32 from there, those with a stack first. Tasks are never freed.
 *
 * The fast paths, a local hit, are in pools.c.
 */
#include "alloc/base/debug.h"
#include "alloc/stack/pools/pools.h"

const struct rh_lock_class rh_gfree_class = { "gfree", STACK_RANK_GFREE, 0 };
const struct rh_lock_class rh_alltasks_class = { "allg", STACK_RANK_TASKS, 0 };

/* Ends every lane's list in the place of NULL: its room of 0 matches no stack, so the
 * fast path of spawn needs no test for an empty list. */
struct task rh_no_task;

/* ---- new tasks ---- */

static struct task_chunk *new_chunk(struct rh_stacks *stacks)
{
	/* 64 KiB are a thousand tasks. Go takes each G from the heap; here tasks must
	 * be found by a cycle's scan, which walks chunks. */
	struct task_chunk *chunk = rh_map(TASK_CHUNK_BYTES);

	if (!chunk)
		return NULL;
	rh_lock(&stacks->tasks_lock);
	chunk->next = stacks->chunks;
	stacks->chunks = chunk;
	stacks->chunk_count++;
	rh_unlock(&stacks->tasks_lock);
	return chunk;
}

static struct task *new_task(struct rh_stack_lane *lane)
{
	if (!lane->chunk || lane->chunk->count == TASK_CHUNK_TASKS) {
		struct task_chunk *chunk = new_chunk(lane->stacks);

		if (!chunk)
			return NULL;
		lane->chunk = chunk;
	}
	stack_add(&lane->n.g_new, 1);
	/* Counts as come from outside, like those of the global list: stats.c derives
	 * exits from it. */
	stack_add(&lane->n.g_in, 1);
	return &lane->chunk->tasks[lane->chunk->count++];
}

/* ---- the lists ---- */

static void push(struct task **list, struct task *task)
{
	task->next = *list;
	*list = task;
}

static struct task *pop(struct task **list)
{
	struct task *task = *list;

	if (task)
		*list = task->next;
	return task;
}

/* Lane keeps `keep`; the rest goes to the global lists. */
static void give_global(struct rh_stack_lane *lane, int32_t keep)
{
	struct rh_stacks *stacks = lane->stacks;
	uint32_t moved = 0;

	stack_add(&lane->n.g_batches, 1);
	rh_lock(&stacks->gfree_lock);
	for (; GFREE_KEEP - lane->gfree_room > keep; lane->gfree_room++, moved++) {
		struct task *task = lane->gfree;
		/* Two lists since 1.7, so that a spawn does not have to pass over
		 * tasks without a stack. */
		bool bare = stacks->profile->g_split && !task->frames.hi;

		lane->gfree = task->next;
		push(bare ? &stacks->gfree_bare : &stacks->gfree_stack, task);
	}
	/* Within the lock but atomic, as rh_task_take peeks at it without: it would
	 * otherwise take the lock on each spawn that makes a new task. */
	atomic_fetch_add_explicit(&stacks->gfree_count, moved, memory_order_relaxed);
	rh_unlock(&stacks->gfree_lock);
	stack_add(&lane->n.g_out, moved);
}

static void take_global(struct rh_stack_lane *lane)
{
	struct rh_stacks *stacks = lane->stacks;
	uint32_t moved = 0;

	rh_lock(&stacks->gfree_lock);
	while (moved < GFREE_BATCH) {
		struct task *task = pop(&stacks->gfree_stack);

		if (!task)
			task = pop(&stacks->gfree_bare);
		if (!task)
			break;
		push(&lane->gfree, task);
		moved++;
	}
	atomic_fetch_sub_explicit(&stacks->gfree_count, moved, memory_order_relaxed);
	rh_unlock(&stacks->gfree_lock);
	lane->gfree_room -= (int32_t)moved;
	stack_add(&lane->n.g_in, moved);
	stack_add(&lane->n.g_global, moved > 0);
}

static void put_back(struct rh_stack_lane *lane, struct task *task)
{
	push(&lane->gfree, task);
	lane->gfree_room--;
}

static void drop_stack(struct rh_stack_lane *lane, struct task *task)
{
	struct free_stack *stack = stack_at(task->frames.hi);

	rh_debug_assert(task->frames.hi && task->frames.tag == TASK_DEAD);
	stack->span = task->span;
	rh_stack_free(lane, stack, task_stack_bytes(lane->stacks, task));
	/* Room 0, so that spawn's comparison fails for it. */
	task->frames.hi = task->frames.guard = 0;
}

static bool give_stack(struct rh_stack_lane *lane, struct task *task, size_t bytes)
{
	struct free_stack *stack = rh_stack_alloc(lane, bytes);

	rh_debug_assert(!task->frames.hi);
	if (!stack)
		return false;
	task->span = stack->span;
	task->frames.hi = stack_hi(stack);
	task->frames.guard = task->frames.hi - bytes + lane->stacks->guard_bytes;
	return true;
}

/* Pages are refused, but a task that died may still have a stack of this size. */
static struct task *last_resort(struct rh_stack_lane *lane, size_t bytes)
{
	/* The lane's own first, then a batch of the global list. A linear search, but
	 * only where the alternative is to report that memory is exhausted. */
	for (int global = 0; global < 2; global++) {
		struct task **link = &lane->gfree;

		for (; *link != &rh_no_task; link = &(*link)->next) {
			struct task *task = *link;

			if (!task->frames.hi || task_stack_bytes(lane->stacks, task) != bytes)
				continue;
			*link = task->next;
			lane->gfree_room++;
			return task;
		}
		if (!global)
			take_global(lane);
	}
	return NULL;
}

struct task *rh_task_take(struct rh_stack_lane *lane, size_t bytes, bool exact)
{
	struct rh_stacks *stacks = lane->stacks;
	struct task *task;

	stack_add(&lane->n.g_slow, lane->gfree == &rh_no_task);
	if (lane->gfree == &rh_no_task &&
	    atomic_load_explicit(&stacks->gfree_count, memory_order_relaxed))
		take_global(lane);
	task = lane->gfree;
	if (task != &rh_no_task) {
		lane->gfree = task->next;
		lane->gfree_room++;
		rh_debug_assert(task->frames.tag == TASK_DEAD);
	} else {
		task = new_task(lane);
		/* Go makes a new one's stack of the least size, whatever the average. */
		if (!exact)
			bytes = STACK_LEAST;
	}
	if (!task)
		return last_resort(lane, bytes);
	/* Since 1.19 the size of new stacks changes from cycle to cycle, and stacks
	 * of the old size go when their task is taken. */
	if (task->frames.hi && task_stack_bytes(stacks, task) != bytes)
		drop_stack(lane, task);
	if (!task->frames.hi && !give_stack(lane, task, bytes)) {
		/* The task has no stack and stays for the next try. */
		put_back(lane, task);
		return last_resort(lane, bytes);
	}
	rh_debug_assert(task_stack_bytes(stacks, task) == bytes);
	return task;
}

void rh_task_put(struct rh_stack_lane *lane, struct task *task)
{
	task->frames.tag = TASK_DEAD;
	/* A grown stack goes back at once: kept, it would be handed to a task that
	 * needs 2 KiB. */
	if (task_stack_bytes(lane->stacks, task) != lane->stacks->start_bytes ||
	    !lane->stacks->reuse)
		drop_stack(lane, task);
	put_back(lane, task);
	/* 64 are there and 31 stay, by Go's numbers: a lane that spawns and exits by
	 * turns never gets here. */
	if (lane->gfree_room < 0)
		give_global(lane, GFREE_BATCH - 1);
}

void rh_tasks_purge(struct rh_stack_lane *lane)
{
	if (lane->gfree_room < GFREE_KEEP)
		give_global(lane, 0);
}

/* What other lanes took from here keeps its stack: Go's root job looks at the global
 * list alone. */
void rh_tasks_free_stacks(struct rh_stack_lane *lane)
{
	struct rh_stacks *stacks = lane->stacks;
	struct task *task;

	rh_lock(&stacks->gfree_lock);
	while ((task = pop(&stacks->gfree_stack))) {
		if (task->frames.hi)
			drop_stack(lane, task);
		push(&stacks->gfree_bare, task);
	}
	rh_unlock(&stacks->gfree_lock);
}
