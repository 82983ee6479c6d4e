/*
 * gopacer.h - when Go starts a collection: goal and trigger, by the rules of its pacer.
 *
 * Source: mgcpacer.go (1.18 and later: gcController.commit, trigger, memoryLimitHeapGoal),
 * mgc.go (before: gcSetTriggerRatio). The heap model and `reheap whatif` both ask here.
 * Thread rule: pure functions. Nothing allocates, nothing fails.
 */
#ifndef RH_GOPACER_H
#define RH_GOPACER_H

#include <stdbool.h>
#include <stdint.h>

#define RH_GOGC_OFF	 UINT64_MAX
#define RH_GO_HEAP_LEAST ((uint64_t)4 << 20) /* least goal at GOGC=100 */

struct rh_gopacer {
	bool runway;	   /* rules of 1.18: roots count, trigger between 45/64 and 61/64 */
	uint64_t gogc;	   /* percent, or RH_GOGC_OFF */
	uint64_t limit;	   /* GOMEMLIMIT, 0 = none */
	uint64_t overhead; /* of the limit, what is not heap */
	uint64_t marked;   /* bytes live after the last cycle */
	uint64_t roots;	   /* bytes of stacks and globals to scan */
	uint64_t ahead;	   /* bytes that will be allocated while marking */
};

struct rh_gopace {
	uint64_t goal, trigger; /* UINT64_MAX: never */
};

struct rh_gopace rh_gopacer_pace(const struct rh_gopacer *pacer);

#endif
