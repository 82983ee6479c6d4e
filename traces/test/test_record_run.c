/*
 * test_record_run.c - a recorded program behaves as ever, and the trace holds what it did.
 */
#include "traces/test/record_run.h"

#include <signal.h>

static void every_function_is_recorded(void **state)
{
	static const struct {
		unsigned size;
		uint64_t count;
	} known[] = {
		{ 0, 1 },  { 20, 1 }, { 30, 1 }, { 31, 1 },  { 39, 1 },	 { 60, 1 },
		{ 70, 1 }, { 80, 1 }, { 90, 1 }, { 100, 1 }, { 110, 1 }, { 167, 1 },
	};
	struct counts counts;

	(void)state;
	assert_int_equal(record_helper(NULL, "family", NULL), 0);
	count_trace(out_path, &counts);
	for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
		assert_int_equal(counts.born[known[i].size], known[i].count);
		assert_int_equal(counts.died[known[i].size], known[i].count);
	}
	assert_int_equal(counts.kind[RH_EV_RESIZE], 2);
	assert_int_equal(counts.kind[RH_EV_FREE_NULL], 1);
	assert_int_equal(note_count(out_path, "drop.failed"), 2); /* malloc, posix_memalign */
	assert_clean(out_path);
}

static void details_are_kept(void **state)
{
	struct rh_trace *trace;
	struct rh_err err = { 0 };
	static struct rh_event batch[RH_TRACE_BATCH];
	uint64_t zeroed = 0, aligned = 0, huge = 0, of_null = 0, last = 0;
	int got;

	(void)state;
	assert_int_equal(record_helper(NULL, "family", NULL), 0);
	assert_int_equal(rh_trace_open(&trace, out_path, &err), 0);
	while ((got = rh_trace_next(trace, batch, RH_TRACE_BATCH, &err)) > 0)
		for (int i = 0; i < got; i++) {
			zeroed += batch[i].size == 7021 && (batch[i].flags & RH_EVF_ZEROED);
			aligned += batch[i].size == MAGIC + 70 && batch[i].align_log2 == 12;
			huge += batch[i].size == 5ull << 30;
			if (batch[i].flags & RH_EVF_REALLOC)
				of_null += batch[i].size == MAGIC + 30 ? 1 : 100;
			assert_true(batch[i].time_ns >= last);
			last = batch[i].time_ns;
		}
	assert_int_equal(zeroed, 1);
	assert_int_equal(aligned, 1);
	assert_int_equal(huge, 1);
	assert_int_equal(of_null, 1);
	assert_true(last > 0 && last < 60ull * 1000000000u);
	assert_non_null(strstr(rh_trace_note_of(trace, "args"), "record_target family"));
	assert_string_equal(rh_trace_note_of(trace, "ended"), "exit 0");
	rh_trace_close(trace);
}

static void exit_status_is_the_programs(void **state)
{
	struct counts counts;

	(void)state;
	assert_int_equal(record_helper(NULL, "exit", "0", NULL), 0);
	assert_int_equal(record_helper(NULL, "exit", "42", NULL), 42);
	assert_int_equal(record_helper(NULL, "exit", "255", NULL), 255);
	count_trace(out_path, &counts);
	assert_int_equal(counts.born[0], 0);
}

static void surroundings_do_not_matter(void **state)
{
	struct counts counts;

	(void)state; /* closes descriptors, changes directory, locks its memory */
	assert_int_equal(record_helper(NULL, "surroundings", NULL), 0);
	count_trace(out_path, &counts);
	assert_int_equal(counts.born[0], 20);
	assert_int_equal(counts.died[0], 20);
	assert_clean(out_path);
}

static void preload_is_kept(void **state)
{
	struct counts counts;

	(void)state;
	assert_int_equal(setenv("LD_PRELOAD", "libm.so.6", 1), 0);
	assert_int_equal(record_helper(NULL, "environment", NULL), 0);
	unsetenv("LD_PRELOAD");
	assert_non_null(strstr(output, "libreheap-record.so:libm.so.6"));
	count_trace(out_path, &counts);
	assert_true(counts.kind[RH_EV_ALLOC] > 0);
}

static void signal_handlers_may_allocate(void **state)
{
	struct counts counts;
	uint64_t handled;

	(void)state;
	assert_int_equal(record_helper(NULL, "signals", "300", NULL), 0);
	handled = strtoull(output, NULL, 10);
	assert_true(handled >= 300);
	count_trace(out_path, &counts);
	assert_int_equal(counts.born[5] + note_count(out_path, "drop.signal_handler"), handled + 1);
	assert_int_equal(counts.born[5], counts.died[5]);
	assert_int_equal(note_count(out_path, "drop.signal_handler"), 0);
}

static int traces_with(unsigned size, uint64_t count)
{
	char pattern[80];
	struct counts counts;
	glob_t found;
	int matches = 0;

	snprintf(pattern, sizeof pattern, "%s/out*.rht", work_dir);
	assert_int_equal(glob(pattern, 0, NULL, &found), 0);
	for (size_t i = 0; i < found.gl_pathc; i++) {
		count_trace(found.gl_pathv[i], &counts);
		assert_clean(found.gl_pathv[i]);
		matches += counts.born[size] == count && counts.died[size] == count;
	}
	globfree(&found);
	return matches;
}

static void children_have_traces_of_their_own(void **state)
{
	struct rh_record_opts opts = record_defaults();
	struct counts counts;

	(void)state;
	opts.follow = true;
	assert_int_equal(record_helper(&opts, "forks", NULL), 0);
	count_trace(out_path, &counts);
	assert_int_equal(counts.born[0], 20);
	assert_int_equal(counts.born[1] + counts.born[2] + counts.born[3], 0);
	assert_int_equal(traces_with(1, 20), 1);
	assert_int_equal(traces_with(2, 30), 1);
	assert_int_equal(traces_with(3, 40), 1); /* made by a bare clone */
	assert_int_equal(record_helper(&opts, "spawns", NULL), 0);
	count_trace(out_path, &counts);
	assert_int_equal(counts.born[0], 20);
	assert_int_equal(traces_with(0, 25), 2);
}

static void children_stay_out_unless_asked(void **state)
{
	struct counts counts;

	(void)state;
	assert_int_equal(record_helper(NULL, "forks", NULL), 0);
	count_trace(out_path, &counts);
	assert_int_equal(counts.born[0], 20);
	assert_int_equal(counts.born[1] + counts.born[2] + counts.born[3], 0);
	assert_int_equal(traces_with(0, 20), 1);
}

static void exec_keeps_both_images(void **state)
{
	struct counts counts;

	(void)state;
	assert_int_equal(record_helper(NULL, "exec", NULL), 0);
	count_trace(out_path, &counts);
	assert_int_equal(counts.born[0], 33);
	assert_int_equal(traces_with(1, 11), 1);
}

static void endings_of_threads(void **state)
{
	struct counts counts;

	(void)state;
	assert_int_equal(record_helper(NULL, "endings", NULL), 0);
	count_trace(out_path, &counts);
	assert_int_equal(counts.born[0], 2); /* freed by destructors after the thread's end */
	assert_int_equal(counts.died[0], 2);
	assert_int_equal(counts.born[1], 2);
	assert_int_equal(counts.born[2], 1); /* the thread that left by a bare exit */
	assert_int_equal(counts.born[3], 1); /* the C11 thread */
	assert_int_equal(counts.kind[RH_EV_SPAWN], 4);
	assert_int_equal(counts.kind[RH_EV_JOIN], 3);
	assert_clean(out_path);
}

static void sites_are_named(void **state)
{
	struct rh_record_opts opts = record_defaults();
	struct rh_trace *trace;
	struct rh_err err = { 0 };
	static struct rh_event batch[RH_TRACE_BATCH];
	uint64_t with_site = 0, site = 0;
	int got;

	(void)state;
	opts.sites = true;
	assert_int_equal(record_helper(&opts, "churn", "50", NULL), 0);
	assert_int_equal(rh_trace_open(&trace, out_path, &err), 0);
	while ((got = rh_trace_next(trace, batch, RH_TRACE_BATCH, &err)) > 0)
		for (int i = 0; i < got; i++)
			if (batch[i].kind == RH_EV_ALLOC && batch[i].size == MAGIC) {
				with_site += batch[i].site != 0;
				site = batch[i].site;
			}
	assert_int_equal(with_site, 50);
	assert_non_null(rh_trace_site(trace, (uint32_t)site));
	assert_non_null(strstr(rh_trace_site(trace, (uint32_t)site), "record_target+0x"));
	rh_trace_close(trace);
}

static void residency_is_measured(void **state)
{
	struct rh_record_opts opts = record_defaults();
	struct rh_trace *trace;
	struct rh_err err = { 0 };
	static struct rh_event batch[RH_TRACE_BATCH];
	uint64_t known = 0;
	int got;

	(void)state;
	opts.residency = true;
	assert_int_equal(record_helper(&opts, "churn", "50", NULL), 0);
	assert_int_equal(rh_trace_open(&trace, out_path, &err), 0);
	while ((got = rh_trace_next(trace, batch, RH_TRACE_BATCH, &err)) > 0)
		for (int i = 0; i < got; i++)
			known += batch[i].kind == RH_EV_FREE && batch[i].arg != RH_NONE &&
				 batch[i].arg > 0 && batch[i].arg < 8192;
	assert_true(known >= 50);
	rh_trace_close(trace);
}

static void maxima_stop_or_keep_the_end(void **state)
{
	struct rh_record_opts opts = record_defaults();
	struct counts counts;

	(void)state;
	opts.max_events = 1000;
	assert_int_equal(record_helper(&opts, "churn", "200000", NULL), 0);
	count_trace(out_path, &counts);
	assert_int_equal(counts.kind[RH_EV_ALLOC] + counts.kind[RH_EV_FREE], 1000);
	opts.keep = RH_KEEP_LAST;
	opts.max_events = 100000;
	assert_int_equal(record_helper(&opts, "churn", "2000000", NULL), 0);
	count_trace(out_path, &counts);
	assert_true(counts.kind[RH_EV_ALLOC] + counts.kind[RH_EV_FREE] >= 99000);
	assert_true(counts.kind[RH_EV_ALLOC] + counts.kind[RH_EV_FREE] < 1000000);
	assert_int_equal(counts.kind[RH_EV_ALLOC] + counts.kind[RH_EV_FREE] +
				 note_count(out_path, "drop.not_kept") +
				 note_count(out_path, "drop.free_unknown"),
			 4000000);
}

/* The program waits for what it can see of the recorder, so no time is guessed. */
static int record_watched(const struct rh_record_opts *opts, const char *out, const char *number)
{
	char capture[80];

	snprintf(capture, sizeof capture, "%s.capture", out_path);
	return record_helper(opts, "watched", capture, out, number, NULL);
}

static void windows_of_time(void **state)
{
	struct rh_record_opts opts = record_defaults();
	struct counts counts;

	(void)state;
	opts.attach_after_ns = 24 * 3600 * 1000000000ull;
	assert_int_equal(record_helper(&opts, "churn", "1000", NULL), 0);
	count_trace(out_path, &counts);
	assert_int_equal(counts.kind[RH_EV_ALLOC], 0); /* it had not begun */

	opts.attach_after_ns = 1;
	assert_int_equal(record_watched(&opts, "-", NULL), 0);
	count_trace(out_path, &counts);
	assert_int_equal(counts.born[2], 1); /* it had */
	assert_int_equal(counts.born[59], 1);

	opts.duration_ns = 2000 * 1000000ull; /* the program is begun by then */
	assert_int_equal(record_watched(&opts, out_path, NULL), 0);
	count_trace(out_path, &counts);
	assert_int_equal(counts.born[59], 0); /* it was over: the trace was there */
}

static void toggled_by_signal(void **state)
{
	struct rh_record_opts opts = record_defaults();
	struct counts counts;
	char number[16];

	(void)state;
	opts.paused = true;
	opts.toggle = SIGUSR2;
	snprintf(number, sizeof number, "%d", SIGUSR2);
	assert_int_equal(record_watched(&opts, "-", number), 0);
	count_trace(out_path, &counts);
	assert_int_equal(counts.born[0], 0);
	assert_int_equal(counts.born[2], 1);
	assert_int_equal(counts.born[59], 1);
}

static void other_clock(void **state)
{
	struct counts counts;

	(void)state;
	assert_int_equal(setenv("REHEAP_CLOCK", "monotonic", 1), 0);
	assert_int_equal(record_helper(NULL, "pass", "4", "5000", NULL), 0);
	unsetenv("REHEAP_CLOCK");
	count_trace(out_path, &counts);
	assert_int_equal(counts.lanes, 5);
}

/* The clock of the process' CPU time goes on over exec; the first image's is not the second's. */
static void what_the_program_used(void **state)
{
	static const uint64_t ms = 1000000, mib = 1 << 20;
	uint64_t cpu, wall;
	char pattern[80];
	glob_t found;

	(void)state;
	assert_int_equal(record_helper(NULL, "burn", "400", "40", "1", NULL), 0);
	cpu = note_count(out_path, "cpu_user_ns") + note_count(out_path, "cpu_kernel_ns");
	wall = note_count(out_path, "wall_ns");
	assert_in_range(cpu, 1, 400 * ms - 1);
	assert_true(wall + 20 * ms >= cpu && wall < 600000 * ms);
	assert_in_range(note_count(out_path, "peak_rss_bytes"), 4 * mib, 40 * mib);
	assert_true(note_count(out_path, "recorded_calls") >= 2);

	snprintf(pattern, sizeof pattern, "%s/out.*.rht", work_dir);
	assert_int_equal(glob(pattern, 0, NULL, &found), 0);
	assert_int_equal(found.gl_pathc, 1);
	cpu = note_count(found.gl_pathv[0], "cpu_user_ns") +
	      note_count(found.gl_pathv[0], "cpu_kernel_ns");
	assert_true(cpu >= 390 * ms && note_count(found.gl_pathv[0], "wall_ns") + 20 * ms >= cpu);
	globfree(&found);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_function_is_recorded),
		cmocka_unit_test(details_are_kept),
		cmocka_unit_test(exit_status_is_the_programs),
		cmocka_unit_test(surroundings_do_not_matter),
		cmocka_unit_test(preload_is_kept),
		cmocka_unit_test(signal_handlers_may_allocate),
		TEST_ALONG(signal_handlers_may_allocate),
		cmocka_unit_test(children_have_traces_of_their_own),
		TEST_ALONG(children_have_traces_of_their_own),
		cmocka_unit_test(children_stay_out_unless_asked),
		cmocka_unit_test(exec_keeps_both_images),
		TEST_ALONG(exec_keeps_both_images),
		cmocka_unit_test(endings_of_threads),
		TEST_ALONG(endings_of_threads),
		cmocka_unit_test(sites_are_named),
		TEST_ALONG(sites_are_named),
		cmocka_unit_test(residency_is_measured),
		cmocka_unit_test(maxima_stop_or_keep_the_end),
		cmocka_unit_test(windows_of_time),
		TEST_ALONG(windows_of_time),
		cmocka_unit_test(what_the_program_used),
		cmocka_unit_test(toggled_by_signal),
		TEST_ALONG(toggled_by_signal),
		cmocka_unit_test(other_clock),
	};

	return cmocka_run_group_tests(tests, record_setup, record_teardown);
}
