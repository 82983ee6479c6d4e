/*
 * test_import_go_fuzz.c - damaged Go traces: bytes changed, cut, doubled, counts blown up. The
 * importer must say what is wrong or import what is left, never crash, hang or balloon; what
 * it writes must be a legal trace whose account adds up. The same on every run. The program
 * may map 1 GiB, of which reading, writing and their threads take a quarter.
 */
#include "traces/test/go_maker.h"

enum { MUTATIONS = 60, UNPACKED_MAX = 1 << 21, HEAD = 16 };

static size_t unpack(const char *name, uint8_t *data)
{
	char path[4096];
	const char *folder = getenv("REHEAP_SHARED");
	struct rh_input *input;
	struct rh_err err;
	size_t bytes = 0;
	ssize_t got;

	snprintf(path, sizeof(path), "%s/data/go/%s.trace.gz", folder ? folder : "../shared", name);
	if (access(path, R_OK) != 0)
		return 0;
	expect_ok(rh_input_open(&input, path, &err), &err);
	while ((got = rh_input_read(input, data + bytes, UNPACKED_MAX - bytes, &err)) > 0)
		bytes += (size_t)got;
	rh_input_close(input);
	return bytes;
}

static void check(const uint8_t *data, size_t bytes)
{
	ik_import("go", "damaged.trace", data, bytes);
	if (ik.rc == 0)
		ik_adds_up("go");
	else
		assert_in_range(ik.err.code, RH_BAD_DATA, RH_NO_INPUT);
}

static void mutate(struct maker *maker, uint8_t *data, size_t bytes)
{
	for (uint64_t edits = 1 + maker_below(maker, 6); edits; edits--) {
		size_t at = HEAD + (size_t)maker_below(maker, bytes - HEAD - 16);
		size_t length = 1 + (size_t)maker_below(maker, 12);

		switch (maker_below(maker, 4)) {
		case 0:
			data[at] = (uint8_t)maker_random(maker);
			break;
		case 1:
			data[at] ^= (uint8_t)(1u << maker_below(maker, 8));
			break;
		case 2:
			memset(data + at, maker_below(maker, 2) ? 0xff : 0, length);
			break;
		default:
			memmove(data + at, data + HEAD + maker_below(maker, bytes - HEAD - 16),
				length);
		}
	}
}

static void fuzz(const char *name, uint64_t seed)
{
	uint8_t *data = malloc(UNPACKED_MAX), *damaged = malloc(UNPACKED_MAX);
	struct maker maker;
	size_t bytes;

	assert_non_null(data);
	assert_non_null(damaged);
	bytes = unpack(name, data);
	if (bytes == 0) {
		free(data);
		free(damaged);
		print_message("# SKIP %s is not here (REHEAP_SHARED names its folder)\n", name);
		skip();
	}
	maker_open(&maker, 0, seed);
	for (int i = 0; i < MUTATIONS; i++) {
		memcpy(damaged, data, bytes);
		mutate(&maker, damaged, bytes);
		check(damaged, bytes);
		check(data, HEAD + (size_t)maker_below(&maker, bytes - HEAD));
	}
	maker_close(&maker);
	free(data);
	free(damaged);
}

static void damaged_traces_do_no_harm(void **state)
{
	(void)state;
	fuzz("mini1.24.2", 1);
	fuzz("mini1.26.1", 2);
}

static void a_cut_trace_gives_its_whole_batches(void **state)
{
	uint8_t *data = malloc(UNPACKED_MAX);
	size_t bytes;

	(void)state;
	assert_non_null(data);
	bytes = unpack("mini1.26.1", data);
	if (bytes == 0) {
		free(data);
		print_message("# SKIP mini1.26.1 is not here (REHEAP_SHARED names its folder)\n");
		skip();
	}
	check(data, bytes / 2);
	assert_int_equal(ik.rc, 0);
	assert_true(ik.totals.by_kind[RH_EV_ALLOC] > 259);
	assert_true(ik.totals.by_kind[RH_EV_ALLOC] < 3280);
	free(data);
}

/* Heads of batches that promise what is not there. */
static void hostile_heads_are_refused(void **state)
{
	static const struct {
		const char *bytes;
		size_t count;
	} heads[] = {
		{ "go 1.26 trace\0\0\0\1\1\1\1\xff\xff\xff\xff\xff\xff\xff\xff\xff\1", 30 },
		{ "go 1.26 trace\0\0\0\1\1\1\1\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\1", 31 },
		{ "go 1.26 trace\0\0\0\7", 17 },
		{ "go 1.26 trace\0\0\0\1\1\1\1\2\200\0", 23 },
		{ "go 1.26 trace\0\0\0\1\1\1\1\4\371\0\0\0", 25 },
		{ "go 1.30 trace\0\0\0", 16 },
		{ "go 1.11 trace\0\0\0", 16 },
		{ "go 1.26", 7 },
		{ "", 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
		ik_import("go", "hostile.trace", heads[i].bytes, heads[i].count);
		assert_int_equal(ik.rc, -1);
		assert_int_equal(ik.err.code, RH_BAD_DATA);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(damaged_traces_do_no_harm),
		cmocka_unit_test(a_cut_trace_gives_its_whole_batches),
		cmocka_unit_test(hostile_heads_are_refused),
	};

	gm_limit((size_t)1 << 30);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
