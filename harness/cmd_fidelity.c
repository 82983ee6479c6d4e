/*
 * cmd_fidelity.c - `reheap fidelity`: is the tiered heap Go's heap?
 */
#include <stdio.h>

#include "harness/command.h"
#include "harness/fidelity/fidelity.h"

struct opts {
	double limit;
	const char *plot;
	bool edges, no_oracle, packed;
};

static const struct rh_opt fidelity_options[] = {
	{ "limit", 0, RH_OPT_SHARE, offsetof(struct opts, limit), "2%", .min = 0, .max = 1,
	  .arg = "SHARE", .help = "how far a curve may be off at any edge of a collection" },
	{ "edges", 0, RH_OPT_FLAG, offsetof(struct opts, edges),
	  .help = "print every edge of every collection" },
	{ "plot", 0, RH_OPT_TEXT, offsetof(struct opts, plot), .arg = "PREFIX",
	  .help = "write both curves to PREFIX.tsv and draw PREFIX.svg" },
	{ "no-oracle", 0, RH_OPT_FLAG, offsetof(struct opts, no_oracle),
	  .help = "do not run the heap's own pacer for comparison" },
	{ "packed", 0, RH_OPT_FLAG, offsetof(struct opts, packed),
	  .help = "pack what lived when recording began instead of placing it as it was" },
	{ .name = NULL }
};

/* runs: judged, oracle with late and with early deaths. */
static bool replay_all(const char *path, const struct opts *opts, struct rh_fidelity **runs,
		       struct rh_err *err)
{
	for (int i = 0; i < (opts->no_oracle ? 1 : 3); i++) {
		struct rh_fidelity_opts how = {
			.no_layout = opts->packed, .oracle = i > 0, .early = i > 1,
		};

		runs[i] = rh_fidelity_run(path, &how, err);
		if (!runs[i])
			return false;
	}
	return true;
}

static enum rh_exit one(const char *path, const struct opts *opts, struct rh_err *err)
{
	struct rh_fidelity *runs[3] = { NULL };
	bool good = replay_all(path, opts, runs, err);

	if (good)
		good = rh_fidelity_tell(runs[0], runs[1], runs[2], opts->limit, path, opts->edges,
					stdout);
	if (runs[0] && !err->code && opts->plot &&
	    rh_fidelity_plot(runs[0], path, opts->plot, err) < 0)
		good = false;
	for (int i = 0; i < 3; i++)
		rh_fidelity_free(runs[i]);
	return good ? RH_OK : err->code ? err->code : RH_FAILED;
}

static enum rh_exit run(const void *options, int argc, char **argv, struct rh_err *err)
{
	enum rh_exit result = RH_OK;

	for (int i = 0; i < argc; i++) {
		enum rh_exit got = one(argv[i], options, err);

		if (got != RH_OK && got != RH_FAILED)
			return got;
		if (got != RH_OK)
			result = got;
		if (i + 1 < argc)
			putchar('\n');
	}
	return result;
}

const struct rh_command rh_cmd_fidelity = {
	.name = "fidelity",
	.operands = "T.rht...",
	.summary = "replay a Go trace on Go's heap in C and compare with what Go did",
	.details =
		"Takes traces made by reheap import go. The heap is tiered/pools with the profile "
		"of the Go that was recorded and collections where the trace has them. Compared "
		"are the span class of every object, and at every begin and end of a collection "
		"the spans and bytes in use, the living bytes and the stacks; nothing is let off. "
		"Exit 0: all within the limit, 1: not.",
	.examples =
		"reheap fidelity traces/corpus/go/jsonapi.rht\n"
		"reheap fidelity --edges --plot service service.rht",
	.opts = fidelity_options,
	.opts_bytes = sizeof(struct opts),
	.operands_min = 1,
	.operands_max = -1,
	.run = run,
};
