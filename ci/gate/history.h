/*
 * history.h - results kept over time in one SQLite file.
 *
 * A row is one number of one document: which trace (by its hash), lanes, copies, allocator,
 * metric; when, which version of reheap. Documents are kept once (by the hash of their
 * bytes). Trends are for people: absolute times of different runs are not comparable on a
 * noisy machine, ratios and counts are; nothing here passes or fails.
 *
 * Ownership: rh_history_close. Thread rule: one thread. Errors: RH_NO_INPUT, RH_BAD_DATA of
 * documents, RH_CANT_CREATE, RH_IO of the database.
 */
#ifndef RH_HISTORY_H
#define RH_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "alloc/base/err.h"

struct rh_history;

int rh_history_open(struct rh_history **history, const char *path, bool create, struct rh_err *err);
void rh_history_close(struct rh_history *history);

/* A result (reheap.result/1) or a gate (reheap.gate/1): 1, 0 when it was there already, -1.
 * *rows: numbers added; a gate that came to no verdict has none. */
int rh_history_add(struct rh_history *history, const char *path, size_t *rows, struct rh_err *err);

struct rh_history_pick {
	/* With * (or %) the whole name, else a part of it; NULL = all. */
	const char *metric, *backend, *trace;
};

/* The ten changes that matter most, then a line for each metric; `all`: every series with its
 * steps, metric by metric. */
int rh_history_show(struct rh_history *history, const struct rh_history_pick *pick, bool all,
		    FILE *to, struct rh_err *err);
int rh_history_export(struct rh_history *history, const struct rh_history_pick *pick, bool json,
		      FILE *to, struct rh_err *err);

/* ---- change points ---- */

enum { RH_CHANGES_MAX = 16 };

struct rh_change {
	size_t at;	      /* index of the first value after it */
	double before, after; /* medians of the two sides */
	double p;	      /* share of shuffled series that split as clearly */
};

/* Where a series steps by 5 % or more, p < 0.001 by permutation; ascending. Seeded: the same
 * series gives the same answer. At least 5 values on each side. */
size_t rh_changes_find(const double *values, size_t count, struct rh_change *changes);

#endif
