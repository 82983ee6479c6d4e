/*
 * record_go.c - `reheap record-go`: from a Go program or service to a trace in one step.
 *
 *	-- PROG ARGS...	runs a program that calls runtime/trace, with GODEBUG set so that the
 *			runtime records every allocation, and imports the file it wrote: the
 *			one named by --trace-file, else the one new file in this folder that
 *			starts like a Go trace
 *	--pprof URL	asks a running service that serves net/http/pprof for so many seconds
 *			of trace and imports that (the service was started with GODEBUG set)
 *
 * It sends one HTTP/1.0 GET without TLS: the other end is a debug port on this machine or
 * behind a tunnel, and with 1.0 the answer ends with the connection.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "alloc/base/gopacer.h"
#include "alloc/base/os.h"
#include "harness/cli/command.h"
#include "alloc/base/progress.h"
#include "traces/import/import.h"
#include "alloc/base/printable.h"

struct opts {
	const char *out, *trace_file, *pprof;
	uint64_t seconds, level;
	bool keep;
};

static const struct rh_opt record_go_options[] = {
	{ "output", 'o', RH_OPT_TEXT, offsetof(struct opts, out), "trace.rht", .arg = "T.rht",
	  .help = "the trace to write" },
	{ "trace-file", 0, RH_OPT_TEXT, offsetof(struct opts, trace_file), .arg = "PATH",
	  .help = "where the program writes its trace; else a new file in this folder" },
	{ "pprof", 0, RH_OPT_TEXT, offsetof(struct opts, pprof), .arg = "URL",
	  .help = "record a running service that serves /debug/pprof at this http:// address" },
	{ "seconds", 0, RH_OPT_UINT, offsetof(struct opts, seconds), "5", .min = 1, .max = 3600,
	  .arg = "N", .help = "with --pprof: how long" },
	{ "keep", 0, RH_OPT_FLAG, offsetof(struct opts, keep),
	  .help = "with --pprof: keep Go's own trace beside T.rht, as T.rht.gotrace" },
	{ "level", 0, RH_OPT_UINT, offsetof(struct opts, level), "0", .max = 19, .arg = "N",
	  .help = "zstd level of the trace, 0 = default" },
	{ .name = NULL }
};

enum { GO_HEAD_BYTES = 16, URL_PART_MAX = 256, HTTP_HEAD_MAX = 8192, HTTP_OK = 200 };

/* ---- the trace, once it is a file ---- */

/* Notes the environment of the program's collector, which may be unset. A value that Go itself does
 * not understand is not noted. */
static int note_environment(const struct rh_importer *go, void *words, struct rh_err *err)
{
	const char *gogc = getenv("GOGC"), *limit = getenv("GOMEMLIMIT");
	const struct rh_opt_target target = { go->opts, words, "go" };
	uint64_t value;

	if (rh_go_read_gogc(gogc, &value) == 0 &&
	    rh_opt_set(&target, "gogc", gogc && gogc[0] ? gogc : "unset", err) < 0)
		return -1;
	if (rh_go_read_memlimit(limit, &value) < 0)
		return 0;
	return rh_opt_set(&target, "memlimit", limit && limit[0] ? limit : "unset", err);
}

/* ours: we started the program, with our environment. */
static enum rh_exit import_file(const struct opts *opts, const char *path, bool ours,
				struct rh_err *err)
{
	const struct rh_importer *go = rh_importer_of("go", err);
	_Alignas(16) unsigned char words[RH_IMPORT_OPTS_MAX] = { 0 };
	struct rh_trace_make make = { .path = opts->out, .level = (int)opts->level };
	struct rh_trace_totals totals;

	if (!go || rh_opt_defaults(go->opts, words, err) < 0 ||
	    (ours && note_environment(go, words, err) < 0) ||
	    rh_import(
		    &(struct rh_import_job){
			    .importer = go, .path = path, .opts = words, .make = &make },
		    &totals, err) < 0)
		return err->code;
	rh_print(stderr, "%s: %llu events, %llu objects, %llu goroutines, %llu collections\n",
		 opts->out, (unsigned long long)totals.events, (unsigned long long)totals.objects,
		 (unsigned long long)totals.tasks,
		 (unsigned long long)totals.by_kind[RH_EV_GC_END]);
	return RH_OK;
}

/* ---- a program ---- */

/* GODEBUG=...,traceallocfree=1, keeping what it already holds. */
static int set_godebug(struct rh_err *err)
{
	const char *old = getenv("GODEBUG");
	char value[4096];
	int length = snprintf(value, sizeof(value), "%s%straceallocfree=1", old ? old : "",
			      old && old[0] ? "," : "");

	if (length < 0 || (size_t)length >= sizeof(value))
		return rh_fail(err, RH_USAGE, "GODEBUG is too long to add to");
	return setenv("GODEBUG", value, 1) == 0 ? 0 : rh_fail_errno(err, RH_OS, "GODEBUG");
}

static int run_program(char **argv, int *status, struct rh_err *err)
{
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		struct rh_err failure;

		if (!rh_sigpipe_ignored)
			signal(SIGPIPE, SIG_DFL);
		if (set_godebug(&failure) == 0)
			execvp(argv[0], argv);
		rh_print(stderr, "reheap record-go: cannot run %s: %s\n", argv[0], strerror(errno));
		_exit(127);
	}
	if (pid < 0)
		return rh_fail_errno(err, RH_OS, "cannot start %s", argv[0]);
	while (waitpid(pid, status, 0) < 0)
		if (errno != EINTR)
			return rh_fail_errno(err, RH_OS, "cannot wait for %s", argv[0]);
	return 0;
}

static bool is_go_trace(const char *path)
{
	char head[GO_HEAD_BYTES] = "";
	FILE *from = fopen(path, "rb");
	bool is;

	if (!from)
		return false;
	is = fread(head, 1, sizeof(head), from) == sizeof(head) && memcmp(head, "go 1.", 5) == 0 &&
	     memcmp(head + 7, " trace", 6) == 0;
	fclose(from);
	return is;
}

/* The Go trace in this folder that was written since `start`; with several it does not guess. */
static int find_trace(time_t start, char *path, size_t path_bytes, struct rh_err *err)
{
	DIR *dir = opendir(".");
	struct dirent *entry;
	unsigned found = 0;
	struct stat st;

	if (!dir)
		return rh_fail_errno(err, RH_NO_INPUT, "cannot read this folder");
	while ((entry = readdir(dir)) != NULL) {
		if (stat(entry->d_name, &st) < 0 || !S_ISREG(st.st_mode) || st.st_mtime < start ||
		    !is_go_trace(entry->d_name))
			continue;
		found++;
		snprintf(path, path_bytes, "%s", entry->d_name);
	}
	closedir(dir);
	if (found == 1)
		return 0;
	if (found)
		return rh_fail(err, RH_USAGE,
			       "%u Go traces were written here: say which with "
			       "--trace-file",
			       found);
	return rh_fail(err, RH_NO_INPUT,
		       "the program wrote no Go trace here: it must call runtime/trace "
		       "(trace.Start(file)); name the file with --trace-file if it is elsewhere");
}

static enum rh_exit record_program(const struct opts *opts, char **argv, struct rh_err *err)
{
	time_t start = time(NULL);
	char path[4096];
	int status;
	enum rh_exit result;

	if (run_program(argv, &status, err) < 0)
		return err->code;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
		return rh_fail(err, RH_NO_INPUT, "%s did not run", argv[0]), err->code;
	if (!opts->trace_file) {
		if (find_trace(start, path, sizeof(path), err) < 0)
			return err->code;
	} else if (access(opts->trace_file, R_OK) < 0) {
		rh_fail_errno(err, RH_NO_INPUT, "%s: the program wrote no trace there",
			      opts->trace_file);
		return err->code;
	}
	result = import_file(opts, opts->trace_file ? opts->trace_file : path, true, err);
	if (result == RH_OK && !(WIFEXITED(status) && WEXITSTATUS(status) == 0))
		rh_print(stderr, "reheap record-go: %s ended with %s %d\n", argv[0],
			 WIFSIGNALED(status) ? "signal" : "status",
			 WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	return result;
}

/* ---- a service ---- */

struct url {
	char host[URL_PART_MAX], port[16], path[URL_PART_MAX];
};

static int split_url(const char *text, struct url *url, struct rh_err *err)
{
	static const char scheme[] = "http://";
	const char *host = text + sizeof(scheme) - 1, *end, *port;

	memset(url, 0, sizeof(*url));
	if (strncmp(text, scheme, sizeof(scheme) - 1) != 0)
		return rh_fail(err, RH_USAGE,
			       "--pprof %s: an address like http://localhost:6060 "
			       "is needed (https: use a tunnel, or curl and reheap import go)",
			       text);
	end = host + strcspn(host, "/");
	port = memchr(host, ':', (size_t)(end - host));
	if (strlen(text) >= URL_PART_MAX || host == end || (port && end - port > 10))
		return rh_fail(err, RH_USAGE, "--pprof %s: not an address", text);
	snprintf(url->host, sizeof(url->host), "%.*s", (int)((port ? port : end) - host), host);
	snprintf(url->port, sizeof(url->port), "%.*s", port ? (int)(end - port - 1) : 2,
		 port ? port + 1 : "80");
	/* A prefix for a proxy is kept; /debug/pprof may be given or not. */
	snprintf(url->path, sizeof(url->path), "%s", end);
	for (size_t n = strlen(url->path); n && url->path[n - 1] == '/'; n--)
		url->path[n - 1] = '\0';
	if (!strstr(url->path, "/debug/pprof") &&
	    strlen(url->path) + sizeof("/debug/pprof") < sizeof(url->path))
		memcpy(url->path + strlen(url->path), "/debug/pprof", sizeof("/debug/pprof"));
	return 0;
}

static int dial(const struct url *url, struct rh_err *err)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *list = NULL;
	int failed = getaddrinfo(url->host, url->port, &hints, &list), fd = -1;

	if (failed)
		return rh_fail(err, RH_NO_INPUT, "%s:%s: %s", url->host, url->port,
			       gai_strerror(failed));
	for (const struct addrinfo *at = list; at && fd < 0; at = at->ai_next) {
		fd = socket(at->ai_family, at->ai_socktype | SOCK_CLOEXEC, at->ai_protocol);
		if (fd >= 0 && connect(fd, at->ai_addr, at->ai_addrlen) < 0) {
			close(fd);
			fd = -1;
		}
	}
	freeaddrinfo(list);
	return fd >= 0 ? fd : rh_fail_errno(err, RH_NO_INPUT, "%s:%s", url->host, url->port);
}

static int ask(int fd, const struct url *url, uint64_t seconds, struct rh_err *err)
{
	char text[4 * URL_PART_MAX];
	int length = snprintf(text, sizeof(text),
			      "GET %s/trace?seconds=%llu HTTP/1.0\r\nHost: %s:%s\r\n\r\n",
			      url->path, (unsigned long long)seconds, url->host, url->port);

	return rh_write_all(fd, text, (size_t)length, "the request", err);
}

/* Skips the head of the answer: the body starts in `buffer` at the returned offset. */
static long read_head(int fd, char *buffer, size_t *have, struct rh_err *err)
{
	char *end;

	*have = 0;
	while (!(end = memmem(buffer, *have, "\r\n\r\n", 4))) {
		ssize_t got =
			*have < HTTP_HEAD_MAX ? read(fd, buffer + *have, HTTP_HEAD_MAX - *have) : 0;

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return rh_fail(err, RH_BAD_DATA, "the service gave no HTTP answer");
		*have += (size_t)got;
	}
	buffer[*have] = '\0';
	if (strncmp(buffer, "HTTP/1.", 7) != 0 || strtol(buffer + 9, NULL, 10) != HTTP_OK)
		return rh_fail(err, RH_NO_INPUT, "the service answers '%.*s', not a trace",
			       (int)strcspn(buffer, "\r\n"), buffer);
	return end + 4 - buffer;
}

static int fetch(int fd, int to, struct rh_err *err)
{
	char buffer[HTTP_HEAD_MAX + 1];
	size_t have;
	long at = read_head(fd, buffer, &have, err);
	uint64_t bytes = 0;

	if (at < 0)
		return -1;
	for (have -= (size_t)at; have || bytes == 0;) {
		ssize_t got;

		if (have && rh_write_all(to, buffer + at, have, "the trace", err) < 0)
			return -1;
		bytes += have;
		at = 0;
		got = read(fd, buffer, HTTP_HEAD_MAX);
		if (got < 0 && errno != EINTR)
			return rh_fail_errno(err, RH_IO, "the service");
		have = got > 0 ? (size_t)got : 0;
		if (got == 0)
			break;
		rh_progress("%llu KiB", (unsigned long long)(bytes >> 10));
	}
	rh_progress("%s", "");
	return 0;
}

static enum rh_exit record_service(const struct opts *opts, struct rh_err *err)
{
	char path[4096 + 16];
	struct url url;
	int fd, to;
	int result = -1;

	if (split_url(opts->pprof, &url, err) < 0)
		return err->code;
	fd = dial(&url, err);
	if (fd < 0)
		return err->code;
	snprintf(path, sizeof(path), "%s.gotrace%s", opts->out, opts->keep ? "" : ".XXXXXX");
	to = opts->keep ? creat(path, 0644) : mkstemp(path);
	if (to < 0)
		rh_fail_errno(err, RH_CANT_CREATE, "%s", path);
	else if (ask(fd, &url, opts->seconds, err) == 0)
		result = fetch(fd, to, err);
	close(fd);
	if (to >= 0)
		close(to);
	if (result == 0)
		result = (int)import_file(opts, path, false, err);
	else
		result = (int)err->code;
	if (to >= 0 && !opts->keep)
		unlink(path);
	return (enum rh_exit)result;
}

static enum rh_exit run_record_go(const void *options, int argc, char **argv, struct rh_err *err)
{
	const struct opts *opts = options;

	if (strcmp(opts->out, "-") == 0)
		return rh_fail(err, RH_USAGE, "-o -: name a file"), RH_USAGE;
	if ((opts->pprof != NULL) == (argc > 0))
		return rh_fail(err, RH_USAGE, "either --pprof URL, or -- PROGRAM ARGS"), RH_USAGE;
	return opts->pprof ? record_service(opts, err) : record_program(opts, argv, err);
}

const struct rh_command rh_cmd_record_go = {
	.name = "record-go",
	.operands = "[--trace-file PATH] -- PROGRAM ARGS... | --pprof URL [--seconds N]",
	.summary = "record a Go program or a running Go service",
	.details =
		"For programs built by Go 1.23 or later. PROGRAM must trace itself "
		"(runtime/trace, a -trace flag, go test -trace). A service must have been started "
		"with GODEBUG=traceallocfree=1 and serve net/http/pprof; it is traced for N "
		"seconds while it runs. traces/corpus/go/README.md says what tracing costs there.",
	.examples = "reheap record-go -o t.rht --trace-file t.out -- go test -trace t.out ./pkg\n"
		    "reheap record-go -o service.rht --pprof http://localhost:6060 --seconds 5",
	.opts = record_go_options,
	.opts_bytes = sizeof(struct opts),
	.stop_early = true,
	.operands_min = 0,
	.operands_max = -1,
	.run = run_record_go,
};
