/*
 * merge.c - see merge.h. The path of a record:
 *
 *	1. chunk -> the stream's buffer (pread, one piece at a time; the disk space of a chunk
 *	   that has been read is released, so that a full disk has room for the trace);
 *	2. decode: BASE, WIDE, SITE, NAME and TEXT change the stream's state, all others
 *	   become its `next` call;
 *	3. a heap over the streams' next stamps picks the earliest; while it stays the
 *	   earliest, as in a program with one busy thread, the heap is not touched.
 */
#include <stdlib.h>
#include <string.h>

#include "traces/record/merger.h"
#include "alloc/base/grow.h"

enum {
	BUFFERS_BYTES = 64 << 20,
	BUFFER_MIN = 256,
	BUFFER_MAX = 32768,
	LIVE_MANY = 128, /* streams of a running program above which buffers are small */
	LIVE_BUFFER = 8192,
};

/* ---- reading ---- */

static void chunk_begins(struct rh_merged *s)
{
	const struct rh_chunk *chunk = &s->chunks[s->chunk];

	if (s->stamp < chunk->stamp)
		s->stamp = chunk->stamp;
	s->thread = chunk->thread;
	s->tid = chunk->tid;
	s->site = chunk->site;
	s->done = 0;
}

/* 1 = the buffer begins with a whole record, 0 = nothing is left, -1 = error. The rest of the
 *   buffer is the beginning of a long record and moves to the front. */
static int refill(struct rh_merge *merge, struct rh_merged *s, struct rh_err *err)
{
	const struct rh_chunk *chunk;
	uint32_t left, rest = s->have - s->at;

	if (s->chunk == s->chunk_count)
		return 0;
	chunk = &s->chunks[s->chunk];
	if (s->done == chunk->words) {
		if (!merge->keeps)
			rh_capture_forget(merge->capture, chunk);
		if (++s->chunk == s->chunk_count)
			return 0;
		chunk = &s->chunks[s->chunk];
		chunk_begins(s);
		rest = 0;
	}
	memmove(s->buffer, s->buffer + s->at, rest * sizeof *s->buffer);
	left = chunk->words - s->done;
	if (left > s->buffer_words - rest)
		left = s->buffer_words - rest;
	s->have = rest + left;
	s->at = 0;
	if (rh_capture_read(merge->capture, chunk, (struct rh_chunk_part){ s->done, left },
			    s->buffer + rest, err) < 0)
		return -1;
	s->done += left;
	return 1;
}

static bool has_whole(const struct rh_merged *s)
{
	return s->at < s->have && s->have - s->at >= rh_rec_words(s->buffer[s->at]);
}

static void add_text(struct rh_merged *s, const struct rh_rec *rec)
{
	if (s->name_bytes + 16 >= RH_MERGE_NAME_BYTES)
		return;
	memcpy(s->name + s->name_bytes, &rec->address, 8);
	memcpy(s->name + s->name_bytes + 8, &rec->tail, 8);
	s->name_bytes += 16;
	s->name[s->name_bytes] = '\0';
}

/* Records that only change the meaning of later ones. */
static bool take_state(struct rh_merged *s, const struct rh_rec *rec)
{
	switch (rec->kind) {
	case RH_REC_STAMP:
		if (s->stamp < rec->tail)
			s->stamp = rec->tail;
		return true;
	case RH_REC_SITE:
		s->site = (uint32_t)rec->tail;
		return true;
	case RH_REC_SIZED:
		s->sized = rec->tail;
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
	case RH_REC_USABLE:
	case RH_REC_RE_BORN:
	case RH_REC_NEW:
		return false;
	default:
		return rec->kind <= RH_REC_LONG || rec->kind >= RH_REC_KINDS;
	}
}

static void decode(struct rh_merged *s, const struct rh_rec *rec)
{
	struct rh_call *call = &s->next;

	if (rec->kind == RH_REC_START) {
		s->thread = (uint32_t)(rec->tail >> 32);
		s->tid = (uint32_t)rec->tail;
		s->site = 0;
	}
	call->stamp = s->stamp;
	call->kind = rh_rec_is_birth(rec->kind)		 ? RH_REC_ALLOC
		     : rec->kind == RH_REC_FREE_RESIDENT ? RH_REC_FREE
							 : rec->kind;
	call->how = rec->kind;
	call->address = rec->address;
	call->size = rec->tail;
	call->thread = s->thread;
	call->tid = s->tid;
	call->site = s->site;
	call->align_log2 = rec->align_log2;
	call->resident = rec->kind == RH_REC_FREE_RESIDENT;
	call->sized = false;
	call->last = call->cut = false;
	call->name = NULL;
	if (call->kind == RH_REC_FREE) {
		uint64_t given = call->resident ? s->sized : rec->tail;

		call->sized = given != 0;
		call->given = given - 1;
		s->sized = 0;
	}
}

/* A name is complete when anything but TEXT follows it. */
static bool name_ready(struct rh_merged *s, unsigned kind)
{
	if (!s->naming || kind == RH_REC_TEXT)
		return false;
	s->naming = s->next_is_word = false;
	s->next = (struct rh_call){ .kind = RH_REC_NAME,
				    .stamp = s->stamp,
				    .thread = s->thread,
				    .tid = s->tid,
				    .site = s->name_site,
				    .name = s->name };
	return true;
}

/* Fills s->next, or sets ended. */
static int advance(struct rh_merge *merge, struct rh_merged *s, struct rh_err *err)
{
	for (;;) {
		struct rh_rec rec;

		while (!has_whole(s)) {
			int more = refill(merge, s, err);

			if (more < 0)
				return -1;
			if (more == 0) {
				s->ended = merge->live || !name_ready(s, RH_REC_KINDS);
				return 0;
			}
		}
		rh_rec_unpack(&s->buffer[s->at], &rec);
		if (name_ready(s, rec.kind))
			return 0;
		s->next_is_word = s->buffer[s->at] >> 60 < RH_REC_LONG;
		s->at += rh_rec_words(s->buffer[s->at]);
		if (take_state(s, &rec))
			continue;
		decode(s, &rec);
		return 0;
	}
}

/* ---- the heap: streams ordered by next stamp, ties by ring ---- */

static bool before(const struct rh_merge *merge, uint32_t a, uint32_t b)
{
	const struct rh_merged *x = &merge->streams[a], *y = &merge->streams[b];

	return x->next.stamp != y->next.stamp ? x->next.stamp < y->next.stamp : x->ring < y->ring;
}

static void sift(struct rh_merge *merge)
{
	uint32_t *heap = merge->heap, at = 0, moved = heap[0];

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

int rh_merge_step(struct rh_merge *merge, struct rh_err *err)
{
	struct rh_merged *s = &merge->streams[merge->heap[0]];

	if (advance(merge, s, err) < 0)
		return -1;
	if (s->ended)
		merge->heap[0] = merge->heap[--merge->heap_count];
	if (merge->heap_count)
		sift(merge);
	return 0;
}

int rh_merge_next(struct rh_merge *merge, struct rh_call *call, struct rh_err *err)
{
	struct rh_merged *s;
	uint32_t index;

	if (merge->heap_count == 0)
		return 0;
	index = merge->heap[0];
	s = &merge->streams[index];
	if (s->next.stamp >= merge->until)
		return 0;
	*call = s->next;
	call->stream = index;
	if (call->name) { /* the stream's own text will change */
		memcpy(merge->name, s->name, sizeof merge->name);
		call->name = merge->name;
	}
	if (rh_merge_step(merge, err) < 0)
		return -1;
	call->cut = s->ended && !merge->live;
	call->last = call->cut || (!s->ended && s->next.kind == RH_REC_START);
	return 1;
}

const struct rh_call *rh_merge_peek(const struct rh_merge *merge, uint32_t stream)
{
	const struct rh_merged *s = &merge->streams[stream];

	return s->ended ? NULL : &s->next;
}

uint64_t rh_merge_read_to(const struct rh_merge *merge)
{
	uint64_t first = merge->added_to;

	for (uint32_t i = 0; i < merge->stream_count; i++) {
		const struct rh_merged *s = &merge->streams[i];

		if (s->chunk < s->chunk_count && s->chunks[s->chunk].offset < first)
			first = s->chunks[s->chunk].offset;
	}
	return first;
}

uint32_t rh_merge_streams(const struct rh_merge *merge)
{
	return merge->stream_count;
}

/* ---- chunks ---- */

static bool more_streams(struct rh_merge *merge)
{
	uint32_t room = merge->stream_room ? merge->stream_room * 2 : 16;
	struct rh_merged *streams = realloc(merge->streams, room * sizeof *streams);
	uint32_t *heap;

	if (!streams)
		return false;
	merge->streams = streams;
	heap = realloc(merge->heap, room * sizeof *heap);
	if (!heap)
		return false;
	merge->heap = heap;
	memset(streams + merge->stream_room, 0, (room - merge->stream_room) * sizeof *streams);
	merge->stream_room = room;
	return true;
}

static struct rh_merged *stream_of(struct rh_merge *merge, uint32_t ring)
{
	uint32_t *known = &merge->of_ring[ring];
	struct rh_merged *s;

	if (*known)
		return &merge->streams[*known - 1];
	if (merge->stream_count == merge->stream_room && !more_streams(merge))
		return NULL;
	s = &merge->streams[merge->stream_count];
	s->ring = ring;
	s->ended = true;
	*known = ++merge->stream_count;
	return s;
}

/* Releases the space of the chunks that have been read so far. */
static bool room_for_chunk(struct rh_merged *s)
{

	if (s->chunk_count < s->chunk_room)
		return true;
	if (s->chunk > s->chunk_count / 2) {
		s->chunk_count -= s->chunk;
		memmove(s->chunks, s->chunks + s->chunk, s->chunk_count * sizeof *s->chunks);
		s->chunk = 0;
		return true;
	}
	return rh_reserve(&s->chunks, &s->chunk_room, s->chunk_count + 1, sizeof *s->chunks);
}

static const char memory_for[] = "merging the threads of the recording";

int rh_merge_add(struct rh_merge *merge, const struct rh_chunk *chunk, struct rh_err *err)
{
	struct rh_merged *s = stream_of(merge, chunk->ring);

	if (!s || !room_for_chunk(s))
		return rh_no_memory(err, memory_for);
	s->chunks[s->chunk_count++] = *chunk;
	if (merge->added_to <= chunk->offset)
		merge->added_to = chunk->offset + 1;
	return 0;
}

/* ---- turns ---- */

static bool has_buffer(struct rh_merge *merge, struct rh_merged *s)
{
	uint32_t words = merge->buffer_words;

	if (s->buffer)
		return true;
	if (!words)
		words = merge->stream_count > LIVE_MANY ? LIVE_BUFFER / 8 : LIVE_BUFFER;
	s->buffer = malloc(words * sizeof *s->buffer);
	s->buffer_words = words;
	return s->buffer != NULL;
}

/* A stream that had run empty continues; the first time, with its first chunk. */
static int wake(struct rh_merge *merge, uint32_t index, struct rh_err *err)
{
	struct rh_merged *s = &merge->streams[index];
	uint32_t at;

	if (s->chunk < s->chunk_count)
		chunk_begins(s);
	s->at = s->have = 0;
	if (!has_buffer(merge, s))
		return rh_no_memory(err, memory_for);
	s->ended = false;
	if (advance(merge, s, err) < 0)
		return -1;
	if (s->ended)
		return 0;
	for (at = merge->heap_count++; at && before(merge, index, merge->heap[(at - 1) / 2]);
	     at = (at - 1) / 2)
		merge->heap[at] = merge->heap[(at - 1) / 2];
	merge->heap[at] = index;
	return 0;
}

int rh_merge_turn(struct rh_merge *merge, uint64_t until, bool final, struct rh_err *err)
{
	merge->until = until;
	merge->live = !final;
	for (uint32_t i = 0; i < merge->stream_count; i++) {
		const struct rh_merged *s = &merge->streams[i];

		if (s->ended && (s->chunk < s->chunk_count || (final && s->naming)) &&
		    wake(merge, i, err) < 0)
			return -1;
	}
	return 0;
}

int rh_merge_begin(struct rh_merge **result, const struct rh_capture *capture, struct rh_err *err)
{
	struct rh_merge *merge = calloc(1, sizeof *merge);

	*result = merge;
	if (!merge)
		return rh_no_memory(err, memory_for);
	merge->capture = capture;
	merge->keeps = true;
	return 0;
}

int rh_merge_add_all(struct rh_merge *merge, uint32_t image, struct rh_err *err)
{
	const struct rh_capture *capture = merge->capture;
	uint32_t k;

	merge->keeps = false;
	for (size_t i = capture->first; i < capture->count; i++)
		if (capture->chunks[i].image == image &&
		    rh_merge_add(merge, &capture->chunks[i], err) < 0)
			return -1;
	k = merge->stream_count ? merge->stream_count : 1;
	merge->buffer_words = (uint32_t)(BUFFERS_BYTES / sizeof(uint64_t) / k);
	if (merge->buffer_words > BUFFER_MAX)
		merge->buffer_words = BUFFER_MAX;
	if (merge->buffer_words < BUFFER_MIN)
		merge->buffer_words = BUFFER_MIN;
	return 0;
}

int rh_merge_open(struct rh_merge **result, const struct rh_capture *capture, uint32_t image,
		  struct rh_err *err)
{
	if (rh_merge_begin(result, capture, err) == 0 &&
	    rh_merge_add_all(*result, image, err) == 0 &&
	    rh_merge_turn(*result, UINT64_MAX, true, err) == 0)
		return 0;
	rh_merge_close(*result);
	*result = NULL;
	return -1;
}

void rh_merge_close(struct rh_merge *merge)
{
	if (!merge)
		return;
	for (uint32_t i = 0; i < merge->stream_count; i++) {
		free(merge->streams[i].chunks);
		free(merge->streams[i].buffer);
	}
	free(merge->streams);
	free(merge->heap);
	free(merge);
}
