/*
 * emitter.h - shared by emit.c (a trace's life, its notes) and calls.c (calls into events).
 * Thread rule: one thread at a time. Errors: those of trace.h and merge.h.
 */
#ifndef RH_RECORD_EMITTER_H
#define RH_RECORD_EMITTER_H

#include <stdatomic.h>

#include "traces/edit/segments.h"
#include "traces/format/map.h"
#include "traces/format/repair.h"
#include "traces/record/before.h"
#include "traces/record/emit.h"
#include "traces/record/merge.h"
#include "traces/record/ranges.h"

enum re_state { RE_NONE, RE_OPEN, RE_DONE, RE_SPLIT };

struct rh_lane {
	uint64_t re_old;
	uint32_t task; /* 0 = the main thread, or spawned unseen */
	uint32_t thread, tid;
	uint8_t re;	   /* enum re_state */
	bool open, exited; /* has not ended; wrote EXIT */
};

struct rh_emitter {
	struct rh_emit what;
	struct rh_image image; /* as it was when this began */
	struct rh_span *spans;
	bool final;
	uint32_t lane_room;
	_Atomic int hold;
	uint64_t until, last_stamp;
	struct rh_merge *merge;
	struct rh_trace_out *out;
	struct rh_build *build;
	struct rh_lane *lanes; /* by stream: the thread on that ring now */
	struct rh_map tasks;   /* thread number -> task */
	struct rh_map handles; /* pthread_t -> task */
	struct rh_map joining; /* stream -> task it waits for */
	struct rh_before before;
	struct rh_ranges ranges;      /* --maps */
	struct rh_segments *segments; /* --rotate; else NULL */
	uint64_t done_to;	      /* chunks before that place of the capture are in segments
					 that are finished */
	char stem[RH_SEGMENT_PATH];   /* of their files */
	bool cut_file;		      /* the last unmapped range was a file */
	uint64_t start;		      /* stamp of time 0 */
	uint64_t calls;
	uint32_t next_task, reallocs_open;
	size_t span;
	struct rh_call ahead; /* fetched but must wait */
	bool queued;
};

/* Turns one call into events. */
int rh_emitter_call(struct rh_emitter *emit, const struct rh_call *call, struct rh_err *err);
/* Calls in rows, where possible: see merge.h, rh_merge_rows. *took: there were some. */
int rh_emitter_rows(struct rh_emitter *emit, bool *took, struct rh_err *err);
/* Time of a call with that stamp, or of an earlier call if that was later; RH_NONE: not wanted. */
uint64_t rh_emitter_time(struct rh_emitter *emit, uint64_t stamp);

/* The builder's key of a thread. */
static inline uint64_t rh_emitter_key(uint32_t tid, uint32_t stream)
{
	return tid ? tid : (1ull << 32) + stream;
}

/* A realloc in progress on another thread has freed the block that this call got, and its end has
 * not been seen yet but is due. */
bool rh_emitter_must_wait(const struct rh_emitter *emit, const struct rh_call *call);
/* emit.c, for rotate.c: begins a trace of that name; writes its final notes. */
int rh_emitter_create(struct rh_emitter *emit, const char *path, struct rh_err *err);
int rh_emitter_notes(struct rh_emitter *emit, struct rh_err *err);
int rh_emitter_verdict(struct rh_emitter *emit, struct rh_err *err);
/* rotate.c: begins the first segment; begins the next one if due; the files' names; ends the last
 * and returns its path. */
int rh_rotate_begin(struct rh_emitter *emit, struct rh_err *err);
int rh_rotate_look(struct rh_emitter *emit, struct rh_err *err);
void rh_rotate_name(struct rh_emitter *emit);
int rh_rotate_end(struct rh_emitter *emit, char path[RH_SEGMENT_PATH], struct rh_err *err);
/* Ends threads that wrote EXIT and were not followed by another on their ring. */
int rh_emitter_end_open(struct rh_emitter *emit, struct rh_err *err);

#endif
