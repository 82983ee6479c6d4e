/*
 * tally.c - lanes in a list under a lock, their counts read by others without a lock of the lane.
 */
#include "alloc/stack/tally.h"

#include <assert.h>

/* Taken before every other lock: nothing is called with it held but what is here. */
static const struct rh_lock_class tally_class = { "stacktally", 30, 0 };

void rh_tally_init(struct rh_tally *tally)
{
	rh_lock_init(&tally->lock, &tally_class, 0);
}

/* Lanes live in memory of their own, so joining allocates nothing. */
void rh_tally_join(struct rh_tally *tally, struct rh_tally_lane *lane)
{
	rh_lock(&tally->lock);
	lane->next = tally->lanes;
	lane->prev = NULL;
	if (lane->next)
		lane->next->prev = lane;
	tally->lanes = lane;
	rh_unlock(&tally->lock);
}

/* The counts move to retired under the lock that sums take, so a sum sees each lane
 * once: in the list or there. */
void rh_tally_leave(struct rh_tally *tally, struct rh_tally_lane *lane)
{
	rh_lock(&tally->lock);
	*(lane->prev ? &lane->prev->next : &tally->lanes) = lane->next;
	if (lane->next)
		lane->next->prev = lane->prev;
	for (unsigned i = 0; i < RH_TALLY_MAX; i++)
		tally->retired[i] += lane->n[i];
	rh_unlock(&tally->lock);
}

/* Differences such as RESERVED wrap in one lane (freed here what was taken there);
 * the sum over all lanes is right again. */
uint64_t rh_tally_sum(struct rh_tally *tally, unsigned index)
{
	uint64_t sum;

	assert(index < RH_TALLY_MAX);
	rh_lock(&tally->lock);
	sum = tally->retired[index];
	for (struct rh_tally_lane *lane = tally->lanes; lane; lane = lane->next)
		sum += __atomic_load_n(&lane->n[index], __ATOMIC_RELAXED);
	rh_unlock(&tally->lock);
	return sum;
}

void rh_tally_emit(struct rh_tally *tally, const struct rh_tally_row *rows, rh_stat_fn *emit,
		   void *ctx)
{
	for (unsigned i = 0; rows[i].name; i++)
		emit(ctx, rows[i].name, rows[i].unit, rh_tally_sum(tally, i));
}
