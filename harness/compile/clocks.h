/*
 * clocks.h - vector clocks of the replay lanes: how much each lane knows of the others.
 *
 * Row `lane`, column `source`: the position that lane `source` has certainly reached by now. A
 * wait joins the row the source had *at the position waited for* into the waiter's row: so a
 * second wait for the same position is unnecessary, even if the knowledge came through a third
 * lane. Rows change only at waits, so the row at an earlier position is the one kept from
 * before the next wait; each lane keeps the last `depth` of them. If the row is too old to be
 * kept, only the position itself is learnt: then there may be one wait too many, never one too
 * few.
 *
 * Positions count words within an epoch; a barrier clears everything, since every lane knows
 * all that came before it. Memory: 4 bytes x lanes^2, and at most twice 64 MiB for the kept rows.
 * Thread rule: one thread. Errors: RH_OS.
 */
#ifndef RH_COMPILE_CLOCKS_H
#define RH_COMPILE_CLOCKS_H

#include <stdbool.h>
#include <stdint.h>

#include "alloc/base/debug.h"
#include "alloc/base/err.h"

struct rh_clock_past {	 /* rows a lane had, oldest at `first` */
	uint32_t *rows;	 /* depth x stride, made at the lane's first wait */
	uint32_t *since; /* position from which row i held; depth entries */
	uint32_t first, count;
};

struct rh_clocks {
	uint32_t lanes, stride, depth;
	uint32_t *rows;		    /* lanes x stride */
	uint32_t *since;	    /* by lane: position from which its row holds */
	bool *dirty;		    /* by lane: not all zero */
	struct rh_clock_past *past; /* by lane */
};

void rh_clocks_close(struct rh_clocks *clocks);
/* Room for that many lanes; a zeroed struct has none. */
int rh_clocks_lanes(struct rh_clocks *clocks, uint32_t lanes, struct rh_err *err);
void rh_clocks_barrier(struct rh_clocks *clocks);

static inline bool rh_clocks_knows(const struct rh_clocks *clocks, uint32_t lane, uint32_t source,
				   uint32_t position)
{
	rh_debug_assert(lane < clocks->lanes && source < clocks->lanes);
	return clocks->rows[(uint64_t)lane * clocks->stride + source] >= position;
}

/* The lane, whose next position is `at`, has waited for `position` of source. A struct, because all
 * four have the same type. */
struct rh_clock_wait {
	uint32_t lane, at;
	uint32_t source, position;
};
int rh_clocks_wait(struct rh_clocks *clocks, const struct rh_clock_wait *wait, struct rh_err *err);

#endif
