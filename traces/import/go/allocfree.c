/*
 * allocfree.c - what GODEBUG=allocfreetrace=1 prints, Go 1.22 and earlier.
 *
 *	tracealloc(0xc000016010, 0x10, *runtime.p)	address, slot size, type if it has one
 *	goroutine 0 [idle]:
 *	runtime.mallocgc(0xc, 0x45f400, 0x1)		the size that was asked for
 *		...rest of the call stack...
 *	(empty line)
 *	tracefree(0xc000016010, 0x10)			when it is swept
 *	tracegc()					a cycle, then all stacks
 *	end tracegc
 *
 * The runtime prints under one lock, so the lines are in the order of events. An allocation
 * waits here for its mallocgc line, at most until the next record. An argument that the printer
 * was not sure of ends in '?' and is ignored: then the slot size is the estimate. Other output
 * of the program in between is counted and skipped; a record that begins after such text, on
 * the same line, is taken (repair.foreign_text), and an incomplete one counts as torn, as in
 * lines.h.
 *
 * The P or thread is not recorded; there is one lane, or one per goroutine.
 */
#include <stddef.h>
#include <string.h>

#include "traces/import/lines.h"
#include "traces/import/scan.h"
#include "traces/format/map.h"

enum { ONE_LANE = 1, GO_ALIGN_LOG2 = 3, NAME_LEN_MAX = 4096 };
enum lanes { LANES_ONE, LANES_GOROUTINE };

struct opts {
	int lanes;
};

static const char *const lane_names[] = { "one", "goroutine", NULL };

static const struct rh_opt allocfree_options[] = {
	{ "lanes", 0, RH_OPT_NAME, offsetof(struct opts, lanes), "one", .names = lane_names,
	  .arg = "one|goroutine", .help = "what becomes a lane" },
	{ .name = NULL }
};

enum what { NOTHING, ALLOC, FREE, CYCLE };

struct log {
	struct rh_build *build;
	struct rh_trace_out *out;
	const struct opts *opts;
	enum what what; /* the record whose lines come in */
	uint64_t address, slot, size, goroutine;
	bool sized;
	uint32_t site, sites;
	struct rh_map site_of; /* hash of the type's name -> site */
	uint64_t records, cycles, torn;
	struct rh_input *input;
	struct rh_err first; /* what is wrong with the first torn line */
};

static uint64_t hash_of(const char *text, size_t bytes)
{
	uint64_t h = 0xcbf29ce484222325ull;

	for (size_t i = 0; i < bytes; i++)
		h = (h ^ (unsigned char)text[i]) * 0x100000001b3ull;
	return h;
}

/* The type between the slot size and the last bracket; none is no site. */
static int take_type(struct log *log, const char *at, size_t bytes, struct rh_err *err)
{
	char name[NAME_LEN_MAX];
	uint64_t known;

	log->site = RH_SITE_NONE;
	if (bytes == 0 || bytes >= sizeof(name))
		return 0;
	known = rh_map_get(&log->site_of, hash_of(at, bytes));
	if (known != RH_MAP_NONE) {
		log->site = (uint32_t)known;
		return 0;
	}
	log->site = ++log->sites;
	if (!rh_map_put(&log->site_of, hash_of(at, bytes), log->site))
		return rh_fail(err, RH_OS, "memory for the names of types ran out");
	memcpy(name, at, bytes);
	name[bytes] = '\0';
	return rh_trace_add_site(log->out, log->site, name, err);
}

static uint64_t thread_of(const struct log *log)
{
	return log->opts->lanes == LANES_GOROUTINE ? log->goroutine : ONE_LANE;
}

/* The record that has been read up to here goes out. */
static int put_record(struct log *log, struct rh_err *err)
{
	enum what what = log->what;
	unsigned flags = log->sized ? 0 : RH_EVF_ESTIMATED;

	if (what != ALLOC && what != FREE)
		return 0;
	log->what = NOTHING;
	rh_build_stamp(log->build, RH_NONE, RH_TASK_NONE, what == ALLOC ? log->site : RH_SITE_NONE);
	if (what == FREE)
		return rh_build_free(log->build, thread_of(log), log->address, RH_NONE, err);
	if (!log->sized)
		rh_build_count(log->build, "estimate.size_unknown", 1);
	/* Every object of up to 15 bytes in a 16-byte slot may have had others beside it. */
	if (log->slot == 16 && log->size < 16)
		flags |= RH_EVF_TINY;
	return rh_build_alloc(log->build, thread_of(log),
			      RH_BLOCK(.address = log->address,
				       .size = log->sized ? log->size : log->slot,
				       .align_log2 = GO_ALIGN_LOG2, .flags = flags),
			      err);
}

static int put_cycle(struct log *log, unsigned kind, struct rh_err *err)
{
	struct rh_event event = {
		.time_ns = RH_NONE,
		.id = log->cycles,
		.old = RH_NONE,
		.arg = RH_NONE,
		.task = RH_TASK_NONE,
		.kind = (uint8_t)kind,
	};

	return rh_build_other(log->build, ONE_LANE, &event, err);
}

/* The last `word` in the line, but not as a frame of the stack ("runtime.tracealloc(..."): what
 * stands before it broke off. */
static const char *find_word(const char *line, const char *word)
{
	const char *last = NULL;

	for (const char *at = line; (at = strstr(at, word)) != NULL; at++)
		if (at == line || at[-1] != '.')
			last = at;
	return last;
}

/* One record, from where it begins in the line. */
struct call {
	enum what what;
	uint64_t address, slot;
	const char *type; /* up to the bracket that closes it */
	size_t type_bytes;
	const char *end; /* behind the bracket that closes the call */
};

/* The bracket that closes the one before `at`: a type may have pairs of its own. */
static const char *closing_bracket(const char *at)
{
	unsigned depth = 1;

	for (; *at; at++) {
		depth += *at == '(';
		depth -= *at == ')';
		if (depth == 0)
			return at;
	}
	return NULL;
}

/* Where a call begins in the line, NULL when none does; *whole: all of it is there. */
static const char *find_call(const char *line, struct call *call, bool *whole)
{
	static const char *const words[] = { [ALLOC] = "tracealloc(", [FREE] = "tracefree(" };
	const char *found = find_word(line, words[ALLOC]), *death = find_word(line, words[FREE]);
	const char *at, *why, *last;

	*call = (struct call){ .what = ALLOC };
	if (death && (!found || death > found)) {
		found = death;
		call->what = FREE;
	}
	if (!found)
		return NULL;
	at = found + strlen(words[call->what]);
	*whole = scan_address(&at, &call->address) && scan_text(&at, ", ") &&
		 scan_address(&at, &call->slot) && scan_size_fits(call->address, call->slot, &why);
	call->end = at + (*at == ')');
	if (!*whole || *at == ')')
		return found;
	last = closing_bracket(at);
	*whole = call->what == ALLOC && last && scan_text(&at, ", ");
	call->type = at;
	call->type_bytes = *whole && last > at ? (size_t)(last - at) : 0;
	call->end = *whole ? last + 1 : at;
	return found;
}

static void note_torn(struct log *log, const char *line)
{
	rh_build_count(log->build, "drop.torn_line", 1);
	if (log->torn++)
		return;
	rh_fail(&log->first, RH_BAD_DATA,
		"%s:%llu: neither 'tracealloc(0x.., 0x.., TYPE)' nor 'tracefree(0x.., 0x..)': "
		"'%.60s'",
		rh_input_path(log->input), (unsigned long long)rh_input_line_number(log->input),
		line);
}

/* 1 when a record begins in the line, 0 when none does, -1. */
static int begin_record(struct log *log, const char *line, struct rh_err *err)
{
	struct call call;
	bool whole;
	const char *start = *line == '\t' ? NULL : find_call(line, &call, &whole);

	if (!start)
		return 0;
	if (put_record(log, err) < 0)
		return -1;
	if (!whole) {
		note_torn(log, line);
		return 1;
	}
	if (start > line || !scan_end(&call.end))
		rh_build_count(log->build, "repair.foreign_text", 1);
	if (take_type(log, call.type, call.type_bytes, err) < 0)
		return -1;
	log->what = call.what;
	log->address = call.address;
	log->slot = log->size = call.slot;
	log->goroutine = 0;
	log->sized = false;
	log->records++;
	return 1;
}

/* An informative line of the call stack. */
static void read_frame(struct log *log, const char *line)
{
	uint64_t value;

	if (scan_text(&line, "goroutine ")) {
		if (scan_decimal(&line, &value))
			log->goroutine = value;
		return;
	}
	if (log->what != ALLOC || log->sized || !scan_text(&line, "runtime.mallocgc("))
		return;
	if (scan_address(&line, &value) && *line != '?' && value <= log->slot) {
		log->size = value;
		log->sized = true;
	}
}

/* A line of a cycle's report, which no record interrupts: one that does has lost its end. 1: it
 * goes on to the others. */
static int take_cycle_line(struct log *log, const char *line, struct rh_err *err)
{
	bool lost = find_word(line, "tracealloc(") || find_word(line, "tracefree(") ||
		    find_word(line, "tracegc()");

	if (!lost && !find_word(line, "end tracegc")) {
		rh_build_count(log->build, "drop.traceback", 1);
		return 0;
	}
	log->what = NOTHING;
	if (put_cycle(log, RH_EV_GC_END, err) < 0)
		return -1;
	if (lost) {
		rh_build_count(log->build, "repair.cycle_end", 1);
		rh_build_count(log->build, "import.added", 1);
	}
	return lost;
}

static int take_line(struct log *log, const char *line, struct rh_err *err)
{
	const char *key = "drop.traceback";
	int begun;

	if (log->what == CYCLE) {
		int result = take_cycle_line(log, line, err);

		if (result <= 0)
			return result;
	}
	begun = begin_record(log, line, err);
	if (begun)
		return begun < 0 ? -1 : 0;
	if (*line == 't' && find_word(line, "tracegc()")) {
		if (put_record(log, err) < 0)
			return -1;
		log->what = CYCLE;
		log->cycles++;
		log->records++;
		return put_cycle(log, RH_EV_GC_BEGIN, err);
	}
	if (log->what == NOTHING)
		key = line[0] ? "drop.other_line" : "drop.empty_line";
	rh_build_count(log->build, key, 1);
	if (line[0] == '\0')
		return put_record(log, err);
	read_frame(log, line);
	return 0;
}

static int import_allocfree(struct rh_input *input, const void *opts, struct rh_build *build,
			    struct rh_trace_out *out, struct rh_err *err)
{
	struct log log = { .build = build, .out = out, .opts = opts, .input = input };
	ssize_t length;
	int result = 0;
	char *line;

	while (result == 0 && (length = rh_input_line(input, &line, err)) >= 0) {
		if (rh_input_line_cut(input))
			rh_build_count(build, "drop.cut_line", 1);
		else
			result = take_line(&log, line, err);
	}
	if (result == 0)
		result = length == RH_INPUT_END ? put_record(&log, err) : -1;
	rh_map_close(&log.site_of);
	if (result < 0)
		return -1;
	if (log.records == 0)
		return rh_fail(err, RH_BAD_DATA,
			       "no 'tracealloc(' line in it: run a program built by Go 1.22 or "
			       "earlier with GODEBUG=allocfreetrace=1 and keep what it prints on "
			       "standard error; from Go 1.23 on see the importer go");
	if (rh_lines_check_torn(input, log.torn, &log.first, err) < 0 ||
	    rh_lines_note_cut(input, rh_input_line_cut(input), out, err) < 0)
		return -1;
	return rh_trace_add_note(out, "go.lanes", lane_names[log.opts->lanes], err);
}

static unsigned likeness(const char *bytes, size_t count)
{
	static const char *const words[] = { "tracealloc(0x", "tracefree(0x" };

	for (int i = 0; i < 2; i++) {
		const char *found = memmem(bytes, count, words[i], strlen(words[i]));

		if (found && (found == bytes || found[-1] != '.'))
			return 80;
	}
	return 0;
}

const struct rh_importer rh_import_go_allocfree = {
	.name = "go-allocfree",
	.summary = "text that Go 1.22 and earlier print with GODEBUG=allocfreetrace=1",
	.looks_like = "tracealloc(0xc000016010, 0x10, *runtime.p)",
	.opts = allocfree_options,
	.opts_bytes = sizeof(struct opts),
	.columns = RH_COL_SITE | RH_COL_ARG,
	.likeness = likeness,
	.run = import_allocfree,
};
