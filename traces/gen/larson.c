/*
 * larson.c - threads that inherit each other's live blocks.
 *
 * After the server simulation of Larson and Krishnan (1998): every thread owns an array of
 * `slots` blocks and replaces one at random, over and over. After `rounds` replacements
 * the arrays move on by one thread, so that most of what a thread frees from then on was
 * allocated by another: blocks wander between arenas, and an allocator that keeps blocks
 * where they were freed lets memory drift.
 *
 * All threads change arrays at the same point of the trace.
 */
#include "traces/gen/emitter.h"

#include <stdlib.h>

struct larson_opts {
	struct rh_gen_common common;
	uint64_t slots, rounds, least, most;
};

static const struct rh_opt larson_options[] = {
	RH_GEN_COMMON_OPTS(larson_opts, "4"),
	{ "slots", 0, RH_OPT_UINT, offsetof(struct larson_opts, slots), "1000", .min = 1,
	  .max = 1e8, .arg = "N", .help = "blocks each lane holds" },
	{ "rounds", 0, RH_OPT_UINT, offsetof(struct larson_opts, rounds), "10000", .min = 1,
	  .max = 1e12, .arg = "N", .help = "replacements by a lane between hand-overs" },
	{ "min", 0, RH_OPT_SIZE, offsetof(struct larson_opts, least), "10", .min = 1, .max = 1e12,
	  .arg = "BYTES", .help = "smallest block" },
	{ "max", 0, RH_OPT_SIZE, offsetof(struct larson_opts, most), "500", .min = 1, .max = 1e12,
	  .arg = "BYTES", .help = "largest block; all sizes are equally likely" },
	{ .name = NULL }
};

/* slot is the array in hand; a slot never filled has id RH_NONE. */
static void replace(struct rh_gen *gen, const struct larson_opts *opts, uint32_t lane,
		    struct rh_gen_object *slot)
{
	if (slot->id != RH_NONE)
		rh_gen_free(gen, lane, *slot);
	*slot = rh_gen_alloc(gen, lane, rh_gen_between(&gen->random, opts->least, opts->most), 0);
}

/* One generation: every lane does its rounds on the array it holds, in turns. */
static void generation(struct rh_gen *gen, const struct larson_opts *opts,
		       struct rh_gen_object *slots, uint64_t shift, uint64_t *done)
{
	uint64_t lanes = opts->common.lanes, busy = lanes;

	for (uint64_t lane = 0; lane < lanes; lane++)
		done[lane] = 0;
	while (busy && rh_gen_more(gen)) {
		uint32_t lane = (uint32_t)rh_gen_below(&gen->random, lanes);
		uint64_t run = rh_gen_geometric(&gen->random, RH_GEN_RUN_MEAN / 2);
		struct rh_gen_object *array = slots + (lane + shift) % lanes * opts->slots;

		if (done[lane] == opts->rounds)
			continue;
		while (run-- && done[lane] < opts->rounds && rh_gen_more(gen)) {
			uint64_t slot = rh_gen_below(&gen->random, opts->slots);

			replace(gen, opts, lane, &array[slot]);
			done[lane]++;
		}
		busy -= done[lane] == opts->rounds;
	}
}

static int generate_larson(const void *options, struct rh_trace_out *out, struct rh_err *err)
{
	const struct larson_opts *opts = options;
	uint64_t lanes = opts->common.lanes;
	struct rh_gen_object *slots;
	uint64_t *done;
	struct rh_gen gen;

	if (rh_gen_check_sizes(opts->least, opts->most, err) < 0 ||
	    rh_gen_open(&gen, &opts->common, out, err) < 0)
		return -1;
	slots = reallocarray(NULL, lanes * opts->slots, sizeof(*slots));
	done = calloc(lanes, sizeof(*done));
	if (!slots || !done)
		rh_gen_no_memory(&gen);
	for (uint64_t i = 0; slots && i < lanes * opts->slots; i++)
		slots[i].id = RH_NONE;
	rh_gen_threads_start(&gen, lanes);
	for (uint64_t shift = 0; rh_gen_more(&gen); shift++)
		generation(&gen, opts, slots, shift % lanes, done);
	rh_gen_threads_join(&gen, lanes);
	free(done);
	free(slots);
	return rh_gen_close(&gen, err);
}

const struct rh_generator rh_gen_larson = {
	.name = "larson",
	.summary = "threads replace random blocks and hand their arrays on, block by block alive",
	.stresses = "blocks freed far from where they were born; drift between arenas",
	.opts = larson_options,
	.opts_bytes = sizeof(struct larson_opts),
	.columns = RH_COL_TIME | RH_COL_TASK,
	.run = generate_larson,
};
