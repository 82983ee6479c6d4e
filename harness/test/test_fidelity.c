/*
 * test_fidelity.c - the heap against small Go programs: real traces of 1.23 to 1.26 next to the
 * repository, and the shipped corpus of Go traces.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "harness/fidelity/fidelity.h"
#include "traces/import/import.h"

static char imported[64];
static uint64_t stacks_made, stacks_right; /* of the last that was replayed */

static int set_up(void **state)
{
	(void)state;
	snprintf(imported, sizeof(imported), "/tmp/reheap-fidelity-%d.rht", (int)getpid());
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	unlink(imported);
	return 0;
}

/* False when the recording is not here. */
static bool import_shared(const char *name, const char *word)
{
	const char *folder = getenv("REHEAP_SHARED");
	_Alignas(16) unsigned char opts[256] = { 0 };
	char path[4096], text[64];
	struct rh_opt_store store = { text, sizeof(text) };
	struct rh_err err = { 0 };
	const struct rh_importer *go = rh_importer_of("go", &err);
	struct rh_trace_make make = { .path = imported };
	struct rh_trace_totals totals;

	snprintf(path, sizeof(path), "%s/%s.gz", folder ? folder : "../shared", name);
	if (access(path, R_OK) != 0)
		return false;
	assert_int_equal(rh_opt_defaults(go->opts, opts, &err), 0);
	if (word)
		assert_int_equal(rh_opt_set_word(&(struct rh_opt_target){ go->opts, opts, "go" },
						 word, strlen(word), &store, &err),
				 0);
	assert_int_equal(rh_import(&(struct rh_import_job){ .importer = go,
							    .path = path,
							    .opts = opts,
							    .make = &make },
				   &totals, &err),
			 0);
	return true;
}

static enum rh_exit verdict_of(const char *path)
{
	const struct rh_fidelity_opts opts = { 0 };
	struct rh_err err = { 0 };
	struct rh_fidelity *f = rh_fidelity_run(path, &opts, &err);
	enum rh_exit verdict;

	if (!f)
		fail_msg("%s", err.text);
	assert_true(f->done);
	assert_int_equal(f->failed, 0);
	assert_int_equal(f->class_right, f->objects);
	assert_int_equal(f->class_differs, 0);
	stacks_right = f->stacks_right;
	stacks_made = f->stacks_made;
	verdict = rh_fidelity_print(
		&(struct rh_fidelity_report){
			.recorded = f, .limit = 0.02, .path = path, .all_edges = true },
		stderr);
	rh_fidelity_free(f);
	return verdict;
}

static void every_recorded_version_is_matched(void **state)
{
	static const char *const names[] = {
		"data/go/mini1.23.1.trace", "data/go/mini1.24.2.trace", "data/go/mini1.25.2.trace",
		"data/go/mini1.26.1.trace", "data/go/mini1.26.3.trace",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (!import_shared(names[i], NULL)) {
			print_message("# SKIP %s is not here\n", names[i]);
			skip();
		}
		/* Go 1.23 does not record all of it */
		assert_int_equal(verdict_of(imported), i == 0 ? RH_INCONCLUSIVE : RH_OK);
		/* 1.23 loses events of stacks, later versions record all */
		if (i > 0)
			assert_in_range(stacks_right, stacks_made - stacks_made / 50, stacks_made);
	}
}

static enum rh_exit verdict_at(const char *path, const char *setting)
{
	const struct rh_fidelity_opts opts = { .setting = setting };
	struct rh_err err = { 0 };
	struct rh_fidelity *f = rh_fidelity_run(path, &opts, &err);
	enum rh_exit verdict;

	if (!f)
		fail_msg("%s", err.text);
	verdict = rh_fidelity_print(
		&(struct rh_fidelity_report){ .recorded = f, .limit = 0.02, .path = path }, stderr);
	rh_fidelity_free(f);
	return verdict;
}

/* The runtime's own series: ours equal them at the setting it ran with, and differ at another. */
static void goals_are_the_recorded_ones(void **state)
{
	(void)state;
	assert_int_equal(verdict_at("traces/corpus/go/workers.rht", "gogc=100:roots=160000"),
			 RH_OK);
	assert_int_equal(verdict_at("traces/corpus/go/workers.rht", "gogc=110:roots=160000"),
			 RH_FAILED);
}

static void spans_are_equal(const struct rh_fidelity *f)
{
	assert_int_equal(f->span_allocs[0], f->span_allocs[1]);
	assert_int_equal(f->span_frees[0], f->span_frees[1]);
	for (uint32_t i = 0; i < f->edge_count; i++)
		for (int kind = 0; kind < FIDELITY_KINDS; kind++)
			assert_int_equal(f->edges[i].spans[kind][0], f->edges[i].spans[kind][1]);
}

/* Programs that once exposed errors: large objects in flight, a heap without inline marks,
 * thousands of parked goroutines, eight Ps, a file that was cut off. */
static void cases_are_matched(void **state)
{
	static const struct {
		const char *name, *profile;
		bool exact; /* as many spans made and freed, and equal at every edge */
	} cases[] = {
		{ "restr-126", "1.26", true },
		{ "parked-126", "1.26", false },
		{ "s8", "1.26", true },
		{ "m99", "1.26", true },
		/* built without Green Tea */
		{ "maps-126-nogt", "1.26-nogreenteagc", false },
	};
	const struct rh_fidelity_opts opts = { 0 };
	size_t count = sizeof(cases) / sizeof(cases[0]);

#ifdef __SANITIZE_THREAD__ /* some 20 times slower, and there is one thread */
	count = 2;
#endif
	(void)state;
	for (size_t i = 0; i < count; i++) {
		char path[64];
		struct rh_err err = { 0 };
		struct rh_fidelity *f;

		snprintf(path, sizeof(path), "cases/go/%s.out", cases[i].name);
		if (!import_shared(path, NULL)) {
			print_message("# SKIP %s is not here\n", path);
			skip();
		}
		f = rh_fidelity_run(imported, &opts, &err);
		if (!f)
			fail_msg("%s", err.text);
		assert_string_equal(f->profile, cases[i].profile);
		assert_int_equal(rh_fidelity_print(&(struct rh_fidelity_report){ .recorded = f,
										 .limit = 0.02,
										 .path = path },
						   stderr),
				 RH_OK);
		if (cases[i].exact)
			spans_are_equal(f);
		rh_fidelity_free(f);
	}
}

/* A flight recorder has no heap of the start: nothing could be compared, and it says so. */
static void a_flight_recorder_is_refused(void **state)
{
	const struct rh_fidelity_opts opts = { 0 };
	struct rh_err err = { 0 };

	(void)state;
	if (!import_shared("cases/go/flight1.out", NULL)) {
		print_message("# SKIP flight1 is not here\n");
		skip();
	}
	assert_null(rh_fidelity_run(imported, &opts, &err));
	assert_int_equal(err.code, RH_INCONCLUSIVE);
	assert_non_null(strstr(err.text, "flight recorder"));
}

static void the_shipped_corpus_is_matched(void **state)
{
	static const char *const names[] = {
		"jsonapi", "parser", "workers", "recursion", "esbuild", "nats",
	};
	char path[128];
	unsigned tried = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "traces/corpus/go/%s.rht", names[i]);
		if (access(path, R_OK) != 0)
			continue;
		tried++;
		assert_int_equal(verdict_of(path), RH_OK);
	}
	assert_int_not_equal(tried, 0);
}

/* The same trace gives the same numbers twice: nothing is random. */
static void runs_repeat_exactly(void **state)
{
	const struct rh_fidelity_opts opts = { 0 };
	struct rh_fidelity *a, *b;
	struct rh_err err = { 0 };

	(void)state;
	if (!import_shared("data/go/mini1.26.1.trace", NULL)) {
		print_message("# SKIP mini1.26.1 is not here\n");
		skip();
	}
	a = rh_fidelity_run(imported, &opts, &err);
	b = rh_fidelity_run(imported, &opts, &err);
	assert_non_null(a);
	assert_non_null(b);
	assert_int_equal(a->edge_count, 8);
	assert_memory_equal(a->edges, b->edges, a->edge_count * sizeof(a->edges[0]));
	rh_fidelity_free(a);
	rh_fidelity_free(b);
}

/* A task takes a span of tiny blocks and waits for a collection to start; another fills it. */
static void a_tiny_span_is_of_all_on_its_lane(void **state)
{
	static const char made[] = "reheap-trace 1 columns=time,task,arg\n"
				   "note go.profile=1.26\nnote go.trace_format=26\n"
				   "site 1=go.span_alloc\nsite 2=go.flushed\n"
				   "lane_start lane=0 time=0\n"
				   "spawn lane=0 id=1 time=1\nspawn lane=0 id=2 time=1\n"
				   "ref lane=0 id=1 arg=522 time=2 task=1\n"
				   "alloc lane=0 id=0 size=8 flags=noscan,scan_known,tiny "
				   "time=3 task=2\n"
				   "gc_begin lane=0 id=1 time=4\ngc_end lane=0 id=1 time=5\n"
				   "alloc lane=0 id=1 size=8 flags=noscan,scan_known,tiny "
				   "time=6 task=1\n"
				   "end events=8\n";
	const struct rh_fidelity_opts opts = { 0 };
	FILE *file = fopen(imported, "w");
	struct rh_fidelity *f;
	struct rh_err err = { 0 };

	(void)state;
	assert_non_null(file);
	fputs(made, file);
	fclose(file);
	f = rh_fidelity_run(imported, &opts, &err);
	if (!f)
		fail_msg("%s", err.text);
	assert_int_equal(f->edge_count, 2);
	for (int side = 0; side < 2; side++)
		assert_int_equal(f->edges[0].curve[FIDELITY_SPANS][side], 1);
	rh_fidelity_free(f);
}

/* A made trace of two lanes: the stacks that Go has and the replay, as its cycle begins and ends.
 */
static void stacks_of(const char *events, uint64_t bytes[2][2])
{
	static const char names[] =
		"reheap-trace 1 columns=time,task,arg\n"
		"note go.profile=1.26\nnote go.trace_format=26\n"
		"site 1=go.stack_alloc\nsite 2=go.flushed\nsite 3=go.stack_free\n"
		"site 4=go.stack_span\nsite 5=go.stack_span_free\nsite 6=go.marks\n"
		"lane_start lane=0 time=0\nlane_start lane=1 time=0\n"
		"spawn lane=0 id=1 time=1\nspawn lane=0 id=2 time=1\n";
	const struct rh_fidelity_opts opts = { 0 };
	FILE *file = fopen(imported, "w");
	struct rh_fidelity *f;
	struct rh_err err = { 0 };

	assert_non_null(file);
	fputs(names, file);
	fputs(events, file);
	fclose(file);
	f = rh_fidelity_run(imported, &opts, &err);
	if (!f)
		fail_msg("%s", err.text);
	assert_int_equal(f->edge_count, 2);
	for (int edge = 0; edge < 2; edge++)
		for (int side = 0; side < 2; side++)
			bytes[edge][side] = f->edges[edge].curve[FIDELITY_STACK][side];
	rh_fidelity_free(f);
}

/* Stacks of 256 KiB, number 7 and 8: span << 32 | pages, span << 10 | log2 of the bytes. */
#define MAKES_7 \
	"ref lane=0 id=4 arg=30064771104 time=2 task=1\nref lane=0 id=1 arg=7186 time=2 task=1\n"
#define MAKES_8 \
	"ref lane=0 id=4 arg=34359738400 time=3 task=1\nref lane=0 id=1 arg=8210 time=3 task=1\n"
#define FREES_7 "ref lane=0 id=3 arg=7186 time=4 task=1\n"
#define GOES_7	"ref lane=0 id=5 arg=30064771104 time=9 task=1\n"

/* A thread loses its CPU between the event of a free stack and the free of its span. */
static void a_large_stack_parts(void **state)
{
	uint64_t bytes[2][2];

	(void)state;
	stacks_of(MAKES_7 MAKES_8 FREES_7 "gc_begin lane=1 id=1 time=5\n" GOES_7
					  "ref lane=1 id=6 arg=1 time=10\n"
					  "gc_end lane=1 id=1 time=11\nend events=13\n",
		  bytes);
	assert_int_equal(bytes[0][0], 262144);
	assert_int_equal(bytes[0][1], 262144);
	assert_int_equal(bytes[1][0], bytes[1][1]);
	/* It goes on while a cycle marks: Go keeps the span until the end. */
	stacks_of(MAKES_7 MAKES_8 FREES_7 "gc_begin lane=1 id=1 time=5\n"
					  "ref lane=1 id=6 arg=1 time=6\n"
					  "exit lane=0 id=2 time=7 task=2\n"
					  "gc_end lane=1 id=1 time=11\nend events=13\n",
		  bytes);
	assert_int_equal(bytes[1][0], 262144);
	assert_int_equal(bytes[1][1], 262144);
	/* A span that stays although its thread went on is a difference, and shown. */
	stacks_of(MAKES_7 MAKES_8 FREES_7 "exit lane=0 id=2 time=5 task=2\n"
					  "gc_begin lane=1 id=1 time=6\n"
					  "gc_end lane=1 id=1 time=11\nend events=12\n",
		  bytes);
	assert_int_equal(bytes[0][0], 524288);
	assert_int_equal(bytes[0][1], 262144);
}

/* go.marks stands before the world had stopped: a span freed after it shows that. */
static void no_span_of_stacks_goes_while_marking(void **state)
{
	uint64_t bytes[2][2];

	(void)state;
	stacks_of(MAKES_7 MAKES_8 "gc_begin lane=1 id=1 time=3\n"
				  "ref lane=1 id=6 arg=1 time=3\n" FREES_7 GOES_7
				  "gc_end lane=1 id=1 time=11\nend events=13\n",
		  bytes);
	assert_int_equal(bytes[1][0], 262144);
	assert_int_equal(bytes[1][1], 262144);
}

/* Two cycles, in which all is equal but heap_live: Go's is so much more as the second begins, and
 * as it ends. */
static enum rh_exit verdict_with_more(int64_t begin, int64_t end)
{
	const int64_t more[] = { 0, 0, begin, end };
	struct rh_fidelity *f = calloc(1, sizeof(*f));
	FILE *null = fopen("/dev/null", "w");
	enum rh_exit verdict;

	assert_non_null(f);
	assert_non_null(null);
	f->edge_count = 4;
	for (uint32_t i = 0; i < f->edge_count; i++) {
		struct rh_fidelity_edge *edge = &f->edges[i];

		*edge = (struct rh_fidelity_edge){ .cycle = 1 + i / 2, .ends = i % 2 };
		for (int c = 0; c < FIDELITY_CURVE_COUNT; c++)
			edge->curve[c][0] = edge->curve[c][1] = 4000000;
		edge->curve[FIDELITY_PACER][0] += (uint64_t)more[i];
	}
	verdict = rh_fidelity_print(
		&(struct rh_fidelity_report){ .recorded = f, .limit = 0.02, .path = "made" }, null);
	fclose(null);
	free(f);
	return verdict;
}

static void finalizers_count_twice(void **state)
{
	(void)state;
	assert_int_equal(verdict_with_more(0, 0), RH_OK);
	assert_int_equal(verdict_with_more(400000, 400000), RH_INCONCLUSIVE);
	/* What changes while a cycle marks is no object that the one before has counted; neither
	 * is less than all objects, nor more than all of them once again. */
	assert_int_equal(verdict_with_more(400000, 500000), RH_FAILED);
	assert_int_equal(verdict_with_more(-400000, -400000), RH_FAILED);
	assert_int_equal(verdict_with_more(4400000, 4400000), RH_FAILED);
}

/* Chunks of 8 MiB less a 64th, of which no event tells; a cycle finds that one was freed. */
static void arenas_of_the_user_are_not_seen(void **state)
{
	const int64_t chunk = 8257536;

	(void)state;
	assert_int_equal(verdict_with_more(2 * chunk + 400, 2 * chunk), RH_INCONCLUSIVE);
	assert_int_equal(verdict_with_more(2 * chunk, chunk + 400), RH_INCONCLUSIVE);
	assert_int_equal(verdict_with_more(2 * chunk, chunk + 900000), RH_FAILED);
	assert_int_equal(verdict_with_more(-chunk, -chunk), RH_FAILED);
}

/* A file that is not a Go trace, or has other lanes, is refused with advice. */
static void others_are_refused(void **state)
{
	const struct rh_fidelity_opts opts = { 0 };
	struct rh_trace_make make = { .path = imported };
	struct rh_trace_out *out;
	struct rh_trace_totals totals;
	struct rh_err err = { 0 };

	(void)state;
	assert_int_equal(rh_trace_create(&out, &make, &err), 0);
	assert_int_equal(rh_trace_finish(out, &totals, &err), 0);
	assert_null(rh_fidelity_run(imported, &opts, &err));
	assert_int_equal(err.code, RH_BAD_DATA);
	assert_non_null(strstr(err.text, "reheap import go"));
	assert_null(rh_fidelity_run("/nonexistent.rht", &opts, &err));
	assert_int_equal(err.code, RH_NO_INPUT);
	if (!import_shared("data/go/mini1.26.1.trace", "lanes=goroutine")) {
		print_message("# SKIP mini1.26.1 is not here\n");
		skip();
	}
	assert_null(rh_fidelity_run(imported, &opts, &err));
	assert_non_null(strstr(err.text, "lanes"));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_recorded_version_is_matched),
		cmocka_unit_test(cases_are_matched),
		cmocka_unit_test(a_flight_recorder_is_refused),
		cmocka_unit_test(goals_are_the_recorded_ones),
		cmocka_unit_test(the_shipped_corpus_is_matched),
		cmocka_unit_test(runs_repeat_exactly),
		cmocka_unit_test(a_tiny_span_is_of_all_on_its_lane),
		cmocka_unit_test(a_large_stack_parts),
		cmocka_unit_test(no_span_of_stacks_goes_while_marking),
		cmocka_unit_test(finalizers_count_twice),
		cmocka_unit_test(arenas_of_the_user_are_not_seen),
		cmocka_unit_test(others_are_refused),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
