/*
 * test_gate_calls.c - system calls counted by a tracer: exactly those that are made, in all
 * threads; a child does not outlive its tracer; where ptrace is refused it is said.
 *
 * The program traced is this one, started again with a word that says what to do.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "ci/gate/calls.h"

static char out_path[] = "/tmp/reheap-calls-test-XXXXXX";
static char self[4096];

/* ---- what is traced ---- */

static void *use_memory(void *times)
{
	for (long i = 0; i < *(const long *)times; i++) {
		void *at = mmap(NULL, 1 << 16, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
				-1, 0);

		madvise(at, 1 << 16, MADV_DONTNEED);
		mprotect(at, 4096, PROT_READ);
		munmap(at, 1 << 16);
		madvise(at, 0, MADV_NORMAL);
	}
	return NULL;
}

/* Two threads, so that their own mappings are the same for every number of times. */
static int traced_main(long times)
{
	pthread_t thread;

	if (times < 0) {
		FILE *file = fopen(out_path, "w");

		fprintf(file, "%d\n", (int)getpid());
		fclose(file);
		pause();
	}
	pthread_create(&thread, NULL, use_memory, &times);
	use_memory(&times);
	pthread_join(thread, NULL);
	_exit(7);
}

/* ---- tests ---- */

static struct rh_calls trace(const char *times)
{
	char *argv[] = { self, (char *)"do", (char *)(uintptr_t)times, out_path, NULL };
	struct rh_calls calls;
	struct rh_err err = { 0 };

	assert_int_equal(rh_calls_trace(out_path, argv, &err), 7);
	if (rh_calls_read(&calls, out_path, &err) < 0)
		fail_msg("%s", err.text);
	return calls;
}

static bool refused(void)
{
	struct rh_err err = { 0 };

	if (rh_calls_possible(&err) == 0)
		return false;
	assert_int_equal(err.code, RH_ABSENT);
	print_message("%s\n", err.text);
	return true;
}

static void calls_of_all_threads_are_counted_exactly(void **state)
{
	struct rh_calls none, many;

	(void)state;
	if (refused())
		return;
	none = trace("0");
	many = trace("1000");
	assert_int_equal(many.count[RH_CALLS_MMAP] - none.count[RH_CALLS_MMAP], 2000);
	assert_int_equal(many.count[RH_CALLS_MUNMAP] - none.count[RH_CALLS_MUNMAP], 2000);
	assert_int_equal(many.count[RH_CALLS_MADVISE] - none.count[RH_CALLS_MADVISE], 4000);
	assert_int_equal(many.count[RH_CALLS_MPROTECT] - none.count[RH_CALLS_MPROTECT], 2000);
	assert_int_equal(many.count[RH_CALLS_BRK], none.count[RH_CALLS_BRK]);
	assert_true(none.count[RH_CALLS_MMAP] > 0);
}

static void a_program_that_is_not_there_is_told(void **state)
{
	char *argv[] = { (char *)"/nonexistent/program", NULL };
	struct rh_err err = { 0 };

	(void)state;
	if (refused())
		return;
	assert_int_equal(rh_calls_trace(out_path, argv, &err), 127);
	argv[0] = (char *)"false";
	assert_int_equal(rh_calls_trace(out_path, argv, &err), 1);
	assert_int_equal(rh_calls_trace("/nonexistent/out", argv, &err), -1);
	assert_int_equal(err.code, RH_CANT_CREATE);
}

static void half_a_file_is_refused(void **state)
{
	struct rh_calls calls;
	struct rh_err err = { 0 };
	FILE *file = fopen(out_path, "w");

	(void)state;
	fprintf(file, "mmap 3\nmunmap 4\nmremap");
	fclose(file);
	assert_int_equal(rh_calls_read(&calls, out_path, &err), -1);
	assert_int_equal(err.code, RH_BAD_DATA);
	assert_int_equal(rh_calls_read(&calls, "/nonexistent/out", &err), -1);
	assert_int_equal(err.code, RH_NO_INPUT);
}

static int pid_written(void)
{
	FILE *file = fopen(out_path, "r");
	int pid = 0;

	if (file && fscanf(file, "%d", &pid) != 1)
		pid = 0;
	if (file)
		fclose(file);
	return pid;
}

static bool lives(int pid)
{
	char path[64], text[512] = "", *state;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	file = fopen(path, "r");
	if (!file)
		return false;
	if (!fgets(text, sizeof(text), file))
		text[0] = '\0';
	fclose(file);
	state = strrchr(text, ')');
	return state && state[1] && state[2] != 'Z' && state[2] != 'X';
}

static void a_child_does_not_outlive_its_tracer(void **state)
{
	char *argv[] = { self, (char *)"do", (char *)"-1", out_path, NULL };
	struct rh_err err = { 0 };
	int traced = 0;
	pid_t tracer;

	(void)state;
	if (refused())
		return;
	assert_int_equal(truncate(out_path, 0), 0);
	tracer = fork();
	if (tracer == 0)
		_exit(rh_calls_trace("/dev/null", argv, &err) < 0);
	for (int i = 0; i < 1000 && !(traced = pid_written()); i++)
		usleep(10000);
	assert_true(traced > 0 && lives(traced));
	kill(tracer, SIGKILL);
	assert_int_equal(waitpid(tracer, NULL, 0), tracer);
	for (int i = 0; i < 1000 && lives(traced); i++)
		usleep(10000);
	assert_false(lives(traced));
}

/* A filter as some containers have it: ptrace ends with EPERM. */
static void forbid_ptrace(void)
{
	struct sock_filter rules[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_ptrace, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { sizeof(rules) / sizeof(rules[0]), rules };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
		_exit(77);
}

static void where_ptrace_is_refused_it_is_said(void **state)
{
	int status;
	pid_t pid = fork();

	(void)state;
	if (pid == 0) {
		struct rh_err err = { 0 };

		forbid_ptrace();
		_exit(rh_calls_possible(&err) == -1 && err.code == RH_ABSENT && err.text[0] ? 0
											    : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77)
		print_message("no seccomp here\n");
	else
		assert_int_equal(WEXITSTATUS(status), 0);
}

static int make_file(void **state)
{
	int fd = mkstemp(out_path);
	ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);

	(void)state;
	if (fd >= 0)
		close(fd);
	return fd >= 0 && length > 0 ? 0 : -1;
}

static int remove_file(void **state)
{
	(void)state;
	return unlink(out_path);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(calls_of_all_threads_are_counted_exactly),
		cmocka_unit_test(a_program_that_is_not_there_is_told),
		cmocka_unit_test(half_a_file_is_refused),
		cmocka_unit_test(a_child_does_not_outlive_its_tracer),
		cmocka_unit_test(where_ptrace_is_refused_it_is_said),
	};

	if (argc == 4 && strcmp(argv[1], "do") == 0) {
		snprintf(out_path, sizeof(out_path), "%s", argv[3]);
		return traced_main(strtol(argv[2], NULL, 10));
	}
	return cmocka_run_group_tests(tests, make_file, remove_file);
}
