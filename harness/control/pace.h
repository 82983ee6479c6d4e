/*
 * pace.h - the report of a paced replay (RH_AREA_PACE): one struct per seat.
 *
 * The lane writes while a segment runs, the driver reads at other times. Ticks of the run's
 * clock, as everywhere in the worker.
 *
 * Thread rule: one writer at a time, as above. Errors: none.
 */
#ifndef RH_PACE_H
#define RH_PACE_H

#include "harness/control/hist.h"

struct rh_pace_lane {
	struct rh_hist lag;	 /* how late an operation started; one value per PACE op */
	struct rh_hist response; /* open, timed variants: from intended start to end */
	uint64_t waited_ticks;	 /* until operations were due */
	uint64_t pad[511];
};
_Static_assert(sizeof(struct rh_pace_lane) % 4096 == 0, "lanes share no page");

#endif
