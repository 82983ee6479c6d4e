/*
 * random.h - one generator of random numbers for all that need no better one: splitmix64. Every
 * seed is a good one, and a seed in a report gives the same numbers again, on every machine.
 *
 * Ownership, thread rule: the state is the caller's, and belongs to one thread. Errors: none.
 */
#ifndef RH_RANDOM_H
#define RH_RANDOM_H

#include <stdint.h>

static inline uint64_t rh_random(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

#endif
