/*
 * call.h - what the functions we stand in front of share: a call becomes a record.
 *
 * Births are put after the real call and deaths before it, see malloc.c. Where the record
 * is a short one it is put in line, which is what most calls do; the rest is put.c's.
 *
 * Thread rule: any thread. Errors: none; errno is kept.
 */
#ifndef RH_RECORD_CALL_H
#define RH_RECORD_CALL_H

#include "traces/record/shim/shim.h"

#pragma GCC visibility push(hidden)

/* The real malloc's blocks are aligned and within the user's half of the address space. */
static inline __attribute__((always_inline)) enum shim_need put_block(enum rh_rec_kind kind,
								      const void *p, uint64_t size)
{
	if (SHIM_UNLIKELY(size >> 16 != 0))
		return SHIM_LONG;
	return shim_put(rh_rec_short(kind, (uintptr_t)p, size), (uintptr_t)p);
}

/* Any address, and a size or none (0). */
static inline __attribute__((always_inline)) void put_any(enum rh_rec_kind kind, const void *p,
							  uint64_t size, struct shim_from from)
{
	uint64_t rotated = (uintptr_t)p >> 3 | (uintptr_t)p << 61;
	enum shim_need need = SHIM_LONG;

	if (shim_asleep())
		return;
	if (SHIM_LIKELY(rh_rec_is_short(rotated, size)))
		need = shim_put(rh_rec_short(kind, (uintptr_t)p, size), (uintptr_t)p);
	if (SHIM_UNLIKELY(need != SHIM_DONE))
		shim_put_rest(need, kind, (uintptr_t)p, size, from);
}

/* A free that was given the size of its block. The largest size is as good as none. */
static inline void put_sized_free(const void *p, size_t size)
{
	put_any(RH_REC_FREE, p, size + 1, SHIM_NOBODY);
}

/* A birth with all that may be said about it: align 0 and 1 ask for none. There is no long
 * form with both: what is zeroed keeps that. */
static inline void put_born(const void *p, uint64_t size, size_t align, bool zeroed,
			    struct shim_from from)
{
	enum rh_rec_kind kind = zeroed ? RH_REC_CALLOC : RH_REC_ALLOC;

	if (SHIM_UNLIKELY(align > 1))
		shim_put_long(SHIM_WHAT(kind, __builtin_ctzll(align)), (uintptr_t)p, size, from);
	else
		put_any(kind, p, size, from);
}

#pragma GCC visibility pop

#endif
