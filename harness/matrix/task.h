/*
 * task.h - the cells of a job array, in a file of which each task reads a part.
 *
 *	reheap.cells/1 WIDTH COUNT PER_TASK	64 bytes, padded
 *	{cell as JSON, padded to WIDTH}		COUNT times
 *
 * Lines have one width, so that a task reads its own and no other: a thousand tasks of a million
 * cells would otherwise read 200 GB.
 *
 * Ownership: the caller's pool. Thread rule: one thread. Errors: RH_IO, RH_NO_INPUT, RH_BAD_DATA;
 * RH_INVALID if a library on this machine differs from the one in the plan.
 */
#ifndef RH_MATRIX_TASK_H
#define RH_MATRIX_TASK_H

#include "harness/matrix/folder.h"

/* The cells of list[0 .. count), per_task of them for each task. */
int rh_task_write(const char *path, const struct rh_cell *const *list, size_t count,
		  size_t per_task, struct rh_err *err);
/* The cells of task `number`, as a matrix. */
int rh_task_read(const char *path, size_t number, struct rh_matrix *matrix, struct rh_pool *pool,
		 struct rh_err *err);

/* Whether backend and baseline here are the same as where the plan was read. A backend that was
 * absent there, or is absent here, passes: its result says so. */
int rh_task_check(const struct rh_cell *cell, struct rh_pool *pool, struct rh_err *err);

#endif
