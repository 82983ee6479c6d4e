/*
 * history.c - reheap history: results kept over time, trends, change points, exports.
 */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "harness/cli/command.h"
#include "ci/gate/history.h"
#include "alloc/base/printable.h"
#include "alloc/base/suggest.h"

struct history_opts {
	const char *db, *metric, *backend, *trace;
	int format;
	bool all;
};

enum { FORMAT_TEXT, FORMAT_CSV, FORMAT_JSON };

static const char *const format_names[] = { "text", "csv", "json", NULL };

#define AT(field) offsetof(struct history_opts, field)

static const struct rh_opt opts[] = {
	{ "db", 0, RH_OPT_TEXT, AT(db), "reheap-history.sqlite", .arg = "FILE",
	  .help = "the SQLite file" },
	{ "metric", 'm', RH_OPT_TEXT, AT(metric), NULL, .arg = "PATTERN",
	  .help = "only metrics like it: a part of the name, or time.*" },
	{ "backend", 'b', RH_OPT_TEXT, AT(backend), NULL, .arg = "PATTERN",
	  .help = "only allocators like it" },
	{ "trace", 't', RH_OPT_TEXT, AT(trace), NULL, .arg = "PATTERN",
	  .help = "only traces like it" },
	{ "all", 'a', RH_OPT_FLAG, AT(all), NULL, .help = "print every series, metric by metric" },
	{ "format", 0, RH_OPT_NAME, AT(format), "text", .names = format_names, .arg = "F",
	  .help = "what show prints: text, csv, json" },
	{ .name = NULL }
};

static int add(const struct history_opts *o, int argc, char **argv, struct rh_err *err)
{
	struct rh_history *history;
	int result;

	if (argc == 0)
		return rh_fail(err, RH_USAGE, "reheap history add FILE.json...");
	if (rh_history_open(&history, o->db, true, err) < 0)
		return -1;
	for (result = 0; result >= 0 && argc > 0; argc--, argv++) {
		size_t rows;

		result = rh_history_add(history, *argv, &rows, err);
		if (result >= 0)
			rh_print(stdout, "%s: %zu numbers%s\n", *argv, rows,
				 result ? "" : " (it was there already)");
	}
	rh_history_close(history);
	return result < 0 ? -1 : 0;
}

static int show(const struct history_opts *o, struct rh_err *err)
{
	const struct rh_history_pick pick = { .metric = o->metric,
					      .backend = o->backend,
					      .trace = o->trace };
	struct rh_history *history;
	int result;

	if (rh_history_open(&history, o->db, false, err) < 0)
		return -1;
	result = o->format == FORMAT_TEXT
			 ? rh_history_show(history, &pick, o->all, stdout, err)
			 : rh_history_export(history, &pick, o->format == FORMAT_JSON, stdout, err);
	rh_history_close(history);
	return result;
}

static int no_such_verb(const char *verb, bool operands, struct rh_err *err)
{
	struct rh_suggestion near = rh_suggestion_for(verb, strlen(verb));
	const char *meant;

	rh_suggest_consider(&near, "add");
	rh_suggest_consider(&near, "show");
	meant = rh_suggest_nearest(&near);
	meant = meant && strcmp(meant, verb) != 0 ? meant : NULL;
	return rh_fail(err, RH_USAGE,
		       "reheap history does 'add FILE.json...' and 'show', not '%s'%s%s%s%s", verb,
		       operands && !meant ? " with operands" : "", meant ? ": did you mean " : "",
		       meant ? meant : "", meant ? "?" : "");
}

static enum rh_exit run_history(const void *opaque, int argc, char **argv, struct rh_err *err)
{
	const struct history_opts *o = opaque;
	int result;

	if (strcmp(argv[0], "add") == 0)
		result = add(o, argc - 1, argv + 1, err);
	else if (strcmp(argv[0], "show") == 0 && argc == 1)
		result = show(o, err);
	else
		result = no_such_verb(argv[0], argc > 1, err);
	return result < 0 ? err->code : RH_OK;
}

const struct rh_command rh_cmd_history = {
	.name = "history",
	.operands = "add FILE.json... | show",
	.summary = "keep results over time; show trends and change points",
	.details =
		"add keeps the numbers of results (reheap replay -o) and gates (reheap gate -o) in "
		"one SQLite file, each document once. show begins with the ten changes "
		"that matter most, then has a line for each metric; --all prints every series "
		"(metric, trace, lanes, allocator). Steps come first: 5 % or more, p < 0.001 by "
		"permutation, five values on each side. It never fails a build: trends are for "
		"people, the gate is for machines. Compare ratios and counts; absolute times of "
		"different days differ by more than most changes.",
	.examples = "reheap history add gate.json run.json --db perf.sqlite\n"
		    "reheap history show --db perf.sqlite --metric 'gate.*' --trace redis\n"
		    "reheap history show --db perf.sqlite --format csv",
	.opts = opts,
	.opts_bytes = sizeof(struct history_opts),
	.operands_min = 1,
	.operands_max = -1,
	.run = run_history,
};
