/*
 * sweeps.c - recorded sweeping: when each span is swept, and which one a lane reuses.
 *
 * Where the recorder saw a slot die, its span is swept here; if the background sweeper did it, so
 * are the spans before it that hold no garbage. Garbage is never swept early, because every sweep
 * of garbage is recorded.
 *
 * A lane that sweeps in order to allocate may keep the span although it is empty by then. So a
 * swept span is released only at the lane's next event, which shows whether it was kept.
 *
 * Sweeping a span without garbage leaves no event. The order of the ready spans is therefore not
 * recorded, but the next object shows which one Go used: of the spans that are ready here, the
 * one with the same objects is moved to the front, and fills_moved counts how often that was
 * necessary. Go's lane had filled the span before it; a rest that is free here is used next.
 * Whether any span is ready at all is left to the heap.
 */
#include "harness/fidelity/state.h"

/* The span that the lane has swept is filed with the swept spans, or returned to the page heap. */
void rh_sweeps_settle(struct replay *replay, uint32_t lane)
{
	char *p = replay->lanes[lane].swept;

	replay->lanes[lane].swept = NULL;
	if (p)
		replay->ops->sweep_to(replay->lanes[lane].heap, p, 0);
}

static bool same_span(const struct replay *replay, const char *a, const char *b)
{
	uint32_t kind = replay->ops->class_of(replay->heap, a);
	uint64_t apart = (uint64_t)(a > b ? a - b : b - a);

	return kind == replay->ops->class_of(replay->heap, b) && kind < 2 * replay->class_count &&
	       apart < replay->sizes[kind >> 1].span_bytes;
}

/* A slot was swept. What Go's background sweeper sweeps, ours sweeps now: it goes through the spans
 * in the same order. A lane that sweeps to allocate sweeps at the same point here, and may keep the
 * span, although empty, to allocate from: the lane's next event shows which. */
void rh_sweeps_slot(struct replay *replay, const struct rh_event *event)
{
	struct lane *lane = &replay->lanes[event->lane];
	uint64_t p = rh_map_remove(&replay->dead, event->id);

	if (p == RH_MAP_NONE) {
		rh_fidelity_bury(replay, event->id, event->lane);
		return;
	}
	if (event->task != RH_TASK_NONE &&
	    rh_map_get(&replay->actors, event->task) == ACTOR_FREES) {
		replay->ops->sweep_to(lane->heap, (void *)(uintptr_t)p, 1);
		return;
	}
	if (lane->swept && !same_span(replay, lane->swept, (char *)(uintptr_t)p))
		rh_sweeps_settle(replay, event->lane);
	lane->swept = (char *)(uintptr_t)p;
}

/* ---- which span is used next ---- */

bool rh_sweeps_note(struct replay *replay, uint32_t lane, const void *p)
{
	uint64_t number = replay->lanes[lane].fills;

	replay->lanes[lane].fills = 0;
	return !number || !p || rh_map_put(&replay->span_at, number, (uintptr_t)p);
}

void rh_sweeps_fill(struct replay *replay, uint32_t lane, uint64_t number)
{
	uint64_t p = rh_map_get(&replay->span_at, number);

	replay->lanes[lane].fills = number;
	replay->out->fills++;
	if (p == RH_MAP_NONE || replay->opts->oracle)
		return;
	rh_fidelity_flush(replay, lane);
	replay->out->fills_moved +=
		(uint64_t)replay->ops->prefer(replay->lanes[lane].heap, (void *)(uintptr_t)p);
}
