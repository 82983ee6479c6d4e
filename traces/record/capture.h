/*
 * capture.h - the records from the rings, in order of arrival, until the trace is made.
 *
 * A file next to the output, OUT.capture, that is complete by itself: a head, then frames, each
 * a process image or a chunk of one ring's records. If the recorder is killed, `reheap record
 * --recover` makes the traces from it. It is removed once they are written.
 *
 *	+------+---------+-------+-------+----
 *	| head | reserve | frame | frame | ...
 *	+------+---------+-------+-------+----
 *	 4 KiB  to 1 MiB  from 1 MiB on
 *
 * The reserve is disk space that is released when the disk is full, so that writing the trace
 * can begin; the trace then grows into the space of chunks that have been read. An index in
 * memory, 48 bytes per chunk, says which image and ring each chunk belongs to. A chunk can be
 * read without its predecessors, so the oldest may be dropped (keep last).
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

/* What the traces need besides the records; the numbers are part of the file format. */
struct rh_capture_head {
	char magic[8];
	uint32_t head_bytes, counter; /* counter: stamps are the CPU's */
	double ns_per_tick;
	int32_t recorder, program; /* process ids */
	uint32_t time, sites, residency, pad;
	uint64_t sample_bytes;
	uint64_t first; /* frames before it were dropped */
	char out[3072]; /* the trace that was asked for */
};

struct rh_capture {
	int fd;
	char path[4112]; /* "" = it has no name */
	bool keep;	 /* the file is kept with all its contents */
	bool whole;	 /* chunks stay after reading: the disk has room for the trace as well */
	struct rh_capture_head head;
	uint64_t bytes; /* end of the file */
	struct rh_chunk *chunks;
	size_t first, count, room; /* chunks[first..count) are kept */
	uint64_t kept_bytes, kept_events;
	uint64_t given_up_events; /* of chunks dropped to keep the last */
};

int rh_capture_open(struct rh_capture *capture, const char *beside, struct rh_err *err);
/* Writes the current capture->head into the file. */
int rh_capture_put_head(const struct rh_capture *capture, struct rh_err *err);
/* Frames beside the chunks: any bytes, which are read back in the order of writing. */
enum rh_frame_kind {
	RH_FRAME_IMAGE = 1, /* a process image */
	RH_FRAME_CHUNK,
	RH_FRAME_IMAGE_END, /* an image as it was in the end, in the order of RH_FRAME_IMAGE */
	RH_FRAME_END,	    /* the recording ended (later.h) */
};
enum { RH_CAPTURE_FRAME_MOST = 65536 };
struct rh_frame_data {
	const void *data;
	size_t bytes;
};
int rh_capture_add_frame(struct rh_capture *capture, enum rh_frame_kind kind,
			 struct rh_frame_data data, struct rh_err *err);
/* Releases space for the trace on a full disk. */
void rh_capture_give_reserve(const struct rh_capture *capture);

/* Reads a capture that a recorder left: its chunks go into the index, all else to the function.
 * It ends at a torn frame. */
struct rh_capture_visit {
	int (*frame)(void *data, enum rh_frame_kind kind, struct rh_frame_data frame,
		     struct rh_err *err);
	void *data;
};
int rh_capture_recover(struct rh_capture *capture, const char *path,
		       const struct rh_capture_visit *visit, struct rh_err *err);

/* Appends a chunk of `count` words. chunk->offset and ->words are filled in here. A full disk is
 * RH_IO, and the chunk is not there. */
int rh_capture_add(struct rh_capture *capture, struct rh_chunk *chunk, const uint64_t *words,
		   size_t count, struct rh_err *err);

/* Drops the oldest chunks while at least this much would remain. 0 = no such bound. */
void rh_capture_keep_last(struct rh_capture *capture, uint64_t events, uint64_t bytes);

/* Reads part of a chunk. */
struct rh_chunk_part {
	size_t from, count; /* words */
};
int rh_capture_read(const struct rh_capture *capture, const struct rh_chunk *chunk,
		    struct rh_chunk_part part, uint64_t *into, struct rh_err *err);

/* Releases the disk space of a chunk that is not read again, unless everything is kept. */
void rh_capture_forget(const struct rh_capture *capture, const struct rh_chunk *chunk);

/* The chunk at that place of the index is in a finished trace: its disk space is released. */
void rh_capture_release(struct rh_capture *capture, size_t index);
/* Takes those out of the index; returns how many were before `end`. */
size_t rh_capture_compact(struct rh_capture *capture, size_t end);

/* Removes the file, unless it is to be kept. */
void rh_capture_close(struct rh_capture *capture);

#endif
