/*
 * bump.c - linear allocation, nothing ever comes back: the floor of what any heap that
 * hands out real memory can cost.
 *
 *	chunk (mmap)  [ header | used ......... at -> free ......... end ]
 *
 * An alloc: (1) round up to 16; (2) move `at` of the lane's chunk; (3) when it does not
 * fit: a new chunk, twice the last up to 64 MiB, or one of its own for a block that would
 * take a quarter of a chunk. Chunks hang on the heap, not on the lane: blocks outlive the
 * lane that made them, and close unmaps everything.
 *
 * Memory is zero when it is first handed out, and it is handed out once, so zeroed costs
 * nothing. A resize grows in place only inside the rounding.
 */
#include "alloc/base/debug.h"
#include "alloc/registry.h"

#include <assert.h>
#include <stdatomic.h>

/* 64 MiB: a run of gigabytes then costs one mmap for each 64 MiB, which is lost in
 * the page faults. */
enum { GRAIN = 16, CHUNK_BYTES_MAX = 64 << 20 };

struct knobs {
	uint64_t chunk, limit;
};

struct chunk {
	/* Chunks are their own list: no table has to grow. */
	struct chunk *next;
	size_t bytes;
};
_Static_assert(sizeof(struct chunk) % GRAIN == 0, "blocks after the header stay aligned");

struct rh_heap {
	struct knobs knobs;
	_Atomic(struct chunk *) chunks;
	_Atomic uint64_t mapped;
};

struct rh_lane {
	uintptr_t at, end; /* end - at is a multiple of GRAIN */
	struct rh_heap *heap;
	size_t chunk_bytes; /* of the next chunk */
};

static int bump_open(struct rh_heap **heap, const void *knobs, const struct rh_heap_env *env,
		     struct rh_err *err)
{
	(void)env;
	*heap = rh_map(sizeof(**heap));
	if (!*heap)
		return rh_fail(err, RH_OS, "bump: no memory for the heap");
	(*heap)->knobs = *(const struct knobs *)knobs;
	return 0;
}

static void bump_close(struct rh_heap *heap)
{
	struct chunk *chunk = heap->chunks;

	while (chunk) {
		struct chunk *next = chunk->next;

		rh_unmap(chunk, chunk->bytes);
		chunk = next;
	}
	rh_unmap(heap, sizeof(*heap));
}

static int bump_lane_open(struct rh_heap *heap, struct rh_lane **lane, struct rh_err *err)
{
	*lane = rh_map(sizeof(**lane));
	if (!*lane)
		return rh_fail(err, RH_OS, "bump: no memory for a lane");
	(*lane)->heap = heap;
	(*lane)->chunk_bytes = heap->knobs.chunk;
	return 0;
}

static void bump_lane_close(struct rh_lane *lane)
{
	rh_unmap(lane, sizeof(*lane));
}

static struct chunk *chunk_new(struct rh_heap *heap, size_t bytes)
{
	struct chunk *chunk;

	bytes = rh_page_up(bytes);
	/* Added first, then looked at, so that two lanes cannot both take the last
	 * room below the limit; at worst both are refused. */
	if (atomic_fetch_add_explicit(&heap->mapped, bytes, memory_order_relaxed) + bytes >
		    heap->knobs.limit &&
	    heap->knobs.limit)
		chunk = NULL;
	else
		chunk = rh_map(bytes);
	if (!chunk) {
		atomic_fetch_sub_explicit(&heap->mapped, bytes, memory_order_relaxed);
		return NULL;
	}
	chunk->bytes = bytes;
	assert(bytes % rh_page_bytes() == 0 && bytes > sizeof(*chunk));
	chunk->next = atomic_load_explicit(&heap->chunks, memory_order_relaxed);
	/* Pushed only, never popped before close, so there is no ABA. */
	while (!atomic_compare_exchange_weak(&heap->chunks, &chunk->next, chunk))
		;
	return chunk;
}

/* size is not 0, align a power of two of at least GRAIN. */
static __attribute__((noinline)) void *bump_slow(struct rh_lane *lane, size_t size, size_t align)
{
	size_t need = sizeof(struct chunk) + size + (align > GRAIN ? align : 0);
	struct chunk *chunk;
	uintptr_t p;

	assert(size > 0 && align >= GRAIN && (align & (align - 1)) == 0);
	/* need may have wrapped by now; it is used only where this test has passed. */
	if (size > PTRDIFF_MAX - RH_PAGE || align > PTRDIFF_MAX - size - RH_PAGE)
		return NULL;
	/* A quarter bounds the waste: the rest of a chunk that a large block does not
	 * fit into is lost. */
	if (need > lane->chunk_bytes / 4) {
		chunk = chunk_new(lane->heap, need);
		if (!chunk)
			return NULL;
		p = (uintptr_t)(chunk + 1);
		return (void *)((p + align - 1) & ~(uintptr_t)(align - 1));
	}
	chunk = chunk_new(lane->heap, lane->chunk_bytes);
	if (!chunk)
		return NULL;
	if (lane->chunk_bytes <= CHUNK_BYTES_MAX / 2)
		lane->chunk_bytes *= 2;
	p = ((uintptr_t)(chunk + 1) + align - 1) & ~(uintptr_t)(align - 1);
	/* What was left of the old chunk is lost: no list to put it on, and no free
	 * to take from it. */
	lane->end = (uintptr_t)chunk + chunk->bytes;
	lane->at = p + ((size + GRAIN - 1) & ~(size_t)(GRAIN - 1));
	assert(lane->at <= lane->end && (lane->end - lane->at) % GRAIN == 0);
	return (void *)p;
}

/* The room left is a multiple of GRAIN: what fits unrounded fits rounded, so the
 * compare comes first and nothing can wrap. */
static void *bump_alloc(struct rh_lane *lane, size_t size)
{
	uintptr_t p = lane->at;

	rh_debug_assert((lane->end - p) % GRAIN == 0);
	size += size == 0;
	if (size > lane->end - p)
		return bump_slow(lane, size, GRAIN);
	lane->at = p + ((size + GRAIN - 1) & ~(size_t)(GRAIN - 1));
	return (void *)p;
}

static void *bump_alloc_as(struct rh_lane *lane, size_t size, size_t align, uint32_t flags)
{
	uintptr_t p;

	(void)flags;
	if (align <= GRAIN)
		return bump_alloc(lane, size);
	size += size == 0;
	p = (lane->at + align - 1) & ~(uintptr_t)(align - 1);
	/* Rounding up may wrap at the end of the address space or pass the end of the
	 * chunk. */
	if (p < lane->at || p > lane->end || size > lane->end - p)
		return bump_slow(lane, size, align);
	lane->at = p + ((size + GRAIN - 1) & ~(size_t)(GRAIN - 1));
	rh_debug_assert(lane->at <= lane->end);
	return (void *)p;
}

/* Empty, and not even the last block is taken back: a floor must do less than any
 * real heap. */
static void bump_free(struct rh_lane *lane, void *p, size_t size)
{
	(void)lane;
	(void)p;
	(void)size;
}

static void *bump_resize(struct rh_lane *lane, void *p, size_t size_old, size_t size_new)
{
	size_t room = (size_old + (size_old == 0) + GRAIN - 1) & ~(size_t)(GRAIN - 1);

	return size_new <= room ? p
				: rh_resize_by_copy(&rh_backend_bump, lane, p, size_old, size_new);
}

static void bump_stats(struct rh_heap *heap, rh_stat_fn *emit, void *ctx)
{
	emit(ctx, "bump.mapped", "bytes", heap->mapped);
}

static const struct rh_opt bump_knobs[] = {
	{ .name = "chunk",
	  .type = RH_OPT_SIZE,
	  .offset = offsetof(struct knobs, chunk),
	  .dflt = "1M",
	  .min = 64 << 10,
	  .max = 64 << 20,
	  .arg = "SIZE",
	  .help = "first chunk of a lane; the next are twice the last, up to 64M" },
	{ .name = "limit",
	  .type = RH_OPT_SIZE,
	  .offset = offsetof(struct knobs, limit),
	  .arg = "SIZE",
	  .help = "exhausted at this many bytes (0: when the system says so)" },
	{ .name = NULL }
};

const struct rh_backend rh_backend_bump = {
	.abi = RH_BACKEND_ABI,
	.caps = RH_CAP_NO_REUSE,
	.name = "bump",
	.summary = "linear allocation, never reuses: the floor of any heap",
	.knobs = bump_knobs,
	.knobs_bytes = sizeof(struct knobs),
	.open = bump_open,
	.close = bump_close,
	.lane_open = bump_lane_open,
	.lane_close = bump_lane_close,
	.alloc = bump_alloc,
	.alloc_as = bump_alloc_as,
	.free = bump_free,
	.resize = bump_resize,
	.stats = bump_stats,
};
