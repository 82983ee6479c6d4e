/*
 * gen.c - `reheap gen`: makes a trace from a generator and its parameters.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "harness/cli/command.h"
#include "traces/gen/gen.h"
#include "alloc/base/printable.h"

enum { GENERATOR_OPTS_MAX = 512 };

struct gen_opts {
	const char *out;
	int form;
	uint64_t level;
};

static const char *const forms[] = { [RH_FORM_BINARY] = "binary", [RH_FORM_TEXT] = "text", NULL };

static const struct rh_opt gen_options[] = {
	{ "output", 'o', RH_OPT_TEXT, offsetof(struct gen_opts, out), .arg = "T.rht",
	  .help = "the trace to write; - or nothing: standard output" },
	{ "form", 0, RH_OPT_NAME, offsetof(struct gen_opts, form), "binary", .names = forms,
	  .arg = "FORM", .help = "how to write it" },
	/* Level 3 takes half the time of the writer's 9 and 4 to 9 % more bytes: generated traces
	 * are generated again rather than kept. */
	{ "level", 0, RH_OPT_UINT, offsetof(struct gen_opts, level), "3", .max = 19, .arg = "N",
	  .help = "zstd level; 0 = the writer's default, smaller and slower" },
	{ .name = NULL }
};

/* One line per parameter: key, placeholder, default, meaning. */
static void print_parameters(FILE *to, const struct rh_opt *table)
{
	for (const struct rh_opt *row = table; row->name; row++) {
		char left[64];

		snprintf(left, sizeof(left), "%s=%s", row->name, row->arg ? row->arg : "VALUE");
		rh_print(to, "      %-20s %s", left, row->help);
		for (int i = 0; row->names && row->names[i]; i++)
			rh_print(to, "%s%s%s", i ? "|" : " (", row->names[i],
				 row->names[i + 1] ? "" : ")");
		if (row->dflt)
			rh_print(to, " [%s]", row->dflt);
		fputc('\n', to);
	}
}

static void print_generators(FILE *to)
{
	for (int i = 0; rh_generators[i]; i++) {
		const struct rh_generator *generator = rh_generators[i];

		fputs(i ? "\n" : "", to);
		rh_print(to, "  %s\n      %s\n      stresses: %s\n", generator->name,
			 generator->summary, generator->stresses);
		print_parameters(to, generator->opts);
	}
}

static void more_help(FILE *to)
{
	fputs("\nProfiles and their parameters:\n", to);
	print_generators(to);
}

static void print_account(FILE *to, const char *path, const struct rh_trace_totals *totals)
{
	rh_print(to, "%s\n", path);
	fprintf(to,
		"  events    %" PRIu64 " (%" PRIu64 " alloc, %" PRIu64 " free, %" PRIu64
		" resize)\n",
		totals->events, totals->by_kind[RH_EV_ALLOC], totals->by_kind[RH_EV_FREE],
		totals->by_kind[RH_EV_RESIZE]);
	fprintf(to, "  lanes     %" PRIu64 "\n", totals->lanes);
	fprintf(to,
		"  objects   %" PRIu64 " (live at most %" PRIu64 " and %" PRIu64
		" bytes; left live %" PRIu64 ")\n",
		totals->objects, totals->live_objects_peak, totals->live_bytes_peak,
		totals->live_objects_end);
}

static enum rh_exit run_gen(const void *options, int argc, char **argv, struct rh_err *err)
{
	const struct gen_opts *opts = options;
	_Alignas(16) unsigned char generator_opts[GENERATOR_OPTS_MAX] = { 0 };
	char text[4096];
	struct rh_opt_store store = { text, sizeof(text) };
	const struct rh_generator *generator = rh_generator_of(argv[0], err);
	struct rh_trace_totals totals;
	struct rh_trace_make make = {
		.path = opts->out ? opts->out : "-",
		.form = opts->form == RH_FORM_TEXT ? RH_FORM_TEXT : RH_FORM_BINARY,
		.level = (int)opts->level,
	};

	if (!generator)
		return err->code;
	if (!opts->out && opts->form == RH_FORM_BINARY && isatty(STDOUT_FILENO)) {
		rh_fail(err, RH_USAGE,
			"a trace is not for a terminal: say -o T.rht, --form text, or > T.rht");
		return err->code;
	}
	if (rh_opt_set_words(
		    &(struct rh_opt_target){ generator->opts, generator_opts, generator->name },
		    argc - 1, argv + 1, &store, err) < 0 ||
	    rh_generate(generator, generator_opts, &make, &totals, err) < 0)
		return err->code;
	print_account(strcmp(make.path, "-") == 0 ? stderr : stdout,
		      strcmp(make.path, "-") == 0 ? "standard output" : make.path, &totals);
	return RH_OK;
}

const struct rh_command rh_cmd_gen = {
	.name = "gen",
	.operands = "PROFILE [-o T.rht] [KEY=VALUE...]",
	.summary = "make a trace from a generator, the same bytes for the same seed",
	.details = "events= counts allocs, frees and resizes; starts and stops of lanes and tasks "
		   "come on top. Objects left at the end stay live.",
	.examples = "reheap gen server -o server.rht lanes=8 events=10000000 heap=256M\n"
		    "reheap gen larson --form text lanes=2 events=100",
	.opts = gen_options,
	.opts_bytes = sizeof(struct gen_opts),
	.operands_min = 1,
	.operands_max = -1,
	.run = run_gen,
	.more_help = more_help,
};
