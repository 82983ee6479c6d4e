/*
 * sweeps.c - recorded sweeping: which spans are swept when, and which a lane takes up.
 *
 * Where the recorder saw a slot die, its span is swept here; and if the sweeper in the background
 * did it, so are those before it that hold no garbage. Garbage is never swept before its time:
 * all of that is recorded.
 *
 * Who sweeps in order to allocate may keep a span that is empty by then. So what a lane has
 * swept is let go only with its next event, which tells.
 *
 * A span without garbage is swept without a word. In which order spans lie ready is therefore not
 * recorded, but the next object tells which one Go went on with: of those that lie ready here,
 * the one that holds the same objects comes next, and it is counted how often it would not have
 * (fills_moved). Whether any lies ready at all is the heap's own doing.
 */
#include "harness/fidelity/state.h"

/* What the lane has swept goes where swept spans go, or back to the page heap. */
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

/* A slot was swept. What the sweeper in the background sweeps, ours sweeps now: it goes
 * through the spans in the same order. Who allocates sweeps here when it does, and may keep the
 * span, empty as it is, to allocate from: the lane's next event tells. */
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

/* ---- what is taken up ---- */

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
