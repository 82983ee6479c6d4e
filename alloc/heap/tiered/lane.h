/*
 * lane.h - heaps and lanes come and go; what they report.
 * Inside this folder only.
 */
#ifndef RH_TIERED_LANE_H
#define RH_TIERED_LANE_H

#include "alloc/backend.h"
#include "alloc/heap/tiered/heap.h"

int rh_tiered_open(struct rh_heap **heap, const void *knobs, const struct rh_heap_env *env,
		   struct rh_err *err);
void rh_tiered_close(struct rh_heap *heap);
int rh_tiered_lane_open(struct rh_heap *heap, struct rh_lane **lane, struct rh_err *err);
void rh_tiered_lane_close(struct rh_lane *lane);
/* What a heap maps for itself. */
size_t rh_heap_area_bytes(void);

/* stats.c and check.c */
void rh_tiered_stats(struct rh_heap *heap, rh_stat_fn *emit, void *ctx);
void rh_tiered_locks(struct rh_heap *heap, rh_lock_fn *emit, void *ctx);
/* Debug: every structure of an idle heap. NULL, or what is wrong with it. */
const char *rh_tiered_check(struct rh_heap *heap);
/* The same in debug builds, where what is wrong ends the program; else nothing. */
void rh_tiered_check_debug(struct rh_heap *heap);

#endif
