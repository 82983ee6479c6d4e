/*
 * cells.c - a plan becomes a list of cells (cells.h).
 *
 * Cells are in working order: by trace, so that compiled and staged files stay warm, then run,
 * lanes, copies, machine and backend. The order depends only on the plan and the files.
 *
 * A/A cells: the cells are sorted by name, which is as good as random but the same each time,
 * and every (1 / share)-th place gets an A/A cell, at least one in all. A place (trace, run,
 * lanes, copies, machine) has at most one A/A cell.
 */
#include "harness/matrix/cells.h"

#include <assert.h>
#include <fnmatch.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "alloc/base/install_paths.h"
#include "alloc/base/variant.h"
#include "harness/launch/host.h"

#define SELF struct rh_cell
RH_RECORD_TABLE(cell, RH_FIELDS_CELL)
#undef SELF
#define SELF struct rh_matrix
RH_RECORD_TABLE(matrix, RH_FIELDS_MATRIX)
#undef SELF

enum { CELLS_MAX = 10000000 };

struct layout {
	const struct rh_plan *plan;
	const char *plan_path;
	struct rh_pool *pool;
	struct rh_matrix *matrix;
	struct rh_named_traces traces;
	struct rh_named_backend baseline, *backends;
	size_t backend_count;
	struct rh_host host;
	struct rh_err *err;
};

static int read_backends(struct layout *l)
{
	struct rh_pool *pool = l->pool;

	if (rh_matrix_backend(l->plan->baseline, l->plan_path, &l->baseline, pool, l->err) < 0)
		return -1;
	if (l->baseline.absent)
		return rh_fail(l->err, RH_ABSENT, "%s: the baseline is not here: %s", l->plan_path,
			       l->baseline.absent);
	for (size_t i = 0; i < l->plan->backends_count; i++) {
		size_t count;
		char *texts = rh_variant_list(l->plan->backends[i], &count, l->err);
		const char *at = texts;
		int failed = texts ? 0 : -1;

		for (size_t j = 0; j < count && !failed; j++, at += strlen(at) + 1)
			failed = rh_matrix_backend(rh_pool_text(pool, at), l->plan_path,
						   rh_pool_grow(pool, &l->backends,
								&l->backend_count,
								sizeof(*l->backends)),
						   pool, l->err);
		free(texts);
		if (failed)
			return -1;
	}
	return 0;
}

/* Backends with the same identity would give cells with the same name. */
static int check_backends(struct layout *l)
{
	for (size_t i = 0; i < l->backend_count; i++) {
		const struct rh_named_backend *a = &l->backends[i];

		if (strcmp(a->is, l->baseline.is) == 0)
			return rh_fail(l->err, RH_USAGE,
				       "%s: backend %s is the baseline %s: A/A cells are planted "
				       "by themselves",
				       l->plan_path, a->variant, l->baseline.variant);
		for (size_t j = 0; j < i; j++)
			if (strcmp(a->is, l->backends[j].is) == 0 ||
			    strcmp(a->label, l->backends[j].label) == 0)
				return rh_fail(l->err, RH_USAGE,
					       "%s: two cells of one name: backends %s and %s are "
					       "%s",
					       l->plan_path, l->backends[j].variant, a->variant,
					       strcmp(a->is, l->backends[j].is) == 0
						       ? "the same"
						       : "called the same");
	}
	return 0;
}

static int check_traces(struct layout *l)
{
	for (size_t i = 0; i < l->traces.count; i++)
		for (size_t j = 0; j < i; j++)
			if (strcmp(l->traces.list[i].sha256, l->traces.list[j].sha256) == 0)
				return rh_fail(l->err, RH_USAGE,
					       "%s: two cells of one name: %s and %s are the same "
					       "trace",
					       l->plan_path, l->traces.list[j].path,
					       l->traces.list[i].path);
	return 0;
}

/* Why cells of that class cannot run on this machine; NULL when they can. */
static const char *machine_absent(const struct layout *l, const struct rh_plan_machine *machine)
{
	if (!machine->cpu || fnmatch(machine->cpu, l->host.cpu_model, 0) == 0)
		return NULL;
	return rh_pool_printf(l->pool, "class %s is a CPU like '%s', and this is '%s'",
			      machine->name, machine->cpu, l->host.cpu_model);
}

static void name_cell(const struct layout *l, struct rh_cell *c)
{
	char name[RH_CELL_NAME + 1];
	const char *content = rh_pool_printf(
		l->pool, "%s\n%s\n%s\n%s\n%s\n%s\n%s\n%s\n%s\n%s\n%u\n%u\n%u\n%d\n", c->version,
		c->kind, c->machine, c->sha256, c->backend_is, c->baseline_is, c->lanes, c->copies,
		c->probes, c->touch, c->reps, c->passes, c->seed, c->aa);

	rh_matrix_hash(content, name);
	c->name = rh_pool_text(l->pool, name);
}

/* The fields that all cells of a place share. */
struct place {
	const struct rh_named_trace *trace;
	const struct rh_plan_run *run;
	const struct rh_plan_machine *machine;
	const char *lanes, *copies;
};

static void fill_cell(const struct layout *l, const struct place *at,
		      const struct rh_named_backend *backend, bool aa, struct rh_cell *cell)
{
	const struct rh_named_backend *one = aa ? &l->baseline : backend;

	assert(at->trace->sha256[0] && one->is);
	rh_record_clear(&rh_cell_type, cell);
	*cell = (struct rh_cell){
		.kind = at->run->kind,
		.machine = at->machine->name,
		.family = at->trace->family,
		.trace = at->trace->path,
		.sha256 = at->trace->sha256,
		.events = at->trace->events,
		.backend = aa ? rh_pool_printf(l->pool, "aa=%s", one->bare) : one->variant,
		.label = aa ? "aa" : one->label,
		.backend_is = one->is,
		.baseline = l->baseline.variant,
		.baseline_label = l->baseline.label,
		.baseline_is = l->baseline.is,
		.lanes = at->lanes,
		.copies = at->copies,
		.probes = at->run->probes,
		.touch = at->run->touch,
		.reps = at->run->reps,
		.passes = at->run->passes,
		.seed = l->plan->seed,
		.aa = aa,
		.version = rh_version,
		.absent = one->absent ? one->absent : machine_absent(l, at->machine),
	};
	name_cell(l, cell);
}

static const char *next_number(struct rh_pool *pool, const char **at)
{
	size_t bytes = strcspn(*at, ",");
	const char *word = bytes ? rh_pool_printf(pool, "%.*s", (int)bytes, *at) : NULL;

	*at += bytes + ((*at)[bytes] == ',');
	return word;
}

typedef int place_fn(struct layout *l, const struct place *at, void *ctx);

static int walk_run(struct layout *l, const struct rh_named_trace *trace,
		    const struct rh_plan_run *run, place_fn *visit, void *ctx)
{
	struct place at = { .trace = trace, .run = run };
	const char *lanes = run->lanes;

	while ((at.lanes = next_number(l->pool, &lanes))) {
		const char *copies = run->copies;

		while ((at.copies = next_number(l->pool, &copies)))
			for (size_t m = 0; m < l->plan->machines_count; m++) {
				at.machine = &l->plan->machines[m];
				if (visit(l, &at, ctx) < 0)
					return -1;
			}
	}
	return 0;
}

static int walk(struct layout *l, place_fn *visit, void *ctx)
{
	for (size_t t = 0; t < l->traces.count; t++)
		for (size_t r = 0; r < l->plan->runs_count; r++)
			if (walk_run(l, &l->traces.list[t], &l->plan->runs[r], visit, ctx) < 0)
				return -1;
	return 0;
}

static int add_cells(struct layout *l, const struct place *at, void *ctx)
{
	struct rh_matrix *m = l->matrix;

	(void)ctx;
	for (size_t b = 0; b < l->backend_count; b++) {
		if (m->cells_count == CELLS_MAX)
			return rh_fail(l->err, RH_USAGE, "%s: more than %d cells", l->plan_path,
				       CELLS_MAX);
		fill_cell(l, at, &l->backends[b], false,
			  rh_pool_grow(l->pool, &m->cells, &m->cells_count, sizeof(*m->cells)));
	}
	return 0;
}

/* ---- A/A ---- */

struct planting {
	struct rh_cell *cells;
	size_t count;
};

static int add_aa(struct layout *l, const struct place *at, void *ctx)
{
	struct planting *planting = ctx;
	struct rh_cell *cell;

	cell = rh_pool_grow(l->pool, &planting->cells, &planting->count, sizeof(*planting->cells));
	fill_cell(l, at, NULL, true, cell);
	return 0;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct rh_cell *)a)->name, ((const struct rh_cell *)b)->name);
}

/* Timing cells come first: counting one program twice gives equal counts, which show little here.
 */
static int timing_first(const void *a, const void *b)
{
	const struct rh_cell *x = a, *y = b;
	int order = (rh_plan_kind(x->kind) == RH_CELL_DETERMINISTIC) -
		    (rh_plan_kind(y->kind) == RH_CELL_DETERMINISTIC);

	return order ? order : by_name(a, b);
}

static int plant(struct layout *l)
{
	struct rh_matrix *m = l->matrix;
	struct planting planting = { 0 };
	size_t want = (size_t)ceil((double)m->cells_count * l->plan->aa);

	if (want == 0)
		return 0;
	if (walk(l, add_aa, &planting) < 0)
		return -1;
	qsort(planting.cells, planting.count, sizeof(*planting.cells), timing_first);
	for (size_t i = 0; i < want && i < planting.count; i++)
		*(struct rh_cell *)rh_pool_grow(l->pool, &m->cells, &m->cells_count,
						sizeof(*m->cells)) = planting.cells[i];
	return 0;
}

/* Two runs of a plan may have the same settings. */
static int check_names(struct layout *l)
{
	size_t count = l->matrix->cells_count;
	struct rh_cell *sorted = malloc((count + 1) * sizeof(*sorted));
	int result = 0;

	if (!sorted)
		return rh_fail(l->err, RH_OS, "no memory for %zu cells", count);
	memcpy(sorted, l->matrix->cells, count * sizeof(*sorted));
	qsort(sorted, count, sizeof(*sorted), by_name);
	for (size_t i = 1; i < count && result == 0; i++)
		if (by_name(&sorted[i - 1], &sorted[i]) == 0)
			result = rh_fail(l->err, RH_USAGE,
					 "%s: two cells of one name: %s, %s on %s lanes x %s comes "
					 "twice from \"runs\"",
					 l->plan_path, sorted[i].trace, sorted[i].label,
					 sorted[i].lanes, sorted[i].copies);
	free(sorted);
	return result;
}

int rh_matrix_lay_out(const struct rh_plan_source *from, struct rh_matrix *matrix,
		      struct rh_pool *pool, struct rh_err *err)
{
	const struct rh_plan *plan = from->plan;
	struct layout l = {
		.plan = plan, .plan_path = from->path, .pool = pool, .matrix = matrix, .err = err
	};
	char made[40];
	time_t now = time(NULL);
	struct tm utc;

	strftime(made, sizeof(made), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
	*matrix = (struct rh_matrix){
		.schema = RH_MATRIX_SCHEMA,
		.version = rh_version,
		.made = rh_pool_text(pool, made),
		.plan = from->path,
		.machines = plan->machines,
		.machines_count = plan->machines_count,
	};
	rh_host_read(&l.host);
	if (read_backends(&l) < 0 || check_backends(&l) < 0 ||
	    rh_matrix_traces(from, &l.traces, pool, err) < 0 || check_traces(&l) < 0 ||
	    walk(&l, add_cells, NULL) < 0 || plant(&l) < 0)
		return -1;
	return check_names(&l);
}
