/*
 * latency.h - what the gate reads from the histograms of timed operations.
 *
 * Pure functions of what lanes wrote (harness/control/latency.h). Inside this folder and its tests
 * only. Thread rule: none shared, while the lanes rest. Memory: the stack. Errors: none.
 */
#ifndef RH_GATE_LATENCY_H
#define RH_GATE_LATENCY_H

#include <stdbool.h>

#include "harness/control/latency.h"

/* Which of the gate's kinds an operation belongs to (RH_GATE_OF_ALLOC ...); -1: none. */
int rh_gate_latency_group(unsigned kind);

/* Between the edges of its bucket, which are 3 % apart, by how much of it lies below; ticks. */
double rh_gate_latency_quantile(const struct rh_hist_sum *sum, double q);

/* The class of sizes of one kind of operation that became slower most, of baseline and candidate,
 * in ticks: its median, or its 90th percentile. A class is an octave of sizes, or several where one
 * has too few operations. What takes less than a thousandth of the time of all operations more
 * is none: then both sides are those of the baseline. False, and NaN, without any class. */
bool rh_gate_latency_class(const struct rh_latency_lane *const side[2], uint32_t lanes,
			   double ticks[2]);

#endif
