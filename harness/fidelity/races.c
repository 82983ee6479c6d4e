/*
 * races.c - which of two Ps was first at a stack pool, where the trace does not say.
 *
 * Go writes the event of a stack after stackalloc has taken it, and before stackfree gives it back.
 * In between, the cache of the P may have to be refilled from the pool, or half of it released. Two
 * Ps that do so within the same microseconds appear as "freed, then made" although the one that
 * made its stack had taken the pool's lock first: 8 new stacks are 8 page faults, and a busy
 * machine may keep a thread off its CPU for milliseconds in between. The pools then differ for
 * good: one program of 18,000 goroutines had 40 such pairs, and its StackInuse was 11 % off.
 *
 * But which of the two it was can be seen: the trace has the place of every stack. A refill takes
 * stacks of the spans in front of the pool's list, and the stacks that its P uses next show which
 * spans these were. So the pools are followed here span by span, from the start that find.c
 * deduced; where the order of two lanes is open, the steps are put in the one that agrees with more
 * of the places seen later. No event is invented or lost, and two steps of one lane never change
 * places.
 *
 * A span is a number here and a stack only its span: slots of one are interchangeable. Where the
 * places still disagree, this state follows the trace.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "harness/fidelity/span_pool.h"
#include "harness/fidelity/stacks.h"

enum {
	OTHERS_MAX = 16,
	LATER_MAX = 256,     /* steps between the two of a pair */
	ASKED_MAX = 1 << 14, /* steps by which a start is judged */
	SHOWN_MAX = 1 << 12, /* steps in which the stacks of a refill may show themselves */
};

/* Numbers of one order, looked for by steps up to a certain one. */
struct start_choice {
	unsigned of;
	size_t until;
	int64_t misses;
};

struct races {
	struct steps *steps;
	struct span_pool pool[POOLED_ORDERS];
	unsigned open; /* cycles */
	struct stack_races out;
	bool asks; /* how well a start agrees: nothing is moved */
};

static uint32_t half(unsigned of)
{
	return rh_start_slots(of) / 2;
}

static bool uses_cache(const struct step *step, unsigned of)
{
	return (step->kind == STEP_ALLOC || step->kind == STEP_FREE) && place_pooled(step->word) &&
	       place_order(step->word) == of && !place_past_cache(step->word);
}

/* The stacks of the refill for step `at`, as the lane uses them; the first out was taken last. */
static void look(const struct races *races, size_t at, struct handed *out)
{
	const struct step *first = &races->steps->of[at];
	unsigned of = place_order(first->word);
	uint32_t left = half(of), above = 0;

	memset(out, 0, sizeof(*out));
	out->count = left;
	out->of[--left] = place_span(first->word);
	for (size_t i = at + 1; left && i < races->steps->count && i < at + SHOWN_MAX; i++) {
		const struct step *step = &races->steps->of[i];

		if (step->lane != first->lane)
			continue;
		if (step->kind == STEP_FLUSH)
			return;
		if (!uses_cache(step, of))
			continue;
		if (step->kind == STEP_FREE) {
			/* A release takes those above first. */
			if (above + left >= rh_start_slots(of))
				above = half(of) > left ? half(of) - left : 0;
			above++;
		} else if (above) {
			above--;
		} else {
			out->of[--left] = place_span(step->word);
		}
	}
}

/* ---- pairs ---- */

/* Lanes that come between two steps, and the stacks that their caches have then. */
struct others {
	uint32_t lane[OTHERS_MAX], stacks[OTHERS_MAX];
	uint32_t count;
};

static uint32_t *stacks_of(struct others *others, const struct span_pool *pool, uint32_t lane)
{
	uint32_t at = 0;

	while (at < others->count && others->lane[at] != lane)
		at++;
	if (at == OTHERS_MAX)
		return NULL;
	if (at == others->count) {
		others->lane[others->count] = lane;
		others->stacks[others->count++] = pool->cached[lane].count;
	}
	return &others->stacks[at];
}

/* Takes a step into account. 1: it refills, -1: it releases. */
static int count_stack(const struct step *step, unsigned of, uint32_t *stacks)
{
	bool refills = step->kind == STEP_ALLOC && *stacks == 0;
	bool releases = step->kind == STEP_FREE && *stacks >= rh_start_slots(of);

	if (refills || releases)
		*stacks = half(of);
	*stacks += step->kind == STEP_FREE ? 1 : UINT32_MAX;
	return refills - releases;
}

static bool ends_search(const struct step *step)
{
	return step->kind == STEP_FLUSH || step->kind == STEP_GC_BEGIN || step->kind == STEP_GC_END;
}

/* Step `at` may have touched the pool as late as just before this one: its lane's next event. */
static size_t latest(const struct races *races, size_t at)
{
	const struct step *step = &races->steps->of[at];

	return step->kind == STEP_FREE && step->window > at + 1 ? step->window : at + 1;
}

/* The step, from `from` on, of another lane that may have been at the pool before step `at`: it
 * refills, and may have done so since a moment at which the other may still have been on its way.
 */
static size_t rival(const struct races *races, size_t at, size_t from)
{
	const struct step *first = &races->steps->of[at];
	size_t limit = latest(races, at);
	unsigned of = place_order(first->word);
	struct others others = { 0 };

	for (size_t i = at + 1; i < races->steps->count && i < at + LATER_MAX; i++) {
		const struct step *step = &races->steps->of[i];
		uint32_t *stacks;

		if (ends_search(step))
			break;
		if (step->lane == first->lane || !uses_cache(step, of))
			continue;
		stacks = stacks_of(&others, &races->pool[of], step->lane);
		if (!stacks || count_stack(step, of, stacks) <= 0 || i < from)
			continue;
		if (i < limit || step->window <= limit)
			return i;
	}
	return 0;
}

/* The refill after that of step i, if its lane releases nothing before; else 0. */
static size_t next_refill(const struct races *races, size_t i)
{
	const struct step *first = &races->steps->of[i];
	unsigned of = place_order(first->word);
	uint32_t stacks = half(of) - 1;

	for (size_t k = i + 1; k < races->steps->count && k < i + LATER_MAX; k++) {
		const struct step *step = &races->steps->of[k];
		int touches;

		if (ends_search(step))
			return 0;
		if (step->lane != first->lane || !uses_cache(step, of))
			continue;
		touches = count_stack(step, of, &stacks);
		if (touches)
			return touches > 0 ? k : 0;
	}
	return 0;
}

/* > 0: a release that was told before the refill of step i came after it, as the first of the
 * refills from there on says for which it matters; < 0: it came before; 0: they do not say. */
static int refills_say(const struct races *races, size_t i, const struct handed *now,
		       const struct handed *after)
{
	unsigned of = place_order(races->steps->of[i].word);
	const struct span_pool *pool = &races->pool[of];
	struct handed his;

	for (uint32_t at = 0; i && at + half(of) <= HANDED_MAX; at += half(of)) {
		int told, other;

		look(races, i, &his);
		told = (int)rh_span_pool_agree(pool, &his, after->of + at);
		other = (int)rh_span_pool_agree(pool, &his, now->of + at);
		if (told != other)
			return other - told;
		i = next_refill(races, i);
	}
	return 0;
}

/* > 0: the refill of step i came before that of step `at`. */
static int refills_changed(const struct races *races, size_t at, size_t i, const struct handed *now)
{
	const struct span_pool *pool = &races->pool[place_order(races->steps->of[i].word)];
	struct handed mine, his;

	look(races, at, &mine);
	look(races, i, &his);
	return (int)(rh_span_pool_agree(pool, &his, now->of) +
		     rh_span_pool_agree(pool, &mine, now->of + his.count)) -
	       (int)(rh_span_pool_agree(pool, &mine, now->of) +
		     rh_span_pool_agree(pool, &his, now->of + mine.count));
}

/* Step `at` goes after step i: as late as it may, and i as early as it needs to. */
static void move(struct races *races, size_t at, size_t i)
{
	struct step *of = races->steps->of, first = of[at], second = of[i];
	size_t limit = latest(races, at), to = i < limit ? i : limit;

	assert(to > at && to <= i);
	if (to == i) {
		memmove(&of[at], &of[at + 1], (i - at) * sizeof(*of));
		of[i] = first;
	} else {
		memmove(&of[at], &of[at + 1], (to - 1 - at) * sizeof(*of));
		memmove(&of[to + 1], &of[to], (i - to) * sizeof(*of));
		of[to - 1] = second;
		of[to] = first;
	}
	races->out.moved++;
}

static void add_released(struct released *released, const struct cached *cached, uint32_t keep)
{
	for (uint32_t i = cached->count; i-- > keep;)
		released->of[released->count++] = cached->of[i];
}

/* Whether another lane was at the pool before this step, which refills (keep = NO_SPAN) or releases
 * what its cache has above `keep`: puts it there. */
static bool settle(struct races *races, size_t at, uint32_t keep)
{
	const struct step *step = &races->steps->of[at];
	struct span_pool *pool = &races->pool[place_order(step->word)];
	struct released none = { .count = 0 }, mine = none;
	bool releases = keep != NO_SPAN;
	struct handed now, after;

	if (races->asks)
		return false;
	rh_span_pool_predict(pool, &none, &now);
	if (releases) {
		add_released(&mine, &pool->cached[step->lane], keep);
		rh_span_pool_predict(pool, &mine, &after);
	}
	for (size_t i = at; (i = rival(races, at, i + 1)) != 0;) {
		pool->met = true;
		if ((releases ? refills_say(races, i, &now, &after)
			      : refills_changed(races, at, i, &now)) > 0) {
			move(races, at, i);
			return true;
		}
	}
	return false;
}

/* ---- one step ---- */

/* Whether the stacks of a refill are those that the pool has in front. Where not, although two
 * lanes met at it, nothing says which was first. */
static void judge(struct races *races, struct span_pool *pool, const struct handed *seen)
{
	const struct released none = { .count = 0 };
	struct handed now;
	uint32_t known = 0;

	rh_span_pool_predict(pool, &none, &now);
	for (uint32_t i = 0; i < seen->count; i++)
		known += seen->of[i] != 0;
	if (rh_span_pool_agree(pool, seen, now.of) == known)
		pool->met = false;
	else if (pool->met)
		races->out.open++;
	else
		races->out.wrong++;
}

static int refill(struct races *races, size_t at, struct cached *cached, struct rh_err *err)
{
	unsigned of = place_order(races->steps->of[at].word);
	struct handed seen;

	look(races, at, &seen);
	judge(races, &races->pool[of], &seen);
	for (uint32_t i = 0; i < seen.count; i++) {
		struct span_pool *pool = &races->pool[of];
		uint64_t number = seen.of[i];
		uint32_t s;

		/* A new span, and one of the stacks taken after this one was seen. */
		for (uint32_t k = i + 1; !number && pool->first == NO_SPAN && k < seen.count; k++)
			if (seen.of[k] && rh_map_get(&pool->index, seen.of[k]) == RH_MAP_NONE)
				number = seen.of[k];
		if (rh_span_pool_take(pool, number, &s, err) < 0)
			return -1;
		if (s != NO_SPAN)
			cached->of[cached->count++] = s;
	}
	return 0;
}

/* 1: the steps from here on have changed, 0, -1. */
static int made(struct races *races, size_t at, struct rh_err *err)
{
	const struct step *step = &races->steps->of[at];
	unsigned of = place_order(step->word);
	struct span_pool *pool = &races->pool[of];
	struct cached *cached = &pool->cached[step->lane];
	uint32_t s;

	if (place_past_cache(step->word))
		return rh_span_pool_take(pool, place_span(step->word), &s, err);
	if (!cached->count && settle(races, at, NO_SPAN))
		return 1;
	if (!cached->count && refill(races, at, cached, err) < 0)
		return -1;
	cached->count -= cached->count > 0;
	return 0;
}

static void release(struct span_pool *pool, struct cached *cached, uint32_t keep)
{
	while (cached->count > keep)
		rh_span_pool_put(pool, cached->of[--cached->count]);
}

static int freed(struct races *races, size_t at)
{
	const struct step *step = &races->steps->of[at];
	unsigned of = place_order(step->word);
	struct span_pool *pool = &races->pool[of];
	struct cached *cached = &pool->cached[step->lane];
	uint64_t s = rh_map_get(&pool->index, place_span(step->word));

	if (s == RH_MAP_NONE)
		return 0;
	if (place_past_cache(step->word)) {
		rh_span_pool_put(pool, (uint32_t)s);
		return 0;
	}
	if (cached->count >= rh_start_slots(of)) {
		if (settle(races, at, half(of)))
			return 1;
		release(pool, cached, half(of));
	}
	cached->of[cached->count++] = (uint32_t)s;
	return 0;
}

static void keep(struct races *races)
{
	for (unsigned of = 0; of < POOLED_ORDERS; of++)
		races->pool[of].keeps = races->open > 0;
}

static int go(struct races *races, size_t at, struct rh_err *err)
{
	const struct step *step = &races->steps->of[at];

	switch (step->kind) {
	case STEP_ALLOC:
		return place_pooled(step->word) ? made(races, at, err) : 0;
	case STEP_FREE:
		return place_pooled(step->word) ? freed(races, at) : 0;
	case STEP_FLUSH:
		for (unsigned of = 0; of < POOLED_ORDERS; of++)
			release(&races->pool[of], &races->pool[of].cached[step->lane], 0);
		return 0;
	case STEP_GC_BEGIN:
		races->open++;
		keep(races);
		return 0;
	case STEP_GC_END:
		/* As the backend: one more end frees what nobody uses. */
		if (!races->open)
			for (unsigned of = 0; of < POOLED_ORDERS; of++)
				rh_span_pool_trim(&races->pool[of]);
		races->open -= races->open > 0;
		keep(races);
		return 0;
	}
	return 0;
}

/* ---- the start ---- */

static int begin_order(struct span_pool *pool, const struct making *making, uint32_t lanes,
		       struct rh_err *err)
{
	const struct start_span *spans = making->start->order[making->of].spans;
	uint32_t s;

	for (uint32_t i = 0; i < making->spans; i++) {
		if (rh_span_pool_add(pool, spans[i].number, &s, err) < 0)
			return -1;
		pool->spans[s].free = (uint8_t)making->left[i];
		pool->spans[s].taken = (uint8_t)(making->slots - making->left[i]);
	}
	for (uint32_t i = making->queued; i-- > 0;)
		if (pool->spans[making->queue[i]].free)
			rh_span_pool_push(pool, making->queue[i]);
	for (uint32_t lane = 0; lane < lanes; lane++)
		for (uint32_t i = making->labels[lane]; i-- > 0;)
			pool->cached[lane].of[pool->cached[lane].count++] =
				making->label[lane * CACHED_MAX + i];
	return 0;
}

static int begin(struct races *races, const struct stack_start *start, struct rh_err *err)
{
	for (unsigned of = 0; of < POOLED_ORDERS; of++) {
		struct span_pool *pool = &races->pool[of];
		struct making making = { 0 };
		int result;

		if (rh_span_pool_open(pool, of, races->steps->lanes, err) < 0)
			return -1;
		result = rh_start_plan(&making, start, of, races->steps->lanes, err);
		if (result > 0)
			result = begin_order(pool, &making, races->steps->lanes, err);
		rh_start_plan_close(&making);
		if (result < 0)
			return -1;
	}
	return 0;
}

static void end(struct races *races)
{
	for (unsigned of = 0; of < POOLED_ORDERS; of++)
		rh_span_pool_close(&races->pool[of]);
}

int rh_stack_races(struct steps *steps, const struct stack_start *start, struct stack_races *out,
		   struct rh_err *err)
{
	struct races races = { .steps = steps };
	int result = steps->lanes > 1 ? begin(&races, start, err) : 0;

	for (size_t i = 0; i < steps->count && result >= 0 && steps->lanes > 1; i += result == 0)
		result = go(&races, i, err);
	end(&races);
	*out = races.out;
	return result < 0 ? -1 : 0;
}

/* ---- the start by the places of what came after it ---- */

/* Refills of one order, up to a step, that did not take what was in front; -1. */
static int64_t misses(struct steps *steps, const struct stack_start *start, unsigned of,
		      size_t until, struct rh_err *err)
{
	struct races races = { .steps = steps, .asks = true };
	int result = begin(&races, start, err);

	for (size_t i = 0; i < until && result >= 0; i++)
		if ((steps->of[i].kind != STEP_ALLOC && steps->of[i].kind != STEP_FREE) ||
		    uses_cache(&steps->of[i], of))
			result = go(&races, i, err);
	end(&races);
	return result < 0 ? -1 : (int64_t)(races.out.open + races.out.wrong);
}

/* Another number of stacks in the cache of a lane, if with it fewer refills miss. */
static int try_lane(struct steps *steps, struct stack_start *start, struct start_choice *choice,
		    uint32_t lane, struct rh_err *err)
{
	uint32_t *cached = &start->order[choice->of].cached[lane], best = *cached;

	for (uint32_t n = 0; n <= rh_start_slots(choice->of) && choice->misses > 0; n++) {
		int64_t got;

		*cached = n;
		if (!rh_start_possible(start, choice->of, steps->lanes, err))
			continue;
		got = misses(steps, start, choice->of, choice->until, err);
		if (got < 0)
			return -1;
		if (got < choice->misses) {
			choice->misses = got;
			best = n;
		}
	}
	*cached = best;
	return 0;
}

int rh_stack_start_by_places(struct steps *steps, struct stack_start *start, struct rh_err *err)
{
	size_t until = 0;

	while (until < steps->count && until < ASKED_MAX && steps->of[until].kind != STEP_GC_END)
		until++;
	for (unsigned of = 0; of < POOLED_ORDERS; of++) {
		struct start_choice choice = { .of = of, .until = until };

		if (!start->order[of].span_count)
			continue;
		choice.misses = misses(steps, start, of, until, err);
		if (choice.misses < 0)
			return -1;
		for (uint32_t lane = 0; lane < steps->lanes && lane < OTHERS_MAX; lane++)
			if (try_lane(steps, start, &choice, lane, err) < 0)
				return -1;
	}
	return 0;
}
