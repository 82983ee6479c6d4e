/*
 * load.c - see load.h.
 */
#include "harness/result/load.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "alloc/base/os.h"
#include "alloc/base/wrapping.h"
#include "harness/result/pool.h"

enum { MARK_BYTES = 3 };

struct source {
	FILE *file;
	bool begun;
	size_t head_bytes;
	char head[RH_WRAPPING_BYTES]; /* what it begins with, for the message */
};

/* Bytes for the parser: 0 at the end, (size_t)-1 on error. */
static size_t give(void *buffer, size_t bytes, void *from)
{
	struct source *source = from;
	char *to = buffer;
	size_t got = 0;

	assert(source->file && bytes > MARK_BYTES);
	if (!source->begun) {
		source->begun = true;
		got = fread(to, 1, MARK_BYTES, source->file);
		if (got == MARK_BYTES && memcmp(to, "\xef\xbb\xbf", MARK_BYTES) == 0)
			got = 0;
	}
	got += fread(to + got, 1, bytes - got, source->file);
	if (source->head_bytes == 0) {
		source->head_bytes = got < sizeof(source->head) ? got : sizeof(source->head);
		memcpy(source->head, to, source->head_bytes);
	}
	return got == 0 && ferror(source->file) ? (size_t)-1 : got;
}

static bool is_directory(FILE *file)
{
	struct stat st;

	return fstat(fileno(file), &st) == 0 && S_ISDIR(st.st_mode);
}

/* Why it is no JSON: by what it is, where its first bytes say that. */
static void refuse(const struct source *source, const char *path, const json_error_t *why,
		   struct rh_err *err)
{
	const char *wrapping = rh_wrapping_of(source->head, source->head_bytes);

	if (source->head_bytes == 0)
		rh_fail(err, RH_BAD_DATA, "%s is empty", path);
	else if (source->head_bytes >= 4 && memcmp(source->head, "\x89RHT", 4) == 0)
		rh_fail(err, RH_BAD_DATA,
			"%s is a trace: reheap replay %s -o R.json makes a result of it", path,
			path);
	else if (wrapping)
		rh_fail(err, RH_BAD_DATA, "%s is %s", path, wrapping);
	else
		rh_fail(err, RH_BAD_DATA, "%s:%d: not JSON: %s", path, why->line, why->text);
}

json_t *rh_json_load(const char *path, struct rh_err *err)
{
	bool from_stdin;
	struct source source;
	json_t *root = NULL;
	json_error_t why;

	assert(path);
	if (!*path) {
		rh_fail(err, RH_NO_INPUT, "an empty name is no file");
		return NULL;
	}
	json_set_alloc_funcs(rh_scratch_bytes, free);
	from_stdin = strcmp(path, "-") == 0;
	source = (struct source){ .file = from_stdin ? stdin : fopen(path, "re") };
	if (!source.file) {
		rh_fail(err, RH_NO_INPUT, "%s cannot be opened: %s", path, rh_errno_text(errno));
		return NULL;
	}
	if (is_directory(source.file))
		rh_fail(err, RH_NO_INPUT, "%s is a directory, not a file", path);
	else if (!(root = json_load_callback(give, &source, JSON_REJECT_DUPLICATES, &why)))
		refuse(&source, path, &why, err);
	if (ferror(source.file)) {
		json_decref(root);
		root = NULL;
		rh_fail(err, RH_IO, "%s cannot be read", path);
	}
	if (!from_stdin)
		fclose(source.file);
	assert(!root || json_is_object(root) || json_is_array(root));
	return root;
}
