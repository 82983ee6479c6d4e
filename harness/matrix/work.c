/*
 * work.c - makes one cell (work.h).
 *
 *	1  fork, exec `reheap replay ... -o -`; its output goes to memory
 *	2  check the exit status and the document: is it a result, and of this trace?
 *	3  write it to an unnamed file in the folder, fsync, link to NAME.json (the first one
 *	   stays). On file systems without unnamed files use NAME.HOST.PID.part, then unlink that
 *
 * The folder is a share that a thousand nodes use, and its metadata server is the bottleneck: a
 * cell touches it only when done, by an open and a link. An interrupted replay saves the trials
 * that had ended, which is right for a person and wrong here: the output of a replay that ended
 * by a signal is thrown away.
 */
#include "harness/matrix/work.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
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
		       struct words *w)
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
	option(w, "--output", "-");
	word(w, "--quiet");
}

static _Noreturn void become_replay(struct words *w, int made, int said, pid_t parent)
{
	int null = open("/dev/null", O_RDONLY);

	/* A cell does not outlive the process that would take its result. */
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent || null < 0 || dup2(null, STDIN_FILENO) < 0 ||
	    dup2(made, STDOUT_FILENO) < 0 || dup2(said, STDERR_FILENO) < 0)
		_exit(127);
	signal(SIGINT, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	signal(SIGPIPE, SIG_DFL);
	signal(SIGXFSZ, SIG_DFL);
	execv("/proc/self/exe", w->list);
	_exit(127);
}

static void put_away(struct rh_work *work)
{
	if (work->pidfd >= 0)
		close(work->pidfd);
	if (work->made >= 0)
		close(work->made);
	if (work->said)
		fclose(work->said);
}

static int launch(struct words *w, struct rh_work *work, struct rh_err *err)
{
	pid_t parent = getpid();

	work->pidfd = -1;
	work->said = NULL;
	work->made = memfd_create("reheap-result", MFD_CLOEXEC);
	if (work->made >= 0)
		work->said = tmpfile();
	if (!work->said) {
		rh_fail_errno(err, RH_IO, "no temporary file");
		put_away(work);
		return -1;
	}
	work->pid = fork();
	if (work->pid == 0)
		become_replay(w, work->made, fileno(work->said), parent);
	if (work->pid < 0) {
		rh_fail_errno(err, RH_OS, "a replay cannot be started");
		put_away(work);
		return -1;
	}
	work->pidfd = (int)syscall(SYS_pidfd_open, work->pid, 0);
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
}

/* The document that it wrote, zero-terminated; NULL when there is none. */
static char *read_made(int made, size_t *bytes)
{
	struct stat st;
	char *text;

	*bytes = fstat(made, &st) == 0 ? (size_t)st.st_size : 0;
	if (*bytes == 0)
		return NULL;
	text = rh_scratch(*bytes + 1, 1);
	*bytes = pread(made, text, *bytes, 0) == (ssize_t)*bytes ? *bytes : 0;
	return text;
}

/* ---- a cell ---- */

int rh_work_start(struct rh_work *work, struct rh_err *err)
{
	const struct rh_cell *cell = work->cell;
	struct words words;

	assert(strlen(cell->name) == RH_CELL_NAME);
	if (strcmp(cell->version, rh_version) != 0)
		return rh_fail(err, RH_INVALID,
			       "this is reheap %s and the matrix is of %s: one matrix, one version",
			       rh_version, cell->version);
	command_of(cell, work->trace, cell->reps, &words);
	work->started_ns = rh_now_ns();
	return launch(&words, work, err);
}

/* The fields that identify a result and its trace. */
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

static int check_made(const struct rh_work *work, const char *text, size_t bytes,
		      struct rh_err *err)
{
	struct rh_pool *pool = rh_pool_open();
	struct rh_part part;
	int result = rh_record_read(&rh_part_type, &part,
				    &(struct rh_record_source){ .path = work->cell->name,
								.text = text,
								.text_bytes = bytes,
								.schema = RH_RESULT_SCHEMA },
				    pool, err);

	if (result == 0 && (part.traces_count != 1 || !part.traces[0].sha256 ||
			    strcmp(part.traces[0].sha256, work->cell->sha256) != 0))
		result = rh_fail(err, RH_BAD_DATA,
				 "%s is not the file it was when the plan was read", work->trace);
	rh_pool_close(pool);
	return result;
}

struct place {
	char room[4096], part[4096], final[4096];
	bool there; /* another task was first */
};

static void place_of(const struct rh_work *work, struct place *p)
{
	const char *name = work->cell->name;
	char host[256] = "";

	gethostname(host, sizeof(host) - 1);
	snprintf(p->room, sizeof(p->room), "%s/cells/%.2s", work->dir, name);
	snprintf(p->final, sizeof(p->final), "%s/cells/%.2s/%s.json", work->dir, name, name);
	snprintf(p->part, sizeof(p->part), "%s/cells/%.2s/%s.%s.%ld.part", work->dir, name, name,
		 host, (long)getpid());
	p->there = false;
}

/* Opens a file in that subfolder, unnamed or as .part. The subfolder is made if missing. */
static int open_in(const struct place *p, bool named)
{
	for (int tries = 0; tries < 2; tries++) {
		int fd = named ? open(p->part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666)
			       : open(p->room, O_WRONLY | O_TMPFILE | O_CLOEXEC, 0666);

		if (fd >= 0 || errno != ENOENT)
			return fd;
		if (mkdir(p->room, 0777) < 0 && errno != EEXIST)
			return -1;
	}
	return -1;
}

/* Gives it its name; the first of two stays. */
static int name_it(struct place *p, int fd, bool named)
{
	char self[40];

	snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	if (named ? link(p->part, p->final) == 0
		  : linkat(AT_FDCWD, self, AT_FDCWD, p->final, AT_SYMLINK_FOLLOW) == 0)
		return 0;
	p->there = errno == EEXIST;
	if (p->there)
		return 0;
	/* File systems without links: the last of two stays, which is the same result as the first.
	 */
	return named ? rename(p->part, p->final) : -1;
}

/* Synced before it gets its name. */
static int put(struct place *p, const char *text, size_t bytes, bool named, struct rh_err *err)
{
	int fd = open_in(p, named), result;

	if (fd < 0)
		return rh_fail_errno(err, RH_IO, "%s cannot be made", p->final);
	result = rh_write_all(fd, text, bytes, p->final, err);
	if (result == 0 && (fsync(fd) < 0 || name_it(p, fd, named) < 0))
		result = rh_fail_errno(err, RH_IO, "%s cannot be written", p->final);
	close(fd);
	if (named)
		unlink(p->part);
	return result;
}

static int publish(const struct rh_work *work, const char *text, size_t bytes, bool *there,
		   struct rh_err *err)
{
	struct place p;
	int result;

	place_of(work, &p);
	result = put(&p, text, bytes, false, err);
	if (result < 0)
		result = put(&p, text, bytes, true, err);
	*there = p.there;
	return result;
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

static int judge(const struct rh_work *work, int status, const char *text, size_t bytes,
		 struct rh_err *err)
{
	int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
	char said[600];

	if (code < 0)
		return rh_fail(err, RH_FAILED, "ended by signal %d", WTERMSIG(status));
	read_said(work->said, said, sizeof(said));
	if (code == RH_OK || code == RH_FAILED || code == RH_PARTIAL)
		return text ? check_made(work, text, bytes, err)
			    : rh_fail(err, RH_FAILED, "%s", said[0] ? said : "no result");
	return rh_fail(err, code == RH_IO || code == RH_CANT_CREATE ? RH_IO : RH_FAILED, "%s",
		       said[0]	     ? said
		       : code == 127 ? "a replay cannot be started"
				     : "replay failed and did not say why");
}

enum rh_work_end rh_work_finish(struct rh_work *work, int status, struct rh_err *err)
{
	int code = WIFEXITED(status) ? WEXITSTATUS(status) : 0;
	size_t bytes;
	char *text = read_made(work->made, &bytes);
	bool there = false;
	int result = judge(work, status, text, bytes, err);

	if (result == 0)
		result = publish(work, text, bytes, &there, err);
	free(text);
	put_away(work);
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
	struct rh_work work = { .cell = cell };
	uint64_t started = rh_now_ns();
	char said[600];
	struct words words;
	struct stat st = { 0 };
	int status = 0;

	command_of(cell, cell->trace, reps, &words);
	if (launch(&words, &work, err) < 0)
		return -1;
	while (waitpid(work.pid, &status, 0) < 0 && errno == EINTR)
		kill(work.pid, SIGTERM);
	read_said(work.said, said, sizeof(said));
	*seconds = (double)(rh_now_ns() - started) / 1e9;
	*bytes = fstat(work.made, &st) == 0 ? (double)st.st_size : 0;
	put_away(&work);
	if (!WIFEXITED(status) || *bytes <= 0)
		return rh_fail(err, RH_FAILED, "the pilot, %s on %s, failed: %s", cell->label,
			       cell->trace, said);
	return 0;
}
