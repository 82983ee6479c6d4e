/*
 * test_binary.c - the binary form: round trips of every kind under every set of columns,
 * files cut at every byte, every bit turned, heads that lie, outputs that fill up.
 */
#include <fcntl.h>
#include <sys/stat.h>

#include <zstd.h>

#include "traces/frame.h"
#include "traces/test/kit.h"

enum { SMALL = 300, LARGE = 150000, COLUMN_SETS = 16, STORED_MAX = 4096 };

static struct rh_event *make_events(unsigned columns, uint64_t seed, size_t count)
{
	struct rh_event *events = malloc(count * sizeof(*events));
	struct kit kit;

	assert_non_null(events);
	kit_open(&kit, columns, seed);
	for (size_t i = 0; i < count; i++)
		/* The first ones walk the table, so that each row is there at least once. */
		kit_event(&kit, i < 3 * RH_EV_COUNT ? (int)(i % RH_EV_COUNT) : -1, &events[i]);
	kit_close(&kit);
	return events;
}

static void test_round_trip(void **state)
{
	(void)state;
	for (unsigned columns = 0; columns < COLUMN_SETS; columns++) {
		struct rh_event *events = make_events(columns, columns + 1, 5000);
		const char *path = kit_path("round.rht");

		kit_write(path, RH_FORM_BINARY, columns, events, 5000);
		kit_expect(path, columns, events, 5000);
		free(events);
	}
}

static void test_every_kind(void **state)
{
	unsigned seen = 0;
	struct rh_event *events = make_events(15, 7, SMALL);

	(void)state;
	for (size_t i = 0; i < SMALL; i++)
		seen |= 1u << events[i].kind;
	/* lane_stop ends a lane and so is not drawn at random: test_stop has it. */
	assert_int_equal(seen | 1u << RH_EV_LANE_STOP, (1u << RH_EV_COUNT) - 1);
	free(events);
}

static void test_stop(void **state)
{
	struct rh_event events[] = {
		{ .kind = RH_EV_LANE_START, .lane = 0 },
		{ .kind = RH_EV_LANE_STOP, .lane = 0 },
		{ .kind = RH_EV_LANE_START, .lane = 1 },
	};
	const char *path = kit_path("stop.rht");

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		events[i].time_ns = events[i].id = events[i].old = events[i].arg = RH_NONE;
		events[i].task = RH_TASK_NONE;
	}
	kit_write(path, RH_FORM_BINARY, 0, events, 3);
	kit_expect(path, 0, events, 3);
}

/* Several blocks, each with the one before as prefix. */
static void test_blocks(void **state)
{
	struct rh_event *events = make_events(15, 99, LARGE);
	const char *path = kit_path("large.rht");

	(void)state;
	kit_write(path, RH_FORM_BINARY, 15, events, LARGE);
	kit_expect(path, 15, events, LARGE);
	free(events);
}

static void test_implicit_lanes(void **state)
{
	struct rh_trace_make make = { .path = kit_path("lanes.rht") };
	struct rh_event event = { .kind = RH_EV_ALLOC, .lane = 2, .size = 1 }, read[8];
	struct rh_trace_totals totals;
	struct rh_trace_out *out;
	struct rh_trace *trace;
	struct rh_err err = { 0 };

	(void)state;
	kit_ok(rh_trace_create(&out, &make, &err), &err);
	kit_ok(rh_trace_put(out, &event, 1, &err), &err);
	kit_ok(rh_trace_finish(out, &totals, &err), &err);
	assert_int_equal(totals.lanes, 3);
	assert_int_equal(totals.events, 4);
	kit_ok(rh_trace_open(&trace, make.path, &err), &err);
	assert_int_equal(rh_trace_next(trace, read, 8, &err), 4);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(read[i].kind, RH_EV_LANE_START);
		assert_int_equal(read[i].lane, i);
	}
	rh_trace_close(trace);
}

static void test_empty_trace(void **state)
{
	const char *path = kit_path("none.rht");

	(void)state;
	kit_write(path, RH_FORM_BINARY, 15, NULL, 0);
	kit_expect(path, 15, NULL, 0);
}

/* The index tells everything before the first event is read. */
static void test_index(void **state)
{
	struct rh_event *events = make_events(0, 3, SMALL);
	const char *path = kit_path("index.rht");
	struct rh_trace_totals totals, counted;
	struct rh_trace *trace;
	struct rh_err err = { 0 };
	bool exact;
	int rc;

	(void)state;
	kit_write(path, RH_FORM_BINARY, 0, events, SMALL);
	kit_ok(rh_trace_open(&trace, path, &err), &err);
	rh_trace_totals(trace, &totals, &exact);
	assert_true(exact);
	assert_string_equal(rh_trace_note_of(trace, "drop.free_null"), "12");
	assert_string_equal(rh_trace_site(trace, 1), "main.c:7 (in \\ here)");
	kit_read_prefix(trace, events, SMALL, &rc, &err);
	rh_trace_totals(trace, &counted, &exact);
	assert_memory_equal(&totals, &counted, sizeof(totals));
	assert_int_equal(totals.objects, totals.by_kind[RH_EV_ALLOC] +
						 totals.by_kind[RH_EV_RESIZE]);
	assert_int_equal(totals.time_ns_last, RH_NONE);
	rh_trace_close(trace);
	free(events);
}

/* ---- damage ---- */

static void test_cut_anywhere(void **state)
{
	struct rh_event *events = make_events(15, 5, SMALL);
	const char *path = kit_path("whole.rht"), *cut = kit_path("cut.rht");
	size_t bytes, with_all = 0;
	char *data;

	(void)state;
	kit_write(path, RH_FORM_BINARY, 15, events, SMALL);
	data = kit_load(path, &bytes);
	for (size_t keep = 0; keep < bytes; keep++) {
		struct rh_trace *trace;
		struct rh_err err = { 0 };
		size_t count;
		int rc;

		kit_store(cut, data, keep);
		if (keep < RH_HEAD_BYTES) {
			assert_int_equal(rh_trace_open(&trace, cut, &err), -1);
			assert_int_equal(err.code, RH_BAD_DATA);
			continue;
		}
		kit_ok(rh_trace_open(&trace, cut, &err), &err);
		count = kit_read_prefix(trace, events, SMALL, &rc, &err);
		kit_ok(rc, &err);
		assert_true(count == 0 || count == SMALL);
		with_all += count == SMALL;
		assert_non_null(strstr(rh_trace_truncated(trace), "cut off at byte"));
		assert_non_null(strstr(rh_trace_truncated(trace), cut));
		rh_trace_close(trace);
	}
	/* Names of the tail, index and trailer may go and the events stay. */
	assert_true(with_all > RH_BLOCK_HEAD_BYTES + RH_TRAILER_BYTES);
	free(data);
	free(events);
}

/* A cut in the third block leaves two. */
static void test_cut_blocks(void **state)
{
	struct rh_event *events = make_events(0, 6, LARGE);
	const char *path = kit_path("blocks.rht");
	struct rh_trace *trace;
	struct rh_err err = { 0 };
	struct stat st;
	int rc;

	(void)state;
	kit_write(path, RH_FORM_BINARY, 0, events, LARGE);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(truncate(path, st.st_size - 5000), 0);
	kit_ok(rh_trace_open(&trace, path, &err), &err);
	assert_int_equal(kit_read_prefix(trace, events, LARGE, &rc, &err), 2 * RH_BLOCK_EVENTS);
	kit_ok(rc, &err);
	assert_non_null(rh_trace_truncated(trace));
	/* Provenance of the head is there without the index. */
	assert_non_null(rh_trace_note_of(trace, "program"));
	rh_trace_close(trace);
	free(events);
}

static void test_turned_bits(void **state)
{
	struct rh_event *events = make_events(15, 8, 40);
	const char *path = kit_path("good.rht"), *bad = kit_path("bad.rht");
	size_t bytes;
	char *data;

	(void)state;
	kit_write(path, RH_FORM_BINARY, 15, events, 40);
	data = kit_load(path, &bytes);
	for (size_t bit = 0; bit < bytes * 8; bit++) {
		struct rh_trace *trace;
		struct rh_err err = { 0 };
		bool noticed;
		int rc;

		data[bit / 8] ^= (char)(1 << bit % 8);
		kit_store(bad, data, bytes);
		data[bit / 8] ^= (char)(1 << bit % 8);
		if (rh_trace_open(&trace, bad, &err) < 0) {
			assert_int_equal(err.code, RH_BAD_DATA);
			assert_non_null(strstr(err.text, bad));
			continue;
		}
		kit_read_prefix(trace, events, 40, &rc, &err);
		noticed = rc < 0 || rh_trace_truncated(trace);
		if (!noticed)
			fail_msg("bit %zu was turned and nobody noticed", bit);
		if (rc < 0)
			assert_non_null(strstr(err.text, bad));
		rh_trace_close(trace);
	}
	free(data);
	free(events);
}

static void expect_open_fails(const char *path, enum rh_exit code, const char *says)
{
	struct rh_trace *trace;
	struct rh_err err = { 0 };

	assert_int_equal(rh_trace_open(&trace, path, &err), -1);
	assert_null(trace);
	assert_int_equal(err.code, code);
	if (!strstr(err.text, says))
		fail_msg("'%s' does not say '%s'", err.text, says);
}

static void test_not_a_trace(void **state)
{
	const char *path = kit_path("odd.rht");
	uint8_t head[RH_HEAD_BYTES];

	(void)state;
	expect_open_fails(kit_path("missing.rht"), RH_NO_INPUT, "cannot be opened");
	expect_open_fails("/tmp", RH_NO_INPUT, "is a directory");
	kit_store(path, "", 0);
	expect_open_fails(path, RH_BAD_DATA, "is empty");
	kit_store(path, "PK\3\4 something else\n", 21);
	expect_open_fails(path, RH_BAD_DATA, "it is not a trace");
	rh_file_head_put(head, 0);
	rh_put32(head + 8, 7);
	kit_store(path, head, sizeof(head));
	expect_open_fails(path, RH_BAD_DATA, "version 7 and this reheap reads version 1");
	rh_file_head_put(head, 1u << 20);
	kit_store(path, head, sizeof(head));
	expect_open_fails(path, RH_BAD_DATA, "columns");
}

/* A file with one block whose head says what it likes (and whose checksum is right, unless
 * it claims more bytes than there are): `good` events come, then an error that stays. */
static void expect_block_refused(const struct rh_block_head *head, const uint8_t *stored,
				 int good, const char *says)
{
	const char *path = kit_path("lies.rht");
	uint8_t file[RH_HEAD_BYTES + RH_BLOCK_HEAD_BYTES + STORED_MAX] = { 0 };
	struct rh_block_head sealed = *head;
	struct rh_event batch[4];
	struct rh_trace *trace;
	struct rh_err err = { 0 };

	if (head->stored_bytes > STORED_MAX)
		sealed.stored_bytes = 0;
	rh_file_head_put(file, 0);
	rh_block_head_put(file + RH_HEAD_BYTES, &sealed, stored, 0);
	rh_put32(file + RH_HEAD_BYTES + 12, head->stored_bytes);
	memcpy(file + RH_HEAD_BYTES + RH_BLOCK_HEAD_BYTES, stored, sealed.stored_bytes);
	kit_store(path, file, sizeof(file));
	kit_ok(rh_trace_open(&trace, path, &err), &err);
	if (good)
		assert_int_equal(rh_trace_next(trace, batch, 4, &err), good);
	assert_int_equal(rh_trace_next(trace, batch, 4, &err), -1);
	assert_int_equal(err.code, RH_BAD_DATA);
	if (!strstr(err.text, says))
		fail_msg("'%s' does not say '%s'", err.text, says);
	assert_int_equal(rh_trace_next(trace, batch, 4, &err), -1);
	rh_trace_close(trace);
}

static uint32_t pack(uint8_t *to, const void *raw, size_t bytes)
{
	size_t stored;

	stored = ZSTD_compress(to, STORED_MAX, raw, bytes, 3);
	assert_false(ZSTD_isError(stored));
	return (uint32_t)stored;
}

static void test_lying_heads(void **state)
{
	struct rh_block_head head = { .type = RH_BLOCK_EVENTS_TYPE, .items = 1 };
	static uint8_t zeros[RH_BLOCK_BYTES_MAX];
	uint8_t stored[STORED_MAX] = { 0 };

	(void)state;
	head.raw_bytes = UINT32_MAX;
	expect_block_refused(&head, stored, 0, "beyond what the format allows");
	head.raw_bytes = 10;
	head.stored_bytes = UINT32_MAX;
	expect_block_refused(&head, stored, 0, "beyond what the format allows");
	head.stored_bytes = pack(stored, "\3\0\0abc", 6);
	head.items = UINT32_MAX;
	expect_block_refused(&head, stored, 0, "number of events");
	head.items = 1;
	expect_block_refused(&head, stored, 0, "another size");
	head.raw_bytes = 6;
	expect_block_refused(&head, stored, 0, "sections do not fit");
	head.type = 0x41414141;
	expect_block_refused(&head, stored, 0, "type is unknown");
	/* 8 MiB of zeros in a few hundred bytes: unpacked into the size the head admits to. */
	head = (struct rh_block_head){ .type = RH_BLOCK_EVENTS_TYPE, .items = 1, .raw_bytes = 64 };
	head.stored_bytes = pack(stored, zeros, sizeof(zeros));
	expect_block_refused(&head, stored, 0, "too small");
}

/* Events that the writer would refuse, sealed with good checksums. */
static void test_illegal_events(void **state)
{
	/* Section lengths of operations and lanes; operations (113 3 is a lane_start); lane
	 * and run. */
	static const struct {
		uint8_t raw[16];
		uint32_t bytes, items;
		int good;
		const char *says;
	} cases[] = {
		{ { 1, 2, 0, 0, 1 }, 5, 1, 0, "has not started" },
		{ { 2, 2, 113, 3, 7, 1 }, 6, 1, 0, "without gaps" },
		{ { 2, 2, 113, 3, 0, 9 }, 6, 1, 1, "belong to no event" },
		{ { 3, 2, 113, 3, 0, 0, 2 }, 7, 2, 1, "object 0 from the end and only 0 live" },
		{ { 3, 2, 113, 3, 127, 0, 2 }, 7, 2, 1, "make no event" },
		{ { 4, 2, 113, 3, 113, 99, 0, 2 }, 8, 2, 1, "make no event" },
		{ { 5, 2, 113, 3, 113, 5, 128, 0, 2 }, 9, 2, 1, "make no event" },
		{ { 4, 2, 113, 3, 252, 255, 0, 2 }, 8, 2, 1, "make no event" },
	};
	struct rh_block_head head = { .type = RH_BLOCK_EVENTS_TYPE };
	uint8_t stored[STORED_MAX] = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		head.items = cases[i].items;
		head.raw_bytes = cases[i].bytes;
		head.stored_bytes = pack(stored, cases[i].raw, cases[i].bytes);
		expect_block_refused(&head, stored, cases[i].good, cases[i].says);
	}
}

/* ---- streams and full disks ---- */

static void test_stdin(void **state)
{
	struct rh_event *events = make_events(3, 11, SMALL);
	const char *path = kit_path("pipe.rht");
	struct rh_trace *trace;
	struct rh_trace_totals totals;
	struct rh_err err = { 0 };
	char command[160];
	int rc, saved = dup(STDIN_FILENO);
	FILE *pipe;
	bool exact;

	(void)state;
	kit_write(path, RH_FORM_BINARY, 3, events, SMALL);
	snprintf(command, sizeof(command), "cat %s", path);
	pipe = popen(command, "r");
	assert_non_null(pipe);
	assert_int_equal(dup2(fileno(pipe), STDIN_FILENO), STDIN_FILENO);
	kit_ok(rh_trace_open(&trace, "-", &err), &err);
	rh_trace_totals(trace, &totals, &exact);
	assert_false(exact);
	assert_int_equal(kit_read_prefix(trace, events, SMALL, &rc, &err), SMALL);
	kit_ok(rc, &err);
	assert_null(rh_trace_truncated(trace));
	assert_string_equal(rh_trace_note_of(trace, "drop.free_null"), "12");
	rh_trace_close(trace);
	pclose(pipe);
	dup2(saved, STDIN_FILENO);
	close(saved);
	free(events);
}

static void expect_full(enum rh_trace_form form)
{
	struct rh_event *events = make_events(15, 12, LARGE);
	struct rh_trace_make make = { .path = "/dev/full", .form = form, .columns = 15 };
	struct rh_trace_out *out = NULL;
	struct rh_err err = { 0 };
	int rc = rh_trace_create(&out, &make, &err);

	if (rc == 0) {
		rc = rh_trace_put(out, events, LARGE, &err);
		if (rc < 0)
			rh_trace_abandon(out);
		else
			rc = rh_trace_finish(out, NULL, &err);
	}
	assert_int_equal(rc, -1);
	assert_int_equal(err.code, RH_IO);
	assert_non_null(strstr(err.text, "/dev/full"));
	free(events);
}

static void test_full_disk(void **state)
{
	(void)state;
	expect_full(RH_FORM_BINARY);
	expect_full(RH_FORM_TEXT);
}

/* A failed or dropped writer leaves the old file as it was and nothing beside it. */
static void test_untouched(void **state)
{
	struct rh_event bad = { .kind = RH_EV_FREE, .id = 3 };
	const char *path = kit_path("kept.rht");
	struct rh_trace_make make = { .path = path };
	struct rh_trace_out *out;
	struct rh_err err = { 0 };
	char *data;
	size_t bytes;

	(void)state;
	kit_store(path, "precious", 8);
	kit_ok(rh_trace_create(&out, &make, &err), &err);
	assert_int_equal(rh_trace_put(out, &bad, 1, &err), -1);
	assert_int_equal(err.code, RH_BAD_DATA);
	assert_non_null(strstr(err.text, "event 1 (free)"));
	assert_int_equal(rh_trace_finish(out, NULL, &err), -1);
	data = kit_load(path, &bytes);
	assert_string_equal(data, "precious");
	free(data);
	make.path = "/nowhere/x.rht";
	assert_int_equal(rh_trace_create(&out, &make, &err), -1);
	assert_int_equal(err.code, RH_CANT_CREATE);
	assert_null(out);
	rh_trace_abandon(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_every_kind),
		cmocka_unit_test(test_stop),
		cmocka_unit_test(test_blocks),
		cmocka_unit_test(test_implicit_lanes),
		cmocka_unit_test(test_empty_trace),
		cmocka_unit_test(test_index),
		cmocka_unit_test(test_cut_anywhere),
		cmocka_unit_test(test_cut_blocks),
		cmocka_unit_test(test_turned_bits),
		cmocka_unit_test(test_not_a_trace),
		cmocka_unit_test(test_lying_heads),
		cmocka_unit_test(test_illegal_events),
		cmocka_unit_test(test_stdin),
		cmocka_unit_test(test_full_disk),
		cmocka_unit_test(test_untouched),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
