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
/* The bytes that come next, without taking them: how many (0 at the end), -1 on error. At
 * the start that is at least the first lines; valid until the next call. */
ssize_t rh_input_peek(struct rh_input *input, const char **bytes, struct rh_err *err);
/* The line (from 1) of the last rh_input_line; 0 when the input is not read by lines. */
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
	bool has_lane_starts;		/* lane_start events are lines of the input, not ours */
	/* Optional: which of `columns` this input fills, by a peek at its first bytes. */
	int (*columns_of)(struct rh_input *input, const void *opts, unsigned *columns,
			  struct rh_err *err);
	/* Reads all of input into build. Notes beside the standard ones go to out. */
	int (*run)(struct rh_input *input, const void *opts, struct rh_build *build,
		   struct rh_trace_out *out, struct rh_err *err);
};
extern const struct rh_importer *const rh_importers[];	/* NULL-terminated, sorted */

/* The importer of that name, or NULL with RH_USAGE and the names there are. */
const struct rh_importer *rh_importer_of(const char *name, struct rh_err *err);

/*
 * The whole way: opens path, imports it and puts the trace at make->path (make->columns is
 * set here). Adds the notes source and import.lines. On failure nothing is left behind and
 * the error names the file, and the line where the input has lines.
 */
int rh_import(const struct rh_importer *importer, const char *path, const void *opts,
	      const struct rh_trace_make *make, struct rh_trace_totals *totals,
	      struct rh_err *err);

/* Where the lines (or records) of the input went: lines == from_lines + dropped, always. */
struct rh_import_account {
	uint64_t lines;
	uint64_t from_lines;	/* events that are lines */
	uint64_t added;		/* events that are not: starts of lanes, repairs, what an importer
				 * made besides (its note import.added) */
	uint64_t dropped;	/* lines that are not events, by reason in the notes drop.* */
};
/* Reads the account off the notes and totals of a trace that was read to its end (or whose
 * index could be read). */
void rh_import_account(const struct rh_importer *importer, const struct rh_trace *trace,
		       struct rh_import_account *account);

#endif
