/*
 * new.c - every operator new and delete of C++, by their names in the object file.
 *
 * libstdc++ and libc++ get their memory from malloc: their new is done here, by malloc, and
 * recorded as new; aligned ones are passed on, and malloc records them. jemalloc, tcmalloc,
 * mimalloc and tbbmalloc define the operators themselves, past malloc: those are recorded here.
 *
 * A sized delete of a C++ runtime only calls the plain one, which calls free: we do that in its
 * place, so that the size is not lost. Unless the program has its own plain delete, which is
 * then called as usual.
 */
#include <stdlib.h>

#include "traces/record/shim/hook.h"

/* No exception can be thrown from here, and no C++ program lacks the operators. */
static void *bytes(size_t size, size_t align)
{
	void *p = NULL;

	if (align > sizeof(void *))
		return posix_memalign(&p, align, size) ? NULL : p;
	return malloc(size ? size : 1);
}

/* The new of a C++ runtime, which is malloc until that fails: done here, because malloc would not
 * know who called it. NULL: left to the real one, with its handler and its exception. */
static void *new_by_malloc(const struct hook *hook, size_t size, struct shim_from from)
{
	void *p;

	if (atomic_load_explicit(&hook->mode, memory_order_acquire) != HOOK_THROUGH || !hook->in ||
	    !hook->in->runtime || shim_aside() != 0)
		return NULL;
	p = real.malloc(size ? size : 1);
	if (p && !shim_boot_owns(p))
		put_any(RH_REC_NEW, p, size, from);
	return p;
}

#define HOOK_NEW(function, params, args)                           \
	HOOK_BIRTH_AS(function, params, args, size, 0, RH_REC_NEW, \
		      new_by_malloc(&function##_hook, size, from), bytes(size, 0))

HOOK_NEW(_Znwm, (size_t size), (size))
HOOK_NEW(_Znam, (size_t size), (size))
HOOK_NEW(_ZnwmRKSt9nothrow_t, (size_t size, const void *tag), (size, tag))
HOOK_NEW(_ZnamRKSt9nothrow_t, (size_t size, const void *tag), (size, tag))
HOOK_BIRTH(_ZnwmSt11align_val_t, (size_t size, size_t align), (size, align), size, align, false,
	   bytes(size, align))
HOOK_BIRTH(_ZnamSt11align_val_t, (size_t size, size_t align), (size, align), size, align, false,
	   bytes(size, align))
HOOK_BIRTH(_ZnwmSt11align_val_tRKSt9nothrow_t, (size_t size, size_t align, const void *tag),
	   (size, align, tag), size, align, false, bytes(size, align))
HOOK_BIRTH(_ZnamSt11align_val_tRKSt9nothrow_t, (size_t size, size_t align, const void *tag),
	   (size, align, tag), size, align, false, bytes(size, align))

/* ---- delete ---- */

enum direct { DIRECT_UNKNOWN, DIRECT_FREE, DIRECT_PLAIN, DIRECT_NOT };

static struct hook plain = { .name = "_ZdlPv" };
static _Atomic uint32_t direct; /* enum direct */

static enum direct find_direct(void)
{
	if (shim_hook(&plain, false, NULL) == HOOK_NONE || !plain.in)
		return DIRECT_NOT;
	if (plain.in->runtime)
		return DIRECT_FREE;
	return hook_within(plain.next.object, hook_malloc.low, hook_malloc.bytes) ? DIRECT_PLAIN
										  : DIRECT_NOT;
}

/* By the allocator's own plain delete, unless that calls free. */
static bool delete_plainly(void *p, size_t size)
{
	enum hook_way way = shim_hook(&plain, true, NULL);

	if (way == HOOK_PASS)
		return false;
	if (way == HOOK_RECORD)
		put_sized_free(p, size);
	((void (*)(void *))plain.next.call)(p);
	if (way == HOOK_ASK && shim_hook_answer(&plain, p) == HOOK_RECORD)
		put_sized_free(p, size);
	return true;
}

/* The sized delete behind us is a C++ runtime's. True: done. */
static bool delete_directly(struct hook *hook, void *p, size_t size)
{
	uint32_t how = atomic_load_explicit(&direct, memory_order_acquire);

	if (SHIM_UNLIKELY(!hook->in) && !shim_hook_here(hook))
		return false;
	if (SHIM_LIKELY(!hook->in->runtime) || !p)
		return false;
	if (how == DIRECT_UNKNOWN) {
		how = find_direct();
		atomic_store_explicit(&direct, how, memory_order_release);
	}
	if (how == DIRECT_FREE) {
		put_sized_free(p, size);
		real.free(p);
		return true;
	}
	return how == DIRECT_PLAIN && delete_plainly(p, size);
}

#define SIZED_DELETE(function, params, args)                                                       \
	void function params;                                                                      \
	SHIM_EXPORT void function params                                                           \
	{                                                                                          \
		static struct hook hook = { .name = #function };                                   \
		const void *caller = __builtin_return_address(0);                                  \
		enum hook_way way;                                                                 \
                                                                                                   \
		if (SHIM_LIKELY(p && hook_plain(&hook, caller))) {                                 \
			put_sized_free(p, size);                                                   \
			((__typeof__(&function))hook.next.call) args;                              \
			SHIM_BARRIER(); /* a call, no jump: whom it calls sees us as the caller */ \
			return;                                                                    \
		}                                                                                  \
		if (delete_directly(&hook, p, size))                                               \
			return;                                                                    \
		way = shim_hook(&hook, p != NULL, caller);                                         \
		if (SHIM_UNLIKELY(way == HOOK_NONE)) {                                             \
			free_sized(p, size);                                                       \
			return;                                                                    \
		}                                                                                  \
		if (SHIM_LIKELY(way == HOOK_RECORD) && p)                                          \
			put_sized_free(p, size);                                                   \
		((__typeof__(&function))hook.next.call) args;                                      \
		SHIM_BARRIER();                                                                    \
		if (SHIM_UNLIKELY(way == HOOK_ASK) && shim_hook_answer(&hook, p) == HOOK_RECORD)   \
			put_sized_free(p, size);                                                   \
	}

void free_sized(void *p, size_t size);

HOOK_DEATH(_ZdlPv, (void *p), (p), p, 0)
HOOK_DEATH(_ZdlPvRKSt9nothrow_t, (void *p, const void *tag), (p, tag), p, 0)
HOOK_DEATH(_ZdlPvSt11align_val_t, (void *p, size_t align), (p, align), p, 0)
HOOK_DEATH(_ZdlPvSt11align_val_tRKSt9nothrow_t, (void *p, size_t align, const void *tag),
	   (p, align, tag), p, 0)
HOOK_DEATH(_ZdaPv, (void *p), (p), p, 0)
HOOK_DEATH(_ZdaPvRKSt9nothrow_t, (void *p, const void *tag), (p, tag), p, 0)
HOOK_DEATH(_ZdaPvSt11align_val_t, (void *p, size_t align), (p, align), p, 0)
HOOK_DEATH(_ZdaPvSt11align_val_tRKSt9nothrow_t, (void *p, size_t align, const void *tag),
	   (p, align, tag), p, 0)
SIZED_DELETE(_ZdlPvm, (void *p, size_t size), (p, size))
SIZED_DELETE(_ZdlPvmSt11align_val_t, (void *p, size_t size, size_t align), (p, size, align))
SIZED_DELETE(_ZdaPvm, (void *p, size_t size), (p, size))
SIZED_DELETE(_ZdaPvmSt11align_val_t, (void *p, size_t size, size_t align), (p, size, align))
