/*
 * malloclab.c - the .rep files of the malloc lab that many universities set.
 *
 * Four header numbers, then `a ID SIZE`, `r ID SIZE`, `f ID`, one thread. Two dialects of
 * header, told apart by where the weight (0 to 3) stands:
 *
 *	old	heap hint, ids, ops, weight
 *	new	weight, ids, ops, most bytes live
 *
 * `r` keeps its id: the object ends and another of the same name begins. `f -1` stands for
 * free(NULL). Ids are names, so an id may be used again after its free. Where the
 * header's count of operations is not that of the lines (a file cut off, or the work of a
 * careless script) the lines count, and repair.header_ops says by how much they differ.
 */
#include "traces/import.h"

#include "traces/import/scan.h"

enum { THREAD = 0, WEIGHT_MAX = 3, FREE_NULL_ADDRESS = 0 };

static int bad_line(struct rh_input *input, const char *why, const char *text, struct rh_err *err)
{
	return rh_fail(err, RH_BAD_DATA, "%s:%llu: not a malloclab trace line: %s: '%.60s'",
		       rh_input_path(input), (unsigned long long)rh_input_line_number(input), why,
		       text);
}

/* The next line that is not blank: 1, 0 at the end, -1. */
static int next_line(struct rh_input *input, struct rh_build *build, const char **text,
		     struct rh_err *err)
{
	char *line;
	ssize_t length;

	while ((length = rh_input_line(input, &line, err)) >= 0) {
		*text = line;
		scan_blanks(text);
		if (**text)
			return 1;
		rh_build_count(build, "drop.blank_line", 1);
	}
	return length == RH_INPUT_END ? 0 : -1;
}

static int read_header(struct rh_input *input, struct rh_build *build, uint64_t header[4],
		       struct rh_err *err)
{
	for (int i = 0; i < 4; i++) {
		const char *text = "";
		int got = next_line(input, build, &text, err);

		if (got < 0)
			return -1;
		if (!got)
			return rh_fail(err, RH_BAD_DATA,
				       "%s: not a malloclab trace: it ends inside its four header "
				       "lines",
				       rh_input_path(input));
		if (!scan_decimal(&text, &header[i]) || !scan_end(&text))
			return bad_line(input, "a header line must be one number", text, err);
		rh_build_count(build, "drop.header_line", 1);
	}
	if (header[3] > WEIGHT_MAX && header[0] > WEIGHT_MAX)
		return rh_fail(err, RH_BAD_DATA,
			       "%s: not a malloclab trace: neither the first nor the fourth header "
			       "number is a weight of 0 to 3",
			       rh_input_path(input));
	return 0;
}

static int put_line(struct rh_build *build, struct rh_input *input, const char *text,
		    struct rh_err *err)
{
	const char *at = text + 1;
	uint64_t id, size = 0;

	if (text[0] != 'a' && text[0] != 'r' && text[0] != 'f')
		return bad_line(input, "it begins with none of a, r, f", text, err);
	if (*at != ' ' && *at != '\t')
		return bad_line(input, "no blank after the first letter", text, err);
	scan_blanks(&at);
	if (text[0] == 'f' && scan_text(&at, "-1")) {
		if (!scan_end(&at))
			return bad_line(input, "something after -1", text, err);
		return rh_build_free(build, THREAD, FREE_NULL_ADDRESS, RH_NONE, err);
	}
	if (!scan_decimal(&at, &id) || id == UINT64_MAX)
		return bad_line(input, "no id", text, err);
	if (text[0] != 'f') {
		scan_blanks(&at);
		if (!scan_decimal(&at, &size))
			return bad_line(input, "no size", text, err);
	}
	if (!scan_end(&at))
		return bad_line(input, "too many words", text, err);
	/* Ids count from 0, and address 0 means no block: names are the ids plus one. */
	if (text[0] == 'a')
		return rh_build_alloc(build, THREAD, id + 1, size, 0, 0, err);
	if (text[0] == 'f')
		return rh_build_free(build, THREAD, id + 1, RH_NONE, err);
	return rh_build_realloc(build, THREAD, id + 1, id + 1, size, 0, err);
}

static int run(struct rh_input *input, const void *opts, struct rh_build *build,
	       struct rh_trace_out *out, struct rh_err *err)
{
	uint64_t header[4], ops = 0;
	const char *text;
	int got;

	(void)opts;
	if (read_header(input, build, header, err) < 0)
		return -1;
	while ((got = next_line(input, build, &text, err)) > 0) {
		if (put_line(build, input, text, err) < 0)
			return -1;
		ops++;
	}
	if (got < 0)
		return -1;
	if (ops != header[2])
		rh_build_count(build, "repair.header_ops",
			       ops < header[2] ? header[2] - ops : ops - header[2]);
	return rh_trace_add_count(out, "malloclab.weight",
				  header[3] <= WEIGHT_MAX ? header[3] : header[0], err);
}

const struct rh_importer rh_import_malloclab = {
	.name = "malloclab",
	.summary = "malloc lab .rep files, old and new header",
	.looks_like = "a 0 2040",
	.run = run,
};
