/*
 * probe_stacks.c - what tasks cost: memory for each that lives, time for each that is made,
 * and what the stack backend did for it.
 *
 * Rides along in every trial whose trace has tasks and whose backend has stacks. At each
 * segment edge the backend is asked for what it reserves, which stands beside the resident
 * bytes: virtual and real memory against the number of tasks, over the whole run. Before
 * the drain all its counts are kept.
 *
 * Bytes for each task are taken where most tasks live. Resident bytes are those that came
 * since the start, so a trace with objects, too, has them in: the figure is about tasks
 * only where tasks are what the trace is about.
 */
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/probe/probe.h"
#include "traces/event.h"

enum { COLUMNS = 7 };

/* Of a worker: the segment with most tasks, and all spawns. */
struct own {
	uint64_t tasks, rss_bytes, reserved_bytes;
	uint64_t spawns, calls;
	bool has_stacks;
};

static int start(struct rh_probe_run *run, struct rh_err *err)
{
	const struct rh_run_backend *backend = &run->result->backends[run->trial->backend];
	struct own *own;

	if (!run->program->program.head->tasks || strcmp(backend->stack, "none") == 0)
		return 0;
	own = run->own = calloc(1, sizeof(*own));
	if (!own)
		return rh_fail(err, RH_OS, "no memory to measure stacks");
	own->rss_bytes = own->reserved_bytes = RH_NONE;
	return 0;
}

/* Rows of the stack backend follow those of the heap and begin with this one. */
static const struct rh_ctl_stat *first_row(const struct rh_ctl *ctl)
{
	for (uint32_t i = 0; i < ctl->stat_count; i++)
		if (strcmp(ctl->stats[i].name, "stacks.tasks") == 0)
			return &ctl->stats[i];
	return NULL;
}

static uint64_t row_value(const struct rh_ctl *ctl, const char *name)
{
	const struct rh_ctl_stat *row = first_row(ctl);

	for (; row && row < ctl->stats + ctl->stat_count; row++)
		if (strcmp(row->name, name) == 0)
			return row->value;
	return RH_NONE;
}

static int segment(struct rh_probe_run *run, const struct rh_segment *segment,
		   struct rh_err *err)
{
	struct rh_segment *kept = &run->trial->segments[run->trial->segment_count - 1];
	struct own *own = run->own;

	if (!own)
		return 0;
	if (rh_worker_command(run->worker, RH_CTL_STATS, err) < 0)
		return -1;
	kept->reserved_bytes = row_value(run->worker->ctl, "stacks.reserved");
	own->spawns += segment->spawns;
	own->calls += segment->calls;
	if (segment->live_tasks <= own->tasks)
		return 0;
	own->tasks = segment->live_tasks;
	own->reserved_bytes = kept->reserved_bytes;
	own->rss_bytes = segment->anon_bytes == RH_NONE || run->trial->anon_start == RH_NONE ||
			 segment->anon_bytes < run->trial->anon_start ? RH_NONE :
			 segment->anon_bytes - run->trial->anon_start;
	return 0;
}

static double per(uint64_t value, uint64_t count)
{
	return value == RH_NONE || !count ? NAN : (double)value / (double)count;
}

static json_t *counts_of(const struct rh_ctl *ctl)
{
	json_t *counts = json_object();

	for (const struct rh_ctl_stat *row = first_row(ctl);
	     row && row < ctl->stats + ctl->stat_count; row++)
		json_object_set_new(counts, row->name, json_integer((json_int_t)row->value));
	return counts;
}

static void add_rate(json_t *rates, const char *name, uint64_t hits, uint64_t of)
{
	if (hits != RH_NONE && of != RH_NONE && of)
		json_object_set_new(rates, name, json_real((double)hits / (double)of));
}

/* By tier: the share of what asked it that it could serve. */
static json_t *rates_of(const struct rh_ctl *ctl)
{
	uint64_t cached = row_value(ctl, "pools.stackcache.hits");
	uint64_t refills = row_value(ctl, "pools.stackcache.refills");
	uint64_t pooled = row_value(ctl, "pools.stackpool.allocs");
	json_t *rates = json_object();

	add_rate(rates, "dead_tasks", row_value(ctl, "pools.g.local_hits"),
		 row_value(ctl, "pools.spawn"));
	add_rate(rates, "stackcache", cached, refills == RH_NONE ? RH_NONE : cached + refills);
	add_rate(rates, "stackpool", pooled == RH_NONE ? RH_NONE :
		 pooled - row_value(ctl, "pools.spans.made"), pooled);
	add_rate(rates, "stackLarge", row_value(ctl, "pools.stackLarge.hits"),
		 row_value(ctl, "pools.stackLarge.allocs"));
	add_rate(rates, "thread_cache", row_value(ctl, "thread.cache_hits"),
		 row_value(ctl, "thread.spawn"));
	return rates;
}

static int end(struct rh_probe_run *run, struct rh_err *err)
{
	const struct own *own = run->own;
	const struct rh_ctl *ctl = run->worker->ctl;

	if (!own)
		return 0;
	if (rh_worker_command(run->worker, RH_CTL_STATS, err) < 0)
		return -1;
	rh_probe_reading(run, "stacks.rss_bytes_per_task", "bytes", "sw", "lower",
			 per(own->rss_bytes, own->tasks));
	rh_probe_reading(run, "stacks.reserved_bytes_per_task", "bytes", "own", "lower",
			 per(own->reserved_bytes, own->tasks));
	rh_probe_reading(run, "stacks.ns_per_spawn", "ns", "own", "lower",
			 per(run->life->wall_ns, own->spawns));
	rh_probe_json(run, "stacks",
		      json_pack("{s:I, s:I, s:I, s:o, s:o}", "tasks_most", (json_int_t)own->tasks,
				"spawns", (json_int_t)own->spawns, "calls", (json_int_t)own->calls,
				"hit_rates", rates_of(ctl), "counts", counts_of(ctl)));
	return 0;
}

static void release(struct rh_probe_run *run)
{
	free(run->own);
	run->own = NULL;
}

/* ---- the table ---- */

static const struct rh_trial *trial_of(const struct rh_result *result,
				       const struct rh_trial *like, uint32_t backend)
{
	for (size_t t = 0; t < result->trial_count; t++) {
		const struct rh_trial *trial = &result->trials[t];

		if (trial->backend == backend && trial->program == like->program &&
		    trial->copies == like->copies && trial->status == RH_STATUS_OK)
			return trial;
	}
	return NULL;
}

static double count_of(const json_t *probe, const char *const *names)
{
	const json_t *counts = json_object_get(probe, "counts");

	for (; *names; names++)
		if (json_object_get(counts, *names))
			return (double)json_integer_value(json_object_get(counts, *names));
	return NAN;
}

static void put_cell(char *cell, double value)
{
	if (isnan(value))
		snprintf(cell, RH_CELL, "-");
	else
		snprintf(cell, RH_CELL, value < 1e6 ? "%.0f" : "%.4g", value);
}

static bool fill_row(const struct rh_probe_table *table, uint32_t backend, char (*cell)[RH_CELL])
{
	static const char *const metrics[] = { "stacks.rss_bytes_per_task",
					       "stacks.reserved_bytes_per_task",
					       "stacks.ns_per_spawn" };
	static const char *const copied[] = { "pools.copy.bytes", "heap.copy.bytes",
					      "segmented.arguments_copied", NULL };
	const struct rh_trial *trial = trial_of(table->result, table->like, backend);
	const json_t *probe = trial ? json_object_get(trial->probes, "stacks") : NULL;

	if (!probe)
		return false;
	put_cell(cell[0], (double)json_integer_value(json_object_get(probe, "tasks_most")));
	for (int i = 0; i < 3; i++) {
		const struct rh_metric *metric = rh_table_metric(table, backend, metrics[i]);

		put_cell(cell[1 + i], metric ? metric->interval.median : NAN);
	}
	put_cell(cell[4], count_of(probe, copied));
	snprintf(cell[5], RH_CELL, "%s", table->result->backends[backend].stack);
	return true;
}

static void print(const struct rh_result *result, const struct rh_trial *like, FILE *to,
		  bool markdown)
{
	static const char *const heads[COLUMNS] = { "tasks", "most", "RSS/task", "reserved/task",
						    "ns/spawn", "bytes copied", "stacks" };
	const struct rh_probe_table table = {
		.result = result, .like = like, .heads = heads, .columns = COLUMNS,
		.fill = fill_row,
	};

	if (rh_print_rows(&table, to, markdown))
		fprintf(to, "\nBytes where most tasks live; ns/spawn: all of the replay for each "
			"task made.\n\n");
}

const struct rh_probe rh_probe_stacks = {
	.name = "stacks",
	.summary = "tasks: resident and reserved bytes and time for each, hit rates by tier",
	.source = "own",
	.always = true,
	.start = start,
	.segment = segment,
	.end = end,
	.release = release,
	.print = print,
};
