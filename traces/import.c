/*
 * import.c - the table of importers, and the way from a foreign file to a trace.
 *
 * To add one: write traces/import/NAME.c with a `const struct rh_importer` (wee_alloc.c is
 * the shortest to start from, scan.h reads words and numbers), declare it and add its row
 * here, in the order of the names. It hands calls to traces/build.h, which makes ids of
 * addresses, repairs and counts; what it leaves out itself it counts with rh_build_count.
 */
#include "traces/import.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern const struct rh_importer rh_import_android;
extern const struct rh_importer rh_import_go;
extern const struct rh_importer rh_import_go_allocfree;
extern const struct rh_importer rh_import_heaptrack;
extern const struct rh_importer rh_import_logalloc;
extern const struct rh_importer rh_import_malloclab;
extern const struct rh_importer rh_import_mtrace;
extern const struct rh_importer rh_import_text;
extern const struct rh_importer rh_import_valgrind;
extern const struct rh_importer rh_import_wee_alloc;

const struct rh_importer *const rh_importers[] = {
	&rh_import_android,
	&rh_import_go,
	&rh_import_go_allocfree,
	&rh_import_heaptrack,
	&rh_import_logalloc,
	&rh_import_malloclab,
	&rh_import_mtrace,
	&rh_import_text,
	&rh_import_valgrind,
	&rh_import_wee_alloc,
	NULL,
};

const struct rh_importer *rh_importer_of(const char *name, struct rh_err *err)
{
	char all[320] = "";

	for (int i = 0; rh_importers[i]; i++) {
		size_t used = strlen(all);

		if (strcmp(rh_importers[i]->name, name) == 0)
			return rh_importers[i];
		snprintf(all + used, sizeof(all) - used, "%s%s", i ? ", " : "",
			 rh_importers[i]->name);
	}
	rh_fail(err, RH_USAGE, "there is no import format '%s' (there are: %s)", name, all);
	return NULL;
}

/* "FILE:LINE: " before an error that does not name the file yet. */
static int name_place(struct rh_input *input, struct rh_err *err)
{
	const char *path = rh_input_path(input);
	unsigned long long line = rh_input_line_number(input);

	/* Importers quote the line; what is no text must not reach the terminal as it is. */
	for (char *p = err->text; *p; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			*p = '?';
	if (err->code != RH_BAD_DATA || strncmp(err->text, path, strlen(path)) == 0)
		return -1;
	if (line)
		return rh_err_prefix(err, "%s:%llu", path, line);
	return rh_err_prefix(err, "%s", path);
}

static int fill(const struct rh_importer *importer, struct rh_input *input, const void *opts,
		struct rh_trace_out *out, struct rh_err *err)
{
	struct rh_build *build;
	int result = -1;

	if (rh_build_open(&build, out, err) < 0)
		return -1;
	if (importer->run(input, opts, build, out, err) < 0)
		name_place(input, err);
	else
		result = rh_build_finish(build, err);
	rh_build_close(build);
	return result;
}

static int add_notes(const struct rh_importer *importer, struct rh_input *input,
		     struct rh_trace_out *out, struct rh_err *err)
{
	char source[4096 + 64];

	snprintf(source, sizeof(source), "%s %s", importer->name, rh_input_path(input));
	if (rh_trace_add_note(out, "source", source, err) < 0)
		return -1;
	if (rh_input_line_number(input) == 0)
		return 0;
	return rh_trace_add_count(out, "import.lines", rh_input_line_number(input), err);
}

static uint64_t count_of(const struct rh_trace *trace, const char *key)
{
	const char *value = rh_trace_note_of(trace, key);

	return value ? strtoull(value, NULL, 10) : 0;
}

void rh_import_account(const struct rh_importer *importer, const struct rh_trace *trace,
		       struct rh_import_account *account)
{
	struct rh_trace_totals totals;
	const struct rh_note *note;
	bool exact;

	rh_trace_totals(trace, &totals, &exact);
	*account = (struct rh_import_account){ 0 };
	account->lines = count_of(trace, "import.lines") + count_of(trace, "import.records");
	account->added = importer->has_lane_starts ? count_of(trace, "repair.lane_start") :
						     totals.by_kind[RH_EV_LANE_START];
	account->added += count_of(trace, "repair.alloc_live");
	account->added += count_of(trace, "import.added");
	account->from_lines = totals.events - account->added;
	for (size_t i = 0; (note = rh_trace_note(trace, i)); i++)
		if (strncmp(note->key, "drop.", 5) == 0)
			account->dropped += count_of(trace, note->key);
}

int rh_import(const struct rh_importer *importer, const char *path, const void *opts,
	      const struct rh_trace_make *make, struct rh_trace_totals *totals,
	      struct rh_err *err)
{
	struct rh_trace_make with_columns = *make;
	struct rh_trace_out *out = NULL;
	struct rh_input *input;
	int result = -1;

	if (rh_input_open(&input, path, err) < 0)
		return -1;
	with_columns.columns = importer->columns;
	if (importer->columns_of &&
	    importer->columns_of(input, opts, &with_columns.columns, err) < 0)
		goto out_input;
	if (rh_trace_create(&out, &with_columns, err) < 0)
		goto out_input;
	if (fill(importer, input, opts, out, err) < 0 || add_notes(importer, input, out, err) < 0)
		goto out_trace;
	result = rh_trace_finish(out, totals, err);
	out = NULL;
out_trace:
	rh_trace_abandon(out);
out_input:
	rh_input_close(input);
	return result;
}
