/*
 * skeleton_native.c - a backend in a shared library of its own: the smallest one that
 * keeps every promise of alloc/backend.h. Copy it, put your arena or pool in the places
 * marked (1) to (6), build it
 *
 *	cc -std=gnu11 -O2 -fPIC -shared mine.c $(pkg-config --cflags reheap) -o libmine.so
 *
 * and use it by its path:
 *
 *	reheap replay T.rht --backend ./libmine.so:slab=2M
 *
 * It is loaded with dlopen in the worker, so it needs nothing of reheap but the header:
 * do not call rh_ functions that are not inline. No memory may come from malloc.
 *
 * What it does: blocks of power-of-two classes from 16 bytes to 2 MiB are cut from slabs
 * that belong to the heap; each lane keeps a free list per class, and a block freed on
 * another lane simply joins the list of the lane that freed it. Larger and more strictly
 * aligned blocks are mappings of their own.
 */
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "alloc/backend.h"

enum { CLASS_MIN = 4, CLASS_MAX = 21, CLASSES = CLASS_MAX + 1, PAGE = 4096 };

/* (1) Knobs: a struct, and a table that says how words of the command line fill it. */
struct knobs {
	uint64_t slab;
};

static const struct rh_opt knob_table[] = { { .name = "slab",
					      .type = RH_OPT_SIZE,
					      .offset = offsetof(struct knobs, slab),
					      .dflt = "4M",
					      .min = 4 << 20,
					      .max = 1 << 30,
					      .arg = "SIZE",
					      .help = "bytes taken from the system at once" },
					    { .name = NULL } };

/* (2) The heap: what all lanes share. Everything mapped hangs on it, for close. */
struct mapping {
	struct mapping *next, **back; /* back: of large blocks only, to unlink */
	void *base;
	size_t bytes;
};

struct rh_heap {
	struct knobs knobs;
	_Atomic(struct mapping *) slabs;
	_Atomic int large_busy;
	struct mapping *large;
};

/* (3) A lane: what one thread at a time owns. No lock is needed for what is in here. */
struct rh_lane {
	struct rh_heap *heap;
	uintptr_t at, end;   /* the lane's slab */
	void *free[CLASSES]; /* linked through the first word of free blocks */
};

static void *map(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

/* Errors: fill err as rh_fail would. */
static int no_memory(struct rh_err *err, const char *text)
{
	if (err) {
		err->code = RH_OS;
		snprintf(err->text, sizeof(err->text), "%s", text);
	}
	return -1;
}

static int heap_open(struct rh_heap **heap, const void *knobs, const struct rh_heap_env *env,
		     struct rh_err *err)
{
	(void)env;
	*heap = map(sizeof(**heap));
	if (!*heap)
		return no_memory(err, "skeleton: no memory for the heap");
	(*heap)->knobs = *(const struct knobs *)knobs; /* knobs are valid during open only */
	return 0;
}

/* (4) Close returns everything, also what is still live. */
static void heap_close(struct rh_heap *heap)
{
	for (struct mapping *m = heap->large, *next; m; m = next) {
		next = m->next;
		munmap(m->base, m->bytes);
	}
	for (struct mapping *m = heap->slabs, *next; m; m = next) {
		next = m->next;
		munmap(m->base, m->bytes);
	}
	munmap(heap, sizeof(*heap));
}

static int lane_open(struct rh_heap *heap, struct rh_lane **lane, struct rh_err *err)
{
	*lane = map(sizeof(**lane));
	if (!*lane)
		return no_memory(err, "skeleton: no memory for a lane");
	(*lane)->heap = heap;
	return 0;
}

/* A real backend would hand the lists over to the heap here; this one lets them rest. */
static void lane_close(struct rh_lane *lane)
{
	munmap(lane, sizeof(*lane));
}

/* ---- large blocks: [ pad | struct mapping | block ] in a mapping of their own ---- */

static void large_lock(struct rh_heap *heap)
{
	while (atomic_exchange_explicit(&heap->large_busy, 1, memory_order_acquire))
		;
}

static void large_unlock(struct rh_heap *heap)
{
	atomic_store_explicit(&heap->large_busy, 0, memory_order_release);
}

static void *large_alloc(struct rh_heap *heap, size_t size, size_t align)
{
	struct mapping *m;
	unsigned char *base;
	uintptr_t p;
	size_t bytes;

	if (align < PAGE)
		align = PAGE;
	if (size > PTRDIFF_MAX - 2 * align)
		return NULL;
	bytes = (size + 2 * align + PAGE - 1) & ~(size_t)(PAGE - 1);
	base = map(bytes);
	if (!base)
		return NULL;
	p = ((uintptr_t)base + sizeof(*m) + align - 1) & ~(uintptr_t)(align - 1);
	m = (struct mapping *)p - 1;
	m->base = base;
	m->bytes = bytes;
	large_lock(heap);
	m->next = heap->large;
	m->back = &heap->large;
	if (m->next)
		m->next->back = &m->next;
	heap->large = m;
	large_unlock(heap);
	return (void *)p;
}

static void large_free(struct rh_heap *heap, void *p)
{
	struct mapping *m = (struct mapping *)p - 1;

	large_lock(heap);
	*m->back = m->next;
	if (m->next)
		m->next->back = m->back;
	large_unlock(heap);
	munmap(m->base, m->bytes);
}

/* ---- small blocks ---- */

static unsigned class_of(size_t size)
{
	return size <= 1u << CLASS_MIN ? CLASS_MIN : 64u - (unsigned)__builtin_clzll(size - 1);
}

/* Slabs start with their own mapping record, so that close finds them. */
static int new_slab(struct rh_lane *lane)
{
	struct rh_heap *heap = lane->heap;
	struct mapping *m = map(heap->knobs.slab);

	if (!m)
		return -1;
	m->base = m;
	m->bytes = heap->knobs.slab;
	m->next = atomic_load(&heap->slabs);
	while (!atomic_compare_exchange_weak(&heap->slabs, &m->next, m))
		;
	lane->at = (uintptr_t)m + PAGE;
	lane->end = (uintptr_t)m + m->bytes;
	return 0;
}

/* (5) The three that count. Blocks of a class are aligned to its size up to a page: the
 * slab is, and every class divides the next. */
static void *small_alloc(struct rh_lane *lane, unsigned class)
{
	size_t bytes = (size_t)1 << class, align = bytes < PAGE ? bytes : PAGE;
	void *p = lane->free[class];
	uintptr_t at;

	if (p) {
		memcpy(&lane->free[class], p, sizeof(void *));
		return p;
	}
	at = (lane->at + align - 1) & ~(uintptr_t)(align - 1);
	if (at > lane->end || bytes > lane->end - at) {
		if (new_slab(lane) < 0)
			return NULL;
		at = lane->at;
	}
	lane->at = at + bytes;
	return (void *)at;
}

static void *alloc(struct rh_lane *lane, size_t size)
{
	if (size > (size_t)1 << CLASS_MAX)
		return large_alloc(lane->heap, size, 16);
	return small_alloc(lane, class_of(size));
}

/*
 * A free receives the size, but not the alignment. So a block that got a mapping of its own
 * for the alignment's sake joins the list of its size when it is freed, and must be as large
 * as that class: safe, because close knows the mapping, and wasteful, which a real backend
 * would mend.
 */
static void *alloc_as(struct rh_lane *lane, size_t size, size_t align, uint32_t flags)
{
	size_t need = size < align ? align : size;
	void *p;

	if (align <= PAGE && need <= (size_t)1 << CLASS_MAX)
		p = small_alloc(lane, class_of(need));
	else
		p = large_alloc(lane->heap,
				size > (size_t)1 << CLASS_MAX ? size : (size_t)1 << class_of(size),
				align);
	if (p && flags & RH_ALLOC_ZEROED)
		memset(p, 0, size);
	return p;
}

static void free_block(struct rh_lane *lane, void *p, size_t size)
{
	unsigned class;

	if (size > (size_t)1 << CLASS_MAX) {
		large_free(lane->heap, p);
		return;
	}
	class = class_of(size);
	memcpy(p, &lane->free[class], sizeof(void *));
	lane->free[class] = p;
}

static void *resize(struct rh_lane *lane, void *p, size_t size_old, size_t size_new);

/* (6) The table: the one symbol that is exported. Entries left out are filled in. */
const struct rh_backend reheap_backend = {
	.abi = RH_BACKEND_ABI,
	.name = "skeleton",
	.summary = "power-of-two classes, a free list per lane: an example",
	.knobs = knob_table,
	.knobs_bytes = sizeof(struct knobs),
	.open = heap_open,
	.close = heap_close,
	.lane_open = lane_open,
	.lane_close = lane_close,
	.alloc = alloc,
	.alloc_as = alloc_as,
	.free = free_block,
	.resize = resize,
};

static void *resize(struct rh_lane *lane, void *p, size_t size_old, size_t size_new)
{
	if (size_old <= (size_t)1 << CLASS_MAX && size_new <= (size_t)1 << CLASS_MAX &&
	    class_of(size_old) == class_of(size_new))
		return p;
	return rh_resize_by_copy(&reheap_backend, lane, p, size_old, size_new);
}
