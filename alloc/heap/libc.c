/*
 * libc.c - the malloc of the process, whoever serves it: glibc, or the peer that was
 * preloaded. The calls go through the PLT, so preloading decides.
 *
 * alloc and free are a register move and a jump (the Makefile compiles this file without
 * frame pointers for that): what is measured is the allocator.
 */
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "alloc/base/debug.h"
#include "alloc/registry.h"

/* Below this size peers align to 8 only. */
enum { MALLOC_ALIGN = 16, MALLOC_ALIGN_TINY = 8 };

/* Frees that take the size, in the order of what programs most often call: sized delete of
 * C++, that of C23, jemalloc's. Weak: NULL where nobody in the process has one (glibc). */
void _ZdlPvm(void *p, size_t size) __attribute__((weak));
void free_sized(void *p, size_t size) __attribute__((weak));
void sdallocx(void *p, size_t size, int flags) __attribute__((weak));

/* Of C++. New throws where it finds no memory, which nobody here could catch: it is not asked for
 * large blocks. */
void *_Znwm(size_t size) __attribute__((weak));
void _ZdlPv(void *p) __attribute__((weak));

/* Those of libstdc++, nearly instruction by instruction, for a process whose allocator has none:
 * the program has that library, we do not. Its new keeps the size for a second attempt, after the
 * program's handler. */
/* What their linkage executes and ours does not: landing pads (endbr64) of the function and of the
 * table's entry, and one jump. */
static inline void as_linked(void)
{
#if defined(__x86_64__)
	__asm__ volatile("nop\n\tnop\n\tnop");
#endif
}

static __attribute__((noinline, cold)) void *attempt_again(size_t size)
{
	return malloc(size);
}

static __attribute__((noinline)) void *runtime_new(size_t size)
{
	void *p;

	as_linked();
	if (!size)
		size = 1;
	p = malloc(size);
	if (!p)
		return attempt_again(size);
	return p;
}

static __attribute__((noinline)) void runtime_delete(void *p)
{
	as_linked();
	free(p);
}

static __attribute__((noinline)) void runtime_delete_sized(void *p, size_t size)
{
	rh_debug_assert(size > 0); /* else the size is not that of the block */
	(void)size;
	as_linked();
	free(p);
}

/* There is one heap, the process's, and lanes are its threads: the objects are empty. */
static char the_heap, the_lane;

static int libc_open(struct rh_heap **heap, const void *knobs, const struct rh_heap_env *env,
		     struct rh_err *err)
{
	(void)knobs;
	(void)env;
	(void)err;
	*heap = (struct rh_heap *)&the_heap;
	return 0;
}

static void libc_close(struct rh_heap *heap)
{
	(void)heap;
}

static int libc_lane_open(struct rh_heap *heap, struct rh_lane **lane, struct rh_err *err)
{
	(void)heap;
	(void)err;
	*lane = (struct rh_lane *)&the_lane;
	return 0;
}

static void libc_lane_close(struct rh_lane *lane)
{
	(void)lane;
}

static void *libc_alloc(struct rh_lane *lane, size_t size)
{
	(void)lane;
	return malloc(size);
}

static void *libc_alloc_as(struct rh_lane *lane, size_t size, size_t align, uint32_t flags)
{
	void *p;

	rh_debug_assert((align & (align - 1)) == 0);
	(void)lane;
	/* malloc wherever it suffices: aligned_alloc takes another, slower way in
	 * most allocators, and a program that called malloc would be charged for it. */
	if (align <= MALLOC_ALIGN_TINY || (align == MALLOC_ALIGN && size >= MALLOC_ALIGN)) {
		rh_debug_assert(!(flags & RH_ALLOC_NEW) || !(flags & RH_ALLOC_ZEROED));
		if (flags & RH_ALLOC_NEW)
			return _Znwm ? _Znwm(size) : runtime_new(size);
		if (flags & RH_ALLOC_ZEROED)
			return calloc(1, size);
		if (!(flags & RH_ALLOC_REALLOC))
			return malloc(size);
		p = NULL;
		__asm__("" : "+r"(p)); /* compilers make a malloc of realloc(NULL, size) */
		return realloc(p, size);
	}
	/* Not aligned_alloc, which C11 allows to refuse a size that is no multiple of
	 * the alignment. No allocator offers an aligned calloc, hence memset. */
	if (posix_memalign(&p, align, size) != 0)
		return NULL;
	if (flags & RH_ALLOC_ZEROED)
		memset(p, 0, size);
	return p;
}

/* The size is not passed: a program that called free did not, either. Those that did
 * come by free_sized. */
static void libc_free(struct rh_lane *lane, void *p, size_t size)
{
	(void)lane;
	(void)size;
	free(p);
}

/* A block of no bytes was asked for with some other size, if at all. Who frees by libstdc++'s
 * delete on an allocator without one of its own calls free behind two more jumps. */
static void libc_free_sized(struct rh_lane *lane, void *p, size_t size)
{
	(void)lane;
	if (size == RH_DELETE)
		_ZdlPv ? _ZdlPv(p) : runtime_delete(p);
	else if (!size)
		free(p);
	else if (_ZdlPvm)
		_ZdlPvm(p, size);
	else if (free_sized)
		free_sized(p, size);
	else if (sdallocx)
		sdallocx(p, size, 0);
	else
		runtime_delete_sized(p, size);
}

/* realloc to 0 would free; the contract wants a block. */
static void *libc_resize(struct rh_lane *lane, void *p, size_t size_old, size_t size_new)
{
	(void)lane;
	(void)size_old;
	return realloc(p, size_new ? size_new : 1);
}

static size_t libc_usable(struct rh_lane *lane, const void *p, size_t size)
{
	(void)lane;
	(void)size;
	return malloc_usable_size((void *)p);
}

const struct rh_backend rh_backend_libc = {
	.abi = RH_BACKEND_ABI,
	.caps = RH_CAP_PROCESS,
	.name = "libc",
	.summary = "malloc of the C library",
	.open = libc_open,
	.close = libc_close,
	.lane_open = libc_lane_open,
	.lane_close = libc_lane_close,
	.alloc = libc_alloc,
	.alloc_as = libc_alloc_as,
	.free = libc_free,
	.resize = libc_resize,
	.usable = libc_usable,
	.free_sized = libc_free_sized,
};
