/*
 * cmd_record.c - `reheap record [options] [--] PROGRAM ARGS...`: options to the
 * recorder (traces/record/), the program's own end to our caller.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "harness/command.h"
#include "harness/help.h"
#include "traces/record/record.h"

struct opts {
	const char *out, *toggle;
	uint64_t attach_after, duration, max_events, max_bytes, buffer, sample, level;
	int keep, on_full;
	bool follow, residency, sites, paused, no_time, quiet;
};

static const char *const keep_names[] = { "first", "last", NULL };
static const char *const full_names[] = { "wait", "drop", NULL };

static const struct rh_opt record_opts[] = {
	{ "output", 'o', RH_OPT_TEXT, offsetof(struct opts, out), "trace.rht", .arg = "T.rht",
	  .help = "the trace to write" },
	{ "attach-after", 0, RH_OPT_TIME, offsetof(struct opts, attach_after), "0", .arg = "TIME",
	  .help = "start recording this long after the program" },
	{ "duration", 0, RH_OPT_TIME, offsetof(struct opts, duration), "0", .arg = "TIME",
	  .help = "record this long, write the trace, let the program run on" },
	{ "max-events", 0, RH_OPT_UINT, offsetof(struct opts, max_events), "0", .arg = "N",
	  .help = "keep at most N calls (see --keep)" },
	{ "max-bytes", 0, RH_OPT_SIZE, offsetof(struct opts, max_bytes), "0", .arg = "SIZE",
	  .help = "keep at most this much raw capture, 8 bytes a call (see --keep)" },
	{ "keep", 0, RH_OPT_NAME, offsetof(struct opts, keep), "first", .names = keep_names,
	  .arg = "first|last",
	  .help = "past a maximum: stop, or keep at least that much of the end" },
	{ "paused", 0, RH_OPT_FLAG, offsetof(struct opts, paused),
	  .help = "begin with recording off (needs --toggle)" },
	{ "toggle", 0, RH_OPT_TEXT, offsetof(struct opts, toggle), .arg = "USR1|USR2|HUP",
	  .help = "this signal to reheap starts and stops recording" },
	{ "follow-children", 'f', RH_OPT_FLAG, offsetof(struct opts, follow),
	  .help = "record child processes too, each in T.PID.rht" },
	{ "residency", 0, RH_OPT_FLAG, offsetof(struct opts, residency),
	  .help = "bytes of a block that were in memory when freed (a system call each)" },
	{ "sites", 0, RH_OPT_FLAG, offsetof(struct opts, sites),
	  .help = "who called malloc" },
	{ "no-time", 0, RH_OPT_FLAG, offsetof(struct opts, no_time),
	  .help = "leave the time of events out of the trace (a third of its size)" },
	{ "sample", 0, RH_OPT_UINT, offsetof(struct opts, sample), "128", .min = 1, .max = 1024,
	  .arg = "N",
	  .help = "events that one clock read may serve; 1: each has a time of its own" },
	{ "on-full", 0, RH_OPT_NAME, offsetof(struct opts, on_full), "wait", .names = full_names,
	  .arg = "wait|drop", .help = "when a thread outruns the recorder" },
	{ "buffer", 0, RH_OPT_SIZE, offsetof(struct opts, buffer), "2M", .min = 65536,
	  .max = 16777216, .arg = "SIZE", .help = "most that one thread's ring may grow to" },
	{ "level", 0, RH_OPT_UINT, offsetof(struct opts, level), "0", .max = 19, .arg = "N",
	  .help = "zstd level of the trace, 0 = default" },
	{ "quiet", 'q', RH_OPT_FLAG, offsetof(struct opts, quiet),
	  .help = "no progress and no summary; losses are still told" },
	{ .name = NULL }
};

static int signal_of(const char *name, int *number, struct rh_err *err)
{
	static const struct { const char *name; int number; } known[] = {
		{ "USR1", SIGUSR1 }, { "USR2", SIGUSR2 }, { "HUP", SIGHUP },
	};

	*number = 0;
	if (!name)
		return 0;
	if (strncmp(name, "SIG", 3) == 0)
		name += 3;
	for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
		if (strcmp(name, known[i].name) == 0)
			*number = known[i].number;
	if (!*number)
		return rh_fail(err, RH_USAGE, "--toggle %s: takes USR1, USR2 or HUP", name);
	return 0;
}

/* Ends as the program did, so that shells and supervisors see no difference. */
static void end_by(int number)
{
	struct rlimit none = { 0, 0 };
	sigset_t only;

	setrlimit(RLIMIT_CORE, &none);	/* the core would be ours, over the program's */
	fflush(NULL);
	signal(number, SIG_DFL);
	sigemptyset(&only);
	sigaddset(&only, number);
	sigprocmask(SIG_UNBLOCK, &only, NULL);
	raise(number);
}

static enum rh_exit run(const void *data, int argc, char **argv, struct rh_err *err)
{
	const struct opts *opts = data;
	static char shim[4096], version[200];
	struct rh_record_opts record = {
		.out = opts->out, .shim = shim, .version = version,
		.attach_after_ns = opts->attach_after, .duration_ns = opts->duration,
		.max_events = opts->max_events, .max_bytes = opts->max_bytes,
		.buffer_bytes = opts->buffer, .sample = opts->sample, .keep = opts->keep,
		.on_full = opts->on_full, .level = (int)opts->level, .paused = opts->paused,
		.follow = opts->follow, .residency = opts->residency, .sites = opts->sites,
		.time = !opts->no_time, .quiet = opts->quiet, .progress = rh_progress,
		.sigpipe_ignored = rh_sigpipe_ignored,
	};
	int status, number;
	bool trace_ok = true;

	(void)argc;
	if (signal_of(opts->toggle, &record.toggle, err) < 0)
		return err->code;
	if (opts->paused && !record.toggle)
		return rh_fail(err, RH_USAGE, "--paused needs --toggle, or nothing is ever "
			       "recorded"), RH_USAGE;
	if (strcmp(opts->out, "-") == 0)
		return rh_fail(err, RH_USAGE, "-o -: standard output belongs to the program; name "
			       "a file"), RH_USAGE;
	if (rh_find_part("libreheap-record.so", shim, sizeof shim, err) < 0)
		return err->code;
	snprintf(version, sizeof version, "reheap %s", rh_version);
	if (rh_record_run(&record, argv, &status, &number, &trace_ok, err) < 0)
		return (enum rh_exit)status;
	err->text[0] = '\0';
	rh_progress("%s", "");
	if (number)
		end_by(number);
	return (enum rh_exit)status;
}

const struct rh_command rh_cmd_record = {
	.name = "record",
	.operands = "[--] PROGRAM ARGS...",
	.summary = "record what a program allocates, frees and spawns",
	.details =
		"Runs PROGRAM with a recorder preloaded; nothing is recompiled. The exit status\n"
		"is the program's own. Nothing is lost, also when the program is killed: its\n"
		"threads write into shared memory that reheap empties meanwhile. Until the trace\n"
		"is written its directory needs 8 to 16 bytes of disk per call.\n"
		"\n"
		"exec keeps recording: T.rht is the last program run, earlier ones are T.PID.rht.\n"
		"Static and setuid programs cannot be recorded and are refused at once.",
	.examples =
		"reheap record -o redis.rht -- redis-server --save ''\n"
		"reheap record -f -o build.rht -- make\n"
		"reheap record --attach-after 60 --duration 10 -o peak.rht -- ./server",
	.opts = record_opts,
	.opts_bytes = sizeof(struct opts),
	.stop_early = true,
	.operands_min = 1,
	.operands_max = -1,
	.run = run,
};
