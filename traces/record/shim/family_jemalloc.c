/*
 * family_jemalloc.c - jemalloc's functions other than malloc: those whose names end in x, and
 * all of them again with the prefix je_, as in builds that leave malloc alone.
 *
 * nallocx is not here: it names no block. xallocx resizes in place or not at all, so both ends
 * are recorded after it; if it did not resize, it counts as a query.
 */
#include <malloc.h>
#include <stdlib.h>

#include "traces/record/shim/hook.h"

enum { X_ALIGN = 63, X_ZERO = 64 };

static size_t align_of(int flags)
{
	return flags & X_ALIGN ? (size_t)1 << (flags & X_ALIGN) : 0;
}

static void *plain(size_t size, int flags)
{
	size_t align = align_of(flags);

	if (flags & X_ZERO && align <= 16)
		return calloc(1, size);
	return align > sizeof(void *) ? aligned_alloc(align, size) : malloc(size);
}

static void put_resized(const void *p, size_t size, size_t got)
{
	if (got < size) {
		put_any(RH_REC_USABLE, p, 0, SHIM_NOBODY);
		return;
	}
	put_resize_ends(put_resize_begins(p), p, p, size, SHIM_NOBODY);
}

#define HOOK_IN_PLACE(function)                                                           \
	size_t function(void *p, size_t size, size_t extra, int flags);                   \
	SHIM_EXPORT size_t function(void *p, size_t size, size_t extra, int flags)        \
	{                                                                                 \
		static struct hook hook = { .name = #function };                          \
		enum hook_way way = shim_hook(&hook, false, __builtin_return_address(0)); \
		size_t got;                                                               \
                                                                                          \
		if (SHIM_UNLIKELY(way == HOOK_NONE))                                      \
			return malloc_usable_size(p);                                     \
		got = ((__typeof__(&function))hook.next.call)(p, size, extra, flags);     \
		if (SHIM_LIKELY(way == HOOK_RECORD))                                      \
			put_resized(p, size, got);                                        \
		return got;                                                               \
	}

#define X_FUNCTIONS(prefix)                                                                        \
	HOOK_BIRTH(prefix##mallocx, (size_t size, int flags), (size, flags), size,                 \
		   align_of(flags), (flags & X_ZERO) != 0, plain(size, flags))                     \
	HOOK_RESIZE(prefix##rallocx, (void *p, size_t size, int flags), (p, size, flags), p, size, \
		    realloc(p, size))                                                              \
	HOOK_IN_PLACE(prefix##xallocx)                                                             \
	HOOK_QUERY(prefix##sallocx, (const void *p, int flags), (p, flags), p)                     \
	HOOK_DEATH(prefix##dallocx, (void *p, int flags), (p, flags), p, 0)                        \
	HOOK_DEATH(prefix##sdallocx, (void *p, size_t size, int flags), (p, size, flags), p,       \
		   size + 1)

X_FUNCTIONS()
X_FUNCTIONS(je_)

HOOK_BIRTH(je_malloc, (size_t size), (size), size, 0, false, malloc(size))
HOOK_BIRTH(je_calloc, (size_t count, size_t size), (count, size), count *size, 0, true,
	   calloc(count, size))
HOOK_BIRTH(je_aligned_alloc, (size_t align, size_t size), (align, size), size, align, false,
	   aligned_alloc(align, size))
HOOK_BIRTH(je_memalign, (size_t align, size_t size), (align, size), size, align, false,
	   memalign(align, size))
HOOK_BIRTH(je_valloc, (size_t size), (size), size, HOOK_PAGE, false, valloc(size))
HOOK_BIRTH(je_pvalloc, (size_t size), (size), size, HOOK_PAGE, false, pvalloc(size))
HOOK_POSIX(je_posix_memalign)
HOOK_RESIZE(je_realloc, (void *p, size_t size), (p, size), p, size, realloc(p, size))
HOOK_RESIZE(je_reallocarray, (void *p, size_t count, size_t size), (p, count, size), p, count *size,
	    reallocarray(p, count, size))
HOOK_DEATH(je_free, (void *p), (p), p, 0)
HOOK_DEATH(je_free_sized, (void *p, size_t size), (p, size), p, size + 1)
HOOK_DEATH(je_free_aligned_sized, (void *p, size_t align, size_t size), (p, align, size), p,
	   size + 1)
HOOK_QUERY(je_malloc_usable_size, (void *p), (p), p)
HOOK_QUERY(je_malloc_size, (const void *p), (p), p)
