/*
 * profile.c - the rows of the version matrix, oldest first, from the one table of versions
 * (alloc/base/goversions.h, which says what each row differs in).
 */
#include "alloc/heap/tiered/profile.h"

#include <string.h>

#include "alloc/base/goversions.h"

const struct rh_goheap rh_tier_profiles[TIER_PROFILE_COUNT] = {
#define X(version, differs, heap, stacks) { .name = version, heap },
	GO_VERSIONS(X)
#undef X
};

const char *const rh_tier_profile_names[TIER_PROFILE_COUNT + 1] = {
#define X(version, differs, heap, stacks) version,
	GO_VERSIONS(X)
#undef X
};

int rh_tier_profile_of(const char *name)
{
	for (int i = 0; i < TIER_PROFILE_COUNT; i++)
		if (strcmp(rh_tier_profiles[i].name, name) == 0)
			return i;
	return -1;
}
