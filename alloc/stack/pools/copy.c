/*
 * copy.c - stacks that grow and shrink by being moved: Go's copystack.
 *
 * A new stack first, then what is in use is copied to its top and every pointer adjusted
 * (frames.c), then the old one is freed: at the peak both exist. How much larger goes by
 * version; a stack shrinks by half, at a cycle, when less than a quarter is in use.
 */
#include "alloc/base/debug.h"
#include "alloc/stack/pools/pools.h"

enum { NOSPLIT_MARGIN = RH_STACK_SMALL }; /* guard less this may be used unchecked */

int rh_task_resize(struct rh_stack_lane *lane, struct task *task, size_t bytes)
{
	struct rh_stacks *stacks = lane->stacks;
	size_t old_bytes = task_stack_bytes(stacks, task);
	struct free_stack *old = stack_at(task->frames.hi);
	struct rh_frames_cost cost = { 0 };
	/* The new one before the old is touched: without memory the task goes on with
	 * what it has. */
	struct free_stack *stack = rh_stack_alloc(lane, bytes);
	struct stack_span *span;

	rh_debug_assert((bytes & (bytes - 1)) == 0 && bytes >= STACK_LEAST);
	rh_debug_assert(rh_frames_used(&task->frames) < bytes);
	if (!stack) {
		stack_add(&lane->n.refused, 1);
		return -1;
	}
	/* Read now, because the frames are about to be copied over the words that
	 * hold it. */
	span = stack->span;
	rh_frames_move(&task->frames, stack_hi(stack), &cost);
	task->frames.guard = task->frames.hi - bytes + stacks->guard_bytes;
	rh_debug_assert(task_stack_bytes(stacks, task) == bytes);
	/* The first frame lay over the link; a free stack carries its span there
	 * again. */
	old->span = task->span;
	task->span = span;
	rh_stack_free(lane, old, old_bytes);
	stack_add(&lane->n.copied_bytes, cost.bytes);
	stack_add(&lane->n.copied_frames, cost.frames);
	stack_add(&lane->n.copied_pointers, cost.pointers);
	return 0;
}

static size_t grown(const struct rh_stacks *stacks, const struct task *task, size_t frame_bytes)
{
	size_t old = task_stack_bytes(stacks, task), bytes = 2 * old;
	size_t need = frame_bytes + stacks->guard_bytes;

	switch ((enum pool_growth)stacks->profile->growth) {
	/* Up to 1.14 a large frame makes a stack double several times, and copies it
	 * each time: the loop in rh_task_grow. */
	case POOL_GROW_DOUBLE:
		break;
	/* 1.15 and 1.16 compare with what is added, not with what is free. */
	case POOL_GROW_BY_FRAME:
		while (bytes - old < need)
			bytes *= 2;
		break;
	case POOL_GROW_TO_FIT:
		while (bytes - rh_frames_used(&task->frames) < need)
			bytes *= 2;
		break;
	}
	return bytes;
}

int rh_task_grow(struct rh_stack_lane *lane, struct task *task, size_t frame_bytes)
{
	while (!rh_frames_fit(&task->frames, frame_bytes)) {
		size_t bytes = grown(lane->stacks, task, frame_bytes);

		/* Go throws "stack overflow" here; the replay counts it and leaves
		 * the call out. */
		if (bytes > lane->stacks->max_bytes) {
			stack_add(&lane->n.overflows, 1);
			return -1;
		}
		if (rh_task_resize(lane, task, bytes) < 0)
			return -1;
		stack_add(&lane->n.grows, 1);
	}
	return 0;
}

bool rh_task_may_halve(const struct rh_stacks *stacks, const struct task *task, size_t bytes)
{
	size_t used = rh_frames_used(&task->frames);

	/* 800 of 928 bytes: what functions that are not checked may use below
	 * (_StackLimit), since 1.5. */
	if (stacks->profile->shrink_reserve)
		used += stacks->guard_bytes - NOSPLIT_MARGIN;
	/* A quarter and not a half, so that a stack does not shrink and grow by turns
	 * at one depth. */
	return bytes / 2 >= STACK_LEAST && used < bytes / 4;
}

void rh_task_shrink_gc(struct rh_stack_lane *lane, struct task *task)
{
	const struct rh_stacks *stacks = lane->stacks;
	size_t bytes = task_stack_bytes(stacks, task);

	if (!rh_task_may_halve(stacks, task, bytes))
		return;
	/* One halving a cycle, as in Go: a stack that was deep once takes several
	 * cycles to come down. A shrink that finds no memory is left for the next
	 * cycle. */
	if (rh_task_resize(lane, task, bytes / 2) == 0)
		stack_add(&lane->n.shrinks, 1);
}
