/*
 * folder.c - the contents of a matrix's folder (folder.h).
 */
#include "harness/matrix/folder.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "alloc/base/os.h"

const char *rh_folder_path(struct rh_pool *pool, const char *dir, const char *what)
{
	return rh_pool_printf(pool, "%s/%s", dir, what);
}

const char *rh_folder_cell(struct rh_pool *pool, const char *dir, const char *name)
{
	assert(strlen(name) == RH_CELL_NAME);
	return rh_pool_printf(pool, "%s/cells/%.2s/%s.json", dir, name, name);
}

bool rh_folder_is(const char *dir)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s/matrix.json", dir);
	return access(path, R_OK) == 0;
}

/* Checked because names become paths and come from a file that others may have written. */
static int check_names(const struct rh_matrix *matrix, const char *path, struct rh_err *err)
{
	for (size_t i = 0; i < matrix->cells_count; i++) {
		const char *name = matrix->cells[i].name;

		if (strlen(name) != RH_CELL_NAME ||
		    strspn(name, "0123456789abcdef") != RH_CELL_NAME)
			return rh_fail(err, RH_BAD_DATA, "%s: cells[%zu].name is not one", path, i);
	}
	return 0;
}

int rh_folder_read(const char *dir, struct rh_matrix *matrix, struct rh_pool *pool,
		   struct rh_err *err)
{
	const char *path = rh_folder_path(pool, dir, "matrix.json");

	if (access(path, F_OK) < 0)
		return rh_fail(err, RH_NO_INPUT,
			       "%s is not the folder of a matrix: there is no matrix.json in it",
			       dir);
	if (rh_record_read(&rh_matrix_type, matrix,
			   &(struct rh_record_source){ .path = path, .schema = RH_MATRIX_SCHEMA },
			   pool, err) < 0)
		return -1;
	return check_names(matrix, path, err);
}

int rh_folder_write(const char *dir, const struct rh_matrix *matrix, struct rh_err *err)
{
	static const char *const rooms[] = { "cells", "log", "jobs" };
	struct rh_outfile out;
	char path[4096];
	char *text;
	int result;

	for (size_t i = 0; i < sizeof(rooms) / sizeof(rooms[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, rooms[i]);
		if (rh_make_dirs(path, err) < 0)
			return -1;
	}
	snprintf(path, sizeof(path), "%s/matrix.json", dir);
	text = rh_record_print(&rh_matrix_type, matrix, RH_JSON_INDENTED);
	if (!text)
		return rh_fail(err, RH_OS, "no memory to write the matrix");
	result = rh_outfile_open(&out, path, err);
	if (result == 0) {
		result = rh_write_all(out.fd, text, strlen(text), path, err);
		if (result == 0)
			result = rh_outfile_commit(&out, err);
		else
			rh_outfile_abandon(&out);
	}
	free(text);
	return result;
}

/* ---- finished cells ---- */

static int by_name(const void *a, const void *b)
{
	return memcmp(*(const char *const *)a, *(const char *const *)b, RH_CELL_NAME);
}

struct names {
	const char **sorted; /* of all cells */
	bool *seen;	     /* by the same index */
	size_t count, found, others;
};

typedef void entry_fn(const char *dir, const char *shard, const char *entry, void *ctx);

/* Every file of DIR/cells/.. */
static void walk(const char *dir, entry_fn *visit, void *ctx)
{
	char path[4096];
	struct dirent *shard, *file;
	DIR *top, *room;

	snprintf(path, sizeof(path), "%s/cells", dir);
	top = opendir(path);
	while (top && (shard = readdir(top))) {
		if (shard->d_name[0] == '.' || strlen(shard->d_name) != 2)
			continue;
		snprintf(path, sizeof(path), "%s/cells/%.2s", dir, shard->d_name);
		room = opendir(path);
		while (room && (file = readdir(room)))
			if (file->d_name[0] != '.')
				visit(dir, shard->d_name, file->d_name, ctx);
		if (room)
			closedir(room);
	}
	if (top)
		closedir(top);
}

static void note_result(const char *dir, const char *shard, const char *entry, void *ctx)
{
	struct names *names = ctx;
	const char **found;

	(void)dir;
	(void)shard;
	if (strlen(entry) != RH_CELL_NAME + 5 || strcmp(entry + RH_CELL_NAME, ".json") != 0)
		return;
	found = bsearch(&entry, names->sorted, names->count, sizeof(*names->sorted), by_name);
	if (!found) {
		names->others++;
		return;
	}
	names->found += !names->seen[found - names->sorted];
	names->seen[found - names->sorted] = true;
}

size_t rh_folder_done(const char *dir, const struct rh_matrix *matrix, bool *done, size_t *others)
{
	size_t count = matrix->cells_count;
	struct names names = { .sorted = rh_scratch(count + 1, sizeof(*names.sorted)),
			       .seen = rh_scratch(count + 1, sizeof(*names.seen)),
			       .count = count };

	for (size_t i = 0; i < count; i++)
		names.sorted[i] = matrix->cells[i].name;
	qsort(names.sorted, count, sizeof(*names.sorted), by_name);
	walk(dir, note_result, &names);
	for (size_t i = 0; i < count; i++) {
		const char *name = matrix->cells[i].name;
		const char **at =
			bsearch(&name, names.sorted, count, sizeof(*names.sorted), by_name);

		assert(at);
		done[i] = names.seen[at - names.sorted];
	}
	if (others)
		*others = names.others;
	free(names.sorted);
	free(names.seen);
	return names.found;
}

/* ---- leftovers ---- */

struct sweeping {
	bool everybodys;
	char host[256];
};

/* NAME.HOST.PID.part */
static void sweep_one(const char *dir, const char *shard, const char *entry, void *ctx)
{
	const struct sweeping *s = ctx;
	size_t length = strlen(entry), host = strlen(s->host);
	char path[4096];
	const char *pid;
	long number;

	if (length < RH_CELL_NAME + 8 || strcmp(entry + length - 5, ".part") != 0)
		return;
	pid = entry + length - 6;
	while (pid > entry && pid[-1] != '.')
		pid--;
	number = strtol(pid, NULL, 10);
	if (!s->everybodys && (strncmp(entry + RH_CELL_NAME + 1, s->host, host) != 0 ||
			       entry + RH_CELL_NAME + 1 + host + 1 != pid || number <= 0 ||
			       kill((pid_t)number, 0) == 0 || errno != ESRCH))
		return;
	snprintf(path, sizeof(path), "%s/cells/%.2s/%s", dir, shard, entry);
	unlink(path);
}

void rh_folder_sweep(const char *dir, bool everybodys)
{
	struct sweeping s = { .everybodys = everybodys };

	gethostname(s.host, sizeof(s.host) - 1);
	walk(dir, sweep_one, &s);
}
