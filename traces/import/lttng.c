/*
 * lttng.c - what babeltrace prints of LTTng's wrapper of libc (liblttng-ust-libc-wrapper.so):
 *
 *	[20:38:11.907388453] (+3.229928201) desktop lttng_ust_libc:malloc: { cpu_id = 1 }, { size =
 *4, ptr = 0x151BD40 }
 *
 * on one line. Between the braces stand contexts (`lttng add-context -u -t vtid -t vpid`) and the
 * fields of the event, all as `name = value`; babeltrace2 and `--names` write more names, which
 * are passed over. The thread is vtid; where that was not recorded, the CPU, and the note
 * import.lanes says so. Times of day start again at midnight; --clock-seconds prints them whole.
 */
#include "traces/import/lttng.h"
#include "traces/import/lines.h"

#include <stddef.h>
#include <string.h>

#include "traces/import/scan.h"

enum call { MALLOC, FREE, CALLOC, REALLOC, MEMALIGN, POSIX_MEMALIGN, CALLS };
enum field { CPU, VTID, VPID, SIZE, PTR, NMEMB, IN_PTR, ALIGNMENT, OUT_PTR, RESULT, FIELDS };

static const struct {
	const char *word;
	size_t bytes;
} call_words[CALLS] = { { "malloc", 6 },  { "free", 4 },     { "calloc", 6 },
			{ "realloc", 7 }, { "memalign", 8 }, { "posix_memalign", 14 } };
/* What each call must have. */
static const unsigned needs[CALLS] = {
	[MALLOC] = 1u << SIZE | 1u << PTR,
	[FREE] = 1u << PTR,
	[CALLOC] = 1u << NMEMB | 1u << SIZE | 1u << PTR,
	[REALLOC] = 1u << IN_PTR | 1u << SIZE | 1u << PTR,
	[MEMALIGN] = 1u << ALIGNMENT | 1u << SIZE | 1u << PTR,
	[POSIX_MEMALIGN] = 1u << OUT_PTR | 1u << ALIGNMENT | 1u << SIZE | 1u << RESULT,
};

#define EVENTS "ust_libc:"
#define DAY_NS (86400ull * 1000000000u)

struct line {
	enum call call;
	unsigned seen; /* fields */
	uint64_t time_ns, value[FIELDS];
	bool of_day;
	bool foreign; /* other text stands before it */
};

struct log {
	struct rh_build *build;
	struct rh_pids pids;
	uint64_t days_ns;
	struct rh_log_clock clock;
	bool by_cpu;
};

const struct rh_opt rh_lttng_options[] = {
	{ "pid", 0, RH_OPT_UINT, offsetof(struct rh_lttng_opts, pid), "0", .arg = "N",
	  .help = "import this process (vpid); 0 = the first one seen" },
	{ .name = NULL }
};

/* "[20:38:11.907388453]", "[2020-02-18 20:38:11.907388453]", "[1558388052.211435757]" */
static void scan_time(const char *at, struct line *line)
{
	uint64_t part[3], fraction;
	const char *digits;
	int parts = 0;

	if (!scan_char(&at, '['))
		return;
	if (strlen(at) > 11 && at[4] == '-' && at[7] == '-' && at[10] == ' ')
		at += 11;
	do
		if (!scan_decimal(&at, &part[parts]) || part[parts] > 4000000000u)
			return;
	while (++parts < 3 && scan_char(&at, ':'));
	if (parts == 2 || !scan_char(&at, '.'))
		return;
	digits = at;
	if (!scan_decimal(&at, &fraction) || at - digits != 9 || *at != ']')
		return;
	line->of_day = parts == 3;
	line->time_ns =
		(parts == 3 ? part[0] * 3600 + part[1] * 60 + part[2] : part[0]) * 1000000000u +
		fraction;
}

static enum field field_of(const char *name, size_t bytes)
{
	switch (bytes) {
	case 3:
		return memcmp(name, "ptr", 3) == 0 ? PTR : FIELDS;
	case 4:
		if (memcmp(name, "size", 4) == 0)
			return SIZE;
		if (memcmp(name, "vtid", 4) == 0)
			return VTID;
		return memcmp(name, "vpid", 4) == 0 ? VPID : FIELDS;
	case 5:
		return memcmp(name, "nmemb", 5) == 0 ? NMEMB : FIELDS;
	case 6:
		if (memcmp(name, "cpu_id", 6) == 0)
			return CPU;
		if (memcmp(name, "in_ptr", 6) == 0)
			return IN_PTR;
		return memcmp(name, "result", 6) == 0 ? RESULT : FIELDS;
	case 7:
		return memcmp(name, "out_ptr", 7) == 0 ? OUT_PTR : FIELDS;
	case 9:
		return memcmp(name, "alignment", 9) == 0 ? ALIGNMENT : FIELDS;
	default:
		return FIELDS;
	}
}

static void set_field(struct line *line, enum field field, uint64_t number)
{
	if (field == FIELDS)
		return;
	line->value[field] = number;
	line->seen |= 1u << field;
}

/* All `name = value` before `end` that are ours; the last of a name counts. */
static void scan_fields(const char *p, const char *end, struct line *line)
{
	const char *equals;

	while ((equals = memmem(p, (size_t)(end - p), " = ", 3)) != NULL) {
		const char *name = equals, *value = equals + 3;
		uint64_t number;

		while (name > p && name[-1] != ' ' && name[-1] != '{')
			name--;
		p = value;
		if (!scan_address(&value, &number) && !scan_decimal(&value, &number))
			continue;
		/* The beginning of a number is another one. */
		if (!strchr(" ,}", *value))
			continue;
		set_field(line, field_of(name, (size_t)(equals - name)), number);
		p = value;
	}
}

static enum call call_of(const char *name)
{
	size_t bytes = 0;

	while ((name[bytes] >= 'a' && name[bytes] <= 'z') || name[bytes] == '_')
		bytes++;
	if (!strchr(":, ", name[bytes]))
		return CALLS;
	for (int i = 0; i < CALLS; i++)
		if (call_words[i].bytes == bytes && memcmp(name, call_words[i].word, bytes) == 0)
			return (enum call)i;
	return CALLS;
}

/* Behind the last brace of [at, stop); NULL when one of them is not closed. */
static const char *braces_end(const char *at, const char *stop)
{
	const char *end = NULL;
	int depth = 0;

	for (; at < stop; at++) {
		depth += *at == '{';
		if (*at == '}') {
			depth--;
			end = at + 1;
		}
	}
	return depth == 0 ? end : NULL;
}

/* The time is the last in brackets before the name of the event; what stands before that is not of
 * the record. */
static void scan_before(const char *start, const char *word, struct line *line)
{
	const char *at = word;

	while (at > start && line->time_ns == RH_NONE)
		if (*--at == '[')
			scan_time(at, line);
	line->foreign = line->time_ns != RH_NONE && at > start + strspn(start, " \t");
}

/* The record whose event is named at `word`; the text up to the next name is its own. */
static const char *scan_at(const char **at, const char *word, struct line *line)
{
	const char *name = word + strlen(EVENTS), *next = strstr(name, EVENTS), *end;

	*line = (struct line){ .time_ns = RH_NONE, .call = CALLS };
	scan_before(*at, word, line);
	line->call = call_of(name);
	if (line->call == CALLS)
		return "its event is none of malloc, free, calloc, realloc, memalign";
	end = braces_end(name, next ? next : name + strlen(name));
	if (!end)
		return "it does not end with a brace";
	scan_fields(name, end, line);
	if ((line->seen & needs[line->call]) != needs[line->call])
		return "a field is missing";
	*at = end;
	return NULL;
}

/* ---- nearly every line ---- */

static bool scan_two(const char *at, unsigned *number)
{
	unsigned tens = (unsigned)(at[0] - '0'), ones;

	if (tens > 9)
		return false;
	ones = (unsigned)(at[1] - '0');
	*number = tens * 10 + ones;
	return ones <= 9;
}

/* "[20:38:11.907388453]", of which each digit has its place, or "[1558388052.211435757]": behind
 * it, NULL when it is another. */
static const char *scan_clock(const char *at, struct line *line)
{
	unsigned hours, minutes, seconds, fraction = 0, digit;
	uint64_t whole;

	if (*at++ != '[')
		return NULL;
	line->of_day = scan_two(at, &hours) && at[2] == ':';
	if (line->of_day) {
		if (!scan_two(at + 3, &minutes) || at[5] != ':' || !scan_two(at + 6, &seconds))
			return NULL;
		whole = hours * 3600ull + minutes * 60 + seconds;
		at += 8;
	} else if (!scan_decimal(&at, &whole) || whole > 4000000000u) {
		return NULL;
	}
	if (*at++ != '.')
		return NULL;
	for (int i = 0; i < 9; i++) {
		digit = (unsigned)(*at++ - '0');
		if (digit > 9)
			return NULL;
		fraction = fraction * 10 + digit;
	}
	line->time_ns = whole * 1000000000u + fraction;
	return *at == ']' ? at + 1 : NULL;
}

/* "{ size = 4, ptr = 0x151BD40 }, { ... }" with nothing but numbers: behind its end. */
static const char *scan_plain_fields(const char *p, struct line *line)
{
	for (;;) {
		if (*p++ != '{')
			return NULL;
		do {
			const char *name;
			uint64_t number;
			size_t bytes;

			if (*p++ != ' ')
				return NULL;
			name = p;
			while (*p > ' ')
				p++;
			bytes = (size_t)(p - name);
			if (p[0] != ' ' || p[1] != '=' || p[2] != ' ')
				return NULL;
			p += 3;
			if (!scan_address(&p, &number) && !scan_decimal(&p, &number))
				return NULL;
			set_field(line, field_of(name, bytes), number);
		} while (*p == ',' && p++);
		if (p[0] != ' ' || p[1] != '}')
			return NULL;
		p += 2;
		if (p[0] != ',' || p[1] != ' ')
			return p;
		p += 2;
	}
}

/* The whole line in one pass, a fifth of the work of looking for each part in any text: behind its
 * end, NULL when it is another one. */
static const char *scan_plain(const char *at, struct line *line)
{
	const char *colon;

	*line = (struct line){ .time_ns = RH_NONE };
	at = scan_clock(at, line);
	/* The next is of the event: hosts have none. */
	colon = at ? strchr(at, ':') : NULL;
	if (!colon || colon - at < 9 || memcmp(colon - 8, EVENTS, 9) != 0)
		return NULL;
	line->call = call_of(colon + 1);
	if (line->call == CALLS)
		return NULL;
	at = scan_plain_fields(colon + 1 + call_words[line->call].bytes + strlen(": "), line);
	return at && *at == '\0' && (line->seen & needs[line->call]) == needs[line->call] ? at
											  : NULL;
}

/* A line that broke off and the one behind it stand in one: then it is a later name. */
static const char *scan_record(const char **at, void *record)
{
	const char *why = "it names no event of lttng_ust_libc", *word = *at;
	const char *end = **at == '[' ? scan_plain(*at, record) : NULL;

	if (end) {
		*at = end;
		return NULL;
	}

	while ((word = strstr(word, EVENTS)) != NULL) {
		why = scan_at(at, word, record);
		if (!why)
			return NULL;
		word++;
	}
	return why;
}

static void stamp(struct log *log, const struct line *line)
{
	uint64_t time = line->time_ns;

	if (time == RH_NONE)
		return;
	/* Back by more than half a day: it is the next one. */
	if (line->of_day && log->clock.first != RH_NONE &&
	    time + log->days_ns + DAY_NS / 2 < log->clock.last)
		log->days_ns += DAY_NS;
	time += log->days_ns;
	rh_build_stamp(log->build, rh_log_clock_at(&log->clock, time), RH_TASK_NONE, RH_SITE_NONE);
}

static int put_record(void *ctx, const void *record, const char **why, struct rh_err *err)
{
	struct log *log = ctx;
	const struct line *line = record;
	const uint64_t *v = line->value;
	struct rh_build *build = log->build;
	bool has_thread = line->seen >> VTID & 1;
	uint64_t thread = has_thread ? v[VTID] : v[CPU], size = v[SIZE], ptr = v[PTR];

	if (line->seen >> VPID & 1 && !rh_pids_wants(&log->pids, build, v[VPID]))
		return 0;
	log->by_cpu |= !has_thread;
	if (line->call == POSIX_MEMALIGN)
		ptr = v[RESULT] ? 0 : v[OUT_PTR];
	if (line->call == CALLOC && !scan_product(v[NMEMB], v[SIZE], &size))
		ptr = 0;
	if (line->call != FREE && !scan_size_fits(ptr, size, why))
		return RH_LINE_TORN;
	if (line->foreign)
		rh_build_count(build, "repair.foreign_text", 1);
	stamp(log, line);
	switch (line->call) {
	case FREE:
		return rh_build_free(build, thread, ptr, RH_NONE, err);
	case REALLOC:
		return rh_build_realloc(build, thread, v[IN_PTR],
					RH_BLOCK(.address = ptr, .size = size), err);
	default:
		return rh_build_alloc(build, thread,
				      RH_BLOCK(.address = ptr, .size = size,
					       .align_log2 = scan_align_log2(v[ALIGNMENT]),
					       .flags = line->call == CALLOC ? RH_EVF_ZEROED : 0),
				      err);
	}
}

static const char *const marks[] = { EVENTS, "ptr = ", NULL };

static const struct rh_line_form form = {
	.what = "a line of babeltrace with an event of lttng_ust_libc",
	.marks = marks,
	.record_bytes = sizeof(struct line),
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
	return rh_lines_columns(&form, input, offsetof(struct line, time_ns), columns, err);
}

int rh_lttng_run(struct rh_input *input, const void *opts, struct rh_build *build,
		 struct rh_trace_out *out, struct rh_err *err)
{
	const struct rh_lttng_opts *asked = opts;
	struct log log = { .build = build, .pids.wanted = asked->pid, .clock = RH_LOG_CLOCK };

	rh_build_stamp(build, RH_NONE, RH_TASK_NONE, RH_SITE_NONE);
	if (rh_lines_read(&(struct rh_lines){ &form, input, build, out, &log }, err) < 0 ||
	    rh_pids_check(&log.pids, input, err) < 0)
		return -1;
	if (log.by_cpu &&
	    rh_trace_add_note(out, "import.lanes",
			      "lanes are CPUs: the threads were not recorded (lttng add-context "
			      "-u -t vtid)",
			      err) < 0)
		return -1;
	return rh_log_clock_finish(&log.clock, "ns", build, out, err);
}

const struct rh_importer rh_import_lttng = {
	.name = "lttng",
	.summary = "babeltrace's text of LTTng-UST's wrapper of libc",
	.looks_like =
		"[20:38:11.907388453] (+0.000002902) host lttng_ust_libc:malloc: { cpu_id = 1 }, "
		"{ size = 4, ptr = 0x151BD40 }",
	.opts = rh_lttng_options,
	.opts_bytes = sizeof(struct rh_lttng_opts),
	.columns = RH_COL_TIME,
	.likeness = likeness,
	.columns_of = columns_of,
	.run = rh_lttng_run,
};
