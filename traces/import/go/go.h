/*
 * go.h - the import of a Go trace: who is in it and what its files share.
 *
 *	wire.c	bytes to generations to events
 *	actors.c	Ps and goroutines by number
 *	order.c	one order of all threads' events
 *	rules.c	what may go before what
 *	types.c	tables of types to sizes and sites
 *	heap.c	spans and slots to objects
 *	size.c	slots and types to sizes
 *	tiny.c	who shares a block to sizes of tiny objects
 *	tasks.c	goroutines and their stacks to tasks
 *	cycles.c	collections, and when each P gave its caches back
 *	go.c		the importer: options, generations, notes
 *
 * Every timed event of the input becomes one event of the trace, or is counted as dropped
 * with the reason. Events that are made besides (a block that several shared dies as
 * several objects, a stack grew) are counted in the note import.added.
 *
 * The reference series (REF events), values in `arg`:
 *	go.heap_live, go.heap_goal	bytes, as the runtime counts them
 *	go.swept			bytes that one sweep looked at
 *	go.span, go.span_alloc, go.span_free	pages << 9 | the runtime's word for the kind:
 *			1 = pages for stacks or the collector, else span class << 1
 *	go.stack, go.stack_alloc, go.stack_free	the stack's place: number of its span << 10 |
 *			its 2 KiB in the span << 6 | 1 << 5 if past the P's cache |
 *			log2 of its bytes; span 0 = none known
 *	go.stack_span, go.stack_span_free	pages that proved to hold stacks: number of the
 *			span << 32 | 1 << 31 if it was there when the trace began | pages
 *	go.span_used	number of a span of the snapshot into which this lane is the first to
 *			allocate: it was the next to be filled
 *	go.flushed	the lane's caches went back after a cycle; 1 = it had ended the cycle
 *	go.trimmed	1: spans of stacks that nobody used at the end of the cycle are free now
 *	go.fills	number of the span that the lane takes objects of this class from now on
 *	go.marks	number of the cycle: the world goes on and marks; until here, after the
 *			begin of the cycle, stacks are given back as if there were none
 * "go.span" and "go.stack" are what was there when the trace began: the objects that
 * follow such a span were alive in it then. Spans are numbered as they come, from 1.
 */
#ifndef RH_GO_H
#define RH_GO_H

#include "alloc/base/gosizes.h"
#include "traces/import/go/order.h"
#include "traces/import/go/wire.h"
#include "traces/format/map.h"

enum go_lanes { GO_LANES_P, GO_LANES_THREAD, GO_LANES_GOROUTINE };
enum go_sizes { GO_SIZES_SLOT, GO_SIZES_MIDDLE, GO_SIZES_SMALLEST };

struct go_opts {
	int profile; /* 0 = by evidence, else 1 + a row of rh_goversions */
	int lanes;   /* enum go_lanes */
	int sizes;   /* enum go_sizes: what stands for sizes nobody recorded */
	/* of the environment it ran in, "unset" if not in there; NULL = not known */
	const char *gogc, *memlimit;
};

/* Series of REF events. Sites are numbered by this; types come after. */
#define GO_SERIES(X)                             \
	X(HEAP_LIVE, "go.heap_live")             \
	X(HEAP_GOAL, "go.heap_goal")             \
	X(SWEPT, "go.swept")                     \
	X(SPAN, "go.span")                       \
	X(SPAN_ALLOC, "go.span_alloc")           \
	X(SPAN_FREE, "go.span_free")             \
	X(STACK, "go.stack")                     \
	X(STACK_ALLOC, "go.stack_alloc")         \
	X(STACK_FREE, "go.stack_free")           \
	X(STACK_SPAN, "go.stack_span")           \
	X(STACK_SPAN_FREE, "go.stack_span_free") \
	X(FLUSHED, "go.flushed")                 \
	X(TRIMMED, "go.trimmed")                 \
	X(SPAN_USED, "go.span_used")             \
	X(FILLS, "go.fills")                     \
	X(MARKS, "go.marks")

enum go_series {
	GO_SERIES_NONE,
#define X(name, word) GO_REF_##name,
	GO_SERIES(X)
#undef X
		GO_SERIES_COUNT
};

/* What is counted; the key says whether it is a drop, a repair or an estimate. */
#define GO_COUNTS(X)                                               \
	X(DROP_SCHEDULING, "drop.scheduling")                      \
	X(DROP_PAST_CUT, "drop.after_first_gap_of_cut")            \
	X(DROP_CYCLE_KNOWN, "drop.cycle_known")                    \
	X(DROP_FREE_UNKNOWN, "drop.free_unknown")                  \
	X(DROP_FREE_SWAPPED, "drop.free_swapped")                  \
	X(DROP_OBJECT_UNKNOWN_SPAN, "drop.object_in_unknown_span") \
	X(DROP_OBJECT_ODD, "drop.object_outside_slots")            \
	X(DROP_SPAN_UNKNOWN, "drop.span_free_unknown")             \
	X(DROP_SPAN_ODD, "drop.span_impossible")                   \
	X(DROP_STACK_EMPTY, "drop.stack_empty")                    \
	X(DROP_STACK_UNKNOWN, "drop.stack_free_unknown")           \
	X(DROP_TASK_UNKNOWN, "drop.goroutine_unknown")             \
	X(REPAIR_SLOT_LIVE, "repair.slot_live")                    \
	X(REPAIR_SPAN_OVERLAP, "repair.span_overlap")              \
	X(REPAIR_OBJECT_ENDED, "repair.object_without_free")       \
	X(REPAIR_ORDER, "repair.order_forced")                     \
	X(ESTIMATE_ARRAY, "estimate.size_of_array")                \
	X(ESTIMATE_UNKNOWN, "estimate.size_unknown")               \
	X(ESTIMATE_BLOCK, "estimate.shared_block")                 \
	X(ESTIMATE_STACK, "estimate.stack_owner")                  \
	X(ESTIMATE_USED, "estimate.stack_bytes_used")              \
	X(CLASS_DIFFERS, "go.class_differs")

enum go_count {
#define X(name, word) GO_N_##name,
	GO_COUNTS(X)
#undef X
		GO_N_COUNT
};

struct go_type {
	uint64_t size;
	uint32_t site;
	bool no_pointers;
};

/* ---- types ---- */

struct go_types {
	struct rh_map by_id; /* of this generation: index into of */
	struct go_type *of;
	size_t count, cap;
	struct rh_map site_of; /* descriptor's address -> site */
	uint32_t sites;	       /* next site number */
	bool names_full;       /* the trace's room for names is used up */
	uint64_t heap_min;     /* lowest address, once known */
	bool have_info;
	unsigned minor;	      /* 23 or 24, by the size of one of the runtime's types; 0 = unknown */
	const char *minor_by; /* its name */
};

/* What the first generation of a trace of format 23 shows of its version (version.c). */
struct go_signs {
	uint64_t halves;       /* objects in the second half of tiny blocks */
	bool in_1792, in_2048; /* spans of slots so long, with pointers, when recording began */
	bool whole;	       /* all spans of that time are there */
};

/* ---- heap ---- */

enum { GO_CHUNK = 32, GO_SPAN_CACHE = 1024, GO_MANUAL = 1, GO_KINDS = 2 * RH_GO_CLASSES_MAX };

struct go_span {
	uint64_t base;				    /* 0 = unused record */
	uint64_t *chunk[RH_GO_PAGE / 8 / GO_CHUNK]; /* of slots: object id, RH_NONE = free */
	uint32_t pages, elem, slots;
	uint32_t div_mul;
	uint32_t marks_slots; /* that fit before inline marks; 0 = as many with and without */
	uint32_t number;      /* of all spans that the trace has named */
	uint16_t kind;	      /* the runtime's word */
	bool snapshot;	      /* was there when the trace began */
	bool used;	      /* an object was put into it since */
	bool stacks;	      /* holds stacks */
	bool blocks;	      /* slots are shared by tiny objects: values are nodes */
};

struct go_part {
	uint64_t id;
	uint32_t next;
}; /* object in a shared block */

struct go_class {
	uint32_t elem, prev, pages, slots, div_mul;
	uint32_t marks_slots[2]; /* scan, noscan */
};

struct go_heap {
	struct rh_gorules rules;
	struct go_class classes[RH_GO_CLASSES_MAX];
	unsigned class_count;
	uint8_t class_at[RH_GO_SMALL_MAX / 8 +
			 1]; /* by (bytes + 7) / 8: the class that holds them */
	struct rh_map pages; /* page -> span */
	struct go_span *spans;
	uint32_t span_count, span_cap;
	uint32_t *unused;
	uint32_t unused_count, unused_cap;
	uint32_t numbered;
	struct {
		uint64_t page;
		uint32_t span;
	} cache[GO_SPAN_CACHE];
	struct go_part *parts;
	uint32_t part_count, part_cap, part_unused;
	struct rh_map swapped;	 /* slot -> cycle in which its free is still due */
	uint64_t cycles;	 /* ended so far */
	bool parts_seen;	 /* the recorder records every tiny object (1.24) */
	uint64_t marks_past;	 /* objects where inline marks would lie: there are none */
	uint64_t marks_edge;	 /* objects in the last slot before them */
	uint64_t objects, exact; /* born; with the size that was asked for */
};

/* ---- tasks ---- */

struct go_unbound {
	uint32_t task;
	uint64_t stack;
};

struct go_tasks {
	struct rh_map stacks;	    /* address -> go_stack word */
	struct rh_map stack_of;	    /* task -> address of the stack it had last */
	struct rh_map guesses;	    /* task -> goroutine it was given to without proof */
	struct go_unbound *unbound; /* tasks of the snapshot, no goroutine yet */
	size_t unbound_count, unbound_cap;
	uint32_t count;		 /* spawned */
	uint8_t start_log2;	 /* size of stacks taken over from ended ones; 0 = unknown */
	uint64_t alive_at_start; /* goroutines that reported their status in generation 1 */
	uint32_t opened;	 /* how often the stacks of the snapshot began */
	enum { GO_SNAPSHOT_OVER, GO_SNAPSHOT_DUE, GO_SNAPSHOT_OPEN } snapshot;
};

/* ---- tiny objects ---- */

enum { GO_CHOICES_LOG2 = 10, GO_SHAPES_LOG2 = 9 };

/* All that an event says of an object but where and when: of objects of one type in spans of one
 * kind, found once in a generation. */
struct go_shape {
	uint64_t key; /* 0 = none */
	uint64_t type_id;
	uint64_t size;
	uint32_t site;
	uint16_t flags;
	uint8_t align_log2;
	uint8_t step;  /* in a shared block its size is a multiple of that; 16 = or more */
	uint8_t count; /* enum go_count: why it is an estimate; GO_N_COUNT = it is exact */
	bool differs;  /* that size would not go to spans of this kind */
};

/* A choice of tiny.c that was made before. */
struct go_choice {
	uint64_t key; /* 0 = none */
	unsigned size;
};

/* ---- all ---- */

struct go_import {
	struct go_opts opts;
	struct go_wire wire;
	struct go_generation generation;
	struct go_order order;
	struct go_types types;
	struct go_signs signs;
	struct go_heap heap;
	struct go_tasks tasks;
	struct go_shape shapes[1 << GO_SHAPES_LOG2], shape; /* shape: of what is in none */
	struct go_choice choices[1 << GO_CHOICES_LOG2];
	struct rh_build *build;
	struct rh_trace_out *out;
	uint64_t births, added, time_zero, generations, without_p, alloc_events;
	uint64_t gc_begun, gc_ended;
	uint64_t gc_thread;	  /* ended a cycle and has yet to start the world */
	uint32_t gc_p;		  /* what it held then */
	bool gc_marks;		  /* a cycle is open, and the world went on after its begin */
	uint64_t gc_starter;	  /* the thread that has stopped it to begin one */
	uint32_t gc_starter_p;	  /* what it held then */
	uint64_t gc_ender;	  /* the thread that has stopped the world to end it */
	bool gc_started;	  /* the world; idle Ps' caches are still due */
	bool cut_begun, past_cut; /* the generation of the cut; its first gap was met */
	uint64_t seen_before_cut; /* signs of missing events until then */
	uint64_t counts[GO_N_COUNT];
};

/* Fills in lane, time and task and puts the event. `extra`: no event of the input is it. */
int rh_go_put(struct go_import *import, struct go_thread *thread, struct rh_event *event,
	      bool extra, struct rh_err *err);
/* The same on the lane of a P, if Ps are the lanes; no event of the input is it. */
int rh_go_put_on(struct go_import *import, struct go_thread *thread, uint64_t p,
		 struct rh_event *event, struct rh_err *err);
/* A number that Go recorded. extra: no event of the input says it by itself. */
struct go_ref {
	enum go_series series;
	uint64_t value;
	bool extra;
};
int rh_go_put_ref(struct go_import *import, struct go_thread *thread, struct go_ref ref,
		  struct rh_err *err);

static inline struct rh_event rh_go_event_of(unsigned kind)
{
	return (struct rh_event){
		.kind = (uint8_t)kind,
		.id = RH_NONE,
		.old = RH_NONE,
		.arg = RH_NONE,
		.task = RH_TASK_NONE,
		.site = RH_SITE_NONE,
	};
}

static inline void go_count(struct go_import *import, enum go_count what)
{
	import->counts[what]++;
}

void rh_go_heap_open(struct go_heap *heap);
void rh_go_heap_close(struct go_heap *heap);
int rh_go_heap_event(struct go_import *import, struct go_thread *thread,
		     const struct go_event *event, struct rh_err *err);
/* The same by its page, GO_NONE: none; the cache is told. */
uint32_t rh_go_find_span(struct go_heap *heap, uint64_t page);

/* The span at an address, or NULL. */
static inline struct go_span *rh_go_span_at(struct go_heap *heap, uint64_t address)
{
	uint64_t page = address / RH_GO_PAGE;
	uint32_t index = heap->cache[page % GO_SPAN_CACHE].page == page
				 ? heap->cache[page % GO_SPAN_CACHE].span
				 : rh_go_find_span(heap, page);

	return index == GO_NONE ? NULL : &heap->spans[index];
}

/* ---- version.c ---- */

/* Names of the option profile, "auto" first, NULL last. */
extern const char *const rh_go_profile_names[];
/* Looks for what the first events need to know: once, in the first generation, before its types. */
int rh_go_look_through(struct go_import *import, struct rh_err *err);
/* After the types of a generation: whether each tiny object is recorded. */
void rh_go_judge_parts(struct go_import *import);
/* The version, one of the names, and how it was found. */
const char *rh_go_profile_of(const struct go_import *import, char *why, size_t bytes);
/* Neither 1.23 nor 1.24 is shown. */
bool rh_go_profile_open(const struct go_import *import);

/* ---- types.c ---- */

int rh_go_types_read(struct go_import *import, struct rh_err *err);
const struct go_type *rh_go_type_of(const struct go_types *types, uint64_t id);
void rh_go_types_close(struct go_types *types);

/* The word of a span that holds stacks. */
static inline uint64_t rh_go_stack_span_word(const struct go_span *span)
{
	return (uint64_t)span->number << 32 | (uint64_t)span->snapshot << 31 | span->pages;
}

void rh_go_tasks_close(struct go_tasks *tasks);
/* GoCreate*, GoStatus*, GoDestroy*: task of a goroutine. */
int rh_go_task_event(struct go_import *import, struct go_thread *thread,
		     const struct go_event *event, struct go_actor *g, struct rh_err *err);
int rh_go_stack_event(struct go_import *import, struct go_thread *thread,
		      const struct go_event *event, struct rh_err *err);
/* The first event after the stacks of the snapshot ends it: goroutines get their tasks. */
int rh_go_snapshot_end(struct go_import *import, struct go_thread *thread, struct rh_err *err);
/* ---- tiny.c ---- */

/* The size of an object in a span of shared blocks; 16 = it is no tiny one. Follows the P.
 * step: as its shape says. */
unsigned rh_go_tiny_size(struct go_import *import, struct go_thread *thread,
			 const struct go_span *span, uint64_t address, unsigned step);

/* ---- size.c ---- */

/* What an event says of an object, besides its place. */
struct go_object_of {
	uint64_t type_id;
	bool exists; /* from the snapshot, where a 16-byte block stands for all that share it */
};
/* The same as rh_go_shape_of, which has not found it: made, and kept by that key if it can be. */
const struct go_shape *rh_go_shape_make(struct go_import *import, const struct go_span *span,
					struct go_object_of object, uint64_t key);
/* With a new generation types have other numbers. */
void rh_go_shapes_forget(struct go_import *import);

/* The shape of such an object in that span. Valid until the next call. Kinds take nine bits. */
static inline const struct go_shape *
rh_go_shape_of(struct go_import *import, const struct go_span *span, struct go_object_of object)
{
	uint64_t key = object.type_id << 11 | (uint64_t)span->kind << 2 | object.exists << 1 | 1u;
	const struct go_shape *shape = &import->shapes[rh_map_hash(key) >> (64 - GO_SHAPES_LOG2)];

	return shape->key == key && shape->type_id == object.type_id
		       ? shape
		       : rh_go_shape_make(import, span, object, key);
}

/* ---- cycles.c ---- */

/* GC_ACTIVE, GC_BEGIN, GC_END. */
int rh_go_cycle_event(struct go_import *import, struct go_thread *thread,
		      const struct go_event *event, struct rh_err *err);
/* PROC_START, STW_END: after a cycle, a P's caches go back. */
int rh_go_flush_event(struct go_import *import, struct go_thread *thread,
		      const struct go_event *event, struct rh_err *err);
/* The P that ended the cycle, as soon as an event says that the world is about to go on. */
int rh_go_flush_ender(struct go_import *import, struct go_thread *thread,
		      const struct go_event *event, struct rh_err *err);
/* The thread that ended a cycle goes on, after it started the world. */
int rh_go_flush_idle(struct go_import *import, struct go_thread *thread, struct rh_err *err);
/* Before a stack is made or freed on a P that should have given its caches back. */
int rh_go_flush_late(struct go_import *import, struct go_thread *thread, struct rh_err *err);

/* Stacks still pending belong to the runtime's own threads. */
int rh_go_tasks_finish(struct go_import *import, struct rh_err *err);

#endif
