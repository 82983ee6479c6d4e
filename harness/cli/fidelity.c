/*
 * fidelity.c - `reheap fidelity`: does the tiered heap behave like Go's heap?
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "alloc/base/printable.h"
#include "harness/cli/command.h"
#include "harness/fidelity/fidelity.h"
#include "harness/fidelity/whatif.h"
#include "plots/figure/figure.h"

struct opts {
	double limit;
	const char *plot, *profile, *style;
	bool edges, no_oracle, packed;
};

static const struct rh_opt fidelity_options[] = {
	{ "limit", 0, RH_OPT_SHARE, offsetof(struct opts, limit), "2%", .min = 0, .max = 1,
	  .arg = "SHARE", .help = "how far a curve may be off at any edge of a collection" },
	{ "profile", 0, RH_OPT_TEXT, offsetof(struct opts, profile), .arg = "VERSION",
	  .help = "replay as this Go (reheap list profiles) instead of what the trace says" },
	{ "edges", 0, RH_OPT_FLAG, offsetof(struct opts, edges),
	  .help = "print every edge of every collection" },
	{ "plot", 0, RH_OPT_TEXT, offsetof(struct opts, plot), .arg = "PREFIX",
	  .help = "write both curves to PREFIX.tsv and draw PREFIX.svg" },
	{ "style", 0, RH_OPT_TEXT, offsetof(struct opts, style), .arg = "FILE",
	  .help = "gnuplot commands for that figure, read before its first panel" },
	{ "no-oracle", 0, RH_OPT_FLAG, offsetof(struct opts, no_oracle),
	  .help = "do not run the heap's own pacer for comparison" },
	{ "packed", 0, RH_OPT_FLAG, offsetof(struct opts, packed),
	  .help = "pack what lived when recording began instead of placing it as it was" },
	{ .name = NULL }
};

struct setting {
	char text[128], no_goals[192];
	uint64_t gogc; /* 0 = off */
};

/* A limit, or another GOGC set by the program while it ran, gives goals that the trace cannot
 * explain. */
static void judge_goals(const struct rh_whatif *whatif, struct setting *setting)
{
	if (whatif->goals_set)
		snprintf(setting->no_goals, sizeof(setting->no_goals),
			 "the program set GOGC or a limit itself, %" PRIu32
			 " times (goals that changed without a collection)",
			 whatif->goals_set);
	else if (whatif->limit != WHATIF_OFF && whatif->limit)
		snprintf(
			setting->no_goals, sizeof(setting->no_goals),
			"a limit also counts what is mapped and not heap, of which no event tells");
	else if (whatif->goals_odd)
		snprintf(setting->no_goals, sizeof(setting->no_goals),
			 "%" PRIu32 " of %" PRIu32 " are not of GOGC=%" PRIu64
			 ": a limit or another GOGC was set, which the trace does not record",
			 whatif->goals_odd, whatif->goals, whatif->gogc);
}

/* As the program ran, as its goals and cycles show. "" without a whole cycle. */
static void setting_of(const char *path, struct setting *setting)
{
	struct rh_err err = { 0 };
	struct rh_whatif_setting then = { 0, 0, true };
	struct rh_whatif whatif;

	*setting = (struct setting){ 0 };
	if (rh_whatif_read(&whatif, path, &then, &err) < 0)
		return;
	then.gogc = whatif.gogc;
	then.limit = whatif.limit;
	if (whatif.gogc != WHATIF_OFF)
		setting->gogc = whatif.gogc;
	rh_whatif_knobs(&whatif, &then, setting->text, sizeof(setting->text));
	judge_goals(&whatif, setting);
	rh_whatif_close(&whatif);
}

/* runs: judged, oracle with late and with early deaths. */
static bool replay_all(const char *path, const struct opts *opts, struct rh_fidelity **runs,
		       struct rh_err *err)
{
	struct setting setting;

	setting_of(path, &setting);
	for (int i = 0; i < (opts->no_oracle ? 1 : 3); i++) {
		struct rh_fidelity_opts how = {
			.profile = opts->profile,
			.no_layout = opts->packed,
			.oracle = i > 0,
			.deaths = i > 1 ? FIDELITY_EARLY : FIDELITY_LATE,
			.setting = setting.text,
			.no_goals = setting.no_goals,
			.gogc = setting.gogc,
		};

		runs[i] = rh_fidelity_run(path, &how, err);
		if (!runs[i])
			return false;
	}
	return true;
}

/* PREFIX.tsv, and PREFIX.svg where gnuplot is installed. */
static int draw(const struct rh_fidelity *fidelity, const char *path, const struct opts *opts,
		struct rh_err *err)
{
	const char *prefix = opts->plot;
	char data[4096];

	if (strlen(prefix) > 4000)
		return rh_fail(err, RH_USAGE, "--plot: the name is too long");
	snprintf(data, sizeof(data), "%s.tsv", prefix);
	if (rh_fidelity_curves(fidelity, data, err) < 0)
		return -1;
	return rh_figure_script(
		&(struct rh_script){
			.id = "fidelity",
			.of = path,
			.title = "Go as recorded, and replayed",
			.caption = "Memory at the edges of collections: what Go had, and what "
				   "the replay had at the same places",
			.style = opts->style,
		},
		prefix, err);
}

static enum rh_exit one(const char *path, const struct opts *opts, struct rh_err *err)
{
	struct rh_fidelity *runs[3] = { NULL };
	enum rh_exit result = RH_FAILED;

	if (replay_all(path, opts, runs, err))
		result = rh_fidelity_print(&(struct rh_fidelity_report){ .recorded = runs[0],
									 .late = runs[1],
									 .early = runs[2],
									 .limit = opts->limit,
									 .path = path,
									 .all_edges = opts->edges },
					   stdout);
	if (runs[0] && !err->code && opts->plot)
		draw(runs[0], path, opts, err);
	for (int i = 0; i < 3; i++)
		rh_fidelity_free(runs[i]);
	return err->code ? err->code : result;
}

/* Of several traces the worst counts: no, then cannot tell, then yes. */
static enum rh_exit run_fidelity(const void *options, int argc, char **argv, struct rh_err *err)
{
	enum rh_exit result = RH_OK;
	const struct opts *opts = options;

	if (rh_style_check(opts->style, opts->plot, err) < 0)
		return err->code;
	for (int i = 0; i < argc; i++) {
		enum rh_exit got = one(argv[i], options, err);

		if (err->code == RH_INCONCLUSIVE) {
			rh_print(stdout, "CANNOT TELL: %s\n", err->text);
			*err = (struct rh_err){ 0 };
		}
		if (err->code)
			return got;
		if (got == RH_FAILED || result == RH_OK)
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
		"of the recorded Go version and collections where the trace has them. It compares "
		"the span class of every object, and at every begin and end of a collection the "
		"spans and bytes in use, the living bytes and the stacks. Exit 0: all within the "
		"limit or one span, 1: not, 3: cannot tell, because the recorder did not see what "
		"would be compared (Go 1.23, flight recorder).",
	.examples = "reheap fidelity traces/corpus/go/jsonapi.rht\n"
		    "reheap fidelity --edges --plot service service.rht",
	.opts = fidelity_options,
	.opts_bytes = sizeof(struct opts),
	.operands_min = 1,
	.operands_max = -1,
	.run = run_fidelity,
};
