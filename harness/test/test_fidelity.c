/*
 * test_fidelity.c - the heap against small Go programs: real traces of 1.23 to 1.26 beside the
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
#include "traces/import.h"

static char imported[64];
static uint64_t stacks_made, stacks_right;	/* of the last that was replayed */

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

	snprintf(path, sizeof(path), "%s/data/go/%s.trace.gz", folder ? folder : "../shared", name);
	if (access(path, R_OK) != 0)
		return false;
	assert_int_equal(rh_opt_defaults(go->opts, opts, &err), 0);
	if (word)
		assert_int_equal(rh_opt_set_word(go->opts, opts, "go", word, strlen(word), &store,
						 &err), 0);
	assert_int_equal(rh_import(go, path, opts, &make, &totals, &err), 0);
	return true;
}

static bool passes(const char *path)
{
	const struct rh_fidelity_opts opts = { 0 };
	struct rh_err err = { 0 };
	struct rh_fidelity *f = rh_fidelity_run(path, &opts, &err);
	bool good;

	if (!f)
		fail_msg("%s", err.text);
	assert_true(f->done);
	assert_int_equal(f->failed, 0);
	assert_int_equal(f->class_right, f->objects);
	assert_int_equal(f->class_differs, 0);
	stacks_right = f->stacks_right;
	stacks_made = f->stacks_made;
	good = rh_fidelity_tell(f, NULL, NULL, 0.02, path, true, stderr);
	rh_fidelity_free(f);
	return good;
}

static void every_recorded_version_is_matched(void **state)
{
	static const char *const names[] = {
		"mini1.23.1", "mini1.24.2", "mini1.25.2", "mini1.26.1", "mini1.26.3",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (!import_shared(names[i], NULL)) {
			print_message("# SKIP %s is not here\n", names[i]);
			skip();
		}
		assert_true(passes(imported));
		/* 1.23 loses events of stacks, later ones tell of all */
		if (i > 0)
			assert_in_range(stacks_right, stacks_made - stacks_made / 50, stacks_made);
	}
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
		assert_true(passes(path));
	}
	assert_int_not_equal(tried, 0);
}

/* The same trace twice gives the same numbers: nothing here is left to chance. */
static void runs_repeat_exactly(void **state)
{
	const struct rh_fidelity_opts opts = { 0 };
	struct rh_fidelity *a, *b;
	struct rh_err err = { 0 };

	(void)state;
	if (!import_shared("mini1.26.1", NULL)) {
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

/* What is no Go trace, or has other lanes, is refused with the way out. */
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
	if (!import_shared("mini1.26.1", "lanes=goroutine")) {
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
		cmocka_unit_test(the_shipped_corpus_is_matched),
		cmocka_unit_test(runs_repeat_exactly),
		cmocka_unit_test(others_are_refused),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
