/*
 * fidelity_state.h - the child of a fidelity run: what it replays with and what it knows.
 * Internal to fidelity.c and fidelity_recorded.c.
 */
#ifndef RH_FIDELITY_STATE_H
#define RH_FIDELITY_STATE_H

#include "harness/fidelity/fidelity.h"
#include "traces/map.h"
#include "traces/trace.h"

/* What the REF events say the recorded runtime had. */
struct recorded {
	uint64_t spans[FIDELITY_KINDS];
	uint64_t heap_pages, stack_pages, live_bytes, slot_bytes;
	uint64_t heap_live, heap_goal;
};

struct object { void *p; uint64_t size; uint32_t lane, kind[2]; };

struct filler { void *p; uint64_t size; bool held; };

/* The span of the snapshot whose objects are coming in. */
struct opening { bool open, any; uint32_t kind, slots, taken, lane; };

struct lane { struct rh_lane *heap; struct rh_stack_lane *stack; };

enum { AHEAD_BATCH = 1024 };

/* A reader of the same trace, one cycle ahead. */
struct ahead {
	struct rh_trace *trace;
	struct rh_event batch[AHEAD_BATCH];
	int at, count;
};

struct replay {
	struct rh_fidelity *out;
	const struct rh_fidelity_opts *opts;
	struct rh_trace *trace;
	struct ahead ahead;
	struct rh_spec spec;
	const struct rh_backend *ops;
	struct rh_heap *heap;
	struct rh_stacks *stacks;
	struct lane *lanes;
	uint32_t lane_count, lane_cap;
	struct rh_map ids;		/* object id -> index into objects */
	struct object *objects;
	uint32_t object_count, object_cap, unused;	/* unused: list through .lane */
	struct rh_map tasks;		/* task -> pointer of the backend */
	struct filler *fillers;
	size_t filler_count, filler_cap;
	struct opening opening;
	bool snapshot_over;
	struct recorded recorded;
	uint64_t replayed_live;
	uint64_t unswept;		/* frees to come of what the last cycle found dead */
	uint64_t sweep_at;		/* sweep the rest when so many are left */
	uint64_t own_stacks;		/* bytes of spans that lanes hold for themselves */
	struct rh_gorules rules;
	struct rh_gosize sizes[RH_GO_CLASSES_MAX];
	unsigned class_count;
	uint8_t series[64];		/* enum series by site number */
};

enum series {
	SERIES_OTHER, SERIES_HEAP_LIVE, SERIES_HEAP_GOAL, SERIES_SPAN, SERIES_SPAN_ALLOC,
	SERIES_SPAN_FREE, SERIES_STACK, SERIES_STACK_ALLOC, SERIES_STACK_FREE, SERIES_STACK_SPAN,
	SERIES_STACK_SPAN_FREE, SERIES_COUNT,
};

/* The numbers of the series, once the trace knows its names. */
void rh_fidelity_series(struct replay *replay);
/* A REF event into `recorded`; returns its series. */
enum series rh_fidelity_record(struct replay *replay, const struct rh_event *event);
/* The span class that Go's rule gives to a size: class << 1 | noscan. */
uint32_t rh_fidelity_kind(const struct replay *replay, uint64_t size, bool noscan);
/* Bytes of the slot of an object. */
uint64_t rh_fidelity_slot(const struct replay *replay, uint32_t kind, uint64_t size);
/* StackInuse of the backend. */
uint64_t rh_fidelity_stacks(struct replay *replay);
/* Both sides as they are now. */
int rh_fidelity_edge(struct replay *replay, const struct rh_event *event, struct rh_err *err);

#endif
