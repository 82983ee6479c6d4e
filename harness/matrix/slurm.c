/*
 * slurm.c - submits job arrays and asks about them (slurm.h).
 *
 *	1  squeue: if a job of this matrix still runs, nothing is submitted: the missing cells may
 *	   be on their way
 *	2  sinfo, srun: the version of reheap on every node that is up. Busy nodes are not waited
 *	   for; their tasks check for themselves and make nothing if it differs
 *	3  for each kind and class: DIR/jobs/NAME.cells, DIR/jobs/NAME.sh, sbatch
 */
#include "harness/matrix/slurm.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "alloc/base/install_paths.h"
#include "alloc/base/os.h"
#include "alloc/base/printable.h"
#include "harness/matrix/task.h"

enum { TASKS_MAX = 1000, WORDS_MAX = 64, NODES_WAIT_S = 60 };

/* The name of all jobs of a matrix, derived from its folder. */
static const char *job_name(const char *dir, struct rh_pool *pool)
{
	char hash[RH_CELL_NAME + 1], *full = realpath(dir, NULL);

	rh_matrix_hash(full ? full : dir, hash);
	free(full);
	return rh_pool_printf(pool, "reheap-%.12s", hash);
}

int rh_slurm_ask(const char *dir, struct rh_slurm_jobs *jobs, struct rh_err *err)
{
	struct rh_pool *pool = rh_pool_open();
	const char *argv[] = { "squeue", "-h", "-r", "-o", "%T", "-n", job_name(dir, pool), NULL };
	const char *text = rh_command_output(argv, pool, err);

	*jobs = (struct rh_slurm_jobs){ 0 };
	for (const char *at = text; at && *at; at += strcspn(at, "\n"), at += *at == '\n') {
		if (strncmp(at, "PENDING", 7) == 0)
			jobs->pending++;
		else if (strncmp(at, "RUNNING", 7) == 0)
			jobs->running++;
		else
			jobs->other++;
	}
	rh_pool_close(pool);
	return text ? 0 : -1;
}

/* ---- versions ---- */

/* The partition named in the caller's words; NULL if none. */
static const char *partition_of(const struct rh_slurm *how)
{
	for (int i = 0; i < how->sbatch_count; i++) {
		const char *word = how->sbatch[i];

		if (strncmp(word, "--partition=", 12) == 0)
			return word + 12;
		if ((strcmp(word, "-p") == 0 || strcmp(word, "--partition") == 0) &&
		    i + 1 < how->sbatch_count)
			return how->sbatch[i + 1];
	}
	return NULL;
}

/* Nodes that could answer now, as a list for -w; NULL without one. */
static const char *free_nodes(const char *partition, size_t *count, struct rh_pool *pool,
			      struct rh_err *err)
{
	const char *argv[] = { "sinfo",	   "-h", "-N", "-t",
			       "idle,mix", "-o", "%N", partition ? "-p" : NULL,
			       partition,  NULL };
	const char *text = rh_command_output(argv, pool, err), *list = "";

	*count = 0;
	for (const char *at = text; at && *at;) {
		size_t bytes = strcspn(at, "\n");
		const char *name = rh_pool_printf(pool, "%.*s", (int)bytes, at);

		/* A node is listed once for each of its partitions. */
		if (bytes && !strstr(rh_pool_printf(pool, ",%s,", list),
				     rh_pool_printf(pool, ",%s,", name))) {
			list = rh_pool_printf(pool, "%s%s%s", list, *list ? "," : "", name);
			++*count;
		}
		at += bytes + (at[bytes] == '\n');
	}
	return text && *count ? list : NULL;
}

/* Each line of `text`: NODE reheap VERSION. */
static int check_versions(const char *text, const struct rh_slurm *how, struct rh_pool *pool,
			  struct rh_err *err)
{
	const char *wanted = rh_pool_printf(pool, "reheap %s", rh_version);

	for (const char *at = text; *at;) {
		size_t bytes = strcspn(at, "\n"), node = strcspn(at, " \n");
		const char *line = rh_pool_printf(pool, "%.*s", (int)bytes, at);
		const char *version = line + node + (line[node] == ' ');

		if (bytes && strcmp(version, wanted) != 0)
			return rh_fail(
				err, RH_INVALID,
				"node %.*s has %s%s, and this is %s: one matrix, one version; "
				"nothing was submitted (--reheap names the program on the nodes)",
				(int)node, line, *version ? version : "no ",
				*version ? "" : how->reheap, wanted);
		at += bytes + (at[bytes] == '\n');
	}
	return 0;
}

/* In quotes for a shell. */
static const char *quoted(const char *text, struct rh_pool *pool)
{
	const char *made = "'";

	for (; *text; text++)
		made = *text == '\'' ? rh_pool_printf(pool, "%s'\\''", made)
				     : rh_pool_printf(pool, "%s%c", made, *text);
	return rh_pool_printf(pool, "%s'", made);
}

static int ask_versions(const struct rh_slurm *how, struct rh_pool *pool, struct rh_err *err)
{
	struct rh_err why = { 0 };
	size_t count;
	const char *partition = partition_of(how), *text;
	const char *nodes = free_nodes(partition, &count, pool, &why);
	const char *number = rh_pool_printf(pool, "%zu", count);
	const char *ask =
		rh_pool_printf(pool,
			       "printf '%%s %%s\\n' \"$SLURMD_NODENAME\" \"$(%s --version "
			       "2>/dev/null | head -n 1)\"",
			       quoted(how->reheap, pool));
	const char *immediate = rh_pool_printf(pool, "--immediate=%d", NODES_WAIT_S);
	const char *part =
		partition ? rh_pool_printf(pool, "--partition=%s", partition) : "--quiet";
	const char *argv[] = { "srun", "--quiet", part, immediate, "--ntasks-per-node=1",
			       "-N",   number,	  "-n", number,	   "-w",
			       nodes,  "sh",	  "-c", ask,	   NULL };

	if (!nodes && why.text[0]) {
		*err = why;
		return -1;
	}
	text = nodes ? rh_command_output(argv, pool, &why) : NULL;
	if (!text) {
		if (!how->quiet)
			rh_print(stderr,
				 "reheap matrix: the nodes cannot be asked for their version now "
				 "(%s): each task checks its own\n",
				 nodes ? why.text : "none is free");
		return 0;
	}
	return check_versions(text, how, pool, err);
}

/* ---- arrays ---- */

/* Arrays are limited by the site, 1001 by default: an index stays below it. */
static size_t tasks_max(struct rh_pool *pool)
{
	const char *argv[] = { "scontrol", "show", "config", NULL };
	struct rh_err ignored;
	const char *text = rh_command_output(argv, pool, &ignored);
	const char *at = text ? strstr(text, "MaxArraySize") : NULL;
	size_t limit = TASKS_MAX + 1;

	if (at && sscanf(at, "MaxArraySize = %zu", &limit) == 1 && limit < 2)
		limit = 2;
	return limit - 1 < TASKS_MAX ? limit - 1 : TASKS_MAX;
}

struct array {
	struct rh_pool *pool;
	const char *dir, *stem, *name; /* the folder, the stem of its files, the job's name */
	enum rh_cell_kind kind;
	const struct rh_plan_machine *machine;
	const struct rh_cell **cells;
	size_t count, per_task;
};

static int write_script(const struct array *a, const struct rh_slurm *how, struct rh_err *err)
{
	struct rh_pool *pool = a->pool;
	const char *path = rh_pool_printf(pool, "%s.sh", a->stem);
	const char *text = rh_pool_printf(
		pool,
		"#!/bin/sh\n"
		"# A task of a matrix: cells that have a result are left alone, so that it may be\n"
		"# run again at any time.\n"
		"exec %s matrix %s --task \"$SLURM_ARRAY_TASK_ID\" -o %s --cache %s --quiet\n",
		quoted(how->reheap, pool), quoted(rh_pool_printf(pool, "%s.cells", a->stem), pool),
		quoted(a->dir, pool), quoted(how->cache, pool));
	struct rh_outfile out;

	if (rh_outfile_open(&out, path, err) < 0)
		return -1;
	if (rh_write_all(out.fd, text, strlen(text), path, err) < 0) {
		rh_outfile_abandon(&out);
		return -1;
	}
	return rh_outfile_commit(&out, err);
}

/* CPUs that the widest cell of the array wants. */
static unsigned long cpus_of(const struct array *a)
{
	unsigned long most = 1;

	for (size_t i = 0; i < a->count && a->kind == RH_CELL_TIMING; i++) {
		unsigned long cpus = strtoul(a->cells[i]->lanes, NULL, 10) *
				     strtoul(a->cells[i]->copies, NULL, 10);

		most = cpus > most ? cpus : most;
	}
	return most;
}

static int submit(const struct array *a, const struct rh_slurm *how, struct rh_err *err)
{
	struct rh_pool *pool = a->pool;
	size_t tasks = (a->count + a->per_task - 1) / a->per_task, n = 4;
	const char *argv[WORDS_MAX + 1] = { "sbatch", "--parsable", "--requeue",
					    "--open-mode=append" };
	const char *id;

	argv[n++] = rh_pool_printf(pool, "--job-name=%s", a->name);
	argv[n++] = rh_pool_printf(pool, "--output=%s/jobs/%%A_%%a.out", a->dir);
	argv[n++] = how->throttle ? rh_pool_printf(pool, "--array=0-%zu%%%llu", tasks - 1,
						   (unsigned long long)how->throttle)
				  : rh_pool_printf(pool, "--array=0-%zu", tasks - 1);
	argv[n++] = "--ntasks=1";
	if (a->kind == RH_CELL_TIMING && !how->pinned)
		argv[n++] = "--exclusive";
	else
		argv[n++] = rh_pool_printf(pool, "--cpus-per-task=%lu", cpus_of(a));
	if (a->machine->constraint)
		argv[n++] = rh_pool_printf(pool, "--constraint=%s", a->machine->constraint);
	if (a->machine->partition)
		argv[n++] = rh_pool_printf(pool, "--partition=%s", a->machine->partition);
	if (n + (size_t)how->sbatch_count + 1 > WORDS_MAX)
		return rh_fail(err, RH_USAGE, "more than %d words for sbatch", WORDS_MAX - 12);
	for (int i = 0; i < how->sbatch_count; i++)
		argv[n++] = how->sbatch[i];
	argv[n++] = rh_pool_printf(pool, "%s.sh", a->stem);
	assert(n <= WORDS_MAX);
	id = rh_command_output(argv, pool, err);
	if (!id)
		return -1;
	if (!how->quiet)
		rh_print(stdout, "job %.*s: %zu %s cells in %zu tasks%s%s\n",
			 (int)strcspn(id, ";\n"), id, a->count, rh_cell_kinds[a->kind], tasks,
			 a->machine->constraint ? ", " : "",
			 a->machine->constraint ? a->machine->constraint : "");
	return 0;
}

/* The missing cells of one kind and class. */
static void collect(struct array *a, const struct rh_matrix *m, const bool *done)
{
	a->count = 0;
	for (size_t i = 0; i < m->cells_count; i++)
		if (!done[i] && rh_plan_kind(m->cells[i].kind) == a->kind &&
		    strcmp(m->cells[i].machine, a->machine->name) == 0)
			a->cells[a->count++] = &m->cells[i];
}

/* The number of tasks, or -1. */
static int64_t submit_all(struct array *a, const struct rh_matrix *m, const bool *done,
			  const struct rh_slurm *how, struct rh_err *err)
{
	struct rh_pool *pool = a->pool;
	size_t most = tasks_max(pool);
	int64_t tasks = 0;

	a->cells = rh_pool_alloc(pool, m->cells_count + 1, sizeof(*a->cells));
	for (size_t i = 0; i < 2 * m->machines_count; i++) {
		a->kind = (enum rh_cell_kind)(i & 1);
		a->machine = &m->machines[i / 2];
		collect(a, m, done);
		if (a->count == 0)
			continue;
		a->per_task = how->per_task ? how->per_task : (a->count + most - 1) / most;
		if ((a->count + a->per_task - 1) / a->per_task > most)
			return rh_fail(err, RH_USAGE,
				       "%zu cells, %zu a task, are more than the %zu tasks that an "
				       "array may have here",
				       a->count, a->per_task, most);
		a->stem =
			rh_pool_printf(pool, "%s/jobs/%lld-%zu", a->dir, (long long)time(NULL), i);
		if (rh_task_write(rh_pool_printf(pool, "%s.cells", a->stem), a->cells, a->count,
				  a->per_task, err) < 0 ||
		    write_script(a, how, err) < 0 || submit(a, how, err) < 0)
			return -1;
		tasks += (int64_t)((a->count + a->per_task - 1) / a->per_task);
	}
	return tasks;
}

int64_t rh_slurm_submit(const char *dir, const struct rh_matrix *matrix, const bool *done,
			const struct rh_slurm *how, struct rh_err *err)
{
	struct rh_pool *pool = rh_pool_open();
	struct array a = { .pool = pool };
	struct rh_slurm_jobs jobs;
	char *full = realpath(dir, NULL);
	int64_t result = full ? 0 : rh_fail_errno(err, RH_NO_INPUT, "%s", dir);

	if (result == 0)
		result = rh_slurm_ask(full, &jobs, err);
	if (result == 0 && jobs.pending + jobs.running + jobs.other > 0)
		result = rh_fail(
			err, RH_FAILED,
			"%zu tasks of this matrix wait and %zu run: wait for them (--status "
			"%s) or end them (scancel -n %s), then the same command submits what "
			"is missing",
			jobs.pending, jobs.running + jobs.other, dir, job_name(full, pool));
	if (result == 0) {
		rh_folder_sweep(full, true);
		result = ask_versions(how, pool, err);
	}
	if (result == 0) {
		a.dir = full;
		a.name = job_name(full, pool);
		result = submit_all(&a, matrix, done, how, err);
	}
	rh_pool_close(pool);
	free(full);
	return result;
}
