/*
 * compile.h - from a trace to a program: ids become slots, events become ops, with true edges
 * only, pruned by vector clocks. compile.c explains how.
 *
 * An edge is "this event must not start before that event of another lane
 * finished": birth before remote free or resize, an op on a task before the next op
 * on it from another lane, spawn before the first event of the lane that runs the
 * task, its last event before join. Edges implied by program order and earlier edges
 * are dropped; the rest become WAIT ops on the progress counter of the other lane,
 * which publishes only where a lane waits.
 *
 * One streaming pass over the trace; a second one before it when folding onto several
 * lanes (weights) or for `touch` (residency is known at death only). Memory: O(live
 * objects + lanes^2 + one epoch), so 10^9 events compile in < 1 GiB. Speed goal: >= 10 M
 * events/s. "-" reads standard input where one pass is enough; the sha256 stays empty then.
 *
 * Ownership: the program is the caller's (rh_program_unmap), and holds none of the trace's memory.
 * Thread rule: one thread each. Errors: as trace.h; RH_OS without memory or disk.
 */
#ifndef RH_COMPILE_H
#define RH_COMPILE_H

#include <stdbool.h>

#include "harness/compile/program.h"

struct rh_compile_options {
	uint32_t lanes;	       /* fold onto this many; 0 = as recorded */
	uint32_t grain_events; /* 0 = default */
	uint32_t epoch_events; /* 0 = default (2^18) */
	bool times;	       /* put PACE ops in */
	bool touch;	       /* put TOUCH ops in, from recorded residency */
	bool touch_known;      /* the same, when the trace has the residency of nearly all blocks */
	const char *work_dir;  /* NULL = $TMPDIR or /tmp; the file is unlinked at once */
};

struct rh_compile_stats {
	uint64_t events;
	uint64_t edges_all;	/* cross-lane pairs, before any pruning */
	uint64_t edges_address; /* what ordering by address reuse would need;
				 * RH_NONE unknown: a trace has no addresses */
	uint64_t waits;		/* after pruning: WAIT ops */
	uint64_t publishes;
	uint64_t slots, task_slots;
	uint32_t lanes_recorded, lanes;
	uint64_t wall_ns;
	/* Blocks that are not touched in full: more would be resident than the program ever had. */
	uint64_t untouched, untouched_bytes;
	uint64_t touch_bound; /* bytes of large blocks that may be resident at a time; noted by the
				 recorder, or a guess */
	bool touch_noted;
	const char *truncated; /* NULL, or truncated_text: what rh_trace_truncated said */
	char truncated_text[400];
	uint64_t sample;       /* one byte in so many is sampled; 0 = the trace has all blocks */
	char incomplete[1500]; /* the losses that the note "complete" lists; "" = none */
};

/* Returns the program mapped, with its fd open (workers inherit it). */
int rh_compile(const char *trace_path, const struct rh_compile_options *options,
	       struct rh_program *program, struct rh_compile_stats *stats, struct rh_err *err);

/* Only the edges, for `reheap info`: pass one without writing a program. */
int rh_compile_edges(const char *trace_path, const struct rh_compile_options *options,
		     struct rh_compile_stats *stats, struct rh_err *err);

#endif
