/*
 * order.h - what makes a sequence of events a legal trace, checked one event at a time.
 *
 * Reader and writer, text and binary, all pass every event through one rh_order, so
 * nothing illegal can be written or read, and both sides count the same totals:
 *	- births number objects 0, 1, 2, ...; spawns number tasks 1, 2, ... (task 0 is
 *	  what ran before anything was spawned, it is never spawned and never exits);
 *	- what dies, grows, calls or exits is alive;
 *	- lane numbers are dense, a lane starts before it acts and is silent once stopped;
 *	- sizes, alignments, times and flags are within the limits below.
 *
 * Memory: O(lanes + living objects + living tasks). Thread rule: one thread.
 * Errors: false, with one clause in `why` that does not name the file or the event.
 */
#ifndef RH_ORDER_H
#define RH_ORDER_H

#include "traces/format/live.h"
#include "traces/format/trace.h"

#define RH_TRACE_SIZE_MAX (1ull << 57) /* five-level page tables: no object is larger */
#define RH_TRACE_TIME_MAX (1ull << 62) /* 146 years in ns */
enum {
	RH_TRACE_ALIGN_LOG2_MAX = 47,
	RH_TRACE_LANES_MAX = 1 << 20,
	RH_TRACE_FLAGS = RH_EVF_ZEROED | RH_EVF_NOSCAN | RH_EVF_SCAN_KNOWN | RH_EVF_ESTIMATED |
			 RH_EVF_TINY | RH_EVF_SIZED | RH_EVF_REALLOC | RH_EVF_NEW,
};

/* Which fields a kind has: letters of its row as bits. */
enum rh_field {
	RH_FIELD_BORN = 1u << 0,   /* I */
	RH_FIELD_DIES = 1u << 1,   /* O */
	RH_FIELD_TASK = 1u << 2,   /* T */
	RH_FIELD_NUMBER = 1u << 3, /* N */
	RH_FIELD_SIZE = 1u << 4,   /* S */
	RH_FIELD_ALIGN = 1u << 5,  /* A */
	RH_FIELD_FLAGS = 1u << 6,  /* F */
	RH_FIELD_ARG = 1u << 7,	   /* R */
	RH_FIELD_LIVES = 1u << 8,  /* U */
};

struct rh_order {
	struct rh_live *objects; /* payload: the size, uint64_t */
	struct rh_live *tasks;	 /* id + 1 = task number */
	unsigned char *lanes;	 /* true = running */
	size_t lanes_cap;
	unsigned columns;
	uint16_t fields[RH_EV_COUNT];
	struct rh_trace_totals totals;
	char why[200];
	bool no_memory; /* `why` is about memory: the trace is not to blame */
};

bool rh_order_open(struct rh_order *order, unsigned columns);
void rh_order_close(struct rh_order *order);

/* An event that names objects by id. Fields it does not carry, or that the trace has no
 * column for, are set to "absent" (RH_NONE, size 0). *rank gets the liveness rank of what dies or
 * is asked about. */
bool rh_order_put(struct rh_order *order, struct rh_event *event, uint64_t *rank);

enum {
	RH_ORDER_AHEAD = 16,  /* events whose deaths are looked up early */
	RH_ORDER_NEAR = 8192, /* living objects: so many lie in the cache anyway */
};

/* The same for events in a row, as long as each is an ALLOC or FREE that nothing can be said
 * against; nothing is cleared in them. How many were put, `most` at most (`count` are there, and
 * looked up early); the next one has to be put by itself. */
size_t rh_order_put_usual(struct rh_order *order, const struct rh_event *events, uint64_t *ranks,
			  size_t most, size_t count);

/* `event` will be put in 16 events or so; very soon: in 8. Starts cache misses early. */
static inline void rh_order_soon(const struct rh_order *order, const struct rh_event *event,
				 bool very)
{
	if (event->kind == RH_EV_FREE || event->kind == RH_EV_USABLE)
		rh_live_soon(order->objects, event->id, very);
	else if (event->kind == RH_EV_RESIZE)
		rh_live_soon(order->objects, event->old, very);
}

enum { RH_ORDER_BATCH = 32 };

/* The same for at most RH_ORDER_BATCH events that name what dies by rank, of known kinds;
 * ids are filled in. A spawn may only be the last. Returns how many are legal: fewer than
 * count means that the one after them is refused. Together they cost a third less than one
 * by one when millions of objects live: first all ranks are found, then all objects read. */
size_t rh_order_get(struct rh_order *order, struct rh_event *events, const uint64_t *ranks,
		    size_t count);

/* Sets what event's kind and the columns do not carry to "absent". */
void rh_order_clear_absent(const struct rh_order *order, struct rh_event *event);

#endif
