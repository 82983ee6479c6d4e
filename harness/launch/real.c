/*
 * real.c - fork, exec, wait by pidfd, clear up.
 *
 * It waits by poll(2) on a pidfd in slices, and checks for an interrupt and the deadline in
 * between. No process outlives the call: the group is killed even after the program was reaped,
 * to end children that it left.
 */
#include "harness/launch/real.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "alloc/base/os.h"
#include "harness/launch/leaked.h"
#include "harness/launch/worker.h"

enum { SLICE_MS = 100 };
/* A server gets this long to end after SIGTERM; the recorder writes its trace meanwhile. */
#define ENDING_NS 120000000000ull

static void set_preload(const struct rh_real *real)
{
	const char *first = real->spec->preload[0] ? real->spec->preload : real->libc;
	char text[2 * sizeof(real->spec->preload)];

	snprintf(text, sizeof(text), "%s%s%s", first ? first : "", first && real->behind ? ":" : "",
		 real->behind ? real->behind : "");
	if (text[0])
		setenv("LD_PRELOAD", text, 1);
	else
		unsetenv("LD_PRELOAD");
}

/* Between fork and exec; failure to start shows in the exit status, as with a shell. */
static _Noreturn void become(const struct rh_real *real, char **argv, char *mark, const int *gate)
{
	const struct rh_variant *variant = real->spec ? &real->spec->variant : NULL;
	int null = open("/dev/null", O_RDWR);
	/* Opened anew, it is read from its start. */
	int input = real->input ? open("/proc/self/fd/0", O_RDONLY) : null;
	char none;

	setpgid(0, 0);
	if (mark)
		putenv(mark);
	if (gate) {
		close(gate[1]);
		while (read(gate[0], &none, 1) < 0 && errno == EINTR)
			;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (real->spec)
		set_preload(real);
	for (unsigned i = 0; variant && i < variant->env_count; i++)
		putenv((char *)(uintptr_t)variant->env[i]);
	if (dup2(input, 0) < 0 || dup2(null, 1) < 0 ||
	    dup2(real->output_fd >= 0 ? real->output_fd : null, 2) < 0)
		_exit(126);
	signal(SIGINT, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	signal(SIGPIPE, SIG_DFL);
	execvp(argv[0], argv);
	_exit(errno == ENOENT ? 127 : 126);
}

/* `mark`: of its environment, and of what it starts; NULL = none. `gate`: a pipe whose other end
 * holds the program until we close it; NULL = it starts at once. */
static pid_t begin(const struct rh_real *real, char **argv, char *mark, const int *gate,
		   struct rh_err *err)
{
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid == 0)
		become(real, argv, mark, gate);
	if (pid < 0)
		rh_fail_errno(err, RH_OS, "no process for %s", argv[0]);
	else
		setpgid(pid, pid); /* whichever of the two is first */
	return pid;
}

/* What is asked about the program while it runs. */
struct looks {
	struct rh_watch watch;
	struct rh_samples samples;
};

/* Waits until either has ended (neither is reaped); `other` may be 0. Returns the one that has
 * ended, or -1 at the deadline or when interrupted. */
static pid_t await_either(pid_t pid, pid_t other, uint64_t deadline_ns, struct looks *looks)
{
	int slice_ms = looks->watch.pid ? RH_WATCH_SLICE_MS : SLICE_MS;
	struct pollfd at[2] = { { .fd = (int)syscall(SYS_pidfd_open, pid, 0), .events = POLLIN },
				{ .fd = -1, .events = POLLIN } };
	pid_t ended = -1;

	if (other)
		at[1].fd = (int)syscall(SYS_pidfd_open, other, 0);
	while (at[0].fd >= 0 && !rh_interrupted && rh_now_ns() < deadline_ns && ended < 0) {
		rh_watch_look(&looks->watch);
		rh_samples_look(&looks->samples);
		if (poll(at, 2, slice_ms) > 0)
			ended = at[0].revents ? pid : other;
	}
	for (int i = 0; i < 2; i++)
		if (at[i].fd >= 0)
			close(at[i].fd);
	return ended;
}

/* 0 = it has ended (and is not reaped yet), -1 = deadline passed, or interrupted. */
static int await_end(pid_t pid, uint64_t deadline_ns, struct looks *looks)
{
	return await_either(pid, 0, deadline_ns, looks) == pid ? 0 : -1;
}

/* Ends the group and takes the costs of its leader. */
static int reap(pid_t pid, int *status, struct rusage *use)
{
	pid_t got;

	kill(-pid, SIGKILL);
	do
		got = wait4(pid, status, 0, use);
	while (got < 0 && errno == EINTR);
	kill(-pid, SIGKILL);
	return got == pid ? 0 : -1;
}

/* The load's exit status is what counts. It would wait in vain for a server that is gone. */
static int drive(const struct rh_real *real, pid_t server, uint64_t deadline_ns,
		 struct looks *looks, struct rh_err *err)
{
	static char shell[] = "sh", option[] = "-c";
	char *argv[] = { shell, option, (char *)(uintptr_t)real->driver, NULL };
	struct rh_real plain = { .output_fd = real->output_fd };
	struct rusage use;
	int status = 0;
	pid_t pid = begin(&plain, argv, NULL, NULL, err), ended;

	if (pid < 0)
		return -1;
	ended = await_either(pid, server, deadline_ns, looks);
	if (ended != pid) {
		reap(pid, &status, &use);
		if (ended == server)
			return rh_fail(err, RH_FAILED, "the server ended before its driver did");
		return rh_fail(err, RH_FAILED, "the driver did not end in time: %s", real->driver);
	}
	reap(pid, &status, &use);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		return rh_fail(err, RH_FAILED, "the driver ended with %s %d: %s",
			       WIFEXITED(status) ? "exit status" : "signal",
			       WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status),
			       real->driver);
	return 0;
}

static const char *name_of(const struct rh_real *real)
{
	return real->name ? real->name : real->argv[0];
}

static int judge_end(const struct rh_real *real, int status, struct rh_err *err)
{
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	if (real->driver && (!WIFSIGNALED(status) || WTERMSIG(status) == SIGTERM))
		return 0; /* a server ended by us may say so */
	if (WIFSIGNALED(status))
		return rh_fail(err, RH_FAILED, "%s was ended by signal %d (%s)", name_of(real),
			       WTERMSIG(status), strsignal(WTERMSIG(status)));
	if (WEXITSTATUS(status) == 127)
		return rh_fail(err, RH_NO_INPUT, "%s cannot be found", name_of(real));
	return rh_fail(err, RH_FAILED, "%s ended with exit status %d", name_of(real),
		       WEXITSTATUS(status));
}

/* Waits for the program, or drives it and asks it to end. */
static int live(const struct rh_real *real, pid_t pid, uint64_t deadline_ns, struct looks *looks,
		struct rh_err *err)
{
	if (!real->driver)
		return await_end(pid, deadline_ns, looks) == 0
			       ? 0
			       : rh_fail(err, RH_FAILED, "%s did not end in time", name_of(real));
	if (drive(real, pid, deadline_ns, looks, err) < 0)
		return -1;
	kill(pid, SIGTERM);
	return await_end(pid, rh_now_ns() + ENDING_NS, looks) == 0
		       ? 0
		       : rh_fail(err, RH_FAILED, "%s did not end on SIGTERM", name_of(real));
}

int rh_real_run(const struct rh_real *real, struct rh_real_cost *cost, struct rh_err *err)
{
	uint64_t since = rh_now_ns();
	uint64_t deadline_ns = real->timeout_ns ? since + real->timeout_ns : UINT64_MAX;
	int gate[2] = { -1, -1 };
	bool held = real->watch || real->code;
	char mark[RH_LEAKED_MARK_BYTES];
	struct looks looks = { .watch = { .futex = -1 } };
	struct rusage use;
	int status = 0, result;
	pid_t pid;

	snprintf(mark, sizeof(mark), RH_LEAKED_MARK "%010d.%010llu.", (int)getpid(),
		 (unsigned long long)since % 10000000000);
	if (rh_leaked_begin(err) < 0)
		return -1;
	/* Counters are inherited by threads that begin later: the first must not be there yet. */
	if (held && pipe2(gate, O_CLOEXEC) < 0)
		return rh_fail_errno(err, RH_OS, "no pipe to start %s", real->argv[0]);
	pid = begin(real, real->argv, mark, held ? gate : NULL, err);
	if (pid > 0)
		rh_leaked_born(pid);
	if (real->watch && pid > 0)
		rh_watch_begin(&looks.watch, pid);
	if (real->code && pid > 0)
		rh_samples_open(&looks.samples, pid, real->code, true);
	if (held) {
		close(gate[0]);
		close(gate[1]);
	}
	if (pid < 0)
		return -1;
	result = live(real, pid, deadline_ns, &looks, err);
	cost->wall_s = (double)(rh_now_ns() - since) / 1e9;
	if (reap(pid, &status, &use) < 0 && result == 0)
		result = rh_fail_errno(err, RH_OS, "%s cannot be waited for", real->argv[0]);
	cost->left = rh_leaked_end(pid, mark);
	cost->status = result == 0 ? status : 0;
	rh_watch_end(&looks.watch, &cost->watched);
	rh_samples_end(&looks.samples, &cost->sampled);
	if (rh_interrupted)
		return rh_fail(err, RH_FAILED, "interrupted");
	if (result < 0)
		return -1;
	cost->user_s = (double)use.ru_utime.tv_sec + (double)use.ru_utime.tv_usec / 1e6;
	cost->system_s = (double)use.ru_stime.tv_sec + (double)use.ru_stime.tv_usec / 1e6;
	cost->peak_rss_bytes = (uint64_t)use.ru_maxrss * 1024;
	cost->faults = (uint64_t)(use.ru_minflt + use.ru_majflt);
	cost->switches = (uint64_t)use.ru_nvcsw;
	return judge_end(real, status, err);
}
