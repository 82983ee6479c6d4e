/*
 * calls.c - see the header.
 *
 * The tracer seizes its child before exec, so that its threads are traced from the start and
 * without a SIGSTOP (PTRACE_SEIZE), and killing the tracer kills the child (PTRACE_O_EXITKILL):
 * no worker outlives its driver.
 */
#include "ci/gate/calls.h"
#include "alloc/base/printable.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <linux/ptrace.h>
#include <unistd.h>

#include "harness/control/ctl.h"
#include "harness/result/result.h"

#define OPTIONS                                                                                   \
	(PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | \
	 PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL)
#define SYSCALL_STOP (SIGTRAP | 0x80)

const char *const rh_calls_names[RH_CALLS_COUNT] = {
	[RH_CALLS_MMAP] = "mmap",     [RH_CALLS_MUNMAP] = "munmap",
	[RH_CALLS_MREMAP] = "mremap", [RH_CALLS_MADVISE] = "madvise",
	[RH_CALLS_BRK] = "brk",	      [RH_CALLS_MPROTECT] = "mprotect",
};

static const long numbers[RH_CALLS_COUNT] = {
	[RH_CALLS_MMAP] = SYS_mmap,	[RH_CALLS_MUNMAP] = SYS_munmap,
	[RH_CALLS_MREMAP] = SYS_mremap, [RH_CALLS_MADVISE] = SYS_madvise,
	[RH_CALLS_BRK] = SYS_brk,	[RH_CALLS_MPROTECT] = SYS_mprotect,
};

/* ---- tracing ---- */

#ifdef __GLIBC__
typedef enum __ptrace_request request_type;
#else
typedef int request_type; /* musl */
#endif

static long ask(long request, pid_t pid, uintptr_t a, uintptr_t b)
{
	return ptrace((request_type)request, pid, (void *)a, (void *)b);
}

/* A child that waits at `gate` until its tracer is there. */
static pid_t fork_waiting(int gate[2], struct rh_err *err)
{
	pid_t pid;

	if (pipe(gate) < 0)
		return rh_fail_errno(err, RH_OS, "no pipe to a traced child");
	pid = fork();
	if (pid == 0) {
		char ready;

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(gate[1]);
		while (read(gate[0], &ready, 1) < 0 && errno == EINTR)
			;
		close(gate[0]);
		return 0;
	}
	close(gate[0]);
	if (pid < 0) {
		close(gate[1]);
		return rh_fail_errno(err, RH_OS, "no traced child can be made");
	}
	return pid;
}

static int seize(pid_t pid, struct rh_err *err)
{
	if (ask(PTRACE_SEIZE, pid, 0, OPTIONS) < 0)
		return rh_fail_errno(err, RH_ABSENT,
				     "a child cannot be traced here (a container "
				     "without ptrace?)");
	return 0;
}

static int bury(pid_t pid)
{
	int status = 0;

	kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return status;
}

int rh_calls_possible(struct rh_err *err)
{
	struct __ptrace_syscall_info info;
	int gate[2], result, status;
	pid_t pid;

#ifdef RH_SANITIZE
	return rh_fail(err, RH_ABSENT,
		       "this build carries a sanitizer (%s), which makes system "
		       "calls of its own",
		       RH_SANITIZE);
#endif
	pid = fork_waiting(gate, err);
	if (pid == 0) {
		pause();
		_exit(0);
	}
	if (pid < 0)
		return -1;
	result = seize(pid, err);
	if (result == 0 &&
	    (ask(PTRACE_INTERRUPT, pid, 0, 0) < 0 || waitpid(pid, &status, __WALL) != pid ||
	     ask(PTRACE_GET_SYSCALL_INFO, pid, sizeof(info), (uintptr_t)&info) <= 0))
		result = rh_fail(err, RH_ABSENT,
				 "this kernel does not report to a tracer which system "
				 "call it is (Linux 5.3 does)");
	close(gate[1]);
	bury(pid);
	return result;
}

static const struct rh_ctl *map_ctl(void)
{
	struct stat st;
	void *at;

	if (fstat(RH_CTL_FD, &st) < 0 || (size_t)st.st_size < sizeof(struct rh_ctl))
		return NULL;
	at = mmap(NULL, sizeof(struct rh_ctl), PROT_READ, MAP_SHARED, RH_CTL_FD, 0);
	if (at == MAP_FAILED || ((const struct rh_ctl *)at)->magic != RH_CTL_MAGIC)
		return NULL;
	return at;
}

/* The command does not change while the worker has the baton, and between commands the worker makes
 * no counted call. */
static bool counts_now(const struct rh_ctl *ctl)
{
	uint32_t command = ctl ? *(const volatile uint32_t *)&ctl->command : RH_CTL_RUN;

	return command == RH_CTL_RUN || command == RH_CTL_DRAIN;
}

static void count_call(pid_t pid, const struct rh_ctl *ctl, struct rh_calls *calls)
{
	struct __ptrace_syscall_info info;

	if (ask(PTRACE_GET_SYSCALL_INFO, pid, sizeof(info), (uintptr_t)&info) <= 0 ||
	    info.op != PTRACE_SYSCALL_INFO_ENTRY || !counts_now(ctl))
		return;
	for (int i = 0; i < RH_CALLS_COUNT; i++)
		calls->count[i] += info.entry.nr == (uint64_t)numbers[i];
}

/* Runs until the last of the family has ended; returns the child's exit status. */
static int follow(pid_t child, const struct rh_ctl *ctl, struct rh_calls *calls)
{
	int ended = 0, status;

	for (;;) {
		pid_t pid = waitpid(-1, &status, __WALL);
		int stop;

		if (pid < 0 && errno == EINTR)
			continue;
		if (pid < 0)
			return ended;
		if (!WIFSTOPPED(status)) {
			if (pid == child)
				ended = status;
			continue;
		}
		stop = WSTOPSIG(status);
		if (stop == SYSCALL_STOP)
			count_call(pid, ctl, calls);
		/* a trace event is not a signal for the program */
		if (stop == SYSCALL_STOP || status >> 16)
			stop = 0;
		ask(PTRACE_SYSCALL, pid, 0, (uintptr_t)stop);
	}
}

static int write_counts(const char *path, const struct rh_calls *calls, struct rh_err *err)
{
	FILE *to = fopen(path, "we");

	if (!to)
		return rh_fail_errno(err, RH_CANT_CREATE, "%s cannot be written", path);
	for (int i = 0; i < RH_CALLS_COUNT; i++)
		rh_print(to, "%s %" PRIu64 "\n", rh_calls_names[i], calls->count[i]);
	if (fclose(to) != 0)
		return rh_fail_errno(err, RH_IO, "%s cannot be written", path);
	return 0;
}

int rh_calls_trace(const char *out_path, char *const *argv, struct rh_err *err)
{
	struct rh_calls calls = { { 0 } };
	const struct rh_ctl *ctl = map_ctl();
	int gate[2], status;
	pid_t pid = fork_waiting(gate, err);

	if (pid == 0) {
		personality(ADDR_NO_RANDOMIZE);
		execvp(argv[0], argv);
		_exit(127);
	}
	if (pid < 0)
		return -1;
	if (seize(pid, err) < 0) {
		close(gate[1]);
		bury(pid);
		return -1;
	}
	/* At its first stop the child is continued so that it stops at system calls. */
	ask(PTRACE_INTERRUPT, pid, 0, 0);
	close(gate[1]);
	status = follow(pid, ctl, &calls);
	if (write_counts(out_path, &calls, err) < 0)
		return -1;
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* ---- the other end ---- */

int rh_calls_under(char *under, size_t under_bytes, const char *out_path, struct rh_err *err)
{
	char self[4096];
	ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (length <= 0)
		return rh_fail_errno(err, RH_ABSENT, "/proc/self/exe cannot be read");
	self[length] = '\0';
	if (strpbrk(self, " \t\n"))
		return rh_fail(err, RH_ABSENT, "the path of reheap has blanks in it");
	if (snprintf(under, under_bytes, "%s calls %s", self, out_path) >= (int)under_bytes)
		return rh_fail(err, RH_ABSENT, "the path of reheap is too long");
	return rh_calls_possible(err);
}

int rh_calls_read(struct rh_calls *out, const char *path, struct rh_err *err)
{
	FILE *file = fopen(path, "re");
	int lines = 0;

	*out = (struct rh_calls){ { 0 } };
	if (!file)
		return rh_fail_errno(err, RH_NO_INPUT, "%s cannot be read", path);
	for (; lines < RH_CALLS_COUNT; lines++) {
		char name[32];

		if (fscanf(file, "%31s %" SCNu64, name, &out->count[lines]) != 2 ||
		    strcmp(name, rh_calls_names[lines]) != 0)
			break;
	}
	fclose(file);
	if (lines < RH_CALLS_COUNT)
		return rh_fail(err, RH_BAD_DATA, "the system calls were not counted to the end");
	return 0;
}
