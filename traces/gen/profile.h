/*
 * profile.h - which sizes a program allocates, how often, and how many of each live.
 *
 * A profile is a list of rows (size, rate of allocation, number alive), in any units that
 * agree with each other: an object of a row lives alive/rate on average. It comes from a
 * CSV of that shape (as published for servers by the fleetbench project) or is the one
 * built in. Rates become 32-bit thresholds of an alias table, so that a draw is one random
 * number, one comparison and no floating point.
 *
 * Ownership: rows belong to the profile. Errors: RH_NO_INPUT, RH_BAD_DATA naming the line.
 */
#ifndef RH_GEN_PROFILE_H
#define RH_GEN_PROFILE_H

#include "traces/gen/emitter.h"

enum { RH_GEN_PROFILE_ROWS_MAX = 4096 };

/* Draws a row in proportion to its weight. */
struct rh_gen_alias {
	uint32_t count;
	uint32_t *threshold; /* of 2^32: below it the row itself, else its alias */
	uint32_t *other;
};

struct rh_gen_profile_row {
	uint64_t size;
	double rate, live; /* as read; only ratios matter */
	uint64_t target;   /* alive at the requested heap size, 32.32 fixed point */
};

struct rh_gen_profile {
	struct rh_gen_profile_row *row;
	uint32_t rows;
	uint32_t left_out; /* rows of sizes above the largest allowed */
	struct rh_gen_alias by_rate, by_live;
};

/* csv NULL = the built-in one. Rows above size_max are left out. Targets are set so that
 * the rows together hold heap_bytes. */
int rh_gen_profile_open(struct rh_gen_profile *profile, const char *csv, uint64_t heap_bytes,
			uint64_t size_max, struct rh_err *err);
void rh_gen_profile_close(struct rh_gen_profile *profile);

static inline uint32_t rh_gen_draw(const struct rh_gen_alias *alias, struct rh_gen_random *random)
{
	uint64_t word = rh_gen_next(random);
	uint32_t row = (uint32_t)((word >> 32) * alias->count >> 32);

	return (uint32_t)word < alias->threshold[row] ? row : alias->other[row];
}

#endif
