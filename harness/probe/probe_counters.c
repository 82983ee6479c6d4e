/*
 * probe_counters.c - what the CPU and the kernel count while lanes replay (counters.h).
 *
 * It has its own workers, one per group of events: a PMU has few counters, and counting in
 * turns (multiplexing) only gives an estimate, while a replay can simply be repeated. Groups
 * whose events this machine lacks cost nothing.
 *
 * The driver attaches to each lane's thread before the first segment and reads after the
 * last. A lane's thread only sleeps between segments. It must not spin while it waits for the
 * start, because spinning would be counted: in these workers no lane spins. One sleep and a few
 * hundred instructions per segment remain, the same for every backend and so also in the null
 * floor.
 *
 * Where recorded threads end, the lanes' threads end as well; they are asked to do so before
 * the next segment starts (RH_CTL_TURN), so that new threads are counted from their first op.
 */
#include <stdlib.h>
#include <string.h>

#include "harness/probe/counters.h"
#include "harness/probe/probe.h"

enum { GROUPS = 3, MODES = 5 };
static const double ipc_least = 0.05, ipc_most = 8; /* what no CPU exceeds */

static const enum rh_counter groups[GROUPS][RH_COUNT_HW_MAX + 1] = {
	{ RH_COUNT_PAGE_FAULTS, RH_COUNT_CONTEXT_SWITCHES, RH_COUNT_MIGRATIONS, RH_COUNT_TASK_CLOCK,
	  RH_COUNTERS },
	{ RH_COUNT_INSTRUCTIONS, RH_COUNT_CYCLES, RH_COUNT_L1D_MISSES, RH_COUNT_L2_MISSES,
	  RH_COUNTERS },
	{ RH_COUNT_LLC_MISSES, RH_COUNT_DTLB_MISSES, RH_COUNT_BRANCH_MISSES, RH_COUNTERS },
};

static const char *const metric_names[RH_COUNTERS] = {
	[RH_COUNT_INSTRUCTIONS] = "counters.instructions_per_event",
	[RH_COUNT_CYCLES] = "counters.cycles_per_event",
	[RH_COUNT_L1D_MISSES] = "counters.l1d_misses_per_event",
	[RH_COUNT_L2_MISSES] = "counters.l2_misses_per_event",
	[RH_COUNT_LLC_MISSES] = "counters.llc_misses_per_event",
	[RH_COUNT_DTLB_MISSES] = "counters.dtlb_misses_per_event",
	[RH_COUNT_BRANCH_MISSES] = "counters.branch_misses_per_event",
	[RH_COUNT_PAGE_FAULTS] = "counters.page_faults_per_event",
	[RH_COUNT_CONTEXT_SWITCHES] = "counters.context_switches_per_event",
	[RH_COUNT_MIGRATIONS] = "counters.migrations_per_event",
	[RH_COUNT_TASK_CLOCK] = "counters.task_clock_ns_per_event",
};

/* One worker's counting. */
struct own {
	const struct rh_counter_source *source;
	enum rh_counter counter[RH_COUNT_HW_MAX];
	const char *event[RH_COUNT_HW_MAX];
	unsigned count;
	uint32_t seats;
	struct lane {
		struct rh_counter_set *set;
		pid_t thread;
		uint64_t value[RH_COUNT_HW_MAX];
	} lane[];
};

/* ---- choosing ---- */

static unsigned events_of(const struct rh_counter_source *source, unsigned group,
			  enum rh_counter *counters)
{
	const struct rh_counter_proof *proof = rh_counters_proven(source);
	unsigned count = 0;

	for (const enum rh_counter *c = groups[group]; *c != RH_COUNTERS; c++)
		if (proof[*c].event)
			counters[count++] = *c;
	return count;
}

static bool counts_hardware(const struct rh_counter_source *source)
{
	const struct rh_counter_proof *proof = rh_counters_proven(source);

	for (int c = 0; c < RH_COUNT_HARDWARE; c++)
		if (proof[c].event)
			return true;
	return false;
}

static uint32_t bit_of(const struct rh_probe *probe)
{
	for (unsigned i = 0; rh_probes[i]; i++)
		if (rh_probes[i] == probe)
			return 1u << i;
	return 0;
}

/* One row per counter; a single row when no hardware event counts, since there is one reason. */
static void note_absent(const struct rh_counter_source *source, struct rh_result *result)
{
	const struct rh_counter_proof *proof = rh_counters_proven(source);
	bool hardware = counts_hardware(source);
	const char *none = rh_counters_no_pmu();

	if (!hardware)
		rh_result_absent(result, "counters.hw", -1,
				 "no cycles, instructions, cache, TLB "
				 "or branch misses of the CPU: %s%s%s says %.100s",
				 none ? none : "", none ? "; " : "", source->name,
				 proof[RH_COUNT_INSTRUCTIONS].why);
	for (int c = hardware ? 0 : RH_COUNT_HARDWARE; c < RH_COUNTERS; c++)
		if (!proof[c].event)
			rh_result_absent(result, metric_names[c], -1, "%s: %.280s", source->name,
					 proof[c].why);
}

/* PAPI has better events where there is a PMU, but cannot attach where there is none. */
static const struct rh_counter_source *best_source(void)
{
	return counts_hardware(&rh_counters_papi) ? &rh_counters_papi : &rh_counters_perf;
}

int rh_counters_choose(struct rh_run_config *config, struct rh_result *result, struct rh_err *err)
{
	static const char *const modes[MODES] = { "auto", "papi", "perf", "callgrind", "none" };
	uint32_t counters = bit_of(&rh_probe_counters), callgrind = bit_of(&rh_probe_callgrind);
	const char *word = config->counters ? config->counters : modes[0];
	int mode = 0;

	while (mode < MODES && strcmp(word, modes[mode]) != 0)
		mode++;
	if (mode == MODES)
		return rh_fail(err, RH_USAGE,
			       "--counters takes auto, papi, perf, callgrind or "
			       "none, not '%s'",
			       word);
	if (config->counters)
		config->probe_set |= mode == 3 ? callgrind : counters;
	if (mode >= 3)
		config->probe_set &= ~counters;
	if (!(config->probe_set & counters))
		return 0;
	if (!config->counter_source)
		config->counter_source = mode == 1   ? &rh_counters_papi
					 : mode == 2 ? &rh_counters_perf
						     : best_source();
	note_absent(config->counter_source, result);
	if (counts_hardware(config->counter_source))
		return 0;
	/* Cache misses need some source; if the user named one, no other is used. */
	if (mode == 0)
		config->probe_set |= callgrind;
	else
		result->partial = true;
	return 0;
}

static const char *absent_why(const struct rh_run_config *config, char *text, size_t text_bytes)
{
	const struct rh_counter_source *source =
		config->counter_source ? config->counter_source : best_source();
	const struct rh_counter_proof *proof = rh_counters_proven(source);

	if (config->replay.verify)
		return "--verify checks every block between the operations";
	if (config->under)
		return "workers run under another program, which would be counted";
	for (int c = 0; c < RH_COUNTERS; c++)
		if (proof[c].event)
			return NULL;
	snprintf(text, text_bytes, "%s counts nothing here: %.200s", source->name,
		 proof[RH_COUNT_TASK_CLOCK].why);
	return text;
}

static uint32_t passes(const struct rh_run_config *config)
{
	enum rh_counter counters[RH_COUNT_HW_MAX];
	uint32_t count = 0;

	for (unsigned g = 0; config->counter_source && g < GROUPS; g++)
		count += events_of(config->counter_source, g, counters) > 0;
	return count;
}

/* ---- counting ---- */

static int prepare(struct rh_probe_run *run, struct rh_err *err)
{
	uint32_t seats = run->program->program.head->lanes * run->trial->copies, pass = run->pass;
	struct own *own = calloc(1, sizeof(*own) + seats * sizeof(own->lane[0]));
	const struct rh_counter_proof *proof;

	if (!own)
		return rh_fail(err, RH_OS, "no memory to count %u lanes", seats);
	run->own = own;
	own->seats = seats;
	own->source = run->config->counter_source;
	proof = rh_counters_proven(own->source);
	for (unsigned g = 0; g < GROUPS; g++) {
		own->count = events_of(own->source, g, own->counter);
		if (own->count > 0 && pass-- == 0)
			break;
	}
	for (unsigned i = 0; i < own->count; i++)
		own->event[i] = proof[own->counter[i]].event;
	run->start->no_spin = true;
	return 0;
}

static int stop_lane(const struct own *own, struct lane *lane, struct rh_err *err)
{
	uint64_t values[RH_COUNT_SET_MAX];
	struct rh_counter_set *set = lane->set;

	lane->set = NULL;
	if (!set)
		return 0;
	if (own->source->stop(set, values, err) < 0)
		return -1;
	for (unsigned i = 0; i < own->count; i++)
		lane->value[i] += values[i];
	return 0;
}

/* Starts sets for all lanes whose thread has changed. */
static int attach(struct rh_probe_run *run, struct rh_err *err)
{
	const struct rh_ctl *ctl = run->worker->ctl;
	struct own *own = run->own;

	for (uint32_t s = 0; s < own->seats; s++) {
		struct lane *lane = &own->lane[s];
		pid_t thread = (pid_t)ctl->seat[s].os_thread;

		if (lane->thread == thread)
			continue;
		if (stop_lane(own, lane, err) < 0 ||
		    own->source->start(&lane->set, own->event, own->count, thread, err) < 0)
			return -1;
		lane->thread = thread;
	}
	return 0;
}

static int segment(struct rh_probe_run *run, const struct rh_segment *done, struct rh_err *err)
{
	(void)done;
	if (rh_worker_command(run->worker, RH_CTL_TURN, err) < 0)
		return -1;
	return attach(run, err);
}

static void release(struct rh_probe_run *run)
{
	struct own *own = run->own;
	struct rh_err ignored;

	for (uint32_t s = 0; own && s < own->seats; s++)
		stop_lane(own, &own->lane[s], &ignored);
	free(own);
	run->own = NULL;
}

/* ---- findings ---- */

static uint64_t total_of(const struct own *own, unsigned event)
{
	uint64_t total = 0;

	for (uint32_t s = 0; s < own->seats; s++)
		total += own->lane[s].value[event];
	return total;
}

/* Some CPUs occasionally count instructions 16-fold; comparing with cycles reveals it. */
static bool ipc_is_absurd(const struct own *own)
{
	uint64_t instructions = 0, cycles = 0;
	double ipc;

	for (unsigned i = 0; i < own->count; i++) {
		if (own->counter[i] == RH_COUNT_INSTRUCTIONS)
			instructions = total_of(own, i);
		if (own->counter[i] == RH_COUNT_CYCLES)
			cycles = total_of(own, i);
	}
	if (!instructions || !cycles)
		return false;
	ipc = (double)instructions / (double)cycles;
	return ipc < ipc_least || ipc > ipc_most;
}

static void keep_event(struct rh_probe_run *run, struct rh_counters_found *found, unsigned event)
{
	const struct own *own = run->own;
	enum rh_counter counter = own->counter[event];
	struct rh_counted *row = rh_pool_grow(rh_probe_pool(run), &found->events,
					      &found->events_count, sizeof(*row));

	*row = (struct rh_counted){
		.name = rh_counter_names[counter],
		.event = own->event[event],
		.source = counter < RH_COUNT_HARDWARE ? "hw" : "sw",
		.total = total_of(own, event),
		.lanes = rh_pool_alloc(rh_probe_pool(run), own->seats, sizeof(*row->lanes)),
		.lanes_count = own->seats,
		.events = run->life->events,
		.segments = run->life->segment_count,
	};
	for (uint32_t s = 0; s < own->seats; s++)
		row->lanes[s] = (double)own->lane[s].value[event];
	rh_probe_reading(run, metric_names[counter],
			 (double)total_of(own, event) / (double)run->life->events);
}

static int end(struct rh_probe_run *run, struct rh_err *err)
{
	struct own *own = run->own;
	struct rh_counters_found *found = run->trial->found.counters;

	for (uint32_t s = 0; s < own->seats; s++)
		if (stop_lane(own, &own->lane[s], err) < 0)
			return -1;
	if (!run->life->events)
		return 0;
	if (ipc_is_absurd(own))
		return rh_fail(err, RH_ABSENT,
			       "instructions and cycles do not belong together: "
			       "this CPU miscounts");
	if (!found) {
		found = rh_pool_alloc(rh_probe_pool(run), 1, sizeof(*found));
		found->by = own->source->name;
		run->trial->found.counters = found;
	}
	for (unsigned i = 0; i < own->count; i++)
		keep_event(run, found, i);
	return 0;
}

/* ---- the table ---- */

static const struct column {
	enum rh_counter counter;
	const char *head;
} columns[] = {
	{ RH_COUNT_INSTRUCTIONS, "instructions" },
	{ RH_COUNT_CYCLES, "cycles" },
	{ RH_COUNT_L1D_MISSES, "L1D misses" },
	{ RH_COUNT_L2_MISSES, "L2" },
	{ RH_COUNT_LLC_MISSES, "LLC" },
	{ RH_COUNT_DTLB_MISSES, "DTLB" },
	{ RH_COUNT_BRANCH_MISSES, "branch misses" },
	{ RH_COUNT_PAGE_FAULTS, "faults" },
	{ RH_COUNT_MIGRATIONS, "migrations" },
	{ RH_COUNT_TASK_CLOCK, "CPU ns" },
};
enum { COLUMNS_MAX = sizeof(columns) / sizeof(columns[0]) + 1 };

static const struct rh_metric *metric_at(const struct rh_result *result,
					 const struct rh_trial *like, uint32_t backend,
					 enum rh_counter counter)
{
	return rh_metric_like(result, like, backend, metric_names[counter]);
}

/* Only events counted for some backend have a column. */
static int choose_columns(const struct rh_result *result, const struct rh_trial *like,
			  const struct column **chosen)
{
	int count = 0;

	for (int c = 0; c < COLUMNS_MAX - 1; c++) {
		bool any = false;

		for (uint32_t b = 0; b < result->backend_count; b++)
			any |= metric_at(result, like, b, columns[c].counter) != NULL;
		if (any)
			chosen[count++] = &columns[c];
	}
	return count;
}

/* False when nothing was counted for the backend. */
static bool fill_row(const struct rh_probe_table *table, uint32_t backend, char (*cell)[RH_CELL])
{
	const struct column *const *chosen = table->ctx;
	bool any = false;

	for (int c = 0; c < table->columns - 1; c++) {
		const struct rh_metric *metric =
			metric_at(table->result, table->like, backend, chosen[c]->counter);

		any |= metric != NULL;
		rh_metric_cell(cell[c], metric, 1, "%.4g");
	}
	return any;
}

static void print(const struct rh_result *result, const struct rh_trial *like, FILE *to,
		  bool markdown)
{
	const struct column *chosen[COLUMNS_MAX];
	char text[COLUMNS_MAX][RH_CELL];
	const char *heads[COLUMNS_MAX] = { "counted, per event" };
	const struct rh_probe_table table = {
		.result = result,
		.like = like,
		.heads = heads,
		.columns = 1 + choose_columns(result, like, chosen),
		.fill = fill_row,
		.ctx = chosen,
	};

	for (int c = 1; c < table.columns; c++) {
		const struct column *column = chosen[c - 1];

		snprintf(text[c], RH_CELL, "%s, %s", column->head,
			 column->counter < RH_COUNT_HARDWARE ? "hw" : "sw");
		heads[c] = text[c];
	}
	if (table.columns > 1 && rh_print_rows(&table, to, markdown))
		fprintf(to, "\n");
}

static const struct rh_headline headlines[] = {
	{ "counters.instructions_per_event", "counted, instructions per event" },
	{ "counters.task_clock_ns_per_event", "counted, CPU time per event" },
	{ NULL, NULL },
};

const struct rh_probe rh_probe_counters = {
	.name = "counters",
	.summary = "cache misses, instructions ... of each lane by PAPI or perf; without a PMU "
		   "what the kernel counts, and callgrind's caches",
	.headlines = headlines,
	.source = "hw",
	.own_pass = true,
	.absent_why = absent_why,
	.passes = passes,
	.prepare = prepare,
	.start = attach,
	.segment = segment,
	.end = end,
	.release = release,
	.print = print,
};
