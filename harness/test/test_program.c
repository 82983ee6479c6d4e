/*
 * test_program.c - a damaged program is refused when it is mapped: every field, every
 * op and every cut that the hot loop relies on is broken in turn, and random bits
 * besides, which must be refused or harmless.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "harness/compile/compile.h"
#include "harness/compile/file.h"
#include "traces/format/trace.h"

/* A program of two lanes with an op of each shape, as bytes to be damaged. */
static uint8_t *good;
static size_t good_bytes;

static const struct rh_program_head *head(void)
{
	return (const void *)good;
}

static int file_of(const uint8_t *bytes, size_t count)
{
	struct rh_err err = { 0 };
	int fd = rh_work_file(NULL, &err);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, count), count);
	return fd;
}

/* RH_OK or the class of the refusal. */
static enum rh_exit map_bytes(const uint8_t *bytes, size_t count, const char *says)
{
	struct rh_err err = { 0 };
	struct rh_program program;

	if (rh_program_map(&program, file_of(bytes, count), &err) == 0) {
		rh_program_unmap(&program);
		return RH_OK;
	}
	assert_int_equal(program.fd, -1);
	if (says && !strstr(err.text, says))
		fail_msg("'%s' does not say '%s'", err.text, says);
	return err.code;
}

/* Overwrites `count` bytes at `at` and expects a refusal that says so. */
static void refuse(uint64_t at, const void *with, size_t count, const char *says)
{
	uint8_t *bad = malloc(good_bytes);

	assert_non_null(bad);
	memcpy(bad, good, good_bytes);
	memcpy(bad + at, with, count);
	assert_int_equal(map_bytes(bad, good_bytes, says), RH_BAD_DATA);
	free(bad);
}

static void refuse32(uint64_t at, uint32_t with, const char *says)
{
	refuse(at, &with, sizeof(with), says);
}

static void refuse64(uint64_t at, uint64_t with, const char *says)
{
	refuse(at, &with, sizeof(with), says);
}

#define IN_HEAD(field) offsetof(struct rh_program_head, field)

static void heads_are_checked(void **state)
{
	(void)state;
	assert_int_equal(map_bytes(good, good_bytes, NULL), RH_OK);
	refuse64(IN_HEAD(magic), 0, "not a compiled program");
	refuse32(IN_HEAD(version), 99, "version 99");
	refuse64(IN_HEAD(bytes), good_bytes + 1, "length");
	refuse32(IN_HEAD(lanes), 0, "no lanes");
	refuse32(IN_HEAD(grains), 0, "no lanes or no grains");
	refuse32(IN_HEAD(epoch_grains), 0, "no grains");
	refuse32(IN_HEAD(slots), UINT32_MAX, "slots");
	refuse32(IN_HEAD(lanes), UINT32_MAX, "outside");
	refuse32(IN_HEAD(grains), UINT32_MAX, "outside");
	refuse64(IN_HEAD(lane_table), good_bytes, "outside");
	refuse64(IN_HEAD(lane_table), UINT64_MAX - 7, "outside");
	refuse64(IN_HEAD(grain_table), good_bytes - 8, "outside");
	refuse64(IN_HEAD(grain_table), head()->grain_table + 1, "outside");
	refuse64(IN_HEAD(grain_facts), UINT64_MAX & ~7ull, "outside");
	refuse32(IN_HEAD(slots), 0, "slot");
	refuse32(IN_HEAD(task_slots), 0, "task");
}

static void short_files_are_refused(void **state)
{
	(void)state;
	assert_int_equal(map_bytes(good, 0, "not a compiled program"), RH_BAD_DATA);
	assert_int_equal(map_bytes(good, 100, "not a compiled program"), RH_BAD_DATA);
	assert_int_equal(map_bytes(good, good_bytes - 4096, "length"), RH_BAD_DATA);
}

static void lane_tables_are_checked(void **state)
{
	uint64_t lane = head()->lane_table;

	(void)state;
	refuse64(lane + offsetof(struct rh_program_lane, ops_offset), good_bytes, "outside");
	refuse64(lane + offsetof(struct rh_program_lane, ops_offset), 12, "outside");
	refuse64(lane + offsetof(struct rh_program_lane, op_words), UINT64_MAX / 8, "outside");
	refuse64(lane + offsetof(struct rh_program_lane, op_words), 1, "past the end");
	refuse32(lane + offsetof(struct rh_program_lane, publishes), 0, "counts");
	refuse32(lane + offsetof(struct rh_program_lane, waits), 77, "counts");
	refuse32(lane + offsetof(struct rh_program_lane, turns), 77, "counts");
}

static void cuts_are_checked(void **state)
{
	const struct rh_program_head *h = head();
	uint64_t last = h->grain_table + (uint64_t)h->grains * h->lanes * 8;

	(void)state;
	refuse64(h->grain_table, 2, "grain");
	refuse64(last, 1, "grain");
	refuse64(last, UINT64_MAX, "grain");
}

/* The place of the first op that `what & mask` describes. */
static uint64_t find(uint32_t lane, uint32_t mask, uint32_t what)
{
	const struct rh_program_lane *table = (const void *)(good + head()->lane_table);
	const struct rh_op *ops = (const void *)(good + table[lane].ops_offset);

	for (uint64_t at = 0; at < table[lane].op_words; at++) {
		if ((ops[at].what & mask) == what)
			return table[lane].ops_offset + at * sizeof(*ops);
		if (RH_OP_KIND(ops[at].what) == RH_OP_MISC)
			at += ops[at].size;
		else if (RH_OP_KIND(ops[at].what) == RH_OP_RESIZE ||
			 RH_OP_KIND(ops[at].what) == RH_OP_ALLOC_AS)
			at++;
	}
	fail_msg("lane %u has no op %x", lane, what);
	return 0;
}

static void ops_are_checked(void **state)
{
	static const uint8_t with_slot[] = { RH_OP_FREE,   RH_OP_ALLOC,	    RH_OP_NOSCAN,
					     RH_OP_ZALLOC, RH_OP_RESIZE,    RH_OP_ALLOC_AS,
					     RH_OP_TOUCH,  RH_OP_FREE_SIZED };
	static const uint8_t with_task[] = { RH_OP_SPAWN, RH_OP_CALL, RH_OP_RETURN, RH_OP_EXIT };
	uint64_t alloc = find(0, 15, RH_OP_ALLOC), wait = find(1, 15, RH_OP_WAIT);
	uint64_t publish = find(0, 15, RH_OP_PUBLISH), as = find(0, 15, RH_OP_ALLOC_AS);

	(void)state;
	for (size_t i = 0; i < sizeof(with_slot); i++)
		refuse32(alloc, RH_OP_WHAT(with_slot[i], head()->slots), "slot that does not");
	for (size_t i = 0; i < sizeof(with_task); i++)
		refuse32(alloc, RH_OP_WHAT(with_task[i], head()->task_slots), "task that does not");
	refuse32(wait, RH_OP_WHAT(RH_OP_WAIT, 1), "not another one");
	refuse32(wait, RH_OP_WHAT(RH_OP_WAIT, 2), "not another one");
	refuse32(wait + 4, 0, "never published");
	refuse32(wait + 4, 1000, "never published");
	refuse32(publish + 4, 7, "count up");
	refuse32(as + 4, 1 << 16, "flags or alignment");
	refuse32(as + 4, 64 << 8, "flags or alignment");
	refuse32(as + 4, 16, "flags or alignment");
}

static void rare_ops_are_checked(void **state)
{
	uint64_t big = find(0, UINT32_MAX, RH_OP_WHAT(RH_OP_MISC, RH_MISC_FREE_BIG));
	uint64_t grow = find(0, UINT32_MAX, RH_OP_WHAT(RH_OP_MISC, RH_MISC_GROW));
	uint64_t turn = find(0, UINT32_MAX, RH_OP_WHAT(RH_OP_MISC, RH_MISC_TURN));
	uint64_t asks = find(0, UINT32_MAX, RH_OP_WHAT(RH_OP_MISC, RH_MISC_USABLE));

	(void)state;
	refuse32(big, RH_OP_WHAT(RH_OP_MISC, 99), "rare op");
	refuse32(big + 4, 1, "rare op");
	refuse64(big + 8, head()->slots, "slot");
	refuse64(asks + 8, head()->slots, "slot");
	refuse64(grow + 8, head()->task_slots, "slot");
	refuse32(turn, RH_OP_WHAT(RH_OP_MISC, RH_MISC_GC_BEGIN), "counts");
}

/* The last op of a lane that claims words beyond it. */
static void ops_do_not_run_over_the_end(void **state)
{
	const struct rh_program_lane *table = (const void *)(good + head()->lane_table);
	uint64_t last = table[1].ops_offset + (table[1].op_words - 1) * 8;
	struct rh_op op = { RH_OP_WHAT(RH_OP_RESIZE, 0), 1 };

	(void)state;
	refuse(last, &op, sizeof(op), "past the end");
	op = (struct rh_op){ RH_OP_WHAT(RH_OP_MISC, RH_MISC_GC_BEGIN), 1 };
	refuse(last, &op, sizeof(op), "past the end");
}

static void flipped_bits_are_refused_or_harmless(void **state)
{
	uint8_t *bad = malloc(good_bytes);
	uint64_t seed = 1;
	int refused = 0;

	(void)state;
	assert_non_null(bad);
	for (int i = 0; i < 3000; i++) {
		uint64_t bit;

		seed = seed * 6364136223846793005ull + 1442695040888963407ull;
		bit = (seed >> 20) % (good_bytes * 8);
		memcpy(bad, good, good_bytes);
		bad[bit / 8] ^= (uint8_t)(1u << bit % 8);
		refused += map_bytes(bad, good_bytes, NULL) != RH_OK;
	}
	assert_in_range(refused, 1, 2999);
	free(bad);
}

static void put(struct rh_trace_out *out, struct rh_event event)
{
	struct rh_err err = { 0 };

	event.time_ns = RH_NONE;
	event.task = RH_TASK_NONE;
	if (rh_trace_put(out, &event, 1, &err) < 0)
		fail_msg("%s", err.text);
}

static void write_trace(const char *path)
{
	struct rh_trace_make make = { .path = path, .form = RH_FORM_BINARY, .columns = RH_COL_ARG };
	struct rh_err err = { 0 };
	struct rh_trace_out *out;

	assert_int_equal(rh_trace_create(&out, &make, &err), 0);
	put(out, (struct rh_event){ .kind = RH_EV_LANE_START });
	put(out, (struct rh_event){ .kind = RH_EV_LANE_START, .lane = 1 });
	put(out, (struct rh_event){ .kind = RH_EV_ALLOC, .id = 0, .size = 1ull << 33 });
	put(out, (struct rh_event){ .kind = RH_EV_ALLOC, .id = 1, .size = 64 });
	put(out, (struct rh_event){ .kind = RH_EV_ALLOC, .id = 2, .size = 64, .align_log2 = 12 });
	put(out,
	    (struct rh_event){ .kind = RH_EV_RESIZE, .id = 3, .old = 2, .size = 100, .arg = 64 });
	put(out, (struct rh_event){ .kind = RH_EV_FREE, .lane = 1, .id = 1, .arg = 64 });
	put(out, (struct rh_event){ .kind = RH_EV_USABLE, .id = 0 });
	put(out, (struct rh_event){ .kind = RH_EV_FREE_NULL });
	put(out, (struct rh_event){ .kind = RH_EV_FREE, .id = 0, .arg = 1 });
	put(out, (struct rh_event){ .kind = RH_EV_SPAWN, .id = 1, .size = 2048 });
	put(out, (struct rh_event){ .kind = RH_EV_GROW, .id = 1, .size = 4096, .arg = 64 });
	put(out, (struct rh_event){ .kind = RH_EV_CALL, .id = 1, .size = 64 });
	put(out, (struct rh_event){ .kind = RH_EV_RETURN, .id = 1, .size = 64 });
	put(out, (struct rh_event){ .kind = RH_EV_EXIT, .id = 1 });
	put(out, (struct rh_event){ .kind = RH_EV_FREE, .lane = 1, .id = 3, .arg = 1 });
	assert_int_equal(rh_trace_finish(out, NULL, &err), 0);
}

static int set_up(void **state)
{
	struct rh_compile_options options = { .touch = true };
	struct rh_program program;
	struct rh_err err = { 0 };
	char path[64];

	(void)state;
	snprintf(path, sizeof(path), "/tmp/reheap-program-%ld.rht", (long)getpid());
	write_trace(path);
	if (rh_compile(path, &options, &program, NULL, &err) < 0)
		fail_msg("%s", err.text);
	unlink(path);
	good_bytes = program.head->bytes;
	good = malloc(good_bytes);
	assert_non_null(good);
	memcpy(good, program.base, good_bytes);
	rh_program_unmap(&program);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	free(good);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(heads_are_checked),
		cmocka_unit_test(short_files_are_refused),
		cmocka_unit_test(lane_tables_are_checked),
		cmocka_unit_test(cuts_are_checked),
		cmocka_unit_test(ops_are_checked),
		cmocka_unit_test(rare_ops_are_checked),
		cmocka_unit_test(ops_do_not_run_over_the_end),
		cmocka_unit_test(flipped_bits_are_refused_or_harmless),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
