/*
 * ids.h - ids of the living: from a birth ordinal to two words.
 *
 * Ids come densely and in order (0, 1, 2, ...), most die young, a few live long. So the
 * youngest are kept in a ring indexed by the id itself (the window), and an object that still
 * lives when its place is needed again moves to an open-addressed hash. If many move, the
 * window doubles, up to RH_IDS_WINDOW_MAX: a find in the window costs one cache miss, moving
 * and finding again in the hash two. Memory is O(window + living), however many ids a trace has
 * and however thinly the survivors are spread (pages by id would be pinned by one survivor
 * each).
 *
 * Ownership: pointers returned stay valid until the next add or remove. Thread rule:
 * one thread. Errors: RH_OS when memory is exhausted.
 */
#ifndef RH_COMPILE_IDS_H
#define RH_COMPILE_IDS_H

#include <stddef.h>
#include <stdint.h>

#include "alloc/base/debug.h"
#include "alloc/base/err.h"

/* 64 Ki x 16 bytes = 1 MiB stays in L2; 4 Mi x 16 = 64 MiB is the upper limit. */
enum { RH_IDS_WINDOW = 1 << 16, RH_IDS_WINDOW_MAX = 1 << 22 };

/* `b` may be anything but RH_IDS_DEAD. */
struct rh_id {
	uint64_t a, b;
};
#define RH_IDS_DEAD UINT64_MAX

struct rh_id_old {
	uint64_t key;
	struct rh_id value;
}; /* key 0 = empty, else id + 1 */

struct rh_ids {
	struct rh_id *window;
	uint64_t window_mask; /* places - 1 */
	uint64_t base, next;  /* ids in the window: base .. next - 1 */
	struct rh_id_old *old;
	uint64_t old_mask; /* places - 1 */
	uint64_t old_count;
	unsigned old_shift;
};

int rh_ids_open(struct rh_ids *ids, uint64_t first, struct rh_err *err);
void rh_ids_close(struct rh_ids *ids);

/* The slow half of rh_ids_add: the window is full. */
int rh_ids_age(struct rh_ids *ids, struct rh_err *err);
struct rh_id *rh_ids_find_old(const struct rh_ids *ids, uint64_t id);
void rh_ids_remove_old(struct rh_ids *ids, uint64_t id);

/* The place of the id ids->next, which the caller fills at once; NULL on error. */
static inline struct rh_id *rh_ids_add(struct rh_ids *ids, struct rh_err *err)
{
	if (ids->next - ids->base > ids->window_mask) {
		/* The oldest has usually died, and then there is nothing to move. */
		if (ids->window[ids->base & ids->window_mask].b == RH_IDS_DEAD)
			ids->base++;
		else if (rh_ids_age(ids, err) < 0)
			return NULL;
	}
	rh_debug_assert(ids->next - ids->base <= ids->window_mask);
	return &ids->window[ids->next++ & ids->window_mask];
}

/* NULL when id never was or is dead. */
static inline struct rh_id *rh_ids_find(const struct rh_ids *ids, uint64_t id)
{
	struct rh_id *place;

	if (id >= ids->next)
		return NULL;
	if (id < ids->base)
		return rh_ids_find_old(ids, id);
	place = &ids->window[id & ids->window_mask];
	return place->b == RH_IDS_DEAD ? NULL : place;
}

/* id must live. */
static inline void rh_ids_remove(struct rh_ids *ids, uint64_t id)
{
	rh_debug_assert(rh_ids_find(ids, id));
	if (id < ids->base)
		rh_ids_remove_old(ids, id);
	else
		ids->window[id & ids->window_mask].b = RH_IDS_DEAD;
}

#endif
