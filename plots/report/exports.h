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

#include "plots/figure/view.h"

/* github-benchmark.json: an array of these. */
#define RH_FIELDS_SMALLER(F)                   \
	F(TEXT, _, name, EVER, "", "series")   \
	F(TEXT, _, unit, EVER, "", "unit")     \
	F(REAL, _, value, EVER, "", "median")  \
	F(TEXT, _, range, MAY, "", "interval") \
	F(TEXT, _, extra, EVER, "", "trials and source")

/* bencher.json: series, then measures, by name. */
#define RH_FIELDS_MEASURE(F)                         \
	F(TEXT, _, name, MAY, "", "its key")         \
	F(REAL, _, value, EVER, "", "median")        \
	F(REAL, _, lower_value, MAY, "", "interval") \
	F(REAL, _, upper_value, MAY, "", "interval")
#define RH_FIELDS_MEASURES(F)                \
	F(TEXT, _, name, MAY, "", "its key") \
	F(MAP, measure, list, FLAT, "", "by metric")
#define RH_FIELDS_BENCHER(F) F(MAP, measures, series, FLAT, "", "by trace, lanes and backend")

RH_RECORD(smaller, RH_FIELDS_SMALLER)
RH_RECORD(measure, RH_FIELDS_MEASURE)
RH_RECORD(measures, RH_FIELDS_MEASURES)
RH_RECORD(bencher, RH_FIELDS_BENCHER)

/* Writes the files into dir. */
int rh_exports_write(const struct rh_view *view, const char *dir, struct rh_err *err);

/* Of it, the folded stacks only. */
int rh_exports_folded(const struct rh_view *view, const char *dir, struct rh_err *err);

#endif
