/*
 * family_mimalloc.c - mimalloc's public functions: each as mi_NAME, most again as mi_heap_NAME
 * for a heap created by the program.
 *
 * A reallocation with an alignment is recorded with its size only. mi_heap_destroy frees all
 * blocks of a heap at once: their deaths are recorded one by one before.
 */
#include <limits.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "traces/record/shim/hook.h"

#define BARE(...) __VA_ARGS__
#define BOTH_BIRTH(name, params, args, size, align, zeroed, instead)                          \
	HOOK_BIRTH(mi_##name, params, args, size, align, zeroed, instead)                     \
	HOOK_BIRTH(mi_heap_##name, (void *heap, BARE params), (heap, BARE args), size, align, \
		   zeroed, instead)
#define BOTH_RESIZE(name, params, args, size)                                              \
	HOOK_RESIZE(mi_##name, params, args, p, size, realloc(p, size))                    \
	HOOK_RESIZE(mi_heap_##name, (void *heap, BARE params), (heap, BARE args), p, size, \
		    realloc(p, size))

static void *aligned(size_t align, size_t size)
{
	void *p = NULL;

	return posix_memalign(&p, align < sizeof p ? sizeof p : align, size) ? NULL : p;
}

static void *aligned_zeroed(size_t align, size_t size)
{
	void *p = aligned(align, size);

	return p ? memset(p, 0, size) : NULL;
}

static size_t text_bytes(const char *text)
{
	return text ? strlen(text) + 1 : 0;
}

static char *copy(const char *text, size_t most)
{
	size_t bytes = strnlen(text, most);
	char *p = malloc(bytes + 1);

	if (p) {
		memcpy(p, text, bytes);
		p[bytes] = '\0';
	}
	return p;
}

BOTH_BIRTH(malloc, (size_t size), (size), size, 0, false, malloc(size))
BOTH_BIRTH(zalloc, (size_t size), (size), size, 0, true, calloc(1, size))
BOTH_BIRTH(malloc_small, (size_t size), (size), size, 0, false, malloc(size))
HOOK_BIRTH(mi_zalloc_small, (size_t size), (size), size, 0, true, calloc(1, size))
BOTH_BIRTH(calloc, (size_t count, size_t size), (count, size), count *size, 0, true,
	   calloc(count, size))
BOTH_BIRTH(mallocn, (size_t count, size_t size), (count, size), count *size, 0, false,
	   reallocarray(NULL, count, size))
BOTH_BIRTH(malloc_aligned, (size_t size, size_t align), (size, align), size, align, false,
	   aligned(align, size))
BOTH_BIRTH(zalloc_aligned, (size_t size, size_t align), (size, align), size, align, true,
	   aligned_zeroed(align, size))
BOTH_BIRTH(calloc_aligned, (size_t count, size_t size, size_t align), (count, size, align),
	   count *size, align, true, aligned_zeroed(align, count *size))
/* With an offset: the block itself has no alignment that malloc could provide. */
BOTH_BIRTH(malloc_aligned_at, (size_t size, size_t align, size_t offset), (size, align, offset),
	   size, offset ? 0 : align, false, aligned(align, size))
BOTH_BIRTH(zalloc_aligned_at, (size_t size, size_t align, size_t offset), (size, align, offset),
	   size, offset ? 0 : align, true, aligned_zeroed(align, size))
BOTH_BIRTH(calloc_aligned_at, (size_t count, size_t size, size_t align, size_t offset),
	   (count, size, align, offset), count *size, offset ? 0 : align, true,
	   aligned_zeroed(align, count *size))
BOTH_BIRTH(strdup, (const char *text), (text), text_bytes(made), 0, false, copy(text, SIZE_MAX))
BOTH_BIRTH(strndup, (const char *text, size_t most), (text, most), text_bytes(made), 0, false,
	   copy(text, most))

BOTH_RESIZE(realloc, (void *p, size_t size), (p, size), size)
BOTH_RESIZE(reallocn, (void *p, size_t count, size_t size), (p, count, size), count *size)
BOTH_RESIZE(rezalloc, (void *p, size_t size), (p, size), size)
BOTH_RESIZE(recalloc, (void *p, size_t count, size_t size), (p, count, size), count *size)
BOTH_RESIZE(realloc_aligned, (void *p, size_t size, size_t align), (p, size, align), size)
BOTH_RESIZE(rezalloc_aligned, (void *p, size_t size, size_t align), (p, size, align), size)
BOTH_RESIZE(realloc_aligned_at, (void *p, size_t size, size_t align, size_t offset),
	    (p, size, align, offset), size)
BOTH_RESIZE(rezalloc_aligned_at, (void *p, size_t size, size_t align, size_t offset),
	    (p, size, align, offset), size)
BOTH_RESIZE(recalloc_aligned, (void *p, size_t count, size_t size, size_t align),
	    (p, count, size, align), count *size)
BOTH_RESIZE(recalloc_aligned_at, (void *p, size_t count, size_t size, size_t align, size_t offset),
	    (p, count, size, align, offset), count *size)
HOOK_RESIZE(mi_aligned_recalloc, (void *p, size_t count, size_t size, size_t align),
	    (p, count, size, align), p, count *size, reallocarray(p, count, size))
HOOK_RESIZE(mi_aligned_offset_recalloc,
	    (void *p, size_t count, size_t size, size_t align, size_t offset),
	    (p, count, size, align, offset), p, count *size, reallocarray(p, count, size))
HOOK_RESIZE(mi_reallocarray, (void *p, size_t count, size_t size), (p, count, size), p, count *size,
	    reallocarray(p, count, size))
HOOK_RESIZE(mi_new_realloc, (void *p, size_t size), (p, size), p, size, realloc(p, size))
HOOK_RESIZE(mi_new_reallocn, (void *p, size_t count, size_t size), (p, count, size), p, count *size,
	    reallocarray(p, count, size))

HOOK_BIRTH(mi_memalign, (size_t align, size_t size), (align, size), size, align, false,
	   memalign(align, size))
HOOK_BIRTH(mi_aligned_alloc, (size_t align, size_t size), (align, size), size, align, false,
	   aligned(align, size))
HOOK_BIRTH(mi_valloc, (size_t size), (size), size, HOOK_PAGE, false, valloc(size))
HOOK_BIRTH(mi_pvalloc, (size_t size), (size), size, HOOK_PAGE, false, pvalloc(size))
HOOK_POSIX(mi_posix_memalign)

HOOK_BIRTH(mi_new, (size_t size), (size), size, 0, false, malloc(size))
HOOK_BIRTH(mi_new_n, (size_t count, size_t size), (count, size), count *size, 0, false,
	   reallocarray(NULL, count, size))
HOOK_BIRTH(mi_new_nothrow, (size_t size), (size), size, 0, false, malloc(size))
HOOK_BIRTH(mi_new_aligned, (size_t size, size_t align), (size, align), size, align, false,
	   aligned(align, size))
HOOK_BIRTH(mi_new_aligned_nothrow, (size_t size, size_t align), (size, align), size, align, false,
	   aligned(align, size))
HOOK_BIRTH(mi_heap_alloc_new, (void *heap, size_t size), (heap, size), size, 0, false, malloc(size))
HOOK_BIRTH(mi_heap_alloc_new_n, (void *heap, size_t count, size_t size), (heap, count, size),
	   count *size, 0, false, reallocarray(NULL, count, size))

HOOK_DEATH(mi_free, (void *p), (p), p, 0)
HOOK_DEATH(mi_cfree, (void *p), (p), p, 0)
HOOK_DEATH(mi_free_size, (void *p, size_t size), (p, size), p, size + 1)
HOOK_DEATH(mi_free_aligned, (void *p, size_t align), (p, align), p, 0)
HOOK_DEATH(mi_free_size_aligned, (void *p, size_t size, size_t align), (p, size, align), p,
	   size + 1)

HOOK_QUERY(mi_usable_size, (const void *p), (p), p)
HOOK_QUERY(mi_malloc_usable_size, (const void *p), (p), p)
HOOK_QUERY(mi_malloc_size, (const void *p), (p), p)

/* ---- odd ones ---- */

/* The block grows in place, or the result is NULL and it stays unchanged. */
#define HOOK_EXPAND(function)                                                             \
	void *function(void *p, size_t size);                                             \
	SHIM_EXPORT void *function(void *p, size_t size)                                  \
	{                                                                                 \
		static struct hook hook = { .name = #function };                          \
		enum hook_way way = shim_hook(&hook, false, __builtin_return_address(0)); \
		void *q;                                                                  \
                                                                                          \
		if (SHIM_UNLIKELY(way == HOOK_NONE))                                      \
			return p && malloc_usable_size(p) >= size ? p : NULL;             \
		q = ((__typeof__(&function))hook.next.call)(p, size);                     \
		if (way == HOOK_RECORD && q) {                                            \
			put_resize_ends(put_resize_begins(p), p, q, size, SHIM_NOBODY);   \
		} else if (way == HOOK_RECORD && p) {                                     \
			put_any(RH_REC_USABLE, p, 0, SHIM_NOBODY);                        \
		}                                                                         \
		return q;                                                                 \
	}
HOOK_EXPAND(mi_expand)
HOOK_EXPAND(mi__expand)

/* When it fails, the old block is freed. */
#define HOOK_REALLOCF(function, params, args)                             \
	void *function params;                                            \
	SHIM_EXPORT void *function params                                 \
	{                                                                 \
		static struct hook hook = { .name = #function };          \
		struct shim_from from = SHIM_FROM();                      \
		enum hook_way way = shim_hook(&hook, false, from.caller); \
		bool begun = false;                                       \
		void *q;                                                  \
                                                                          \
		if (SHIM_UNLIKELY(way == HOOK_NONE)) {                    \
			q = realloc(p, size);                             \
			if (!q && size)                                   \
				free(p);                                  \
			return q;                                         \
		}                                                         \
		if (way == HOOK_RECORD && p)                              \
			begun = put_resize_begins(p);                     \
		q = ((__typeof__(&function))hook.next.call)args;          \
		if (way != HOOK_RECORD)                                   \
			return q;                                         \
		if (p)                                                    \
			put_resize_ends(begun, p, q, size, from);         \
		else                                                      \
			put_any(RH_REC_RE_BORN, q, size, from);           \
		if (p && !q && size)                                      \
			put_any(RH_REC_FREE, p, 0, SHIM_NOBODY);          \
		return q;                                                 \
	}
HOOK_REALLOCF(mi_reallocf, (void *p, size_t size), (p, size))
HOOK_REALLOCF(mi_heap_reallocf, (void *heap, void *p, size_t size), (heap, p, size))

typedef bool visit_fn(const void *heap, const void *area, void *block, size_t bytes, void *arg);

static bool put_death(const void *heap, const void *area, void *block, size_t bytes, void *arg)
{
	(void)heap, (void)area, (void)bytes, (void)arg;
	if (block)
		put_any(RH_REC_FREE, block, 0, SHIM_NOBODY);
	return true;
}

void mi_heap_destroy(void *heap);
SHIM_EXPORT void mi_heap_destroy(void *heap)
{
	static struct hook hook = { .name = "mi_heap_destroy" };
	static union {
		void *object;
		bool (*function)(const void *heap, bool blocks, visit_fn *visit, void *arg);
	} visit;
	enum hook_way way = shim_hook(&hook, false, __builtin_return_address(0));

	if (way == HOOK_NONE)
		return;
	if (!visit.object)
		visit.object = shim_hook_find("mi_heap_visit_blocks");
	if (way == HOOK_RECORD && heap && visit.object)
		visit.function(heap, true, put_death, NULL);
	((void (*)(void *))hook.next.call)(heap);
	SHIM_BARRIER(); /* as in HOOK_DEATH */
}

/* Its blocks live on; freeing the heap's own record is not a call of the program. */
void mi_heap_delete(void *heap);
SHIM_EXPORT void mi_heap_delete(void *heap)
{
	static struct hook hook = { .name = "mi_heap_delete" };

	if (!shim_hook_here(&hook))
		return;
	((void (*)(void *))hook.next.call)(heap);
	SHIM_BARRIER();
}
