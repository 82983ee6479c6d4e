/*
 * random.h - the gate's coins: splitmix64, so that a seed in a report gives the same
 * order of turns again. Thread rule: the state belongs to one thread.
 */
#ifndef RH_GATE_RANDOM_H
#define RH_GATE_RANDOM_H

#include <stdint.h>

static inline uint64_t rh_gate_random(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

#endif
