/*
 * input.c - bytes and lines of a foreign trace, whatever it is wrapped in.
 *
 * The path of a line: open(2) on the path (or descriptor 0 for "-") -> libarchive, which
 * peels gz, xz, zst, bz2 and lz4 and looks inside a zip or tar with one member -> one
 * buffer of ours, refilled in large pieces -> the line, ended in place by a NUL where its
 * newline stood.
 *
 * Invariants: the unread bytes are buffer[at, end); buffer has one byte more than it is
 * ever filled with, so that the last line can be ended too. A line never moves before the
 * next call. Memory is one buffer and libarchive's window, whatever the file's length.
 *
 * An archive with a second member is refused where it ends, not where it begins: to know
 * earlier would mean to read it twice, and stdin cannot be.
 */
#include "traces/import.h"

#include <archive.h>
#include <archive_entry.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	LINE_MAX_BYTES = 64 << 10,
	/* A refill moves at most one unfinished line; at 512 KiB that is under 1 % of the
	 * bytes for the lines of real traces (20 to 120 bytes). */
	BUFFER_BYTES = 512 << 10,
	FILE_BLOCK_BYTES = 256 << 10,
};

struct rh_input {
	struct archive *archive;
	char *buffer;
	size_t at, end;
	uint64_t line_number;
	uint64_t bytes_out;	/* unpacked so far, for messages about damage */
	int fd;
	bool ended;
	bool owns_fd;
	char path[4096];
};

static int open_path(struct rh_input *input, const char *path, struct rh_err *err)
{
	struct stat st;

	if (strlen(path) >= sizeof(input->path))
		return rh_fail(err, RH_NO_INPUT, "the path %.60s... is too long", path);
	if (strcmp(path, "-") == 0) {
		memcpy(input->path, "stdin", sizeof("stdin"));
		input->fd = STDIN_FILENO;
	} else {
		memcpy(input->path, path, strlen(path) + 1);
		input->fd = open(path, O_RDONLY | O_CLOEXEC);
		if (input->fd < 0)
			return rh_fail_errno(err, RH_NO_INPUT, "%s cannot be opened", path);
		input->owns_fd = true;
	}
	if (fstat(input->fd, &st) < 0)
		return rh_fail_errno(err, RH_NO_INPUT, "%s cannot be read", input->path);
	if (S_ISDIR(st.st_mode))
		return rh_fail(err, RH_NO_INPUT, "%s is a directory; name a trace file in it",
			       input->path);
	if (S_ISREG(st.st_mode) && st.st_size == 0)
		return rh_fail(err, RH_BAD_DATA, "%s is empty", input->path);
	return 0;
}

static int damaged(struct rh_input *input, struct rh_err *err)
{
	const char *why = archive_error_string(input->archive);
	int number = archive_errno(input->archive);

	/* libarchive hands read(2)'s errno on; its own complaints are about the data. */
	if (number == EIO || number == EISDIR || number == ENXIO)
		return rh_fail(err, RH_IO, "%s cannot be read after byte %llu: %s", input->path,
			       (unsigned long long)input->bytes_out, why ? why : "no reason given");
	return rh_fail(err, RH_BAD_DATA, "%s is damaged or cut off after unpacked byte %llu: %s",
		       input->path, (unsigned long long)input->bytes_out,
		       why ? why : "no reason given");
}

static int open_archive(struct rh_input *input, struct rh_err *err)
{
	struct archive *a = archive_read_new();
	struct archive_entry *entry;
	int result;

	input->archive = a;
	if (!a)
		return rh_fail(err, RH_OS, "no memory to read %s", input->path);
	/* Not every filter libarchive has: some (uu, lzma) take a text for their own. */
	archive_read_support_filter_gzip(a);
	archive_read_support_filter_bzip2(a);
	archive_read_support_filter_xz(a);
	archive_read_support_filter_zstd(a);
	archive_read_support_filter_lz4(a);
	archive_read_support_format_zip(a);
	archive_read_support_format_tar(a);
	archive_read_support_format_empty(a);
	archive_read_support_format_raw(a);
	if (archive_read_open_fd(a, input->fd, FILE_BLOCK_BYTES) != ARCHIVE_OK)
		return damaged(input, err);
	do
		result = archive_read_next_header(a, &entry);
	while (result >= ARCHIVE_WARN && result != ARCHIVE_EOF &&
	       archive_entry_filetype(entry) == AE_IFDIR);
	if (result == ARCHIVE_EOF)
		return rh_fail(err, RH_BAD_DATA, "%s is empty", input->path);
	if (result < ARCHIVE_WARN)
		return damaged(input, err);
	return 0;
}

int rh_input_open(struct rh_input **result, const char *path, struct rh_err *err)
{
	struct rh_input *input = calloc(1, sizeof(*input));

	*result = NULL;
	if (!input)
		return rh_fail(err, RH_OS, "no memory to read %s", path);
	input->buffer = malloc(BUFFER_BYTES + 1);
	if (!input->buffer) {
		rh_fail(err, RH_OS, "no memory to read %s", path);
		goto fail;
	}
	if (open_path(input, path, err) < 0 || open_archive(input, err) < 0)
		goto fail;
	*result = input;
	return 0;
fail:
	rh_input_close(input);
	return -1;
}

void rh_input_close(struct rh_input *input)
{
	if (!input)
		return;
	if (input->archive)
		archive_read_free(input->archive);
	if (input->owns_fd)
		close(input->fd);
	free(input->buffer);
	free(input);
}

/* The member is over: there must not be another. */
static int check_last_member(struct rh_input *input, struct rh_err *err)
{
	struct archive_entry *entry;
	int result;

	input->ended = true;
	do
		result = archive_read_next_header(input->archive, &entry);
	while (result >= ARCHIVE_WARN && result != ARCHIVE_EOF &&
	       archive_entry_filetype(entry) == AE_IFDIR);
	if (result == ARCHIVE_EOF)
		return 0;
	if (result < ARCHIVE_WARN)
		return damaged(input, err);
	return rh_fail(err, RH_BAD_DATA,
		       "%s holds more than one member; unpack it and name one (the next is %s)",
		       input->path, archive_entry_pathname(entry));
}

/* Unpacked bytes into `to`: how many, 0 at the end. */
static ssize_t unpack(struct rh_input *input, void *to, size_t bytes, struct rh_err *err)
{
	ssize_t got;

	if (input->ended)
		return 0;
	got = archive_read_data(input->archive, to, bytes);
	if (got < 0)
		return damaged(input, err);
	if (got == 0 && check_last_member(input, err) < 0)
		return -1;
	input->bytes_out += (uint64_t)got;
	return got;
}

/* More bytes behind the unread ones: 1, 0 at the end, -1. */
static int refill(struct rh_input *input, struct rh_err *err)
{
	ssize_t got;

	if (input->at > 0) {
		memmove(input->buffer, input->buffer + input->at, input->end - input->at);
		input->end -= input->at;
		input->at = 0;
	}
	assert(input->end < BUFFER_BYTES);
	got = unpack(input, input->buffer + input->end, BUFFER_BYTES - input->end, err);
	if (got < 0)
		return -1;
	input->end += (size_t)got;
	return got > 0;
}

ssize_t rh_input_read(struct rh_input *input, void *buffer, size_t bytes, struct rh_err *err)
{
	size_t have = input->end - input->at;

	if (have == 0)
		return unpack(input, buffer, bytes, err);
	if (have > bytes)
		have = bytes;
	memcpy(buffer, input->buffer + input->at, have);
	input->at += have;
	return (ssize_t)have;
}

ssize_t rh_input_peek(struct rh_input *input, const char **bytes, struct rh_err *err)
{
	if (input->at == input->end && refill(input, err) < 0)
		return -1;
	*bytes = input->buffer + input->at;
	return (ssize_t)(input->end - input->at);
}

static ssize_t end_line(struct rh_input *input, size_t length, size_t skip, char **line,
			struct rh_err *err)
{
	char *start = input->buffer + input->at;

	input->line_number++;
	if (length > LINE_MAX_BYTES)
		return rh_fail(err, RH_BAD_DATA,
			       "%s:%llu: a line of more than %d bytes; this is not a text trace",
			       input->path, (unsigned long long)input->line_number, LINE_MAX_BYTES);
	input->at += length + skip;
	if (length > 0 && start[length - 1] == '\r')
		length--;
	start[length] = '\0';
	*line = start;
	return (ssize_t)length;
}

ssize_t rh_input_line(struct rh_input *input, char **line, struct rh_err *err)
{
	size_t scanned = 0;

	for (;;) {
		char *start = input->buffer + input->at;
		size_t have = input->end - input->at;
		char *newline = memchr(start + scanned, '\n', have - scanned);
		int more;

		if (newline)
			return end_line(input, (size_t)(newline - start), 1, line, err);
		if (have > LINE_MAX_BYTES)
			return end_line(input, have, 0, line, err);
		scanned = have;
		more = refill(input, err);
		if (more < 0)
			return -1;
		if (!more)
			return have ? end_line(input, have, 0, line, err) : RH_INPUT_END;
	}
}

uint64_t rh_input_line_number(const struct rh_input *input)
{
	return input->line_number;
}

const char *rh_input_path(const struct rh_input *input)
{
	return input->path;
}
