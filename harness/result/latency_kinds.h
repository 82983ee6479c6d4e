/*
 * latency_kinds.h - kinds of operation and sizes as results name them, for writers and readers
 * of the latency probe's findings. The list itself is RH_LATENCY_KINDS
 * (harness/control/latency.h).
 *
 * Thread rule: constants and pure functions.
 */
#ifndef RH_LATENCY_KINDS_H
#define RH_LATENCY_KINDS_H

#include <assert.h>

#include "harness/control/latency.h"

extern const char *const rh_latency_names[RH_LAT_KINDS]; /* "alloc", "free_remote" ... */
extern const char *const rh_latency_words[RH_LAT_KINDS]; /* "frees from other threads" ... */

_Static_assert(RH_LAT_OCTAVES + 2 < 64, "8 << octave is a number");

/* The largest size of an octave, as a number of a result: NaN for the last. */
static inline double rh_latency_size_to(unsigned octave)
{
	assert(octave < RH_LAT_OCTAVES);
	return octave == RH_LAT_OCTAVES - 1 ? __builtin_nan("") : (double)(8ull << octave);
}

/* The inverse: the octave of such a number; RH_LAT_OCTAVES when it is not one. */
static inline unsigned rh_latency_octave_of(double size_to)
{
	if (__builtin_isnan(size_to))
		return RH_LAT_OCTAVES - 1;
	for (unsigned octave = 0; octave < RH_LAT_OCTAVES - 1; octave++)
		if (size_to == (double)(8ull << octave))
			return octave;
	return RH_LAT_OCTAVES;
}

#endif
