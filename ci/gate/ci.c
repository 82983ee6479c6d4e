/*
 * ci.c - verdicts in the forms that CI systems read.
 *
 * JUnit is written by junit.c. Markdown is capped, because a comment that is too long is
 * refused as a whole. GitHub shows ten annotations per step, so the worst come first.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "alloc/base/printable.h"
#include "plots/figure/figure.h"
#include "ci/gate/report.h"
#include "harness/result/pool.h"

enum { MARKDOWN_BYTES_MAX = 60000, ANNOTATIONS_MAX = 10, PRINTABLE_BYTES = 4096 };

int rh_gate_write_by(const struct rh_gate *gate, const char *path, bool append,
		     void (*fill)(const struct rh_gate *, FILE *), struct rh_err *err)
{
	char *bytes = NULL;
	size_t count = 0;
	FILE *to = rh_memory_text(&bytes, &count);
	struct rh_outfile out;
	int result = -1;

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

void rh_gate_numbers(const struct rh_gate_look *look, double threshold, char *text, size_t bytes)
{
	snprintf(text, bytes,
		 "%+.2f %% [%+.2f %%, %+.2f %%], threshold %.1f %%, %u pairs, %zu "
		 "blocks",
		 100 * expm1(look->median), 100 * expm1(look->lo), 100 * expm1(look->hi),
		 100 * threshold, look->pairs, look->blocks);
}

/* ---- Markdown ---- */

/* Cells end at |, and names may contain it, HTML and Markdown's own characters. */
static void cell(const char *text, FILE *to)
{
	char shown[PRINTABLE_BYTES];

	rh_printable(shown, sizeof(shown), text);
	for (const char *c = shown; *c; c++) {
		if (strchr("|\\`*_<>[]#@!&~", *c))
			fputc('\\', to);
		fputc(*c, to);
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

/* Scenarios with anything to show in a table. */
static bool has_rows(const struct rh_gate *gate)
{
	for (size_t i = 0; i < gate->scenario_count; i++)
		if ((gate->scenarios[i].block_count && !gate->scenarios[i].broken) ||
		    gate->scenarios[i].count_count)
			return true;
	return false;
}

static void markdown_table(const struct rh_gate *gate, FILE *to)
{
	size_t shown = 0;

	if (!has_rows(gate)) {
		fprintf(to,
			"\nNothing was measured, so there is no table: see the reason above.\n");
		return;
	}
	fprintf(to, "\n| trace | metric | change | interval | −2τ … +2τ | verdict |\n"
		    "|---|---|---:|---|---|---|\n");
	for (; shown < gate->scenario_count && ftell(to) < MARKDOWN_BYTES_MAX - 4096; shown++)
		markdown_rows(&gate->scenarios[shown], to);
	if (shown < gate->scenario_count)
		fprintf(to, "\n%zu more scenarios are in the JSON.\n",
			gate->scenario_count - shown);
	fprintf(to, "\nThe interval is of the median of paired ratios; times fail beyond half the "
		    "threshold (│).\n");
}

static void markdown_causes(const struct rh_gate *gate, FILE *to)
{
	char name[300];

	for (unsigned c = 0; c < gate->cause_count; c++) {
		const struct rh_gate_cause *cause = &gate->causes[c];

		rh_gate_scenario_name(cause->of, name, sizeof(name));
		fprintf(to, "- where %s comes from (", cause->failed);
		cell(name, to);
		fprintf(to, "):\n");
		for (unsigned i = 0; i < cause->line_count; i++) {
			fprintf(to, "  - by %s: ", cause->line[i].by);
			cell(cause->line[i].text, to);
			fprintf(to, "\n");
		}
	}
}

static void markdown_reasons(const struct rh_gate *gate, FILE *to)
{
	char sentence[900], name[300];

	for (size_t i = 0; i < gate->scenario_count && ftell(to) < MARKDOWN_BYTES_MAX / 3; i++) {
		const struct rh_gate_scenario *row = &gate->scenarios[i];

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
	markdown_causes(gate, to);
	if (gate->why[0]) {
		fprintf(to, "- ");
		cell(gate->why, to);
		fprintf(to, "\n");
	}
}

static void fill_markdown(const struct rh_gate *gate, FILE *to)
{
	static const char *const marks[] = { "✅ pass", "❌ regression", "❔ inconclusive",
					     "⚠️ no comparable baseline", "⚠️ invalid" };
	static const char *const names[] = { "baseline", "candidate" };

	fprintf(to, "<!-- reheap-gate -->\n### reheap gate: %s\n\n",
		gate->exit == RH_USAGE ? "⚠️ wrong command line or policy"
				       : marks[gate->verdict]);
	if (gate->same_build[0]) {
		fprintf(to, "> ");
		cell(gate->same_build, to);
		fprintf(to, "\n\n");
	}
	markdown_reasons(gate, to);
	for (int s = 0; s < 2; s++) {
		if (!gate->side[s].label)
			continue;
		fprintf(to, "\n%s: ", names[s]);
		cell(gate->side[s].label, to);
	}
	fprintf(to, "\n");
	markdown_table(gate, to);
	for (size_t i = 0; i < gate->warning_count; i++) {
		fprintf(to, "\n> note: ");
		cell(gate->warnings[i], to);
		fprintf(to, "\n");
	}
	fprintf(to, "\n%.1f s.\n", gate->seconds);
}

int rh_gate_write_markdown(const struct rh_gate *gate, const char *path, struct rh_err *err)
{
	const char *summary = getenv("GITHUB_STEP_SUMMARY");

	return rh_gate_write_by(gate, path, summary && strcmp(summary, path) == 0, fill_markdown,
				err);
}

/* ---- annotations ---- */

/* A command's data and its properties have different escapes. */
static void escape_command(const char *text, bool property, FILE *to)
{
	char shown[PRINTABLE_BYTES];

	rh_printable(shown, sizeof(shown), text);
	for (const char *c = shown; *c; c++) {
		if (*c == '%' || *c == '\r' || *c == '\n' || (property && (*c == ':' || *c == ',')))
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
	unsigned shown = 1;

	if (!worst || gate->verdict == RH_GATE_PASS)
		return;
	annotate(worst, to);
	for (size_t i = 0; i < gate->scenario_count && shown < ANNOTATIONS_MAX; i++) {
		const struct rh_gate_scenario *row = &gate->scenarios[i];

		if (row == worst || row->verdict == RH_GATE_PASS)
			continue;
		annotate(row, to);
		shown++;
	}
}

/* ---- github-action-benchmark, Bencher ---- */

/* A figure: the value and its interval, for counts the value alone. */
struct figure {
	const char *scenario, *name, *unit;
	double value[3];
	const char *text; /* the same in words */
};
typedef void put_figure(json_t *into, const struct figure *figure);

static void each_figure(const struct rh_gate_scenario *row, json_t *into, put_figure *put)
{
	char scenario[300], text[300];

	rh_gate_scenario_name(row, scenario, sizeof(scenario));
	for (int m = 0; m < RH_GATE_METRICS && row->block_count && !row->broken; m++) {
		const struct rh_gate_look *look = &row->result[m].look;
		struct figure figure = { scenario,
					 rh_gate_metric_rows[m].name,
					 "ratio",
					 { exp(look->median), exp(look->lo), exp(look->hi) },
					 text };

		if (!isfinite(look->median) || !isfinite(look->lo) || !isfinite(look->hi))
			continue;
		rh_gate_numbers(look, row->result[m].rule.threshold, text, sizeof(text));
		put(into, &figure);
	}
	for (size_t c = 0; c < row->count_count; c++) {
		const struct rh_gate_count *count = &row->counts[c];
		struct figure figure = { scenario,
					 count->name,
					 count->unit,
					 { count->candidate, count->candidate, count->candidate },
					 text };

		snprintf(text, sizeof(text), "the baseline has %.4f", count->baseline);
		put(into, &figure);
	}
}

/* customSmallerIsBetter: an array of figures. */
static void put_smaller(json_t *array, const struct figure *f)
{
	char full[340];

	snprintf(full, sizeof(full), "%s: %s", f->scenario, f->name);
	json_array_append_new(array, json_pack("{s:s,s:s,s:f,s:f,s:s}", "name", full, "unit",
					       f->unit, "value", f->value[0], "range",
					       (f->value[2] - f->value[1]) / 2, "extra", f->text));
}

/* Bencher Metric Format: benchmark, measure (a slug; units are the measure's own), figure. */
static void put_bencher(json_t *root, const struct figure *f)
{
	json_t *measures = json_object_get(root, f->scenario);

	if (!measures) {
		measures = json_object();
		json_object_set_new(root, f->scenario, measures);
	}
	json_object_set_new(measures, f->name,
			    json_pack("{s:f,s:f,s:f}", "value", f->value[0], "lower_value",
				      f->value[1], "upper_value", f->value[2]));
}

static void fill_json(const struct rh_gate *gate, json_t *into, put_figure *put, FILE *to)
{
	char *dump;

	for (size_t i = 0; i < gate->scenario_count; i++)
		each_figure(&gate->scenarios[i], into, put);
	dump = json_dumps(into, JSON_INDENT(1) | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(8));
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
	return rh_gate_write_by(gate, path, false, fill_smaller, err);
}

int rh_gate_write_bencher(const struct rh_gate *gate, const char *path, struct rh_err *err)
{
	return rh_gate_write_by(gate, path, false, fill_bencher, err);
}
