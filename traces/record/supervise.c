/*
 * supervise.c - runs the program and stays with it until it is over.
 *
 *	1. look at the program (program.c), calibrate the clock, make the area;
 *	2. fork; the child names itself the recorded process, puts the shim in front of
 *	   whatever LD_PRELOAD held, and execs;
 *	3. loop: beat, drain, processes, limits and timers, sleep until a ring is half
 *	   full or a few milliseconds are over;
 *	4. the program has ended, or recording has for good: write the traces, and wait
 *	   for the program if it still runs.
 *
 * Signals. What comes from the terminal reaches the program by itself (it is in our
 * process group); what is sent to us alone is passed on. We end only when it does.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "alloc/base/os.h"
#include "traces/record/program.h"
#include "traces/record/session.h"

enum {
	CALIBRATE_NS = 10 * 1000 * 1000,
	BUSY_NS = 1000 * 1000,			/* sleep after a pass that found work */
	IDLE_NS = 16 * 1000 * 1000,		/* longest sleep: the beat of an idle program */
	SWEEP_NS = 100 * 1000 * 1000,		/* every ring, dead processes, limits */
	SIGNALS = 6,
	INHERITED_FD = 500,
	UNSEEN_SWEEPS = 10,			/* so long a foreign image is no mere start */
};

static const int passed_on[SIGNALS] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2 };

/* What the handlers touch. */
static struct {
	struct rh_area *area;
	volatile pid_t child;
	volatile sig_atomic_t toggles;
	int toggle;
	struct sigaction old[SIGNALS], old_child, old_size;
	sigset_t old_mask;
} now;

static void on_signal(int number, siginfo_t *info, void *unused)
{
	int saved = errno;

	(void)unused;
	atomic_fetch_add(&now.area->wake, 1);
	if (number == SIGCHLD)
		goto out;
	if (number == now.toggle) {
		now.toggles = now.toggles + 1;
		goto out;
	}
	if (now.child > 0 && (info->si_code <= 0 || getpgid(now.child) != getpgrp()))
		kill(now.child, number);
out:
	errno = saved;
}

/* Signals are held back from before the fork until the handlers know the child. */
static void take_signals(const struct rh_session *session)
{
	struct sigaction action = { .sa_sigaction = on_signal,
				    .sa_flags = SA_SIGINFO | SA_RESTART };

	now.area = session->area;
	now.toggle = session->opts->toggle;
	now.child = session->child;
	now.toggles = 0;
	sigfillset(&action.sa_mask);
	for (int i = 0; i < SIGNALS; i++)
		sigaction(passed_on[i], &action, &now.old[i]);
	sigaction(SIGCHLD, &action, &now.old_child);
	/* A file size limit shall end the capture with a sentence, not us. */
	sigaction(SIGXFSZ, &(struct sigaction){ .sa_handler = SIG_IGN }, &now.old_size);
	sigprocmask(SIG_SETMASK, &now.old_mask, NULL);
}

static void hold_signals(void)
{
	sigset_t all;

	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &now.old_mask);
}

static void give_signals_back(void)
{
	for (int i = 0; i < SIGNALS; i++)
		sigaction(passed_on[i], &now.old[i], NULL);
	sigaction(SIGCHLD, &now.old_child, NULL);
	sigaction(SIGXFSZ, &now.old_size, NULL);
	now.child = 0;
}

/* ---- the child ---- */

static int set_environment(const struct rh_record_opts *opts, const char *area_path,
			   struct rh_err *err)
{
	const char *old = getenv("LD_PRELOAD");
	char preload[8192];

	if (strpbrk(opts->shim, " :"))
		return rh_fail(err, RH_OS, "%s: the loader splits preloaded paths at spaces and "
			       "colons; install reheap under a path without them", opts->shim);
	if ((size_t)snprintf(preload, sizeof preload, "%s%s%s", opts->shim, old && *old ? ":" : "",
			     old && *old ? old : "") >= sizeof preload)
		return rh_fail(err, RH_OS, "LD_PRELOAD would be longer than %zu bytes",
			       sizeof preload);
	if (setenv("LD_PRELOAD", preload, 1) < 0 || setenv(RH_RECORD_ENV, area_path, 1) < 0)
		return rh_fail_errno(err, RH_OS, "the program's environment cannot be set");
	return 0;
}

/*
 * A program that we start as root may drop its privileges and exec; its next image may
 * not look into our /proc/PID/fd. So it inherits the area too, by a number above those
 * that programs use. -1: not root, or it may not have so many files.
 */
static int bequeath(int area_fd)
{
	return geteuid() == 0 ? fcntl(area_fd, F_DUPFD, INHERITED_FD) : -1;
}

/* Never returns. Tells errno through the pipe when exec fails. */
static void become(struct rh_session *session, const char *path, char **argv, int tell,
		   pid_t supervisor)
{
	char area_path[64];
	struct rh_err err = { 0 };
	int failed;

	snprintf(area_path, sizeof area_path, "/proc/%d/fd/%d%c%d", (int)supervisor,
		 session->area_fd, RH_RECORD_ENV_FD, bequeath(session->area_fd));
	if (!session->opts->sigpipe_ignored)	/* we do, whatever our caller does */
		signal(SIGPIPE, SIG_DFL);
	if (set_environment(session->opts, area_path, &err) < 0) {
		fprintf(stderr, "reheap record: %s\n", err.text);
		errno = ENOMEM;
	} else {
		atomic_store(&session->area->main_pid, (int32_t)getpid());
		sigprocmask(SIG_SETMASK, &now.old_mask, NULL);
		execv(path, argv);
		if (errno == ENOEXEC) {		/* a script without #!, as execvp would */
			char **shell = calloc(1, 4096 * sizeof *shell);
			int i;

			for (i = 0; shell && argv[i] && i < 4090; i++)
				shell[i + 1] = argv[i];
			if (shell) {
				shell[0] = (char *)(uintptr_t)"sh";
				shell[1] = (char *)(uintptr_t)path;
				execv("/bin/sh", shell);
			}
		}
	}
	failed = errno;
	if (write(tell, &failed, sizeof failed) != sizeof failed)
		_exit(126);
	_exit(failed == ENOENT ? 127 : 126);
}

static int start(struct rh_session *session, const char *path, char **argv, struct rh_err *err)
{
	int tell[2], failed = 0, status;
	pid_t supervisor = getpid();
	ssize_t got;

	if (pipe2(tell, O_CLOEXEC) < 0)
		return rh_fail_errno(err, RH_OS, "no pipe to the program");
	fflush(NULL);
	hold_signals();
	session->child = fork();
	if (session->child == 0)
		become(session, path, argv, tell[1], supervisor);
	close(tell[1]);
	if (session->child < 0) {
		sigprocmask(SIG_SETMASK, &now.old_mask, NULL);
		close(tell[0]);
		return rh_fail_errno(err, RH_OS, "no process for the program");
	}
	do
		got = read(tell[0], &failed, sizeof failed);
	while (got < 0 && errno == EINTR);
	close(tell[0]);
	if (got == (ssize_t)sizeof failed) {
		waitpid(session->child, &status, 0);
		sigprocmask(SIG_SETMASK, &now.old_mask, NULL);
		errno = failed;
		return rh_fail_errno(err, RH_NO_INPUT, "%s", path);
	}
	take_signals(session);
	return 0;
}

/* ---- spans, limits, timers ---- */

static void set_recording(struct rh_session *session, bool on)
{
	uint64_t stamp = rh_ticks();

	if (on == session->recording || (on && session->span_count == RH_SPANS_MAX))
		return;
	session->recording = on;
	if (on)
		session->spans[session->span_count++] = (struct rh_span){ stamp, UINT64_MAX };
	else
		session->spans[session->span_count - 1].to = stamp;
	atomic_store(&session->area->recording, on);
	rh_drain_beat(&session->drain);
}

static void stop_for_good(struct rh_session *session)
{
	if (session->recording)
		set_recording(session, false);
	session->stopped = true;
	atomic_store(&session->area->closed, 1);
}

static void check_timers(struct rh_session *session)
{
	const struct rh_record_opts *opts = session->opts;
	uint64_t since = rh_now_ns() - session->began_ns;

	if (opts->attach_after_ns && session->span_count == 0 && since >= opts->attach_after_ns)
		set_recording(session, true);
	if (opts->duration_ns && since >= opts->attach_after_ns + opts->duration_ns)
		stop_for_good(session);
	while (session->toggles_seen < now.toggles) {
		session->toggles_seen++;
		set_recording(session, !session->recording);
	}
}

static void check_limits(struct rh_session *session)
{
	const struct rh_record_opts *opts = session->opts;

	if (session->drain.stopped)
		stop_for_good(session);
	if (opts->keep == RH_KEEP_LAST)
		return;
	if ((opts->max_events && session->drain.events >= opts->max_events) ||
	    (opts->max_bytes && session->drain.bytes >= opts->max_bytes))
		stop_for_good(session);
}

/* ---- the loop ---- */

static void reap(struct rh_session *session)
{
	int status;

	if (!session->reaped && waitpid(session->child, &status, WNOHANG) == session->child) {
		session->reaped = true;
		session->wait_status = status;
		now.child = 0;
	}
}

static void show(const struct rh_session *session)
{
	if (session->opts->progress && !session->opts->quiet)
		session->opts->progress("recording%s: %.1f M calls, %.1f MB",
					session->recording ? "" : " (paused)",
					(double)session->drain.events / 1e6,
					(double)session->drain.bytes / 1e6);
}

/* Said once: what runs there now has not loaded the recorder. Paths are compared from the
 * end, as the program may see them from below another root. */
static void look_for_strangers(struct rh_session *session)
{
	const struct rh_drain *drain = &session->drain;
	char link[64], exe[4096];
	size_t newest = rh_drain_newest(drain, session->child, false);
	const char *known = newest == SIZE_MAX ? NULL : drain->images[newest].exe;
	ssize_t got;

	snprintf(link, sizeof link, "/proc/%d/exe", (int)session->child);
	got = session->reaped ? -1 : readlink(link, exe, sizeof exe - 1);
	if (got <= 0 || session->strange_sweeps > UNSEEN_SWEEPS)
		return;
	exe[got] = '\0';
	if (known && (size_t)got >= strlen(known) && strcmp(exe + got - strlen(known), known) == 0)
		session->strange_sweeps = 0;
	else if (++session->strange_sweeps > UNSEEN_SWEEPS)
		fprintf(stderr, "reheap record: the program now runs %s, and that has not loaded "
			"the recorder: it is static or setuid, or its environment was cleared, "
			"or it changed user and closed its files; it is not recorded\n", exe);
}

static void doze(struct rh_session *session, uint64_t ns)
{
	struct rh_area *area = session->area;
	uint32_t seen = atomic_load(&area->wake);

	atomic_store(&area->sleeping, 1);
	rh_futex_wait((_Atomic uint32_t *)&area->wake, seen, ns);
	atomic_store(&area->sleeping, 0);
}

/* Until the program (and all that are followed) is over, or recording is for good. */
static int watch(struct rh_session *session, struct rh_err *err)
{
	uint64_t swept = 0, beat = 0, pause = BUSY_NS;
	int64_t taken;
	bool sweep, over = false;

	while (!over && !session->stopped) {
		uint32_t woken = atomic_load(&session->area->wake);
		uint64_t time = rh_now_ns();

		if (time - beat >= BUSY_NS) {
			beat = time;
			rh_drain_beat(&session->drain);
		}
		reap(session);
		over = session->reaped;		/* one more sweep after the end */
		sweep = over || time - swept >= SWEEP_NS;
		taken = rh_drain_pass(&session->drain, sweep, err);
		if (taken < 0)
			return -1;
		if (sweep) {
			swept = time;
			if (rh_drain_processes(&session->drain, session->reaped, err) < 0)
				return -1;
			if (session->opts->follow && rh_drain_running(&session->drain))
				over = false;
			look_for_strangers(session);
			show(session);
		}
		check_timers(session);
		check_limits(session);
		pause = taken ? BUSY_NS : pause * 2 < IDLE_NS ? pause * 2 : IDLE_NS;
		if (!over && woken == atomic_load(&session->area->wake))
			doze(session, pause);
	}
	return 0;
}

/* Recording is over, the program is not. */
static void wait_for_program(struct rh_session *session)
{
	while (!session->reaped) {
		reap(session);
		if (!session->reaped)
			doze(session, SWEEP_NS);
	}
}

static int last_sweep(struct rh_session *session, struct rh_err *err)
{
	stop_for_good(session);
	if (rh_drain_pass(&session->drain, true, err) < 0)
		return -1;
	return rh_drain_processes(&session->drain, session->reaped, err);
}

static int open_session(struct rh_session *session, const struct rh_record_opts *opts,
			struct rh_err *err)
{
	memset(session, 0, sizeof *session);
	session->opts = opts;
	rh_clock_calibrate(&session->clock, CALIBRATE_NS);
	session->area = rh_area_make(opts, session->clock.source != RH_CLOCK_MONOTONIC,
				     &session->area_fd, err);
	if (!session->area)
		return -1;
	if (rh_drain_open(&session->drain, session->area, opts->out, err) < 0)
		return -1;
	if (opts->keep == RH_KEEP_LAST) {
		session->drain.last_events = opts->max_events;
		session->drain.last_bytes = opts->max_bytes;
	}
	session->began_ns = rh_now_ns();
	session->began_ticks = rh_ticks();
	if (!opts->paused && !opts->attach_after_ns)
		set_recording(session, true);
	return 0;
}

static void close_session(struct rh_session *session)
{
	rh_drain_close(&session->drain);
	if (session->area)
		munmap(session->area, session->area->bytes);
	if (session->area_fd >= 0)
		close(session->area_fd);
}

int rh_record_run(const struct rh_record_opts *opts, char **argv, int *status, int *signal_number,
		  bool *trace_ok, struct rh_err *err)
{
	static struct rh_session session;
	char path[4096], warning[600];

	*signal_number = 0;
	if (rh_program_find(argv[0], path, sizeof path, warning, sizeof warning, status, err) < 0)
		return -1;
	if (warning[0])
		fprintf(stderr, "reheap record: %s\n", warning);
	if (open_session(&session, opts, err) < 0 || start(&session, path, argv, err) < 0) {
		*status = err->code == RH_NO_INPUT ? 126 : err->code;
		close_session(&session);
		return -1;
	}
	if (watch(&session, err) < 0)
		fprintf(stderr, "reheap record: recording stopped: %s\n", err->text);
	if (last_sweep(&session, err) < 0)
		fprintf(stderr, "reheap record: recording stopped: %s\n", err->text);
	*trace_ok = rh_session_finish(&session);
	wait_for_program(&session);
	rh_session_afterwards(&session);
	give_signals_back();
	*status = WIFSIGNALED(session.wait_status) ? 128 + WTERMSIG(session.wait_status) :
						     WEXITSTATUS(session.wait_status);
	if (WIFSIGNALED(session.wait_status))
		*signal_number = WTERMSIG(session.wait_status);
	close_session(&session);
	return 0;
}
