/*
 * hook.h - functions of allocators that not every program has: C++ new and delete, and the own
 * interfaces of jemalloc, tcmalloc, mimalloc and tbbmalloc.
 *
 * One call of the program must be one event. Two rules ensure that:
 *   - a call from the allocator itself (its own object, the object that serves malloc, or us)
 *     is part of a call that is recorded already;
 *   - whether a function calls the malloc and free that we interpose (libstdc++'s new does,
 *     jemalloc's does not, though its delete does) is observed at its first call, during which
 *     malloc and free note the blocks that they return and get. If it does, it is passed on,
 *     and malloc or free records it.
 *
 * We export these names whether or not the program has an allocator that defines them; a
 * function that no other object defines does what malloc and free would.
 *
 * Thread rule: any thread; a hook is looked up once, by the first thread, and two threads that
 * do so at the same time get the same result. Errors: none.
 */
#ifndef RH_RECORD_HOOK_H
#define RH_RECORD_HOOK_H

#include <unistd.h>

#include "traces/record/shim/call.h"

/* Interposed by us; glibc and musl do not declare all of them. */
void cfree(void *p);
void *pvalloc(size_t size);

#pragma GCC visibility push(hidden)

enum hook_mode {
	HOOK_UNKNOWN, /* not observed yet */
	HOOK_OWN,     /* does not call malloc: recorded here */
	HOOK_THROUGH, /* does: malloc records it */
	HOOK_ABSENT,  /* no other object defines it */
};

/* A loaded object, from its first byte to its last. */
struct hook_object {
	uintptr_t low;
	size_t bytes;
	uint32_t runtime; /* it is a C++ runtime (libstdc++, libc++) that comes to our malloc */
};

struct hook {
	const char *name;
	union {
		void *object;
		void (*call)(void);
	} next; /* the real function */
	struct hook_object *in;
	_Atomic uint32_t mode; /* enum hook_mode, once it is settled */
};

/* What to do with one call. */
enum hook_way {
	HOOK_PASS,   /* call the real function */
	HOOK_RECORD, /* and record it */
	HOOK_ASK,    /* call it, then shim_hook_answer() decides between the two */
	HOOK_NONE,   /* there is no real function */
};

/* The object that serves malloc, and our own. */
extern struct hook_object hook_malloc, hook_self;
/* The range from the first to the last byte of those two and of all objects that contain hooks:
 * each bound grows separately, before a hook is settled. Most callers are in the executable, far
 * away. */
extern _Atomic uintptr_t hook_low, hook_high;

enum hook_way shim_hook_first(struct hook *hook, bool asks, const void *caller);
/* `block` was made or freed by it: did it call the malloc that we interpose? */
enum hook_way shim_hook_answer(struct hook *hook, const void *block);
/* Where an object defines a function of that name, or NULL. */
struct dl_phdr_info;
const void *shim_hook_defines(const struct dl_phdr_info *info, const char *name);
/* Finds out hook_malloc and hook_self. */
void shim_hook_ranges(void);
/* Looks it up without a call: does it exist, in an object that we can remember? */
bool shim_hook_here(struct hook *hook);
/* The executable (or who is preloaded before us) has a free that comes before ours. */
bool shim_hook_is_preceded(void);
/* The real function of that name, searched in every object but ours; allocates nothing. */
void *shim_hook_find(const char *name);

static inline bool hook_within(const void *caller, uintptr_t low, size_t bytes)
{
	return (uintptr_t)caller - low < bytes;
}

static inline bool hook_inner(const struct hook_object *in, const void *caller)
{
	return hook_within(caller, in->low, in->bytes) ||
	       hook_within(caller, hook_malloc.low, hook_malloc.bytes) ||
	       hook_within(caller, hook_self.low, hook_self.bytes);
}

/* A call that is recorded right here, as most are. */
static inline __attribute__((always_inline)) bool hook_plain(const struct hook *hook,
							     const void *caller)
{
	uintptr_t at = (uintptr_t)caller;

	if (SHIM_UNLIKELY(atomic_load_explicit(&hook->mode, memory_order_acquire) != HOOK_OWN))
		return false;
	return SHIM_LIKELY(at < atomic_load_explicit(&hook_low, memory_order_relaxed) ||
			   at >= atomic_load_explicit(&hook_high, memory_order_relaxed)) ||
	       !hook_inner(hook->in, caller);
}

/* hook.c: the rest of the work for a birth, at the end of the function. */
void *shim_hook_born(void *made, uint64_t size, uint32_t what, struct shim_from from)
	__attribute__((noinline));
/* `what` of that: the kind, and the need above it. */
#define HOOK_BORN(kind, need) ((uint32_t)(kind) | (uint32_t)(need) << 8)
#define HOOK_KIND(zeroed)     ((zeroed) ? RH_REC_CALLOC : RH_REC_ALLOC)

/* `asks`: the first call may be observed, and the result is awaited. */
static inline __attribute__((always_inline)) enum hook_way shim_hook(struct hook *hook, bool asks,
								     const void *caller)
{
	uint32_t mode = atomic_load_explicit(&hook->mode, memory_order_acquire);

	if (SHIM_LIKELY(mode == HOOK_OWN))
		return SHIM_UNLIKELY(hook_inner(hook->in, caller)) ? HOOK_PASS : HOOK_RECORD;
	return mode == HOOK_THROUGH ? HOOK_PASS : shim_hook_first(hook, asks, caller);
}

/* real.c: malloc and free note the blocks they return to this thread and get from it, until _end.
 */
void shim_probe_begin(void);
bool shim_probe_end(const void *block);

/* How valloc aligns. */
#define HOOK_PAGE      ((size_t)sysconf(_SC_PAGESIZE))

#define HOOK_OPEN(...) __VA_ARGS__

/*
 * One function that makes a block: its parameters and arguments in parentheses, the requested
 * attributes, the kind of its record, and the fallback if there is no such function. `through`
 * may do the work of one that calls malloc, and record it; NULL: that one does. `made` is the
 * block. The uncommon cases are a separate function, because of the registers that they would save.
 */
#define HOOK_BIRTH_AS(function, params, args, size, align, kind, through, instead)             \
	void *function params;                                                                 \
	static struct hook function##_hook = { .name = #function };                            \
	static __attribute__((noinline)) void *function##_rest(struct shim_from from,          \
							       HOOK_OPEN params)               \
	{                                                                                      \
		enum hook_way way = shim_hook(&function##_hook, true, from.caller);            \
		void *made;                                                                    \
                                                                                               \
		if (SHIM_UNLIKELY(way == HOOK_NONE))                                           \
			return instead;                                                        \
		made = way == HOOK_PASS ? (through) : NULL;                                    \
		if (made)                                                                      \
			return made;                                                           \
		made = ((__typeof__(&function))function##_hook.next.call)args;                 \
		if (SHIM_UNLIKELY(way == HOOK_ASK))                                            \
			way = shim_hook_answer(&function##_hook, made);                        \
		if (SHIM_LIKELY(way == HOOK_RECORD))                                           \
			put_born(kind, made, size, align, from);                               \
		return made;                                                                   \
	}                                                                                      \
	SHIM_EXPORT void *function params                                                      \
	{                                                                                      \
		int32_t aside = shim_aside();                                                  \
		enum shim_need need;                                                           \
		void *made;                                                                    \
                                                                                               \
		if (SHIM_UNLIKELY(aside != 0 || (align) > 1 ||                                 \
				  !hook_plain(&function##_hook, __builtin_return_address(0)))) \
			return function##_rest(SHIM_FROM(), HOOK_OPEN args);                   \
		made = ((__typeof__(&function))function##_hook.next.call)args;                 \
		need = put_block(kind, made, size);                                            \
		if (SHIM_LIKELY(need == SHIM_DONE))                                            \
			return made;                                                           \
		return shim_hook_born(made, size, HOOK_BORN(kind, need), SHIM_FROM());         \
	}
#define HOOK_BIRTH(function, params, args, size, align, zeroed, instead) \
	HOOK_BIRTH_AS(function, params, args, size, align, HOOK_KIND(zeroed), NULL, instead)

/* One that changes the size of `old`, or makes a block if that is NULL. */
#define HOOK_RESIZE(function, params, args, old, size, instead)          \
	void *function params;                                           \
	SHIM_EXPORT void *function params                                \
	{                                                                \
		static struct hook hook = { .name = #function };         \
		struct shim_from from = SHIM_FROM();                     \
		enum hook_way way = shim_hook(&hook, true, from.caller); \
		bool begun = false;                                      \
		void *made;                                              \
                                                                         \
		if (SHIM_UNLIKELY(way == HOOK_NONE))                     \
			return instead;                                  \
		if (SHIM_LIKELY(way == HOOK_RECORD) && (old))            \
			begun = put_resize_begins(old);                  \
		made = ((__typeof__(&function))hook.next.call)args;      \
		if (SHIM_UNLIKELY(way == HOOK_ASK)) {                    \
			way = shim_hook_answer(&hook, made);             \
			if (way == HOOK_RECORD && (old))                 \
				begun = put_resize_begins(old);          \
		}                                                        \
		if (SHIM_LIKELY(way == HOOK_RECORD) && (old))            \
			put_resize_ends(begun, old, made, size, from);   \
		else if (way == HOOK_RECORD)                             \
			put_any(RH_REC_RE_BORN, made, size, from);       \
		return made;                                             \
	}

/* One that frees `p`; given: the size passed, plus one, or 0. */
#define HOOK_DEATH(function, params, args, p, given)                                       \
	void function params;                                                              \
	static struct hook function##_hook = { .name = #function };                        \
	static __attribute__((noinline)) void function##_rest(const void *caller,          \
							      HOOK_OPEN params)            \
	{                                                                                  \
		enum hook_way way = shim_hook(&function##_hook, (p) != NULL, caller);      \
                                                                                           \
		if (SHIM_UNLIKELY(way == HOOK_NONE)) {                                     \
			free(p);                                                           \
			return;                                                            \
		}                                                                          \
		if (SHIM_LIKELY(way == HOOK_RECORD) && (p))                                \
			put_any(RH_REC_FREE, p, given, SHIM_NOBODY);                       \
		((__typeof__(&function))function##_hook.next.call) args;                   \
		SHIM_BARRIER(); /* a call, not a jump: its callees see us as the caller */ \
		if (SHIM_UNLIKELY(way == HOOK_ASK) &&                                      \
		    shim_hook_answer(&function##_hook, p) == HOOK_RECORD)                  \
			put_any(RH_REC_FREE, p, given, SHIM_NOBODY);                       \
	}                                                                                  \
	SHIM_EXPORT void function params                                                   \
	{                                                                                  \
		const void *caller = __builtin_return_address(0);                          \
                                                                                           \
		if (SHIM_UNLIKELY(!(p) || !hook_plain(&function##_hook, caller))) {        \
			function##_rest(caller, HOOK_OPEN args);                           \
			return;                                                            \
		}                                                                          \
		put_any(RH_REC_FREE, p, given, SHIM_NOBODY);                               \
		((__typeof__(&function))function##_hook.next.call) args;                   \
		SHIM_BARRIER();                                                            \
	}

/* posix_memalign by another name. */
#define HOOK_POSIX(function)                                                             \
	int function(void **out, size_t align, size_t size);                             \
	SHIM_EXPORT int function(void **out, size_t align, size_t size)                  \
	{                                                                                \
		static struct hook hook = { .name = #function };                         \
		struct shim_from from = SHIM_FROM();                                     \
		enum hook_way way = shim_hook(&hook, true, from.caller);                 \
		int failed;                                                              \
                                                                                         \
		if (SHIM_UNLIKELY(way == HOOK_NONE))                                     \
			return posix_memalign(out, align, size);                         \
		failed = ((__typeof__(&function))hook.next.call)(out, align, size);      \
		if (SHIM_UNLIKELY(way == HOOK_ASK))                                      \
			way = shim_hook_answer(&hook, failed ? NULL : *out);             \
		if (SHIM_LIKELY(way == HOOK_RECORD))                                     \
			put_born(RH_REC_ALLOC, failed ? NULL : *out, size, align, from); \
		return failed;                                                           \
	}

/* One that asks for the usable size of `p`. */
#define HOOK_QUERY(function, params, args, p)                                             \
	size_t function params;                                                           \
	SHIM_EXPORT size_t function params                                                \
	{                                                                                 \
		static struct hook hook = { .name = #function };                          \
		enum hook_way way = shim_hook(&hook, false, __builtin_return_address(0)); \
                                                                                          \
		if (SHIM_UNLIKELY(way == HOOK_NONE))                                      \
			return malloc_usable_size((void *)(uintptr_t)(p));                \
		if (SHIM_LIKELY(way == HOOK_RECORD) && (p))                               \
			put_any(RH_REC_USABLE, p, 0, SHIM_NOBODY);                        \
		return ((__typeof__(&function))hook.next.call)args;                       \
	}

#pragma GCC visibility pop

#endif
