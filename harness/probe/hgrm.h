/*
 * hgrm.h - latency histograms as .hgrm text, which the plotters of HdrHistogram read.
 *
 * Columns: value in ns, percentile as a fraction, count up to it, 1/(1 - percentile). One row
 * per non-empty bucket, so that the curve is exact and not resampled. Thread rule: main thread.
 * Errors: RH_CANT_CREATE, RH_IO.
 */
#ifndef RH_HGRM_H
#define RH_HGRM_H

#include <stdio.h>

#include "harness/control/hist.h"
#include "harness/result/result.h"

/* One histogram; ns_per_tick scales its values. */
void rh_hgrm_print(const struct rh_hist_sum *hist, double ns_per_tick, FILE *to);

/* Writes all that the latency probe measured into a directory (made if missing):
 * TRACE.BACKEND.lN.cK.hgrm for all operations, TRACE.BACKEND.lN.cK.KIND.hgrm for each kind and
 * ...response.hgrm where --pace open ran. */
int rh_hgrm_write(const struct rh_result *result, const char *dir, struct rh_err *err);

#endif
