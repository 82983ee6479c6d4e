/*
 * wee_alloc.c - the test traces of the wee_alloc allocator: `Alloc(SIZE),` and `Free(K),`,
 * one a line, where K counts the Alloc lines from 0. One thread, no resize.
 */
#include "traces/import.h"

#include "traces/import/scan.h"

enum { THREAD = 0 };

/* NULL, or what is wrong. */
static const char *scan_line(const char *text, bool *is_alloc, uint64_t *number)
{
	const char *at = text;

	scan_blanks(&at);
	*is_alloc = scan_text(&at, "Alloc(");
	if (!*is_alloc && !scan_text(&at, "Free("))
		return "it is neither Alloc(SIZE) nor Free(K)";
	if (!scan_decimal(&at, number) || !scan_char(&at, ')'))
		return "a number and a bracket are missing";
	scan_char(&at, ',');
	return scan_end(&at) ? NULL : "there is something after it";
}

static int run(struct rh_input *input, const void *opts, struct rh_build *build,
	       struct rh_trace_out *out, struct rh_err *err)
{
	uint64_t births = 0, number;
	ssize_t length;
	char *text;

	(void)opts;
	(void)out;
	rh_build_stamp(build, RH_NONE, RH_TASK_NONE, RH_SITE_NONE);
	while ((length = rh_input_line(input, &text, err)) >= 0) {
		const char *why;
		bool is_alloc;
		int result;

		if (length == 0) {
			rh_build_count(build, "drop.blank_line", 1);
			continue;
		}
		why = scan_line(text, &is_alloc, &number);
		if (!why && !is_alloc && number >= births)
			why = "that Alloc has not come yet";
		if (why)
			return rh_fail(err, RH_BAD_DATA,
				       "%s:%llu: not a wee_alloc line: %s: '%.60s'",
				       rh_input_path(input),
				       (unsigned long long)rh_input_line_number(input), why, text);
		/* Address 0 means no block, so names are the ordinals from 1. */
		if (is_alloc)
			result = rh_build_alloc(build, THREAD, ++births, number, 0, 0, err);
		else
			result = rh_build_free(build, THREAD, number + 1, RH_NONE, err);
		if (result < 0)
			return -1;
	}
	return length == RH_INPUT_END ? 0 : -1;
}

const struct rh_importer rh_import_wee_alloc = {
	.name = "wee_alloc",
	.summary = "wee_alloc's test traces: Alloc and Free lines",
	.looks_like = "Alloc(128),",
	.run = run,
};
