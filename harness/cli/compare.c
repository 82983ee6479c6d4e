/*
 * compare.c - reheap compare: two or more results side by side, or two backends of one.
 *
 * Exit: 0 compared, whatever the verdicts (the gate decides, this only reports); 4 when the
 * manifests differ in something that decides the numbers, or nothing can be paired.
 */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "harness/cli/command.h"
#include "harness/matrix/folder.h"
#include "plots/report/compare.h"
#include "plots/report/overview.h"
#include "alloc/base/printable.h"

struct compare_opts {
	int format;
	bool anyway, all;
	const char *between, *trace, *backend, *metric;
};

static const char *const formats[] = { "table", "md", "json", NULL };

static const struct rh_opt opts[] = {
	{ "format", 0, RH_OPT_NAME, offsetof(struct compare_opts, format), "table",
	  .names = formats, .arg = "FORM", .help = "how to print" },
	{ "anyway", 0, RH_OPT_FLAG, offsetof(struct compare_opts, anyway), NULL,
	  .help = "also compare results measured under different conditions" },
	{ "between", 0, RH_OPT_TEXT, offsetof(struct compare_opts, between), NULL, .arg = "A,B",
	  .help = "two backends of one result, instead of two results" },
	{ "metric", 'm', RH_OPT_TEXT, offsetof(struct compare_opts, metric), NULL, .arg = "PATTERN",
	  .help = "only metrics like it: a part of the name, or time.* (see reheap list metrics)" },
	{ "trace", 't', RH_OPT_TEXT, offsetof(struct compare_opts, trace), NULL, .arg = "PATTERN",
	  .help = "only traces like it" },
	{ "backend", 'b', RH_OPT_TEXT, offsetof(struct compare_opts, backend), NULL,
	  .arg = "PATTERN", .help = "only backends like it" },
	{ "all", 'a', RH_OPT_FLAG, offsetof(struct compare_opts, all), NULL,
	  .help = "print every pair, metric by metric" },
	{ .name = NULL },
};

enum { BETWEEN_BYTES = 1024 };

/* Cuts "A,B" at its comma; the names live in `text`. */
static int split_between(const struct compare_opts *o, int argc, char text[BETWEEN_BYTES],
			 struct rh_compare_pick *pick, struct rh_err *err)
{
	char *comma;

	if (!o->between)
		return argc > 1 ? 0
				: rh_fail(err, RH_USAGE,
					  "one result alone: name a second one, or two backends of "
					  "it (--between libc,jemalloc)");
	if (snprintf(text, BETWEEN_BYTES, "%s", o->between) >= BETWEEN_BYTES)
		return rh_fail(err, RH_USAGE, "--between is longer than %d bytes",
			       BETWEEN_BYTES - 1);
	comma = strchr(text, ',');
	if (!comma || comma == text || !comma[1] || strchr(comma + 1, ','))
		return rh_fail(err, RH_USAGE, "--between takes two backends, as in libc,jemalloc");
	*comma = '\0';
	pick->between[0] = text;
	pick->between[1] = comma + 1;
	return 0;
}

static enum rh_exit judge(const struct rh_compare *compare, const struct compare_opts *o,
			  struct rh_err *err)
{
	if (compare->breaks > 0 && !o->anyway)
		return rh_fail(err, RH_NO_BASELINE,
			       "these results cannot be compared: see above "
			       "(--anyway does it all the same)"),
		       RH_NO_BASELINE;
	if (compare->row_count == 0)
		return rh_fail(err, RH_NO_BASELINE,
			       "the results share no trace, lanes and backend: "
			       "nothing to compare"),
		       RH_NO_BASELINE;
	return RH_OK;
}

/* One folder of a matrix: its backends; two: what changed from the first to the second. */
static enum rh_exit compare_matrices(int argc, char **argv, struct rh_err *err)
{
	struct rh_overview overview = { .dir = argv[argc - 1],
					.since_dir = argc > 1 ? argv[0] : NULL };
	int failed;

	if (argc > 2)
		return rh_fail(err, RH_USAGE, "one matrix, or an earlier one and a later one"),
		       RH_USAGE;
	failed =
		rh_store_open(&overview.store, overview.dir, err) < 0 ||
		(overview.since_dir && rh_store_open(&overview.since, overview.since_dir, err) < 0);
	if (!failed)
		failed = overview.since ? rh_overview_print_since(&overview, stdout, err) < 0
					: rh_overview_print(&overview, stdout, err) < 0;
	rh_store_close(overview.store);
	rh_store_close(overview.since);
	return failed ? err->code : RH_OK;
}

static enum rh_exit run_compare(const void *opaque, int argc, char **argv, struct rh_err *err)
{
	const struct compare_opts *o = opaque;
	struct rh_compare_pick pick = { .trace = o->trace,
					.backend = o->backend,
					.metric = o->metric };
	struct rh_compare compare;
	char between[BETWEEN_BYTES];
	struct rh_view view;
	enum rh_exit code;

	if (rh_folder_is(argv[0]))
		return compare_matrices(argc, argv, err);
	if (split_between(o, argc, between, &pick, err) < 0 ||
	    rh_view_open(&view, argv, (size_t)argc, NULL, err) < 0)
		return err->code;
	if (rh_compare_build(&view, &pick, &compare, err) < 0) {
		rh_view_close(&view);
		return err->code;
	}
	if (o->format != RH_COMPARE_JSON)
		for (size_t i = 0; i < compare.remark_count; i++)
			rh_print(stderr, "reheap compare: %s\n", compare.remarks[i]);
	code = judge(&compare, o, err);
	if (code == RH_OK || o->format == RH_COMPARE_JSON)
		rh_compare_print(&view, &compare, (enum rh_compare_form)o->format, o->all, stdout);
	if (compare.only_a + compare.only_b > 0)
		fprintf(stderr, "reheap compare: %zu metrics stand only in one result\n",
			compare.only_a + compare.only_b);
	if (code == RH_OK && o->format == RH_COMPARE_TABLE && !pick.between[0])
		fputs("\nratio = after / before, Hodges-Lehmann with its exact Mann-Whitney "
		      "interval; the "
		      "runs were apart in time,\nand what changed between them is not in it: "
		      "time.ratio is the row to trust, gate the tool to decide.\n",
		      stdout);
	rh_view_close(&view);
	return code;
}

const struct rh_command rh_cmd_compare = {
	.name = "compare",
	.operands = "A.json [B.json...] | [EARLIER] MATRIX",
	.summary = "put results side by side, with ratios, intervals and verdicts",
	.details =
		"Pairs the same metric of the same backend, trace and lanes; the first result is "
		"the earlier one. The verdict is faster, same, slower, or cannot tell when the "
		"interval supports none of these. The table begins with the ten changes that "
		"matter most, then has a line for each metric; --all prints every pair. With "
		"--between A,B two backends of one result are compared, their trials paired. "
		"Refuses (exit 4) when CPU, trace, touch, pace or verify differ.\n"
		"\n"
		"The folder of a matrix gives a line for each backend over all cells, classes of "
		"machines counted once; two folders give the changes from the first to the "
		"second, cell by cell.",
	.examples = "reheap compare before.json after.json\n"
		    "reheap compare run.json --between libc,jemalloc --trace redis\n"
		    "reheap compare --format md before.json after.json",
	.opts = opts,
	.opts_bytes = sizeof(struct compare_opts),
	.operands_min = 1,
	.operands_max = -1,
	.run = run_compare,
};
