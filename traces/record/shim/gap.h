/*
 * gap.h - the distances between sampled bytes: random numbers without a library.
 *
 * Sampling by bytes (--sample-bytes R) is a Poisson process over the bytes that a thread asks
 * for: a block is in the sample when one of its bytes is hit. So a block of s bytes is in the
 * sample with probability p = 1 - exp(-s / R), whatever was requested before it, and each block
 * stands for 1/p blocks. The number of bytes to skip before the next hit is drawn here: the
 * integer part of R times an exponential random number, which makes the probability exact for
 * whole bytes.
 *
 * Integers only: the program's floating point flags stay unchanged.
 *
 * Thread rule: the state is the caller's. Errors: none.
 */
#ifndef RH_RECORD_GAP_H
#define RH_RECORD_GAP_H

#include <stdint.h>

#include "alloc/base/random.h"

/* -log2(u / 2^64) in units of 2^-32, for u not 0: each squaring of the mantissa gives one bit of
 * the fraction. */
static inline uint64_t rh_gap_log2(uint64_t u)
{
	unsigned zeros = (unsigned)__builtin_clzll(u);
	uint64_t mantissa = u << zeros, fraction = 0; /* 1.63: from 1 to below 2 */

	for (int bit = 31; bit >= 0; bit--) {
		unsigned __int128 square = (unsigned __int128)mantissa * mantissa; /* 2.126 */

		if (square >> 127) {
			fraction |= 1ull << bit;
			mantissa = (uint64_t)(square >> 64);
		} else {
			mantissa = (uint64_t)(square >> 63);
		}
	}
	return ((uint64_t)(zeros + 1) << 32) - fraction;
}

/* Bytes to skip before the next hit, one in `mean` on average. */
static inline uint64_t rh_gap_next(uint64_t *state, uint64_t mean)
{
	static const uint64_t ln2 = 2977044472; /* in units of 2^-32 */
	uint64_t random = rh_random(state);
	unsigned __int128 gap;

	while (random == 0)
		random = rh_random(state);
	gap = (unsigned __int128)rh_gap_log2(random) * ln2 >> 16; /* units of 2^-48 */
	return (uint64_t)(gap * mean >> 48);
}

#endif
