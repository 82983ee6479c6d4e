/*
 * calls.h - the memory system calls of a worker, counted exactly.
 *
 * No PMU, no tracepoint and no privilege is needed: the worker is started by a small
 * program of ours (`reheap calls`, not listed) that is its parent and its tracer, stops at each
 * system call (ptrace) and counts those that map and unmap memory, while the control block says
 * RUN or DRAIN. Address randomisation is off in the worker: trimming arenas to their alignment
 * would make the number of munmap calls random.
 *
 * The counts are deterministic for an allocator that decides by its requests only; one that
 * returns memory by the clock differs from run to run, so each side is counted twice.
 *
 * Thread rule: one thread. Memory: none. Errors: RH_ABSENT where ptrace is refused or the
 * build carries a sanitizer, RH_NO_INPUT, RH_BAD_DATA.
 */
#ifndef RH_GATE_CALLS_H
#define RH_GATE_CALLS_H

#include <stddef.h>
#include <stdint.h>

#include "alloc/base/err.h"

enum rh_calls_kind {
	RH_CALLS_MMAP,
	RH_CALLS_MUNMAP,
	RH_CALLS_MREMAP,
	RH_CALLS_MADVISE,
	RH_CALLS_BRK,
	RH_CALLS_MPROTECT,
	RH_CALLS_COUNT
};
extern const char *const rh_calls_names[RH_CALLS_COUNT]; /* "mmap", ... */

struct rh_calls {
	uint64_t count[RH_CALLS_COUNT];
};

/* Whether a child can be traced here; tries it. */
int rh_calls_possible(struct rh_err *err);

/* The words for rh_worker_start.under: the counts go to out_path. */
int rh_calls_under(char *under, size_t under_bytes, const char *out_path, struct rh_err *err);

/* The program behind these words: runs argv as a traced child; with a control block at RH_CTL_FD it
 * counts by its command, without one for all of the child's life. Returns the child's exit status
 * (128 + signal when a signal ended it), or -1. */
int rh_calls_trace(const char *out_path, char *const *argv, struct rh_err *err);

int rh_calls_read(struct rh_calls *out, const char *path, struct rh_err *err);

#endif
