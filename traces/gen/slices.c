/*
 * slices.c - arrays that grow by append, as Go's do.
 *
 * Each lane holds `slices` arrays, each on its way to a final length drawn log-uniformly.
 * A step takes one and grows it by Go's rule since 1.18: twice the capacity below
 * `threshold` elements, from there on a quarter more plus 3/4 of the threshold, which
 * makes the factor slide from 2 to 1.25; the bytes are then rounded up as a heap with size
 * classes would. Growing is a resize: the old array ends and its contents are moved. An array
 * that has reached its length is freed and another begun.
 *
 * Rounding here is to an eighth of the power of two below (at least 8 bytes), and to 8 KiB
 * pages above 32 KiB: near Go's table of classes without being it.
 */
#include "traces/gen/emitter.h"

#include <stdlib.h>

enum { LARGE_BYTES = 32 << 10, PAGE_BYTES = 8 << 10 };

struct slices_opts {
	struct rh_gen_common common;
	uint64_t slices, element, threshold, longest;
};

static const struct rh_opt slices_options[] = {
	RH_GEN_COMMON_OPTS(slices_opts, "4"),
	{ "slices", 0, RH_OPT_UINT, offsetof(struct slices_opts, slices), "500", .min = 1,
	  .max = 1e8, .arg = "N", .help = "arrays each lane grows at once" },
	{ "element", 0, RH_OPT_SIZE, offsetof(struct slices_opts, element), "8", .min = 1,
	  .max = 1048576, .arg = "BYTES", .help = "bytes of an element" },
	{ "threshold", 0, RH_OPT_UINT, offsetof(struct slices_opts, threshold), "256", .min = 1,
	  .max = 1e9, .arg = "N", .help = "elements from which growth slows down" },
	{ "longest", 0, RH_OPT_UINT, offsetof(struct slices_opts, longest), "65536", .min = 1,
	  .max = 1e9, .arg = "N", .help = "elements of the longest array" },
	{ .name = NULL }
};

struct slice {
	struct rh_gen_object object; /* id RH_NONE: not begun */
	uint64_t capacity, length;   /* now and in the end, elements */
};

static uint64_t round_bytes(uint64_t bytes)
{
	uint64_t step;

	if (bytes > LARGE_BYTES)
		step = PAGE_BYTES;
	else if (bytes < 128)
		step = 8;
	else
		step = 1ull << (63 - __builtin_clzll(bytes) - 3);
	return (bytes + step - 1) / step * step;
}

static uint64_t next_capacity(const struct slices_opts *opts, uint64_t capacity)
{
	if (capacity == 0)
		return 1;
	if (capacity < opts->threshold)
		return 2 * capacity;
	return capacity + (capacity + 3 * opts->threshold) / 4;
}

static void step(struct rh_gen *gen, const struct slices_opts *opts, uint32_t lane,
		 struct slice *slice)
{
	uint64_t bytes;

	if (slice->object.id != RH_NONE && slice->capacity >= slice->length) {
		rh_gen_free(gen, lane, slice->object);
		slice->object.id = RH_NONE;
		return;
	}
	if (slice->object.id == RH_NONE) {
		slice->capacity = 0;
		slice->length = rh_gen_log_uniform(&gen->random, 1, opts->longest);
	}
	bytes = round_bytes(next_capacity(opts, slice->capacity) * opts->element);
	slice->capacity = bytes / opts->element;
	slice->object = slice->object.id == RH_NONE
				? rh_gen_alloc(gen, lane, bytes, 0)
				: rh_gen_resize(gen, lane, slice->object, bytes);
}

static int generate_slices(const void *options, struct rh_trace_out *out, struct rh_err *err)
{
	const struct slices_opts *opts = options;
	uint64_t count = opts->common.lanes * opts->slices;
	struct slice *slices;
	struct rh_gen gen;

	if (rh_gen_open(&gen, &opts->common, out, err) < 0)
		return -1;
	slices = reallocarray(NULL, count, sizeof(*slices));
	if (!slices)
		rh_gen_no_memory(&gen);
	for (uint64_t i = 0; slices && i < count; i++)
		slices[i].object.id = RH_NONE;
	for (uint32_t lane = 0; lane < opts->common.lanes; lane++)
		rh_gen_lane_start(&gen, lane);
	while (rh_gen_more(&gen)) {
		uint32_t lane = (uint32_t)rh_gen_below(&gen.random, opts->common.lanes);
		uint64_t steps = rh_gen_geometric(&gen.random, RH_GEN_RUN_MEAN);

		while (steps-- && rh_gen_more(&gen))
			step(&gen, opts, lane,
			     &slices[lane * opts->slices +
				     rh_gen_below(&gen.random, opts->slices)]);
	}
	free(slices);
	return rh_gen_close(&gen, err);
}

const struct rh_generator rh_gen_slices = {
	.name = "slices",
	.summary = "arrays that grow by append: doubling, then by a quarter",
	.stresses = "resize and size classes; large objects made by growth",
	.opts = slices_options,
	.opts_bytes = sizeof(struct slices_opts),
	.columns = RH_COL_TIME,
	.run = generate_slices,
};
