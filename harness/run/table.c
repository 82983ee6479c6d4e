/*
 * table.c - a result for the eye (aligned text, Markdown) and for spreadsheets (CSV).
 *
 * First what another allocator is worth to the program, where its trace says so (worth.c). By
 * default one table: for one setting (a trace at a number of lanes and copies) its backends, one
 * line each, sorted as asked for, the null floor last; for several settings the matrix
 * (matrix.c). Then one line for each probe beyond time and memory, and what was absent, what
 * failed and what the reader must know (summary.c). With -v every setting has its table, and
 * every probe has one. Intervals stand beside every figure that is compared; a difference that
 * the intervals show has a colour on a terminal.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc/base/cells.h"
#include "alloc/base/os.h"
#include "alloc/base/printable.h"
#include "harness/probe/probe.h"
#include "harness/run/run.h"

enum { COLUMNS = 9 };

static const char *const heads[COLUMNS] = {
	"backend",  "ns/event",	 "to baseline", "net ns", "peak RSS",
	"RSS/live", "faults/1k", "waits",	"status",
};

/* 1536 -> "1.5 KiB" */
void rh_size_text(char *text, size_t text_bytes, double bytes)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
	int unit = 0;

	while (fabs(bytes) >= 1024 && unit < 4) {
		bytes /= 1024;
		unit++;
	}
	snprintf(text, text_bytes, unit && bytes < 100 ? "%.1f %s" : "%.0f %s", bytes, units[unit]);
}

static void interval_cell(char *cell, const struct rh_metric *m, int digits)
{
	if (!m)
		return;
	if (m->n > 1)
		snprintf(cell, RH_CELL, "%.*f [%.*f, %.*f]", digits, m->median, digits, m->lo,
			 digits, m->hi);
	else
		snprintf(cell, RH_CELL, "%.*f", digits, m->median);
}

static void number_cell(char *cell, const struct rh_metric *m, double scale, int digits,
			const char *unit)
{
	if (m)
		snprintf(cell, RH_CELL, "%.*f%s", digits, m->median * scale, unit);
}

/* Of a short trace the floor may take as long as the allocator, or longer: such a difference is not
 * what the allocator takes, and a negative time is none. What can be said is what it is below. */
void rh_net_cell(char *cell, const struct rh_metric *m)
{
	if (!m)
		snprintf(cell, RH_CELL, "-");
	else if (m->lo > 0)
		number_cell(cell, m, 1, 1, "");
	else if (m->hi > 0)
		snprintf(cell, RH_CELL, "< %.1f", m->hi);
	else
		snprintf(cell, RH_CELL, "noise");
}

/* The cells of one line, and which of them differ from the baseline. */
struct line {
	char (*cell)[RH_CELL];
	unsigned char *tone;
};

static void fill_line(const struct rh_result *result, const struct rh_trial *like, uint32_t b,
		      const struct line *line)
{
	const struct rh_run_backend *backend = &result->backends[b];
	const struct rh_metric *m;
#define METRIC(name) rh_metric_like(result, like, b, name)

	for (int c = 0; c < COLUMNS; c++)
		snprintf(line->cell[c], RH_CELL, "-");
	snprintf(line->cell[0], RH_CELL, "%s%s", backend->text, backend->floor ? " (floor)" : "");
	interval_cell(line->cell[1], METRIC("time.ns_per_event"), 1);
	interval_cell(line->cell[2], METRIC("time.ratio"), 2);
	if (b != result->floor)
		rh_net_cell(line->cell[3], METRIC("time.ns_per_event_net"));
	m = METRIC("memory.rss_peak_bytes");
	if (m)
		rh_size_text(line->cell[4], RH_CELL, m->median);
	number_cell(line->cell[5], METRIC("memory.fragmentation_peak"), 1, 2, "");
	number_cell(line->cell[6], METRIC("memory.faults_per_event"), 1000, 1, "");
	number_cell(line->cell[7], METRIC("time.wait_share"), 100, 1, " %");
	snprintf(line->cell[8], RH_CELL, "%s", rh_status_names[backend->status]);
	if (b == result->floor) {
		memset(line->tone, RH_TONE_QUIET, COLUMNS);
		return;
	}
	line->tone[2] = rh_time_tone(result, like, b);
	line->tone[4] = rh_memory_tone(result, like, b);
	if (backend->status != RH_STATUS_OK)
		line->tone[8] = RH_TONE_WORSE;
#undef METRIC
}

static void print_head(const struct rh_result *result, const struct rh_trial *like, FILE *to,
		       bool markdown)
{
	const struct rh_program_head *head = result->programs[like->program].program.head;
	char events[32], live[32];

	rh_group_number(events, sizeof(events), head->events * like->copies);
	rh_size_text(live, sizeof(live), (double)head->live_bytes_peak);
	rh_print(to, "%s%s: %s events, %u lane%s x %u cop%s, %llu rep%s, live peak %s\n\n",
		 markdown ? "### " : "", rh_base_name(result->traces[like->trace].path), events,
		 like->lanes, like->lanes == 1 ? "" : "s", like->copies,
		 like->copies == 1 ? "y" : "ies", (unsigned long long)result->reps,
		 result->reps == 1 ? "" : "s", live);
}

static void print_place(const struct rh_result *result, const struct rh_trial *like, FILE *to,
			bool markdown)
{
	size_t rows = 1, most = result->backend_count + 1;
	char(*cells)[RH_CELL] = calloc(most * COLUMNS, RH_CELL);
	unsigned char *tones = calloc(most, COLUMNS);

	print_head(result, like, to, markdown);
	for (int c = 0; cells && c < COLUMNS; c++)
		snprintf(cells[c], RH_CELL, "%s", heads[c]);
	for (uint32_t i = 0; cells && tones && i <= result->backend_count; i++) {
		/* The floor comes last. */
		uint32_t b = i < result->backend_count ? i : result->floor;
		const struct line line = { cells + rows * COLUMNS, tones + rows * COLUMNS };

		if (b >= result->backend_count ||
		    (b == result->floor) != (i == result->backend_count))
			continue;
		if (b == result->floor ? !rh_metric_like(result, like, b, "time.ns_per_event")
				       : result->backends[b].status == RH_STATUS_ABSENT)
			continue;
		fill_line(result, like, b, &line);
		rows++;
	}
	if (cells && tones)
		rh_print_cells(to, &(struct rh_cells){ .cell = cells,
						       .tone = tones,
						       .rows = rows,
						       .columns = COLUMNS,
						       .left = RH_LEFT_ENDS(COLUMNS),
						       .markdown = markdown });
	fprintf(to, "\n");
	rh_result_print_passes(result, like, to, markdown);
	free(cells);
	free(tones);
}

static void print_probes(const struct rh_result *result, const struct rh_trial *like, FILE *to,
			 bool markdown)
{
	for (int i = 0; rh_probes[i]; i++)
		if (rh_probes[i]->print)
			rh_probes[i]->print(result, like, to, markdown);
}

static void print_stat(const struct rh_ctl_stat *stat, FILE *to)
{
	char value[32];

	rh_group_number(value, sizeof(value), stat->value);
	rh_print(to, "  %-40s %20s %s\n", stat->name, value, stat->unit);
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
		rh_print(to, "%s, before the last drain (figures that are 0 left out):\n",
			 result->backends[b].text);
		for (size_t i = 0; i < last->stat_count; i++)
			if (last->stats[i].value)
				print_stat(&last->stats[i], to);
		fprintf(to, "\n");
	}
}

/* "jemalloc 5.3.0, rpmalloc build 1f6fb2cd4f08": as the libraries say it, or which build it is. */
static void print_versions(const struct rh_result *result, FILE *to)
{
	const char *before = "Versions: ";

	for (size_t b = 0; b < result->backend_count; b++) {
		const struct rh_run_backend *row = &result->backends[b];

		if ((!row->deployable && !row->spec->native[0]) || !row->heap_version[0])
			continue;
		rh_print(to, "%s%s %s", before, row->text, row->heap_version);
		before = ", ";
	}
	if (before[0] == ',')
		fprintf(to, ".\n");
}

/* The lowest confidence of all intervals. */
static double level_of(const struct rh_result *result)
{
	double least = 1;

	for (size_t i = 0; i < result->metric_count; i++)
		if (strcmp(result->metrics[i].name, "time.ns_per_event") == 0)
			least = fmin(least, result->metrics[i].level);
	return least;
}

static void print_legend(const struct rh_result *result, FILE *to)
{
	if (result->reps == 1)
		fprintf(to, "One repetition: no intervals. ");
	else
		fprintf(to, "Brackets: interval of the median over %llu repetitions (%.1f %%). ",
			(unsigned long long)result->reps, 100 * level_of(result));
	rh_print(to, "Baseline: %s. Net: without the null floor.\n",
		 result->backends[result->baseline].text);
}

void rh_result_print_table(const struct rh_result *result, FILE *to, const struct rh_telling *how)
{
	const struct rh_trial **places = calloc(result->trial_count + 1, sizeof(*places));
	size_t count = places ? rh_result_places(result, places) : 0;

	if (count && !rh_result_print_worth(result, places, count, to) && count == 1)
		rh_result_print_choice(result, places[0], to);
	for (size_t p = 0; p < count && (count == 1 || how->verbose); p++) {
		print_place(result, places[p], to, how->markdown);
		if (how->verbose)
			rh_result_print_apart(result, places[p], to, how->markdown);
		if (how->verbose)
			print_probes(result, places[p], to, how->markdown);
	}
	if (how->stats)
		print_stats(result, to);
	if (count > 1)
		rh_result_print_matrix(result, places, count, to, how->markdown);
	if (count == 1 || (count && how->verbose))
		print_legend(result, to);
	if (count)
		print_versions(result, to);
	rh_result_print_summary(result, places, count, to, how);
	free(places);
}

void rh_result_print_csv(const struct rh_result *result, FILE *to)
{
	fprintf(to, "trace,backend,lanes,copies,metric,unit,source,better,n,median,lo,hi,level,min,"
		    "max\n");
	for (size_t i = 0; i < result->metric_count; i++) {
		const struct rh_metric *m = &result->metrics[i];
		const struct rh_metric *x = m;

		rh_print_csv(to, result->traces[m->trace].path);
		fputc(',', to);
		rh_print_csv(to, result->backends[m->backend].text);
		rh_print(to, ",%u,%u,%s,%s,%s,%s,%u,%.9g,%.9g,%.9g,%.4g,%.9g,%.9g\n", m->lanes,
			 m->copies, m->name, m->unit, m->source, m->better, x->n, x->median, x->lo,
			 x->hi, x->level, x->min, x->max);
	}
}
