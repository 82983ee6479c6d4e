/*
 * emit.c - one process image of a capture becomes one trace.
 *
 * The merged calls go to the builder (build.h), which makes lanes and objects of them.
 * What is decided here:
 *
 * Threads. START begins a lane. A lane ends behind the last record of its thread: when
 * another thread's START follows on the ring, or when the capture ends and the thread
 * had said EXIT. Its task exits there too: destructors of thread-local data run between
 * EXIT and that point. SPAWN numbers the task; SPAWNED and START tie the pthread_t to
 * it, which is what a join names.
 *
 * Realloc. Somewhere between its two ends the old block dies and the new one is born.
 * The event is placed at the end, unless another thread is handed the old block before
 * that: then it must have died already, so the event is placed right there. Its new
 * block was free by then too, for the real realloc took it before it gave up the old.
 *
 * Speed. With millions of living objects every address is a cache miss, so calls are fetched
 * 16 ahead and their look-up is begun then.
 *
 * Time. Ticks since the first kept stamp, in ns.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include "traces/build.h"
#include "traces/map.h"
#include "traces/record/emit.h"
#include "traces/record/merge.h"

enum { AHEAD = 16 };

enum re_state { RE_NONE, RE_OPEN, RE_DONE, RE_SPLIT };

struct lane {
	uint64_t re_old;
	uint32_t task;		/* 0 = the main thread, or spawned where we could not see */
	uint8_t re;		/* enum re_state */
	bool exited;		/* said EXIT */
};

struct emit {
	const struct rh_emit *what;
	struct rh_merge *merge;
	struct rh_trace_out *out;
	struct rh_build *build;
	struct lane *lanes;		/* by stream: who is on that ring now */
	struct rh_map tasks;		/* thread number -> task */
	struct rh_map handles;		/* pthread_t -> task */
	struct rh_map joining;		/* stream -> task it waits for */
	uint64_t start;			/* stamp of time 0 */
	uint64_t calls;
	uint32_t next_task, reallocs_open;
	size_t span;
	struct rh_call ahead[AHEAD];	/* a queue: its addresses are being looked up */
	unsigned first, queued;
};

static uint64_t key_of(const struct rh_call *call)
{
	return call->tid ? call->tid : (1ull << 32) + call->stream;
}

/* Stamps rise, so the span in question only moves on. */
static bool in_span(struct emit *emit, uint64_t stamp)
{
	const struct rh_emit *what = emit->what;

	while (emit->span < what->span_count && stamp >= what->spans[emit->span].to)
		emit->span++;
	return emit->span < what->span_count && stamp >= what->spans[emit->span].from;
}

static void stamp(struct emit *emit, const struct rh_call *call)
{
	uint64_t ticks = call->stamp > emit->start ? call->stamp - emit->start : 0;
	uint64_t ns = emit->what->ns_per_tick == 1.0 ? ticks :
						       (uint64_t)((double)ticks *
								  emit->what->ns_per_tick);

	rh_build_stamp(emit->build, emit->what->opts->time ? ns : RH_NONE, RH_TASK_NONE,
		       call->site);
}

static int no_memory(struct rh_err *err)
{
	return rh_fail(err, RH_OS, "no memory for the threads of the recording");
}

/* ---- threads ---- */

static int put_task(struct emit *emit, const struct rh_call *call, enum rh_kind kind, uint32_t task,
		    uint64_t size, struct rh_err *err)
{
	struct rh_event event = {
		.kind = (uint8_t)kind, .id = task, .old = RH_NONE, .size = size, .arg = RH_NONE,
		.task = RH_TASK_NONE, .time_ns = RH_NONE,
	};

	if (emit->what->opts->time)
		event.time_ns = (uint64_t)((double)(call->stamp > emit->start ?
						    call->stamp - emit->start : 0) *
					   emit->what->ns_per_tick);
	return rh_build_other(emit->build, key_of(call), &event, err);
}

static uint32_t known(const struct rh_map *map, uint64_t key)
{
	uint64_t value = rh_map_get(map, key);

	return value == RH_MAP_NONE ? 0 : (uint32_t)value;
}

static int begin_thread(struct emit *emit, const struct rh_call *call, struct rh_err *err)
{
	struct lane *lane = &emit->lanes[call->stream];
	uint32_t index;

	*lane = (struct lane){ .task = known(&emit->tasks, call->thread) };
	if (lane->task && !rh_map_put(&emit->handles, call->address, lane->task))
		return no_memory(err);
	return rh_build_lane(emit->build, key_of(call), &index, err);
}

static int end_thread(struct emit *emit, const struct rh_call *call, struct rh_err *err)
{
	struct lane *lane = &emit->lanes[call->stream];

	if (lane->re == RE_OPEN)
		emit->reallocs_open--;
	lane->re = RE_NONE;
	if (call->cut && !lane->exited)
		return 0;	/* alive when the recording ended */
	if (lane->task && put_task(emit, call, RH_EV_EXIT, lane->task, 0, err) < 0)
		return -1;
	if (lane->task)
		rh_map_remove(&emit->tasks, call->thread);
	lane->task = 0;
	return rh_build_thread_end(emit->build, key_of(call), err);
}

static int spawn(struct emit *emit, const struct rh_call *call, struct rh_err *err)
{
	uint32_t task = emit->next_task + 1;

	if (put_task(emit, call, RH_EV_SPAWN, task, call->address, err) < 0)
		return -1;
	emit->next_task = task;
	return rh_map_put(&emit->tasks, call->size, task) ? 0 : no_memory(err);
}

static int spawn_failed(struct emit *emit, const struct rh_call *call, struct rh_err *err)
{
	uint32_t task = known(&emit->tasks, call->size);

	if (!task)
		return 0;
	rh_map_remove(&emit->tasks, call->size);
	return put_task(emit, call, RH_EV_EXIT, task, 0, err);
}

static int join(struct emit *emit, const struct rh_call *call, struct rh_err *err)
{
	uint32_t task;

	if (call->kind == RH_REC_JOIN_BEGIN) {
		task = known(&emit->handles, call->address);
		return rh_map_put(&emit->joining, call->stream, task) ? 0 : no_memory(err);
	}
	task = known(&emit->joining, call->stream);
	if (!task) {
		rh_build_count(emit->build, "drop.join_unknown", 1);
		return 0;
	}
	return put_task(emit, call, RH_EV_JOIN, task, 0, err);
}

static int thread_call(struct emit *emit, const struct rh_call *call, struct rh_err *err)
{
	uint32_t task;

	switch (call->kind) {
	case RH_REC_START:
		return begin_thread(emit, call, err);
	case RH_REC_SPAWN:
		return spawn(emit, call, err);
	case RH_REC_SPAWNED:
		task = known(&emit->tasks, call->size);
		return !task || rh_map_put(&emit->handles, call->address, task) ? 0 :
										  no_memory(err);
	case RH_REC_SPAWN_FAILED:
		return spawn_failed(emit, call, err);
	case RH_REC_EXIT:
		emit->lanes[call->stream].exited = true;
		return 0;
	default:
		return join(emit, call, err);
	}
}

/* ---- memory ---- */

static int put_realloc(struct emit *emit, const struct rh_call *end, uint64_t old,
		       struct rh_err *err)
{
	emit->calls++;
	return rh_build_realloc(emit->build, key_of(end), old, end->address, end->size, 0, err);
}

/* What the stream brings next, be it fetched already or not. */
static const struct rh_call *peek(const struct emit *emit, uint32_t stream)
{
	for (unsigned i = 0; i < emit->queued; i++) {
		const struct rh_call *call = &emit->ahead[(emit->first + i) % AHEAD];

		if (call->stream == stream)
			return call;
	}
	return rh_merge_peek(emit->merge, stream);
}

/* `address` is about to be handed out: a realloc under way elsewhere that ends its
 * life there has done so by now. */
static int settle_reallocs(struct emit *emit, const struct rh_call *born, struct rh_err *err)
{
	for (uint32_t i = 0; i < rh_merge_streams(emit->merge); i++) {
		struct lane *lane = &emit->lanes[i];
		const struct rh_call *end;

		if (lane->re != RE_OPEN || lane->re_old != born->address || i == born->stream)
			continue;
		emit->reallocs_open--;
		end = peek(emit, i);
		if (end && end->kind == RH_REC_RE_END) {
			struct rh_call early = *end;

			early.stream = i;
			lane->re = RE_DONE;
			return put_realloc(emit, &early, lane->re_old, err);
		}
		/* Its end is hidden behind calls of a signal handler, or never came. */
		lane->re = RE_SPLIT;
		if (!end)
			return 0;
		emit->calls++;
		return rh_build_free(emit->build, end->tid ? end->tid : (1ull << 32) + i,
				     lane->re_old, RH_NONE, err);
	}
	return 0;
}

static int realloc_end(struct emit *emit, const struct rh_call *call, struct rh_err *err)
{
	struct lane *lane = &emit->lanes[call->stream];
	enum re_state re = lane->re;

	lane->re = RE_NONE;
	if (re == RE_DONE)
		return 0;
	if (re == RE_OPEN) {
		emit->reallocs_open--;
		return put_realloc(emit, call, lane->re_old, err);
	}
	if (!call->address)
		return 0;
	emit->calls++;
	return rh_build_alloc(emit->build, key_of(call), call->address, call->size, 0, 0, err);
}

static int memory_call(struct emit *emit, const struct rh_call *call, struct rh_err *err)
{
	struct lane *lane = &emit->lanes[call->stream];

	stamp(emit, call);
	if (emit->reallocs_open && call->address && call->kind != RH_REC_FREE &&
	    call->kind != RH_REC_RE_BEGIN && settle_reallocs(emit, call, err) < 0)
		return -1;
	switch (call->kind) {
	case RH_REC_ALLOC:
		emit->calls++;
		return rh_build_alloc(emit->build, key_of(call), call->address, call->size,
				      call->align_log2, call->zeroed ? RH_EVF_ZEROED : 0, err);
	case RH_REC_FREE:
		emit->calls++;
		return rh_build_free(emit->build, key_of(call), call->address,
				     call->resident ? call->size : RH_NONE, err);
	case RH_REC_RE_BEGIN:
		emit->reallocs_open += lane->re != RE_OPEN;
		lane->re = RE_OPEN;
		lane->re_old = call->address;
		return 0;
	default:
		return realloc_end(emit, call, err);
	}
}

static int one_call(struct emit *emit, const struct rh_call *call, struct rh_err *err)
{
	uint64_t most = emit->what->opts->keep == RH_KEEP_LAST ? 0 : emit->what->opts->max_events;
	bool memory = call->kind == RH_REC_ALLOC || call->kind == RH_REC_FREE ||
		      call->kind == RH_REC_RE_BEGIN || call->kind == RH_REC_RE_END;
	int result = 0;

	if (memory && !in_span(emit, call->stamp))
		rh_build_count(emit->build, "drop.outside", call->kind != RH_REC_RE_BEGIN);
	else if (memory && most && emit->calls >= most)
		rh_build_count(emit->build, "drop.past_max", call->kind != RH_REC_RE_BEGIN);
	else if (memory)
		result = memory_call(emit, call, err);
	else
		result = (stamp(emit, call), thread_call(emit, call, err));
	if (result == 0 && call->last)
		result = end_thread(emit, call, err);
	return result;
}

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

static int add_notes(struct emit *emit, struct rh_err *err)
{
	const struct rh_emit *what = emit->what;
	const struct rh_image *image = &what->drain->images[what->image];
	static const char *const how[] = { "started", "forked", "executed" };
	char exe[sizeof image->exe], args[sizeof image->args + 1], host[256];
	struct utsname uts;
	struct rh_note notes[] = {
		{ "program", exe }, { "args", args }, { "host", host },
		{ "recorder", what->opts->version }, { "clock", what->clock },
		{ "process", how[image->how % 3] }, { "ended", what->ended },
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
	return 0;
}

static void add_losses(struct emit *emit)
{
	const struct rh_emit *what = emit->what;

	rh_build_count(emit->build, "drop.ring_full", what->dropped);
	rh_build_count(emit->build, "drop.signal_handler", what->nested);
	rh_build_count(emit->build, "drop.no_ring", what->no_ring);
	rh_build_count(emit->build, "drop.not_kept", what->drain->capture.given_up_events);
	rh_build_count(emit->build, "drop.disk_full", what->drain->full.text[0] ?
		       what->drain->discarded : 0);
	rh_build_count(emit->build, "record.waits", what->waits);
	rh_build_count(emit->build, "record.wait_us", what->wait_ns / 1000);
}

/* ---- */

/* The next call into the queue; names pass by it, for their text does not last. */
static int fetch(struct emit *emit, struct rh_err *err)
{
	struct rh_call *call = &emit->ahead[(emit->first + emit->queued) % AHEAD];
	int more;

	while ((more = rh_merge_next(emit->merge, call, err)) > 0 && call->kind == RH_REC_NAME)
		if (rh_trace_add_site(emit->out, call->site, call->name, err) < 0)
			return -1;
	if (more > 0) {
		rh_build_soon(emit->build, call->address);
		emit->queued++;
	}
	return more;
}

static int run(struct emit *emit, struct rh_err *err)
{
	int more = 1;

	for (;;) {
		const struct rh_call *call;

		while (more > 0 && emit->queued < AHEAD)
			more = fetch(emit, err);
		if (more < 0 || emit->queued == 0)
			return more;
		call = &emit->ahead[emit->first];
		emit->first = (emit->first + 1) % AHEAD;
		emit->queued--;
		if (one_call(emit, call, err) < 0)
			return -1;
		if (emit->what->opts->progress && emit->calls % (1 << 18) == 0)
			emit->what->opts->progress("writing the trace: %.1f M events",
						   (double)emit->calls / 1e6);
	}
}

static int open_all(struct emit *emit, const char *path, struct rh_err *err)
{
	const struct rh_record_opts *opts = emit->what->opts;
	struct rh_trace_make make = {
		.path = path, .form = RH_FORM_BINARY, .level = opts->level,
		.columns = (opts->time ? RH_COL_TIME : 0) | (opts->sites ? RH_COL_SITE : 0) |
			   (opts->residency ? RH_COL_ARG : 0),
	};
	uint32_t streams;

	if (rh_merge_open(&emit->merge, &emit->what->drain->capture, emit->what->image, err) < 0)
		return -1;
	streams = rh_merge_streams(emit->merge);
	emit->lanes = calloc(streams ? streams : 1, sizeof *emit->lanes);
	if (!emit->lanes)
		return no_memory(err);
	if (rh_trace_create(&emit->out, &make, err) < 0)
		return -1;
	if (rh_build_open(&emit->build, emit->out, err) < 0)
		return -1;
	rh_build_batches(emit->build);
	return 0;
}

int rh_emit(const struct rh_emit *what, const char *path, struct rh_trace_totals *totals,
	    struct rh_err *err)
{
	const struct rh_image *image = &what->drain->images[what->image];
	struct emit emit = { .what = what };
	int result = -1;

	emit.start = image->stamp;
	if (what->span_count && what->spans[0].from > emit.start)
		emit.start = what->spans[0].from;
	if (open_all(&emit, path, err) == 0 && add_notes(&emit, err) == 0 && run(&emit, err) == 0) {
		add_losses(&emit);
		result = rh_build_finish(emit.build, err);
	}
	rh_build_close(emit.build);
	if (result == 0)
		result = rh_trace_finish(emit.out, totals, err);
	else
		rh_trace_abandon(emit.out);
	rh_map_close(&emit.tasks);
	rh_map_close(&emit.handles);
	rh_map_close(&emit.joining);
	free(emit.lanes);
	rh_merge_close(emit.merge);
	return result;
}
