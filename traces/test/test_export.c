/*
 * test_export.c - a trace as JSON trace events: it is JSON, counts every event once, ends with what
 * lives, keeps recorded times or says that there are none, and takes hostile names as text.
 */
#include <jansson.h>

#include "traces/edit/export.h"
#include "traces/test/test_support.h"

static json_t *export(const char *text)
{
	char from[] = "/tmp/reheap-export-XXXXXX", to[64];
	struct rh_trace *trace;
	struct rh_err err = { 0 };
	json_error_t why;
	json_t *json;
	FILE *file = fdopen(mkstemp(from), "w");

	assert_non_null(file);
	fputs(text, file);
	fclose(file);
	snprintf(to, sizeof(to), "%s.json", from);
	if (rh_trace_open(&trace, from, &err) < 0 ||
	    rh_exporter_of("perfetto")->run(trace, to, &err) < 0)
		fail_msg("%s", err.text);
	rh_trace_close(trace);
	json = json_load_file(to, 0, &why);
	if (!json)
		fail_msg("line %d: %s", why.line, why.text);
	unlink(from);
	unlink(to);
	return json;
}

/* The last value of a counter; -1 when there is none. */
static json_int_t last_of(const json_t *json, const char *name)
{
	json_int_t value = -1;
	json_t *event;
	size_t at;

	json_array_foreach(json_object_get(json, "traceEvents"), at,
			   event) if (strcmp(json_string_value(json_object_get(event, "name")),
					     name) == 0) value =
		json_integer_value(json_object_get(json_object_get(event, "args"), "value"));
	return value;
}

static size_t count_of(const json_t *json, const char *phase)
{
	size_t count = 0, at;
	json_t *event;

	json_array_foreach(json_object_get(json, "traceEvents"), at, event) count +=
		strcmp(json_string_value(json_object_get(event, "ph")), phase) == 0;
	return count;
}

static void what_lives_is_counted_at_recorded_times(void **state)
{
	json_t *json = export("reheap-trace 1 columns=time\nnote program=demo\n"
			      "lane_start lane=0 time=900\nlane_start lane=1 time=950\n"
			      "alloc lane=0 id=0 size=100 time=1000\n"
			      "alloc lane=1 id=1 size=50 time=2500\n"
			      "free lane=1 id=0 time=4000\n"
			      "resize lane=0 id=2 old=1 size=70 time=9000\n");
	json_t *event;
	size_t at;
	int slices = 0;

	(void)state;
	assert_int_equal(last_of(json, "live bytes"), 70);
	assert_int_equal(last_of(json, "live objects"), 1);
	json_array_foreach(json_object_get(json, "traceEvents"), at, event)
	{
		double ts = json_number_value(json_object_get(event, "ts"));

		if (strcmp(json_string_value(json_object_get(event, "ph")), "X") != 0)
			continue;
		slices++;
		assert_true(ts >= 0.9 && ts <= 9); /* microseconds */
		assert_true(json_number_value(json_object_get(event, "dur")) > 0);
	}
	assert_in_range(slices, 2, 6);
	json_decref(json);
}

/* Stamps of a lane that go back, ten windows of them: its slices still lie apart, and
 * no lane is a thread that Perfetto keeps for the process or the idle. */
static void slices_of_a_lane_lie_apart(void **state)
{
	enum { EVENTS = 40000, LINE = 64 };
	char *text = calloc(EVENTS + 4, LINE), *to = text;
	double until[3] = { 0 };
	json_t *json, *event;
	int slices = 0;
	size_t at;

	(void)state;
	to += snprintf(to, 3 * LINE,
		       "reheap-trace 1 columns=time\nlane_start lane=0 time=0\n"
		       "lane_start lane=1 time=0\n");
	for (int i = 0; i < EVENTS; i++)
		to += snprintf(to, LINE, "alloc lane=%d size=8 time=%d\n", i % 2,
			       i * 10 + (i % 7 == 0 ? 500 : 0));
	json = export(text);
	free(text);
	json_array_foreach(json_object_get(json, "traceEvents"), at, event)
	{
		double ts = json_number_value(json_object_get(event, "ts"));
		json_int_t tid = json_integer_value(json_object_get(event, "tid"));

		if (strcmp(json_string_value(json_object_get(event, "ph")), "X") != 0)
			continue;
		assert_in_range(tid, 1, 2);
		assert_true(ts > until[tid] - 1e-6);
		until[tid] = ts + json_number_value(json_object_get(event, "dur"));
		slices++;
	}
	assert_true(slices > 15);
	json_decref(json);
}

static void collections_and_marks_have_their_places(void **state)
{
	json_t *json = export("reheap-trace 1\nnote program=<b>\"'\\\\ \xd0\xba\n"
			      "site 1=phase \"two\"\nlane_start lane=0\n"
			      "gc_begin lane=0 id=1\nmark lane=0 id=1\ngc_end lane=0 id=1\n");

	(void)state;
	assert_int_equal(count_of(json, "B"), 1);
	assert_int_equal(count_of(json, "E"), 1);
	assert_int_equal(count_of(json, "i"), 1);
	assert_non_null(strstr(
		json_string_value(json_object_get(json_object_get(json, "otherData"), "clock")),
		"no times"));
	json_decref(json);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_lives_is_counted_at_recorded_times),
		cmocka_unit_test(slices_of_a_lane_lie_apart),
		cmocka_unit_test(collections_and_marks_have_their_places),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
