/*
 * capture.h - what came out of the rings, in order of arrival, until the trace is made.
 *
 * An unnamed file in the output's directory (O_TMPFILE: gone with us, whatever happens)
 * holds chunks of records; an index in memory says whose they are, 48 bytes for each.
 * A chunk can be read without its predecessors, so the oldest may be given up
 * (keep last) and their disk space returned at once.
 *
 * Thread rule: one thread. Errors: RH_CANT_CREATE, RH_IO, RH_OS.
 */
#ifndef RH_RECORD_CAPTURE_H
#define RH_RECORD_CAPTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "alloc/base/err.h"
#include "traces/record/area.h"

struct rh_chunk {
	uint64_t offset;	/* in the file */
	uint64_t stamp;		/* stamp that holds at its first record */
	uint64_t events;	/* records that become events */
	uint32_t words;		/* whole records: none begins in one chunk and ends in the next */
	uint32_t ring;
	uint32_t image;		/* process image, see drain.h */
	uint32_t thread;	/* thread number that holds at its first record; UINT32_MAX */
	uint32_t tid;
	uint32_t site;		/* site number that holds at its first record */
};

struct rh_capture {
	int fd;
	uint64_t bytes;			/* end of the file */
	struct rh_chunk *chunks;
	size_t first, count, room;	/* chunks[first..count) are kept */
	uint64_t kept_bytes, kept_events;
	uint64_t given_up_events;	/* of chunks dropped to keep the last */
};

int rh_capture_open(struct rh_capture *capture, const char *beside, struct rh_err *err);

/* Appends a chunk whose words lie in two pieces (a ring wraps). chunk->offset and
 * ->words are filled in here. A full disk is RH_IO, and the chunk is not there. */
int rh_capture_add(struct rh_capture *capture, struct rh_chunk *chunk, const uint64_t *one,
		   size_t one_count, const uint64_t *two, size_t two_count,
		   struct rh_err *err);

/* Gives up the oldest chunks while at least this much would remain. 0 = no such bound. */
void rh_capture_keep_last(struct rh_capture *capture, uint64_t events, uint64_t bytes);

/* Reads count words of a chunk from its word `from`. */
int rh_capture_read(const struct rh_capture *capture, const struct rh_chunk *chunk, size_t from,
		    uint64_t *into, size_t count, struct rh_err *err);

/* Returns the disk space of a chunk that nobody reads again. */
void rh_capture_forget(const struct rh_capture *capture, const struct rh_chunk *chunk);

void rh_capture_close(struct rh_capture *capture);

#endif
