/*
 * import_support.h - what the tests of importers, generators and cut share: a trace made by one
 * of them, as text without its notes, for comparison with what it must be.
 */
#ifndef RH_IMPORT_SUPPORT_H
#define RH_IMPORT_SUPPORT_H

#include <sys/stat.h>

#include "traces/import/import.h"
#include "traces/test/test_support.h"

/* Outcome of the last ik_import, with the notes of what it wrote. */
static struct {
	int rc;
	struct rh_err err;
	struct rh_trace_totals totals;
	char path[128];
} ik;

static inline void ik_import_as(const char *format, const char *path, enum rh_trace_form form,
				const char *word)
{
	_Alignas(16) unsigned char opts[256] = { 0 };
	char text[256];
	struct rh_opt_store store = { text, sizeof(text) };
	const struct rh_importer *importer;
	struct rh_trace_make make = { .form = form };

	snprintf(ik.path, sizeof(ik.path), "%s", scratch_path("imported.rht"));
	unlink(ik.path);
	make.path = ik.path;
	memset(&ik.err, 0, sizeof(ik.err));
	importer = rh_importer_of(format, &ik.err);
	assert_non_null(importer);
	expect_ok(rh_opt_defaults(importer->opts, opts, &ik.err), &ik.err);
	if (word)
		expect_ok(rh_opt_set_word(&(struct rh_opt_target){ importer->opts, opts, format },
					  word, strlen(word), &store, &ik.err),
			  &ik.err);
	ik.rc = rh_import(&(struct rh_import_job){ .importer = importer,
						   .path = path,
						   .opts = opts,
						   .make = &make,
						   .max_damage = RH_MAX_DAMAGE },
			  &ik.totals, &ik.err);
}

/* Imports bytes; the file is gone into a path that ends in `name`. */
static inline void ik_import(const char *format, const char *name, const void *bytes, size_t count)
{
	const char *path = scratch_path(name);

	store_trace(path, bytes, count);
	ik_import_as(format, path, RH_FORM_BINARY, NULL);
}

static inline void ik_import_text(const char *format, const char *text)
{
	ik_import(format, "input.txt", text, strlen(text));
}

/* The value of a note of what was written as a number; 0 when it is not there. */
static inline uint64_t ik_note(const char *key)
{
	struct rh_trace *trace;
	const char *value;
	uint64_t number = 0;

	expect_ok(rh_trace_open(&trace, ik.path, &ik.err), &ik.err);
	value = rh_trace_note_of(trace, key);
	if (value)
		expect_ok(rh_parse_uint(value, &number, &ik.err), &ik.err);
	rh_trace_close(trace);
	return number;
}

static inline bool ik_has_note(const char *key)
{
	struct rh_trace *trace;
	bool has;

	expect_ok(rh_trace_open(&trace, ik.path, &ik.err), &ik.err);
	has = rh_trace_note_of(trace, key) != NULL;
	rh_trace_close(trace);
	return has;
}

/* Every line of the input must be an event or a drop. */
static inline void ik_adds_up(const char *format)
{
	struct rh_import_account account;
	struct rh_trace_totals totals;
	bool exact;
	struct rh_trace *trace;

	expect_ok(ik.rc, &ik.err);
	expect_ok(rh_trace_open(&trace, ik.path, &ik.err), &ik.err);
	rh_trace_totals(trace, &totals, &exact);
	rh_import_account(rh_importer_of(format, &ik.err), rh_trace_names(trace), &totals,
			  &account);
	rh_trace_close(trace);
	assert_true(account.lines > 0);
	assert_int_equal(account.lines, account.from_lines + account.dropped);
}

/* The lines of a text trace that are events or names of sites; to be freed. */
static inline char *ik_event_lines(const char *path)
{
	size_t bytes;
	char *text = load_trace(path, &bytes), *events = calloc(1, bytes + 1), *to = events;

	assert_non_null(events);
	for (char *line = text, *next; *line; line = next) {
		next = line + strcspn(line, "\n");
		next += *next == '\n';
		if (strncmp(line, "note ", 5) == 0 || strncmp(line, "end", 3) == 0 ||
		    strncmp(line, "reheap-trace", 12) == 0)
			continue;
		memcpy(to, line, (size_t)(next - line));
		to += next - line;
	}
	free(text);
	return events;
}

static inline void ik_expect_lines(const char *path, const char *expected)
{
	char *events = ik_event_lines(path);

	assert_string_equal(events, expected);
	free(events);
}

/* Imports text and compares the events, in text. */
static inline void ik_expect(const char *format, const char *text, const char *expected)
{
	const char *path = scratch_path("input.txt");

	store_trace(path, text, strlen(text));
	ik_import_as(format, path, RH_FORM_TEXT, NULL);
	expect_ok(ik.rc, &ik.err);
	ik_expect_lines(ik.path, expected);
	ik_import_as(format, path, RH_FORM_BINARY, NULL);
	ik_adds_up(format);
}

/* Imports text that must be refused, with `part` in the reason, and leaves nothing. */
static inline void ik_refuse(const char *format, const char *text, const char *part)
{
	struct stat st;

	ik_import_text(format, text);
	assert_int_equal(ik.rc, -1);
	assert_int_equal(ik.err.code, RH_BAD_DATA);
	if (!strstr(ik.err.text, part) || !strstr(ik.err.text, "input.txt"))
		fail_msg("'%s' and the file are not in: %s", part, ik.err.text);
	assert_int_equal(stat(ik.path, &st), -1);
}

/* A file of the shared test data, or NULL (then the test says so and is skipped). */
static inline const char *ik_shared(const char *name)
{
	static char path[4096];
	const char *root = getenv("REHEAP_SHARED");

	snprintf(path, sizeof(path), "%s/data/%s", root ? root : "../shared", name);
	if (access(path, R_OK) == 0)
		return path;
	print_message("# SKIP %s is not there: set REHEAP_SHARED to the folder with data/\n", path);
	return NULL;
}

#endif
