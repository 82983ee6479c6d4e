/*
 * worker.c - starts, commands, times out, buries one worker.
 *
 * Start: the child gets the control block as fd 3, the program as fd 4, one memfd for what it
 * prints, and nothing else. Everything that could shift its stack is the same for every
 * backend: argv has one length, and the environment is padded so that LD_PRELOAD=path, the
 * variables of the variant and the padding take PRELOAD_BYTES whatever the path, because a few
 * extra bytes move the stack.
 *
 * Waiting: the driver sleeps on the baton in slices of 10 ms; between them it checks whether
 * the child lives, the deadline has passed, or the user wants to stop.
 */
#include "harness/launch/worker.h"
#include "harness/launch/leaked.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "alloc/base/install_paths.h"

enum {
	PRELOAD_BYTES = 1024, /* of LD_PRELOAD and its padding together */
	SLICE_NS = 10000000,
	SPIN_NS = 20000,
	SAID_BYTES = 300, /* of the worker's last words that go into a sentence */
	UNDER_WORDS_MAX = 32,
};
#define EXIT_NS	      10000000000ull /* a closed worker gets this long to exit ... */
#define UNDER_EXIT_NS 60000000000ull /* ... and one under another program this long */

extern char **environ;

/* ---- start ---- */

struct launch {
	char path[4096], under[2048], parent[24];
	const char *mark; /* of one length as well */
	char preload[4096 + 16], padding[PRELOAD_BYTES + RH_LEAKED_MARK_BYTES];
	char *argv[UNDER_WORDS_MAX + 3];
	char **env;
	bool adopts_not; /* a tracer waits until it has no child left */
};

/* Areas follow the seats, each on its own pages; returns their total size. */
static size_t place_areas(const struct rh_worker_start *how, uint32_t seats, uint64_t *offsets)
{
	size_t bytes = rh_ctl_bytes(seats);

	for (int i = 0; i < RH_AREA_COUNT; i++) {
		bytes = rh_page_up(bytes);
		offsets[i] = how->area_bytes[i] ? bytes : 0;
		bytes += how->area_bytes[i];
	}
	return bytes;
}

static int make_ctl(struct rh_worker *worker, const struct rh_worker_start *how, int *fd,
		    struct rh_err *err)
{
	uint32_t seats = how->copies * how->program->head->lanes;
	uint64_t offsets[RH_AREA_COUNT];
	struct rh_ctl *ctl;

	if (how->copies == 0 || seats > RH_CTL_SEATS_MAX ||
	    seats / how->copies != how->program->head->lanes)
		return rh_fail(err, RH_USAGE, "%u copies of %u lanes are more than %d threads",
			       how->copies, how->program->head->lanes, RH_CTL_SEATS_MAX);
	worker->ctl_bytes = place_areas(how, seats, offsets);
	*fd = memfd_create("reheap-control", MFD_CLOEXEC);
	if (*fd < 0 || ftruncate(*fd, (off_t)worker->ctl_bytes) < 0)
		return rh_fail_errno(err, RH_OS, "no control block for a worker");
	ctl = mmap(NULL, worker->ctl_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, *fd, 0);
	if (ctl == MAP_FAILED)
		return rh_fail_errno(err, RH_OS, "no control block for a worker");
	worker->ctl = ctl;
	ctl->magic = RH_CTL_MAGIC;
	ctl->version = RH_CTL_VERSION;
	ctl->seats = seats;
	ctl->bytes = worker->ctl_bytes;
	ctl->turn = RH_CTL_WORKER;
	snprintf(ctl->spec, sizeof(ctl->spec), "%s", how->spec->text);
	ctl->copies = how->copies;
	ctl->replay = how->replay;
	if (how->replay.touch == RH_TOUCH_AUTO || how->replay.touch == RH_TOUCH_RECORDED)
		ctl->replay.touch = how->program->head->touched ? RH_TOUCH_RECORDED : RH_TOUCH_FULL;
	ctl->turn_over = how->turn_over;
	ctl->clock_is_counter = rh_clock_is_counter;
	ctl->spin_ticks = how->no_spin ? 0 : (uint64_t)(SPIN_NS / how->clock->ns_per_tick);
	memcpy(ctl->area_offset, offsets, sizeof(offsets));
	for (int i = 0; i < RH_AREA_COUNT; i++)
		ctl->area_bytes[i] = how->area_bytes[i];
	ctl->mode = how->mode;
	ctl->seed = how->seed;
	ctl->ns_per_tick = how->clock->ns_per_tick;
	ctl->pace_ticks_per_ns =
		1 / how->clock->ns_per_tick / (how->replay.speed > 0 ? how->replay.speed : 1);
	ctl->failed_seat = ctl->died_seat = UINT32_MAX;
	return 0;
}

/* Whether the entry sets a variable that we set as well. */
static bool is_replaced(const char *entry, const struct rh_variant *variant)
{
	if (strncmp(entry, "LD_PRELOAD=", 11) == 0 ||
	    strncmp(entry, RH_LEAKED_MARK, sizeof(RH_LEAKED_MARK) - 1) == 0)
		return true;
	for (unsigned i = 0; i < variant->env_count; i++)
		if (strncmp(entry, variant->env[i], strcspn(variant->env[i], "=") + 1) == 0)
			return true;
	return false;
}

/* The environment without the variables we set, plus ours. */
static int make_env(struct launch *launch, const char *preload, const struct rh_variant *variant,
		    struct rh_err *err)
{
	size_t count = 0, kept = 0, used = strlen(preload);

	while (environ[count])
		count++;
	launch->env = calloc(count + 3 + variant->env_count, sizeof(char *));
	if (!launch->env)
		return rh_fail(err, RH_OS, "no memory to start a worker");
	for (unsigned i = 0; i < variant->env_count; i++) {
		launch->env[kept++] = (char *)(uintptr_t)variant->env[i];
		used += strlen(variant->env[i]) + 1 + sizeof(char *);
	}
	snprintf(launch->preload, sizeof(launch->preload), "LD_PRELOAD=%s", preload);
	memset(launch->padding, 'x', sizeof(launch->padding));
	memcpy(launch->padding, launch->mark, strlen(launch->mark));
	launch->padding[strlen(launch->mark) + (used < PRELOAD_BYTES ? PRELOAD_BYTES - used : 0)] =
		'\0';
	launch->env[kept++] = launch->preload;
	launch->env[kept++] = launch->padding;
	for (size_t i = 0; i < count; i++)
		if (!is_replaced(environ[i], variant))
			launch->env[kept++] = environ[i];
	return 0;
}

/* Ends the word at `at`, takes a backslash as "the next letter as it is", and returns what is
 * behind it. */
static char *end_word(char *at)
{
	char *to = at;

	while (*at && !isspace((unsigned char)*at)) {
		at += *at == '\\' && at[1];
		*to++ = *at++;
	}
	at += *at != '\0';
	*to = '\0';
	return at;
}

static int make_argv(struct launch *launch, const char *under, struct rh_err *err)
{
	int words = 0;
	char *at;

	snprintf(launch->under, sizeof(launch->under), "%s", under ? under : "");
	snprintf(launch->parent, sizeof(launch->parent), "%010ld", under ? 0L : (long)getpid());
	for (at = launch->under; *at;) {
		while (isspace((unsigned char)*at))
			at++;
		if (!*at)
			break;
		if (words == UNDER_WORDS_MAX)
			return rh_fail(err, RH_USAGE, "--under takes at most %d words",
				       UNDER_WORDS_MAX);
		launch->argv[words++] = at;
		at = end_word(at);
	}
	launch->argv[words++] = launch->path;
	launch->argv[words++] = launch->parent;
	return rh_install_path("reheap-worker", launch->path, sizeof(launch->path), err);
}

/* Between fork and exec: async-signal-safe calls only. fds are moved out of the way first, because
 * one of them may be 3 or 4. */
static _Noreturn void child(const struct launch *launch, int ctl_fd, int program_fd, int said_fd)
{
	int ctl = fcntl(ctl_fd, F_DUPFD, 10), program = fcntl(program_fd, F_DUPFD, 10);
	int said = fcntl(said_fd, F_DUPFD, 10), null = open("/dev/null", O_RDONLY);
	static const char too_few[] = "the limit of open files (ulimit -n) is under 32\n";
	static const char no_null[] = "/dev/null cannot be opened\n";

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (!launch->adopts_not)
		rh_leaked_child();
	setpgid(0, 0);
	signal(SIGPIPE, SIG_DFL);
	if (null < 0 && said >= 0)
		_exit(write(said_fd, no_null, sizeof(no_null) - 1) < 0 ? RH_BUG : RH_OS);
	if (dup2(null, 0) < 0 || dup2(said, 1) < 0 || dup2(said, 2) < 0 ||
	    dup2(ctl, RH_CTL_FD) < 0 || dup2(program, RH_CTL_PROGRAM_FD) < 0)
		_exit(write(said_fd, too_few, sizeof(too_few) - 1) < 0 ? RH_BUG : RH_OS);
	close(ctl);
	close(program);
	close(said);
	execvpe(launch->argv[0], launch->argv, launch->env);
	_exit(127);
}

/* What is preloaded: a library of ours, the allocator, or both in this order. */
static int join_preload(const struct rh_worker_start *how, char *text, size_t bytes,
			struct rh_err *err)
{
	const char *first = how->preload_first, *then = how->spec->preload;
	int length = snprintf(text, bytes, "%s%s%s", first, first[0] && then[0] ? ":" : "", then);

	if (strpbrk(first, " \t\n:"))
		return rh_fail(err, RH_USAGE,
			       "%s: a library to preload cannot have a blank or "
			       "colon in its path: install reheap elsewhere",
			       first);
	if (length < 0 || (size_t)length >= bytes)
		return rh_fail(err, RH_USAGE, "the paths of %s and %s are too long to preload both",
			       first, then);
	return 0;
}

static int launch_worker(struct rh_worker *worker, const struct rh_worker_start *how, int ctl_fd,
			 struct rh_err *err)
{
	static _Atomic unsigned started;
	struct launch launch = { .mark = worker->mark, .adopts_not = worker->under };
	char preload[sizeof(launch.preload) - 16];

	snprintf(worker->mark, sizeof(worker->mark), RH_LEAKED_MARK "%010d.%010u.", (int)getpid(),
		 atomic_fetch_add(&started, 1));

	worker->said_fd = memfd_create("reheap-said", MFD_CLOEXEC);
	if (worker->said_fd < 0)
		return rh_fail_errno(err, RH_OS, "no place for what a worker prints");
	fcntl(worker->said_fd, F_SETFL, O_APPEND);
	if (make_argv(&launch, how->under, err) < 0 ||
	    join_preload(how, preload, sizeof(preload), err) < 0 || rh_leaked_begin(err) < 0 ||
	    make_env(&launch, preload, &how->spec->variant, err) < 0)
		return -1;
	worker->pid = fork();
	if (worker->pid == 0)
		child(&launch, ctl_fd, how->program->fd, worker->said_fd);
	free(launch.env);
	if (worker->pid > 0) {
		setpgid(worker->pid, worker->pid);
		worker->group = worker->pid;
		rh_leaked_born(worker->pid);
	}
	if (worker->pid < 0) {
		worker->pid = 0;
		return rh_fail_errno(err, RH_OS, "no worker can be started");
	}
	return 0;
}

/* ---- identity ---- */

static bool same_file(const char *a, const char *b)
{
	struct stat x, y;

	return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* The last line the worker printed: "" when it said nothing. */
void rh_worker_said(const struct rh_worker *worker, char *text, size_t bytes)
{
	char said[SAID_BYTES];
	off_t size = lseek(worker->said_fd, 0, SEEK_END);
	ssize_t length = size <= 0 ? 0
				   : pread(worker->said_fd, said, sizeof(said) - 1,
					   size < SAID_BYTES ? 0 : size - SAID_BYTES + 1);
	char *line;

	text[0] = '\0';
	if (length <= 0)
		return;
	while (length > 0 && isspace((unsigned char)said[length - 1]))
		length--;
	said[length] = '\0';
	line = strrchr(said, '\n');
	line = line ? line + 1 : said;
	for (char *c = line; *c; c++)
		if (!isprint((unsigned char)*c))
			*c = ' ';
	snprintf(text, bytes, "%s", line);
}

void rh_worker_changes(uint32_t changed, char *text, size_t bytes)
{
	static const char *const names[RH_CHANGED_COUNT] = {
		[RH_CHANGED_STREAMS] = "standard streams", [RH_CHANGED_SIGNALS] = "signal handlers",
		[RH_CHANGED_MASK] = "blocked signals",	   [RH_CHANGED_PRIORITY] = "priority",
		[RH_CHANGED_CPUS] = "CPUs it may use",	   [RH_CHANGED_LIMITS] = "resource limits",
		[RH_CHANGED_DUMPABLE] = "dumpable flag",   [RH_CHANGED_TIMERS] = "timers",
		[RH_CHANGED_ENVIRONMENT] = "environment",  [RH_CHANGED_FOLDER] = "working folder",
	};
	size_t length = 0;

	text[0] = '\0';
	for (int i = 0; i < RH_CHANGED_COUNT && length < bytes; i++)
		if (changed >> i & 1)
			length += (size_t)snprintf(text + length, bytes - length, "%s%s",
						   length ? ", " : "", names[i]);
}

/* If ld.so dropped the preload, or the library has no malloc, we would measure libc under another
 * name. */
static int check_identity(struct rh_worker *worker, const struct rh_spec *spec, struct rh_err *err)
{
	const struct rh_ctl *ctl = worker->ctl;
	char said[SAID_BYTES];

	if (spec->preload[0] && !same_file(spec->preload, ctl->malloc_path)) {
		rh_worker_said(worker, said, sizeof(said));
		return rh_fail(err, RH_FAILED,
			       "%s was preloaded but malloc is still served by %s: "
			       "it is not an allocator, or it cannot be loaded%s%s",
			       spec->preload, ctl->malloc_path, said[0] ? "; it said: " : "", said);
	}
	if (ctl->malloc_mixed)
		return rh_fail(err, RH_FAILED,
			       "%s serves malloc but not all of free, calloc and "
			       "realloc: blocks would cross between two allocators",
			       ctl->malloc_path);
#ifndef RH_SANITIZE
	if (!spec->preload[0] && !ctl->malloc_is_libc)
		return rh_fail(err, RH_FAILED,
			       "malloc is served by %s although nothing was "
			       "preloaded (see /etc/ld.so.preload)",
			       ctl->malloc_path);
#endif
	return 0;
}

int rh_worker_start(struct rh_worker *worker, const struct rh_worker_start *how, struct rh_err *err)
{
	int fd = -1, result;

	*worker = (struct rh_worker){ .said_fd = -1,
				      .program = how->program,
				      .deadline_ns = how->deadline_ns,
				      .under = how->under != NULL };
#ifdef RH_SANITIZE
	if (how->spec->preload[0])
		return rh_fail(err, RH_ABSENT,
			       "this build carries a sanitizer (%s), which serves "
			       "malloc itself: nothing else can be preloaded",
			       RH_SANITIZE);
#endif
	result = make_ctl(worker, how, &fd, err);
	if (result == 0)
		result = launch_worker(worker, how, fd, err);
	if (fd >= 0)
		close(fd);
	if (result == 0)
		result = rh_worker_answer(worker, err);
	if (result == 0)
		rh_leaked_look(worker->pid);
	if (result == 0)
		result = check_identity(worker, how->spec, err);
	return result;
}

/* ---- commands ---- */

static int bury(struct rh_worker *worker, const char *how_it_ended, struct rh_err *err)
{
	char said[SAID_BYTES];

	worker->dead = true;
	rh_worker_where(worker, &worker->place);
	rh_worker_said(worker, said, sizeof(said));
	return rh_fail(err, RH_FAILED, "%s%s%s%s%s", how_it_ended,
		       worker->place.known ? " at " : "", worker->place.text,
		       said[0] ? "; it said: " : "", said);
}

/* -1 with a sentence when the child ended by itself; 0 when it lives. */
static int check_alive(struct rh_worker *worker, struct rh_err *err)
{
	char text[160];
	int status;
	pid_t got = waitpid(worker->pid, &status, WNOHANG);

	if (got == 0 || (got < 0 && errno == EINTR))
		return 0;
	worker->pid = 0;
	if (got > 0 && WIFSIGNALED(status))
		snprintf(text, sizeof(text), "killed by signal %d (%s)%s", WTERMSIG(status),
			 strsignal(WTERMSIG(status)),
			 WTERMSIG(status) == SIGKILL ? ", perhaps for lack of memory," : "");
	else if (got > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 127)
		snprintf(text, sizeof(text), "%s cannot be executed",
			 worker->under ? "the command of --under" : "reheap-worker");
	else
		snprintf(text, sizeof(text), "ended by itself with exit status %d",
			 got > 0 ? WEXITSTATUS(status) : -1);
	return bury(worker, text, err);
}

void rh_worker_send(struct rh_worker *worker, enum rh_ctl_command command)
{
	worker->ctl->command = command;
	rh_ctl_pass(worker->ctl, RH_CTL_WORKER);
}

static int refuse_orphans(struct rh_worker *worker, struct rh_err *err)
{
	worker->dead = true;
	return rh_fail(err, RH_FAILED,
		       "the allocator has changed the process: it adopts orphans no more "
		       "(PR_SET_CHILD_SUBREAPER), so that what it starts could not be found");
}

int rh_worker_answer(struct rh_worker *worker, struct rh_err *err)
{
	struct rh_ctl *ctl = worker->ctl;

	while (rh_ctl_await(ctl, RH_CTL_DRIVER, 0, SLICE_NS) < 0) {
		if (rh_interrupted) {
			worker->dead = true;
			return rh_fail(err, RH_FAILED, "interrupted");
		}
		if (check_alive(worker, err) < 0)
			return -1;
		if (rh_now_ns() > worker->deadline_ns) {
			worker->timed_out = true;
			return bury(worker, "no end in sight: stopped after its time limit", err);
		}
	}
	if (!atomic_load(&ctl->failed))
		return ctl->adopts || worker->under ? 0 : refuse_orphans(worker, err);
	worker->dead = true;
	rh_worker_where(worker, &worker->place);
	rh_fail(err, (enum rh_exit)ctl->code, "%s", ctl->text);
	if (worker->place.known && ctl->failed_seat < ctl->seats)
		rh_err_prefix(err, "%s", worker->place.text);
	return -1;
}

int rh_worker_command(struct rh_worker *worker, enum rh_ctl_command command, struct rh_err *err)
{
	rh_worker_send(worker, command);
	return rh_worker_answer(worker, err);
}

int rh_worker_run(struct rh_worker *worker, uint64_t first, uint64_t count, struct rh_err *err)
{
	worker->ctl->first = first;
	worker->ctl->count = count;
	return rh_worker_command(worker, RH_CTL_RUN, err);
}

static uint64_t cpu_of(const struct rusage *used)
{
	return (uint64_t)(used->ru_utime.tv_sec + used->ru_stime.tv_sec) * 1000000000u +
	       (uint64_t)(used->ru_utime.tv_usec + used->ru_stime.tv_usec) * 1000u;
}

int rh_worker_close(struct rh_worker *worker, struct rh_err *err)
{
	uint64_t since = rh_now_ns();
	uint64_t until = since + (worker->under ? UNDER_EXIT_NS : EXIT_NS);
	struct rusage used = { 0 };
	char said[SAID_BYTES];
	unsigned leaked;
	int status;

	if (rh_worker_command(worker, RH_CTL_CLOSE, err) < 0)
		return -1;
	while (wait4(worker->pid, &status, WNOHANG, &used) == 0) {
		if (rh_now_ns() > until)
			return rh_fail(err, RH_FAILED,
				       "the worker closed its heap and did not exit");
		usleep(200);
	}
	worker->pid = 0;
	worker->exit_ns = rh_now_ns() - since;
	worker->cpu_ns = cpu_of(&used);
	worker->others_cpu_ns = worker->ctl->others_cpu_ns;
	worker->children = worker->ctl->children;
	worker->changed = worker->ctl->changed;
	leaked = rh_leaked_end(worker->group, worker->mark);
	if (leaked)
		return rh_fail(
			err, RH_FAILED,
			"the allocator started %u process%s that outlived the worker (killed "
			"now)",
			leaked, leaked == 1 ? "" : "es");
	/* A signal that was raised, not caused by a fault, returns from the handler: the exit
	 * status is then 0. */
	if (worker->ctl->died_signal)
		return rh_fail(err, RH_FAILED, "signal %u (%s) struck it before its end",
			       worker->ctl->died_signal, strsignal((int)worker->ctl->died_signal));
	if (worker->ctl->flush_due && !worker->ctl->flushed && WIFEXITED(status) &&
	    WEXITSTATUS(status) == 0)
		return rh_fail(err, RH_FAILED,
			       "the allocator ended the process before exit() had written what "
			       "stood in its streams (_exit in a destructor?): a program would "
			       "lose its last output");
	if (worker->under || (WIFEXITED(status) && WEXITSTATUS(status) == 0))
		return 0;
	rh_worker_said(worker, said, sizeof(said));
	return rh_fail(err, RH_FAILED, "after all was freed and closed, exit ended with %s %d%s%s",
		       WIFSIGNALED(status) ? "signal" : "status",
		       WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status),
		       said[0] ? "; it said: " : "", said);
}

void rh_worker_end(struct rh_worker *worker)
{
	if (worker->pid > 0) {
		kill(worker->pid, SIGKILL);
		while (waitpid(worker->pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	rh_leaked_end(worker->group, worker->mark);
	if (worker->ctl)
		munmap(worker->ctl, worker->ctl_bytes);
	if (worker->said_fd > 0)
		close(worker->said_fd);
	*worker = (struct rh_worker){ .said_fd = -1 };
}
