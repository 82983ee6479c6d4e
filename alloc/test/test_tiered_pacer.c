/*
 * test_tiered_pacer.c - gc=oracle under the settings that Go programs run with.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "alloc/base/gopacer.h"
#include "alloc/heap/tiered/lane.h"
#include "alloc/registry.h"
#include "alloc/test/figure_support.h"

enum { MIB = 1 << 20, BLOCK = 8192, KEPT = 1024 };

static const struct rh_backend *ops = &rh_backend_tiered;
static struct rh_heap *heap;
static struct rh_lane *lane;

static uint64_t figure(const char *name)
{
	return figure_of(ops, heap, name);
}

static void open_heap(struct tier_knobs knobs)
{
	struct rh_err err;

	knobs.profile = rh_tier_profile_of("1.26");
	knobs.gc = TIER_GC_ORACLE;
	assert_int_equal(ops->open(&heap, &knobs, NULL, &err), 0);
	assert_int_equal(ops->lane_open(heap, &lane, &err), 0);
}

static void close_heap(void)
{
	ops->lane_close(lane);
	ops->close(heap);
}

/* Blocks that die at once. */
static void churn(uint64_t churn_bytes)
{
	for (uint64_t done = 0; done < churn_bytes; done += BLOCK) {
		char *p = ops->alloc(lane, BLOCK);

		assert_non_null(p);
		memset(p, 0xa5, BLOCK);
		ops->free(lane, p, BLOCK);
	}
}

/* Blocks that live, then others that die at once. */
static void keep_and_churn(uint64_t churn_bytes)
{
	for (int i = 0; i < KEPT; i++)
		assert_non_null(ops->alloc(lane, BLOCK));
	churn(churn_bytes);
}

static void without_gogc_nothing_is_collected(void **state)
{
	(void)state;
	open_heap((struct tier_knobs){ .gogc = RH_GOGC_OFF });
	keep_and_churn(64 * MIB);
	assert_int_equal(figure("NumGC"), 0);
	close_heap();
}

/* Twice the limit lives: Go overruns it, and so does this. */
static void the_limit_is_soft(void **state)
{
	(void)state;
	open_heap((struct tier_knobs){ .gogc = RH_GOGC_OFF, .limit = 4 * MIB });
	keep_and_churn(0);
	assert_in_range(figure("NumGC"), 1, KEPT);
	assert_true(figure("HeapInuse") >= KEPT * BLOCK);
	close_heap();
	/* And with room below it, it is what starts the cycles. */
	open_heap((struct tier_knobs){ .gogc = RH_GOGC_OFF, .limit = 32 * MIB });
	keep_and_churn(64 * MIB);
	assert_in_range(figure("NumGC"), 2, 6);
	assert_in_range(figure("HeapInuse"), KEPT * BLOCK, 32 * MIB);
	close_heap();
}

/* Small blocks of which one in so many lives on, among 64 MiB that die at once: cycles. */
static uint64_t cycles_with(uint64_t small_bytes, unsigned live_of)
{
	enum { SMALL = 64 };
	void **blocks = calloc(small_bytes / SMALL, sizeof(*blocks));
	uint64_t count = small_bytes / SMALL, cycles;

	assert_non_null(blocks);
	open_heap((struct tier_knobs){ .gogc = RH_GOGC_OFF, .limit = 32 * MIB });
	for (uint64_t i = 0; i < count; i++) {
		blocks[i] = ops->alloc(lane, SMALL);
		assert_non_null(blocks[i]);
	}
	for (uint64_t i = 0; i < count; i++)
		if (i % live_of)
			ops->free(lane, blocks[i], SMALL);
	churn(64 * MIB);
	cycles = figure("NumGC");
	close_heap();
	free(blocks);
	return cycles;
}

/* A limit counts pages: 1 MiB that lives in 16 MiB of spans leaves room as 16 MiB do. And what is
 * dead is no hole before it was swept. */
static void holes_count_and_garbage_does_not(void **state)
{
	uint64_t packed, holes, full;

	(void)state;
	packed = cycles_with(MIB, 1);
	holes = cycles_with(16 * MIB, 16);
	full = cycles_with(16 * MIB, 1);
	assert_in_range(packed, 2, 3);
	assert_true(holes >= 2 * packed);
	assert_in_range(holes, full, full + full / 2 + 1);
}

/* Three times the limit lives, for long: without end the first second of marking, then half of
 * the time. A byte allocated costs as much as 12 marked, so a cycle that marks 64 MiB is followed
 * by 5 MiB at least. */
static void half_of_the_cpu_is_the_programs(void **state)
{
	enum { KEPT_MIB = 64, CHURN_MIB = 256 };
	uint64_t cycles, marked_mib;

	(void)state;
	open_heap((struct tier_knobs){ .gogc = RH_GOGC_OFF, .limit = 16 * MIB });
	for (int i = 0; i < KEPT_MIB; i++)
		assert_non_null(ops->alloc(lane, MIB));
	churn((uint64_t)CHURN_MIB * MIB);
	cycles = figure("NumGC");
	marked_mib = figure("gc.marked") / MIB;
	assert_in_range(marked_mib, KEPT_MIB, KEPT_MIB + 8);
	assert_in_range(figure("gc.limited"), 40, cycles);
	/* 4e8 bytes at first, then 12 bytes marked for each allocated */
	assert_in_range(cycles, CHURN_MIB * 12 / (KEPT_MIB + 8),
			(400 + CHURN_MIB * 12) / KEPT_MIB + KEPT_MIB);
	close_heap();
}

static void goals_count_what_is_scanned_besides(void **state)
{
	uint64_t without;

	(void)state;
	open_heap((struct tier_knobs){ .gogc = 100 });
	keep_and_churn(32 * MIB);
	without = figure("NextGC");
	close_heap();
	open_heap((struct tier_knobs){ .gogc = 100, .roots = 2 * MIB });
	keep_and_churn(32 * MIB);
	assert_int_equal(figure("NextGC"), without + 2 * MIB);
	close_heap();
}

/* Who is born or dies while a cycle marks is in it: cycles begin earlier, and goals are higher. */
static void marking_takes_its_time(void **state)
{
	uint64_t at_once, goal;

	(void)state;
	open_heap((struct tier_knobs){ .gogc = 100 });
	keep_and_churn(128 * MIB);
	at_once = figure("NumGC");
	goal = figure("NextGC");
	close_heap();
	open_heap((struct tier_knobs){ .gogc = 100, .marking = 0.25 });
	keep_and_churn(128 * MIB);
	assert_in_range(figure("NumGC"), 3, at_once);
	assert_true(figure("NextGC") >= goal + 2 * MIB);
	close_heap();
}

/* ---- a limit, asked by all lanes at once ---- */

enum { LANES = 4, ROUNDS = 6000 };

/* Blocks of all tiers; some live for a while, and every lane's last ones to the end. */
static void *run_lane(void *ignored)
{
	static const uint32_t sizes[] = { 8, 24, 512, 3000, 8192, 40000 };
	struct rh_lane *mine;
	struct rh_err err;
	char *kept[64] = { NULL };
	size_t bytes[64] = { 0 };

	assert_int_equal(ops->lane_open(heap, &mine, &err), 0);
	for (uint32_t i = 0; i < ROUNDS; i++) {
		uint32_t slot = i % 64, size = sizes[i % 6];

		if (kept[slot])
			ops->free(mine, kept[slot], bytes[slot]);
		kept[slot] = ops->alloc(mine, size);
		bytes[slot] = size;
		assert_non_null(kept[slot]);
		kept[slot][0] = kept[slot][size - 1] = (char)i;
	}
	ops->lane_close(mine);
	return ignored;
}

/* rh_gc_poll computes goal and trigger anew at each span, on whichever lane takes it, while others
 * read them, start cycles and sweep. Meant for ThreadSanitizer; here too the limit must hold. */
static void lanes_share_a_limit(void **state)
{
	pthread_t thread[LANES];

	(void)state;
	open_heap((struct tier_knobs){ .gogc = 100, .limit = 12 * MIB, .marking = 0.05 });
	for (int i = 0; i < LANES; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, run_lane, NULL), 0);
	churn(16 * MIB);
	for (int i = 0; i < LANES; i++)
		assert_int_equal(pthread_join(thread[i], NULL), 0);
	assert_in_range(figure("NumGC"), 10, 100000);
	assert_in_range(figure("HeapInuse"), MIB, 24 * MIB);
	close_heap();
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_gogc_nothing_is_collected),
		cmocka_unit_test(the_limit_is_soft),
		cmocka_unit_test(holes_count_and_garbage_does_not),
		cmocka_unit_test(half_of_the_cpu_is_the_programs),
		cmocka_unit_test(goals_count_what_is_scanned_besides),
		cmocka_unit_test(marking_takes_its_time),
		cmocka_unit_test(lanes_share_a_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
