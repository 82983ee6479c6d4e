/*
 * checked.c - a decorator that catches the mistakes of a program and of the heap below.
 *
 *	base (inner heap)          p (the user's)
 *	| slack | red zone 16 x FA | size bytes | red zone 16 x FB |
 *	 \_______ front _________/
 *
 * front is 16 bytes, or the alignment when that is more. An alloc: (1) get the whole from
 * the inner heap; (2) check its alignment and, where asked, that it is zero; (3) claim its
 * addresses in the live map, which fails when a live block has some of them; (4) write the
 * red zones, fill with A5; (5) enter p. A free goes the other way: take p out (wild and
 * double frees end here), compare the size, check both zones, fill with DF, give back.
 * The map knows p before the user does and forgets it before the inner heap can hand the
 * same memory out again, so no lock is held across the inner heap.
 *
 * Fills and contents are limited to `fill` bytes a block, so that checking a trace with
 * huge blocks does not touch memory the program never touched. Close checks the zones
 * of blocks that were never freed.
 */
#include "alloc/heap/checked.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "alloc/heap/live_map.h"
#include "alloc/heap/wrap.h"
#include "alloc/registry.h"

enum {
	/* The alignment of malloc, so that a block keeps it. An overrun that jumps
	 * over the zone may damage the next block's, which then reports an underrun. */
	ZONE = 16,
	/* Different bytes before and behind: a dump shows at once which edge it is.
	 * None of them is 0, the byte that overruns write most often (a string's
	 * NUL). */
	BYTE_BEFORE = 0xfa,
	BYTE_AFTER = 0xfb,
	/* As a pointer, eight of these are no address of user space: using memory
	 * that was never written faults. */
	BYTE_NEW = 0xa5,
	BYTE_FREED = 0xdf,
};

struct knobs {
	uint64_t fill;
};

struct rh_heap {
	struct rh_wrap_heap wrap;
	struct knobs knobs;
	struct rh_live_map *map;
	_Atomic uint64_t live, checks;
};

struct rh_lane {
	struct rh_wrap_lane wrap;
	struct rh_heap *heap;
};
_Static_assert(offsetof(struct rh_heap, wrap) == 0 && offsetof(struct rh_lane, wrap) == 0,
	       "rh_wrap_ functions cast");

/* Part of the interface: tests and scripts look for these words. */
static const char *const words[RH_VIOLATION_COUNT] = {
	[RH_VIOLATION_OVERRUN] = "overrun",
	[RH_VIOLATION_UNDERRUN] = "underrun",
	[RH_VIOLATION_DOUBLE_FREE] = "double free",
	[RH_VIOLATION_WILD_FREE] = "wild free",
	[RH_VIOLATION_WRONG_SIZE] = "wrong size",
	[RH_VIOLATION_ALIGNMENT] = "bad alignment",
	[RH_VIOLATION_NOT_ZEROED] = "memory not zeroed",
	[RH_VIOLATION_OVERLAP] = "overlap",
	[RH_VIOLATION_LOST_CONTENTS] = "contents lost",
};

static const char *const meanings[RH_VIOLATION_COUNT] = {
	[RH_VIOLATION_OVERRUN] = "first damaged byte behind the block, offset",
	[RH_VIOLATION_UNDERRUN] = "last damaged byte before the block, distance",
	[RH_VIOLATION_DOUBLE_FREE] = "size given",
	[RH_VIOLATION_WILD_FREE] = "size given",
	[RH_VIOLATION_WRONG_SIZE] = "size given",
	[RH_VIOLATION_ALIGNMENT] = "alignment due",
	[RH_VIOLATION_NOT_ZEROED] = "first byte that is not, offset",
	[RH_VIOLATION_OVERLAP] = "bytes in all",
	[RH_VIOLATION_LOST_CONTENTS] = "size before",
};

/* One write(2), because stdio may allocate from the heap that has just failed. */
static void report_and_abort(const struct rh_violation *v)
{
	char line[300];
	int bytes = snprintf(line, sizeof(line),
			     "reheap: checked: %s at %p, size %zu (%s %zu), inner heap %s\n",
			     v->word, v->p, v->size, meanings[v->kind], v->other, v->inner);

	if (bytes > 0 && write(STDERR_FILENO, line, (size_t)bytes) < 0)
		abort(); /* there is no caller to report to */
	abort();
}

/* A pointer so that tests see each kind without a process of its own for each. */
void (*rh_checked_violation)(const struct rh_violation *violation) = report_and_abort;

static void violation(struct rh_heap *heap, enum rh_violation_kind kind, const void *p, size_t size,
		      size_t other)
{
	struct rh_violation v = { kind, words[kind], p, size, other, heap->wrap.ops.name };

	assert(words[kind] && meanings[kind]);
	rh_checked_violation(&v);
}

/* ---- one block ---- */

/* The same limit for filling, comparing and hashing, or bytes that were never filled
 * would be compared. */
static size_t filled_bytes(const struct rh_heap *heap, size_t size)
{
	return size < heap->knobs.fill ? size : heap->knobs.fill;
}

/* Offset of the first byte that is not `byte`, or n. The offset goes into the report: which
 * byte is hit often names the bug (at 0 a missing +1, at 4 or 8 a field too many). */
static size_t first_other(const unsigned char *p, size_t n, unsigned char byte)
{
	size_t i = 0;

	while (i < n && p[i] == byte)
		i++;
	return i;
}

static void write_zones(unsigned char *p, size_t size)
{
	memset(p - ZONE, BYTE_BEFORE, ZONE);
	memset(p + size, BYTE_AFTER, ZONE);
}

static void check_zones(struct rh_heap *heap, const unsigned char *p, size_t size)
{
	size_t after = first_other(p + size, ZONE, BYTE_AFTER), before = ZONE;

	/* From the far end inwards; what is reported is the damaged byte furthest
	 * from the block. */
	while (before > 0 && p[-(ptrdiff_t)before] == BYTE_BEFORE)
		before--;
	if (before > 0)
		violation(heap, RH_VIOLATION_UNDERRUN, p, size, before);
	if (after < ZONE)
		violation(heap, RH_VIOLATION_OVERRUN, p, size, after);
}

/* FNV-1a: enough to notice lost contents. A copy would double the memory of a run for the time
 * of each resize. */
static uint64_t contents_hash(const unsigned char *p, size_t n)
{
	uint64_t hash = 0xcbf29ce484222325u;

	for (size_t i = 0; i < n; i++)
		hash = (hash ^ p[i]) * 0x100000001b3u;
	return hash;
}

/* 2^55, because a size shares its word in the map with eight other bits and the zones
 * come on top. */
static bool whole_bytes(size_t front, size_t size, size_t *whole)
{
	return !__builtin_add_overflow(front + ZONE, size, whole) && size < (size_t)1 << 55;
}

/* Claims the memory of a block and enters it. On failure of the map itself: false. An overlap
 * is reported and the block handed out all the same: only a test gets here, as the default
 * report does not return. */
static bool enter(struct rh_heap *heap, unsigned char *base, size_t front, size_t size)
{
	struct rh_live_block block = { size, (unsigned)__builtin_ctzll(front) };
	size_t whole = front + size + ZONE;
	enum rh_live_answer answer = rh_live_map_claim(heap->map, (uintptr_t)base, whole);

	assert(front >= ZONE && (front & (front - 1)) == 0);
	if (answer == RH_LIVE_OVERLAP)
		violation(heap, RH_VIOLATION_OVERLAP, base + front, size, whole);
	return answer != RH_LIVE_NO_MEMORY &&
	       rh_live_map_enter(heap->map, (uintptr_t)(base + front), &block) == RH_LIVE_OK;
}

/* Takes p out of the map and checks all there is to check. False: not a live block. */
static bool take_back(struct rh_heap *heap, unsigned char *p, size_t size_given,
		      struct rh_live_block *block)
{
	size_t front;

	atomic_fetch_add_explicit(&heap->checks, 1, memory_order_relaxed);
	switch (rh_live_map_take(heap->map, (uintptr_t)p, block)) {
	case RH_LIVE_OK:
		break;
	case RH_LIVE_WAS_FREED:
		violation(heap, RH_VIOLATION_DOUBLE_FREE, p, size_given, size_given);
		return false;
	default:
		violation(heap, RH_VIOLATION_WILD_FREE, p, size_given, size_given);
		return false;
	}
	/* The block's own size is used from here on: a wrong one would put the zones
	 * elsewhere and report each mistake twice. */
	if (block->size != size_given)
		violation(heap, RH_VIOLATION_WRONG_SIZE, p, block->size, size_given);
	check_zones(heap, p, block->size);
	front = (size_t)1 << block->front_log2;
	assert(front >= ZONE);
	/* Before the inner free: as soon as that returns, another lane may get the
	 * same memory and claim it. */
	rh_live_map_release(heap->map, (uintptr_t)(p - front), front + block->size + ZONE);
	return true;
}

/* ---- entries ---- */

static void *checked_alloc_as(struct rh_lane *lane, size_t size, size_t align, uint32_t flags)
{
	struct rh_heap *heap = lane->heap;
	const struct rh_backend *inner = &heap->wrap.ops;
	/* The whole alignment goes in front, so that the user's address keeps it: up
	 * to align - 16 bytes are slack. */
	size_t front = align > ZONE ? align : ZONE, whole, bad, zeroed;
	unsigned char *base, *p;

	if (align > (size_t)1 << 40 || !whole_bytes(front, size, &whole))
		return NULL;
	base = align <= 1 && !flags ? inner->alloc(lane->wrap.inner, whole)
				    : inner->alloc_as(lane->wrap.inner, whole, front, flags);
	if (!base)
		return NULL;
	p = base + front;
	if ((uintptr_t)base % front != 0)
		violation(heap, RH_VIOLATION_ALIGNMENT, p, size, front);
	/* Looked at before the zones are written, since they are written into the
	 * same memory. */
	zeroed = flags & RH_ALLOC_ZEROED ? filled_bytes(heap, size) : 0;
	bad = first_other(p, zeroed, 0);
	/* The map has no memory: as exhausted as if the heap had none. */
	if (!enter(heap, base, front, size)) {
		inner->free(lane->wrap.inner, base, whole);
		return NULL;
	}
	if (bad < zeroed)
		violation(heap, RH_VIOLATION_NOT_ZEROED, p, size, bad);
	if (!(flags & RH_ALLOC_ZEROED))
		memset(p, BYTE_NEW, filled_bytes(heap, size));
	write_zones(p, size);
	atomic_fetch_add_explicit(&heap->live, 1, memory_order_relaxed);
	return p;
}

static void *checked_alloc(struct rh_lane *lane, size_t size)
{
	return checked_alloc_as(lane, size, 0, 0);
}

static void checked_free(struct rh_lane *lane, void *p, size_t size)
{
	struct rh_heap *heap = lane->heap;
	struct rh_live_block block;
	size_t front;

	if (!take_back(heap, p, size, &block))
		return;
	front = (size_t)1 << block.front_log2;
	/* While the block is still ours: behind the inner free it may be somebody
	 * else's. */
	memset(p, BYTE_FREED, filled_bytes(heap, block.size));
	assert(atomic_load(&heap->live) > 0);
	atomic_fetch_sub_explicit(&heap->live, 1, memory_order_relaxed);
	heap->wrap.ops.free(lane->wrap.inner, (unsigned char *)p - front,
			    front + block.size + ZONE);
}

/* After the inner heap moved the block `was`, whose contents had that hash, to base: as after an
 * alloc. */
static void *resized(struct rh_heap *heap, unsigned char *base, const struct rh_live_block *was,
		     size_t size, uint64_t hash)
{
	size_t front = (size_t)1 << was->front_log2, old = was->size;
	unsigned char *p = base + front;
	size_t kept = filled_bytes(heap, old < size ? old : size);

	/* realloc promises no more than the alignment of malloc, whatever the block
	 * had before. */
	if ((uintptr_t)base % ZONE != 0)
		violation(heap, RH_VIOLATION_ALIGNMENT, p, size, ZONE);
	if (!enter(heap, base, front, size))
		return NULL;
	if (contents_hash(p, kept) != hash)
		violation(heap, RH_VIOLATION_LOST_CONTENTS, p, size, old);
	/* What grew is as new as a block's first bytes. */
	if (size > old)
		memset(p + old, BYTE_NEW, filled_bytes(heap, size - old));
	write_zones(p, size);
	return p;
}

/* A resize that the map has no memory for loses the block: the inner heap cannot undo it.
 * The caller sees "exhausted", and the leak ends with the heap. */
static void *checked_resize(struct rh_lane *lane, void *p, size_t size_old, size_t size_new)
{
	struct rh_heap *heap = lane->heap;
	struct rh_live_block block;
	size_t front, whole;
	unsigned char *base;
	uint64_t hash;

	if (!whole_bytes(ZONE, size_new, &whole) || !take_back(heap, p, size_old, &block))
		return NULL;
	front = (size_t)1 << block.front_log2;
	base = (unsigned char *)p - front;
	/* Only what both sizes have: the rest may be lost by a shrink. */
	hash = contents_hash(p, filled_bytes(heap, block.size < size_new ? block.size : size_new));
	base = heap->wrap.ops.resize(lane->wrap.inner, base, front + block.size + ZONE,
				     front + size_new + ZONE);
	/* The old block is still valid, so it goes back into the map, with the zones
	 * it still has. */
	if (!base) {
		enter(heap, (unsigned char *)p - front, front, block.size);
		return NULL;
	}
	return resized(heap, base, &block, size_new, hash);
}

static size_t checked_usable(struct rh_lane *lane, const void *p, size_t size)
{
	(void)lane;
	(void)p;
	return size; /* what lies behind is the red zone */
}

static int checked_open(struct rh_heap **heap, const void *knobs, const struct rh_heap_env *env,
			struct rh_err *err)
{
	/* All blocks of null are one address: each alloc would be an overlap. */
	if (env && env->inner && env->inner->caps & RH_CAP_NO_MEMORY)
		return rh_fail(err, RH_USAGE, "checked needs a heap with memory, and %s has none",
			       env->inner->name);
	if (rh_wrap_open(heap, sizeof(**heap), "checked", env, err) < 0)
		return -1;
	(*heap)->knobs = *(const struct knobs *)knobs;
	(*heap)->map = rh_live_map_open();
	if (!(*heap)->map) {
		rh_wrap_close(*heap, sizeof(**heap));
		return rh_fail(err, RH_OS, "checked: no memory for the table of live blocks");
	}
	return 0;
}

/* A block that leaks is no violation (a trace may end in the middle of a program), but a
 * damaged zone around it is. */
static void check_at_close(void *ctx, uintptr_t p, const struct rh_live_block *block)
{
	check_zones(ctx, (const unsigned char *)p, block->size);
}

static void checked_close(struct rh_heap *heap)
{
	rh_live_map_each(heap->map, check_at_close, heap);
	rh_live_map_close(heap->map);
	rh_wrap_close(heap, sizeof(*heap));
}

static int checked_lane_open(struct rh_heap *heap, struct rh_lane **lane, struct rh_err *err)
{
	if (rh_wrap_lane_open(heap, lane, sizeof(**lane), err) < 0)
		return -1;
	(*lane)->heap = heap;
	return 0;
}

static void checked_lane_close(struct rh_lane *lane)
{
	rh_wrap_lane_close(lane, sizeof(*lane));
}

static void checked_stats(struct rh_heap *heap, rh_stat_fn *emit, void *ctx)
{
	emit(ctx, "checked.live", "count", heap->live);
	emit(ctx, "checked.checks", "count", heap->checks);
	rh_wrap_stats(heap, emit, ctx);
}

static void checked_locks(struct rh_heap *heap, rh_lock_fn *emit, void *ctx)
{
	rh_live_map_locks(heap->map, emit, ctx);
	rh_wrap_locks(heap, emit, ctx);
}

static const struct rh_opt checked_knobs[] = {
	{ .name = "fill",
	  .type = RH_OPT_SIZE,
	  .offset = offsetof(struct knobs, fill),
	  .dflt = "1M",
	  .arg = "SIZE",
	  .help = "bytes of a block that are filled and compared" },
	{ .name = NULL }
};

const struct rh_backend rh_backend_checked = {
	.abi = RH_BACKEND_ABI,
	.caps = RH_CAP_DECORATOR,
	.name = "checked",
	.summary = "red zones, double and wild frees, overlap: checked:jemalloc",
	.knobs = checked_knobs,
	.knobs_bytes = sizeof(struct knobs),
	.open = checked_open,
	.close = checked_close,
	.lane_open = checked_lane_open,
	.lane_close = checked_lane_close,
	.alloc = checked_alloc,
	.alloc_as = checked_alloc_as,
	.free = checked_free,
	.resize = checked_resize,
	.usable = checked_usable,
	.gc_begin = rh_wrap_gc_begin,
	.trim = rh_wrap_trim,
	.gc_end = rh_wrap_gc_end,
	.stats = checked_stats,
	.locks = checked_locks,
	.stack_pages = rh_wrap_stack_pages,
	.stack_pages_free = rh_wrap_stack_pages_free,
};
