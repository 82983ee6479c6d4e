/*
 * sample.c - see sample.h.
 */
#include "traces/format/sample.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

uint64_t rh_trace_sample(const struct rh_trace *trace)
{
	const char *note = rh_trace_note_of(trace, RH_SAMPLE_NOTE);
	char *end = NULL;
	uint64_t interval = note ? strtoull(note, &end, 10) : 0;

	/* A note that is no number is no sample: better no estimate than one by a
	 * wrong interval. */
	return note && end != note && *end == '\0' ? interval : 0;
}

double rh_sample_chance(uint64_t interval, uint64_t size)
{
	assert(interval > 0);
	/* expm1, since 1 - exp(-x) of a small block loses all digits. Size 0 counts
	 * as one byte, so that the chance is never 0. */
	return -expm1(-(double)(size ? size : 1) / (double)interval);
}

void rh_sample_add(struct rh_sample_sum *estimate, double chance, double each, int sign)
{
	assert(chance > 0 && chance <= 1 && (sign == 1 || sign == -1));
	estimate->value += sign * each / chance;
	/* Of Horvitz and Thompson for independent draws. A death takes its block's
	 * part out again. */
	estimate->variance += sign * each * each * (1 - chance) / (chance * chance);
}

double rh_sample_error(const struct rh_sample_sum *estimate)
{
	/* Roundings may leave a little below 0. */
	return estimate->variance > 0 ? sqrt(estimate->variance) : 0;
}
