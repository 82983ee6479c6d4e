/*
 * wee_alloc.c - the test traces of the wee_alloc allocator: `Alloc(SIZE),` and `Free(K),`,
 * one a line, where K counts the Alloc lines from 0. One thread, no resize. An Alloc line that
 * is torn counts, too: else the K of all Frees behind it would be of other objects.
 */
#include "traces/import/lines.h"

#include <string.h>

#include "traces/import/scan.h"

enum { THREAD = 0 };

struct line {
	bool is_alloc;
	bool torn;	      /* only the start of an Alloc */
	uint64_t torn_before; /* and so many of them before the record */
	uint64_t number;
};

struct log {
	struct rh_build *build;
	struct rh_input *input;
	uint64_t births, torn_line;
};

#define ALLOC "Alloc("

/* An Alloc that broke off, at the end of the line or where another record begins. */
static bool scan_torn(const char **at)
{
	const char *p = *at;
	uint64_t number;

	if (*p && strncmp(ALLOC, p, strlen(p)) == 0) {
		*at += strlen(p);
		return true;
	}
	if (!scan_text(&p, ALLOC) || (scan_decimal(&p, &number) && *p == ')'))
		return false;
	*at = p + strcspn(p, "AF");
	return true;
}

static const char *scan_record(const char **at, void *record)
{
	struct line *line = record;

	*line = (struct line){ 0 };
	scan_blanks(at);
	while (scan_torn(at))
		line->torn_before++;
	line->torn = line->torn_before && !**at;
	if (line->torn)
		return NULL;
	line->is_alloc = scan_text(at, ALLOC);
	if (!line->is_alloc && !scan_text(at, "Free("))
		return "it is neither Alloc(SIZE) nor Free(K)";
	if (!scan_decimal(at, &line->number) || !scan_char(at, ')'))
		return "a number and a bracket are missing";
	scan_char(at, ',');
	return NULL;
}

static int put_record(void *ctx, const void *record, const char **why, struct rh_err *err)
{
	struct log *log = ctx;
	const struct line *line = record;

	/* A torn line comes twice, whole and as a part of one (lines.c). */
	if (line->torn_before && log->torn_line != rh_input_line_number(log->input))
		log->births += line->torn_before;
	if (line->torn_before)
		log->torn_line = rh_input_line_number(log->input);
	if (line->torn) {
		*why = "a number and a bracket are missing";
		return RH_LINE_TORN;
	}
	if (!line->is_alloc && line->number >= log->births) {
		*why = "that Alloc has not come yet";
		return RH_LINE_TORN;
	}
	if (line->is_alloc && !scan_size_fits(1, line->number, why))
		return RH_LINE_TORN;
	if (line->torn_before)
		rh_build_count(log->build, "repair.foreign_text", 1);
	/* Address 0 means no block, so names are the ordinals from 1. */
	if (line->is_alloc)
		return rh_build_alloc(log->build, THREAD,
				      RH_BLOCK(.address = ++log->births, .size = line->number),
				      err);
	return rh_build_free(log->build, THREAD, line->number + 1, RH_NONE, err);
}

static const char *const marks[] = { ALLOC, "Free(", NULL };

static const struct rh_line_form form = {
	.what = "a wee_alloc line",
	.marks = marks,
	.starts = "AF",
	.record_bytes = sizeof(struct line),
	.scan = scan_record,
	.put = put_record,
};

static unsigned likeness(const char *bytes, size_t count)
{
	return rh_lines_likeness(&form, bytes, count);
}

static int import_wee_alloc(struct rh_input *input, const void *opts, struct rh_build *build,
			    struct rh_trace_out *out, struct rh_err *err)
{
	struct log log = { .build = build, .input = input };

	(void)opts;
	rh_build_stamp(build, RH_NONE, RH_TASK_NONE, RH_SITE_NONE);
	return rh_lines_read(&(struct rh_lines){ &form, input, build, out, &log }, err);
}

const struct rh_importer rh_import_wee_alloc = {
	.name = "wee_alloc",
	.summary = "wee_alloc's test traces: Alloc and Free lines",
	.looks_like = "Alloc(128),",
	.likeness = likeness,
	.run = import_wee_alloc,
};
