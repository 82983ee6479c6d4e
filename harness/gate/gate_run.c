/*
 * gate_run.c - all scenarios of a gate: one trace at one number of lanes each.
 *
 *	1  compile; a trace that was cut off is no benchmark any more: INVALID
 *	2  both sides replay it once with --verify (contents, alignment, overlap): an
 *	   allocator that hands out wrong memory is not fast
 *	3  the deterministic tier, when asked for (gate_counts.c)
 *	4  pairs (gate_pair.c); after each from the third on a look at the verdict of every
 *	   metric that gates; no more pairs when none is open
 *
 * alpha of FAIL is divided by the number of comparisons that may fail, over all
 * scenarios and metrics: ten traces do not make ten times the false alarms.
 *
 * Before anything is judged, blocks in which a turn waited for a CPU for more than 10 % of
 * its time are dropped; with several lanes only (there one late lane makes all late; with
 * one it gains nothing), only when both sides suffer alike, and only in pairs of which a
 * quarter of the blocks is clean. On a machine so busy that fewer are, nothing is dropped:
 * the least late quarter is not clean either, and on two CPUs under a load of 12 to keep
 * it alone made the interval a third wider than to keep all.
 */
#include "harness/gate/gate.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness/command.h"
#include "harness/gate/gate_extra.h"
#include "harness/run/result.h"
#include "traces/trace.h"

const struct rh_gate_metric_row rh_gate_metric_rows[RH_GATE_METRICS] = {
	[RH_GATE_WALL] = { "wall", "ratio", "wall time of a turn", 0, 0, true },
	[RH_GATE_CPU] = { "cpu", "ratio", "CPU time of all lanes", 0, 0, false },
	[RH_GATE_MEDIAN] = { "median", "ratio", "median batch: the fast path", 0, 0, false },
	[RH_GATE_P99] = { "p99", "ratio", "99th percentile batch: the slow path", 0.15, 0, false },
	[RH_GATE_RSS] = { "rss", "bytes", "peak resident memory", 0.25, 2 << 20, true },
	[RH_GATE_FAULTS] = { "faults", "count", "minor page faults", 0.25, 256, false },
};

/* Two live heaps may take this share of the machine's memory. */
#define MEMORY_SHARE 0.5
#define MEMORY_SHARE_ONE 0.8		/* and one that is alone this */
#define MIB 1048576.0
enum { GRAIN_EVENTS = 1024, EPOCH_EVENTS = 1 << 20 };
#define LATE 0.10
enum { CLEAN_AT_LEAST = 4 };		/* one in so many */
#define LANES_DEFAULT UINT32_MAX

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

/* ---- judging ---- */

unsigned rh_gate_tests(const struct rh_gate_config *config, size_t scenarios)
{
	unsigned tests = 0;

	for (int m = 0; m < RH_GATE_PAIRED; m++)
		tests += config->metric_gates[m];
	return tests ? tests * (unsigned)scenarios : 1;
}

static double lateness(const struct rh_gate_block *block)
{
	return block->late[0] > block->late[1] ? block->late[0] : block->late[1];
}

/* Blocks [from, to) are a pair's. The measure is the same for both sides, so that choosing
 * by it favours none. */
static void filter_pair(struct rh_gate_scenario *scenario, size_t from, size_t to)
{
	size_t clean = 0;

	for (size_t i = from; i < to; i++)
		clean += lateness(&scenario->blocks[i]) <= LATE;
	if (clean * CLEAN_AT_LEAST < to - from)
		return;
	for (size_t i = from; i < to; i++) {
		scenario->blocks[i].dropped = lateness(&scenario->blocks[i]) > LATE;
		scenario->dropped += scenario->blocks[i].dropped;
	}
}

static void filter(struct rh_gate_scenario *scenario)
{
	size_t late[2] = { 0 }, from, to;

	scenario->dropped = 0;
	for (size_t i = 0; i < scenario->block_count; i++) {
		late[0] += scenario->blocks[i].late[0] > LATE;
		late[1] += scenario->blocks[i].late[1] > LATE;
		scenario->blocks[i].dropped = false;
	}
	scenario->disturbed_unevenly = !rh_gate_evenly_disturbed(late[1], late[0] + late[1]);
	if (scenario->lanes < 2 || scenario->disturbed_unevenly)
		return;
	for (from = 0; from < scenario->block_count; from = to) {
		for (to = from; to < scenario->block_count &&
		     scenario->blocks[to].pair == scenario->blocks[from].pair; to++)
			;
		filter_pair(scenario, from, to);
	}
}

static void judge_blocks(struct rh_gate_scenario *scenario, enum rh_gate_metric metric)
{
	double *values = calloc(scenario->block_count + 1, sizeof(*values));
	uint32_t *pair_of = calloc(scenario->block_count + 1, sizeof(*pair_of));
	size_t count = 0;

	for (size_t i = 0; values && pair_of && i < scenario->block_count; i++) {
		const struct rh_gate_block *block = &scenario->blocks[i];

		if (block->dropped || !isfinite(block->d[metric]))
			continue;
		pair_of[count] = block->pair;
		values[count++] = block->d[metric];
	}
	rh_gate_decide(&scenario->result[metric].rule, values, pair_of, count,
		       &scenario->result[metric].look);
	if (scenario->stored && metric == RH_GATE_WALL)
		rh_gate_decide_stored(&scenario->result[metric].rule, scenario->stored_median,
				      scenario->stored_half, &scenario->result[metric].look);
	free(values);
	free(pair_of);
}

/* One number a pair and little noise: FAIL when every pair is over the threshold (and over the
 * slack), PASS when the median pair is not. Interval: from the least to the largest pair. */
static void judge_pairs(struct rh_gate_scenario *scenario, enum rh_gate_metric metric)
{
	struct rh_gate_result *result = &scenario->result[metric];
	struct rh_gate_look *look = &result->look;
	double *ratios = calloc(scenario->pair_count + 1, sizeof(*ratios));
	size_t count = 0, over = 0;

	*look = (struct rh_gate_look){ .verdict = RH_GATE_INCONCLUSIVE, .median = NAN,
				       .lo = -INFINITY, .hi = INFINITY,
				       .margin = log1p(result->rule.threshold) };
	for (size_t p = 0; ratios && p < scenario->pair_count; p++) {
		double a = scenario->pairs[p].value[0][metric];
		double b = scenario->pairs[p].value[1][metric];
		double slack = rh_gate_metric_rows[metric].slack;

		/* The slack is added to both: little on little is no regression. */
		ratios[count] = log(b + slack) - log(a + slack);
		over += ratios[count++] > look->margin;
	}
	if (count) {
		rh_stat_sort(ratios, count);
		look->median = rh_stat_median(ratios, count);
		look->lo = ratios[0];
		look->hi = ratios[count - 1];
	}
	look->pairs = (unsigned)count;
	if (count >= result->rule.pairs_min)
		look->verdict = over == count ? RH_GATE_FAIL :
				look->median <= look->margin ? RH_GATE_PASS : RH_GATE_INCONCLUSIVE;
	look->more = look->verdict == RH_GATE_INCONCLUSIVE &&
		     count < result->rule.pairs_max;
	free(ratios);
}

/* The worst of two, for what a script should act on. */
static enum rh_gate_verdict worse(enum rh_gate_verdict a, enum rh_gate_verdict b)
{
	static const int rank[] = { [RH_GATE_PASS] = 0, [RH_GATE_INCONCLUSIVE] = 1,
				    [RH_GATE_NO_BASELINE] = 2, [RH_GATE_INVALID] = 3,
				    [RH_GATE_FAIL] = 4 };

	return rank[a] > rank[b] ? a : b;
}

static void judge_improvement(const struct rh_gate_config *config,
			      struct rh_gate_scenario *scenario)
{
	const struct rh_gate_look *wall = &scenario->result[RH_GATE_WALL].look;

	if (config->improve <= 0 || !(wall->hi < log1p(-config->improve)))
		return;
	scenario->verdict = worse(scenario->verdict, RH_GATE_INVALID);
	snprintf(scenario->why, sizeof(scenario->why), "suspicious improvement: the candidate is "
		 "%.1f %% faster, more than --improve-check %.0f %% allows; does it do the work?",
		 -100 * expm1(wall->median), 100 * config->improve);
}

static void judge_budget(const struct rh_gate_config *config, struct rh_gate_scenario *scenario)
{
	double *ns = calloc(scenario->pair_count + 1, sizeof(*ns)), median;

	for (size_t p = 0; ns && p < scenario->pair_count; p++)
		ns[p] = scenario->pairs[p].ns_per_event[1];
	rh_stat_sort(ns, ns ? scenario->pair_count : 0);
	median = rh_stat_median(ns, ns ? scenario->pair_count : 0);
	free(ns);
	if (config->budget_ns <= 0 || !(median > config->budget_ns))
		return;
	scenario->verdict = worse(scenario->verdict, RH_GATE_FAIL);
	snprintf(scenario->why, sizeof(scenario->why),
		 "over its budget: %.1f ns per event, allowed are %.1f", median,
		 config->budget_ns);
}

static double threshold_of(const struct rh_gate_config *config,
			   const struct rh_gate_scenario *scenario, int metric)
{
	double asked = config->metric_threshold[metric];

	return scenario->apart && metric < RH_GATE_PAIRED && asked < RH_GATE_APART_THRESHOLD ?
	       RH_GATE_APART_THRESHOLD : asked;
}

void rh_gate_judge_scenario(const struct rh_gate_config *config, struct rh_gate_scenario *scenario,
			    unsigned tests)
{
	bool measured = scenario->block_count > 0;

	if (scenario->broken)
		return;
	scenario->verdict = RH_GATE_PASS;
	scenario->why[0] = '\0';
	if (config->tier != RH_TIER_WALL) {
		rh_gate_judge_counts(config, scenario);
		scenario->verdict = scenario->counts_verdict;
	}
	if (config->tier == RH_TIER_DETERMINISTIC)
		return;
	if (!measured) {
		scenario->verdict = worse(scenario->verdict, RH_GATE_INCONCLUSIVE);
		return;
	}
	filter(scenario);
	for (int m = 0; m < RH_GATE_METRICS; m++) {
		struct rh_gate_result *result = &scenario->result[m];

		result->gates = config->metric_gates[m];
		result->rule = (struct rh_gate_rule){
			.threshold = threshold_of(config, scenario, m), .alpha = config->alpha,
			.tests = tests, .pairs_min = (unsigned)config->pairs_min,
			.pairs_max = (unsigned)config->pairs_max,
		};
		if (m < RH_GATE_PAIRED)
			judge_blocks(scenario, (enum rh_gate_metric)m);
		else
			judge_pairs(scenario, (enum rh_gate_metric)m);
		if (result->gates)
			scenario->verdict = worse(scenario->verdict, result->look.verdict);
	}
	judge_improvement(config, scenario);
	judge_budget(config, scenario);
}

void rh_gate_judge(struct rh_gate *gate)
{
	static const enum rh_exit codes[] = {
		[RH_GATE_PASS] = RH_OK, [RH_GATE_FAIL] = RH_FAILED,
		[RH_GATE_INCONCLUSIVE] = RH_INCONCLUSIVE, [RH_GATE_NO_BASELINE] = RH_NO_BASELINE,
		[RH_GATE_INVALID] = RH_INVALID,
	};

	gate->verdict = gate->scenario_count ? RH_GATE_PASS : RH_GATE_INVALID;
	for (size_t i = 0; i < gate->scenario_count; i++) {
		rh_gate_judge_scenario(&gate->config, &gate->scenarios[i],
				       rh_gate_tests(&gate->config, gate->scenario_count));
		gate->verdict = worse(gate->verdict, gate->scenarios[i].verdict);
	}
	gate->exit = codes[gate->verdict];
	if (gate->verdict == RH_GATE_INCONCLUSIVE && gate->config.inconclusive_passes)
		gate->exit = RH_OK;
	if (gate->verdict == RH_GATE_INCONCLUSIVE && gate->config.inconclusive_fails)
		gate->exit = RH_FAILED;
}

/* ---- one scenario ---- */

static bool open_question(const struct rh_gate_scenario *scenario)
{
	for (int m = 0; m < RH_GATE_METRICS; m++)
		if (scenario->result[m].gates && scenario->result[m].look.more)
			return true;
	return false;
}

/* *lanes: 0 as recorded, LANES_DEFAULT the same but at most one per CPU; it comes back as 0
 * or what the trace was folded onto. */
static int compile(const struct rh_gate_config *config, struct rh_gate_scenario *scenario,
		   uint32_t *lanes, struct rh_program *program, struct rh_compile_stats *stats,
		   struct rh_err *err)
{
	struct rh_compile_options options = { .lanes = *lanes == LANES_DEFAULT ? 0 : *lanes,
					      .grain_events = GRAIN_EVENTS,
					      .epoch_events = EPOCH_EVENTS,
					      .touch = config->touch == RH_TOUCH_RECORDED };
	const struct rh_program_head *head;

	if (rh_compile(scenario->trace, &options, program, stats, err) < 0)
		return -1;
	if (*lanes == LANES_DEFAULT && program->head->lanes > rh_cpu_count()) {
		rh_program_unmap(program);
		options.lanes = rh_cpu_count();
		if (rh_compile(scenario->trace, &options, program, stats, err) < 0)
			return -1;
	}
	*lanes = options.lanes;
	head = program->head;
	scenario->lanes = head->lanes;
	scenario->lanes_recorded = head->lanes_recorded;
	scenario->events = head->events;
	scenario->objects = head->objects;
	scenario->live_bytes_peak = head->live_bytes_peak;
	snprintf(scenario->sha256, sizeof(scenario->sha256), "%s", head->trace_sha256);
	return 0;
}

static int check_program(const struct rh_gate *gate, struct rh_gate_scenario *scenario,
			 const struct rh_compile_stats *stats, struct rh_err *err)
{
	double memory = (double)gate->host.memory_bytes, live = (double)scenario->live_bytes_peak;
	double two = gate->config.memory_bytes ? (double)gate->config.memory_bytes :
						 MEMORY_SHARE * memory;


	if (stats->truncated)
		return rh_fail(err, RH_INVALID, "%s", stats->truncated);
	if (scenario->objects == 0)
		return rh_fail(err, RH_INVALID, "%s allocates nothing", scenario->trace);
	if (live > MEMORY_SHARE_ONE * memory)
		return rh_fail(err, RH_INVALID, "%s holds %.0f MiB, too much for this machine's "
			       "%.0f MiB: cut the trace (reheap cut) or take a larger machine",
			       scenario->trace, live / MIB, memory / MIB);
	scenario->apart = 2 * live > two;
	if (scenario->apart)
		snprintf(scenario->note, sizeof(scenario->note), "one process at a time, whole "
			 "passes: two heaps of %.0f MiB would be more than %.0f MiB (--memory); "
			 "times are judged at %.0f %% at best", live / MIB, two / MIB,
			 100 * RH_GATE_APART_THRESHOLD);
	return 0;
}

/* More pairs until no question is open; those that were kept have been looked at. */
static int run_pairs(struct rh_gate *gate, struct rh_gate_bench *bench,
		     struct rh_gate_scenario *scenario, unsigned tests, struct rh_err *err)
{
	const struct rh_gate_config *config = &gate->config;
	double before = scenario->seconds;
	uint64_t since = rh_now_ns();
	size_t p;

	while ((p = scenario->pair_count) < config->pairs_max) {
		if (p >= config->pairs_min) {
			rh_gate_judge_scenario(config, scenario, tests);
			if (!open_question(scenario))
				break;
		}
		rh_progress("%s, %u lane%s: pair %zu, %.1f %% slower so far", scenario->trace,
			    scenario->lanes, scenario->lanes == 1 ? "" : "s", p + 1,
			    p >= config->pairs_min ?
			    100 * expm1(scenario->result[RH_GATE_WALL].look.median) : 0.0);
		if ((scenario->apart ? rh_gate_pair_apart(bench, scenario, err) :
				       rh_gate_pair(bench, scenario, err)) < 0)
			return -1;
		scenario->seconds = before + (double)(rh_now_ns() - since) / 1e9;
		if (rh_gate_keep(gate, err) < 0)
			return -1;
		scenario->seconds = before;
	}
	return 0;
}

static int measure(struct rh_gate *gate, struct rh_gate_scenario *scenario, uint32_t lanes,
		   struct rh_program *program, unsigned tests, struct rh_err *err)
{
	struct rh_gate_config *config = &gate->config;
	struct rh_compile_stats stats = { 0 };
	struct rh_gate_units units = { 0 };
	struct rh_gate_bench bench = { .config = config, .clock = &gate->clock,
				       .side = gate->side, .program = program, .units = &units,
				       .random = config->seed };
	int result;

	if (compile(config, scenario, &lanes, program, &stats, err) < 0)
		return -1;
	bench.folded = lanes != 0;
	if (config->stored && rh_gate_match_stored(gate, scenario, err) < 0)
		return -1;
	result = check_program(gate, scenario, &stats, err);
	if (result == 0)
		result = rh_gate_take_kept(gate, scenario, err);
	bench.random += scenario->pair_count;
	for (int s = 0; s < 2 && result == 0 && !config->no_verify; s++)
		result = rh_gate_verify(&bench, s, err);
	if (result == 0 && config->tier != RH_TIER_WALL)
		rh_gate_count(gate, scenario, program, bench.folded);
	if (result == 0 && config->tier != RH_TIER_DETERMINISTIC)
		result = run_pairs(gate, &bench, scenario, tests, err);
	rh_gate_units_free(&units);
	free(bench.solo_ticks);
	return result;
}

/* A failure of one scenario is its verdict. Only what says nothing about the candidate ends
 * the gate: interrupts, and a trace that cannot be read. */
static int run_scenario(struct rh_gate *gate, struct rh_gate_scenario *scenario, uint32_t lanes,
			unsigned tests, struct rh_err *err)
{
	struct rh_program program = { .fd = -1 };
	struct rh_err why = { 0 };
	uint64_t since = rh_now_ns();

	if (measure(gate, scenario, lanes, &program, tests, &why) < 0) {
		scenario->verdict = why.code == RH_INCONCLUSIVE ? RH_GATE_INCONCLUSIVE :
				    why.code == RH_NO_INPUT || why.code == RH_NO_BASELINE ?
			    RH_GATE_NO_BASELINE : RH_GATE_INVALID;
		snprintf(scenario->why, sizeof(scenario->why), "%s", why.text);
		scenario->broken = true;
	}
	rh_program_unmap(&program);
	scenario->seconds += (double)(rh_now_ns() - since) / 1e9;
	if (rh_interrupted)
		return rh_fail(err, RH_INVALID, "interrupted%s%s%s", gate->config.resume ?
			       ": the same command goes on from " : "",
			       gate->config.resume ? gate->config.resume : "",
			       gate->config.resume ? ", where its samples are" : "");
	return 0;
}

/* ---- the plan ---- */

static int add_scenarios(struct rh_gate *gate, uint32_t **lanes, struct rh_err *err)
{
	const char *list = gate->config.lanes ? gate->config.lanes : "default";
	char *copy = strdup(list), *at = NULL;
	size_t count = 0;
	uint64_t value;

	for (char *word = strtok_r(copy, ",", &at); word; word = strtok_r(NULL, ",", &at)) {
		if (strcmp(word, "recorded") == 0)
			value = 0;
		else if (strcmp(word, "default") == 0)
			value = LANES_DEFAULT;
		else if (rh_parse_uint(word, &value, NULL) < 0 || value == 0 ||
			 value > RH_CTL_SEATS_MAX) {
			rh_fail(err, RH_USAGE, "--lanes takes numbers from 1 to %d or the word "
				"recorded, not '%s'", RH_CTL_SEATS_MAX, word);
			free(copy);
			return -1;
		}
		for (uint32_t t = 0; t < gate->config.trace_count; t++) {
			struct rh_gate_scenario *row = rh_grow(&gate->scenarios,
							       &gate->scenario_count,
							       sizeof(*row));

			row->trace = gate->config.traces[t];
			*(uint32_t *)rh_grow(lanes, &count, sizeof(uint32_t)) = (uint32_t)value;
		}
	}
	free(copy);
	return gate->scenario_count ? 0 : rh_fail(err, RH_USAGE, "--lanes '%s' names none", list);
}

static void warn_of_host(struct rh_gate *gate)
{
	const struct rh_gate_side *a = &gate->side[0], *b = &gate->side[1];

	if (gate->clock.why)
		rh_gate_warn(gate, "clock is %s: %s", gate->clock.name, gate->clock.why);
	if (a->heap_build_id[0] && strcmp(a->heap_build_id, b->heap_build_id) == 0 &&
	    strcmp(a->spec->text, b->spec->text) == 0)
		rh_gate_warn(gate, "baseline and candidate are the same build (%.12s): this run "
			     "can only show that the gate does not cry wolf", a->heap_build_id);
	for (size_t i = 0; i < gate->scenario_count; i++)
		if (gate->scenarios[i].lanes > gate->host.cpus_allowed)
			rh_gate_warn(gate, "%s: %u lanes on %u CPUs: times contain the scheduler's "
				     "work", gate->scenarios[i].trace, gate->scenarios[i].lanes,
				     gate->host.cpus_allowed);
}

int rh_gate_run(struct rh_gate *gate, struct rh_err *err)
{
	uint64_t since = rh_now_ns();
	uint32_t *lanes = NULL;
	int result = add_scenarios(gate, &lanes, err);

	if (result == 0)
		result = rh_gate_open_kept(gate, err);
	for (size_t i = 0; result == 0 && i < gate->scenario_count; i++)
		result = run_scenario(gate, &gate->scenarios[i], lanes[i],
				      rh_gate_tests(&gate->config, gate->scenario_count), err);
	free(lanes);
	gate->seconds += (double)(rh_now_ns() - since) / 1e9;
	rh_gate_close_kept(gate, result == 0);
	if (result < 0)
		return -1;
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
