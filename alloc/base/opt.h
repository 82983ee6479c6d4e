/*
 * opt.h - options as data.
 *
 * One row type describes a command-line flag, a backend knob and a generator
 * parameter alike: where the value goes, its unit, bounds, default and help.
 * The same table parses argv (through getopt_long), "key=value" words, prints
 * --help, and feeds the man page and shell completion. A table ends with a row
 * whose name is NULL.
 *
 *	struct my { uint64_t lanes; double threshold; const char *out; };
 *	static const struct rh_opt my_opts[] = {
 *		{ "lanes", 'l', RH_OPT_UINT, offsetof(struct my, lanes), "1",
 *		  .min = 1, .max = 1024, .arg = "N", .help = "replay on N lanes" },
 *		{ .name = NULL }
 *	};
 *
 * To add an option or a knob: a field of the target struct, a row of its table and the code that
 * reads the field. A backend names its table and its struct's size in `knobs` and `knobs_bytes`
 * (alloc/backend.h), a generator, an importer and a command in `opts` and `opts_bytes`.
 * Parsing, --help, the man page, completion and the bounds follow from the row.
 *
 * Ownership: strings stored in the target point into argv (or the text given):
 * the caller keeps those alive. Thread rule: none shared. Nothing allocates but
 * getopt_long's permutation of argv (in place).
 */
#ifndef RH_OPT_H
#define RH_OPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "alloc/base/err.h"

enum rh_opt_type {
	RH_OPT_FLAG,  /* bool; no value on the command line, "yes|no|on|off|1|0" as a knob */
	RH_OPT_UINT,  /* uint64_t; plain number, bounds min..max (max 0 = no bound) */
	RH_OPT_SIZE,  /* uint64_t bytes; 4096, 64K, 8M, 2G (1024-based, also KB and KiB) */
	RH_OPT_TIME,  /* uint64_t ns; 250 (= seconds when no unit), 5s, 10ms, 3us, 20ns, 2m, 1h */
	RH_OPT_REAL,  /* double */
	RH_OPT_SHARE, /* double; "5%" = 0.05, "0.05" = 0.05 */
	RH_OPT_TEXT,  /* const char * */
	RH_OPT_NAME,  /* int: index of the word in .names (NULL-terminated) */
};

struct rh_opt {
	const char *name; /* long name without dashes; NULL ends the table */
	char letter;	  /* short flag, 0 = none */
	enum rh_opt_type type;
	size_t offset;		  /* of the field in the target struct */
	const char *dflt;	  /* default as text; NULL leaves the zeroed field */
	double min, max;	  /* bounds of numbers; both 0 = none */
	const char *const *names; /* RH_OPT_NAME: the allowed words */
	/* RH_OPT_NAME, optional: the word that stands for one that is not allowed, or NULL */
	const char *(*nearest)(const char *text);
	bool off;	  /* RH_OPT_UINT: "off" stands for UINT64_MAX */
	const char *arg;  /* placeholder in help: "N", "FILE" */
	const char *help; /* one line, lower case, no full stop */
	size_t given;	  /* optional: offset+1 of a bool set to true when given */
};

/* Where it is said that another word stands for the one given; NULL (as in workers): nowhere.
 * Set once, before any thread starts. */
extern void (*rh_opt_note)(const char *text);

/* Writes every default into target (which the caller zeroed). */
int rh_opt_defaults(const struct rh_opt *table, void *target, struct rh_err *err);

/* A table with what its rows fill: passed as one, because the three always belong together. */
struct rh_opt_target {
	const struct rh_opt *table;
	void *fields;	  /* of the struct that the offsets of the table are of */
	const char *what; /* the owner, in errors ("replay") */
};

/* Sets one option by name from text. */
int rh_opt_set(const struct rh_opt_target *target, const char *name, const char *value,
	       struct rh_err *err);

/* Sets "name=value" (or "name" for a flag) from a word of word_bytes bytes that
 * need not end in NUL. Texts are copied into `store` (a caller's buffer of
 * store_bytes, advanced), because the word is not terminated. */
struct rh_opt_store {
	char *at;
	size_t left;
};
int rh_opt_set_word(const struct rh_opt_target *target, const char *word, size_t word_bytes,
		    struct rh_opt_store *store, struct rh_err *err);

/* The defaults, then every word as rh_opt_set_word. */
int rh_opt_set_words(const struct rh_opt_target *target, int count, char **words,
		     struct rh_opt_store *store, struct rh_err *err);

/*
 * Parses argv[1..argc-1] by the table after the defaults are in. Operands are
 * moved to the end; `operands` gets the index of the first one. "--" ends the
 * options. With `stop_early` parsing ends at the first operand (for `record
 * PROGRAM ARGS`). "--help"/"-h" returns RH_OPT_HELP (1) without an error.
 */
#define RH_OPT_HELP 1
struct rh_opt_line {
	int argc;
	char **argv;
	bool stop_early;
	int operands; /* result */
};
int rh_opt_argv(const struct rh_opt_target *target, struct rh_opt_line *line, struct rh_err *err);

/* One aligned help line per row. */
void rh_opt_help(const struct rh_opt *table, FILE *to);

/* Value parsers on their own, same rules as above. */
int rh_parse_uint(const char *text, uint64_t *out, struct rh_err *err);
int rh_parse_size(const char *text, uint64_t *out, struct rh_err *err);
int rh_parse_time(const char *text, uint64_t *out_ns, struct rh_err *err);
int rh_parse_share(const char *text, double *out, struct rh_err *err);

#endif
