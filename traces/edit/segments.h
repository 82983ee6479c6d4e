/*
 * segments.h - one stream of events as several traces, each whole by itself.
 *
 * The writer of the stream says when a segment ends and provides the trace for the next one. A
 * segment begins with everything alive: an alloc for each object, with its size, alignment and
 * lane, and a spawn for each task (as in `reheap cut`, cut_take.h). So each can be read, replayed
 * and verified alone, and births, less the carried ones, add up to the stream's. Times count from
 * the segment's begin. Notes of a segment:
 *	segment				its number, from 1
 *	segment.start_ns		its begin, in the stream's time
 *	segment.carried_objects, segment.carried_bytes, segment.carried_tasks
 * A join of a task that ended in an earlier segment is left out (cut.joins_left_out).
 *
 * Memory: O(living objects + lanes + names of sites). Thread rule: one thread. Errors: as trace.h.
 */
#ifndef RH_SEGMENTS_H
#define RH_SEGMENTS_H

#include "traces/format/trace.h"

struct rh_segments;

int rh_segments_open(struct rh_segments **segments, struct rh_err *err);
/* The next segment; `out` stays the caller's. */
int rh_segments_begin(struct rh_segments *segments, struct rh_trace_out *out, struct rh_err *err);
/* Events of the stream, in its numbers. `segments` is a struct rh_segments. */
int rh_segments_put(void *segments, const struct rh_event *events, size_t count,
		    struct rh_err *err);
/* Adds a name to this segment and all later ones. */
int rh_segments_site(struct rh_segments *segments, uint32_t site, const char *name,
		     struct rh_err *err);
/* Its notes, before its trace is finished. */
int rh_segments_notes(struct rh_segments *segments, struct rh_err *err);
uint64_t rh_segments_number(const struct rh_segments *segments);
/* Time in the stream since the segment's begin; 0 where there are no times. */
uint64_t rh_segments_age_ns(const struct rh_segments *segments);
/* Segments with numbers up to this already exist. */
void rh_segments_skip(struct rh_segments *segments, uint64_t number);
void rh_segments_close(struct rh_segments *segments);

#endif
