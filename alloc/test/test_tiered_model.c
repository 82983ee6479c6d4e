/*
 * test_tiered_model.c - random requests against a plain record of what must hold: every
 * profile, every way of freeing, several lanes in one thread and in several, blocks freed
 * on other lanes, lanes that come and go.
 *
 * The record keeps of every live block where it is, how long, and a byte that fills it:
 * a block handed out twice, moved, cut or not zeroed shows when it is read back. The
 * structures' own validity check runs along.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "alloc/heap/tiered/collect.h"
#include "alloc/heap/tiered/lane.h"
#include "alloc/registry.h"

enum { BLOCKS = 2000, LANES = 3, THREADS = 4 };

#ifdef __SANITIZE_THREAD__ /* some 30 times slower: all of it would take 6 minutes */
enum { STEPS = 3000, THREAD_STEPS = 3500 };
#else
enum { STEPS = 12000, THREAD_STEPS = 15000 };
#endif

struct block {
	unsigned char *p;
	size_t size;
	unsigned char fill;
};

struct world {
	const struct rh_backend *ops;
	struct rh_heap *heap;
	struct rh_lane *lane[LANES];
	struct block block[BLOCKS];
	unsigned blocks;
	uint64_t seed;
};

static uint32_t draw(uint64_t *seed, uint32_t below)
{
	*seed = *seed * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)((*seed >> 33) % below);
}

static size_t some_size(uint64_t *seed)
{
	switch (draw(seed, 20)) {
	case 0:
		return draw(seed, 200000);
	case 1:
		return 32000 + draw(seed, 1600);
	case 2:
	case 3:
		return draw(seed, 9000);
	case 4:
		return 0;
	default:
		return draw(seed, 300);
	}
}

/* -1 says where it fails, for threads cannot use cmocka's asserts. */
static int bad(const char *what, const struct block *block)
{
	fprintf(stderr, "%s: block %p of %zu bytes\n", what, (void *)block->p, block->size);
	return -1;
}

static int check_fill(const struct block *block)
{
	for (size_t i = 0; i < block->size; i++) {
		if (block->p[i] != block->fill)
			return bad("contents changed", block);
	}
	return 0;
}

static int make_block(const struct rh_backend *ops, struct rh_lane *lane, struct block *block,
		      uint64_t *seed)
{
	uint32_t how = draw(seed, 10), flags = 0;
	size_t align = 0;

	block->size = some_size(seed);
	block->fill = (unsigned char)draw(seed, 256);
	if (how < 5) {
		block->p = ops->alloc(lane, block->size);
		align = block->size < 16 ? 8 : 16;
	} else {
		flags = draw(seed, 4);
		align = how == 5 ? (size_t)1 << draw(seed, 22) : how < 8 ? 8 : 0;
		if (block->size < 16 && align == 8 && flags & RH_ALLOC_NOSCAN)
			align = 0;
		block->p = ops->alloc_as(lane, block->size, align, flags);
	}
	if (!block->p)
		return bad("exhausted", block);
	if (align > 1 && (uintptr_t)block->p % align)
		return bad("misaligned", block);
	for (size_t i = 0; flags & RH_ALLOC_ZEROED && i < block->size; i++) {
		if (block->p[i])
			return bad("not zeroed", block);
	}
	memset(block->p, block->fill, block->size);
	return 0;
}

static int resize_block(const struct rh_backend *ops, struct rh_lane *lane, struct block *block,
			uint64_t *seed)
{
	size_t size = some_size(seed), kept = size < block->size ? size : block->size;
	unsigned char *p = ops->resize(lane, block->p, block->size, size);

	if (!p)
		return bad("exhausted by resize", block);
	block->p = p;
	block->size = kept;
	if (check_fill(block) < 0)
		return -1;
	block->size = size;
	memset(p, block->fill, size);
	return 0;
}

static int free_block(const struct rh_backend *ops, struct rh_lane *lane, struct block *block)
{
	if (check_fill(block) < 0)
		return -1;
	ops->free(lane, block->p, block->size);
	return 0;
}

static void open_world(struct world *world, int profile, int gc, uint64_t gogc)
{
	struct tier_knobs knobs = {
		.profile = profile, .gc = gc, .gogc = gogc, .scavenge = TIER_SCAVENGE_EAGER
	};
	struct rh_err err;

	memset(world, 0, sizeof(*world));
	world->ops = &rh_backend_tiered;
	world->seed = (uint64_t)(profile * 10 + gc + 1);
	assert_int_equal(world->ops->open(&world->heap, &knobs, NULL, &err), 0);
	for (unsigned i = 0; i < LANES; i++)
		assert_int_equal(world->ops->lane_open(world->heap, &world->lane[i], &err), 0);
}

static void check_world(struct world *world)
{
	const char *wrong = rh_tiered_check(world->heap);

	if (wrong)
		fail_msg("%s", wrong);
}

static void close_world(struct world *world)
{
	for (unsigned i = 0; i < LANES; i++)
		world->ops->lane_close(world->lane[i]);
	check_world(world);
	world->ops->close(world->heap);
}

static struct {
	uint64_t mallocs, frees, objects;
} seen;

static void note(void *ctx, const char *name, const char *unit, uint64_t value)
{
	(void)ctx;
	(void)unit;
	if (strcmp(name, "Mallocs") == 0)
		seen.mallocs = value;
	else if (strcmp(name, "Frees") == 0)
		seen.frees = value;
	else if (strcmp(name, "HeapObjects") == 0)
		seen.objects = value;
}

static void step(struct world *world, bool shrinking)
{
	struct rh_lane *lane = world->lane[draw(&world->seed, LANES)];
	uint32_t what = draw(&world->seed, 100);
	struct block *block;

	if (world->blocks && (world->blocks == BLOCKS || what < (shrinking ? 60u : 40u))) {
		block = &world->block[draw(&world->seed, world->blocks)];
		assert_int_equal(free_block(world->ops, lane, block), 0);
		*block = world->block[--world->blocks];
	} else if (world->blocks && what > 94) {
		block = &world->block[draw(&world->seed, world->blocks)];
		assert_int_equal(resize_block(world->ops, lane, block, &world->seed), 0);
	} else {
		block = &world->block[world->blocks++];
		assert_int_equal(make_block(world->ops, lane, block, &world->seed), 0);
	}
}

/* A cycle marks, and drops the lanes' tiny blocks; the next marks those; the third sweeps
 * what the second marked. */
static void collect_all(struct world *world)
{
	for (int i = 0; i < 3; i++)
		rh_gc_cycle(world->lane[1]);
}

static void walk(int profile, int gc, uint64_t gogc)
{
	static struct world world;
	struct rh_err err;

	open_world(&world, profile, gc, gogc);
	for (unsigned i = 0; i < STEPS; i++) {
		step(&world, i / (STEPS / 4) % 2);
		if (i % 1000 == 999) {
			unsigned other = draw(&world.seed, LANES);

			world.ops->lane_close(world.lane[other]);
			assert_int_equal(world.ops->lane_open(world.heap, &world.lane[other], &err),
					 0);
			world.ops->gc_begin(world.lane[0]);
			world.ops->gc_end(world.lane[0]);
			check_world(&world);
		}
	}
	world.ops->stats(world.heap, note, NULL);
	assert_int_equal(seen.mallocs - seen.frees, seen.objects);
	if (gc == TIER_GC_EXPLICIT)
		assert_int_equal(seen.objects, world.blocks);
	else
		assert_true(seen.objects + STEPS > world.blocks);
	while (world.blocks) {
		struct block *block = &world.block[--world.blocks];

		assert_int_equal(free_block(world.ops, world.lane[0], block), 0);
	}
	if (gc != TIER_GC_EXPLICIT) {
		collect_all(&world);
		world.ops->stats(world.heap, note, NULL);
		assert_int_equal(seen.objects, 0);
	}
	close_world(&world);
}

/* To the next row whose heap differs: some versions differ in nothing that is modelled. */
static int distance(int profile)
{
	struct rh_goheap mine = rh_tier_profiles[profile], next;
	int by = 1;

	for (; profile + by < TIER_PROFILE_COUNT; by++) {
		next = rh_tier_profiles[profile + by];
		next.name = mine.name;
		if (memcmp(&next, &mine, sizeof(next)) != 0)
			break;
	}
	return by;
}

static void explicit_keeps_every_block_whole(void **state)
{
	(void)state;
	for (int profile = 0; profile < TIER_PROFILE_COUNT; profile += distance(profile))
		walk(profile, TIER_GC_EXPLICIT, 100);
}

static void oracle_keeps_every_live_block_whole(void **state)
{
	(void)state;
	for (int profile = 0; profile < TIER_PROFILE_COUNT; profile += distance(profile))
		walk(profile, TIER_GC_ORACLE, 20);
}

static void recorded_keeps_every_live_block_whole(void **state)
{
	(void)state;
	for (int profile = 0; profile < TIER_PROFILE_COUNT; profile += distance(profile))
		walk(profile, TIER_GC_RECORDED, 100);
}

/* ---- threads ---- */

enum { BOX = 64 };

/* Blocks on their way to another thread. */
static struct {
	pthread_mutex_t mutex;
	struct block block[BOX];
	unsigned count;
} box = { .mutex = PTHREAD_MUTEX_INITIALIZER };

struct worker {
	struct rh_heap *heap;
	const struct rh_backend *ops;
	uint64_t seed;
	int result;
	struct block stack; /* pages taken as a stack's; p NULL = none */
};

/* Takes pages for a stack, or gives them back: nobody else may have written there. */
static int stack_step(struct worker *w, struct rh_lane *lane)
{
	struct block *stack = &w->stack;
	size_t pages = 1 + draw(&w->seed, 4);

	if (stack->p) {
		if (check_fill(stack) < 0)
			return -1;
		w->ops->stack_pages_free(lane, stack->p, stack->size >> TIER_PAGE_SHIFT);
		stack->p = NULL;
		return 0;
	}
	stack->size = pages << TIER_PAGE_SHIFT;
	stack->fill = (unsigned char)draw(&w->seed, 256);
	stack->p = w->ops->stack_pages(lane, pages);
	if (!stack->p)
		return bad("no pages for a stack", stack);
	memset(stack->p, stack->fill, stack->size);
	return 0;
}

static bool send_block(const struct block *block)
{
	bool sent = false;

	pthread_mutex_lock(&box.mutex);
	if (box.count < BOX) {
		box.block[box.count++] = *block;
		sent = true;
	}
	pthread_mutex_unlock(&box.mutex);
	return sent;
}

static bool receive_block(struct block *block)
{
	bool got = false;

	pthread_mutex_lock(&box.mutex);
	if (box.count) {
		*block = box.block[--box.count];
		got = true;
	}
	pthread_mutex_unlock(&box.mutex);
	return got;
}

/* One thread's step; blocks of its own in mine[0..*count). */
static int thread_step(struct worker *w, struct rh_lane *lane, struct block *mine, unsigned *count,
		       unsigned max)
{
	struct block block;

	switch (draw(&w->seed, 7)) {
	case 6:
		return stack_step(w, lane);
	case 0:
		if (*count && send_block(&mine[*count - 1]))
			--*count;
		return 0;
	case 1:
		if (!receive_block(&block))
			return 0;
		return free_block(w->ops, lane, &block);
	case 2:
	case 3:
		if (!*count)
			return 0;
		block = mine[--*count];
		return free_block(w->ops, lane, &block);
	default:
		if (*count == max)
			return 0;
		return make_block(w->ops, lane, &mine[(*count)++], &w->seed);
	}
}

static int work(struct worker *w, struct rh_lane **lane)
{
	struct block mine[100];
	unsigned count = 0;
	struct rh_err err;

	for (unsigned i = 0; i < THREAD_STEPS; i++) {
		if (thread_step(w, *lane, mine, &count, 100) < 0)
			return -1;
		if (i % 3000 == 2999) {
			w->ops->lane_close(*lane);
			if (w->ops->lane_open(w->heap, lane, &err) < 0)
				return -1;
			w->ops->gc_end(*lane);
		}
	}
	while (count) {
		if (free_block(w->ops, *lane, &mine[--count]) < 0)
			return -1;
	}
	return w->stack.p ? stack_step(w, *lane) : 0;
}

static void *run_worker(void *arg)
{
	struct worker *w = arg;
	struct rh_lane *lane;
	struct rh_err err;

	w->result = -1;
	if (w->ops->lane_open(w->heap, &lane, &err) < 0)
		return NULL;
	w->result = work(w, &lane);
	w->ops->lane_close(lane);
	return NULL;
}

static void run_threads(int profile, int gc)
{
	static struct world world;
	struct worker worker[THREADS];
	pthread_t thread[THREADS];
	struct block block;

	open_world(&world, profile, gc, 20);
	for (unsigned i = 0; i < THREADS; i++) {
		worker[i] = (struct worker){ world.heap, world.ops, 100 + i, 0, { 0 } };
		assert_int_equal(pthread_create(&thread[i], NULL, run_worker, &worker[i]), 0);
	}
	for (unsigned i = 0; i < THREADS; i++) {
		pthread_join(thread[i], NULL);
		assert_int_equal(worker[i].result, 0);
	}
	while (receive_block(&block))
		assert_int_equal(free_block(world.ops, world.lane[0], &block), 0);
	check_world(&world);
	if (gc != TIER_GC_EXPLICIT)
		collect_all(&world);
	world.ops->stats(world.heap, note, NULL);
	assert_int_equal(seen.objects, 0);
	close_world(&world);
}

static void threads_share_an_explicit_heap(void **state)
{
	(void)state;
	for (int profile = 0; profile < TIER_PROFILE_COUNT; profile += distance(profile))
		run_threads(profile, TIER_GC_EXPLICIT);
}

static void threads_share_an_oracle_heap(void **state)
{
	(void)state;
	for (int profile = 0; profile < TIER_PROFILE_COUNT; profile += distance(profile))
		run_threads(profile, TIER_GC_ORACLE);
}

static void threads_share_a_recorded_heap(void **state)
{
	(void)state;
	for (int profile = 0; profile < TIER_PROFILE_COUNT; profile += distance(profile))
		run_threads(profile, TIER_GC_RECORDED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(explicit_keeps_every_block_whole),
		cmocka_unit_test(oracle_keeps_every_live_block_whole),
		cmocka_unit_test(recorded_keeps_every_live_block_whole),
		cmocka_unit_test(threads_share_an_explicit_heap),
		cmocka_unit_test(threads_share_an_oracle_heap),
		cmocka_unit_test(threads_share_a_recorded_heap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
