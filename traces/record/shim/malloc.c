/*
 * malloc.c - the malloc family of the recorded program.
 *
 * An alloc is stamped after the real one returned and a free before the real one
 * starts, so the lives of one address never overlap in stamps, whatever threads the block
 * passes through. A realloc gives both ends: its old block may be handed to another thread
 * while it still runs, and its new one may have been freed since it began.
 *
 * A query of a block's usable size is recorded as well: some programs ask once for each block,
 * and what costs nothing in one allocator is a look-up in another. For C++ new and delete, and
 * other interfaces of allocators, see hook.h.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "traces/record/shim/call.h"
#include "traces/record/shim/drawn.h"

void *memalign(size_t align, size_t size);
void *pvalloc(size_t size);
void *valloc(size_t size);
void *reallocarray(void *p, size_t count, size_t size);
void free_sized(void *p, size_t size);
void free_aligned_sized(void *p, size_t align, size_t size);
size_t malloc_usable_size(void *p);

/* For functions with an alignment; 0 and 1 mean none. memalign accepts other numbers than powers of
 * two, which glibc rounds up. */
static void put_aligned(size_t align, const void *p, uint64_t size, struct shim_from from)
{
	unsigned align_log2 = align > 1 ? 64u - (unsigned)__builtin_clzll(align - 1) : 0;

	put_long_birth(SHIM_WHAT(RH_REC_ALLOC, align_log2), p, size, from);
}

/* The variants for sampling. */
static __attribute__((noinline)) void *malloc_sampled(size_t size, struct shim_from from)
{
	void *p = real.malloc(size);

	if (shim_draws(p, size))
		shim_put_drawn(RH_REC_ALLOC, p, size, from);
	return p;
}

static __attribute__((noinline)) void *calloc_sampled(size_t count, size_t size,
						      struct shim_from from)
{
	void *p = real.calloc(count, size);

	if (p && !shim_boot_owns(p) && shim_draws(p, count * size))
		shim_put_drawn(RH_REC_CALLOC, p, count * size, from);
	return p;
}

static __attribute__((noinline)) void free_sampled(void *p)
{
	if (p && shim_may_be_drawn(p))
		shim_put_sampled(RH_REC_FREE, p, 0, SHIM_NOBODY);
	real.free(p);
}

static __attribute__((noinline)) void *malloc_rest(void *p, size_t size, enum shim_need need,
						   struct shim_from from)
{
	shim_put_rest(need, RH_REC_ALLOC, (uintptr_t)p, size, from);
	return p;
}

SHIM_EXPORT void *malloc(size_t size)
{
	int32_t aside = shim_aside();
	enum shim_need need;
	void *p;

	if (SHIM_UNLIKELY(aside != 0))
		return aside < 0 ? malloc_sampled(size, SHIM_FROM()) : real.malloc(size);
	p = real.malloc(size);
	need = put_block(RH_REC_ALLOC, p, size);
	if (SHIM_UNLIKELY(need != SHIM_DONE))
		return malloc_rest(p, size, need, SHIM_FROM());
	return p;
}

static __attribute__((noinline)) void free_rest(void *p, enum shim_need need)
{
	if (p && shim_boot_owns(p))
		return;
	if (!p) /* a call like others: some allocators take 40 instructions for it */
		need = shim_put(rh_rec_short(RH_REC_FREE, 0, 0), 0);
	if (need != SHIM_DONE)
		shim_put_rest(need, RH_REC_FREE, (uintptr_t)p, 0, SHIM_NOBODY);
	real.free(p);
}

/* NULL - 1, and any unaligned address, has upper bits. */
SHIM_EXPORT void free(void *p)
{
	uint64_t rotated = (uintptr_t)p >> 3 | (uintptr_t)p << 61;
	enum shim_need need = SHIM_LONG;
	int32_t aside = shim_aside();

	if (SHIM_UNLIKELY(aside != 0) && !shim_boot_owns(p)) {
		if (aside < 0)
			free_sampled(p);
		else
			real.free(p);
		return;
	}
	if (SHIM_LIKELY((rotated - 1) >> RH_REC_ADDRESS_BITS == 0 && !shim_boot_owns(p)))
		need = shim_put((uint64_t)RH_REC_FREE << 60 | rotated, (uintptr_t)p);
	if (SHIM_LIKELY(need == SHIM_DONE))
		real.free(p);
	else
		free_rest(p, need);
}

static __attribute__((noinline)) void *calloc_rest(void *p, size_t bytes, enum shim_need need,
						   struct shim_from from)
{
	if (!p || !shim_boot_owns(p))
		shim_put_rest(need, RH_REC_CALLOC, (uintptr_t)p, bytes, from);
	return p;
}

SHIM_EXPORT void *calloc(size_t count, size_t size)
{
	int32_t aside = shim_aside();
	enum shim_need need;
	size_t bytes;
	void *p;

	if (SHIM_UNLIKELY(aside != 0))
		return aside < 0 ? calloc_sampled(count, size, SHIM_FROM())
				 : real.calloc(count, size);
	p = real.calloc(count, size);
	if (SHIM_UNLIKELY(__builtin_mul_overflow(count, size, &bytes)))
		bytes = SIZE_MAX;
	need = shim_boot_owns(p) ? SHIM_LONG : put_block(RH_REC_CALLOC, p, bytes);
	if (SHIM_UNLIKELY(need != SHIM_DONE))
		return calloc_rest(p, bytes, need, SHIM_FROM());
	return p;
}

static void *realloc_at(void *p, size_t size, struct shim_from from)
{
	bool begun;
	void *q;

	if (SHIM_UNLIKELY(p && shim_boot_owns(p))) {
		size_t room = shim_boot_room(p);

		q = real.malloc(size);
		if (q)
			memcpy(q, p, room < size ? room : size);
		put_any(RH_REC_ALLOC, q, size, from);
		return q;
	}
	if (!p) {
		q = real.realloc(NULL, size);
		put_any(RH_REC_RE_BORN, q, size, from);
		return q;
	}
	begun = put_resize_begins(p);
	q = real.realloc(p, size);
	put_resize_ends(begun, p, q, size, from);
	return q;
}

SHIM_EXPORT void *realloc(void *p, size_t size)
{
	if (shim_aside() > 0 && !shim_boot_owns(p))
		return real.realloc(p, size);
	return realloc_at(p, size, SHIM_FROM());
}

SHIM_EXPORT void *reallocarray(void *p, size_t count, size_t size)
{
	size_t bytes;

	if (__builtin_mul_overflow(count, size, &bytes)) {
		errno = ENOMEM;
		return NULL;
	}
	return realloc_at(p, bytes, SHIM_FROM());
}

SHIM_EXPORT void *memalign(size_t align, size_t size)
{
	void *p = real.memalign(align, size);

	put_aligned(align, p, size, SHIM_FROM());
	return p;
}

SHIM_EXPORT void *aligned_alloc(size_t align, size_t size)
{
	void *p = real.aligned_alloc(align, size);

	put_aligned(align, p, size, SHIM_FROM());
	return p;
}

SHIM_EXPORT int posix_memalign(void **out, size_t align, size_t size)
{
	int failed = real.posix_memalign(out, align, size);

	put_aligned(align, failed ? NULL : *out, size, SHIM_FROM());
	return failed;
}

SHIM_EXPORT void *valloc(size_t size)
{
	void *p = real.valloc(size);

	put_aligned((size_t)sysconf(_SC_PAGESIZE), p, size, SHIM_FROM());
	return p;
}

SHIM_EXPORT void *pvalloc(size_t size)
{
	void *p = real.pvalloc(size);

	put_aligned((size_t)sysconf(_SC_PAGESIZE), p, size, SHIM_FROM());
	return p;
}

/* C23. */
SHIM_EXPORT void free_sized(void *p, size_t size)
{
	if (!p || shim_boot_owns(p))
		return;
	put_sized_free(p, size);
	if (real.free_sized)
		real.free_sized(p, size);
	else
		real.free(p);
}

SHIM_EXPORT void free_aligned_sized(void *p, size_t align, size_t size)
{
	if (!p || shim_boot_owns(p))
		return;
	put_sized_free(p, size);
	if (real.free_aligned_sized)
		real.free_aligned_sized(p, align, size);
	else
		real.free(p);
}

SHIM_EXPORT size_t malloc_usable_size(void *p)
{
	if (!p)
		return 0;
	if (shim_boot_owns(p))
		return shim_boot_room(p);
	put_any(RH_REC_USABLE, p, 0, SHIM_NOBODY);
	return real.malloc_usable_size ? real.malloc_usable_size(p) : 0;
}
