/*
 * merge.h - all threads of one process image as one stream of calls, ordered by stamp.
 *
 * A streaming k-way merge over the rings' chunks: memory is O(rings) buffers and the
 * chunk list of the image. Stamps of one ring never go back (see shim.h, shim_put); where they
 * seem to, a signal handler came first, and the later record is moved up.
 *
 * While the program runs (begin, then alternately add and turn, next until it returns 0), calls
 * come up to a cut: a moment before every ring's head was read. A record that was not there
 * then was published later, so no call before the cut depends on it; it comes late but not too
 * late, and its stamp may be that of an earlier record.
 *
 * Thread rule: one thread. Errors: RH_IO, RH_OS.
 */
#ifndef RH_RECORD_MERGE_H
#define RH_RECORD_MERGE_H

#include <stdbool.h>
#include <stdint.h>

#include "traces/format/row.h"
#include "traces/record/capture.h"

/* One call of one thread. Sites of TEXT records come as RH_REC_NAME with `name` set. */
struct rh_call {
	uint64_t stamp, address, size;
	uint32_t stream; /* dense number of the ring in this merge */
	uint32_t thread; /* thread number; UINT32_MAX = before its START was kept */
	uint32_t tid;
	uint32_t site;
	uint8_t kind; /* enum rh_rec_kind: only calls, no BASE, WIDE, SITE, TEXT */
	uint8_t align_log2;
	uint8_t how; /* an ALLOC: ALLOC, CALLOC, RE_BORN or NEW */
	bool resident, sized;
	uint64_t given; /* with sized: the size passed to the free */
	bool last;	/* of its thread: another starts on this ring, or nothing follows (as far as
			   known) */
	bool cut;	/* with last: nothing follows at all */
	const char *name;
};

struct rh_merge;

int rh_merge_open(struct rh_merge **merge, const struct rh_capture *capture, uint32_t image,
		  struct rh_err *err);
/* For a program that still runs: starts empty; chunks are added in the order of their capture. */
int rh_merge_begin(struct rh_merge **merge, const struct rh_capture *capture, struct rh_err *err);
int rh_merge_add(struct rh_merge *merge, const struct rh_chunk *chunk, struct rh_err *err);
/* Everything that the capture has of the image; chunks that are read are removed from it. */
int rh_merge_add_all(struct rh_merge *merge, uint32_t image, struct rh_err *err);
/* From here on calls with stamps before `until` are due; final: all are due, and no chunk will be
 * added. */
int rh_merge_turn(struct rh_merge *merge, uint64_t until, bool final, struct rh_err *err);
/* 1 = *call filled, 0 = none is due, -1 = error. */
int rh_merge_next(struct rh_merge *merge, struct rh_call *call, struct rh_err *err);
/*
 * The fast way: plain calls (row.h), all due and in order, of rows that each have one stream and
 * one stamp. None: the next record is another kind, or its thread's last, for rh_merge_next.
 */
struct rh_merge_row {
	uint64_t stamp;
	uint32_t stream, thread, tid, site; /* site: at its begin */
	uint32_t words;
};
struct rh_merge_rows {
	struct rh_merge_row row[RH_ROWS_WORDS];
	size_t count;
	uint64_t words[RH_ROWS_WORDS]; /* of all rows, one after another */
	size_t word_count;
};
int rh_merge_rows(struct rh_merge *merge, struct rh_merge_rows *rows, struct rh_err *err);
/* The next call of the same stream (NULL at its end); valid until the next call of this function.
 */
const struct rh_call *rh_merge_peek(const struct rh_merge *merge, uint32_t stream);
/* Every chunk before that place of the capture has been read to its end. */
uint64_t rh_merge_read_to(const struct rh_merge *merge);
uint32_t rh_merge_streams(const struct rh_merge *merge);
void rh_merge_close(struct rh_merge *merge);

#endif
