/*
 * lines.h - reading a log by lines where some of them are torn, mixed or cut off.
 *
 * Real logs are: two processes write one file, the program prints between the lines of the
 * recorder, a disk fills up, a recording is killed. One rule for every importer that reads
 * lines:
 *	a record with other text before or after it is taken, and counted
 *		(repair.foreign_text, one for each such line);
 *	a line with nothing of the format in it is foreign: drop.other_line;
 *	a line that is of the format and no record is torn: drop.torn_line. When more than
 *		max_damage of all lines are (and more than one), the import fails and names the
 *		first;
 *	the last line without a newline is left out (drop.cut_line) and the note
 *		import.truncated says so: a number in it may be the start of a longer one.
 * An input without a single record fails.
 *
 * A record ends well where the line ends, before a blank, or after a bracket, brace or comma: so a
 * number into which other text was written is torn, not taken for the shorter one.
 *
 * Thread rule: one thread. Memory: none but the input's line.
 */
#ifndef RH_IMPORT_LINES_H
#define RH_IMPORT_LINES_H

#include "traces/format/order.h"
#include "traces/import/import.h"

enum { RH_LINE_RECORD_MAX = 256, RH_LINE_TORN = 1 };

struct rh_line_form {
	const char *what;	  /* "an android trace line" */
	const char *const *marks; /* words that foreign text does not have; NULL-terminated */
	/* Optional: the tracer's own remark, foreign though it is of digits and signs alone. */
	bool (*is_remark)(const char *line);
	/* Characters that a record in the middle of a line begins with; NULL: only whole lines. */
	const char *starts;
	bool words;	     /* and not in the middle of a word: xmalloc(1) is not malloc(1) */
	size_t record_bytes; /* <= RH_LINE_RECORD_MAX */
	/* Reads the record at *at into `record` and moves *at behind it: NULL, or what is wrong.
	 * Reads nothing else and changes nothing else. */
	const char *(*scan)(const char **at, void *record);
	/* The record into the trace, or counted as a drop: 0, -1 with err, or RH_LINE_TORN with
	 * *why when it cannot be where it stands. */
	int (*put)(void *ctx, const void *record, const char **why, struct rh_err *err);
	/* Optional: this record would be the last anyway, so it is whole without a newline. */
	bool (*is_last)(void *ctx, const void *record);
};

/* Reads all lines of the input. */
struct rh_lines {
	const struct rh_line_form *form;
	struct rh_input *input;
	struct rh_build *build;
	struct rh_trace_out *out;
	void *ctx; /* for put and is_last */
};
int rh_lines_read(const struct rh_lines *lines, struct rh_err *err);

/* For importers with a loop of their own, at the end: the note of where the input was cut off, when
 * it was. left_out: its last line had no newline and was counted as drop.cut_line. */
int rh_lines_note_cut(const struct rh_input *input, bool left_out, struct rh_trace_out *out,
		      struct rh_err *err);

/* Where a call has two lines: so many had no second one, and what they returned is not known. */
int rh_lines_note_unfinished(uint64_t calls, struct rh_trace_out *out, struct rh_err *err);

/* Whether a line without a record is of the format all the same: it has one of the marks, or is
 * made of digits and signs as the tail of a record is. */
bool rh_lines_is_torn(const char *const *marks, const char *line);

/* The same for its end: fails with `first`, what is wrong with the first torn line, when more lines
 * are torn than may be. */
int rh_lines_check_torn(const struct rh_input *input, uint64_t torn, const struct rh_err *first,
			struct rh_err *err);

/* The first record in bytes that were peeked at; false when there is none. */
bool rh_lines_first(const struct rh_line_form *form, const char *bytes, size_t count, void *record);
/* For columns_of: RH_COL_TIME when the first record, whose uint64_t time_ns stands `time_at` bytes
 * into it, has a time (not RH_NONE), else 0. -1 with err when the input cannot be read. */
int rh_lines_columns(const struct rh_line_form *form, struct rh_input *input, size_t time_at,
		     unsigned *columns, struct rh_err *err);
/* How many of the first lines are records, in percent; 0 when less than a tenth. */
unsigned rh_lines_likeness(const struct rh_line_form *form, const char *bytes, size_t count);

/*
 * The times of a log, from the first of them on. Threads reserve their lines in one order and stamp
 * them in another: the order of the lines is the legal one, so the clock waits for it
 * (repair.clock_back). A time that no trace can have is digits that ran together
 * (repair.clock_beyond): the clock stays where it was. Begins as RH_LOG_CLOCK.
 */
struct rh_log_clock {
	uint64_t first, last; /* RH_NONE until a time was seen */
	uint64_t back, beyond;
};
#define RH_LOG_CLOCK ((struct rh_log_clock){ .first = RH_NONE, .last = RH_NONE })
static inline uint64_t rh_log_clock_at(struct rh_log_clock *clock, uint64_t time)
{
	if (clock->first == RH_NONE)
		clock->first = clock->last = time;
	if (time < clock->last)
		clock->back++;
	else if (time - clock->first > RH_TRACE_TIME_MAX)
		clock->beyond++;
	else
		clock->last = time;
	return clock->last - clock->first;
}
/* At the end: counts what was repaired, and notes the unit that the source knows ("ns") where there
 * were times. */
int rh_log_clock_finish(const struct rh_log_clock *clock, const char *unit, struct rh_build *build,
			struct rh_trace_out *out, struct rh_err *err);

/* The process that is imported of a log of several, and those that were seen. */
enum { RH_PIDS_MAX = 12 };
struct rh_pids {
	uint64_t wanted; /* 0: the first one seen */
	uint64_t seen[RH_PIDS_MAX];
	unsigned count; /* RH_PIDS_MAX + 1: there are more */
	bool found;
};
/* Whether a record of this process is wanted; one that is not is counted. */
bool rh_pids_wants(struct rh_pids *pids, struct rh_build *build, uint64_t pid);
/* At the end: fails, naming the ids, when the one that was asked for was not there, or no line
 * named any. */
int rh_pids_check(const struct rh_pids *pids, const struct rh_input *input, struct rh_err *err);

#endif
