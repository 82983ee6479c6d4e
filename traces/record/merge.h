/*
 * merge.h - all threads of one process image as one stream of calls, ordered by stamp.
 *
 * A streaming k-way merge over the rings' chunks: memory is O(rings) buffers and the
 * chunk list of the image. Stamps of one ring never go back (see shim.h, shim_put);
 * where they seem to, a signal handler was quicker, and the later record is moved up.
 *
 * While the program runs (begin, then add and turn in turn, next until it returns 0) calls come
 * as far as a cut goes: a moment before a look at every ring's head. What was not there at that
 * look was published after it, so no call before the cut depends on it, and it comes late but
 * not too late; its stamp may be that of an earlier one.
 *
 * Thread rule: one thread. Errors: RH_IO, RH_OS.
 */
#ifndef RH_RECORD_MERGE_H
#define RH_RECORD_MERGE_H

#include <stdbool.h>
#include <stdint.h>

#include "traces/record/capture.h"

/* One call of one thread. Sites of TEXT records come as RH_REC_NAME with `name` set. */
struct rh_call {
	uint64_t stamp, address, size;
	uint32_t stream; /* dense number of the ring in this merge */
	uint32_t thread; /* thread number; UINT32_MAX = before its START was kept */
	uint32_t tid;
	uint32_t site;
	uint8_t kind; /* enum rh_rec_kind: calls only, no BASE, WIDE, SITE, TEXT */
	uint8_t align_log2;
	bool zeroed, resident, sized;
	uint64_t given; /* with sized: the size that a free was given */
	bool last;	/* of its thread: another starts on this ring, or nothing follows (as far as
			   known) */
	bool cut;	/* with last: nothing follows at all */
	const char *name;
};

struct rh_merge;

int rh_merge_open(struct rh_merge **merge, const struct rh_capture *capture, uint32_t image,
		  struct rh_err *err);
/* Of a program that still runs: nothing yet, chunks are added in order of their capture. */
int rh_merge_begin(struct rh_merge **merge, const struct rh_capture *capture, struct rh_err *err);
int rh_merge_add(struct rh_merge *merge, const struct rh_chunk *chunk, struct rh_err *err);
/* All that the capture has of the image; what is read goes out of it. */
int rh_merge_add_all(struct rh_merge *merge, uint32_t image, struct rh_err *err);
/* From here on calls with stamps before `until` are due; final: all, and no chunk is added. */
int rh_merge_turn(struct rh_merge *merge, uint64_t until, bool final, struct rh_err *err);
/* 1 = *call filled, 0 = none is due, -1 = error. */
int rh_merge_next(struct rh_merge *merge, struct rh_call *call, struct rh_err *err);
/*
 * The fast way: calls in a row that need no more than an address and a size. Fills fewer than
 * `most` of them, all before `until` and in order; 0: what comes next is something else, for
 * rh_merge_next. A realloc whose two ends follow each other comes as one.
 */
struct rh_plain {
	uint64_t stamp, address; /* never 0 */
	uint64_t size;		 /* of a free what it was given + 1, 0 = nothing */
	uint64_t old;		 /* RE_END: the block that ends */
	uint32_t stream, site;
	uint32_t kind; /* FREE, ALLOC, CALLOC, RE_END, USABLE */
};
size_t rh_merge_plain(struct rh_merge *merge, struct rh_plain *calls, size_t most);
/* Who makes the calls of a stream at present. */
void rh_merge_who(const struct rh_merge *merge, uint32_t stream, uint32_t *thread, uint32_t *tid);
/* What the same stream brings next (NULL at its end); valid until the next call. */
const struct rh_call *rh_merge_peek(const struct rh_merge *merge, uint32_t stream);
/* Every chunk before that place of the capture has been read to its end. */
uint64_t rh_merge_read_to(const struct rh_merge *merge);
uint32_t rh_merge_streams(const struct rh_merge *merge);
void rh_merge_close(struct rh_merge *merge);

#endif
