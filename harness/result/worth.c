/*
 * worth.c - see worth.h. Savings first, then costs, then backends without a clear effect: a
 * share whose sign is not proven is not printed as a number, because it would be read as one.
 */
#include "harness/result/worth.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

#include "alloc/base/printable.h"
#include "harness/result/estimate.h"

enum sign { SAVES, COSTS, UNKNOWN };

static enum sign sign_of(const struct rh_worth_row *row)
{
	assert(!(row->lo > row->hi));
	if (!(row->level >= RH_LEVEL_MIN))
		return UNKNOWN;
	return row->lo > 0 ? SAVES : row->hi < 0 ? COSTS : UNKNOWN;
}

static int by_saving(const void *a, const void *b)
{
	double x = ((const struct rh_worth_row *)a)->median;
	double y = ((const struct rh_worth_row *)b)->median;

	return (x < y) - (x > y);
}

/* "2.1 % [1.0, 3.2]"; whole numbers from 10 on. */
static void print_share(const struct rh_worth_row *row, double sign, FILE *to)
{
	double lo = 100 * fmin(sign * row->lo, sign * row->hi);
	double hi = 100 * fmax(sign * row->lo, sign * row->hi);
	int digits = fabs(100 * row->median) < 10;

	fprintf(to, "%.*f %% [%.*f, %.*f]", digits, 100 * sign * row->median, digits, lo, digits,
		hi);
}

static size_t print_all(const struct rh_worth *worth, enum sign sign, FILE *to)
{
	size_t said = 0;

	for (size_t i = 0; i < worth->count; i++) {
		const struct rh_worth_row *row = &worth->rows[i];

		if (sign_of(row) != sign)
			continue;
		if (sign == UNKNOWN) {
			rh_print(to, "%s%s", said ? ", " : "; nothing is shown for ", row->name);
		} else if (said) {
			rh_print(to, ", %s ", row->name);
			print_share(row, sign == SAVES ? 1 : -1, to);
		} else {
			rh_print(to, "; %s would %s about ", row->name,
				 sign == SAVES ? "save" : "cost");
			print_share(row, sign == SAVES ? 1 : -1, to);
			fputs(sign == SAVES ? " of the whole" : " more", to);
		}
		said++;
	}
	return said;
}

void rh_worth_print(const struct rh_worth *worth, FILE *to)
{
	if (worth->trace)
		rh_print(to, "%s: the heap", worth->trace);
	else
		fputs("The heap", to);
	if (worth->heap > 1) {
		rh_print(to,
			 " takes %.1f times as long in this replay as the whole program took when "
			 "it was recorded: on this machine, at this load, nothing can be said of "
			 "the whole\n",
			 worth->heap);
		return;
	}
	rh_print(to, " is about %.*f %% of this program's CPU time (%s)", worth->heap < 0.01,
		 100 * fmax(worth->heap, 0), worth->base);
	if (worth->heap < RH_WORTH_LEAST) {
		fprintf(to,
			": too little to judge by its own time how much another one would change; "
			"not known is what it does to the other %.0f %%, the program's own "
			"loads (reheap validate runs the program)\n",
			100 * (1 - fmax(worth->heap, 0)));
		return;
	}
	if (worth->count)
		qsort(worth->rows, worth->count, sizeof(*worth->rows), by_saving);
	print_all(worth, SAVES, to);
	print_all(worth, COSTS, to);
	print_all(worth, UNKNOWN, to);
	if (worth->count)
		fprintf(to,
			". Not known: what another heap would do to the other %.0f %%, the "
			"program's own loads",
			100 * (1 - worth->heap));
	fputc('\n', to);
}
