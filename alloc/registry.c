/*
 * registry.c - the tables of built-in backends, and the one place that checks and
 * completes a backend before anybody calls it.
 */
#include "alloc/registry.h"
#include "alloc/base/suggest.h"

#include <stdio.h>
#include <string.h>

/* Tables and not constructors: a static library drops files that nobody names, and a
 * backend that registers itself would silently be missing. */
const struct rh_backend *const rh_backends[] = { &rh_backend_bump,    &rh_backend_checked,
						 &rh_backend_failing, &rh_backend_libc,
						 &rh_backend_null,    &rh_backend_slow,
						 &rh_backend_tiered,  NULL };

const struct rh_stack_backend *const rh_stack_backends[] = {
	&rh_stack_backend_heap,	     &rh_stack_backend_none,   &rh_stack_backend_pools,
	&rh_stack_backend_segmented, &rh_stack_backend_thread, NULL
};

/* ---- optional entries ---- */

/* Not the true room, but never too much: a caller may write to all of it. */
static size_t usable_is_size(struct rh_lane *lane, const void *p, size_t size)
{
	(void)lane;
	(void)p;
	return size;
}

static uint32_t no_class(struct rh_heap *heap, const void *p)
{
	(void)heap;
	(void)p;
	return RH_CLASS_UNKNOWN;
}

static void no_gc(struct rh_lane *lane)
{
	(void)lane;
}

static void no_sweep(struct rh_lane *lane, const void *p, int before)
{
	(void)lane;
	(void)p;
	(void)before;
}

/* 0 is "it was taken next anyway". */
static void no_collection(struct rh_lane *lane, uint64_t marked_bytes)
{
	(void)lane;
	(void)marked_bytes;
}

static int no_preference(struct rh_lane *lane, const void *p)
{
	(void)lane;
	(void)p;
	return 0;
}

static void no_stats(struct rh_heap *heap, rh_stat_fn *emit, void *ctx)
{
	(void)heap;
	(void)emit;
	(void)ctx;
}

static void no_locks(struct rh_heap *heap, rh_lock_fn *emit, void *ctx)
{
	(void)heap;
	(void)emit;
	(void)ctx;
}

/* 0, not -1: a backend whose stacks cannot grow has not failed because a recorded
 * program's stacks did. */
static int no_grow(struct rh_stack_lane *lane, void *task, size_t stack_bytes, size_t used_bytes)
{
	(void)lane;
	(void)task;
	(void)stack_bytes;
	(void)used_bytes;
	return 0;
}

static int no_shrink(struct rh_stack_lane *lane, void *task, size_t stack_bytes)
{
	(void)lane;
	(void)task;
	(void)stack_bytes;
	return 0;
}

static void no_stack_gc(struct rh_stack_lane *lane)
{
	(void)lane;
}

static void no_caches(struct rh_stack_lane *lane, int on)
{
	(void)lane;
	(void)on;
}

/* A backend without frames has none that could be wrong. */
static int nothing_to_verify(struct rh_stack_lane *lane, void *task, struct rh_err *err)
{
	(void)lane;
	(void)task;
	(void)err;
	return 0;
}

static void no_stack_stats(struct rh_stacks *stacks, rh_stat_fn *emit, void *ctx)
{
	(void)stacks;
	(void)emit;
	(void)ctx;
}

static void no_stack_locks(struct rh_stacks *stacks, rh_lock_fn *emit, void *ctx)
{
	(void)stacks;
	(void)emit;
	(void)ctx;
}

/* ---- checks ---- */

/* Of an interface version we do not know, nothing but the version may be read. */
static int check_abi(uint32_t abi, struct rh_err *err)
{
	/* A table of another version has its entries elsewhere: calling one would
	 * jump to an arbitrary address. */
	if (abi < RH_BACKEND_ABI)
		return rh_fail(err, RH_BAD_DATA,
			       "backend is of interface version %u, this reheap has %u: rebuild "
			       "it with this reheap's headers",
			       abi, RH_BACKEND_ABI);
	if (abi > RH_BACKEND_ABI)
		return rh_fail(err, RH_BAD_DATA,
			       "backend is of interface version %u, this reheap has %u: a newer "
			       "reheap is needed, or rebuild it with this one's headers",
			       abi, RH_BACKEND_ABI);
	return 0;
}

/* An entry that a backend must have; the last one has no name. */
struct entry {
	const char *name;
	bool there;
};

/* A backend that is absent here needs no entries. */
static int check_head(const char *name, size_t knobs_bytes, bool absent,
		      const struct entry *required, struct rh_err *err)
{
	if (!name || !name[0])
		return rh_fail(err, RH_BAD_DATA, "backend has no name: fill in .name");
	/* Knobs lie in the spec by value, so that nobody allocates or frees them, in
	 * a worker neither. */
	if (knobs_bytes > RH_KNOBS_BYTES_MAX)
		return rh_fail(err, RH_BAD_DATA,
			       "backend %s has %zu bytes of knobs, at most %d fit", name,
			       knobs_bytes, RH_KNOBS_BYTES_MAX);
	/* The name of the missing entry, because the reader is writing a backend at
	 * that moment. */
	for (; !absent && required->name; required++)
		if (!required->there)
			return rh_fail(err, RH_BAD_DATA, "backend %s lacks the required entry .%s",
				       name, required->name);
	return 0;
}

/* The field's name is also the word of the message, so the two cannot differ. */
#define ENTRY(name)              \
	{                        \
#name, ops->name \
	}

static int check_heap(const struct rh_backend *ops, struct rh_err *err)
{
	const struct entry required[] = { ENTRY(open),
					  ENTRY(close),
					  ENTRY(lane_open),
					  ENTRY(lane_close),
					  ENTRY(alloc),
					  ENTRY(alloc_as),
					  ENTRY(free),
					  ENTRY(resize),
					  /* A heap that lends pages and takes none back
					   * would fill up under stacks, and only in long
					   * runs. */
					  { "stack_pages and .stack_pages_free, both or none",
					    !ops->stack_pages == !ops->stack_pages_free },
					  { NULL, false } };

	return check_head(ops->name, ops->knobs_bytes, ops->absent_why, required, err);
}

static int check_stack(const struct rh_stack_backend *ops, struct rh_err *err)
{
	const struct entry required[] = { ENTRY(open),	     ENTRY(close), ENTRY(lane_open),
					  ENTRY(lane_close), ENTRY(spawn), ENTRY(exit),
					  ENTRY(call),	     ENTRY(ret),   { NULL, false } };

	return check_head(ops->name, ops->knobs_bytes, ops->absent_why, required, err);
}

int rh_backend_check(const struct rh_backend *ops, struct rh_backend *filled, struct rh_err *err)
{
	if (check_abi(ops->abi, err) < 0 || check_heap(ops, err) < 0)
		return -1;
	/* A copy, because a library's table is constant and may be shared by several
	 * layers. */
	*filled = *ops;
	if (!filled->usable)
		filled->usable = usable_is_size;
	if (!filled->gc_begin)
		filled->gc_begin = no_gc;
	if (!filled->gc_end)
		filled->gc_end = no_gc;
	if (!filled->stats)
		filled->stats = no_stats;
	if (!filled->locks)
		filled->locks = no_locks;
	if (!filled->class_of)
		filled->class_of = no_class;
	if (!filled->lane_flush)
		filled->lane_flush = no_gc;
	if (!filled->trim)
		filled->trim = no_gc;
	/* The size is only a help to the allocator, so leaving it out is always
	 * right. */
	if (!filled->free_sized)
		filled->free_sized = filled->free;
	if (!filled->sweep_to)
		filled->sweep_to = no_sweep;
	if (!filled->prefer)
		filled->prefer = no_preference;
	if (!filled->collect)
		filled->collect = no_collection;
	return 0;
}

int rh_stack_backend_check(const struct rh_stack_backend *ops, struct rh_stack_backend *filled,
			   struct rh_err *err)
{
	if (check_abi(ops->abi, err) < 0 || check_stack(ops, err) < 0)
		return -1;
	*filled = *ops;
	if (!filled->grow)
		filled->grow = no_grow;
	if (!filled->shrink)
		filled->shrink = no_shrink;
	if (!filled->gc_begin)
		filled->gc_begin = no_stack_gc;
	if (!filled->gc_end)
		filled->gc_end = no_stack_gc;
	if (!filled->verify)
		filled->verify = nothing_to_verify;
	if (!filled->stats)
		filled->stats = no_stack_stats;
	if (!filled->locks)
		filled->locks = no_stack_locks;
	if (!filled->lane_flush)
		filled->lane_flush = no_stack_gc;
	if (!filled->lane_caches)
		filled->lane_caches = no_caches;
	return 0;
}

/* ---- names ---- */

/* Names come out of a spec, where a ':' ends them and not a NUL. */
static bool same(const char *row, const char *name, size_t name_bytes)
{
	return strlen(row) == name_bytes && memcmp(row, name, name_bytes) == 0;
}

const struct rh_backend *rh_backend_find(const char *name, size_t name_bytes)
{
	for (int i = 0; rh_backends[i]; i++)
		if (same(rh_backends[i]->name, name, name_bytes))
			return rh_backends[i];
	return NULL;
}

const struct rh_stack_backend *rh_stack_backend_find(const char *name, size_t name_bytes)
{
	for (int i = 0; rh_stack_backends[i]; i++)
		if (same(rh_stack_backends[i]->name, name, name_bytes))
			return rh_stack_backends[i];
	return NULL;
}

const struct rh_peer *rh_peer_by_name(const char *name, size_t name_bytes)
{
	for (const struct rh_peer *peer = rh_peers; peer->name; peer++)
		if (same(peer->name, name, name_bytes))
			return peer;
	return NULL;
}

/* Peers too, installed or not: the name is then right, and the next message says
 * which package to install. */
void rh_backend_suggest(const char *name, size_t name_bytes, char *text, size_t text_bytes)
{
	struct rh_suggestion s = { .name = name, .name_bytes = name_bytes, .distance = SIZE_MAX };

	for (int i = 0; rh_backends[i]; i++)
		rh_suggest_consider(&s, rh_backends[i]->name);
	for (const struct rh_peer *peer = rh_peers; peer->name; peer++)
		rh_suggest_consider(&s, peer->name);
	rh_suggest_write(&s, text, text_bytes);
}

void rh_stack_suggest(const char *name, size_t name_bytes, char *text, size_t text_bytes)
{
	struct rh_suggestion s = { .name = name, .name_bytes = name_bytes, .distance = SIZE_MAX };

	for (int i = 0; rh_stack_backends[i]; i++)
		rh_suggest_consider(&s, rh_stack_backends[i]->name);
	rh_suggest_write(&s, text, text_bytes);
}
