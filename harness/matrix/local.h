/*
 * local.h - runs the cells of a matrix on this machine, and estimates how long they take.
 *
 * One cell runs at a time unless `jobs` allows more; timing cells together never use more lanes
 * than there are CPUs.
 *
 * Thread rule: main thread. Errors: RH_IO when the folder is full: no more cells are begun,
 * existing results stay. A cell that fails is counted and the others continue.
 */
#ifndef RH_MATRIX_LOCAL_H
#define RH_MATRIX_LOCAL_H

#include <stdint.h>

#include "harness/matrix/folder.h"

struct rh_local {
	unsigned jobs;
	bool quiet;
	bool one_by_one; /* a task: looks up each cell separately and checks its libraries */
	const char *trace_cache; /* traces are staged there (stage.h); NULL = read where they are */
};

struct rh_local_sum {
	size_t there; /* had a result before */
	size_t made, absent, failed_trials, failed, not_here;
};

/* Makes the cells that are missing. Ends early when rh_interrupted is set: -1 then,
 * with no text in err. */
int rh_matrix_local(const char *dir, const struct rh_matrix *matrix, const struct rh_local *how,
		    struct rh_local_sum *sum, struct rh_err *err);

struct rh_estimate_of_matrix {
	size_t cells, missing;
	double seconds, bytes; /* of the missing cells, one after another */
	size_t pilots;
	double pilot_seconds;
};

/* Replays the median cell of each kind with few repetitions, and scales by events, repetitions and
 * passes. */
int rh_matrix_estimate(const struct rh_matrix *matrix, const bool *done,
		       struct rh_estimate_of_matrix *estimate, struct rh_err *err);

#endif
