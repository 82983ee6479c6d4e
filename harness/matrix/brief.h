/*
 * brief.h - the parts of a result that a matrix needs: its metrics, and where it was made.
 *
 * Reads the file that harness/result/fields.h describes, without the trials, which take nine
 * tenths of the memory. Ownership: the pool. Thread rule: one thread. Errors: those of
 * rh_record_read.
 */
#ifndef RH_MATRIX_BRIEF_H
#define RH_MATRIX_BRIEF_H

#include "harness/result/fields.h"

#define RH_FIELDS_BRIEF_TRACE(F) F(TEXT, _, sha256, MAY, "", "of the trace file")
#define RH_FIELDS_BRIEF(F)                                        \
	F(TEXT, _, schema, NEED, "", "`reheap.result/1`")         \
	F(TEXT, _, started, EVER, "", "UTC time of the start")    \
	F(REAL, _, wall_s, EVER, "s", "time the run took")        \
	F(U32, _, exit, NEED, "", "0, 1 or 6")                    \
	F(REC, host_used, host, EVER, "", "the machine")          \
	F(LIST, brief_trace, traces, NEED, "", "the trace")       \
	F(LIST, backend_used, backends, NEED, "", "the backends") \
	F(LIST, metric, metrics, NEED, "", "what the trials say together")

RH_RECORD(brief_trace, RH_FIELDS_BRIEF_TRACE)
RH_RECORD(brief, RH_FIELDS_BRIEF)

/* Reads it and checks its indices. */
int rh_brief_read(struct rh_brief *brief, const char *path, struct rh_pool *pool,
		  struct rh_err *err);

#endif
