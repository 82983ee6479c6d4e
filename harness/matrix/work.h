/*
 * work.h - makes one cell: runs `reheap replay` for it and stores the result.
 *
 * start forks; the caller waits for work->pid and calls finish with what waitpid said. A result
 * counts if replay exited with 0, 1 or 6 (a failed trial or an absent backend is a result as
 * well), is a whole document and is about the trace in the plan.
 *
 * Ownership: finish closes and removes everything. Thread rule: one thread. Errors: RH_OS,
 * RH_IO (the folder is full), RH_BAD_DATA (the trace file has changed), RH_INVALID (another
 * version of reheap), RH_FAILED.
 */
#ifndef RH_MATRIX_WORK_H
#define RH_MATRIX_WORK_H

#include <stdio.h>
#include <sys/types.h>

#include "harness/matrix/folder.h"

struct rh_work {
	const struct rh_cell *cell;
	const char *dir;   /* of the matrix */
	const char *trace; /* to replay: cell->trace, or a copy of it on this machine */
	pid_t pid;
	int pidfd;
	int made;   /* its result: memory */
	FILE *said; /* its standard error */
	uint64_t started_ns;
};

enum rh_work_end {
	RH_WORK_DONE,
	RH_WORK_ABSENT,	      /* done; a backend is not here */
	RH_WORK_FAILED_TRIAL, /* done; a trial failed */
	RH_WORK_THERE,	      /* another was faster */
	RH_WORK_NONE,	      /* no result: err says why */
};

int rh_work_start(struct rh_work *work, struct rh_err *err);
enum rh_work_end rh_work_finish(struct rh_work *work, int status, struct rh_err *err);

/* Writes why a cell has no result, for later readers; NULL removes it. Best effort: the folder may
 * be full. */
void rh_work_log(const char *dir, const struct rh_cell *cell, const char *why);

/* One replay of the cell with other repetitions, for an estimate: its seconds and the bytes of its
 * result, which is thrown away. */
int rh_work_pilot(const struct rh_cell *cell, uint32_t reps, double *seconds, double *bytes,
		  struct rh_err *err);

#endif
