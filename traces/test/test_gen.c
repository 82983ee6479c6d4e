/*
 * test_gen.c - every generator: the same seed gives the same bytes, another seed others;
 * the number of events and lanes is what was asked for; lanes share the work; and each
 * does what it is for (remote frees, hand-over, teeth, growth by Go's rule).
 */
#include "traces/gen/profile.h"
#include "traces/import/import.h"
#include "traces/test/gen_support.h"

enum { EVENTS = 60000, LANES = 3 };

static bool same_files(const char *a, const char *b)
{
	size_t a_bytes, b_bytes;
	char *a_data = load_trace(a, &a_bytes), *b_data = load_trace(b, &b_bytes);
	bool same = a_bytes == b_bytes && memcmp(a_data, b_data, a_bytes) == 0;

	free(a_data);
	free(b_data);
	return same;
}

static void test_seeds(void **state)
{
	const char *a = scratch_path("a.rht"), *b = scratch_path("b.rht");

	(void)state;
	for (int i = 0; rh_generators[i]; i++) {
		const char *name = rh_generators[i]->name;

		generate_ok(name, "lanes=3 events=60000 seed=7 time=on", a, NULL);
		generate_ok(name, "lanes=3 events=60000 seed=7 time=on", b, NULL);
		if (!same_files(a, b))
			fail_msg("%s: one seed, two traces", name);
		generate_ok(name, "lanes=3 events=60000 seed=8 time=on", b, NULL);
		if (same_files(a, b))
			fail_msg("%s: two seeds, one trace", name);
	}
}

/* What the option `events` counts. */
static bool counted(bool of_tasks, unsigned kind)
{
	if (of_tasks)
		return kind == RH_EV_SPAWN || kind == RH_EV_EXIT || kind == RH_EV_CALL ||
		       kind == RH_EV_RETURN;
	return kind == RH_EV_ALLOC || kind == RH_EV_FREE || kind == RH_EV_RESIZE;
}

/* Adds up counted events by lane, and what lanes, tasks and times must obey. */
static void count_lanes(const char *path, bool of_tasks, uint64_t by_lane[LANES],
			uint64_t *time_last)
{
	struct rh_event batch[512];
	struct rh_trace *trace;
	int got;

	memset(by_lane, 0, LANES * sizeof(*by_lane));
	*time_last = 0;
	expect_ok(rh_trace_open(&trace, path, &err), &err);
	while ((got = rh_trace_next(trace, batch, 512, &err)) > 0) {
		for (int i = 0; i < got; i++) {
			assert_true(batch[i].lane < LANES);
			by_lane[batch[i].lane] += counted(of_tasks, batch[i].kind);
			if (batch[i].time_ns == RH_NONE)
				continue;
			assert_true(batch[i].time_ns > *time_last);
			*time_last = batch[i].time_ns;
		}
	}
	expect_ok(got, &err);
	rh_trace_close(trace);
}

static void test_counts(void **state)
{
	const char *path = scratch_path("a.rht");

	(void)state;
	for (int i = 0; rh_generators[i]; i++) {
		struct rh_trace_totals totals;
		uint64_t by_lane[LANES], time_last, count = 0;
		const uint64_t *kinds = totals.by_kind;
		bool of_tasks = rh_generators[i]->of_tasks;

		generate_ok(rh_generators[i]->name, "lanes=3 events=60000", path, &totals);
		for (unsigned kind = 0; kind < RH_EV_COUNT; kind++)
			count += counted(of_tasks, kind) ? kinds[kind] : 0;
		assert_int_equal(count, EVENTS);
		assert_int_equal(totals.lanes, LANES);
		assert_int_equal(kinds[RH_EV_LANE_START], LANES);
		assert_int_equal(kinds[RH_EV_LANE_STOP], LANES);
		if (of_tasks) {
			assert_int_equal(totals.objects, 0);
			assert_true(kinds[RH_EV_EXIT] <= kinds[RH_EV_SPAWN]);
			assert_true(kinds[RH_EV_RETURN] <= kinds[RH_EV_CALL]);
		} else {
			assert_int_equal(kinds[RH_EV_SPAWN], kinds[RH_EV_EXIT]);
			assert_int_equal(kinds[RH_EV_SPAWN], kinds[RH_EV_JOIN]);
		}
		count_lanes(path, of_tasks, by_lane, &time_last);
		assert_int_equal(time_last, 0);
		/* No lane has less than half of its share. */
		for (int lane = 0; lane < LANES; lane++)
			assert_true(by_lane[lane] > EVENTS / LANES / 2);
	}
}

/* time=on adds times, which rise, and changes nothing else. */
static void test_time(void **state)
{
	const char *path = scratch_path("a.rht");

	(void)state;
	for (int i = 0; rh_generators[i]; i++) {
		struct rh_trace_totals plain, timed;
		uint64_t by_lane[LANES], by_lane_timed[LANES], time_last;

		generate_ok(rh_generators[i]->name, "lanes=3 events=20000", path, &plain);
		count_lanes(path, rh_generators[i]->of_tasks, by_lane, &time_last);
		generate_ok(rh_generators[i]->name, "lanes=3 events=20000 time=on", path, &timed);
		count_lanes(path, rh_generators[i]->of_tasks, by_lane_timed, &time_last);
		assert_memory_equal(by_lane, by_lane_timed, sizeof(by_lane));
		assert_int_equal(plain.live_bytes_peak, timed.live_bytes_peak);
		assert_int_equal(timed.time_ns_last, time_last);
		assert_in_range(time_last / timed.events, 60, 110);
	}
}

/* Extremes: one lane, one event; as many lanes as there may be. */
static void test_extremes(void **state)
{
	const char *path = scratch_path("a.rht");
	struct rh_trace_totals totals;

	(void)state;
	for (int i = 0; rh_generators[i]; i++) {
		const char *name = rh_generators[i]->name;

		generate_ok(name, "lanes=1 events=1", path, &totals);
		if (rh_generators[i]->of_tasks) {
			assert_int_equal(totals.by_kind[RH_EV_SPAWN], 1);
		} else {
			assert_int_equal(totals.by_kind[RH_EV_ALLOC], 1);
			assert_int_equal(totals.live_objects_end, 1);
		}
		generate_ok(name, "lanes=1024 events=5000", path, &totals);
		assert_int_equal(totals.lanes, 1024);
		assert_int_equal(generate(name, "lanes=0", path, NULL), -1);
		assert_int_equal(err.code, RH_USAGE);
		assert_int_equal(generate(name, "lanes=1025", path, NULL), -1);
		assert_int_equal(generate(name, "events=0", path, NULL), -1);
		assert_int_equal(generate(name, "nonsense=1", path, NULL), -1);
		assert_non_null(strstr(err.text, "nonsense"));
	}
}

static void test_notes(void **state)
{
	const char *path = scratch_path("a.rht");
	struct rh_trace *trace;

	(void)state;
	generate_ok("churn", "lanes=2 events=100 order=fifo", path, NULL);
	expect_ok(rh_trace_open(&trace, path, &err), &err);
	assert_string_equal(
		rh_trace_note_of(trace, "generator"),
		"churn lanes=2 events=100 seed=1 sized=off time=off order=fifo live=10000 "
		"burst=32 min=16 max=4096");
	assert_non_null(rh_trace_note_of(trace, "stresses"));
	rh_trace_close(trace);
}

/* ---- what each is for ---- */

/* A pass over a trace that knows where each object was born, how big it is and when. */
struct life {
	uint64_t frees, remote;
	uint64_t youngest, oldest; /* frees of the newest, of the oldest object alive */
	uint64_t sizes_out;	   /* births outside [least, most] */
};

struct birth {
	uint64_t id, size;
	uint32_t lane;
	bool alive;
};

static struct life lives_of(const char *path, uint64_t least, uint64_t most)
{
	struct birth *births = calloc(EVENTS + 1, sizeof(*births));
	uint64_t count = 0, oldest = 0;
	struct life life = { 0 };
	struct rh_event batch[512];
	struct rh_trace *trace;
	int got;

	assert_non_null(births);
	expect_ok(rh_trace_open(&trace, path, &err), &err);
	while ((got = rh_trace_next(trace, batch, 512, &err)) > 0) {
		for (int i = 0; i < got; i++) {
			const struct rh_event *event = &batch[i];
			uint64_t newest;

			if (event->kind == RH_EV_ALLOC) {
				births[count++] =
					(struct birth){ event->id, event->size, event->lane, true };
				life.sizes_out += event->size < least || event->size > most;
			}
			if (event->kind != RH_EV_FREE)
				continue;
			for (newest = count - 1; !births[newest].alive; newest--)
				;
			while (!births[oldest].alive)
				oldest++;
			life.frees++;
			life.remote += births[event->id].lane != event->lane;
			life.youngest += event->id == newest;
			life.oldest += event->id == oldest;
			births[event->id].alive = false;
		}
	}
	expect_ok(got, &err);
	rh_trace_close(trace);
	free(births);
	return life;
}

static void test_churn(void **state)
{
	const char *path = scratch_path("a.rht");
	struct rh_trace_totals totals;
	struct life life;

	(void)state;
	generate_ok("churn", "lanes=1 events=50000 live=1000 order=lifo min=8 max=100", path,
		    &totals);
	life = lives_of(path, 8, 100);
	assert_int_equal(life.youngest, life.frees);
	assert_int_equal(life.sizes_out, 0);
	assert_in_range(totals.live_objects_peak, 1000, 1000 + 64 * 32);
	generate_ok("churn", "lanes=1 events=50000 live=1000 order=fifo", path, NULL);
	life = lives_of(path, 16, 4096);
	assert_int_equal(life.oldest, life.frees);
	generate_ok("churn", "lanes=1 events=50000 live=1000 order=random", path, NULL);
	life = lives_of(path, 16, 4096);
	assert_true(life.oldest < life.frees / 50 && life.youngest < life.frees / 50);
	assert_int_equal(generate("churn", "min=100 max=10", path, NULL), -1);
	assert_int_equal(err.code, RH_USAGE);
}

static void test_producer_consumer(void **state)
{
	const char *path = scratch_path("a.rht");
	struct rh_trace_totals totals;
	struct life life;

	(void)state;
	generate_ok("producer-consumer", "lanes=4 events=50000 depth=100", path, &totals);
	life = lives_of(path, 32, 2048);
	assert_int_equal(life.remote, life.frees);
	assert_int_equal(life.sizes_out, 0);
	assert_true(totals.live_objects_peak <= 200);
	assert_int_equal(totals.by_kind[RH_EV_SPAWN], 3);
	generate_ok("producer-consumer", "lanes=1 events=50000", path, NULL);
	assert_int_equal(lives_of(path, 32, 2048).remote, 0);
}

static void test_larson(void **state)
{
	const char *path = scratch_path("a.rht");
	struct rh_trace_totals totals;
	struct life life;

	(void)state;
	/* 30000 replacements in all, a hand-over after each 8000: what is remote is the first
	 * replacement of each slot after a hand-over, 63 % to 98 % of 2000 slots, 3 times. */
	generate_ok("larson", "lanes=4 events=60000 slots=500 rounds=2000", path, &totals);
	life = lives_of(path, 10, 500);
	assert_int_equal(life.sizes_out, 0);
	assert_int_equal(totals.live_objects_peak, 4 * 500);
	assert_in_range(life.remote, life.frees / 10, life.frees / 2);
	generate_ok("larson", "lanes=4 events=15000 slots=500 rounds=1000000", path, NULL);
	assert_int_equal(lives_of(path, 10, 500).remote, 0);
}

static void test_sawtooth(void **state)
{
	const char *path = scratch_path("a.rht");
	struct rh_event batch[512];
	struct rh_trace *trace;
	uint64_t live = 0, tips = 0, feet = 0, size[EVENTS];
	uint64_t heap = 256 << 10;
	bool high = false;
	int got;

	(void)state;
	generate_ok("sawtooth", "lanes=1 events=60000 heap=256K survivors=10%", path, NULL);
	expect_ok(rh_trace_open(&trace, path, &err), &err);
	while ((got = rh_trace_next(trace, batch, 512, &err)) > 0) {
		for (int i = 0; i < got; i++) {
			if (batch[i].kind == RH_EV_ALLOC)
				live += size[batch[i].id] = batch[i].size;
			else if (batch[i].kind == RH_EV_FREE)
				live -= size[batch[i].id];
			assert_true(live <= heap + 5 * (16 << 10));
			if (!high && live >= heap)
				high = true, tips++;
			/* 10 % of this tooth and of three before are left */
			if (high && live < heap * 45 / 100)
				high = false, feet++;
		}
	}
	expect_ok(got, &err);
	rh_trace_close(trace);
	assert_true(tips >= 5 && feet >= tips - 1);
}

/* Growth of 8-byte elements as Go's: 1, 2, 4 ... 512 (256 elements doubled), then slower. */
static void test_slices(void **state)
{
	const char *path = scratch_path("a.rht");
	struct rh_event batch[512];
	struct rh_trace *trace;
	uint64_t size[EVENTS], slow = 0;
	int got;

	(void)state;
	generate_ok("slices", "lanes=2 events=60000 slices=20", path, NULL);
	expect_ok(rh_trace_open(&trace, path, &err), &err);
	while ((got = rh_trace_next(trace, batch, 512, &err)) > 0) {
		for (int i = 0; i < got; i++) {
			const struct rh_event *event = &batch[i];

			if (event->kind == RH_EV_ALLOC)
				assert_int_equal(event->size, 8);
			if (event->kind == RH_EV_ALLOC || event->kind == RH_EV_RESIZE)
				size[event->id] = event->size;
			if (event->kind != RH_EV_RESIZE)
				continue;
			if (size[event->old] < 256 * 8) {
				assert_int_equal(event->size, 2 * size[event->old]);
				continue;
			}
			/* by a quarter and 192 elements, rounded up by an eighth or a page */
			slow++;
			assert_true(event->size >= size[event->old] * 5 / 4 + 192 * 8);
			assert_true(event->size <=
				    (size[event->old] * 5 / 4 + 192 * 8) * 9 / 8 + 8192);
		}
	}
	expect_ok(got, &err);
	rh_trace_close(trace);
	assert_true(slow > 1000);
}

static void test_server(void **state)
{
	const char *path = scratch_path("a.rht");
	struct rh_trace_totals totals;
	struct life life;

	(void)state;
	generate_ok("server", "lanes=3 events=60000 heap=1M remote=20%", path, &totals);
	life = lives_of(path, 1, 256 << 10);
	assert_int_equal(life.sizes_out, 0);
	assert_in_range(totals.live_bytes_end, 700000, 1500000);
	/* an exchange needs a victim on the other lane, which rare sizes have not */
	assert_in_range(life.remote, life.frees * 8 / 100, life.frees * 25 / 100);
	generate_ok("server", "lanes=3 events=60000 heap=1M remote=0", path, NULL);
	assert_int_equal(lives_of(path, 1, 256 << 10).remote, 0);
}

/* ---- profiles ---- */

static void test_profile(void **state)
{
	static const char csv[] = "size,alloc_rate,live_count\n"
				  "16, 300, 1000.0\n"
				  "64, 100, 250\r\n"
				  "1048576, 1, 1\n";
	const char *path = scratch_path("p.csv");
	struct rh_gen_profile profile;
	struct rh_gen_random random;
	uint64_t drawn[2] = { 0 };

	(void)state;
	store_trace(path, csv, sizeof(csv) - 1);
	expect_ok(rh_gen_profile_open(&profile, path, 64000, 1000, &err), &err);
	assert_int_equal(profile.rows, 2);
	assert_int_equal(profile.left_out, 1);
	/* 16 * 1000 + 64 * 250 = 32000 bytes: twice that is asked for */
	assert_int_equal(profile.row[0].target, 2000ull << 32);
	assert_int_equal(profile.row[1].target, 500ull << 32);
	rh_gen_seed(&random, 1);
	for (int i = 0; i < 100000; i++)
		drawn[rh_gen_draw(&profile.by_rate, &random)]++;
	assert_in_range(drawn[0], 74500, 75500);
	drawn[0] = 0;
	for (int i = 0; i < 100000; i++)
		drawn[0] += rh_gen_draw(&profile.by_live, &random) == 0;
	assert_in_range(drawn[0], 79500, 80500);
	rh_gen_profile_close(&profile);
}

static void test_profile_refused(void **state)
{
	static const struct {
		const char *csv, *part;
	} bad[] = {
		{ "16,1\n", ":1: not a size profile" },
		{ "16,1,2\n8,x,1\n", ":2: not a size profile" },
		{ "16,1,2,3\n", ":1: " },
		{ "0,1,2\n", ":1: " },
		{ "16,-1,2\n", ":1: " },
		{ "16,inf,2\n", ":1: " },
		{ "16,nan,2\n", ":1: " },
		{ "1e300,1,2\n", ":1: " },
		{ "16,0,0\n", "no row has" },
		{ "9999999,1,1\n", "no row has" },
	};
	struct rh_gen_profile profile;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		const char *path = scratch_path("p.csv");

		store_trace(path, bad[i].csv, strlen(bad[i].csv));
		assert_int_equal(rh_gen_profile_open(&profile, path, 64000, 1000, &err), -1);
		assert_int_equal(err.code, RH_BAD_DATA);
		if (!strstr(err.text, bad[i].part) || !strstr(err.text, "p.csv"))
			fail_msg("'%s' and the file are not in: %s", bad[i].part, err.text);
	}
	assert_int_equal(generate("server", "csv=/nonexistent.csv", scratch_path("a.rht"), NULL),
			 -1);
	assert_int_equal(err.code, RH_NO_INPUT);
}

static void test_fleetbench(void **state)
{
	const char *root = getenv("REHEAP_SHARED"), *path = scratch_path("a.rht");
	struct rh_trace_totals totals;
	char words[4200];

	(void)state;
	for (int i = 0; i < 10; i++) {
		snprintf(words, sizeof(words), "%s/data/fleetbench/TCMALLOC_%d.csv",
			 root ? root : "../shared", i);
		if (access(words, R_OK) != 0) {
			print_message("# SKIP %s is not there: set REHEAP_SHARED\n", words);
			skip();
		}
		snprintf(words, sizeof(words),
			 "csv=%s/data/fleetbench/TCMALLOC_%d.csv heap=2M events=200000 lanes=2",
			 root ? root : "../shared", i);
		generate_ok("server", words, path, &totals);
		assert_in_range(totals.live_bytes_end, 1000000, 4500000);
		assert_true(totals.size_max <= 524288);
	}
}

static void test_kit(void **state)
{
	struct rh_gen_random random;
	uint64_t sum = 0, octave[8] = { 0 };

	(void)state;
	rh_gen_seed(&random, 42);
	for (int i = 0; i < 100000; i++) {
		uint64_t value = rh_gen_geometric(&random, 100);

		assert_in_range(value, 1, 6400);
		sum += value;
	}
	assert_in_range(sum / 100000, 95, 105);
	for (int i = 0; i < 80000; i++) {
		uint64_t value = rh_gen_log_uniform(&random, 16, 4095);

		assert_in_range(value, 16, 4095);
		octave[63 - __builtin_clzll(value) - 4]++;
	}
	for (int i = 0; i < 8; i++)
		assert_in_range(octave[i], 9500, 10500);
	assert_int_equal(rh_gen_between(&random, 5, 5), 5);
	assert_int_equal(rh_gen_log_uniform(&random, 5, 5), 5);
	assert_int_equal(rh_gen_share(1), UINT32_MAX);
	assert_int_equal(rh_gen_share(0.5), 1u << 31);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_seeds),
		cmocka_unit_test(test_counts),
		cmocka_unit_test(test_time),
		cmocka_unit_test(test_extremes),
		cmocka_unit_test(test_notes),
		cmocka_unit_test(test_churn),
		cmocka_unit_test(test_producer_consumer),
		cmocka_unit_test(test_larson),
		cmocka_unit_test(test_sawtooth),
		cmocka_unit_test(test_slices),
		cmocka_unit_test(test_server),
		cmocka_unit_test(test_profile),
		cmocka_unit_test(test_profile_refused),
		cmocka_unit_test(test_fleetbench),
		cmocka_unit_test(test_kit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
