/*
 * validate.c - reheap validate: predicted next to observed, as a table.
 */
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "alloc/base/os.h"
#include "alloc/base/printable.h"
#include "alloc/base/progress.h"
#include "harness/cli/command.h"
#include "harness/result/worth.h"
#include "harness/run/invocation.h"
#include "harness/run/validate.h"

struct validate_opts {
	const char *backends, *baseline, *driver, *trace, *output;
	uint64_t reps, seed, timeout_ns, budget_ns;
	bool quiet, instructions, json, verbose;
};

#define CHILDREN_SHARE 0.02 /* of the CPU time: worth a word */
#define AT(field)      offsetof(struct validate_opts, field)

static const struct rh_opt opts[] = {
	{ "backend", 'b', RH_OPT_TEXT, AT(backends), NULL, .arg = "B[,B...]",
	  .help = "allocators to compare; default: libc and every installed one" },
	{ "reps", 'r', RH_OPT_UINT, AT(reps), "6", .min = 1, .max = 1000, .arg = "R",
	  .help = "rounds of the program and repetitions of the replay; 6 reach 95 %" },
	{ "budget", 0, RH_OPT_TIME, AT(budget_ns), "90s", .arg = "TIME",
	  .help = "where 6 rounds or more bring no verdict on CPU time, go on to 48, within this "
		  "time for all; 0: never" },
	{ "baseline", 0, RH_OPT_TEXT, AT(baseline), NULL, .arg = "B",
	  .help = "what changes are against; default: libc if it is there, else the first" },
	{ "driver", 0, RH_OPT_TEXT, AT(driver), NULL, .arg = "COMMAND",
	  .help = "for a server: sh runs this beside it; when it ends, so does the server" },
	{ "trace", 0, RH_OPT_TEXT, AT(trace), NULL, .arg = "T.rht",
	  .help = "keep the recording there" },
	{ "output", 'o', RH_OPT_TEXT, AT(output), NULL, .arg = "R.json",
	  .help = "write the result there: that of the replay, with the observations" },
	{ "json", 0, RH_OPT_FLAG, AT(json), NULL, .help = "print it instead of tables" },
	{ "instructions", 'i', RH_OPT_FLAG, AT(instructions), NULL,
	  .help = "count instructions, too: program and replay once more under callgrind (slow)" },
	{ "verbose", 'v', RH_OPT_FLAG, AT(verbose), NULL,
	  .help = "user and kernel time apart, and page faults" },
	{ "timeout", 0, RH_OPT_TIME, AT(timeout_ns), "10m", .arg = "TIME",
	  .help = "end a run of the program after this long" },
	{ "seed", 0, RH_OPT_UINT, AT(seed), "1", .arg = "N", .help = "of the order of runs" },
	{ "quiet", 'q', RH_OPT_FLAG, AT(quiet), NULL, .help = "no progress" },
	{ .name = NULL }
};

/* ---- table ---- */

/* How a field is shown: as a total, or as rates when two runs differ. */
struct shown {
	const char *title, *unit;
	double scale;
};

static struct shown shown_of(const struct rh_validate *v, enum rh_validate_field field)
{
	const struct rh_validate_what *what = &rh_validate_whats[field];

	if (!v->nondeterministic || !what->rate)
		return (struct shown){ what->title, what->shown, what->scale };
	return (struct shown){ what->title, what->rate, what->rate_scale / v->calls_mean };
}

/* "-12.3 [-15.0, -9.8]"; counts that repeat have no bracket. */
static void interval_text(const struct rh_interval *x, double scale, char *text, size_t bytes)
{
	if (x->n == 0)
		snprintf(text, bytes, "-");
	else if (x->level >= 1 && (x->hi - x->lo) * scale < 0.1)
		snprintf(text, bytes, "%+.1f", x->median * scale);
	else
		snprintf(text, bytes, "%+.1f [%+.1f, %+.1f]", x->median * scale, x->lo * scale,
			 x->hi * scale);
}

static void verdict_text(const struct rh_validate_row *row, enum rh_validate_field field,
			 const struct shown *shown, char *text, size_t bytes)
{
	const struct rh_truth *truth = &row->truth[field];
	const char *why = row->why[field];
	bool sign = truth->predicted.median * truth->observed.median < 0 &&
		    (truth->observed.lo > 0 || truth->observed.hi < 0);

	if (truth->verdict == RH_TRUTH_OFF)
		snprintf(text, bytes, "off by %+.1f %s%s%s%s", truth->off * shown->scale,
			 shown->unit, sign ? ", wrong sign" : "", why[0] ? ": " : "", why);
	else
		snprintf(text, bytes, "%s%s%s", rh_truth_names[truth->verdict], why[0] ? ": " : "",
			 why);
}

static int name_width(const struct rh_validate *v)
{
	int width = 7;

	for (size_t b = 0; b < v->row_count; b++)
		if ((int)strlen(v->rows[b].name) > width)
			width = (int)strlen(v->rows[b].name);
	return width;
}

static void print_field(const struct rh_validate *v, enum rh_validate_field field)
{
	const struct shown shown = shown_of(v, field);
	int width = name_width(v);

	rh_print(stdout, "\nchange of %s against %s, %s\n", shown.title, v->rows[v->base].name,
		 shown.unit);
	rh_print(stdout, "%-*s  %26s  %26s  %s\n", width, "backend", "predicted", "observed",
		 "verdict");
	for (size_t b = 0; b < v->row_count; b++) {
		const struct rh_truth *truth = &v->rows[b].truth[field];
		char predicted[80], observed[80], verdict[240];

		if (b == v->base)
			continue;
		interval_text(&truth->predicted, shown.scale, predicted, sizeof(predicted));
		interval_text(&truth->observed, shown.scale, observed, sizeof(observed));
		verdict_text(&v->rows[b], field, &shown, verdict, sizeof(verdict));
		rh_print(stdout, "%-*s  %26s  %26s  %s\n", width, v->rows[b].name, predicted,
			 observed, verdict);
	}
	if (field == RH_VALIDATE_HEAP)
		rh_print(stdout, "(the heap's own, by its replay: %.1f %s)\n",
			 v->heap_instructions * shown.scale, shown.unit);
}

/* Medians over the rounds, with user and kernel time apart. */
static void print_seen(const struct rh_validate *v, uint64_t reps)
{
	int width = name_width(v);

	rh_print(stdout, "\nobserved, medians of %llu rounds; loading is that of /bin/true\n",
		 (unsigned long long)reps);
	rh_print(stdout, "%-*s  %8s  %12s  %9s  %8s  %8s  %8s  %11s\n", width, "backend", "user ms",
		 "in the heap", "kernel ms", "wall ms", "peak MiB", "faults", "loading ms");
	for (size_t b = 0; b < v->row_count; b++) {
		const struct rh_validate_row *r = &v->rows[b];
		char inside[24] = "-";
#define MEDIAN(what) rh_stat_interval(r->what, reps, 0.95).median
		if (isfinite(r->inside[0]))
			snprintf(inside, sizeof(inside), "%.1f", 1e3 * MEDIAN(inside));
		rh_print(stdout, "%-*s  %8.1f  %12s  %9.1f  %8.1f  %8.1f  %8.0f  %11.1f\n", width,
			 r->name, 1e3 * MEDIAN(user), inside, 1e3 * MEDIAN(system),
			 1e3 * MEDIAN(wall), MEDIAN(rss) / (1 << 20), MEDIAN(faults),
			 1e3 * MEDIAN(load_cpu));
	}
}

static bool is_asked(const struct rh_validate *v, const struct validate_opts *o,
		     enum rh_validate_field field)
{
	if (field == RH_VALIDATE_CODE)
		return isfinite(v->inside_s);
	if (field == RH_VALIDATE_FUTEX)
		return v->paced && !v->futex_why[0];
	if (rh_validate_contends(field))
		return v->paced;
	return (field != RH_VALIDATE_INSTRUCTIONS && field != RH_VALIDATE_HEAP) || o->instructions;
}

static void print_samples(const struct rh_validate *v)
{
	if (!isfinite(v->inside_s))
		return;
	rh_print(stdout, "by samples, %.0f ms are in the allocator's own code", 1e3 * v->inside_s);
	if (isfinite(v->ratio))
		rh_print(stdout, ", %.2f times as long as in the replay: ", v->ratio);
	if (isfinite(v->ratio) && v->base_scale == v->scale)
		rh_print(stdout, "its times of calls are scaled by %.2f, the root of that",
			 v->scale);
	else if (isfinite(v->ratio))
		rh_print(stdout, "of its times of calls only the baseline's are scaled, by that");
	rh_print(stdout, "\n");
}

static void print_table(const struct rh_validate *v, const struct validate_opts *o, char **argv)
{
	double share = rh_validate_share(v);
	size_t words = 0;

	for (; words < 8 && argv[words]; words++)
		rh_print(stdout, "%s%s", words ? " " : "", argv[words]);
	rh_print(stdout,
		 "%s\n%.0f ms of CPU, %.1f MiB at most, %llu heap calls under %s; the heap is "
		 "about %.0f %% of the CPU time by its replay\n"
		 "(the other %.0f %% is the program's own: what an allocator does to its loads is "
		 "observed, not predicted)\n",
		 argv[words] ? " ..." : "", 1e3 * v->cpu_s, v->rss_bytes / (1 << 20),
		 (unsigned long long)v->events, v->rows[v->base].name, 100 * share,
		 100 * (1 - share));
	print_samples(v);
	for (int f = 0; f < (o->verbose ? RH_VALIDATE_FIELDS : RH_VALIDATE_JUDGED); f++)
		if (is_asked(v, o, (enum rh_validate_field)f))
			print_field(v, (enum rh_validate_field)f);
	print_seen(v, v->rounds);
	rh_print(stdout,
		 "\nBrackets: interval of the change (%.1f %%) by what rounds scatter; no error "
		 "of the model is in it.\npredicted: within a third of what is observed, or within "
		 "%.0f ms and %.1f MiB, below which\na change "
		 "is of no interest here. Loading a library is taken off.\n",
		 100 * v->rows[v->base].truth[RH_VALIDATE_RSS].observed.level,
		 1e3 * v->rows[v->base].truth[RH_VALIDATE_CPU].slack,
		 v->rows[v->base].truth[RH_VALIDATE_RSS].slack / (1 << 20));
	if (share < RH_WORTH_LEAST)
		rh_print(stdout,
			 "note: the heap is %.1f %% of the CPU time: how large a change of the "
			 "whole is cannot be judged by its own time\n",
			 100 * share);
	if (v->sample_why[0])
		rh_print(stdout,
			 "note: how much of the user time the allocator's code takes is not "
			 "sampled: %s\n",
			 v->sample_why);
	if (v->others_s > CHILDREN_SHARE * v->cpu_s)
		rh_print(stdout,
			 "note: %.0f of the %.0f ms are of processes that the program starts: they "
			 "are observed, and their heaps are not replayed\n",
			 1e3 * v->others_s, 1e3 * v->cpu_s);
	if (v->paced)
		rh_print(stdout,
			 "note: %u threads call the heap: time asleep and switches are predicted "
			 "by a replay that keeps the recorded gaps\n",
			 v->threads);
	if (v->paced && v->futex_why[0])
		rh_print(stdout, "note: futex calls are not counted: %s\n", v->futex_why);
	if (v->linked[0])
		rh_print(stdout,
			 "note: the program links %s: libc stands in front of it wherever libc is "
			 "meant, LD_PRELOAD=libc.so.6\n",
			 v->linked);
	if (v->nondeterministic)
		rh_print(stdout,
			 "note: two recordings made %llu and %llu heap calls: the program does "
			 "not do the same twice. Compared by\nrates: predictions are scaled to "
			 "the mean of both; part of what is observed is its own scatter\n",
			 (unsigned long long)v->events, (unsigned long long)v->events_again);
	if (o->reps < 6)
		rh_print(stdout, "note: %llu round%s no verdict at 95 %% (--reps 6 does)\n",
			 (unsigned long long)o->reps, o->reps == 1 ? " gives" : "s give");
	for (size_t i = 0; i < v->result.warning_count; i++)
		rh_print(stdout, "note: replay: %s\n", v->result.warnings[i]);
}

/* ---- the command ---- */

static bool any_off(const struct rh_validate *v)
{
	for (size_t b = 0; b < v->row_count; b++)
		for (int f = 0; f < RH_VALIDATE_JUDGED; f++)
			if (v->rows[b].truth[f].verdict == RH_TRUTH_OFF)
				return true;
	return false;
}

static bool is_file(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

static int validate(const struct validate_opts *o, const char *trace, char **argv,
		    struct rh_validate *v, struct rh_err *err)
{
	char *list = o->backends ? strdup(o->backends) : rh_validate_backends();
	struct rh_validate_config config = { .argv = argv,
					     .driver = o->driver,
					     .backends = list ? list : "libc",
					     .baseline = o->baseline,
					     .trace = trace,
					     .reps = o->reps,
					     .seed = o->seed,
					     .timeout_ns = o->timeout_ns,
					     .budget_ns = o->budget_ns,
					     .quiet = o->quiet,
					     .instructions = o->instructions,
					     .input = is_file(STDIN_FILENO) };
	struct rh_outfile out = { .fd = -1 };
	int result = o->output ? rh_outfile_open(&out, o->output, err) : 0;

	if (result == 0)
		result = rh_validate_run(&config, v, err);
	rh_progress("%s", "");
	if (result == 0)
		v->result.exit = any_off(v) ? RH_FAILED : v->result.exit;
	if (result == 0 && o->output)
		result = rh_result_write_json(&v->result, out.fd, o->output, err) < 0 ||
					 rh_outfile_commit(&out, err) < 0
				 ? -1
				 : 0;
	if (result == 0 && o->json)
		result = rh_result_write_json(&v->result, STDOUT_FILENO, "standard output", err);
	else if (result == 0)
		print_table(v, o, argv);
	rh_outfile_abandon(&out);
	free(list);
	return result;
}

/* A program that becomes another one has a trace of each, and a recording that was cut off leaves
 * its capture: all go. */
static void clear_away(const char *dir)
{
	DIR *listed = opendir(dir);
	const struct dirent *entry;

	while (listed && (entry = readdir(listed)))
		if (entry->d_name[0] != '.')
			unlinkat(dirfd(listed), entry->d_name, 0);
	if (listed)
		closedir(listed);
	rmdir(dir);
}

static enum rh_exit run_validate(const void *opaque, int argc, char **argv, struct rh_err *err)
{
	const struct validate_opts *o = opaque;
	const char *base = getenv("TMPDIR");
	char dir[4000], trace[4096];
	struct rh_validate v = { .row_count = 0 };
	enum rh_exit code;

	(void)argc;
	snprintf(dir, sizeof(dir), "%s/reheap-validate-XXXXXX", base && *base ? base : "/tmp");
	if (!mkdtemp(dir))
		return rh_fail_errno(err, RH_CANT_CREATE, "%s", dir), RH_CANT_CREATE;
	snprintf(trace, sizeof(trace), "%s/program.rht", dir);
	rh_interrupts_watch();
	code = validate(o, o->trace ? o->trace : trace, argv, &v, err) < 0 ? err->code
	       : any_off(&v)						   ? RH_FAILED
									   : RH_OK;
	clear_away(dir);
	rh_validate_free(&v);
	rh_interrupts_obey();
	return code;
}

const struct rh_command rh_cmd_validate = {
	.name = "validate",
	.operands = "[--] PROGRAM ARGS...",
	.summary = "compare the real program under each allocator with its replay",
	.details =
		"Records the program, runs it for real with each allocator preloaded, in rounds "
		"of shuffled order, subtracts the cost of loading the library, replays the "
		"recording, and prints the predicted next to the observed changes: predicted, off "
		"by so much, or cannot tell. Exit status 1 when a prediction is off.\n"
		"\n"
		"The program must end by itself, well, and do the same work each time. A file "
		"that is reheap's standard input is the program's, from its start, in each run; "
		"otherwise its input is empty. Its output is discarded. A server gets a "
		"--driver: a shell command that waits for the server, loads it, and ends; then the "
		"server gets SIGTERM.\n"
		"\n"
		"CPU time includes the program and the children it waited for, peak memory is "
		"that of the largest of them. The replay covers only the heap: the effect of an "
		"allocator on the program's own loads (caches, TLB) is observed but not "
		"predicted. Both sides are sampled: user time in the allocator's own code is "
		"predicted and observed alike, and where the rest of the program changed, its "
		"CPU time has no verdict but this figure.\n"
		"\n"
		"Where several threads call the heap, contention is compared, too: the time that "
		"threads sleep, how often they go to sleep, and futex calls where the kernel's "
		"tracepoint may be used. These are predicted by another replay, with a thread for "
		"each of the program's and the recorded gaps between calls.\n"
		"\n"
		"A program whose two recordings differ by more than 1 % in heap calls is compared "
		"by rates, per heap call. reheap plot draws the output of -o: predicted against "
		"observed, and everything else in a replay's result.\n"
		"\n"
		"Refused, with the reason: programs under 50 ms of CPU, programs that ignore "
		"preloaded libraries, backends that cannot be put under a program (tiered, null, "
		"...).",
	.examples =
		"reheap validate -o perl.json -- perl -e '$h{$_} = \"x\" x 50 for 1 .. 200000'\n"
		"reheap validate --backend libc,./libmine.so --trace job.rht -- ./job\n"
		"reheap validate --driver 'until redis-cli ping; do sleep 0.1; done; "
		"redis-benchmark -q -n 100000 -t set,get' -- redis-server --save ''",
	.opts = opts,
	.opts_bytes = sizeof(struct validate_opts),
	.stop_early = true,
	.operands_min = 1,
	.operands_max = -1,
	.run = run_validate,
};
