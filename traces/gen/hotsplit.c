/*
 * hotsplit.c - a loop that calls across every depth of a stack: where segments end, each
 * turn of the loop takes a segment and gives it back.
 *
 * Every lane has one task. A phase makes it one frame deeper and then calls and returns,
 * `loops` times. Phases go down to `depth` bytes, frame by frame, so that some phase hits every
 * segment edge; then all frames return and the next round begins. Lanes do a phase together, in
 * turns, so that a stretch of the trace is one depth. The defaults make
 * 64 phases of 32769 events, as a replay on one lane is cut into 64 segments.
 */
#include "traces/gen/emitter.h"

enum { TURN_LOOPS = 64 };

struct hotsplit_opts {
	struct rh_gen_common common;
	uint64_t depth, frame, callee, loops;
};

static const struct rh_opt hotsplit_options[] = {
	RH_GEN_OPTS(hotsplit_opts, "1", "2097217", "spawns, calls and returns in all"),
	{ "depth", 0, RH_OPT_SIZE, offsetof(struct hotsplit_opts, depth), "16K", .min = 16,
	  .max = 1 << 30, .arg = "BYTES", .help = "how deep the caller goes" },
	{ "frame", 0, RH_OPT_SIZE, offsetof(struct hotsplit_opts, frame), "256", .min = 16,
	  .max = 65536, .arg = "BYTES", .help = "of each caller: the step from phase to phase" },
	{ "callee", 0, RH_OPT_SIZE, offsetof(struct hotsplit_opts, callee), "256", .min = 16,
	  .max = 65536, .arg = "BYTES", .help = "frame of what the loop calls" },
	{ "loops", 0, RH_OPT_UINT, offsetof(struct hotsplit_opts, loops), "16384", .min = 1,
	  .max = 1e9, .arg = "N", .help = "calls of a phase, all lanes together" },
	{ .name = NULL }
};

/* The calls of a phase: lanes by turns. The seed decides which begins. */
static void loop(struct rh_gen *gen, const struct hotsplit_opts *opts)
{
	uint32_t lane = (uint32_t)rh_gen_below(&gen->random, opts->common.lanes);

	for (uint64_t i = 0; i < opts->loops && rh_gen_more(gen); i++) {
		rh_gen_call(gen, lane, lane + 1, opts->callee);
		rh_gen_return(gen, lane, lane + 1, opts->callee);
		if (i % TURN_LOOPS == TURN_LOOPS - 1)
			lane = (lane + 1) % (uint32_t)opts->common.lanes;
	}
}

static void all(struct rh_gen *gen, const struct hotsplit_opts *opts,
		void (*one)(struct rh_gen *gen, uint32_t lane, uint32_t task, uint64_t bytes))
{
	for (uint32_t lane = 0; lane < opts->common.lanes; lane++)
		one(gen, lane, lane + 1, opts->frame);
}

static int generate_hotsplit(const void *options, struct rh_trace_out *out, struct rh_err *err)
{
	const struct hotsplit_opts *opts = options;
	uint64_t deepest = opts->depth / opts->frame;
	struct rh_gen gen;

	if (rh_gen_open(&gen, &opts->common, out, err) < 0)
		return -1;
	for (uint32_t lane = 0; lane < opts->common.lanes; lane++)
		rh_gen_lane_start(&gen, lane);
	for (uint32_t lane = 0; lane < opts->common.lanes; lane++)
		rh_gen_go(&gen, lane);
	while (rh_gen_more(&gen)) {
		for (uint64_t depth = 0; depth < deepest && rh_gen_more(&gen); depth++) {
			all(&gen, opts, rh_gen_call);
			loop(&gen, opts);
		}
		for (uint64_t depth = 0; depth < deepest; depth++)
			all(&gen, opts, rh_gen_return);
	}
	return rh_gen_close(&gen, err);
}

const struct rh_generator rh_gen_hotsplit = {
	.name = "hotsplit",
	.summary = "a loop that calls and returns, at every depth of a stack",
	.stresses = "stacks in segments: the loop pays for one at each edge; others do not notice",
	.opts = hotsplit_options,
	.opts_bytes = sizeof(struct hotsplit_opts),
	.columns = RH_COL_TIME,
	.of_tasks = true,
	.run = generate_hotsplit,
};
