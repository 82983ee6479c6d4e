/*
 * stack_support.h - a heap and a stack backend opened by their spec, with some lanes, for the
 * tests of stacks. Thread rule: a lane belongs to one thread.
 */
#ifndef RH_TEST_STACK_SUPPORT_H
#define RH_TEST_STACK_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "alloc/backend.h"

enum { FIXTURE_LANES_MAX = 8 };

struct stack_fixture {
	struct rh_spec spec;
	struct rh_heap *heap;
	struct rh_stacks *stacks;
	const struct rh_backend *heap_ops;
	const struct rh_stack_backend *ops;
	unsigned lane_count;
	struct rh_lane *heap_lane[FIXTURE_LANES_MAX];
	struct rh_stack_lane *lane[FIXTURE_LANES_MAX];
	struct rh_err err;
};

static inline void stack_lane(struct stack_fixture *fixture)
{
	unsigned i = fixture->lane_count++;

	if (fixture->heap_ops->lane_open(fixture->heap, &fixture->heap_lane[i], &fixture->err) <
		    0 ||
	    fixture->ops->lane_open(fixture->stacks, fixture->heap_lane[i], &fixture->lane[i],
				    &fixture->err) < 0)
		fail_msg("lane %u: %s", i, fixture->err.text);
}

static inline void stack_open(struct stack_fixture *fixture, const char *spec, unsigned lanes)
{
	memset(fixture, 0, sizeof(*fixture));
	if (rh_spec_parse(&fixture->spec, spec, 1, &fixture->err) < 0 ||
	    rh_spec_open(&fixture->spec, FIXTURE_LANES_MAX, &fixture->heap, &fixture->err) < 0)
		fail_msg("%s: %s", spec, fixture->err.text);
	fixture->heap_ops = &fixture->spec.layer[0].ops;
	fixture->ops = &fixture->spec.stack;
	if (fixture->ops->open(&fixture->stacks, fixture->spec.stack_knobs, fixture->heap_ops,
			       fixture->heap, &fixture->err) < 0)
		fail_msg("%s: %s", spec, fixture->err.text);
	while (fixture->lane_count < lanes)
		stack_lane(fixture);
}

static inline void stack_close(struct stack_fixture *fixture)
{
	while (fixture->lane_count-- > 0) {
		fixture->ops->lane_close(fixture->lane[fixture->lane_count]);
		fixture->heap_ops->lane_close(fixture->heap_lane[fixture->lane_count]);
	}
	fixture->ops->close(fixture->stacks);
	fixture->heap_ops->close(fixture->heap);
}

struct stack_wanted {
	const char *name;
	uint64_t value;
	unsigned seen;
};

static inline void stack_pick(void *ctx, const char *name, const char *unit, uint64_t value)
{
	struct stack_wanted *wanted = ctx;

	(void)unit;
	if (strcmp(name, wanted->name) == 0) {
		wanted->value = value;
		wanted->seen++;
	}
}

/* A figure of the stack backend; it must be there once. */
static inline uint64_t stack_stat(struct stack_fixture *fixture, const char *name)
{
	struct stack_wanted wanted = { .name = name };

	fixture->ops->stats(fixture->stacks, stack_pick, &wanted);
	if (wanted.seen != 1)
		fail_msg("%s: stat %s is there %u times", fixture->ops->name, name, wanted.seen);
	return wanted.value;
}

static inline uint64_t stack_heap_stat(struct stack_fixture *fixture, const char *name)
{
	struct stack_wanted wanted = { .name = name };

	fixture->heap_ops->stats(fixture->heap, stack_pick, &wanted);
	assert_int_equal(wanted.seen, 1);
	return wanted.value;
}

static inline void stack_verify(struct stack_fixture *fixture, unsigned lane, void *task)
{
	if (fixture->ops->verify(fixture->lane[lane], task, &fixture->err) < 0)
		fail_msg("%s: %s", fixture->ops->name, fixture->err.text);
}

static inline void *stack_spawn(struct stack_fixture *fixture, unsigned lane)
{
	void *task = fixture->ops->spawn(fixture->lane[lane], 0);

	assert_non_null(task);
	return task;
}

#endif
