/*
 * export_malloc_bench.c - a trace as ClaytonKnittel/malloc-bench replays it: one protocol buffer
 * (traces/import/malloc_bench.c has its fields, and reads it back). Its files are packed with gzip,
 * which is left to gzip.
 *
 * An id is the index of a pointer in a table of the replayer, which has as many places as objects
 * live at once: a released place is reused next. The last field holds that number, written when it
 * is known. Sizes and alignments are whole; threads and times are not in the format.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "alloc/base/grow.h"
#include "alloc/base/os.h"
#include "traces/edit/export.h"
#include "traces/format/huge_alloc.h"
#include "traces/format/map.h"

enum { MALLOC = 1, FREE, REALLOC, CALLOC };
enum { OP_FIELD = 1, MOST_FIELD = 2, NUMBER = 0, MESSAGE = 2, MESSAGE_MAX = 64 };

struct job {
	FILE *to;
	struct rh_map place; /* of a living object */
	uint64_t *spare;     /* places given back, the last one next */
	size_t spare_count, spare_cap;
	uint64_t places;
};

struct message {
	unsigned char bytes[MESSAGE_MAX];
	size_t count;
};

static void add_varint(struct message *message, uint64_t value)
{
	while (value >= 0x80) {
		message->bytes[message->count++] = (unsigned char)(value | 0x80);
		value >>= 7;
	}
	message->bytes[message->count++] = (unsigned char)value;
}

static void add_field(struct message *message, unsigned field, uint64_t value)
{
	add_varint(message, field << 3 | NUMBER);
	add_varint(message, value);
}

/* An operation: a message in a message. */
static void put_op(struct job *job, unsigned op, const struct message *fields)
{
	struct message inner = { .count = 0 }, outer = { .count = 0 };

	add_varint(&inner, op << 3 | MESSAGE);
	add_varint(&inner, fields->count);
	add_varint(&outer, OP_FIELD << 3 | MESSAGE);
	add_varint(&outer, inner.count + fields->count);
	fwrite(outer.bytes, 1, outer.count, job->to);
	fwrite(inner.bytes, 1, inner.count, job->to);
	fwrite(fields->bytes, 1, fields->count, job->to);
}

/* A place for an object; false without memory. */
static bool take_place(struct job *job, uint64_t id, uint64_t *place)
{
	*place = job->spare_count ? job->spare[--job->spare_count] : job->places++;
	return rh_map_put(&job->place, id, *place);
}

static bool give_place(struct job *job, uint64_t place)
{
	if (!rh_reserve(&job->spare, &job->spare_cap, job->spare_count + 1, sizeof(*job->spare)))
		return false;
	job->spare[job->spare_count++] = place;
	return true;
}

static bool put_birth(struct job *job, const struct rh_event *event)
{
	struct message fields = { .count = 0 };
	bool is_zeroed = event->flags & RH_EVF_ZEROED && !event->align_log2;
	bool of_null = event->flags & RH_EVF_REALLOC && !event->align_log2;
	uint64_t place;

	if (!take_place(job, event->id, &place))
		return false;
	add_field(&fields, 1, place);
	if (is_zeroed)
		add_field(&fields, 2, 1);
	add_field(&fields, is_zeroed || of_null ? 3 : 2, event->size);
	if (event->align_log2)
		add_field(&fields, 3, 1ull << event->align_log2);
	put_op(job, is_zeroed ? CALLOC : of_null ? REALLOC : MALLOC, &fields);
	return true;
}

static bool put_death(struct job *job, const struct rh_event *event)
{
	struct message fields = { .count = 0 };
	uint64_t place = rh_map_remove(&job->place, event->id);

	add_field(&fields, 1, place);
	if (event->flags & RH_EVF_SIZED)
		add_field(&fields, 2, event->size);
	put_op(job, FREE, &fields);
	return give_place(job, place);
}

static bool put_resize(struct job *job, const struct rh_event *event)
{
	struct message fields = { .count = 0 };
	uint64_t place = rh_map_remove(&job->place, event->old);

	if (!rh_map_put(&job->place, event->id, place))
		return false;
	add_field(&fields, 1, place);
	add_field(&fields, 2, place);
	add_field(&fields, 3, event->size);
	put_op(job, REALLOC, &fields);
	return true;
}

static bool put(struct job *job, const struct rh_event *event)
{
	switch (event->kind) {
	case RH_EV_ALLOC:
		return put_birth(job, event);
	case RH_EV_FREE:
		return put_death(job, event);
	case RH_EV_RESIZE:
		return put_resize(job, event);
	case RH_EV_FREE_NULL: /* a free without an id */
		put_op(job, FREE, &(struct message){ .count = 0 });
		return true;
	default:
		return true;
	}
}

static int put_all(struct job *job, struct rh_trace *trace, struct rh_err *err)
{
	struct rh_event batch[RH_TRACE_BATCH];
	struct message most = { .count = 0 };
	int count;

	while ((count = rh_trace_next(trace, batch, RH_TRACE_BATCH, err)) > 0)
		for (int i = 0; i < count; i++)
			if (!put(job, &batch[i]))
				return rh_huge_fail(job->place.count, err);
	add_field(&most, MOST_FIELD, job->places);
	fwrite(most.bytes, 1, most.count, job->to);
	return count;
}

int rh_export_malloc_bench(struct rh_trace *trace, const char *path, struct rh_err *err)
{
	struct job job = { .to = NULL };
	struct rh_outfile out;
	int result;

	if (rh_outfile_open(&out, path, err) < 0)
		return -1;
	job.to = rh_export_stream(&out);
	if (!job.to) {
		rh_outfile_abandon(&out);
		return rh_fail_errno(err, RH_OS, "%s cannot be written", path);
	}
	result = put_all(&job, trace, err);
	rh_map_close(&job.place);
	free(job.spare);
	return rh_export_close(job.to, &out, result, err);
}
