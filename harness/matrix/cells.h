/*
 * cells.h - the cells of a matrix: a deterministic list; the name of a cell is a hash of
 * everything that decides its numbers.
 *
 * A cell is one `reheap replay`: one trace, a backend interleaved with the baseline in the same
 * run on the same machine, one number of lanes and copies, one set of probes. Its name is a hash
 * of the trace's bytes, the identity of both backends (library, knobs, environment), the
 * settings, the class of machines and the version of reheap: the same command finds its earlier
 * results, and anything that would change the numbers gives another cell.
 *
 * Some are A/A cells: the baseline against itself. A difference found there is a false alarm,
 * and the rate of false alarms is printed whenever the matrix is read.
 *
 * Ownership: the caller's pool. Thread rule: one thread. Errors: RH_USAGE (an empty glob, an
 * unknown backend, two cells of one name), RH_NO_INPUT and RH_BAD_DATA of traces.
 */
#ifndef RH_MATRIX_CELLS_H
#define RH_MATRIX_CELLS_H

#include "harness/matrix/plan.h"

enum { RH_CELL_NAME = 32 }; /* digits of a name */

#define RH_FIELDS_CELL(F)                                                  \
	F(TEXT, _, name, NEED, "", "hash of what decides its numbers")     \
	F(TEXT, _, kind, NEED, "", "`timing` or `deterministic`")          \
	F(TEXT, _, machine, NEED, "", "class of machines")                 \
	F(TEXT, _, family, NEED, "", "family of the trace")                \
	F(TEXT, _, trace, NEED, "", "path of the trace")                   \
	F(TEXT, _, sha256, NEED, "", "of the trace file")                  \
	F(U64, _, events, MAY, "", "of the trace")                         \
	F(TEXT, _, backend, NEED, "", "variant, as in `replay --backend`") \
	F(TEXT, _, label, NEED, "", "what it is called")                   \
	F(TEXT, _, backend_is, NEED, "", "its identity")                   \
	F(TEXT, _, baseline, NEED, "", "variant that it is paired with")   \
	F(TEXT, _, baseline_label, NEED, "", "what that is called")        \
	F(TEXT, _, baseline_is, NEED, "", "its identity")                  \
	F(TEXT, _, lanes, NEED, "", "number, or `recorded`")               \
	F(TEXT, _, copies, NEED, "", "number")                             \
	F(TEXT, _, probes, NEED, "", "what is measured")                   \
	F(TEXT, _, touch, NEED, "", "what is written of blocks")           \
	F(U32, _, reps, NEED, "", "trials of each backend")                \
	F(U32, _, passes, NEED, "", "passes of each trial")                \
	F(U32, _, seed, NEED, "", "of the order of trials")                \
	F(BOOL, _, aa, NEED, "", "planted: the baseline against itself")   \
	F(TEXT, _, version, NEED, "", "reheap that may make it")           \
	F(TEXT, _, absent, MAY, "", "why it cannot run where the plan was read")

#define RH_FIELDS_MATRIX(F)                                        \
	F(TEXT, _, schema, NEED, "", "`reheap.matrix/1`")          \
	F(TEXT, _, version, NEED, "", "reheap that laid it out")   \
	F(TEXT, _, made, NEED, "", "UTC time (RFC 3339)")          \
	F(TEXT, _, plan, NEED, "", "path of the plan")             \
	F(LIST, plan_machine, machines, NEED, "", "their classes") \
	F(LIST, cell, cells, NEED, "", "in order of work")

RH_RECORD(cell, RH_FIELDS_CELL)
RH_RECORD(matrix, RH_FIELDS_MATRIX)

#define RH_MATRIX_SCHEMA "reheap.matrix/1"

/* A plan and where it was read. Hashes of unchanged traces come from `hashes`, a file of earlier
 * hashes that is rewritten (NULL = none). */
struct rh_plan_source {
	const struct rh_plan *plan;
	const char *path, *hashes;
};
int rh_matrix_lay_out(const struct rh_plan_source *from, struct rh_matrix *matrix,
		      struct rh_pool *pool, struct rh_err *err);

/* ---- names.c ---- */

struct rh_named_trace {
	const char *path, *family;
	char sha256[65];
	uint64_t events;
};

/* Reads and hashes the traces of the plan, in order of path; each file once. */
struct rh_named_traces {
	struct rh_named_trace *list;
	size_t count;
};
int rh_matrix_traces(const struct rh_plan_source *from, struct rh_named_traces *traces,
		     struct rh_pool *pool, struct rh_err *err);

struct rh_named_backend {
	const char *variant, *label; /* as passed to replay; its display name */
	const char *bare;	     /* without the label */
	const char *is;		     /* identity: knobs, environment, library, its build */
	const char *absent;	     /* why it cannot be used here; NULL */
};

/* One variant of the plan; a path that begins with a dot is relative to the plan's folder. */
int rh_matrix_backend(const char *text, const char *plan_path, struct rh_named_backend *backend,
		      struct rh_pool *pool, struct rh_err *err);

/* First RH_CELL_NAME digits of the SHA-256 of text. */
void rh_matrix_hash(const char *text, char name[RH_CELL_NAME + 1]);

#endif
