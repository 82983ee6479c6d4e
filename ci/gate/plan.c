/*
 * plan.c - cutting a trace into units; see the header.
 */
#include "ci/gate/plan.h"

#include <stdlib.h>

static uint64_t parts_of(uint64_t grains, uint64_t want)
{
	uint64_t parts = (grains + want / 2) / want;

	return parts ? parts : 1;
}

void rh_gate_units_cut(struct rh_gate_units *units, uint64_t grains, uint64_t epoch_grains,
		       uint64_t want)
{
	uint64_t epochs = (grains + epoch_grains - 1) / epoch_grains, end;

	*units = (struct rh_gate_units){ 0 };
	units->first = calloc(grains + 1, sizeof(*units->first));
	if (!units->first || grains == 0)
		return;
	for (uint64_t e = 0, from = 0; e < epochs; e++, from = end) {
		uint64_t parts;

		end = from + epoch_grains < grains ? from + epoch_grains : grains;
		parts = parts_of(end - from, want ? want : 1);
		for (uint64_t p = 0; p < parts; p++)
			units->first[units->count++] = from + (end - from) * p / parts;
	}
	units->first[units->count] = grains;
}

void rh_gate_units_free(struct rh_gate_units *units)
{
	free(units->first);
	*units = (struct rh_gate_units){ 0 };
}

size_t rh_gate_phase(size_t pair, size_t pass, size_t lead)
{
	return (pair / 2 + pass) % (lead + 1);
}
