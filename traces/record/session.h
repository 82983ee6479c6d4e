/*
 * session.h - one recording, shared by supervise.c (while the program runs) and
 * finish.c (the traces and the summary). Thread rule: one thread.
 */
#ifndef RH_RECORD_SESSION_H
#define RH_RECORD_SESSION_H

#include <sys/types.h>

#include "alloc/base/clock.h"
#include "traces/record/drain.h"
#include "traces/record/emit.h"

enum { RH_SPANS_MAX = 1024 };

struct rh_session {
	const struct rh_record_opts *opts;
	struct rh_clock clock;
	struct rh_area *area;
	int area_fd;
	struct rh_drain drain;
	pid_t child;
	bool reaped;
	int wait_status;
	uint64_t began_ns, began_ticks;	/* one moment on both clocks */
	struct rh_span spans[RH_SPANS_MAX];
	size_t span_count;
	bool recording;			/* the last span is open */
	int strange_sweeps;		/* that saw an image which has not loaded the recorder */
	int toggles_seen;		/* of the --toggle signal */
	bool stopped;			/* for good: duration, a maximum, a full disk */
};

/* Writes every image's trace and says so. True when all that was kept is in traces. */
bool rh_session_finish(struct rh_session *session);
/* When the program is over too: how many calls it made while recording was off. */
void rh_session_afterwards(struct rh_session *session);

#endif
