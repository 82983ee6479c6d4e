/*
 * import.h - foreign traces in. One importer is one file in traces/import/ that exports
 * one `const struct rh_importer`, plus a row in the table of traces/import.c.
 *
 * Input comes through rh_input: a plain file, stdin ("-"), or anything libarchive reads
 * (zip with one member, gz, xz, zst), streamed, never whole in memory.
 */
#ifndef RH_IMPORT_H
#define RH_IMPORT_H

#include <sys/types.h>

#include "alloc/base/opt.h"
#include "traces/build.h"

struct rh_input;
int rh_input_open(struct rh_input **input, const char *path, struct rh_err *err);
/* Bytes read, 0 at the end, -1 on error. */
ssize_t rh_input_read(struct rh_input *input, void *buffer, size_t bytes, struct rh_err *err);
/* The next line without its newline (NUL-terminated, valid until the next call): its length,
 * RH_INPUT_END at the end, -1 on error. Lines over 64 KiB are an error naming the line. */
enum { RH_INPUT_END = -2 };
ssize_t rh_input_line(struct rh_input *input, char **line, struct rh_err *err);
uint64_t rh_input_line_number(const struct rh_input *input);
const char *rh_input_path(const struct rh_input *input);
void rh_input_close(struct rh_input *input);

struct rh_importer {
	const char *name;		/* "android" */
	const char *summary;
	const char *looks_like;		/* one example line, for `reheap list importers` */
	const char *absent_why;
	const struct rh_opt *opts;	/* KEY=VALUE words after the file; NULL = none */
	size_t opts_bytes;		/* <= 256 */
	unsigned columns;		/* enum rh_column it can fill */
	/* Reads all of input into build. Notes beside the standard ones go to out. */
	int (*run)(struct rh_input *input, const void *opts, struct rh_build *build,
		   struct rh_trace_out *out, struct rh_err *err);
};
extern const struct rh_importer *const rh_importers[];	/* NULL-terminated, sorted */

#endif
