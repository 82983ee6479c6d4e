/*
 * read_text.c - lines to events. Notes and site names may stand anywhere; those before
 * the first event are known after open.
 */
#include "traces/format/read.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* FILE:LINE: as compilers print it, so editors jump there. Memory that ran out is no
 * fault of the file and has an exit status of its own. */
static int refuse_line(struct rh_trace *trace, const char *why, struct rh_err *err)
{
	bool ours = trace->order.no_memory || why == rh_names_no_memory;

	return rh_fail(err, ours ? RH_OS : RH_BAD_DATA, "%s:%llu: %s", trace->path,
		       (unsigned long long)trace->line_number, why);
}

/* A gigabyte of them is no trace. /dev/zero through tr, or a damaged file: without a bound a
 * reader would be busy for as long as bytes come. */
enum { BLANK_MAX = 20 * 1000 * 1000 };

/* A line without its newline into trace->line: 1, 0 at the end, -1 = error. */
static int read_line(struct rh_trace *trace, struct rh_err *err)
{
	size_t bytes = 0;

	trace->line_number++;
	for (;;) {
		char *from = trace->buffer + trace->buffer_at;
		size_t ready = trace->buffer_end - trace->buffer_at;
		char *end = memchr(from, '\n', ready);
		size_t count = end ? (size_t)(end - from) : ready;

		assert(trace->buffer_at <= trace->buffer_end);
		/* Before the copy: the line buffer has exactly this much room. */
		if (bytes + count >= RH_TEXT_LINE_MAX)
			return refuse_line(trace, "the line is too long", err);
		memcpy(trace->line + bytes, from, count);
		bytes += count;
		trace->buffer_at += count + (end ? 1 : 0);
		if (end)
			break;
		/* rh_read_bytes gives out what is in the buffer first, so it must be
		 * empty when the buffer is filled again. */
		trace->buffer_at = trace->buffer_end = 0;
		long got = rh_read_bytes(trace, trace->buffer, RH_READ_BUFFER_BYTES, err);

		if (got < 0)
			return -1;
		trace->buffer_at = 0;
		trace->buffer_end = (size_t)got;
		if (got == 0) {
			/* A last line without its newline may have been cut anywhere,
			 * so it is not used: "size=12" may have been "size=1200". */
			trace->cut_line = bytes > 0;
			return 0;
		}
	}
	/* Files that were edited on Windows. */
	if (bytes && trace->line[bytes - 1] == '\r')
		bytes--;
	trace->line[bytes] = '\0';
	/* All that follows reads the line up to its NUL, and would silently use half
	 * of it. */
	if (memchr(trace->line, 0, bytes))
		return refuse_line(trace, "the line has a zero byte in it", err);
	trace->blank_lines = bytes ? 0 : trace->blank_lines + 1;
	if (trace->blank_lines > BLANK_MAX)
		return refuse_line(trace, "20 million blank lines in a row are no trace", err);
	return 1;
}

/* By the checks that the writer makes, so whatever was written can be read, and a
 * name that could not be written is refused here. */
static int take_name(struct rh_trace *trace, char *text, bool is_note, struct rh_err *err)
{
	/* The first '=': keys have none, values may. */
	char *value = strchr(text, '=');
	const char *why;
	uint64_t site;
	long bytes;

	if (!value)
		return refuse_line(trace,
				   is_note ? "a note is written 'note KEY=VALUE'"
					   : "a site is written 'site NUMBER=NAME'",
				   err);
	*value++ = '\0';
	bytes = rh_text_unescape(value);
	if (bytes < 0)
		return refuse_line(trace, "a backslash must be followed by n, r or a backslash",
				   err);
	assert((size_t)bytes == strlen(value));
	if (is_note)
		why = rh_names_note(&trace->names, text, strlen(text), value, (size_t)bytes);
	else if (!rh_text_parse_u64(text, &site) || site > UINT32_MAX)
		why = "this is no site number";
	else
		why = rh_names_site(&trace->names, (uint32_t)site, value, (size_t)bytes);
	return why ? refuse_line(trace, why, err) : 0;
}

static int take_end(struct rh_trace *trace, const char *rest, struct rh_err *err)
{
	uint64_t events;
	int more;

	rest += strspn(rest, " \t");
	if (*rest && (strncmp(rest, "events=", 7) != 0 || !rh_text_parse_u64(rest + 7, &events)))
		return refuse_line(trace, "the last line is written 'end' or 'end events=N'", err);
	/* The count is optional, for traces written by hand; one that is there must
	 * be right, or lines are missing. */
	if (*rest && events != trace->order.totals.events)
		return refuse_line(trace, "the number of events is not the number of lines before",
				   err);
	/* Two traces put one behind the other by cat: the second would be lost
	 * without a word. */
	while ((more = read_line(trace, err)) > 0)
		if (trace->line[0] && trace->line[0] != '#')
			return refuse_line(trace, "something follows after the end", err);
	if (more < 0)
		return -1;
	if (trace->cut_line)
		return refuse_line(trace, "something follows after the end", err);
	trace->ended = true;
	return 0;
}

/* A whole word, so that a kind of event whose name begins with "end" or "note" can be
 * added. */
static bool starts_with(const char *line, const char *word)
{
	size_t bytes = strlen(word);

	return strncmp(line, word, bytes) == 0 &&
	       (!line[bytes] || line[bytes] == ' ' || line[bytes] == '\t');
}

/* Not an error: every line before was whole and legal, and a recording that was
 * killed is worth having. */
static int cut_off(struct rh_trace *trace)
{
	struct rh_err text;

	rh_fail(&text, RH_BAD_DATA,
		"%s is cut off at line %llu, its line 'end' is missing: the %llu events before it "
		"are used",
		trace->path, (unsigned long long)trace->line_number,
		(unsigned long long)trace->order.totals.events);
	memcpy(trace->truncated, text.text, sizeof(trace->truncated));
	trace->ended = true;
	return 0;
}

/* Reads on to the next line that is an event: 1 with it in trace->line, 0 at the end. */
static int next_event_line(struct rh_trace *trace, struct rh_err *err)
{
	for (;;) {
		int more = read_line(trace, err);
		char *line = trace->line;

		if (more < 0)
			return -1;
		if (more == 0)
			return cut_off(trace);
		line += strspn(line, " \t");
		/* Checked here and not in read_line: after the first event comments
		 * are as common as before it. */
		if (!*line || *line == '#')
			continue;
		if (starts_with(line, "note") || starts_with(line, "site")) {
			/* "note" and "site" both have four letters. */
			char *text = line + 4 + strspn(line + 4, " \t");

			if (take_name(trace, text, *line == 'n', err) < 0)
				return -1;
		} else if (starts_with(line, "end")) {
			return take_end(trace, line + 3, err);
		} else {
			return 1;
		}
	}
}

static int read_head(struct rh_trace *trace, struct rh_err *err)
{
	char why[200];
	unsigned version;
	int more;

	do
		more = read_line(trace, err);
	/* A comment may stand before the first line: licences do. */
	while (more > 0 && (!trace->line[0] || trace->line[0] == '#'));
	if (more < 0)
		return -1;
	if (more == 0)
		trace->line[0] = '\0';
	if (!rh_text_parse_head(trace->line, &trace->columns, &version, why, sizeof(why)))
		return rh_fail(err, RH_BAD_DATA, "%s:%llu: %s", trace->path,
			       (unsigned long long)trace->line_number, why);
	if (version != RH_TRACE_VERSION)
		return rh_fail(err, RH_BAD_DATA,
			       "%s is a text trace of version %u and this reheap "
			       "reads version %d",
			       trace->path, version, RH_TRACE_VERSION);
	return 0;
}

int rh_text_open(struct rh_trace *trace, struct rh_err *err)
{
	int more;

	/* Once: a line is read into the same buffer each time. */
	trace->line = malloc(RH_TEXT_LINE_MAX + 1);
	if (!trace->line)
		return rh_fail(err, RH_OS, "%s cannot be read: memory ran out", trace->path);
	if (read_head(trace, err) < 0)
		return -1;
	if (!rh_order_open(&trace->order, trace->columns))
		return rh_fail(err, RH_OS, "%s cannot be read: memory ran out", trace->path);
	/* Reads up to the first event, so that the notes before it are known after
	 * open, as they are with an index. */
	more = next_event_line(trace, err);
	trace->line_kept = more > 0;
	return more < 0 ? -1 : 0;
}

long rh_text_next(struct rh_trace *trace, struct rh_event *batch, size_t cap, struct rh_err *err)
{
	size_t count = 0;
	uint64_t rank;

	while (count < cap && !trace->ended) {
		int more = trace->line_kept ? 1 : next_event_line(trace, err);

		if (more < 0)
			return count ? (long)count : -1;
		if (more == 0)
			break;
		trace->line_kept = false;
		if (!rh_text_parse(trace->line, &trace->order, &batch[count]) ||
		    /* The events before the bad line are handed out first: a count
		     * above 0 with err filled (read.h). */
		    !rh_order_put(&trace->order, &batch[count], &rank)) {
			refuse_line(trace, trace->order.why, err);
			return count ? (long)count : -1;
		}
		count++;
	}
	return (long)count;
}
