/*
 * repair.c - see repair.h. The path of a call:
 *
 *	1. its thread becomes a lane (new lanes are started at once);
 *	2. calls that cannot be events are counted and dropped;
 *	3. while nothing waits and the call is legal, it goes straight out;
 *	4. else it waits in a window of 256 calls, for at most 1024 calls.
 *
 * The window puts right what recorders swap. Android reserves a line before the call
 * runs, others log a free after it ran: either way an address can be handed out before
 * the line that frees it. So an alloc of a living address waits, and with it everything
 * its lane does later (program order) and every free of what is born in the window. As
 * soon as another lane's free makes the address available, the waiting calls leave in
 * order: that is repair.inversion. When the window is full or its oldest call too old, that
 * one is forced: the old object is freed first, on the lane that got the address
 * (repair.alloc_live).
 *
 * 256: the swaps on the Android traces are at most a few dozen lines wide (one descheduled
 * thread); a scan of the whole window costs less than a microsecond.
 */
#include "traces/format/builder.h"
#include "traces/format/order.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "alloc/base/debug.h"
#include "alloc/base/grow.h"
#include "traces/format/huge_alloc.h"

int rh_build_open(struct rh_build **result, struct rh_trace_out *out, struct rh_err *err)
{
	struct rh_build *build = calloc(1, sizeof(*build));

	*result = build;
	if (!build)
		return rh_fail(err, RH_OS, "memory for building a trace ran out");
	build->out = out;
	/* One by one unless asked otherwise: an importer's error then names the line
	 * that caused it. */
	build->batch_full = 1;
	rh_build_stamp(build, RH_NONE, RH_TASK_NONE, RH_SITE_NONE);
	return 0;
}

void rh_build_close(struct rh_build *build)
{
	if (!build)
		return;
	rh_blocks_close(&build->objects);
	rh_map_close(&build->lanes);
	free(build->lane_state);
	free(build);
}

void rh_build_stamp(struct rh_build *build, uint64_t time_ns, uint32_t task, uint32_t site)
{
	build->time_ns = time_ns;
	build->task = task;
	build->site = site;
}

void rh_build_count(struct rh_build *build, const char *key, uint64_t by)
{
	size_t i = 0;

	if (by == 0)
		return;
	while (i < build->count_count &&
	       strncmp(build->counts[i].key, key, RH_BUILD_KEY_BYTES - 1) != 0)
		i++;
	/* A bound, as the rows are in the struct; the note says that it was met. */
	if (i == RH_BUILD_COUNTS) {
		build->counts_full = true;
		return;
	}
	if (i == build->count_count) {
		/* Cut, and compared by as much above, so that a long key finds its
		 * own row again. */
		size_t bytes = strnlen(key, RH_BUILD_KEY_BYTES - 1);

		memcpy(build->counts[i].key, key, bytes);
		build->count_count++;
	}
	assert(i < build->count_count && build->count_count <= RH_BUILD_COUNTS);
	build->counts[i].value += by;
}

/* For importers that compare the count before and after a line of their input. */
uint64_t rh_build_counted(const struct rh_build *build, const char *key)
{
	for (size_t i = 0; i < build->count_count; i++)
		if (strncmp(build->counts[i].key, key, RH_BUILD_KEY_BYTES - 1) == 0)
			return build->counts[i].value;
	return 0;
}

/* Zeroed: a lane that is new keeps nothing back and was in no pass. */
static bool more_lanes(struct rh_build *build)
{
	return rh_reserve_zeroed(&build->lane_state, &build->lane_state_cap,
				 build->lane_count + (size_t)1, sizeof(*build->lane_state));
}

/* Events go to the writer in batches: it prefetches what the deaths of a batch need. */
int rh_build_send(struct rh_build *build, struct rh_err *err)
{
	size_t count = build->batched;

	assert(count <= RH_BUILD_BATCH);
	build->batched = 0;
	return build->put ? build->put(build->put_to, build->batch, count, err)
			  : rh_trace_put(build->out, build->batch, count, err);
}

static inline int put(struct rh_build *build, const struct rh_event *event, struct rh_err *err)
{
	rh_debug_assert(build->batched < RH_BUILD_BATCH);
	build->batch[build->batched++] = *event;
	return build->batched >= build->batch_full ? rh_build_send(build, err) : 0;
}

/* Lanes start with the first call of their thread, whatever the call was: a thread
 * that only frees is a lane too. */
int rh_build_find_lane(struct rh_build *build, uint64_t thread, uint32_t *lane, struct rh_err *err)
{
	uint64_t known = rh_map_get(&build->lanes, thread);
	struct rh_event start;

	if (known != RH_MAP_NONE) {
		*lane = (uint32_t)known;
		return 0;
	}
	if (build->lane_count == build->lane_state_cap && !more_lanes(build))
		return rh_huge_fail(rh_blocks_count(&build->objects), err);
	*lane = build->lane_count++;
	if (!rh_map_put(&build->lanes, thread, *lane))
		return rh_huge_fail(rh_blocks_count(&build->objects), err);
	start = rh_build_stamped(build, RH_EV_LANE_START, *lane);
	start.site = RH_SITE_NONE;
	/* The thread as the source numbers it: the only place where that number survives. */
	start.arg = thread;
	return put(build, &start, err);
}

/* ---- what goes out ---- */

static bool lives(struct rh_build *build, uint64_t address)
{
	return blocks_get(&build->objects, address) != RH_MAP_NONE;
}

/* The address it asks for is still taken by another object than the one it ends. A resize in
 * place asks for the address that it gives back, which is no obstacle. */
static bool blocked(struct rh_build *build, const struct rh_build_waiting *call)
{
	return call->born && call->born != call->dies && lives(build, call->born);
}

/* The source lost the free of an object whose address is given out again: the object must have
 * died before this call, so its free goes here, at the last possible moment. */
static int free_first(struct rh_build *build, const struct rh_build_waiting *call,
		      struct rh_err *err)
{
	struct rh_event event = call->event;

	event.kind = RH_EV_FREE;
	event.id = blocks_remove(&build->objects, call->born);
	assert(event.id != RH_MAP_NONE); /* it blocks because it lives */
	event.arg = RH_NONE;
	event.site = RH_SITE_NONE;
	/* Counted, because a trace with many of these was recorded badly: lost frees
	 * make objects live too long. */
	rh_build_count(build, "repair.alloc_live", 1);
	return put(build, &event, err);
}

/* A question about a block that is not known has nothing to be replayed on. */
static int emit_question(struct rh_build *build, const struct rh_build_waiting *call,
			 struct rh_err *err)
{
	struct rh_event event = call->event;

	event.id = blocks_get(&build->objects, call->dies);
	if (event.id != RH_MAP_NONE)
		return put(build, &event, err);
	rh_build_count(build, "drop.usable_unknown", 1);
	return 0;
}

/* The one way out of the window. Deaths come first, so that an address that is freed and given out
 * by one call (a resize in place) names two objects and not one. */
static int emit(struct rh_build *build, const struct rh_build_waiting *call, bool is_blocked,
		struct rh_err *err)
{
	struct rh_event event = call->event;
	uint64_t dies;
	bool is_free;

	if (call->what == RH_CALL_ASKS)
		return emit_question(build, call, err);
	if (is_blocked && free_first(build, call, err) < 0)
		return -1;
	dies = call->dies ? blocks_remove(&build->objects, call->dies) : RH_MAP_NONE;
	if (call->what == RH_CALL_FREE) {
		if (dies == RH_MAP_NONE) {
			/* Freed twice, or born before the recording began: the two
			 * cannot be distinguished here. */
			rh_build_count(build, "drop.free_unknown", 1);
			return 0;
		}
		event.id = dies;
	} else if (call->what == RH_CALL_RESIZE) {
		event.old = dies;
		/* The old block is from before the recording, so its size is not known: what is
		 * certain is that a new one was born. */
		if (dies == RH_MAP_NONE) {
			rh_build_count(build, "repair.realloc_unknown", 1);
			event.kind = RH_EV_ALLOC;
		}
	}
	if (call->born) {
		rh_debug_assert(!lives(build, call->born));
		event.id = build->births++;
		if (!rh_blocks_reserve(&build->objects, 1))
			return rh_huge_fail(rh_blocks_count(&build->objects), err);
		is_free = blocks_add(&build->objects, call->born, event.id);
		assert(is_free);
	}
	return put(build, &event, err);
}

/* ---- the window ---- */

/* Whether a call before `index` in the window bears what this one ends. */
static bool born_before(struct rh_build *build, const struct rh_build_waiting *call, size_t index)
{
	if (!index || !call->dies || lives(build, call->dies))
		return false;
	for (size_t i = 0; i < index; i++)
		if (build->window[i].born == call->dies)
			return true;
	return false;
}

/* A call that had to wait and is not blocked now was stamped in the wrong order by the source. */
static int leave(struct rh_build *build, size_t index, struct rh_err *err)
{
	struct rh_build_waiting call = build->window[index];
	bool is_blocked = blocked(build, &call);

	assert(index < build->waiting && build->lane_state[call.event.lane].waiting > 0);
	build->waiting--;
	build->lane_state[call.event.lane].waiting--;
	/* At most 255 rows, and only where calls had been swapped. */
	memmove(&build->window[index], &build->window[index + 1],
		(build->waiting - index) * sizeof(call));
	if (call.waited && !is_blocked)
		rh_build_count(build, "repair.inversion", 1);
	return emit(build, &call, is_blocked, err);
}

/* One pass lets out, in order, whatever may go; *freed says that an address became free
 * that something before it may wait for. */
static int pass(struct rh_build *build, bool *freed, struct rh_err *err)
{
	uint32_t number = ++build->passes;
	size_t i = 0;

	*freed = false;
	while (i < build->waiting) {
		const struct rh_build_waiting *call = &build->window[i];
		uint32_t *held = &build->lane_state[call->event.lane].pass;

		/* A lane that keeps one call back keeps all later ones, so its
		 * program order stays; the number of the pass marks it without
		 * clearing anything. */
		if (*held == number || blocked(build, call) || born_before(build, call, i)) {
			*held = number;
			i++;
			continue;
		}
		/* Only what something before this one may wait for makes another pass
		 * worthwhile. */
		*freed |= call->dies != 0 && call->what != RH_CALL_ASKS && i > 0;
		if (leave(build, i, err) < 0)
			return -1;
	}
	return 0;
}

/* Each pass may free an address that an earlier call of the window waits for, so
 * passes go on until one frees nothing. */
static int drain(struct rh_build *build, struct rh_err *err)
{
	bool freed = true;

	while (build->waiting && freed)
		if (pass(build, &freed, err) < 0)
			return -1;
	return 0;
}

/* Forces the oldest call when the window is full or it has waited too long. */
static int expire(struct rh_build *build, struct rh_err *err)
{
	/* The oldest is forced; what it held back may then go by itself. */
	while (build->waiting && (build->waiting == RH_BUILD_WINDOW ||
				  build->calls - build->window[0].number > RH_BUILD_WINDOW_AGE))
		if (leave(build, 0, err) < 0 || drain(build, err) < 0)
			return -1;
	return 0;
}

/* Whether something that waits asks for the address that this call gives back. */
static bool wanted(const struct rh_build *build, const struct rh_build_waiting *call)
{
	for (size_t i = 0; call->dies && call->what != RH_CALL_ASKS && i < build->waiting; i++)
		if (build->window[i].born == call->dies)
			return true;
	return false;
}

/* The usual call passes three tests and goes out: nothing waits, its address is free
 * and its lane keeps nothing back. Any delay would reorder a recording that was
 * right. */
int rh_build_repair(struct rh_build *build, struct rh_build_waiting *call, struct rh_err *err)
{
	bool is_blocked;

	call->number = build->calls++;
	if (build->waiting && expire(build, err) < 0)
		return -1;
	is_blocked = blocked(build, call);
	if (!is_blocked && !build->lane_state[call->event.lane].waiting &&
	    !born_before(build, call, build->waiting)) {
		/* Asked before the call is emitted, while the window still shows what
		 * waits for its address. */
		bool drains = wanted(build, call);

		if (emit(build, call, false, err) < 0)
			return -1;
		return drains ? drain(build, err) : 0;
	}
	/* A call that waits only for its own lane was not swapped and is no repair. */
	call->waited = is_blocked;
	build->lane_state[call->event.lane].waiting++;
	assert(build->waiting < RH_BUILD_WINDOW); /* expire() made room */
	build->window[build->waiting++] = *call;
	return 0;
}

static int add_counts(struct rh_build *build, struct rh_err *err)
{
	for (size_t i = 0; i < build->count_count; i++)
		if (rh_trace_add_count(build->out, build->counts[i].key, build->counts[i].value,
				       err) < 0)
			return -1;
	if (build->counts_full)
		return rh_trace_add_note(build->out, "drop.counts",
					 "more than 64 kinds of drops and repairs: the rest is not "
					 "counted",
					 err);
	return 0;
}

/* What waits in the window stays: it belongs to the next segment, as its order is not
 * known yet. */
int rh_build_settle(struct rh_build *build, struct rh_err *err)
{
	if (rh_build_send(build, err) < 0 || add_counts(build, err) < 0)
		return -1;
	assert(build->batched == 0); /* all of it is in the trace that ends here */
	memset(build->counts, 0, sizeof build->counts);
	build->count_count = 0;
	build->counts_full = false;
	return 0;
}

void rh_build_next(struct rh_build *build, struct rh_trace_out *next)
{
	assert(build->batched == 0); /* settled: what waits belongs to the trace before */
	build->out = next;
}

void rh_build_redirect(struct rh_build *build, rh_build_put_fn *function, void *to)
{
	build->put = function;
	build->put_to = to;
}

int rh_build_finish(struct rh_build *build, struct rh_err *err)
{
	while (build->waiting)
		if (leave(build, 0, err) < 0 || drain(build, err) < 0)
			return -1;
	if (rh_build_send(build, err) < 0)
		return -1;
	assert(build->batched == 0);
	return add_counts(build, err);
}
