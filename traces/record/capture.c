/*
 * capture.c - an unnamed file of chunks and its index.
 *
 * write(2) from the rings' warm pages costs 0.33 ns a byte here; windows of a mapped
 * file cost five times that in page faults, which is why nothing is mapped.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "traces/record/capture.h"

enum { BLOCK = 4096 };

/* Directories whose file system has no O_TMPFILE get a name that is removed at once. */
static int open_unnamed(const char *directory)
{
	char name[4200];
	size_t bytes = strlen(directory);
	int fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	if (fd >= 0 || bytes + 32 > sizeof name)
		return fd;
	memcpy(name, directory, bytes);
	memcpy(name + bytes, "/.reheap-capture-XXXXXX", sizeof "/.reheap-capture-XXXXXX");
	fd = mkostemp(name, O_CLOEXEC);
	if (fd >= 0)
		unlink(name);
	return fd;
}

int rh_capture_open(struct rh_capture *capture, const char *beside, struct rh_err *err)
{
	char directory[4096] = ".";
	const char *slash = strrchr(beside, '/');
	size_t bytes = slash ? (size_t)(slash - beside) : 0;

	memset(capture, 0, sizeof *capture);
	if (bytes >= sizeof directory)
		return rh_fail(err, RH_CANT_CREATE, "%.80s...: the path is too long", beside);
	if (slash) {
		memcpy(directory, beside, bytes);
		directory[bytes] = '\0';
		if (bytes == 0)
			memcpy(directory, "/", 2);
	}
	capture->fd = open_unnamed(directory);
	if (capture->fd < 0)
		return rh_fail_errno(err, RH_CANT_CREATE, "%s: no capture can be made there",
				     directory);
	return 0;
}

static int reserve(struct rh_capture *capture, struct rh_err *err)
{
	struct rh_chunk *grown;
	size_t room;

	if (capture->count < capture->room)
		return 0;
	room = capture->room ? capture->room * 2 : 1024;
	grown = realloc(capture->chunks, room * sizeof *grown);
	if (!grown)
		return rh_fail(err, RH_OS, "no memory for the index of %zu chunks", room);
	capture->chunks = grown;
	capture->room = room;
	return 0;
}

static int write_pieces(struct rh_capture *capture, struct iovec *piece, struct rh_err *err)
{
	uint64_t at = capture->bytes;
	ssize_t put;
	int i = 0;

	while (i < 2) {
		if (piece[i].iov_len == 0) {
			i++;
			continue;
		}
		put = pwritev(capture->fd, piece + i, 2 - i, (off_t)at);
		if (put < 0 && errno == EINTR)
			continue;
		if (put <= 0)
			return rh_fail_errno(err, RH_IO, "the capture cannot grow past %llu bytes",
					     (unsigned long long)at);
		at += (uint64_t)put;
		for (; i < 2 && (size_t)put >= piece[i].iov_len; i++)
			put -= (ssize_t)piece[i].iov_len;
		if (i < 2) {
			piece[i].iov_base = (char *)piece[i].iov_base + put;
			piece[i].iov_len -= (size_t)put;
		}
	}
	capture->bytes = at;
	return 0;
}

int rh_capture_add(struct rh_capture *capture, struct rh_chunk *chunk, const uint64_t *one,
		   size_t one_count, const uint64_t *two, size_t two_count,
		   struct rh_err *err)
{
	struct iovec piece[2] = {
		{ (void *)(uintptr_t)one, one_count * sizeof *one },
		{ (void *)(uintptr_t)two, two_count * sizeof *two },
	};

	if (reserve(capture, err) < 0)
		return -1;
	chunk->offset = capture->bytes;
	chunk->words = (uint32_t)(one_count + two_count);
	if (write_pieces(capture, piece, err) < 0)
		return -1;
	capture->chunks[capture->count++] = *chunk;
	capture->kept_bytes += chunk->words * sizeof *one;
	capture->kept_events += chunk->events;
	return 0;
}

/* Only whole blocks: the edges may belong to neighbours. */
void rh_capture_forget(const struct rh_capture *capture, const struct rh_chunk *chunk)
{
	uint64_t from = (chunk->offset + BLOCK - 1) / BLOCK * BLOCK;
	uint64_t to = (chunk->offset + chunk->words * sizeof(uint64_t)) / BLOCK * BLOCK;

	if (to > from)
		(void)fallocate(capture->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				(off_t)from, (off_t)(to - from));
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
	while (capture->first < capture->count) {
		struct rh_chunk *chunk = &capture->chunks[capture->first];

		if (!may_go(capture, chunk, events, bytes))
			break;
		capture->kept_events -= chunk->events;
		capture->kept_bytes -= chunk->words * sizeof(uint64_t);
		capture->given_up_events += chunk->events;
		rh_capture_forget(capture, chunk);
		capture->first++;
	}
	if (capture->first > 4096 && capture->first > capture->count / 2) {
		memmove(capture->chunks, capture->chunks + capture->first,
			(capture->count - capture->first) * sizeof *capture->chunks);
		capture->count -= capture->first;
		capture->first = 0;
	}
}

int rh_capture_read(const struct rh_capture *capture, const struct rh_chunk *chunk, size_t from,
		    uint64_t *into, size_t count, struct rh_err *err)
{
	size_t want = count * sizeof *into, have = 0;
	uint64_t at = chunk->offset + from * sizeof *into;
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
	if (capture->fd >= 0)
		close(capture->fd);
	free(capture->chunks);
	memset(capture, 0, sizeof *capture);
	capture->fd = -1;
}
