/*
 * sawtooth.c - a heap that grows with small objects, falls, and grows again with larger.
 *
 * A lane's tooth: allocate objects of one size band until its share of `heap` is live,
 * then free them in random order, all but `survivors` of them. The next tooth is of
 * another band, so that the holes around the survivors fit none of its requests; the survivors
 * are freed after `keep` more teeth. The memory that a heap still holds at the foot of a tooth,
 * or returns to the system, shows fragmentation.
 *
 *	live ^   /|   /|      bands: 16-64, 1K-4K, 64-256, 4K-16K, 256-1K, 16K-64K
 *	     |  / |  / |      (neighbours differ by a factor of 16, so that no band
 *	     | /  |_/  |_     can live in the holes of the one before)
 *	     +-------------> events
 */
#include "traces/gen/emitter.h"

#include <stdlib.h>

enum { BANDS = 6, KEEP_MAX = 64 };

static const uint64_t band_least[BANDS] = { 16, 1 << 10, 64, 4 << 10, 256, 16 << 10 };

struct saw_opts {
	struct rh_gen_common common;
	uint64_t heap, keep;
	double survivors;
};

static const struct rh_opt saw_options[] = {
	RH_GEN_COMMON_OPTS(saw_opts, "2"),
	{ "heap", 0, RH_OPT_SIZE, offsetof(struct saw_opts, heap), "32M", .min = 65536, .max = 1e15,
	  .arg = "BYTES", .help = "live bytes at the tip of a tooth, all lanes" },
	{ "survivors", 0, RH_OPT_SHARE, offsetof(struct saw_opts, survivors), "5%", .max = 0.9,
	  .arg = "SHARE", .help = "objects that outlive their tooth" },
	{ "keep", 0, RH_OPT_UINT, offsetof(struct saw_opts, keep), "3", .min = 1, .max = KEEP_MAX,
	  .arg = "N", .help = "teeth that survivors stay for" },
	{ .name = NULL }
};

struct tooth {
	struct rh_gen_bag bag;	/* of this tooth */
	struct rh_gen_bag *old; /* keep of them: survivors by tooth */
	uint64_t number;
	uint64_t live_bytes;
	uint64_t to_free; /* > 0: falling */
};

static void grow(struct rh_gen *gen, const struct saw_opts *opts, uint32_t lane,
		 struct tooth *tooth)
{
	uint64_t least = band_least[tooth->number % BANDS];
	uint64_t size = rh_gen_between(&gen->random, least, least * 4);

	rh_gen_bag_put(gen, &tooth->bag, rh_gen_alloc(gen, lane, size, 0));
	tooth->live_bytes += size;
	if (tooth->live_bytes >= opts->heap / opts->common.lanes) {
		uint64_t stay = (uint64_t)((unsigned __int128)tooth->bag.count *
						   rh_gen_share(opts->survivors) >>
					   32);

		tooth->to_free = tooth->bag.count - stay;
	}
}

/* One free; at the foot the survivors take the place of those of `keep` teeth ago. */
static void fall(struct rh_gen *gen, const struct saw_opts *opts, uint32_t lane,
		 struct tooth *tooth)
{
	struct rh_gen_bag *old = &tooth->old[tooth->number % opts->keep];
	struct rh_gen_bag empty;

	if (tooth->to_free > 1 || old->count == 0) {
		struct rh_gen_object object = rh_gen_bag_any(&tooth->bag, &gen->random);

		rh_gen_free(gen, lane, object);
		tooth->live_bytes -= object.size;
		tooth->to_free--;
	} else {
		struct rh_gen_object object = rh_gen_bag_any(old, &gen->random);

		rh_gen_free(gen, lane, object);
		tooth->live_bytes -= object.size;
	}
	if (tooth->to_free)
		return;
	empty = *old;
	*old = tooth->bag;
	tooth->bag = empty;
	tooth->number++;
}

static void all_turns(struct rh_gen *gen, const struct saw_opts *opts, struct tooth *teeth)
{
	while (rh_gen_more(gen)) {
		uint32_t lane = (uint32_t)rh_gen_below(&gen->random, opts->common.lanes);
		uint64_t run = rh_gen_geometric(&gen->random, RH_GEN_RUN_MEAN);
		struct tooth *tooth = &teeth[lane];

		while (run-- && rh_gen_more(gen)) {
			if (tooth->to_free)
				fall(gen, opts, lane, tooth);
			else
				grow(gen, opts, lane, tooth);
		}
	}
}

static int generate_sawtooth(const void *options, struct rh_trace_out *out, struct rh_err *err)
{
	const struct saw_opts *opts = options;
	uint64_t lanes = opts->common.lanes;
	struct tooth *teeth;
	struct rh_gen gen;

	if (rh_gen_open(&gen, &opts->common, out, err) < 0)
		return -1;
	teeth = calloc(lanes, sizeof(*teeth));
	if (!teeth)
		rh_gen_no_memory(&gen);
	for (uint32_t lane = 0; teeth && lane < lanes; lane++) {
		teeth[lane].number = lane;
		teeth[lane].old = calloc(opts->keep, sizeof(*teeth[lane].old));
		if (!teeth[lane].old)
			rh_gen_no_memory(&gen);
		rh_gen_lane_start(&gen, lane);
	}
	all_turns(&gen, opts, teeth);
	for (uint32_t lane = 0; teeth && lane < lanes; lane++) {
		for (uint64_t i = 0; teeth[lane].old && i < opts->keep; i++)
			rh_gen_bag_free(&teeth[lane].old[i]);
		free(teeth[lane].old);
		rh_gen_bag_free(&teeth[lane].bag);
	}
	free(teeth);
	return rh_gen_close(&gen, err);
}

const struct rh_generator rh_gen_sawtooth = {
	.name = "sawtooth",
	.summary = "grows to a tip, frees most, grows again in other sizes around the survivors",
	.stresses = "fragmentation, and whether memory is given back",
	.opts = saw_options,
	.opts_bytes = sizeof(struct saw_opts),
	.columns = RH_COL_TIME,
	.run = generate_sawtooth,
};
