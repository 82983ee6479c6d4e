/*
 * task.c - writes and reads the cells of a job array (task.h).
 */
#include "harness/matrix/task.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "alloc/base/install_paths.h"
#include "alloc/base/os.h"

enum { HEAD_BYTES = 64, WIDTH_MAX = 1 << 20, PER_TASK_MAX = 10000000 };

/* A file of lines of one width: a task finds its cells by seeking. */
struct lines {
	int fd;
	const char *path;
	size_t width, count;
};

static int write_lines(const struct lines *lines, char **texts, struct rh_err *err)
{
	size_t width = lines->width;
	char *line = malloc(width);
	int result = line ? 0 : rh_fail(err, RH_OS, "no memory for a cell");

	for (size_t i = 0; i < lines->count && result == 0; i++) {
		size_t bytes = strlen(texts[i]);

		assert(bytes < width);
		memset(line, ' ', width);
		memcpy(line, texts[i], bytes);
		line[width - 1] = '\n';
		result = rh_write_all(lines->fd, line, width, lines->path, err);
	}
	free(line);
	return result;
}

/* A text for each cell; the width of a line that holds the longest. */
static int print_cells(const struct rh_cell *const *list, size_t count, char **texts, size_t *width,
		       struct rh_err *err)
{
	*width = 0;
	for (size_t i = 0; i < count; i++) {
		texts[i] = rh_record_print(&rh_cell_type, list[i], RH_JSON_COMPACT);
		if (!texts[i])
			return rh_fail(err, RH_OS, "no memory for %zu cells", count);
		*width = strlen(texts[i]) + 2 > *width ? strlen(texts[i]) + 2 : *width;
	}
	return 0;
}

int rh_task_write(const char *path, const struct rh_cell *const *list, size_t count,
		  size_t per_task, struct rh_err *err)
{
	char **texts = calloc(count + 1, sizeof(*texts)), head[HEAD_BYTES + 1];
	struct rh_outfile out;
	size_t width = 0;
	int result;

	assert(per_task > 0);
	if (!texts)
		return rh_fail(err, RH_OS, "no memory for %zu cells", count);
	result = print_cells(list, count, texts, &width, err);
	if (result == 0)
		result = rh_outfile_open(&out, path, err);
	if (result == 0) {
		int bytes = snprintf(head, sizeof(head), "reheap.cells/1 %zu %zu %zu", width, count,
				     per_task);

		memset(head + bytes, ' ', (size_t)(HEAD_BYTES - bytes));
		head[HEAD_BYTES - 1] = '\n';
		result = rh_write_all(out.fd, head, HEAD_BYTES, path, err);
		if (result == 0)
			result = write_lines(&(struct lines){ out.fd, path, width, count }, texts,
					     err);
		if (result == 0)
			result = rh_outfile_commit(&out, err);
		else
			rh_outfile_abandon(&out);
	}
	for (size_t i = 0; i < count; i++)
		free(texts[i]);
	free(texts);
	return result;
}

static int read_lines(const struct lines *lines, off_t at, struct rh_matrix *matrix,
		      struct rh_pool *pool, struct rh_err *err)
{
	const char *path = lines->path;
	size_t width = lines->width, count = lines->count;
	char *line = rh_pool_alloc(pool, width + 1, 1);

	matrix->cells = rh_pool_alloc(pool, count, sizeof(*matrix->cells));
	for (size_t i = 0; i < count; i++, at += (off_t)width) {
		struct rh_cell *cell = &matrix->cells[i];

		if (pread(lines->fd, line, width, at) != (ssize_t)width)
			return rh_fail(err, RH_BAD_DATA, "%s is cut off", path);
		if (rh_record_read(&rh_cell_type, cell,
				   &(struct rh_record_source){
					   .path = path, .text = line, .text_bytes = width },
				   pool, err) < 0)
			return -1;
		if (strlen(cell->name) != RH_CELL_NAME ||
		    strspn(cell->name, "0123456789abcdef") != RH_CELL_NAME)
			return rh_fail(err, RH_BAD_DATA, "%s: '%.40s' is no name of a cell", path,
				       cell->name);
		cell->absent = NULL; /* it was absent on another machine */
		matrix->cells_count++;
	}
	return 0;
}

int rh_task_read(const char *path, size_t number, struct rh_matrix *matrix, struct rh_pool *pool,
		 struct rh_err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), result;
	char head[HEAD_BYTES + 1] = "";
	size_t width, count, per_task, first;

	if (fd < 0)
		return rh_fail_errno(err, RH_NO_INPUT, "%s cannot be opened", path);
	*matrix = (struct rh_matrix){ .schema = RH_MATRIX_SCHEMA, .version = rh_version };
	if (pread(fd, head, HEAD_BYTES, 0) != HEAD_BYTES ||
	    sscanf(head, "reheap.cells/1 %zu %zu %zu", &width, &count, &per_task) != 3 ||
	    width < 2 || width > WIDTH_MAX || per_task < 1 || per_task > PER_TASK_MAX) {
		close(fd);
		return rh_fail(err, RH_BAD_DATA, "%s does not hold the cells of a job array", path);
	}
	if (number >= (count + per_task - 1) / per_task) {
		close(fd);
		return rh_fail(err, RH_USAGE, "%s has no task %zu", path, number);
	}
	first = number * per_task;
	count = count - first < per_task ? count - first : per_task;
	result = read_lines(&(struct lines){ fd, path, width, count },
			    (off_t)(HEAD_BYTES + first * width), matrix, pool, err);
	close(fd);
	return result;
}

static bool ends_absent(const char *is)
{
	size_t bytes = strlen(is);

	return bytes >= 7 && strcmp(is + bytes - 7, " absent") == 0;
}

static int check_one(const char *variant, const char *was, struct rh_pool *pool, struct rh_err *err)
{
	struct rh_named_backend here;

	if (rh_matrix_backend(variant, "plan", &here, pool, err) < 0)
		return -1;
	if (here.absent || ends_absent(was) || strcmp(here.is, was) == 0)
		return 0;
	return rh_fail(err, RH_INVALID,
		       "%s is another library on this machine: %s here, %s where the plan was read",
		       variant, here.is, was);
}

int rh_task_check(const struct rh_cell *cell, struct rh_pool *pool, struct rh_err *err)
{
	return check_one(cell->baseline, cell->baseline_is, pool, err) < 0
		       ? -1
		       : check_one(cell->backend, cell->backend_is, pool, err);
}
