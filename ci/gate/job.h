/*
 * job.h - a scenario of the gate while it is measured, and its preparation before the first pair.
 *
 * Inside this folder only (run.c measures, prepare.c prepares); one thread.
 */
#ifndef RH_GATE_JOB_H
#define RH_GATE_JOB_H

#include <sys/types.h>

#include "ci/gate/extra.h"
#include "ci/gate/gate.h"

/* Words of --lanes that are no number: as recorded but at most one a CPU, at most four a CPU. */
#define RH_GATE_LANES_DEFAULT UINT32_MAX
#define RH_GATE_LANES_MANY    (UINT32_MAX - 1)

struct rh_gate_job {
	struct rh_gate *gate;
	struct rh_gate_scenario *scenario;
	uint32_t lanes; /* asked for */
	unsigned tests;
	off_t bytes; /* of the trace: what comes first */
	struct rh_program program;
	struct rh_gate_units units;
	struct rh_gate_bench bench;
	uint64_t pair_ns;  /* what the last pair took */
	bool latency_only; /* nothing else is open */
	bool open, twice;  /* twice: another scenario has this trace at these lanes */
};

/* Compiles the trace, checks it against memory and stored baselines, takes over the pairs of an
 * earlier run, verifies both sides and counts if requested. job->open then says whether pairs are
 * needed. job->lanes comes back as 0 (as recorded) or as what the trace was folded onto. The
 * program is unmapped by the caller. */
int rh_gate_job_prepare(struct rh_gate_job *job, struct rh_err *err);

#endif
