/*
 * slurm.h - the missing cells of a matrix as job arrays of Slurm.
 *
 * The engine does the scheduling, retrying and queueing. We submit one array for each kind of
 * cells and class of machines; a task makes a few cells one after another and skips those that
 * have a result, so that a requeued task repeats nothing. All jobs of a matrix share one name,
 * by which we query the engine; we keep nothing about jobs but the list of cells of each array.
 *
 * Commands used: sbatch, squeue, sinfo, srun, scontrol. Thread rule: main thread. Errors:
 * RH_ABSENT (no Slurm), RH_FAILED (Slurm refused, with its message), RH_INVALID (another version of
 * reheap on a node), RH_IO.
 */
#ifndef RH_MATRIX_SLURM_H
#define RH_MATRIX_SLURM_H

#include <stdint.h>

#include "harness/matrix/folder.h"

struct rh_slurm {
	char **sbatch; /* more words for sbatch */
	int sbatch_count;
	const char *reheap; /* program on the nodes */
	const char *cache;  /* folder of traces on each node */
	uint64_t throttle;  /* tasks of an array at once; 0 = no limit */
	uint64_t per_task;  /* cells; 0 = as few as arrays allow */
	bool pinned;	    /* timing cells get CPUs of their own instead of whole nodes */
	bool quiet;
};

struct rh_slurm_jobs {
	size_t pending, running, other;
};

/* The state of this matrix in the engine. */
int rh_slurm_ask(const char *dir, struct rh_slurm_jobs *jobs, struct rh_err *err);

/* Asks the nodes for their version of reheap, then submits the missing cells. Returns the number of
 * tasks, or -1.
 */
int64_t rh_slurm_submit(const char *dir, const struct rh_matrix *matrix, const bool *done,
			const struct rh_slurm *how, struct rh_err *err);

/* ---- command.c ---- */

/* Runs a program of PATH and returns what it wrote to standard output, in the pool; NULL on error,
 * with the first line it wrote to standard error. */
const char *rh_command_output(const char *const *argv, struct rh_pool *pool, struct rh_err *err);

#endif
