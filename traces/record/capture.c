/*
 * capture.c - a file of frames and the index of its chunks.
 *
 * write(2) from warm pages costs 0.33 ns a byte here; windows of a mapped file cost five times
 * that in page faults, so nothing is mapped. A frame's head is written together with its
 * records, so only the last frame can be torn.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "traces/record/capture.h"
#include "alloc/base/grow.h"

enum { BLOCK = 4096, NAMES = 1000, PIECES = 2 };
#define DATA_AT	    (1024 * 1024u)
#define FRAME_MAGIC 0x6d617266u /* "fram" */
static const char head_magic[8] = "RHCAPT\2\n";
_Static_assert(sizeof(struct rh_capture_head) <= BLOCK, "the first block");

struct frame {
	uint32_t magic, kind;
	uint64_t bytes; /* that follow */
	struct rh_chunk chunk;
};

/* A name that does not exist yet: we must not overwrite what another recorder left. */
static int open_named(struct rh_capture *capture, const char *beside)
{
	int fd = -1;

	for (int i = 1; i < NAMES && fd < 0; i++) {
		int got =
			i == 1 ? snprintf(capture->path, sizeof capture->path, "%s.capture", beside)
			       : snprintf(capture->path, sizeof capture->path, "%s.capture.%d",
					  beside, i);

		if (got >= (int)sizeof capture->path) {
			errno = ENAMETOOLONG;
			return -1;
		}
		fd = open(capture->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		if (fd < 0 && errno != EEXIST)
			return -1;
	}
	return fd;
}

int rh_capture_put_head(const struct rh_capture *capture, struct rh_err *err)
{
	if (pwrite(capture->fd, &capture->head, sizeof capture->head, 0) !=
	    (ssize_t)sizeof capture->head)
		return rh_fail_errno(err, RH_IO, "%s: its head cannot be written", capture->path);
	return 0;
}

/* What is used up, and not what is wrong with the name. */
static bool used_up(int error)
{
	return error == EMFILE || error == ENFILE || error == ENOMEM || error == ENOSPC ||
	       error == EDQUOT;
}

int rh_capture_open(struct rh_capture *capture, const char *beside, struct rh_err *err)
{
	struct stat st;

	memset(capture, 0, sizeof *capture);
	capture->fd = -1;
	/* Else it would be known when the program has run, and the trace is due. */
	if (stat(beside, &st) == 0 && S_ISDIR(st.st_mode))
		return rh_fail(err, RH_CANT_CREATE, "%s is a directory, not a file", beside);
	capture->fd = open_named(capture, beside);
	if (capture->fd < 0)
		return rh_fail_errno(err, used_up(errno) ? RH_OS : RH_CANT_CREATE,
				     "%s: no capture can be made there", capture->path);
	(void)flock(capture->fd, LOCK_EX | LOCK_NB);
	(void)fallocate(capture->fd, 0, 0, DATA_AT); /* a reserve, if the disk has room */
	memcpy(capture->head.magic, head_magic, sizeof head_magic);
	capture->head.head_bytes = sizeof capture->head;
	capture->head.first = DATA_AT;
	capture->head.recorder = (int32_t)getpid();
	snprintf(capture->head.out, sizeof capture->head.out, "%s", beside);
	capture->bytes = DATA_AT;
	return 0;
}

void rh_capture_give_reserve(const struct rh_capture *capture)
{
	(void)fallocate(capture->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, BLOCK,
			DATA_AT - BLOCK);
}

static int reserve(struct rh_capture *capture, struct rh_err *err)
{
	return rh_reserve(&capture->chunks, &capture->room, capture->count + 1,
			  sizeof *capture->chunks)
		       ? 0
		       : rh_no_memory(err, "the index of chunks");
}

static int write_pieces(struct rh_capture *capture, struct iovec *piece, struct rh_err *err)
{
	uint64_t at = capture->bytes;
	ssize_t put;
	int i = 0;

	while (i < PIECES) {
		if (piece[i].iov_len == 0) {
			i++;
			continue;
		}
		put = pwritev(capture->fd, piece + i, PIECES - i, (off_t)at);
		if (put < 0 && errno == EINTR)
			continue;
		if (put <= 0)
			return rh_fail_errno(err, RH_IO, "the capture cannot grow past %llu bytes",
					     (unsigned long long)at);
		at += (uint64_t)put;
		for (; i < PIECES && (size_t)put >= piece[i].iov_len; i++)
			put -= (ssize_t)piece[i].iov_len;
		if (i < PIECES) {
			piece[i].iov_base = (char *)piece[i].iov_base + put;
			piece[i].iov_len -= (size_t)put;
		}
	}
	capture->bytes = at;
	return 0;
}

static int index_chunk(struct rh_capture *capture, const struct rh_chunk *chunk, struct rh_err *err)
{
	if (reserve(capture, err) < 0)
		return -1;
	capture->chunks[capture->count++] = *chunk;
	capture->kept_bytes += chunk->words * sizeof(uint64_t);
	capture->kept_events += chunk->events;
	return 0;
}

int rh_capture_add(struct rh_capture *capture, struct rh_chunk *chunk, const uint64_t *words,
		   size_t count, struct rh_err *err)
{
	struct frame frame = { .magic = FRAME_MAGIC,
			       .kind = RH_FRAME_CHUNK,
			       .bytes = count * sizeof *words };
	struct iovec piece[PIECES] = {
		{ &frame, sizeof frame },
		{ (void *)(uintptr_t)words, count * sizeof *words },
	};

	if (reserve(capture, err) < 0)
		return -1;
	chunk->offset = capture->bytes + sizeof frame;
	chunk->words = (uint32_t)count;
	frame.chunk = *chunk;
	if (write_pieces(capture, piece, err) < 0)
		return -1;
	return index_chunk(capture, chunk, err);
}

int rh_capture_add_frame(struct rh_capture *capture, enum rh_frame_kind kind,
			 struct rh_frame_data data, struct rh_err *err)
{
	struct frame frame = { .magic = FRAME_MAGIC, .kind = kind, .bytes = data.bytes };
	struct iovec piece[PIECES] = {
		{ &frame, sizeof frame },
		{ (void *)(uintptr_t)data.data, data.bytes },
	};

	assert(kind != RH_FRAME_CHUNK && data.bytes <= RH_CAPTURE_FRAME_MOST);
	return write_pieces(capture, piece, err);
}

/* ---- a capture left by a dead recorder ---- */

static int open_left(struct rh_capture *capture, const char *path, struct rh_err *err)
{
	struct rh_capture_head *head = &capture->head;

	memset(capture, 0, sizeof *capture);
	capture->keep = true;
	snprintf(capture->path, sizeof capture->path, "%s", path);
	capture->fd = open(path, O_RDWR | O_CLOEXEC);
	if (capture->fd < 0)
		return rh_fail_errno(err, RH_NO_INPUT, "%s", path);
	if (pread(capture->fd, head, sizeof *head, 0) != (ssize_t)sizeof *head ||
	    memcmp(head->magic, head_magic, sizeof head_magic) != 0 ||
	    head->head_bytes != sizeof *head ||
	    !(head->ns_per_tick > 0 && head->ns_per_tick < 1e9) || head->first < DATA_AT)
		return rh_fail(err, RH_BAD_DATA, "%s: no capture of this version of reheap record",
			       path);
	head->out[sizeof head->out - 1] = '\0';
	if (flock(capture->fd, LOCK_EX | LOCK_NB) < 0)
		return rh_fail(err, RH_NO_INPUT,
			       "%s: its recorder, process %d, still runs; end that, and it writes "
			       "the trace itself",
			       path, head->recorder);
	return 0;
}

/* One frame: 1 = taken, 0 = the end or torn, -1 = error. */
static int take_frame(struct rh_capture *capture, uint64_t end,
		      const struct rh_capture_visit *visit, struct rh_err *err)
{
	static char data[RH_CAPTURE_FRAME_MOST];
	struct frame frame;
	uint64_t at = capture->bytes;

	if (pread(capture->fd, &frame, sizeof frame, (off_t)at) != (ssize_t)sizeof frame ||
	    frame.magic != FRAME_MAGIC || frame.bytes > end - at - sizeof frame)
		return 0;
	if (frame.kind != RH_FRAME_CHUNK && frame.kind <= RH_FRAME_END) {
		if (frame.bytes > sizeof data ||
		    pread(capture->fd, data, frame.bytes, (off_t)(at + sizeof frame)) !=
			    (ssize_t)frame.bytes)
			return 0;
		if (visit->frame(visit->data, frame.kind,
				 (struct rh_frame_data){ data, frame.bytes }, err) < 0)
			return -1;
	} else if (frame.kind == RH_FRAME_CHUNK && frame.chunk.offset == at + sizeof frame &&
		   frame.chunk.words * sizeof(uint64_t) == frame.bytes &&
		   frame.chunk.ring < RH_RINGS) {
		if (index_chunk(capture, &frame.chunk, err) < 0)
			return -1;
	} else {
		return 0;
	}
	capture->bytes = at + sizeof frame + frame.bytes;
	return 1;
}

int rh_capture_recover(struct rh_capture *capture, const char *path,
		       const struct rh_capture_visit *visit, struct rh_err *err)
{
	struct stat st;
	int more;

	if (open_left(capture, path, err) < 0)
		return -1;
	if (fstat(capture->fd, &st) < 0)
		return rh_fail_errno(err, RH_IO, "%s", path);
	capture->bytes = capture->head.first;
	do
		more = take_frame(capture, (uint64_t)st.st_size, visit, err);
	while (more > 0);
	return more;
}

/* Only whole blocks: the edges may belong to neighbours. */
static void give_back(const struct rh_capture *capture, const struct rh_chunk *chunk)
{
	uint64_t from = (chunk->offset + BLOCK - 1) / BLOCK * BLOCK;
	uint64_t to = (chunk->offset + chunk->words * sizeof(uint64_t)) / BLOCK * BLOCK;

	if (to > from)
		(void)fallocate(capture->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				(off_t)from, (off_t)(to - from));
}

void rh_capture_forget(const struct rh_capture *capture, const struct rh_chunk *chunk)
{
	if (!capture->keep && !capture->whole)
		give_back(capture, chunk);
}

void rh_capture_release(struct rh_capture *capture, size_t index)
{
	struct rh_chunk *chunk = &capture->chunks[index];

	if (!chunk->words)
		return;
	give_back(capture, chunk);
	capture->kept_bytes -= chunk->words * sizeof(uint64_t);
	capture->kept_events -= chunk->events;
	chunk->words = 0;
}

size_t rh_capture_compact(struct rh_capture *capture, size_t end)
{
	size_t to = capture->first, gone = 0;

	for (size_t i = capture->first; i < capture->count; i++) {
		if (capture->chunks[i].words)
			capture->chunks[to++] = capture->chunks[i];
		else
			gone += i < end;
	}
	capture->count = to;
	return gone;
}

static bool may_go(const struct rh_capture *capture, const struct rh_chunk *chunk, uint64_t events,
		   uint64_t bytes)
{
	if (events && capture->kept_events - chunk->events >= events)
		return true;
	return bytes && capture->kept_bytes - chunk->words * sizeof(uint64_t) >= bytes;
}

void rh_capture_keep_last(struct rh_capture *capture, uint64_t events, uint64_t bytes)
{
	size_t first = capture->first;
	struct rh_err err = { 0 };

	while (capture->first < capture->count) {
		struct rh_chunk *chunk = &capture->chunks[capture->first];

		if (!may_go(capture, chunk, events, bytes))
			break;
		capture->kept_events -= chunk->events;
		capture->kept_bytes -= chunk->words * sizeof(uint64_t);
		capture->given_up_events += chunk->events;
		capture->head.first = chunk->offset + chunk->words * sizeof(uint64_t);
		capture->first++;
	}
	if (capture->first > first && rh_capture_put_head(capture, &err) == 0)
		for (size_t i = first; i < capture->first; i++)
			give_back(capture, &capture->chunks[i]);
	if (capture->first > 4096 && capture->first > capture->count / 2) {
		memmove(capture->chunks, capture->chunks + capture->first,
			(capture->count - capture->first) * sizeof *capture->chunks);
		capture->count -= capture->first;
		capture->first = 0;
	}
}

int rh_capture_read(const struct rh_capture *capture, const struct rh_chunk *chunk,
		    struct rh_chunk_part part, uint64_t *into, struct rh_err *err)
{
	size_t want = part.count * sizeof *into, have = 0;
	uint64_t at = chunk->offset + part.from * sizeof *into;
	ssize_t got;

	while (have < want) {
		got = pread(capture->fd, (char *)into + have, want - have, (off_t)(at + have));
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return rh_fail_errno(err, RH_IO, "the capture cannot be read at byte %llu",
					     (unsigned long long)(at + have));
		have += (size_t)got;
	}
	return 0;
}

void rh_capture_close(struct rh_capture *capture)
{
	if (capture->path[0] && !capture->keep)
		unlink(capture->path);
	if (capture->fd >= 0)
		close(capture->fd);
	free(capture->chunks);
	memset(capture, 0, sizeof *capture);
	capture->fd = -1;
}
