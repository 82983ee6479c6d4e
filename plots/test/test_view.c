/*
 * test_view.c - results become one view; a file that is not a result is refused with the place.
 * Backend styles: the same look for the same name.
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

#include "plots/report/compare.h"
#include "harness/result/estimate.h"
#include "plots/figure/view.h"

static char path[] = "/tmp/reheap-test-view.XXXXXX";

static int open_text(struct rh_view *view, const char *text, struct rh_err *err)
{
	char *paths[] = { path };
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	fputs(text, file);
	fclose(file);
	*err = (struct rh_err){ 0 };
	return rh_view_open(view, paths, 1, NULL, err);
}

#define HEAD "{\"schema\":\"reheap.result/1\",\"config\":{\"baseline\":\"libc\"},"
#define BODY \
	"\"traces\":[{\"name\":\"a.rht\"}],\"backends\":[{\"spec\":\"libc\"},{\"spec\":\"x\"}],"

static void refuses_what_is_no_result(void **state)
{
	static const struct {
		const char *text, *says;
	} rows[] = {
		{ "", "is empty" },
		{ "\x1f\x8b\b", "packed by gzip" },
		{ "\xff\xfe{", "text in UTF-16" },
		{ "{", "not JSON" },
		{ "[]", "schema" },
		{ "{\"schema\":\"reheap.result/9\"}", "reheap.result/9" },
		{ HEAD "\"traces\":[]}", "backends" },
		{ HEAD BODY "\"trials\":[],\"metrics\":{}}", "metrics" },
		{ HEAD BODY "\"trials\":[],\"metrics\":[{}]}", "metrics[0]" },
		{ HEAD BODY "\"trials\":[],\"metrics\":[{\"trace\":1,\"backend\":0,\"name\":\"n\","
			    "\"median\":1}]}",
		  "metrics[0]" },
		{ HEAD BODY "\"trials\":[],\"metrics\":[{\"trace\":0,\"backend\":-1,\"name\":\"n\","
			    "\"median\":1}]}",
		  "metrics[0]" },
		{ HEAD BODY "\"trials\":[],\"metrics\":[{\"trace\":0,\"backend\":0,\"name\":\"n\","
			    "\"median\":null}]}",
		  "metrics[0]" },
		{ HEAD BODY "\"trials\":[],\"metrics\":[{\"lanes\":4294967296,\"name\":\"n\","
			    "\"median\":1}]}",
		  "metrics[0].lanes" },
		{ HEAD BODY "\"trials\":[],\"metrics\":[{\"name\":\"n\",\"median\":1e300}]}",
		  "metrics[0]: n cannot be 1e+300" },
		{ HEAD BODY "\"trials\":[],\"metrics\":[{\"name\":\"time.ratio\",\"median\":-1}]}",
		  "metrics[0].median: time.ratio cannot be -1" },
		{ HEAD BODY "\"trials\":[],\"metrics\":[{\"name\":\"n\",\"median\":1,\"lo\":3,"
			    "\"hi\":2}]}",
		  "the lower end of n" },
		{ HEAD BODY "\"trials\":[],\"metrics\":[{\"name\":\"n\",\"median\":1},"
			    "{\"name\":\"n\",\"median\":2}]}",
		  "metrics[1] are of the same n" },
		{ HEAD "\"traces\":[],\"backends\":[{}],\"trials\":[],\"metrics\":[]}",
		  "backends[0]" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct rh_view view;
		struct rh_err err;

		assert_int_equal(open_text(&view, rows[i].text, &err), -1);
		assert_int_equal(err.code, RH_BAD_DATA);
		assert_non_null(strstr(err.text, rows[i].says));
		assert_non_null(strstr(err.text, path));
	}
}

static void no_file_is_no_input(void **state)
{
	char missing[] = "/tmp/no-such-file.json", folder[] = "/tmp";
	char *paths[2] = { missing, folder };
	struct rh_err err = { 0 };
	struct rh_view view;

	(void)state;
	assert_int_equal(rh_view_open(&view, &paths[0], 1, NULL, &err), -1);
	assert_int_equal(err.code, RH_NO_INPUT);
	assert_int_equal(rh_view_open(&view, &paths[1], 1, NULL, &err), -1);
	assert_int_equal(err.code, RH_NO_INPUT);
}

#define METRIC(b, values)                                                        \
	"{\"trace\":0,\"backend\":" b ",\"name\":\"time.ns_per_event\",\"n\":3," \
	"\"median\":2,\"values\":[" values "]}"

static void ratios_are_paired_when_the_counts_match(void **state)
{
	struct rh_estimate e;
	struct rh_view view;
	struct rh_err err;

	(void)state;
	assert_int_equal(open_text(&view,
				   HEAD BODY "\"trials\":[],\"metrics\":[" METRIC(
					   "0", "1,2,4") "," METRIC("1", "2,4,8") "]}",
				   &err),
			 0);
	assert_int_equal(view.scene_count, 1);
	assert_string_equal(view.scenes[0].label, "a, 1 lane");
	assert_int_equal(view.baseline, 0);
	assert_true(rh_view_ratio(&view, 0, 1, "time.ns_per_event", &e));
	assert_true(e.paired && e.ratio == 2 && e.lo == 2 && e.hi == 2);
	assert_false(rh_view_ratio(&view, 0, 1, "memory.rss_peak_bytes", &e));
	rh_view_close(&view);

	assert_int_equal(open_text(&view,
				   HEAD BODY "\"trials\":[],\"metrics\":[" METRIC(
					   "0", "1,2,4") "," METRIC("1", "2,4") "]}",
				   &err),
			 0);
	assert_true(rh_view_ratio(&view, 0, 1, "time.ns_per_event", &e));
	assert_false(e.paired);
	rh_view_close(&view);

	/* a zero has no ratio */
	assert_int_equal(open_text(&view,
				   HEAD BODY "\"trials\":[],\"metrics\":[" METRIC(
					   "0", "0,2,4") "," METRIC("1", "2,4,8") "]}",
				   &err),
			 0);
	assert_false(rh_view_ratio(&view, 0, 1, "time.ns_per_event", &e));
	rh_view_close(&view);
}

static void the_trial_of_median_time_is_found(void **state)
{
	const struct rh_trial_done *trial;
	struct rh_view view;
	struct rh_err err;

	(void)state;
	assert_int_equal(open_text(&view,
				   HEAD BODY "\"metrics\":[" METRIC(
					   "0", "1,2,4") "],\"trials\":["
							 "{\"trace\":0,\"backend\":0,\"status\":"
							 "\"ok\",\"wall_ns\":30,\"rep\":0},"
							 "{\"trace\":0,\"backend\":0,\"status\":"
							 "\"ok\",\"wall_ns\":10,\"rep\":1},"
							 "{\"trace\":0,\"backend\":0,\"status\":"
							 "\"failed\",\"wall_ns\":5,\"rep\":2},"
							 "{\"trace\":0,\"backend\":1,\"status\":"
							 "\"ok\",\"wall_ns\":15,\"rep\":2},"
							 "{\"trace\":0,\"backend\":0,\"status\":"
							 "\"ok\",\"wall_ns\":20,\"rep\":3}]}",
				   &err),
			 0);
	trial = rh_view_trial(&view, 0, 0);
	assert_non_null(trial);
	assert_true(trial->rep == 3);
	rh_view_close(&view);
}

static void a_result_compared_with_itself_is_the_same(void **state)
{
	char *paths[] = { path, path };
	struct rh_compare compare;
	struct rh_view view;
	struct rh_err err;

	(void)state;
	assert_int_equal(open_text(&view,
				   HEAD BODY "\"trials\":[],\"metrics\":[" METRIC(
					   "0", "200,201,202,200,201") "]}",
				   &err),
			 0);
	rh_view_close(&view);
	assert_int_equal(rh_view_open(&view, paths, 2, NULL, &err), 0);
	assert_int_equal(rh_compare_build(&view, NULL, &compare, &err), 0);
	assert_int_equal(compare.row_count, 1);
	assert_int_equal(compare.breaks, 0);
	assert_int_equal(compare.only_a + compare.only_b, 0);
	assert_string_equal(rh_compare_word(&compare.rows[0]), "same");
	rh_view_close(&view);
}

static void styles_look_the_same_everywhere(void **state)
{
	struct rh_backend_style a = { .heap = "mimalloc" }, b = { .heap = "mimalloc" };
	struct rh_backend_style c = { .heap = "./lib/libmimalloc.so.2" };
	struct rh_backend_style d = { .heap = "tiered:profile=1.22" };
	struct rh_backend_style e = { .heap = "never-heard-of" }, f = { .heap = "never-heard-of" };

	(void)state;
	rh_backend_style_set(&a, 0);
	rh_backend_style_set(&b, 1);
	rh_backend_style_set(&c, 0);
	rh_backend_style_set(&d, 0);
	rh_backend_style_set(&e, 0);
	rh_backend_style_set(&f, 0);
	assert_int_equal(a.color, 0x0072b2);
	assert_int_equal(b.color, a.color);
	assert_true(b.dash != a.dash && b.mark != a.mark);
	assert_int_equal(c.color, a.color);
	assert_int_equal(d.color, 0x009e73);
	assert_int_equal(e.color, f.color);
	assert_int_equal(e.mark, f.mark);
}

static int make_file(void **state)
{
	int fd = mkstemp(path);

	(void)state;
	if (fd >= 0)
		close(fd);
	return fd < 0;
}

static int drop_file(void **state)
{
	(void)state;
	return unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(refuses_what_is_no_result),
		cmocka_unit_test(no_file_is_no_input),
		cmocka_unit_test(ratios_are_paired_when_the_counts_match),
		cmocka_unit_test(the_trial_of_median_time_is_found),
		cmocka_unit_test(a_result_compared_with_itself_is_the_same),
		cmocka_unit_test(styles_look_the_same_everywhere),
	};

	return cmocka_run_group_tests(tests, make_file, drop_file);
}
