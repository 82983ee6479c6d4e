/*
 * estimate.c - estimates the time and space of a matrix from a pilot (local.h).
 *
 * One cell of each kind, the one whose trace has the median number of events, is replayed with
 * one and with two repetitions. The difference is the cost of a repetition, the rest is
 * starting and compiling; both are scaled by the events of each cell. The estimate is right to
 * about a third where traces are alike, and holds only for this machine.
 */
#include <assert.h>
#include <math.h>
#include <stdlib.h>

#include "harness/launch/worker.h"
#include "harness/matrix/local.h"
#include "harness/matrix/work.h"

/* Two workers and the driver start for every cell, however small it is. */
#define SECONDS_MIN 0.05

struct cost {
	double start_s, rep_s, start_bytes, rep_bytes, events;
	bool known;
};

static int by_events(const void *a, const void *b)
{
	uint64_t x = (*(const struct rh_cell *const *)a)->events;
	uint64_t y = (*(const struct rh_cell *const *)b)->events;

	return (x > y) - (x < y);
}

/* The median cell among those that can run here; NULL without one. */
static const struct rh_cell *middle(const struct rh_matrix *m, const bool *done,
				    enum rh_cell_kind kind)
{
	const struct rh_cell **list = calloc(m->cells_count + 1, sizeof(*list)), *found = NULL;
	size_t count = 0;

	for (size_t i = 0; list && i < m->cells_count; i++)
		if (!done[i] && !m->cells[i].absent && rh_plan_kind(m->cells[i].kind) == kind)
			list[count++] = &m->cells[i];
	if (count) {
		qsort(list, count, sizeof(*list), by_events);
		found = list[count / 2];
	}
	free(list);
	return found;
}

static int measure(const struct rh_cell *cell, struct cost *cost,
		   struct rh_estimate_of_matrix *estimate, struct rh_err *err)
{
	double seconds[2], bytes[2];

	assert(cell->reps >= 1);
	for (uint32_t i = 0; i < 2; i++) {
		if (rh_interrupted || rh_work_pilot(cell, i + 1, &seconds[i], &bytes[i], err) < 0)
			return -1;
		estimate->pilots++;
		estimate->pilot_seconds += seconds[i];
	}
	*cost = (struct cost){
		.rep_s = fmax(seconds[1] - seconds[0], 0),
		.rep_bytes = fmax(bytes[1] - bytes[0], 0),
		.events = fmax((double)cell->events, 1),
		.known = true,
	};
	cost->start_s = fmax(seconds[0] - cost->rep_s, 0);
	cost->start_bytes = fmax(bytes[0] - cost->rep_bytes, 0);
	/* The measured repetition includes the passes after the first. */
	return 0;
}

int rh_matrix_estimate(const struct rh_matrix *matrix, const bool *done,
		       struct rh_estimate_of_matrix *estimate, struct rh_err *err)
{
	struct cost costs[2] = { { 0 } };

	*estimate = (struct rh_estimate_of_matrix){ .cells = matrix->cells_count };
	for (int k = 0; k < 2; k++) {
		const struct rh_cell *cell = middle(matrix, done, (enum rh_cell_kind)k);

		if (cell && measure(cell, &costs[k], estimate, err) < 0)
			return -1;
	}
	for (size_t i = 0; i < matrix->cells_count; i++) {
		const struct rh_cell *cell = &matrix->cells[i];
		const struct cost *cost = &costs[rh_plan_kind(cell->kind)];
		double scale;

		if (done[i] || cell->absent)
			continue;
		estimate->missing++;
		scale = cost->known ? (double)cell->events / cost->events : 0;
		estimate->seconds +=
			fmax(SECONDS_MIN, scale * (cost->start_s + cell->reps * cost->rep_s));
		estimate->bytes += cost->start_bytes + cell->reps * cost->rep_bytes;
	}
	return 0;
}
