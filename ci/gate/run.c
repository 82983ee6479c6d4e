/*
 * run.c - all scenarios of a gate: one trace at one number of lanes each.
 *
 *	1  compile; a trace that was cut off is no benchmark any more: INVALID
 *	2  both sides replay it once with --verify (contents, alignment, overlap): an
 *	   allocator that hands out bad memory is not judged on speed
 *	3  the deterministic tier, when asked for (counts.c)
 *	4  pairs (pair.c); after each from the third on a look at the verdict of every
 *	   metric that gates (judge.c); no more pairs when none is open
 *
 * Small traces come first. Under --budget each trace first gets at most its share of the time,
 * and a few pairs, for wall time and memory; the rest goes pair by pair to undecided scenarios:
 * likely failures first, then wall time and memory, then single operations, cheap traces first.
 * A turn that does not end takes at most a quarter of the budget. A line is printed as each
 * scenario is finished. Scenarios left open by the budget are inconclusive, with that reason.
 */
#include "ci/gate/job.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "alloc/base/printable.h"
#include "alloc/base/progress.h"
#include "ci/gate/report.h"
#include "harness/control/latency.h"
#include "harness/result/result.h"
#include "traces/format/trace.h"

enum { PAIRS_BEFORE_OTHERS = 6 }; /* under a budget, before others have had theirs */
enum { TURN_OF_BUDGET = 4 };
/* Once one metric has failed the verdict stands; so many let a sign test say which others have. */
enum { PAIRS_WITH_FAILURE = 12 };
#define TURN_NS_LEAST 10000000000u /* a turn that is checked can take seconds */

const char *const rh_gate_part_names[RH_GATE_PARTS] = {
	[RH_GATE_COMPILING] = "compile", [RH_GATE_VERIFYING] = "verify",
	[RH_GATE_STARTING] = "start",	 [RH_GATE_CALIBRATING] = "calibrate",
	[RH_GATE_TURNS] = "turns",	 [RH_GATE_TIMING] = "latencies",
	[RH_GATE_ENDING] = "end",	 [RH_GATE_COUNTING] = "count",
};

uint64_t rh_gate_spend(struct rh_gate_bench *bench, enum rh_gate_part part, uint64_t since)
{
	uint64_t now = rh_now_ns();

	bench->spent[part] += (double)(now - since) / 1e9;
	return now;
}

void rh_gate_warn(struct rh_gate *gate, const char *fmt, ...)
{
	char text[400];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (gate->warning_count < sizeof(gate->warnings) / sizeof(gate->warnings[0]))
		gate->warnings[gate->warning_count++] = strdup(text);
}

/* ---- sides ---- */

static int prepare_side(struct rh_gate_side *side, const char *text, const char *label,
			struct rh_err *err)
{
	side->spec = calloc(1, sizeof(*side->spec));
	if (!side->spec)
		return rh_fail(err, RH_OS, "no memory for backend %s", text);
	side->label = label ? label : text;
	if (rh_spec_parse(side->spec, text, 0, err) < 0)
		return -1;
	rh_gate_file_identity(side);
	if (side->spec->layer[0].ops.caps & RH_CAP_NO_MEMORY)
		return rh_fail(err, RH_USAGE, "%s hands out no memory: there is nothing to gate",
			       text);
	return 0;
}

int rh_gate_prepare(struct rh_gate *gate, struct rh_err *err)
{
	const struct rh_gate_config *config = &gate->config;

	if (prepare_side(&gate->side[1], config->candidate, config->candidate_label, err) < 0)
		return rh_err_prefix(err, "candidate");
	if (prepare_side(&gate->side[0], config->baseline, config->baseline_label, err) < 0) {
		if (err->code == RH_ABSENT || err->code == RH_NO_INPUT)
			err->code = RH_NO_BASELINE;
		return rh_err_prefix(err, "baseline");
	}
	return 0;
}

/* ---- one scenario ---- */

/* Whether one of the metrics from `first` on needs more pairs. */
static bool open_question(const struct rh_gate_config *config,
			  const struct rh_gate_scenario *scenario, int first, int end)
{
	for (int m = first; m < end; m++)
		if (config->metric_gates[m] && scenario->result[m].look.more)
			return true;
	return false;
}

/* Judges the pairs so far: is it decided? */
static void look(struct rh_gate_job *job)
{
	const struct rh_gate_config *config = &job->gate->config;

	if (job->scenario->pair_count >= config->pairs_max)
		job->open = false;
	if (!job->open || job->scenario->pair_count < config->pairs_min)
		return;
	rh_gate_judge_scenario(config, job->scenario, job->tests);
	job->latency_only = !open_question(config, job->scenario, 0, RH_GATE_LATENCY);
	job->bench.latency &=
		open_question(config, job->scenario, RH_GATE_LATENCY, RH_GATE_METRICS);
	job->open = !job->latency_only || job->bench.latency;
	if (job->scenario->verdict == RH_GATE_FAIL &&
	    job->scenario->pair_count >= PAIRS_WITH_FAILURE)
		job->open = false;
}

static int one_pair(struct rh_gate_job *job, struct rh_err *err)
{
	struct rh_gate_scenario *scenario = job->scenario;
	uint64_t since = rh_now_ns(), took;
	size_t p = scenario->pair_count;

	rh_progress("%s, %u lane%s: pair %zu, %.1f %% slower so far", scenario->trace,
		    scenario->lanes, scenario->lanes == 1 ? "" : "s", p + 1,
		    p >= job->gate->config.pairs_min
			    ? 100 * expm1(scenario->result[RH_GATE_WALL].look.median)
			    : 0.0);
	if ((scenario->apart	 ? rh_gate_pair_apart
	     : job->latency_only ? rh_gate_latency_pair
				 : rh_gate_pair)(&job->bench, scenario, err) < 0)
		return -1;
	took = rh_now_ns() - since;
	job->pair_ns = took;
	scenario->seconds += (double)took / 1e9;
	return rh_gate_keep(job->gate, err);
}

/* A failure of one scenario is its verdict. Only what says nothing about the candidate ends
 * the gate: interrupts, and a trace that cannot be read. */
static void break_off(struct rh_gate_job *job, const struct rh_err *why)
{
	struct rh_gate_scenario *scenario = job->scenario;

	scenario->verdict = why->code == RH_INCONCLUSIVE ? RH_GATE_INCONCLUSIVE
			    : why->code == RH_NO_INPUT || why->code == RH_NO_BASELINE
				    ? RH_GATE_NO_BASELINE
				    : RH_GATE_INVALID;
	snprintf(scenario->why, sizeof(scenario->why), "%s", why->text);
	scenario->broken = true;
	job->open = false;
}

static int interrupted(const struct rh_gate *gate, struct rh_err *err)
{
	return rh_fail(err, RH_INVALID, "interrupted%s%s%s",
		       gate->config.resume ? ": the same command goes on from " : "",
		       gate->config.resume ? gate->config.resume : "",
		       gate->config.resume ? ", where its samples are" : "");
}

/* The same build on both sides, under whatever names. */
static void note_same_build(struct rh_gate *gate)
{
	const struct rh_gate_side *a = &gate->side[0], *b = &gate->side[1];
	bool libraries = a->spec->preload[0] && b->spec->preload[0];
	bool same = a->heap_build_id[0] && strcmp(a->heap_build_id, b->heap_build_id) == 0;

	if (a->file_sha256[0] && b->file_sha256[0])
		same = strcmp(a->file_sha256, b->file_sha256) == 0 || (same && libraries);
	if (!same || (!libraries && strcmp(a->spec->text, b->spec->text) != 0))
		return;
	snprintf(gate->same_build, sizeof(gate->same_build),
		 strcmp(a->spec->text, b->spec->text) == 0 || libraries
			 ? "baseline and candidate are the same build (%.12s): this run can only "
			   "show that the gate does not cry wolf"
			 : "baseline and candidate are one build (%.12s) under two settings",
		 a->heap_build_id[0] ? a->heap_build_id : a->file_sha256);
}

/* It needs its program no more; its line is printed at once, so that a gate that is cut later
 * has not lost it. */
static void finish(struct rh_gate_job *job)
{
	const struct rh_gate_config *config = &job->gate->config;

	memcpy(job->scenario->spent, job->bench.spent, sizeof(job->bench.spent));
	rh_gate_units_free(&job->units);
	free(job->bench.solo_ticks);
	job->bench.solo_ticks = NULL;
	rh_program_unmap(&job->program);
	if (job->twice)
		return;
	rh_gate_judge_scenario(config, job->scenario, job->tests);
	if (config->say_done && !rh_interrupted && job->gate->scenario_count > 1) {
		rh_progress("%s", "");
		if (!job->gate->same_build[0]) {
			note_same_build(job->gate);
			if (job->gate->same_build[0])
				rh_print(stdout, "NOTE: %s\n", job->gate->same_build);
		}
		rh_gate_print_done(job->scenario, stdout);
	}
}

static uint64_t time_left(const struct rh_gate *gate)
{
	uint64_t now = rh_now_ns();

	if (!gate->config.budget_time_ns)
		return UINT64_MAX;
	return now < gate->deadline_ns ? gate->deadline_ns - now : 0;
}

static void out_of_time(struct rh_gate_job *job)
{
	struct rh_gate_scenario *scenario = job->scenario;
	struct rh_err why = { .code = RH_INCONCLUSIVE };

	if (scenario->pair_count) {
		snprintf(scenario->note, sizeof(scenario->note),
			 "--budget was spent after %zu pairs: a longer one decides more%s",
			 scenario->pair_count, job->latency_only ? " about single operations" : "");
		job->open = false;
		return;
	}
	snprintf(why.text, sizeof(why.text), "--budget was spent before its first pair");
	break_off(job, &why);
}

/* Under a budget: what a scenario may take until `others` have had theirs. */
static uint64_t share_of_time(const struct rh_gate *gate, size_t others)
{
	return gate->config.budget_time_ns ? time_left(gate) / (others + 1) : UINT64_MAX;
}

/* The next pair of the first stretch; under a budget single operations come later. */
static bool goes_on(const struct rh_gate_job *job, uint64_t since, uint64_t share)
{
	size_t pairs = job->scenario->pair_count;

	if (!job->open || !job->gate->config.budget_time_ns || pairs == 0)
		return job->open;
	return !job->latency_only && pairs < PAIRS_BEFORE_OTHERS &&
	       rh_now_ns() - since + job->pair_ns < share;
}

/* The first stretch of a scenario; without a budget all of it. */
static int begin(struct rh_gate_job *job, size_t others, struct rh_err *err)
{
	uint64_t since = rh_now_ns(), share = share_of_time(job->gate, others);
	struct rh_err why = { 0 };
	int result = 0;

	if (time_left(job->gate) == 0) {
		out_of_time(job);
	} else {
		result = rh_gate_job_prepare(job, &why);
		job->scenario->seconds += (double)(rh_now_ns() - since) / 1e9;
		look(job);
		while (result == 0 && goes_on(job, since, share)) {
			if (time_left(job->gate) <= job->pair_ns) {
				out_of_time(job);
				break;
			}
			result = one_pair(job, &why);
			look(job);
		}
	}
	if (result < 0)
		break_off(job, &why);
	if (!job->open)
		finish(job);
	return rh_interrupted ? interrupted(job->gate, err) : 0;
}

/* Likely failures come first, scenarios with only single operations open come last; among equals
 * the cheap ones first. */
static bool before(const struct rh_gate_job *a, const struct rh_gate_job *b)
{
	const struct rh_gate_look *x = &a->scenario->result[RH_GATE_WALL].look;
	const struct rh_gate_look *y = &b->scenario->result[RH_GATE_WALL].look;
	bool x_fails = x->median > x->margin, y_fails = y->median > y->margin;

	if (a->latency_only != b->latency_only)
		return b->latency_only;
	return x_fails != y_fails ? x_fails : a->pair_ns < b->pair_ns;
}

static struct rh_gate_job *next_job(struct rh_gate_job *jobs, size_t count)
{
	struct rh_gate_job *best = NULL;

	for (size_t i = 0; i < count; i++)
		if (jobs[i].open && (!best || before(&jobs[i], best)))
			best = &jobs[i];
	return best;
}

static int share_time(struct rh_gate *gate, struct rh_gate_job *jobs, size_t count,
		      struct rh_err *err)
{
	struct rh_gate_job *job;

	while ((job = next_job(jobs, count))) {
		struct rh_err why = { 0 };

		if (time_left(gate) <= job->pair_ns)
			out_of_time(job);
		else if (one_pair(job, &why) < 0)
			break_off(job, &why);
		else
			look(job);
		if (!job->open)
			finish(job);
		if (rh_interrupted)
			return interrupted(gate, err);
	}
	return 0;
}

/* ---- the plan ---- */

static int lanes_of(const char *word, uint32_t *lanes, struct rh_err *err)
{
	uint64_t value;

	if (strcmp(word, "recorded") == 0)
		value = 0;
	else if (strcmp(word, "default") == 0 || strcmp(word, "cpus") == 0)
		value = RH_GATE_LANES_DEFAULT;
	else if (strcmp(word, "many") == 0)
		value = RH_GATE_LANES_MANY;
	else if (rh_parse_uint(word, &value, NULL) < 0 || value == 0 || value > RH_CTL_SEATS_MAX)
		return rh_fail(err, RH_USAGE,
			       "--lanes takes numbers from 1 to %d or the words recorded, cpus "
			       "(at most one a CPU), many (at most four a CPU), not '%s'",
			       RH_CTL_SEATS_MAX, word);
	*lanes = (uint32_t)value;
	return 0;
}

/* One scenario for each trace at each number of lanes. */
static int add_scenarios(struct rh_gate *gate, uint32_t **lanes, struct rh_err *err)
{
	const char *list = gate->config.lanes ? gate->config.lanes : "default";
	char *copy = strdup(list), *at = NULL;
	size_t count = 0;
	int result = 0;

	if (!copy)
		return rh_fail(err, RH_OS, "no memory for the list of lanes");
	for (char *word = strtok_r(copy, ",", &at); word && result == 0;
	     word = strtok_r(NULL, ",", &at)) {
		uint32_t value = 0;

		result = lanes_of(word, &value, err);
		for (uint32_t t = 0; t < gate->config.trace_count && result == 0; t++) {
			struct rh_gate_scenario *row =
				rh_grow(&gate->scenarios, &gate->scenario_count, sizeof(*row));

			row->trace = gate->config.traces[t];
			*(uint32_t *)rh_grow(lanes, &count, sizeof(uint32_t)) = value;
		}
	}
	free(copy);
	if (result == 0 && !gate->scenario_count)
		result = rh_fail(err, RH_USAGE, "--lanes '%s' names none", list);
	return result;
}

static int by_size(const void *a, const void *b)
{
	const struct rh_gate_job *x = a, *y = b;

	if (x->bytes != y->bytes)
		return x->bytes < y->bytes ? -1 : 1;
	return x->scenario < y->scenario ? -1 : x->scenario > y->scenario;
}

static struct rh_gate_job *make_jobs(struct rh_gate *gate, const uint32_t *lanes,
				     struct rh_err *err)
{
	struct rh_gate_job *jobs = calloc(gate->scenario_count + 1, sizeof(*jobs));
	struct stat facts;

	if (!jobs) {
		rh_fail(err, RH_OS, "no memory for %zu scenarios", gate->scenario_count);
		return NULL;
	}
	for (size_t i = 0; i < gate->scenario_count; i++)
		jobs[i] = (struct rh_gate_job){
			.gate = gate,
			.scenario = &gate->scenarios[i],
			.lanes = lanes[i],
			.tests = rh_gate_tests(&gate->config, gate->scenario_count),
			.bytes = stat(gate->scenarios[i].trace, &facts) == 0 ? facts.st_size : 0,
			.program = { .fd = -1 },
		};
	qsort(jobs, gate->scenario_count, sizeof(*jobs), by_size);
	return jobs;
}

/* Removes scenarios that duplicate another. */
static void drop_twice(struct rh_gate *gate, const struct rh_gate_job *jobs)
{
	bool *twice = calloc(gate->scenario_count + 1, sizeof(*twice));
	size_t kept = 0;

	for (size_t i = 0; twice && i < gate->scenario_count; i++)
		twice[jobs[i].scenario - gate->scenarios] = jobs[i].twice;
	for (size_t i = 0; twice && i < gate->scenario_count; i++)
		if (!twice[i])
			gate->scenarios[kept++] = gate->scenarios[i];
	gate->scenario_count = twice ? kept : gate->scenario_count;
	free(twice);
}

/* A hanging scenario must not use up the others' time. */
static void limit_turns(struct rh_gate_config *config)
{
	uint64_t part = config->budget_time_ns / TURN_OF_BUDGET;

	part = part > TURN_NS_LEAST ? part : TURN_NS_LEAST;
	if (config->budget_time_ns && config->timeout_ns > part)
		config->timeout_ns = part;
}

static int measure_all(struct rh_gate *gate, const uint32_t *lanes, struct rh_err *err)
{
	size_t count = gate->scenario_count;
	struct rh_gate_job *jobs = make_jobs(gate, lanes, err);
	int result = jobs ? rh_gate_open_kept(gate, err) : -1;

	gate->deadline_ns = rh_now_ns() + gate->config.budget_time_ns;
	limit_turns(&gate->config);
	for (size_t i = 0; i < count && result == 0; i++)
		result = begin(&jobs[i], count - 1 - i, err);
	if (result == 0)
		result = share_time(gate, jobs, count, err);
	for (size_t i = 0; i < count && jobs; i++)
		if (jobs[i].open)
			finish(&jobs[i]);
	if (jobs)
		drop_twice(gate, jobs);
	free(jobs);
	return result;
}

static void warn_of_host(struct rh_gate *gate)
{
	if (gate->clock.why)
		rh_gate_warn(gate, "clock is %s: %s", gate->clock.name, gate->clock.why);
	for (int s = 0; s < 2; s++)
		if (gate->side[s].said[0])
			rh_gate_warn(gate, "a worker of the %s printed: %s",
				     s ? "candidate" : "baseline", gate->side[s].said);
	for (int s = 0; s < 2; s++) {
		char text[300];

		rh_worker_changes(gate->side[s].changed, text, sizeof(text));
		if (text[0])
			rh_gate_warn(gate, "a worker of the %s changed its process: %s",
				     s ? "candidate" : "baseline", text);
	}
	for (size_t i = 0; i < gate->scenario_count; i++)
		if (gate->scenarios[i].lanes > gate->host.cpus_allowed)
			rh_gate_warn(gate,
				     "%s: %u lanes on %u CPUs: times contain the scheduler's "
				     "work",
				     gate->scenarios[i].trace, gate->scenarios[i].lanes,
				     gate->host.cpus_allowed);
}

int rh_gate_run(struct rh_gate *gate, struct rh_err *err)
{
	uint64_t since = rh_now_ns();
	uint32_t *lanes = NULL;
	int result = add_scenarios(gate, &lanes, err);

	if (result == 0)
		result = measure_all(gate, lanes, err);
	free(lanes);
	gate->seconds += (double)(rh_now_ns() - since) / 1e9;
	rh_gate_close_kept(gate, result == 0);
	if (result < 0)
		return -1;
	note_same_build(gate);
	warn_of_host(gate);
	rh_gate_judge(gate);
	rh_progress("%s", "");
	return 0;
}

void rh_gate_free(struct rh_gate *gate)
{
	for (size_t i = 0; i < gate->scenario_count; i++) {
		free(gate->scenarios[i].blocks);
		free(gate->scenarios[i].pairs);
	}
	for (size_t i = 0; i < gate->warning_count; i++)
		free(gate->warnings[i]);
	free(gate->scenarios);
	free(gate->argv);
	for (int s = 0; s < 2; s++)
		free(gate->side[s].spec);
}
