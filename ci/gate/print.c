/*
 * print.c - the verdict for people: first the answer, then its basis.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ci/gate/report.h"
#include "alloc/base/os.h"
#include "alloc/base/printable.h"
#include "harness/result/stat.h"

/* A gate that takes this many seconds prints where its time went; for a shorter one the whole
 * answer fits on a screen of 24 lines. */
#define SPENT_FROM 10.0
/* Intervals of a few pairs on a busy machine reach to 10^43; beyond this only the order counts. */
#define RATIO_MOST 1000.0

void rh_gate_scenario_name(const struct rh_gate_scenario *scenario, char *text, size_t bytes)
{
	const char *name = rh_base_name(scenario->trace);

	if (scenario->lanes == 0) { /* it was not even compiled */
		snprintf(text, bytes, "%s", name);
		return;
	}
	snprintf(text, bytes, "%s, %u lane%s", name, scenario->lanes,
		 scenario->lanes == 1 ? "" : "s");
}

/* "+5.1 %" of a logarithm; "?" where there is none. */
static void percent(double log_ratio, char *text, size_t bytes)
{
	if (isfinite(log_ratio) && log_ratio > log(RATIO_MOST))
		snprintf(text, bytes, "> x %.0f", RATIO_MOST);
	else if (isfinite(log_ratio))
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
		 metric < RH_GATE_PAIRED ? look->median > 0 ? "slower" : "faster"
		 : look->median > 0	 ? "more"
					 : "less",
		 lo, hi, 100 * scenario->result[metric].rule.threshold);
}

static bool say_count(const struct rh_gate_scenario *scenario, char *text, size_t bytes)
{
	for (size_t i = 0; i < scenario->count_count; i++) {
		const struct rh_gate_count *row = &scenario->counts[i];

		if (!row->failed)
			continue;
		snprintf(text, bytes,
			 "%s: %.3f %s, the baseline has %.3f (%+.2f %%, allowed "
			 "%+.1f %%)",
			 row->name, row->candidate, row->unit, row->baseline,
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
		if (!worst ||
		    row->result[RH_GATE_WALL].look.median > worst->result[RH_GATE_WALL].look.median)
			worst = row;
	}
	return worst;
}

static void print_metrics(const struct rh_gate_scenario *scenario, FILE *to)
{
	rh_print(to, "  %-14s %9s  %-20s %8s  %s\n", "metric", "change", "interval", "limit",
		 "verdict");
	for (int m = 0; m < RH_GATE_METRICS; m++) {
		const struct rh_gate_result *result = &scenario->result[m];
		char change[24], lo[24], hi[24], interval[64];

		if (m >= RH_GATE_LATENCY && result->look.pairs == 0)
			continue; /* not measured, or no such operations */
		percent(result->look.median, change, sizeof(change));
		percent(result->look.lo, lo, sizeof(lo));
		percent(result->look.hi, hi, sizeof(hi));
		snprintf(interval, sizeof(interval), "[%s, %s]", lo, hi);
		rh_print(to, "  %-14s %9s  %-20s %+6.1f %%  %s%s%s\n", rh_gate_metric_rows[m].name,
			 change, interval, 100 * result->rule.threshold,
			 rh_gate_verdict_name(result->look.verdict),
			 result->gates ? "" : " (does not gate)",
			 result->look.by_pairs ? ", by pairs" : "");
	}
}

static void print_counts(const struct rh_gate_scenario *scenario, FILE *to)
{
	if (scenario->count_count == 0)
		return;
	rh_print(to, "  %-14s %12s %12s %9s %8s  %s\n", "count", "baseline", "candidate", "change",
		 "limit", "verdict");
	for (size_t i = 0; i < scenario->count_count; i++) {
		const struct rh_gate_count *row = &scenario->counts[i];

		rh_print(to, "  %-14s %12.4f %12.4f ", row->name, row->baseline, row->candidate);
		if (row->baseline > 0)
			fprintf(to, "%+7.2f %% ", 100 * (row->candidate / row->baseline - 1));
		else
			rh_print(to, "%9s ", "-");
		if (row->limit > 0)
			rh_print(to, "%+6.1f %%  %s", 100 * row->limit,
				 row->failed ? "fail" : "pass");
		else
			rh_print(to, "%8s  reported", "");
		rh_print(to, "  (%s)\n", row->unit);
	}
}

static void print_work(const struct rh_gate_scenario *scenario, unsigned pairs, FILE *to)
{
	bool some = false;

	if (scenario->apart)
		fprintf(to,
			"  %u blocks of four processes, one at a time, passes of %.1f ms, "
			"%.1f s\n",
			pairs, scenario->unit_ns / 1e6, scenario->seconds);
	else
		rh_print(to,
			 "  %u pairs of processes, %zu blocks (%zu dropped), turns of %.2f ms "
			 "after %zu unit%s of warm-up, %u passes, %.1f s\n",
			 pairs, scenario->block_count, scenario->dropped, scenario->unit_ns / 1e6,
			 scenario->lead, scenario->lead == 1 ? "" : "s", scenario->passes,
			 scenario->seconds);
	if (scenario->seconds < SPENT_FROM)
		return;
	fputs("  of them", to);
	for (int p = 0; p < RH_GATE_PARTS; p++)
		if (scenario->spent[p] >= 0.05) {
			rh_print(to, "%s %s %.1f s", some ? "," : "", rh_gate_part_names[p],
				 scenario->spent[p]);
			some = true;
		}
	fputs(some ? "\n" : " hardly any\n", to);
}

/* Median over pairs of the memory that a side holds between passes; 0 = not read. */
static double kept_of(const struct rh_gate_scenario *scenario, int side)
{
	double *values = calloc(scenario->pair_count + 1, sizeof(*values)), median = 0;
	size_t count = 0;

	for (size_t p = 0; values && p < scenario->pair_count; p++)
		if (scenario->pairs[p].kept[side])
			values[count++] = (double)scenario->pairs[p].kept[side];
	if (count) {
		rh_stat_sort(values, count);
		median = rh_stat_median(values, count);
	}
	free(values);
	return median;
}

/* The transition between passes, and the memory that each side holds there. */
static void print_kept(const struct rh_gate_scenario *scenario, FILE *to)
{
	const double mib = 1048576;
	double baseline = kept_of(scenario, 0), candidate = kept_of(scenario, 1);

	if (!(baseline > 0) || !(candidate > 0) || scenario->apart)
		return;
	fprintf(to,
		"  between passes %llu objects of %.1f MiB live on; resident there: baseline "
		"%.1f MiB, candidate %.1f MiB\n",
		(unsigned long long)scenario->live_objects_end,
		(double)scenario->live_bytes_end / mib, baseline / mib, candidate / mib);
}

void rh_gate_print_done(const struct rh_gate_scenario *scenario, FILE *to)
{
	char name[300], sentence[900];

	rh_gate_scenario_name(scenario, name, sizeof(name));
	rh_gate_sentence(scenario, sentence, sizeof(sentence));
	rh_print(to, "done: %s  %s: %s (%.1f s)\n", rh_gate_verdict_name(scenario->verdict), name,
		 sentence, scenario->seconds);
	fflush(to);
}

static void print_scenario(const struct rh_gate_scenario *scenario, FILE *to)
{
	static const char *const words[] = { "PASS", "FAIL", "INCONCLUSIVE", "NO BASELINE",
					     "INVALID" };
	char name[300], sentence[900];
	unsigned p = scenario->result[RH_GATE_WALL].look.pairs;

	rh_gate_scenario_name(scenario, name, sizeof(name));
	rh_gate_sentence(scenario, sentence, sizeof(sentence));
	rh_print(to, "%s  %s: %s\n", words[scenario->verdict], name, sentence);
	if (scenario->block_count) {
		print_work(scenario, p, to);
		print_kept(scenario, to);
		print_metrics(scenario, to);
	}
	print_counts(scenario, to);
	if (scenario->calls_absent[0])
		rh_print(to, "  system calls are absent, because %s\n", scenario->calls_absent);
	if (scenario->disturbed_unevenly)
		fprintf(to, "  one side waits for a CPU far more often than the other: nothing was "
			    "dropped (is it blocking?)\n");
	if (scenario->result[RH_GATE_WALL].look.layout)
		fprintf(to,
			"  not failed, because only %u of %u pairs are slower: a matter of "
			"layout\n",
			scenario->result[RH_GATE_WALL].look.pairs_above, p);
	if (scenario->note[0])
		rh_print(to, "  %s\n", scenario->note);
}

static void print_first_bad(const struct rh_gate *gate, FILE *to)
{
	if (gate->first_bad[0])
		rh_print(to, "First bad commit: %s\n\n", gate->first_bad);
}

static void print_causes(const struct rh_gate *gate, FILE *to)
{
	for (unsigned c = 0; c < gate->cause_count; c++) {
		const struct rh_gate_cause *cause = &gate->causes[c];
		char name[300];

		rh_gate_scenario_name(cause->of, name, sizeof(name));
		rh_print(to, "Where it comes from: %s (%s", cause->failed, name);
		if (cause->elsewhere)
			fprintf(to, ", the worst of %u", cause->elsewhere + 1);
		fprintf(to, ")\n");
		for (unsigned i = 0; i < cause->line_count; i++)
			rh_print(to, "  by %-10s %s\n", cause->line[i].by, cause->line[i].text);
	}
	if (gate->cause_count)
		fprintf(to, "\n");
}

static void print_side(const char *name, const struct rh_gate_side *side, FILE *to)
{
	rh_print(to, "%s %s", name, side->label);
	if (side->heap_version[0])
		rh_print(to, " (%s)", side->heap_version);
	fputc('\n', to);
}

void rh_gate_print(const struct rh_gate *gate, FILE *to)
{
	if (gate->same_build[0])
		rh_print(to, "NOTE: %s\n", gate->same_build);
	print_side("baseline ", &gate->side[0], to);
	print_side("candidate", &gate->side[1], to);
	fprintf(to, "\n");
	for (size_t i = 0; i < gate->scenario_count; i++) {
		print_scenario(&gate->scenarios[i], to);
		fprintf(to, "\n");
	}
	print_causes(gate, to);
	print_first_bad(gate, to);
	if (gate->config.tier != RH_TIER_DETERMINISTIC)
		fprintf(to, "Changes are medians of paired ratios. FAIL: surely beyond half the "
			    "limit (startup, exit, process: the limit); PASS: short of it.\n"
			    "Intervals from wall to batch-p99 are at the gate's level; those of "
			    "the others go from the least to the largest pair: 10 of 11 pairs "
			    "beyond fail.\n");
	for (size_t i = 0; i < gate->warning_count; i++)
		rh_print(to, "note: %s\n", gate->warnings[i]);
}

/* The words for scripts. */
static void print_ratios(const struct rh_gate_look *look, FILE *to)
{
	static const char *const names[] = { "ratio", "lo", "hi" };
	const double values[] = { exp(look->median), exp(look->lo), exp(look->hi) };

	for (int i = 0; i < 3; i++)
		rh_print(to, values[i] < RATIO_MOST ? " %s=%.4f" : " %s=%.4e", names[i], values[i]);
	fprintf(to, " pairs=%u", look->pairs);
}

static void print_words(const struct rh_gate *gate, FILE *to)
{
	const struct rh_gate_scenario *worst = rh_gate_worst(gate);
	const struct rh_gate_look *look = worst ? &worst->result[RH_GATE_WALL].look : NULL;
	double ir = 0;

	rh_print(to, "REHEAP-GATE verdict=%s", rh_gate_verdict_name(gate->verdict));
	if (look && look->blocks) {
		print_ratios(look, to);
		fprintf(to, " blocks=%zu", look->blocks);
	} else {
		fprintf(to, " ratio=nan lo=nan hi=nan");
	}
	if (worst && worst->count_count && worst->counts[0].baseline > 0)
		ir = worst->counts[0].candidate / worst->counts[0].baseline;
	if (ir > 0)
		fprintf(to, " instructions=%.5f", ir);
	fprintf(to, " scenarios=%zu exit=%d seconds=%.1f", gate->scenario_count, gate->exit,
		gate->seconds);
	if (gate->first_bad[0])
		rh_print(to, " first-bad=%.*s", (int)strcspn(gate->first_bad, " "),
			 gate->first_bad);
}

/* A word of a line for scripts: no blanks in it. */
static void print_word(const char *text, FILE *to)
{
	char shown[1024];

	rh_printable(shown, sizeof(shown), text);
	for (const char *c = shown; *c; c++)
		if (*c == ' ')
			fputs("\\x20", to);
		else
			fputc(*c, to);
}

static void print_scenario_line(const struct rh_gate_scenario *row, FILE *to)
{
	const struct rh_gate_look *look = &row->result[RH_GATE_WALL].look;

	fputs("REHEAP-GATE trace=", to);
	print_word(rh_base_name(row->trace), to);
	rh_print(to, " lanes=%u verdict=%s", row->lanes, rh_gate_verdict_name(row->verdict));
	if (look->blocks)
		print_ratios(look, to);
	fprintf(to, " seconds=%.1f\n", row->seconds);
}

void rh_gate_print_line(const struct rh_gate *gate, FILE *to)
{
	for (size_t i = 0; i < gate->scenario_count && gate->scenario_count > 1; i++)
		print_scenario_line(&gate->scenarios[i], to);
	print_words(gate, to);
	fputc('\n', to);
}

void rh_gate_print_one_line(const struct rh_gate *gate, FILE *to)
{
	const struct rh_gate_scenario *worst = rh_gate_worst(gate);
	char name[300], sentence[900];

	print_words(gate, to);
	if (worst) {
		rh_gate_scenario_name(worst, name, sizeof(name));
		rh_gate_sentence(worst, sentence, sizeof(sentence));
		rh_print(to, " worst=\"%s\" why=\"%s\"", name, sentence);
	}
	fputc('\n', to);
}
