/*
 * tally.h - counts that lanes keep and anybody may add up at any time.
 *
 * A backend numbers its counts, names them in a table, puts an rh_tally in its whole and an
 * rh_tally_lane in its lanes. Thread rule: rh_tally_count by the lane's thread; the rest
 * from any thread.
 */
#ifndef RH_STACK_TALLY_H
#define RH_STACK_TALLY_H

#include "alloc/backend.h"
#include "alloc/base/debug.h"
#include "alloc/base/lock.h"

enum { RH_TALLY_MAX = 16 };

struct rh_tally_lane {
	uint64_t n[RH_TALLY_MAX];
	struct rh_tally_lane *next, *prev;
};

struct rh_tally {
	struct rh_lock lock;
	struct rh_tally_lane *lanes;
	uint64_t retired[RH_TALLY_MAX]; /* of lanes that left */
};

struct rh_tally_row {
	const char *name, *unit;
};

void rh_tally_init(struct rh_tally *tally);
void rh_tally_join(struct rh_tally *tally, struct rh_tally_lane *lane);
void rh_tally_leave(struct rh_tally *tally, struct rh_tally_lane *lane);

/* Of all lanes that are or were. */
uint64_t rh_tally_sum(struct rh_tally *tally, unsigned index);
/* One figure a row; the table ends with a row without a name. */
void rh_tally_emit(struct rh_tally *tally, const struct rh_tally_row *rows, rh_stat_fn *emit,
		   void *ctx);

static inline void rh_tally_count(struct rh_tally_lane *lane, unsigned index, uint64_t by)
{
	uint64_t *n = &lane->n[index];

	rh_debug_assert(index < RH_TALLY_MAX);
	__atomic_store_n(n, __atomic_load_n(n, __ATOMIC_RELAXED) + by, __ATOMIC_RELAXED);
}

#endif
