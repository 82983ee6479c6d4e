/*
 * rotate.c - --rotate: the trace of an image as segments, each a trace by itself (segments.h).
 *
 * Files are STEM.s0001.rht, STEM.s0002.rht, ...: STEM is the output without .rht for the program,
 * with .PID for other processes. An existing segment is whole; while it is written it has a
 * temporary name. With keep_segments only the last so many are kept.
 *
 * A segment ends between two calls, and only when a call comes: a program that is idle for a day
 * has a long segment. By size it also ends when its calls took 16 times that size in the capture (8
 * MiB at least), so that the capture stays bounded however well a trace compresses.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "traces/record/emitter.h"

enum { RAW_FACTOR = 16, RAW_LEAST = 8 << 20, CALL_BYTES = 8 };

/* Earlier images of that process that are large enough to be written while it runs. */
static size_t large_before(const struct rh_drain *drain, const struct rh_image *image)
{
	enum { LARGE = 500 * 1000 };
	size_t count = 0;

	for (size_t i = 0; i < drain->image_count; i++)
		count += drain->images[i].pid == image->pid &&
			 drain->images[i].stamp < image->stamp && drain->images[i].events >= LARGE;
	return count;
}

/* Once, in the recorder's own turn: later we may not look at the drain. */
void rh_rotate_name(struct rh_emitter *emit)
{
	const struct rh_emit *what = &emit->what;
	const struct rh_drain *drain = what->drain;
	const struct rh_image *image = &drain->images[what->image];
	const char *out = what->opts->out;
	size_t bytes = strlen(out), twin = large_before(drain, image);
	bool program = image->pid == what->program &&
		       (!image->over || rh_drain_newest(drain, image->pid, true) == what->image);
	char pid[16] = "", number[32] = "";

	if (emit->stem[0])
		return;
	if (bytes > 4 && strcmp(out + bytes - 4, ".rht") == 0)
		bytes -= 4;
	if (!program)
		snprintf(pid, sizeof pid, ".%d", image->pid);
	if (twin)
		snprintf(number, sizeof number, "-%zu", twin + 1);
	snprintf(emit->stem, sizeof emit->stem, "%.*s%s%s", (int)bytes, out, pid, number);
}

static void path_of(const struct rh_emitter *emit, uint64_t number, char path[RH_SEGMENT_PATH])
{
	snprintf(path, RH_SEGMENT_PATH, "%.4000s.s%04llu.rht", emit->stem,
		 (unsigned long long)number);
}

static void drop_oldest(const struct rh_emitter *emit)
{
	uint64_t keep = emit->what.opts->keep_segments;
	uint64_t number = rh_segments_number(emit->segments);
	char path[RH_SEGMENT_PATH];

	if (!keep || number <= keep)
		return;
	path_of(emit, number - keep, path);
	unlink(path);
}

int rh_rotate_begin(struct rh_emitter *emit, struct rh_err *err)
{
	if (rh_segments_open(&emit->segments, err) < 0)
		return -1;
	rh_segments_skip(emit->segments, emit->what.segments);
	rh_build_redirect(emit->build, rh_segments_put, emit->segments);
	return rh_segments_begin(emit->segments, emit->out, err);
}

/* The capture keeps the calls of a segment (8 bytes each) until it is finished. Calls that are all
 * alike take 100 times less in a trace, so they may not wait until those fill the segment. */
static bool is_long(const struct rh_emitter *emit)
{
	uint64_t raw_most = emit->what.opts->rotate_bytes * RAW_FACTOR;

	if (raw_most < RAW_LEAST)
		raw_most = RAW_LEAST;
	return rh_trace_written(emit->out)->events >= raw_most / CALL_BYTES;
}

static bool is_due(const struct rh_emitter *emit)
{
	const struct rh_record_opts *opts = emit->what.opts;

	return emit->stem[0] &&
	       ((opts->rotate_bytes &&
		 (rh_trace_written_bytes(emit->out) >= opts->rotate_bytes || is_long(emit))) ||
		(opts->rotate_ns && rh_segments_age_ns(emit->segments) >= opts->rotate_ns));
}

/* Ends the current trace and gives it its name. */
static int finish(struct rh_emitter *emit, struct rh_trace_totals *totals, struct rh_err *err)
{
	struct rh_trace_out *out = emit->out;
	char path[RH_SEGMENT_PATH];

	path_of(emit, rh_segments_number(emit->segments), path);
	if (rh_segments_notes(emit->segments, err) < 0 || rh_trace_rename(out, path, err) < 0)
		return -1;
	emit->out = NULL;
	if (rh_trace_finish(out, totals, err) < 0)
		return -1;
	drop_oldest(emit);
	return 0;
}

static int next(struct rh_emitter *emit, struct rh_err *err)
{
	struct rh_trace_totals totals;

	if (rh_emitter_verdict(emit, err) < 0 || rh_build_settle(emit->build, err) < 0 ||
	    rh_trace_add_note(emit->out, "ended", "the next segment", err) < 0 ||
	    finish(emit, &totals, err) < 0)
		return -1;
	emit->done_to = rh_merge_read_to(emit->merge);
	if (rh_emitter_create(emit, emit->what.opts->out, err) < 0)
		return -1;
	rh_build_next(emit->build, emit->out);
	return rh_segments_begin(emit->segments, emit->out, err) < 0 ||
			       rh_emitter_notes(emit, err) < 0
		       ? -1
		       : 0;
}

int rh_rotate_look(struct rh_emitter *emit, struct rh_err *err)
{
	return is_due(emit) ? next(emit, err) : 0;
}

int rh_rotate_end(struct rh_emitter *emit, char path[RH_SEGMENT_PATH], struct rh_err *err)
{
	path_of(emit, rh_segments_number(emit->segments), path);
	if (rh_segments_notes(emit->segments, err) < 0)
		return -1;
	drop_oldest(emit);
	return 0;
}

uint64_t rh_emit_segments(const struct rh_emitter *emit)
{
	return emit->segments ? rh_segments_number(emit->segments) - 1 : 0;
}

bool rh_emit_is_done(const struct rh_emitter *emit, const struct rh_chunk *chunk)
{
	return chunk->offset < emit->done_to;
}
