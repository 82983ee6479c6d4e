/*
 * test_record_loss.c - nothing is lost, however the program ends and however many
 * threads it has; and the order between threads is the true one.
 */
#include "traces/test/record_run.h"

#include <sys/mman.h>
#include <sys/resource.h>

#include "traces/record/area.h"

enum { DYING_THREADS = 4, SHORT_THREADS = 5000 };

/* Calls of the longer programs. Under ThreadSanitizer the larger numbers take five minutes, and
 * what it looks for shows in the first of them. */
#ifdef __SANITIZE_THREAD__
#define PASSES	"2000"
#define HANDED	20000
#define CHURNED 100000
#else
#define PASSES	"40000"
#define HANDED	200000
#define CHURNED 500000
#endif
#define TEXT_OF(number) TEXT(number)
#define TEXT(number)	#number

/* Each thread counts a call in shared memory after it returned: the trace must hold all
 * of them, and at most one more, of the call during which it died. */
static void dies(const char *how, int status)
{
	char file[64];
	struct counts counts;
	const uint64_t *finished;
	int fd;

	snprintf(file, sizeof file, "%s/progress.bin", work_dir);
	assert_int_equal(record_helper(NULL, "die", "4", "60", file, how, NULL), status);
	fd = open(file, O_RDONLY);
	assert_true(fd >= 0);
	finished = mmap(NULL, 65536, PROT_READ, MAP_SHARED, fd, 0);
	assert_true(finished != MAP_FAILED);
	if (strcmp(how, "exec") == 0) { /* the image that allocated has its own trace */
		char pattern[64];
		glob_t found;

		snprintf(pattern, sizeof pattern, "%s/out.*.rht", work_dir);
		assert_int_equal(glob(pattern, 0, NULL, &found), 0);
		assert_int_equal(found.gl_pathc, 1);
		count_trace(found.gl_pathv[0], &counts);
		globfree(&found);
	} else {
		count_trace(out_path, &counts);
	}
	for (int i = 0; i < DYING_THREADS; i++) {
		assert_true(counts.born[i] >= finished[8 * i]);
		assert_true(counts.born[i] <= finished[8 * i] + 1);
		assert_true(finished[8 * i] > 0);
	}
	munmap((void *)(uintptr_t)finished, 65536);
	close(fd);
}

static void killed(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++)
		dies("kill", 128 + 9);
}

static void aborted(void **state)
{
	(void)state;
	dies("abort", 128 + 6);
}

static void crashed(void **state)
{
	(void)state;
	dies("segv", 128 + 11);
}

static void left_by_exit(void **state)
{
	(void)state;
	dies("_exit", 7);
}

static void left_by_exec(void **state)
{
	(void)state;
	dies("exec", 9);
}

static void a_thousand_threads(void **state)
{
	struct counts counts;

	(void)state;
	if (record_helper(NULL, "storm", "1000", "20", NULL) == 77) {
		print_message("# SKIP a thousand threads cannot be had here\n");
		skip();
	}
	count_trace(out_path, &counts);
	assert_int_equal(counts.born[0], 20000);
	assert_int_equal(counts.died[0], 20000);
	assert_int_equal(counts.lanes, 1001);
	assert_int_equal(counts.kind[RH_EV_SPAWN], 1000);
	assert_int_equal(counts.kind[RH_EV_EXIT], 1000);
	assert_int_equal(counts.kind[RH_EV_JOIN], 1000);
	assert_clean(out_path);
}

static void short_threads_in_sequence(void **state)
{
	struct counts counts;

	(void)state;
	assert_int_equal(record_helper(NULL, "sequence", "5000", NULL), 0);
	count_trace(out_path, &counts);
	assert_int_equal(counts.born[0], SHORT_THREADS);
	assert_int_equal(counts.died[0], SHORT_THREADS);
	assert_int_equal(counts.lanes, SHORT_THREADS + 1);
	assert_int_equal(counts.kind[RH_EV_JOIN], SHORT_THREADS);
	assert_clean(out_path);
}

/* Blocks go to the thread that their size names: a free on another lane, or one the
 * builder had to mend, would be an inversion. */
static void order_across_threads(void **state)
{
	static const char *const lanes[] = { "2", "3", "8", "32" };
	struct counts counts;

	(void)state;
	for (size_t i = 0; i < sizeof lanes / sizeof lanes[0]; i++) {
		/* Calls are lost, and that is said, where the recorder has no CPU for a second, as
		 * behind other work on a full machine: then once more. */
		for (int tries = 0;
		     tries == 0 || (tries < 5 && note_count(out_path, "drop.ring_full")); tries++)
			assert_int_equal(record_helper(NULL, "pass", lanes[i], PASSES, NULL), 0);
		count_trace(out_path, &counts);
		assert_int_equal(counts.foreign, 0);
		assert_true(counts.died[0] > 0 && counts.born[128] == 1);
		assert_int_equal(counts.lanes, strtoull(lanes[i], NULL, 10) + 1);
		assert_clean(out_path);
	}
}

static void order_at_the_tightest(void **state)
{
	struct counts counts;

	(void)state;
	assert_int_equal(record_helper(NULL, "hand", TEXT_OF(HANDED), NULL), 0);
	count_trace(out_path, &counts);
	assert_int_equal(counts.born[0], HANDED);
	assert_int_equal(counts.died[1], HANDED);
	assert_clean(out_path);
}

/* A small ring and many threads: they wait, and still nothing is lost; with --on-full drop, every
 * dropped call is counted. */
static void full_rings(void **state)
{
	struct rh_record_opts opts = record_defaults();
	struct counts counts;
	uint64_t have;

	(void)state;
	opts.buffer_bytes = 65536;
	assert_int_equal(record_helper(&opts, "churn", TEXT_OF(CHURNED), NULL), 0);
	count_trace(out_path, &counts);
	assert_int_equal(counts.born[0], CHURNED);
	assert_int_equal(counts.died[0], CHURNED);
	opts.on_full = RH_FULL_DROP;
	assert_int_equal(record_helper(&opts, "churn", TEXT_OF(CHURNED), NULL), 0);
	count_trace(out_path, &counts);
	have = counts.kind[RH_EV_ALLOC] + counts.kind[RH_EV_FREE] -
	       note_count(out_path, "repair.alloc_live") +
	       note_count(out_path, "drop.free_unknown");
	assert_int_equal(have + note_count(out_path, "drop.ring_full"), 2 * CHURNED);
}

/* The file system takes no more: the program runs on, what was captured is a trace, and
 * what was not is counted. A file size limit stands for the full disk. */
static void full_disk(void **state)
{
	struct rlimit before, small;
	struct counts counts;
	uint64_t have;
	int status;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	small = before;
	small.rlim_cur = 4 << 20;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	status = record_helper(NULL, "churn", "1000000", NULL);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	assert_int_equal(status, 0);
	count_trace(out_path, &counts);
	have = counts.kind[RH_EV_ALLOC] + counts.kind[RH_EV_FREE];
	assert_true(have > 200000 && have < 600000);
	assert_true(note_count(out_path, "drop.disk_full") > 0);
}

/* Whatever address this machine gives a program, low, of its stack or mapped, is kept whole in one
 * word with the largest size. On AArch64 the last two are past 2^47. */
static void short_records_keep_addresses(void **state)
{
	void *mapped = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	const uint64_t addresses[] = { 8, 0x400010, (uintptr_t)&mapped & -8ull, (uintptr_t)mapped };

	(void)state;
	assert_ptr_not_equal(mapped, MAP_FAILED);
	munmap(mapped, 4096);
	for (unsigned i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
		const struct rh_rec in = { .kind = RH_REC_USABLE,
					   .address = addresses[i],
					   .tail = (1 << RH_REC_SIZE_BITS) - 1 };
		uint64_t words[RH_REC_MOST_WORDS];
		struct rh_rec out;

		assert_int_equal(rh_rec_pack(&in, words), 1);
		rh_rec_unpack(words, &out);
		assert_int_equal(out.kind, in.kind);
		assert_int_equal(out.address, in.address);
		assert_int_equal(out.tail, in.tail);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(short_records_keep_addresses),
		cmocka_unit_test(killed),
		TEST_ALONG(killed),
		cmocka_unit_test(aborted),
		cmocka_unit_test(crashed),
		cmocka_unit_test(left_by_exit),
		cmocka_unit_test(left_by_exec),
		cmocka_unit_test(a_thousand_threads),
		TEST_ALONG(a_thousand_threads),
		cmocka_unit_test(short_threads_in_sequence),
		TEST_ALONG(short_threads_in_sequence),
		cmocka_unit_test(order_across_threads),
		TEST_ALONG(order_across_threads),
		cmocka_unit_test(order_at_the_tightest),
		cmocka_unit_test(full_disk),
		cmocka_unit_test(full_rings),
	};

	return cmocka_run_group_tests(tests, record_setup, record_teardown);
}
