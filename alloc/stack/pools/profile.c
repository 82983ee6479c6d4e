/*
 * profile.c - the rows of the version matrix (profile.h says what the columns are).
 */
#include "alloc/stack/pools/profile.h"

#include <stddef.h>

const struct pool_profile rh_pool_profiles[] = {
	{ .name = "1.4", .guard_bytes = 512, .g0_bytes = 8192, .orders = 3, .one_lock = true },
	{ .name = "1.5", .guard_bytes = 640, .g0_bytes = 8192, .orders = 4, .one_lock = true,
	  .large = POOL_LARGE_QUEUE, .shrink_reserve = true },
	{ .name = "1.8", .guard_bytes = 880, .g0_bytes = 8192, .orders = 4, .one_lock = true,
	  .large = POOL_LARGE_LISTS, .shrink_reserve = true, .g_split = true },
	{ .name = "1.10", .guard_bytes = 880, .g0_bytes = 8192, .orders = 4, .one_lock = true,
	  .large = POOL_LARGE_LISTS, .shrink_reserve = true, .g_split = true },
	{ .name = "1.13", .guard_bytes = 880, .g0_bytes = 8192, .orders = 4, .one_lock = true,
	  .large = POOL_LARGE_LISTS, .shrink_reserve = true, .g_split = true },
	{ .name = "1.14", .guard_bytes = 896, .g0_bytes = 8192, .orders = 4,
	  .large = POOL_LARGE_LISTS, .shrink_reserve = true, .g_split = true },
	{ .name = "1.15", .guard_bytes = 928, .g0_bytes = 8192, .orders = 4,
	  .large = POOL_LARGE_LISTS, .shrink_reserve = true, .g_split = true,
	  .growth = POOL_GROW_BY_FRAME },
	{ .name = "1.17", .guard_bytes = 928, .g0_bytes = 8192, .orders = 4,
	  .large = POOL_LARGE_LISTS, .shrink_reserve = true, .g_split = true,
	  .growth = POOL_GROW_TO_FIT },
	{ .name = "1.19", .guard_bytes = 928, .g0_bytes = 8192, .orders = 4,
	  .large = POOL_LARGE_LISTS, .shrink_reserve = true, .g_split = true,
	  .growth = POOL_GROW_TO_FIT, .adaptive = true },
	{ .name = "1.22", .guard_bytes = 928, .g0_bytes = 16384, .orders = 4,
	  .large = POOL_LARGE_LISTS, .shrink_reserve = true, .g_split = true,
	  .growth = POOL_GROW_TO_FIT, .adaptive = true },
	{ .name = "1.26", .guard_bytes = 928, .g0_bytes = 16384, .orders = 4,
	  .large = POOL_LARGE_LISTS, .shrink_reserve = true, .g_split = true,
	  .growth = POOL_GROW_TO_FIT, .adaptive = true },
};

const char *const rh_pool_profile_names[] = { "1.4", "1.5", "1.8", "1.10", "1.13", "1.14", "1.15",
					      "1.17", "1.19", "1.22", "1.26", NULL };
