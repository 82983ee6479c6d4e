/*
 * table.c - a result for the eye (aligned text, Markdown) and for spreadsheets (CSV).
 *
 * One table per trace, number of lanes and copies; one line per backend, best first as
 * asked for, the null floor last; then what was absent or failed with its reason, then
 * the warnings. Intervals stand beside every figure that is compared.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/probe/probe.h"

enum { COLUMNS = 9, CELL = 64 };

static const char *const heads[COLUMNS] = {
	"backend", "ns/event", "to baseline", "net ns", "peak RSS", "RSS/live", "faults/1k",
	"waits", "status",
};

struct line { char cell[COLUMNS][CELL]; };

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* 1536 -> "1.5 KiB" */
static void size_text(char *text, size_t text_bytes, double bytes)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
	int unit = 0;

	while (fabs(bytes) >= 1024 && unit < 4) {
		bytes /= 1024;
		unit++;
	}
	snprintf(text, text_bytes, unit && bytes < 100 ? "%.1f %s" : "%.0f %s", bytes, units[unit]);
}

static void group_text(char *text, size_t text_bytes, uint64_t value)
{
	char plain[24];
	int length = snprintf(plain, sizeof(plain), "%llu", (unsigned long long)value);
	size_t at = 0;

	for (int i = 0; i < length && at + 2 < text_bytes; i++) {
		if (i && (length - i) % 3 == 0)
			text[at++] = ',';
		text[at++] = plain[i];
	}
	text[at] = '\0';
}

static void interval_cell(char *cell, const struct rh_metric *m, int digits)
{
	if (!m)
		return;
	if (m->interval.n > 1)
		snprintf(cell, CELL, "%.*f [%.*f, %.*f]", digits, m->interval.median, digits,
			 m->interval.lo, digits, m->interval.hi);
	else
		snprintf(cell, CELL, "%.*f", digits, m->interval.median);
}

static void number_cell(char *cell, const struct rh_metric *m, double scale, int digits,
			const char *unit)
{
	if (m)
		snprintf(cell, CELL, "%.*f%s", digits, m->interval.median * scale, unit);
}

static void fill_line(const struct rh_result *result, const struct rh_trial *like, uint32_t b,
		      struct line *line)
{
	const struct rh_run_backend *backend = &result->backends[b];
	const struct rh_metric *m;
#define METRIC(name) rh_result_metric(result, like->trace, b, like->lanes, like->copies, name)

	memset(line, 0, sizeof(*line));
	for (int c = 0; c < COLUMNS; c++)
		snprintf(line->cell[c], CELL, "-");
	snprintf(line->cell[0], CELL, "%s%s", backend->text, backend->floor ? " (floor)" : "");
	interval_cell(line->cell[1], METRIC("time.ns_per_event"), 1);
	interval_cell(line->cell[2], METRIC("time.ratio"), 2);
	if (b != result->floor)
		number_cell(line->cell[3], METRIC("time.ns_per_event_net"), 1, 1, "");
	m = METRIC("memory.rss_peak_bytes");
	if (m)
		size_text(line->cell[4], CELL, m->interval.median);
	number_cell(line->cell[5], METRIC("memory.fragmentation_peak"), 1, 2, "");
	number_cell(line->cell[6], METRIC("memory.faults_per_event"), 1000, 1, "");
	number_cell(line->cell[7], METRIC("time.wait_share"), 100, 1, " %");
	snprintf(line->cell[8], CELL, "%s", rh_status_names[backend->status]);
#undef METRIC
}

static void print_lines(FILE *to, const struct line *lines, size_t count, bool markdown)
{
	int width[COLUMNS] = { 0 };

	for (size_t i = 0; i < count; i++)
		for (int c = 0; c < COLUMNS; c++)
			if ((int)strlen(lines[i].cell[c]) > width[c])
				width[c] = (int)strlen(lines[i].cell[c]);
	for (size_t i = 0; i < count; i++) {
		for (int c = 0; c < COLUMNS; c++) {
			bool left = c == 0 || c == COLUMNS - 1;

			if (markdown)
				fprintf(to, "| %*s ", left ? -width[c] : width[c],
					lines[i].cell[c]);
			else
				fprintf(to, "%s%*s", c ? "  " : "",
					c == COLUMNS - 1 ? 0 : left ? -width[c] : width[c],
					lines[i].cell[c]);
		}
		fprintf(to, markdown ? "|\n" : "\n");
		if (markdown && i == 0) {
			for (int c = 0; c < COLUMNS; c++)
				fprintf(to, c == 0 || c == COLUMNS - 1 ? "|---" : "|--:");
			fprintf(to, "|\n");
		}
	}
}

static void print_place(const struct rh_result *result, const struct rh_trial *like, FILE *to,
			bool markdown)
{
	const struct rh_program_head *head = result->programs[like->program].program.head;
	struct line *lines = calloc(result->backend_count + 1, sizeof(*lines));
	char events[32], live[32];
	size_t count = 1;

	if (!lines)
		return;
	group_text(events, sizeof(events), head->events * like->copies);
	size_text(live, sizeof(live), (double)head->live_bytes_peak);
	fprintf(to, "%s%s: %s events, %u lane%s x %u cop%s, %llu rep%s, live peak %s\n\n",
		markdown ? "### " : "", base_name(result->traces[like->trace].path), events,
		like->lanes, like->lanes == 1 ? "" : "s", like->copies,
		like->copies == 1 ? "y" : "ies", (unsigned long long)result->reps,
		result->reps == 1 ? "" : "s", live);
	for (int c = 0; c < COLUMNS; c++)
		snprintf(lines[0].cell[c], CELL, "%s", heads[c]);
	for (uint32_t b = 0; b < result->backend_count; b++)
		if (b != result->floor && result->backends[b].status != RH_STATUS_ABSENT)
			fill_line(result, like, b, &lines[count++]);
	if (result->floor < result->backend_count &&
	    rh_result_metric(result, like->trace, result->floor, like->lanes, like->copies,
			     "time.ns_per_event"))
		fill_line(result, like, result->floor, &lines[count++]);
	print_lines(to, lines, count, markdown);
	fprintf(to, "\n");
	for (int i = 0; rh_probes[i]; i++)
		if (rh_probes[i]->print)
			rh_probes[i]->print(result, like, to, markdown);
	free(lines);
}

static void print_stats(const struct rh_result *result, FILE *to)
{
	for (uint32_t b = 0; b < result->backend_count; b++) {
		const struct rh_trial *last = NULL;

		for (size_t t = 0; t < result->trial_count; t++)
			if (result->trials[t].backend == b && result->trials[t].stat_count)
				last = &result->trials[t];
		if (!last)
			continue;
		fprintf(to, "%s, before the last drain (figures that are 0 left out):\n",
			result->backends[b].text);
		for (size_t i = 0; i < last->stat_count; i++)
			if (last->stats[i].value)
				fprintf(to, "  %-40s %16llu %s\n", last->stats[i].name,
					(unsigned long long)last->stats[i].value,
					last->stats[i].unit);
		fprintf(to, "\n");
	}
}

static void print_remarks(const struct rh_result *result, FILE *to, bool markdown)
{
	const char *mark = markdown ? "- " : "";

	for (size_t b = 0; b < result->backend_count; b++) {
		const struct rh_run_backend *backend = &result->backends[b];

		if (backend->status != RH_STATUS_OK)
			fprintf(to, "%s%s: %s: %s\n", mark, backend->text,
				rh_status_names[backend->status], backend->why);
	}
	for (size_t i = 0; i < result->absent_count; i++)
		fprintf(to, "%s%s%s%s not measured: %s\n", mark, result->absent[i].metric,
			result->absent[i].backend < 0 ? "" : " of ",
			result->absent[i].backend < 0 ? "" :
			result->backends[result->absent[i].backend].text, result->absent[i].why);
	for (size_t i = 0; i < result->warning_count; i++)
		fprintf(to, "%snote: %s\n", mark, result->warnings[i]);
}

void rh_result_print_table(const struct rh_result *result, FILE *to, bool markdown, bool stats)
{
	for (size_t t = 0; t < result->trial_count; t++) {
		const struct rh_trial *like = &result->trials[t];
		bool first = true;

		for (size_t u = 0; u < t; u++)
			first &= result->trials[u].program != like->program ||
				 result->trials[u].copies != like->copies;
		if (first)
			print_place(result, like, to, markdown);
	}
	if (stats)
		print_stats(result, to);
	if (result->trial_count)
		fprintf(to, "Brackets: interval of the median over %llu repetition%s. Baseline: "
			"%s. Net: without the null floor.\n", (unsigned long long)result->reps,
			result->reps == 1 ? "" : "s", result->backends[result->baseline].text);
	print_remarks(result, to, markdown);
}

/* A field in quotes when it needs them (RFC 4180). */
static void csv_text(FILE *to, const char *text)
{
	if (!strpbrk(text, ",\"\n\r")) {
		fputs(text, to);
		return;
	}
	fputc('"', to);
	for (; *text; text++) {
		if (*text == '"')
			fputc('"', to);
		fputc(*text, to);
	}
	fputc('"', to);
}

void rh_result_print_csv(const struct rh_result *result, FILE *to)
{
	fprintf(to, "trace,backend,lanes,copies,metric,unit,source,better,n,median,lo,hi,level,min,"
		"max\n");
	for (size_t i = 0; i < result->metric_count; i++) {
		const struct rh_metric *m = &result->metrics[i];
		const struct rh_interval *x = &m->interval;

		csv_text(to, result->traces[m->trace].path);
		fputc(',', to);
		csv_text(to, result->backends[m->backend].text);
		fprintf(to, ",%u,%u,%s,%s,%s,%s,%zu,%.9g,%.9g,%.9g,%.4g,%.9g,%.9g\n", m->lanes,
			m->copies, m->name, m->unit, m->source, m->better, x->n, x->median, x->lo,
			x->hi, x->level, x->min, x->max);
	}
}
