/*
 * ctf.c - the folders that LTTng itself writes (CTF, the common trace format), with the events of
 * its wrapper of libc.
 *
 * Bits, byte orders and layouts of a CTF trace are described in its `metadata`, a language of its
 * own, and one library reads all of it: libbabeltrace2. It is run as its command, in a process of
 * its own, which prints the events as text; lttng.c reads that. So a trace made to break the
 * library breaks that process and not this one, nothing of it is linked, and both ways give the
 * same trace.
 *
 * What the tracer itself discarded (its buffers were full), babeltrace2 says on standard error:
 * those are counted and noted. Where it ends early, all before that is kept, as of any input that
 * was cut off.
 *
 * Ownership: the child is waited for on every way out. Thread rule: one thread; the process must
 * not wait for children elsewhere meanwhile.
 */
#include "traces/import/lttng.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SAID_BYTES = 64 << 10, LINE_BYTES = 160 };
extern char **environ;

static const char program[] = "babeltrace2";

/* The process that reads, and what it says. */
struct reader {
	pid_t pid;
	int out, said;	  /* its output; a file of memory with its standard error */
	const void *opts; /* struct rh_lttng_opts */
};

static const char *absent_why(void)
{
	static const char why[] = "babeltrace2 is not installed (Debian package babeltrace2)";
	const char *at = getenv("PATH"), *end;
	char path[PATH_MAX];

	for (; at && *at; at = *end ? end + 1 : end) {
		end = strchrnul(at, ':');
		if (snprintf(path, sizeof(path), "%.*s/%s", (int)(end - at), at, program) <
			    (int)sizeof(path) &&
		    access(path, X_OK) == 0)
			return NULL;
	}
	return why;
}

static int spawn(struct reader *reader, const char *folder, int write_end)
{
	char *argv[] = { (char *)(uintptr_t)program, (char *)(uintptr_t) "--clock-seconds",
			 (char *)(uintptr_t) "--no-delta", (char *)(uintptr_t)folder, NULL };
	posix_spawn_file_actions_t actions;
	int result;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&actions, write_end, 1);
	posix_spawn_file_actions_adddup2(&actions, reader->said, 2);
	result = posix_spawnp(&reader->pid, program, &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	return result;
}

/* The folder as a whole path; of its `metadata`, the folder that lies in. */
static bool folder_of(const struct rh_input *input, char *path)
{
	static const char metadata[] = "/metadata";
	size_t bytes;

	if (!realpath(rh_input_path(input), path))
		return false;
	bytes = strlen(path);
	if (rh_input_is_folder(input) || bytes < sizeof(metadata) ||
	    strcmp(path + bytes - (sizeof(metadata) - 1), metadata) != 0)
		return rh_input_is_folder(input);
	path[bytes - (sizeof(metadata) - 1)] = '\0';
	return true;
}

static int start(struct reader *reader, const char *path, struct rh_err *err)
{
	int ends[2], failed;

	reader->said = memfd_create("said", MFD_CLOEXEC);
	if (reader->said < 0)
		return rh_fail_errno(err, RH_OS, "no memory for what babeltrace2 says");
	if (pipe2(ends, O_CLOEXEC) < 0) {
		close(reader->said);
		return rh_fail_errno(err, RH_OS, "no pipe to babeltrace2");
	}
	failed = spawn(reader, path, ends[1]);
	close(ends[1]);
	reader->out = ends[0];
	if (!failed)
		return 0;
	close(reader->said);
	close(reader->out);
	errno = failed;
	return rh_fail_errno(err, RH_OS, "babeltrace2 cannot be started");
}

/* Its exit status: 0 when it came to the end of the trace. stop: it may be in the middle. */
static int finish(struct reader *reader, bool stop)
{
	int status = -1;
	pid_t got;

	assert(reader->pid > 0);
	close(reader->out);
	if (stop)
		kill(reader->pid, SIGTERM);
	do
		got = waitpid(reader->pid, &status, 0);
	while (got < 0 && errno == EINTR);
	return status;
}

/* What it said, ended by NUL. */
static void read_said(const struct reader *reader, char *text, size_t bytes)
{
	ssize_t got = pread(reader->said, text, bytes - 1, 0);

	text[got < 0 ? 0 : got] = '\0';
	close(reader->said);
}

/* The sum of "Tracer discarded 94 events between ...". */
static uint64_t discarded(const char *said)
{
	static const char word[] = "discarded ";
	uint64_t sum = 0;

	while ((said = strstr(said, word)) != NULL) {
		said += sizeof(word) - 1;
		sum += strtoull(said, NULL, 10);
	}
	return sum;
}

/* What it says last of its causes, which is where it began; its lines as one. */
static void first_cause(const char *said, char *line, size_t bytes)
{
	const char *at = said, *next;
	size_t used = 0;

	while ((next = strstr(at, "CAUSED BY")) != NULL)
		at = strchrnul(next, '\n');
	for (at += strspn(at, " \t\n"); *at && used + 1 < bytes; at++)
		if (*at != '\n')
			line[used++] = *at;
		else if (strncmp(at, "\n  ", 3) == 0)
			at++; /* one blank stays */
		else
			break;
	line[used] = '\0';
}

static int note_end(int status, const char *said, struct rh_trace_out *out, struct rh_err *err)
{
	char text[2 * LINE_BYTES], line[LINE_BYTES];
	uint64_t lost = discarded(said);

	if (lost) {
		snprintf(text, sizeof(text),
			 "%" PRIu64 " events that the tracer discarded (larger buffers: lttng "
			 "enable-channel --subbuf-size)",
			 lost);
		if (rh_trace_add_note(out, "import.unseen", text, err) < 0)
			return -1;
	}
	if (status == 0)
		return 0;
	first_cause(said, line, sizeof(line));
	snprintf(text, sizeof(text), "babeltrace2 stopped there: %s", line);
	return rh_trace_add_note(out, "import.truncated", text, err);
}

/* The text of the child into the trace; its end is judged by the caller. */
static int read_text(const struct reader *reader, struct rh_input *folder, struct rh_build *build,
		     struct rh_trace_out *out, struct rh_err *err)
{
	struct rh_input *text;
	int result;

	if (rh_input_open_pipe(&text, reader->out, rh_input_path(folder), err) < 0)
		return -1;
	rh_input_set_max_damage(text, rh_input_max_damage(folder));
	result = rh_lttng_run(text, reader->opts, build, out, err);
	if (result == 0)
		result = rh_trace_add_count(out, "import.lines", rh_input_line_number(text), err);
	rh_input_close(text);
	return result;
}

static int run(struct rh_input *input, const void *opts, struct rh_build *build,
	       struct rh_trace_out *out, struct rh_err *err)
{
	static char said[SAID_BYTES];
	struct reader reader = { .opts = opts };
	char line[LINE_BYTES], path[PATH_MAX];
	int result, status;

	if (!folder_of(input, path))
		return rh_fail(err, RH_BAD_DATA,
			       "%s: CTF is a folder of files: name the folder (of a packed one, "
			       "what it unpacks to)",
			       rh_input_path(input));
	if (absent_why())
		return rh_fail(err, RH_ABSENT, "%s: %s", rh_input_path(input), absent_why());
	if (start(&reader, path, err) < 0)
		return -1;
	result = read_text(&reader, input, build, out, err);
	status = finish(&reader, result < 0);
	read_said(&reader, said, sizeof(said));
	if (result == 0)
		return note_end(status, said, out, err);
	if (status && *said) {
		first_cause(said, line, sizeof(line));
		return rh_fail(err, RH_BAD_DATA, "%s: babeltrace2 cannot read it: %s",
			       rh_input_path(input), line);
	}
	return -1;
}

/* Metadata as text, or in packets of either byte order. */
static unsigned likeness(const char *bytes, size_t count)
{
	static const char *const magics[] = { "/* CTF 1", "\x57\x1d\xd1\x75", "\x75\xd1\x1d\x57" };

	for (int i = 0; i < 3; i++)
		if (count >= strlen(magics[i]) && memcmp(bytes, magics[i], strlen(magics[i])) == 0)
			return 95;
	return 0;
}

const struct rh_importer rh_import_ctf = {
	.name = "ctf",
	.summary = "folders of LTTng-UST's wrapper of libc (CTF), through babeltrace2",
	.looks_like = "a folder with a file `metadata` in it or below, and channel0_0, ...",
	.absent_why = absent_why,
	.opts = rh_lttng_options,
	.opts_bytes = sizeof(struct rh_lttng_opts),
	.columns = RH_COL_TIME,
	.likeness = likeness,
	.run = run,
};
