/*
 * compressor.h - blocks of a trace compressed on a thread of their own, one at a time, while the
 * writer fills the next one.
 *
 *	writer:	fill 1 | start 1, fill 2 | wait, write 1, start 2, fill 3 | ...
 *	compress:	         | squeeze 1     |                | squeeze 2     | ...
 *
 * The bytes that come out depend on what goes in alone, not on which thread did it: where
 * no thread can be had, starting squeezes at once. The thread is made when the first block
 * is started.
 *
 * Ownership: the compressor owns what wait returns, until the next start or squeeze; raw bytes and
 * prefix are the caller's and stay untouched from start to wait. Thread rule: one caller.
 * Errors: RH_OS.
 */
#ifndef RH_COMPRESSOR_H
#define RH_COMPRESSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "alloc/base/err.h"

struct rh_compressor;

/* What is to be squeezed; prefix: bytes that a reader has then, or NULL. */
struct rh_compressor_job {
	const uint8_t *raw, *prefix;
	size_t raw_bytes, prefix_bytes;
};

/* level: zstd's, or the nearest that it has. raw_max: the longest raw there will be. *compressor is
 * to be closed, also after an error. */
int rh_compressor_open(struct rh_compressor **compressor, int level, size_t raw_max,
		       struct rh_err *err);
/* Waits for what is under way; NULL allowed. */
void rh_compressor_close(struct rh_compressor *compressor);

/* Nothing may be under way. */
void rh_compressor_start(struct rh_compressor *compressor, const struct rh_compressor_job *job);
/* The end of what was started: its bytes, or NULL with err. */
const uint8_t *rh_compressor_wait(struct rh_compressor *compressor, size_t *bytes,
				  struct rh_err *err);
/* The thread beside the caller ends; another is made when it is needed, by whoever starts it, with
 * the priority of that thread. */
void rh_compressor_leave(struct rh_compressor *compressor);
/* Both in one, on the caller's thread. */
const uint8_t *rh_compressor_squeeze(struct rh_compressor *compressor,
				     const struct rh_compressor_job *job, size_t *bytes,
				     struct rh_err *err);

#endif
