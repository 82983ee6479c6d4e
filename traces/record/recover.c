/*
 * recover.c - the traces of a capture whose recorder was killed.
 *
 * The capture holds every image and every chunk with all state needed to read it alone. Missing
 * are the records that were in the rings when the recorder died, and how the program ended.
 */
#include <stdio.h>
#include <string.h>

#include "traces/record/session.h"

static int take_image(void *data, const void *image, size_t bytes, struct rh_err *err)
{
	return rh_drain_recover(data, image, bytes, err);
}

/* Chunks of an image that was never described mean that the file is damaged. */
static int count_events(struct rh_drain *drain, struct rh_err *err)
{
	for (size_t i = 0; i < drain->capture.count; i++) {
		const struct rh_chunk *chunk = &drain->capture.chunks[i];

		if (chunk->image >= drain->image_count)
			return rh_fail(err, RH_BAD_DATA,
				       "%s: records of process %u, which it does not describe",
				       drain->capture.path, chunk->image);
		drain->images[chunk->image].events += chunk->events;
		drain->events += chunk->events;
	}
	return 0;
}

static int recover(struct rh_session *session, struct rh_record_opts *opts, const char *path,
		   struct rh_err *err)
{
	struct rh_drain *drain = &session->drain;
	struct rh_capture_visit visit = { take_image, drain };
	const struct rh_capture_head *head = &drain->capture.head;

	if (rh_capture_recover(&drain->capture, path, &visit, err) < 0 ||
	    count_events(drain, err) < 0)
		return -1;
	if (!opts->out)
		opts->out = head->out;
	opts->time = head->time;
	opts->sites = head->sites;
	opts->residency = head->residency;
	opts->sample_bytes = head->sample_bytes;
	session->opts = opts;
	session->child = head->program;
	session->clock = (struct rh_clock){
		.source = head->counter ? RH_CLOCK_TSC : RH_CLOCK_MONOTONIC,
		.name = head->counter ? "tsc" : "CLOCK_MONOTONIC",
		.ns_per_tick = head->ns_per_tick,
	};
	session->recovered = true;
	session->spans[session->span_count++] = (struct rh_span){ 0, UINT64_MAX };
	if (drain->image_count == 0)
		return rh_fail(err, RH_BAD_DATA, "%s: the recorder was killed before any call",
			       path);
	if (!rh_session_finish(session))
		return rh_fail(err, RH_IO, "not all of %s is in a trace; it is kept", path);
	drain->capture.keep = false;
	return 0;
}

int rh_record_recover(const struct rh_record_opts *opts, const char *capture, struct rh_err *err)
{
	static struct rh_session session;
	struct rh_record_opts copy = *opts;
	int result;

	memset(&session, 0, sizeof session);
	result = recover(&session, &copy, capture, err);
	rh_drain_close(&session.drain);
	return result;
}
