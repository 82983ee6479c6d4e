/*
 * test_samples.c - user time in a part of a file: a process that works for as long in one function
 * as in another is seen in both, threads too, and what is not the part is outside. The lengths are
 * CPU time by the process's own clock, so that a busy machine changes nothing.
 */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "harness/launch/samples.h"

enum { WORK_NS = 100000000 };

/* Each in a section of its own, whose ends the linker knows. */
extern char __start_code_inside[], __stop_code_inside[];

__attribute__((noinline, section("code_inside"))) static uint64_t inside(uint64_t x)
{
	for (int i = 0; i < 1000000; i++)
		x = x * 6364136223846793005u + 1442695040888963407u;
	return x;
}

__attribute__((noinline)) static uint64_t outside(uint64_t x)
{
	for (int i = 0; i < 1000000; i++)
		x = x * 2862933555777941757u + 3037000493u;
	return x;
}

static uint64_t thread_cpu_ns(void)
{
	struct timespec at;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &at);
	return (uint64_t)at.tv_sec * 1000000000u + (uint64_t)at.tv_nsec;
}

static void work(uint64_t (*with)(uint64_t))
{
	uint64_t until = thread_cpu_ns() + WORK_NS;
	volatile uint64_t x = 1;

	while (thread_cpu_ns() < until)
		x = with(x);
}

static void *in_thread(void *unused)
{
	work(inside);
	return unused;
}

/* 100 ms in each, and as much again inside by a thread. */
static _Noreturn void child(int gate)
{
	pthread_t thread;
	char none;

	while (read(gate, &none, 1) < 0)
		;
	work(outside);
	work(inside);
	pthread_create(&thread, NULL, in_thread, NULL);
	pthread_join(thread, NULL);
	_exit(0);
}

/* Where in this program's file the section lies. */
static void part_of_us(struct rh_code_part *part)
{
	char line[1024], path[RH_CODE_PATH_BYTES];
	FILE *maps = fopen("/proc/self/maps", "re");
	uintptr_t at = (uintptr_t)__start_code_inside;
	unsigned long start, end, offset;
	bool found = false;

	assert_non_null(maps);
	while (!found && fgets(line, sizeof(line), maps))
		found = sscanf(line, "%lx-%lx %*s %lx %*s %*s %511s", &start, &end, &offset,
			       path) == 4 &&
			at >= start && at < end;
	fclose(maps);
	assert_true(found);
	*part = (struct rh_code_part){ .first = offset + (at - start) };
	part->end = part->first + (uint64_t)(__stop_code_inside - __start_code_inside);
	snprintf(part->path, sizeof(part->path), "%s", path);
}

static void both_places_are_seen(void **state)
{
	struct rh_code code = { .count = 1 };
	char why[RH_SAMPLES_WHY_BYTES];
	struct rh_samples samples;
	struct rh_sampled got;
	int gate[2], status;
	pid_t pid;

	(void)state;
	if (rh_samples_refused(why, sizeof(why))) {
		print_message("# SKIP %s\n", why);
		skip();
	}
	part_of_us(&code.part[0]);
	assert_int_equal(pipe(gate), 0);
	pid = fork();
	if (pid == 0) {
		close(gate[1]);
		child(gate[0]);
	}
	rh_samples_open(&samples, pid, &code, false);
	assert_string_equal(samples.why, "");
	close(gate[0]);
	close(gate[1]);
	while (waitpid(pid, &status, WNOHANG) == 0) {
		rh_samples_look(&samples);
		usleep(20000);
	}
	rh_samples_end(&samples, &got);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	assert_true(got.inside_s > 0.15 && got.inside_s < 0.3);
	assert_true(got.outside_s > 0.07 && got.outside_s < 0.2);
	assert_true(got.others_s == 0);
	assert_true(got.samples > 700);
}

/* The runtimes of compilers are nobody's; of libc only malloc is; every other file is. */
static void files_are_told_apart(void **state)
{
	struct rh_code code = { .count = 0 };
	struct rh_err err = { 0 };

	(void)state;
	assert_int_equal(rh_code_add(&code, "/lib/libstdc++.so.6.0.30", &err), 0);
	assert_int_equal(rh_code_add(&code, "/usr/libexec/reheap/reheap-worker", &err), 0);
	assert_int_equal(rh_code_add(&code, "/lib64/ld-linux-x86-64.so.2", &err), 0);
	assert_int_equal(code.count, 0);
	assert_int_equal(rh_code_add(&code, "/opt/libmine.so", &err), 0);
	assert_int_equal(rh_code_add(&code, "/opt/libmine.so", &err), 0);
	assert_int_equal(code.count, 1);
	assert_true(code.part[0].first == 0 && code.part[0].end == UINT64_MAX);
	assert_int_equal(rh_code_add(&code, "/nowhere/libc.so.6", &err), -1);
	assert_int_equal(code.count, 1);
	for (int i = 1; i < RH_CODE_PARTS_MAX; i++) {
		char path[32];

		snprintf(path, sizeof(path), "/opt/lib%d.so", i);
		assert_int_equal(rh_code_add(&code, path, &err), 0);
	}
	assert_int_equal(rh_code_add(&code, "/opt/libmore.so", &err), -1);
	assert_int_equal(err.code, RH_ABSENT);
}

/* Of no process, and of one that is not sampled, there is nothing, and a sentence. */
static void nothing_is_not_zero(void **state)
{
	struct rh_code none = { .count = 0 };
	struct rh_samples samples = { .pid = 0 };
	struct rh_sampled got;

	(void)state;
	rh_samples_look(&samples);
	rh_samples_end(&samples, &got);
	assert_true(got.inside_s != got.inside_s);
	rh_samples_open(&samples, getpid(), &none, false);
	rh_samples_look(&samples);
	rh_samples_end(&samples, &got);
	assert_true(got.inside_s != got.inside_s && got.outside_s != got.outside_s);
	assert_true(got.why[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_places_are_seen),
		cmocka_unit_test(files_are_told_apart),
		cmocka_unit_test(nothing_is_not_zero),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
