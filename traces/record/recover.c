/*
 * recover.c - the traces of a capture whose recorder was killed, or was told to leave them
 * (later.h).
 *
 * The capture holds every image and every chunk with all state needed to read it alone. Missing
 * are the records that were in the rings when the recorder died, and how the program ended; of
 * --later nothing is missing.
 */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "traces/record/later.h"
#include "traces/record/session.h"

/* What the frames of a capture bring. */
struct taken {
	struct rh_drain *drain;
	size_t ends; /* images as they were in the end: the last ones of the drain */
	bool ended;
	struct rh_later end;
};

static int take_frame(void *data, enum rh_frame_kind kind, struct rh_frame_data frame,
		      struct rh_err *err)
{
	struct taken *taken = data;
	struct rh_drain_recovered image = { frame.data, frame.bytes, kind == RH_FRAME_IMAGE_END };

	if (kind != RH_FRAME_END) {
		taken->ends += image.ended;
		return rh_drain_recover(taken->drain, image, err);
	}
	if (frame.bytes != sizeof taken->end)
		return rh_fail(err, RH_BAD_DATA, "the capture is of another version of reheap");
	memcpy(&taken->end, frame.data, frame.bytes);
	taken->ended = true;
	return 0;
}

/* The images of the end are all there are, for those of the beginning may have been dropped with
 * the chunks around them (keep last). Without an end it is the other way round. */
static void choose_images(const struct taken *taken)
{
	struct rh_drain *drain = taken->drain;
	size_t before = drain->image_count - taken->ends;

	assert(taken->ends <= drain->image_count);
	if (taken->ended)
		memmove(drain->images, drain->images + before, taken->ends * sizeof *drain->images);
	drain->image_count = taken->ended ? taken->ends : before;
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
	static struct taken taken;
	struct rh_capture_visit visit = { take_frame, &taken };
	const struct rh_capture_head *head = &drain->capture.head;

	taken = (struct taken){ .drain = drain };
	if (rh_capture_recover(&drain->capture, path, &visit, err) < 0)
		return -1;
	choose_images(&taken);
	if (count_events(drain, err) < 0)
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
	if (taken.ended && !rh_later_take(session, opts, &taken.end))
		return rh_fail(err, RH_BAD_DATA, "%s: how the recording ended cannot be read",
			       path);
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
