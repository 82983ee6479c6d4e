/*
 * test_import_go_bytes.c - small Go traces made byte by byte: what real ones hold too rarely
 * (swapped clocks, lost events, flight recorders) and what none should (hostile counts).
 * Each is imported with its losses counted, or refused with the place.
 */
#include "traces/test/go_maker.h"

static void refused_with(const char *part)
{
	gm_import();
	assert_int_equal(ik.rc, -1);
	assert_int_equal(ik.err.code, RH_BAD_DATA);
	if (!strstr(ik.err.text, part))
		fail_msg("'%s' is not in: %s", part, ik.err.text);
}

/* One thread, one span of 64-byte slots, three objects of which one is freed; two generations. */
static void make_small(unsigned version)
{
	gm_open(version);
	gm_info(1);
	gm_type(1, 3, 56, "main.node");
	gm_begin(1, 7, 100);
	gm_runs(7, 0, 1);
	gm_event(GO_SPAN, 3, 0, 1, GM_KIND_64);
	gm_event(GO_OBJECT, 2, gm_slot(0, 0), 3);
	gm_event(GO_OBJECT_ALLOC, 2, gm_slot(0, 1), 3);
	gm_end();
	if (version >= 26)
		gm_end_generation();
	gm_begin(2, 7, 200);
	gm_runs(7, 0, 1);
	gm_event(GO_OBJECT_ALLOC, 2, gm_slot(0, 2), 0);
	gm_event(GO_OBJECT_FREE, 1, gm_slot(0, 0));
	gm_end();
	if (version >= 26)
		gm_end_generation();
}

static void a_made_trace_is_as_good_as_a_real_one(void **state)
{
	static const unsigned versions[] = { 23, 25, 26 };

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		make_small(versions[i]);
		imported();
		assert_int_equal(ik.totals.by_kind[RH_EV_ALLOC], 3);
		assert_int_equal(ik.totals.by_kind[RH_EV_FREE], 1);
		assert_int_equal(ik.totals.live_bytes_end, 56 + 64);
		assert_int_equal(ik_note("estimate.size_unknown"), 1);
		assert_int_equal(ik_note("repair.order_forced"), 0);
		assert_int_equal(ik_note("import.records"), 9);
		assert_false(has_note("import.truncated", ""));
		assert_false(has_note("go.snapshot", ""));
	}
}

/* Cut anywhere: what was whole comes in, the rest is named; nothing else may happen. */
static void a_cut_at_every_byte_is_told(void **state)
{
	uint64_t before = 0;
	size_t bytes, refused = 0;

	(void)state;
	make_small(26);
	bytes = gm.bytes;
	for (size_t cut = 0; cut < bytes; cut++) {
		gm.bytes = cut;
		gm_import();
		if (ik.rc < 0) {
			assert_int_equal(ik.err.code, RH_BAD_DATA);
			assert_int_equal(before, 0);
			/* what is missing was cut off, not left unrecorded */
			assert_null(strstr(ik.err.text, "GODEBUG"));
			refused++;
			continue;
		}
		ik_adds_up("go");
		assert_true(ik_note("import.records") >= before);
		before = ik_note("import.records");
		/* Between two generations nothing is missing that could be known. */
		if (!has_note("import.truncated", "cut off"))
			assert_int_equal(gm.data[cut - 1], 52);
	}
	assert_int_equal(before, 9);
	/* Refused until the first batch of events is whole. */
	assert_true(refused > 60 && refused < bytes - 20);
}

/* Every byte in turn becomes each of these: refused, or a legal trace that adds up. */
static void any_byte_may_be_wrong(void **state)
{
	static const uint8_t values[] = { 0, 1, 7, 49, 52, 0x7f, 0x80, 132, 0xff };
	size_t refused = 0, imports = 0;

	(void)state;
	make_small(26);
	for (size_t at = 0; at < gm.bytes; at++) {
		uint8_t was = gm.data[at];

		for (size_t i = 0; i < sizeof(values); i++) {
			gm.data[at] = values[i];
			gm_import();
			if (ik.rc == 0)
				ik_adds_up("go");
			else
				assert_int_equal(ik.err.code, RH_BAD_DATA);
			imports++;
			refused += ik.rc < 0;
		}
		gm.data[at] = was;
	}
	assert_true(refused > imports / 4 && refused < imports);
}

static void unknown_events_name_their_place(void **state)
{
	static const unsigned kinds[] = { 0, 1, 8, 49, 52, 127, 137, 255 };

	(void)state;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		char part[32];

		gm_open(26);
		gm_info(1);
		gm_begin(1, 7, 100);
		gm_runs(7, 0, 1);
		gm_event(GO_SPAN, 3, 0, 1, GM_KIND_64);
		gm_event(kinds[i], 0);
		gm_end();
		gm_end_generation();
		snprintf(part, sizeof(part), "thread 7: event %u is", kinds[i]);
		imported();
		assert_true(has_note("import.truncated", part));
	}
}

static void an_event_that_its_batch_cuts_is_refused(void **state)
{
	(void)state;
	make_small(26);
	gm_open(26);
	gm_begin(1, 7, 100);
	gm_event(GO_OBJECT_ALLOC, 1, gm_slot(0, 1)); /* its type is missing */
	gm_end();
	gm_end_generation();
	refused_with("or is cut");
}

static void numbers_that_overflow_are_refused(void **state)
{
	(void)state;
	/* In an event: eleven bytes, and ten with more than 64 bits. */
	for (int longer = 0; longer < 2; longer++) {
		gm_open(26);
		gm_begin(1, 7, 100);
		gm_raw(GO_OBJECT_FREE);
		gm_number(1);
		for (int i = 0; i < 9 + longer; i++)
			gm_raw(0xff);
		gm_raw(2);
		gm_end();
		gm_end_generation();
		refused_with("is cut");
	}
	/* The largest number there is passes: an object where no span can be. (25: without its
	 * end, a generation of 26 is cut off, and would stop there.) */
	gm_open(25);
	gm_begin(1, 7, 100);
	gm_raw(GO_OBJECT_FREE);
	gm_number(1);
	gm_number(UINT64_MAX);
	gm_raw(GO_STACK_ALLOC);
	gm_number(UINT64_MAX);
	gm_number(UINT64_MAX);
	gm_number(UINT64_MAX);
	gm_end();
	imported();
	assert_int_equal(ik_note("drop.object_in_unknown_span"), 1);
	assert_int_equal(ik_note("drop.stack_empty"), 1);
}

static void counts_beyond_the_format_are_refused(void **state)
{
	(void)state;
	gm_open(26);
	gm_begin(1, 7, 100);
	gm_varint(65537);
	refused_with("longer than 65536");
	/* A padded number in the head of a batch. */
	gm_open(26);
	gm_byte(1);
	for (int i = 0; i < 11; i++)
		gm_byte(0x80);
	for (int i = 0; i < 40; i++)
		gm_byte(0);
	refused_with("longer than ten bytes");
	/* A name longer than its table, and one of all lengths. */
	gm_open(26);
	gm_begin_type(49, 1, 7, 0);
	gm_raw(0);
	for (int i = 0; i < 4; i++)
		gm_number(8);
	gm_number(UINT64_MAX);
	gm_end();
	gm_end_generation();
	refused_with("table of types is damaged");
	gm_open(26);
	gm_begin_type(49, 1, 7, 0);
	gm_raw(1);
	gm_number(GM_HEAP);
	gm_number(4096);
	gm_number(8);
	gm_number(2048);
	gm_end();
	gm_end_generation();
	refused_with("pages of 4096");
}

static void spans_that_no_heap_has_are_dropped(void **state)
{
	static const int odd[][2] = {
		{ 0, GM_KIND_64 }, { 1, 68 << 2 },   { 1, 30000 },
		{ 2, GM_KIND_64 }, { INT32_MAX, 0 }, { 1, GM_KIND_64 | 1 },
	};

	(void)state;
	gm_open(26);
	gm_info(1);
	gm_begin(1, 7, 100);
	gm_runs(7, 0, 1);
	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++)
		gm_event(GO_SPAN_ALLOC, 3, 8 * (int)i, odd[i][0], odd[i][1]);
	gm_event(GO_OBJECT_ALLOC, 2, gm_slot(0, 0), 0);
	gm_event(GO_SPAN_FREE, 1, 0);
	gm_end();
	gm_end_generation();
	imported();
	assert_int_equal(ik_note("drop.span_impossible"), 6);
	assert_int_equal(ik_note("drop.object_in_unknown_span"), 1);
	assert_int_equal(ik_note("drop.span_free_unknown"), 1);
}

/* What a flight recorder keeps: no snapshot, spans and objects of before unknown. */
static void without_a_snapshot_the_rest_is_imported(void **state)
{
	(void)state;
	gm_open(26);
	gm_begin(5, 7, 100);
	gm_runs(7, 0, 1);
	gm_event(GO_OBJECT_ALLOC, 2, gm_slot(0, 3), 0);
	gm_event(GO_OBJECT_FREE, 1, gm_slot(0, 4));
	gm_event(GO_STACK_FREE, 1, 77);
	gm_event(GO_SPAN_FREE, 1, 0);
	gm_event(GO_SPAN_ALLOC, 3, 0, 1, GM_KIND_64);
	gm_event(GO_OBJECT_ALLOC, 2, gm_slot(0, 3), 0);
	gm_event(GO_OBJECT_FREE, 1, gm_slot(0, 4));
	gm_end();
	gm_end_generation();
	imported();
	assert_true(has_note("go.snapshot", "missing"));
	assert_int_equal(ik.totals.by_kind[RH_EV_ALLOC], 1);
	assert_int_equal(ik_note("drop.object_in_unknown_span"), 2);
	assert_int_equal(ik_note("drop.stack_free_unknown"), 1);
	assert_int_equal(ik_note("drop.span_free_unknown"), 1);
	assert_int_equal(ik_note("drop.free_unknown"), 1);
}

/* Go's own writer loses heads of batches: what came before counts, and the loss is reported. */
static void a_batch_without_a_head_ends_the_trace(void **state)
{
	(void)state;
	gm_open_with_object();
	gm_end();
	gm_byte(GO_OBJECT_FREE);
	for (int i = 0; i < 100; i++)
		gm_byte(0x84);
	imported();
	assert_int_equal(ik.totals.by_kind[RH_EV_ALLOC], 1);
	assert_true(has_note("import.truncated", "damaged at byte"));
	/* The first one cannot be a trace. */
	gm_open(26);
	gm_byte(GO_OBJECT_FREE);
	for (int i = 0; i < 100; i++)
		gm_byte(0x84);
	refused_with("a batch should begin here");
}

/* What a thread wrote behind the damage is lost, and nothing else. */
static void a_torn_batch_ends_its_thread(void **state)
{
	(void)state;
	gm_open_with_object();
	gm_event(GO_OBJECT_ALLOC, 2, gm_slot(0, 1), 0);
	gm_raw(200);
	gm_event(GO_OBJECT_ALLOC, 2, gm_slot(0, 2), 0);
	gm_end();
	gm_begin(1, 8, 120);
	gm_event(GO_OBJECT_ALLOC, 2, gm_slot(0, 3), 0);
	gm_end();
	gm_end_generation();
	imported();
	assert_int_equal(ik.totals.by_kind[RH_EV_ALLOC], 3);
	assert_true(has_note("import.truncated", "damaged in generation 1, thread 7: event 200 "));
	/* A number that does not end. */
	gm_open_with_object();
	gm_raw(GO_OBJECT_FREE);
	gm_raw(0x80);
	gm_end();
	gm_end_generation();
	imported();
	assert_int_equal(ik.totals.by_kind[RH_EV_FREE], 0);
	assert_true(has_note("import.truncated", "damaged in generation 1"));
}

static void versions_do_not_mix(void **state)
{
	size_t bytes;

	(void)state;
	/* The end of a generation is of 1.26. */
	make_small(23);
	gm_end_generation();
	imported();
	assert_true(has_note("import.truncated", "a batch should begin here"));
	/* Two files in one. */
	make_small(26);
	bytes = gm.bytes;
	memmove(gm.data + bytes, gm.data, bytes);
	gm.bytes = 2 * bytes;
	gm.data[bytes + 6] = '3';
	imported();
	assert_true(has_note("import.truncated", "another trace begins here (two files in one)"));
	/* Versions that nobody wrote. */
	make_small(24);
	refused_with("format 1.24, which is not known");
	make_small(27);
	refused_with("format 1.27, which is not known");
	make_small(22);
	refused_with("traceallocfree=1");
}

/* P 1's free of a slot bears a later stamp than P 0's next alloc of it. */
static void swapped_frees_are_put_right(void **state)
{
	(void)state;
	gm_open_with_object();
	gm_event(GO_OBJECT_ALLOC, 2, gm_slot(0, 1), 0);
	gm.step = 100;
	gm_event(GO_OBJECT_ALLOC, 2, gm_slot(0, 0), 0); /* at 205 */
	gm_end();
	gm.step = 1;
	gm_begin(1, 8, 210);
	gm_runs(8, 1, 2);
	gm_event(GO_OBJECT_FREE, 1, gm_slot(0, 0)); /* of the object before */
	gm_event(GO_OBJECT_FREE, 1, gm_slot(0, 1));
	gm_event(GO_OBJECT_FREE, 1, gm_slot(0, 1)); /* and nothing is there */
	gm_end();
	gm_end_generation();
	imported();
	assert_int_equal(ik.totals.by_kind[RH_EV_ALLOC], 3);
	assert_int_equal(ik.totals.by_kind[RH_EV_FREE], 2);
	assert_int_equal(ik.totals.live_objects_end, 1);
	assert_int_equal(ik_note("repair.slot_live"), 1);
	assert_int_equal(ik_note("drop.free_swapped"), 1);
	assert_int_equal(ik_note("drop.free_unknown"), 1);
}

/* A span whose end was lost: the next one over it ends it, with what lived in it. */
static void a_span_over_another_ends_it(void **state)
{
	(void)state;
	gm_open(26);
	gm_info(1);
	gm_begin(1, 7, 100);
	gm_runs(7, 0, 1);
	gm_event(GO_SPAN_ALLOC, 3, 4, 1, GM_KIND_64);
	gm_event(GO_OBJECT_ALLOC, 2, gm_slot(4, 0), 0);
	gm_event(GO_OBJECT_ALLOC, 2, gm_slot(4, 9), 0);
	gm_event(GO_SPAN_ALLOC, 3, 2, 5, 0);
	gm_event(GO_OBJECT_ALLOC, 2, gm_slot(2, 0), 0);
	gm_event(GO_SPAN_FREE, 1, 4); /* gone already */
	gm_end();
	gm_end_generation();
	imported();
	assert_int_equal(ik_note("repair.span_overlap"), 1);
	assert_int_equal(ik_note("repair.object_without_free"), 2);
	assert_int_equal(ik_note("drop.span_free_unknown"), 1);
	assert_int_equal(ik.totals.by_kind[RH_EV_FREE], 2);
	assert_int_equal(ik.totals.live_bytes_end, 5 * 8192);
}

/* Stamps say otherwise, the scheduler's rules decide: made, then run, then over. */
static void the_rules_beat_the_clocks(void **state)
{
	(void)state;
	gm_open(26);
	gm_info(1);
	gm_begin(1, 8, 100);
	gm_event(GO_PROC_STATUS, 2, 1, GM_P_RUNNING);
	gm_event(GO_START, 2, 5, 1);
	gm_event(GO_SPAN_ALLOC, 3, 0, 1, GM_KIND_64);
	gm_event(GO_DESTROY, 0);
	gm_end();
	gm_begin(1, 7, 1000);
	gm_runs(7, 0, 1);
	gm_event(GO_CREATE, 3, 5, 0, 0);
	gm_end();
	gm_end_generation();
	imported();
	assert_int_equal(ik_note("repair.order_forced"), 0);
	assert_int_equal(ik.totals.by_kind[RH_EV_EXIT], 1);
	assert_int_equal(ik_note("drop.goroutine_unknown"), 0);
}

/* A P that sweeps while it is taken over reports its status before its start. */
static void a_status_before_the_start_is_no_anomaly(void **state)
{
	(void)state;
	gm_open(26);
	gm_info(1);
	gm_begin(1, 7, 100);
	gm_runs(7, 0, 1);
	gm_event(GO_BLOCK, 2, 0, 0);
	gm_event(GO_PROC_STOP, 0);
	gm_end();
	gm_begin(1, 8, 200);
	gm_event(GO_PROC_STATUS, 2, 0, GM_P_RUNNING);
	gm_event(GO_SPAN_ALLOC, 3, 0, 1, GM_KIND_64);
	gm_event(GO_PROC_START, 2, 0, 1);
	gm_end();
	gm_end_generation();
	imported();
	assert_int_equal(ik_note("go.status_again"), 1);
	assert_int_equal(ik_note("repair.order_forced"), 0);
}

/* Nobody ever makes these goroutines runnable: their starts go out by force, counted. */
static void what_waits_for_ever_is_forced(void **state)
{
	(void)state;
	gm_open(26);
	gm_info(1);
	for (int m = 7; m < 10; m++) {
		gm_begin(1, (uint64_t)m, 100);
		gm_event(GO_PROC_STATUS, 2, m, GM_P_RUNNING);
		gm_event(GO_START, 2, m, 9);
		gm_event(GO_SPAN_ALLOC, 3, m, 1, GM_KIND_64);
		gm_event(GO_OBJECT_ALLOC, 2, gm_slot(m, 0), 0);
		gm_end();
	}
	gm_end_generation();
	imported();
	assert_int_equal(ik_note("repair.order_forced"), 3);
	assert_true(has_note("import.truncated", "batches are missing"));
	assert_int_equal(ik.totals.by_kind[RH_EV_ALLOC], 3);
	assert_int_equal(ik.totals.lanes, 3);
}

/* 1500 threads wait for one P, whose every status wakes them all in vain. */
static void threads_that_only_wake_each_other_are_refused(void **state)
{
	(void)state;
	gm_open(26);
	gm_info(1);
	for (int m = 0; m < 1500; m++) {
		gm_begin(1, 100 + (uint64_t)m, 100);
		gm_event(GO_PROC_START, 2, 1, 9);
		gm_end();
	}
	gm_begin(1, 7, 200);
	for (int i = 0; i < 4000; i++)
		gm_event(GO_PROC_STATUS, 2, 1, 2);
	gm_end();
	gm_end_generation();
	refused_with("wait for each other");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_made_trace_is_as_good_as_a_real_one),
		cmocka_unit_test(a_cut_at_every_byte_is_told),
		cmocka_unit_test(any_byte_may_be_wrong),
		cmocka_unit_test(unknown_events_name_their_place),
		cmocka_unit_test(an_event_that_its_batch_cuts_is_refused),
		cmocka_unit_test(numbers_that_overflow_are_refused),
		cmocka_unit_test(counts_beyond_the_format_are_refused),
		cmocka_unit_test(spans_that_no_heap_has_are_dropped),
		cmocka_unit_test(without_a_snapshot_the_rest_is_imported),
		cmocka_unit_test(a_batch_without_a_head_ends_the_trace),
		cmocka_unit_test(a_torn_batch_ends_its_thread),
		cmocka_unit_test(versions_do_not_mix),
		cmocka_unit_test(swapped_frees_are_put_right),
		cmocka_unit_test(a_span_over_another_ends_it),
		cmocka_unit_test(the_rules_beat_the_clocks),
		cmocka_unit_test(a_status_before_the_start_is_no_anomaly),
		cmocka_unit_test(what_waits_for_ever_is_forced),
		cmocka_unit_test(threads_that_only_wake_each_other_are_refused),
	};

	gm_limit((size_t)1 << 30);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
