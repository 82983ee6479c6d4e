/*
 * cmd_compare.c - reheap compare: two or more results side by side.
 *
 * Exit: 0 compared, whatever the verdicts (the gate decides, this tells); 4 when what decides
 * the numbers differs between the manifests or nothing can be paired.
 */
#include "harness/command.h"
#include "harness/tell/compare.h"

struct compare_opts {
	int format;
	bool anyway;
};

static const char *const formats[] = { "table", "md", "json", NULL };

static const struct rh_opt opts[] = {
	{ "format", 0, RH_OPT_NAME, offsetof(struct compare_opts, format), "table",
	  .names = formats, .arg = "FORM", .help = "how to print" },
	{ "anyway", 0, RH_OPT_FLAG, offsetof(struct compare_opts, anyway), NULL,
	  .help = "compare also what was measured under different conditions" },
	{ .name = NULL },
};

static enum rh_exit judge(const struct rh_compare *compare, const struct compare_opts *o,
			  struct rh_err *err)
{
	if (compare->breaks > 0 && !o->anyway)
		return rh_fail(err, RH_NO_BASELINE, "these results cannot be compared: see above "
			       "(--anyway does it all the same)"), RH_NO_BASELINE;
	if (compare->row_count == 0)
		return rh_fail(err, RH_NO_BASELINE,
			       "the results share no trace, lanes and backend: "
			       "nothing to compare"),
		       RH_NO_BASELINE;
	return RH_OK;
}

static enum rh_exit run(const void *opaque, int argc, char **argv, struct rh_err *err)
{
	const struct compare_opts *o = opaque;
	struct rh_compare compare;
	struct rh_view view;
	enum rh_exit code;

	if (rh_view_open(&view, argv, (size_t)argc, NULL, err) < 0)
		return err->code;
	rh_compare_build(&view, &compare);
	if (o->format != RH_COMPARE_JSON)
		for (size_t i = 0; i < compare.remark_count; i++)
			fprintf(stderr, "reheap compare: %s\n", compare.remarks[i]);
	code = judge(&compare, o, err);
	if (code == RH_OK || o->format == RH_COMPARE_JSON)
		rh_compare_print(&view, &compare, (enum rh_compare_form)o->format, stdout);
	if (compare.only_a + compare.only_b > 0)
		fprintf(stderr, "reheap compare: %zu metrics stand only in one result\n",
			compare.only_a + compare.only_b);
	if (code == RH_OK && o->format == RH_COMPARE_TABLE)
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
	.operands = "A.json B.json...",
	.summary = "put results side by side, with ratios, intervals and verdicts",
	.details =
		"Pairs the same metric of the same backend, trace and lanes; the first result is "
		"the one before. Says faster, same, slower, or cannot tell when the interval "
		"allows nothing else. Refuses (exit 4) when CPU, trace, touch, pace or verify "
		"differ.",
	.examples = "reheap compare before.json after.json\n"
		    "reheap compare --format md before.json after.json",
	.opts = opts,
	.opts_bytes = sizeof(struct compare_opts),
	.operands_min = 2,
	.operands_max = -1,
	.run = run,
};
