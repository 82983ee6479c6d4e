/*
 * emit.h - one process image of a capture becomes one trace.
 * Thread rule: one thread at a time; only rh_emit_hold may be called beside rh_emit_work.
 * Errors: those of trace.h and merge.h.
 */
#ifndef RH_RECORD_EMIT_H
#define RH_RECORD_EMIT_H

#include <stdbool.h>
#include <stdint.h>

#include "traces/record/drain.h"
#include "traces/record/record.h"
#include "traces/format/trace.h"

/* A stretch of the recording that is kept, in stamps: [from, to). */
struct rh_span {
	uint64_t from, to;
};

struct rh_emit {
	const struct rh_record_opts *opts;
	struct rh_drain *drain; /* the recorder's own: it alone changes it */
	uint32_t image;
	const struct rh_span *spans;
	size_t span_count;
	double ns_per_tick;
	const char *clock;		   /* notes: which clock, */
	const char *ended;		   /* how the program ended */
	uint64_t dropped, nested, no_ring; /* notes: what could not be recorded */
	uint64_t waits, wait_ns;
	bool recovered;	      /* from the capture of a recorder that was killed */
	uint64_t sample_full; /* blocks that should be in the sample and had no place */
	const char *children; /* note: who was recorded and who not; NULL: there were none */
	int program;	      /* number of the recorded program's process, as we see it */
	uint64_t segments;    /* of --rotate that this image has already */
	char *segment_path;   /* --rotate: the last segment's file comes here, RH_SEGMENT_PATH */
	char *complete; /* RH_COMPLETE_TEXT bytes: the verdict comes here, and into the notes */
};

enum { RH_SEGMENT_PATH = 4096 };

/* Is it written in segments? */
static inline bool rh_emit_rotates(const struct rh_record_opts *opts)
{
	return opts->rotate_bytes || opts->rotate_ns;
}

int rh_emit(const struct rh_emit *what, const char *path, struct rh_trace_totals *totals,
	    struct rh_err *err);

/*
 * The same while the program runs. begin; then again and again the chunks of the image that
 * are new since, a turn, and work, in whatever thread; end gets the last chunks before. Chunks
 * are read and stay in the capture, so that this can be given up at any time (close). `path` may
 * be another one at the end, in the same folder. Of `what`, opts, drain, image, spans and
 * ns_per_tick count before the end.
 */
struct rh_emitter;

int rh_emit_begin(struct rh_emitter **emit, const struct rh_emit *what, const char *path,
		  struct rh_err *err);
int rh_emit_add(struct rh_emitter *emit, const struct rh_chunk *chunk, struct rh_err *err);
/* Calls that have stamps before `until` are due. */
int rh_emit_turn(struct rh_emitter *emit, const struct rh_emit *what, uint64_t until,
		 struct rh_err *err);
int rh_emit_work(struct rh_emitter *emit, struct rh_err *err);
/* --rotate, between two works: segments that are finished, and whether such a chunk is in them. */
uint64_t rh_emit_segments(const struct rh_emitter *emit);
bool rh_emit_is_done(const struct rh_emitter *emit, const struct rh_chunk *chunk);
/* Work returns soon; what is due stays due. */
void rh_emit_hold(struct rh_emitter *emit);
/* Ends the emitter, whatever it returns. */
int rh_emit_end(struct rh_emitter *emit, const struct rh_emit *what, const char *path,
		struct rh_trace_totals *totals, struct rh_err *err);
void rh_emit_close(struct rh_emitter *emit);

#endif
