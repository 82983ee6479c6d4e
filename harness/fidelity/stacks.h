/*
 * stacks.h - the recorded stacks, one by one, on the stack pools.
 * Internal to this folder; stacks.c and start.c explain it.
 */
#ifndef RH_FIDELITY_STACKS_H
#define RH_FIDELITY_STACKS_H

#include "alloc/backend.h"
#include "traces/format/map.h"

enum {
	POOLED_ORDERS = 4, /* 2, 4, 8, 16 KiB; larger stacks have their own span */
	POOL_SPAN_BYTES = 32768,
	CACHED_MAX = 16, /* stacks of 2 KiB in the cache of a P: 32 KiB */
	PLACE_SIZE_BITS = 6,
	PLACE_SPAN_SHIFT = 10,
	STEPS_MAX = 1 << 24, /* of one trace: 384 MiB */
};

#define NOBODYS_STACK ((uint64_t)1 << 63)

enum step_kind {
	STEP_EXISTS,
	STEP_ALLOC,
	STEP_FREE, /* word: place, as in traces/import/go/go.h */
	STEP_SPAN,
	STEP_SPAN_FREE, /* word: span, ditto */
	STEP_GC_BEGIN,
	STEP_GC_END,
	STEP_NOTHING, /* was put later */
	STEP_FLUSH,
};

/* Go writes the event of a stack after it was made and before it is given back, and its pools are
 * touched between that event and a neighbour of it on the same lane. `window`, as a number of
 * steps: of STEP_ALLOC how many had gone at the event before, of STEP_FREE at the event after. */
struct step {
	uint64_t word;
	uint32_t lane;
	uint32_t window;
	uint8_t kind;
};

/* Of a lane, at its last event. */
struct lane_window {
	uint32_t steps; /* gone by then */
	uint32_t freed; /* 1 + the index of its STEP_FREE if that was it */
};

struct steps {
	struct step *of;
	size_t count, cap;
	uint32_t lanes;
	/* 1 + the STEP_GC_BEGIN of the cycle that marks; 0 = none */
	size_t begun;
	struct lane_window *windows; /* while they are read */
	uint32_t window_cap;
};

static inline unsigned place_log2(uint64_t place)
{
	return place & 31;
}
static inline bool place_past_cache(uint64_t place)
{
	return place >> 5 & 1;
}
static inline uint64_t place_bytes(uint64_t place)
{
	return (uint64_t)1 << place_log2(place);
}
static inline uint64_t place_span(uint64_t place)
{
	return place >> PLACE_SPAN_SHIFT;
}
static inline uint64_t place_key(uint64_t place)
{
	return place >> PLACE_SIZE_BITS;
}
static inline unsigned place_order(uint64_t place)
{
	return place_log2(place) - 11;
}
static inline bool place_pooled(uint64_t place)
{
	return place_log2(place) >= 11 && place_order(place) < POOLED_ORDERS;
}

static inline uint64_t word_span(uint64_t word)
{
	return word >> 32;
}
static inline bool word_snapshot(uint64_t word)
{
	return word >> 31 & 1;
}
static inline uint64_t word_pages(uint64_t word)
{
	return word & 0x7fffffff;
}

/* ---- stacks.c: makes and frees the stacks ---- */

struct stack_drive {
	const struct rh_stack_backend *ops;
	struct rh_stacks *stacks;
	struct rh_stack_lane **lanes;
	uint32_t lane_count;
	struct rh_map live; /* place_key, or NOBODYS_STACK | n -> task */
	uint64_t failed, overlaid;
};

bool rh_drive_alloc(struct stack_drive *drive, uint32_t lane, uint64_t place);
void rh_drive_free(struct stack_drive *drive, uint32_t lane, uint64_t place);
/* Every stack goes, and with them all spans. */
void rh_drive_empty(struct stack_drive *drive);
/* StackInuse of the backend. */
uint64_t rh_drive_bytes(const struct stack_drive *drive);

/* ---- start.c: where free stacks lay when recording began ---- */

struct start_span {
	uint64_t number;
	uint16_t seen;		/* while first uses are looked for */
	uint16_t live, touched; /* bits: slots with a stack then; slots ever used */
	bool ended;		/* was given back later */
};

/* The first use of a stack that was free; cacheable: before the first cycle ended. */
struct first_use {
	uint32_t lane, span;
	bool cacheable;
};

/* A stack that was in use. */
struct then_live {
	uint64_t key;
	uint32_t span;
};

struct start_order {
	struct start_span *spans;
	uint32_t span_count, span_cap;
	struct first_use *uses;
	struct then_live *lives;
	uint32_t use_count, live_count;
	uint32_t *cached;      /* by lane: free stacks in its cache */
	uint64_t made, agrees; /* stacks looked at; how many until one differed */
};

struct stack_start {
	struct rh_map spans; /* number -> order << 24 | index, + 1; 0 = no stack yet */
	struct start_order order[POOLED_ORDERS];
	uint64_t pages; /* of spans with stacks, then */
};

/* The span, if it held stacks of this order then; else NULL. */
struct start_span *rh_start_span(const struct stack_start *start, unsigned order, uint64_t number);
unsigned rh_start_slots(unsigned order);
/* What the trace says of the spans at that time. */
int rh_start_collect(struct stack_start *start, const struct steps *steps, struct rh_err *err);
/* One order alone, caches and all. 1: done, 0: there cannot have been such a state, -1. */
int rh_start_make_one(const struct stack_start *start, unsigned of, struct stack_drive *drive,
		      struct rh_err *err);

/* Where the free stacks of one order lie, while they are put there. */
struct making {
	const struct stack_start *start;
	unsigned of, slots;
	uint32_t spans;
	void **tasks;	  /* slots of every span */
	uint32_t *next;	  /* by span: the first of its tasks without a role yet */
	uint32_t *left;	  /* by span: free stacks in the pool, once all caches are full */
	uint32_t *wanted; /* by span: of these, used from the pool before the first cycle ended */
	uint32_t *queue;  /* spans in the pool, the first in front */
	uint32_t queued;
	bool *listed;		  /* by span: in the queue */
	uint32_t *label, *labels; /* by lane: spans of its cached stacks, first out first */
};

/* Without making anything. 1: done, 0: there cannot have been such a state, -1. */
int rh_start_plan(struct making *making, const struct stack_start *start, unsigned of,
		  uint32_t lanes, struct rh_err *err);
bool rh_start_possible(const struct stack_start *start, unsigned of, uint32_t lanes,
		       struct rh_err *err);
void rh_start_plan_close(struct making *making);
void rh_start_close(struct stack_start *start);

/* ---- races.c ---- */

struct stack_races {
	uint64_t moved; /* steps that were put after others */
	/* Refills of which later stacks show that the pool had other stacks in front: since two
	 * lanes met there and nothing says which was first; and for no such reason. */
	uint64_t open, wrong;
};

/* Puts steps of two lanes whose order was not recorded in the one that the places of later stacks
 * show. */
int rh_stack_races(struct steps *steps, const struct stack_start *start, struct stack_races *out,
		   struct rh_err *err);

/* Numbers of cached stacks with which fewer refills miss, up to the first cycle's end: find.c
 * compares counts of spans, and several starts may have the same. */
int rh_stack_start_by_places(struct steps *steps, struct stack_start *start, struct rh_err *err);

/* ---- find.c ---- */

/* Deduces the start from what came after it. */
int rh_start_find(struct stack_start *start, const struct steps *steps, const char *backend,
		  struct rh_err *err);
/* ---- start.c again ---- */

/* Brings a drive without any stack into that state. */
int rh_start_make(const struct stack_start *start, const struct steps *steps,
		  struct stack_drive *drive, struct rh_err *err);

#endif
