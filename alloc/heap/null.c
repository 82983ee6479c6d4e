/*
 * null.c - no allocator at all: the cost of the harness itself.
 *
 * Every block of a lane is the same 64 bytes, on a page of its own, so that lanes share
 * no cache line when the replay touches blocks. Size and alignment are ignored and
 * nothing runs out (RH_CAP_NO_MEMORY): alloc is one address and a return.
 */
#include "alloc/registry.h"

/* A heap without state: any address serves as its handle. */
static char the_heap;

/* Starts a page. The block stands on the second line: the first holds nothing that
 * changes, but a touched block should not make the lane's own words dirty. */
struct rh_lane {
	_Alignas(RH_CACHE_LINE) struct rh_heap *heap;
	_Alignas(RH_CACHE_LINE) unsigned char block[RH_CACHE_LINE];
};
_Static_assert(sizeof(struct rh_lane) <= RH_PAGE, "lanes share no page");

static int null_open(struct rh_heap **heap, const void *knobs, const struct rh_heap_env *env,
		     struct rh_err *err)
{
	(void)knobs;
	(void)env;
	(void)err;
	*heap = (struct rh_heap *)&the_heap;
	return 0;
}

static void null_close(struct rh_heap *heap)
{
	(void)heap;
}

static int null_lane_open(struct rh_heap *heap, struct rh_lane **lane, struct rh_err *err)
{
	*lane = rh_map(sizeof(**lane));
	if (!*lane)
		return rh_fail(err, RH_OS, "null: no memory for a lane");
	(*lane)->heap = heap;
	return 0;
}

static void null_lane_close(struct rh_lane *lane)
{
	rh_unmap(lane, sizeof(*lane));
}

static void *null_alloc(struct rh_lane *lane, size_t size)
{
	(void)size;
	return lane->block;
}

static void *null_alloc_as(struct rh_lane *lane, size_t size, size_t align, uint32_t flags)
{
	(void)size;
	(void)align;
	(void)flags;
	return lane->block;
}

/* Touches nothing: what is left of a free is the replay's own work. */
static void null_free(struct rh_lane *lane, void *p, size_t size)
{
	(void)lane;
	(void)p;
	(void)size;
}

/* The same address, or every resize would touch a line that no alloc did. */
static void *null_resize(struct rh_lane *lane, void *p, size_t size_old, size_t size_new)
{
	(void)lane;
	(void)size_old;
	(void)size_new;
	return p;
}

const struct rh_backend rh_backend_null = {
	.abi = RH_BACKEND_ABI,
	.caps = RH_CAP_NO_MEMORY,
	.name = "null",
	.summary = "no memory at all: the floor of the harness",
	.open = null_open,
	.close = null_close,
	.lane_open = null_lane_open,
	.lane_close = null_lane_close,
	.alloc = null_alloc,
	.alloc_as = null_alloc_as,
	.free = null_free,
	.resize = null_resize,
};
