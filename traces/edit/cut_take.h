/*
 * cut_take.h - the picture of what lives while a trace is cut, and how an event changes it.
 * Internal to cut.c (which says when the window opens), segments.c and cut_take.c (what an event
 * does).
 */
#ifndef RH_CUT_TAKE_H
#define RH_CUT_TAKE_H

#include "traces/edit/cut.h"
#include "traces/format/huge_alloc.h"
#include "traces/format/live.h"
#include "traces/format/map.h"

/* Numbers are those of the result; RH_NONE: not in it. */
struct rh_cut_object {
	uint64_t number, size;
	uint32_t lane, site;
	uint16_t flags;
	uint8_t align_log2;
};

struct rh_cut_task {
	uint64_t number, stack_bytes;
	uint64_t frames; /* entered inside the window */
	uint32_t lane;
};

struct rh_cut_lane {
	uint64_t source_thread;
	uint32_t number; /* in the result; UINT32_MAX = not there */
	bool chosen, stopped;
};

/* Kinds of changes; cut.c has the keys of the notes in the same order. */
enum rh_cut_count {
	RH_CUT_OBJECTS_BEFORE,
	RH_CUT_TASKS_BEFORE,
	RH_CUT_TASKS_ADOPTED,
	RH_CUT_FREES_MOVED,
	RH_CUT_FREES_LEFT_OUT,
	RH_CUT_RESIZES_AS_ALLOCS,
	RH_CUT_RETURNS_LEFT_OUT,
	RH_CUT_JOINS_LEFT_OUT,
	RH_CUT_GC_ENDS_LEFT_OUT,
	RH_CUT_DRAINED,
	RH_CUT_COUNTS
};

struct rh_cutter {
	const struct rh_cut *cut;
	const char *path; /* of the source */
	struct rh_trace_out *out;
	struct rh_live *objects, *tasks;
	struct rh_map ended; /* task -> number, for joins */
	struct rh_cut_lane *lanes;
	size_t lane_count, lanes_cap;
	uint32_t lanes_out;
	uint64_t births, spawns; /* numbers given in the result */
	uint64_t time_base;	 /* RH_NONE until a time is known */
	uint64_t main_frames, gc_depth;
	bool open, hold_stops;
	uint64_t counts[RH_CUT_COUNTS];
	uint64_t bytes_before; /* of RH_CUT_OBJECTS_BEFORE */
};

/* Writes the picture as the beginning of a trace. */
int rh_cut_open_window(struct rh_cutter *c, struct rh_err *err);

/* One event of the source, before the window or in it. The event is changed. */
int rh_cut_take(struct rh_cutter *c, struct rh_event *event, struct rh_err *err);

/* Writes an event with the source's lane number and otherwise the result's numbers; starts the lane
 * if necessary. */
int rh_cut_put(struct rh_cutter *c, const struct rh_event *event, struct rh_err *err);

/* Puts a living task of the source into the result. */
int rh_cut_spawn(struct rh_cutter *c, struct rh_cut_task *task, uint32_t lane, uint64_t time_ns,
		 struct rh_err *err);

/* An event with nothing known but these. */
struct rh_event rh_cut_blank(enum rh_kind kind, uint32_t lane, uint64_t time_ns);

/* NULL: no memory for the cutter itself. */
int rh_cut_no_memory(const struct rh_cutter *c, struct rh_err *err);

#endif
