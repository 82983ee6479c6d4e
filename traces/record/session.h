/*
 * session.h - one recording, shared by supervise.c (while the program runs) and
 * finish.c (the traces and the summary). Thread rule: one thread.
 */
#ifndef RH_RECORD_SESSION_H
#define RH_RECORD_SESSION_H

#include <sys/types.h>

#include "alloc/base/clock.h"
#include "traces/record/children.h"
#include "traces/record/drain.h"
#include "traces/record/emit.h"
#include "traces/record/stream.h"

enum { RH_SPANS_MAX = 1024 };

struct rh_session {
	const struct rh_record_opts *opts;
	struct rh_clock clock;
	struct rh_area *area;
	int area_fd;
	struct rh_drain drain;
	struct rh_children children; /* that are not recorded */
	struct rh_stream *stream;    /* NULL: traces are written at the end */
	pid_t child;
	int attached;		    /* pidfd of a program that is not our child; else 0 */
	struct rh_dormant *dormant; /* page of a program whose shim slept; else NULL */
	bool reaped;
	bool strict; /* it ended in strict seccomp mode */
	int wait_status;
	uint64_t began_ns, began_ticks; /* the same moment on both clocks */
	struct rh_span spans[RH_SPANS_MAX];
	size_t span_count;
	bool recording;		      /* the last span is open */
	int toggles_seen;	      /* of the --toggle signal */
	bool stopped;		      /* for good: a limit, a full disk, a signal */
	bool recovered;		      /* from a capture: there is no area */
	const struct rh_later *later; /* of --later: how it ended; or NULL */
	uint64_t lost;		      /* calls that are in no trace, as reported */
	bool waiting_reported;	      /* the wait for what the program left running */
	uint64_t over_ns;	      /* when the program was reaped */
};

/* Starts writing traces while the program runs; called once, after it has started. */
void rh_session_write_along(struct rh_session *session);
/* All rings have been read since the clock showed `cut`: writing may proceed up to there. */
void rh_session_turn(struct rh_session *session, uint64_t cut);
/* Writes every image's trace and prints the summary. True when all captured calls are in traces. */
bool rh_session_finish(struct rh_session *session);
/* After the program's end: prints how many calls it made while recording was off. */
void rh_session_afterwards(struct rh_session *session);

#endif
