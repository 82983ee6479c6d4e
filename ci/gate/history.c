/*
 * history.c - the SQLite file: two tables, documents and the numbers in them.
 *
 * A document is added in one transaction: all of its numbers or none. Values reach SQL as
 * bound parameters only.
 */
#include "ci/gate/history_parts.h"
#include "ci/gate/gate.h"
#include "ci/gate/report.h"
#include "alloc/base/printable.h"

#include <math.h>
#include <stdbool.h>
#include <sha2.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "alloc/base/os.h"
#include "harness/result/pool.h"
#include "harness/result/load.h"
#include "harness/result/result.h"

struct rh_history {
	sqlite3 *db;
	const char *path;
	sqlite3_stmt *put;
};

/* The fields that all numbers of a document share. */
struct source {
	sqlite3_int64 document;
	const char *trace, *sha256, *backend;
	json_int_t lanes, copies;
	size_t rows;
};

static const char schema[] =
	"CREATE TABLE IF NOT EXISTS document(id INTEGER PRIMARY KEY, sha256 TEXT UNIQUE NOT NULL,"
	" schema TEXT NOT NULL, started TEXT NOT NULL, tool TEXT NOT NULL, host TEXT NOT NULL,"
	" verdict TEXT);"
	"CREATE TABLE IF NOT EXISTS number(document INTEGER NOT NULL REFERENCES document(id),"
	" trace TEXT NOT NULL, sha256 TEXT NOT NULL, lanes INTEGER NOT NULL,"
	" copies INTEGER NOT NULL, backend TEXT NOT NULL, metric TEXT NOT NULL,"
	" unit TEXT NOT NULL, value REAL NOT NULL, lo REAL, hi REAL);"
	"CREATE INDEX IF NOT EXISTS number_series ON number(metric, backend, sha256);";

static int failed(const struct rh_history *history, struct rh_err *err)
{
	return rh_fail(err, RH_IO, "%s: %s", history->path, sqlite3_errmsg(history->db));
}

static int run_sql(struct rh_history *history, const char *sql, struct rh_err *err)
{
	return sqlite3_exec(history->db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0
									     : failed(history, err);
}

int rh_history_open(struct rh_history **history, const char *path, bool create, struct rh_err *err)
{
	static const char put[] = "INSERT INTO number VALUES(?,?,?,?,?,?,?,?,?,?,?)";
	struct rh_history *made = calloc(1, sizeof(*made));
	int flags = SQLITE_OPEN_READWRITE | (create ? SQLITE_OPEN_CREATE : 0);
	bool is_new = create && access(path, F_OK) < 0;

	*history = NULL;
	/* SQLite takes an empty name for a file that is gone when it is closed. */
	if (!*path || !made) {
		free(made);
		return *path ? rh_fail(err, RH_OS, "no memory")
			     : rh_fail(err, RH_USAGE, "--db is an empty name");
	}
	made->path = path;
	if (sqlite3_open_v2(path, &made->db, flags, NULL) != SQLITE_OK) {
		rh_fail(err, create ? RH_CANT_CREATE : RH_NO_INPUT, "%s: %s", path,
			sqlite3_errmsg(made->db));
		rh_history_close(made);
		return -1;
	}
	sqlite3_busy_timeout(made->db, 5000);
	if (run_sql(made, schema, err) < 0 ||
	    (sqlite3_prepare_v2(made->db, put, -1, &made->put, NULL) != SQLITE_OK &&
	     failed(made, err) < 0)) {
		rh_history_close(made);
		/* A database without its tables: the disk is full. */
		if (is_new)
			unlink(path);
		return -1;
	}
	*history = made;
	return 0;
}

void rh_history_close(struct rh_history *history)
{
	if (!history)
		return;
	sqlite3_finalize(history->put);
	sqlite3_close(history->db);
	free(history);
}

/* ---- adding ---- */

static void bind_real(sqlite3_stmt *statement, int place, const json_t *value)
{
	if (json_is_number(value))
		sqlite3_bind_double(statement, place, json_number_value(value));
	else
		sqlite3_bind_null(statement, place);
}

struct number {
	const char *metric, *unit;
	double value;
	const json_t *lo, *hi; /* NULL = it has no interval */
};

static int put(struct rh_history *history, struct source *source, const struct number *number,
	       struct rh_err *err)
{
	sqlite3_stmt *row = history->put;

	if (!isfinite(number->value))
		return 0;
	sqlite3_reset(row);
	sqlite3_bind_int64(row, 1, source->document);
	sqlite3_bind_text(row, 2, source->trace, -1, SQLITE_TRANSIENT);
	sqlite3_bind_text(row, 3, source->sha256, -1, SQLITE_TRANSIENT);
	sqlite3_bind_int64(row, 4, source->lanes);
	sqlite3_bind_int64(row, 5, source->copies);
	sqlite3_bind_text(row, 6, source->backend, -1, SQLITE_TRANSIENT);
	sqlite3_bind_text(row, 7, number->metric, -1, SQLITE_TRANSIENT);
	sqlite3_bind_text(row, 8, number->unit, -1, SQLITE_TRANSIENT);
	sqlite3_bind_double(row, 9, number->value);
	bind_real(row, 10, number->lo);
	bind_real(row, 11, number->hi);
	if (sqlite3_step(row) != SQLITE_DONE)
		return failed(history, err);
	source->rows++;
	return 0;
}

static int add_result(struct rh_history *history, const json_t *root, struct source *source,
		      struct rh_err *err)
{
	const json_t *traces = json_object_get(root, "traces");
	const json_t *backends = json_object_get(root, "backends");
	size_t index;
	json_t *metric;

	json_array_foreach(json_object_get(root, "metrics"), index, metric)
	{
		const json_t *trace = json_array_get(
			traces, (size_t)json_integer_value(json_object_get(metric, "trace")));
		const json_t *backend = json_array_get(
			backends, (size_t)json_integer_value(json_object_get(metric, "backend")));
		const json_t *median = json_object_get(metric, "median");

		if (!json_is_number(median))
			continue;
		source->trace = rh_gate_text(trace, "name");
		source->sha256 = rh_gate_text(trace, "sha256");
		source->backend = rh_gate_text(backend, "spec");
		source->lanes = json_integer_value(json_object_get(metric, "lanes"));
		source->copies = json_integer_value(json_object_get(metric, "copies"));
		if (put(history, source,
			&(struct number){ .metric = rh_gate_text(metric, "name"),
					  .unit = rh_gate_text(metric, "unit"),
					  .value = json_number_value(median),
					  .lo = json_object_get(metric, "lo"),
					  .hi = json_object_get(metric, "hi") },
			err) < 0)
			return -1;
	}
	return 0;
}

static int add_scenario(struct rh_history *history, const json_t *scenario, struct source *source,
			struct rh_err *err)
{
	char name[80];
	size_t index;
	json_t *row;

	source->trace = rh_gate_text(scenario, "trace");
	source->sha256 = rh_gate_text(scenario, "sha256");
	source->lanes = json_integer_value(json_object_get(scenario, "lanes"));
	source->copies = 1;
	json_array_foreach(json_object_get(scenario, "metrics"), index, row)
	{
		const json_t *ratio = json_object_get(row, "ratio");

		if (json_is_number(ratio) && !(json_number_value(ratio) > 0))
			return rh_fail(err, RH_BAD_DATA,
				       "the ratio of %.60s, metrics[%zu] of its scenario, is not "
				       "above 0",
				       rh_gate_text(row, "name"), index);
		snprintf(name, sizeof(name), "gate.%.60s", rh_gate_text(row, "name"));
		if (json_is_number(ratio) &&
		    put(history, source,
			&(struct number){ .metric = name,
					  .unit = "ratio",
					  .value = json_number_value(ratio) },
			err) < 0)
			return -1;
	}
	json_array_foreach(json_object_get(scenario, "counts"), index, row)
	{
		const json_t *value = json_object_get(row, "candidate");

		snprintf(name, sizeof(name), "counts.%.60s", rh_gate_text(row, "name"));
		if (json_is_number(value) &&
		    put(history, source,
			&(struct number){ .metric = name,
					  .unit = rh_gate_text(row, "unit"),
					  .value = json_number_value(value) },
			err) < 0)
			return -1;
	}
	return 0;
}

static int add_gate(struct rh_history *history, const json_t *root, struct source *source,
		    struct rh_err *err)
{
	size_t index;
	json_t *row;

	source->backend = rh_gate_text(json_object_get(root, "candidate"), "label");
	json_array_foreach(json_object_get(root, "scenarios"), index,
			   row) if (add_scenario(history, row, source, err) < 0) return -1;
	return 0;
}

/* 1 new, 0 was there, -1 error. */
static int add_document(struct rh_history *history, const json_t *root, const char *sha256,
			struct source *source, struct rh_err *err)
{
	static const char sql[] = "INSERT OR IGNORE INTO document(sha256, schema, started, tool, "
				  "host, verdict) VALUES(?,?,?,?,?,?)";
	const json_t *host = json_object_get(root, "host"), *tool = json_object_get(root, "tool");
	const char *cpu = rh_gate_text(host, "cpu_model");
	sqlite3_stmt *row;

	if (sqlite3_prepare_v2(history->db, sql, -1, &row, NULL) != SQLITE_OK)
		return failed(history, err);
	sqlite3_bind_text(row, 1, sha256, -1, SQLITE_TRANSIENT);
	sqlite3_bind_text(row, 2, rh_gate_text(root, "schema"), -1, SQLITE_TRANSIENT);
	sqlite3_bind_text(row, 3, rh_gate_text(root, "started"), -1, SQLITE_TRANSIENT);
	sqlite3_bind_text(row, 4,
			  json_is_string(tool) ? json_string_value(tool)
					       : rh_gate_text(tool, "version"),
			  -1, SQLITE_TRANSIENT);
	sqlite3_bind_text(row, 5, *cpu ? cpu : rh_gate_text(host, "cpu"), -1, SQLITE_TRANSIENT);
	sqlite3_bind_text(row, 6, rh_gate_text(root, "verdict"), -1, SQLITE_TRANSIENT);
	if (sqlite3_step(row) != SQLITE_DONE) {
		sqlite3_finalize(row);
		return failed(history, err);
	}
	sqlite3_finalize(row);
	source->document = sqlite3_last_insert_rowid(history->db);
	return sqlite3_changes(history->db) > 0;
}

static bool is_ours(const json_t *root)
{
	const char *kind = rh_gate_text(root, "schema");

	return strcmp(kind, RH_RESULT_SCHEMA) == 0 || strcmp(kind, "reheap.gate/1") == 0;
}

static int add(struct rh_history *history, const json_t *root, const char *sha256,
	       struct source *source, struct rh_err *err)
{
	const char *kind = rh_gate_text(root, "schema");
	int fresh;

	if (!is_ours(root))
		return rh_fail(err, RH_BAD_DATA,
			       "it is neither a result (reheap.result/1) nor a "
			       "gate (reheap.gate/1)");
	fresh = add_document(history, root, sha256, source, err);
	if (fresh <= 0)
		return fresh;
	if ((strcmp(kind, "reheap.gate/1") == 0 ? add_gate(history, root, source, err)
						: add_result(history, root, source, err)) < 0)
		return -1;
	return 1;
}

/* By the readers of these documents, which believe nothing: a number out of its range is refused by
 * its field, before any row is written. */
static int check(const char *path, const json_t *root, struct rh_err *err)
{
	struct rh_gate gate = { 0 };
	enum rh_gate_verdict stored;
	struct rh_document document;
	struct rh_pool *pool;
	json_t *again = NULL;
	int result;

	if (strcmp(rh_gate_text(root, "schema"), "reheap.gate/1") == 0) {
		result = rh_gate_read_json(&gate, path, &again, &stored, err);
		rh_gate_free(&gate);
		json_decref(again);
		return result;
	}
	pool = rh_pool_open();
	result = rh_document_read(&document, path, pool, err);
	rh_pool_close(pool);
	return result;
}

int rh_history_add(struct rh_history *history, const char *path, size_t *rows, struct rh_err *err)
{
	char sha256[SHA256_DIGEST_STRING_LENGTH];
	struct source source = { .trace = "" };
	struct rh_filemap map;
	struct stat st;
	json_t *root;
	int result = 0;

	*rows = 0;
	if (stat(path, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
		return rh_fail(err, RH_NO_INPUT,
			       "%s is no file but a pipe or a device, and a document is read more "
			       "than once to be added: put it into a file",
			       path);
	/* Read as it comes first, which ends early for what is no document, however long. */
	root = rh_json_load(path, err);
	if (!root)
		return -1;
	if (is_ours(root))
		result = check(path, root, err);
	if (result == 0)
		result = rh_filemap_open(&map, path, err);
	if (result < 0) {
		json_decref(root);
		return -1;
	}
	SHA256Data(map.base, map.bytes, sha256);
	rh_filemap_close(&map);
	result = run_sql(history, "BEGIN IMMEDIATE", err);
	if (result == 0) {
		result = add(history, root, sha256, &source, err);
		if (run_sql(history, result >= 0 ? "COMMIT" : "ROLLBACK",
			    result >= 0 ? err : NULL) < 0)
			result = -1;
	}
	json_decref(root);
	*rows = source.rows;
	return result < 0 && err->code != RH_IO ? rh_err_prefix(err, "%s", path) : result;
}

/* ---- queries ---- */

/* A pattern without * and % is a part of a name; NULL = all. Freed by the caller. */
static char *like_of(const char *pattern)
{
	bool part = pattern && !strpbrk(pattern, "*%");
	size_t bytes = pattern ? strlen(pattern) : 0;
	char *like = rh_scratch(bytes + 3, 1), *at = like;

	if (part || !pattern)
		*at++ = '%';
	for (size_t i = 0; i < bytes; i++)
		*at++ = pattern[i] == '*' ? '%' : pattern[i];
	if (part)
		*at++ = '%';
	*at = '\0';
	return like;
}

static sqlite3_stmt *select_rows(struct rh_history *history, const struct rh_history_pick *pick,
				 struct rh_err *err)
{
	static const char sql[] =
		"SELECT n.trace, n.lanes, n.copies, n.backend, n.metric, n.unit, n.value, n.lo, "
		"n.hi, d.started, d.tool, n.sha256, d.host FROM number n JOIN document d "
		"ON d.id = n.document WHERE n.metric LIKE ?1 AND n.backend LIKE ?2 AND n.trace "
		"LIKE ?3 ORDER BY n.metric, n.trace, n.sha256, n.lanes, n.copies, n.backend, "
		"d.started, d.id";
	const char *const patterns[] = { pick->metric, pick->backend, pick->trace };
	sqlite3_stmt *rows;

	if (sqlite3_prepare_v2(history->db, sql, -1, &rows, NULL) != SQLITE_OK) {
		failed(history, err);
		return NULL;
	}
	for (int i = 0; i < 3; i++)
		sqlite3_bind_text(rows, i + 1, like_of(patterns[i]), -1, free);
	return rows;
}

static const char *column(sqlite3_stmt *rows, int index)
{
	const unsigned char *text = sqlite3_column_text(rows, index);

	return text ? (const char *)text : "";
}

/* metric, trace, hash, lanes, copies, backend: what makes a series. */
static void key_of(sqlite3_stmt *rows, char *key, size_t bytes)
{
	snprintf(key, bytes, "%s\t%s\t%s\t%s\t%s\t%s", column(rows, 4), column(rows, 0),
		 column(rows, 11), column(rows, 1), column(rows, 2), column(rows, 3));
}

static char *copy_of(sqlite3_stmt *rows, int index)
{
	const char *text = column(rows, index);

	return memcpy(rh_scratch(strlen(text) + 1, 1), text, strlen(text));
}

static struct rh_history_series *add_series(struct rh_history_list *list, sqlite3_stmt *rows)
{
	struct rh_history_series *series =
		rh_grow(&list->series, &list->count, sizeof(*list->series));

	*series = (struct rh_history_series){
		.trace = copy_of(rows, 0),
		.lanes = (unsigned)sqlite3_column_int(rows, 1),
		.copies = (unsigned)sqlite3_column_int(rows, 2),
		.backend = copy_of(rows, 3),
		.metric = copy_of(rows, 4),
		.unit = copy_of(rows, 5),
	};
	return series;
}

int rh_history_read(struct rh_history *history, const struct rh_history_pick *pick,
		    struct rh_history_list *list, struct rh_err *err)
{
	sqlite3_stmt *rows = select_rows(history, pick, err);
	struct rh_history_series *series = NULL;
	char key[2048], last[2048] = "";

	*list = (struct rh_history_list){ 0 };
	if (!rows)
		return -1;
	while (sqlite3_step(rows) == SQLITE_ROW) {
		key_of(rows, key, sizeof(key));
		if (!series || strcmp(key, last) != 0)
			series = add_series(list, rows);
		memcpy(last, key, sizeof(last));
		*(double *)rh_grow(&series->values, &series->count, sizeof(double)) =
			sqlite3_column_double(rows, 6);
		snprintf(rh_grow(&series->dates, &series->date_count, RH_HISTORY_DATE),
			 RH_HISTORY_DATE, "%.10s", column(rows, 9));
	}
	sqlite3_finalize(rows);
	return 0;
}

void rh_history_list_free(struct rh_history_list *list)
{
	for (size_t i = 0; i < list->count; i++) {
		struct rh_history_series *series = &list->series[i];

		free(series->trace);
		free(series->backend);
		free(series->metric);
		free(series->unit);
		free(series->values);
		free(series->dates);
	}
	free(list->series);
	*list = (struct rh_history_list){ 0 };
}

static const char *const columns[] = { "trace", "lanes",  "copies", "backend", "metric",
				       "unit",	"value",  "lo",	    "hi",      "started",
				       "tool",	"sha256", "host" };
enum { COLUMNS = sizeof(columns) / sizeof(columns[0]) };

static void export_csv(sqlite3_stmt *rows, FILE *to)
{
	for (int i = 0; i < COLUMNS; i++)
		rh_print(to, "%s%c", columns[i], i + 1 < COLUMNS ? ',' : '\n');
	while (sqlite3_step(rows) == SQLITE_ROW)
		for (int i = 0; i < COLUMNS; i++) {
			if (sqlite3_column_type(rows, i) == SQLITE_TEXT)
				rh_print_csv(to, column(rows, i));
			else
				rh_print_text(to, column(rows, i));
			fputc(i + 1 < COLUMNS ? ',' : '\n', to);
		}
}

static void export_json(sqlite3_stmt *rows, FILE *to)
{
	bool some = false;

	while (sqlite3_step(rows) == SQLITE_ROW) {
		json_t *object = json_object();

		for (int i = 0; i < COLUMNS; i++) {
			int type = sqlite3_column_type(rows, i);

			json_object_set_new(
				object, columns[i],
				type == SQLITE_INTEGER ? json_integer(sqlite3_column_int64(rows, i))
				: type == SQLITE_FLOAT ? json_real(sqlite3_column_double(rows, i))
				: type == SQLITE_NULL  ? json_null()
						       : json_string(column(rows, i)));
		}
		fputs(some ? ",\n" : "[\n", to);
		json_dumpf(object, to, JSON_REAL_PRECISION(17) | JSON_ENSURE_ASCII);
		some = true;
		json_decref(object);
	}
	fputs(some ? "\n]\n" : "[]\n", to);
}

int rh_history_export(struct rh_history *history, const struct rh_history_pick *pick, bool json,
		      FILE *to, struct rh_err *err)
{
	sqlite3_stmt *rows = select_rows(history, pick, err);

	if (!rows)
		return -1;
	if (json)
		export_json(rows, to);
	else
		export_csv(rows, to);
	sqlite3_finalize(rows);
	return 0;
}
