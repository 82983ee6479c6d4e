/*
 * gopacer.c - see gopacer.h.
 *
 * Since 1.18: goal = marked + (marked + roots) x GOGC, at least 4 MiB x GOGC. The trigger
 * lies as many bytes before it as the program allocates while marking, but not before 45/64 of
 * the way nor after 61/64, or goal - 4 MiB if that is later. Goal and trigger lie at least 1 MiB
 * above what is marked, for that much is swept on the way.
 * Before: goal = marked x (1 + GOGC), trigger at 95 % of the way.
 * The limit is soft: the goal never falls below what is marked, so a program that needs more
 * than its limit overruns it and collects without a pause, in half of the CPU.
 */
#include "alloc/base/gopacer.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "alloc/base/opt.h"

/* memoryLimitHeapGoal keeps 3 % of the limit, at least 1 MiB, free for what grows
 * between two looks. */
enum { HEADROOM_PERCENT = 3, HEADROOM_LEAST = 1 << 20 };

/* In doubles, since bytes x percent passes 2^64 for a GOGC of millions; a double is
 * exact to the byte below 4 PiB. */
static uint64_t part(uint64_t bytes, uint64_t percent)
{
	return (uint64_t)((double)bytes * (double)percent / 100);
}

static uint64_t goal_by_limit(const struct rh_gopacer *pacer)
{
	uint64_t goal, headroom;

	/* Nothing is left for the heap: collect without a pause, as Go does. */
	if (pacer->limit <= pacer->overhead)
		return pacer->marked;
	goal = pacer->limit - pacer->overhead;
	headroom = part(goal, HEADROOM_PERCENT);
	if (headroom < HEADROOM_LEAST)
		headroom = HEADROOM_LEAST;
	/* Below twice the headroom the goal is the headroom itself, as in Go, so that
	 * it never gets near 0. */
	goal = goal < 2 * headroom ? headroom : goal - headroom;
	return goal < pacer->marked ? pacer->marked : goal;
}

static uint64_t goal_by_growth(const struct rh_gopacer *pacer)
{
	/* Since 1.18 roots count into the growth (a program of many stacks collects
	 * less often), not into what is marked. */
	uint64_t base = pacer->marked + (pacer->runway ? pacer->roots : 0), goal;

	if (pacer->gogc == RH_GOGC_OFF)
		return UINT64_MAX;
	goal = pacer->marked + part(base, pacer->gogc);
	/* The least goal scales with GOGC: 4 MiB at 100. */
	if (pacer->runway && goal < part(RH_GO_HEAP_LEAST, pacer->gogc))
		goal = part(RH_GO_HEAP_LEAST, pacer->gogc);
	if (pacer->runway && goal < pacer->marked + RH_GO_SWEEP_LEAST)
		goal = pacer->marked + RH_GO_SWEEP_LEAST;
	return goal;
}

static uint64_t trigger_by_runway(const struct rh_gopacer *pacer, const struct rh_gopace *pace)
{
	uint64_t goal = pace->goal, way = goal - pacer->marked;
	/* Divided first, as Go does, so that the product cannot overflow; triggers of
	 * small heaps are off by up to 64 bytes the same way. */
	uint64_t least = pacer->marked + way / 64 * 45, most = pacer->marked + way / 64 * 61;

	assert(goal >= pacer->marked && least <= most);
	/* A large heap may trigger within 4 MiB of its goal although 61/64 of the way
	 * is earlier. */
	if (goal > RH_GO_HEAP_LEAST && goal - RH_GO_HEAP_LEAST > most)
		most = goal - RH_GO_HEAP_LEAST;
	if (!pace->by_limit && least < pacer->marked + RH_GO_SWEEP_LEAST)
		least = pacer->marked + RH_GO_SWEEP_LEAST;
	if (most < least)
		most = least;
	if (pacer->ahead > goal || goal - pacer->ahead < least)
		return least;
	return goal - pacer->ahead > most ? most : goal - pacer->ahead;
}

struct rh_gopace rh_gopacer_pace(const struct rh_gopacer *pacer)
{
	struct rh_gopace pace = { .goal = goal_by_growth(pacer) };
	uint64_t least;

	/* Only a lower goal: a limit that is far away must not let a small heap grow
	 * to it. */
	pace.by_limit = pacer->limit && goal_by_limit(pacer) < pace.goal;
	if (pace.by_limit)
		pace.goal = goal_by_limit(pacer);
	if (pace.goal == UINT64_MAX) {
		pace.trigger = UINT64_MAX;
	} else if (pacer->runway) {
		pace.trigger = trigger_by_runway(pacer, &pace);
	} else {
		pace.trigger =
			pacer->marked + (uint64_t)((double)(pace.goal - pacer->marked) * 0.95);
		/* Before 1.18 the least was one of the trigger, not of the goal. */
		least = part(RH_GO_HEAP_LEAST, pacer->gogc);
		if (pacer->gogc != RH_GOGC_OFF && pace.trigger < least)
			pace.trigger = least;
	}
	/* The old rules can push the trigger past the goal; a cycle always ends after
	 * it began. */
	if (pace.goal < pace.trigger)
		pace.goal = pace.trigger;
	assert(pace.goal >= pace.trigger);
	return pace;
}

/* ---- settings ---- */

static bool is_default(const char *text)
{
	return !text || !text[0] || strcmp(text, "unset") == 0;
}

int rh_go_read_gogc(const char *text, uint64_t *gogc)
{
	char *end;
	long value;

	*gogc = 100;
	if (is_default(text))
		return 0;
	*gogc = RH_GOGC_OFF;
	if (strcmp(text, "off") == 0)
		return 0;
	errno = 0;
	value = strtol(text, &end, 10);
	if (*end || errno || value > INT32_MAX || value < INT32_MIN)
		return -1;
	/* GOGC=-1 is off in Go too (readGOGC). */
	if (value >= 0) /* below: off */
		*gogc = (uint64_t)value;
	return 0;
}

int rh_go_read_memlimit(const char *text, uint64_t *limit)
{
	struct rh_err err;

	*limit = 0;
	if (is_default(text) || strcmp(text, "off") == 0)
		return 0;
	/* Our units are a superset of Go's (B, KiB, MiB, GiB, TiB). */
	return rh_parse_size(text, limit, &err);
}

/* ---- the CPU limiter: mgclimit.go, accumulate ---- */

/* Clamped at both ends: a long phase without collections saves up one second of the
 * collector's time and no more. */
static void accumulate(struct rh_golimiter *limiter, double program, double collector)
{
	limiter->fill += collector - program;
	if (limiter->fill < 0)
		limiter->fill = 0;
	if (limiter->fill > limiter->capacity)
		limiter->fill = limiter->capacity;
}

void rh_golimiter_run(struct rh_golimiter *limiter, double bytes)
{
	accumulate(limiter, bytes * limiter->cost, 0);
}

double rh_golimiter_mark(struct rh_golimiter *limiter, double work, double helped)
{
	double change = work - helped * limiter->cost, room = limiter->capacity - limiter->fill;
	double share;

	assert(work >= 0 && helped >= 0 && limiter->cost > 0);
	/* The bucket holds all of this cycle. */
	if (change <= room) {
		accumulate(limiter, helped * limiter->cost, work);
		limiter->limited += limiter->fill >= limiter->capacity;
		return helped;
	}
	/* Full before the end. Without help the collector has a quarter of the CPU, so it leaks,
	 * and help is asked for again: the rest is marked in half of the CPU. */
	share = room / change;
	limiter->fill = limiter->capacity;
	limiter->limited++;
	return share * helped + (1 - share) * work / limiter->cost;
}
