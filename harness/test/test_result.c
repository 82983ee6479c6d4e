/*
 * test_result.c - metrics against hand-made trials with known answers, and every form of
 * output read back: the JSON against RESULT.md, CSV by its columns, the table by its words.
 */
#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "harness/run/result.h"
#include "traces/event.h"

enum { LIBC, NULL_FLOOR, MINE, GONE, BACKENDS };
enum { REPS = 5 };

static const char *const specs[BACKENDS] = { "libc", "null", "mi,ne\"", "gone" };

static void add_backends(struct rh_result *result)
{
	for (int b = 0; b < BACKENDS; b++) {
		struct rh_run_backend *backend = rh_grow(&result->backends, &result->backend_count,
							 sizeof(*backend));

		backend->text = strdup(specs[b]);
		backend->spec = calloc(1, sizeof(*backend->spec));
		backend->floor = b == NULL_FLOOR;
		if (b == NULL_FLOOR)
			backend->spec->layer[0].ops.caps = RH_CAP_NO_MEMORY;
	}
	result->backends[GONE].status = RH_STATUS_ABSENT;
	snprintf(result->backends[GONE].why, sizeof(result->backends[GONE].why), "not installed");
}

/* 1000 events. Null: 2 us. libc: 12, 14, 16, 18, 20 us. Mine: half of that and 1 us more. Two
 * segments; most is live (1 MiB) at the end of the first. The harness holds 1000 KiB. */
static void add_trial(struct rh_result *result, uint32_t backend, uint32_t rep)
{
	static const uint64_t base_ns[REPS] = { 12000, 14000, 16000, 18000, 20000 };
	struct rh_trial *trial = rh_grow(&result->trials, &result->trial_count, sizeof(*trial));
	uint64_t wall = backend == NULL_FLOOR ? 2000 : backend == LIBC ? base_ns[rep] :
			base_ns[rep] / 2 + 1000;

	*trial = (struct rh_trial){ .backend = backend, .lanes = 2, .copies = 1, .rep = rep,
				    .events = 1000, .wall_ns = wall, .cpu_ns = wall, .waits = 10,
				    .blocked = 5, .blocked_ns = wall / 2,
				    .anon_start = 1000 << 10, .anon_drained = 1200 << 10 };
	for (int i = 0; i < 2; i++) {
		struct rh_segment *segment = rh_grow(&trial->segments, &trial->segment_count,
						     sizeof(*segment));

		*segment = (struct rh_segment){
			.events = 500,
			.event_last = 500u * (unsigned)(i + 1),
			.wall_ns = wall / 2,
			.anon_bytes = backend == NULL_FLOOR ? 1000 << 10
							    : (3048u + 100 * (unsigned)i) << 10,
			.live_bytes = i ? 1000 : 1 << 20,
			.faults_minor = 1,
		};
	}
}

static void make(struct rh_result *result)
{
	static struct rh_program_head head = { .events = 1000, .lanes = 2, .grains = 2,
					       .epoch_grains = 2, .live_bytes_peak = 1 << 20 };
	struct rh_run_program *program;

	*result = (struct rh_result){ .reps = REPS, .touch = "first", .pace = "none",
				      .probes = "time,memory", .baseline = LIBC,
				      .floor = NULL_FLOOR };
	result->clock.name = "tsc";
	add_backends(result);
	((struct rh_run_trace *)rh_grow(&result->traces, &result->trace_count,
					sizeof(struct rh_run_trace)))->path = "some/where.rht";
	program = rh_grow(&result->programs, &result->program_count, sizeof(*program));
	program->lanes = 2;
	program->program = (struct rh_program){ .fd = -1, .head = &head };
	for (uint32_t rep = 0; rep < REPS; rep++)
		for (uint32_t b = 0; b < GONE; b++)
			add_trial(result, b, rep);
	rh_result_warn(result, "%s", "beware");
	rh_result_absent(result, "latency", -1, "not asked for");
	result->exit = RH_PARTIAL;
	rh_result_measure(result);
}

static void end(struct rh_result *result)
{
	result->programs[0].program = (struct rh_program){ .fd = -1 };
	rh_result_free(result);
}

static struct rh_interval metric(const struct rh_result *result, uint32_t backend,
				 const char *name)
{
	const struct rh_metric *m = rh_result_metric(result, 0, backend, 2, 1, name);

	if (!m)
		fail_msg("no %s of %s", name, specs[backend]);
	return m->interval;
}

#define NEAR(a, b) assert_true(fabs((a) - (b)) < 1e-9)

static void metrics_are_right(void **state)
{
	struct rh_result result;
	struct rh_interval x;

	(void)state;
	make(&result);
	x = metric(&result, LIBC, "time.ns_per_event");
	NEAR(x.median, 16);
	NEAR(x.lo, 12);
	NEAR(x.hi, 20);
	NEAR(x.level, 0.9375);
	NEAR(metric(&result, LIBC, "time.ns_per_event_net").median, 14);
	/* (w/2 + 1) / w falls with w: 7/12 ... 11/20. Net of 2 it is (w/2 - 1) / (w - 2) = 1/2. */
	x = metric(&result, MINE, "time.ratio");
	NEAR(x.median, 9.0 / 16);
	NEAR(x.lo, 11.0 / 20);
	NEAR(x.hi, 7.0 / 12);
	x = metric(&result, MINE, "time.ratio_net");
	NEAR(x.lo, 0.5);
	NEAR(x.hi, 0.5);
	NEAR(metric(&result, LIBC, "time.cpu_share").median, 0.5);
	NEAR(metric(&result, LIBC, "time.wait_share").median, 0.25);
	NEAR(metric(&result, LIBC, "waits.per_event").median, 0.01);
	NEAR(metric(&result, LIBC, "memory.rss_peak_bytes").median, 2148 << 10);
	NEAR(metric(&result, LIBC, "memory.retained_bytes").median, 200 << 10);
	NEAR(metric(&result, LIBC, "memory.fragmentation_peak").median, 2);
	NEAR(metric(&result, LIBC, "memory.faults_per_event").median, 0.002);
	assert_null(rh_result_metric(&result, 0, NULL_FLOOR, 2, 1, "memory.fragmentation_peak"));
	assert_null(rh_result_metric(&result, 0, GONE, 2, 1, "time.ns_per_event"));
	end(&result);
}

/* Ratios pair within a rep; a rep without an ok partner has none, and failed trials have no
 * say at all. */
static void failed_trials_have_no_say(void **state)
{
	struct rh_result result;

	(void)state;
	make(&result);
	for (size_t i = 0; i < result.metric_count; i++)
		free(result.metrics[i].values);
	free(result.metrics);
	result.metrics = NULL;
	result.metric_count = 0;
	result.trials[LIBC].status = RH_STATUS_FAILED;
	result.trials[LIBC].wall_ns = 1;
	rh_result_measure(&result);
	assert_int_equal(metric(&result, LIBC, "time.ns_per_event").n, 4);
	NEAR(metric(&result, LIBC, "time.ns_per_event").lo, 14);
	assert_int_equal(metric(&result, MINE, "time.ns_per_event").n, 5);
	assert_int_equal(metric(&result, MINE, "time.ratio").n, 4);
	end(&result);
}

static void has_fields(const json_t *object, const char *where, const char *names)
{
	char words[512], *at = words, *name;

	snprintf(words, sizeof(words), "%s", names);
	while ((name = strsep(&at, " ")))
		if (!json_object_get(object, name))
			fail_msg("%s has no %s", where, name);
}

static json_t *written(const struct rh_result *result)
{
	int fd = memfd_create("result", 0);
	struct rh_err err = { 0 };
	json_error_t why;
	json_t *root;

	assert_int_equal(rh_result_write_json(result, fd, "result", &err), 0);
	lseek(fd, 0, SEEK_SET);
	root = json_loadfd(fd, 0, &why);
	if (!root)
		fail_msg("%s", why.text);
	close(fd);
	return root;
}

static void json_keeps_its_contract(void **state)
{
	struct rh_result result;
	json_t *root, *trial, *null;

	(void)state;
	make(&result);
	result.trials[3].anon_drained = RH_NONE;
	root = written(&result);
	assert_string_equal(json_string_value(json_object_get(root, "schema")), "reheap.result/1");
	has_fields(root, "root", "tool started wall_s exit host warnings config traces backends "
		   "trials metrics absent");
	has_fields(json_object_get(root, "tool"), "tool", "name version argv");
	has_fields(json_object_get(root, "host"), "host", "name kernel cpu_model cpus "
		   "cpus_allowed memory_bytes page_bytes hypervisor thp governor libc load1 clock");
	has_fields(json_object_get(json_object_get(root, "host"), "clock"), "clock",
		   "source why ns_per_tick granularity_ns pair_cost_ns drift_ppm");
	has_fields(json_object_get(root, "config"), "config", "reps seed lanes copies touch pace "
		   "verify probes baseline");
	has_fields(json_array_get(json_object_get(root, "traces"), 0), "trace", "path name sha256 "
		   "events objects lanes_recorded live_bytes_peak live_objects_peak size_max "
		   "truncated notes programs");
	has_fields(json_array_get(json_object_get(root, "backends"), 3), "backend",
		   "spec heap stack status why role identity");
	trial = json_array_get(json_object_get(root, "trials"), 3);
	has_fields(trial, "trial", "trace backend lanes copies rep order status why died_at events "
		   "wall_ns cpu_ns waits alloc_failed memory segments probes");
	assert_null(json_object_get(json_object_get(trial, "memory"), "rss_drained_bytes"));
	null = json_array_get(json_object_get(root, "trials"), NULL_FLOOR);
	assert_int_equal(json_integer_value(json_object_get(json_object_get(null, "memory"),
							    "rss_peak_bytes")), 0);
	has_fields(json_object_get(trial, "segments"), "segments", "events event_last wall_ns "
		   "cpu_ns rss_bytes live_bytes live_objects faults_minor faults_major "
		   "switches_voluntary switches_involuntary");
	has_fields(json_array_get(json_object_get(root, "metrics"), 0), "metric", "trace backend "
		   "lanes copies name unit source better n median lo hi level min max values");
	assert_int_equal(json_array_size(json_object_get(root, "metrics")), result.metric_count);
	json_decref(root);
	end(&result);
}

static char *printed(const struct rh_result *result, int form)
{
	char *text = NULL;
	size_t bytes;
	FILE *to = open_memstream(&text, &bytes);

	if (form == 0)
		rh_result_print_csv(result, to);
	else
		rh_result_print_table(result, to, form == 2, true);
	fclose(to);
	return text;
}

static void csv_quotes(void **state)
{
	struct rh_result result;
	size_t lines = 0;
	char *text;

	(void)state;
	make(&result);
	text = printed(&result, 0);
	for (const char *c = text; *c; c++)
		lines += *c == '\n';
	assert_int_equal(lines, result.metric_count + 1);
	assert_non_null(strstr(text,
			       "some/where.rht,\"mi,ne\"\"\",2,1,time.ratio,ratio,own,lower,5,"
			       "0.5625,0.55,0.583333333,"));
	free(text);
	end(&result);
}

static void tables_tell(void **state)
{
	struct rh_result result;

	(void)state;
	make(&result);
	for (int form = 1; form <= 2; form++) {
		char *text = printed(&result, form);

		assert_non_null(strstr(text, "where.rht: 1,000 events, 2 lanes x 1 copy, 5 reps"));
		assert_non_null(strstr(text, "16.0 [12.0, 20.0]"));
		assert_non_null(strstr(text, "0.56 [0.55, 0.58]"));
		assert_non_null(strstr(text, "null (floor)"));
		assert_non_null(strstr(text, "gone: absent: not installed"));
		assert_non_null(strstr(text, "note: beware"));
		assert_int_equal(strstr(text, "| libc") != NULL, form == 2);
		free(text);
	}
	end(&result);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(metrics_are_right),
		cmocka_unit_test(failed_trials_have_no_say),
		cmocka_unit_test(json_keeps_its_contract),
		cmocka_unit_test(csv_quotes),
		cmocka_unit_test(tables_tell),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
