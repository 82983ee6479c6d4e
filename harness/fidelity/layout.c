/*
 * layout.c - the heap as it lay when recording began.
 *
 * The spans of a running program are half empty, and the position of the holes decides when the
 * next span is needed. The trace lists each span that existed, followed by its living objects. So
 * we fill every such span: its objects first, then fillers for the slots that were free. Then the
 * fillers die, and one cycle makes their slots usable again.
 *
 * The trace does not say which span is allocated from next, but later events show it: spans of a
 * class are made here in the order in which they were first used again, so the heap returns to
 * them in that order. The first span of a class that a lane used was in its cache, or as good as:
 * the lane takes it before the first event, with a block for the first object of that class. A
 * span that had room but was not used before the first cycle ended was in the cache of a P that
 * did not need it, out of reach of all others: its fillers stay until then.
 */
#include <stdlib.h>
#include <string.h>

#include "harness/fidelity/state.h"
#include "alloc/base/grow.h"

enum { TINY_KIND = 5 };

static const char memory_for[] = "the snapshot of the trace";

bool rh_layout_used(struct layout *layout, uint64_t number, uint32_t lane)
{
	uint64_t rank = ++layout->ranks;

	return rh_map_put(&layout->uses, number,
			  (uint64_t)lane << 33 | rank << 1 | !layout->cycle_seen);
}

static int add_span(struct layout *layout, const struct rh_event *event, struct rh_err *err)
{
	uint64_t number = layout->count + 1, use = rh_map_get(&layout->uses, number);

	if (!rh_reserve(&layout->spans, &layout->cap, layout->count + 1, sizeof(*layout->spans)))
		return rh_no_memory(err, memory_for);
	layout->spans[layout->count++] = (struct laid_span){
		.first = layout->event_count,
		.number = number,
		.kind = event->arg & 1 ? 0 : (uint32_t)(event->arg & 511) >> 1,
		.rank = use == RH_MAP_NONE ? UINT32_MAX : (uint32_t)(use >> 1),
		.lane = (uint32_t)(use >> 33),
		.early = use != RH_MAP_NONE && use & 1,
	};
	return 0;
}

int rh_layout_add(struct replay *replay, const struct rh_event *event, struct rh_err *err)
{
	struct layout *layout = &replay->layout;

	if (event->kind == RH_EV_REF)
		return add_span(layout, event, err);
	if (!rh_reserve(&layout->events, &layout->event_cap, layout->event_count + 1,
			sizeof(*layout->events)))
		return rh_no_memory(err, memory_for);
	layout->events[layout->event_count++] = *event;
	layout->spans[layout->count - 1].count++;
	return 0;
}

static int fill_slot(struct replay *replay, uint32_t kind, bool held, struct rh_err *err)
{
	struct layout *layout = &replay->layout;
	uint64_t size = rh_fidelity_most(replay, kind);
	struct filler *filler;

	if (!rh_reserve(&layout->fillers, &layout->filler_cap, layout->filler_count + 1,
			sizeof(*layout->fillers)))
		return rh_no_memory(err, memory_for);
	filler = &layout->fillers[layout->filler_count++];
	*filler = (struct filler){ rh_fidelity_serve(replay, 0, size, kind & 1), size, held };
	replay->out->failed += !filler->p;
	replay->out->layout++;
	return 0;
}

static int fill_span(struct replay *replay, const struct laid_span *span, struct rh_err *err)
{
	unsigned slots =
		rh_gosize_slots(&replay->sizes[span->kind >> 1], span->kind & 1, &replay->rules);

	for (size_t taken = span->count; taken < slots; taken++)
		if (fill_slot(replay, span->kind, !span->early, err) < 0)
			return -1;
	if (!span->count && slots &&
	    !rh_map_put(&replay->span_at, span->number,
			(uintptr_t)replay->layout.fillers[replay->layout.filler_count - 1].p))
		return rh_no_memory(err, memory_for);
	return 0;
}

static int by_use(const void *a, const void *b)
{
	const struct laid_span *x = a, *y = b;

	if (x->cached != y->cached)
		return x->cached ? -1 : 1;
	if (x->rank != y->rank)
		return x->rank < y->rank ? -1 : 1;
	return x->first < y->first ? -1 : x->first > y->first;
}

/* In order of use; spans that were in lane caches come first. */
static void order_spans(struct replay *replay)
{
	struct layout *layout = &replay->layout;

	qsort(layout->spans, layout->count, sizeof(*layout->spans), by_use);
	for (size_t i = 0; i < layout->count; i++) {
		struct laid_span *span = &layout->spans[i];
		void **taken;

		if (!span->early || span->kind < 2 || span->kind == TINY_KIND ||
		    span->kind >= FIDELITY_KINDS)
			continue;
		taken = &replay->lanes[span->lane].taken[span->kind];
		span->cached = !*taken;
		*taken = layout; /* to be taken, see rh_layout_cache */
	}
	qsort(layout->spans, layout->count, sizeof(*layout->spans), by_use);
}

void rh_layout_cache(struct replay *replay)
{
	struct layout *layout = &replay->layout;

	for (size_t i = 0; i < layout->count && layout->spans[i].cached; i++) {
		const struct laid_span *span = &layout->spans[i];

		replay->lanes[span->lane].taken[span->kind] = rh_fidelity_serve(
			replay, span->lane, rh_fidelity_most(replay, span->kind), span->kind & 1);
	}
}

int rh_layout_make(struct replay *replay, struct rh_err *err)
{
	struct layout *layout = &replay->layout;
	bool made[FIDELITY_KINDS] = { false };

	if (layout->count && !replay->opts->no_layout)
		order_spans(replay);
	for (size_t i = 0; i < layout->count; i++) {
		const struct laid_span *span = &layout->spans[i];

		replay->lanes[0].fills = span->number;
		for (size_t e = 0; e < span->count; e++) {
			struct rh_event event = layout->events[span->first + e];

			event.lane = 0;
			if (replay->opts->alone &&
			    rh_recorder_takes(&replay->recorder, replay->trace, &event))
				continue;
			if (rh_fidelity_bear(replay, &event, err) < 0)
				return -1;
		}
		if (span->kind > 1 && span->kind < 2 * replay->class_count &&
		    !replay->opts->no_layout && fill_span(replay, span, err) < 0)
			return -1;
		made[span->kind < FIDELITY_KINDS ? span->kind : 0] = true;
	}
	/* One more slot of each class fills its last span, which is then filed like the others. */
	for (uint32_t kind = 2; kind < 2 * replay->class_count; kind++)
		if (made[kind] && !replay->opts->no_layout &&
		    fill_slot(replay, kind, false, err) < 0)
			return -1;
	return 0;
}

void rh_layout_release(struct replay *replay, uint32_t lane, bool held)
{
	struct layout *layout = &replay->layout;

	for (size_t i = 0; i < layout->filler_count; i++) {
		struct filler *filler = &layout->fillers[i];

		if (!filler->p || filler->held != held)
			continue;
		replay->ops->free(replay->lanes[lane].heap, filler->p, filler->size);
		filler->p = NULL;
	}
}
