/*
 * goroutines.c - tasks that are spawned, call and exit, in patterns of real programs.
 *
 *	storm		tasks come and go, `tasks` alive; each calls a few functions, parks with
 *			them on its stack, and is ended later, any of those alive
 *	parked		`tasks` are spawned, call down to where they wait, and wait; when all are
 *			there, all end, and it begins again
 *	pool		`tasks` workers for good, whose jobs go to any depth up to `depth`
 *	recursion	one task at a time goes down to `depth`, a frame a call, and returns: one
 *			growth for each doubling
 *	fanout		a request spawns `fan` tasks, which work on several lanes and end
 *	shrink		workers as in pool that go deep once between cycles and stay shallow
 *			else: stacks grow, and cycles shrink them again
 *
 * A lane's tasks stay on it, except for a share `remote` that ends on another lane, and the
 * tasks of a fanout. With `gc=N` a collection cycle runs every N events.
 */
#include "traces/gen/emitter.h"

#include <stdlib.h>

enum shape { STORM, PARKED, POOL, RECURSION, FANOUT, SHRINK };

enum {
	PARK_FRAMES = 3,
	PARK_FRAME_BYTES = 112,
	SHRINK_CYCLE_EVENTS = 20000,
	FAN_MAX = 4096,
	CYCLE_EVENTS = 64
};

struct goroutines_opts {
	struct rh_gen_common common;
	int shape;
	uint64_t tasks, depth, frame, fan, gc;
	double remote;
};

static const char *const shapes[] = { "storm",	"parked", "pool", "recursion",
				      "fanout", "shrink", NULL };

static const struct rh_opt goroutines_options[] = {
	RH_GEN_OPTS(goroutines_opts, "4", "1000000", "spawns, exits, calls and returns in all"),
	{ "shape", 0, RH_OPT_NAME, offsetof(struct goroutines_opts, shape), "storm",
	  .names = shapes, .arg = "SHAPE", .help = "what the tasks are like" },
	{ "tasks", 0, RH_OPT_UINT, offsetof(struct goroutines_opts, tasks), "10000", .min = 1,
	  .max = 1e8, .arg = "N", .help = "alive at once, all lanes" },
	{ "depth", 0, RH_OPT_SIZE, offsetof(struct goroutines_opts, depth), "60K", .min = 16,
	  .max = 1 << 30, .arg = "BYTES", .help = "deepest stack (pool, recursion, shrink)" },
	{ "frame", 0, RH_OPT_SIZE, offsetof(struct goroutines_opts, frame), "128", .min = 16,
	  .max = 65536, .arg = "BYTES", .help = "of a call" },
	{ "fan", 0, RH_OPT_UINT, offsetof(struct goroutines_opts, fan), "16", .min = 1,
	  .max = FAN_MAX, .arg = "N", .help = "tasks of a request (mean)" },
	{ "remote", 0, RH_OPT_SHARE, offsetof(struct goroutines_opts, remote), "0", .max = 1,
	  .arg = "SHARE", .help = "tasks ended on another lane than the one that spawned them" },
	{ "gc", 0, RH_OPT_UINT, offsetof(struct goroutines_opts, gc), "0", .max = 1e15, .arg = "N",
	  .help = "events between cycles; 0: none, but every 20000 for shrink" },
	{ .name = NULL }
};

struct lane_tasks {
	uint32_t *task;
	uint64_t count;
};

struct state {
	struct rh_gen gen;
	const struct goroutines_opts *opts;
	struct lane_tasks *lanes;
	uint64_t per_lane; /* tasks of a lane at most */
	uint32_t remote_share;
	uint64_t cycle, cycle_at; /* the next one is due when so many events are left */
	uint64_t gc;
	bool marking;
};

static uint32_t any_lane(struct state *state)
{
	return (uint32_t)rh_gen_below(&state->gen.random, state->opts->common.lanes);
}

static void descend(struct state *state, uint32_t lane, uint32_t task, uint64_t frames,
		    uint64_t bytes)
{
	for (uint64_t i = 0; i < frames && rh_gen_more(&state->gen); i++)
		rh_gen_call(&state->gen, lane, task, bytes);
}

static void ascend(struct state *state, uint32_t lane, uint32_t task, uint64_t frames,
		   uint64_t bytes)
{
	for (uint64_t i = 0; i < frames && rh_gen_more(&state->gen); i++)
		rh_gen_return(&state->gen, lane, task, bytes);
}

/* A cycle lasts CYCLE_EVENTS events. */
static void maybe_cycle(struct state *state, uint32_t lane)
{
	struct rh_gen *gen = &state->gen;

	if (!state->gc || gen->left > state->cycle_at)
		return;
	rh_gen_cycle(gen, lane, state->marking ? RH_EV_GC_END : RH_EV_GC_BEGIN, state->cycle);
	state->cycle += state->marking;
	state->marking = !state->marking;
	state->cycle_at = gen->left - (gen->left < state->gc ? gen->left : state->gc);
	if (state->marking)
		state->cycle_at = gen->left - (gen->left < CYCLE_EVENTS ? gen->left : CYCLE_EVENTS);
}

/* A task that runs down to where it waits. */
static void park_one(struct state *state, uint32_t lane)
{
	struct lane_tasks *own = &state->lanes[lane];
	uint32_t task = rh_gen_go(&state->gen, lane);

	if (!task)
		return;
	own->task[own->count++] = task;
	descend(state, lane, task, PARK_FRAMES, PARK_FRAME_BYTES);
}

static void end_task(struct state *state, uint32_t lane, uint32_t task)
{
	if (state->remote_share && rh_gen_chance(&state->gen.random, state->remote_share))
		lane = any_lane(state);
	ascend(state, lane, task, PARK_FRAMES, PARK_FRAME_BYTES);
	rh_gen_end(&state->gen, lane, task);
}

static uint32_t take_any(struct state *state, struct lane_tasks *own)
{
	uint64_t index = rh_gen_below(&state->gen.random, own->count);
	uint32_t task = own->task[index];

	own->task[index] = own->task[--own->count];
	return task;
}

static void storm(struct state *state, uint32_t lane)
{
	struct lane_tasks *own = &state->lanes[lane];
	uint64_t burst = rh_gen_geometric(&state->gen.random, RH_GEN_RUN_MEAN);

	for (; burst && own->count < state->per_lane && rh_gen_more(&state->gen); burst--)
		park_one(state, lane);
	for (burst += RH_GEN_RUN_MEAN;
	     burst && own->count && own->count >= state->per_lane / 2 && rh_gen_more(&state->gen);
	     burst--)
		if (rh_gen_chance(&state->gen.random, UINT32_MAX / 2))
			end_task(state, lane, take_any(state, own));
}

/* Spawns until all lanes are full; then everything ends. */
static void parked(struct state *state, uint32_t lane)
{
	struct lane_tasks *own = &state->lanes[lane];
	uint64_t full = 0;

	for (int i = 0; i < RH_GEN_RUN_MEAN && own->count < state->per_lane; i++)
		park_one(state, lane);
	for (uint32_t l = 0; l < state->opts->common.lanes; l++)
		full += state->lanes[l].count == state->per_lane;
	if (full < state->opts->common.lanes)
		return;
	for (uint32_t l = 0; l < state->opts->common.lanes; l++)
		while (state->lanes[l].count && rh_gen_more(&state->gen))
			end_task(state, l, take_any(state, &state->lanes[l]));
}

static void work(struct state *state, uint32_t lane, uint32_t task, uint64_t bytes)
{
	uint64_t frames = bytes / state->opts->frame;

	descend(state, lane, task, frames, state->opts->frame);
	ascend(state, lane, task, frames, state->opts->frame);
}

/* A job on any of the lane's workers; they are spawned when they are first needed. */
static void job(struct state *state, uint32_t lane, uint64_t bytes)
{
	struct lane_tasks *own = &state->lanes[lane];
	uint64_t index = rh_gen_below(&state->gen.random, state->per_lane);
	uint32_t task;

	if (index >= own->count) {
		task = rh_gen_go(&state->gen, lane);
		if (!task)
			return;
		index = own->count++;
		own->task[index] = task;
	}
	work(state, lane, own->task[index], bytes);
}

static void pool(struct state *state, uint32_t lane)
{
	const struct goroutines_opts *opts = state->opts;

	job(state, lane,
	    rh_gen_log_uniform(&state->gen.random, opts->frame,
			       opts->depth > opts->frame ? opts->depth : opts->frame));
}

/* One job in 64 goes deep. */
static void shrink(struct state *state, uint32_t lane)
{
	bool deep = rh_gen_below(&state->gen.random, 64) == 0;

	job(state, lane, deep ? state->opts->depth : 2 * state->opts->frame);
}

static void recursion(struct state *state, uint32_t lane)
{
	uint32_t task = rh_gen_go(&state->gen, lane);

	work(state, lane, task, state->opts->depth);
	rh_gen_end(&state->gen, lane, task);
}

static void fanout(struct state *state, uint32_t lane)
{
	uint64_t fan = rh_gen_geometric(&state->gen.random, state->opts->fan);
	uint32_t task[FAN_MAX], made = 0;

	while (made < fan && made < FAN_MAX && rh_gen_more(&state->gen))
		task[made++] = rh_gen_go(&state->gen, lane);
	for (uint32_t i = 0; i < made; i++) {
		uint32_t where = any_lane(state);

		work(state, where, task[i], 4 * state->opts->frame);
		rh_gen_end(&state->gen, where, task[i]);
	}
}

static void (*const turns[])(struct state *state, uint32_t lane) = {
	[STORM] = storm,	 [PARKED] = parked, [POOL] = pool,
	[RECURSION] = recursion, [FANOUT] = fanout, [SHRINK] = shrink,
};

static bool make_lanes(struct state *state)
{
	uint64_t lanes = state->opts->common.lanes;

	state->per_lane = (state->opts->tasks + lanes - 1) / lanes;
	state->lanes = calloc(lanes, sizeof(*state->lanes));
	for (uint64_t lane = 0; state->lanes && lane < lanes; lane++) {
		state->lanes[lane].task = calloc(state->per_lane, sizeof(uint32_t));
		if (!state->lanes[lane].task)
			return false;
	}
	return state->lanes != NULL;
}

static int generate_goroutines(const void *options, struct rh_trace_out *out, struct rh_err *err)
{
	const struct goroutines_opts *opts = options;
	struct state state = { .opts = opts, .remote_share = rh_gen_share(opts->remote) };
	struct rh_gen *gen = &state.gen;

	if (rh_gen_open(gen, &opts->common, out, err) < 0)
		return -1;
	state.gc = opts->gc ? opts->gc : opts->shape == SHRINK ? SHRINK_CYCLE_EVENTS : 0;
	state.cycle_at = gen->left - (gen->left < state.gc ? gen->left : state.gc);
	if (!make_lanes(&state))
		rh_gen_no_memory(gen);
	for (uint32_t lane = 0; lane < opts->common.lanes; lane++)
		rh_gen_lane_start(gen, lane);
	while (rh_gen_more(gen)) {
		uint32_t lane = any_lane(&state);

		turns[opts->shape](&state, lane);
		maybe_cycle(&state, lane);
	}
	for (uint64_t lane = 0; state.lanes && lane < opts->common.lanes; lane++)
		free(state.lanes[lane].task);
	free(state.lanes);
	return rh_gen_close(gen, err);
}

const struct rh_generator rh_gen_goroutines = {
	.name = "goroutines",
	.summary = "tasks that are spawned, call and end: storm, parked, pool, recursion, ...",
	.stresses = "spawn and exit, growth by depth, memory of tasks that wait",
	.opts = goroutines_options,
	.opts_bytes = sizeof(struct goroutines_opts),
	.columns = RH_COL_TIME,
	.of_tasks = true,
	.run = generate_goroutines,
};
