/*
 * test_worker.c - real workers on small compiled traces: their counts on one lane and on many,
 * folded, copied, verified, in a seeded order.
 */
#include <sched.h>

#include "harness/test/worker_support.h"

static void counts_are_the_traces(void **state)
{
	struct rh_run_config config = config_of("null,libc");
	struct rh_result result;
	const struct rh_trial *trial;
	uint64_t events = 0;

	(void)state;
	make_mixed(1, 3000);
	run(&config, &result);
	all_ok(&result);
	assert_int_equal(result.trial_count, 2);
	assert_int_equal(result.exit, RH_OK);
	trial = trial_of(&result, "libc");
	assert_int_equal(trial->events, result.programs[0].program.head->events);
	assert_int_equal(trial->alloc_failed, 0);
	for (size_t i = 0; i < trial->segment_count; i++)
		events += trial->segments[i].events;
	assert_int_equal(events, trial->events);
	assert_int_equal(trial->segments[trial->segment_count - 1].live_bytes,
			 result.programs[0].program.head->live_bytes_end);
	assert_true(trial->wall_ns > 0 && trial->cpu_ns > 0);
	assert_non_null(rh_result_metric(&result, (struct rh_metric_place){ 0, 1, 1, 1 },
					 "time.ns_per_event"));
	done(&config, &result);
}

/* Live blocks are resident (touched whole), and the null backend holds nothing. */
static void memory_is_the_heaps(void **state)
{
	struct rh_run_config config = config_of("null,bump");
	struct rh_result result;
	const struct rh_metric *m;
	struct maker mk;

	(void)state;
	skip_sanitized();
	make_open(&mk, 0);
	for (int i = 0; i < 1000; i++)
		alloc_of(&mk, 0, 64 << 10);
	make_close(&mk);
	config.replay.touch = RH_TOUCH_FULL;
	run(&config, &result);
	all_ok(&result);
	m = rh_result_metric(&result, (struct rh_metric_place){ 0, 1, 1, 1 },
			     "memory.rss_peak_bytes");
	assert_non_null(m);
	assert_true(m->median >= 1000.0 * (64 << 10));
	assert_true(m->median < 1.05 * 1000.0 * (64 << 10));
	m = rh_result_metric(&result, (struct rh_metric_place){ 0, 1, 1, 1 },
			     "memory.fragmentation_peak");
	assert_true(m->median >= 1 && m->median < 1.05);
	m = rh_result_metric(&result, (struct rh_metric_place){ 0, 0, 1, 1 },
			     "memory.rss_peak_bytes");
	assert_true(m->median < 256 << 10);
	done(&config, &result);
}

static void many_lanes(uint32_t lanes, unsigned rounds, const char *backends, bool verify,
		       const char *copies)
{
	struct rh_run_config config = config_of(backends);
	struct rh_result result;

	make_mixed(lanes, rounds);
	config.replay.verify = verify;
	config.copies = copies;
	run(&config, &result);
	all_ok(&result);
	assert_int_equal(result.trials[0].lanes, lanes);
	assert_true(lanes == 1 || result.trials[0].waits > 0);
	done(&config, &result);
}

static void lanes_wait_for_each_other(void **state)
{
	(void)state;
	many_lanes(2, 2000, "null,libc,bump", false, "1");
	many_lanes(5, 300, "null,libc", false, "1");
}

static void sixty_four_lanes(void **state)
{
	(void)state;
	many_lanes(64, 30, "null,libc", false, "1");
}

/* Many more lanes than CPUs: they verify and finish, and a warning says what this can show. */
static void many_more_lanes_than_cpus(void **state)
{
	struct rh_run_config config = config_of("libc");
	struct rh_result result;
	bool said = false;

	(void)state;
	make_mixed(128, 12);
	config.replay.verify = true;
	run(&config, &result);
	all_ok(&result);
	assert_int_equal(result.trials[0].lanes, 128);
	for (size_t i = 0; i < result.warning_count; i++)
		said |= strstr(result.warnings[i], "128 lanes on ") != NULL;
	assert_int_equal(said, result.host.cpus_allowed < 128);
	done(&config, &result);
}

static void one_cpu(void **state)
{
	cpu_set_t all, one;

	(void)state;
	assert_int_equal(sched_getaffinity(0, sizeof(all), &all), 0);
	CPU_ZERO(&one);
	for (int cpu = 0; cpu < CPU_SETSIZE && !CPU_COUNT(&one); cpu++)
		if (CPU_ISSET(cpu, &all))
			CPU_SET(cpu, &one);
	assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
	many_lanes(4, 200, "null,libc", false, "1");
	assert_int_equal(sched_setaffinity(0, sizeof(all), &all), 0);
}

/* Copies are shifted, wrap and drain: events are those of as many whole programs. */
static void copies_run_the_whole_program(void **state)
{
	struct rh_run_config config = config_of("libc");
	struct rh_result result;

	(void)state;
	make_mixed(2, 3000);
	config.copies = "3";
	config.segment_events = 5000;
	config.replay.verify = true;
	run(&config, &result);
	all_ok(&result);
	assert_int_equal(trial_of(&result, "libc")->events,
			 3 * result.programs[0].program.head->events);
	assert_true(result.programs[0].program.head->grains > 3);
	done(&config, &result);
}

static void folded_onto_fewer(void **state)
{
	struct rh_run_config config = config_of("libc");
	struct rh_result result;

	(void)state;
	make_mixed(7, 300);
	config.lanes = "1,2,3";
	config.replay.verify = true;
	run(&config, &result);
	all_ok(&result);
	assert_int_equal(result.program_count, 3);
	assert_int_equal(result.trials[0].lanes, 1);
	assert_int_equal(result.trials[result.trial_count - 1].lanes, 3);
	done(&config, &result);
}

static void every_touch(void **state)
{
	static const enum rh_ctl_touch ways[] = { RH_TOUCH_NONE, RH_TOUCH_FIRST, RH_TOUCH_PAGE,
						  RH_TOUCH_FULL, RH_TOUCH_RECORDED };

	(void)state;
	make_mixed(2, 200);
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		struct rh_run_config config = config_of("null,libc");
		struct rh_result result;

		config.replay.touch = ways[i];
		run(&config, &result);
		all_ok(&result);
		done(&config, &result);
	}
}

/* Blocks that nobody writes: reading one before it is freed brings its page in, or a huge one. */
static void dying_blocks_are_read(void **state)
{
	uint64_t faults[2];
	struct maker mk;

	(void)state;
	make_open(&mk, 0);
	for (int i = 0; i < 1000; i++) {
		free_of(&mk, 0, alloc_of(&mk, 0, 64 << 10));
		free_of(&mk, 0, alloc_of(&mk, 0, 0)); /* there is nothing to read */
	}
	make_close(&mk);
	for (int read = 0; read < 2; read++) {
		struct rh_run_config config = config_of("null,bump");
		struct rh_result result;

		config.replay.touch = RH_TOUCH_NONE;
		config.replay.read_dying = read;
		run(&config, &result);
		all_ok(&result);
		faults[read] = trial_of(&result, "bump")->passes[0].faults_minor;
		done(&config, &result);
	}
	assert_true(faults[1] >= faults[0] + 1000 * (64 << 10) / (4 << 20));
}

static void verify_passes_for_all_present(void **state)
{
	char list[1024];
	size_t used = (size_t)snprintf(list, sizeof(list), "libc,bump,checked:libc");

	(void)state;
#ifndef RH_SANITIZE
	for (const struct rh_peer *peer = rh_peers; peer->name; peer++)
		used += (size_t)snprintf(list + used, sizeof(list) - used, ",%s", peer->name);
#endif
	assert_true(used < sizeof(list));
	many_lanes(3, 500, list, true, "1");
}

static void usage_is_checked_first(void **state)
{
	static const struct {
		const char *backends, *lanes, *copies, *words;
	} wrong[] = {
		{ "libc,jemaloc", "1", "1", "jemalloc" }, { "libc", "0", "1", "--lanes" },
		{ "libc", "1,x", "1", "--lanes" },	  { "libc", "1", "0", "--copies" },
		{ ",", "1", "1", "--backend" },		  { "libc", "99999", "1", "--lanes" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct rh_run_config config = config_of(wrong[i].backends);
		struct rh_result result;
		struct rh_err err = { 0 };

		config.lanes = wrong[i].lanes;
		config.copies = wrong[i].copies;
		assert_int_equal(try_run(&config, &result, &err), -1);
		assert_int_equal(err.code, RH_USAGE);
		assert_has(err.text, wrong[i].words);
		assert_int_equal(result.trial_count, 0);
		done(&config, &result);
	}
}

/* The order of trials is a function of the seed, and differs between reps. */
static void order_is_seeded(void **state)
{
	uint32_t order[2][12];

	(void)state;
	make_mixed(1, 10);
	for (int round = 0; round < 2; round++) {
		struct rh_run_config config = config_of("libc,bump");
		struct rh_result result;

		config.reps = 4;
		run(&config, &result);
		assert_int_equal(result.trial_count, 12);
		for (size_t t = 0; t < 12; t++)
			order[round][t] = result.trials[t].backend;
		done(&config, &result);
	}
	assert_memory_equal(order[0], order[1], sizeof(order[0]));
	assert_false(memcmp(order[0], order[0] + 3, 3 * sizeof(uint32_t)) == 0 &&
		     memcmp(order[0], order[0] + 6, 3 * sizeof(uint32_t)) == 0 &&
		     memcmp(order[0], order[0] + 9, 3 * sizeof(uint32_t)) == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counts_are_the_traces),
		cmocka_unit_test(memory_is_the_heaps),
		cmocka_unit_test(lanes_wait_for_each_other),
		cmocka_unit_test(sixty_four_lanes),
		cmocka_unit_test(many_more_lanes_than_cpus),
		cmocka_unit_test(one_cpu),
		cmocka_unit_test(copies_run_the_whole_program),
		cmocka_unit_test(folded_onto_fewer),
		cmocka_unit_test(every_touch),
		cmocka_unit_test(dying_blocks_are_read),
		cmocka_unit_test(verify_passes_for_all_present),
		cmocka_unit_test(usage_is_checked_first),
		cmocka_unit_test(order_is_seeded),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
