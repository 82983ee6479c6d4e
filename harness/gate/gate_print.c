/*
 * gate_print.c - the verdict for a person: first the answer, then what it rests on.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "harness/gate/gate_tell.h"

void rh_gate_scenario_name(const struct rh_gate_scenario *scenario, char *text, size_t bytes)
{
	const char *slash = strrchr(scenario->trace, '/');

	snprintf(text, bytes, "%s, %u lane%s", slash ? slash + 1 : scenario->trace,
		 scenario->lanes, scenario->lanes == 1 ? "" : "s");
}

/* "+5.1 %" of a logarithm; "?" where there is none. */
static void percent(double log_ratio, char *text, size_t bytes)
{
	if (isfinite(log_ratio))
		snprintf(text, bytes, "%+.1f %%", 100 * expm1(log_ratio));
	else
		snprintf(text, bytes, "%s", log_ratio < 0 ? "-inf" : log_ratio > 0 ? "+inf" : "?");
}

static void say_metric(const struct rh_gate_scenario *scenario, int metric, char *text,
		       size_t bytes)
{
	const struct rh_gate_look *look = &scenario->result[metric].look;
	char lo[24], hi[24];

	percent(look->lo, lo, sizeof(lo));
	percent(look->hi, hi, sizeof(hi));
	snprintf(text, bytes, "%s %.1f %% %s [%s, %s], limit %+.1f %%",
		 rh_gate_metric_rows[metric].name, fabs(100 * expm1(look->median)),
		 metric < RH_GATE_PAIRED ? look->median > 0 ? "slower" : "faster" :
		 look->median > 0 ? "more" : "less", lo, hi,
		 100 * scenario->result[metric].rule.threshold);
}

static bool say_count(const struct rh_gate_scenario *scenario, char *text, size_t bytes)
{
	for (size_t i = 0; i < scenario->count_count; i++) {
		const struct rh_gate_count *row = &scenario->counts[i];

		if (!row->failed)
			continue;
		snprintf(text, bytes, "%s: %.3f %s, the baseline has %.3f (%+.2f %%, allowed "
			 "%+.1f %%)", row->name, row->candidate, row->unit, row->baseline,
			 100 * (row->candidate / row->baseline - 1), 100 * row->limit);
		return true;
	}
	return false;
}

void rh_gate_sentence(const struct rh_gate_scenario *scenario, char *text, size_t bytes)
{
	if (scenario->why[0]) {
		snprintf(text, bytes, "%s", scenario->why);
		return;
	}
	if (say_count(scenario, text, bytes))
		return;
	for (int m = 0; m < RH_GATE_METRICS; m++) {
		if (!scenario->block_count || !scenario->result[m].gates ||
		    scenario->result[m].look.verdict != scenario->verdict)
			continue;
		say_metric(scenario, m, text, bytes);
		return;
	}
	if (scenario->count_count)
		snprintf(text, bytes, "%s %.2f %s, the baseline has %.2f (%+.2f %%)",
			 scenario->counts[0].name, scenario->counts[0].candidate,
			 scenario->counts[0].unit, scenario->counts[0].baseline,
			 100 * (scenario->counts[0].candidate / scenario->counts[0].baseline - 1));
	else
		snprintf(text, bytes, "nothing was measured");
}

const struct rh_gate_scenario *rh_gate_worst(const struct rh_gate *gate)
{
	const struct rh_gate_scenario *worst = NULL;

	for (size_t i = 0; i < gate->scenario_count; i++) {
		const struct rh_gate_scenario *row = &gate->scenarios[i];

		if (row->verdict != gate->verdict)
			continue;
		if (!worst || row->result[RH_GATE_WALL].look.median >
			      worst->result[RH_GATE_WALL].look.median)
			worst = row;
	}
	return worst;
}

static void print_metrics(const struct rh_gate_scenario *scenario, FILE *to)
{
	fprintf(to, "  %-14s %9s  %-20s %8s  %s\n", "metric", "change", "interval", "limit",
		"verdict");
	for (int m = 0; m < RH_GATE_METRICS; m++) {
		const struct rh_gate_result *result = &scenario->result[m];
		char change[24], lo[24], hi[24], interval[64];

		percent(result->look.median, change, sizeof(change));
		percent(result->look.lo, lo, sizeof(lo));
		percent(result->look.hi, hi, sizeof(hi));
		snprintf(interval, sizeof(interval), "[%s, %s]", lo, hi);
		fprintf(to, "  %-14s %9s  %-20s %+6.1f %%  %s%s%s\n", rh_gate_metric_rows[m].name,
			change, interval, 100 * result->rule.threshold,
			rh_gate_verdict_name(result->look.verdict),
			result->gates ? "" : " (does not gate)",
			result->look.clustered ? ", by pairs" : "");
	}
}

static void print_counts(const struct rh_gate_scenario *scenario, FILE *to)
{
	if (scenario->count_count == 0)
		return;
	fprintf(to, "  %-14s %12s %12s %9s %8s  %s\n", "count", "baseline", "candidate", "change",
		"limit", "verdict");
	for (size_t i = 0; i < scenario->count_count; i++) {
		const struct rh_gate_count *row = &scenario->counts[i];

		fprintf(to, "  %-14s %12.4f %12.4f ", row->name, row->baseline, row->candidate);
		if (row->baseline > 0)
			fprintf(to, "%+7.2f %% ", 100 * (row->candidate / row->baseline - 1));
		else
			fprintf(to, "%9s ", "-");
		if (row->limit > 0)
			fprintf(to, "%+6.1f %%  %s", 100 * row->limit,
				row->failed ? "fail" : "pass");
		else
			fprintf(to, "%8s  reported", "");
		fprintf(to, "  (%s)\n", row->unit);
	}
}

static void print_work(const struct rh_gate_scenario *scenario, unsigned pairs, FILE *to)
{
	if (scenario->apart)
		fprintf(to, "  %u blocks of four processes, one at a time, passes of %.1f ms, "
			"%.1f s\n", pairs, scenario->unit_ns / 1e6, scenario->seconds);
	else
		fprintf(to, "  %u pairs of processes, %zu blocks (%zu dropped), turns of %.2f ms "
			"after %zu unit%s of warm-up, %u passes, %.1f s\n", pairs,
			scenario->block_count, scenario->dropped, scenario->unit_ns / 1e6,
			scenario->lead, scenario->lead == 1 ? "" : "s", scenario->passes,
			scenario->seconds);
}

static void print_scenario(const struct rh_gate_scenario *scenario, FILE *to)
{
	static const char *const words[] = { "PASS", "FAIL", "INCONCLUSIVE", "NO BASELINE",
					     "INVALID" };
	char name[300], sentence[900];
	unsigned p = scenario->result[RH_GATE_WALL].look.pairs;

	rh_gate_scenario_name(scenario, name, sizeof(name));
	rh_gate_sentence(scenario, sentence, sizeof(sentence));
	fprintf(to, "%s  %s: %s\n", words[scenario->verdict], name, sentence);
	if (scenario->block_count) {
		print_work(scenario, p, to);
		print_metrics(scenario, to);
	}
	print_counts(scenario, to);
	if (scenario->calls_absent[0])
		fprintf(to, "  system calls are absent, because %s\n", scenario->calls_absent);
	if (scenario->disturbed_unevenly)
		fprintf(to, "  one side waits for a CPU far more often than the other: nothing was "
			"dropped (is it blocking?)\n");
	if (scenario->result[RH_GATE_WALL].look.layout)
		fprintf(to, "  not failed, because only %u of %u pairs are slower: a matter of "
			"layout\n", scenario->result[RH_GATE_WALL].look.pairs_above, p);
	if (scenario->note[0])
		fprintf(to, "  %s\n", scenario->note);
}

void rh_gate_print(const struct rh_gate *gate, FILE *to)
{
	fprintf(to, "baseline  %s\ncandidate %s\n\n", gate->side[0].label, gate->side[1].label);
	for (size_t i = 0; i < gate->scenario_count; i++) {
		print_scenario(&gate->scenarios[i], to);
		fprintf(to, "\n");
	}
	if (gate->config.tier != RH_TIER_DETERMINISTIC)
		fprintf(to, "Changes are medians of paired ratios. FAIL: the interval is beyond "
			"half the limit; PASS: short of it.\n");
	for (size_t i = 0; i < gate->warning_count; i++)
		fprintf(to, "note: %s\n", gate->warnings[i]);
}

void rh_gate_print_line(const struct rh_gate *gate, FILE *to)
{
	const struct rh_gate_scenario *worst = rh_gate_worst(gate);
	const struct rh_gate_look *look = worst ? &worst->result[RH_GATE_WALL].look : NULL;
	double ir = 0;

	fprintf(to, "REHEAP-GATE verdict=%s", rh_gate_verdict_name(gate->verdict));
	if (look && look->blocks)
		fprintf(to, " ratio=%.4f lo=%.4f hi=%.4f pairs=%u blocks=%zu", exp(look->median),
			exp(look->lo), exp(look->hi), look->pairs, look->blocks);
	else
		fprintf(to, " ratio=nan lo=nan hi=nan");
	if (worst && worst->count_count && worst->counts[0].baseline > 0)
		ir = worst->counts[0].candidate / worst->counts[0].baseline;
	if (ir > 0)
		fprintf(to, " instructions=%.5f", ir);
	fprintf(to, " scenarios=%zu exit=%d seconds=%.1f\n", gate->scenario_count, gate->exit,
		gate->seconds);
}
