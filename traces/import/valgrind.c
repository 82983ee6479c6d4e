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
 * Everything else (valgrind's own remarks, what the program wrote to stderr) is skipped
 * and counted. Valgrind runs one thread at a time and does not say which: one lane. With
 * --trace-children=yes there are several processes: pid= chooses, the first is the default.
 */
#include "traces/import.h"

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
	uint64_t size, old, pointer;
	unsigned align_log2, flags;
	bool overflow;		/* calloc whose product does not fit */
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
	return scan_text(at, " = ") && scan_address(at, &call->pointer) && scan_end(at);
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
		if (scan_text(at, " = "))
			return scan_address(at, &again) && scan_end(at);
		return scan_end(at);
	}
	if (scan_text(at, "malloc(") && !(scan_decimal(at, &again) && scan_char(at, ')')))
		return false;
	return scan_result(at, call);
}

static bool scan_free(const char **at, struct call *call)
{
	call->kind = CALL_FREE;
	return scan_address(at, &call->pointer) && scan_char(at, ')') && scan_end(at);
}

static bool scan_new(const char **at, struct call *call)
{
	if (**at == 's' || **at == 'a')
		return scan_aligned(at, call) && scan_result(at, call);
	return scan_decimal(at, &call->size) && scan_char(at, ')') && scan_result(at, call);
}

static bool scan_mangled(const char **at)
{
	while (**at && **at != '(' && **at != ' ')
		(*at)++;
	return scan_char(at, '(');
}

/* The call after "--PID-- "; false when it is none of ours. */
static bool scan_call(const char *at, struct call *call)
{
	*call = (struct call){ .kind = CALL_ALLOC };
	if (scan_text(&at, "malloc("))
		return scan_decimal(&at, &call->size) && scan_char(&at, ')') &&
		       scan_result(&at, call);
	if (scan_text(&at, "free("))
		return scan_free(&at, call);
	if (scan_text(&at, "calloc("))
		return scan_calloc(&at, call);
	if (scan_text(&at, "realloc("))
		return scan_realloc(&at, call);
	if (scan_text(&at, "memalign("))
		return scan_aligned(&at, call) && scan_result(&at, call);
	if (scan_text(&at, "_Znw") || scan_text(&at, "_Zna"))
		return scan_mangled(&at) && scan_new(&at, call);
	if (scan_text(&at, "_Zdl") || scan_text(&at, "_Zda"))
		return scan_mangled(&at) && scan_free(&at, call);
	return false;
}

static int put_call(struct rh_build *build, const struct call *call, struct rh_err *err)
{
	rh_build_stamp(build, RH_NONE, RH_TASK_NONE, RH_SITE_NONE);
	if (call->overflow) {
		rh_build_count(build, "drop.failed", 1);
		return 0;
	}
	if (call->kind == CALL_FREE)
		return rh_build_free(build, THREAD, call->pointer, RH_NONE, err);
	if (call->kind == CALL_REALLOC)
		return rh_build_realloc(build, THREAD, call->old, call->pointer, call->size, 0,
					err);
	return rh_build_alloc(build, THREAD, call->pointer, call->size, call->align_log2,
			      call->flags, err);
}

static int run(struct rh_input *input, const void *options, struct rh_build *build,
	       struct rh_trace_out *out, struct rh_err *err)
{
	const struct valgrind_opts *opts = options;
	uint64_t wanted = opts->pid, calls = 0, others = 0;
	struct call call;
	char *line;
	ssize_t length;

	while ((length = rh_input_line(input, &line, err)) >= 0) {
		const char *at = line;
		uint64_t pid;

		if (!scan_text(&at, "--") || !scan_decimal(&at, &pid) ||
		    !scan_text(&at, "-- ") || !scan_call(at, &call)) {
			rh_build_count(build, "drop.other_line", 1);
			continue;
		}
		if (wanted == 0)
			wanted = pid;
		if (pid != wanted) {
			rh_build_count(build, "drop.other_process", 1);
			others++;
			continue;
		}
		if (put_call(build, &call, err) < 0)
			return -1;
		calls++;
	}
	if (length != RH_INPUT_END)
		return -1;
	if (calls == 0)
		return rh_fail(err, RH_BAD_DATA,
			       "%s: no line such as '--123-- malloc(8) = 0x4A41040'%s; was it made "
			       "with valgrind --trace-malloc=yes?",
			       rh_input_path(input), others ? " of that process" : "");
	return rh_trace_add_count(out, "valgrind.pid", wanted, err);
}

const struct rh_importer rh_import_valgrind = {
	.name = "valgrind",
	.summary = "output of valgrind --trace-malloc=yes",
	.looks_like = "--18946-- malloc(100) = 0x4A412A0",
	.opts = valgrind_options,
	.opts_bytes = sizeof(struct valgrind_opts),
	.run = run,
};
