/*
 * merge.h - all threads of one process image as one stream of calls, ordered by stamp.
 *
 * A streaming k-way merge over the rings' chunks: memory is O(rings) buffers and the
 * chunk list of the image. Stamps of one ring never go back (see shim.h, shim_put);
 * where they seem to, a signal handler was quicker, and the later record is moved up.
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
	uint32_t stream;	/* dense number of the ring in this merge */
	uint32_t thread;	/* thread number; UINT32_MAX = before its START was kept */
	uint32_t tid;
	uint32_t site;
	uint8_t kind;		/* enum rh_rec_kind: calls only, no BASE, WIDE, SITE, TEXT */
	uint8_t align_log2;
	bool zeroed, resident;
	bool last;		/* of its thread on this ring: another starts, or nothing follows */
	bool cut;		/* with last: nothing follows at all */
	const char *name;
};

struct rh_merge;

int rh_merge_open(struct rh_merge **merge, const struct rh_capture *capture, uint32_t image,
		  struct rh_err *err);
/* 1 = *call filled, 0 = the end, -1 = error. */
int rh_merge_next(struct rh_merge *merge, struct rh_call *call, struct rh_err *err);
/* What the same stream brings next (NULL at its end); valid until the next call. */
const struct rh_call *rh_merge_peek(const struct rh_merge *merge, uint32_t stream);
uint32_t rh_merge_streams(const struct rh_merge *merge);
void rh_merge_close(struct rh_merge *merge);

#endif
