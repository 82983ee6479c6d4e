/*
 * cut.c - `reheap cut`: a window or some lanes of a trace as a trace of their own.
 * The rules are those of traces/edit/cut.h.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "harness/cli/command.h"
#include "alloc/base/os.h"
#include "alloc/base/progress.h"
#include "traces/edit/cut.h"
#include "alloc/base/printable.h"

enum { LANE_SPANS_MAX = 256 };

struct cut_opts {
	const char *out, *events, *time, *lanes;
	uint64_t first, level;
	int form;
	bool drain, has_first;
};

static const char *const forms[] = { [RH_FORM_BINARY] = "binary", [RH_FORM_TEXT] = "text", NULL };

static const struct rh_opt cut_options[] = {
	{ "output", 'o', RH_OPT_TEXT, offsetof(struct cut_opts, out), .arg = "OUT.rht",
	  .help = "the trace to write; - or nothing: standard output" },
	{ "events", 'e', RH_OPT_TEXT, offsetof(struct cut_opts, events), .arg = "A-B",
	  .help = "events A to B-1, counted from 0; A- = to the end" },
	{ "first", 'n', RH_OPT_UINT, offsetof(struct cut_opts, first), .arg = "N", .min = 1,
	  .help = "the first N events", .given = offsetof(struct cut_opts, has_first) + 1 },
	{ "time", 't', RH_OPT_TEXT, offsetof(struct cut_opts, time), .arg = "A-B",
	  .help = "from time A to before B, such as 1s-2500ms; A- = to the end" },
	{ "lanes", 'l', RH_OPT_TEXT, offsetof(struct cut_opts, lanes), .arg = "LIST",
	  .help = "only these lanes, such as 0,2,8-15" },
	{ "drain", 'd', RH_OPT_FLAG, offsetof(struct cut_opts, drain),
	  .help = "free the live objects at the end" },
	{ "form", 0, RH_OPT_NAME, offsetof(struct cut_opts, form), "binary", .names = forms,
	  .arg = "FORM", .help = "how to write it" },
	{ "level", 0, RH_OPT_UINT, offsetof(struct cut_opts, level), "0", .max = 19, .arg = "N",
	  .help = "zstd level; 0 = the writer's default" },
	{ .name = NULL }
};

/* "A-B", "A-", "-B": into [from, to). */
static int parse_span(const char *what, const char *text, bool is_time, struct rh_cut_span *span,
		      struct rh_err *err)
{
	int (*parse)(const char *, uint64_t *, struct rh_err *) =
		is_time ? rh_parse_time : rh_parse_uint;
	const char *dash = strchr(text, '-');
	char left[64];

	*span = (struct rh_cut_span){ 0, UINT64_MAX };
	if (!dash || (dash == text && !dash[1]) || (size_t)(dash - text) >= sizeof(left))
		return rh_fail(err, RH_USAGE, "--%s '%s' is not A-B, A- or -B", what, text);
	memcpy(left, text, (size_t)(dash - text));
	left[dash - text] = '\0';
	if ((left[0] && parse(left, &span->from, err) < 0) ||
	    (dash[1] && parse(dash + 1, &span->to, err) < 0))
		return rh_err_prefix(err, "--%s", what);
	if (span->from >= span->to)
		return rh_fail(err, RH_USAGE, "--%s '%s' is an empty window", what, text);
	return 0;
}

/* "0,2,8-15": spans of one or more, both ends included. */
static int parse_lanes(const char *text, struct rh_cut_span *spans, size_t *count,
		       struct rh_err *err)
{
	for (*count = 0; *text; text += *text == ',') {
		size_t bytes = strcspn(text, ",");
		struct rh_cut_span *span = &spans[*count];
		char word[64], *dash;

		if (*count == LANE_SPANS_MAX || bytes == 0 || bytes >= sizeof(word))
			return rh_fail(err, RH_USAGE, "--lanes '%s' is not a list such as 0,2,8-15",
				       text);
		memcpy(word, text, bytes);
		word[bytes] = '\0';
		dash = strchr(word, '-');
		if (dash)
			*dash = '\0';
		if (rh_parse_uint(word, &span->from, err) < 0 ||
		    rh_parse_uint(dash ? dash + 1 : word, &span->to, err) < 0)
			return rh_err_prefix(err, "--lanes");
		if (span->from > span->to || span->to > UINT32_MAX)
			return rh_fail(err, RH_USAGE, "--lanes: %s-%s holds no lane", word,
				       dash ? dash + 1 : word);
		span->to++;
		(*count)++;
		text += bytes;
	}
	return *count ? 0 : rh_fail(err, RH_USAGE, "--lanes names no lane");
}

/* The request, in words. */
static void describe(const struct cut_opts *opts, char *words, size_t bytes)
{
	const struct {
		const char *what, *value;
	} said[] = {
		{ "events ", opts->events },
		{ "time ", opts->time },
		{ "lanes ", opts->lanes },
		{ "drained", opts->drain ? "" : NULL },
	};

	words[0] = '\0';
	if (opts->has_first)
		snprintf(words, bytes, "the first %" PRIu64 " events", opts->first);
	for (size_t i = 0; i < sizeof(said) / sizeof(said[0]); i++)
		if (said[i].value)
			snprintf(words + strlen(words), bytes - strlen(words), "%s%s%s",
				 words[0] ? ", " : "", said[i].what, said[i].value);
}

/* What a cut points at. */
struct room {
	struct rh_cut_span spans[LANE_SPANS_MAX];
	char words[512];
};

static int parse_all(const struct cut_opts *opts, struct rh_cut *cut, struct room *room,
		     struct rh_err *err)
{
	cut->events = cut->time_ns = (struct rh_cut_span){ 0, UINT64_MAX };
	if (opts->events && opts->has_first)
		return rh_fail(err, RH_USAGE, "--events and --first exclude each other");
	if (opts->events && parse_span("events", opts->events, false, &cut->events, err) < 0)
		return -1;
	if (opts->has_first)
		cut->events.to = opts->first;
	if (opts->time && parse_span("time", opts->time, true, &cut->time_ns, err) < 0)
		return -1;
	if (opts->lanes) {
		if (parse_lanes(opts->lanes, room->spans, &cut->lane_spans, err) < 0)
			return -1;
		cut->lanes = room->spans;
	}
	if (!opts->events && !opts->has_first && !opts->time && !opts->lanes && !opts->drain)
		return rh_fail(err, RH_USAGE,
			       "nothing to cut: say --events, --first, --time, --lanes or --drain");
	cut->drain = opts->drain;
	describe(opts, room->words, sizeof(room->words));
	cut->words = room->words;
	return 0;
}

static enum rh_exit run_cut(const void *options, int argc, char **argv, struct rh_err *err)
{
	const struct cut_opts *opts = options;
	bool truncated = false;
	struct rh_cut cut = { .words = "", .truncated = &truncated };
	struct room room;
	struct rh_trace_totals totals;
	struct rh_trace_make make = {
		.path = opts->out ? opts->out : "-",
		.form = opts->form == RH_FORM_TEXT ? RH_FORM_TEXT : RH_FORM_BINARY,
		.level = (int)opts->level,
	};
	FILE *to = strcmp(make.path, "-") == 0 ? stderr : stdout;

	(void)argc;
	if (!opts->out && opts->form == RH_FORM_BINARY && isatty(STDOUT_FILENO)) {
		rh_fail(err, RH_USAGE,
			"a trace is not for a terminal: say -o OUT.rht, --form text, or > OUT.rht");
		return err->code;
	}
	if (to == stdout && rh_same_file(argv[0], make.path)) {
		rh_fail(err, RH_USAGE, "%s is the trace itself: name another file with -o",
			make.path);
		return err->code;
	}
	if (to == stderr)
		rh_end_with_reader();
	if (parse_all(opts, &cut, &room, err) < 0 || rh_cut(argv[0], &cut, &make, &totals, err) < 0)
		return err->code;
	rh_print(to,
		 "%s: %s of %s: %" PRIu64 " events, %" PRIu64 " lanes, %" PRIu64
		 " objects, %" PRIu64 " left live\n",
		 to == stderr ? "standard output" : make.path, room.words, argv[0], totals.events,
		 totals.lanes, totals.objects, totals.live_objects_end);
	if (!truncated)
		return RH_OK;
	rh_fail(err, RH_PARTIAL, "%s was cut off; what it had is in the result", argv[0]);
	return RH_PARTIAL;
}

const struct rh_command rh_cmd_cut = {
	.name = "cut",
	.operands = "T.rht [-o OUT.rht] --events A-B | --first N | --time A-B | --lanes LIST",
	.summary = "take a window or some lanes of a trace as a trace of their own",
	.details =
		"Objects alive where the window starts are allocated there in the order of their "
		"birth. With --lanes an object belongs to the lane that allocated it: frees by "
		"other lanes are moved there, frees of objects born elsewhere are dropped. The "
		"notes of the result (cut.*) count the changes.",
	.examples = "reheap cut big.rht -o part.rht --events 1000000-2000000\n"
		    "reheap cut server.rht -o one.rht --lanes 3 --drain",
	.opts = cut_options,
	.opts_bytes = sizeof(struct cut_opts),
	.operands_min = 1,
	.operands_max = 1,
	.run = run_cut,
};
