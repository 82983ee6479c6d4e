/*
 * emit.h - writes one process image of a capture as one trace. Thread rule: one thread at a
 * time; only rh_emit_hold may be called during rh_emit_work. Errors: those of trace.h and
 * merge.h.
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
	struct rh_drain *drain; /* the recorder's: only it changes it */
	uint32_t image;
	const struct rh_span *spans;
	size_t span_count;
	double ns_per_tick;
	const char *clock;		   /* notes: which clock, */
	const char *ended;		   /* how the program ended */
	uint64_t dropped, nested, no_ring; /* notes: what could not be recorded */
	uint64_t waits, wait_ns;
	bool recovered;	      /* from the capture of a recorder that was killed */
	uint64_t sample_full; /* blocks that were drawn but found no place in the sample */
	const char *children; /* note: the children that were recorded, and not; NULL: none */
	const char *later;    /* of complete.h; of the last segment */
	int program;	      /* number of the recorded program's process, as we see it */
	uint64_t segments;    /* of --rotate that this image has already */
	char *segment_path;   /* --rotate: out: the last segment's file, RH_SEGMENT_PATH */
	char *complete; /* out, RH_COMPLETE_TEXT bytes: the verdict, also written to the notes */
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
 * The same while the program runs: begin; then repeatedly add the image's new chunks, take a
 * turn, and work, in any thread; the last chunks are added before end. Chunks stay in the
 * capture after reading, so that this can be abandoned at any time (close). `path` may be
 * different at the end, in the same folder. Of `what`, only opts, drain, image, spans and
 * ns_per_tick count before the end.
 */
struct rh_emitter;

int rh_emit_begin(struct rh_emitter **emit, const struct rh_emit *what, const char *path,
		  struct rh_err *err);
int rh_emit_add(struct rh_emitter *emit, const struct rh_chunk *chunk, struct rh_err *err);
/* Calls with stamps before `until` become due. */
int rh_emit_turn(struct rh_emitter *emit, const struct rh_emit *what, uint64_t until,
		 struct rh_err *err);
int rh_emit_work(struct rh_emitter *emit, struct rh_err *err);
/* --rotate, between two calls of work: the number of finished segments, and whether such a chunk is
 * in them. */
uint64_t rh_emit_segments(const struct rh_emitter *emit);
bool rh_emit_is_done(const struct rh_emitter *emit, const struct rh_chunk *chunk);
/* Makes work return soon; calls that are due stay due. */
void rh_emit_hold(struct rh_emitter *emit);
/* Ends the emitter, whatever it returns. */
int rh_emit_end(struct rh_emitter *emit, const struct rh_emit *what, const char *path,
		struct rh_trace_totals *totals, struct rh_err *err);
void rh_emit_close(struct rh_emitter *emit);

#endif
