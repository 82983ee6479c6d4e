/*
 * import.h - foreign traces in.
 *
 * To add an importer:
 *  1. a file in traces/import/ that exports one `const struct rh_importer`; it reads with rh_input
 *     and gives what it reads to traces/format/repair.h, which makes a legal trace of it;
 *  2. a row in the table of traces/import/import.c, in the order of the names;
 *  3. a test with an independent count: traces/test/test_import_NAME.c.
 *
 * Input comes through rh_input: a plain file, stdin ("-"), or anything libarchive reads
 * (zip with one member, gz, xz, zst), streamed, never whole in memory. A folder will do where a
 * file `metadata` lies in it or below: that is how LTTng writes.
 *
 * Ownership: who opens an input closes it; texts given out are its own. Thread rule: one thread for
 * each input. Errors: RH_NO_INPUT, RH_BAD_DATA (names file and line), RH_ABSENT, RH_OS, RH_IO.
 */
#ifndef RH_IMPORT_H
#define RH_IMPORT_H

#include <sys/types.h>

#include "alloc/base/opt.h"
#include "traces/format/repair.h"

struct rh_input;
int rh_input_open(struct rh_input **input, const char *path, struct rh_err *err);
/* The same from a descriptor, which stays the caller's; fd -1: the path is opened. */
int rh_input_open_pipe(struct rh_input **input, int fd, const char *path, struct rh_err *err);
/* Whether the path is a folder; what is read then is the file `metadata` in it or below. */
bool rh_input_is_folder(const struct rh_input *input);
/* Bytes read, 0 at the end, -1 on error. */
ssize_t rh_input_read(struct rh_input *input, void *buffer, size_t bytes, struct rh_err *err);
/* The next line without its newline (NUL-terminated, valid until the next call): its length,
 * RH_INPUT_END at the end, -1 on error. Of a line over 64 KiB the first and last 16 KiB are given,
 * with bytes 1 between; one over 64 MiB is an error naming the line, and so are 20 million blank
 * lines in a row. A byte order mark at the start of the input is passed over. */
enum { RH_INPUT_END = -2 };
ssize_t rh_input_line(struct rh_input *input, char **line, struct rh_err *err);
/* Whether the middle of the last line was left out. */
bool rh_input_line_long(const struct rh_input *input);
/* Whether the last line stood at the end of the input without a newline: its writer was cut
 * off, and a number in it may be the beginning of a longer one. */
bool rh_input_line_cut(const struct rh_input *input);
/* NULL, or how a compressed input broke off; reading ends there as at the end. */
const char *rh_input_truncated(const struct rh_input *input);
/* The share of lines that may be torn (lines.h); 1 % unless set. */
void rh_input_set_max_damage(struct rh_input *input, double share);
double rh_input_max_damage(const struct rh_input *input);
/* The bytes that come next, without taking them: how many (0 at the end), -1 on error. At
 * the start that is 16 KiB or all there is; valid until the next call. */
ssize_t rh_input_peek(struct rh_input *input, const char **bytes, struct rh_err *err);
/* The line (from 1) of the last rh_input_line; 0 when the input is not read by lines. */
uint64_t rh_input_line_number(const struct rh_input *input);
const char *rh_input_path(const struct rh_input *input);
void rh_input_close(struct rh_input *input);

enum { RH_IMPORT_OPTS_MAX = 256 };

struct rh_importer {
	const char *name; /* "android" */
	const char *summary;
	const char *looks_like; /* one example line, for `reheap list importers` */
	/* Optional: NULL, or a sentence why it cannot read here (a tool is not installed). */
	const char *(*absent_why)(void);
	const struct rh_opt *opts; /* KEY=VALUE words after the file; NULL = none */
	size_t opts_bytes;	   /* <= RH_IMPORT_OPTS_MAX */
	unsigned columns;	   /* enum rh_column it can fill */
	bool has_lane_starts;	   /* lane_start events are lines of the input, not ours */
	int level;		   /* of zstd, where none is asked for; 0 = the writer's */
	/* How sure the first bytes of an input make it that it is of this format, 0 to 100.
	 * NULL: never found by content. */
	unsigned (*likeness)(const char *bytes, size_t count);
	/* Optional: which of `columns` this input fills, by a peek at its first bytes. */
	int (*columns_of)(struct rh_input *input, const void *opts, unsigned *columns,
			  struct rh_err *err);
	/* Reads all of input into build. Notes beside the standard ones go to out. */
	int (*run)(struct rh_input *input, const void *opts, struct rh_build *build,
		   struct rh_trace_out *out, struct rh_err *err);
};
extern const struct rh_importer *const rh_importers[]; /* NULL-terminated, sorted */

/* The importer of that name, or NULL with RH_USAGE and the names there are. */
const struct rh_importer *rh_importer_of(const char *name, struct rh_err *err);

/* The importer whose format the first bytes are of, or NULL with RH_BAD_DATA. Takes nothing. */
const struct rh_importer *rh_importer_by_content(struct rh_input *input, struct rh_err *err);

#define RH_MAX_DAMAGE 0.01 /* of the command line */

struct rh_import_job {
	const struct rh_importer *importer;
	const char *path;		  /* of the input, where `input` is NULL */
	struct rh_input *input;		  /* opened already; stays the caller's */
	const void *opts;		  /* the importer's, filled; NULL: its defaults */
	const struct rh_trace_make *make; /* its columns are set by the importer */
	double max_damage;		  /* share of torn lines allowed, 0 = none (lines.h) */
};

/*
 * The whole way: opens the input, imports it and puts the trace at make->path. Adds the notes
 * source and import.lines. On failure nothing is left behind and the error names the file,
 * and the line where the input has lines. Where the input was cut off, all before that is
 * imported, and the note import.truncated says so.
 */
int rh_import(const struct rh_import_job *job, struct rh_trace_totals *totals, struct rh_err *err);

/* Where the lines (or records) of the input went: lines == from_lines + dropped, always. */
struct rh_import_account {
	uint64_t lines;
	uint64_t from_lines; /* events that are lines */
	uint64_t added;	     /* events that are not: starts of lanes, repairs, what an importer
			      * made besides (its note import.added) */
	uint64_t dropped;    /* lines that are not events, by reason in the notes drop.* */
};
/* The account by the notes and totals of a trace, as it was written or read to its end. */
void rh_import_account(const struct rh_importer *importer, const struct rh_names *notes,
		       const struct rh_trace_totals *totals, struct rh_import_account *account);

#endif
