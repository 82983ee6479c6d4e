/*
 * ranges.h - what a program has mapped itself: ranges of addresses that do not overlap.
 *
 * An munmap may take a piece, a part of one or several, and says of none what it was; a MAP_FIXED
 * replaces what lies there. Thread rule: one thread. Errors: false or -1 where memory ran out.
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
	uint64_t memory, memory_peak; /* bytes that are not files' */
};

/* Nothing lies there (cut first). No bytes: nothing. */
bool rh_ranges_add(struct rh_ranges *ranges, uint64_t low, uint64_t bytes, uint32_t how);
/* 1: *piece lay there, whole or in part, and is out; again until 0: nothing does any more. */
int rh_ranges_cut(struct rh_ranges *ranges, uint64_t low, uint64_t bytes, struct rh_range *piece);
void rh_ranges_close(struct rh_ranges *ranges);

#endif
