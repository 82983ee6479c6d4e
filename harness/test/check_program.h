/*
 * check_program.h - an independent judge of compiled programs: it knows the trace and the
 * meaning of ops, but nothing of how compiling works.
 *
 * 1. match: every event that has an op appears exactly once, in recorded order on its
 *    lane, with its size, flags and task; every cut holds just the events of its grain.
 * 2. run: all lanes are executed step by step, in an order that the schedule makes as
 *    unlike the recorded one as WAIT, PUBLISH and the barriers of epochs allow. Each
 *    lane carries a vector clock, so an order that merely happened is distinguished from one
 *    that is enforced: an access to a slot must come after the last one by order, a death after
 *    its birth, a join after the end.
 */
#ifndef RH_CHECK_PROGRAM_H
#define RH_CHECK_PROGRAM_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "alloc/backend.h"
#include "harness/compile/object.h"
#include "harness/compile/program.h"
#include "traces/format/trace.h"

#define CHECK(condition, ...)                  \
	do {                                   \
		if (!(condition))              \
			fail_msg(__VA_ARGS__); \
	} while (0)

enum schedule { UPWARDS, DOWNWARDS, RANDOM };
enum step_kind { STEP_EVENT, STEP_QUIET, STEP_WAIT, STEP_PUBLISH };
#define NOWHERE UINT32_MAX

/* STEP_QUIET is an event without an op, taken as late as it can be. */
struct step {
	uint32_t kind, a, b;
}; /* event and slot, lane and count, -, count */

struct check_lane {
	uint32_t *events, event_count, event_cap;
	struct step *steps;
	uint32_t step_count, step_cap, at;
	uint32_t *epoch_ends; /* step index where each epoch ends */
	uint32_t *clock;      /* by lane */
	uint32_t **said;      /* clock at publish k */
	uint32_t published;
};

struct check {
	struct rh_event *events;
	uint64_t event_count;
	uint32_t *carrier, trace_lanes;			/* by trace lane: replay lane */
	uint64_t *size;					/* by object */
	uint32_t *born, *spawned, *task_op, *task_last; /* by object / task: event */
	uint8_t *how;					/* by object: aligned, by operator new */
	bool *task_ran;		  /* its first event is past: only that needs the spawn */
	uint32_t *prior, *prior2; /* by event: events that must come before, NOWHERE = none */
	uint32_t *when;		  /* by event: own clock of its lane, 0 = not yet */
	struct check_lane *lanes;
	uint32_t lane_count, epochs;
	uint64_t *slots, *tasks;	      /* object / task + 1 there, 0 = empty */
	uint64_t *slot_last, *task_slot_last; /* lane << 32 | clock of the last access */
	const struct rh_program *program;
};

static inline bool check_has_op(unsigned kind)
{
	return kind != RH_EV_LANE_START && kind != RH_EV_LANE_STOP && kind != RH_EV_JOIN &&
	       kind != RH_EV_MARK && kind != RH_EV_REF && kind != RH_EV_GAP && kind != RH_EV_MAP &&
	       kind != RH_EV_UNMAP;
}

static void *check_zero(size_t count, size_t each)
{
	void *p = calloc(count + 1, each);

	assert_non_null(p);
	return p;
}

static void check_load(struct check *check, const char *path)
{
	struct rh_err err = { 0 };
	struct rh_trace *trace;
	uint64_t cap = 0;
	int count = 1;

	CHECK(rh_trace_open(&trace, path, &err) == 0, "%s", err.text);
	while (count > 0) {
		if (cap - check->event_count < RH_TRACE_BATCH) {
			cap = 2 * cap + RH_TRACE_BATCH;
			check->events = realloc(check->events, cap * sizeof(*check->events));
			assert_non_null(check->events);
		}
		count = rh_trace_next(trace, check->events + check->event_count, RH_TRACE_BATCH,
				      &err);
		CHECK(count >= 0, "%s", err.text);
		check->event_count += (uint64_t)count;
	}
	rh_trace_close(trace);
}

/* Births, and for each event what must come before it. */
static void check_priors(struct check *check)
{
	uint32_t *last_op; /* by trace lane: last event with an op, for quiet ones */

	check->size = check_zero(check->event_count, sizeof(*check->size));
	check->how = check_zero(check->event_count, sizeof(*check->how));
	check->born = check_zero(check->event_count, sizeof(*check->born));
	check->spawned = check_zero(check->event_count + 1, sizeof(uint32_t));
	check->task_op = check_zero(check->event_count + 1, sizeof(uint32_t));
	check->task_last = check_zero(check->event_count + 1, sizeof(uint32_t));
	check->task_ran = check_zero(check->event_count + 1, sizeof(bool));
	check->prior = check_zero(check->event_count, sizeof(uint32_t));
	check->prior2 = check_zero(check->event_count, sizeof(uint32_t));
	check->when = check_zero(check->event_count, sizeof(uint32_t));
	last_op = check_zero(check->trace_lanes, sizeof(uint32_t));
	memset(last_op, 0xff, check->trace_lanes * sizeof(uint32_t));
	memset(check->task_last, 0xff, check->event_count * sizeof(uint32_t));
	for (uint32_t i = 0; i < check->event_count; i++) {
		const struct rh_event *event = &check->events[i];
		uint32_t before = NOWHERE, before2 = NOWHERE;

		if (event->kind == RH_EV_ALLOC || event->kind == RH_EV_RESIZE) {
			check->size[event->id] = event->size;
			check->how[event->id] =
				(uint8_t)((event->align_log2 != 0) | rh_object_new(event) << 1);
			check->born[event->id] = i;
		}
		if (event->kind == RH_EV_FREE || event->kind == RH_EV_USABLE)
			before = check->born[event->id];
		if (event->kind == RH_EV_USABLE)
			check->born[event->id] = i; /* what ends it comes after this too */
		if (event->kind == RH_EV_RESIZE)
			before = check->born[event->old];
		if (event->kind == RH_EV_SPAWN)
			check->spawned[event->id] = i;
		else if (strchr(rh_event_rows[event->kind].fields, 'T') &&
			 event->kind != RH_EV_JOIN)
			before = check->task_op[event->id];
		if (event->kind == RH_EV_JOIN) {
			before = check->task_op[event->id];
			before2 = check->task_last[event->id];
		} else if (strchr(rh_event_rows[event->kind].fields, 'T')) {
			check->task_op[event->id] = i;
		}
		if (event->task != RH_TASK_NONE && event->task != 0 && before2 == NOWHERE &&
		    !check->task_ran[event->task])
			before2 = check->spawned[event->task];
		if (check_has_op(event->kind))
			last_op[event->lane] = i;
		if (event->task != RH_TASK_NONE) {
			check->task_last[event->task] = last_op[event->lane];
			check->task_ran[event->task] = true;
		}
		check->prior[i] = before;
		check->prior2[i] = before2;
	}
	free(last_op);
}

static uint32_t check_words(const struct rh_op *op)
{
	switch (RH_OP_KIND(op->what)) {
	case RH_OP_RESIZE:
	case RH_OP_ALLOC_AS:
		return 2;
	case RH_OP_MISC:
		return 1 + op->size;
	default:
		return 1;
	}
}

static uint64_t check_word(const struct rh_op *op, int index)
{
	uint64_t word;

	memcpy(&word, op + 1 + index, sizeof(word));
	return word;
}

/* Which trace lanes each replay lane says it carries. */
static void check_turns(struct check *check)
{
	const struct rh_program *program = check->program;

	check->carrier = check_zero(check->trace_lanes, sizeof(uint32_t));
	memset(check->carrier, 0xff, check->trace_lanes * sizeof(uint32_t));
	for (uint32_t lane = 0; lane < check->lane_count; lane++) {
		const struct rh_op *ops = rh_program_ops(program, lane);

		for (uint64_t at = 0; at < program->lanes[lane].op_words;
		     at += check_words(&ops[at])) {
			uint64_t carried;

			if (ops[at].what != RH_OP_WHAT(RH_OP_MISC, RH_MISC_TURN))
				continue;
			carried = check_word(&ops[at], 0);
			CHECK(carried < check->trace_lanes, "turn of lane %lu", carried);
			CHECK(check->carrier[carried] == NOWHERE, "lane %lu has two turns",
			      carried);
			check->carrier[carried] = lane;
		}
	}
}

static void check_share_events(struct check *check)
{
	for (uint32_t i = 0; i < check->event_count; i++) {
		uint32_t carrier = check->carrier[check->events[i].lane];
		struct check_lane *lane;

		CHECK(carrier != NOWHERE, "lane %u has no turn", check->events[i].lane);
		lane = &check->lanes[carrier];
		if (lane->event_count == lane->event_cap) {
			lane->event_cap = 2 * lane->event_cap + 64;
			lane->events = realloc(lane->events, lane->event_cap * sizeof(uint32_t));
			assert_non_null(lane->events);
		}
		lane->events[lane->event_count++] = i;
	}
}

static void check_step(struct check_lane *lane, uint32_t kind, uint32_t a, uint32_t b)
{
	if (lane->step_count == lane->step_cap) {
		lane->step_cap = 2 * lane->step_cap + 64;
		lane->steps = realloc(lane->steps, lane->step_cap * sizeof(*lane->steps));
		assert_non_null(lane->steps);
	}
	lane->steps[lane->step_count++] = (struct step){ kind, a, b };
}

static void check_alloc(const struct rh_event *event, const struct rh_op *op, uint32_t i)
{
	uint32_t kind = RH_OP_KIND(op->what), flags = 0, align_log2 = 0;
	uint64_t size = op->size;

	if (kind == RH_OP_ALLOC_AS) {
		flags = op->size & 0xff;
		align_log2 = op->size >> 8;
		size = check_word(op, 0);
	} else if (kind == RH_OP_NOSCAN) {
		flags = RH_ALLOC_NOSCAN;
	} else if (kind == RH_OP_ZALLOC) {
		flags = RH_ALLOC_ZEROED;
	} else {
		CHECK(kind == RH_OP_ALLOC, "event %u: op %u for an alloc", i, kind);
	}
	CHECK(size == event->size && align_log2 == event->align_log2, "event %u: size", i);
	CHECK(!(flags & RH_ALLOC_ZEROED) == !(event->flags & RH_EVF_ZEROED) &&
		      !(flags & RH_ALLOC_NOSCAN) == !(event->flags & RH_EVF_NOSCAN) &&
		      !(flags & RH_ALLOC_REALLOC) == !(event->flags & RH_EVF_REALLOC) &&
		      !(flags & RH_ALLOC_NEW) == !rh_object_new(event),
	      "event %u: flags", i);
}

static void check_death(const struct check *check, const struct rh_event *event,
			const struct rh_op *op, uint32_t i)
{
	uint8_t how = check->how[event->id];
	uint64_t size = check->size[event->id];
	bool sized = event->flags & RH_EVF_SIZED && !(how & 1), misc = size > UINT32_MAX;
	bool deleted = how & 2 && !(sized && size), as = (sized || deleted) && size >> 31 == 0;

	CHECK(RH_OP_KIND(op->what) == (misc ? RH_OP_MISC
				       : as ? RH_OP_FREE_SIZED
					    : RH_OP_FREE) &&
		      (misc ? check_word(op, 1) : op->size) ==
			      (as && deleted ? size | RH_FREE_DELETE : size),
	      "event %u: free", i);
}

/* Compares op and event; the slot of the op. */
static uint32_t check_op(const struct check *check, uint32_t i, const struct rh_op *op)
{
	static const uint8_t plain[RH_EV_COUNT] = {
		[RH_EV_SPAWN] = RH_OP_SPAWN,	     [RH_EV_EXIT] = RH_OP_EXIT,
		[RH_EV_CALL] = RH_OP_CALL,	     [RH_EV_RETURN] = RH_OP_RETURN,
		[RH_EV_GROW] = RH_MISC_GROW,	     [RH_EV_SHRINK] = RH_MISC_SHRINK,
		[RH_EV_GC_BEGIN] = RH_MISC_GC_BEGIN, [RH_EV_GC_END] = RH_MISC_GC_END
	};
	const struct rh_event *event = &check->events[i];
	uint32_t kind = RH_OP_KIND(op->what), slot = RH_OP_SLOT(op->what);
	bool misc = kind == RH_OP_MISC;

	switch (event->kind) {
	case RH_EV_ALLOC:
		check_alloc(event, op, i);
		return slot;
	case RH_EV_FREE:
		check_death(check, event, op, i);
		return misc ? (uint32_t)check_word(op, 0) : slot;
	case RH_EV_RESIZE:
		CHECK(misc ? slot == RH_MISC_RESIZE_BIG || slot == RH_MISC_RESIZE_ASKED
			   : kind == RH_OP_RESIZE,
		      "event %u: resize", i);
		CHECK((misc ? check_word(op, 1) : op->size) == event->size &&
			      check_word(op, misc ? 2 : 0) == check->size[event->old],
		      "event %u: sizes of a resize", i);
		return misc ? (uint32_t)check_word(op, 0) : slot;
	case RH_EV_USABLE:
		CHECK(misc && slot == RH_MISC_USABLE && check_word(op, 1) == check->size[event->id],
		      "event %u: question", i);
		return (uint32_t)check_word(op, 0);
	case RH_EV_GC_BEGIN:
	case RH_EV_GC_END:
		CHECK(misc && slot == plain[event->kind] && check_word(op, 0) == event->id,
		      "event %u: gc", i);
		return 0;
	case RH_EV_FREE_NULL:
		CHECK(misc && slot == RH_MISC_FREE_NULL && check_word(op, 0) == 0,
		      "event %u: free of NULL", i);
		return 0;
	case RH_EV_GROW:
	case RH_EV_SHRINK:
		CHECK(misc && slot == plain[event->kind] && check_word(op, 1) == event->size &&
			      check_word(op, 2) == event->arg,
		      "event %u: grow or shrink", i);
		return (uint32_t)check_word(op, 0);
	default:
		CHECK(kind == plain[event->kind], "event %u: op %u for %s", i, kind,
		      rh_event_rows[event->kind].word);
		CHECK(event->kind == RH_EV_EXIT || op->size == event->size, "event %u: bytes", i);
		return slot;
	}
}

/* Ops of a lane against its events; makes the steps. */
static void check_match(struct check *check, uint32_t index)
{
	const struct rh_program *program = check->program;
	struct check_lane *lane = &check->lanes[index];
	const struct rh_op *ops = rh_program_ops(program, index);
	uint64_t grain = 0, grain_end = 0, turns = 0;
	uint32_t next = 0;

	lane->epoch_ends = check_zero(check->epochs, sizeof(uint32_t));
	for (uint64_t at = 0; at <= program->lanes[index].op_words;) {
		const struct rh_op *op = &ops[at];
		uint32_t kind;

		while (grain < program->head->grains &&
		       program->grain_table[(grain + 1) * check->lane_count + index] == at) {
			grain_end += program->grain_facts[grain++].events;
			for (; next < lane->event_count && lane->events[next] < grain_end; next++) {
				uint32_t i = lane->events[next];

				CHECK(!check_has_op(check->events[i].kind),
				      "event %u is not in its grain", i);
				check_step(lane, STEP_QUIET, i, 0);
			}
			if (grain % program->head->epoch_grains == 0 ||
			    grain == program->head->grains)
				lane->epoch_ends[(grain - 1) / program->head->epoch_grains] =
					lane->step_count;
		}
		if (at == program->lanes[index].op_words)
			break;
		kind = RH_OP_KIND(op->what);
		at += check_words(op);
		if (kind == RH_OP_WAIT || kind == RH_OP_PUBLISH) {
			check_step(lane, kind == RH_OP_WAIT ? STEP_WAIT : STEP_PUBLISH,
				   RH_OP_SLOT(op->what), op->size);
		} else if (op->what == RH_OP_WHAT(RH_OP_MISC, RH_MISC_TURN)) {
			turns++;
		} else if (kind != RH_OP_PACE && kind != RH_OP_TOUCH &&
			   op->what != RH_OP_WHAT(RH_OP_MISC, RH_MISC_TOUCH)) {
			for (; next < lane->event_count &&
			       !check_has_op(check->events[lane->events[next]].kind);
			     next++)
				check_step(lane, STEP_QUIET, lane->events[next], 0);
			CHECK(next < lane->event_count, "lane %u has more ops than events", index);
			CHECK(lane->events[next] < grain_end + program->grain_facts[grain].events &&
				      lane->events[next] >= grain_end,
			      "event %u is not in its grain", lane->events[next]);
			check_step(lane, STEP_EVENT, lane->events[next],
				   check_op(check, lane->events[next], op));
			next++;
		}
	}
	CHECK(grain == program->head->grains && next == lane->event_count,
	      "lane %u: %u of %u events, %lu grains", index, next, lane->event_count, grain);
	CHECK(turns == program->lanes[index].turns &&
		      lane->event_count == program->lanes[index].events,
	      "lane %u: turns or events", index);
}

/* ---- running ---- */

static void check_after(const struct check *check, uint32_t lane, uint32_t i, uint32_t before)
{
	uint32_t source = check->carrier[check->events[before].lane];

	CHECK(check->when[before] && check->lanes[lane].clock[source] >= check->when[before],
	      "event %u may run before event %u, which it needs", i, before);
}

static void check_access(struct check *check, uint32_t lane, uint64_t *last, uint32_t i)
{
	uint32_t source = (uint32_t)(*last >> 32), time = (uint32_t)*last;

	CHECK(check->lanes[lane].clock[source] >= time,
	      "event %u takes a slot while lane %u may still use it", i, source);
	*last = (uint64_t)lane << 32 | check->lanes[lane].clock[lane];
}

static void check_slot(struct check *check, const struct rh_event *event, uint32_t slot, uint32_t i)
{
	uint64_t *object = &check->slots[slot];

	if (event->kind == RH_EV_ALLOC)
		CHECK(*object == 0, "event %u: slot %u holds a living object", i, slot);
	else
		CHECK(*object == (event->kind == RH_EV_RESIZE ? event->old : event->id) + 1,
		      "event %u: slot %u holds another object", i, slot);
	*object = event->kind == RH_EV_FREE ? 0 : event->id + 1;
}

static void check_task(struct check *check, const struct rh_event *event, uint32_t slot, uint32_t i)
{
	uint64_t *task = &check->tasks[slot];

	CHECK(*task == (event->kind == RH_EV_SPAWN ? 0 : event->id + 1),
	      "event %u: task slot %u holds another task", i, slot);
	*task = event->kind == RH_EV_EXIT ? 0 : event->id + 1;
}

static void check_event(struct check *check, uint32_t lane, const struct step *step)
{
	uint32_t i = step->a;
	const struct rh_event *event = &check->events[i];

	if (check->prior[i] != NOWHERE && check_has_op(check->events[check->prior[i]].kind))
		check_after(check, lane, i, check->prior[i]);
	if (check->prior2[i] != NOWHERE)
		check_after(check, lane, i, check->prior2[i]);
	check->when[i] = check->lanes[lane].clock[lane];
	if (step->kind == STEP_QUIET)
		return;
	if (event->kind == RH_EV_ALLOC || event->kind == RH_EV_FREE ||
	    event->kind == RH_EV_RESIZE || event->kind == RH_EV_USABLE) {
		check_slot(check, event, step->b, i);
		check_access(check, lane, &check->slot_last[step->b], i);
	} else if (strchr(rh_event_rows[event->kind].fields, 'T')) {
		check_task(check, event, step->b, i);
		check_access(check, lane, &check->task_slot_last[step->b], i);
	}
}

/* One step; false when the lane has to wait. */
static bool check_go(struct check *check, uint32_t index)
{
	struct check_lane *lane = &check->lanes[index];
	const struct step *step = &lane->steps[lane->at];

	if (step->kind == STEP_WAIT) {
		const struct check_lane *source = &check->lanes[step->a];

		if (source->published < step->b)
			return false;
		for (uint32_t i = 0; i < check->lane_count; i++)
			if (lane->clock[i] < source->said[step->b][i])
				lane->clock[i] = source->said[step->b][i];
	}
	lane->clock[index]++;
	if (step->kind == STEP_PUBLISH) {
		lane->published++;
		assert_int_equal(lane->published, step->b);
		lane->said[step->b] = malloc(check->lane_count * sizeof(uint32_t));
		assert_non_null(lane->said[step->b]);
		memcpy(lane->said[step->b], lane->clock, check->lane_count * sizeof(uint32_t));
	} else if (step->kind != STEP_WAIT) {
		check_event(check, index, step);
	}
	lane->at++;
	return true;
}

static void check_barrier(struct check *check)
{
	uint32_t *all = check_zero(check->lane_count, sizeof(*all));

	for (uint32_t i = 0; i < check->lane_count; i++)
		all[i] = check->lanes[i].clock[i];
	for (uint32_t i = 0; i < check->lane_count; i++)
		memcpy(check->lanes[i].clock, all, check->lane_count * sizeof(*all));
	free(all);
}

static bool check_epoch(struct check *check, uint32_t epoch, enum schedule schedule, uint64_t *seed)
{
	uint32_t lanes = check->lane_count, done = 0, moved = 0;

	for (uint32_t turn = 0; turn < lanes; turn++) {
		uint32_t index = schedule == DOWNWARDS ? lanes - 1 - turn : turn;
		uint32_t steps = UINT32_MAX;
		struct check_lane *lane;

		if (schedule == RANDOM) {
			*seed = *seed * 6364136223846793005ull + 1442695040888963407ull;
			index = (uint32_t)(*seed >> 33) % lanes;
			steps = (uint32_t)(*seed >> 48) % 40;
		}
		lane = &check->lanes[index];
		for (; steps && lane->at < lane->epoch_ends[epoch]; steps--, moved++)
			if (!check_go(check, index))
				break;
	}
	for (uint32_t i = 0; i < lanes; i++)
		done += check->lanes[i].at == check->lanes[i].epoch_ends[epoch];
	CHECK(moved || done == lanes || schedule == RANDOM, "replay would hang in epoch %u", epoch);
	return done == lanes;
}

static void check_run(struct check *check, enum schedule schedule, uint64_t seed)
{
	const struct rh_program_head *head = check->program->head;

	check->slots = check_zero(head->slots, sizeof(uint64_t));
	check->tasks = check_zero(head->task_slots, sizeof(uint64_t));
	check->slot_last = check_zero(head->slots, sizeof(uint64_t));
	check->task_slot_last = check_zero(head->task_slots, sizeof(uint64_t));
	memset(check->when, 0, check->event_count * sizeof(uint32_t));
	for (uint32_t i = 0; i < check->lane_count; i++) {
		struct check_lane *lane = &check->lanes[i];

		lane->at = lane->published = 0;
		lane->clock = check_zero(check->lane_count, sizeof(uint32_t));
		lane->said = check_zero(check->program->lanes[i].publishes + 1, sizeof(uint32_t *));
	}
	for (uint32_t epoch = 0; epoch < check->epochs; epoch++) {
		while (!check_epoch(check, epoch, schedule, &seed))
			;
		check_barrier(check);
	}
	for (uint32_t i = 0; i < check->lane_count; i++) {
		for (uint32_t k = 0; k <= check->lanes[i].published; k++)
			free(check->lanes[i].said[k]);
		free(check->lanes[i].said);
		free(check->lanes[i].clock);
	}
	for (uint64_t i = 0; i < check->event_count; i++)
		CHECK(check->when[i], "event %lu never ran", i);
	free(check->slots);
	free(check->tasks);
	free(check->slot_last);
	free(check->task_slot_last);
}

static void check_free(struct check *check)
{
	void *all[] = { check->lanes,	  check->events,   check->carrier, check->size,
			check->how,	  check->born,	   check->spawned, check->task_op,
			check->task_last, check->task_ran, check->prior,   check->prior2,
			check->when };

	for (uint32_t i = 0; i < check->lane_count; i++) {
		free(check->lanes[i].events);
		free(check->lanes[i].steps);
		free(check->lanes[i].epoch_ends);
	}
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		free(all[i]);
}

/* The whole judgement. */
static void check_program(const char *path, const struct rh_program *program)
{
	struct check check = { .program = program,
			       .lane_count = program->head->lanes,
			       .trace_lanes = program->head->lanes_recorded };

	check_load(&check, path);
	assert_int_equal(check.event_count, program->head->events);
	check.epochs = (program->head->grains + program->head->epoch_grains - 1) /
		       program->head->epoch_grains;
	check.lanes = check_zero(check.lane_count, sizeof(*check.lanes));
	check_priors(&check);
	check_turns(&check);
	check_share_events(&check);
	for (uint32_t i = 0; i < check.lane_count; i++)
		check_match(&check, i);
	check_run(&check, UPWARDS, 0);
	check_run(&check, DOWNWARDS, 0);
	check_run(&check, RANDOM, 1);
	check_free(&check);
}

#endif
