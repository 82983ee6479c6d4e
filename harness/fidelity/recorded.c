/*
 * recorded.c - the state of the recorded runtime at a moment, from the reference series of the
 * trace, and that of the backend, from its figures.
 *
 * The importer `go` writes the series and defines their words (traces/import/go/go.h).
 */
#include <stdio.h>
#include <string.h>

#include "harness/fidelity/state.h"

enum { WORD_KIND_BITS = 9, WORD_MANUAL = 1, TINY_SLOT = 16 };

static const char *const names[SERIES_COUNT] = {
	[SERIES_HEAP_LIVE] = "go.heap_live",
	[SERIES_HEAP_GOAL] = "go.heap_goal",
	[SERIES_SPAN] = "go.span",
	[SERIES_SPAN_ALLOC] = "go.span_alloc",
	[SERIES_SPAN_FREE] = "go.span_free",
	[SERIES_STACK] = "go.stack",
	[SERIES_STACK_ALLOC] = "go.stack_alloc",
	[SERIES_STACK_FREE] = "go.stack_free",
	[SERIES_STACK_SPAN] = "go.stack_span",
	[SERIES_STACK_SPAN_FREE] = "go.stack_span_free",
	[SERIES_FLUSHED] = "go.flushed",
	[SERIES_TRIMMED] = "go.trimmed",
	[SERIES_SPAN_USED] = "go.span_used",
	[SERIES_FILLS] = "go.fills",
	[SERIES_MARKS] = "go.marks",
};

void rh_fidelity_series(struct replay *replay)
{
	for (uint32_t site = 0; site < sizeof(replay->series); site++) {
		const char *name = rh_trace_site(replay->trace, site);

		for (int i = 1; name && i < SERIES_COUNT; i++)
			if (strcmp(name, names[i]) == 0)
				replay->series[site] = (uint8_t)i;
	}
	replay->has_marks = memchr(replay->series, SERIES_MARKS, sizeof(replay->series));
	replay->has_trims = memchr(replay->series, SERIES_TRIMMED, sizeof(replay->series));
}

bool rh_fidelity_manual(uint64_t word)
{
	return word & WORD_MANUAL;
}

/* Bytes of the slots of a span. */
uint64_t rh_fidelity_slot_bytes(const struct replay *replay, uint64_t word)
{
	uint64_t kind = (word & ((1 << WORD_KIND_BITS) - 1)) >> 1;

	if (kind < 2)
		return (word >> WORD_KIND_BITS) * RH_GO_PAGE;
	return (uint64_t)replay->sizes[kind >> 1].bytes *
	       rh_gosize_slots(&replay->sizes[kind >> 1], kind & 1, &replay->rules);
}

static void count_span(struct replay *replay, uint64_t word, int by, bool since)
{
	uint64_t kind = (word & ((1 << WORD_KIND_BITS) - 1)) >> 1;
	uint64_t pages = word >> WORD_KIND_BITS;

	if (word & WORD_MANUAL || kind >= FIDELITY_KINDS)
		return;
	replay->recorded.spans[kind] += (uint64_t)by;
	replay->recorded.heap_pages += (uint64_t)by * pages;
	replay->recorded.slot_bytes += (uint64_t)by * rh_fidelity_slot_bytes(replay, word);
	if (since && by > 0)
		replay->out->span_allocs[0]++;
	else if (since)
		replay->out->span_frees[0]++;
}

static unsigned order_of(uint64_t bytes)
{
	unsigned order = 0;

	while (order + 1 < FIDELITY_ORDERS && (uint64_t)2048 << order < bytes)
		order++;
	return order;
}

enum series rh_fidelity_record(struct replay *replay, const struct rh_event *event)
{
	enum series series =
		event->id < sizeof(replay->series) ? replay->series[event->id] : SERIES_OTHER;
	struct recorded *recorded = &replay->recorded;

	switch (series) {
	case SERIES_HEAP_LIVE:
		recorded->heap_live = event->arg;
		recorded->heap_live_before = recorded->heap_live_top;
		if (event->arg > recorded->heap_live_top)
			recorded->heap_live_top = event->arg;
		rh_flight_count(replay, event);
		break;
	case SERIES_HEAP_GOAL:
		recorded->heap_goal = event->arg;
		break;
	case SERIES_SPAN:
	case SERIES_SPAN_ALLOC:
		count_span(replay, event->arg, 1, series == SERIES_SPAN_ALLOC);
		break;
	case SERIES_SPAN_FREE:
		count_span(replay, event->arg, -1, true);
		break;
	case SERIES_STACK_ALLOC:
		replay->out->stack_allocs[order_of(place_bytes(event->arg))][0]++;
		break;
	case SERIES_STACK_FREE:
		replay->out->stack_frees[order_of(place_bytes(event->arg))][0]++;
		break;
	case SERIES_STACK_SPAN:
		/* Those of the snapshot are counted from the start: rh_fidelity_scan found them. */
		recorded->stack_pages += word_snapshot(event->arg) ? 0 : word_pages(event->arg);
		break;
	case SERIES_STACK_SPAN_FREE:
		recorded->stack_pages -= word_pages(event->arg);
		break;
	default:
		break;
	}
	return series;
}

/* ---- classes ---- */

uint32_t rh_fidelity_kind(const struct replay *replay, uint64_t size, bool noscan)
{
	uint64_t small_max = RH_GO_SMALL_MAX - (replay->rules.header ? RH_GO_HEADER : 0);
	uint64_t look = size;
	uint32_t class = 1;

	if (size > small_max)
		return noscan;
	if (noscan && size < TINY_SLOT)
		look = TINY_SLOT;
	if (!noscan && replay->rules.header && size > RH_GO_HEADER_MIN)
		look += RH_GO_HEADER;
	while (replay->sizes[class].bytes < look)
		class ++;
	return class << 1 | noscan;
}

uint64_t rh_fidelity_slot(const struct replay *replay, uint32_t kind, uint64_t size)
{
	if (kind < 2)
		return (size + RH_GO_PAGE - 1) / RH_GO_PAGE * RH_GO_PAGE;
	return replay->sizes[kind >> 1].bytes;
}

uint64_t rh_fidelity_most(const struct replay *replay, uint32_t kind)
{
	uint64_t bytes = replay->sizes[kind >> 1].bytes;
	uint64_t header = replay->rules.header ? RH_GO_HEADER : 0;

	if (bytes == RH_GO_SMALL_MAX || (!(kind & 1) && bytes > RH_GO_HEADER_MIN))
		return bytes - header;
	return bytes;
}

/* ---- the backend's figures ---- */

struct figures {
	struct rh_fidelity_edge *edge;
	struct rh_fidelity *out;
	uint64_t grows, large;
};

static void heap_figure(void *ctx, const char *name, const char *unit, uint64_t value)
{
	struct figures *figures = ctx;
	unsigned class, bytes;
	char kind[8], what[8];

	(void)unit;
	if (strcmp(name, "HeapInuse") == 0)
		figures->edge->curve[FIDELITY_HEAP][1] = value;
	else if (strcmp(name, "spans.in_use") == 0)
		figures->edge->curve[FIDELITY_SPANS][1] = value;
	else if (strcmp(name, "gc.heap_live") == 0)
		figures->edge->curve[FIDELITY_PACER][1] = figures->out->sums.live_last = value;
	else if (strcmp(name, "NextGC") == 0)
		figures->edge->curve[FIDELITY_GOAL][1] = value;
	else if (strcmp(name, "NumGC") == 0)
		figures->out->cycles[1] = value;
	else if (strcmp(name, "gc.marked_total") == 0)
		figures->out->sums.marked = value;
	else if (strcmp(name, "gc.goal_total") == 0)
		figures->out->sums.goals = value;
	else if (strcmp(name, "gc.live_peak") == 0)
		figures->out->sums.live_peak = value;
	else if (strcmp(name, "gc.limited") == 0)
		figures->out->sums.limited = value;
	else if (strcmp(name, "mcentral.grows") == 0)
		figures->grows = value;
	else if (strcmp(name, "large.allocs") == 0)
		figures->large = value;
	else if (sscanf(name, "class%u.%u.%7[a-z].%7[a-z]", &class, &bytes, kind, what) == 4 &&
		 strcmp(what, "spans") == 0 && class < RH_GO_CLASSES_MAX)
		figures->edge->spans[class << 1 | (strcmp(kind, "noscan") == 0)][1] =
			(uint32_t)value;
}

static void stack_figure(void *ctx, const char *name, const char *unit, uint64_t value)
{
	struct figures *figures = ctx;
	unsigned order;
	char what[8];

	(void)unit;
	if (strcmp(name, "pools.StackInuse") == 0) {
		figures->edge->curve[FIDELITY_STACK][1] = value;
	} else if (sscanf(name, "pools.order%u.%7[a-z]", &order, what) == 2 &&
		   order < FIDELITY_ORDERS) {
		if (strcmp(what, "allocs") == 0)
			figures->out->stack_allocs[order][1] = value;
		else
			figures->out->stack_frees[order][1] = value;
	}
}

static uint64_t sum_spans(const struct rh_fidelity_edge *edge, int side)
{
	uint64_t sum = 0;

	for (int i = 0; i < FIDELITY_KINDS; i++)
		sum += edge->spans[i][side];
	return sum;
}

/* Slots of the spans that are there, less those of the living. */
static uint64_t free_slots(const struct replay *replay, const struct rh_fidelity_edge *edge)
{
	uint64_t slots = edge->curve[FIDELITY_HEAP][1];

	for (unsigned kind = 2; kind < 2 * replay->class_count; kind++) {
		const struct rh_gosize *size = &replay->sizes[kind >> 1];

		slots -= (uint64_t)edge->spans[kind][1] *
			 (size->span_bytes -
			  (uint64_t)size->bytes * rh_gosize_slots(size, kind & 1, &replay->rules));
	}
	return slots - edge->curve[FIDELITY_LIVE][1];
}

int rh_fidelity_edge(struct replay *replay, const struct rh_event *event, struct rh_err *err)
{
	struct rh_fidelity *out = replay->out;
	struct recorded *recorded = &replay->recorded;
	struct rh_fidelity_edge *edge;
	struct figures figures = { .out = out };

	if (out->edge_count == FIDELITY_EDGES_MAX)
		return rh_fail(err, RH_BAD_DATA, "the trace has more than %d collections; cut it",
			       FIDELITY_EDGES_MAX / 2);
	edge = &out->edges[out->edge_count++];
	*edge = (struct rh_fidelity_edge){
		.cycle = event->id,
		.time_ns = event->time_ns,
		.ends = event->kind == RH_EV_GC_END,
	};
	for (int i = 0; i < FIDELITY_KINDS; i++)
		edge->spans[i][0] = (uint32_t)recorded->spans[i];
	edge->curve[FIDELITY_HEAP][0] = recorded->heap_pages * RH_GO_PAGE;
	edge->free_slots[0] = recorded->slot_bytes - recorded->live_bytes;
	edge->curve[FIDELITY_STACK][0] = recorded->stack_pages * RH_GO_PAGE;
	rh_flight_leave_out(replay, edge);
	edge->curve[FIDELITY_SPANS][0] = sum_spans(edge, 0);
	edge->curve[FIDELITY_LIVE][0] = recorded->live_bytes;
	edge->curve[FIDELITY_LIVE][1] = replay->replayed_live;
	edge->curve[FIDELITY_PACER][0] =
		edge->ends ? recorded->heap_live_before : recorded->heap_live_top;
	if (edge->ends)
		recorded->heap_live_top = recorded->heap_live;
	edge->curve[FIDELITY_GOAL][0] = recorded->heap_goal;
	figures.edge = edge;
	replay->ops->stats(replay->heap, heap_figure, &figures);
	replay->spec.stack.stats(replay->stacks, stack_figure, &figures);
	edge->curve[FIDELITY_PACER][1] -= rh_flight_uncounted(replay);
	edge->free_slots[1] = free_slots(replay, edge);
	edge->lost_stacks = replay->lost_stacks;
	return 0;
}

/* ---- made and freed since the snapshot ---- */

static void spans_now(struct replay *replay, uint64_t *made, uint64_t *in_use)
{
	struct rh_fidelity_edge edge = { 0 };
	struct figures figures = { .edge = &edge, .out = replay->out };

	replay->ops->stats(replay->heap, heap_figure, &figures);
	replay->spec.stack.stats(replay->stacks, stack_figure, &figures);
	*made = figures.grows + figures.large;
	*in_use = edge.curve[FIDELITY_SPANS][1];
}

void rh_fidelity_begin(struct replay *replay)
{
	struct rh_fidelity *out = replay->out;

	replay->begun = true;
	spans_now(replay, &replay->spans_then[0], &replay->spans_then[1]);
	replay->cycles_then = out->cycles[1];
	replay->sums_then = out->sums;
	for (unsigned i = 0; i < FIDELITY_ORDERS; i++) {
		out->stacks_then[i][0] = out->stack_allocs[i][1];
		out->stacks_then[i][1] = out->stack_frees[i][1];
	}
}

void rh_fidelity_finish(struct replay *replay)
{
	struct rh_fidelity *out = replay->out;
	uint64_t made, in_use;

	spans_now(replay, &made, &in_use);
	out->cycles[1] -= replay->cycles_then;
	out->sums.marked -= replay->sums_then.marked;
	out->sums.goals -= replay->sums_then.goals;
	out->sums.limited -= replay->sums_then.limited;
	if (out->sums.live_peak == replay->sums_then.live_peak)
		out->sums.live_peak = 0;
	out->span_allocs[1] = made - replay->spans_then[0];
	out->span_frees[1] = made - in_use - (replay->spans_then[0] - replay->spans_then[1]);
	for (unsigned i = 0; i < FIDELITY_ORDERS; i++) {
		out->stack_allocs[i][1] -= out->stacks_then[i][0];
		out->stack_frees[i][1] -= out->stacks_then[i][1];
	}
}
