/*
 * example_arena.c - arenas behind the interface of backends: blocks are cut from a chunk one after
 * another, a free only counts, and a chunk is used again as a whole once all of its blocks died.
 *
 *	cc -std=gnu11 -O2 -fPIC -shared example_arena.c $(pkg-config --cflags reheap) -o arena.so
 *	reheap replay T.rht --backend ./arena.so:chunk=256K,libc
 *
 * Each lane cuts from a chunk of its own. Whoever frees the last block of a chunk puts it on the
 * list of empty ones; the lane itself counts as one more block as long as it cuts from the chunk.
 * Chunks are aligned to their size, so the chunk of a block is found by a mask. A block that is
 * too large for a share of a chunk gets one of its own, which goes back to the system.
 *
 * What this is good for is a question to the trace: one block that lives on keeps its whole chunk
 * (`kept` in the statistics that replay -v prints).
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>

#include "alloc/backend.h"

struct knobs {
	uint64_t chunk;
};

static const struct rh_opt knob_table[] = { { .name = "chunk",
					      .type = RH_OPT_SIZE,
					      .offset = offsetof(struct knobs, chunk),
					      .dflt = "1M",
					      .min = 64 << 10,
					      .max = 1 << 30,
					      .arg = "SIZE",
					      .help = "bytes that live and die together, rounded "
						      "up to a power of two" },
					    { .name = NULL } };

/* At the beginning of a chunk. */
struct chunk {
	struct chunk *next, **back; /* of all */
	struct chunk *empty_next;
	void *map; /* what close unmaps */
	size_t map_bytes;
	_Atomic uint32_t living; /* blocks, and the lane that cuts from it */
	uint32_t own;		 /* of one large block */
};

struct rh_heap {
	size_t chunk_bytes;
	pthread_mutex_t lock; /* guards the lists */
	struct chunk *all, *empty;
	_Atomic uint64_t mapped, used_again;
};

struct rh_lane {
	struct rh_heap *heap;
	struct chunk *chunk;
	uintptr_t at, end;
};

static void *map(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

static int no_memory(struct rh_err *err)
{
	if (err) {
		err->code = RH_OS;
		snprintf(err->text, sizeof(err->text), "arena: no memory");
	}
	return -1;
}

static uintptr_t up(uintptr_t at, size_t align)
{
	return (at + align - 1) & ~(uintptr_t)(align - 1);
}

/* ---- chunks ---- */

/* Of a block at p: an address that is aligned to a chunk belongs to the one below. */
static struct chunk *chunk_of(const struct rh_heap *heap, const void *p)
{
	return (struct chunk *)(((uintptr_t)p - 1) & ~(uintptr_t)(heap->chunk_bytes - 1));
}

/* Room for a block of that size and alignment behind the head of a fresh chunk; NULL = exhausted.
 */
static void *map_chunk(struct rh_heap *heap, size_t size, size_t align)
{
	size_t bytes = size + align + 2 * heap->chunk_bytes;
	void *raw = bytes > size ? map(bytes) : NULL, *p;
	struct chunk *chunk;

	if (!raw)
		return NULL;
	p = (void *)up(up((uintptr_t)raw, heap->chunk_bytes) + sizeof(*chunk), align);
	chunk = chunk_of(heap, p);
	chunk->map = raw;
	chunk->map_bytes = bytes;
	atomic_fetch_add(&heap->mapped, 1);
	pthread_mutex_lock(&heap->lock);
	chunk->next = heap->all;
	chunk->back = &heap->all;
	if (chunk->next)
		chunk->next->back = &chunk->next;
	heap->all = chunk;
	pthread_mutex_unlock(&heap->lock);
	return p;
}

/* The last one is gone. */
static void chunk_died(struct rh_heap *heap, struct chunk *chunk)
{
	pthread_mutex_lock(&heap->lock);
	if (chunk->own) {
		*chunk->back = chunk->next;
		if (chunk->next)
			chunk->next->back = chunk->back;
	} else {
		chunk->empty_next = heap->empty;
		heap->empty = chunk;
	}
	pthread_mutex_unlock(&heap->lock);
	if (chunk->own)
		munmap(chunk->map, chunk->map_bytes);
}

/* Release, so that what was written to the block comes before its next use; acquire, so that the
 * one that gives the chunk away has seen that of all. */
static void one_less(struct rh_heap *heap, struct chunk *chunk)
{
	if (atomic_fetch_sub_explicit(&chunk->living, 1, memory_order_acq_rel) == 1)
		chunk_died(heap, chunk);
}

static int next_chunk(struct rh_lane *lane)
{
	struct rh_heap *heap = lane->heap;
	struct chunk *chunk;

	if (lane->chunk)
		one_less(heap, lane->chunk);
	pthread_mutex_lock(&heap->lock);
	chunk = lane->chunk = heap->empty;
	if (chunk)
		heap->empty = chunk->empty_next;
	pthread_mutex_unlock(&heap->lock);
	if (chunk) {
		atomic_fetch_add(&heap->used_again, 1);
	} else {
		void *first = map_chunk(heap, 1, 16);

		if (!first)
			return -1;
		chunk = lane->chunk = chunk_of(heap, first);
	}
	atomic_store(&chunk->living, 1);
	lane->at = (uintptr_t)(chunk + 1);
	lane->end = (uintptr_t)chunk + heap->chunk_bytes;
	return 0;
}

/* ---- blocks ---- */

static void *own_chunk(struct rh_heap *heap, size_t size, size_t align)
{
	void *p = size <= PTRDIFF_MAX ? map_chunk(heap, size, align) : NULL;

	if (p) {
		chunk_of(heap, p)->own = 1;
		atomic_store(&chunk_of(heap, p)->living, 1);
	}
	return p;
}

static void *cut(struct rh_lane *lane, size_t size, size_t align)
{
	uintptr_t at;

	size = size ? size : 1;
	if (size > lane->heap->chunk_bytes / 4 || align > lane->heap->chunk_bytes / 4)
		return own_chunk(lane->heap, size, align);
	at = up(lane->at, align);
	if (!lane->chunk || at + size > lane->end) {
		if (next_chunk(lane) < 0)
			return NULL;
		at = up(lane->at, align);
	}
	lane->at = at + size;
	atomic_fetch_add_explicit(&lane->chunk->living, 1, memory_order_relaxed);
	return (void *)at;
}

static void *arena_alloc(struct rh_lane *lane, size_t size)
{
	return cut(lane, size, 16);
}

/* A chunk that is used again is not zero any more. */
static void *arena_alloc_as(struct rh_lane *lane, size_t size, size_t align, uint32_t flags)
{
	void *p = cut(lane, size, align < 16 ? 16 : align);

	if (p && flags & RH_ALLOC_ZEROED)
		memset(p, 0, size);
	return p;
}

static void arena_free(struct rh_lane *lane, void *p, size_t size)
{
	(void)size;
	one_less(lane->heap, chunk_of(lane->heap, p));
}

static void *arena_resize(struct rh_lane *lane, void *p, size_t size_old, size_t size_new)
{
	if (size_new <= size_old)
		return p;
	/* The block that was cut last grows in place. */
	if ((uintptr_t)p + size_old == lane->at && chunk_of(lane->heap, p) == lane->chunk &&
	    size_new - size_old <= lane->end - lane->at) {
		lane->at += size_new - size_old;
		return p;
	}
	return rh_resize_by_copy(&reheap_backend, lane, p, size_old, size_new);
}

/* ---- the heap and its lanes ---- */

static int arena_open(struct rh_heap **heap, const void *knobs, const struct rh_heap_env *env,
		      struct rh_err *err)
{
	const struct knobs *given = knobs;

	(void)env;
	*heap = map(sizeof(**heap));
	if (!*heap)
		return no_memory(err);
	pthread_mutex_init(&(*heap)->lock, NULL);
	for ((*heap)->chunk_bytes = 64 << 10; (*heap)->chunk_bytes < given->chunk;)
		(*heap)->chunk_bytes *= 2;
	return 0;
}

static void arena_close(struct rh_heap *heap)
{
	for (struct chunk *chunk = heap->all, *next; chunk; chunk = next) {
		next = chunk->next;
		munmap(chunk->map, chunk->map_bytes);
	}
	munmap(heap, sizeof(*heap));
}

static int arena_lane_open(struct rh_heap *heap, struct rh_lane **lane, struct rh_err *err)
{
	*lane = map(sizeof(**lane));
	if (!*lane)
		return no_memory(err);
	(*lane)->heap = heap;
	return 0;
}

static void arena_lane_close(struct rh_lane *lane)
{
	if (lane->chunk)
		one_less(lane->heap, lane->chunk);
	munmap(lane, sizeof(*lane));
}

static void arena_stats(struct rh_heap *heap, rh_stat_fn *emit, void *ctx)
{
	uint64_t kept = 0;

	pthread_mutex_lock(&heap->lock);
	for (const struct chunk *chunk = heap->all; chunk; chunk = chunk->next)
		kept += atomic_load(&chunk->living) > 0;
	pthread_mutex_unlock(&heap->lock);
	emit(ctx, "chunks.mapped", "count", atomic_load(&heap->mapped));
	emit(ctx, "chunks.used_again", "count", atomic_load(&heap->used_again));
	emit(ctx, "chunks.kept", "count", kept);
}

const struct rh_backend reheap_backend = {
	.abi = RH_BACKEND_ABI,
	.name = "arena",
	.summary = "chunks that live and die as a whole: an example",
	.knobs = knob_table,
	.knobs_bytes = sizeof(struct knobs),
	.open = arena_open,
	.close = arena_close,
	.lane_open = arena_lane_open,
	.lane_close = arena_lane_close,
	.alloc = arena_alloc,
	.alloc_as = arena_alloc_as,
	.free = arena_free,
	.resize = arena_resize,
	.stats = arena_stats,
};
