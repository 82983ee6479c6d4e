/*
 * command.h - the command line as a table.
 *
 * One row per subcommand: main() finds the row, fills its options struct by the
 * row's table and calls run. --help, the man page and shell completion are printed
 * from the same rows (commands.c), so a command cannot be undocumented.
 *
 * How to add a command: write harness/cli/NAME.c exporting one
 * `const struct rh_command rh_cmd_NAME`, and add it to the table in commands.c.
 *
 * run gets its filled options, the operands (argv[0..argc-1], argv[argc] == NULL) and
 * returns RH_OK or another enum rh_exit, with err filled when there is an error to print
 * (err->text empty: it has printed its own verdict). stdout carries results only; progress and
 * remarks go to stderr.
 */
#ifndef RH_COMMAND_H
#define RH_COMMAND_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "alloc/base/err.h"
#include "alloc/base/opt.h"

struct rh_command {
	const char *name;		/* "replay" */
	const char *operands;		/* "T.rht... --backend B[,B...]" for the usage line */
	const char *summary;		/* one line */
	const char *details;		/* paragraphs for --help and the man page; NULL = none */
	const char *examples;		/* lines, each a command; NULL = none */
	const struct rh_opt *opts;	/* NULL = none */
	size_t opts_bytes;		/* <= RH_COMMAND_OPTS_MAX */
	bool stop_early;		/* options end at the first operand (record PROGRAM ARGS) */
	bool hidden;			/* not listed (internal) */
	int operands_min, operands_max; /* max -1 = any number */
	enum rh_exit (*run)(const void *opts, int argc, char **argv, struct rh_err *err);
	void (*more_help)(FILE *to); /* --help ends with what this prints; NULL = nothing */
};

enum { RH_COMMAND_OPTS_MAX = 1024 };

extern const struct rh_command *const rh_commands[]; /* NULL-terminated, in order of help */

/* Options that every command has; main() takes them out of the words before run sees them. */
struct rh_common {
	uint64_t limit; /* of memory, bytes */
	int colour;	/* enum rh_colour */
};
extern const struct rh_opt rh_common_opts[]; /* ends with a row without a name */

#endif
