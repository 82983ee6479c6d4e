/*
 * stats.c - what the pools say about themselves. StackInuse is Go's figure: bytes of all
 * spans, cached or handed out.
 */
#include "alloc/stack/pools/pools.h"

#include <stdio.h>
#include <string.h>

void rh_stack_counters_add(struct stack_counters *sum, const struct stack_counters *n)
{
#define X(field, name, unit) sum->field += stack_load(&n->field);
	STACK_COUNTERS(X)
#undef X
}

void rh_stack_sizes_add(struct stack_sizes *sum, const struct stack_sizes *sizes)
{
	for (unsigned i = 0; i < STACK_SIZES_TOLD; i++) {
		sum->made[i] += stack_load(&sizes->made[i]);
		sum->freed[i] += stack_load(&sizes->freed[i]);
	}
}

/* Stacks of 2 KiB << order that left and came back to the caches and pools. */
static void emit_sizes(const struct stack_sizes *sizes, rh_stat_fn *emit, void *ctx)
{
	char name[32];

	for (unsigned i = 0; i < STACK_SIZES_TOLD; i++) {
		/* Sizes that a trace never used would be 40 rows of zeros. */
		if (!sizes->made[i])
			continue;
		snprintf(name, sizeof(name), "pools.order%u.allocs", i);
		emit(ctx, name, "count", sizes->made[i]);
		snprintf(name, sizeof(name), "pools.order%u.frees", i);
		emit(ctx, name, "count", sizes->freed[i]);
	}
}

void rh_pools_stats(struct rh_stacks *stacks, rh_stat_fn *emit, void *ctx)
{
	struct stack_counters sum;
	struct stack_sizes sizes;
	uint64_t in_use, exits;

	/* Under the lock that lanes open, close and are stopped by: no lane is
	 * counted twice, and none is missed. */
	rh_lock(&stacks->world);
	sum = stacks->retired;
	sizes = stacks->retired_sizes;
	in_use = (uint64_t)stacks->retired_in_use;
	exits = 0;
	for (struct rh_stack_lane *lane = stacks->lanes; lane; lane = lane->next) {
		rh_stack_counters_add(&sum, &lane->n);
		rh_stack_sizes_add(&sizes, &lane->sizes);
		in_use += (uint64_t)stack_load(&lane->d_in_use);
		/* The fast path of exit counts nothing: the number of exits is
		 * derived, so that a figure that few ask for costs no store in each
		 * of them. */
		exits += (uint64_t)(GFREE_KEEP - lane->gfree_room);
	}
	/* A task on a list came there by exit or by a move; it leaves by spawn or by a move. */
	exits += sum.spawns + sum.g_out - sum.g_in;
	emit(ctx, "stacks.tasks", "count", sum.spawns - exits);
	emit(ctx, "stacks.reserved", "bytes", in_use);
	emit(ctx, "stacks.task_structs", "bytes", stacks->chunk_count * TASK_CHUNK_BYTES);
	emit(ctx, "pools.StackInuse", "bytes", in_use);
	emit(ctx, "pools.start_size", "bytes", stacks->start_bytes);
	emit(ctx, "pools.cycles", "count", stacks->cycles);
	emit(ctx, "pools.exit", "count", exits);
	/* Derived for the same reason. */
	emit(ctx, "pools.g.local_hits", "count", sum.spawns - sum.g_slow);
#define X(field, name, unit) emit(ctx, "pools." name, unit, sum.field);
	STACK_COUNTERS(X)
#undef X
	emit_sizes(&sizes, emit, ctx);
	emit(ctx, "pools.pages.free", "bytes", stacks->pages.free_bytes);
	emit(ctx, "pools.pages.released", "bytes", stacks->pages.released_bytes);
	rh_unlock(&stacks->world);
}

static void emit_lock(const struct rh_lock *lock, rh_lock_fn *emit, void *ctx)
{
	struct rh_lock_stats stats;

	rh_lock_read(lock, &stats);
	emit(ctx, &stats);
}

void rh_pools_locks(struct rh_stacks *stacks, rh_lock_fn *emit, void *ctx)
{
	/* The others are never taken then, and would appear as locks without
	 * contention. */
	unsigned pools = stacks->profile->one_lock ? 1 : STACK_ORDERS;

	emit_lock(&stacks->world, emit, ctx);
	emit_lock(&stacks->gfree_lock, emit, ctx);
	emit_lock(&stacks->tasks_lock, emit, ctx);
	for (unsigned order = 0; order < pools; order++)
		emit_lock(&stacks->pool[order].lock, emit, ctx);
	emit_lock(&stacks->large_lock, emit, ctx);
	emit_lock(&stacks->pages.lock, emit, ctx);
}
