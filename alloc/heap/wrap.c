/*
 * wrap.c - the entries decorators pass on to what they wrap (see wrap.h).
 */
#include "alloc/heap/wrap.h"

#include <assert.h>

#include "alloc/base/os.h"

/* Casts both ways are what the static assertions in each decorator allow: wrap is its
 * first member. */
static struct rh_wrap_heap *wrap_of(struct rh_heap *heap)
{
	return (struct rh_wrap_heap *)heap;
}

static struct rh_wrap_lane *wrap_lane_of(struct rh_lane *lane)
{
	return (struct rh_wrap_lane *)lane;
}

int rh_wrap_open(struct rh_heap **heap, size_t heap_bytes, const char *what,
		 const struct rh_heap_env *env, struct rh_err *err)
{
	struct rh_wrap_heap *wrap;

	assert(heap_bytes >= sizeof(*wrap));
	/* From the command line the parser has seen to this; a program that links us
	 * opens what it likes. */
	if (!env || !env->inner)
		return rh_fail(err, RH_USAGE, "%s needs a backend to wrap: %s:libc", what, what);
	/* From mmap: a decorator around libc that called malloc would change the heap
	 * under test. */
	wrap = rh_map(heap_bytes);
	if (!wrap)
		return rh_fail(err, RH_OS, "%s: no memory for the heap", what);
	/* Checked once more, since an inner table may come from a caller and not from
	 * the parser. The copy is kept: env is valid during open only. */
	if (rh_backend_check(env->inner, &wrap->ops, err) < 0 ||
	    wrap->ops.open(&wrap->inner, env->inner_knobs, env->inner_env, err) < 0) {
		rh_unmap(wrap, heap_bytes);
		return -1;
	}
	*heap = (struct rh_heap *)wrap;
	return 0;
}

/* Inner first: the table through which it is closed lies in the outer one. */
void rh_wrap_close(struct rh_heap *heap, size_t heap_bytes)
{
	wrap_of(heap)->ops.close(wrap_of(heap)->inner);
	rh_unmap(heap, heap_bytes);
}

/* A lane of ours for each lane within, so what a decorator counts is under no lock. */
int rh_wrap_lane_open(struct rh_heap *heap, struct rh_lane **lane, size_t lane_bytes,
		      struct rh_err *err)
{
	struct rh_wrap_heap *wrap = wrap_of(heap);
	struct rh_wrap_lane *mine = rh_map(lane_bytes);

	assert(lane_bytes >= sizeof(*mine));
	if (!mine)
		return rh_fail(err, RH_OS, "no memory for a lane around %s", wrap->ops.name);
	mine->wrap = wrap;
	/* The pair is opened whole or not at all: a lane without its inner one could
	 * not be closed. */
	if (wrap->ops.lane_open(wrap->inner, &mine->inner, err) < 0) {
		rh_unmap(mine, lane_bytes);
		return -1;
	}
	*lane = (struct rh_lane *)mine;
	return 0;
}

void rh_wrap_lane_close(struct rh_lane *lane, size_t lane_bytes)
{
	struct rh_wrap_lane *mine = wrap_lane_of(lane);

	mine->wrap->ops.lane_close(mine->inner);
	rh_unmap(mine, lane_bytes);
}

/* For decorators that hand out the inner heap's own addresses. One that shifts them
 * (checked) must answer itself. */
size_t rh_wrap_usable(struct rh_lane *lane, const void *p, size_t size)
{
	struct rh_wrap_lane *mine = wrap_lane_of(lane);

	return mine->wrap->ops.usable(mine->inner, p, size);
}

void rh_wrap_gc_begin(struct rh_lane *lane)
{
	struct rh_wrap_lane *mine = wrap_lane_of(lane);

	mine->wrap->ops.gc_begin(mine->inner);
}

void rh_wrap_gc_end(struct rh_lane *lane)
{
	struct rh_wrap_lane *mine = wrap_lane_of(lane);

	mine->wrap->ops.gc_end(mine->inner);
}

void rh_wrap_trim(struct rh_lane *lane)
{
	struct rh_wrap_lane *mine = wrap_lane_of(lane);

	mine->wrap->ops.trim(mine->inner);
}

void rh_wrap_stats(struct rh_heap *heap, rh_stat_fn *emit, void *ctx)
{
	/* Names are not prefixed: "mcache.hits" stays the same figure with and
	 * without decorators. */
	wrap_of(heap)->ops.stats(wrap_of(heap)->inner, emit, ctx);
}

void rh_wrap_locks(struct rh_heap *heap, rh_lock_fn *emit, void *ctx)
{
	wrap_of(heap)->ops.locks(wrap_of(heap)->inner, emit, ctx);
}

void *rh_wrap_stack_pages(struct rh_lane *lane, size_t page_count)
{
	struct rh_wrap_lane *mine = wrap_lane_of(lane);

	/* Checked although the parser takes the entry out: stacks ask in their slow
	 * path only, so the test costs nothing. */
	return mine->wrap->ops.stack_pages ? mine->wrap->ops.stack_pages(mine->inner, page_count)
					   : NULL;
}

void rh_wrap_stack_pages_free(struct rh_lane *lane, void *p, size_t page_count)
{
	struct rh_wrap_lane *mine = wrap_lane_of(lane);

	assert(mine->wrap->ops.stack_pages_free);
	mine->wrap->ops.stack_pages_free(mine->inner, p, page_count);
}
