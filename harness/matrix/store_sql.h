/*
 * store_sql.h - the open database, for store.c (which fills it) and store_read.c (which queries
 * it). Ownership and thread rule: store.h.
 */
#ifndef RH_MATRIX_STORE_SQL_H
#define RH_MATRIX_STORE_SQL_H

#include <sqlite3.h>

#include "harness/matrix/store.h"

struct rh_store {
	sqlite3 *db;
	char *dir;
	sqlite3_stmt *put_effect, *put_state;
	size_t read;
};

/* Sets err to the database's message; returns -1. */
int rh_store_failed(const struct rh_store *store, struct rh_err *err);
int rh_store_run(struct rh_store *store, const char *sql, struct rh_err *err);

#endif
