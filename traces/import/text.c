/*
 * text.c - our own text form (FORMAT.md, "Text") from anywhere: a pipe, an archive, an
 * editor, a script.
 *
 * Every command reads a text trace as it is; this turns it into a binary one, and is
 * kinder to files made by hand: births need no ids (they are numbered as they come), lanes
 * start with their first event, blank lines and # comments may stand anywhere, and a
 * missing `end` is counted as a repair instead of a file that was cut off. What an event
 * may be is decided by order.c here as everywhere: nothing is repaired that would change
 * the meaning.
 */
#include "traces/format/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "traces/import/lines.h"

struct text {
	struct rh_input *input;
	struct rh_build *build;
	struct rh_trace_out *out;
	struct rh_order order; /* numbers births for rh_text_parse */
	struct rh_event batch[RH_TRACE_BATCH];
	size_t count;
	bool ended;
};

static int refuse(struct rh_input *input, const char *why, struct rh_err *err)
{
	return rh_fail(err, RH_BAD_DATA, "%s:%llu: not a line of a text trace: %s",
		       rh_input_path(input), (unsigned long long)rh_input_line_number(input), why);
}

static bool is_comment(const char *line)
{
	line += strspn(line, " \t");
	return *line == '\0' || *line == '#';
}

/* The first line that says something is the head. Peeked at here, read in run(). */
static int columns_of(struct rh_input *input, const void *opts, unsigned *columns,
		      struct rh_err *err)
{
	char head[512], why[200];
	const char *bytes, *end;
	ssize_t have = rh_input_peek(input, &bytes, err);
	unsigned version;

	(void)opts;
	*columns = 0;
	if (have < 0)
		return -1;
	end = bytes + have;
	while (bytes < end) {
		const char *newline = memchr(bytes, '\n', (size_t)(end - bytes));
		size_t length = (size_t)((newline ? newline : end) - bytes);

		if (length >= sizeof(head))
			length = sizeof(head) - 1;
		memcpy(head, bytes, length);
		head[length] = '\0';
		head[strcspn(head, "\r")] = '\0';
		if (!is_comment(head))
			break;
		bytes = newline ? newline + 1 : end;
	}
	/* A head that is wrong is run()'s to report, with its line. */
	if (bytes == end || !rh_text_parse_head(head, columns, &version, why, sizeof(why)))
		*columns = 0;
	return 0;
}

static int flush(struct text *text, struct rh_err *err)
{
	size_t count = text->count;

	text->count = 0;
	return count ? rh_trace_put(text->out, text->batch, count, err) : 0;
}

/* "note KEY=VALUE" or "site NUMBER=NAME", from behind the first word. */
static int put_name(struct text *text, char *at, bool is_note, struct rh_err *err)
{
	char kept[300];
	char *value;
	uint64_t site;

	at += strspn(at, " \t");
	value = strchr(at, '=');
	if (!value)
		return refuse(text->input,
			      is_note ? "a note is written 'note KEY=VALUE'"
				      : "a site is written 'site NUMBER=NAME'",
			      err);
	*value++ = '\0';
	if (rh_text_unescape(value) < 0)
		return refuse(text->input, "a backslash must be followed by n, r or a backslash",
			      err);
	if (!is_note) {
		if (!rh_text_parse_u64(at, &site) || site > UINT32_MAX)
			return refuse(text->input, "this is no site number", err);
		return rh_trace_add_site(text->out, (uint32_t)site, value, err);
	}
	/* Where the text came from and how stays known beside the same of this import. */
	if (strcmp(at, "source") == 0 || strncmp(at, "import.", 7) == 0 ||
	    strncmp(at, "drop.", 5) == 0 || strncmp(at, "repair.", 7) == 0) {
		snprintf(kept, sizeof(kept), "before.%s", at);
		at = kept;
	}
	return rh_trace_add_note(text->out, at, value, err);
}

static bool starts_with(const char *line, const char *word)
{
	size_t bytes = strlen(word);

	return strncmp(line, word, bytes) == 0 && strchr(" \t", line[bytes]);
}

/* A lane that was not started is, in place of `event`. */
static bool start_lane(struct text *text, struct rh_event *event)
{
	uint64_t rank;

	*event = (struct rh_event){
		.kind = RH_EV_LANE_START,
		.lane = event->lane,
		.time_ns = event->time_ns,
		.id = RH_NONE,
		.old = RH_NONE,
		.arg = RH_NONE,
		.task = RH_TASK_NONE,
	};
	rh_build_count(text->build, "repair.lane_start", 1);
	return rh_order_put(&text->order, event, &rank);
}

static int put_line(struct text *text, char *line, struct rh_err *err)
{
	struct rh_event *event = &text->batch[text->count];
	uint64_t rank;

	line += strspn(line, " \t");
	if (text->ended)
		return refuse(text->input, "something follows after the end", err);
	if (starts_with(line, "note") || starts_with(line, "site")) {
		rh_build_count(text->build, "drop.name_line", 1);
		return put_name(text, line + 4, *line == 'n', err);
	}
	if (starts_with(line, "end")) {
		rh_build_count(text->build, "drop.name_line", 1);
		text->ended = true;
		return 0;
	}
	if (!rh_text_parse(line, &text->order, event))
		return refuse(text->input, text->order.why, err);
	if (event->kind != RH_EV_LANE_START && event->lane == text->order.totals.lanes) {
		event[1] = event[0];
		if (!start_lane(text, event))
			return refuse(text->input, text->order.why, err);
		event = &text->batch[++text->count];
	}
	if (!rh_order_put(&text->order, event, &rank))
		return refuse(text->input, text->order.why, err);
	text->count++;
	/* Room for an event and the lane_start it may need. */
	return text->count >= RH_TRACE_BATCH - 1 ? flush(text, err) : 0;
}

static int read_lines(struct text *text, struct rh_err *err)
{
	bool has_head = false;
	char *line;
	ssize_t length;

	while ((length = rh_input_line(text->input, &line, err)) >= 0) {
		char why[200];
		unsigned version, columns;

		if (rh_input_line_cut(text->input) && !starts_with(line, "end")) {
			if (rh_lines_leave_cut(text->input, text->build, text->out, err) < 0)
				return -1;
			continue;
		}
		if (rh_input_line_long(text->input))
			return refuse(text->input, "it is longer than 64 KiB", err);
		if (is_comment(line)) {
			rh_build_count(text->build, "drop.blank_line", 1);
			continue;
		}
		if (has_head) {
			if (put_line(text, line, err) < 0)
				return -1;
			continue;
		}
		if (!rh_text_parse_head(line, &columns, &version, why, sizeof(why)))
			return refuse(text->input, why, err);
		if (version != RH_TRACE_VERSION)
			return refuse(text->input, "it is of another version", err);
		rh_build_count(text->build, "drop.header_line", 1);
		has_head = true;
		if (!rh_order_open(&text->order, columns))
			return rh_fail(err, RH_OS, "no memory to read %s",
				       rh_input_path(text->input));
	}
	if (length != RH_INPUT_END || flush(text, err) < 0)
		return -1;
	if (!text->ended)
		rh_build_count(text->build, "repair.no_end", 1);
	return has_head ? 0 : refuse(text->input, "there is none but blanks and comments", err);
}

static int run(struct rh_input *input, const void *opts, struct rh_build *build,
	       struct rh_trace_out *out, struct rh_err *err)
{
	struct text *text = calloc(1, sizeof(*text));
	int result;

	(void)opts;
	if (!text)
		return rh_fail(err, RH_OS, "no memory to read %s", rh_input_path(input));
	text->input = input;
	text->build = build;
	text->out = out;
	result = read_lines(text, err);
	rh_order_close(&text->order);
	free(text);
	return result;
}

static unsigned likeness(const char *bytes, size_t count)
{
	return memmem(bytes, count < 4096 ? count : 4096, "reheap-trace ", 13) ? 90 : 0;
}

const struct rh_importer rh_import_text = {
	.name = "text",
	.summary = "reheap's own text form, from pipes, archives and hand-written files",
	.looks_like = "alloc lane=0 id=17 size=64 align=32",
	.columns = RH_COL_TIME | RH_COL_TASK | RH_COL_SITE | RH_COL_ARG,
	.has_lane_starts = true,
	.likeness = likeness,
	.columns_of = columns_of,
	.run = run,
};
