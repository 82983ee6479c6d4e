/*
 * test_probes.c - which probes run, what the latency probe counts on real workers with backends
 * of known behaviour, and the warnings about the machine. Times are compared with physical
 * limits, never with typical values.
 */
#include "harness/control/latency.h"
#include "harness/probe/probe.h"
#include "harness/probe/machine_noise.h"
#include "harness/test/probe_support.h"

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
	config.replay.pace = RH_PACE_OPEN;
	assert_int_equal(rh_probes_choose(&config, &result, &err), 0);
	assert_false(rh_probe_chosen(&config, &rh_probe_latency));
	assert_true(rh_probe_chosen(&config, &rh_probe_pace));
	rh_result_free(&result);
}

/* A measurement that is impossible has a sentence, and the exit class shows it. */
static void absent_probes_are_told(void **state)
{
	struct rh_run_config config = config_of("libc");
	struct rh_result result;

	(void)state;
	config.replay.verify = true;
	run_probes(&config, &result, "latency", 1, 50);
	assert_true(is_absent(&result, "latency"));
	assert_int_equal(result.exit, RH_PARTIAL);
	done(&config, &result);
}

/* If one probe lacks what it needs, the others and the trial continue. */
static void too_many_lanes_for_histograms(void **state)
{
	struct rh_run_config config = config_of("null");
	struct rh_result result;

	(void)state;
	config.copies = "257";
	run_probes(&config, &result, "latency,locks", 1, 20);
	assert_true(is_absent(&result, "latency"));
	assert_int_equal(result.exit, RH_PARTIAL);
	assert_null(result.trials[0].latency);
	assert_non_null(FOUND(&result.trials[0], locks));
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
	config.replay.sample = 1;
	run_probes(&config, &result, "latency", LANES, ROUNDS);
	for (size_t t = 0; t < result.trial_count; t++) {
		sum = result.trials[t].latency;
		migrated = FOUND(&result.trials[t], latency)->migrated;
		/* per lane and round: 1 + 1 + 1 + held; 3 frees of its own, 1 of the other's */
		assert_true(sum->all.count + migrated == LANES * (ROUNDS * 9 + ROUNDS - 1));
		if (migrated)
			continue; /* which kinds they were is not known */
		assert_int_equal(sum->kind[RH_LAT_ALLOC].count, LANES * ROUNDS * 3);
		assert_int_equal(sum->kind[RH_LAT_ZALLOC].count, LANES * ROUNDS);
		assert_int_equal(sum->kind[RH_LAT_ALIGNED].count, LANES * ROUNDS);
		assert_int_equal(sum->kind[RH_LAT_RESIZE].count, LANES * ROUNDS);
		assert_int_equal(sum->kind[RH_LAT_FREE].count, LANES * ROUNDS * 3);
		assert_int_equal(sum->kind[RH_LAT_FREE_REMOTE].count, LANES * (ROUNDS - 1));
	}
	assert_non_null(
		rh_result_metric(&result, (struct rh_metric_place){ 0, 1, 2, 1 }, "latency.p99"));
	assert_non_null(rh_result_metric(&result, (struct rh_metric_place){ 0, 1, 2, 1 },
					 "latency.free_remote.p50"));
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
	config.copies = "3";
	config.replay.sample = 1;
	run_probes(&config, &result, "latency,locks", 1, ROUNDS);
	trial = trial_of(&result, "libc");
	assert_true(trial->latency->all.count + FOUND(trial, latency)->migrated ==
		    3 * (ROUNDS * 9 + ROUNDS - 1));
	done(&config, &result);
}

/* Sampling takes about one in N, the same operations for every backend. */
static void samples_are_drawn_alike(void **state)
{
	struct rh_run_config config = config_of("null,libc");
	struct rh_result result;
	uint64_t count[2];

	(void)state;
	run_probes(&config, &result, "latency", 1, 3000); /* 29999 operations */
	for (int t = 0; t < 2; t++)
		count[t] = result.trials[t].latency->all.count +
			   FOUND(&result.trials[t], latency)->migrated;
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
	config.replay.sample = 4;
	run_probes(&config, &result, "latency", 1, 300);
	m = rh_result_metric(&result, (struct rh_metric_place){ 0, 0, 1, 1 }, "latency.p50");
	assert_non_null(m);
	/* the pair's cost is taken off, and clocks are calibrated to 50 ppm */
	assert_true(m->median >= 1950);
	assert_string_equal(m->source, "own");
	assert_string_equal(m->unit, "ns");
	done(&config, &result);
}

/* No metric is finer than three steps of the clock. */
static void metrics_end_at_the_granularity(void **state)
{
	struct rh_run_config config = config_of("null");
	struct rh_result result;
	const struct rh_metric *m;
	double least;

	(void)state;
	make_mixed(1, 500);
	config.probes = "latency";
	config.replay.sample = 1;
	run(&config, &result);
	least = 3 * (double)result.clock.granularity_ticks * result.clock.ns_per_tick;
	m = rh_result_metric(&result, (struct rh_metric_place){ 0, 0, 1, 1 }, "latency.p50");
	assert_true(m->median >= least * 0.999);
	assert_true(FOUND(&result.trials[0], latency)->exact_from_ns >= least * 0.999);
	done(&config, &result);
}

/* A nap of 60 ms in a batch of 256 operations: an outlier with a voluntary switch in it. */
static void outliers_carry_their_cause(void **state)
{
	struct rh_run_config config = config_of(plugin("locking", ":lock=lane:nap=4000"));
	struct rh_result result;
	const struct rh_outliers *outliers;
	bool seen = false;
	size_t i;

	(void)state;
	run_probes(&config, &result, "latency", 1, 1500); /* 15 k operations: three naps */
	outliers = FOUND(trial_of(&result, config.backends), latency)->outliers;
	assert_true(outliers->count >= 1);
	assert_true(outliers->with_switches >= 1);
	for (i = 0; i < outliers->longest_count; i++)
		seen |= outliers->longest[i].ns >= 59e6 &&
			outliers->longest[i].switches_voluntary >= 1;
	assert_true(seen);
	done(&config, &result);
}

/* ---- lanes and machine ---- */

static void pinned_lanes_run(void **state)
{
	struct rh_run_config config = config_of("null,libc");
	struct rh_result result;

	(void)state;
	make_mixed(3, 300);
	config.replay.pin = true;
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
		{ { 1000, 100, 0 }, { 1200, 104, 0 }, 0 }, /* 2 % busy */
		{ { 1000, 100, 0 }, { 1200, 140, 0 }, 1 }, /* 20 % */
		{ { 1000, 100, 0 }, { 1200, 100, 6 }, 1 }, /* 3 % stolen */
		{ { 1000, 100, 0 }, { 1200, 140, 6 }, 2 },
		{ { 1000, 100, 0 }, { 1000, 100, 0 }, 0 }, /* no time passed */
	};
	char path[64];
	struct rh_cpu_times times;
	FILE *file;

	(void)state;
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		struct rh_result result = { .reps = 1 };

		rh_machine_noise_judge(&result, &known[i].before, &known[i].after);
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
		cmocka_unit_test(pinned_lanes_run),
		cmocka_unit_test(noise_is_judged),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
