/*
 * test_callgrind.c - workers under valgrind, on backends whose instructions and cache lines are
 * known; and allocators that do not run there.
 */
#include "harness/probe/callgrind.h"
#include "harness/test/odd_malloc.h"
#include "harness/test/probe_support.h"
#include <math.h>

static void need_valgrind(void)
{
	char path[4096];

#ifdef RH_SANITIZE
	print_message("# SKIP valgrind cannot run a sanitized build\n");
	skip();
#endif
	if (!rh_in_path("valgrind", path, sizeof(path))) {
		print_message("# SKIP valgrind is not installed\n");
		skip();
	}
}

static void count_run(const char *backends, struct rh_run_config *config, struct rh_result *result)
{
	*config = config_of(backends);
	config->probes = "time";
	config->counters = "callgrind";
	run(config, result);
	all_ok(result);
}

/* 4096 bytes walked per allocation are 64 lines of an array of four times the last level:
 * 64 misses more in both caches, and nothing else differs. */
static void what_walks_an_array_misses(void **state)
{
	static const char *const names[] = { "counters.d1_misses_per_event",
					     "counters.ll_misses_per_event" };
	struct rh_run_config config;
	struct rh_result result;
	char backends[9000];
	struct maker m;

	(void)state;
	need_valgrind();
	make_open(&m, 0);
	for (unsigned i = 0; i < 4000; i++)
		free_of(&m, 0, alloc_of(&m, 0, 48));
	make_close(&m);
	snprintf(backends, sizeof(backends), "%s,%s", plugin("packing", ""),
		 plugin("packing", ":walk=4096"));
	count_run(backends, &config, &result);
	for (int i = 0; i < 2; i++) {
		double more = median(&result, 1, names[i]) - median(&result, 0, names[i]);

		/* Half of the events are allocations. */
		assert_true(more > 0.97 * 32 && more < 1.03 * 32);
		assert_string_equal(metric_of(&result, 0, names[i])->source, "sim");
	}
	assert_true(median(&result, 1, "counters.ir_per_event") >
		    median(&result, 0, "counters.ir_per_event") + 64);
	done(&config, &result);
}

/* A known answer: a heap that spends K more instructions in every operation is predicted to spend K
 * more. */
static void what_is_spent_is_predicted(void **state)
{
	enum { K = 200 };
	struct rh_run_config config;
	struct rh_result result;
	char backends[9000];
	double more;

	(void)state;
	need_valgrind();
#ifndef __x86_64__
	print_message("# SKIP the instructions are those of x86-64\n");
	skip();
#endif
	struct maker m;

	make_open(&m, 0);
	for (unsigned i = 0; i < 4000; i++)
		free_of(&m, 0, alloc_of(&m, 0, 16 + i % 500));
	make_close(&m);
	snprintf(backends, sizeof(backends), "%s,%s", plugin("packing", ""),
		 plugin("packing", ":spend=200"));
	count_run(backends, &config, &result);
	more = median(&result, 1, "counters.ir_per_event") -
	       median(&result, 0, "counters.ir_per_event");
	assert_true(more > 0.99 * K && more < 1.01 * K);
	done(&config, &result);
}

static double total_of(const struct rh_result *result, const char *event)
{
	const struct rh_callgrind_found *found = FOUND(trial_of(result, "libc"), callgrind);

	for (size_t i = 0; i < found->totals_count; i++)
		if (strcmp(found->totals[i].name, event) == 0)
			return found->totals[i].value;
	fail_msg("callgrind has no %s", event);
	return 0;
}

static void the_same_twice(void **state)
{
	struct rh_run_config config;
	struct rh_result first, second;
	const struct rh_callgrind_found *callgrind;

	(void)state;
	need_valgrind();
	make_mixed(1, 1000);
	count_run("libc", &config, &first);
	rh_run_config_free(&config);
	count_run("libc", &config, &second);
	assert_true(total_of(&first, "Ir") > 0);
	assert_int_equal(total_of(&first, "Ir"), total_of(&second, "Ir"));
	assert_int_equal(total_of(&first, "Ge"), total_of(&second, "Ge"));
	/* The kernel's data on the stack moves a line now and then. */
	assert_true(fabs(total_of(&first, "D1mr") - total_of(&second, "D1mr")) * 500 <=
		    total_of(&first, "D1mr"));
	callgrind = FOUND(trial_of(&first, "libc"), callgrind);
	assert_true(!callgrind->shortened);
	assert_true(callgrind->functions_count > 2);
	rh_result_free(&first);
	done(&config, &second);
}

/* Bringing a copy to its phase is not counted: an event costs the same as without. */
static void phases_are_not_counted(void **state)
{
	static const char name[] = "counters.ir_per_event";
	struct rh_run_config config;
	struct rh_result one, two;
	double ratio;

	(void)state;
	need_valgrind();
	make_mixed(1, 2000);
	count_run("null", &config, &one);
	rh_run_config_free(&config);
	config = config_of("null");
	config.probes = "time";
	config.counters = "callgrind";
	config.copies = "2";
	run(&config, &two);
	all_ok(&two);
	if (metric_of(&two, 0, name)) {
		ratio = median(&two, 0, name) / median(&one, 0, name);
		assert_true(ratio > 0.97 && ratio < 1.03);
	} else {
		assert_has(why_absent(&two, "callgrind"), "header");
	}
	rh_result_free(&one);
	done(&config, &two);
}

/* The cost of a call into the heap is counted once, callees included, under any name; calls within
 * the heap are part of it, other calls of the allocator are not. */
static void calls_of_the_heap_are_added_up(void **state)
{
	static const char text[] = "positions: line\nevents: Ir Dr\n"
				   "fn=(1) main\n1 10 1\n"
				   "cob=(2) libx.so\ncfn=(2) malloc\ncalls=3 1\n1 300 5\n"
				   "cfn=(3) operator new(unsigned long)\ncalls=2 1\n1 250\n"
				   "cfn=(4) mi_realloc'2\ncalls=1 1\n1 70\n"
				   "cfn=(5) mallctl\ncalls=9 1\n1 9000\n"
				   "cfn=(6) zmalloc\ncalls=9 1\n1 900\n"
				   "fn=(3)\n1 20\ncfn=(2)\ncalls=2 1\n1 200\n"
				   "fn=(6)\n1 5\ncfn=(2)\ncalls=4 1\n1 400\n";
	char path[] = "/tmp/reheap-test-XXXXXX";
	struct rh_callgrind read;
	struct rh_err err = { 0 };
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, sizeof(text) - 1), sizeof(text) - 1);
	close(fd);
	assert_int_equal(rh_callgrind_read(&read, path, &err), 0);
	unlink(path);
	assert_true(read.heap_ir == 300 + 250 + 70 + 400);
	assert_true(read.heap_calls == 3 + 2 + 1 + 4);
	assert_true(read.total[RH_CG_IR] == 10 + 20 + 5);
	rh_callgrind_free(&read);
}

/* Longer than the tier allows: it ends early, and its drain still agrees with the trace. */
static void long_traces_are_cut(void **state)
{
	struct rh_run_config config;
	struct rh_result result;
	const struct rh_callgrind_found *callgrind;
	struct maker m;

	(void)state;
	need_valgrind();
	make_open(&m, 0);
	for (unsigned i = 0; i < 700000; i++) {
		uint64_t id = alloc_of(&m, i % 2, 24);

		if (i % 100)
			free_of(&m, i % 2, id);
	}
	make_close(&m);
	count_run("null", &config, &result);
	callgrind = FOUND(trial_of(&result, "null"), callgrind);
	assert_true(callgrind->shortened);
	assert_true(callgrind->events >= 1000000);
	assert_true(callgrind->events < 1393000);
	done(&config, &result);
}

/* An allocator that works, but not under valgrind; `how` goes to odd_malloc.c. */
static void dies_under_valgrind(const char *how, const char *words)
{
	struct rh_run_config config = config_of(odd_path);
	struct rh_result result;
	struct maker m;

	need_valgrind();
	make_open(&m, 0);
	for (unsigned i = 0; i < 100; i++)
		alloc_of(&m, 0, i == 50 ? ODD_BYTES : 100);
	make_close(&m);
	config.counters = "callgrind";
	config.probes = "time"; /* the reason does not hang on the memory probe */
	setenv("REHEAP_ODD", how, 1);
	run(&config, &result);
	unsetenv("REHEAP_ODD");
	all_ok(&result);
	assert_null(metric_of(&result, 0, "counters.ir_per_event"));
	assert_non_null(metric_of(&result, 0, "time.ns_per_event"));
	assert_has(why_absent(&result, "callgrind"), "no instruction tier for this allocator");
	assert_has(why_absent(&result, "callgrind"), words);
	assert_int_equal(result.exit, RH_PARTIAL);
	done(&config, &result);
}

static void what_dies_under_valgrind_is_absent(void **state)
{
	(void)state;
	dies_under_valgrind("valgrind", "not under valgrind");
}

/* As scudo and snmalloc do; 16 GiB are odd_malloc's own region. */
static void who_reserves_too_much_is_told(void **state)
{
	(void)state;
	dies_under_valgrind("reserve", "it reserves 116 GiB of addresses");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_walks_an_array_misses),
		cmocka_unit_test(what_is_spent_is_predicted),
		cmocka_unit_test(the_same_twice),
		cmocka_unit_test(phases_are_not_counted),
		cmocka_unit_test(calls_of_the_heap_are_added_up),
		cmocka_unit_test(long_traces_are_cut),
		cmocka_unit_test(what_dies_under_valgrind_is_absent),
		cmocka_unit_test(who_reserves_too_much_is_told),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
