/*
 * stream.c - see stream.h.
 *
 * This pays for images of 200,000 events and more: smaller ones are written in a moment.
 * At most four at once, because each takes memory for its living objects and 20 MiB of buffers.
 *
 * The cut is a millisecond before the rings are read: clocks of two CPUs may differ slightly.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "alloc/base/os.h"
#include "traces/record/stream.h"

enum {
	STREAMS = 4,
	WORTH_EVENTS = 200 * 1000, /* the default */
	NICE = 15,		   /* 3 % of a CPU that the program wants too */
	MARGIN_MS = 1,
};

enum whose { RECORDERS, WRITERS, ENDED };

struct part {
	struct rh_emitter *emit; /* NULL: abandoned, or taken */
	uint32_t image;
	bool failed;
	uint64_t segments; /* that are finished */
};

struct rh_stream {
	pthread_t thread;
	bool threaded;
	_Atomic uint32_t whose; /* enum whose: owner of all below; a futex word */
	struct part parts[STREAMS];
	size_t count;
	size_t handed; /* chunks of the capture */
};

/* ---- the writer ---- */

static void write_parts(struct rh_stream *stream)
{
	struct rh_err err = { 0 };

	for (size_t i = 0; i < stream->count; i++) {
		struct part *part = &stream->parts[i];

		if (part->emit && !part->failed)
			part->failed = rh_emit_work(part->emit, &err) < 0;
	}
}

static void *write_along(void *data)
{
	struct rh_stream *stream = data;

	setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), NICE);
	for (;;) {
		uint32_t whose = atomic_load(&stream->whose), writers = WRITERS;

		if (whose == ENDED)
			return NULL;
		if (whose == RECORDERS) {
			rh_futex_wait(&stream->whose, RECORDERS, UINT64_MAX);
			continue;
		}
		write_parts(stream);
		atomic_compare_exchange_strong(&stream->whose, &writers, RECORDERS);
	}
}

struct rh_stream *rh_stream_open(bool needed)
{
	struct rh_stream *stream = needed || rh_cpu_count() > 1 ? calloc(1, sizeof *stream) : NULL;
	sigset_t all, before;

	if (!stream)
		return NULL;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	stream->threaded = pthread_create(&stream->thread, NULL, write_along, stream) == 0;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (stream->threaded)
		return stream;
	free(stream);
	return NULL;
}

/* ---- the recorder's turns ---- */

static struct part *part_of(struct rh_stream *stream, uint32_t image)
{
	for (size_t i = 0; i < stream->count; i++)
		if (stream->parts[i].image == image)
			return &stream->parts[i];
	return NULL;
}

uint64_t rh_stream_segments(const struct rh_stream *stream, uint32_t image)
{
	for (size_t i = 0; stream && i < stream->count; i++)
		if (stream->parts[i].image == image)
			return stream->parts[i].segments;
	return 0;
}

/* Chunks in finished segments are dropped from the capture, which keeps the size of a segment. */
static void release(struct rh_stream *stream, struct rh_capture *capture)
{
	bool any = false;

	for (size_t i = 0; i < stream->count; i++) {
		struct part *part = &stream->parts[i];
		uint64_t segments = part->emit ? rh_emit_segments(part->emit) : part->segments;

		any |= segments != part->segments;
		part->segments = segments;
	}
	for (size_t i = capture->first; any && i < stream->handed; i++) {
		const struct part *part = part_of(stream, capture->chunks[i].image);

		if (part && part->emit && rh_emit_is_done(part->emit, &capture->chunks[i]))
			rh_capture_release(capture, i);
	}
	if (any)
		stream->handed -= rh_capture_compact(capture, stream->handed);
}

static void give_up(struct part *part)
{
	rh_emit_close(part->emit);
	part->emit = NULL;
}

/* Adds the chunks in [from, to) of the capture that belong to this part. */
static void hand_over(struct part *part, const struct rh_capture *capture, size_t from, size_t to)
{
	struct rh_err err = { 0 };

	for (size_t i = from; i < to && part->emit; i++)
		if (capture->chunks[i].image == part->image &&
		    rh_emit_add(part->emit, &capture->chunks[i], &err) < 0)
			give_up(part);
}

static void begin_parts(struct rh_stream *stream, const struct rh_emit *what)
{
	uint64_t worth = what->opts->along_events ? what->opts->along_events : WORTH_EVENTS;
	struct rh_err err = { 0 };

	for (size_t i = 0; i < what->drain->image_count && stream->count < STREAMS; i++) {
		struct rh_emit one = *what;
		struct part *part = &stream->parts[stream->count];

		if (what->drain->images[i].events < worth || part_of(stream, (uint32_t)i))
			continue;
		one.image = (uint32_t)i;
		*part = (struct part){ .image = (uint32_t)i };
		stream->count++;
		if (rh_emit_begin(&part->emit, &one, what->opts->out, &err) < 0)
			give_up(part);
		hand_over(part, &what->drain->capture, 0, stream->handed);
	}
}

void rh_stream_turn(struct rh_stream *stream, const struct rh_emit *what, uint64_t cut)
{
	struct rh_capture *capture = &what->drain->capture;
	uint64_t margin = MARGIN_MS * what->drain->area->ticks_per_ms;
	struct rh_err err = { 0 };
	bool work = false;

	if (!stream || !stream->threaded || atomic_load(&stream->whose) != RECORDERS)
		return;
	release(stream, capture);
	begin_parts(stream, what);
	for (size_t i = 0; i < stream->count; i++) {
		struct part *part = &stream->parts[i];

		if (part->failed)
			give_up(part);
		hand_over(part, capture, stream->handed, capture->count);
		if (part->emit && rh_emit_turn(part->emit, what, cut - margin, &err) < 0)
			give_up(part);
		work |= part->emit != NULL;
	}
	stream->handed = capture->count;
	if (!work)
		return;
	atomic_store(&stream->whose, WRITERS);
	rh_futex_wake(&stream->whose, 1);
}

void rh_stream_stop(struct rh_stream *stream)
{
	if (!stream || !stream->threaded)
		return;
	for (size_t i = 0; i < stream->count; i++)
		if (stream->parts[i].emit)
			rh_emit_hold(stream->parts[i].emit);
	atomic_store(&stream->whose, ENDED);
	rh_futex_wake(&stream->whose, 1);
	pthread_join(stream->thread, NULL);
	stream->threaded = false;
}

bool rh_stream_abandon(struct rh_stream *stream)
{
	bool any = false;

	rh_stream_stop(stream);
	for (size_t i = 0; stream && i < stream->count; i++) {
		any |= stream->parts[i].emit != NULL;
		give_up(&stream->parts[i]);
	}
	return any;
}

struct rh_emitter *rh_stream_take(struct rh_stream *stream, const struct rh_capture *capture,
				  uint32_t image)
{
	struct part *part = stream ? part_of(stream, image) : NULL;
	struct rh_emitter *emit;

	if (!part)
		return NULL;
	if (part->failed)
		give_up(part);
	hand_over(part, capture, stream->handed, capture->count);
	emit = part->emit;
	part->emit = NULL;
	return emit;
}

void rh_stream_close(struct rh_stream *stream)
{
	rh_stream_abandon(stream);
	free(stream);
}
