/*
 * emit.h - one process image of a capture becomes one trace.
 * Thread rule: one thread. Errors: those of trace.h and merge.h.
 */
#ifndef RH_RECORD_EMIT_H
#define RH_RECORD_EMIT_H

#include <stdbool.h>
#include <stdint.h>

#include "traces/record/drain.h"
#include "traces/record/record.h"
#include "traces/trace.h"

/* A stretch of the recording that is kept, in stamps: [from, to). */
struct rh_span { uint64_t from, to; };

struct rh_emit {
	const struct rh_record_opts *opts;
	const struct rh_drain *drain;
	uint32_t image;
	const struct rh_span *spans;
	size_t span_count;
	double ns_per_tick;
	const char *clock;		/* notes: which clock, */
	const char *ended;		/* how the program ended */
	uint64_t dropped, nested, no_ring;	/* notes: what could not be recorded */
	uint64_t waits, wait_ns;
};

int rh_emit(const struct rh_emit *what, const char *path, struct rh_trace_totals *totals,
	    struct rh_err *err);

#endif
