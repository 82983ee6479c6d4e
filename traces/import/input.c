/*
 * input.c - bytes and lines of a foreign trace, whatever it is wrapped in.
 *
 * The path of a line: open(2) on the path (or descriptor 0 for "-") -> packed.c, which peels gz,
 * xz, zst, bz2 or lz4 -> libarchive, which peels what is packed twice and looks inside a zip or
 * tar with one member -> one buffer of ours, refilled in large pieces -> the line, ended in place
 * by a NUL where its newline stood.
 *
 * What a program prints into a log may be of any length. Of a line over LINE_MAX_BYTES the head and
 * the tail are kept, where a record may stand, with LONG_MARK between them.
 *
 * Invariants: the unread bytes are buffer[at, end); buffer has one byte more than it is
 * ever filled with, so that the last line can be ended too. A line never moves before the
 * next call. Memory is one buffer and libarchive's window, whatever the file's length.
 *
 * An archive with a second member is refused where it ends, not where it begins: to know
 * earlier would mean to read it twice, and stdin cannot be.
 */
#include "traces/import/import.h"
#include "traces/import/folder.h"
#include "traces/import/packed.h"

#include <archive.h>
#include <archive_entry.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	LINE_MAX_BYTES = 64 << 10,
	LONG_KEPT = 16 << 10,	      /* of a longer line, at each end */
	LONG_MAX_BYTES = 64 << 20,    /* and so long is none */
	LONG_MARK = '\1',	      /* in no record of any format */
	BLANK_MAX = 20 * 1000 * 1000, /* blank lines in a row: a gigabyte of them is no log */
	/* A refill moves at most one unfinished line; at 512 KiB that is under 1 % of the
	 * bytes for the lines of real traces (20 to 120 bytes). */
	BUFFER_BYTES = 512 << 10,
	HEAD_BYTES = 16 << 10, /* what a peek at the start has at least, where there is so much */
	BOMB_BYTES = 16 << 20,
	BOMB_RATIO = 500,
};

struct rh_input {
	struct rh_packed *packed;
	struct archive *archive;
	char *buffer;
	size_t at, end;
	uint64_t line_number;
	uint64_t bytes_out; /* unpacked so far, for messages about damage */
	const char *block;  /* of libarchive, not copied yet */
	size_t block_bytes;
	uint64_t hole_bytes; /* zero bytes before it: a sparse file */
	int fd;
	bool ended;
	bool headed;	   /* the first bytes were seen, and a byte order mark skipped */
	bool line_cut;	   /* the last line had no newline */
	bool line_long;	   /* its middle was left out */
	bool has_zero;	   /* there was a zero byte: only then each line is looked at for one */
	size_t long_bytes; /* left out of it */
	unsigned blank_lines;
	char truncated[200]; /* how a compressed input broke off; "" = it did not */
	double max_damage;
	bool owns_fd;
	bool is_folder;
	char path[4096];
};

/* A folder with a trace of many files in it stands for that: its `metadata` is what is looked at.
 */
static int open_folder(struct rh_input *input, struct rh_err *err)
{
	char path[sizeof(input->path)];
	int fd = -1;

	if (rh_folder_find(input->path, "metadata", path, sizeof(path)))
		fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return rh_fail(err, RH_NO_INPUT, "%s is a directory; name a trace file in it",
			       input->path);
	close(input->fd);
	input->fd = fd;
	input->is_folder = true;
	return 0;
}

static int open_path(struct rh_input *input, const char *path, struct rh_err *err)
{
	struct stat st;

	if (input->fd >= 0)
		return 0;
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
		return open_folder(input, err);
	return 0;
}

/* Whether bytes are missing, not wrong. libarchive's filters have no code for it, each has a
 * sentence. */
static bool broke_off(const struct rh_input *input)
{
	const char *why = archive_error_string(input->archive);

	if (rh_packed_why(input->packed))
		return false;
	/* -5: its reader of zip found no more bytes. */
	return rh_packed_truncated(input->packed) ||
	       (why && (strcasestr(why, "truncated") || strstr(why, "decompression failed (-5)")));
}

static const char *why_broken(const struct rh_input *input)
{
	const char *why = rh_packed_why(input->packed);

	if (!why)
		why = rh_packed_truncated(input->packed);
	if (!why)
		why = archive_error_string(input->archive);
	return why ? why : "no reason given";
}

/* All that came before is good, and nothing comes after. */
static void end_broken(struct rh_input *input)
{
	input->ended = true;
	snprintf(input->truncated, sizeof(input->truncated), "%s", why_broken(input));
}

static int damaged(struct rh_input *input, struct rh_err *err)
{
	const char *why = why_broken(input);
	int number = archive_errno(input->archive);

	/* libarchive hands read(2)'s errno on; its own complaints are about the data. */
	if (number == EIO || number == EISDIR || number == ENXIO)
		return rh_fail(err, RH_IO, "%s cannot be read after byte %llu: %s", input->path,
			       (unsigned long long)input->bytes_out, why);
	return rh_fail(err, RH_BAD_DATA, "%s is damaged or cut off after unpacked byte %llu: %s",
		       input->path, (unsigned long long)input->bytes_out, why);
}

/* For libarchive: the next bytes. */
static la_ssize_t give(struct archive *archive, void *from, const void **bytes)
{
	struct rh_input *input = from;
	ssize_t got = rh_packed_read(input->packed, bytes);

	if (got < 0)
		archive_set_error(archive, errno ? errno : EILSEQ, "%s",
				  errno ? strerror(errno) : rh_packed_why(input->packed));
	return got;
}

/* The first member must be a file: links and devices have no bytes to read. */
static int check_member(struct rh_input *input, struct archive_entry *entry, struct rh_err *err)
{
	const char *name = archive_entry_pathname(entry), *kind = NULL;

	if (archive_entry_is_encrypted(entry))
		return rh_fail(err, RH_BAD_DATA,
			       "%s is encrypted: unpack it and give the file that is in it",
			       input->path);
	if (archive_entry_hardlink(entry) || archive_entry_filetype(entry) == AE_IFLNK)
		kind = "link";
	else if (archive_entry_filetype(entry) == AE_IFCHR ||
		 archive_entry_filetype(entry) == AE_IFBLK)
		kind = "device";
	else if (archive_entry_filetype(entry) == AE_IFIFO ||
		 archive_entry_filetype(entry) == AE_IFSOCK)
		kind = "pipe";
	if (!kind)
		return 0;
	return rh_fail(err, RH_BAD_DATA, "%s is an archive of a %s (%s), not of a file",
		       input->path, kind, name ? name : "without a name");
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
	if (archive_read_open(a, input, NULL, give, NULL) != ARCHIVE_OK)
		return damaged(input, err);
	do
		result = archive_read_next_header(a, &entry);
	while (result >= ARCHIVE_WARN && result != ARCHIVE_EOF &&
	       archive_entry_filetype(entry) == AE_IFDIR);
	if (result == ARCHIVE_EOF && broke_off(input))
		return rh_fail(err, RH_BAD_DATA,
			       "%s was cut off before the first byte that can be unpacked: %s",
			       input->path, why_broken(input));
	if (result == ARCHIVE_EOF && archive_filter_bytes(a, 0) > 0)
		return rh_fail(
			err, RH_BAD_DATA,
			"%s has no trace in it: it is an archive without a file, or all zero "
			"bytes",
			input->path);
	if (result == ARCHIVE_EOF)
		return rh_fail(err, RH_BAD_DATA, "%s is empty", input->path);
	if (result < ARCHIVE_WARN)
		return damaged(input, err);
	return check_member(input, entry, err);
}

int rh_input_open(struct rh_input **result, const char *path, struct rh_err *err)
{
	return rh_input_open_pipe(result, -1, path, err);
}

int rh_input_open_pipe(struct rh_input **result, int fd, const char *path, struct rh_err *err)
{
	struct rh_input *input = calloc(1, sizeof(*input));

	*result = NULL;
	if (!input)
		return rh_fail(err, RH_OS, "no memory to read %s", path);
	input->fd = fd;
	snprintf(input->path, sizeof(input->path), "%s", path);
	input->buffer = malloc(BUFFER_BYTES + 1);
	if (!input->buffer) {
		rh_fail(err, RH_OS, "no memory to read %s", path);
		goto fail;
	}
	if (open_path(input, path, err) < 0)
		goto fail;
	input->packed = rh_packed_open(input->fd);
	if (!input->packed) {
		rh_fail(err, RH_OS, "no memory to read %s", path);
		goto fail;
	}
	if (open_archive(input, err) < 0)
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
	rh_packed_close(input->packed);
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
	if (broke_off(input)) {
		end_broken(input);
		return 0;
	}
	if (result == ARCHIVE_EOF)
		return 0;
	if (result < ARCHIVE_WARN)
		return damaged(input, err);
	return rh_fail(err, RH_BAD_DATA,
		       "%s holds more than one member; unpack it and name one (the next is %s)",
		       input->path, archive_entry_pathname(entry));
}

/* A megabyte of gzip can be a gigabyte of newlines. Real logs pack 10 to 100 to 1. */
static int check_ratio(struct rh_input *input, struct rh_err *err)
{
	uint64_t packed;

	if (input->bytes_out < BOMB_BYTES)
		return 0;
	packed = rh_packed_bytes(input->packed);
	if (packed == 0 || input->bytes_out / packed < BOMB_RATIO)
		return 0;
	return rh_fail(err, RH_BAD_DATA,
		       "%s unpacks to more than %d times its size (%llu bytes so far): this is no "
		       "recording; if it is, unpack it and give the file",
		       input->path, BOMB_RATIO, (unsigned long long)input->bytes_out);
}

/* The next block: 1, 0 at the end, -1. One by one, because archive_read_data forgets the blocks
 * before one that broke off. */
static int next_block(struct rh_input *input, struct rh_err *err)
{
	const void *block;
	la_int64_t at;
	int result;

	do
		result = archive_read_data_block(input->archive, &block, &input->block_bytes, &at);
	while (result == ARCHIVE_RETRY);
	if (result == ARCHIVE_EOF || (result < ARCHIVE_WARN && broke_off(input))) {
		input->block_bytes = 0;
		if (result != ARCHIVE_EOF)
			end_broken(input);
		return input->ended ? 0 : check_last_member(input, err);
	}
	if (result < ARCHIVE_WARN)
		return damaged(input, err);
	input->block = block;
	input->hole_bytes = (uint64_t)at > input->bytes_out ? (uint64_t)at - input->bytes_out : 0;
	return 1;
}

/* Unpacked bytes into `to`: how many, 0 at the end. */
static ssize_t unpack(struct rh_input *input, void *to, size_t bytes, struct rh_err *err)
{
	int more = 1;

	while (more > 0 && !input->ended && input->hole_bytes == 0 && input->block_bytes == 0)
		more = next_block(input, err);
	if (more < 0 || input->ended)
		return more < 0 ? -1 : 0;
	if (input->hole_bytes) {
		if (bytes > input->hole_bytes)
			bytes = (size_t)input->hole_bytes;
		memset(to, 0, bytes);
		input->hole_bytes -= bytes;
	} else {
		if (bytes > input->block_bytes)
			bytes = input->block_bytes;
		memcpy(to, input->block, bytes);
		input->block += bytes;
		input->block_bytes -= bytes;
	}
	input->bytes_out += bytes;
	return check_ratio(input, err) < 0 ? -1 : (ssize_t)bytes;
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
	input->has_zero |= memchr(input->buffer + input->end, '\0', (size_t)got) != NULL;
	input->end += (size_t)got;
	/* An editor or a shell of Windows puts a byte order mark before the first line. */
	if (!input->headed && input->end >= 3) {
		input->headed = true;
		if (memcmp(input->buffer, "\xef\xbb\xbf", 3) == 0)
			input->at = 3;
	}
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
	int more = 1;

	/* A pipe gives what its writer wrote last, which may be half a line. */
	while (more > 0 && input->end - input->at < HEAD_BYTES)
		more = refill(input, err);
	if (more < 0)
		return -1;
	*bytes = input->buffer + input->at;
	return (ssize_t)(input->end - input->at);
}

static int zero_byte(const struct rh_input *input, uint64_t line, struct rh_err *err)
{
	return rh_fail(err, RH_BAD_DATA, "%s:%llu: a zero byte; this is not a text trace",
		       input->path, (unsigned long long)line);
}

/* What begins in the middle of a word may be the end of a number. */
static void blot_word(char *at, const char *end)
{
	while (at < end && *at != ' ' && *at != '\t')
		*at++ = LONG_MARK;
}

static bool is_zero(const char *at, const char *end)
{
	while (at < end && *at == '\0')
		at++;
	return at == end;
}

/* The head and the tail of a line that is not over yet; its middle is left out. */
static int shorten(struct rh_input *input, struct rh_err *err)
{
	char *start = input->buffer + input->at, *middle = start + LONG_KEPT, *zero;
	size_t have = input->end - input->at, kept = 2 * LONG_KEPT;

	assert(have > kept);
	input->line_long = true;
	input->long_bytes += have - kept;
	if (input->long_bytes > LONG_MAX_BYTES)
		return rh_fail(err, RH_BAD_DATA,
			       "%s:%llu: a line of more than %d MiB; this is not a text trace",
			       input->path, (unsigned long long)input->line_number + 1,
			       LONG_MAX_BYTES >> 20);
	/* Zero bytes up to the end are what a crash leaves; one of them is enough. */
	zero = memchr(start, '\0', have);
	if (zero && !is_zero(zero, start + have))
		return zero_byte(input, input->line_number + 1, err);
	if (zero) {
		input->end = (size_t)(zero + 1 - input->buffer);
		return 0;
	}
	memmove(middle, start + have - LONG_KEPT, LONG_KEPT);
	input->end = input->at + kept;
	return 0;
}

/* The line [at, at + length) ends; `skip` is its newline. */
static ssize_t end_line(struct rh_input *input, size_t length, size_t skip, char **line,
			struct rh_err *err)
{
	char *start = input->buffer + input->at;

	input->line_number++;
	input->line_cut = !skip;
	/* Whoever reads text stops at the zero byte, and the rest would be lost in silence. At
	 * the end it is what a crash leaves of a file, and cut off. */
	if (skip && input->has_zero && memchr(start, '\0', length))
		return zero_byte(input, input->line_number, err);
	input->at += length + skip;
	if (length > LINE_MAX_BYTES) {
		/* It came in one piece. */
		char *tail = start + length - LONG_KEPT;

		start = memmove(tail - LONG_KEPT, start, LONG_KEPT);
		length = 2 * LONG_KEPT;
		input->line_long = true;
	}
	if (input->line_long)
		blot_word(start + LONG_KEPT, start + length);
	if (length > 0 && start[length - 1] == '\r')
		length--;
	start[length] = '\0';
	input->blank_lines = length ? 0 : input->blank_lines + 1;
	if (input->blank_lines > BLANK_MAX)
		return rh_fail(err, RH_BAD_DATA,
			       "%s:%llu: %d blank lines in a row; this is not a text trace",
			       input->path, (unsigned long long)input->line_number, BLANK_MAX);
	*line = start;
	return (ssize_t)length;
}

ssize_t rh_input_line(struct rh_input *input, char **line, struct rh_err *err)
{
	size_t scanned = 0;

	input->line_long = false;
	input->long_bytes = 0;
	for (;;) {
		char *start = input->buffer + input->at;
		size_t have = input->end - input->at;
		char *newline = memchr(start + scanned, '\n', have - scanned);
		int more;

		if (newline)
			return end_line(input, (size_t)(newline - start), 1, line, err);
		if (have > LINE_MAX_BYTES) {
			if (shorten(input, err) < 0)
				return -1;
			have = input->end - input->at;
		}
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

bool rh_input_line_cut(const struct rh_input *input)
{
	return input->line_cut;
}

bool rh_input_line_long(const struct rh_input *input)
{
	return input->line_long;
}

const char *rh_input_truncated(const struct rh_input *input)
{
	return input->truncated[0] ? input->truncated : NULL;
}

void rh_input_set_max_damage(struct rh_input *input, double share)
{
	input->max_damage = share;
}

double rh_input_max_damage(const struct rh_input *input)
{
	return input->max_damage;
}

bool rh_input_is_folder(const struct rh_input *input)
{
	return input->is_folder;
}

const char *rh_input_path(const struct rh_input *input)
{
	return input->path;
}
