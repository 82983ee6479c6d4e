/*
 * test_stack_model.c - every stack backend against a model: tasks spawned, called, returned
 * from, moved between lanes, resized and ended at random, cycles in between, and every
 * stack proven after. Then what must hold whatever happens: stacks of living tasks never
 * overlap, damage is found, memory that runs out is refused and comes back, and many lanes
 * work at once while cycles move their stacks.
 */
#include "alloc/test/stack_support.h"

#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "alloc/stack/pools/pools.h"

enum { TASKS = 200, STEPS = 30000, LANES = 4, ROUNDS = 4000, FRAMES_MAX = 400 };

static const char *const specs[] = {
	"libc/pools",
	"tiered/pools",
	"libc/pools:profile=1.4",
	"tiered/pools:profile=1.13",
	"tiered:profile=1.26/pools:profile=1.26",
	"libc/segmented",
	"tiered/segmented:profile=1.1",
	"tiered/segmented:profile=1.3",
	"libc/thread",
	"libc/thread:size=1M:cache=0:guard=0",
	"libc/heap",
	"tiered/heap",
};
enum { SPECS = sizeof(specs) / sizeof(specs[0]) };

struct model {
	void *task;
	uint32_t depth;
	uint32_t frame[FRAMES_MAX];
};

static uint32_t draw(uint64_t *state, uint32_t bound)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)((*state >> 33) * bound >> 31);
}

static void step(struct stack_fixture *fixture, struct model *model, uint64_t *random)
{
	unsigned lane = draw(random, LANES);
	struct rh_stack_lane *l = fixture->lane[lane];
	uint32_t bytes = 1u << (4 + draw(random, 8));
	/* A thread's stack has what was asked for and never more. */
	bool fixed = strcmp(fixture->ops->name, "thread") == 0;

	if (!model->task) {
		model->task = fixture->ops->spawn(
			l, draw(random, 8) || fixed ? 0 : 1u << draw(random, 17));
		assert_non_null(model->task);
		model->depth = 0;
	} else if (draw(random, 100) < 55 && model->depth < FRAMES_MAX) {
		model->frame[model->depth++] = bytes;
		assert_int_equal(fixture->ops->call(l, model->task, bytes), 0);
	} else if (model->depth && draw(random, 100) < 97) {
		fixture->ops->ret(l, model->task, model->frame[--model->depth]);
	} else {
		stack_verify(fixture, lane, model->task);
		fixture->ops->exit(l, model->task);
		model->task = NULL;
	}
	if (model->task && draw(random, 8) == 0)
		stack_verify(fixture, lane, model->task);
}

static void random_lives(void **state)
{
	static struct model models[TASKS];

	(void)state;
	for (size_t s = 0; s < SPECS; s++) {
		uint64_t random = s + 1, alive = 0;
		struct stack_fixture fixture;

		memset(models, 0, sizeof(models));
		stack_open(&fixture, specs[s], LANES);
		for (int i = 0; i < STEPS; i++) {
			step(&fixture, &models[draw(&random, TASKS)], &random);
			if (i % 1500 == 700)
				fixture.ops->gc_begin(fixture.lane[i % LANES]);
			if (i % 1500 == 900)
				fixture.ops->gc_end(fixture.lane[(i + 1) % LANES]);
		}
		for (int i = 0; i < TASKS; i++)
			alive += models[i].task != NULL;
		assert_int_equal(stack_stat(&fixture, "stacks.tasks"), alive);
		for (int i = 0; i < TASKS; i++) {
			if (!models[i].task)
				continue;
			while (models[i].depth)
				fixture.ops->ret(fixture.lane[0], models[i].task,
						 models[i].frame[--models[i].depth]);
			stack_verify(&fixture, 0, models[i].task);
			fixture.ops->exit(fixture.lane[0], models[i].task);
		}
		assert_int_equal(stack_stat(&fixture, "stacks.tasks"), 0);
		stack_close(&fixture);
	}
}

/* A task of any backend begins with its frames: sp and hi say where it is now. */
static void living_stacks_are_apart(void **state)
{
	(void)state;
	for (size_t s = 0; s < SPECS; s++) {
		const struct rh_frames *frames[TASKS];
		struct stack_fixture fixture;

		stack_open(&fixture, specs[s], LANES);
		for (unsigned i = 0; i < TASKS; i++) {
			void *task = stack_spawn(&fixture, i % LANES);

			for (unsigned d = 0; d < i; d++)
				assert_int_equal(
					fixture.ops->call(fixture.lane[i % LANES], task, 96), 0);
			frames[i] = task;
		}
		for (unsigned i = 0; i < TASKS; i++)
			for (unsigned j = 0; j < i; j++)
				assert_true(frames[i]->hi <= frames[j]->sp ||
					    frames[j]->hi <= frames[i]->sp);
		for (unsigned i = 0; i < TASKS; i++)
			stack_verify(&fixture, 0, (void *)frames[i]);
		for (unsigned i = 0; i < TASKS; i++)
			fixture.ops->exit(fixture.lane[0], (void *)frames[i]);
		stack_close(&fixture);
	}
}

/* Each pointer of a frame, each record, spoiled alone, must be found. */
static void damage_is_found(void **state)
{
	static const int words[] = { 1, 0, -1, -2, -3, -5, -6 };

	(void)state;
	for (size_t s = 0; s < SPECS; s++) {
		struct rh_frames *frames;
		struct stack_fixture fixture;

		stack_open(&fixture, specs[s], 1);
		frames = stack_spawn(&fixture, 0);
		for (int i = 0; i < 9; i++)
			assert_int_equal(fixture.ops->call(fixture.lane[0], frames, 96), 0);
		stack_verify(&fixture, 0, frames);
		for (size_t w = 0; w < sizeof(words) / sizeof(words[0]); w++) {
			uintptr_t *word = (uintptr_t *)frames->fp + words[w], was = *word;

			*word = was + 8;
			assert_int_equal(fixture.ops->verify(fixture.lane[0], frames, &fixture.err),
					 -1);
			assert_non_null(strstr(fixture.err.text, "must be"));
			*word = was;
		}
		stack_verify(&fixture, 0, frames);
		fixture.ops->exit(fixture.lane[0], frames);
		stack_close(&fixture);
	}
}

/* ---- memory that runs out ---- */

/* Everything here maps through this; the n-th time it fails, and from then on. */
static _Atomic long maps_left = -1;

#ifndef RH_SANITIZE
void *mmap(void *at, size_t bytes, int protection, int flags, int fd, off_t offset)
{
	if (atomic_load(&maps_left) == 0) {
		errno = ENOMEM;
		return MAP_FAILED;
	}
	if (atomic_load(&maps_left) > 0)
		atomic_fetch_sub(&maps_left, 1);
	return (void *)syscall(SYS_mmap, at, bytes, protection, flags, fd, offset);
}
#endif

/* Spawns and deepens until something is refused; returns the tasks made. */
static int until_refused(struct stack_fixture *fixture, void **tasks, int most)
{
	int count = 0;

	while (count < most) {
		tasks[count] = fixture->ops->spawn(fixture->lane[0], 0);
		if (!tasks[count])
			break;
		count++;
		for (int d = 0; d < 20; d++)
			if (fixture->ops->call(fixture->lane[0], tasks[count - 1], 1024) < 0)
				return count;
	}
	return count;
}

static void every_failing_map_is_survived(void **state)
{
	static const char *const own[] = {
		"tiered/pools",	    "null/pools",	    "bump/pools",
		"tiered/segmented", "null/thread:size=64K", "tiered/heap"
	};
	static void *tasks[3000];

	(void)state;
#ifdef RH_SANITIZE
	print_message("# SKIP the sanitizer's own maps would fail, too\n");
	skip();
#endif
	for (size_t s = 0; s < sizeof(own) / sizeof(own[0]); s++) {
		for (long n = 0; n < 24; n++) {
			struct stack_fixture fixture;
			int made;

			stack_open(&fixture, own[s], 1);
			atomic_store(&maps_left, n);
			made = until_refused(&fixture, tasks, n < 12 ? 3000 : 1500);
			for (int i = 0; i < made; i++)
				stack_verify(&fixture, 0, tasks[i]);
			atomic_store(&maps_left, -1);
			/* Memory is back: all goes on. */
			stack_verify(&fixture, 0, stack_spawn(&fixture, 0));
			for (int i = 0; i < made; i++) {
				if (fixture.ops->call(fixture.lane[0], tasks[i], 256) < 0)
					fail_msg("%s: no call with memory back", own[s]);
				stack_verify(&fixture, 0, tasks[i]);
				fixture.ops->exit(fixture.lane[0], tasks[i]);
			}
			stack_close(&fixture);
		}
	}
}

static void a_heap_with_a_limit_refuses_and_goes_on(void **state)
{
	static void *tasks[5000];
	struct stack_fixture fixture;
	int made = 0;

	(void)state;
	stack_open(&fixture, "tiered:limit=4M/pools", 1);
	while (made < 5000 && (tasks[made] = fixture.ops->spawn(fixture.lane[0], 0)))
		made++;
	assert_in_range(made, 1000, 2100);
	assert_true(stack_stat(&fixture, "pools.refused") > 0);
	for (int i = 0; i < made; i++)
		fixture.ops->exit(fixture.lane[0], tasks[i]);
	for (int i = 0; i < made; i++)
		stack_verify(&fixture, 0, stack_spawn(&fixture, 0));
	stack_close(&fixture);
}

static void heaps_without_memory_are_refused(void **state)
{
	static const char *const bad[] = { "null/heap", "null/segmented" };

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct rh_spec spec = { 0 };
		struct rh_err err = { 0 };
		struct rh_heap *heap;
		struct rh_stacks *stacks;

		assert_int_equal(rh_spec_parse(&spec, bad[i], 1, &err), 0);
		assert_int_equal(rh_spec_open(&spec, 1, &heap, &err), 0);
		assert_int_equal(
			spec.stack.open(&stacks, spec.stack_knobs, &spec.layer[0].ops, heap, &err),
			-1);
		assert_int_equal(err.code, RH_USAGE);
		spec.layer[0].ops.close(heap);
	}
}

/* ---- many lanes ---- */

struct crew {
	struct stack_fixture fixture;
	pthread_mutex_t mutex; /* tasks handed from lane to lane */
	void *handed[64];
	int count;
	char why[LANES][64];
};

struct worker {
	struct crew *crew;
	unsigned lane;
};

static void *hand_over(struct crew *crew, void *task, bool put)
{
	pthread_mutex_lock(&crew->mutex);
	if (put && crew->count < 64)
		crew->handed[crew->count++] = task, task = NULL;
	else if (!put && crew->count)
		task = crew->handed[--crew->count];
	pthread_mutex_unlock(&crew->mutex);
	return task;
}

static void *work(void *opaque)
{
	struct worker *me = opaque;
	struct stack_fixture *fixture = &me->crew->fixture;
	struct rh_stack_lane *lane = fixture->lane[me->lane];
	uint64_t random = me->lane + 77;
	struct rh_err err = { 0 };
	bool bad = false;

	for (int i = 0; i < ROUNDS; i++) {
		void *task = fixture->ops->spawn(lane, 0);
		uint32_t depth = draw(&random, 40);

		for (uint32_t d = 0; d < depth; d++)
			bad = bad || fixture->ops->call(lane, task, 200) < 0;
		bad = bad || fixture->ops->verify(lane, task, &err) < 0;
		if (draw(&random, 2))
			task = hand_over(me->crew, task, true);
		if (!task)
			task = hand_over(me->crew, NULL, false);
		if (task) {
			bad = bad || fixture->ops->verify(lane, task, &err) < 0;
			fixture->ops->exit(lane, task);
		}
		if (bad) {
			snprintf(me->crew->why[me->lane], 64, "%.63s", err.text);
			break;
		}
		if (me->lane == 0 && i % 50 == 0)
			fixture->ops->gc_begin(lane);
		if (me->lane == 1 && i % 50 == 25)
			fixture->ops->gc_end(lane);
	}
	return bad ? me->crew->why[me->lane] : NULL;
}

static void lanes_work_while_cycles_run(void **state)
{
	(void)state;
	for (size_t s = 0; s < SPECS; s++) {
		struct crew crew = { .mutex = PTHREAD_MUTEX_INITIALIZER };
		struct worker workers[LANES];
		pthread_t threads[LANES];

		stack_open(&crew.fixture, specs[s], LANES);
		for (unsigned i = 0; i < LANES; i++) {
			workers[i] = (struct worker){ &crew, i };
			assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
		}
		for (unsigned i = 0; i < LANES; i++) {
			void *bad;

			pthread_join(threads[i], &bad);
			if (bad)
				fail_msg("%s: lane %u: %s", specs[s], i, (char *)bad);
		}
		assert_int_equal(stack_stat(&crew.fixture, "stacks.tasks"), crew.count);
		while (crew.count)
			crew.fixture.ops->exit(crew.fixture.lane[0], crew.handed[--crew.count]);
		assert_int_equal(stack_stat(&crew.fixture, "stacks.tasks"), 0);
		stack_close(&crew.fixture);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_lives),
		cmocka_unit_test(living_stacks_are_apart),
		cmocka_unit_test(damage_is_found),
		cmocka_unit_test(every_failing_map_is_survived),
		cmocka_unit_test(a_heap_with_a_limit_refuses_and_goes_on),
		cmocka_unit_test(heaps_without_memory_are_refused),
		cmocka_unit_test(lanes_work_while_cycles_run),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
