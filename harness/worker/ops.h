/*
 * ops.h - how many words an op takes: the one rule for whoever walks a program.
 * The driver has checked every op before the worker was started (rh_program_map).
 */
#ifndef RH_WORKER_OPS_H
#define RH_WORKER_OPS_H

#include "harness/compile/program.h"

static inline uint64_t op_word(const struct rh_op *op, unsigned index)
{
	return ((const uint64_t *)op)[index];
}

static inline unsigned op_words(const struct rh_op *op)
{
	switch (RH_OP_KIND(op->what)) {
	case RH_OP_RESIZE:
	case RH_OP_ALLOC_AS:
		return 2;
	case RH_OP_MISC:
		return 1 + op->size;
	default:
		return 1;
	}
}

#endif
