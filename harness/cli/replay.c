/*
 * replay.c - reheap replay: replays traces on backends; a table and a result come out.
 *
 *	1  words of the command line are checked, the output is opened (run.c, os.h)
 *	2  traces are compiled, trials run (run.c, run_trial.c, harness/launch/worker.c)
 *	3  trials are condensed (metrics.c), written (result_json.c), printed (table.c)
 *
 * Ctrl-C ends the running worker; the trials that had ended are condensed, written and printed
 * with a note, and then we end by the same signal, so that a calling shell sees an interrupted
 * program. A second Ctrl-C ends at once.
 */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "alloc/base/printable.h"
#include "harness/cli/command.h"
#include "traces/format/trace.h"
#include "harness/probe/hgrm.h"
#include "harness/run/invocation.h"
#include "harness/run/run.h"

enum format { FORMAT_TABLE, FORMAT_JSON, FORMAT_CSV, FORMAT_MD };

struct replay_opts {
	const char *hgrm;
	const char *backends, *sweep, *lanes, *copies, *baseline, *probes, *output, *under, *sample;
	const char *counters;
	uint64_t reps, seed, passes, for_ns, timeout_ns, segment_events;
	struct rh_replay_options replay;
	int format;
	bool speed_given, quiet_check;
	bool stats, quiet, verbose;
};

static const char *const pace_names[] = { "none", "think", "open", NULL };
static const char *const format_names[] = { "table", "json", "csv", "md", NULL };

#define AT(field) offsetof(struct replay_opts, field)

static const struct rh_opt opts[] = {
	{ "backend", 'b', RH_OPT_TEXT, AT(backends), "libc", .arg = "B[,B...]",
	  .help = "backends to replay on (see reheap list backends)" },
	{ "sweep", 0, RH_OPT_TEXT, AT(sweep), NULL, .arg = "B",
	  .help = "more of them, one for each value in braces: 'tiered:gogc={50,100,200}'" },
	{ "lanes", 'l', RH_OPT_TEXT, AT(lanes), NULL, .arg = "N[,N...]",
	  .help = "threads, or 'recorded'; default: as recorded, at most one per CPU" },
	{ "copies", 0, RH_OPT_TEXT, AT(copies), "1", .arg = "K[,K...]",
	  .help = "independent copies of the program side by side, phases shifted" },
	{ "reps", 'r', RH_OPT_UINT, AT(reps), "6", .min = 1, .max = 10000, .arg = "R",
	  .help = "trials of every backend; 6 reach 95 %" },
	{ "passes", 0, RH_OPT_UINT, AT(passes), "1", .min = 1, .max = 1000000, .arg = "N",
	  .help = "replay the trace N times in each trial; first and later apart" },
	{ "for", 0, RH_OPT_TIME, AT(for_ns), NULL, .arg = "TIME",
	  .help = "as many passes as begin within TIME, at least two" },
	{ "baseline", 0, RH_OPT_TEXT, AT(baseline), NULL, .arg = "B",
	  .help = "backend that ratios refer to; default: libc if asked for, else the first" },
	{ "output", 'o', RH_OPT_TEXT, AT(output), NULL, .arg = "FILE",
	  .help = "write the result as JSON ('-' = standard output, instead of the table)" },
	{ "format", 0, RH_OPT_NAME, AT(format), "table", .names = format_names, .arg = "F",
	  .help = "output format: table, json, csv, md" },
	{ "touch", 0, RH_OPT_NAME, AT(replay.touch), "auto", .names = rh_touch_names, .arg = "HOW",
	  .help = "written part of a new block: auto (recorded where known, else full), none, "
		  "first (8 bytes), page, full, recorded" },
	{ "verify", 0, RH_OPT_FLAG, AT(replay.verify), NULL,
	  .help = "fill and check every block: contents, alignment, zeroes, overlap" },
	{ "pace", 0, RH_OPT_NAME, AT(replay.pace), "none", .names = pace_names, .arg = "P",
	  .help = "none: as fast as order allows; think: recorded gaps; open: recorded times" },
	{ "speed", 0, RH_OPT_REAL, AT(replay.speed), "1", .arg = "X", .given = AT(speed_given) + 1,
	  .help = "of --pace: 2 = twice as fast as recorded" },
	{ "hgrm", 0, RH_OPT_TEXT, AT(hgrm), NULL, .arg = "DIR",
	  .help = "write latency histograms into a directory, for HdrHistogram's plotters" },
	{ "pin", 0, RH_OPT_FLAG, AT(replay.pin), NULL, .help = "each lane stays on one CPU" },
	{ "quiet-check", 0, RH_OPT_FLAG, AT(quiet_check), NULL,
	  .help = "look at load, steal, clocks and huge pages for a second first" },
	{ "probes", 0, RH_OPT_TEXT, AT(probes), "time,memory", .arg = "P[,P...]",
	  .help = "probes to measure with, or 'all' (see reheap list probes)" },
	{ "counters", 0, RH_OPT_TEXT, AT(counters), NULL, .arg = "C",
	  .help = "source of cache misses: auto, papi, perf, callgrind, none" },
	{ "sample", 0, RH_OPT_TEXT, AT(sample), "32", .arg = "N",
	  .help = "latency: time one operation in N, at random, or 'every' one" },
	{ "stats", 0, RH_OPT_FLAG, AT(stats), NULL,
	  .help = "print what backends count about themselves" },
	{ "seed", 0, RH_OPT_UINT, AT(seed), "1", .arg = "N", .help = "of the order of trials" },
	{ "timeout", 0, RH_OPT_TIME, AT(timeout_ns), NULL, .arg = "TIME",
	  .help = "end a trial after this long; default 60 s and 2 us per event" },
	{ "memory-limit", 0, RH_OPT_SIZE, AT(replay.memory_limit), NULL, .arg = "SIZE",
	  .help = "writable memory a worker may map; default: no limit" },
	{ "segment", 0, RH_OPT_UINT, AT(segment_events), NULL, .arg = "EVENTS",
	  .help = "events between two readings of memory; default: about 64 readings" },
	{ "under", 0, RH_OPT_TEXT, AT(under), NULL, .arg = "COMMAND",
	  .help = "run every worker under a command, such as 'valgrind --tool=callgrind'" },
	{ "verbose", 'v', RH_OPT_FLAG, AT(verbose), NULL,
	  .help = "print every table: of each trace and number of lanes, and of each probe" },
	{ "quiet", 'q', RH_OPT_FLAG, AT(quiet), NULL, .help = "print nothing but errors" },
	{ .name = NULL }
};

static int check_opts(const struct replay_opts *o, struct rh_err *err)
{
	if (o->speed_given && !o->replay.pace)
		return rh_fail(err, RH_USAGE, "--speed belongs to --pace think or open");
	if (o->hgrm && !strstr(o->probes, "latency") && !strstr(o->probes, "all"))
		return rh_fail(err, RH_USAGE, "--hgrm writes what --probes latency measures");
	if (o->under && !o->under[strspn(o->under, " \t\n")])
		return rh_fail(err, RH_USAGE, "--under names no command");
	if (o->for_ns && o->passes > 1)
		return rh_fail(err, RH_USAGE,
			       "--passes and --for both say how many passes; give one of them");
	if (!(o->replay.speed > 0))
		return rh_fail(err, RH_USAGE, "--speed takes a number above 0");
	if (o->replay.verify && o->replay.touch == RH_TOUCH_RECORDED)
		return rh_fail(err, RH_USAGE,
			       "--verify writes every block and cannot keep "
			       "--touch recorded");
	return 0;
}

static void note_variable(struct rh_run_backend *backend, const char *entry)
{
	size_t name = strcspn(entry, "=");
	struct rh_pair *row;

	for (size_t i = 0; i < backend->env_count; i++)
		if (strncmp(backend->env[i].name, entry, name) == 0 && !backend->env[i].name[name])
			return;
	row = rh_grow(&backend->env, &backend->env_count, sizeof(*row));
	row->name = strndup(entry, name);
	row->value = strdup(entry + name + 1);
}

/* Variables that configure allocators; those that are set become part of the result. */
static void note_env(struct rh_result *result)
{
	static const char *const prefixes[] = {
		"GLIBC_TUNABLES", "MALLOC_",	 "JE_MALLOC_", "MIMALLOC_", "TCMALLOC_",
		"SCUDO_",	  "TBB_MALLOC_", "RPMALLOC_",  "SNMALLOC_",
	};
	extern char **environ;

	for (size_t b = 0; b < result->backend_count; b++) {
		struct rh_run_backend *backend = &result->backends[b];

		for (unsigned i = 0; i < backend->spec->variant.env_count; i++)
			note_variable(backend, backend->spec->variant.env[i]);
		for (char **at = environ; *at; at++)
			for (size_t p = 0; p < sizeof(prefixes) / sizeof(prefixes[0]); p++)
				if (strncmp(*at, prefixes[p], strlen(prefixes[p])) == 0 &&
				    strchr(*at, '='))
					note_variable(backend, *at);
	}
}

static int parse_sample(const char *text, uint64_t *sample, struct rh_err *err)
{
	struct rh_err why;

	*sample = 1;
	if (strcmp(text, "every") == 0)
		return 0;
	if (rh_parse_uint(text, sample, &why) < 0 || *sample == 0 || *sample > 1000000)
		return rh_fail(err, RH_USAGE,
			       "--sample takes a number from 1 to 1000000 or the "
			       "word every, not '%s'",
			       text);
	return 0;
}

static void fill_config(const struct replay_opts *o, int argc, char **argv,
			struct rh_run_config *config, struct rh_result *result)
{
	*config = (struct rh_run_config){
		.traces = argv,
		.trace_count = (uint32_t)argc,
		.backends = o->backends,
		.sweep = o->sweep,
		.lanes = o->lanes,
		.copies = o->copies,
		.baseline = o->baseline,
		.probes = o->probes,
		.counters = o->counters,
		.under = o->under,
		.reps = o->reps,
		.passes = o->passes,
		.for_ns = o->for_ns,
		.seed = o->seed,
		.timeout_ns = o->timeout_ns,
		.replay = o->replay,
		.quiet_check = o->quiet_check,
		.segment_events = o->segment_events,
		.stats = o->stats,
		.quiet = o->quiet,
	};
	*result = (struct rh_result){
		.reps = o->reps,
		.passes = o->passes,
		.for_ns = o->for_ns,
		.seed = o->seed,
		.memory_limit = o->replay.memory_limit,
		.touch = rh_touch_names[o->replay.touch],
		.pace = pace_names[o->replay.pace],
		.probes = o->probes,
		.verify = o->replay.verify,
		.floor = UINT32_MAX,
	};
	clock_gettime(CLOCK_REALTIME, &result->started);
}

/* What --quiet leaves: why the exit status is not 0. */
static void print_failures(const struct rh_result *result)
{
	for (size_t b = 0; b < result->backend_count; b++)
		if (result->backends[b].status != RH_STATUS_OK)
			rh_print(stderr, "reheap replay: %s: %s: %s\n", result->backends[b].text,
				 rh_status_names[result->backends[b].status],
				 result->backends[b].why);
}

static int print_all(const struct replay_opts *o, struct rh_result *result, struct rh_outfile *out,
		     struct rh_err *err)
{
	bool to_stdout = o->output && strcmp(o->output, "-") == 0;

	if (o->output &&
	    (rh_result_write_json(result, out->fd, to_stdout ? "standard output" : o->output, err) <
		     0 ||
	     rh_outfile_commit(out, err) < 0))
		return -1;
	if (o->quiet)
		print_failures(result);
	if (o->quiet || to_stdout)
		return 0;
	switch ((enum format)o->format) {
	case FORMAT_JSON:
		fflush(stdout);
		return rh_result_write_json(result, STDOUT_FILENO, "standard output", err);
	case FORMAT_CSV:
		rh_result_print_csv(result, stdout);
		return 0;
	default:
		rh_result_print_table(result, stdout,
				      &(struct rh_telling){ .markdown = o->format == FORMAT_MD,
							    .verbose = o->verbose,
							    .stats = o->stats });
		return 0;
	}
}

static int replay(const struct replay_opts *o, struct rh_run_config *config,
		  struct rh_result *result, struct rh_outfile *out, struct rh_err *err)
{
	rh_host_read(&result->host);
	rh_clock_calibrate(&result->clock, 0);
	if (rh_run_prepare(config, result, err) < 0)
		return -1;
	note_env(result);
	if (o->output &&
	    (rh_trace_spare(o->output, err) < 0 || rh_outfile_open(out, o->output, err) < 0))
		return -1;
	if (rh_run_trials(config, result, err) < 0)
		return -1;
	rh_result_measure(result);
	if (o->hgrm && rh_hgrm_write(result, o->hgrm, err) < 0)
		return -1;
	return print_all(o, result, out, err);
}

static enum rh_exit run_replay(const void *opaque, int argc, char **argv, struct rh_err *err)
{
	const struct replay_opts *o = opaque;
	struct rh_run_config config;
	struct rh_result result;
	struct rh_outfile out = { .fd = -1 };
	enum rh_exit code;

	if (check_opts(o, err) < 0)
		return err->code;
	rh_interrupts_watch();
	fill_config(o, argc, argv, &config, &result);
	if (parse_sample(o->sample, &config.replay.sample, err) < 0)
		return err->code;
	result.argc = rh_argv_read(&result.argv);
	code = replay(o, &config, &result, &out, err) < 0 ? err->code : result.exit;
	rh_outfile_abandon(&out);
	rh_run_config_free(&config);
	rh_result_free(&result);
	rh_interrupts_obey();
	return code;
}

const struct rh_command rh_cmd_replay = {
	.name = "replay",
	.operands = "T.rht... --backend B[,B...]",
	.summary = "replay traces through allocators and measure",
	.details =
		"Each backend gets fresh processes (workers), one per repetition, in an order "
		"that is shuffled for every repetition, so that backends are compared with trials "
		"that ran next to them. The worker checks which library really serves malloc. The "
		"null backend, which hands out no memory, is always included: it is the floor, "
		"the cost of the replay itself.\n"
		"\n"
		"A backend is named [LABEL=]HEAP[:KNOB=VALUE...][/STACK][@NAME=VALUE...]: a "
		"label, and environment variables that only its workers get. A value with a comma "
		"must be in double quotes. Braces make a sweep, one backend for each value. The "
		"same backend twice is measured twice, the second as NAME#2.\n"
		"\n"
		"Without --lanes a trace is replayed on as many threads as were recorded, folded "
		"onto one per CPU when there were more: more threads than CPUs mostly add noise "
		"from the scheduler. --lanes recorded keeps every thread.\n"
		"\n"
		"A worker that crashes, hangs or runs out of memory is a failed trial, with the "
		"operation it died at, and the run continues: exit status 1. A backend that is "
		"not installed is listed with the reason: exit status 6.\n"
		"\n"
		"Probes measure more than time (see reheap list probes). A probe that changes the "
		"loop or the process (latency times single operations, mutex preloads a library "
		"that counts) gets its own workers after the others of its repetition, so that "
		"times stay those of the plain loop. Every figure names its source: hw, sw, sim "
		"or own. A probe that is not available here is listed with the reason: exit "
		"status 6.\n"
		"\n"
		"With --passes or --for a worker replays the trace several times. The first pass "
		"meets a fresh heap (cold: page faults); the later ones show what a program sees "
		"that keeps running (steady). Nothing is drained between them: objects alive at "
		"the end of a pass live on, and each dies in the next pass where its successor is "
		"born. Probes with their own workers measure the first pass.\n"
		"\n"
		"One table is printed: for one trace its backends, for several the matrix of "
		"traces by backends; below it one line for each probe, and what could not be "
		"measured. -v prints all tables. On a terminal a difference that the intervals "
		"show is green (better than the baseline) or red (worse); --color=never or "
		"NO_COLOR in the environment turn that off. Ctrl-C saves and prints the finished "
		"trials, with a note; a second one ends at once.\n"
		"\n"
		"With --pace open each operation is due at its recorded time, and latency is also "
		"counted from then; with --pace think the recorded gap follows each operation. "
		"How late operations began is reported, and whether the replay could not keep "
		"pace.",
	.examples = "reheap replay app.rht --backend jemalloc,one=jemalloc@MALLOC_CONF=narenas:1\n"
		    "reheap replay app.rht --sweep 'tiered:gogc={50,100,200}'\n"
		    "reheap replay app.rht --backend libc,jemalloc,mimalloc,tcmalloc -o app.json\n"
		    "reheap replay app.rht --backend ./libmine.so,libc --lanes 1,2 --reps 9\n"
		    "reheap replay app.rht --backend libc,jemalloc --passes 5\n"
		    "reheap replay app.rht --backend ./libmine.so --verify",
	.opts = opts,
	.opts_bytes = sizeof(struct replay_opts),
	.operands_min = 1,
	.operands_max = -1,
	.run = run_replay,
};
