/*
 * profile.h - which Go a tiered heap behaves like: the version matrix as data. What the
 * columns are: struct rh_goheap in alloc/base/goversions.h.
 *
 * A row holds facts, never code: every tier asks its field and nothing compares
 * version numbers. To add a version: a row in alloc/base/goversions.h; the model test
 * walks all rows.
 *
 * Thread rule: constant data.
 */
#ifndef RH_TIERED_PROFILE_H
#define RH_TIERED_PROFILE_H

#include <stdbool.h>
#include <stdint.h>

#include "alloc/base/goversions.h"

enum tier_profile_index {
#define X(version, differs, heap, stacks) +1
	TIER_PROFILE_COUNT = GO_VERSIONS(X),
#undef X
};
#define TIER_PROFILE_DEFAULT "1.17"

/* The row of that name, -1 when there is none. */
int rh_tier_profile_of(const char *name);

extern const struct rh_goheap rh_tier_profiles[TIER_PROFILE_COUNT];
extern const char *const rh_tier_profile_names[TIER_PROFILE_COUNT + 1]; /* NULL at the end */

#endif
