/*
 * history_parts.h - the series of a history in memory, for the code that prints them. Private
 * to ci/gate/history*.c. Thread rule: one thread. Errors: RH_IO of the database, RH_OS.
 */
#ifndef RH_HISTORY_PARTS_H
#define RH_HISTORY_PARTS_H

#include "ci/gate/history.h"

enum { RH_HISTORY_DATE = 12 };

/* One metric of one backend at one setting, oldest value first. */
struct rh_history_series {
	char *metric, *unit, *trace, *backend;
	unsigned lanes, copies;
	double *values;
	size_t count;
	char (*dates)[RH_HISTORY_DATE]; /* "2026-01-31" of each value */
	size_t date_count;
};

struct rh_history_list {
	struct rh_history_series *series; /* of one metric next to each other */
	size_t count;
};

/* Ownership: rh_history_list_free, also after an error. */
int rh_history_read(struct rh_history *history, const struct rh_history_pick *pick,
		    struct rh_history_list *list, struct rh_err *err);
void rh_history_list_free(struct rh_history_list *list);

#endif
