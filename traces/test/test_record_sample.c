/*
 * test_record_sample.c - sampling by bytes: the draws are what they claim to be, and what a
 * sample says of all blocks is right for a program of which all is known.
 *
 * Seeds are fixed. A number of blocks in a sample is binomial: each is held against four of its
 * standard deviations, and so is the sum over all seeds, where a bias would add up.
 */
#include "traces/test/record_run.h"

#include <math.h>

#include "traces/format/check.h"
#include "traces/record/shim/gap.h"

enum { SEEDS = 8, ROUNDS = 2000 };

static void logarithms_are_right(void **state)
{
	uint64_t random = 42;

	(void)state;
	for (int i = 0; i < 10000; i++) {
		uint64_t u = rh_random(&random) >> (i % 60);

		if (u)
			assert_true(fabs((double)rh_gap_log2(u) / 4294967296.0 -
					 (64 - log2((double)u))) < 1e-9);
	}
	assert_int_equal(rh_gap_log2(1ull << 63), 1ull << 32);
}

/* Numbers are whole: one more or less may be, where the deviation is less than that. */
static void assert_near(double got, double count, double chance)
{
	double error = sqrt(count * chance * (1 - chance));

	if (fabs(got - count * chance) > 4 * error + 1)
		fail_msg("%.0f of %.0f, and the chance is %.6f: %.1f standard deviations", got,
			 count, chance, (got - count * chance) / error);
}

/* So many gaps are at least as long as a block: then it is not hit. */
static void gaps_are_exponential(void **state)
{
	static const uint64_t blocks[] = { 1, 10, 100, 700, 1000, 3000, 6000 };
	enum { MEAN = 1000, DRAWS = 200000 };
	uint64_t random = 7, longer[7] = { 0 };
	double sum = 0;

	(void)state;
	for (int i = 0; i < DRAWS; i++) {
		uint64_t gap = rh_gap_next(&random, MEAN);

		sum += (double)gap;
		for (int k = 0; k < 7; k++)
			longer[k] += gap >= blocks[k];
	}
	for (int k = 0; k < 7; k++)
		assert_near((double)longer[k], DRAWS, exp(-(double)blocks[k] / MEAN));
	/* the mean of whole parts is 1 / (e^(1/R) - 1) */
	assert_true(fabs(sum / DRAWS - 1 / expm1(1.0 / MEAN)) < 4 * MEAN / sqrt(DRAWS));
	assert_true(rh_gap_next(&random, 1ull << 40) < 64ull << 40);
}

/* By size: births in the sample, and deaths. */
struct drawn {
	uint64_t born[200001], died[200001];
};

static void count_sizes(struct drawn *drawn)
{
	static struct rh_event batch[RH_TRACE_BATCH];
	struct rh_map live = { 0 };
	struct rh_trace *trace;
	struct rh_err err = { 0 };
	int got;

	assert_int_equal(rh_trace_open(&trace, out_path, &err), 0);
	while ((got = rh_trace_next(trace, batch, RH_TRACE_BATCH, &err)) > 0)
		for (int i = 0; i < got; i++) {
			const struct rh_event *event = &batch[i];
			uint64_t died;

			if (event->kind == RH_EV_FREE || event->kind == RH_EV_RESIZE) {
				died = rh_map_remove(&live, event->kind == RH_EV_FREE ? event->id
										      : event->old);
				assert_true(died != RH_MAP_NONE);
				drawn->died[died < 200001 ? died : 0]++;
			}
			if (event->kind == RH_EV_ALLOC || event->kind == RH_EV_RESIZE) {
				assert_true(rh_map_put(&live, event->id, event->size));
				drawn->born[event->size < 200001 ? event->size : 0]++;
			}
		}
	assert_int_equal(got, 0);
	rh_trace_close(trace);
	rh_map_close(&live);
}

static const struct known {
	uint64_t size;
	bool only; /* nobody else in the process asks for that size */
} known[] = {
	{ 40, false },	     { 700, false },	  { MAGIC, true },
	{ MAGIC + 1, true }, { MAGIC + 2, true }, { MAGIC + 3, true },
	{ MAGIC + 4, true }, { MAGIC + 5, true }, { 200000, true },
};
enum { KNOWN = sizeof known / sizeof known[0] };

static void check_classes(const char *threads, double blocks)
{
	struct rh_record_opts opts = record_defaults();
	double sum[KNOWN] = { 0 };

	opts.sample_bytes = 16384;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		static struct drawn drawn;

		memset(&drawn, 0, sizeof drawn);
		opts.sample_seed = seed;
		assert_int_equal(record_helper(&opts, "classes", "2000", threads, NULL), 0);
		assert_clean(out_path);
		assert_int_equal(note_count(out_path, RH_SAMPLE_NOTE), 16384);
		count_sizes(&drawn);
		for (int k = 0; k < KNOWN; k++) {
			uint64_t size = known[k].size, born = drawn.born[size];

			if (known[k].only)
				assert_int_equal(drawn.died[size], born);
			assert_near((double)born, blocks, rh_sample_chance(16384, size));
			sum[k] += (double)born;
		}
	}
	for (int k = 0; k < KNOWN; k++)
		assert_near(sum[k], SEEDS * blocks, rh_sample_chance(16384, known[k].size));
}

static void known_sizes_are_found(void **state)
{
	(void)state;
	check_classes("0", ROUNDS);
}

static void of_several_threads_too(void **state)
{
	(void)state;
	check_classes("3", 4 * ROUNDS);
}

/* What `info` prints: 9 blocks a round, of known sizes. */
static void totals_are_estimated(void **state)
{
	static const double births = 9.0 * ROUNDS,
			    bytes = ROUNDS * (6.0 * MAGIC + 15 + 40 + 700 + 200000);
	struct rh_record_opts opts = record_defaults();
	struct rh_check check;
	struct rh_trace *trace;
	struct rh_err err = { 0 };
	double off_births = 0, off_bytes = 0;

	(void)state;
	opts.sample_bytes = 16384;
	for (opts.sample_seed = 1; opts.sample_seed <= SEEDS; opts.sample_seed++) {
		assert_int_equal(record_helper(&opts, "classes", "2000", "0", NULL), 0);
		assert_int_equal(rh_trace_open(&trace, out_path, &err), 0);
		assert_int_equal(rh_check_trace(trace, &check, &err), 0);
		rh_trace_close(trace);
		assert_int_equal(check.sample.interval, 16384);
		off_births = (check.sample.births.value - births) /
			     rh_sample_error(&check.sample.births);
		off_bytes = (check.sample.bytes_born.value - bytes) /
			    rh_sample_error(&check.sample.bytes_born);
		/* libc asks for some more: less than 100 blocks and 128 KiB */
		assert_true(fabs(off_births) < 4 + 100 / rh_sample_error(&check.sample.births));
		assert_true(fabs(off_bytes) <
			    4 + 131072 / rh_sample_error(&check.sample.bytes_born));
		assert_true(check.sample.live_bytes_most.value > 0);
	}
}

/* Hit by nearly every byte, a sample is the whole. */
static void nearly_all(void **state)
{
	struct rh_record_opts opts = record_defaults();
	struct counts counts;

	(void)state;
	opts.sample_bytes = 1;
	assert_int_equal(record_helper(&opts, "family", NULL), 0);
	count_trace(out_path, &counts);
	for (unsigned size = 20; size < MAGICS; size++)
		assert_int_equal(counts.born[size], counts.died[size]);
	assert_int_equal(counts.born[0], 1);
	assert_int_equal(counts.born[60], 1);
	assert_int_equal(counts.born[167], 1); /* aligned_alloc */
	assert_int_equal(counts.kind[RH_EV_RESIZE], 2);
	assert_clean(out_path);
	assert_int_equal(record_helper(&opts, "endings", NULL), 0);
	count_trace(out_path, &counts);
	assert_int_equal(counts.born[0], 2);
	assert_int_equal(counts.kind[RH_EV_SPAWN], 4);
	assert_int_equal(counts.kind[RH_EV_JOIN], 3);
	assert_clean(out_path);
	assert_int_equal(record_helper(&opts, "signals", "300", NULL), 0);
	count_trace(out_path, &counts);
	assert_int_equal(counts.born[5], counts.died[5]);
	assert_int_equal(counts.born[5], strtoull(output, NULL, 10) + 1);
}

/* A forked child knows no blocks of its parent, and draws for itself. */
static void children_sample_too(void **state)
{
	struct rh_record_opts opts = record_defaults();
	char pattern[80];
	struct counts counts;
	glob_t found;
	uint64_t born[4] = { 0 };

	(void)state;
	opts.follow = true;
	opts.sample_bytes = 1;
	assert_int_equal(record_helper(&opts, "forks", NULL), 0);
	snprintf(pattern, sizeof pattern, "%s/out*.rht", work_dir);
	assert_int_equal(glob(pattern, 0, NULL, &found), 0);
	assert_int_equal(found.gl_pathc, 4);
	for (size_t i = 0; i < found.gl_pathc; i++) {
		assert_int_equal(note_count(found.gl_pathv[i], RH_SAMPLE_NOTE), 1);
		assert_clean(found.gl_pathv[i]);
		count_trace(found.gl_pathv[i], &counts);
		for (int k = 0; k < 4; k++)
			born[k] += counts.born[k];
	}
	globfree(&found);
	assert_int_equal(born[0], 20);
	assert_int_equal(born[1], 20);
	assert_int_equal(born[2], 30);
	assert_int_equal(born[3], 40);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(logarithms_are_right),	 cmocka_unit_test(gaps_are_exponential),
		cmocka_unit_test(known_sizes_are_found), cmocka_unit_test(of_several_threads_too),
		cmocka_unit_test(totals_are_estimated),	 cmocka_unit_test(nearly_all),
		cmocka_unit_test(children_sample_too),
	};

	return cmocka_run_group_tests(tests, record_setup, record_teardown);
}
