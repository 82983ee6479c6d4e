/*
 * grow.c - arrays that grow by doubling (grow.h).
 */
#include "alloc/base/grow.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* Pointers of different types may differ in how they are kept, so the array's own is copied
 * bytewise instead of being read as a void *. */
static bool reserve(void *array_pointer, size_t *room, size_t need, size_t element_bytes,
		    bool zeroed)
{
	/* Doubling copies each element about once on average over the life of the
	 * array, however it grows. */
	size_t more = *room ? *room : RH_GROW_FIRST, bytes;
	char *array, *grown;

	assert(element_bytes > 0);
	if (need <= *room)
		return true;
	memcpy(&array, array_pointer, sizeof(array));
	assert(array || *room == 0);
	while (more < need)
		if (__builtin_mul_overflow(more, 2, &more))
			return false;
	/* realloc, not reallocarray: that one allocates where no test can make it fail. */
	if (__builtin_mul_overflow(more, element_bytes, &bytes) || bytes > PTRDIFF_MAX)
		return false;
	/* On failure the old array is still valid and the caller's: nothing has been
	 * written yet. */
	grown = realloc(array, bytes);
	if (!grown)
		return false;
	/* Only the new part: the old one holds elements. */
	if (zeroed)
		memset(grown + *room * element_bytes, 0, (more - *room) * element_bytes);
	memcpy(array_pointer, &grown, sizeof(grown));
	*room = more;
	return true;
}

static bool reserve32(void *array_pointer, uint32_t *room, size_t need, size_t element_bytes,
		      bool zeroed)
{
	size_t wide = *room;

	/* So that doubling cannot pass 32 bits; arrays of a trace's lanes and names
	 * stay far below 2^31. */
	if (need > UINT32_MAX / 2 || !reserve(array_pointer, &wide, need, element_bytes, zeroed))
		return false;
	assert(wide <= UINT32_MAX); /* at most twice what was needed */
	*room = (uint32_t)wide;
	return true;
}

bool rh_reserve(void *array_pointer, size_t *room, size_t need, size_t element_bytes)
{
	return reserve(array_pointer, room, need, element_bytes, false);
}

bool rh_reserve32(void *array_pointer, uint32_t *room, size_t need, size_t element_bytes)
{
	return reserve32(array_pointer, room, need, element_bytes, false);
}

bool rh_reserve_zeroed(void *array_pointer, size_t *room, size_t need, size_t element_bytes)
{
	return reserve(array_pointer, room, need, element_bytes, true);
}

bool rh_reserve32_zeroed(void *array_pointer, uint32_t *room, size_t need, size_t element_bytes)
{
	return reserve32(array_pointer, room, need, element_bytes, true);
}

/* One place for the words, so that tests with failing allocations find every way out
 * by one text. */
int rh_no_memory(struct rh_err *err, const char *what)
{
	return rh_fail(err, RH_OS, "no memory for %s", what);
}
