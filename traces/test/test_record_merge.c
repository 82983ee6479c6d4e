/*
 * test_record_merge.c - captures made by hand: the order of threads, reallocs that move
 * while others take their old block, clocks that seem to go back, chunks read alone.
 */
#include "traces/test/record_run.h"

#include <sys/mman.h>

#include "traces/record/emit.h"
#include "traces/record/merge.h"
#include "traces/record/stream.h"

static struct rh_drain drain;
static struct rh_image image;

/* One call at a moment; a START is followed by its thread. */
struct moment {
	enum rh_rec_kind kind;
	uint64_t address, size, stamp;
};

static struct moment rec(enum rh_rec_kind kind, uint64_t address, uint64_t size, uint64_t stamp)
{
	return (struct moment){ kind, address, size, stamp };
}

static struct moment start_of(uint32_t thread, uint32_t tid, uint64_t stamp)
{
	return (struct moment){ RH_REC_START, 0, (uint64_t)thread << 32 | tid, stamp };
}

/* The moments added so far, for a second way to the same trace. */
static struct {
	uint32_t ring;
	struct moment moment;
} added[200];
static size_t added_count;

static void begin_capture(void)
{
	struct rh_err err = { 0 };

	memset(&drain, 0, sizeof drain);
	drain.images = &image;
	drain.image_count = 1;
	assert_int_equal(rh_capture_open(&drain.capture, out_path, &err), 0);
}

static void begin(void)
{
	memset(&image, 0, sizeof image);
	image.stamp = 1000;
	added_count = 0;
	begin_capture();
}

static void add_words(uint32_t ring, uint64_t stamp, uint32_t thread, const uint64_t *words,
		      size_t count)
{
	struct rh_chunk chunk = {
		.ring = ring, .stamp = stamp, .thread = thread, .tid = thread, .events = count
	};
	struct rh_err err = { 0 };

	assert_int_equal(rh_capture_add(&drain.capture, &chunk, words, count, &err), 0);
}

/* A chunk in which every record has a stamp. */
static void add(uint32_t ring, uint64_t stamp, uint32_t thread, const struct moment *moments,
		size_t count)
{
	uint64_t words[400];
	size_t at = 0;

	for (size_t i = 0; i < count; i++) {
		assert_true(added_count < sizeof added / sizeof added[0]);
		added[added_count].ring = ring;
		added[added_count++].moment = moments[i];
	}
	for (size_t i = 0; i < count; i++) {
		struct rh_rec one = { .kind = (uint8_t)moments[i].kind,
				      .address = moments[i].address,
				      .tail = moments[i].size };

		assert_true(at + 1 + RH_REC_MOST_WORDS <= 400);
		words[at++] = rh_rec_stamp(moments[i].stamp);
		at += rh_rec_pack(&one, words + at);
	}
	add_words(ring, stamp, thread, words, at);
}

static struct rh_record_opts opts;
static const struct rh_span all = { 0, UINT64_MAX };

static struct rh_emit what_to_emit(void)
{
	opts = record_defaults();
	return (struct rh_emit){ .opts = &opts,
				 .drain = &drain,
				 .spans = &all,
				 .span_count = 1,
				 .ns_per_tick = 1.0,
				 .clock = "ticks",
				 .ended = "exit 0" };
}

/* What was made, as one line of text: kind lane id[/old], ... */
static void read_trace(char *text, size_t room)
{
	static struct rh_event batch[RH_TRACE_BATCH];
	struct rh_trace *trace;
	struct rh_err err = { 0 };
	uint64_t last = 0;
	size_t at = 0;
	int got;

	assert_int_equal(rh_trace_open(&trace, out_path, &err), 0);
	text[0] = '\0';
	while ((got = rh_trace_next(trace, batch, RH_TRACE_BATCH, &err)) > 0)
		for (int i = 0; i < got; i++) {
			const struct rh_event *e = &batch[i];

			assert_true(e->time_ns >= last);
			last = e->time_ns;
			if (e->kind == RH_EV_RESIZE)
				at += (size_t)snprintf(text + at, room - at, "resize %u %d/%d, ",
						       e->lane, (int)e->id, (int)e->old);
			else if (e->kind == RH_EV_ALLOC || e->kind == RH_EV_FREE)
				at += (size_t)snprintf(text + at, room - at, "%s %u %d, ",
						       rh_event_rows[e->kind].word, e->lane,
						       (int)e->id);
		}
	assert_int_equal(got, 0);
	rh_trace_close(trace);
}

/* Every moment a chunk of its own, there when the clock says so; a ring's go in their order. */
static void tell_until(bool *there, uint64_t now, struct rh_emitter *emit)
{
	static const uint64_t none = UINT64_MAX;
	uint64_t passed[4] = { 0 }, threads[4] = { none, none, none, none };
	struct rh_err err = { 0 };

	for (size_t i = 0; i < added_count; i++) {
		const struct moment *moment = &added[i].moment;
		uint32_t ring = added[i].ring;
		struct rh_chunk chunk = { .ring = ring,
					  .stamp = passed[ring],
					  .thread = (uint32_t)(threads[ring] >> 32),
					  .tid = (uint32_t)threads[ring],
					  .events = 1 };
		struct rh_rec one = { .kind = (uint8_t)moment->kind,
				      .address = moment->address,
				      .tail = moment->size };
		uint64_t words[1 + RH_REC_MOST_WORDS] = { rh_rec_stamp(moment->stamp) };

		if (moment->kind == RH_REC_START)
			threads[ring] = moment->size;
		if (passed[ring] < moment->stamp)
			passed[ring] = moment->stamp;
		if (there[i] || passed[ring] > now)
			continue;
		there[i] = true;
		assert_int_equal(rh_capture_add(&drain.capture, &chunk, words,
						1 + rh_rec_pack(&one, words + 1), &err),
				 0);
		assert_int_equal(rh_emit_add(emit, &chunk, &err), 0);
	}
}

/* The same trace, written while the program runs, with a turn at every stamp. */
static void trace_in_turns(char *text, size_t room)
{
	struct rh_emit what = what_to_emit();
	char elsewhere[64];
	bool there[sizeof added / sizeof added[0]] = { false };
	struct rh_trace_totals totals;
	struct rh_emitter *emit;
	struct rh_err err = { 0 };

	snprintf(elsewhere, sizeof elsewhere, "%s/elsewhere.rht", work_dir);
	begin_capture();
	assert_int_equal(rh_emit_begin(&emit, &what, elsewhere, &err), 0);
	for (uint64_t now = 1000; now < 1100; now += 5) {
		tell_until(there, now, emit);
		assert_int_equal(rh_emit_turn(emit, &what, now, &err), 0);
		assert_int_equal(rh_emit_work(emit, &err), 0);
	}
	tell_until(there, UINT64_MAX, emit);
	assert_int_equal(rh_emit_end(emit, &what, out_path, &totals, &err), 0);
	rh_capture_close(&drain.capture);
	read_trace(text, room);
}

/* Makes the trace, in both ways where there are two, and gives it as text. */
static const char *trace_of(void)
{
	static char text[2000], turns[2000];
	struct rh_emit what = what_to_emit();
	struct rh_trace_totals totals;
	struct rh_err err = { 0 };

	if (rh_emit(&what, out_path, &totals, &err) < 0)
		fail_msg("%s", err.text);
	rh_capture_close(&drain.capture);
	read_trace(text, sizeof text);
	if (added_count) { /* what is said of the trace below is then said of this one */
		trace_in_turns(turns, sizeof turns);
		assert_string_equal(turns, text);
	}
	return text;
}

static void threads_interleave_by_stamp(void **state)
{
	const struct moment one[] = { start_of(0, 11, 1000), rec(RH_REC_ALLOC, 0x100, 8, 1010),
				      rec(RH_REC_FREE, 0x200, 0, 1040) };
	const struct moment two[] = { start_of(1, 12, 1005), rec(RH_REC_ALLOC, 0x200, 8, 1020),
				      rec(RH_REC_FREE, 0x100, 0, 1030) };

	(void)state;
	begin();
	add(0, 0, UINT32_MAX, one, 3);
	add(1, 0, UINT32_MAX, two, 3);
	assert_string_equal(trace_of(), "alloc 0 0, alloc 1 1, free 1 0, free 0 1, ");
	assert_clean(out_path);
}

/* Thread 1 moves 0x100 to 0x200; thread 2 is handed 0x100 before the realloc has said
 * that it is over: the resize must come first. */
static void old_block_is_taken_during_realloc(void **state)
{
	const struct moment one[] = { start_of(0, 11, 1000), rec(RH_REC_ALLOC, 0x100, 8, 1010),
				      rec(RH_REC_RE_BEGIN, 0x100, 0, 1020),
				      rec(RH_REC_RE_END, 0x200, 16, 1090),
				      rec(RH_REC_FREE, 0x200, 0, 1095) };
	const struct moment two[] = { start_of(1, 12, 1000), rec(RH_REC_ALLOC, 0x100, 8, 1050),
				      rec(RH_REC_FREE, 0x100, 0, 1060) };

	(void)state;
	begin();
	add(0, 0, UINT32_MAX, one, 5);
	add(1, 0, UINT32_MAX, two, 3);
	assert_string_equal(trace_of(), "alloc 0 0, resize 0 1/0, alloc 1 2, free 1 2, free 0 1, ");
	assert_clean(out_path);
}

/* The new block was freed by another thread after the realloc had begun. */
static void new_block_is_freed_during_realloc(void **state)
{
	const struct moment one[] = { start_of(0, 11, 1000), rec(RH_REC_ALLOC, 0x100, 8, 1010),
				      rec(RH_REC_RE_BEGIN, 0x100, 0, 1020),
				      rec(RH_REC_RE_END, 0x200, 16, 1090) };
	const struct moment two[] = { start_of(1, 12, 1000), rec(RH_REC_ALLOC, 0x200, 8, 1005),
				      rec(RH_REC_FREE, 0x200, 0, 1060) };

	(void)state;
	begin();
	add(0, 0, UINT32_MAX, one, 4);
	add(1, 0, UINT32_MAX, two, 3);
	assert_string_equal(trace_of(), "alloc 1 0, alloc 0 1, free 1 0, resize 0 2/1, ");
	assert_clean(out_path);
}

/* A signal handler's calls stand between the two ends of the realloc it interrupted. */
static void realloc_with_a_handler_inside(void **state)
{
	const struct moment one[] = { start_of(0, 11, 1000), rec(RH_REC_ALLOC, 0x100, 8, 1010),
				      rec(RH_REC_RE_BEGIN, 0x100, 0, 1020),
				      rec(RH_REC_ALLOC, 0x300, 8, 1055),
				      rec(RH_REC_RE_END, 0x200, 16, 1090) };
	const struct moment two[] = { start_of(1, 12, 1000), rec(RH_REC_ALLOC, 0x100, 8, 1050) };

	(void)state;
	begin();
	add(0, 0, UINT32_MAX, one, 5);
	add(1, 0, UINT32_MAX, two, 2);
	assert_string_equal(trace_of(), "alloc 0 0, free 0 0, alloc 1 1, alloc 0 2, alloc 0 3, ");
}

static void failed_and_freeing_reallocs(void **state)
{
	const struct moment one[] = { start_of(0, 11, 1000),
				      rec(RH_REC_ALLOC, 0x100, 8, 1010),
				      rec(RH_REC_RE_BEGIN, 0x100, 0, 1020),
				      rec(RH_REC_RE_END, 0, 16, 1030), /* out of memory */
				      rec(RH_REC_RE_BEGIN, 0x100, 0, 1040),
				      rec(RH_REC_RE_END, 0, 0, 1050),	/* size 0: freed */
				      rec(RH_REC_FREE, 0x900, 0, 1060), /* older: in no total */
				      rec(RH_REC_FREE, 0xa00, 0, 1070) };

	(void)state;
	begin();
	image.how = RH_PROC_LATE;
	add(0, 0, UINT32_MAX, one, 8);
	assert_string_equal(trace_of(), "alloc 0 0, free 0 0, ");
	assert_int_equal(note_count(out_path, "drop.failed"), 1);
}

/* Stamps that go back on one ring are a handler that was quicker: order of the ring. */
static void a_late_stamp_is_moved_up(void **state)
{
	const struct moment one[] = { start_of(0, 11, 1000), rec(RH_REC_ALLOC, 0x100, 8, 1050),
				      rec(RH_REC_ALLOC, 0x200, 8, 1030) };
	const struct moment two[] = { start_of(1, 12, 1000), rec(RH_REC_ALLOC, 0x300, 8, 1040) };

	(void)state;
	begin();
	add(0, 0, UINT32_MAX, one, 3);
	add(1, 0, UINT32_MAX, two, 2);
	assert_string_equal(trace_of(), "alloc 1 0, alloc 0 1, alloc 0 2, ");
}

static void chunks_can_be_read_alone(void **state)
{
	/* no STAMP: the chunk's own holds; a block above 2^47 and of 2^40 bytes is long */
	const struct rh_rec wide = { .kind = RH_REC_ALLOC,
				     .address = 0x7full << 48 | 0x100,
				     .tail = 1ull << 40,
				     .align_log2 = 12 };
	uint64_t words[4] = { 0 }; /* PAD in front */
	struct rh_merge *merge;
	struct rh_call call;
	struct rh_err err = { 0 };

	(void)state;
	begin();
	assert_int_equal(rh_rec_pack(&wide, words + 1), 3);
	add_words(3, 5010, 7, words, 4);
	assert_int_equal(rh_merge_open(&merge, &drain.capture, 0, &err), 0);
	assert_int_equal(rh_merge_next(merge, &call, &err), 1);
	assert_int_equal(call.stamp, 5010);
	assert_int_equal(call.thread, 7);
	assert_true(call.size == 1ull << 40);
	assert_int_equal(call.align_log2, 12);
	assert_true(call.address == (0x7full << 48 | 0x100));
	assert_true(call.last && call.cut);
	assert_int_equal(rh_merge_next(merge, &call, &err), 0);
	rh_merge_close(merge);
	rh_capture_close(&drain.capture);
}

/* The size that a free was given, plus one; beside the resident bytes it has a record of
 * its own, which holds for one free only. */
static void a_free_may_have_its_size(void **state)
{
	const struct {
		struct rh_rec rec;
		bool sized, resident;
		uint64_t given;
	} rows[] = {
		{ { .kind = RH_REC_FREE, .address = 0x100 }, false, false, 0 },
		{ { .kind = RH_REC_FREE, .address = 0x100, .tail = 1 }, true, false, 0 },
		{ { .kind = RH_REC_FREE, .address = 0x100, .tail = 25 }, true, false, 24 },
		{ { .kind = RH_REC_FREE, .address = 0x100, .tail = 1u << 20 },
		  true,
		  false,
		  (1u << 20) - 1 },
		{ { .kind = RH_REC_SIZED, .tail = 49 }, false, false, 0 },
		{ { .kind = RH_REC_FREE_RESIDENT, .address = 0x100, .tail = 4096 },
		  true,
		  true,
		  48 },
		{ { .kind = RH_REC_FREE_RESIDENT, .address = 0x100, .tail = 4096 },
		  false,
		  true,
		  0 },
	};
	uint64_t words[32];
	struct rh_merge *merge;
	struct rh_call call;
	struct rh_err err = { 0 };
	size_t at = 0;

	(void)state;
	begin();
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
		at += rh_rec_pack(&rows[i].rec, words + at);
	add_words(0, 10, 0, words, at);
	assert_int_equal(rh_merge_open(&merge, &drain.capture, 0, &err), 0);
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		if (rows[i].rec.kind == RH_REC_SIZED)
			continue;
		assert_int_equal(rh_merge_next(merge, &call, &err), 1);
		assert_int_equal(call.kind, RH_REC_FREE);
		assert_int_equal(call.sized, rows[i].sized);
		assert_int_equal(call.resident, rows[i].resident);
		if (call.sized)
			assert_int_equal(call.given, rows[i].given);
	}
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

/* Records without a STAMP of their own have the last one of their ring: early, never late.
 * Ring 0's free of 0x100 is placed at 1010, so it stands before ring 1's next use of the
 * block, which has a stamp because the block was another ring's. */
static void unstamped_records_come_early(void **state)
{
	const uint64_t one[] = { rh_rec_stamp(1010),
				 rh_rec_short(RH_REC_ALLOC, 0x100, 8),
				 rh_rec_short(RH_REC_CALLOC, 0x200, (1 << RH_REC_SIZE_BITS) - 1),
				 rh_rec_short(RH_REC_FREE, 0x100, 0),
				 rh_rec_stamp(1090),
				 rh_rec_short(RH_REC_FREE, 0x200, 0) };
	const uint64_t two[] = { rh_rec_stamp(1005), rh_rec_short(RH_REC_ALLOC, 0x300, 8),
				 rh_rec_stamp(1050), rh_rec_short(RH_REC_ALLOC, 0x100, 8),
				 rh_rec_short(RH_REC_FREE, 0x100, 0) };

	(void)state;
	begin();
	add_words(0, 0, 0, one, 6);
	add_words(1, 0, 1, two, 5);
	assert_string_equal(trace_of(), "alloc 0 0, alloc 1 1, alloc 1 2, free 1 1, alloc 0 3, "
					"free 0 3, free 1 2, ");
	assert_clean(out_path);
}

/* More words than the buffer of a stream holds, all long: some are read in two halves. */
static void long_records_cross_buffers(void **state)
{
	enum { COUNT = 40000 };
	uint64_t *words = malloc(COUNT * 3 * sizeof *words);
	struct rh_merge *merge;
	struct rh_call call;
	struct rh_err err = { 0 };

	(void)state;
	assert_non_null(words);
	begin();
	for (uint64_t i = 0; i < COUNT; i++) {
		const struct rh_rec one = { .kind = RH_REC_ALLOC,
					    .address = 16 * i + 16,
					    .tail = 65536 + i };

		assert_int_equal(rh_rec_pack(&one, words + 3 * i), 3);
	}
	add_words(0, 77, 0, words, COUNT * 3);
	free(words);
	assert_int_equal(rh_merge_open(&merge, &drain.capture, 0, &err), 0);
	for (uint64_t i = 0; i < COUNT; i++) {
		assert_int_equal(rh_merge_next(merge, &call, &err), 1);
		assert_int_equal(call.address, 16 * i + 16);
		assert_int_equal(call.size, 65536 + i);
		assert_int_equal(call.stamp, 77);
	}
	assert_int_equal(rh_merge_next(merge, &call, &err), 0);
	rh_merge_close(merge);
	rh_capture_close(&drain.capture);
}

/* Chunks of 100 words. */
static void the_oldest_chunks_go_first(void **state)
{
	uint64_t many[100];

	(void)state;
	begin();
	for (uint32_t i = 0; i < 100; i++)
		many[i] = rh_rec_short(RH_REC_ALLOC, 0x1000 + 16 * i, 8);
	for (uint32_t i = 0; i < 50; i++)
		add_words(0, 1000 * i, 0, many, 100);
	rh_capture_keep_last(&drain.capture, 250, 0);
	assert_int_equal(drain.capture.kept_events, 300);
	assert_int_equal(drain.capture.given_up_events, 4700);
	assert_int_equal(drain.capture.count - drain.capture.first, 3);
	rh_capture_keep_last(&drain.capture, 0, 800);
	assert_int_equal(drain.capture.kept_bytes, 800);
	rh_capture_close(&drain.capture);
}

/* Two threads hand blocks over; the first has more than fits into one turn. The writer's thread
 * writes what is there, and the rest comes at the end; then the first trace is abandoned and made
 * again from the capture, which must be whole. */
static void written_while_it_runs(void **state)
{
	enum { ROUNDS = 300, BLOCKS = 2000 };
	static uint64_t one[2 * BLOCKS + 1], two[2 * BLOCKS + 1];
	struct rh_emit what = what_to_emit();
	struct rh_stream *stream = rh_stream_open(false);
	struct rh_emitter *begun;
	struct rh_trace_totals totals[2];
	struct rh_area *area;
	struct rh_err err = { 0 };
	uint64_t now = 1000000;
	int fd;

	(void)state;
#ifdef __SANITIZE_THREAD__
	print_message("# SKIP takes minutes under ThreadSanitizer\n");
	skip();
#endif
	if (!stream) {
		print_message("# SKIP one CPU: there is no writer\n");
		skip();
	}
	begin();
	area = rh_area_make(&opts, 1, &fd, &err);
	assert_non_null(area);
	area->ticks_per_ms = 1;
	drain.area = area;
	for (uint64_t round = 0; round < ROUNDS; round++, now += 1000) {
		one[0] = rh_rec_stamp(now);
		two[0] = rh_rec_stamp(now + 500);
		for (uint64_t i = 0; i < BLOCKS; i++) {
			one[1 + i] = rh_rec_short(RH_REC_ALLOC, 16 * i + 16, i);
			two[1 + i] = rh_rec_short(RH_REC_FREE, 16 * i + 16, 0);
		}
		add_words(0, now, 0, one, 1 + BLOCKS);
		image.events += BLOCKS;
		if (round % 2) /* the free of a block may be seen in the turn after its birth */
			rh_stream_turn(stream, &what, now + 400);
		add_words(1, now + 500, 1, two, 1 + BLOCKS);
		image.events += BLOCKS;
		rh_stream_turn(stream, &what, now + 900);
	}
	rh_stream_stop(stream);
	begun = rh_stream_take(stream, &drain.capture, 0);
	assert_non_null(begun);
	assert_null(rh_stream_take(stream, &drain.capture, 0));
	assert_int_equal(rh_emit_end(begun, &what, out_path, &totals[0], &err), 0);
	assert_clean(out_path);
	assert_int_equal(rh_emit(&what, out_path, &totals[1], &err), 0);
	assert_clean(out_path);
	assert_int_equal(totals[0].by_kind[RH_EV_FREE], ROUNDS * BLOCKS);
	assert_memory_equal(&totals[0], &totals[1], sizeof totals[0]);
	rh_stream_close(stream);
	rh_capture_close(&drain.capture);
	rh_area_close(area, fd);
}

static void claim(struct rh_area *area, uint32_t slot, uint64_t stamp)
{
	struct rh_proc *proc = rh_area_proc(area, slot);

	proc->pid = getpid();
	proc->stamp = stamp;
	atomic_store(&proc->state, RH_PROC_READY);
}

/* Two execs between two looks, the second into a slot that became free meanwhile: the
 * image in the lower slot is the younger one, and it is the one that lives. */
static void images_are_told_by_their_time(void **state)
{
	static struct rh_drain two;
	struct rh_record_opts defaults = record_defaults();
	struct rh_err err = { 0 };
	struct rh_area *area;
	int fd;

	(void)state;
	area = rh_area_make(&defaults, 1, &fd, &err);
	assert_non_null(area);
	assert_int_equal(rh_drain_open(&two, area, fd, out_path, &err), 0);
	atomic_store(&area->main_pid, getpid());
	claim(area, 2, 100);
	claim(area, 0, 200);
	atomic_store(&area->procs_high, 3);
	assert_int_equal(rh_drain_processes(&two, false, &err), 0);
	assert_int_equal(atomic_load(&rh_area_proc(area, 2)->state), RH_PROC_FREE);
	assert_int_equal(atomic_load(&rh_area_proc(area, 0)->state), RH_PROC_READY);
	assert_int_equal(two.images[rh_drain_newest(&two, getpid(), false)].stamp, 200);
	rh_drain_close(&two);
	rh_area_close(area, fd);
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
		cmocka_unit_test(a_free_may_have_its_size),
		cmocka_unit_test(unstamped_records_come_early),
		cmocka_unit_test(long_records_cross_buffers),
		cmocka_unit_test(the_oldest_chunks_go_first),
		cmocka_unit_test(written_while_it_runs),
		cmocka_unit_test(images_are_told_by_their_time),
	};

	return cmocka_run_group_tests(tests, record_setup, record_teardown);
}
