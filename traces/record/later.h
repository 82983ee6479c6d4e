/*
 * later.h - --later: the recording ends without its trace; the capture stays, with all that only
 * the recorder knew at the end, so that --recover makes the same trace of it.
 *
 * Behind the chunks come a frame for each image as it was in the end, and a frame about the
 * recording (capture.h). Without the last one the recorder was killed.
 *
 * Thread rule: one thread. Errors: RH_IO, RH_OS; RH_BAD_DATA of a capture of another version.
 */
#ifndef RH_RECORD_LATER_H
#define RH_RECORD_LATER_H

#include "traces/record/complete.h"
#include "traces/record/session.h"

/* What is written besides the images: of struct rh_emit and the session what the notes and the
 * verdict of a trace are made of. Part of the file format. */
struct rh_later {
	double ns_per_tick;
	uint64_t dropped, nested, no_ring, sample_full, waits, wait_ns;
	uint64_t discarded, given_up_events, max_events;
	int32_t reaped, wait_status, attached;
	uint32_t keep, partial, maps, follow, span_count;
	uint64_t unrecorded; /* children */
	char clock_why[200], full[600];
	char later[RH_COMPLETE_TEXT + 300]; /* see complete.h; "" = nothing */
	char children[RH_CHILDREN_NOTE];    /* the note; "" = none */
	struct rh_span spans[RH_SPANS_MAX];
};

/* `later` has what neither of the others knows: later and unrecorded. The rest is filled in here.
 */
int rh_later_put(struct rh_session *session, const struct rh_emit *what, struct rh_later *later,
		 struct rh_err *err);
/* As it was read from a file; false: it cannot be. What it says goes into the session, which keeps
 * a pointer to it, and its options; texts are ended. */
bool rh_later_take(struct rh_session *session, struct rh_record_opts *opts, struct rh_later *later);
/* The losses that it tells of. */
void rh_later_losses(const struct rh_later *later, struct rh_emit *what);

#endif
