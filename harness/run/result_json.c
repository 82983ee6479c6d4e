/*
 * result_json.c - writes the document of RESULT.md.
 *
 * The shape of the page is the shape of this file: one function per object. Numbers that
 * were not measured are left out, never written as 0.
 */
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/parts.h"
#include "harness/run/result.h"
#include "traces/event.h"

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static json_t *text_or_null(const char *text)
{
	json_t *value = text && text[0] ? json_string(text) : NULL;

	return value ? value : json_null();
}

/* Text from outside may not be UTF-8; then it is kept byte by byte as Latin-1. */
static json_t *any_text(const char *text)
{
	json_t *value = json_string(text);
	char *wide;
	size_t at = 0;

	if (value)
		return value;
	wide = malloc(2 * strlen(text) + 1);
	if (!wide)
		return json_null();
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (c >= 0x80)
			wide[at++] = (char)(0xc0 | c >> 6);
		wide[at++] = (char)(c >= 0x80 ? 0x80 | (c & 0x3f) : c);
	}
	wide[at] = '\0';
	value = json_string(wide);
	free(wide);
	return value ? value : json_null();
}

static json_t *count(uint64_t value)
{
	return json_integer((json_int_t)value);
}

static json_t *pairs(const struct rh_pair *list, size_t n)
{
	json_t *object = json_object();

	for (size_t i = 0; i < n; i++)
		json_object_set_new(object, list[i].name, any_text(list[i].value));
	return object;
}

static json_t *make_tool(const struct rh_result *result)
{
	json_t *argv = json_array();

	for (int i = 0; i < result->argc; i++)
		json_array_append_new(argv, any_text(result->argv[i]));
	return json_pack("{s:s, s:s, s:o}", "name", "reheap", "version", rh_version, "argv", argv);
}

static json_t *make_host(const struct rh_result *result)
{
	const struct rh_host *h = &result->host;
	const struct rh_clock *c = &result->clock;
	json_t *clock = json_pack("{s:s, s:o, s:f, s:f, s:f, s:f}", "source", c->name, "why",
				  text_or_null(c->why), "ns_per_tick", c->ns_per_tick,
				  "granularity_ns", (double)c->granularity_ticks * c->ns_per_tick,
				  "pair_cost_ns", (double)c->pair_cost_ticks * c->ns_per_tick,
				  "drift_ppm", c->drift_ppm);

	return json_pack("{s:o, s:o, s:o, s:i, s:i, s:o, s:o, s:o, s:o, s:o, s:o, s:f, s:o}",
			 "name", text_or_null(h->name), "kernel", text_or_null(h->kernel),
			 "cpu_model", text_or_null(h->cpu_model), "cpus", (int)h->cpus,
			 "cpus_allowed", (int)h->cpus_allowed, "memory_bytes",
			 count(h->memory_bytes), "page_bytes", count(h->page_bytes), "hypervisor",
			 text_or_null(h->hypervisor), "thp", text_or_null(h->thp), "governor",
			 text_or_null(h->governor), "libc", text_or_null(h->libc), "load1",
			 h->load1, "clock", clock);
}

/* The distinct lanes and copies that were run. */
static json_t *distinct(const struct rh_result *result, bool lanes)
{
	json_t *list = json_array();

	for (size_t t = 0; t < result->trial_count; t++) {
		uint32_t value = lanes ? result->trials[t].lanes : result->trials[t].copies;
		bool seen = false;

		for (size_t i = 0; i < json_array_size(list); i++)
			seen |= json_integer_value(json_array_get(list, i)) == value;
		if (!seen)
			json_array_append_new(list, count(value));
	}
	return list;
}

static json_t *make_config(const struct rh_result *result)
{
	json_t *probes = json_array();
	char words[256], *at = words, *word;

	snprintf(words, sizeof(words), "%s", result->probes);
	while ((word = strsep(&at, ",")))
		if (*word)
			json_array_append_new(probes, json_string(word));
	return json_pack("{s:o, s:o, s:o, s:o, s:s, s:s, s:b, s:o, s:o, s:o, s:o, s:f, s:b}",
			 "reps",
			 count(result->reps), "seed", count(result->seed), "lanes",
			 distinct(result, true), "copies", distinct(result, false), "touch",
			 result->touch, "pace", result->pace, "verify", result->verify, "probes",
			 probes, "baseline",
			 text_or_null(result->backends[result->baseline].text), "memory_limit",
			 result->memory_limit ? count(result->memory_limit) : json_null(), "sample",
			 count(result->sample), "speed", result->speed, "pin", result->pin);
}

static json_t *make_program(const struct rh_run_program *p)
{
	json_t *object = json_pack("{s:i, s:b, s:o, s:o, s:o, s:i, s:i, s:o}", "lanes",
				   (int)p->lanes, "folded", p->folded, "waits",
				   count(p->stats.waits), "publishes", count(p->stats.publishes),
				   "slots", count(p->stats.slots), "grains",
				   (int)p->program.head->grains, "epoch_grains",
				   (int)p->program.head->epoch_grains, "compile_ns",
				   count(p->stats.wall_ns));

	if (p->stats.edges_all != RH_NONE)
		json_object_set_new(object, "edges_all", count(p->stats.edges_all));
	return object;
}

static json_t *make_trace(const struct rh_result *result, uint32_t index)
{
	const struct rh_run_trace *trace = &result->traces[index];
	const struct rh_program_head *head = NULL;
	const char *truncated = NULL;
	json_t *programs = json_array(), *object;

	for (size_t i = 0; i < result->program_count; i++) {
		if (result->programs[i].trace != index)
			continue;
		head = result->programs[i].program.head;
		truncated = result->programs[i].stats.truncated_text;
		json_array_append_new(programs, make_program(&result->programs[i]));
	}
	object = json_pack("{s:o, s:o, s:o, s:o}", "path", any_text(trace->path), "name",
			   any_text(base_name(trace->path)), "notes",
			   pairs(trace->notes, trace->note_count), "programs", programs);
	if (head) {
		json_object_set_new(object, "sha256", text_or_null(head->trace_sha256));
		json_object_set_new(object, "events", count(head->events));
		json_object_set_new(object, "objects", count(head->objects));
		json_object_set_new(object, "lanes_recorded", count(head->lanes_recorded));
		json_object_set_new(object, "live_bytes_peak", count(head->live_bytes_peak));
		json_object_set_new(object, "live_objects_peak", count(head->live_objects_peak));
		json_object_set_new(object, "size_max", count(head->size_max));
	}
	json_object_set_new(object, "truncated", text_or_null(truncated));
	return object;
}

static json_t *make_backend(const struct rh_run_backend *b)
{
	json_t *identity = json_pack("{s:o, s:o, s:o, s:o, s:o}", "malloc_path",
				     text_or_null(b->malloc_path), "malloc_build_id",
				     text_or_null(b->malloc_build_id), "heap_path",
				     text_or_null(b->heap_path), "heap_build_id",
				     text_or_null(b->heap_build_id), "env",
				     pairs(b->env, b->env_count));

	return json_pack("{s:o, s:o, s:o, s:s, s:o, s:s, s:o}", "spec", any_text(b->text), "heap",
			 any_text(b->heap), "stack", text_or_null(b->stack), "status",
			 rh_status_names[b->status], "why", text_or_null(b->why), "role",
			 b->floor ? "floor" : "asked", "identity", identity);
}

static void set_rss(json_t *memory, const char *name, uint64_t anon_bytes, uint64_t harness)
{
	uint64_t bytes = rh_result_rss(anon_bytes, harness);

	if (bytes != RH_NONE)
		json_object_set_new(memory, name, count(bytes));
}

static json_t *make_trial_memory(const struct rh_trial *trial, uint64_t harness)
{
	json_t *memory = json_object();
	uint64_t peak = trial->anon_start, end = RH_NONE;

	for (size_t i = 0; i < trial->segment_count; i++) {
		end = trial->segments[i].anon_bytes;
		if (end != RH_NONE && (peak == RH_NONE || end > peak))
			peak = end;
	}
	set_rss(memory, "rss_start_bytes", trial->anon_start, harness);
	set_rss(memory, "rss_peak_bytes", peak, harness);
	set_rss(memory, "rss_end_bytes", end, harness);
	set_rss(memory, "rss_drained_bytes", trial->anon_drained, harness);
	return memory;
}

/* One column over all segments, less the harness's own; a column that was never measured is
 * left out. */
static void add_column(json_t *segments, const char *name, const struct rh_trial *trial,
		       size_t offset, uint64_t harness)
{
	json_t *column = json_array();
	bool any = false;

	for (size_t i = 0; i < trial->segment_count; i++) {
		uint64_t value;

		memcpy(&value, (const char *)&trial->segments[i] + offset, sizeof(value));
		if (harness)
			value = rh_result_rss(value, harness);
		any |= value != RH_NONE;
		json_array_append_new(column, value == RH_NONE ? json_null() : count(value));
	}
	if (any || trial->segment_count == 0)
		json_object_set_new(segments, name, column);
	else
		json_decref(column);
}

/* What the harness has of each kind of memory. */
struct floors { uint64_t anon, pss, mapped; };

static uint64_t floor_of(const struct floors *floors, size_t offset)
{
	return offset == offsetof(struct rh_segment, anon_bytes) ? floors->anon :
	       offset == offsetof(struct rh_segment, pss_bytes) ? floors->pss :
	       offset == offsetof(struct rh_segment, mapped_bytes) ? floors->mapped : 0;
}

static json_t *make_segments(const struct rh_trial *trial, const struct floors *floors)
{
	static const struct { const char *name; size_t offset; } columns[] = {
#define COLUMN(name) { #name, offsetof(struct rh_segment, name) }
		COLUMN(events), COLUMN(event_last), COLUMN(wall_ns), COLUMN(cpu_ns),
		{ "rss_bytes", offsetof(struct rh_segment, anon_bytes) }, COLUMN(live_bytes),
		COLUMN(live_objects), COLUMN(live_tasks), COLUMN(stack_bytes), COLUMN(spawns),
		COLUMN(calls),
		{ "stack_reserved_bytes", offsetof(struct rh_segment, reserved_bytes) },
		{ "pss_bytes", offsetof(struct rh_segment, pss_bytes) },
		{ "mapped_bytes", offsetof(struct rh_segment, mapped_bytes) }, COLUMN(huge_bytes),
		COLUMN(faults_minor), COLUMN(faults_major),
		COLUMN(switches_voluntary), COLUMN(switches_involuntary),
#undef COLUMN
	};
	json_t *segments = json_object();

	for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]); i++)
		add_column(segments, columns[i].name, trial, columns[i].offset,
			   floor_of(floors, columns[i].offset));
	return segments;
}

static void add_stats(json_t *object, const struct rh_trial *trial)
{
	json_t *stats = json_array();

	for (size_t i = 0; i < trial->stat_count; i++)
		json_array_append_new(stats, json_pack("{s:o, s:o, s:o}", "name",
						       any_text(trial->stats[i].name), "unit",
						       any_text(trial->stats[i].unit), "value",
						       count(trial->stats[i].value)));
	json_object_set_new(object, "stats", stats);
}

static json_t *make_place(const struct rh_worker_place *place)
{
	if (!place->known)
		return json_null();
	return json_pack("{s:i, s:o, s:o, s:s}", "lane", (int)place->seat, "op", count(place->op),
			 "event", count(place->event), "text", place->text);
}

static json_t *make_trial(const struct rh_result *result, const struct rh_trial *t)
{
	uint64_t harness = rh_result_harness_bytes(result, t);
	struct floors floors = {
		harness, rh_result_harness_of(result, t, offsetof(struct rh_trial, pss_start)),
		rh_result_harness_of(result, t, offsetof(struct rh_trial, mapped_start)),
	};
	json_t *object = json_pack("{s:i, s:i, s:i, s:i, s:i, s:i, s:s, s:o, s:o, s:o, s:o, s:o}",
				   "trace", (int)t->trace, "backend", (int)t->backend, "lanes",
				   (int)t->lanes, "copies", (int)t->copies, "rep", (int)t->rep,
				   "order", (int)t->order, "status", rh_status_names[t->status],
				   "why", t->why[0] ? any_text(t->why) : json_null(), "events",
				   count(t->events), "wall_ns", count(t->wall_ns), "cpu_ns",
				   count(t->cpu_ns), "alloc_failed", count(t->alloc_failed));

	json_object_set_new(object, "died_at", make_place(&t->died_at));
	json_object_set_new(object, "waits", json_pack("{s:o, s:o, s:o}", "count", count(t->waits),
						       "blocked", count(t->blocked), "ns",
						       count(t->blocked_ns)));
	json_object_set_new(object, "memory", make_trial_memory(t, harness));
	json_object_set_new(object, "segments", make_segments(t, &floors));
	json_object_set_new(object, "probes",
			    t->probes ? json_incref(t->probes) : json_object());
	if (t->stat_count)
		add_stats(object, t);
	return object;
}

static json_t *make_metric(const struct rh_metric *m)
{
	const struct rh_interval *x = &m->interval;
	json_t *values = json_array();

	for (size_t i = 0; i < x->n; i++)
		json_array_append_new(values, json_real(m->values[i]));
	return json_pack(
		"{s:i, s:i, s:i, s:i, s:s, s:s, s:s, s:s, s:i, s:f, s:f, s:f, s:f, s:f, s:f, "
		"s:o}",
		"trace", (int)m->trace, "backend", (int)m->backend, "lanes", (int)m->lanes,
		"copies", (int)m->copies, "name", m->name, "unit", m->unit, "source", m->source,
		"better", m->better, "n", (int)x->n, "median", x->median, "lo", x->lo, "hi", x->hi,
		"level", x->level, "min", x->min, "max", x->max, "values", values);
}

static json_t *make_absent(const struct rh_absent *a)
{
	return json_pack("{s:s, s:o, s:o}", "metric", a->metric, "backend",
			 a->backend < 0 ? json_null() : json_integer(a->backend), "why",
			 any_text(a->why));
}

static void set_lists(json_t *root, const struct rh_result *result)
{
	json_t *warnings = json_array(), *traces = json_array(), *backends = json_array();
	json_t *trials = json_array(), *metrics = json_array(), *absent = json_array();

	for (size_t i = 0; i < result->warning_count; i++)
		json_array_append_new(warnings, any_text(result->warnings[i]));
	for (uint32_t i = 0; i < result->trace_count; i++)
		json_array_append_new(traces, make_trace(result, i));
	for (size_t i = 0; i < result->backend_count; i++)
		json_array_append_new(backends, make_backend(&result->backends[i]));
	for (size_t i = 0; i < result->trial_count; i++)
		json_array_append_new(trials, make_trial(result, &result->trials[i]));
	for (size_t i = 0; i < result->metric_count; i++)
		json_array_append_new(metrics, make_metric(&result->metrics[i]));
	for (size_t i = 0; i < result->absent_count; i++)
		json_array_append_new(absent, make_absent(&result->absent[i]));
	json_object_set_new(root, "warnings", warnings);
	json_object_set_new(root, "config", make_config(result));
	json_object_set_new(root, "traces", traces);
	json_object_set_new(root, "backends", backends);
	json_object_set_new(root, "trials", trials);
	json_object_set_new(root, "metrics", metrics);
	json_object_set_new(root, "absent", absent);
}

int rh_result_write_json(const struct rh_result *result, int fd, const char *path,
			 struct rh_err *err)
{
	char started[32];
	struct tm tm;
	json_t *root;
	int failed;

	gmtime_r(&result->started.tv_sec, &tm);
	strftime(started, sizeof(started), "%Y-%m-%dT%H:%M:%SZ", &tm);
	root = json_pack("{s:s, s:o, s:s, s:f, s:i, s:o}", "schema", "reheap.result/1", "tool",
			 make_tool(result), "started", started, "wall_s", result->wall_s, "exit",
			 (int)result->exit, "host", make_host(result));
	if (!root)
		return rh_fail(err, RH_BUG, "the result of this run has no JSON form");
	set_lists(root, result);
	failed = json_dumpfd(root, fd, JSON_COMPACT | JSON_REAL_PRECISION(12)) < 0 ||
		 rh_write_all(fd, "\n", 1, path, NULL) < 0;
	json_decref(root);
	if (failed)
		return rh_fail_errno(err, RH_IO, "%s cannot be written", path);
	return 0;
}
