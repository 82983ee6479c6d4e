/*
 * sample.h - the state of a lane's sampling, for the timed variants of the loop.
 *
 * The loop counts `left` down; everything else is touched only on sampled operations and at
 * segment edges. sample.c explains it. Thread rule: the lane's thread.
 */
#ifndef RH_WORKER_SAMPLE_H
#define RH_WORKER_SAMPLE_H

#include "alloc/base/clock.h"
#include "harness/control/latency.h"
#include "harness/control/sampler.h"

struct sample {
	uint64_t left;		      /* operations until the next sample, that one included */
	struct rh_latency_lane *area; /* NULL: not timed */
	uint32_t cpu;		      /* where the sampled operation began */
	uint64_t pair;		      /* median empty pair of this thread, ticks */
	struct rh_sampler sampler;
	/* the batch */
	uint64_t gap; /* of the sample in hand */
	uint64_t batch_ops, batch_since, batch_blocked;
	uint64_t faults_minor, faults_major, switches_voluntary, switches_involuntary;
	double median; /* running, ticks per operation; 0 = none yet */
	uint64_t run_delay_ns;
};

/* Reads the CPU first (an unfenced rdtscp, before the timed stretch), then the clock. */
static inline uint64_t sample_begin(struct sample *sample)
{
	rh_ticks_end(&sample->cpu);
	return rh_ticks_begin();
}

#endif
