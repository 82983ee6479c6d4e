/*
 * mutex.h - the data shared by the mutex probe's shim (shim/mutex.c), the worker and the driver
 * (RH_AREA_MUTEX): one struct per seat, written by the lane's thread inside segments.
 */
#ifndef RH_MUTEX_H
#define RH_MUTEX_H

#include <stdbool.h>
#include <stdint.h>

enum { RH_MUTEX_BUCKETS = 32 };

struct rh_mutex_lane {
	uint64_t acquired, contended; /* mutexes and spin locks; those held by another */
	uint64_t refused;	      /* trylock that did not get it */
	uint64_t wait_ticks, wait_ticks_max;
	uint64_t futex_waits, futex_wakes; /* through syscall(), not by the worker itself */
	uint64_t pad;
	uint32_t wait_log2[RH_MUTEX_BUCKETS];
	uint64_t pad2[8];
};
_Static_assert(sizeof(struct rh_mutex_lane) % 128 == 0, "lanes share no line");

/* Exported by the shim: from now on the calling thread counts into lane (NULL: it stops counting).
 * Calls from code between text and text_end belong to the worker and are not counted. */
typedef void rh_mutex_attach_fn(struct rh_mutex_lane *lane, bool clock_is_counter, const void *text,
				const void *text_end);

#endif
