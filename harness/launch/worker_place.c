/*
 * worker_place.c - where a worker stood when it ended: which lane, at which op, near which event.
 *
 * Every lane keeps the address of its op in the control block, which outlives the worker; so a
 * crash, a hang and a failed check are reported with the operation where they happened.
 */
#include <stdio.h>

#include "harness/launch/worker.h"

/* "free of 48 bytes", with the size wherever the op keeps it. */
static void describe_op(const struct rh_op *op, char *text, size_t text_bytes)
{
	static const char *const words[RH_OP_COUNT] = {
		[RH_OP_FREE] = "free",
		[RH_OP_ALLOC] = "alloc",
		[RH_OP_NOSCAN] = "alloc",
		[RH_OP_ZALLOC] = "zeroed alloc",
		[RH_OP_RESIZE] = "resize",
		[RH_OP_ALLOC_AS] = "alloc",
		[RH_OP_WAIT] = "wait",
		[RH_OP_PUBLISH] = "publish",
		[RH_OP_CALL] = "call",
		[RH_OP_RETURN] = "return",
		[RH_OP_SPAWN] = "spawn",
		[RH_OP_EXIT] = "exit",
		[RH_OP_PACE] = "pace",
		[RH_OP_TOUCH] = "touch",
		[RH_OP_FREE_SIZED] = "sized free",
	};
	static const char *const rare[] = {
		[RH_MISC_FREE_BIG] = "free",
		[RH_MISC_RESIZE_BIG] = "resize",
		[RH_MISC_GROW] = "stack growth",
		[RH_MISC_SHRINK] = "stack shrinking",
		[RH_MISC_GC_BEGIN] = "start of a collection",
		[RH_MISC_GC_END] = "end of a collection",
		[RH_MISC_TURN] = "start of a recorded lane",
		[RH_MISC_USABLE] = "question for the usable size",
		[RH_MISC_TOUCH] = "touch",
		[RH_MISC_RESIZE_ASKED] = "resize",
		[RH_MISC_FREE_NULL] = "free of NULL",
	};
	const uint64_t *word = (const uint64_t *)op;
	uint32_t kind = RH_OP_KIND(op->what), slot = RH_OP_SLOT(op->what);
	unsigned long long size = kind == RH_OP_ALLOC_AS     ? word[1]
				  : kind == RH_OP_FREE_SIZED ? op->size & ~RH_FREE_DELETE
							     : op->size;

	if (kind == RH_OP_WAIT)
		snprintf(text, text_bytes, "wait for lane %u", slot);
	else if (kind == RH_OP_PUBLISH || kind == RH_OP_EXIT)
		snprintf(text, text_bytes, "%s", words[kind]);
	else if (kind == RH_OP_MISC && slot <= RH_MISC_SHRINK)
		snprintf(text, text_bytes, "%s of %llu bytes", rare[slot],
			 (unsigned long long)word[2]);
	else if (kind == RH_OP_MISC)
		snprintf(text, text_bytes, "%s", slot <= RH_MISC_FREE_NULL ? rare[slot] : "?");
	else
		snprintf(text, text_bytes, "%s of %llu bytes", words[kind] ? words[kind] : "?",
			 size);
}

/* The event near an op: events before its grain, plus its share of the grain. */
static uint64_t event_near(const struct rh_program *program, uint32_t lane, uint64_t op)
{
	const struct rh_program_head *head = program->head;
	uint64_t grain = 0, events = 0, from = 0, to = 0;

	for (; grain < head->grains; grain++) {
		from = program->grain_table[grain * head->lanes + lane];
		to = program->grain_table[(grain + 1) * head->lanes + lane];
		if (op < to)
			break;
		events += program->grain_facts[grain].events;
	}
	if (grain < head->grains && to > from)
		events += program->grain_facts[grain].events * (op - from) / (to - from);
	return events;
}

/* The most informative seat: the one a signal or a failed check hit, else the first that runs and
 * is not waiting for another. */
static uint32_t seat_to_blame(const struct rh_worker *worker)
{
	const struct rh_ctl *ctl = worker->ctl;
	uint32_t lanes = worker->program->head->lanes, waiting = UINT32_MAX;

	if (ctl->died_seat < ctl->seats)
		return ctl->died_seat;
	if (ctl->failed_seat < ctl->seats)
		return ctl->failed_seat;
	for (uint32_t s = 0; s < ctl->seats; s++) {
		const struct rh_ctl_seat *seat = &ctl->seat[s];
		uint64_t op = (uint64_t)(atomic_load(&seat->at) - seat->ops);

		if (!atomic_load(&seat->running))
			continue;
		if (op >= worker->program->lanes[s % lanes].op_words ||
		    RH_OP_KIND(rh_program_ops(worker->program, s % lanes)[op].what) != RH_OP_WAIT)
			return s;
		waiting = s;
	}
	return waiting;
}

void rh_worker_place_of(const struct rh_program *program, uint32_t seat, uint64_t op,
			struct rh_worker_place *place)
{
	uint32_t lane = seat % program->head->lanes;
	const struct rh_op *ops = rh_program_ops(program, lane);
	char what[64];

	*place = (struct rh_worker_place){
		.known = true, .seat = seat, .op = op, .event = event_near(program, lane, op)
	};
	if (op >= program->lanes[lane].op_words) {
		snprintf(place->text, sizeof(place->text), "lane %u, at its end", seat);
		return;
	}
	describe_op(&ops[op], what, sizeof(what));
	snprintf(place->text, sizeof(place->text), "lane %u, op %llu (near event %llu), %s", seat,
		 (unsigned long long)op, (unsigned long long)place->event, what);
}

void rh_worker_where(const struct rh_worker *worker, struct rh_worker_place *place)
{
	uint32_t seat = seat_to_blame(worker);
	const struct rh_ctl_seat *at = seat == UINT32_MAX ? NULL : &worker->ctl->seat[seat];

	*place = (struct rh_worker_place){ .known = false };
	if (at && atomic_load(&at->at))
		rh_worker_place_of(worker->program, seat,
				   (uint64_t)(atomic_load(&at->at) - at->ops), place);
}
