/*
 * read.c - the public side of reading: opens a file or stdin, finds out its form, hands
 * out events, totals, notes and names. read_binary.c and read_text.c do the work.
 */
#include "traces/format/read.h"
#include "alloc/base/wrapping.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "traces/format/huge_alloc.h"

/* The offset is counted here, so that it is right for pipes too, where nobody can ask
 * the file. */
static long read_some(struct rh_trace *trace, void *to, size_t bytes, struct rh_err *err)
{
	ssize_t count;

	do
		count = read(trace->fd, to, bytes);
	while (count < 0 && errno == EINTR);
	if (count < 0)
		return rh_fail_errno(err, RH_IO, "%s cannot be read at byte %llu", trace->path,
				     (unsigned long long)trace->offset);
	trace->offset += (uint64_t)count;
	return count;
}

/* A pipe returns less than was asked for, 64 KiB at most: reading goes on until the
 * end, so that a short count means the end and nothing else. */
long rh_read_bytes(struct rh_trace *trace, void *to, size_t bytes, struct rh_err *err)
{
	size_t ready = trace->buffer_end - trace->buffer_at;
	size_t done = ready < bytes ? ready : bytes;

	assert(trace->buffer_at <= trace->buffer_end);
	memcpy(to, trace->buffer + trace->buffer_at, done);
	trace->buffer_at += done;
	while (done < bytes) {
		long count = read_some(trace, (char *)to + done, bytes - done, err);

		if (count < 0)
			return -1;
		if (count == 0)
			break;
		done += (size_t)count;
	}
	assert(done <= bytes);
	return (long)done;
}

/* For the binary form, whose events have a number and no line. */
int rh_read_refused(struct rh_trace *trace, const struct rh_event *event, struct rh_err *err)
{
	assert(trace->order.why[0]); /* whoever refuses says why */
	return rh_fail(
		/* The number is that of the refused event, counted from 0:
		 * totals.events were good before it. */
		err, trace->order.no_memory ? RH_OS : RH_BAD_DATA, "%s: event %llu (%s) %s: %s",
		trace->path, (unsigned long long)trace->order.totals.events,
		/* The kind may be what is wrong. */
		event->kind < RH_EV_COUNT ? rh_event_rows[event->kind].word : "?",
		trace->order.no_memory ? "cannot be read" : "is not legal", trace->order.why);
}

/* Fails with the file still open: rh_trace_open closes it with all the rest. */
static int open_file(struct rh_trace *trace, const char *path, struct rh_err *err)
{
	struct stat st;

	if (strlen(path) >= sizeof(trace->path))
		return rh_fail(err, RH_NO_INPUT, "the path of the trace is longer than 4095 bytes");
	memcpy(trace->path, path, strlen(path) + 1);
	if (strcmp(path, "-") == 0) {
		trace->fd = STDIN_FILENO;
		memcpy(trace->path, "standard input", sizeof("standard input"));
		/* A pipe has no size that could bound the living objects. */
		rh_huge_of_file(UINT64_MAX);
		return 0;
	}
	/* CLOEXEC: the driver starts workers while traces are open. */
	trace->fd = open(path, O_RDONLY | O_CLOEXEC);
	if (trace->fd < 0)
		return rh_fail_errno(err, RH_NO_INPUT, "%s cannot be opened", path);
	/* open succeeds on a directory and read fails with a message that does not
	 * say why. */
	if (fstat(trace->fd, &st) == 0 && S_ISDIR(st.st_mode))
		return rh_fail(err, RH_NO_INPUT, "%s is a directory, not a trace", path);
	/* Only a regular file can be read twice; lseek succeeds on terminals and some
	 * devices, too. */
	trace->can_seek = S_ISREG(st.st_mode);
	rh_huge_of_file(trace->can_seek ? (uint64_t)st.st_size : UINT64_MAX);
	return 0;
}

/* The first bytes, put back for whoever reads on. */
static int look(struct rh_trace *trace, struct rh_err *err)
{
	const char *wrapping;
	long bytes;

	trace->buffer = malloc(RH_READ_BUFFER_BYTES);
	if (!trace->buffer)
		return rh_fail(err, RH_OS, "%s cannot be read: memory ran out", trace->path);
	/* 24 bytes and not a buffer full: a binary trace reads on past them straight
	 * into its blocks. */
	bytes = rh_read_bytes(trace, trace->buffer, RH_HEAD_BYTES, err);
	if (bytes < 0)
		return -1;
	if (bytes == 0)
		return rh_fail(err, RH_BAD_DATA, "%s is empty, not a trace", trace->path);
	trace->buffer_at = 0;
	trace->buffer_end = (size_t)bytes;
	assert(trace->buffer_end <= RH_READ_BUFFER_BYTES);
	/* One byte decides: no text begins with the first byte of the magic. */
	trace->is_text = (unsigned char)trace->buffer[0] != rh_magic[0];
	wrapping = trace->is_text ? rh_wrapping_of(trace->buffer, trace->buffer_end) : NULL;
	if (wrapping)
		return rh_fail(err, RH_BAD_DATA, "%s is %s", trace->path, wrapping);
	/* The byte order mark of an editor. */
	if (bytes >= 3 && memcmp(trace->buffer, "\xef\xbb\xbf", 3) == 0)
		trace->buffer_at = 3;
	return 0;
}

/* The struct is zeroed, so closing is right however far opening came. */
int rh_trace_open(struct rh_trace **result, const char *path, struct rh_err *err)
{
	struct rh_trace *trace = calloc(1, sizeof(*trace));
	int rc;

	*result = NULL;
	if (!trace)
		return rh_fail(err, RH_OS, "%s cannot be read: memory ran out", path);
	/* So that closing after a failure does not close stdin, which is 0. */
	trace->fd = -1;
	trace->index_offset = UINT64_MAX;
	rc = open_file(trace, path, err);
	if (rc == 0)
		rc = look(trace, err);
	if (rc == 0)
		rc = trace->is_text ? rh_text_open(trace, err) : rh_binary_open(trace, err);
	if (rc < 0) {
		rh_trace_close(trace);
		return -1;
	}
	*result = trace;
	return 0;
}

int rh_trace_spare(const char *path, struct rh_err *err)
{
	static const char word[] = "reheap-trace ";
	char head[sizeof(word) - 1] = "";
	struct stat st;
	ssize_t bytes;
	int fd;

	/* A pipe would wait for its writer. */
	if (strcmp(path, "-") == 0 || stat(path, &st) < 0 || !S_ISREG(st.st_mode))
		return 0;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	bytes = read(fd, head, sizeof(head));
	close(fd);
	/* Whatever is no trace may be overwritten: this guards a trace whose path
	 * was given for the output by mistake. */
	if (bytes < (ssize_t)sizeof(head) || (memcmp(head, rh_magic, sizeof(rh_magic)) != 0 &&
					      memcmp(head, word, sizeof(head)) != 0))
		return 0;
	return rh_fail(
		err, RH_USAGE,
		"%s is a trace, and what would be written over it is none: name another file",
		path);
}

/* For commands that read twice: they refuse a pipe before they have consumed it. */
bool rh_trace_can_seek(const struct rh_trace *trace)
{
	return trace->can_seek;
}

int rh_trace_next(struct rh_trace *trace, struct rh_event *batch, size_t cap, struct rh_err *err)
{
	long count;

	/* A damaged trace stays damaged: without this, reading on would decode from
	 * the middle of a block. */
	if (trace->failure.code)
		return rh_fail(err, trace->failure.code, "%s", trace->failure.text);
	if (trace->ended || cap == 0)
		return 0;
	if (cap > INT32_MAX)
		cap = INT32_MAX;
	count = trace->is_text ? rh_text_next(trace, batch, cap, &trace->failure)
			       : rh_binary_next(trace, batch, cap, &trace->failure);
	assert(count >= 0 ? (size_t)count <= cap : trace->failure.code != RH_OK);
	if (count < 0)
		return rh_fail(err, trace->failure.code, "%s", trace->failure.text);
	return (int)count;
}

const char *rh_trace_truncated(const struct rh_trace *trace)
{
	return trace->truncated[0] ? trace->truncated : NULL;
}

unsigned rh_trace_columns(const struct rh_trace *trace)
{
	return trace->columns;
}

void rh_trace_totals(const struct rh_trace *trace, struct rh_trace_totals *totals, bool *exact)
{
	/* The index is a promise of the file until the end is reached, where it is
	 * compared with what was counted (read_binary.c). */
	*totals = trace->have_index ? trace->totals_index : trace->order.totals;
	if (exact)
		*exact = trace->have_index || trace->ended;
}

const struct rh_note *rh_trace_note(const struct rh_trace *trace, size_t index)
{
	return index < trace->names.note_count ? trace->names.notes[index] : NULL;
}

const struct rh_names *rh_trace_names(const struct rh_trace *trace)
{
	return &trace->names;
}

/* A walk: a trace has some tens of notes, and each is asked for once. */
const char *rh_trace_note_of(const struct rh_trace *trace, const char *key)
{
	for (size_t i = 0; i < trace->names.note_count; i++)
		if (strcmp(trace->names.notes[i]->key, key) == 0)
			return trace->names.notes[i]->value;
	return NULL;
}

const char *rh_trace_site(const struct rh_trace *trace, uint32_t site)
{
	return rh_names_site_of(&trace->names, site);
}

const char *rh_trace_site_at(const struct rh_trace *trace, size_t index, uint32_t *site)
{
	if (index >= trace->names.site_count)
		return NULL;
	*site = trace->names.sites[index].site;
	return trace->names.sites[index].name;
}

void rh_trace_close(struct rh_trace *trace)
{
	if (!trace)
		return;
	/* stdin is the caller's. */
	if (trace->fd > STDIN_FILENO)
		close(trace->fd);
	rh_binary_close(trace);
	rh_order_close(&trace->order);
	rh_names_close(&trace->names);
	free(trace->buffer);
	free(trace->line);
	free(trace);
}
