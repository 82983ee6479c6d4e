/*
 * exports.h - a view in the forms that other tools read.
 *
 * results.csv		every metric of every scene and backend, one a line
 * github-benchmark.json	the array github-action-benchmark takes as customSmallerIsBetter
 * bencher.json		Bencher Metric Format
 *
 * Thread rule: one thread. Errors: RH_CANT_CREATE, RH_IO.
 */
#ifndef RH_EXPORTS_H
#define RH_EXPORTS_H

#include "harness/view.h"

/* Writes the three files into dir. */
int rh_exports_write(const struct rh_view *view, const char *dir, struct rh_err *err);

#endif
