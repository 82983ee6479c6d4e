/*
 * export_perfetto.c - a trace as JSON trace events, for ui.perfetto.dev and chrome://tracing.
 *
 *	counters	live bytes, live objects, living tasks: one value a window
 *	a track a lane	one slice a window in which it did something, from its first event there to
 *			its last, with the counts by kind as arguments
 *	collector	a slice for each collection
 *	marks		instants
 *
 * The trace is cut into at most WINDOWS windows of equally many events, because no viewer can show
 * 10^8 slices: the output is O(windows x active lanes), memory O(lanes + live objects). Without
 * recorded times an event counts as one microsecond, and the file says so. Lines are written as
 * they come; the viewer sorts by time.
 *
 * How Perfetto's importer reads it. A counter's track is named by its name and the key, "live
 * bytes value". The thread whose number is that of the process is its main thread, and counters
 * count for it: lane L is thread L + 1, so that this is lane 0. Slices of one thread must be
 * disjoint or nested: if stamps of a lane go back, a slice begins no earlier than the last one
 * ended.
 */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "alloc/base/grow.h"
#include "alloc/base/os.h"
#include "traces/edit/export.h"
#include "traces/format/huge_alloc.h"
#include "traces/format/live.h"

enum { WINDOWS = 1000, WINDOW_EVENTS = 4096, COLLECTOR = 1 << 24 };

enum { DONE_ALLOC, DONE_FREE, DONE_RESIZE, DONE_TASK, DONE_OTHER, DONE_COUNT };
static const char *const done_words[DONE_COUNT] = { "allocs", "frees", "resizes", "task events",
						    "others" };

struct lane {
	uint64_t first_ns, last_ns, done[DONE_COUNT], events;
	uint64_t until_ns; /* end of its last slice */
	bool named;
};

struct job {
	struct rh_trace *trace;
	FILE *to;
	struct rh_live *live; /* payload: size */
	struct lane *lanes;
	size_t lane_count, lane_room;
	uint64_t events, window_events, now_ns;
	uint64_t live_bytes, tasks;
	bool timed, some; /* some: an element has been written */
};

/* ---- JSON ---- */

static void begin(struct job *job)
{
	fputs(job->some ? ",\n" : "\n", job->to);
	job->some = true;
}

/* Names come from the recorded program; what is not UTF-8 has no JSON. */
static void put_string(struct job *job, const char *text)
{
	json_t *string = json_string(text);
	char *dumped = string ? json_dumps(string, JSON_ENCODE_ANY) : NULL;

	fputs(dumped ? dumped : "\"?\"", job->to);
	free(dumped);
	json_decref(string);
}

static void put_time(struct job *job, const char *key, uint64_t ns)
{
	fprintf(job->to, ",\"%s\":%" PRIu64 ".%03u", key, ns / 1000, (unsigned)(ns % 1000));
}

static void put_counter(struct job *job, const char *name, uint64_t value)
{
	begin(job);
	fprintf(job->to, "{\"ph\":\"C\",\"pid\":1,\"name\":\"%s\"", name);
	put_time(job, "ts", job->now_ns);
	fprintf(job->to, ",\"args\":{\"value\":%" PRIu64 "}}", value);
}

static void put_track(struct job *job, uint64_t tid, const char *name)
{
	begin(job);
	fprintf(job->to,
		"{\"ph\":\"M\",\"pid\":1,\"tid\":%" PRIu64 ",\"name\":\"thread_name\","
		"\"args\":{\"name\":\"%s\"}}",
		tid, name);
}

static void put_mark(struct job *job, const struct rh_event *event)
{
	const char *name = rh_trace_site(job->trace, (uint32_t)event->id);

	begin(job);
	fprintf(job->to, "{\"ph\":\"i\",\"s\":\"g\",\"pid\":1,\"tid\":%" PRIu32 ",\"name\":",
		event->lane + 1);
	put_string(job, name ? name : "mark");
	put_time(job, "ts", job->now_ns);
	fputc('}', job->to);
}

static void put_collection(struct job *job, const struct rh_event *event)
{
	begin(job);
	fprintf(job->to, "{\"ph\":\"%c\",\"pid\":1,\"tid\":%d,\"name\":\"collection %" PRIu64 "\"",
		event->kind == RH_EV_GC_BEGIN ? 'B' : 'E', COLLECTOR, event->id);
	put_time(job, "ts", job->now_ns);
	fputc('}', job->to);
}

/* ---- windows ---- */

static void put_slice(struct job *job, size_t number)
{
	struct lane *lane = &job->lanes[number];
	uint64_t from = lane->first_ns > lane->until_ns ? lane->first_ns : lane->until_ns;
	uint64_t to = lane->last_ns > from ? lane->last_ns : from + 1;

	if (!lane->named) {
		char name[40];

		snprintf(name, sizeof(name), "lane %zu", number);
		put_track(job, number + 1, name);
		lane->named = true;
	}
	begin(job);
	fprintf(job->to, "{\"ph\":\"X\",\"pid\":1,\"tid\":%zu,\"name\":\"%" PRIu64 " events\"",
		number + 1, lane->events);
	put_time(job, "ts", from);
	put_time(job, "dur", to - from);
	lane->until_ns = to;
	fputs(",\"args\":{", job->to);
	for (int i = 0, some = 0; i < DONE_COUNT; i++)
		if (lane->done[i])
			fprintf(job->to, "%s\"%s\":%" PRIu64, some++ ? "," : "", done_words[i],
				lane->done[i]);
	fputs("}}", job->to);
}

static void end_window(struct job *job)
{
	put_counter(job, "live bytes", job->live_bytes);
	put_counter(job, "live objects", rh_live_count(job->live));
	if (job->tasks)
		put_counter(job, "living tasks", job->tasks);
	for (size_t i = 0; i < job->lane_count; i++) {
		struct lane *lane = &job->lanes[i];

		if (lane->events == 0)
			continue;
		put_slice(job, i);
		*lane = (struct lane){ .named = lane->named, .until_ns = lane->until_ns };
	}
}

/* ---- events ---- */

static int done_of(uint8_t kind)
{
	switch (kind) {
	case RH_EV_ALLOC:
		return DONE_ALLOC;
	case RH_EV_FREE:
		return DONE_FREE;
	case RH_EV_RESIZE:
		return DONE_RESIZE;
	case RH_EV_SPAWN:
	case RH_EV_EXIT:
	case RH_EV_JOIN:
	case RH_EV_GROW:
	case RH_EV_SHRINK:
	case RH_EV_CALL:
	case RH_EV_RETURN:
		return DONE_TASK;
	default:
		return DONE_OTHER;
	}
}

static int birth(struct job *job, uint64_t size, struct rh_err *err)
{
	uint64_t position;

	if (!rh_live_birth(job->live, &position))
		return rh_huge_fail(rh_live_count(job->live), err);
	size = size == RH_NONE ? 0 : size;
	*(uint64_t *)rh_live_payload(job->live, position) = size;
	job->live_bytes += size;
	return 0;
}

static void death(struct job *job, uint64_t id)
{
	uint64_t position;

	if (!rh_live_find(job->live, id, &position))
		return; /* the reader has refused the trace or will do so */
	job->live_bytes -= *(uint64_t *)rh_live_payload(job->live, position);
	rh_live_death(job->live, position);
}

static int lane_of(struct job *job, const struct rh_event *event, struct lane **lane,
		   struct rh_err *err)
{
	if (event->lane >= job->lane_count) {
		size_t count = (size_t)event->lane + 1;

		if (!rh_reserve_zeroed(&job->lanes, &job->lane_room, count, sizeof(*job->lanes)))
			return rh_no_memory(err, "lanes");
		job->lane_count = count;
	}
	*lane = &job->lanes[event->lane];
	return 0;
}

static int take_object(struct job *job, const struct rh_event *event, struct rh_err *err)
{
	if (event->kind == RH_EV_FREE)
		death(job, event->id);
	if (event->kind == RH_EV_RESIZE)
		death(job, event->old);
	if (event->kind == RH_EV_ALLOC || event->kind == RH_EV_RESIZE)
		return birth(job, event->size, err);
	return 0;
}

static int export_event(struct job *job, const struct rh_event *event, struct rh_err *err)
{
	uint64_t at = job->timed && event->time_ns != RH_NONE ? event->time_ns
		      : job->timed			      ? job->now_ns
							      : job->events * 1000;
	struct lane *lane = NULL;

	if (lane_of(job, event, &lane, err) < 0 || take_object(job, event, err) < 0)
		return -1;
	job->now_ns = at > job->now_ns ? at : job->now_ns;
	if (lane->events == 0)
		lane->first_ns = lane->last_ns = at;
	lane->first_ns = at < lane->first_ns ? at : lane->first_ns;
	lane->last_ns = at > lane->last_ns ? at : lane->last_ns;
	lane->done[done_of(event->kind)]++;
	lane->events++;
	job->tasks += event->kind == RH_EV_SPAWN;
	job->tasks -= event->kind == RH_EV_EXIT && job->tasks;
	if (event->kind == RH_EV_GC_BEGIN || event->kind == RH_EV_GC_END)
		put_collection(job, event);
	if (event->kind == RH_EV_MARK)
		put_mark(job, event);
	if (++job->events % job->window_events == 0)
		end_window(job);
	return 0;
}

static void put_head(struct job *job)
{
	const char *program = rh_trace_note_of(job->trace, "program");

	fputs("{\"displayTimeUnit\":\"ns\",\"otherData\":{\"clock\":", job->to);
	put_string(job, job->timed ? "as recorded"
				   : "one event is one microsecond: the trace has no times");
	fputs("},\"traceEvents\":[", job->to);
	begin(job);
	fputs("{\"ph\":\"M\",\"pid\":1,\"name\":\"process_name\",\"args\":{\"name\":", job->to);
	put_string(job, program ? program : "trace");
	fputs("}}", job->to);
	put_track(job, COLLECTOR, "collector");
}

static int write_all(struct job *job, struct rh_err *err)
{
	struct rh_event batch[RH_TRACE_BATCH];
	int count;

	put_head(job);
	while ((count = rh_trace_next(job->trace, batch, RH_TRACE_BATCH, err)) > 0)
		for (int i = 0; i < count; i++)
			if (export_event(job, &batch[i], err) < 0)
				return -1;
	if (count < 0)
		return -1;
	end_window(job);
	fputs("\n]}\n", job->to);
	return 0;
}

static int run_job(struct job *job, struct rh_err *err)
{
	struct rh_trace_totals totals;
	bool exact;

	rh_trace_totals(job->trace, &totals, &exact);
	job->window_events = exact ? totals.events / WINDOWS + 1 : WINDOW_EVENTS;
	job->timed = rh_trace_columns(job->trace) & RH_COL_TIME;
	job->live = rh_live_open(sizeof(uint64_t));
	if (!job->live)
		return rh_fail(err, RH_OS, "no memory for living objects");
	return write_all(job, err);
}

int rh_export_perfetto(struct rh_trace *trace, const char *path, struct rh_err *err)
{
	struct job job = { .trace = trace };
	struct rh_outfile out;
	int rc;

	if (rh_outfile_open(&out, path, err) < 0)
		return -1;
	job.to = fdopen(dup(out.fd), "w");
	if (!job.to) {
		rh_outfile_abandon(&out);
		return rh_fail(err, RH_OS, "%s: %s", path, rh_errno_text(errno));
	}
	rc = run_job(&job, err);
	if (fclose(job.to) != 0 && rc == 0)
		rc = rh_fail(err, RH_IO, "%s cannot be written: %s", path, rh_errno_text(errno));
	if (rc == 0)
		rc = rh_outfile_commit(&out, err);
	else
		rh_outfile_abandon(&out);
	rh_live_close(job.live);
	free(job.lanes);
	return rc;
}
