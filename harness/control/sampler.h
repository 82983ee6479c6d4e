/*
 * sampler.h - which operations are sampled: gaps from a geometric distribution.
 *
 * With mean m every operation is taken with probability 1/m, independently of all others:
 * percentiles over the samples estimate those over all operations, whatever period the trace
 * has. m = 1 takes every operation. A gap costs a logarithm, on sampled operations only.
 *
 * Thread rule: one thread each. Errors: none.
 */
#ifndef RH_SAMPLER_H
#define RH_SAMPLER_H

#include <math.h>
#include <stdint.h>

#include "alloc/base/random.h"

struct rh_sampler {
	uint64_t state; /* xorshift64*: not 0 */
	double scale;	/* 1 / log(1 - 1/mean); 0 = every operation */
};

static inline void rh_sampler_open(struct rh_sampler *sampler, uint64_t mean, uint64_t seed)
{
	/* Consecutive seeds must not give related streams. */
	sampler->state = rh_random(&seed) | 1;
	sampler->scale = mean > 1 ? 1 / log1p(-1 / (double)mean) : 0;
}

/* Operations until the next sample, that one included: 1, 2, ... */
static inline uint64_t rh_sampler_gap(struct rh_sampler *sampler)
{
	uint64_t x = sampler->state;
	double u;

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	sampler->state = x;
	u = (double)((x * 0x2545f4914f6cdd1dull >> 11) + 1) * 0x1p-53; /* (0, 1] */
	return 1 + (uint64_t)(log(u) * sampler->scale);
}

#endif
