/*
 * malloc.c - the malloc family of the recorded program.
 *
 * An alloc is stamped after the real one returned and a free before the real one
 * starts, so the lives of one address never overlap in stamps, whatever threads they
 * pass through. A realloc gives both ends: its old block may be handed to another
 * thread while it still runs, and its new one may have been freed since it began.
 *
 * malloc_usable_size is not here: blocks are the real allocator's own, unchanged.
 * C++ new and delete come through malloc and free.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "traces/record/shim/shim.h"

void *memalign(size_t align, size_t size);
void *pvalloc(size_t size);
void *valloc(size_t size);
void *reallocarray(void *p, size_t count, size_t size);
void free_sized(void *p, size_t size);
void free_aligned_sized(void *p, size_t align, size_t size);

static inline __attribute__((always_inline)) void put_alloc(uint64_t flags, const void *p,
							   uint64_t size, const void *caller)
{
	shim_put(SHIM_KIND(RH_REC_ALLOC) | flags, (uintptr_t)p, size, caller);
}

static inline uint64_t align_flag(size_t align)
{
	return align > 1 ? (uint64_t)__builtin_ctzll(align) << 54 : 0;
}

SHIM_EXPORT void *malloc(size_t size)
{
	void *p = real.malloc(size);

	put_alloc(0, p, size, __builtin_return_address(0));
	return p;
}

SHIM_EXPORT void free(void *p)
{
	if (SHIM_UNLIKELY(!p || shim_boot_owns(p)))
		return;
	shim_put(SHIM_KIND(RH_REC_FREE), (uintptr_t)p, 0, NULL);
	real.free(p);
}

SHIM_EXPORT void *calloc(size_t count, size_t size)
{
	void *p = real.calloc(count, size);
	size_t bytes;

	if (SHIM_UNLIKELY(p && shim_boot_owns(p)))
		return p;
	if (__builtin_mul_overflow(count, size, &bytes))
		bytes = SIZE_MAX;
	put_alloc(RH_REC_ZEROED, p, bytes, __builtin_return_address(0));
	return p;
}

static void *realloc_at(void *p, size_t size, const void *caller)
{
	void *q;

	if (SHIM_UNLIKELY(p && shim_boot_owns(p))) {
		size_t room = shim_boot_room(p);

		q = real.malloc(size);
		if (q)
			memcpy(q, p, room < size ? room : size);
		put_alloc(0, q, size, caller);
		return q;
	}
	if (!p) {
		q = real.realloc(NULL, size);
		put_alloc(0, q, size, caller);
		return q;
	}
	shim_put(SHIM_KIND(RH_REC_RE_BEGIN), (uintptr_t)p, 0, NULL);
	q = real.realloc(p, size);
	shim_put(SHIM_KIND(RH_REC_RE_END), (uintptr_t)q, size, caller);
	return q;
}

SHIM_EXPORT void *realloc(void *p, size_t size)
{
	return realloc_at(p, size, __builtin_return_address(0));
}

SHIM_EXPORT void *reallocarray(void *p, size_t count, size_t size)
{
	size_t bytes;

	if (__builtin_mul_overflow(count, size, &bytes)) {
		errno = ENOMEM;
		return NULL;
	}
	return realloc_at(p, bytes, __builtin_return_address(0));
}

SHIM_EXPORT void *memalign(size_t align, size_t size)
{
	void *p = real.memalign(align, size);

	put_alloc(align_flag(align), p, size, __builtin_return_address(0));
	return p;
}

SHIM_EXPORT void *aligned_alloc(size_t align, size_t size)
{
	void *p = real.aligned_alloc(align, size);

	put_alloc(align_flag(align), p, size, __builtin_return_address(0));
	return p;
}

SHIM_EXPORT int posix_memalign(void **out, size_t align, size_t size)
{
	int failed = real.posix_memalign(out, align, size);

	put_alloc(align_flag(align), failed ? NULL : *out, size, __builtin_return_address(0));
	return failed;
}

SHIM_EXPORT void *valloc(size_t size)
{
	void *p = real.valloc(size);

	put_alloc(align_flag(4096), p, size, __builtin_return_address(0));
	return p;
}

SHIM_EXPORT void *pvalloc(size_t size)
{
	void *p = real.pvalloc(size);

	put_alloc(align_flag(4096), p, size, __builtin_return_address(0));
	return p;
}

/* C23; a libc that has them may not pass them through the free we stand in front of. */
SHIM_EXPORT void free_sized(void *p, size_t size)
{
	(void)size;
	free(p);
}

SHIM_EXPORT void free_aligned_sized(void *p, size_t align, size_t size)
{
	(void)align, (void)size;
	free(p);
}
