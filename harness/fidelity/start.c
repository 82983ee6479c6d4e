/*
 * start.c - where the free stacks lay when recording began, deduced.
 *
 * The trace says which spans hold stacks and which of these stacks were in use. It does not say
 * whether a free stack was in the cache of a P or in the pool, nor in which order, and that
 * decides when the next span is needed. Later events show it:
 *
 * - A free stack that a P uses first, before its first flush, was in its cache or came there by
 *   a refill. find.c searches for the number that each P had at first.
 * - Spans stood in the pool in the order in which they were first used.
 * - A slot of 16 KiB that nobody ever used, in a span that was never given back, belongs to
 *   a thread of the runtime (g0): threads older than the trace are not recorded.
 *
 * No count depends on which slot of its span a stack occupies, so slots of one span are
 * interchangeable here.
 *
 * The state is then built with spawn, exit and lane_flush alone: all spans are filled, then the
 * tasks on stacks that were free exit on the right lane in the right order.
 */
#include <stdlib.h>
#include <string.h>

#include "harness/fidelity/stacks.h"
#include "alloc/base/grow.h"

enum {
	INDEX_BITS = 24,
};

static const char memory_for[] = "the stacks of the replay";

unsigned rh_start_slots(unsigned order)
{
	return POOL_SPAN_BYTES / (2048u << order);
}

static uint16_t slot_bit(uint64_t place)
{
	return (uint16_t)(1u << ((place_key(place) & 15) >> place_order(place)));
}

/* ---- the spans, as the trace has them ---- */

/* The span if its stacks have this `order`; NULL = newer than the beginning, or another size. */
struct start_span *rh_start_span(const struct stack_start *start, unsigned order, uint64_t number)
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
		void *p = cap >> INDEX_BITS
				  ? NULL
				  : reallocarray(order->spans, cap, sizeof(*order->spans));

		if (!p)
			return rh_no_memory(err, memory_for);
		order->spans = p;
		order->span_cap = cap;
	}
	order->spans[order->span_count] = (struct start_span){ .number = number };
	if (!rh_map_put(&start->spans, number, 1 + (of << INDEX_BITS | order->span_count)))
		return rh_no_memory(err, memory_for);
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
	span = rh_start_span(start, place_order(step->word), number);
	if (!span)
		return 0;
	span->touched |= slot_bit(step->word);
	if (step->kind == STEP_EXISTS)
		span->live |= slot_bit(step->word);
	return 0;
}

static int collect_spans(struct stack_start *start, const struct steps *steps, struct rh_err *err)
{
	for (size_t i = 0; i < steps->count; i++) {
		const struct step *step = &steps->of[i];

		if (step->kind == STEP_SPAN && word_snapshot(step->word)) {
			start->pages += word_pages(step->word);
			if (!rh_map_put(&start->spans, word_span(step->word), 0))
				return rh_no_memory(err, memory_for);
		} else if (step->kind == STEP_EXISTS || step->kind == STEP_ALLOC) {
			if (note_place(start, step, err) < 0)
				return -1;
		} else if (step->kind == STEP_SPAN_FREE) {
			for (unsigned order = 0; order < POOLED_ORDERS; order++) {
				struct start_span *span =
					rh_start_span(start, order, word_span(step->word));

				if (span)
					span->ended = true;
			}
		}
	}
	return 0;
}

/* ---- what became of their slots ---- */

static int add_use(struct start_order *order, const struct first_use *use, struct rh_err *err)
{
	/* Room doubles at each power of two. */
	if (!(order->use_count & (order->use_count - 1))) {
		size_t cap = order->use_count ? 2 * (size_t)order->use_count : 1;
		void *p = reallocarray(order->uses, cap, sizeof(*order->uses));

		if (!p)
			return rh_no_memory(err, memory_for);
		order->uses = p;
	}
	order->uses[order->use_count++] = *use;
	return 0;
}

static int add_live(struct start_order *order, const struct then_live *live, struct rh_err *err)
{
	if (!(order->live_count & (order->live_count - 1))) {
		size_t cap = order->live_count ? 2 * (size_t)order->live_count : 1;
		void *p = reallocarray(order->lives, cap, sizeof(*order->lives));

		if (!p)
			return rh_no_memory(err, memory_for);
		order->lives = p;
	}
	order->lives[order->live_count++] = *live;
	return 0;
}

/* The first use of each slot, and the stacks at that time, of all orders. */
static int find_uses(struct stack_start *start, const struct steps *steps, struct rh_err *err)
{
	bool cacheable = true;
	int result = 0;

	for (size_t i = 0; i < steps->count && result == 0; i++) {
		const struct step *step = &steps->of[i];
		struct start_order *order;
		struct start_span *span;

		cacheable &= step->kind != STEP_GC_END;
		if ((step->kind != STEP_ALLOC && (step->kind != STEP_EXISTS || !cacheable)) ||
		    !place_pooled(step->word))
			continue;
		order = &start->order[place_order(step->word)];
		span = rh_start_span(start, place_order(step->word), place_span(step->word));
		if (!span)
			continue;
		if (step->kind == STEP_EXISTS)
			result = add_live(order,
					  &(struct then_live){ place_key(step->word),
							       (uint32_t)(span - order->spans) },
					  err);
		else if (!((span->live | span->seen) & slot_bit(step->word)))
			result = add_use(order,
					 &(struct first_use){ step->lane,
							      (uint32_t)(span - order->spans),
							      cacheable },
					 err);
		if (step->kind == STEP_ALLOC)
			span->seen |= slot_bit(step->word);
	}
	return result;
}

int rh_start_collect(struct stack_start *start, const struct steps *steps, struct rh_err *err)
{
	return collect_spans(start, steps, err) < 0 ? -1 : find_uses(start, steps, err);
}

static bool span_of_any(const struct stack_start *start, uint64_t place)
{
	return place_pooled(place) &&
	       rh_start_span(start, place_order(place), place_span(place)) != NULL;
}

/* ---- making it ---- */

static unsigned free_then(const struct start_span *span, unsigned order, unsigned slots)
{
	uint16_t all = (uint16_t)((1u << slots) - 1);
	uint16_t may = order + 1 == POOLED_ORDERS && !span->ended ? span->touched : all;

	return (unsigned)__builtin_popcount(may & (uint16_t)~span->live);
}

void rh_start_plan_close(struct making *making)
{
	free(making->tasks);
	free(making->next);
	free(making->left);
	free(making->wanted);
	free(making->queue);
	free(making->listed);
	free(making->label);
	free(making->labels);
}

static int open_making(struct making *making, const struct stack_start *start, unsigned of,
		       uint32_t lanes, struct rh_err *err)
{
	const struct start_order *order = &start->order[of];
	size_t spans = order->span_count, room = spans ? spans : 1;

	*making = (struct making){
		.start = start, .of = of, .slots = rh_start_slots(of), .spans = order->span_count
	};
	making->tasks = calloc(room * making->slots, sizeof(*making->tasks));
	making->next = calloc(room, sizeof(*making->next));
	making->left = calloc(room, sizeof(*making->left));
	making->wanted = calloc(room, sizeof(*making->wanted));
	making->queue = calloc(room, sizeof(*making->queue));
	making->listed = calloc(room, sizeof(*making->listed));
	making->labels = calloc(lanes, sizeof(*making->labels));
	making->label = calloc(lanes, CACHED_MAX * sizeof(*making->label));
	if (!making->tasks || !making->next || !making->left || !making->wanted || !making->queue ||
	    !making->listed || !making->labels || !making->label)
		return rh_no_memory(err, memory_for);
	for (uint32_t s = 0; s < spans; s++)
		making->left[s] = free_then(&order->spans[s], of, making->slots);
	return 0;
}

/* The first use of a stack that was free: from the lane's cache, or from the pool. */
static void place_use(struct making *making, const struct first_use *use)
{
	uint32_t cached = making->start->order[making->of].cached[use->lane];
	uint32_t *labels = &making->labels[use->lane];

	if (use->cacheable && *labels < cached) {
		making->label[use->lane * CACHED_MAX + (*labels)++] = use->span;
		making->left[use->span]--;
		return;
	}
	/* Used after the first cycle only: it may have come to the pool from a cache. */
	making->wanted[use->span] += use->cacheable;
	if (!making->listed[use->span])
		making->queue[making->queued++] = use->span;
	making->listed[use->span] = true;
}

/* Cached stacks that were never used. False: there are not that many. */
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

static void *take_span(struct making *making, uint32_t s)
{
	return making->tasks[s * making->slots + making->next[s]++];
}

/* Fills all spans and gives the stacks that were in use their tasks. */
static int fill(struct making *making, struct stack_drive *drive, struct rh_err *err)
{
	const struct start_order *order = &making->start->order[making->of];

	for (uint32_t i = 0; i < making->spans * making->slots; i++) {
		making->tasks[i] = drive->ops->spawn(drive->lanes[0], 2048u << making->of);
		if (!making->tasks[i])
			return rh_no_memory(err, memory_for);
	}
	for (uint32_t i = 0; i < order->live_count; i++)
		if (!rh_map_put(&drive->live, order->lives[i].key,
				(uintptr_t)take_span(making, order->lives[i].span)))
			return rh_no_memory(err, memory_for);
	return 0;
}

/* Puts what was free into the pool, the span that was first in front last. */
static void fill_pool(struct making *making, struct stack_drive *drive)
{
	for (uint32_t i = making->queued; i-- > 0;) {
		uint32_t s = making->queue[i];

		for (; making->left[s]; making->left[s]--)
			drive->ops->exit(drive->lanes[0], take_span(making, s));
		drive->ops->lane_flush(drive->lanes[0]);
	}
}

/* The last step. Slots that stay taken throughout have no owner. */
static int fill_caches(struct making *making, struct stack_drive *drive, struct rh_err *err)
{
	uint64_t key = NOBODYS_STACK | (uint64_t)making->of << 32;

	for (uint32_t lane = 0; lane < drive->lane_count; lane++)
		for (uint32_t i = making->labels[lane]; i-- > 0;)
			drive->ops->exit(drive->lanes[lane],
					 take_span(making, making->label[lane * CACHED_MAX + i]));
	for (uint32_t s = 0; s < making->spans; s++)
		while (making->next[s] < making->slots)
			if (!rh_map_put(&drive->live, key++, (uintptr_t)take_span(making, s)))
				return rh_no_memory(err, memory_for);
	return 0;
}

int rh_start_plan(struct making *making, const struct stack_start *start, unsigned of,
		  uint32_t lanes, struct rh_err *err)
{
	if (open_making(making, start, of, lanes, err) < 0)
		return -1;
	for (uint32_t i = 0; i < start->order[of].use_count; i++)
		place_use(making, &start->order[of].uses[i]);
	for (uint32_t lane = 0; lane < lanes; lane++)
		if (!pad(making, lane))
			return 0;
	/* Spans nobody used again were behind all others. One with all its stacks in the pool
	 * would have been given back. */
	for (uint32_t s = 0; s < making->spans; s++) {
		if (making->left[s] && !making->listed[s])
			making->queue[making->queued++] = s;
		if (making->left[s] == making->slots)
			return 0;
	}
	return 1;
}

bool rh_start_possible(const struct stack_start *start, unsigned of, uint32_t lanes,
		       struct rh_err *err)
{
	struct making making = { 0 };
	int planned = rh_start_plan(&making, start, of, lanes, err);

	rh_start_plan_close(&making);
	return planned > 0;
}

/* All but the caches. 1: done, 0: there cannot have been such a state, -1. */
static int make_order(struct making *making, const struct stack_start *start, unsigned of,
		      struct stack_drive *drive, struct rh_err *err)
{
	int planned = rh_start_plan(making, start, of, drive->lane_count, err);

	if (planned <= 0)
		return planned;
	if (fill(making, drive, err) < 0)
		return -1;
	fill_pool(making, drive);
	return 1;
}

int rh_start_make_one(const struct stack_start *start, unsigned of, struct stack_drive *drive,
		      struct rh_err *err)
{
	struct making making = { 0 };
	int made = make_order(&making, start, of, drive, err);

	if (made > 0 && fill_caches(&making, drive, err) < 0)
		made = -1;
	rh_start_plan_close(&making);
	return made;
}

/* Stacks that have a span for themselves, and those of no span we know. */
static int make_others(const struct stack_start *start, const struct steps *steps,
		       struct stack_drive *drive, struct rh_err *err)
{
	for (size_t i = 0; i < steps->count; i++) {
		const struct step *step = &steps->of[i];

		if (step->kind == STEP_EXISTS && !span_of_any(start, step->word) &&
		    !rh_drive_alloc(drive, 0, step->word))
			return rh_no_memory(err, memory_for);
	}
	drive->ops->lane_flush(drive->lanes[0]);
	return 0;
}

void rh_start_close(struct stack_start *start)
{
	for (unsigned order = 0; order < POOLED_ORDERS; order++) {
		free(start->order[order].spans);
		free(start->order[order].uses);
		free(start->order[order].lives);
		free(start->order[order].cached);
	}
	rh_map_close(&start->spans);
	*start = (struct stack_start){ 0 };
}

int rh_start_make(const struct stack_start *start, const struct steps *steps,
		  struct stack_drive *drive, struct rh_err *err)
{
	struct making making[POOLED_ORDERS] = { { 0 } };
	int made = make_others(start, steps, drive, err) < 0 ? -1 : 1;

	for (unsigned order = 0; order < POOLED_ORDERS && made > 0; order++)
		made = make_order(&making[order], start, order, drive, err);
	if (made == 0)
		rh_fail(err, RH_BUG, "the start that was found cannot be made");
	for (unsigned order = 0; order < POOLED_ORDERS; order++) {
		if (made > 0 && fill_caches(&making[order], drive, err) < 0)
			made = -1;
		rh_start_plan_close(&making[order]);
	}
	return made > 0 ? 0 : -1;
}
