/*
 * text.c - our own text form (FORMAT.md, "Text") from anywhere: a pipe, an archive, an
 * editor, a script.
 *
 * Every command reads a text trace as it is; this turns it into a binary one, and is
 * kinder to files made by hand: births need no ids (they are numbered as they come), lanes
 * start with their first event, blank lines and # comments may stand anywhere, and a
 * missing `end` is counted as a repair instead of a file that was cut off. What an event
 * may be is decided by order.c here as everywhere.
 *
 * Torn and mixed lines: the rule of lines.h. It is a loop of its own, as what a line means depends
 * on those before it, and as the loss of one is the matter of others here: events name objects by
 * number. The way of a line:
 *
 *	1. the whole of it is an event, a name, a comment or the end (nearly all);
 *	2. else every place where an event may begin is tried, each that is found is put;
 *	3. else it is foreign or torn; of a torn birth the number is lost.
 *
 * Numbers of objects and tasks in the file go over to those of the trace by the runs of numbers
 * that were lost (struct rh_numbering). What names a lost one is left out and counted
 *(drop.lost_object, drop.lost_task); a resize of one is an allocation (repair.realloc_unknown).
 * Where an event names a number that is not yet due, behind torn lines, what is between went with
 * those lines (repair.lost_births), and counts as torn.
 */
#include "traces/format/text.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "traces/import/lines.h"
#include "traces/import/numbering.h"

enum {
	LINE_BYTES = (64 << 10) + 1, /* what rh_input_line gives, and a NUL */
	/* Births that may go with one torn line: a page of a file that was not written has about a
	 * hundred. */
	LOST_AT_ONCE = 4096,
	/* With so many torn lines and more of them than events, no later line helps. */
	HOPELESS = 1000,
	WORD_BYTES = 16, /* longer than the word of any event */
	TORN = RH_LINE_TORN,
};

struct text {
	struct rh_input *input;
	struct rh_build *build;
	struct rh_trace_out *out;
	struct rh_order order; /* numbers births for rh_text_parse */
	struct rh_numbering objects, tasks;
	struct rh_event batch[RH_TRACE_BATCH];
	size_t count;
	uint64_t torn, torn_since_birth; /* lines */
	uint64_t gone;			 /* births that no torn line stands for */
	struct rh_err first;		 /* what is wrong with the first torn or foreign line */
	bool first_torn, ended;
	char copy[LINE_BYTES], part[LINE_BYTES];
};

static int refuse(struct rh_input *input, const char *why, struct rh_err *err)
{
	return rh_fail(err, RH_BAD_DATA, "%s:%llu: not a line of a text trace: %s",
		       rh_input_path(input), (unsigned long long)rh_input_line_number(input), why);
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static bool is_comment(const char *line)
{
	while (is_blank(*line))
		line++;
	return *line == '\0' || *line == '#';
}

/* A torn line is worth more than a foreign one, when the import fails. */
static void keep(struct text *text, const char *why, bool is_torn)
{
	if (text->first.text[0] && (text->first_torn || !is_torn))
		return;
	text->first_torn = is_torn;
	refuse(text->input, why, &text->first);
}

/* ---- numbers that were lost ---- */

static bool has_id(const char *line)
{
	const char *at = strstr(line, "id=");

	return at && at > line && is_blank(at[-1]);
}

/* The number that a birth or spawn gives itself, over to the trace. RH_LINE_TORN: it cannot be. */
static int number_birth(struct text *text, struct rh_numbering *numbering, struct rh_event *event,
			const char *line, struct rh_err *err)
{
	struct rh_order *order = &text->order;
	uint64_t next = numbering == &text->tasks ? order->totals.tasks + 1
						  : rh_live_births(order->objects);
	uint64_t due = next + numbering->lost, given = event->id;

	if (given == due || (given == next && !has_id(line)) ||
	    rh_numbers_found(numbering, due, given)) {
		event->id = next;
		return 0;
	}
	/* Without a torn line before it, it is wrong; order.c says how. */
	if (given < due || given - due > LOST_AT_ONCE || !text->torn_since_birth)
		return 0;
	if (rh_numbers_lose(numbering, due, given - due, err) < 0)
		return -1;
	if (given - due > text->torn_since_birth) {
		keep(text, "numbers of births before it are missing", true);
		text->gone += given - due - text->torn_since_birth;
	}
	rh_build_count(text->build, "repair.lost_births", given - due);
	event->id = next;
	return 0;
}

/* The numbers that an event names, over to the trace: 0, 1 when it was about what was lost and is
 * counted, RH_LINE_TORN is none of them, -1. */
static int number_event(struct text *text, struct rh_event *event, const char *line, bool *lost,
			struct rh_err *err)
{
	unsigned fields = text->order.fields[event->kind];

	*lost = false;
	if (event->task != RH_TASK_NONE && text->tasks.count) {
		uint64_t task = event->task;

		if (!rh_number_find(&text->tasks, &task)) {
			rh_build_count(text->build, "repair.lost_task", 1);
			task = RH_TASK_NONE;
		}
		event->task = (uint32_t)task;
	}
	if (event->kind == RH_EV_RESIZE && !rh_number_find(&text->objects, &event->old)) {
		event->kind = RH_EV_ALLOC;
		rh_build_count(text->build, "repair.realloc_unknown", 1);
	}
	if (fields & RH_FIELD_BORN)
		return number_birth(text, &text->objects, event, line, err);
	if (event->kind == RH_EV_SPAWN)
		return number_birth(text, &text->tasks, event, line, err);
	if (fields & (RH_FIELD_DIES | RH_FIELD_LIVES) &&
	    !rh_number_find(&text->objects, &event->id)) {
		rh_build_count(text->build, "drop.lost_object", 1);
		*lost = true;
	} else if (fields & RH_FIELD_TASK && !rh_number_find(&text->tasks, &event->id)) {
		rh_build_count(text->build, "drop.lost_task", 1);
		*lost = true;
	}
	return 0;
}

/* The number of a birth that stood in a torn line. */
static int lose_birth(struct text *text, const char *line, struct rh_err *err)
{
	size_t bytes = strcspn(line, " \t=");
	char word[WORD_BYTES];
	int kind;

	if (bytes >= sizeof(word))
		return 0;
	memcpy(word, line, bytes);
	word[bytes] = '\0';
	kind = rh_kind_of(word);
	if (kind == RH_EV_SPAWN)
		return rh_numbers_lose(&text->tasks,
				       text->order.totals.tasks + 1 + text->tasks.lost, 1, err);
	if (kind >= 0 && text->order.fields[kind] & RH_FIELD_BORN)
		return rh_numbers_lose(&text->objects,
				       rh_live_births(text->order.objects) + text->objects.lost, 1,
				       err);
	return 0;
}

/* ---- events ---- */

static int flush(struct text *text, struct rh_err *err)
{
	size_t count = text->count;

	text->count = 0;
	return count ? rh_trace_put(text->out, text->batch, count, err) : 0;
}

/* Into the trace, or TORN with order.why. */
static int put_checked(struct text *text, struct rh_event *event, struct rh_err *err)
{
	uint64_t rank;

	if (!rh_order_put(&text->order, event, &rank))
		return text->order.no_memory ? rh_fail(err, RH_OS, "%s", text->order.why) : TORN;
	text->batch[text->count++] = *event;
	return text->count == RH_TRACE_BATCH ? flush(text, err) : 0;
}

/* The lanes up to that of `event` start with it: its own, unless it does so itself, and those whose
 * lane_start went with a torn line. */
static int start_lanes(struct text *text, const struct rh_event *event, struct rh_err *err)
{
	uint64_t lanes = text->order.totals.lanes, to = event->lane;

	to += event->kind != RH_EV_LANE_START;
	if (event->lane > lanes + text->torn)
		return 0;
	for (; lanes < to; lanes++) {
		struct rh_event start = {
			.kind = RH_EV_LANE_START,
			.lane = (uint32_t)lanes,
			.time_ns = event->time_ns,
			.id = RH_NONE,
			.old = RH_NONE,
			.arg = RH_NONE,
			.task = RH_TASK_NONE,
		};
		int result = put_checked(text, &start, err);

		if (result)
			return result;
		rh_build_count(text->build, "repair.lane_start", 1);
	}
	return 0;
}

/* `line` is parsed, and changed; `as_written` is what it was. TORN with order.why. */
static int put_event(struct text *text, char *line, const char *as_written, struct rh_err *err)
{
	struct rh_event event;
	int result;
	bool lost;

	if (!rh_text_parse(line, &text->order, &event))
		return TORN;
	if (number_event(text, &event, as_written, &lost, err) < 0)
		return -1;
	if (lost)
		return 0;
	if (event.lane >= text->order.totals.lanes) {
		result = start_lanes(text, &event, err);
		if (result)
			return result;
	}
	result = put_checked(text, &event, err);
	if (result == 0 && text->torn_since_birth &&
	    (text->order.fields[event.kind] & RH_FIELD_BORN || event.kind == RH_EV_SPAWN))
		text->torn_since_birth = 0;
	return result;
}

/* ---- lines ---- */

static bool starts_with(const char *line, const char *word)
{
	size_t bytes = strlen(word);

	return *line == *word && strncmp(line, word, bytes) == 0 && strchr(" \t", line[bytes]);
}

static int torn_name(struct text *text, const char *why)
{
	snprintf(text->order.why, sizeof(text->order.why), "%s", why);
	return TORN;
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
		return torn_name(text, is_note ? "a note is written 'note KEY=VALUE'"
					       : "a site is written 'site NUMBER=NAME'");
	*value++ = '\0';
	if (rh_text_unescape(value) < 0)
		return torn_name(text, "a backslash must be followed by n, r or a backslash");
	if (!is_note) {
		if (!rh_text_parse_u64(at, &site) || site > UINT32_MAX)
			return torn_name(text, "this is no site number");
		rh_build_count(text->build, "drop.name_line", 1);
		return rh_trace_add_site(text->out, (uint32_t)site, value, err);
	}
	/* Where the text came from and how stays known beside the same of this import. */
	if (strcmp(at, "source") == 0 || strncmp(at, "import.", 7) == 0 ||
	    strncmp(at, "drop.", 5) == 0 || strncmp(at, "repair.", 7) == 0) {
		snprintf(kept, sizeof(kept), "before.%s", at);
		at = kept;
	}
	rh_build_count(text->build, "drop.name_line", 1);
	return rh_trace_add_note(text->out, at, value, err);
}

/* The next place in a line where an event may begin; NULL when there is none. */
static const char *next_event(const char *at)
{
	for (; (at = strstr(at, " lane=")) != NULL; at++) {
		const char *word = at, *start;
		char name[WORD_BYTES];

		while (islower((unsigned char)word[-1]) || word[-1] == '_')
			word--;
		start = word;
		for (; word < at; word++) {
			snprintf(name, sizeof(name), "%.*s", (int)(at - word), word);
			/* "sialloc": an event broke off in a key. "malloc" is none. */
			if (rh_kind_of(name) >= 0 &&
			    (word == start || (is_blank(start[-1]) &&
					       rh_text_begins_key(start, (size_t)(word - start)))))
				return word;
		}
	}
	return NULL;
}

/* Every event in a line that is not one from end to end: how many, -1. */
static int take_mixed(struct text *text, struct rh_err *err)
{
	const char *at = text->copy + 1;
	int found = 0;

	while ((at = next_event(at)) != NULL) {
		size_t bytes = rh_text_event_bytes(at);
		int result;

		/* What stands before it may have been a birth. */
		text->torn_since_birth += at > text->copy + 1 && !found;
		memcpy(text->part, at, bytes);
		text->part[bytes] = '\0';
		result = put_event(text, text->part, at, err);
		if (result < 0)
			return -1;
		if (result == TORN && lose_birth(text, at, err) < 0)
			return -1;
		found += result == 0;
		at = result == 0 ? at + bytes : strchr(at, ' ') + 1;
	}
	return found;
}

/* "alloc", "free la": an event of which not even the lane is whole. */
static bool starts_event(const char *line)
{
	size_t bytes = strcspn(line, " \t"), blanks = strspn(line + bytes, " \t");
	char word[WORD_BYTES];

	if (bytes >= sizeof(word))
		return false;
	memcpy(word, line, bytes);
	word[bytes] = '\0';
	return rh_kind_of(word) >= 0 &&
	       strncmp("lane=", line + bytes + blanks, strlen(line + bytes + blanks)) == 0;
}

/* A line without an event. */
static int leave_out(struct text *text, const char *why, struct rh_err *err)
{
	static const char *const marks[] = { "lane=", "size=", "id=", NULL };
	const char *line = text->copy + 1;
	bool begun = starts_event(line);
	bool is_torn = begun || rh_lines_is_torn(marks, line) || starts_with(line, "note") ||
		       starts_with(line, "site");

	keep(text, why, is_torn);
	rh_build_count(text->build, is_torn ? "drop.torn_line" : "drop.other_line", 1);
	text->torn += is_torn;
	text->torn_since_birth += is_torn;
	return begun ? lose_birth(text, line, err) : 0;
}

static int put_line(struct text *text, char *line, size_t length, struct rh_err *err)
{
	const char *copy = text->copy + 1; /* behind a NUL, so that one may look before it */
	char why[sizeof(text->order.why)];
	int result;

	if (text->ended)
		return refuse(text->input, "something follows after the end", err);
	memcpy(text->copy + 1, line, length + 1);
	if (starts_with(line, "note") || starts_with(line, "site")) {
		result = put_name(text, line + 4, *line == 'n', err);
	} else if (starts_with(line, "end")) {
		rh_build_count(text->build, "drop.name_line", 1);
		text->ended = true;
		return 0;
	} else {
		result = put_event(text, line, copy, err);
	}
	if (result <= 0)
		return result;
	memcpy(why, text->order.why, sizeof(why));
	result = take_mixed(text, err);
	if (result > 0) {
		rh_build_count(text->build, "repair.foreign_text", 1);
		rh_build_count(text->build, "import.added", (uint64_t)result - 1);
	}
	return result ? (result < 0 ? -1 : 0) : leave_out(text, why, err);
}

/* ---- the head ---- */

/* Where the head begins in a line; NULL when it has none. */
static char *find_head(char *line)
{
	return strstr(line, RH_TEXT_MAGIC " ");
}

/* Peeked at here, read in run(): the columns of the first head. */
static int columns_of(struct rh_input *input, const void *opts, unsigned *columns,
		      struct rh_err *err)
{
	char head[512], why[200];
	const char *bytes, *end, *at;
	ssize_t have = rh_input_peek(input, &bytes, err);
	size_t length;
	unsigned version;

	(void)opts;
	*columns = 0;
	if (have < 0)
		return -1;
	end = bytes + have;
	at = memmem(bytes, (size_t)have, RH_TEXT_MAGIC " ", strlen(RH_TEXT_MAGIC) + 1);
	if (!at)
		return 0;
	length = (size_t)(end - at) < sizeof(head) ? (size_t)(end - at) : sizeof(head) - 1;
	memcpy(head, at, length);
	head[length] = '\0';
	head[strcspn(head, "\r\n")] = '\0';
	/* A head that is wrong is run()'s to report, with its line. */
	if (!rh_text_parse_head(head, columns, &version, why, sizeof(why)))
		*columns = 0;
	return 0;
}

/* A line before the head: 1 when it is the head. */
static int put_head(struct text *text, char *line, struct rh_err *err)
{
	char *head = find_head(line);
	unsigned version, columns;
	char why[200];

	if (!head) {
		rh_text_parse_head(line, &columns, &version, why, sizeof(why));
		keep(text, why, false);
		rh_build_count(text->build, "drop.other_line", 1);
		return 0;
	}
	if (!rh_text_parse_head(head, &columns, &version, why, sizeof(why)))
		return refuse(text->input, why, err);
	if (version != RH_TRACE_VERSION)
		return refuse(text->input, "it is of another version", err);
	if (head > line + strspn(line, " \t"))
		rh_build_count(text->build, "repair.foreign_text", 1);
	rh_build_count(text->build, "drop.header_line", 1);
	if (!rh_order_open(&text->order, columns))
		return rh_fail(err, RH_OS, "no memory to read %s", rh_input_path(text->input));
	return 1;
}

/* ---- all of it ---- */

static int check_end(struct text *text, bool has_head, struct rh_err *err)
{
	uint64_t lost, lines = rh_input_line_number(text->input);
	uint64_t events = text->order.totals.events;

	if (!has_head ||
	    (events == text->order.totals.by_kind[RH_EV_LANE_START] && text->first.text[0])) {
		if (!text->first.text[0])
			return refuse(text->input, "there is none but blanks and comments", err);
		*err = text->first;
		return -1;
	}
	lost = text->torn + text->gone;
	return rh_lines_check_torn(text->input, lost < lines ? lost : lines, &text->first, err);
}

/* A whole line of the input. */
static int take_line(struct text *text, char *line, size_t length, bool *has_head,
		     struct rh_err *err)
{
	int result;

	if (is_comment(line)) {
		rh_build_count(text->build, "drop.blank_line", 1);
		return 0;
	}
	if (!*has_head) {
		result = put_head(text, line, err);
		*has_head = result > 0;
		return result < 0 ? -1 : 0;
	}
	if (starts_with(line, RH_TEXT_MAGIC))
		return refuse(text->input,
			      "a second trace begins here; cut the file there and import each",
			      err);
	if (put_line(text, line, length, err) < 0)
		return -1;
	if (text->torn > HOPELESS && text->torn > text->order.totals.events)
		return rh_lines_check_torn(text->input, text->torn, &text->first, err);
	return 0;
}

static int read_lines(struct text *text, struct rh_err *err)
{
	bool has_head = false, cut = false;
	char *line;
	ssize_t length;

	while ((length = rh_input_line(text->input, &line, err)) >= 0) {
		size_t blanks = 0;

		while (is_blank(line[blanks]))
			blanks++;
		if (rh_input_line_cut(text->input) && !starts_with(line, "end")) {
			rh_build_count(text->build, "drop.cut_line", 1);
			cut = true;
			continue;
		}
		if (take_line(text, line + blanks, (size_t)length - blanks, &has_head, err) < 0)
			return -1;
	}
	if (length != RH_INPUT_END || check_end(text, has_head, err) < 0 || flush(text, err) < 0)
		return -1;
	if (!text->ended)
		rh_build_count(text->build, "repair.no_end", 1);
	return rh_lines_note_cut(text->input, cut, text->out, err);
}

static int import_text(struct rh_input *input, const void *opts, struct rh_build *build,
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
	free(text->objects.runs);
	free(text->tasks.runs);
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
	.run = import_text,
};
