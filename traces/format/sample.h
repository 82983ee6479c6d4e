/*
 * sample.h - a trace that holds a sample of the blocks, and what can be said of all.
 *
 * A trace with the note RH_SAMPLE_NOTE = R was recorded by hitting each byte asked for with
 * probability 1 / R (reheap record --sample-bytes): a block of s bytes is in it with the chance
 * p = 1 - exp(-s / R), and stands for 1 / p of its kind. The sum of 1 / p (or s / p) over
 * the blocks that are there is an unbiased estimate of the number (bytes) of all; its variance,
 * of independent draws, is estimated without bias by the sum of (1 - p) / p^2 (times s^2).
 *
 * Thread rule: any. Errors: none; a trace without the note holds all.
 */
#ifndef RH_SAMPLE_H
#define RH_SAMPLE_H

#include "traces/format/trace.h"

#define RH_SAMPLE_NOTE "sample.bytes"

struct rh_sample_sum {
	double value, variance;
};

/* R of a trace; 0 = it is no sample. */
uint64_t rh_trace_sample(const struct rh_trace *trace);
/* With what probability a block of that size is in the sample; one of 0 bytes counts as one. */
double rh_sample_chance(uint64_t interval, uint64_t size);
/* A block of the sample stands for `each` (1, or its bytes) of its own; -1 takes it out again. */
void rh_sample_add(struct rh_sample_sum *estimate, double chance, double each, int sign);
/* Standard error. */
double rh_sample_error(const struct rh_sample_sum *estimate);

#endif
