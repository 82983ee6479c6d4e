/*
 * profile.h - which Go the stack pools behave like: the version matrix as data.
 *
 * A row holds facts, never code. To add a version: a row in alloc/base/goversions.h.
 * Stacks of Go 1.3 and before: segmented.c.
 *
 * Thread rule: constant data.
 */
#ifndef RH_POOLS_PROFILE_H
#define RH_POOLS_PROFILE_H

#include <stdbool.h>
#include <stdint.h>

enum pool_large {
	POOL_LARGE_NONE,  /* large stacks come from pages and go there at once */
	POOL_LARGE_QUEUE, /* those freed during a cycle wait for its end, unused */
	POOL_LARGE_LISTS, /* and may be taken again meanwhile */
};

enum pool_growth {
	POOL_GROW_DOUBLE,   /* twice, and again at the next check if that is too little */
	POOL_GROW_BY_FRAME, /* until what is added holds the frame */
	POOL_GROW_TO_FIT,   /* until what is free then holds the frame */
};

struct pool_profile {
	const char *name;
	uint32_t guard_bytes; /* kept free below every stack: 720, 880, 928 ... */
	uint32_t g0_bytes;    /* the scheduler's stack of a thread */
	uint8_t orders;	      /* sizes that are pooled: 2, 4, 8 (, 16) KiB */
	uint8_t large;	      /* enum pool_large */
	uint8_t growth;	      /* enum pool_growth */
	bool one_lock;	      /* one lock for all orders, else one each */
	bool g_split;	      /* dead tasks without a stack have a global list of their own */
	bool adaptive;	      /* new stacks are as large as the average in use */
	bool shrink_reserve;  /* the nosplit reserve counts as used */
};

extern const struct pool_profile rh_pool_profiles[];
extern const char *const rh_pool_profile_names[]; /* NULL-terminated, same order */

#endif
