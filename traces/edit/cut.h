/*
 * cut.h - cuts a part out of a trace; the result is a complete trace.
 *
 * The part is a window (of events or of time) and a choice of lanes. The result is closed:
 *	- objects alive where the window starts are allocated there, in the order of their
 *	  birth, on the lanes they belong to; tasks alive there are spawned there;
 *	- objects left live stay live, or are freed at the end (drain);
 *	- with a choice of lanes an object belongs to the lane that allocated it. An object that
 *	  another lane frees or resizes is freed or resized at that point by its own lane;
 *	  objects born on other lanes are not in the result, so their frees are dropped and their
 *	  resizes by a chosen lane become allocs;
 *	- lanes, objects and tasks are renumbered, times count from the window's start.
 * Changes are counted in notes (cut.*); the source's notes are kept.
 *
 * Memory: O(lanes + living objects + tasks that ended unjoined). Thread rule: one
 * thread. Errors: as trace.h.
 */
#ifndef RH_CUT_H
#define RH_CUT_H

#include "traces/format/trace.h"

struct rh_cut_span {
	uint64_t from, to; /* [from, to); to UINT64_MAX = the end */
};

struct rh_cut {
	struct rh_cut_span events;	 /* numbers from 0 in the source */
	struct rh_cut_span time_ns;	 /* from the first event at or after `from` */
	const struct rh_cut_span *lanes; /* any of these; NULL = all */
	size_t lane_spans;
	bool drain;
	const char *words; /* for the note "cut", as the user gave it */
	bool *truncated;   /* set: whether the source was cut off; NULL = not asked */
};

/* Cuts path into make->path (make->columns is set here). */
int rh_cut(const char *path, const struct rh_cut *cut, const struct rh_trace_make *make,
	   struct rh_trace_totals *totals, struct rh_err *err);

#endif
