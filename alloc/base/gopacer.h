/*
 * gopacer.h - when Go starts a collection: goal and trigger, by the rules of its pacer.
 *
 * Source: mgcpacer.go (1.18 and later: gcController.commit, trigger, memoryLimitHeapGoal),
 * mgc.go (before: gcSetTriggerRatio), mgclimit.go. The heap model and `reheap whatif` both ask
 * here. Thread rule: pure functions. Nothing allocates, nothing fails.
 */
#ifndef RH_GOPACER_H
#define RH_GOPACER_H

#include <stdbool.h>
#include <stdint.h>

#define RH_GOGC_OFF	 UINT64_MAX
#define RH_GO_HEAP_LEAST ((uint64_t)4 << 20) /* least goal at GOGC=100 */
/* Sweeping gets at least so many bytes of growth: no goal and no trigger lies nearer to what is
 * marked (mgcpacer.go, sweepDistMinTrigger), unless a limit sets the goal. */
#define RH_GO_SWEEP_LEAST ((uint64_t)1 << 20)

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
	bool by_limit;		/* the limit sets the goal, not growth */
};

struct rh_gopace rh_gopacer_pace(const struct rh_gopacer *pacer);

/*
 * What the variables GOGC and GOMEMLIMIT say, as the runtime reads them; NULL and "unset" are
 * the defaults. -1: the text is neither a number nor "off".
 */
int rh_go_read_gogc(const char *text, uint64_t *gogc);
int rh_go_read_memlimit(const char *text, uint64_t *limit); /* 0 = none */

/*
 * The collector gets half of the CPU at most (1.19 and later), so that a limit below what lives
 * does not collect without end. A leaky bucket of one second of each P: the collector's time
 * fills it, the program's drains it. While it is full, allocations need not help to mark.
 *
 * The clock here is marking: one unit is the time in which one P marks a byte.
 */
struct rh_golimiter {
	double capacity; /* bytes that all Ps mark in a second */
	double cost;	 /* time of the program for each byte that it allocates */
	double fill;
	uint64_t limited; /* cycles that ended with it full */
};

/* Marking takes a quarter of the CPU, and `black` bytes are allocated while one is marked. */
#define RH_GO_COST(black) (3 / (black))

/* The program allocates while nothing is marked. */
void rh_golimiter_run(struct rh_golimiter *limiter, double bytes);
/*
 * A cycle marks `work` bytes. helped: bytes that are allocated meanwhile if whoever allocates
 * helps as the goal asks. Returns how many are, which is more once the bucket is full.
 */
double rh_golimiter_mark(struct rh_golimiter *limiter, double work, double helped);

#endif
