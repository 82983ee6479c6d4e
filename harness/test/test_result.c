/*
 * test_result.c - metrics against hand-made trials with known answers, and every form of
 * output read back: the JSON against RESULT.md, CSV by its columns, the table by its words.
 *
 * With files as arguments it only holds those against the schema (ci/own/e2e/lib.sh).
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "harness/result/pool.h"
#include "harness/result/result.h"
#include "harness/test/schema_check.h"
#include "traces/format/event.h"

enum { LIBC, NULL_FLOOR, MINE, GONE, BACKENDS };
enum { REPS = 5 };

static const char *const specs[BACKENDS] = { "libc", "null", "mi,ne\"", "gone" };

static void add_backends(struct rh_result *result)
{
	for (int b = 0; b < BACKENDS; b++) {
		struct rh_run_backend *backend =
			rh_grow(&result->backends, &result->backend_count, sizeof(*backend));

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
	uint64_t wall = backend == NULL_FLOOR ? 2000
			: backend == LIBC     ? base_ns[rep]
					      : base_ns[rep] / 2 + 1000;

	*trial = (struct rh_trial){ .backend = backend,
				    .lanes = 2,
				    .copies = 1,
				    .rep = rep,
				    .events = 1000,
				    .wall_ns = wall,
				    .cpu_ns = wall,
				    .waits = 10,
				    .blocked = 5,
				    .blocked_ns = wall / 2,
				    .anon_start = 1000 << 10,
				    .anon_drained = 1200 << 10 };
	for (int i = 0; i < 2; i++) {
		struct rh_segment *segment =
			rh_grow(&trial->segments, &trial->segment_count, sizeof(*segment));

		*segment = (struct rh_segment){
			.events = 500,
			.event_last = 500u * (unsigned)(i + 1),
			.wall_ns = wall / 2,
			.anon_bytes = backend == NULL_FLOOR ? 1000 << 10
							    : (3048u + 100 * (unsigned)i) << 10,
			.anon_most = backend == NULL_FLOOR ? 1000 << 10
							   : (3048u + 100 * (unsigned)i) << 10,
			.live_bytes = i ? 1000 : 1 << 20,
			.faults_minor = 1,
		};
	}
}

static void make(struct rh_result *result)
{
	static struct rh_program_head head = { .events = 1000,
					       .lanes = 2,
					       .grains = 2,
					       .epoch_grains = 2,
					       .live_bytes_peak = 1 << 20 };
	struct rh_run_program *program;

	*result = (struct rh_result){ .reps = REPS,
				      .touch = "full",
				      .pace = "none",
				      .probes = "time,memory",
				      .baseline = LIBC,
				      .floor = NULL_FLOOR };
	result->clock.name = "tsc";
	add_backends(result);
	((struct rh_run_trace *)rh_grow(&result->traces, &result->trace_count,
					sizeof(struct rh_run_trace)))
		->path = "some/where.rht";
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

static struct rh_interval metric(const struct rh_result *result, uint32_t backend, const char *name)
{
	const struct rh_metric *m =
		rh_result_metric(result, (struct rh_metric_place){ 0, backend, 2, 1 }, name);

	if (!m)
		fail_msg("no %s of %s", name, specs[backend]);
	return (struct rh_interval){ m->median, m->lo, m->hi, m->level, m->min, m->max, m->n };
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
	assert_null(rh_result_metric(&result, (struct rh_metric_place){ 0, NULL_FLOOR, 2, 1 },
				     "memory.fragmentation_peak"));
	assert_null(rh_result_metric(&result, (struct rh_metric_place){ 0, GONE, 2, 1 },
				     "time.ns_per_event"));
	end(&result);
}

/* Ratios pair within a rep; a rep without an ok partner has none, and failed trials do not count.
 */
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

static char *written(struct rh_result *result)
{
	int fd = memfd_create("result", 0);
	struct rh_err err = { 0 };
	struct stat seen;
	char *text;

	assert_int_equal(rh_result_write_json(result, fd, "result", &err), 0);
	assert_int_equal(fstat(fd, &seen), 0);
	text = calloc(1, (size_t)seen.st_size + 1);
	assert_int_equal(pread(fd, text, (size_t)seen.st_size, 0), seen.st_size);
	close(fd);
	return text;
}

/* One of everything, so that each structure of the schema occurs. */
static void add_findings(struct rh_result *result)
{
	static struct rh_bucket bucket = { 40, 3 };
	static struct rh_bucket_row row = { &bucket, 1 };
	static double numbers[] = { 1, 2 };
	static struct rh_latency_run run = { numbers, 2, 7, numbers, 2, &row, 1 };
	static struct rh_quantile q = { 40, true, NAN, NAN };
	static struct rh_latency_of of = { "free", 3, 40, 41, &q, &q, &q, &q, &q, &bucket, 1 };
	static struct rh_latency_of all = { NULL, 3, 40, 41, &q, &q, &q, &q, &q, NULL, 0 };
	static struct rh_latency_cells cells;
	static struct rh_latency_sizes sizes;
	static struct rh_outliers outliers;
	static struct rh_latency_found latency = { .source = "own",
						   .all = &all,
						   .kinds = &of,
						   .kinds_count = 1,
						   .cells = &cells,
						   .sizes = &sizes,
						   .run = &run,
						   .outliers = &outliers };
	static struct rh_lock_found lock = { .name = "mheap", .source = "own", .instance = 0 };
	static struct rh_locks_found locks = {
		.run_delay_ns = NAN, .futex_calls = UINT64_MAX, .classes = &lock, .classes_count = 1
	};
	static struct rh_named named = { "Ir", 12 };
	static struct rh_callgrind_found callgrind = {
		.source = "sim", .caches = "none", .totals = &named, .totals_count = 1
	};

	result->trials[LIBC].found =
		(struct rh_found){ .latency = &latency, .locks = &locks, .callgrind = &callgrind };
}

static void json_keeps_its_contract(void **state)
{
	struct rh_pool *pool = rh_pool_open();
	struct rh_document document;
	struct rh_result result;
	struct rh_err err = { 0 };
	char *text;

	(void)state;
	make(&result);
	add_findings(&result);
	result.trials[3].anon_drained = RH_NONE;
	text = written(&result);
	check_against_schema(text, &rh_document_type);
	assert_int_equal(rh_record_read(&rh_document_type, &document,
					&(struct rh_record_source){ .path = "text",
								    .text = text,
								    .text_bytes = strlen(text),
								    .schema = RH_RESULT_SCHEMA },
					pool, &err),
			 0);
	assert_int_equal(document.metrics_count, result.metric_count);
	assert_int_equal(document.trials_count, result.trial_count);
	assert_true(document.trials[3].memory->rss_drained_bytes == UINT64_MAX);
	assert_int_equal(document.trials[NULL_FLOOR].memory->rss_peak_bytes, 0);
	assert_string_equal(document.backends[MINE].spec, "mi,ne\"");
	assert_string_equal(document.trials[LIBC].probes->latency->kinds[0].kind, "free");
	assert_int_equal(document.trials[LIBC].probes->latency->run->counts[0].list[0].count, 3);
	assert_true(isnan(document.trials[LIBC].probes->locks->run_delay_ns));
	assert_true(document.trials[LIBC].probes->callgrind->totals[0].value == 12);
	assert_int_equal(document.absent[0].backend, UINT32_MAX);
	free(text);
	rh_pool_close(pool);
	end(&result);
}

/* Reading and writing again gives the same text: no field is lost or changed. */
static void reading_and_writing_are_inverse(void **state)
{
	struct rh_pool *pool = rh_pool_open();
	struct rh_document document;
	struct rh_result result;
	struct rh_err err = { 0 };
	char *text, *again;

	(void)state;
	make(&result);
	add_findings(&result);
	text = written(&result);
	assert_int_equal(rh_record_read(&rh_document_type, &document,
					&(struct rh_record_source){ .path = "text",
								    .text = text,
								    .text_bytes = strlen(text),
								    .schema = RH_RESULT_SCHEMA },
					pool, &err),
			 0);
	again = rh_record_print(&rh_document_type, &document, RH_JSON_COMPACT);
	text[strcspn(text, "\n")] = '\0';
	assert_string_equal(text, again);
	free(again);
	free(text);
	rh_pool_close(pool);
	end(&result);
}

/* The validator itself must be able to say no. */
static void the_schema_refuses(void **state)
{
	struct rh_result result;
	char *text, *at;

	(void)state;
	make(&result);
	text = written(&result);
	at = strstr(text, "\"traces\"");
	memcpy(at, "\"Traces\"", 8);
	assert_non_null(schema_fault(text, &rh_document_type));
	memcpy(at, "\"traces\"", 8);
	at = strstr(text, "\"wall_ns\":1");
	at[10] = '"', at[11] = '"'; /* a text where a number belongs */
	assert_non_null(schema_fault(text, &rh_document_type));
	free(text);
	end(&result);
}

/* Every metric has a row; no name stands twice. */
static void metrics_have_rows(void **state)
{
	(void)state;
	for (const struct rh_metric_row *row = rh_metric_rows; row->name; row++) {
		assert_true(strcmp(row->better, "lower") == 0 ||
			    strcmp(row->better, "higher") == 0 || strcmp(row->better, "none") == 0);
		assert_ptr_equal(rh_metric_find(row->name), row);
	}
	assert_string_equal(rh_metric_find("latency.free_remote.p99_9")->unit, "ns");
	assert_null(rh_metric_find("latent"));
}

static char *printed(const struct rh_result *result, int form)
{
	char *text = NULL;
	size_t bytes;
	FILE *to = open_memstream(&text, &bytes);

	if (form == 0)
		rh_result_print_csv(result, to);
	else
		rh_result_print_table(result, to,
				      &(struct rh_telling){ .markdown = form == 2,
							    .stats = true,
							    .verbose = true });
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

/* Writes a text that does not fit into what is left of the address space. */
static void fill_memory(void)
{
	const struct rlimit limit = { 64 << 20, 64 << 20 };
	static char piece[1 << 16];
	char *text;
	size_t bytes;
	FILE *to;

	if (!freopen("/dev/null", "w", stderr))
		_exit(1);
	setrlimit(RLIMIT_AS, &limit);
	to = rh_memory_text(&text, &bytes);
	memset(piece, 'x', sizeof(piece));
	for (int i = 0; i < 4096; i++)
		fwrite(piece, 1, sizeof(piece), to);
	fclose(to);
	_exit(0);
}

static void texts_are_whole_or_the_end(void **state)
{
	char *text;
	size_t bytes;
	FILE *to = rh_memory_text(&text, &bytes);
	int status = 0;
	pid_t child;

	(void)state;
	assert_int_equal(strlen(text), 0);
	for (int i = 0; i < 1000; i++)
		fprintf(to, "%d\n", i);
	assert_int_equal(ftell(to), 3890);
	fclose(to);
	assert_int_equal(bytes, 3890);
	assert_int_equal(strlen(text), bytes);
	free(text);
#ifndef RH_SANITIZE /* its shadow is larger than any limit */
	child = fork();
	if (child == 0)
		fill_memory();
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), RH_OS);
#else
	(void)child;
	(void)status;
	(void)fill_memory;
#endif
}

/* For the end-to-end tests: counts and names the files that do not match the schema. */
static int check_files(char **paths, const struct rh_record_type *type)
{
	int wrong = 0;

	for (; *paths; paths++) {
		json_t *value = json_load_file(*paths, 0, NULL);
		char *text = value ? json_dumps(value, JSON_ENCODE_ANY) : NULL;
		const char *fault = text ? schema_fault(text, type) : "is no JSON";

		if (fault)
			printf("%s: %s\n", *paths, fault);
		wrong += fault != NULL;
		free(text);
		json_decref(value);
	}
	return wrong;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(metrics_are_right),
		cmocka_unit_test(failed_trials_have_no_say),
		cmocka_unit_test(json_keeps_its_contract),
		cmocka_unit_test(reading_and_writing_are_inverse),
		cmocka_unit_test(the_schema_refuses),
		cmocka_unit_test(metrics_have_rows),
		cmocka_unit_test(csv_quotes),
		cmocka_unit_test(tables_tell),
		cmocka_unit_test(texts_are_whole_or_the_end),
	};

	if (argc > 1)
		return check_files(argv + 1, &rh_document_type) > 0;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
