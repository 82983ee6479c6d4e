/*
 * spool.h - the file that out.c writes and join.c reads: blocks of
 *
 *	struct rh_spool_head | cuts x lanes uint32_t | words of lane 0 | words of lane 1 | ...
 *
 * one per epoch. A row of cuts says how many words each lane of the block has up to
 * that cut; the last row is thus the length of each lane's part.
 */
#ifndef RH_COMPILE_SPOOL_H
#define RH_COMPILE_SPOOL_H

#include <stdint.h>

#include "harness/compile/out.h"

enum { RH_STAGE_BYTES = 1 << 20 };

struct rh_spool_head {
	uint32_t lanes, cuts;
};

/* Writes the staged bytes to the file. */
int rh_out_flush(struct rh_out *out, struct rh_err *err);

#endif
