/*
 * export.c - the table of exporters, and the two forms of a trace itself.
 *
 * A copy first writes the notes known before the first event: with an index that is all of
 * them, so text made from a file has all its notes on top. Notes that appear later (pipes, text
 * with notes at its end) follow when they are known.
 */
#include "traces/edit/export.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "alloc/base/os.h"

#include "alloc/base/grow.h"

struct copy {
	struct rh_trace *trace;
	struct rh_trace_out *out;
	const char **values; /* of notes written, to notice one that changed */
	size_t notes, notes_cap, sites;
};

static int copy_notes(struct copy *copy, struct rh_err *err)
{
	const struct rh_note *note;

	for (size_t i = 0; (note = rh_trace_note(copy->trace, i)); i++) {
		if (!rh_reserve(&copy->values, &copy->notes_cap, i + 1, sizeof(*copy->values)))
			return rh_fail(err, RH_OS, "memory for notes ran out");
		if (i < copy->notes && copy->values[i] == note->value)
			continue;
		copy->values[i] = note->value;
		if (rh_trace_add_note(copy->out, note->key, note->value, err) < 0)
			return -1;
		if (i == copy->notes)
			copy->notes++;
	}
	return 0;
}

static int copy_names(struct copy *copy, struct rh_err *err)
{
	const char *name;
	uint32_t site;

	if (copy_notes(copy, err) < 0)
		return -1;
	for (; (name = rh_trace_site_at(copy->trace, copy->sites, &site)); copy->sites++)
		if (rh_trace_add_site(copy->out, site, name, err) < 0)
			return -1;
	return 0;
}

static int copy_events(struct copy *copy, struct rh_err *err)
{
	struct rh_event batch[RH_TRACE_BATCH];
	int count;

	if (copy_names(copy, err) < 0)
		return -1;
	while ((count = rh_trace_next(copy->trace, batch, RH_TRACE_BATCH, err)) > 0)
		if (rh_trace_put(copy->out, batch, (size_t)count, err) < 0)
			return -1;
	return count < 0 ? -1 : copy_names(copy, err);
}

int rh_trace_copy(struct rh_trace *trace, const struct rh_trace_make *make, struct rh_err *err)
{
	struct copy copy = { .trace = trace };
	int rc;

	if (rh_trace_create(&copy.out, make, err) < 0)
		return -1;
	rc = copy_events(&copy, err);
	if (rc == 0)
		rc = rh_trace_finish(copy.out, NULL, err);
	else
		rh_trace_abandon(copy.out);
	free(copy.values);
	return rc;
}

int rh_export_close(FILE *to, struct rh_outfile *out, int result, struct rh_err *err)
{
	if (fclose(to) != 0 && result == 0)
		result = rh_fail_errno(err, RH_IO, "%s cannot be written", out->path);
	if (result == 0)
		return rh_outfile_commit(out, err);
	rh_outfile_abandon(out);
	return -1;
}

/* A stream on a copy of the output's descriptor, so that closing it leaves that open. */
FILE *rh_export_stream(const struct rh_outfile *out)
{
	int fd = dup(out->fd);
	FILE *to = fd < 0 ? NULL : fdopen(fd, "w");

	if (!to && fd >= 0)
		close(fd);
	return to;
}

static int run_text(struct rh_trace *trace, const char *path, struct rh_err *err)
{
	return rh_trace_copy(trace,
			     &(struct rh_trace_make){
				     .path = path,
				     .form = RH_FORM_TEXT,
				     .columns = rh_trace_columns(trace),
			     },
			     err);
}

static int run_binary(struct rh_trace *trace, const char *path, struct rh_err *err)
{
	return rh_trace_copy(trace,
			     &(struct rh_trace_make){
				     .path = path,
				     .form = RH_FORM_BINARY,
				     .columns = rh_trace_columns(trace),
			     },
			     err);
}

const struct rh_exporter rh_exporters[] = {
	{ .name = "android",
	  .summary = "text of Android's memory_replay",
	  .loses = "C++ new, tasks, stacks, collections, sites; zeroed where aligned",
	  .run = rh_export_android },
	{ .name = "binary",
	  .summary = "the compressed form (.rht), also of a text trace",
	  .is_trace = true,
	  .run = run_binary },
	{ .name = "csv",
	  .summary = "calls as a table with named columns",
	  .loses = "C++ new, tasks, stacks, collections, sites; starts and ends of lanes",
	  .run = rh_export_csv },
	{ .name = "malloc-bench",
	  .summary = "a protocol buffer of ClaytonKnittel/malloc-bench (pack it with gzip)",
	  .loses = "lanes, times, C++ new, tasks, stacks, collections, sites; zeroed where aligned",
	  .run = rh_export_malloc_bench },
	{ .name = "malloclab",
	  .summary = "a malloc lab file (.rep) with the four header numbers",
	  .loses = "lanes, times, alignment, zeroed, realloc(NULL), C++ new, tasks, stacks, "
		   "collections, sites",
	  .run = rh_export_malloclab },
	{ .name = "perfetto",
	  .summary = "JSON trace events for ui.perfetto.dev: live bytes, lanes",
	  .loses = "single objects, sites and sizes: it is a picture, in 1000 windows",
	  .run = rh_export_perfetto },
	{ .name = "text",
	  .summary = "one line per event, readable and importable again",
	  .is_trace = true,
	  .run = run_text },
	{ .name = NULL }
};

const struct rh_exporter *rh_exporter_of(const char *name)
{
	for (const struct rh_exporter *row = rh_exporters; row->name; row++)
		if (strcmp(row->name, name) == 0)
			return row;
	return NULL;
}
