/*
 * capture.h - what came out of the rings, in order of arrival, until the trace is made.
 *
 * A file beside the output, OUT.capture, that says all by itself: a head, then frames, each
 * a process image or a chunk of one ring's records. Should the recorder be killed, it is what
 * `reheap record --recover` makes the traces of. Once they are written it is removed.
 *
 *	+------+---------+-------+-------+----
 *	| head | reserve | frame | frame | ...
 *	+------+---------+-------+-------+----
 *	 4 KiB  to 1 MiB  from 1 MiB on
 *
 * The reserve is space on the disk that is given back when the disk is full, so that a trace
 * of what was captured can be begun; it grows into what the chunks give back as they are read.
 * An index in memory says whose the chunks are, 48 bytes for each. A chunk can be read
 * without its predecessors, so the oldest may be given up (keep last).
 *
 * Thread rule: one thread. Errors: RH_CANT_CREATE, RH_IO, RH_OS, RH_BAD_DATA, RH_NO_INPUT.
 */
#ifndef RH_RECORD_CAPTURE_H
#define RH_RECORD_CAPTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "alloc/base/err.h"
#include "traces/record/area.h"

struct rh_chunk {
	uint64_t offset; /* in the file */
	uint64_t stamp;	 /* stamp that holds at its first record */
	uint64_t events; /* records that become events */
	uint32_t words;	 /* whole records: none begins in one chunk and ends in the next */
	uint32_t ring;
	uint32_t image;	 /* process image, see drain.h */
	uint32_t thread; /* thread number that holds at its first record; UINT32_MAX */
	uint32_t tid;
	uint32_t site; /* site number that holds at its first record */
};

/* What the traces need beside the records; numbers are file format. */
struct rh_capture_head {
	char magic[8];
	uint32_t head_bytes, counter; /* counter: stamps are the CPU's */
	double ns_per_tick;
	int32_t recorder, program; /* process ids */
	uint32_t time, sites, residency, pad;
	uint64_t sample_bytes;
	uint64_t first; /* frames before it were given up */
	char out[3072]; /* the trace that was asked for */
};

struct rh_capture {
	int fd;
	char path[4112]; /* "" = it has no name */
	bool keep;	 /* the file stays, and all that is in it */
	bool whole;	 /* what is read stays in it: the disk has room for a trace beside it */
	struct rh_capture_head head;
	uint64_t bytes; /* end of the file */
	struct rh_chunk *chunks;
	size_t first, count, room; /* chunks[first..count) are kept */
	uint64_t kept_bytes, kept_events;
	uint64_t given_up_events; /* of chunks dropped to keep the last */
};

int rh_capture_open(struct rh_capture *capture, const char *beside, struct rh_err *err);
/* capture->head as it is now into the file. */
int rh_capture_put_head(const struct rh_capture *capture, struct rh_err *err);
/* Any bytes that say what an image is; they come back in the order of their putting. */
int rh_capture_add_image(struct rh_capture *capture, const void *image, size_t bytes,
			 struct rh_err *err);
/* Space for the trace, on a disk that is full. */
void rh_capture_give_reserve(const struct rh_capture *capture);

/* A capture that a recorder left: its chunks into the index, its images to the function. It
 * ends where a frame is torn. */
struct rh_capture_visit {
	int (*image)(void *data, const void *image, size_t bytes, struct rh_err *err);
	void *data;
};
int rh_capture_recover(struct rh_capture *capture, const char *path,
		       const struct rh_capture_visit *visit, struct rh_err *err);

/* Appends a chunk of `count` words. chunk->offset and ->words are filled in here. A full disk is
 * RH_IO, and the chunk is not there. */
int rh_capture_add(struct rh_capture *capture, struct rh_chunk *chunk, const uint64_t *words,
		   size_t count, struct rh_err *err);

/* Gives up the oldest chunks while at least this much would remain. 0 = no such bound. */
void rh_capture_keep_last(struct rh_capture *capture, uint64_t events, uint64_t bytes);

/* Reads part of a chunk. */
struct rh_chunk_part {
	size_t from, count; /* words */
};
int rh_capture_read(const struct rh_capture *capture, const struct rh_chunk *chunk,
		    struct rh_chunk_part part, uint64_t *into, struct rh_err *err);

/* Returns the disk space of a chunk that nobody reads again, unless all is to stay. */
void rh_capture_forget(const struct rh_capture *capture, const struct rh_chunk *chunk);

/* A chunk, by its place in the index, is in a trace that is finished: its disk space goes. */
void rh_capture_release(struct rh_capture *capture, size_t index);
/* Takes those out of the index; returns how many were before `end`. */
size_t rh_capture_compact(struct rh_capture *capture, size_t end);

/* Removes the file, unless it is to be kept. */
void rh_capture_close(struct rh_capture *capture);

#endif
