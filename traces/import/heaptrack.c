/*
 * heaptrack.c - raw recordings of heaptrack (heaptrack --raw, usually .raw.zst).
 *
 * Each line is a letter and hexadecimal numbers. Of them:
 *
 *	v VERSION FORMAT	first line		+ SIZE STACK PTR	an allocation
 *	X COMMAND		the program		- PTR			a free
 *	c MS			time since the start	A			attached later
 *
 * the others (modules, stack nodes, memory in use) say nothing about objects. A realloc is
 * a free and an allocation there: it stays so here. Threads are not recorded: one lane.
 * Time is that of the last clock line, which comes every 10 ms or so; lines before the
 * first one have none.
 *
 * An interpreted file (heaptrack_interpret has run over it) has lost which free belongs
 * to which allocation and is refused.
 */
#include "traces/import.h"

#include "traces/import/scan.h"

enum { THREAD = 0 };
static const uint64_t NS_PER_MS = 1000000;

struct heaptrack {
	struct rh_input *input;
	struct rh_build *build;
	struct rh_trace_out *out;
	uint64_t time_ns;
};

static int bad_line(struct rh_input *input, const char *why, const char *text, struct rh_err *err)
{
	return rh_fail(err, RH_BAD_DATA, "%s:%llu: not a heaptrack line: %s: '%.60s'",
		       rh_input_path(input), (unsigned long long)rh_input_line_number(input), why,
		       text);
}

static int put_alloc(struct heaptrack *heaptrack, const char *line, struct rh_err *err)
{
	const char *at = line + 1;
	uint64_t size, stack, pointer;

	if (!scan_char(&at, ' ') || !scan_hex(&at, &size) || !scan_char(&at, ' ') ||
	    !scan_hex(&at, &stack) || !scan_char(&at, ' ') || !scan_hex(&at, &pointer) ||
	    !scan_end(&at))
		return bad_line(heaptrack->input, "an allocation is '+ SIZE STACK PTR'", line,
				err);
	return rh_build_alloc(heaptrack->build, THREAD, pointer, size, 0, 0, err);
}

static int put_free(struct heaptrack *heaptrack, const char *line, struct rh_err *err)
{
	const char *at = line + 1;
	uint64_t pointer;

	if (!scan_char(&at, ' ') || !scan_hex(&at, &pointer) || !scan_end(&at))
		return bad_line(heaptrack->input, "a free is '- PTR'", line, err);
	return rh_build_free(heaptrack->build, THREAD, pointer, RH_NONE, err);
}

static int set_clock(struct heaptrack *heaptrack, const char *line, struct rh_err *err)
{
	const char *at = line + 1;
	uint64_t ms;

	if (!scan_char(&at, ' ') || !scan_hex(&at, &ms) || !scan_end(&at) ||
	    ms > UINT64_MAX / 2 / NS_PER_MS)
		return bad_line(heaptrack->input, "a time is 'c MILLISECONDS'", line, err);
	heaptrack->time_ns = ms * NS_PER_MS;
	rh_build_stamp(heaptrack->build, heaptrack->time_ns, RH_TASK_NONE, RH_SITE_NONE);
	return 0;
}

static int put_line(struct heaptrack *heaptrack, const char *line, struct rh_err *err)
{
	switch (line[0]) {
	case '+':
		return put_alloc(heaptrack, line, err);
	case '-':
		return put_free(heaptrack, line, err);
	case 'c':
		rh_build_count(heaptrack->build, "drop.other_line", 1);
		return set_clock(heaptrack, line, err);
	case 'a':
	case 'i':
	case 's':
		return rh_fail(err, RH_BAD_DATA,
			       "%s:%llu: an interpreted heaptrack file, which has lost the "
			       "objects' identities; record with heaptrack --raw",
			       rh_input_path(heaptrack->input),
			       (unsigned long long)rh_input_line_number(heaptrack->input));
	case 'X':
		if (line[1] == ' ' &&
		    rh_trace_add_note(heaptrack->out, "program", line + 2, err) < 0)
			return -1;
		break;
	case 'A':
		if (rh_trace_add_note(heaptrack->out, "heaptrack.attached", "yes", err) < 0)
			return -1;
		break;
	}
	/* Blank lines, comments and letters of newer versions are no reason to give up. */
	rh_build_count(heaptrack->build, "drop.other_line", 1);
	return 0;
}

static int run(struct rh_input *input, const void *opts, struct rh_build *build,
	       struct rh_trace_out *out, struct rh_err *err)
{
	struct heaptrack heaptrack = { input, build, out, RH_NONE };
	char *line;
	ssize_t length;

	(void)opts;
	rh_build_stamp(build, RH_NONE, RH_TASK_NONE, RH_SITE_NONE);
	while ((length = rh_input_line(input, &line, err)) >= 0) {
		const char *at = line;
		uint64_t version;

		if (rh_input_line_number(input) == 1 &&
		    !(scan_text(&at, "v ") && scan_hex(&at, &version)))
			return bad_line(input, "the first must be 'v VERSION'", line, err);
		if (put_line(&heaptrack, line, err) < 0)
			return -1;
	}
	if (length != RH_INPUT_END)
		return -1;
	return heaptrack.time_ns == RH_NONE ? 0 : rh_trace_add_note(out, "clock", "ms", err);
}

const struct rh_importer rh_import_heaptrack = {
	.name = "heaptrack",
	.summary = "raw recording of heaptrack (heaptrack --raw)",
	.looks_like = "+ 11c00 4 55ef385e1530",
	.columns = RH_COL_TIME,
	.run = run,
};
