/*
 * import.c - the table of importers, and the way from a foreign file to a trace.
 *
 * To add one: write traces/import/NAME.c with a `const struct rh_importer` (wee_alloc.c is
 * the shortest to start from, scan.h reads words and numbers), declare it and add its row
 * here, in the order of the names. It hands calls to traces/format/repair.h, which makes ids of
 * addresses, repairs and counts; what it leaves out itself it counts with rh_build_count.
 */
#include "traces/import/import.h"

#include "alloc/base/suggest.h"
#include "traces/format/names.h"
#include "traces/import/known.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern const struct rh_importer rh_import_android;
extern const struct rh_importer rh_import_bytehound;
extern const struct rh_importer rh_import_csv;
extern const struct rh_importer rh_import_ctf;
extern const struct rh_importer rh_import_go;
extern const struct rh_importer rh_import_go_allocfree;
extern const struct rh_importer rh_import_heaptrack;
extern const struct rh_importer rh_import_logalloc;
extern const struct rh_importer rh_import_ltrace;
extern const struct rh_importer rh_import_lttng;
extern const struct rh_importer rh_import_malloc_bench;
extern const struct rh_importer rh_import_malloclab;
extern const struct rh_importer rh_import_memray;
extern const struct rh_importer rh_import_mtrace;
extern const struct rh_importer rh_import_perf;
extern const struct rh_importer rh_import_text;
extern const struct rh_importer rh_import_umpire;
extern const struct rh_importer rh_import_valgrind;
extern const struct rh_importer rh_import_wee_alloc;
extern const struct rh_importer rh_import_wl;

const struct rh_importer *const rh_importers[] = {
	&rh_import_android,   &rh_import_bytehound,    &rh_import_csv,
	&rh_import_ctf,	      &rh_import_go,	       &rh_import_go_allocfree,
	&rh_import_heaptrack, &rh_import_logalloc,     &rh_import_ltrace,
	&rh_import_lttng,     &rh_import_malloc_bench, &rh_import_malloclab,
	&rh_import_memray,    &rh_import_mtrace,       &rh_import_perf,
	&rh_import_text,      &rh_import_umpire,       &rh_import_valgrind,
	&rh_import_wee_alloc, &rh_import_wl,	       NULL,
};

const struct rh_importer *rh_importer_of(const char *name, struct rh_err *err)
{
	struct rh_suggestion s = rh_suggestion_for(name, strlen(name));
	char names[500];

	for (int i = 0; rh_importers[i]; i++) {
		if (strcmp(rh_importers[i]->name, name) == 0)
			return rh_importers[i];
		rh_suggest_consider(&s, rh_importers[i]->name);
	}
	rh_suggest_write(&s, names, sizeof(names));
	rh_fail(err, RH_USAGE, "there is no import format '%s'; %s", name, names);
	return NULL;
}

/* Texts that a program other than the recorder went over. */
static int check_text(const struct rh_input *input, const char *bytes, size_t count,
		      struct rh_err *err)
{
	const char *says = rh_known_text(bytes, count);

	return says ? rh_fail(err, RH_BAD_DATA, "%s is %s", rh_input_path(input), says) : 0;
}

static int refuse_known(const struct rh_input *input, const struct rh_known *known,
			struct rh_err *err)
{
	return known ? rh_fail(err, RH_BAD_DATA, "%s is %s: %s", rh_input_path(input), known->what,
			       known->way)
		     : 0;
}

/* A format that was named may be the wrong one: said before its first line is torn. */
static int check_content(const struct rh_importer *importer, struct rh_input *input,
			 struct rh_err *err)
{
	const char *bytes;
	ssize_t count = rh_input_peek(input, &bytes, err);

	if (count < 0 || check_text(input, bytes, (size_t)count, err) < 0)
		return -1;
	if (importer->likeness && importer->likeness(bytes, (size_t)count) > 0)
		return 0;
	return refuse_known(input, rh_known_find(bytes, (size_t)count), err);
}

const struct rh_importer *rh_importer_by_content(struct rh_input *input, struct rh_err *err)
{
	const struct rh_importer *best = NULL;
	unsigned best_score = 0;
	const char *bytes;
	ssize_t count = rh_input_peek(input, &bytes, err);

	if (count < 0)
		return NULL;
	if (count == 0 && rh_input_truncated(input)) {
		rh_fail(err, RH_BAD_DATA, "%s was cut off before the first byte of its file: %s",
			rh_input_path(input), rh_input_truncated(input));
		return NULL;
	}
	if (count == 0) {
		rh_fail(err, RH_BAD_DATA, "%s is an archive of an empty file, or a pipe of nothing",
			rh_input_path(input));
		return NULL;
	}
	if (check_text(input, bytes, (size_t)count, err) < 0)
		return NULL;
	for (int i = 0; rh_importers[i]; i++) {
		unsigned score = 0;

		if (rh_importers[i]->likeness)
			score = rh_importers[i]->likeness(bytes, (size_t)count);
		if (score > best_score) {
			best = rh_importers[i];
			best_score = score;
		}
	}
	if (!best && refuse_known(input, rh_known_find(bytes, (size_t)count), err) == 0)
		rh_fail(err, RH_BAD_DATA,
			"%s: its first lines are of no format that is known here; name the format "
			"(reheap list importers shows a line of each)",
			rh_input_path(input));
	return best;
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

static uint64_t count_of(const struct rh_names *notes, const char *key)
{
	for (size_t i = 0; i < notes->note_count; i++)
		if (strcmp(notes->notes[i]->key, key) == 0)
			return strtoull(notes->notes[i]->value, NULL, 10);
	return 0;
}

void rh_import_account(const struct rh_importer *importer, const struct rh_names *notes,
		       const struct rh_trace_totals *totals, struct rh_import_account *account)
{
	*account = (struct rh_import_account){ 0 };
	account->lines = count_of(notes, "import.lines") + count_of(notes, "import.records");
	account->added = importer->has_lane_starts ? count_of(notes, "repair.lane_start")
						   : totals->by_kind[RH_EV_LANE_START];
	account->added += count_of(notes, "repair.alloc_live");
	account->added += count_of(notes, "import.added");
	account->from_lines = totals->events - account->added;
	for (size_t i = 0; i < notes->note_count; i++)
		if (strncmp(notes->notes[i]->key, "drop.", 5) == 0)
			account->dropped += count_of(notes, notes->notes[i]->key);
}

static bool has_note(const struct rh_names *notes, const char *key)
{
	for (size_t i = 0; i < notes->note_count; i++)
		if (strcmp(notes->notes[i]->key, key) == 0)
			return true;
	return false;
}

/* A wrapping may break off just where a record ends, and then the importer saw nothing of it. */
static int note_cut(struct rh_input *input, const struct rh_names *notes, struct rh_trace_out *out,
		    struct rh_err *err)
{
	const char *why = rh_input_truncated(input);

	if (!why || has_note(notes, "import.truncated"))
		return 0;
	return rh_trace_add_note(out, "import.truncated", why, err);
}

/* A trace in which nothing happens is a log of something else, or one of failures alone: nobody
 * could replay it, and exit 0 would say that all is well. */
static int check_events(const struct rh_importer *importer, struct rh_input *input,
			const struct rh_names *notes, struct rh_trace_out *out, struct rh_err *err)
{
	const struct rh_trace_totals *totals = rh_trace_written(out);
	char dropped[300] = "";

	/* Of one that was cut off, and of a trace of another kind, the importer says what is left.
	 */
	if (totals->events > totals->by_kind[RH_EV_LANE_START] + totals->by_kind[RH_EV_LANE_STOP] ||
	    rh_input_line_number(input) == 0 || has_note(notes, "import.truncated"))
		return 0;
	for (size_t i = 0; i < notes->note_count; i++) {
		const struct rh_note *note = notes->notes[i];
		size_t used = strlen(dropped);

		if (strncmp(note->key, "drop.", 5) == 0 && strcmp(note->value, "0") != 0)
			snprintf(dropped + used, sizeof(dropped) - used, "%s%.20s %.40s",
				 used ? ", " : " (dropped: ", note->value, note->key + 5);
	}
	return rh_fail(
		err, RH_BAD_DATA,
		"%s: nothing in it is an event of a heap%s%s; it is no recording of calls, or "
		"not of the format %s",
		rh_input_path(input), dropped, *dropped ? ")" : "", importer->name);
}

static int import_with(const struct rh_import_job *job, struct rh_input *input,
		       struct rh_names *notes, struct rh_trace_totals *totals, struct rh_err *err)
{
	const struct rh_importer *importer = job->importer;
	struct rh_trace_make with_columns = *job->make;
	struct rh_trace_out *out = NULL;

	if (check_content(importer, input, err) < 0)
		return -1;
	rh_input_set_max_damage(input, job->max_damage);
	with_columns.notes = notes;
	with_columns.columns = importer->columns;
	if (!with_columns.level)
		with_columns.level = importer->level;
	if (importer->columns_of &&
	    importer->columns_of(input, job->opts, &with_columns.columns, err) < 0)
		return -1;
	if (rh_trace_create(&out, &with_columns, err) < 0)
		return -1;
	if (fill(importer, input, job->opts, out, err) < 0 ||
	    add_notes(importer, input, out, err) < 0 || note_cut(input, notes, out, err) < 0 ||
	    check_events(importer, input, notes, out, err) < 0) {
		rh_trace_abandon(out);
		return -1;
	}
	return rh_trace_finish(out, totals, err);
}

static int import_input(const struct rh_import_job *job, struct rh_input *input,
			struct rh_trace_totals *totals, struct rh_err *err)
{
	struct rh_names own = { 0 }, *notes = job->make->notes ? job->make->notes : &own;
	int result = import_with(job, input, notes, totals, err);

	rh_names_close(&own);
	return result;
}

int rh_import(const struct rh_import_job *job, struct rh_trace_totals *totals, struct rh_err *err)
{
	_Alignas(16) unsigned char defaults[RH_IMPORT_OPTS_MAX] = { 0 };
	struct rh_import_job with_opts = *job;
	struct rh_input *input;
	int result;

	assert(job->importer->opts_bytes <= sizeof(defaults));
	if (!job->opts) {
		if (rh_opt_defaults(job->importer->opts, defaults, err) < 0)
			return -1;
		with_opts.opts = defaults;
	}
	if (job->input)
		return import_input(&with_opts, job->input, totals, err);
	if (rh_input_open(&input, job->path, err) < 0)
		return -1;
	result = import_input(&with_opts, input, totals, err);
	rh_input_close(input);
	return result;
}
