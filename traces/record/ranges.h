/*
 * ranges.h - the mappings that a program made itself: ranges of addresses that do not overlap.
 *
 * An munmap may remove one mapping, a part of one or several, and does not say what they were;
 * a MAP_FIXED replaces what lies there. Thread rule: one thread. Errors: false or -1 where
 * memory ran out.
 */
#ifndef RH_RECORD_RANGES_H
#define RH_RECORD_RANGES_H

#include <stdbool.h>
#include <stdint.h>

struct rh_range {
	uint64_t low, high; /* addresses: [low, high) */
	uint32_t how;	    /* enum rh_map_how */
};

/* All zero: empty. */
struct rh_ranges {
	void *root;
	uint64_t memory, memory_peak; /* bytes not backed by files */
};

/* Adds a range where nothing lies (cut first). No bytes: does nothing. */
bool rh_ranges_add(struct rh_ranges *ranges, uint64_t low, uint64_t bytes, uint32_t how);
/* Removes one piece that lies there, whole or in part: 1 = *piece filled; repeat until 0 = none is
 * left. */
int rh_ranges_cut(struct rh_ranges *ranges, uint64_t low, uint64_t bytes, struct rh_range *piece);
void rh_ranges_close(struct rh_ranges *ranges);

#endif
