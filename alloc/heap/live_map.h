/*
 * live_map.h - which memory is live: exact lookup by address and overlap detection, in
 * mmap'd memory of its own. Used by the checked decorator.
 *
 * Blocks start at multiples of 16. Thread rule: any. Locks: one per MiB of address
 * space, a leaf rank; none is held on return.
 */
#ifndef RH_LIVE_MAP_H
#define RH_LIVE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "alloc/base/lock.h"

struct rh_live_map;

struct rh_live_map *rh_live_map_open(void); /* NULL: no memory */
void rh_live_map_close(struct rh_live_map *map);

/* What is known of a block: size as asked for, log2 of the bytes before it. */
struct rh_live_block {
	uint64_t size;
	unsigned front_log2;
};

enum rh_live_answer {
	RH_LIVE_OK,
	RH_LIVE_OVERLAP,   /* claim: some of [base, base + bytes) belongs to a live block */
	RH_LIVE_WAS_FREED, /* a block started here and was freed */
	RH_LIVE_INSIDE,	   /* not a start, but inside a live block */
	RH_LIVE_UNKNOWN,
	RH_LIVE_NO_MEMORY, /* for the map itself */
};

/* Marks memory as part of a block; all or nothing. */
enum rh_live_answer rh_live_map_claim(struct rh_live_map *map, uintptr_t base, size_t bytes);
void rh_live_map_release(struct rh_live_map *map, uintptr_t base, size_t bytes);

/* Enters a block that starts at p (inside memory that was claimed). */
enum rh_live_answer rh_live_map_enter(struct rh_live_map *map, uintptr_t p,
				      const struct rh_live_block *block);
/* Takes a live block out, once: of two racing callers one gets RH_LIVE_WAS_FREED. */
enum rh_live_answer rh_live_map_take(struct rh_live_map *map, uintptr_t p,
				     struct rh_live_block *block);

/* Every live block, for the last check at close: nobody else may work. */
void rh_live_map_each(struct rh_live_map *map,
		      void (*fn)(void *ctx, uintptr_t p, const struct rh_live_block *block),
		      void *ctx);
void rh_live_map_locks(struct rh_live_map *map,
		       void (*emit)(void *ctx, const struct rh_lock_stats *lock), void *ctx);

#endif
