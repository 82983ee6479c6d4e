/*
 * record.c - `reheap record [options] [--] PROGRAM ARGS...`: options to the
 * recorder (traces/record/), the program's own end to our caller.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "harness/cli/command.h"
#include "harness/cli/usage.h"
#include "alloc/base/install_paths.h"
#include "alloc/base/progress.h"
#include "traces/record/record.h"

struct opts {
	const char *out, *toggle, *recover, *preload, *rotate, *keep;
	uint64_t pid, attach_after, duration, max_events, max_bytes, buffer, sample, level;
	uint64_t sample_bytes, sample_seed;
	int on_full;
	bool follow, residency, sites, maps, paused, no_time, quiet, strict, later;
};

static const char *const full_names[] = { "wait", "drop", NULL };

static const struct rh_opt record_opts[] = {
	{ "output", 'o', RH_OPT_TEXT, offsetof(struct opts, out), "trace.rht", .arg = "T.rht",
	  .help = "the trace to write" },
	{ "pid", 'p', RH_OPT_UINT, offsetof(struct opts, pid), "0", .max = 4194304, .arg = "PID",
	  .help = "record a process that runs already, until --duration, Ctrl-C or its end" },
	{ "attach-after", 0, RH_OPT_TIME, offsetof(struct opts, attach_after), "0", .arg = "TIME",
	  .help = "start recording this long after the program" },
	{ "duration", 0, RH_OPT_TIME, offsetof(struct opts, duration), "0", .arg = "TIME",
	  .help = "record this long, write the trace, let the program run on" },
	{ "max-events", 0, RH_OPT_UINT, offsetof(struct opts, max_events), "0", .arg = "N",
	  .help = "keep at most N calls (see --keep)" },
	{ "max-bytes", 0, RH_OPT_SIZE, offsetof(struct opts, max_bytes), "0", .arg = "SIZE",
	  .help = "keep at most this much raw capture, 8 bytes a call (see --keep)" },
	{ "keep", 0, RH_OPT_TEXT, offsetof(struct opts, keep), "first", .arg = "first|last|N",
	  .help = "past a maximum: stop, or keep at least that much of the end; with --rotate: the "
		  "last N segments" },
	{ "rotate", 0, RH_OPT_TEXT, offsetof(struct opts, rotate), .arg = "SIZE|TIME",
	  .help = "segments T.s0001.rht, ... by size (1G) or time (6h): each a trace by itself" },
	{ "paused", 0, RH_OPT_FLAG, offsetof(struct opts, paused),
	  .help = "begin with recording off (needs --toggle)" },
	{ "toggle", 0, RH_OPT_TEXT, offsetof(struct opts, toggle), .arg = "USR1|USR2|HUP",
	  .help = "this signal to reheap starts and stops recording" },
	{ "follow-children", 'f', RH_OPT_FLAG, offsetof(struct opts, follow),
	  .help = "record child processes too, each in T.PID.rht" },
	{ "residency", 0, RH_OPT_FLAG, offsetof(struct opts, residency),
	  .help = "bytes of a block that were in memory when freed (a system call each)" },
	{ "sites", 0, RH_OPT_FLAG, offsetof(struct opts, sites), .help = "who called malloc" },
	{ "maps", 0, RH_OPT_FLAG, offsetof(struct opts, maps),
	  .help = "the program's own mmap, munmap, mremap and brk too, as events" },
	{ "preload", 0, RH_OPT_TEXT, offsetof(struct opts, preload), .arg = "LIB.so",
	  .help = "the program runs on this allocator, whatever it links; libc.so.6 is one" },
	{ "no-time", 0, RH_OPT_FLAG, offsetof(struct opts, no_time),
	  .help = "leave the time of events out of the trace (a third of its size)" },
	{ "sample", 0, RH_OPT_UINT, offsetof(struct opts, sample), "128", .min = 1, .max = 1024,
	  .arg = "N",
	  .help = "events that one clock read may serve; 1: each has a time of its own" },
	{ "sample-bytes", 0, RH_OPT_SIZE, offsetof(struct opts, sample_bytes), "0",
	  .max = 1ull << 40, .arg = "SIZE",
	  .help = "record a sample of the blocks: one byte in SIZE is hit; 512K for weeks" },
	{ "sample-seed", 0, RH_OPT_UINT, offsetof(struct opts, sample_seed), "0", .arg = "N",
	  .help = "of --sample-bytes: the same draws each time; 0 = others" },
	{ "on-full", 0, RH_OPT_NAME, offsetof(struct opts, on_full), "wait", .names = full_names,
	  .arg = "wait|drop", .help = "when a thread outruns the recorder" },
	{ "buffer", 0, RH_OPT_SIZE, offsetof(struct opts, buffer), "2M", .min = 65536,
	  .max = 16777216, .arg = "SIZE", .help = "most that one thread's ring may grow to" },
	{ "level", 0, RH_OPT_UINT, offsetof(struct opts, level), "0", .max = 19, .arg = "N",
	  .help = "zstd level of the trace, 0 = default" },
	{ "later", 0, RH_OPT_FLAG, offsetof(struct opts, later),
	  .help = "keep the calls in T.rht.capture; --recover makes the trace, when and where you "
		  "like" },
	{ "recover", 0, RH_OPT_TEXT, offsetof(struct opts, recover), .arg = "T.rht.capture",
	  .help = "make the trace of what --later, or a recorder that was killed, left" },
	{ "strict", 0, RH_OPT_FLAG, offsetof(struct opts, strict),
	  .help = "exit 6 when the program ends with 0 but calls were lost, or no trace "
		  "written; without what a recording needs, do not run it" },
	{ "quiet", 'q', RH_OPT_FLAG, offsetof(struct opts, quiet),
	  .help = "no progress and no summary; losses are still reported" },
	{ .name = NULL }
};

static int signal_of(const char *name, int *number, struct rh_err *err)
{
	static const struct {
		const char *name;
		int number;
	} known[] = {
		{ "USR1", SIGUSR1 },
		{ "USR2", SIGUSR2 },
		{ "HUP", SIGHUP },
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

/* first, last, or the number of segments to keep. */
static int read_keep(const struct opts *opts, struct rh_record_opts *record, struct rh_err *err)
{
	char *end;

	if (strcmp(opts->keep, "first") == 0)
		return 0;
	record->keep = RH_KEEP_LAST;
	if (strcmp(opts->keep, "last") == 0)
		return opts->rotate
			       ? rh_fail(err, RH_USAGE,
					 "--keep last and --rotate: say how many segments stay, "
					 "--keep 24")
			       : 0;
	record->keep = RH_KEEP_FIRST;
	errno = 0;
	record->keep_segments = strtoull(opts->keep, &end, 10);
	if (*end || errno || opts->keep[0] < '1' || opts->keep[0] > '9')
		return rh_fail(err, RH_USAGE,
			       "--keep %s: takes first, last, or with --rotate a number",
			       opts->keep);
	return opts->rotate
		       ? 0
		       : rh_fail(err, RH_USAGE,
				 "--keep %s: a number of segments goes with --rotate", opts->keep);
}

/* A time ends in a small letter, a size in a large one or none: 30m are minutes, 30M megabytes. */
static int read_rotate(const struct opts *opts, struct rh_record_opts *record, struct rh_err *err)
{
	enum { LEAST = 1 << 16 };
	const char *text = opts->rotate;
	size_t bytes = text ? strlen(text) : 0;
	bool time = bytes && text[bytes - 1] >= 'a' && text[bytes - 1] <= 'z';

	if (read_keep(opts, record, err) < 0)
		return -1;
	if (!text)
		return 0;
	if (opts->later)
		return rh_fail(err, RH_USAGE,
			       "--later and --rotate: segments are written while the program "
			       "runs; leave out one of the two");
	if (opts->maps)
		return rh_fail(err, RH_USAGE,
			       "--rotate and --maps: what is mapped is not carried from segment to "
			       "segment; leave out one of the two");
	if (time && opts->no_time)
		return rh_fail(err, RH_USAGE, "--rotate by time needs times: leave out --no-time");
	if ((time ? rh_parse_time(text, &record->rotate_ns, err)
		  : rh_parse_size(text, &record->rotate_bytes, err)) < 0)
		return -1;
	if (time ? record->rotate_ns == 0 : record->rotate_bytes < LEAST)
		return rh_fail(err, RH_USAGE, "--rotate %s: too little; 64K is the least size",
			       text);
	return 0;
}

/* Ends as the program did, so that shells and supervisors see no difference. */
static void end_by(int number)
{
	struct rlimit none = { 0, 0 };
	sigset_t only;

	setrlimit(RLIMIT_CORE, &none); /* our core file would overwrite the program's */
	fflush(NULL);
	signal(number, SIG_DFL);
	sigemptyset(&only);
	sigaddset(&only, number);
	sigprocmask(SIG_UNBLOCK, &only, NULL);
	raise(number);
}

static int find_shims(const struct opts *opts, struct rh_record_opts *record, struct rh_err *err)
{
	static char shim[4096], maps[4096];

	if (opts->pid && (opts->maps || opts->preload))
		return rh_fail(err, RH_USAGE, "%s is for programs that reheap starts: no --pid",
			       opts->maps ? "--maps" : "--preload");
	if (opts->preload && strchr(opts->preload, '/') && access(opts->preload, R_OK) < 0)
		return rh_fail_errno(err, RH_NO_INPUT, "--preload %s", opts->preload);
	if (rh_install_path("libreheap-record.so", shim, sizeof shim, err) < 0 ||
	    (opts->maps && rh_install_path("libreheap-maps.so", maps, sizeof maps, err) < 0))
		return -1;
	record->shim = shim;
	record->maps_shim = opts->maps ? maps : NULL;
	return 0;
}

static enum rh_exit run_recover(const struct opts *opts, struct rh_record_opts *record, int argc,
				struct rh_err *err)
{
	if (argc > 0 || opts->later)
		return rh_fail(err, RH_USAGE, "--recover runs no program%s",
			       argc ? "" : ": no --later"),
		       RH_USAGE;
	if (strcmp(opts->out, "trace.rht") == 0)
		record->out = NULL; /* that recorder has its own options */
	return rh_record_recover(record, opts->recover, err) < 0 ? err->code : RH_OK;
}

static enum rh_exit run_record(const void *data, int argc, char **argv, struct rh_err *err)
{
	const struct opts *opts = data;
	static char version[200];
	struct rh_record_opts record = {
		.out = opts->out,
		.version = version,
		.pid = (int)opts->pid,
		.attach_after_ns = opts->attach_after,
		.duration_ns = opts->duration,
		.max_events = opts->max_events,
		.max_bytes = opts->max_bytes,
		.preload = opts->preload,
		.buffer_bytes = opts->buffer,
		.sample = opts->sample,
		.sample_bytes = opts->sample_bytes,
		.sample_seed = opts->sample_seed,
		.on_full = opts->on_full,
		.level = (int)opts->level,
		.paused = opts->paused,
		.follow = opts->follow,
		.residency = opts->residency,
		.sites = opts->sites,
		.time = !opts->no_time,
		.quiet = opts->quiet,
		.later = opts->later,
		.strict = opts->strict,
		.progress = rh_progress,
		.sigpipe_ignored = rh_sigpipe_ignored,
	};
	struct rh_record_end end;

	if (signal_of(opts->toggle, &record.toggle, err) < 0 || read_rotate(opts, &record, err) < 0)
		return err->code;
	if (opts->paused && !record.toggle)
		return rh_fail(err, RH_USAGE,
			       "--paused needs --toggle, or nothing is ever "
			       "recorded"),
		       RH_USAGE;
	if (!*opts->out)
		return rh_fail(err, RH_USAGE, "the output path is empty: -o T.rht"), RH_USAGE;
	if (strcmp(opts->out, "-") == 0)
		return rh_fail(err, RH_USAGE,
			       "-o -: standard output belongs to the program; name "
			       "a file"),
		       RH_USAGE;
	snprintf(version, sizeof version, "reheap %s", rh_version);
	if (opts->recover)
		return run_recover(opts, &record, argc, err);
	if (opts->pid && argc > 0)
		return rh_fail(err, RH_USAGE, "--pid records what runs already: no program"),
		       RH_USAGE;
	if (argc == 0 && !opts->pid)
		return rh_fail(err, RH_USAGE, "no program to record; --pid PID for one that runs"),
		       RH_USAGE;
	if (find_shims(opts, &record, err) < 0)
		return err->code;
	if (rh_record_run(&record, argv, &end, err) < 0)
		return (enum rh_exit)end.status;
	err->text[0] = '\0';
	rh_progress("%s", "");
	if (end.signal)
		end_by(end.signal);
	if (opts->strict && end.status == 0 && (end.lost || !end.trace_ok))
		return RH_PARTIAL;
	return (enum rh_exit)end.status;
}

const struct rh_command rh_cmd_record = {
	.name = "record",
	.operands = "[--] PROGRAM ARGS... | --pid PID [--duration TIME]",
	.summary = "record what a program allocates, frees and spawns",
	.details =
		"Runs PROGRAM with a recorder preloaded; nothing is recompiled. The exit status "
		"is the program's own. Nothing is lost, even when the program is killed: its "
		"threads write into shared memory, which reheap empties. The trace is written "
		"while the program runs; until it is finished, its directory also needs 8 to 16 "
		"bytes of disk per call.\n"
		"\n"
		"Where a recording cannot begin for want of memory, descriptors, disk or a limit, "
		"that is said, and the program runs alone; --strict refuses.\n"
		"\n"
		"During that time T.rht.capture holds the captured calls; if reheap is killed, "
		"the program continues, and --recover makes the trace from that file. A program "
		"waits at most a second for a recorder that hangs; calls that are lost then are "
		"counted and reported.\n"
		"\n"
		"--later keeps that file and writes no trace, which is most of what recording "
		"costs. reheap record --recover T.rht.capture makes the same trace of it, on this "
		"machine or another of its kind.\n"
		"\n"
		"The trace's note `allocator` names the library that served the program. This "
		"need not be libc: some programs link jemalloc. --preload libc.so.6 puts libc in "
		"front of it.\n"
		"\n"
		"The trace notes the resources that the program itself used: CPU time, wall time "
		"and peak memory. They include the cost of recording, some 5 ns per call and the "
		"rings.\n"
		"\n"
		"--pid attaches to a running process (x86-64, glibc) and detaches at the end: one "
		"of its threads loads the recorder, outside of malloc and the loader, and all "
		"calls lead to it until then; afterwards they lead where they did before. The "
		"recorder stays loaded but is not called, because a thread may be inside its "
		"code. Blocks born before are counted separately (before.freed, before.resized). "
		"Calls through copies that the program made of malloc's address are not seen. The "
		"process may notice that one wait (epoll_wait) starts again; reheap may be killed "
		"at any time. Attaching needs the right to trace: the same user and yama "
		"ptrace_scope 0, or root.\n"
		"\n"
		"A program started with LD_PRELOAD=libreheap-record.so REHEAP_DORMANT=1 sleeps "
		"until --pid wakes it: it costs 9 instructions per call and needs no right to "
		"trace, only its user or root. Its file is /dev/shm/reheap-dormant.PID (or in the "
		"folder that REHEAP_DORMANT names); it wakes at its next call, and sleeps again "
		"when the recording has ended. Calls of other threads while it wakes are not "
		"recorded.\n"
		"\n"
		"With -f each child is listed at the end, with its trace or with the reason why "
		"it has none (static, musl, setuid, a sanitizer, a cleared environment: env -i, "
		"sudo), and in the note \"children\" of T.rht. Such children run normally. For "
		"sudo: sudo reheap ...\n"
		"\n"
		"--sample-bytes 512K records a sample: each requested byte is hit with a "
		"probability of 1 in 524288; a block with a hit is recorded, with its resizes, "
		"queries and free. So a block of s bytes is recorded with probability 1 - exp(-s "
		"/ 524288), and info gives unbiased estimates for all blocks, with standard "
		"errors. The trace carries the interval (note sample.bytes). A resize is a death "
		"and a birth: the new block is drawn separately.\n"
		"\n"
		"--rotate 1G (or 6h) writes segments T.s0001.rht, T.s0002.rht, ...: each begins "
		"with the blocks alive then, and can be replayed and verified alone. With --keep "
		"24 the last 24 are kept, so the disk space is bounded. A segment also ends when "
		"its calls take 16 times its size in the capture.\n"
		"\n"
		"exec keeps recording: T.rht is the last program run, earlier ones are T.PID.rht. "
		"Static and setuid programs cannot be recorded and are refused at once.",
	.examples = "reheap record -o redis.rht -- redis-server --save ''\n"
		    "reheap record -f -o build.rht -- make\n"
		    "reheap record --pid $(pidof redis-server) --duration 10 -o live.rht\n"
		    "reheap record --recover redis.rht.capture -o redis.rht\n"
		    "reheap record --sample-bytes 512K -o weeks.rht -- ./server\n"
		    "reheap record --attach-after 60 --duration 10 -o peak.rht -- ./server",
	.opts = record_opts,
	.opts_bytes = sizeof(struct opts),
	.stop_early = true,
	.operands_min = 0,
	.operands_max = -1,
	.run = run_record,
};
