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

	return note && end != note && *end == '\0' ? interval : 0;
}

double rh_sample_chance(uint64_t interval, uint64_t size)
{
	assert(interval > 0);
	return -expm1(-(double)(size ? size : 1) / (double)interval);
}

void rh_sample_add(struct rh_sample_sum *estimate, double chance, double each, int sign)
{
	assert(chance > 0 && chance <= 1 && (sign == 1 || sign == -1));
	estimate->value += sign * each / chance;
	estimate->variance += sign * each * each * (1 - chance) / (chance * chance);
}

double rh_sample_error(const struct rh_sample_sum *estimate)
{
	return estimate->variance > 0 ? sqrt(estimate->variance) : 0;
}
