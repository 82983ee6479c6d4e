/*
 * tasks.c - task records, which are reused.
 */
#include "harness/compile/tasks.h"

#include <assert.h>
#include <stdlib.h>

#include "alloc/base/grow.h"

int rh_tasks_open(struct rh_tasks *tasks, struct rh_err *err)
{
	*tasks = (struct rh_tasks){ 0 };
	return rh_ids_open(&tasks->ids, 1, err);
}

void rh_tasks_close(struct rh_tasks *tasks)
{
	rh_ids_close(&tasks->ids);
	free(tasks->records);
	free(tasks->unused);
	free(tasks->exited);
	*tasks = (struct rh_tasks){ 0 };
}

static int more_records(struct rh_tasks *tasks, struct rh_err *err)
{
	uint32_t cap = tasks->cap ? 2 * tasks->cap : 64;
	struct rh_task *records = reallocarray(tasks->records, cap, sizeof(*records));
	uint32_t *unused;

	if (!records)
		return rh_fail(err, RH_OS, "no memory for %u tasks", cap);
	tasks->records = records;
	unused = reallocarray(tasks->unused, cap, sizeof(*unused));
	if (!unused)
		return rh_fail(err, RH_OS, "no memory for %u tasks", cap);
	tasks->unused = unused;
	tasks->cap = cap;
	return 0;
}

struct rh_task *rh_tasks_spawn(struct rh_tasks *tasks, struct rh_err *err)
{
	struct rh_id *id;
	uint32_t index;

	if (!tasks->unused_count && tasks->records_count == tasks->cap &&
	    more_records(tasks, err) < 0)
		return NULL;
	id = rh_ids_add(&tasks->ids, err);
	if (!id)
		return NULL;
	index = tasks->unused_count ? tasks->unused[--tasks->unused_count] : tasks->records_count++;
	assert(index < tasks->records_count && tasks->records_count <= tasks->cap);
	*id = (struct rh_id){ .a = index, .b = 0 };
	tasks->records[index] = (struct rh_task){ .alive = true };
	return &tasks->records[index];
}

int rh_tasks_exit(struct rh_tasks *tasks, uint64_t id, struct rh_task *task, struct rh_err *err)
{
	assert(task->alive);
	if (!rh_reserve32(&tasks->exited, &tasks->exited_cap, tasks->exited_count + 1,
			  sizeof(*tasks->exited)))
		return rh_no_memory(err, "exited tasks");
	tasks->exited[tasks->exited_count++] = id;
	task->alive = false;
	return 0;
}

void rh_tasks_barrier(struct rh_tasks *tasks)
{
	for (uint32_t i = 0; i < tasks->exited_count; i++) {
		const struct rh_id *id = rh_ids_find(&tasks->ids, tasks->exited[i]);

		assert(id && !tasks->records[id->a].alive);
		assert(tasks->unused_count < tasks->records_count);
		tasks->unused[tasks->unused_count++] = (uint32_t)id->a;
		rh_ids_remove(&tasks->ids, tasks->exited[i]);
	}
	tasks->exited_count = 0;
}
