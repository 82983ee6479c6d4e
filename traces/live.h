/*
 * live.h - the set of living objects, ordered by birth.
 *
 * A trace names the object that dies by its liveness rank: how many living objects
 * are younger. Programs free young things, so ranks are small and repeat; as a column
 * they take a third of the bytes that slot numbers take. This set turns ids to ranks
 * (writing) and ranks to ids (reading).
 *
 * Shape: births take positions 0, 1, 2, ... in a bitmap of the living, with counts per
 * 4096 and per 262144 positions, searched from the youngest end. When the bitmap is full
 * it is compacted (or doubled, when more than half of it lives), so memory is O(live)
 * and time per event O(1) for young objects, a few hundred steps for the oldest of 10^7.
 *
 *	position  0 ......... old_count ............. top      capacity
 *	id        old_ids[]   | first_new + (position - old_count)
 *
 * Every object may carry payload_bytes of the caller's (size, birth time, ...).
 * A position is valid until the next birth. Thread rule: one thread. Memory: malloc.
 */
#ifndef RH_LIVE_H
#define RH_LIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rh_live;

/* NULL when out of memory. */
struct rh_live *rh_live_open(size_t payload_bytes);
void rh_live_close(struct rh_live *live);	/* NULL allowed */

uint64_t rh_live_count(const struct rh_live *live);
uint64_t rh_live_births(const struct rh_live *live);	/* = id of the next birth */

/* A birth; its id is rh_live_births() before the call. False when out of memory. */
bool rh_live_birth(struct rh_live *live, uint64_t *position);

/* Position of a living id; false when it is not born or dead. */
bool rh_live_find(const struct rh_live *live, uint64_t id, uint64_t *position);
/* Position and id of the living object with `rank` younger ones; false when rank >= count. */
bool rh_live_select(const struct rh_live *live, uint64_t rank, uint64_t *position, uint64_t *id);
uint64_t rh_live_rank(const struct rh_live *live, uint64_t position);

void *rh_live_payload(const struct rh_live *live, uint64_t position);
void rh_live_death(struct rh_live *live, uint64_t position);

#endif
