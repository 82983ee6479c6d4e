/*
 * state.h - the child of a fidelity run: what it replays with and what it knows.
 * Internal to this folder.
 */
#ifndef RH_FIDELITY_STATE_H
#define RH_FIDELITY_STATE_H

#include "harness/fidelity/fidelity.h"
#include "harness/fidelity/recorder.h"
#include "harness/fidelity/stacks.h"
#include "traces/format/map.h"
#include "traces/format/trace.h"

/* What the REF events say the recorded runtime had. */
struct recorded {
	uint64_t spans[FIDELITY_KINDS];
	uint64_t heap_pages, stack_pages, live_bytes, slot_bytes;
	/* As the runtime counts. A P can report its count late, so the highest value since the last
	 * cycle ended is the current one. `before` leaves out the last value, which at the end of a
	 * cycle is the first without the garbage. */
	uint64_t heap_live, heap_live_top, heap_live_before, heap_goal;
};

struct object {
	void *p;
	uint64_t size;
	uint32_t lane, kind[2];
};

struct filler {
	void *p;
	uint64_t size;
	bool held;
};

/* A span of the snapshot: its events are [first, first + count) of those kept. */
struct laid_span {
	size_t first, count;
	uint64_t number; /* of all spans */
	uint32_t kind;	 /* class << 1 | noscan */
	uint32_t rank;	 /* as it was first used after, from 1; UINT32_MAX = never */
	uint32_t lane;	 /* that used it first */
	bool early;	 /* before the first cycle ended */
	bool cached;	 /* the first of its class that this lane used */
};

struct layout {
	struct laid_span *spans;
	size_t count, cap; /* seen so far; in all, as the scan found */
	struct rh_event *events;
	size_t event_count, event_cap;
	struct filler *fillers;
	size_t filler_count, filler_cap;
	struct rh_map uses; /* number of the span -> lane << 33 | rank << 1 | early */
	uint32_t ranks;
	bool cycle_seen; /* by the scan */
};

struct lane {
	struct rh_lane *heap;
	struct rh_stack_lane *stack;
	bool stale;		     /* its caches are older than the last cycle */
	char *swept;		     /* a block of the span that it has swept and not let go */
	uint64_t fills;		     /* number of the span that its next object goes into */
	void *taken[FIDELITY_KINDS]; /* a block ahead, for the first object of the class */
};

/* An allocation whose span was made and whose object is not in the trace yet. */
struct flight {
	uint64_t key, word; /* task, or lane; the span, as its series has it */
	uint32_t kind;
	void *p; /* taken ahead; NULL: its span is left out until the object comes */
	uint64_t size;
	bool counted; /* the runtime's last heap_live includes it */
};

/* A large stack that is told to be free, and its span not yet. */
struct parting {
	uint64_t span, pages;
	uint32_t lane;
	bool kept; /* the runtime went on when a cycle was marking: its span stays until the end */
};

enum { PARTINGS = 32 };

struct flights {
	struct flight *of;
	size_t count, cap;
	struct parting partings[PARTINGS];
	unsigned parting_count;
	bool marking; /* a cycle is */
};

enum { AHEAD_BATCH = 1024 };

/* A reader of the same trace, one cycle ahead. */
struct ahead {
	struct rh_trace *trace;
	struct rh_event batch[AHEAD_BATCH];
	int at, count;
};

/* deaths.c: stretch number k of the trace is from the end of recorded cycle k to that of k + 1, and
 * 0 from the beginning to the first. */
enum { DEATH_SLICES = 256, DEATHS_AHEAD = 3 };

struct deaths {
	/* Who dies on the way through a stretch, one slice after the other; of two stretches. */
	struct death_way {
		struct death_slice {
			uint64_t *ids;
			size_t count, cap;
		} slices[DEATH_SLICES];
		uint64_t bytes;
	} ways[2];
	/* This one, and those read ahead: births, those before a cycle begins in it; bytes. */
	struct death_stretch {
		uint64_t births, before, bytes;
	} of[DEATHS_AHEAD];
	uint32_t next;		    /* slice to die */
	uint64_t born;		    /* in this stretch */
	uint64_t ended;		    /* recorded cycles */
	uint64_t read;		    /* the same, of the reader ahead */
	uint64_t heap_live, marked; /* Go's, last read; and as the last cycle read ended */
	uint64_t
		unseen; /* of 2^32 objects so many are dead, and the trace ends before it says so */
	bool begun;	/* a cycle, in this stretch */
	bool begun_ahead; /* the same, of the reader */
	bool over;	  /* all was read */
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
	struct rh_map ids; /* object id -> index into objects */
	struct object *objects;
	uint32_t object_count, object_cap, unused; /* unused: list through .lane */
	struct rh_map tasks;			   /* task -> pointer of the backend */
	struct layout layout;
	struct flights flights;
	bool snapshot_over;
	bool begun;	      /* the first event after the snapshot was seen */
	uint64_t cycles_then; /* oracle: cycles that making the snapshot took */
	struct rh_fidelity_sums sums_then;
	uint64_t spans_then[2]; /* made and in use by the backend when it begun */
	uint64_t lost_stacks;
	struct recorded recorded;
	uint64_t replayed_live;
	struct rh_map dead;    /* found by the last cycle, not yet swept: id -> block */
	struct rh_map span_at; /* number of a span of Go's -> a block in ours */
	struct rh_map doomed;  /* oracle: not born yet: the stretch in which it dies */
	struct deaths deaths;
	struct rh_recorder recorder; /* of the snapshot, as far as it was made */
	struct rh_map actors;	     /* task -> what it did to objects, enum actor bits */
	struct steps steps;	     /* all that happened to stacks, read ahead */
	size_t step_at;		     /* the next of them */
	struct stack_start start;
	struct stack_drive drive; /* recorded stacks, one by one */
	struct rh_gorules rules;
	struct rh_gosize sizes[RH_GO_CLASSES_MAX];
	unsigned class_count;
	uint8_t series[64]; /* enum series by site number */
	/* A cycle whose stop was told too early: how many spans of stacks are freed before it
	 * marks. */
	struct rh_map late_marks;
	uint64_t marks_after; /* of the cycle that begins */
	bool has_marks;	      /* go.marks says when a cycle marks, else its begin does */
	bool has_trims; /* go.trimmed says when empty stack spans are freed, else a flush does */
};

enum actor { ACTOR_ALLOCS = 1, ACTOR_FREES = 2 };

enum series {
	SERIES_OTHER,
	SERIES_HEAP_LIVE,
	SERIES_HEAP_GOAL,
	SERIES_SPAN,
	SERIES_SPAN_ALLOC,
	SERIES_SPAN_FREE,
	SERIES_STACK,
	SERIES_STACK_ALLOC,
	SERIES_STACK_FREE,
	SERIES_STACK_SPAN,
	SERIES_STACK_SPAN_FREE,
	SERIES_FLUSHED,
	SERIES_TRIMMED,
	SERIES_SPAN_USED,
	SERIES_FILLS,
	SERIES_MARKS,
	SERIES_COUNT,
};

/* The numbers of the series, once the trace knows its names. */
void rh_fidelity_series(struct replay *replay);
/* A REF event into `recorded`; returns its series. */
enum series rh_fidelity_record(struct replay *replay, const struct rh_event *event);
/* Spans that the backend made for the snapshot are not counted as made since; called again at the
 * end. */
void rh_fidelity_begin(struct replay *replay);
void rh_fidelity_finish(struct replay *replay);
/* The span class that Go's rule gives to a size: class << 1 | noscan. */
uint32_t rh_fidelity_kind(const struct replay *replay, uint64_t size, bool noscan);
/* What an object counts as live: on side 0 as recorded, on 1 in the replay. */
uint64_t rh_fidelity_live(const struct replay *replay, const struct object *object, int side);
/* Bytes of the slot of an object. */
uint64_t rh_fidelity_slot(const struct replay *replay, uint32_t kind, uint64_t size);
/* A recorded object, and one of ours. */
int rh_fidelity_bear(struct replay *replay, const struct rh_event *event, struct rh_err *err);
void *rh_fidelity_serve(struct replay *replay, uint32_t lane, uint64_t size, bool noscan);

/* The most that is asked for a slot of a class. */
uint64_t rh_fidelity_most(const struct replay *replay, uint32_t kind);
/* Whether a span, as its series has it, is of stacks or of the collector. */
bool rh_fidelity_manual(uint64_t word);
/* Bytes of the slots of a span, as its series has it. */
uint64_t rh_fidelity_slot_bytes(const struct replay *replay, uint64_t word);
/* A block for the next object on a lane, after flushing caches older than the last cycle. */
void *rh_fidelity_take(struct replay *replay, uint32_t lane, uint64_t size, uint32_t kind);

/* After a cycle no lane allocates before it has flushed its caches. */
void rh_fidelity_flush(struct replay *replay, uint32_t lane);
/* Frees an object if it lives: what a cycle found dead was freed when the cycle ended. */
void *rh_fidelity_bury(struct replay *replay, uint64_t id, uint32_t lane);

/* ---- deaths.c ---- */

/* The snapshot is over, then a recorded cycle: reads ahead who is dead when. */
int rh_deaths_open(struct replay *replay, uint32_t lane, struct rh_err *err);
int rh_deaths_cycle_ended(struct replay *replay, uint32_t lane, struct rh_err *err);
/* An object was born: 1 when it dies at once, 0, -1. */
int rh_deaths_at_birth(struct replay *replay, uint64_t id, struct rh_err *err);
/* An object is about to be born: who was to die by now does. */
void rh_deaths_due(struct replay *replay, uint32_t lane);

/* ---- sweeps.c ---- */

/* A slot was swept; the lane's next event ends the sweep of its span. */
void rh_sweeps_slot(struct replay *replay, const struct rh_event *event);
void rh_sweeps_settle(struct replay *replay, uint32_t lane);
/* The lane continues with a span of Go's; ours is the one that holds its next object. */
void rh_sweeps_fill(struct replay *replay, uint32_t lane, uint64_t number);
bool rh_sweeps_note(struct replay *replay, uint32_t lane, const void *p);

/* ---- flight.c ---- */

/* A span was made for an object to come. */
int rh_flight_begin(struct replay *replay, const struct rh_event *event, struct rh_err *err);
/* The object came: its block, or NULL when none was taken ahead. */
void *rh_flight_end(struct replay *replay, const struct rh_event *event, uint32_t kind);
/* The task, or lane, reports heap_live, which includes the spans that it made. */
void rh_flight_count(struct replay *replay, const struct rh_event *event);
/* Bytes that the backend counts as allocated and the runtime does not yet. */
uint64_t rh_flight_uncounted(const struct replay *replay);
/* Any event, before it is replayed: large stacks whose spans are about to be freed. */
void rh_flight_part(struct replay *replay, const struct rh_event *event);
/* A REF event: a cycle begins to mark, as far as stacks go. */
void rh_flight_marks(struct replay *replay, const struct rh_event *event, enum series series);
/* Spans of which nothing was taken ahead are not compared, nor those about to be freed. */
void rh_flight_leave_out(const struct replay *replay, struct rh_fidelity_edge *edge);

/* ---- layout.c ---- */

/* A span of the snapshot, or an object in the last one. */
int rh_layout_add(struct replay *replay, const struct rh_event *event, struct rh_err *err);
/* The scan found the first use of a span. */
bool rh_layout_used(struct layout *layout, uint64_t number, uint32_t lane);
/* Makes the spans and objects; fillers take the free slots. */
int rh_layout_make(struct replay *replay, struct rh_err *err);
/* Every lane takes the span that it used first into its cache. */
void rh_layout_cache(struct replay *replay);
/* Frees the fillers: those that hold a slot until the first cycle, or the others. */
void rh_layout_release(struct replay *replay, uint32_t lane, bool held);

/* Reads the whole trace once, for what later events say about the beginning. */
int rh_fidelity_scan(struct replay *replay, const char *path, struct rh_err *err);
/* Both sides as they are now. */
int rh_fidelity_edge(struct replay *replay, const struct rh_event *event, struct rh_err *err);

#endif
