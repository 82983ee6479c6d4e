/*
 * stream.h - the traces of large images are written while the program runs.
 *
 * A thread of low priority merges, encodes and compresses what has been captured, so that
 * little is left for the program's end. It and the recorder's own thread take turns: in its turn
 * the recorder hands over new chunks, up to a cut (merge.h); while the writer works, nothing that
 * it uses is touched, so the rings never wait for it.
 *
 * The capture stays whole until the trace exists, or a segment of it (--rotate). If anything goes
 * wrong here, the trace is made from the capture afterwards: this code only saves time.
 *
 * Thread rule: all of it from the recorder's thread. Errors: none.
 */
#ifndef RH_RECORD_STREAM_H
#define RH_RECORD_STREAM_H

#include "traces/record/emit.h"

struct rh_stream;

/* NULL: there is no writer; every function accepts that. `needed`: start it even with one CPU. */
struct rh_stream *rh_stream_open(bool needed);
/* Every ring has been read since the clock showed `cut`. The image in `what` is ignored; its drain
 * holds the capture. Does nothing while the writer works. */
void rh_stream_turn(struct rh_stream *stream, const struct rh_emit *what, uint64_t cut);
/* Whether the writer has ended. */
void rh_stream_stop(struct rh_stream *stream);
/* Stops, and releases the disk space of unfinished traces; false: there were none. */
bool rh_stream_abandon(struct rh_stream *stream);
/* After stopping: the unfinished trace of an image, with all its chunks, for the caller to end;
 * NULL: there is none. */
struct rh_emitter *rh_stream_take(struct rh_stream *stream, const struct rh_capture *capture,
				  uint32_t image);
/* --rotate: the number of finished segments of that image, whatever became of the writer. */
uint64_t rh_stream_segments(const struct rh_stream *stream, uint32_t image);
void rh_stream_close(struct rh_stream *stream);

#endif
