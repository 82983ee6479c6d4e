/*
 * test_stack_pools.c - the tiers of the stack pools by their numbers: what is taken from
 * where, in which order, when it goes back, and how a stack grows and shrinks by version.
 * Numbers are Go's: sizes, batches, thresholds, and the golden bytes of 1000 parked tasks.
 */
#include "alloc/test/stack_support.h"

#include "alloc/stack/pools/pools.h"

enum { SPAN = 32768 };

static size_t size_of(struct stack_fixture *fixture, const struct task *task)
{
	return task_stack_bytes(fixture->stacks, task);
}

static void call_ok(struct stack_fixture *fixture, void *task, size_t bytes)
{
	assert_int_equal(fixture->ops->call(fixture->lane[0], task, bytes), 0);
}

static void cycle(struct stack_fixture *fixture, unsigned lane)
{
	fixture->ops->gc_begin(fixture->lane[lane]);
	fixture->ops->gc_end(fixture->lane[lane]);
}

/* ---- golden ---- */

static void parked_tasks_cost_what_go_says(void **state)
{
	static const char *const specs[] = { "libc/pools", "tiered/pools",
					     "libc/pools:profile=1.22",
					     "tiered:profile=1.22/pools:profile=1.22",
					     "tiered:profile=1.10/pools:profile=1.13" };
	static void *parked[1001];

	(void)state;
	for (size_t s = 0; s < sizeof(specs) / sizeof(specs[0]); s++) {
		bool tiered = strncmp(specs[s], "tiered", 6) == 0;
		uint64_t before, heap_before = 0;
		struct stack_fixture fixture;

		stack_open(&fixture, specs[s], 1);
		parked[1000] = stack_spawn(&fixture, 0); /* who spawns the others */
		before = stack_stat(&fixture, "pools.StackInuse");
		if (tiered)
			heap_before = stack_heap_stat(&fixture, "StackInuse");
		for (int i = 0; i < 1000; i++)
			parked[i] = stack_spawn(&fixture, 0);
		assert_int_equal(stack_stat(&fixture, "pools.StackInuse") - before, 2031616);
		if (tiered)
			assert_int_equal(stack_heap_stat(&fixture, "StackInuse") - heap_before,
					 2031616);
		assert_int_equal(stack_stat(&fixture, "stacks.tasks"), 1001);
		for (int i = 0; i < 1001; i++)
			fixture.ops->exit(fixture.lane[0], parked[i]);
		assert_int_equal(stack_stat(&fixture, "stacks.tasks"), 0);
		stack_close(&fixture);
	}
}

/* ---- stackcache and stackpool ---- */

static void small_stacks_come_in_halves_highest_first(void **state)
{
	struct task *tasks[17];
	struct stack_fixture fixture;

	(void)state;
	stack_open(&fixture, "libc/pools", 1);
	for (int i = 0; i < 17; i++)
		tasks[i] = stack_spawn(&fixture, 0);
	/* The first span's upper half, lowest of it first; then its lower half; then another. */
	for (int i = 1; i < 16; i++)
		assert_int_equal(tasks[i]->frames.hi - tasks[0]->frames.hi,
				 i < 8 ? i * 2048 : (i - 16) * 2048);
	assert_ptr_equal(tasks[15]->span, tasks[0]->span);
	assert_ptr_not_equal(tasks[16]->span, tasks[0]->span);
	assert_int_equal(tasks[7]->frames.hi, tasks[0]->span->base + SPAN);
	/* 3 refills of 2 KiB stacks, and one for the lane's own scheduler stack. */
	assert_int_equal(stack_stat(&fixture, "pools.stackcache.refills"), 4);
	assert_int_equal(stack_stat(&fixture, "pools.stackpool.allocs"), 3 * 8 + 2);
	stack_close(&fixture);
}

static void cache_releases_half_when_full(void **state)
{
	struct stack_cache *cache;
	struct free_stack *stacks[64];
	struct stack_fixture fixture;

	(void)state;
	stack_open(&fixture, "libc/pools", 1);
	cache = &fixture.lane[0]->cache[1];
	for (int i = 0; i < 64; i++)
		assert_non_null(stacks[i] = rh_stack_alloc(fixture.lane[0], 4096));
	assert_int_equal(cache->bytes, 0);
	for (int i = 0; i < 8; i++)
		rh_stack_free(fixture.lane[0], stacks[i], 4096);
	assert_int_equal(cache->bytes, STACK_CACHE_BYTES);
	assert_int_equal(stack_stat(&fixture, "pools.stackcache.releases"), 0);
	rh_stack_free(fixture.lane[0], stacks[8], 4096);
	assert_int_equal(cache->bytes, STACK_CACHE_BYTES / 2 + 4096);
	assert_int_equal(stack_stat(&fixture, "pools.stackcache.releases"), 1);
	for (int i = 9; i < 64; i++)
		rh_stack_free(fixture.lane[0], stacks[i], 4096);
	rh_cache_flush(fixture.lane[0], fixture.lane[0]);
	/* Nobody has any: every span went back, but those of the lane's own two stacks. */
	assert_null(fixture.stacks->pool[1].spans.first);
	assert_int_equal(stack_stat(&fixture, "pools.StackInuse"), 2 * SPAN);
	stack_close(&fixture);
}

static void one_lock_or_one_each(void **state)
{
	struct stack_fixture fixture;

	(void)state;
	stack_open(&fixture, "libc/pools:profile=1.13", 1);
	assert_ptr_equal(rh_pool_lock(fixture.stacks, 0), rh_pool_lock(fixture.stacks, 3));
	stack_close(&fixture);
	stack_open(&fixture, "libc/pools:profile=1.14", 1);
	assert_ptr_not_equal(rh_pool_lock(fixture.stacks, 0), rh_pool_lock(fixture.stacks, 3));
	stack_close(&fixture);
}

/* ---- dead tasks ---- */

static void dead_tasks_move_in_batches(void **state)
{
	struct task *tasks[100], *again;
	struct stack_fixture fixture;

	(void)state;
	stack_open(&fixture, "libc/pools", 2);
	for (int i = 0; i < 100; i++)
		tasks[i] = stack_spawn(&fixture, 0);
	for (int i = 0; i < 63; i++)
		fixture.ops->exit(fixture.lane[0], tasks[i]);
	assert_int_equal(fixture.stacks->gfree_count, 0);
	fixture.ops->exit(fixture.lane[0], tasks[63]);
	assert_int_equal(fixture.stacks->gfree_count, 33);
	assert_int_equal(fixture.lane[0]->gfree_room, GFREE_KEEP - 31);
	/* Another lane takes 32 of them, with their stacks: no pool is asked. */
	again = stack_spawn(&fixture, 1);
	assert_int_equal(fixture.stacks->gfree_count, 1);
	assert_int_equal(stack_stat(&fixture, "pools.g.made"), 100);
	fixture.ops->exit(fixture.lane[1], again);
	/* The last to die is the first to be used again, on the same stack. */
	fixture.ops->exit(fixture.lane[0], tasks[99]);
	assert_ptr_equal(stack_spawn(&fixture, 0), tasks[99]);
	assert_int_equal(stack_stat(&fixture, "stacks.tasks"), 36);
	stack_close(&fixture);
}

static void a_grown_stack_is_freed_at_exit(void **state)
{
	struct task *task;
	struct stack_fixture fixture;

	(void)state;
	stack_open(&fixture, "libc/pools", 1);
	task = stack_spawn(&fixture, 0);
	call_ok(&fixture, task, 3000);
	assert_int_equal(size_of(&fixture, task), 4096);
	fixture.ops->exit(fixture.lane[0], task);
	assert_int_equal(task->frames.hi, 0);
	assert_ptr_equal(stack_spawn(&fixture, 0), task);
	assert_int_equal(size_of(&fixture, task), 2048);
	stack_close(&fixture);
}

/* ---- growth ---- */

static void recursion_doubles_and_pointers_follow(void **state)
{
	struct task *task;
	struct stack_fixture fixture;
	uint64_t depth = 0;

	(void)state;
	stack_open(&fixture, "tiered/pools", 1);
	task = stack_spawn(&fixture, 0);
	for (size_t bytes = 2048; bytes <= 1 << 20; bytes *= 2) {
		/* Frames of 128 bytes: one may start while sp is above the guard. */
		while (rh_frames_used(&task->frames) < bytes - 928) {
			assert_int_equal(size_of(&fixture, task), bytes);
			call_ok(&fixture, task, 128);
			depth++;
		}
		stack_verify(&fixture, 0, task);
		call_ok(&fixture, task, 128);
		depth++;
		stack_verify(&fixture, 0, task);
		assert_int_equal(size_of(&fixture, task), 2 * bytes);
	}
	assert_int_equal(stack_stat(&fixture, "pools.grows"), 10);
	assert_int_equal(task->frames.depth, depth);
	while (depth-- > 0) {
		fixture.ops->ret(fixture.lane[0], task, 128);
		if (depth % 64 == 0)
			stack_verify(&fixture, 0, task);
	}
	assert_int_equal(rh_frames_used(&task->frames), RH_FRAME_HEAD);
	fixture.ops->ret(fixture.lane[0], task, 128);
	assert_int_equal(stack_stat(&fixture, "pools.returns_without_call"), 1);
	stack_close(&fixture);
}

/* 5000 bytes on a stack of 2048: two copies up to 1.14, then one. */
static void large_frames_grow_by_version(void **state)
{
	static const struct {
		const char *spec;
		uint64_t grows;
		size_t bytes;
	} cases[] = {
		{ "libc/pools:profile=1.14", 2, 8192 },
		{ "libc/pools:profile=1.15", 1, 8192 },
		{ "libc/pools:profile=1.17", 1, 8192 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct task *task;
		struct stack_fixture fixture;

		stack_open(&fixture, cases[i].spec, 1);
		task = stack_spawn(&fixture, 0);
		call_ok(&fixture, task, 64);
		call_ok(&fixture, task, 5000);
		stack_verify(&fixture, 0, task);
		assert_int_equal(size_of(&fixture, task), cases[i].bytes);
		assert_int_equal(stack_stat(&fixture, "pools.grows"), cases[i].grows);
		stack_close(&fixture);
	}
}

static void guards_by_version(void **state)
{
	static const struct {
		const char *spec;
		uint32_t guard;
	} cases[] = {
		{ "libc/pools:profile=1.4", 512 },  { "libc/pools:profile=1.5", 640 },
		{ "libc/pools:profile=1.8", 880 },  { "libc/pools:profile=1.13", 880 },
		{ "libc/pools:profile=1.14", 896 }, { "libc/pools:profile=1.26", 928 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct task *task;
		struct stack_fixture fixture;
		unsigned frames = 0;

		stack_open(&fixture, cases[i].spec, 1);
		task = stack_spawn(&fixture, 0);
		for (; size_of(&fixture, task) == 2048; frames++)
			call_ok(&fixture, task, 16);
		/* One starts wherever sp is above the guard; the first frame takes 16. */
		assert_int_equal(frames, (2048 - cases[i].guard - 16 + 15) / 16 + 1);
		stack_close(&fixture);
	}
}

static void overflow_is_refused_and_harmless(void **state)
{
	struct task *task, *other;
	struct stack_fixture fixture;

	(void)state;
	stack_open(&fixture, "libc/pools:max=65536", 1);
	task = stack_spawn(&fixture, 0);
	while (fixture.ops->call(fixture.lane[0], task, 512) == 0)
		continue;
	assert_int_equal(size_of(&fixture, task), 65536);
	assert_int_equal(fixture.ops->call(fixture.lane[0], task, (size_t)1 << 40), -1);
	assert_int_equal(stack_stat(&fixture, "pools.overflows"), 2);
	stack_verify(&fixture, 0, task);
	assert_null(fixture.ops->spawn(fixture.lane[0], 1 << 20));
	other = stack_spawn(&fixture, 0);
	fixture.ops->exit(fixture.lane[0], other);
	fixture.ops->ret(fixture.lane[0], task, 512);
	call_ok(&fixture, task, 512);
	fixture.ops->exit(fixture.lane[0], task);
	stack_close(&fixture);
}

/* ---- cycles ---- */

static void shrinks_by_half_each_cycle(void **state)
{
	struct task *task;
	struct stack_fixture fixture;

	(void)state;
	stack_open(&fixture, "tiered/pools", 2);
	task = stack_spawn(&fixture, 0);
	call_ok(&fixture, task, 60000);
	fixture.ops->ret(fixture.lane[0], task, 60000);
	assert_int_equal(size_of(&fixture, task), 65536);
	/* 16 in use and the reserve of 800 are less than a quarter of 4096, not of 2048. */
	for (size_t bytes = 32768; bytes >= 2048; bytes /= 2) {
		cycle(&fixture, 1);
		assert_int_equal(size_of(&fixture, task), bytes);
		stack_verify(&fixture, 0, task);
	}
	cycle(&fixture, 1);
	assert_int_equal(size_of(&fixture, task), 2048);
	assert_int_equal(stack_stat(&fixture, "pools.shrinks"), 5);
	stack_close(&fixture);
}

/* As imported Go traces have it: how large a stack became, how much of it was in use then, and
 * that it was halved later, which needs less than a quarter in use. */
static void a_recorded_growth_uses_what_was_in_use(void **state)
{
	static const char *const specs[] = { "tiered/pools", "tiered/segmented" };

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct stack_fixture fixture;
		void *task;

		stack_open(&fixture, specs[i], 1);
		task = stack_spawn(&fixture, 0);
		for (size_t bytes = 4096; bytes <= 65536; bytes *= 2)
			assert_int_equal(
				fixture.ops->grow(fixture.lane[0], task, bytes, bytes / 2 - 928),
				0);
		stack_verify(&fixture, 0, task);
		if (i == 0) /* all that was in use, at most a frame of 256 less each time */
			assert_in_range(stack_stat(&fixture, "pools.copy.bytes"),
					63488 - 5 * (928 + 256), 63488 - 5 * 928);
		else
			assert_in_range(stack_stat(&fixture, "segmented.morestack"), 3, 7);
		for (size_t bytes = 32768; bytes >= 8192; bytes /= 2)
			assert_int_equal(fixture.ops->shrink(fixture.lane[0], task, bytes), 0);
		stack_verify(&fixture, 0, task);
		if (i == 0)
			assert_in_range(stack_stat(&fixture, "pools.copy.bytes"),
					63488 - 5 * (928 + 256),
					63488 - 5 * 928 + 16384 + 8192 + 4096);
		else
			assert_int_equal(stack_stat(&fixture, "segmented.morestack"),
					 stack_stat(&fixture, "segmented.lessstack"));
		fixture.ops->exit(fixture.lane[0], task);
		stack_close(&fixture);
	}
}

static void the_nosplit_reserve_counts_from_1_5(void **state)
{
	static const char *const specs[] = { "libc/pools:profile=1.4", "libc/pools:profile=1.17" };

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct task *task;
		struct stack_fixture fixture;

		stack_open(&fixture, specs[i], 1);
		task = stack_spawn(&fixture, 0);
		call_ok(&fixture, task, 3000);
		fixture.ops->ret(fixture.lane[0], task, 3000);
		call_ok(&fixture, task, 400);
		assert_int_equal(size_of(&fixture, task), 4096);
		cycle(&fixture, 0);
		assert_int_equal(size_of(&fixture, task), i == 0 ? 2048 : 4096);
		stack_close(&fixture);
	}
}

static void large_stacks_are_kept_during_cycles_only(void **state)
{
	struct free_stack *stack;
	uint64_t before;
	struct stack_fixture fixture;

	(void)state;
	stack_open(&fixture, "tiered/pools", 1);
	before = stack_stat(&fixture, "pools.StackInuse");
	stack = rh_stack_alloc(fixture.lane[0], 65536);
	rh_stack_free(fixture.lane[0], stack, 65536);
	assert_int_equal(stack_stat(&fixture, "pools.StackInuse"), before);
	fixture.ops->gc_begin(fixture.lane[0]);
	stack = rh_stack_alloc(fixture.lane[0], 65536);
	rh_stack_free(fixture.lane[0], stack, 65536);
	assert_int_equal(stack_stat(&fixture, "pools.StackInuse"), before + 65536);
	assert_ptr_equal(rh_stack_alloc(fixture.lane[0], 65536), stack);
	assert_int_equal(stack_stat(&fixture, "pools.stackLarge.hits"), 1);
	rh_stack_free(fixture.lane[0], stack, 65536);
	fixture.ops->gc_end(fixture.lane[0]);
	assert_int_equal(stack_stat(&fixture, "pools.StackInuse"), before);
	stack_close(&fixture);
}

static void cycles_free_the_stacks_of_the_global_list(void **state)
{
	void *tasks[200];
	struct stack_fixture fixture;

	(void)state;
	stack_open(&fixture, "tiered/pools", 1);
	for (int i = 0; i < 200; i++)
		tasks[i] = stack_spawn(&fixture, 0);
	for (int i = 0; i < 200; i++)
		fixture.ops->exit(fixture.lane[0], tasks[i]);
	fixture.ops->gc_begin(fixture.lane[0]);
	assert_null(fixture.stacks->gfree_stack);
	assert_non_null(fixture.stacks->gfree_bare);
	/* Phase on: spans without a stack handed out stay. */
	assert_true(stack_stat(&fixture, "pools.StackInuse") >= 13 * SPAN);
	fixture.ops->gc_end(fixture.lane[0]);
	/* What is left: the local list's stacks, and the lane's own two. */
	assert_true(stack_stat(&fixture, "pools.StackInuse") <= 6 * SPAN);
	for (int i = 0; i < 200; i++)
		stack_verify(&fixture, 0, tasks[i] = stack_spawn(&fixture, 0));
	assert_int_equal(stack_stat(&fixture, "pools.g.made"), 200);
	stack_close(&fixture);
}

static void start_size_follows_what_is_used(void **state)
{
	static const char *const specs[] = { "libc/pools:profile=1.17", "libc/pools:profile=1.19" };

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct task *tasks[10], *next;
		struct stack_fixture fixture;

		stack_open(&fixture, specs[i], 1);
		for (int t = 0; t < 10; t++) {
			tasks[t] = stack_spawn(&fixture, 0);
			call_ok(&fixture, tasks[t], 5000);
		}
		cycle(&fixture, 0);
		/* 5024 on average and 928 more: 8 KiB. */
		assert_int_equal(stack_stat(&fixture, "pools.start_size"), i == 0 ? 2048 : 8192);
		fixture.ops->exit(fixture.lane[0], tasks[0]);
		next = stack_spawn(&fixture, 0);
		assert_ptr_equal(next, tasks[0]);
		assert_int_equal(size_of(&fixture, next), i == 0 ? 2048 : 8192);
		/* A task never seen before starts small all the same. */
		next = stack_spawn(&fixture, 0);
		assert_int_equal(size_of(&fixture, next), 2048);
		stack_close(&fixture);
	}
}

/* reuse=off: spawn makes a stack of exactly that size, and exit frees it; the sizes identify them.
 */
static void one_task_is_one_stack_if_asked(void **state)
{
	struct stack_fixture fixture;

	(void)state;
	stack_open(&fixture, "libc/pools:reuse=off:threads=off", 1);
	assert_int_equal(stack_stat(&fixture, "pools.StackInuse"), 0);
	for (int i = 0; i < 10; i++) {
		void *small = stack_spawn(&fixture, 0), *large;

		large = fixture.ops->spawn(fixture.lane[0], 65536);
		assert_non_null(large);
		assert_int_equal(size_of(&fixture, small), 2048);
		assert_int_equal(size_of(&fixture, large), 65536);
		assert_int_equal(stack_stat(&fixture, "pools.StackInuse"), SPAN + 65536);
		fixture.ops->exit(fixture.lane[0], small);
		fixture.ops->exit(fixture.lane[0], large);
		assert_int_equal(stack_stat(&fixture, "pools.StackInuse"), SPAN);
	}
	assert_int_equal(stack_stat(&fixture, "pools.order0.allocs"), 10);
	assert_int_equal(stack_stat(&fixture, "pools.order0.frees"), 10);
	assert_int_equal(stack_stat(&fixture, "pools.order5.allocs"), 10);
	assert_int_equal(stack_stat(&fixture, "pools.order5.frees"), 10);
	fixture.ops->lane_flush(fixture.lane[0]);
	assert_int_equal(stack_stat(&fixture, "pools.StackInuse"), 0);
	stack_close(&fixture);
}

/* flush=lane: the end of a cycle leaves caches alone; each is flushed on request, and the lane that
 * ended the cycle then frees spans that stayed empty during it. */
static void lanes_flush_one_by_one_if_asked(void **state)
{
	struct stack_fixture fixture;
	void *task[2], *large;

	(void)state;
	stack_open(&fixture, "libc/pools:reuse=off:threads=off:shrink=off:flush=lane", 2);
	for (unsigned i = 0; i < 2; i++)
		task[i] = fixture.ops->spawn(fixture.lane[i], 16384);
	large = fixture.ops->spawn(fixture.lane[0], 32768);
	assert_int_equal(stack_stat(&fixture, "pools.StackInuse"), 2 * SPAN);
	fixture.ops->gc_begin(fixture.lane[0]);
	fixture.ops->exit(fixture.lane[0], task[0]);
	fixture.ops->exit(fixture.lane[0], large);
	fixture.ops->exit(fixture.lane[1], task[1]);
	fixture.ops->gc_end(fixture.lane[0]);
	assert_int_equal(stack_stat(&fixture, "pools.StackInuse"), 2 * SPAN);
	fixture.ops->lane_flush(fixture.lane[1]);
	assert_int_equal(stack_stat(&fixture, "pools.StackInuse"), 2 * SPAN);
	fixture.ops->lane_flush(fixture.lane[0]);
	assert_int_equal(stack_stat(&fixture, "pools.StackInuse"), 0);
	stack_close(&fixture);
}

/* flush=apart: no flush frees spans that stayed empty during a cycle, whoever ended it; stacks may
 * still be taken from them until one more end of a cycle comes. */
static void empty_spans_are_freed_apart_if_asked(void **state)
{
	struct stack_fixture fixture;
	void *task[2], *large;

	(void)state;
	stack_open(&fixture, "libc/pools:reuse=off:threads=off:shrink=off:flush=apart", 2);
	for (unsigned i = 0; i < 2; i++)
		task[i] = fixture.ops->spawn(fixture.lane[i], 16384);
	large = fixture.ops->spawn(fixture.lane[0], 32768);
	fixture.ops->gc_begin(fixture.lane[0]);
	fixture.ops->exit(fixture.lane[0], task[0]);
	fixture.ops->exit(fixture.lane[0], large);
	fixture.ops->lane_flush(fixture.lane[0]);
	fixture.ops->gc_end(fixture.lane[0]);
	fixture.ops->lane_flush(fixture.lane[0]);
	assert_int_equal(stack_stat(&fixture, "pools.StackInuse"), 2 * SPAN);
	task[0] = fixture.ops->spawn(fixture.lane[0], 16384);
	assert_int_equal(stack_stat(&fixture, "pools.StackInuse"), 2 * SPAN);
	fixture.ops->gc_end(fixture.lane[1]);
	assert_int_equal(stack_stat(&fixture, "pools.StackInuse"), SPAN);
	fixture.ops->exit(fixture.lane[0], task[0]);
	fixture.ops->exit(fixture.lane[1], task[1]);
	for (unsigned i = 0; i < 2; i++)
		fixture.ops->lane_flush(fixture.lane[i]);
	assert_int_equal(stack_stat(&fixture, "pools.StackInuse"), 0);
	stack_close(&fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parked_tasks_cost_what_go_says),
		cmocka_unit_test(small_stacks_come_in_halves_highest_first),
		cmocka_unit_test(cache_releases_half_when_full),
		cmocka_unit_test(one_lock_or_one_each),
		cmocka_unit_test(dead_tasks_move_in_batches),
		cmocka_unit_test(a_grown_stack_is_freed_at_exit),
		cmocka_unit_test(recursion_doubles_and_pointers_follow),
		cmocka_unit_test(large_frames_grow_by_version),
		cmocka_unit_test(guards_by_version),
		cmocka_unit_test(overflow_is_refused_and_harmless),
		cmocka_unit_test(shrinks_by_half_each_cycle),
		cmocka_unit_test(a_recorded_growth_uses_what_was_in_use),
		cmocka_unit_test(the_nosplit_reserve_counts_from_1_5),
		cmocka_unit_test(large_stacks_are_kept_during_cycles_only),
		cmocka_unit_test(cycles_free_the_stacks_of_the_global_list),
		cmocka_unit_test(start_size_follows_what_is_used),
		cmocka_unit_test(one_task_is_one_stack_if_asked),
		cmocka_unit_test(lanes_flush_one_by_one_if_asked),
		cmocka_unit_test(empty_spans_are_freed_apart_if_asked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
