/*
 * document.c - from a run in memory (result.h) to the document of RESULT.md (fields.h).
 *
 * One function for each structure of fields.h that a run holds in another shape: raw memory
 * figures are corrected here (less the harness's own pages), rows become columns. Numbers that
 * were not measured stay absent; none is written as 0. json.c turns the document into JSON.
 */
#include <assert.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "alloc/base/install_paths.h"
#include "alloc/base/os.h"
#include "harness/result/result.h"
#include "traces/format/event.h"

static const char *text_or_none(const char *text)
{
	return text && text[0] ? text : NULL;
}

static uint64_t whole_or_none(uint64_t value)
{
	return value == RH_NONE ? UINT64_MAX : value;
}

/* A structure of the document with all its fields absent. */
#define MAKE(pool, name)	     ((struct rh_##name *)make(pool, &rh_##name##_type, 1))
#define MAKE_LIST(pool, name, count) ((struct rh_##name *)make(pool, &rh_##name##_type, count))

static void *make(struct rh_pool *pool, const struct rh_record_type *type, size_t count)
{
	char *list = rh_pool_alloc(pool, count, type->bytes);

	for (size_t i = 0; i < count; i++)
		rh_record_clear(type, list + i * type->bytes);
	return list;
}

static struct rh_tool *make_tool(struct rh_result *result)
{
	struct rh_tool *tool = MAKE(rh_result_pool(result), tool);

	tool->name = "reheap";
	tool->version = rh_version;
	tool->argv = (const char **)result->argv;
	tool->argv_count = (size_t)result->argc;
	return tool;
}

static struct rh_host_used *make_host(struct rh_result *result)
{
	const struct rh_host *h = &result->host;
	const struct rh_clock *c = &result->clock;
	struct rh_host_used *host = MAKE(rh_result_pool(result), host_used);

	*host = (struct rh_host_used){
		.name = text_or_none(h->name),
		.kernel = text_or_none(h->kernel),
		.cpu_model = text_or_none(h->cpu_model),
		.cpus = h->cpus,
		.cpus_allowed = h->cpus_allowed,
		.memory_bytes = h->memory_bytes,
		.page_bytes = h->page_bytes,
		.hypervisor = text_or_none(h->hypervisor),
		.thp = text_or_none(h->thp),
		.governor = text_or_none(h->governor),
		.libc = text_or_none(h->libc),
		.load1 = h->load1,
		.fault_ns = result->fault_ns > 0 ? result->fault_ns : NAN,
		.clock = MAKE(rh_result_pool(result), clock_used),
	};
	*host->clock = (struct rh_clock_used){
		.source = c->name,
		.why = text_or_none(c->why),
		.ns_per_tick = c->ns_per_tick,
		.granularity_ns = (double)c->granularity_ticks * c->ns_per_tick,
		.pair_cost_ns = (double)c->pair_cost_ticks * c->ns_per_tick,
		.drift_ppm = c->drift_ppm,
	};
	return host;
}

/* The distinct lanes or copies that were run. */
static double *distinct(struct rh_result *result, bool lanes, size_t *count)
{
	double *list = NULL;

	for (size_t t = 0; t < result->trial_count; t++) {
		double value = lanes ? result->trials[t].lanes : result->trials[t].copies;
		bool seen = false;

		for (size_t i = 0; i < *count; i++)
			seen |= list[i] == value;
		if (!seen)
			*(double *)rh_pool_grow(rh_result_pool(result), &list, count,
						sizeof(*list)) = value;
	}
	assert(*count <= result->trial_count);
	return list;
}

static struct rh_config_used *make_config(struct rh_result *result)
{
	struct rh_pool *pool = rh_result_pool(result);
	struct rh_config_used *config = MAKE(pool, config_used);
	char *at = rh_pool_text(pool, result->probes), *word;

	assert(result->baseline < result->backend_count);
	config->reps = result->reps;
	config->seed = result->seed;
	config->lanes = distinct(result, true, &config->lanes_count);
	config->copies = distinct(result, false, &config->copies_count);
	config->touch = result->touch;
	config->pace = result->pace;
	config->verify = result->verify;
	config->baseline = result->backends[result->baseline].text;
	config->passes = result->for_ns ? UINT64_MAX : result->passes ? result->passes : 1;
	config->for_ns = result->for_ns ? result->for_ns : UINT64_MAX;
	config->memory_limit = result->memory_limit ? result->memory_limit : UINT64_MAX;
	config->sample = result->sample;
	config->speed = result->speed;
	config->pin = result->pin;
	while ((word = strsep(&at, ",")))
		if (*word)
			*(const char **)rh_pool_grow(pool, &config->probes, &config->probes_count,
						     sizeof(char *)) = word;
	return config;
}

static void fill_program(struct rh_program_used *to, const struct rh_run_program *p)
{
	assert(p->stats.publishes <= p->stats.waits);
	*to = (struct rh_program_used){
		.lanes = p->lanes,
		.folded = p->folded,
		.waits = p->stats.waits,
		.publishes = p->stats.publishes,
		.slots = p->stats.slots,
		.grains = p->program.head->grains,
		.epoch_grains = p->program.head->epoch_grains,
		.compile_ns = p->stats.wall_ns,
		.edges_all = whole_or_none(p->stats.edges_all),
	};
}

static void fill_trace(struct rh_result *result, uint32_t index, struct rh_trace_used *to)
{
	const struct rh_run_trace *trace = &result->traces[index];
	const struct rh_program_head *head = NULL;

	assert(index < result->trace_count);
	to->path = trace->path;
	to->name = rh_base_name(trace->path);
	to->notes = trace->notes;
	to->notes_count = trace->note_count;
	for (size_t i = 0; i < result->program_count; i++) {
		if (result->programs[i].trace != index)
			continue;
		head = result->programs[i].program.head;
		to->truncated = text_or_none(result->programs[i].stats.truncated_text);
		fill_program(rh_pool_grow(rh_result_pool(result), &to->programs,
					  &to->programs_count, sizeof(*to->programs)),
			     &result->programs[i]);
	}
	if (!head)
		return;
	to->sha256 = head->trace_sha256;
	to->events = head->events;
	to->objects = head->objects;
	to->lanes_recorded = head->lanes_recorded;
	to->live_bytes_peak = head->live_bytes_peak;
	to->live_objects_peak = head->live_objects_peak;
	to->size_max = head->size_max;
}

static void fill_backend(struct rh_result *result, const struct rh_run_backend *b,
			 struct rh_backend_used *to)
{
	assert(b->status <= RH_STATUS_ABSENT); /* it has a name */
	*to = (struct rh_backend_used){
		.spec = b->text,
		.given = b->given,
		.heap = b->heap,
		.stack = text_or_none(b->stack),
		.control = b->control,
		.deployable = b->deployable,
		.status = rh_status_names[b->status],
		.why = text_or_none(b->why),
		.role = b->floor ? "floor" : "asked",
		.identity = MAKE(rh_result_pool(result), identity),
	};
	*to->identity = (struct rh_identity){
		.malloc_path = text_or_none(b->malloc_path),
		.malloc_build_id = text_or_none(b->malloc_build_id),
		.malloc_version = text_or_none(b->malloc_version),
		.heap_path = text_or_none(b->heap_path),
		.heap_build_id = text_or_none(b->heap_build_id),
		.heap_version = text_or_none(b->heap_version),
		.env = b->env,
		.env_count = b->env_count,
	};
}

/* ---- trials ---- */

static struct rh_memory *make_memory(struct rh_result *result, const struct rh_trial *trial,
				     uint64_t harness)
{
	struct rh_memory *memory = MAKE(rh_result_pool(result), memory);
	uint64_t peak = rh_result_anon_peak(trial), end = RH_NONE;

	if (trial->segment_count)
		end = trial->segments[trial->segment_count - 1].anon_bytes;
	memory->rss_start_bytes = whole_or_none(rh_result_rss(trial->anon_start, harness));
	memory->rss_peak_bytes = whole_or_none(rh_result_rss(peak, harness));
	memory->rss_end_bytes = whole_or_none(rh_result_rss(end, harness));
	memory->rss_drained_bytes = whole_or_none(rh_result_rss(trial->anon_drained, harness));
	return memory;
}

/* One column over all segments, less the harness's own bytes (0 = no correction); NULL when it was
 * never measured. */
static double *column(struct rh_pool *pool, const struct rh_trial *trial, size_t offset,
		      uint64_t harness)
{
	double *values = rh_pool_alloc(pool, trial->segment_count, sizeof(*values));
	bool any = trial->segment_count == 0;

	assert(offset + sizeof(uint64_t) <= sizeof(struct rh_segment));
	for (size_t i = 0; i < trial->segment_count; i++) {
		uint64_t value;

		memcpy(&value, (const char *)&trial->segments[i] + offset, sizeof(value));
		if (harness)
			value = rh_result_rss(value, harness);
		values[i] = value == RH_NONE ? NAN : (double)value;
		any |= value != RH_NONE;
	}
	return any ? values : NULL;
}

static struct rh_segments *make_segments(struct rh_result *result, const struct rh_trial *trial,
					 uint64_t anon_floor)
{
	uint64_t pss_floor =
		rh_result_harness_of(result, trial, offsetof(struct rh_trial, pss_start));
	uint64_t mapped_floor =
		rh_result_harness_of(result, trial, offsetof(struct rh_trial, mapped_start));
	struct rh_pool *pool = rh_result_pool(result);
	struct rh_segments *segments = MAKE(pool, segments);

#define COLUMN(key, from, floor)                                                               \
	do {                                                                                   \
		segments->key = column(pool, trial, offsetof(struct rh_segment, from), floor); \
		segments->key##_count = segments->key ? trial->segment_count : 0;              \
	} while (0)
	COLUMN(events, events, 0);
	COLUMN(event_last, event_last, 0);
	COLUMN(wall_ns, wall_ns, 0);
	COLUMN(cpu_ns, cpu_ns, 0);
	COLUMN(rss_bytes, anon_bytes, anon_floor);
	COLUMN(live_bytes, live_bytes, 0);
	COLUMN(live_objects, live_objects, 0);
	COLUMN(live_tasks, live_tasks, 0);
	COLUMN(stack_bytes, stack_bytes, 0);
	COLUMN(spawns, spawns, 0);
	COLUMN(calls, calls, 0);
	COLUMN(stack_reserved_bytes, reserved_bytes, 0);
	COLUMN(pss_bytes, pss_bytes, pss_floor);
	COLUMN(mapped_bytes, mapped_bytes, mapped_floor);
	COLUMN(huge_bytes, huge_bytes, 0);
	COLUMN(faults_minor, faults_minor, 0);
	COLUMN(faults_major, faults_major, 0);
	COLUMN(switches_voluntary, switches_voluntary, 0);
	COLUMN(switches_involuntary, switches_involuntary, 0);
#undef COLUMN
	return segments;
}

static double or_nan(uint64_t value)
{
	return value == RH_NONE ? NAN : (double)value;
}

/* NULL when there was one pass: the trial's own figures describe it. */
static struct rh_passes *make_passes(struct rh_result *result, const struct rh_trial *trial,
				     uint64_t harness)
{
	struct rh_pool *pool = rh_result_pool(result);
	struct rh_passes *to;

	if (trial->pass_count < 2)
		return NULL;
	to = MAKE(pool, passes);
#define COLUMN(key, value)                                                        \
	do {                                                                      \
		to->key = rh_pool_alloc(pool, trial->pass_count, sizeof(double)); \
		to->key##_count = trial->pass_count;                              \
		for (size_t i = 0; i < trial->pass_count; i++) {                  \
			const struct rh_trial_pass *pass = &trial->passes[i];     \
                                                                                  \
			to->key[i] = or_nan(value);                               \
		}                                                                 \
	} while (0)
	COLUMN(events, pass->events);
	COLUMN(wall_ns, pass->wall_ns);
	COLUMN(cpu_ns, pass->cpu_ns);
	COLUMN(kernel_ns, pass->kernel_ns);
	COLUMN(run_delay_ns, pass->run_delay_ns);
	COLUMN(blocked_ns, pass->blocked_ns);
	COLUMN(faults, pass->faults_minor + pass->faults_major);
	COLUMN(rss_peak_bytes, rh_result_rss(pass->anon_peak, harness));
	COLUMN(rss_end_bytes, rh_result_rss(pass->anon_end, harness));
	COLUMN(live_end_bytes, pass->live_end);
	COLUMN(carried_objects, pass->carried_objects);
	COLUMN(carried_bytes, pass->carried_bytes);
#undef COLUMN
	return to;
}

static struct rh_stat *make_stats(struct rh_result *result, const struct rh_trial *trial)
{
	struct rh_stat *stats = MAKE_LIST(rh_result_pool(result), stat, trial->stat_count);

	for (size_t i = 0; i < trial->stat_count; i++)
		stats[i] = (struct rh_stat){ trial->stats[i].name, trial->stats[i].unit,
					     trial->stats[i].value };
	return trial->stat_count ? stats : NULL;
}

static struct rh_died *make_died(struct rh_result *result, const struct rh_worker_place *place)
{
	struct rh_died *died = MAKE(rh_result_pool(result), died);

	*died = (struct rh_died){ place->seat, place->op, place->event, place->text };
	return place->known ? died : NULL;
}

static void fill_trial(struct rh_result *result, struct rh_trial *t, struct rh_trial_done *to)
{
	uint64_t harness = rh_result_harness_bytes(result, t);

	assert(t->trace < result->trace_count && t->backend < result->backend_count);
	assert(t->status <= RH_STATUS_ABSENT);
	*to = (struct rh_trial_done){
		.trace = t->trace,
		.backend = t->backend,
		.lanes = t->lanes,
		.copies = t->copies,
		.rep = t->rep,
		.order = t->order,
		.status = rh_status_names[t->status],
		.why = text_or_none(t->why),
		.events = t->events,
		.wall_ns = t->wall_ns,
		.cpu_ns = t->cpu_ns,
		.alloc_failed = t->alloc_failed,
		.died_at = make_died(result, &t->died_at),
		.waits = MAKE(rh_result_pool(result), waits),
		.memory = make_memory(result, t, harness),
		.segments = make_segments(result, t, harness),
		.passes = make_passes(result, t, harness),
		.probes = &t->found,
		.stats = make_stats(result, t),
		.stats_count = t->stat_count,
	};
	*to->waits = (struct rh_waits){ t->waits, t->blocked, t->blocked_ns };
}

/* ---- the whole ---- */

static void fill_absent(struct rh_result *result, struct rh_document *document)
{
	document->absent_count = result->absent_count;
	document->absent = MAKE_LIST(rh_result_pool(result), absent_metric, result->absent_count);
	for (size_t i = 0; i < result->absent_count; i++)
		document->absent[i] =
			(struct rh_absent_metric){ result->absent[i].metric,
						   result->absent[i].backend < 0
							   ? UINT32_MAX
							   : (uint32_t)result->absent[i].backend,
						   result->absent[i].why };
}

static void fill_lists(struct rh_result *result, struct rh_document *document)
{
	struct rh_pool *pool = rh_result_pool(result);

	document->warnings = (const char **)result->warnings;
	document->warnings_count = result->warning_count;
	document->traces = MAKE_LIST(pool, trace_used, result->trace_count);
	document->traces_count = result->trace_count;
	for (uint32_t i = 0; i < result->trace_count; i++)
		fill_trace(result, i, &document->traces[i]);
	document->backends = MAKE_LIST(pool, backend_used, result->backend_count);
	document->backends_count = result->backend_count;
	for (size_t i = 0; i < result->backend_count; i++)
		fill_backend(result, &result->backends[i], &document->backends[i]);
	document->trials = MAKE_LIST(pool, trial_done, result->trial_count);
	document->trials_count = result->trial_count;
	for (size_t i = 0; i < result->trial_count; i++)
		fill_trial(result, &result->trials[i], &document->trials[i]);
	document->metrics = result->metrics;
	document->metrics_count = result->metric_count;
	fill_absent(result, document);
}

void rh_result_document(struct rh_result *result, struct rh_document *document)
{
	struct rh_pool *pool = rh_result_pool(result);
	char started[32];
	struct tm tm;

	gmtime_r(&result->started.tv_sec, &tm);
	strftime(started, sizeof(started), "%Y-%m-%dT%H:%M:%SZ", &tm);
	rh_record_clear(&rh_document_type, document);
	document->schema = RH_RESULT_SCHEMA;
	document->tool = make_tool(result);
	document->started = rh_pool_text(pool, started);
	document->wall_s = result->wall_s;
	document->exit = (uint32_t)result->exit;
	document->host = make_host(result);
	document->config = make_config(result);
	document->validation = result->validation;
	fill_lists(result, document);
}

int rh_result_write_json(struct rh_result *result, int fd, const char *path, struct rh_err *err)
{
	struct rh_document document;
	size_t bytes = 0;
	char *text = NULL;
	FILE *to = open_memstream(&text, &bytes);
	int failed;

	if (!to)
		return rh_fail(err, RH_OS, "no memory for a result");
	rh_result_document(result, &document);
	/* A document that the reader would refuse is not written. If memory ran out a metric has no
	 * values. */
	if (rh_document_check(&document, path, err) < 0) {
		fclose(to);
		free(text);
		return -1;
	}
	failed = rh_record_write(&rh_document_type, &document, RH_JSON_COMPACT, to);
	if (fclose(to) != 0 || failed) {
		free(text);
		/* Every text and number has a form (json.c). */
		return rh_fail(err, RH_OS, "no memory to write the result of this run");
	}
	failed = rh_write_all(fd, text, bytes, path, NULL);
	free(text);
	return failed ? rh_fail_errno(err, RH_IO, "%s cannot be written", path) : 0;
}
