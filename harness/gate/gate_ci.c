/*
 * gate_ci.c - verdicts in the forms that CI systems read.
 *
 * JUnit: a suite per scenario, a case per metric and count; inconclusive is <skipped>, and
 * numbers stand in the texts (GitLab drops properties). Markdown is capped, because a
 * comment that is too long is refused as a whole. GitHub shows ten annotations a step, so
 * the worst come first.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness/tell/figure.h"
#include "harness/gate/gate_tell.h"

enum { MARKDOWN_BYTES_MAX = 60000, ANNOTATIONS_MAX = 10 };

/* What fill() wrote becomes the file, whole or not at all. */
static int write_by(const struct rh_gate *gate, const char *path, bool append,
		    void (*fill)(const struct rh_gate *, FILE *), struct rh_err *err)
{
	char *bytes = NULL;
	size_t count = 0;
	FILE *to = open_memstream(&bytes, &count);
	struct rh_outfile out;
	int result = -1;

	if (!to)
		return rh_fail(err, RH_OS, "no memory for %s", path);
	fill(gate, to);
	if (fclose(to) != 0) {
		free(bytes);
		return rh_fail(err, RH_OS, "no memory for %s", path);
	}
	if (append) {
		to = fopen(path, "ae");
		result = !to || fwrite(bytes, 1, count, to) != count ? -1 : 0;
		if (to && fclose(to) != 0)
			result = -1;
		if (result < 0)
			rh_fail_errno(err, RH_IO, "%s cannot be written", path);
	} else if (rh_outfile_open(&out, path, err) == 0) {
		result = rh_write_all(out.fd, bytes, count, path, err);
		if (result == 0)
			result = rh_outfile_commit(&out, err);
		rh_outfile_abandon(&out);
	}
	free(bytes);
	return result;
}

static void verdict_text(const struct rh_gate_look *look, double threshold, char *text,
			 size_t bytes)
{
	snprintf(text, bytes, "%+.2f %% [%+.2f %%, %+.2f %%], threshold %.1f %%, %u pairs, %zu "
		 "blocks", 100 * expm1(look->median), 100 * expm1(look->lo),
		 100 * expm1(look->hi), 100 * threshold, look->pairs, look->blocks);
}

/* ---- JUnit ---- */

static void junit_open(const struct rh_gate_scenario *row, const char *name, FILE *to)
{
	char scenario[300];

	rh_gate_scenario_name(row, scenario, sizeof(scenario));
	fprintf(to, "    <testcase classname=\"");
	rh_escape_xml(scenario, to);
	fprintf(to, "\" name=\"%s\" time=\"%.3f\">", name, row->seconds);
}

static void junit_say(const char *element, const char *type, const char *text, FILE *to)
{
	fprintf(to, "\n      <%s %s%s%smessage=\"", element, type ? "type=\"" : "",
		type ? type : "", type ? "\" " : "");
	rh_escape_xml(text, to);
	fprintf(to, "\"/>\n    ");
}

static void junit_metric(const struct rh_gate_scenario *row, int m, FILE *to)
{
	const struct rh_gate_result *result = &row->result[m];
	char text[300];

	verdict_text(&result->look, result->rule.threshold, text, sizeof(text));
	junit_open(row, rh_gate_metric_rows[m].name, to);
	if (result->gates && result->look.verdict == RH_GATE_FAIL)
		junit_say("failure", "regression", text, to);
	else if (result->gates && result->look.verdict == RH_GATE_INCONCLUSIVE)
		junit_say("skipped", NULL, text, to);
	else
		fprintf(to, "<system-out>%s%s</system-out>", text,
			result->gates ? "" : " (does not gate)");
	fprintf(to, "</testcase>\n");
}

static void junit_count(const struct rh_gate_scenario *row, const struct rh_gate_count *count,
			FILE *to)
{
	char text[300];

	snprintf(text, sizeof(text), "%.4f %s, the baseline has %.4f", count->candidate,
		 count->unit, count->baseline);
	junit_open(row, count->name, to);
	if (count->failed)
		junit_say("failure", "regression", text, to);
	else
		fprintf(to, "<system-out>%s</system-out>", text);
	fprintf(to, "</testcase>\n");
}

static void junit_whole(const struct rh_gate_scenario *row, FILE *to)
{
	char text[900];

	rh_gate_sentence(row, text, sizeof(text));
	junit_open(row, "measurement", to);
	if (row->verdict == RH_GATE_INVALID || row->verdict == RH_GATE_NO_BASELINE)
		junit_say("error", rh_gate_verdict_name(row->verdict), text, to);
	else if (row->verdict == RH_GATE_FAIL && row->why[0])
		junit_say("failure", "budget", text, to);
	else if (row->broken)
		junit_say("skipped", NULL, text, to);
	else
		fprintf(to, "<system-out>valid</system-out>");
	fprintf(to, "</testcase>\n");
}

static void fill_junit(const struct rh_gate *gate, FILE *to)
{
	fprintf(to, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"reheap "
		"gate\">\n");
	for (size_t i = 0; i < gate->scenario_count; i++) {
		const struct rh_gate_scenario *row = &gate->scenarios[i];
		char name[300];

		rh_gate_scenario_name(row, name, sizeof(name));
		fprintf(to, "  <testsuite name=\"");
		rh_escape_xml(name, to);
		fprintf(to, "\">\n");
		junit_whole(row, to);
		for (int m = 0; m < RH_GATE_METRICS && row->block_count && !row->broken; m++)
			junit_metric(row, m, to);
		for (size_t c = 0; c < row->count_count; c++)
			junit_count(row, &row->counts[c], to);
		fprintf(to, "  </testsuite>\n");
	}
	fprintf(to, "</testsuites>\n");
}

int rh_gate_write_junit(const struct rh_gate *gate, const char *path, struct rh_err *err)
{
	return write_by(gate, path, false, fill_junit, err);
}

/* ---- Markdown ---- */

/* Cells end at | and lines at a line end; names may hold both, and HTML. */
static void cell(const char *text, FILE *to)
{
	for (const char *c = text; *c; c++) {
		if (strchr("|\\`*_<>[]#", *c))
			fputc('\\', to);
		fputc(*c == '\n' || *c == '\r' ? ' ' : *c, to);
	}
}

/* "---|--o--|---": zero, the interval and the margin from -2 thresholds to +2. */
static void bar(const struct rh_gate_result *result, FILE *to)
{
	enum { CELLS = 21 };
	const struct rh_gate_look *look = &result->look;
	double step = 4 * log1p(result->rule.threshold) / (CELLS - 1);

	fputc('`', to);
	for (int i = 0; i < CELLS; i++) {
		double from = (i - CELLS / 2 - 0.5) * step, end = from + step;
		const char *mark = "·";

		if (look->lo < end && look->hi >= from)
			mark = "━";
		if (look->margin >= from && look->margin < end)
			mark = "│";
		if (look->median >= from && look->median < end)
			mark = "●";
		fputs(mark, to);
	}
	fputc('`', to);
}

static void markdown_rows(const struct rh_gate_scenario *row, FILE *to)
{
	char name[300];

	rh_gate_scenario_name(row, name, sizeof(name));
	for (int m = 0; m < RH_GATE_METRICS && row->block_count && !row->broken; m++) {
		const struct rh_gate_look *look = &row->result[m].look;

		if (!row->result[m].gates && m != RH_GATE_CPU)
			continue;
		fprintf(to, "| ");
		cell(name, to);
		fprintf(to, " | %s | %+.1f %% | %+.1f … %+.1f %% | ", rh_gate_metric_rows[m].name,
			100 * expm1(look->median), 100 * expm1(look->lo), 100 * expm1(look->hi));
		bar(&row->result[m], to);
		fprintf(to, " | %s%s |\n", rh_gate_verdict_name(look->verdict),
			row->result[m].gates ? "" : " (not gating)");
	}
	for (size_t c = 0; c < row->count_count; c++) {
		const struct rh_gate_count *count = &row->counts[c];

		if (count->limit <= 0)
			continue;
		fprintf(to, "| ");
		cell(name, to);
		fprintf(to, " | %s | %+.2f %% | %.3f → %.3f |  | %s |\n", count->name,
			count->baseline > 0 ? 100 * (count->candidate / count->baseline - 1) : 0,
			count->baseline, count->candidate, count->failed ? "fail" : "pass");
	}
}

static void fill_markdown(const struct rh_gate *gate, FILE *to)
{
	static const char *const marks[] = { "✅ pass", "❌ regression", "❔ inconclusive",
					     "⚠️ no comparable baseline", "⚠️ invalid" };
	char sentence[900], name[300];
	size_t told = 0;

	fprintf(to, "### reheap gate: %s\n\n", marks[gate->verdict]);
	for (; told < gate->scenario_count && ftell(to) < MARKDOWN_BYTES_MAX / 3; told++) {
		const struct rh_gate_scenario *row = &gate->scenarios[told];

		if (row->verdict == RH_GATE_PASS && gate->scenario_count > 5)
			continue;
		rh_gate_scenario_name(row, name, sizeof(name));
		rh_gate_sentence(row, sentence, sizeof(sentence));
		fprintf(to, "- **%s** ", rh_gate_verdict_name(row->verdict));
		cell(name, to);
		fprintf(to, ": ");
		cell(sentence, to);
		fprintf(to, "\n");
	}
	fprintf(to, "\nBaseline ");
	cell(gate->side[0].label, to);
	fprintf(to, ", candidate ");
	cell(gate->side[1].label, to);
	fprintf(to, ".\n\n| trace | metric | change | interval | −2τ … +2τ | verdict |\n"
		"|---|---|---:|---|---|---|\n");
	for (told = 0; told < gate->scenario_count && ftell(to) < MARKDOWN_BYTES_MAX - 4096; told++)
		markdown_rows(&gate->scenarios[told], to);
	if (told < gate->scenario_count)
		fprintf(to, "\n%zu more scenarios are in the JSON.\n",
			gate->scenario_count - told);
	fprintf(to, "\n%.1f s. The interval is of the median of paired ratios; it fails beyond "
		"half the threshold (│).\n", gate->seconds);
}

int rh_gate_write_markdown(const struct rh_gate *gate, const char *path, struct rh_err *err)
{
	const char *summary = getenv("GITHUB_STEP_SUMMARY");

	return write_by(gate, path, summary && strcmp(summary, path) == 0, fill_markdown, err);
}

/* ---- annotations ---- */

/* A command's data and its properties have escapes of their own. */
static void escape_command(const char *text, bool property, FILE *to)
{
	for (const char *c = text; *c; c++) {
		if (*c == '%' || *c == '\r' || *c == '\n' ||
		    (property && (*c == ':' || *c == ',')))
			fprintf(to, "%%%02X", (unsigned char)*c);
		else
			fputc(*c, to);
	}
}

static void annotate(const struct rh_gate_scenario *row, FILE *to)
{
	char name[300], sentence[900];

	rh_gate_scenario_name(row, name, sizeof(name));
	rh_gate_sentence(row, sentence, sizeof(sentence));
	fprintf(to, "::%s title=reheap gate %s%%2C ",
		row->verdict == RH_GATE_INCONCLUSIVE ? "warning" : "error",
		rh_gate_verdict_name(row->verdict));
	escape_command(name, true, to);
	fprintf(to, "::");
	escape_command(sentence, false, to);
	fprintf(to, "\n");
}

void rh_gate_annotate(const struct rh_gate *gate, FILE *to)
{
	const struct rh_gate_scenario *worst = rh_gate_worst(gate);
	unsigned told = 1;

	if (!worst || gate->verdict == RH_GATE_PASS)
		return;
	annotate(worst, to);
	for (size_t i = 0; i < gate->scenario_count && told < ANNOTATIONS_MAX; i++) {
		const struct rh_gate_scenario *row = &gate->scenarios[i];

		if (row == worst || row->verdict == RH_GATE_PASS)
			continue;
		annotate(row, to);
		told++;
	}
}

/* ---- github-action-benchmark, Bencher ---- */

/* Takes a figure: the value and its interval, for counts the value alone. */
typedef void put_figure(json_t *into, const char *scenario, const char *name, const char *unit,
			const double value[3], const char *text);

static void each_figure(const struct rh_gate_scenario *row, json_t *into, put_figure *put)
{
	char scenario[300], text[300];

	rh_gate_scenario_name(row, scenario, sizeof(scenario));
	for (int m = 0; m < RH_GATE_METRICS && row->block_count && !row->broken; m++) {
		const struct rh_gate_look *look = &row->result[m].look;
		double value[3] = { exp(look->median), exp(look->lo), exp(look->hi) };

		if (!isfinite(look->median) || !isfinite(look->lo) || !isfinite(look->hi))
			continue;
		verdict_text(look, row->result[m].rule.threshold, text, sizeof(text));
		put(into, scenario, rh_gate_metric_rows[m].name, "ratio", value, text);
	}
	for (size_t c = 0; c < row->count_count; c++) {
		const struct rh_gate_count *count = &row->counts[c];
		double value[3] = { count->candidate, count->candidate, count->candidate };

		snprintf(text, sizeof(text), "the baseline has %.4f", count->baseline);
		put(into, scenario, count->name, count->unit, value, text);
	}
}

/* customSmallerIsBetter: an array of figures. */
static void put_smaller(json_t *array, const char *scenario, const char *name, const char *unit,
			const double value[3], const char *text)
{
	char full[340];

	snprintf(full, sizeof(full), "%s: %s", scenario, name);
	json_array_append_new(array, json_pack("{s:s,s:s,s:f,s:f,s:s}", "name", full, "unit", unit,
					       "value", value[0], "range",
					       (value[2] - value[1]) / 2, "extra", text));
}

/* Bencher Metric Format: benchmark, measure (a slug; units are the measure's own), figure. */
static void put_bencher(json_t *root, const char *scenario, const char *name, const char *unit,
			const double value[3], const char *text)
{
	json_t *measures = json_object_get(root, scenario);

	(void)unit;
	(void)text;
	if (!measures) {
		measures = json_object();
		json_object_set_new(root, scenario, measures);
	}
	json_object_set_new(measures, name, json_pack("{s:f,s:f,s:f}", "value", value[0],
						      "lower_value", value[1], "upper_value",
						      value[2]));
}

static void fill_json(const struct rh_gate *gate, json_t *into, put_figure *put, FILE *to)
{
	char *dump;

	for (size_t i = 0; i < gate->scenario_count; i++)
		each_figure(&gate->scenarios[i], into, put);
	dump = json_dumps(into, JSON_INDENT(1) | JSON_REAL_PRECISION(8));
	fprintf(to, "%s\n", dump ? dump : "null");
	free(dump);
	json_decref(into);
}

static void fill_smaller(const struct rh_gate *gate, FILE *to)
{
	fill_json(gate, json_array(), put_smaller, to);
}

static void fill_bencher(const struct rh_gate *gate, FILE *to)
{
	fill_json(gate, json_object(), put_bencher, to);
}

int rh_gate_write_smaller(const struct rh_gate *gate, const char *path, struct rh_err *err)
{
	return write_by(gate, path, false, fill_smaller, err);
}

int rh_gate_write_bencher(const struct rh_gate *gate, const char *path, struct rh_err *err)
{
	return write_by(gate, path, false, fill_bencher, err);
}
