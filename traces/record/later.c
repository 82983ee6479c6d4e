/*
 * later.c - see later.h.
 */
#include "traces/record/later.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

_Static_assert(sizeof(struct rh_later) <= RH_CAPTURE_FRAME_MOST, "a frame holds it");

static void of_emit(const struct rh_emit *what, struct rh_later *later)
{
	later->ns_per_tick = what->ns_per_tick;
	later->dropped = what->dropped;
	later->nested = what->nested;
	later->no_ring = what->no_ring;
	later->sample_full = what->sample_full;
	later->waits = what->waits;
	later->wait_ns = what->wait_ns;
	snprintf(later->children, sizeof later->children, "%s",
		 what->children ? what->children : "");
}

void rh_later_losses(const struct rh_later *later, struct rh_emit *what)
{
	what->dropped = later->dropped;
	what->nested = later->nested;
	what->no_ring = later->no_ring;
	what->sample_full = later->sample_full;
	what->waits = later->waits;
	what->wait_ns = later->wait_ns;
}

static void of_session(const struct rh_session *session, struct rh_later *later)
{
	const struct rh_record_opts *opts = session->opts;

	later->discarded = session->drain.discarded;
	later->given_up_events = session->drain.capture.given_up_events;
	later->max_events = opts->max_events;
	later->reaped = session->reaped;
	later->wait_status = session->wait_status;
	later->attached = session->attached != 0;
	later->keep = (uint32_t)opts->keep;
	later->partial = opts->pid || opts->attach_after_ns || opts->duration_ns || opts->paused;
	later->maps = opts->maps_shim != NULL;
	later->follow = opts->follow;
	later->span_count = (uint32_t)session->span_count;
	memcpy(later->spans, session->spans, session->span_count * sizeof *later->spans);
	snprintf(later->full, sizeof later->full, "%s", session->drain.full.text);
	snprintf(later->clock_why, sizeof later->clock_why, "%s",
		 session->clock.why ? session->clock.why : "");
}

int rh_later_put(struct rh_session *session, const struct rh_emit *what, struct rh_later *later,
		 struct rh_err *err)
{
	struct rh_drain *drain = &session->drain;

	assert(session->span_count <= RH_SPANS_MAX);
	of_session(session, later);
	of_emit(what, later);
	for (size_t i = 0; i < drain->image_count; i++)
		if (rh_capture_add_frame(
			    &drain->capture, RH_FRAME_IMAGE_END,
			    (struct rh_frame_data){ &drain->images[i], sizeof *drain->images },
			    err) < 0)
			return -1;
	return rh_capture_add_frame(&drain->capture, RH_FRAME_END,
				    (struct rh_frame_data){ later, sizeof *later }, err);
}

static void end_text(char *text, size_t room)
{
	text[room - 1] = '\0';
}

static void to_options(struct rh_record_opts *opts, const struct rh_later *later)
{
	opts->keep = later->keep == RH_KEEP_LAST ? RH_KEEP_LAST : RH_KEEP_FIRST;
	opts->max_events = later->max_events;
	opts->attach_after_ns = later->partial != 0;
	opts->maps_shim = later->maps ? "libreheap-maps.so" : NULL;
	opts->follow = later->follow != 0;
}

bool rh_later_take(struct rh_session *session, struct rh_record_opts *opts, struct rh_later *later)
{
	struct rh_drain *drain = &session->drain;

	if (later->span_count > RH_SPANS_MAX ||
	    !(later->ns_per_tick > 0 && later->ns_per_tick < 1e9))
		return false;
	end_text(later->clock_why, sizeof later->clock_why);
	end_text(later->full, sizeof later->full);
	end_text(later->later, sizeof later->later);
	end_text(later->children, sizeof later->children);
	to_options(opts, later);
	session->clock.ns_per_tick = later->ns_per_tick;
	session->clock.why = later->clock_why[0] ? later->clock_why : NULL;
	session->reaped = later->reaped != 0;
	session->wait_status = later->wait_status;
	session->attached = later->attached != 0;
	session->span_count = later->span_count;
	memcpy(session->spans, later->spans, sizeof session->spans);
	drain->discarded = later->discarded;
	drain->capture.given_up_events = later->given_up_events;
	drain->full.code = later->full[0] ? RH_IO : RH_OK;
	memcpy(drain->full.text, later->full, sizeof drain->full.text);
	session->later = later;
	return true;
}
