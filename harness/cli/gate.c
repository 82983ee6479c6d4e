/*
 * gate.c - reheap gate: is the candidate slower than the baseline?
 *
 *	1  words of the command line (and of a policy file) become a configuration
 *	2  ci/gate/run.c measures; --recompute reads a document instead; --self-test runs many
 *	3  verdict to the terminal, to files, to the exit code, to the last line
 *
 * The last line of standard output is for scripts; it is printed whenever the options are valid.
 */
#include <libgen.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "ci/gate/fleet.h"
#include "harness/cli/command.h"
#include "plots/figure/figure.h"
#include "traces/format/trace.h"
#include "ci/gate/extra.h"
#include "ci/gate/report.h"
#include "harness/run/invocation.h"
#include "alloc/base/progress.h"
#include "harness/result/result.h"
#include "alloc/base/printable.h"

static const char *const tier_names[] = { "wall", "deterministic", "both", NULL };
static const char *const inconclusive_names[] = { "exit-3", "pass", "fail", NULL };

#define AT(field) offsetof(struct rh_gate_opts, field)

static const struct rh_opt opts[] = {
	{ "baseline", 0, RH_OPT_TEXT, AT(baseline), NULL, .arg = "B",
	  .help = "backend, library, git:REVISION, or a stored baseline (FILE.json)" },
	{ "candidate", 0, RH_OPT_TEXT, AT(candidate), NULL, .arg = "B",
	  .help = "backend, library or git:REVISION that must not be slower" },
	{ "threshold", 't', RH_OPT_SHARE, AT(threshold), "5%", .min = 0.005, .max = 10,
	  .arg = "SHARE", .help = "a slow-down of this much is a regression" },
	{ "metrics", 0, RH_OPT_TEXT, AT(metrics), RH_GATE_METRICS_DEFAULT, .arg = "M[=SHARE],...",
	  .help = "what gates, with limits as listed above" },
	{ "tier", 0, RH_OPT_NAME, AT(tier), "wall", .names = tier_names, .arg = "T",
	  .help = "wall, deterministic (instructions, system calls), both" },
	{ "count-threshold", 0, RH_OPT_SHARE, AT(counts_threshold), "0.5%", .min = 0.0001,
	  .max = 10, .arg = "SHARE", .help = "deterministic: more instructions than this fail" },
	{ "events", 0, RH_OPT_UINT, AT(events_max), "1000000", .arg = "N",
	  .help = "deterministic: the first N events of a trace; 0 = all" },
	{ "lanes", 'l', RH_OPT_TEXT, AT(lanes), NULL, .arg = "N[,N...]",
	  .help = "fold onto N lanes; recorded; cpus: recorded, at most one a CPU (default); "
		  "many: at most four a CPU" },
	{ "touch", 0, RH_OPT_NAME, AT(touch), "auto", .names = rh_touch_names, .arg = "HOW",
	  .help = "what is written of a new block: auto (recorded where known, else full), none, "
		  "first (8 bytes), page, full, recorded" },
	{ "pairs", 0, RH_OPT_UINT, AT(pairs_max), "64", .min = 3, .max = 10000, .arg = "N",
	  .help = "pairs of processes after which the answer is inconclusive" },
	{ "pairs-min", 0, RH_OPT_UINT, AT(pairs_min), "3", .min = 3, .max = 10000, .arg = "N",
	  .help = "pairs before the first look" },
	{ "blocks", 0, RH_OPT_UINT, AT(blocks), "40", .min = 4, .max = 100000, .arg = "N",
	  .help = "blocks of four turns in a pair, at least" },
	{ "alpha", 0, RH_OPT_REAL, AT(alpha), "0.005", .min = 0.000001, .max = 0.1, .arg = "P",
	  .help = "error allowed in each look, each side" },
	{ "improve-check", 0, RH_OPT_SHARE, AT(improve), NULL, .min = 0.01, .max = 1,
	  .arg = "SHARE", .help = "an improvement beyond this is suspicious: exit 5" },
	{ "inconclusive", 0, RH_OPT_NAME, AT(inconclusive), "exit-3", .names = inconclusive_names,
	  .arg = "WHAT", .help = "exit code when undecided: exit-3, pass (0), fail (1)" },
	{ "policy", 'p', RH_OPT_TEXT, AT(policy), NULL, .arg = "FILE",
	  .help = "take traces, thresholds and budgets from a JSON file" },
	{ "build", 0, RH_OPT_TEXT, AT(build), NULL, .arg = "COMMAND",
	  .help = "git:REVISION: builds a revision, run by sh in its own checkout" },
	{ "artifact", 0, RH_OPT_TEXT, AT(artifact), NULL, .arg = "PATH",
	  .help = "git:REVISION: the library that --build makes" },
	{ "repo", 0, RH_OPT_TEXT, AT(repo), ".", .arg = "DIR",
	  .help = "git:REVISION: the repository" },
	{ "bisect", 0, RH_OPT_TEXT, AT(bisect), NULL, .arg = "GOOD BAD",
	  .help = "which commit between the two made it fail: git bisect, and --build "
		  "for each; also GOOD..BAD" },
	{ "save-baseline", 0, RH_OPT_TEXT, AT(save_baseline), NULL, .arg = "FILE",
	  .help = "measure the candidate against --reference and keep that for later" },
	{ "reference", 0, RH_OPT_TEXT, AT(reference), "bump", .arg = "B",
	  .help = "built-in backend that stored baselines refer to" },
	{ "recompute", 0, RH_OPT_TEXT, AT(recompute), NULL, .arg = "FILE",
	  .help = "judge the raw samples of a result again" },
	{ "self-test", 0, RH_OPT_FLAG, AT(self_test), NULL,
	  .help = "gate identical and slowed-down allocators here: rates of error, seconds" },
	{ "gates", 0, RH_OPT_UINT, AT(gates), "20", .max = 100000, .arg = "N",
	  .help = "--self-test: gates of each kind" },
	{ "gates-slower", 0, RH_OPT_UINT, AT(gates_slower), NULL, .max = 100000, .arg = "N",
	  .given = AT(gates_slower_given) + 1,
	  .help = "--self-test: gates of slow-downs, when not as many as --gates; 0 = none" },
	{ "slow-time", 0, RH_OPT_SHARE, AT(slow_time), NULL, .min = 0.005, .max = 10,
	  .arg = "SHARE",
	  .help = "--self-test: slow down to so much more time (the wait for it is "
		  "measured first); default: the threshold" },
	{ "slow-by", 0, RH_OPT_SHARE, AT(slow_by), NULL, .min = 0.001, .max = 10, .arg = "SHARE",
	  .help = "--self-test: slow down by so many more operations instead" },
	{ "slow-tail", 0, RH_OPT_SHARE, AT(slow_tail), NULL, .min = 0.01, .max = 100,
	  .arg = "SHARE",
	  .help = "--self-test: make the 99th percentile of frees so much longer instead (with "
		  "--metrics p99)" },
	{ "slow-memory", 0, RH_OPT_SHARE, AT(slow_memory), NULL, .min = 0.01, .max = 100,
	  .arg = "SHARE",
	  .help = "--self-test: take so much more memory instead (with --metrics rss)" },
	{ "keep", 0, RH_OPT_TEXT, AT(keep), NULL, .arg = "FILE",
	  .help = "--self-test: one line per gate; an interrupted run goes on from there" },
	{ "output", 'o', RH_OPT_TEXT, AT(output), NULL, .arg = "FILE",
	  .help = "write everything, raw samples too, as JSON ('-' = standard output)" },
	{ "junit", 0, RH_OPT_TEXT, AT(junit), NULL, .arg = "FILE", .help = "write JUnit XML" },
	{ "markdown", 0, RH_OPT_TEXT, AT(markdown), NULL, .arg = "FILE",
	  .help = "write Markdown (appends to $GITHUB_STEP_SUMMARY)" },
	{ "smaller-is-better", 0, RH_OPT_TEXT, AT(smaller), NULL, .arg = "FILE",
	  .help = "write what github-action-benchmark takes" },
	{ "bencher", 0, RH_OPT_TEXT, AT(bencher), NULL, .arg = "FILE",
	  .help = "write Bencher Metric Format" },
	{ "plot", 0, RH_OPT_TEXT, AT(plot), NULL, .arg = "DIR",
	  .help = "draw every block, the interval and the margin" },
	{ "style", 0, RH_OPT_TEXT, AT(style), NULL, .arg = "FILE",
	  .help = "gnuplot commands for that figure, put into gate.gp before it plots" },
	{ "annotate", 0, RH_OPT_FLAG, AT(annotate), NULL,
	  .help = "print GitHub annotations (also when GITHUB_ACTIONS=true)" },
	{ "seed", 0, RH_OPT_UINT, AT(seed), NULL, .max = 9007199254740992.0, .arg = "N",
	  .help = "of the order of turns; default: the time" },
	{ "timeout", 0, RH_OPT_TIME, AT(timeout_ns), "60s", .arg = "TIME",
	  .help = "end a worker that takes longer for one turn" },
	{ "no-cause", 0, RH_OPT_FLAG, AT(no_cause), NULL,
	  .help = "after a FAIL do not look where it comes from" },
	{ "no-verify", 0, RH_OPT_FLAG, AT(no_verify), NULL,
	  .help = "do not check contents, alignment and overlap before timing" },
	{ "memory", 0, RH_OPT_SIZE, AT(memory), NULL, .min = 1, .arg = "SIZE",
	  .help = "two live heaps may take this; beyond it one process at a time; default: half "
		  "of the machine's" },
	{ "resume", 0, RH_OPT_TEXT, AT(resume), NULL, .arg = "FILE",
	  .help = "keep samples after each pair; the same command goes on where it was cut" },
	{ "budget", 0, RH_OPT_TIME, AT(budget), NULL, .arg = "TIME",
	  .help = "finish within it: small and failing traces first, then what is undecided; "
		  "default: none" },
	{ "quiet-ci", 0, RH_OPT_FLAG, AT(quiet_ci), NULL,
	  .help = "print one line alone: the last one, with the worst trace and why" },
	{ "quiet", 'q', RH_OPT_FLAG, AT(quiet), NULL, .help = "print the last line only" },
	{ .name = NULL }
};

static uint64_t seed_of_time(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000003u + (uint64_t)ts.tv_nsec;
}

static int fill(const struct rh_gate_opts *o, int argc, char **argv, struct rh_gate *gate,
		struct rh_err *err)
{
	struct rh_gate_config *config = &gate->config;

	*config = (struct rh_gate_config){
		.traces = argv,
		.trace_count = (uint32_t)argc,
		.baseline = o->baseline,
		.candidate = o->candidate,
		.lanes = o->lanes,
		.threshold = o->threshold,
		.alpha = o->alpha,
		.improve = o->improve,
		.pairs_min = o->pairs_min,
		.pairs_max = o->pairs_max,
		.blocks = o->blocks,
		.seed = o->seed ? o->seed : seed_of_time(),
		.timeout_ns = o->timeout_ns,
		.counts_threshold = o->counts_threshold,
		.events_max = o->events_max,
		.touch = (enum rh_ctl_touch)o->touch,
		.tier = (enum rh_gate_tier)o->tier,
		.memory_bytes = o->memory,
		.resume = o->resume,
		.no_verify = o->no_verify,
		.quiet = o->quiet,
		.budget_time_ns = o->budget,
		.say_done = !o->quiet && !o->quiet_ci && !o->self_test &&
			    !(o->output && strcmp(o->output, "-") == 0),
		.inconclusive_passes = o->inconclusive == RH_INCONCLUSIVE_PASSES,
		.inconclusive_fails = o->inconclusive == RH_INCONCLUSIVE_FAILS,
	};
	if (config->pairs_max < config->pairs_min)
		return rh_fail(err, RH_USAGE, "--pairs %llu is less than --pairs-min %llu",
			       (unsigned long long)config->pairs_max,
			       (unsigned long long)config->pairs_min);
	clock_gettime(CLOCK_REALTIME, &gate->started);
	rh_host_read(&gate->host);
	if (rh_gate_read_metrics(config, o->metrics, err) < 0)
		return -1;
	for (int m = RH_GATE_LATENCY; m < RH_GATE_METRICS; m++)
		config->metric_gates[m] &=
			config->latency_asked || config->pairs_max >= RH_GATE_LATENCY_PAIRS;
	return 0;
}

/* All requested outputs besides the terminal. */
static int write_files(const struct rh_gate_opts *o, const struct rh_gate *gate, struct rh_err *err)
{
	if ((o->output && rh_gate_write_json(gate, o->output, err) < 0) ||
	    (o->junit && rh_gate_write_junit(gate, o->junit, err) < 0) ||
	    (o->markdown && rh_gate_write_markdown(gate, o->markdown, err) < 0) ||
	    (o->smaller && rh_gate_write_smaller(gate, o->smaller, err) < 0) ||
	    (o->bencher && rh_gate_write_bencher(gate, o->bencher, err) < 0) ||
	    (o->plot && rh_gate_plot(gate, o->plot, o->style, err) < 0))
		return -1;
	return 0;
}

static int print_all(const struct rh_gate_opts *o, const struct rh_gate *gate, struct rh_err *err)
{
	const char *actions = getenv("GITHUB_ACTIONS");
	bool to_stdout = o->output && strcmp(o->output, "-") == 0;

	if (!o->quiet && !o->quiet_ci && !to_stdout)
		rh_gate_print(gate, stdout);
	if (o->quiet_ci)
		return write_files(o, gate, err);
	if (o->annotate || (actions && strcmp(actions, "true") == 0))
		rh_gate_annotate(gate, to_stdout ? stderr : stdout);
	fflush(stdout);
	return write_files(o, gate, err);
}

/* A verdict that could not be written must not look like a pass. */
static enum rh_exit finish(const struct rh_gate_opts *o, struct rh_gate *gate, struct rh_err *err)
{
	bool to_stdout = o->output && strcmp(o->output, "-") == 0;

	if (print_all(o, gate, err) < 0 && (gate->exit == RH_OK || gate->exit == RH_INCONCLUSIVE)) {
		gate->exit = RH_INVALID;
		gate->verdict = RH_GATE_INVALID;
	}
	if (o->quiet_ci)
		rh_gate_print_one_line(gate, to_stdout ? stderr : stdout);
	else
		rh_gate_print_line(gate, to_stdout ? stderr : stdout);
	return gate->exit;
}

/* Before measuring: checks that FILE can be created. */
static int check_place(const char *path, const char *option, struct rh_err *err)
{
	char copy[4096];

	if (!path || strcmp(path, "-") == 0)
		return 0;
	if (!*path || snprintf(copy, sizeof(copy), "%s", path) >= (int)sizeof(copy))
		return rh_fail(err, RH_USAGE, "--%s: '%.60s' is no path", option, path);
	if (access(dirname(copy), W_OK | X_OK) == 0)
		return 0;
	return rh_fail_errno(err, RH_USAGE, "--%s: %s cannot be written", option, path);
}

static int check_places(const struct rh_gate_opts *o, struct rh_err *err)
{
	const struct {
		const char *path, *option;
	} places[] = {
		{ o->output, "output" },
		{ o->junit, "junit" },
		{ o->markdown, "markdown" },
		{ o->smaller, "smaller-is-better" },
		{ o->bencher, "bencher" },
		{ o->plot, "plot" },
		{ o->resume, "resume" },
		{ o->keep, "keep" },
		{ o->save_baseline, "save-baseline" },
	};

	if (rh_style_check(o->style, o->plot, err) < 0)
		return -1;
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
		if (check_place(places[i].path, places[i].option, err) < 0 ||
		    (places[i].path && rh_trace_spare(places[i].path, err) < 0))
			return -1;
	return 0;
}

static int measure(const struct rh_gate_opts *o, struct rh_gate *gate, struct rh_err *err)
{
	int result;

	if (!gate->config.trace_count)
		return rh_fail(err, RH_USAGE, "name a trace, or --policy FILE");
	if (!gate->config.candidate || (!gate->config.baseline && !o->save_baseline))
		return rh_fail(err, RH_USAGE, "name both --baseline and --candidate");
	result = rh_gate_revisions(o, gate, err);
	rh_clock_calibrate(&gate->clock, 0);
	if (result == 0 && rh_gate_is_stored(o))
		result = rh_gate_stored(o, gate, err);
	else if (result == 0)
		result = rh_gate_prepare(gate, err) < 0 ? -1 : rh_gate_run(gate, err);
	if (result == 0 && !o->no_cause)
		rh_gate_find_causes(gate);
	if (result == 0 && o->bisect && gate->verdict == RH_GATE_FAIL)
		result = rh_gate_bisect(o, gate, err);
	rh_gate_revisions_end();
	return result;
}

/* An error before the verdict still prints the line that scripts read and writes the files that a
 * CI system waits for. */
static enum rh_exit give_up(const struct rh_gate_opts *o, struct rh_gate *gate,
			    const struct rh_err *err)
{
	bool usage = err->code == RH_USAGE || err->code == RH_ABSENT || err->code == RH_NO_INPUT;
	bool none = err->code == RH_NO_BASELINE;
	struct rh_err ignored;

	gate->exit = usage ? RH_USAGE : none ? RH_NO_BASELINE : RH_INVALID;
	gate->verdict = none ? RH_GATE_NO_BASELINE : RH_GATE_INVALID;
	snprintf(gate->why, sizeof(gate->why), "%s", err->text);
	/* That one of them is a trace may be the error. */
	if (o->junit && rh_trace_spare(o->junit, &ignored) == 0)
		rh_gate_write_junit(gate, o->junit, &ignored);
	if (o->markdown && rh_trace_spare(o->markdown, &ignored) == 0)
		rh_gate_write_markdown(gate, o->markdown, &ignored);
	rh_print(stdout, "REHEAP-GATE verdict=%s ratio=nan lo=nan hi=nan scenarios=%zu exit=%d",
		 usage ? "usage" : rh_gate_verdict_name(gate->verdict), gate->scenario_count,
		 gate->exit);
	if (o->quiet_ci)
		rh_print(stdout, " why=\"%s\"", err->text);
	putchar('\n');
	return gate->exit;
}

/* The folder of a matrix instead of traces: nothing is measured, its cells are judged. */
static enum rh_exit gate_matrix(const char *dir, const struct rh_gate_config *config,
				struct rh_err *err)
{
	enum rh_exit code = RH_OK;

	return rh_fleet_gate(dir, config, stdout, &code, err) < 0 ? err->code : code;
}

static enum rh_exit run_gate(const void *opaque, int argc, char **argv, struct rh_err *err)
{
	struct rh_gate_opts o = *(const struct rh_gate_opts *)opaque;
	struct rh_gate gate = { 0 };
	struct rh_gate_documents documents = { 0 };
	enum rh_exit code;
	int result;

	if (!o.gates_slower_given)
		o.gates_slower = o.gates;
	rh_interrupts_watch();
	gate.argc = rh_argv_read(&gate.argv);
	result = check_places(&o, err) < 0 ? -1 : fill(&o, argc, argv, &gate, err);
	if (result == 0 && o.bisect)
		result = rh_gate_bisect_sides(&o, &gate.config, err);
	if (result == 0 && o.policy)
		result = rh_gate_read_policy(&o, &gate.config, &documents, err);
	if (result == 0 && argc == 1 && rh_folder_is(argv[0])) {
		code = gate_matrix(argv[0], &gate.config, err);
		rh_gate_free(&gate);
		rh_gate_documents_free(&documents);
		return code;
	}
	if (result == 0 && o.recompute)
		result = rh_gate_recompute(&o, &gate, &documents, err);
	else if (result == 0 && o.self_test)
		result = rh_gate_self_test(&o, &gate, err);
	else if (result == 0)
		result = measure(&o, &gate, err);
	code = result < 0		     ? give_up(&o, &gate, err)
	       : o.self_test && !o.recompute ? gate.exit
					     : finish(&o, &gate, err);
	rh_gate_free(&gate);
	rh_gate_documents_free(&documents);
	if (rh_interrupted && result < 0) {
		rh_progress("%s", "");
		rh_print(stderr, "reheap gate: %s\n", err->text);
	}
	rh_interrupts_obey();
	return code;
}

const struct rh_command rh_cmd_gate = {
	.name = "gate",
	.operands = "T.rht... --baseline B --candidate B | MATRIX [--policy FILE]",
	.summary = "pass or fail a candidate allocator against a baseline",
	.details =
		"Two live processes, one with each allocator, take turns on the same stretches "
		"of the same trace, in random order, with an untimed lead before "
		"every timed turn. Drift of the machine hits both alike and cancels. One log "
		"ratio per block of four turns, pooled over fresh pairs of processes, gives an "
		"interval; pairs are added until it is clear of half the threshold.\n"
		"\n"
		"Exit status: 0 pass, 1 regression, 2 usage, 3 inconclusive, 4 no comparable "
		"baseline (or a trace is missing), 5 the measurement is not valid (a worker died, "
		"hung, did less work, a trace is cut off). Unless its options make no "
		"sense, the last line of standard output says the same: REHEAP-GATE verdict=... "
		"ratio=... lo=... hi=... Do not call it through make, which turns every failure "
		"into 2.\n"
		"\n"
		"Limits when none is given (--metrics NAME=SHARE, a policy's \"metrics\"):\n"
		"\n"
		"  wall     5 %   gates   wall time of a turn (--threshold; cpu and median, too)\n"
		"  cpu      5 %           CPU time of all lanes\n"
		"  median   5 %           median batch: the fast path\n"
		"  batch-p99 15 %         99th percentile batch: the slow path, not single "
		"operations\n"
		"  part    30 %   gates   an eighth of the trace, or of the turns, that became "
		"slower most\n"
		"  rss     10 %   gates   peak resident memory; below 2 MiB more is nothing\n"
		"  faults  25 %   gates   minor page faults; below 256 more is nothing\n"
		"  startup 25 %   gates   start of the process to the open heap; below 20 ms more "
		"is nothing\n"
		"  image   25 %   gates   resident at start; below 4 MiB more is nothing\n"
		"  exit    25 %   gates   last block freed to the end of the process; below 20 ms "
		"more is nothing\n"
		"  process 25 %   gates   CPU time of the process, all its threads; below 50 ms "
		"more is nothing\n"
		"  background 5 % gates   CPU time of threads that are no lanes, of the time the "
		"process lives;\n"
		"                         5 ms more is little\n"
		"  files   25 %   gates   open files at the end of the last pass; up to 8 more are "
		"nothing\n"
		"  threads 25 %   gates   threads at that time; up to 4 more are nothing\n"
		"  maps   100 %   gates   mappings at that time; up to 256 more are nothing\n"
		"  moved   50 %   gates   bytes of blocks that a resize put elsewhere; up to 4 MiB "
		"more are\n"
		"                         nothing\n"
		"  children 25 %  gates   processes it started, also those that have ended\n"
		"  changes 25 %   gates   attributes of its process that it changed: streams, "
		"signals, limits,\n"
		"                         priority, CPUs, timers, environment, folder\n"
		"  p50     10 %           single operations, in a pass of its own: --metrics "
		"p99 is "
		"alloc.p99,\n"
		"  p99     15 %   gates   free.p99, remote.p99 (another lane's block) and "
		"resize.p99; the same\n"
		"  p99.9  100 %   gates   for p50 and p99.9; below 30 ns more is little\n"
		"  class  100 %   gates   the class of sizes (an octave, of one kind) that became "
		"slower most,\n"
		"                         by its median or p90; below 30 ns or a thousandth of "
		"all time is nothing\n"
		"\n"
		"Shares are \"5%\" or 0.05; a bare number above 1 is refused. --tier "
		"deterministic: "
		"instructions 0.5 % (--count-threshold), LOCKed operations and L1D misses 3 %, "
		"memory system calls 3 % and 16, page faults 2 % and 64.\n"
		"\n"
		"What fails is surely beyond half the limit, so that the limit itself is found; of "
		"startup, exit and process, which wait for the scheduler, it is the limit. Of the "
		"first four lines an interval says so: under 16 pairs that of the median block at "
		"--alpha 0.005, 0.5 % a pair added in squares, or, where pairs differ by more than "
		"a sixth of the limit, of the pairs by the signed-rank test; from 16 on that at "
		"six times alpha. From 11 on a failure by pairs excludes at a tenth of alpha that "
		"both are the same. Alpha of failures is divided by the traces, lanes and "
		"metrics. Of the others "
		"a sign test over pairs, beyond or not: a failure takes 7 of 7 or 10 of 11 (all of "
		"fewer, where --pairs allows no more), a pass 3 of which none is, or 6 with "
		"one (of "
		"faults, of the process and its counts most of 3 within). After 64 "
		"pairs (--pairs) it is inconclusive; latencies that are undecided after 24 are "
		"printed and do not gate, unless --metrics named them.\n"
		"\n"
		"A policy is an object with \"schema\": \"reheap.policy/1\" and, as they are "
		"wanted, "
		"traces (paths from its folder), lanes (\"1,cpus,many\"), threshold, metrics "
		"({\"wall\": \"5%\"}: these gate and no others), tier, counts (0.5%), "
		"improve-check "
		"(none), budget ({\"ns-per-event\": 40}: an absolute limit; none), inconclusive "
		"(exit-3). A word that it does not know is an error.\n"
		"\n"
		"A stored baseline (--save-baseline, then --baseline FILE.json) is refused "
		"on another "
		"CPU, libc, kernel or version (4), and wants --threshold 10% or more; none "
		"is stored "
		"where the load is above the CPUs, of a tree with uncommitted changes, or "
		"where the "
		"interval is wider than half the threshold (5).\n"
		"\n"
		"Each worker's whole life counts: an exit other than 0, a signal or _exit in a "
		"destructor and a process left behind make the run invalid (5).\n"
		"\n"
		"The deterministic tier counts instructions, LOCKed operations and simulated "
		"cache misses under valgrind, and memory system calls and page faults under a "
		"tracer: the same build gives the same counts, so that 1 % is always found; but "
		"it does not see time spent waiting.\n"
		"\n"
		"A FAIL ends with where it comes from, for each family of metrics that failed: of "
		"time by kind and size of operation, by function (callgrind) and by class of lock; "
		"of memory by rounding and the rest; of start, end, CPU time and what is left "
		"behind by what the pairs measured. For time and memory both sides are replayed "
		"once more, after the verdict; --no-cause leaves it out.\n"
		"\n"
		"Where two heaps are more than half of the machine's memory (--memory), one "
		"process is alive at a time, and times are judged at 15 % at best.\n"
		"\n"
		"The folder of a matrix is judged, not measured: families of traces, each by "
		"backend, class of machines and metric (wall, cpu, rss, faults; instructions where "
		"they were counted), by a sign test over the repetitions of its cells. False "
		"alarms "
		"of all families together are 1 % at most; the cells of a family that fails are "
		"tested within its share.\n"
		"\n"
		"--self-test gates identical and slowed-down allocators on this machine and "
		"prints how often the verdict was wrong. The slow-down is the threshold in time: "
		"how "
		"long operations wait for it here is measured first, and printed.",
	.examples =
		"reheap gate app.rht --baseline ./old.so --candidate ./new.so\n"
		"reheap gate app.rht --baseline jemalloc --candidate slow:5%:jemalloc --tier both\n"
		"reheap gate app.rht --baseline git:HEAD~1 --candidate git:HEAD \\\n"
		"    --build 'make -C alloc' --artifact alloc/libmine.so\n"
		"reheap gate --policy ci/policy.json --baseline ./old.so --candidate ./new.so\n"
		"reheap gate app.rht --bisect v1.4 HEAD --build 'make -C alloc' \\\n"
		"    --artifact alloc/libmine.so --tier deterministic\n"
		"reheap gate m/ --policy ci/policy.json\n"
		"reheap gate app.rht --self-test",
	.opts = opts,
	.opts_bytes = sizeof(struct rh_gate_opts),
	.operands_min = 0,
	.operands_max = -1,
	.run = run_gate,
};
