/*
 * ops.h - how many words an op takes: the one rule for all code that walks a program. The
 * driver has checked every op before the worker was started (rh_program_map).
 */
#ifndef RH_WORKER_OPS_H
#define RH_WORKER_OPS_H

#include "alloc/base/debug.h"
#include "harness/compile/program.h"

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

/* Where something was born, as one number: lane + 1 in the high 16 bits, word in the low 48. */
static inline uint64_t rh_birth_of(uint32_t lane, uint64_t word)
{
	return (uint64_t)(lane + 1) << 48 | word;
}

/* Word `index` of the op; 1 is the first after it. */
static inline uint64_t op_word(const struct rh_op *op, unsigned index)
{
	rh_debug_assert(index > 0 && index < op_words(op));
	return ((const uint64_t *)op)[index];
}

#endif
