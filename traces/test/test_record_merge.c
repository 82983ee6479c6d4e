/*
 * test_record_merge.c - captures made by hand: the order of threads, reallocs that move
 * while others take their old block, clocks that seem to go back, chunks read alone.
 */
#include "traces/test/record_run.h"

#include "traces/record/emit.h"
#include "traces/record/merge.h"

static struct rh_drain drain;
static struct rh_image image;

static struct rh_rec rec(enum rh_rec_kind kind, uint64_t address, uint32_t size, uint32_t ticks)
{
	return (struct rh_rec){ rh_rec_word(kind, address), (uint64_t)size << 32 | ticks };
}

static struct rh_rec base(uint64_t stamp)
{
	return (struct rh_rec){ rh_rec_word(RH_REC_BASE, 0), stamp };
}

static void begin(void)
{
	struct rh_err err = { 0 };

	memset(&drain, 0, sizeof drain);
	memset(&image, 0, sizeof image);
	drain.images = &image;
	drain.image_count = 1;
	image.stamp = 1000;
	assert_int_equal(rh_capture_open(&drain.capture, out_path, &err), 0);
}

static void add(uint32_t ring, uint64_t chunk_base, uint32_t thread, const struct rh_rec *recs,
		size_t count)
{
	struct rh_chunk chunk = { .ring = ring, .base = chunk_base, .thread = thread, .tid = thread,
				  .events = count };
	struct rh_err err = { 0 };

	/* in two pieces, as from a ring that wraps */
	assert_int_equal(rh_capture_add(&drain.capture, &chunk, recs, count / 2, recs + count / 2,
					count - count / 2, &err), 0);
}

/* Makes the trace and gives it as one line of text: kind lane id[/old], ... */
static const char *trace_of(void)
{
	static char text[2000];
	static struct rh_event batch[RH_TRACE_BATCH];
	struct rh_record_opts opts = record_defaults();
	struct rh_span all = { 0, UINT64_MAX };
	struct rh_emit what = { .opts = &opts, .drain = &drain, .spans = &all, .span_count = 1,
				.ns_per_tick = 1.0, .clock = "ticks", .ended = "exit 0" };
	struct rh_trace_totals totals;
	struct rh_trace *trace;
	struct rh_err err = { 0 };
	size_t at = 0;
	int got;

	if (rh_emit(&what, out_path, &totals, &err) < 0)
		fail_msg("%s", err.text);
	rh_capture_close(&drain.capture);
	assert_int_equal(rh_trace_open(&trace, out_path, &err), 0);
	text[0] = '\0';
	while ((got = rh_trace_next(trace, batch, RH_TRACE_BATCH, &err)) > 0)
		for (int i = 0; i < got; i++) {
			const struct rh_event *e = &batch[i];

			if (e->kind == RH_EV_RESIZE)
				at += (size_t)snprintf(text + at, sizeof text - at,
						       "resize %u %d/%d, ", e->lane,
						       (int)e->id, (int)e->old);
			else if (e->kind == RH_EV_ALLOC || e->kind == RH_EV_FREE)
				at += (size_t)snprintf(text + at, sizeof text - at, "%s %u %d, ",
						       rh_event_rows[e->kind].word, e->lane,
						       (int)e->id);
		}
	assert_int_equal(got, 0);
	rh_trace_close(trace);
	return text;
}

static void threads_interleave_by_stamp(void **state)
{
	const struct rh_rec one[] = { base(1000), rec(RH_REC_START, 0, 0, 11),
				      rec(RH_REC_ALLOC, 0x100, 8, 10),
				      rec(RH_REC_FREE, 0x200, 0, 40) };
	const struct rh_rec two[] = { base(1005), rec(RH_REC_START, 0, 1, 12),
				      rec(RH_REC_ALLOC, 0x200, 8, 15),
				      rec(RH_REC_FREE, 0x100, 0, 25) };

	(void)state;
	begin();
	add(0, 0, UINT32_MAX, one, 4);
	add(1, 0, UINT32_MAX, two, 4);
	assert_string_equal(trace_of(), "alloc 0 0, alloc 1 1, free 1 0, free 0 1, ");
	assert_clean(out_path);
}

/* Thread 1 moves 0x100 to 0x200; thread 2 is handed 0x100 before the realloc has said
 * that it is over: the resize must come first. */
static void old_block_is_taken_during_realloc(void **state)
{
	const struct rh_rec one[] = { base(1000), rec(RH_REC_START, 0, 0, 11),
				      rec(RH_REC_ALLOC, 0x100, 8, 10),
				      rec(RH_REC_RE_BEGIN, 0x100, 0, 20),
				      rec(RH_REC_RE_END, 0x200, 16, 90),
				      rec(RH_REC_FREE, 0x200, 0, 95) };
	const struct rh_rec two[] = { base(1000), rec(RH_REC_START, 0, 1, 12),
				      rec(RH_REC_ALLOC, 0x100, 8, 50),
				      rec(RH_REC_FREE, 0x100, 0, 60) };

	(void)state;
	begin();
	add(0, 0, UINT32_MAX, one, 6);
	add(1, 0, UINT32_MAX, two, 4);
	assert_string_equal(trace_of(), "alloc 0 0, resize 0 1/0, alloc 1 2, free 1 2, free 0 1, ");
	assert_clean(out_path);
}

/* The new block was freed by another thread after the realloc had begun. */
static void new_block_is_freed_during_realloc(void **state)
{
	const struct rh_rec one[] = { base(1000), rec(RH_REC_START, 0, 0, 11),
				      rec(RH_REC_ALLOC, 0x100, 8, 10),
				      rec(RH_REC_RE_BEGIN, 0x100, 0, 20),
				      rec(RH_REC_RE_END, 0x200, 16, 90) };
	const struct rh_rec two[] = { base(1000), rec(RH_REC_START, 0, 1, 12),
				      rec(RH_REC_ALLOC, 0x200, 8, 5),
				      rec(RH_REC_FREE, 0x200, 0, 60) };

	(void)state;
	begin();
	add(0, 0, UINT32_MAX, one, 5);
	add(1, 0, UINT32_MAX, two, 4);
	assert_string_equal(trace_of(), "alloc 1 0, alloc 0 1, free 1 0, resize 0 2/1, ");
	assert_clean(out_path);
}

/* A signal handler's calls stand between the two ends of the realloc it interrupted. */
static void realloc_with_a_handler_inside(void **state)
{
	const struct rh_rec one[] = { base(1000), rec(RH_REC_START, 0, 0, 11),
				      rec(RH_REC_ALLOC, 0x100, 8, 10),
				      rec(RH_REC_RE_BEGIN, 0x100, 0, 20),
				      rec(RH_REC_ALLOC, 0x300, 8, 55),
				      rec(RH_REC_RE_END, 0x200, 16, 90) };
	const struct rh_rec two[] = { base(1000), rec(RH_REC_START, 0, 1, 12),
				      rec(RH_REC_ALLOC, 0x100, 8, 50) };

	(void)state;
	begin();
	add(0, 0, UINT32_MAX, one, 6);
	add(1, 0, UINT32_MAX, two, 3);
	assert_string_equal(trace_of(), "alloc 0 0, free 0 0, alloc 1 1, alloc 0 2, alloc 0 3, ");
}

static void failed_and_freeing_reallocs(void **state)
{
	const struct rh_rec one[] = { base(1000), rec(RH_REC_START, 0, 0, 11),
				      rec(RH_REC_ALLOC, 0x100, 8, 10),
				      rec(RH_REC_RE_BEGIN, 0x100, 0, 20),
				      rec(RH_REC_RE_END, 0, 16, 30),	/* out of memory */
				      rec(RH_REC_RE_BEGIN, 0x100, 0, 40),
				      rec(RH_REC_RE_END, 0, 0, 50) };	/* size 0: freed */

	(void)state;
	begin();
	add(0, 0, UINT32_MAX, one, 7);
	assert_string_equal(trace_of(), "alloc 0 0, free 0 0, ");
	assert_int_equal(note_count(out_path, "drop.failed"), 1);
}

/* Stamps that go back on one ring are a handler that was quicker: order of the ring. */
static void a_late_stamp_is_moved_up(void **state)
{
	const struct rh_rec one[] = { base(1000), rec(RH_REC_START, 0, 0, 11),
				      rec(RH_REC_ALLOC, 0x100, 8, 50),
				      rec(RH_REC_ALLOC, 0x200, 8, 30) };
	const struct rh_rec two[] = { base(1000), rec(RH_REC_START, 0, 1, 12),
				      rec(RH_REC_ALLOC, 0x300, 8, 40) };

	(void)state;
	begin();
	add(0, 0, UINT32_MAX, one, 4);
	add(1, 0, UINT32_MAX, two, 3);
	assert_string_equal(trace_of(), "alloc 1 0, alloc 0 1, alloc 0 2, ");
}

static void chunks_can_be_read_alone(void **state)
{
	const struct rh_rec wide[] = { { rh_rec_word(RH_REC_WIDE, 0x7f), 1ull << 40 },
				       rec(RH_REC_ALLOC, 0x100, 0, 10) };
	struct rh_merge *merge;
	struct rh_call call;
	struct rh_err err = { 0 };

	(void)state;
	begin();
	add(3, 5000, 7, wide, 2);
	assert_int_equal(rh_merge_open(&merge, &drain.capture, 0, &err), 0);
	assert_int_equal(rh_merge_next(merge, &call, &err), 1);
	assert_int_equal(call.stamp, 5010);
	assert_int_equal(call.thread, 7);
	assert_true(call.size == 1ull << 40);
	assert_true(call.address == (0x7full << 48 | 0x100));
	assert_true(call.last && call.cut);
	assert_int_equal(rh_merge_next(merge, &call, &err), 0);
	rh_merge_close(merge);
	rh_capture_close(&drain.capture);
}

static void an_empty_capture_is_an_empty_trace(void **state)
{
	(void)state;
	begin();
	assert_string_equal(trace_of(), "");
}

static void the_oldest_chunks_go_first(void **state)
{
	struct rh_rec many[100];

	(void)state;
	begin();
	for (uint32_t i = 0; i < 100; i++)
		many[i] = rec(RH_REC_ALLOC, 0x1000 + 16 * i, 8, i);
	for (uint32_t i = 0; i < 50; i++)
		add(0, 1000 * i, 0, many, 100);
	rh_capture_keep_last(&drain.capture, 250, 0);
	assert_int_equal(drain.capture.kept_events, 300);
	assert_int_equal(drain.capture.given_up_events, 4700);
	assert_int_equal(drain.capture.count - drain.capture.first, 3);
	rh_capture_keep_last(&drain.capture, 0, 1600);
	assert_int_equal(drain.capture.kept_bytes, 1600);
	rh_capture_close(&drain.capture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(threads_interleave_by_stamp),
		cmocka_unit_test(old_block_is_taken_during_realloc),
		cmocka_unit_test(new_block_is_freed_during_realloc),
		cmocka_unit_test(realloc_with_a_handler_inside),
		cmocka_unit_test(failed_and_freeing_reallocs),
		cmocka_unit_test(a_late_stamp_is_moved_up),
		cmocka_unit_test(chunks_can_be_read_alone),
		cmocka_unit_test(an_empty_capture_is_an_empty_trace),
		cmocka_unit_test(the_oldest_chunks_go_first),
	};

	return cmocka_run_group_tests(tests, record_setup, record_teardown);
}
