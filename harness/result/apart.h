/*
 * apart.h - where the time of a trial's first pass went: shares of lane time (wall time x lanes x
 * copies) that add up to 1.
 *
 *	user	CPU time in the allocator, not in the kernel
 *	loop	CPU time of the replay itself: what the null floor took in the same repetition
 *	faults	page faults: their number x the measured cost of one (fault_cost.c)
 *	kernel	what else the kernel did for the lanes
 *	waits	for another lane, in recorded order: on the CPU or asleep
 *	delay	ready to run, without a CPU
 *	idle	a lane had not begun, or had ended, while another ran the segment
 *	rest	of no known kind: asleep for a lock of the allocator, or the clocks do not agree
 *
 * The kernel splits user and kernel time by its ticks (4 or 10 ms): in a trial of a few ms the
 * split is a guess, but the sum is exact. A fault of a huge page costs more than that of a small
 * one.
 *
 * Thread rule: pure. Errors: none; NaN without lane time.
 */
#ifndef RH_APART_H
#define RH_APART_H

#include "harness/result/result.h"

#define RH_APART_PARTS(P) P(user) P(loop) P(faults) P(kernel) P(waits) P(delay) P(idle) P(rest)

struct rh_apart {
#define RH_APART_MEMBER(part) double part;
	RH_APART_PARTS(RH_APART_MEMBER)
#undef RH_APART_MEMBER
};

/* floor: the null backend's trial of the same repetition; NULL = the loop is in user. */
struct rh_apart rh_apart_of(const struct rh_result *result, const struct rh_trial *trial,
			    const struct rh_trial *floor);

#endif
