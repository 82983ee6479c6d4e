/*
 * family_tcmalloc.c - the functions of tcmalloc and tbbmalloc under their own names, and the
 * names by which glibc's own malloc can be called past a replaced one.
 */
#include <malloc.h>
#include <stdlib.h>

#include "traces/record/shim/hook.h"

static void *aligned(size_t align, size_t size)
{
	void *p = NULL;

	return posix_memalign(&p, align, size) ? NULL : p;
}

HOOK_BIRTH(tc_malloc, (size_t size), (size), size, 0, false, malloc(size))
HOOK_BIRTH(tc_malloc_skip_new_handler, (size_t size), (size), size, 0, false, malloc(size))
HOOK_BIRTH(tc_calloc, (size_t count, size_t size), (count, size), count *size, 0, true,
	   calloc(count, size))
HOOK_BIRTH(tc_memalign, (size_t align, size_t size), (align, size), size, align, false,
	   memalign(align, size))
HOOK_BIRTH(tc_valloc, (size_t size), (size), size, HOOK_PAGE, false, valloc(size))
HOOK_BIRTH(tc_pvalloc, (size_t size), (size), size, HOOK_PAGE, false, pvalloc(size))
HOOK_POSIX(tc_posix_memalign)
HOOK_RESIZE(tc_realloc, (void *p, size_t size), (p, size), p, size, realloc(p, size))
HOOK_DEATH(tc_free, (void *p), (p), p, 0)
HOOK_DEATH(tc_cfree, (void *p), (p), p, 0)
HOOK_DEATH(tc_free_sized, (void *p, size_t size), (p, size), p, size + 1)
HOOK_QUERY(tc_malloc_size, (void *p), (p), p)

HOOK_BIRTH(tc_new, (size_t size), (size), size, 0, false, malloc(size))
HOOK_BIRTH(tc_new_nothrow, (size_t size, const void *tag), (size, tag), size, 0, false,
	   malloc(size))
HOOK_BIRTH(tc_new_aligned, (size_t size, size_t align), (size, align), size, align, false,
	   aligned(align, size))
HOOK_BIRTH(tc_new_aligned_nothrow, (size_t size, size_t align, const void *tag), (size, align, tag),
	   size, align, false, aligned(align, size))
HOOK_BIRTH(tc_newarray, (size_t size), (size), size, 0, false, malloc(size))
HOOK_BIRTH(tc_newarray_nothrow, (size_t size, const void *tag), (size, tag), size, 0, false,
	   malloc(size))
HOOK_BIRTH(tc_newarray_aligned, (size_t size, size_t align), (size, align), size, align, false,
	   aligned(align, size))
HOOK_BIRTH(tc_newarray_aligned_nothrow, (size_t size, size_t align, const void *tag),
	   (size, align, tag), size, align, false, aligned(align, size))
HOOK_DEATH(tc_delete, (void *p), (p), p, 0)
HOOK_DEATH(tc_delete_nothrow, (void *p, const void *tag), (p, tag), p, 0)
HOOK_DEATH(tc_delete_aligned, (void *p, size_t align), (p, align), p, 0)
HOOK_DEATH(tc_delete_aligned_nothrow, (void *p, size_t align, const void *tag), (p, align, tag), p,
	   0)
HOOK_DEATH(tc_delete_sized, (void *p, size_t size), (p, size), p, size + 1)
HOOK_DEATH(tc_delete_sized_aligned, (void *p, size_t size, size_t align), (p, size, align), p,
	   size + 1)
HOOK_DEATH(tc_deletearray, (void *p), (p), p, 0)
HOOK_DEATH(tc_deletearray_nothrow, (void *p, const void *tag), (p, tag), p, 0)
HOOK_DEATH(tc_deletearray_aligned, (void *p, size_t align), (p, align), p, 0)
HOOK_DEATH(tc_deletearray_aligned_nothrow, (void *p, size_t align, const void *tag),
	   (p, align, tag), p, 0)
HOOK_DEATH(tc_deletearray_sized, (void *p, size_t size), (p, size), p, size + 1)
HOOK_DEATH(tc_deletearray_sized_aligned, (void *p, size_t size, size_t align), (p, size, align), p,
	   size + 1)

HOOK_BIRTH(scalable_malloc, (size_t size), (size), size, 0, false, malloc(size))
HOOK_BIRTH(scalable_calloc, (size_t count, size_t size), (count, size), count *size, 0, true,
	   calloc(count, size))
HOOK_BIRTH(scalable_aligned_malloc, (size_t size, size_t align), (size, align), size, align, false,
	   aligned(align, size))
HOOK_POSIX(scalable_posix_memalign)
HOOK_RESIZE(scalable_realloc, (void *p, size_t size), (p, size), p, size, realloc(p, size))
HOOK_RESIZE(scalable_aligned_realloc, (void *p, size_t size, size_t align), (p, size, align), p,
	    size, realloc(p, size))
HOOK_DEATH(scalable_free, (void *p), (p), p, 0)
HOOK_DEATH(scalable_aligned_free, (void *p), (p), p, 0)
HOOK_QUERY(scalable_msize, (void *p), (p), p)

HOOK_BIRTH(__libc_malloc, (size_t size), (size), size, 0, false, malloc(size))
HOOK_BIRTH(__libc_calloc, (size_t count, size_t size), (count, size), count *size, 0, true,
	   calloc(count, size))
HOOK_BIRTH(__libc_memalign, (size_t align, size_t size), (align, size), size, align, false,
	   memalign(align, size))
HOOK_BIRTH(__libc_valloc, (size_t size), (size), size, HOOK_PAGE, false, valloc(size))
HOOK_BIRTH(__libc_pvalloc, (size_t size), (size), size, HOOK_PAGE, false, pvalloc(size))
HOOK_POSIX(__posix_memalign)
HOOK_RESIZE(__libc_realloc, (void *p, size_t size), (p, size), p, size, realloc(p, size))
HOOK_DEATH(__libc_free, (void *p), (p), p, 0)
HOOK_DEATH(__libc_cfree, (void *p), (p), p, 0)
HOOK_DEATH(cfree, (void *p), (p), p, 0)
HOOK_QUERY(malloc_size, (const void *p), (p), p)
