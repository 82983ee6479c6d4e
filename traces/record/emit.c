/*
 * emit.c - one process image of a capture becomes one trace: its beginning, turns and end.
 *
 * After the program's end this takes one turn. While it runs there are many (stream.h), each up to
 * a cut (merge.h); notes that are only known at the end are written then.
 *
 * Speed. Calls that need only an address and a size are handled in rows (calls_row.c); all
 * others take 150 ns each.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include "traces/format/sample.h"
#include "alloc/base/grow.h"
#include "traces/record/complete.h"
#include "traces/record/emitter.h"

enum { HOLD_EVERY = 64 }; /* turns, some 0.5 ms */
/* zstd: a trace of 15 to 20 % more bytes than at level 3, and for python a sixth of the CPU time of
 * writing it less. --level has others. */
enum { LEVEL = 1 };

static const char memory_for[] = "the threads of the recording";

/* ---- notes ---- */

static void join_args(const struct rh_image *image, char *text, size_t room)
{
	size_t at = 0;

	for (uint32_t i = 0; i < image->args_bytes && at + 1 < room; i++) {
		unsigned char c = (unsigned char)image->args[i];

		text[at++] = c == '\0' || c == '\n' ? ' ' : (char)c;
	}
	while (at && text[at - 1] == ' ')
		at--;
	text[at] = '\0';
}

/* Cut command lines may end inside a character: notes are UTF-8. */
static void only_ascii(char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < 32 || (unsigned char)*text > 126)
			*text = '?';
}

int rh_emitter_notes(struct rh_emitter *emit, struct rh_err *err)
{
	const struct rh_emit *what = &emit->what;
	const struct rh_image *image = &emit->image;
	static const char *const how[] = { "started", "forked", "executed", "attached to" };
	char exe[sizeof image->exe], args[sizeof image->args + 1], host[256];
	struct utsname uts;
	struct rh_note notes[] = {
		{ "program", exe },
		{ "args", args },
		{ "host", host },
		{ "recorder", what->opts->version },
		{ "process", how[image->how % 4] },
	};

	memcpy(exe, image->exe, sizeof exe);
	join_args(image, args, sizeof args);
	only_ascii(exe);
	only_ascii(args);
	uname(&uts);
	snprintf(host, sizeof host, "%.40s %.80s %.40s", uts.sysname, uts.release, uts.machine);
	for (size_t i = 0; i < sizeof notes / sizeof notes[0]; i++)
		if (rh_trace_add_note(emit->out, notes[i].key, notes[i].value, err) < 0)
			return -1;
	return what->opts->sample_bytes ? rh_trace_add_count(emit->out, RH_SAMPLE_NOTE,
							     what->opts->sample_bytes, err)
					: 0;
}

static void add_losses(struct rh_emitter *emit)
{
	const struct rh_emit *what = &emit->what;

	rh_build_count(emit->build, "drop.ring_full", what->dropped);
	rh_build_count(emit->build, "drop.signal_handler", what->nested);
	rh_build_count(emit->build, "drop.no_ring", what->no_ring);
	rh_build_count(emit->build, "drop.sample_full", what->sample_full);
	rh_build_count(emit->build, "drop.not_kept", what->drain->capture.given_up_events);
	rh_build_count(emit->build, "drop.disk_full",
		       what->drain->full.text[0] ? what->drain->discarded : 0);
	rh_build_count(emit->build, "record.waits", what->waits);
	rh_build_count(emit->build, "record.wait_us", what->wait_ns / 1000);
}

/* Notes that are known only at the end. */
static int add_end(struct rh_emitter *emit, struct rh_err *err)
{
	if (rh_trace_add_note(emit->out, "clock", emit->what.clock, err) < 0)
		return -1;
	if (emit->what.children &&
	    rh_trace_add_note(emit->out, "children", emit->what.children, err) < 0)
		return -1;
	return rh_trace_add_note(emit->out, "ended", emit->what.ended, err);
}

/* For `worth`: what another heap would save the program. */
static int add_figures(struct rh_emitter *emit, struct rh_err *err)
{
	const struct rh_image *image = &emit->what.drain->images[emit->what.image];
	struct rh_used used = { 0 };
	bool known = rh_figures_used(&image->life, &used);
	char serves[sizeof image->serves];
	const struct {
		const char *key;
		uint64_t value;
		bool known;
	} rows[] = {
		{ "cpu_user_ns", used.user_ns, known },
		{ "cpu_kernel_ns", used.kernel_ns, known },
		{ "wall_ns", used.wall_ns, known },
		{ "peak_rss_bytes", image->life.peak_rss, image->life.peak_rss != 0 },
		{ "recorded_calls", image->events, known },
	};

	memcpy(serves, image->serves, sizeof serves);
	only_ascii(serves);
	if (serves[0] && rh_trace_add_note(emit->out, "allocator", serves, err) < 0)
		return -1;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
		if (rows[i].known &&
		    rh_trace_add_count(emit->out, rows[i].key, rows[i].value, err) < 0)
			return -1;
	return 0;
}

/* For a segment that is not the last: we may not look at the drain, and losses are known only by
 * the gaps. */
static void only_so_far(const struct rh_emitter *emit, struct rh_complete_facts *facts)
{
	facts->lost = rh_build_counted(emit->build, "drop.gap");
	facts->anonymous_peak = 0;
}

int rh_emitter_verdict(struct rh_emitter *emit, struct rh_err *err)
{
	const struct rh_emit *what = &emit->what;
	bool last = emit->final || !emit->segments;
	const struct rh_image *image = last ? &what->drain->images[what->image] : &emit->image;
	const struct rh_trace_totals *totals = rh_trace_written(emit->out);
	struct rh_complete_facts facts = {
		.lost = what->dropped + what->no_ring,
		.nested = what->nested,
		.not_kept = last ? what->drain->capture.given_up_events : 0,
		.outside = rh_build_counted(emit->build, "drop.outside"),
		.past_max = rh_build_counted(emit->build, "drop.past_max"),
		.frees = totals->by_kind[RH_EV_FREE] + totals->by_kind[RH_EV_RESIZE],
		.unknown_frees = rh_build_counted(emit->build, "drop.free_unknown") +
				 rh_build_counted(emit->build, "repair.realloc_unknown"),
		.live_bytes_peak = totals->live_bytes_peak,
		.objects = totals->live_objects_peak,
		.anonymous_peak = image->anonymous_peak,
		.mapped_peak = emit->ranges.memory_peak,
		.maps = what->opts->maps_shim != NULL,
		.heaps = image->heaps,
		.foreign = image->foreign,
		.exe = image->exe,
		.full = last ? what->drain->full.text : "",
		.later = last ? what->later : NULL,
		.segment = emit->segments ? rh_segments_number(emit->segments) : 0,
		.recovered = what->recovered,
		.forked = image->how == RH_PROC_FORKED,
		.sample_bytes = what->opts->sample_bytes,
		.sample_full = what->sample_full,
		.before = rh_build_counted(emit->build, "before.freed") +
			  rh_build_counted(emit->build, "before.resized"),
		.partial = what->opts->pid || what->opts->attach_after_ns ||
			   what->opts->duration_ns || what->opts->paused || what->span_count != 1,
	};
	char text[RH_COMPLETE_TEXT], *verdict = last && what->complete ? what->complete : text;

	if (!last)
		only_so_far(emit, &facts);
	rh_complete(&facts, verdict);
	only_ascii(verdict);
	return rh_trace_add_note(emit->out, "complete", verdict, err);
}

/* ---- */

static int add_site(struct rh_emitter *emit, const struct rh_call *call, struct rh_err *err)
{
	return emit->segments ? rh_segments_site(emit->segments, call->site, call->name, err)
			      : rh_trace_add_site(emit->out, call->site, call->name, err);
}

/* Fetches the next call, unless one waits already; names are handled at once, because their text
 * does not last. */
static int fetch(struct rh_emitter *emit, struct rh_err *err)
{
	int more = 1;

	while (!emit->queued && (more = rh_merge_next(emit->merge, &emit->ahead, err)) > 0) {
		const struct rh_call *call = &emit->ahead;

		emit->queued = call->kind != RH_REC_NAME;
		if (!emit->queued && add_site(emit, call, err) < 0)
			return -1;
	}
	return more;
}

static void show(const struct rh_emitter *emit, uint64_t before)
{
	if (emit->final && emit->what.opts->progress && emit->calls >> 18 != before >> 18)
		emit->what.opts->progress("writing the trace: %.1f M events",
					  (double)emit->calls / 1e6);
}

/* All calls that are due; fewer if the emitter is asked to hold, or a call must wait. */
static int emit_due(struct rh_emitter *emit, struct rh_err *err)
{
	bool took;
	int more;

	for (uint64_t turns = 1;; turns++) {
		uint64_t before = emit->calls;

		if (rh_emitter_rows(emit, &took, err) < 0)
			return -1;
		if (!took) {
			more = fetch(emit, err);
			if (more <= 0 || rh_emitter_must_wait(emit, &emit->ahead))
				return more < 0 ? -1 : 0;
			emit->queued = false;
			if (rh_emitter_call(emit, &emit->ahead, err) < 0)
				return -1;
		}
		show(emit, before);
		if (emit->segments && rh_rotate_look(emit, err) < 0)
			return -1;
		if (turns % HOLD_EVERY == 0 && atomic_load(&emit->hold))
			return 0;
	}
}

int rh_emitter_create(struct rh_emitter *emit, const char *path, struct rh_err *err)
{
	const struct rh_record_opts *opts = emit->what.opts;
	struct rh_trace_make make = {
		.path = path,
		.form = RH_FORM_BINARY,
		.level = opts->level ? opts->level : LEVEL,
		.columns = (opts->time ? RH_COL_TIME : 0) | (opts->sites ? RH_COL_SITE : 0) |
			   (opts->residency ? RH_COL_ARG : 0),
	};

	return rh_trace_create(&emit->out, &make, err);
}

static int open_trace(struct rh_emitter *emit, const char *path, struct rh_err *err)
{
	if (rh_emitter_create(emit, path, err) < 0 ||
	    rh_build_open(&emit->build, emit->out, err) < 0)
		return -1;
	rh_build_batches(emit->build);
	if (rh_emit_rotates(emit->what.opts) && rh_rotate_begin(emit, err) < 0)
		return -1;
	return rh_emitter_notes(emit, err);
}

static bool room_for_lanes(struct rh_emitter *emit)
{
	return rh_reserve32_zeroed(&emit->lanes, &emit->lane_room, rh_merge_streams(emit->merge),
				   sizeof *emit->lanes);
}

/* The spans are copied, because the recording continues to change its own. */
static int take_spans(struct rh_emitter *emit, const struct rh_emit *what, struct rh_err *err)
{
	size_t bytes = what->span_count * sizeof *emit->spans;
	struct rh_span *spans = realloc(emit->spans, bytes + 1);

	if (!spans)
		return rh_no_memory(err, memory_for);
	memcpy(spans, what->spans, bytes);
	emit->spans = spans;
	emit->what = *what;
	emit->what.spans = spans;
	return 0;
}

int rh_emit_begin(struct rh_emitter **result, const struct rh_emit *what, const char *path,
		  struct rh_err *err)
{
	struct rh_emitter *emit = calloc(1, sizeof *emit);

	*result = emit;
	if (!emit)
		return rh_no_memory(err, memory_for);
	emit->image = what->drain->images[what->image];
	emit->before.late = emit->image.how == RH_PROC_LATE;
	emit->start = emit->image.stamp;
	if (what->span_count && what->spans[0].from > emit->start)
		emit->start = what->spans[0].from;
	if (take_spans(emit, what, err) < 0 ||
	    rh_merge_begin(&emit->merge, &what->drain->capture, err) < 0)
		return -1;
	return open_trace(emit, path, err);
}

int rh_emit_add(struct rh_emitter *emit, const struct rh_chunk *chunk, struct rh_err *err)
{
	return rh_merge_add(emit->merge, chunk, err);
}

/* The facts for a segment's notes are copied: the drain belongs to the recorder while we write. */
static void look_for_segments(struct rh_emitter *emit)
{
	emit->image = emit->what.drain->images[emit->what.image];
	rh_rotate_name(emit);
}

int rh_emit_turn(struct rh_emitter *emit, const struct rh_emit *what, uint64_t until,
		 struct rh_err *err)
{
	double ns_per_tick = emit->what.ns_per_tick;
	uint32_t image = emit->what.image;

	if (take_spans(emit, what, err) < 0)
		return -1;
	emit->what.image = image;
	emit->what.ns_per_tick = ns_per_tick; /* the first is kept: times must not jump */
	emit->until = until;
	if (emit->segments)
		look_for_segments(emit);
	if (!room_for_lanes(emit))
		return rh_no_memory(err, memory_for);
	return 0;
}

int rh_emit_work(struct rh_emitter *emit, struct rh_err *err)
{
	if (rh_merge_turn(emit->merge, emit->until, emit->final, err) < 0)
		return -1;
	return emit_due(emit, err);
}

void rh_emit_hold(struct rh_emitter *emit)
{
	atomic_store(&emit->hold, 1);
}

int rh_emit_end(struct rh_emitter *emit, const struct rh_emit *what, const char *path,
		struct rh_trace_totals *totals, struct rh_err *err)
{
	char last[RH_SEGMENT_PATH];
	struct rh_trace_out *out;
	int result = -1;

	rh_trace_leave(emit->out); /* of a writer of low priority */
	emit->final = true;
	atomic_store(&emit->hold, 0);
	if (rh_emit_turn(emit, what, UINT64_MAX, err) == 0 && rh_emit_work(emit, err) == 0 &&
	    rh_emitter_end_open(emit, err) == 0) {
		out = emit->out; /* may be another segment by now */
		add_losses(emit);
		result = rh_build_finish(emit->build, err);
		if (result == 0 && !emit->segments) /* those are of the whole */
			result = add_figures(emit, err);
		if (result == 0)
			result = add_end(emit, err);
		if (result == 0)
			result = rh_emitter_verdict(emit, err);
		if (result == 0 && emit->segments) {
			result = rh_rotate_end(emit, last, err);
			path = last;
			if (what->segment_path)
				memcpy(what->segment_path, last, sizeof last);
		}
		if (result == 0)
			result = rh_trace_rename(out, path, err);
	}
	if (result == 0) {
		emit->out = NULL;
		result = rh_trace_finish(out, totals, err);
	}
	rh_emit_close(emit);
	return result;
}

void rh_emit_close(struct rh_emitter *emit)
{
	if (!emit)
		return;
	rh_build_close(emit->build);
	rh_trace_abandon(emit->out);
	rh_ranges_close(&emit->ranges);
	rh_segments_close(emit->segments);
	rh_map_close(&emit->tasks);
	rh_map_close(&emit->handles);
	rh_map_close(&emit->joining);
	rh_map_close(&emit->before.seen);
	free(emit->lanes);
	free(emit->spans);
	rh_merge_close(emit->merge);
	free(emit);
}

int rh_emit(const struct rh_emit *what, const char *path, struct rh_trace_totals *totals,
	    struct rh_err *err)
{
	struct rh_emitter *emit;

	if (rh_emit_begin(&emit, what, path, err) < 0 ||
	    rh_merge_add_all(emit->merge, what->image, err) < 0) {
		rh_emit_close(emit);
		return -1;
	}
	return rh_emit_end(emit, what, path, totals, err);
}
