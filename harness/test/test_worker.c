/*
 * test_worker.c - real workers on small compiled traces: what they count, what becomes of
 * those that crash, hang, run out of memory or are not what they claim, and that other
 * trials are none the worse for it.
 *
 * Peers are preloaded and cannot be in a sanitized build, where the sanitizer serves
 * malloc; there the same tests run on the built-in backends, and that the peers say why
 * they are absent is a test of its own.
 */
#include <errno.h>
#include <math.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "harness/run.h"
#include "harness/test/odd_malloc.h"
#include "traces/trace.h"

static char dir[] = "/tmp/reheap-worker-XXXXXX";
static char trace_path[64], odd_path[4096];

/* ---- traces ---- */

struct maker {
	struct rh_trace_out *out;
	uint64_t objects;
};

static void make_open(struct maker *m)
{
	struct rh_trace_make make = { .path = trace_path, .form = RH_FORM_BINARY };
	struct rh_err err = { 0 };

	*m = (struct maker){ 0 };
	if (rh_trace_create(&m->out, &make, &err) < 0)
		fail_msg("%s", err.text);
}

static void put(struct maker *m, struct rh_event event)
{
	struct rh_err err = { 0 };

	event.time_ns = event.arg = RH_NONE;
	event.task = RH_TASK_NONE;
	if (rh_trace_put(m->out, &event, 1, &err) < 0)
		fail_msg("%s", err.text);
}

static uint64_t alloc(struct maker *m, uint32_t lane, uint64_t size)
{
	put(m, (struct rh_event){ .kind = RH_EV_ALLOC, .lane = lane, .id = m->objects, .size = size });
	return m->objects++;
}

static uint64_t alloc_as(struct maker *m, uint32_t lane, uint64_t size, uint8_t align_log2,
			 uint16_t flags)
{
	put(m, (struct rh_event){ .kind = RH_EV_ALLOC, .lane = lane, .id = m->objects, .size = size,
				  .align_log2 = align_log2, .flags = flags });
	return m->objects++;
}

static uint64_t resize(struct maker *m, uint32_t lane, uint64_t old, uint64_t size)
{
	put(m, (struct rh_event){ .kind = RH_EV_RESIZE, .lane = lane, .id = m->objects, .old = old,
				  .size = size });
	return m->objects++;
}

static void release(struct maker *m, uint32_t lane, uint64_t id)
{
	put(m, (struct rh_event){ .kind = RH_EV_FREE, .lane = lane, .id = id });
}

static void make_close(struct maker *m)
{
	struct rh_err err = { 0 };

	if (rh_trace_finish(m->out, NULL, &err) < 0)
		fail_msg("%s", err.text);
}

/* Every lane allocates, every object dies on the next lane: as many remote frees as there can
 * be, with resizes, zeroed and aligned blocks, large ones and some that live on. */
static void make_mixed(uint32_t lanes, unsigned rounds)
{
	struct maker m;
	uint64_t *held = calloc(lanes, sizeof(*held));

	make_open(&m);
	for (unsigned round = 0; round < rounds; round++) {
		for (uint32_t lane = 0; lane < lanes; lane++) {
			uint64_t big = alloc(&m, lane, 1 + (round * 977u + lane * 131u) % 20000);

			if (round)
				release(&m, lane, held[(lane + 1) % lanes]);
			big = resize(&m, lane, big, 1 + (round * 613u) % 30000);
			release(&m, lane, alloc_as(&m, lane, 1 + round % 3000, 0, RH_EVF_ZEROED));
			release(&m, lane, alloc_as(&m, lane, 100, (uint8_t)(4 + round % 9), 0));
			alloc(&m, lane, round % 100);
			release(&m, lane, big);
		}
		for (uint32_t lane = 0; lane < lanes; lane++)
			held[lane] = alloc(&m, lane, 16 + round % 500);
	}
	make_close(&m);
	free(held);
}

/* Honest until the object in the middle asks for ODD_BYTES. */
static void make_odd(uint16_t flags)
{
	struct maker m;

	make_open(&m);
	for (int i = 0; i < 1000; i++)
		alloc(&m, 0, 64);
	alloc_as(&m, 0, ODD_BYTES, 0, flags);
	for (uint64_t i = 0; i < 1000; i++)
		release(&m, 0, i);
	make_close(&m);
}

/* ---- runs ---- */

static char *traces[] = { trace_path };

static struct rh_run_config config_of(const char *backends)
{
	return (struct rh_run_config){
		.traces = traces, .trace_count = 1, .backends = backends, .lanes = "recorded",
		.copies = "1", .probes = "time,memory", .reps = 1, .seed = 7,
		.touch = RH_TOUCH_FIRST, .timeout_ns = 60ull * 1000000000u,
	};
}

static int try_run(struct rh_run_config *config, struct rh_result *result, struct rh_err *err)
{
	*result = (struct rh_result){ .reps = config->reps, .probes = "", .touch = "", .pace = "" };
	rh_clock_calibrate(&result->clock, 1000000);
	rh_host_read(&result->host);
	if (rh_run_prepare(config, result, err) < 0 || rh_run_trials(config, result, err) < 0)
		return -1;
	rh_result_measure(result);
	return 0;
}

static void run(struct rh_run_config *config, struct rh_result *result)
{
	struct rh_err err = { 0 };

	if (try_run(config, result, &err) < 0)
		fail_msg("%s", err.text);
}

static void done(struct rh_run_config *config, struct rh_result *result)
{
	rh_run_config_free(config);
	rh_result_free(result);
}

static const struct rh_trial *trial_of(const struct rh_result *result, const char *backend)
{
	for (size_t t = 0; t < result->trial_count; t++)
		if (strcmp(result->backends[result->trials[t].backend].text, backend) == 0)
			return &result->trials[t];
	fail_msg("no trial of %s", backend);
	return NULL;
}

static void assert_has(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("'%s' does not say '%s'", text, part);
}

static void all_ok(const struct rh_result *result)
{
	for (size_t t = 0; t < result->trial_count; t++)
		if (result->trials[t].status != RH_STATUS_OK)
			fail_msg("%s: %s", result->backends[result->trials[t].backend].text,
				 result->trials[t].why);
}

/* Dead, but nobody has asked yet (in a container init may never do). */
static bool is_zombie(pid_t pid)
{
	char path[64], line[256] = "", *state;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	rh_read_line(path, line, sizeof(line));
	state = strrchr(line, ')');
	return state && strncmp(state, ") Z", 3) == 0;
}

static void needs_preload(void)
{
#ifdef RH_SANITIZE
	skip();
#endif
}

/* ---- what is counted ---- */

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
	assert_true(rh_result_metric(&result, 0, 1, 1, 1, "time.ns_per_event")->interval.median > 0);
	done(&config, &result);
}

/* What is live is resident (touched whole), and the null backend holds nothing. */
static void memory_is_the_heaps(void **state)
{
	struct rh_run_config config = config_of("null,bump");
	struct rh_result result;
	const struct rh_metric *m;
	struct maker mk;

	(void)state;
#ifdef RH_SANITIZE
	skip();		/* shadow memory is anonymous, too */
#endif
	make_open(&mk);
	for (int i = 0; i < 1000; i++)
		alloc(&mk, 0, 64 << 10);
	make_close(&mk);
	config.touch = RH_TOUCH_FULL;
	run(&config, &result);
	all_ok(&result);
	m = rh_result_metric(&result, 0, 1, 1, 1, "memory.rss_peak_bytes");
	assert_non_null(m);
	assert_true(m->interval.median >= 1000.0 * (64 << 10));
	assert_true(m->interval.median < 1.05 * 1000.0 * (64 << 10));
	m = rh_result_metric(&result, 0, 1, 1, 1, "memory.fragmentation_peak");
	assert_true(m->interval.median >= 1 && m->interval.median < 1.05);
	m = rh_result_metric(&result, 0, 0, 1, 1, "memory.rss_peak_bytes");
	assert_true(m->interval.median < 256 << 10);
	done(&config, &result);
}

static void many_lanes(uint32_t lanes, unsigned rounds, const char *backends, bool verify,
		       const char *copies)
{
	struct rh_run_config config = config_of(backends);
	struct rh_result result;

	make_mixed(lanes, rounds);
	config.verify = verify;
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
	config.verify = true;
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
	config.verify = true;
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

		config.touch = ways[i];
		run(&config, &result);
		all_ok(&result);
		done(&config, &result);
	}
}

static void verify_passes_for_all_present(void **state)
{
	char list[1024] = "libc,bump,checked:libc";

	(void)state;
#ifndef RH_SANITIZE
	for (const struct rh_peer *peer = rh_peers; peer->name; peer++) {
		strncat(list, ",", sizeof(list) - strlen(list) - 1);
		strncat(list, peer->name, sizeof(list) - strlen(list) - 1);
	}
#endif
	many_lanes(3, 500, list, true, "1");
}

/* ---- what goes wrong ---- */

static void odd(const char *what, bool verify, uint16_t flags, struct rh_run_config *config,
		struct rh_result *result)
{
	static char list[4200];

	needs_preload();
	make_odd(flags);
	setenv("REHEAP_ODD", what, 1);
	snprintf(list, sizeof(list), "%s,libc", odd_path);
	*config = config_of(list);
	config->verify = verify;
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
	skip();		/* the limit would be the sanitizer's */
#endif
	make_open(&m);
	for (int i = 0; i < 20; i++)
		alloc(&m, 0, 32 << 20);
	make_close(&m);
	config.touch = RH_TOUCH_PAGE;
	config.memory_limit = 256 << 20;
	run(&config, &result);
	assert_int_equal(trial_of(&result, "libc")->status, RH_STATUS_FAILED);
	assert_has(trial_of(&result, "libc")->why, "allocations failed");
	assert_has(trial_of(&result, "libc")->why, "33554432 bytes");
	done(&config, &result);
}

static void a_library_that_is_no_allocator(void **state)
{
	static const char *const paths[] = { "/lib/x86_64-linux-gnu/libm.so.6",
					     "/lib/aarch64-linux-gnu/libm.so.6", "/lib64/libm.so.6" };
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
	skip();
}

static void usage_is_checked_first(void **state)
{
	static const struct { const char *backends, *lanes, *copies, *words; } wrong[] = {
		{ "libc,jemaloc", "1", "1", "jemalloc" }, { "libc", "0", "1", "--lanes" },
		{ "libc", "1,x", "1", "--lanes" }, { "libc", "1", "0", "--copies" },
		{ ",", "1", "1", "--backend" }, { "libc", "99999", "1", "--lanes" },
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

static void on_alarm(int number)
{
	rh_interrupted = number;
}

/* A worker that hangs and a user who has had enough: the run ends, and so does the worker. */
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
			.spec = result.backends[0].spec, .program = &program,
			.clock = &result.clock, .copies = 1, .deadline_ns = UINT64_MAX,
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

static void sanitized_builds_say_why(void **state)
{
	(void)state;
#ifdef RH_SANITIZE
	struct rh_run_config config = config_of(odd_path);
	struct rh_result result;

	make_mixed(1, 10);
	run(&config, &result);
	assert_int_equal(trial_of(&result, odd_path)->status, RH_STATUS_ABSENT);
	assert_has(trial_of(&result, odd_path)->why, "sanitizer");
	assert_int_equal(result.exit, RH_PARTIAL);
	done(&config, &result);
#else
	skip();
#endif
}

static int make_dir(void **state)
{
	char self[3900];
	ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);

	(void)state;
	if (!mkdtemp(dir) || length <= 0)
		return -1;
	self[length] = '\0';
	*strrchr(self, '/') = '\0';
	snprintf(odd_path, sizeof(odd_path), "%s/odd_malloc.so", self);
	snprintf(trace_path, sizeof(trace_path), "%s/t.rht", dir);
	return 0;
}

static int remove_dir(void **state)
{
	(void)state;
	unlink(trace_path);
	return rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counts_are_the_traces),
		cmocka_unit_test(memory_is_the_heaps),
		cmocka_unit_test(lanes_wait_for_each_other),
		cmocka_unit_test(sixty_four_lanes),
		cmocka_unit_test(one_cpu),
		cmocka_unit_test(copies_run_the_whole_program),
		cmocka_unit_test(folded_onto_fewer),
		cmocka_unit_test(every_touch),
		cmocka_unit_test(verify_passes_for_all_present),
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
		cmocka_unit_test(usage_is_checked_first),
		cmocka_unit_test(order_is_seeded),
		cmocka_unit_test(an_interrupt_leaves_no_worker),
		cmocka_unit_test(a_worker_dies_with_its_driver),
		cmocka_unit_test(sanitized_builds_say_why),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
