/*
 * profile.c - the rows of the version matrix, from the one table of versions
 * (alloc/base/goversions.h; profile.h says what the columns are).
 */
#include "alloc/stack/pools/profile.h"

#include <stddef.h>

#include "alloc/base/goversions.h"

const struct pool_profile rh_pool_profiles[] = {
#define X(version, differs, heap, stacks) { .name = version, stacks },
	GO_VERSIONS(X)
#undef X
};

const char *const rh_pool_profile_names[] = {
#define X(version, differs, heap, stacks) version,
	GO_VERSIONS(X)
#undef X
		NULL
};
