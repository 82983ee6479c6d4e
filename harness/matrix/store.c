/*
 * store.c - brings DIR/matrix.sqlite up to date (store.h).
 *
 *	1  matrix.json: cells no longer in it are deleted, new ones added, all in order
 *	2  each result without a state is read (brief.h) and its effects are inserted
 *
 * One opening is one transaction: a concurrent reader sees the matrix before or after. The
 * journal is in memory and nothing is synced, because the file can be rebuilt from the results.
 */
#include "harness/matrix/store.h"

#include <assert.h>
#include <math.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "alloc/base/progress.h"
#include "harness/matrix/effect.h"
#include "harness/matrix/store_sql.h"

static const char tables[] =
	"PRAGMA journal_mode=MEMORY; PRAGMA synchronous=OFF; PRAGMA user_version=1;"
	"CREATE TABLE IF NOT EXISTS matrix(key TEXT PRIMARY KEY, value TEXT);"
	"CREATE TABLE IF NOT EXISTS cell(name TEXT PRIMARY KEY, place INTEGER, kind TEXT,"
	" machine TEXT, family TEXT, trace TEXT, sha256 TEXT, events INTEGER, backend TEXT,"
	" label TEXT, backend_is TEXT, baseline TEXT, lanes TEXT, copies TEXT, probes TEXT,"
	" reps INTEGER, passes INTEGER, aa INTEGER, state TEXT, why TEXT, host TEXT, cpu TEXT,"
	" started TEXT, wall_s REAL);"
	"CREATE TABLE IF NOT EXISTS effect(cell TEXT, metric TEXT, unit TEXT, source TEXT,"
	" better TEXT, value REAL, base REAL, ratio REAL, log_ratio REAL, lo REAL, hi REAL,"
	" level REAL, n INTEGER, verdict TEXT, logs TEXT, PRIMARY KEY(cell, metric)) WITHOUT ROWID;"
	"CREATE INDEX IF NOT EXISTS effect_metric ON effect(metric);"
	"DROP VIEW IF EXISTS answer; CREATE VIEW answer AS SELECT c.family, c.trace, c.machine,"
	" c.kind, c.lanes, c.copies, c.label AS backend, c.aa, c.host, e.* FROM effect e"
	" JOIN cell c ON c.name = e.cell;"
	"DROP VIEW IF EXISTS by_family; CREATE VIEW by_family AS SELECT metric, family, backend,"
	" machine, count(*) AS cells, avg(log_ratio) AS mean_log_ratio, min(ratio) AS least,"
	" max(ratio) AS most, sum(verdict = 'better') AS better, sum(verdict = 'worse') AS worse"
	" FROM answer WHERE NOT aa GROUP BY metric, family, backend, machine;"
	"DROP VIEW IF EXISTS by_backend; CREATE VIEW by_backend AS SELECT metric, backend, machine,"
	" count(*) AS cells, avg(log_ratio) AS mean_log_ratio, min(ratio) AS least,"
	" max(ratio) AS most, sum(verdict = 'better') AS better, sum(verdict = 'worse') AS worse"
	" FROM answer WHERE NOT aa GROUP BY metric, backend, machine;"
	"DROP VIEW IF EXISTS false_alarms; CREATE VIEW false_alarms AS SELECT metric, machine,"
	" count(*) AS planted, sum(verdict IN ('better', 'worse')) AS alarms FROM answer WHERE aa"
	" GROUP BY metric, machine;"
	"DROP VIEW IF EXISTS not_done; CREATE VIEW not_done AS SELECT * FROM cell"
	" WHERE state IS NOT 'done';";

int rh_store_failed(const struct rh_store *store, struct rh_err *err)
{
	return rh_fail(err, RH_IO, "%s/matrix.sqlite: %s", store->dir, sqlite3_errmsg(store->db));
}

int rh_store_run(struct rh_store *store, const char *sql, struct rh_err *err)
{
	return sqlite3_exec(store->db, sql, NULL, NULL, NULL) == SQLITE_OK
		       ? 0
		       : rh_store_failed(store, err);
}

static void bind_text(sqlite3_stmt *s, int place, const char *text)
{
	if (text)
		sqlite3_bind_text(s, place, text, -1, SQLITE_TRANSIENT);
	else
		sqlite3_bind_null(s, place);
}

static void bind_real(sqlite3_stmt *s, int place, double value)
{
	if (isfinite(value))
		sqlite3_bind_double(s, place, value);
	else
		sqlite3_bind_null(s, place);
}

/* ---- cells ---- */

static int put_cells(struct rh_store *store, const struct rh_matrix *m, struct rh_err *err)
{
	static const char sql[] =
		"INSERT INTO cell(name, place, kind, machine, family, trace, sha256, events,"
		" backend, label, backend_is, baseline, lanes, copies, probes, reps, passes, aa)"
		" VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"
		" ON CONFLICT(name) DO UPDATE SET place = excluded.place, trace = excluded.trace,"
		" family = excluded.family, label = excluded.label";
	sqlite3_stmt *s;
	int result = 0;

	if (sqlite3_prepare_v2(store->db, sql, -1, &s, NULL) != SQLITE_OK)
		return rh_store_failed(store, err);
	for (size_t i = 0; i < m->cells_count && result == 0; i++) {
		const struct rh_cell *c = &m->cells[i];
		const char *texts[] = { c->kind,	   c->machine, c->family,
					c->trace,	   c->sha256,  NULL,
					c->backend,	   c->label,   c->backend_is,
					c->baseline_label, c->lanes,   c->copies,
					c->probes };

		sqlite3_reset(s);
		bind_text(s, 1, c->name);
		sqlite3_bind_int64(s, 2, (sqlite3_int64)i);
		for (int t = 0; t < 13; t++)
			bind_text(s, 3 + t, texts[t]);
		sqlite3_bind_int64(s, 8, (sqlite3_int64)c->events);
		sqlite3_bind_int64(s, 16, c->reps);
		sqlite3_bind_int64(s, 17, c->passes);
		sqlite3_bind_int64(s, 18, c->aa);
		if (sqlite3_step(s) != SQLITE_DONE)
			result = rh_store_failed(store, err);
	}
	sqlite3_finalize(s);
	return result;
}

static int put_key(struct rh_store *store, const char *key, const char *value, struct rh_err *err)
{
	sqlite3_stmt *s;
	int result = 0;

	if (sqlite3_prepare_v2(store->db, "INSERT OR REPLACE INTO matrix VALUES(?,?)", -1, &s,
			       NULL) != SQLITE_OK)
		return rh_store_failed(store, err);
	bind_text(s, 1, key);
	bind_text(s, 2, value);
	if (sqlite3_step(s) != SQLITE_DONE)
		result = rh_store_failed(store, err);
	sqlite3_finalize(s);
	return result;
}

/* ---- results ---- */

static const char *verdict_word(const struct rh_estimate *e, const char *better)
{
	static const char *const words[] = { "better", "same", "worse", "open" };

	if (strcmp(better, "none") == 0)
		return "none";
	return words[rh_verdict(e, strcmp(better, "higher") != 0)];
}

/* "0.0123 -0.004": ln of the ratio of each repetition, where both sides have all of them. */
static const char *logs_text(const struct rh_metric *a, const struct rh_metric *b,
			     struct rh_pool *pool)
{
	char *text, *at;

	if (a->values_count != b->values_count || a->values_count == 0)
		return NULL;
	text = at = rh_pool_alloc(pool, a->values_count * 16 + 1, 1);
	for (size_t i = 0; i < a->values_count; i++)
		at += snprintf(at, 16, "%s%.6f", i ? " " : "", log(a->values[i] / b->values[i]));
	return text;
}

/* pair: of the backend, of the baseline. */
static int put_effect(struct rh_store *store, const char *cell,
		      const struct rh_metric *const pair[2], struct rh_pool *pool,
		      struct rh_err *err)
{
	const struct rh_metric *a = pair[0], *b = pair[1];
	sqlite3_stmt *s = store->put_effect;
	const char *better = a->better ? a->better : "none";
	struct rh_estimate e;

	if (!rh_effect_of(a, b, &e))
		return 0;
	sqlite3_reset(s);
	bind_text(s, 1, cell);
	bind_text(s, 2, a->name);
	bind_text(s, 3, a->unit);
	bind_text(s, 4, a->source);
	bind_text(s, 5, better);
	bind_real(s, 6, a->median);
	bind_real(s, 7, b->median);
	bind_real(s, 8, e.ratio);
	bind_real(s, 9, log(e.ratio));
	bind_real(s, 10, e.lo);
	bind_real(s, 11, e.hi);
	bind_real(s, 12, e.level);
	sqlite3_bind_int64(s, 13, (sqlite3_int64)e.n);
	bind_text(s, 14, verdict_word(&e, better));
	bind_text(s, 15, logs_text(a, b, pool));
	return sqlite3_step(s) == SQLITE_DONE ? 0 : rh_store_failed(store, err);
}

struct cell_state {
	const char *cell, *state, *why;
};

static int put_state(struct rh_store *store, const struct cell_state *is,
		     const struct rh_brief *brief, struct rh_err *err)
{
	sqlite3_stmt *s = store->put_state;

	sqlite3_reset(s);
	bind_text(s, 1, is->state);
	bind_text(s, 2, is->why);
	bind_text(s, 3, brief && brief->host ? brief->host->name : NULL);
	bind_text(s, 4, brief && brief->host ? brief->host->cpu_model : NULL);
	bind_text(s, 5, brief ? brief->started : NULL);
	bind_real(s, 6, brief ? brief->wall_s : NAN);
	bind_text(s, 7, is->cell);
	return sqlite3_step(s) == SQLITE_DONE ? 0 : rh_store_failed(store, err);
}

static int take_result(struct rh_store *store, const struct rh_cell *cell,
		       const struct rh_brief *brief, struct rh_pool *pool, struct rh_err *err)
{
	int one = rh_effect_backend(brief, cell->label);
	const char *status = one < 0 ? "absent" : brief->backends[one].status;

	for (size_t i = 0; i < brief->metrics_count && one >= 0; i++) {
		const struct rh_metric *a = &brief->metrics[i];
		const struct rh_metric *b =
			(int)a->backend == one
				? rh_effect_metric(brief, cell->baseline_label, a->name)
				: NULL;

		if (b && put_effect(store, cell->name, (const struct rh_metric *[]){ a, b }, pool,
				    err) < 0)
			return -1;
	}
	status = !status || strcmp(status, "ok") == 0 ? "done" : status;
	return put_state(
		store,
		&(struct cell_state){ cell->name, status,
				      one < 0 ? "not in the result" : brief->backends[one].why },
		brief, err);
}

/* An unreadable result becomes a state of the cell and does not end the reading. */
static int read_result(struct rh_store *store, const struct rh_cell *cell, struct rh_err *err)
{
	struct rh_pool *pool = rh_pool_open();
	struct rh_brief brief;
	struct rh_err why;
	int result;

	if (rh_brief_read(&brief, rh_folder_cell(pool, store->dir, cell->name), pool, &why) < 0)
		result = put_state(store, &(struct cell_state){ cell->name, "damaged", why.text },
				   NULL, err);
	else
		result = take_result(store, cell, &brief, pool, err);
	store->read++;
	rh_pool_close(pool);
	return result;
}

/* seen: cells whose state is known already. */
static int read_seen(struct rh_store *store, bool *seen, size_t count, struct rh_err *err)
{
	sqlite3_stmt *s;

	if (sqlite3_prepare_v2(
		    store->db,
		    "SELECT place FROM cell WHERE state IS NOT NULL AND state != 'damaged'", -1, &s,
		    NULL) != SQLITE_OK)
		return rh_store_failed(store, err);
	while (sqlite3_step(s) == SQLITE_ROW) {
		sqlite3_int64 place = sqlite3_column_int64(s, 0);

		if (place >= 0 && (size_t)place < count)
			seen[place] = true;
	}
	sqlite3_finalize(s);
	return 0;
}

/* The result was removed: the cell is missing again. */
static int lose_result(struct rh_store *store, const char *cell, struct rh_err *err)
{
	char sql[200];

	snprintf(sql, sizeof(sql), "DELETE FROM effect WHERE cell = '%.*s'", RH_CELL_NAME, cell);
	return put_state(store, &(struct cell_state){ cell, NULL, NULL }, NULL, err) < 0
		       ? -1
		       : rh_store_run(store, sql, err);
}

static int read_results(struct rh_store *store, const struct rh_matrix *m, struct rh_err *err)
{
	bool *done = calloc(m->cells_count + 1, sizeof(*done));
	bool *seen = calloc(m->cells_count + 1, sizeof(*seen));
	int result = done && seen ? 0 : rh_fail(err, RH_OS, "no memory for the list of cells");

	if (result == 0) {
		rh_folder_done(store->dir, m, done, NULL);
		result = read_seen(store, seen, m->cells_count, err);
	}
	for (size_t i = 0; i < m->cells_count && result == 0; i++) {
		if (seen[i] && !done[i])
			result = lose_result(store, m->cells[i].name, err);
		if (!done[i] || seen[i])
			continue;
		rh_progress("reading results: %zu of %zu", i + 1, m->cells_count);
		result = read_result(store, &m->cells[i], err);
	}
	rh_progress("%s", "");
	free(done);
	free(seen);
	return result;
}

/* Cells of the matrix that lost their result become missing again; cells of other plans are
 * deleted. */
static int forget(struct rh_store *store, struct rh_err *err)
{
	return rh_store_run(store,
			    "DELETE FROM effect WHERE cell IN (SELECT name FROM cell WHERE place"
			    " IS NULL);"
			    "DELETE FROM cell WHERE place IS NULL;",
			    err);
}

static int bring_up(struct rh_store *store, struct rh_err *err)
{
	struct rh_pool *pool = rh_pool_open();
	struct rh_matrix m;
	int result = rh_folder_read(store->dir, &m, pool, err);

	if (result == 0)
		result = rh_store_run(store, tables, err);
	if (result == 0)
		result = rh_store_run(store, "BEGIN IMMEDIATE; UPDATE cell SET place = NULL;", err);
	if (result == 0 &&
	    (put_cells(store, &m, err) < 0 || forget(store, err) < 0 ||
	     put_key(store, "version", m.version, err) < 0 ||
	     put_key(store, "made", m.made, err) < 0 || put_key(store, "plan", m.plan, err) < 0 ||
	     sqlite3_prepare_v2(store->db,
				"INSERT OR REPLACE INTO effect VALUES"
				"(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
				-1, &store->put_effect, NULL) != SQLITE_OK ||
	     sqlite3_prepare_v2(store->db,
				"UPDATE cell SET state=?, why=?, host=?, cpu=?,"
				" started=?, wall_s=? WHERE name=?",
				-1, &store->put_state, NULL) != SQLITE_OK ||
	     read_results(store, &m, err) < 0))
		result = err->text[0] ? -1 : rh_store_failed(store, err);
	if (result == 0)
		result = rh_store_run(store, "COMMIT", err);
	rh_pool_close(pool);
	return result;
}

int rh_store_open(struct rh_store **store, const char *dir, struct rh_err *err)
{
	struct rh_store *made = calloc(1, sizeof(*made));
	char path[4096];

	*store = NULL;
	if (!made)
		return rh_fail(err, RH_OS, "no memory");
	made->dir = strdup(dir);
	if (!rh_folder_is(dir)) {
		rh_store_close(made);
		return rh_fail(err, RH_NO_INPUT,
			       "%s is not the folder of a matrix: there is no matrix.json in it",
			       dir);
	}
	snprintf(path, sizeof(path), "%s/matrix.sqlite", dir);
	err->text[0] = '\0';
	if (sqlite3_open(access(dir, W_OK) == 0 ? path : ":memory:", &made->db) != SQLITE_OK)
		rh_fail(err, RH_CANT_CREATE, "%s: %s", path, sqlite3_errmsg(made->db));
	else
		sqlite3_busy_timeout(made->db, 60000);
	if (err->text[0] || bring_up(made, err) < 0) {
		rh_store_close(made);
		return -1;
	}
	*store = made;
	return 0;
}

void rh_store_close(struct rh_store *store)
{
	if (!store)
		return;
	sqlite3_finalize(store->put_effect);
	sqlite3_finalize(store->put_state);
	sqlite3_close(store->db);
	free(store->dir);
	free(store);
}
