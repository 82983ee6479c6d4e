/*
 * verdict_sizes.c - which sizes are slow, in a sentence: where the 99th percentile of a backend is
 * furthest from the best one's for blocks of that size.
 *
 * It reads the figure by size (latency-sizes), whose points are medians over trials of a hundred
 * samples or more. Below twice the best nothing is reported: the tail of a busy machine moves that
 * far.
 */
#include <stdlib.h>
#include <string.h>

#include "alloc/base/cells.h"
#include "alloc/base/printable.h"
#include "plots/report/report.h"

enum { NAMED = 3 };
#define SLOW 2.0 /* times the best */

struct slow {
	const struct rh_series *series, *best;
	double bytes, ns, times;
};

static const struct rh_figure *by_size(const struct rh_figures *figures)
{
	for (size_t i = 0; i < figures->count; i++)
		if (strcmp(figures->list[i].name, "latency-sizes") == 0 &&
		    !figures->list[i].absent_why)
			return &figures->list[i];
	return NULL;
}

/* Nanoseconds of a series at a size; 0 when it has no point there. */
static double ns_at(const struct rh_series *series, double bytes)
{
	for (size_t i = 0; i < series->point_count; i++)
		if (series->points[i].x == bytes)
			return series->points[i].y;
	return 0;
}

/* The size at which a series of the first panel is furthest from the best. */
static struct slow slowest_of(const struct rh_figure *figure, const struct rh_series *series)
{
	struct slow slow = { .series = series };

	for (size_t i = 0; i < series->point_count; i++) {
		double bytes = series->points[i].x, ns = series->points[i].y;

		for (size_t s = 0; s < figure->series_count; s++) {
			const struct rh_series *other = &figure->series[s];
			double least = other->panel == series->panel ? ns_at(other, bytes) : 0;

			if (least > 0 && ns / least > slow.times)
				slow = (struct slow){ series, other, bytes, ns, ns / least };
		}
	}
	return slow;
}

static int by_times(const void *a, const void *b)
{
	const struct slow *x = a, *y = b;

	return (y->times > x->times) - (y->times < x->times);
}

static void say_slow(const struct slow *slow, FILE *to)
{
	char bytes[32], ns[32];

	rh_group_number(bytes, sizeof(bytes), (uint64_t)slow->bytes);
	rh_group_number(ns, sizeof(ns), (uint64_t)(slow->ns + 0.5));
	rh_print(to, "%s at sizes up to %s bytes (%s ns, %.1f × %s)", slow->series->label, bytes,
		 ns, slow->times, slow->best->label);
}

void rh_verdict_sizes(const struct rh_figures *figures, FILE *to)
{
	const struct rh_figure *figure = by_size(figures);
	struct slow *list;
	size_t count = 0, named = 0;

	if (!figure)
		return;
	list = calloc(figure->series_count + 1, sizeof(*list));
	for (size_t s = 0; list && s < figure->series_count; s++)
		if (figure->series[s].panel == 0)
			list[count++] = slowest_of(figure, &figure->series[s]);
	if (list)
		qsort(list, count, sizeof(*list), by_times);
	rh_print(to, "Slow sizes (99th percentile of %s): ", figure->panels[0].name);
	for (; named < count && named < NAMED && list[named].times >= SLOW; named++) {
		fputs(named ? "; " : "", to);
		say_slow(&list[named], to);
	}
	if (named == 0)
		fputs("none takes twice the time of the best", to);
	fputc('\n', to);
	free(list);
}
