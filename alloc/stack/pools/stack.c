/*
 * stack.c - which tier serves a stack: by size alone.
 */
#include "alloc/base/debug.h"
#include "alloc/stack/pools/pools.h"

static inline bool is_small(const struct rh_stacks *stacks, size_t bytes)
{
	/* Up to 1.4 three orders: stacks of 16 KiB are large ones there. */
	return bytes < (size_t)STACK_LEAST << stacks->profile->orders;
}

static inline unsigned order_of(size_t bytes)
{
	rh_debug_assert(bytes >= STACK_LEAST && (bytes & (bytes - 1)) == 0);
	return 63u - (unsigned)__builtin_clzll(bytes) - STACK_LEAST_LOG2;
}

/* The last row counts all that is larger: the sizes are powers of two up to a maximum
 * of 1 GB, and 20 of them reach 1 GiB. */
static unsigned size_told(size_t bytes)
{
	unsigned order = order_of(bytes);

	return order < STACK_SIZES_TOLD ? order : STACK_SIZES_TOLD - 1;
}

struct free_stack *rh_stack_alloc(struct rh_stack_lane *lane, size_t bytes)
{
	struct free_stack *stack = is_small(lane->stacks, bytes)
					   ? rh_cache_alloc(lane, order_of(bytes))
					   : rh_large_stack_alloc(lane, bytes);

	if (stack)
		stack_add(&lane->sizes.made[size_told(bytes)], 1);
	return stack;
}

void rh_stack_free(struct rh_stack_lane *lane, struct free_stack *stack, size_t bytes)
{
	/* Counted where it is freed: a task may end on another lane than the one that
	 * made it, so a lane alone may have freed more than it made. */
	stack_add(&lane->sizes.freed[size_told(bytes)], 1);
	if (is_small(lane->stacks, bytes))
		rh_cache_free(lane, order_of(bytes), stack);
	else
		rh_large_stack_free(lane, stack);
}
