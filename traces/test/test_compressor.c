/*
 * test_compressor.c - the compressor gives the same bytes on either thread, in the order of the
 * jobs, and can be closed at any moment.
 */
#include "traces/test/test_support.h"

#include <zstd.h>

#include "traces/format/compressor.h"

enum { RAW = 1 << 18, JOBS = 9 };

static uint8_t raw[JOBS][RAW], expected[JOBS][2 * RAW], back[RAW];
static size_t expected_bytes[JOBS];

static void fill(void)
{
	uint64_t x = 88172645463325252ull;

	for (size_t j = 0; j < JOBS; j++)
		for (size_t i = 0; i < RAW; i++) {
			x ^= x << 13;
			x ^= x >> 7;
			x ^= x << 17;
			/* Half noise, half of it as in the block before. */
			raw[j][i] = j && i & 64 ? raw[j - 1][i] : (uint8_t)(x >> 40 & 31);
		}
}

static struct rh_compressor_job job_of(size_t j)
{
	return (struct rh_compressor_job){
		.raw = raw[j],
		.raw_bytes = RAW - j,
		.prefix = j ? raw[j - 1] : NULL,
		.prefix_bytes = j ? RAW - (j - 1) : 0,
	};
}

static void check_readable(size_t j)
{
	ZSTD_DCtx *zstd = ZSTD_createDCtx();
	struct rh_compressor_job job = job_of(j);

	assert_non_null(zstd);
	if (job.prefix)
		ZSTD_DCtx_refPrefix(zstd, job.prefix, job.prefix_bytes);
	assert_int_equal(ZSTD_decompressDCtx(zstd, back, RAW, expected[j], expected_bytes[j]),
			 job.raw_bytes);
	assert_memory_equal(back, raw[j], job.raw_bytes);
	ZSTD_freeDCtx(zstd);
}

static void both_threads_give_the_same_bytes(void **state)
{
	struct rh_compressor *compressor;
	struct rh_err err;
	const uint8_t *stored;
	size_t bytes;

	(void)state;
	fill();
	expect_ok(rh_compressor_open(&compressor, 7, RAW, &err), &err);
	for (size_t j = 0; j < JOBS; j++) {
		struct rh_compressor_job job = job_of(j);

		stored = rh_compressor_squeeze(compressor, &job, &bytes, &err);
		assert_non_null(stored);
		memcpy(expected[j], stored, bytes);
		expected_bytes[j] = bytes;
		check_readable(j);
	}
	for (size_t j = 0; j < JOBS; j++) {
		struct rh_compressor_job job = job_of(j);

		rh_compressor_start(compressor, &job);
		stored = rh_compressor_wait(compressor, &bytes, &err);
		assert_non_null(stored);
		assert_int_equal(bytes, expected_bytes[j]);
		assert_memory_equal(stored, expected[j], bytes);
	}
	/* The prefix is worth something: half of each block stood in the one before. */
	assert_true(expected_bytes[1] < expected_bytes[0] * 3 / 4);
	rh_compressor_close(compressor);
}

static void closing_waits_for_what_is_under_way(void **state)
{
	struct rh_compressor *compressor;
	struct rh_compressor_job job;
	struct rh_err err;

	(void)state;
	fill();
	job = job_of(1);
	for (int i = 0; i < 20; i++) {
		expect_ok(rh_compressor_open(&compressor, 1 + i % 9, RAW, &err), &err);
		if (i % 2)
			rh_compressor_start(compressor, &job);
		rh_compressor_close(compressor);
	}
	rh_compressor_close(NULL);
}

static void what_cannot_be_squeezed_is_an_error(void **state)
{
	struct rh_compressor *compressor;
	struct rh_compressor_job job;
	struct rh_err err;
	size_t bytes;

	(void)state;
	fill();
	/* Room for a hundred bytes, and then there are more. */
	expect_ok(rh_compressor_open(&compressor, 3, 100, &err), &err);
	job = job_of(0);
	rh_compressor_start(compressor, &job);
	assert_null(rh_compressor_wait(compressor, &bytes, &err));
	assert_int_equal(err.code, RH_OS);
	assert_null(rh_compressor_squeeze(compressor, &job, &bytes, &err));
	rh_compressor_close(compressor);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_threads_give_the_same_bytes),
		cmocka_unit_test(closing_waits_for_what_is_under_way),
		cmocka_unit_test(what_cannot_be_squeezed_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
