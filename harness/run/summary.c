/*
 * summary.c - the lines below the table of a run: one line for each probe beyond time and memory,
 * failures, what was not measured (each reason once), and the notes.
 *
 * A probe's line shows its most informative figure (its headlines, probe.h) for every contestant,
 * best first; over several settings, the range from the least to the most. Everything else that a
 * probe found is printed with -v, and is in the result.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc/base/printable.h"
#include "harness/probe/probe.h"
#include "harness/run/run.h"

/* ---- headlines ---- */

struct reading {
	const char *name;
	const struct rh_metric *like; /* for its unit and direction */
	double lo, hi;
	size_t n;
};

static int by_value(const void *a, const void *b)
{
	const struct reading *x = a, *y = b;
	double one = x->lo + x->hi, other = y->lo + y->hi;

	return strcmp(x->like->better, "higher") == 0 ? (one < other) - (one > other)
						      : (one > other) - (one < other);
}

/* One backend over all settings; n is 0 when nothing was measured. */
static struct reading reading_of(const struct rh_result *result, const struct rh_trial **places,
				 size_t count, uint32_t b, const char *metric)
{
	struct reading reading = { .name = result->backends[b].text };

	for (size_t p = 0; p < count; p++) {
		const struct rh_metric *m = rh_result_metric(
			result,
			(struct rh_metric_place){ places[p]->trace, b, places[p]->lanes,
						  places[p]->copies },
			metric);

		if (!m)
			continue;
		reading.lo = reading.n ? fmin(reading.lo, m->median) : m->median;
		reading.hi = reading.n ? fmax(reading.hi, m->median) : m->median;
		reading.like = m;
		reading.n++;
	}
	return reading;
}

/* Below three steps of the clock a latency is not exact (probe_latency.c). */
static double exact_from(const struct rh_result *result, const struct rh_metric *m)
{
	return strncmp(m->name, "latency.", 8) == 0
		       ? 3 * (double)result->clock.granularity_ticks * result->clock.ns_per_tick
		       : 0;
}

static void value_text(const struct rh_result *result, const struct rh_metric *m, double value,
		       char *text)
{
	double least = exact_from(result, m);

	if (value < least)
		snprintf(text, RH_CELL, "<= %.0f", least);
	else if (strcmp(m->unit, "bytes") == 0)
		rh_size_text(text, RH_CELL, value);
	else if (strcmp(m->unit, "share") == 0)
		snprintf(text, RH_CELL, "%.1f %%", value * 100);
	else
		snprintf(text, RH_CELL, "%.*f", value >= 100 ? 0 : value >= 1 ? 1 : 3, value);
	rh_group_digits(text, RH_CELL);
}

static void print_readings(const struct rh_result *result, struct reading *readings, size_t count,
			   FILE *to)
{
	char lo[RH_CELL], hi[RH_CELL];
	const char *unit = readings[0].like->unit;

	if (strcmp(readings[0].like->better, "none") != 0)
		qsort(readings, count, sizeof(*readings), by_value);
	for (size_t i = 0; i < count; i++) {
		value_text(result, readings[i].like, readings[i].lo, lo);
		value_text(result, readings[i].like, readings[i].hi, hi);
		rh_print(to, "%s %s %s", i ? "," : "", readings[i].name, lo);
		if (strcmp(lo, hi) != 0)
			rh_print(to, " to %s", hi);
	}
	rh_print(to, "%s\n", strcmp(unit, "ns") == 0 ? " ns" : "");
}

/* Contestants; if there are none, any backend with a reading. False when none has one. */
static bool print_headline(const struct rh_result *result, const struct rh_trial **places,
			   size_t count, const struct rh_headline *headline, FILE *to)
{
	struct reading *readings = calloc(result->backend_count + 1, sizeof(*readings));
	size_t found = 0;

	for (int controls = 0; controls < 2 && found == 0 && readings; controls++)
		for (uint32_t b = 0; b < result->backend_count; b++) {
			if (result->backends[b].control != controls)
				continue;
			readings[found] = reading_of(result, places, count, b, headline->metric);
			found += readings[found].n > 0;
		}
	if (found) {
		rh_print(to, "%s:", headline->words);
		print_readings(result, readings, found, to);
	}
	free(readings);
	return found > 0;
}

static size_t print_headlines(const struct rh_result *result, const struct rh_trial **places,
			      size_t count, FILE *to)
{
	size_t lines = 0;

	for (int i = 0; rh_probes[i]; i++) {
		const struct rh_headline *at = rh_probes[i]->headlines;

		while (at && at->metric && !print_headline(result, places, count, at, to))
			at++;
		lines += at && at->metric;
	}
	return lines;
}

/* ---- what is missing ---- */

/* Each reason once, after the names of everything it explains. */
static void print_absent(const struct rh_result *result, FILE *to, const char *mark)
{
	for (size_t i = 0; i < result->absent_count; i++) {
		const struct rh_absent *first = &result->absent[i];
		bool said = false;

		for (size_t j = 0; j < i; j++)
			said |= strcmp(result->absent[j].why, first->why) == 0;
		if (said)
			continue;
		rh_print(to, "%s", mark);
		for (size_t j = i; j < result->absent_count; j++) {
			const struct rh_absent *row = &result->absent[j];

			if (strcmp(row->why, first->why) != 0)
				continue;
			rh_print(to, "%s%s%s%s", j == i ? "" : ", ", row->metric,
				 row->backend < 0 ? "" : " of ",
				 row->backend < 0 ? "" : result->backends[row->backend].text);
		}
		rh_print(to, " not measured: %s\n", first->why);
	}
}

/* Fewer bytes resident than live looks like an error but is not one. */
static void explain_low_rss(const struct rh_result *result, FILE *to, const char *mark)
{
	bool recorded = strcmp(result->touch, "full") != 0 && strcmp(result->touch, "page") != 0;

	for (size_t i = 0; i < result->metric_count; i++) {
		const struct rh_metric *m = &result->metrics[i];

		if (strcmp(m->name, "memory.fragmentation_peak") != 0 || m->median >= 0.99)
			continue;
		rh_print(to, "%snote: RSS/live below 1: %s\n", mark,
			 recorded ? "the program did not write all of what it asked for, so that "
				    "part of its live bytes had no pages, either"
				  : "blocks of zero bytes to write, or large ones that are not "
				    "touched, count as live and have no pages");
		return;
	}
}

static void print_failures(const struct rh_result *result, FILE *to, const char *mark)
{
	for (size_t b = 0; b < result->backend_count; b++) {
		const struct rh_run_backend *backend = &result->backends[b];

		if (backend->status != RH_STATUS_OK)
			rh_print(to, "%s%s: %s: %s\n", mark, backend->text,
				 rh_status_names[backend->status], backend->why);
	}
}

void rh_result_print_summary(const struct rh_result *result, const struct rh_trial **places,
			     size_t count, FILE *to, const struct rh_telling *how)
{
	const char *mark = how->markdown ? "- " : "";
	size_t lines = 0;

	if (!how->verbose) {
		fputs(how->markdown && count ? "\n" : "", to);
		lines = print_headlines(result, places, count, to);
		if (lines || count > 1)
			rh_print(to, "More: -v prints the table of every %s.\n",
				 count < 2 ? "probe"
				 : lines   ? "trace and probe"
					   : "trace");
	}
	print_failures(result, to, mark);
	print_absent(result, to, mark);
	for (size_t i = 0; i < result->warning_count; i++)
		rh_print(to, "%snote: %s\n", mark, result->warnings[i]);
	if (count == 1 || how->verbose)
		explain_low_rss(result, to, mark);
}
