/*
 * merge.c - see merge.h. The path of a record:
 *
 *	1. chunk -> the stream's buffer (pread, one piece at a time; a chunk that has
 *	   been read gives its disk space back, so that a full disk has room for the trace);
 *	2. decode: BASE, WIDE, SITE, NAME and TEXT change the stream's state, all others
 *	   become its `next` call;
 *	3. a heap over the streams' next stamps picks the earliest; while it stays the
 *	   earliest, as in a program with one busy thread, the heap is not touched.
 */
#include <stdlib.h>
#include <string.h>

#include "traces/record/merge.h"

enum { BUFFERS_BYTES = 64 << 20, BUFFER_MIN = 256, BUFFER_MAX = 32768, NAME_BYTES = 320 };

struct stream {
	const struct rh_chunk **chunks;		/* of this ring and image, in order */
	size_t chunk_count, chunk;
	uint32_t done;				/* words of the current chunk already read */
	uint64_t *buffer;
	uint32_t have, at;
	uint64_t stamp;
	uint32_t thread, tid, site;
	bool ended;
	struct rh_call next;
	char name[NAME_BYTES];
	uint32_t name_bytes;
	uint32_t name_site;
	bool naming;
};

struct rh_merge {
	const struct rh_capture *capture;
	struct stream *streams;
	uint32_t stream_count, buffer_words;
	const struct rh_chunk **chunks;
	uint64_t *buffers;
	uint32_t *heap;
	uint32_t heap_count;
};

/* ---- reading ---- */

static void chunk_begins(struct stream *s)
{
	const struct rh_chunk *chunk = s->chunks[s->chunk];

	if (s->stamp < chunk->stamp)
		s->stamp = chunk->stamp;
	s->thread = chunk->thread;
	s->tid = chunk->tid;
	s->site = chunk->site;
	s->done = 0;
}

/* 1 = the buffer begins with a whole record, 0 = nothing is left, -1 = error. What the
 * buffer still holds is the beginning of a long record: it moves to the front. */
static int refill(struct rh_merge *merge, struct stream *s, struct rh_err *err)
{
	const struct rh_chunk *chunk;
	uint32_t left, rest = s->have - s->at;

	if (s->chunk == s->chunk_count)
		return 0;
	chunk = s->chunks[s->chunk];
	if (s->done == chunk->words) {
		rh_capture_forget(merge->capture, chunk);
		if (++s->chunk == s->chunk_count)
			return 0;
		chunk = s->chunks[s->chunk];
		chunk_begins(s);
		rest = 0;
	}
	memmove(s->buffer, s->buffer + s->at, rest * sizeof *s->buffer);
	left = chunk->words - s->done;
	if (left > merge->buffer_words - rest)
		left = merge->buffer_words - rest;
	s->have = rest + left;
	s->at = 0;
	if (rh_capture_read(merge->capture, chunk, s->done, s->buffer + rest, left, err) < 0)
		return -1;
	s->done += left;
	return 1;
}

static bool has_whole(const struct stream *s)
{
	return s->at < s->have && s->have - s->at >= rh_rec_words(s->buffer[s->at]);
}

static void add_text(struct stream *s, const struct rh_rec *rec)
{
	if (s->name_bytes + 16 >= NAME_BYTES)
		return;
	memcpy(s->name + s->name_bytes, &rec->address, 8);
	memcpy(s->name + s->name_bytes + 8, &rec->tail, 8);
	s->name_bytes += 16;
	s->name[s->name_bytes] = '\0';
}

/* Records that only change what later ones mean. */
static bool take_state(struct stream *s, const struct rh_rec *rec)
{
	switch (rec->kind) {
	case RH_REC_STAMP:
		if (s->stamp < rec->tail)
			s->stamp = rec->tail;
		return true;
	case RH_REC_SITE:
		s->site = (uint32_t)rec->tail;
		return true;
	case RH_REC_TEXT:
		add_text(s, rec);
		return true;
	case RH_REC_NAME:
		s->naming = true;
		s->name_bytes = 0;
		s->name_site = (uint32_t)rec->tail;
		return true;
	case RH_REC_FREE:
	case RH_REC_ALLOC:
	case RH_REC_CALLOC:
	case RH_REC_RE_BEGIN:
	case RH_REC_RE_END:
		return false;
	default:
		return rec->kind <= RH_REC_LONG || rec->kind >= RH_REC_KINDS;
	}
}

static void decode(struct stream *s, const struct rh_rec *rec)
{
	struct rh_call *call = &s->next;

	if (rec->kind == RH_REC_START) {
		s->thread = (uint32_t)(rec->tail >> 32);
		s->tid = (uint32_t)rec->tail;
		s->site = 0;
	}
	call->stamp = s->stamp;
	call->kind = rec->kind == RH_REC_CALLOC ? RH_REC_ALLOC :
		     rec->kind == RH_REC_FREE_RESIDENT ? RH_REC_FREE : rec->kind;
	call->address = rec->address;
	call->size = rec->tail;
	call->thread = s->thread;
	call->tid = s->tid;
	call->site = s->site;
	call->align_log2 = rec->align_log2;
	call->zeroed = rec->kind == RH_REC_CALLOC;
	call->resident = rec->kind == RH_REC_FREE_RESIDENT;
	call->last = call->cut = false;
	call->name = NULL;
}

/* A name is complete when anything but TEXT follows it. */
static bool name_ready(struct stream *s, unsigned kind)
{
	if (!s->naming || kind == RH_REC_TEXT)
		return false;
	s->naming = false;
	s->next = (struct rh_call){ .kind = RH_REC_NAME, .stamp = s->stamp, .thread = s->thread,
				    .tid = s->tid, .site = s->name_site, .name = s->name };
	return true;
}

/* Fills s->next, or sets ended. */
static int advance(struct rh_merge *merge, struct stream *s, struct rh_err *err)
{
	for (;;) {
		struct rh_rec rec;

		while (!has_whole(s)) {
			int more = refill(merge, s, err);

			if (more < 0)
				return -1;
			if (more == 0) {
				s->ended = !name_ready(s, RH_REC_KINDS);
				return 0;
			}
		}
		rh_rec_unpack(&s->buffer[s->at], &rec);
		if (name_ready(s, rec.kind))
			return 0;
		s->at += rh_rec_words(s->buffer[s->at]);
		if (take_state(s, &rec))
			continue;
		decode(s, &rec);
		return 0;
	}
}

/* ---- the heap: streams ordered by next stamp, ties by number ---- */

static bool before(const struct rh_merge *merge, uint32_t a, uint32_t b)
{
	uint64_t x = merge->streams[a].next.stamp, y = merge->streams[b].next.stamp;

	return x != y ? x < y : a < b;
}

static void sift(struct rh_merge *merge, uint32_t at)
{
	uint32_t *heap = merge->heap, moved = heap[at];

	for (;;) {
		uint32_t child = 2 * at + 1;

		if (child >= merge->heap_count)
			break;
		if (child + 1 < merge->heap_count && before(merge, heap[child + 1], heap[child]))
			child++;
		if (!before(merge, heap[child], moved))
			break;
		heap[at] = heap[child];
		at = child;
	}
	heap[at] = moved;
}

int rh_merge_next(struct rh_merge *merge, struct rh_call *call, struct rh_err *err)
{
	struct stream *s;
	uint32_t index;

	if (merge->heap_count == 0)
		return 0;
	index = merge->heap[0];
	s = &merge->streams[index];
	*call = s->next;
	call->stream = index;
	if (call->name) {	/* the stream's own text moves on */
		static char name[NAME_BYTES];

		memcpy(name, s->name, sizeof name);
		call->name = name;
	}
	if (advance(merge, s, err) < 0)
		return -1;
	call->cut = s->ended;
	call->last = s->ended || s->next.kind == RH_REC_START;
	if (s->ended)
		merge->heap[0] = merge->heap[--merge->heap_count];
	if (merge->heap_count)
		sift(merge, 0);
	return 1;
}

const struct rh_call *rh_merge_peek(const struct rh_merge *merge, uint32_t stream)
{
	const struct stream *s = &merge->streams[stream];

	return s->ended ? NULL : &s->next;
}

uint32_t rh_merge_streams(const struct rh_merge *merge)
{
	return merge->stream_count;
}

/* ---- opening ---- */

static int by_ring(const void *a, const void *b)
{
	const struct rh_chunk *x = *(const struct rh_chunk *const *)a;
	const struct rh_chunk *y = *(const struct rh_chunk *const *)b;

	if (x->ring != y->ring)
		return x->ring < y->ring ? -1 : 1;
	return x->offset < y->offset ? -1 : x->offset > y->offset;
}

/* Sorts the image's chunks by ring and counts the rings. */
static size_t gather(struct rh_merge *merge, uint32_t image)
{
	const struct rh_capture *capture = merge->capture;
	size_t count = 0;

	for (size_t i = capture->first; i < capture->count; i++)
		if (capture->chunks[i].image == image)
			merge->chunks[count++] = &capture->chunks[i];
	qsort(merge->chunks, count, sizeof *merge->chunks, by_ring);
	for (size_t i = 0; i < count; i++)
		merge->stream_count += i == 0 ||
				       merge->chunks[i]->ring != merge->chunks[i - 1]->ring;
	return count;
}

static void make_streams(struct rh_merge *merge, size_t count)
{
	struct stream *s = NULL;

	for (size_t i = 0; i < count; i++) {
		if (i == 0 || merge->chunks[i]->ring != merge->chunks[i - 1]->ring) {
			s = s ? s + 1 : merge->streams;
			s->chunks = &merge->chunks[i];
			s->buffer = merge->buffers +
				    (size_t)(s - merge->streams) * merge->buffer_words;
		}
		s->chunk_count++;
	}
}

static int start_streams(struct rh_merge *merge, struct rh_err *err)
{
	for (uint32_t i = 0; i < merge->stream_count; i++) {
		chunk_begins(&merge->streams[i]);
		if (advance(merge, &merge->streams[i], err) < 0)
			return -1;
		if (!merge->streams[i].ended)
			merge->heap[merge->heap_count++] = i;
	}
	for (uint32_t i = merge->heap_count / 2; i-- > 0;)
		sift(merge, i);
	return 0;
}

int rh_merge_open(struct rh_merge **result, const struct rh_capture *capture, uint32_t image,
		  struct rh_err *err)
{
	struct rh_merge *merge = calloc(1, sizeof *merge);
	size_t count, k;

	*result = merge;
	if (!merge)
		goto none;
	merge->capture = capture;
	merge->chunks = malloc((capture->count - capture->first + 1) * sizeof *merge->chunks);
	if (!merge->chunks)
		goto none;
	count = gather(merge, image);
	k = merge->stream_count ? merge->stream_count : 1;
	merge->buffer_words = (uint32_t)(BUFFERS_BYTES / sizeof(uint64_t) / k);
	if (merge->buffer_words > BUFFER_MAX)
		merge->buffer_words = BUFFER_MAX;
	if (merge->buffer_words < BUFFER_MIN)
		merge->buffer_words = BUFFER_MIN;
	merge->streams = calloc(k, sizeof *merge->streams);
	merge->heap = calloc(k, sizeof *merge->heap);
	merge->buffers = malloc(k * merge->buffer_words * sizeof *merge->buffers);
	if (!merge->streams || !merge->heap || !merge->buffers)
		goto none;
	make_streams(merge, count);
	if (start_streams(merge, err) == 0)
		return 0;
	rh_merge_close(merge);
	*result = NULL;
	return -1;
none:
	rh_merge_close(merge);
	*result = NULL;
	return rh_fail(err, RH_OS, "no memory to merge the threads of the recording");
}

void rh_merge_close(struct rh_merge *merge)
{
	if (!merge)
		return;
	free(merge->chunks);
	free(merge->streams);
	free(merge->heap);
	free(merge->buffers);
	free(merge);
}
