/*
 * test_memory.c - memory that runs out: the 1st, 2nd, ... n-th allocation of writing,
 * building, reading and checking fails, until one run needs fewer. Each time there is an
 * error and nothing leaks or is freed twice. malloc is replaced in this program only; under
 * a sanitizer, which has its own, there is nothing to replace and the test is skipped.
 */
#include "traces/format/repair.h"
#include "traces/format/check.h"
#include "traces/edit/export.h"
#include "traces/test/test_support.h"

enum { COUNT = 20000, ALLOCATIONS_MAX = 2000 };

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
static long countdown, blocks;

static void skip_if_replaced(void)
{
	print_message("# SKIP the sanitizer has replaced malloc\n");
	skip();
}
#else
static long countdown = -1; /* allocations that still succeed; -1 = all */
static long blocks;	    /* allocated and not freed */

extern void *__libc_malloc(size_t bytes);
extern void *__libc_calloc(size_t count, size_t bytes);
extern void *__libc_realloc(void *p, size_t bytes);
extern void __libc_free(void *p);

static bool refused(void)
{
	return countdown >= 0 && countdown-- == 0 ? (countdown = 0, true) : false;
}

static void *counted(void *p)
{
	blocks += p != NULL;
	return p;
}

void *malloc(size_t bytes)
{
	return refused() ? NULL : counted(__libc_malloc(bytes));
}

void *calloc(size_t count, size_t bytes)
{
	return refused() ? NULL : counted(__libc_calloc(count, bytes));
}

void *realloc(void *p, size_t bytes)
{
	if (refused())
		return NULL;
	return p ? __libc_realloc(p, bytes) : counted(__libc_realloc(p, bytes));
}

void free(void *p)
{
	blocks -= p != NULL;
	__libc_free(p);
}

static void skip_if_replaced(void) {}
#endif

static struct rh_event *events;

static int write_trace(enum rh_trace_form form, struct rh_err *err)
{
	struct rh_trace_make make = { .path = scratch_path("m.rht"), .form = form, .columns = 15 };
	struct rh_trace_out *out;
	int rc;

	if (rh_trace_create(&out, &make, err) < 0)
		return -1;
	rc = rh_trace_add_note(out, "k", "v", err);
	if (rc == 0)
		rc = rh_trace_put(out, events, COUNT, err);
	if (rc == 0)
		return rh_trace_finish(out, NULL, err);
	rh_trace_abandon(out);
	return rc;
}

static int write_binary(struct rh_err *err)
{
	return write_trace(RH_FORM_BINARY, err);
}

static int write_text(struct rh_err *err)
{
	return write_trace(RH_FORM_TEXT, err);
}

static int read_trace(struct rh_err *err)
{
	struct rh_trace *trace;
	struct rh_check check;
	int rc;

	if (rh_trace_open(&trace, scratch_path("m.rht"), err) < 0)
		return -1;
	rc = rh_check_trace(trace, &check, err);
	/* An index that could not be read for want of memory is read again at the end. */
	if (rc == 0)
		assert_int_equal(check.totals.events, COUNT);
	rh_trace_close(trace);
	return rc;
}

static int build_calls(struct rh_build *build, struct rh_err *err)
{
	for (uint64_t i = 0; i < 3000; i++)
		if (rh_build_alloc(build, i % 300, RH_BLOCK(.address = 16 * i + 16, .size = i),
				   err) < 0)
			return -1;
	return rh_build_finish(build, err);
}

static int build_trace(struct rh_err *err)
{
	struct rh_trace_make make = { .path = scratch_path("b.rht") };
	struct rh_trace_out *out;
	struct rh_build *build;
	int rc;

	if (rh_trace_create(&out, &make, err) < 0)
		return -1;
	rc = rh_build_open(&build, out, err);
	if (rc == 0)
		rc = build_calls(build, err);
	rh_build_close(build);
	if (rc == 0)
		return rh_trace_finish(out, NULL, err);
	rh_trace_abandon(out);
	return rc;
}

static void exhaust(int (*work)(struct rh_err *err))
{
	int failures = 0, rc = -1;

	skip_if_replaced();
	scratch_path("m.rht");
	for (long n = 0; rc < 0; n++) {
		struct rh_err err = { 0 };
		long before = blocks;

		assert_true(n < ALLOCATIONS_MAX);
		countdown = n;
		rc = work(&err);
		countdown = -1;
		assert_int_equal(blocks, before);
		if (rc < 0) {
			failures++;
			if (err.code != RH_OS)
				fail_msg("allocation %ld failed and it said '%s'", n, err.text);
		}
	}
	assert_true(failures > 3);
}

static void test_write_binary(void **state)
{
	(void)state;
	exhaust(write_binary);
}

static void test_read_binary(void **state)
{
	(void)state;
	exhaust(read_trace);
}

static void test_write_text(void **state)
{
	(void)state;
	exhaust(write_text);
}

static void test_read_text(void **state)
{
	(void)state;
	exhaust(read_trace);
}

static void test_build(void **state)
{
	(void)state;
	exhaust(build_trace);
}

static int make_events(void **state)
{
	struct maker *maker = malloc(sizeof(*maker));

	(void)state;
	events = malloc(COUNT * sizeof(*events));
	assert_non_null(maker);
	assert_non_null(events);
	maker_open(maker, 15, 4);
	for (size_t i = 0; i < COUNT; i++)
		maker_event(maker, -1, &events[i]);
	maker_close(maker);
	free(maker);
	return 0;
}

static int drop_events(void **state)
{
	(void)state;
	free(events);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_write_binary), cmocka_unit_test(test_read_binary),
		cmocka_unit_test(test_write_text),   cmocka_unit_test(test_read_text),
		cmocka_unit_test(test_build),
	};

	return cmocka_run_group_tests(tests, make_events, drop_events);
}
