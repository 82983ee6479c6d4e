/*
 * pool.c - spans of 32 KiB cut into stacks of one order: Go's stackpool.
 *
 * Each order has a list of the spans that have a free stack, under its lock (profiles up
 * to 1.13: one lock for all). A span is cut from its low end, so its highest stack is
 * handed out first. Pages are taken and given with the lock held, which is why the locks
 * of pages come after it. A span that nobody uses is given back at once, but during a
 * cycle: then it stays until rh_pools_trim.
 */
#include "alloc/base/debug.h"
#include "alloc/stack/pools/pools.h"

const struct rh_lock_class rh_stackpool_class = { "stackpool", STACK_RANK_POOL, 0 };

struct rh_lock *rh_pool_lock(struct rh_stacks *stacks, unsigned order)
{
	/* stackpoolmu of Go before 1.14: spawns of different sizes waited for each
	 * other. */
	return &stacks->pool[stacks->profile->one_lock ? 0 : order].lock;
}

static struct stack_span *new_span(struct rh_stack_lane *lane, unsigned order)
{
	struct stack_span *span = rh_pages_take(lane, STACK_SPAN_PAGES);
	uintptr_t bytes = (uintptr_t)STACK_LEAST << order, end;

	rh_debug_assert(rh_lock_held(rh_pool_lock(lane->stacks, order)));
	if (!span)
		return NULL;
	span->order = (uint8_t)order;
	span->taken = 0;
	span->free = NULL;
	end = span->base + STACK_SPAN_PAGES * RH_STACK_PAGE;
	/* Writes to each stack's last 16 bytes, as Go threads its list through the
	 * stacks: up to eight pages of 4 KiB are touched for the first of them. */
	for (uintptr_t hi = span->base + bytes; hi <= end; hi += bytes) {
		struct free_stack *stack = stack_at(hi);

		stack->span = span;
		stack->next = span->free;
		span->free = stack;
	}
	span_push(&lane->stacks->pool[order].spans, span);
	return span;
}

struct free_stack *rh_pool_alloc_locked(struct rh_stack_lane *lane, unsigned order)
{
	struct stack_list *spans = &lane->stacks->pool[order].spans;
	/* The newest span first: older ones can become empty and go back. */
	struct stack_span *span = spans->first ? spans->first : new_span(lane, order);
	struct free_stack *stack;

	rh_debug_assert(rh_lock_held(rh_pool_lock(lane->stacks, order)));
	if (!span)
		return NULL;
	stack_add(&lane->n.pool_allocs, 1);
	stack = span->free;
	span->free = stack->next;
	span->taken++;
	rh_debug_assert(span->taken <= (STACK_SPAN_PAGES * RH_STACK_PAGE) / (STACK_LEAST << order));
	/* Spans without a free stack are on no list; the stack itself leads back to
	 * its span. */
	if (!span->free)
		span_remove(spans, span);
	return stack;
}

void rh_pool_free_locked(struct rh_stack_lane *lane, struct free_stack *stack)
{
	struct stack_span *span = stack->span;
	struct stack_list *spans = &lane->stacks->pool[span->order].spans;

	rh_debug_assert(rh_lock_held(rh_pool_lock(lane->stacks, span->order)) && span->taken > 0);
	stack_add(&lane->n.pool_frees, 1);
	if (!span->listed)
		span_push(spans, span);
	stack->next = span->free;
	span->free = stack;
	span->taken--;
	if (span->taken == 0 && !atomic_load_explicit(&lane->stacks->gc_on, memory_order_relaxed)) {
		span_remove(spans, span);
		rh_pages_give(lane, span);
	}
}

void rh_pools_trim(struct rh_stack_lane *lane)
{
	struct rh_stacks *stacks = lane->stacks;

	for (unsigned order = 0; order < STACK_ORDERS; order++) {
		struct rh_lock *lock = rh_pool_lock(stacks, order);
		struct stack_span *next;

		rh_lock(lock);
		for (struct stack_span *span = stacks->pool[order].spans.first; span; span = next) {
			next = span->next;
			if (span->taken)
				continue;
			span_remove(&stacks->pool[order].spans, span);
			rh_pages_give(lane, span);
		}
		rh_unlock(lock);
	}
}
