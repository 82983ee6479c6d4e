/*
 * producer_consumer.c - messages allocated by one thread and freed by another.
 *
 * Half of the lanes (rounded up) produce, the others consume; each consumer has a queue
 * of at most `depth` messages, first in, first out. Turns are random, so queues fill up and run
 * dry; a lane that cannot proceed passes its turn. With two lanes or more every free is remote:
 * the worst case for caches owned by threads, because all memory flows one way. One lane is its
 * own consumer.
 */
#include "traces/gen/emitter.h"

#include <stdlib.h>

struct pc_opts {
	struct rh_gen_common common;
	uint64_t depth, least, most;
};

static const struct rh_opt pc_options[] = {
	RH_GEN_COMMON_OPTS(pc_opts, "4"),
	{ "depth", 0, RH_OPT_UINT, offsetof(struct pc_opts, depth), "1000", .min = 1, .max = 1e9,
	  .arg = "N", .help = "messages a queue holds at most" },
	{ "min", 0, RH_OPT_SIZE, offsetof(struct pc_opts, least), "32", .min = 1, .max = 1e12,
	  .arg = "BYTES", .help = "smallest message" },
	{ "max", 0, RH_OPT_SIZE, offsetof(struct pc_opts, most), "2048", .min = 1, .max = 1e12,
	  .arg = "BYTES", .help = "largest message; octaves are equally likely" },
	{ .name = NULL }
};

struct pc {
	struct rh_gen gen;
	const struct pc_opts *opts;
	struct rh_gen_bag *queues; /* by consumer */
	uint64_t producers, consumers;
};

static void produce(struct pc *pc, uint32_t lane, uint64_t run)
{
	struct rh_gen *gen = &pc->gen;
	struct rh_gen_bag *queue = &pc->queues[rh_gen_below(&gen->random, pc->consumers)];

	while (run-- && queue->count < pc->opts->depth && rh_gen_more(gen)) {
		uint64_t size = rh_gen_log_uniform(&gen->random, pc->opts->least, pc->opts->most);

		rh_gen_bag_put(gen, queue, rh_gen_alloc(gen, lane, size, 0));
	}
}

static void consume(struct pc *pc, uint32_t lane, uint64_t consumer, uint64_t run)
{
	struct rh_gen_bag *queue = &pc->queues[consumer];

	while (run-- && queue->count && rh_gen_more(&pc->gen))
		rh_gen_free(&pc->gen, lane, rh_gen_bag_oldest(queue));
}

/* Producers and consumers get equally many turns, whatever their numbers. */
static void turn(struct pc *pc)
{
	struct rh_gen_random *random = &pc->gen.random;
	uint64_t run = rh_gen_geometric(random, RH_GEN_RUN_MEAN);

	if (rh_gen_next(random) >> 63) {
		produce(pc, (uint32_t)rh_gen_below(random, pc->producers), run);
	} else {
		uint64_t consumer = rh_gen_below(random, pc->consumers);
		uint64_t lane = pc->opts->common.lanes == 1 ? 0 : pc->producers + consumer;

		consume(pc, (uint32_t)lane, consumer, run);
	}
}

static int generate_producer_consumer(const void *options, struct rh_trace_out *out,
				      struct rh_err *err)
{
	const struct pc_opts *opts = options;
	struct pc pc = { .opts = opts };
	uint64_t lanes = opts->common.lanes;

	pc.producers = (lanes + 1) / 2;
	pc.consumers = lanes == 1 ? 1 : lanes - pc.producers;
	if (rh_gen_check_sizes(opts->least, opts->most, err) < 0 ||
	    rh_gen_open(&pc.gen, &opts->common, out, err) < 0)
		return -1;
	pc.queues = calloc(pc.consumers, sizeof(*pc.queues));
	if (!pc.queues)
		rh_gen_no_memory(&pc.gen);
	rh_gen_threads_start(&pc.gen, lanes);
	while (rh_gen_more(&pc.gen))
		turn(&pc);
	rh_gen_threads_join(&pc.gen, lanes);
	for (uint64_t i = 0; pc.queues && i < pc.consumers; i++)
		rh_gen_bag_free(&pc.queues[i]);
	free(pc.queues);
	return rh_gen_close(&pc.gen, err);
}

const struct rh_generator rh_gen_producer_consumer = {
	.name = "producer-consumer",
	.summary = "half of the threads allocate messages, the other half free them",
	.stresses = "remote frees: all memory flows one way between threads",
	.opts = pc_options,
	.opts_bytes = sizeof(struct pc_opts),
	.columns = RH_COL_TIME | RH_COL_TASK,
	.run = generate_producer_consumer,
};
