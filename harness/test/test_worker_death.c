/*
 * test_worker_death.c - workers that crash, hang, run out of memory or are not what they claim;
 * other trials are unaffected.
 *
 * Peers are preloaded and cannot be in a sanitized build, where the sanitizer serves
 * malloc; there most of this is skipped, but the reason of an absent peer is tested.
 */
#include <errno.h>
#include <signal.h>
#include <sys/wait.h>

#include "harness/test/odd_malloc.h"
#include "harness/test/worker_support.h"

/* Honest until the object in the middle asks for ODD_BYTES. */
static void make_odd(uint16_t flags)
{
	struct maker m;

	make_open(&m, 0);
	for (int i = 0; i < 1000; i++)
		alloc_of(&m, 0, 64);
	alloc_as(&m, 0, ODD_BYTES, 0, flags);
	for (uint64_t i = 0; i < 1000; i++)
		free_of(&m, 0, i);
	make_close(&m);
}

static void needs_preload(void)
{
#ifdef RH_SANITIZE
	print_message("# SKIP a sanitized build serves malloc itself\n");
	skip();
#endif
}

/* Dead but not reaped (in a container init may never do that). */
static bool is_zombie(pid_t pid)
{
	char path[64], line[256] = "", *state;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	rh_read_line(path, line, sizeof(line));
	state = strrchr(line, ')');
	return state && strncmp(state, ") Z", 3) == 0;
}

static void odd(const char *what, bool verify, uint16_t flags, struct rh_run_config *config,
		struct rh_result *result)
{
	static char list[4200];

	needs_preload();
	make_odd(flags);
	setenv("REHEAP_ODD", what, 1);
	snprintf(list, sizeof(list), "%s,libc", odd_path);
	*config = config_of(list);
	config->replay.verify = verify;
	if (strcmp(what, "loop") == 0)
		config->timeout_ns = 1500000000;
	run(config, result);
	unsetenv("REHEAP_ODD");
	assert_int_equal(result->exit, RH_FAILED);
	assert_int_equal(trial_of(result, odd_path)->status, RH_STATUS_FAILED);
	assert_int_equal(trial_of(result, "libc")->status, RH_STATUS_OK);
}

/* The odd request is event 1000 of its lane, counting from 0 (a lane start may count, too). */
static void at_the_odd_request(const struct rh_result *result)
{
	const struct rh_worker_place *place = &trial_of(result, odd_path)->died_at;
	char bytes[32];

	snprintf(bytes, sizeof(bytes), "%d bytes", ODD_BYTES);
	assert_true(place->known);
	assert_int_equal(place->seat, 0);
	assert_true(place->event >= 995 && place->event <= 1005);
	assert_has(place->text, bytes);
	assert_has(trial_of(result, odd_path)->why, "lane 0, op ");
}

static void ends_by(const char *what, bool verify, uint16_t flags, const char *words, bool located)
{
	struct rh_run_config config;
	struct rh_result result;

	odd(what, verify, flags, &config, &result);
	assert_has(trial_of(&result, odd_path)->why, words);
	if (located)
		at_the_odd_request(&result);
	done(&config, &result);
}

static void a_crash_is_located(void **state)
{
	(void)state;
	ends_by("segv", false, 0, "signal 11", true);
}

static void an_abort_has_last_words(void **state)
{
	(void)state;
	ends_by("abort", false, 0, "asked to abort", true);
}

static void a_hang_is_ended(void **state)
{
	(void)state;
	ends_by("loop", false, 0, "time limit", true);
}

static void a_failed_allocation_fails_the_trial(void **state)
{
	(void)state;
	ends_by("null", false, 0, "1 allocations failed", true);
}

static void verify_sees_overlap(void **state)
{
	(void)state;
	ends_by("overlap", true, 0, "contents changed", false);
}

static void verify_sees_alignment(void **state)
{
	(void)state;
	ends_by("unaligned", true, 0, "not aligned to 16", true);
}

static void verify_sees_dirty_memory(void **state)
{
	(void)state;
	ends_by("dirty", true, RH_EVF_ZEROED, "not zero", true);
}

/* Every fourth request fails on two lanes with remote frees: no NULL reaches a free. */
static void failures_are_passed_over(void **state)
{
	struct rh_run_config config = config_of("failing:n=4:libc,null");
	struct rh_result result;
	const struct rh_trial *trial;

	(void)state;
	make_mixed(2, 500);
	run(&config, &result);
	trial = trial_of(&result, "failing:n=4:libc");
	assert_int_equal(trial->status, RH_STATUS_FAILED);
	assert_has(trial->why, "allocations failed");
	assert_true(trial->alloc_failed > 100);
	assert_int_equal(trial->events, result.programs[0].program.head->events);
	done(&config, &result);
}

static void out_of_memory(void **state)
{
	struct rh_run_config config = config_of("libc");
	struct rh_result result;
	struct maker m;

	(void)state;
#ifdef RH_SANITIZE
	print_message("# SKIP the limit would be the sanitizer's\n");
	skip();
#endif
	make_open(&m, 0);
	for (int i = 0; i < 20; i++)
		alloc_of(&m, 0, 32 << 20);
	make_close(&m);
	config.replay.touch = RH_TOUCH_PAGE;
	config.replay.memory_limit = 256 << 20;
	run(&config, &result);
	assert_int_equal(trial_of(&result, "libc")->status, RH_STATUS_FAILED);
	assert_has(trial_of(&result, "libc")->why, "allocations failed");
	assert_has(trial_of(&result, "libc")->why, "33554432 bytes");
	done(&config, &result);
}

static void a_library_that_is_no_allocator(void **state)
{
	static const char *const paths[] = {
		"/lib/x86_64-linux-gnu/libm.so.6",
		"/lib/aarch64-linux-gnu/libm.so.6",
		"/lib64/libm.so.6",
	};
	struct rh_run_config config;
	struct rh_result result;
	struct rh_err err = { 0 };

	(void)state;
	needs_preload();
	make_mixed(1, 10);
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		if (access(paths[i], R_OK) != 0)
			continue;
		config = config_of(paths[i]);
		/* Refused by name before the run, or by what the worker found. */
		if (try_run(&config, &result, &err) == 0) {
			assert_int_equal(trial_of(&result, paths[i])->status, RH_STATUS_FAILED);
			assert_has(trial_of(&result, paths[i])->why, "malloc");
		} else {
			assert_has(err.text, "malloc");
		}
		done(&config, &result);
		return;
	}
	print_message("# SKIP no libm.so.6 where one is looked for\n");
	skip();
}

static void on_alarm(int number)
{
	rh_interrupted = number;
}

/* A hanging worker and an interrupt: the run ends, and so does the worker. */
static void an_interrupt_leaves_no_worker(void **state)
{
	struct rh_run_config config = config_of(odd_path);
	struct rh_result result;
	struct rh_err err = { 0 };

	(void)state;
	needs_preload();
	make_odd(0);
	setenv("REHEAP_ODD", "loop", 1);
	signal(SIGALRM, on_alarm);
	alarm(1);
	assert_int_equal(try_run(&config, &result, &err), -1);
	assert_string_equal(err.text, "interrupted");
	rh_interrupted = 0;
	unsetenv("REHEAP_ODD");
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
	done(&config, &result);
}

/* The driver is gone: the kernel ends the worker. */
static void a_worker_dies_with_its_driver(void **state)
{
	int fds[2];
	pid_t driver, worker = 0;

	(void)state;
	make_mixed(1, 10);
	assert_int_equal(pipe(fds), 0);
	driver = fork();
	if (driver == 0) {
		struct rh_run_config config = config_of("libc");
		struct rh_result result = { .reps = 1 };
		struct rh_compile_options options = { 0 };
		struct rh_compile_stats stats;
		struct rh_program program;
		struct rh_worker live;
		struct rh_err err;

		rh_clock_calibrate(&result.clock, 1000000);
		if (rh_run_prepare(&config, &result, &err) < 0 ||
		    rh_compile(trace_path, &options, &program, &stats, &err) < 0)
			_exit(1);
		struct rh_worker_start start = {
			.spec = result.backends[0].spec,
			.program = &program,
			.clock = &result.clock,
			.copies = 1,
			.deadline_ns = UINT64_MAX,
		};
		if (rh_worker_start(&live, &start, &err) < 0 ||
		    write(fds[1], &live.pid, sizeof(live.pid)) != sizeof(live.pid))
			_exit(1);
		pause();
	}
	assert_int_equal(read(fds[0], &worker, sizeof(worker)), sizeof(worker));
	assert_int_equal(kill(worker, 0), 0);
	kill(driver, SIGKILL);
	waitpid(driver, NULL, 0);
	for (int i = 0; i < 500 && kill(worker, 0) == 0 && !is_zombie(worker); i++)
		usleep(10000);
	assert_true(kill(worker, 0) < 0 || is_zombie(worker));
	close(fds[0]);
	close(fds[1]);
}

#ifdef RH_SANITIZE
static void sanitized_builds_say_why(void **state)
{
	struct rh_run_config config = config_of(odd_path);
	struct rh_result result;

	(void)state;
	make_mixed(1, 10);
	run(&config, &result);
	assert_int_equal(trial_of(&result, odd_path)->status, RH_STATUS_ABSENT);
	assert_has(trial_of(&result, odd_path)->why, "sanitizer");
	assert_int_equal(result.exit, RH_PARTIAL);
	done(&config, &result);
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_crash_is_located),
		cmocka_unit_test(an_abort_has_last_words),
		cmocka_unit_test(a_hang_is_ended),
		cmocka_unit_test(a_failed_allocation_fails_the_trial),
		cmocka_unit_test(verify_sees_overlap),
		cmocka_unit_test(verify_sees_alignment),
		cmocka_unit_test(verify_sees_dirty_memory),
		cmocka_unit_test(failures_are_passed_over),
		cmocka_unit_test(out_of_memory),
		cmocka_unit_test(a_library_that_is_no_allocator),
		cmocka_unit_test(an_interrupt_leaves_no_worker),
		cmocka_unit_test(a_worker_dies_with_its_driver),
#ifdef RH_SANITIZE
		cmocka_unit_test(sanitized_builds_say_why),
#endif
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
