/*
 * store.h - all numbers of a matrix in one SQLite file, DIR/matrix.sqlite.
 *
 * Opening it brings it up to date: results that it has not seen are read, one at a time, cells that
 * are no longer in the matrix are dropped. Ten thousand results are read once; afterwards every
 * question is a query. Tables and views: MATRIX.md beside this file. Others do not need this code:
 * sqlite3, a spreadsheet or a data frame can read the file.
 *
 * Rows are handed out as structures (below), for analysis, report, compare and gate.
 *
 * Ownership: rh_store_close; rows lie in the caller's pool. Thread rule: one thread; several
 * processes may read. Errors: RH_NO_INPUT, RH_BAD_DATA, RH_CANT_CREATE, RH_IO.
 */
#ifndef RH_MATRIX_STORE_H
#define RH_MATRIX_STORE_H

#include <stdio.h>

#include "harness/matrix/folder.h"
#include "harness/result/estimate.h"

struct rh_store;

/* If the folder cannot be written, the database is in memory. */
int rh_store_open(struct rh_store **store, const char *dir, struct rh_err *err);
void rh_store_close(struct rh_store *store); /* NULL allowed */

/* One metric of one cell: the backend relative to the baseline that ran beside it. */
struct rh_effect_row {
	const char *cell, *kind, *machine, *family, *trace, *sha256, *label, *backend_is, *lanes,
		*copies, *probes, *host;
	const char *metric, *unit, *better;
	bool aa;
	double value, base; /* medians */
	struct rh_estimate effect;
	const double *logs; /* ln of backend / baseline, repetition by repetition; may be empty */
	size_t log_count;
};

struct rh_effects {
	struct rh_effect_row *rows;
	size_t count;
};
struct rh_effect_query {
	const char *metric;
	bool planted; /* A/A cells too */
};

/* All cells that have the metric, in the order of the matrix. */
int rh_store_effects(struct rh_store *store, const struct rh_effect_query *query,
		     struct rh_effects *effects, struct rh_pool *pool, struct rh_err *err);

struct rh_store_sum {
	size_t cells, done, absent, failed, damaged, missing;
	size_t read; /* by this opening */
	const char *version, *made;
};
int rh_store_sum(struct rh_store *store, struct rh_store_sum *sum, struct rh_pool *pool,
		 struct rh_err *err);

/* Every effect as a row of CSV, with fixed types in each column (for data frames, Parquet). */
int rh_store_csv(struct rh_store *store, FILE *to, struct rh_err *err);

#endif
