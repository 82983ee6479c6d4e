/*
 * metrics_passes.c - metrics of the passes after the first: the steady state.
 *
 * The passes are taken together, as one long stretch: which of them met a fault or a neighbour
 * is chance, and a mean over all of them gives every event the same weight.
 */
#include <math.h>

#include "harness/result/result.h"
#include "traces/format/event.h"

double rh_passes_ns_per_event(const struct rh_trial *trial)
{
	uint64_t wall_ns = 0, events = 0;

	for (size_t p = 1; trial && p < trial->pass_count; p++) {
		wall_ns += trial->passes[p].wall_ns;
		events += trial->passes[p].events;
	}
	return events ? (double)wall_ns / (double)events : NAN;
}

double rh_passes_cpu_ns_per_event(const struct rh_trial *trial)
{
	uint64_t cpu_ns = 0, events = 0;

	for (size_t p = 1; p < trial->pass_count; p++) {
		cpu_ns += trial->passes[p].cpu_ns;
		events += trial->passes[p].events;
	}
	return events ? (double)cpu_ns / (double)events : NAN;
}

double rh_passes_faults_per_event(const struct rh_trial *trial)
{
	uint64_t faults = 0, events = 0;

	for (size_t p = 1; p < trial->pass_count; p++) {
		faults += trial->passes[p].faults_minor + trial->passes[p].faults_major;
		events += trial->passes[p].events;
	}
	return events ? (double)faults / (double)events : NAN;
}

uint64_t rh_passes_anon_peak(const struct rh_trial *trial)
{
	uint64_t peak = RH_NONE;

	for (size_t p = 1; p < trial->pass_count; p++) {
		uint64_t bytes = trial->passes[p].anon_peak;

		if (bytes != RH_NONE && (peak == RH_NONE || bytes > peak))
			peak = bytes;
	}
	return peak;
}

uint64_t rh_passes_anon_end(const struct rh_trial *trial)
{
	return trial->pass_count > 1 ? trial->passes[trial->pass_count - 1].anon_end : RH_NONE;
}
