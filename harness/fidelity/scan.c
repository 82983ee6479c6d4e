/*
 * scan.c - the first of two readings of the trace: what happened to stacks, in
 * order, for start.c.
 */
#include <stdlib.h>

#include "harness/fidelity/state.h"
#include "alloc/base/grow.h"

static int add(struct steps *steps, const struct rh_event *event, enum step_kind kind,
	       struct rh_err *err)
{
	if (steps->count == steps->cap) {
		size_t cap = steps->cap ? 2 * steps->cap : 4096;
		void *p = cap > STEPS_MAX ? NULL : reallocarray(steps->of, cap, sizeof(*steps->of));

		if (!p)
			return rh_fail(err, RH_BAD_DATA,
				       "too many stacks are made and freed in "
				       "it: cut it (reheap cut)");
		steps->of = p;
		steps->cap = cap;
	}
	steps->of[steps->count++] = (struct step){
		.word = event->kind == RH_EV_REF ? event->arg : 0,
		.lane = event->lane,
		.window = UINT32_MAX,
		.kind = (uint8_t)kind,
	};
	return 0;
}

/* Go's event of a span of stacks comes from the middle of the refill or release, and those that the
 * importer makes besides have no time of their own: the pool may be touched around them. */
static bool within_a_step(const struct replay *replay, const struct rh_event *event)
{
	uint8_t series = event->kind == RH_EV_REF && event->id < sizeof(replay->series)
				 ? replay->series[event->id]
				 : SERIES_OTHER;

	return event->kind == RH_EV_GROW || event->kind == RH_EV_SHRINK ||
	       series == SERIES_STACK_SPAN || series == SERIES_STACK_SPAN_FREE ||
	       ((series == SERIES_SPAN_ALLOC || series == SERIES_SPAN_FREE) &&
		rh_fidelity_manual(event->arg));
}

/* The windows of the steps of a lane, as its events come. */
static int note_window(struct replay *replay, const struct rh_event *event, size_t steps_then,
		       struct rh_err *err)
{
	struct steps *steps = &replay->steps;
	struct lane_window *lane;

	if (within_a_step(replay, event))
		return 0;
	if (!rh_reserve32_zeroed(&steps->windows, &steps->window_cap, event->lane + 1u,
				 sizeof(*steps->windows)))
		return rh_no_memory(err, "the lanes of the trace");
	lane = &steps->windows[event->lane];
	if (lane->freed)
		steps->of[lane->freed - 1].window = (uint32_t)steps_then;
	lane->freed = 0;
	if (steps->count > steps_then && steps->of[steps_then].kind == STEP_ALLOC)
		steps->of[steps_then].window = lane->steps;
	if (steps->count > steps_then && steps->of[steps_then].kind == STEP_FREE)
		lane->freed = (uint32_t)steps->count;
	lane->steps = (uint32_t)steps->count;
	return 0;
}

/*
 * While a cycle marks, Go frees no span of stacks (stack.go: stackfree). With more Ps than CPUs one
 * that starts between the call for a stop and the stop looks as if the world had been started:
 * go.marks is too early then, and what is freed after it shows that.
 */
static int begin_later(struct replay *replay, const struct rh_event *event, struct rh_err *err)
{
	struct steps *steps = &replay->steps;
	struct step begin = steps->of[steps->begun - 1];
	uint64_t after = rh_map_get(&replay->late_marks, begin.word);

	if (!rh_map_put(&replay->late_marks, begin.word, after == RH_MAP_NONE ? 1 : after + 1))
		return rh_fail(err, RH_OS, "memory for the collections of the trace ran out");
	steps->of[steps->begun - 1].kind = STEP_NOTHING;
	if (add(steps, event, STEP_GC_BEGIN, err) < 0)
		return -1;
	steps->of[steps->count - 1].word = begin.word;
	steps->of[steps->count - 1].lane = begin.lane;
	steps->begun = steps->count;
	return 0;
}

static int add_ref(struct replay *replay, const struct rh_event *event, enum step_kind kind,
		   struct rh_err *err)
{
	struct steps *steps = &replay->steps;

	if (add(steps, event, kind, err) < 0)
		return -1;
	if (kind == STEP_GC_BEGIN)
		steps->begun = steps->count;
	return kind == STEP_SPAN_FREE && steps->begun ? begin_later(replay, event, err) : 0;
}

static int scan_ref(struct replay *replay, const struct rh_event *event, struct rh_err *err)
{
	static const struct {
		uint8_t series, kind;
	} kinds[] = {
		{ SERIES_STACK, STEP_EXISTS },
		{ SERIES_STACK_ALLOC, STEP_ALLOC },
		{ SERIES_STACK_FREE, STEP_FREE },
		{ SERIES_STACK_SPAN, STEP_SPAN },
		{ SERIES_STACK_SPAN_FREE, STEP_SPAN_FREE },
		{ SERIES_FLUSHED, STEP_FLUSH },
		{ SERIES_TRIMMED, STEP_GC_END },
		{ SERIES_MARKS, STEP_GC_BEGIN },
	};
	uint8_t series = event->id < sizeof(replay->series) ? replay->series[event->id] : 0;

	if (series == SERIES_SPAN_USED && !rh_layout_used(&replay->layout, event->arg, event->lane))
		return rh_fail(err, RH_OS, "memory for the spans of the trace ran out");
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (kinds[i].series == series)
			return add_ref(replay, event, kinds[i].kind, err);
	return 0;
}

/* Go's background sweeper is the task that frees and never allocates. */
static int note_actor(struct replay *replay, const struct rh_event *event, enum actor did,
		      struct rh_err *err)
{
	uint64_t was;

	if (event->task == RH_TASK_NONE)
		return 0;
	was = rh_map_get(&replay->actors, event->task);
	if (was == RH_MAP_NONE)
		was = 0;
	if (!(was & did) && !rh_map_put(&replay->actors, event->task, was | did))
		return rh_fail(err, RH_OS, "memory for the tasks of the trace ran out");
	return 0;
}

static int scan_event(struct replay *replay, const struct rh_event *event, struct rh_err *err)
{
	switch (event->kind) {
	case RH_EV_LANE_START:
		replay->steps.lanes++;
		return 0;
	case RH_EV_GC_BEGIN:
		return replay->has_marks ? 0 : add(&replay->steps, event, STEP_GC_BEGIN, err);
	case RH_EV_GC_END:
		replay->layout.cycle_seen = true;
		replay->steps.begun = 0;
		return add(&replay->steps, event, STEP_GC_END, err);
	case RH_EV_ALLOC:
		return note_actor(replay, event, ACTOR_ALLOCS, err);
	case RH_EV_FREE:
		return note_actor(replay, event, ACTOR_FREES, err);
	case RH_EV_REF:
		return scan_ref(replay, event, err);
	}
	return 0;
}

int rh_fidelity_scan(struct replay *replay, const char *path, struct rh_err *err)
{
	static struct rh_event batch[AHEAD_BATCH];
	struct rh_trace *trace;
	int got, result = 0;

	if (rh_trace_open(&trace, path, err) < 0)
		return -1;
	while (result == 0 && (got = rh_trace_next(trace, batch, AHEAD_BATCH, err)) > 0)
		for (int i = 0; i < got && result == 0; i++) {
			size_t steps_then = replay->steps.count;

			result = scan_event(replay, &batch[i], err);
			if (result == 0)
				result = note_window(replay, &batch[i], steps_then, err);
		}
	rh_trace_close(trace);
	return result < 0 || got < 0 ? -1 : 0;
}
