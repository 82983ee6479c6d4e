/*
 * live.h - the set of living objects, ordered by birth.
 *
 * A trace names the object that dies by its liveness rank: how many living objects
 * are younger. Programs free young things, so ranks are small and repeat; as a column
 * they take a third of the bytes that slot numbers take. This set turns ids to ranks
 * (writing) and ranks to ids (reading).
 *
 * Shape: births take positions 0, 1, 2, ... in a bitmap of the living, with counts per
 * 512 positions and a tree of 16 above them, searched from the youngest end. Beside it
 * every position has an item: the id and payload_bytes of the caller's (size, birth time,
 * ...). When the bitmap is full the living move to its front, oldest first, into a larger
 * one when more than half of it lives.
 *
 *	position  0 .......... old_count ............. top      capacity
 *	id        in the item | first_new + (position - old_count)
 *
 * Time per event is O(1) for young objects and about a hundred steps and two cache misses
 * for any of 10^7. Memory: at most 2 * (10.2 + payload_bytes) bytes for each of the most
 * objects alive at once, and 1.5 x that while it grows.
 *
 * A position is valid until the next birth. Thread rule: one thread.
 */
#ifndef RH_LIVE_H
#define RH_LIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rh_live;

/* NULL when out of memory. */
struct rh_live *rh_live_open(size_t payload_bytes);
void rh_live_close(struct rh_live *live); /* NULL allowed */

uint64_t rh_live_count(const struct rh_live *live);
uint64_t rh_live_births(const struct rh_live *live); /* = id of the next birth */

/* A birth; its id is rh_live_births() before the call. False when out of memory. */
bool rh_live_birth(struct rh_live *live, uint64_t *position);

/* The same, with a payload of one word. */
bool rh_live_bear(struct rh_live *live, uint64_t payload);

/* Position of a living id; false when it is not born or dead. */
bool rh_live_find(const struct rh_live *live, uint64_t id, uint64_t *position);
/* Position and id of the living object with `rank` younger ones; false when rank >= count. */
bool rh_live_select(const struct rh_live *live, uint64_t rank, uint64_t *position, uint64_t *id);
uint64_t rh_live_rank(const struct rh_live *live, uint64_t position);
/* A death by id, in one: its rank, and the payload, which can be read until the next birth; NULL
 * when it is not born or dead. */
void *rh_live_finish(struct rh_live *live, uint64_t id, uint64_t *rank);

/* Deaths by rank in a batch: after reserve, positions stay valid for that many births, and
 * what take has ended can still be read. take: false when rank >= count. The item is on its
 * way into the cache; asking for it in the next batch of calls costs no miss. */
bool rh_live_reserve(struct rh_live *live, uint64_t births);
bool rh_live_take(struct rh_live *live, uint64_t rank, uint64_t *position);
uint64_t rh_live_id(const struct rh_live *live, uint64_t position);

/* `id` will be asked for soon (in 16 events or so), very soon (8): starts cache misses now. */
void rh_live_soon(const struct rh_live *live, uint64_t id, bool very);

void *rh_live_payload(const struct rh_live *live, uint64_t position);
void rh_live_death(struct rh_live *live, uint64_t position);

#endif
