/*
 * order.c - see order.h. The path of an event: common checks (kind, lane, limits),
 * what dies, what is born or spawned, totals.
 */
#include "traces/format/order.h"
#include "alloc/base/debug.h"
#include "alloc/base/grow.h"
#include "traces/format/huge_alloc.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Out of line and cold: the checks before it stay a compare and a jump that is not taken. */
static __attribute__((format(printf, 2, 3), noinline, cold)) bool refuse(struct rh_order *order,
									 const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(order->why, sizeof(order->why), fmt, ap);
	va_end(ap);
	return false;
}

static __attribute__((noinline, cold)) bool refuse_memory(struct rh_order *order, const char *what)
{
	order->no_memory = true;
	if (rh_huge_refused())
		return refuse(order,
			      "%llu %s and more need over %llu MiB of memory, the limit%s; "
			      "--limit-memory SIZE raises it",
			      (unsigned long long)order->totals.live_objects_end, what,
			      (unsigned long long)(rh_huge_limit_bytes() >> 20),
			      rh_huge_limit_why());
	return refuse(order, "memory for %s ran out", what);
}

/* The letters of a row of event.h as bits, once for each kind instead of a strchr() for each event.
 */
static uint16_t fields_of(const char *letters)
{
	static const char all[] = "IOTNSAFRU";
	unsigned fields = 0;
	_Static_assert(RH_FIELD_BORN == 1 && RH_FIELD_LIVES == 1 << (sizeof(all) - 2),
		       "bits go by the letters");

	for (; *letters; letters++) {
		assert(strchr(all, *letters)); /* a letter of event.h */
		fields |= 1u << (strchr(all, *letters) - all);
	}
	return (uint16_t)fields;
}

bool rh_order_open(struct rh_order *order, unsigned columns)
{
	*order = (struct rh_order){ .columns = columns };
	/* Until an event has a time: 0 is one. */
	order->totals.time_ns_last = RH_NONE;
	for (int kind = 0; kind < RH_EV_COUNT; kind++)
		order->fields[kind] = fields_of(rh_event_rows[kind].fields);
	/* Only the size is kept of an object, which totals need when it dies. Ids and
	 * lanes follow from the events. */
	order->objects = rh_live_open(sizeof(uint64_t));
	order->tasks = rh_live_open(0);
	/* Both or neither, so that closing needs no third state. */
	if (order->objects && order->tasks)
		return true;
	rh_order_close(order);
	return false;
}

/* Safe after an open that failed: what was not made is NULL. */
void rh_order_close(struct rh_order *order)
{
	rh_live_close(order->objects);
	rh_live_close(order->tasks);
	free(order->lanes);
	order->objects = order->tasks = NULL;
	order->lanes = NULL;
}

/* What a kind does not have, or the trace has no column for, is set to absent: an event that went
 * through text, binary or neither compares equal byte for byte. */
void rh_order_clear_absent(const struct rh_order *order, struct rh_event *event)
{
	unsigned fields = order->fields[event->kind];

	if (!(fields &
	      (RH_FIELD_BORN | RH_FIELD_DIES | RH_FIELD_TASK | RH_FIELD_NUMBER | RH_FIELD_LIVES)))
		event->id = RH_NONE;
	if ((fields & (RH_FIELD_BORN | RH_FIELD_DIES)) != (RH_FIELD_BORN | RH_FIELD_DIES))
		event->old = RH_NONE;
	if (!(fields & RH_FIELD_SIZE))
		event->size = 0;
	if (!(fields & RH_FIELD_ALIGN))
		event->align_log2 = 0;
	if (!(fields & RH_FIELD_FLAGS))
		event->flags = 0;
	/* A free has a size only where the program gave one, and no flag but that. */
	if (event->kind == RH_EV_FREE) {
		event->flags &= RH_EVF_SIZED;
		event->size = event->flags ? event->size : 0;
	}
	/* A resize is a realloc by what it is. */
	if (event->kind == RH_EV_RESIZE)
		event->flags &= (uint16_t) ~(RH_EVF_REALLOC | RH_EVF_NEW);
	if (!(fields & RH_FIELD_ARG) || !(order->columns & RH_COL_ARG))
		event->arg = RH_NONE;
	if (!(order->columns & RH_COL_TIME))
		event->time_ns = RH_NONE;
	if (!(order->columns & RH_COL_TASK))
		event->task = RH_TASK_NONE;
	if (!(order->columns & RH_COL_SITE))
		event->site = RH_SITE_NONE;
}

/* Lanes rise without gaps, so that lanes[] is dense and a damaged number cannot ask for gigabytes.
 */
static bool lane_start(struct rh_order *order, uint32_t lane)
{
	struct rh_trace_totals *totals = &order->totals;

	if (lane < totals->lanes)
		return refuse(order, "lane %u has started before", lane);
	if (lane > totals->lanes)
		return refuse(order,
			      "lane numbers must rise without gaps: %u came where %llu is "
			      "next",
			      lane, (unsigned long long)totals->lanes);
	if (lane >= RH_TRACE_LANES_MAX)
		return refuse(order, "there are more than %d lanes", RH_TRACE_LANES_MAX);
	/* Never freed before close: a million lanes are a megabyte. */
	if (!rh_reserve(&order->lanes, &order->lanes_cap, (size_t)lane + 1, sizeof(*order->lanes)))
		return refuse_memory(order, "lanes");
	assert(lane == totals->lanes && lane < order->lanes_cap);
	order->lanes[lane] = true;
	totals->lanes++;
	return true;
}

/* A lane that has stopped is over for good: its number is not used again. */
static bool check_lane(struct rh_order *order, const struct rh_event *event)
{
	if (event->kind == RH_EV_LANE_START)
		return lane_start(order, event->lane);
	if (event->lane >= order->totals.lanes)
		return refuse(order,
			      "lane %u has not started (a lane_start of it must come "
			      "first)",
			      event->lane);
	rh_debug_assert(event->lane < order->lanes_cap);
	if (!order->lanes[event->lane])
		return refuse(order, "lane %u has stopped before", event->lane);
	if (event->kind == RH_EV_LANE_STOP)
		order->lanes[event->lane] = false;
	return true;
}

/* The largest and not the last: it is the length of the recording. */
static inline void count_time(struct rh_order *order, uint64_t time_ns)
{
	uint64_t *last = &order->totals.time_ns_last;

	if (time_ns != RH_NONE && (*last == RH_NONE || *last < time_ns))
		*last = time_ns;
}

/* Bounds of what every reader has room for. A time may lie before the last one (clocks of lanes
 * differ); only its range is checked. */
static bool check_limits(struct rh_order *order, const struct rh_event *event)
{
	unsigned fields = order->fields[event->kind];
	/* Of a map or a stack the size may be unknown; a block without one cannot be
	 * replayed. */
	bool no_size = event->size == RH_NONE && !(fields & RH_FIELD_BORN);

	if (event->size > RH_TRACE_SIZE_MAX && !no_size)
		return refuse(order, "a size of %llu bytes is beyond any address space",
			      (unsigned long long)event->size);
	if (event->align_log2 > RH_TRACE_ALIGN_LOG2_MAX)
		return refuse(order, "an alignment of 2^%u is beyond any address space",
			      event->align_log2);
	if (event->flags & RH_EVF_SIZED && (event->kind != RH_EV_FREE || event->size == RH_NONE))
		return refuse(order, "only a free can be sized, and then has a size");
	if (event->flags & (RH_EVF_REALLOC | RH_EVF_NEW) && event->kind != RH_EV_ALLOC)
		return refuse(order, "only an alloc can be by realloc or new");
	if (event->flags & ~(unsigned)RH_TRACE_FLAGS)
		return refuse(order, "flags 0x%x are unknown", event->flags);
	if (event->time_ns != RH_NONE) {
		if (event->time_ns > RH_TRACE_TIME_MAX)
			return refuse(order, "a time of %llu ns is out of range",
				      (unsigned long long)event->time_ns);
		count_time(order, event->time_ns);
	}
	/* A task that has exited may still be named: what its thread does at its end
	 * comes after. */
	if (event->task != RH_TASK_NONE && event->task > order->totals.tasks)
		return refuse(order, "task %u has not been spawned", event->task);
	return true;
}

/* The totals of a death: its size is read from where it lived. */
static void count_death(struct rh_order *order, uint64_t position)
{
	rh_debug_assert(order->totals.live_objects_end > 0);
	rh_debug_assert(order->totals.live_bytes_end >=
			*(uint64_t *)rh_live_payload(order->objects, position));
	order->totals.live_bytes_end -= *(uint64_t *)rh_live_payload(order->objects, position);
	order->totals.live_objects_end--;
}

/* The totals of a birth. */
static inline __attribute__((always_inline)) void count_birth(struct rh_trace_totals *totals,
							      uint64_t size)
{
	totals->objects++;
	totals->live_bytes_end += size;
	totals->live_objects_end++;
	if (totals->live_bytes_end > totals->live_bytes_peak)
		totals->live_bytes_peak = totals->live_bytes_end;
	if (totals->live_objects_end > totals->live_objects_peak)
		totals->live_objects_peak = totals->live_objects_end;
	if (size > totals->size_max)
		totals->size_max = size;
	rh_debug_assert(totals->live_objects_end <= totals->objects);
}

/* Sizes are what the source says: a damaged trace must not make the sum wrap. */
static inline bool bytes_fit(struct rh_order *order, uint64_t size)
{
	return order->totals.live_bytes_end + size <= INT64_MAX ||
	       refuse(order, "the living objects are larger than any address space");
}

/* Ids are dense and in order of birth, so nothing has to look them up: an id says how many were
 * born. */
static inline __attribute__((always_inline)) bool birth(struct rh_order *order, uint64_t id,
							uint64_t size)
{
	uint64_t next = order->totals.objects;

	rh_debug_assert(next == rh_live_births(order->objects));
	if (id != next)
		return refuse(order,
			      "objects are numbered in order of birth: %llu came where "
			      "%llu is next",
			      (unsigned long long)id, (unsigned long long)next);
	if (!bytes_fit(order, size))
		return false;
	if (!rh_live_bear(order->objects, size))
		return refuse_memory(order, "living objects");
	count_birth(&order->totals, size);
	return true;
}

/* Task 0 is what the program began with; nobody spawned it. */
static bool spawn(struct rh_order *order, const struct rh_event *event)
{
	uint64_t position, next = order->totals.tasks + 1;

	if (event->id != next)
		return refuse(order,
			      "tasks are numbered in order of spawning from 1: %llu came "
			      "where %llu is next",
			      (unsigned long long)event->id, (unsigned long long)next);
	if (next >= RH_TASK_NONE)
		return refuse(order, "there are more than 2^32 - 2 tasks");
	/* Tasks are a set of the living too, without a payload: a program that makes
	 * millions of them one after another needs memory for those that run at once. */
	if (!rh_live_birth(order->tasks, &position))
		return refuse_memory(order, "living tasks");
	assert(rh_live_births(order->tasks) == next);
	order->totals.tasks = next;
	return true;
}

/* A task that is named: join may name one that is over, everything else a living one. */
static bool task_event(struct rh_order *order, const struct rh_event *event)
{
	uint64_t position;

	if (event->kind == RH_EV_SPAWN)
		return spawn(order, event);
	if (event->id > order->totals.tasks)
		return refuse(order, "task %llu has not been spawned",
			      (unsigned long long)event->id);
	/* A join that comes after the exit is the usual case. Task 0 lives from the
	 * first event to the last. */
	if (event->kind == RH_EV_JOIN || (event->id == 0 && event->kind != RH_EV_EXIT))
		return true;
	if (event->id == 0 || !rh_live_find(order->tasks, event->id - 1, &position))
		return refuse(order, "task %llu %s", (unsigned long long)event->id,
			      event->id ? "has exited before" : "was not spawned: it cannot exit");
	if (event->kind == RH_EV_EXIT)
		rh_live_death(order->tasks, position);
	return true;
}

/* Before anything is indexed by the kind. */
static inline bool check_kind(struct rh_order *order, const struct rh_event *event)
{
	return event->kind < RH_EV_COUNT ? true : refuse(order, "kind %u is unknown", event->kind);
}

/* What comes last. */
static inline bool finish_event(struct rh_order *order, const struct rh_event *event)
{
	if (order->fields[event->kind] & RH_FIELD_TASK && !task_event(order, event))
		return false;
	/* Counted last, so that a refused event is in no total, and totals.events is
	 * its number. */
	order->totals.by_kind[event->kind]++;
	order->totals.events++;
	return true;
}

static __attribute__((noinline, cold)) bool refuse_dead(struct rh_order *order, uint64_t id)
{
	return refuse(order, "object %llu %s", (unsigned long long)id,
		      id < rh_live_births(order->objects) ? "is dead already" : "was never born");
}

/* What an event names lives: its position, and the event's refusal where it does not. */
static inline bool find_living(struct rh_order *order, uint64_t id, uint64_t *position,
			       uint64_t *rank)
{
	if (!rh_live_find(order->objects, id, position))
		return refuse_dead(order, id);
	*rank = rh_live_rank(order->objects, *position);
	rh_debug_assert(*rank < rh_live_count(order->objects));
	return true;
}

enum { FLAGS_OF_BIRTH = RH_TRACE_FLAGS & ~RH_EVF_SIZED };

/* An alloc or a free that nothing can be said against but by what lives. In a recording or a Go
 * trace nearly all are, and each costs one look at the living instead of a walk through all rules.
 */
static inline bool is_usual(const struct rh_order *order, const struct rh_event *event)
{
	bool free = event->kind == RH_EV_FREE;

	return event->kind <= RH_EV_FREE && event->lane < order->totals.lanes &&
	       order->lanes[event->lane] && event->size <= RH_TRACE_SIZE_MAX &&
	       event->align_log2 <= (free ? 0 : RH_TRACE_ALIGN_LOG2_MAX) &&
	       !(event->flags & ~(unsigned)(free ? RH_EVF_SIZED : FLAGS_OF_BIRTH)) &&
	       (event->task <= order->totals.tasks || event->task == RH_TASK_NONE) &&
	       (event->time_ns <= RH_TRACE_TIME_MAX || event->time_ns == RH_NONE);
}

/* Its fields are cleared and its time is counted; else nothing is changed. */
static inline bool usual(struct rh_order *order, struct rh_event *event)
{
	bool free = event->kind == RH_EV_FREE;
	unsigned columns = order->columns;

	if (!is_usual(order, event))
		return false;
	event->old = RH_NONE;
	event->size = free && !event->flags ? 0 : event->size;
	if (!free || !(columns & RH_COL_ARG))
		event->arg = RH_NONE;
	if (!(columns & RH_COL_TASK))
		event->task = RH_TASK_NONE;
	if (!(columns & RH_COL_SITE))
		event->site = RH_SITE_NONE;
	if (!(columns & RH_COL_TIME))
		event->time_ns = RH_NONE;
	else
		count_time(order, event->time_ns);
	return true;
}

static inline __attribute__((always_inline)) bool death(struct rh_order *order, uint64_t id,
							uint64_t *rank)
{
	struct rh_trace_totals *totals = &order->totals;
	const uint64_t *size = rh_live_finish(order->objects, id, rank);

	if (!size)
		return refuse_dead(order, id);
	rh_debug_assert(totals->live_bytes_end >= *size && totals->live_objects_end > 0);
	totals->live_bytes_end -= *size;
	totals->live_objects_end--;
	return true;
}

static inline __attribute__((always_inline)) bool
put_usual(struct rh_order *order, const struct rh_event *event, uint64_t *rank)
{
	if (!(event->kind == RH_EV_ALLOC ? birth(order, event->id, event->size)
					 : death(order, event->id, rank)))
		return false;
	order->totals.by_kind[event->kind]++;
	order->totals.events++;
	return true;
}

/* Any event, by all rules. */
static __attribute__((noinline)) bool put_any(struct rh_order *order, struct rh_event *event,
					      uint64_t *rank)
{
	uint64_t position;

	if (!check_kind(order, event))
		return false;
	rh_order_clear_absent(order, event);
	if (!check_lane(order, event) || !check_limits(order, event))
		return false;
	if (order->fields[event->kind] & RH_FIELD_DIES) {
		/* The death before the birth, so that a resize can never end the
		 * object that it bears. */
		if (!find_living(order, event->kind == RH_EV_FREE ? event->id : event->old,
				 &position, rank))
			return false;
		count_death(order, position);
		rh_live_death(order->objects, position);
	}
	if (order->fields[event->kind] & RH_FIELD_LIVES &&
	    !find_living(order, event->id, &position, rank))
		return false;
	if (order->fields[event->kind] & RH_FIELD_BORN && !birth(order, event->id, event->size))
		return false;
	rh_debug_assert(order->totals.live_objects_end == rh_live_count(order->objects));
	return finish_event(order, event);
}

size_t rh_order_put_usual(struct rh_order *order, const struct rh_event *events, uint64_t *ranks,
			  size_t most, size_t count)
{
	bool timed = order->columns & RH_COL_TIME;
	bool many = rh_live_count(order->objects) > RH_ORDER_NEAR;
	size_t i;

	assert(most <= count);
	for (i = 0; i < most && is_usual(order, &events[i]); i++) {
		if (many && i + RH_ORDER_AHEAD < count)
			rh_order_soon(order, &events[i + RH_ORDER_AHEAD], false);
		if (many && i + RH_ORDER_AHEAD / 2 < count)
			rh_order_soon(order, &events[i + RH_ORDER_AHEAD / 2], true);
		/* What is refused here is refused once more by who puts it by itself. */
		if (!put_usual(order, &events[i], &ranks[i]))
			break;
		if (timed)
			count_time(order, events[i].time_ns);
	}
	return i;
}

bool rh_order_put(struct rh_order *order, struct rh_event *event, uint64_t *rank)
{
	return usual(order, event) ? put_usual(order, event, rank) : put_any(order, event, rank);
}

/* Where the objects of an event lie. */
struct places {
	uint64_t dies, born;
};

/* Ends and begins lives in the bitmap: how many events, fewer when a rank is too large. Mostly
 * the bitmap is touched here, which stays in the caches; the items, which do not, are on their
 * way when get_one reads them. */
static size_t find_places(struct rh_order *order, struct rh_event *events, const uint64_t *ranks,
			  struct places *places, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		unsigned fields = order->fields[events[i].kind];

		if (fields & RH_FIELD_DIES &&
		    !rh_live_take(order->objects, ranks[i], &places[i].dies))
			return i;
		if (fields & RH_FIELD_LIVES &&
		    !rh_live_select(order->objects, ranks[i], &places[i].dies, &events[i].id))
			return i;
		if (!(fields & RH_FIELD_BORN))
			continue;
		/* Reading derives ids: they are not in the file. */
		events[i].id = rh_live_births(order->objects);
		rh_live_birth(order->objects, &places[i].born);
	}
	return count;
}

/* An event whose objects have been found. The binary form, where objects come by rank: what
 * rh_order_put looks up by id has been found by find_places. */
static bool get_one(struct rh_order *order, struct rh_event *event, const struct places *places)
{
	unsigned fields = order->fields[event->kind];

	if (fields & RH_FIELD_DIES) {
		uint64_t id = rh_live_id(order->objects, places->dies);

		if (event->kind == RH_EV_FREE)
			event->id = id;
		else
			event->old = id;
		count_death(order, places->dies);
	}
	if (fields & RH_FIELD_BORN) {
		if (!bytes_fit(order, event->size))
			return false;
		*(uint64_t *)rh_live_payload(order->objects, places->born) = event->size;
		count_birth(&order->totals, event->size);
	}
	if (event->kind == RH_EV_SPAWN)
		event->id = order->totals.tasks + 1;
	return finish_event(order, event);
}

size_t rh_order_get(struct rh_order *order, struct rh_event *events, const uint64_t *ranks,
		    size_t count)
{
	struct places places[RH_ORDER_BATCH];
	size_t found;

	assert(count <= RH_ORDER_BATCH);
	/* So that no birth in the batch moves what was found for the events after it. */
	if (!rh_live_reserve(order->objects, count)) {
		refuse_memory(order, "living objects");
		return 0;
	}
	found = find_places(order, events, ranks, places, count);
	for (size_t i = 0; i < count; i++) {
		if (!check_lane(order, &events[i]) || !check_limits(order, &events[i]))
			return i;
		if (i == found) {
			/* The lives that were ended behind this event do not matter:
			 * a refused trace is not read on. */
			refuse(order, "it names object %llu from the end and only %llu live",
			       (unsigned long long)ranks[i],
			       (unsigned long long)rh_live_count(order->objects));
			return i;
		}
		if (!get_one(order, &events[i], &places[i]))
			return i;
	}
	rh_debug_assert(order->totals.live_objects_end == rh_live_count(order->objects));
	return count;
}
