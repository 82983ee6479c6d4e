/*
 * out.c - collects an epoch and spools it; join.c makes the program from the spool.
 */
#include "harness/compile/out.h"

#include <assert.h>
#include <stdlib.h>
#include <unistd.h>

#include "alloc/base/grow.h"
#include "harness/compile/file.h"
#include "harness/compile/spool.h"

/* Memory that all lanes together may keep between epochs. */
#define KEEP_WORDS_MAX (4u << 20)

int rh_out_open(struct rh_out *out, int spool, uint32_t cuts_max, struct rh_err *err)
{
	assert(cuts_max > 0);
	*out = (struct rh_out){ .spool = spool, .cuts_max = cuts_max };
	out->stage = malloc(RH_STAGE_BYTES);
	return out->stage ? 0 : rh_fail(err, RH_OS, "no memory for compiling");
}

void rh_out_close(struct rh_out *out)
{
	for (uint32_t i = 0; i < out->lane_count; i++) {
		free(out->lanes[i].words);
		free(out->lanes[i].publishes);
	}
	free(out->lanes);
	free(out->notes);
	free(out->cuts);
	free(out->grains);
	free(out->stage);
	if (out->spool >= 0)
		close(out->spool);
	*out = (struct rh_out){ .spool = -1 };
}

static int widen_cuts(struct rh_out *out, uint32_t lanes, struct rh_err *err)
{
	uint32_t stride = out->stride ? out->stride : 8;
	uint32_t *cuts;

	while (stride < lanes)
		stride *= 2;
	assert(stride > out->stride);
	cuts = calloc((size_t)stride * out->cuts_max, sizeof(*cuts));
	if (!cuts)
		return rh_fail(err, RH_OS, "no memory for the grains of %u lanes", lanes);
	for (uint32_t cut = 0; cut < out->cut_count; cut++)
		memcpy(cuts + (size_t)cut * stride, out->cuts + (size_t)cut * out->stride,
		       out->stride * sizeof(*cuts));
	free(out->cuts);
	out->cuts = cuts;
	out->stride = stride;
	return 0;
}

int rh_out_lanes(struct rh_out *out, uint32_t lanes, struct rh_err *err)
{
	struct rh_out_lane *more;

	if (lanes <= out->lane_count)
		return 0;
	if (lanes > out->stride && widen_cuts(out, lanes, err) < 0)
		return -1;
	more = reallocarray(out->lanes, lanes, sizeof(*more));
	if (!more)
		return rh_fail(err, RH_OS, "no memory for the ops of %u lanes", lanes);
	memset(more + out->lane_count, 0, (lanes - out->lane_count) * sizeof(*more));
	out->lanes = more;
	out->lane_count = lanes;
	assert(out->lane_count <= out->stride);
	return 0;
}

int rh_out_room(struct rh_out_lane *lane, struct rh_err *err)
{
	if (!rh_reserve32(&lane->words, &lane->cap, lane->cap + (size_t)RH_EVENT_WORDS_MAX,
			  sizeof(*lane->words)))
		return rh_fail(err, RH_OS,
			       "no memory for the ops of an epoch (use smaller epochs)");
	assert(lane->cap - lane->count >= RH_EVENT_WORDS_MAX);
	return 0;
}

static int note_publish(struct rh_out_lane *lane, uint32_t position, struct rh_err *err)
{
	if (!rh_reserve32(&lane->publishes, &lane->publish_cap, lane->publish_count + 1,
			  sizeof(*lane->publishes)))
		return rh_no_memory(err, "edges");
	lane->publishes[lane->publish_count++] = position;
	return 0;
}

int rh_out_wait(struct rh_out *out, uint32_t lane, uint32_t source, uint32_t position,
		struct rh_err *err)
{
	struct rh_out_lane *to = &out->lanes[lane];

	assert(position <= out->lanes[source].count);
	assert(lane != source);
	if (!rh_reserve32(&out->notes, &out->note_cap, out->note_count + 1, sizeof(*out->notes)))
		return rh_no_memory(err, "edges");
	out->notes[out->note_count++] = (struct rh_out_note){ lane, to->count, source, position };
	rh_out_op(to, RH_OP_WAIT, source, 0);
	to->waits++;
	return note_publish(&out->lanes[source], position, err);
}

int rh_out_cut(struct rh_out *out, const struct rh_grain *facts, struct rh_err *err)
{
	uint32_t *row;

	assert(out->cut_count < out->cuts_max);
	if (!rh_reserve(&out->grains, &out->grain_cap, out->grain_count + 1, sizeof(*out->grains)))
		return rh_no_memory(err, "grains");
	out->grains[out->grain_count++] = *facts;
	row = out->cuts + (size_t)out->cut_count++ * out->stride;
	for (uint32_t lane = 0; lane < out->lane_count; lane++)
		row[lane] = out->lanes[lane].count;
	return 0;
}

static int by_position(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static void sort_publishes(struct rh_out_lane *lane)
{
	uint32_t kept = 0;

	qsort(lane->publishes, lane->publish_count, sizeof(*lane->publishes), by_position);
	for (uint32_t i = 0; i < lane->publish_count; i++)
		if (i == 0 || lane->publishes[i] != lane->publishes[kept - 1])
			lane->publishes[kept++] = lane->publishes[i];
	lane->publish_count = kept;
	assert(kept == 0 || lane->publishes[kept - 1] <= lane->count);
}

/* Gives every WAIT the number that the PUBLISH at its position will have. */
static int number_waits(struct rh_out *out, struct rh_err *err)
{
	for (uint32_t i = 0; i < out->note_count; i++) {
		const struct rh_out_note *note = &out->notes[i];
		const struct rh_out_lane *source = &out->lanes[note->source];
		const uint32_t *found = bsearch(&note->position, source->publishes,
						source->publish_count, sizeof(*found), by_position);
		uint64_t number;

		assert(found);
		number = source->published + (uint64_t)(found - source->publishes) + 1;
		if (number > UINT32_MAX)
			return rh_fail(err, RH_BAD_DATA,
				       "lane %u is waited for more than 2^32 times; cut the trace "
				       "(reheap cut)",
				       note->source);
		assert(RH_OP_KIND(out->lanes[note->lane].words[note->at].what) == RH_OP_WAIT);
		out->lanes[note->lane].words[note->at].size = (uint32_t)number;
	}
	return 0;
}

/* A PUBLISH at a cut belongs to the grain that ends there. */
static void move_cuts(struct rh_out *out, uint32_t lane)
{
	const struct rh_out_lane *from = &out->lanes[lane];
	uint32_t before = 0;

	for (uint32_t cut = 0; cut < out->cut_count; cut++) {
		uint32_t *at = &out->cuts[(size_t)cut * out->stride + lane];

		while (before < from->publish_count && from->publishes[before] <= *at)
			before++;
		*at += before;
	}
}

static int flush_stage(struct rh_out *out, struct rh_err *err)
{
	int done = rh_work_write(out->spool, out->stage, out->staged, out->spool_bytes, err);

	assert(out->staged <= RH_STAGE_BYTES);
	out->spool_bytes += out->staged;
	out->staged = 0;
	return done;
}

static int stage(struct rh_out *out, const void *data, size_t bytes, struct rh_err *err)
{
	const uint8_t *at = data;

	while (bytes) {
		size_t part = RH_STAGE_BYTES - out->staged;

		assert(part > 0); /* a full stage was flushed */
		if (part > bytes)
			part = bytes;
		memcpy(out->stage + out->staged, at, part);
		out->staged += (uint32_t)part;
		at += part;
		bytes -= part;
		if (out->staged == RH_STAGE_BYTES && flush_stage(out, err) < 0)
			return -1;
	}
	return 0;
}

static int stage_lane(struct rh_out *out, const struct rh_out_lane *lane, struct rh_err *err)
{
	uint32_t done = 0;

	for (uint32_t i = 0; i < lane->publish_count; i++) {
		struct rh_op publish = { RH_OP_WHAT(RH_OP_PUBLISH, 0),
					 (uint32_t)(lane->published + i + 1) };
		uint32_t part = lane->publishes[i] - done;

		assert(part <= lane->count - done);
		if (stage(out, lane->words + done, part * sizeof(*lane->words), err) < 0 ||
		    stage(out, &publish, sizeof(publish), err) < 0)
			return -1;
		done += part;
	}
	/* A lane without words has no array. */
	if (done == lane->count)
		return 0;
	return stage(out, lane->words + done, (lane->count - done) * sizeof(*lane->words), err);
}

static int stage_epoch(struct rh_out *out, struct rh_err *err)
{
	struct rh_spool_head head = { .lanes = out->lane_count, .cuts = out->cut_count };

	if (stage(out, &head, sizeof(head), err) < 0)
		return -1;
	for (uint32_t cut = 0; cut < out->cut_count; cut++)
		if (stage(out, out->cuts + (size_t)cut * out->stride,
			  out->lane_count * sizeof(*out->cuts), err) < 0)
			return -1;
	for (uint32_t i = 0; i < out->lane_count; i++)
		if (stage_lane(out, &out->lanes[i], err) < 0)
			return -1;
	return 0;
}

static void empty_lanes(struct rh_out *out)
{
	uint64_t kept = 0;

	for (uint32_t i = 0; i < out->lane_count; i++) {
		struct rh_out_lane *lane = &out->lanes[i];

		lane->words_total += lane->count + lane->publish_count;
		lane->published += lane->publish_count;
		out->publishes += lane->publish_count;
		lane->count = lane->publish_count = 0;
		kept += lane->cap;
		if (kept > KEEP_WORDS_MAX) {
			kept -= lane->cap;
			free(lane->words);
			lane->words = NULL;
			lane->cap = 0;
		}
	}
	out->waits += out->note_count;
	out->note_count = out->cut_count = 0;
}

int rh_out_epoch(struct rh_out *out, struct rh_err *err)
{
	for (uint32_t i = 0; i < out->lane_count; i++)
		if (out->lanes[i].publish_count) {
			sort_publishes(&out->lanes[i]);
			move_cuts(out, i);
		}
	if (number_waits(out, err) < 0 || (out->spool >= 0 && stage_epoch(out, err) < 0))
		return -1;
	empty_lanes(out);
	return 0;
}

int rh_out_flush(struct rh_out *out, struct rh_err *err)
{
	return flush_stage(out, err);
}
