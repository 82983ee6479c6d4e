/*
 * gate_support.h - a gate made by hand, for tests of its verdicts and reports. No worker runs
 * here. Thread rule: one thread.
 */
#ifndef RH_TEST_GATE_SUPPORT_H
#define RH_TEST_GATE_SUPPORT_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ci/gate/extra.h"
#include "ci/gate/report.h"
#include "harness/result/result.h"

/* Two scenarios of four pairs: the second is 6 % slower. */
static inline void make_gate(struct rh_gate *gate)
{
	*gate = (struct rh_gate){ .seconds = 1.5 };
	gate->config = (struct rh_gate_config){ .threshold = 0.05,
						.alpha = 0.005,
						.pairs_min = 3,
						.pairs_max = 24,
						.blocks = 40,
						.counts_threshold = 0.01 };
	for (int m = 0; m < RH_GATE_METRICS; m++) {
		gate->config.metric_threshold[m] = 0.05;
		gate->config.metric_gates[m] = m == RH_GATE_WALL || m == RH_GATE_RSS;
	}
	gate->side[0].label = "old";
	gate->side[1].label = "new|<b>";
	for (int s = 0; s < 2; s++) {
		struct rh_gate_scenario *row =
			rh_grow(&gate->scenarios, &gate->scenario_count, sizeof(*row));

		row->trace = s ? "traces/b%,:.rht" : "a.rht";
		row->lanes = 1;
		for (uint32_t p = 0; p < 4; p++) {
			struct rh_gate_pair_row *pair =
				rh_grow(&row->pairs, &row->pair_count, sizeof(*pair));

			pair->value[0][RH_GATE_RSS] = pair->value[1][RH_GATE_RSS] = 1e8;
			pair->value[0][RH_GATE_PART] = pair->value[1][RH_GATE_PART] = 1;
			for (int b = 0; b < 40; b++) {
				struct rh_gate_block *block =
					rh_grow(&row->blocks, &row->block_count, sizeof(*block));

				block->pair = p;
				for (int m = 0; m < RH_GATE_PAIRED; m++)
					block->d[m] = s * log(1.06) + (b - 19.5) * 0.0005;
			}
		}
	}
	rh_gate_judge(gate);
}

#endif
