/*
 * plan.h - the plan of a matrix, as a person writes it in plan.json.
 *
 *	{
 *	  "schema": "reheap.plan/1",
 *	  "traces": ["traces/big-*.rht"],	globs, from the plan's folder
 *	  "baseline": "libc",
 *	  "backends": ["jemalloc", "one=jemalloc@MALLOC_CONF=narenas:1", "new=./libmine.so"],
 *	  "runs": [{ "kind": "timing", "lanes": "1,2" },
 *		   { "kind": "deterministic" }]
 *	}
 *
 * Every trace x backend x run x number of lanes x number of copies x machine class is one cell
 * (cells.h), in which the backend is replayed next to the baseline. An unknown key is an error: a
 * misread plan measures the wrong thing for a week.
 *
 * Ownership: texts lie in the caller's pool. Thread rule: plain data. Errors: RH_NO_INPUT,
 * RH_BAD_DATA (not JSON, a wrong type), RH_USAGE (an unknown word), with file and place.
 */
#ifndef RH_MATRIX_PLAN_H
#define RH_MATRIX_PLAN_H

#include "harness/result/record.h"

#define RH_FIELDS_PLAN_MACHINE(F)                                                              \
	F(TEXT, _, name, NEED, "", "what the class is called")                                 \
	F(TEXT, _, cpu, MAY, "", "pattern of the CPU's model; elsewhere its cells do not run") \
	F(TEXT, _, constraint, MAY, "", "Slurm: `--constraint`")                               \
	F(TEXT, _, partition, MAY, "", "Slurm: `--partition`")

#define RH_FIELDS_PLAN_RUN(F)                                                                  \
	F(TEXT, _, kind, NEED, "", "`timing` (alone on its CPUs) or `deterministic` (counts)") \
	F(TEXT, _, lanes, MAY, "", "`replay --lanes`, a cell for each; `1`")                   \
	F(TEXT, _, copies, MAY, "", "`replay --copies`, a cell for each; `1`")                 \
	F(TEXT, _, probes, MAY, "",                                                            \
	  "`replay --probes`; `time,memory`, deterministic: `counters` by callgrind")          \
	F(U32, _, reps, MAY, "", "`replay --reps`; 6, deterministic: 1")                       \
	F(U32, _, passes, MAY, "", "`replay --passes`; 1")                                     \
	F(TEXT, _, touch, MAY, "", "`replay --touch`; `auto`")

#define RH_FIELDS_PLAN(F)                                                                         \
	F(TEXT, _, schema, NEED, "", "`reheap.plan/1`")                                           \
	F(TEXT, _, comment, MAY, "", "for people")                                                \
	F(TEXTS, _, traces, NEED, "", "globs, from the plan's folder")                            \
	F(TEXT, _, baseline, MAY, "", "what every backend is paired with; `libc`")                \
	F(TEXTS, _, backends, NEED, "", "variants, sweeps too; paths from the plan's folder")     \
	F(LIST, plan_run, runs, NEED, "", "how each trace is replayed")                           \
	F(LIST, plan_machine, machines, MAY, "", "classes of machines; one that is called `any`") \
	F(PAIRS, _, families, MAY, "",                                                            \
	  "family of traces: pattern of their names; else a name up to its first `-` or `.`")     \
	F(REAL, _, aa, MAY, "share", "planted cells of the baseline against itself; 0.02")        \
	F(U32, _, seed, MAY, "", "`replay --seed`; 1")

RH_RECORD(plan_machine, RH_FIELDS_PLAN_MACHINE)
RH_RECORD(plan_run, RH_FIELDS_PLAN_RUN)
RH_RECORD(plan, RH_FIELDS_PLAN)

#define RH_PLAN_SCHEMA "reheap.plan/1"

enum rh_cell_kind { RH_CELL_TIMING, RH_CELL_DETERMINISTIC };
extern const char *const rh_cell_kinds[]; /* "timing", "deterministic", NULL */

/* Reads a plan, fills in what it leaves out and checks every word that needs no other file. */
int rh_plan_read(struct rh_plan *plan, const char *path, struct rh_pool *pool, struct rh_err *err);
/* Index of the kind that a run names. */
enum rh_cell_kind rh_plan_kind(const char *word);

#endif
