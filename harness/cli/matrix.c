/*
 * matrix.c - reheap matrix: replays every trace of a plan on every backend of it, cell by cell.
 *
 *	1  the plan is read and laid out: cells, named by content (harness/matrix/cells.h)
 *	2  DIR/matrix.json says which cells there are, files in DIR/cells which are done
 *	3  missing cells are made here, or by job arrays of Slurm
 *
 * Running the same command again completes the missing cells. There is no other state.
 */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "alloc/base/os.h"
#include "alloc/base/printable.h"
#include "alloc/base/progress.h"
#include "harness/cli/command.h"
#include "harness/launch/worker.h"
#include "harness/matrix/effect.h"
#include "harness/matrix/local.h"
#include "harness/matrix/slurm.h"
#include "harness/matrix/task.h"
#include "harness/run/invocation.h"

struct matrix_opts {
	const char *output, *cache, *reheap;
	uint64_t jobs, throttle, per_task, task;
	bool dry_run, status, slurm, pinned, quiet, verbose, is_task;
};

#define AT(field) offsetof(struct matrix_opts, field)

static const struct rh_opt opts[] = {
	{ "output", 'o', RH_OPT_TEXT, AT(output), NULL, .arg = "DIR",
	  .help = "folder of the matrix; existing results are kept" },
	{ "dry-run", 'n', RH_OPT_FLAG, AT(dry_run), NULL,
	  .help = "print the cells, and time and room for them from a pilot" },
	{ "jobs", 'j', RH_OPT_UINT, AT(jobs), "1", .min = 1, .max = 256, .arg = "N",
	  .help = "cells at once; timing cells only as many as there are CPUs for" },
	{ "status", 0, RH_OPT_FLAG, AT(status), NULL,
	  .help = "how much of a matrix is done (the operand is its folder)" },
	{ "slurm", 0, RH_OPT_FLAG, AT(slurm), NULL,
	  .help = "submit the missing cells as job arrays; words after -- go to sbatch" },
	{ "throttle", 0, RH_OPT_UINT, AT(throttle), "100", .min = 0, .max = 1000000, .arg = "N",
	  .help = "--slurm: tasks of an array at once; 0 = no limit" },
	{ "per-task", 0, RH_OPT_UINT, AT(per_task), "0", .min = 0, .max = 1000000, .arg = "N",
	  .help = "--slurm: cells of a task; 0 = as few as arrays allow" },
	{ "pinned", 0, RH_OPT_FLAG, AT(pinned), NULL,
	  .help = "--slurm: timing cells get CPUs of their own, not whole nodes" },
	{ "reheap", 0, RH_OPT_TEXT, AT(reheap), NULL, .arg = "PATH",
	  .help = "--slurm: the program on the nodes; default: this one" },
	{ "task", 0, RH_OPT_UINT, AT(task), NULL, .arg = "N", .given = AT(is_task) + 1,
	  .help = "used by the script of an array: part N of its list of cells" },
	{ "cache", 0, RH_OPT_TEXT, AT(cache), NULL, .arg = "DIR",
	  .help = "copy traces there first, each once, checked by hash; on nodes: "
		  "/tmp/reheap-traces-UID" },
	{ "verbose", 'v', RH_OPT_FLAG, AT(verbose), NULL, .help = "list every cell" },
	{ "quiet", 'q', RH_OPT_FLAG, AT(quiet), NULL, .help = "print nothing but errors" },
	{ .name = NULL }
};

/* ---- printing ---- */

static void duration_text(double seconds, char *text, size_t bytes)
{
	if (seconds < 90)
		snprintf(text, bytes, "%.0f s", seconds);
	else if (seconds < 5400)
		snprintf(text, bytes, "%.0f min", seconds / 60);
	else
		snprintf(text, bytes, "%.1f h", seconds / 3600);
}

static void room_text(double size, char *text, size_t bytes)
{
	if (size < 1e6)
		snprintf(text, bytes, "%.0f KB", size / 1e3);
	else
		snprintf(text, bytes, size < 1e9 ? "%.1f MB" : "%.1f GB",
			 size < 1e9 ? size / 1e6 : size / 1e9);
}

static void print_cells(const struct rh_matrix *m, const bool *done)
{
	for (size_t i = 0; i < m->cells_count; i++) {
		const struct rh_cell *c = &m->cells[i];

		rh_print(stdout, "%s %s %s %s %s x%s %s%s %s%s%s\n", c->name, c->kind, c->machine,
			 rh_base_name(c->trace), c->lanes, c->copies, c->label,
			 c->aa ? " (planted)" : "",
			 c->absent ? "absent"
			 : done[i] ? "done"
				   : "-",
			 c->absent ? ": " : "", c->absent ? c->absent : "");
	}
}

/* Each reason once, with the number of cells it applies to. */
static void print_absent(const struct rh_matrix *m)
{
	for (size_t i = 0; i < m->cells_count; i++) {
		const char *why = m->cells[i].absent;
		size_t count = 0;
		bool said = false;

		for (size_t j = 0; why && j < m->cells_count && !said; j++) {
			bool same = m->cells[j].absent && strcmp(m->cells[j].absent, why) == 0;

			said = same && j < i;
			count += same;
		}
		if (why && !said)
			rh_print(stdout, "%zu cells absent here: %s\n", count, why);
	}
}

static void print_counts(const char *dir, const struct rh_matrix *m, const bool *done,
			 size_t others)
{
	struct rh_false_alarms aa;
	size_t count = 0, planted = 0, absent = 0;

	for (size_t i = 0; i < m->cells_count; i++) {
		count += done[i];
		planted += m->cells[i].aa;
		absent += m->cells[i].absent && !done[i];
	}
	rh_print(stdout, "%s: %zu cells (%zu of them planted A/A), %zu done, %zu missing", dir,
		 m->cells_count, planted, count, m->cells_count - count - absent);
	if (absent)
		rh_print(stdout, ", %zu absent", absent);
	if (others)
		rh_print(stdout, "; %zu results of other plans or versions beside them", others);
	putchar('\n');
	print_absent(m);
	rh_effect_false_alarms(dir, m, done, &aa);
	if (aa.read)
		rh_print(stdout,
			 "A/A: %zu of %zu planted cells claim a difference; %.1f expected\n",
			 aa.alarms, aa.read, aa.expected);
}

/* Cells without a result that say why. */
static void print_failures(const char *dir, const struct rh_matrix *m, const bool *done)
{
	struct rh_pool *pool = rh_pool_open();

	for (size_t i = 0; i < m->cells_count; i++) {
		const struct rh_cell *c = &m->cells[i];
		char line[600];
		FILE *log;

		if (done[i])
			continue;
		log = fopen(rh_pool_printf(pool, "%s/log/%s.txt", dir, c->name), "re");
		if (!log)
			continue;
		if (fgets(line, sizeof(line), log)) {
			line[strcspn(line, "\n")] = '\0';
			rh_print(stdout, "failed: %s, %s, %s lanes x %s: %s\n", c->trace, c->label,
				 c->lanes, c->copies, line);
		}
		fclose(log);
	}
	rh_pool_close(pool);
}

/* What the job engine has of it; prints nothing where there is no engine. */
static void print_jobs(const char *dir)
{
	struct rh_slurm_jobs jobs;
	struct rh_err why;

	if (rh_slurm_ask(dir, &jobs, &why) < 0) {
		if (why.code != RH_ABSENT)
			rh_print(stderr, "reheap matrix: Slurm cannot be asked: %s\n", why.text);
		return;
	}
	rh_print(stdout, "Slurm: %zu tasks run, %zu wait%s\n", jobs.running + jobs.other,
		 jobs.pending,
		 jobs.pending + jobs.running + jobs.other ? "" : "; nothing is at work");
}

/* ---- actions ---- */

static int dry_run(const struct matrix_opts *o, const struct rh_matrix *m, const bool *done,
		   struct rh_err *err)
{
	struct rh_estimate_of_matrix e;
	char pilot[32], one[32], many[32], room[32];
	double jobs = (double)o->jobs;

	print_cells(m, done);
	if (rh_matrix_estimate(m, done, &e, err) < 0)
		return -1;
	duration_text(e.pilot_seconds, pilot, sizeof(pilot));
	duration_text(e.seconds, one, sizeof(one));
	duration_text(e.seconds / jobs, many, sizeof(many));
	room_text(e.bytes, room, sizeof(room));
	rh_print(stdout, "%zu cells, %zu to make: about %s", e.cells, e.missing, one);
	if (o->jobs > 1)
		rh_print(stdout, " (%s in %.0f jobs at best)", many, jobs);
	rh_print(stdout, " and %s, from %zu pilot runs of %s\n", room, e.pilots, pilot);
	print_absent(m);
	return 0;
}

static enum rh_exit code_of(const struct rh_local_sum *sum)
{
	if (sum->failed || sum->failed_trials)
		return RH_FAILED;
	return sum->absent || sum->not_here ? RH_PARTIAL : RH_OK;
}

static int make_here(const struct matrix_opts *o, const struct rh_matrix *m, bool *done,
		     enum rh_exit *code, struct rh_err *err)
{
	const struct rh_local how = { .jobs = (unsigned)o->jobs,
				      .quiet = o->quiet,
				      .trace_cache = o->cache };
	struct rh_local_sum sum;
	size_t others;

	if (rh_folder_write(o->output, m, err) < 0)
		return -1;
	rh_folder_sweep(o->output, false);
	if (rh_matrix_local(o->output, m, &how, &sum, err) < 0 && !rh_interrupted)
		return -1;
	*code = code_of(&sum);
	rh_folder_done(o->output, m, done, &others);
	if (o->quiet)
		return 0;
	if (o->verbose)
		print_cells(m, done);
	rh_print(stdout, "made %zu cells, %zu were there%s\n", sum.made, sum.there,
		 rh_interrupted ? "; interrupted: the same command goes on" : "");
	if (sum.failed_trials)
		rh_print(stdout, "%zu cells hold a trial that failed\n", sum.failed_trials);
	print_counts(o->output, m, done, others);
	return 0;
}

static int status_of(const struct matrix_opts *o, const char *dir, struct rh_pool *pool,
		     struct rh_err *err)
{
	struct rh_matrix m;
	size_t others;
	bool *done;

	if (rh_folder_read(dir, &m, pool, err) < 0)
		return -1;
	done = rh_pool_alloc(pool, m.cells_count, sizeof(*done));
	rh_folder_done(dir, &m, done, &others);
	if (o->verbose)
		print_cells(&m, done);
	print_counts(dir, &m, done, others);
	print_failures(dir, &m, done);
	print_jobs(dir);
	return 0;
}

/* The plan, and the words after it on the command line. */
struct words {
	int count;
	char **list;
};

static int submit(const struct matrix_opts *o, const struct rh_matrix *m, const bool *done,
		  const struct words *words, struct rh_err *err)
{
	char self[4096], cache[64];
	ssize_t bytes = readlink("/proc/self/exe", self, sizeof(self) - 1);
	struct rh_slurm how = { .sbatch = words->list + 1,
				.sbatch_count = words->count - 1,
				.reheap = o->reheap ? o->reheap : self,
				.cache = o->cache ? o->cache : cache,
				.throttle = o->throttle,
				.per_task = o->per_task,
				.pinned = o->pinned,
				.quiet = o->quiet };
	int64_t tasks;

	self[bytes > 0 ? bytes : 0] = '\0';
	snprintf(cache, sizeof(cache), "/tmp/reheap-traces-%u", (unsigned)getuid());
	if (rh_folder_write(o->output, m, err) < 0 ||
	    (tasks = rh_slurm_submit(o->output, m, done, &how, err)) < 0)
		return -1;
	if (!tasks && !o->quiet)
		puts("nothing is missing, nothing was submitted");
	return 0;
}

/* Part of a job array, on a node. */
static int run_task(const struct matrix_opts *o, const char *path, struct rh_pool *pool,
		    enum rh_exit *code, struct rh_err *err)
{
	const struct rh_local how = {
		.jobs = 1, .quiet = true, .one_by_one = true, .trace_cache = o->cache
	};
	struct rh_local_sum sum;
	struct rh_matrix m;

	if (!o->output)
		return rh_fail(err, RH_USAGE, "name the folder of the matrix: -o DIR");
	if (rh_task_read(path, o->task, &m, pool, err) < 0 ||
	    (rh_matrix_local(o->output, &m, &how, &sum, err) < 0 && !rh_interrupted))
		return -1;
	*code = sum.failed ? RH_FAILED : RH_OK;
	return 0;
}

static int make(const struct matrix_opts *o, const struct words *words, struct rh_pool *pool,
		enum rh_exit *code, struct rh_err *err)
{
	struct rh_plan_source from = { .path = words->list[0] };
	struct rh_matrix m;
	struct rh_plan plan;
	bool *done;

	if (!o->output)
		return rh_fail(err, RH_USAGE, "name the folder of the matrix: -o DIR");
	if (rh_plan_read(&plan, from.path, pool, err) < 0)
		return -1;
	if (!o->dry_run) {
		if (rh_make_dirs(o->output, err) < 0)
			return -1;
		from.hashes = rh_folder_path(pool, o->output, "traces.tsv");
	}
	from.plan = &plan;
	if (rh_matrix_lay_out(&from, &m, pool, err) < 0)
		return -1;
	done = rh_pool_alloc(pool, m.cells_count, sizeof(*done));
	rh_folder_done(o->output, &m, done, NULL);
	if (o->dry_run)
		return dry_run(o, &m, done, err);
	return o->slurm ? submit(o, &m, done, words, err) : make_here(o, &m, done, code, err);
}

static enum rh_exit run_matrix(const void *opaque, int argc, char **argv, struct rh_err *err)
{
	const struct matrix_opts *o = opaque;
	struct rh_pool *pool = rh_pool_open();
	enum rh_exit code = RH_OK;
	int result;

	rh_interrupts_watch();
	if (argc > 1 && !o->slurm)
		result = rh_fail(err, RH_USAGE, "one operand; words for sbatch need --slurm");
	else if (o->status)
		result = status_of(o, argv[0], pool, err);
	else if (o->is_task)
		result = run_task(o, argv[0], pool, &code, err);
	else
		result = make(o, &(struct words){ argc, argv }, pool, &code, err);
	rh_pool_close(pool);
	rh_progress("%s", "");
	rh_interrupts_obey();
	return result < 0 ? err->code : code;
}

const struct rh_command rh_cmd_matrix = {
	.name = "matrix",
	.operands = "PLAN -o DIR [--slurm [-- SBATCH OPTIONS]] | --status DIR",
	.summary = "replay many traces on many backends, and continue where it stopped",
	.details =
		"A plan is a JSON file: traces by globs, backends with labels and environment, a "
		"baseline, runs (lanes, copies, probes, repetitions), classes of machines "
		"(harness/matrix/MATRIX.md). It becomes a list of cells. Each cell is one replay "
		"of one trace, the backend next to the baseline, with its own result file under "
		"DIR/cells, named by a hash of the trace, the libraries, the settings, the class "
		"of machine and the version of reheap.\n"
		"\n"
		"A result appears whole or not at all. Running the same command again makes the "
		"missing results and repeats nothing: after Ctrl-C, a full disk, a machine that "
		"was switched off. Anything that would change the numbers (a rebuilt library) "
		"gives other cells.\n"
		"\n"
		"Two cells in a hundred (\"aa\") compare the baseline with itself. The share of "
		"them that claims a difference is printed: it is the false-alarm rate of the "
		"matrix.\n"
		"\n"
		"With --slurm the missing cells go to Slurm as job arrays: timing cells on "
		"exclusive nodes, counts next to other jobs, traces copied to each node once. A "
		"node that dies, a job that is requeued or cancelled loses nothing: the same "
		"command submits the missing cells. Nodes with another version of reheap are "
		"refused before anything is submitted.\n"
		"\n"
		"Exit status: 0 every cell has a result; 1 a cell or a trial failed; 6 a backend "
		"or a class of machines is absent (listed); 74 the folder is full.",
	.examples = "reheap matrix ci/examples/plan.json -o m/\n"
		    "reheap matrix ci/examples/plan.json -o m/ --dry-run\n"
		    "reheap matrix ci/examples/plan.json -o m/ --slurm -- --time=2:00:00\n"
		    "reheap matrix --status m/",
	.opts = opts,
	.opts_bytes = sizeof(struct matrix_opts),
	.operands_min = 1,
	.operands_max = -1,
	.run = run_matrix,
};
