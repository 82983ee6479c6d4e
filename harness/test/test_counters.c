/*
 * test_counters.c - which source counts what: a source made up for the test, and the kernel's.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/wait.h>

#include "harness/probe/counters.h"
#include "harness/probe/probe.h"
#include "harness/test/probe_support.h"

/* ---- a source made up ---- */

/* Counts `counts` for every event of a set, whatever the thread does. Events have the name of
 * the counter; "refused" does not open. */
struct rh_counter_set {
	unsigned count;
	const char *event[RH_COUNT_SET_MAX];
};

static struct {
	bool hardware; /* has a PMU */
	bool wild;     /* instructions run wild on threads of workers */
	unsigned sets, open;
	pid_t threads[64];
} fake;

static int fake_open(struct rh_err *err)
{
	(void)err;
	return 0;
}

static const char *const *fake_chain(enum rh_counter counter, enum rh_cpu_family family)
{
	static const char *chains[RH_COUNTERS][4];
	const char **chain = chains[counter];

	(void)family;
	chain[0] = "refused";
	chain[1] = "stands still";
	chain[2] = fake.hardware || counter >= RH_COUNT_HARDWARE ? rh_counter_names[counter] : NULL;
	chain[3] = NULL;
	return chain;
}

static int fake_start(struct rh_counter_set **set, const char *const *events, unsigned count,
		      pid_t thread, struct rh_err *err)
{
	if (strcmp(events[0], "refused") == 0)
		return rh_fail(err, RH_ABSENT, "made up");
	assert_true(thread > 0);
	assert_true(count <= RH_COUNT_HW_MAX);
	*set = calloc(1, sizeof(**set));
	(*set)->count = count;
	memcpy((*set)->event, events, count * sizeof(*events));
	if (fake.sets < 64)
		fake.threads[fake.sets] = thread;
	fake.sets++;
	fake.open++;
	return 0;
}

static uint64_t fake_count(const char *event)
{
	uint64_t least, most;

	for (int c = 0; c < RH_COUNTERS; c++) {
		if (strcmp(event, rh_counter_names[c]) != 0)
			continue;
		rh_counter_bounds((enum rh_counter)c, &least, &most);
		/* Two instructions a cycle, unless they run wild. */
		return c == RH_COUNT_CYCLES			 ? 5 * least
		       : fake.wild && c == RH_COUNT_INSTRUCTIONS ? most
								 : least + 1;
	}
	return 0;
}

static int fake_stop(struct rh_counter_set *set, uint64_t *values, struct rh_err *err)
{
	(void)err;
	for (unsigned i = 0; values && i < set->count; i++)
		values[i] = fake_count(set->event[i]);
	free(set);
	fake.open--;
	return 0;
}

static const struct rh_counter_source with_pmu = { "fake", fake_open, fake_chain, fake_start,
						   fake_stop };
static const struct rh_counter_source without_pmu = { "fake", fake_open, fake_chain, fake_start,
						      fake_stop };

/* ---- proofs ---- */

static void the_first_plausible_event_counts(void **state)
{
	struct rh_counter_proof proof[RH_COUNTERS];

	(void)state;
	fake.hardware = true;
	rh_counters_prove(&with_pmu, proof);
	for (int c = 0; c < RH_COUNTERS; c++) {
		uint64_t least, most;

		rh_counter_bounds((enum rh_counter)c, &least, &most);
		assert_true(least <= most);
		assert_non_null(proof[c].event);
		/* "stands still" counts 0, which is enough where nothing has to happen. */
		assert_string_equal(proof[c].event, least ? rh_counter_names[c] : "stands still");
		assert_has(proof[c].why, "refused: made up");
	}
	assert_has(proof[RH_COUNT_L1D_MISSES].why, "stands still: counted 0 where at least");
	fake.hardware = false;
	rh_counters_prove(&without_pmu, proof);
	assert_null(proof[RH_COUNT_L1D_MISSES].event);
	assert_non_null(proof[RH_COUNT_TASK_CLOCK].event);
	assert_int_equal(fake.open, 0);
}

static int broken_open(struct rh_err *err)
{
	return rh_fail(err, RH_ABSENT, "no such library");
}

static void a_source_that_does_not_open_says_why(void **state)
{
	static const struct rh_counter_source broken = { "broken", broken_open, fake_chain,
							 fake_start, fake_stop };
	struct rh_counter_proof proof[RH_COUNTERS];

	(void)state;
	rh_counters_prove(&broken, proof);
	for (int c = 0; c < RH_COUNTERS; c++) {
		assert_null(proof[c].event);
		assert_string_equal(proof[c].why, "no such library");
	}
}

static void refusals_have_words(void **state)
{
	char text[200];

	(void)state;
	rh_counters_perf_why(EACCES, 4, text, sizeof(text));
	assert_has(text, "perf_event_paranoid is 4");
	assert_has(text, "sysctl");
	rh_counters_perf_why(EPERM, 2, text, sizeof(text));
	assert_has(text, "container");
	rh_counters_perf_why(EACCES, -9, text, sizeof(text));
	assert_null(strstr(text, "paranoid is"));
	rh_counters_perf_why(ENOENT, 2, text, sizeof(text));
	assert_has(text, "does not have it");
	rh_counters_perf_why(ENOSYS, 2, text, sizeof(text));
	assert_has(text, "blocked");
	rh_counters_perf_why(ESRCH, 2, text, sizeof(text));
	assert_has(text, "ended");
	rh_counters_perf_why(EMFILE, 2, text, sizeof(text));
	assert_has(text, strerror(EMFILE));
}

/* The kernel counts page faults of a thread; a stranger may not count its switches. */
static void the_kernel_counts_and_refuses(void **state)
{
	const struct rh_counter_proof *proof = rh_counters_proven(&rh_counters_perf);
	const char *event = "context-switches";
	struct rh_counter_set *set;
	struct rh_err err = { 0 };
	int status;
	pid_t child;

	(void)state;
	if (!proof[RH_COUNT_PAGE_FAULTS].event) {
		print_message("# SKIP perf events cannot be had here, as in many containers\n");
		skip();
	}
	assert_true(proof[RH_COUNT_PAGE_FAULTS].value >= 2048);
	if (getuid() != 0) {
		print_message("# SKIP only root can become a stranger\n");
		skip();
	}
	child = fork();
	if (child == 0) {
		bool refused = setuid(65534) == 0 &&
			       rh_counters_perf.start(&set, &event, 1, getpid(), &err) < 0;
		int fd = open("/proc/sys/kernel/perf_event_paranoid", O_RDONLY);
		char level = '0';

		if (read(fd, &level, 1) < 0 || level < '2')
			_exit(0);
		_exit(refused && strstr(err.text, "not permitted") ? 0 : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* ---- through a run ---- */

static void every_lane_is_counted(void **state)
{
	struct rh_run_config config = config_of("null");
	struct rh_result result;
	const struct rh_counters_found *found;
	uint64_t least, most;

	(void)state;
	make_mixed(3, 200);
	fake.hardware = true;
	fake.sets = 0;
	config.probes = "counters";
	config.counter_source = &with_pmu;
	run(&config, &result);
	all_ok(&result);
	assert_int_equal(result.exit, RH_OK);
	assert_null(metric_of(&result, 0, "counters.ir_per_event"));
	found = FOUND(&result.trials[0], counters);
	for (int c = 0; c < RH_COUNTERS; c++) {
		const struct rh_counted *row = NULL;

		rh_counter_bounds((enum rh_counter)c, &least, &most);
		if (!least)
			continue;
		least = fake_count(rh_counter_names[c]) - 1;
		for (size_t i = 0; i < found->events_count; i++)
			if (strcmp(found->events[i].name, rh_counter_names[c]) == 0)
				row = &found->events[i];
		assert_non_null(row);
		assert_int_equal(row->lanes_count, 3);
		assert_int_equal(row->total, 3 * (least + 1));
		assert_string_equal(row->source, c < RH_COUNT_HARDWARE ? "hw" : "sw");
	}
	rh_counter_bounds(RH_COUNT_L1D_MISSES, &least, &most);
	assert_true(median(&result, 0, "counters.l1d_misses_per_event") ==
		    3.0 * (double)(least + 1) / (double)result.trials[0].events);
	assert_string_equal(metric_of(&result, 0, "counters.l1d_misses_per_event")->source, "hw");
	assert_int_equal(fake.open, 0);
	done(&config, &result);
}

static void absurd_counts_are_no_result(void **state)
{
	struct rh_run_config config = config_of("null");
	struct rh_result result;

	(void)state;
	make_mixed(1, 200);
	fake.hardware = fake.wild = true;
	config.probes = "counters";
	config.counter_source = &with_pmu;
	run(&config, &result);
	fake.wild = false;
	assert_null(metric_of(&result, 0, "counters.instructions_per_event"));
	assert_non_null(metric_of(&result, 0, "counters.llc_misses_per_event"));
	assert_has(why_absent(&result, "counters"), "miscounts");
	assert_int_equal(result.exit, RH_PARTIAL);
	assert_int_equal(fake.open, 0);
	done(&config, &result);
}

/* Recorded threads that end take a set with them, and the new thread gets one. */
static void new_threads_are_counted_too(void **state)
{
	struct rh_run_config config = config_of("null");
	struct rh_result result;
	struct maker m;
	bool same = true;

	(void)state;
	make_open(&m, 0);
	for (uint32_t lane = 0; lane < 4; lane++) {
		make_put(&m, EVENT(.kind = RH_EV_LANE_START, .lane = lane));
		for (unsigned i = 0; i < 40000; i++)
			free_of(&m, lane, alloc_of(&m, lane, 32));
		make_put(&m, EVENT(.kind = RH_EV_LANE_STOP, .lane = lane));
	}
	make_close(&m);
	fake.hardware = false;
	fake.sets = 0;
	config.probes = "counters";
	config.counters = "perf";
	config.counter_source = &without_pmu;
	run(&config, &result);
	all_ok(&result);
	assert_int_equal(result.trials[0].lanes, 1);
	/* Sets of proofs count, too: there are more than one and their threads differ. */
	assert_true(fake.sets >= 2);
	for (unsigned i = 1; i < fake.sets && i < 64; i++)
		same &= fake.threads[i] == fake.threads[0];
	assert_false(same);
	assert_int_equal(fake.open, 0);
	assert_int_equal(result.exit, RH_PARTIAL);
	assert_non_null(why_absent(&result, "counters.hw"));
	done(&config, &result);
}

static void wrong_words_are_usage(void **state)
{
	struct rh_run_config config = config_of("null");
	struct rh_result result;
	struct rh_err err = { 0 };

	(void)state;
	config.counters = "abacus";
	assert_int_equal(try_run(&config, &result, &err), -1);
	assert_int_equal(err.code, RH_USAGE);
	assert_has(err.text, "abacus");
	done(&config, &result);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_plausible_event_counts),
		cmocka_unit_test(a_source_that_does_not_open_says_why),
		cmocka_unit_test(refusals_have_words),
		cmocka_unit_test(the_kernel_counts_and_refuses),
		cmocka_unit_test(every_lane_is_counted),
		cmocka_unit_test(absurd_counts_are_no_result),
		cmocka_unit_test(new_threads_are_counted_too),
		cmocka_unit_test(wrong_words_are_usage),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
