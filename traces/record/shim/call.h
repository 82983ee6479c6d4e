/*
 * call.h - shared by the interposed functions: turns a call into a record.
 *
 * Births are put after the real call and deaths before it, see malloc.c. A short record, as for
 * most calls, is written inline; put.c does the rest.
 *
 * Thread rule: any thread. Errors: none; errno is kept.
 */
#ifndef RH_RECORD_CALL_H
#define RH_RECORD_CALL_H

#include "traces/record/shim/shim.h"

#pragma GCC visibility push(hidden)

/* The real malloc's blocks are aligned and within the user's half of the address space. On AArch64
 * an allocator may put a tag above the address. */
static inline __attribute__((always_inline)) enum shim_need put_block(enum rh_rec_kind kind,
								      const void *p, uint64_t size)
{
#if defined(__aarch64__)
	if (SHIM_UNLIKELY((uintptr_t)p >> (RH_REC_ADDRESS_BITS + 3) != 0))
		return SHIM_LONG;
#endif
	if (SHIM_UNLIKELY(size >> RH_REC_SIZE_BITS != 0))
		return SHIM_LONG;
	return shim_put(rh_rec_short(kind, (uintptr_t)p, size), (uintptr_t)p);
}

/* drawn.c: the same while the shim samples: births, deaths and queries; both ends of a resize. */
void shim_put_sampled(uint32_t what, const void *block, uint64_t size, struct shim_from from)
	__attribute__((noinline));
bool shim_resize_begins(const void *old);
void shim_resize_ends(bool begun, const void *old, const void *made, uint64_t size,
		      struct shim_from from);

/* Any address, and a size or none (0). */
static inline __attribute__((always_inline)) void put_any(enum rh_rec_kind kind, const void *p,
							  uint64_t size, struct shim_from from)
{
	uint64_t rotated = (uintptr_t)p >> 3 | (uintptr_t)p << 61;
	enum shim_need need = SHIM_LONG;
	int32_t aside = shim_aside();

	if (SHIM_UNLIKELY(aside != 0)) {
		if (aside < 0)
			shim_put_sampled(kind, p, size, from);
		return;
	}
	if (SHIM_LIKELY(rh_rec_is_short(rotated, size)))
		need = shim_put(rh_rec_short(kind, (uintptr_t)p, size), (uintptr_t)p);
	if (SHIM_UNLIKELY(need != SHIM_DONE))
		shim_put_rest(need, kind, (uintptr_t)p, size, from);
}

/* A free that was passed the size of its block. The largest size counts as none. */
static inline __attribute__((always_inline)) void put_sized_free(const void *p, size_t size)
{
	put_any(RH_REC_FREE, p, size + 1, SHIM_NOBODY);
}

/* Both ends of a resize of `old`, which is not NULL, around the real function. The result of the
 * first is passed to the second. */
static inline bool put_resize_begins(const void *old)
{
	int32_t aside = shim_aside();

	if (SHIM_UNLIKELY(aside != 0))
		return aside < 0 && shim_resize_begins(old);
	put_any(RH_REC_RE_BEGIN, old, 0, SHIM_NOBODY);
	return true;
}

static inline void put_resize_ends(bool begun, const void *old, const void *made, uint64_t size,
				   struct shim_from from)
{
	int32_t aside = shim_aside();

	if (SHIM_UNLIKELY(aside < 0))
		shim_resize_ends(begun, old, made, size, from);
	else if (aside == 0)
		put_any(RH_REC_RE_END, made, size, from);
}

/* A birth that only has a long form. */
static inline void put_long_birth(uint32_t what, const void *p, uint64_t size,
				  struct shim_from from)
{
	int32_t aside = shim_aside();

	if (SHIM_UNLIKELY(aside < 0))
		shim_put_sampled(what, p, size, from);
	else if (aside == 0)
		shim_put_long(what, (uintptr_t)p, size, from);
}

/* A birth with all attributes: align 0 and 1 mean none. No long form has both: a zeroed block keeps
 * that attribute. */
static inline void put_born(enum rh_rec_kind kind, const void *p, uint64_t size, size_t align,
			    struct shim_from from)
{
	if (SHIM_UNLIKELY(align > 1))
		put_long_birth(SHIM_WHAT(kind, __builtin_ctzll(align)), p, size, from);
	else
		put_any(kind, p, size, from);
}

#pragma GCC visibility pop

#endif
