/*
 * test_probes.c - latency, contention and pace on real workers with backends whose answers are
 * known: which operations are counted, who contends, what a delay must show at least.
 * Times are compared with what physics forbids, never with what is usual.
 */
#include <jansson.h>

#include "harness/probe/latency.h"
#include "harness/probe/probe.h"
#include "harness/probe/quiet.h"
#include "harness/test/worker_kit.h"

static char locking_path[4200];

static const char *locking(const char *knobs)
{
	static char spec[4300];
	int dir_bytes = (int)(strrchr(odd_path, '/') - odd_path);

	snprintf(locking_path, sizeof(locking_path), "%.*s/locking.so", dir_bytes, odd_path);
	snprintf(spec, sizeof(spec), "%s%s", locking_path, knobs);
	return spec;
}

static json_t *found(const struct rh_trial *trial, const char *probe)
{
	json_t *object = json_object_get(trial->probes, probe);

	if (!object)
		fail_msg("the trial has no probe '%s'", probe);
	return object;
}

static json_int_t whole(const json_t *object, const char *name)
{
	return json_integer_value(json_object_get(object, name));
}

static double real(const json_t *object, const char *name)
{
	return json_number_value(json_object_get(object, name));
}

static bool is_absent(const struct rh_result *result, const char *metric)
{
	for (size_t i = 0; i < result->absent_count; i++)
		if (strcmp(result->absent[i].metric, metric) == 0)
			return result->absent[i].why[0] != '\0';
	return false;
}

/* ---- choosing ---- */

static void probes_are_chosen_by_name(void **state)
{
	struct rh_run_config config = config_of("libc");
	struct rh_result result = { .reps = 1 };
	struct rh_err err = { 0 };

	(void)state;
	config.probes = "latency,nonsense";
	assert_int_equal(rh_probes_choose(&config, &result, &err), -1);
	assert_int_equal(err.code, RH_USAGE);
	assert_has(err.text, "nonsense");
	assert_has(err.text, "latency");
	config.probes = "latency";
	assert_int_equal(rh_probes_choose(&config, &result, &err), 0);
	assert_true(rh_probe_chosen(&config, &rh_probe_latency));
	assert_false(rh_probe_chosen(&config, &rh_probe_locks));
	assert_false(rh_probe_chosen(&config, &rh_probe_pace));
	config.probes = "";
	config.pace = RH_PACE_OPEN;
	assert_int_equal(rh_probes_choose(&config, &result, &err), 0);
	assert_false(rh_probe_chosen(&config, &rh_probe_latency));
	assert_true(rh_probe_chosen(&config, &rh_probe_pace));
	rh_result_free(&result);
}

/* What cannot be measured has a sentence, and the exit class says so. */
static void absent_probes_are_told(void **state)
{
	struct rh_run_config config = config_of("libc");
	struct rh_result result;

	(void)state;
	make_mixed(1, 50);
	config.probes = "latency";
	config.verify = true;
	run(&config, &result);
	all_ok(&result);
	assert_true(is_absent(&result, "latency"));
	assert_int_equal(result.exit, RH_PARTIAL);
	done(&config, &result);
}

/* One probe cannot have what it needs: the others and the trial go on. */
static void too_many_lanes_for_histograms(void **state)
{
	struct rh_run_config config = config_of("null");
	struct rh_result result;

	(void)state;
	make_mixed(1, 20);
	config.probes = "latency,locks";
	config.copies = "257";
	run(&config, &result);
	all_ok(&result);
	assert_true(is_absent(&result, "latency"));
	assert_int_equal(result.exit, RH_PARTIAL);
	assert_null(result.trials[0].latency);
	found(&result.trials[0], "locks");
	done(&config, &result);
}

/* ---- latency ---- */

/* Every operation timed: the counts of kinds are those of the trace. */
static void every_operation_is_counted(void **state)
{
	struct rh_run_config config = config_of("null,libc");
	struct rh_result result;
	const struct rh_latency_sum *sum;
	uint64_t migrated;
	enum { LANES = 2, ROUNDS = 500 };

	(void)state;
	make_mixed(LANES, ROUNDS);
	config.probes = "latency";
	config.sample = 1;
	run(&config, &result);
	all_ok(&result);
	for (size_t t = 0; t < result.trial_count; t++) {
		sum = result.trials[t].latency;
		migrated = (uint64_t)whole(found(&result.trials[t], "latency"), "migrated");
		/* per lane and round: 1 + 1 + 1 + held; 3 frees of its own, 1 of the other's */
		assert_true(sum->all.count + migrated == LANES * (ROUNDS * 9 + ROUNDS - 1));
		if (migrated)
			continue;	/* which kinds they were is not known */
		assert_int_equal(sum->kind[RH_LAT_ALLOC].count, LANES * ROUNDS * 3);
		assert_int_equal(sum->kind[RH_LAT_ZALLOC].count, LANES * ROUNDS);
		assert_int_equal(sum->kind[RH_LAT_ALIGNED].count, LANES * ROUNDS);
		assert_int_equal(sum->kind[RH_LAT_RESIZE].count, LANES * ROUNDS);
		assert_int_equal(sum->kind[RH_LAT_FREE].count, LANES * ROUNDS * 3);
		assert_int_equal(sum->kind[RH_LAT_FREE_REMOTE].count, LANES * (ROUNDS - 1));
	}
	assert_non_null(rh_result_metric(&result, 0, 1, 2, 1, "latency.p99"));
	assert_non_null(rh_result_metric(&result, 0, 1, 2, 1, "latency.free_remote.p50"));
	done(&config, &result);
}

/* Copies are brought to their phases first; that is not measured. */
static void prerolled_operations_are_not(void **state)
{
	struct rh_run_config config = config_of("libc");
	struct rh_result result;
	const struct rh_trial *trial;
	enum { ROUNDS = 2000 };

	(void)state;
	make_mixed(1, ROUNDS);
	config.probes = "latency,locks";
	config.copies = "3";
	config.sample = 1;
	run(&config, &result);
	all_ok(&result);
	trial = trial_of(&result, "libc");
	assert_true(trial->latency->all.count +
		    (uint64_t)whole(found(trial, "latency"), "migrated") ==
		    3 * (ROUNDS * 9 + ROUNDS - 1));
	done(&config, &result);
}

/* A sample is a sample: about one in N, and the same ones for every backend. */
static void samples_are_drawn_alike(void **state)
{
	struct rh_run_config config = config_of("null,libc");
	struct rh_result result;
	uint64_t count[2];

	(void)state;
	make_mixed(1, 3000);	/* 29999 operations */
	config.probes = "latency";
	run(&config, &result);
	all_ok(&result);
	for (int t = 0; t < 2; t++)
		count[t] = result.trials[t].latency->all.count +
			   (uint64_t)whole(found(&result.trials[t], "latency"), "migrated");
	assert_int_equal(count[0], count[1]);
	/* 937 +- 5 sd of a binomial */
	assert_in_range(count[0], 937 - 151, 937 + 151);
	done(&config, &result);
}

/* Every operation spins for 2 us; no percentile can be below it. */
static void a_known_delay_shows(void **state)
{
	struct rh_run_config config = config_of("slow:spin=2us:libc");
	struct rh_result result;
	const struct rh_metric *m;

	(void)state;
	make_mixed(1, 300);
	config.probes = "latency";
	config.sample = 4;
	run(&config, &result);
	all_ok(&result);
	m = rh_result_metric(&result, 0, 0, 1, 1, "latency.p50");
	assert_non_null(m);
	/* the pair's cost is taken off, and clocks are calibrated to 50 ppm */
	assert_true(m->interval.median >= 1950);
	assert_string_equal(m->source, "own");
	assert_string_equal(m->unit, "ns");
	done(&config, &result);
}

/* Nothing finer than three steps of the clock leaves as a metric. */
static void metrics_end_at_the_granularity(void **state)
{
	struct rh_run_config config = config_of("null");
	struct rh_result result;
	const struct rh_metric *m;
	double least;

	(void)state;
	make_mixed(1, 500);
	config.probes = "latency";
	config.sample = 1;
	run(&config, &result);
	least = 3 * (double)result.clock.granularity_ticks * result.clock.ns_per_tick;
	m = rh_result_metric(&result, 0, 0, 1, 1, "latency.p50");
	assert_true(m->interval.median >= least * 0.999);
	assert_true(real(found(&result.trials[0], "latency"), "exact_from_ns") >= least * 0.999);
	done(&config, &result);
}

/* A nap of 20 ms in a batch of 256 operations: an outlier with a voluntary switch in it. */
static void outliers_carry_their_cause(void **state)
{
	struct rh_run_config config = config_of(locking(":lock=lane:nap=4000"));
	struct rh_result result;
	json_t *outliers, *row;
	bool seen = false;
	size_t i;

	(void)state;
	make_mixed(1, 1500);	/* 15 k operations: three naps */
	config.probes = "latency";
	run(&config, &result);
	all_ok(&result);
	outliers = json_object_get(found(trial_of(&result, config.backends), "latency"),
				   "outliers");
	assert_true(whole(outliers, "count") >= 1);
	assert_true(whole(outliers, "with_switches") >= 1);
	json_array_foreach(json_object_get(outliers, "longest"), i, row)
		seen |= real(row, "ns") >= 19e6 && whole(row, "switches_voluntary") >= 1;
	assert_true(seen);
	done(&config, &result);
}

/* ---- contention ---- */

/* The row of a class in probes.locks. */
static json_t *class_of(const struct rh_trial *trial, const char *name)
{
	json_t *row;
	size_t i;

	json_array_foreach(json_object_get(found(trial, "locks"), "classes"), i, row)
		if (strcmp(json_string_value(json_object_get(row, "name")), name) == 0)
			return row;
	fail_msg("there is no lock class '%s'", name);
	return NULL;
}

enum { MIXED_OPS = 10 };	/* of make_mixed, per lane and round; one less in the first */

static void a_shared_lock_contends(void **state)
{
	struct rh_run_config config = config_of(locking(":lock=shared"));
	struct rh_result result;
	const struct rh_trial *trial;
	json_t *row;

	(void)state;
	make_mixed(2, 500);
	config.probes = "locks";
	run(&config, &result);
	all_ok(&result);
	trial = trial_of(&result, config.backends);
	row = class_of(trial, "test_shared");
	assert_int_equal(whole(row, "acquired"), 2 * (500 * MIXED_OPS - 1));
	assert_true(whole(row, "contended") > 0);
	assert_true(whole(row, "owner_switches") > 0);
	assert_true(real(row, "wait_ns") > 0 && real(row, "wait_share") > 0);
	/* a wait cannot be longer than the lanes were there */
	assert_true(real(row, "wait_share") <= 1);
	assert_non_null(rh_result_metric(&result, 0, 0, 2, 1, "locks.wait_share"));
	assert_string_equal(json_string_value(json_object_get(row, "source")), "own");
	done(&config, &result);
}

static void lane_locks_do_not(void **state)
{
	struct rh_run_config config = config_of(locking(":lock=lane"));
	struct rh_result result;
	json_t *row;

	(void)state;
	make_mixed(2, 500);
	config.probes = "locks";
	run(&config, &result);
	all_ok(&result);
	row = class_of(trial_of(&result, config.backends), "test_lane");
	assert_int_equal(whole(row, "acquired"), 2 * (500 * MIXED_OPS - 1));
	assert_int_equal(whole(row, "contended"), 0);
	assert_int_equal(whole(row, "owner_switches"), 0);
	assert_true(real(row, "wait_ns") == 0);
	assert_int_equal(whole(row, "instances"), 2);
	done(&config, &result);
}

/* The control: the same lock with nobody to share it. */
static void one_lane_never_contends(void **state)
{
	struct rh_run_config config = config_of(locking(":lock=shared"));
	struct rh_result result;
	json_t *row;

	(void)state;
	make_mixed(2, 200);
	config.probes = "locks";
	config.lanes = "1";
	run(&config, &result);
	row = class_of(trial_of(&result, config.backends), "test_shared");
	assert_int_equal(whole(row, "contended"), 0);
	/* 62 sleeps of 100 us with the lock held, one hold in 64 timed: those very ones */
	assert_true(real(row, "hold_mean_ns") >= 100000);
	done(&config, &result);
}

/* A backend that sleeps 3 x 20 ms of its own accord blocks for as long; a lane that sleeps for
 * another lane's order does not. */
static void own_sleeps_are_blocked_time(void **state)
{
	struct rh_run_config config = config_of(locking(":lock=lane:nap=4000"));
	struct rh_result result;
	json_t *locks;

	(void)state;
	make_mixed(1, 1300);	/* 12999 operations */
	config.probes = "locks";
	run(&config, &result);
	all_ok(&result);
	locks = found(trial_of(&result, config.backends), "locks");
	assert_true(real(locks, "blocked_share") * real(locks, "span_ns") >= 59e6);
	assert_true(whole(locks, "switches_voluntary") >= 3);
	locks = found(trial_of(&result, "null"), "locks");
	assert_true(real(locks, "blocked_share") <= 1);
	done(&config, &result);
}

/* Every backend has a row of its threads; what no kernel tells has a sentence instead. */
static void every_backend_has_a_row(void **state)
{
	struct rh_run_config config = config_of("null,libc,bump");
	struct rh_result result;

	(void)state;
	make_mixed(2, 300);
	config.probes = "locks";
	run(&config, &result);
	all_ok(&result);
	for (uint32_t b = 0; b < 3; b++) {
		const struct rh_metric *futex = rh_result_metric(&result, 0, b, 2, 1,
								 "locks.futex_per_event");

		assert_non_null(rh_result_metric(&result, 0, b, 2, 1,
						 "locks.switches_voluntary_per_event"));
		assert_true(futex || is_absent(&result, "locks.futex_per_event"));
	}
	assert_int_equal(result.exit, result.absent_count ? RH_PARTIAL : RH_OK);
	done(&config, &result);
}

static void mutexes_are_counted_from_outside(void **state)
{
	struct rh_run_config config = config_of(locking(":lock=pthread"));
	struct rh_result result;
	json_t *mutex;

	(void)state;
	make_mixed(2, 500);
	config.probes = "mutex";
	run(&config, &result);
	all_ok(&result);
#ifdef RH_SANITIZE
	assert_true(is_absent(&result, "mutex"));
#else
	mutex = found(trial_of(&result, config.backends), "mutex");
	assert_int_equal(whole(mutex, "acquired"), 2 * (500 * MIXED_OPS - 1));
	assert_true(whole(mutex, "contended") > 0);
	assert_true(real(mutex, "wait_ns") > 0);
	mutex = found(trial_of(&result, "null"), "mutex");
	assert_int_equal(whole(mutex, "acquired"), 0);
	assert_int_equal(whole(mutex, "futex_waits"), 0);
#endif
	(void)mutex;
	done(&config, &result);
}

/* ---- pace ---- */

/* Allocations `gap_ns` apart, on one lane. */
static void make_paced(unsigned count, uint64_t gap_ns)
{
	struct rh_trace_make make = { .path = trace_path, .form = RH_FORM_BINARY,
				      .columns = RH_COL_TIME };
	struct rh_trace_out *out;
	struct rh_err err = { 0 };

	if (rh_trace_create(&out, &make, &err) < 0)
		fail_msg("%s", err.text);
	for (unsigned i = 0; i < count; i++) {
		struct rh_event event = { .kind = RH_EV_ALLOC, .id = i, .size = 64,
					  .time_ns = i * gap_ns, .arg = RH_NONE,
					  .task = RH_TASK_NONE };

		if (rh_trace_put(out, &event, 1, &err) < 0)
			fail_msg("%s", err.text);
	}
	if (rh_trace_finish(out, NULL, &err) < 0)
		fail_msg("%s", err.text);
}

/* Nothing starts before it is due, so the run cannot be shorter than the recording / speed. */
static void recorded_time_is_kept(void **state)
{
	static const struct { enum rh_ctl_pace pace; double speed; } ways[] = {
		{ RH_PACE_OPEN, 1 }, { RH_PACE_THINK, 1 }, { RH_PACE_OPEN, 4 },
	};

	(void)state;
	make_paced(101, 500000);	/* 50 ms */
	for (size_t i = 0; i < 3; i++) {
		struct rh_run_config config = config_of("libc");
		struct rh_result result;
		const struct rh_trial *trial;

		config.pace = ways[i].pace;
		config.speed = ways[i].speed;
		run(&config, &result);
		all_ok(&result);
		trial = trial_of(&result, "libc");
		assert_true((double)trial->wall_ns >= 50e6 / ways[i].speed * 0.999);
		assert_int_equal(whole(found(trial, "pace"), "n"), 100);
		assert_true(real(found(trial, "pace"), "waited_ns") > 0);
		done(&config, &result);
	}
}

/* 200 operations due within 0.2 ms that take 200 us each: the last is 40 ms late. */
static void a_backlog_is_told(void **state)
{
	struct rh_run_config config = config_of("slow:spin=200us:libc");
	struct rh_result result;
	const struct rh_trial *trial;
	json_t *pace, *response;

	(void)state;
	make_paced(200, 1000);
	config.probes = "latency";
	config.sample = 1;
	config.pace = RH_PACE_OPEN;
	run(&config, &result);
	all_ok(&result);
	trial = trial_of(&result, config.backends);
	pace = found(trial, "pace");
	assert_true(json_is_true(json_object_get(pace, "could_not_keep_pace")));
	assert_true(real(pace, "lag_max_ns") >= 199 * 199e3 - 0.2e6);
	response = json_object_get(found(trial, "latency"), "response");
	assert_true(real(response, "max_ns") >= 199 * 199e3);
	/* the service itself is not longer for the queue before it */
	assert_true(real(json_object_get(found(trial, "latency"), "all"), "mean_ns") <
		    real(response, "mean_ns"));
	assert_true(result.warning_count > 0);
	done(&config, &result);
}

static void pace_needs_times(void **state)
{
	struct rh_run_config config = config_of("libc");
	struct rh_result result;
	struct rh_err err = { 0 };

	(void)state;
	make_mixed(1, 20);
	config.pace = RH_PACE_OPEN;
	assert_int_equal(try_run(&config, &result, &err), -1);
	assert_int_equal(err.code, RH_USAGE);
	assert_has(err.text, "recorded times");
	done(&config, &result);
}

/* Copies are shifted by half the recording: both keep the one clock of the run. */
static void shifted_copies_keep_time(void **state)
{
	struct rh_run_config config = config_of("libc");
	struct rh_result result;
	const struct rh_trial *trial;

	(void)state;
	make_paced(1000, 50000);
	config.pace = RH_PACE_OPEN;
	config.copies = "2";
	run(&config, &result);
	all_ok(&result);
	trial = trial_of(&result, "libc");
	assert_int_equal(trial->events, 2 * result.programs[0].program.head->events);
	/* no op of either copy was lost, and both were told to wait */
	assert_true(whole(found(trial, "pace"), "n") >= 1900);
	done(&config, &result);
}

/* ---- touch ---- */

/* 200 blocks of 256 KiB, of each 16 KiB were resident when it died: that much is touched. */
static void recorded_residency_is_touched(void **state)
{
	enum { BLOCKS = 200, SIZE = 256 << 10, RESIDENT = 16 << 10 };
	struct rh_trace_make make = { .path = trace_path, .form = RH_FORM_BINARY,
				      .columns = RH_COL_ARG };
	struct rh_run_config config = config_of("bump");
	const struct rh_metric *m;
	struct rh_result result;
	struct rh_trace_out *out;
	struct rh_err err = { 0 };

	(void)state;
#ifdef RH_SANITIZE
	skip();		/* shadow memory is anonymous, too */
#endif
	if (rh_trace_create(&out, &make, &err) < 0)
		fail_msg("%s", err.text);
	for (uint64_t i = 0; i < 2 * BLOCKS; i++) {
		struct rh_event event = {
			.kind = i < BLOCKS ? RH_EV_ALLOC : RH_EV_FREE, .id = i % BLOCKS,
			.size = i < BLOCKS ? SIZE : RH_NONE, .time_ns = RH_NONE,
			.arg = i < BLOCKS ? RH_NONE : RESIDENT, .task = RH_TASK_NONE,
		};

		if (rh_trace_put(out, &event, 1, &err) < 0)
			fail_msg("%s", err.text);
	}
	if (rh_trace_finish(out, NULL, &err) < 0)
		fail_msg("%s", err.text);
	config.touch = RH_TOUCH_RECORDED;
	run(&config, &result);
	all_ok(&result);
	m = rh_result_metric(&result, 0, 0, 1, 1, "memory.rss_peak_bytes");
	assert_non_null(m);
	assert_true(m->interval.median >= (double)BLOCKS * RESIDENT);
	assert_true(m->interval.median < 2.0 * BLOCKS * RESIDENT);
	done(&config, &result);
}

/* ---- lanes and machine ---- */

static void pinned_lanes_run(void **state)
{
	struct rh_run_config config = config_of("null,libc");
	struct rh_result result;

	(void)state;
	make_mixed(3, 300);
	config.pin = true;
	config.probes = "locks";
	run(&config, &result);
	all_ok(&result);
	done(&config, &result);
}

static void noise_is_judged(void **state)
{
	static const struct {
		struct rh_cpu_times before, after;
		size_t warnings;
	} known[] = {
		{ { 1000, 100, 0 }, { 1200, 104, 0 }, 0 },	/* 2 % busy */
		{ { 1000, 100, 0 }, { 1200, 140, 0 }, 1 },	/* 20 % */
		{ { 1000, 100, 0 }, { 1200, 100, 6 }, 1 },	/* 3 % stolen */
		{ { 1000, 100, 0 }, { 1200, 140, 6 }, 2 },
		{ { 1000, 100, 0 }, { 1000, 100, 0 }, 0 },	/* no time passed */
	};
	char path[64];
	struct rh_cpu_times times;
	FILE *file;

	(void)state;
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		struct rh_result result = { .reps = 1 };

		rh_quiet_judge(&result, &known[i].before, &known[i].after);
		assert_int_equal(result.warning_count, known[i].warnings);
		rh_result_free(&result);
	}
	snprintf(path, sizeof(path), "%s/stat", dir);
	file = fopen(path, "w");
	fprintf(file, "cpu  10 20 30 400 50 6 7 8 0 0\ncpu0 1 2 3\n");
	fclose(file);
	assert_true(rh_cpu_times_read(path, &times));
	assert_int_equal(times.busy, 73);
	assert_int_equal(times.stolen, 8);
	assert_int_equal(times.all, 531);
	unlink(path);
	assert_false(rh_cpu_times_read(path, &times));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(probes_are_chosen_by_name),
		cmocka_unit_test(absent_probes_are_told),
		cmocka_unit_test(too_many_lanes_for_histograms),
		cmocka_unit_test(every_operation_is_counted),
		cmocka_unit_test(prerolled_operations_are_not),
		cmocka_unit_test(samples_are_drawn_alike),
		cmocka_unit_test(a_known_delay_shows),
		cmocka_unit_test(metrics_end_at_the_granularity),
		cmocka_unit_test(outliers_carry_their_cause),
		cmocka_unit_test(a_shared_lock_contends),
		cmocka_unit_test(lane_locks_do_not),
		cmocka_unit_test(one_lane_never_contends),
		cmocka_unit_test(own_sleeps_are_blocked_time),
		cmocka_unit_test(every_backend_has_a_row),
		cmocka_unit_test(mutexes_are_counted_from_outside),
		cmocka_unit_test(recorded_time_is_kept),
		cmocka_unit_test(a_backlog_is_told),
		cmocka_unit_test(pace_needs_times),
		cmocka_unit_test(shifted_copies_keep_time),
		cmocka_unit_test(recorded_residency_is_touched),
		cmocka_unit_test(pinned_lanes_run),
		cmocka_unit_test(noise_is_judged),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
