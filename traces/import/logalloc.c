/*
 * logalloc.c - the log of Mozilla's replace-malloc logger, as written or munged.
 *
 *	PID TID malloc(42)=0x7f0c33502040	PID TID realloc(0x7f..,100)=0x7f..
 *	PID TID calloc(4,42)=#2			PID TID free(#2)
 *	PID TID posix_memalign(64,42)=#3	(aligned_alloc and memalign alike)
 *	PID TID valloc(42)=#4			PID TID jemalloc_stats()
 *
 * Old logs have no TID. Pointers are addresses, "(nil)" where the C library prints NULL
 * so, or after munging `#slot`, where #0 is NULL. Other processes than the first (or pid=)
 * are left out and counted; jemalloc_stats becomes a mark.
 */
#include "traces/import/lines.h"

#include "traces/import/scan.h"

struct logalloc_opts {
	uint64_t pid;
};

static const struct rh_opt logalloc_options[] = {
	{ "pid", 0, RH_OPT_UINT, offsetof(struct logalloc_opts, pid), "0", .arg = "N",
	  .help = "import this process; 0 = the first one seen" },
	{ .name = NULL }
};

enum { STATS_SITE = 1 };

enum call { MALLOC, CALLOC, REALLOC, FREE, ALIGNED, VALLOC, STATS };

static const struct {
	const char *word;
	enum call call;
} calls[] = {
	{ "malloc(", MALLOC },		{ "free(", FREE },
	{ "realloc(", REALLOC },	{ "calloc(", CALLOC },
	{ "posix_memalign(", ALIGNED }, { "aligned_alloc(", ALIGNED },
	{ "memalign(", ALIGNED },	{ "valloc(", VALLOC },
	{ "jemalloc_stats(", STATS },
};

struct line {
	uint64_t pid, thread, old, pointer, number[2];
	enum call call;
};

/* Slots and addresses are different name spaces; one log has only one of them. */
static bool scan_pointer(const char **at, uint64_t *pointer)
{
	const char *p = *at;

	if (scan_text(&p, "(nil)"))
		*pointer = 0;
	else if (!(scan_char(&p, '#') ? scan_decimal(&p, pointer) : scan_address(&p, pointer)))
		return false;
	*at = p;
	return true;
}

static bool scan_arguments(const char **at, struct line *line)
{
	switch (line->call) {
	case FREE:
		return scan_pointer(at, &line->old);
	case REALLOC:
		return scan_pointer(at, &line->old) && scan_char(at, ',') &&
		       scan_decimal(at, &line->number[0]);
	case CALLOC:
	case ALIGNED:
		return scan_decimal(at, &line->number[0]) && scan_char(at, ',') &&
		       scan_decimal(at, &line->number[1]);
	case MALLOC:
	case VALLOC:
		return scan_decimal(at, &line->number[0]);
	case STATS:
		return true;
	}
	return false;
}

static const char *scan_record(const char **at, void *record)
{
	struct line *line = record;
	size_t i, count = sizeof(calls) / sizeof(*calls);

	*line = (struct line){ 0 };
	if (!scan_decimal(at, &line->pid) || !scan_char(at, ' '))
		return "it does not begin with a process id";
	if (scan_decimal(at, &line->thread) && !scan_char(at, ' '))
		return "no blank after the thread id";
	for (i = 0; i < count && !scan_text(at, calls[i].word); i++)
		;
	if (i == count)
		return "the function is not known";
	line->call = calls[i].call;
	if (!scan_arguments(at, line) || !scan_char(at, ')'))
		return "the arguments are wrong";
	if (line->call == FREE || line->call == STATS)
		return NULL;
	if (!scan_char(at, '=') || !scan_pointer(at, &line->pointer))
		return "the result is missing";
	return NULL;
}

struct log {
	struct rh_build *build;
	struct rh_pids pids;
	bool marked;
};

static int put_mark(struct log *log, uint64_t thread, struct rh_err *err)
{
	const struct rh_event mark = {
		.kind = RH_EV_MARK,
		.id = STATS_SITE,
		.time_ns = RH_NONE,
		.old = RH_NONE,
		.size = RH_NONE,
		.arg = RH_NONE,
		.task = RH_TASK_NONE,
		.site = RH_SITE_NONE,
	};

	log->marked = true;
	return rh_build_other(log->build, thread, &mark, err);
}

static int put_record(void *ctx, const void *record, const char **why, struct rh_err *err)
{
	struct log *log = ctx;
	const struct line *line = record;
	struct rh_build *build = log->build;
	uint64_t bytes = line->number[line->call == ALIGNED];

	if (!rh_pids_wants(&log->pids, build, line->pid))
		return 0;
	if (line->call == CALLOC && !scan_product(line->number[0], line->number[1], &bytes)) {
		rh_build_count(build, "drop.failed", 1);
		return 0;
	}
	if (!scan_size_fits(line->pointer, bytes, why))
		return RH_LINE_TORN;
	switch (line->call) {
	case FREE:
		return rh_build_free(build, line->thread, line->old, RH_NONE, err);
	case REALLOC:
		return rh_build_realloc(build, line->thread, line->old,
					RH_BLOCK(.address = line->pointer, .size = bytes), err);
	case CALLOC:
		return rh_build_alloc(
			build, line->thread,
			RH_BLOCK(.address = line->pointer, .size = bytes, .flags = RH_EVF_ZEROED),
			err);
	case ALIGNED:
		return rh_build_alloc(build, line->thread,
				      RH_BLOCK(.address = line->pointer, .size = bytes,
					       .align_log2 = scan_align_log2(line->number[0])),
				      err);
	case VALLOC:
		return rh_build_alloc(
			build, line->thread,
			RH_BLOCK(.address = line->pointer, .size = bytes, .align_log2 = 12), err);
	case MALLOC:
		return rh_build_alloc(build, line->thread,
				      RH_BLOCK(.address = line->pointer, .size = bytes), err);
	case STATS:
		return put_mark(log, line->thread, err);
	}
	return 0;
}

static const char *const marks[] = { "alloc(", "free(", "align(", "jemalloc_stats", "0x", NULL };

static const struct rh_line_form form = {
	.what = "a logalloc line",
	.marks = marks,
	.starts = "0123456789",
	.record_bytes = sizeof(struct line),
	.scan = scan_record,
	.put = put_record,
};

static unsigned likeness(const char *bytes, size_t count)
{
	return rh_lines_likeness(&form, bytes, count);
}

static int import_logalloc(struct rh_input *input, const void *options, struct rh_build *build,
			   struct rh_trace_out *out, struct rh_err *err)
{
	const struct logalloc_opts *opts = options;
	struct log log = { .build = build, .pids.wanted = opts->pid };

	rh_build_stamp(build, RH_NONE, RH_TASK_NONE, RH_SITE_NONE);
	if (rh_lines_read(&(struct rh_lines){ &form, input, build, out, &log }, err) < 0 ||
	    rh_pids_check(&log.pids, input, err) < 0)
		return -1;
	return log.marked ? rh_trace_add_site(out, STATS_SITE, "jemalloc_stats", err) : 0;
}

const struct rh_importer rh_import_logalloc = {
	.name = "logalloc",
	.summary = "Mozilla's logalloc, raw or munged",
	.looks_like = "18545 18545 malloc(32)=0x7f90495120e0",
	.opts = logalloc_options,
	.opts_bytes = sizeof(struct logalloc_opts),
	.likeness = likeness,
	.run = import_logalloc,
};
