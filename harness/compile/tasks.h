/*
 * tasks.h - the compiler's record of each task: its slot and where it was last seen, which is
 * where its edges start.
 *
 * A task that has exited stays known until the next barrier, because it may be joined; after
 * the barrier a join needs no edge. Memory: O(living + exited in this epoch).
 *
 * Thread rule: one thread. Pointers are valid until the next spawn. Errors: RH_OS.
 */
#ifndef RH_COMPILE_TASKS_H
#define RH_COMPILE_TASKS_H

#include <stdbool.h>

#include "harness/compile/ids.h"

struct rh_point {
	uint32_t epoch, lane, position;
}; /* epoch 0 = nowhere */

struct rh_task {
	struct rh_point op;    /* last op that names it: spawn, call, grow, ... */
	struct rh_point event; /* last event it did itself */
	uint64_t stack_bytes;  /* of its frames */
	uint32_t slot;
	bool alive;
};

struct rh_tasks {
	struct rh_ids ids; /* a = index of the record */
	struct rh_task *records;
	uint32_t *unused; /* indices of records to reuse */
	uint32_t unused_count, records_count, cap;
	uint64_t *exited; /* ids to forget at the barrier */
	uint32_t exited_count, exited_cap;
};

int rh_tasks_open(struct rh_tasks *tasks, struct rh_err *err);
void rh_tasks_close(struct rh_tasks *tasks);

/* The next task by number. */
struct rh_task *rh_tasks_spawn(struct rh_tasks *tasks, struct rh_err *err);
int rh_tasks_exit(struct rh_tasks *tasks, uint64_t id, struct rh_task *task, struct rh_err *err);
void rh_tasks_barrier(struct rh_tasks *tasks);

/* NULL when unknown or forgotten. */
static inline struct rh_task *rh_tasks_find(const struct rh_tasks *tasks, uint64_t id)
{
	const struct rh_id *found = rh_ids_find(&tasks->ids, id);

	return found ? &tasks->records[found->a] : NULL;
}

#endif
