/*
 * local.c - runs cells one after another, or a few at a time (local.h).
 *
 * A slot holds one running replay. poll waits for the first to end (pidfd); a signal ends the
 * waiting: the replays get SIGTERM, their partial results are thrown away, and finished cells
 * keep theirs. The same command continues from there.
 */
#include "harness/matrix/local.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "alloc/base/os.h"
#include "alloc/base/printable.h"
#include "alloc/base/progress.h"
#include "harness/launch/worker.h"
#include "harness/matrix/stage.h"
#include "harness/matrix/task.h"
#include "harness/matrix/work.h"

enum { JOBS_MAX = 256, WAIT_MS = 1000 };

struct slot {
	struct rh_work work;
	unsigned cpus; /* of a timing cell; 0 = counts only, which load does not disturb */
};

struct runner {
	const char *dir;
	const struct rh_matrix *matrix;
	const struct rh_local *how;
	struct rh_local_sum *sum;
	struct rh_pool *pool;
	struct slot *slots;
	size_t running, total, ended;
	unsigned cpus_used, cpus;
	bool full; /* the folder */
};

static unsigned cpus_of(const struct rh_cell *cell)
{
	unsigned long lanes = strtoul(cell->lanes, NULL, 10),
		      copies = strtoul(cell->copies, NULL, 10);

	if (rh_plan_kind(cell->kind) == RH_CELL_DETERMINISTIC)
		return 0;
	return lanes ? (unsigned)(lanes * copies) : UINT16_MAX; /* recorded: all of them */
}

static bool fits(const struct runner *r, const struct rh_cell *cell)
{
	unsigned cpus = cpus_of(cell);

	if (r->running == 0)
		return true;
	return r->running < r->how->jobs && r->cpus_used + cpus <= r->cpus;
}

static void say_no_result(const struct rh_cell *cell, const char *why)
{
	rh_progress("%s", "");
	rh_print(stderr, "reheap matrix: %s, %s, %s lanes x %s: no result: %s\n", cell->trace,
		 cell->label, cell->lanes, cell->copies, why);
}

static int begin(struct runner *r, const struct rh_cell *cell, struct rh_err *err)
{
	struct slot *slot = &r->slots[r->running];

	if (r->how->one_by_one && rh_task_check(cell, r->pool, err) < 0)
		return -1;
	*slot = (struct slot){ .work = { .cell = cell, .dir = r->dir, .trace = cell->trace },
			       .cpus = cpus_of(cell) };
	if (r->how->trace_cache) {
		slot->work.trace = rh_stage(r->how->trace_cache, cell, r->pool, err);
		if (!slot->work.trace)
			return -1;
	}
	if (rh_work_start(&slot->work, err) < 0)
		return -1;
	r->cpus_used += slot->cpus;
	r->running++;
	return 0;
}

static void count_end(struct runner *r, const struct rh_cell *cell, enum rh_work_end end,
		      const struct rh_err *why)
{
	r->ended++;
	r->sum->made += end == RH_WORK_DONE || end == RH_WORK_ABSENT || end == RH_WORK_FAILED_TRIAL;
	r->sum->there += end == RH_WORK_THERE;
	r->sum->absent += end == RH_WORK_ABSENT;
	r->sum->failed_trials += end == RH_WORK_FAILED_TRIAL;
	if (end != RH_WORK_NONE || rh_interrupted)
		return;
	r->sum->failed++;
	r->full |= why->code == RH_IO;
	rh_work_log(r->dir, cell, why->text);
	say_no_result(cell, why->text);
}

/* Takes the result of slot i and closes the gap. */
static void end_slot(struct runner *r, size_t i)
{
	struct slot *slot = &r->slots[i];
	struct rh_err why = { 0 };
	enum rh_work_end end;
	int status = 0;

	assert(i < r->running);
	while (waitpid(slot->work.pid, &status, 0) < 0 && errno == EINTR)
		;
	end = rh_work_finish(&slot->work, status, &why);
	count_end(r, slot->work.cell, end, &why);
	r->cpus_used -= slot->cpus;
	r->slots[i] = r->slots[--r->running];
}

static void wait_for_one(struct runner *r)
{
	struct pollfd fds[JOBS_MAX];

	for (size_t i = 0; i < r->running; i++)
		fds[i] = (struct pollfd){ .fd = r->slots[i].work.pidfd, .events = POLLIN };
	if (!r->how->quiet)
		rh_progress("%zu of %zu cells", r->ended, r->total);
	/* Without pidfds the first one is waited for. */
	if (fds[0].fd < 0) {
		end_slot(r, 0);
		return;
	}
	if (poll(fds, r->running, WAIT_MS) <= 0)
		return;
	for (size_t i = r->running; i-- > 0;)
		if (fds[i].revents)
			end_slot(r, i);
}

static void stop_all(struct runner *r)
{
	for (size_t i = 0; i < r->running; i++)
		kill(r->slots[i].work.pid, SIGTERM);
	while (r->running)
		end_slot(r, 0);
}

static int run_cells(struct runner *r, const bool *done, struct rh_err *err)
{
	for (size_t i = 0; i < r->matrix->cells_count; i++) {
		const struct rh_cell *cell = &r->matrix->cells[i];
		struct rh_err why = { 0 };

		if (done[i] || cell->absent)
			continue;
		while (!rh_interrupted && !fits(r, cell))
			wait_for_one(r);
		if (rh_interrupted || r->full)
			break;
		if (begin(r, cell, &why) < 0) {
			if (why.code == RH_OS) {
				*err = why;
				return -1;
			}
			count_end(r, cell, RH_WORK_NONE, &why);
		}
	}
	while (r->running && !rh_interrupted)
		wait_for_one(r);
	return 0;
}

int rh_matrix_local(const char *dir, const struct rh_matrix *matrix, const struct rh_local *how,
		    struct rh_local_sum *sum, struct rh_err *err)
{
	struct runner r = {
		.dir = dir, .matrix = matrix, .how = how, .sum = sum, .cpus = rh_cpu_count()
	};
	bool *done = calloc(matrix->cells_count + 1, sizeof(*done));
	int result;

	assert(how->jobs <= JOBS_MAX);
	*sum = (struct rh_local_sum){ 0 };
	r.slots = calloc(how->jobs ? how->jobs : 1, sizeof(*r.slots));
	if (!done || !r.slots)
		return rh_fail(err, RH_OS, "no memory for the list of cells");
	r.pool = rh_pool_open();
	if (!how->one_by_one)
		rh_folder_done(dir, matrix, done, NULL);
	for (size_t i = 0; i < matrix->cells_count && how->one_by_one; i++)
		done[i] = access(rh_folder_cell(r.pool, dir, matrix->cells[i].name), F_OK) == 0;
	for (size_t i = 0; i < matrix->cells_count; i++) {
		sum->there += done[i];
		sum->not_here += !done[i] && matrix->cells[i].absent;
		r.total += !done[i] && !matrix->cells[i].absent;
	}
	result = run_cells(&r, done, err);
	stop_all(&r);
	rh_progress("%s", "");
	if (result == 0 && r.full)
		result = rh_fail(err, RH_IO,
				 "%s is full: what has a result keeps it, and the same command "
				 "makes the rest",
				 dir);
	if (result == 0 && rh_interrupted)
		result = -1;
	rh_pool_close(r.pool);
	free(r.slots);
	free(done);
	return result;
}
