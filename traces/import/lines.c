/*
 * lines.c - see lines.h. The way of a line:
 *
 *	1. scanned from its start, and the record ends where the line does: put (nearly all);
 *	2. else every place where a record may begin is tried, each record found is put;
 *	3. else it is foreign or torn, and the first torn one is kept for the message.
 */
#include "traces/import/lines.h"

#include <assert.h>
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	/* With so many torn lines and more of them than records, no later line helps. */
	HOPELESS = 1000,
	/* Lines in a row that are no records: a gigabyte of blank lines is not a log. */
	BARREN_MAX = 20 * 1000 * 1000,
	QUOTE_BYTES = 60,
};

struct reader {
	const struct rh_line_form *form;
	struct rh_input *input;
	struct rh_build *build;
	void *ctx;
	uint64_t records, torn, barren;
	bool cut;	     /* the last line was left out */
	struct rh_err first; /* what is wrong with the first torn or foreign line */
	bool first_torn;
	_Alignas(16) unsigned char record[RH_LINE_RECORD_MAX];
};

/* Keeps what is said when the import fails; a torn line is worth more than a foreign one. */
static void keep(struct reader *reader, const char *why, const char *line, bool is_torn)
{
	if (reader->first.text[0] && (reader->first_torn || !is_torn))
		return;
	reader->first_torn = is_torn;
	rh_fail(&reader->first, RH_BAD_DATA, "%s:%" PRIu64 ": not %s: %s: '%.*s'",
		rh_input_path(reader->input), rh_input_line_number(reader->input),
		reader->form->what, why, QUOTE_BYTES, line);
}

/* A record that ends at `at` may be followed by other text: see lines.h. */
static bool ends_well(const char *line, const char *at)
{
	const char *next = at;

	if (*at == '\0')
		return true;
	if (at > line && strchr("),}", at[-1]))
		return true;
	/* What steers a terminal (a carriage return, colours) is in no number. */
	if (strchr("\r\b\v\f\033", *at))
		return true;
	while (*next == ' ' || *next == '\t')
		next++;
	return next > at && !isdigit((unsigned char)*next);
}

static bool is_letter(char c)
{
	return isalpha((unsigned char)c) || c == '_';
}

/* A number that other digits stand before is another number, and so it is with some words. */
static bool begins_well(const struct rh_line_form *form, const char *line, const char *at)
{
	if (at == line)
		return true;
	if (form->words && is_letter(*at) && is_letter(at[-1]))
		return false;
	return !isdigit((unsigned char)*at) || !isdigit((unsigned char)at[-1]);
}

/* Of the format, but no record: it has one of its words, or is made of digits, and signs between
 * them, as the tail of a record is. */
bool rh_lines_is_torn(const char *const *marks, const char *line)
{
	bool has_word = false, has_digit = false;

	for (const char *const *mark = marks; *mark; mark++)
		if (strstr(line, *mark))
			return true;
	/* The lines of a tracer's head; "#7" is the end of a record of logalloc. */
	if (*line == '#' && !isdigit((unsigned char)line[1]))
		return false;
	for (const char *p = line; *p; p++) {
		has_word |= isalpha((unsigned char)*p) && !isxdigit((unsigned char)*p);
		has_digit |= isxdigit((unsigned char)*p) != 0;
	}
	return has_digit && !has_word;
}

static int put(struct reader *reader, const char **why, struct rh_err *err)
{
	int result = reader->form->put(reader->ctx, reader->record, why, err);

	reader->records += result == 0;
	return result;
}

/* Every record in a line that is not one from end to end. */
static int take_mixed(struct reader *reader, const char *line, const char *why, struct rh_err *err)
{
	const struct rh_line_form *form = reader->form;
	uint64_t counted = rh_build_counted(reader->build, "repair.foreign_text");
	const char *at = line, *other;
	unsigned found = 0, torn = 0;

	while (at && *at) {
		const char *end = at;

		bool is_record = begins_well(form, line, at) && !form->scan(&end, reader->record) &&
				 end > at;

		torn += is_record && !ends_well(at, end);
		if (is_record && ends_well(at, end)) {
			int result = put(reader, &other, err);

			if (result < 0)
				return -1;
			if (result == 0) {
				found++;
				at = end;
				continue;
			}
			why = other;
		}
		at = form->starts ? strpbrk(at + 1, form->starts) : NULL;
	}
	if (found) {
		/* Some importers see by themselves what stands before a record. */
		if (rh_build_counted(reader->build, "repair.foreign_text") == counted)
			rh_build_count(reader->build, "repair.foreign_text", 1);
		rh_build_count(reader->build, "import.added", found - 1);
		/* Into its last number other text was written: it is lost, beside those found. */
		rh_build_count(reader->build, "repair.torn_record", torn);
		return 0;
	}
	if (rh_lines_is_torn(form->marks, line) && !(form->is_remark && form->is_remark(line))) {
		keep(reader, why, line, true);
		rh_build_count(reader->build, "drop.torn_line", 1);
		reader->torn++;
	} else {
		keep(reader, why, line, false);
		rh_build_count(reader->build, "drop.other_line", 1);
	}
	return 0;
}

static int take_line(struct reader *reader, const char *line, struct rh_err *err)
{
	const char *at = line, *why = reader->form->scan(&at, reader->record);
	bool is_cut = rh_input_line_cut(reader->input);

	if (!why) {
		while (*at == ' ' || *at == '\t')
			at++;
		if (*at)
			why = "there is something after the record";
	}
	if (is_cut && !(!why && reader->form->is_last &&
			reader->form->is_last(reader->ctx, reader->record))) {
		rh_build_count(reader->build, "drop.cut_line", 1);
		reader->cut = true;
		return 0;
	}
	if (!why) {
		int result = put(reader, &why, err);

		if (result <= 0)
			return result;
	}
	return take_mixed(reader, line, why, err);
}

static int too_damaged(const struct rh_err *first, uint64_t torn, uint64_t lines,
		       struct rh_err *err)
{
	return rh_fail(err, RH_BAD_DATA,
		       "%s (%" PRIu64 " of %" PRIu64 " lines are torn; --max-damage %.3g%% would "
		       "leave them out)",
		       first->text, torn, lines, (double)torn / (double)lines * 100 + 0.1);
}

static bool is_hopeless(const struct reader *reader)
{
	return reader->torn > HOPELESS && reader->torn > reader->records;
}

int rh_lines_check_torn(const struct rh_input *input, uint64_t torn, const struct rh_err *first,
			struct rh_err *err)
{
	uint64_t lines = rh_input_line_number(input);
	double allowed = rh_input_max_damage(input) * (double)lines;

	assert(torn <= lines);
	/* One is forgiven in a short log too, unless none may be. */
	if (allowed > 0 && allowed < 1)
		allowed = 1;
	return (double)torn > allowed ? too_damaged(first, torn, lines, err) : 0;
}

static int check_end(const struct reader *reader, struct rh_err *err)
{
	if (reader->records == 0 && reader->first.text[0]) {
		*err = reader->first;
		return -1;
	}
	if (reader->records == 0)
		return rh_fail(err, RH_BAD_DATA, "%s: there is no line in it that is %s",
			       rh_input_path(reader->input), reader->form->what);
	return rh_lines_check_torn(reader->input, reader->torn, &reader->first, err);
}

int rh_lines_note_cut(const struct rh_input *input, bool left_out, struct rh_trace_out *out,
		      struct rh_err *err)
{
	const char *truncated = rh_input_truncated(input);
	char text[400];

	if (truncated)
		snprintf(text, sizeof(text), "after line %" PRIu64 ": %s",
			 rh_input_line_number(input), truncated);
	else if (left_out)
		snprintf(text, sizeof(text),
			 "line %" PRIu64 ", the last, has no newline and is left out",
			 rh_input_line_number(input));
	else
		return 0;
	return rh_trace_add_note(out, "import.truncated", text, err);
}

int rh_lines_note_unfinished(uint64_t calls, struct rh_trace_out *out, struct rh_err *err)
{
	char text[60];

	if (!calls)
		return 0;
	snprintf(text, sizeof(text), "the end of %" PRIu64 " calls", calls);
	return rh_trace_add_note(out, "import.unseen", text, err);
}

int rh_lines_read(const struct rh_lines *lines, struct rh_err *err)
{
	const struct rh_line_form *form = lines->form;
	struct rh_input *input = lines->input;
	struct rh_build *build = lines->build;
	struct reader reader = { .form = form, .input = input, .build = build, .ctx = lines->ctx };
	ssize_t length;
	char *line;

	assert(form->record_bytes <= RH_LINE_RECORD_MAX);
	while ((length = rh_input_line(input, &line, err)) >= 0) {
		uint64_t records = reader.records;

		if (length == 0) {
			rh_build_count(build, "drop.blank_line", 1);
		} else if (take_line(&reader, line, err) < 0) {
			return -1;
		}
		reader.barren = reader.records == records ? reader.barren + 1 : 0;
		if (is_hopeless(&reader))
			return too_damaged(&reader.first, reader.torn, rh_input_line_number(input),
					   err);
		if (reader.barren > BARREN_MAX)
			return rh_fail(err, RH_BAD_DATA,
				       "%s: %d lines in a row without %s; this is not such a log",
				       rh_input_path(input), BARREN_MAX, form->what);
	}
	if (length != RH_INPUT_END || check_end(&reader, err) < 0)
		return -1;
	return rh_lines_note_cut(input, reader.cut, lines->out, err);
}

/* ---- the first lines ---- */

/* The next line of peeked bytes as a string: false at the end; the last one counts only
 * when nothing else came. */
static bool next_line(const char **at, const char *end, bool is_only, char *line, size_t cap)
{
	const char *newline = memchr(*at, '\n', (size_t)(end - *at));
	size_t length;

	if (*at == end || (!newline && !is_only))
		return false;
	length = (size_t)((newline ? newline : end) - *at);
	if (length >= cap)
		length = cap - 1;
	memcpy(line, *at, length);
	line[length] = '\0';
	line[strcspn(line, "\r")] = '\0';
	*at = newline ? newline + 1 : end;
	return true;
}

/* Whether a record is in the line, whole or among other text. */
static bool has_record(const struct rh_line_form *form, const char *line, void *record)
{
	for (const char *at = line; at && *at; at = strpbrk(at + 1, form->starts)) {
		const char *end = at;

		if (begins_well(form, line, at) && !form->scan(&end, record) && end > at &&
		    ends_well(at, end))
			return true;
		if (!form->starts)
			return false;
	}
	return false;
}

bool rh_lines_first(const struct rh_line_form *form, const char *bytes, size_t count, void *record)
{
	const char *end = bytes + count;
	char line[1024];

	for (bool is_only = true; next_line(&bytes, end, is_only, line, sizeof(line));
	     is_only = false)
		if (has_record(form, line, record))
			return true;
	return false;
}

int rh_lines_columns(const struct rh_line_form *form, struct rh_input *input, size_t time_at,
		     unsigned *columns, struct rh_err *err)
{
	_Alignas(16) unsigned char record[RH_LINE_RECORD_MAX];
	const char *bytes;
	ssize_t have = rh_input_peek(input, &bytes, err);
	uint64_t time_ns;

	assert(time_at + sizeof(time_ns) <= form->record_bytes);
	if (have < 0)
		return -1;
	*columns = 0;
	if (!rh_lines_first(form, bytes, (size_t)have, record))
		return 0;
	memcpy(&time_ns, record + time_at, sizeof(time_ns));
	if (time_ns != RH_NONE)
		*columns = RH_COL_TIME;
	return 0;
}

unsigned rh_lines_likeness(const struct rh_line_form *form, const char *bytes, size_t count)
{
	_Alignas(16) unsigned char record[RH_LINE_RECORD_MAX];
	const char *end = bytes + count;
	unsigned lines = 0, records = 0, share;
	char line[1024];

	while (lines < 500 && next_line(&bytes, end, lines == 0, line, sizeof(line))) {
		lines++;
		records += has_record(form, line, record);
	}
	share = lines ? records * 100 / lines : 0;
	return share >= 10 || records >= 3 ? share + !share : 0;
}

/* ---- processes ---- */

int rh_log_clock_finish(const struct rh_log_clock *clock, const char *unit, struct rh_build *build,
			struct rh_trace_out *out, struct rh_err *err)
{
	rh_build_count(build, "repair.clock_back", clock->back);
	rh_build_count(build, "repair.clock_beyond", clock->beyond);
	return clock->first == RH_NONE ? 0 : rh_trace_add_note(out, "clock", unit, err);
}

bool rh_pids_wants(struct rh_pids *pids, struct rh_build *build, uint64_t pid)
{
	unsigned i = 0;

	if (pids->wanted == 0)
		pids->wanted = pid;
	if (pid == pids->wanted) {
		pids->found = true;
		return true;
	}
	rh_build_count(build, "drop.other_process", 1);
	while (i < pids->count && i < RH_PIDS_MAX && pids->seen[i] != pid)
		i++;
	if (i == pids->count && i < RH_PIDS_MAX)
		pids->seen[pids->count++] = pid;
	else if (i == RH_PIDS_MAX)
		pids->count = RH_PIDS_MAX + 1;
	return false;
}

int rh_pids_check(const struct rh_pids *pids, const struct rh_input *input, struct rh_err *err)
{
	char list[RH_PIDS_MAX * 22 + 8] = "";
	size_t used = 0;

	if (pids->found || pids->wanted == 0)
		return 0;
	if (pids->count == 0)
		return rh_fail(err, RH_BAD_DATA,
			       "%s: process %" PRIu64
			       " cannot be distinguished from others: no line names one",
			       rh_input_path(input), pids->wanted);
	for (unsigned i = 0; i < pids->count && i < RH_PIDS_MAX; i++)
		used += (size_t)snprintf(list + used, sizeof(list) - used, "%s%" PRIu64,
					 i ? ", " : "", pids->seen[i]);
	return rh_fail(err, RH_BAD_DATA, "%s: process %" PRIu64 " is not in it (these are: %s%s)",
		       rh_input_path(input), pids->wanted, list,
		       pids->count > RH_PIDS_MAX ? ", ..." : "");
}
