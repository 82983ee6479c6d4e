/*
 * large.c - stacks of 32 KiB and more: Go's stackLarge.
 *
 * Outside cycles a large stack is pages and nothing else. During a cycle those that are
 * freed are kept by size and, from 1.6 on, taken again; the end of the cycle frees them.
 */
#include "alloc/base/debug.h"
#include "alloc/stack/pools/pools.h"

const struct rh_lock_class rh_stacklarge_class = { "stackLarge", STACK_RANK_LARGE, 0 };

static unsigned list_of(uint32_t page_count)
{
	rh_debug_assert((page_count & (page_count - 1)) == 0); /* one length on a list */
	return 31u - (unsigned)__builtin_clz(page_count);
}

static struct stack_span *take_kept(struct rh_stack_lane *lane, uint32_t page_count)
{
	struct stack_list *list = &lane->stacks->large[list_of(page_count)];
	struct stack_span *span;

	rh_lock(&lane->stacks->large_lock);
	span = list->first;
	if (span)
		span_remove(list, span);
	rh_unlock(&lane->stacks->large_lock);
	rh_debug_assert(!span || (span->page_count == page_count && !span->taken));
	if (span)
		stack_add(&lane->n.large_hits, 1);
	return span;
}

struct free_stack *rh_large_stack_alloc(struct rh_stack_lane *lane, size_t bytes)
{
	uint32_t page_count = (uint32_t)(bytes / RH_STACK_PAGE);
	struct stack_span *span = NULL;
	struct free_stack *stack;

	rh_debug_assert(bytes % RH_STACK_PAGE == 0);
	stack_add(&lane->n.large_allocs, 1);
	/* Also outside of cycles, when the lists are empty: Go takes the lock here as
	 * well, and its cost is part of what is compared. */
	if (lane->stacks->profile->large == POOL_LARGE_LISTS)
		span = take_kept(lane, page_count);
	if (!span)
		span = rh_pages_take(lane, page_count);
	if (!span)
		return NULL;
	span->taken = 1;
	stack = stack_at(span->base + bytes);
	stack->span = span;
	return stack;
}

void rh_large_stack_free(struct rh_stack_lane *lane, struct free_stack *stack)
{
	struct rh_stacks *stacks = lane->stacks;
	struct stack_span *span = stack->span;

	rh_debug_assert(span->taken == 1);
	span->taken = 0;
	/* During marking a stack's pages must not become a heap span: a marker may
	 * still hold a pointer into the old stack. */
	if (!atomic_load_explicit(&stacks->gc_on, memory_order_relaxed) ||
	    stacks->profile->large == POOL_LARGE_NONE) {
		rh_pages_give(lane, span);
		return;
	}
	rh_lock(&stacks->large_lock);
	span_push(&stacks->large[list_of(span->page_count)], span);
	rh_unlock(&stacks->large_lock);
}

/* Pages are given back with the lock held, as freeStackSpans does: the page heap's
 * lock has the higher rank. */
void rh_large_stacks_trim(struct rh_stack_lane *lane)
{
	struct rh_stacks *stacks = lane->stacks;

	rh_lock(&stacks->large_lock);
	for (unsigned i = 0; i < STACK_SIZES; i++) {
		struct stack_span *span;

		while ((span = stacks->large[i].first)) {
			span_remove(&stacks->large[i], span);
			rh_pages_give(lane, span);
		}
	}
	rh_unlock(&stacks->large_lock);
}
