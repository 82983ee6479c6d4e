/*
 * emitter.c - the random source and the event writer behind every generator (see emitter.h).
 *
 * Events collect in a batch of RH_TRACE_BATCH and go to the trace writer together; an
 * error there empties the countdown, so that every loop of every generator ends.
 */
#include "traces/gen/emitter.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "alloc/base/random.h"

/* Synthetic time: 20 to 147 ns between events of the trace, 83 on average. */
enum { STEP_NS_LEAST = 20, STEP_NS_MASK = 127 };

struct rh_gen_emit {
	struct rh_trace_out *out;
	struct rh_event batch[RH_TRACE_BATCH];
	size_t count;
	uint64_t next_id;
	uint64_t time_ns;
	struct rh_gen_random time_random; /* its own, so that time=on changes no event */
	uint32_t next_task;
	bool timed, sized;
	bool failed;
	struct rh_err err;
	bool running[RH_GEN_LANES_MAX];
	uint32_t task[RH_GEN_LANES_MAX];
};

void rh_gen_seed(struct rh_gen_random *random, uint64_t seed)
{
	/* splitmix64, as the authors of xoshiro advise for filling its state. */
	for (int i = 0; i < 4; i++)
		random->s[i] = rh_random(&seed);
}

uint32_t rh_gen_share(double share)
{
	/* A product and a truncation are exact to the same bit everywhere. */
	return share >= 1 ? UINT32_MAX : (uint32_t)(share * 4294967296.0);
}

uint64_t rh_gen_log_uniform(struct rh_gen_random *random, uint64_t low, uint64_t high)
{
	unsigned from = 63 - (unsigned)__builtin_clzll(low | 1);
	unsigned to = 63 - (unsigned)__builtin_clzll(high | 1);
	unsigned octave = from + (unsigned)rh_gen_below(random, to - from + 1);
	uint64_t least = 1ull << octave, most = least + (least - 1);

	if (least < low)
		least = low;
	if (most > high)
		most = high;
	return rh_gen_between(random, least, most);
}

uint64_t rh_gen_geometric(struct rh_gen_random *random, uint64_t mean)
{
	uint64_t count = 1, most = 64 * mean;
	uint64_t scaled;

	/* An exponential by halvings: the leading zeros of a random word are geometric with
	 * mean 1, a uniform rest smooths the step; 1.5 steps on average, so that a step is
	 * two thirds (43691/65536) of the mean. No logarithm, no libm. */
	if (mean <= 1)
		return 1;
	scaled = (mean * 43691u + 32768u) >> 16;
	count += (uint64_t)__builtin_clzll(rh_gen_next(random) | 1) * scaled;
	count += rh_gen_below(random, scaled ? scaled : 1);
	return count < most ? count : most;
}

int rh_gen_check_sizes(uint64_t least, uint64_t most, struct rh_err *err)
{
	if (least <= most)
		return 0;
	return rh_fail(err, RH_USAGE, "min=%llu is above max=%llu", (unsigned long long)least,
		       (unsigned long long)most);
}

int rh_gen_open(struct rh_gen *gen, const struct rh_gen_common *common, struct rh_trace_out *out,
		struct rh_err *err)
{
	struct rh_gen_emit *emit = calloc(1, sizeof(*emit));

	*gen = (struct rh_gen){ .left = common->events, .emit = emit };
	if (!emit)
		return rh_fail(err, RH_OS, "no memory for a generator");
	rh_gen_seed(&gen->random, common->seed);
	rh_gen_seed(&emit->time_random, ~common->seed);
	emit->out = out;
	emit->timed = common->time;
	emit->sized = common->sized;
	emit->next_task = 1;
	for (size_t i = 0; i < RH_GEN_LANES_MAX; i++)
		emit->task[i] = RH_TASK_NONE;
	return 0;
}

static void flush(struct rh_gen *gen)
{
	struct rh_gen_emit *emit = gen->emit;

	if (!emit->failed && emit->count &&
	    rh_trace_put(emit->out, emit->batch, emit->count, &emit->err) < 0) {
		emit->failed = true;
		gen->left = 0;
	}
	emit->count = 0;
}

/* The next place of the batch with everything common filled in. */
static struct rh_event *place(struct rh_gen *gen, enum rh_kind kind, uint32_t lane)
{
	struct rh_gen_emit *emit = gen->emit;
	struct rh_event *event;

	if (emit->count == RH_TRACE_BATCH)
		flush(gen);
	event = &emit->batch[emit->count++];
	if (emit->timed)
		emit->time_ns += STEP_NS_LEAST + (rh_gen_next(&emit->time_random) & STEP_NS_MASK);
	*event = (struct rh_event){
		.time_ns = emit->timed ? emit->time_ns : RH_NONE,
		.id = RH_NONE,
		.old = RH_NONE,
		.size = RH_NONE,
		.arg = RH_NONE,
		.lane = lane,
		.task = emit->task[lane],
		.kind = (uint8_t)kind,
	};
	return event;
}

int rh_gen_close(struct rh_gen *gen, struct rh_err *err)
{
	struct rh_gen_emit *emit = gen->emit;
	bool failed;

	for (uint32_t lane = 0; lane < RH_GEN_LANES_MAX; lane++)
		if (emit->running[lane])
			rh_gen_lane_stop(gen, lane);
	flush(gen);
	failed = emit->failed;
	if (failed && err)
		*err = emit->err;
	free(emit);
	gen->emit = NULL;
	return failed ? -1 : 0;
}

void rh_gen_no_memory(struct rh_gen *gen)
{
	if (!gen->emit->failed)
		rh_fail(&gen->emit->err, RH_OS,
			"no memory to keep the objects alive; ask for fewer of them");
	gen->emit->failed = true;
	gen->left = 0;
}

void rh_gen_lane_start(struct rh_gen *gen, uint32_t lane)
{
	assert(lane < RH_GEN_LANES_MAX && !gen->emit->running[lane]);
	gen->emit->running[lane] = true;
	place(gen, RH_EV_LANE_START, lane);
}

void rh_gen_lane_task(struct rh_gen *gen, uint32_t lane, uint32_t task)
{
	gen->emit->task[lane] = task;
}

void rh_gen_lane_stop(struct rh_gen *gen, uint32_t lane)
{
	assert(gen->emit->running[lane]);
	gen->emit->task[lane] = RH_TASK_NONE;
	gen->emit->running[lane] = false;
	place(gen, RH_EV_LANE_STOP, lane);
}

uint32_t rh_gen_spawn(struct rh_gen *gen, uint32_t lane, uint64_t stack_bytes)
{
	struct rh_event *event = place(gen, RH_EV_SPAWN, lane);

	event->id = gen->emit->next_task++;
	event->size = stack_bytes;
	return (uint32_t)event->id;
}

void rh_gen_exit(struct rh_gen *gen, uint32_t lane, uint32_t task)
{
	place(gen, RH_EV_EXIT, lane)->id = task;
}

void rh_gen_join(struct rh_gen *gen, uint32_t lane, uint32_t task)
{
	place(gen, RH_EV_JOIN, lane)->id = task;
}

/* Counts one of the requested events. */
static bool use(struct rh_gen *gen)
{
	if (!rh_gen_more(gen))
		return false;
	gen->left--;
	return true;
}

uint32_t rh_gen_go(struct rh_gen *gen, uint32_t lane)
{
	return use(gen) ? rh_gen_spawn(gen, lane, RH_NONE) : 0;
}

void rh_gen_end(struct rh_gen *gen, uint32_t lane, uint32_t task)
{
	if (task && use(gen))
		rh_gen_exit(gen, lane, task);
}

static void frame(struct rh_gen *gen, enum rh_kind kind, uint32_t lane, uint32_t task,
		  uint64_t bytes)
{
	struct rh_event *event;

	if (!task || !use(gen))
		return;
	event = place(gen, kind, lane);
	event->id = task;
	event->size = bytes;
}

void rh_gen_call(struct rh_gen *gen, uint32_t lane, uint32_t task, uint64_t frame_bytes)
{
	frame(gen, RH_EV_CALL, lane, task, frame_bytes);
}

void rh_gen_return(struct rh_gen *gen, uint32_t lane, uint32_t task, uint64_t frame_bytes)
{
	frame(gen, RH_EV_RETURN, lane, task, frame_bytes);
}

void rh_gen_cycle(struct rh_gen *gen, uint32_t lane, enum rh_kind kind, uint64_t number)
{
	if (rh_gen_more(gen))
		place(gen, kind, lane)->id = number;
}

struct rh_gen_object rh_gen_alloc(struct rh_gen *gen, uint32_t lane, uint64_t size, unsigned flags)
{
	struct rh_event *event;

	if (!rh_gen_more(gen))
		return (struct rh_gen_object){ RH_NONE, 0 };
	gen->left--;
	event = place(gen, RH_EV_ALLOC, lane);
	event->id = gen->emit->next_id++;
	event->size = size;
	event->flags = (uint16_t)flags;
	return (struct rh_gen_object){ event->id, size };
}

void rh_gen_free(struct rh_gen *gen, uint32_t lane, struct rh_gen_object object)
{
	struct rh_event *event;

	if (!rh_gen_more(gen) || object.id == RH_NONE)
		return;
	gen->left--;
	event = place(gen, RH_EV_FREE, lane);
	event->id = object.id;
	if (gen->emit->sized) {
		event->flags = RH_EVF_SIZED;
		event->size = object.size;
	}
}

struct rh_gen_object rh_gen_resize(struct rh_gen *gen, uint32_t lane, struct rh_gen_object object,
				   uint64_t size)
{
	struct rh_event *event;

	if (!rh_gen_more(gen) || object.id == RH_NONE)
		return object;
	gen->left--;
	event = place(gen, RH_EV_RESIZE, lane);
	event->old = object.id;
	event->id = gen->emit->next_id++;
	event->size = size;
	return (struct rh_gen_object){ event->id, size };
}

/* The stack size of a thread here: enough for a worker, small enough that a thousand of them fit.
 */
enum { THREAD_STACK_BYTES = 64 << 10 };

void rh_gen_threads_start(struct rh_gen *gen, uint64_t lanes)
{
	rh_gen_lane_start(gen, 0);
	for (uint32_t lane = 1; lane < lanes; lane++) {
		uint32_t task = rh_gen_spawn(gen, 0, THREAD_STACK_BYTES);

		rh_gen_lane_start(gen, lane);
		rh_gen_lane_task(gen, lane, task);
	}
}

void rh_gen_threads_join(struct rh_gen *gen, uint64_t lanes)
{
	for (uint32_t lane = 1; lane < lanes; lane++) {
		uint32_t task = gen->emit->task[lane];

		rh_gen_exit(gen, lane, task);
		rh_gen_lane_stop(gen, lane);
		rh_gen_join(gen, 0, task);
	}
}

/* ---- bags ---- */

static bool bag_grow(struct rh_gen_bag *bag)
{
	uint64_t room = bag->room ? bag->room * 2 : 16;
	struct rh_gen_object *object = reallocarray(NULL, room, sizeof(*object));

	if (!object)
		return false;
	for (uint64_t i = 0; i < bag->count; i++)
		object[i] = bag->object[(bag->first + i) & (bag->room - 1)];
	free(bag->object);
	*bag = (struct rh_gen_bag){ .object = object, .count = bag->count, .room = room };
	return true;
}

bool rh_gen_bag_put(struct rh_gen *gen, struct rh_gen_bag *bag, struct rh_gen_object object)
{
	if (object.id == RH_NONE)
		return true;
	if (bag->count == bag->room && !bag_grow(bag)) {
		rh_gen_no_memory(gen);
		return false;
	}
	bag->object[(bag->first + bag->count++) & (bag->room - 1)] = object;
	return true;
}

struct rh_gen_object rh_gen_bag_oldest(struct rh_gen_bag *bag)
{
	struct rh_gen_object object = bag->object[bag->first];

	assert(bag->count > 0);
	bag->first = (bag->first + 1) & (bag->room - 1);
	bag->count--;
	return object;
}

struct rh_gen_object rh_gen_bag_newest(struct rh_gen_bag *bag)
{
	assert(bag->count > 0);
	return bag->object[(bag->first + --bag->count) & (bag->room - 1)];
}

struct rh_gen_object rh_gen_bag_any(struct rh_gen_bag *bag, struct rh_gen_random *random)
{
	struct rh_gen_object *hole, object;

	assert(bag->count > 0);
	hole = &bag->object[(bag->first + rh_gen_below(random, bag->count)) & (bag->room - 1)];
	object = *hole;
	*hole = rh_gen_bag_newest(bag);
	return object;
}

void rh_gen_bag_free(struct rh_gen_bag *bag)
{
	free(bag->object);
	*bag = (struct rh_gen_bag){ 0 };
}
