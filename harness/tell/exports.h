/*
 * exports.h - a view in the forms that other tools read.
 *
 * results.csv		every metric of every scene and backend, one a line
 * github-benchmark.json	the array github-action-benchmark takes as customSmallerIsBetter
 * bencher.json		Bencher Metric Format
 * instructions-N-BACKEND.folded	functions against the baseline, for differential flame
 *			graphs; when callgrind counted (--counters callgrind)
 *
 * Thread rule: one thread. Errors: RH_CANT_CREATE, RH_IO.
 */
#ifndef RH_EXPORTS_H
#define RH_EXPORTS_H

#include "harness/tell/view.h"

/* Writes the files into dir. */
int rh_exports_write(const struct rh_view *view, const char *dir, struct rh_err *err);

/* Of it, the folded stacks only. */
int rh_exports_folded(const struct rh_view *view, const char *dir, struct rh_err *err);
/* DIR/NAME, whole or not at all. */
int rh_exports_put(const char *dir, const char *name, const char *text, size_t bytes,
		   struct rh_err *err);

#endif
