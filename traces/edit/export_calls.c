/*
 * export_calls.c - traces as the calls of other tools: memory_replay text (android), malloc lab
 * files (malloclab) and tables (csv). The importers of the same names read them back.
 *
 * Objects have no addresses in a trace: android and csv get the object's number times 16, plus
 * 4096, so no two that live at once are equal. A malloc lab file has ids, one lane, and the
 * counts at its top, so the trace is spooled: lines go to a file without a name, then the
 * header and the lines to the output.
 *
 * Events that these formats cannot express (tasks, stacks, collections) are left out, as
 * `loses` of the exporter says; a resize keeps its object's id in malloclab.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "alloc/base/os.h"
#include "traces/edit/export.h"
#include "traces/format/huge_alloc.h"
#include "traces/format/map.h"

enum { ADDRESS_FIRST = 4096, ADDRESS_STEP = 16 };

struct calls {
	FILE *to;
	unsigned columns;
	/* malloclab: name of a living object, names and lines so far */
	struct rh_map names;
	uint64_t name_count, ops, live, live_peak;
	struct rh_map sizes;
};

static uint64_t address(uint64_t id)
{
	return ADDRESS_FIRST + id * ADDRESS_STEP;
}

static bool has_time(const struct calls *calls, const struct rh_event *event)
{
	return calls->columns & RH_COL_TIME && event->time_ns != RH_NONE;
}

/* ---- android ---- */

static int put_android(struct calls *calls, const struct rh_event *event)
{
	uint64_t lane = event->lane + 1u, at = address(event->id);
	FILE *to = calls->to;

	switch (event->kind) {
	case RH_EV_ALLOC:
		if (event->align_log2)
			fprintf(to, "%" PRIu64 ": memalign 0x%" PRIx64 " %llu %" PRIu64, lane, at,
				1ull << event->align_log2, event->size);
		else if (event->flags & RH_EVF_ZEROED)
			fprintf(to, "%" PRIu64 ": calloc 0x%" PRIx64 " 1 %" PRIu64, lane, at,
				event->size);
		else if (event->flags & RH_EVF_REALLOC)
			fprintf(to, "%" PRIu64 ": realloc 0x%" PRIx64 " 0x0 %" PRIu64, lane, at,
				event->size);
		else
			fprintf(to, "%" PRIu64 ": malloc 0x%" PRIx64 " %" PRIu64, lane, at,
				event->size);
		break;
	case RH_EV_FREE:
		fprintf(to, "%" PRIu64 ": free 0x%" PRIx64, lane, at);
		break;
	case RH_EV_RESIZE:
		fprintf(to, "%" PRIu64 ": realloc 0x%" PRIx64 " 0x%" PRIx64 " %" PRIu64, lane, at,
			address(event->old), event->size);
		break;
	case RH_EV_LANE_STOP:
		fprintf(to, "%" PRIu64 ": thread_done 0x0", lane);
		if (has_time(calls, event))
			fprintf(to, " %" PRIu64, event->time_ns + 1);
		return fputc('\n', to);
	case RH_EV_FREE_NULL:
		fprintf(to, "%" PRIu64 ": free 0x0", lane);
		break;
	default:
		return 0;
	}
	/* A time of 0 means none there. */
	if (has_time(calls, event))
		fprintf(to, " %" PRIu64 " %" PRIu64, event->time_ns + 1, event->time_ns + 1);
	return fputc('\n', to);
}

/* ---- csv ---- */

static int put_csv(struct calls *calls, const struct rh_event *event)
{
	bool of_null = event->kind == RH_EV_FREE_NULL;
	const char *op = event->kind == RH_EV_FREE || of_null ? "free"
			 : event->kind == RH_EV_RESIZE	      ? "realloc"
			 : event->flags & RH_EVF_ZEROED	      ? "calloc"
			 : event->align_log2		      ? "memalign"
			 : event->flags & RH_EVF_REALLOC      ? "realloc"
							      : "malloc";

	if (event->kind != RH_EV_ALLOC && event->kind != RH_EV_FREE &&
	    event->kind != RH_EV_RESIZE && !of_null)
		return 0;
	if (calls->columns & RH_COL_TIME)
		fprintf(calls->to, "%" PRIu64 ",", event->time_ns == RH_NONE ? 0 : event->time_ns);
	fprintf(calls->to, "%u,", event->lane);
	fwrite(op, 1, strlen(op), calls->to);
	fprintf(calls->to, ",0x%" PRIx64 ",%" PRIu64 ",%llu,0x%" PRIx64 "\n",
		event->kind == RH_EV_RESIZE ? address(event->old) : 0,
		event->kind == RH_EV_FREE ? 0 : event->size,
		event->align_log2 ? 1ull << event->align_log2 : 0,
		of_null ? 0 : address(event->id));
	return 0;
}

/* ---- malloclab ---- */

static int put_lab(struct calls *calls, const struct rh_event *event)
{
	bool is_birth = event->kind == RH_EV_ALLOC;
	uint64_t name, dies = event->kind == RH_EV_RESIZE ? event->old : event->id;

	if (event->kind == RH_EV_FREE_NULL) {
		calls->ops++;
		return fprintf(calls->to, "f -1\n");
	}
	if (!is_birth && event->kind != RH_EV_FREE && event->kind != RH_EV_RESIZE)
		return 0;
	calls->ops++;
	name = is_birth ? calls->name_count++ : rh_map_remove(&calls->names, dies);
	if (!is_birth)
		calls->live -= rh_map_remove(&calls->sizes, dies);
	if (event->kind == RH_EV_FREE)
		return fprintf(calls->to, "f %" PRIu64 "\n", name);
	calls->live += event->size;
	if (calls->live > calls->live_peak)
		calls->live_peak = calls->live;
	if (!rh_map_put(&calls->names, event->id, name) ||
	    !rh_map_put(&calls->sizes, event->id, event->size))
		return -1;
	return fprintf(calls->to, "%c %" PRIu64 " %" PRIu64 "\n", is_birth ? 'a' : 'r', name,
		       event->size);
}

/* ---- all of them ---- */

static int put_all(struct calls *calls, struct rh_trace *trace,
		   int (*put)(struct calls *, const struct rh_event *), struct rh_err *err)
{
	struct rh_event batch[RH_TRACE_BATCH];
	int count;

	while ((count = rh_trace_next(trace, batch, RH_TRACE_BATCH, err)) > 0)
		for (int i = 0; i < count; i++)
			if (put(calls, &batch[i]) < 0)
				return ferror(calls->to)
					       ? rh_fail_errno(
							 err, RH_IO,
							 "the exported calls cannot be written")
					       : rh_huge_fail(calls->names.count, err);
	return count;
}

static int export_lines(struct rh_trace *trace, const char *path, const char *head,
			int (*put)(struct calls *, const struct rh_event *), struct rh_err *err)
{
	struct calls calls = { .columns = rh_trace_columns(trace) };
	struct rh_outfile out;
	int result;

	if (rh_outfile_open(&out, path, err) < 0)
		return -1;
	calls.to = rh_export_stream(&out);
	if (!calls.to) {
		rh_outfile_abandon(&out);
		return rh_fail_errno(err, RH_OS, "%s cannot be written", path);
	}
	fwrite(head, 1, strlen(head), calls.to);
	result = put_all(&calls, trace, put, err);
	return rh_export_close(calls.to, &out, result, err);
}

int rh_export_android(struct rh_trace *trace, const char *path, struct rh_err *err)
{
	return export_lines(trace, path, "", put_android, err);
}

int rh_export_csv(struct rh_trace *trace, const char *path, struct rh_err *err)
{
	return export_lines(trace, path,
			    rh_trace_columns(trace) & RH_COL_TIME
				    ? "time,thread,op,old,size,align,ptr\n"
				    : "thread,op,old,size,align,ptr\n",
			    put_csv, err);
}

static int copy_lab(struct calls *calls, const char *path, struct rh_err *err)
{
	char buffer[8192];
	struct rh_outfile out;
	size_t got;
	FILE *to;

	if (rh_outfile_open(&out, path, err) < 0)
		return -1;
	to = rh_export_stream(&out);
	if (!to) {
		rh_outfile_abandon(&out);
		return rh_fail_errno(err, RH_OS, "%s cannot be written", path);
	}
	fprintf(to, "1\n%" PRIu64 "\n%" PRIu64 "\n%" PRIu64 "\n", calls->name_count, calls->ops,
		calls->live_peak);
	rewind(calls->to);
	while ((got = fread(buffer, 1, sizeof(buffer), calls->to)) > 0)
		if (fwrite(buffer, 1, got, to) != got)
			break;
	return rh_export_close(
		to, &out, ferror(to) ? rh_fail_errno(err, RH_IO, "%s cannot be written", path) : 0,
		err);
}

int rh_export_malloclab(struct rh_trace *trace, const char *path, struct rh_err *err)
{
	struct calls calls = { .to = tmpfile() };
	int result = -1;

	if (!calls.to)
		return rh_fail_errno(err, RH_OS, "no temporary file for the calls");
	if (put_all(&calls, trace, put_lab, err) == 0)
		result = copy_lab(&calls, path, err);
	fclose(calls.to);
	rh_map_close(&calls.names);
	rh_map_close(&calls.sizes);
	return result;
}
