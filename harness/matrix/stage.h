/*
 * stage.h - traces on the disk of the machine that replays them: once each, by content.
 *
 *	CACHE/SHA256/NAME.rht
 *
 * The copy is written to a temporary file, hashed, and renamed: a trace in the cache is whole
 * and right, or absent. When several processes want the same trace, one copies and the others
 * wait (flock). A copy that later turns out to be wrong (replay hashes what it reads) is made
 * again.
 *
 * Thread rule: one thread. Errors: RH_NO_INPUT, RH_IO, RH_BAD_DATA (not the trace of the plan).
 */
#ifndef RH_MATRIX_STAGE_H
#define RH_MATRIX_STAGE_H

#include "harness/matrix/cells.h"

/* The path of the copy, in the pool; NULL on error. */
const char *rh_stage(const char *cache, const struct rh_cell *cell, struct rh_pool *pool,
		     struct rh_err *err);

#endif
