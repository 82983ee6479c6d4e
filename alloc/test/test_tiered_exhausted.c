/*
 * test_tiered_exhausted.c - a system that gives no more: a memory limit, a limit of
 * address space, and every mmap failing once, the first, the second, and so on.
 *
 * This program defines mmap, so that the heap's calls end here; the real one is the
 * system call behind it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "alloc/heap/tiered/lane.h"
#include "alloc/registry.h"

static const struct rh_backend *ops = &rh_backend_tiered;
static long fail_at = -1; /* calls until one fails; -1 = none does */
static bool fail_on;	  /* and every one after it */
static long calls;

#if !defined(__SANITIZE_THREAD__) /* its runtime maps before any code of ours may run */
void *mmap(void *address, size_t bytes, int protection, int flags, int fd, off_t offset)
{
	long result;

	calls++;
	if (fail_at >= 0 && (fail_at == 0 || --fail_at == 0)) {
		if (!fail_on)
			fail_at = -1;
		errno = ENOMEM;
		return MAP_FAILED;
	}
	result = syscall(SYS_mmap, address, bytes, protection, flags, fd, offset);
	return result == -1 ? MAP_FAILED : (void *)result;
}
#endif

enum { BLOCKS = 700 };

static void *block[BLOCKS];

static size_t size_of(unsigned i)
{
	return i % 50 == 49 ? 300000 : i % 7 == 6 ? 20000 : 16 + i % 900;
}

/* Fills and frees a heap; blocks that could not be had are NULL. Returns how many. */
static unsigned use(struct rh_lane *lane)
{
	unsigned got = 0;

	for (unsigned i = 0; i < BLOCKS; i++) {
		block[i] = ops->alloc(lane, size_of(i));
		if (block[i])
			memset(block[i], (int)i, size_of(i));
		got += block[i] != NULL;
	}
	for (unsigned i = 0; i < BLOCKS; i++) {
		if (!block[i])
			continue;
		for (size_t j = 0; j < size_of(i); j += 97)
			assert_int_equal(((unsigned char *)block[i])[j], i & 255);
		ops->free(lane, block[i], size_of(i));
	}
	return got;
}

/* One life of a heap whose n-th mapping fails. True when all went well without failing. */
static bool live_with_failure(int profile, int gc, long nth, bool and_after)
{
	struct tier_knobs knobs = {
		.profile = profile, .gc = gc, .gogc = 100, .scavenge = TIER_SCAVENGE_EAGER
	};
	struct rh_heap *heap;
	struct rh_lane *lane;
	struct rh_err err;
	bool failed;

	fail_at = nth;
	fail_on = and_after;
	if (ops->open(&heap, &knobs, NULL, &err) < 0) {
		assert_non_null(strstr(err.text, "tiered"));
		fail_at = -1;
		return false;
	}
	if (ops->lane_open(heap, &lane, &err) == 0) {
		unsigned got = use(lane);

		failed = fail_at != nth && (fail_at == -1 || and_after);
		fail_at = -1;
		if (!and_after || got == BLOCKS)
			assert_true(got >= BLOCKS - BLOCKS / 20);
		/* the system is generous again: the heap works as if nothing had been */
		assert_int_equal(use(lane), BLOCKS);
		assert_null(rh_tiered_check(heap));
		ops->lane_close(lane);
	} else {
		failed = true;
		fail_at = -1;
	}
	ops->close(heap);
	return !failed;
}

static void the_nth_failing_mapping_breaks_nothing(void **state)
{
	(void)state;
	for (int profile = 0; profile < 6; profile++) {
		for (int gc = 0; gc < 3; gc++) {
			long nth = 1;

			calls = 0;
			live_with_failure(profile, gc, 1000000, false);
			assert_true(calls > 5);
			for (; nth <= calls && nth < 60; nth++) {
				live_with_failure(profile, gc, nth, false);
				live_with_failure(profile, gc, nth, true);
			}
		}
	}
}

static void a_memory_limit_is_kept_and_survived(void **state)
{
	enum { LIMIT = 2 << 20 };

	(void)state;
	for (int profile = 0; profile < 6; profile++) {
		struct tier_knobs knobs = { .profile = profile,
					    .gogc = 100,
					    .scavenge = TIER_SCAVENGE_EAGER,
					    .limit = LIMIT };
		struct rh_heap *heap;
		struct rh_lane *lane;
		unsigned got, again;

		assert_int_equal(ops->open(&heap, &knobs, NULL, NULL), 0);
		assert_int_equal(ops->lane_open(heap, &lane, NULL), 0);
		got = use(lane);
		assert_in_range(got, 50, BLOCKS - 1);
		again = use(lane);
		assert_in_range(again, got - got / 4, BLOCKS - 1);
		assert_null(ops->alloc(lane, LIMIT + 1));
		assert_non_null(ops->alloc(lane, 100));
		assert_null(rh_tiered_check(heap));
		ops->lane_close(lane);
		ops->close(heap);
	}
}

/* In a child, because a limit of address space cannot be raised again. */
static int out_of_space(int profile)
{
	struct tier_knobs knobs = { .profile = profile,
				    .gogc = 100,
				    .scavenge = TIER_SCAVENGE_EAGER };
	struct rlimit space = { 1u << 29, 1u << 29 };
	struct rh_heap *heap;
	struct rh_lane *lane;
	unsigned count = 0;
	void *p, *last = NULL;

	if (setrlimit(RLIMIT_AS, &space) < 0)
		return 1;
	if (ops->open(&heap, &knobs, NULL, NULL) < 0 || ops->lane_open(heap, &lane, NULL) < 0)
		return 2;
	while ((p = ops->alloc(lane, 1 << 20))) {
		*(void **)p = last;
		last = p;
		count++;
	}
	if (count < 60 || count > 512)
		return 3;
	for (; last; last = p) {
		p = *(void **)last;
		ops->free(lane, last, 1 << 20);
	}
	for (unsigned i = 0; i < count; i++) {
		last = ops->alloc(lane, 1 << 20);
		if (!last)
			return 4;
	}
	ops->free(lane, last, 1 << 20);
	return ops->alloc(lane, 100) && !rh_tiered_check(heap) ? 0 : 5;
}

static void an_end_of_address_space_is_survived(void **state)
{
	(void)state;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	print_message("# SKIP the sanitizer's own maps are larger than any limit\n");
	skip();
#endif
	for (int profile = 0; profile < 6; profile++) {
		int status;
		pid_t child = fork();

		if (child == 0)
			_exit(out_of_space(profile));
		waitpid(child, &status, 0);
		assert_true(WIFEXITED(status));
		assert_int_equal(WEXITSTATUS(status), 0);
	}
}

int main(void)
{
#if defined(__SANITIZE_THREAD__)
	puts("mmap cannot be ours under ThreadSanitizer");
	return 77;
#endif
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_nth_failing_mapping_breaks_nothing),
		cmocka_unit_test(a_memory_limit_is_kept_and_survived),
		cmocka_unit_test(an_end_of_address_space_is_survived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
