/*
 * junit.c - verdicts as JUnit, valid against the strict schema of Jenkins' xUnit plugin.
 *
 * A suite per scenario, a case per metric and count. Required by that schema, though not by
 * other readers: counts of tests, failures, errors and skipped on each suite and on the whole,
 * times with at most three decimals, a timestamp without a zone, and in a case first its
 * outcome. Inconclusive is <skipped>; numbers are in the texts, because GitLab drops
 * properties. A gate that never measured is one case with an <error>.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "alloc/base/printable.h"
#include "ci/gate/report.h"
#include "plots/figure/figure.h"
#include "harness/result/pool.h"

enum { TEXT_BYTES = 4096 };

struct tally {
	unsigned tests, failures, errors, skipped;
};

/* Where the cases of a suite go before its counts are known. */
struct suite {
	FILE *to;
	struct tally tally;
	const struct rh_gate *gate;
	double seconds;
};

static void xml(const char *text, FILE *to)
{
	char shown[TEXT_BYTES];

	rh_printable(shown, sizeof(shown), text);
	rh_escape_xml(shown, to);
}

static void open_case(struct suite *suite, const char *classname, const char *name, double seconds)
{
	suite->tally.tests++;
	fprintf(suite->to, "    <testcase classname=\"");
	xml(classname, suite->to);
	fprintf(suite->to, "\" name=\"");
	xml(name, suite->to);
	fprintf(suite->to, "\" time=\"%.3f\">", seconds);
}

static void close_case(struct suite *suite, const char *text)
{
	fprintf(suite->to, "<system-out>");
	xml(text, suite->to);
	fprintf(suite->to, "</system-out></testcase>\n");
}

static void outcome(struct suite *suite, const char *element, const char *type, const char *text)
{
	fprintf(suite->to, "<%s type=\"%s\" message=\"", element, type);
	xml(text, suite->to);
	fprintf(suite->to, "\"/>");
}

static void put_metric(struct suite *suite, const struct rh_gate_scenario *row, const char *name,
		       int m)
{
	const struct rh_gate_result *result = &row->result[m];
	char text[300];

	rh_gate_numbers(&result->look, result->rule.threshold, text, sizeof(text));
	open_case(suite, name, rh_gate_metric_rows[m].name, row->seconds);
	if (result->gates && result->look.verdict == RH_GATE_FAIL) {
		outcome(suite, "failure", "regression", text);
		suite->tally.failures++;
	} else if (result->gates && result->look.verdict == RH_GATE_INCONCLUSIVE) {
		outcome(suite, "skipped", "inconclusive", text);
		suite->tally.skipped++;
	}
	close_case(suite, result->gates ? text : "does not gate");
}

static void put_count(struct suite *suite, const struct rh_gate_scenario *row, const char *name,
		      const struct rh_gate_count *count)
{
	char text[300];

	snprintf(text, sizeof(text), "%.4f %s, the baseline has %.4f", count->candidate,
		 count->unit, count->baseline);
	open_case(suite, name, count->name, row->seconds);
	if (count->failed) {
		outcome(suite, "failure", "regression", text);
		suite->tally.failures++;
	}
	close_case(suite, text);
}

static void put_whole(struct suite *suite, const struct rh_gate_scenario *row, const char *name)
{
	char text[900];

	rh_gate_sentence(row, text, sizeof(text));
	open_case(suite, name, "measurement", row->seconds);
	if (row->verdict == RH_GATE_INVALID || row->verdict == RH_GATE_NO_BASELINE) {
		outcome(suite, "error", rh_gate_verdict_name(row->verdict), text);
		suite->tally.errors++;
	} else if (row->verdict == RH_GATE_FAIL && row->why[0]) {
		outcome(suite, "failure", "budget", text);
		suite->tally.failures++;
	} else if (row->broken) {
		outcome(suite, "skipped", "inconclusive", text);
		suite->tally.skipped++;
	}
	close_case(suite, text);
}

static void put_counts(const struct tally *tally, double seconds, FILE *to)
{
	fprintf(to, " tests=\"%u\" failures=\"%u\" errors=\"%u\"", tally->tests, tally->failures,
		tally->errors);
	if (seconds >= 0)
		fprintf(to, " time=\"%.3f\"", seconds);
}

/* The suite's head, now that its counts are known, and its cases. */
static void put_suite(struct suite *suite, const char *name, size_t id, const char *cases, FILE *to)
{
	struct tm when = { 0 };
	char stamp[40];

	gmtime_r(&suite->gate->started.tv_sec, &when);
	strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S", &when);
	fprintf(to, "  <testsuite id=\"%zu\" package=\"reheap.gate\" hostname=\"", id);
	xml(suite->gate->host.name[0] ? suite->gate->host.name : "localhost", to);
	fprintf(to, "\" timestamp=\"%s\" name=\"", stamp);
	xml(name, to);
	fprintf(to, "\"");
	put_counts(&suite->tally, suite->seconds, to);
	fprintf(to, " skipped=\"%u\">\n%s  </testsuite>\n", suite->tally.skipped, cases);
}

static void fill_scenario(struct suite *suite, const struct rh_gate_scenario *row, const char *name)
{
	put_whole(suite, row, name);
	for (int m = 0; m < RH_GATE_METRICS && row->block_count && !row->broken; m++)
		put_metric(suite, row, name, m);
	for (size_t c = 0; c < row->count_count; c++)
		put_count(suite, row, name, &row->counts[c]);
}

/* What stopped the gate before it measured. */
static void fill_reason(struct suite *suite)
{
	open_case(suite, "reheap gate", "measurement", 0);
	outcome(suite, "error",
		suite->gate->exit == RH_USAGE ? "usage"
					      : rh_gate_verdict_name(suite->gate->verdict),
		suite->gate->why);
	suite->tally.errors++;
	close_case(suite, suite->gate->why);
}

/* Suite i; the scenario after the last is the reason, when there is one. */
static void fill_suite(const struct rh_gate *gate, size_t i, struct tally *sum, FILE *to)
{
	const struct rh_gate_scenario *row = i < gate->scenario_count ? &gate->scenarios[i] : NULL;
	struct suite suite = { .gate = gate, .seconds = row ? row->seconds : gate->seconds };
	char name[300] = "reheap gate", *cases = NULL;
	size_t bytes = 0;

	suite.to = rh_memory_text(&cases, &bytes);
	if (row)
		rh_gate_scenario_name(row, name, sizeof(name));
	if (row)
		fill_scenario(&suite, row, name);
	else
		fill_reason(&suite);
	if (fclose(suite.to) == 0)
		put_suite(&suite, name, i, cases, to);
	free(cases);
	sum->tests += suite.tally.tests;
	sum->failures += suite.tally.failures;
	sum->errors += suite.tally.errors;
	sum->skipped += suite.tally.skipped;
}

static void fill_junit(const struct rh_gate *gate, FILE *to)
{
	size_t suites = gate->scenario_count + (gate->why[0] != '\0'), bytes = 0;
	struct tally sum = { 0 };
	char *text = NULL;
	FILE *body = rh_memory_text(&text, &bytes);

	for (size_t i = 0; i < suites; i++)
		fill_suite(gate, i, &sum, body);
	if (fclose(body) == 0) {
		fprintf(to, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
			    "<testsuites name=\"reheap gate\"");
		put_counts(&sum, gate->seconds, to);
		fprintf(to, ">\n%s</testsuites>\n", text);
	}
	free(text);
}

int rh_gate_write_junit(const struct rh_gate *gate, const char *path, struct rh_err *err)
{
	return rh_gate_write_by(gate, path, false, fill_junit, err);
}
