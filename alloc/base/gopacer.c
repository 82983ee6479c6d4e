/*
 * gopacer.c - see gopacer.h.
 *
 * Since 1.18: goal = marked + (marked + roots) x GOGC, at least 4 MiB x GOGC. The trigger
 * lies as many bytes before it as the program allocates while marking, but not before 45/64 of
 * the way nor after 61/64, or goal - 4 MiB if that is later.
 * Before: goal = marked x (1 + GOGC), trigger at 95 % of the way.
 * The limit is soft: the goal never falls below what is marked, so a program that needs more
 * than its limit overruns it and collects without a pause.
 */
#include "alloc/base/gopacer.h"

#include <assert.h>

enum { HEADROOM_PERCENT = 3, HEADROOM_LEAST = 1 << 20 };

static uint64_t part(uint64_t bytes, uint64_t percent)
{
	return (uint64_t)((double)bytes * (double)percent / 100);
}

static uint64_t goal_by_limit(const struct rh_gopacer *pacer)
{
	uint64_t headroom = part(pacer->limit, HEADROOM_PERCENT), taken;

	if (headroom < HEADROOM_LEAST)
		headroom = HEADROOM_LEAST;
	taken = pacer->overhead + headroom;
	if (pacer->limit <= taken || pacer->limit - taken < pacer->marked)
		return pacer->marked;
	return pacer->limit - taken;
}

static uint64_t goal_by_growth(const struct rh_gopacer *pacer)
{
	uint64_t base = pacer->marked + (pacer->runway ? pacer->roots : 0), goal;

	if (pacer->gogc == RH_GOGC_OFF)
		return UINT64_MAX;
	goal = pacer->marked + part(base, pacer->gogc);
	if (pacer->runway && goal < part(RH_GO_HEAP_LEAST, pacer->gogc))
		goal = part(RH_GO_HEAP_LEAST, pacer->gogc);
	return goal;
}

static uint64_t trigger_by_runway(const struct rh_gopacer *pacer, uint64_t goal)
{
	uint64_t way = goal - pacer->marked;
	uint64_t least = pacer->marked + way / 64 * 45, most = pacer->marked + way / 64 * 61;

	assert(goal >= pacer->marked && least <= most);
	if (goal > RH_GO_HEAP_LEAST && goal - RH_GO_HEAP_LEAST > most)
		most = goal - RH_GO_HEAP_LEAST;
	if (pacer->ahead > goal || goal - pacer->ahead < least)
		return least;
	return goal - pacer->ahead > most ? most : goal - pacer->ahead;
}

struct rh_gopace rh_gopacer_pace(const struct rh_gopacer *pacer)
{
	struct rh_gopace pace = { .goal = goal_by_growth(pacer) };
	uint64_t least;

	if (pacer->limit && goal_by_limit(pacer) < pace.goal)
		pace.goal = goal_by_limit(pacer);
	if (pace.goal == UINT64_MAX) {
		pace.trigger = UINT64_MAX;
	} else if (pacer->runway) {
		pace.trigger = trigger_by_runway(pacer, pace.goal);
	} else {
		pace.trigger =
			pacer->marked + (uint64_t)((double)(pace.goal - pacer->marked) * 0.95);
		least = part(RH_GO_HEAP_LEAST, pacer->gogc);
		if (pacer->gogc != RH_GOGC_OFF && pace.trigger < least)
			pace.trigger = least;
	}
	if (pace.goal < pace.trigger)
		pace.goal = pace.trigger;
	assert(pace.goal >= pace.trigger);
	return pace;
}
