/*
 * table_passes.c - the first pass beside the later ones.
 *
 * The table of times above it shows the first pass. This one shows what a program that keeps
 * running would see, and what the heap keeps between passes: bytes resident at the end of the
 * last one, where the live bytes are those at the end of the trace.
 */
#include <math.h>
#include <stdio.h>

#include "harness/probe/probe.h"
#include "harness/run/run.h"
#include "traces/format/event.h"

enum { COLUMNS = 8 };

static const char *const heads[COLUMNS] = { "backend",	    "first ns/event", "later ns/event",
					    "to baseline",  "net ns",	      "peak RSS",
					    "kept between", "faults/1k" };

static void interval_cell(char *cell, const struct rh_metric *m, int digits)
{
	if (m && m->n > 1)
		snprintf(cell, RH_CELL, "%.*f [%.*f, %.*f]", digits, m->median, digits, m->lo,
			 digits, m->hi);
	else
		rh_metric_cell(cell, m, 1, digits == 1 ? "%.1f" : "%.2f");
}

static bool fill_row(const struct rh_probe_table *table, uint32_t b, char (*cell)[RH_CELL])
{
	const struct rh_metric *later = rh_table_metric(table, b, "steady.ns_per_event");

	if (!later)
		return false;
	rh_metric_cell(cell[0], rh_table_metric(table, b, "time.ns_per_event"), 1, "%.1f");
	interval_cell(cell[1], later, 1);
	interval_cell(cell[2], rh_table_metric(table, b, "steady.ratio"), 2);
	if (b == table->result->floor)
		snprintf(cell[3], RH_CELL, "-");
	else
		rh_net_cell(cell[3], rh_table_metric(table, b, "steady.ns_per_event_net"));
	rh_metric_cell(cell[4], rh_table_metric(table, b, "steady.rss_peak_bytes"), 1 / 1048576.0,
		       "%.1f MiB");
	rh_metric_cell(cell[5], rh_table_metric(table, b, "steady.rss_end_bytes"), 1 / 1048576.0,
		       "%.1f MiB");
	rh_metric_cell(cell[6], rh_table_metric(table, b, "steady.faults_per_event"), 1000, "%.1f");
	return true;
}

static bool same_place(const struct rh_trial *a, const struct rh_trial *b)
{
	return a->program == b->program && a->copies == b->copies && a->status == RH_STATUS_OK;
}

/* Fewest and most passes of a trial: --for makes as many as fit. */
static void span_of(const struct rh_result *result, const struct rh_trial *like, size_t *least,
		    size_t *most)
{
	*least = SIZE_MAX;
	*most = 0;
	for (size_t t = 0; t < result->trial_count; t++) {
		size_t count = result->trials[t].pass_count;

		if (!same_place(&result->trials[t], like) ||
		    result->trials[t].backend == result->floor)
			continue;
		*least = count < *least ? count : *least;
		*most = count > *most ? count : *most;
	}
}

void rh_result_print_passes(const struct rh_result *result, const struct rh_trial *like, FILE *to,
			    bool markdown)
{
	const struct rh_probe_table table = {
		.result = result, .like = like, .heads = heads, .columns = COLUMNS, .fill = fill_row
	};
	const struct rh_program_head *head = result->programs[like->program].program.head;
	size_t least, most;

	span_of(result, like, &least, &most);
	if (most < 2 || !rh_print_rows(&table, to, markdown))
		return;
	fprintf(to, "\n%zu", least);
	if (most > least)
		fprintf(to, " to %zu", most);
	fprintf(to,
		" passes a trial; the table above is the first. At the end of a pass %llu objects "
		"of %.1f MiB live on, and die in the next where their successors are born.\n\n",
		(unsigned long long)head->live_objects_end * like->copies,
		(double)head->live_bytes_end * like->copies / 1048576);
}
