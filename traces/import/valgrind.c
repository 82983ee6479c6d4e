/*
 * valgrind.c - what `valgrind --trace-malloc=yes` prints on stderr (or into --log-file).
 *
 *	--PID-- malloc(100) = 0x4A412A0
 *	--PID-- calloc(10,20) = 0x4A41040
 *	--PID-- realloc(0x4A412A0,300) = 0x4A41350
 *	--PID-- realloc(0x0,50)malloc(50) = 0x4A41400
 *	--PID-- realloc(0x4A412A0,0)free(0x4A412A0)      (and then " = 0x0")
 *	--PID-- memalign(al 64, size 1000) = 0x4A48740
 *	--PID-- _Znwm(32) = 0x4D6EF00                    operators by their mangled names:
 *	--PID-- _ZnwmSt11align_val_t(size 64, al 64) = 0x4D6ECC0      _Zn.. is new,
 *	--PID-- _ZdlPvm(0x4D6EF00)                       _Zd.. is delete
 *	--PID-- free(0x4A41350)
 *
 * With --time-stamp=yes a time since the start stands before PID: --00:00:00:01.489 7--. The
 * program's own text may stand on the same line. Everything else is skipped and counted. Valgrind
 * runs one thread at a time and does not say which: one lane. With
 * --trace-children=yes there are several processes: pid= chooses, the first is the default.
 */
#include "traces/import/lines.h"

#include "traces/import/scan.h"

enum { THREAD = 0 };

struct valgrind_opts {
	uint64_t pid;
};

static const struct rh_opt valgrind_options[] = {
	{ "pid", 0, RH_OPT_UINT, offsetof(struct valgrind_opts, pid), "0", .arg = "N",
	  .help = "import this process; 0 = the first one seen" },
	{ .name = NULL }
};

struct call {
	enum { CALL_ALLOC, CALL_FREE, CALL_REALLOC } kind;
	uint64_t size, old, pointer, pid;
	uint64_t time_ns; /* since the start, of --time-stamp=yes; else RH_NONE */
	unsigned align_log2, flags;
	bool overflow; /* calloc whose product does not fit */
};

/* The brackets of memalign and of aligned new: "al 64, size 1000" in either order. */
static bool scan_aligned(const char **at, struct call *call)
{
	uint64_t alignment = 0;
	bool has_size = false, has_align = false;

	for (int i = 0; i < 2; i++) {
		if (i && !(scan_char(at, ',') && scan_char(at, ' ')))
			return false;
		if (scan_text(at, "size ") && scan_decimal(at, &call->size))
			has_size = true;
		else if (scan_text(at, "al ") && scan_decimal(at, &alignment))
			has_align = true;
		else
			return false;
	}
	call->align_log2 = scan_align_log2(alignment);
	return has_size && has_align && scan_char(at, ')');
}

/* " = 0x..." ends every call that allocates. */
static bool scan_result(const char **at, struct call *call)
{
	return scan_text(at, " = ") && scan_address(at, &call->pointer);
}

static bool scan_calloc(const char **at, struct call *call)
{
	uint64_t count, size;

	if (!scan_decimal(at, &count) || !scan_char(at, ',') || !scan_decimal(at, &size) ||
	    !scan_char(at, ')'))
		return false;
	call->overflow = !scan_product(count, size, &call->size);
	call->flags = RH_EVF_ZEROED;
	return scan_result(at, call);
}

/* Valgrind calls its malloc or free for realloc's corner cases, and prints both. */
static bool scan_realloc(const char **at, struct call *call)
{
	uint64_t again;

	if (!scan_address(at, &call->old) || !scan_char(at, ',') ||
	    !scan_decimal(at, &call->size) || !scan_char(at, ')'))
		return false;
	call->kind = CALL_REALLOC;
	if (scan_text(at, "free(")) {
		if (!scan_address(at, &call->pointer) || !scan_char(at, ')'))
			return false;
		call->kind = CALL_FREE;
		return !scan_text(at, " = ") || scan_address(at, &again);
	}
	if (scan_text(at, "malloc(") && !(scan_decimal(at, &again) && scan_char(at, ')')))
		return false;
	return scan_result(at, call);
}

static bool scan_free(const char **at, struct call *call)
{
	call->kind = CALL_FREE;
	return scan_address(at, &call->pointer) && scan_char(at, ')');
}

static bool scan_new(const char **at, struct call *call)
{
	if (**at == 's' || **at == 'a')
		return scan_aligned(at, call) && scan_result(at, call);
	call->flags = RH_EVF_NEW;
	return scan_decimal(at, &call->size) && scan_char(at, ')') && scan_result(at, call);
}

static bool scan_mangled(const char **at)
{
	while (**at && **at != '(' && **at != ' ')
		(*at)++;
	return scan_char(at, '(');
}

static bool scan_call(const char **at, struct call *call)
{
	if (scan_text(at, "malloc("))
		return scan_decimal(at, &call->size) && scan_char(at, ')') && scan_result(at, call);
	if (scan_text(at, "free("))
		return scan_free(at, call);
	if (scan_text(at, "calloc("))
		return scan_calloc(at, call);
	if (scan_text(at, "realloc("))
		return scan_realloc(at, call);
	if (scan_text(at, "memalign("))
		return scan_aligned(at, call) && scan_result(at, call);
	if (scan_text(at, "_Znw") || scan_text(at, "_Zna"))
		return scan_mangled(at) && scan_new(at, call);
	if (scan_text(at, "_Zdl") || scan_text(at, "_Zda"))
		return scan_mangled(at) && scan_free(at, call);
	return false;
}

/* "DD:HH:MM:SS.mmm " before the process. */
static bool scan_time(const char **at, uint64_t *ns)
{
	uint64_t part[4];
	const char *p = *at;

	for (int i = 0; i < 4; i++)
		if (!scan_decimal(&p, &part[i]) || part[i] > 99999 ||
		    !scan_char(&p, i < 3 ? ':' : '.'))
			return false;
	*ns = ((part[0] * 24 + part[1]) * 60 + part[2]) * 60 + part[3];
	if (!scan_decimal(&p, &part[0]) || part[0] > 999 || !scan_char(&p, ' '))
		return false;
	*ns = *ns * 1000000000 + part[0] * 1000000;
	*at = p;
	return true;
}

static const char *scan_record(const char **at, void *record)
{
	struct call *call = record;

	*call = (struct call){ .kind = CALL_ALLOC, .time_ns = RH_NONE };
	if (!scan_text(at, "--"))
		return "it does not begin with --PID--";
	scan_time(at, &call->time_ns);
	if (!scan_decimal(at, &call->pid) || !scan_text(at, "-- "))
		return "it does not begin with --PID--";
	return scan_call(at, call) ? NULL : "the call is not whole";
}

struct log {
	struct rh_build *build;
	struct rh_pids pids;
	uint64_t time_last; /* RH_NONE until a time was seen */
};

static int put_record(void *ctx, const void *record, const char **why, struct rh_err *err)
{
	struct log *log = ctx;
	const struct call *call = record;
	struct rh_build *build = log->build;

	if (!rh_pids_wants(&log->pids, build, call->pid))
		return 0;
	if (call->overflow) {
		rh_build_count(build, "drop.failed", 1);
		return 0;
	}
	if (!scan_size_fits(call->pointer, call->size, why))
		return RH_LINE_TORN;
	/* A message is stamped when it begins, and the first process may be another. */
	if (call->time_ns != RH_NONE &&
	    (log->time_last == RH_NONE || call->time_ns > log->time_last))
		log->time_last = call->time_ns;
	rh_build_stamp(build, log->time_last, RH_TASK_NONE, RH_SITE_NONE);
	if (call->kind == CALL_FREE)
		return rh_build_free(build, THREAD, call->pointer, RH_NONE, err);
	if (call->kind == CALL_REALLOC)
		return rh_build_realloc(build, THREAD, call->old,
					RH_BLOCK(.address = call->pointer, .size = call->size),
					err);
	return rh_build_alloc(build, THREAD,
			      RH_BLOCK(.address = call->pointer, .size = call->size,
				       .align_log2 = call->align_log2, .flags = call->flags),
			      err);
}

/* Valgrind's own remarks, too, begin with --PID--: a torn record has one of the calls. */
static const char *const marks[] = { "-- malloc(",   "-- free(", "-- calloc(", "-- realloc(",
				     "-- memalign(", "-- _Zn",	 "-- _Zd",     NULL };

/* "==123== " and "--123-- " without a word, which valgrind prints between its paragraphs. */
static bool is_remark(const char *line)
{
	char sign = *line == '=' ? '=' : '-';
	uint64_t ignored;

	if (!scan_char(&line, sign) || !scan_char(&line, sign))
		return false;
	scan_time(&line, &ignored);
	return scan_decimal(&line, &ignored) && scan_char(&line, sign) && scan_char(&line, sign) &&
	       scan_end(&line);
}

static const struct rh_line_form form = {
	.what = "a line such as '--123-- malloc(8) = 0x4A41040' of valgrind --trace-malloc=yes",
	.marks = marks,
	.is_remark = is_remark,
	.starts = "-",
	.record_bytes = sizeof(struct call),
	.scan = scan_record,
	.put = put_record,
};

static unsigned likeness(const char *bytes, size_t count)
{
	return rh_lines_likeness(&form, bytes, count);
}

static int columns_of(struct rh_input *input, const void *opts, unsigned *columns,
		      struct rh_err *err)
{
	(void)opts;
	return rh_lines_columns(&form, input, offsetof(struct call, time_ns), columns, err);
}

static int import_valgrind(struct rh_input *input, const void *options, struct rh_build *build,
			   struct rh_trace_out *out, struct rh_err *err)
{
	const struct valgrind_opts *opts = options;
	struct log log = { .build = build, .pids.wanted = opts->pid, .time_last = RH_NONE };

	if (rh_lines_read(&(struct rh_lines){ &form, input, build, out, &log }, err) < 0 ||
	    rh_pids_check(&log.pids, input, err) < 0)
		return -1;
	if (log.time_last != RH_NONE && rh_trace_add_note(out, "clock", "ms", err) < 0)
		return -1;
	return rh_trace_add_count(out, "valgrind.pid", log.pids.wanted, err);
}

const struct rh_importer rh_import_valgrind = {
	.name = "valgrind",
	.summary = "output of valgrind --trace-malloc=yes",
	.looks_like = "--18946-- malloc(100) = 0x4A412A0",
	.opts = valgrind_options,
	.opts_bytes = sizeof(struct valgrind_opts),
	.columns = RH_COL_TIME,
	.likeness = likeness,
	.columns_of = columns_of,
	.run = import_valgrind,
};
