/*
 * test_input.c - lines and bytes out of plain files, pipes, compressed files and archives,
 * and what is said of those that are empty, damaged, too many or not files at all.
 */
#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>

#include "traces/test/import_support.h"

static struct rh_err err;

static struct rh_input *open_bytes(const void *bytes, size_t count)
{
	const char *path = scratch_path("in");
	struct rh_input *input;

	store_trace(path, bytes, count);
	expect_ok(rh_input_open(&input, path, &err), &err);
	return input;
}

static void expect_line(struct rh_input *input, const char *text)
{
	char *line;
	ssize_t length = rh_input_line(input, &line, &err);

	if (length < 0)
		fail_msg("'%s' is missing: %s", text, err.text);
	assert_string_equal(line, text);
	assert_int_equal(length, strlen(text));
}

static void expect_end(struct rh_input *input)
{
	char *line;

	assert_int_equal(rh_input_line(input, &line, &err), RH_INPUT_END);
	assert_int_equal(rh_input_line(input, &line, &err), RH_INPUT_END);
	rh_input_close(input);
}

static void test_lines(void **state)
{
	static const char text[] = "one\r\ntwo\n\n four \nlast";
	struct rh_input *input = open_bytes(text, sizeof(text) - 1);

	(void)state;
	assert_int_equal(rh_input_line_number(input), 0);
	expect_line(input, "one");
	expect_line(input, "two");
	expect_line(input, "");
	assert_int_equal(rh_input_line_number(input), 3);
	expect_line(input, " four ");
	expect_line(input, "last");
	assert_int_equal(rh_input_line_number(input), 5);
	expect_end(input);
}

static void test_peek_and_read(void **state)
{
	struct rh_input *input = open_bytes("abcdefgh", 8);
	const char *bytes;
	char some[16];

	(void)state;
	assert_int_equal(rh_input_peek(input, &bytes, &err), 8);
	assert_memory_equal(bytes, "abcdefgh", 8);
	assert_int_equal(rh_input_read(input, some, 3, &err), 3);
	assert_memory_equal(some, "abc", 3);
	assert_int_equal(rh_input_read(input, some, sizeof(some), &err), 5);
	assert_memory_equal(some, "defgh", 5);
	assert_int_equal(rh_input_read(input, some, sizeof(some), &err), 0);
	rh_input_close(input);
}

/* Lines whose ends fall on every place around the buffer's end. */
static void test_long(void **state)
{
	enum { LINES = 60000 };
	size_t used = 0;
	char *text = malloc(LINES * 64), *line;
	struct rh_input *input;

	(void)state;
	assert_non_null(text);
	for (int i = 0; i < LINES; i++)
		used += (size_t)snprintf(text + used, 64, "%d%.*s\n", i, i % 50,
					 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
	input = open_bytes(text, used);
	for (int i = 0; i < LINES; i++) {
		char digits[16];

		assert_true(rh_input_line(input, &line, &err) >= 0);
		snprintf(digits, sizeof(digits), "%d", i);
		assert_int_equal(strspn(line, "0123456789"), strlen(digits));
		assert_memory_equal(line, digits, strlen(digits));
		assert_int_equal(strlen(line), strlen(digits) + (size_t)(i % 50));
	}
	expect_end(input);
	free(text);
}

static void test_line_limit(void **state)
{
	size_t limit = 64 << 10;
	char *text = malloc(limit + 2), *line;
	struct rh_input *input;

	(void)state;
	assert_non_null(text);
	memset(text, 'x', limit + 2);
	text[limit] = '\n';
	input = open_bytes(text, limit + 1);
	assert_int_equal(rh_input_line(input, &line, &err), limit);
	expect_end(input);
	free(text);
}

/* Of longer lines the head and the tail are given, whether they came in one piece or in several;
 * a word that begins in the middle is blotted out. */
static void test_long_lines(void **state)
{
	static const size_t sizes[] = { 65537, 70000, 500000, 3000000 };
	char *text = malloc(4000000), *line;

	(void)state;
	assert_non_null(text);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		size_t bytes = sizes[i], length;
		struct rh_input *input;

		for (size_t at = 0; at < bytes; at++)
			text[at] = at % 10 ? 'x' : ' ';
		memcpy(text, "head ", 5);
		memcpy(text + bytes - 5, " tail", 5);
		memcpy(text + bytes, "\nnext\n", 7);
		input = open_bytes(text, bytes + 6);
		length = (size_t)rh_input_line(input, &line, &err);
		assert_true(rh_input_line_long(input));
		assert_true(length > 1000 && length < 65536);
		assert_int_equal(strlen(line), length);
		assert_memory_equal(line, "head ", 5);
		assert_string_equal(line + length - 5, " tail");
		expect_line(input, "next");
		assert_false(rh_input_line_long(input));
		assert_int_equal(rh_input_line_number(input), 2);
		expect_end(input);
	}
	free(text);
}

/* A line of 65 MiB, 20 million blank ones, and what a crash left of a file. */
static void test_no_lines(void **state)
{
	size_t bytes = 65 << 20;
	char *text = malloc(bytes), *line;
	struct rh_input *input;

	(void)state;
	assert_non_null(text);
	memset(text, 'x', bytes);
	input = open_bytes(text, bytes);
	assert_int_equal(rh_input_line(input, &line, &err), -1);
	assert_int_equal(err.code, RH_BAD_DATA);
	assert_non_null(strstr(err.text, "in:1: a line of more than 64 MiB"));
	rh_input_close(input);
	memset(text, '\n', bytes);
	input = open_bytes(text, bytes);
	while (rh_input_line(input, &line, &err) == 0)
		;
	assert_non_null(strstr(err.text, "20000000 blank lines in a row"));
	rh_input_close(input);
	memset(text, 0, bytes);
	memcpy(text, "one\n", 4);
	input = open_bytes(text, 1 << 20);
	expect_line(input, "one");
	assert_true(rh_input_line(input, &line, &err) >= 0);
	assert_true(rh_input_line_cut(input));
	assert_string_equal(line, "");
	expect_end(input);
	text[100000] = 'x';
	input = open_bytes(text, 1 << 20);
	expect_line(input, "one");
	assert_int_equal(rh_input_line(input, &line, &err), -1);
	assert_non_null(strstr(err.text, "in:2: a zero byte"));
	rh_input_close(input);
	free(text);
}

static void test_byte_order_mark(void **state)
{
	struct rh_input *input = open_bytes("\xef\xbb\xbfone\ntwo\n", 11);
	const char *bytes;

	(void)state;
	assert_int_equal(rh_input_peek(input, &bytes, &err), 8);
	expect_line(input, "one");
	expect_line(input, "two");
	expect_end(input);
}

/* Writes members m0, m1, ... of "hello\nworld\n" with libarchive. */
static const char *pack(int (*format)(struct archive *), int (*filter)(struct archive *),
			int members)
{
	const char *path = scratch_path("packed");
	struct archive *a = archive_write_new();

	assert_int_equal(filter(a), ARCHIVE_OK);
	assert_int_equal(format(a), ARCHIVE_OK);
	assert_int_equal(archive_write_open_filename(a, path), ARCHIVE_OK);
	for (int i = 0; i < members; i++) {
		struct archive_entry *entry = archive_entry_new();
		char name[8];

		snprintf(name, sizeof(name), "m%d", i);
		archive_entry_set_pathname(entry, name);
		archive_entry_set_filetype(entry, AE_IFREG);
		archive_entry_set_perm(entry, 0644);
		archive_entry_set_size(entry, 12);
		assert_int_equal(archive_write_header(a, entry), ARCHIVE_OK);
		assert_int_equal(archive_write_data(a, "hello\nworld\n", 12), 12);
		archive_entry_free(entry);
	}
	assert_int_equal(archive_write_close(a), ARCHIVE_OK);
	archive_write_free(a);
	return path;
}

static void test_packed(void **state)
{
	static const struct {
		int (*format)(struct archive *);
		int (*filter)(struct archive *);
	} ways[] = {
		{ archive_write_set_format_raw, archive_write_add_filter_gzip },
		{ archive_write_set_format_raw, archive_write_add_filter_xz },
		{ archive_write_set_format_raw, archive_write_add_filter_zstd },
		{ archive_write_set_format_raw, archive_write_add_filter_bzip2 },
		{ archive_write_set_format_raw, archive_write_add_filter_lz4 },
		{ archive_write_set_format_zip, archive_write_add_filter_none },
		{ archive_write_set_format_ustar, archive_write_add_filter_gzip },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(ways) / sizeof(*ways); i++) {
		const char *path = pack(ways[i].format, ways[i].filter, 1);
		struct rh_input *input;

		expect_ok(rh_input_open(&input, path, &err), &err);
		expect_line(input, "hello");
		expect_line(input, "world");
		expect_end(input);
	}
}

static void test_two_members(void **state)
{
	const char *path = pack(archive_write_set_format_zip, archive_write_add_filter_none, 2);
	struct rh_input *input;
	char *line;

	(void)state;
	expect_ok(rh_input_open(&input, path, &err), &err);
	expect_line(input, "hello");
	expect_line(input, "world");
	assert_int_equal(rh_input_line(input, &line, &err), -1);
	assert_int_equal(err.code, RH_BAD_DATA);
	assert_non_null(strstr(err.text, "more than one member"));
	assert_non_null(strstr(err.text, "m1"));
	rh_input_close(input);
}

/* A compressed file cut short or with a bit turned is reported, never taken for whole. */
static void test_damage(void **state)
{
	const char *path = pack(archive_write_set_format_raw, archive_write_add_filter_zstd, 1);
	size_t bytes;
	char *whole = load_trace(path, &bytes), *line;
	struct rh_input *input;

	(void)state;
	for (size_t keep = 1; keep < bytes; keep++) {
		ssize_t length = 0;

		bool cut = false;

		store_trace(path, whole, keep);
		memset(&err, 0, sizeof(err));
		if (rh_input_open(&input, path, &err) == 0) {
			/* Less than the magic is no zstd file but one of plain bytes. */
			while ((length = rh_input_line(input, &line, &err)) >= 0)
				;
			cut = rh_input_truncated(input) != NULL;
			rh_input_close(input);
		}
		/* Its one block is whole as soon as no more than the check behind it is missing. */
		if (keep >= 4)
			assert_true(err.code == RH_BAD_DATA || cut);
		else
			assert_int_equal(length, RH_INPUT_END);
	}
	free(whole);
}

static void expect_refused(const char *path, enum rh_exit code, const char *part)
{
	struct rh_input *input;

	assert_int_equal(rh_input_open(&input, path, &err), -1);
	assert_null(input);
	assert_int_equal(err.code, code);
	if (!strstr(err.text, part) || !strstr(err.text, path))
		fail_msg("'%s' and the path are not in: %s", part, err.text);
}

static void test_refused(void **state)
{
	const char *empty = scratch_path("empty"), *secret = scratch_path("secret");

	(void)state;
	expect_refused(scratch_path("missing"), RH_NO_INPUT, "cannot be opened");
	expect_refused("/tmp", RH_NO_INPUT, "is a directory");
	store_trace(empty, "", 0);
	expect_refused(empty, RH_BAD_DATA, "is empty");
	expect_refused("/dev/null", RH_BAD_DATA, "is empty");
	store_trace(secret, "x", 1);
	assert_int_equal(chmod(secret, 0), 0);
	/* root may read everything */
	if (geteuid() != 0)
		expect_refused(secret, RH_NO_INPUT, "cannot be opened");
}

static void test_stdin(void **state)
{
	const char *path = pack(archive_write_set_format_raw, archive_write_add_filter_gzip, 1);
	int kept = dup(STDIN_FILENO), file = open(path, O_RDONLY);
	struct rh_input *input;

	(void)state;
	assert_true(file >= 0);
	assert_int_equal(dup2(file, STDIN_FILENO), STDIN_FILENO);
	expect_ok(rh_input_open(&input, "-", &err), &err);
	assert_string_equal(rh_input_path(input), "stdin");
	expect_line(input, "hello");
	expect_line(input, "world");
	expect_end(input);
	/* The descriptor is the caller's and stays open. */
	assert_int_not_equal(fcntl(STDIN_FILENO, F_GETFD), -1);
	dup2(kept, STDIN_FILENO);
	close(kept);
	close(file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_peek_and_read),
		cmocka_unit_test(test_long),
		cmocka_unit_test(test_line_limit),
		cmocka_unit_test(test_long_lines),
		cmocka_unit_test(test_no_lines),
		cmocka_unit_test(test_byte_order_mark),
		cmocka_unit_test(test_packed),
		cmocka_unit_test(test_two_members),
		cmocka_unit_test(test_damage),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_stdin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
