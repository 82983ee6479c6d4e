/*
 * work.c - makes one cell (work.h).
 *
 *	1  fork, exec `reheap replay ... -o NAME.HOST.PID.part`, beside where the result will be
 *	2  its exit status; the part is read: a result? of this trace?
 *	3  fsync, link to NAME.json (the first one stays), unlink the part
 *
 * An interrupted replay saves what had ended, which is right for a person and wrong here: what
 * ended by a signal is thrown away.
 */
#include "harness/matrix/work.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "alloc/base/install_paths.h"
#include "alloc/base/os.h"
#include "alloc/base/printable.h"
#include "harness/result/fields.h"

/* ---- the command ---- */

enum { WORDS_MAX = 40 };

struct words {
	char *list[WORDS_MAX + 1];
	size_t count;
	char store[8192];
	size_t used;
};

static void word(struct words *w, const char *text)
{
	size_t bytes = strlen(text) + 1;

	assert(w->count < WORDS_MAX && w->used + bytes <= sizeof(w->store));
	w->list[w->count] = w->store + w->used;
	memcpy(w->store + w->used, text, bytes);
	w->used += bytes;
	w->list[++w->count] = NULL;
}

static void option(struct words *w, const char *name, const char *value)
{
	word(w, name);
	word(w, value);
}

static void option_number(struct words *w, const char *name, uint32_t value)
{
	char text[16];

	snprintf(text, sizeof(text), "%u", value);
	option(w, name, text);
}

static void command_of(const struct rh_cell *cell, const char *trace, uint32_t reps,
		       const char *output, struct words *w)
{
	char both[2 * 600];

	w->count = w->used = 0;
	snprintf(both, sizeof(both), "%s,%s", cell->baseline, cell->backend);
	word(w, "reheap");
	word(w, "replay");
	word(w, trace);
	option(w, "--backend", both);
	option(w, "--baseline", cell->baseline_label);
	option(w, "--lanes", cell->lanes);
	option(w, "--copies", cell->copies);
	option(w, "--probes", cell->probes);
	if (rh_plan_kind(cell->kind) == RH_CELL_DETERMINISTIC && strstr(cell->probes, "counters"))
		option(w, "--counters", "callgrind");
	option(w, "--touch", cell->touch);
	option_number(w, "--reps", reps);
	if (cell->passes > 1)
		option_number(w, "--passes", cell->passes);
	option_number(w, "--seed", cell->seed);
	option(w, "--output", output);
	word(w, "--quiet");
}

static _Noreturn void become_replay(struct words *w, int said, pid_t parent)
{
	int null = open("/dev/null", O_RDWR);

	/* A cell does not outlive who would take its result. */
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent || null < 0 || dup2(null, STDIN_FILENO) < 0 ||
	    dup2(null, STDOUT_FILENO) < 0 || dup2(said, STDERR_FILENO) < 0)
		_exit(127);
	signal(SIGINT, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	signal(SIGPIPE, SIG_DFL);
	signal(SIGXFSZ, SIG_DFL);
	execv("/proc/self/exe", w->list);
	_exit(127);
}

static int launch(struct words *w, pid_t *pid, int *pidfd, FILE **said, struct rh_err *err)
{
	pid_t parent = getpid();

	*said = tmpfile();
	if (!*said)
		return rh_fail_errno(err, RH_IO, "no temporary file");
	*pid = fork();
	if (*pid == 0)
		become_replay(w, fileno(*said), parent);
	*pidfd = *pid < 0 ? -1 : (int)syscall(SYS_pidfd_open, *pid, 0);
	if (*pid < 0) {
		fclose(*said);
		return rh_fail_errno(err, RH_OS, "a replay cannot be started");
	}
	return 0;
}

/* The first line it wrote. */
static void read_said(FILE *said, char *text, size_t bytes)
{
	static const char ours[] = "reheap replay: ";

	rewind(said);
	if (!fgets(text, (int)bytes, said))
		text[0] = '\0';
	text[strcspn(text, "\n")] = '\0';
	if (strncmp(text, ours, sizeof(ours) - 1) == 0)
		memmove(text, text + sizeof(ours) - 1, strlen(text) - sizeof(ours) + 2);
	fclose(said);
}

/* ---- a cell ---- */

int rh_work_start(struct rh_work *work, struct rh_err *err)
{
	const struct rh_cell *cell = work->cell;
	struct words words;
	char host[256] = "";

	assert(strlen(cell->name) == RH_CELL_NAME);
	if (strcmp(cell->version, rh_version) != 0)
		return rh_fail(err, RH_INVALID,
			       "this is reheap %s and the matrix is of %s: one matrix, one version",
			       rh_version, cell->version);
	gethostname(host, sizeof(host) - 1);
	snprintf(work->part, sizeof(work->part), "%s/cells/%.2s", work->dir, cell->name);
	if (mkdir(work->part, 0777) < 0 && errno != EEXIST)
		return rh_fail_errno(err, errno == ENOSPC ? RH_IO : RH_CANT_CREATE,
				     "%s cannot be made", work->part);
	snprintf(work->part, sizeof(work->part), "%s/cells/%.2s/%s.%s.%ld.part", work->dir,
		 cell->name, cell->name, host, (long)getpid());
	command_of(cell, work->trace, cell->reps, work->part, &words);
	work->started_ns = rh_now_ns();
	return launch(&words, &work->pid, &work->pidfd, &work->said, err);
}

/* Of a result, what tells that it is one, and of which trace. */
#define RH_FIELDS_PART_TRACE(F) F(TEXT, _, sha256, MAY, "", "")
#define RH_FIELDS_PART(F)                \
	F(TEXT, _, schema, NEED, "", "") \
	F(U32, _, exit, NEED, "", "")    \
	F(LIST, part_trace, traces, NEED, "", "")
RH_RECORD(part_trace, RH_FIELDS_PART_TRACE)
RH_RECORD(part, RH_FIELDS_PART)
#define SELF struct rh_part_trace
RH_RECORD_TABLE(part_trace, RH_FIELDS_PART_TRACE)
#undef SELF
#define SELF struct rh_part
RH_RECORD_TABLE(part, RH_FIELDS_PART)
#undef SELF

static int check_part(const struct rh_work *work, struct rh_err *err)
{
	struct rh_pool *pool = rh_pool_open();
	struct rh_part part;
	int result = rh_record_read(&rh_part_type, &part, work->part, RH_RESULT_SCHEMA, pool, err);

	if (result == 0 && (part.traces_count != 1 || !part.traces[0].sha256 ||
			    strcmp(part.traces[0].sha256, work->cell->sha256) != 0))
		result = rh_fail(err, RH_BAD_DATA,
				 "%s is not the file it was when the plan was read", work->trace);
	rh_pool_close(pool);
	return result;
}

/* On the disk before it has its name; the first of two stays. */
static int publish(const struct rh_work *work, bool *there, struct rh_err *err)
{
	const char *name = work->cell->name;
	char final[4096];
	int fd = open(work->part, O_RDONLY | O_CLOEXEC);
	bool synced = fd >= 0 && fsync(fd) == 0;

	if (fd >= 0)
		close(fd);
	snprintf(final, sizeof(final), "%s/cells/%.2s/%s.json", work->dir, name, name);
	if (!synced)
		return rh_fail_errno(err, RH_IO, "%s cannot be written", work->part);
	*there = false;
	if (link(work->part, final) == 0)
		return 0;
	*there = errno == EEXIST;
	/* File systems without links: the last of two stays, which is the same result. */
	if (*there || rename(work->part, final) == 0)
		return 0;
	return rh_fail_errno(err, RH_IO, "%s cannot be written", final);
}

void rh_work_log(const char *dir, const struct rh_cell *cell, const char *why)
{
	char path[4096];
	FILE *to;

	snprintf(path, sizeof(path), "%s/log/%s.txt", dir, cell->name);
	if (!why) {
		unlink(path);
		return;
	}
	to = fopen(path, "we");
	if (!to)
		return;
	rh_print(to, "%s\n", why);
	fclose(to);
}

static int judge(struct rh_work *work, int status, const char *said, struct rh_err *err)
{
	int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;

	if (code < 0)
		return rh_fail(err, RH_FAILED, "ended by signal %d", WTERMSIG(status));
	if (code == RH_OK || code == RH_FAILED || code == RH_PARTIAL)
		return access(work->part, R_OK) == 0
			       ? check_part(work, err)
			       : rh_fail(err, RH_FAILED, "%s", said[0] ? said : "no result");
	return rh_fail(err, code == RH_IO || code == RH_CANT_CREATE ? RH_IO : RH_FAILED, "%s",
		       said[0] ? said : "replay failed and did not say why");
}

enum rh_work_end rh_work_finish(struct rh_work *work, int status, struct rh_err *err)
{
	int code = WIFEXITED(status) ? WEXITSTATUS(status) : 0;
	char said[600];
	bool there = false;
	int result;

	if (work->pidfd >= 0)
		close(work->pidfd);
	read_said(work->said, said, sizeof(said));
	result = judge(work, status, said, err);
	if (result == 0)
		result = publish(work, &there, err);
	unlink(work->part);
	if (result < 0)
		return RH_WORK_NONE;
	rh_work_log(work->dir, work->cell, NULL);
	return there		    ? RH_WORK_THERE
	       : code == RH_PARTIAL ? RH_WORK_ABSENT
	       : code == RH_FAILED  ? RH_WORK_FAILED_TRIAL
				    : RH_WORK_DONE;
}

int rh_work_pilot(const struct rh_cell *cell, uint32_t reps, double *seconds, double *bytes,
		  struct rh_err *err)
{
	char output[] = "/tmp/reheap-pilot-XXXXXX", said[600];
	int fd = mkstemp(output), pidfd, status = 0;
	uint64_t started = rh_now_ns();
	struct words words;
	struct stat st;
	FILE *from;
	pid_t pid;

	if (fd < 0)
		return rh_fail_errno(err, RH_IO, "no temporary file");
	close(fd);
	unlink(output);
	command_of(cell, cell->trace, reps, output, &words);
	if (launch(&words, &pid, &pidfd, &from, err) < 0)
		return -1;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		kill(pid, SIGTERM);
	if (pidfd >= 0)
		close(pidfd);
	read_said(from, said, sizeof(said));
	*seconds = (double)(rh_now_ns() - started) / 1e9;
	if (!WIFEXITED(status) || stat(output, &st) < 0)
		return rh_fail(err, RH_FAILED, "the pilot, %s on %s, failed: %s", cell->label,
			       cell->trace, said);
	*bytes = (double)st.st_size;
	unlink(output);
	return 0;
}
