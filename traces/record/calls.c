/*
 * calls.c - turns the calls of one process image into events.
 *
 * The merged calls go to the builder (traces/format/repair.h), which makes lanes and objects of
 * them. Decided here:
 *
 * Threads. START begins a lane. A lane ends after the last record of its thread: when another
 * thread's START follows on the ring, or when the capture ends and the thread had written EXIT.
 * Its task exits there as well: destructors of thread-local data run between EXIT and that
 * point. While the program runs, the next record is not known yet; then a lane ends at the
 * latest before the successor's START, before its thread's number starts another lane, or
 * before the join of its task. SPAWN numbers the task; SPAWNED and START associate the
 * pthread_t with it, which is what a join names.
 *
 * Realloc. Somewhere between its two ends the old block dies and the new one is born.
 * The event is placed at the end, unless another thread gets the old block before that: then it
 * must have died already, so the event is placed right there. The new block was taken by then
 * as well, because the real realloc takes it before it frees the old one.
 *
 * Time. Ticks since the first kept stamp, in ns. A late call gets the time of the call before it.
 */
#include "traces/record/emitter.h"
#include "alloc/base/grow.h"

static uint64_t key_of(const struct rh_call *call)
{
	return rh_emitter_key(call->tid, call->stream);
}

/* Stamps rise, except for late calls. */
static bool in_span(struct rh_emitter *emit, uint64_t stamp)
{
	const struct rh_emit *what = &emit->what;

	while (emit->span && stamp < what->spans[emit->span - 1].to)
		emit->span--;
	while (emit->span < what->span_count && stamp >= what->spans[emit->span].to)
		emit->span++;
	return emit->span < what->span_count && stamp >= what->spans[emit->span].from;
}

uint64_t rh_emitter_time(struct rh_emitter *emit, uint64_t stamp)
{
	uint64_t ticks;

	if (!emit->what.opts->time)
		return RH_NONE;
	if (emit->last_stamp < stamp)
		emit->last_stamp = stamp;
	ticks = emit->last_stamp > emit->start ? emit->last_stamp - emit->start : 0;
	return emit->what.ns_per_tick == 1.0 ? ticks
					     : (uint64_t)((double)ticks * emit->what.ns_per_tick);
}

static uint64_t time_of(struct rh_emitter *emit, const struct rh_call *call)
{
	return rh_emitter_time(emit, call->stamp);
}

static void stamp(struct rh_emitter *emit, const struct rh_call *call)
{
	rh_build_stamp(emit->build, time_of(emit, call), RH_TASK_NONE, call->site);
}

static const char memory_for[] = "the threads of the recording";

/* ---- threads ---- */

/* The fields of an event other than the time and the thread of its call. */
struct fact {
	enum rh_kind kind;
	uint32_t id;
	uint64_t size;
};

static int put_fact(struct rh_emitter *emit, const struct rh_call *call, struct fact fact,
		    struct rh_err *err)
{
	struct rh_event event = {
		.kind = (uint8_t)fact.kind,
		.id = fact.id,
		.old = RH_NONE,
		.size = fact.size,
		.arg = RH_NONE,
		.task = RH_TASK_NONE,
		.time_ns = time_of(emit, call),
	};

	return rh_build_other(emit->build, key_of(call), &event, err);
}

static uint32_t known(const struct rh_map *map, uint64_t key)
{
	uint64_t value = rh_map_get(map, key);

	return value == RH_MAP_NONE ? 0 : (uint32_t)value;
}

static int end_thread(struct rh_emitter *emit, const struct rh_call *call, struct rh_err *err)
{
	struct rh_lane *lane = &emit->lanes[call->stream];

	if (lane->re == RE_OPEN)
		emit->reallocs_open--;
	lane->re = RE_NONE;
	if (call->cut && !lane->exited)
		return 0; /* alive when the recording ended */
	lane->open = false;
	if (lane->task && put_fact(emit, call, (struct fact){ RH_EV_EXIT, lane->task, 0 }, err) < 0)
		return -1;
	if (lane->task)
		rh_map_remove(&emit->tasks, call->thread);
	lane->task = 0;
	return rh_build_thread_end(emit->build, key_of(call), err);
}

/* As end_thread, for a lane whose last record was emitted before it was known to be the last. */
static int end_late(struct rh_emitter *emit, uint32_t stream, uint64_t stamp, bool cut,
		    struct rh_err *err)
{
	const struct rh_lane *lane = &emit->lanes[stream];
	const struct rh_call last = {
		.stamp = stamp,
		.stream = stream,
		.thread = lane->thread,
		.tid = lane->tid,
		.site = RH_SITE_NONE,
		.cut = cut,
	};

	return end_thread(emit, &last, err);
}

/* A thread number that is used again, or a join of the task, shows that the former thread has
 * ended. */
static int end_former(struct rh_emitter *emit, const struct rh_call *call, uint32_t task,
		      struct rh_err *err)
{
	for (uint32_t i = 0; i < rh_merge_streams(emit->merge); i++) {
		const struct rh_lane *lane = &emit->lanes[i];

		if (lane->open && lane->exited && i != call->stream &&
		    (task ? lane->task == task : call->tid && lane->tid == call->tid) &&
		    end_late(emit, i, call->stamp, false, err) < 0)
			return -1;
	}
	return 0;
}

static int begin_thread(struct rh_emitter *emit, const struct rh_call *call, struct rh_err *err)
{
	struct rh_lane *lane = &emit->lanes[call->stream];
	uint32_t index;

	if (lane->open && end_late(emit, call->stream, call->stamp, false, err) < 0)
		return -1;
	if (!emit->final && end_former(emit, call, 0, err) < 0)
		return -1;
	*lane = (struct rh_lane){ .task = known(&emit->tasks, call->thread),
				  .thread = call->thread,
				  .tid = call->tid,
				  .open = true };
	if (lane->task && !rh_map_put(&emit->handles, call->address, lane->task))
		return rh_no_memory(err, memory_for);
	return rh_build_lane(emit->build, key_of(call), &index, err);
}

static int spawn(struct rh_emitter *emit, const struct rh_call *call, struct rh_err *err)
{
	uint32_t task = emit->next_task + 1;

	if (put_fact(emit, call, (struct fact){ RH_EV_SPAWN, task, call->address }, err) < 0)
		return -1;
	emit->next_task = task;
	return rh_map_put(&emit->tasks, call->size, task) ? 0 : rh_no_memory(err, memory_for);
}

static int spawn_failed(struct rh_emitter *emit, const struct rh_call *call, struct rh_err *err)
{
	uint32_t task = known(&emit->tasks, call->size);

	if (!task)
		return 0;
	rh_map_remove(&emit->tasks, call->size);
	return put_fact(emit, call, (struct fact){ RH_EV_EXIT, task, 0 }, err);
}

static int join(struct rh_emitter *emit, const struct rh_call *call, struct rh_err *err)
{
	uint32_t task;

	if (call->kind == RH_REC_JOIN_BEGIN) {
		task = known(&emit->handles, call->address);
		return rh_map_put(&emit->joining, call->stream, task)
			       ? 0
			       : rh_no_memory(err, memory_for);
	}
	task = known(&emit->joining, call->stream);
	if (!task) {
		rh_build_count(emit->build, "drop.join_unknown", 1);
		return 0;
	}
	if (!emit->final && end_former(emit, call, task, err) < 0)
		return -1;
	return put_fact(emit, call, (struct fact){ RH_EV_JOIN, task, 0 }, err);
}

/* A gap: calls that the recorder could not keep, at the place where they are missing. */
static int put_gap(struct rh_emitter *emit, const struct rh_call *call, struct rh_err *err)
{
	rh_build_count(emit->build, "drop.gap", call->size);
	return put_fact(emit, call, (struct fact){ RH_EV_GAP, (uint32_t)call->size, 0 }, err);
}

/* ---- what the program maps itself ---- */

/* Unmaps whatever lies there; each piece as it was mapped. */
static int unmap(struct rh_emitter *emit, const struct rh_call *call, bool found,
		 struct rh_err *err)
{
	struct rh_range piece;
	int got;

	while ((got = rh_ranges_cut(&emit->ranges, call->address, call->size, &piece)) > 0) {
		found = true;
		emit->cut_file = piece.how == RH_MAP_FILE;
		if (put_fact(emit, call,
			     (struct fact){ RH_EV_UNMAP, piece.how, piece.high - piece.low },
			     err) < 0)
			return -1;
	}
	if (got < 0)
		return rh_no_memory(err, memory_for);
	return found ? 0
		     : put_fact(emit, call,
				(struct fact){ RH_EV_UNMAP, RH_MAP_UNKNOWN, call->size }, err);
}

static int map(struct rh_emitter *emit, const struct rh_call *call, struct rh_err *err)
{
	uint32_t how = call->align_log2;

	if (how == RH_MAP_MREMAP && emit->cut_file)
		how = RH_MAP_FILE;
	if (unmap(emit, call, true, err) < 0)
		return -1;
	if (!rh_ranges_add(&emit->ranges, call->address, call->size, how))
		return rh_no_memory(err, memory_for);
	return put_fact(emit, call, (struct fact){ RH_EV_MAP, how, call->size }, err);
}

static int thread_call(struct rh_emitter *emit, const struct rh_call *call, struct rh_err *err)
{
	uint32_t task;

	switch (call->kind) {
	case RH_REC_START:
		return begin_thread(emit, call, err);
	case RH_REC_SPAWN:
		return spawn(emit, call, err);
	case RH_REC_SPAWNED:
		task = known(&emit->tasks, call->size);
		return !task || rh_map_put(&emit->handles, call->address, task)
			       ? 0
			       : rh_no_memory(err, memory_for);
	case RH_REC_SPAWN_FAILED:
		return spawn_failed(emit, call, err);
	case RH_REC_EXIT:
		emit->lanes[call->stream].exited = true;
		return 0;
	case RH_REC_JOIN_BEGIN:
	case RH_REC_JOIN_END:
		return join(emit, call, err);
	case RH_REC_GAP:
		return put_gap(emit, call, err);
	case RH_REC_MAP:
		return map(emit, call, err);
	case RH_REC_UNMAP:
		return unmap(emit, call, false, err);
	default:
		return 0;
	}
}

/* ---- memory ---- */

static int put_realloc(struct rh_emitter *emit, const struct rh_call *end, uint64_t old,
		       struct rh_err *err)
{
	bool before = rh_before(&emit->before, old) && (end->address || !end->size);

	emit->calls++;
	if (!rh_before_see(&emit->before, end->address) ||
	    (before && !rh_before_see(&emit->before, old)))
		return rh_no_memory(err, memory_for);
	if (!before)
		return rh_build_realloc(emit->build, key_of(end), old,
					RH_BLOCK(.address = end->address, .size = end->size), err);
	rh_build_count(emit->build, "before.resized", 1);
	return end->address
		       ? rh_build_alloc(emit->build, key_of(end),
					RH_BLOCK(.address = end->address, .size = end->size), err)
		       : 0;
}

/* The next call of the stream, whether already fetched or not. */
static const struct rh_call *peek(const struct rh_emitter *emit, uint32_t stream)
{
	if (emit->queued && emit->ahead.stream == stream)
		return &emit->ahead;
	return rh_merge_peek(emit->merge, stream);
}

/* `address` is about to be handed out: a realloc in progress on another thread that frees it must
 * have done so by now. */
static int settle_reallocs(struct rh_emitter *emit, const struct rh_call *born, struct rh_err *err)
{
	for (uint32_t i = 0; i < rh_merge_streams(emit->merge); i++) {
		struct rh_lane *lane = &emit->lanes[i];
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
		/* Its end comes after calls of a signal handler, or never came. */
		lane->re = RE_SPLIT;
		if (!end)
			return 0;
		emit->calls++;
		return rh_build_free(emit->build, end->tid ? end->tid : (1ull << 32) + i,
				     lane->re_old, RH_NONE, err);
	}
	return 0;
}

static int realloc_end(struct rh_emitter *emit, const struct rh_call *call, struct rh_err *err)
{
	struct rh_lane *lane = &emit->lanes[call->stream];
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
	if (!rh_before_see(&emit->before, call->address))
		return rh_no_memory(err, memory_for);
	return rh_build_alloc(emit->build, key_of(call),
			      RH_BLOCK(.address = call->address, .size = call->size), err);
}

static int free_call(struct rh_emitter *emit, const struct rh_call *call, struct rh_err *err)
{
	uint64_t resident = call->resident ? call->size : RH_NONE;

	if (rh_before(&emit->before, call->address)) {
		rh_build_count(emit->build, "before.freed", 1);
		return rh_before_see(&emit->before, call->address) ? 0
								   : rh_no_memory(err, memory_for);
	}
	if (call->sized)
		return rh_build_free_sized(
			emit->build, key_of(call),
			&(struct rh_build_sized){ call->address, call->given, resident }, err);
	return rh_build_free(emit->build, key_of(call), call->address, resident, err);
}

/* Flags of the event of a birth, by the kind of its record. */
static const uint16_t birth_flags[RH_REC_LONG] = {
	[RH_REC_CALLOC] = RH_EVF_ZEROED,
	[RH_REC_RE_BORN] = RH_EVF_REALLOC,
	[RH_REC_NEW] = RH_EVF_NEW,
};

static int memory_call(struct rh_emitter *emit, const struct rh_call *call, struct rh_err *err)
{
	struct rh_lane *lane = &emit->lanes[call->stream];

	stamp(emit, call);
	if (emit->reallocs_open && call->address && call->kind != RH_REC_FREE &&
	    call->kind != RH_REC_RE_BEGIN && call->kind != RH_REC_USABLE &&
	    settle_reallocs(emit, call, err) < 0)
		return -1;
	switch (call->kind) {
	case RH_REC_ALLOC:
		emit->calls++;
		if (!rh_before_see(&emit->before, call->address))
			return rh_no_memory(err, memory_for);
		return rh_build_alloc(emit->build, key_of(call),
				      RH_BLOCK(.address = call->address, .size = call->size,
					       .align_log2 = call->align_log2,
					       .flags = birth_flags[call->how]),
				      err);
	case RH_REC_FREE:
		emit->calls++;
		return call->address
			       ? free_call(emit, call, err)
			       : put_fact(emit, call, (struct fact){ RH_EV_FREE_NULL, 0, 0 }, err);
	case RH_REC_USABLE:
		emit->calls++;
		if (rh_before(&emit->before, call->address)) {
			rh_build_count(emit->build, "before.asked", 1);
			return 0;
		}
		return rh_build_usable(emit->build, key_of(call), call->address, err);
	case RH_REC_RE_BEGIN:
		emit->reallocs_open += lane->re != RE_OPEN;
		lane->re = RE_OPEN;
		lane->re_old = call->address;
		return 0;
	default:
		return realloc_end(emit, call, err);
	}
}

int rh_emitter_call(struct rh_emitter *emit, const struct rh_call *call, struct rh_err *err)
{
	uint64_t most = emit->what.opts->keep == RH_KEEP_LAST ? 0 : emit->what.opts->max_events;
	bool memory = call->kind == RH_REC_ALLOC || call->kind == RH_REC_FREE ||
		      call->kind == RH_REC_RE_BEGIN || call->kind == RH_REC_RE_END ||
		      call->kind == RH_REC_USABLE;
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

bool rh_emitter_must_wait(const struct rh_emitter *emit, const struct rh_call *call)
{
	if (emit->final || !emit->reallocs_open || !call->address ||
	    (call->kind != RH_REC_ALLOC && call->kind != RH_REC_RE_END))
		return false;
	for (uint32_t i = 0; i < rh_merge_streams(emit->merge); i++)
		if (emit->lanes[i].re == RE_OPEN && emit->lanes[i].re_old == call->address &&
		    i != call->stream && !peek(emit, i))
			return true;
	return false;
}

int rh_emitter_end_open(struct rh_emitter *emit, struct rh_err *err)
{
	for (uint32_t i = 0; i < rh_merge_streams(emit->merge); i++)
		if (emit->lanes[i].open && end_late(emit, i, emit->last_stamp, true, err) < 0)
			return -1;
	return 0;
}
