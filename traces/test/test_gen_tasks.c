/*
 * test_gen_tasks.c - the generators of tasks: how many live, how deep they call, that every
 * return matches a call and an exit comes last, and which of them have cycles.
 */
#include "traces/test/gen_support.h"

enum { EVENTS = 60000 };

/* What the stacks of a trace are like: bytes in use by task, tasks alive. */
struct stacks_seen {
	uint64_t alive, alive_most, deepest, cycles, remote_ends;
	uint64_t unmatched; /* returns of another size than the call's, or of none */
};

struct task_seen {
	uint64_t used;
	uint32_t lane;
};

static void see(struct stacks_seen *seen, struct task_seen *tasks, const struct rh_event *event)
{
	struct task_seen *task = &tasks[event->id];

	switch (event->kind) {
	case RH_EV_SPAWN:
		*task = (struct task_seen){ .lane = event->lane };
		if (++seen->alive > seen->alive_most)
			seen->alive_most = seen->alive;
		break;
	case RH_EV_EXIT:
		seen->alive--;
		seen->unmatched += task->used != 0;
		seen->remote_ends += task->lane != event->lane;
		break;
	case RH_EV_CALL:
		task->used += event->size;
		if (task->used > seen->deepest)
			seen->deepest = task->used;
		break;
	case RH_EV_RETURN:
		seen->unmatched += task->used < event->size;
		task->used -= event->size;
		break;
	case RH_EV_GC_END:
		seen->cycles++;
		break;
	}
}

static struct stacks_seen stacks_of(const char *name, const char *words)
{
	struct task_seen *tasks = calloc(EVENTS + 2, sizeof(*tasks));
	const char *path = scratch_path("a.rht");
	struct stacks_seen seen = { 0 };
	struct rh_event batch[512];
	struct rh_trace *trace;
	int got;

	assert_non_null(tasks);
	generate_ok(name, words, path, NULL);
	expect_ok(rh_trace_open(&trace, path, &err), &err);
	while ((got = rh_trace_next(trace, batch, 512, &err)) > 0)
		for (int i = 0; i < got; i++)
			if (batch[i].kind >= RH_EV_SPAWN)
				see(&seen, tasks, &batch[i]);
	expect_ok(got, &err);
	rh_trace_close(trace);
	free(tasks);
	return seen;
}

static void test_goroutines(void **state)
{
	static const struct {
		const char *words;
		uint64_t alive_least, alive_most, deepest;
	} shapes[] = {
		{ "events=60000 lanes=2 shape=storm tasks=500", 400, 500, 3 * 112 },
		{ "events=60000 lanes=2 shape=parked tasks=700", 700, 700, 3 * 112 },
		{ "events=60000 lanes=2 shape=pool tasks=50 depth=8K", 50, 50, 8192 },
		{ "events=60000 lanes=2 shape=recursion depth=8K", 1, 1, 8192 },
		{ "events=60000 lanes=2 shape=fanout fan=10", 10, 640, 4 * 128 },
		{ "events=60000 lanes=2 shape=shrink tasks=50 depth=8K gc=5000", 50, 50, 8192 },
	};
	struct stacks_seen seen;

	(void)state;
	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
		seen = stacks_of("goroutines", shapes[i].words);
		assert_int_equal(seen.unmatched, 0);
		assert_in_range(seen.alive_most, shapes[i].alive_least, shapes[i].alive_most);
		assert_int_equal(seen.deepest, shapes[i].deepest);
		assert_int_equal(seen.cycles > 0, i == 5);
		assert_int_equal(seen.remote_ends > 0, i == 4);
	}
	seen = stacks_of("goroutines", "events=60000 lanes=2 tasks=500 remote=50%");
	assert_true(seen.remote_ends > 0);
}

static void test_hotsplit(void **state)
{
	struct stacks_seen seen;

	(void)state;
	seen = stacks_of("hotsplit", "events=60000 depth=4K frame=128 callee=64 loops=100");
	assert_int_equal(seen.unmatched, 0);
	assert_int_equal(seen.alive_most, 1);
	assert_int_equal(seen.deepest, 4096 + 64);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_goroutines),
		cmocka_unit_test(test_hotsplit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
