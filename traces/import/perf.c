/*
 * perf.c - what `perf script` prints of uprobes on malloc and its family (README.md has the
 * commands), and the file `trace` of tracefs, which looks nearly alike:
 *
 *	prog  1634 [001] 17249.817758:         probe_libc:malloc: (7fbf5b4fb930) bytes=0x64
 *	prog  1634 [001] 17249.817801: probe_libc:malloc__return: (7f.. <- 56..) block=0x5603
 *	prog-1634  [001] ..... 17249.817805: malloc: (0x7fbf5b4fb930) bytes=0x64
 *
 * The process stands there when it was asked for: 1633/1634 (perf script -F +pid), prog-1634 (1633)
 * (tracefs with record-tgid); pid= chooses one then, the first is the default. Recordings by thread
 * have no [CPU]. Lines of stacks (perf record -g) are foreign.
 *
 * A probe is known by its name, with __return, _return, _ret or _exit for the end of a call, and a
 * number behind it where perf had to make names differ. Arguments count by their order, not by
 * their names: (bytes), (n, size), (old, size), (align, size), (block) of free, (block) of a
 * return.
 *
 * A call has two lines and happens at its return; a free has one and happens where it begins. Calls
 * that a call of the same thread makes inside are its own business (drop.nested): realloc(NULL)
 * comes by malloc, and two names for one function are two probes of one call. Lost samples leave
 * calls without their other half (drop.no_entry, import.unseen). Where lines name no process, all
 * are taken for one.
 */
#include "traces/import/lines.h"

#include <stdlib.h>
#include <string.h>

#include "traces/import/scan.h"

enum {
	PENDING_MAX = 1024, /* threads in a call */
	COMM_BYTES = 15,    /* of the name of a thread */
	NESTED_MAX = 4,	    /* more inside one call, and its return was lost */
};

struct perf_opts {
	uint64_t pid;
};

static const struct rh_opt perf_options[] = {
	{ "pid", 0, RH_OPT_UINT, offsetof(struct perf_opts, pid), "0", .arg = "N",
	  .help = "import this process, where lines name them; 0 = the first one seen" },
	{ .name = NULL }
};

enum call { MALLOC, FREE, CALLOC, REALLOC, MEMALIGN, ALIGNED_ALLOC, POSIX_MEMALIGN, CALLS };

static const struct {
	const char *word;
	unsigned arguments;
} calls[CALLS] = {
	[MALLOC] = { "malloc", 1 },
	[FREE] = { "free", 1 },
	[CALLOC] = { "calloc", 2 },
	[REALLOC] = { "realloc", 2 },
	[MEMALIGN] = { "memalign", 2 },
	[ALIGNED_ALLOC] = { "aligned_alloc", 2 },
	[POSIX_MEMALIGN] = { "posix_memalign", 3 },
};

struct line {
	enum call call;
	bool returns;
	bool foreign;	  /* other text stands before it */
	uint64_t process; /* 0 = not named */
	uint64_t thread, time_ns, argument[3];
};

struct pending {
	uint64_t thread, argument[3];
	enum call call;
	unsigned nested;
};

struct log {
	struct rh_build *build;
	struct rh_pids pids;
	struct rh_log_clock clock;
	struct pending pending[PENDING_MAX];
	unsigned pending_count;
	uint64_t unfinished; /* calls that were given up */
};

static const char *behind_text(const char *start, const char *end)
{
	while (end > start && end[-1] == ' ')
		end--;
	return end;
}

static const char *before_digits(const char *start, const char *end)
{
	while (end > start && end[-1] >= '0' && end[-1] <= '9')
		end--;
	return end;
}

/* "(1633) " of tracefs, which ends at `end`: where it begins, or `end` when it is none. */
static const char *before_process(const char *start, const char *end, uint64_t *process)
{
	const char *digits, *bracket;

	if (end == start || end[-1] != ')')
		return end;
	digits = before_digits(start, end - 1);
	bracket = behind_text(start, digits);
	if (bracket == start || bracket[-1] != '(' || !scan_decimal(&digits, process))
		return end;
	return bracket - 1;
}

/* "comm  1634 ", "comm-1634  " or "comm 1633/1634 " up to `end`: thread and process. comm may have
 * blanks and brackets, but it is of 15 characters at most. */
static bool scan_task(const char *start, const char *end, struct line *line)
{
	const char *digits;

	scan_blanks(&start);
	if (end <= start)
		return false;
	end = behind_text(start, before_process(start, behind_text(start, end), &line->process));
	digits = before_digits(start, end);
	end = digits;
	if (!scan_decimal(&digits, &line->thread))
		return false;
	if (end > start && end[-1] == '/') {
		end = digits = before_digits(start, end - 1);
		if (!scan_decimal(&digits, &line->process))
			return false;
	}
	end = behind_text(start, end);
	if (end > start && end[-1] == '-') /* of tracefs */
		end--;
	line->foreign = end - start > COMM_BYTES;
	return true;
}

/* The same, and "[001] ", which begins at `bracket`: *at behind it. */
static bool scan_place(const char **at, const char *bracket, struct line *line)
{
	const char *inside = bracket + 1;
	uint64_t cpu;

	if (!scan_decimal(&inside, &cpu) || *inside != ']' || !scan_task(*at, bracket, line))
		return false;
	*at = inside + 1;
	return true;
}

/* Where no [CPU] is: the time behind the thread. */
static bool scan_thread(const char **at, struct line *line)
{
	const char *colon = strchr(*at, ':'), *time;

	if (!colon)
		return false;
	time = before_digits(*at, colon);
	if (time == colon || time == *at || time[-1] != '.')
		return false;
	time = before_digits(*at, time - 1);
	if (!scan_task(*at, time, line))
		return false;
	*at = time;
	return true;
}

/* "17249.817758:", behind flags where tracefs has them. */
static bool scan_time(const char **at, uint64_t *ns)
{
	uint64_t seconds, part;

	for (int words = 0; words < 3; words++) {
		const char *p, *fraction;

		scan_blanks(at);
		p = *at;
		if (scan_decimal(&p, &seconds) && seconds < UINT64_MAX / 2000000000u &&
		    scan_char(&p, '.')) {
			fraction = p;
			if (scan_decimal(&p, &part) && p - fraction <= 9 && *p == ':') {
				for (long digits = p - fraction; digits < 9; digits++)
					part *= 10;
				*ns = seconds * 1000000000u + part;
				*at = p + 1;
				return true;
			}
		}
		*at += strcspn(*at, " ");
	}
	return false;
}

static bool ends_with(const char *start, const char **end, const char *tail)
{
	size_t bytes = strlen(tail);

	if ((size_t)(*end - start) <= bytes || strncmp(*end - bytes, tail, bytes) != 0)
		return false;
	*end -= bytes;
	return true;
}

/* "probe_libc:malloc__return_1: (" */
static bool scan_name(const char **at, struct line *line)
{
	const char *end, *start, *number;

	scan_blanks(at);
	end = *at + strcspn(*at, " ");
	if (end - *at < 2 || end[-1] != ':' || strncmp(end, " (", 2) != 0)
		return false;
	start = --end;
	while (start > *at && start[-1] != ':')
		start--;
	*at = end + 2;
	number = end;
	while (number > start && number[-1] >= '0' && number[-1] <= '9')
		number--;
	if (number > start && number[-1] == '_')
		end = number - 1;
	line->returns = ends_with(start, &end, "__return") || ends_with(start, &end, "_return") ||
			ends_with(start, &end, "_ret") || ends_with(start, &end, "_exit");
	for (int i = 0; i < CALLS; i++)
		if (strlen(calls[i].word) == (size_t)(end - start) &&
		    strncmp(start, calls[i].word, (size_t)(end - start)) == 0) {
			line->call = (enum call)i;
			return true;
		}
	return false;
}

/* " name=VALUE" */
static bool scan_argument(const char **at, uint64_t *value)
{
	const char *equals;

	scan_blanks(at);
	equals = strchr(*at, '=');
	if (!equals)
		return false;
	*at = equals + 1;
	scan_char(at, '"');
	return scan_address(at, value) || scan_decimal(at, value);
}

/* The record whose [CPU] stands at `bracket`; NULL: it has none. */
static const char *scan_at(const char **at, const char *bracket, struct line *line)
{
	unsigned count;

	*line = (struct line){ .time_ns = RH_NONE };
	if (!(bracket ? scan_place(at, bracket, line) : scan_thread(at, line)) ||
	    !scan_time(at, &line->time_ns))
		return "a thread, [CPU] and a time do not begin it";
	if (!scan_name(at, line))
		return "its probe is on none of malloc, free, calloc, realloc, memalign";
	scan_char(at, '(');
	*at += strspn(*at, "0123456789abcdefABCDEFx <-");
	if (!scan_char(at, ')'))
		return "the address of the probe is not whole";
	count = line->returns ? line->call != FREE : calls[line->call].arguments;
	for (unsigned i = 0; i < count; i++)
		if (!scan_argument(at, &line->argument[i]))
			return "an argument is missing; the probe must fetch it";
	return NULL;
}

/* A line that broke off and the one behind it stand in one: then it is a later bracket. */
static const char *scan_record(const char **at, void *record)
{
	const char *why = "a thread, [CPU] and a time do not begin it", *bracket = *at;

	if (!strchr(*at, '['))
		return scan_at(at, NULL, record);
	while ((bracket = strchr(bracket, '[')) != NULL) {
		const char *p = *at, *wrong = scan_at(&p, bracket, record);

		if (!wrong) {
			*at = p;
			return NULL;
		}
		if (p > bracket)
			why = wrong;
		bracket++;
	}
	return why;
}

static struct pending *find_pending(struct log *log, uint64_t thread)
{
	for (unsigned i = 0; i < log->pending_count; i++)
		if (log->pending[i].thread == thread)
			return &log->pending[i];
	return NULL;
}

static void count_line(struct log *log, const char *key)
{
	rh_build_count(log->build, key, 1);
}

/* A call begins: its return will be the event. */
static int put_entry(struct log *log, const struct line *line, const char **why)
{
	struct pending *pending = find_pending(log, line->thread);

	if (pending && pending->call != line->call && pending->nested++ < NESTED_MAX) {
		count_line(log, "drop.nested");
		return 0;
	}
	if (!pending && log->pending_count == PENDING_MAX) {
		*why = "more than 1024 threads are in a call";
		return RH_LINE_TORN;
	}
	/* The line of the call that is given up was counted when it came. */
	log->unfinished += pending != NULL;
	if (!pending)
		pending = &log->pending[log->pending_count++];
	*pending = (struct pending){ .thread = line->thread, .call = line->call };
	memcpy(pending->argument, line->argument, sizeof(pending->argument));
	count_line(log, "drop.first_half");
	return 0;
}

static int put_return(struct log *log, const struct line *line, const char **why,
		      struct rh_err *err)
{
	struct pending *pending = find_pending(log, line->thread), call;
	struct rh_build *build = log->build;
	uint64_t size, block = line->argument[0];
	unsigned align = 0, flags = line->call == CALLOC ? RH_EVF_ZEROED : 0;

	if (!pending || pending->call != line->call) {
		count_line(log, pending ? "drop.nested" : "drop.no_entry");
		return 0;
	}
	call = *pending;
	*pending = log->pending[--log->pending_count];
	size = call.argument[call.call != MALLOC];
	if (call.call == POSIX_MEMALIGN) { /* its block is in a variable of the program */
		count_line(log, "drop.posix_memalign");
		return 0;
	}
	if (call.call == CALLOC && !scan_product(call.argument[0], call.argument[1], &size)) {
		count_line(log, "drop.failed");
		return 0;
	}
	if (!scan_size_fits(block, size, why))
		return RH_LINE_TORN;
	if (call.call == REALLOC)
		return rh_build_realloc(build, line->thread, call.argument[0],
					RH_BLOCK(.address = block, .size = size), err);
	if (call.call == MEMALIGN || call.call == ALIGNED_ALLOC)
		align = scan_align_log2(call.argument[0]);
	return rh_build_alloc(
		build, line->thread,
		RH_BLOCK(.address = block, .size = size, .align_log2 = align, .flags = flags), err);
}

static int put_free(struct log *log, const struct line *line, struct rh_err *err)
{
	struct pending *pending = find_pending(log, line->thread);

	if (line->returns) {
		count_line(log, "drop.free_return");
		return 0;
	}
	if (pending && pending->nested++ < NESTED_MAX) {
		count_line(log, "drop.nested");
		return 0;
	}
	return rh_build_free(log->build, line->thread, line->argument[0], RH_NONE, err);
}

static int put_record(void *ctx, const void *record, const char **why, struct rh_err *err)
{
	struct log *log = ctx;
	const struct line *line = record;

	if (line->process && !rh_pids_wants(&log->pids, log->build, line->process))
		return 0;
	if (line->foreign)
		count_line(log, "repair.foreign_text");
	rh_build_stamp(log->build, rh_log_clock_at(&log->clock, line->time_ns), RH_TASK_NONE,
		       RH_SITE_NONE);
	if (line->call == FREE)
		return put_free(log, line, err);
	return line->returns ? put_return(log, line, why, err) : put_entry(log, line, why);
}

/* "\t  98930 malloc+0x0 (/usr/lib/libc.so.6)", a frame of a stack. */
static bool is_frame(const char *line)
{
	uint64_t place;

	if (*line != '\t')
		return false;
	scan_blanks(&line);
	return scan_hex(&line, &place) && *line == ' ' && line[strlen(line) - 1] == ')';
}

static const char *const marks[] = { "alloc", "free", NULL };

static const struct rh_line_form form = {
	.what = "a line of perf script such as 'prog 7 [001] 1.5: libc:malloc: (7f) bytes=0x64'",
	.marks = marks,
	.is_remark = is_frame,
	.record_bytes = sizeof(struct line),
	.scan = scan_record,
	.put = put_record,
};

static unsigned likeness(const char *bytes, size_t count)
{
	return rh_lines_likeness(&form, bytes, count);
}

static int import_perf(struct rh_input *input, const void *options, struct rh_build *build,
		       struct rh_trace_out *out, struct rh_err *err)
{
	const struct perf_opts *opts = options;
	struct log *log = calloc(1, sizeof(*log));
	int result;

	if (!log)
		return rh_fail(err, RH_OS, "no memory to read %s", rh_input_path(input));
	log->build = build;
	log->pids.wanted = opts->pid;
	log->clock = RH_LOG_CLOCK;
	result = rh_lines_read(&(struct rh_lines){ &form, input, build, out, log }, err);
	if (result == 0)
		result = rh_pids_check(&log->pids, input, err);
	if (result == 0)
		result = rh_lines_note_unfinished(log->unfinished + log->pending_count, out, err);
	if (result == 0)
		result = rh_log_clock_finish(&log->clock, "us", build, out, err);
	free(log);
	return result;
}

const struct rh_importer rh_import_perf = {
	.name = "perf",
	.summary = "perf script, or tracefs, of uprobes on malloc, free, calloc, realloc, memalign",
	.looks_like = "prog 7 [001] 1.500000: probe_libc:malloc: (7fbf5b4fb930) bytes=0x64",
	.opts = perf_options,
	.opts_bytes = sizeof(struct perf_opts),
	.columns = RH_COL_TIME,
	.likeness = likeness,
	.run = import_perf,
};
