/*
 * cache.c - free stacks of a lane, by size: Go's stackcache. No lock.
 *
 * alloc: pop; empty: half of 32 KiB from the pool at once (8, 4, 2 or 1 stacks).
 * free: push; 32 KiB are there already: half of them go to the pool first. So neither a
 * run of spawns nor one of exits takes the pool's lock more than every 8 stacks.
 */
#include "alloc/base/debug.h"
#include "alloc/stack/pools/pools.h"

/* Half, so that a lane at the edge does not refill and release by turns: after
 * either, half a cache of room is left on both sides. */
enum { HALF = STACK_CACHE_BYTES / 2 };
_Static_assert((STACK_LEAST << (STACK_ORDERS - 1)) <= HALF, "a refill brings at least one");

static void refill(struct rh_stack_lane *lane, unsigned order)
{
	struct stack_cache *cache = &lane->cache[order];
	struct rh_lock *lock = rh_pool_lock(lane->stacks, order);

	rh_debug_assert(!cache->head && !cache->bytes);
	stack_add(&lane->n.cache_refills, 1);
	rh_lock(lock);
	/* By bytes and not by count, as Go does: a refill brings eight stacks of 2
	 * KiB or one of 16 KiB, the same memory. */
	while (cache->bytes < HALF) {
		struct free_stack *stack = rh_pool_alloc_locked(lane, order);

		/* What was got so far is kept; only an empty cache makes the caller
		 * fail. */
		if (!stack)
			break;
		stack->next = cache->head;
		cache->head = stack;
		cache->bytes += STACK_LEAST << order;
	}
	rh_unlock(lock);
}

static void release(struct rh_stack_lane *lane, struct stack_cache *cache, unsigned order,
		    uint32_t keep)
{
	struct rh_lock *lock = rh_pool_lock(lane->stacks, order);

	rh_debug_assert(cache->head && cache->bytes > keep);
	stack_add(&lane->n.cache_releases, 1);
	rh_lock(lock);
	/* From the head: stacks that were used last go first, which is Go's order too
	 * and decides which spans become empty. */
	while (cache->bytes > keep) {
		struct free_stack *stack = cache->head;

		cache->head = stack->next;
		cache->bytes -= STACK_LEAST << order;
		rh_pool_free_locked(lane, stack);
	}
	rh_debug_assert(!cache->bytes == !cache->head);
	rh_unlock(lock);
}

/* For threads that Go keeps off the caches (during mark termination, helpers of the
 * collector): a recorded program's stacks then come from other spans than a cache
 * would give. */
static struct free_stack *alloc_past(struct rh_stack_lane *lane, unsigned order)
{
	struct rh_lock *lock = rh_pool_lock(lane->stacks, order);
	struct free_stack *stack;

	rh_lock(lock);
	stack = rh_pool_alloc_locked(lane, order);
	rh_unlock(lock);
	return stack;
}

static void free_past(struct rh_stack_lane *lane, unsigned order, struct free_stack *stack)
{
	struct rh_lock *lock = rh_pool_lock(lane->stacks, order);

	rh_lock(lock);
	rh_pool_free_locked(lane, stack);
	rh_unlock(lock);
}

void rh_cache_switch(struct rh_stack_lane *lane, int on)
{
	lane->past_cache = !on;
}

struct free_stack *rh_cache_alloc(struct rh_stack_lane *lane, unsigned order)
{
	struct stack_cache *cache = &lane->cache[order];
	struct free_stack *stack;

	rh_debug_assert(order < STACK_ORDERS);
	if (stack_unlikely(lane->past_cache))
		return alloc_past(lane, order);
	if (stack_unlikely(!cache->head))
		refill(lane, order);
	else
		stack_add(&lane->n.cache_hits, 1);
	stack = cache->head;
	if (stack_unlikely(!stack))
		return NULL;
	cache->head = stack->next;
	cache->bytes -= STACK_LEAST << order;
	rh_debug_assert(stack->span->order == order);
	return stack;
}

void rh_cache_free(struct rh_stack_lane *lane, unsigned order, struct free_stack *stack)
{
	struct stack_cache *cache = &lane->cache[order];

	rh_debug_assert(stack->span->order == order);
	if (stack_unlikely(lane->past_cache)) {
		free_past(lane, order, stack);
		return;
	}
	/* Checked before the push, so a cache reaches 32 KiB exactly and never passes
	 * it (stack.go: stackfree). */
	if (stack_unlikely(cache->bytes >= STACK_CACHE_BYTES))
		release(lane, cache, order, HALF);
	stack->next = cache->head;
	cache->head = stack;
	cache->bytes += STACK_LEAST << order;
}

void rh_cache_flush(struct rh_stack_lane *lane, struct rh_stack_lane *of)
{
	/* An empty order would take its lock for nothing; a cycle flushes all lanes,
	 * and most have one order in use. */
	for (unsigned order = 0; order < STACK_ORDERS; order++)
		if (of->cache[order].head)
			release(lane, &of->cache[order], order, 0);
}
