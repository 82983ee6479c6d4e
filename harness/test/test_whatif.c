/*
 * test_whatif.c - Go's pacer by its published rules, and the model of a recorded program: at
 * the recorded setting it must reproduce the recording, and it must move in the right
 * direction.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "alloc/base/gopacer.h"
#include "harness/fidelity/whatif.h"

#define MIB ((uint64_t)1 << 20)

static const struct rh_whatif_setting as_noted = { 0, 0, true };

static void goals_are_by_the_published_rule(void **state)
{
	struct rh_gopacer pacer = { .runway = true, .gogc = 100, .marked = 10 * MIB, .roots = MIB };
	struct rh_gopace pace = rh_gopacer_pace(&pacer);

	(void)state;
	/* 10 + (10 + 1) x 100 %; nothing is allocated while marking: 61/64 of 11 MiB on, or
	 * 4 MiB before the goal, whichever is later */
	assert_int_equal(pace.goal, 21 * MIB);
	assert_int_equal(pace.trigger, 10 * MIB + 11 * MIB / 64 * 61);
	pacer.ahead = 20 * MIB;
	assert_int_equal(rh_gopacer_pace(&pacer).trigger, 10 * MIB + 11 * MIB / 64 * 45);
	pacer.ahead = 2 * MIB;
	assert_int_equal(rh_gopacer_pace(&pacer).trigger, 19 * MIB);
	/* before 1.18 stacks and globals do not count */
	pacer.runway = false;
	pace = rh_gopacer_pace(&pacer);
	assert_int_equal(pace.goal, 20 * MIB);
	assert_int_equal(pace.trigger, 10 * MIB + (uint64_t)(10 * (double)MIB * 0.95));
	/* the least goal is 4 MiB at 100, 2 at 50 */
	pacer = (struct rh_gopacer){ .runway = true, .gogc = 50, .marked = MIB / 2 };
	assert_int_equal(rh_gopacer_pace(&pacer).goal, 2 * MIB);
	/* and 1 MiB at least is left for sweeping, before a collection begins */
	pacer = (struct rh_gopacer){ .runway = true, .gogc = 20, .marked = 3 * MIB };
	assert_int_equal(rh_gopacer_pace(&pacer).goal, 4 * MIB);
	assert_int_equal(rh_gopacer_pace(&pacer).trigger, 4 * MIB);
	pacer.gogc = 40;
	assert_true(rh_gopacer_pace(&pacer).goal < 5 * MIB);
	assert_true(rh_gopacer_pace(&pacer).trigger >= 4 * MIB);
}

static void a_limit_is_soft(void **state)
{
	struct rh_gopacer pacer = {
		.runway = true, .gogc = RH_GOGC_OFF, .marked = 10 * MIB, .overhead = 4 * MIB
	};

	(void)state;
	assert_true(rh_gopacer_pace(&pacer).goal == UINT64_MAX);
	assert_true(rh_gopacer_pace(&pacer).trigger == UINT64_MAX);
	/* 104 less 4 that are not heap, and 3 % of headroom */
	pacer.limit = 104 * MIB;
	assert_int_equal(rh_gopacer_pace(&pacer).goal, 97 * MIB);
	/* more is live than the limit holds: the goal is what is live, nothing fails */
	pacer.limit = 8 * MIB;
	assert_int_equal(rh_gopacer_pace(&pacer).goal, 10 * MIB);
	/* GOGC still counts when it asks for less */
	pacer.limit = 100 * MIB;
	pacer.gogc = 50;
	assert_int_equal(rh_gopacer_pace(&pacer).goal, 15 * MIB);
}

static void the_collector_gets_half_of_the_cpu(void **state)
{
	struct rh_golimiter limiter = { .capacity = 1000, .cost = 3 };
	double marked = 0, ran = 0;

	(void)state;
	/* There is room: allocating goroutines help, and the bucket fills with time not spent in
	 * the program. */
	assert_true(rh_golimiter_mark(&limiter, 400, 10) == 10);
	assert_true(limiter.fill == 400 - 10 * 3);
	rh_golimiter_run(&limiter, 100);
	assert_true(limiter.fill == 70 && !limiter.limited);
	rh_golimiter_run(&limiter, 100);
	assert_true(limiter.fill == 0);
	/* Without end: as much time for the program as for marking, once a second is full. */
	for (int i = 0; i < 1000; i++) {
		ran += 3 * rh_golimiter_mark(&limiter, 400, 10);
		marked += 400;
	}
	assert_true(limiter.limited > 900 && limiter.fill == 1000);
	assert_true(fabs(marked - ran - 1000) < 1);
}

static void variables_are_read_as_go_does(void **state)
{
	uint64_t value;

	(void)state;
	assert_int_equal(rh_go_read_gogc(NULL, &value), 0);
	assert_int_equal(value, 100);
	assert_int_equal(rh_go_read_gogc("off", &value), 0);
	assert_true(value == RH_GOGC_OFF);
	assert_int_equal(rh_go_read_gogc("-1", &value), 0);
	assert_true(value == RH_GOGC_OFF);
	assert_int_equal(rh_go_read_gogc("50", &value), 0);
	assert_int_equal(value, 50);
	assert_int_equal(rh_go_read_gogc("50%", &value), -1);
	assert_int_equal(rh_go_read_memlimit("unset", &value), 0);
	assert_int_equal(value, 0);
	assert_int_equal(rh_go_read_memlimit("64MiB", &value), 0);
	assert_int_equal(value, 64 * MIB);
	assert_int_equal(rh_go_read_memlimit("much", &value), -1);
}

static double share(double a, double b)
{
	return fabs(a - b) / b;
}

/* Cycles within 15 % or one, goals within 5 %, peak within 10 %, of what Go did. */
static void meets_the_recorded_run(const char *path)
{
	struct rh_whatif whatif;
	struct rh_err err = { 0 };
	struct rh_whatif_setting then = { 0, WHATIF_OFF, true };
	struct rh_whatif_outcome is;
	double goal = 0;

	if (rh_whatif_read(&whatif, path, &as_noted, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(whatif.gogc, 100);
	then.gogc = whatif.gogc;
	is = rh_whatif_ask(&whatif, &then);
	for (uint32_t i = 0; i < whatif.count; i++)
		goal += (double)whatif.cycles[i].goal / whatif.count;
	print_message("%s: cycles %u %llu, peak %llu %llu, goal %.0f %.0f\n", path, whatif.count,
		      (unsigned long long)is.cycles, (unsigned long long)whatif.peak,
		      (unsigned long long)is.peak, goal, is.goal_mean);
	assert_true(fabs((double)is.cycles - whatif.count) <= fmax(1, 0.15 * whatif.count));
	assert_true(share(is.goal_mean, goal) <= 0.06);
	assert_true(share((double)is.peak, (double)whatif.peak) <= 0.15);
	rh_whatif_close(&whatif);
}

static void the_corpus_is_met_at_its_setting(void **state)
{
	static const char *const names[] = { "jsonapi", "parser", "workers", "esbuild", "nats" };
	char path[128];

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "traces/corpus/go/%s.rht", names[i]);
		meets_the_recorded_run(path);
	}
}

static void settings_move_the_right_way(void **state)
{
	static const uint64_t gogc[] = { 25, 50, 100, 200, 400, WHATIF_OFF };
	struct rh_whatif whatif;
	struct rh_err err = { 0 };
	struct rh_whatif_outcome last = { 0 };

	(void)state;
	assert_int_equal(rh_whatif_read(&whatif, "traces/corpus/go/nats.rht", &as_noted, &err), 0);
	for (size_t i = 0; i < sizeof(gogc) / sizeof(gogc[0]); i++) {
		struct rh_whatif_setting setting = { gogc[i], WHATIF_OFF, true };
		struct rh_whatif_outcome is = rh_whatif_ask(&whatif, &setting);

		if (i > 0) {
			assert_true(is.cycles < last.cycles);
			assert_true(is.peak > last.peak);
			assert_true(is.marked < last.marked);
		}
		last = is;
	}
	/* Off: no collection, and everything allocated is live at the end. */
	assert_int_equal(last.cycles, 0);
	assert_true(last.peak >= whatif.allocated);
	/* A limit brings them back, and exceeding it is reported. */
	last = rh_whatif_ask(&whatif, &(struct rh_whatif_setting){ WHATIF_OFF, 16 * MIB, true });
	assert_true(last.cycles > 5);
	assert_true(last.peak < 16 * MIB);
	assert_false(last.over_limit);
	assert_true(rh_whatif_ask(&whatif, &(struct rh_whatif_setting){ WHATIF_OFF, MIB, true })
			    .over_limit);
	rh_whatif_close(&whatif);
}

/* Every object on the heap of its Go, whose pacer has the limit: as many cycles as the estimate, or
 * some more for holes in spans; and more than the limit allows is said. */
static void a_limit_is_replayed(void **state)
{
	static const char path[] = "traces/corpus/go/nats.rht";
	const struct rh_whatif_setting limits[] = { { WHATIF_OFF, 16 * MIB, false },
						    { WHATIF_OFF, 12 * MIB, false },
						    { WHATIF_OFF, MIB, false } };
	struct rh_whatif_outcome is, traced, last = { 0 };
	struct rh_whatif_setting with = limits[0];
	struct rh_whatif whatif;
	struct rh_err err = { 0 };

	(void)state;
	assert_int_equal(rh_whatif_read(&whatif, path, &as_noted, &err), 0);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(rh_whatif_replay(&whatif, path, &limits[i], &is, &err), 0);
		print_message("limit %llu MiB: %llu cycles, peak %llu\n",
			      (unsigned long long)(limits[i].limit / MIB),
			      (unsigned long long)is.cycles, (unsigned long long)is.peak_ended);
		assert_true(is.replayed && is.cycles > last.cycles);
		assert_true(i == 2 || is.peak_ended < limits[i].limit);
		assert_true(is.over_limit == (i == 2));
		last = is;
	}
	/* The recorder's 2.25 MiB take their part of the room. */
	with.traced = true;
	assert_int_equal(rh_whatif_replay(&whatif, path, &limits[0], &is, &err), 0);
	assert_int_equal(rh_whatif_replay(&whatif, path, &with, &traced, &err), 0);
	assert_true(traced.cycles > is.cycles);
	rh_whatif_close(&whatif);
}

/* By a replay, too: with collections that the program asks for (recursion), a cycle under way as
 * the trace begins (nats), and a heap that falls to nothing between two (parser). */
static void the_corpus_is_met_by_replay(void **state)
{
	static const char *const names[] = { "jsonapi", "parser", "recursion", "nats" };
	const struct rh_whatif_setting then = { 100, WHATIF_OFF, true };
	struct rh_whatif_outcome is;
	struct rh_whatif whatif;
	struct rh_err err = { 0 };
	char path[128];

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "traces/corpus/go/%s.rht", names[i]);
		assert_int_equal(rh_whatif_read(&whatif, path, &as_noted, &err), 0);
		assert_int_equal(rh_whatif_replay(&whatif, path, &then, &is, &err), 0);
		print_message("%s: cycles %u %llu, peak %llu %llu\n", path, whatif.count,
			      (unsigned long long)is.cycles, (unsigned long long)whatif.peak,
			      (unsigned long long)is.peak);
		assert_true(fabs((double)is.cycles - whatif.count) <= 1);
		assert_true(share((double)is.peak, (double)whatif.peak) <= 0.05);
		rh_whatif_close(&whatif);
	}
}

/* As if a byte were marked while one is allocated, with no second to spare: a byte allocated
 * takes the time of 3 marked, and no more is marked than that. */
static void a_limit_below_what_lives_ends(void **state)
{
	const struct rh_whatif_setting least = { WHATIF_OFF, MIB, false };
	struct rh_whatif whatif;
	struct rh_whatif_outcome is;
	struct rh_err err = { 0 };

	(void)state;
	assert_int_equal(rh_whatif_read(&whatif, "traces/corpus/go/nats.rht", &as_noted, &err), 0);
	whatif.black = 1;
	whatif.mark_second = 0;
	is = rh_whatif_ask(&whatif, &least);
	assert_true(is.limited);
	assert_true((double)is.marked < (double)whatif.allocated * (3 + 1));
	whatif.mark_second = 1e12;
	is = rh_whatif_ask(&whatif, &least);
	assert_false(is.limited);
	assert_true((double)is.marked > (double)whatif.allocated * (3 + 1));
	rh_whatif_close(&whatif);
}

/* The environment's setting counts, unless the goals contradict it. */
static void the_setting_is_whose_word_counts_most(void **state)
{
	const struct rh_whatif_setting given = { 200, 64 * MIB, true };
	struct rh_whatif whatif;
	struct rh_err err = { 0 };

	(void)state;
	assert_int_equal(rh_whatif_read(&whatif, "traces/corpus/go/nats.rht", &as_noted, &err), 0);
	assert_ptr_equal(whatif.gogc_from, rh_whatif_goals);
	assert_ptr_equal(whatif.limit_from, rh_whatif_assumed);
	assert_true(whatif.limit == WHATIF_OFF);
	rh_whatif_close(&whatif);
	assert_int_equal(rh_whatif_read(&whatif, "traces/corpus/go/nats.rht", &given, &err), 0);
	assert_int_equal(whatif.gogc, 200);
	assert_int_equal(whatif.limit, 64 * MIB);
	assert_ptr_equal(whatif.gogc_from, rh_whatif_given);
	rh_whatif_close(&whatif);
}

static const char head[] = "reheap-trace 1 columns=time,site,arg\n"
			   "note go.profile=1.26\n"
			   "site 1=go.heap_live\nsite 2=go.heap_goal\n"
			   "site 3=go.span_alloc\nsite 20=unsafe.Pointer\n"
			   "lane_start lane=0 time=0\n"
			   "ref lane=0 id=2 arg=4194304 time=1\n"
			   "ref lane=0 id=1 arg=3000000 time=2\n";

/* A trace of a few collections, each: heap_live before and after, and the goal that follows. */
static void read_given(struct rh_whatif *whatif, const struct rh_whatif_setting *given,
		       const char *rest)
{
	char path[] = "/tmp/rh-whatif-XXXXXX";
	struct rh_err err = { 0 };
	FILE *file;
	int fd = mkstemp(path), events = 3;

	assert_true(fd >= 0);
	file = fdopen(fd, "w");
	assert_non_null(file);
	for (const char *at = rest; *at; at++)
		events += *at == '\n';
	fprintf(file, "%s%send events=%d\n", head, rest, events);
	fclose(file);
	assert_int_equal(rh_whatif_read(whatif, path, given, &err), 0);
	unlink(path);
}

static void read_made(struct rh_whatif *whatif, const char *rest)
{
	read_given(whatif, &as_noted, rest);
}

/* At GOGC=20 a small heap's goal is 1 MiB above what is marked: that is no 1.5 MiB of stacks. */
static void the_least_way_to_sweep_is_no_stack(void **state)
{
	struct rh_whatif whatif;

	(void)state;
	read_made(&whatif, "gc_begin lane=0 id=1 time=10\nref lane=0 id=1 arg=4000000 time=11\n"
			   "ref lane=0 id=1 arg=2776856 time=12\ngc_end lane=0 id=1 time=13\n"
			   "ref lane=0 id=2 arg=3825432 time=14\n"
			   "gc_begin lane=0 id=2 time=20\nref lane=0 id=1 arg=3900000 time=21\n"
			   "ref lane=0 id=1 arg=2740640 time=22\ngc_end lane=0 id=2 time=23\n"
			   "ref lane=0 id=2 arg=3789216 time=24\n");
	assert_int_equal(whatif.count, 2);
	assert_true(whatif.roots < 200000);
	assert_int_equal(whatif.goals, 0);
	assert_int_equal(whatif.goals_set, 0);
	rh_whatif_close(&whatif);
}

/* 41,943.04 bytes for each percent: 16,777,216 at GOGC=400 says nothing of stacks. */
static void the_least_goal_is_exact(void **state)
{
	const struct rh_whatif_setting given = { 400, 0, true };
	struct rh_whatif whatif;

	(void)state;
	read_given(&whatif, &given,
		   "ref lane=0 id=2 arg=16777216 time=9\n"
		   "gc_begin lane=0 id=1 time=10\nref lane=0 id=1 arg=16000000 time=11\n"
		   "ref lane=0 id=1 arg=4000000 time=12\ngc_end lane=0 id=1 time=13\n"
		   "ref lane=0 id=2 arg=20640000 time=14\n"
		   "gc_begin lane=0 id=2 time=20\nref lane=0 id=1 arg=20000000 time=21\n"
		   "ref lane=0 id=1 arg=2500000 time=22\ngc_end lane=0 id=2 time=23\n"
		   "ref lane=0 id=2 arg=16777216 time=24\n");
	assert_true(fabs(whatif.roots - 160000) < 1);
	rh_whatif_close(&whatif);
}

static void a_goal_between_collections_was_set_by_the_program(void **state)
{
	struct rh_whatif whatif;

	(void)state;
	read_made(&whatif, "ref lane=0 id=2 arg=4194304 time=9\n"
			   "gc_begin lane=0 id=1 time=10\nref lane=0 id=1 arg=4000000 time=11\n"
			   "ref lane=0 id=1 arg=2776856 time=12\ngc_end lane=0 id=1 time=13\n"
			   "ref lane=0 id=2 arg=5653712 time=14\n"
			   "ref lane=0 id=2 arg=11000000 time=15\n");
	assert_int_equal(whatif.goals_set, 1);
	assert_true(whatif.cycles[0].goal == 5653712);
	rh_whatif_close(&whatif);
}

/* Two buffers for samples of the CPU profiler are live as long as the program is traced, and not
 * when it is not. */
static const char snapshot[] =
	"alloc lane=0 id=0 size=131072 align=8 flags=scan_known time=3 site=20\n"
	"alloc lane=0 id=1 size=1048576 flags=noscan,scan_known time=3\n"
	"alloc lane=0 id=2 size=131072 align=8 flags=scan_known time=3 site=20\n"
	"alloc lane=0 id=3 size=1048576 flags=noscan,scan_known time=3\n";
static const char one_cycle[] =
	"ref lane=0 id=3 arg=512 time=9\nref lane=0 id=1 arg=15900000 time=9\n"
	"gc_begin lane=0 id=1 time=10\nref lane=0 id=1 arg=16000000 time=11\n"
	"ref lane=0 id=1 arg=8000000 time=12\ngc_end lane=0 id=1 time=13\n"
	"ref lane=0 id=2 arg=16160000 time=14\nref lane=0 id=1 arg=80000000 time=15\n";

static void the_recorder_is_not_the_program(void **state)
{
	const struct rh_whatif_setting traced = { 100, WHATIF_OFF, true };
	const struct rh_whatif_setting alone = { 100, WHATIF_OFF, false };
	const uint64_t blocks = 2 * (MIB + MIB / 8);
	struct rh_whatif whatif;
	struct rh_whatif_outcome with, without;
	char text[2048];

	(void)state;
	snprintf(text, sizeof(text), "%s%s", snapshot, one_cycle);
	read_made(&whatif, text);
	assert_int_equal(whatif.recorder, blocks);
	/* Its only span has 8 KiB: the rest of what was marked is in none. */
	assert_int_equal(whatif.unseen, 8000000 - 8192);
	with = rh_whatif_ask(&whatif, &traced);
	without = rh_whatif_ask(&whatif, &alone);
	/* 8 MB are marked each time, or 5.6: so the heap grows to 16 MB, or 11.4 */
	assert_true(without.cycles > with.cycles);
	/* All but what is allocated while marking grows with it. */
	assert_true(share(with.goal_mean - without.goal_mean, 2 * (double)blocks) < 0.15);
	rh_whatif_close(&whatif);
	/* Blocks that come later, or one less, are the program's. */
	snprintf(text, sizeof(text), "%.*s%s%s", (int)(strstr(one_cycle, "gc_begin") - one_cycle),
		 one_cycle, snapshot, strstr(one_cycle, "gc_begin"));
	read_made(&whatif, text);
	assert_int_equal(whatif.recorder, 0);
	rh_whatif_close(&whatif);
	snprintf(text, sizeof(text), "%.*s%s",
		 (int)(strstr(snapshot, "alloc lane=0 id=3") - snapshot), snapshot, one_cycle);
	read_made(&whatif, text);
	assert_int_equal(whatif.recorder, 0);
	rh_whatif_close(&whatif);
}

/* What is left of 24 MiB for spans of objects and stacks, as the heap gets it; and the ratio of
 * holes in spans, to which only spans of objects count. */
static uint64_t left_of_limit(const char *before, double *slack)
{
	const struct rh_whatif_setting limited = { WHATIF_OFF, 24 * MIB, false };
	struct rh_whatif whatif;
	unsigned long long left;
	char text[2048], knobs[128];

	snprintf(text, sizeof(text), "%sref lane=0 id=3 arg=1048580 time=3\n%s", before, one_cycle);
	read_made(&whatif, text);
	assert_true(rh_whatif_knobs(&whatif, &limited, knobs, sizeof(knobs)));
	assert_non_null(strstr(knobs, ":limit="));
	left = strtoull(strstr(knobs, ":limit=") + 7, NULL, 10);
	*slack = whatif.slack;
	assert_int_equal(whatif.unseen, 0);
	rh_whatif_close(&whatif);
	return left;
}

/* Stacks of threads and queues of marking lie in spans of the trace (here 1 MiB); each class of
 * spans has lists of 22 KiB. */
static void a_limit_counts_once_what_is_no_heap(void **state)
{
	double slack, slack_manual;
	uint64_t left = left_of_limit("", &slack);

	(void)state;
	assert_true(left > 20 * MIB && left < 24 * MIB);
	assert_int_equal(left_of_limit("ref lane=0 id=3 arg=65537 time=3\n", &slack_manual),
			 left - MIB);
	assert_true(slack > 0 && slack_manual == slack);
	assert_int_equal(left_of_limit("ref lane=0 id=3 arg=522 time=3\n", &slack),
			 left - (22 << 10));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(goals_are_by_the_published_rule),
		cmocka_unit_test(a_limit_is_soft),
		cmocka_unit_test(the_collector_gets_half_of_the_cpu),
		cmocka_unit_test(variables_are_read_as_go_does),
		cmocka_unit_test(a_limit_below_what_lives_ends),
		cmocka_unit_test(the_setting_is_whose_word_counts_most),
		cmocka_unit_test(the_least_way_to_sweep_is_no_stack),
		cmocka_unit_test(the_least_goal_is_exact),
		cmocka_unit_test(a_goal_between_collections_was_set_by_the_program),
		cmocka_unit_test(a_limit_is_replayed),
		cmocka_unit_test(the_corpus_is_met_by_replay),
		cmocka_unit_test(the_recorder_is_not_the_program),
		cmocka_unit_test(a_limit_counts_once_what_is_no_heap),
		cmocka_unit_test(the_corpus_is_met_at_its_setting),
		cmocka_unit_test(settings_move_the_right_way),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
