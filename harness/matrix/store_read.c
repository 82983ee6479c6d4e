/*
 * store_read.c - rows of matrix.sqlite as structures and as CSV (store.h).
 */
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "alloc/base/printable.h"
#include "harness/matrix/store_sql.h"

static const char *text_at(sqlite3_stmt *s, int column, struct rh_pool *pool)
{
	const char *text = (const char *)sqlite3_column_text(s, column);

	return rh_pool_text(pool, text ? text : "");
}

static double real_at(sqlite3_stmt *s, int column)
{
	return sqlite3_column_type(s, column) == SQLITE_NULL ? NAN
							     : sqlite3_column_double(s, column);
}

static void read_logs(struct rh_effect_row *row, const char *text, struct rh_pool *pool)
{
	size_t count = 1;
	double *logs;
	char *end;

	if (!text || !*text)
		return;
	for (const char *at = text; *at; at++)
		count += *at == ' ';
	logs = rh_pool_alloc(pool, count, sizeof(*logs));
	for (const char *at = text; *at; at = end) {
		double value = strtod(at, &end);

		if (end == at)
			break;
		assert(row->log_count < count);
		logs[row->log_count++] = value;
	}
	row->logs = logs;
}

static void read_row(sqlite3_stmt *s, struct rh_effect_row *row, struct rh_pool *pool)
{
	const char **texts[] = { &row->cell,   &row->kind,   &row->machine, &row->family,
				 &row->trace,  &row->sha256, &row->label,   &row->backend_is,
				 &row->lanes,  &row->copies, &row->probes,  &row->host,
				 &row->metric, &row->unit,   &row->better };
	int at = 0;

	for (; at < (int)(sizeof(texts) / sizeof(texts[0])); at++)
		*texts[at] = text_at(s, at, pool);
	row->aa = sqlite3_column_int(s, at++);
	row->value = real_at(s, at++);
	row->base = real_at(s, at++);
	row->effect = (struct rh_estimate){ .ratio = real_at(s, at),
					    .lo = real_at(s, at + 1),
					    .hi = real_at(s, at + 2),
					    .level = real_at(s, at + 3),
					    .n = (size_t)sqlite3_column_int64(s, at + 4),
					    .paired = true };
	read_logs(row, (const char *)sqlite3_column_text(s, at + 5), pool);
}

int rh_store_effects(struct rh_store *store, const struct rh_effect_query *query,
		     struct rh_effects *effects, struct rh_pool *pool, struct rh_err *err)
{
	static const char sql[] =
		"SELECT c.name, c.kind, c.machine, c.family, c.trace, c.sha256, c.label,"
		" c.backend_is, c.lanes, c.copies, c.probes, c.host, e.metric, e.unit, e.better,"
		" c.aa, e.value, e.base, e.ratio, e.lo, e.hi, e.level, e.n, e.logs FROM effect e"
		" JOIN cell c ON c.name = e.cell WHERE e.metric = ? AND c.aa <= ? ORDER BY c.place";
	sqlite3_stmt *s;
	int step;

	*effects = (struct rh_effects){ 0 };
	if (sqlite3_prepare_v2(store->db, sql, -1, &s, NULL) != SQLITE_OK)
		return rh_store_failed(store, err);
	sqlite3_bind_text(s, 1, query->metric, -1, SQLITE_TRANSIENT);
	sqlite3_bind_int(s, 2, query->planted);
	while ((step = sqlite3_step(s)) == SQLITE_ROW)
		read_row(
			s,
			rh_pool_grow(pool, &effects->rows, &effects->count, sizeof(*effects->rows)),
			pool);
	sqlite3_finalize(s);
	return step == SQLITE_DONE ? 0 : rh_store_failed(store, err);
}

int rh_store_sum(struct rh_store *store, struct rh_store_sum *sum, struct rh_pool *pool,
		 struct rh_err *err)
{
	static const char sql[] =
		"SELECT count(*), sum(state IS 'done'), sum(state IS 'absent'),"
		" sum(state IS 'failed'), sum(state IS 'damaged'), sum(state IS NULL),"
		" (SELECT value FROM matrix WHERE key = 'version'),"
		" (SELECT value FROM matrix WHERE key = 'made') FROM cell";
	sqlite3_stmt *s;

	*sum = (struct rh_store_sum){ .read = store->read };
	if (sqlite3_prepare_v2(store->db, sql, -1, &s, NULL) != SQLITE_OK)
		return rh_store_failed(store, err);
	if (sqlite3_step(s) == SQLITE_ROW) {
		size_t *numbers[] = { &sum->cells,  &sum->done,	   &sum->absent,
				      &sum->failed, &sum->damaged, &sum->missing };

		for (int i = 0; i < 6; i++)
			*numbers[i] = (size_t)sqlite3_column_int64(s, i);
		sum->version = text_at(s, 6, pool);
		sum->made = text_at(s, 7, pool);
	}
	sqlite3_finalize(s);
	return 0;
}

int rh_store_csv(struct rh_store *store, FILE *to, struct rh_err *err)
{
	static const char sql[] =
		"SELECT cell, metric, unit, source, better, family, trace, machine, host, kind,"
		" lanes, copies, backend, aa, verdict, value, base, ratio, log_ratio, lo, hi,"
		" level, n FROM answer ORDER BY cell, metric";
	enum { TEXTS = 15 };
	sqlite3_stmt *s;
	int step, columns;

	if (sqlite3_prepare_v2(store->db, sql, -1, &s, NULL) != SQLITE_OK)
		return rh_store_failed(store, err);
	columns = sqlite3_column_count(s);
	for (int c = 0; c < columns; c++)
		rh_print(to, "%s%s", c ? "," : "", sqlite3_column_name(s, c));
	fputc('\n', to);
	while ((step = sqlite3_step(s)) == SQLITE_ROW) {
		for (int c = 0; c < columns; c++) {
			if (c)
				fputc(',', to);
			if (c < TEXTS)
				rh_print_csv(to, sqlite3_column_text(s, c)
							 ? (const char *)sqlite3_column_text(s, c)
							 : "");
			else if (sqlite3_column_type(s, c) != SQLITE_NULL)
				fprintf(to, "%.9g", sqlite3_column_double(s, c));
		}
		fputc('\n', to);
	}
	sqlite3_finalize(s);
	return step == SQLITE_DONE ? 0 : rh_store_failed(store, err);
}
