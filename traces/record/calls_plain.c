/*
 * calls_plain.c - turns runs of plain calls (rh_merge_plain) into events: the fast path of calls.c.
 *
 * Everything that a call needs besides address and size is shared by many calls: the lane by a run
 * of one stream, the time by a stamp, the span of the recording by nearly all. The look-ups of all
 * addresses are prefetched before the first is used: with millions of living objects each is a
 * cache miss. A call that the builder does not accept this way goes through calls.c.
 */
#include "traces/record/emitter.h"

enum { NEAR = 8192 }; /* living objects: so many lie in the cache anyway */

/* No thread is inside a realloc, and calls are neither counted nor checked for blocks from before.
 */
bool rh_emitter_may_plain(const struct rh_emitter *emit)
{
	return !emit->before.late && !emit->reallocs_open && !emit->queued &&
	       (!emit->what.opts->max_events || emit->what.opts->keep == RH_KEEP_LAST);
}

static bool in_this_span(const struct rh_emitter *emit, uint64_t stamp)
{
	const struct rh_span *span = &emit->spans[emit->span];

	return emit->span < emit->what.span_count && stamp >= span->from && stamp < span->to;
}

const uint16_t rh_birth_flags[RH_REC_LONG] = {
	[RH_REC_CALLOC] = RH_EVF_ZEROED,
	[RH_REC_RE_BORN] = RH_EVF_REALLOC,
	[RH_REC_NEW] = RH_EVF_NEW,
};

static int call_by_call(struct rh_emitter *emit, const struct rh_plain *plain, struct rh_err *err)
{
	struct rh_call call = {
		.stamp = plain->stamp,
		.address = plain->address,
		.size = plain->size,
		.stream = plain->stream,
		.site = plain->site,
		.kind = rh_rec_is_birth(plain->kind) ? RH_REC_ALLOC : (uint8_t)plain->kind,
		.how = (uint8_t)plain->kind,
		.sized = plain->kind == RH_REC_FREE && plain->size,
		.given = plain->size - 1,
	};
	struct rh_call begin;

	rh_merge_who(emit->merge, plain->stream, &call.thread, &call.tid);
	begin = call;
	begin.kind = RH_REC_RE_BEGIN;
	begin.address = plain->old;
	begin.size = 0;
	if (plain->kind == RH_REC_RE_END && rh_emitter_call(emit, &begin, err) < 0)
		return -1;
	return rh_emitter_call(emit, &call, err);
}

static inline void event_of(struct rh_call_event *to, const struct rh_plain *plain,
			    uint64_t time_ns, uint32_t lane)
{
	static const uint8_t kinds[] = {
		[RH_REC_FREE] = RH_EV_FREE,	[RH_REC_ALLOC] = RH_EV_ALLOC,
		[RH_REC_CALLOC] = RH_EV_ALLOC,	[RH_REC_RE_END] = RH_EV_RESIZE,
		[RH_REC_USABLE] = RH_EV_USABLE, [RH_REC_RE_BORN] = RH_EV_ALLOC,
		[RH_REC_NEW] = RH_EV_ALLOC,
	};

	to->time_ns = time_ns;
	to->id = plain->address;
	to->old = plain->old;
	to->size = plain->size;
	to->site = plain->site;
	to->lane = lane;
	to->flags = rh_birth_flags[plain->kind];
	to->kind = kinds[plain->kind];
	if (plain->kind == RH_REC_FREE && plain->size) {
		to->flags = RH_EVF_SIZED;
		to->size--;
	}
}

/* calls[0] has the time run[0].time_ns and that lane, which all have. */
static void events_of(struct rh_emitter *emit, struct rh_call_event *run,
		      const struct rh_plain *calls, size_t count)
{
	uint64_t stamp = calls[0].stamp, time_ns = run[0].time_ns;
	uint32_t lane = run[0].lane;

	for (size_t i = 0; i < count; i++) {
		if (calls[i].stamp != stamp) {
			stamp = calls[i].stamp;
			time_ns = rh_emitter_time(emit, stamp);
		}
		event_of(&run[i], &calls[i], time_ns, lane);
	}
}

/* Of one stream, all within the span. */
static int take_run(struct rh_emitter *emit, const struct rh_plain *calls, size_t count,
		    struct rh_err *err)
{
	struct rh_call_event run[RH_PLAIN];
	uint64_t before = emit->last_stamp, after;
	uint32_t thread, tid;
	size_t done = 0, took;

	run[0].time_ns = rh_emitter_time(emit, calls[0].stamp);
	rh_merge_who(emit->merge, calls[0].stream, &thread, &tid);
	rh_build_stamp(emit->build, run[0].time_ns, RH_TASK_NONE, calls[0].site);
	if (rh_build_lane(emit->build, rh_emitter_key(tid, calls[0].stream), &run[0].lane, err) < 0)
		return -1;
	events_of(emit, run, calls, count);
	after = emit->last_stamp;
	while (done < count) {
		took = rh_build_plain(emit->build, run + done, count - done, err);
		if (took > count - done)
			return -1;
		emit->calls += took;
		done += took;
		if (done == count)
			break;
		emit->last_stamp = before; /* as at that call */
		if (call_by_call(emit, &calls[done++], err) < 0)
			return -1;
		emit->last_stamp = after;
	}
	return 0;
}

/* The end of the calls of one stream that are within the span. */
static size_t run_ends(const struct rh_emitter *emit, const struct rh_plain *calls, size_t from,
		       size_t count)
{
	size_t to = from + 1;

	if (!in_this_span(emit, calls[from].stamp))
		return from;
	while (to < count && calls[to].stream == calls[from].stream &&
	       (calls[to].stamp == calls[to - 1].stamp || in_this_span(emit, calls[to].stamp)))
		to++;
	return to;
}

int rh_emitter_plain(struct rh_emitter *emit, const struct rh_plain *calls, size_t count,
		     struct rh_err *err)
{
	size_t from = 0, to;

	if (rh_build_living(emit->build) > NEAR)
		for (size_t i = 0; i < count; i++) {
			rh_build_soon(emit->build, calls[i].address);
			if (calls[i].kind == RH_REC_RE_END)
				rh_build_soon(emit->build, calls[i].old);
		}
	for (; from < count; from = to) {
		to = run_ends(emit, calls, from, count);
		if (to == from ? call_by_call(emit, &calls[to++], err) < 0
			       : take_run(emit, calls + from, to - from, err) < 0)
			return -1;
	}
	return 0;
}
