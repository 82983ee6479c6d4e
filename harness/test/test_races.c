/*
 * test_races.c - two Ps at one pool of stacks: the order that the places of later stacks show, and
 * only where the events leave it open.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "harness/fidelity/stacks.h"

enum { SLOTS = 16, HALF = 8, MOST = 128 };

static struct step made[MOST];
static struct steps steps;
static struct stack_start start;

static uint64_t place(unsigned span, unsigned slot)
{
	return (uint64_t)span << PLACE_SPAN_SHIFT | slot << PLACE_SIZE_BITS | 11;
}

static size_t add(unsigned lane, enum step_kind kind, unsigned span, unsigned slot)
{
	assert_true(steps.count < MOST);
	made[steps.count] = (struct step){ place(span, slot), lane, UINT32_MAX, (uint8_t)kind };
	if (kind == STEP_ALLOC)
		made[steps.count].window = (uint32_t)steps.count;
	return steps.count++;
}

/*
 * Lane 0 makes 24 stacks, of span 1 and the upper half of span 2, and frees 17 of them: the last
 * free releases eight of span 1. Lane 1 then makes 16 stacks. Returns the step of that free.
 */
static size_t a_release_and_two_refills(unsigned first, unsigned second)
{
	size_t release = 0;

	steps = (struct steps){ .of = made, .lanes = 2 };
	for (unsigned i = 0; i < SLOTS + HALF; i++)
		add(0, STEP_ALLOC, 1 + i / SLOTS, i % SLOTS);
	for (unsigned i = HALF; i-- > 1;)
		add(0, STEP_FREE, 2, i);
	for (unsigned i = 0; i < SLOTS - HALF + 2; i++)
		release = add(0, STEP_FREE, 1, i);
	for (unsigned i = 0; i < HALF; i++)
		add(1, STEP_ALLOC, first, first == 2 ? HALF + i : i);
	for (unsigned i = 0; i < HALF; i++)
		add(1, STEP_ALLOC, second, second == 2 ? HALF + i : i);
	return release;
}

static struct stack_races settled(void)
{
	struct stack_races races;
	struct rh_err err = { 0 };

	assert_int_equal(rh_stack_races(&steps, &start, &races, &err), 0);
	return races;
}

/* The refill was told after the release, but took what was there before it. */
static void a_refill_goes_before_a_release(void **state)
{
	size_t release = a_release_and_two_refills(2, 1);
	struct step was = made[release];
	struct stack_races races;

	(void)state;
	made[release].window = (uint32_t)(release + 5);
	races = settled();
	assert_int_equal(races.moved, 1);
	assert_int_equal(races.open + races.wrong, 0);
	assert_int_equal(made[release].kind, STEP_ALLOC);
	assert_int_equal(made[release].lane, 1);
	assert_int_equal(made[release + 1].word, was.word);
	assert_int_equal(made[release + 1].kind, STEP_FREE);
}

/* Its places show that it took what was released: then the events are in order. */
static void a_refill_of_what_was_released_stays(void **state)
{
	size_t release = a_release_and_two_refills(1, 2);
	struct step was[MOST];
	struct stack_races races;

	(void)state;
	made[release].window = (uint32_t)(release + 5);
	memcpy(was, made, sizeof(was));
	races = settled();
	assert_int_equal(races.moved, 0);
	assert_int_equal(races.open + races.wrong, 0);
	assert_memory_equal(was, made, sizeof(was));
}

/* Both lanes had events in between: the release was over. What does not fit is wrong, not open. */
static void a_release_that_was_over_stays(void **state)
{
	size_t release = a_release_and_two_refills(2, 1);
	struct stack_races races;

	(void)state;
	made[release].window = (uint32_t)(release + 1);
	for (size_t i = release + 1; i < steps.count; i++)
		made[i].window = (uint32_t)(release + 2);
	races = settled();
	assert_int_equal(races.moved, 0);
	assert_int_equal(made[release].kind, STEP_FREE);
	assert_int_equal(races.open, 0);
	assert_true(races.wrong > 0);
}

/* The release was under way until after both refills, which the second shows. */
static void a_release_goes_after_all_that_passed_it(void **state)
{
	size_t release = a_release_and_two_refills(2, 3);
	struct step was = made[release];
	struct stack_races races;

	(void)state;
	made[release].window = (uint32_t)steps.count;
	races = settled();
	assert_int_equal(races.moved, 2);
	assert_int_equal(races.open + races.wrong, 0);
	assert_int_equal(made[release].lane, 1);
	assert_int_equal(made[release + 1 + HALF].word, was.word);
	assert_int_equal(made[release + 1 + HALF].kind, STEP_FREE);
}

static int set_up(void **state)
{
	(void)state;
	for (unsigned order = 0; order < POOLED_ORDERS; order++)
		start.order[order].cached = calloc(2, sizeof(uint32_t));
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	rh_start_close(&start);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_refill_goes_before_a_release),
		cmocka_unit_test(a_refill_of_what_was_released_stays),
		cmocka_unit_test(a_release_that_was_over_stays),
		cmocka_unit_test(a_release_goes_after_all_that_passed_it),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
