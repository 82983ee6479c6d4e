/*
 * supervise.c - runs the program and stays with it until it is over.
 *
 *	1. look at the program (executable.c), calibrate the clock, make the area;
 *	2. fork; the child names itself the recorded process, puts the shim in front of
 *	   whatever LD_PRELOAD held, and execs;
 *	3. loop: beat, drain, processes, limits and timers, sleep for as long as the rings
 *	   have room, a few milliseconds at most;
 *	4. at the end of the program, or of recording: write the traces, wait for the program.
 *
 * Signals. Signals from the terminal reach the program directly (it is in our process group);
 * signals sent only to us are passed on. We end when the program and all followed processes
 * have ended, or on request: by a signal when only the program's children still run, or by a
 * second signal if the program ignores the first.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "alloc/base/os.h"
#include "traces/record/attach.h"
#include "traces/record/executable.h"
#include "traces/record/launch.h"
#include "traces/record/preload.h"
#include "traces/record/process.h"
#include "traces/record/session.h"
#include "alloc/base/printable.h"

enum {
	CALIBRATE_NS = 2500 * 1000,   /* twice, before the program starts: to some 15 millionths */
	LEAST_NS = 100 * 1000,	      /* shortest sleep: a ring was half full */
	BUSY_NS = 1000 * 1000,	      /* longest after a pass that found work */
	IDLE_NS = 4 * 1000 * 1000,    /* longest of all: nobody wakes us (shim/filter.c), and the
					 64 KiB of a new thread last for a millisecond */
	SWEEP_NS = 100 * 1000 * 1000, /* between looks at every ring, dead processes, limits */
	TURN_NS = 20 * 1000 * 1000,   /* between turns of the writer (stream.h): what it has not got
					 at the program's end is written after it */
	TURN_RINGS = 32,
	SIGNALS = 6,
	INHERITED_FD = 500,
	STOP_REQUESTS = 2, /* signals that end us although processes still run */
};

#define FORK_NS 2000000000u /* a child that has not registered by then never will */

static const int passed_on[SIGNALS] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2 };

/* State used by the signal handlers. */
static struct {
	struct rh_area *area;
	volatile pid_t child;
	volatile sig_atomic_t toggles;
	volatile sig_atomic_t stop_requests; /* signals sent to us alone */
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
	if (number == SIGTERM || number == SIGINT || number == SIGHUP || number == SIGQUIT)
		now.stop_requests += now.child <= 0			       ? STOP_REQUESTS
				     : number == SIGTERM && info->si_code <= 0 ? 1
									       : 0;
	if (now.child > 0 && (info->si_code <= 0 || getpgid(now.child) != getpgrp()))
		kill(now.child, number);
out:
	errno = saved;
}

/* Signals are blocked from before the fork until the handlers know the child. */
static void take_signals(const struct rh_session *session)
{
	struct sigaction action = { .sa_sigaction = on_signal,
				    .sa_flags = SA_SIGINFO | SA_RESTART };

	now.area = session->area;
	now.toggle = session->opts->toggle;
	now.child = session->child;
	now.toggles = 0;
	now.stop_requests = 0;
	sigfillset(&action.sa_mask);
	for (int i = 0; i < SIGNALS; i++)
		sigaction(passed_on[i], &action, &now.old[i]);
	sigaction(SIGCHLD, &action, &now.old_child);
	/* A file size limit should end the capture with a message instead of killing us. */
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

/*
 * A program that we start as root may drop its privileges and exec, and a child may live in a
 * PID namespace: they cannot open our /proc/PID/fd. So they also inherit the area, under a
 * number above those that programs use. -1: not needed, or not possible.
 */
static int bequeath(const struct rh_session *session)
{
	struct rlimit files = { 0, 0 };
	int lowest = INHERITED_FD;

	if (geteuid() != 0 && !session->opts->follow)
		return -1;
	getrlimit(RLIMIT_NOFILE, &files);
	if (files.rlim_cur <= INHERITED_FD)
		lowest = files.rlim_cur > 16 ? (int)files.rlim_cur - 1 : INHERITED_FD;
	return fcntl(session->area_fd, F_DUPFD, lowest);
}

/* Never returns. Sends errno through the pipe when exec fails. */
static void become(struct rh_session *session, const char *path, char **argv, int report,
		   pid_t supervisor)
{
	char area_path[96];
	struct rh_err err = { 0 };
	int failed;

	snprintf(area_path, sizeof area_path, "/proc/%d/fd/%d%c%d%c%" PRIx64, (int)supervisor,
		 session->area_fd, RH_RECORD_ENV_FD, bequeath(session), RH_RECORD_ENV_FD,
		 session->area->cookie);
	if (!session->opts->sigpipe_ignored) /* we do, whatever our caller does */
		signal(SIGPIPE, SIG_DFL);
	if (rh_preload_set(session->opts, area_path, &err) < 0) {
		rh_print(stderr, "reheap record: %s\n", err.text);
		errno = ENOMEM;
	} else {
		atomic_store(&session->area->main_pid, (int32_t)getpid());
		sigprocmask(SIG_SETMASK, &now.old_mask, NULL);
		rh_launch(path, argv);
	}
	failed = errno;
	if (write(report, &failed, sizeof failed) != sizeof failed)
		_exit(126);
	_exit(failed == ENOENT ? 127 : 126);
}

static int start_program(struct rh_session *session, const char *path, char **argv,
			 struct rh_err *err)
{
	int report[2], failed = 0, status;
	pid_t supervisor = getpid();
	ssize_t got;

	if (pipe2(report, O_CLOEXEC) < 0)
		return rh_fail_errno(err, RH_OS, "no pipe to the program");
	fflush(NULL);
	if (session->opts->follow)
		session->children.kin = rh_kin_open();
	hold_signals();
	session->child = fork();
	if (session->child == 0)
		become(session, path, argv, report[1], supervisor);
	close(report[1]);
	if (session->child < 0) {
		sigprocmask(SIG_SETMASK, &now.old_mask, NULL);
		close(report[0]);
		return rh_fail_errno(err, RH_OS, "no process for the program");
	}
	do
		got = read(report[0], &failed, sizeof failed);
	while (got < 0 && errno == EINTR);
	close(report[0]);
	if (got == (ssize_t)sizeof failed) {
		waitpid(session->child, &status, 0);
		sigprocmask(SIG_SETMASK, &now.old_mask, NULL);
		errno = failed;
		return rh_fail_errno(err, RH_NO_INPUT, "%s", path);
	}
	if (session->children.kin)
		rh_kin_begin(session->children.kin);
	take_signals(session);
	session->drain.capture.head.program = session->child;
	return rh_capture_put_head(&session->drain.capture, err);
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
	rh_drain_pause(&session->drain, !on);
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
	siginfo_t over = { 0 };
	int status;

	if (session->attached && !session->reaped) {
		session->reaped = rh_process_over(session->attached);
		session->over_ns = rh_now_ns();
		return;
	}
	if (session->reaped ||
	    waitid(P_PID, (id_t)session->child, &over, WEXITED | WNOHANG | WNOWAIT) < 0 ||
	    over.si_pid != session->child)
		return;
	rh_drain_last_look(&session->drain, session->child);
	session->strict = rh_process_strict(session->child);
	if (waitpid(session->child, &status, WNOHANG) == session->child) {
		session->reaped = true;
		session->wait_status = status;
		session->over_ns = rh_now_ns();
		now.child = 0;
	}
}

static void show(const struct rh_session *session)
{
	if (session->opts->progress && !session->opts->quiet)
		session->opts->progress(
			"recording%s: %.1f M calls, %.1f MB", session->recording ? "" : " (paused)",
			(double)session->drain.events / 1e6, (double)session->drain.bytes / 1e6);
}

static void doze(struct rh_session *session, uint64_t ns)
{
	struct rh_area *area = session->area;
	uint32_t seen = atomic_load(&area->wake);

	rh_futex_wait((_Atomic uint32_t *)&area->wake, seen, ns);
}

static void name_running(const struct rh_session *session, char *text, size_t room)
{
	const struct rh_drain *drain = &session->drain;
	size_t at = 0, said = 0;

	text[0] = '\0';
	for (size_t i = 0; i < drain->image_count; i++) {
		const struct rh_image *image = &drain->images[i];
		const char *slash = strrchr(image->exe, '/');

		if (image->over || image->pid == session->child || said == 4 || at + 80 > room)
			continue;
		at += (size_t)snprintf(text + at, room - at, "%s%d %.40s", said ? ", " : "",
				       image->pid, slash ? slash + 1 : image->exe);
		said++;
	}
}

/* Is there anything left to record after the program's end? forking: the area's count from before
 * processes were looked at, because a child that registers meanwhile is neither visible yet nor
 * forking any more. */
static bool others_run(struct rh_session *session, uint32_t forking)
{
	size_t running = rh_drain_running(&session->drain);
	char names[400];

	if (!session->opts->follow)
		return false;
	if (running && !session->waiting_reported &&
	    rh_now_ns() - session->over_ns > 10 * (uint64_t)SWEEP_NS && !session->opts->quiet) {
		session->waiting_reported = true;
		name_running(session, names, sizeof names);
		rh_print(stderr,
			 "reheap record: the program is over; recording goes on for %zu "
			 "processes that it left running: %s (SIGINT or SIGTERM ends it)\n",
			 running, names);
	}
	return running || (forking && rh_now_ns() - session->over_ns < FORK_NS);
}

static void check_stop_requests(struct rh_session *session)
{
	char names[400];

	if (now.stop_requests < STOP_REQUESTS || session->stopped)
		return;
	if (session->attached) { /* the normal way to end */
		stop_for_good(session);
		return;
	}
	name_running(session, names, sizeof names);
	rh_print(stderr,
		 "reheap record: ended by a signal; still running, not recorded any more: "
		 "%s%s%s\n",
		 session->reaped ? "" : "the program", !session->reaped && names[0] ? ", " : "",
		 names);
	stop_for_good(session);
}

/* How long to sleep after a pass that took so many words: so that rings are about a third full at
 * the next one. */
static uint64_t next_pause(const struct rh_session *session, uint64_t pause, int64_t taken)
{
	enum { HALF = 50, FIFTH = 20 };
	uint32_t fullest = session->drain.fullest;

	if (fullest >= HALF)
		pause /= 2;
	else if (fullest < FIFTH)
		pause *= 2;
	if (taken && pause > BUSY_NS)
		pause = BUSY_NS;
	return pause < LEAST_NS ? LEAST_NS : pause > IDLE_NS ? IDLE_NS : pause;
}

/* Between sweeps. Each turn takes what little the rings hold, so with many of them it costs more
 * than it is worth. */
static bool may_turn(const struct rh_session *session)
{
	return session->stream && atomic_load(&session->area->rings_high) <= TURN_RINGS;
}

/* Runs until the program (and all followed processes) or the recording has ended. */
static int watch(struct rh_session *session, struct rh_err *err)
{
	uint64_t swept = 0, turned = 0, beat = 0, pause = BUSY_NS;
	int64_t taken;
	bool sweep, turn, over = false;
	uint32_t forking;

	while (!over && !session->stopped) {
		uint32_t woken = atomic_load(&session->area->wake);
		uint64_t time = rh_now_ns(), cut = rh_ticks();

		if (time - beat >= BUSY_NS) {
			beat = time;
			rh_drain_beat(&session->drain);
		}
		reap(session);
		over = session->reaped; /* one more sweep after the end */
		sweep = over || time - swept >= SWEEP_NS;
		turn = sweep || (time - turned >= TURN_NS && may_turn(session));
		forking = atomic_load(&session->area->forking); /* before processes are looked at */
		rh_drain_filters(
			&session->drain); /* before a tail moves: see widen() of the shim */
		taken = rh_drain_pass(&session->drain, turn, err);
		if (taken < 0)
			return -1;
		if (sweep && rh_drain_processes(&session->drain, session->reaped, err) < 0)
			return -1;
		if (turn) {
			turned = time;
			rh_session_turn(session, cut);
		}
		if (sweep) {
			swept = time;
			if (over && others_run(session, forking))
				over = false;
			if (rh_children_look(&session->children, &session->drain, err) < 0)
				return -1;
			if (!session->reaped)
				rh_children_stranger(&session->children, &session->drain,
						     session->child);
			show(session);
		}
		check_timers(session);
		check_limits(session);
		check_stop_requests(session);
		pause = next_pause(session, pause, taken);
		if (!over && woken == atomic_load(&session->area->wake))
			doze(session, pause);
	}
	return 0;
}

static void wait_for_program(struct rh_session *session)
{
	while (!session->reaped && now.stop_requests < STOP_REQUESTS) {
		reap(session);
		if (!session->reaped)
			doze(session, SWEEP_NS);
	}
}

static int last_sweep(struct rh_session *session, struct rh_err *err)
{
	stop_for_good(session);
	session->children.last = true;
	if (rh_drain_pass(&session->drain, true, err) < 0 ||
	    rh_children_look(&session->children, &session->drain, err) < 0)
		return -1;
	return rh_drain_processes(&session->drain, session->reaped, err);
}

/* Writes what the traces would need if we were killed. */
static int put_head(struct rh_session *session, struct rh_err *err)
{
	struct rh_capture_head *head = &session->drain.capture.head;

	head->counter = session->clock.source != RH_CLOCK_MONOTONIC;
	head->ns_per_tick = session->clock.ns_per_tick;
	head->time = session->opts->time;
	head->sites = session->opts->sites;
	head->residency = session->opts->residency;
	head->sample_bytes = session->opts->sample_bytes;
	head->program = session->child;
	return rh_capture_put_head(&session->drain.capture, err);
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
	session->area->ticks_per_ms = (uint64_t)(1e6 / session->clock.ns_per_tick);
	if (rh_drain_open(&session->drain, session->area, session->area_fd, opts->out, err) < 0)
		return -1;
	if (opts->keep == RH_KEEP_LAST) {
		session->drain.last_events = opts->max_events;
		session->drain.last_bytes = opts->max_bytes;
	}
	session->began_ns = rh_now_ns();
	session->began_ticks = rh_ticks();
	if (put_head(session, err) < 0)
		return -1;
	if (!opts->paused && !opts->attach_after_ns)
		set_recording(session, true);
	return 0;
}

static void close_session(struct rh_session *session)
{
	rh_stream_close(session->stream);
	rh_children_close(&session->children);
	rh_drain_close(&session->drain);
	rh_area_close(session->area, session->area_fd);
}

/* Attaches to a running program, instead of start_program(). */
static int join_program(struct rh_session *session, struct rh_target *target,
			const struct rh_place *place, struct rh_err *err)
{
	hold_signals();
	take_signals(session); /* no child: signals to us end the recording */
	if (rh_attach_join(session, target, place, err) < 0) {
		give_signals_back();
		return -1;
	}
	session->drain.capture.head.program = session->child;
	return rh_capture_put_head(&session->drain.capture, err);
}

static int record_running(const struct rh_record_opts *opts, struct rh_record_end *end,
			  struct rh_err *err)
{
	static struct rh_session session;
	static struct rh_target target;
	static struct rh_place place;
	struct rh_record_opts late = *opts;

	end->status = 0;
	if (rh_attach_find(&target, &place, opts, err) < 0)
		return end->status = (int)err->code, -1;
	late.area_file = place.area[0] ? place.area : NULL;
	if (open_session(&session, &late, err) < 0 ||
	    join_program(&session, &target, &place, err) < 0) {
		end->status = (int)err->code;
		close_session(&session);
		rh_place_remove(&place);
		rh_target_close(&target);
		return -1;
	}
	if (watch(&session, err) < 0 || last_sweep(&session, err) < 0)
		rh_print(stderr, "reheap record: recording stopped: %s\n", err->text);
	rh_attach_leave(&session);
	end->trace_ok = rh_session_finish(&session);
	end->lost = session.lost;
	give_signals_back();
	close_session(&session);
	rh_place_remove(&place);
	rh_target_close(&target);
	return 0;
}

int rh_record_run(const struct rh_record_opts *opts, char **argv, struct rh_record_end *end,
		  struct rh_err *err)
{
	static struct rh_session session;
	struct rh_executable program;

	*end = (struct rh_record_end){ .status = -1 };
	if (opts->pid)
		return record_running(opts, end, err);
	if (rh_executable_find(argv[0], &program, err) < 0) {
		end->status = program.status;
		return -1;
	}
	if (program.warning[0])
		rh_print(stderr, "reheap record: %s\n", program.warning);
	if (open_session(&session, opts, err) < 0 ||
	    start_program(&session, program.path, argv, err) < 0) {
		end->status = err->code == RH_NO_INPUT ? 126 : err->code;
		close_session(&session);
		if (rh_launch_may_go_alone(opts, err))
			end->status = rh_launch_alone(opts, program.path, argv, err);
		return -1;
	}
	rh_session_write_along(&session);
	if (watch(&session, err) < 0)
		rh_print(stderr, "reheap record: recording stopped: %s\n", err->text);
	if (last_sweep(&session, err) < 0)
		rh_print(stderr, "reheap record: recording stopped: %s\n", err->text);
	end->trace_ok = rh_session_finish(&session);
	end->lost = session.lost;
	wait_for_program(&session);
	rh_session_afterwards(&session);
	give_signals_back();
	if (!session.reaped) /* we were asked to end before it did */
		session.wait_status = (128 + SIGTERM) << 8;
	end->status = WIFSIGNALED(session.wait_status) ? 128 + WTERMSIG(session.wait_status)
						       : WEXITSTATUS(session.wait_status);
	if (WIFSIGNALED(session.wait_status))
		end->signal = WTERMSIG(session.wait_status);
	close_session(&session);
	return 0;
}
