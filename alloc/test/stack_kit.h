/*
 * stack_kit.h - a heap and a stack backend opened by their spec, with some lanes, for the
 * tests of stacks. Thread rule: a lane belongs to one thread.
 */
#ifndef RH_TEST_STACK_KIT_H
#define RH_TEST_STACK_KIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "alloc/backend.h"

enum { KIT_LANES_MAX = 8 };

struct kit {
	struct rh_spec spec;
	struct rh_heap *heap;
	struct rh_stacks *stacks;
	const struct rh_backend *heap_ops;
	const struct rh_stack_backend *ops;
	unsigned lane_count;
	struct rh_lane *heap_lane[KIT_LANES_MAX];
	struct rh_stack_lane *lane[KIT_LANES_MAX];
	struct rh_err err;
};

static inline void kit_lane(struct kit *kit)
{
	unsigned i = kit->lane_count++;

	if (kit->heap_ops->lane_open(kit->heap, &kit->heap_lane[i], &kit->err) < 0 ||
	    kit->ops->lane_open(kit->stacks, kit->heap_lane[i], &kit->lane[i], &kit->err) < 0)
		fail_msg("lane %u: %s", i, kit->err.text);
}

static inline void kit_open(struct kit *kit, const char *spec, unsigned lanes)
{
	memset(kit, 0, sizeof(*kit));
	if (rh_spec_parse(&kit->spec, spec, 1, &kit->err) < 0 ||
	    rh_spec_open(&kit->spec, KIT_LANES_MAX, &kit->heap, &kit->err) < 0)
		fail_msg("%s: %s", spec, kit->err.text);
	kit->heap_ops = &kit->spec.layer[0].ops;
	kit->ops = &kit->spec.stack;
	if (kit->ops->open(&kit->stacks, kit->spec.stack_knobs, kit->heap_ops, kit->heap,
			   &kit->err) < 0)
		fail_msg("%s: %s", spec, kit->err.text);
	while (kit->lane_count < lanes)
		kit_lane(kit);
}

static inline void kit_close(struct kit *kit)
{
	while (kit->lane_count-- > 0) {
		kit->ops->lane_close(kit->lane[kit->lane_count]);
		kit->heap_ops->lane_close(kit->heap_lane[kit->lane_count]);
	}
	kit->ops->close(kit->stacks);
	kit->heap_ops->close(kit->heap);
}

struct kit_wanted {
	const char *name;
	uint64_t value;
	unsigned seen;
};

static inline void kit_pick(void *ctx, const char *name, const char *unit, uint64_t value)
{
	struct kit_wanted *wanted = ctx;

	(void)unit;
	if (strcmp(name, wanted->name) == 0) {
		wanted->value = value;
		wanted->seen++;
	}
}

/* A figure of the stack backend; it must be there once. */
static inline uint64_t kit_stat(struct kit *kit, const char *name)
{
	struct kit_wanted wanted = { .name = name };

	kit->ops->stats(kit->stacks, kit_pick, &wanted);
	if (wanted.seen != 1)
		fail_msg("%s: stat %s is there %u times", kit->ops->name, name, wanted.seen);
	return wanted.value;
}

static inline uint64_t kit_heap_stat(struct kit *kit, const char *name)
{
	struct kit_wanted wanted = { .name = name };

	kit->heap_ops->stats(kit->heap, kit_pick, &wanted);
	assert_int_equal(wanted.seen, 1);
	return wanted.value;
}

static inline void kit_verify(struct kit *kit, unsigned lane, void *task)
{
	if (kit->ops->verify(kit->lane[lane], task, &kit->err) < 0)
		fail_msg("%s: %s", kit->ops->name, kit->err.text);
}

static inline void *kit_spawn(struct kit *kit, unsigned lane)
{
	void *task = kit->ops->spawn(kit->lane[lane], 0);

	assert_non_null(task);
	return task;
}

#endif
