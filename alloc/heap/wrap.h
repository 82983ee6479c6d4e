/*
 * wrap.h - what all decorators share: an inner heap, its lanes, and the entries that
 * only pass on.
 *
 * A decorator's rh_heap begins with rh_wrap_heap and its rh_lane with rh_wrap_lane; then
 * the rh_wrap_* functions serve for every entry that the decorator does not change.
 * Thread rule and errors as in backend.h.
 */
#ifndef RH_WRAP_H
#define RH_WRAP_H

#include "alloc/backend.h"

struct rh_wrap_heap {
	struct rh_backend ops; /* of the inner heap */
	struct rh_heap *inner;
};

struct rh_wrap_lane {
	struct rh_wrap_heap *wrap;
	struct rh_lane *inner;
};

/* Maps heap_bytes (at least an rh_wrap_heap) and opens the inner heap. `what` names the
 * decorator in errors. */
int rh_wrap_open(struct rh_heap **heap, size_t heap_bytes, const char *what,
		 const struct rh_heap_env *env, struct rh_err *err);
/* Closes the inner heap and unmaps. */
void rh_wrap_close(struct rh_heap *heap, size_t heap_bytes);
int rh_wrap_lane_open(struct rh_heap *heap, struct rh_lane **lane, size_t lane_bytes,
		      struct rh_err *err);
void rh_wrap_lane_close(struct rh_lane *lane, size_t lane_bytes);

size_t rh_wrap_usable(struct rh_lane *lane, const void *p, size_t size);
void rh_wrap_gc_begin(struct rh_lane *lane);
void rh_wrap_gc_end(struct rh_lane *lane);
void rh_wrap_trim(struct rh_lane *lane);
void rh_wrap_stats(struct rh_heap *heap, rh_stat_fn *emit, void *ctx);
void rh_wrap_locks(struct rh_heap *heap, rh_lock_fn *emit, void *ctx);
/* The spec parser takes these two out again where the inner heap has no pages to lend. */
void *rh_wrap_stack_pages(struct rh_lane *lane, size_t page_count);
void rh_wrap_stack_pages_free(struct rh_lane *lane, void *p, size_t page_count);

#endif
