/*
 * cause.c - where a FAIL comes from: a few lines for each family of metrics that failed.
 *
 * A candidate may start later and be slower, for two reasons. So metrics that fail for one reason
 * are a family, and each family that fails in any scenario is explained, where it failed most.
 * Time and memory take a replay of both sides (cause_replay.c). The other families need none: what
 * was measured of the pairs says where to look, in ms, MiB or counts.
 */
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "alloc/base/clock.h"
#include "ci/gate/cause.h"
#include "ci/gate/live.h"
#include "ci/gate/report.h"
#include "harness/result/stat.h"

#define MIB		1048576.0
#define REPLAY_NS	(60 * 1000000000ull) /* of one family */
#define REPLAY_NS_LEAST (8 * 1000000000ull)  /* left of a budget */

void rh_gate_cause_say(struct rh_gate_cause *cause, const char *by, const char *fmt, ...)
{
	va_list ap;

	if (cause->line_count == RH_GATE_CAUSE_LINES)
		return;
	cause->line[cause->line_count].by = by;
	va_start(ap, fmt);
	vsnprintf(cause->line[cause->line_count++].text, RH_GATE_CAUSE_BYTES, fmt, ap);
	va_end(ap);
}

/* ---- which family ---- */

static enum rh_gate_family family_of(int metric)
{
	switch (metric) {
	case RH_GATE_RSS:
	case RH_GATE_FAULTS:
		return RH_GATE_FAMILY_MEMORY;
	case RH_GATE_MOVED:
		return RH_GATE_FAMILY_MOVES;
	case RH_GATE_STARTUP:
	case RH_GATE_IMAGE:
		return RH_GATE_FAMILY_START;
	case RH_GATE_END:
		return RH_GATE_FAMILY_END;
	case RH_GATE_PROCESS:
	case RH_GATE_BACKGROUND:
		return RH_GATE_FAMILY_PROCESS;
	case RH_GATE_FILES:
	case RH_GATE_THREADS:
	case RH_GATE_MAPS:
	case RH_GATE_CHILDREN:
	case RH_GATE_CHANGES:
		return RH_GATE_FAMILY_REST;
	default:
		return RH_GATE_FAMILY_TIME;
	}
}

static enum rh_gate_family family_of_count(const struct rh_gate_count *row)
{
	return strcmp(row->source, "own") == 0 ? RH_GATE_FAMILY_CALLS : RH_GATE_FAMILY_TIME;
}

static bool has_failed(const struct rh_gate_scenario *scenario, int metric)
{
	return scenario->result[metric].gates &&
	       scenario->result[metric].look.verdict == RH_GATE_FAIL;
}

/* By how many limits it failed, of the worst metric of the family; 0: it did not. */
static double excess(const struct rh_gate_scenario *scenario, enum rh_gate_family family)
{
	double most = 0;

	for (int m = 0; m < RH_GATE_METRICS; m++)
		if (family_of(m) == family && has_failed(scenario, m))
			most = fmax(most, scenario->result[m].look.median /
						  log1p(scenario->result[m].rule.threshold));
	for (size_t i = 0; i < scenario->count_count; i++) {
		const struct rh_gate_count *row = &scenario->counts[i];

		if (family_of_count(row) == family && row->failed)
			most = fmax(most, row->baseline > 0 ? log(row->candidate / row->baseline) /
								      log1p(row->limit)
							    : INFINITY);
	}
	return most;
}

static void append(char *text, size_t bytes, const char *word)
{
	size_t used = strlen(text);

	snprintf(text + used, bytes - used, "%s%s", used ? ", " : "", word);
}

static void name_failed(struct rh_gate_cause *cause)
{
	const struct rh_gate_scenario *of = cause->of;

	cause->failed[0] = '\0';
	for (int m = 0; m < RH_GATE_METRICS; m++)
		if (family_of(m) == cause->family && has_failed(of, m))
			append(cause->failed, sizeof(cause->failed), rh_gate_metric_rows[m].name);
	for (size_t i = 0; i < of->count_count; i++)
		if (family_of_count(&of->counts[i]) == cause->family && of->counts[i].failed)
			append(cause->failed, sizeof(cause->failed), of->counts[i].name);
}

/* Finds where the family failed most. False: nowhere. */
static bool find_worst(const struct rh_gate *gate, struct rh_gate_cause *cause)
{
	double most = 0;
	unsigned failed = 0;

	for (size_t i = 0; i < gate->scenario_count; i++) {
		const struct rh_gate_scenario *scenario = &gate->scenarios[i];
		double by = scenario->verdict == RH_GATE_FAIL ? excess(scenario, cause->family) : 0;

		failed += by > 0;
		if (by > most) {
			most = by;
			cause->of = scenario;
		}
	}
	cause->elsewhere = failed ? failed - 1 : 0;
	return failed > 0;
}

/* ---- from what the pairs measured ---- */

/* Median over pairs; NaN: not measured. */
static double middle(const struct rh_gate_cause *cause, int metric, int side)
{
	const struct rh_gate_scenario *of = cause->of;
	double *values = calloc(of->pair_count + 1, sizeof(*values)), median;
	size_t count = 0;

	for (size_t p = 0; values && p < of->pair_count; p++)
		if (isfinite(of->pairs[p].value[side][metric]))
			values[count++] = of->pairs[p].value[side][metric];
	if (values)
		rh_stat_sort(values, count);
	median = count ? rh_stat_median(values, count) : NAN;
	free(values);
	return median;
}

static double grown(const struct rh_gate_cause *cause, int metric)
{
	return middle(cause, metric, 1) - middle(cause, metric, 0);
}

static void say_part(struct rh_gate_cause *cause)
{
	double change;
	char name[60];

	if (!has_failed(cause->of, RH_GATE_PART) ||
	    !rh_gate_slowest_part(cause->of, &change, name, sizeof(name)))
		return;
	rh_gate_cause_say(cause, "part", "%s: %+.1f %% of wall time, %+.1f %% over all", name,
			  100 * expm1(change),
			  100 * expm1(cause->of->result[RH_GATE_WALL].look.median));
}

static void say_start(struct rh_gate_cause *cause)
{
	if (has_failed(cause->of, RH_GATE_STARTUP))
		rh_gate_cause_say(cause, "start",
				  "%.1f ms until the heap is open, before %.1f ms: constructors, "
				  "libraries it links",
				  middle(cause, RH_GATE_STARTUP, 1) / 1e6,
				  middle(cause, RH_GATE_STARTUP, 0) / 1e6);
	if (has_failed(cause->of, RH_GATE_IMAGE))
		rh_gate_cause_say(cause, "image",
				  "%.1f MiB resident at the start, before %.1f MiB: the library's "
				  "own pages",
				  middle(cause, RH_GATE_IMAGE, 1) / MIB,
				  middle(cause, RH_GATE_IMAGE, 0) / MIB);
}

static void say_end(struct rh_gate_cause *cause)
{
	rh_gate_cause_say(cause, "end",
			  "%.1f ms from the last free to the end, before %.1f ms: destructors, "
			  "threads that must end",
			  middle(cause, RH_GATE_END, 1) / 1e6, middle(cause, RH_GATE_END, 0) / 1e6);
}

/* Both values of `background` have the same life in them, so their difference is of CPU time. */
static void say_process(struct rh_gate_cause *cause)
{
	rh_gate_cause_say(cause, "process",
			  "%.2f s of CPU, before %.2f; start %+.2f s, end %+.2f s, threads that "
			  "are no lanes %+.2f s",
			  middle(cause, RH_GATE_PROCESS, 1) / 1e9,
			  middle(cause, RH_GATE_PROCESS, 0) / 1e9,
			  grown(cause, RH_GATE_STARTUP) / 1e9, grown(cause, RH_GATE_END) / 1e9,
			  grown(cause, RH_GATE_BACKGROUND) / 1e9);
}

static void say_moves(struct rh_gate_cause *cause)
{
	rh_gate_cause_say(cause, "resize",
			  "%.1f MiB of blocks put elsewhere, before %.1f MiB: less is resized in "
			  "place",
			  middle(cause, RH_GATE_MOVED, 1) / MIB,
			  middle(cause, RH_GATE_MOVED, 0) / MIB);
}

static void say_rest(struct rh_gate_cause *cause, const struct rh_gate *gate)
{
	static const struct {
		int metric;
		const char *where;
	} rows[] = {
		{ RH_GATE_FILES, "open at the end of the last pass" },
		{ RH_GATE_THREADS, "at the end of the last pass" },
		{ RH_GATE_MAPS, "at the end of the last pass: not unmapped, or split" },
		{ RH_GATE_CHILDREN, "processes started" },
	};
	char changes[200];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (has_failed(cause->of, rows[i].metric))
			rh_gate_cause_say(cause, rh_gate_metric_rows[rows[i].metric].name,
					  "%.0f, before %.0f: %s", middle(cause, rows[i].metric, 1),
					  middle(cause, rows[i].metric, 0), rows[i].where);
	if (!has_failed(cause->of, RH_GATE_CHANGES))
		return;
	rh_worker_changes(gate->side[1].changed & ~gate->side[0].changed, changes, sizeof(changes));
	rh_gate_cause_say(cause, "changes", "it changed of its process: %s", changes);
}

/* ---- from counts ---- */

/* All calls of memory together are a row, too, and so are faults: both fail, single calls do not.
 */
static void say_calls(struct rh_gate_cause *cause)
{
	const struct rh_gate_count *most = NULL;

	for (size_t i = 0; i < cause->of->count_count; i++) {
		const struct rh_gate_count *row = &cause->of->counts[i];

		if (family_of_count(row) != RH_GATE_FAMILY_CALLS)
			continue;
		if (row->failed)
			rh_gate_cause_say(cause, row->name, "%.3f, before %.3f (%s)",
					  row->candidate, row->baseline, row->unit);
		else if (row->limit <= 0 && (!most || row->candidate - row->baseline >
							      most->candidate - most->baseline))
			most = row;
	}
	if (most && most->candidate > most->baseline)
		rh_gate_cause_say(cause, "call", "%s grew most: %.3f, before %.3f (%s)", most->name,
				  most->candidate, most->baseline, most->unit);
}

/* ---- all ---- */

/* Why nothing is replayed; NULL when it is. */
static const char *no_replay(const struct rh_gate *gate)
{
	if (gate->config.budget_time_ns && rh_now_ns() + REPLAY_NS_LEAST > gate->deadline_ns)
		return "not looked for: --budget is spent but for a few seconds";
	if (strchr(gate->config.baseline, ',') || strchr(gate->config.candidate, ','))
		return "not looked for: a comma in a backend's name";
	return NULL;
}

static void replay(const struct rh_gate *gate, struct rh_gate_cause *cause)
{
	const char *why = no_replay(gate);
	uint64_t deadline = rh_now_ns() + REPLAY_NS;

	if (gate->config.budget_time_ns && gate->deadline_ns < deadline)
		deadline = gate->deadline_ns;
	if (why)
		rh_gate_cause_say(cause, "replay", "%s", why);
	else
		rh_gate_cause_replay(gate, cause, deadline);
}

static void explain(const struct rh_gate *gate, struct rh_gate_cause *cause)
{
	switch (cause->family) {
	case RH_GATE_FAMILY_TIME:
		replay(gate, cause);
		say_part(cause);
		break;
	case RH_GATE_FAMILY_MEMORY:
		replay(gate, cause);
		break;
	case RH_GATE_FAMILY_CALLS:
		say_calls(cause);
		break;
	case RH_GATE_FAMILY_MOVES:
		say_moves(cause);
		break;
	case RH_GATE_FAMILY_START:
		say_start(cause);
		break;
	case RH_GATE_FAMILY_END:
		say_end(cause);
		break;
	case RH_GATE_FAMILY_PROCESS:
		say_process(cause);
		break;
	case RH_GATE_FAMILY_REST:
		say_rest(cause, gate);
		break;
	case RH_GATE_FAMILIES:
		break;
	}
}

/* No metric failed, so what did is the absolute limit of a policy: the candidate's time. */
static void explain_budget(struct rh_gate *gate)
{
	struct rh_gate_cause *cause = &gate->causes[gate->cause_count];

	*cause = (struct rh_gate_cause){ .family = RH_GATE_FAMILY_TIME, .of = rh_gate_worst(gate) };
	if (!cause->of)
		return;
	append(cause->failed, sizeof(cause->failed), "budget");
	explain(gate, cause);
	gate->cause_count++;
}

void rh_gate_find_causes(struct rh_gate *gate)
{
	if (gate->verdict != RH_GATE_FAIL || gate->config.stored)
		return;
	for (int f = 0; f < RH_GATE_FAMILIES; f++) {
		struct rh_gate_cause *cause = &gate->causes[gate->cause_count];

		*cause = (struct rh_gate_cause){ .family = (enum rh_gate_family)f };
		if (!find_worst(gate, cause))
			continue;
		name_failed(cause);
		explain(gate, cause);
		gate->cause_count++;
	}
	if (gate->cause_count == 0)
		explain_budget(gate);
}
