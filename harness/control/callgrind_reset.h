/*
 * harness/control/callgrind_reset.h - asks callgrind, from inside a worker that runs under it, to
 * forget what it counted.
 *
 * Copies are brought to their phases by the same loop that is then measured; the cost of that
 * must not be in the counts. The request is a few instructions that do nothing outside valgrind;
 * building it needs valgrind's header; without it RH_CAN_CALLGRIND_RESET is 0 and copies have no
 * callgrind tier.
 *
 * Thread rule: the coordinator, while lanes rest. Errors: none.
 */
#ifndef RH_CALLGRIND_RESET_H
#define RH_CALLGRIND_RESET_H

#if __has_include(<valgrind/callgrind.h>)
#include <valgrind/callgrind.h>

enum { RH_CAN_CALLGRIND_RESET = 1 };

static inline void rh_callgrind_reset(void)
{
	CALLGRIND_ZERO_STATS;
}
#else
enum { RH_CAN_CALLGRIND_RESET = 0 };

static inline void rh_callgrind_reset(void) {}
#endif

#endif
