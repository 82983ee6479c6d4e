/*
 * test_packed.c - packed inputs that were cut off: every byte before the cut comes out, whatever
 * the length, and what was cut is said. One that is damaged, or has something behind it, is not
 * taken for whole.
 */
#include <archive.h>
#include <archive_entry.h>
#if __has_include(<zlib.h>)
#include <zlib.h>
#endif
#if __has_include(<bzlib.h>)
#include <bzlib.h>
#endif
#if __has_include(<lzma.h>)
#include <lzma.h>
#endif

#include "traces/import/packed.h"
#include "traces/test/import_support.h"

enum { TEXT_BYTES = 30000 };
typedef int (*set_fn)(struct archive *);

static struct rh_err err;
static char text[TEXT_BYTES];

static void make_text(void)
{
	uint32_t x = 1;
	size_t used = 0;

	while (used < TEXT_BYTES - 40) {
		x = x * 1664525u + 1013904223u;
		used += (size_t)snprintf(text + used, 40, "1: malloc 0x%x %u\n", x | 1, x >> 20);
	}
	memset(text + used, '\n', TEXT_BYTES - used);
}

/* The text in that wrapping, to be freed. */
static char *pack(set_fn format, set_fn filter, const char *options, size_t *bytes)
{
	const char *path = scratch_path("whole");
	struct archive *a = archive_write_new();
	struct archive_entry *entry = archive_entry_new();

	assert_int_equal(filter(a), ARCHIVE_OK);
	assert_int_equal(format(a), ARCHIVE_OK);
	if (options)
		assert_int_equal(archive_write_set_options(a, options), ARCHIVE_OK);
	assert_int_equal(archive_write_open_filename(a, path), ARCHIVE_OK);
	archive_entry_set_pathname(entry, "log");
	archive_entry_set_filetype(entry, AE_IFREG);
	archive_entry_set_perm(entry, 0644);
	archive_entry_set_size(entry, TEXT_BYTES);
	assert_int_equal(archive_write_header(a, entry), ARCHIVE_OK);
	assert_int_equal(archive_write_data(a, text, TEXT_BYTES), TEXT_BYTES);
	archive_entry_free(entry);
	assert_int_equal(archive_write_close(a), ARCHIVE_OK);
	archive_write_free(a);
	return load_trace(path, bytes);
}

/* What comes out of these bytes, and it is what the text begins with; *cut: it broke off. */
static size_t unpacked(const char *bytes, size_t count, bool *cut)
{
	static char out[2 * TEXT_BYTES + 1];
	const char *path = scratch_path("cut");
	struct rh_input *input;
	size_t have = 0;
	ssize_t got;

	*cut = true;
	store_trace(path, bytes, count);
	if (rh_input_open(&input, path, &err) < 0) {
		assert_int_equal(err.code, RH_BAD_DATA);
		return 0;
	}
	while ((got = rh_input_read(input, out + have, sizeof(out) - have, &err)) > 0)
		have += (size_t)got;
	assert_int_equal(got, 0);
	*cut = rh_input_truncated(input) != NULL;
	rh_input_close(input);
	assert_true(have <= TEXT_BYTES);
	assert_memory_equal(out, text, have);
	return have;
}

/* Stored, not squeezed: ten bytes of head, five of the block, then the text as it is. */
static void test_gzip_exactly(void **state)
{
	enum { HEAD = 10 + 5 };
	size_t bytes;
	char *whole = pack(archive_write_set_format_raw, archive_write_add_filter_gzip,
			   "gzip:compression-level=0", &bytes);
	bool cut;

	(void)state;
	assert_true(bytes >= TEXT_BYTES + HEAD);
	for (size_t keep = HEAD + 1; keep <= HEAD + TEXT_BYTES; keep += 97) {
		assert_int_equal(unpacked(whole, keep, &cut), keep - HEAD);
		assert_true(cut);
	}
	assert_int_equal(unpacked(whole, bytes, &cut), TEXT_BYTES);
	assert_false(cut);
	free(whole);
}

/* The longer the piece, the more comes out; of these, much of it before the last byte is there. */
static void test_cut_anywhere(void **state)
{
	static const struct {
		const char *name;
		set_fn format, filter;
		bool gradual; /* else by blocks, of which this text is one */
	} ways[] = {
		{ "gz", archive_write_set_format_raw, archive_write_add_filter_gzip, true },
		{ "xz", archive_write_set_format_raw, archive_write_add_filter_xz, true },
		{ "zst", archive_write_set_format_raw, archive_write_add_filter_zstd, false },
		{ "bz2", archive_write_set_format_raw, archive_write_add_filter_bzip2, false },
		{ "lz4", archive_write_set_format_raw, archive_write_add_filter_lz4, false },
		{ "zip", archive_write_set_format_zip, archive_write_add_filter_none, true },
		{ "tar", archive_write_set_format_ustar, archive_write_add_filter_none, true },
		{ "tgz", archive_write_set_format_ustar, archive_write_add_filter_gzip, true },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(ways) / sizeof(*ways); i++) {
		size_t bytes, last = 0, half = 0;
		char *whole = pack(ways[i].format, ways[i].filter, NULL, &bytes);
		bool cut;

		/* Less than its head is no tar. */
		for (size_t keep = 520; keep < bytes; keep += bytes / 60) {
			size_t have = unpacked(whole, keep, &cut);

			if (have < last || (have < TEXT_BYTES && !cut))
				fail_msg("%s cut at %zu: %zu bytes after %zu, %s", ways[i].name,
					 keep, have, last, cut ? "said" : "not said");
			last = have;
			if (keep < bytes / 2)
				half = have;
		}
		if (ways[i].gradual && half < TEXT_BYTES / 3)
			fail_msg("%s: only %zu bytes of the first half", ways[i].name, half);
		assert_int_equal(unpacked(whole, bytes, &cut), TEXT_BYTES);
		assert_false(cut);
		free(whole);
	}
}

static void test_two_streams(void **state)
{
	size_t half = TEXT_BYTES, bytes;
	char *one = pack(archive_write_set_format_raw, archive_write_add_filter_gzip, NULL, &bytes);
	char *two = malloc(2 * bytes + 100), *line;
	struct rh_input *input;
	const char *path = scratch_path("two");
	size_t lines = 0, alone = 0;

	(void)state;
	assert_non_null(two);
	for (size_t i = 0; i < half; i++)
		alone += text[i] == '\n';
	memcpy(two, one, bytes);
	memset(two + bytes, 0, 100); /* as tapes are filled up */
	memcpy(two + bytes + 100, one, bytes);
	store_trace(path, two, 2 * bytes + 100);
	expect_ok(rh_input_open(&input, path, &err), &err);
	while (rh_input_line(input, &line, &err) >= 0)
		lines++;
	assert_null(rh_input_truncated(input));
	rh_input_close(input);
	assert_int_equal(lines, 2 * alone);
	memcpy(two + bytes, "something else", 14);
	store_trace(path, two, bytes + 14);
	expect_ok(rh_input_open(&input, path, &err), &err);
	for (lines = 0; rh_input_line(input, &line, &err) >= 0; lines++)
		;
	assert_non_null(strstr(rh_input_truncated(input), "stands behind"));
	rh_input_close(input);
	assert_int_equal(lines, alone);
	free(one);
	free(two);
}

/* A bit that turned is not a cut: nothing of such a file is believed. */
static void test_damage(void **state)
{
	static const set_fn filters[] = { archive_write_add_filter_gzip,
					  archive_write_add_filter_xz,
					  archive_write_add_filter_bzip2 };

	(void)state;
	for (size_t i = 0; i < sizeof(filters) / sizeof(*filters); i++) {
		size_t bytes;
		char *whole = pack(archive_write_set_format_raw, filters[i], NULL, &bytes), *line;
		const char *path = scratch_path("turned");
		struct rh_input *input;
		ssize_t length = 0;

		whole[bytes / 2] ^= 0x10;
		store_trace(path, whole, bytes);
		memset(&err, 0, sizeof(err));
		if (rh_input_open(&input, path, &err) == 0) {
			while ((length = rh_input_line(input, &line, &err)) >= 0)
				;
			rh_input_close(input);
			assert_int_equal(length, -1);
		}
		assert_int_equal(err.code, RH_BAD_DATA);
		assert_non_null(strstr(err.text, "data are damaged"));
		free(whole);
	}
}

/* What we wrote down of three libraries is what their headers say. */
static void test_sizes(void **state)
{
	(void)state;
#if __has_include(<zlib.h>)
	assert_int_equal(rh_packed_sizes[0], sizeof(z_stream));
#endif
#if __has_include(<bzlib.h>)
	assert_int_equal(rh_packed_sizes[1], sizeof(bz_stream));
#endif
#if __has_include(<lzma.h>)
	assert_int_equal(rh_packed_sizes[2], sizeof(lzma_stream));
#endif
}

/* A format of records of fixed size that was cut between two of them, and packed. */
static void test_binary(void **state)
{
	enum { RECORDS = 1000, NUMBERS = 2 + 4 * RECORDS, HEAD = 10 + 5 };
	static uint64_t numbers[NUMBERS];
	size_t bytes;
	char *whole;

	(void)state;
	numbers[0] = RECORDS;
	/* As if only half had been promised: the file itself says nothing of the cut. */
	numbers[1] = RECORDS / 2;
	for (uint64_t i = 0; i < RECORDS; i++) {
		uint64_t record[] = { 1, i, i, 64 };

		memcpy(numbers + 2 + 4 * i, record, sizeof(record));
	}
	memcpy(text, numbers, TEXT_BYTES);
	whole = pack(archive_write_set_format_raw, archive_write_add_filter_gzip,
		     "gzip:compression-level=0", &bytes);
	ik_import("bytehound", "cut.gz", whole, HEAD + 16 + 32 * 700);
	expect_ok(ik.rc, &ik.err);
	assert_int_equal(ik.totals.by_kind[RH_EV_ALLOC], 700);
	assert_true(ik_has_note("import.truncated"));
	free(whole);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_gzip_exactly), cmocka_unit_test(test_cut_anywhere),
		cmocka_unit_test(test_two_streams),  cmocka_unit_test(test_damage),
		cmocka_unit_test(test_sizes),	     cmocka_unit_test(test_binary),
	};

	make_text();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
