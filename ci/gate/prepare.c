/*
 * prepare.c - a scenario of the gate before its first pair (job.h): the trace is compiled and
 * looked at, both sides replay it once with --verify, and instructions are counted where the
 * deterministic tier is asked for.
 */
#include "ci/gate/job.h"

#include <stdio.h>
#include <string.h>

#include "ci/gate/report.h"
#include "harness/control/latency.h"

/* Two live heaps may take this share of the memory of the machine ... */
#define MEMORY_SHARE	 0.5
#define MEMORY_SHARE_ONE 0.8 /* ... and one that is alone this */
#define MIB		 1048576.0
enum { GRAIN_EVENTS = 1024, EPOCH_EVENTS = 1 << 20 };
enum { MANY_PER_CPU = 4 };

/* Compiles for the lanes that were asked for; job->lanes comes back as job.h says. */
static int compile(struct rh_gate_job *job, struct rh_compile_stats *stats, struct rh_err *err)
{
	const struct rh_gate_config *config = &job->gate->config;
	struct rh_gate_scenario *scenario = job->scenario;
	struct rh_program *program = &job->program;
	uint32_t most =
		job->lanes == RH_GATE_LANES_MANY ? MANY_PER_CPU * rh_cpu_count() : rh_cpu_count();
	bool capped = job->lanes == RH_GATE_LANES_DEFAULT || job->lanes == RH_GATE_LANES_MANY;
	struct rh_compile_options options = { .lanes = capped ? 0 : job->lanes,
					      .grain_events = GRAIN_EVENTS,
					      .epoch_events = EPOCH_EVENTS,
					      .touch = config->touch == RH_TOUCH_RECORDED,
					      .touch_known = config->touch == RH_TOUCH_AUTO };
	const struct rh_program_head *head;

	if (rh_compile(scenario->trace, &options, program, stats, err) < 0)
		return -1;
	if (capped && program->head->lanes > most) {
		rh_program_unmap(program);
		options.lanes = most;
		if (rh_compile(scenario->trace, &options, program, stats, err) < 0)
			return -1;
	}
	job->lanes = options.lanes;
	head = program->head;
	scenario->lanes = head->lanes;
	scenario->lanes_recorded = head->lanes_recorded;
	scenario->events = head->events;
	scenario->objects = head->objects;
	scenario->live_bytes_peak = head->live_bytes_peak;
	scenario->live_bytes_end = head->live_bytes_end;
	scenario->live_objects_end = head->live_objects_end;
	snprintf(scenario->sha256, sizeof(scenario->sha256), "%s", head->trace_sha256);
	return 0;
}

static int check_program(const struct rh_gate *gate, struct rh_gate_scenario *scenario,
			 const struct rh_compile_stats *stats, struct rh_err *err)
{
	double memory = (double)gate->host.memory_bytes, live = (double)scenario->live_bytes_peak;
	double two = gate->config.memory_bytes ? (double)gate->config.memory_bytes
					       : MEMORY_SHARE * memory;

	if (stats->sample)
		return rh_fail(err, RH_INVALID,
			       "%s is a sample of its program's blocks (--sample-bytes): a gate "
			       "judges whole programs; record it without",
			       scenario->trace);
	if (stats->truncated)
		return rh_fail(err, RH_INVALID, "%s", stats->truncated);
	if (scenario->objects == 0)
		return rh_fail(err, RH_INVALID, "%s allocates nothing", scenario->trace);
	if (live > MEMORY_SHARE_ONE * memory)
		return rh_fail(err, RH_INVALID,
			       "%s holds %.0f MiB, too much for this machine's "
			       "%.0f MiB: cut the trace (reheap cut) or take a larger machine",
			       scenario->trace, live / MIB, memory / MIB);
	scenario->apart = 2 * live > two;
	if (scenario->apart)
		snprintf(scenario->note, sizeof(scenario->note),
			 "one process at a time, whole "
			 "passes: two heaps of %.0f MiB would be more than %.0f MiB (--memory); "
			 "times are judged at %.0f %% at best",
			 live / MIB, two / MIB, 100 * RH_GATE_APART_THRESHOLD);
	return 0;
}

/* Another scenario before it has the same trace on as many lanes. */
static bool is_twice(const struct rh_gate_job *job)
{
	const struct rh_gate_scenario *mine = job->scenario, *row = job->gate->scenarios;

	for (size_t i = 0; i < job->gate->scenario_count; i++, row++)
		if (row != mine && row->events && row->lanes == mine->lanes &&
		    row->trace == mine->trace)
			return true;
	return false;
}

/* Its starts and ends are its own, not the pairs'. */
static int verify(struct rh_gate_job *job, struct rh_err *err)
{
	struct rh_gate_bench *bench = &job->bench;
	double starting = bench->spent[RH_GATE_STARTING], ending = bench->spent[RH_GATE_ENDING];
	uint64_t since = rh_now_ns();
	int result = rh_gate_verify(bench, !job->scenario->apart, err);

	bench->spent[RH_GATE_STARTING] = starting;
	bench->spent[RH_GATE_ENDING] = ending;
	rh_gate_spend(bench, RH_GATE_VERIFYING, since);
	return result;
}

int rh_gate_job_prepare(struct rh_gate_job *job, struct rh_err *err)
{
	struct rh_gate *gate = job->gate;
	struct rh_gate_scenario *scenario = job->scenario;
	struct rh_gate_config *config = &gate->config;
	struct rh_compile_stats stats = { 0 };
	uint64_t since = rh_now_ns();
	int result;

	job->bench = (struct rh_gate_bench){ .config = config,
					     .clock = &gate->clock,
					     .side = gate->side,
					     .program = &job->program,
					     .units = &job->units,
					     .random = config->seed };
	if (compile(job, &stats, err) < 0)
		return -1;
	rh_gate_spend(&job->bench, RH_GATE_COMPILING, since);
	job->twice = is_twice(job);
	if (job->twice)
		return 0;
	job->bench.folded = job->lanes != 0;
	if (config->stored && rh_gate_match_stored(gate, scenario, err) < 0)
		return -1;
	result = check_program(gate, scenario, &stats, err);
	if (result == 0)
		result = rh_gate_take_kept(gate, scenario, err);
	job->bench.random += scenario->pair_count;
	if (result == 0 && !config->no_verify)
		result = verify(job, err);
	job->bench.latency = rh_gate_wants_latency(config) && !scenario->apart &&
			     scenario->lanes <= RH_LATENCY_SEATS_MAX;
	since = rh_now_ns();
	if (result == 0 && config->tier != RH_TIER_WALL) {
		rh_gate_count(gate, scenario, &job->program, job->bench.folded);
		rh_gate_spend(&job->bench, RH_GATE_COUNTING, since);
	}
	job->open = result == 0 && config->tier != RH_TIER_DETERMINISTIC;
	return result;
}
