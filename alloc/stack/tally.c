/*
 * tally.c - lanes in a list under a lock, their counts read without it being theirs.
 */
#include "alloc/stack/tally.h"

#include <assert.h>

/* Taken before every other lock: nothing is called with it held but what is here. */
static const struct rh_lock_class tally_class = { "stacktally", 30, 0 };

void rh_tally_init(struct rh_tally *tally)
{
	rh_lock_init(&tally->lock, &tally_class, 0);
}

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
