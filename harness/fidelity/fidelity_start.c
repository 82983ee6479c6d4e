/*
 * fidelity_start.c - where the free stacks lay when recording began, deduced.
 *
 * The trace tells which spans hold stacks and which of these were in use. It does not tell
 * of the free ones whether they were in the cache of a P or in the pool, nor in which order,
 * and the next span is needed sooner or later by that. But what came after tells:
 *
 * - A free stack that a P is the first to use, before its first flush, was in its cache or
 *   became so by a refill. How many each P had at first, 0 to 32 KiB of each size, is tried:
 *   the stacks are replayed with every number, one P after the other, and the one is kept
 *   with which the backend needs a new span when Go did, for longest.
 * - Spans stood in the pool in the order in which they were first used.
 * - A slot of 16 KiB that nobody ever used, in a span that was never given back, belongs to
 *   a thread of the runtime (g0): threads of before the trace are not told.
 *
 * Which slot of its span a stack is does not matter to anything that is counted, so slots
 * of one span are alike here.
 *
 * The state is then made with nothing but spawn, exit and lane_flush: all spans are filled,
 * then what was free ends on the right lane in the right order.
 */
#include <stdlib.h>
#include <string.h>

#include "harness/fidelity/fidelity_stacks.h"

enum {
	TRIAL_STEPS_MAX = 1 << 16,
	TRIALS_MAX = 20000,
	INDEX_BITS = 24,
	CACHED_MAX = 16,		/* 32 KiB of 2 KiB */
};

static int no_memory(struct rh_err *err)
{
	return rh_fail(err, RH_OS, "memory for the stacks of the replay ran out");
}

static unsigned slots_of(unsigned order)
{
	return POOL_SPAN_BYTES / (2048u << order);
}

static uint16_t slot_bit(uint64_t place)
{
	return (uint16_t)(1u << ((place_key(place) & 15) >> place_order(place)));
}

/* ---- what the trace tells of the spans ---- */

/* The span, in which `order` its stacks are; NULL = of after the beginning, or another size. */
static struct start_span *span_of(const struct stack_start *start, unsigned order,
				  uint64_t number)
{
	uint64_t at = rh_map_get(&start->spans, number);

	if (at == RH_MAP_NONE || at == 0 || (at - 1) >> INDEX_BITS != order)
		return NULL;
	return &start->order[order].spans[(at - 1) & ((1u << INDEX_BITS) - 1)];
}

static int add_span(struct stack_start *start, unsigned of, uint64_t number, struct rh_err *err)
{
	struct start_order *order = &start->order[of];

	if (order->span_count == order->span_cap) {
		uint32_t cap = order->span_cap ? 2 * order->span_cap : 16;
		void *p = cap >> INDEX_BITS ? NULL :
			  reallocarray(order->spans, cap, sizeof(*order->spans));

		if (!p)
			return no_memory(err);
		order->spans = p;
		order->span_cap = cap;
	}
	order->spans[order->span_count] = (struct start_span){ .number = number };
	if (!rh_map_put(&start->spans, number, 1 + (of << INDEX_BITS | order->span_count)))
		return no_memory(err);
	order->span_count++;
	return 0;
}

static int note_place(struct stack_start *start, const struct step *step, struct rh_err *err)
{
	uint64_t number = place_span(step->word);
	struct start_span *span;

	if (!place_pooled(step->word) || rh_map_get(&start->spans, number) == RH_MAP_NONE)
		return 0;
	if (rh_map_get(&start->spans, number) == 0 &&
	    add_span(start, place_order(step->word), number, err) < 0)
		return -1;
	span = span_of(start, place_order(step->word), number);
	if (!span)
		return 0;
	span->touched |= slot_bit(step->word);
	if (step->kind == STEP_EXISTS)
		span->live |= slot_bit(step->word);
	return 0;
}

static int collect(struct stack_start *start, const struct steps *steps, struct rh_err *err)
{
	for (size_t i = 0; i < steps->count; i++) {
		const struct step *step = &steps->of[i];

		if (step->kind == STEP_SPAN && word_snapshot(step->word)) {
			start->pages += word_pages(step->word);
			if (!rh_map_put(&start->spans, word_span(step->word), 0))
				return no_memory(err);
		} else if (step->kind == STEP_EXISTS || step->kind == STEP_ALLOC) {
			if (note_place(start, step, err) < 0)
				return -1;
		} else if (step->kind == STEP_SPAN_FREE) {
			for (unsigned order = 0; order < POOLED_ORDERS; order++) {
				struct start_span *span = span_of(start, order,
								  word_span(step->word));

				if (span)
					span->ended = true;
			}
		}
	}
	return 0;
}

static bool span_of_any(const struct stack_start *start, uint64_t place)
{
	return place_pooled(place) &&
	       span_of(start, place_order(place), place_span(place)) != NULL;
}

/* ---- making it ---- */

/* One order while it is being made. */
struct making {
	const struct stack_start *start;
	unsigned of, slots;
	uint32_t spans;
	void **tasks;			/* slots of every span */
	uint32_t *next;			/* by span: the first of its tasks not yet given a part */
	uint32_t *left;			/* by span: free stacks not yet placed */
	uint32_t *wanted;		/* by span: of these, first used from the pool */
	uint32_t *queue;		/* spans in the pool, the first in front */
	uint32_t queued;
	uint32_t *label, *labels;	/* by lane: spans of its cached stacks, first out first */
};

static unsigned free_then(const struct start_span *span, unsigned order, unsigned slots)
{
	uint16_t all = (uint16_t)((1u << slots) - 1);
	uint16_t may = order + 1 == POOLED_ORDERS && !span->ended ? span->touched : all;

	return (unsigned)__builtin_popcount(may & (uint16_t)~span->live);
}

static void close_making(struct making *making)
{
	free(making->tasks);
	free(making->next);
	free(making->left);
	free(making->wanted);
	free(making->queue);
	free(making->label);
	free(making->labels);
}

static int open_making(struct making *making, const struct stack_start *start, unsigned of,
		       const struct stack_drive *drive, struct rh_err *err)
{
	const struct start_order *order = &start->order[of];
	size_t spans = order->span_count, room = spans ? spans : 1;

	*making = (struct making){ .start = start, .of = of, .slots = slots_of(of),
				   .spans = order->span_count };
	making->tasks = calloc(room * making->slots, sizeof(*making->tasks));
	making->next = calloc(room, sizeof(*making->next));
	making->left = calloc(room, sizeof(*making->left));
	making->wanted = calloc(room, sizeof(*making->wanted));
	making->queue = calloc(room, sizeof(*making->queue));
	making->labels = calloc(drive->lane_count, sizeof(*making->labels));
	making->label = calloc(drive->lane_count, CACHED_MAX * sizeof(*making->label));
	if (!making->tasks || !making->next || !making->left || !making->wanted ||
	    !making->queue || !making->labels || !making->label)
		return no_memory(err);
	for (uint32_t s = 0; s < spans; s++)
		making->left[s] = free_then(&order->spans[s], of, making->slots);
	return 0;
}

/* The first use of a stack that was free: from the lane's cache, or from the pool. */
static void first_use(struct making *making, const struct step *step, uint32_t s, bool cacheable)
{
	uint32_t cached = making->start->order[making->of].cached[step->lane];
	uint32_t *labels = &making->labels[step->lane];

	if (cacheable && *labels < cached) {
		making->label[step->lane * CACHED_MAX + (*labels)++] = s;
		making->left[s]--;
		return;
	}
	if (!making->wanted[s]++)
		making->queue[making->queued++] = s;
}

static int find_uses(struct making *making, const struct steps *steps, struct rh_err *err)
{
	const struct start_order *order = &making->start->order[making->of];
	uint16_t *seen = calloc(making->spans ? making->spans : 1, sizeof(*seen));
	bool cacheable = true;

	if (!seen)
		return no_memory(err);
	for (size_t i = 0; i < steps->count; i++) {
		const struct step *step = &steps->of[i];
		const struct start_span *span;
		uint32_t s;

		cacheable &= step->kind != STEP_GC_END;
		if (step->kind != STEP_ALLOC || !place_pooled(step->word) ||
		    place_order(step->word) != making->of)
			continue;
		span = span_of(making->start, making->of, place_span(step->word));
		if (!span)
			continue;
		s = (uint32_t)(span - order->spans);
		if (!((span->live | seen[s]) & slot_bit(step->word)))
			first_use(making, step, s, cacheable);
		seen[s] |= slot_bit(step->word);
	}
	free(seen);
	return 0;
}

/* Cached stacks that nobody used. False: there are not that many. */
static bool pad(struct making *making, uint32_t lane)
{
	uint32_t cached = making->start->order[making->of].cached[lane], s = 0;

	while (making->labels[lane] < cached) {
		while (s < making->spans && making->left[s] <= making->wanted[s])
			s++;
		if (s == making->spans)
			return false;
		making->label[lane * CACHED_MAX + making->labels[lane]++] = s;
		making->left[s]--;
	}
	return true;
}

static void *take(struct making *making, uint32_t s)
{
	return making->tasks[s * making->slots + making->next[s]++];
}

/* Fills all spans and gives the stacks that were in use their tasks. */
static int fill(struct making *making, const struct steps *steps, struct stack_drive *drive,
		struct rh_err *err)
{
	for (uint32_t i = 0; i < making->spans * making->slots; i++) {
		making->tasks[i] = drive->ops->spawn(drive->lanes[0], 2048u << making->of);
		if (!making->tasks[i])
			return no_memory(err);
	}
	for (size_t i = 0; i < steps->count && steps->of[i].kind != STEP_GC_END; i++) {
		const struct step *step = &steps->of[i];
		const struct start_span *span = step->kind != STEP_EXISTS ? NULL :
			span_of(making->start, making->of, place_span(step->word));
		uint32_t s;

		if (!span)
			continue;
		s = (uint32_t)(span - making->start->order[making->of].spans);
		if (!rh_map_put(&drive->live, place_key(step->word), (uintptr_t)take(making, s)))
			return no_memory(err);
	}
	return 0;
}

/* Puts what was free into the pool, the span that was first in front last. */
static void fill_pool(struct making *making, struct stack_drive *drive)
{
	for (uint32_t i = making->queued; i-- > 0;) {
		uint32_t s = making->queue[i];

		for (; making->left[s]; making->left[s]--)
			drive->ops->exit(drive->lanes[0], take(making, s));
		drive->ops->lane_flush(drive->lanes[0]);
	}
}

static void fill_caches(struct making *making, struct stack_drive *drive)
{
	for (uint32_t lane = 0; lane < drive->lane_count; lane++)
		for (uint32_t i = making->labels[lane]; i-- > 0;)
			drive->ops->exit(drive->lanes[lane],
					 take(making, making->label[lane * CACHED_MAX + i]));
}

/* All but the caches. 1: done, 0: there cannot have been such a state, -1. */
static int make_order(struct making *making, const struct stack_start *start,
		      const struct steps *steps, unsigned of, struct stack_drive *drive,
		      struct rh_err *err)
{
	if (open_making(making, start, of, drive, err) < 0 || find_uses(making, steps, err) < 0)
		return -1;
	for (uint32_t lane = 0; lane < drive->lane_count; lane++)
		if (!pad(making, lane))
			return 0;
	/* Spans nobody used again were behind all others. One with all its stacks in the pool
	 * would have been given back. */
	for (uint32_t s = 0; s < making->spans; s++) {
		if (making->left[s] && !making->wanted[s])
			making->queue[making->queued++] = s;
		if (making->left[s] == making->slots)
			return 0;
	}
	if (fill(making, steps, drive, err) < 0)
		return -1;
	fill_pool(making, drive);
	return 1;
}

/* Stacks that have a span for themselves, and those of no span we know. */
static int make_others(const struct stack_start *start, const struct steps *steps,
		       struct stack_drive *drive, struct rh_err *err)
{
	for (size_t i = 0; i < steps->count; i++) {
		const struct step *step = &steps->of[i];

		if (step->kind == STEP_EXISTS && !span_of_any(start, step->word) &&
		    !rh_drive_alloc(drive, 0, step->word))
			return no_memory(err);
	}
	drive->ops->lane_flush(drive->lanes[0]);
	return 0;
}

int rh_start_make(const struct stack_start *start, const struct steps *steps,
		  struct stack_drive *drive, struct rh_err *err)
{
	struct making making[POOLED_ORDERS] = { { 0 } };
	int made = make_others(start, steps, drive, err) < 0 ? -1 : 1;

	for (unsigned order = 0; order < POOLED_ORDERS && made > 0; order++)
		made = make_order(&making[order], start, steps, order, drive, err);
	if (made == 0)
		rh_fail(err, RH_BUG, "the start that was found cannot be made");
	for (unsigned order = 0; order < POOLED_ORDERS; order++) {
		if (made > 0)
			fill_caches(&making[order], drive);
		close_making(&making[order]);
	}
	return made > 0 ? 0 : -1;
}

/* ---- finding it ---- */

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
static int open_trial(struct trial *trial, const char *backend, uint32_t lanes,
		      struct rh_err *err)
{
	struct stack_drive *drive = &trial->drive;

	memset(trial, 0, sizeof(*trial));
	drive->lane_count = lanes;
	drive->lanes = calloc(lanes, sizeof(*drive->lanes));
	if (!drive->lanes)
		return no_memory(err);
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

/* Spans of one order that Go had, by what the trace tells. */
struct counted { struct rh_map born; uint64_t spans; };

static bool count_span(struct counted *counted, const struct stack_start *start, unsigned of,
		       const struct step *step)
{
	uint64_t number = step->kind == STEP_ALLOC ? place_span(step->word) :
						     word_span(step->word);
	bool then = span_of(start, of, number) != NULL;

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
static bool step_on(struct stack_drive *drive, const struct step *step, unsigned of)
{
	struct rh_stack_lane *lane = drive->lanes[step->lane];
	bool ours = (step->kind == STEP_ALLOC || step->kind == STEP_FREE) &&
		    place_pooled(step->word) && place_order(step->word) == of;

	if (step->kind == STEP_GC_BEGIN)
		drive->ops->gc_begin(lane);
	else if (step->kind == STEP_GC_END)
		drive->ops->gc_end(lane);
	else if (step->kind == STEP_FLUSH)
		drive->ops->lane_flush(lane);
	else if (ours && step->kind == STEP_ALLOC)
		return rh_drive_alloc(drive, step->lane, step->word);
	else if (ours)
		rh_drive_free(drive, step->lane, step->word);
	return true;
}

struct finding {
	struct stack_start *start;
	const struct steps *steps;
	unsigned of;			/* order */
	const char *backend;
	uint64_t made;			/* stacks of the order, as many as are looked at */
	uint64_t trials;
};

/* How many stacks are made until the backend has more or fewer spans than Go had. */
static int agreement(const struct finding *finding, struct stack_drive *drive, uint64_t *agrees,
		     struct rh_err *err)
{
	const struct steps *steps = finding->steps;
	unsigned of = finding->of;
	struct counted counted = { .spans = finding->start->order[of].span_count };
	bool good = true, same = true;

	for (size_t i = 0; i < steps->count && good && same && *agrees < finding->made; i++) {
		const struct step *step = &steps->of[i];
		bool made = step->kind == STEP_ALLOC && place_pooled(step->word) &&
			    place_order(step->word) == of;

		if (made || step->kind == STEP_SPAN_FREE)
			good = count_span(&counted, finding->start, of, step);
		good &= step_on(drive, step, of);
		if (!made)
			continue;
		same = rh_drive_bytes(drive) == counted.spans * POOL_SPAN_BYTES;
		*agrees += same;
	}
	rh_map_close(&counted.born);
	return good ? 0 : no_memory(err);
}

/* 0: tried, *agrees says how well (0 when there cannot be such a state). */
static int try_start(const struct finding *finding, uint64_t *agrees, struct rh_err *err)
{
	struct trial *trial = malloc(sizeof(*trial));
	struct making making = { 0 };
	int result;

	*agrees = 0;
	if (!trial)
		return no_memory(err);
	result = open_trial(trial, finding->backend, finding->steps->lanes, err);
	if (result == 0)
		result = make_order(&making, finding->start, finding->steps, finding->of,
				    &trial->drive, err);
	if (result > 0) {
		fill_caches(&making, &trial->drive);
		result = agreement(finding, &trial->drive, agrees, err);
	}
	close_making(&making);
	close_trial(trial);
	free(trial);
	return result;
}

static uint64_t count_made(const struct steps *steps, unsigned of)
{
	uint64_t made = 0;

	for (size_t i = 0; i < steps->count; i++)
		made += steps->of[i].kind == STEP_ALLOC && place_pooled(steps->of[i].word) &&
			place_order(steps->of[i].word) == of;
	return made < TRIAL_STEPS_MAX ? made : TRIAL_STEPS_MAX;
}

/* One number for one lane; kept if it is better. */
static int try_number(struct finding *finding, uint32_t lane, uint32_t cached, uint32_t *best,
		      struct rh_err *err)
{
	struct start_order *order = &finding->start->order[finding->of];
	uint64_t agrees;

	if (order->agrees == finding->made || finding->trials == TRIALS_MAX)
		return 0;
	finding->trials++;
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

/* The best number for one lane, the others' given. 1: it is better than what was. */
static int find_lane(struct finding *finding, uint32_t lane, struct rh_err *err)
{
	uint32_t *cached = finding->start->order[finding->of].cached;
	uint32_t best = cached[lane];
	int result = 0;

	for (uint32_t number = 0; number <= slots_of(finding->of); number++) {
		int got = try_number(finding, lane, number, &best, err);

		if (got < 0)
			return -1;
		result |= got;
	}
	cached[lane] = best;
	return result;
}

/* Lane by lane; then, while stacks that were one P's are taken for another's, two at once. */
static int find_all(struct finding *finding, struct rh_err *err)
{
	uint32_t *cached = finding->start->order[finding->of].cached;
	uint32_t lanes = finding->steps->lanes;

	for (uint32_t lane = 0; lane < lanes; lane++)
		if (find_lane(finding, lane, err) < 0)
			return -1;
	for (uint32_t lane = 0; lane < lanes; lane++) {
		for (uint32_t other = 0; other < lanes; other++) {
			uint32_t was = cached[lane];

			for (uint32_t number = 0; other != lane && number <= slots_of(finding->of);
			     number++) {
				int got;

				cached[lane] = number;
				got = find_lane(finding, other, err);
				if (got < 0)
					return -1;
				was = got ? number : was;
			}
			cached[lane] = was;
		}
	}
	return 0;
}

static int find_order(struct stack_start *start, const struct steps *steps, unsigned of,
		      const char *backend, struct rh_err *err)
{
	struct finding finding = { start, steps, of, backend, 0, 0 };
	struct start_order *order = &start->order[of];

	order->cached = calloc(steps->lanes, sizeof(*order->cached));
	if (!order->cached)
		return no_memory(err);
	if (!order->span_count)
		return 0;
	order->made = finding.made = count_made(steps, of);
	if (try_start(&finding, &order->agrees, err) < 0)
		return -1;
	return find_all(&finding, err);
}

int rh_start_find(struct stack_start *start, const struct steps *steps, const char *backend,
		  struct rh_err *err)
{
	if (collect(start, steps, err) < 0)
		return -1;
	for (unsigned order = 0; order < POOLED_ORDERS; order++)
		if (find_order(start, steps, order, backend, err) < 0)
			return -1;
	return 0;
}

void rh_start_close(struct stack_start *start)
{
	for (unsigned order = 0; order < POOLED_ORDERS; order++) {
		free(start->order[order].spans);
		free(start->order[order].cached);
	}
	rh_map_close(&start->spans);
}
