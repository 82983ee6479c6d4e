/*
 * stack.c - which tier serves a stack: by size alone.
 */
#include "alloc/stack/pools/pools.h"

static inline bool is_small(const struct rh_stacks *stacks, size_t bytes)
{
	return bytes < (size_t)STACK_LEAST << stacks->profile->orders;
}

static inline unsigned order_of(size_t bytes)
{
	return 63u - (unsigned)__builtin_clzll(bytes) - STACK_LEAST_LOG2;
}

struct free_stack *rh_stack_alloc(struct rh_stack_lane *lane, size_t bytes)
{
	return is_small(lane->stacks, bytes) ? rh_cache_alloc(lane, order_of(bytes)) :
					       rh_large_stack_alloc(lane, bytes);
}

void rh_stack_free(struct rh_stack_lane *lane, struct free_stack *stack, size_t bytes)
{
	if (is_small(lane->stacks, bytes))
		rh_cache_free(lane, order_of(bytes), stack);
	else
		rh_large_stack_free(lane, stack);
}
