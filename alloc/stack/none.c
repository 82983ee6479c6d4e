/*
 * none.c - no stacks: tasks cost nothing, their events are counted and done.
 *
 * The pair of a heap when the question is about the heap alone. Lanes count for
 * themselves and hand their counts to the whole when they close.
 */
#include <stdatomic.h>

#include "alloc/registry.h"

enum { SPAWN, EXIT, CALL, RET, GROW, SHRINK, COUNTS };

static const char *const count_names[COUNTS] = { "none.spawn",	"none.exit", "none.call",
						 "none.return", "none.grow", "none.shrink" };

struct rh_stacks {
	_Atomic uint64_t count[COUNTS];
};

/* Counts of its own, because a counter that lanes share would cost a cache miss an
 * event in a backend that shall cost nothing. */
struct rh_stack_lane {
	struct rh_stacks *stacks;
	uint64_t count[COUNTS];
};

static int none_open(struct rh_stacks **stacks, const void *knobs,
		     const struct rh_backend *heap_ops, struct rh_heap *heap, struct rh_err *err)
{
	(void)knobs;
	(void)heap_ops;
	(void)heap;
	*stacks = rh_map(sizeof(**stacks));
	return *stacks ? 0 : rh_fail(err, RH_OS, "none: no memory for the counts");
}

static void none_close(struct rh_stacks *stacks)
{
	rh_unmap(stacks, sizeof(*stacks));
}

static int none_lane_open(struct rh_stacks *stacks, struct rh_lane *heap_lane,
			  struct rh_stack_lane **lane, struct rh_err *err)
{
	(void)heap_lane;
	*lane = rh_map(sizeof(**lane));
	if (!*lane)
		return rh_fail(err, RH_OS, "none: no memory for a lane");
	(*lane)->stacks = stacks;
	return 0;
}

/* Added up once for each lane, where the cost of an atomic addition does not matter. */
static void none_lane_close(struct rh_stack_lane *lane)
{
	for (int i = 0; i < COUNTS; i++)
		atomic_fetch_add(&lane->stacks->count[i], lane->count[i]);
	rh_unmap(lane, sizeof(*lane));
}

/* Any handle will do that is not NULL. */
static void *none_spawn(struct rh_stack_lane *lane, size_t stack_bytes)
{
	(void)stack_bytes;
	lane->count[SPAWN]++;
	return lane->stacks;
}

static void none_exit(struct rh_stack_lane *lane, void *task)
{
	(void)task;
	lane->count[EXIT]++;
}

static int none_call(struct rh_stack_lane *lane, void *task, size_t frame_bytes)
{
	(void)task;
	(void)frame_bytes;
	lane->count[CALL]++;
	return 0;
}

static void none_ret(struct rh_stack_lane *lane, void *task, size_t frame_bytes)
{
	(void)task;
	(void)frame_bytes;
	lane->count[RET]++;
}

static int none_grow(struct rh_stack_lane *lane, void *task, size_t stack_bytes, size_t used_bytes)
{
	(void)task;
	(void)stack_bytes;
	(void)used_bytes;
	/* 0, as if it grew: a question about the heap alone has no refused stacks. */
	lane->count[GROW]++;
	return 0;
}

static int none_shrink(struct rh_stack_lane *lane, void *task, size_t stack_bytes)
{
	(void)task;
	(void)stack_bytes;
	lane->count[SHRINK]++;
	return 0;
}

/* Of closed lanes: an open one is still counting. */
static void none_stats(struct rh_stacks *stacks, rh_stat_fn *emit, void *ctx)
{
	for (int i = 0; i < COUNTS; i++)
		emit(ctx, count_names[i], "count", stacks->count[i]);
}

const struct rh_stack_backend rh_stack_backend_none = {
	.abi = RH_BACKEND_ABI,
	.name = "none",
	.summary = "no stacks: task events are counted and cost nothing",
	.open = none_open,
	.close = none_close,
	.lane_open = none_lane_open,
	.lane_close = none_lane_close,
	.spawn = none_spawn,
	.exit = none_exit,
	.call = none_call,
	.ret = none_ret,
	.grow = none_grow,
	.shrink = none_shrink,
	.stats = none_stats,
};
