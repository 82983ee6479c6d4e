/*
 * stream.h - the traces of large images are written while the program runs.
 *
 * A thread of low priority merges, encodes and compresses what has been captured, so that
 * little is left for the program's end. It and the recorder's own thread take turns: in its
 * turn the recorder hands over what is new, as far as a cut goes (merge.h); while the writer
 * works nothing that it uses is touched, so that the rings are never kept waiting for it.
 *
 * The capture stays whole until a trace is there, or a segment of it (--rotate). Whatever goes
 * wrong here, the trace is made of it afterwards: nothing of this is needed, all of it saves time.
 *
 * Thread rule: all of it from the recorder's thread. Errors: none.
 */
#ifndef RH_RECORD_STREAM_H
#define RH_RECORD_STREAM_H

#include "traces/record/emit.h"

struct rh_stream;

/* NULL: there is no writer. Every function takes that. `needed`: also where there is one CPU. */
struct rh_stream *rh_stream_open(bool needed);
/* Every ring has been looked at since the clock said `cut`. Of `what` the image does not count;
 * its drain holds the capture. Does nothing while the writer works. */
void rh_stream_turn(struct rh_stream *stream, const struct rh_emit *what, uint64_t cut);
/* The writer is gone. */
void rh_stream_stop(struct rh_stream *stream);
/* Stops, and gives back what unfinished traces take of the disk; false: there was none. */
bool rh_stream_abandon(struct rh_stream *stream);
/* Stopped: the begun trace of an image, with all its chunks, to be ended; NULL: there is none. */
struct rh_emitter *rh_stream_take(struct rh_stream *stream, const struct rh_capture *capture,
				  uint32_t image);
/* --rotate: segments of that image that are finished, whatever became of the writer. */
uint64_t rh_stream_segments(const struct rh_stream *stream, uint32_t image);
void rh_stream_close(struct rh_stream *stream);

#endif
