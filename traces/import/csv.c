/*
 * csv.c - calls as a table: one a line, in columns with names.
 *
 *	time,thread,op,old,size,ptr
 *	1000,7,malloc,0,64,0x7f10
 *	1200,7,free,0,0,0x7f10
 *
 * Columns are separated by commas, semicolons or tabs, whichever the first line has most of, and
 * named by that line or by columns=. Names: op (malloc, alloc, new, calloc, realloc, free, delete,
 * memalign), ptr (the block that is made, or that free ends), old (what realloc ends), size, count
 * (calloc: size is of each), align, thread, time (ns; time_us, time_ms, time_s), pid; '-' or any
 * other name is passed over. Numbers are decimal or 0x. This is also what bpftrace writes with
 * the script of traces/import/README.md, and what jemalloc's page allocator is traced to (names
 * such as addr_int and nsecs_int; a sec_dalloc may end behind its pointer). Of the first and the
 * last field, words that a program wrote before and behind the row are cut off
 * (repair.foreign_text).
 */
#include "traces/import/lines.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "traces/import/scan.h"

enum { COLUMNS_MAX = 32, LINE_HEAD = 1024, PREAMBLE_LINES = 8 };

enum column { SKIP, OP, PTR, OLD, SIZE, COUNT, ALIGN, THREAD, TIME, TIME_US, TIME_MS, TIME_S, PID };

static const struct {
	const char *word;
	enum column column;
} column_words[] = {
	{ "op", OP },
	{ "call", OP },
	{ "event", OP },
	{ "function", OP },
	{ "ptr", PTR },
	{ "address", PTR },
	{ "addr", PTR },
	{ "result", PTR },
	{ "pointer", PTR },
	{ "old", OLD },
	{ "old_ptr", OLD },
	{ "size", SIZE },
	{ "bytes", SIZE },
	{ "count", COUNT },
	{ "align", ALIGN },
	{ "alignment", ALIGN },
	{ "thread", THREAD },
	{ "tid", THREAD },
	{ "time", TIME },
	{ "time_ns", TIME },
	{ "ns", TIME },
	{ "time_us", TIME_US },
	{ "time_ms", TIME_MS },
	{ "time_s", TIME_S },
	{ "pid", PID },
	{ "probe", OP },
	{ "_c4", OP },
	{ "addr_int", PTR },
	{ "edata_ptr_int", PTR },
	{ "size_int", SIZE },
	{ "shard_ind_int", THREAD },
	{ "thread_id", THREAD },
	{ "nsecs_int", TIME },
	{ "process_id", PID },
};

enum op { MALLOC, CALLOC, REALLOC, FREE };

static const struct {
	const char *word;
	enum op op;
} op_words[] = {
	{ "malloc", MALLOC },
	{ "alloc", MALLOC },
	{ "new", MALLOC },
	{ "calloc", CALLOC },
	{ "realloc", REALLOC },
	{ "free", FREE },
	{ "delete", FREE },
	{ "memalign", MALLOC },
	{ "aligned_alloc", MALLOC },
	{ "valloc", MALLOC },
	{ "posix_memalign", MALLOC },
	{ "a", MALLOC },
	{ "r", REALLOC },
	{ "f", FREE },
	{ "dealloc", FREE },
	{ "hpa_alloc", MALLOC }, /* jemalloc's */
	{ "sec_alloc", MALLOC },
	{ "hpa_dalloc", FREE },
	{ "sec_dalloc", FREE },
};

struct csv_opts {
	const char *columns;
	uint64_t pid;
};

static const struct rh_opt csv_options[] = {
	{ "columns", 0, RH_OPT_TEXT, offsetof(struct csv_opts, columns), .arg = "NAME,NAME...",
	  .help = "names of the columns; the first line has them unless given" },
	{ "pid", 0, RH_OPT_UINT, offsetof(struct csv_opts, pid), "0", .arg = "N",
	  .help = "import this process; 0 = the first one seen" },
	{ .name = NULL }
};

struct table {
	enum column column[COLUMNS_MAX];
	unsigned count;
	char separator;
	unsigned columns;      /* those there are, as bits */
	bool has_short_deaths; /* a free may end behind its pointer */
};

struct row {
	enum op op;
	bool foreign; /* other text stands before or behind it */
	uint64_t value[PID + 1];
};

struct log {
	struct rh_build *build;
	struct rh_pids pids;
	struct table table;
	struct rh_log_clock clock;
};

static char separator_of(const char *line)
{
	unsigned commas = 0, semicolons = 0, tabs = 0;

	for (; *line; line++) {
		commas += *line == ',';
		semicolons += *line == ';';
		tabs += *line == '\t';
	}
	if (tabs > commas && tabs > semicolons)
		return '\t';
	return semicolons > commas ? ';' : ',';
}

/* The next field without blanks and quotes around it; *at goes behind its separator, to NULL
 * after the last. */
static size_t next_field(const char **at, char separator, const char **field)
{
	const char *p = *at, *end;
	size_t length;

	while (*p == ' ' || (*p == '\t' && separator != '\t'))
		p++;
	for (end = p; *end && *end != separator; end++)
		;
	length = (size_t)(end - p);
	*at = *end ? end + 1 : NULL;
	while (length && (p[length - 1] == ' ' || p[length - 1] == '\r'))
		length--;
	if (length >= 2 && p[0] == '"' && p[length - 1] == '"') {
		p++;
		length -= 2;
	}
	*field = p;
	return length;
}

static enum column column_of(const char *word, size_t length)
{
	for (size_t i = 0; i < sizeof(column_words) / sizeof(*column_words); i++)
		if (strlen(column_words[i].word) == length &&
		    strncasecmp(word, column_words[i].word, length) == 0)
			return column_words[i].column;
	return SKIP;
}

/* Whether it has what a call needs: an operation and a block. */
static bool read_columns(struct table *table, const char *names, char separator)
{
	const char *field;
	unsigned seen = 0;

	table->count = 0;
	table->has_short_deaths = false;
	table->separator = separator;
	while (names && table->count < COLUMNS_MAX) {
		size_t length = next_field(&names, separator, &field);
		enum column column = column_of(field, length);

		table->column[table->count++] = column;
		table->has_short_deaths |= length == 13 && strncmp(field, "edata_ptr_int", 13) == 0;
		seen |= 1u << column;
	}
	table->columns = seen;
	return !names && seen >> OP & 1 && seen >> PTR & 1;
}

static bool scan_op(const char *word, size_t length, enum op *op)
{
	for (size_t i = 0; i < sizeof(op_words) / sizeof(*op_words); i++)
		if ((*word | ' ') == *op_words[i].word && strlen(op_words[i].word) == length &&
		    strncasecmp(word, op_words[i].word, length) == 0) {
			*op = op_words[i].op;
			return true;
		}
	return false;
}

/* An empty field, "-" and "(nil)" are 0. */
static bool scan_value(const char *at, size_t length, uint64_t *value)
{
	const char *end = at + length;

	*value = 0;
	if (scan_address(&at, value) || scan_decimal(&at, value))
		return at == end;
	return length == 0 || (length == 1 && *at == '-') || scan_text(&at, "(nil)");
}

static const char *scan_field(const char *field, size_t length, enum column column, struct row *row)
{
	if (column == OP)
		return scan_op(field, length, &row->op)
			       ? NULL
			       : "the op is none of malloc, calloc, realloc, memalign, free";
	return column == SKIP || scan_value(field, length, &row->value[column])
		       ? NULL
		       : "a field is not a number";
}

/* A field that is a number and nothing else, as nearly all are: *at as next_field leaves it. */
static inline bool take_number(const char **at, char separator, uint64_t *value)
{
	const char *p = *at;

	if ((!scan_address(&p, value) && !scan_decimal(&p, value)) || (*p && *p != separator))
		return false;
	*at = *p ? p + 1 : NULL;
	return true;
}

/* The last word of the first field of a row, the first word of the last one: *length becomes
 * shorter. false: there is only one. */
static bool cut_foreign(const char **field, size_t *length, bool is_first)
{
	const char *blank = is_first ? memrchr(*field, ' ', *length) : memchr(*field, ' ', *length);

	if (!blank)
		return false;
	if (is_first)
		*length -= (size_t)(blank + 1 - *field);
	else
		*length = (size_t)(blank - *field);
	*field = is_first ? blank + 1 : *field;
	return true;
}

/* jemalloc's sec_dalloc has no size and ends behind the pointer. */
static bool is_short_death(const struct table *table, unsigned fields, const struct row *row)
{
	return row->op == FREE && row->value[PTR] && table->column[fields - 1] == PTR &&
	       table->has_short_deaths;
}

/* NULL, or what is wrong with a line. */
static const char *scan_row(const struct table *table, const char *at, struct row *row)
{
	const char *field;
	unsigned i;

	*row = (struct row){ .op = MALLOC };
	for (i = 0; i < table->count && at; i++) {
		bool is_edge = i == 0 || i + 1 == table->count;
		const char *why;
		size_t length;

		if (table->column[i] > OP &&
		    take_number(&at, table->separator, &row->value[table->column[i]]))
			continue;
		length = next_field(&at, table->separator, &field);
		why = scan_field(field, length, table->column[i], row);
		if (why && is_edge && cut_foreign(&field, &length, i == 0)) {
			why = scan_field(field, length, table->column[i], row);
			row->foreign = !why;
		}
		if (why)
			return why;
	}
	if (!at && i < table->count && is_short_death(table, i, row))
		return NULL;
	return i == table->count && !at ? NULL : "it has not as many fields as there are columns";
}

/* The line is read in put, which knows the columns. */
static const char *scan_record(const char **at, void *record)
{
	memcpy(record, at, sizeof(*at));
	*at += strlen(*at);
	return NULL;
}

static bool has_column(const struct table *table, enum column column)
{
	return table->columns >> column & 1;
}

static uint64_t time_of(const struct table *table, const struct row *row)
{
	static const struct {
		enum column column;
		uint64_t ns;
	} units[] = {
		{ TIME, 1 }, { TIME_US, 1000 }, { TIME_MS, 1000000 }, { TIME_S, 1000000000 }
	};

	for (size_t u = 0; u < sizeof(units) / sizeof(*units); u++)
		if (has_column(table, units[u].column) &&
		    row->value[units[u].column] < (1ull << 62) / units[u].ns)
			return row->value[units[u].column] * units[u].ns;
	return RH_NONE;
}

static void stamp(struct log *log, uint64_t time)
{
	if (time == RH_NONE)
		return;
	rh_build_stamp(log->build, rh_log_clock_at(&log->clock, time), RH_TASK_NONE, RH_SITE_NONE);
}

static int put_row(struct log *log, const struct row *row, const char **why, struct rh_err *err)
{
	struct rh_build *build = log->build;
	uint64_t thread = row->value[THREAD], size = row->value[SIZE], ptr = row->value[PTR];

	if (row->op == CALLOC && has_column(&log->table, COUNT) && row->value[COUNT] &&
	    !scan_product(row->value[COUNT], row->value[SIZE], &size)) {
		rh_build_count(build, "drop.failed", 1);
		return 0;
	}
	if (!scan_size_fits(ptr, row->op == FREE ? 0 : size, why))
		return RH_LINE_TORN;
	if (row->foreign)
		rh_build_count(build, "repair.foreign_text", 1);
	stamp(log, time_of(&log->table, row));
	if (row->op == FREE)
		return rh_build_free(build, thread, ptr ? ptr : row->value[OLD], RH_NONE, err);
	if (row->op == REALLOC && has_column(&log->table, OLD))
		return rh_build_realloc(build, thread, row->value[OLD],
					RH_BLOCK(.address = ptr, .size = size), err);
	return rh_build_alloc(build, thread,
			      RH_BLOCK(.address = ptr, .size = size,
				       .align_log2 = scan_align_log2(row->value[ALIGN]),
				       .flags = row->op == CALLOC ? RH_EVF_ZEROED : 0),
			      err);
}

static int put_record(void *ctx, const void *record, const char **why, struct rh_err *err)
{
	struct log *log = ctx;
	const char *line;
	struct row row;

	memcpy(&line, record, sizeof(line));
	if (log->table.count == 0) {
		/* "Attaching 9 probes..." */
		if (!strpbrk(line, ",;\t")) {
			rh_build_count(log->build, "drop.other_line", 1);
			return 0;
		}
		if (!read_columns(&log->table, line, separator_of(line))) {
			log->table.count = 0;
			*why = "the first must name the columns, op and ptr among them; or say "
			       "columns=op,ptr,size";
			return RH_LINE_TORN;
		}
		rh_build_count(log->build, "drop.header_line", 1);
		return 0;
	}
	*why = scan_row(&log->table, line, &row);
	if (*why)
		return RH_LINE_TORN;
	if (has_column(&log->table, PID) && !rh_pids_wants(&log->pids, log->build, row.value[PID]))
		return 0;
	return put_row(log, &row, why, err);
}

static const char *const marks[] = { "alloc", "free", "0x", NULL };

static const struct rh_line_form form = {
	.what = "a line of a table",
	.marks = marks,
	.record_bytes = sizeof(const char *),
	.scan = scan_record,
	.put = put_record,
};

static unsigned likeness(const char *bytes, size_t count)
{
	struct table table;
	char line[LINE_HEAD];
	const char *stop = bytes + count, *end;

	for (int i = 0; i < PREAMBLE_LINES; i++) {
		size_t length;

		end = memchr(bytes, '\n', (size_t)(stop - bytes));
		length = end ? (size_t)(end - bytes) : 0;
		if (!end || length >= sizeof(line))
			return 0;
		memcpy(line, bytes, length);
		line[length] = '\0';
		if (strpbrk(line, ",;\t"))
			return read_columns(&table, line, separator_of(line)) ? 95 : 0;
		bytes = end + 1;
	}
	return 0;
}

/* columns= is separated by commas; the lines by what their first has most of. */
static int choose_columns(struct log *log, struct rh_input *input, const char *names,
			  struct rh_err *err)
{
	char line[LINE_HEAD] = "";
	const char *bytes;
	ssize_t have = rh_input_peek(input, &bytes, err);
	size_t length;

	if (have < 0)
		return -1;
	if (!read_columns(&log->table, names, ','))
		return rh_fail(err, RH_USAGE,
			       "columns=%.100s: op and ptr must be among the names (others: old, "
			       "size, count, align, thread, time, pid)",
			       names);
	length = (size_t)have < sizeof(line) - 1 ? (size_t)have : sizeof(line) - 1;
	memcpy(line, bytes, length);
	line[strcspn(line, "\n")] = '\0';
	log->table.separator = separator_of(line);
	return 0;
}

static int import_csv(struct rh_input *input, const void *options, struct rh_build *build,
		      struct rh_trace_out *out, struct rh_err *err)
{
	const struct csv_opts *opts = options;
	struct log log = { .build = build, .pids.wanted = opts->pid, .clock = RH_LOG_CLOCK };

	rh_build_stamp(build, RH_NONE, RH_TASK_NONE, RH_SITE_NONE);
	if (opts->columns && choose_columns(&log, input, opts->columns, err) < 0)
		return -1;
	if (rh_lines_read(&(struct rh_lines){ &form, input, build, out, &log }, err) < 0 ||
	    rh_pids_check(&log.pids, input, err) < 0)
		return -1;
	return rh_log_clock_finish(&log.clock, "ns", build, out, err);
}

const struct rh_importer rh_import_csv = {
	.name = "csv",
	.summary = "calls as a table with named columns, as bpftrace or a script writes it",
	.looks_like = "time,thread,op,old,size,ptr",
	.opts = csv_options,
	.opts_bytes = sizeof(struct csv_opts),
	.columns = RH_COL_TIME,
	.likeness = likeness,
	.run = import_csv,
};
