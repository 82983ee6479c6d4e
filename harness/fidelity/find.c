/*
 * find.c - how many free stacks each P had in its cache when recording began.
 *
 * No event records this. But these numbers, together with the trace, determine everything that
 * the stack pools do afterwards, so we search for them: the recorded stacks of one size are
 * replayed on otherwise empty pools, for every number from 0 to 32 KiB, one P after the other
 * and then two at a time. The span count is compared with Go's each time a stack is made; we
 * keep the numbers for which the two agree longest.
 *
 * Cost: WORK_MAX steps of stacks in all trials of a size, after which the best so far is kept;
 * most trials end early. One backend serves all trials of a size, emptied in between: opening
 * one for each took 190,000 mappings for 8 Ps.
 */
#include <stdlib.h>
#include <string.h>

#include "harness/fidelity/stacks.h"
#include "alloc/base/grow.h"

enum { TRIAL_STEPS_MAX = 1 << 16, WORK_MAX = 1 << 20 };

static const char memory_for[] = "the stacks of the replay";

struct trial {
	struct rh_spec spec;
	struct rh_heap *heap;
	struct stack_drive drive;
};

static void close_trial(struct trial *trial)
{
	struct stack_drive *drive = &trial->drive;

	for (uint32_t i = 0; drive->lanes && i < drive->lane_count && drive->lanes[i]; i++)
		drive->ops->lane_close(drive->lanes[i]);
	if (drive->stacks)
		drive->ops->close(drive->stacks);
	if (trial->heap)
		trial->spec.layer[0].ops.close(trial->heap);
	rh_map_close(&drive->live);
	free(drive->lanes);
}

/* Backends keep pointers into the spec: it must not move. */
static int open_trial(struct trial *trial, const char *backend, uint32_t lanes, struct rh_err *err)
{
	struct stack_drive *drive = &trial->drive;

	memset(trial, 0, sizeof(*trial));
	drive->lane_count = lanes;
	drive->lanes = calloc(lanes, sizeof(*drive->lanes));
	if (!drive->lanes)
		return rh_no_memory(err, memory_for);
	if (rh_spec_parse(&trial->spec, backend, 0, err) < 0 ||
	    rh_spec_open(&trial->spec, lanes, &trial->heap, err) < 0)
		return -1;
	drive->ops = &trial->spec.stack;
	if (drive->ops->open(&drive->stacks, trial->spec.stack_knobs, &trial->spec.layer[0].ops,
			     trial->heap, err) < 0)
		return -1;
	for (uint32_t i = 0; i < lanes; i++)
		if (drive->ops->lane_open(drive->stacks, NULL, &drive->lanes[i], err) < 0)
			return -1;
	return 0;
}

/* Spans of one order that Go had, according to the trace. */
struct counted {
	struct rh_map born;
	uint64_t spans;
};

static bool count_span(struct counted *counted, const struct stack_start *start, unsigned of,
		       const struct step *step)
{
	uint64_t number = step->kind == STEP_ALLOC ? place_span(step->word) : word_span(step->word);
	bool then = rh_start_span(start, of, number) != NULL;

	if (step->kind == STEP_SPAN_FREE) {
		counted->spans -= then || rh_map_remove(&counted->born, number) != RH_MAP_NONE;
		return true;
	}
	if (then || rh_map_get(&counted->born, number) != RH_MAP_NONE)
		return true;
	counted->spans++;
	return rh_map_put(&counted->born, number, 1);
}

/* One step of one order on the backend; false when memory ran out. */
static bool step_on(struct stack_drive *drive, const struct step *step)
{
	struct rh_stack_lane *lane = drive->lanes[step->lane];

	if (step->kind == STEP_GC_BEGIN)
		drive->ops->gc_begin(lane);
	else if (step->kind == STEP_GC_END)
		drive->ops->gc_end(lane);
	else if (step->kind == STEP_FLUSH)
		drive->ops->lane_flush(lane);
	else if (step->kind == STEP_ALLOC)
		return rh_drive_alloc(drive, step->lane, step->word);
	else if (step->kind == STEP_FREE)
		rh_drive_free(drive, step->lane, step->word);
	return true;
}

struct finding {
	struct stack_start *start;
	struct steps steps; /* those that affect stacks of this order, within the search window */
	unsigned of;	    /* order */
	struct trial *trial;
	uint64_t made; /* stacks of the order within the search window */
	uint64_t work; /* steps gone so far */
};

/* How many stacks are made until the backend has more or fewer spans than Go had. */
static int agreement(struct finding *finding, struct stack_drive *drive, uint64_t *agrees,
		     struct rh_err *err)
{
	const struct steps *steps = &finding->steps;
	unsigned of = finding->of;
	struct counted counted = { .spans = finding->start->order[of].span_count };
	bool good = true, same = true;

	for (size_t i = 0; i < steps->count && good && same && *agrees < finding->made; i++) {
		const struct step *step = &steps->of[i];
		bool made = step->kind == STEP_ALLOC;

		finding->work++;
		if (made || step->kind == STEP_SPAN_FREE)
			good = count_span(&counted, finding->start, of, step);
		good &= step_on(drive, step);
		if (!made)
			continue;
		same = rh_drive_bytes(drive) == counted.spans * POOL_SPAN_BYTES;
		*agrees += same;
	}
	rh_map_close(&counted.born);
	return good ? 0 : rh_no_memory(err, memory_for);
}

/* 0: tried, *agrees says how well (0 when there cannot be such a state). */
static int try_start(struct finding *finding, uint64_t *agrees, struct rh_err *err)
{
	struct stack_drive *drive = &finding->trial->drive;
	int result = rh_start_make_one(finding->start, finding->of, drive, err);

	*agrees = 0;
	finding->work += finding->start->order[finding->of].live_count + finding->steps.lanes;
	if (result > 0)
		result = agreement(finding, drive, agrees, err);
	rh_drive_empty(drive);
	if (result == 0 && rh_drive_bytes(drive))
		return rh_fail(err, RH_BUG, "stacks are left after all have ended");
	return result;
}

static bool concerns(const struct step *step, unsigned of)
{
	switch (step->kind) {
	case STEP_ALLOC:
	case STEP_FREE:
		return place_pooled(step->word) && place_order(step->word) == of;
	case STEP_SPAN_FREE:
	case STEP_GC_BEGIN:
	case STEP_GC_END:
	case STEP_FLUSH:
		return true;
	}
	return false;
}

/* The steps of one order, up to the end of the search window. */
static int choose_steps(struct finding *finding, const struct steps *all, struct rh_err *err)
{
	struct steps *steps = &finding->steps;
	size_t count = 0;

	for (size_t i = 0; i < all->count; i++)
		count += concerns(&all->of[i], finding->of);
	steps->lanes = all->lanes;
	steps->of = calloc(count ? count : 1, sizeof(*steps->of));
	if (!steps->of)
		return rh_no_memory(err, memory_for);
	for (size_t i = 0; i < all->count && finding->made < TRIAL_STEPS_MAX; i++) {
		if (!concerns(&all->of[i], finding->of))
			continue;
		finding->made += all->of[i].kind == STEP_ALLOC;
		steps->of[steps->count++] = all->of[i];
	}
	return 0;
}

/* One number for one lane; kept if it is better. */
static int try_number(struct finding *finding, uint32_t lane, uint32_t cached, uint32_t *best,
		      struct rh_err *err)
{
	struct start_order *order = &finding->start->order[finding->of];
	uint64_t agrees;

	if (order->agrees == finding->made || finding->work >= WORK_MAX)
		return 0;
	order->cached[lane] = cached;
	if (try_start(finding, &agrees, err) < 0)
		return -1;
	if (agrees > order->agrees) {
		order->agrees = agrees;
		*best = cached;
		return 1;
	}
	return 0;
}

/* The best number for one lane while the others stay fixed. 1: better than before. */
static int find_lane(struct finding *finding, uint32_t lane, struct rh_err *err)
{
	uint32_t *cached = finding->start->order[finding->of].cached;
	uint32_t best = cached[lane];
	int result = 0;

	for (uint32_t number = 0; number <= rh_start_slots(finding->of); number++) {
		int got = try_number(finding, lane, number, &best, err);

		if (got < 0)
			return -1;
		result |= got;
	}
	cached[lane] = best;
	return result;
}

/* The other lane once more, for every number of stacks this one may have had. */
static int find_pair(struct finding *finding, uint32_t lane, uint32_t other, struct rh_err *err)
{
	uint32_t *cached = finding->start->order[finding->of].cached;
	uint32_t kept = cached[lane], slots = rh_start_slots(finding->of);

	for (uint32_t number = 0; number <= slots; number++) {
		int got;

		cached[lane] = number;
		got = find_lane(finding, other, err);
		if (got < 0)
			return -1;
		if (got)
			kept = number;
	}
	cached[lane] = kept;
	return 0;
}

/* Lane by lane; then two lanes at once, while stacks of one P are still attributed to another. */
static int find_all(struct finding *finding, struct rh_err *err)
{
	uint32_t lanes = finding->steps.lanes;

	for (uint32_t lane = 0; lane < lanes; lane++)
		if (find_lane(finding, lane, err) < 0)
			return -1;
	for (uint32_t lane = 0; lane < lanes; lane++) {
		for (uint32_t other = 0; other < lanes; other++)
			if (other != lane && find_pair(finding, lane, other, err) < 0)
				return -1;
	}
	return 0;
}

static int find_order(struct stack_start *start, const struct steps *steps, unsigned of,
		      const char *backend, struct rh_err *err)
{
	struct finding finding = { .start = start, .of = of };
	struct start_order *order = &start->order[of];
	int result;

	order->cached = calloc(steps->lanes, sizeof(*order->cached));
	finding.trial = calloc(1, sizeof(*finding.trial));
	if (!order->cached || !finding.trial) {
		free(finding.trial);
		return rh_no_memory(err, memory_for);
	}
	result = order->span_count ? open_trial(finding.trial, backend, steps->lanes, err) : 0;
	if (order->span_count && result == 0)
		result = choose_steps(&finding, steps, err);
	order->made = finding.made;
	if (order->span_count && result == 0)
		result = try_start(&finding, &order->agrees, err);
	if (order->span_count && result == 0)
		result = find_all(&finding, err);
	if (order->span_count)
		close_trial(finding.trial);
	free(finding.trial);
	free(finding.steps.of);
	return result;
}

int rh_start_find(struct stack_start *start, const struct steps *steps, const char *backend,
		  struct rh_err *err)
{
	if (rh_start_collect(start, steps, err) < 0)
		return -1;
	for (unsigned order = 0; order < POOLED_ORDERS; order++)
		if (find_order(start, steps, order, backend, err) < 0)
			return -1;
	return 0;
}
