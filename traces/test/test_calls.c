/*
 * test_calls.c - calls put the fast way (rh_trace_put_calls) make the same file as the same events
 * put one by one, in every form and under every set of columns, and are refused in the same words.
 */
#include "traces/test/test_support.h"

enum { CALLS = 200000, LIVING = 20000, LANES = 3, COLUMN_SETS = 16 };

static struct rh_call_event calls[CALLS];

static uint64_t next(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return *x;
}

static uint64_t a_size(uint64_t *x)
{
	return next(x) % 50 ? next(x) % 300 : next(x) % 2000000;
}

static struct rh_call_event a_birth(uint64_t *x, uint64_t id)
{
	return (struct rh_call_event){
		.id = id,
		.size = a_size(x),
		.flags = next(x) % 9 == 0   ? RH_EVF_ZEROED
			 : next(x) % 9 == 0 ? RH_EVF_REALLOC
					    : 0,
		.kind = RH_EV_ALLOC,
	};
}

/* Objects that die at random, among more than lie in the cache. */
static void make_calls(void)
{
	static uint64_t living[LIVING];
	uint64_t x = 88172645463325252ull, births = 0, time_ns = 5;
	size_t count = 0;

	for (size_t i = 0; i < CALLS; i++) {
		struct rh_call_event *call = &calls[i];
		unsigned what = (unsigned)(next(&x) % 100);
		size_t one = count ? next(&x) % count : 0;

		if (count == 0 || (what < 60 && count < LIVING)) {
			*call = a_birth(&x, births);
			living[count++] = births++;
		} else if (what < 92) {
			*call = (struct rh_call_event){ .id = living[one], .kind = RH_EV_FREE };
			call->flags = what % 4 == 0 ? RH_EVF_SIZED : 0;
			call->size = call->flags ? a_size(&x) : 0;
			living[one] = living[--count];
		} else if (what < 97) {
			*call = (struct rh_call_event){ .id = births, .kind = RH_EV_RESIZE };
			call->old = living[one];
			call->size = a_size(&x);
			living[one] = births++;
		} else {
			*call = (struct rh_call_event){ .id = living[one], .kind = RH_EV_USABLE };
		}
		time_ns += i % 7 == 0 ? next(&x) % 1000 : 0;
		call->time_ns = i % 1000 < 3 ? RH_NONE : time_ns;
		call->lane = (uint32_t)(i / 100 % LANES);
		call->site = (uint32_t)(next(&x) % 5);
	}
}

static struct rh_trace_out *begin(const char *path, enum rh_trace_form form, unsigned columns)
{
	struct rh_trace_make make = { .path = path, .form = form, .columns = columns, .level = 1 };
	struct rh_trace_out *out;
	struct rh_err err;

	expect_ok(rh_trace_create(&out, &make, &err), &err);
	return out;
}

static void write_one_by_one(const char *path, enum rh_trace_form form, unsigned columns)
{
	struct rh_trace_out *out = begin(path, form, columns);
	struct rh_event event;
	struct rh_err err;

	for (size_t i = 0; i < CALLS; i++) {
		rh_call_event_whole(&calls[i], &event);
		expect_ok(rh_trace_put(out, &event, 1, &err), &err);
	}
	expect_ok(rh_trace_finish(out, NULL, &err), &err);
}

static void write_calls(const char *path, enum rh_trace_form form, unsigned columns)
{
	struct rh_trace_out *out = begin(path, form, columns);
	size_t from = 0, many;
	uint64_t x = columns + 1;
	struct rh_err err;

	for (; from < CALLS; from += many) {
		many = 1 + next(&x) % 100;
		many = many < CALLS - from ? many : CALLS - from;
		expect_ok(rh_trace_put_calls(out, calls + from, many, &err), &err);
	}
	expect_ok(rh_trace_finish(out, NULL, &err), &err);
}

static void the_same_file(void **state)
{
	const char *one = scratch_path("one.rht"), *fast;
	char path[4096];

	(void)state;
	snprintf(path, sizeof path, "%s", one);
	fast = scratch_path("fast.rht");
	make_calls();
	for (unsigned i = 0; i < 2 * COLUMN_SETS; i++) {
		enum rh_trace_form form = i < COLUMN_SETS ? RH_FORM_BINARY : RH_FORM_TEXT;
		size_t bytes, bytes_fast;
		char *data, *data_fast;

		if (form == RH_FORM_TEXT && i % 5)
			continue;
		write_one_by_one(path, form, i % COLUMN_SETS);
		write_calls(fast, form, i % COLUMN_SETS);
		data = load_trace(path, &bytes);
		data_fast = load_trace(fast, &bytes_fast);
		assert_int_equal(bytes, bytes_fast);
		assert_memory_equal(data, data_fast, bytes);
		free(data);
		free(data_fast);
	}
}

static void the_same_refusals(void **state)
{
	static const struct rh_call_event good[] = {
		{ .id = 0, .size = 8, .time_ns = 1, .kind = RH_EV_ALLOC },
		{ .id = 1, .size = 8, .time_ns = 1, .kind = RH_EV_ALLOC },
		{ .id = 0, .time_ns = 2, .kind = RH_EV_FREE },
	};
	static const struct rh_call_event bad[] = {
		{ .id = 0, .time_ns = 3, .kind = RH_EV_FREE },
		{ .id = 9, .time_ns = 3, .kind = RH_EV_FREE },
		{ .id = 1, .size = 8, .time_ns = 3, .kind = RH_EV_ALLOC },
		{ .id = 2, .size = 1ull << 60, .time_ns = 3, .kind = RH_EV_ALLOC },
		{ .id = 2, .size = 8, .time_ns = 1ull << 63, .kind = RH_EV_ALLOC },
		{ .id = 2, .size = 8, .flags = RH_EVF_SIZED, .kind = RH_EV_ALLOC },
		{ .id = 1, .old = 0, .size = 8, .kind = RH_EV_RESIZE },
		{ .id = 0, .kind = RH_EV_USABLE },
	};
	const char *path = scratch_path("bad.rht");

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		struct rh_err err = { 0 }, fast = { 0 };
		struct rh_trace_out *out = begin(path, RH_FORM_BINARY, RH_COL_TIME);
		struct rh_event event;

		expect_ok(rh_trace_put_calls(out, good, 3, &err), &err);
		rh_call_event_whole(&bad[i], &event);
		assert_int_equal(rh_trace_put(out, &event, 1, &err), -1);
		rh_trace_abandon(out);
		out = begin(path, RH_FORM_BINARY, RH_COL_TIME);
		expect_ok(rh_trace_put_calls(out, good, 3, &fast), &fast);
		assert_int_equal(rh_trace_put_calls(out, &bad[i], 1, &fast), -1);
		assert_string_equal(fast.text, err.text);
		assert_int_equal(rh_trace_put_calls(out, good, 1, &fast), -1);
		rh_trace_abandon(out);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_same_file),
		cmocka_unit_test(the_same_refusals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
