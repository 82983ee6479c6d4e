/*
 * callgrind.h - the deterministic instrument: a worker under valgrind's callgrind.
 *
 * rh_callgrind_under writes the words to put before a worker; collection is on only inside the
 * replay loop (--toggle-collect, whose state is per thread), so start-up, barriers and drains
 * are not counted. rh_callgrind_read reads callgrind's output and adds it up by function.
 * Waiting for another lane is work of the harness and depends on the schedule: it is left out
 * of the totals and kept in `waiting`.
 *
 * The cache is a fixed one (32 KiB 8-way L1, 8 MiB 16-way LL), not the host's, so that two
 * hosts can be compared. The C library's choice of string functions follows the CPU
 * model; the widest variants are switched off by GLIBC_TUNABLES.
 *
 * Ownership: rh_callgrind_free. Thread rule: none shared. Errors: RH_ABSENT without
 * valgrind, RH_NO_INPUT, RH_BAD_DATA.
 */
#ifndef RH_CALLGRIND_H
#define RH_CALLGRIND_H

#include <stddef.h>
#include <stdint.h>

#include "alloc/base/err.h"

enum rh_callgrind_event {
	RH_CG_IR,
	RH_CG_DR,
	RH_CG_DW,
	RH_CG_I1MR,
	RH_CG_D1MR,
	RH_CG_D1MW,
	RH_CG_ILMR,
	RH_CG_DLMR,
	RH_CG_DLMW,
	RH_CG_GE, /* Ge: LOCK-prefixed operations */
	RH_CG_COUNT
};
extern const char *const rh_callgrind_names[RH_CG_COUNT]; /* "Ir", ... */

struct rh_callgrind_function {
	char *name, *object;
	uint64_t self[RH_CG_COUNT];
};

struct rh_callgrind {
	uint64_t total[RH_CG_COUNT]; /* without `waiting` */
	uint64_t waiting[RH_CG_COUNT];
	/* Instructions inside calls of the malloc family, and of C++ new and delete, made from
	 * outside it, callees included; and the number of such calls. */
	uint64_t heap_ir, heap_calls;
	struct rh_callgrind_function *functions; /* by Ir, most first */
	size_t function_count;
};

/* The words for rh_worker_start.under: the output goes to out_path. */
int rh_callgrind_under(char *under, size_t under_bytes, const char *out_path, struct rh_err *err);

int rh_callgrind_read(struct rh_callgrind *out, const char *path, struct rh_err *err);
void rh_callgrind_free(struct rh_callgrind *callgrind);

#endif
