/*
 * test_compile_random.c - large traces checked by an independent judge (check_program.h):
 * random ones in every shape of lanes, grains and epochs, the Android traces if available,
 * traces that were cut off, and a disk that fills at every write.
 */
#include <signal.h>
#include <sys/resource.h>

#include "harness/test/compile_support.h"
#include "traces/import/import.h"

#ifdef __SANITIZE_THREAD__ /* some 20 times slower, and compiling has one thread */
enum { SEEDS = 1 };
#else
enum { SEEDS = 3 };
#endif

/* ---- random traces ---- */

struct random {
	struct maker m;
	uint64_t seed;
	uint64_t live[2000], live_count;
	uint64_t tasks[64], task_count;
	uint32_t lanes[400], lane_count, lanes_started, lanes_max;
	uint64_t time_ns;
};

static uint64_t below(struct random *r, uint64_t bound)
{
	r->seed ^= r->seed << 13;
	r->seed ^= r->seed >> 7;
	r->seed ^= r->seed << 17;
	return r->seed % bound;
}

static uint64_t random_size(struct random *r)
{
	uint64_t kind = below(r, 100);

	return kind == 0  ? (1ull << 32) + below(r, 1000)
	       : kind < 5 ? below(r, 1 << 22)
			  : below(r, 300);
}

static void random_task_event(struct random *r, struct rh_event event)
{
	static const uint8_t kinds[] = { RH_EV_CALL, RH_EV_RETURN, RH_EV_GROW, RH_EV_SHRINK };
	uint64_t index = r->task_count ? below(r, r->task_count) : 0;
	bool spawn = r->task_count < 2 || (r->task_count < 64 && below(r, 4) == 0);

	event.size = 64 + below(r, 8192);
	event.id = spawn ? ++r->m.tasks : r->tasks[index];
	event.kind = spawn ? RH_EV_SPAWN : below(r, 3) == 0 ? RH_EV_EXIT : kinds[below(r, 4)];
	if (spawn)
		r->tasks[r->task_count++] = event.id;
	if (event.kind == RH_EV_EXIT) {
		r->tasks[index] = r->tasks[--r->task_count];
		event.size = 0;
	}
	make_put(&r->m, event);
	if (event.kind == RH_EV_EXIT && below(r, 2)) {
		event.kind = RH_EV_JOIN;
		event.lane = r->lanes[below(r, r->lane_count)];
		event.task = RH_TASK_NONE;
		make_put(&r->m, event);
	}
}

static void random_object_event(struct random *r, struct rh_event event)
{
	uint64_t index = r->live_count ? below(r, r->live_count) : 0;
	uint64_t what = r->live_count == 0 ? 0 : r->live_count == 2000 ? 9 : below(r, 12);

	if (below(r, 4)) /* the young die first, mostly */
		index = r->live_count ? r->live_count - 1 - index % (1 + r->live_count / 8) : 0;
	event.size = random_size(r);
	event.id = r->m.objects;
	if (what < 5) {
		event.kind = RH_EV_ALLOC;
		event.flags = (uint16_t)(below(r, 4) | (below(r, 6) ? 0 : RH_EVF_REALLOC) |
					 (below(r, 4) ? 0 : RH_EVF_NEW));
		event.align_log2 = below(r, 8) ? 0 : (uint8_t)(3 + below(r, 18));
		r->live[r->live_count++] = r->m.objects++;
	} else if (what == 5) {
		event.kind = RH_EV_RESIZE;
		event.old = r->live[index];
		event.arg = RH_NONE;
		r->live[index] = r->m.objects++;
	} else if (what == 11) {
		event.kind = RH_EV_FREE_NULL;
	} else if (what == 10) {
		event.kind = RH_EV_USABLE;
		event.id = r->live[index];
	} else {
		event.kind = RH_EV_FREE;
		event.id = r->live[index];
		event.flags = below(r, 3) ? 0 : RH_EVF_SIZED; /* of any size */
		event.arg = below(r, 2) ? below(r, 5000) : RH_NONE;
		r->live[index] = r->live[--r->live_count];
	}
	make_put(&r->m, event);
}

static void random_lane_event(struct random *r, struct rh_event event)
{
	uint32_t index = (uint32_t)below(r, r->lane_count + 1u);

	event.task = RH_TASK_NONE;
	if (index < r->lane_count && r->lane_count > 1) {
		event.kind = RH_EV_LANE_STOP;
		event.lane = r->lanes[index];
		r->lanes[index] = r->lanes[--r->lane_count];
	} else if (r->lane_count < r->lanes_max) {
		event.kind = RH_EV_LANE_START;
		event.lane = r->lanes[r->lane_count++] = r->lanes_started++;
	} else {
		event.kind = below(r, 2) ? RH_EV_GC_BEGIN : RH_EV_GC_END;
		event.id = below(r, 100);
	}
	make_put(&r->m, event);
}

static void make_random(uint64_t seed, uint32_t lanes_max, uint32_t events)
{
	static struct random r;

	r = (struct random){ .seed = seed * 0x9e3779b97f4a7c15ull + 1, .lanes_max = lanes_max };
	make_open(&r.m, RH_COL_TIME | RH_COL_TASK | RH_COL_ARG);
	for (uint32_t i = 0; i < lanes_max; i++) {
		lane_start(&r.m, i);
		r.lanes[r.lane_count++] = r.lanes_started++;
	}
	while (r.m.events < events) {
		uint64_t what = below(&r, 200);
		struct rh_event event = EVENT(.time_ns = r.time_ns += below(&r, 3000),
					      .lane = r.lanes[below(&r, r.lane_count)]);

		if (below(&r, 3) == 0)
			event.task = r.task_count ? (uint32_t)r.tasks[below(&r, r.task_count)] : 0;
		if (what < 2)
			random_lane_event(&r, event);
		else if (what < 30)
			random_task_event(&r, event);
		else
			random_object_event(&r, event);
	}
	make_close(&r.m);
}

static void random_traces_keep_order(void **state)
{
	static const struct {
		uint32_t lanes_max, events, grain, epoch;
	} shapes[] = {
		{ 2, 5000, 0, 0 },   { 3, 20000, 100, 1000 }, { 8, 20000, 64, 64 },
		{ 20, 30000, 0, 0 }, { 40, 30000, 1, 50 },    { 300, 40000, 512, 8192 },
	};
	static const uint32_t folds[] = { 0, 1, 2, 3, 7 };

	(void)state;
	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
		for (uint64_t seed = 1; seed <= SEEDS; seed++) {
			make_random(seed * 100 + i, shapes[i].lanes_max, shapes[i].events);
			for (size_t k = 0; k < sizeof(folds) / sizeof(folds[0]); k++) {
				struct rh_compile_options options = { .lanes = folds[k],
								      .grain_events =
									      shapes[i].grain,
								      .epoch_events =
									      shapes[i].epoch,
								      .times = seed == 2,
								      .touch = seed == 3 };
				struct rh_compile_stats stats = judge(&options);

				assert_true(stats.waits <= stats.edges_all);
				assert_true(folds[k] != 1 || stats.waits == 0);
			}
		}
}

/* Same input, same bytes. */
static void compiling_is_reproducible(void **state)
{
	struct rh_program a, b;
	struct rh_err err = { 0 };

	(void)state;
	make_random(5, 20, 20000);
	CHECK(rh_compile(trace_path, NULL, &a, NULL, &err) == 0, "%s", err.text);
	CHECK(rh_compile(trace_path, NULL, &b, NULL, &err) == 0, "%s", err.text);
	assert_int_equal(a.head->bytes, b.head->bytes);
	assert_memory_equal(a.base, b.base, a.head->bytes);
	rh_program_unmap(&a);
	rh_program_unmap(&b);
}

/* ---- full disks and cut-off traces ---- */

/* Files may only grow to 64 KiB, which acts like a full disk, at every possible write. */
static void full_disk_is_an_error(void **state)
{
	struct rlimit before, limit;

	(void)state;
	make_random(1, 4, 40000);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	signal(SIGXFSZ, SIG_IGN);
	for (rlim_t bytes = 0; bytes <= 256 << 10; bytes += 64 << 10) {
		limit = (struct rlimit){ bytes, before.rlim_max };
		assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
		assert_int_equal(fails(trace_path, NULL, "TMPDIR"), RH_IO);
	}
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	judge(NULL);
}

static void cut_off_traces_compile_as_far_as_whole(void **state)
{
	struct rh_compile_stats whole, part;
	struct stat st;

	(void)state;
	make_random(3, 4, 400000); /* several blocks */
	whole = judge(NULL);
	assert_null(whole.truncated);
	assert_int_equal(stat(trace_path, &st), 0);
	assert_int_equal(truncate(trace_path, st.st_size / 2), 0);
	part = judge(NULL);
	assert_non_null(part.truncated);
	assert_in_range(part.events, 1, whole.events - 1);
}

/* ---- real traces ---- */

static const char *shared(char *path, size_t bytes, const char *name)
{
	const char *base = getenv("REHEAP_SHARED");

	snprintf(path, bytes, "%s/data/android/%s.zip", base ? base : "../shared", name);
	return access(path, R_OK) == 0 ? path : NULL;
}

static void android(const char *name, double waits_max)
{
	const struct rh_importer *importer;
	struct rh_trace_make make = { .path = trace_path, .form = RH_FORM_BINARY };
	_Alignas(16) unsigned char opts[256] = { 0 };
	struct rh_trace_totals totals;
	struct rh_compile_stats stats;
	struct rh_err err = { 0 };
	char path[512];

#ifdef __SANITIZE_THREAD__
	print_message(
		"# SKIP ThreadSanitizer takes 3 minutes for it, and compiling has one thread\n");
	skip();
#endif
	if (!shared(path, sizeof(path), name)) {
		print_message("# SKIP %s.zip is not here: REHEAP_SHARED names the folder with "
			      "data/\n",
			      name);
		skip();
	}
	importer = rh_importer_of("android", &err);
	assert_non_null(importer);
	CHECK(rh_import(&(struct rh_import_job){ .importer = importer,
						 .path = path,
						 .opts = opts,
						 .make = &make,
						 .max_damage = RH_MAX_DAMAGE },
			&totals, &err) == 0,
	      "%s", err.text);
	stats = judge(NULL);
	assert_int_equal(stats.events, totals.events);
	CHECK((double)stats.waits <= waits_max * (double)stats.events, "%lu waits", stats.waits);
	for (uint32_t lanes = 1; lanes <= 4; lanes *= 2)
		assert_int_equal(judge_lanes(lanes).lanes, lanes);
}

static void android_systemui(void **state)
{
	(void)state;
	android("systemui", 0.013);
}

static void android_surfaceflinger(void **state)
{
	(void)state;
	android("surfaceflinger", 0.008);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_traces_keep_order),
		cmocka_unit_test(compiling_is_reproducible),
		cmocka_unit_test(full_disk_is_an_error),
		cmocka_unit_test(cut_off_traces_compile_as_far_as_whole),
		cmocka_unit_test(android_systemui),
		cmocka_unit_test(android_surfaceflinger),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
