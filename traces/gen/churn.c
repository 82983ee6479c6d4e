/*
 * churn.c - bursts of allocs answered by bursts of frees, in a chosen order.
 *
 * Each lane keeps `live` objects. Its turn allocates a burst and then frees as many:
 * the newest (lifo: caches and free lists at their best), the oldest (fifo: every freed
 * block is cold) or any (random: the pattern of most programs in the long run).
 */
#include "traces/gen/emitter.h"

#include <stdlib.h>

enum { LIFO, FIFO, RANDOM };

struct churn_opts {
	struct rh_gen_common common;
	uint64_t live, burst, least, most;
	int order;
};

static const char *const orders[] = { "lifo", "fifo", "random", NULL };

static const struct rh_opt churn_options[] = {
	RH_GEN_COMMON_OPTS(churn_opts, "4"),
	{ "order", 0, RH_OPT_NAME, offsetof(struct churn_opts, order), "random", .names = orders,
	  .arg = "ORDER", .help = "which object a free takes" },
	{ "live", 0, RH_OPT_UINT, offsetof(struct churn_opts, live), "10000", .min = 1, .max = 1e9,
	  .arg = "N", .help = "objects each lane keeps alive" },
	{ "burst", 0, RH_OPT_UINT, offsetof(struct churn_opts, burst), "32", .min = 1, .max = 1e6,
	  .arg = "N", .help = "allocs, then frees, in a row (mean)" },
	{ "min", 0, RH_OPT_SIZE, offsetof(struct churn_opts, least), "16", .min = 1, .max = 1e12,
	  .arg = "BYTES", .help = "smallest object" },
	{ "max", 0, RH_OPT_SIZE, offsetof(struct churn_opts, most), "4096", .min = 1, .max = 1e12,
	  .arg = "BYTES", .help = "largest object; octaves are equally likely" },
	{ .name = NULL }
};

static void free_one(struct rh_gen *gen, uint32_t lane, struct rh_gen_bag *bag, int order)
{
	struct rh_gen_object object = order == LIFO   ? rh_gen_bag_newest(bag)
				      : order == FIFO ? rh_gen_bag_oldest(bag)
						      : rh_gen_bag_any(bag, &gen->random);

	rh_gen_free(gen, lane, object);
}

static void turn(struct rh_gen *gen, const struct churn_opts *opts, uint32_t lane,
		 struct rh_gen_bag *bag)
{
	uint64_t burst = rh_gen_geometric(&gen->random, opts->burst);

	for (uint64_t i = 0; i < burst && rh_gen_more(gen); i++) {
		uint64_t size = rh_gen_log_uniform(&gen->random, opts->least, opts->most);

		rh_gen_bag_put(gen, bag, rh_gen_alloc(gen, lane, size, 0));
	}
	while (bag->count > opts->live && rh_gen_more(gen))
		free_one(gen, lane, bag, opts->order);
}

static int generate_churn(const void *options, struct rh_trace_out *out, struct rh_err *err)
{
	const struct churn_opts *opts = options;
	struct rh_gen_bag *bags;
	struct rh_gen gen;

	if (rh_gen_check_sizes(opts->least, opts->most, err) < 0 ||
	    rh_gen_open(&gen, &opts->common, out, err) < 0)
		return -1;
	bags = calloc(opts->common.lanes, sizeof(*bags));
	if (!bags)
		rh_gen_no_memory(&gen);
	for (uint32_t lane = 0; lane < opts->common.lanes; lane++)
		rh_gen_lane_start(&gen, lane);
	while (rh_gen_more(&gen)) {
		uint32_t lane = (uint32_t)rh_gen_below(&gen.random, opts->common.lanes);

		turn(&gen, opts, lane, &bags[lane]);
	}
	for (uint32_t lane = 0; bags && lane < opts->common.lanes; lane++)
		rh_gen_bag_free(&bags[lane]);
	free(bags);
	return rh_gen_close(&gen, err);
}

const struct rh_generator rh_gen_churn = {
	.name = "churn",
	.summary = "a steady number of objects, replaced in bursts in lifo, fifo or random order",
	.stresses = "free lists and caches by the order of frees; no remote frees",
	.opts = churn_options,
	.opts_bytes = sizeof(struct churn_opts),
	.columns = RH_COL_TIME,
	.run = generate_churn,
};
