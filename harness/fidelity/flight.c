/*
 * flight.c - allocations in flight: their span is in the trace, their object not yet.
 *
 * Go takes the span first. Before the recorder writes the object, Go may start a collection,
 * clear a large block, or lose its P to another goroutine and continue on another P. So we
 * allocate the block when the span is taken, on the lane that took it, and keep it for the task
 * until its object comes, on whichever lane. To start a collection the task allocates for its
 * workers, so it can have several in flight, of different classes.
 *
 * The runtime counts the span in heap_live only after it has it: a cycle that begins in between
 * does not see it (5 of 10 MB, once).
 *
 * A large stack parts the other way: Go writes that it is free, then frees its span, and a busy
 * machine may keep the thread in between for milliseconds (1.8, with a cycle's begin in them).
 * Until the thread goes on, its P has no other event, and the span is left out of the recorded
 * side. If it goes on while a cycle marks, Go keeps the span until that ends, or takes it for
 * another stack.
 *
 * A tiny block cannot be allocated ahead, because the size of its first object decides what it
 * shares: until then its span is left out on both sides (rh_flight_leave_out).
 */
#include <stdlib.h>

#include "harness/fidelity/state.h"
#include "alloc/base/grow.h"

enum { WORD_KIND_BITS = 9, WORD_MANUAL = 1, TINY_KIND = 5 };

/* Without a task, the lane identifies the allocation; also for a span of tiny blocks: others on the
 * lane use it while its task waits for a collection to start, so the lane's next object ends it. */
static uint64_t key_of(const struct rh_event *event, uint32_t kind)
{
	if (event->task != RH_TASK_NONE && kind != TINY_KIND)
		return event->task;
	return (uint64_t)1 << 40 | event->lane;
}

static struct flight *find(struct flights *flights, uint64_t key, uint32_t kind)
{
	for (size_t i = 0; i < flights->count; i++)
		if (flights->of[i].key == key && flights->of[i].kind == kind)
			return &flights->of[i];
	return NULL;
}

static struct flight *add(struct flights *flights, uint64_t key)
{
	if (!rh_reserve(&flights->of, &flights->cap, flights->count + 1, sizeof(*flights->of)))
		return NULL;
	flights->of[flights->count] = (struct flight){ .key = key };
	return &flights->of[flights->count++];
}

static void drop(struct flights *flights, struct flight *flight)
{
	*flight = flights->of[--flights->count];
}

/* No object came for it: what it holds dies with the next cycle. */
static void give_up(struct replay *replay, struct flight *flight, uint32_t lane)
{
	if (flight->p)
		replay->ops->free(replay->lanes[lane].heap, flight->p, flight->size);
	drop(&replay->flights, flight);
}

int rh_flight_begin(struct replay *replay, const struct rh_event *event, struct rh_err *err)
{
	uint32_t kind = (uint32_t)(event->arg & ((1 << WORD_KIND_BITS) - 1)) >> 1;
	struct flight *flight = find(&replay->flights, key_of(event, kind), kind);

	if (event->arg & WORD_MANUAL || kind >= 2 * replay->class_count)
		return 0;
	if (flight)
		give_up(replay, flight, event->lane);
	flight = add(&replay->flights, key_of(event, kind));
	if (!flight)
		return rh_fail(err, RH_OS, "memory for the living objects of the replay ran out");
	flight->word = event->arg;
	flight->kind = kind;
	/* The heap's own cycles may fall anywhere between a span and its object: only large blocks
	 * behave the same there. */
	if (kind == TINY_KIND || (kind > 1 && replay->opts->oracle))
		return 0;
	flight->size = kind > 1 ? rh_fidelity_most(replay, kind)
				: (event->arg >> WORD_KIND_BITS) * RH_GO_PAGE;
	flight->p = rh_fidelity_take(replay, event->lane, flight->size, kind);
	return 0;
}

void *rh_flight_end(struct replay *replay, const struct rh_event *event, uint32_t kind)
{
	struct flight *flight = find(&replay->flights, key_of(event, kind), kind);
	void *p;

	if (!flight)
		return NULL;
	p = flight->p;
	drop(&replay->flights, flight);
	return p;
}

void rh_flight_count(struct replay *replay, const struct rh_event *event)
{
	for (size_t i = 0; i < replay->flights.count; i++) {
		struct flight *flight = &replay->flights.of[i];

		if (flight->key == key_of(event, flight->kind))
			flight->counted = true;
	}
}

uint64_t rh_flight_uncounted(const struct replay *replay)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < replay->flights.count; i++) {
		const struct flight *flight = &replay->flights.of[i];

		if (flight->p && !flight->counted)
			bytes += (flight->word >> WORD_KIND_BITS) * RH_GO_PAGE;
	}
	return bytes;
}

static void begin_marking(struct replay *replay, uint32_t lane)
{
	replay->spec.stack.gc_begin(replay->lanes[lane].stack);
	replay->flights.marking = true;
}

/* go.marks, or a span of stacks is freed, which shows that no cycle marks yet. */
void rh_flight_marks(struct replay *replay, const struct rh_event *event, enum series series)
{
	uint64_t after = replay->marks_after;

	if (series == SERIES_MARKS) {
		after = rh_map_get(&replay->late_marks, event->arg);
		replay->marks_after = after == RH_MAP_NONE ? 0 : after;
		if (!replay->marks_after)
			begin_marking(replay, event->lane);
	} else if (series == SERIES_STACK_SPAN_FREE && after) {
		replay->marks_after--;
		if (after == 1)
			begin_marking(replay, event->lane);
	}
}

static void part_no_more(struct flights *flights, unsigned at)
{
	flights->partings[at] = flights->partings[--flights->parting_count];
}

/* What a stack event says of the spans that are about to go. */
static void part_stack(struct flights *flights, const struct rh_event *event, enum series series)
{
	uint64_t span = place_span(event->arg);

	if (series == SERIES_STACK_SPAN_FREE)
		span = word_span(event->arg);
	for (unsigned i = flights->parting_count; i-- > 0;)
		if (flights->partings[i].span == span)
			part_no_more(flights, i);
	if (series != SERIES_STACK_FREE || place_pooled(event->arg) || flights->marking || !span ||
	    flights->parting_count == PARTINGS)
		return;
	flights->partings[flights->parting_count++] = (struct parting){
		.span = span,
		.pages = place_bytes(event->arg) / RH_GO_PAGE,
		.lane = event->lane,
	};
}

void rh_flight_part(struct replay *replay, const struct rh_event *event)
{
	struct flights *flights = &replay->flights;
	enum series series = event->kind == RH_EV_REF && event->id < sizeof(replay->series)
				     ? replay->series[event->id]
				     : SERIES_OTHER;

	if (event->kind == RH_EV_GC_BEGIN && !replay->has_marks)
		flights->marking = true;
	if (event->kind == RH_EV_GC_END)
		flights->marking = false;
	/* Of the growth that ends with the free: the same moment. */
	if (event->kind != RH_EV_GROW && event->kind != RH_EV_SHRINK)
		for (unsigned i = flights->parting_count; i-- > 0;) {
			struct parting *parting = &flights->partings[i];

			if (parting->kept || parting->lane != event->lane)
				continue;
			parting->kept = flights->marking;
			if (!parting->kept && series != SERIES_SPAN_FREE)
				part_no_more(flights, i);
		}
	if (series == SERIES_STACK_ALLOC || series == SERIES_STACK_FREE ||
	    series == SERIES_STACK_SPAN_FREE)
		part_stack(flights, event, series);
}

void rh_flight_leave_out(const struct replay *replay, struct rh_fidelity_edge *edge)
{
	for (size_t i = 0; i < replay->flights.count; i++) {
		const struct flight *flight = &replay->flights.of[i];

		if (flight->p || !edge->spans[flight->kind][0])
			continue;
		edge->spans[flight->kind][0]--;
		edge->curve[FIDELITY_HEAP][0] -= (flight->word >> WORD_KIND_BITS) * RH_GO_PAGE;
		edge->free_slots[0] -= rh_fidelity_slot_bytes(replay, flight->word);
	}
	for (unsigned i = 0; i < replay->flights.parting_count; i++)
		edge->curve[FIDELITY_STACK][0] -= replay->flights.partings[i].pages * RH_GO_PAGE;
}
