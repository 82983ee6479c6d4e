/*
 * probe_stacks.c - the cost of tasks: memory per living task, time per spawn, and the stack
 * backend's own counts.
 *
 * It rides along in every trial whose trace has tasks and whose backend has stacks. At each
 * segment edge it asks the backend how much it reserves, next to the resident bytes: virtual
 * and real memory against the number of tasks, over the whole run. Before the drain it keeps
 * all counts of the backend.
 *
 * Bytes per task are taken where most tasks live. Resident bytes are those added since the
 * start, so they include objects if the trace has any: the figure describes tasks only if the
 * trace consists mostly of tasks.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/probe/probe.h"
#include "traces/format/event.h"

enum { COLUMNS = 7 };

/* Of one worker: the segment with the most tasks, and all spawns. */
struct own {
	uint64_t tasks, rss_bytes, reserved_bytes;
	uint64_t spawns, calls;
	bool has_stacks;
};

static int start_stacks(struct rh_probe_run *run, struct rh_err *err)
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

static int segment(struct rh_probe_run *run, const struct rh_segment *segment, struct rh_err *err)
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
					 segment->anon_bytes < run->trial->anon_start
				 ? RH_NONE
				 : segment->anon_bytes - run->trial->anon_start;
	return 0;
}

static double per(uint64_t value, uint64_t count)
{
	return value == RH_NONE || !count ? NAN : (double)value / (double)count;
}

static void fill_counts(const struct rh_probe_run *run, struct rh_stacks_found *found)
{
	const struct rh_ctl *ctl = run->worker->ctl;

	for (const struct rh_ctl_stat *row = first_row(ctl);
	     row && row < ctl->stats + ctl->stat_count; row++) {
		struct rh_named *count = rh_pool_grow(rh_probe_pool(run), &found->counts,
						      &found->counts_count, sizeof(*count));

		*count = (struct rh_named){ rh_pool_text(rh_probe_pool(run), row->name),
					    (double)row->value };
	}
}

static void add_rate(struct rh_stacks_found *found, const char *name, uint64_t hits, uint64_t of)
{
	if (hits != RH_NONE && of != RH_NONE && of)
		found->hit_rates[found->hit_rates_count++] =
			(struct rh_named){ name, (double)hits / (double)of };
}

/* By tier: the share of requests that it could serve. */
static void fill_rates(const struct rh_probe_run *run, struct rh_stacks_found *found)
{
	enum { TIERS = 5 };
	const struct rh_ctl *ctl = run->worker->ctl;
	uint64_t cached = row_value(ctl, "pools.stackcache.hits");
	uint64_t refills = row_value(ctl, "pools.stackcache.refills");
	uint64_t pooled = row_value(ctl, "pools.stackpool.allocs");

	found->hit_rates = rh_pool_alloc(rh_probe_pool(run), TIERS, sizeof(*found->hit_rates));
	add_rate(found, "dead_tasks", row_value(ctl, "pools.g.local_hits"),
		 row_value(ctl, "pools.spawn"));
	add_rate(found, "stackcache", cached, refills == RH_NONE ? RH_NONE : cached + refills);
	add_rate(found, "stackpool",
		 pooled == RH_NONE ? RH_NONE : pooled - row_value(ctl, "pools.spans.made"), pooled);
	add_rate(found, "stackLarge", row_value(ctl, "pools.stackLarge.hits"),
		 row_value(ctl, "pools.stackLarge.allocs"));
	add_rate(found, "thread_cache", row_value(ctl, "thread.cache_hits"),
		 row_value(ctl, "thread.spawn"));
}

static int end(struct rh_probe_run *run, struct rh_err *err)
{
	const struct own *own = run->own;
	struct rh_stacks_found *found;

	if (!own)
		return 0;
	if (rh_worker_command(run->worker, RH_CTL_STATS, err) < 0)
		return -1;
	rh_probe_reading(run, "stacks.rss_bytes_per_task", per(own->rss_bytes, own->tasks));
	rh_probe_reading(run, "stacks.reserved_bytes_per_task",
			 per(own->reserved_bytes, own->tasks));
	rh_probe_reading(run, "stacks.ns_per_spawn", per(run->life->wall_ns, own->spawns));
	found = run->trial->found.stacks = rh_pool_alloc(rh_probe_pool(run), 1, sizeof(*found));
	*found = (struct rh_stacks_found){ .tasks_most = own->tasks,
					   .spawns = own->spawns,
					   .calls = own->calls };
	fill_rates(run, found);
	fill_counts(run, found);
	return 0;
}

static void release(struct rh_probe_run *run)
{
	free(run->own);
	run->own = NULL;
}

/* ---- the table ---- */

static const struct rh_trial *trial_of(const struct rh_result *result, const struct rh_trial *like,
				       uint32_t backend)
{
	for (size_t t = 0; t < result->trial_count; t++) {
		const struct rh_trial *trial = &result->trials[t];

		if (trial->backend == backend && trial->program == like->program &&
		    trial->copies == like->copies && trial->status == RH_STATUS_OK)
			return trial;
	}
	return NULL;
}

static double count_of(const struct rh_stacks_found *probe, const char *const *names)
{
	for (; *names; names++)
		for (size_t i = 0; i < probe->counts_count; i++)
			if (strcmp(probe->counts[i].name, *names) == 0)
				return probe->counts[i].value;
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
	const struct rh_stacks_found *probe = trial ? trial->found.stacks : NULL;

	if (!probe)
		return false;
	put_cell(cell[0], (double)probe->tasks_most);
	for (int i = 0; i < 3; i++) {
		const struct rh_metric *metric = rh_table_metric(table, backend, metrics[i]);

		put_cell(cell[1 + i], metric ? metric->median : NAN);
	}
	put_cell(cell[4], count_of(probe, copied));
	snprintf(cell[5], RH_CELL, "%s", table->result->backends[backend].stack);
	return true;
}

static void print(const struct rh_result *result, const struct rh_trial *like, FILE *to,
		  bool markdown)
{
	static const char *const heads[COLUMNS] = { "tasks",	     "most",	 "RSS/task",
						    "reserved/task", "ns/spawn", "bytes copied",
						    "stacks" };
	const struct rh_probe_table table = {
		.result = result,
		.like = like,
		.heads = heads,
		.columns = COLUMNS,
		.fill = fill_row,
	};

	if (rh_print_rows(&table, to, markdown))
		fprintf(to, "\nBytes where most tasks live; ns/spawn: all of the replay for each "
			    "task made.\n\n");
}

static const struct rh_headline headlines[] = {
	{ "stacks.rss_bytes_per_task", "stacks, resident for each task" },
	{ NULL, NULL },
};

const struct rh_probe rh_probe_stacks = {
	.name = "stacks",
	.summary = "tasks: resident and reserved bytes and time for each, hit rates by tier",
	.headlines = headlines,
	.source = "own",
	.always = true,
	.start = start_stacks,
	.segment = segment,
	.end = end,
	.release = release,
	.print = print,
};
