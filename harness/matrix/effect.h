/*
 * effect.h - the effect of one cell: a backend relative to the baseline that ran beside it.
 *
 * A metric of both sides becomes a ratio with an interval, its repetitions paired. Simulated
 * counts are exact: their interval is the ratio itself.
 *
 * Thread rule: pure functions. Errors: false when one side has no such metric.
 */
#ifndef RH_MATRIX_EFFECT_H
#define RH_MATRIX_EFFECT_H

#include "harness/matrix/brief.h"
#include "harness/matrix/folder.h"
#include "harness/result/estimate.h"

/* The metric that stands for a kind of cells: time, or instructions. */
const char *rh_effect_headline(const char *kind);

/* The metric of the backend with that name, or NULL; the index of that backend, or -1. */
const struct rh_metric *rh_effect_metric(const struct rh_brief *brief, const char *label,
					 const char *metric);
int rh_effect_backend(const struct rh_brief *brief, const char *label);

bool rh_effect_of(const struct rh_metric *backend, const struct rh_metric *baseline,
		  struct rh_estimate *effect);
/* Whether the interval of the effect claims a difference. */
bool rh_effect_claims(const struct rh_estimate *effect);

/* A/A cells: how many were read, and how many claimed a difference. */
struct rh_false_alarms {
	size_t read, alarms;
	double expected; /* sum over cells of 1 - the level of their interval */
};
void rh_effect_false_alarms(const char *dir, const struct rh_matrix *matrix, const bool *done,
			    struct rh_false_alarms *sum);

#endif
