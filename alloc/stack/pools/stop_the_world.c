/*
 * stop_the_world.c - collection cycles: every lane steps aside while stacks are looked at.
 *
 * The trace says where a cycle begins and ends; the lane that does it runs these.
 *
 *   begin	stop the world; phase on: freed spans and large stacks stay; every living
 *		task is scanned, shrunk if it uses less than a quarter; dead tasks of the
 *		global list lose their stacks; start the world
 *   end	stop; the size of new stacks follows what was scanned (1.19 and later); the
 *		lanes' caches go to the pools; phase off; start; what nobody uses is freed
 *
 * With flush=lane the end of a cycle stops at "phase off": Go's Ps give their caches back
 * when each of them runs next, and a trace that knows when says so (rh_stop_the_world_flush).
 * With flush=apart what nobody uses is freed apart from that, by an end without a begin: Go's
 * thread may be kept from it for milliseconds after the world runs.
 *
 * A lane that wants to work says so with a plain store and looks whether the world is
 * being stopped. The lane that stops keeps the order of the two: membarrier(2) makes
 * every running thread of the process pass a full fence. Where the kernel has none,
 * WORLD_FENCED stands in `stopping` for good and each lane fences for itself. Spawn and
 * exit look at start_room alone, which matches no stack while the world is stopped.
 */
#include <limits.h>
#include <sched.h>

#include "alloc/base/debug.h"
#include "alloc/stack/pools/pools.h"

const struct rh_lock_class rh_stop_the_world_class = { "stackworld", STACK_RANK_WORLD, 0 };

void rh_stop_the_world_init(struct rh_stacks *stacks)
{
	/* Kernels before 4.14, and sandboxes that filter system calls. */
	bool has = rh_membarrier_ready();

	atomic_store(&stacks->stopping, has ? 0 : WORLD_FENCED);
}

uint32_t rh_stop_the_world_room(const struct rh_stacks *stacks)
{
	/* Lanes that fence for themselves always take the slow path; so does reuse=off, where no
	 * stack may be found on the list. */
	return atomic_load(&stacks->stopping) & WORLD_FENCED || !stacks->reuse
		       ? ROOM_STOPPED
		       : stacks->start_bytes - stacks->guard_bytes;
}

/* Called with lane->inside set; it is set again on return. */
__attribute__((noinline)) void rh_stack_wait_outside(struct rh_stack_lane *lane)
{
	_Atomic uint32_t *stopping = &lane->stacks->stopping;

	rh_debug_assert(atomic_load(&lane->inside));
	for (;;) {
		uint32_t state;

		/* An exchange is the fence: inside is visible before stopping is
		 * read. */
		atomic_exchange(&lane->inside, 1);
		state = atomic_load(stopping);
		if (!(state & WORLD_STOPPING))
			return;
		atomic_store_explicit(&lane->inside, 0, memory_order_release);
		rh_futex_wait_private(stopping, state, UINT64_MAX);
	}
}

/* World lock held, the caller is outside. */
static void stop(struct rh_stack_lane *lane)
{
	struct rh_stacks *stacks = lane->stacks;
	uint32_t state = atomic_fetch_or(&stacks->stopping, WORLD_STOPPING);

	rh_debug_assert(rh_lock_held(&stacks->world) && !(state & WORLD_STOPPING));
	for (struct rh_stack_lane *other = stacks->lanes; other; other = other->next)
		atomic_store(&other->start_room, ROOM_STOPPED);
	if (!(state & WORLD_FENCED))
		rh_membarrier();
	/* Operations are short, so yielding beats a futex that every operation would
	 * have to wake. */
	for (struct rh_stack_lane *other = stacks->lanes; other; other = other->next)
		while (other != lane && atomic_load(&other->inside))
			sched_yield();
}

static void start_the_world(struct rh_stacks *stacks)
{
	rh_debug_assert(rh_lock_held(&stacks->world));
	rh_debug_assert(atomic_load(&stacks->stopping) & WORLD_STOPPING);
	for (struct rh_stack_lane *lane = stacks->lanes; lane; lane = lane->next)
		atomic_store(&lane->start_room, rh_stop_the_world_room(stacks));
	/* Rooms before the flag: a lane that finds the flag down finds its room too. */
	atomic_fetch_and(&stacks->stopping, ~(uint32_t)WORLD_STOPPING);
	rh_futex_wake_private(&stacks->stopping, INT_MAX);
}

static void scan(struct rh_stack_lane *lane, struct task_chunk *chunk)
{
	struct rh_stacks *stacks = lane->stacks;

	rh_debug_assert(atomic_load(&stacks->stopping) & WORLD_STOPPING);
	for (uint32_t i = 0; i < chunk->count; i++) {
		struct task *task = &chunk->tasks[i];

		if (task->frames.tag != TASK_ALIVE)
			continue;
		stacks->scanned_bytes += rh_frames_used(&task->frames);
		stacks->scanned_stacks++;
		if (stacks->shrink_on)
			rh_task_shrink_gc(lane, task);
	}
}

void rh_stop_the_world_gc_begin(struct rh_stack_lane *lane)
{
	struct rh_stacks *stacks = lane->stacks;

	rh_lock(&stacks->world);
	stop(lane);
	/* Counted, because a trace may begin a cycle while one is open: the phase
	 * ends with the last. */
	stacks->cycles_open++;
	atomic_store_explicit(&stacks->gc_on, 1, memory_order_relaxed);
	stacks->scanned_bytes = stacks->scanned_stacks = 0;
	for (struct task_chunk *chunk = stacks->chunks; chunk; chunk = chunk->next)
		scan(lane, chunk);
	/* Since 1.7; before, tasks of the global list kept their stacks through a
	 * cycle. */
	if (stacks->profile->g_split)
		rh_tasks_free_stacks(lane);
	start_the_world(stacks);
	rh_unlock(&stacks->world);
}

/* The average in use, and room for a guard, as a power of two. */
static void adapt(struct rh_stacks *stacks)
{
	uint64_t want = STACK_LEAST, bytes = STACK_LEAST;

	rh_debug_assert(atomic_load(&stacks->stopping) & WORLD_STOPPING);
	if (stacks->scanned_stacks)
		want = stacks->scanned_bytes / stacks->scanned_stacks + stacks->guard_bytes;
	while (bytes < want && 2 * bytes <= stacks->max_bytes)
		bytes *= 2;
	stacks->start_bytes = (uint32_t)bytes;
}

static void flush_all(struct rh_stack_lane *lane)
{
	for (struct rh_stack_lane *other = lane->stacks->lanes; other; other = other->next)
		rh_cache_flush(lane, other);
}

static void trim(struct rh_stack_lane *lane)
{
	rh_pools_trim(lane);
	rh_large_stacks_trim(lane);
}

/* A trace may be cut out of the middle of a cycle: an end without a beginning is fine. */
void rh_stop_the_world_gc_end(struct rh_stack_lane *lane)
{
	struct rh_stacks *stacks = lane->stacks;
	bool last;

	rh_lock(&stacks->world);
	if (stacks->trim_apart && stacks->cycles_open == 0) {
		trim(lane);
		rh_unlock(&stacks->world);
		return;
	}
	stop(lane);
	stacks->cycles++;
	stacks->cycles_open -= stacks->cycles_open > 0;
	last = stacks->cycles_open == 0;
	if (stacks->profile->adaptive && stacks->reuse)
		adapt(stacks);
	if (stacks->flush_by_lane)
		stacks->ender = stacks->trim_apart ? NULL : lane;
	else
		flush_all(lane);
	if (last)
		atomic_store_explicit(&stacks->gc_on, 0, memory_order_relaxed);
	start_the_world(stacks);
	/* After the world runs again, as in Go (gcMarkTermination calls
	 * freeStackSpans last): spawns wait for a pool's lock at most. */
	if (last && !stacks->flush_by_lane)
		trim(lane);
	rh_unlock(&stacks->world);
}

/* The lane's caches go back, each after a cycle in its own time. The lane that ended the
 * cycle then frees what nobody uses. */
void rh_stop_the_world_flush(struct rh_stack_lane *lane)
{
	struct rh_stacks *stacks = lane->stacks;

	rh_lock(&stacks->world);
	rh_cache_flush(lane, lane);
	if (stacks->ender == lane) {
		stacks->ender = NULL;
		trim(lane);
	}
	rh_unlock(&stacks->world);
}
