/*
 * test_binary.c - the binary form: round trips of every kind under every set of columns,
 * files cut at every byte, every bit turned, heads that lie, outputs that fill up.
 */
#include <fcntl.h>
#include <sys/stat.h>

#include <zstd.h>

#include "traces/format/codec.h"
#include "traces/format/frame.h"
#include "traces/test/test_support.h"

enum { SMALL = 300, LARGE = 150000, COLUMN_SETS = 16, STORED_MAX = 4096 };

static struct rh_event *make_events(unsigned columns, uint64_t seed, size_t count)
{
	struct rh_event *events = malloc(count * sizeof(*events));
	struct maker maker;

	assert_non_null(events);
	maker_open(&maker, columns, seed);
	for (size_t i = 0; i < count; i++)
		/* The first ones walk the table, so that each row is there at least once. */
		maker_event(&maker, i < 3 * RH_EV_COUNT ? (int)(i % RH_EV_COUNT) : -1, &events[i]);
	maker_close(&maker);
	return events;
}

static void test_round_trip(void **state)
{
	(void)state;
	for (unsigned columns = 0; columns < COLUMN_SETS; columns++) {
		struct rh_event *events = make_events(columns, columns + 1, 5000);
		const char *path = scratch_path("round.rht");

		write_events(path, RH_FORM_BINARY, columns, events, 5000);
		expect_file(path, columns, events, 5000);
		free(events);
	}
}

static void test_every_kind(void **state)
{
	unsigned seen = 0;

	(void)state;
	for (uint64_t seed = 7; seed < 11; seed++) {
		struct rh_event *events = make_events(15, seed, SMALL);

		for (size_t i = 0; i < SMALL; i++)
			seen |= 1u << events[i].kind;
		free(events);
	}
	/* lane_stop ends a lane and so is not drawn at random: test_stop has it. */
	assert_int_equal(seen | 1u << RH_EV_LANE_STOP, (1u << RH_EV_COUNT) - 1);
}

/* Written by version 0.9.0, before frees could have a size and questions were events. */
static const uint8_t old_trace[] = {
	0x89, 0x52, 0x48, 0x54, 0x0d, 0x0a, 0x1a, 0x0a, 0x01, 0x00, 0x00, 0x00, 0x09, 0x00, 0x00,
	0x00, 0xf0, 0xa8, 0x7e, 0x20, 0x6b, 0x1f, 0x76, 0xf7, 0x4e, 0x41, 0x4d, 0x45, 0x01, 0x00,
	0x00, 0x00, 0x0d, 0x00, 0x00, 0x00, 0x16, 0x00, 0x00, 0x00, 0xa6, 0xdb, 0x9d, 0x55, 0x49,
	0x00, 0x80, 0x6b, 0x28, 0xb5, 0x2f, 0xfd, 0x20, 0x0d, 0x69, 0x00, 0x00, 0x4e, 0x07, 0x70,
	0x72, 0x6f, 0x67, 0x72, 0x61, 0x6d, 0x03, 0x6f, 0x6c, 0x64, 0x45, 0x56, 0x54, 0x53, 0x0c,
	0x00, 0x00, 0x00, 0x41, 0x00, 0x00, 0x00, 0x44, 0x00, 0x00, 0x00, 0xbf, 0xfb, 0xea, 0x0a,
	0x6f, 0x08, 0xe2, 0x8b, 0x28, 0xb5, 0x2f, 0xfd, 0x20, 0x41, 0xdd, 0x01, 0x00, 0x24, 0x03,
	0x1b, 0x10, 0x0c, 0x06, 0x71, 0x03, 0x71, 0x03, 0x71, 0x00, 0x41, 0x05, 0x01, 0x98, 0xfc,
	0xf4, 0x05, 0x72, 0x01, 0x30, 0x02, 0x01, 0x71, 0x0c, 0x02, 0x71, 0x0d, 0x02, 0x00, 0x71,
	0x04, 0x00, 0x01, 0x01, 0x01, 0x00, 0x02, 0x01, 0x02, 0x03, 0x01, 0x01, 0x01, 0x03, 0x08,
	0x09, 0x11, 0x41, 0x00, 0x00, 0x02, 0x00, 0xb8, 0xd5, 0x5f, 0x5b, 0x9e, 0x49, 0x4e, 0x44,
	0x58, 0x00, 0x00, 0x00, 0x00, 0x20, 0x00, 0x00, 0x00, 0x29, 0x00, 0x00, 0x00, 0x92, 0xc0,
	0xed, 0x1f, 0x20, 0x37, 0x21, 0xae, 0x28, 0xb5, 0x2f, 0xfd, 0x20, 0x20, 0x01, 0x01, 0x00,
	0x0c, 0x02, 0x04, 0x00, 0x03, 0x00, 0xc8, 0x37, 0x00, 0xd8, 0x36, 0x0c, 0x10, 0x03, 0x03,
	0x01, 0x02, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x01, 0x00, 0x00, 0x01,
	0x18, 0x00, 0xa2, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x00,
	0x00, 0x00, 0x00, 0x52, 0x48, 0x54, 0x20, 0x65, 0x6e, 0x64, 0x0a,
};

static void test_old_trace(void **state)
{
	static const struct rh_event expected[] = {
		{ .kind = RH_EV_ALLOC, .id = 2, .size = 7000, .lane = 1, .time_ns = 4 },
		{ .kind = RH_EV_RESIZE,
		  .id = 3,
		  .old = 1,
		  .size = 48,
		  .arg = 16,
		  .lane = 1,
		  .time_ns = 5 },
		{ .kind = RH_EV_FREE, .id = 0, .arg = 64, .time_ns = 6 },
		{ .kind = RH_EV_FREE, .id = 2, .arg = RH_NONE, .lane = 1, .time_ns = 7 },
	};
	const char *path = scratch_path("old.rht");
	static struct rh_event batch[RH_TRACE_BATCH];
	struct rh_err err = { 0 };
	struct rh_trace *trace;
	FILE *out;

	(void)state;
	out = fopen(path, "wb");
	assert_non_null(out);
	assert_int_equal(fwrite(old_trace, 1, sizeof(old_trace), out), sizeof(old_trace));
	assert_int_equal(fclose(out), 0);
	assert_int_equal(rh_trace_open(&trace, path, &err), 0);
	assert_int_equal(rh_trace_next(trace, batch, RH_TRACE_BATCH, &err), 12);
	for (size_t i = 0; i < 4; i++) {
		const struct rh_event *is = &batch[4 + i], *should = &expected[i];

		assert_int_equal(is->kind, should->kind);
		assert_int_equal(is->id, should->id);
		assert_int_equal(is->size, should->size);
		assert_int_equal(is->lane, should->lane);
		assert_int_equal(is->time_ns, should->time_ns);
		assert_int_equal(is->flags, 0);
		if (is->kind != RH_EV_ALLOC)
			assert_true(is->arg == should->arg);
	}
	assert_int_equal(rh_trace_next(trace, batch, RH_TRACE_BATCH, &err), 0);
	assert_null(rh_trace_truncated(trace));
	rh_trace_close(trace);
}

static void test_stop(void **state)
{
	struct rh_event events[] = {
		{ .kind = RH_EV_LANE_START, .lane = 0 },
		{ .kind = RH_EV_LANE_STOP, .lane = 0 },
		{ .kind = RH_EV_LANE_START, .lane = 1 },
	};
	const char *path = scratch_path("stop.rht");

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		events[i].time_ns = events[i].id = events[i].old = events[i].arg = RH_NONE;
		events[i].task = RH_TASK_NONE;
	}
	write_events(path, RH_FORM_BINARY, 0, events, 3);
	expect_file(path, 0, events, 3);
}

/* Several blocks, each with the one before as prefix. */
static void test_blocks(void **state)
{
	struct rh_event *events = make_events(15, 99, LARGE);
	const char *path = scratch_path("large.rht");

	(void)state;
	write_events(path, RH_FORM_BINARY, 15, events, LARGE);
	expect_file(path, 15, events, LARGE);
	free(events);
}

/* Objects of Go: three bytes each, and births and deaths in a row are put together. */
static void test_aligned_to_words(void **state)
{
	static struct rh_event events[2 * SMALL];
	const char *path = scratch_path("words.rht");
	struct rh_encoder encoder;

	(void)state;
	for (size_t i = 0; i < 2 * SMALL; i++)
		events[i] = (struct rh_event){
			.kind = i == 0	     ? RH_EV_LANE_START
				: i <= SMALL ? RH_EV_ALLOC
					     : RH_EV_FREE,
			.id = i == 0 ? RH_NONE : (i - 1) % SMALL,
			.size = i > 0 && i <= SMALL ? i % 100 : 0,
			.align_log2 = i > 0 && i <= SMALL ? 3 : 0,
			.flags = i > 0 && i <= SMALL ? RH_EVF_SCAN_KNOWN : 0,
			.time_ns = i < SMALL ? 64 * i : 64 * i - 128 * (i % 2),
			.old = RH_NONE,
			.arg = RH_NONE,
			.task = RH_TASK_NONE,
		};
	write_events(path, RH_FORM_BINARY, 15, events, 2 * SMALL);
	expect_file(path, 15, events, 2 * SMALL);
	assert_true(rh_encoder_open(&encoder, 0));
	assert_true(rh_encode_usual(&encoder, &events[1], &(uint64_t){ 0 }, 1));
	assert_int_equal(encoder.section[0].at - encoder.section[0].base, 3);
	rh_encoder_close(&encoder);
}

static void test_implicit_lanes(void **state)
{
	struct rh_trace_make make = { .path = scratch_path("lanes.rht") };
	struct rh_event event = { .kind = RH_EV_ALLOC, .lane = 2, .size = 1 }, read[8];
	struct rh_trace_totals totals;
	struct rh_trace_out *out;
	struct rh_trace *trace;
	struct rh_err err = { 0 };

	(void)state;
	expect_ok(rh_trace_create(&out, &make, &err), &err);
	expect_ok(rh_trace_put(out, &event, 1, &err), &err);
	expect_ok(rh_trace_finish(out, &totals, &err), &err);
	assert_int_equal(totals.lanes, 3);
	assert_int_equal(totals.events, 4);
	expect_ok(rh_trace_open(&trace, make.path, &err), &err);
	assert_int_equal(rh_trace_next(trace, read, 8, &err), 4);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(read[i].kind, RH_EV_LANE_START);
		assert_int_equal(read[i].lane, i);
	}
	rh_trace_close(trace);
}

static void test_empty_trace(void **state)
{
	const char *path = scratch_path("none.rht");

	(void)state;
	write_events(path, RH_FORM_BINARY, 15, NULL, 0);
	expect_file(path, 15, NULL, 0);
}

/* The index has everything before the first event is read. */
static void test_index(void **state)
{
	struct rh_event *events = make_events(0, 3, SMALL);
	const char *path = scratch_path("index.rht");
	struct rh_trace_totals totals, counted;
	struct rh_trace *trace;
	struct rh_err err = { 0 };
	bool exact;
	int rc;

	(void)state;
	write_events(path, RH_FORM_BINARY, 0, events, SMALL);
	expect_ok(rh_trace_open(&trace, path, &err), &err);
	rh_trace_totals(trace, &totals, &exact);
	assert_true(exact);
	assert_string_equal(rh_trace_note_of(trace, "drop.free_null"), "12");
	assert_string_equal(rh_trace_site(trace, 1), "main.c:7 (in \\ here)");
	read_trace_prefix(trace, events, SMALL, &rc, &err);
	rh_trace_totals(trace, &counted, &exact);
	assert_memory_equal(&totals, &counted, sizeof(totals));
	assert_int_equal(totals.objects,
			 totals.by_kind[RH_EV_ALLOC] + totals.by_kind[RH_EV_RESIZE]);
	assert_int_equal(totals.time_ns_last, RH_NONE);
	rh_trace_close(trace);
	free(events);
}

/* ---- damage ---- */

static void test_cut_anywhere(void **state)
{
	struct rh_event *events = make_events(15, 5, SMALL);
	const char *path = scratch_path("whole.rht"), *cut = scratch_path("cut.rht");
	size_t bytes, with_all = 0;
	char *data;

	(void)state;
	write_events(path, RH_FORM_BINARY, 15, events, SMALL);
	data = load_trace(path, &bytes);
	for (size_t keep = 0; keep < bytes; keep++) {
		struct rh_trace *trace;
		struct rh_err err = { 0 };
		size_t count;
		int rc;

		store_trace(cut, data, keep);
		if (keep < RH_HEAD_BYTES) {
			assert_int_equal(rh_trace_open(&trace, cut, &err), -1);
			assert_int_equal(err.code, RH_BAD_DATA);
			continue;
		}
		expect_ok(rh_trace_open(&trace, cut, &err), &err);
		count = read_trace_prefix(trace, events, SMALL, &rc, &err);
		expect_ok(rc, &err);
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
	const char *path = scratch_path("blocks.rht");
	struct rh_trace *trace;
	struct rh_err err = { 0 };
	struct stat st;
	int rc;

	(void)state;
	write_events(path, RH_FORM_BINARY, 0, events, LARGE);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(truncate(path, st.st_size - 5000), 0);
	expect_ok(rh_trace_open(&trace, path, &err), &err);
	assert_int_equal(read_trace_prefix(trace, events, LARGE, &rc, &err), 2 * RH_BLOCK_EVENTS);
	expect_ok(rc, &err);
	assert_non_null(rh_trace_truncated(trace));
	/* Provenance of the head is there without the index. */
	assert_non_null(rh_trace_note_of(trace, "program"));
	rh_trace_close(trace);
	free(events);
}

static void test_turned_bits(void **state)
{
	struct rh_event *events = make_events(15, 8, 40);
	const char *path = scratch_path("good.rht"), *bad = scratch_path("bad.rht");
	size_t bytes;
	char *data;

	(void)state;
	write_events(path, RH_FORM_BINARY, 15, events, 40);
	data = load_trace(path, &bytes);
	for (size_t bit = 0; bit < bytes * 8; bit++) {
		struct rh_trace *trace;
		struct rh_err err = { 0 };
		bool noticed;
		int rc;

		data[bit / 8] ^= (char)(1 << bit % 8);
		store_trace(bad, data, bytes);
		data[bit / 8] ^= (char)(1 << bit % 8);
		if (rh_trace_open(&trace, bad, &err) < 0) {
			assert_int_equal(err.code, RH_BAD_DATA);
			assert_non_null(strstr(err.text, bad));
			continue;
		}
		read_trace_prefix(trace, events, 40, &rc, &err);
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
	const char *path = scratch_path("odd.rht");
	uint8_t head[RH_HEAD_BYTES];

	(void)state;
	expect_open_fails(scratch_path("missing.rht"), RH_NO_INPUT, "cannot be opened");
	expect_open_fails("/tmp", RH_NO_INPUT, "is a directory");
	store_trace(path, "", 0);
	expect_open_fails(path, RH_BAD_DATA, "is empty");
	store_trace(path, "GIF and something else\n", 23);
	expect_open_fails(path, RH_BAD_DATA, "it is not a trace");
	store_trace(path, "PK\3\4 something else\n", 21);
	expect_open_fails(path, RH_BAD_DATA, "is a zip archive");
	store_trace(path, "r\0e\0h\0e\0a\0p\0-\0", 14);
	expect_open_fails(path, RH_BAD_DATA, "text in UTF-16 without its mark");
	rh_file_head_put(head, 0);
	rh_put32(head + 8, 7);
	store_trace(path, head, sizeof(head));
	expect_open_fails(path, RH_BAD_DATA, "version 7 and this reheap reads version 1");
	rh_file_head_put(head, 1u << 20);
	store_trace(path, head, sizeof(head));
	expect_open_fails(path, RH_BAD_DATA, "columns");
}

/* A file with one block whose head says what it likes (and whose checksum is right, unless
 * it claims more bytes than there are): `good` events come, then an error that stays. */
static void expect_block_refused(const struct rh_block_head *head, const uint8_t *stored, int good,
				 const char *says)
{
	const char *path = scratch_path("lies.rht");
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
	store_trace(path, file, sizeof(file));
	expect_ok(rh_trace_open(&trace, path, &err), &err);
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
	const char *path = scratch_path("pipe.rht");
	struct rh_trace *trace;
	struct rh_trace_totals totals;
	struct rh_err err = { 0 };
	char command[160];
	int rc, saved = dup(STDIN_FILENO);
	FILE *pipe;
	bool exact;

	(void)state;
	write_events(path, RH_FORM_BINARY, 3, events, SMALL);
	snprintf(command, sizeof(command), "cat %s", path);
	pipe = popen(command, "r");
	assert_non_null(pipe);
	assert_int_equal(dup2(fileno(pipe), STDIN_FILENO), STDIN_FILENO);
	expect_ok(rh_trace_open(&trace, "-", &err), &err);
	rh_trace_totals(trace, &totals, &exact);
	assert_false(exact);
	assert_int_equal(read_trace_prefix(trace, events, SMALL, &rc, &err), SMALL);
	expect_ok(rc, &err);
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
	const char *path = scratch_path("kept.rht");
	struct rh_trace_make make = { .path = path };
	struct rh_trace_out *out;
	struct rh_err err = { 0 };
	char *data;
	size_t bytes;

	(void)state;
	store_trace(path, "precious", 8);
	expect_ok(rh_trace_create(&out, &make, &err), &err);
	assert_int_equal(rh_trace_put(out, &bad, 1, &err), -1);
	assert_int_equal(err.code, RH_BAD_DATA);
	assert_non_null(strstr(err.text, "event 1 (free)"));
	assert_int_equal(rh_trace_finish(out, NULL, &err), -1);
	data = load_trace(path, &bytes);
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
		cmocka_unit_test(test_round_trip),   cmocka_unit_test(test_every_kind),
		cmocka_unit_test(test_old_trace),    cmocka_unit_test(test_stop),
		cmocka_unit_test(test_blocks),	     cmocka_unit_test(test_implicit_lanes),
		cmocka_unit_test(test_empty_trace),  cmocka_unit_test(test_index),
		cmocka_unit_test(test_cut_anywhere), cmocka_unit_test(test_cut_blocks),
		cmocka_unit_test(test_turned_bits),  cmocka_unit_test(test_not_a_trace),
		cmocka_unit_test(test_lying_heads),  cmocka_unit_test(test_illegal_events),
		cmocka_unit_test(test_stdin),	     cmocka_unit_test(test_full_disk),
		cmocka_unit_test(test_untouched),    cmocka_unit_test(test_aligned_to_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
